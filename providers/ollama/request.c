/* A client's request becomes a conversation: one pass over the body, texts stay where they are. Everything made here is the
 * request's. Where settings stand in the body is remembered for splice.c. */
#include "request.h"

const struct ollama_option ollama_options[OLLAMA_OPTIONS] = {
    { "num_predict", WEIR_FIELD_MAX_TOKENS },
    { "temperature", WEIR_FIELD_TEMPERATURE },
    { "top_p", WEIR_FIELD_TOP_P },
    { "top_k", WEIR_FIELD_TOP_K },
    { "seed", WEIR_FIELD_SEED },
    { "frequency_penalty", WEIR_FIELD_FREQUENCY_PENALTY },
    { "presence_penalty", WEIR_FIELD_PRESENCE_PENALTY },
    { "stop", WEIR_FIELD_STOP },
};

void ollama_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct ollama *o = &x->o;
    if (o->failed)
        return;
    o->failed = true;
    struct weir_str text = o->host->format(o->call, "%.*s: %s", (int)param.n, param.p, message);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .message = text, .param = param };
    o->host->fail(o->call, &e);
}

bool ollama_is_inside(const struct reading *x, struct weir_str s)
{
    return s.p && s.p >= x->body.p && s.p + s.n <= x->body.p + x->body.n;
}

void ollama_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

void ollama_read_ext(struct reading *x, struct weir_str folder, struct weir_str key)
{
    struct weir_str raw, member = WEIR_NONE, path = key;
    if (!x->o.json->raw(x->r, &raw) || weir_is(raw, "null"))
        return; /* null is what the SDKs write for "not said" */
    if (folder.n)
        path = x->o.host->format(x->o.call, "%.*s%.*s", (int)folder.n, folder.p, (int)key.n, key.p);
    if (ollama_is_inside(x, key) && ollama_is_inside(x, raw))
        member = (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
    if (x->o.host->ext_add(x->o.call, path, raw, member) < 0)
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

/* ---- settings ---- */

enum shape { STRING, BOOLEAN, INTEGER, NUMBER, STRINGS };

static bool is_integer(struct weir_str raw)
{
    bool is = true;
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

static bool read_shape(struct reading *x, enum shape shape, struct weir_str *raw)
{
    static const struct {
        enum weir_json_type type;
        const char *message;
    } wanted[] = {
        [STRING] = { WEIR_JSON_STRING, "must be a string" },
        [BOOLEAN] = { WEIR_JSON_BOOL, "must be true or false" },
        [INTEGER] = { WEIR_JSON_NUMBER, "must be an integer" },
        [NUMBER] = { WEIR_JSON_NUMBER, "must be a number" },
        [STRINGS] = { WEIR_JSON_ARRAY, "must be an array of strings" },
    };
    const struct weir_json_api *j = x->o.json;
    bool is_right = j->peek(x->r) == wanted[shape].type;
    if (!j->raw(x->r, raw))
        return false;
    if (is_right && shape == INTEGER)
        is_right = is_integer(*raw);
    if (is_right && shape == STRINGS)
        is_right = are_strings(x, *raw);
    return is_right || j->reject(x->r, wanted[shape].message);
}

static void read_field(struct reading *x, enum weir_field f, enum shape shape)
{
    struct weir_str raw;
    if (took_null(x->r, x->o.json))
        x->client->odd_fields |= UINT64_C(1) << f;
    else if (read_shape(x, shape, &raw))
        ollama_set_field(x, f, raw, raw);
}

static enum shape shape_of(enum weir_field f)
{
    switch (f) {
    case WEIR_FIELD_MAX_TOKENS:
    case WEIR_FIELD_TOP_K:
    case WEIR_FIELD_SEED:
        return INTEGER;
    case WEIR_FIELD_STOP:
        return STRINGS;
    default:
        return NUMBER;
    }
}

/* num_predict below 1 means "without a limit" here: no limit is what it is elsewhere without the field. */
static void read_limit(struct reading *x, struct weir_str key)
{
    struct weir_str raw, member = WEIR_NONE;
    x->client->odd_fields |= UINT64_C(1) << WEIR_FIELD_MAX_TOKENS;
    if (took_null(x->r, x->o.json) || !read_shape(x, INTEGER, &raw))
        return;
    if (raw.p[0] != '-' && raw.p[0] != '0') {
        ollama_set_field(x, WEIR_FIELD_MAX_TOKENS, raw, raw);
        return;
    }
    if (ollama_is_inside(x, key))
        member = (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
    if (x->o.host->ext_add(x->o.call, WEIR_LIT("options.num_predict"), raw, member) < 0)
        x->o.failed = true;
}

static void read_option(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "num_predict")) {
        read_limit(x, key);
        return;
    }
    for (size_t i = 0; i < OLLAMA_OPTIONS; i++)
        if (weir_is(key, ollama_options[i].name)) {
            read_field(x, (enum weir_field)ollama_options[i].field, shape_of((enum weir_field)ollama_options[i].field));
            return;
        }
    ollama_read_ext(x, WEIR_LIT("options."), key);
}

static void read_options(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    bool is_first = true;
    if (took_null(x->r, j))
        return;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        if (is_first && ollama_is_inside(x, key)) {
            const char *at = key.p - 1;
            while (*at != '{')
                at--;
            x->client->options_at = (uint32_t)(at - x->body.p) + 1;
        }
        is_first = false;
        read_option(x, key);
    }
}

/* "" (the SDKs' default), "json", or a schema itself. */
static void read_format(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    enum weir_json_type type = j->peek(x->r);
    if (!j->raw(x->r, &raw))
        return;
    if (type == WEIR_JSON_OBJECT)
        ollama_set_field(x, WEIR_FIELD_RESPONSE_FORMAT,
                         x->o.host->format(x->o.call, "{\"schema\":%.*s}", (int)raw.n, raw.p), WEIR_NONE);
    else if (weir_is(raw, "\"json\""))
        ollama_set_field(x, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LIT("\"json_object\""), WEIR_NONE);
    else if (!weir_is(raw, "\"\"") && type != WEIR_JSON_NULL)
        j->reject(x->r, "must be \"json\" or a JSON schema");
}

/* true and false, or how much. */
static void read_think(struct reading *x)
{
    static const char *const levels[] = { "\"low\"", "\"medium\"", "\"high\"", "\"max\"" };
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (!j->raw(x->r, &raw) || weir_is(raw, "null"))
        return;
    if (weir_is(raw, "false")) {
        ollama_set_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LIT("\"none\""), WEIR_NONE);
        return;
    }
    bool is_known = weir_is(raw, "true");
    if (is_known)
        ollama_set_field(x, WEIR_FIELD_REASONING_BUDGET, WEIR_LIT("-1"), WEIR_NONE);
    for (size_t i = 0; !is_known && i < sizeof(levels) / sizeof(*levels); i++)
        if (weir_is(raw, levels[i])) {
            is_known = true;
            ollama_set_field(x, WEIR_FIELD_REASONING_EFFORT, raw, WEIR_NONE);
        }
    if (is_known)
        ollama_set_field(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LIT("true"), WEIR_NONE);
    else
        j->reject(x->r, "must be true, false, \"low\", \"medium\", \"high\" or \"max\"");
}

