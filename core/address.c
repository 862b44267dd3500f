/* Where a url points to. Written so that it reads a host as libcurl does, or not at all: a difference would let a name be checked
 * and another be called.
 */
#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- urls ---- */

static bool parse_port(const char *p, const char *end, unsigned *port)
{
    unsigned n = 0;
    if (p == end || end - p > 5)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        n = n * 10 + (unsigned)(*p - '0');
    }
    *port = n;
    return n > 0 && n <= 65535;
}

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~[]:", c);
}

/* "host", "host:port", "[::1]:port". */
static bool parse_authority(const char *p, const char *end, struct url_place *place)
{
    const char *host_end = p < end && *p == '[' ? memchr(p, ']', (size_t)(end - p)) : memchr(p, ':', (size_t)(end - p));
    if (p < end && *p == '[' && !host_end)
        return false;
    host_end = !host_end ? end : *host_end == ']' ? host_end + 1 : host_end;
    size_t n = (size_t)(host_end - p);
    if (n == 0 || n >= sizeof(place->host) || (host_end < end && *host_end != ':'))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!p[i] || !is_host_char(p[i]))
            return false;
    memcpy(place->host, p, n);
    place->host[n] = 0;
    struct in_addr four;
    place->is_literal = place->host[0] == '[' || inet_pton(AF_INET, place->host, &four) == 1;
    return host_end == end || parse_port(host_end + 1, end, &place->port);
}

bool url_parse(const char *url, struct url_place *place)
{
    memset(place, 0, sizeof(*place));
    place->is_tls = strncasecmp(url, "https://", 8) == 0;
    if (!place->is_tls && strncasecmp(url, "http://", 7) != 0)
        return false;
    place->port = place->is_tls ? 443 : 80;
    const char *p = url + (place->is_tls ? 8 : 7);
    for (const char *c = p; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return parse_authority(p, p + strcspn(p, "/?#"), place);
}

bool url_parse_proxy(const char *url, struct url_place *place)
{
    const char *scheme = strstr(url, "://"), *p = scheme ? scheme + 3 : url, *end = p + strcspn(p, "/?#");
    memset(place, 0, sizeof(*place));
    place->is_tls = strncasecmp(url, "https://", 8) == 0;
    place->port = place->is_tls ? 443 : 1080; /* libcurl's defaults */
    for (const char *at = end; at > p; at--)
        if (at[-1] == '@')
            return parse_authority(at, end, place);
    return parse_authority(p, end, place);
}

/* ---- addresses ---- */

struct range {
    uint32_t first;
    unsigned bits;
};

static bool is_public_4(uint32_t a)
{
    static const struct range ranges[] = {
        { 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },  { 0xa9fe0000, 16 },
        { 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0586300, 24 }, { 0xc0a80000, 16 },
        { 0xc6120000, 15 }, { 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 3 },
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if ((a ^ ranges[i].first) >> (32 - ranges[i].bits) == 0)
            return false;
    return true;
}

/* Of the global range 2000::/3, without documentation (2001:db8::/32), protocol assignments with Teredo (2001::/23) and 6to4
 * (2002::/16), which carry other addresses inside. All else (::1, fe80::, fc00::, mapped IPv4) is not public. */
static bool is_public_6(const uint8_t *a)
{
    if (a[0] >> 5 != 1)
        return false;
    if (a[0] == 0x20 && a[1] == 0x01 && ((a[2] & 0xfe) == 0 || (a[2] == 0x0d && a[3] == 0xb8)))
        return false;
    return !(a[0] == 0x20 && a[1] == 0x02);
}

bool address_is_public(const char *address)
{
    char plain[64];
    size_t n = strlen(address);
    struct in_addr four;
    struct in6_addr six;
    if (n >= sizeof(plain))
        return false;
    bool is_bracketed = n > 2 && address[0] == '[' && address[n - 1] == ']';
    n = is_bracketed ? n - 2 : n;
    memcpy(plain, address + is_bracketed, n);
    plain[n] = 0;
    if (inet_pton(AF_INET, plain, &four) == 1)
        return is_public_4(ntohl(four.s_addr));
    return inet_pton(AF_INET6, plain, &six) == 1 && is_public_6(six.s6_addr);
}

bool addresses_are_public(const char *list)
{
    char one[64];
    while (*list) {
        size_t n = strcspn(list, ",");
        if (n >= sizeof(one))
            return false;
        memcpy(one, list, n);
        one[n] = 0;
        if (!address_is_public(one))
            return false;
        list += n + (list[n] == ',');
    }
    return true;
}

/* ---- proxies ---- */

struct proxies {
    char *https, *http, *none;
};

static char *from_environment(const char *const *names)
{
    for (; *names; names++) {
        const char *value = getenv(*names);
        if (value && *value)
            return strdup(value);
    }
    return NULL;
}

/* HTTP_PROXY in upper case is not read: a CGI's caller could set it. */
struct proxies *proxies_new(void)
{
    static const char *const https[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL };
    static const char *const http[] = { "http_proxy", "all_proxy", "ALL_PROXY", NULL };
    static const char *const none[] = { "no_proxy", "NO_PROXY", NULL };
    struct proxies *p = calloc(1, sizeof(*p));
    if (p)
        *p = (struct proxies){ from_environment(https), from_environment(http), from_environment(none) };
    return p;
}

void proxies_free(struct proxies *p)
{
    if (!p)
        return;
    free(p->https);
    free(p->http);
    free(p->none);
    free(p);
}

/* "10.0.0.0/8" */
static bool is_in_network(const char *host, const char *entry)
{
    char network[64];
    struct in_addr a, b;
    const char *slash = strchr(entry, '/');
    size_t n = slash ? (size_t)(slash - entry) : 0;
    if (!slash || n >= sizeof(network))
        return false;
    memcpy(network, entry, n);
    network[n] = 0;
    int bits = atoi(slash + 1);
    if (bits < 1 || bits > 32 || inet_pton(AF_INET, network, &a) != 1 || inet_pton(AF_INET, host, &b) != 1)
        return false;
    return (ntohl(a.s_addr) ^ ntohl(b.s_addr)) >> (32 - bits) == 0;
}

/* "example.com" and ".example.com" mean the domain and all below it. */
static bool is_exempt(const char *host, const char *entry)
{
    if (strcmp(entry, "*") == 0 || is_in_network(host, entry))
        return true;
    entry += entry[0] == '.' || (entry[0] == '*' && entry[1] == '.') ? 1 + (entry[0] == '*') : 0;
    size_t n = strlen(host), m = strlen(entry);
    if (host[0] == '[' && entry[0] != '[')
        host++, n -= 2;
    if (m == 0 || n < m || strncasecmp(host + n - m, entry, m) != 0)
        return false;
    return n == m || host[n - m - 1] == '.';
}

const char *proxies_find(const struct proxies *p, const struct url_place *place)
{
    const char *proxy = place->is_tls ? p->https : p->http;
    const char *list = proxy && p->none ? p->none : "";
    char entry[256];
    while (*list) {
        size_t n = strcspn(list, ", ");
        if (n && n < sizeof(entry)) {
            memcpy(entry, list, n);
            entry[n] = 0;
            if (is_exempt(place->host, entry))
                return NULL;
        }
        list += n + (list[n] != 0);
    }
    return proxy;
}
