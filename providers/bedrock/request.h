/* What the two rooms that read a client's request share. */
#ifndef BEDROCK_REQUEST_H
#define BEDROCK_REQUEST_H

#include "bedrock.h"

struct reading {
    struct bedrock o;
    struct bedrock_client *client;
    struct weir_json *r;
    struct weir_str body;
    struct weir_message *first; /* of the conversation */
    uint32_t n_wire; /* messages met on the wire */
    struct weir_tool *last_tool;
};

/* A 400 about this field. */
void bedrock_fail_at(struct reading *x, struct weir_str param, const char *message);
/* The next value, raw, as a field that nobody else knows; its path is "before.key", or "key". */
void bedrock_read_ext(struct reading *x, const char *before, struct weir_str key);
void bedrock_add_ext(struct reading *x, const char *before, struct weir_str key, struct weir_str raw);
void bedrock_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire);
enum bedrock_shape { BEDROCK_STRING, BEDROCK_INTEGER, BEDROCK_NUMBER, BEDROCK_STRINGS, BEDROCK_OBJECT };
/* The next value, if it has this shape; else an error at it. */
bool bedrock_read_shape(struct reading *x, enum bedrock_shape shape, struct weir_str *raw);
void bedrock_read_field(struct reading *x, enum weir_field f, enum bedrock_shape shape);
/* A member of a body of InvokeModel that asks for vectors. */
void bedrock_read_vectors_member(struct reading *x, struct weir_str key);
struct weir_message *bedrock_add_message(struct reading *x, enum weir_role role);

/* The next value, a cachePoint's, in *raw; how long it is to be kept, "" if it doesn't say. */
struct weir_str bedrock_read_cache_ttl(struct reading *x, struct weir_str *raw);

/* The values of "messages" and "system". */
void bedrock_read_messages(struct reading *x);
void bedrock_read_system(struct reading *x);

static inline bool took_null(const struct reading *x)
{
    return x->o.json->peek(x->r) == WEIR_JSON_NULL && x->o.json->null(x->r);
}

#endif
