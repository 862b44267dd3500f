/* A worker without a master, without a network and without time of its own.
 *
 * The client's side is a real connection: a unix socket to the real edge. The providers' side is a carrier (egress.h) whose
 * calls are answered by timers. When the loop has nothing to do, the timer that would be next fires at once, and the clocks are
 * moved on by as much as it had to wait.
 */
#include "rehearsal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "pipeline.h"

enum { HOUR_MS = 3600 * 1000, QUIET_TURNS = 4, READ_BYTES = 65536, GRAIN_US = 10000 };

/* A call to a provider that is being played. */
struct played {
    struct played *next;
    const struct egress_ops *ops; /* NULL: cancelled */
    void *arg;
    struct rehearsal_reply reply;
    struct event *timer;
    int64_t due_us;
    enum { PLAYED_HEAD, PLAYED_BODY, PLAYED_END } step;
    bool is_running, is_paused; /* running: one of its callbacks is on the stack */
};

static struct {
    struct rehearsal r;
    struct worker worker;
    struct played *calls;
    int listener;
    struct sockaddr_un address;
    socklen_t address_n;
    int64_t begin_us;
    uint64_t steps; /* of calls: whether something happens */
} stage;

/* ---- the carrier ---- */

static void forget(struct played *p)
{
    struct played **at = &stage.calls;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    event_free(p->timer);
    free(p);
}

static void schedule(struct played *p)
{
    const struct rehearsal_reply *r = &p->reply;
    int64_t ms = p->step == PLAYED_HEAD ? r->head_after_ms : p->step == PLAYED_BODY ? r->body_after_ms : r->end_after_ms;
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    if (ms < 0 || p->is_paused)
        return;
    p->due_us = monotonic_us() + ms * 1000;
    event_add(p->timer, &tv);
}

static void run_step(struct played *p)
{
    const struct rehearsal_reply *r = &p->reply;
    if (p->step == PLAYED_HEAD && r->status)
        p->ops->on_head(p->arg, r->status, r->headers, r->n_headers);
    else if (p->step == PLAYED_BODY && r->body.n)
        p->ops->on_body(p->arg, r->body);
    else if (p->step == PLAYED_END)
        p->ops->on_end(p->arg, r->result, r->message ? r->message : "");
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct played *p = arg;
    stage.steps++;
    p->is_running = true;
    bool is_last = p->step == PLAYED_END;
    run_step(p);
    p->is_running = false;
    if (!p->ops || is_last) {
        forget(p);
        return;
    }
    p->step++;
    schedule(p);
}

static struct egress_call *played_start(const struct egress_request *q, const struct egress_ops *ops, void *arg)
{
    struct played *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->ops = ops;
    p->arg = arg;
    p->timer = event_new(stage.worker.base, -1, 0, on_time, p);
    p->next = stage.calls;
    stage.calls = p;
    struct rehearsal_call call = { ops == &attempt_egress_ops ? arg : NULL, q };
    stage.r.play(stage.r.arg, &call, &p->reply);
    if (!p->reply.status)
        p->step = PLAYED_END, p->reply.end_after_ms = p->reply.head_after_ms;
    schedule(p);
    return (struct egress_call *)(void *)p;
}

static void played_cancel(struct egress_call *c)
{
    struct played *p = (struct played *)(void *)c;
    p->ops = NULL;
    event_del(p->timer);
    if (!p->is_running)
        forget(p);
}

static void played_pause(struct egress_call *c, bool is_paused)
{
    struct played *p = (struct played *)(void *)c;
    bool was_paused = p->is_paused;
    p->is_paused = is_paused;
    if (is_paused)
        event_del(p->timer);
    else if (was_paused && !p->is_running)
        schedule(p);
}

/* ---- time ---- */

/* A timer as it was seen first: the loop's own clock does not stand still with ours, and does not move on with it. */
struct timer {
    const struct event *event;
    struct timeval at;
    int64_t due_us;
    bool is_pending;
};

static struct {
    struct timer *list;
    size_t n, room;
} timers;

/* When it wants to fire, on our clock: our own timers say it, others to a hundredth of a second. */
static int64_t due_us(const struct event *event, const struct timeval *at)
{
    struct timeval now, wait;
    for (const struct played *p = stage.calls; p; p = p->next)
        if (p->timer == event)
            return p->due_us;
    for (const struct request *r = request_first(); r; r = r->next)
        if (r->timer == event)
            return r->timer_at_us;
    gettimeofday(&now, NULL);
    if (!timercmp(at, &now, >))
        return monotonic_us();
    timersub(at, &now, &wait);
    int64_t us = (int64_t)wait.tv_sec * 1000000 + wait.tv_usec;
    return monotonic_us() + (us + GRAIN_US - 1) / GRAIN_US * GRAIN_US;
}

static struct timer *add_timer(void)
{
    if (timers.n == timers.room) {
        size_t room = 2 * timers.room + 16;
        struct timer *list = realloc(timers.list, room * sizeof(*list));
        if (!list)
            return NULL;
        timers.list = list;
        timers.room = room;
    }
    return &timers.list[timers.n++];
}

