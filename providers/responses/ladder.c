/* Events become the client's answer: the ladder of a stream, or one document. Several items may be open at once in this dialect.
 * A message stays open until something else begins, because texts that follow one another are parts of one message.
 *
 * What a stream has said so far is kept in the request's state, also for events that went out as the provider's own bytes (SILENT),
 * so that the encoder can take over. */
#include "ladder.h"

#define put responses_put

/* ---- events ---- */

/* `event: NAME / data: {"type":NAME,"sequence_number":N` */
static void event_begin(struct telling *t, const char *name)
{
    put(t, WEIR_LIT("event: "));
    put(t, weir_cstr(name));
    put(t, WEIR_LIT("\ndata: {\"type\":\""));
    put(t, weir_cstr(name));
    put(t, WEIR_LIT("\",\"sequence_number\":"));
    responses_put_int(t, t->client->sequence++);
}

static void event_end(struct telling *t)
{
    put(t, WEIR_LIT("}\n\n"));
}

static void put_output_index(struct telling *t, const struct responses_told *b)
{
    put(t, WEIR_LIT(",\"output_index\":"));
    responses_put_int(t, b->output_index);
}

/* The same, with the item's id in front: of events inside an item. */
static void inner_begin(struct telling *t, const char *name, const struct responses_told *b)
{
    event_begin(t, name);
    put(t, WEIR_LIT(",\"item_id\":"));
    responses_put_str(t, b->id);
    put_output_index(t, b);
    if (responses_is_part(b)) {
        put(t, WEIR_LIT(",\"content_index\":"));
        responses_put_int(t, b->content_index);
    } else if (b->kind == WEIR_BLOCK_THINKING) {
        put(t, WEIR_LIT(",\"summary_index\":0"));
    }
}

static void put_item_event(struct telling *t, const char *name, const struct responses_told *b, bool is_empty)
{
    event_begin(t, name);
    put_output_index(t, b);
    put(t, WEIR_LIT(",\"item\":"));
    responses_put_item(t, b, is_empty);
    event_end(t);
}

static void put_part_event(struct telling *t, const char *name, const struct responses_told *b, bool is_empty)
{
    inner_begin(t, name, b);
    put(t, WEIR_LIT(",\"part\":"));
    responses_put_part(t, b, is_empty);
    event_end(t);
}

static void put_summary_event(struct telling *t, const char *name, const struct responses_told *b, bool is_empty)
{
    static const struct responses_rope nothing = { NULL, NULL };
    inner_begin(t, name, b);
    put(t, WEIR_LIT(",\"part\":{\"type\":\"summary_text\",\"text\":"));
    responses_put_rope(t, is_empty ? &nothing : &b->text, WEIR_NONE);
    put(t, WEIR_LIT("}"));
    event_end(t);
}

/* The whole of a text, when it is done. */
static void put_done(struct telling *t, const char *name, const struct responses_told *b, struct weir_str key,
                     struct weir_str unsaid)
{
    inner_begin(t, name, b);
    put(t, key);
    responses_put_rope(t, &b->text, b->text.first ? WEIR_NONE : unsaid);
}

/* ---- messages ---- */

static void close_message(struct telling *t, bool is_cut)
{
    struct responses_told *first = t->client->message;
    if (!first)
        return;
    first->is_cut = is_cut;
    t->client->message = NULL;
    put_item_event(t, "response.output_item.done", first, false);
}

/* Something else begins: the message ends as soon as its parts have. */
static void seal_message(struct telling *t)
{
    struct responses_client *s = t->client;
    s->is_sealed = true;
    if (s->message && !s->n_open_parts)
        close_message(t, false);
}

static void start_part(struct telling *t, struct responses_told *b)
{
    struct responses_client *s = t->client;
    if (s->message && (s->is_sealed || (b->id.n && !weir_eq(b->id, s->message->id)))) {
        s->is_sealed = true;
        if (!s->n_open_parts)
            close_message(t, false);
    }
    if (responses_place_part(t, b))
        put_item_event(t, "response.output_item.added", b, true);
    put_part_event(t, "response.content_part.added", b, true);
}

