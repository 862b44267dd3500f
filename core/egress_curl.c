/* The egress on libcurl's multi socket interface: what libcurl asks of the loop, and the life of calls.
 *
 * Nothing begins, ends or resumes inside a caller's call or inside libcurl: such calls stand on a list and settle() works it off
 * from the event loop. A socket stays in the poll set between two calls on its connection, which spares two system calls for
 * each of them; the first event that nobody waits for takes it out, so an idle connection that its server closes can't spin.
 */
#include "egress_curl.h"
#include "recycler.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"

enum { RELEASE_MS = 500, KEPT_CONNECTIONS = 1024, MESSAGE_MAX = 512 };

static void settle(struct egress *e);

/* Whatever runs with `inside` raised settles when it is done. */
static void wake(struct egress *e)
{
    if (e->inside == 0)
        event_active(e->later_event, EV_TIMEOUT, 0);
}

int64_t egress_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what libcurl asks of the loop ---- */

static void act(struct egress *e, curl_socket_t fd, int what)
{
    int running;
    e->inside++;
    curl_multi_socket_action(e->multi, fd, what, &running);
    e->inside--;
}

static void on_socket_ready(evutil_socket_t fd, short what, void *arg)
{
    struct watched *w = arg;
    if (!w->wanted) {
        event_del(&w->event);
        w->armed = 0;
        return;
    }
    struct egress *e = w->egress;
    act(e, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
    settle(e);
}

static struct watched *watched_at(struct egress *e, curl_socket_t fd)
{
    if ((uint32_t)fd >= e->n_sockets) {
        uint32_t n = e->n_sockets ? e->n_sockets : 64;
        while (n <= (uint32_t)fd)
            n *= 2;
        struct watched **more = realloc(e->sockets, n * sizeof(*more));
        if (!more)
            return NULL;
        memset(more + e->n_sockets, 0, (n - e->n_sockets) * sizeof(*more));
        e->sockets = more;
        e->n_sockets = n;
    }
    if (!e->sockets[fd])
        e->sockets[fd] = calloc(1, sizeof(struct watched));
    if (e->sockets[fd])
        e->sockets[fd]->egress = e;
    return e->sockets[fd];
}

/* Kept in the poll set if it may be a connection that is kept. One that never came to stand was closed already, and libcurl
 * does not call close_socket() for it. */
static void release_socket(struct watched *w)
{
    if (!w)
        return;
    w->wanted = 0;
    if (!w->armed || w->armed == EV_READ)
        return;
    event_del(&w->event);
    w->armed = 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy, (void)known;
    struct egress *e = arg;
    if (what == CURL_POLL_REMOVE) {
        release_socket((uint32_t)fd < e->n_sockets ? e->sockets[fd] : NULL);
        return 0;
    }
    struct watched *w = watched_at(e, fd);
    if (!w)
        return -1;
    w->wanted = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    if (w->armed == w->wanted)
        return 0;
    if (w->armed)
        event_del(&w->event);
    w->armed = w->wanted;
    event_assign(&w->event, e->base, fd, (short)(w->wanted | EV_PERSIST), on_socket_ready, w);
    return event_add(&w->event, NULL);
}

static int on_set_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct egress *e = arg;
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    e->wants_action = ms == 0;
    if (ms == 0)
        wake(e);
    else if (ms > 0)
        event_add(e->timer, &tv);
    else if (event_pending(e->timer, EV_TIMEOUT, NULL))
        event_del(e->timer);
    return 0;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
    settle(arg);
}

/* ---- the list ---- */

void egress_later(struct egress_call *c)
{
    struct egress *e = c->egress;
    if (c->later_from)
        return;
    c->next_later = e->later;
    if (e->later)
        e->later->later_from = &c->next_later;
    c->later_from = &e->later;
    e->later = c;
    wake(e);
}

static void forget_later(struct egress_call *c)
{
    if (!c->later_from)
        return;
    *c->later_from = c->next_later;
    if (c->next_later)
        c->next_later->later_from = c->later_from;
    c->next_later = NULL;
    c->later_from = NULL;
}

