/* The edge: connections of clients. HTTP/1.1 over libevent, one exchange at a time on each connection.
 *
 * Who owns what: the edge owns connections, exchanges and request bodies; the handler (the pipeline) owns whatever it
 * hangs on an exchange with exchange_attach(). An exchange is alive from on_head until exchange_end() or exchange_abort()
 * was called, or on_gone has returned; never longer.
 *
 * Callbacks come from the event loop only, never from inside a call to the edge: who writes need not fear to be
 * freed under his own feet.
 */
#ifndef WEIR_CORE_EDGE_H
#define WEIR_CORE_EDGE_H

#include "http.h"

struct event_base;
struct edge;
struct exchange;

struct edge_limits {
    uint32_t header_bytes;      /* [64 KiB] beyond it 431 */
    uint64_t body_bytes;        /* [32 MiB] beyond it 413 */
    uint64_t body_memory;       /* [512 MiB] all bodies of this worker; beyond it 503 with Retry-After */
    uint32_t header_ms;         /* [10 s] from the first byte of a request to the end of its head; 408 */
    uint32_t body_idle_ms;      /* [30 s] between two bytes of a body; 408 */
    uint32_t idle_ms;           /* [75 s] between two requests on a kept connection */
    uint32_t write_idle_ms;     /* [60 s] a client that takes no byte for so long is gone */
    uint32_t high_water, low_water; /* [256 KiB, 64 KiB] unsent bytes at which on_drain matters */
    uint32_t max_connections;   /* per worker */
};

struct edge_handler {
    /* The head is there and valid; the body is unread. Must end in exchange_read_body() or an answer, now or later. */
    void (*on_head)(void *arg, struct exchange *x);
    /* The whole body is there (or, without a body, at once). */
    void (*on_body)(void *arg, struct exchange *x);
    /* What is unsent fell below low_water after it had been above high_water. */
    void (*on_drain)(void *arg, struct exchange *x);
    /* The client left, or sent something that can't be read (the edge has answered 400/408/413 itself and asks the
     * handler to let go). The exchange is gone when this returns. */
    void (*on_gone)(void *arg, struct exchange *x);
    /* An error that the edge finds itself (bad head, too large): fills the body for the client. Optional dialect shape:
     * head is NULL if it could not be parsed. Writes into out (capacity n), returns the length. */
    size_t (*on_refuse)(void *arg, const struct http_head *head, int status, const char *why, char *out, size_t n);
    void *arg;
    /* Of a streamed body: more of it is there to be taken, or it is over. */
    void (*on_data)(void *arg, struct exchange *x);
};

/* The code that the edge puts into `x-weir-error` when it refuses with this status; on_refuse() uses it in its body. */
const char *edge_refusal_code(int status);

struct edge *edge_new(struct event_base *base, const struct edge_limits *limits, const struct edge_handler *handler);
/* Serves a listening socket (made by the master; non-blocking). One accept per wake. The descriptor stays the caller's. */
int edge_listen(struct edge *e, int fd);
/* A worker that holds much more than its share stops accepting for a while. */
void edge_set_accepting(struct edge *e, bool accepting);
/* From now on every answer says Connection: close, idle connections may ask once more, no new connection is accepted. */
void edge_drain(struct edge *e);
void edge_free(struct edge *e); /* closes everything; handlers get on_gone */

struct edge_counts {
    uint32_t connections, idle, exchanges;
    uint64_t body_bytes; /* held now */
    uint64_t accepted, requests, refused;
};
struct edge_counts edge_counts(const struct edge *e);

/* ---- one exchange ---- */
const struct http_head *exchange_head(const struct exchange *x); /* lifetime: the exchange */
void exchange_attach(struct exchange *x, void *user);
void *exchange_user(const struct exchange *x);
/* "127.0.0.1", "::1", "unix"; is_loopback: on this machine (loopback address or unix socket). */
struct weir_str exchange_peer(const struct exchange *x, bool *is_loopback);
/* Reads the body up to limit (and the edge's own), answering `100 Continue` first if the client waits for it; on_body follows. */
void exchange_read_body(struct exchange *x, uint64_t limit);
struct weir_str exchange_body(const struct exchange *x); /* whole; lifetime: the exchange */
/* In place of exchange_read_body(): at most a window of the body is held; on_data tells that something came, and what is taken
 * makes room for more. exchange_body() is then what can be taken, until the next take. */
void exchange_stream_body(struct exchange *x, uint64_t limit);
void exchange_take(struct exchange *x, size_t n);
char *exchange_keep_body(struct exchange *x); /* of a whole one: the caller's from now on, to be freed with free(); may be NULL */
bool exchange_body_is_over(const struct exchange *x); /* its last byte has come */
uint64_t exchange_body_seen(const struct exchange *x); /* bytes that have come so far */

/* The answer's head: content_length < 0: unknown (chunked, or until close for HTTP/1.0). The edge adds date, connection,
 * transfer-encoding/content-length. Names and values must be clean (http_is_token, http_is_value). An unread body is
 * drained (bounded) or the connection is closed after the answer. */
void exchange_start(struct exchange *x, int status, const struct http_header *headers, uint32_t n, int64_t content_length);
/* Body bytes. Small pieces are gathered and leave together at the end of this turn of the loop (with the head before them and
 * the end behind them: one system call); large ones at once, as far as the socket takes them; the rest is copied. */
void exchange_write(struct exchange *x, const struct weir_str *pieces, uint32_t n);
size_t exchange_unsent(const struct exchange *x);
/* The answer is complete: last chunk, the connection goes on if it may. The exchange is gone. */
void exchange_end(struct exchange *x);
/* The answer broke: no last chunk, no clean end: the client must notice. After the unsent bytes the connection is closed. */
void exchange_abort(struct exchange *x);
bool exchange_has_started(const struct exchange *x);

#endif
