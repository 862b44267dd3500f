/* What the rooms of the bedrock codec share. Nothing here is seen outside this folder.
 *
 *   request.c  ingress: settings and tools of the client's request    blocks.c  ingress: its messages
 *   splice.c   ingress: edits -> the client's bytes                   model.c   what a model's family takes and refuses
 *   encode.c   egress: conversation -> the provider's request         extra.c   egress: thinking, and what only some models know
 *   encode_messages.c, media.c  egress: its messages, their images and documents
 *   response.c egress: the provider's answer -> events                answer.c, whole.c  ingress: events -> the client's answer
 *   message.c  the binary messages of a stream                        usage.c   usage, and why an answer ended
 *   error.c    errors, both ways
 *   signature.c  both: what others signed, on its way through
 *   sign.c     egress: the signature                                  path.c    model ids in paths
 *   embed.c    egress: vectors                                        vectors.c  ingress: vectors
 *   metering.c relayed calls: what they cost                          bedrock.c  the descriptor
 */
#ifndef BEDROCK_H
#define BEDROCK_H

#include <weir/codec.h>

#define BEDROCK_DIALECT WEIR_LIT("bedrock")

/* What every op needs at hand; lives on the op's stack. */
struct bedrock {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called */
    bool is_own; /* the client speaks this dialect too: nothing needs to be made fit for it */
};

static inline struct bedrock bedrock_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct bedrock){ host, host->json, call, false, false };
}

/* ---- ingress ---- */

struct bedrock_span {
    uint32_t at, n;
};

/* A block of the streamed answer that the client has not seen to its end. One after the other is told; what comes for others
 * meanwhile waits here. */
struct bedrock_told {
    struct bedrock_told *next;
    uint32_t block;
    uint16_t kind; /* enum weir_block_kind */
    bool has_begun, has_stopped;
    struct weir_str id, name;
    struct weir_text raw; /* of an opaque block */
    struct bedrock_piece *pieces, *last_piece;
};
struct bedrock_piece {
    struct bedrock_piece *next;
    uint16_t delta_kind;
    bool is_own;
    struct weir_text text;
};

/* Whose words a body of InvokeModel speaks, and its answer. */
enum bedrock_words { BEDROCK_NO_WORDS, BEDROCK_TITAN, BEDROCK_COHERE, BEDROCK_NOVA };
/* Told by a member that only they have. */
enum bedrock_words bedrock_words_of(struct weir_str key);

/* Ingress state; lifetime: request. */
struct bedrock_client {
    enum bedrock_words words; /* of a request for vectors */
    bool wants_types; /* it lists encodings: vectors are told by their names */
    /* Where things stand in the request's body; n 0 (at 0): nowhere that could be found. */
    struct bedrock_span system, inference;
    bool was_system_inserted, was_inference_inserted;
    bool has_foreign, has_unsigned; /* brings back another provider's signature; a thought that nobody signed */
    /* The answer */
    struct bedrock_told *open, *last_open; /* in order; the first is the one that the client sees grow */
    uint32_t n_told; /* blocks begun at the client: the next one's index */
    bool has_stopped; /* messageStop was told */
    struct weir_usage usage;
};

int bedrock_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int bedrock_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int bedrock_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                         struct weir_out *out);
int bedrock_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                          struct weir_out *out);
int bedrock_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                         struct weir_out *out);

/* ---- egress ---- */

/* A tool name that the provider would not take, and what it is called there. */
struct bedrock_alias {
    struct bedrock_alias *next;
    struct weir_str name, sent;
};

/* Egress state; lifetime: attempt. */
struct bedrock_attempt {
    struct bedrock_alias *aliases;
    struct weir_usage usage;
    bool is_metered; /* a relayed call's own words told what it cost */
    struct bedrock_open {
        uint32_t index;
        uint16_t kind; /* enum weir_block_kind */
    } open[8]; /* blocks that have begun and not stopped: one by the book */
    uint32_t n_open;
    bool has_started, has_finished, has_ended;
};

int bedrock_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int bedrock_encode_request(void *self, struct weir_call *call, void *state,
                           const struct weir_conversation *conversation, struct weir_out *out);
int bedrock_sign(void *self, struct weir_call *call, void *state, const struct weir_outgoing *request);
int bedrock_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int bedrock_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int bedrock_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                         struct weir_error *error);

void bedrock_put_vectors(struct bedrock *o, const struct bedrock_client *client, struct weir_out *out,
                         const struct weir_answer *a);
/* A client's own body for vectors, in words that the target does not speak? Then fail() was called. */
bool bedrock_refuses_words(struct bedrock *o, const struct weir_conversation *c);
/* Calls that are relayed as they are: emits what they cost. */
int bedrock_meter_frame(struct bedrock *o, struct bedrock_attempt *attempt, const struct weir_frame *frame);
int bedrock_meter_end(struct bedrock *o, const struct bedrock_attempt *attempt);
int bedrock_decode_vectors(struct bedrock *o, struct bedrock_attempt *attempt, struct weir_str body);
int64_t bedrock_number(struct weir_str s);

