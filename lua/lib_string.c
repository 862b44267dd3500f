/* The string, utf8 and math libraries of a policy: Lua's own functions behind a look at what the call would cost, our
 * patterns, and arithmetic on strings of numbers. Nothing of string.dump, pack and unpack.
 */
#include <stdio.h>

#include "engine.h"

/* Upvalue 1: the function; 2: its name; 3: nanoseconds per byte of the first argument. */
static int guarded(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING)
        limits_need(L, lua_tostring(L, lua_upvalueindex(2)),
                    (double)lua_rawlen(L, 1) * lua_tonumber(L, lua_upvalueindex(3)) / 1000);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* How many values a call with positions i..j of argument 1 would return. */
static void check_count(lua_State *L, const char *what, int from, int to, size_t n)
{
    lua_Integer i = luaL_optinteger(L, from, 1), j = luaL_optinteger(L, to, i), size = (lua_Integer)n;
    i = i < 0 ? (i < -size ? 1 : size + i + 1) : i;
    j = j < 0 ? size + j + 1 : j > size ? size : j;
    if (j - i >= STRING_ARGUMENTS_MAX)
        luaL_error(L, "%s: more than %d values at once", what, STRING_ARGUMENTS_MAX);
}

static int counted(lua_State *L)
{
    check_count(L, lua_tostring(L, lua_upvalueindex(2)), 2, 3, lua_type(L, 1) == LUA_TSTRING ? lua_rawlen(L, 1) : 0);
    return guarded(L);
}

/* Our own: the piece is copied once and then doubled, so the time is that of the bytes. */
static int string_rep(lua_State *L)
{
    struct buffer b;
    const struct lua_call *c = engine_call(L);
    luaL_checkstring(L, 1);
    luaL_optstring(L, 3, "");
    struct weir_str s = value_str(L, 1), separator = lua_isnoneornil(L, 3) ? WEIR_NONE : value_str(L, 3);
    double n = (double)luaL_checkinteger(L, 2), bytes = n > 0 ? n * (double)(s.n + separator.n) : 0;
    if (c && bytes > (double)c->account->cap / 4)
        return luaL_error(L, "string.rep: the result would take %d KiB (limit `memory`)",
                          bytes > 1e12 ? 1000000000 : (int)(bytes / 1024));
    limits_need(L, "string.rep", bytes / 3000);
    size_t total = (size_t)bytes;
    buffer_open(L, &b);
    if (total > 0) {
        char *to = buffer_room(L, &b, total);
        memcpy(to, s.n ? s.p : "", s.n);
        memcpy(to + s.n, separator.n ? separator.p : "", separator.n);
        for (size_t done = s.n + separator.n; done < total; done *= 2)
            memcpy(to + done, to, done < total - done ? done : total - done);
        b.n = total - separator.n;
    }
    buffer_push(L, &b);
    return 1;
}

/* %p shows addresses. */
static void check_format(lua_State *L, struct weir_str f)
{
    for (size_t i = 0; i + 1 < f.n; i++) {
        if (f.p[i] != '%')
            continue;
        i++;
        while (i < f.n && strchr("-+ #0123456789.", f.p[i] ? f.p[i] : 'x'))
            i++;
        if (i < f.n && f.p[i] == 'p')
            luaL_error(L, "string.format: %%p is not available");
    }
}

static int string_format(lua_State *L)
{
    const struct lua_call *c = engine_call(L);
    luaL_checkstring(L, 1);
    check_format(L, value_str(L, 1));
    size_t bytes = 0;
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++) {
        int type = lua_type(L, i);
        bytes += type == LUA_TSTRING ? lua_rawlen(L, i) : 32;
        if (type != LUA_TTABLE && type != LUA_TFUNCTION)
            continue;
        lua_pushstring(L, lua_typename(L, type)); /* as tostring() shows them: without an address */
        lua_replace(L, i);
    }
    if (c && bytes > c->account->cap / 8)
        return luaL_error(L, "string.format: the result would take more than %d KiB (limit `memory`)",
                          (int)(bytes >> 10));
    limits_need(L, "string.format", (double)bytes / 200);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* ---- arithmetic on strings ("10" + 1), as Lua has it ------------------------------------------------------------- */

