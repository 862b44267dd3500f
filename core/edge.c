/* The edge: listening, the list of connections, the clock that ends those that take too long.
 *
 * No connection has a timer of its own: one tick looks at all deadlines, because hardly one ever comes due, and arming timers
 * is what every request would pay for.
 */
#include "edge.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"
#include "log.h"

int64_t edge_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what is done later ---- */

static void run_later(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct edge *e = arg;
    struct conn *list = e->later;
    e->later = NULL;
    if (list)
        list->later_from = &list;
    while (list) {
        struct conn *c = list;
        edge_forget_later(c);
        conn_run(c);
    }
}

static bool line_up(struct conn *c)
{
    struct edge *e = c->edge;
    if (c->later_from)
        return false;
    c->next_later = e->later;
    if (e->later)
        e->later->later_from = &c->next_later;
    c->later_from = &e->later;
    e->later = c;
    return true;
}

void edge_later(struct conn *c)
{
    if (!c->is_running && line_up(c))
        event_active(c->edge->later_event, EV_TIMEOUT, 0);
}

void edge_again(struct conn *c)
{
    static const struct timeval now = { 0, 0 };
    if (line_up(c))
        event_add(c->edge->later_event, &now);
}

void edge_forget_later(struct conn *c)
{
    if (!c->later_from)
        return;
    *c->later_from = c->next_later;
    if (c->next_later)
        c->next_later->later_from = c->later_from;
    c->next_later = NULL;
    c->later_from = NULL;
}

/* ---- listening ---- */

static void apply_listening(struct edge *e)
{
    bool wanted = e->is_accepting && !e->is_full && !e->is_draining;
    if (wanted == e->is_listening)
        return;
    e->is_listening = wanted;
    for (uint32_t i = 0; i < e->n_listeners; i++) {
        if (wanted)
            event_add(e->listeners[i], NULL);
        else
            event_del(e->listeners[i]);
    }
}

void edge_has_room(struct edge *e)
{
    if (!e->is_full || e->counts.connections >= e->limits.max_connections)
        return;
    e->is_full = false;
    apply_listening(e);
}

static void become_full(struct edge *e, const char *why)
{
    LOG_WARN("edge.full", "why", why);
    e->is_full = true;
    apply_listening(e);
}

/* One accept per wake: the other workers listen to the same socket and get their share. */
static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct edge *e = arg;
    struct sockaddr_storage from = { 0 };
    socklen_t n = sizeof(from);
    int client = accept4(fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        become_full(e, "no descriptors or memory left for a connection");
    if (client < 0)
        return;
    if (!conn_new(e, client, &from)) {
        close(client);
        return;
    }
    e->counts.accepted++;
    if (e->counts.connections >= e->limits.max_connections)
        become_full(e, "limits.max_connections is reached");
}

int edge_listen(struct edge *e, int fd)
{
    int on = 1;
    struct event **more = realloc(e->listeners, (e->n_listeners + 1) * sizeof(*more));
    if (!more)
        return -1;
    e->listeners = more;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof(on)); /* its connections inherit it; a unix socket has no use for it */
    struct event *event = event_new(e->base, fd, EV_READ | EV_PERSIST, on_accept, e);
    if (!event || (e->is_listening && event_add(event, NULL) < 0)) {
        if (event)
            event_free(event);
        return -1;
    }
    e->listeners[e->n_listeners++] = event;
    return 0;
}

void edge_set_accepting(struct edge *e, bool accepting)
{
    e->is_accepting = accepting;
    apply_listening(e);
}

void edge_drain(struct edge *e)
{
    e->is_draining = true;
    apply_listening(e);
}

/* ---- the clock ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct edge *e = arg;
    int64_t now = edge_now_ms();
    for (struct conn *c = e->conns, *next; c; c = next) {
        next = c->next;
        conn_check_deadlines(c, now);
    }
    edge_has_room(e); /* descriptors may be back although none of ours was closed */
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return b && b < a ? b : a;
}

/* A quarter of the shortest limit, a second at most. */
static int start_tick(struct edge *e)
{
    const struct edge_limits *l = &e->limits;
    uint32_t ms =
        smaller(smaller(smaller(smaller(4000, l->header_ms), l->body_idle_ms), l->idle_ms), l->write_idle_ms) / 4;
    ms = ms < 10 ? 10 : ms;
    struct timeval tv = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 };
    e->tick = event_new(e->base, -1, EV_PERSIST, on_tick, e);
    return e->tick ? event_add(e->tick, &tv) : -1;
}

/* ---- its life ---- */

static void fill_defaults(struct edge_limits *l)
{
    l->header_bytes = l->header_bytes ? l->header_bytes : 64 * 1024;
    l->body_bytes = l->body_bytes ? l->body_bytes : 32u << 20;
    l->body_memory = l->body_memory ? l->body_memory : 512u << 20;
    l->high_water = l->high_water ? l->high_water : 256 * 1024;
    l->low_water = l->low_water ? l->low_water : 64 * 1024;
    l->max_connections = l->max_connections ? l->max_connections : 65536;
}

struct edge *edge_new(struct event_base *base, const struct edge_limits *limits, const struct edge_handler *handler)
{
    struct edge *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->base = base;
    e->limits = *limits;
    fill_defaults(&e->limits);
    e->handler = handler;
    e->is_accepting = e->is_listening = true;
    e->scratch = malloc(EDGE_SCRATCH);
    e->later_event = event_new(base, -1, 0, run_later, e);
    if (e->scratch && e->later_event && start_tick(e) == 0)
        return e;
    edge_free(e);
    return NULL;
}

void edge_free(struct edge *e)
{
    if (!e)
        return;
    while (e->conns)
        conn_free(e->conns);
    for (uint32_t i = 0; i < e->n_listeners; i++)
        event_free(e->listeners[i]);
    free(e->listeners);
    if (e->later_event)
        event_free(e->later_event);
    if (e->tick)
        event_free(e->tick);
    free(e->scratch);
    free(e);
}

struct edge_counts edge_counts(const struct edge *e)
{
    struct edge_counts counts = e->counts;
    counts.idle = counts.connections - counts.exchanges;
    return counts;
}
