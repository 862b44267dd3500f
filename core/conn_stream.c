/* Bodies that are handed on as they come: a window of each is held, and while that is full nothing is read, so the client's own
 * flow control holds it back. The window counts against the worker's body memory like any body.
 */
#include "conn.h"

#include <stdlib.h>

enum { WINDOW = 128 * 1024 };

static size_t room_of(const struct exchange *x)
{
    return WINDOW - (x->body_n - x->body_at);
}

/* false: refused. */
static bool get_window(struct conn *c)
{
    struct exchange *x = c->x;
    if (x->body)
        return true;
    bool has_room = c->edge->counts.body_bytes + WINDOW <= c->edge->limits.body_memory;
    x->body = has_room ? malloc(WINDOW) : NULL;
    if (x->body) {
        x->body_cap = WINDOW;
        c->edge->counts.body_bytes += WINDOW;
        return true;
    }
    conn_refuse(c, 503, has_room ? "memory is short; try again" : "too many request bodies are held at once; try again");
    return false;
}

/* What was taken makes room. */
static void move_up(struct exchange *x)
{
    if (!x->body_at)
        return;
    x->body_n -= x->body_at;
    memmove(x->body, x->body + x->body_at, x->body_n);
    x->body_at = 0;
}

/* false: refused. */
static bool add(struct conn *c, const char *p, size_t n)
{
    struct exchange *x = c->x;
    if (x->body_seen + n > x->body_limit) {
        conn_refuse_size(c);
        return false;
    }
    if (n)
        memcpy(x->body + x->body_n, p, n);
    x->body_n += n;
    x->body_seen += n;
    return true;
}

static bool take_plain(struct conn *c)
{
    struct exchange *x = c->x;
    uint64_t want = (uint64_t)x->head->content_length - x->body_seen;
    size_t n = c->left < room_of(x) ? c->left : room_of(x);
    if (n > want)
        n = (size_t)want;
    if (!add(c, c->at, n))
        return false;
    c->at += n;
    c->left -= n;
    x->body_done = n == want;
    return true;
}

static bool take_chunks(struct conn *c)
{
    struct exchange *x = c->x;
    while (c->left && !x->body_done && room_of(x)) {
        const char *data;
        size_t n, most = c->left < room_of(x) ? c->left : room_of(x);
        int64_t used = http_chunks_next(&x->chunks, c->at, most, &data, &n, &x->body_done);
        if (used < 0) {
            conn_refuse(c, 400, "the chunked body of the request is malformed");
            return false;
        }
        if (!add(c, data, n))
            return false;
        c->at += used;
        c->left -= (size_t)used;
    }
    return true;
}

/* Into the window, first what lies here, then what the socket has. false: refused, or the client left. */
static bool fill(struct conn *c)
{
    struct exchange *x = c->x;
    move_up(x);
    for (;;) {
        if (!(x->head->is_chunked ? take_chunks(c) : take_plain(c)))
            return false;
        if (x->body_done || !room_of(x) || c->left || !c->may_have_more)
            return true;
        if (!conn_read_more(c))
            return !c->is_dead;
    }
}

/* Only the client's silence is timed, not ours. */
static void time_client(struct conn *c, bool came)
{
    bool waits_for_client = !c->x->body_done && room_of(c->x);
    if (!waits_for_client)
        conn_set_deadline(c, 0);
    else if (came || c->deadline_ms == INT64_MAX)
        conn_set_deadline(c, c->edge->limits.body_idle_ms);
}

bool conn_stream_body(struct conn *c)
{
    struct exchange *x = c->x;
    uint64_t before = x->body_seen;
    if (!get_window(c))
        return true;
    if (!x->body_done && !fill(c))
        return !c->is_dead && c->state != CONN_BODY; /* refused: the answer goes out */
    bool came = x->body_seen > before || x->body_done;
    time_client(c, came);
    if (x->body_done)
        c->state = CONN_HANDED;
    if (came)
        c->edge->handler->on_data(c->edge->handler->arg, x);
    return came;
}
