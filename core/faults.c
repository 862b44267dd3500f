/* Who crashes workers: counts per plugin and per pair of plugin and principal.
 *
 * Two crashes of a plugin by requests of one principal within the window make the pair poisoned: that principal's
 * requests no longer enter it until the window has passed. Crashes by two principals within the window put the plugin
 * into quarantine: nobody's requests enter it, except that after a back-off one worker probes it, that is, lets
 * requests in for the grace time. If no crash follows the plugin is released; if one follows, or another soon after
 * the release, the back-off doubles. A crash of the prober costs no more streams however many requests it let in.
 *
 * The master records; workers ask. Workers write only single words (probe, release), each by compare-and-swap, so that
 * of all workers one takes the probe. A prober that dies for another reason just lets the grace time pass.
 */
#include <inttypes.h>
#include <stdio.h>

#include "shm_layout.h"

enum {
    WINDOW_MS = 60 * 1000,
    BACKOFF_MS = 5 * 1000,
    BACKOFF_MAX_MS = 5 * 60 * 1000,
    GRACE_MS = 3 * 1000,          /* longer than the watchdog's default: a probe that hangs is found in time */
    RELAPSE_MS = 10 * 60 * 1000,  /* a crash so soon after the release quarantines at once */
};

static int plugin_number(const char *plugin, bool adds)
{
    struct name_record wish;
    const struct name_record *r;
    names_wish(&wish, plugin, "");
    if (adds)
        return names_find_or_add(&shm_area->fault_names, FAULT_PLUGINS, &wish);
    for (uint32_t i = 0; (r = names_at(&shm_area->fault_names, i)); i++)
        if (r->hash == wish.hash && strcmp(r->text, wish.text) == 0)
            return (int)i;
    return -1;
}

static bool is_within(int64_t then_ms, int64_t now_ms, int64_t span_ms)
{
    return then_ms != 0 && now_ms - then_ms < span_ms;
}

/* ---- pairs: written by the master alone, read with a version ---- */

static bool read_pair(uint32_t i, struct fault_pair *out)
{
    struct fault_pair *pair = &shm_area->fault_pairs[i];
    uint32_t version = atomic_load_explicit(&pair->version, memory_order_acquire);
    out->plugin = pair->plugin;
    out->last_ms = pair->last_ms;
    out->before_ms = pair->before_ms;
    memcpy(out->principal, pair->principal, sizeof out->principal);
    atomic_thread_fence(memory_order_acquire);
    return version % 2 == 0 && version == atomic_load_explicit(&pair->version, memory_order_relaxed);
}

static bool is_pair(const struct fault_pair *pair, uint32_t plugin, const char *principal)
{
    return pair->plugin == plugin && strncmp(pair->principal, principal, sizeof pair->principal - 1) == 0;
}

