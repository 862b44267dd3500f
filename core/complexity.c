/* How hard a prompt looks, for rules that send easy ones to a cheap model: counts of a text's surface and a linear score of their
 * logarithms. Nothing is understood; a rule that knows its users' prompts does better.
 *
 * The weights were fitted by tests/complexity/measure.py on 1,984 prompts of which it is known whether a weak and a strong model
 * of 2023 answered them right. None is negative: more of anything never makes a prompt easier. What the data has not (history, tools,
 * images, other languages) is counted for rules, and has no weight. tests/complexity/README.md says what the score is worth: little.
 */
#include <math.h>
#include <string.h>

#include "complexity.h"
#include "text.h"

/* What is read of a text, so that a long one costs no more than some: about 1,400 words. */
enum { TEXT_MAX = 8 * 1024, WORD_MAX = 10 };

enum word_kind { WORD_PLAIN, WORD_CONDITION, WORD_NEGATION, WORD_QUANTITY };

/* Sorted. */
static const struct known_word {
    char text[WORD_MAX];
    enum word_kind kind;
} known_words[] = {
    { "all", WORD_QUANTITY }, { "any", WORD_QUANTITY }, { "assume", WORD_CONDITION }, { "average", WORD_QUANTITY },
    { "because", WORD_CONDITION }, { "cannot", WORD_NEGATION }, { "each", WORD_QUANTITY }, { "every", WORD_QUANTITY },
    { "except", WORD_NEGATION }, { "false", WORD_NEGATION }, { "given", WORD_CONDITION }, { "half", WORD_QUANTITY },
    { "hence", WORD_CONDITION }, { "if", WORD_CONDITION }, { "incorrect", WORD_NEGATION }, { "least", WORD_NEGATION },
    { "less", WORD_QUANTITY }, { "let", WORD_CONDITION }, { "many", WORD_QUANTITY }, { "more", WORD_QUANTITY },
    { "much", WORD_QUANTITY }, { "neither", WORD_NEGATION }, { "never", WORD_NEGATION }, { "no", WORD_NEGATION },
    { "nor", WORD_NEGATION }, { "not", WORD_NEGATION }, { "per", WORD_QUANTITY }, { "percent", WORD_QUANTITY },
    { "remaining", WORD_QUANTITY }, { "some", WORD_QUANTITY }, { "suppose", WORD_CONDITION },
    { "than", WORD_QUANTITY }, { "then", WORD_CONDITION }, { "therefore", WORD_CONDITION },
    { "thus", WORD_CONDITION }, { "times", WORD_QUANTITY }, { "total", WORD_QUANTITY }, { "twice", WORD_QUANTITY },
    { "unless", WORD_CONDITION }, { "when", WORD_CONDITION }, { "without", WORD_NEGATION },
};
enum { KNOWN_WORDS = sizeof(known_words) / sizeof(known_words[0]) };

/* ---- counting ---- */

