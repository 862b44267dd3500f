/* What time it is, for everything that decides by it: deadlines, averages, breakers, what plugins are told.
 *
 * A rehearsal (rehearsal.h) stops both clocks and moves them on itself, so that a minute's wait takes no time and a run repeats.
 * Tests let them run so many times as fast (tests/e2e/README.md): then time-outs, back-offs, what a provider asks to wait, breakers,
 * budgets and benches keep their configured figures and take that part of real time. What serves the machine and not a decision
 * (heartbeats, the watchdog, a client that is slow to send) stays with the system's clock.
 */
#ifndef WEIR_CORE_CLOCK_H
#define WEIR_CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

int64_t monotonic_us(void);
int64_t unix_ms(void);

/* From here on the clocks stand still at this time, until clock_advance(). For this process, for good. */
void clock_stop(int64_t unix_ms);
void clock_advance(int64_t us);
bool clock_is_stopped(void);

/* So many times as fast, for this process and those it forks; not beside clock_stop(). */
enum { CLOCK_FASTEST = 1000 };
void clock_hasten(uint32_t factor);
/* How long a timer of the event loop, or of libcurl, has to be set for so much time to go by on these clocks. */
struct timeval clock_timer(int64_t ms);
int64_t clock_real_us(int64_t us);

#endif
