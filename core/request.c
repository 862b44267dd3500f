/* Requests are made and freed here, and every one that lives is in this file's list. What moves them is serve.c's.
 *
 * A request is freed at the last request_leave() after its end; of one whose copies still run (mirror.c) the arena stays until
 * they are over.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "bytes.h"
#include "pipeline.h"

static struct request *requests;
static uint32_t n_requests;

struct request *request_first(void)
{
    return requests;
}

uint32_t pipeline_live(void)
{
    return n_requests - mirror_live();
}

uint64_t request_random(struct request *r)
{
    /* xorshift128+: seeded once from the system, so that a recorded seed repeats a request's choices */
    uint64_t a = r->random[0], b = r->random[1];
    r->random[0] = b;
    a ^= a << 23;
    r->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return r->random[1] + b;
}

void request_seed(struct request *r)
{
    static uint64_t pool[64];
    static size_t left;
    if (worker->rehearsal) {
        r->random[0] = worker->rehearsal->seed | 1;
        r->random[1] = worker->rehearsal->seed * UINT64_C(0x9e3779b97f4a7c15);
        return;
    }
    if (left < 2) {
        bytes_random(pool, sizeof(pool));
        left = sizeof(pool) / sizeof(*pool);
    }
    r->random[0] = pool[--left] | 1;
    r->random[1] = pool[--left];
}

struct request *request_new(struct exchange *x)
{
    struct arena *arena = arena_new();
    struct request *r = arena ? arena_zalloc(arena, sizeof(*r)) : NULL;
    if (!r) {
        arena_free(arena);
        return NULL;
    }
    r->arena = arena;
    r->call = (struct weir_call){ .request = r, .arena = arena };
    r->exchange = x;
    r->head = x ? exchange_head(x) : NULL;
    r->lane = lane_entry();
    r->notes_end = &r->notes;
    r->started_us = monotonic_us();
    r->body_limit = worker->config->limits.body_bytes;
    r->principal.size = sizeof(r->principal);
    if (worker->rehearsal && worker->rehearsal->caller)
        r->principal = *worker->rehearsal->caller;
    r->timer = arena_zalloc(arena, sizeof(struct event));
    r->timer_at_us = INT64_MAX;
    r->next = requests;
    if (requests)
        requests->prev = r;
    requests = r;
    n_requests++;
    if (!r->timer || lane_give_blocks(r, false) < 0)
        r->is_doomed = true;
    else
        event_assign(r->timer, worker->base, -1, 0, request_on_timer, r);
    if (x)
        exchange_attach(x, r);
    return r;
}

void request_free(struct request *r)
{
    free(r->kept_body);
    arena_free(r->arena);
}

static void request_destroy(struct request *r)
{
    while (r->attempts) {
        struct attempt *a = r->attempts;
        r->attempts = a->next;
        attempt_destroy(a);
    }
    if (r->timer)
        event_del(r->timer);
    *(r->prev ? &r->prev->next : &requests) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    n_requests--;
    mirror_forget(r);
    r->is_gone = true;
    if (!r->copies)
        request_free(r); /* else the last of them does */
}

void request_enter(struct request *r)
{
    r->depth++;
}

void request_leave(struct request *r)
{
    if (--r->depth == 0 && r->is_doomed)
        request_destroy(r);
}
