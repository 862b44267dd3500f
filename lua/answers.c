/* What a hook may return, and what becomes of it: nil, candidates, deny{…}, answer(text), "retry", "next".
 *
 * Whatever is not one of these is an error of the policy; so is a deny{…} that was made but not returned, which would
 * otherwise pass the request in silence.
 */
#include <math.h>
#include <stdio.h>

#include "engine.h"

enum answer_kind { ANSWER_DENY = 1, ANSWER_TEXT = 2 };

struct answer {
    struct value head; /* head.n: enum answer_kind; user value 1: the fields, or the text */
};

/* ---- making them ------------------------------------------------------------------------------------------------- */

static int push_answer(lua_State *L, enum answer_kind kind)
{
    struct lua_call *c = engine_call(L);
    engine_host_call(L);
    struct answer *a = value_new(L, VALUE_ANSWER, sizeof(*a), 1);
    a->head.n = kind;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    c->is_answer_made = true;
    return 1;
}

int answers_deny(lua_State *L)
{
    static const char *const known[] = { "status", "code", "message", "retry_after", NULL };
    double n;
    struct weir_str s;
    if (lua_isnone(L, 1))
        lua_createtable(L, 0, 0);
    if (!lua_istable(L, 1))
        return luaL_error(L, "deny: write deny{ status = 403, code = \"…\", message = \"…\" }");
    lua_settop(L, 1);
    value_known_fields(L, 1, "deny", known);
    if (value_field_number(L, 1, "deny", "status", &n) && !(n >= 400 && n <= 599 && floor(n) == n))
        return luaL_error(L, "deny: status must be from 400 to 599");
    if (value_field_number(L, 1, "deny", "retry_after", &n) && !(n >= 0 && n <= 86400))
        return luaL_error(L, "deny: retry_after must be seconds from 0 to 86400");
    if (value_field_string(L, 1, "deny", "code", &s) && (!value_is_name(s.p, s.n) || s.n > 64))
        return luaL_error(L, "deny: code may have letters, digits, '_', '-' and '.' (at most 64)");
    value_field_string(L, 1, "deny", "message", &s);
    return push_answer(L, ANSWER_DENY);
}

int answers_answer(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 1);
    if (engine_call(L) && engine_call(L)->hook != LUA_ON_REQUEST)
        return luaL_error(L, "answer works in on_request only");
    return push_answer(L, ANSWER_TEXT);
}

/* ---- denials ----------------------------------------------------------------------------------------------------- */

static enum weir_error_class class_of_status(int status)
{
    switch (status) {
    case 400: return WEIR_ERROR_BAD_REQUEST;
    case 401: return WEIR_ERROR_AUTHENTICATION;
    case 404: return WEIR_ERROR_NOT_FOUND;
    case 413: return WEIR_ERROR_TOO_LARGE;
    case 429: return WEIR_ERROR_RATE_LIMITED;
    case 503: return WEIR_ERROR_UNAVAILABLE;
    default: return status >= 500 ? WEIR_ERROR_INTERNAL : WEIR_ERROR_PERMISSION;
    }
}

static enum weir_verdict deny(struct lua_call *c, const struct weir_error *e)
{
    const struct weir_host *h = engine.host;
    char text[160];
    snprintf(text, sizeof(text), "%s (%.*s)", c->policy->name, (int)e->code.n, e->code.n ? e->code.p : "");
    h->note(c->call, "denied_by", weir_cstr(text));
    shadow_say_denial(c->denial, sizeof(c->denial), e);
    h->count(c->policy->inst, c->policy->count_denied, 1);
    return h->fail(c->call, e);
}

static enum weir_verdict deny_with(lua_State *L, struct lua_call *c, int fields)
{
    double status = 403, retry_after = 0;
    char message[160];
    snprintf(message, sizeof(message), "refused by the gateway's policy \"%s\"", c->policy->name);
    struct weir_error e = { .size = sizeof(e), .code = WEIR_LIT("policy_denied"), .message = weir_cstr(message) };
    value_field_number(L, fields, "deny", "status", &status);
    value_field_number(L, fields, "deny", "retry_after", &retry_after);
    value_field_string(L, fields, "deny", "code", &e.code);
    value_field_string(L, fields, "deny", "message", &e.message);
    e.status = (uint16_t)status;
    e.error_class = (uint16_t)class_of_status(e.status);
    e.retry_after_ms = (uint32_t)(retry_after * 1000);
    return deny(c, &e);
}

