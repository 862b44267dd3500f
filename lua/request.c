/* `req` and what hangs on it: views that ask the host when a policy asks them. Nothing is built before it is read.
 *
 * A view knows the run that made it and raises "request is over" afterwards.
 */
#include <stdio.h>

#include "engine.h"

/* ---- plain fields ------------------------------------------------------------------------------------------------ */

static const struct weir_request_view *view(const struct lua_call *c)
{
    return engine.host->request(c->call);
}

static void push_id(lua_State *L, struct lua_call *c) { value_push(L, view(c)->id); }
static void push_method(lua_State *L, struct lua_call *c) { value_push(L, view(c)->method); }
static void push_path(lua_State *L, struct lua_call *c) { value_push(L, view(c)->path); }
static void push_query(lua_State *L, struct lua_call *c) { value_push(L, view(c)->query); }
static void push_peer(lua_State *L, struct lua_call *c) { value_push(L, view(c)->peer); }
static void push_dialect(lua_State *L, struct lua_call *c) { value_push(L, view(c)->dialect); }
static void push_route(lua_State *L, struct lua_call *c) { value_push(L, view(c)->route); }
static void push_bytes(lua_State *L, struct lua_call *c) { lua_pushinteger(L, (lua_Integer)view(c)->body_n); }

static void push_stream(lua_State *L, struct lua_call *c)
{
    lua_pushboolean(L, (view(c)->flags & WEIR_REQUEST_STREAM) != 0);
}

static void push_tokens(lua_State *L, struct lua_call *c)
{
    lua_pushinteger(L, engine.host->estimate_tokens(c->call));
}

static void set_count(lua_State *L, const char *name, uint32_t count)
{
    lua_pushinteger(L, count);
    lua_setfield(L, -2, name);
}

static void push_complexity(lua_State *L, struct lua_call *c)
{
    struct weir_complexity k;
    if (!engine.host->complexity(c->call, &k)) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 12);
    lua_pushnumber(L, k.score);
    lua_setfield(L, -2, "score");
    set_count(L, "words", k.words);
    set_count(L, "sentences", k.sentences);
    set_count(L, "questions", k.questions);
    set_count(L, "numbers", k.numbers);
    set_count(L, "maths", k.maths);
    set_count(L, "code", k.code);
    set_count(L, "conditions", k.conditions);
    set_count(L, "negations", k.negations);
    set_count(L, "quantities", k.quantities);
    set_count(L, "turns", k.turns);
    set_count(L, "tools", k.tools);
    set_count(L, "images", k.images);
}

static void push_needs(lua_State *L, struct lua_call *c)
{
    const struct weir_conversation *v = engine.host->conversation(c->call);
    push_capabilities(L, v ? v->needs : 0);
}

static void push_candidates(lua_State *L, struct lua_call *c)
{
    uint32_t n = 0;
    struct weir_candidate *const *list = engine.host->candidates(c->call, &n);
    candidates_push(L, c, list, n);
}

static void push_principal(lua_State *L, struct lua_call *c)
{
    (void)c;
    value_new(L, VALUE_PRINCIPAL, sizeof(struct value), 0);
}

static void push_headers(lua_State *L, struct lua_call *c)
{
    (void)c;
    value_new(L, VALUE_HEADERS, sizeof(struct value), 0);
}

static void push_response_headers(lua_State *L, struct lua_call *c)
{
    (void)c;
    value_new(L, VALUE_RESPONSE_HEADERS, sizeof(struct value), 0);
}

static void push_messages(lua_State *L, struct lua_call *c) { messages_push(L, c, false); }
static void push_tools(lua_State *L, struct lua_call *c) { messages_push(L, c, true); }

/* Seconds until the request's deadline; math.huge without one. */
static void push_time_left(lua_State *L, struct lua_call *c)
{
    int64_t deadline_ms = view(c)->deadline_ms;
    if (deadline_ms == 0)
        lua_pushnumber(L, (lua_Number)__builtin_inf());
    else
        lua_pushnumber(L, (lua_Number)(deadline_ms - engine.host->now_ms()) / 1000);
}

