/* Rate-limit headers. Pure: what the time is, the caller says.
 *
 * A name is taken apart into words, so that "x-ratelimit-remaining-requests" and "anything-ratelimit-requests-remaining" are the
 * same to weir, and no provider has to be known by name.
 */
#include "rate_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DELAY_MAX_MS = 86400000 };

/* ---- values ---- */

static int64_t bounded(double ms)
{
    return ms < 0 ? 0 : ms > DELAY_MAX_MS ? DELAY_MAX_MS : (int64_t)ms;
}

/* Digits with at most one point; what strtod() would take beyond that is no number here. -1: none. */
static double read_digits(const char *p, const char **end)
{
    size_t n = strspn(p, "0123456789");
    size_t whole = n;
    if (p[n] == '.')
        n += 1 + strspn(p + n + 1, "0123456789");
    *end = p + n;
    return whole && whole < 16 && p[n] != 'x' ? strtod(p, NULL) : -1;
}

/* "1h", "6m0s", "250ms", "1.5s": units in any order. false: it is none. */
static bool read_duration(const char *p, double *ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = { { "ms", 1 }, { "us", 0.001 }, { "d", 86400e3 }, { "h", 3600e3 }, { "m", 60e3 }, { "s", 1e3 } };
    *ms = 0;
    while (*p) {
        const char *end;
        size_t i = 0, n = sizeof(units) / sizeof(*units);
        double number = read_digits(p, &end);
        if (number < 0)
            return false;
        while (i < n && strncmp(end, units[i].unit, strlen(units[i].unit)) != 0)
            i++;
        if (i == n)
            return false;
        *ms += number * units[i].ms;
        p = end + strlen(units[i].unit);
    }
    return true;
}

static bool read_http_date(const char *p, int64_t *unix_at_ms)
{
    static const char *const formats[] = { "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y" };
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        struct tm tm = { 0 };
        const char *end = strptime(p, formats[i], &tm);
        if (!end || *end)
            continue;
        *unix_at_ms = (int64_t)timegm(&tm) * 1000;
        return true;
    }
    return false;
}

/* "Z" or "+02:00". */
static bool read_zone(const char *p, int64_t *offset_s)
{
    int h, m;
    *offset_s = 0;
    if ((*p == 'Z' || *p == 'z') && !p[1])
        return true;
    if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d", &h, &m) != 2)
        return false;
    *offset_s = (h * 3600 + m * 60) * (*p == '-' ? -1 : 1);
    return true;
}

static bool read_timestamp(const char *p, int64_t *unix_at_ms)
{
    struct tm tm = { 0 };
    int64_t offset_s;
    char *end = strptime(p, "%Y-%m-%dT%H:%M:%S", &tm);
    double fraction = end && *end == '.' ? strtod(end, &end) : 0;
    if (!end || !read_zone(end, &offset_s))
        return false;
    *unix_at_ms = ((int64_t)timegm(&tm) - offset_s) * 1000 + (int64_t)(fraction * 1000);
    return true;
}

/* A plain number is seconds, unless it is so large that it must be a time. */
static bool read_number(const char *p, int64_t now_ms, double *ms)
{
    const char *end;
    double n = read_digits(p, &end);
    if (n < 0 || *end)
        return false;
    *ms = n > 1e11 ? n - (double)now_ms : n > 1e9 ? n * 1000 - (double)now_ms : n * 1000;
    return true;
}

int64_t rate_delay_ms(struct weir_str value, int64_t now_ms)
{
    char text[64];
    double ms;
    int64_t at_ms;
    while (value.n && value.p[value.n - 1] == ' ')
        value.n--;
    if (!value.n || value.n >= sizeof(text))
        return -1;
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    if (read_number(text, now_ms, &ms) || read_duration(text, &ms))
        return bounded(ms);
    if (read_http_date(text, &at_ms) || read_timestamp(text, &at_ms))
        return bounded((double)(at_ms - now_ms));
    return -1;
}

/* ---- names ---- */

enum { WORD_LIMIT = 1, WORD_REMAINING = 2, WORD_RESET = 4, WORD_REQUESTS = 8, WORD_TOKENS = 16, WORD_OTHER = 32 };

static uint32_t word_of(struct weir_str w)
{
    static const struct {
        const char *text;
        uint32_t word;
    } words[] = { { "ratelimit", WORD_LIMIT },   { "remaining", WORD_REMAINING }, { "reset", WORD_RESET },
                  { "requests", WORD_REQUESTS }, { "tokens", WORD_TOKENS } };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (weir_is(w, words[i].text))
            return words[i].word;
    return WORD_OTHER;
}

/* The words of a name that has "ratelimit" in it; what stands before that is the provider's own. 0: it is another header. */
static uint32_t words_of(struct weir_str name)
{
    uint32_t words = 0;
    if (!memmem(name.p, name.n, "ratelimit", 9))
        return 0;
    for (size_t at = 0; at <= name.n;) {
        const char *dash = at < name.n ? memchr(name.p + at, '-', name.n - at) : NULL;
        size_t n = dash ? (size_t)(dash - name.p) - at : name.n - at;
        uint32_t word = word_of((struct weir_str){ name.p + at, n });
        if (word != WORD_OTHER || (words & WORD_LIMIT))
            words |= word;
        at += n + 1;
    }
    return words;
}

static int64_t count_of(struct weir_str value)
{
    int64_t n = 0;
    if (!value.n || value.n > 15)
        return -1;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return -1;
        n = n * 10 + (value.p[i] - '0');
    }
    return n;
}

/* ---- all headers of an answer ---- */

struct rate_left rate_left(const struct http_header *headers, uint32_t n)
{
    struct rate_left left = { -1, -1 };
    for (uint32_t i = 0; i < n; i++) {
        uint32_t words = words_of(headers[i].name);
        if ((words & ~(uint32_t)WORD_REQUESTS) == (WORD_LIMIT | WORD_REMAINING))
            left.requests = count_of(headers[i].value);
        else if (words == (WORD_LIMIT | WORD_REMAINING | WORD_TOKENS))
            left.tokens = count_of(headers[i].value);
    }
    return left;
}

/* Is the limit that this reset belongs to used up? */
static bool is_used_up(const struct http_header *headers, uint32_t n, uint32_t reset_words)
{
    uint32_t wanted = (reset_words & ~(uint32_t)WORD_RESET) | WORD_REMAINING;
    for (uint32_t i = 0; i < n; i++)
        if (words_of(headers[i].name) == wanted)
            return count_of(headers[i].value) == 0;
    return false;
}

/* When the last of the limits that are used up is filled again; -1: none is, or none says. */
static int64_t longest_reset(const struct http_header *headers, uint32_t n, int64_t now_ms)
{
    int64_t longest = -1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t words = words_of(headers[i].name);
        if (!(words & WORD_RESET) || !is_used_up(headers, n, words))
            continue;
        int64_t delay = rate_delay_ms(headers[i].value, now_ms);
        longest = delay > longest ? delay : longest;
    }
    return longest;
}

uint32_t rate_retry_after_ms(const struct http_header *headers, uint32_t n, int64_t now_ms)
{
    struct weir_str ms = http_find(headers, n, "retry-after-ms"), s = http_find(headers, n, "retry-after");
    int64_t delay = count_of(ms);
    if (delay <= 0)
        delay = s.n ? rate_delay_ms(s, now_ms) : -1;
    if (delay < 0)
        delay = longest_reset(headers, n, now_ms);
    return delay < 0 ? 0 : (uint32_t)bounded((double)delay);
}
