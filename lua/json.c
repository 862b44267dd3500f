/* JSON between Lua values and text: RFC 8259, UTF-8 checked, numbers that fit become integers.
 *
 * Our own and not the host's reader because values must be made straight in Lua's memory, charged to the run that
 * asked, and because files are read where there is no request. null in an object is an absent field, in an array
 * json.null; an empty array keeps a mark so that it stays an array when it is written again.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

enum { JSON_DEPTH = 64, JSON_TEXT_MAX = 1 << 20, JSON_TICK = 512 };

static const char array_key; /* its address is the key of the mark's metatable */

struct reader {
    lua_State *L;
    const char *begin, *p, *end;
    int depth;
    uint32_t n;
    struct buffer strings;
};

static void fail(struct reader *r, const char *what)
{
    luaL_error(r->L, "json: %s at byte %d", what, (int)(r->p - r->begin) + 1);
}

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static char next_char(struct reader *r)
{
    skip_blanks(r);
    return r->p < r->end ? *r->p : 0;
}

/* How many bytes the character at p has; 0: not UTF-8. */
static int utf8_length(const unsigned char *p, const unsigned char *end)
{
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    int n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (end - p < n)
        return 0;
    unsigned char low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (int i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

/* Goes to the quote that ends the string; tells whether there are escapes. */
static const char *string_end(struct reader *r, bool *has_escapes)
{
    const char *from = r->p;
    *has_escapes = false;
    while (r->p < r->end && *r->p != '"') {
        unsigned char c = (unsigned char)*r->p;
        int n = 1;
        if (c == '\\') {
            *has_escapes = true;
            n = r->end - r->p >= 2 ? 2 : 0;
        } else if (c >= 0x80) {
            n = utf8_length((const unsigned char *)r->p, (const unsigned char *)r->end);
        } else if (c < 0x20) {
            n = 0;
        }
        if (n == 0)
            fail(r, c < 0x20 ? "a control character in a string" : "not UTF-8");
        r->p += n;
    }
    if (r->p >= r->end)
        fail(r, "a string without end");
    return from;
}

static void read_string(struct reader *r)
{
    bool has_escapes;
    r->p++;
    const char *from = string_end(r, &has_escapes);
    size_t n = (size_t)(r->p - from);
    r->p++;
    if (!has_escapes) {
        lua_pushlstring(r->L, from, n);
        return;
    }
    r->strings.n = 0;
    if (value_add_unescaped(r->L, &r->strings, from, n) < 0)
        fail(r, "a bad escape in a string");
    buffer_push(r->L, &r->strings);
}

static size_t digits(const char *p, const char *end)
{
    size_t n = 0;
    while (p + n < end && p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

static void read_number(struct reader *r)
{
    const char *from = r->p, *p = from + (*from == '-');
    size_t whole = digits(p, r->end), more;
    bool is_integer = true;
    if (whole == 0 || (whole > 1 && *p == '0'))
        fail(r, "not a number");
    p += whole;
    if (p < r->end && *p == '.') {
        is_integer = false;
        if ((more = digits(p + 1, r->end)) == 0)
            fail(r, "not a number");
        p += 1 + more;
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        is_integer = false;
        p++;
        if (p < r->end && (*p == '+' || *p == '-'))
            p++;
        if ((more = digits(p, r->end)) == 0)
            fail(r, "not a number");
        p += more;
    }
    char text[128];
    size_t n = (size_t)(p - from);
    if (n >= sizeof(text))
        fail(r, "a number with too many digits");
    memcpy(text, from, n);
    text[n] = 0;
    if (is_integer && whole <= 18)
        lua_pushinteger(r->L, strtoll(text, NULL, 10));
    else
        lua_pushnumber(r->L, strtod(text, NULL));
    r->p = p;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return false;
    r->p += n;
    return true;
}

static void read_value(struct reader *r);

static void mark_array(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, -2);
}

static void read_array(struct reader *r)
{
    lua_Integer n = 0;
    r->p++;
    lua_createtable(r->L, 0, 0);
    if (next_char(r) == ']') {
        r->p++;
        mark_array(r->L);
        return;
    }
    for (;;) {
        read_value(r);
        lua_rawseti(r->L, -2, ++n);
        char c = next_char(r);
        if (c != ',' && c != ']')
            fail(r, "expected , or ]");
        r->p++;
        if (c == ']')
            return;
    }
}

static void read_member(struct reader *r)
{
    if (next_char(r) != '"')
        fail(r, "expected a key");
    read_string(r);
    if (next_char(r) != ':')
        fail(r, "expected :");
    r->p++;
    read_value(r);
    if (lua_islightuserdata(r->L, -1))
        lua_pop(r->L, 2); /* null: absent */
    else
        lua_rawset(r->L, -3);
}

static void read_object(struct reader *r)
{
    r->p++;
    lua_createtable(r->L, 0, 0);
    if (next_char(r) == '}') {
        r->p++;
        return;
    }
    for (;;) {
        read_member(r);
        char c = next_char(r);
        if (c != ',' && c != '}')
            fail(r, "expected , or }");
        r->p++;
        if (c == '}')
            return;
    }
}

static void read_word(struct reader *r)
{
    if (take_word(r, "true"))
        lua_pushboolean(r->L, true);
    else if (take_word(r, "false"))
        lua_pushboolean(r->L, false);
    else if (take_word(r, "null"))
        lua_pushlightuserdata(r->L, NULL);
    else
        fail(r, "expected a value");
}

static void read_value(struct reader *r)
{
    if (++r->n % JSON_TICK == 0)
        limits_tick(r->L);
    if (++r->depth > JSON_DEPTH)
        fail(r, "too deeply nested");
    luaL_checkstack(r->L, 8, "json");
    char c = next_char(r);
    if (c == '{')
        read_object(r);
    else if (c == '[')
        read_array(r);
    else if (c == '"')
        read_string(r);
    else if (c == '-' || (c >= '0' && c <= '9'))
        read_number(r);
    else
        read_word(r);
    r->depth--;
}

void json_push(lua_State *L, struct weir_str text)
{
    if (text.n > JSON_TEXT_MAX)
        luaL_error(L, "json: a text of %d KiB; at most %d KiB are read", (int)(text.n >> 10), JSON_TEXT_MAX >> 10);
    struct reader r = { .L = L, .begin = text.p, .p = text.p, .end = text.p + text.n };
    buffer_open(L, &r.strings);
    read_value(&r);
    skip_blanks(&r);
    if (r.p != r.end)
        fail(&r, "something behind the value");
    lua_remove(L, r.strings.index);
}

void json_push_scalar_field(lua_State *L, struct weir_str text)
{
    if (text.n == 0)
        lua_pushnil(L);
    else
        json_push(L, text);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct writer {
    lua_State *L;
    struct buffer *b;
    int depth;
    uint32_t n;
};

static void put(struct writer *w, const char *s)
{
    buffer_add(w->L, w->b, s, strlen(s));
}

/* What is not UTF-8 becomes U+FFFD: the result is always JSON. */
static void write_string(struct writer *w, const char *p, size_t n)
{
    const char *end = p + n, *clean = p;
    if (n > 65536)
        limits_need(w->L, "json.encode", (double)n / 500);
    put(w, "\"");
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        int length = c >= 0x80 ? utf8_length((const unsigned char *)p, (const unsigned char *)end) : 1;
        if (c != '"' && c != '\\' && c >= 0x20 && length > 0) {
            p += length;
            continue;
        }
        buffer_add(w->L, w->b, clean, (size_t)(p - clean));
        char escape[8];
        if (length == 0)
            put(w, "\xEF\xBF\xBD");
        else if (c == '"' || c == '\\')
            buffer_add(w->L, w->b, c == '"' ? "\\\"" : "\\\\", 2);
        else
            snprintf(escape, sizeof(escape), "\\u%04x", c), put(w, c == '\n' ? "\\n" : c == '\t' ? "\\t" : escape);
        clean = ++p;
    }
    buffer_add(w->L, w->b, clean, (size_t)(p - clean));
    put(w, "\"");
}

static void write_number(struct writer *w, int index)
{
    char text[40];
    if (lua_isinteger(w->L, index)) {
        snprintf(text, sizeof(text), "%lld", (long long)lua_tointeger(w->L, index));
        put(w, text);
        return;
    }
    double d = lua_tonumber(w->L, index);
    if (!isfinite(d))
        luaL_error(w->L, "json: a number must be finite");
    snprintf(text, sizeof(text), "%.15g", d);
    if (strtod(text, NULL) != d)
        snprintf(text, sizeof(text), "%.17g", d);
    if (d == 0 && signbit(d))
        put(w, "-0.0"); /* read again, "-0" would be a whole number, which has no sign at zero */
    else
        put(w, text);
}

static void write_value(struct writer *w, int index);

static void write_array(struct writer *w, int index, lua_Unsigned n)
{
    put(w, "[");
    for (lua_Unsigned i = 1; i <= n; i++) {
        if (i > 1)
            put(w, ",");
        lua_rawgeti(w->L, index, (lua_Integer)i);
        write_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
    put(w, "]");
}

/* Keys are sorted by nobody: the order is the table's. */
static void write_object(struct writer *w, int index)
{
    bool has_one = false;
    put(w, "{");
    for (lua_pushnil(w->L); lua_next(w->L, index); lua_pop(w->L, 1)) {
        if (lua_type(w->L, -2) != LUA_TSTRING)
            luaL_error(w->L, "json: a table is either a list (1, 2, … without gaps) or has texts as keys");
        struct weir_str key = value_str(w->L, -2);
        if (has_one)
            put(w, ",");
        has_one = true;
        write_string(w, key.p, key.n);
        put(w, ":");
        write_value(w, lua_gettop(w->L));
    }
    put(w, "}");
}

static bool is_marked_array(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is;
}

static void write_table(struct writer *w, int index)
{
    lua_Unsigned n = lua_rawlen(w->L, index);
    if (n > 0 || is_marked_array(w->L, index))
        write_array(w, index, n);
    else
        write_object(w, index);
}

static void write_value(struct writer *w, int index)
{
    lua_State *L = w->L;
    if (++w->n % JSON_TICK == 0)
        limits_tick(L);
    if (++w->depth > JSON_DEPTH)
        luaL_error(L, "json: too deeply nested (or a table that contains itself)");
    luaL_checkstack(L, 8, "json");
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        write_string(w, lua_tostring(L, index), lua_rawlen(L, index));
        break;
    case LUA_TNUMBER:
        write_number(w, index);
        break;
    case LUA_TBOOLEAN:
        put(w, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TNIL:
        put(w, "null");
        break;
    case LUA_TTABLE:
        write_table(w, index);
        break;
    case LUA_TLIGHTUSERDATA:
        put(w, "null");
        break;
    default:
        luaL_error(L, "json: a %s has no form in JSON", value_type_name(L, index));
    }
    w->depth--;
}

void json_add(lua_State *L, struct buffer *b, int index)
{
    struct writer w = { .L = L, .b = b };
    write_value(&w, lua_absindex(L, index));
}

static int try_body(lua_State *L)
{
    struct weir_str text = value_str(L, 1);
    json_push(L, text);
    return 1;
}

void json_push_or_nil(lua_State *L, int index)
{
    const struct lua_call *c = engine_call(L);
    lua_pushcfunction(L, try_body);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return;
    if (c && c->killed[0])
        lua_error(L);
    lua_pop(L, 1);
    lua_pushnil(L);
}

/* ---- the library ------------------------------------------------------------------------------------------------- */

static int json_decode(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TSTRING);
    struct weir_str text = value_str(L, 1);
    limits_need(L, "json.decode", (double)text.n / 200);
    json_push(L, text);
    return 1;
}

static int json_encode(lua_State *L)
{
    struct buffer b;
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    buffer_open(L, &b);
    json_add(L, &b, 1);
    buffer_push(L, &b);
    return 1;
}

static int json_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_createtable(L, 0, 0);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1) && !is_marked_array(L, 1))
        return luaL_error(L, "json.array: this table is read-only");
    lua_settop(L, 1);
    mark_array(L);
    return 1;
}

const struct binding json_bindings[] = {
    { "encode", json_encode, "fun(value: any): string",
      "As JSON." },
    { "decode", json_decode, "fun(text: string): any",
      "From JSON; raises if it is none. null is nil in objects and json.null in lists." },
    { "array", json_array, "fun(list?: table): table",
      "A table that is a list even when it is empty." },
    { "null", NULL, "userdata",
      "null in a list." },
    { NULL, NULL, NULL, NULL },
};

void lib_json(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_newtable(L);
    bindings_set(L, json_bindings);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}
