/* Places under a cap that all workers keep together, exactly, and mostly without looking at each other.
 *
 * Every worker has one word per cap in its own slot: how many places it uses, and how many it holds. It takes places in small
 * lots: while it holds one that is free, a call costs one update of its own word. Only to take another lot, or when places run
 * short, it adds up what all workers hold.
 *
 * Never more than the cap are used: a worker first writes what it wants to hold and looks at the sum after, so of two that take
 * the last place at the same time none gets it. None lies idle: who finds no place takes away what others hold and don't use (one
 * compare-and-swap on their word), and asks again. A dead worker's word is cleared by the master: nothing is owed.
 *
 * Words are told by their offset in a slot, because the same offset is the same cap in each.
 */
#ifndef WEIR_CORE_PLACES_H
#define WEIR_CORE_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* used 32 | held 32 << 32; held is never below used. */
typedef _Atomic uint64_t places_word;

/* A place for a call of this worker; cap 0: always. false: there is none. */
bool places_take(size_t at, uint32_t cap);
void places_give(size_t at); /* back; without one taken nothing happens */
uint32_t places_used(size_t at); /* by all workers together */

#endif
