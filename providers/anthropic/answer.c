/* Events become the client's answer: the ladder of a stream, or one document. In this dialect one block at a time is open; what
 * comes for others meanwhile waits in the request's memory. What a stream has said so far is remembered in the request's
 * state, also for events that went out as the provider's own bytes (SILENT), so that the encoder can take over. */
#include "anthropic.h"

struct telling {
    struct anthropic o;
    struct anthropic_client *client;
    struct weir_out *out;
    bool is_silent;
};

static void put(struct telling *t, struct weir_str bytes)
{
    if (!t->is_silent)
        t->o.host->write(t->out, bytes);
}

static void put_str(struct telling *t, struct weir_str s)
{
    if (!t->is_silent)
        t->o.json->put_str(t->out, s);
}

static void put_text(struct telling *t, const struct weir_text *text)
{
    if (!t->is_silent)
        t->o.json->put_text(t->out, text);
}

static void put_int(struct telling *t, int64_t n)
{
    if (!t->is_silent)
        t->o.json->put_int(t->out, n > 0 ? n : 0);
}

/* Raw JSON in one line, as a stream demands: its line ends are only white space. */
static void put_raw_line(struct telling *t, struct weir_text raw)
{
    while (raw.n) {
        uint32_t n = 0;
        while (n < raw.n && raw.p[n] != '\n' && raw.p[n] != '\r')
            n++;
        put(t, (struct weir_str){ raw.p, n });
        n += n < raw.n;
        raw.p += n;
        raw.n -= n;
    }
}

/* ---- usage ---- */

/* Usage is told in pieces, and what isn't said again still holds. */
static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    int64_t *const into[] = { &to->input, &to->output, &to->cached_read, &to->cached_write, &to->reasoning };
    const int64_t said[] = { from->input, from->output, from->cached_read, from->cached_write, from->reasoning };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
        if (said[i] >= 0)
            *into[i] = said[i];
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

static void put_usage(struct telling *t, const struct weir_usage *u)
{
    put(t, WEIR_LIT("{\"input_tokens\":"));
    put_int(t, known(u->input) - known(u->cached_read) - known(u->cached_write));
    put(t, WEIR_LIT(",\"cache_creation_input_tokens\":"));
    put_int(t, u->cached_write);
    put(t, WEIR_LIT(",\"cache_read_input_tokens\":"));
    put_int(t, u->cached_read);
    put(t, WEIR_LIT(",\"output_tokens\":"));
    put_int(t, u->output);
    if (u->reasoning >= 0) {
        put(t, WEIR_LIT(",\"output_tokens_details\":{\"thinking_tokens\":"));
        put_int(t, u->reasoning);
        put(t, WEIR_LIT("}"));
    }
    put(t, WEIR_LIT("}"));
}

/* ---- blocks ---- */

static void put_index(struct telling *t, struct weir_str head)
{
    put(t, head);
    put_int(t, t->client->n_told - 1);
}

static void put_block_head(struct telling *t, const struct anthropic_told *b)
{
    switch (b->kind) {
    case WEIR_BLOCK_THINKING:
        put(t, WEIR_LIT("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"));
        break;
    case WEIR_BLOCK_TOOL_CALL:
        put(t, WEIR_LIT("{\"type\":\"tool_use\",\"id\":"));
        put_str(t, b->id.n ? b->id : t->o.host->new_id(t->o.call, "toolu_"));
        put(t, WEIR_LIT(",\"name\":"));
        put_str(t, b->name);
        put(t, WEIR_LIT(",\"input\":{}}"));
        break;
    case WEIR_BLOCK_OPAQUE:
        put_raw_line(t, b->raw);
        break;
    default:
        put(t, WEIR_LIT("{\"type\":\"text\",\"text\":\"\"}"));
    }
}

static void put_block_start(struct telling *t, struct anthropic_told *b)
{
    if (b->has_begun)
        return;
    b->has_begun = true;
    t->client->n_told++;
    put_index(t, WEIR_LIT("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"));
    put(t, WEIR_LIT(",\"content_block\":"));
    put_block_head(t, b);
    put(t, WEIR_LIT("}\n\n"));
}

