/* Deadlines: every wait has one. A request has one timer, set for the nearest of its total time-out, its stages' waits, its
 * attempts' patience and the next keep-alive; when it fires all are looked at again, and what moved further away costs nothing.
 */
#include <event2/event.h>

#include "log.h"
#include "pipeline.h"

/* ---- deadlines ---- */

static uint32_t smallest(uint32_t so_far, uint32_t ms)
{
    if (ms == CONFIG_UNSET || ms == 0)
        return so_far;
    return so_far == 0 || ms < so_far ? ms : so_far;
}

static uint32_t asked_timeout(const struct request *r)
{
    if (!(r->principal.flags & WEIR_PRINCIPAL_MAY_SET_TIMEOUT) || !r->head)
        return CONFIG_UNSET;
    struct weir_str v = http_find(r->head->headers, r->head->n_headers, "x-weir-timeout-ms");
    uint32_t ms = 0;
    for (size_t i = 0; i < v.n && i < 9; i++)
        ms = v.p[i] >= '0' && v.p[i] <= '9' ? ms * 10 + (uint32_t)(v.p[i] - '0') : 0;
    return ms;
}

uint32_t config_timeout(const struct request *r, const struct attempt *a, enum weir_timeout which)
{
    uint32_t ms = smallest(0, worker->config->timeouts.ms[which]);
    if (r->route)
        ms = smallest(ms, r->route->timeouts.ms[which]);
    if (r->model)
        ms = smallest(ms, r->model->timeouts.ms[which]);
    if (a && a->target) {
        ms = smallest(ms, a->provider->timeouts.ms[which]);
        ms = smallest(ms, a->target->timeouts.ms[which]);
    }
    return which == WEIR_TIMEOUT_TOTAL ? smallest(ms, asked_timeout(r)) : ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t after(int64_t from_us, uint32_t ms)
{
    return ms ? from_us + (int64_t)ms * 1000 : INT64_MAX;
}

/* What the provider or the candidate says of `total` is about this attempt: another may still answer within the request's own. */
static uint32_t attempt_total_ms(const struct attempt *a)
{
    if (!a->target)
        return 0;
    uint32_t ms = smallest(0, a->provider->timeouts.ms[WEIR_TIMEOUT_TOTAL]);
    return smallest(ms, a->target->timeouts.ms[WEIR_TIMEOUT_TOTAL]);
}

static int64_t silence_deadline(const struct attempt *a, const char **what)
{
    int64_t idle = a->state >= ATTEMPT_ERROR ? after(a->last_byte_us, a->timeouts.ms[WEIR_TIMEOUT_IDLE]) : INT64_MAX;
    int64_t first = !a->first_token_us && a->is_streaming
                        ? after(a->started_us, a->timeouts.ms[WEIR_TIMEOUT_FIRST_TOKEN])
                        : INT64_MAX;
    *what = first < idle ? "first_token" : "idle";
    return earlier(first, idle);
}

/* When does this attempt run out of patience, and with what? */
static int64_t attempt_deadline(const struct attempt *a, const char **what)
{
    if (a->state == ATTEMPT_OVER || a->state == ATTEMPT_STARTING || a->call.request->is_answered || a->is_paused || a->is_cut ||
        attempt_waits(a))
        return INT64_MAX; /* it waits for us */
    int64_t total = after(a->started_us, attempt_total_ms(a));
    int64_t silence = a->upstream ? silence_deadline(a, what) : INT64_MAX;
    if (total < silence)
        *what = "total";
    return earlier(total, silence);
}

static int64_t keepalive_at(const struct request *r)
{
    if (r->is_answered || !r->wants_stream || r->state != REQUEST_ATTEMPT || r->mirror)
        return INT64_MAX;
    if (r->is_answering)
        return after(r->last_write_us, worker->config->keepalive_ms);
    return after(r->started_us, worker->config->keepalive_first_ms);
}

int64_t request_deadline_us(const struct request *r)
{
    if (r->is_answered)
        return INT64_MAX;
    int64_t total = after(r->started_us, config_timeout(r, NULL, WEIR_TIMEOUT_TOTAL));
    return r->mirror ? earlier(total, after(r->started_us, worker->config->mirrors.total_ms)) : total;
}

static int64_t next_deadline(const struct request *r)
{
    const char *what;
    int64_t at = earlier(request_deadline_us(r), earlier(wait_deadline_us(&r->call), keepalive_at(r)));
    at = earlier(at, hedge_at_us(r));
    for (const struct attempt *a = r->attempts; a; a = a->next)
        at = earlier(at, earlier(attempt_deadline(a, &what), wait_deadline_us(&a->call)));
    return at;
}

void request_arm(struct request *r)
{
    if (r->is_ending || !r->timer)
        return;
    int64_t at = next_deadline(r);
    if (at >= r->timer_at_us)
        return; /* it fires earlier and looks again */
    r->timer_at_us = at;
    int64_t in_us = clock_real_us(at - monotonic_us());
    struct timeval tv = { in_us / 1000000, in_us % 1000000 };
    event_add(r->timer, &tv);
}

static void overdue_wait(struct request *r, struct weir_call *c)
{
    const char *plugin = "";
    int64_t since;
    const char *why = wait_why(c, &plugin, &since);
    LOG_WARN("wait.overdue", "plugin", plugin, "hook", hook_name(c->hook), "request", r->id, "waits_for", why);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_TIMEOUT };
    e.message = arena_printf(r->arena, "The stage \"%s\" waited too long (%s).", plugin, why);
    request_fail(r, &e);
}

static void overdue_attempt(struct attempt *a, const char *what)
{
    struct request *r = a->call.request;
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_TIMEOUT };
    e.message = arena_printf(r->arena, "%.*s did not answer in time (%s time-out, %u ms).", (int)a->target->view.name.n,
                             a->target->view.name.p, what,
                             what[0] == 't'   ? attempt_total_ms(a)
                             : what[0] == 'f' ? a->timeouts.ms[WEIR_TIMEOUT_FIRST_TOKEN]
                                              : a->timeouts.ms[WEIR_TIMEOUT_IDLE]);
    a->was_silent = true;
    attempt_fail(a, &e);
}

/* The core's own waits end by themselves; a stage that waits too long has failed. */
static bool is_stage_overdue(struct weir_call *c, int64_t now)
{
    return wait_is_overdue(c, now) && !wait_ring(c);
}

static void check_deadlines(struct request *r, int64_t now)
{
    if (request_deadline_us(r) <= now) {
        struct weir_error e = { .size = sizeof(e),
                                .error_class = WEIR_ERROR_TIMEOUT,
                                .message = WEIR_LIT("The request took longer than its total time-out.") };
        request_fail(r, &e);
        return;
    }
    if (is_stage_overdue(&r->call, now)) {
        overdue_wait(r, &r->call);
        return;
    }
    for (struct attempt *a = r->attempts; a && !r->is_ending; a = a->next) {
        const char *what = "";
        if (is_stage_overdue(&a->call, now))
            overdue_wait(r, &a->call);
        else if (attempt_deadline(a, &what) <= now)
            overdue_attempt(a, what);
    }
    if (!r->is_ending && hedge_at_us(r) <= now)
        hedge_begin(r);
    if (!r->is_ending && keepalive_at(r) <= now)
        deliver_keepalive(r);
}

void request_on_timer(int fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct request *r = arg;
    r->timer_at_us = INT64_MAX;
    request_enter(r);
    check_deadlines(r, monotonic_us());
    request_arm(r);
    request_leave(r);
}
