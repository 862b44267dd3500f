/* What the rooms of the voyage codec share. Nothing here is seen outside this folder.
 *
 *   request.c  requests, both ways        answer.c  answers, both ways
 *   error.c    errors, both ways          voyage.c  the descriptor and what can be said
 */
#ifndef VOYAGE_H
#define VOYAGE_H

#include <weir/codec.h>

#define VOYAGE_DIALECT WEIR_LIT("voyage")

/* What every op needs at hand; lives on the op's stack. */
struct voyage {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called, or memory is short */
    bool is_own; /* the client speaks this dialect too */
};

static inline struct voyage voyage_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct voyage){ host, host->json, call, false, false };
}

static inline bool voyage_ranks(const struct voyage *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    return c && c->operation == WEIR_OP_RERANK;
}

int voyage_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int voyage_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
int voyage_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int voyage_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int voyage_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out);
int voyage_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out);
int voyage_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error);
int voyage_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out);

#endif
