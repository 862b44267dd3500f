/* The simulator's vocabulary. Sentences are drawn from patterns by a small generator that is seeded with the question,
 * so tests and demonstrations repeat; no clock and no source of chance is involved. */
#include "words.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const openings[] = {
    "You asked: “%s”. Here is a short answer.",
    "Good question – “%s” has a simple core and some interesting edges.",
    "Let us look at “%s” step by step.",
    "In short, “%s” comes down to three points.",
};

/* %n a noun, %v a verb, %a an adjective, %t the question's own longest words. */
static const char *const sentences[] = {
    "The %a %n %v the %n before it reaches the %t.",
    "First, %t %v a %n, so the %n stays %a.",
    "A %n without a %n is rarely %a, and %t shows why.",
    "If the %n %v too early, the %n waits and nothing is lost.",
    "Most people compare %t with a %a %n; that is a fair start.",
    "In practice the %n matters more than the %n.",
    "Keep the %n %a, and see how the %n %v what remains.",
    "Note that %t and the %n are not the same %n.",
    "Each %n carries its own %n, which keeps the whole %a.",
    "That is why a %a %n beats a %n that nobody %v.",
};

static const char *const thoughts[] = {
    "The caller wants to know about %t.",
    "What matters first is the %n, then the %n.",
    "I should keep the answer %a and name one %n.",
    "A %a %n is a good example here.",
};

static const char *const nouns[] = { "stream", "request", "answer", "river",    "bridge",  "token",   "signal",
                                     "garden", "window",  "engine", "letter",   "harbour", "pattern", "library",
                                     "market", "compass", "queue",  "contract", "lantern", "orchard" };
static const char *const verbs[] = { "follows",  "carries",  "shapes", "meets",   "answers",
                                     "measures", "balances", "renews", "crosses", "holds" };
static const char *const adjectives[] = { "steady",  "clear", "small", "patient",  "bright",
                                          "careful", "open",  "quiet", "reliable", "simple" };

#define COUNT(list) ((uint32_t)(sizeof(list) / sizeof((list)[0])))

struct dice dice_from(const char *p, size_t n, uint64_t salt)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ salt;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    return (struct dice){ hash ? hash : 1 };
}

uint32_t dice_roll(struct dice *d, uint32_t sides)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return (uint32_t)(d->state >> 32) % sides;
}

const char *words_noun(struct dice *d)
{
    return nouns[dice_roll(d, COUNT(nouns))];
}

void pieces_end(struct pieces *p)
{
    size_t from = p->n ? p->ends[p->n - 1] : 0;
    if (p->bytes.failed || p->bytes.n == from)
        return;
    if (p->n == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 64;
        size_t *ends = realloc(p->ends, capacity * sizeof(*ends));
        if (!ends) {
            p->bytes.failed = true;
            return;
        }
        p->ends = ends;
        p->capacity = capacity;
    }
    p->ends[p->n++] = p->bytes.n;
}

void pieces_free(struct pieces *p)
{
    buf_free(&p->bytes);
    free(p->ends);
    *p = (struct pieces){ 0 };
}

const char *pieces_at(const struct pieces *p, size_t i, size_t *n)
{
    size_t from = i ? p->ends[i - 1] : 0;
    *n = p->ends[i] - from;
    return p->bytes.p + from;
}

void pieces_cut(struct pieces *p, const char *text, size_t n)
{
    size_t from = 0;
    for (size_t i = 1; i < n; i++) {
        if (text[i] != ' ')
            continue;
        buf_add(&p->bytes, text + from, i - from);
        pieces_end(p);
        from = i;
    }
    buf_add(&p->bytes, text + from, n - from);
    pieces_end(p);
}

/* ---- the question's own words ---- */

struct topic {
    char words[3][32];
    uint32_t n;
};

static bool is_letter(unsigned char c)
{
    return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void topic_add(struct topic *t, const char *p, size_t n)
{
    uint32_t slot = t->n < 3 ? t->n : 0;
    for (uint32_t i = 0; i < t->n; i++)
        if (strlen(t->words[i]) == n && memcmp(t->words[i], p, n) == 0)
            return;
    for (uint32_t i = 1; t->n == 3 && i < 3; i++)
        if (strlen(t->words[i]) < strlen(t->words[slot]))
            slot = i;
    if (t->n == 3 && strlen(t->words[slot]) >= n)
        return;
    memcpy(t->words[slot], p, n);
    t->words[slot][n] = '\0';
    if (t->n < 3)
        t->n++;
}

static struct topic topic_of(const char *p, size_t n)
{
    struct topic t = { 0 };
    size_t from = 0;
    n = n < 4096 ? n : 4096;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && is_letter((unsigned char)p[i]))
            continue;
        if (i - from >= 5 && i - from < sizeof(t.words[0]) && i < n)
            topic_add(&t, p + from, i - from);
        from = i + 1;
    }
    if (t.n == 0)
        topic_add(&t, "this", 4);
    return t;
}

