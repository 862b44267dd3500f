/* A whole answer, vectors, and the list of models, as documents. Nothing is remembered. */
#include "answer.h"

struct telling {
    struct ollama o;
    struct weir_out *out;
    const struct weir_answer *a;
};

static bool is_of(const struct weir_answer_block *b, enum weir_block_kind kind)
{
    bool is_refused = kind == WEIR_BLOCK_TEXT && b->kind == WEIR_BLOCK_REFUSAL;
    return b->choice == 0 && (b->kind == (uint32_t)kind || is_refused);
}

static bool has_any(const struct weir_answer *a, enum weir_block_kind kind)
{
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        if (is_of(b, kind))
            return true;
    return false;
}

/* The blocks of one kind, joined: a message has one content. */
static void put_joined(struct telling *t, enum weir_block_kind kind, const char *key)
{
    const struct weir_json_api *j = t->o.json;
    j->key(t->out, key);
    j->string_begin(t->out);
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next)
        if (is_of(b, kind))
            j->string_part(t->out, &b->text);
    j->string_end(t->out);
}

static struct ollama_signed signed_by(struct telling *t, const struct weir_answer_block *b)
{
    return (struct ollama_signed){ b->dialect, t->o.host->text(t->o.call, &b->signature) };
}

/* Of the last thought before the first call, which carries it. */
static struct ollama_signed thought_of(struct telling *t)
{
    struct ollama_signed last = { WEIR_NONE, WEIR_NONE };
    for (const struct weir_answer_block *b = t->a->blocks; b && !is_of(b, WEIR_BLOCK_TOOL_CALL); b = b->next)
        if (is_of(b, WEIR_BLOCK_THINKING))
            last = signed_by(t, b);
    return last;
}

static void put_calls(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    uint32_t n = 0;
    struct ollama_signed thought = thought_of(t);
    if (!has_any(t->a, WEIR_BLOCK_TOOL_CALL)) {
        if (thought.signature.n)
            t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "no call carries it");
        return;
    }
    j->key(t->out, "tool_calls");
    j->array_begin(t->out);
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        struct ollama_call c = { b->id, b->name, n, thought, signed_by(t, b) };
        if (!is_of(b, WEIR_BLOCK_TOOL_CALL))
            continue;
        thought = (struct ollama_signed){ WEIR_NONE, WEIR_NONE };
        ollama_put_call(&t->o, t->out, &c, &b->text);
        n++;
    }
    j->array_end(t->out);
}

static void lose_order(struct telling *t)
{
    int last = 0;
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        int rank = b->kind == WEIR_BLOCK_THINKING ? 0 : b->kind == WEIR_BLOCK_TOOL_CALL ? 2 : 1;
        if (rank < last) {
            t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_ORDER, WEIR_LOSS_CHANGED, "thoughts, words, calls");
            return;
        }
        last = rank;
    }
}

/* Raw JSON: only the form that this dialect shares with OpenAI's is of use. */
static struct weir_str own_logprobs(struct telling *t)
{
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        if (!b->logprobs.n || !is_of(b, WEIR_BLOCK_TEXT))
            continue;
        if (weir_is_logprob(t->o.json, t->o.call, b->logprobs))
            return b->logprobs;
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "of another dialect");
        return WEIR_NONE;
    }
    return WEIR_NONE;
}

static void put_message(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    j->object_begin(t->out);
    j->key(t->out, "role");
    j->put_raw(t->out, WEIR_LIT("\"assistant\""));
    put_joined(t, WEIR_BLOCK_TEXT, "content");
    if (has_any(t->a, WEIR_BLOCK_THINKING))
        put_joined(t, WEIR_BLOCK_THINKING, "thinking");
    put_calls(t);
    j->object_end(t->out);
    lose_order(t);
}

/* ---- vectors ---- */

/* By the number of their input, whatever came first. */
static uint32_t sort_vectors(struct telling *t, const struct weir_answer_block ***sorted)
{
    uint32_t n = 0;
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next)
        n += b->kind == WEIR_BLOCK_EMBEDDING;
    const struct weir_answer_block **list = n ? t->o.host->alloc(t->o.call, WEIR_FOR_CALL, sizeof(*list) * n) : NULL;
    for (const struct weir_answer_block *b = t->a->blocks; list && b; b = b->next)
        if (b->kind == WEIR_BLOCK_EMBEDDING && b->choice < n)
            list[b->choice] = b;
    *sorted = list;
    return list ? n : 0;
}

static void put_vectors(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    const struct weir_answer_block **list;
    uint32_t n = sort_vectors(t, &list);
    j->object_begin(t->out);
    j->key(t->out, "model");
    j->put_str(t->out, t->a->model);
    j->key(t->out, "embeddings");
    j->array_begin(t->out);
    for (uint32_t i = 0; i < n; i++)
        if (list[i])
            j->put_text_raw(t->out, &list[i]->text);
    j->array_end(t->out);
    if (t->a->usage.input >= 0) {
        j->key(t->out, "prompt_eval_count");
        j->put_int(t->out, t->a->usage.input);
    }
    j->object_end(t->out);
}

int ollama_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out)
{
    struct telling t = { ollama_begin(self, call), out, answer };
    const struct weir_conversation *c = t.o.host->conversation(call);
    (void)state;
    if (c && c->operation == WEIR_OP_EMBED) {
        put_vectors(&t);
        return 0;
    }
    t.o.host->write(out, WEIR_LIT("{"));
    ollama_put_head(&t.o, out, answer->model, answer->created_s);
    t.o.host->write(out, WEIR_LIT(",\"message\":"));
    put_message(&t);
    struct weir_str logprobs = own_logprobs(&t);
    if (logprobs.n) {
        t.o.host->write(out, WEIR_LIT(",\"logprobs\":"));
        t.o.json->put_raw(out, logprobs);
    }
    ollama_put_end(&t.o, out, answer->n_choices ? answer->choices[0].finish : 0, &answer->usage);
    t.o.host->write(out, WEIR_LIT("}"));
    return 0;
}

/* ---- models ---- */

static void put_model(struct ollama *o, struct weir_out *out, const struct weir_model *m)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "name");
    j->put_str(out, m->id);
    j->key(out, "model");
    j->put_str(out, m->id);
    j->key(out, "modified_at");
    j->put_str(out, ollama_time(o, m->created_s > 0 ? m->created_s : 0));
    j->key(out, "size");
    j->put_int(out, 0);
    j->key(out, "digest");
    j->put_raw(out, WEIR_LIT("\"\""));
    j->key(out, "details");
    j->put_raw(out, WEIR_LIT("{\"parent_model\":\"\",\"format\":\"\",\"family\":\"\",\"families\":null,"
                             "\"parameter_size\":\"\",\"quantization_level\":\"\"}"));
    j->object_end(out);
}

int ollama_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out)
{
    struct ollama o = ollama_begin(self, call);
    const struct weir_json_api *j = o.json;
    j->object_begin(out);
    j->key(out, "models");
    j->array_begin(out);
    for (uint32_t i = 0; i < list->n; i++)
        if (!(list->models[i].flags & WEIR_MODEL_HIDDEN))
            put_model(&o, out, &list->models[i]);
    j->array_end(out);
    j->object_end(out);
    return 0;
}
