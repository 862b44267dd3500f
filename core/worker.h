/* The worker: one event loop, the edge, the egress, the stage instances, the pipeline. And the seams to the master.
 *
 * worker_run() is the whole life of a worker process; with `workers: 0` main() calls it itself.
 */
#ifndef WEIR_CORE_WORKER_H
#define WEIR_CORE_WORKER_H

#include "config.h"
#include "edge.h"
#include "egress.h"

struct event_base;
struct request;

/* What a rehearsal (rehearsal.h) wants otherwise than in service. */
struct worker_rehearsal {
    uint64_t seed;                      /* of every request's chance */
    const struct weir_principal *caller; /* who calls, unless a stage says */
};

/* A process of its own that runs the pipeline to see what becomes of requests. */
struct worker_watcher {
    void (*on_finish)(void *arg, struct request *r); /* a request is over; its record is complete */
    void *arg;
    bool explains; /* every request is explained, as for who asks with x-weir-explain */
};

struct worker {
    const struct config *config;
    struct event_base *base;
    struct edge *edge;
    struct egress *egress;
    uint32_t slot;       /* in shared memory */
    uint32_t generation;
    int control_fd;      /* to the master; -1 with workers: 0 */
    bool is_draining;
    const struct worker_rehearsal *rehearsal; /* NULL in service */
    const struct worker_watcher *watcher; /* the same */
};
extern struct worker *worker; /* of this process */

struct worker_start {
    const char *config_path, *snapshot; /* snapshot NULL: straight from the files */
    uint32_t slot, generation;
    int control_fd;
    const int *listen_fds;
    uint32_t n_listen_fds;
    void (*adapt)(struct config *c); /* changes the configuration before it is used; NULL: nothing to change */
    const struct worker_watcher *watcher; /* NULL: none */
};
int worker_run(const struct worker_start *start); /* exit code */

/* ---- what the pipeline gives the worker (core/pipeline.h implements) ---- */
int pipeline_start(struct worker *w, char *why, size_t n); /* makes stage instances; before listening */
const struct edge_handler *pipeline_handler(void);
void pipeline_drain(void);
/* Calls in flight, and what each waits for, as JSON objects in an array; for `weir status`. Returns malloc'ed text. */
char *pipeline_status_json(void);
/* Requests that are not over; a draining worker ends when there are none. */
uint32_t pipeline_live(void);
uint32_t mirror_live(void); /* copies, which are not among those */
void pipeline_stop(void); /* destroys instances; for leak checks */

#endif
