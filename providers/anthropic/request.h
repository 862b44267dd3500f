/* What the two rooms that read a client's request share. */
#ifndef ANTHROPIC_REQUEST_H
#define ANTHROPIC_REQUEST_H

#include "anthropic.h"

struct reading {
    struct anthropic o;
    struct anthropic_client *client;
    struct weir_json *r;
    struct weir_str body;
    struct weir_message *first; /* of the conversation */
    uint32_t n_wire; /* messages met on the wire */
    bool has_model, has_limit;
};

/* A 400 about this field. */
void anthropic_fail_at(struct reading *x, struct weir_str param, const char *message);
struct anthropic_span anthropic_span_of(const struct reading *x, struct weir_str s);
void anthropic_add_ext(struct reading *x, struct weir_str path, struct weir_str key, struct weir_str raw);
struct weir_message *anthropic_add_message(struct reading *x, enum weir_role role);

/* The values of "messages" and "system". */
void anthropic_read_messages(struct reading *x);
void anthropic_read_system(struct reading *x);

static inline bool took_null(struct weir_json *r, const struct weir_json_api *j)
{
    return j->peek(r) == WEIR_JSON_NULL && j->null(r);
}

/* How long a cache_control wants the prefix to be kept; "" if it doesn't say. */
struct weir_str anthropic_cache_ttl(struct reading *x, struct weir_str raw);

#endif
