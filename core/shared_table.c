/* The key-value table that policies of all workers share.
 *
 * A key's hash chooses a set of 12 ways, of which at most 11 are in use. A writer claims the set by writing its slot
 * and incarnation into the set's word, prepares the new entry in a way that is not in use, and publishes with one
 * store of the word: that store swaps the old way for the new one, counts the version on and ends the claim. So a
 * writer that dies at any instruction leaves either the old entry or the new one, and nothing torn; its claim is void
 * as soon as its slot has another incarnation. Readers claim nothing and never wait: they copy and look whether the
 * version is still the same.
 *
 * Why a claim at all: that a key stands in its set once, and increments are exact, needs one writer per set. It is
 * held for the copy of one entry; who finds it taken by the living tries for WAIT_US and then reports failure, so a
 * worker stopped in a debugger there delays the others' writes to one set out of 2048, and nothing else.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "bytes.h"
#include "shm_layout.h"

enum {
    WAIT_US = 10 * 1000,
    WAYS_MASK = (1 << SHARED_WAYS) - 1,
    OWNER_SHIFT = SHARED_WAYS,
    OWNER_MASK = 0xff,
    INCARNATION_SHIFT = OWNER_SHIFT + 8,
    INCARNATION_MASK = 0xfffff,
    VERSION_SHIFT = INCARNATION_SHIFT + 20,
};

struct entry { /* what shall stand in the table */
    struct weir_str key, value;
    uint64_t hash;
    int64_t expires_ms;
};

static uint64_t key_hash(struct weir_str key)
{
    return bytes_siphash(shm_area->hash_key, key.p, key.n);
}

