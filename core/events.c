/* Events on their way from the provider's codec (or from a stage that answers itself) through on_event to the client.
 *
 * An answer is bytes and events at once. The bytes of a frame wait in `pending`, its events in `queue`; when all events have
 * passed the stages, the frame goes out as it came if every event left unchanged and in order, else what left is encoded.
 * Until the attempt is elected everything since its first byte counts as one frame. Without stages that look at events and
 * in the same dialect no event is kept at all.
 *
 * A stage may wait, hold, insert: the queue stands still behind a waiting event, and what comes from the upstream meanwhile
 * stays with the attempt (attempt.c).
 */
#include <stdlib.h>

#include "log.h"
#include "pipeline.h"
#include "transcript.h"

enum { HELD_MAX = 1024 * 1024, HELD_SLOTS = 16 };

/* ---- which stages an attempt's answer passes ---- */

/* A stage's own answer passes only the stages before it: those are the later steps of a backward hook. */
static uint32_t first_step(const struct attempt *a, enum hook hook)
{
    const struct lane *lane = a->call.request->lane;
    uint32_t step = 0, n = lane->n_slots[hook];
    while (step < n && lane->slots[hook][n - 1 - step] >= a->below)
        step++;
    return step;
}

static bool has_stages(const struct attempt *a)
{
    return first_step(a, HOOK_EVENT) < a->call.request->lane->n_slots[HOOK_EVENT];
}

/* ---- queues ---- */

static struct queued_event *queued(const struct weir_event *e, uint32_t from)
{
    size_t head = (sizeof(struct queued_event) + 15) & ~(size_t)15;
    struct queued_event *q = malloc(head + event_room(e));
    if (!q)
        return NULL;
    q->next = NULL;
    q->from = from;
    event_pack(&q->event, e, (char *)q + head);
    return q;
}

static void append(struct queued_event ***end, struct queued_event *q)
{
    q->next = NULL;
    **end = q;
    *end = &q->next;
}

static void push_front(struct attempt *a, struct queued_event *q)
{
    q->next = a->queue;
    if (!a->queue)
        a->queue_end = &q->next;
    a->queue = q;
}

/* What the hook inserted goes on before everything else. */
static void push_inserted(struct attempt *a)
{
    if (!a->inserted)
        return;
    *a->inserted_end = a->queue;
    if (!a->queue)
        a->queue_end = a->inserted_end;
    a->queue = a->inserted;
    a->inserted = NULL;
    a->inserted_end = &a->inserted;
    a->frame_is_dirty = true;
}

static void free_list(struct queued_event **list, struct queued_event ***end)
{
    while (*list) {
        struct queued_event *q = *list;
        *list = q->next;
        free(q);
    }
    *end = list;
}

void events_free(struct attempt *a)
{
    free_list(&a->queue, &a->queue_end);
    free_list(&a->inserted, &a->inserted_end);
    free_list(&a->frame_out, &a->frame_out_end);
    for (int i = 0; i < HELD_SLOTS; i++)
        free_list(&a->held[i], &a->held_end[i]);
    free(a->current);
    a->current = NULL;
}

/* ---- leaving the stages ---- */

static bool is_whole(const struct attempt *a)
{
    return !a->call.request->wants_stream;
}

static bool collect(struct attempt *a, const struct weir_event *e)
{
    if (!a->collector)
        a->collector = collector_new(a->arena);
    if (a->collector && collector_add(a->collector, e))
        return true;
    struct weir_error error = { .size = sizeof(error),
                                .error_class = WEIR_ERROR_UNAVAILABLE,
                                .code = WEIR_LIT("overloaded"),
                                .message = WEIR_LIT("Memory is short; try again.") };
    request_fail(a->call.request, &error);
    return false;
}

static void end_answer(struct attempt *a, bool is_relayed)
{
    struct request *r = a->call.request;
    if (is_whole(a))
        deliver_whole(a, is_relayed ? out_bytes(&a->pending) : WEIR_NONE);
    if (!r->is_ending)
        deliver_end(r);
}

