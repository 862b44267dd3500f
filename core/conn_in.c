/* What comes in on a connection: heads, bodies, and what nobody wants.
 *
 * An idle connection holds no buffer: reads go into the edge's scratch, and only what arrived is kept, in its size. A body's
 * buffer grows with what has really arrived, never with what a header claims, and counts against the worker's body memory.
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_READ = 16 * 1024, BODY_STEP = 64 * 1024 };

/* > 0: bytes; 0: nothing now; -1: the connection is over. */
static ssize_t receive(struct conn *c, void *to, size_t n)
{
    ssize_t got = c->io->read(c->fd, to, n);
    if (got > 0) {
        c->received += (uint32_t)got;
        c->may_have_more = (size_t)got == n || c->peer_closed;
        return got;
    }
    bool is_over = got == 0 || (errno != EAGAIN && errno != EINTR);
    c->may_have_more = !is_over && errno == EINTR;
    c->peer_closed = c->peer_closed || is_over;
    return is_over ? -1 : 0;
}

void conn_keep_input(struct conn *c)
{
    if (c->left && c->at != c->in.p) {
        struct bytes kept = { 0 };
        if (!bytes_add(&kept, c->at, c->left)) {
            c->is_broken = true;
            return;
        }
        free(c->in.p);
        c->in = kept;
        c->at = c->in.p;
    } else if (!c->left && c->in.p) {
        free(c->in.p);
        c->in = (struct bytes){ 0 };
        c->at = NULL;
    }
}

bool conn_read_more(struct conn *c)
{
    char *scratch = c->edge->scratch;
    if (c->left)
        conn_keep_input(c);
    if (c->is_broken)
        return false;
    ssize_t got = receive(c, scratch, FIRST_READ);
    if (got <= 0) {
        c->is_dead = got < 0;
        return false;
    }
    if (!c->left) {
        c->at = scratch;
        c->left = (size_t)got;
        return true;
    }
    c->in.n = c->left;
    c->is_broken = !bytes_add(&c->in, scratch, (size_t)got);
    c->at = c->in.p;
    c->left = c->in.n;
    return !c->is_broken;
}

static void use(struct conn *c, size_t n)
{
    c->at += n;
    c->left -= n;
}

/* ---- heads ---- */

static void move(struct weir_str *s, const char *from, size_t n, char *to)
{
    if (s->p >= from && s->p <= from + n)
        s->p = to + (s->p - from);
}

/* The exchange, the head with its own headers only, the bytes that it points to: one block. */
static struct exchange *exchange_new(struct conn *c, const struct http_head *head, size_t length)
{
    size_t head_n = offsetof(struct http_head, headers) + head->n_headers * sizeof(head->headers[0]);
    struct exchange *x = malloc(sizeof(*x) + head_n + length);
    if (!x)
        return NULL;
    memset(x, 0, sizeof(*x));
    x->conn = c;
    x->head = (struct http_head *)(x + 1);
    char *bytes = (char *)x->head + head_n;
    memcpy(x->head, head, head_n);
    memcpy(bytes, c->at, length);
    struct weir_str *parts[] = { &x->head->method, &x->head->target, &x->head->path, &x->head->query };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        move(parts[i], c->at, length, bytes);
    for (uint32_t i = 0; i < head->n_headers; i++) {
        move(&x->head->headers[i].name, c->at, length, bytes);
        move(&x->head->headers[i].value, c->at, length, bytes);
    }
    x->left = -1;
    x->body_done = !head->is_chunked && head->content_length <= 0;
    return x;
}

static void hand_over(struct conn *c, const struct http_head *head, size_t length)
{
    struct edge *e = c->edge;
    c->x = exchange_new(c, head, length);
    if (!c->x) {
        conn_refuse(c, 503, "memory is short; try again");
        return;
    }
    use(c, length);
    c->seen = 0;
    c->keeps_alive = head->keeps_alive;
    c->state = CONN_HANDED;
    conn_set_deadline(c, 0);
    e->counts.exchanges++;
    e->counts.requests++;
    e->handler->on_head(e->handler->arg, c->x);
}