static enum weir_verdict deny_empty(struct lua_call *c)
{
    char message[200];
    snprintf(message, sizeof(message), "the gateway's policy \"%s\" left no target for this request", c->policy->name);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_PERMISSION, .status = 403,
                            .code = WEIR_LIT("policy_denied"), .message = weir_cstr(message) };
    return deny(c, &e);
}

/* ---- lists of candidates ----------------------------------------------------------------------------------------- */

static struct weir_candidate *by_name(lua_State *L, struct lua_call *c, int index)
{
    struct weir_str name = value_str(L, index);
    struct weir_candidate *found = engine.host->candidate(c->call, name);
    if (!found)
        luaL_error(L, "there is no target \"%s\" (see `weir models`)", name.p);
    return found;
}

static void apply_set(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int table)
{
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        struct weir_str name = lua_type(L, -2) == LUA_TSTRING ? value_str(L, -2) : WEIR_LIT("?");
        int f = fields_find(name), value = lua_gettop(L);
        if (f < 0 || f == WEIR_FIELD_MODEL)
            luaL_error(L, "set: a candidate has no setting \"%s\"", name.p);
        fields_check(L, (enum weir_field)f, value);
        struct buffer b;
        buffer_open(L, &b);
        json_add(L, &b, value);
        limits_host_bytes(L, b.n);
        int rc = engine.host->candidate_field(c->call, cand, (enum weir_field)f, (struct weir_str){ b.p, b.n });
        if (rc < 0)
            luaL_error(L, "set: %s can't have this value", name.p);
        lua_pop(L, 1);
    }
}

static void apply_headers(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int table)
{
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "headers: names and values must be texts");
        struct weir_str name = value_str(L, -2), value = value_str(L, -1);
        limits_host_bytes(L, name.n + value.n);
        if (engine.host->candidate_header(c->call, cand, name, value) < 0)
            luaL_error(L, "headers: %s can't be set (not a header's name or value, or one that weir itself sets)",
                       name.p);
    }
}

static void apply_timeouts(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int table)
{
    static const char *const names[WEIR_TIMEOUTS + 1] = { "connect", "first_token", "idle", "total", NULL };
    double seconds;
    value_known_fields(L, table, "timeout", names);
    for (int i = 0; i < WEIR_TIMEOUTS; i++) {
        if (!value_field_number(L, table, "timeout", names[i], &seconds))
            continue;
        if (!(seconds > 0 && seconds <= 86400))
            luaL_error(L, "timeout: %s must be seconds from 0.001 to 86400", names[i]);
        uint32_t ms = seconds < 0.001 ? 1 : (uint32_t)(seconds * 1000);
        engine.host->candidate_timeout(c->call, cand, (enum weir_timeout)i, ms);
    }
}

typedef void (*apply_fn)(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int table);

static void apply(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int fields, const char *name,
                  apply_fn fn)
{
    int type = lua_getfield(L, fields, name);
    if (type == LUA_TTABLE)
        fn(L, c, cand, lua_gettop(L));
    else if (type != LUA_TNIL)
        luaL_error(L, "a candidate's %s must be a table, not a %s", name, value_type_name(L, -1));
    lua_pop(L, 1);
}

/* What may be lost on the way to this candidate, in place of the route's own on_loss. */
static void apply_on_loss(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int fields)
{
    int type = lua_getfield(L, fields, "on_loss");
    const char *word = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
    uint32_t flag = strcmp(word, "warn") == 0     ? WEIR_CANDIDATE_LOSS_WARN
                    : strcmp(word, "refuse") == 0 ? WEIR_CANDIDATE_LOSS_REFUSE
                    : strcmp(word, "allow") == 0  ? WEIR_CANDIDATE_LOSS_ALLOW
                                                  : 0;
    if (flag)
        engine.host->candidate_flag(c->call, cand, flag);
    else if (type != LUA_TNIL)
        luaL_error(L, "on_loss must be \"warn\", \"refuse\" or \"allow\"");
    lua_pop(L, 1);
}

