/* Keys that their provider refuses, or asked for patience with, for all workers: a table of two words an entry, found by hash.
 *
 * word: until, unix ms, 42 | level 6 | suspect 16. A level of 0 with a suspect: one principal was refused, and it may have been
 * the principal's fault; a second one makes it the key's. What rests has an entry of its own, of the last level. An entry whose
 * time is long over may be taken for another key: its word is then as good as none, so whoever reads it between the two stores
 * reads nothing wrong.
 */
#include "shm_layout.h"

enum { FIRST_MS = 60 * 1000, LONGEST_MS = 3600 * 1000, SUSPECT_MS = 600 * 1000, REST_MS = 60 * 1000, STALE_MS = 2 * LONGEST_MS };
enum { TRIES = 16, RESTS = 63 /* the level of one that rests */ };

static uint64_t mix(uint64_t h, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    return (h ^ n ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
}

/* Keyed with chance, so that the table says nothing about a secret. */
uint64_t bench_key(const char *provider, struct weir_str secret, uint32_t generation, struct weir_str model)
{
    uint64_t h = mix(shm_area->hash_key[0], provider, strlen(provider));
    h = mix(h ^ shm_area->hash_key[1], secret.p, secret.n);
    h = mix(h, (const char *)&generation, sizeof generation);
    h = model.n ? mix(h, model.p, model.n) : h;
    return h ? h : 1;
}

bool bench_is_any(int64_t now_ms)
{
    return now_ms < atomic_load_explicit(&shm_area->benched_until_ms, memory_order_relaxed);
}

bool bench_was_any(void)
{
    return atomic_load_explicit(&shm_area->n_benches, memory_order_relaxed) != 0;
}

static int64_t until_of(uint64_t word)
{
    return (int64_t)(word >> 22);
}

static uint32_t level_of(uint64_t word)
{
    return (uint32_t)(word >> 16) & 63;
}

static uint64_t word_of(int64_t until_ms, uint32_t level, uint32_t suspect)
{
    return (uint64_t)until_ms << 22 | (uint64_t)(level & 63) << 16 | (suspect & 0xffff);
}

static struct shm_bench *find(uint64_t key)
{
    for (uint32_t i = 0; i < TRIES; i++) {
        struct shm_bench *b = &shm_area->benches[(key + i) % BENCHES_MAX];
        if (atomic_load_explicit(&b->key, memory_order_acquire) == key)
            return b;
    }
    return NULL;
}

/* A refusal is remembered for a while, since the next sits longer; patience is not. */
static bool is_over(uint64_t word, int64_t now_ms)
{
    return until_of(word) + (level_of(word) == RESTS ? 0 : STALE_MS) < now_ms;
}

/* Found, or made in the place of none or of one that has long been over. NULL: no room, which only means that it is not benched. */
static struct shm_bench *find_or_make(uint64_t key, int64_t now_ms)
{
    struct shm_bench *b = find(key);
    for (uint32_t i = 0; i < TRIES && !b; i++) {
        struct shm_bench *at = &shm_area->benches[(key + i) % BENCHES_MAX];
        uint64_t before = atomic_load(&at->key);
        bool is_free = !before || is_over(atomic_load(&at->word), now_ms);
        if (is_free && atomic_compare_exchange_strong(&at->key, &before, key)) {
            atomic_store(&at->word, 0);
            atomic_fetch_add(&shm_area->n_benches, 1);
            b = at;
        }
    }
    return b;
}

uint32_t bench_left_ms(uint64_t key, int64_t now_ms)
{
    struct shm_bench *b = bench_is_any(now_ms) ? find(key) : NULL;
    uint64_t word = b ? atomic_load_explicit(&b->word, memory_order_relaxed) : 0;
    int64_t left = level_of(word) ? until_of(word) - now_ms : 0;
    return left > 0 ? (uint32_t)left : 0;
}

/* Before the word says it, so that nobody sits unseen. */
static void raise_until(int64_t until_ms)
{
    int64_t known = atomic_load(&shm_area->benched_until_ms);
    while (known < until_ms && !atomic_compare_exchange_weak(&shm_area->benched_until_ms, &known, until_ms))
        ;
}

/* Those that failed while it sat already say nothing new. */
static uint64_t benched(uint64_t word, int64_t now_ms)
{
    uint32_t level = level_of(word);
    if (level && until_of(word) > now_ms)
        return word;
    level = level < 7 ? level + 1 : 7;
    int64_t ms = (int64_t)FIRST_MS << (level - 1), until_ms = now_ms + (ms < LONGEST_MS ? ms : LONGEST_MS);
    raise_until(until_ms);
    return word_of(until_ms, level, 0);
}

void bench_sit(uint64_t key, int64_t now_ms)
{
    struct shm_bench *b = find_or_make(key, now_ms);
    uint64_t word = b ? atomic_load(&b->word) : 0;
    while (b && !atomic_compare_exchange_weak(&b->word, &word, benched(word, now_ms)))
        ;
}

void bench_suspect(uint64_t key, const char *principal, int64_t now_ms)
{
    struct shm_bench *b = find_or_make(key, now_ms);
    uint32_t who = (uint32_t)(mix(shm_area->hash_key[0], principal, strlen(principal)) % 65535) + 1;
    uint64_t word = b ? atomic_load(&b->word) : 0, next;
    do {
        bool is_known = level_of(word) || ((word & 0xffff) && (word & 0xffff) != who && until_of(word) > now_ms);
        next = is_known ? benched(word, now_ms) : word_of(now_ms + SUSPECT_MS, 0, who);
    } while (b && !atomic_compare_exchange_weak(&b->word, &word, next));
}

void bench_forgive(uint64_t key)
{
    struct shm_bench *b = bench_was_any() ? find(key) : NULL;
    if (b && atomic_load_explicit(&b->word, memory_order_relaxed))
        atomic_store(&b->word, 0);
}

/* ---- patience ---- */

static uint64_t rest_of(uint64_t key)
{
    uint64_t other = key ^ UINT64_C(0x9e3779b97f4a7c15);
    return other ? other : 1;
}

/* The latest wins: it knows most. */
void bench_rest(uint64_t key, int64_t now_ms, uint32_t ms)
{
    struct shm_bench *b = find_or_make(rest_of(key), now_ms);
    int64_t until_ms = now_ms + (ms < REST_MS ? ms : REST_MS);
    raise_until(until_ms);
    if (b)
        atomic_store(&b->word, word_of(until_ms, RESTS, 0));
}

uint32_t bench_rest_left_ms(uint64_t key, int64_t now_ms)
{
    return bench_left_ms(rest_of(key), now_ms);
}