/* A table that lives as long as the request, for what one hook wants to tell the next. */
static void push_vars(lua_State *L, struct lua_call *c)
{
    struct policy_block *block = engine.host->request_block(c->call);
    if (block->vars_ref <= 0) {
        lua_createtable(L, 0, 2);
        block->vars_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, block->vars_ref);
}

const struct getter request_getters[] = {
    { { "id", NULL, "string", "The request's id, as in the log and in x-weir-request-id." }, push_id },
    { { "method", NULL, "string", "The HTTP method." }, push_method },
    { { "path", NULL, "string", "The path, as asked." }, push_path },
    { { "query", NULL, "string", "What stands behind the question mark." }, push_query },
    { { "peer", NULL, "string", "The caller's address." }, push_peer },
    { { "dialect", NULL, "string", "The caller's dialect." }, push_dialect },
    { { "route", NULL, "string", "The route's name." }, push_route },
    { { "bytes", NULL, "integer", "Bytes of the body." }, push_bytes },
    { { "stream", NULL, "boolean", "Is a stream wanted?" }, push_stream },
    { { "tokens", NULL, "integer", "An estimate of the input." }, push_tokens },
    { { "complexity", NULL, "Complexity?", "How hard the last message of the user looks; nil without messages." }, push_complexity },
    { { "needs", NULL, "table<string, boolean>", "Capabilities that it needs: tools, image_url, json_schema, thinking …" }, push_needs },
    { { "candidates", NULL, "Candidates", "The targets as they stand." }, push_candidates },
    { { "principal", NULL, "Principal", "Who asks." }, push_principal },
    { { "headers", NULL, "table<string, string>", "Request headers, in any case; never credentials or cookies." }, push_headers },
    { { "response_headers", NULL, "table<string, string>", "Headers of the answer: to be set, in on_request." }, push_response_headers },
    { { "messages", NULL, "Message[]", "What was said." }, push_messages },
    { { "tools", NULL, "Tool[]", "The tools that the model may call." }, push_tools },
    { { "time_left", NULL, "number", "Seconds until its deadline; math.huge: none." }, push_time_left },
    { { "vars", NULL, "table", "A table of yours that lasts from on_request to on_finish of this request." }, push_vars },
    { { NULL, NULL, NULL, NULL }, NULL },
};

static void push_field(lua_State *L, struct lua_call *c, int f)
{
    const struct weir_conversation *v = engine.host->conversation(c->call);
    json_push_scalar_field(L, v ? weir_field(v, (enum weir_field)f) : WEIR_NONE);
}

/* Upvalue 1: name -> getter (light userdata), number of a field, or method (function). */
static int request_index(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_REQUEST);
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    switch (lua_rawget(L, lua_upvalueindex(1))) {
    case LUA_TLIGHTUSERDATA:
        ((const struct getter *)lua_touserdata(L, -1))->push(L, v->call);
        return 1;
    case LUA_TNUMBER:
        push_field(L, v->call, (int)lua_tointeger(L, -1));
        return 1;
    case LUA_TFUNCTION:
        return 1;
    default:
        return luaL_error(L, "req has no field \"%s\"", lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2)
                                                                                       : luaL_typename(L, 2));
    }
}

static int request_newindex(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_REQUEST);
    luaL_checktype(L, 2, LUA_TSTRING);
    struct weir_str name = value_str(L, 2);
    int f = fields_find(name);
    if (f < 0)
        return luaL_error(L, "req.%s can't be set%s", name.p, weir_is(name, "candidates") ? ": return them" : "");
    fields_check(L, (enum weir_field)f, 3);
    if (v->call->hook != LUA_ON_REQUEST)
        return luaL_error(L, "req.%s can be set in on_request only (here: give the candidate a `set` table)", name.p);
    struct buffer b;
    buffer_open(L, &b);
    json_add(L, &b, 3);
    limits_host_bytes(L, b.n);
    if (engine.host->edit_field(v->call->call, (enum weir_field)f, (struct weir_str){ b.p, b.n }) < 0)
        return luaL_error(L, "req.%s can't be set to this value", name.p);
    return 0;
}

static int request_prepend_system(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_REQUEST);
    luaL_checktype(L, 2, LUA_TSTRING);
    if (v->call->hook != LUA_ON_REQUEST)
        return luaL_error(L, "prepend_system works in on_request only");
    struct weir_str s = value_str(L, 2);
    limits_host_bytes(L, s.n);
    if (engine.host->prepend_system(v->call->call, s) < 0)
        return luaL_error(L, "prepend_system: this request has no place for a system prompt");
    return 0;
}