/* Some clients send an empty line behind a body. It is no beginning of a request: nobody has to hurry. */
static bool is_stray_line(const struct conn *c)
{
    return c->left == 2 && c->at[0] == '\r' && c->at[1] == '\n';
}

bool conn_read_head(struct conn *c)
{
    static struct http_head head; /* filled and copied at once */
    const struct edge_limits *limits = &c->edge->limits;
    const char *why;
    if (c->left == c->seen && (!c->may_have_more || !conn_read_more(c)))
        return c->may_have_more && !c->is_dead;
    if (c->state == CONN_IDLE) {
        c->state = CONN_HEAD;
        conn_set_deadline(c, limits->header_ms);
    }
    int rc = http_parse_request(c->at, c->left, c->seen, &head, &why);
    if (rc < 0) {
        conn_refuse(c, -rc, why);
    } else if ((rc ? (size_t)rc : c->left) > limits->header_bytes) {
        conn_refuse(c, 431, "the head of the request is larger than limits.header");
    } else if (rc > 0) {
        hand_over(c, &head, (size_t)rc);
    } else if (is_stray_line(c)) {
        use(c, c->left);
        c->state = CONN_IDLE;
        conn_set_deadline(c, limits->idle_ms);
    } else {
        c->seen = c->left;
    }
    return true;
}

/* ---- bodies ---- */

void conn_refuse_size(struct conn *c)
{
    char why[128];
    snprintf(why, sizeof(why), "the body of the request is larger than the limit of %llu bytes",
             (unsigned long long)c->x->body_limit);
    conn_refuse(c, 413, why);
}

/* In steps of four times what is there: few copies, and at most so much more than what arrived. */
static size_t next_capacity(const struct exchange *x, size_t need)
{
    size_t cap = 4 * x->body_n > BODY_STEP ? 4 * x->body_n : BODY_STEP;
    int64_t claimed = x->head->is_chunked ? INT64_MAX : x->head->content_length;
    uint64_t most = (uint64_t)claimed < x->body_limit ? (uint64_t)claimed : x->body_limit;
    if (x->head->is_chunked)
        cap = 2 * need;
    if (cap > most)
        cap = (size_t)most;
    return cap < need ? need : cap;
}

static bool set_capacity(struct conn *c, size_t cap)
{
    struct exchange *x = c->x;
    char *more = realloc(x->body, cap);
    if (!more)
        return false;
    c->edge->counts.body_bytes += cap - x->body_cap;
    x->body = more;
    x->body_cap = cap;
    return true;
}

/* false: refused. */
static bool grow_body(struct conn *c, size_t need)
{
    struct edge *e = c->edge;
    struct exchange *x = c->x;
    if (need > x->body_limit) {
        conn_refuse_size(c);
        return false;
    }
    if (need <= x->body_cap)
        return true;
    uint64_t others = e->counts.body_bytes - x->body_cap;
    size_t cap = next_capacity(x, need);
    uint64_t free_bytes = e->limits.body_memory > others ? e->limits.body_memory - others : 0;
    bool has_room = need <= free_bytes; /* what has arrived counts, not what might still come */
    if (cap > free_bytes)
        cap = (size_t)free_bytes;
    if (has_room && set_capacity(c, cap))
        return true;
    conn_refuse(c, 503,
                has_room ? "memory is short; try again" : "too many request bodies are held at once; try again");
    return false;
}

static bool add_body(struct conn *c, const char *p, size_t n)
{
    struct exchange *x = c->x;
    if (!n)
        return true;
    if (!grow_body(c, x->body_n + n))
        return false;
    memcpy(x->body + x->body_n, p, n);
    x->body_n += n;
    return true;
}

/* Decodes what is left of the input. false: refused. */
static bool take_chunks(struct conn *c)
{
    struct exchange *x = c->x;
    while (c->left && !x->body_done) {
        const char *data;
        size_t n;
        int64_t used = http_chunks_next(&x->chunks, c->at, c->left, &data, &n, &x->body_done);
        if (used < 0) {
            conn_refuse(c, 400, "the chunked body of the request is malformed");
            return false;
        }
        if (!add_body(c, data, n))
            return false;
        use(c, (size_t)used);
    }
    if (x->body_done && x->body_n < x->body_cap)
        set_capacity(c, x->body_n + !x->body_n); /* it may be held for long: no more than it needs */
    return true;
}

