/* Events become the client's stream. One block at a time grows; what comes for others meanwhile waits in the request's memory. What
 * a stream has said so far is remembered in the request's state, also for events that went out as the provider's own bytes
 * (SILENT), so that the encoder can take over. */
#include "bedrock.h"

struct telling {
    struct bedrock o;
    struct bedrock_client *client;
    struct weir_out *out;
    bool is_silent;
};

/* Where a message's payload is written; NULL: nothing is to be said. */
static struct weir_out *payload(struct telling *t)
{
    struct weir_out *p = t->is_silent ? NULL : t->o.host->out(t->o.call);
    if (p)
        t->o.json->object_begin(p);
    return p;
}

static void send(struct telling *t, const char *name, struct weir_out *p)
{
    t->o.json->object_end(p);
    bedrock_put_message(&t->o, t->out, "event", name, t->o.host->out_bytes(p));
}

static void put_index(struct telling *t, struct weir_out *p)
{
    t->o.json->key(p, "contentBlockIndex");
    t->o.json->put_int(p, t->client->n_told - 1);
}

/* ---- blocks ---- */

static void put_inner(struct telling *t, struct weir_out *p, const char *outer, const char *inner,
                      const struct weir_text *text)
{
    const struct weir_json_api *j = t->o.json;
    j->key(p, outer);
    j->object_begin(p);
    j->key(p, inner);
    j->put_text(p, text);
    j->object_end(p);
}

static void put_delta(struct telling *t, const struct bedrock_told *b, uint16_t kind, const struct weir_text *text)
{
    const struct weir_json_api *j = t->o.json;
    struct weir_out *p = payload(t);
    if (!p)
        return;
    put_index(t, p);
    j->key(p, "delta");
    if (kind == WEIR_DELTA_EXT) {
        j->put_text_raw(p, text);
        send(t, "contentBlockDelta", p);
        return;
    }
    j->object_begin(p);
    if (kind == WEIR_DELTA_ARGUMENTS) {
        put_inner(t, p, "toolUse", "input", text);
    } else if (b->kind == WEIR_BLOCK_THINKING) {
        put_inner(t, p, "reasoningContent", kind == WEIR_DELTA_SIGNATURE ? "signature" : "text", text);
    } else if (kind == WEIR_DELTA_CITATION) {
        j->key(p, "citation");
        j->put_text_raw(p, text);
    } else {
        j->key(p, "text");
        j->put_text(p, text);
    }
    j->object_end(p);
    send(t, "contentBlockDelta", p);
}

/* Only calls, and what nobody else knows, announce themselves; thoughts that only the provider can read begin with a piece. */
static void put_block_start(struct telling *t, struct bedrock_told *b)
{
    static const char thoughts[] = "{\"reasoningContent\"";
    const struct weir_json_api *j = t->o.json;
    if (b->has_begun)
        return;
    b->has_begun = true;
    t->client->n_told++;
    bool is_call = b->kind == WEIR_BLOCK_TOOL_CALL;
    if (b->raw.n >= sizeof(thoughts) && memcmp(b->raw.p, thoughts, sizeof(thoughts) - 1) == 0) {
        put_delta(t, b, WEIR_DELTA_EXT, &b->raw);
        return;
    }
    struct weir_out *p = is_call || b->kind == WEIR_BLOCK_OPAQUE ? payload(t) : NULL;
    if (!p)
        return;
    put_index(t, p);
    j->key(p, "start");
    if (!is_call) {
        j->put_text_raw(p, &b->raw);
        send(t, "contentBlockStart", p);
        return;
    }
    j->object_begin(p);
    j->key(p, "toolUse");
    j->object_begin(p);
    j->key(p, "toolUseId");
    j->put_str(p, b->id.n ? b->id : t->o.host->new_id(t->o.call, "tooluse_"));
    j->key(p, "name");
    j->put_str(p, b->name);
    j->object_end(p);
    j->object_end(p);
    send(t, "contentBlockStart", p);
}

static void put_block_stop(struct telling *t)
{
    struct weir_out *p = payload(t);
    if (!p)
        return;
    put_index(t, p);
    send(t, "contentBlockStop", p);
}

