/* The simulator's JSON: one checking pass, then walks over values that are known to be well-formed. Spans point into
 * the document, whose owner is the connection that received it. */
#include "span.h"

#include <stdlib.h>

struct check {
    const char *p, *end;
    int depth;
};

static bool check_value(struct check *c);

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void check_space(struct check *c)
{
    while (c->p < c->end && is_space(*c->p))
        c->p++;
}

static bool check_char(struct check *c, char want)
{
    if (c->p >= c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

static bool check_escape(struct check *c)
{
    if (c->p >= c->end)
        return false;
    char e = *c->p++;
    if (e != 'u')
        return e && strchr("\"\\/bfnrt", e);
    if (c->end - c->p < 4)
        return false;
    for (int i = 0; i < 4; i++, c->p++)
        if (!strchr("0123456789abcdefABCDEF", *c->p) || !*c->p)
            return false;
    return true;
}

static bool check_string(struct check *c)
{
    if (!check_char(c, '"'))
        return false;
    while (c->p < c->end) {
        unsigned char b = (unsigned char)*c->p++;
        if (b == '"')
            return true;
        if (b < 0x20 || (b == '\\' && !check_escape(c)))
            return false;
    }
    return false;
}

static bool check_digits(struct check *c)
{
    const char *from = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        c->p++;
    return c->p > from;
}

static bool check_number(struct check *c)
{
    check_char(c, '-');
    if (c->p < c->end && *c->p == '0')
        c->p++;
    else if (!check_digits(c))
        return false;
    if (check_char(c, '.') && !check_digits(c))
        return false;
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        return check_digits(c);
    }
    return true;
}

static bool check_word(struct check *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return false;
    c->p += n;
    return true;
}

static bool check_key(struct check *c)
{
    check_space(c);
    if (!check_string(c))
        return false;
    check_space(c);
    return check_char(c, ':');
}

static bool check_container(struct check *c, char close)
{
    c->p++;
    check_space(c);
    if (check_char(c, close))
        return true;
    do {
        if ((close == '}' && !check_key(c)) || !check_value(c))
            return false;
        check_space(c);
    } while (check_char(c, ','));
    return check_char(c, close);
}

static bool check_value(struct check *c)
{
    check_space(c);
    if (c->p >= c->end || c->depth >= SPAN_DEPTH)
        return false;
    c->depth++;
    bool is_good;
    switch (*c->p) {
    case '{':
        is_good = check_container(c, '}');
        break;
    case '[':
        is_good = check_container(c, ']');
        break;
    case '"':
        is_good = check_string(c);
        break;
    case 't':
        is_good = check_word(c, "true");
        break;
    case 'f':
        is_good = check_word(c, "false");
        break;
    case 'n':
        is_good = check_word(c, "null");
        break;
    default:
        is_good = check_number(c);
    }
    c->depth--;
    return is_good;
}

bool span_valid(const char *p, size_t n, struct span *value)
{
    struct check c = { p, p + n, 0 };
    check_space(&c);
    const char *from = c.p;
    if (!check_value(&c))
        return false;
    *value = (struct span){ from, (size_t)(c.p - from) };
    check_space(&c);
    return c.p == c.end;
}

/* ---- walking what was checked ---- */

static const char *string_end(const char *p)
{
    for (p++; *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p + 1;
}

static const char *container_end(const char *p)
{
    int depth = 0;
    for (;;) {
        char c = *p;
        if (c == '"') {
            p = string_end(p);
            continue;
        }
        p++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return p;
    }
}

static const char *value_end(const char *p, const char *end)
{
    if (*p == '"')
        return string_end(p);
    if (*p == '{' || *p == '[')
        return container_end(p);
    while (p < end && !is_space(*p) && *p != ',' && *p != '}' && *p != ']')
        p++;
    return p;
}

static void walk_space(struct span_walk *w)
{
    while (w->p < w->end && (is_space(*w->p) || *w->p == ',' || *w->p == ':'))
        w->p++;
}

static struct span_walk walk_into(struct span value, char open)
{
    if (span_type(value) != open)
        return (struct span_walk){ NULL, NULL };
    struct span_walk w = { value.p + 1, value.p + value.n - 1 };
    return w;
}

struct span_walk span_members(struct span object)
{
    return walk_into(object, '{');
}

struct span_walk span_elements(struct span array)
{
    return walk_into(array, '[');
}

bool span_element(struct span_walk *w, struct span *value)
{
    walk_space(w);
    if (w->p >= w->end)
        return false;
    const char *from = w->p;
    w->p = value_end(from, w->end);
    *value = (struct span){ from, (size_t)(w->p - from) };
    return true;
}

bool span_member(struct span_walk *w, struct span *key, struct span *value)
{
    if (!span_element(w, key))
        return false;
    *key = (struct span){ key->p + 1, key->n - 2 };
    return span_element(w, value);
}

struct span span_get(struct span object, const char *key)
{
    struct span_walk w = span_members(object);
    struct span name, value;
    while (span_member(&w, &name, &value))
        if (span_is(name, key))
            return value;
    return (struct span){ NULL, 0 };
}

bool span_is(struct span key, const char *s)
{
    return key.n == strlen(s) && memcmp(key.p, s, key.n) == 0;
}

bool span_says(struct span value, const char *s)
{
    return span_type(value) == '"' && span_is((struct span){ value.p + 1, value.n - 2 }, s);
}

char span_type(struct span value)
{
    if (!value.p)
        return 0;
    char c = *value.p;
    return c == '-' || (c >= '0' && c <= '9') ? '0' : c;
}

static uint32_t hex4(const char *p)
{
    char digits[5] = { p[0], p[1], p[2], p[3], 0 };
    return (uint32_t)strtoul(digits, NULL, 16);
}

static void put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_char(out, (char)c);
    } else if (c < 0x800) {
        buf_char(out, (char)(0xC0 | c >> 6));
        buf_char(out, (char)(0x80 | (c & 0x3F)));
    } else {
        if (c >= 0x10000)
            buf_char(out, (char)(0xF0 | c >> 18));
        buf_char(out, (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3F) : 0xE0 | c >> 12));
        buf_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
        buf_char(out, (char)(0x80 | (c & 0x3F)));
    }
}

