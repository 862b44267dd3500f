/* What the two rooms that read a client's request share. */
#ifndef OPENAI_REQUEST_H
#define OPENAI_REQUEST_H

#include "openai.h"

struct reading {
    struct openai o;
    struct openai_client *client;
    struct weir_json *r;
    struct weir_str body;
    struct weir_str safety_identifier, safety_member;
    uint32_t n_messages, n_parts, n_calls, n_tools; /* of the body, of a message, of the body */
    bool has_model, has_user, has_new_limit;
};

enum shape { SHAPE_STRING, SHAPE_BOOLEAN, SHAPE_INTEGER, SHAPE_COUNT, SHAPE_NUMBER, SHAPE_OBJECT, SHAPE_ARRAY };

/* A setting whose canonical form is what stands on the wire. */
struct plain_field {
    const char *name;
    uint8_t field, shape;
};
void openai_read_plain(struct reading *x, const struct plain_field *f);
/* The members that only a request for embeddings has: false if this is none of them. */
bool openai_read_embed_member(struct reading *x, struct weir_str key);

/* A 400 about this field. */
void openai_fail_at(struct reading *x, struct weir_str param, const char *message);
bool openai_is_inside(const struct reading *x, struct weir_str s);
/* `"key":value` as it stands; nothing if the key was written with escapes. */
struct weir_str openai_member_of(const struct reading *x, struct weir_str key, struct weir_str raw);
void openai_add_ext(struct reading *x, struct weir_str path, struct weir_str key, struct weir_str raw);
/* {first … last} as it stands in the body, from its first key and its last value; n 0 if that can't be told. */
struct weir_str openai_object_of(struct reading *x, struct weir_str first, struct weir_str last);
/* The value of "messages", whose key this is. */
void openai_read_messages(struct reading *x, struct weir_str key);

/* Of a call: the value of "extra_content". */
void openai_read_extra(struct reading *x, struct weir_json *r, struct weir_part *p);
/* Of a message: the value of "reasoning_details" or "thinking_blocks". */
bool openai_read_details(struct reading *x, struct weir_message *m, struct weir_str raw);
void openai_drop_unsigned(struct weir_message *m);

static inline bool took_null(struct weir_json *r, const struct weir_json_api *j)
{
    return j->peek(r) == WEIR_JSON_NULL && j->null(r);
}

#endif
