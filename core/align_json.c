/* Joining JSON, whose readings can be checked: only one that makes a valid document counts, and only if it is the only one. */
#include <stdlib.h>

#include "align.h"
#include "align_words.h"

enum { OVERLAP_MAX = 256 };

/* Walks both documents; outside of strings white space doesn't count. */
struct pair {
    struct weir_str a, b;
    size_t i, j;
    bool is_string, is_escaped;
};

static void skip_spaces(struct pair *p)
{
    if (p->is_string)
        return;
    while (p->i < p->a.n && align_is_space(p->a.p[p->i]))
        p->i++;
    while (p->j < p->b.n && align_is_space(p->b.p[p->j]))
        p->j++;
}

/* As far as they are the same. */
static void walk(struct pair *p)
{
    for (skip_spaces(p); p->i < p->a.n && p->j < p->b.n; skip_spaces(p)) {
        char c = p->a.p[p->i];
        if (c != p->b.p[p->j])
            return;
        if (p->is_string && c == '"' && !p->is_escaped)
            p->is_string = false;
        else if (!p->is_string && c == '"')
            p->is_string = true;
        p->is_escaped = p->is_string && c == '\\' && !p->is_escaped;
        p->i++;
        p->j++;
    }
}

bool align_same_json(struct weir_str a, struct weir_str b)
{
    struct pair p = { .a = a, .b = b };
    walk(&p);
    return p.i == a.n && p.j == b.n;
}

/* The readings that make a document so far. */
struct readings {
    struct arena *arena;
    struct weir_str sent, rest;
    uint32_t n;
};

static void try_rest(struct readings *r, struct weir_str rest)
{
    struct weir_str whole = arena_printf(r->arena, "%.*s%.*s", (int)r->sent.n, r->sent.p, (int)rest.n, rest.p);
    if (!whole.p || !json_valid(r->arena, whole, 0) || (r->n && align_same_json(r->rest, rest)))
        return;
    r->rest = rest;
    r->n++;
}

static struct weir_str from(struct weir_str s, size_t at)
{
    return (struct weir_str){ s.p + at, s.n - at };
}

static void try_from_top(struct readings *r, struct weir_str continuation)
{
    struct pair p = { .a = r->sent, .b = continuation };
    walk(&p);
    if (p.i == r->sent.n)
        try_rest(r, from(continuation, p.j));
}

static void try_overlaps(struct readings *r, struct weir_str continuation)
{
    size_t most = r->sent.n < continuation.n ? r->sent.n : continuation.n;
    for (size_t n = 1; n <= most && n <= OVERLAP_MAX; n++) {
        size_t start = r->sent.n - n;
        if (align_is_boundary(r->sent, start) && memcmp(r->sent.p + start, continuation.p, n) == 0)
            try_rest(r, from(continuation, n));
    }
}

/* Behind words, or in a code fence: the document of which the beginning was sent begins somewhere. */
static struct weir_str document_in(struct weir_str sent, struct weir_str text)
{
    const char *at = sent.n ? memchr(text.p, sent.p[0], text.n) : NULL;
    struct weir_str s = at ? from(text, (size_t)(at - text.p)) : WEIR_NONE;
    const char *end = s.n && (sent.p[0] == '{' || sent.p[0] == '[') ? memrchr(s.p, sent.p[0] + 2, s.n) : NULL;
    return end ? (struct weir_str){ s.p, (size_t)(end + 1 - s.p) } : WEIR_NONE;
}

int align_json(struct arena *a, struct weir_str sent, struct weir_str continuation, struct weir_str *rest)
{
    struct readings r = { .arena = a, .sent = sent };
    struct weir_str inside = document_in(sent, continuation);
    try_rest(&r, continuation);
    if (sent.n && continuation.n) {
        try_from_top(&r, continuation);
        try_overlaps(&r, continuation);
    }
    if (!r.n && inside.n)
        try_from_top(&r, inside);
    *rest = r.rest;
    return r.n == 1 ? 0 : -1;
}
