/* What the handler asks of an exchange: its request, and the answer's head, bytes and end in the framing that the client
 * understands. Nothing here calls the handler or frees a connection: conn_run() does, from the event loop.
 */
#include <strings.h>
#include <time.h>

#include "conn.h"

enum { COPIED_MAX = 16 * 1024, PIECES_MAX = 60 };

/* ---- the request ---- */

const struct http_head *exchange_head(const struct exchange *x)
{
    return x->head;
}

void exchange_attach(struct exchange *x, void *user)
{
    x->user = user;
}

void *exchange_user(const struct exchange *x)
{
    return x->user;
}

struct weir_str exchange_peer(const struct exchange *x, bool *is_loopback)
{
    *is_loopback = x->conn->is_loopback;
    return weir_cstr(x->conn->peer);
}

struct weir_str exchange_body(const struct exchange *x)
{
    return (struct weir_str){ x->body ? x->body + x->body_at : NULL, x->body_n - x->body_at };
}

void exchange_read_body(struct exchange *x, uint64_t limit)
{
    uint64_t most = x->conn->edge->limits.body_bytes;
    x->body_limit = limit < most ? limit : most;
    x->wants_body = true;
    edge_later(x->conn);
}

/* ---- a streamed one ---- */

void exchange_stream_body(struct exchange *x, uint64_t limit)
{
    x->body_limit = limit;
    x->is_streamed = x->wants_body = true;
    edge_later(x->conn);
}

void exchange_take(struct exchange *x, size_t n)
{
    x->body_at += n;
    edge_later(x->conn);
}

char *exchange_keep_body(struct exchange *x)
{
    char *body = x->body;
    x->conn->edge->counts.body_bytes -= x->body_cap;
    x->body = NULL;
    x->body_cap = 0;
    return body;
}

bool exchange_body_is_over(const struct exchange *x)
{
    return x->body_done;
}

uint64_t exchange_body_seen(const struct exchange *x)
{
    return x->is_streamed ? x->body_seen : x->body_n;
}

/* ---- the answer's head ---- */

