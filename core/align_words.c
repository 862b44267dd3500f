/* Words, for the aligner. Scripts that put spaces between words and those that don't are told apart by ranges of Unicode, roughly;
 * the beginnings of preambles are a list. Both err on the side of doubt, which costs a rescue and never a wrong answer.
 */
#include "align_words.h"

#include <string.h>
#include <strings.h>

enum { UNIQUE_LEAST = 32, UNIQUE_MOST = 256, LINE_MAX_BYTES = 160 };

/* ---- characters ---- */

static uint32_t char_at(struct weir_str s, size_t at)
{
    unsigned char c = (unsigned char)s.p[at];
    if (c < 0x80)
        return c;
    uint32_t n = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1, u = c & (0x3Fu >> n);
    for (uint32_t i = 1; i <= n && at + i < s.n; i++)
        u = u << 6 | ((unsigned char)s.p[at + i] & 0x3Fu);
    return u;
}

static size_t last_char(struct weir_str s)
{
    size_t at = s.n - 1;
    while (at && ((unsigned char)s.p[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static bool is_between(uint32_t u, uint32_t from, uint32_t to)
{
    return u >= from && u <= to;
}

/* Letters and digits of scripts that put spaces between words. */
static bool is_word(uint32_t u)
{
    if (u < 0x80)
        return is_between(u | 32, 'a', 'z') || is_between(u, '0', '9') || u == '_';
    bool has_no_spaces = is_between(u, 0xE00, 0xEFF) || is_between(u, 0x1000, 0x109F) || is_between(u, 0x1780, 0x17FF);
    return (is_between(u, 0xC0, 0x1FFF) && !has_no_spaces) || is_between(u, 0xAC00, 0xD7A3);
}

/* Of a script without them. */
static bool is_unspaced(uint32_t u)
{
    return u >= 0xE00 && !is_word(u) && !is_between(u, 0x2000, 0x2E7F);
}

bool align_is_boundary(struct weir_str s, size_t at)
{
    if (at == 0 || at >= s.n)
        return true;
    struct weir_str before = { s.p, at };
    return !is_word(char_at(s, last_char(before))) || !is_word(char_at(s, at));
}

bool align_has_word(struct weir_str s, size_t from, size_t to)
{
    for (size_t i = from; i < to && i < s.n; i++)
        if ((s.p[i] & 0x80) || is_word((unsigned char)s.p[i]))
            return true;
    return false;
}

bool align_joins_words(struct weir_str sent, struct weir_str held, size_t at)
{
    return sent.n && at < held.n && is_word(char_at(sent, last_char(sent))) && is_word(char_at(held, at));
}

/* Bytes that its last character lacks. */
static uint32_t lacks_bytes(struct weir_str s)
{
    if (!s.n)
        return 0;
    size_t at = last_char(s);
    unsigned char c = (unsigned char)s.p[at];
    uint32_t wanted = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return s.n - at < wanted ? wanted - (uint32_t)(s.n - at) : 0;
}

/* ---- the last words, somewhere ---- */

struct weir_str align_unique_words(struct weir_str s)
{
    size_t most = s.n < UNIQUE_MOST ? s.n : UNIQUE_MOST;
    for (size_t n = UNIQUE_LEAST; n <= most; n++) {
        const char *words = s.p + s.n - n;
        bool may = !align_is_space(*words) && align_is_boundary(s, s.n - n) && ((unsigned char)*words & 0xC0) != 0x80;
        if (may && memmem(s.p, s.n, words, n) == words)
            return (struct weir_str){ words, n };
    }
    return WEIR_NONE;
}

/* How many bytes of the text are these words; 0: it is something else; -1: they are not over yet. */
static int64_t match(struct weir_str text, size_t from, struct weir_str words)
{
    size_t at = from, i = 0;
    while (i < words.n && at < text.n) {
        bool is_space = align_is_space(words.p[i]);
        if (is_space != align_is_space(text.p[at]) || (!is_space && words.p[i] != text.p[at]))
            return 0;
        i++;
        at++;
        while (is_space && i < words.n && align_is_space(words.p[i]))
            i++;
        while (is_space && at < text.n && align_is_space(text.p[at]))
            at++;
    }
    return i == words.n ? (int64_t)(at - from) : -1;
}

int align_search(struct weir_str text, struct weir_str words, size_t *searched, size_t *end)
{
    *end = 0;
    for (size_t at = *searched; at < text.n; at++) {
        int64_t n = match(text, at, words);
        *searched = at;
        if (n > 0) {
            *end = at + (size_t)n;
            return 1;
        }
        if (n < 0)
            return 0;
    }
    *searched = text.n;
    return 0;
}

/* ---- preambles ---- */

struct opener {
    const char *words;
    bool is_weak; /* an answer may begin so, too: the rest of the line tells */
};
static const struct opener openers[] = {
    { "sure", false },        { "certainly", false },  { "of course", false },   { "okay", false },      { "ok", false },
    { "alright", false },     { "absolutely", false }, { "understood", false },  { "got it", false },    { "no problem", false },
    { "sorry", false },       { "apolog", false },     { "my apolog", false },   { "continuing", false }, { "continued", false },
    { "i apolog", false },    { "i'm sorry", false },  { "i am sorry", false },  { "resuming", false },  { "picking up", false },
    { "gladly", false },      { "natürlich", false },  { "gerne", false },       { "klar", false },      { "entschuldig", false },
    { "bien sûr", false },    { "désolé", false },     { "claro", false },       { "por supuesto", false }, { "...", false },
    { "…", false },           { "here", true },        { "i'll", true },         { "i will", true },     { "let me", true },
    { "let's", true },        { "the rest", true },    { "the remain", true },   { "the continuation", true }, { "as requested", true },
    { "thank", true },        { "yes", true },         { "hier", true },         { "weiter", true },     { "voici", true },
    { "aquí", true },         { "this is", true },     { "below", true },        { "great", true },      { "hello", true },
    { "hi", true },           { "i see", true },       { "i understand", true }, { "my ", true },        { "you", true },
};
static const char *const meta_words[] = { "continu", "rest of", "left off", "cut off", "remain", "interrupt", "where ", "previous",
                                          "resum",   "message", "answer", "weiter",    "suite",   "resto",   "fortsetz" };

static bool begins(struct weir_str s, const char *words, size_t n)
{
    return s.n >= n && strncasecmp(s.p, words, n) == 0;
}

static bool has_meta_word(struct weir_str line)
{
    while (line.n && align_is_space(line.p[line.n - 1]))
        line.n--;
    if (line.n && line.p[line.n - 1] == ':')
        return true;
    for (size_t at = 0; at < line.n; at++)
        for (size_t i = 0; i < sizeof(meta_words) / sizeof(*meta_words); i++)
            if (begins((struct weir_str){ line.p + at, line.n - at }, meta_words[i], strlen(meta_words[i])))
                return true;
    return false;
}

static enum align_verdict judge_line(struct weir_str s, bool is_last)
{
    const char *end = memchr(s.p, '\n', s.n);
    if (!end && s.n < LINE_MAX_BYTES && !is_last)
        return JOINT_WAITS;
    size_t n = end ? (size_t)(end - s.p) : s.n;
    return has_meta_word((struct weir_str){ s.p, n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES }) ? JOINT_PREAMBLE : JOINT_FITS;
}

/* "sure that" goes on; "Sure" and "sure, " begin something. */
static enum align_verdict judge_opener(const struct opener *o, struct weir_str s, bool is_last)
{
    size_t n = strlen(o->words);
    bool is_lower = s.p[0] >= 'a' && s.p[0] <= 'z';
    if (s.n == n && !is_last)
        return JOINT_WAITS;
    bool is_longer = s.n > n && o->words[n - 1] >= 'a' && s.p[n] >= 'a' && s.p[n] <= 'z' && n < 5;
    if (is_longer || (is_lower && (s.n == n || !strchr(",!:", s.p[n]))))
        return JOINT_FITS;
    return o->is_weak ? judge_line(s, is_last) : JOINT_PREAMBLE;
}

static enum align_verdict judge_beginning(struct weir_str s, bool is_last)
{
    enum align_verdict worst = JOINT_FITS;
    for (size_t i = 0; i < sizeof(openers) / sizeof(*openers); i++) {
        size_t n = strlen(openers[i].words);
        enum align_verdict v = JOINT_FITS;
        if (begins(s, openers[i].words, n))
            v = judge_opener(&openers[i], s, is_last);
        else if (s.n < n && !is_last && begins(s, openers[i].words, s.n))
            v = JOINT_WAITS;
        if (v == JOINT_PREAMBLE || (v == JOINT_WAITS && worst == JOINT_FITS))
            worst = v;
    }
    return worst;
}

/* ---- the joint ---- */

/* One on a line of its own may be the answer's, where the model has that line's beginning from itself. */
static enum align_verdict judge_fence(const struct align_joint *j, struct weir_str s)
{
    if (s.p[0] != '`' || (!j->is_asked && memchr(j->held.p, '\n', j->first)))
        return JOINT_FITS;
    if (s.n < 3 && !j->is_last)
        return JOINT_WAITS;
    return begins(s, "```", 3) ? JOINT_PREAMBLE : JOINT_FITS; /* one opened again, or closed? */
}

/* Would white space of the answer be missing here, if the continuation had left it out? */
static bool may_lack_space(const struct align_joint *j)
{
    uint32_t a = char_at(j->sent, last_char(j->sent)), b = char_at(j->held, 0);
    if (is_unspaced(a) && is_unspaced(b))
        return false;
    bool is_stop = b == ',' || b == ';' || b == '.';
    return !(is_stop && is_word(a));
}

static bool is_indented(struct weir_str sent)
{
    const char *line = memrchr(sent.p, '\n', sent.n);
    return strchr("{:([,", sent.p[sent.n - 1]) || (line && align_is_space(line[1]));
}

/* A line has ended: an empty one, or an indentation, may have been to follow. */
static bool may_lack_lines(const struct align_joint *j)
{
    const char *line = memchr(j->tail.p, '\n', j->tail.n);
    if (!line)
        return false;
    bool is_paragraph = j->tail.n == 2 && line[1] == '\n';
    return !is_paragraph || is_indented(j->sent);
}

/* Some begin with an empty line, whatever stood before: where a word or a sentence may go on, that is no answer's. */
static bool may_be_empty_line(const struct align_joint *j)
{
    uint32_t a = char_at(j->sent, last_char(j->sent)), b = char_at(j->held, j->first);
    bool has_ended = a < 0x80 && strchr(".!?:;>`*)]}", (int)a);
    bool may_go_on = !has_ended || is_between(b, 'a', 'z') || is_between(b, '0', '9') || is_unspaced(b) ||
                     b >= 0x80 || strchr(",.;:)]}!?\"'", (int)b);
    return memchr(j->held.p, '\n', j->first) && may_go_on;
}

static enum align_verdict judge_space(const struct align_joint *j)
{
    bool before = j->tail.n > 0, behind = j->first > 0;
    if (before && behind)
        return JOINT_DOUBT;
    if (behind)
        return may_be_empty_line(j) ? JOINT_DOUBT : JOINT_FITS;
    return (before ? may_lack_lines(j) : may_lack_space(j)) ? JOINT_DOUBT : JOINT_FITS;
}

enum align_verdict align_judge(const struct align_joint *j)
{
    struct weir_str s = { j->held.p + j->first, j->held.n - j->first };
    uint32_t lacks = j->tail.n ? 0 : lacks_bytes(j->sent);
    bool is_inside = ((unsigned char)j->held.p[0] & 0xC0) == 0x80;
    if (lacks || is_inside)
        return lacks && is_inside ? JOINT_FITS : JOINT_DOUBT;
    if (lacks_bytes(s) == s.n && !j->is_last)
        return JOINT_WAITS;
    enum align_verdict v = judge_fence(j, s);
    if (v == JOINT_FITS)
        v = judge_beginning(s, j->is_last);
    return v == JOINT_FITS && j->is_asked ? judge_space(j) : v;
}
