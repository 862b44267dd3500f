/* What the two rooms that read a provider's answer share. */
#ifndef OPENAI_RESPONSE_H
#define OPENAI_RESPONSE_H

#include "openai.h"

struct decoding {
    struct openai o;
    struct openai_attempt *attempt;
    struct weir_frame *frame;
    bool is_whole; /* one document, not a stream */
    bool is_embed;
    /* of this frame */
    struct weir_str id, model;
    int64_t created_s;
    struct weir_usage usage;
    bool has_usage, has_error, broke_off;
    struct weir_error error;
};

static inline bool openai_key_is(struct weir_str key, const char *name, size_t n)
{
    return key.n == n && memcmp(key.p, name, n) == 0;
}
/* The length is known when this is compiled: this runs a dozen times for each streamed word. */
#define KEY(name) openai_key_is(key, "" name, sizeof(name) - 1)

struct weir_event openai_event_of(enum weir_event_kind kind, uint32_t choice, uint32_t block);
void openai_emit(struct decoding *d, const struct weir_event *e);
void openai_close_blocks(struct decoding *d, struct openai_choice *c, uint32_t choice);
/* The state of a choice; NULL: no memory, or an index that makes no sense. */
struct openai_choice *openai_choice_at(struct decoding *d, uint32_t i);
/* r stands before a choice's delta or message. */
void openai_read_delta(struct decoding *d, struct weir_json *r, struct openai_choice *c, uint32_t choice);
void openai_read_logprobs(struct decoding *d, struct weir_str raw, const struct openai_choice *c, uint32_t choice);
/* `images` of a delta or a message. */
void openai_read_images(struct decoding *d, struct weir_str raw, struct openai_choice *c, uint32_t choice);
void openai_tell_image(struct decoding *d, struct openai_choice *c, uint32_t choice, struct weir_str type, struct weir_text data);
/* The "data" of an answer to a call for embeddings. 0, or -1: it makes no sense. */
int openai_decode_vectors(struct decoding *d, struct weir_str data);
void openai_read_string(const struct weir_json_api *j, struct weir_json *r,
                        struct weir_str *to); /* anything else is skipped */
void openai_read_object(const struct weir_json_api *j, struct weir_json *r,
                        struct weir_str *raw); /* or array; else skipped */

#endif
