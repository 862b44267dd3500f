/* What a policy can hold: userdata with one common head, so that one look tells its type and whether its run is over;
 * and the small helpers by which C functions read their arguments and build strings.
 *
 * Owner: Lua's collector. None has a finalizer that touches anything else.
 */
#include <stdio.h>

#include "engine.h"

static const char metatable_keys[VALUE_TYPES]; /* addresses are keys in the registry */
static const char *type_names[VALUE_TYPES];

void value_metatable(lua_State *L, enum value_type type, const char *name)
{
    type_names[type] = name;
    lua_createtable(L, 0, 8);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_keys[type]);
}

void *value_new(lua_State *L, enum value_type type, size_t size, int n_uservalues)
{
    struct value *v = lua_newuserdatauv(L, size, n_uservalues);
    memset(v, 0, size);
    v->type = type;
    v->call = engine_call(L);
    v->serial = v->call ? v->call->serial : 0;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_keys[type]);
    lua_setmetatable(L, -2);
    return v;
}

void *value_test(lua_State *L, int index, enum value_type type)
{
    if (lua_type(L, index) != LUA_TUSERDATA)
        return NULL;
    struct value *v = lua_touserdata(L, index);
    return v->type == (uint32_t)type ? v : NULL;
}

const char *value_type_name(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA)
        return luaL_typename(L, index);
    const struct value *v = lua_touserdata(L, index);
    return v->type < VALUE_TYPES && type_names[v->type] ? type_names[v->type] : "userdata";
}

void *value_check(lua_State *L, int index, enum value_type type)
{
    struct value *v = value_test(L, index, type);
    if (!v) {
        luaL_error(L, "expected %s, got %s (method calls are written with a colon, as in req:text())", type_names[type],
                   value_type_name(L, index));
        return NULL;
    }
    if (!v->call || v->serial != v->call->serial || !v->call->call)
        luaL_error(L, "request is over: this %s belongs to a hook that has ended", type_names[type]);
    return v;
}

struct weir_str value_str(lua_State *L, int index)
{
    struct weir_str s;
    s.p = lua_tolstring(L, index, &s.n);
    return s;
}

void value_push_or_nil(lua_State *L, struct weir_str s)
{
    if (s.n == 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, s.p, s.n);
}

bool value_is_name(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool is_fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '-' || c == '.';
        if (!is_fine)
            return false;
    }
    return n > 0;
}

bool value_field_number(lua_State *L, int index, const char *what, const char *name, double *to)
{
    int type = lua_getfield(L, index, name);
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    if (type != LUA_TNUMBER)
        luaL_error(L, "%s: %s must be a number, not a %s", what, name, value_type_name(L, -1));
    *to = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return true;
}

/* The string stays alive as long as the table holds it. */
bool value_field_string(lua_State *L, int index, const char *what, const char *name, struct weir_str *to)
{
    int type = lua_getfield(L, index, name);
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    if (type != LUA_TSTRING)
        luaL_error(L, "%s: %s must be a text, not a %s", what, name, value_type_name(L, -1));
    *to = value_str(L, -1);
    lua_pop(L, 1);
    return true;
}

void value_known_fields(lua_State *L, int index, const char *what, const char *const *names)
{
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        const char *const *at = names;
        while (*at && (!key || strcmp(*at, key) != 0))
            at++;
        if (!*at)
            luaL_error(L, "%s: it has no field \"%s\"", what, key ? key : luaL_typename(L, -2));
    }
}

void buffer_open(lua_State *L, struct buffer *b)
{
    *b = (struct buffer){ 0 };
    lua_pushnil(L);
    b->index = lua_gettop(L);
}