/* p stands behind "\u"; returns what follows the whole character. */
static const char *put_unicode(struct buf *out, const char *p, const char *end)
{
    uint32_t c = hex4(p);
    p += 4;
    bool is_high = c >= 0xD800 && c < 0xDC00;
    if (is_high && end - p >= 6 && p[0] == '\\' && p[1] == 'u' && hex4(p + 2) >= 0xDC00 && hex4(p + 2) < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (hex4(p + 2) - 0xDC00);
        p += 6;
    } else if (c >= 0xD800 && c < 0xE000) {
        c = 0xFFFD;
    }
    put_utf8(out, c);
    return p;
}

void span_text(struct span value, struct buf *out)
{
    if (span_type(value) != '"')
        return;
    const char *p = value.p + 1, *end = value.p + value.n - 1;
    while (p < end) {
        const char *from = p;
        while (p < end && *p != '\\')
            p++;
        buf_add(out, from, (size_t)(p - from));
        if (p >= end)
            break;
        char e = p[1];
        p += 2;
        if (e == 'u')
            p = put_unicode(out, p, end);
        else
            buf_char(out, e == 'n' ? '\n' : e == 't' ? '\t' : e == 'r' ? '\r' : e == 'b' ? '\b' : e == 'f' ? '\f' : e);
    }
}

int64_t span_int(struct span value, int64_t fallback)
{
    if (span_type(value) != '0')
        return fallback;
    char digits[24];
    size_t n = value.n < sizeof(digits) - 1 ? value.n : sizeof(digits) - 1;
    memcpy(digits, value.p, n);
    digits[n] = '\0';
    return strtoll(digits, NULL, 10);
}