static enum word_kind kind_of(const char *word, size_t n)
{
    char low[WORD_MAX] = { 0 };
    if (n < 2 || n >= WORD_MAX)
        return WORD_PLAIN;
    for (size_t i = 0; i < n; i++)
        low[i] = (char)(word[i] | 0x20);
    for (size_t from = 0, to = KNOWN_WORDS; from < to;) {
        size_t middle = (from + to) / 2;
        int order = memcmp(low, known_words[middle].text, WORD_MAX);
        if (order == 0)
            return known_words[middle].kind;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return WORD_PLAIN;
}

static void count_word(const char *word, size_t n, struct weir_complexity *out)
{
    out->words++;
    switch (kind_of(word, n)) {
    case WORD_CONDITION: out->conditions++; break;
    case WORD_NEGATION: out->negations++; break;
    case WORD_QUANTITY: out->quantities++; break;
    case WORD_PLAIN: break;
    }
}

enum byte_kind { BYTE_OTHER, BYTE_LETTER, BYTE_DIGIT, BYTE_STOP, BYTE_MATHS, BYTE_CODE };

/* Bytes of other scripts are letters: their words are counted where they are parted by blanks. */
static enum byte_kind byte_kind(unsigned char c)
{
    unsigned char low = c | 0x20;
    if ((low >= 'a' && low <= 'z') || c >= 0x80 || c == '\'')
        return BYTE_LETTER;
    if (c >= '0' && c <= '9')
        return BYTE_DIGIT;
    if (c == '.' || c == '!' || c == '?')
        return BYTE_STOP;
    if (c && strchr("=+*/^<>%$|\\~", c))
        return BYTE_MATHS;
    return c && strchr("{}[]();_`#", c) ? BYTE_CODE : BYTE_OTHER;
}

static size_t run_of(const char *p, size_t n, enum byte_kind kind)
{
    size_t i = 1;
    while (i < n && byte_kind((unsigned char)p[i]) == kind)
        i++;
    return i;
}

/* 1,000.5 is one number: a stop or comma between digits belongs to it. */
static size_t number_at(const char *p, size_t n)
{
    size_t i = run_of(p, n, BYTE_DIGIT);
    while (i + 1 < n && (p[i] == '.' || p[i] == ',') && byte_kind((unsigned char)p[i + 1]) == BYTE_DIGIT)
        i += 1 + run_of(p + i + 1, n - i - 1, BYTE_DIGIT);
    return i;
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

void complexity_count(struct weir_str text, struct weir_complexity *out)
{
    const char *p = text.p;
    size_t n = text.n < TEXT_MAX ? text.n : TEXT_MAX, taken = 1;
    for (size_t i = 0; i < n; i += taken) {
        enum byte_kind kind = byte_kind((unsigned char)p[i]);
        taken = 1;
        if (kind == BYTE_LETTER) {
            taken = run_of(p + i, n - i, BYTE_LETTER);
            count_word(p + i, taken, out);
        } else if (kind == BYTE_DIGIT) {
            taken = number_at(p + i, n - i);
            out->numbers++;
        } else if (kind == BYTE_STOP) {
            out->sentences += i + 1 == n || is_blank(p[i + 1]);
            out->questions += p[i] == '?';
        } else {
            out->maths += kind == BYTE_MATHS;
            out->code += kind == BYTE_CODE;
        }
    }
}

/* ---- the score ---- */

/* Of the logarithms of counts; tests/complexity/measure.py --fit prints this line. */
static const struct {
    double bias, words, sentences, numbers, maths, code, conditions, negations, quantities;
} weight = { -2.081, 0.2275, 0, 0.3936, 0.0815, 0, 0.6545, 0, 0.9114 };

double complexity_score(const struct weir_complexity *c)
{
    double sum = weight.bias + weight.words * log1p(c->words) + weight.sentences * log1p(c->sentences) +
                 weight.numbers * log1p(c->numbers) + weight.maths * log1p(c->maths) + weight.code * log1p(c->code) +
                 weight.conditions * log1p(c->conditions) + weight.negations * log1p(c->negations) +
                 weight.quantities * log1p(c->quantities);
    return 1 / (1 + exp(-sum));
}

/* ---- of a conversation ---- */

/* Where the inside of a JSON string may be cut: at TEXT_MAX or just behind it, never inside an escape. */
static uint32_t escaped_cut(const struct weir_text *t)
{
    uint32_t i = 0;
    while (i < TEXT_MAX)
        i += t->p[i] != '\\' ? 1 : t->p[i + 1] == 'u' ? 6 : 2;
    return i;
}

static struct weir_str beginning(struct arena *a, const struct weir_text *t)
{
    struct weir_text begin = *t;
    if (begin.n > TEXT_MAX)
        begin.n = begin.form == WEIR_TEXT_ESCAPED ? escaped_cut(t) : TEXT_MAX;
    return text_decode(a, &begin);
}

static void count_message(const struct weir_message *m, struct arena *a, struct weir_complexity *out)
{
    for (const struct weir_part *p = m->parts; p; p = p->next) {
        if (p->kind == WEIR_PART_TEXT && out->words < TEXT_MAX / 4)
            complexity_count(beginning(a, &p->text), out);
        out->images += p->kind == WEIR_PART_IMAGE;
    }
}

static bool has_text(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TEXT && p->text.n)
            return true;
    return false;
}

void complexity_of(const struct conversation *c, struct arena *a, struct weir_complexity *out)
{
    const struct weir_message *asked = NULL;
    for (const struct weir_message *m = c->view.messages; m; m = m->next) {
        out->turns += m->role == WEIR_ROLE_USER;
        if (m->role == WEIR_ROLE_USER && has_text(m))
            asked = m;
    }
    for (const struct weir_tool *t = c->view.tools; t; t = t->next)
        out->tools++;
    if (asked)
        count_message(asked, a, out);
    out->score = asked ? complexity_score(out) : 0;
}
