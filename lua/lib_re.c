/* re: regular expressions for policies (regex.h). Compiled once per worker and pattern; long searches give way to
 * the loop.
 *
 * gsub, gmatch and redact are the prelude's, on top of re.find.
 */
#include <stdio.h>

#include "engine.h"
#include "regex.h"

enum { RE_CACHE_MAX = 256, RE_STEPS = 20000 };

static const char cache_key; /* address: pattern -> regex, in the registry */

struct regex_value {
    struct value head;
    struct regex re;
};

static void remember(lua_State *L, int pattern)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key);
    lua_Integer n = (lua_rawgeti(L, -1, 1), lua_tointeger(L, -1));
    lua_pop(L, 1);
    if (n >= RE_CACHE_MAX) {
        lua_pop(L, 1);
        lua_createtable(L, 1, RE_CACHE_MAX);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_key);
        n = 0;
    }
    lua_pushinteger(L, n + 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, pattern);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* Pushes the compiled pattern. */
static const struct regex *push_regex(lua_State *L, int index)
{
    size_t size, at;
    const char *error;
    luaL_checkstring(L, index);
    struct weir_str pattern = value_str(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key);
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_type(L, -1) == LUA_TUSERDATA)
        return &((struct regex_value *)lua_touserdata(L, -1))->re;
    lua_pop(L, 1);
    struct regex_build *b = lua_newuserdatauv(L, regex_build_size(), 0);
    size = regex_compile(b, pattern.p, pattern.n, &error, &at);
    if (size == 0)
        luaL_error(L, "re: %s, at character %d of \"%s\"", error, (int)at, pattern.n > 200 ? "…" : pattern.p);
    struct regex_value *v = value_new(L, VALUE_REGEX, offsetof(struct regex_value, re) + size, 0);
    regex_copy(b, &v->re);
    lua_remove(L, -2);
    remember(L, index);
    limits_tick(L);
    return &v->re;
}

enum { WANT_FIND, WANT_MATCH, WANT_TEST };

static void push_group(lua_State *L, const struct regex_run *r, int i, struct weir_str s)
{
    size_t from, to;
    if (regex_group(r, i, &from, &to))
        lua_pushlstring(L, s.p + from, to - from);
    else
        lua_pushboolean(L, false); /* not nil: results keep their places */
}

static int push_result(lua_State *L, const struct regex_run *r, const struct regex *re, struct weir_str s, int want)
{
    size_t from, to;
    int n = 0;
    if (want == WANT_TEST) {
        lua_pushboolean(L, true);
        return 1;
    }
    if (want == WANT_FIND) {
        regex_group(r, 0, &from, &to);
        lua_pushinteger(L, (lua_Integer)from + 1);
        lua_pushinteger(L, (lua_Integer)to);
        n = 2;
    }
    int first = want == WANT_MATCH && re->n_groups == 1 ? 0 : 1;
    for (int i = first; i < re->n_groups; i++, n++)
        push_group(L, r, i, s);
    return n;
}

/* Stack: 1 subject, 2 pattern, 3 regex, 4 machine. */
static int go_on(lua_State *L, int status, lua_KContext want)
{
    (void)status;
    const struct regex *re = &((struct regex_value *)lua_touserdata(L, 3))->re;
    struct regex_run *r = lua_touserdata(L, 4);
    struct weir_str s = value_str(L, 1);
    for (;;) {
        enum regex_result result = regex_go(r, re, s.p, RE_STEPS);
        if (result == RE_YES)
            return push_result(L, r, re, s, (int)want);
        if (result == RE_NO)
            break;
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, want, go_on);
    }
    if (want == WANT_TEST)
        lua_pushboolean(L, false);
    else
        lua_pushnil(L);
    return 1;
}

static int begin(lua_State *L, int want)
{
    luaL_checkstring(L, 1);
    struct weir_str s = value_str(L, 1);
    lua_Integer from = luaL_optinteger(L, 3, 1);
    from = from > 0 ? from - 1 : from < 0 && -from <= (lua_Integer)s.n ? (lua_Integer)s.n + from : 0;
    lua_settop(L, 2);
    const struct regex *re = push_regex(L, 2);
    if (from > (lua_Integer)s.n) {
        want == WANT_TEST ? lua_pushboolean(L, false) : lua_pushnil(L);
        return 1;
    }
    struct regex_run *r = lua_newuserdatauv(L, regex_run_size(re), 0);
    regex_begin(r, re, s.p, s.n, (size_t)from, want == WANT_TEST);
    return go_on(L, LUA_OK, want);
}

int re_find(lua_State *L)
{
    return begin(L, WANT_FIND);
}

static int re_match(lua_State *L)
{
    return begin(L, WANT_MATCH);
}

static int re_test(lua_State *L)
{
    return begin(L, WANT_TEST);
}

const struct binding re_bindings[] = {
    { "find", re_find, "fun(s: string, expression: string, init?: integer): integer?, integer?, ...",
      "Begin, end and groups of the first match." },
    { "match", re_match, "fun(s: string, expression: string, init?: integer): ...",
      "The groups of the first match, or all of it." },
    { "test", re_test, "fun(s: string, expression: string): boolean",
      "Does it match anywhere?" },
    { "gsub", NULL, "fun(s: string, expression: string, with: string|table|function, max?: integer): string, integer",
      "Replaces matches (%1: a group) and counts them." },
    { "gmatch", NULL, "fun(s: string, expression: string): fun(): ...",
      "Goes through all matches." },
    { NULL, NULL, NULL, NULL },
};

void lib_re(lua_State *L)
{
    value_metatable(L, VALUE_REGEX, "re");
    lua_pop(L, 1);
    lua_createtable(L, 1, 16);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_key);
    lua_newtable(L);
    bindings_set(L, re_bindings);
}
