/* A client's request becomes a conversation: one pass over the body; the model and whether to stream stand in the path. This room
 * has the settings and the tools; blocks.c the messages. Everything made here is the request's. */
#include "request.h"

void bedrock_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct bedrock *o = &x->o;
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

/* `"key":value` as it stands; nothing if the key was written with escapes. */
static struct weir_str member_of(const struct reading *x, struct weir_str key, struct weir_str raw)
{
    if (!is_inside(x, key) || !is_inside(x, raw))
        return WEIR_NONE;
    return (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
}

void bedrock_read_ext(struct reading *x, const char *before, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        bedrock_add_ext(x, before, key, raw);
}

void bedrock_add_ext(struct reading *x, const char *before, struct weir_str key, struct weir_str raw)
{
    const struct weir_host *h = x->o.host;
    struct weir_str path = key;
    if (*before)
        path = h->format(x->o.call, "%s.%.*s", before, (int)key.n, key.p);
    if (h->ext_add(x->o.call, path, raw, member_of(x, key, raw)) < 0)
        x->o.failed = true;
}

struct weir_message *bedrock_add_message(struct reading *x, enum weir_role role)
{
    struct weir_message *m = x->o.host->message_add(x->o.call, role);
    x->o.failed = x->o.failed || !m;
    if (!x->first)
        x->first = m;
    return m;
}

void bedrock_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

/* The next value, if it has this shape; else an error at it. */
bool bedrock_read_shape(struct reading *x, enum bedrock_shape shape, struct weir_str *raw)
{
    static const struct {
        enum weir_json_type type;
        const char *message;
    } wanted[] = {
        [BEDROCK_STRING] = { WEIR_JSON_STRING, "must be a string" },
        [BEDROCK_INTEGER] = { WEIR_JSON_NUMBER, "must be an integer, not negative" },
        [BEDROCK_NUMBER] = { WEIR_JSON_NUMBER, "must be a number" },
        [BEDROCK_STRINGS] = { WEIR_JSON_ARRAY, "must be an array of strings" },
        [BEDROCK_OBJECT] = { WEIR_JSON_OBJECT, "must be an object" },
    };
    const struct weir_json_api *j = x->o.json;
    bool is_right = j->peek(x->r) == wanted[shape].type;
    struct weir_str each;
    if (!j->raw(x->r, raw))
        return false;
    for (size_t i = 0; is_right && shape == BEDROCK_INTEGER && i < raw->n; i++)
        is_right = raw->p[i] >= '0' && raw->p[i] <= '9';
    if (is_right && shape == BEDROCK_STRINGS) {
        struct weir_json *r = j->open(x->o.call, *raw);
        for (j->array(r); j->element(r);)
            j->string(r, &each);
        is_right = j->close(r);
    }
    return is_right || j->reject(x->r, wanted[shape].message);
}

void bedrock_read_field(struct reading *x, enum weir_field f, enum bedrock_shape shape)
{
    struct weir_str raw;
    if (!took_null(x) && bedrock_read_shape(x, shape, &raw))
        bedrock_set_field(x, f, raw, raw);
}

/* ---- tools ---- */

static void read_schema(struct reading *x, struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); j->member(x->r, &key);)
        if (weir_is(key, "json") && j->peek(x->r) != WEIR_JSON_OBJECT)
            j->skip(x->r), j->reject(x->r, "must be an object: a JSON Schema");
        else if (weir_is(key, "json"))
            j->raw(x->r, &t->schema);
}

static void read_tool_spec(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_tool *t = x->last_tool = x->o.host->tool_add(x->o.call);
    x->o.failed = x->o.failed || !t;
    for (bool is_in = t && j->object(x->r); is_in && j->member(x->r, &key);) {
        if (weir_is(key, "name"))
            j->string(x->r, &t->name);
        else if (weir_is(key, "description") && !took_null(x))
            j->text(x->r, &t->description);
        else if (weir_is(key, "inputSchema"))
            read_schema(x, t);
        else if (weir_is(key, "strict") && !took_null(x) && j->peek(x->r) == WEIR_JSON_BOOL)
            j->raw(x->r, &t->strict);
    }
    if (t && !t->name.n && !j->failed(x->r))
        j->reject(x->r, "needs a name");
}

