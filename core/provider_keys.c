/* Provider's keys: which one an attempt uses, which ones sit on the bench because their provider refuses them, and which ones rest
 * because it asked for patience (Retry-After).
 *
 * Keys take turns, those on the bench left out, those that rest last. A key is known by its value, so one that was exchanged in
 * its file is a new one.
 */
#include <stdio.h>

#include "pipeline.h"

/* One from a file is read for each attempt, so that a new one is heeded at once. */
static struct weir_str read_key_file(struct arena *arena, const char *path)
{
    char buf[8192];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(buf, 1, sizeof(buf), f) : 0;
    if (f)
        fclose(f);
    while (n && (buf[n - 1] == '\n' || buf[n - 1] == '\r' || buf[n - 1] == ' '))
        n--;
    return arena_copy(arena, (struct weir_str){ buf, n });
}

static struct weir_str value_of(struct arena *arena, const struct config_key_secret *k)
{
    return k->file ? read_key_file(arena, k->file) : k->value;
}

/* How long it sits, with every model or with this one. */
static uint32_t left_ms(const struct config_provider *p, struct weir_str key, struct weir_str model)
{
    int64_t now_ms = unix_ms();
    uint32_t whole = bench_left_ms(bench_key(p->name, key, worker->generation, WEIR_NONE), now_ms);
    uint32_t pair = bench_left_ms(bench_key(p->name, key, worker->generation, model), now_ms);
    return whole > pair ? whole : pair;
}

bool keys_are_benched(struct arena *arena, const struct config_provider *p, struct weir_str model, uint32_t *wait_ms)
{
    uint32_t nearest = UINT32_MAX;
    if (!p->n_keys || !bench_was_any() || !bench_is_any(unix_ms()))
        return false;
    for (uint32_t i = 0; i < p->n_keys; i++) {
        uint32_t ms = left_ms(p, value_of(arena, &p->keys[i]), model);
        nearest = ms < nearest ? ms : nearest;
    }
    *wait_ms = nearest;
    return nearest > 0;
}

struct weir_str keys_first(struct arena *arena, const struct config_provider *p)
{
    struct weir_str key = WEIR_NONE;
    for (uint32_t i = 0; i < p->n_keys && !key.n; i++) {
        struct weir_str value = value_of(arena, &p->keys[i]);
        key = bench_was_any() && left_ms(p, value, WEIR_NONE) && i + 1 < p->n_keys ? WEIR_NONE : value;
    }
    return key;
}

/* By an attempt of this request before. */
static bool was_used(const struct attempt *a, struct weir_str key)
{
    for (const struct attempt *x = a->call.request->attempts; x; x = x->next)
        if (x != a && x->provider == a->provider && weir_eq(x->key, key))
            return true;
    return false;
}

static bool is_on_bench(const struct attempt *a, struct weir_str key)
{
    return bench_was_any() && bench_is_any(unix_ms()) && left_ms(a->provider, key, a->target->view.model);
}

/* With this model; a provider without keys, or whose tokens change, has one that has no value. */
static uint32_t rest_ms(const struct config_provider *p, struct weir_str key, struct weir_str model)
{
    if (!bench_was_any() || !bench_is_any(unix_ms()))
        return 0;
    return bench_rest_left_ms(bench_key(p->name, p->credentials ? WEIR_NONE : key, worker->generation, model), unix_ms());
}

uint32_t keys_rest_ms(struct arena *arena, const struct config_provider *p, struct weir_str model)
{
    uint32_t nearest = UINT32_MAX;
    if (!bench_was_any() || !bench_is_any(unix_ms()))
        return 0;
    if (p->credentials || !p->n_keys)
        return rest_ms(p, WEIR_NONE, model);
    for (uint32_t i = 0; i < p->n_keys; i++) {
        struct weir_str key = value_of(arena, &p->keys[i]);
        uint32_t rests = rest_ms(p, key, model), sits = left_ms(p, key, model), ms = rests > sits ? rests : sits;
        nearest = ms < nearest ? ms : nearest;
    }
    return nearest;
}

/* The next in turn of those that are best: not on the bench, not resting, not yet used by this request. */
struct weir_str keys_choose(struct attempt *a)
{
    enum { USED = 1, RESTS = 2, BENCHED = 4 };
    static uint32_t turn;
    const struct config_provider *p = a->provider;
    struct weir_str best = WEIR_NONE;
    int least = 2 * BENCHED;
    if (p->credentials)
        return a->token;
    for (uint32_t i = 0; i < p->n_keys && least; i++) {
        struct weir_str key = value_of(a->arena, &p->keys[turn++ % p->n_keys]);
        int against = (is_on_bench(a, key) ? BENCHED : 0) | (rest_ms(p, key, a->target->view.model) ? RESTS : 0) |
                      (was_used(a, key) ? USED : 0);
        if (against < least) {
            least = against;
            best = key;
        }
    }
    return best;
}

bool keys_has_fresh(const struct attempt *a)
{
    const struct config_provider *p = a->provider;
    for (uint32_t i = 0; i < p->n_keys && p->n_keys > 1; i++) {
        struct weir_str key = value_of(a->arena, &p->keys[i]);
        if (!weir_eq(key, a->key) && !was_used(a, key) && !is_on_bench(a, key) && !rest_ms(p, key, a->target->view.model))
            return true;
    }
    return false;
}

static bool is_refused_key(const struct weir_error *e)
{
    return e->error_class == WEIR_ERROR_AUTHENTICATION || e->error_class == WEIR_ERROR_QUOTA;
}

/* "Not before": of this key, with this model. */
static void heed_retry_after(const struct attempt *a)
{
    const struct weir_error *e = &a->error;
    bool is_asked = e->error_class == WEIR_ERROR_RATE_LIMITED || e->error_class == WEIR_ERROR_OVERLOADED;
    if (is_asked && e->retry_after_ms && (e->flags & WEIR_ERROR_FROM_UPSTREAM))
        bench_rest(bench_key(a->provider->name, a->provider->credentials ? WEIR_NONE : a->key, worker->generation, a->target->view.model),
                   unix_ms(), e->retry_after_ms);
}

void keys_settle(const struct attempt *a)
{
    const struct weir_error *e = &a->error;
    heed_retry_after(a);
    if (!a->key.n || !a->provider->n_keys)
        return;
    bool is_refusal = e->flags & WEIR_ERROR_FROM_UPSTREAM, is_well = e->error_class == WEIR_ERROR_NONE;
    if (is_well ? !bench_was_any() : !is_refusal)
        return;
    uint64_t whole = bench_key(a->provider->name, a->key, worker->generation, WEIR_NONE);
    uint64_t pair = bench_key(a->provider->name, a->key, worker->generation, a->target->view.model);
    if (is_well) {
        bench_forgive(whole);
        bench_forgive(pair);
    } else if (is_refused_key(e)) {
        bench_sit(whole, unix_ms());
    } else if (e->error_class == WEIR_ERROR_PERMISSION) {
        bench_suspect(pair, a->call.request->principal_name, unix_ms());
    }
}

bool keys_has_another(const struct attempt *a)
{
    uint32_t wait_ms;
    return is_refused_key(&a->error) && a->provider->n_keys > 1 &&
           !keys_are_benched(a->arena, a->provider, a->target->view.model, &wait_ms);
}