static int request_tostring(lua_State *L)
{
    lua_pushliteral(L, "req");
    return 1;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static int headers_index(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_HEADERS);
    luaL_checktype(L, 2, LUA_TSTRING);
    limits_host_bytes(L, 0); /* several of one name are joined in the request's memory */
    struct weir_str s = engine.host->header(v->call->call, value_str(L, 2));
    if (!s.p)
        lua_pushnil(L);
    else
        value_push(L, s);
    return 1;
}

static int headers_next(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_HEADERS);
    lua_Integer i = luaL_checkinteger(L, lua_upvalueindex(1));
    struct weir_str name, text;
    if (!engine.host->header_at(v->call->call, (uint32_t)i, &name, &text))
        return 0;
    lua_pushinteger(L, i + 1);
    lua_replace(L, lua_upvalueindex(1));
    value_push(L, name);
    value_push(L, text);
    return 2;
}

static int headers_pairs(lua_State *L)
{
    value_check(L, 1, VALUE_HEADERS);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, headers_next, 1);
    lua_pushvalue(L, 1);
    return 2;
}

static int response_headers_newindex(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_RESPONSE_HEADERS);
    luaL_checktype(L, 2, LUA_TSTRING);
    if (v->call->hook != LUA_ON_REQUEST)
        return luaL_error(L, "response headers can be set in on_request only");
    int type = lua_type(L, 3);
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        return luaL_error(L, "response header %s must be a text", lua_tostring(L, 2));
    struct weir_str name = value_str(L, 2), text = value_str(L, 3);
    limits_host_bytes(L, name.n + text.n);
    if (engine.host->set_response_header(v->call->call, name, text) < 0)
        return luaL_error(L, "response header %s can't be set: not a header's name or value, or one of weir's own",
                          name.p);
    return 0;
}

static int response_headers_index(lua_State *L)
{
    return luaL_error(L, "response headers can be set, not read: the answer does not exist yet");
}

static int refuse_set(lua_State *L)
{
    return luaL_error(L, "%s can't be changed", value_type_name(L, 1));
}

/* ---- principal --------------------------------------------------------------------------------------------------- */

static void push_tags(lua_State *L, const struct weir_principal *p)
{
    lua_createtable(L, 0, (int)p->n_tags);
    for (uint32_t i = 0; i < p->n_tags; i++) {
        value_push(L, p->tags[2 * i]);
        value_push(L, p->tags[2 * i + 1]);
        lua_rawset(L, -3);
    }
}

static int principal_index(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_PRINCIPAL);
    const struct weir_principal *p = engine.host->principal(v->call->call);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (strcmp(key, "name") == 0)
        value_push(L, p->name);
    else if (strcmp(key, "team") == 0)
        value_push(L, p->team);
    else if (strcmp(key, "tags") == 0)
        push_tags(L, p);
    else
        return luaL_error(L, "req.principal has no field \"%s\" (it has name, team, tags)", key);
    return 1;
}

/* ---- what on_failure and on_finish get --------------------------------------------------------------------------- */

static void set_str(lua_State *L, const char *name, struct weir_str s)
{
    value_push_or_nil(L, s);
    lua_setfield(L, -2, name);
}

static void add_error(lua_State *L, const struct weir_error *e)
{
    lua_pushstring(L, answers_class_name(e ? e->error_class : WEIR_ERROR_NONE));
    lua_setfield(L, -2, "class");
    if (!e || e->error_class == WEIR_ERROR_NONE)
        return;
    set_str(L, "code", e->code);
    set_str(L, "message", e->message);
    set_str(L, "native", e->native);
    if (e->retry_after_ms) {
        lua_pushnumber(L, (lua_Number)e->retry_after_ms / 1000);
        lua_setfield(L, -2, "retry_after");
    }
}

static void add_status(lua_State *L, struct lua_call *c, const struct weir_error *e)
{
    int status = engine.host->status(c->call);
    if (status <= 0 && e)
        status = e->status;
    if (status <= 0)
        return;
    lua_pushinteger(L, status);
    lua_setfield(L, -2, "status");
}

