/* What the two rooms that write a request to a provider share. */
#ifndef RESPONSES_ENCODE_H
#define RESPONSES_ENCODE_H

#include "responses.h"

enum { NAME_MAX = 64, ID_MAX = 64 };

struct encoding {
    struct responses o;
    struct responses_attempt *attempt;
    const struct weir_conversation *c;
    struct weir_out *out;
    bool has_instructions; /* the first message is said as these */
    bool has_tools;
    bool was_name_told; /* that a name is sent as another */
};

/* The name that a tool has at the provider. */
struct weir_str responses_sent_name(struct encoding *x, struct weir_str name);
void responses_put_member(struct encoding *x, const char *key, const char *value);
void responses_choose_instructions(struct encoding *x);
void responses_put_instructions(struct encoding *x);
void responses_put_input(struct encoding *x);
/* A member of the client's own request, where the client speaks this dialect too; "" if there is none. */
struct weir_str responses_own_member(struct encoding *x, const char *key);

#endif
