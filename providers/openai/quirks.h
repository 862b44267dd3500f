/* What a server of this dialect does differently, as the provider entry's options tell it: see options[] in openai.c. Asked by
 * those who write a request. Everything left out is reported once per request.
 */
#ifndef OPENAI_QUIRKS_H
#define OPENAI_QUIRKS_H

#include "encode.h"

/* Does the server refuse (or silently ignore) this member? "seed", or "messages.name" for one inside. Reports it if so. */
bool openai_drops(struct encoding *x, const char *key, uint32_t feature);
bool openai_drops_str(struct encoding *x, struct weir_str key, uint32_t feature);
/* The name that the server has for a member. */
const char *openai_key_at(const struct openai_entry *e, const char *key);
/* Has it tools, and does this model refuse them beside an effort? */
bool openai_refuses_effort(const struct openai_entry *e, const struct weir_conversation *c);
/* An id of a tool call as the server takes it; false: it takes it as it is. */
bool openai_fit_id(struct encoding *x, struct weir_str id, struct weir_str *fit);
/* The client speaks this dialect too, but its bytes won't do for this server: they are to be written anew. */
bool openai_needs_anew(struct openai *o, const struct openai_entry *e);
/* Where the operation is at this server: "/chat/completions", with what the entry puts before and behind it. */
struct weir_str openai_path(struct openai *o, const struct openai_entry *e, const char *path);

#endif
