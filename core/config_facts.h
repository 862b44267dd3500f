/* What is known of models: prices, context sizes, capabilities; from the table providers/models.tsv and from `models:` of the
 * configuration, which goes before it. A model that neither knows can say all that its dialect can.
 *
 * Who owns what: the table's text and everything read from it live in the configuration's arena; a row is read when it is first
 * asked for and kept. One thread.
 */
#ifndef WEIR_CORE_CONFIG_FACTS_H
#define WEIR_CORE_CONFIG_FACTS_H

#include <weir/event.h>

#include "arena.h"

/* Those up to FACTS_PRICES_USER may be written in the configuration; per million tokens up to FACTS_PRICES_MILLION, then per
 * piece. */
enum facts_price_kind {
    FACTS_INPUT = 0,
    FACTS_OUTPUT,
    FACTS_CACHED,
    FACTS_WRITE,
    FACTS_WRITE_1H,
    FACTS_REASONING,
    FACTS_AUDIO_INPUT,
    FACTS_AUDIO_OUTPUT,
    FACTS_PRICES_USER,
    FACTS_IMAGE_TOKEN_INPUT = FACTS_PRICES_USER,
    FACTS_IMAGE_TOKEN_OUTPUT,
    FACTS_PRICES_MILLION,
    FACTS_PRICES = FACTS_PRICES_MILLION,
};

enum facts_tier { FACTS_STANDARD = 0, FACTS_PRIORITY, FACTS_FLEX, FACTS_BATCH };

/* Prices that hold for a tier and from so many tokens of input on; -1: not known. The first is the plain one. */
struct facts_prices {
    enum facts_tier tier;
    int64_t above_tokens;
    double usd[FACTS_PRICES];
};

struct model_facts {
    struct weir_str provider, model, kind; /* "groq", "llama-3.3-70b-versatile", "chat" */
    int64_t context_tokens, output_tokens; /* -1: not known */
    uint32_t can, lacks; /* enum weir_capability: said to be there, said to be missing */
    const struct facts_prices *prices;
    uint32_t n_prices;
    struct weir_str shown[4]; /* for people: prices, can, lacks, the day it ends; "-": nothing */
};

struct facts_table;

/* text: the whole file, which must live as long as the table. NULL and why: it is no such table. */
struct facts_table *facts_open(struct arena *a, struct weir_str text, char *why, size_t n);
uint32_t facts_count(const struct facts_table *t);
/* Row i, NULL without memory; and the one of a name: "region/model" goes before "model" where region isn't "". NULL: not known. */
const struct model_facts *facts_at(struct facts_table *t, uint32_t i);
const struct model_facts *facts_find(struct facts_table *t, const char *provider, const char *region,
                                     struct weir_str model);
bool facts_has_provider(const struct facts_table *t, struct weir_str provider);

/* USD of a call, or -1: a price or a count is not known. */
double facts_cost(const struct facts_prices *prices, uint32_t n, enum facts_tier tier, const struct weir_usage *usage);

/* The bits of one word ("images"), 0: no such word; and all words, for messages. */
uint32_t facts_capability(struct weir_str word);
extern const char facts_capability_words[];

#endif
