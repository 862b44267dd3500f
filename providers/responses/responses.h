/* What the rooms of the responses codec share. Nothing here is seen outside this folder.
 *
 *   request.c  ingress: settings and tools of the client's request    items.c   ingress: its input
 *   splice.c   ingress: edits -> the client's bytes                   fields.c  one setting <-> its member on the wire
 *   encode.c   egress: conversation -> the provider's request         encode_items.c  egress: its input
 *   response.c egress: the provider's stream -> events                output.c  egress: whole answers and items -> events
 *   ladder.c   ingress: events -> the client's stream                 document.c  ingress: the response object, whole answers
 *   error.c    errors, both ways                                      carrier.c  others' signatures in a reasoning item
 *   responses.c  the descriptor
 */
#ifndef RESPONSES_H
#define RESPONSES_H

#include <weir/codec.h>

#define RESPONSES_DIALECT WEIR_LIT("responses")

/* What every op needs at hand; lives on the op's stack. */
struct responses {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called */
    bool is_own; /* the client speaks this dialect too: nothing needs to be made fit for it */
};

static inline struct responses responses_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct responses){ host, host->json, call, false, false };
}

/* White space between JSON's tokens. */
static inline bool responses_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Ids of items that weir made, because another dialect has none: nobody else knows them. */
#define RESPONSES_MADE "weir_"
static inline bool responses_is_made(struct weir_str id)
{
    const char *underline = id.n ? memchr(id.p, '_', id.n < 5 ? id.n : 5) : NULL;
    size_t n = underline ? (size_t)(id.p + id.n - underline) - 1 : 0;
    return n > 5 && memcmp(underline + 1, RESPONSES_MADE, 5) == 0;
}
static inline struct weir_str responses_known_id(struct weir_str id)
{
    return responses_is_made(id) ? WEIR_NONE : id;
}

/* ---- ingress ---- */

struct responses_span {
    uint32_t at, n;
};

/* Members of the request that the response object says again. */
enum responses_echo {
    ECHO_INSTRUCTIONS,
    ECHO_MAX_OUTPUT_TOKENS,
    ECHO_METADATA,
    ECHO_PARALLEL_TOOL_CALLS,
    ECHO_REASONING,
    ECHO_TEMPERATURE,
    ECHO_TEXT,
    ECHO_TOOL_CHOICE,
    ECHO_TOOLS,
    ECHO_TOP_P,
    ECHO_TRUNCATION,
    ECHO_USER,
    ECHOES,
};

/* A text that grows. What was added at once stays together: no character and no escape is ever split. */
struct responses_chunk {
    struct responses_chunk *next;
    uint32_t n, cap;
    bool is_plain; /* else as the inside of a JSON string */
    char p[];
};
struct responses_rope {
    struct responses_chunk *first, *last;
};

/* Something that the answer says: an item of the output, or one content part of a message. */
struct responses_told {
    struct responses_told *next; /* in order of appearance */
    uint32_t block;
    uint32_t output_index, content_index;
    uint16_t kind; /* enum weir_block_kind */
    bool is_open, has_text, is_cut; /* is_cut: of a message that the limit ended */
    struct weir_str id, name; /* the item's id; the tool's name */
    struct weir_str call; /* a call's id; of thinking: the call whose signature this carries */
    struct weir_text raw; /* of an opaque item */
    struct weir_str signature_dialect;
    struct responses_rope text, signature, citations, logprobs;
    uint32_t n_citations;
};

/* Ingress state; lifetime: request. */
struct responses_client {
    /* Where things stand in the request's body; n 0: nowhere that could be found. */
    struct responses_span fields[WEIR_FIELD_COUNT];
    struct responses_span echo[ECHOES];
    bool was_put[ECHOES]; /* by a splice, where it was absent */
    bool has_foreign; /* items that weir made of what another dialect said: the provider knows none of them */
    /* The answer */
    struct weir_str id, model;
    int64_t created_s;
    struct responses_told *told, *last_told;
    struct responses_told *message; /* first part of the message that is open; NULL: none is */
    uint32_t n_parts, n_open_parts; /* of that message */
    bool is_sealed; /* it takes no more parts */
    bool has_started, has_finish;
    uint16_t finish;
    const char *status; /* the dialect's own word of how it stands, if it was told in this dialect */
    uint32_t n_items; /* items begun: the next one's output_index */
    int64_t sequence;
    struct weir_usage usage;
};

int responses_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int responses_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int responses_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                           struct weir_out *out);
int responses_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                            struct weir_out *out);
int responses_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                           struct weir_out *out);

/* ---- egress ---- */

/* A tool name that the provider would not take, and what it is called there. */
struct responses_alias {
    struct responses_alias *next;
    struct weir_str name, sent;
};

/* A block that has begun and not stopped. */
struct responses_open {
    struct responses_open *next;
    uint32_t output_index, content_index, block;
    uint16_t kind; /* enum weir_block_kind */
    uint16_t source; /* thinking: enum responses_source */
    bool has_text, is_done; /* is_done: a call that is over; see output.c */
    struct weir_str call; /* its id */
};
enum responses_source { SOURCE_NONE, SOURCE_SUMMARY, SOURCE_CONTENT };

/* Egress state; lifetime: attempt. */
struct responses_attempt {
    struct responses_alias *aliases;
    struct responses_open *open, *spare;
    uint32_t n_blocks; /* begun so far */
    bool has_started, has_ended, has_calls;
    bool names_ids; /* each response object gets its provider's name behind its id */
};

int responses_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int responses_encode_request(void *self, struct weir_call *call, void *state,
                             const struct weir_conversation *conversation, struct weir_out *out);
int responses_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int responses_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int responses_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                           struct weir_error *error);

/* ---- shared ---- */

/* What stands before a signature of another dialect; "" if it is this dialect's own. call: "", or the call that it is of. */
struct weir_str responses_carrier_head(struct responses *o, struct weir_str dialect, struct weir_str call);
/* Undoes it: true if what was said is a signature of another dialect; `call` is set if it belongs to a call. */
bool responses_open_carrier(struct responses *o, struct weir_text said, struct weir_str *dialect, struct weir_str *call,
                            struct weir_text *signature);

/* How a setting is called on the wire, "reasoning.effort" where it stands inside another; NULL: the dialect has none. */
const char *responses_field_key(enum weir_field f);
/* The setting's value as the dialect writes it. */
void responses_put_field(struct responses *o, struct weir_out *out, enum weir_field f, struct weir_str value);

/* What `error` (the value of an error member, of any shape) says. r stands before it; consumes it. */
void responses_read_error(struct responses *o, struct weir_json *r, struct weir_error *error);
/* The code of an error as this dialect's clients know it. */
struct weir_str responses_error_code(const struct weir_error *error);
/* "unsupported", with a sentence. Returns -1. */
int responses_unsupported(struct responses *o, const char *param, const char *message);
/* A translation could not say this as it was meant. */
void responses_lose(struct responses *o, uint32_t feature, enum weir_loss what, const char *why);

#endif
