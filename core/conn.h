/* A connection of a client and the exchange on it, as the edge's rooms share them: edge.c (listening, lists, the clock), conn.c
 * (its life and the order of things on it), conn_in.c (what comes in), conn_stream.c (bodies that are never held whole), conn_out.c
 * (what goes out), exchange.c (what the handler asks).
 *
 * A connection is freed at the end of conn_run() only, and the handler is called from there and from the clock only: functions of
 * edge.h leave marks and put the connection on the edge's list, so nobody is freed under his own feet.
 */
#ifndef WEIR_CORE_CONN_H
#define WEIR_CORE_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "edge.h"

enum conn_state {
    CONN_IDLE, /* between requests */
    CONN_HEAD, /* a head has begun */
    CONN_HANDED, /* the handler has the head, and the body is not asked for or whole */
    CONN_BODY, /* a body is being read */
    CONN_DISCARD, /* answered: the little that is left of the body is thrown away, then the next request */
    CONN_CLOSING, /* answered for the last time: unsent bytes, then the end */
    CONN_LINGER, /* our side is closed: what still comes is thrown away, bounded, so that the answer isn't lost to a reset */
};

/* Bytes go through this, so that TLS can take its place without anybody else knowing. Errors are errno's. */
struct conn_io {
    ssize_t (*read)(int fd, void *to, size_t n);
    ssize_t (*write)(int fd, const struct iovec *pieces, int n);
};

/* A buffer that is filled at its end and emptied at its beginning; it exists only while there is something in it. */
struct bytes {
    char *p;
    size_t at, n, cap; /* from `at` to n */
};

struct exchange {
    struct conn *conn;
    void *user;
    struct http_head *head; /* behind this struct, with room for its own headers and bytes only */
    char *body;
    size_t body_n, body_cap;
    size_t body_at; /* of a streamed body: what was taken already */
    uint64_t body_seen; /* of a streamed body: all that came */
    bool is_streamed;
    uint64_t body_limit;
    struct http_chunks chunks;
    int64_t left; /* of the answer's known length; -1: unknown */
    bool wants_body, body_done;
    bool has_started, has_no_body, is_chunked;
    bool was_high; /* unsent bytes were above high-water: on_drain is owed */
};

struct conn {
    struct conn *next, *prev;
    struct conn *next_later, **later_from; /* the edge's list of those that must run */
    struct edge *edge;
    const struct conn_io *io;
    int fd;
    enum conn_state state;
    struct event event;
    struct exchange *x; /* NULL: none */
    char *at; /* what was received and not used yet: in `in`, or, while it runs, in the edge's scratch */
    size_t left;
    size_t seen; /* of it: looked at in vain for the end of a head */
    struct bytes in, out; /* out: unsent */
    int64_t deadline_ms; /* of its state; INT64_MAX: none */
    int64_t write_deadline_ms; /* while the socket takes nothing */
    int64_t unread; /* of an answered request's body; INT64_MAX: nobody knows */
    uint32_t received; /* in this run: others want to read too */
    bool is_running;
    bool may_have_more; /* there may be something to read */
    bool is_blocked; /* the socket took less than it was given */
    bool keeps_alive; /* after this answer */
    bool breaks_off; /* the answer broke: its end must not look like one */
    bool is_broken, is_dead, peer_closed;
    bool is_loopback;
    char peer[46];
};

struct edge {
    struct event_base *base;
    struct edge_limits limits;
    const struct edge_handler *handler;
    struct conn *conns, *later;
    struct event *later_event, *tick;
    struct event **listeners;
    uint32_t n_listeners;
    bool is_accepting; /* wanted … */
    bool is_listening; /* … and so */
    bool is_full; /* of connections, or the process of descriptors */
    bool is_draining;
    struct edge_counts counts;
    char *scratch; /* one read's worth */
};

enum { EDGE_SCRATCH = 64 * 1024 };
enum { CONN_DISCARD_MAX = 64 * 1024 }; /* so much of a body is thrown away rather than the connection */

int64_t edge_now_ms(void);
void edge_later(struct conn *c); /* conn_run() from the event loop, in this turn */
void edge_again(struct conn *c); /* … in the next one: others first */
void edge_forget_later(struct conn *c);
void edge_has_room(struct edge *e);

struct conn *conn_new(struct edge *e, int fd, const struct sockaddr_storage *from);
void conn_free(struct conn *c); /* tells the handler */
/* Goes on as far as it can, then frees it if it is dead. */
void conn_run(struct conn *c);
void conn_check_deadlines(struct conn *c, int64_t now_ms);
void conn_set_deadline(struct conn *c, uint32_t ms); /* 0: none */
/* The handler lets go of the exchange; then it is freed. */
void conn_lose_exchange(struct conn *c);
/* The exchange is answered, or broken off: frees it and decides how the connection goes on. */
void conn_finish_exchange(struct conn *c);
/* How much of its body nobody has read; INT64_MAX: nobody knows. */
int64_t conn_unread_body(const struct exchange *x);
/* The edge answers itself and closes. The handler lets go of the exchange if there is one. */
void conn_refuse(struct conn *c, int status, const char *why);

/* One step in the reading of a head, of a body, of what nobody wants. true: go on. */
bool conn_read_head(struct conn *c);
bool conn_begin_body(struct conn *c);
bool conn_read_body(struct conn *c);
bool conn_read_more(struct conn *c); /* more of the input, behind what is left of it; false: nothing came */
void conn_refuse_size(struct conn *c);
bool conn_stream_body(struct conn *c); /* conn_stream.c */
bool conn_discard(struct conn *c);
bool conn_linger(struct conn *c);
/* What is left in the edge's scratch moves to a buffer of the connection's own. */
void conn_keep_input(struct conn *c);

/* Sends what is unsent and then these; what the socket doesn't take is kept. A broken socket is marked. */
void conn_send(struct conn *c, const struct iovec *pieces, int n);
size_t conn_unsent(const struct conn *c);

bool bytes_reserve(struct bytes *b, size_t more);
bool bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_drop(struct bytes *b, size_t n); /* from its beginning; frees it when it is empty */

#endif
