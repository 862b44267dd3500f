/* What all workers together know of each provider: calls in flight and waiting, calls made, how many may be made again.
 *
 * Gauges and counters live in the worker's own slot. A cap is kept exactly: a call is counted first and looked at after, so two
 * workers that take the last place at the same time both give it back, and neither goes beyond.
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

static uint32_t sum(int id, bool is_waiting)
{
    uint32_t n = 0;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i)) {
        struct shm_provider *p = &shm_area->slots[i].providers[id];
        n += atomic_load(is_waiting ? &p->waiting : &p->in_flight);
    }
    return n;
}

uint32_t provider_in_flight(int id)
{
    return is_provider(id) ? sum(id, false) : 0;
}

uint32_t provider_waiting(int id)
{
    return is_provider(id) ? sum(id, true) : 0;
}

bool provider_begin(int id, uint32_t cap)
{
    if (!is_provider(id))
        return true;
    struct shm_provider *p = &shm_own->providers[id];
    atomic_fetch_add(&p->in_flight, 1);
    if (cap && sum(id, false) > cap) {
        atomic_fetch_sub(&p->in_flight, 1);
        return false;
    }
    atomic_store_explicit(&p->calls, atomic_load_explicit(&p->calls, memory_order_relaxed) + 1, memory_order_relaxed);
    return true;
}

void provider_end(int id)
{
    if (is_provider(id) && atomic_load_explicit(&shm_own->providers[id].in_flight, memory_order_relaxed) > 0)
        atomic_fetch_sub(&shm_own->providers[id].in_flight, 1);
}

void provider_wait(int id, int by)
{
    if (is_provider(id))
        atomic_fetch_add(&shm_own->providers[id].waiting, (uint32_t)by);
}

bool provider_take_retry(int id, const struct budget_rules *rules, int64_t now_ms)
{
    uint64_t calls = 0;
    if (!is_provider(id))
        return true;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i))
        calls += atomic_load_explicit(&shm_area->slots[i].providers[id].calls, memory_order_relaxed);
    return budget_take(&shm_area->budgets[id].word, rules, calls, now_ms);
}

void providers_clear_slot(uint32_t slot)
{
    for (uint32_t i = 0; i < PROVIDERS_MAX && names_at(&shm_area->provider_names, i); i++) {
        atomic_store(&shm_area->slots[slot].providers[i].in_flight, 0);
        atomic_store(&shm_area->slots[slot].providers[i].waiting, 0);
    }
}

/* ---- the text ---- */

static void put_gauge(struct shm_text *t, const char *name, const char *help, bool is_waiting)
{
    const struct name_record *r;
    shm_put(t, "# HELP weir_%s %s\n# TYPE weir_%s gauge\n", name, help, name);
    for (int i = 0; (r = names_at(&shm_area->provider_names, (uint32_t)i)); i++) {
        shm_put(t, "weir_%s{provider=\"", name);
        metric_put_escaped(t, r->text);
        shm_put(t, "\"} %" PRIu32 "\n", sum(i, is_waiting));
    }
}

void providers_text(struct shm_text *t)
{
    if (!names_at(&shm_area->provider_names, 0))
        return;
    put_gauge(t, "provider_in_flight", "Calls to this provider that are running now.", false);
    put_gauge(t, "provider_waiting", "Requests that wait for a place among the calls to this provider.", true);
}