/* ---- ends ---- */

static void stop_looking(struct egress_call *c)
{
    if (c->look_up)
        dns_cancel(c->look_up);
    if (c->look_up_timer)
        event_free(c->look_up_timer);
    c->look_up = NULL;
    c->look_up_timer = NULL;
}

/* Never inside libcurl. An unfinished transfer takes its connection with it. */
static void put_away(struct egress_call *c)
{
    struct egress *e = c->egress;
    stop_looking(c);
    forget_later(c);
    if (c->state == CALL_RUNNING) {
        e->inside++;
        curl_multi_remove_handle(e->multi, c->easy);
        e->inside--;
    }
    *(c->prev ? &c->prev->next : &e->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->next = c->prev = NULL;
    e->n_calls--;
    call_give_back(c);
}

void egress_end_call(struct egress_call *c, enum egress_result result, const char *message)
{
    const struct egress_ops *ops = c->ops;
    c->state = CALL_OVER;
    c->ops = NULL;
    if (ops)
        ops->on_end(c->arg, result, message);
    put_away(c);
}

static void give_to_libcurl(struct egress_call *c)
{
    if (curl_multi_add_handle(c->egress->multi, c->easy) == CURLM_OK)
        c->state = CALL_RUNNING;
    else
        egress_end_call(c, EGRESS_MEMORY, "memory is short");
}

/* The kept connection was dead: once more, on a new one. */
static bool retry(struct egress_call *c)
{
    if (!c->wants_retry || c->upload || c->timing.was_retried || c->is_cancelled || c->is_released || c->has_head)
        return false;
    c->timing.was_retried = true;
    c->wants_retry = false;
    c->tries = 0;
    c->error[0] = 0;
    call_rewind(c);
    curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 1L);
    c->is_fresh = true;
    give_to_libcurl(c);
    return true;
}

static void transfer_ended(struct egress_call *c, CURLcode rc)
{
    char message[MESSAGE_MAX];
    struct egress *e = c->egress;
    curl_multi_remove_handle(e->multi, c->easy);
    c->state = CALL_OVER;
    if (rc != CURLE_OK && retry(c))
        return;
    enum egress_result result = result_of(c, rc);
    if (result == EGRESS_CONNECT && c->looked_up)
        dns_distrust(e->dns, c->looked_up);
    result_message(c, result, rc, message, sizeof(message));
    egress_end_call(c, result, message);
}

/* ---- settling ---- */

static void take_messages(struct egress *e)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(e->multi, &left))) {
        struct egress_call *c;
        CURLcode rc = m->data.result;
        if (m->msg == CURLMSG_DONE && curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c) == CURLE_OK)
            transfer_ended(c, rc);
    }
}

static void begin(struct egress_call *c);

static void heed(struct egress_call *c)
{
    if (c->is_cancelled)
        put_away(c);
    else if (c->refused && c->state == CALL_STARTING)
        egress_end_call(c, c->refused, c->why);
    else if (c->state == CALL_STARTING)
        begin(c);
    else if (c->state == CALL_RUNNING)
        call_go_on(c);
}

/* Heeds all marks. Handlers may leave new ones meanwhile; they line up and come in the next round. */
static void settle(struct egress *e)
{
    if (e->inside > 0)
        return;
    e->inside++;
    take_messages(e);
    while (e->later || e->wants_action) {
        struct egress_call *c = e->later;
        if (c) {
            forget_later(c);
            heed(c);
            continue;
        }
        e->wants_action = false;
        act(e, CURL_SOCKET_TIMEOUT, 0);
        take_messages(e);
    }
    e->inside--;
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    settle(arg);
}

/* ---- beginnings ---- */

static void refuse_private(struct egress_call *c)
{
    char message[MESSAGE_MAX];
    snprintf(message, sizeof(message), "%s is not an address of the public internet, and only those may be called here",
             c->place.host);
    egress_end_call(c, EGRESS_CONNECT, message);
}

