/* What the rooms that read a client's request share. */
#ifndef RESPONSES_REQUEST_H
#define RESPONSES_REQUEST_H

#include "responses.h"

enum { RESPONSES_RECENT_CALLS = 64 }; /* a signature stands right behind its call, or behind those made beside it */

struct reading {
    struct responses o;
    struct responses_client *client;
    struct weir_json *r;
    struct weir_str body;
    struct weir_str safety_identifier, safety_member;
    struct weir_message *first, *last; /* of the conversation */
    const struct weir_message *tail_of; /* the message that got a part last … */
    struct weir_part *tail; /* … and that part */
    struct weir_part *calls[RESPONSES_RECENT_CALLS]; /* a ring of the last ones, which signatures that follow belong to */
    uint32_t n_calls;
    uint32_t n_items; /* of the input, met on the wire */
    bool has_model, has_user, has_context;
};

/* A 400 about this field. */
void responses_fail_at(struct reading *x, struct weir_str param, const char *message);
struct responses_span responses_span_of(const struct reading *x, struct weir_str s);
void responses_add_ext(struct reading *x, struct weir_str path, struct weir_str key, struct weir_str raw);
/* {first … last} as it stands in the body, from its first key and its last value; n 0 if that can't be told. */
struct weir_str responses_object_of(struct reading *x, struct weir_str first, struct weir_str last);
struct weir_message *responses_add_message(struct reading *x, enum weir_role role);
/* The value of "input". */
void responses_read_input(struct reading *x);

/* A string that was taken raw; empty where it is none. */
struct weir_text responses_text_in(struct reading *x, struct weir_str raw);
struct weir_str responses_string_in(struct reading *x, struct weir_str raw);

static inline bool took_null(struct weir_json *r, const struct weir_json_api *j)
{
    return j->peek(r) == WEIR_JSON_NULL && j->null(r);
}

#endif
