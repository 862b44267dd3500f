/* A whole answer, counts, vectors and the list of models, as documents. Nothing is remembered. */
#include "gemini.h"

struct telling {
    struct gemini g;
    struct weir_out *out;
};

/* ---- an answer ---- */

static void put_words(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->g.json;
    j->key(t->out, "text");
    j->put_text(t->out, &b->text);
    if (b->kind == WEIR_BLOCK_THINKING) {
        j->key(t->out, "thought");
        j->put_bool(t->out, true);
    }
}

static void put_block(struct telling *t, const struct weir_answer_block *b, bool is_first_call)
{
    const struct weir_json_api *j = t->g.json;
    if (b->kind == WEIR_BLOCK_OPAQUE && weir_eq(b->dialect, GEMINI_DIALECT)) {
        j->put_text_raw(t->out, &b->text);
        return;
    }
    if (b->kind == WEIR_BLOCK_OPAQUE)
        gemini_lose(&t->g, WEIR_FEATURE_ANSWER_OPAQUE, WEIR_LOSS_DROPPED, "a block that only its provider's dialect has");
    bool is_call = b->kind == WEIR_BLOCK_TOOL_CALL, has_words = b->text.n || b->signature.n;
    bool is_image = b->kind == WEIR_BLOCK_IMAGE && b->text.n;
    if (!is_call && !is_image && (b->kind > WEIR_BLOCK_REFUSAL || !has_words))
        return;
    j->object_begin(t->out);
    if (is_call)
        gemini_put_call(&t->g, t->out, b->id, b->name, b->text);
    else if (is_image)
        gemini_put_image(&t->g, t->out, b->name, b->text);
    else
        put_words(t, b);
    struct weir_str signature = t->g.host->text(t->g.call, &b->signature);
    if (is_call)
        gemini_put_call_signature(&t->g, t->out, signature, b->dialect, is_first_call);
    else
        gemini_put_signature(&t->g, t->out, signature, b->dialect);
    j->object_end(t->out);
}

static void put_citation(struct telling *t, struct weir_str each)
{
    const struct weir_json_api *j = t->g.json;
    struct weir_str key, raw;
    if (!gemini_inside(each).n) {
        gemini_lose(&t->g, WEIR_FEATURE_ANSWER_CITATIONS, WEIR_LOSS_DROPPED, "another dialect's");
        return;
    }
    struct weir_json *r = j->open(t->g.call, each);
    for (j->object(r); j->member(r, &key) && j->raw(r, &raw);) {
        j->key_str(t->out, key);
        j->put_raw(t->out, raw);
    }
}

static void put_citations(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->g.json;
    struct weir_str each;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        struct weir_json *r = b->choice == choice && b->citations.n ? j->open(t->g.call, b->citations) : NULL;
        if (!r)
            continue;
        for (j->array(r); j->element(r) && j->raw(r, &each);)
            put_citation(t, each);
    }
}

static void put_candidate(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->g.json;
    uint32_t finish = choice < a->n_choices ? a->choices[choice].finish : 0;
    struct weir_str native = choice < a->n_choices ? a->choices[choice].native : WEIR_NONE;
    j->object_begin(t->out);
    j->key(t->out, "content");
    j->object_begin(t->out);
    j->key(t->out, "parts");
    j->array_begin(t->out);
    bool has_call = false, has_any = false;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (b->choice != choice)
            continue;
        put_block(t, b, !has_call);
        has_any = true;
        has_call |= b->kind == WEIR_BLOCK_TOOL_CALL;
    }
    j->array_end(t->out);
    j->key(t->out, "role");
    j->put_str(t->out, WEIR_LIT("model"));
    j->object_end(t->out);
    j->key(t->out, "finishReason");
    j->put_str(t->out, weir_cstr(gemini_finish_word(finish, native)));
    gemini_lose_finish(&t->g, finish, !has_any);
    put_citations(t, a, choice);
    gemini_put_logprobs(&t->g, t->out, a->blocks, choice);
    j->key(t->out, "index");
    j->put_int(t->out, choice);
    j->object_end(t->out);
}

