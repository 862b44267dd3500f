/* A client's request becomes a conversation: one pass over the body, texts stay where they are. Everything made here is the
 * request's. Where settings stand in the body is remembered for splice.c. */
#include "request.h"

void openai_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct openai *o = &x->o;
    if (o->failed)
        return;
    o->failed = true;
    struct weir_str text = o->host->format(o->call, "%.*s: %s", (int)param.n, param.p, message);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .message = text, .param = param };
    o->host->fail(o->call, &e);
}

bool openai_is_inside(const struct reading *x, struct weir_str s)
{
    return s.p && s.p >= x->body.p && s.p + s.n <= x->body.p + x->body.n;
}

static struct openai_span span_of(const struct reading *x, struct weir_str s)
{
    if (!openai_is_inside(x, s))
        return (struct openai_span){ 0, 0 };
    return (struct openai_span){ (uint32_t)(s.p - x->body.p), (uint32_t)s.n };
}

struct weir_str openai_member_of(const struct reading *x, struct weir_str key, struct weir_str raw)
{
    if (!openai_is_inside(x, key) || !openai_is_inside(x, raw))
        return WEIR_NONE;
    return (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
}

struct weir_str openai_object_of(struct reading *x, struct weir_str first, struct weir_str last)
{
    if (!openai_is_inside(x, first) || !openai_is_inside(x, last))
        return WEIR_NONE;
    const char *from = first.p - 1, *end = last.p + last.n;
    while (*from != '{')
        from--;
    while (*end != '}')
        end++;
    return (struct weir_str){ from, (size_t)(end - from) + 1 };
}

/* ---- unknown members ---- */

void openai_add_ext(struct reading *x, struct weir_str path, struct weir_str key, struct weir_str raw)
{
    if (x->o.host->ext_add(x->o.call, path, raw, openai_member_of(x, key, raw)) < 0)
        x->o.failed = true;
}

static void read_ext(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        openai_add_ext(x, key, key, raw);
}

/* A member that only this dialect has and that may not get lost on the way to another: it stands among the tools, with its key
 * as their name, where the host sees that a target of the same dialect is needed. */
static void mark_own(struct reading *x, struct weir_str key, struct weir_str raw)
{
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    if (!t) {
        x->o.failed = true;
        return;
    }
    t->name = key;
    t->raw = raw;
    t->dialect = OPENAI_DIALECT;
}

/* ---- tools ---- */

static bool is_of_function(struct weir_str key)
{
    return weir_is(key, "description") || weir_is(key, "parameters") || weir_is(key, "strict");
}

static void read_tool_function(struct reading *x, struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "name"))
            j->string(x->r, &t->name);
        else if (weir_is(key, "description") && !took_null(x->r, j))
            j->text(x->r, &t->description);
        else if (weir_is(key, "parameters") && !took_null(x->r, j))
            j->raw(x->r, &t->schema);
        else if (weir_is(key, "strict") && !took_null(x->r, j))
            j->raw(x->r, &t->strict);
        else if (!is_of_function(key) && j->raw(x->r, &raw))
            openai_add_ext(x, x->o.host->format(x->o.call, "tools[%u].function.%.*s", x->n_tools, (int)key.n, key.p), key, raw);
    }
    if (!t->name.n)
        j->reject(x->r, "has no name; a tool is {\"type\":\"function\",\"function\":{\"name\":…,\"parameters\":{…}}}");
}

static void read_tool(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw, first = WEIR_NONE, last = WEIR_NONE;
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    bool is_function = false, is_of_client = false;
    if (!t) {
        x->o.failed = true;
        return;
    }
    for (j->object(x->r); j->member(x->r, &key);) {
        if (!first.p)
            first = key;
        if (weir_is(key, "function") && j->peek(x->r) == WEIR_JSON_OBJECT) {
            is_function = true;
            read_tool_function(x, t);
        } else if (j->raw(x->r, &raw)) {
            last = raw;
            is_of_client |= weir_is(key, "type") && weir_is(raw, "\"custom\"");
            if (!is_function && !weir_is(key, "type"))
                j->leave(x->r, raw);
            else if (!weir_is(key, "type"))
                openai_add_ext(x, x->o.host->format(x->o.call, "tools[%u].%.*s", x->n_tools, (int)key.n, key.p), key, raw);
        }
    }
    if (is_function || j->failed(x->r))
        return;
    t->dialect = OPENAI_DIALECT; /* custom and hosted tools */
    t->raw = openai_object_of(x, first, last);
    t->flags |= is_of_client ? WEIR_TOOL_OF_CLIENT : 0;
    if (!t->raw.n)
        j->reject(x->r, "must be {\"type\":\"function\",\"function\":{…}} or another kind of tool");
}

