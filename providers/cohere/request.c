/* A client's request becomes a conversation: one pass over the body, texts stay where they are. Everything made here is the
 * request's. */
#include "request.h"

void cohere_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct cohere *o = &x->o;
    if (o->failed)
        return;
    o->failed = true;
    struct weir_str text = o->host->format(o->call, "%.*s: %s", (int)param.n, param.p, message);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .message = text, .param = param };
    o->host->fail(o->call, &e);
}

bool cohere_is_inside(const struct reading *x, struct weir_str s)
{
    return s.p && s.p >= x->body.p && s.p + s.n <= x->body.p + x->body.n;
}

struct weir_str cohere_member_of(const struct reading *x, struct weir_str key, struct weir_str raw)
{
    if (!cohere_is_inside(x, key) || !cohere_is_inside(x, raw))
        return WEIR_NONE;
    return (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
}

void cohere_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

void cohere_read_ext(struct reading *x, struct weir_str folder, struct weir_str key)
{
    struct weir_str raw, path = key;
    if (!x->o.json->raw(x->r, &raw) || weir_is(raw, "null"))
        return;
    if (folder.n)
        path = x->o.host->format(x->o.call, "%.*s%.*s", (int)folder.n, folder.p, (int)key.n, key.p);
    if (x->o.host->ext_add(x->o.call, path, raw, cohere_member_of(x, key, raw)) < 0)
        x->o.failed = true;
}

/* ---- tools ---- */

static void read_tool_function(struct reading *x, struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "name"))
            j->string(x->r, &t->name);
        else if (weir_is(key, "description") && !took_null(x->r, j))
            j->text(x->r, &t->description);
        else if (weir_is(key, "parameters") && !took_null(x->r, j))
            j->raw(x->r, &t->schema);
    }
    if (!t->name.n)
        j->reject(x->r, "has no name; a tool is {\"type\":\"function\",\"function\":{\"name\":…,\"parameters\":{…}}}");
}

static void read_tool(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    bool is_function = false;
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    if (!t) {
        x->o.failed = true;
        return;
    }
    for (j->object(x->r); j->member(x->r, &key);)
        if (weir_is(key, "type")) {
            j->skip(x->r);
        } else if (weir_is(key, "function") && j->peek(x->r) == WEIR_JSON_OBJECT) {
            is_function = true;
            read_tool_function(x, t);
        }
    if (!is_function)
        j->reject(x->r, "must be {\"type\":\"function\",\"function\":{…}}");
}

static void read_tools(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_tool(x);
}

/* One word for all tools here, one for each in a conversation. */
static void settle_strict(struct reading *x)
{
    const struct weir_conversation *c = x->o.host->conversation(x->o.call);
    for (struct weir_tool *t = c && x->is_strict ? c->tools : NULL; t; t = t->next)
        t->strict = WEIR_LIT("true");
}

/* ---- settings ---- */

static bool is_integer(struct weir_str raw, bool is_count)
{
    bool is = !is_count || (raw.n && raw.p[0] != '-' && raw.p[0] != '0');
    for (size_t i = 0; is && i < raw.n; i++)
        is = (raw.p[i] >= '0' && raw.p[i] <= '9') || (i == 0 && raw.p[i] == '-');
    return is;
}

static bool are_strings(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str each;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); j->element(r);)
        j->string(r, &each);
    return j->close(r);
}

static bool read_shape(struct reading *x, enum cohere_shape shape, struct weir_str *raw)
{
    static const struct {
        enum weir_json_type type;
        const char *message;
    } wanted[] = {
        [COHERE_STRING] = { WEIR_JSON_STRING, "must be a string" },
        [COHERE_BOOLEAN] = { WEIR_JSON_BOOL, "must be true or false" },
        [COHERE_INTEGER] = { WEIR_JSON_NUMBER, "must be an integer" },
        [COHERE_COUNT] = { WEIR_JSON_NUMBER, "must be an integer of at least 1" },
        [COHERE_NUMBER] = { WEIR_JSON_NUMBER, "must be a number" },
        [COHERE_STRINGS] = { WEIR_JSON_ARRAY, "must be an array of strings" },
    };
    const struct weir_json_api *j = x->o.json;
    bool is_right = j->peek(x->r) == wanted[shape].type;
    if (!j->raw(x->r, raw))
        return false;
    if (is_right && (shape == COHERE_INTEGER || shape == COHERE_COUNT))
        is_right = is_integer(*raw, shape == COHERE_COUNT);
    if (is_right && shape == COHERE_STRINGS)
        is_right = are_strings(x, *raw);
    return is_right || j->reject(x->r, wanted[shape].message);
}