/* A tool that only this dialect has: what AWS runs itself, and a cache point that no tool stands before. */
static void read_own_tool(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    struct weir_tool *t = x->o.json->raw(x->r, &raw) ? x->o.host->tool_add(x->o.call) : NULL;
    x->o.failed = x->o.failed || (!t && !x->o.json->failed(x->r));
    if (!t)
        return;
    x->last_tool = t;
    t->raw = x->o.host->keep(x->o.call, bedrock_wrapped(&x->o, key, raw));
    t->dialect = BEDROCK_DIALECT;
}

static void read_tool(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        struct weir_tool *before = weir_is(key, "cachePoint") ? x->last_tool : NULL;
        if (took_null(x))
            continue;
        if (weir_is(key, "toolSpec")) {
            read_tool_spec(x);
        } else if (before && !before->raw.n) {
            before->cache_ttl = bedrock_read_cache_ttl(x, &raw);
            before->flags |= WEIR_PART_CACHE_MARK;
            before->dialect = BEDROCK_DIALECT;
        } else {
            read_own_tool(x, key);
        }
    }
}

static void read_tool_choice(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, inner, name = WEIR_NONE, choice = WEIR_NONE;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        choice = weir_is(key, "auto")  ? WEIR_LIT("\"auto\"")
                 : weir_is(key, "any") ? WEIR_LIT("\"required\"")
                                       : WEIR_NONE;
        for (j->object(x->r); j->member(x->r, &inner);)
            if (weir_is(inner, "name") && j->peek(x->r) == WEIR_JSON_STRING)
                j->raw(x->r, &name);
        if (weir_is(key, "tool") && name.n)
            choice = x->o.host->format(x->o.call, "{\"name\":%.*s}", (int)name.n, name.p);
    }
    if (choice.n)
        bedrock_set_field(x, WEIR_FIELD_TOOL_CHOICE, choice, WEIR_NONE);
    else if (!j->failed(x->r))
        j->reject(x->r, "must be {\"auto\":{}}, {\"any\":{}} or {\"tool\":{\"name\":…}}");
}

static void read_tool_config(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        if (weir_is(key, "tools"))
            for (j->array(x->r); !x->o.failed && j->element(x->r);)
                read_tool(x);
        else if (weir_is(key, "toolChoice"))
            read_tool_choice(x);
        else
            bedrock_read_ext(x, "toolConfig", key);
    }
}

/* ---- settings ---- */

static void read_inference(struct reading *x)
{
    static const struct {
        const char *name;
        uint8_t field, shape;
    } members[] = {
        { "maxTokens", WEIR_FIELD_MAX_TOKENS, BEDROCK_INTEGER },
        { "temperature", WEIR_FIELD_TEMPERATURE, BEDROCK_NUMBER },
        { "topP", WEIR_FIELD_TOP_P, BEDROCK_NUMBER },
        { "stopSequences", WEIR_FIELD_STOP, BEDROCK_STRINGS },
    };
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        size_t i = 0;
        while (i < 4 && !weir_is(key, members[i].name))
            i++;
        if (i < 4)
            bedrock_read_field(x, (enum weir_field)members[i].field, (enum bedrock_shape)members[i].shape);
        else
            bedrock_read_ext(x, "inferenceConfig", key);
    }
}

/* {"type":"enabled","budget_tokens":N} | adaptive | disabled, as Claude says it. */
static void read_thinking(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE, budget = WEIR_NONE, display = WEIR_NONE;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "type"))
            j->raw(x->r, &type);
        else if (weir_is(key, "budget_tokens") && !took_null(x))
            j->number(x->r, &budget);
        else if (weir_is(key, "display"))
            j->raw(x->r, &display);
    }
    if (j->failed(x->r))
        return;
    bool is_off = weir_is(type, "\"disabled\"");
    if (weir_is(type, "\"enabled\"") && !budget.n)
        j->reject(
            x->r,
            "must be {\"type\":\"enabled\",\"budget_tokens\":N}, {\"type\":\"adaptive\"} or {\"type\":\"disabled\"}");
    bedrock_set_field(x, WEIR_FIELD_REASONING_BUDGET, budget.n ? budget : is_off ? WEIR_LIT("0") : WEIR_LIT("-1"), WEIR_NONE);
    if (!is_off)
        bedrock_set_field(x, WEIR_FIELD_REASONING_VISIBLE,
                  weir_is(display, "\"omitted\"") ? WEIR_LIT("false") : WEIR_LIT("true"), WEIR_NONE);
}

static void read_effort(struct reading *x)
{
    bedrock_read_field(x, WEIR_FIELD_REASONING_EFFORT, BEDROCK_STRING);
}

