/* A connection's life, and the order of things on it: one exchange at a time, the next one when the answer has left.
 *
 * The socket is watched edge-triggered for everything from its first day to its last, so a request costs no change to the poll
 * set: `may_have_more` and `is_blocked` remember what the socket said when nobody wanted to know. Whoever waits for an answer is
 * not read from (that bounds what is kept for it), but its leaving is noticed all the same.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINGER_MS = 3000, FULL_IDLE_MS = 1000, RUN_BYTES = 512 * 1024 };

static ssize_t plain_read(int fd, void *to, size_t n)
{
    return recv(fd, to, n, 0);
}

static ssize_t plain_write(int fd, const struct iovec *pieces, int n)
{
    struct msghdr m = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)n };
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static const struct conn_io plain = { plain_read, plain_write };

void conn_set_deadline(struct conn *c, uint32_t ms)
{
    c->deadline_ms = ms ? edge_now_ms() + ms : INT64_MAX;
}

/* ---- making ---- */

static void describe_peer(struct conn *c, const struct sockaddr_storage *from)
{
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
    struct in_addr four = ((const struct sockaddr_in *)from)->sin_addr;
    bool is_mapped = from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    if (is_mapped)
        memcpy(&four, six->sin6_addr.s6_addr + 12, sizeof(four));
    if (from->ss_family == AF_INET || is_mapped) {
        inet_ntop(AF_INET, &four, c->peer, sizeof(c->peer));
        c->is_loopback = ntohl(four.s_addr) >> 24 == 127;
    } else if (from->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &six->sin6_addr, c->peer, sizeof(c->peer));
        c->is_loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
    } else {
        memcpy(c->peer, "unix", 5);
        c->is_loopback = true;
    }
}

/* After a reset the poll set doesn't say "closed" but "readable", as it does when there are more bytes. */
static bool was_reset(const struct conn *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP | POLLRDHUP));
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct conn *c = arg;
    if (what & EV_WRITE)
        c->is_blocked = false;
    if (what & (EV_READ | EV_CLOSED))
        c->may_have_more = true;
    if (what & EV_CLOSED)
        c->peer_closed = true;
    else if ((what & EV_READ) && c->state == CONN_HANDED)
        c->peer_closed = was_reset(c);
    conn_run(c);
}

struct conn *conn_new(struct edge *e, int fd, const struct sockaddr_storage *from)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->edge = e;
    c->io = &plain;
    c->fd = fd;
    c->write_deadline_ms = INT64_MAX;
    conn_set_deadline(c, e->limits.idle_ms);
    describe_peer(c, from);
    event_assign(&c->event, e->base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST | EV_ET, on_io, c);
    if (event_add(&c->event, NULL) < 0) {
        free(c);
        return NULL;
    }
    c->next = e->conns;
    if (e->conns)
        e->conns->prev = c;
    e->conns = c;
    e->counts.connections++;
    return c;
}

/* ---- ending ---- */

static void free_exchange(struct conn *c)
{
    struct edge *e = c->edge;
    e->counts.body_bytes -= c->x->body_cap;
    e->counts.exchanges--;
    free(c->x->body);
    free(c->x);
    c->x = NULL;
}

void conn_lose_exchange(struct conn *c)
{
    struct edge *e = c->edge;
    bool was_running = c->is_running;
    if (!c->x)
        return;
    c->is_running = true;
    e->handler->on_gone(e->handler->arg, c->x);
    c->is_running = was_running;
    if (c->x)
        free_exchange(c);
}

/* An answer that ends with the connection and broke must not end like a whole one: it is reset. */
static void close_socket(struct conn *c)
{
    struct linger none = { 1, 0 };
    if (c->breaks_off)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(c->fd);
}

void conn_free(struct conn *c)
{
    struct edge *e = c->edge;
    conn_lose_exchange(c);
    edge_forget_later(c);
    event_del(&c->event);
    close_socket(c);
    free(c->in.p);
    free(c->out.p);
    *(c->prev ? &c->prev->next : &e->conns) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c);
    e->counts.connections--;
    edge_has_room(e);
}

int64_t conn_unread_body(const struct exchange *x)
{
    if (x->body_done)
        return 0;
    if (x->head->is_chunked || x->head->expects_continue)
        return INT64_MAX;
    return x->head->content_length - (int64_t)(x->is_streamed ? x->body_seen : x->body_n);
}

void conn_finish_exchange(struct conn *c)
{
    c->unread = conn_unread_body(c->x);
    free_exchange(c);
    if (!c->keeps_alive || c->unread > CONN_DISCARD_MAX) {
        c->state = CONN_CLOSING;
        conn_set_deadline(c, 0);
        return;
    }
    c->state = c->unread ? CONN_DISCARD : c->left ? CONN_HEAD : CONN_IDLE;
    conn_set_deadline(c, c->unread ? c->edge->limits.body_idle_ms
                         : c->left ? c->edge->limits.header_ms
                                   : c->edge->limits.idle_ms);
}

