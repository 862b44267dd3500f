/* Where a url points to: host and port, addresses that are public, the proxy in between. Texts only, no I/O. */
#ifndef WEIR_CORE_ADDRESS_H
#define WEIR_CORE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct url_place {
    char host[256]; /* as in the url; IPv6 in brackets */
    unsigned port;
    bool is_tls;
    bool is_literal; /* an address, no name */
};
/* false: neither http nor https, no host, a password in it, or a port that can't be. */
bool url_parse(const char *url, struct url_place *place);
/* The same for a proxy's ("http://user:password@host:port", "socks5h://host", "host:port"). */
bool url_parse_proxy(const char *url, struct url_place *place);

/* Is it an address of the public internet: not this machine, not a private, shared, reserved or multicast one? "1.2.3.4",
 * "2001::1" or "[2001::1]"; what is no address is not public. */
bool address_is_public(const char *address);
/* … all of "1.2.3.4,[2001::1]". */
bool addresses_are_public(const char *list);

/* HTTPS_PROXY, http_proxy, ALL_PROXY and NO_PROXY as they were when the program began. */
struct proxies;
struct proxies *proxies_new(void);
void proxies_free(struct proxies *p);
/* NULL: none. */
const char *proxies_find(const struct proxies *p, const struct url_place *place);

#endif
