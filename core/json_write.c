/* The JSON writer and its buffer. The writer keeps one bit per open level and knows whether a comma or a value is
 * due, so a codec that calls it in the wrong order fails instead of sending something that is no JSON. */
#include <stdlib.h>

#include "json.h"
#include "text.h"

#define OUT_MIN 1024u

/* --- The buffer --------------------------------------------------------------------------------------------------- */

void out_init(struct weir_out *w)
{
    *w = (struct weir_out){ 0 };
}

void out_free(struct weir_out *w)
{
    free(w->p);
    out_init(w);
}

void out_reset(struct weir_out *w, size_t keep)
{
    struct weir_out fresh = { .p = w->p, .cap = w->cap };
    if (fresh.cap > keep) {
        free(fresh.p);
        fresh.p = NULL;
        fresh.cap = 0;
    }
    *w = fresh;
}

void out_drain(struct weir_out *w)
{
    w->n = 0;
}

static bool grow(struct weir_out *w, size_t n)
{
    size_t cap = w->cap < OUT_MIN ? OUT_MIN : w->cap;
    while (cap - w->n < n && cap <= SIZE_MAX / 4)
        cap *= 2;
    char *p = cap - w->n >= n ? realloc(w->p, cap) : NULL;
    if (!p) {
        w->failed = true;
        return false;
    }
    w->p = p;
    w->cap = cap;
    return true;
}

char *out_reserve(struct weir_out *w, size_t n)
{
    if (w->failed || (w->cap - w->n < n && !grow(w, n)))
        return NULL;
    return w->p + w->n;
}

void out_write(struct weir_out *w, struct weir_str bytes)
{
    char *to = bytes.n ? out_reserve(w, bytes.n) : NULL;
    if (!to)
        return;
    memcpy(to, bytes.p, bytes.n);
    w->n += bytes.n;
}

struct weir_str out_bytes(const struct weir_out *w)
{
    return (struct weir_str){ w->p, w->n };
}

bool out_complete(const struct weir_out *w)
{
    return !w->failed && w->depth == 0 && !w->in_string;
}

static void put_byte(struct weir_out *w, char c)
{
    char *to = out_reserve(w, 1);
    if (!to)
        return;
    *to = c;
    w->n++;
}

/* --- Structure ---------------------------------------------------------------------------------------------------- */

static bool misuse(struct weir_out *w)
{
    w->failed = true;
    w->is_misuse = true;
    return false;
}

static bool is_in_object(const struct weir_out *w)
{
    unsigned top = w->depth - 1u;
    return w->depth > 0 && (w->is_object[top / 8] >> top % 8 & 1);
}

/* A value is about to be written: puts the comma if one is due. */
static bool begin_value(struct weir_out *w)
{
    if (w->failed)
        return false;
    if (w->in_string || (is_in_object(w) && !w->has_key))
        return misuse(w);
    if (w->needs_comma && !w->has_key)
        put_byte(w, ',');
    w->has_key = false;
    w->needs_comma = w->depth > 0;
    return true;
}

static void begin_level(struct weir_out *w, bool is_object)
{
    if (!begin_value(w))
        return;
    if (w->depth == JSON_DEPTH_MAX) {
        misuse(w);
        return;
    }
    unsigned bit = 1u << w->depth % 8;
    uint8_t *bits = &w->is_object[w->depth / 8];
    *bits = (uint8_t)(is_object ? *bits | bit : *bits & ~bit);
    w->depth++;
    w->needs_comma = false;
    put_byte(w, is_object ? '{' : '[');
}

static void end_level(struct weir_out *w, bool is_object)
{
    if (w->failed)
        return;
    if (w->depth == 0 || w->in_string || w->has_key || is_in_object(w) != is_object) {
        misuse(w);
        return;
    }
    w->depth--;
    w->needs_comma = w->depth > 0;
    put_byte(w, is_object ? '}' : ']');
}

void json_object_begin(struct weir_out *w)
{
    begin_level(w, true);
}

void json_object_end(struct weir_out *w)
{
    end_level(w, true);
}

void json_array_begin(struct weir_out *w)
{
    begin_level(w, false);
}

void json_array_end(struct weir_out *w)
{
    end_level(w, false);
}