static int look_at(const struct event_base *base, const struct event *event, void *arg)
{
    (void)base, (void)arg;
    struct timeval at;
    if (!event_pending(event, EV_TIMEOUT, &at))
        return 0;
    struct timeval least = { 0, 2000 }, off; /* the loop tells it on another clock, whose distance varies by a little */
    for (size_t i = 0; i < timers.n; i++) {
        struct timer *t = &timers.list[i];
        if (timercmp(&at, &t->at, >))
            timersub(&at, &t->at, &off);
        else
            timersub(&t->at, &at, &off);
        if (t->event == event && timercmp(&off, &least, <)) {
            t->is_pending = true;
            return 0;
        }
    }
    struct timer *t = add_timer();
    if (t)
        *t = (struct timer){ event, at, due_us(event, &at), true };
    return 0;
}

static const struct timer *next_timer(void)
{
    const struct timer *next = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < timers.n; i++)
        timers.list[i].is_pending = false;
    event_base_foreach_event(stage.worker.base, look_at, NULL);
    for (size_t i = 0; i < timers.n; i++)
        if (timers.list[i].is_pending)
            timers.list[kept++] = timers.list[i];
    timers.n = kept;
    for (size_t i = 0; i < timers.n; i++)
        if (!next || timers.list[i].due_us < next->due_us)
            next = &timers.list[i];
    return next;
}

/* false: nothing will ever happen. */
static bool go_on_in_time(void)
{
    const struct timer *t = next_timer();
    if (!t)
        return false;
    struct event *event = (struct event *)(uintptr_t)t->event;
    int64_t ahead = t->due_us - monotonic_us();
    if (ahead > 0)
        clock_advance(ahead);
    if (!(event_get_events(event) & EV_PERSIST))
        event_del(event);
    event_active(event, EV_TIMEOUT, 1);
    return true;
}

int64_t rehearsal_ms(void)
{
    return (monotonic_us() - stage.begin_us) / 1000;
}

/* ---- a request ---- */

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&stage.address, stage.address_n) < 0)
        return close(fd), -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* What can be sent and read now. true: something moved; *is_over: the answer is whole. */
static bool exchange_bytes(int fd, struct weir_str *left, struct weir_out *answer, bool *is_over)
{
    char *buf = malloc(READ_BYTES);
    ssize_t sent = left->n ? send(fd, left->p, left->n, MSG_NOSIGNAL) : 0;
    ssize_t got = buf ? recv(fd, buf, READ_BYTES, 0) : -1;
    if (sent > 0)
        left->p += sent, left->n -= (size_t)sent;
    if (got > 0)
        out_write(answer, (struct weir_str){ buf, (size_t)got });
    *is_over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    free(buf);
    return sent > 0 || got > 0;
}

int rehearsal_ask(struct weir_str request, struct weir_out *answer)
{
    int fd = dial(), quiet = 0;
    bool is_over = fd < 0, may_go_on = true;
    int64_t latest_ms = rehearsal_ms() + HOUR_MS;
    while (!is_over && may_go_on && rehearsal_ms() < latest_ms) {
        uint64_t before = stage.steps;
        bool moved = exchange_bytes(fd, &request, answer, &is_over);
        event_base_loop(stage.worker.base, EVLOOP_NONBLOCK);
        quiet = moved || stage.steps != before ? 0 : quiet + 1;
        if (quiet > QUIET_TURNS) {
            may_go_on = go_on_in_time();
            quiet = 0;
        }
    }
    close(fd);
    for (int i = 0; i < QUIET_TURNS; i++)
        event_base_loop(stage.worker.base, EVLOOP_NONBLOCK); /* the edge sees that its client left */
    return is_over && answer->n ? 0 : -1;
}

/* ---- beginning and end ---- */

static int listen_here(void)
{
    struct sockaddr_un any = { .sun_family = AF_UNIX };
    stage.address_n = sizeof(stage.address);
    stage.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stage.listener < 0 || bind(stage.listener, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
        listen(stage.listener, 8) < 0 ||
        getsockname(stage.listener, (struct sockaddr *)&stage.address, &stage.address_n) < 0)
        return -1;
    return edge_listen(stage.worker.edge, stage.listener);
}

int rehearsal_begin(const struct rehearsal *r, char *why, size_t n)
{
    static const struct egress_carrier carrier = { played_start, played_cancel, played_pause };
    stage.r = *r;
    struct worker *w = worker = &stage.worker;
    *w = (struct worker){ .config = r->config, .control_fd = -1, .rehearsal = &stage.r.settings,
                            .watcher = stage.r.watcher.on_finish ? &stage.r.watcher : NULL };
    clock_stop(r->unix_ms);
    stage.begin_us = monotonic_us();
    egress_carry(&carrier);
    w->base = event_base_new();
    w->egress = w->base ? egress_new(w->base) : NULL;
    w->edge = w->egress ? edge_new(w->base, &w->config->limits, pipeline_handler()) : NULL;
    if (!w->edge) {
        snprintf(why, n, "out of memory or descriptors");
        return -1;
    }
    if (pipeline_start(w, why, n) < 0)
        return -1;
    if (listen_here() < 0) {
        snprintf(why, n, "no socket for the rehearsal: %s", strerror(errno));
        return -1;
    }
    return 0;
}

void rehearsal_end(void)
{
    edge_free(stage.worker.edge);
    pipeline_stop();
    while (stage.calls)
        forget(stage.calls);
    egress_free(stage.worker.egress);
    free(timers.list);
    event_base_free(stage.worker.base);
    close(stage.listener);
    worker = NULL;
}
