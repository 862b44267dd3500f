/* A breaker: one word that all workers share and that keeps calls away from a target which fails, until a probe has found it well.
 *
 *      closed ──── so many failures in a row ───► open ──── its time is over: one call may go ───► probing
 *        ▲  ▲                                       ▲                                                │ │
 *        │  └──── first token or answer ────────────┼────────────────────────────────────────────────┘ │
 *        └──────── (on parole: one failure more     └──── it failed, was given up, or its worker died ─┘
 *                   opens it again)
 *
 * Each change of state begins a new epoch. A call carries the epoch it was let in with, and what it has to say counts only in
 * that epoch: a late answer from before can neither close nor open anything. Who holds the probe, and until when at the latest,
 * stands in the word, so a dead worker's probe is given back by the master, and lapses even without it.
 *
 * Only compare-and-swap on the word, no lock; a word of zero is a closed breaker. Times are monotonic milliseconds.
 */
#ifndef WEIR_CORE_BREAKER_H
#define WEIR_CORE_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct breaker_rules {
    uint32_t failures;  /* in a row open it; 0: nothing does */
    uint32_t window_ms; /* a failure so long after the last one begins a new row */
    uint32_t open_ms;   /* before a probe may go */
};

enum breaker_state { BREAKER_CLOSED = 0, BREAKER_OPEN = 1, BREAKER_PROBING = 2 };

struct breaker_ticket {
    uint32_t epoch;
    bool is_probe;
    bool is_valid; /* it was let in, and nothing was told yet */
};

/* May a call go? Takes the probe, if it is time for one, for `holder` and at most probe_ms. */
bool breaker_enter(_Atomic uint64_t *word, const struct breaker_rules *rules, uint32_t holder, uint32_t probe_ms, int64_t now_ms,
                   struct breaker_ticket *ticket);
/* Would it? Changes nothing. */
bool breaker_admits(const _Atomic uint64_t *word, int64_t now_ms);

/* The usual case, without asking what time it is. */
static inline bool breaker_is_closed(const _Atomic uint64_t *word)
{
    return (atomic_load_explicit(word, memory_order_relaxed) & 3) == BREAKER_CLOSED;
}

/* What became of a call; each but the first ends the ticket. */
void breaker_spoke(_Atomic uint64_t *word, const struct breaker_rules *rules, int64_t now_ms,
                   struct breaker_ticket *ticket); /* first content came: a probe closes it */
void breaker_succeeded(_Atomic uint64_t *word, int64_t now_ms, struct breaker_ticket *ticket);
void breaker_failed(_Atomic uint64_t *word, const struct breaker_rules *rules, int64_t began_ms, int64_t now_ms,
                    struct breaker_ticket *ticket);
void breaker_forget(_Atomic uint64_t *word, int64_t now_ms, struct breaker_ticket *ticket); /* it says nothing about the target */

/* The worker of that number is dead: the probe it may hold may be taken by another. */
/* Open: the next call may probe at once. */
void breaker_admit_soon(_Atomic uint64_t *word, int64_t now_ms);
void breaker_orphan(_Atomic uint64_t *word, uint32_t holder, int64_t now_ms);

/* wait_ms: until a probe may go at the latest; 0 when closed, or now. */
enum breaker_state breaker_state(const _Atomic uint64_t *word, int64_t now_ms, uint32_t *wait_ms);

#endif
