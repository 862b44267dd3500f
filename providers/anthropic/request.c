/* A client's request becomes a conversation: one pass over the body. This room has the settings and the tools; blocks.c the
 * messages. Everything made here is the request's. Where settings stand in the body is remembered for splice.c. */
#include "request.h"

void anthropic_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct anthropic *o = &x->o;
    if (o->failed)
        return;
    o->failed = true;
    struct weir_str text = o->host->format(o->call, "%.*s: %s", (int)param.n, param.p, message);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .message = text, .param = param };
    o->host->fail(o->call, &e);
}

static bool is_inside(const struct reading *x, struct weir_str s)
{
    return s.p && s.p >= x->body.p && s.p + s.n <= x->body.p + x->body.n;
}

struct anthropic_span anthropic_span_of(const struct reading *x, struct weir_str s)
{
    if (!is_inside(x, s))
        return (struct anthropic_span){ 0, 0 };
    return (struct anthropic_span){ (uint32_t)(s.p - x->body.p), (uint32_t)s.n };
}

/* `"key":value` as it stands; nothing if the key was written with escapes. */
static struct weir_str member_of(const struct reading *x, struct weir_str key, struct weir_str raw)
{
    if (!is_inside(x, key) || !is_inside(x, raw))
        return WEIR_NONE;
    return (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
}

void anthropic_add_ext(struct reading *x, struct weir_str path, struct weir_str key, struct weir_str raw)
{
    if (x->o.host->ext_add(x->o.call, path, raw, member_of(x, key, raw)) < 0)
        x->o.failed = true;
}

struct weir_message *anthropic_add_message(struct reading *x, enum weir_role role)
{
    struct weir_message *m = x->o.host->message_add(x->o.call, role);
    x->o.failed = x->o.failed || !m;
    if (!x->first)
        x->first = m;
    return m;
}

static void read_ext(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        anthropic_add_ext(x, key, key, raw);
}

static void set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

/* ---- tools ---- */

/* A member that only this dialect has and that may not get lost on the way to another: it stands among the tools, with its key
 * as their name, where the host sees that a target of the same dialect is needed. */
static void mark_own(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (!x->o.json->raw(x->r, &raw))
        return;
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    x->o.failed = x->o.failed || !t;
    if (!t)
        return;
    t->name = key;
    t->raw = raw;
    t->dialect = ANTHROPIC_DIALECT;
}

/* A tool of Anthropic's own has a type with a date, and no schema. */
static bool is_typed(struct weir_str type)
{
    return type.n && !weir_is(type, "\"custom\"") && !weir_is(type, "null");
}

/* Of those, the ones that the client runs; the provider runs the others, and new ones until they are known. */
static uint32_t typed_flags(struct weir_str type)
{
    static const char *const of_clients[] = { "\"bash_", "\"text_editor_", "\"computer_", "\"memory_" };
    for (size_t i = 0; i < sizeof(of_clients) / sizeof(*of_clients); i++)
        if (type.n >= strlen(of_clients[i]) && memcmp(type.p, of_clients[i], strlen(of_clients[i])) == 0)
            return WEIR_TOOL_OF_CLIENT;
    return 0;
}

struct weir_str anthropic_cache_ttl(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, ttl = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, raw);
    for (bool is_in = raw.p[0] == '{' && j->object(r); is_in && j->member(r, &key);)
        if (weir_is(key, "ttl") && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &ttl);
        else if (weir_is(key, "type"))
            j->skip(r);
    return ttl;
}

static void read_tool_member(struct reading *x, struct weir_json *r, struct weir_tool *t, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (weir_is(key, "name"))
        j->string(r, &t->name);
    else if (weir_is(key, "description") && !took_null(r, j))
        j->text(r, &t->description);
    else if (weir_is(key, "input_schema"))
        j->raw(r, &t->schema);
    else if (weir_is(key, "strict") && !took_null(r, j))
        j->raw(r, &t->strict);
    else if (weir_is(key, "cache_control") && !took_null(r, j) && j->raw(r, &raw)) {
        t->cache_ttl = anthropic_cache_ttl(x, raw);
        t->flags |= WEIR_PART_CACHE_MARK;
        t->dialect = ANTHROPIC_DIALECT;
    }
}