static struct bedrock_told *told(struct bedrock_client *s, uint32_t block)
{
    struct bedrock_told *b = s->open;
    while (b && b->block != block)
        b = b->next;
    return b;
}

/* What the dialect has no place for stays unsaid, and the host tells the loss. */
static bool is_hidden(const struct weir_event *e)
{
    switch (e->block_kind) {
    case WEIR_BLOCK_TEXT:
    case WEIR_BLOCK_THINKING:
    case WEIR_BLOCK_REFUSAL:
    case WEIR_BLOCK_TOOL_CALL:
        return false;
    default:
        return e->block_kind != WEIR_BLOCK_OPAQUE || !weir_eq(e->dialect, BEDROCK_DIALECT);
    }
}

static int tell_block_start(struct telling *t, const struct weir_event *e)
{
    struct bedrock_client *s = t->client;
    const struct weir_host *h = t->o.host;
    if (is_hidden(e))
        return 0;
    struct bedrock_told *b = h->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*b));
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
    if (s->open == b && b->kind != WEIR_BLOCK_TOOL_CALL) /* a call's id may still get a signature */
        put_block_start(t, b);
    return 0;
}

static int keep_piece(struct telling *t, struct bedrock_told *b, const struct weir_event *e)
{
    struct bedrock_piece *piece = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*piece));
    struct weir_str kept = piece ? t->o.host->keep(t->o.call, (struct weir_str){ e->text.p, e->text.n }) : WEIR_NONE;
    if (!kept.p)
        return -1;
    piece->delta_kind = e->delta_kind;
    piece->text = (struct weir_text){ kept.p, (uint32_t)kept.n, e->text.form };
    *(b->pieces ? &b->last_piece->next : &b->pieces) = piece;
    b->last_piece = piece;
    return 0;
}

static bool can_say(const struct bedrock_told *b, const struct weir_event *e)
{
    bool is_own = weir_eq(e->dialect, BEDROCK_DIALECT);
    bool is_signable = b->kind == WEIR_BLOCK_THINKING || b->kind == WEIR_BLOCK_TOOL_CALL;
    switch (e->delta_kind) {
    case WEIR_DELTA_TEXT:
        return b->kind != WEIR_BLOCK_TOOL_CALL && b->kind != WEIR_BLOCK_OPAQUE;
    case WEIR_DELTA_ARGUMENTS:
        return b->kind == WEIR_BLOCK_TOOL_CALL;
    case WEIR_DELTA_SIGNATURE:
        return is_signable;
    case WEIR_DELTA_CITATION:
        return is_own && b->kind == WEIR_BLOCK_TEXT;
    case WEIR_DELTA_EXT:
        return is_own && b->kind == WEIR_BLOCK_OPAQUE;
    default:
        return false;
    }
}

/* Signatures of texts, and citations of others, are the only pieces that get lost one by one. */
static void tell_lost(struct telling *t, const struct weir_event *e)
{
    if (e->delta_kind == WEIR_DELTA_SIGNATURE)
        bedrock_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED,
                     "of a text: its block has no place for it");
    else if (e->delta_kind == WEIR_DELTA_CITATION)
        bedrock_lose(&t->o, WEIR_FEATURE_ANSWER_CITATIONS, WEIR_LOSS_DROPPED, "of another provider");
}

static int mark_call(struct telling *t, struct bedrock_told *b, const struct weir_event *e)
{
    if (b->has_begun) {
        bedrock_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "it came behind its call's id");
        return 0;
    }
    struct weir_str id = b->id.n ? b->id : t->o.host->new_id(t->o.call, "tooluse_");
    b->id = bedrock_marked_id(&t->o, id, t->o.host->text(t->o.call, &e->text), e->dialect);
    return b->id.p ? 0 : -1;
}

