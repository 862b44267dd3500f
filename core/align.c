/* The aligner. A reading is a place in what was sent from where on the continuation may be repeating it; all readings advance
 * together, byte by byte, runs of white space counting as one. What is left when the bytes have spoken is decided by decide().
 *
 * `sent` belongs to the caller; what is held, and the list of readings, to the struct until align_free().
 */
#include "align.h"

#include <stdlib.h>

#include "align_words.h"

enum {
    WORDS_MAX = 400,    /* bytes: so far back begins what counts as "the last words" … */
    LINES_MAX = 4096,   /* … and so far back a line or a paragraph that is said again */
    SURE = 16,          /* bytes: as many the same by chance don't happen */
    SURE_TOP = 8,       /* the same from the top on */
    PREAMBLE_MAX = 1024,
    PREAMBLE_LIKELY = 200,
};

/* ---- beginning ---- */

static bool may_start(struct weir_str s, size_t at)
{
    if (at == 0)
        return true;
    if (align_is_space(s.p[at]) || ((unsigned char)s.p[at] & 0xC0) == 0x80)
        return false;
    bool is_line = s.p[at - 1] == '\n' && s.n - at <= LINES_MAX;
    return is_line || (s.n - at <= WORDS_MAX && align_is_boundary(s, at));
}

void align_begin(struct align *x, struct weir_str sent, enum align_how how)
{
    memset(x, 0, sizeof(*x));
    size_t n = sent.n;
    while (n && align_is_space(sent.p[n - 1]))
        n--;
    x->sent = (struct weir_str){ sent.p, n };
    x->tail = (struct weir_str){ sent.p + n, sent.n - n };
    x->how = how;
    x->is_spaced = true; /* white space before the first word means nothing */
    size_t from = n > LINES_MAX ? n - LINES_MAX : 0, cap = n - from + 1;
    x->alive = malloc((cap + 1) * sizeof(*x->alive));
    if (!x->alive)
        return;
    if (from)
        x->alive[x->n_alive++] = (struct align_reading){ 0, 0 };
    for (size_t i = from; i < n; i++)
        if (may_start(x->sent, i))
            x->alive[x->n_alive++] = (struct align_reading){ (uint32_t)i, (uint32_t)i };
}

void align_free(struct align *x)
{
    out_free(&x->held);
    free(x->alive);
    x->alive = NULL;
    x->n_alive = 0;
}

struct weir_str align_last_words(struct weir_str sent)
{
    enum { LEAST = 40, MOST = 240 };
    while (sent.n && align_is_space(sent.p[sent.n - 1]))
        sent.n--;
    size_t from = sent.n > MOST ? sent.n - MOST : 0, best = from;
    for (size_t i = from; i + LEAST < sent.n; i++)
        if (may_start(sent, i))
            best = i;
    while (best < sent.n && ((unsigned char)sent.p[best] & 0xC0) == 0x80)
        best++;
    return (struct weir_str){ sent.p + best, sent.n - best };
}

/* ---- reading ---- */

static void lose(struct align *x, const struct align_reading *r)
{
    uint32_t n = r->at - r->start;
    if (n > x->longest_lost && (r->start == 0 || x->how == ALIGN_ASKED))
        x->longest_lost = n;
}

static void complete(struct align *x, const struct align_reading *r, size_t end)
{
    x->n_whole++;
    if (x->whole.is_there && x->whole.start < r->start)
        return;
    x->whole.is_there = true;
    x->whole.start = r->start;
    x->whole.end = end;
}

/* What was sent has white space here, the continuation has one, too: a run each, however long. */
static bool step(const struct align *x, struct align_reading *r, char c)
{
    if (align_is_space(c)) {
        if (x->is_spaced)
            return true;
        if (!align_is_space(x->sent.p[r->at]))
            return false;
        while (align_is_space(x->sent.p[r->at]))
            r->at++; /* what was sent ends with none */
        return true;
    }
    if (x->sent.p[r->at] != c)
        return false;
    r->at++;
    return true;
}

static void read_byte(struct align *x, char c, size_t end)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->n_alive; i++) {
        struct align_reading *r = &x->alive[i];
        if (!step(x, r, c))
            lose(x, r);
        else if (r->at == x->sent.n)
            complete(x, r, end);
        else
            x->alive[kept++] = *r;
    }
    x->n_alive = kept;
    x->is_spaced = align_is_space(c);
}

