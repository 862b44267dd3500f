/* The egress: calls to providers. libcurl's multi socket interface behind this header, so that another carrier can
 * stand beside it. Knows nothing of dialects.
 *
 * Who owns what: the egress owns connections and calls; the caller owns what a request points to until the call is over
 * (on_end, or egress_cancel returned). Callbacks come from the event loop only, never from inside egress_start(); inside
 * them every function of this header may be called, egress_cancel() too. After egress_cancel() no callback comes.
 */
#ifndef WEIR_CORE_EGRESS_H
#define WEIR_CORE_EGRESS_H

#include "http.h"

struct event_base;
struct egress;
struct egress_call;

enum egress_http { EGRESS_HTTP_1 = 0, EGRESS_HTTP_2 = 1, EGRESS_HTTP_AUTO = 2 };

/* How to reach one provider entry; lifetime: worker. One is made per entry, calls share its settings. */
struct egress_origin {
    const char *name;     /* for messages: "openai" */
    const char *ca;       /* file; NULL: the system's */
    const char *cert, *cert_key; /* client certificate; NULL: none */
    const char *proxy;    /* URL; "": none at all; NULL: HTTPS_PROXY / NO_PROXY of the environment */
    enum egress_http http;
    bool refuses_private; /* only public addresses (media fetched for a user) */
};

/* A body that comes by and by; its arg is the call's. read() is asked from the event loop and may do nothing to the egress. > 0:
 * so many bytes were put into `to`; 0: none now, egress_feed() will follow; EGRESS_UPLOAD_*. Such a request is never sent twice. */
enum { EGRESS_UPLOAD_OVER = -1, EGRESS_UPLOAD_BROKEN = -2 };
struct egress_upload {
    int64_t length; /* -1: unknown */
    int64_t (*read)(void *arg, char *to, size_t n);
};

struct egress_request {
    const struct egress_origin *origin;
    const char *method;
    const char *url;                      /* NUL-terminated */
    const struct http_header *headers;    /* complete, credential included; host, content-length are the egress's own */
    uint32_t n_headers;
    const struct weir_str *body;          /* pieces, sent one after the other without being joined */
    uint32_t n_body;
    uint32_t connect_ms;                  /* 0: none */
    const struct egress_upload *upload;   /* in place of the body; NULL: none. Lives as long as the call */
};

enum egress_result {
    EGRESS_OK = 0,          /* ended as HTTP says */
    EGRESS_DNS = 1,
    EGRESS_CONNECT = 2,
    EGRESS_TLS = 3,
    EGRESS_CONNECT_TIMEOUT = 4,
    EGRESS_SEND = 5,        /* the connection broke before an answer */
    EGRESS_CUT = 6,         /* the answer broke off: fewer bytes than promised, no last chunk, reset */
    EGRESS_PROTOCOL = 7,    /* not HTTP, or HTTP that can't be read one way */
    EGRESS_TOO_LARGE = 8,   /* a head over 64 KiB */
    EGRESS_MEMORY = 9,
};

struct egress_ops {
    void (*on_head)(void *arg, int status, const struct http_header *headers, uint32_t n); /* names lower case; lifetime: this call */
    void (*on_body)(void *arg, struct weir_str bytes);
    /* The call is over; message is one sentence ("connection to 127.0.0.1:9 refused"), "" if OK. The handle is invalid. */
    void (*on_end)(void *arg, enum egress_result result, const char *message);
    /* Before on_end, and maybe more than once; NULL: they are not wanted. As on_head. */
    void (*on_trailers)(void *arg, const struct http_header *trailers, uint32_t n);
};

/* What a call looked like, for the record; lifetime: until on_end has returned. */
struct egress_timing {
    uint32_t dns_us, connect_us, tls_us;
    bool was_reused;  /* a kept connection */
    bool was_retried; /* a kept connection was dead and the request was sent again on a new one */
};

struct egress *egress_new(struct event_base *base);
void egress_free(struct egress *e);
/* NULL: out of memory or a url that makes no sense. */
struct egress_call *egress_start(struct egress *e, const struct egress_request *r, const struct egress_ops *ops, void *arg);
void egress_cancel(struct egress_call *c); /* closes its connection */
/* The caller has what it wanted (the answer's terminator came): no callback comes any more, what is still underway is
 * thrown away; the connection is kept if the answer ends within half a second, else closed. */
void egress_release(struct egress_call *c);
void egress_pause(struct egress_call *c);  /* no on_body until resume; kernel buffers stay bounded */
void egress_resume(struct egress_call *c);
void egress_feed(struct egress_call *c); /* the upload has more, or is over */
struct egress_timing egress_timing(const struct egress_call *c);
uint32_t egress_in_flight(const struct egress *e);

/* Who carries the calls of this process in libcurl's place: a rehearsal, from which nothing may leave (rehearsal.h). Set before
 * the first call, for good. Handles are the carrier's own. */
struct egress_carrier {
    struct egress_call *(*start)(const struct egress_request *r, const struct egress_ops *ops, void *arg);
    void (*cancel)(struct egress_call *c);
    void (*set_paused)(struct egress_call *c, bool is_paused);
};
void egress_carry(const struct egress_carrier *carrier);

#endif
