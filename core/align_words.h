/* What the aligner knows of words: where they begin, whether a space belongs between two, and how models begin when they were asked
 * to go on and speak of that first.
 */
#ifndef WEIR_CORE_ALIGN_WORDS_H
#define WEIR_CORE_ALIGN_WORDS_H

#include <weir/base.h>

static inline bool align_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* May a word begin at this byte? (In scripts without spaces: everywhere.) */
bool align_is_boundary(struct weir_str s, size_t at);
bool align_has_word(struct weir_str s, size_t from, size_t to);
/* Would the last word of `sent` and the one at `held`[at] become one? */
bool align_joins_words(struct weir_str sent, struct weir_str held, size_t at);

/* The shortest end of a text, of 32 bytes or more, that stands in it only once; "": there is none of at most 256. */
struct weir_str align_unique_words(struct weir_str sent);
/* Finds the words, runs of white space counting as one: 1, *searched where they begin and *end behind them; or 0. *searched: so
 * far no more has to be looked. */
int align_search(struct weir_str text, struct weir_str words, size_t *searched, size_t *end);

/* The place where a continuation that repeats nothing meets what was sent. */
struct align_joint {
    struct weir_str sent, tail, held; /* tail: the white space at the end of what was sent */
    size_t first; /* of `held` that is no white space */
    bool is_asked, is_last;
};
enum align_verdict { JOINT_FITS, JOINT_WAITS, JOINT_PREAMBLE, JOINT_DOUBT };
enum align_verdict align_judge(const struct align_joint *j);

#endif
