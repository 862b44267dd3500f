/* A client's request becomes a conversation: one pass over the body, texts stay where they are. Everything made here is the
 * request's. Google reads camelCase and snake_case alike, so this does; where settings stand is remembered for splice.c. */
#include "decode.h"

bool gemini_key(struct weir_str key, const char *camel)
{
    size_t i = 0;
    for (; *camel; camel++, i++) {
        if (i < key.n && key.p[i] == *camel)
            continue;
        bool is_capital = *camel >= 'A' && *camel <= 'Z';
        if (!is_capital || i + 1 >= key.n || key.p[i] != '_' || key.p[i + 1] != *camel - 'A' + 'a')
            return false;
        i++;
    }
    return i == key.n;
}

void gemini_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .param = param };
    if (x->g.failed)
        return;
    x->g.failed = true;
    e.message = x->g.host->format(x->g.call, "%.*s: %s", (int)param.n, param.p, message);
    x->g.host->fail(x->g.call, &e);
}

struct gemini_span gemini_span_of(const struct reading *x, struct weir_str s)
{
    bool is_inside = s.p && s.p >= x->body.p && s.p + s.n <= x->body.p + x->body.n;
    return is_inside ? (struct gemini_span){ (uint32_t)(s.p - x->body.p), (uint32_t)s.n } : (struct gemini_span){ 0, 0 };
}

bool gemini_took_null(struct weir_json *r, const struct weir_json_api *j)
{
    return j->peek(r) == WEIR_JSON_NULL && j->null(r);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The key has been read: behind its quote come a colon and the value. */
uint32_t gemini_inside_at(const struct reading *x, struct weir_str key, bool *is_empty)
{
    struct gemini_span span = gemini_span_of(x, key);
    size_t at = span.at + span.n + 1;
    if (!span.n)
        return 0;
    while (at < x->body.n && (is_space(x->body.p[at]) || x->body.p[at] == ':'))
        at++;
    if (at >= x->body.n || (x->body.p[at] != '{' && x->body.p[at] != '['))
        return 0;
    uint32_t inside = (uint32_t)++at;
    while (at < x->body.n && is_space(x->body.p[at]))
        at++;
    *is_empty = at < x->body.n && (x->body.p[at] == '}' || x->body.p[at] == ']');
    return inside;
}

struct weir_str gemini_quoted(struct gemini *g, struct weir_str plain)
{
    struct weir_out *out = g->host->out(g->call);
    if (!out) {
        g->failed = true;
        return WEIR_NONE;
    }
    g->json->put_str(out, plain);
    return g->host->keep(g->call, g->host->out_bytes(out));
}

/* ---- settings ---- */

void gemini_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    x->client->said |= UINT64_C(1) << f;
    if (x->g.host->set_field(x->g.call, f, json, wire) < 0)
        x->g.failed = true;
}

void gemini_read_ext(struct reading *x, struct weir_str path, struct weir_str key)
{
    struct weir_str raw, member = WEIR_NONE;
    if (!x->g.json->raw(x->r, &raw) || weir_is(raw, "null"))
        return;
    if (gemini_span_of(x, key).n && gemini_span_of(x, raw).n)
        member = (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
    if (x->g.host->ext_add(x->g.call, x->g.host->keep(x->g.call, path), raw, member) < 0)
        x->g.failed = true;
}

static void read_ext_in(struct reading *x, const char *folder, struct weir_str key)
{
    gemini_read_ext(x, x->g.host->format(x->g.call, "%s.%.*s", folder, (int)key.n, key.p), key);
}

enum shape { NUMBER, INTEGER, COUNT, STRINGS, BOOLEAN };

static const struct setting {
    const char *name;
    enum weir_field field;
    enum shape shape;
} settings[] = {
    { "temperature", WEIR_FIELD_TEMPERATURE, NUMBER },
    { "topP", WEIR_FIELD_TOP_P, NUMBER },
    { "topK", WEIR_FIELD_TOP_K, INTEGER },
    { "candidateCount", WEIR_FIELD_N, COUNT },
    { "maxOutputTokens", WEIR_FIELD_MAX_TOKENS, COUNT },
    { "stopSequences", WEIR_FIELD_STOP, STRINGS },
    { "seed", WEIR_FIELD_SEED, INTEGER },
    { "presencePenalty", WEIR_FIELD_PRESENCE_PENALTY, NUMBER },
    { "frequencyPenalty", WEIR_FIELD_FREQUENCY_PENALTY, NUMBER },
    { "responseLogprobs", WEIR_FIELD_LOGPROBS, BOOLEAN },
    { "logprobs", WEIR_FIELD_TOP_LOGPROBS, INTEGER },
};

static void read_integer(struct reading *x, const struct setting *s)
{
    const struct weir_json_api *j = x->g.json;
    int64_t n;
    if (!j->integer(x->r, &n))
        return;
    if (s->shape == COUNT && n < 1)
        j->reject(x->r, "must be an integer of at least 1");
    else
        gemini_set_field(x, s->field, x->g.host->format(x->g.call, "%lld", (long long)n), WEIR_NONE);
}

static void read_strings(struct reading *x, const struct setting *s)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str raw, each;
    if (j->peek(x->r) != WEIR_JSON_ARRAY) {
        j->skip(x->r);
        j->reject(x->r, "must be an array of strings");
        return;
    }
    if (!j->raw(x->r, &raw))
        return;
    struct weir_json *r = j->open(x->g.call, raw);
    for (j->array(r); j->element(r);)
        j->string(r, &each);
    if (j->close(r))
        gemini_set_field(x, s->field, raw, raw);
    else
        j->reject(x->r, "must be an array of strings");
}