/* --- Strings ------------------------------------------------------------------------------------------------------ */

/* Bytes that are no UTF-8 are replaced one by one: slower, and nobody's normal case. */
static void write_repaired(struct weir_out *w, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t run = text_clean_prefix(p + i, n - i), taken = 0;
        char *to = out_reserve(w, run + 6);
        if (!to)
            return;
        memcpy(to, p + i, run);
        w->n += run;
        i += run;
        if (i < n)
            w->n += text_escape_one(to + run, p + i, n - i, &taken);
        i += taken;
    }
}

static void write_escaped(struct weir_out *w, const char *p, size_t n)
{
    if (!utf8_valid(p, n)) {
        write_repaired(w, p, n);
        return;
    }
    while (n > 0) {
        size_t taken, room = n + n / 16 + TEXT_ESCAPE_ROOM;
        char *to = out_reserve(w, room);
        if (!to)
            return;
        w->n += text_escape_valid(to, room, p, n, &taken);
        p += taken;
        n -= taken;
    }
}

static bool begin_key(struct weir_out *w)
{
    if (w->failed)
        return false;
    if (!is_in_object(w) || w->has_key || w->in_string)
        return misuse(w);
    if (w->needs_comma)
        put_byte(w, ',');
    w->has_key = true;
    return true;
}

void json_key(struct weir_out *w, const char *name)
{
    size_t n = strlen(name);
    char *to = begin_key(w) ? out_reserve(w, n + 3) : NULL;
    if (!to)
        return;
    to[0] = '"';
    memcpy(to + 1, name, n);
    to[n + 1] = '"';
    to[n + 2] = ':';
    w->n += n + 3;
}

void json_key_str(struct weir_out *w, struct weir_str name)
{
    if (!begin_key(w))
        return;
    put_byte(w, '"');
    write_escaped(w, name.p, name.n);
    out_write(w, WEIR_LIT("\":"));
}

void json_string_begin(struct weir_out *w)
{
    if (!begin_value(w))
        return;
    w->in_string = true;
    put_byte(w, '"');
}

void json_string_part(struct weir_out *w, const struct weir_text *t)
{
    if (w->failed)
        return;
    if (!w->in_string)
        misuse(w);
    else if (t->form == WEIR_TEXT_BOTH || t->form == WEIR_TEXT_ESCAPED)
        out_write(w, (struct weir_str){ t->p, t->n });
    else
        write_escaped(w, t->p, t->n);
}

void json_string_end(struct weir_out *w)
{
    if (w->failed)
        return;
    if (!w->in_string) {
        misuse(w);
        return;
    }
    w->in_string = false;
    put_byte(w, '"');
}

void json_put_str(struct weir_out *w, struct weir_str s)
{
    if (!begin_value(w))
        return;
    put_byte(w, '"');
    write_escaped(w, s.p, s.n);
    put_byte(w, '"');
}

void json_put_text(struct weir_out *w, const struct weir_text *t)
{
    json_string_begin(w);
    json_string_part(w, t);
    json_string_end(w);
}

/* --- Other values ------------------------------------------------------------------------------------------------- */

void json_put_raw(struct weir_out *w, struct weir_str json)
{
    if (begin_value(w))
        out_write(w, json.n ? json : WEIR_LIT("null"));
}

void json_put_text_raw(struct weir_out *w, const struct weir_text *t)
{
    if (t->form != WEIR_TEXT_ESCAPED || t->n == 0) {
        json_put_raw(w, (struct weir_str){ t->p, t->n });
        return;
    }
    char *to = begin_value(w) ? out_reserve(w, t->n) : NULL;
    if (to)
        w->n += text_unescape(to, t->p, t->n);
}

void json_put_int(struct weir_out *w, int64_t n)
{
    char digits[20], *p = digits + sizeof digits;
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do {
        *--p = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (n < 0)
        *--p = '-';
    json_put_raw(w, (struct weir_str){ p, (size_t)(digits + sizeof digits - p) });
}

void json_put_bool(struct weir_out *w, bool b)
{
    json_put_raw(w, b ? WEIR_LIT("true") : WEIR_LIT("false"));
}

void json_put_null(struct weir_out *w)
{
    json_put_raw(w, WEIR_LIT("null"));
}