static void begin_at(struct egress_call *c, struct dns_addresses addresses)
{
    if (call_set_addresses(c, addresses.list, addresses.version))
        give_to_libcurl(c);
    else if (c->refused)
        refuse_private(c);
    else
        egress_end_call(c, EGRESS_MEMORY, "memory is short");
}

static void on_addresses(void *arg, struct dns_addresses addresses, const char *why)
{
    struct egress_call *c = arg;
    struct egress *e = c->egress;
    char message[MESSAGE_MAX];
    c->look_up = NULL;
    stop_looking(c);
    c->timing.dns_us = (uint32_t)(egress_now_us() - c->started_us);
    e->inside++;
    if (addresses.list) {
        begin_at(c, addresses);
    } else {
        snprintf(message, sizeof(message), "the name \"%s\" can't be looked up: %s", c->looked_up, why);
        egress_end_call(c, EGRESS_DNS, message);
    }
    e->inside--;
    settle(e);
}

static void on_look_up_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct egress_call *c = arg;
    struct egress *e = c->egress;
    char message[MESSAGE_MAX];
    snprintf(message, sizeof(message), "the name \"%s\" was not looked up within %u ms", c->looked_up, c->connect_ms);
    e->inside++;
    egress_end_call(c, EGRESS_DNS, message);
    e->inside--;
    settle(e);
}

static void look_up(struct egress_call *c)
{
    struct egress *e = c->egress;
    struct timeval tv = clock_timer(c->connect_ms);
    c->state = CALL_LOOKING;
    c->look_up = dns_ask(e->dns, c->looked_up, on_addresses, c);
    c->look_up_timer = c->connect_ms ? event_new(e->base, -1, 0, on_look_up_timeout, c) : NULL;
    if (c->look_up_timer)
        event_add(c->look_up_timer, &tv);
    if (!c->look_up)
        egress_end_call(c, EGRESS_MEMORY, "memory is short");
}

static void begin(struct egress_call *c)
{
    if (!c->looked_up && c->pool->origin->refuses_private && !address_is_public(c->place.host)) {
        refuse_private(c);
        return;
    }
    struct dns_addresses known = c->looked_up ? dns_cached(c->egress->dns, c->looked_up) : (struct dns_addresses){ 0 };
    if (!c->looked_up)
        give_to_libcurl(c);
    else if (known.list)
        begin_at(c, known);
    else
        look_up(c);
}

const struct egress_carrier *egress_other;

void egress_carry(const struct egress_carrier *carrier)
{
    egress_other = carrier;
}

struct egress_call *egress_start(struct egress *e, const struct egress_request *r, const struct egress_ops *ops,
                                 void *arg)
{
    if (egress_other)
        return egress_other->start(r, ops, arg);
    struct egress_call *c = call_take(e, r->origin);
    if (!c)
        return NULL;
    if (!call_set_request(c, r)) {
        call_give_back(c);
        return NULL;
    }
    c->ops = ops;
    c->arg = arg;
    c->started_us = egress_now_us();
    c->next = e->calls;
    if (e->calls)
        e->calls->prev = c;
    e->calls = c;
    e->n_calls++;
    c->state = CALL_STARTING;
    egress_later(c);
    return c;
}

/* ---- what callers do to calls ---- */

void egress_cancel(struct egress_call *c)
{
    if (egress_other) {
        egress_other->cancel(c);
        return;
    }
    struct egress *e = c->egress;
    c->ops = NULL;
    c->is_cancelled = true;
    if (c->state == CALL_OVER)
        return; /* its end is being told */
    if (e->inside > 0) {
        egress_later(c);
        return;
    }
    put_away(c);
    if (e->wants_action)
        wake(e);
}

