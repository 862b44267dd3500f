/* What a provider has said so far of an answer that may have to be finished by another: kept only where that is possible, and only
 * up to a bound. The attempt owns it; its growing texts are given back by transcript_free(), the rest is the attempt's arena's.
 */
#ifndef WEIR_CORE_TRANSCRIPT_H
#define WEIR_CORE_TRANSCRIPT_H

#include <weir/event.h>

#include "arena.h"
#include "json.h"

enum { TRANSCRIPT_BYTES_MAX = 512 * 1024, TRANSCRIPT_BLOCKS_MAX = 128 };

struct transcript_block {
    struct transcript_block *next;
    uint32_t block;
    uint16_t kind; /* TEXT, THINKING or TOOL_CALL */
    bool is_open;
    struct weir_str id, name;
    struct weir_out text; /* of thinking: nothing */
    size_t n;             /* bytes that it got … */
    uint32_t n_pieces;    /* … in so many events */
    /* What went out as it came: the client has it, its encoder doesn't know of it. */
    size_t relayed;
    uint32_t pieces_relayed;
    bool start_relayed, stop_relayed;
};

struct transcript {
    struct arena *arena;
    struct weir_str id, model;
    int64_t created_s;
    struct transcript_block *first, *last;
    uint32_t n_blocks, next_block;
    size_t n; /* bytes of all blocks */
    int64_t input; /* tokens, as the provider said them; -1: it did not */
    bool is_beyond;   /* it says what nobody else can go on with, or too much */
    bool is_finished; /* FINISH came: */
    bool finish_relayed;
    uint16_t finish;
    struct weir_str finish_name;
};

struct transcript *transcript_new(struct arena *a, const struct weir_event *start);
void transcript_add(struct transcript *t, const struct weir_event *e);
/* All that was added so far was relayed. */
void transcript_relayed(struct transcript *t);
void transcript_free(struct transcript *t);
struct transcript_block *transcript_find(struct transcript *t, uint32_t block);
/* All texts of one kind, side by side; lifetime: the arena. */
struct weir_str transcript_text(const struct transcript *t, struct arena *a);

#endif
