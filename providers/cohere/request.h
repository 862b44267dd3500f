/* What the rooms that read a client's request share. */
#ifndef COHERE_REQUEST_H
#define COHERE_REQUEST_H

#include "cohere.h"

struct reading {
    struct cohere o;
    struct cohere_client *client;
    struct weir_json *r;
    struct weir_str body;
    struct weir_message *last_user, *query;
    struct weir_str documents, documents_member; /* raw */
    uint32_t n_messages;
    struct cohere_signed thought; /* of the message that is being read */
    bool has_model, has_input, has_query, is_strict;
};

/* A 400 about this field. */
void cohere_fail_at(struct reading *x, struct weir_str param, const char *message);
bool cohere_is_inside(const struct reading *x, struct weir_str s);
/* `"key":value` as it stands; nothing if the key was written with escapes. */
struct weir_str cohere_member_of(const struct reading *x, struct weir_str key, struct weir_str raw);
/* A member that has no canonical form. folder: what stands before its key in its path. */
void cohere_read_ext(struct reading *x, struct weir_str folder, struct weir_str key);
void cohere_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire);
struct weir_part *cohere_add_part(struct reading *x, struct weir_message *m, enum weir_part_kind kind);
/* The value of "messages", whose key this is. */
void cohere_read_messages(struct reading *x, struct weir_str key);
/* A string or an array of parts becomes parts of m. */
void cohere_read_content(struct reading *x, struct weir_message *m);
/* An image by data URL or by address. */
void cohere_take_url(struct reading *x, struct weir_part *p, struct weir_text url);
/* The documents of the request, as files of the last question. */
void cohere_take_documents(struct reading *x);
/* Members that only such requests have: false if this is none of them. */
bool cohere_read_embed_member(struct reading *x, struct weir_str key);
bool cohere_read_rerank_member(struct reading *x, struct weir_str key);

enum cohere_shape { COHERE_STRING, COHERE_BOOLEAN, COHERE_INTEGER, COHERE_COUNT, COHERE_NUMBER, COHERE_STRINGS };
/* A setting whose canonical form is what stands there; null is nothing said. */
void cohere_read_field(struct reading *x, enum weir_field f, enum cohere_shape shape);
/* A setting by a table of words. */
struct cohere_word {
    const char *wire, *canonical; /* JSON; wire NULL at the end */
};
void cohere_read_word(struct reading *x, enum weir_field f, const struct cohere_word *words, const char *message);

static inline bool took_null(struct weir_json *r, const struct weir_json_api *j)
{
    return j->peek(r) == WEIR_JSON_NULL && j->null(r);
}

#endif
