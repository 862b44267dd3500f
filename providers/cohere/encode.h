/* What the rooms that write a request to a provider share. */
#ifndef COHERE_ENCODE_H
#define COHERE_ENCODE_H

#include "cohere.h"

struct encoding {
    struct cohere o;
    struct cohere_attempt *attempt;
    const struct weir_conversation *c;
    struct weir_out *out;
    uint64_t told[2]; /* features whose loss was told: once is enough */
};

void cohere_lose(struct encoding *x, uint32_t feature, enum weir_loss what, const char *why);
void cohere_put_member(struct encoding *x, const char *key, struct weir_str raw);
/* The name that a tool has at the provider. */
struct weir_str cohere_sent_name(struct encoding *x, struct weir_str name);
void cohere_put_messages(struct encoding *x);
/* Files become documents. true: there are some. */
bool cohere_put_documents(struct encoding *x);
void cohere_put_content_part(struct encoding *x, const struct weir_part *p);
void cohere_put_embed(struct encoding *x);
void cohere_put_rerank(struct encoding *x);

#endif
