/* The breaker's word: state 2 | count 8 | epoch 18 | time 36.
 *
 * count: closed: failures in a row; probing: the holder. time: closed: of the last failure; open: when a probe may go; probing:
 * when the probe lapses. 36 bits of milliseconds come round after two years: times are compared by their difference, and one
 * that lies implausibly far ahead is taken as past, so that no word can keep a target away for ever.
 */
#include "breaker.h"

#define TIME_MASK ((UINT64_C(1) << 36) - 1)
enum { COUNT_MAX = 255, EPOCH_MASK = (1 << 18) - 1, AHEAD_MAX_MS = 2 * 3600 * 1000 };

struct parts {
    enum breaker_state state;
    uint32_t count, epoch;
    uint64_t time;
};

static struct parts take_apart(uint64_t w)
{
    return (struct parts){ (enum breaker_state)(w & 3), (uint32_t)(w >> 2) & 255, (uint32_t)(w >> 10) & EPOCH_MASK, w >> 28 };
}

static uint64_t put_together(const struct parts *p)
{
    return (uint64_t)p->state | (uint64_t)(p->count & 255) << 2 | (uint64_t)(p->epoch & EPOCH_MASK) << 10 |
           (p->time & TIME_MASK) << 28;
}

/* How far `time` lies ahead; negative: it is past. */
static int64_t ahead_ms(uint64_t time, int64_t now_ms)
{
    uint64_t d = (time - (uint64_t)now_ms) & TIME_MASK;
    int64_t ahead = d > TIME_MASK / 2 ? (int64_t)d - (int64_t)TIME_MASK - 1 : (int64_t)d;
    return ahead > AHEAD_MAX_MS ? -1 : ahead;
}

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static bool swap(_Atomic uint64_t *word, uint64_t *old, const struct parts *next)
{
    return atomic_compare_exchange_weak_explicit(word, old, put_together(next), memory_order_acq_rel, memory_order_acquire);
}

static struct parts opened(const struct parts *p, int64_t until_ms)
{
    return (struct parts){ BREAKER_OPEN, 0, p->epoch + 1, (uint64_t)until_ms };
}

/* ---- letting calls in ---- */

bool breaker_admits(const _Atomic uint64_t *word, int64_t now_ms)
{
    struct parts p = take_apart(load(word));
    return p.state == BREAKER_CLOSED || ahead_ms(p.time, now_ms) <= 0;
}

bool breaker_enter(_Atomic uint64_t *word, const struct breaker_rules *rules, uint32_t holder, uint32_t probe_ms, int64_t now_ms,
                   struct breaker_ticket *ticket)
{
    uint64_t w = load(word);
    for (;;) {
        struct parts p = take_apart(w);
        if (p.state == BREAKER_CLOSED || !rules->failures) {
            *ticket = (struct breaker_ticket){ p.epoch, false, true };
            return true;
        }
        if (ahead_ms(p.time, now_ms) > 0)
            return false;
        struct parts probing = { BREAKER_PROBING, holder, p.epoch + 1, (uint64_t)(now_ms + probe_ms) };
        if (!swap(word, &w, &probing))
            continue;
        *ticket = (struct breaker_ticket){ probing.epoch & EPOCH_MASK, true, true };
        return true;
    }
}

/* ---- what became of them ---- */

static bool is_current(const struct parts *p, const struct breaker_ticket *t)
{
    return t->is_valid && p->epoch == t->epoch && (p->state == BREAKER_PROBING) == t->is_probe;
}

/* Closes it, with so many failures on its account, and lets the ticket go on in the new epoch. */
static void close_it(_Atomic uint64_t *word, uint32_t count, int64_t now_ms, struct breaker_ticket *t)
{
    uint64_t w = load(word);
    for (;;) {
        struct parts p = take_apart(w);
        if (!is_current(&p, t))
            return;
        struct parts closed = { BREAKER_CLOSED, count, p.epoch + 1, (uint64_t)now_ms };
        if (!swap(word, &w, &closed))
            continue;
        t->epoch = closed.epoch & EPOCH_MASK;
        t->is_probe = false;
        return;
    }
}

