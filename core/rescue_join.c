/* Joining: the events of an attempt that finishes an answer become the answer's.
 *
 * Its first text goes through the aligner; its tool calls are compared with those that were sent; thoughts are left out, because
 * the client has seen others; what comes behind the joint is new and passes, with block numbers of the answer. Where it can't be
 * joined the attempt fails, and nothing of what could not be told apart has left.
 */
#include "host.h"
#include "rescue.h"
#include "text.h"

static struct transcript *sent_of(const struct attempt *b)
{
    return b->rescues->transcript;
}

/* ---- failing ---- */

static int refuse(struct attempt *b, const char *why)
{
    b->call.error = (struct weir_error){ .size = sizeof(struct weir_error), .error_class = WEIR_ERROR_UNSUPPORTED };
    b->call.error.message = arena_printf(b->arena, "%.*s: what it says can't be joined to what was sent: %s", (int)b->target->view.name.n,
                                         b->target->view.name.p, why);
    return -1;
}

/* ---- what leaves ---- */

static int leave(struct attempt *b, struct weir_event *e)
{
    e->size = sizeof(*e);
    return events_go_on(b->rescues, e) == 0 ? 0 : refuse(b, "it breaks the order of events");
}

static int leave_text(struct attempt *b, uint32_t block, uint16_t delta, struct weir_str text)
{
    struct weir_event e = { .kind = WEIR_EVENT_DELTA, .block = block, .delta_kind = delta, .text = weir_plain(text) };
    b->rescuer->n_joined += text.n;
    return text.n ? leave(b, &e) : 0;
}

static int leave_stop(struct attempt *b, uint32_t block)
{
    struct weir_event e = { .kind = WEIR_EVENT_BLOCK_STOP, .block = block };
    return leave(b, &e);
}

/* Blocks of this kind that are open are complete. */
static int close_open(struct attempt *b, uint16_t kind)
{
    for (struct transcript_block *t = sent_of(b)->first; t; t = t->next)
        if (t->kind == kind && t->is_open && leave_stop(b, t->block) < 0)
            return -1;
    return 0;
}

static int begin_new(struct attempt *b, struct joined_block *j, uint16_t kind)
{
    struct weir_event e = { .kind = WEIR_EVENT_BLOCK_START, .block_kind = kind, .id = j->id, .name = j->name };
    j->to = e.block = sent_of(b)->next_block;
    j->is_begun = true;
    return leave(b, &e);
}

/* ---- blocks ---- */

static struct joined_block *find(const struct attempt *b, uint32_t block)
{
    for (struct joined_block *j = b->rescuer->blocks; j; j = j->next)
        if (j->block == block)
            return j;
    return NULL;
}

void rescuer_free(struct rescuer *x)
{
    align_free(&x->align);
    for (struct joined_block *j = x->blocks; j; j = j->next)
        out_free(&j->whole);
}

/* The text that was sent, if it may still grow; its block may have been closed: then what is new begins one. */
static void find_open_text(const struct attempt *b, struct joined_block *j)
{
    for (const struct transcript_block *t = sent_of(b)->first; t; t = t->next)
        if (t->kind == WEIR_BLOCK_TEXT && t->is_open) {
            j->to = t->block;
            j->is_begun = true;
        }
}

static enum block_fate fate_of(const struct attempt *b, uint16_t kind)
{
    const struct rescuer *x = b->rescuer;
    bool is_text = kind == WEIR_BLOCK_TEXT;
    if (kind == WEIR_BLOCK_THINKING)
        return FATE_DROP;
    if (x->what == RESCUE_CALLS && is_text && x->next_call)
        return FATE_DROP; /* words about the calls */
    if (x->what == RESCUE_CALLS && x->next_call)
        return FATE_CALL;
    if ((x->what == RESCUE_TEXT || x->what == RESCUE_JSON) && is_text && !x->has_text)
        return FATE_JOIN;
    return FATE_PASS;
}

/* The text that was sent is over, and this attempt has said nothing more of it. */
static int end_text(struct attempt *b, bool has_finished)
{
    struct rescuer *x = b->rescuer;
    struct weir_str now;
    if (x->has_text || (x->what != RESCUE_TEXT && x->what != RESCUE_JSON))
        return 0;
    x->has_text = true;
    if (x->what == RESCUE_JSON) {
        if (!json_valid(b->arena, x->sent, 0))
            return refuse(b, "it does not finish the document");
    } else if (has_finished && align_end(&x->align, &now) == ALIGN_GAVE_UP) {
        return refuse(b, x->align.why);
    } else if (!has_finished && x->sent.n && !strchr(".!?:\n", x->sent.p[x->sent.n - 1])) {
        return refuse(b, "it calls a tool where a sentence was not finished");
    }
    return close_open(b, WEIR_BLOCK_TEXT);
}

