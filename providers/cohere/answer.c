/* Events become the client's stream. What it was told so far is remembered in the request's state, also for events that went out as
 * the provider's own bytes (SILENT), so that the encoder can take over. */
#include "cohere.h"

struct telling {
    struct cohere o;
    struct cohere_client *client;
    struct weir_out *out;
    bool is_silent;
};

static void put(struct telling *t, struct weir_str bytes)
{
    t->o.host->write(t->out, bytes);
}

static void put_index(struct telling *t, uint32_t index)
{
    t->o.json->put_int(t->out, index);
}

static int tell_start(struct telling *t, const struct weir_event *e)
{
    t->client->id = t->o.host->keep(t->o.call, e->id.n ? e->id : t->o.host->new_id(t->o.call, "msg_"));
    t->client->usage = WEIR_USAGE_UNKNOWN;
    if (t->is_silent)
        return 0;
    put(t, WEIR_LIT("event: message-start\ndata: {\"id\":"));
    t->o.json->put_str(t->out, t->client->id);
    put(t, WEIR_LIT(",\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],"
                    "\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}\n\n"));
    return 0;
}

/* ---- blocks ---- */

static struct cohere_told *told(struct telling *t, uint32_t block)
{
    struct cohere_told *b = t->client->blocks;
    while (b && b->block != block)
        b = b->next;
    return b;
}

static bool is_words(uint32_t kind)
{
    return kind == WEIR_BLOCK_TEXT || kind == WEIR_BLOCK_THINKING || kind == WEIR_BLOCK_REFUSAL;
}

static int begin_block(struct telling *t, const struct weir_event *e)
{
    if (!is_words(e->block_kind) && e->block_kind != WEIR_BLOCK_TOOL_CALL)
        return 0;
    struct cohere_told *b = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*b));
    if (!b)
        return -1;
    *b = (struct cohere_told){ .next = t->client->blocks, .block = e->block, .kind = e->block_kind };
    b->is_plan = weir_eq(e->dialect, COHERE_DIALECT) && weir_eq(e->name, COHERE_PLAN);
    t->client->blocks = b;
    if (e->block_kind == WEIR_BLOCK_THINKING && t->client->thought.signature.n) {
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of the last thought only");
        t->client->thought = (struct cohere_signed){ WEIR_NONE, WEIR_NONE };
    }
    if (e->block_kind != WEIR_BLOCK_TOOL_CALL)
        return 0;
    b->index = t->client->n_calls++;
    b->id = t->o.host->keep(t->o.call, e->id);
    b->name = t->o.host->keep(t->o.call, e->name);
    return 0;
}

/* ---- calls ---- */