static int tell_delta(struct telling *t, const struct weir_event *e)
{
    struct bedrock_client *s = t->client;
    struct bedrock_told *b = told(s, e->block);
    if (!b || !e->text.n)
        return 0;
    if (!can_say(b, e)) {
        tell_lost(t, e);
        return 0;
    }
    struct weir_event own = *e;
    if (e->delta_kind == WEIR_DELTA_SIGNATURE && !t->is_silent) {
        if (b->kind == WEIR_BLOCK_TOOL_CALL)
            return mark_call(t, b, e);
        own.text = weir_plain(bedrock_carried(&t->o, t->o.host->text(t->o.call, &e->text), e->dialect));
    }
    if (b != s->open)
        return keep_piece(t, b, &own);
    put_block_start(t, b);
    put_delta(t, b, own.delta_kind, &own.text);
    return 0;
}

/* The first block has stopped: those behind it say what they have, up to the first that goes on. */
static void advance(struct telling *t)
{
    struct bedrock_client *s = t->client;
    while (s->open && s->open->has_stopped) {
        put_block_start(t, s->open);
        put_block_stop(t);
        s->open = s->open->next;
        if (!s->open)
            return;
        if (s->open->kind != WEIR_BLOCK_TOOL_CALL || s->open->pieces)
            put_block_start(t, s->open);
        for (struct bedrock_piece *p = s->open->pieces; p; p = p->next)
            put_delta(t, s->open, p->delta_kind, &p->text);
        s->open->pieces = NULL;
    }
}

static void tell_block_stop(struct telling *t, const struct weir_event *e)
{
    struct bedrock_told *b = told(t->client, e->block);
    if (!b)
        return;
    b->has_stopped = true;
    advance(t);
}

/* ---- start and end ---- */

static void tell_start(struct telling *t)
{
    struct weir_out *p = payload(t);
    if (!p)
        return;
    bedrock_put_member(&t->o, p, "role", "assistant");
    send(t, "messageStart", p);
}

static void tell_finish(struct telling *t, uint32_t finish, const struct weir_text *sequence)
{
    for (struct bedrock_told *b = t->client->open; b; b = b->next)
        b->has_stopped = true;
    advance(t);
    t->client->has_stopped = true;
    struct weir_out *p = payload(t);
    if (!p)
        return;
    bedrock_put_stop(&t->o, p, finish, sequence);
    send(t, "messageStop", p);
}

/* What it cost comes last. */
static void tell_end(struct telling *t)
{
    if (!t->client->has_stopped)
        tell_finish(t, WEIR_FINISH_STOP, NULL);
    struct weir_out *p = payload(t);
    if (!p)
        return;
    bedrock_put_usage(&t->o, p, &t->client->usage);
    bedrock_put_metrics(&t->o, p);
    send(t, "metadata", p);
}

static void tell_error(struct telling *t, const struct weir_error *error)
{
    struct weir_out *p = error ? payload(t) : NULL;
    if (!p)
        return;
    t->o.json->key(p, "message");
    t->o.json->put_str(p, error->message);
    t->o.json->object_end(p);
    bedrock_put_message(&t->o, t->out, "exception", bedrock_exception_of(error), t->o.host->out_bytes(p));
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

int bedrock_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                         struct weir_out *out)
{
    struct telling t = { bedrock_begin(self, call), state, out, (event->flags & WEIR_EVENT_SILENT) != 0 };
    if (!t.client->usage.size)
        t.client->usage = WEIR_USAGE_UNKNOWN;
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    if (event->choice) /* the dialect has one */
        return 0;
    switch (event->kind) {
    case WEIR_EVENT_START:
        tell_start(&t);
        return 0;
    case WEIR_EVENT_BLOCK_START:
        return tell_block_start(&t, event);
    case WEIR_EVENT_DELTA:
        return tell_delta(&t, event);
    case WEIR_EVENT_BLOCK_STOP:
        tell_block_stop(&t, event);
        return 0;
    case WEIR_EVENT_FINISH:
        tell_finish(&t, event->finish, &event->text);
        return 0;
    case WEIR_EVENT_END:
        tell_end(&t);
        return 0;
    case WEIR_EVENT_ERROR:
        tell_error(&t, event->error);
        return 0;
    default: /* USAGE was taken; the dialect has no keep-alive */
        return 0;
    }
}
