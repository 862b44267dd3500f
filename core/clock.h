/* What time it is, for everything that decides by it: deadlines, averages, breakers, what plugins are told.
 *
 * A rehearsal (rehearsal.h) stops both clocks and moves them on itself, so that a minute's wait takes no time and a run repeats.
 */
#ifndef WEIR_CORE_CLOCK_H
#define WEIR_CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t monotonic_us(void);
int64_t unix_ms(void);

/* From here on the clocks stand still at this time, until clock_advance(). For this process, for good. */
void clock_stop(int64_t unix_ms);
void clock_advance(int64_t us);
bool clock_is_stopped(void);

#endif