static int take_start(struct attempt *b, const struct weir_event *e)
{
    bool is_known = e->block_kind == WEIR_BLOCK_TEXT || e->block_kind == WEIR_BLOCK_THINKING || e->block_kind == WEIR_BLOCK_TOOL_CALL;
    struct joined_block *j = is_known && !e->choice ? arena_zalloc(b->arena, sizeof(*j)) : NULL;
    if (!j)
        return refuse(b, is_known && !e->choice ? "memory is short" : "it answers with something else than text and tool calls");
    j->block = e->block;
    j->id = arena_copy(b->arena, e->id);
    j->name = arena_copy(b->arena, e->name);
    j->fate = fate_of(b, e->block_kind);
    j->next = b->rescuer->blocks;
    b->rescuer->blocks = j;
    if (j->fate == FATE_JOIN) {
        b->rescuer->has_text = true;
        find_open_text(b, j);
    }
    if (j->fate != FATE_PASS)
        return 0;
    if (e->block_kind == WEIR_BLOCK_TOOL_CALL && (end_text(b, false) < 0 || close_open(b, WEIR_BLOCK_TEXT) < 0))
        return -1;
    return begin_new(b, j, e->block_kind);
}

/* ---- texts ---- */

static int leave_joined(struct attempt *b, struct joined_block *j, struct weir_str now)
{
    if (now.n && !j->is_begun && begin_new(b, j, WEIR_BLOCK_TEXT) < 0)
        return -1;
    return leave_text(b, j->to, WEIR_DELTA_TEXT, now);
}

static int take_joined(struct attempt *b, struct joined_block *j, struct weir_str text)
{
    struct rescuer *x = b->rescuer;
    struct weir_str now;
    if (x->what == RESCUE_JSON) {
        out_write(&j->whole, text);
        return j->whole.n > TRANSCRIPT_BYTES_MAX ? refuse(b, "it is too long") : 0;
    }
    if (align_add(&x->align, text, &now) == ALIGN_GAVE_UP)
        return refuse(b, x->align.why);
    return leave_joined(b, j, now);
}

static int end_joined(struct attempt *b, struct joined_block *j)
{
    struct rescuer *x = b->rescuer;
    struct weir_str now = WEIR_NONE;
    if (x->what == RESCUE_JSON && align_json(b->arena, x->sent, out_bytes(&j->whole), &now) < 0)
        return refuse(b, "the document is another, or none");
    if (x->what == RESCUE_TEXT && x->align.state == ALIGN_HOLDS && align_end(&x->align, &now) == ALIGN_GAVE_UP)
        return refuse(b, x->align.why);
    if (leave_joined(b, j, now) < 0)
        return -1;
    return j->is_begun ? leave_stop(b, j->to) : 0;
}

/* ---- calls ---- */

static bool is_done(struct attempt *b, const struct transcript_block *t)
{
    return !t->is_open || json_valid(b->arena, out_bytes(&t->text), 0);
}

/* Is it the call that was sent there? *rest: what its arguments lack. */
static bool is_call(struct attempt *b, const struct transcript_block *t, const struct joined_block *j, struct weir_str *rest)
{
    struct weir_str sent = out_bytes(&t->text), whole = out_bytes(&j->whole);
    *rest = WEIR_NONE;
    if (!weir_eq(t->name, j->name))
        return false;
    if (is_done(b, t) && align_same_json(sent, whole))
        return true;
    return t->is_open && align_json(b->arena, sent, whole, rest) == 0;
}

static struct transcript_block *next_call(struct transcript_block *t)
{
    while (t && t->kind != WEIR_BLOCK_TOOL_CALL)
        t = t->next;
    return t;
}

/* One more than were sent. */
static int leave_call(struct attempt *b, struct joined_block *j)
{
    if (begin_new(b, j, WEIR_BLOCK_TOOL_CALL) < 0 || leave_text(b, j->to, WEIR_DELTA_ARGUMENTS, out_bytes(&j->whole)) < 0)
        return -1;
    return leave_stop(b, j->to);
}

