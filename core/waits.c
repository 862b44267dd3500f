/* Tokens: the one way in which a call waits, stages' and the core's own (a back-off, a place in a queue).
 *
 * A token names a slot of a table and the slot's generation, so that a resume that comes late, twice, or from nowhere finds
 * nothing and does nothing. resume() only queues: the call goes on from the event loop, or at once if its hook has not
 * returned yet. Each wait has a deadline of its own; a request that ends cancels its wait.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "log.h"
#include "pipeline.h"

struct wait {
    struct weir_call *call; /* NULL: free */
    struct weir_instance *who; /* NULL: the core itself */
    wait_fn then; /* the core's: called in place of the stages' cursor */
    int64_t until_us; /* the core's: when it goes on by itself */
    weir_fn cancel;
    void *arg;
    const char *why;
    int64_t since_us;
    uint32_t generation, index;
    enum weir_verdict verdict; /* 0: not resumed */
    struct wait *next; /* free, or ready */
};

enum { WAITS_STEP = 64, WAITS_MAX = 1 << 20 };

static struct wait **table; /* by index; entries never move */
static uint32_t n_table, n_live;
static struct wait *free_list, *ready, **ready_end = &ready;
static struct event *ready_event;

static void run_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    uint32_t n = 0;
    for (const struct wait *w = ready; w; w = w->next)
        n++; /* what becomes ready meanwhile waits for the next turn of the loop */
    for (; n > 0 && ready; n--) {
        struct weir_call *c = ready->call;
        struct request *r = c->request;
        wait_fn then = ready->then;
        request_enter(r);
        enum weir_verdict v = wait_take(c);
        if (!then)
            pipeline_resumed(c, v);
        else if (!r->is_ending)
            then(c, v);
        request_arm(r);
        request_leave(r);
    }
    if (ready)
        event_active(ready_event, EV_TIMEOUT, 0);
}

void waits_start(struct event_base *base)
{
    ready_event = event_new(base, -1, 0, run_ready, NULL);
}

void waits_stop(void)
{
    if (ready_event)
        event_free(ready_event);
    ready_event = NULL;
    for (uint32_t i = 0; i < n_table; i++)
        free(table[i]);
    free(table);
    table = NULL;
    n_table = 0;
    free_list = NULL;
}

uint32_t waits_live(void)
{
    return n_live;
}

static bool grow(void)
{
    if (n_table >= WAITS_MAX)
        return false;
    struct wait **more = realloc(table, (n_table + WAITS_STEP) * sizeof(*more));
    if (!more)
        return false;
    table = more;
    for (uint32_t i = 0; i < WAITS_STEP; i++) {
        struct wait *w = calloc(1, sizeof(*w));
        if (!w)
            break;
        w->index = n_table;
        w->next = free_list;
        free_list = w;
        table[n_table++] = w;
    }
    return free_list != NULL;
}

static struct wait *find(weir_token token)
{
    uint32_t index = (uint32_t)token - 1, generation = (uint32_t)(token >> 32);
    if (token == 0 || index >= n_table || table[index]->generation != generation || !table[index]->call)
        return NULL;
    return table[index];
}

static weir_token take(struct weir_call *c, const struct wait *as)
{
    if (!free_list && !grow())
        return 0;
    struct wait *w = free_list;
    free_list = w->next;
    uint32_t generation = w->generation + 1, index = w->index;
    *w = *as;
    w->generation = generation;
    w->index = index;
    w->call = c;
    w->since_us = monotonic_us();
    c->wait = w;
    n_live++;
    request_arm(c->request);
    return (uint64_t)generation << 32 | (index + 1);
}

weir_token wait_begin(struct weir_call *c, const char *why, weir_fn cancel, void *arg)
{
    if (c->wait || !c->running || c->hook == HOOK_ATTEMPT_DONE || c->hook == HOOK_FINISH || c->is_decoding)
        return 0;
    return take(c, &(struct wait){ .who = c->running, .cancel = cancel, .arg = arg, .why = why ? why : "" });
}

weir_token wait_core(struct weir_call *c, const char *why, int64_t until_us, wait_fn then, weir_fn cancel, void *arg)
{
    if (c->wait)
        return 0;
    return take(c, &(struct wait){ .then = then, .until_us = until_us, .cancel = cancel, .arg = arg, .why = why });
}

static void unlink_ready(const struct wait *w)
{
    for (struct wait **at = &ready; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            if (ready_end == &w->next)
                ready_end = at;
            return;
        }
}

static void give_back(struct wait *w)
{
    if (w->verdict)
        unlink_ready(w);
    w->call->wait = NULL;
    w->call = NULL;
    w->next = free_list;
    free_list = w;
    n_live--;
}

void wait_resume(weir_token token, enum weir_verdict verdict)
{
    struct wait *w = find(token);
    if (!w)
        return; /* the call is over: legal */
    if (w->verdict) {
        LOG_ERROR("plugin.fault", "plugin", w->who ? w->who->plugin->desc.name : "core", "hook", hook_name(w->call->hook), "request",
                  w->call->request->id, "what", "resumed a token twice");
        return;
    }
    w->verdict = verdict ? verdict : (enum weir_verdict) - 1;
    w->next = NULL;
    *ready_end = w;
    ready_end = &w->next;
    event_active(ready_event, EV_TIMEOUT, 0);
}

bool wait_is_open(weir_token token)
{
    const struct wait *w = find(token);
    return w && !w->verdict;
}

struct weir_call *wait_call(weir_token token)
{
    struct wait *w = find(token);
    return w ? w->call : NULL;
}

enum weir_verdict wait_take(struct weir_call *c)
{
    enum weir_verdict v = c->wait ? c->wait->verdict : 0;
    if (v)
        give_back(c->wait);
    return v;
}

void wait_cancel(struct weir_call *c)
{
    struct wait *w = c->wait;
    if (!w)
        return;
    weir_fn cancel = w->verdict ? NULL : w->cancel; /* resumed already: its work is done */
    void *arg = w->arg;
    struct weir_instance *who = w->who;
    give_back(w);
    if (!cancel)
        return;
    if (!who) {
        cancel(arg);
        return;
    }
    struct visit v = visit_enter(c, who, CRUMB_CANCEL, true);
    cancel(arg);
    visit_leave(&v);
}

int64_t wait_deadline_us(const struct weir_call *c)
{
    const struct wait *w = c->wait;
    if (!w || w->verdict)
        return INT64_MAX;
    if (!w->who)
        return w->until_us;
    return worker->config->stage_wait_ms ? w->since_us + (int64_t)worker->config->stage_wait_ms * 1000 : INT64_MAX;
}

bool wait_is_overdue(const struct weir_call *c, int64_t now_us)
{
    return wait_deadline_us(c) <= now_us;
}

bool wait_ring(struct weir_call *c)
{
    struct wait *w = c->wait;
    if (!w || w->who)
        return false;
    if (!w->verdict)
        wait_resume((uint64_t)w->generation << 32 | (w->index + 1), WEIR_SKIP);
    return true;
}

const char *wait_why(const struct weir_call *c, const char **plugin, int64_t *since_us)
{
    if (!c->wait)
        return NULL;
    *plugin = c->wait->who ? c->wait->who->plugin->desc.name : "core";
    *since_us = c->wait->since_us;
    return c->wait->why;
}