static void read_model(struct reading *x)
{
    struct weir_str raw;
    if (!read_shape(x, STRING, &raw))
        return;
    x->has_model = raw.n > 2;
    ollama_set_field(x, WEIR_FIELD_MODEL, raw, raw);
}

static void read_chat_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "messages"))
        ollama_read_messages(x, key);
    else if (weir_is(key, "stream"))
        read_field(x, WEIR_FIELD_STREAM, BOOLEAN);
    else if (weir_is(key, "tools"))
        read_tools(x);
    else if (weir_is(key, "format"))
        read_format(x);
    else if (weir_is(key, "think"))
        read_think(x);
    else if (weir_is(key, "logprobs"))
        read_field(x, WEIR_FIELD_LOGPROBS, BOOLEAN);
    else if (weir_is(key, "top_logprobs"))
        read_field(x, WEIR_FIELD_TOP_LOGPROBS, INTEGER);
    else
        ollama_read_ext(x, WEIR_NONE, key);
}

static bool is_embed(const struct ollama *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    return c && c->operation == WEIR_OP_EMBED;
}

static void settle(struct reading *x, bool embeds)
{
    const struct weir_conversation *c = x->o.host->conversation(x->o.call);
    if (!x->has_model)
        ollama_fail_at(x, WEIR_LIT("model"), "is missing; name a model, GET /api/tags lists them");
    else if (embeds && !x->has_input)
        ollama_fail_at(x, WEIR_LIT("input"), "is missing; send a string or an array of strings");
    else if (!embeds && !x->n_messages)
        ollama_fail_at(x, WEIR_LIT("messages"), "is missing or empty; send at least one message");
    else if (!embeds && c && !weir_field(c, WEIR_FIELD_STREAM).n)
        ollama_set_field(x, WEIR_FIELD_STREAM, WEIR_LIT("true"), WEIR_NONE); /* what it is unless said */
}

int ollama_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = ollama_begin(self, call), .client = state, .body = body };
    const struct weir_json_api *j = x.o.json;
    struct weir_str key;
    bool embeds = is_embed(&x.o);
    x.r = j->open(call, body);
    for (j->object(x.r); !x.o.failed && j->member(x.r, &key);) {
        if (weir_is(key, "model"))
            read_model(&x);
        else if (weir_is(key, "options"))
            read_options(&x);
        else if (!embeds)
            read_chat_member(&x, key);
        else if (!ollama_read_embed_member(&x, key))
            ollama_read_ext(&x, WEIR_NONE, key);
    }
    if (x.o.failed)
        return -1;
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    settle(&x, embeds);
    return x.o.failed ? -1 : 0;
}