static void put_answer(struct telling *t, const struct weir_answer *a)
{
    const struct weir_json_api *j = t->g.json;
    uint32_t n = a->n_choices < GEMINI_CHOICES ? a->n_choices : GEMINI_CHOICES;
    if (n < a->n_choices)
        gemini_lose(&t->g, WEIR_FEATURE_ANSWER_CHOICES, WEIR_LOSS_DROPPED, "more than eight");
    j->object_begin(t->out);
    j->key(t->out, "candidates");
    j->array_begin(t->out);
    for (uint32_t i = 0; i < n || i == 0; i++)
        put_candidate(t, a, i);
    j->array_end(t->out);
    j->key(t->out, "usageMetadata");
    gemini_put_usage(&t->g, t->out, &a->usage);
    j->key(t->out, "modelVersion");
    j->put_str(t->out, a->model);
    if (a->id.n) {
        j->key(t->out, "responseId");
        j->put_str(t->out, a->id);
    }
    j->object_end(t->out);
}

/* ---- counts and vectors ---- */

static void put_total(struct telling *t, const struct weir_answer *a)
{
    const struct weir_json_api *j = t->g.json;
    j->object_begin(t->out);
    j->key(t->out, "totalTokens");
    j->put_int(t->out, a->usage.input > 0 ? a->usage.input : 0);
    if (a->usage.cached_read > 0) {
        j->key(t->out, "cachedContentTokenCount");
        j->put_int(t->out, a->usage.cached_read);
    }
    j->object_end(t->out);
}

static void put_vector(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->g.json;
    j->object_begin(t->out);
    j->key(t->out, "values");
    if (b && j->valid(t->g.call, &b->text, WEIR_JSON_ARRAY))
        j->put_text_raw(t->out, &b->text);
    else
        j->put_raw(t->out, WEIR_LIT("[]"));
    j->object_end(t->out);
}

static void put_vectors(struct telling *t, const struct weir_answer *a, bool is_batch)
{
    const struct weir_json_api *j = t->g.json;
    j->object_begin(t->out);
    j->key(t->out, is_batch ? "embeddings" : "embedding");
    if (is_batch)
        j->array_begin(t->out);
    for (const struct weir_answer_block *b = a->blocks; b; b = is_batch ? b->next : NULL)
        if (b->kind == WEIR_BLOCK_EMBEDDING)
            put_vector(t, b);
    if (!is_batch && !a->blocks)
        put_vector(t, NULL);
    if (is_batch)
        j->array_end(t->out);
    if (a->usage.input >= 0) {
        j->key(t->out, "usageMetadata");
        j->object_begin(t->out);
        j->key(t->out, "promptTokenCount");
        j->put_int(t->out, a->usage.input);
        j->object_end(t->out);
    }
    j->object_end(t->out);
}

int gemini_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out)
{
    struct telling t = { gemini_begin(self, call, NULL), out };
    const struct gemini_client *s = state;
    bool is_array = s->verb == GEMINI_ARRAY;
    if (s->verb == GEMINI_COUNT) {
        put_total(&t, answer);
        return 0;
    }
    if (s->verb >= GEMINI_EMBED) {
        put_vectors(&t, answer, s->verb == GEMINI_EMBED_BATCH);
        return 0;
    }
    if (is_array)
        t.g.json->array_begin(out);
    put_answer(&t, answer);
    if (is_array)
        t.g.json->array_end(out);
    return 0;
}

/* ---- models ---- */

static void put_model(const struct gemini *g, struct weir_out *out, const struct weir_model *m)
{
    static const char *const methods[] = { "generateContent", "countTokens", "embedContent", "batchEmbedContents" };
    const struct weir_json_api *j = g->json;
    bool has_folder = gemini_starts_with(m->id, "tunedModels/");
    j->object_begin(out);
    j->key(out, "name");
    j->put_str(out, g->host->format(g->call, "%s%.*s", has_folder ? "" : "models/", (int)m->id.n, m->id.p));
    j->key(out, "baseModelId");
    j->put_str(out, m->id);
    j->key(out, "version");
    j->put_str(out, WEIR_LIT("1"));
    j->key(out, "displayName");
    j->put_str(out, m->id);
    j->key(out, "description");
    j->put_str(out, g->host->format(g->call, "Served by %.*s.", (int)m->owned_by.n, m->owned_by.p));
    j->key(out, "supportedGenerationMethods");
    j->array_begin(out);
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
        j->put_str(out, weir_cstr(methods[i]));
    j->array_end(out);
    j->object_end(out);
}

int gemini_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out)
{
    struct gemini g = gemini_begin(self, call, NULL);
    const struct weir_json_api *j = g.json;
    if (list->single) {
        put_model(&g, out, &list->models[0]);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "models");
    j->array_begin(out);
    for (uint32_t i = 0; i < list->n; i++)
        if (!(list->models[i].flags & WEIR_MODEL_HIDDEN))
            put_model(&g, out, &list->models[i]);
    j->array_end(out);
    j->object_end(out);
    return 0;
}
