/* Features: what a conversation or an answer uses, as a set, and what a codec tells that it can say of them. What becomes of the
 * difference is decided in losses.c. Pure: no request here.
 */
#ifndef WEIR_CORE_FEATURE_SET_H
#define WEIR_CORE_FEATURE_SET_H

#include <weir/codec.h>

#include "conversation.h"

static inline void features_add(struct features *f, uint32_t feature)
{
    f->bits[feature / 64] |= UINT64_C(1) << (feature % 64);
}

static inline bool features_have(const struct features *f, uint32_t feature)
{
    return f->bits[feature / 64] >> (feature % 64) & 1;
}

/* The lowest of them, taken out; WEIR_FEATURES: there is none. */
static inline uint32_t features_take(struct features *f)
{
    uint32_t i = f->bits[0] ? 0 : 1;
    if (!f->bits[i])
        return WEIR_FEATURES;
    uint32_t bit = (uint32_t)__builtin_ctzll(f->bits[i]);
    f->bits[i] &= f->bits[i] - 1;
    return i * 64 + bit;
}

/* "top_k", "answer.thinking"; NULL: there is none of this number. */
const char *feature_name(uint32_t feature);
/* "dropped"; NULL: no enum weir_loss. */
const char *loss_name(uint32_t what);

/* Nothing that a provider's dialect must say: model and streaming the host sees to, documents of a rerank the client's codec puts
 * back itself. */
bool feature_is_hosts(uint32_t feature);
/* Does a field with this value ask for anything? What says no more than a dialect does unasked (n 1, tool_choice "auto",
 * logprobs false) does not, nor what is the host's. */
bool feature_is_asked(uint32_t field, struct weir_str json);
/* What fields and unknown members use, and what messages and tools do. */
struct features features_of_fields(const struct weir_conversation *c);
struct features features_of_content(const struct weir_conversation *c);

/* The members that only the client's dialect knows, one after the other, as "messages[2].name". */
void features_each_ext(const struct weir_conversation *c, struct arena *a, void (*fn)(void *arg, struct weir_str path),
                       void *arg);

/* What an event adds to what an answer uses. */
struct answer_order { /* per choice below 64, by bit */
    uint64_t has_text, has_calls;
};
struct features features_of_event(struct answer_order *order, const struct weir_event *e);

/* ---- a codec's table ---- */
struct codec_says {
    bool is_declared;
    uint8_t saying[WEIR_FEATURES]; /* enum weir_saying; 0: not said */
};
/* NULL, or what is wrong with the table. */
const char *says_read(struct codec_says *to, const struct weir_says *table);
/* What becomes of a feature that is used: 0: it is said, or the codec tells (PARTLY); else enum weir_loss. */
static inline uint32_t says_loss(const struct codec_says *s, uint32_t feature)
{
    static const uint8_t losses[] = { WEIR_LOSS_DROPPED, 0, 0, WEIR_LOSS_CHANGED, WEIR_LOSS_EMULATED };
    return losses[s->saying[feature]];
}

#endif
