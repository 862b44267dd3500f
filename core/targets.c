/* What all workers together know of each target: calls, failures, calls in flight, how fast and how reliable it is, what is left
 * of its provider's limits. And its breaker's word.
 *
 * Each worker counts and averages for itself, in its own slot, so that no two write one cache line; whoever asks joins what the
 * slots say. An average counts by how many answers it rests on and by how fresh it is. A dead worker's calls in flight are
 * cleared by the master, its averages stay. Only the breaker is one word for all, written when something fails.
 */
#include <inttypes.h>

#include "breaker.h"
#include "clock.h"
#include "shm_layout.h"

enum { LATENCY_MAX_MS = 1000000, BUCKETS_FULL = 256, LEFT_HOLDS_S = 60, FRESH_S = 64, WEIGHT_MAX = 32 };

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

static size_t places_of(int id)
{
    return offsetof(struct shm_slot, targets) + (size_t)id * sizeof(struct shm_target) + offsetof(struct shm_target, calls_now);
}

bool target_begin(int id, uint32_t cap)
{
    return !is_target(id) || places_take(places_of(id), cap);
}

void target_release(int id)
{
    if (is_target(id))
        places_give(places_of(id));
}

/* ---- averages of this worker ---- */

static uint32_t now_s(void)
{
    return (uint32_t)(monotonic_us() / 1000000) + 1;
}

/* An eighth of the newest: about the last ten answers count. Only this process writes. */
static void average(_Atomic uint32_t *word, uint32_t sample)
{
    uint32_t old = atomic_load_explicit(word, memory_order_relaxed);
    int64_t step = ((int64_t)sample - (int64_t)old) / 8;
    uint32_t next = old == 0 ? sample : (uint32_t)((int64_t)old + step);
    atomic_store_explicit(word, next ? next : 1, memory_order_relaxed);
}

static uint32_t bucket_of(uint32_t ms)
{
    if (ms < 8)
        return ms / 2;
    uint32_t octave = 31 - (uint32_t)__builtin_clz(ms);
    uint32_t bucket = 4 + (octave - 3) * 4 + (ms >> (octave - 2) & 3);
    return bucket < TARGET_BUCKETS ? bucket : TARGET_BUCKETS - 1;
}

static uint32_t bucket_end_ms(uint32_t bucket)
{
    if (bucket < 4)
        return 2 * (bucket + 1);
    uint32_t octave = (bucket - 4) / 4 + 3, quarter = (bucket - 4) % 4;
    return (1u << octave) + ((quarter + 1) << (octave - 2));
}

static uint32_t halve(struct shm_target *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < TARGET_BUCKETS; i++) {
        uint16_t half = atomic_load_explicit(&t->buckets[i], memory_order_relaxed) / 2;
        atomic_store_explicit(&t->buckets[i], half, memory_order_relaxed);
        n += half;
    }
    return n;
}

static uint32_t p95_of(struct shm_target *t, uint32_t n)
{
    uint32_t above = 0, bucket = TARGET_BUCKETS;
    while (bucket > 0 && above * 20 <= n)
        above += atomic_load_explicit(&t->buckets[--bucket], memory_order_relaxed);
    return bucket_end_ms(bucket);
}

