/* What the rooms of the anthropic codec share. Nothing here is seen outside this folder.
 *
 *   request.c  ingress: settings and tools of the client's request    blocks.c  ingress: its messages
 *   splice.c   ingress: edits -> the client's bytes                   model.c   what a model's generation takes and refuses
 *   encode.c   egress: conversation -> the provider's request         encode_messages.c  egress: its messages
 *   response.c egress: the provider's answer -> events                answer.c  ingress: events -> the client's answer
 *   signature.c  signatures of other dialects, through a client of this one       models.c  lists of models
 *   error.c    errors, both ways                                      usage.c  an answer's usage
 *   anthropic.c  the descriptor                                       vertex.c  egress: where Vertex differs
 *   count.c    counting tokens, both ways
 */
#ifndef ANTHROPIC_H
#define ANTHROPIC_H

#include <weir/codec.h>

#define ANTHROPIC_DIALECT WEIR_LIT("anthropic")

/* The options of a provider entry with `dialect: anthropic`. */
struct anthropic_entry {
    int32_t home; /* enum anthropic_home */
};
enum anthropic_home { ANTHROPIC_AT_HOME, ANTHROPIC_AT_VERTEX };

/* What every op needs at hand; lives on the op's stack. */
struct anthropic {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called */
    bool is_own; /* the client speaks this dialect too: nothing needs to be made fit for it */
};

static inline struct anthropic anthropic_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct anthropic){ host, host->json, call, false, false };
}

/* ---- ingress ---- */

struct anthropic_span {
    uint32_t at, n;
};

/* A block of the streamed answer that the client has not seen to its end. Only one may be open at a time in this dialect;
 * what comes for the others waits here. */
struct anthropic_told {
    struct anthropic_told *next;
    uint32_t block;
    uint16_t kind; /* enum weir_block_kind */
    bool is_hidden, has_begun, has_stopped;
    struct weir_str id, name;
    struct weir_text raw; /* of an opaque block */
    struct anthropic_piece *pieces, *last_piece;
};
struct anthropic_piece {
    struct anthropic_piece *next;
    uint16_t delta_kind;
    struct weir_text text;
};

/* Are only tokens to be counted? */
static inline bool anthropic_counts(const struct anthropic *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    return c && c->operation == WEIR_OP_COUNT;
}

/* Ingress state; lifetime: request. */
struct anthropic_client {
    /* Where things stand in the request's body; n 0 (at 0): nowhere that could be found. */
    struct anthropic_span fields[WEIR_FIELD_COUNT];
    struct anthropic_span system, thinking, output_config, metadata;
    bool was_system_inserted;
    bool has_foreign; /* what weir itself put into an answer: a request in the same dialect is written anew */
    /* The answer */
    struct anthropic_told *open, *last_open; /* in order; the first is the one that the client sees grow */
    uint32_t n_told; /* blocks begun at the client: the next one's index */
    bool has_started, has_finish, was_finish_told;
    uint16_t finish;
    struct weir_str stop_sequence;
    struct weir_usage usage;
};

/* Signatures of other dialects (signature.c), in a thought's place and in a call's id. The second of each: true if there was one. */
struct weir_str anthropic_wrapped(struct anthropic *o, struct weir_str signature, struct weir_str dialect);
bool anthropic_unwrap(struct anthropic *o, struct weir_text *signature, struct weir_str *dialect);
struct weir_str anthropic_marked_id(struct anthropic *o, struct weir_str id, struct weir_str signature,
                                    struct weir_str dialect);
bool anthropic_unmark_id(struct anthropic *o, struct weir_str *id, struct weir_text *signature, struct weir_str *dialect);

/* Calls of this turn stand there without the thoughts that they came from. */
bool anthropic_is_in_foreign_loop(const struct weir_conversation *c);

/* Counting (count.c): what an answer says, both ways. */
int anthropic_decode_count(struct anthropic *o, struct weir_str document);
int anthropic_encode_count(struct anthropic *o, struct weir_out *out, const struct weir_answer *answer);

int anthropic_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int anthropic_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int anthropic_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                           struct weir_out *out);
int anthropic_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                            struct weir_out *out);
int anthropic_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                           struct weir_out *out);
int anthropic_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list,
                            struct weir_out *out);

/* ---- egress ---- */

/* A tool name that the provider would not take, and what it is called there. */
struct anthropic_alias {
    struct anthropic_alias *next;
    struct weir_str name, sent;
};

/* Egress state; lifetime: attempt. */
struct anthropic_attempt {
    bool is_vertex;
    struct anthropic_alias *aliases;
    struct weir_usage usage;
    uint32_t n_blocks; /* highest index seen + 1 */
    /* Blocks that have begun and not stopped: one by the book. What the provider says of others makes no sense. */
    struct anthropic_open {
        uint32_t index;
        bool is_opaque; /* only this dialect has it: its deltas are its own too */
    } open[8];
    uint32_t n_open;
    bool has_started, has_finished, has_ended;
};

int anthropic_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int anthropic_vertex_head(struct anthropic *o);
void anthropic_put_vertex_version(struct anthropic *o, struct weir_out *out);
int anthropic_encode_request(void *self, struct weir_call *call, void *state,
                             const struct weir_conversation *conversation, struct weir_out *out);
int anthropic_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int anthropic_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int anthropic_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                           struct weir_error *error);

/* ---- models ---- */

/* What a model takes, told from its name; of a name that tells nothing (a compatible server's) the widest is assumed. */
struct anthropic_model {
    bool takes_budget; /* thinking: {enabled, budget_tokens}; false: only {adaptive} with an effort */
    bool takes_thinking;
    bool takes_effort;
    bool takes_xhigh; /* effort above high */
    bool takes_sampling; /* temperature, top_p, top_k */
    bool takes_forced_tools; /* tool_choice any, tool */
    bool takes_strict;
    bool thinks_unasked; /* and must be told not to */
    bool always_thinks; /* and refuses to be told */
};
/* model: as JSON, with its quotes. */
struct anthropic_model anthropic_model_of(struct weir_str model);

/* ---- shared ---- */

/* Reads an error member's value, {"type":…,"message":…}. r stands before it. */
void anthropic_read_error(struct anthropic *o, struct weir_json *r, struct weir_error *error);
enum weir_finish anthropic_finish_of(struct weir_str reason);
/* Reads a usage object over what is known; null and absent members keep what there is. */
void anthropic_read_usage(struct anthropic *o, struct weir_json *r, struct weir_usage *usage);
/* What the table (says, anthropic.c) calls PARTLY is not said here as it was meant. */
void anthropic_lose(struct anthropic *o, uint32_t feature, enum weir_loss what, const char *why);
/* "unsupported", with a sentence. Returns -1. */
int anthropic_unsupported(struct anthropic *o, const char *param, const char *message);

#endif
