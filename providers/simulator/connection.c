/* One connection of the simulator: reads a request, lets handle.c compose the script, plays it with timers, and stays
 * open for the next one. It never blocks: what the socket does not take waits for it to be writable.
 *
 *   READ ──request──▶ PLAY ──script over──▶ READ | LINGER (FIN sent, waiting for the peer) | closed (RST)
 *                       └──stall──▶ STALL (until the peer leaves or an hour has passed)
 *
 * It owns its descriptor, its one watch and its one timer; connection_close() gives all of them back. */
#include "handle.h"
#include "server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { STATE_READ, STATE_PLAY, STATE_STALL, STATE_LINGER };
enum { READ_MS = 30000, IDLE_MS = 75000, STALL_MS = 3600 * 1000, LINGER_MS = 2000, RST_MS = 20, BITE = 64 * 1024 };

struct connection {
    struct connection *next, **link;
    struct server *server;
    int fd;
    enum state state;
    uint32_t watched; /* WEIR_READABLE | WEIR_WRITABLE */
    void *watch, *timer;
    struct buf in;
    size_t counted; /* of in.capacity in server->request_bytes */
    struct http_head head;
    struct http_chunks chunks;
    bool has_head, is_writing; /* is_writing: the current step's pause is over */
    struct knobs knobs;
    struct script script;
    size_t sent, step;
};

static void on_ready(void *arg, int fd, uint32_t events);
static void read_request(struct connection *c);
static void play(struct connection *c);

/* ---- watch, timer, memory ---- */

static bool watch(struct connection *c, uint32_t events)
{
    const struct weir_host *host = c->server->host;
    if (c->watch && c->watched == events)
        return true;
    if (c->watch)
        host->watch_cancel(c->server->inst, c->watch);
    c->watch = events ? host->watch(c->server->inst, c->fd, events, on_ready, c) : NULL;
    c->watched = events;
    return c->watch || !events;
}

static void stop_timer(struct connection *c)
{
    if (c->timer)
        c->server->host->timer_cancel(c->server->inst, c->timer);
    c->timer = NULL;
}

static void start_timer(struct connection *c, uint32_t ms, weir_fn fn)
{
    stop_timer(c);
    c->timer = c->server->host->timer(c->server->inst, ms, fn, c);
}

static void on_expired(void *arg)
{
    struct connection *c = arg;
    c->timer = NULL;
    connection_close(c);
}

static void count_memory(struct connection *c)
{
    c->server->request_bytes += c->in.capacity - c->counted;
    c->counted = c->in.capacity;
}

void connection_open(struct server *s, int fd)
{
    int on = 1;
    struct connection *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->server = s;
    c->fd = fd;
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
    s->n_connections++;
    start_timer(c, READ_MS, on_expired);
    if (!watch(c, WEIR_READABLE) || !c->timer)
        connection_close(c);
}

void connection_close(struct connection *c)
{
    stop_timer(c);
    watch(c, 0);
    close(c->fd);
    script_free(&c->script);
    c->server->request_bytes -= c->counted;
    c->server->n_connections--;
    buf_free(&c->in);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    free(c);
}

/* ---- the end of an answer ---- */

static void on_reset(void *arg)
{
    struct connection *c = arg;
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    c->timer = NULL;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    connection_close(c);
}

/* close() with unread bytes would send RST, so the peer is read until it has seen the FIN. */
static void linger(struct connection *c)
{
    c->state = STATE_LINGER;
    shutdown(c->fd, SHUT_WR);
    start_timer(c, LINGER_MS, on_expired);
    if (!watch(c, WEIR_READABLE))
        connection_close(c);
}

static void on_more(void *arg)
{
    struct connection *c = arg;
    c->timer = NULL;
    start_timer(c, READ_MS, on_expired);
    read_request(c);
}

/* What follows the request in the buffer is the beginning of the next one; it is read from the loop, so that a long row
 * of requests in one buffer is no recursion. */
static void next_request(struct connection *c)
{
    size_t used = c->head.is_chunked ? c->chunks.in
                                     : c->head.n + (size_t)(c->head.content_length > 0 ? c->head.content_length : 0);
    size_t left = c->in.n - used;
    if (left)
        memmove(c->in.p, c->in.p + used, left);
    c->in.n = left;
    if (!left)
        buf_free(&c->in);
    count_memory(c);
    c->has_head = false;
    c->state = STATE_READ;
    if (left)
        start_timer(c, 1, on_more);
    else
        start_timer(c, IDLE_MS, on_expired);
    if (!watch(c, WEIR_READABLE))
        connection_close(c);
}

static void end_script(struct connection *c)
{
    enum script_ending ending = c->script.ending;
    script_free(&c->script);
    switch (ending) {
    case SCRIPT_KEEP:
        next_request(c);
        break;
    case SCRIPT_FIN:
        linger(c);
        break;
    case SCRIPT_RST: /* what was sent should arrive before the reset does */
        c->state = STATE_STALL;
        start_timer(c, RST_MS, on_reset);
        watch(c, 0);
        break;
    case SCRIPT_STALL:
        c->state = STATE_STALL;
        start_timer(c, STALL_MS, on_expired);
        if (!watch(c, WEIR_READABLE))
            connection_close(c);
    }
}

