/* What providers say they have: their own lists of models, asked for now and then by each worker. */
#ifndef WEIR_CORE_MODEL_LISTS_H
#define WEIR_CORE_MODEL_LISTS_H

#include "worker.h"

struct listed_model {
    struct listed_model *next;
    struct weir_str id; /* as the provider writes it; lives until the next list comes: copy it */
};

/* In a worker that serves; providers without `list_models` cost nothing. -1: out of memory. */
int model_lists_start(struct worker *w);
void model_lists_stop(void); /* cancels what is underway; may be called without a start */
/* The last list that came, whole; NULL: none. */
const struct listed_model *model_lists_of(const struct config_provider *p, uint32_t *n);

#endif