static void put_arguments(struct telling *t, const struct cohere_told *b, const struct weir_text *text)
{
    put(t, WEIR_LIT("event: tool-call-delta\ndata: {\"type\":\"tool-call-delta\",\"index\":"));
    put_index(t, b->index);
    put(t, WEIR_LIT(",\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":"));
    t->o.json->put_text(t->out, text);
    put(t, WEIR_LIT("}}}}}\n\n"));
}

static void begin_call(struct telling *t, struct cohere_told *b)
{
    const struct weir_json_api *j = t->o.json;
    const struct weir_text first = weir_plain(b->first);
    if (b->is_begun)
        return;
    b->is_begun = true;
    put(t, WEIR_LIT("event: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":"));
    put_index(t, b->index);
    put(t, WEIR_LIT(",\"delta\":{\"message\":{\"tool_calls\":{\"id\":"));
    j->put_str(t->out, cohere_mark_id(&t->o, b->id, &t->client->thought, &b->mark));
    put(t, WEIR_LIT(",\"type\":\"function\",\"function\":{\"name\":"));
    j->put_str(t->out, b->name);
    put(t, WEIR_LIT(",\"arguments\":\"\"}}}}}\n\n"));
    t->client->thought = (struct cohere_signed){ WEIR_NONE, WEIR_NONE };
    if (first.n)
        put_arguments(t, b, &first);
}

static void tell_arguments(struct telling *t, struct cohere_told *b, const struct weir_text *text)
{
    bool is_first = !b->has_arguments;
    b->has_arguments = true;
    if (t->is_silent) {
        b->is_begun = true;
    } else if (is_first && !b->is_begun) {
        b->first = t->o.host->keep(t->o.call, t->o.host->text(t->o.call, text));
    } else {
        begin_call(t, b);
        put_arguments(t, b, text);
    }
}

/* Pieces of a signature belong together. */
static void keep_signature(struct telling *t, struct cohere_signed *s, const struct weir_event *e)
{
    const struct weir_host *h = t->o.host;
    struct weir_str more = h->text(t->o.call, &e->text);
    s->signature = h->keep(t->o.call, h->format(t->o.call, "%.*s%.*s", (int)s->signature.n,
                                                s->signature.n ? s->signature.p : "", (int)more.n, more.p));
    s->dialect = h->keep(t->o.call, e->dialect);
}

/* What nobody can carry is lost: of a text, of a call that was begun, of a thought that a second one follows. */
static void tell_signature(struct telling *t, struct cohere_told *b, const struct weir_event *e)
{
    if (t->is_silent || weir_eq(e->dialect, COHERE_DIALECT))
        return;
    if (b->kind == WEIR_BLOCK_TOOL_CALL && !b->is_begun)
        keep_signature(t, &b->mark, e);
    else if (b->kind == WEIR_BLOCK_THINKING)
        keep_signature(t, &t->client->thought, e);
    else
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "no call carries it");
}

/* ---- words ---- */

/* A content begins with its first word: what is empty has no place in the list. */
static void begin_content(struct telling *t, struct cohere_told *b)
{
    if (b->is_begun)
        return;
    b->is_begun = true;
    b->index = t->client->n_contents++;
    if (t->is_silent)
        return;
    put(t, WEIR_LIT("event: content-start\ndata: {\"type\":\"content-start\",\"index\":"));
    put_index(t, b->index);
    put(t, b->kind == WEIR_BLOCK_THINKING
               ? WEIR_LIT(",\"delta\":{\"message\":{\"content\":{\"type\":\"thinking\",\"thinking\":\"\"}}}}\n\n")
               : WEIR_LIT(",\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n"));
}

static void put_plan(struct telling *t, const struct weir_text *text)
{
    if (t->is_silent)
        return;
    put(t,
        WEIR_LIT("event: tool-plan-delta\ndata: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":"));
    t->o.json->put_text(t->out, text);
    put(t, WEIR_LIT("}}}\n\n"));
}

/* `…"content":{"text":` and so on, up to the text itself. */
static void put_content_head(struct telling *t, const struct cohere_told *b)
{
    put(t, WEIR_LIT("event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":"));
    put_index(t, b->index);
    put(t, b->kind == WEIR_BLOCK_THINKING ? WEIR_LIT(",\"delta\":{\"message\":{\"content\":{\"thinking\":")
                                          : WEIR_LIT(",\"delta\":{\"message\":{\"content\":{\"text\":"));
}

static void put_words(struct telling *t, struct cohere_told *b, const struct weir_text *text)
{
    if (b->is_plan) {
        put_plan(t, text);
        return;
    }
    begin_content(t, b);
    if (t->is_silent)
        return;
    put_content_head(t, b);
    t->o.json->put_text(t->out, text);
    put(t, WEIR_LIT("}}}}\n\n"));
}

/* ---- what only this dialect has ---- */

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

static void put_citation(struct telling *t, const struct weir_event *e)
{
    uint32_t index = t->client->n_citations++;
    if (t->is_silent)
        return;
    put(t, WEIR_LIT("event: citation-start\ndata: {\"type\":\"citation-start\",\"index\":"));
    put_index(t, index);
    put(t, WEIR_LIT(",\"delta\":{\"message\":{\"citations\":"));
    put_raw_line(t, e->text);
    put(t, WEIR_LIT("}}}\n\nevent: citation-end\ndata: {\"type\":\"citation-end\",\"index\":"));
    put_index(t, index);
    put(t, WEIR_LIT("}\n\n"));
}

static void put_logprobs(struct telling *t, struct cohere_told *b, const struct weir_event *e)
{
    begin_content(t, b);
    if (t->is_silent)
        return;
    put_content_head(t, b);
    put(t, WEIR_LIT("\"\"}}},\"logprobs\":"));
    put_raw_line(t, e->text);
    put(t, WEIR_LIT("}\n\n"));
}

static void tell_own(struct telling *t, struct cohere_told *b, const struct weir_event *e)
{
    bool is_citation = e->delta_kind == WEIR_DELTA_CITATION;
    if (!weir_eq(e->dialect, COHERE_DIALECT)) {
        if (is_citation || e->delta_kind == WEIR_DELTA_LOGPROBS)
            t->o.host->lose(t->o.call, is_citation ? WEIR_FEATURE_ANSWER_CITATIONS : WEIR_FEATURE_ANSWER_LOGPROBS,
                            WEIR_LOSS_DROPPED, "of another dialect");
    } else if (is_citation) {
        put_citation(t, e);
    } else if (e->delta_kind == WEIR_DELTA_LOGPROBS && !b->is_plan) {
        put_logprobs(t, b, e);
    }
}

static void tell_delta(struct telling *t, struct cohere_told *b, const struct weir_event *e)
{
    if (!e->text.n)
        return;
    if (e->delta_kind == WEIR_DELTA_SIGNATURE)
        tell_signature(t, b, e);
    else if (b->kind == WEIR_BLOCK_TOOL_CALL && e->delta_kind == WEIR_DELTA_ARGUMENTS)
        tell_arguments(t, b, &e->text);
    else if (is_words(b->kind) && e->delta_kind == WEIR_DELTA_TEXT)
        put_words(t, b, &e->text);
    else if (is_words(b->kind))
        tell_own(t, b, e);
}

/* A call without arguments has "{}": clients parse what they get. */
static void end_block(struct telling *t, struct cohere_told *b)
{
    const struct weir_text none = WEIR_TEXT("{}");
    bool is_call = b->kind == WEIR_BLOCK_TOOL_CALL;
    if (t->is_silent || (!is_call && !b->is_begun))
        return;
    if (is_call)
        begin_call(t, b);
    if (is_call && !b->has_arguments)
        put_arguments(t, b, &none);
    put(t, is_call ? WEIR_LIT("event: tool-call-end\ndata: {\"type\":\"tool-call-end\",\"index\":")
                   : WEIR_LIT("event: content-end\ndata: {\"type\":\"content-end\",\"index\":"));
    put_index(t, b->index);
    put(t, WEIR_LIT("}\n\n"));
}

static int tell_block(struct telling *t, const struct weir_event *e)
{
    if (e->choice > 0) /* there is no other: the host tells the loss */
        return 0;
    if (e->kind == WEIR_EVENT_BLOCK_START)
        return begin_block(t, e);
    struct cohere_told *b = told(t, e->block);
    if (b && e->kind == WEIR_EVENT_DELTA)
        tell_delta(t, b, e);
    else if (b)
        end_block(t, b);
    return 0;
}

/* ---- the end ---- */

/* Usage is told in pieces, and what isn't said again still holds. */
static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    int64_t *const into[] = { &to->input, &to->output, &to->cached_read, &to->reasoning };
    const int64_t said[] = { from->input, from->output, from->cached_read, from->reasoning };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
        if (said[i] >= 0)
            *into[i] = said[i];
}

static void put_end(struct telling *t, struct weir_str reason, const struct weir_error *error)
{
    const struct weir_json_api *j = t->o.json;
    put(t, WEIR_LIT("event: message-end\ndata: {\"type\":\"message-end\",\"id\":"));
    j->put_str(t->out, t->client->id);
    put(t, WEIR_LIT(",\"delta\":{\"finish_reason\":"));
    j->put_str(t->out, reason);
    if (error) {
        put(t, WEIR_LIT(",\"error\":"));
        j->put_str(t->out, error->message);
    }
    if (t->client->usage.input >= 0 || t->client->usage.output >= 0) {
        put(t, WEIR_LIT(",\"usage\":"));
        cohere_put_usage(&t->o, t->out, &t->client->usage);
    }
    put(t, WEIR_LIT("}}\n\n"));
}

static void tell_end(struct telling *t, const struct weir_error *error)
{
    struct cohere_client *s = t->client;
    if (s->is_done || t->is_silent) {
        s->is_done = true;
        return;
    }
    s->is_done = true;
    if (s->thought.signature.n)
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "no call carries it");
    put_end(t, error ? WEIR_LIT("ERROR") : weir_cstr(cohere_finish_word(&t->o, s->finish, s->n_calls > 0)), error);
}

static void tell_finish(struct telling *t, const struct weir_event *e)
{
    if (e->choice > 0)
        return;
    t->client->finish = e->finish;
    if (e->finish == WEIR_FINISH_STOP_SEQUENCE && e->text.n)
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_STOP_SEQUENCE, WEIR_LOSS_DROPPED, "which one it was");
}

int cohere_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out)
{
    struct telling t = { cohere_begin(self, call), state, out, (event->flags & WEIR_EVENT_SILENT) != 0 };
    if (event->kind == WEIR_EVENT_START && tell_start(&t, event) < 0)
        return -1;
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    switch (event->kind) {
    case WEIR_EVENT_BLOCK_START:
    case WEIR_EVENT_DELTA:
    case WEIR_EVENT_BLOCK_STOP:
        return tell_block(&t, event);
    case WEIR_EVENT_FINISH:
        tell_finish(&t, event);
        return 0;
    case WEIR_EVENT_END:
        tell_end(&t, NULL);
        return 0;
    case WEIR_EVENT_ERROR:
        if (event->error)
            tell_end(&t, event->error);
        return 0;
    case WEIR_EVENT_PING:
        if (!t.is_silent)
            put(&t, WEIR_LIT(": ping\n\n"));
        return 0;
    default:
        return 0;
    }
}
