/* A worker in a process of its own, behind a unix socket that only we may open: for commands that really ask a provider. */
#ifndef WEIR_CORE_LONE_WORKER_H
#define WEIR_CORE_LONE_WORKER_H

#include <sys/types.h>

#include "json.h"
#include "worker.h"

/* All zero: none. */
struct lone_worker {
    char folder[64], socket[96];
    int fd;
    pid_t pid;
};

/* start: all but where it listens and by whom it is controlled. CMD_FAILED after saying why; lone_worker_end() is called in any case. */
int lone_worker_begin(struct lone_worker *w, const struct worker_start *start);
/* One HTTP request with `Connection: close`, and all that comes back, with a NUL behind it. CMD_FAILED after saying why. */
int lone_worker_ask(const struct lone_worker *w, struct weir_str request, struct weir_out *answer);
/* It ends when it has written what it has to write. */
void lone_worker_drain(const struct lone_worker *w);
/* Drains it, so that what it has to write is written, for a few seconds at most. */
void lone_worker_end(struct lone_worker *w);

#endif
