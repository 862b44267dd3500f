/* Embeddings and token counts, both ways: one message for each input, one block for each vector, whose numbers cross as the text of
 * their array. */
#include "decode.h"

static const struct task {
    const char *google, *canonical;
} tasks[] = {
    { "RETRIEVAL_QUERY", "query" },
    { "RETRIEVAL_DOCUMENT", "document" },
    { "CLASSIFICATION", "classification" },
    { "CLUSTERING", "clustering" },
    { "SEMANTIC_SIMILARITY", "SEMANTIC_SIMILARITY" },
    { "QUESTION_ANSWERING", "QUESTION_ANSWERING" },
    { "FACT_VERIFICATION", "FACT_VERIFICATION" },
    { "CODE_RETRIEVAL_QUERY", "CODE_RETRIEVAL_QUERY" },
};

/* ---- the client's request ---- */

/* One setting for all inputs of a batch is all that others can say. */
static void agree(struct reading *x, struct weir_str *known, struct weir_str said, const char *what)
{
    if (known->n && !weir_eq(*known, said))
        x->g.json->reject(x->r, what);
    *known = said;
}

static void read_task(struct reading *x)
{
    struct weir_str word;
    if (gemini_took_null(x->r, x->g.json) || !x->g.json->string(x->r, &word) || weir_is(word, "TASK_TYPE_UNSPECIFIED"))
        return;
    struct weir_str task = gemini_quoted(&x->g, word);
    for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); i++)
        if (weir_is(word, tasks[i].google))
            task = x->g.host->format(x->g.call, "\"%s\"", tasks[i].canonical);
    agree(x, &x->task, task, "must be the same for all requests of a batch");
}

static void read_dimensions(struct reading *x)
{
    int64_t n;
    if (gemini_took_null(x->r, x->g.json) || !x->g.json->integer(x->r, &n))
        return;
    if (n < 1)
        x->g.json->reject(x->r, "must be an integer of at least 1");
    else
        agree(x, &x->dimensions, x->g.host->format(x->g.call, "%lld", (long long)n),
              "must be the same for all requests of a batch");
}

static bool read_input_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "content")) {
        gemini_read_content(x, WEIR_ROLE_USER);
        x->n_contents++;
    } else if (weir_is(key, "model")) {
        gemini_read_model(x);
    } else if (gemini_key(key, "taskType")) {
        read_task(x);
    } else if (gemini_key(key, "outputDimensionality")) {
        read_dimensions(x);
    } else {
        return false;
    }
    return true;
}

static void read_batch(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    uint32_t n = 0;
    for (j->array(x->r); !x->g.failed && j->element(x->r); n++)
        for (j->object(x->r); !x->g.failed && j->member(x->r, &key);)
            if (!read_input_member(x, key))
                gemini_read_ext(x, x->g.host->format(x->g.call, "requests[%u].%.*s", n, (int)key.n, key.p), key);
}

bool gemini_read_embed_member(struct reading *x, struct weir_str key)
{
    if (x->client->verb == GEMINI_EMBED)
        return read_input_member(x, key);
    if (!weir_is(key, "requests"))
        return false;
    read_batch(x);
    return true;
}

/* ---- the provider's request ---- */

static void put_parts(struct gemini_encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->g.json;
    j->key(x->out, "content");
    j->object_begin(x->out);
    j->key(x->out, "parts");
    j->array_begin(x->out);
    for (const struct weir_part *p = m->parts; p && !x->g.failed; p = p->next) {
        j->object_begin(x->out);
        if (p->kind == WEIR_PART_TEXT) {
            j->key(x->out, "text");
            j->put_text(x->out, &p->text);
        } else if (p->data.n) {
            j->key(x->out, "inlineData");
            j->object_begin(x->out);
            j->key(x->out, "mimeType");
            j->put_str(x->out, p->media_type);
            j->key(x->out, "data");
            j->put_text(x->out, &p->data);
            j->object_end(x->out);
        } else {
            gemini_unsupported(&x->g, "input", "Gemini embeds texts and media with their bytes; send the bytes inline.");
        }
        j->object_end(x->out);
    }
    j->array_end(x->out);
    j->object_end(x->out);
}

static void put_task(struct gemini_encoding *x)
{
    struct weir_str said = weir_field(x->c, WEIR_FIELD_INPUT_TYPE);
    struct weir_str word = said.n > 2 ? (struct weir_str){ said.p + 1, said.n - 2 } : WEIR_NONE;
    for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); i++)
        if (weir_is(word, tasks[i].canonical)) {
            x->g.json->key(x->out, "taskType");
            x->g.json->put_str(x->out, weir_cstr(tasks[i].google));
            return;
        }
    if (word.n)
        gemini_lose(&x->g, WEIR_FIELD_INPUT_TYPE, WEIR_LOSS_DROPPED, "no task type of Google's");
}

static void put_input(struct gemini_encoding *x, const struct weir_message *m, struct weir_str model)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str n = weir_field(x->c, WEIR_FIELD_DIMENSIONS);
    j->object_begin(x->out);
    j->key(x->out, "model");
    j->put_str(x->out, model);
    put_parts(x, m);
    put_task(x);
    if (n.n) {
        j->key(x->out, "outputDimensionality");
        j->put_raw(x->out, n);
    }
    if (x->is_own)
        gemini_put_ext(x, "");
    j->object_end(x->out);
}

