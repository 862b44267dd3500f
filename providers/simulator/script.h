/* The bytes of one answer as they will be put on the wire, when, and how it ends. Composed whole before the first byte
 * is sent, so every fault is a matter of offsets and the sender knows nothing of them. */
#ifndef SIMULATOR_SCRIPT_H
#define SIMULATOR_SCRIPT_H

#include "knobs.h"

enum script_ending {
    SCRIPT_KEEP = 0, /* the connection stays */
    SCRIPT_FIN,
    SCRIPT_RST,
    SCRIPT_STALL, /* nothing more comes, the connection stays */
};

struct script_step {
    size_t end; /* send up to here … */
    uint32_t delay_ms; /* … after this pause */
};

struct script {
    struct buf wire;
    struct script_step *steps; /* owned */
    size_t n_steps, capacity;
    enum script_ending ending;
    /* while it is composed: */
    const struct knobs *knobs;
    size_t body_n; /* bytes of body so far, without chunk framing */
    int64_t events, chunks;
    bool is_chunked, is_over; /* over: a fault ended it */
};

void script_init(struct script *s, const struct knobs *k);
void script_free(struct script *s);

/* A head and a whole body. delay_ms: before the head. */
void script_whole(struct script *s, int status, const char *type, const struct buf *body, int64_t delay_ms,
                  bool is_closing);
/* A stream: head, then events, then the end. */
void script_stream_head(struct script *s, int status, const char *type, bool is_closing);
void script_event(struct script *s, const char *name, const struct buf *data, int64_t delay_ms);
void script_stream_end(struct script *s);
/* Applies what counts bytes on the wire. To be called last. */
void script_finish(struct script *s);

/* Whether an error event is due in place of the next event. */
static inline bool script_error_is_due(const struct script *s)
{
    return !s->is_over && knob_is_set(s->knobs->error_event) && s->events == s->knobs->error_event;
}

#endif
