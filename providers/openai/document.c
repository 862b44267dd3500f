/* A whole answer, and the list of models, as documents. Nothing is remembered. */
#include "openai.h"

struct telling {
    struct openai o;
    struct weir_out *out;
};

/* ---- what a stream says too ---- */

const char *openai_finish_word(uint32_t finish, bool has_calls)
{
    switch (finish) {
    case WEIR_FINISH_LENGTH:
    case WEIR_FINISH_CONTEXT_WINDOW:
        return "length";
    case WEIR_FINISH_TOOL_CALLS:
        return "tool_calls";
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
        return "content_filter";
    default:
        return has_calls ? "tool_calls" : "stop";
    }
}

void openai_lose_finish(struct openai *o, uint32_t finish)
{
    static const char *const whys[] = { [WEIR_FINISH_REFUSAL] = "refusal as content_filter",
                                        [WEIR_FINISH_PAUSE] = "pause as stop",
                                        [WEIR_FINISH_CONTEXT_WINDOW] = "context window as length",
                                        [WEIR_FINISH_OTHER] = "another reason as stop" };
    if (finish < sizeof(whys) / sizeof(*whys) && whys[finish])
        openai_lose(o, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, whys[finish]);
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

static void put_count(struct openai *o, struct weir_out *out, const char *key, int64_t n)
{
    o->json->key(out, key);
    o->json->put_int(out, known(n));
}

static void put_known(struct openai *o, struct weir_out *out, const char *key, int64_t n)
{
    if (n >= 0)
        put_count(o, out, key, n);
}

void openai_put_usage(struct openai *o, struct weir_out *out, const struct weir_usage *u)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    put_count(o, out, "prompt_tokens", u->input);
    put_count(o, out, "completion_tokens", u->output);
    put_count(o, out, "total_tokens", known(u->input) + known(u->output));
    if (u->cached_read >= 0 || u->cached_write >= 0 || u->audio_input >= 0) {
        j->key(out, "prompt_tokens_details");
        j->object_begin(out);
        put_known(o, out, "cached_tokens", u->cached_read);
        put_known(o, out, "audio_tokens", u->audio_input);
        put_known(o, out, "cache_write_tokens", u->cached_write);
        j->object_end(out);
    }
    if (u->reasoning >= 0 || u->audio_output >= 0) {
        j->key(out, "completion_tokens_details");
        j->object_begin(out);
        put_known(o, out, "reasoning_tokens", u->reasoning);
        put_known(o, out, "audio_tokens", u->audio_output);
        j->object_end(out);
    }
    j->object_end(out);
}

/* ---- whole answers ---- */

static bool is_of(const struct weir_answer_block *b, uint32_t choice, enum weir_block_kind kind)
{
    return b->choice == choice && b->kind == (uint32_t)kind;
}

/* The blocks of one kind, joined: a message has one content. */
static bool put_blocks(struct telling *t, const struct weir_answer *a, uint32_t choice, enum weir_block_kind kind,
                       const char *key)
{
    const struct weir_json_api *j = t->o.json;
    bool has_begun = false;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, kind))
            continue;
        if (!has_begun) {
            j->key(t->out, key);
            j->string_begin(t->out);
        }
        has_begun = true;
        j->string_part(t->out, &b->text);
    }
    if (has_begun)
        j->string_end(t->out);
    return has_begun;
}

static void put_call(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    const struct weir_text none = WEIR_TEXT("{}");
    bool is_custom = weir_eq(b->dialect, OPENAI_DIALECT);
    j->object_begin(t->out);
    j->key(t->out, "id");
    j->put_str(t->out, b->id.n ? b->id : t->o.host->new_id(t->o.call, "call_"));
    j->key(t->out, "type");
    j->put_str(t->out, is_custom ? WEIR_LIT("custom") : WEIR_LIT("function"));
    j->key(t->out, is_custom ? "custom" : "function");
    j->object_begin(t->out);
    j->key(t->out, "name");
    j->put_str(t->out, b->name);
    j->key(t->out, is_custom ? "input" : "arguments");
    j->put_text(t->out, b->text.n || is_custom ? &b->text : &none);
    j->object_end(t->out);
    if (b->signature.n && !is_custom) {
        j->key(t->out, "extra_content");
        openai_put_extra(&t->o, t->out, t->o.host->text(t->o.call, &b->signature), b->dialect);
    }
    j->object_end(t->out);
}

/* Thoughts that somebody signed, one by one: the client sends them back. */
static void put_signed_thoughts(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    uint32_t n = 0;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (b->choice != choice || !b->signature.n || b->kind == WEIR_BLOCK_TOOL_CALL)
            continue;
        if (b->kind != WEIR_BLOCK_THINKING) {
            openai_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text: a message has no place for it");
            continue;
        }
        if (n == 0) {
            j->key(t->out, "reasoning_details");
            j->array_begin(t->out);
        }
        openai_put_detail(&t->o, t->out, b->text, t->o.host->text(t->o.call, &b->signature), b->dialect, n++);
    }
    if (n)
        j->array_end(t->out);
}

static bool put_calls(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    bool has_begun = false;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, WEIR_BLOCK_TOOL_CALL))
            continue;
        if (!has_begun) {
            t->o.json->key(t->out, "tool_calls");
            t->o.json->array_begin(t->out);
        }
        has_begun = true;
        put_call(t, b);
    }
    if (has_begun)
        t->o.json->array_end(t->out);
    return has_begun;
}

