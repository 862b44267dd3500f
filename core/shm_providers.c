/* What all workers together know of each provider: calls in flight and waiting, calls made, how many may be made again.
 *
 * Gauges and counters live in the worker's own slot; caps are kept by places.c.
 */
#include <inttypes.h>

#include "budget.h"
#include "shm_layout.h"

int provider_declare(const char *name)
{
    struct name_record wish;
    names_wish(&wish, name, "");
    return names_find_or_add(&shm_area->provider_names, PROVIDERS_MAX, &wish);
}

static bool is_provider(int id)
{
    return id >= 0 && id < PROVIDERS_MAX;
}

static size_t places_of(int id)
{
    return offsetof(struct shm_slot, providers) + (size_t)id * sizeof(struct shm_provider) +
           offsetof(struct shm_provider, calls_now);
}

uint32_t provider_in_flight(int id)
{
    return is_provider(id) ? places_used(places_of(id)) : 0;
}

uint32_t provider_waiting(int id)
{
    uint32_t n = 0;
    if (!is_provider(id))
        return 0;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i))
        n += atomic_load(&shm_area->slots[i].providers[id].waiting);
    return n;
}

bool provider_begin(int id, uint32_t cap)
{
    if (!is_provider(id))
        return true;
    if (!places_take(places_of(id), cap))
        return false;
    _Atomic uint64_t *calls = &shm_own->providers[id].calls;
    atomic_store_explicit(calls, atomic_load_explicit(calls, memory_order_relaxed) + 1, memory_order_relaxed);
    return true;
}

void provider_end(int id)
{
    if (is_provider(id))
        places_give(places_of(id));
}

void provider_wait(int id, int by)
{
    if (is_provider(id))
        atomic_fetch_add(&shm_own->providers[id].waiting, (uint32_t)by);
}

static uint64_t calls_made(int id)
{
    uint64_t calls = 0;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i))
        calls += atomic_load_explicit(&shm_area->slots[i].providers[id].calls, memory_order_relaxed);
    return calls;
}

bool provider_take_retry(int id, const struct budget_rules *rules, int64_t now_ms)
{
    return !is_provider(id) || budget_take(&shm_area->budgets[id].word, rules, calls_made(id), now_ms);
}

bool provider_take_hedge(int id, double share, int64_t now_ms)
{
    const struct budget_rules rules = { .share = share, .is_of_calls_only = true };
    return !is_provider(id) || budget_take(&shm_area->hedges[id].word, &rules, calls_made(id), now_ms);
}

bool provider_check_turn(int id, uint32_t every_ms, int64_t now_ms)
{
    if (!is_provider(id))
        return true; /* beyond the table: each worker for itself */
    int64_t due_ms = atomic_load(&shm_area->healths[id].due_ms);
    bool is_due = now_ms >= due_ms || due_ms - now_ms > (int64_t)every_ms; /* or the interval was longer once */
    return is_due && atomic_compare_exchange_strong(&shm_area->healths[id].due_ms, &due_ms, now_ms + every_ms);
}

uint32_t provider_check_told(int id, bool is_well)
{
    if (!is_provider(id))
        return 0;
    if (!is_well)
        return atomic_fetch_add(&shm_area->healths[id].failures, 1) + 1;
    atomic_store(&shm_area->healths[id].failures, 0);
    return 0;
}

uint32_t provider_check_failures(int id)
{
    return is_provider(id) ? atomic_load_explicit(&shm_area->healths[id].failures, memory_order_relaxed) : 0;
}

void providers_clear_slot(uint32_t slot)
{
    for (uint32_t i = 0; i < PROVIDERS_MAX && names_at(&shm_area->provider_names, i); i++) {
        atomic_store(&shm_area->slots[slot].providers[i].calls_now, 0);
        atomic_store(&shm_area->slots[slot].providers[i].waiting, 0);
    }
}

/* ---- the text ---- */

static void put_gauge(struct shm_text *t, const char *name, const char *help, uint32_t (*read)(int id))
{
    const struct name_record *r;
    shm_put(t, "# HELP weir_%s %s\n# TYPE weir_%s gauge\n", name, help, name);
    for (int i = 0; (r = names_at(&shm_area->provider_names, (uint32_t)i)); i++) {
        shm_put(t, "weir_%s{provider=\"", name);
        metric_put_escaped(t, r->text);
        shm_put(t, "\"} %" PRIu32 "\n", read(i));
    }
}

void providers_text(struct shm_text *t)
{
    if (!names_at(&shm_area->provider_names, 0))
        return;
    put_gauge(t, "provider_in_flight", "Calls to this provider that are running now.", provider_in_flight);
    put_gauge(t, "provider_waiting", "Requests that wait for a place among the calls to this provider.", provider_waiting);
    put_gauge(t, "provider_health_failures", "Health checks of this provider that failed in a row; 0: well, or not checked.",
              provider_check_failures);
}
