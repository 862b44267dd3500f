/* NAME_test.lua, the cases beside a policy, as JSON for `weir test`.
 *
 * A test file is the user's own code, read while nothing is served: a state of its own with Lua's harmless libraries, and a limit
 * on steps. What it returns is data; `with`, `hosts` and the other settings of the stage move into a case's `settings`, the
 * rest goes on as it is.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { DEPTH_MAX = 32, STEPS_MAX = 50 * 1000 * 1000, PATH_BYTES = 4096 };

struct writing {
    const struct weir_host *host;
    struct weir_out *out;
    lua_State *L;
};

static void put(const struct writing *w, const char *text)
{
    w->host->write(w->out, weir_cstr(text));
}

static void put_string(const struct writing *w, const char *p, size_t n)
{
    char hex[8];
    put(w, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            w->host->write(w->out, (struct weir_str){ p + i, 1 });
        } else {
            snprintf(hex, sizeof(hex), "\\u%04x", c);
            put(w, hex);
        }
    }
    put(w, "\"");
}

static void put_number(const struct writing *w, int index)
{
    char text[40];
    if (lua_isinteger(w->L, index))
        snprintf(text, sizeof(text), "%lld", (long long)lua_tointeger(w->L, index));
    else
        snprintf(text, sizeof(text), "%.14g", lua_tonumber(w->L, index));
    if (!lua_isinteger(w->L, index) && !isfinite(lua_tonumber(w->L, index)))
        luaL_error(w->L, "a number that is none (%s)", text);
    put(w, text);
}

static void put_value(const struct writing *w, int index, int depth);

/* Names in order, so that the same file gives the same text: the keys of the table at index, sorted, on the stack. */
static void push_keys(lua_State *L, int index)
{
    lua_newtable(L);
    lua_Integer n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        luaL_tolstring(L, -1, NULL);
        lua_rawseti(L, -5, ++n);
        lua_pop(L, 1);
    }
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "sort");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

static void push_member(lua_State *L, int table, const char *key)
{
    lua_getfield(L, table, key);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_Integer number = 0;
    if (sscanf(key, "%lld", &number) == 1)
        lua_geti(L, table, number);
    else
        lua_pushnil(L);
}

static void put_object(const struct writing *w, int index, int depth)
{
    lua_State *L = w->L;
    push_keys(L, index);
    int keys = lua_gettop(L);
    put(w, "{");
    for (lua_Integer i = 1; i <= luaL_len(L, keys); i++) {
        size_t n;
        lua_geti(L, keys, i);
        const char *key = lua_tolstring(L, -1, &n);
        put(w, i > 1 ? "," : "");
        put_string(w, key, n);
        put(w, ":");
        push_member(L, index, key);
        put_value(w, lua_gettop(L), depth + 1);
        lua_pop(L, 2);
    }
    put(w, "}");
    lua_pop(L, 1);
}

static void put_table(const struct writing *w, int index, int depth)
{
    lua_State *L = w->L;
    lua_Integer n = luaL_len(L, index);
    luaL_checkstack(L, 12, "tables in tables");
    if (depth > DEPTH_MAX)
        luaL_error(L, "tables deeper than %d", DEPTH_MAX);
    if (n == 0) {
        put_object(w, index, depth);
        return;
    }
    put(w, "[");
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, index, i);
        put(w, i > 1 ? "," : "");
        put_value(w, lua_gettop(L), depth + 1);
        lua_pop(L, 1);
    }
    put(w, "]");
}

static void put_value(const struct writing *w, int index, int depth)
{
    size_t n;
    switch (lua_type(w->L, index)) {
    case LUA_TSTRING: {
        const char *p = lua_tolstring(w->L, index, &n);
        put_string(w, p, n);
        break;
    }
    case LUA_TNUMBER: put_number(w, index); break;
    case LUA_TBOOLEAN: put(w, lua_toboolean(w->L, index) ? "true" : "false"); break;
    case LUA_TTABLE: put_table(w, index, depth); break;
    case LUA_TNIL: put(w, "null"); break;
    default: luaL_error(w->L, "a test is data; there is a %s in it", luaL_typename(w->L, index));
    }
}

/* ---- cases ---- */

/* Moves the stage's own settings of a case (at index) into its field `settings`, and its first value into `name`. */
static void arrange(lua_State *L, int index)
{
    static const char *const settings[] = { "with", "hosts", "on_error", "cpu", "memory", "max_body" };
    lua_geti(L, index, 1);
    if (!lua_isstring(L, -1))
        luaL_error(L, "it has no name: { \"what it shows\", … }");
    lua_setfield(L, index, "name");
    lua_pushnil(L);
    lua_seti(L, index, 1);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        lua_getfield(L, index, settings[i]);
        lua_setfield(L, -2, settings[i]);
        lua_pushnil(L);
        lua_setfield(L, index, settings[i]);
    }
    lua_setfield(L, index, "settings");
}

/* The arguments: struct writing *, the path. */
static int write_cases(lua_State *L)
{
    const struct writing *w = lua_touserdata(L, 1);
    const char *path = lua_tostring(L, 2);
    size_t n = strlen(path) - strlen("_test.lua");
    if (luaL_loadfilex(L, path, "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    luaL_checktype(L, 3, LUA_TTABLE);
    put(w, "{\"settings\":{\"file\":");
    lua_pushfstring(L, "%s.lua", lua_pushlstring(L, path, n));
    put_value(w, lua_gettop(L), 0);
    put(w, "},\"cases\":[");
    for (lua_Integer i = 1; i <= luaL_len(L, 3); i++) {
        lua_geti(L, 3, i);
        if (!lua_istable(L, -1))
            return luaL_error(L, "case %d is no table", (int)i);
        int index = lua_gettop(L);
        arrange(L, index);
        put(w, i > 1 ? "," : "");
        put_object(w, index, 0);
        lua_pop(L, 1);
    }
    put(w, "]}");
    return 0;
}

static void too_long(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "it runs for ever");
}

static void open_libraries(lua_State *L)
{
    static const luaL_Reg libraries[] = { { LUA_GNAME, luaopen_base }, { LUA_STRLIBNAME, luaopen_string },
                                          { LUA_TABLIBNAME, luaopen_table }, { LUA_MATHLIBNAME, luaopen_math },
                                          { LUA_UTF8LIBNAME, luaopen_utf8 } };
    for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
}

int test_file_read(const struct weir_host *host, const char *path, struct weir_out *out)
{
    lua_State *L = luaL_newstate();
    struct writing w = { host, out, L };
    if (!L)
        return -1;
    open_libraries(L);
    lua_sethook(L, too_long, LUA_MASKCOUNT, STEPS_MAX);
    lua_pushcfunction(L, write_cases);
    lua_pushlightuserdata(L, &w);
    lua_pushstring(L, path);
    int rc = lua_pcall(L, 2, 0, 0) == LUA_OK ? 0 : -1;
    if (rc < 0)
        host->write(out, weir_cstr(lua_tostring(L, -1) ? lua_tostring(L, -1) : "it fails without a word"));
    lua_close(L);
    return rc;
}
