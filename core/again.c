/* Asking again: for providers that take a job and are asked for it until it is done.
 *
 * A codec says so with again() while it looks at an answer. That answer is let go, everything it said is forgotten, and after the
 * delay the attempt sends another request, which is answered as the first one was. The codec's state stays. The attempt owns
 * the timer; its deadlines are the attempt's own, so nothing is begun that could not end in time.
 */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "pipeline.h"

static void send_again(struct attempt *a)
{
    a->call.error.error_class = WEIR_ERROR_NONE;
    if (upstream_build_again(a) == 0 && upstream_send(a) == 0)
        return;
    if (a->call.error.error_class == WEIR_ERROR_NONE)
        pipeline_fault(&a->call, a->codec->plugin->desc.name, "could not make the request and gave no reason");
    attempt_fail(a, &a->call.error);
}

static void on_delay_over(int fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct attempt *a = arg;
    struct request *r = a->call.request;
    request_enter(r);
    if (a->state == ATTEMPT_SENT && !r->is_ending)
        send_again(a);
    request_arm(r);
    request_leave(r);
}

/* As if nothing had come yet. */
static void forget_answer(struct attempt *a)
{
    events_free(a);
    framer_free(&a->framer);
    out_reset(&a->pending, 0);
    out_reset(&a->backlog, 0);
    out_reset(&a->error_body, 0);
    a->grammar = (struct grammar){ 0 };
    a->usage = WEIR_USAGE_UNKNOWN;
    a->response_headers = NULL;
    a->trailers = NULL;
    a->n_response_headers = 0;
    a->status = 0;
    a->is_paused = a->has_ended = a->ended_cleanly = a->frame_is_dirty = a->whole_is_dirty = false;
    a->can_relay = a->is_same_dialect;
    a->state = ATTEMPT_SENT;
}

static bool would_be_too_late(const struct attempt *a)
{
    const struct request *r = a->call.request;
    uint32_t total_ms = config_timeout(r, a, WEIR_TIMEOUT_TOTAL);
    return total_ms && monotonic_us() - r->started_us + (int64_t)a->again.delay_ms * 1000 > (int64_t)total_ms * 1000;
}

static void fail_late(struct attempt *a)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_TIMEOUT };
    e.message = arena_printf(a->arena, "%.*s has not finished the job, and asking again would come after the total time-out.",
                             (int)a->target->view.name.n, a->target->view.name.p);
    attempt_fail(a, &e);
}

void attempt_ask_again(struct attempt *a)
{
    struct timeval delay = clock_timer(a->again.delay_ms);
    a->again.is_asked = false;
    a->again.n++;
    if (a->upstream)
        egress_release(a->upstream);
    a->upstream = NULL;
    forget_answer(a);
    if (would_be_too_late(a)) {
        fail_late(a);
        return;
    }
    if (!a->again.timer && (a->again.timer = arena_zalloc(a->arena, sizeof(struct event))))
        event_assign(a->again.timer, worker->base, -1, 0, on_delay_over, a);
    if (a->again.timer)
        event_add(a->again.timer, &delay);
}

void attempt_stop_asking(struct attempt *a)
{
    if (a->again.timer)
        event_del(a->again.timer);
}