static void stop_part(struct telling *t, struct responses_told *b)
{
    struct responses_client *s = t->client;
    bool is_refusal = b->kind == WEIR_BLOCK_REFUSAL;
    if (is_refusal) {
        put_done(t, "response.refusal.done", b, WEIR_LIT(",\"refusal\":"), WEIR_NONE);
    } else {
        put_done(t, "response.output_text.done", b, WEIR_LIT(",\"text\":"), WEIR_NONE);
        put(t, WEIR_LIT(",\"logprobs\":["));
        responses_put_rope_raw(t, &b->logprobs);
        put(t, WEIR_LIT("]"));
    }
    event_end(t);
    put_part_event(t, "response.content_part.done", b, false);
    if (!s->message || b->output_index != s->message->output_index)
        return;
    if (--s->n_open_parts == 0 && s->is_sealed)
        close_message(t, false);
}

/* ---- items of their own ---- */

static void stop_reasoning(struct telling *t, struct responses_told *b)
{
    if (b->has_text) {
        put_done(t, "response.reasoning_summary_text.done", b, WEIR_LIT(",\"text\":"), WEIR_NONE);
        event_end(t);
        put_summary_event(t, "response.reasoning_summary_part.done", b, false);
    }
    put_item_event(t, "response.output_item.done", b, false);
}

static void stop_call(struct telling *t, struct responses_told *b)
{
    put_done(t, "response.function_call_arguments.done", b, WEIR_LIT(",\"arguments\":"), WEIR_LIT("{}"));
    put(t, WEIR_LIT(",\"name\":"));
    responses_put_str(t, b->name);
    event_end(t);
    put_item_event(t, "response.output_item.done", b, false);
    struct responses_told *carrier = responses_add_carrier(t, b);
    if (!carrier)
        return;
    put_item_event(t, "response.output_item.added", carrier, true);
    put_item_event(t, "response.output_item.done", carrier, false);
}

/* ---- blocks ---- */

/* What the dialect has no place for stays unsaid. */
static bool is_hidden(const struct weir_event *e)
{
    switch (e->block_kind) {
    case WEIR_BLOCK_TEXT:
    case WEIR_BLOCK_THINKING:
    case WEIR_BLOCK_REFUSAL:
    case WEIR_BLOCK_TOOL_CALL:
    case WEIR_BLOCK_IMAGE:
        return false;
    case WEIR_BLOCK_OPAQUE:
        return !weir_eq(e->dialect, RESPONSES_DIALECT);
    default:
        return true;
    }
}

static void lose(struct telling *t, enum weir_feature feature, enum weir_loss what, const char *why)
{
    if (!t->is_relayed)
        responses_lose(&t->o, feature, what, why);
}

static void name_block(struct telling *t, struct responses_told *b, const struct weir_event *e)
{
    const struct weir_host *h = t->o.host;
    if (b->kind == WEIR_BLOCK_TOOL_CALL) {
        b->call = h->keep(t->o.call, e->id.n ? e->id : h->new_id(t->o.call, "call_"));
        b->name = h->keep(t->o.call, e->name);
    } else if (b->kind == WEIR_BLOCK_IMAGE) {
        b->name = h->keep(t->o.call, e->name);
    } else if (b->kind == WEIR_BLOCK_OPAQUE) {
        b->raw = weir_plain(h->keep(t->o.call, h->text(t->o.call, &e->text)));
    } else {
        b->id = h->keep(t->o.call, e->id);
    }
}

static int tell_block_start(struct telling *t, const struct weir_event *e)
{
    if (is_hidden(e)) {
        if (e->block_kind == WEIR_BLOCK_OPAQUE)
            lose(t, WEIR_FEATURE_ANSWER_OPAQUE, WEIR_LOSS_DROPPED, "a block of the provider's dialect");
        return 0;
    }
    struct responses_told *b = responses_add_told(t, e->block_kind, e->block);
    if (!b)
        return -1;
    name_block(t, b, e);
    if (responses_is_part(b)) {
        start_part(t, b);
        return 0;
    }
    seal_message(t);
    responses_place_item(t, b);
    put_item_event(t, "response.output_item.added", b, true);
    return 0;
}

static int tell_words(struct telling *t, struct responses_told *b, const struct weir_event *e)
{
    if (b->kind == WEIR_BLOCK_IMAGE) /* told at its end */
        return responses_rope_add(&t->o, &b->text, &e->text);
    const char *name = b->kind == WEIR_BLOCK_TEXT       ? "response.output_text.delta"
                       : b->kind == WEIR_BLOCK_REFUSAL  ? "response.refusal.delta"
                       : b->kind == WEIR_BLOCK_THINKING ? "response.reasoning_summary_text.delta"
                                                        : "response.function_call_arguments.delta";
    if (b->kind == WEIR_BLOCK_THINKING && !b->has_text)
        put_summary_event(t, "response.reasoning_summary_part.added", b, true);
    b->has_text = true;
    inner_begin(t, name, b);
    put(t, WEIR_LIT(",\"delta\":"));
    if (!t->is_silent)
        t->o.json->put_text(t->out, &e->text);
    if (b->kind == WEIR_BLOCK_TEXT)
        put(t, WEIR_LIT(",\"logprobs\":[]"));
    event_end(t);
    return responses_rope_add(&t->o, &b->text, &e->text);
}

