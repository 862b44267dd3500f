/* An answer as one document, and what it shares with a stream: reason, usage, times. */
#include "bedrock.h"

const char *bedrock_stop_reason(uint32_t finish)
{
    switch (finish) {
    case WEIR_FINISH_STOP_SEQUENCE:
        return "stop_sequence";
    case WEIR_FINISH_LENGTH:
        return "max_tokens";
    case WEIR_FINISH_TOOL_CALLS:
        return "tool_use";
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
        return "content_filtered";
    case WEIR_FINISH_CONTEXT_WINDOW:
        return "model_context_window_exceeded";
    default:
        return "end_turn";
    }
}

void bedrock_put_stop(struct bedrock *o, struct weir_out *out, uint32_t finish, const struct weir_text *sequence)
{
    const struct weir_json_api *j = o->json;
    bedrock_put_member(o, out, "stopReason", bedrock_stop_reason(finish));
    if (finish == WEIR_FINISH_REFUSAL || finish == WEIR_FINISH_PAUSE || finish == WEIR_FINISH_OTHER)
        bedrock_lose(o, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, bedrock_stop_reason(finish));
    if (finish != WEIR_FINISH_STOP_SEQUENCE || !sequence || !sequence->n)
        return;
    j->key(out, "additionalModelResponseFields");
    j->object_begin(out);
    j->key(out, "stop_sequence");
    j->put_text(out, sequence);
    j->object_end(out);
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

static void put_count(struct bedrock *o, struct weir_out *out, const char *key, int64_t n)
{
    o->json->key(out, key);
    o->json->put_int(out, known(n));
}

void bedrock_put_usage(struct bedrock *o, struct weir_out *out, const struct weir_usage *u)
{
    int64_t fresh = known(u->input) - known(u->cached_read) - known(u->cached_write);
    o->json->key(out, "usage");
    o->json->object_begin(out);
    put_count(o, out, "inputTokens", fresh);
    put_count(o, out, "outputTokens", u->output);
    put_count(o, out, "totalTokens", known(u->input) + known(u->output));
    if (u->cached_read >= 0)
        put_count(o, out, "cacheReadInputTokens", u->cached_read);
    if (u->cached_write >= 0)
        put_count(o, out, "cacheWriteInputTokens", u->cached_write);
    o->json->object_end(out);
}

void bedrock_put_metrics(struct bedrock *o, struct weir_out *out)
{
    const struct weir_request_view *request = o->host->request(o->call);
    o->json->key(out, "metrics");
    o->json->object_begin(out);
    put_count(o, out, "latencyMs", request && request->started_ms ? o->host->now_ms() - request->started_ms : 0);
    o->json->object_end(out);
}

/* ---- blocks ---- */

static void put_input(struct bedrock *o, struct weir_out *out, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = o->json;
    j->key(out, "input");
    if (!b->text.n) {
        j->put_raw(out, WEIR_LIT("{}"));
    } else if (j->valid(o->call, &b->text, WEIR_JSON_OBJECT)) {
        j->put_text_raw(out, &b->text);
    } else { /* a model's slip; the client shall see it and not a parser's error */
        j->object_begin(out);
        j->key(out, "_raw");
        j->put_text(out, &b->text);
        j->object_end(out);
    }
}

static void put_tool_use(struct bedrock *o, struct weir_out *out, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = o->json;
    struct weir_str id = b->id.n ? b->id : o->host->new_id(o->call, "tooluse_");
    if (b->signature.n)
        id = bedrock_marked_id(o, id, o->host->text(o->call, &b->signature), b->dialect);
    j->key(out, "toolUse");
    j->object_begin(out);
    j->key(out, "toolUseId");
    j->put_str(out, id);
    j->key(out, "name");
    j->put_str(out, b->name);
    put_input(o, out, b);
    j->object_end(out);
}

static void put_thinking(struct bedrock *o, struct weir_out *out, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = o->json;
    j->key(out, "reasoningContent");
    j->object_begin(out);
    j->key(out, "reasoningText");
    j->object_begin(out);
    j->key(out, "text");
    j->put_text(out, &b->text);
    if (b->signature.n) {
        j->key(out, "signature");
        j->put_str(out, bedrock_carried(o, o->host->text(o->call, &b->signature), b->dialect));
    }
    j->object_end(out);
    j->object_end(out);
}

static void put_text(struct bedrock *o, struct weir_out *out, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = o->json;
    bool is_cited = b->citations.n && weir_eq(b->dialect, BEDROCK_DIALECT);
    if (b->signature.n)
        bedrock_lose(o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text: its block has no place for it");
    if (b->citations.n && !is_cited)
        bedrock_lose(o, WEIR_FEATURE_ANSWER_CITATIONS, WEIR_LOSS_DROPPED, "of another provider");
    if (!is_cited) {
        j->key(out, "text");
        j->put_text(out, &b->text);
        return;
    }
    j->key(out, "citationsContent");
    j->object_begin(out);
    j->key(out, "content");
    j->array_begin(out);
    j->object_begin(out);
    j->key(out, "text");
    j->put_text(out, &b->text);
    j->object_end(out);
    j->array_end(out);
    j->key(out, "citations");
    j->put_raw(out, b->citations);
    j->object_end(out);
}

static void put_block(struct bedrock *o, struct weir_out *out, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = o->json;
    bool is_text = b->kind == WEIR_BLOCK_TEXT || b->kind == WEIR_BLOCK_REFUSAL;
    if (b->choice)
        return;
    if (b->kind == WEIR_BLOCK_OPAQUE && weir_eq(b->dialect, BEDROCK_DIALECT)) {
        j->put_text_raw(out, &b->text);
        return;
    }
    if (!is_text && b->kind != WEIR_BLOCK_TOOL_CALL && b->kind != WEIR_BLOCK_THINKING)
        return;
    j->object_begin(out);
    if (b->kind == WEIR_BLOCK_TOOL_CALL)
        put_tool_use(o, out, b);
    else if (b->kind == WEIR_BLOCK_THINKING)
        put_thinking(o, out, b);
    else
        put_text(o, out, b);
    j->object_end(out);
}

/* {"inputTokens":N} */
static int put_tokens(struct bedrock *o, struct weir_out *out, const struct weir_answer *answer)
{
    o->json->object_begin(out);
    put_count(o, out, "inputTokens", answer->usage.input);
    o->json->object_end(out);
    return 0;
}

int bedrock_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                          struct weir_out *out)
{
    struct bedrock o = bedrock_begin(self, call);
    const struct weir_json_api *j = o.json;
    const struct weir_answer_choice *choice = answer->n_choices ? &answer->choices[0] : NULL;
    const struct weir_request_view *request = o.host->request(call);
    if (request && request->operation == WEIR_OP_COUNT)
        return put_tokens(&o, out, answer);
    if (request && request->operation == WEIR_OP_EMBED) {
        bedrock_put_vectors(&o, state, out, answer);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "output");
    j->object_begin(out);
    j->key(out, "message");
    j->object_begin(out);
    bedrock_put_member(&o, out, "role", "assistant");
    j->key(out, "content");
    j->array_begin(out);
    for (const struct weir_answer_block *b = answer->blocks; b; b = b->next)
        put_block(&o, out, b);
    j->array_end(out);
    j->object_end(out);
    j->object_end(out);
    bedrock_put_stop(&o, out, choice ? choice->finish : 0, choice ? &choice->stop_sequence : NULL);
    bedrock_put_usage(&o, out, &answer->usage);
    bedrock_put_metrics(&o, out);
    j->object_end(out);
    return 0;
}