/* One event is through: to the client, or into the answer that is being collected. */
static void leave(struct attempt *a, struct weir_event *e)
{
    if (e->kind == WEIR_EVENT_END)
        a->end_has_left = true;
    losses_of_event(a, e);
    if (is_whole(a))
        collect(a, e);
    else
        deliver_event(a, e);
}

/* Checks what stages made of the sequence. */
static bool is_grammatical(struct attempt *a, struct weir_event *e)
{
    const char *why = grammar_check(&a->grammar_out, e, a->arena);
    if (!why)
        return true;
    pipeline_fault(&a->call, "stages", arena_printf(a->arena, "broke the grammar of events: %s", why).p);
    request_fail(a->call.request, &a->call.error);
    return false;
}

static bool has_held(const struct attempt *a)
{
    for (int i = 0; i < HELD_SLOTS; i++)
        if (a->held[i])
            return true;
    return false;
}

static void leave_all(struct attempt *a, bool is_clean)
{
    struct request *r = a->call.request;
    while (a->frame_out && !r->is_ending) {
        struct queued_event *q = a->frame_out;
        a->frame_out = q->next;
        if (!a->frame_out)
            a->frame_out_end = &a->frame_out;
        if (is_clean)
            q->event.flags |= WEIR_EVENT_SILENT;
        if (is_grammatical(a, &q->event))
            leave(a, &q->event);
        free(q);
    }
}

/* All events of the frame are through the stages. */
static void finish_frame(struct attempt *a)
{
    struct request *r = a->call.request;
    bool is_clean = a->can_relay && !a->frame_is_dirty;
    if (!is_clean && is_whole(a))
        a->whole_is_dirty = true;
    else if (!is_clean && a->codec->plugin->codec.reserved & WEIR_CODEC_REPEATS)
        a->can_relay = false; /* later frames would tell what a stage has taken out */
    bool was_empty = !a->frame_out;
    leave_all(a, is_clean);
    if (r->is_ending)
        return;
    if (is_clean && !is_whole(a) && a->pending.n) {
        deliver_bytes(r, out_bytes(&a->pending));
        deliver_flush(r);
    }
    if (is_clean && a->transcript)
        transcript_relayed(a->transcript);
    if (was_empty && a->grammar.has_ended && !has_stages(a))
        a->end_has_left = true;
    bool is_relayed = is_clean && !a->whole_is_dirty;
    if (!is_whole(a) || !a->end_has_left)
        out_reset(&a->pending, has_stages(a) ? 4096 : 0);
    a->frame_is_dirty = false;
    if (!a->end_has_left)
        return;
    if (has_held(a)) {
        pipeline_fault(&a->call, "stages", "the answer ended while a stage still held events");
        request_fail(r, &a->call.error);
        return;
    }
    end_answer(a, is_relayed);
}

/* ---- through the stages ---- */

static void hold(struct attempt *a, struct queued_event *q, uint32_t step)
{
    struct request *r = a->call.request;
    a->held_bytes += event_room(&q->event) + sizeof(*q);
    if (step >= HELD_SLOTS || a->held_bytes > HELD_MAX) {
        free(q);
        pipeline_fault(&a->call, pipeline_stage(&a->call, step)->plugin->desc.name, "holds more than 1 MiB of events");
        request_fail(r, &a->call.error);
        return;
    }
    q->from = step + 1;
    append(&a->held_end[step], q);
}

/* What a stage said to an event. true: the event goes on behind it. */
static bool take_verdict(struct attempt *a, struct queued_event *q, uint32_t step, enum weir_verdict v)
{
    q->from = step + 1;
    if (v == WEIR_NEXT && !a->inserted)
        return true;
    if (v == WEIR_NEXT) {
        push_front(a, q);
        push_inserted(a);
        return false;
    }
    a->frame_is_dirty = true;
    push_inserted(a);
    if (v == WEIR_HOLD) {
        hold(a, q, step);
        return false;
    }
    free(q);
    if (v == WEIR_FAIL)
        request_fail(a->call.request, &a->call.error);
    return false;
}