static int add_raw(struct telling *t, struct responses_rope *rope, const struct weir_event *e)
{
    struct weir_str plain = t->o.host->text(t->o.call, &e->text);
    struct weir_text raw = { plain.p, (uint32_t)plain.n, WEIR_TEXT_BOTH }; /* JSON as it is: nothing to escape */
    const struct weir_text comma = { ",", 1, WEIR_TEXT_BOTH };
    if (rope->first && responses_rope_add(&t->o, rope, &comma) < 0)
        return -1;
    while (raw.n) { /* line ends would end a line of the stream; in JSON they are only white space */
        uint32_t n = 0;
        while (n < raw.n && raw.p[n] != '\n' && raw.p[n] != '\r')
            n++;
        struct weir_text line = { raw.p, n, WEIR_TEXT_BOTH };
        if (responses_rope_add(&t->o, rope, &line) < 0)
            return -1;
        n += n < raw.n;
        raw.p += n;
        raw.n -= n;
    }
    return 0;
}

static int tell_citation(struct telling *t, struct responses_told *b, const struct weir_event *e)
{
    inner_begin(t, "response.output_text.annotation.added", b);
    put(t, WEIR_LIT(",\"annotation_index\":"));
    responses_put_int(t, b->n_citations++);
    put(t, WEIR_LIT(",\"annotation\":"));
    responses_put_line(t, e->text);
    event_end(t);
    return add_raw(t, &b->citations, e);
}

/* Log probabilities go with a delta; they come behind the text that they are of. */
static int tell_logprobs(struct telling *t, struct responses_told *b, const struct weir_event *e)
{
    inner_begin(t, "response.output_text.delta", b);
    put(t, WEIR_LIT(",\"delta\":\"\",\"logprobs\":["));
    responses_put_line(t, e->text);
    put(t, WEIR_LIT("]"));
    event_end(t);
    return add_raw(t, &b->logprobs, e);
}

