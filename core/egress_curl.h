/* A call to a provider, as the egress's rooms share it: egress_curl.c (libcurl and the loop, the life of calls), egress_flow.c
 * (back-pressure), egress_request.c (handles and what is asked), egress_answer.c (what comes back, strictly), egress_result.c (how it
 * ended, in words).
 *
 * libcurl must not be called from inside its own callbacks: while it runs (`inside` > 0) cancelling, starting and resuming only
 * leave marks, and the call stands on the egress's list until settle() heeds them, from the event loop.
 */
#ifndef WEIR_CORE_EGRESS_CURL_H
#define WEIR_CORE_EGRESS_CURL_H

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "address.h"
#include "dns.h"
#include "egress.h"

struct event;

enum call_state {
    CALL_LOOKING, /* its host is being looked up */
    CALL_STARTING, /* to be given to libcurl from the event loop */
    CALL_RUNNING, /* libcurl's */
    CALL_OVER, /* its end is being told */
};

/* Idle ones wait in the pool of their origin with every option set that the next call of that origin needs as it is. */
struct egress_call {
    struct egress_call *next, *prev; /* of all that are underway; in the pool */
    struct egress_call *next_later, **later_from; /* the egress's list */
    struct egress *egress;
    struct origin_pool *pool;
    CURL *easy;
    enum call_state state;
    const struct egress_ops *ops; /* NULL: cancelled or released */
    void *arg;

    /* the request */
    bool has_url; /* the handle has … */
    char *url; /* … this one, with what follows from it: */
    const char *used_proxy; /* "": none */
    struct url_place place;
    char *looked_up; /* the name to look up; NULL: none, an address is enough */
    unsigned looked_up_port;
    char *lines; /* the list of headers and the lines that it points to: one block */
    struct curl_slist *resolve;
    uint32_t address_version; /* of the addresses that libcurl has for this name */
    const struct egress_upload *upload; /* NULL: the body is there */
    bool upload_waits, wants_feed; /* libcurl was told to wait; there is more now */
    const struct weir_str *body;
    uint64_t body_n; /* bytes in all */
    uint32_t n_body, piece;
    size_t piece_at;
    char *joined; /* a small body of several pieces */
    bool is_post, has_custom_method, is_streamed;
    uint32_t connect_ms, set_connect_ms;
    struct dns_query *look_up;
    struct event *look_up_timer;
    int64_t started_us;

    /* the answer */
    char *head; /* "name:value\n" … as it comes */
    size_t head_n, head_cap;
    uint32_t n_fields, n_interim;
    int status;
    bool has_status, has_head; /* a head has begun; the final one is whole */
    bool has_length, is_chunked, is_http_1_0;
    struct http_chunks chunks;
    bool chunks_done;
    uint64_t received;

    /* marks and ends */
    bool wants_pause, is_paused, wants_resume, is_cancelled, is_released;
    bool wants_retry, is_fresh; /* the kept connection was dead; FRESH_CONNECT is set */
    uint32_t tries; /* of libcurl in this run */
    enum egress_result refused; /* by us, with the reason in why; EGRESS_OK: not */
    const char *why;
    int64_t release_at_ms;
    struct egress_timing timing;
    char error[CURL_ERROR_SIZE];
};

struct origin_pool {
    struct origin_pool *next;
    const struct egress_origin *origin;
    struct egress_call *idle;
    uint32_t n;
};

/* A socket of libcurl's. It stays in the poll set between two calls on its connection; it leaves when it is closed or when
 * something happens on it that nobody waits for. */
struct watched {
    struct event event;
    struct egress *egress;
    short wanted, armed;
};

struct egress {
    struct event_base *base;
    CURLM *multi;
    CURLSH *share; /* TLS sessions */
    struct event *timer, *later_event, *sweep;
    struct egress_call *calls, *later;
    struct origin_pool *pools;
    struct watched **sockets; /* by descriptor */
    uint32_t n_sockets;
    uint32_t n_calls, inside;
    bool wants_action; /* libcurl's timer is due */
    struct dns *dns;
    char *scratch; /* chunks of one read, joined */
    struct proxies *proxies;
};

/* Every open call holds such a buffer (libcurl adds a byte): a few events fit, and larger answers come in several reads. */
enum { EGRESS_BUFFER = 2047, EGRESS_READ_MAX = 64 * 1024, EGRESS_HEAD_MAX = 64 * 1024 };

int64_t egress_now_us(void);
extern const struct egress_carrier *egress_other; /* who carries in libcurl's place; NULL: nobody */
void egress_later(struct egress_call *c);
/* Resumes what was marked. */
void call_go_on(struct egress_call *c);
/* Over: tells it and gives the handle back. Never inside libcurl. */
void egress_end_call(struct egress_call *c, enum egress_result result, const char *message);

/* ---- egress_request.c ---- */
struct egress_call *call_take(struct egress *e, const struct egress_origin *origin);
/* Sets what is asked. false: no memory, or a url that makes no sense. */
bool call_set_request(struct egress_call *c, const struct egress_request *r);
/* Gives libcurl the addresses of the name, if it has others. */
bool call_set_addresses(struct egress_call *c, const char *addresses, uint32_t version);
void call_rewind(struct egress_call *c);
/* Back to its pool; libcurl must have let go of it. */
void call_give_back(struct egress_call *c);
void call_destroy(struct egress_call *c);

/* ---- egress_answer.c ---- */
size_t answer_on_header(char *p, size_t size, size_t count, void *arg);
size_t answer_on_body(char *p, size_t size, size_t count, void *arg);

/* ---- egress_result.c ---- */
enum egress_result result_of(const struct egress_call *c, CURLcode rc);
/* A sentence. */
void result_message(const struct egress_call *c, enum egress_result result, CURLcode rc, char *out, size_t n);

#endif
