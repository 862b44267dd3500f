/* Cuts the bytes of an answer into frames: SSE events, lines, one document, AWS events. The frames concatenate to the bytes.
 *
 * A framer copies only what is left over between two reads. It owns that buffer.
 */
#ifndef WEIR_CORE_FRAMER_H
#define WEIR_CORE_FRAMER_H

#include <weir/codec.h>

#include "json.h"

/* Framing OWN: the length of the first frame of bytes, 0: more is needed, -1: malformed. */
typedef int64_t (*framer_split_fn)(void *arg, struct weir_str bytes);

struct framer {
    uint32_t framing;     /* enum weir_framing */
    bool is_handed_out;   /* `left` is the frame that was handed out last */
    bool follows_cr;      /* SSE: the frame before ended in a CR that was the last byte; an LF now is the other half of it */
    size_t scanned, line; /* where to go on looking: NDJSON, SSE */
    struct weir_out left; /* bytes of a frame that has not ended */
    framer_split_fn split; /* OWN */
    void *split_arg;
};

enum framer_result { FRAMER_FRAME = 1, FRAMER_MORE = 0, FRAMER_TOO_LARGE = -1, FRAMER_MALFORMED = -2 };

void framer_init(struct framer *f, enum weir_framing framing);
void framer_cut_by(struct framer *f, framer_split_fn split, void *arg); /* needed for OWN */
void framer_free(struct framer *f);

/* Bytes that arrived, in `in` (advanced past what was used): FRAME fills frame; MORE: all of `in` was taken. What frame points to
 * lives until the next call. Call until MORE. */
enum framer_result framer_next(struct framer *f, struct weir_str *in, struct weir_frame *frame, size_t limit);
/* The bytes are over: the frame that has no end (a document, a last line without newline). MALFORMED: half a message. */
enum framer_result framer_last(struct framer *f, struct weir_frame *frame);

#endif
