/* Host functions: timers, descriptors, HTTP calls, work for later, work from other threads, counting, logging, sharing.
 *
 * Every callback into a plugin runs under a breadcrumb and in a scratch of its own. A handle belongs to the plugin until its
 * callback was called (timer, fetch) or it was cancelled.
 */
#include "host.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "json.h"
#include "log.h"
#include "recording.h"

static struct crumb enter(const struct weir_instance *inst, enum crumb_hook hook, struct scratch *scratch)
{
    *scratch = scratch_enter();
    return crumb_enter(inst->plugin->index, hook, NULL, NULL);
}

static void leave(const struct crumb *before, struct scratch scratch)
{
    recording_pause();
    crumb_leave(before);
    scratch_leave(scratch);
}

/* ---- timers and deferred work ---- */

struct job {
    struct weir_instance *inst;
    struct event *event;
    weir_fn fn;
    void *arg;
    enum crumb_hook hook;
};

static void on_job(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct job j = *(struct job *)arg;
    struct scratch scratch;
    event_free(j.event);
    free(arg);
    struct crumb before = enter(j.inst, j.hook, &scratch);
    j.fn(j.arg);
    leave(&before, scratch);
}

static struct job *start_job(struct weir_instance *inst, uint32_t ms, weir_fn fn, void *arg, enum crumb_hook hook)
{
    struct job *j = malloc(sizeof(*j));
    struct timeval tv = clock_timer(ms);
    if (!j)
        return NULL;
    *j = (struct job){ inst, NULL, fn, arg, hook };
    j->event = evtimer_new(worker->base, on_job, j);
    if (!j->event || event_add(j->event, &tv) < 0) {
        if (j->event)
            event_free(j->event);
        free(j);
        return NULL;
    }
    return j;
}

void *host_timer(struct weir_instance *inst, uint32_t ms, weir_fn fn, void *arg)
{
    return start_job(inst, ms, fn, arg, CRUMB_TIMER);
}

void host_timer_cancel(struct weir_instance *inst, void *timer)
{
    (void)inst;
    struct job *j = timer;
    if (!j)
        return;
    event_free(j->event);
    free(j);
}

int host_defer(struct weir_instance *inst, weir_fn fn, void *arg)
{
    return start_job(inst, 0, fn, arg, CRUMB_DEFER) ? 0 : -1;
}

/* ---- descriptors ---- */

struct watch {
    struct weir_instance *inst;
    struct event *event;
    weir_watch_fn fn;
    void *arg;
};

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    const struct watch *w = arg;
    uint32_t events = (what & EV_READ ? WEIR_READABLE : 0u) | (what & EV_WRITE ? WEIR_WRITABLE : 0u);
    struct scratch scratch;
    struct crumb before = enter(w->inst, CRUMB_WATCH, &scratch);
    w->fn(w->arg, fd, events); /* may cancel itself: w is not read after it */
    leave(&before, scratch);
}

void *host_watch(struct weir_instance *inst, int fd, uint32_t events, weir_watch_fn fn, void *arg)
{
    struct watch *w = malloc(sizeof(*w));
    short what = (short)(EV_PERSIST | (events & WEIR_READABLE ? EV_READ : 0) | (events & WEIR_WRITABLE ? EV_WRITE : 0));
    if (!w)
        return NULL;
    *w = (struct watch){ inst, NULL, fn, arg };
    w->event = event_new(worker->base, fd, what, on_watch, w);
    if (w->event && event_add(w->event, NULL) == 0)
        return w;
    if (w->event)
        event_free(w->event);
    free(w);
    return NULL;
}

void host_watch_cancel(struct weir_instance *inst, void *watch)
{
    (void)inst;
    struct watch *w = watch;
    if (!w)
        return;
    event_free(w->event);
    free(w);
}

/* ---- from other threads ---- */

struct woken {
    struct woken *next;
    struct weir_instance *inst;
    weir_fn fn;
    void *arg;
};
static struct {
    pthread_mutex_t lock;
    struct woken *first, **end;
    int fd;
    struct event *event;
} wakes = { PTHREAD_MUTEX_INITIALIZER, NULL, NULL, -1, NULL };

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what, (void)arg;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&wakes.lock);
    struct woken *list = wakes.first;
    wakes.first = NULL;
    wakes.end = NULL;
    pthread_mutex_unlock(&wakes.lock);
    while (list) {
        struct woken w = *list;
        struct scratch scratch;
        free(list);
        list = w.next;
        struct crumb before = enter(w.inst, CRUMB_DEFER, &scratch);
        w.fn(w.arg);
        leave(&before, scratch);
    }
}