static bool push_number(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_pushvalue(L, index);
        return true;
    }
    size_t n;
    const char *s = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
    return s && n <= 200 && lua_stringtonumber(L, s) == n + 1;
}

static int string_arithmetic(lua_State *L)
{
    int op = (int)lua_tointeger(L, lua_upvalueindex(1));
    lua_settop(L, 2);
    if (!push_number(L, 1) || (op != LUA_OPUNM && !push_number(L, 2)))
        return luaL_error(L, "attempt to perform arithmetic on a %s (not a number: \"%s\")",
                          luaL_typename(L, lua_type(L, 1) == LUA_TNUMBER ? 2 : 1),
                          lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) < 40 ? lua_tostring(L, 1) : "…");
    lua_arith(L, op);
    return 1;
}

static void add_arithmetic(lua_State *L)
{
    static const struct { const char *name; int op; } ops[] = {
        { "__add", LUA_OPADD }, { "__sub", LUA_OPSUB },   { "__mul", LUA_OPMUL }, { "__mod", LUA_OPMOD },
        { "__pow", LUA_OPPOW }, { "__div", LUA_OPDIV },   { "__idiv", LUA_OPIDIV }, { "__unm", LUA_OPUNM },
    };
    for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
        lua_pushinteger(L, ops[i].op);
        lua_pushcclosure(L, string_arithmetic, 1);
        lua_setfield(L, -2, ops[i].name);
    }
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

/* With Lua's library at the top and ours below it: wraps one function. */
static void wrap(lua_State *L, const char *library, const char *name, lua_CFunction fn, double ns_per_byte)
{
    lua_getfield(L, -1, name);
    lua_pushfstring(L, "%s.%s", library, name);
    lua_pushnumber(L, ns_per_byte);
    lua_pushcclosure(L, fn, 3);
    lua_setfield(L, -3, name);
}

static void open_standard(lua_State *L, lua_CFunction open)
{
    lua_createtable(L, 0, 16);
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
}

void lib_string(lua_State *L)
{
    static const luaL_Reg own[] = {
        { "find", pattern_find }, { "match", pattern_match }, { "gmatch", pattern_gmatch }, { "gsub", pattern_gsub },
        { "rep", string_rep },   { NULL, NULL },
    };
    open_standard(L, luaopen_string);
    wrap(L, "string", "len", guarded, 0);
    wrap(L, "string", "sub", guarded, 0.3);
    wrap(L, "string", "lower", guarded, 1.5);
    wrap(L, "string", "upper", guarded, 1.5);
    wrap(L, "string", "reverse", guarded, 1.5);
    wrap(L, "string", "byte", counted, 0);
    wrap(L, "string", "char", guarded, 0);
    wrap(L, "string", "format", string_format, 0);
    lua_pop(L, 1);
    luaL_setfuncs(L, own, 0);
    /* Methods of strings: a metatable of our own in place of the standard library's. */
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 12);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    add_arithmetic(L);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void lib_utf8(lua_State *L)
{
    open_standard(L, luaopen_utf8);
    wrap(L, "utf8", "len", guarded, 3);
    wrap(L, "utf8", "char", guarded, 0);
    wrap(L, "utf8", "offset", guarded, 2);
    wrap(L, "utf8", "codepoint", counted, 3);
    wrap(L, "utf8", "codes", guarded, 0);
    lua_getfield(L, -1, "charpattern");
    lua_setfield(L, -3, "charpattern");
    lua_pop(L, 1);
}

void lib_math(lua_State *L)
{
    static const char *const names[] = { "abs", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max",
                                         "maxinteger", "min", "mininteger", "modf", "pi", "rad", "sin", "sqrt", "tan",
                                         "acos", "asin", "atan", "tointeger", "type", "ult", NULL };
    open_standard(L, luaopen_math);
    for (const char *const *name = names; *name; name++) {
        lua_getfield(L, -1, *name);
        lua_setfield(L, -3, *name);
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, lib_random);
    lua_setfield(L, -2, "random");
}