static void run_event(struct attempt *a, struct queued_event *q)
{
    struct request *r = a->call.request;
    uint32_t n = r->lane->n_slots[HOOK_EVENT];
    for (uint32_t step = q->from; step < n; step++) {
        a->call.event = &q->event;
        enum weir_verdict v = pipeline_run(&a->call, HOOK_EVENT, step, step + 1);
        a->call.event = NULL;
        if (v == WEIR_WAIT) {
            q->from = step;
            a->current = q;
            return;
        }
        if (!take_verdict(a, q, step, v))
            return;
    }
    append(&a->frame_out_end, q);
}

void events_pump(struct attempt *a)
{
    struct request *r = a->call.request;
    while (a->queue && !a->call.wait && !r->is_ending) {
        struct queued_event *q = a->queue;
        a->queue = q->next;
        if (!a->queue)
            a->queue_end = &a->queue;
        run_event(a, q);
    }
    if (!a->call.wait && !r->is_ending)
        finish_frame(a);
}

void events_resumed(struct attempt *a, enum weir_verdict v)
{
    struct queued_event *q = a->current;
    struct request *r = a->call.request;
    a->current = NULL;
    if (q && take_verdict(a, q, q->from, v)) {
        run_event(a, q);
    }
    if (a->call.wait || r->is_ending)
        return;
    events_pump(a);
    if (!r->is_ending && !a->call.wait)
        attempt_go_on(a);
}

/* ---- election ---- */

void events_elect(struct attempt *a)
{
    struct request *r = a->call.request;
    if (a->state >= ATTEMPT_HEADING)
        return;
    hedge_settle(a);
    r->elected = a;
    a->state = ATTEMPT_HEADING;
    events_head_done(a, pipeline_run(&a->call, HOOK_HEAD, first_step(a, HOOK_HEAD), r->lane->n_slots[HOOK_HEAD]),
                     false);
}

void events_head_done(struct attempt *a, enum weir_verdict v, bool has_waited)
{
    struct request *r = a->call.request;
    if (v == WEIR_WAIT || r->is_ending)
        return;
    if (v == WEIR_FAIL) {
        request_fail(r, &a->call.error);
        return;
    }
    a->state = ATTEMPT_ELECTED;
    if (is_raw(r)) {
        raw_head_done(a);
    } else {
        if (!is_whole(a) && deliver_begin(a) < 0)
            return;
        events_pump(a);
    }
    if (has_waited && !a->call.wait && !r->is_ending)
        attempt_go_on(a);
}

static bool may_elect(const struct attempt *a)
{
    return a->state < ATTEMPT_HEADING && (is_whole(a) ? a->grammar.has_ended : a->has_content);
}

/* ---- frames ---- */

static struct weir_str after_cut(const struct weir_frame *f)
{
    return (struct weir_str){ f->bytes.p + f->cut_offset + f->cut_n, f->bytes.n - f->cut_offset - f->cut_n };
}

/* `usage: as_asked`: what the codec would take out again was never asked for, so nothing is touched. */
static void heed_route(const struct request *r, struct weir_frame *f)
{
    if (r->route && r->route->usage_as_asked) {
        f->flags &= ~WEIR_FRAME_DROP;
        f->cut_n = 0;
    }
}

static bool is_cut(const struct weir_frame *f)
{
    return f->cut_n && (size_t)f->cut_offset + f->cut_n <= f->bytes.n;
}

static bool is_longer(const struct weir_frame *f)
{
    return f->insert.n && f->insert_offset <= f->bytes.n;
}

