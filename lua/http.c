/* What waits: http and sleep; and secrets, which only http can use.
 *
 * A call starts its work with the host and yields; the callback puts the run on its way again (engine_resume). If the
 * request ends first, engine.c cancels what is under way. Where a policy may call is its list of hosts, nothing else.
 */
#include <stdio.h>
#include <strings.h>

#include "engine.h"

enum { HEADERS_MAX = 32, TIMEOUT_DEFAULT_MS = 1000, TIMEOUT_MAX_S = 30, SLEEP_MAX_S = 60, BODY_OUT_MAX = 4 << 20 };

static const char response_key; /* address: the response's metatable in the registry */

/* ---- sleep ------------------------------------------------------------------------------------------------------- */

static void on_timer(void *arg)
{
    struct lua_call *c = arg;
    c->timer = NULL;
    engine_resume(c);
}

static int sleep_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)L, (void)status, (void)ctx;
    return 0;
}

int lib_sleep(lua_State *L)
{
    struct lua_call *c = engine_call(L);
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= SLEEP_MAX_S, 1, "seconds from 0 to 60");
    engine_check_wait(L, "sleep");
    c->timer = engine.host->timer(c->policy->inst, (uint32_t)(seconds * 1000), on_timer, c);
    if (!c->timer)
        return luaL_error(L, "sleep: not enough memory for a timer");
    return engine_yield(L, LUA_WAIT_SLEEP, 0, sleep_end);
}

/* ---- secrets ----------------------------------------------------------------------------------------------------- */

int lib_secret(lua_State *L)
{
    const struct lua_call *c = engine_call(L);
    luaL_checkstring(L, 1);
    struct weir_str name = value_str(L, 1);
    uint32_t slot = engine.host->secret(c->policy->inst, name);
    if (!slot || name.n >= sizeof(((struct secret_value *)0)->name))
        return luaL_error(L, "secret: none with the name \"%s\" is configured", name.p);
    struct secret_value *s = value_new(L, VALUE_SECRET, sizeof(*s), 0);
    s->slot = slot;
    memcpy(s->name, name.p, name.n);
    return 1;
}

/* "Bearer " .. secret("x") */
static int secret_concat(lua_State *L)
{
    const struct secret_value *from = value_test(L, 2, VALUE_SECRET);
    if (!from || lua_type(L, 1) != LUA_TSTRING || from->prefix_n || lua_rawlen(L, 1) > sizeof(from->prefix))
        return luaL_error(L, "a secret can only have a short text before it, as in \"Bearer \" .. secret(\"name\")");
    struct weir_str prefix = value_str(L, 1);
    struct secret_value *s = value_new(L, VALUE_SECRET, sizeof(*s), 0);
    s->slot = from->slot;
    memcpy(s->name, from->name, sizeof(s->name));
    memcpy(s->prefix, prefix.p, prefix.n);
    s->prefix_n = (uint32_t)prefix.n;
    return 1;
}

static int secret_tostring(lua_State *L)
{
    const struct secret_value *s = lua_touserdata(L, 1);
    lua_pushfstring(L, "secret(%s)", s->name);
    return 1;
}

/* ---- where a policy may call ------------------------------------------------------------------------------------- */

struct target {
    struct weir_str host, port; /* port "" : the scheme's */
    bool is_tls;
};

static bool parse_url(struct weir_str url, struct target *t)
{
    static const char http[] = "http://", https[] = "https://";
    t->is_tls = url.n > 8 && strncasecmp(url.p, https, 8) == 0;
    if (!t->is_tls && (url.n <= 7 || strncasecmp(url.p, http, 7) != 0))
        return false;
    const char *p = url.p + (t->is_tls ? 8 : 7), *end = url.p + url.n, *stop = p;
    while (stop < end && *stop != '/' && *stop != '?' && *stop != '#')
        stop++;
    for (const char *c = p; c < end; c++)
        if (*c <= ' ' || *c == 0x7f || *c == '\\' || (c < stop && *c == '@'))
            return false;
    const char *close = p < stop && *p == '[' ? memchr(p, ']', (size_t)(stop - p)) : NULL;
    const char *colon = memchr(close ? close : p, ':', (size_t)(stop - (close ? close : p)));
    t->host = (struct weir_str){ p, (size_t)((colon ? colon : stop) - p) };
    t->port = colon ? (struct weir_str){ colon + 1, (size_t)(stop - colon - 1) } : WEIR_NONE;
    return t->host.n > 0;
}

static bool same_port(const struct target *t, struct weir_str port)
{
    struct weir_str own = t->port.n ? t->port : t->is_tls ? WEIR_LIT("443") : WEIR_LIT("80");
    return weir_eq(own, port);
}

