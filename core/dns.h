/* Looking up names without holding up the loop: one thread, one look-up per name at a time, a cache.
 *
 * A name that cannot be looked up any more keeps its last good addresses. Callbacks come from the event loop only.
 */
#ifndef WEIR_CORE_DNS_H
#define WEIR_CORE_DNS_H

#include <stdint.h>

struct event_base;
struct dns;
struct dns_query;

/* addresses: "1.2.3.4,5.6.7.8" (IPv6 in brackets), lifetime: this call; NULL: the look-up failed, why says how. */
typedef void (*dns_fn)(void *arg, const char *addresses, const char *why);

struct dns *dns_new(struct event_base *base);
void dns_free(struct dns *d);
/* NULL: no memory. The answer comes later, also from the cache. */
struct dns_query *dns_ask(struct dns *d, const char *host, dns_fn done, void *arg);
void dns_cancel(struct dns_query *q);
/* The cached addresses, fresh ones only; NULL: none. Lifetime: until the next call. */
const char *dns_cached(struct dns *d, const char *host);

#endif
