/* What a policy sees, built from an allow-list: nothing is here that was not put here by name.
 *
 * Each file gets an environment of its own: an empty table that shows the builtins, where reading an undefined name
 * and writing any global are errors. Libraries are read-only views. There is no way to a metatable, to another
 * coroutine, to a loader of code or to the outside; what can run long is ours (pattern.c, lib_table.c) or checks its
 * cost first.
 */
#include <stdio.h>

#include "engine.h"

static const char builtins_key, prelude_key; /* addresses are keys in the registry */

/* ---- read-only views --------------------------------------------------------------------------------------------- */

static int refuse_write(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "%s.%s can't be set: the library is read-only", name, key);
}

static int refuse_unknown(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "%s.%s does not exist here (see lua/README.md)", name, key);
}

static void push_with_name(lua_State *L, lua_CFunction fn, const char *name)
{
    lua_pushstring(L, name);
    lua_pushcclosure(L, fn, 1);
}

void sandbox_freeze(lua_State *L, const char *name)
{
    lua_createtable(L, 0, 1); /* the content answers for what it lacks */
    push_with_name(L, refuse_unknown, name);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    push_with_name(L, refuse_write, name);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* ---- environments ------------------------------------------------------------------------------------------------ */

struct hint {
    const char *name, *instead;
};
static const struct hint hints[] = {
    { "print", "use note(key, value) for the request's record or log(text) for the operator's log" },
    { "os", "use clock for the time" },
    { "io", "use data(file) to read files of the policy's folder" },
    { "_G", "there are no globals; use local variables, or shared for state" },
    { "load", "code is loaded only from files, with require" },
    { "loadstring", "code is loaded only from files, with require" },
    { "dofile", "use require" },
    { "loadfile", "use require" },
    { "setmetatable", "metatables are not available" },
    { "getmetatable", "metatables are not available" },
    { "rawset", "metatables are not available, so t[k] = v does the same" },
    { "rawget", "metatables are not available, so t[k] does the same" },
    { "coroutine", "http and sleep wait without it" },
    { "xpcall", "use pcall" },
    { "collectgarbage", "memory is looked after" },
    { "unpack", "use table.unpack" },
    { NULL, NULL },
};

static int undefined_name(lua_State *L)
{
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    for (const struct hint *h = hints; h->name; h++)
        if (strcmp(h->name, key) == 0)
            return luaL_error(L, "\"%s\" is not available in a policy: %s", key, h->instead);
    return luaL_error(L, "undefined name \"%s\"", key);
}

static int global_write(lua_State *L)
{
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "\"%s\" would become a global: write `local %s` (or use shared for state)", key, key);
}

void sandbox_push_env(lua_State *L, const char *name)
{
    (void)name;
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 3);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &builtins_key);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, global_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* ---- base functions ---------------------------------------------------------------------------------------------- */

/* As tostring(), but addresses are not shown: they would make two runs differ and tell where memory lies. */
static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    int type = lua_type(L, 1);
    if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TLIGHTUSERDATA)
        lua_pushstring(L, lua_typename(L, type));
    else if (type == LUA_TUSERDATA && luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL)
        lua_pushstring(L, value_type_name(L, 1));
    else
        luaL_tolstring(L, 1, NULL);
    return 1;
}