static void read_setting(struct reading *x, const struct setting *s)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str raw;
    bool is_true;
    if (gemini_took_null(x->r, j))
        return;
    if (s->shape == NUMBER && j->number(x->r, &raw))
        gemini_set_field(x, s->field, raw, raw);
    else if (s->shape == BOOLEAN && j->boolean(x->r, &is_true))
        gemini_set_field(x, s->field, is_true ? WEIR_LIT("true") : WEIR_LIT("false"), WEIR_NONE);
    else if (s->shape == STRINGS)
        read_strings(x, s);
    else if (s->shape == INTEGER || s->shape == COUNT)
        read_integer(x, s);
}

/* ["TEXT","IMAGE"] -> ["text","image"] */
static void read_modalities(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str word;
    struct weir_out *out = x->g.host->out(x->g.call);
    if (!out) {
        x->g.failed = true;
        return;
    }
    j->array_begin(out);
    for (j->array(x->r); j->element(x->r) && j->string(x->r, &word);) {
        char low[32];
        size_t n = word.n < sizeof(low) ? word.n : sizeof(low);
        for (size_t i = 0; i < n; i++)
            low[i] = word.p[i] >= 'A' && word.p[i] <= 'Z' ? (char)(word.p[i] + 32) : word.p[i];
        j->put_str(out, (struct weir_str){ low, n });
    }
    j->array_end(out);
    if (!j->failed(x->r))
        gemini_set_field(x, WEIR_FIELD_MODALITIES, x->g.host->keep(x->g.call, x->g.host->out_bytes(out)), WEIR_NONE);
}

static void read_level(struct reading *x)
{
    static const char *const words[] = { "MINIMAL", "LOW", "MEDIUM", "HIGH" };
    static const char *const efforts[] = { "\"minimal\"", "\"low\"", "\"medium\"", "\"high\"" };
    struct weir_str word;
    if (!x->g.json->string(x->r, &word))
        return;
    for (size_t i = 0; i < 4; i++)
        if (word.n == strlen(words[i]) && strncasecmp(word.p, words[i], word.n) == 0) {
            gemini_set_field(x, WEIR_FIELD_REASONING_EFFORT, weir_cstr(efforts[i]), WEIR_NONE);
            return;
        }
    if (!weir_is(word, "THINKING_LEVEL_UNSPECIFIED"))
        x->g.json->reject(x->r, "must be one of MINIMAL, LOW, MEDIUM, HIGH");
}

static void take_budget(struct reading *x, int64_t n)
{
    if (n == 0)
        gemini_set_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LIT("\"none\""), WEIR_NONE);
    else
        gemini_set_field(x, WEIR_FIELD_REASONING_BUDGET, x->g.host->format(x->g.call, "%lld", (long long)n), WEIR_NONE);
}

