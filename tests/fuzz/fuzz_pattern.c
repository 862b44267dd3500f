/* Fuzzing the pattern matcher of the Lua stage. What must hold for every subject and pattern:
 *   - what Lua's own string.find says, ours says: the same places, the same captures, or an error where it has one;
 *   - no read beyond subject or pattern, and no more steps than the budget.
 * Input: the pattern, a zero byte, the subject. Both are short, because Lua's own may take exponential time.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/pattern.c"

enum { PATTERN_MAX = 14, SUBJECT_MAX = 24, TICKS_MAX = 4000, TOP = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lua_State *state;
static int ticks;

/* What stands behind the matcher in the stage: here only the budget. */
void limits_tick(lua_State *L)
{
    if (++ticks > TICKS_MAX)
        luaL_error(L, "too many steps");
}

static void push_capture(const struct match *m, int i)
{
    if (m->capture[i].n == PATTERN_POSITION)
        lua_pushinteger(m->L, m->capture[i].p - m->begin + 1);
    else if (m->capture[i].n == PATTERN_OPEN)
        luaL_error(m->L, "unfinished capture");
    else
        lua_pushlstring(m->L, m->capture[i].p, (size_t)m->capture[i].n);
}

/* (subject, pattern): as string.find does it. */
static int ours(lua_State *L)
{
    struct match m;
    struct weir_str s, p;
    s.p = lua_tolstring(L, 1, &s.n);
    p.p = lua_tolstring(L, 2, &p.n);
    pattern_open(&m, L, s, p);
    for (const char *at = s.p; at <= m.end; at++) {
        const char *e = pattern_at(&m, at);
        if (e) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, e - s.p);
            for (int i = 0; i < m.level; i++)
                push_capture(&m, i);
            return 2 + m.level;
        }
        if (m.is_anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static void start(void)
{
    state = luaL_newstate();
    luaL_openlibs(state);
    lua_getglobal(state, "string");
    lua_getfield(state, -1, "find");
    lua_replace(state, 1); /* 1: Lua's own */
}

/* Pushes all results, or the error; returns how many. */
static int call(int function, const uint8_t *p, size_t p_n, const uint8_t *s, size_t s_n, int *status)
{
    int before = lua_gettop(state);
    if (function)
        lua_pushvalue(state, function);
    else
        lua_pushcfunction(state, ours);
    lua_pushlstring(state, (const char *)s, s_n);
    lua_pushlstring(state, (const char *)p, p_n);
    ticks = 0;
    *status = lua_pcall(state, 2, LUA_MULTRET, 0);
    return lua_gettop(state) - before;
}

static void differ(const char *what)
{
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* Without any of these string.find looks for the text itself. */
static bool has_specials(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr("^$*+?.([%-", p[i]))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    if (!zero)
        return 0;
    size_t p_n = (size_t)(zero - data), s_n = size - p_n - 1;
    if (p_n > PATTERN_MAX || s_n > SUBJECT_MAX || !has_specials(data, p_n))
        return 0;
    if (!state)
        start();
    int status_theirs, status_ours;
    int n = call(1, data, p_n, zero + 1, s_n, &status_theirs), at = lua_gettop(state) - n;
    int m = call(0, data, p_n, zero + 1, s_n, &status_ours);
    bool is_budget = status_ours != LUA_OK && ticks > TICKS_MAX;
    if (!is_budget) {
        if ((status_theirs == LUA_OK) != (status_ours == LUA_OK))
            differ("an error where Lua has one, and only there");
        if (status_ours == LUA_OK && n != m)
            differ("as many results as Lua's");
        for (int i = 1; status_ours == LUA_OK && i <= n; i++)
            if (!lua_rawequal(state, at + i, at + n + i))
                differ("the same results as Lua's");
    }
    lua_settop(state, 1);
    lua_gc(state, LUA_GCSTEP, 1);
    return 0;
}