static void read_tool(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, type = WEIR_NONE;
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    x->o.failed = x->o.failed || !t;
    if (!t || !j->raw(x->r, &raw))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            j->raw(r, &type);
        else
            read_tool_member(x, r, t, key);
    }
    if (!j->close(r)) {
        j->reject_inside(x->r, r, "must be {\"name\":…,\"description\":…,\"input_schema\":{…}} or a tool that Anthropic runs");
    } else if (is_typed(type)) {
        *t = (struct weir_tool){ .next = t->next, .raw = raw, .dialect = ANTHROPIC_DIALECT, .flags = typed_flags(type) };
    } else if (!t->name.n) {
        j->reject(x->r, "has no name");
    }
}

static void read_tools(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_tool(x);
}

static void set_tool_choice(struct reading *x, struct weir_str type, struct weir_str name)
{
    if (weir_is(type, "\"any\""))
        set_field(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LIT("\"required\""), WEIR_NONE);
    else if (weir_is(type, "\"auto\"") || weir_is(type, "\"none\""))
        set_field(x, WEIR_FIELD_TOOL_CHOICE, type, WEIR_NONE);
    else if (weir_is(type, "\"tool\"") && name.n)
        set_field(x, WEIR_FIELD_TOOL_CHOICE, x->o.host->format(x->o.call, "{\"name\":%.*s}", (int)name.n, name.p),
                  WEIR_NONE);
    else
        x->o.json->reject(x->r, "must be {\"type\":\"auto\"}, any, none, or {\"type\":\"tool\",\"name\":…}");
}

static void read_tool_choice(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, type = WEIR_NONE, name = WEIR_NONE, lone = WEIR_NONE;
    if (!j->raw(x->r, &raw))
        return;
    x->client->fields[WEIR_FIELD_TOOL_CHOICE] = anthropic_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            j->raw(r, &type);
        else if (weir_is(key, "name"))
            j->raw(r, &name);
        else if (weir_is(key, "disable_parallel_tool_use"))
            j->raw(r, &lone);
    }
    j->close(r);
    set_tool_choice(x, type, name);
    if (weir_is(lone, "true") || weir_is(lone, "false"))
        set_field(x, WEIR_FIELD_PARALLEL_TOOLS, weir_is(lone, "true") ? WEIR_LIT("false") : WEIR_LIT("true"),
                  WEIR_NONE);
}

/* ---- settings ---- */

/* {"type":"enabled","budget_tokens":N} | adaptive | disabled, with display: a budget, -1 for the model's own, 0 for none. */
static void read_thinking(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, type = WEIR_NONE, budget = WEIR_NONE, display = WEIR_NONE;
    if (!j->raw(x->r, &raw))
        return;
    x->client->thinking = anthropic_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            j->raw(r, &type);
        else if (weir_is(key, "budget_tokens") && !took_null(r, j))
            j->number(r, &budget);
        else if (weir_is(key, "display"))
            j->raw(r, &display);
    }
    if (!j->close(r) || (weir_is(type, "\"enabled\"") && !budget.n)) {
        j->reject_inside(
            x->r, r,
            "must be {\"type\":\"enabled\",\"budget_tokens\":N}, {\"type\":\"adaptive\"} or {\"type\":\"disabled\"}");
        return;
    }
    bool is_off = weir_is(type, "\"disabled\"");
    set_field(x, WEIR_FIELD_REASONING_BUDGET, budget.n ? budget : is_off ? WEIR_LIT("0") : WEIR_LIT("-1"), WEIR_NONE);
    if (!is_off)
        set_field(x, WEIR_FIELD_REASONING_VISIBLE,
                  weir_is(display, "\"omitted\"") ? WEIR_LIT("false") : WEIR_LIT("true"), WEIR_NONE);
}

