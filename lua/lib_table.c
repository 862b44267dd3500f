/* The table library: our own functions, because Lua's work as long as the numbers they are given say. Shifting looks
 * at the clock as it goes; sort is the prelude's, in Lua, so that comparisons can be paused and can never make it
 * run wild.
 */
#include "engine.h"

enum { TABLE_LOOK = 2048 };

/* Tables only: values with metamethods would make each step a call. */
static lua_Integer length(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return (lua_Integer)lua_rawlen(L, index);
}

/* Raw writes would go past what makes libraries read-only. */
static void check_writable(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    if (luaL_getmetafield(L, index, "__newindex") != LUA_TNIL)
        luaL_error(L, "this table is read-only");
}

static void look(lua_State *L, lua_Integer i)
{
    if (i % TABLE_LOOK == 0)
        limits_tick(L);
}

static int table_insert(lua_State *L)
{
    lua_Integer n = length(L, 1), at = n + 1;
    check_writable(L, 1);
    if (lua_gettop(L) == 3) {
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= n + 1, 2, "position out of bounds");
    } else if (lua_gettop(L) != 2) {
        return luaL_error(L, "wrong number of arguments to table.insert");
    }
    for (lua_Integer i = n; i >= at; i--) {
        lua_rawgeti(L, 1, i);
        lua_rawseti(L, 1, i + 1);
        look(L, i);
    }
    lua_pushvalue(L, lua_gettop(L));
    lua_rawseti(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L)
{
    lua_Integer n = length(L, 1), at = luaL_optinteger(L, 2, n);
    check_writable(L, 1);
    if (lua_gettop(L) >= 2)
        luaL_argcheck(L, (at >= 1 && at <= n + 1) || (n == 0 && at == 0), 2, "position out of bounds");
    lua_rawgeti(L, 1, at);
    for (lua_Integer i = at; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawseti(L, 1, i);
        look(L, i);
    }
    if (at <= n && at >= 1) {
        lua_pushnil(L);
        lua_rawseti(L, 1, n);
    }
    return 1;
}

static int table_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3), at = luaL_checkinteger(L, 4);
    int into = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    check_writable(L, into);
    luaL_argcheck(L, from > 0 || to < LUA_MAXINTEGER + from, 3, "too many elements to move");
    luaL_argcheck(L, to < from || at <= LUA_MAXINTEGER - (to - from), 4, "destination wrap around");
    bool is_forward = at > to || at <= from || into != 1;
    for (lua_Integer k = 0, n = to - from; to >= from && k <= n; k++) {
        lua_Integer i = is_forward ? k : n - k;
        lua_rawgeti(L, 1, from + i);
        lua_rawseti(L, into, at + i);
        look(L, k + 1);
    }
    lua_pushvalue(L, into);
    return 1;
}

static void add_piece(lua_State *L, struct buffer *b, lua_Integer i)
{
    int type = lua_rawgeti(L, 1, i);
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        luaL_error(L, "table.concat: element %d is a %s, not a text", (int)i, value_type_name(L, -1));
    struct weir_str s = value_str(L, -1);
    buffer_add(L, b, s.p, s.n);
    lua_pop(L, 1);
    if (s.n > 4096)
        limits_tick(L);
}

static int table_concat(lua_State *L)
{
    struct buffer b;
    lua_Integer n = length(L, 1);
    luaL_optstring(L, 2, "");
    lua_Integer i = luaL_optinteger(L, 3, 1), to = luaL_optinteger(L, 4, n);
    struct weir_str separator = lua_isnoneornil(L, 2) ? WEIR_NONE : value_str(L, 2);
    buffer_open(L, &b);
    for (; i <= to; i++) {
        add_piece(L, &b, i);
        if (i < to)
            buffer_add(L, &b, separator.p, separator.n);
        look(L, i);
        if (i == LUA_MAXINTEGER)
            break;
    }
    buffer_push(L, &b);
    return 1;
}

static int table_unpack(lua_State *L)
{
    lua_Integer n = length(L, 1), i = luaL_optinteger(L, 2, 1), to = luaL_optinteger(L, 3, n);
    if (i > to)
        return 0;
    lua_Unsigned count = (lua_Unsigned)to - (lua_Unsigned)i;
    if (count >= STRING_ARGUMENTS_MAX || !lua_checkstack(L, (int)count + 1))
        return luaL_error(L, "table.unpack: more than %d values at once", STRING_ARGUMENTS_MAX);
    for (; i < to; i++)
        lua_rawgeti(L, 1, i);
    lua_rawgeti(L, 1, to);
    return (int)count + 1;
}

static int table_pack(lua_State *L)
{
    int n = lua_gettop(L);
    lua_createtable(L, n, 1);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--)
        lua_rawseti(L, 1, i);
    lua_pushinteger(L, n);
    lua_setfield(L, 1, "n");
    return 1;
}

void lib_table(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "insert", table_insert }, { "remove", table_remove }, { "move", table_move }, { "concat", table_concat },
        { "unpack", table_unpack }, { "pack", table_pack },     { NULL, NULL },
    };
    luaL_newlib(L, functions);
    sandbox_push_prelude(L, "sort");
    lua_setfield(L, -2, "sort");
}