/* ---- sentences ---- */

static const char *word_for(char mark, struct dice *d, const struct topic *t)
{
    if (mark == 'n')
        return nouns[dice_roll(d, COUNT(nouns))];
    if (mark == 'v')
        return verbs[dice_roll(d, COUNT(verbs))];
    return mark == 'a' ? adjectives[dice_roll(d, COUNT(adjectives))] : t->words[dice_roll(d, t->n)];
}

static void write_sentence(struct buf *b, const char *pattern, struct dice *d, const struct topic *t)
{
    for (; *pattern; pattern++)
        if (*pattern == '%' && pattern[1])
            buf_str(b, word_for(*++pattern, d, t));
        else
            buf_char(b, *pattern);
}

/* As much of the question's first line as fits, cut between characters and without control characters. */
static void quote(char *out, size_t size, const char *question, size_t n)
{
    size_t length = 0, room = size - 4;
    while (length < n && length < room && (unsigned char)question[length] >= 0x20)
        length++;
    bool is_cut = length < n && length == room;
    while (is_cut && length > 0 && ((unsigned char)question[length] & 0xC0) == 0x80)
        length--;
    memcpy(out, question, length);
    memcpy(out + length, is_cut ? "…" : "", is_cut ? 4 : 1);
}

static void write_opening(struct buf *b, struct dice *d, const char *question, size_t question_n)
{
    char quoted[84];
    quote(quoted, sizeof(quoted), question, question_n);
    const char *pattern = openings[dice_roll(d, COUNT(openings))];
    const char *mark = strstr(pattern, "%s");
    buf_add(b, pattern, (size_t)(mark - pattern));
    buf_str(b, quoted);
    buf_str(b, mark + 2);
}

static size_t count_words(const struct buf *b)
{
    size_t n = b->n ? 1 : 0;
    for (size_t i = 1; i < b->n; i++)
        n += b->p[i] == ' ';
    return n;
}

/* The first n words of text become pieces. */
static void take_words(struct pieces *out, const struct buf *text, size_t n)
{
    size_t end = 0, words = 0;
    for (size_t i = 1; i <= text->n && words < n; i++)
        if (i == text->n || text->p[i] == ' ') {
            words++;
            end = i;
        }
    if (end)
        pieces_cut(out, text->p, end);
}

static void accent(struct buf *b)
{
    struct buf accented = { 0 };
    for (size_t i = 0; i < b->n; i++)
        if (b->p[i] == 'e' || b->p[i] == 'a')
            buf_str(&accented, b->p[i] == 'e' ? "é" : "ä");
        else
            buf_char(&accented, b->p[i]);
    buf_free(b);
    *b = accented;
}

static void write_text(struct buf *b, struct dice *d, const char *const *patterns, uint32_t n_patterns,
                       const struct topic *t, size_t n)
{
    for (size_t have = count_words(b); have < n && !b->failed;) {
        size_t before = b->n;
        if (before)
            buf_char(b, ' ');
        write_sentence(b, patterns[dice_roll(d, n_patterns)], d, t);
        struct buf added = { .p = b->p + before, .n = b->n - before };
        have += added.n && before ? count_words(&added) - 1 : count_words(&added);
    }
}

void words_answer(struct pieces *out, struct dice *d, const char *question, size_t question_n, size_t n,
                  bool is_accented)
{
    struct buf text = { 0 };
    struct topic t = topic_of(question, question_n);
    if (question_n)
        write_opening(&text, d, question, question_n);
    write_text(&text, d, sentences, COUNT(sentences), &t, n);
    if (is_accented)
        accent(&text);
    take_words(out, &text, n);
    out->bytes.failed |= text.failed;
    buf_free(&text);
}

void words_thought(struct pieces *out, struct dice *d, const char *question, size_t question_n, size_t n)
{
    struct buf text = { 0 };
    struct topic t = topic_of(question, question_n);
    write_text(&text, d, thoughts, COUNT(thoughts), &t, n);
    take_words(out, &text, n);
    out->bytes.failed |= text.failed;
    buf_free(&text);
}
