/* May a call to a target begin now? The caps on calls in flight, the breaker, and the short queue before a provider that is full.
 *
 * What is admitted is counted, for the machine, until admission_end() or, if the attempt never begins, admission_return(). Queues
 * are this worker's, one per provider; how many wait is counted for all. In a queue principals take turns: each place has a
 * round, one behind the last of its principal's places and none before the round being served. A queue moves when a call of
 * this worker ends; a timer looks while there is one, because places are also freed by other workers.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "pipeline.h"

enum { LOOK_MS = 10, PROBE_MAX_MS = 3600 * 1000 };

struct place {
    struct place *next;
    struct request *request;
    struct candidate *candidate;
    weir_token token;
    uint64_t round;
    struct queue *queue;
};

struct queue {
    struct place *first;
    uint64_t round; /* being served */
};

struct numbers {
    int id; /* in shared memory */
    int retries, hedges, shed; /* counters */
};

static struct queue *queues; /* by provider.index */
static struct numbers *numbers; /* the same */
static uint32_t n_queues, n_places;
static struct event *look;

/* ---- counting ---- */

int admission_provider(const struct config_provider *p)
{
    return numbers ? numbers[p->index].id : -1;
}

static int id_of(const struct candidate *c)
{
    return admission_provider(c->provider);
}

void admission_count_retry(const struct config_provider *p)
{
    if (numbers)
        metric_add(numbers[p->index].retries, 1);
}

bool admission_take_hedge(const struct config_provider *p, double share)
{
    if (!provider_take_hedge(admission_provider(p), share, monotonic_us() / 1000))
        return false;
    if (numbers)
        metric_add(numbers[p->index].hedges, 1);
    return true;
}

static bool count(struct candidate *c)
{
    if (!provider_begin(id_of(c), c->provider->max_inflight))
        return false;
    if (target_begin(c->figures, c->max_inflight))
        return true;
    provider_end(id_of(c));
    return false;
}

/* A copy leaves half of the places to those for whom somebody waits. */
static bool leaves_room(const struct candidate *c)
{
    uint32_t of_provider = c->provider->max_inflight / 2, of_target = c->max_inflight / 2;
    bool has_one = !c->provider->max_inflight || provider_in_flight(id_of(c)) < of_provider;
    return has_one && (!c->max_inflight || c->figures < 0 || target_read(c->figures).in_flight < of_target);
}

static uint32_t probe_ms(const struct request *r)
{
    int64_t deadline_us = request_deadline_us(r), left_ms = (deadline_us - monotonic_us()) / 1000 + 1000;
    return left_ms > PROBE_MAX_MS || deadline_us == INT64_MAX ? PROBE_MAX_MS : left_ms > 1000 ? (uint32_t)left_ms : 1000;
}

static enum admission take(struct request *r, struct candidate *c)
{
    if ((r->mirror && !leaves_room(c)) || !count(c))
        return ADMISSION_FULL;
    c->ticket = (struct breaker_ticket){ 0, false, false };
    if (c->figures < 0)
        return ADMISSION_GIVEN;
    _Atomic uint64_t *word = target_breaker(c->figures);
    uint32_t lease_ms = breaker_is_closed(word) ? 0 : probe_ms(r);
    if (breaker_enter(word, &c->provider->breaker, shm_slot(), lease_ms, monotonic_us() / 1000, &c->ticket))
        return ADMISSION_GIVEN;
    target_release(c->figures);
    provider_end(id_of(c));
    return ADMISSION_REFUSED;
}

enum admission admission_ask(struct request *r, struct candidate *c)
{
    if (queues && queues[c->provider->index].first)
        return ADMISSION_FULL; /* nobody goes before those who wait */
    return take(r, c);
}

/* ---- the queue ---- */

static void put_in(struct queue *q, struct place *p)
{
    p->queue = q;
    p->round = q->round;
    for (const struct place *x = q->first; x; x = x->next)
        if (strcmp(x->request->principal_name, p->request->principal_name) == 0 && x->round >= p->round)
            p->round = x->round + 1;
    struct place **at = &q->first;
    while (*at && (*at)->round <= p->round)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    n_places++;
    provider_wait(id_of(p->candidate), 1);
}

static void take_out(struct place *p)
{
    struct place **at = &p->queue->first;
    while (*at && *at != p)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = p->next;
    n_places--;
    provider_wait(id_of(p->candidate), -1);
    if (!n_places && look)
        event_del(look);
}

