/* string.find, match, gmatch and gsub on our matcher (pattern.c). Between two starting points a long search gives way
 * to the event loop and goes on later, as does gsub between two replacements and while a replacement function runs.
 */
#include <ctype.h>

#include "pattern.h"

enum { LOOK_STEPS = 2048 };

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void push_capture(const struct match *m, int i, const char *s, const char *e)
{
    if (i >= m->level) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->capture[i].n == PATTERN_POSITION) {
        lua_pushinteger(m->L, m->capture[i].p - m->begin + 1);
    } else if (m->capture[i].n == PATTERN_OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[i].p, (size_t)m->capture[i].n);
    }
}

/* All captures, or the whole match if there are none; with s NULL only real captures. */
static int push_captures(const struct match *m, const char *s, const char *e)
{
    int n = m->level == 0 && s ? 1 : m->level;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, s, e);
    return n;
}

/* ---- find and match ---------------------------------------------------------------------------------------------- */

static bool has_specials(struct weir_str p)
{
    for (size_t i = 0; i < p.n; i++)
        if (p.p[i] && strchr("^$*+?.([%-", p.p[i]))
            return true;
    return false;
}

static size_t first_position(lua_State *L, int index, size_t n)
{
    lua_Integer i = luaL_optinteger(L, index, 1);
    if (i > 0)
        return (size_t)i - 1;
    if (i == 0 || i < -(lua_Integer)n)
        return 0;
    return n - (size_t)-i;
}

static int find_plain(lua_State *L, struct weir_str s, struct weir_str p, size_t from)
{
    limits_need(L, "string.find", (double)(s.n - from) / 2000);
    const char *at = p.n == 0 ? s.p + from : memmem(s.p + from, s.n - from, p.p, p.n);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s.p + 1);
    lua_pushinteger(L, at - s.p + (lua_Integer)p.n);
    return 2;
}

static int search(lua_State *L, bool is_find, size_t from, lua_KFunction k)
{
    struct match m;
    struct weir_str s = value_str(L, 1);
    pattern_open(&m, L, s, value_str(L, 2));
    uint64_t looked = 0;
    for (const char *at = s.p + from; at <= m.end; at++) {
        const char *e = pattern_at(&m, at);
        if (e && is_find) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, e - s.p);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (e)
            return push_captures(&m, at, e);
        if (m.is_anchored)
            break;
        if (m.steps - looked < LOOK_STEPS)
            continue;
        looked = m.steps;
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, at + 1 - s.p, k);
    }
    lua_pushnil(L);
    return 1;
}

static int find_again(lua_State *L, int status, lua_KContext from)
{
    (void)status;
    return search(L, true, (size_t)from, find_again);
}

static int match_again(lua_State *L, int status, lua_KContext from)
{
    (void)status;
    return search(L, false, (size_t)from, match_again);
}

int pattern_find(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    struct weir_str s = value_str(L, 1), p = value_str(L, 2);
    size_t from = first_position(L, 3, s.n);
    if (from > s.n) {
        lua_pushnil(L);
        return 1;
    }
    if (lua_toboolean(L, 4) || !has_specials(p))
        return find_plain(L, s, p, from);
    return search(L, true, from, find_again);
}

int pattern_match(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    size_t n = lua_rawlen(L, 1), from = first_position(L, 3, n);
    if (from > n) {
        lua_pushnil(L);
        return 1;
    }
    return search(L, false, from, match_again);
}

/* ---- gmatch ------------------------------------------------------------------------------------------------------ */

