/* Looking up names without holding up the loop: a few threads, one look-up per name at a time, a cache.
 *
 * A name that cannot be looked up any more keeps its last good addresses. Callbacks come from the event loop only.
 */
#ifndef WEIR_CORE_DNS_H
#define WEIR_CORE_DNS_H

#include <stdint.h>

struct event_base;
struct dns;
struct dns_query;

/* Lifetime: this call, or until the loop goes on. `version` changes whenever they do. */
struct dns_addresses {
    const char *list; /* "1.2.3.4,5.6.7.8" (IPv6 in brackets); NULL: none */
    uint32_t version;
};
/* why: how the look-up failed, if there is no list. */
typedef void (*dns_fn)(void *arg, struct dns_addresses addresses, const char *why);

struct dns *dns_new(struct event_base *base);
void dns_free(struct dns *d);
/* NULL: no memory. The answer comes later. */
struct dns_query *dns_ask(struct dns *d, const char *host, dns_fn done, void *arg);
void dns_cancel(struct dns_query *q);
/* What is known; if that is old it is looked up again behind the scenes. */
struct dns_addresses dns_cached(struct dns *d, const char *host);
/* A connection to all of them failed: looks again soon. */
void dns_distrust(struct dns *d, const char *host);

#endif
