/* Scanning strings is where the bytes of a request are: prompts are one long string each. So this looks at 64 bytes
 * at a time for what ends or interrupts a string, with AVX2 also over escapes, and only remembers whether it saw
 * bytes from 0x80 up; only then the string is gone over once more for its UTF-8. */
#include "json_scan.h"

#include "scan.h"
#include "scan_avx2.h"
#include "text.h"

struct cursor {
    const char *p, *end;
    scan_chunk seen; /* all chunks together, so also bytes behind the string: a high bit there costs a second look */
    unsigned char seen_tail;
    bool has_escape;
};

#if SCAN_HAS_AVX2

/* Passes over what is clean or validly escaped. */
static void pass_blocks(struct cursor *c)
{
    if (!scan_avx2())
        return;
    struct scan_passed passed = scan_avx2_string(c->p, c->end);
    c->p = passed.p;
    c->has_escape = c->has_escape || passed.has_escape;
    c->seen_tail |= passed.has_high ? 0x80 : 0;
}

#else

/* Passes over what is clean. */
static void pass_blocks(struct cursor *c)
{
    const char *p = c->p;
    scan_chunk seen = c->seen;
    for (; c->end - p >= 4 * SCAN_WIDTH; p += 4 * SCAN_WIDTH) {
        scan_chunk c0 = scan_load(p), c1 = scan_load(p + SCAN_WIDTH);
        scan_chunk c2 = scan_load(p + 2 * SCAN_WIDTH), c3 = scan_load(p + 3 * SCAN_WIDTH);
        if (scan_special(c0) | scan_special(c1) | scan_special(c2) | scan_special(c3))
            break;
        seen = scan_or(seen, scan_or(scan_or(c0, c1), scan_or(c2, c3)));
    }
    c->p = p;
    c->seen = seen;
}

#endif

/* Goes to the next special byte or to the end. Most strings are short, so blocks are tried only after two chunks. */
static void find_special(struct cursor *c)
{
    for (int chunks = 0; c->end - c->p >= SCAN_WIDTH; chunks++) {
        scan_chunk chunk = scan_load(c->p);
        scan_mask mask = scan_special(chunk);
        c->seen = scan_or(c->seen, chunk);
        if (mask) {
            c->p += scan_first(mask);
            return;
        }
        c->p += SCAN_WIDTH;
        if (chunks == 1)
            pass_blocks(c);
    }
    while (c->p < c->end && !scan_is_special(*c->p))
        c->seen_tail |= (unsigned char)*c->p++;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static size_t escape_length(const char *p, size_t n)
{
    static const unsigned char length[256] = { ['"'] = 2, ['\\'] = 2, ['/'] = 2, ['b'] = 2, ['f'] = 2,
                                               ['n'] = 2, ['r'] = 2,  ['t'] = 2, ['u'] = 6 };
    size_t want = n >= 2 ? length[(unsigned char)p[1]] : 0;
    if (want != 6)
        return want;
    return n >= 6 && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]) ? 6 : 0;
}

static struct json_scan refuse(const char *at, const char *error)
{
    return (struct json_scan){ at, false, error };
}

static struct json_scan finish(const char *start, const struct cursor *c)
{
    if (scan_high(c->seen) || c->seen_tail >= 0x80) {
        size_t n = (size_t)(c->p - start), valid = utf8_valid_prefix(start, n);
        if (valid < n)
            return refuse(start + valid, "a string is not valid UTF-8");
    }
    return (struct json_scan){ c->p, c->has_escape, NULL };
}

struct json_scan json_scan_string(const char *p, const char *end)
{
    struct cursor c = { p, end, scan_zero(), 0, false };
    for (unsigned escapes = 1;; escapes++) {
        find_special(&c);
        if (c.p == end)
            return refuse(p - 1, "a string is not ended");
        if (*c.p == '"')
            return finish(p, &c);
        if (*c.p != '\\')
            return refuse(c.p, "a control character in a string must be escaped");
        size_t length = escape_length(c.p, (size_t)(end - c.p));
        if (!length)
            return refuse(c.p, "a string has an invalid escape");
        c.p += length;
        c.has_escape = true;
        if (escapes % 4 == 0)
            pass_blocks(&c);
    }
}