/* ---- playing ---- */

static void on_step(void *arg)
{
    struct connection *c = arg;
    c->timer = NULL;
    c->is_writing = true;
    play(c);
}

/* false: the connection is gone or has to wait. */
static bool send_step(struct connection *c)
{
    const struct script_step *step = &c->script.steps[c->step];
    while (c->sent < step->end) {
        ssize_t n = send(c->fd, c->script.wire.p + c->sent, step->end - c->sent, MSG_NOSIGNAL);
        if (n > 0) {
            c->sent += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch(c, WEIR_READABLE | WEIR_WRITABLE);
            return false;
        } else {
            connection_close(c);
            return false;
        }
    }
    return true;
}

static void play(struct connection *c)
{
    while (c->step < c->script.n_steps) {
        uint32_t delay_ms = c->script.steps[c->step].delay_ms;
        if (delay_ms && !c->is_writing) {
            watch(c, WEIR_READABLE);
            start_timer(c, delay_ms, on_step);
            return;
        }
        c->is_writing = true;
        if (!send_step(c))
            return;
        c->is_writing = false;
        c->step++;
    }
    end_script(c);
}

static void start_playing(struct connection *c)
{
    stop_timer(c);
    if (c->script.wire.failed) {
        connection_close(c);
        return;
    }
    c->state = STATE_PLAY;
    c->sent = c->step = 0;
    c->is_writing = false;
    play(c);
}

/* ---- reading ---- */

static void refuse(struct connection *c, int status, const char *message)
{
    handle_refusal(&c->script, &c->knobs, status, message);
    start_playing(c);
}

static void answer(struct connection *c, struct span body)
{
    struct server *s = c->server;
    struct handle_context x = { &s->defaults, s->host->now_ms(), ++s->serial };
    handle_request(&c->script, &c->knobs, &x, &c->head, body);
    start_playing(c);
}

/* 1: complete, 0: more is needed, < 0: a status. */
static int read_body(struct connection *c, struct span *body)
{
    if (c->head.is_chunked) {
        int rc = http_read_chunks(&c->chunks, c->in.p, c->in.n);
        *body = (struct span){ c->in.p + c->head.n, c->chunks.out - c->head.n };
        return rc;
    }
    size_t n = c->head.content_length > 0 ? (size_t)c->head.content_length : 0;
    *body = (struct span){ c->in.p + c->head.n, n };
    return c->in.n - c->head.n >= n;
}

static int read_head(struct connection *c)
{
    int64_t n = http_read_head(&c->head, c->in.p, c->in.n);
    if (n <= 0)
        return (int)n;
    c->has_head = true;
    c->chunks = (struct http_chunks){ .in = (size_t)n, .out = (size_t)n };
    if (c->head.content_length > SERVER_BODY_MAX)
        return -413;
    if (c->head.expects_continue && c->in.n == (size_t)n)
        (void)!send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    return 1;
}

/* The buffer may have moved since the head was read: its spans are looked up again. */
static int read_head_again(struct connection *c)
{
    return http_read_head(&c->head, c->in.p, c->head.n) > 0 ? 1 : -400;
}

static void read_request(struct connection *c)
{
    struct span body;
    int rc = c->has_head ? 1 : read_head(c);
    if (rc == 1)
        rc = read_body(c, &body);
    if (rc == 1)
        rc = read_head_again(c);
    if (rc == 0 && c->in.n - c->head.n > SERVER_BODY_MAX + (size_t)BITE)
        rc = -413;
    if (rc == 1)
        answer(c, body);
    else if (rc < 0)
        refuse(c, -rc, rc == -413 ? "The request is larger than 33 MiB." : "The request is not proper HTTP/1.1.");
}

static void receive(struct connection *c)
{
    char bite[BITE];
    ssize_t n = recv(c->fd, bite, sizeof(bite), 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        connection_close(c);
        return;
    }
    if (c->state == STATE_LINGER)
        return;
    if (c->in.n == 0)
        start_timer(c, READ_MS, on_expired);
    buf_add(&c->in, bite, (size_t)n);
    count_memory(c);
    if (c->in.failed || c->server->request_bytes > SERVER_BODIES_MAX)
        connection_close(c);
    else
        read_request(c);
}

/* While an answer plays nothing is read: bytes of a next request wait in the socket, an end of file ends the
 * connection. */
static void look_at_peer(struct connection *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);
    if (n > 0)
        watch(c, c->watched & WEIR_WRITABLE);
    else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        connection_close(c);
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    struct connection *c = arg;
    (void)fd;
    if (c->state == STATE_READ || c->state == STATE_LINGER)
        receive(c);
    else if (c->state == STATE_PLAY && (events & WEIR_WRITABLE))
        play(c);
    else
        look_at_peer(c);
}
