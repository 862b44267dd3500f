/* One URL that a message links to, fetched: only from public addresses unless told otherwise, bounded in size and time, through a few
 * redirects, each of which is checked anew. Knows nothing of requests.
 *
 * The handle is the caller's until `done` was called or media_fetch_cancel() returned.
 */
#ifndef WEIR_CORE_MEDIA_FETCH_H
#define WEIR_CORE_MEDIA_FETCH_H

#include "egress.h"

struct media_fetch;
struct media_rules {
    size_t max_bytes;
    uint32_t deadline_ms;
    bool allows_private;
};
struct media_result { /* lifetime: until the callback returns */
    struct weir_str bytes, type; /* type: as the server says, without parameters, lower case; "" if it doesn't */
    const char *why; /* NULL: it is there; else a sentence's end: "answered 404" */
};
typedef void (*media_done)(void *arg, const struct media_result *result);

/* NULL: no URL that could be fetched, or no memory. `done` is never called from inside. */
struct media_fetch *media_fetch_start(struct egress *e, struct event_base *base, struct weir_str url,
                                      const struct media_rules *rules, media_done done, void *arg);
void media_fetch_cancel(struct media_fetch *f);

#endif
