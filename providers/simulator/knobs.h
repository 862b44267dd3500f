/* What a caller may tell the simulator: `ttft=500ms&pace=20ms&status=429`. README.md has the table for users, knobs.c
 * the same table for the program. */
#ifndef SIMULATOR_KNOBS_H
#define SIMULATOR_KNOBS_H

#include "buf.h"

#include <stdint.h>

enum { KNOB_OFF = -1, KNOB_HEADERS = 8, KNOB_TOKENS_MAX = 20000, KNOB_CALLS_MAX = 8 };

struct knobs {
    /* pace, in ms */
    int64_t head, ttft, pace;
    /* content */
    int64_t tokens, thinking, cached;
    int64_t calls, rounds; /* of tools */
    char tool[129]; /* a tool's name, or "any" */
    char finish[25];
    char text[1025]; /* exactly this answer; "": generated */
    bool json_answer, refusal, no_usage;
    /* faults; KNOB_OFF: none */
    int64_t status;
    int64_t stall_after, error_event; /* events */
    int64_t garble, wrong_chunk; /* the Nth event or chunk, from 1 */
    int64_t cut_utf8, split_utf8, bad_utf8;
    int64_t rst_after, fin_after, truncate; /* bytes of the body */
    int64_t rst_at, fin_at; /* bytes on the wire */
    int64_t split;
    bool no_head, no_body, no_done, html;
    /* form of a stream */
    bool crlf, comments;
    uint32_t n_headers;
    struct {
        char name[65], value[257];
    } headers[KNOB_HEADERS];
};

void knobs_init(struct knobs *k);
/* Reads `name=value&…` (white space separates too) over what stands in k. false: *problem says what is wrong, as one
 * sentence. */
bool knobs_read(struct knobs *k, const char *p, size_t n, struct buf *problem);
/* What a model's name says: a preset ("slow"), and what follows its '?'. */
bool knobs_read_model(struct knobs *k, const char *p, size_t n, struct buf *problem);
/* The name and description of the i-th preset; NULL: no more. */
const char *knobs_preset(size_t i);

static inline bool knob_is_set(int64_t value)
{
    return value != KNOB_OFF;
}

#endif