static void read_tools(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r); x->n_tools++)
        read_tool(x);
}

static void set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

/* {"type":"function","function":{"name":…}}; what other kinds there are only this dialect knows. */
static void read_tool_choice(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, name = WEIR_NONE;
    if (!j->raw(x->r, &raw))
        return;
    x->client->fields[WEIR_FIELD_TOOL_CHOICE] = span_of(x, raw);
    if (weir_is(raw, "\"any\""))
        raw = WEIR_LIT("\"required\"");
    if (weir_is(raw, "\"auto\"") || weir_is(raw, "\"none\"") || weir_is(raw, "\"required\"")) {
        set_field(x, WEIR_FIELD_TOOL_CHOICE, raw, WEIR_NONE);
        return;
    }
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "type"))
            j->skip(r);
        else if (weir_is(key, "function"))
            for (j->object(r); j->member(r, &key);)
                if (weir_is(key, "name"))
                    j->raw(r, &name);
    if (!j->close(r))
        j->reject_inside(x->r, r,
                         "must be \"auto\", \"none\", \"required\" or {\"type\":\"function\",\"function\":{\"name\":…}}");
    else if (name.n && name.p[0] == '"')
        set_field(x, WEIR_FIELD_TOOL_CHOICE, x->o.host->format(x->o.call, "{\"name\":%.*s}", (int)name.n, name.p),
                  WEIR_NONE);
    else
        mark_own(x, WEIR_LIT("tool_choice"), raw);
}

/* ---- settings ---- */

/* It is the canonical form as it stands; what it has besides nobody else knows. */
static void look_into_schema(struct reading *x, struct weir_str schema)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_json *r = j->open(x->o.call, schema);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "name") || weir_is(key, "description") || weir_is(key, "schema") || weir_is(key, "strict"))
            j->skip(r);
}

static void read_response_format(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, type = WEIR_NONE, schema = WEIR_NONE;
    if (!j->raw(x->r, &raw))
        return;
    x->client->fields[WEIR_FIELD_RESPONSE_FORMAT] = span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            j->raw(r, &type);
        else if (weir_is(key, "json_schema"))
            j->raw(r, &schema);
    }
    if (!j->close(r) || !type.n)
        j->reject(x->r, "must be {\"type\":\"text\"}, {\"type\":\"json_object\"} or "
                        "{\"type\":\"json_schema\",\"json_schema\":{…}}");
    else if (weir_is(type, "\"text\"") || weir_is(type, "\"json_object\""))
        set_field(x, WEIR_FIELD_RESPONSE_FORMAT, type, WEIR_NONE);
    else if (weir_is(type, "\"json_schema\"") && schema.n && schema.p[0] == '{')
        look_into_schema(x, schema), set_field(x, WEIR_FIELD_RESPONSE_FORMAT, schema, WEIR_NONE);
    else if (weir_is(type, "\"json_schema\""))
        j->reject(x->r, "lacks json_schema: {\"name\":…,\"schema\":{…}}");
    else
        mark_own(x, WEIR_LIT("response_format"), raw);
}

static void read_stop(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    enum weir_json_type type = j->peek(x->r);
    struct weir_str raw, each;
    if (!j->raw(x->r, &raw))
        return;
    x->client->fields[WEIR_FIELD_STOP] = span_of(x, raw);
    if (type == WEIR_JSON_STRING) {
        set_field(x, WEIR_FIELD_STOP, x->o.host->format(x->o.call, "[%.*s]", (int)raw.n, raw.p), WEIR_NONE);
        return;
    }
    if (type == WEIR_JSON_NULL)
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); j->element(r);)
        j->string(r, &each);
    if (j->close(r))
        set_field(x, WEIR_FIELD_STOP, raw, raw);
    else
        j->reject_inside(x->r, r, "must be a string or an array of strings");
}

static void read_stream_options(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, asked;
    if (!j->raw(x->r, &raw))
        return;
    x->client->stream_options = span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (!weir_is(key, "include_usage") || !j->raw(r, &asked))
            continue;
        x->client->fields[WEIR_FIELD_STREAM_USAGE] = span_of(x, asked);
        if (weir_is(asked, "true") || weir_is(asked, "false"))
            set_field(x, WEIR_FIELD_STREAM_USAGE, asked, asked);
        else if (!weir_is(asked, "null"))
            j->reject(r, "");
    }
    if (!j->close(r))
        j->reject(x->r, "must be an object with include_usage true or false");
}

