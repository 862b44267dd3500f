/* What the two rooms that write a request to a provider share. */
#ifndef OPENAI_ENCODE_H
#define OPENAI_ENCODE_H

#include "openai.h"

enum { NAME_MAX = 64, ID_MAX = 40 };

struct encoding {
    struct openai o;
    struct openai_attempt *attempt;
    const struct weir_conversation *c;
    struct weir_out *out;
    uint64_t told[2]; /* features that are reported as dropped already */
};

/* The name that a tool has at the provider. */
struct weir_str openai_sent_name(struct encoding *x, struct weir_str name);
void openai_put_member(struct encoding *x, const char *key, const char *value);
void openai_put_messages(struct encoding *x);
void openai_put_setting(struct encoding *x, enum weir_field f); /* nothing if it isn't set */
void openai_put_inputs(struct encoding *x); /* of a request for embeddings, with its settings */

#endif
