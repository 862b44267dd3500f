/* Replies in the four dialects. */
#ifndef SIMULATOR_WIRE_H
#define SIMULATOR_WIRE_H

#include "reply.h"
#include "script.h"

struct answer {
    const struct ask *ask;
    const struct knobs *knobs;
    struct reply_head head;
    struct reply replies[REPLY_CHOICES_MAX];
    uint32_t n;
};

struct wire {
    void (*stream)(struct script *s, const struct answer *a);
    void (*whole)(struct buf *out, const struct answer *a);
    void (*error)(struct buf *out, int status, const char *message); /* the document of an answer of this status */
    const char *error_event; /* SSE name of an error inside a stream; NULL: none */
};

extern const struct wire wire_openai, wire_responses, wire_anthropic, wire_gemini;

/* The pause before the next event: the first waits for the first token. */
int64_t wire_pause(const struct script *s);
/* An error in place of the next event, if one is due; the stream then ends. */
bool wire_error_event(struct script *s, const struct wire *w);
int64_t wire_tokens_out(const struct answer *a);
int64_t wire_tokens_thinking(const struct answer *a);

#endif
