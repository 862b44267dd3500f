/* Small libraries that pass on what the host offers: hash, base64, random, note, tag, log, shared. */
#include <math.h>
#include <stdio.h>

#include "engine.h"

enum { NOTES_MAX = 64, NOTE_KEY_MAX = 64, NOTE_TEXT_MAX = 1024, LOG_MAX = 1024 };
enum { SHARED_KEY_MAX = 128, SHARED_VALUE_MAX = 1000 };

/* ---- hash, base64 ------------------------------------------------------------------------------------------------ */

static int push_hex(lua_State *L, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char text[64];
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[p[i] >> 4];
        text[2 * i + 1] = digits[p[i] & 15];
    }
    lua_pushlstring(L, text, 2 * n);
    return 1;
}

static struct weir_str hashable(lua_State *L, int index, const char *what)
{
    luaL_checkstring(L, index);
    struct weir_str s = value_str(L, index);
    limits_need(L, what, (double)s.n / 400);
    return s;
}

static int hash_sha256(lua_State *L)
{
    uint8_t digest[32];
    engine.host->sha256(hashable(L, 1, "hash.sha256"), digest);
    return push_hex(L, digest, sizeof(digest));
}

static int hash_hmac_sha256(lua_State *L)
{
    uint8_t digest[32];
    struct weir_str key = hashable(L, 1, "hash.hmac_sha256");
    engine.host->hmac_sha256(key, hashable(L, 2, "hash.hmac_sha256"), digest);
    return push_hex(L, digest, sizeof(digest));
}

/* A number in [0, 1) that depends on the text alone: for shares that stick to a caller. */
static int hash_share(lua_State *L)
{
    uint8_t digest[32];
    engine.host->sha256(hashable(L, 1, "hash.share"), digest);
    uint64_t n = 0;
    for (int i = 0; i < 7; i++)
        n = n << 8 | digest[i];
    lua_pushnumber(L, (lua_Number)(n >> 3) / (lua_Number)(UINT64_C(1) << 53));
    return 1;
}

const struct binding hash_bindings[] = {
    { "sha256", hash_sha256, "fun(s: string): string",
      "Hexadecimal." },
    { "hmac_sha256", hash_hmac_sha256, "fun(key: string, s: string): string",
      "Hexadecimal." },
    { "share", hash_share, "fun(s: string): number",
      "A number from 0 to 1 that depends on the text alone." },
    { NULL, NULL, NULL, NULL },
};

void lib_hash(lua_State *L)
{
    lua_newtable(L);
    bindings_set(L, hash_bindings);
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_encode(lua_State *L)
{
    struct weir_str s = hashable(L, 1, "base64.encode");
    struct buffer b;
    buffer_open(L, &b);
    char *to = buffer_room(L, &b, (s.n + 2) / 3 * 4 + 1);
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < s.n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < s.n ? p[i + 2] : 0);
        to[b.n++] = base64_digits[v >> 18];
        to[b.n++] = base64_digits[v >> 12 & 63];
        to[b.n++] = i + 1 < s.n ? base64_digits[v >> 6 & 63] : '=';
        to[b.n++] = i + 2 < s.n ? base64_digits[v & 63] : '=';
    }
    buffer_push(L, &b);
    return 1;
}

static int base64_value(char c)
{
    if (c == '-' || c == '_')
        return c == '-' ? 62 : 63;
    const char *at = c ? strchr(base64_digits, c) : NULL;
    return at ? (int)(at - base64_digits) : -1;
}

/* Both alphabets, padded or not; nil if it is not base64. */
static int base64_decode(lua_State *L)
{
    struct weir_str s = hashable(L, 1, "base64.decode");
    struct buffer b;
    uint32_t v = 0;
    int bits = 0;
    while (s.n > 0 && s.p[s.n - 1] == '=')
        s.n--;
    buffer_open(L, &b);
    char *to = buffer_room(L, &b, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        int digit = base64_value(s.p[i]);
        if (digit < 0) {
            lua_pushnil(L);
            return 1;
        }
        v = v << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            to[b.n++] = (char)(v >> bits & 255);
        }
    }
    if (s.n % 4 == 1)
        lua_pushnil(L);
    else
        buffer_push(L, &b);
    return 1;
}

