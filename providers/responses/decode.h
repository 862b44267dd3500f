/* What the two rooms that read a provider's answer share. */
#ifndef RESPONSES_DECODE_H
#define RESPONSES_DECODE_H

#include "responses.h"

struct decoding {
    struct responses o;
    struct responses_attempt *attempt;
    struct weir_frame *frame;
};

static inline bool responses_key_is(struct weir_str key, const char *name, size_t n)
{
    return key.n == n && memcmp(key.p, name, n) == 0;
}
/* The length is known when this is compiled: this runs for each streamed word. */
#define KEY(name) responses_key_is(key, "" name, sizeof(name) - 1)

struct weir_event responses_event_of(enum weir_event_kind kind, uint32_t block);
void responses_emit(struct decoding *d, const struct weir_event *e);
void responses_emit_delta(struct decoding *d, uint32_t block, enum weir_delta_kind kind, struct weir_text text);
/* Each element of a list as a delta of its own. */
void responses_emit_each(struct decoding *d, uint32_t block, enum weir_delta_kind kind, struct weir_str list);
/* A block of its own: the next number. */
struct responses_open *responses_start_block(struct decoding *d, enum weir_block_kind kind, uint32_t output_index,
                                             uint32_t content_index, const struct weir_event *like);
void responses_stop_block(struct decoding *d, struct responses_open *b);
struct responses_open *responses_find_block(struct decoding *d, uint32_t output_index, uint32_t content_index);
struct weir_str responses_own_name(const struct decoding *d, struct weir_str sent);

void responses_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to);
void responses_read_text(const struct weir_json_api *j, struct weir_json *r, struct weir_text *to);

/* An item of the output, from its JSON. */
struct responses_item {
    enum { OUT_OTHER, OUT_MESSAGE, OUT_CALL, OUT_REASONING } kind;
    struct weir_str type, id, call_id, name, raw, content, summary;
    struct weir_str format; /* of an image */
    struct weir_text arguments, encrypted, result;
};
bool responses_read_item(struct decoding *d, struct weir_str raw, struct responses_item *item);
/* Emits what `item` says beyond what its blocks, begun at output_index, have said already, and stops them. */
void responses_finish_item(struct decoding *d, const struct responses_item *item, uint32_t output_index);
void responses_start_item(struct decoding *d, const struct responses_item *item, uint32_t output_index);

/* The response object, of a document or of the events that carry one. */
struct responses_object {
    struct weir_str id, model, status, reason, error, output;
    struct weir_usage usage;
    int64_t created_s, counted; /* counted: of an answer that only counts; -1: none */
    bool is_object;
};
bool responses_read_object(struct decoding *d, struct weir_str raw, struct responses_object *to);
void responses_emit_start(struct decoding *d, const struct responses_object *object);
/* Everything behind the start: what was not said yet, how it ended, usage, the end. */
void responses_emit_rest(struct decoding *d, const struct responses_object *object);
void responses_emit_error(struct decoding *d, struct weir_error *error);

#endif