static void put_delta(struct telling *t, const struct anthropic_told *b, uint16_t kind, struct weir_text text)
{
    bool is_thinking = b->kind == WEIR_BLOCK_THINKING;
    put_index(t, WEIR_LIT("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"));
    put(t, WEIR_LIT(",\"delta\":"));
    switch (kind) {
    case WEIR_DELTA_ARGUMENTS:
        put(t, WEIR_LIT("{\"type\":\"input_json_delta\",\"partial_json\":"));
        put_text(t, &text);
        break;
    case WEIR_DELTA_SIGNATURE:
        put(t, WEIR_LIT("{\"type\":\"signature_delta\",\"signature\":"));
        put_text(t, &text);
        break;
    case WEIR_DELTA_CITATION:
        put(t, WEIR_LIT("{\"type\":\"citations_delta\",\"citation\":"));
        put_raw_line(t, text);
        break;
    case WEIR_DELTA_EXT:
        put_raw_line(t, text);
        put(t, WEIR_LIT("}\n\n"));
        return;
    default:
        put(t, is_thinking ? WEIR_LIT("{\"type\":\"thinking_delta\",\"thinking\":")
                           : WEIR_LIT("{\"type\":\"text_delta\",\"text\":"));
        put_text(t, &text);
    }
    put(t, WEIR_LIT("}}\n\n"));
}

static void put_block_stop(struct telling *t)
{
    put_index(t, WEIR_LIT("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"));
    put(t, WEIR_LIT("}\n\n"));
}

static struct anthropic_told *told(struct anthropic_client *s, uint32_t block)
{
    struct anthropic_told *b = s->open;
    while (b && b->block != block)
        b = b->next;
    return b;
}

/* What the dialect has no place for stays unsaid. */
static bool is_hidden(const struct weir_event *e)
{
    switch (e->block_kind) {
    case WEIR_BLOCK_TEXT:
    case WEIR_BLOCK_THINKING:
    case WEIR_BLOCK_REFUSAL:
    case WEIR_BLOCK_TOOL_CALL:
        return false;
    case WEIR_BLOCK_OPAQUE:
        return !weir_eq(e->dialect, ANTHROPIC_DIALECT);
    default:
        return true;
    }
}

static int tell_block_start(struct telling *t, const struct weir_event *e)
{
    struct anthropic_client *s = t->client;
    const struct weir_host *h = t->o.host;
    if (is_hidden(e))
        return 0;
    struct anthropic_told *b = h->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*b));
    if (!b)
        return -1;
    b->block = e->block;
    b->kind = e->block_kind;
    b->id = h->keep(t->o.call, e->id);
    b->name = h->keep(t->o.call, e->name);
    if (e->block_kind == WEIR_BLOCK_OPAQUE)
        b->raw = weir_plain(h->keep(t->o.call, h->text(t->o.call, &e->text)));
    if (s->open)
        s->last_open->next = b;
    else
        s->open = b;
    s->last_open = b;
    if (s->open == b && b->kind != WEIR_BLOCK_TOOL_CALL) /* a call's id may have to carry a signature, which comes next */
        put_block_start(t, b);
    return 0;
}

static int keep_piece(struct telling *t, struct anthropic_told *b, const struct weir_event *e)
{
    struct anthropic_piece *piece = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*piece));
    struct weir_str kept = piece ? t->o.host->keep(t->o.call, (struct weir_str){ e->text.p, e->text.n }) : WEIR_NONE;
    if (!kept.p)
        return -1;
    piece->delta_kind = e->delta_kind;
    piece->text = (struct weir_text){ kept.p, (uint32_t)kept.n, e->text.form };
    *(b->pieces ? &b->last_piece->next : &b->pieces) = piece;
    b->last_piece = piece;
    return 0;
}

static bool can_say(const struct anthropic_told *b, const struct weir_event *e)
{
    bool is_own = weir_eq(e->dialect, ANTHROPIC_DIALECT);
    switch (e->delta_kind) {
    case WEIR_DELTA_TEXT:
        return b->kind != WEIR_BLOCK_TOOL_CALL && b->kind != WEIR_BLOCK_OPAQUE;
    case WEIR_DELTA_ARGUMENTS:
        return b->kind == WEIR_BLOCK_TOOL_CALL;
    case WEIR_DELTA_SIGNATURE:
        return b->kind == WEIR_BLOCK_THINKING || b->kind == WEIR_BLOCK_TOOL_CALL;
    case WEIR_DELTA_CITATION:
    case WEIR_DELTA_EXT:
        return is_own;
    default:
        return false;
    }
}

static void lose_delta(struct telling *t, const struct weir_event *e)
{
    if (e->delta_kind == WEIR_DELTA_SIGNATURE && !t->is_silent)
        anthropic_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text: its block has no place for it");
}

static int mark_call(struct telling *t, struct anthropic_told *b, const struct weir_event *e)
{
    if (b->has_begun) {
        anthropic_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "it came behind its call's id");
        return 0;
    }
    struct weir_str id = b->id.n ? b->id : t->o.host->new_id(t->o.call, "toolu_");
    b->id = anthropic_marked_id(&t->o, id, t->o.host->text(t->o.call, &e->text), e->dialect);
    return b->id.p ? 0 : -1;
}