/* {"type":"enabled","maxReasoningEffort":"low"}, as Nova says it. */
static void read_reasoning_config(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "type"))
            j->raw(x->r, &type);
        else if (weir_is(key, "maxReasoningEffort"))
            read_effort(x);
    }
    if (weir_is(type, "\"disabled\""))
        bedrock_set_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LIT("\"none\""), WEIR_NONE);
}

/* Claude's output_config: only the effort has a name elsewhere. */
static void read_output_effort(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
        if (weir_is(key, "effort"))
            read_effort(x);
        else
            bedrock_read_ext(x, "additionalModelRequestFields.output_config", key);
}

/* Nova's {"topK":5}; with anything beside it it is no setting that is known elsewhere. */
static bool take_nova_top_k(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, top_k = WEIR_NONE, other;
    uint32_t n = 0;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key); n++)
        j->raw(r, weir_is(key, "topK") ? &top_k : &other);
    if (!j->close(r) || n != 1 || !top_k.n || top_k.p[0] < '0' || top_k.p[0] > '9')
        return false;
    bedrock_set_field(x, WEIR_FIELD_TOP_K, top_k, top_k);
    return true;
}

static void read_nova_inference(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw) && !take_nova_top_k(x, raw))
        bedrock_add_ext(x, "additionalModelRequestFields", key, raw);
}

/* What the model itself gets; the dialect does not look at it, but some of it is known elsewhere. */
static void read_additional(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        bool is_object = j->peek(x->r) == WEIR_JSON_OBJECT;
        if (weir_is(key, "top_k"))
            bedrock_read_field(x, WEIR_FIELD_TOP_K, BEDROCK_INTEGER);
        else if ((weir_is(key, "thinking") || weir_is(key, "reasoning_config")) && is_object)
            read_thinking(x);
        else if (weir_is(key, "output_config") && is_object)
            read_output_effort(x);
        else if (weir_is(key, "reasoningConfig") && is_object)
            read_reasoning_config(x);
        else if (weir_is(key, "reasoning_effort"))
            read_effort(x);
        else if (weir_is(key, "inferenceConfig") && is_object)
            read_nova_inference(x, key);
        else
            bedrock_read_ext(x, "additionalModelRequestFields", key);
    }
}

/* {"type":"json_schema","structure":{"jsonSchema":{"schema":"<a schema as a string>","name":…,"description":…}}} */
static void take_format(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_host *h = x->o.host;
    struct weir_str key, inner, schema = WEIR_NONE, name = WEIR_NONE, description = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            j->skip(r);
        if (!weir_is(key, "structure"))
            continue;
        for (j->object(r); j->member(r, &key);)
            for (j->object(r); j->member(r, &inner);) {
                if (weir_is(inner, "schema"))
                    j->string(r, &schema);
                else if (weir_is(inner, "name"))
                    j->raw(r, &name);
                else if (weir_is(inner, "description"))
                    j->raw(r, &description);
            }
    }
    struct weir_text plain = weir_plain(schema);
    if (!j->close(r) || !j->valid(x->o.call, &plain, WEIR_JSON_OBJECT)) {
        j->reject(x->r, "must be {\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{\"schema\":\"{…}\"}}}, the "
                        "schema being a string of JSON");
        return;
    }
    bedrock_set_field(x, WEIR_FIELD_RESPONSE_FORMAT,
              h->format(x->o.call, "{%s%.*s%s%s%.*s%s\"schema\":%.*s}", name.n ? "\"name\":" : "", (int)name.n, name.p,
                        name.n ? "," : "", description.n ? "\"description\":" : "", (int)description.n, description.p,
                        description.n ? "," : "", (int)schema.n, schema.p),
              WEIR_NONE);
}

static void read_output_config(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        if (weir_is(key, "textFormat") && j->raw(x->r, &raw))
            take_format(x, raw);
        else if (weir_is(key, "effort"))
            read_effort(x);
        else
            bedrock_read_ext(x, "outputConfig", key);
    }
}

static void read_service_tier(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); j->member(x->r, &key);)
        if (weir_is(key, "type"))
            bedrock_read_field(x, WEIR_FIELD_SERVICE_TIER, BEDROCK_STRING);
}

static struct weir_str first_byte_behind(const struct reading *x, struct weir_str key)
{
    const char *end = x->body.p + x->body.n, *p = is_inside(x, key) ? key.p + key.n + 1 : end;
    while (p < end && *p != '[' && *p != '{' && *p != 'n')
        p++;
    return (struct weir_str){ p, p < end ? 1 : 0 };
}