static struct shared_set *set_of(uint64_t hash)
{
    return &shm_area->sets[hash % SHARED_SETS];
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool is_expired(const struct shared_way *way, int64_t now_ms)
{
    return way->expires_ms != 0 && way->expires_ms <= now_ms;
}

/* The way of this key among those in use; -1: none. The lengths may be torn when a reader looks, hence the bounds. */
static int find_way(const struct shared_set *set, uint64_t word, uint64_t hash, struct weir_str key)
{
    for (int i = 0; i < SHARED_WAYS; i++) {
        const struct shared_way *way = &set->ways[i];
        if ((word >> i & 1) && way->hash == hash && way->key_n == key.n && memcmp(way->key, key.p, key.n) == 0)
            return i;
    }
    return -1;
}

/* ---- writing ---- */

static bool is_owner_dead(uint64_t word)
{
    uint32_t slot = (uint32_t)(word >> OWNER_SHIFT & OWNER_MASK) - 1;
    uint32_t incarnation = (uint32_t)(word >> INCARNATION_SHIFT & INCARNATION_MASK);
    return slot >= SHM_ALL_SLOTS ||
           (atomic_load(&shm_area->slots[slot].incarnation) & INCARNATION_MASK) != incarnation;
}

static uint64_t with_owner(uint64_t word)
{
    uint64_t incarnation = atomic_load_explicit(&shm_own->incarnation, memory_order_relaxed) & INCARNATION_MASK;
    uint64_t rest = (word >> VERSION_SHIFT << VERSION_SHIFT) | (word & WAYS_MASK);
    return rest | incarnation << INCARNATION_SHIFT | (uint64_t)(shm_own_index + 1) << OWNER_SHIFT;
}

/* false: a living writer kept it for too long. *word is then the set's word as we hold it. */
static bool claim(struct shared_set *set, uint64_t *word)
{
    int64_t until_us = 0;
    for (uint32_t tries = 0;; tries++) {
        uint64_t w = atomic_load_explicit(&set->word, memory_order_acquire);
        bool is_free = (w >> OWNER_SHIFT & OWNER_MASK) == 0 || is_owner_dead(w);
        *word = with_owner(w);
        if (is_free && atomic_compare_exchange_weak_explicit(&set->word, &w, *word, memory_order_acq_rel,
                                                             memory_order_relaxed)) {
            atomic_thread_fence(memory_order_release); /* before what follows is seen, the word above is */
            return true;
        }
        if (is_free || tries < 100)
            continue;
        int64_t now_us = clock_us(CLOCK_MONOTONIC);
        until_us = until_us ? until_us : now_us + WAIT_US;
        if (now_us > until_us)
            return false;
        sched_yield();
    }
}

static void publish(struct shared_set *set, uint64_t word, uint64_t ways)
{
    uint64_t version = (word >> VERSION_SHIFT) + 1;
    atomic_store_explicit(&set->word, version << VERSION_SHIFT | ways, memory_order_release);
}

static int free_way(uint64_t ways)
{
    for (int i = 0; i < SHARED_WAYS; i++)
        if (!(ways >> i & 1))
            return i;
    return -1;
}

/* Which entry has to go so that a new one fits: one that expired, else the one not used for the longest time. */
static int way_to_evict(const struct shared_set *set, uint64_t ways, int64_t now_ms)
{
    int oldest = 0;
    for (int i = 0; i < SHARED_WAYS; i++) {
        if (!(ways >> i & 1))
            continue;
        if (is_expired(&set->ways[i], now_ms))
            return i;
        if (!(ways >> oldest & 1) || set->ways[i].used_s < set->ways[oldest].used_s)
            oldest = i;
    }
    return oldest;
}

/* Puts the entry in place of the way `old` (-1: it is new) and ends the claim. */
static void replace(struct shared_set *set, uint64_t word, int old, const struct entry *entry, int64_t now_ms)
{
    uint64_t ways = word & WAYS_MASK;
    int at = free_way(ways);
    struct shared_way *way = &set->ways[at];
    way->hash = entry->hash;
    way->expires_ms = entry->expires_ms;
    atomic_store_explicit(&way->used_s, (uint32_t)(now_ms / 1000), memory_order_relaxed);
    way->key_n = (uint16_t)entry->key.n;
    way->value_n = (uint16_t)entry->value.n;
    memcpy(way->key, entry->key.p, entry->key.n);
    if (entry->value.n)
        memcpy(way->value, entry->value.p, entry->value.n);
    if (old < 0 && __builtin_popcountll(ways) == SHARED_WAYS - 1)
        old = way_to_evict(set, ways, now_ms);
    ways |= (uint64_t)1 << at;
    publish(set, word, old < 0 ? ways : ways & ~((uint64_t)1 << old));
}

static bool is_fit(struct weir_str key, struct weir_str value)
{
    return key.n > 0 && key.n <= SHM_KEY && value.n <= SHM_VALUE;
}

int shared_set(struct weir_str key, struct weir_str value, int64_t expires_ms)
{
    struct entry entry = { key, value, 0, expires_ms };
    uint64_t word;
    if (!is_fit(key, value))
        return -1;
    entry.hash = key_hash(key);
    struct shared_set *set = set_of(entry.hash);
    if (!claim(set, &word))
        return -1;
    replace(set, word, find_way(set, word, entry.hash, key), &entry, clock_us(CLOCK_REALTIME) / 1000);
    return 0;
}

/* ---- counting ---- */

/* The whole value as an integer: an optional minus and digits. */
static bool parse_number(const char *p, size_t n, int64_t *out)
{
    bool is_negative = n > 0 && p[0] == '-';
    int64_t value = 0;
    if (n == (size_t)is_negative || n > 20)
        return false;
    for (size_t i = is_negative; i < n; i++) {
        int digit = p[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) /* downwards, where int64 reaches one further */
            return false;
    }
    if (!is_negative && value == INT64_MIN)
        return false;
    *out = is_negative ? value : -value;
    return true;
}

static bool add_to(const struct shared_way *way, int64_t by, int64_t *result)
{
    int64_t before = 0;
    if (way && !parse_number(way->value, way->value_n, &before))
        return false;
    return !__builtin_add_overflow(before, by, result);
}

int shared_incr(struct weir_str key, int64_t by, int64_t expires_ms, int64_t now_ms, int64_t *result)
{
    struct entry entry = { key, WEIR_NONE, 0, expires_ms };
    uint64_t word;
    if (!is_fit(key, WEIR_NONE))
        return -1;
    entry.hash = key_hash(key);
    struct shared_set *set = set_of(entry.hash);
    if (!claim(set, &word))
        return -1;
    int old = find_way(set, word, entry.hash, key);
    const struct shared_way *living = old >= 0 && !is_expired(&set->ways[old], now_ms) ? &set->ways[old] : NULL;
    if (!add_to(living, by, result)) {
        publish(set, word, word & WAYS_MASK);
        return -1;
    }
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, *result);
    entry.value = (struct weir_str){ digits, (size_t)n };
    entry.expires_ms = living ? living->expires_ms : expires_ms;
    replace(set, word, old, &entry, now_ms);
    return 0;
}

/* ---- reading ---- */

/* Copies while others may write: 0 copied, 1 absent; what it says holds only if the version stayed the same. */
static int copy_out(struct shared_set *set, uint64_t word, uint64_t hash, struct weir_str key, char *buf, size_t *n,
                    int64_t now_ms)
{
    int at = find_way(set, word, hash, key);
    if (at < 0 || is_expired(&set->ways[at], now_ms))
        return 1;
    struct shared_way *way = &set->ways[at];
    *n = way->value_n <= SHM_VALUE ? way->value_n : 0;
    memcpy(buf, way->value, *n);
    uint32_t now_s = (uint32_t)(now_ms / 1000);
    if (atomic_load_explicit(&way->used_s, memory_order_relaxed) != now_s)
        atomic_store_explicit(&way->used_s, now_s, memory_order_relaxed);
    return 0;
}

int shared_get(struct weir_str key, char *buf, size_t *n, int64_t now_ms)
{
    if (!is_fit(key, WEIR_NONE))
        return -1;
    uint64_t hash = key_hash(key), word, after;
    struct shared_set *set = set_of(hash);
    int absent;
    do {
        word = atomic_load_explicit(&set->word, memory_order_acquire);
        absent = copy_out(set, word, hash, key, buf, n, now_ms);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&set->word, memory_order_relaxed);
    } while (after >> VERSION_SHIFT != word >> VERSION_SHIFT);
    return absent ? -1 : 0;
}