void cohere_read_field(struct reading *x, enum weir_field f, enum cohere_shape shape)
{
    struct weir_str raw;
    if (took_null(x->r, x->o.json))
        x->client->odd_fields |= UINT64_C(1) << f;
    else if (read_shape(x, shape, &raw))
        cohere_set_field(x, f, raw, raw);
}

void cohere_read_word(struct reading *x, enum weir_field f, const struct cohere_word *words, const char *message)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (took_null(x->r, j) || !j->raw(x->r, &raw))
        return;
    for (; words->wire; words++)
        if (weir_is(raw, words->wire)) {
            cohere_set_field(x, f, weir_cstr(words->canonical), WEIR_NONE);
            return;
        }
    j->reject(x->r, message);
}

static const struct plain_field {
    const char *name;
    uint8_t field, shape;
} plain_fields[] = {
    { "stream", WEIR_FIELD_STREAM, COHERE_BOOLEAN },
    { "max_tokens", WEIR_FIELD_MAX_TOKENS, COHERE_COUNT },
    { "temperature", WEIR_FIELD_TEMPERATURE, COHERE_NUMBER },
    { "p", WEIR_FIELD_TOP_P, COHERE_NUMBER },
    { "k", WEIR_FIELD_TOP_K, COHERE_INTEGER },
    { "stop_sequences", WEIR_FIELD_STOP, COHERE_STRINGS },
    { "seed", WEIR_FIELD_SEED, COHERE_INTEGER },
    { "frequency_penalty", WEIR_FIELD_FREQUENCY_PENALTY, COHERE_NUMBER },
    { "presence_penalty", WEIR_FIELD_PRESENCE_PENALTY, COHERE_NUMBER },
    { "logprobs", WEIR_FIELD_LOGPROBS, COHERE_BOOLEAN },
};

const char *cohere_field_key(uint32_t field)
{
    for (size_t i = 0; i < sizeof(plain_fields) / sizeof(*plain_fields); i++)
        if (plain_fields[i].field == field)
            return plain_fields[i].name;
    return NULL;
}

static bool read_plain(struct reading *x, struct weir_str key)
{
    for (size_t i = 0; i < sizeof(plain_fields) / sizeof(*plain_fields); i++)
        if (weir_is(key, plain_fields[i].name)) {
            cohere_read_field(x, (enum weir_field)plain_fields[i].field, (enum cohere_shape)plain_fields[i].shape);
            return true;
        }
    return false;
}

/* {"type":"json_object","json_schema":{…}} */
static void read_response_format(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE, schema = WEIR_NONE;
    if (took_null(x->r, j))
        return;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "type"))
            j->raw(x->r, &type);
        else if ((weir_is(key, "json_schema") || weir_is(key, "schema")) && !took_null(x->r, j))
            j->raw(x->r, &schema);
    }
    bool is_object = weir_is(type, "\"json_object\"");
    if (!is_object && !weir_is(type, "\"text\""))
        j->reject(x->r, "must be {\"type\":\"text\"} or {\"type\":\"json_object\",\"json_schema\":{…}}");
    else if (is_object && schema.n)
        cohere_set_field(x, WEIR_FIELD_RESPONSE_FORMAT,
                         x->o.host->format(x->o.call, "{\"schema\":%.*s}", (int)schema.n, schema.p), WEIR_NONE);
    else
        cohere_set_field(x, WEIR_FIELD_RESPONSE_FORMAT, type, WEIR_NONE);
}

/* {"type":"enabled","token_budget":1000} */
static void read_thinking(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE, budget = WEIR_NONE;
    int64_t n = 0;
    if (took_null(x->r, j))
        return;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "type"))
            j->raw(x->r, &type);
        else if (weir_is(key, "token_budget") && !took_null(x->r, j) && j->integer(x->r, &n))
            budget = x->o.host->format(x->o.call, "%lld", (long long)n);
    }
    if (weir_is(type, "\"disabled\"")) {
        cohere_set_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LIT("\"none\""), WEIR_NONE);
    } else if (weir_is(type, "\"enabled\"") && n >= 0) {
        cohere_set_field(x, WEIR_FIELD_REASONING_BUDGET, budget.n ? budget : WEIR_LIT("-1"), WEIR_NONE);
        cohere_set_field(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LIT("true"), WEIR_NONE);
    } else {
        j->reject(x->r, "must be {\"type\":\"enabled\",\"token_budget\":…} or {\"type\":\"disabled\"}");
    }
}