static int tell_signature(struct telling *t, struct responses_told *b, const struct weir_event *e)
{
    if (b->kind != WEIR_BLOCK_THINKING && b->kind != WEIR_BLOCK_TOOL_CALL) {
        lose(t, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text");
        return 0;
    }
    if (!b->signature_dialect.n)
        b->signature_dialect = t->o.host->keep(t->o.call, e->dialect);
    return responses_rope_add(&t->o, &b->signature, &e->text);
}

static int tell_delta(struct telling *t, const struct weir_event *e)
{
    struct responses_told *b = responses_find_told(t->client, e->block);
    bool is_own = weir_eq(e->dialect, RESPONSES_DIALECT);
    if (!b || !e->text.n)
        return 0;
    switch (e->delta_kind) {
    case WEIR_DELTA_TEXT:
        return b->kind == WEIR_BLOCK_TOOL_CALL || b->kind == WEIR_BLOCK_OPAQUE ? 0 : tell_words(t, b, e);
    case WEIR_DELTA_ARGUMENTS:
        return b->kind == WEIR_BLOCK_TOOL_CALL ? tell_words(t, b, e) : 0;
    case WEIR_DELTA_SIGNATURE:
        return tell_signature(t, b, e);
    case WEIR_DELTA_CITATION:
        if (is_own && b->kind == WEIR_BLOCK_TEXT)
            return tell_citation(t, b, e);
        lose(t, WEIR_FEATURE_ANSWER_CITATIONS, WEIR_LOSS_DROPPED, "of another dialect");
        return 0;
    case WEIR_DELTA_LOGPROBS:
        if (b->kind == WEIR_BLOCK_TEXT && weir_is_logprob(t->o.json, t->o.call, t->o.host->text(t->o.call, &e->text)))
            return tell_logprobs(t, b, e);
        lose(t, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "of another dialect");
        return 0;
    default:
        return 0;
    }
}

static void tell_block_stop(struct telling *t, const struct weir_event *e)
{
    struct responses_told *b = responses_find_told(t->client, e->block);
    if (!b)
        return;
    b->is_open = false;
    if (responses_is_part(b))
        stop_part(t, b);
    else if (b->kind == WEIR_BLOCK_THINKING)
        stop_reasoning(t, b);
    else if (b->kind == WEIR_BLOCK_TOOL_CALL)
        stop_call(t, b);
    else
        put_item_event(t, "response.output_item.done", b, false);
}

/* ---- start and end ---- */

static int start(struct telling *t, struct weir_str id, struct weir_str model, int64_t created_s)
{
    struct responses_client *s = t->client;
    const struct weir_host *h = t->o.host;
    s->has_started = true;
    s->id = h->keep(t->o.call, id.n ? id : h->new_id(t->o.call, "resp_"));
    s->model = h->keep(t->o.call, model);
    s->created_s = created_s ? created_s : h->now_ms() / 1000;
    return s->id.n ? 0 : -1;
}

static void put_response_event(struct telling *t, const char *name, const char *status, const struct weir_error *error)
{
    event_begin(t, name);
    put(t, WEIR_LIT(",\"response\":"));
    responses_put_response(t, status, error);
    event_end(t);
}

static int tell_start(struct telling *t, const struct weir_event *e)
{
    if (start(t, e->id, e->name, e->created_s) < 0)
        return -1;
    put_response_event(t, "response.created", "in_progress", NULL);
    put_response_event(t, "response.in_progress", "in_progress", NULL);
    return 0;
}

static void lose_finish(struct telling *t)
{
    const char *status = t->client->status;
    if (strcmp(status, "completed") != 0 && strcmp(status, "incomplete") != 0) /* this dialect's own word */
        return;
    switch (t->client->finish) {
    case WEIR_FINISH_REFUSAL:
        lose(t, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "a refusal is told as content_filter");
        break;
    case WEIR_FINISH_CONTEXT_WINDOW:
        lose(t, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "a full context window is told as max_output_tokens");
        break;
    case WEIR_FINISH_PAUSE:
    case WEIR_FINISH_OTHER:
        lose(t, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "told as completed");
        break;
    default:
        break;
    }
}

static void tell_finish(struct telling *t, const struct weir_event *e)
{
    struct responses_client *s = t->client;
    s->has_finish = true;
    s->finish = e->finish;
    s->status = responses_status_of(e->finish, e->name);
    lose_finish(t);
    close_message(t, strcmp(s->status, "incomplete") == 0);
}

static void tell_end(struct telling *t)
{
    const char *status = t->client->status ? t->client->status : "completed";
    bool is_cut = strcmp(status, "incomplete") == 0;
    close_message(t, false);
    t->client->has_finish = true;
    put_response_event(t, is_cut ? "response.incomplete" : "response.completed", status, NULL);
}

/* A stream that has begun ends with the response that failed; before that there is none to speak of. */
static void tell_error(struct telling *t, const struct weir_error *error)
{
    if (t->is_silent || !error)
        return;
    if (t->client->has_started) {
        put_response_event(t, "response.failed", "failed", error);
        return;
    }
    event_begin(t, "error");
    put(t, WEIR_LIT(",\"code\":"));
    responses_put_str(t, responses_error_code(error));
    put(t, WEIR_LIT(",\"message\":"));
    responses_put_str(t, error->message);
    put(t, WEIR_LIT(",\"param\":null"));
    event_end(t);
}

/* Usage is told in pieces, and what isn't said again still holds. */
static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    int64_t *const into[] = { &to->input, &to->output, &to->cached_read, &to->cached_write, &to->reasoning };
    const int64_t said[] = { from->input, from->output, from->cached_read, from->cached_write, from->reasoning };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
        if (said[i] >= 0)
            *into[i] = said[i];
}

int responses_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                           struct weir_out *out)
{
    bool is_relayed = (event->flags & WEIR_EVENT_SILENT) != 0;
    struct telling t = { responses_begin(self, call), state, out, is_relayed, is_relayed };
    if (!t.client->usage.size)
        t.client->usage = WEIR_USAGE_UNKNOWN;
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    if (event->choice) /* the dialect has one */
        return 0;
    switch (event->kind) {
    case WEIR_EVENT_START:
        return tell_start(&t, event);
    case WEIR_EVENT_BLOCK_START:
        return tell_block_start(&t, event);
    case WEIR_EVENT_DELTA:
        return tell_delta(&t, event);
    case WEIR_EVENT_BLOCK_STOP:
        tell_block_stop(&t, event);
        return 0;
    case WEIR_EVENT_FINISH:
        tell_finish(&t, event);
        return 0;
    case WEIR_EVENT_END:
        tell_end(&t);
        return 0;
    case WEIR_EVENT_ERROR:
        tell_error(&t, event->error);
        return 0;
    case WEIR_EVENT_PING:
        put(&t, WEIR_LIT(": ping\n\n"));
        return 0;
    default:
        return 0;
    }
}