static void apply_flag(lua_State *L, struct lua_call *c, struct weir_candidate *cand, int fields, const char *name, uint32_t flag)
{
    lua_getfield(L, fields, name);
    if (lua_toboolean(L, -1))
        engine.host->candidate_flag(c->call, cand, flag);
    lua_pop(L, 1);
}

/* { "openai/gpt-5-mini", set = {…}, headers = {…}, timeout = {…}, beyond = true, on_loss = "warn", n_calls = true, mirror = true } */
static struct weir_candidate *with_changes(lua_State *L, struct lua_call *c, int fields)
{
    static const char *const known[] = { "set", "headers", "timeout", "beyond", "on_loss", "n_calls", "mirror" };
    enum { N_KNOWN = sizeof(known) / sizeof(*known) };
    int type = lua_rawgeti(L, fields, 1);
    int at = lua_gettop(L);
    if (type != LUA_TSTRING && !value_test(L, at, VALUE_CANDIDATE))
        luaL_error(L, "a candidate is a name, or { \"provider/model\", set = {…} }; got a table that begins with a %s",
                   value_type_name(L, at));
    const struct weir_candidate *from = type == LUA_TSTRING ? by_name(L, c, at) : candidate_of(L, at);
    lua_pop(L, 1);
    for (lua_pushnil(L); lua_next(L, fields); lua_pop(L, 1)) {
        if (lua_isinteger(L, -2) && lua_tointeger(L, -2) == 1)
            continue;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        size_t i = 0;
        while (i < N_KNOWN && strcmp(known[i], key) != 0)
            i++;
        if (i == N_KNOWN)
            luaL_error(L, "a candidate's table has no field \"%s\" (it has set, headers, timeout, beyond, on_loss, n_calls, mirror)",
                       key);
    }
    limits_host_bytes(L, sizeof(*from));
    struct weir_candidate *cand = engine.host->candidate_copy(c->call, from);
    if (!cand)
        luaL_error(L, "not enough memory for a candidate");
    apply(L, c, cand, fields, "set", apply_set);
    apply(L, c, cand, fields, "headers", apply_headers);
    apply(L, c, cand, fields, "timeout", apply_timeouts);
    apply_on_loss(L, c, cand, fields);
    apply_flag(L, c, cand, fields, "beyond", WEIR_CANDIDATE_BEYOND);
    apply_flag(L, c, cand, fields, "n_calls", WEIR_CANDIDATE_N_CALLS);
    apply_flag(L, c, cand, fields, "mirror", WEIR_CANDIDATE_MIRROR);
    return cand;
}

static struct weir_candidate *one(lua_State *L, struct lua_call *c, int index)
{
    index = lua_absindex(L, index);
    int type = lua_type(L, index);
    if (type == LUA_TSTRING)
        return by_name(L, c, index);
    if (type == LUA_TTABLE)
        return with_changes(L, c, index);
    if (value_test(L, index, VALUE_CANDIDATE))
        return candidate_of(L, index);
    luaL_error(L, "a list of candidates may hold names, candidates and tables; it holds a %s",
               value_type_name(L, index));
    return NULL;
}

static enum weir_verdict set_list(lua_State *L, struct lua_call *c, struct weir_candidate *const *list, uint32_t n)
{
    if (n == 0)
        return deny_empty(c);
    if (engine.host->candidates_set(c->call, list, n) < 0)
        luaL_error(L, "these candidates can't be set here");
    return WEIR_NEXT;
}

static enum weir_verdict take_table(lua_State *L, struct lua_call *c, int index)
{
    lua_Unsigned n = lua_rawlen(L, index);
    if (n > CANDIDATES_MAX)
        luaL_error(L, "a list of %d candidates; at most %d are taken", (int)n, CANDIDATES_MAX);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > (lua_Integer)n)
            luaL_error(L, "a list of candidates can't have a field \"%s\": for one candidate with changes write "
                          "{ { \"provider/model\", set = {…} } }",
                       lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2));
    struct weir_candidate **list = lua_newuserdatauv(L, (n + 1) * sizeof(void *), 0);
    for (lua_Unsigned i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        list[i] = one(L, c, -1);
        lua_pop(L, 1);
    }
    return set_list(L, c, list, (uint32_t)n);
}

