/* A whole answer, and the list of models, as documents. Nothing is remembered. */
#include "cohere.h"

struct telling {
    struct cohere o;
    struct weir_out *out;
    const struct weir_answer *a;
};

/* ---- what a stream says too ---- */

const char *cohere_finish_word(struct cohere *o, uint32_t finish, bool has_calls)
{
    const char *word = has_calls ? "TOOL_CALL" : "COMPLETE";
    switch (finish) {
    case WEIR_FINISH_LENGTH:
        return "MAX_TOKENS";
    case WEIR_FINISH_TOOL_CALLS:
        return "TOOL_CALL";
    case WEIR_FINISH_STOP_SEQUENCE:
        return "STOP_SEQUENCE";
    case WEIR_FINISH_CONTEXT_WINDOW:
        word = "MAX_TOKENS";
        break;
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
    case WEIR_FINISH_PAUSE:
    case WEIR_FINISH_OTHER:
        break;
    default:
        return word;
    }
    o->host->lose(o->call, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, word);
    return word;
}

static void put_count(struct cohere *o, struct weir_out *out, const char *key, int64_t n)
{
    if (n < 0)
        return;
    o->json->key(out, key);
    o->json->put_int(out, n);
}

/* Many clients look at billed_units: they are the same numbers where no others are known. */
void cohere_put_usage(struct cohere *o, struct weir_out *out, const struct weir_usage *u)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "billed_units");
    j->object_begin(out);
    put_count(o, out, "input_tokens", u->input);
    put_count(o, out, "output_tokens", u->output);
    j->object_end(out);
    j->key(out, "tokens");
    j->object_begin(out);
    put_count(o, out, "input_tokens", u->input);
    put_count(o, out, "output_tokens", u->output);
    put_count(o, out, "reasoning_tokens", u->reasoning);
    j->object_end(out);
    put_count(o, out, "cached_tokens", u->cached_read);
    j->object_end(out);
}

/* ---- the message ---- */

static bool is_plan(const struct weir_answer_block *b)
{
    return weir_eq(b->dialect, COHERE_DIALECT) && weir_eq(b->name, COHERE_PLAN);
}

static bool is_content(const struct weir_answer_block *b)
{
    bool is_words = b->kind == WEIR_BLOCK_TEXT || b->kind == WEIR_BLOCK_THINKING || b->kind == WEIR_BLOCK_REFUSAL;
    return b->choice == 0 && is_words && b->text.n && !is_plan(b);
}

static bool is_call(const struct weir_answer_block *b)
{
    return b->choice == 0 && b->kind == WEIR_BLOCK_TOOL_CALL;
}

static bool has_any(const struct weir_answer *a, bool (*is)(const struct weir_answer_block *))
{
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        if (is(b))
            return true;
    return false;
}

static void put_contents(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    if (!has_any(t->a, is_content))
        return;
    j->key(t->out, "content");
    j->array_begin(t->out);
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        const char *type = b->kind == WEIR_BLOCK_THINKING ? "thinking" : "text";
        if (!is_content(b))
            continue;
        j->object_begin(t->out);
        j->key(t->out, "type");
        j->put_str(t->out, weir_cstr(type));
        j->key(t->out, type);
        j->put_text(t->out, &b->text);
        j->object_end(t->out);
    }
    j->array_end(t->out);
}

static void put_plan(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    bool has_begun = false;
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        if (b->choice || b->kind != WEIR_BLOCK_TEXT || !is_plan(b))
            continue;
        if (!has_begun) {
            j->key(t->out, "tool_plan");
            j->string_begin(t->out);
        }
        has_begun = true;
        j->string_part(t->out, &b->text);
    }
    if (has_begun)
        j->string_end(t->out);
}

static struct cohere_signed signed_by(struct telling *t, const struct weir_answer_block *b)
{
    return (struct cohere_signed){ b->dialect, t->o.host->text(t->o.call, &b->signature) };
}

/* Of the last thought before the first call, which carries it. */
static struct cohere_signed thought_of(struct telling *t)
{
    struct cohere_signed last = { WEIR_NONE, WEIR_NONE };
    for (const struct weir_answer_block *b = t->a->blocks; b && !is_call(b); b = b->next) {
        if (b->choice || b->kind != WEIR_BLOCK_THINKING)
            continue;
        if (last.signature.n)
            t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of the last thought only");
        last = signed_by(t, b);
    }
    return last;
}

static void put_call(struct telling *t, const struct weir_answer_block *b, const struct cohere_signed *thought)
{
    const struct weir_json_api *j = t->o.json;
    const struct weir_text none = WEIR_TEXT("{}");
    j->object_begin(t->out);
    j->key(t->out, "id");
    const struct cohere_signed own = signed_by(t, b);
    j->put_str(t->out, cohere_mark_id(&t->o, b->id, thought, &own));
    j->key(t->out, "type");
    j->put_raw(t->out, WEIR_LIT("\"function\""));
    j->key(t->out, "function");
    j->object_begin(t->out);
    j->key(t->out, "name");
    j->put_str(t->out, b->name);
    j->key(t->out, "arguments");
    j->put_text(t->out, b->text.n ? &b->text : &none);
    j->object_end(t->out);
    j->object_end(t->out);
}

