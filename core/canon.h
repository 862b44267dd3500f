/* What a conversation means, as JSON, and back: for what has to be kept, or compared (verify_canon.c, verify_parse.c). */
#ifndef WEIR_CORE_CANON_H
#define WEIR_CORE_CANON_H

#include "conversation.h"

void canon_conversation(struct arena *a, const struct weir_conversation *c, struct weir_out *out);
/* NULL and a sentence in why. */
struct conversation *parse_conversation(struct arena *a, const char *dialect, struct weir_str text, const char **why);

#endif