char *buffer_room(lua_State *L, struct buffer *b, size_t n)
{
    if (b->cap - b->n >= n)
        return b->p + b->n;
    size_t cap = b->cap ? b->cap * 2 : 256;
    while (cap - b->n < n)
        cap *= 2;
    const struct lua_call *c = engine_call(L);
    if (c && cap > c->account->cap)
        luaL_error(L, "not enough memory: a result of more than %d KiB (limit `memory`)", (int)(b->cap >> 10));
    struct value *v = lua_newuserdatauv(L, sizeof(*v) + cap, 0);
    *v = (struct value){ .type = VALUE_BUFFER };
    char *p = (char *)(v + 1);
    if (b->n)
        memcpy(p, b->p, b->n);
    lua_replace(L, b->index);
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

void buffer_add(lua_State *L, struct buffer *b, const char *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buffer_room(L, b, n), p, n);
    b->n += n;
}

void buffer_push(lua_State *L, struct buffer *b)
{
    lua_pushlstring(L, b->n ? b->p : "", b->n);
}

/* The inside of a JSON string, validated by the host: \uXXXX and the short escapes. */
static size_t put_utf8(char *to, uint32_t u)
{
    if (u < 0x80)
        return to[0] = (char)u, 1;
    if (u < 0x800)
        return to[0] = (char)(0xC0 | u >> 6), to[1] = (char)(0x80 | (u & 63)), 2;
    if (u < 0x10000)
        return to[0] = (char)(0xE0 | u >> 12), to[1] = (char)(0x80 | (u >> 6 & 63)), to[2] = (char)(0x80 | (u & 63)), 3;
    to[0] = (char)(0xF0 | u >> 18);
    to[1] = (char)(0x80 | (u >> 12 & 63));
    to[2] = (char)(0x80 | (u >> 6 & 63));
    to[3] = (char)(0x80 | (u & 63));
    return 4;
}

/* Four hexadecimal digits at p, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t u = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        u = u << 4 | digit;
    }
    return u;
}

/* Decodes the escape at p (behind the backslash); writes at most 4 bytes; returns how many bytes of p it took, 0:
 * bad. */
size_t value_unescape(const char *p, const char *end, char *to, size_t *n_to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (p >= end)
        return 0;
    const char *at = *p ? strchr(from, *p) : NULL;
    if (at) {
        to[0] = into[at - from];
        *n_to = 1;
        return 1;
    }
    int32_t u = *p == 'u' ? hex4(p + 1, end) : -1;
    if (u < 0)
        return 0;
    size_t taken = 5;
    if (u >= 0xD800 && u < 0xDC00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u') {
        int32_t low = hex4(p + 7, end);
        if (low >= 0xDC00 && low < 0xE000) {
            u = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
            taken = 11;
        }
    }
    *n_to = put_utf8(to, u >= 0xD800 && u < 0xE000 ? 0xFFFD : (uint32_t)u);
    return taken;
}

/* Adds the plain content of an escaped text. -1: not well-formed. */
int value_add_unescaped(lua_State *L, struct buffer *b, const char *p, size_t n)
{
    const char *end = p + n;
    buffer_room(L, b, n + 4);
    while (p < end) {
        const char *stop = memchr(p, '\\', (size_t)(end - p));
        stop = stop ? stop : end;
        buffer_add(L, b, p, (size_t)(stop - p));
        if (stop == end)
            return 0;
        size_t made = 0, taken = value_unescape(stop + 1, end, buffer_room(L, b, 4), &made);
        if (taken == 0)
            return -1;
        b->n += made;
        p = stop + 1 + taken;
    }
    return 0;
}

void value_push_text(lua_State *L, const struct weir_text *t)
{
    limits_need(L, "text", (double)t->n / 1000);
    if (t->form != WEIR_TEXT_ESCAPED || !memchr(t->n ? t->p : "", '\\', t->n)) {
        lua_pushlstring(L, t->n ? t->p : "", t->n);
        return;
    }
    struct buffer b;
    buffer_open(L, &b);
    value_add_unescaped(L, &b, t->p, t->n);
    buffer_push(L, &b);
    lua_remove(L, b.index);
}