/* The buckets forget by halves, so that about the last few hundred answers count. */
static void note_first_token(struct shm_target *t, uint32_t ms)
{
    ms = ms < LATENCY_MAX_MS ? ms : LATENCY_MAX_MS;
    average(&t->latency, ms * 16);
    uint32_t n = atomic_load_explicit(&t->n_in_buckets, memory_order_relaxed), bucket = bucket_of(ms);
    if (n >= BUCKETS_FULL)
        n = halve(t);
    atomic_store_explicit(&t->buckets[bucket],
                          (uint16_t)(atomic_load_explicit(&t->buckets[bucket], memory_order_relaxed) + 1), memory_order_relaxed);
    atomic_store_explicit(&t->n_in_buckets, ++n, memory_order_relaxed);
    atomic_store_explicit(&t->first_tokens, atomic_load_explicit(&t->first_tokens, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (n < 32 || n % 8 == 0)
        atomic_store_explicit(&t->p95_ms, p95_of(t, n), memory_order_relaxed);
}

static void note_outcome(struct shm_target *t, bool failed)
{
    uint32_t rate = atomic_load_explicit(&t->error_rate, memory_order_relaxed);
    uint64_t calls = atomic_load_explicit(&t->calls, memory_order_relaxed);
    int64_t part = calls < 15 ? (int64_t)calls + 1 : 16;
    rate = (uint32_t)((int64_t)rate + ((failed ? 65536 : 0) - (int64_t)rate) / part);
    atomic_store_explicit(&t->error_rate, rate, memory_order_relaxed);
    atomic_store_explicit(&t->calls, calls + 1, memory_order_relaxed);
    if (!failed)
        return;
    atomic_store_explicit(&t->failures, atomic_load_explicit(&t->failures, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&t->last_failure_ms, unix_ms(), memory_order_relaxed);
}

void target_end(int id, bool failed, uint32_t first_token_ms)
{
    if (!is_target(id))
        return;
    struct shm_target *t = &shm_own->targets[id];
    target_release(id);
    note_outcome(t, failed);
    if (first_token_ms > 0)
        note_first_token(t, first_token_ms);
    atomic_store_explicit(&t->updated_s, now_s(), memory_order_relaxed);
}

void target_speed(int id, int64_t tokens, int64_t ms)
{
    if (!is_target(id) || tokens <= 0 || ms <= 0)
        return;
    int64_t speed = tokens * 16000 / ms;
    average(&shm_own->targets[id].throughput, (uint32_t)(speed < 1 ? 1 : speed > INT32_MAX ? INT32_MAX : speed));
}

/* ---- what is left ---- */

static void put_left(_Atomic uint64_t *word, int64_t value)
{
    if (value < 0)
        return;
    uint64_t when = (uint64_t)(monotonic_us() / 62500) & 0xffffffff;
    atomic_store_explicit(word, (uint64_t)(value < UINT32_MAX ? value : UINT32_MAX) << 32 | (when ? when : 1),
                          memory_order_relaxed);
}

void target_left(int id, int64_t requests, int64_t tokens)
{
    if (!is_target(id))
        return;
    put_left(&shm_own->targets[id].left_requests, requests);
    put_left(&shm_own->targets[id].left_tokens, tokens);
}

/* The newest that any worker was told, while it is worth something. */
static void newest_left(const _Atomic uint64_t *word, uint32_t now, uint32_t *age, int64_t *left)
{
    uint64_t w = atomic_load_explicit(word, memory_order_relaxed);
    uint32_t since = now - (uint32_t)w;
    if (!w || since > LEFT_HOLDS_S * 16 || since >= *age)
        return;
    *age = since;
    *left = (int64_t)(w >> 32);
}

/* ---- all workers together ---- */

struct mean {
    double sum, weight;
};

static void mean_add(struct mean *m, uint32_t value, double weight)
{
    m->sum += value * weight;
    m->weight += value ? weight : 0;
}

static double mean_of(const struct mean *m)
{
    return m->weight > 0 ? m->sum / m->weight : 0;
}

/* How much a slot's averages count: by the calls they rest on, halved for every minute since. */
static double weight_of(struct shm_target *t, uint64_t calls, uint32_t now)
{
    uint32_t age = now - atomic_load_explicit(&t->updated_s, memory_order_relaxed);
    uint32_t halvings = age / FRESH_S < 24 ? age / FRESH_S : 24;
    return (double)(calls < WEIGHT_MAX ? calls : WEIGHT_MAX) / (double)(1u << halvings);
}

struct joined {
    struct mean latency, p95, throughput, errors;
    uint32_t requests_age, tokens_age;
    uint32_t now_s, now_16th_s;
};

static void join(struct target_figures *f, struct joined *j, struct shm_target *t)
{
    uint64_t calls = atomic_load_explicit(&t->calls, memory_order_relaxed);
    int64_t last_ms = atomic_load_explicit(&t->last_failure_ms, memory_order_relaxed);
    double weight = weight_of(t, calls, j->now_s);
    f->in_flight += (uint32_t)atomic_load_explicit(&t->calls_now, memory_order_relaxed);
    if (calls) {
        f->calls += calls;
        f->failures += atomic_load_explicit(&t->failures, memory_order_relaxed);
        f->first_tokens += atomic_load_explicit(&t->first_tokens, memory_order_relaxed);
        f->last_failure_ms = last_ms > f->last_failure_ms ? last_ms : f->last_failure_ms;
        mean_add(&j->latency, atomic_load_explicit(&t->latency, memory_order_relaxed), weight);
        mean_add(&j->p95, atomic_load_explicit(&t->p95_ms, memory_order_relaxed), weight);
        mean_add(&j->throughput, atomic_load_explicit(&t->throughput, memory_order_relaxed), weight);
        j->errors.sum += atomic_load_explicit(&t->error_rate, memory_order_relaxed) * weight;
        j->errors.weight += weight;
    }
    newest_left(&t->left_requests, j->now_16th_s, &j->requests_age, &f->left_requests);
    newest_left(&t->left_tokens, j->now_16th_s, &j->tokens_age, &f->left_tokens);
}

struct target_figures target_read(int id)
{
    struct target_figures f = { .left_requests = -1, .left_tokens = -1 };
    int64_t now_us = monotonic_us();
    struct joined j = { .requests_age = UINT32_MAX,
                        .tokens_age = UINT32_MAX,
                        .now_s = (uint32_t)(now_us / 1000000) + 1,
                        .now_16th_s = (uint32_t)(now_us / 62500) };
    if (!is_target(id))
        return f;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i)) /* the two at the end make no calls */
        join(&f, &j, &shm_area->slots[i].targets[id]);
    f.latency_ms = (uint32_t)((mean_of(&j.latency) + 15) / 16);
    f.p95_ms = (uint32_t)mean_of(&j.p95);
    f.throughput = mean_of(&j.throughput) / 16;
    f.error_rate = mean_of(&j.errors) / 65536;
    return f;
}

/* ---- the breaker's word ---- */

_Atomic uint64_t *target_breaker(int id)
{
    static _Atomic uint64_t nobodys; /* of targets beyond the table: this worker's alone, and never told of a failure */
    return is_target(id) ? &shm_area->breakers[id].word : &nobodys;
}

void targets_clear_slot(uint32_t slot)
{
    for (uint32_t i = 0; i < TARGETS_MAX && names_at(&shm_area->target_names, i); i++) {
        atomic_store(&shm_area->slots[slot].targets[i].calls_now, 0);
        breaker_orphan(&shm_area->breakers[i].word, slot, monotonic_us() / 1000);
    }
}

/* ---- the text ---- */

enum figure {
    FIGURE_IN_FLIGHT,
    FIGURE_CALLS,
    FIGURE_FAILURES,
    FIGURE_LATENCY,
    FIGURE_P95,
    FIGURE_THROUGHPUT,
    FIGURE_ERRORS,
};

static double figure_value(enum figure which, const struct target_figures *f)
{
    switch (which) {
    case FIGURE_IN_FLIGHT: return f->in_flight;
    case FIGURE_CALLS: return (double)f->calls;
    case FIGURE_FAILURES: return (double)f->failures;
    case FIGURE_LATENCY: return f->latency_ms / 1e3;
    case FIGURE_P95: return f->p95_ms / 1e3;
    case FIGURE_THROUGHPUT: return f->throughput;
    case FIGURE_ERRORS: return f->error_rate;
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

static void put_breakers(struct shm_text *t)
{
    shm_put(t, "# HELP weir_target_breaker 0: closed, 1: open, 2: one call probes.\n# TYPE weir_target_breaker gauge\n");
    for (int id = 0; target_name(id); id++) {
        uint32_t wait_ms;
        shm_put(t, "weir_target_breaker{target=\"");
        metric_put_escaped(t, target_name(id));
        shm_put(t, "\"} %d\n", (int)breaker_state(target_breaker(id), monotonic_us() / 1000, &wait_ms));
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
    put_figure(t, FIGURE_P95, "target_first_token_p95_seconds", "gauge", "Exceeded by one first token in twenty.");
    put_figure(t, FIGURE_THROUGHPUT, "target_tokens_per_second", "gauge", "Tokens of answers, moving average.");
    put_figure(t, FIGURE_ERRORS, "target_error_rate", "gauge", "Share of calls that failed, moving average.");
    put_breakers(t);
}
