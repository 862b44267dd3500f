/* What the two rooms that write a request to a provider share. */
#ifndef ANTHROPIC_ENCODE_H
#define ANTHROPIC_ENCODE_H

#include "anthropic.h"

struct encoding {
    struct anthropic o;
    struct anthropic_attempt *attempt;
    const struct weir_conversation *c;
    struct weir_out *out;
    struct anthropic_model model;
    bool has_calls, has_tools; /* in the history; of its own */
    bool must_be_json; /* JSON mode, which is only a sentence in the prompt here */
    bool must_call; /* a forced call, which is only a sentence in the prompt of this model */
    struct weir_str call; /* of this tool; "": of any */
};

struct thinking {
    enum { UNSAID, OFF, ADAPTIVE, BUDGET } how;
    int64_t budget;
    struct weir_str effort; /* for output_config */
};

/* The integer that a JSON number says; -1: a negative one. */
int64_t anthropic_number_of(struct weir_str s);
bool anthropic_is_forced(struct weir_str choice);
/* What the client said, in the words of this model; then as it fits under the limit; written; and what of it was lost. */
struct thinking anthropic_wanted_thinking(const struct encoding *x);
void anthropic_fit_budget(const struct encoding *x, struct thinking *t);
void anthropic_put_thinking(struct encoding *x, const struct thinking *t);
void anthropic_lose_thinking(struct encoding *x, const struct thinking *t);

/* 16 hexadecimal digits of the string's digest: the same string always gives the same. */
void anthropic_digest(struct encoding *x, struct weir_str s, char out[17]);
/* The name that a tool has at the provider. */
struct weir_str anthropic_sent_name(struct encoding *x, struct weir_str name);
void anthropic_put_member(struct encoding *x, const char *key, const char *value);
/* cache_control, with its ttl if there is one. */
void anthropic_put_cache_mark(struct encoding *x, struct weir_str ttl);
void anthropic_put_system(struct encoding *x);
void anthropic_put_messages(struct encoding *x);

#endif