/* The frame with what its codec puts in and leaves out; it stands in scratch memory. */
static void change_frame(struct weir_frame *f)
{
    struct weir_out *out = is_longer(f) ? scratch_out() : NULL;
    if (!out)
        return;
    out_write(out, (struct weir_str){ f->bytes.p, f->insert_offset });
    out_write(out, f->insert);
    out_write(out, (struct weir_str){ f->bytes.p + f->insert_offset, f->bytes.n - f->insert_offset });
    if (f->cut_n && f->cut_offset >= f->insert_offset)
        f->cut_offset += (uint32_t)f->insert.n;
    f->bytes = out_bytes(out);
}

static void keep_frame(struct attempt *a, const struct weir_frame *f)
{
    if (f->flags & WEIR_FRAME_DROP)
        return;
    if (is_cut(f)) {
        out_write(&a->pending, (struct weir_str){ f->bytes.p, f->cut_offset });
        out_write(&a->pending, after_cut(f));
    } else {
        out_write(&a->pending, f->bytes);
    }
}

static void relay_frame(struct attempt *a, const struct weir_frame *f)
{
    struct request *r = a->call.request;
    if (f->flags & WEIR_FRAME_DROP)
        return;
    if (is_cut(f)) {
        deliver_bytes(r, (struct weir_str){ f->bytes.p, f->cut_offset });
        deliver_bytes(r, after_cut(f));
    } else {
        deliver_bytes(r, f->bytes);
    }
    if (a->framer.is_handed_out || is_longer(f))
        deliver_flush(r); /* the framer's own buffer is used again for the next frame */
}

void events_frame_done(struct attempt *a, struct weir_frame *frame)
{
    struct request *r = a->call.request;
    if (r->is_ending || a->state == ATTEMPT_OVER)
        return;
    if (a->fans || r->mirror) {
        (a->fans ? fanout_frame_done : mirror_frame_done)(a);
        return;
    }
    if (a->rescues) {
        if (a->call.error.error_class == WEIR_ERROR_NONE)
            events_frame_done(a->rescues, NULL);
        return;
    }
    if (frame) {
        heed_route(r, frame);
        change_frame(frame);
    }
    if (a->state == ATTEMPT_ELECTED && !has_stages(a)) {
        if (frame && a->can_relay) {
            relay_frame(a, frame);
            if (a->transcript)
                transcript_relayed(a->transcript);
        }
        if (a->end_has_left || (a->can_relay && a->grammar.has_ended))
            end_answer(a, a->can_relay);
        return;
    }
    if (frame && a->can_relay)
        keep_frame(a, frame);
    if (a->state == ATTEMPT_ELECTED)
        events_pump(a);
    else if (may_elect(a))
        events_elect(a);
}

/* ---- emitting ---- */

static int codec_broke_grammar(struct attempt *a, const char *why)
{
    a->call.hook = HOOK_EVENT;
    pipeline_fault(&a->call, a->codec->plugin->desc.name,
                   arena_printf(a->arena, "its codec broke the grammar of events: %s", why).p);
    return -1;
}

static void note_event(struct attempt *a, const struct weir_event *e)
{
    if (e->usage)
        usage_merge(&a->usage, e->usage);
    if (!a->has_content && event_has_content(e)) {
        a->has_content = true;
        a->first_token_us = monotonic_us();
        outcome_spoke(a);
    }
    if (e->kind == WEIR_EVENT_FINISH && !a->finish)
        a->finish = e->finish;
    if (e->kind == WEIR_EVENT_START && e->name.n)
        a->served_model = arena_copy(a->arena, e->name);
}

static int take_error(struct attempt *a, const struct weir_event *e)
{
    error_copy(a->arena, &a->call.error, e->error);
    a->call.error.flags |= WEIR_ERROR_FROM_UPSTREAM;
    if (a->call.error.error_class == WEIR_ERROR_NONE)
        a->call.error.error_class = WEIR_ERROR_SERVER;
    return 0;
}

static int enqueue(struct attempt *a, const struct weir_event *e, uint32_t from)
{
    struct queued_event *q = queued(e, from);
    if (!q)
        return -1;
    append(&a->queue_end, q);
    return 0;
}