const char *edge_refusal_code(int status)
{
    switch (status) {
    case 408:
        return "client_timeout";
    case 413:
        return "body_too_large";
    case 431:
        return "headers_too_large";
    case 501:
        return "not_implemented";
    case 503:
        return "overloaded";
    case 505:
        return "http_version";
    default:
        return "malformed_http";
    }
}

void conn_refuse(struct conn *c, int status, const char *why)
{
    const struct edge_handler *h = c->edge->handler;
    char body[1024], head[512];
    bool has_answered = c->x && c->x->has_started;
    size_t n = h->on_refuse && !has_answered
                   ? h->on_refuse(h->arg, c->x ? c->x->head : NULL, status, why, body, sizeof(body))
                   : 0;
    c->edge->counts.refused++;
    conn_lose_exchange(c);
    if (has_answered) {
        c->is_dead = true;
        return;
    }
    int head_n =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\nconnection: close\r\n"
                 "x-weir-error: %s\r\n%s\r\n",
                 status, http_reason(status), n, edge_refusal_code(status), status == 503 ? "retry-after: 1\r\n" : "");
    struct iovec pieces[2] = { { head, (size_t)head_n }, { body, n } };
    conn_send(c, pieces, 2);
    c->keeps_alive = false;
    c->unread = INT64_MAX;
    c->state = CONN_CLOSING;
    conn_set_deadline(c, 0);
}

/* ---- going on ---- */

/* Everything is sent. Closed at once only if nothing can be on its way to us: else the answer might be lost to a reset. */
static bool close_now(struct conn *c)
{
    bool lingers = !c->breaks_off && !c->peer_closed && (c->unread || c->left || c->may_have_more);
    if (!lingers) {
        c->is_dead = true;
        return false;
    }
    shutdown(c->fd, SHUT_WR);
    c->state = CONN_LINGER;
    c->unread = (int64_t)c->edge->limits.body_bytes;
    c->left = 0;
    conn_set_deadline(c, LINGER_MS);
    return true;
}

static bool advance(struct conn *c)
{
    if (c->is_broken) {
        c->is_dead = true;
        return false;
    }
    switch (c->state) {
    case CONN_IDLE:
    case CONN_HEAD:
        return !conn_unsent(c) && conn_read_head(c);
    case CONN_HANDED:
        return c->x->wants_body && conn_begin_body(c);
    case CONN_BODY:
        return conn_read_body(c);
    case CONN_DISCARD:
        return conn_discard(c);
    case CONN_CLOSING:
        return !conn_unsent(c) && close_now(c);
    default:
        return conn_linger(c);
    }
}

/* true: everything has left, so what waited for that may go on. */
static bool flush(struct conn *c)
{
    if (!conn_unsent(c) || c->is_blocked)
        return false;
    conn_send(c, NULL, 0);
    return c->is_broken || !conn_unsent(c);
}

static bool tell_drained(struct conn *c)
{
    struct edge *e = c->edge;
    if (!c->x || !c->x->was_high || conn_unsent(c) > e->limits.low_water)
        return false;
    c->x->was_high = false;
    e->handler->on_drain(e->handler->arg, c->x);
    return true;
}

static bool go_on(struct conn *c)
{
    if (c->received > RUN_BYTES) {
        edge_again(c);
        return false;
    }
    return advance(c) || (!c->is_dead && flush(c));
}

void conn_run(struct conn *c)
{
    c->is_running = true;
    c->received = 0;
    while (!c->is_dead && go_on(c))
        continue;
    if (c->state == CONN_HANDED && c->peer_closed)
        c->is_dead = true;
    bool did_tell = !c->is_dead && tell_drained(c);
    c->is_running = false;
    if (c->is_dead) {
        conn_free(c);
        return;
    }
    conn_keep_input(c);
    if (did_tell || c->is_broken)
        edge_later(c);
}

static bool is_late(const struct conn *c, int64_t now_ms)
{
    const struct edge *e = c->edge;
    if (e->is_full && c->state == CONN_IDLE && e->limits.idle_ms > FULL_IDLE_MS)
        return c->deadline_ms - now_ms < (int64_t)e->limits.idle_ms - FULL_IDLE_MS; /* others want its place */
    return c->deadline_ms <= now_ms;
}

void conn_check_deadlines(struct conn *c, int64_t now_ms)
{
    if (c->write_deadline_ms <= now_ms)
        c->is_broken = true;
    else if (!is_late(c, now_ms))
        return;
    else if (c->state == CONN_HEAD)
        conn_refuse(c, 408, "the head of the request took too long to arrive");
    else if (c->state == CONN_BODY)
        conn_refuse(c, 408, "the body of the request took too long to arrive");
    else
        c->is_dead = true;
    edge_later(c);
}
