/* What the rooms that write a request to a provider share. */
#ifndef OLLAMA_ENCODE_H
#define OLLAMA_ENCODE_H

#include "ollama.h"

struct encoding {
    struct ollama o;
    const struct weir_conversation *c;
    struct weir_out *out;
    uint64_t told[2]; /* features whose loss was told: once is enough */
};

void ollama_lose(struct encoding *x, enum weir_feature feature, enum weir_loss what, const char *why);
void ollama_put_member(struct encoding *x, const char *key, struct weir_str raw);
void ollama_put_messages(struct encoding *x);
/* input, dimensions, truncate */
void ollama_put_inputs(struct encoding *x);
/* The texts of a message, one behind the other, as a JSON string. */
void ollama_put_joined(struct encoding *x, const struct weir_part *parts, struct weir_str gap);

static inline bool ollama_is_option(const struct weir_ext *e)
{
    return e->path.n > 8 && memcmp(e->path.p, "options.", 8) == 0;
}

#endif
