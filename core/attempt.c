/* One attempt: a target, its upstream call, how it ends. What goes up is made in upstream.c, what comes down goes
 * through attempt_answer.c to events.c.
 *
 * An attempt begins in attempt_next(), which tries candidates until one is underway or none is left, and ends in attempt_close(),
 * exactly once, whatever happened. Its memory stays until its request is over, because records and hooks look back at it.
 */

#include "host.h"

/* Most attempts live in that many bytes; each costs them for as long as its stream is open. */
enum { ATTEMPTS_MAX = 16, ATTEMPT_BYTES = 2048 };

/* ---- beginning ---- */

static struct attempt *attempt_new(struct request *r, struct candidate *c)
{
    struct arena *arena = arena_new_of(ATTEMPT_BYTES);
    struct attempt *a = arena ? arena_zalloc(arena, sizeof(*a)) : NULL;
    if (!a) {
        arena_free(arena);
        return NULL;
    }
    a->arena = arena;
    a->call = (struct weir_call){ .request = r, .attempt = a, .arena = arena };
    a->target = c;
    a->queue_end = &a->queue;
    a->frame_out_end = &a->frame_out;
    a->inserted_end = &a->inserted;
    for (int i = 0; i < 16; i++)
        a->held_end[i] = &a->held[i];
    a->edits.end = &a->edits.list;
    a->usage = WEIR_USAGE_UNKNOWN;
    a->started_us = a->last_byte_us = monotonic_us();
    a->is_streaming = r->wants_stream;
    a->below = r->lane->n;
    a->next = r->attempts;
    r->attempts = a;
    if (lane_give_attempt_blocks(a) < 0)
        return NULL;
    return a;
}

static void aim(struct attempt *a)
{
    struct request *r = a->call.request;
    a->provider = a->target->provider;
    a->codec = codec_instance(a->provider->codec);
    a->codec_state = arena_zalloc(a->arena, a->codec->plugin->codec.egress_size + 16);
    a->is_same_dialect = a->codec == r->codec;
    a->can_relay = a->is_same_dialect;
    for (int i = 0; i < WEIR_TIMEOUTS; i++)
        a->timeouts.ms[i] = config_timeout(r, a, (enum weir_timeout)i);
    for (const struct edit *e = r->conversation ? a->target->edits : NULL; e; e = e->next)
        attempt_apply(r->conversation, &a->edits, a->arena, e);
}

struct attempt *attempt_make(struct request *r, struct candidate *c, struct attempt *fans)
{
    struct attempt *a = attempt_new(r, c);
    if (!a) {
        admission_return(c);
        return NULL;
    }
    r->n_attempts++;
    a->fans = fans;
    a->reason = r->next_reason;
    r->next_reason = WEIR_NONE;
    a->ticket = c->ticket;
    a->is_counted = true;
    aim(a);
    return a->codec_state && rescue_attach(a) ? a : NULL;
}

struct attempt *attempt_make_fan(struct request *r, struct candidate *c)
{
    struct attempt *a = attempt_new(r, c);
    if (!a)
        return NULL;
    aim(a);
    a->can_relay = false;
    a->state = ATTEMPT_ANSWERING;
    return a;
}

static bool is_underway(const struct request *r)
{
    for (const struct attempt *a = r->attempts; a; a = a->next)
        if (a->upstream)
            return true;
    return false;
}

static void fail_for_memory(struct request *r)
{
    if (is_underway(r))
        return; /* what was begun before goes on */
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNAVAILABLE,
                            .code = WEIR_LIT("overloaded"),
                            .retry_after_ms = 1000,
                            .message = WEIR_LIT("Memory is short; try again.") };
    request_fail(r, &e);
}

static void note_skipped(struct attempt *a, struct weir_str why)
{
    struct request *r = a->call.request;
    struct weir_str name = a->target->view.name;
    note_add(r, "core", "skipped", arena_printf(r->arena, "%.*s: %.*s", (int)name.n, name.p, (int)why.n, why.p));
}