static struct bedrock_span span_of(const struct reading *x, struct weir_str s)
{
    return (struct bedrock_span){ s.n ? (uint32_t)(s.p - x->body.p) : 0, (uint32_t)s.n };
}

static void read_member(struct reading *x, struct weir_str key)
{
    static const struct {
        const char *name;
        void (*read)(struct reading *x);
    } objects[] = {
        { "messages", bedrock_read_messages },  { "system", bedrock_read_system },
        { "inferenceConfig", read_inference },  { "toolConfig", read_tool_config },
        { "outputConfig", read_output_config }, { "additionalModelRequestFields", read_additional },
        { "serviceTier", read_service_tier },
    };
    if (weir_is(key, "system"))
        x->client->system = span_of(x, first_byte_behind(x, key));
    else if (weir_is(key, "inferenceConfig"))
        x->client->inference = span_of(x, first_byte_behind(x, key));
    for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
        if (weir_is(key, objects[i].name)) {
            if (!took_null(x))
                objects[i].read(x);
            return;
        }
    if (weir_is(key, "requestMetadata"))
        bedrock_read_field(x, WEIR_FIELD_METADATA, BEDROCK_OBJECT);
    else
        bedrock_read_ext(x, "", key);
}

/* The path says the model, and whether the answer is a stream; a stream always tells its usage. */
static void read_path(struct reading *x)
{
    const struct weir_request_view *request = x->o.host->request(x->o.call);
    struct weir_str id = request ? bedrock_path_model(&x->o, request->path) : WEIR_NONE;
    struct weir_out *out = x->o.host->out(x->o.call);
    if (!id.n || !out) {
        bedrock_fail_at(x, WEIR_LIT("modelId"),
                        "is missing; the path is /model/{modelId}/converse, …/converse-stream, …/invoke or …/count-tokens");
        return;
    }
    x->o.json->put_str(out, id);
    bedrock_set_field(x, WEIR_FIELD_MODEL, x->o.host->keep(x->o.call, x->o.host->out_bytes(out)), WEIR_NONE);
    if (!bedrock_path_ends(request->path, "/converse-stream"))
        return;
    bedrock_set_field(x, WEIR_FIELD_STREAM, WEIR_LIT("true"), WEIR_NONE);
    bedrock_set_field(x, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
}

/* {"input":{"converse":{…}}}: what is to be counted. */
static void read_counted(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
        if (weir_is(key, "converse"))
            for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
                read_member(x, key);
        else if (weir_is(key, "invokeModel"))
            bedrock_fail_at(x, WEIR_LIT("input.invokeModel"),
                            "can't be counted here: it is in the words of one model; send input.converse");
        else
            bedrock_read_ext(x, "input", key);
}

static void read_body(struct reading *x, uint32_t operation)
{
    struct weir_str key;
    for (x->o.json->object(x->r); !x->o.failed && x->o.json->member(x->r, &key);)
        if (operation == WEIR_OP_EMBED)
            bedrock_read_vectors_member(x, key);
        else if (operation == WEIR_OP_COUNT && weir_is(key, "input"))
            read_counted(x);
        else if (operation == WEIR_OP_COUNT)
            bedrock_read_ext(x, "", key);
        else
            read_member(x, key);
}

static void fail_empty(struct reading *x, uint32_t operation)
{
    if (operation == WEIR_OP_EMBED)
        bedrock_fail_at(x, WEIR_LIT("body"),
                        "asks for no vectors: of InvokeModel's bodies this path takes those of embedding models, with inputText, "
                        "texts or singleEmbeddingParams; models that answer are asked by Converse");
    else
        bedrock_fail_at(x, operation == WEIR_OP_COUNT ? WEIR_LIT("input.converse.messages") : WEIR_LIT("messages"),
                        "is missing or empty; send at least one message");
}

int bedrock_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = bedrock_begin(self, call), .client = state, .body = body };
    const struct weir_json_api *j = x.o.json;
    const struct weir_request_view *request = x.o.host->request(call);
    uint32_t operation = request ? request->operation : WEIR_OP_CHAT;
    read_path(&x);
    x.r = j->open(call, body);
    read_body(&x, operation);
    if (x.o.failed)
        return -1;
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    if (!x.n_wire)
        fail_empty(&x, operation);
    return x.o.failed ? -1 : 0;
}