/* "name", "name:port", "*.name": without a port only the scheme's own is meant. */
static bool host_fits(const struct target *t, const char *pattern)
{
    const char *bracket = strchr(pattern, ']');
    const char *colon = strchr(bracket ? bracket : pattern, ':');
    size_t n = colon ? (size_t)(colon - pattern) : strlen(pattern);
    struct weir_str port = colon ? weir_cstr(colon + 1) : t->is_tls ? WEIR_LIT("443") : WEIR_LIT("80");
    if (!same_port(t, port))
        return false;
    if (n > 2 && pattern[0] == '*' && pattern[1] == '.')
        return t->host.n > n - 1 && strncasecmp(t->host.p + t->host.n - (n - 1), pattern + 1, n - 1) == 0;
    return t->host.n == n && strncasecmp(t->host.p, pattern, n) == 0;
}

static bool is_allowed(const struct policy *p, const struct target *t)
{
    for (const char *const *host = p->config->hosts; host && *host; host++)
        if (host_fits(t, *host))
            return true;
    return false;
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

struct call_spec {
    struct weir_fetch fetch;
    struct weir_fetch_header headers[HEADERS_MAX];
};

static void add_header(lua_State *L, struct call_spec *s, struct weir_str name, int value)
{
    if (s->fetch.n_headers >= HEADERS_MAX)
        luaL_error(L, "http: more than %d headers", HEADERS_MAX);
    struct weir_fetch_header *h = &s->headers[s->fetch.n_headers++];
    const struct secret_value *secret = value_test(L, value, VALUE_SECRET);
    h->name = name;
    if (secret) {
        h->secret = secret->slot;
        h->value = (struct weir_str){ secret->prefix, secret->prefix_n };
    } else if (lua_type(L, value) == LUA_TSTRING) {
        h->value = value_str(L, value);
    } else {
        luaL_error(L, "http: header %s must be a text or a secret, not a %s", name.p, value_type_name(L, value));
    }
}

/* The strings stay in the table, which stays on the stack until the host has copied them. */
static void take_headers(lua_State *L, struct call_spec *s)
{
    int type = lua_getfield(L, 1, "headers");
    if (type == LUA_TNIL)
        return;
    if (type != LUA_TTABLE)
        luaL_error(L, "http: headers must be a table");
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "http: headers must have names");
        add_header(L, s, value_str(L, -2), lua_gettop(L));
    }
}

static bool has_header(const struct call_spec *s, const char *name)
{
    size_t n = strlen(name);
    for (uint32_t i = 0; i < s->fetch.n_headers; i++)
        if (s->headers[i].name.n == n && strncasecmp(s->headers[i].name.p, name, n) == 0)
            return true;
    return false;
}

static void take_body(lua_State *L, struct call_spec *s)
{
    struct buffer b;
    value_field_string(L, 1, "http", "body", &s->fetch.body);
    int type = lua_getfield(L, 1, "json");
    if (type == LUA_TNIL)
        return;
    int value = lua_gettop(L);
    if (s->fetch.body.n)
        luaL_error(L, "http: give either body or json");
    buffer_open(L, &b);
    json_add(L, &b, value);
    s->fetch.body = (struct weir_str){ b.p, b.n };
    if (!has_header(s, "content-type")) {
        lua_pushliteral(L, "application/json");
        add_header(L, s, WEIR_LIT("content-type"), lua_gettop(L));
    }
}

static void take_timeout(lua_State *L, struct call_spec *s)
{
    double seconds = TIMEOUT_DEFAULT_MS / 1000.0;
    if (value_field_number(L, 1, "http", "timeout", &seconds) && !(seconds > 0 && seconds <= TIMEOUT_MAX_S))
        luaL_error(L, "http: timeout must be seconds, more than 0 and at most %d", TIMEOUT_MAX_S);
    s->fetch.deadline_ms = seconds < 0.001 ? 1 : (uint32_t)(seconds * 1000);
}

static int refuse(lua_State *L, const char *format, const char *what, size_t n)
{
    lua_pushnil(L);
    lua_pushlstring(L, what, n > 200 ? 200 : n);
    lua_pushfstring(L, format, lua_tostring(L, -1));
    lua_remove(L, -2);
    return 2;
}

static void add_response_headers(lua_State *L, struct weir_str lines)
{
    lua_createtable(L, 0, 8);
    const char *p = lines.p, *end = p + lines.n;
    for (int i = 0; lines.n && p < end && i < 200; i++) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol ? eol : end;
        const char *colon = memchr(p, ':', (size_t)(eol - p));
        if (colon) {
            const char *value = colon + 1 < eol && colon[1] == ' ' ? colon + 2 : colon + 1;
            lua_pushlstring(L, p, (size_t)(colon - p));
            lua_pushlstring(L, value, (size_t)(eol - value));
            lua_rawset(L, -3);
        }
        p = eol + 1;
    }
    lua_setfield(L, -2, "headers");
}

