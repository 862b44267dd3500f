/* What the rooms that write a client's answer share. */
#ifndef OLLAMA_ANSWER_H
#define OLLAMA_ANSWER_H

#include "ollama.h"

/* Unix time -> "2026-08-07T06:08:07Z" */
struct weir_str ollama_time(struct ollama *o, int64_t s);
/* `"model":…,"created_at":…` */
void ollama_put_head(struct ollama *o, struct weir_out *out, struct weir_str model, int64_t created_s);
/* `,"done":true,…`: the reason and the counts */
void ollama_put_end(struct ollama *o, struct weir_out *out, uint32_t finish, const struct weir_usage *usage);
void ollama_put_call(struct ollama *o, struct weir_out *out, const struct ollama_call *c,
                     const struct weir_text *arguments);

#endif