/* on_attempt let it pass: off it goes. false: it would lose what may not be lost; try the next candidate. */
static bool send_attempt(struct attempt *a)
{
    bool is_relayed = is_raw(a->call.request);
    if (!is_relayed && !candidate_serves(a->call.request, a->target)) {
        attempt_answer_by_estimate(a);
        return true;
    }
    enum token_state gathered = attempt_gather(a);
    if (gathered == TOKEN_WAITS)
        return true;
    if (is_relayed) {
        if (gathered == TOKEN_NONE || raw_send(a) < 0)
            attempt_fail(a, &a->call.error);
        return true;
    }
    bool is_built = gathered == TOKEN_HAS && rescue_ask(a) == 0 && upstream_build(a) == 0;
    struct weir_str loss = is_built ? losses_of_request(a) : WEIR_NONE;
    if (loss.n) {
        note_skipped(a, loss);
        attempt_close(a);
        return false;
    }
    if (is_built && upstream_send(a) == 0) {
        a->state = ATTEMPT_SENT;
        hedge_plan(a);
        if (a->call.request->mirror)
            mirror_sent(a);
        else
            mirror_begin(a->call.request);
        return true;
    }
    if (a->call.error.error_class == WEIR_ERROR_NONE)
        pipeline_fault(&a->call, a->codec->plugin->desc.name, "could not make the request and gave no reason");
    attempt_fail(a, &a->call.error);
    return true;
}

/* true: it is settled for now; false: try the next candidate. */
static bool take_attempt_verdict(struct attempt *a, enum weir_verdict v)
{
    struct request *r = a->call.request;
    if (v == WEIR_WAIT)
        return true;
    if (v == WEIR_SKIP) {
        note_skipped(a, WEIR_LIT("a stage vetoed it"));
        attempt_close(a);
        return false;
    }
    if (v == WEIR_FAIL) {
        a->error = a->call.error;
        attempt_close(a);
        if (a->fans)
            attempt_close(a->fans);
        if (!attempt_beside(a))
            request_fail(r, &a->error);
        return true;
    }
    a->n_entered = r->lane->n;
    if (r->mirror)
        mirror_release(a);
    return send_attempt(a);
}

bool attempt_enter(struct attempt *a)
{
    return take_attempt_verdict(a, pipeline_run(&a->call, HOOK_ATTEMPT, 0, a->call.request->lane->n_slots[HOOK_ATTEMPT]));
}

/* true: it is settled for now; false: try the next candidate. */
static bool start(struct request *r, struct candidate *c)
{
    explanation_note(r, c);
    if (fanout_makes(r, c))
        return fanout_start(r, c);
    struct attempt *a = attempt_make(r, c, NULL);
    if (!a) {
        fail_for_memory(r);
        return true;
    }
    return attempt_enter(a);
}

void attempt_start(struct request *r, struct candidate *c)
{
    r->state = REQUEST_ATTEMPT;
    if (start(r, c))
        return;
    r->state = REQUEST_SERVE;
    request_run(r);
}

bool attempt_next(struct request *r)
{
    while (r->n_attempts - r->n_fanned < ATTEMPTS_MAX) {
        struct candidate *c = candidate_next(r);
        if (!c)
            return admission_wait(r);
        if (start(r, c))
            return true;
    }
    return false;
}

void attempt_another(struct request *r)
{
    struct candidate *c;
    while (r->n_attempts - r->n_fanned < ATTEMPTS_MAX && (c = candidate_next(r)))
        if (start(r, c))
            return;
}

struct attempt *attempt_own_answer(struct request *r)
{
    struct attempt *a = attempt_new(r, NULL);
    if (!a)
        return NULL;
    a->below = pipeline_stage_index(&r->call, r->call.step); /* only the stages before it see its answer */
    a->state = ATTEMPT_ANSWERING;
    r->elected = a;
    return a;
}

