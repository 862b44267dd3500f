/* What the two rooms that write a request to a provider share. */
#ifndef ANTHROPIC_ENCODE_H
#define ANTHROPIC_ENCODE_H

#include "anthropic.h"

enum loss {
    LOSS_THINKING = 1u << 0,
    LOSS_ARGUMENTS = 1u << 1,
    LOSS_NAME = 1u << 2,
    LOSS_ID = 1u << 3,
    LOSS_SYSTEM = 1u << 4,
    LOSS_DETAIL = 1u << 5,
    LOSS_MESSAGE_NAME = 1u << 6,
};

struct encoding {
    struct anthropic o;
    struct anthropic_attempt *attempt;
    const struct weir_conversation *c;
    struct weir_out *out;
    struct anthropic_model model;
    uint32_t noted;
    bool has_calls, has_tools; /* in the history; of its own */
    bool must_be_json; /* JSON mode, which is only a sentence in the prompt here */
    bool must_call; /* a forced call, which is only a sentence in the prompt of this model */
    struct weir_str call; /* of this tool; "": of any */
};

/* 16 hexadecimal digits of the string's digest: the same string always gives the same. */
void anthropic_digest(struct encoding *x, struct weir_str s, char out[17]);
/* The name that a tool has at the provider. */
struct weir_str anthropic_sent_name(struct encoding *x, struct weir_str name);
/* Notes a loss, once. */
void anthropic_lose(struct encoding *x, enum loss bit, const char *what);
void anthropic_put_member(struct encoding *x, const char *key, const char *value);
void anthropic_put_system(struct encoding *x);
void anthropic_put_messages(struct encoding *x);

#endif