/* ---- models ---- */

enum bedrock_family { BEDROCK_CLAUDE, BEDROCK_AMAZON, BEDROCK_MISTRAL, BEDROCK_OPENAI, BEDROCK_OTHER };

/* What a model takes, told from its id; of an id that tells nothing (an application profile's) Claude's words are assumed. */
struct bedrock_model {
    enum bedrock_family family;
    bool takes_budget; /* thinking: {enabled, budget_tokens} */
    bool takes_thinking;
    bool takes_effort; /* an effort, in the family's own words */
    bool takes_xhigh;
    bool takes_sampling; /* temperature, topP, top_k */
    bool takes_both; /* temperature beside topP */
    bool takes_forced_tools;
    bool takes_strict;
    bool takes_schema; /* outputConfig.textFormat */
    bool takes_top_k;
    bool takes_ttl; /* of a cache point */
    bool thinks_unasked, always_thinks;
};
struct bedrock_model bedrock_model_of(struct weir_str id);
/* The model's id as the conversation names it, plain. */
struct weir_str bedrock_model_id(struct bedrock *o, const struct weir_conversation *c);

/* ---- paths ---- */

/* The model's id of "…/model/{id}/converse", "…/invoke" …, decoded; "" if the path is another one. */
struct weir_str bedrock_path_model(struct bedrock *o, struct weir_str path);
bool bedrock_path_ends(struct weir_str path, const char *end);
/* Everything but letters, digits and -._~ as %XX; '/' stays if keep_slash. NULL when memory is short. */
struct weir_str bedrock_percent(struct bedrock *o, struct weir_str s, bool keep_slash);

/* ---- the messages of a stream ---- */

/* Writes one message: kind is "event" or "exception", name its type, payload its JSON. */
void bedrock_put_message(struct bedrock *o, struct weir_out *out, const char *kind, const char *name,
                         struct weir_str payload);

/* ---- signatures of others ---- */

/* How a signature stands in an answer of this dialect; as it is if it is the dialect's own. */
struct weir_str bedrock_carried(struct bedrock *o, struct weir_str signature, struct weir_str dialect);
/* false: it is not one that bedrock_carried() wrote. */
bool bedrock_uncarry(struct bedrock *o, struct weir_text *signature, struct weir_str *dialect);
/* The same for a call, whose id carries it. */
struct weir_str bedrock_marked_id(struct bedrock *o, struct weir_str id, struct weir_str signature,
                                  struct weir_str dialect);
bool bedrock_unmark_id(struct bedrock *o, struct weir_str *id, struct weir_text *signature, struct weir_str *dialect);
/* Are the calls that wait for the model's answer such that its own thoughts don't stand before them? */
bool bedrock_is_in_foreign_loop(const struct weir_conversation *c);

/* ---- shared ---- */

/* The type of a call or a result: was it the provider's own tool? "server_tool_use", "nova_grounding_result"; not "tool_use". */
bool bedrock_is_hosted(struct weir_str type);
/* {"key":raw}; lives as long as the op. */
struct weir_str bedrock_wrapped(struct bedrock *o, struct weir_str key, struct weir_str raw);

enum weir_finish bedrock_finish_of(struct weir_str reason);
const char *bedrock_stop_reason(uint32_t finish);
/* Reads a usage object over what is known. */
void bedrock_read_usage(struct bedrock *o, struct weir_json *r, struct weir_usage *u);
void bedrock_put_usage(struct bedrock *o, struct weir_out *out, const struct weir_usage *u);
void bedrock_put_stop(struct bedrock *o, struct weir_out *out, uint32_t finish, const struct weir_text *sequence);
/* The milliseconds since the request came. */
void bedrock_put_metrics(struct bedrock *o, struct weir_out *out);
/* Reads {"message":…} of an exception of this type into error. */
void bedrock_read_exception(struct bedrock *o, struct weir_str type, struct weir_str body, struct weir_error *error);
const char *bedrock_exception_of(const struct weir_error *error);
/* "unsupported", with a sentence. Returns -1. */
int bedrock_unsupported(struct bedrock *o, const char *param, const char *message);

static inline void bedrock_lose(struct bedrock *o, uint32_t feature, enum weir_loss what, const char *why)
{
    o->host->lose(o->call, (enum weir_feature)feature, what, why);
}

static inline void bedrock_put_member(struct bedrock *o, struct weir_out *out, const char *key, const char *value)
{
    o->json->key(out, key);
    o->json->put_str(out, weir_cstr(value));
}

#endif
