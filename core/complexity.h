/* How hard a prompt looks: counts made in one pass over what the user asked last, and a score from them. */
#ifndef WEIR_CORE_COMPLEXITY_H
#define WEIR_CORE_COMPLEXITY_H

#include "conversation.h"

/* Counts of one text (plain UTF-8), added to those that stand in *out. */
void complexity_count(struct weir_str text, struct weir_complexity *out);

/* The score of the counts in *c, 0 to 1; 0.5: as hard as the middle of the prompts it was tuned on. */
double complexity_score(const struct weir_complexity *c);

/* Everything about a conversation. The arena is for the while only. */
void complexity_of(const struct conversation *c, struct arena *a, struct weir_complexity *out);

#endif