static void read_thinking(struct reading *x, struct weir_str config)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    int64_t n = 0;
    bool is_visible = false, says_visible = false;
    if (gemini_took_null(x->r, j))
        return;
    x->client->thinking_at = gemini_inside_at(x, config, &x->client->is_thinking_empty);
    for (j->object(x->r); j->member(x->r, &key);) {
        if (gemini_key(key, "thinkingBudget") && j->peek(x->r) != WEIR_JSON_NULL) {
            if (j->integer(x->r, &n))
                take_budget(x, n);
        } else if (gemini_key(key, "includeThoughts") && j->peek(x->r) != WEIR_JSON_NULL) {
            says_visible = j->boolean(x->r, &is_visible);
        }
        else if (gemini_key(key, "thinkingLevel"))
            read_level(x);
        else
            read_ext_in(x, "generationConfig.thinkingConfig", key);
    }
    bool thinks = x->client->said & (UINT64_C(1) << WEIR_FIELD_REASONING_BUDGET | UINT64_C(1) << WEIR_FIELD_REASONING_EFFORT);
    if (says_visible && (is_visible || thinks)) /* thoughts that nobody asked for aren't told anyway */
        gemini_set_field(x, WEIR_FIELD_REASONING_VISIBLE, is_visible ? WEIR_LIT("true") : WEIR_LIT("false"), WEIR_NONE);
}

static void read_generation_member(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str raw;
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        if (gemini_key(key, settings[i].name)) {
            read_setting(x, &settings[i]);
            return;
        }
    if (gemini_key(key, "responseMimeType") && j->peek(x->r) == WEIR_JSON_STRING)
        j->string(x->r, &x->mime);
    else if ((gemini_key(key, "responseJsonSchema") || weir_is(key, "_responseJsonSchema")) &&
             j->peek(x->r) == WEIR_JSON_OBJECT)
        j->raw(x->r, &x->schema);
    else if (gemini_key(key, "responseSchema") && j->peek(x->r) == WEIR_JSON_OBJECT)
        x->schema = j->raw(x->r, &raw) ? gemini_json_schema(&x->g, raw) : WEIR_NONE;
    else if (gemini_key(key, "thinkingConfig"))
        read_thinking(x, key);
    else if (gemini_key(key, "responseModalities") && j->peek(x->r) == WEIR_JSON_ARRAY)
        read_modalities(x);
    else
        read_ext_in(x, "generationConfig", key);
}

static void settle_format(struct reading *x)
{
    const struct weir_host *h = x->g.host;
    if (weir_is(x->mime, "application/json") && x->schema.n)
        gemini_set_field(x, WEIR_FIELD_RESPONSE_FORMAT,
                         h->format(x->g.call, "{\"schema\":%.*s}", (int)x->schema.n, x->schema.p), WEIR_NONE);
    else if (weir_is(x->mime, "application/json"))
        gemini_set_field(x, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LIT("\"json_object\""), WEIR_NONE);
    else if (x->mime.n && !weir_is(x->mime, "text/plain")) /* text/x.enum: nobody else has that */
        h->ext_add(x->g.call, WEIR_LIT("generationConfig.responseMimeType"), gemini_quoted(&x->g, x->mime), WEIR_NONE);
}

static void read_generation(struct reading *x, struct weir_str config)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    if (gemini_took_null(x->r, j))
        return;
    x->client->generation_at = gemini_inside_at(x, config, &x->client->is_generation_empty);
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);)
        read_generation_member(x, key);
    if (!j->failed(x->r))
        settle_format(x);
}

static void read_tier(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str word;
    if (gemini_took_null(x->r, j) || !j->string(x->r, &word))
        return;
    bool is_default = word.n == 8 && strncasecmp(word.p, "standard", 8) == 0;
    if (is_default)
        gemini_set_field(x, WEIR_FIELD_SERVICE_TIER, WEIR_LIT("\"default\""), WEIR_NONE);
    else if (word.n == 4 && strncasecmp(word.p, "flex", 4) == 0)
        gemini_set_field(x, WEIR_FIELD_SERVICE_TIER, WEIR_LIT("\"flex\""), WEIR_NONE);
    else if (word.n == 8 && strncasecmp(word.p, "priority", 8) == 0)
        gemini_set_field(x, WEIR_FIELD_SERVICE_TIER, WEIR_LIT("\"priority\""), WEIR_NONE);
}

/* ---- the request ---- */