/* Upvalues: subject, pattern, where to go on, end of the last match (-1: none). */
static int gmatch_step(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    struct match m;
    struct weir_str s = value_str(L, lua_upvalueindex(1));
    pattern_open(&m, L, s, value_str(L, lua_upvalueindex(2)));
    m.p = m.p_end - lua_rawlen(L, lua_upvalueindex(2)); /* '^' is no anchor here */
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    uint64_t looked = 0;
    for (const char *at = s.p + lua_tointeger(L, lua_upvalueindex(3)); at <= m.end; at++) {
        const char *e = pattern_at(&m, at);
        if (e && e - s.p != last) {
            lua_pushinteger(L, e - s.p);
            lua_pushvalue(L, -1);
            lua_replace(L, lua_upvalueindex(3));
            lua_replace(L, lua_upvalueindex(4));
            return push_captures(&m, at, e);
        }
        if (m.steps - looked < LOOK_STEPS)
            continue;
        looked = m.steps;
        lua_pushinteger(L, at + 1 - s.p);
        lua_replace(L, lua_upvalueindex(3));
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, 0, gmatch_step);
    }
    lua_pushinteger(L, (lua_Integer)s.n + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int gmatch_next(lua_State *L)
{
    return gmatch_step(L, LUA_OK, 0);
}

int pattern_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    size_t n = lua_rawlen(L, 1), from = first_position(L, 3, n);
    lua_settop(L, 2);
    lua_pushinteger(L, from > n ? (lua_Integer)n + 1 : (lua_Integer)from);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* ---- gsub -------------------------------------------------------------------------------------------------------- */

enum { GSUB_STATE = 5, GSUB_BUFFER = 6 };

struct gsub {
    struct value head;
    struct buffer out;
    size_t at, matched; /* the match being replaced: [at, matched) */
    size_t last;        /* end of the last match + 1; 0: none */
    lua_Integer n, max;
};

static void add_template(struct match *m, struct gsub *g, const char *s, const char *e)
{
    lua_State *L = m->L;
    struct weir_str t = value_str(L, 3);
    for (size_t i = 0; i < t.n; i++) {
        const char *mark = memchr(t.p + i, '%', t.n - i);
        size_t stop = mark ? (size_t)(mark - t.p) : t.n;
        buffer_add(L, &g->out, t.p + i, stop - i);
        if (!mark)
            return;
        i = stop + 1;
        char c = i < t.n ? t.p[i] : 0;
        if (c == '%') {
            buffer_add(L, &g->out, "%", 1);
        } else if (c == '0') {
            buffer_add(L, &g->out, s, (size_t)(e - s));
        } else if (isdigit((unsigned char)c)) {
            push_capture(m, c - '1', s, e);
            luaL_tolstring(L, -1, NULL);
            struct weir_str capture = value_str(L, -1);
            buffer_add(L, &g->out, capture.p, capture.n);
            lua_pop(L, 2);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* The value at the top takes the place of the match; false or nil: the match stays. */
static void add_value(lua_State *L, struct gsub *g)
{
    struct weir_str s = value_str(L, 1), with;
    int type = lua_type(L, -1);
    if (type == LUA_TNIL || (type == LUA_TBOOLEAN && !lua_toboolean(L, -1)))
        with = (struct weir_str){ s.p + g->at, g->matched - g->at };
    else if (type == LUA_TSTRING || type == LUA_TNUMBER)
        with = value_str(L, -1);
    else
        with = WEIR_NONE, luaL_error(L, "invalid replacement value (a %s)", value_type_name(L, -1));
    buffer_add(L, &g->out, with.p, with.n);
    lua_pop(L, 1);
}

static int gsub_go_on(lua_State *L, int status, lua_KContext has_value);

/* false: a function was called and has yielded into gsub_go_on, or will be handled by it. */
static void replace(struct match *m, struct gsub *g, const char *s, const char *e)
{
    lua_State *L = m->L;
    switch (lua_type(L, 3)) {
    case LUA_TTABLE:
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
        add_value(L, g);
        break;
    case LUA_TFUNCTION: {
        lua_pushvalue(L, 3);
        int n = push_captures(m, s, e);
        lua_callk(L, n, 1, 1, gsub_go_on);
        add_value(L, g);
        break;
    }
    default:
        add_template(m, g, s, e);
    }
}

static void matched(struct gsub *g)
{
    g->at = g->matched;
    g->last = g->matched + 1;
}

static int gsub_finish(lua_State *L, struct gsub *g, struct weir_str s)
{
    buffer_add(L, &g->out, s.p + g->at, s.n - g->at);
    buffer_push(L, &g->out);
    lua_pushinteger(L, g->n);
    return 2;
}

static int gsub_loop(lua_State *L, struct gsub *g)
{
    struct match m;
    struct weir_str s = value_str(L, 1);
    pattern_open(&m, L, s, value_str(L, 2));
    uint64_t looked = 0;
    while (g->n < g->max) {
        const char *at = s.p + g->at, *e = pattern_at(&m, at);
        if (e && (size_t)(e - s.p) + 1 != g->last) {
            g->n++;
            g->matched = (size_t)(e - s.p);
            replace(&m, g, at, e);
            matched(g);
        } else if (g->at < s.n) {
            buffer_add(L, &g->out, at, 1);
            g->at++;
        } else {
            break;
        }
        if (m.is_anchored)
            break;
        if (m.steps - looked < LOOK_STEPS)
            continue;
        looked = m.steps;
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, 0, gsub_go_on);
    }
    return gsub_finish(L, g, s);
}

static int gsub_go_on(lua_State *L, int status, lua_KContext has_value)
{
    (void)status;
    struct gsub *g = lua_touserdata(L, GSUB_STATE);
    if (has_value) {
        add_value(L, g);
        matched(g);
        if (lua_tostring(L, 2)[0] == '^')
            return gsub_finish(L, g, value_str(L, 1));
    }
    return gsub_loop(L, g);
}

int pattern_gsub(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    int type = lua_type(L, 3);
    if (type == LUA_TNUMBER)
        lua_tostring(L, 3);
    else if (type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TFUNCTION)
        return luaL_typeerror(L, 3, "string/function/table");
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)lua_rawlen(L, 1) + 1);
    lua_settop(L, 4);
    struct gsub *g = lua_newuserdatauv(L, sizeof(*g), 0);
    *g = (struct gsub){ .head = { .type = VALUE_BUFFER }, .max = max };
    buffer_open(L, &g->out);
    return gsub_loop(L, g);
}