static void put_audio_block(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, WEIR_BLOCK_AUDIO))
            continue;
        j->key(t->out, "audio");
        j->object_begin(t->out);
        j->key(t->out, "data");
        j->put_text(t->out, &b->text);
        j->key(t->out, "transcript");
        j->put_text(t->out, &b->transcript);
        j->object_end(t->out);
        return;
    }
}

/* Annotations are raw JSON: only those of this dialect are of use. */
static const struct weir_answer_block *first_cited(const struct weir_answer *a, uint32_t choice)
{
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        if (is_of(b, choice, WEIR_BLOCK_TEXT) && b->citations.n && weir_eq(b->dialect, OPENAI_DIALECT))
            return b;
    return NULL;
}

static const struct weir_answer_block *first_probable(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, WEIR_BLOCK_TEXT) || !b->logprobs.n)
            continue;
        if (weir_is_logprob(t->o.json, t->o.call, b->logprobs))
            return b;
        openai_lose(&t->o, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "of another dialect");
    }
    return NULL;
}

/* As several providers of this dialect have them: data URLs beside the text. */
static void put_images(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    uint32_t n = 0;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, WEIR_BLOCK_IMAGE) || !b->text.n)
            continue;
        if (!n) {
            t->o.json->key(t->out, "images");
            t->o.json->array_begin(t->out);
        }
        openai_put_image(&t->o, t->out, b->name, b->text, n++);
    }
    if (n)
        t->o.json->array_end(t->out);
}

static bool put_message(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    j->object_begin(t->out);
    j->key(t->out, "role");
    j->put_str(t->out, WEIR_LIT("assistant"));
    if (!put_blocks(t, a, choice, WEIR_BLOCK_TEXT, "content")) {
        j->key(t->out, "content");
        j->put_null(t->out);
    }
    if (!put_blocks(t, a, choice, WEIR_BLOCK_REFUSAL, "refusal")) {
        j->key(t->out, "refusal");
        j->put_null(t->out);
    }
    put_blocks(t, a, choice, WEIR_BLOCK_THINKING, "reasoning_content");
    put_signed_thoughts(t, a, choice);
    bool has_calls = put_calls(t, a, choice);
    put_audio_block(t, a, choice);
    put_images(t, a, choice);
    const struct weir_answer_block *cited = first_cited(a, choice);
    if (cited) {
        j->key(t->out, "annotations");
        j->put_raw(t->out, cited->citations);
    }
    j->object_end(t->out);
    return has_calls;
}

static void put_choice(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    j->object_begin(t->out);
    j->key(t->out, "index");
    j->put_int(t->out, choice);
    j->key(t->out, "message");
    bool has_calls = put_message(t, a, choice);
    const struct weir_answer_block *probable = first_probable(t, a, choice);
    j->key(t->out, "logprobs");
    if (probable) {
        j->object_begin(t->out);
        j->key(t->out, "content");
        j->put_raw(t->out, probable->logprobs);
        j->key(t->out, "refusal");
        j->put_null(t->out);
        j->object_end(t->out);
    } else {
        j->put_null(t->out);
    }
    uint32_t finish = choice < a->n_choices ? a->choices[choice].finish : 0;
    j->key(t->out, "finish_reason");
    j->put_str(t->out, weir_cstr(openai_finish_word(finish, has_calls)));
    openai_lose_finish(&t->o, finish);
    j->object_end(t->out);
}

int openai_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out)
{
    struct telling t = { openai_begin(self, call), out };
    (void)state;
    const struct weir_json_api *j = t.o.json;
    if (openai_embeds(&t.o)) {
        openai_put_vectors(&t.o, out, answer);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, answer->id.n ? answer->id : t.o.host->new_id(call, "chatcmpl-"));
    j->key(out, "object");
    j->put_str(out, WEIR_LIT("chat.completion"));
    j->key(out, "created");
    j->put_int(out, answer->created_s ? answer->created_s : t.o.host->now_ms() / 1000);
    j->key(out, "model");
    j->put_str(out, answer->model);
    j->key(out, "choices");
    j->array_begin(out);
    for (uint32_t i = 0; i < answer->n_choices || i == 0; i++)
        put_choice(&t, answer, i);
    j->array_end(out);
    if (answer->usage.input >= 0 || answer->usage.output >= 0) {
        j->key(out, "usage");
        openai_put_usage(&t.o, out, &answer->usage);
    }
    j->object_end(out);
    return 0;
}

/* ---- models ---- */

static void put_model(const struct weir_json_api *j, struct weir_out *out, const struct weir_model *m)
{
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, m->id);
    j->key(out, "object");
    j->put_str(out, WEIR_LIT("model"));
    j->key(out, "created");
    j->put_int(out, m->created_s);
    j->key(out, "owned_by");
    j->put_str(out, m->owned_by);
    j->object_end(out);
}

int openai_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out)
{
    const struct weir_json_api *j = openai_begin(self, call).json;
    if (list->single) {
        put_model(j, out, &list->models[0]);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "object");
    j->put_str(out, WEIR_LIT("list"));
    j->key(out, "data");
    j->array_begin(out);
    for (uint32_t i = 0; i < list->n; i++)
        if (!(list->models[i].flags & WEIR_MODEL_HIDDEN))
            put_model(j, out, &list->models[i]);
    j->array_end(out);
    j->object_end(out);
    return 0;
}
