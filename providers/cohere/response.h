/* What the rooms that read a provider's answer share. */
#ifndef COHERE_RESPONSE_H
#define COHERE_RESPONSE_H

#include "cohere.h"

struct decoding {
    struct cohere o;
    struct cohere_attempt *attempt;
};

static inline bool cohere_key_is(struct weir_str key, const char *name, size_t n)
{
    return key.n == n && memcmp(key.p, name, n) == 0;
}
/* The length is known when this is compiled: this runs a dozen times for each streamed word. */
#define KEY(name) cohere_key_is(key, "" name, sizeof(name) - 1)

void cohere_emit(struct decoding *d, const struct weir_event *e);
void cohere_emit_start(struct decoding *d, struct weir_str id);
void cohere_emit_end(struct decoding *d);
void cohere_emit_usage(struct decoding *d, const struct weir_usage *u);
int cohere_emit_error(struct decoding *d, struct weir_str message, struct weir_str native);
void cohere_emit_delta(struct decoding *d, enum weir_delta_kind kind, struct weir_text text);
void cohere_say(struct decoding *d, enum weir_block_kind kind, bool is_plan, struct weir_text text);
void cohere_begin_call(struct decoding *d, struct weir_str id, struct weir_str name);
void cohere_close_block(struct decoding *d);
/* A citation or a log probability belongs to the block that is open. */
void cohere_attach(struct decoding *d, enum weir_delta_kind kind, struct weir_str raw);
/* Ends the answer for this reason; false: it is an error, and was told as one. */
bool cohere_finish(struct decoding *d, struct weir_str word, struct weir_str error, const struct weir_usage *u);
/* {"billed_units":{…},"tokens":{…},"cached_tokens":…} */
void cohere_read_usage(struct decoding *d, struct weir_json *r, struct weir_usage *u);
/* anything else is skipped */
void cohere_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to);
void cohere_read_text(const struct weir_json_api *j, struct weir_json *r, struct weir_text *to);
void cohere_read_raw(const struct weir_json_api *j, struct weir_json *r, enum weir_json_type type, struct weir_str *to);
void cohere_read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to);

int cohere_decode_whole(struct decoding *d, struct weir_str body);
int cohere_decode_vectors(struct decoding *d, struct weir_str body);
int cohere_decode_ranks(struct decoding *d, struct weir_str body);

#endif