/* Calls that were sent whole may be left out when they are made once more; one that was not may not. */
static int end_call(struct attempt *b, struct joined_block *j)
{
    struct rescuer *x = b->rescuer;
    struct weir_str rest;
    struct transcript_block *t = x->next_call;
    if (!t)
        return leave_call(b, j);
    while (t && !is_call(b, t, j, &rest)) {
        if (!is_done(b, t))
            return refuse(b, "it calls another tool, or with other arguments");
        if (t->is_open && leave_stop(b, t->block) < 0)
            return -1;
        t = next_call(t->next);
    }
    if (!t)
        return refuse(b, "it calls another tool, or with other arguments");
    x->next_call = next_call(t->next);
    j->to = t->block;
    if (!t->is_open)
        return 0;
    return leave_text(b, t->block, WEIR_DELTA_ARGUMENTS, rest) < 0 ? -1 : leave_stop(b, t->block);
}

/* ---- events ---- */

static struct weir_str plain(const struct weir_text *t)
{
    return t->form == WEIR_TEXT_ESCAPED ? text_decode(scratch_arena(), t) : (struct weir_str){ t->p, t->n };
}

static int take_delta(struct attempt *b, const struct weir_event *e)
{
    struct joined_block *j = find(b, e->block);
    bool is_text = e->delta_kind == WEIR_DELTA_TEXT || e->delta_kind == WEIR_DELTA_ARGUMENTS;
    if (!j)
        return 0;
    if (is_text && j->fate != FATE_DROP)
        b->rescuer->n += e->text.n;
    if (j->fate == FATE_PASS) {
        struct weir_event copy = *e;
        copy.block = j->to;
        b->rescuer->n_joined += e->text.n;
        return leave(b, &copy);
    }
    if (!is_text || j->fate == FATE_DROP)
        return 0;
    if (j->fate == FATE_JOIN)
        return take_joined(b, j, plain(&e->text));
    answer_add_text(&j->whole, &e->text);
    return j->whole.failed || j->whole.n > TRANSCRIPT_BYTES_MAX ? refuse(b, "it is too long") : 0;
}

static int take_stop(struct attempt *b, const struct weir_event *e)
{
    struct joined_block *j = find(b, e->block);
    if (!j || j->fate == FATE_DROP)
        return 0;
    return j->fate == FATE_PASS ? leave_stop(b, j->to) : j->fate == FATE_JOIN ? end_joined(b, j) : end_call(b, j);
}

/* All that was begun must be whole now. */
static int take_finish(struct attempt *b, const struct weir_event *e)
{
    struct rescuer *x = b->rescuer;
    struct weir_event copy = *e;
    struct weir_usage usage = rescue_usage(b);
    bool is_refused = e->finish == WEIR_FINISH_CONTENT_FILTER || e->finish == WEIR_FINISH_REFUSAL;
    if (is_refused)
        return refuse(b, "it refuses to go on");
    if (x->what == RESCUE_CALLS && x->next_call)
        return refuse(b, "it does not make the calls that were begun");
    if (end_text(b, true) < 0 || close_open(b, WEIR_BLOCK_TEXT) < 0)
        return -1;
    copy.usage = e->usage ? &usage : NULL;
    x->has_finished = true;
    return leave(b, &copy);
}

static int take_rest(struct attempt *b, const struct weir_event *e)
{
    struct weir_event copy = *e;
    struct weir_usage usage = rescue_usage(b);
    if (e->kind == WEIR_EVENT_END && !b->rescuer->has_finished)
        return refuse(b, "it ends without a reason");
    copy.usage = e->usage ? &usage : NULL;
    return leave(b, &copy);
}

static int take(struct attempt *b, const struct weir_event *e)
{
    switch (e->kind) {
    case WEIR_EVENT_START:
    case WEIR_EVENT_PING:
        return 0;
    case WEIR_EVENT_BLOCK_START:
        return take_start(b, e);
    case WEIR_EVENT_DELTA:
        return take_delta(b, e);
    case WEIR_EVENT_BLOCK_STOP:
        return take_stop(b, e);
    case WEIR_EVENT_FINISH:
        return take_finish(b, e);
    default:
        return take_rest(b, e);
    }
}

/* A refusal stands in the call's error, where the codec's caller finds it. */
void rescue_take(struct attempt *b, const struct weir_event *e)
{
    if (b->call.error.error_class == WEIR_ERROR_NONE && !b->call.request->is_ending)
        take(b, e);
}