/* {"type":"json_schema","schema":{…}} */
static void take_format(struct reading *x, struct weir_str format)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, schema = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, format);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "schema"))
            j->raw(r, &schema);
        else if (weir_is(key, "type"))
            j->skip(r);
    if (!j->close(r) || !schema.n || schema.p[0] != '{')
        j->reject(x->r, "a format must be {\"type\":\"json_schema\",\"schema\":{…}}");
    else
        set_field(x, WEIR_FIELD_RESPONSE_FORMAT,
                  x->o.host->format(x->o.call, "{\"schema\":%.*s}", (int)schema.n, schema.p), WEIR_NONE);
}

static void take_effort(struct reading *x, struct weir_str effort)
{
    if (effort.p[0] != '"') {
        x->o.json->reject(x->r, "effort must be a string");
        return;
    }
    x->client->fields[WEIR_FIELD_REASONING_EFFORT] = anthropic_span_of(x, effort);
    set_field(x, WEIR_FIELD_REASONING_EFFORT, effort, effort);
}

static void read_output_config(struct reading *x, struct weir_str whole_key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, value;
    if (!j->raw(x->r, &raw))
        return;
    x->client->output_config = anthropic_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (!j->raw(r, &value) || weir_is(value, "null"))
            continue;
        if (weir_is(key, "effort"))
            take_effort(x, value);
        else if (weir_is(key, "format"))
            take_format(x, value);
        else
            anthropic_add_ext(
                x, x->o.host->format(x->o.call, "%.*s.%.*s", (int)whole_key.n, whole_key.p, (int)key.n, key.p), key,
                value);
    }
    if (!j->close(r))
        j->reject(x->r, "must be an object");
}

/* The name that format had before there was output_config. */
static void read_output_format(struct reading *x)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw) && !weir_is(raw, "null"))
        take_format(x, raw);
}

static void read_metadata(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, value;
    if (!j->raw(x->r, &raw))
        return;
    x->client->metadata = anthropic_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (!j->raw(r, &value))
            break;
        if (!weir_is(key, "user_id")) {
            anthropic_add_ext(x, x->o.host->format(x->o.call, "metadata.%.*s", (int)key.n, key.p), key, value);
            continue;
        }
        x->client->fields[WEIR_FIELD_USER] = anthropic_span_of(x, value);
        if (value.p[0] == '"')
            set_field(x, WEIR_FIELD_USER, value, value);
    }
    if (!j->close(r))
        j->reject(x->r, "must be an object with user_id");
}

static void read_service_tier(struct reading *x)
{
    struct weir_str raw;
    if (!x->o.json->raw(x->r, &raw))
        return;
    x->client->fields[WEIR_FIELD_SERVICE_TIER] = anthropic_span_of(x, raw);
    if (weir_is(raw, "\"standard_only\""))
        set_field(x, WEIR_FIELD_SERVICE_TIER, WEIR_LIT("\"default\""), WEIR_NONE);
    else if (raw.p[0] == '"')
        set_field(x, WEIR_FIELD_SERVICE_TIER, raw, WEIR_NONE);
}

static void read_stop(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, each;
    if (!j->raw(x->r, &raw))
        return;
    x->client->fields[WEIR_FIELD_STOP] = anthropic_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); j->element(r);)
        j->string(r, &each);
    if (j->close(r))
        set_field(x, WEIR_FIELD_STOP, raw, raw);
    else
        j->reject_inside(x->r, r, "must be an array of strings");
}

enum shape { STRING, BOOLEAN, INTEGER, NUMBER };

/* The settings whose canonical form is what stands on the wire. */
static const struct plain_field {
    const char *name;
    uint8_t field, shape;
} plain_fields[] = {
    { "model", WEIR_FIELD_MODEL, STRING },    { "max_tokens", WEIR_FIELD_MAX_TOKENS, INTEGER },
    { "stream", WEIR_FIELD_STREAM, BOOLEAN }, { "temperature", WEIR_FIELD_TEMPERATURE, NUMBER },
    { "top_p", WEIR_FIELD_TOP_P, NUMBER },    { "top_k", WEIR_FIELD_TOP_K, INTEGER },
};

