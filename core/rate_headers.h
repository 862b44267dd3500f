/* What providers say in headers about when to come again and how much is left: Retry-After and rate-limit headers, by the words
 * that all of them share ("ratelimit", "remaining", "reset", "requests", "tokens"), whatever else stands in the name.
 */
#ifndef WEIR_CORE_RATE_HEADERS_H
#define WEIR_CORE_RATE_HEADERS_H

#include "http.h"

/* How long until what the value says: seconds, "250ms", "1m30.5s", an HTTP date, a timestamp as in RFC 3339 or in seconds since
 * 1970. In ms, never more than a day; -1: it makes no sense. */
int64_t rate_delay_ms(struct weir_str value, int64_t now_unix_ms);

/* Retry-After(-Ms); else, if a limit is used up, when the last of those is filled again. 0: not said. */
uint32_t rate_retry_after_ms(const struct http_header *headers, uint32_t n, int64_t now_unix_ms);

struct rate_left {
    int64_t requests, tokens; /* -1: not said */
};
struct rate_left rate_left(const struct http_header *headers, uint32_t n);

#endif