/* The settings whose canonical form is what stands on the wire. */
static const struct plain_field plain_fields[] = {
    { "model", WEIR_FIELD_MODEL, SHAPE_STRING },
    { "stream", WEIR_FIELD_STREAM, SHAPE_BOOLEAN },
    { "temperature", WEIR_FIELD_TEMPERATURE, SHAPE_NUMBER },
    { "max_completion_tokens", WEIR_FIELD_MAX_TOKENS, SHAPE_COUNT },
    { "top_p", WEIR_FIELD_TOP_P, SHAPE_NUMBER },
    { "top_k", WEIR_FIELD_TOP_K, SHAPE_INTEGER }, /* of the compatible servers */
    { "n", WEIR_FIELD_N, SHAPE_COUNT },
    { "seed", WEIR_FIELD_SEED, SHAPE_INTEGER },
    { "frequency_penalty", WEIR_FIELD_FREQUENCY_PENALTY, SHAPE_NUMBER },
    { "presence_penalty", WEIR_FIELD_PRESENCE_PENALTY, SHAPE_NUMBER },
    { "logit_bias", WEIR_FIELD_LOGIT_BIAS, SHAPE_OBJECT },
    { "logprobs", WEIR_FIELD_LOGPROBS, SHAPE_BOOLEAN },
    { "top_logprobs", WEIR_FIELD_TOP_LOGPROBS, SHAPE_INTEGER },
    { "user", WEIR_FIELD_USER, SHAPE_STRING },
    { "metadata", WEIR_FIELD_METADATA, SHAPE_OBJECT },
    { "service_tier", WEIR_FIELD_SERVICE_TIER, SHAPE_STRING },
    { "parallel_tool_calls", WEIR_FIELD_PARALLEL_TOOLS, SHAPE_BOOLEAN },
    { "reasoning_effort", WEIR_FIELD_REASONING_EFFORT, SHAPE_STRING },
    { "verbosity", WEIR_FIELD_VERBOSITY, SHAPE_STRING },
    { "modalities", WEIR_FIELD_MODALITIES, SHAPE_ARRAY },
};

static bool read_shape(struct reading *x, enum shape shape, struct weir_str *raw)
{
    static const struct {
        enum weir_json_type type;
        const char *message;
    } wanted[] = {
        [SHAPE_STRING] = { WEIR_JSON_STRING, "must be a string" },
        [SHAPE_BOOLEAN] = { WEIR_JSON_BOOL, "must be true or false" },
        [SHAPE_INTEGER] = { WEIR_JSON_NUMBER, "must be an integer" },
        [SHAPE_COUNT] = { WEIR_JSON_NUMBER, "must be an integer of at least 1" },
        [SHAPE_NUMBER] = { WEIR_JSON_NUMBER, "must be a number" },
        [SHAPE_OBJECT] = { WEIR_JSON_OBJECT, "must be an object" },
        [SHAPE_ARRAY] = { WEIR_JSON_ARRAY, "must be an array" },
    };
    const struct weir_json_api *j = x->o.json;
    bool is_right = j->peek(x->r) == wanted[shape].type;
    if (!j->raw(x->r, raw))
        return false;
    bool is_whole = shape == SHAPE_INTEGER || shape == SHAPE_COUNT;
    for (size_t i = 0; is_right && is_whole && i < raw->n; i++)
        is_right = (raw->p[i] >= '0' && raw->p[i] <= '9') || (i == 0 && raw->p[i] == '-');
    if (is_right && shape == SHAPE_COUNT)
        is_right = raw->p[0] != '-' && raw->p[0] != '0';
    return is_right || j->reject(x->r, wanted[shape].message);
}

void openai_read_plain(struct reading *x, const struct plain_field *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    bool is_null = j->peek(x->r) == WEIR_JSON_NULL && f->field != WEIR_FIELD_MODEL;
    if (is_null ? !j->raw(x->r, &raw) : !read_shape(x, (enum shape)f->shape, &raw))
        return;
    x->client->fields[f->field] = span_of(x, raw);
    if (!is_null)
        set_field(x, (enum weir_field)f->field, raw, raw);
    x->has_model = x->has_model || (f->field == WEIR_FIELD_MODEL && raw.n > 2);
    x->has_user = x->has_user || (f->field == WEIR_FIELD_USER && !is_null);
    x->has_new_limit = x->has_new_limit || (f->field == WEIR_FIELD_MAX_TOKENS && !is_null);
}