static bool read_shape(struct reading *x, enum shape shape, struct weir_str *raw)
{
    static const struct {
        enum weir_json_type type;
        const char *message;
    } wanted[] = {
        [STRING] = { WEIR_JSON_STRING, "must be a string" },
        [BOOLEAN] = { WEIR_JSON_BOOL, "must be true or false" },
        [INTEGER] = { WEIR_JSON_NUMBER, "must be an integer, not negative" },
        [NUMBER] = { WEIR_JSON_NUMBER, "must be a number" },
    };
    const struct weir_json_api *j = x->o.json;
    bool is_right = j->peek(x->r) == wanted[shape].type;
    if (!j->raw(x->r, raw))
        return false;
    for (size_t i = 0; is_right && shape == INTEGER && i < raw->n; i++)
        is_right = raw->p[i] >= '0' && raw->p[i] <= '9';
    return is_right || j->reject(x->r, wanted[shape].message);
}

static void read_plain(struct reading *x, const struct plain_field *f)
{
    struct weir_str raw;
    bool is_optional = f->field != WEIR_FIELD_MODEL && f->field != WEIR_FIELD_MAX_TOKENS;
    bool is_null = is_optional && x->o.json->peek(x->r) == WEIR_JSON_NULL;
    if (is_null ? !x->o.json->raw(x->r, &raw) : !read_shape(x, (enum shape)f->shape, &raw))
        return;
    x->client->fields[f->field] = anthropic_span_of(x, raw);
    if (!is_null)
        set_field(x, (enum weir_field)f->field, raw, raw);
    x->has_model = x->has_model || (f->field == WEIR_FIELD_MODEL && raw.n > 2);
    x->has_limit = x->has_limit || f->field == WEIR_FIELD_MAX_TOKENS;
}

static struct weir_str array_or_string_behind(const struct reading *x, struct weir_str key)
{
    const char *end = x->body.p + x->body.n, *p = is_inside(x, key) ? key.p + key.n + 1 : end;
    while (p < end && *p != '"' && *p != '[' && *p != 'n')
        p++;
    return (struct weir_str){ p, p < end ? 1 : 0 };
}

static void read_member(struct reading *x, struct weir_str key)
{
    for (size_t i = 0; i < sizeof(plain_fields) / sizeof(*plain_fields); i++)
        if (weir_is(key, plain_fields[i].name)) {
            read_plain(x, &plain_fields[i]);
            return;
        }
    if (weir_is(key, "messages")) {
        anthropic_read_messages(x);
    } else if (weir_is(key, "system")) {
        x->client->system = anthropic_span_of(x, array_or_string_behind(x, key));
        anthropic_read_system(x);
    } else if (weir_is(key, "tools")) {
        read_tools(x);
    } else if (weir_is(key, "tool_choice")) {
        read_tool_choice(x);
    } else if (weir_is(key, "stop_sequences")) {
        read_stop(x);
    } else if (weir_is(key, "thinking")) {
        read_thinking(x);
    } else if (weir_is(key, "output_config")) {
        read_output_config(x, key);
    } else if (weir_is(key, "output_format")) {
        read_output_format(x);
    } else if (weir_is(key, "metadata")) {
        read_metadata(x);
    } else if (weir_is(key, "service_tier")) {
        read_service_tier(x);
    } else if (weir_is(key, "mcp_servers")) {
        mark_own(x, key);
    } else {
        read_ext(x, key);
    }
}

int anthropic_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = anthropic_begin(self, call), .client = state, .body = body };
    const struct weir_json_api *j = x.o.json;
    struct weir_str key;
    x.r = j->open(call, body);
    for (j->object(x.r); !x.o.failed && j->member(x.r, &key);)
        read_member(&x, key);
    if (x.o.failed)
        return -1;
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    if (!x.has_model)
        anthropic_fail_at(&x, WEIR_LIT("model"), "is missing; name a model, GET /v1/models lists them");
    else if (!x.n_wire)
        anthropic_fail_at(&x, WEIR_LIT("messages"), "is missing or empty; send at least one message");
    else if (!x.has_limit && !anthropic_counts(&x.o))
        anthropic_fail_at(&x, WEIR_LIT("max_tokens"), "is missing; say how many tokens the answer may have");
    return x.o.failed ? -1 : 0;
}