/* The request must be out, since what it points to is no longer there. */
void egress_release(struct egress_call *c)
{
    if (egress_other) {
        egress_other->cancel(c);
        return;
    }
    struct egress *e = c->egress;
    struct timeval tv = { 0, RELEASE_MS * 1000 };
    bool is_sending = c->upload || (c->is_streamed && c->piece < c->n_body);
    if (is_sending || c->is_paused || c->state != CALL_RUNNING || !c->has_head) {
        egress_cancel(c);
        return;
    }
    c->ops = NULL;
    c->is_released = true;
    c->release_at_ms = egress_now_us() / 1000 + RELEASE_MS;
    if (!event_pending(e->sweep, EV_TIMEOUT, NULL))
        event_add(e->sweep, &tv);
}

/* Released calls that do not come to rest are cut. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct egress *e = arg;
    struct timeval tv = { 0, RELEASE_MS * 1000 };
    int64_t now = egress_now_us() / 1000;
    bool is_more = false;
    for (struct egress_call *c = e->calls, *next; c; c = next) {
        next = c->next;
        if (c->is_released && c->release_at_ms <= now)
            egress_cancel(c);
        else
            is_more = is_more || c->is_released;
    }
    if (is_more)
        event_add(e->sweep, &tv);
}

struct egress_timing egress_timing(const struct egress_call *c)
{
    if (egress_other)
        return (struct egress_timing){ 0 };
    struct egress_timing t = c->timing;
    curl_off_t look_up = 0, connect = 0, tls = 0;
    long connects = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connects);
    t.was_reused = connects == 0 && c->tries > 0;
    if (connects == 0)
        return t;
    curl_easy_getinfo(c->easy, CURLINFO_NAMELOOKUP_TIME_T, &look_up);
    curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &connect);
    curl_easy_getinfo(c->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
    t.connect_us = (uint32_t)(connect > look_up ? connect - look_up : 0);
    t.tls_us = (uint32_t)(tls > connect ? tls - connect : 0);
    return t;
}

uint32_t egress_in_flight(const struct egress *e)
{
    return e->n_calls;
}

/* ---- the egress ---- */

static void set_multi(struct egress *e)
{
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_share_setopt(e->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

struct egress *egress_new(struct event_base *base)
{
    struct egress *e = calloc(1, sizeof(*e));
    if (!e || curl_global_init_mem(CURL_GLOBAL_DEFAULT, recycler_malloc, recycler_free, recycler_realloc,
                                   recycler_strdup, recycler_calloc) != CURLE_OK) {
        free(e);
        return NULL;
    }
    e->base = base;
    e->multi = curl_multi_init();
    e->share = curl_share_init();
    e->timer = event_new(base, -1, 0, on_timeout, e);
    e->later_event = event_new(base, -1, 0, on_later, e);
    e->sweep = event_new(base, -1, 0, on_sweep, e);
    e->dns = dns_new(base);
    e->proxies = proxies_new();
    e->scratch = malloc(EGRESS_READ_MAX);
    if (!e->multi || !e->share || !e->timer || !e->later_event || !e->sweep || !e->dns || !e->proxies || !e->scratch) {
        egress_free(e);
        return NULL;
    }
    set_multi(e);
    return e;
}

static void free_pools(struct egress *e)
{
    while (e->pools) {
        struct origin_pool *p = e->pools;
        e->pools = p->next;
        while (p->idle) {
            struct egress_call *c = p->idle;
            p->idle = c->next;
            call_destroy(c);
        }
        free(p);
    }
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

void egress_free(struct egress *e)
{
    if (!e)
        return;
    while (e->calls)
        put_away(e->calls);
    free_pools(e);
    if (e->multi)
        curl_multi_cleanup(e->multi); /* closes what is kept, through close_socket() */
    curl_share_cleanup(e->share);
    dns_free(e->dns);
    free_event(e->timer);
    free_event(e->later_event);
    free_event(e->sweep);
    proxies_free(e->proxies);
    for (uint32_t i = 0; i < e->n_sockets; i++)
        free(e->sockets[i]);
    free(e->sockets);
    free(e->scratch);
    free(e);
}