const struct binding base64_bindings[] = {
    { "encode", base64_encode, "fun(s: string): string",
      "With padding." },
    { "decode", base64_decode, "fun(s: string): string?",
      "Both alphabets, padded or not; nil if it is not base64." },
    { NULL, NULL, NULL, NULL },
};

void lib_base64(lua_State *L)
{
    lua_newtable(L);
    bindings_set(L, base64_bindings);
}

/* ---- random: seeded per request ---------------------------------------------------------------------------------- */

int lib_random(lua_State *L)
{
    uint64_t r = engine.host->random(engine_host_call(L));
    if (lua_gettop(L) == 0) {
        lua_pushnumber(L, (lua_Number)(r >> 11) / (lua_Number)(UINT64_C(1) << 53));
        return 1;
    }
    int last = lua_gettop(L) > 1 ? 2 : 1;
    lua_Integer low = last > 1 ? luaL_checkinteger(L, 1) : 1, high = luaL_checkinteger(L, last);
    luaL_argcheck(L, low <= high, last, "interval is empty");
    lua_Unsigned span = (lua_Unsigned)high - (lua_Unsigned)low + 1;
    lua_pushinteger(L, (lua_Integer)((lua_Unsigned)low + (span ? r % span : r)));
    return 1;
}

/* ---- note, tag, log ---------------------------------------------------------------------------------------------- */

/* The host keeps the key's pointer: it has to live as long as the request. */
static const char *keep_key(lua_State *L, const char *prefix, struct weir_str key)
{
    if (!value_is_name(key.p, key.n) || key.n > NOTE_KEY_MAX)
        luaL_error(L, "a note's key may have letters, digits, '_', '-' and '.' (at most %d)", NOTE_KEY_MAX);
    size_t n = strlen(prefix);
    char *kept = engine.host->alloc(engine_host_call(L), WEIR_FOR_REQUEST, n + key.n + 1);
    if (!kept) {
        luaL_error(L, "not enough memory for a note");
        return "";
    }
    memcpy(kept, prefix, n);
    memcpy(kept + n, key.p, key.n);
    kept[n + key.n] = 0;
    return kept;
}

static int add_note(lua_State *L, const char *prefix)
{
    struct lua_call *c = engine_call(L);
    struct weir_call *call = engine_host_call(L);
    luaL_checkstring(L, 1);
    luaL_checkany(L, 2);
    if (++c->notes > NOTES_MAX)
        return luaL_error(L, "more than %d notes and tags", NOTES_MAX);
    lua_settop(L, 2);
    if (lua_isboolean(L, 2))
        lua_pushstring(L, lua_toboolean(L, 2) ? "true" : "false");
    else if (lua_type(L, 2) == LUA_TSTRING || lua_type(L, 2) == LUA_TNUMBER ||
             value_test(L, 2, VALUE_CANDIDATE) || value_test(L, 2, VALUE_CANDIDATES))
        luaL_tolstring(L, 2, NULL);
    else
        return luaL_error(L, "a note's value must be a text, a number, a boolean or candidates, not a %s",
                          value_type_name(L, 2));
    struct weir_str value = value_str(L, -1);
    value.n = value.n > NOTE_TEXT_MAX ? NOTE_TEXT_MAX : value.n;
    limits_host_bytes(L, value.n + NOTE_KEY_MAX);
    engine.host->note(call, keep_key(L, prefix, value_str(L, 1)), value);
    return 0;
}

int lib_note(lua_State *L)
{
    return add_note(L, "");
}

int lib_tag(lua_State *L)
{
    return add_note(L, "tag.");
}

