/* What the two rooms that read a provider's answer share. */
#ifndef OLLAMA_RESPONSE_H
#define OLLAMA_RESPONSE_H

#include "ollama.h"

struct decoding {
    struct ollama o;
    struct ollama_attempt *attempt;
    bool is_whole; /* one document, not a stream */
};

void ollama_emit(struct decoding *d, const struct weir_event *e);
void ollama_emit_start(struct decoding *d, struct weir_str model, int64_t created_s);
void ollama_emit_end(struct decoding *d);
void ollama_emit_usage(struct decoding *d, const struct weir_usage *u);
void ollama_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to);
void ollama_read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to);
/* A document with "embeddings". */
int ollama_decode_vectors(struct decoding *d, struct weir_str body);

#endif