static int tell_delta(struct telling *t, const struct weir_event *e)
{
    struct anthropic_client *s = t->client;
    struct anthropic_told *b = told(s, e->block);
    if (!b || !e->text.n)
        return 0;
    if (!can_say(b, e)) {
        lose_delta(t, e);
        return 0;
    }
    struct weir_event own = *e;
    if (e->delta_kind == WEIR_DELTA_SIGNATURE && !t->is_silent) {
        if (b->kind == WEIR_BLOCK_TOOL_CALL)
            return mark_call(t, b, e);
        own.text = weir_plain(anthropic_wrapped(&t->o, t->o.host->text(t->o.call, &e->text), e->dialect));
    }
    if (b != s->open)
        return keep_piece(t, b, &own);
    put_block_start(t, b);
    put_delta(t, b, own.delta_kind, own.text);
    return 0;
}

/* The first block has stopped: those behind it say what they have, up to the first that goes on. */
static void advance(struct telling *t)
{
    struct anthropic_client *s = t->client;
    while (s->open && s->open->has_stopped) {
        put_block_start(t, s->open);
        put_block_stop(t);
        s->open = s->open->next;
        if (!s->open)
            return;
        if (s->open->pieces || s->open->kind != WEIR_BLOCK_TOOL_CALL)
            put_block_start(t, s->open);
        for (struct anthropic_piece *p = s->open->pieces; p; p = p->next)
            put_delta(t, s->open, p->delta_kind, p->text);
        s->open->pieces = NULL;
    }
}

static void tell_block_stop(struct telling *t, const struct weir_event *e)
{
    struct anthropic_told *b = told(t->client, e->block);
    if (!b)
        return;
    b->has_stopped = true;
    advance(t);
}

/* ---- start and end ---- */

static void tell_start(struct telling *t, const struct weir_event *e)
{
    t->client->has_started = true;
    put(t, WEIR_LIT("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"));
    put_str(t, e->id.n ? e->id : t->o.host->new_id(t->o.call, "msg_"));
    put(t, WEIR_LIT(",\"type\":\"message\",\"role\":\"assistant\",\"model\":"));
    put_str(t, e->name);
    put(t, WEIR_LIT(",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"));
    put_usage(t, &t->client->usage);
    put(t, WEIR_LIT("}}\n\n"));
}

static const char *stop_reason(uint32_t finish)
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
        return "refusal";
    case WEIR_FINISH_PAUSE:
        return "pause_turn";
    case WEIR_FINISH_CONTEXT_WINDOW:
        return "model_context_window_exceeded";
    default:
        return "end_turn";
    }
}

/* Of what the dialect has no word for. */
static void lose_finish(struct telling *t, uint32_t finish)
{
    if (finish == WEIR_FINISH_CONTENT_FILTER)
        anthropic_lose(&t->o, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "a filter as refusal");
    else if (finish == WEIR_FINISH_OTHER)
        anthropic_lose(&t->o, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "another reason as end_turn");
}

static void tell_finish(struct telling *t, const struct weir_event *e)
{
    struct anthropic_client *s = t->client;
    s->has_finish = true;
    s->finish = e->finish;
    s->was_finish_told = t->is_silent;
    if (!t->is_silent)
        lose_finish(t, e->finish);
    if (e->finish == WEIR_FINISH_STOP_SEQUENCE && e->text.n)
        s->stop_sequence = t->o.host->keep(t->o.call, t->o.host->text(t->o.call, &e->text));
}

static void put_message_delta(struct telling *t)
{
    struct anthropic_client *s = t->client;
    put(t, WEIR_LIT("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"));
    put_str(t, weir_cstr(stop_reason(s->finish)));
    put(t, WEIR_LIT(",\"stop_sequence\":"));
    if (s->stop_sequence.p)
        put_str(t, s->stop_sequence);
    else
        put(t, WEIR_LIT("null"));
    put(t, WEIR_LIT("},\"usage\":"));
    put_usage(t, &s->usage);
    put(t, WEIR_LIT("}\n\n"));
}

