/* Plausible text: the same question gets the same answer, in words that mention it. */
#ifndef SIMULATOR_WORDS_H
#define SIMULATOR_WORDS_H

#include "buf.h"

#include <stdint.h>

/* A text in pieces, as a model's tokens come: each but the first begins with its space. */
struct pieces {
    struct buf bytes;
    size_t *ends; /* owned; offset behind each piece */
    size_t n, capacity;
};

struct dice {
    uint64_t state;
};

struct dice dice_from(const char *p, size_t n, uint64_t salt);
uint32_t dice_roll(struct dice *d, uint32_t sides);

void pieces_end(struct pieces *p); /* what was added to bytes since the last end is one piece */
void pieces_cut(struct pieces *p, const char *text, size_t n); /* one piece for each word of a text */
void pieces_free(struct pieces *p);
const char *pieces_at(const struct pieces *p, size_t i, size_t *n);

/* At most n words about `question`. is_accented: every word has a character of two bytes. */
void words_answer(struct pieces *out, struct dice *d, const char *question, size_t question_n, size_t n,
                  bool is_accented);
void words_thought(struct pieces *out, struct dice *d, const char *question, size_t question_n, size_t n);
const char *words_noun(struct dice *d);

#endif