static const char *http_date(void)
{
    static char text[40];
    static time_t at;
    time_t now = time(NULL);
    if (now != at) {
        struct tm tm;
        at = now;
        gmtime_r(&now, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return text;
}

static void put(struct bytes *b, const char *p, size_t n)
{
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_text(struct bytes *b, const char *text)
{
    put(b, text, strlen(text));
}

static void put_number(struct bytes *b, uint64_t value, unsigned base)
{
    char digits[24];
    size_t i = sizeof(digits);
    do
        digits[--i] = "0123456789abcdef"[value % base];
    while (value /= base);
    put(b, digits + i, sizeof(digits) - i);
}

/* What only the connection may say. */
static bool is_ours(struct weir_str name)
{
    static const char *const names[] = { "connection", "content-length", "transfer-encoding", "date", "keep-alive",
                                         "upgrade",    "trailer" };
    if (!name.n || !strchr("cCtTdDkKuU", name.p[0]))
        return name.n == 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (name.n == strlen(names[i]) && strncasecmp(name.p, names[i], name.n) == 0)
            return true;
    return false;
}

static void put_headers(struct bytes *b, const struct http_header *headers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (is_ours(headers[i].name))
            continue;
        put(b, headers[i].name.p, headers[i].name.n);
        put(b, ": ", 2);
        put(b, headers[i].value.p, headers[i].value.n);
        put(b, "\r\n", 2);
    }
}

static void put_status(struct bytes *b, int status)
{
    put(b, "HTTP/1.1 ", 9);
    put_number(b, (uint64_t)status, 10);
    put(b, " ", 1);
    put_text(b, http_reason(status));
    put(b, "\r\ndate: ", 8);
    put_text(b, http_date());
    put(b, "\r\n", 2);
}

/* Nothing, a length, chunks, or the end of the connection says where the body ends. */
static void put_framing(struct bytes *b, struct exchange *x, int status, int64_t length)
{
    bool has_none = status == 204 || status == 304 || status < 200;
    x->has_no_body = has_none || weir_is(x->head->method, "HEAD");
    if (has_none)
        return;
    if (length >= 0) {
        put(b, "content-length: ", 16);
        put_number(b, (uint64_t)length, 10);
        put(b, "\r\n", 2);
    } else if (x->head->minor >= 1) {
        x->is_chunked = !x->has_no_body;
        put_text(b, "transfer-encoding: chunked\r\n");
    } else {
        x->conn->keeps_alive = false;
    }
}

static void put_connection(struct bytes *b, const struct exchange *x)
{
    struct conn *c = x->conn;
    if (c->edge->is_draining || conn_unread_body(x) > CONN_DISCARD_MAX)
        c->keeps_alive = false;
    if (!c->keeps_alive)
        put_text(b, "connection: close\r\n");
    else if (x->head->minor == 0)
        put_text(b, "connection: keep-alive\r\n");
}

void exchange_start(struct exchange *x, int status, const struct http_header *headers, uint32_t n,
                    int64_t content_length)
{
    struct conn *c = x->conn;
    size_t room = 256;
    for (uint32_t i = 0; i < n; i++)
        room += headers[i].name.n + headers[i].value.n + 4;
    if (content_length > 0 && content_length < COPIED_MAX)
        room += (size_t)content_length; /* the body will be copied behind it */
    x->has_started = true;
    x->left = content_length;
    if (bytes_reserve(&c->out, room)) {
        put_status(&c->out, status);
        put_headers(&c->out, headers, n);
        put_framing(&c->out, x, status, content_length);
        put_connection(&c->out, x);
        put(&c->out, "\r\n", 2);
    } else {
        c->is_broken = true;
    }
    edge_later(c);
}

bool exchange_has_started(const struct exchange *x)
{
    return x->has_started;
}

/* ---- its bytes ---- */

size_t exchange_unsent(const struct exchange *x)
{
    return conn_unsent(x->conn);
}

static bool gather(struct bytes *out, const struct weir_str *pieces, uint32_t n, size_t total, bool is_chunked)
{
    if (!bytes_reserve(out, total + 32))
        return false;
    if (is_chunked) {
        put_number(out, total, 16);
        put(out, "\r\n", 2);
    }
    for (uint32_t i = 0; i < n; i++)
        if (pieces[i].n)
            put(out, pieces[i].p, pieces[i].n);
    if (is_chunked)
        put(out, "\r\n", 2);
    return true;
}

static void send_now(struct conn *c, const struct weir_str *pieces, uint32_t n, size_t total, bool is_chunked)
{
    struct iovec all[PIECES_MAX + 2];
    char digits[24];
    struct bytes size = { digits, 0, 0, sizeof(digits) };
    int count = 0;
    if (is_chunked) {
        put_number(&size, total, 16);
        put(&size, "\r\n", 2);
        all[count++] = (struct iovec){ digits, size.n };
    }
    for (uint32_t i = 0; i < n; i++)
        all[count++] = (struct iovec){ (char *)pieces[i].p, pieces[i].n };
    if (is_chunked)
        all[count++] = (struct iovec){ (char *)"\r\n", 2 };
    conn_send(c, all, count);
}

void exchange_write(struct exchange *x, const struct weir_str *pieces, uint32_t n)
{
    struct conn *c = x->conn;
    size_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += pieces[i].n;
    if (!total || x->has_no_body || c->is_broken)
        return;
    if (x->left >= 0 && (uint64_t)x->left < total) {
        c->is_broken = true; /* more than was promised would be read as the next answer */
        edge_later(c);
        return;
    }
    if (x->left >= 0)
        x->left -= (int64_t)total;
    if (conn_unsent(c) + total > COPIED_MAX && !c->is_blocked && n <= PIECES_MAX)
        send_now(c, pieces, n, total, x->is_chunked);
    else if (!gather(&c->out, pieces, n, total, x->is_chunked))
        c->is_broken = true;
    if (conn_unsent(c) > c->edge->limits.high_water)
        x->was_high = true;
    edge_later(c);
}

/* ---- its end ---- */

void exchange_end(struct exchange *x)
{
    struct conn *c = x->conn;
    if (!x->has_started || (x->left > 0 && !x->has_no_body)) {
        exchange_abort(x);
        return;
    }
    if (x->is_chunked && !bytes_add(&c->out, "0\r\n\r\n", 5))
        c->is_broken = true;
    conn_finish_exchange(c);
    edge_later(c);
}

void exchange_abort(struct exchange *x)
{
    struct conn *c = x->conn;
    bool ends_by_close = x->has_started && x->left < 0 && !x->is_chunked && !x->has_no_body;
    c->breaks_off = ends_by_close;
    c->keeps_alive = false;
    conn_finish_exchange(c);
    edge_later(c);
}