int host_wake(struct weir_instance *inst, weir_fn fn, void *arg)
{
    struct woken *w = malloc(sizeof(*w));
    uint64_t one = 1;
    if (!w)
        return -1;
    *w = (struct woken){ NULL, inst, fn, arg };
    pthread_mutex_lock(&wakes.lock);
    if (!wakes.end)
        wakes.end = &wakes.first;
    *wakes.end = w;
    wakes.end = &w->next;
    pthread_mutex_unlock(&wakes.lock);
    return write(wakes.fd, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

int host_loop_start(struct event_base *base)
{
    wakes.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wakes.event = wakes.fd < 0 ? NULL : event_new(base, wakes.fd, EV_READ | EV_PERSIST, on_wake, NULL);
    return wakes.event && event_add(wakes.event, NULL) == 0 ? 0 : -1;
}

void host_loop_stop(void)
{
    if (wakes.event)
        event_free(wakes.event);
    if (wakes.fd >= 0)
        close(wakes.fd);
    wakes.event = NULL;
    wakes.fd = -1;
}

/* ---- HTTP calls ---- */

enum { FETCH_HEADERS_MAX = 48, FETCH_BODY_MAX = 1024 * 1024 };

struct fetch {
    struct weir_instance *inst;
    struct egress_call *call;
    struct event *deadline;
    weir_fetch_fn done;
    void *arg;
    struct arena *arena;
    struct weir_out body, headers;
    size_t max_body;
    int status;
    uint32_t deadline_ms;
    json_t *record; /* where its result is noted; NULL: nowhere */
};
static const struct egress_origin fetch_origin = { .name = "http" };

static void free_fetch(struct fetch *f)
{
    if (f->deadline)
        event_free(f->deadline);
    out_free(&f->body);
    out_free(&f->headers);
    arena_free(f->arena);
    json_decref(f->record);
    free(f);
}

static void tell(struct fetch *f, struct weir_str error)
{
    struct weir_fetch_result result = { .size = sizeof(result),
                                        .status = error.n ? 0 : f->status,
                                        .error = error,
                                        .body = out_bytes(&f->body),
                                        .headers = out_bytes(&f->headers) };
    struct scratch scratch;
    if (f->record)
        recording_fetched(f->record, &result);
    struct crumb before = enter(f->inst, CRUMB_FETCH, &scratch);
    f->done(f->arg, &result);
    leave(&before, scratch);
    free_fetch(f);
}

static void fetch_on_head(void *arg, int status, const struct http_header *headers, uint32_t n)
{
    struct fetch *f = arg;
    f->status = status;
    out_reset(&f->headers, 4096);
    for (uint32_t i = 0; i < n; i++) {
        out_write(&f->headers, headers[i].name);
        out_write(&f->headers, WEIR_LIT(": "));
        out_write(&f->headers, headers[i].value);
        out_write(&f->headers, WEIR_LIT("\n"));
    }
}

static void fetch_fail(struct fetch *f, struct weir_str error)
{
    struct egress_call *call = f->call;
    f->call = NULL;
    if (call)
        egress_cancel(call);
    tell(f, error);
}

static void fetch_on_body(void *arg, struct weir_str bytes)
{
    struct fetch *f = arg;
    if (f->body.n + bytes.n > f->max_body) {
        fetch_fail(f, WEIR_LIT("the answer is larger than allowed"));
        return;
    }
    out_write(&f->body, bytes);
}

static void fetch_on_end(void *arg, enum egress_result result, const char *message)
{
    struct fetch *f = arg;
    f->call = NULL;
    tell(f, result == EGRESS_OK ? WEIR_NONE : weir_cstr(*message ? message : "the call failed"));
}

static void fetch_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct fetch *f = arg;
    fetch_fail(f, arena_printf(f->arena, "no answer within %u ms", f->deadline_ms));
}

static uint32_t fetch_headers(struct fetch *f, const struct weir_fetch *q, struct http_header *to)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < q->n_headers && n < FETCH_HEADERS_MAX; i++) {
        const struct weir_fetch_header *h = &q->headers[i];
        struct weir_str secret = host_secret_value(h->secret);
        struct weir_str value = arena_printf(f->arena, "%.*s%.*s", (int)h->value.n, h->value.p ? h->value.p : "",
                                             (int)secret.n, secret.p ? secret.p : "");
        if (http_is_token(h->name) && http_is_value(value))
            to[n++] = (struct http_header){ arena_copy(f->arena, h->name), value };
    }
    return n;
}