static int http_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    const struct weir_fetch_result *r = engine_call(L)->fetched;
    if (!r)
        return refuse(L, "http: no answer%s", "", 0);
    if (r->error.n)
        return refuse(L, "http: %s", r->error.p, r->error.n);
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, r->status);
    lua_setfield(L, -2, "status");
    value_push(L, r->body);
    lua_setfield(L, -2, "body");
    add_response_headers(L, r->headers);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &response_key);
    lua_setmetatable(L, -2);
    return 1;
}

/* r.json: decoded when it is asked for; nil if the body is not JSON. */
static int response_index(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "json") != 0)
        return 0;
    lua_settop(L, 2);
    lua_pushliteral(L, "body");
    lua_rawget(L, 1);
    json_push_or_nil(L, 3);
    lua_pushvalue(L, -1);
    lua_setfield(L, 1, "json");
    return 1;
}

static void on_fetched(void *arg, const struct weir_fetch_result *result)
{
    struct lua_call *c = arg;
    c->fetch = NULL;
    c->fetched = result;
    engine_resume(c);
    c->fetched = NULL;
}

/* The argument is a table, or a URL and a table. */
static void take_arguments(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING) {
        if (lua_isnoneornil(L, 2)) {
            lua_settop(L, 1);
            lua_createtable(L, 0, 1);
        }
        luaL_checktype(L, 2, LUA_TTABLE);
        lua_settop(L, 2);
        lua_pushvalue(L, 1);
        lua_setfield(L, 2, "url");
        lua_remove(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
}

static bool is_method(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    return s.n > 0 && s.n <= 16;
}

static int http_call(lua_State *L, const char *method)
{
    static const char *const known[] = { "url", "method", "headers", "body", "json", "timeout", NULL };
    struct lua_call *c = engine_call(L);
    struct target target;
    engine_check_wait(L, "http");
    take_arguments(L);
    value_known_fields(L, 1, "http", known);
    struct call_spec *s = lua_newuserdatauv(L, sizeof(*s), 0);
    *s = (struct call_spec){ .fetch = { .size = sizeof(s->fetch), .method = weir_cstr(method) } };
    if (!value_field_string(L, 1, "http", "url", &s->fetch.url))
        return luaL_error(L, "http: url is missing");
    value_field_string(L, 1, "http", "method", &s->fetch.method);
    if (!is_method(s->fetch.method))
        return luaL_error(L, "http: method must be in capital letters");
    if (!parse_url(s->fetch.url, &target))
        return luaL_error(L, "http: \"%s\" is not an http or https URL", s->fetch.url.p);
    if (!is_allowed(c->policy, &target))
        return refuse(L, "http: %s is not among the `hosts` of this policy", target.host.p,
                      target.host.n + (target.port.n ? target.port.n + 1 : 0));
    take_headers(L, s);
    take_body(L, s);
    take_timeout(L, s);
    if (s->fetch.body.n > BODY_OUT_MAX)
        return luaL_error(L, "http: a body of more than %d KiB", BODY_OUT_MAX >> 10);
    s->fetch.headers = s->headers;
    s->fetch.max_body = (uint32_t)c->policy->config->max_body;
    limits_host_bytes(L, s->fetch.body.n);
    c->fetch = engine.host->fetch(c->policy->inst, &s->fetch, on_fetched, c);
    if (!c->fetch)
        return refuse(L, "http: the call was refused%s", "", 0);
    lua_settop(L, 0);
    return engine_yield(L, LUA_WAIT_HTTP, 0, http_end);
}

static int http_get(lua_State *L)
{
    return http_call(L, "GET");
}

static int http_post(lua_State *L)
{
    return http_call(L, "POST");
}

void secrets_open(lua_State *L)
{
    static const luaL_Reg meta[] = { { "__concat", secret_concat }, { "__tostring", secret_tostring }, { NULL, NULL } };
    value_metatable(L, VALUE_SECRET, "secret");
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
}

const struct binding http_bindings[] = {
    { "get", http_get, "fun(url: string|HttpRequest, options?: HttpRequest): Response?, string?",
      "Asks one of the `hosts`; nil and why if no answer came." },
    { "post", http_post, "fun(request: HttpRequest): Response?, string?",
      "As get, with a body." },
    { "request", http_get, "fun(request: HttpRequest): Response?, string?",
      "With any method." },
    { NULL, NULL, NULL, NULL },
};

void lib_http(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, response_index);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &response_key);
    lua_newtable(L);
    bindings_set(L, http_bindings);
}