static void read_held(struct align *x)
{
    struct weir_str held = out_bytes(&x->held);
    for (; x->n_alive && x->read < held.n; x->read++)
        read_byte(x, held.p[x->read], x->read + 1);
}

/* ---- where it is new ---- */

static enum align_state give_up(struct align *x, const char *why)
{
    x->why = why;
    return x->state = ALIGN_GAVE_UP;
}

static enum align_state goes_on(struct align *x, size_t from, struct weir_str *now)
{
    struct weir_str held = out_bytes(&x->held);
    *now = from < held.n ? (struct weir_str){ held.p + from, held.n - from } : WEIR_NONE;
    return x->state = ALIGN_GOES_ON;
}

static size_t spaces(struct weir_str s, size_t from)
{
    size_t n = 0;
    while (from + n < s.n && align_is_space(s.p[from + n]))
        n++;
    return n;
}

/* Behind `end` the continuation is new; but the white space there may have been sent, as `tail`. */
static enum align_state go_on_behind(struct align *x, size_t end, bool is_last, struct weir_str *now)
{
    struct weir_str held = out_bytes(&x->held);
    size_t n = spaces(held, end);
    if (!x->tail.n || !held.n)
        return goes_on(x, end, now);
    if (end + n == held.n && !is_last)
        return ALIGN_HOLDS;
    if (n >= x->tail.n && memcmp(held.p + end, x->tail.p, x->tail.n) == 0)
        return goes_on(x, end + x->tail.n, now);
    if (n == 0 && end < held.n && align_joins_words(x->sent, held, end))
        return give_up(x, "it has no white space where some was sent");
    bool is_line = memchr(held.p + end, '\n', n) != NULL, was_line = memchr(x->tail.p, '\n', x->tail.n) != NULL;
    return goes_on(x, is_line && !was_line ? end : end + n, now);
}

/* ---- deciding ---- */

static bool is_repeated_inside(struct weir_str words)
{
    for (size_t border = words.n / 2; border < words.n; border++)
        if (memcmp(words.p, words.p + words.n - border, border) == 0)
            return true;
    return false;
}

/* With one space for each run of white space. */
static void write_evenly(struct weir_out *to, struct weir_str s)
{
    char *p = out_reserve(to, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; p && i < s.n; i++) {
        bool is_space = align_is_space(s.p[i]);
        if (!is_space || (n && p[n - 1] != ' '))
            p[n++] = is_space ? ' ' : s.p[i];
    }
    to->n += n;
}

/* The same words once more before the last: which of them are repeated? */
static bool is_said_twice(const struct align *x, size_t start, size_t *evenly)
{
    struct weir_out all = { 0 };
    size_t n = x->sent.n - start, from = start > n + n ? start - n - n : 0;
    write_evenly(&all, (struct weir_str){ x->sent.p + from, start - from });
    size_t before = all.n && all.p[all.n - 1] == ' ' ? all.n - 1 : all.n, at = all.n;
    write_evenly(&all, (struct weir_str){ x->sent.p + start, n });
    struct weir_str words = { all.p + at, all.n - at };
    *evenly = words.n;
    bool is_before = before >= words.n && memcmp(all.p + before - words.n, words.p, words.n) == 0;
    bool is_twice = all.failed || is_before || is_repeated_inside(words);
    out_free(&all);
    return is_twice;
}

static enum align_state decide_repeated(struct align *x, bool is_last, struct weir_str *now)
{
    size_t n, least = x->whole.start == 0 ? SURE_TOP : SURE;
    bool is_twice = is_said_twice(x, x->whole.start, &n);
    if (n < (x->n_whole > 1 ? 2 * least : least))
        return give_up(x, "it begins with what may be the last word again, or the next");
    if (is_twice)
        return give_up(x, "what was sent repeats itself, so that it fits at several places");
    return go_on_behind(x, x->whole.end, is_last, now);
}

/* As far back as the continuation says the same as what was sent: from where on does it repeat? */
static size_t repeated_from(const struct align *x, struct weir_str held, size_t begin, size_t n)
{
    size_t at = begin, of = x->sent.n - n;
    while (at && of && (held.p[at - 1] == x->sent.p[of - 1] ||
                        (align_is_space(held.p[at - 1]) && align_is_space(x->sent.p[of - 1])))) {
        at--;
        of--;
    }
    while (at < begin && align_is_space(held.p[at]))
        at++;
    return at;
}

/* Does what stands before the last words look as if they were said again there, and are not the answer's next ones like them? A
 * preamble is short and ends; an answer that began anew began as this one did. */