static bool start_fetch(struct fetch *f, const struct weir_fetch *q)
{
    struct http_header headers[FETCH_HEADERS_MAX];
    static const struct egress_ops ops = { fetch_on_head, fetch_on_body, fetch_on_end, NULL };
    struct weir_str *body = arena_alloc(f->arena, sizeof(*body));
    struct timeval tv = clock_timer(q->deadline_ms);
    if (!body || !q->deadline_ms)
        return false;
    *body = arena_copy(f->arena, q->body);
    struct egress_request r = { .origin = &fetch_origin,
                                .method = arena_copy(f->arena, q->method).p,
                                .url = arena_copy(f->arena, q->url).p,
                                .headers = headers,
                                .n_headers = fetch_headers(f, q, headers),
                                .body = body,
                                .n_body = q->body.n ? 1 : 0,
                                .connect_ms = q->deadline_ms };
    f->deadline = evtimer_new(worker->base, fetch_on_deadline, f);
    f->call = f->deadline && event_add(f->deadline, &tv) == 0 ? egress_start(worker->egress, &r, &ops, f) : NULL;
    return f->call != NULL;
}

void *host_fetch(struct weir_instance *inst, const struct weir_fetch *q, weir_fetch_fn done, void *arg)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->inst = inst;
    f->done = done;
    f->arg = arg;
    f->deadline_ms = q->deadline_ms;
    f->record = recording_tap ? recording_tap->fetch(q) : NULL;
    f->max_body = q->max_body ? q->max_body : FETCH_BODY_MAX;
    f->arena = arena_new();
    if (f->arena && start_fetch(f, q))
        return f;
    free_fetch(f);
    return NULL;
}

void host_fetch_cancel(struct weir_instance *inst, void *fetch)
{
    (void)inst;
    struct fetch *f = fetch;
    if (!f)
        return;
    if (f->call)
        egress_cancel(f->call);
    free_fetch(f);
}

/* ---- counting, logging, sharing ---- */

int host_counter(struct weir_instance *inst, const char *name, const char *labels)
{
    return metric_declare(name, labels, inst->plugin->desc.summary, METRIC_COUNTER);
}

void host_count(struct weir_instance *inst, int id, int64_t n)
{
    (void)inst;
    if (id >= 0)
        metric_add(id, n);
}

void host_log(struct weir_instance *inst, enum weir_log_level level, const char *format, ...)
{
    char message[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    log_pairs((enum log_level)level, "plugin.log", "plugin", inst->plugin->desc.name, "msg", message, (char *)NULL);
}

struct weir_str host_shared_get(struct weir_call *c, struct weir_str key)
{
    char buf[SHM_VALUE];
    size_t n = sizeof(buf);
    bool is_there = shared_get(key, buf, &n, unix_ms()) >= 0;
    struct weir_str found = is_there ? arena_copy(c->arena, (struct weir_str){ buf, n }) : WEIR_NONE;
    return recording_tap ? recording_tap->shared(key, found) : found;
}

/* What a rule is about to change: for a sum, what it was counts; what is set anew, not. */
static void note_shared_before(struct weir_str key, bool is_set)
{
    char buf[SHM_VALUE];
    size_t n = sizeof(buf);
    bool is_there = shared_get(key, buf, &n, unix_ms()) >= 0;
    struct weir_str found = is_there ? (struct weir_str){ buf, n } : WEIR_NONE;
    if (is_set)
        recording_tap->shared_set(key, found);
    else
        recording_tap->shared(key, found);
}

static int64_t expiry(uint32_t ttl_ms)
{
    return ttl_ms ? unix_ms() + ttl_ms : 0;
}

int host_shared_set(struct weir_instance *inst, struct weir_str key, struct weir_str value, uint32_t ttl_ms)
{
    (void)inst;
    if (recording_tap)
        note_shared_before(key, true);
    return shared_set(key, value, expiry(ttl_ms));
}

int host_shared_incr(struct weir_instance *inst, struct weir_str key, int64_t by, uint32_t ttl_ms, int64_t *result)
{
    (void)inst;
    if (recording_tap)
        note_shared_before(key, false);
    return shared_incr(key, by, expiry(ttl_ms), unix_ms(), result);
}
