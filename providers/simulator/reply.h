/* What the simulated model says: thoughts, words or tool calls, and what it cost. In no dialect. */
#ifndef SIMULATOR_REPLY_H
#define SIMULATOR_REPLY_H

#include "ask.h"
#include "knobs.h"
#include "words.h"

enum reply_finish { REPLY_STOP = 1, REPLY_STOP_SEQUENCE, REPLY_LENGTH, REPLY_CALLS, REPLY_FILTER, REPLY_REFUSAL };

struct reply_call {
    char id[32]; /* without the dialect's prefix */
    struct buf name;
    struct pieces arguments;
};

struct reply {
    struct pieces thoughts, text;
    struct reply_call calls[KNOB_CALLS_MAX];
    uint32_t n_calls;
    enum reply_finish finish;
    const char *native_finish; /* a finish that the caller asked for by its own word; NULL: none */
    struct span stop; /* STOP_SEQUENCE: which */
    int64_t tokens_out, tokens_thinking;
};

/* What is the same for all choices of one answer. */
struct reply_head {
    char id[32];
    struct buf model; /* without knobs */
    int64_t created_s;
    int64_t tokens_in, tokens_cached, tokens_out, tokens_thinking;
};

enum { REPLY_CHOICES_MAX = 8 };

void reply_make(struct reply *r, const struct ask *a, const struct knobs *k, uint32_t choice);
void reply_free(struct reply *r);
void reply_head_make(struct reply_head *h, const struct ask *a, const struct knobs *k, int64_t now_ms, uint64_t serial);

#endif
