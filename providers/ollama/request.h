/* What the rooms that read a client's request share. */
#ifndef OLLAMA_REQUEST_H
#define OLLAMA_REQUEST_H

#include "ollama.h"

struct reading {
    struct ollama o;
    struct ollama_client *client;
    struct weir_json *r;
    struct weir_str body;
    uint32_t n_messages, n_calls; /* n_calls: made so far, for ids that the client left out */
    const struct weir_message *turn; /* the last with calls */
    uint64_t taken; /* its calls that results without an id belong to, a bit each */
    struct ollama_signed thought; /* of the message that is being read */
    bool has_model, has_input;
};

/* A 400 about this field. */
void ollama_fail_at(struct reading *x, struct weir_str param, const char *message);
bool ollama_is_inside(const struct reading *x, struct weir_str s);
/* A member that has no canonical form, under the path by which it is known. */
void ollama_read_ext(struct reading *x, struct weir_str folder, struct weir_str key); /* folder: "options." or none */
void ollama_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire);
struct weir_part *ollama_add_part(struct reading *x, struct weir_message *m, enum weir_part_kind kind);
/* The value of "messages", whose key this is. */
void ollama_read_messages(struct reading *x, struct weir_str key);
/* The members that only a request for embeddings has: false if this is none of them. */
bool ollama_read_embed_member(struct reading *x, struct weir_str key);

static inline bool took_null(struct weir_json *r, const struct weir_json_api *j)
{
    return j->peek(r) == WEIR_JSON_NULL && j->null(r);
}

#endif