static void add_target(lua_State *L, struct lua_call *c)
{
    const struct weir_candidate *t = engine.host->target(c->call);
    if (!t)
        return;
    candidate_push(L, c, t);
    lua_setfield(L, -2, "target");
}

void attempt_push(lua_State *L, struct lua_call *c)
{
    const struct weir_error *e = engine.host->outcome(c->call);
    lua_createtable(L, 0, 8);
    add_error(L, e);
    add_status(L, c, e);
    add_target(L, c);
}

static void add_usage(lua_State *L, const struct weir_usage *u)
{
    const struct { const char *name; int64_t n; } counts[] = {
        { "input", u->input }, { "output", u->output }, { "cached_read", u->cached_read },
        { "cached_write", u->cached_write }, { "reasoning", u->reasoning },
    };
    lua_createtable(L, 0, 5);
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        if (counts[i].n >= 0) {
            lua_pushinteger(L, counts[i].n);
            lua_setfield(L, -2, counts[i].name);
        }
    lua_setfield(L, -2, "usage");
}

/* result.record is the request record as the log has it. */
static void add_record(lua_State *L, struct lua_call *c)
{
    const struct weir_host *h = engine.host;
    struct weir_out *out = h->out(c->call);
    if (!out || h->record(c->call, out) < 0)
        return;
    json_push(L, h->out_bytes(out));
    lua_setfield(L, -2, "record");
}

void result_push(lua_State *L, struct lua_call *c)
{
    const struct weir_error *e = engine.host->outcome(c->call);
    const struct weir_usage *u = engine.host->usage(c->call);
    lua_createtable(L, 0, 8);
    add_error(L, e);
    add_status(L, c, e);
    if (u)
        add_usage(L, u);
    lua_pushnumber(L, (lua_Number)(engine.host->now_ms() - view(c)->started_ms) / 1000);
    lua_setfield(L, -2, "seconds");
    add_record(L, c);
}

/* ---- metatables -------------------------------------------------------------------------------------------------- */

void request_push(lua_State *L, struct lua_call *c)
{
    (void)c;
    value_new(L, VALUE_REQUEST, sizeof(struct value), 0);
}

const struct binding request_bindings[] = {
    { "text", request_text, "fun(self: Request): string",
      "Everything that was said, as one text." },
    { "texts", request_texts, "fun(self: Request): Text[]",
      "Every string that a model would read." },
    { "prepend_system", request_prepend_system, "fun(self: Request, text: string)",
      "Puts a text before the system prompt; in on_request." },
    { "redact", NULL, "fun(self: Request, expression: string, with?: string|table|function): integer",
      "Replaces in all texts what the regular expression finds, and counts it." },
    { NULL, NULL, NULL, NULL },
};

static void push_names(lua_State *L)
{
    lua_newtable(L);
    bindings_set(L, request_bindings);
    for (int f = 0; fields_name(f); f++) {
        lua_pushinteger(L, f);
        lua_setfield(L, -2, fields_name(f));
    }
    for (const struct getter *g = request_getters; g->binding.name; g++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)g);
        lua_setfield(L, -2, g->binding.name);
    }
}

static void set_metamethod(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, name);
}

void request_open(lua_State *L)
{
    value_metatable(L, VALUE_REQUEST, "req");
    push_names(L);
    lua_pushcclosure(L, request_index, 1);
    lua_setfield(L, -2, "__index");
    set_metamethod(L, "__newindex", request_newindex);
    set_metamethod(L, "__tostring", request_tostring);
    value_metatable(L, VALUE_HEADERS, "req.headers");
    set_metamethod(L, "__index", headers_index);
    set_metamethod(L, "__pairs", headers_pairs);
    set_metamethod(L, "__newindex", refuse_set);
    value_metatable(L, VALUE_RESPONSE_HEADERS, "req.response_headers");
    set_metamethod(L, "__newindex", response_headers_newindex);
    set_metamethod(L, "__index", response_headers_index);
    value_metatable(L, VALUE_PRINCIPAL, "req.principal");
    set_metamethod(L, "__index", principal_index);
    set_metamethod(L, "__newindex", refuse_set);
    lua_pop(L, 4);
}