bool events_are_relayed(const struct attempt *a)
{
    return a->can_relay && !has_stages(a);
}

int events_join(struct attempt *a, struct weir_event *e)
{
    if (has_stages(a) || a->state != ATTEMPT_ELECTED)
        return enqueue(a, e, first_step(a, HOOK_EVENT));
    leave(a, e);
    return 0;
}

int events_go_on(struct attempt *a, const struct weir_event *from)
{
    struct weir_event e;
    event_adopt(&e, from);
    if (grammar_check(&a->grammar, &e, a->arena))
        return -1;
    rescue_note(a, &e);
    return events_join(a, &e);
}

static int emit_answer(struct attempt *a, const struct weir_event *from)
{
    struct weir_event e;
    event_adopt(&e, from);
    if (is_raw(a->call.request)) { /* only read for its usage */
        note_event(a, &e);
        return 0;
    }
    const char *why = grammar_check(&a->grammar, &e, a->arena);
    if (why)
        return codec_broke_grammar(a, why);
    note_event(a, &e);
    if (e.kind == WEIR_EVENT_ERROR)
        return take_error(a, &e);
    if (e.kind == WEIR_EVENT_PING || a->call.request->mirror)
        return 0; /* weir keeps its own connections alive; what answers a copy is nobody's */
    if (a->fans || a->rescues) {
        (a->fans ? fanout_take : rescue_take)(a, &e);
        return 0;
    }
    rescue_note(a, &e);
    bool stages = has_stages(a);
    if (!stages && a->can_relay)
        return 0; /* its bytes say it all */
    if (!stages && a->state == ATTEMPT_ELECTED) {
        leave(a, &e);
        return 0;
    }
    return enqueue(a, &e, first_step(a, HOOK_EVENT));
}

static int insert(struct weir_call *c, const struct weir_event *e)
{
    struct queued_event *q = queued(e, c->step + 1);
    if (!q)
        return -1;
    append(&c->attempt->inserted_end, q);
    return 0;
}

static int emit_own_answer(struct weir_call *c, const struct weir_event *from)
{
    struct request *r = c->request;
    struct attempt *a = r->elected ? r->elected : attempt_own_answer(r);
    struct weir_event e;
    if (!a)
        return -1;
    event_adopt(&e, from);
    const char *why = grammar_check(&a->grammar, &e, a->arena);
    if (why) {
        pipeline_fault(c, pipeline_stage(c, c->step)->plugin->desc.name,
                       arena_printf(a->arena, "broke the grammar of events: %s", why).p);
        return -1;
    }
    note_event(a, &e);
    if (a->grammar.has_ended)
        c->has_answer = true;
    return enqueue(a, &e, first_step(a, HOOK_EVENT));
}

int event_emit(struct weir_call *c, const struct weir_event *e)
{
    if (c->is_decoding && c->attempt)
        return emit_answer(c->attempt, e);
    if (!c->running && !c->wait)
        return -1;
    if (c->hook == HOOK_EVENT && c->attempt)
        return insert(c, e);
    if ((c->hook == HOOK_OPEN || c->hook == HOOK_REQUEST) && !c->attempt)
        return emit_own_answer(c, e);
    return -1;
}

int events_release(struct weir_call *c, bool forget)
{
    struct attempt *a = c->attempt;
    if (c->hook != HOOK_EVENT || !a || c->step >= HELD_SLOTS)
        return -1;
    uint32_t s = c->step;
    a->frame_is_dirty = true;
    for (const struct queued_event *q = a->held[s]; q; q = q->next)
        a->held_bytes -= event_room(&q->event) + sizeof(*q);
    if (forget) {
        free_list(&a->held[s], &a->held_end[s]);
    } else if (a->held[s]) {
        *a->inserted_end = a->held[s];
        a->inserted_end = a->held_end[s];
        a->held[s] = NULL;
        a->held_end[s] = &a->held[s];
    }
    return 0;
}