static int base_tonumber(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) > 200) {
        lua_pushnil(L);
        return 1;
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int base_type(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushstring(L, luaL_typename(L, 1));
    return 1;
}

/* error() keeps texts short, so that no log line grows with what a policy puts into it. */
static int base_error(lua_State *L)
{
    int level = (int)luaL_optinteger(L, 2, 1);
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
        luaL_where(L, level);
        lua_pushvalue(L, 1);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static const char *const base_as_it_is[] = { "assert", "ipairs", "next", "pairs", "rawequal", "rawlen", "select",
                                             NULL };

static void add_wrapped(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_getglobal(L, name); /* the engine's own globals: Lua's base library, seen by no policy */
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

const struct binding base_bindings[] = {
    { "note", lib_note, "fun(key: string, value: string|number|boolean|Candidate|Candidates)",
      "Puts a note into the request's record. Never put prompts there." },
    { "tag", lib_tag, "fun(key: string, value: string|number|boolean|Candidate|Candidates)",
      "Puts a tag into the request's record, to group requests by." },
    { "log", lib_log, "fun(text: string)",
      "Writes a line to the operator's log." },
    { "deny", answers_deny, "fun(denial: { status?: integer, code?: string, message?: string, retry_after?: number }): Denial",
      "Refuses the request; it must be returned." },
    { "answer", answers_answer, "fun(text: string): Answer",
      "Answers the request itself; it must be returned." },
    { "random", lib_random, "(fun(): number)|(fun(n: integer): integer)|(fun(m: integer, n: integer): integer)",
      "A number from 0 to 1, or a whole number up to n or from m to n. Seeded per request." },
    { "secret", lib_secret, "fun(name: string): Secret",
      "A configured secret, which only headers of http can use." },
    { "data", lib_data, "fun(file: string): any",
      "YAML or JSON of the policy's folder, read again when it changes. Don't change it." },
    { "sleep", lib_sleep, "fun(seconds: number)",
      "Waits without holding up anybody else; in on_request and on_failure." },
    { "require", lib_require, "fun(name: string): any",
      "A Lua file of the policy's folder or of weir's own library." },
    { NULL, NULL, NULL, NULL },
};

static void add_base(lua_State *L)
{
    luaL_requiref(L, "_G", luaopen_base, 1);
    lua_pop(L, 1);
    for (const char *const *name = base_as_it_is; *name; name++) {
        lua_getglobal(L, *name);
        lua_setfield(L, -2, *name);
    }
    add_wrapped(L, "tonumber", base_tonumber);
    static const luaL_Reg own[] = {
        { "tostring", base_tostring }, { "type", base_type }, { "error", base_error }, { "pcall", limits_pcall }, { NULL, NULL },
    };
    luaL_setfuncs(L, own, 0);
    bindings_set(L, base_bindings);
    lua_pushliteral(L, "Lua 5.4");
    lua_setfield(L, -2, "_VERSION");
}

static void add_library(lua_State *L, const char *name, void (*push)(lua_State *))
{
    push(L);
    sandbox_freeze(L, name);
    lua_setfield(L, -2, name);
}

/* The library parts written in Lua see C functions as their arguments and return a table of functions. */
static void run_prelude(lua_State *L)
{
    if (luaL_loadbufferx(L, prelude_source, strlen(prelude_source), "=(weir)", "t") != LUA_OK)
        lua_error(L);
    sandbox_push_env(L, "prelude");
    lua_setupvalue(L, -2, 1);
    lua_pushcfunction(L, candidates_pick);
    lua_pushcfunction(L, re_find);
    lua_pushcfunction(L, candidates_order);
    lua_call(L, 3, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &prelude_key);
}

void sandbox_push_prelude(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &prelude_key);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

void sandbox_open(lua_State *L)
{
    lua_createtable(L, 0, 64);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &builtins_key);
    add_base(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, undefined_name);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    add_library(L, "math", lib_math);
    add_library(L, "utf8", lib_utf8);
    run_prelude(L);
    add_library(L, "string", lib_string);
    add_library(L, "table", lib_table);
    add_library(L, "json", lib_json);
    add_library(L, "hash", lib_hash);
    add_library(L, "base64", lib_base64);
    add_library(L, "re", lib_re);
    add_library(L, "clock", lib_clock);
    add_library(L, "shared", lib_shared);
    add_library(L, "http", lib_http);
    lua_pop(L, 1);
    request_open(L);
    messages_open(L);
    candidates_open(L);
    answers_open(L);
    secrets_open(L);
    texts_open(L);
}
