/* See places.h, which says why it is right. */
#include "places.h"

#include "shm_layout.h"

enum { LOT = 16 }; /* and never more than an eighth of the cap */

static places_word *word_of(struct shm_slot *slot, size_t at)
{
    return (places_word *)((char *)slot + at);
}

static uint32_t used_in(uint64_t w) { return (uint32_t)w; }
static uint32_t held_in(uint64_t w) { return (uint32_t)(w >> 32); }

static uint64_t word(uint32_t used, uint32_t held)
{
    return used | (uint64_t)(held > used ? held : used) << 32;
}

/* The two slots at the end make no calls. */
static uint64_t sum(size_t at, uint32_t (*part)(uint64_t))
{
    uint64_t n = 0;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i))
        n += part(atomic_load(word_of(&shm_area->slots[i], at)));
    return n;
}

uint32_t places_used(size_t at)
{
    return (uint32_t)sum(at, used_in);
}

/* What the slot's worker holds and doesn't use, from here on nobody holds. */
static void strip(places_word *p)
{
    uint64_t w = atomic_load(p);
    while (held_in(w) > used_in(w) && !atomic_compare_exchange_weak(p, &w, word(used_in(w), 0)))
        ;
}

static void strip_all(size_t at)
{
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i))
        strip(word_of(&shm_area->slots[i], at));
}

/* The own word says already that a place is used; lets it stand if the cap allows. */
static bool is_within(size_t at, uint32_t cap)
{
    if (sum(at, held_in) <= cap)
        return true;
    strip_all(at);
    return sum(at, held_in) <= cap;
}

/* One used less; at most `spare` stay held unused. */
static void give(places_word *own, uint32_t spare)
{
    uint64_t w = atomic_load_explicit(own, memory_order_relaxed), next;
    do {
        uint32_t left = used_in(w) ? used_in(w) - 1 : 0;
        next = word(left, held_in(w) < left + spare ? held_in(w) : left + spare);
    } while (!atomic_compare_exchange_weak(own, &w, next));
}

bool places_take(size_t at, uint32_t cap)
{
    places_word *own = word_of(shm_own, at);
    uint32_t lot = cap / 8 < LOT ? cap / 8 : LOT;
    uint64_t w = atomic_load_explicit(own, memory_order_relaxed);
    bool has_one;
    do
        has_one = !cap || held_in(w) > used_in(w);
    while (!atomic_compare_exchange_weak(own, &w, word(used_in(w) + 1, has_one ? held_in(w) : used_in(w) + 1 + lot)));
    if (has_one || is_within(at, cap))
        return true;
    give(own, 0); /* what it wanted to hold was never granted */
    return false;
}

void places_give(size_t at)
{
    give(word_of(shm_own, at), LOT);
}