static void put_calls(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    struct cohere_signed thought = thought_of(t);
    if (!has_any(t->a, is_call)) {
        if (thought.signature.n)
            t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "no call carries it");
        return;
    }
    j->key(t->out, "tool_calls");
    j->array_begin(t->out);
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        if (!is_call(b))
            continue;
        put_call(t, b, &thought);
        thought = (struct cohere_signed){ WEIR_NONE, WEIR_NONE };
    }
    j->array_end(t->out);
}

/* The elements of a JSON array, behind those of others. */
static void put_elements(struct telling *t, struct weir_str list)
{
    const struct weir_json_api *j = t->o.json;
    struct weir_str raw;
    struct weir_json *r = j->open(t->o.call, list);
    for (j->array(r); j->element(r) && j->raw(r, &raw);)
        j->put_raw(t->out, raw);
}

/* Citations and log probabilities are raw JSON: only this dialect's own are of use. */
static void put_own(struct telling *t, const char *key, bool wants_citations)
{
    const struct weir_json_api *j = t->o.json;
    bool has_begun = false;
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        struct weir_str list = wants_citations ? b->citations : b->logprobs;
        if (b->choice || !list.n)
            continue;
        if (b->kind == WEIR_BLOCK_TEXT && !weir_eq(b->dialect, COHERE_DIALECT)) {
            t->o.host->lose(t->o.call, wants_citations ? WEIR_FEATURE_ANSWER_CITATIONS : WEIR_FEATURE_ANSWER_LOGPROBS,
                            WEIR_LOSS_DROPPED, "of another dialect");
            continue;
        }
        if (!has_begun) {
            j->key(t->out, key);
            j->array_begin(t->out);
        }
        has_begun = true;
        put_elements(t, list);
    }
    if (has_begun)
        j->array_end(t->out);
}

static void lose_order(struct telling *t)
{
    bool has_call = false;
    for (const struct weir_answer_block *b = t->a->blocks; b; b = b->next) {
        if (has_call && is_content(b)) {
            t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_ORDER, WEIR_LOSS_CHANGED, "calls come last");
            return;
        }
        has_call = has_call || is_call(b);
    }
}

static void put_chat(struct telling *t)
{
    const struct weir_json_api *j = t->o.json;
    const struct weir_answer *a = t->a;
    const struct weir_answer_choice *c = a->n_choices ? &a->choices[0] : NULL;
    j->object_begin(t->out);
    j->key(t->out, "id");
    j->put_str(t->out, a->id.n ? a->id : t->o.host->new_id(t->o.call, "msg_"));
    j->key(t->out, "finish_reason");
    j->put_str(t->out, weir_cstr(cohere_finish_word(&t->o, c ? c->finish : 0, has_any(a, is_call))));
    if (c && c->finish == WEIR_FINISH_STOP_SEQUENCE && c->stop_sequence.n)
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_STOP_SEQUENCE, WEIR_LOSS_DROPPED, "which one it was");
    j->key(t->out, "message");
    j->object_begin(t->out);
    j->key(t->out, "role");
    j->put_raw(t->out, WEIR_LIT("\"assistant\""));
    put_contents(t);
    put_plan(t);
    put_calls(t);
    put_own(t, "citations", true);
    j->object_end(t->out);
    if (a->usage.input >= 0 || a->usage.output >= 0) {
        j->key(t->out, "usage");
        cohere_put_usage(&t->o, t->out, &a->usage);
    }
    put_own(t, "logprobs", false);
    j->object_end(t->out);
    lose_order(t);
}

int cohere_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out)
{
    struct telling t = { cohere_begin(self, call), out, answer };
    (void)state;
    switch (cohere_operation(&t.o)) {
    case WEIR_OP_EMBED:
        cohere_put_vectors(&t.o, out, answer);
        break;
    case WEIR_OP_RERANK:
        cohere_put_ranks(&t.o, out, answer);
        break;
    default:
        put_chat(&t);
    }
    return 0;
}

/* ---- models ---- */

static void put_model(const struct weir_json_api *j, struct weir_out *out, const struct weir_model *m)
{
    j->object_begin(out);
    j->key(out, "name");
    j->put_str(out, m->id);
    j->key(out, "endpoints");
    j->put_raw(out, WEIR_LIT("[\"chat\"]"));
    j->key(out, "finetuned");
    j->put_bool(out, false);
    j->object_end(out);
}

int cohere_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out)
{
    const struct weir_json_api *j = cohere_begin(self, call).json;
    if (list->single) {
        put_model(j, out, &list->models[0]);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "models");
    j->array_begin(out);
    for (uint32_t i = 0; i < list->n; i++)
        if (!(list->models[i].flags & WEIR_MODEL_HIDDEN))
            put_model(j, out, &list->models[i]);
    j->array_end(out);
    j->object_end(out);
    return 0;
}