/* Reason and usage are one event, which comes when both are known. */
static void tell_end(struct telling *t)
{
    for (struct anthropic_told *b = t->client->open; b; b = b->next)
        b->has_stopped = true;
    advance(t);
    if (!t->client->was_finish_told)
        put_message_delta(t);
    put(t, WEIR_LIT("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

static void tell_error(struct telling *t, const struct weir_error *error)
{
    if (t->is_silent || !error)
        return;
    put(t, WEIR_LIT("event: error\ndata: "));
    anthropic_encode_error((void *)t->o.host, t->o.call, NULL, error, t->out);
    put(t, WEIR_LIT("\n\n"));
}

int anthropic_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                           struct weir_out *out)
{
    struct telling t = { anthropic_begin(self, call), state, out, (event->flags & WEIR_EVENT_SILENT) != 0 };
    if (!t.client->usage.size)
        t.client->usage = WEIR_USAGE_UNKNOWN;
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    if (event->choice) /* the dialect has one */
        return 0;
    switch (event->kind) {
    case WEIR_EVENT_START:
        tell_start(&t, event);
        return 0;
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
        put(&t, WEIR_LIT("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
        return 0;
    default:
        return 0;
    }
}

/* ---- whole answers ---- */

static void put_member(const struct weir_json_api *j, struct weir_out *out, const char *key, const char *value)
{
    j->key(out, key);
    j->put_str(out, weir_cstr(value));
}

static void put_input(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    j->key(t->out, "input");
    if (!b->text.n) {
        j->put_raw(t->out, WEIR_LIT("{}"));
    } else if (j->valid(t->o.call, &b->text, WEIR_JSON_OBJECT)) {
        j->put_text_raw(t->out, &b->text);
    } else { /* a model's slip; the client shall see it and not a parser's error */
        j->object_begin(t->out);
        j->key(t->out, "_raw");
        j->put_text(t->out, &b->text);
        j->object_end(t->out);
    }
}

static void put_tool_use(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    put_member(j, t->out, "type", "tool_use");
    struct weir_str id = b->id.n ? b->id : t->o.host->new_id(t->o.call, "toolu_");
    if (b->signature.n)
        id = anthropic_marked_id(&t->o, id, t->o.host->text(t->o.call, &b->signature), b->dialect);
    j->key(t->out, "id");
    j->put_str(t->out, id);
    j->key(t->out, "name");
    j->put_str(t->out, b->name);
    put_input(t, b);
}

static void put_text_block(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    if (b->signature.n)
        anthropic_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text: its block has no place for it");
    put_member(j, t->out, "type", "text");
    j->key(t->out, "text");
    j->put_text(t->out, &b->text);
    if (b->citations.n && weir_eq(b->dialect, ANTHROPIC_DIALECT)) {
        j->key(t->out, "citations");
        j->put_raw(t->out, b->citations);
    }
}

static void put_thinking_block(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    put_member(j, t->out, "type", "thinking");
    j->key(t->out, "thinking");
    j->put_text(t->out, &b->text);
    j->key(t->out, "signature");
    j->put_str(t->out, anthropic_wrapped(&t->o, t->o.host->text(t->o.call, &b->signature), b->dialect));
}

static void put_answer_block(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    bool is_text = b->kind == WEIR_BLOCK_TEXT || b->kind == WEIR_BLOCK_REFUSAL;
    if (b->choice)
        return;
    if (b->kind == WEIR_BLOCK_OPAQUE && weir_eq(b->dialect, ANTHROPIC_DIALECT)) {
        j->put_text_raw(t->out, &b->text);
        return;
    }
    if (!is_text && b->kind != WEIR_BLOCK_TOOL_CALL && b->kind != WEIR_BLOCK_THINKING)
        return;
    j->object_begin(t->out);
    if (b->kind == WEIR_BLOCK_TOOL_CALL)
        put_tool_use(t, b);
    else if (b->kind == WEIR_BLOCK_THINKING)
        put_thinking_block(t, b);
    else
        put_text_block(t, b);
    j->object_end(t->out);
}

static void put_ending(struct telling *t, const struct weir_answer *a)
{
    const struct weir_json_api *j = t->o.json;
    uint32_t finish = a->n_choices ? a->choices[0].finish : 0;
    put_member(j, t->out, "stop_reason", stop_reason(finish));
    lose_finish(t, finish);
    j->key(t->out, "stop_sequence");
    if (finish == WEIR_FINISH_STOP_SEQUENCE && a->choices[0].stop_sequence.n)
        j->put_text(t->out, &a->choices[0].stop_sequence);
    else
        j->put_null(t->out);
}

int anthropic_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                            struct weir_out *out)
{
    struct telling t = { anthropic_begin(self, call), state, out, false };
    const struct weir_json_api *j = t.o.json;
    if (anthropic_counts(&t.o))
        return anthropic_encode_count(&t.o, out, answer);
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, answer->id.n ? answer->id : t.o.host->new_id(call, "msg_"));
    put_member(j, out, "type", "message");
    put_member(j, out, "role", "assistant");
    j->key(out, "model");
    j->put_str(out, answer->model);
    j->key(out, "content");
    j->array_begin(out);
    for (const struct weir_answer_block *b = answer->blocks; b; b = b->next)
        put_answer_block(&t, b);
    j->array_end(out);
    put_ending(&t, answer);
    j->key(out, "usage");
    struct weir_out *usage = t.o.host->out(call);
    if (!usage)
        return -1;
    t.out = usage;
    put_usage(&t, &answer->usage);
    j->put_raw(out, t.o.host->out_bytes(usage));
    j->object_end(out);
    return 0;
}