static struct weir_str model_path(struct gemini_encoding *x)
{
    struct weir_str name = gemini_model_name(&x->g, x->c);
    bool has_folder = gemini_starts_with(name, "models/") || gemini_starts_with(name, "tunedModels/");
    return x->g.host->format(x->g.call, "%s%.*s", has_folder ? "" : "models/", (int)name.n, name.p);
}

void gemini_put_inputs(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str model = model_path(x), encoding = weir_field(x->c, WEIR_FIELD_ENCODING);
    bool is_single = x->is_own && gemini_verb_of(x->g.host->request(x->g.call)) == GEMINI_EMBED;
    if (encoding.n && !weir_is(encoding, "\"float\"") && !weir_is(encoding, "\"base64\""))
        gemini_lose(&x->g, WEIR_FIELD_ENCODING, WEIR_LOSS_CHANGED, "float");
    if (is_single && x->c->messages) {
        put_input(x, x->c->messages, model);
        return;
    }
    j->object_begin(x->out);
    j->key(x->out, "requests");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->g.failed; m = m->next)
        put_input(x, m, model);
    j->array_end(x->out);
    j->object_end(x->out);
}

/* What the tokens of a whole request are: {"generateContentRequest":{"model":…,…}}, which Vertex does not know; contents alone both
 * count. */
void gemini_put_count(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    bool is_plain = !x->c->tools && x->c->messages && x->c->messages->role != WEIR_ROLE_SYSTEM;
    j->object_begin(x->out);
    if (is_plain) {
        gemini_put_contents(x);
        j->object_end(x->out);
        return;
    }
    j->key(x->out, "generateContentRequest");
    j->object_begin(x->out);
    j->key(x->out, "model");
    j->put_str(x->out, model_path(x));
    gemini_put_contents(x);
    gemini_put_tools(x);
    gemini_put_tool_choice(x);
    j->object_end(x->out);
    j->object_end(x->out);
}

/* ---- the provider's answer ---- */

static void emit_start(struct gemini *g)
{
    struct weir_event e = gemini_event(WEIR_EVENT_START, 0, 0);
    e.name = gemini_model_name(g, g->host->conversation(g->call));
    gemini_emit(g, &e);
}

static void emit_end(struct gemini *g, const struct weir_usage *u)
{
    struct weir_event usage = gemini_event(WEIR_EVENT_USAGE, 0, 0), end = gemini_event(WEIR_EVENT_END, 0, 0);
    usage.usage = u;
    if (u->input >= 0)
        gemini_emit(g, &usage);
    gemini_emit(g, &end);
    g->attempt->has_ended = true;
}

static void emit_vector(struct gemini *g, uint32_t choice, struct weir_str values)
{
    struct weir_event start = gemini_event(WEIR_EVENT_BLOCK_START, choice, 0),
                      delta = gemini_event(WEIR_EVENT_DELTA, choice, 0),
                      stop = gemini_event(WEIR_EVENT_BLOCK_STOP, choice, 0);
    start.block_kind = WEIR_BLOCK_EMBEDDING;
    delta.delta_kind = WEIR_DELTA_TEXT;
    delta.text = weir_plain(values);
    gemini_emit(g, &start);
    gemini_emit(g, &delta);
    gemini_emit(g, &stop);
}

/* {"values":[…]} */
static bool take_vector(struct gemini *g, struct weir_json *r, uint32_t choice)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, values = WEIR_NONE;
    if (j->peek(r) != WEIR_JSON_OBJECT)
        return false;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "values") && j->peek(r) == WEIR_JSON_ARRAY)
            j->raw(r, &values);
    if (!values.n)
        return false;
    emit_vector(g, choice, values);
    return true;
}

static bool take_vectors(struct gemini *g, struct weir_str raw)
{
    const struct weir_json_api *j = g->json;
    struct weir_json *r = j->open(g->call, raw);
    bool is_good = true;
    uint32_t n = 0;
    if (j->peek(r) == WEIR_JSON_OBJECT)
        return take_vector(g, r, 0);
    for (j->array(r); !g->failed && j->element(r);)
        is_good = take_vector(g, r, n++) && is_good;
    return is_good && j->close(r);
}

static void read_input_count(const struct weir_json_api *j, struct weir_json *r, struct weir_usage *u)
{
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "promptTokenCount") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &u->input);
}

int gemini_decode_vectors(struct gemini *g, struct weir_str body)
{
    const struct weir_json_api *j = g->json;
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    struct weir_str key, vectors = WEIR_NONE;
    struct weir_json *r = j->open(g->call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "embedding") || weir_is(key, "embeddings"))
            j->raw(r, &vectors);
        else if (weir_is(key, "usageMetadata") && j->peek(r) == WEIR_JSON_OBJECT)
            read_input_count(j, r, &u);
    }
    if (!j->close(r) || !vectors.n)
        return -1;
    emit_start(g);
    if (!take_vectors(g, vectors))
        return -1;
    emit_end(g, &u);
    return g->failed ? -1 : 0;
}

int gemini_decode_count(struct gemini *g, struct weir_str body)
{
    const struct weir_json_api *j = g->json;
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    struct weir_str key;
    struct weir_json *r = j->open(g->call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "totalTokens") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &u.input);
        else if (weir_is(key, "cachedContentTokenCount") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &u.cached_read);
    }
    if (!j->close(r))
        return -1;
    if (u.input < 0)
        u.input = 0; /* counts that are zero are left out there */
    emit_start(g);
    emit_end(g, &u);
    return g->failed ? -1 : 0;
}