void breaker_spoke(_Atomic uint64_t *word, const struct breaker_rules *rules, int64_t now_ms, struct breaker_ticket *t)
{
    uint32_t most = rules->failures < COUNT_MAX ? rules->failures : COUNT_MAX;
    if (t->is_valid && t->is_probe)
        close_it(word, most ? most - 1 : 0, now_ms, t);
}

void breaker_succeeded(_Atomic uint64_t *word, int64_t now_ms, struct breaker_ticket *t)
{
    if (t->is_probe)
        close_it(word, 0, now_ms, t);
    for (uint64_t w = load(word); t->is_valid && !t->is_probe;) {
        struct parts p = take_apart(w);
        if (!is_current(&p, t) || p.state != BREAKER_CLOSED || !p.count)
            break; /* nothing to forgive: the usual case writes nothing */
        p.count = 0;
        if (swap(word, &w, &p))
            break;
    }
    t->is_valid = false;
}

/* One failure more on a closed breaker's account. */
static struct parts counted(const struct parts *p, const struct breaker_rules *rules, int64_t began_ms, int64_t now_ms)
{
    bool is_in_row = p->count && ahead_ms(p->time, began_ms) + (int64_t)rules->window_ms >= 0;
    uint32_t count = is_in_row ? p->count + 1 : 1, most = rules->failures < COUNT_MAX ? rules->failures : COUNT_MAX;
    if (count >= most)
        return opened(p, now_ms + rules->open_ms);
    return (struct parts){ BREAKER_CLOSED, count, p->epoch, (uint64_t)now_ms };
}

void breaker_failed(_Atomic uint64_t *word, const struct breaker_rules *rules, int64_t began_ms, int64_t now_ms,
                    struct breaker_ticket *t)
{
    for (uint64_t w = load(word); rules->failures;) {
        struct parts p = take_apart(w);
        if (!is_current(&p, t))
            break;
        struct parts next = t->is_probe              ? opened(&p, now_ms + rules->open_ms)
                            : p.state == BREAKER_CLOSED ? counted(&p, rules, began_ms, now_ms)
                                                        : p;
        if (swap(word, &w, &next))
            break;
    }
    t->is_valid = false;
}

void breaker_forget(_Atomic uint64_t *word, int64_t now_ms, struct breaker_ticket *t)
{
    for (uint64_t w = load(word); t->is_probe;) {
        struct parts p = take_apart(w);
        if (!is_current(&p, t))
            break;
        struct parts next = opened(&p, now_ms);
        if (swap(word, &w, &next))
            break;
    }
    t->is_valid = false;
}

void breaker_admit_soon(_Atomic uint64_t *word, int64_t now_ms)
{
    for (uint64_t w = load(word);;) {
        struct parts p = take_apart(w);
        if (p.state != BREAKER_OPEN || ahead_ms(p.time, now_ms) <= 0)
            return;
        p.time = (uint64_t)now_ms;
        if (swap(word, &w, &p))
            return;
    }
}

void breaker_orphan(_Atomic uint64_t *word, uint32_t holder, int64_t now_ms)
{
    for (uint64_t w = load(word);;) {
        struct parts p = take_apart(w);
        if (p.state != BREAKER_PROBING || p.count != (holder & 255))
            return;
        struct parts next = opened(&p, now_ms);
        if (swap(word, &w, &next))
            return;
    }
}

enum breaker_state breaker_state(const _Atomic uint64_t *word, int64_t now_ms, uint32_t *wait_ms)
{
    struct parts p = take_apart(load(word));
    int64_t ahead = p.state == BREAKER_CLOSED ? 0 : ahead_ms(p.time, now_ms);
    *wait_ms = ahead > 0 ? (uint32_t)ahead : 0;
    return p.state;
}
