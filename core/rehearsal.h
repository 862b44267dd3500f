/* The production pipeline in this process, with clocks that stand still and providers that are played: for `weir test` and
 * `weir explain`. Nothing leaves the process: what goes to a provider, or is fetched by a plugin, is answered by the caller of
 * these functions. A wait costs no time: when nothing is left to do, the clocks go on to the next deadline.
 *
 * For one rehearsal in the life of a process: fork() for the next.
 */
#ifndef WEIR_CORE_REHEARSAL_H
#define WEIR_CORE_REHEARSAL_H

#include "request.h"
#include "worker.h"

/* Something that wants to leave. Lifetime: of the call of play(). */
struct rehearsal_call {
    struct attempt *attempt; /* NULL: a plugin fetches something */
    const struct egress_request *request;
};

/* How it is answered; what it points to must live as long as the rehearsal. */
struct rehearsal_reply {
    enum egress_result result; /* how the transport ends */
    const char *message;       /* why, if it is not EGRESS_OK */
    int status;                /* 0: no head comes */
    const struct http_header *headers;
    uint32_t n_headers;
    struct weir_str body;
    int64_t head_after_ms, body_after_ms, end_after_ms; /* each from the one before it; -1: never */
};

struct rehearsal {
    const struct config *config; /* loaded */
    int64_t unix_ms;             /* when it takes place */
    struct worker_rehearsal settings;
    struct worker_watcher watcher;
    void (*play)(void *arg, const struct rehearsal_call *call, struct rehearsal_reply *reply);
    void *arg;
};

/* 0, or -1 and why. */
int rehearsal_begin(const struct rehearsal *r, char *why, size_t n);
/* One HTTP request, whole, with `connection: close`; what comes back, whole. -1: nothing came in an hour of its time. */
int rehearsal_ask(struct weir_str request, struct weir_out *answer);
/* Time that has passed in it. */
int64_t rehearsal_ms(void);
void rehearsal_end(void);

#endif