static void left_queue(void *arg)
{
    take_out(arg);
}

/* In order, as far as there is room; who waits for a target that is full keeps nobody from another. */
static void serve(struct queue *q)
{
    for (struct place *p = q->first, *next; p; p = next) {
        next = p->next;
        if (!wait_is_open(p->token))
            continue; /* its time was over just now */
        enum admission a = take(p->request, p->candidate);
        if (a == ADMISSION_FULL)
            continue;
        take_out(p);
        q->round = p->round;
        if (a == ADMISSION_GIVEN)
            p->request->admitted = p->candidate;
        wait_resume(p->token, WEIR_NEXT);
    }
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    for (uint32_t i = 0; i < n_queues; i++)
        if (queues[i].first)
            serve(&queues[i]);
}

static void start_looking(void)
{
    struct timeval tv = { 0, LOOK_MS * 1000 };
    if (!event_pending(look, EV_TIMEOUT, NULL))
        event_add(look, &tv);
}

/* It was its turn, or the time is over. */
static void waited(struct weir_call *call, enum weir_verdict v)
{
    struct request *r = call->request;
    struct candidate *c = r->admitted;
    if (v == WEIR_SKIP) {
        metric_add(numbers[r->place->candidate->provider->index].shed, 1);
        take_out(r->place);
        r->was_shed = true;
    }
    r->place = NULL;
    r->admitted = NULL;
    if (c) {
        attempt_start(r, c);
        return;
    }
    r->state = REQUEST_SERVE;
    request_run(r);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool admission_wait(struct request *r)
{
    struct candidate *c = r->full;
    r->full = NULL;
    if (!c || !look)
        return false;
    const struct config_provider *p = c->provider;
    struct place *place = arena_zalloc(r->arena, sizeof(*place));
    r->was_shed = true;
    if (!place || !p->queue_ms || provider_waiting(id_of(c)) >= p->queue_length) {
        metric_add(numbers[p->index].shed, 1);
        return false;
    }
    int64_t until_us = earlier(monotonic_us() + (int64_t)p->queue_ms * 1000, request_deadline_us(r));
    place->request = r;
    place->candidate = c;
    place->token = wait_core(&r->call, "a place among the calls to its provider", until_us, waited, left_queue, place);
    if (!place->token)
        return false;
    r->was_shed = false;
    r->place = place;
    put_in(&queues[p->index], place);
    start_looking();
    note_add(r, "core", "queued", c->view.name);
    return true;
}

/* ---- ending ---- */

void admission_end(const struct candidate *c)
{
    provider_end(id_of(c));
    if (queues && queues[c->provider->index].first)
        serve(&queues[c->provider->index]);
}

void admission_return(struct candidate *c)
{
    target_release(c->figures);
    breaker_forget(target_breaker(c->figures), monotonic_us() / 1000, &c->ticket);
    admission_end(c);
}

void admission_leave(struct request *r)
{
    if (r->admitted)
        admission_return(r->admitted);
    r->admitted = NULL;
}

/* ---- the worker ---- */

static void declare(struct numbers *n, const char *provider)
{
    char labels[160] = "";
    n->id = provider_declare(provider);
    metric_label(labels, sizeof(labels), "provider", provider);
    n->retries = metric_declare("retries_total", labels, "Calls that were made again", METRIC_COUNTER);
    n->hedges = metric_declare("hedges_total", labels, "Calls beside which another target was asked", METRIC_COUNTER);
    n->shed = metric_declare("shed_total", labels, "Requests that found no place, nor one in the queue", METRIC_COUNTER);
}

int admission_start(struct worker *w)
{
    n_queues = w->config->n_providers;
    queues = calloc(n_queues + 1, sizeof(*queues));
    numbers = calloc(n_queues + 1, sizeof(*numbers));
    look = event_new(w->base, -1, EV_PERSIST, on_look, NULL);
    if (!queues || !numbers || !look)
        return -1;
    for (uint32_t i = 0; i < n_queues; i++)
        declare(&numbers[i], w->config->providers[i]->name);
    return 0;
}

void admission_stop(void)
{
    if (look)
        event_free(look);
    free(queues);
    free(numbers);
    look = NULL;
    queues = NULL;
    numbers = NULL;
}