static bool is_said_again(const struct align *x, struct weir_str held, size_t begin)
{
    struct weir_str top = { x->sent.p, x->sent.n < 2 * SURE ? x->sent.n : 2 * SURE };
    size_t at = begin, searched = 0, end;
    while (at && align_is_space(held.p[at - 1]))
        at--;
    if (begin <= PREAMBLE_LIKELY)
        return at == 0 || memchr(held.p + at, '\n', begin - at) || strchr(":.!`\"'*", held.p[at - 1]) || (held.p[at - 1] & 0x80);
    return align_search((struct weir_str){ held.p, PREAMBLE_LIKELY + top.n }, top, &searched, &end) > 0;
}

/* Looks for the last words behind a preamble, or behind an answer that began anew in other words. */
static enum align_state seek(struct align *x, bool is_last, struct weir_str *now)
{
    struct weir_str held = out_bytes(&x->held), words = align_unique_words(x->sent);
    size_t end = 0;
    int found = words.n ? align_search(held, words, &x->searched, &end) : 0;
    if (found > 0 && is_said_again(x, held, repeated_from(x, held, x->searched, words.n)))
        return go_on_behind(x, end, is_last, now);
    if (found > 0 || is_last || !words.n || held.n > x->sent.n + x->sent.n / 8 + PREAMBLE_MAX)
        return give_up(x, "it begins with something else and does not come back to the last words");
    return ALIGN_HOLDS;
}

/* Nothing of what was sent is said again: does it go on, or is it about something else first? */
static enum align_state decide_new(struct align *x, bool is_last, struct weir_str *now)
{
    struct weir_str held = out_bytes(&x->held);
    size_t first = spaces(held, 0);
    if (x->longest_lost >= (x->how == ALIGN_ASKED ? SURE : 2 * SURE))
        return seek(x, is_last, now);
    if (first == held.n && !is_last)
        return ALIGN_HOLDS;
    if (first == held.n)
        return x->how == ALIGN_ASKED ? give_up(x, "it says nothing") : go_on_behind(x, 0, true, now);
    struct align_joint joint = { x->sent, x->tail, held, first, x->how == ALIGN_ASKED, is_last };
    switch (align_judge(&joint)) {
    case JOINT_FITS:
        return x->how == ALIGN_PREFILLED ? go_on_behind(x, 0, is_last, now) : goes_on(x, 0, now);
    case JOINT_WAITS:
        return ALIGN_HOLDS;
    case JOINT_PREAMBLE:
        return seek(x, is_last, now);
    default:
        return give_up(x, "nothing tells whether a space belongs between it and what was sent");
    }
}

/* "))": a model that goes on from its own words does not begin with the last bracket again. */
static bool is_only_mark(const struct align *x)
{
    return x->how == ALIGN_PREFILLED && x->whole.start > 0 && x->sent.n - x->whole.start < SURE &&
           !align_has_word(out_bytes(&x->held), 0, x->whole.end);
}

/* Two complete readings: the shorter is the beginning of the longer, or a coincidence behind which the longer goes on. */
static enum align_state decide(struct align *x, bool is_last, struct weir_str *now)
{
    if (!x->alive || x->held.failed)
        return give_up(x, "memory is short");
    if (!x->sent.n)
        return go_on_behind(x, 0, is_last, now);
    read_held(x);
    if (x->n_alive && !is_last)
        return x->held.n > 2 * x->sent.n + PREAMBLE_MAX ? give_up(x, "it is only white space") : ALIGN_HOLDS;
    if (x->n_alive && x->read && x->alive[0].at - x->alive[0].start >= SURE)
        return give_up(x, "it ends in the middle of what was sent");
    if (x->whole.is_there && !is_only_mark(x))
        return decide_repeated(x, is_last, now);
    return decide_new(x, is_last, now);
}

enum align_state align_add(struct align *x, struct weir_str piece, struct weir_str *now)
{
    *now = WEIR_NONE;
    if (x->state == ALIGN_GOES_ON)
        *now = piece;
    if (x->state != ALIGN_HOLDS)
        return x->state;
    out_write(&x->held, piece);
    return piece.n ? decide(x, false, now) : ALIGN_HOLDS;
}

enum align_state align_end(struct align *x, struct weir_str *now)
{
    *now = WEIR_NONE;
    if (x->state == ALIGN_HOLDS)
        decide(x, true, now);
    return x->state;
}
