/* Texts in their three forms and UTF-8: what the JSON reader and writer, the host table and the stages share.
 * Nothing here keeps anything; copies go to the arena that the caller names. */
#include "text.h"

#include "scan.h"
#include "scan_avx2.h"

#define REPLACEMENT 0xfffdu

/* The 16 bits of a \uXXXX whose four digits begin at p. The text was validated before. */
static unsigned hex4(const char *p)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        value = value << 4 | ((c & 0xf) + (c >> 6) * 9);
    }
    return value;
}

static size_t utf8_put(char *to, unsigned code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

static bool is_high_surrogate(unsigned code)
{
    return (code & 0xfc00) == 0xd800;
}

static bool is_low_surrogate(unsigned code)
{
    return (code & 0xfc00) == 0xdc00;
}

static size_t unescape_unicode(char *to, const char *p, size_t n, size_t *taken)
{
    unsigned code = hex4(p + 2);
    *taken = 6;
    if (is_high_surrogate(code) && n >= 12 && p[6] == '\\' && p[7] == 'u' && is_low_surrogate(hex4(p + 8))) {
        *taken = 12;
        code = 0x10000 + ((code & 0x3ff) << 10) + (hex4(p + 8) & 0x3ff);
    } else if (is_high_surrogate(code) || is_low_surrogate(code)) {
        code = REPLACEMENT;
    }
    return utf8_put(to, code);
}

static const char unescaped[256] = { ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                     ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t' };

size_t text_unescape_one(char to[4], const char *p, size_t n, size_t *taken)
{
    if (p[1] == 'u')
        return unescape_unicode(to, p, n, taken);
    to[0] = unescaped[(unsigned char)p[1]];
    *taken = 2;
    return 1;
}

/* Copies up to the next backslash. `to` never overtakes `p`, so a whole chunk fits wherever one is left to read. */
static void copy_run(char **to, const char **from, const char *end)
{
    const char *p = *from;
    char *at = *to;
    for (; end - p >= SCAN_WIDTH; p += SCAN_WIDTH, at += SCAN_WIDTH) {
        scan_chunk c = scan_load(p);
        scan_mask mask = scan_backslash(c);
        scan_store(at, c);
        if (mask) {
            *from = p + scan_first(mask);
            *to = at + scan_first(mask);
            return;
        }
    }
    while (p < end && *p != '\\')
        *at++ = *p++;
    *from = p;
    *to = at;
}

size_t text_unescape(char *to, const char *p, size_t n)
{
    if (!n)
        return 0;
    const char *end = p + n;
    char *at = to;
    for (copy_run(&at, &p, end); p < end; copy_run(&at, &p, end)) {
        size_t taken = 2;
        if (p[1] != 'u')
            *at++ = unescaped[(unsigned char)p[1]];
        else
            at += unescape_unicode(at, p, (size_t)(end - p), &taken);
        p += taken;
    }
    return (size_t)(at - to);
}

struct weir_str text_decode(struct arena *a, const struct weir_text *t)
{
    if (t->form != WEIR_TEXT_ESCAPED)
        return (struct weir_str){ t->p, t->n };
    char *plain = arena_alloc(a, t->n);
    if (!plain)
        return WEIR_NONE;
    return (struct weir_str){ plain, text_unescape(plain, t->p, t->n) };
}

static const char *find_backslash(const char *p, const char *end)
{
    for (; end - p >= SCAN_WIDTH; p += SCAN_WIDTH) {
        scan_mask mask = scan_backslash(scan_load(p));
        if (mask)
            return p + scan_first(mask);
    }
    while (p < end && *p != '\\')
        p++;
    return p;
}

size_t text_plain_length(const struct weir_text *t)
{
    if (t->form != WEIR_TEXT_ESCAPED)
        return t->n;
    const char *p = t->p, *end = t->p + t->n;
    size_t length = t->n;
    while ((p = find_backslash(p, end)) < end) {
        size_t taken;
        char one[4];
        length += text_unescape_one(one, p, (size_t)(end - p), &taken);
        length -= taken;
        p += taken;
    }
    return length;
}

/* The length of the valid multi-byte sequence at p, which begins with a byte from 0x80 up; 0 if it is none. */
static size_t utf8_sequence(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0xe0)
        return p[0] >= 0xc2 && n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (p[0] < 0xf0) {
        unsigned code = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6;
        return code >= 0x800 && (code & 0xf800) != 0xd800 ? 3 : 0;
    }
    if (p[0] > 0xf4 || n < 4 || (p[3] & 0xc0) != 0x80)
        return 0;
    unsigned plane = (p[0] & 7u) << 2 | (p[1] >> 4 & 3u);
    return plane >= 1 && plane <= 16 ? 4 : 0;
}

size_t text_clean_prefix(const char *text, size_t n)
{
    if (!n)
        return 0;
    const char *p = text, *end = text + n;
    while (p < end) {
        if (end - p >= SCAN_WIDTH) {
            scan_chunk c = scan_load(p);
            scan_mask mask = scan_special(c) | scan_high(c);
            p += mask ? scan_first(mask) : SCAN_WIDTH;
            if (!mask)
                continue;
        }
        if ((unsigned char)*p >= 0x80) {
            size_t length = utf8_sequence(p, (size_t)(end - p));
            if (!length)
                break;
            p += length;
        } else if (scan_is_special(*p)) {
            break;
        } else {
            p++;
        }
    }
    return (size_t)(p - text);
}

/* How much of a broken sequence one U+FFFD stands for: the bytes that could have begun a character, at least one
 * (the "maximal subpart" that Unicode recommends). */
static size_t broken_length(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    static const unsigned char low[] = { [0x0] = 0xa0, [0x10] = 0x90 }, high[] = { [0xd] = 0x9f, [0x14] = 0x8f };
    if (p[0] < 0xe0 || p[0] > 0xf4 || n < 2)
        return 1;
    unsigned lead = p[0] - 0xe0u;
    unsigned least = lead < sizeof low && low[lead] ? low[lead] : 0x80;
    unsigned most = lead < sizeof high && high[lead] ? high[lead] : 0xbf;
    if (p[1] < least || p[1] > most)
        return 1;
    return p[0] >= 0xf0 && n >= 3 && (p[2] & 0xc0) == 0x80 ? 3 : 2;
}

size_t text_escape_one(char *to, const char *p, size_t n, size_t *taken)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[0x20] = { ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't' };
    unsigned char c = (unsigned char)*p;
    if (c >= 0x80) {
        *taken = broken_length(p, n);
        return utf8_put(to, REPLACEMENT);
    }
    *taken = 1;
    to[0] = '\\';
    to[1] = c < 0x20 ? letters[c] : (char)c;
    if (to[1])
        return 2;
    memcpy(to + 1, "u00", 3);
    to[4] = digits[c >> 4];
    to[5] = digits[c & 0xf];
    return 6;
}