int lib_log(lua_State *L)
{
    struct lua_call *c = engine_call(L);
    luaL_checkstring(L, 1);
    struct weir_str s = value_str(L, 1);
    if (++c->notes > NOTES_MAX)
        return luaL_error(L, "more than %d notes and log lines", NOTES_MAX);
    int n = s.n > LOG_MAX ? LOG_MAX : (int)s.n;
    engine.host->log(c->policy->inst, WEIR_LOG_INFO, "policy %s: %.*s", c->policy->file->name, n, s.p);
    return 0;
}

/* ---- shared ------------------------------------------------------------------------------------------------------ */

static struct weir_str shared_key(lua_State *L)
{
    luaL_checkstring(L, 1);
    struct weir_str key = value_str(L, 1);
    if (key.n == 0 || key.n > SHARED_KEY_MAX)
        luaL_error(L, "shared: a key has 1 to %d bytes (hash.sha256 makes long ones short)", SHARED_KEY_MAX);
    return key;
}

static uint32_t shared_ttl(lua_State *L, int index)
{
    static const char *const known[] = { "ttl", NULL };
    double ttl = 0;
    if (lua_isnoneornil(L, index))
        return 0;
    luaL_checktype(L, index, LUA_TTABLE);
    value_known_fields(L, index, "shared", known);
    if (value_field_number(L, index, "shared", "ttl", &ttl) && !(ttl >= 0.001 && ttl <= 4e6))
        luaL_error(L, "shared: ttl must be seconds from 0.001 to 4000000");
    return (uint32_t)(ttl * 1000);
}

static int shared_get(lua_State *L)
{
    struct weir_str key = shared_key(L);
    limits_host_bytes(L, SHARED_VALUE_MAX / 4);
    struct weir_str value = engine.host->shared_get(engine_host_call(L), key);
    json_push_scalar_field(L, value);
    return 1;
}

static int shared_set(lua_State *L)
{
    struct buffer b;
    struct weir_str key = shared_key(L);
    engine_host_call(L);
    luaL_checkany(L, 2);
    uint32_t ttl_ms = shared_ttl(L, 3);
    if (lua_isnil(L, 2)) { /* forgotten at once */
        lua_pushboolean(L, engine.host->shared_set(engine_call(L)->policy->inst, key, WEIR_NONE, 1) == 0);
        return 1;
    }
    buffer_open(L, &b);
    json_add(L, &b, 2);
    if (b.n > SHARED_VALUE_MAX)
        return luaL_error(L, "shared.set: the value takes %d bytes; at most %d are kept", (int)b.n, SHARED_VALUE_MAX);
    int rc = engine.host->shared_set(engine_call(L)->policy->inst, key, (struct weir_str){ b.p, b.n }, ttl_ms);
    lua_pushboolean(L, rc == 0);
    return 1;
}

static int shared_incr(lua_State *L)
{
    struct weir_str key = shared_key(L);
    int64_t result = 0;
    engine_host_call(L);
    lua_Integer by = luaL_optinteger(L, 2, 1);
    uint32_t ttl_ms = shared_ttl(L, 3);
    if (engine.host->shared_incr(engine_call(L)->policy->inst, key, by, ttl_ms, &result) < 0) {
        lua_pushnil(L);
        lua_pushliteral(L, "shared.incr: the table is full, or the key holds no number");
        return 2;
    }
    lua_pushinteger(L, result);
    return 1;
}

const struct binding shared_bindings[] = {
    { "get", shared_get, "fun(key: string): any",
      "What was set, or nil." },
    { "set", shared_set, "fun(key: string, value: any, options?: { ttl: number }): boolean",
      "Keeps a value (1,000 bytes as JSON) for ttl seconds; nil forgets it. false: the table is full." },
    { "incr", shared_incr, "fun(key: string, by?: integer, options?: { ttl: number }): integer?, string?",
      "Adds and returns the sum; nil and why if it can't." },
    { NULL, NULL, NULL, NULL },
};

void lib_shared(lua_State *L)
{
    lua_newtable(L);
    bindings_set(L, shared_bindings);
}