static int find_pair(uint32_t plugin, const char *principal)
{
    uint32_t n = atomic_load_explicit(&shm_area->n_pairs, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        if (is_pair(&shm_area->fault_pairs[i], plugin, principal))
            return (int)i;
    return -1;
}

/* A free one, else the oldest in turn. */
static uint32_t take_pair(void)
{
    uint32_t i = shm_area->next_pair++ % FAULT_PAIRS;
    return i;
}

static void record_pair(uint32_t plugin, const char *principal, int64_t now_ms)
{
    int found = find_pair(plugin, principal);
    uint32_t i = found >= 0 ? (uint32_t)found : take_pair();
    struct fault_pair *pair = &shm_area->fault_pairs[i];
    atomic_fetch_add(&pair->version, 1);
    atomic_thread_fence(memory_order_release);
    pair->before_ms = found >= 0 ? pair->last_ms : 0;
    pair->last_ms = now_ms;
    pair->plugin = plugin;
    snprintf(pair->principal, sizeof pair->principal, "%s", principal);
    atomic_fetch_add_explicit(&pair->version, 1, memory_order_release);
    if (i >= atomic_load(&shm_area->n_pairs))
        atomic_store_explicit(&shm_area->n_pairs, i + 1, memory_order_release);
}

static uint32_t principals_within(uint32_t plugin, int64_t now_ms)
{
    uint32_t count = 0, n = atomic_load(&shm_area->n_pairs);
    for (uint32_t i = 0; i < n; i++) {
        struct fault_pair *pair = &shm_area->fault_pairs[i];
        count += pair->plugin == plugin && is_within(pair->last_ms, now_ms, WINDOW_MS);
    }
    return count;
}

/* ---- recording ---- */

static bool is_poisoned(uint32_t plugin, const char *principal, int64_t now_ms)
{
    uint32_t n = atomic_load_explicit(&shm_area->n_pairs, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        struct fault_pair pair;
        if (read_pair(i, &pair) && is_pair(&pair, plugin, principal))
            return is_within(pair.before_ms, pair.last_ms, WINDOW_MS) && is_within(pair.last_ms, now_ms, WINDOW_MS);
    }
    return false;
}

static void quarantine(struct fault_plugin *f, int64_t now_ms, bool doubles)
{
    uint32_t backoff = atomic_load(&f->backoff_ms);
    backoff = backoff == 0 ? BACKOFF_MS : doubles ? backoff * 2 : backoff;
    backoff = backoff < BACKOFF_MAX_MS ? backoff : BACKOFF_MAX_MS;
    atomic_store(&f->backoff_ms, backoff);
    atomic_store(&f->probed_ms, 0);
    atomic_store(&f->probe_at_ms, now_ms + backoff);
    if (atomic_load(&f->quarantined_ms) == 0)
        atomic_store(&f->quarantined_ms, now_ms);
}

enum fault_verdict fault_record(const char *plugin, const char *principal, int64_t now_ms)
{
    int number = plugin_number(plugin, true);
    if (number < 0)
        return FAULT_NONE;
    struct fault_plugin *f = &shm_area->fault_plugins[number];
    atomic_fetch_add(&f->crashes, 1);
    atomic_store(&f->last_ms, now_ms);
    record_pair((uint32_t)number, principal, now_ms);
    bool is_probe = atomic_load(&f->quarantined_ms) != 0 && atomic_load(&f->probed_ms) != 0;
    bool is_relapse = is_within(atomic_load(&f->released_ms), now_ms, RELAPSE_MS);
    if (!is_relapse && atomic_load(&f->quarantined_ms) == 0)
        atomic_store(&f->backoff_ms, 0);
    if (is_probe || is_relapse || principals_within((uint32_t)number, now_ms) >= 2)
        quarantine(f, now_ms, is_probe || is_relapse);
    if (atomic_load(&f->quarantined_ms) != 0)
        return FAULT_QUARANTINED;
    return is_poisoned((uint32_t)number, principal, now_ms) ? FAULT_POISONED : FAULT_NONE;
}

/* ---- asking ---- */

static void release(struct fault_plugin *f, int64_t probed_ms, int64_t now_ms)
{
    if (!atomic_compare_exchange_strong(&f->probed_ms, &probed_ms, 0))
        return;
    atomic_store(&f->released_ms, now_ms);
    atomic_store(&f->quarantined_ms, 0);
}

static uint64_t own_name(void)
{
    return (uint64_t)atomic_load_explicit(&shm_own->incarnation, memory_order_relaxed) << 8 | shm_own_index;
}

/* May this request go in although the plugin is in quarantine? */
static bool is_let_through(struct fault_plugin *f, int64_t now_ms)
{
    int64_t probed_ms = atomic_load(&f->probed_ms);
    if (probed_ms != 0 && now_ms - probed_ms >= GRACE_MS) {
        release(f, probed_ms, now_ms);
        return true;
    }
    int64_t probe_at_ms = atomic_load(&f->probe_at_ms);
    if (probed_ms != 0)
        return atomic_load(&f->prober) == own_name();
    if (now_ms < probe_at_ms)
        return false;
    int64_t next_ms = now_ms + atomic_load(&f->backoff_ms);
    if (!atomic_compare_exchange_strong(&f->probe_at_ms, &probe_at_ms, next_ms))
        return false; /* another worker took it */
    atomic_store(&f->prober, own_name());
    atomic_store(&f->probed_ms, now_ms);
    return true;
}

enum fault_verdict fault_check(const char *plugin, const char *principal, int64_t now_ms)
{
    if (atomic_load_explicit(&shm_area->n_pairs, memory_order_relaxed) == 0)
        return FAULT_NONE;
    int number = plugin_number(plugin, false);
    if (number < 0)
        return FAULT_NONE;
    struct fault_plugin *f = &shm_area->fault_plugins[number];
    if (is_poisoned((uint32_t)number, principal ? principal : "", now_ms))
        return FAULT_POISONED;
    if (atomic_load(&f->quarantined_ms) != 0 && !is_let_through(f, now_ms))
        return FAULT_QUARANTINED;
    return FAULT_NONE;
}

bool fault_is_quarantined(const char *plugin)
{
    int number = plugin_number(plugin, false);
    return number >= 0 && atomic_load(&shm_area->fault_plugins[number].quarantined_ms) != 0;
}

uint64_t fault_crashes(const char *plugin)
{
    int number = plugin_number(plugin, false);
    return number < 0 ? 0 : atomic_load(&shm_area->fault_plugins[number].crashes);
}

/* ---- the text ---- */

static void put_plugins(struct shm_text *t, const char *name, bool is_quarantine)
{
    const struct name_record *r;
    for (uint32_t i = 0; (r = names_at(&shm_area->fault_names, i)); i++) {
        struct fault_plugin *f = &shm_area->fault_plugins[i];
        uint64_t value = is_quarantine ? atomic_load(&f->quarantined_ms) != 0 : atomic_load(&f->crashes);
        shm_put(t, "weir_%s{plugin=\"", name);
        metric_put_escaped(t, r->text);
        shm_put(t, "\"} %" PRIu64 "\n", value);
    }
}

void faults_text(struct shm_text *t)
{
    if (!names_at(&shm_area->fault_names, 0))
        return;
    shm_put(t, "# HELP weir_plugin_crashes_total Workers that this plugin ended.\n"
               "# TYPE weir_plugin_crashes_total counter\n");
    put_plugins(t, "plugin_crashes_total", false);
    shm_put(t, "# HELP weir_plugin_quarantined 1 while no request enters the plugin.\n"
               "# TYPE weir_plugin_quarantined gauge\n");
    put_plugins(t, "plugin_quarantined", true);
}
