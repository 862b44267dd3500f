/* Mid-stream rescue: a stream that broke after its client had seen part of it is finished by another attempt.
 *
 * The elected attempt stays the answer: its stages, grammar, ids and client encoder go on. The attempt that finishes it (its
 * `rescues` is the answer) only supplies: what its codec emits is joined to what was said and goes on as the answer's. Rooms:
 * rescue.c (whether, who, and what is told of tokens), rescue_ask.c (how it is asked), rescue_join.c (joining).
 */
#ifndef WEIR_CORE_RESCUE_H
#define WEIR_CORE_RESCUE_H

#include "align.h"
#include "pipeline.h"
#include "transcript.h"

enum rescue_what {
    RESCUE_FROM_TOP, /* nothing but thoughts was seen */
    RESCUE_TEXT,
    RESCUE_JSON, /* a text that is one document */
    RESCUE_CALLS, /* tool calls, the last of them perhaps in half */
};

enum block_fate {
    FATE_DROP,
    FATE_JOIN, /* goes on with the text that was sent */
    FATE_CALL, /* may be one of the calls that were sent */
    FATE_PASS, /* is new */
};

struct joined_block { /* of the attempt that finishes */
    struct joined_block *next;
    uint32_t block;
    uint32_t to; /* the answer's block */
    enum block_fate fate;
    bool is_begun; /* its BLOCK_START left, or it was there */
    struct weir_str id, name;
    struct weir_out whole; /* CALL, and JSON: until it can be joined */
};

/* What an attempt that finishes an answer knows beside what every attempt does. In its arena. */
struct rescuer {
    enum rescue_what what;
    enum align_how how;
    bool was_refused; /* the prefill */
    bool has_text;    /* the first block of text was joined */
    bool has_finished;
    struct weir_str sent; /* the text */
    struct align align;
    struct joined_block *blocks;
    struct transcript_block *next_call; /* of the answer: the first that has not come again */
    size_t n, n_joined; /* bytes that it said; that the client had from it */
    size_t n_asked;     /* bytes that were added to the request */
};

void rescuer_free(struct rescuer *r); /* what is not in the arena */
/* What the client is told of tokens, by what the attempt that finishes says of its own. */
struct weir_usage rescue_usage(const struct attempt *b);

#endif