/* The path says the model; where the body says it too, it is changed with it. */
void gemini_read_model(struct reading *x)
{
    struct weir_str raw;
    struct gemini_client *s = x->client;
    if (!x->g.json->raw(x->r, &raw) || raw.p[0] != '"')
        return;
    if (s->n_models == s->cap_models) {
        uint32_t cap = s->cap_models ? 2 * s->cap_models : 4;
        struct gemini_span *more = x->g.host->alloc(x->g.call, WEIR_FOR_REQUEST, cap * sizeof(*more));
        if (!more) {
            x->g.failed = true;
            return;
        }
        if (s->models)
            memcpy(more, s->models, s->n_models * sizeof(*more));
        s->models = more;
        s->cap_models = cap;
    }
    s->models[s->n_models++] = gemini_span_of(x, raw);
}

static void read_request(struct reading *x);

static void read_member(struct reading *x, struct weir_str key)
{
    if (gemini_key(key, "contents"))
        gemini_read_contents(x);
    else if (gemini_key(key, "systemInstruction"))
        gemini_read_system(x);
    else if (gemini_key(key, "generationConfig"))
        read_generation(x, key);
    else if (gemini_key(key, "tools"))
        gemini_read_tools(x);
    else if (gemini_key(key, "toolConfig"))
        gemini_read_tool_config(x);
    else if (gemini_key(key, "serviceTier") && x->g.json->peek(x->r) == WEIR_JSON_STRING)
        read_tier(x);
    else if (weir_is(key, "model"))
        gemini_read_model(x);
    else if (gemini_key(key, "generateContentRequest") && x->client->verb == GEMINI_COUNT) {
        bool is_empty;
        x->client->root_at = gemini_inside_at(x, key, &is_empty);
        read_request(x);
    } else
        gemini_read_ext(x, key, key);
}

static void read_request(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    bool embeds = x->client->verb >= GEMINI_EMBED;
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);) {
        if (!embeds)
            read_member(x, key);
        else if (!gemini_read_embed_member(x, key))
            gemini_read_ext(x, key, key);
    }
}

static void settle(struct reading *x)
{
    const struct weir_host *h = x->g.host;
    const struct weir_request_view *view = h->request(x->g.call);
    struct weir_str model = gemini_model_of_path(&x->g, view->path);
    bool embeds = x->client->verb >= GEMINI_EMBED;
    if (!x->n_contents) {
        gemini_fail_at(x, x->client->verb == GEMINI_EMBED_BATCH ? WEIR_LIT("requests") : embeds ? WEIR_LIT("content") : WEIR_LIT("contents"),
                       embeds ? "is missing or empty; send at least one text"
                              : "is missing or empty; send at least one content, {\"role\":\"user\",\"parts\":[…]}");
        return;
    }
    if (!model.n) {
        gemini_fail_at(x, WEIR_LIT("model"), "is missing; the path names it, …/models/NAME:generateContent");
        return;
    }
    gemini_set_field(x, WEIR_FIELD_MODEL, gemini_quoted(&x->g, model), WEIR_NONE);
    if (x->client->verb == GEMINI_STREAM || x->client->verb == GEMINI_ARRAY) {
        gemini_set_field(x, WEIR_FIELD_STREAM, WEIR_LIT("true"), WEIR_NONE);
        gemini_set_field(x, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    }
    if (x->task.n)
        gemini_set_field(x, WEIR_FIELD_INPUT_TYPE, x->task, WEIR_NONE);
    if (x->dimensions.n)
        gemini_set_field(x, WEIR_FIELD_DIMENSIONS, x->dimensions, WEIR_NONE);
}

const char *gemini_other_stream_type(void *self, struct weir_call *call, void *state)
{
    const struct gemini_client *client = state;
    (void)self, (void)call;
    return client->verb == GEMINI_ARRAY ? "application/json" : NULL;
}

int gemini_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .g = gemini_begin(self, call, NULL), .client = state, .body = body };
    const struct weir_json_api *j = x.g.json;
    const char *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    x.client->verb = gemini_verb_of(x.g.host->request(call));
    x.client->root_at = brace ? (uint32_t)(brace - body.p) + 1 : 0;
    x.client->usage = WEIR_USAGE_UNKNOWN;
    x.r = j->open(call, body);
    read_request(&x);
    gemini_forget_calls(&x);
    if (x.g.failed)
        return -1;
    if (!j->close(x.r))
        return x.g.host->fail_json(call, x.r);
    gemini_settle_turns(&x);
    settle(&x);
    return x.g.failed ? -1 : 0;
}