/* ---- failing ---- */

static void after_failure(struct attempt *a, enum weir_verdict v)
{
    if (v == WEIR_FAIL)
        request_fail(a->call.request, &a->call.error);
    else if (v != WEIR_WAIT && is_raw(a->call.request))
        request_fail(a->call.request, &a->error); /* its body is gone: nobody else can be asked */
    else if (v != WEIR_WAIT)
        recovery_after(a);
}

void attempt_fail(struct attempt *a, const struct weir_error *error)
{
    struct request *r = a->call.request;
    if (a->state == ATTEMPT_OVER || a->is_cut || r->is_ending)
        return;
    bool is_committed = a == r->elected;
    error_copy(a->arena, &a->error, error);
    if (a->fans) {
        fanout_fail(a);
        return;
    }
    if (is_committed && rescue_may(a, &a->error)) {
        rescue_begin(a);
        return;
    }
    rescue_leave(a);
    attempt_close(a);
    if (is_committed || r->mirror) {
        request_fail(r, &a->error);
        return;
    }
    if (attempt_beside(a)) {
        recovery_beside(a); /* the other may still answer; what follows is decided when it fails too */
        return;
    }
    r->were_candidates_set = false;
    after_failure(a, pipeline_run(&a->call, HOOK_FAILURE, 0, r->lane->n_slots[HOOK_FAILURE]));
}

void attempt_go_elsewhere(struct attempt *a)
{
    struct request *r = a->call.request;
    if (r->mirror) {
        mirror_drop(r);
    } else if (attempt_beside(a)) {
        attempt_another(r);
    } else {
        r->state = REQUEST_SERVE;
        request_run(r);
    }
}

void attempt_after_attempt(struct attempt *a, enum weir_verdict v)
{
    if (a->call.hook == HOOK_FAILURE) {
        after_failure(a, v);
    } else if (take_attempt_verdict(a, v)) {
        return;
    } else if (a->fans) {
        fanout_vetoed(a);
    } else {
        attempt_go_elsewhere(a);
    }
}

/* ---- ending ---- */

static void end_upstream(struct attempt *a)
{
    struct egress_call *up = a->upstream;
    a->upstream = NULL;
    if (!up)
        return;
    a->timing = egress_timing(up);
    if (a->grammar.has_ended && a->error.error_class == WEIR_ERROR_NONE)
        egress_release(up);
    else
        egress_cancel(up);
}

void attempt_cut(struct attempt *a)
{
    attempt_stop_asking(a);
    end_upstream(a);
    a->is_cut = true;
    a->ended_us = monotonic_us();
    outcome_settle(a);
}

void attempt_close(struct attempt *a)
{
    struct request *r = a->call.request;
    if (a->state == ATTEMPT_OVER)
        return;
    wait_cancel(&a->call);
    attempt_stop_asking(a);
    end_upstream(a);
    a->state = ATTEMPT_OVER;
    if (a->fan)
        fanout_close(a);
    if (!a->ended_us)
        a->ended_us = monotonic_us();
    if (a->error.error_class == WEIR_ERROR_NONE && r->error.error_class != WEIR_ERROR_NONE)
        a->error = r->error;
    if (a->error.error_class == WEIR_ERROR_AUTHENTICATION)
        token_refused(a);
    outcome_settle(a);
    if (a->target)
        pipeline_notify(&a->call, HOOK_ATTEMPT_DONE, a->n_entered);
    events_free(a);
}

void attempt_destroy(struct attempt *a)
{
    attempt_close(a);
    framer_free(&a->framer);
    out_free(&a->pending);
    out_free(&a->backlog);
    out_free(&a->error_body);
    if (a->encoded)
        out_free(a->encoded);
    collector_free(a->collector);
    rescue_free(a);
    arena_free(a->arena);
}
