/* What goes out on a connection.
 *
 * Bytes are gathered while the loop's turn lasts and leave in one system call: an answer's head, its events, its end. What is
 * too large to be copied leaves at once, behind what was gathered. What the socket doesn't take waits for it; a socket that
 * takes nothing for too long is a client that is gone.
 */
#include <errno.h>
#include <stdlib.h>

#include "conn.h"

enum { PIECES_MAX = 64 };

/* ---- buffers ---- */

bool bytes_reserve(struct bytes *b, size_t more)
{
    if (b->cap - b->n >= more)
        return true;
    if (b->at) {
        memmove(b->p, b->p + b->at, b->n - b->at);
        b->n -= b->at;
        b->at = 0;
        if (b->cap - b->n >= more)
            return true;
    }
    size_t need = b->n + more, cap = b->p && need < b->cap + b->cap / 2 ? b->cap + b->cap / 2 : need;
    char *p = realloc(b->p, cap);
    if (!p)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

bool bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (!bytes_reserve(b, n))
        return false;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return true;
}

void bytes_drop(struct bytes *b, size_t n)
{
    b->at += n;
    if (b->at < b->n)
        return;
    free(b->p);
    *b = (struct bytes){ 0 };
}

/* ---- sending ---- */

size_t conn_unsent(const struct conn *c)
{
    return c->out.n - c->out.at;
}

/* Keeps what was not sent of the pieces: all but the first `sent` bytes. */
static void keep_rest(struct conn *c, const struct iovec *pieces, int n, size_t sent)
{
    for (int i = 0; i < n; i++) {
        size_t skip = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;
        sent -= skip;
        if (skip < pieces[i].iov_len &&
            !bytes_add(&c->out, (const char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip))
            c->is_broken = true;
    }
}

static void block(struct conn *c, bool made_progress)
{
    uint32_t ms = c->edge->limits.write_idle_ms;
    c->is_blocked = true;
    if (made_progress || c->write_deadline_ms == INT64_MAX)
        c->write_deadline_ms = ms ? edge_now_ms() + ms : INT64_MAX;
}

/* One system call. Returns how many bytes left; a broken socket is marked. */
static size_t write_some(struct conn *c, const struct iovec *all, int n, size_t total)
{
    ssize_t sent = c->io->write(c->fd, all, n);
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
        c->is_broken = true;
        return 0;
    }
    size_t got = sent < 0 ? 0 : (size_t)sent;
    if (got < total)
        block(c, got > 0);
    else
        c->write_deadline_ms = INT64_MAX;
    return got;
}

void conn_send(struct conn *c, const struct iovec *pieces, int n)
{
    struct iovec all[PIECES_MAX + 1];
    size_t waiting = conn_unsent(c), total = waiting;
    int count = 0;
    if (c->is_broken)
        return;
    if (c->is_blocked || n > PIECES_MAX) {
        keep_rest(c, pieces, n, 0);
        return;
    }
    if (waiting)
        all[count++] = (struct iovec){ c->out.p + c->out.at, waiting };
    for (int i = 0; i < n; i++) {
        all[count++] = pieces[i];
        total += pieces[i].iov_len;
    }
    size_t sent = total ? write_some(c, all, count, total) : 0;
    size_t from_out = sent < waiting ? sent : waiting;
    if (from_out)
        bytes_drop(&c->out, from_out);
    if (sent < total && !c->is_broken)
        keep_rest(c, pieces, n, sent - from_out);
}
