/* The bucket's word: tokens in 1/256, 16 bits | calls, modulo, 24 | time in 16 ms, modulo, 24.
 *
 * Differences that look negative come from a reader that was overtaken and count as nothing. After a long silence the modulo
 * loses some of what was earned, never invents any.
 */
#include "budget.h"

enum { MODULO = 1 << 24, ONE = 256, PER_TICK = 2 }; /* half a token a second */

static uint32_t since(uint32_t before, uint32_t now)
{
    uint32_t d = (now - before) & (MODULO - 1);
    return d > MODULO / 2 ? 0 : d;
}

bool budget_take(_Atomic uint64_t *word, const struct budget_rules *rules, uint64_t calls, int64_t now_ms)
{
    uint32_t seen = (uint32_t)calls & (MODULO - 1), tick = (uint32_t)(now_ms >> 4) & (MODULO - 1);
    uint64_t w = atomic_load_explicit(word, memory_order_relaxed);
    for (;;) {
        uint32_t tokens = (uint32_t)w & 0xffff, calls_before = (uint32_t)(w >> 16) & (MODULO - 1);
        uint32_t tick_before = (uint32_t)(w >> 40);
        uint64_t earned = (uint64_t)(since(calls_before, seen) * rules->share * ONE) +
                          (uint64_t)since(tick_before, tick) * (rules->is_of_calls_only ? 0 : PER_TICK);
        uint64_t now = w ? tokens + earned : BUDGET_FLOOR * ONE;
        now = now < BUDGET_MOST * ONE ? now : BUDGET_MOST * ONE;
        if (now < ONE)
            return false; /* what was earned stays earned: the word remembers since when */
        uint32_t calls_next = w ? (calls_before + since(calls_before, seen)) & (MODULO - 1) : seen;
        uint32_t tick_next = w ? (tick_before + since(tick_before, tick)) & (MODULO - 1) : tick;
        uint64_t next = (now - ONE) | (uint64_t)calls_next << 16 | (uint64_t)tick_next << 40;
        if (atomic_compare_exchange_weak_explicit(word, &w, next ? next : 1, memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}