/* The target that failed, once more, and then the others. */
static enum weir_verdict retry(lua_State *L, struct lua_call *c)
{
    struct weir_candidate *list[CANDIDATES_MAX];
    const struct weir_candidate *target = engine.host->target(c->call);
    uint32_t n = 0;
    struct weir_candidate *const *rest = engine.host->candidates(c->call, &n);
    if (!target)
        luaL_error(L, "\"retry\": no target was tried");
    n = n > CANDIDATES_MAX - 1 ? CANDIDATES_MAX - 1 : n;
    list[0] = (struct weir_candidate *)(uintptr_t)target;
    if (n)
        memcpy(list + 1, rest, n * sizeof(void *));
    return set_list(L, c, list, n + 1);
}

/* The others, without another try of the target that failed, however often that may be tried. With none left the failure stands. */
static enum weir_verdict next(lua_State *L, struct lua_call *c)
{
    uint32_t n = 0;
    struct weir_candidate *const *rest = engine.host->candidates(c->call, &n);
    if (engine.host->candidates_set(c->call, rest, n) < 0)
        luaL_error(L, "\"next\" can't be said here");
    return WEIR_NEXT;
}

static enum weir_verdict take_answer(lua_State *L, struct lua_call *c, int index)
{
    const struct answer *a = value_check(L, index, VALUE_ANSWER);
    c->is_answer_used = true;
    lua_getiuservalue(L, index, 1);
    if (a->head.n == ANSWER_DENY)
        return deny_with(L, c, lua_gettop(L));
    engine.host->note(c->call, "answered_by", weir_cstr(c->policy->name));
    if (engine.host->answer_text(c->call, value_str(L, -1)) < 0)
        luaL_error(L, "answer: it can't be given here");
    return WEIR_DONE;
}

static enum weir_verdict nonsense(lua_State *L, const struct lua_call *c, int index)
{
    const char *more = c->hook == LUA_ON_FAILURE ? ", \"retry\" or \"next\"" : "";
    luaL_error(L, "the hook returned a %s; it may return nil, candidates, deny{…}, answer(text)%s",
               value_type_name(L, index), more);
    return WEIR_FAIL;
}

static enum weir_verdict take_string(lua_State *L, struct lua_call *c, int index)
{
    struct weir_str s = value_str(L, index);
    if (c->hook == LUA_ON_FAILURE && weir_is(s, "next"))
        return next(L, c);
    if (c->hook == LUA_ON_FAILURE && weir_is(s, "retry"))
        return retry(L, c);
    luaL_error(L, "the hook returned the text \"%s\"; for one target write return { \"provider/model\" }", s.p);
    return WEIR_FAIL;
}

static enum weir_verdict take(lua_State *L, struct lua_call *c, int index)
{
    struct weir_candidate *cand;
    uint32_t n;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return WEIR_NEXT;
    case LUA_TTABLE:
        return take_table(L, c, index);
    case LUA_TSTRING:
        return take_string(L, c, index);
    default:
        break;
    }
    if (value_test(L, index, VALUE_CANDIDATES)) {
        struct weir_candidate *const *list = candidates_of(L, index, &n);
        return set_list(L, c, list, n);
    }
    if (value_test(L, index, VALUE_CANDIDATE)) {
        cand = candidate_of(L, index);
        return set_list(L, c, &cand, 1);
    }
    return value_test(L, index, VALUE_ANSWER) ? take_answer(L, c, index) : nonsense(L, c, index);
}

enum weir_verdict answers_take(lua_State *L, struct lua_call *c, int index)
{
    if (c->hook == LUA_ON_FINISH)
        return WEIR_NEXT;
    enum weir_verdict v = take(L, c, index);
    if (c->is_answer_made && !c->is_answer_used)
        luaL_error(L, "deny{…} or answer(…) was called but not returned: write `return deny{…}`");
    return v;
}

static int answer_tostring(lua_State *L)
{
    const struct answer *a = lua_touserdata(L, 1);
    lua_pushstring(L, a->head.n == ANSWER_DENY ? "deny" : "answer");
    return 1;
}

void answers_open(lua_State *L)
{
    value_metatable(L, VALUE_ANSWER, "answer");
    lua_pushcfunction(L, answer_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
}