/* ---- whole answers ---- */

/* {"object":"response.input_tokens","input_tokens":N} */
static int encode_count(struct telling *t, const struct weir_answer *answer)
{
    put(t, WEIR_LIT("{\"object\":\"response.input_tokens\",\"input_tokens\":"));
    responses_put_int(t, answer->usage.input);
    put(t, WEIR_LIT("}"));
    return 0;
}

/* A list of raw values, without its brackets. */
static int take_list(struct telling *t, struct responses_rope *rope, struct weir_str list, bool is_own)
{
    if (list.n <= 2 || !is_own)
        return 0;
    struct weir_text inside = { list.p + 1, (uint32_t)list.n - 2, WEIR_TEXT_BOTH };
    return responses_rope_add(&t->o, rope, &inside);
}

static bool is_probable(struct telling *t, const struct weir_answer_block *block)
{
    return block->kind == WEIR_BLOCK_TEXT && weir_is_logprob(t->o.json, t->o.call, block->logprobs);
}

static void lose_foreign(struct telling *t, const struct weir_answer_block *block, bool is_own)
{
    if (block->citations.n && !is_own)
        lose(t, WEIR_FEATURE_ANSWER_CITATIONS, WEIR_LOSS_DROPPED, "of another dialect");
    if (block->logprobs.n && !is_probable(t, block))
        lose(t, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "of another dialect");
    if (block->signature.n && (block->kind == WEIR_BLOCK_TEXT || block->kind == WEIR_BLOCK_IMAGE))
        lose(t, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text");
}

/* The block as a stream would have left it, said in one go. */
static int take_block(struct telling *t, const struct weir_answer_block *block)
{
    struct weir_event e = { .size = sizeof(e), .kind = WEIR_EVENT_BLOCK_START, .block = block->block };
    bool is_own = weir_eq(block->dialect, RESPONSES_DIALECT);
    e.block_kind = (uint16_t)block->kind;
    e.id = block->id;
    e.name = block->name;
    e.dialect = block->dialect;
    if (block->kind == WEIR_BLOCK_OPAQUE)
        e.text = block->text;
    if (tell_block_start(t, &e) < 0)
        return -1;
    struct responses_told *b = responses_find_told(t->client, block->block);
    if (!b)
        return 0;
    b->signature_dialect = block->dialect;
    lose_foreign(t, block, is_own);
    if (b->kind != WEIR_BLOCK_OPAQUE && responses_rope_add(&t->o, &b->text, &block->text) < 0)
        return -1;
    if (take_list(t, &b->citations, block->citations, is_own) < 0 ||
        take_list(t, &b->logprobs, block->logprobs, is_probable(t, block)) < 0 ||
        responses_rope_add(&t->o, &b->signature, &block->signature) < 0)
        return -1;
    e.kind = WEIR_EVENT_BLOCK_STOP;
    tell_block_stop(t, &e);
    return 0;
}

int responses_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                            struct weir_out *out)
{
    struct telling t = { responses_begin(self, call), state, out, false, false };
    const struct weir_conversation *c = t.o.host->conversation(call);
    const struct weir_answer_choice *choice = answer->n_choices ? &answer->choices[0] : NULL;
    if (c && c->operation == WEIR_OP_COUNT)
        return encode_count(&t, answer);
    t.client->told = t.client->last_told = t.client->message = NULL;
    t.client->n_items = 0;
    if (start(&t, answer->id, answer->model, answer->created_s) < 0)
        return -1;
    t.client->usage = answer->usage;
    t.client->has_finish = true;
    t.client->finish = choice ? (uint16_t)choice->finish : 0;
    t.client->status = responses_status_of(t.client->finish, choice ? choice->native : WEIR_NONE);
    t.is_silent = true; /* the ladder is climbed for what it leaves behind */
    for (const struct weir_answer_block *b = answer->blocks; b; b = b->next)
        if (!b->choice && take_block(&t, b) < 0)
            return -1;
    close_message(&t, strcmp(t.client->status, "incomplete") == 0);
    t.is_silent = false;
    lose_finish(&t);
    responses_put_response(&t, t.client->status, NULL);
    return 0;
}
