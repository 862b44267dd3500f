/* What all workers together know of each target: calls, failures, calls in flight, time to the first token.
 *
 * Counts live in the worker's own slot, so a dead worker's calls in flight vanish with it. The moving average is one
 * word for all, moved on by compare-and-swap.
 */
#include <inttypes.h>

#include "clock.h"
#include "shm_layout.h"

int target_declare(const char *name)
{
    struct name_record wish;
    names_wish(&wish, name, "");
    return names_find_or_add(&shm_area->target_names, TARGETS_MAX, &wish);
}

const char *target_name(int id)
{
    const struct name_record *r = id < 0 ? NULL : names_at(&shm_area->target_names, (uint32_t)id);
    return r ? r->text : NULL;
}

uint32_t target_count(void)
{
    uint32_t n = 0;
    while (n < TARGETS_MAX && names_at(&shm_area->target_names, n))
        n++;
    return n;
}

static bool is_target(int id)
{
    return id >= 0 && id < TARGETS_MAX;
}

void target_begin(int id)
{
    if (is_target(id))
        atomic_fetch_add_explicit(&shm_own->targets[id].in_flight, 1, memory_order_relaxed);
}

/* An eighth of the newest: about the last ten answers count. */
static void average(_Atomic uint32_t *word, uint32_t ms)
{
    uint32_t sample = (ms < 1000000 ? ms : 1000000) * 16;
    uint32_t old = atomic_load_explicit(word, memory_order_relaxed), next;
    do {
        int64_t step = ((int64_t)sample - (int64_t)old) / 8;
        next = old == 0 ? sample : (uint32_t)((int64_t)old + step);
    } while (!atomic_compare_exchange_weak_explicit(word, &old, next ? next : 1, memory_order_relaxed,
                                                    memory_order_relaxed));
}

void target_end(int id, bool failed, uint32_t first_token_ms)
{
    if (!is_target(id))
        return;
    struct shm_target *t = &shm_own->targets[id];
    if (atomic_load_explicit(&t->in_flight, memory_order_relaxed) > 0)
        atomic_fetch_sub_explicit(&t->in_flight, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->calls, 1, memory_order_relaxed);
    if (failed) {
        atomic_fetch_add_explicit(&t->failures, 1, memory_order_relaxed);
        atomic_store_explicit(&shm_area->averages[id].last_failure_ms, unix_ms(), memory_order_relaxed);
    }
    if (first_token_ms > 0)
        average(&shm_area->averages[id].latency, first_token_ms);
}

struct target_figures target_read(int id)
{
    struct target_figures f = { 0, 0, 0, 0, 0 };
    if (!is_target(id))
        return f;
    f.latency_ms = (atomic_load_explicit(&shm_area->averages[id].latency, memory_order_relaxed) + 15) / 16;
    f.last_failure_ms = atomic_load_explicit(&shm_area->averages[id].last_failure_ms, memory_order_relaxed);
    for (int i = shm_next_slot(-1); i >= 0; i = shm_next_slot(i)) {
        struct shm_target *t = &shm_area->slots[i].targets[id];
        f.in_flight += atomic_load_explicit(&t->in_flight, memory_order_relaxed);
        f.calls += atomic_load_explicit(&t->calls, memory_order_relaxed);
        f.failures += atomic_load_explicit(&t->failures, memory_order_relaxed);
    }
    return f;
}

/* ---- the text ---- */

enum figure { FIGURE_IN_FLIGHT, FIGURE_CALLS, FIGURE_FAILURES, FIGURE_LATENCY };

static double figure_value(enum figure which, const struct target_figures *f)
{
    switch (which) {
    case FIGURE_IN_FLIGHT: return f->in_flight;
    case FIGURE_CALLS: return (double)f->calls;
    case FIGURE_FAILURES: return (double)f->failures;
    case FIGURE_LATENCY: return f->latency_ms / 1e3;
    }
    return 0;
}

static void put_figure(struct shm_text *t, enum figure which, const char *name, const char *type, const char *help)
{
    shm_put(t, "# HELP weir_%s %s\n# TYPE weir_%s %s\n", name, help, name, type);
    for (int id = 0; target_name(id); id++) {
        struct target_figures f = target_read(id);
        shm_put(t, "weir_%s{target=\"", name);
        metric_put_escaped(t, target_name(id));
        shm_put(t, "\"} %.15g\n", figure_value(which, &f));
    }
}

void targets_text(struct shm_text *t)
{
    if (!target_name(0))
        return;
    put_figure(t, FIGURE_IN_FLIGHT, "target_in_flight", "gauge", "Calls to this target that are running now.");
    put_figure(t, FIGURE_CALLS, "target_calls_total", "counter", "Calls to this target that are over.");
    put_figure(t, FIGURE_FAILURES, "target_failures_total", "counter", "Calls to this target that failed.");
    put_figure(t, FIGURE_LATENCY, "target_first_token_seconds", "gauge", "Time to the first token, moving average.");
}