static void read_documents(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    bool is_list = j->peek(x->r) == WEIR_JSON_ARRAY;
    if (took_null(x->r, j) || !j->raw(x->r, &x->documents))
        return;
    x->documents_member = cohere_member_of(x, key, x->documents);
    if (!is_list)
        j->reject(x->r, "must be an array of strings or of {\"id\":…,\"data\":{…}}");
}

static void read_chat_member(struct reading *x, struct weir_str key)
{
    static const struct cohere_word choices[] = { { "\"REQUIRED\"", "\"required\"" },
                                                  { "\"NONE\"", "\"none\"" },
                                                  { NULL, NULL } };
    const struct weir_json_api *j = x->o.json;
    if (read_plain(x, key))
        return;
    if (weir_is(key, "messages"))
        cohere_read_messages(x, key);
    else if (weir_is(key, "tools"))
        read_tools(x);
    else if (weir_is(key, "documents"))
        read_documents(x, key);
    else if (weir_is(key, "tool_choice"))
        cohere_read_word(x, WEIR_FIELD_TOOL_CHOICE, choices, "must be \"REQUIRED\" or \"NONE\"");
    else if (weir_is(key, "response_format"))
        read_response_format(x);
    else if (weir_is(key, "thinking"))
        read_thinking(x);
    else if (weir_is(key, "strict_tools") && !took_null(x->r, j))
        j->boolean(x->r, &x->is_strict);
    else if (!weir_is(key, "strict_tools"))
        cohere_read_ext(x, WEIR_NONE, key);
}

static void read_model(struct reading *x)
{
    struct weir_str raw;
    if (!read_shape(x, COHERE_STRING, &raw))
        return;
    x->has_model = raw.n > 2;
    cohere_set_field(x, WEIR_FIELD_MODEL, raw, raw);
}

static void read_member(struct reading *x, struct weir_str key, uint32_t operation)
{
    if (weir_is(key, "model"))
        read_model(x);
    else if (operation == WEIR_OP_EMBED && cohere_read_embed_member(x, key))
        return;
    else if (operation == WEIR_OP_RERANK && cohere_read_rerank_member(x, key))
        return;
    else if (operation == WEIR_OP_EMBED || operation == WEIR_OP_RERANK)
        cohere_read_ext(x, WEIR_NONE, key);
    else
        read_chat_member(x, key);
}

static void settle(struct reading *x, uint32_t operation)
{
    bool is_chat = operation != WEIR_OP_EMBED && operation != WEIR_OP_RERANK;
    if (!x->has_model)
        cohere_fail_at(x, WEIR_LIT("model"), "is missing; name a model, GET /v1/models lists them");
    else if (operation == WEIR_OP_EMBED && !x->has_input)
        cohere_fail_at(x, WEIR_LIT("texts"), "is missing or empty; send texts, images or inputs");
    else if (operation == WEIR_OP_RERANK && !x->has_query)
        cohere_fail_at(x, WEIR_LIT("query"), "is missing; send a string");
    else if (operation == WEIR_OP_RERANK && !x->n_messages)
        cohere_fail_at(x, WEIR_LIT("documents"), "is missing or empty; send an array of strings");
    else if (is_chat && !x->n_messages)
        cohere_fail_at(x, WEIR_LIT("messages"), "is missing or empty; send at least one message");
    if (x->o.failed || !is_chat)
        return;
    settle_strict(x);
    if (x->documents.n)
        cohere_take_documents(x);
}

int cohere_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = cohere_begin(self, call), .client = state, .body = body };
    const struct weir_json_api *j = x.o.json;
    uint32_t operation = cohere_operation(&x.o);
    struct weir_str key;
    x.r = j->open(call, body);
    for (j->object(x.r); !x.o.failed && j->member(x.r, &key);)
        read_member(&x, key, operation);
    if (x.o.failed)
        return -1;
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    settle(&x, operation);
    return x.o.failed ? -1 : 0;
}