/* max_tokens, the deprecated name: counts only if the new one is absent. */
static void read_old_limit(struct reading *x, struct weir_str key)
{
    static const struct plain_field limit = { "max_tokens", WEIR_FIELD_MAX_TOKENS, SHAPE_COUNT };
    if (x->has_new_limit)
        read_ext(x, key);
    else
        openai_read_plain(x, &limit);
}

/* The newer name of `user`: counts only if that is absent. */
static void read_safety_identifier(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    if (j->peek(x->r) == WEIR_JSON_STRING && j->raw(x->r, &x->safety_identifier))
        x->safety_member = openai_member_of(x, key, x->safety_identifier);
    else
        read_ext(x, key);
}

static void settle_user(struct reading *x)
{
    if (!x->safety_identifier.n)
        return;
    if (!x->has_user)
        set_field(x, WEIR_FIELD_USER, x->safety_identifier, x->safety_identifier);
    else
        x->o.host->ext_add(x->o.call, WEIR_LIT("safety_identifier"), x->safety_identifier, x->safety_member);
}

static void read_legacy_functions(struct reading *x)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw) && !weir_is(raw, "null"))
        mark_own(x, WEIR_LIT("functions"), raw);
}

static void read_member(struct reading *x, struct weir_str key)
{
    for (size_t i = 0; i < sizeof(plain_fields) / sizeof(*plain_fields); i++)
        if (weir_is(key, plain_fields[i].name)) {
            openai_read_plain(x, &plain_fields[i]);
            return;
        }
    if (weir_is(key, "messages"))
        openai_read_messages(x, key);
    else if (weir_is(key, "tools"))
        read_tools(x);
    else if (weir_is(key, "max_tokens"))
        read_old_limit(x, key);
    else if (weir_is(key, "stream_options"))
        read_stream_options(x);
    else if (weir_is(key, "tool_choice"))
        read_tool_choice(x);
    else if (weir_is(key, "response_format"))
        read_response_format(x);
    else if (weir_is(key, "stop"))
        read_stop(x);
    else if (weir_is(key, "safety_identifier"))
        read_safety_identifier(x, key);
    else if (weir_is(key, "functions"))
        read_legacy_functions(x);
    else
        read_ext(x, key);
}

/* ---- Azure's deployments ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A path's piece without its %XX. */
static struct weir_str unescaped(struct openai *o, struct weir_str s)
{
    char *to = o->host->alloc(o->call, WEIR_FOR_REQUEST, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        int high = i + 2 < s.n && s.p[i] == '%' ? hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        to[n++] = low >= 0 ? (char)(high * 16 + low) : s.p[i];
        i += low >= 0 ? 2 : 0;
    }
    return (struct weir_str){ to, to ? n : 0 };
}

/* /deployments/NAME/…: what the path names counts, whatever the body says. */
static void settle_deployment(struct reading *x)
{
    const struct weir_host *h = x->o.host;
    struct weir_str star = h->request(x->o.call)->star;
    struct weir_out *out = star.n ? h->out(x->o.call) : NULL;
    if (!out)
        return;
    x->o.json->put_str(out, unescaped(&x->o, star));
    set_field(x, WEIR_FIELD_MODEL, h->keep(x->o.call, h->out_bytes(out)), WEIR_NONE);
    x->has_model = true;
}

int openai_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = openai_begin(self, call), .client = state, .body = body };
    const struct weir_json_api *j = x.o.json;
    struct weir_str key;
    bool embeds = openai_embeds(&x.o);
    x.r = j->open(call, body);
    for (j->object(x.r); !x.o.failed && j->member(x.r, &key);)
        if (!embeds)
            read_member(&x, key);
        else if (!openai_read_embed_member(&x, key))
            read_ext(&x, key);
    if (x.o.failed)
        return -1;
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    settle_user(&x);
    settle_deployment(&x);
    if (!x.has_model)
        openai_fail_at(&x, WEIR_LIT("model"), "is missing; name a model, GET /v1/models lists them");
    else if (!x.n_messages && embeds)
        openai_fail_at(&x, WEIR_LIT("input"), "is missing or empty; send a text or an array of texts");
    else if (!x.n_messages)
        openai_fail_at(&x, WEIR_LIT("messages"), "is missing or empty; send at least one message");
    return x.o.failed ? -1 : 0;
}