static bool take_plain(struct conn *c)
{
    struct exchange *x = c->x;
    size_t want = (size_t)x->head->content_length - x->body_n, n = c->left < want ? c->left : want;
    if (!add_body(c, c->at, n))
        return false;
    use(c, n);
    x->body_done = n == want;
    return true;
}

static bool take_body(struct conn *c)
{
    return c->x->head->is_chunked ? take_chunks(c) : take_plain(c);
}

/* Straight to where it belongs. true: bytes came. */
static bool read_plain(struct conn *c)
{
    struct exchange *x = c->x;
    if (x->body_n == x->body_cap && !grow_body(c, x->body_n + 1))
        return true;
    ssize_t got = receive(c, x->body + x->body_n, x->body_cap - x->body_n);
    if (got <= 0) {
        c->is_dead = got < 0;
        return false;
    }
    x->body_n += (size_t)got;
    x->body_done = x->body_n == (size_t)x->head->content_length;
    return true;
}

static void tell_body(struct conn *c)
{
    struct edge *e = c->edge;
    c->state = CONN_HANDED;
    conn_set_deadline(c, 0);
    e->handler->on_body(e->handler->arg, c->x);
}

bool conn_read_body(struct conn *c)
{
    if (c->x->is_streamed)
        return conn_stream_body(c);
    if (c->x->body_done) {
        tell_body(c);
        return true;
    }
    if (!c->may_have_more)
        return false;
    if (!(c->x->head->is_chunked ? conn_read_more(c) : read_plain(c)))
        return !c->is_dead && c->may_have_more;
    if (c->state == CONN_BODY) /* not refused */
        conn_set_deadline(c, c->edge->limits.body_idle_ms);
    if (c->x && c->x->head->is_chunked)
        take_chunks(c);
    return true;
}

bool conn_begin_body(struct conn *c)
{
    struct exchange *x = c->x;
    x->wants_body = false;
    if (x->head->content_length > 0 && (uint64_t)x->head->content_length > x->body_limit) {
        conn_refuse_size(c);
        return true;
    }
    c->state = CONN_BODY;
    conn_set_deadline(c, c->edge->limits.body_idle_ms);
    if (x->body_done || (!x->is_streamed && !take_body(c)))
        return true;
    if (!x->body_done && x->head->expects_continue && !x->body_n && !c->left && !x->has_started) {
        static const struct iovec line = { (char *)"HTTP/1.1 100 Continue\r\n\r\n", 25 };
        conn_send(c, &line, 1);
    }
    return true;
}

/* ---- what nobody wants ---- */

/* Reads and forgets. false: nothing came. */
static bool forget(struct conn *c)
{
    size_t most = c->unread < EDGE_SCRATCH ? (size_t)c->unread : EDGE_SCRATCH;
    ssize_t got = c->may_have_more && most ? receive(c, c->edge->scratch, most) : 0;
    if (got > 0)
        c->unread -= got;
    if (got < 0)
        c->is_dead = true;
    return got > 0;
}

bool conn_discard(struct conn *c)
{
    size_t n = c->left < (uint64_t)c->unread ? c->left : (size_t)c->unread;
    use(c, n);
    c->unread -= (int64_t)n;
    if (c->unread && !forget(c))
        return false;
    conn_set_deadline(c, c->edge->limits.body_idle_ms);
    if (c->unread)
        return true;
    c->state = c->left ? CONN_HEAD : CONN_IDLE;
    conn_set_deadline(c, c->left ? c->edge->limits.header_ms : c->edge->limits.idle_ms);
    return true;
}

bool conn_linger(struct conn *c)
{
    bool came = forget(c);
    if (came && !c->unread)
        c->is_dead = true;
    return came && !c->is_dead;
}