size_t text_escape_valid(char *to, size_t room, const char *p, size_t n, size_t *taken)
{
    const char *from = p, *end = p + n;
    char *at = to, *full = to + room - TEXT_ESCAPE_ROOM;
    while (p < end && at <= full) {
        if (end - p >= SCAN_WIDTH) {
            scan_chunk c = scan_load(p);
            scan_mask mask = scan_special(c);
            size_t run = mask ? scan_first(mask) : SCAN_WIDTH;
            scan_store(at, c);
            p += run;
            at += run;
            if (!mask)
                continue;
        } else if (!scan_is_special(*p)) {
            *at++ = *p++;
            continue;
        }
        size_t one;
        at += text_escape_one(at, p, 1, &one);
        p++;
    }
    *taken = (size_t)(p - from);
    return (size_t)(at - to);
}

static size_t escaped_length(const char *p, size_t n)
{
    size_t length = 0;
    for (size_t i = 0; i < n;) {
        size_t run = text_clean_prefix(p + i, n - i), taken = 0;
        char one[6];
        length += run;
        i += run;
        if (i < n)
            length += text_escape_one(one, p + i, n - i, &taken);
        i += taken;
    }
    return length;
}

struct weir_text text_escape(struct arena *a, struct weir_str plain)
{
    size_t length = escaped_length(plain.p, plain.n);
    if (length == plain.n && length <= UINT32_MAX && text_clean_prefix(plain.p, plain.n) == plain.n)
        return (struct weir_text){ plain.p, (uint32_t)plain.n, WEIR_TEXT_BOTH };
    char *to = length <= UINT32_MAX ? arena_alloc(a, length) : NULL;
    if (!to)
        return (struct weir_text){ NULL, 0, WEIR_TEXT_BOTH };
    char *at = to;
    for (size_t i = 0; i < plain.n;) {
        size_t run = text_clean_prefix(plain.p + i, plain.n - i), taken = 0;
        memcpy(at, plain.p + i, run);
        at += run;
        i += run;
        if (i < plain.n)
            at += text_escape_one(at, plain.p + i, plain.n - i, &taken);
        i += taken;
    }
    return (struct weir_text){ to, (uint32_t)length, WEIR_TEXT_ESCAPED };
}

size_t utf8_valid_prefix(const char *text, size_t n)
{
    if (!n)
        return 0;
#if SCAN_HAS_AVX2
    if (n >= 32 && scan_avx2() && scan_avx2_utf8(text, n))
        return n;
#endif
    const char *p = text, *end = text + n;
    while (p < end) {
        if ((unsigned char)*p >= 0x80) {
            size_t length = utf8_sequence(p, (size_t)(end - p));
            if (!length)
                break;
            p += length;
        } else if (end - p >= SCAN_WIDTH) {
            scan_mask mask = scan_high(scan_load(p));
            p += mask ? scan_first(mask) : SCAN_WIDTH;
        } else {
            p++;
        }
    }
    return (size_t)(p - text);
}

bool utf8_valid(const char *p, size_t n)
{
    return utf8_valid_prefix(p, n) == n;
}
