/* Time zones from the system's own files (TZif, RFC 8536), without touching the process's own zone. See zone.c. */
#ifndef WEIR_LUA_ZONE_H
#define WEIR_LUA_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone;

/* By name, "Europe/Berlin"; kept for the worker's life. NULL: there is none (or its file makes no sense). */
const struct zone *zone_find(const char *name);
/* Seconds to add to UTC at this moment. */
int32_t zone_offset_s(const struct zone *z, int64_t unix_s);
void zone_forget_all(void);

/* Reads a TZif file's bytes; for zone_find and the fuzzer. free() it. */
struct zone *zone_parse(const uint8_t *p, size_t n);

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. */
int64_t zone_days(int64_t year, int month, int day);
void zone_date(int64_t days, int64_t *year, int *month, int *day);

#endif
