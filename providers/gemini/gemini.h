/* What the rooms of the gemini codec share. Nothing here is seen outside this folder.
 *
 *   gemini.c    the descriptor                             model.c     what a model's name tells, its path
 *   decode.c    ingress: settings of the client's request  parts_in.c  ingress: its contents
 *   tools_in.c  ingress: its tools, schemas                splice.c    ingress: edits -> the client's bytes
 *   answer.c    ingress: events -> the client's stream     document.c  ingress: documents, lists of models
 *   request.c   egress: settings and tools -> the request  contents.c  egress: messages -> contents
 *   response.c  egress: the answer -> events               parts.c     egress: a part of the answer -> events
 *   error.c     errors, both ways                          embed.c     embeddings and token counts, both ways
 *   signature.c signatures of other dialects in this one's places      words.c     ingress: what streams and documents share
 *   logprobs.c  log probabilities, both ways               split.c     egress: a stream that is one JSON array
 */
#ifndef GEMINI_H
#define GEMINI_H

#include <weir/codec.h>

#define GEMINI_DIALECT WEIR_LIT("gemini")

/* How a family of models is told to think. */
enum gemini_family {
    GEMINI_PLAIN = 0, /* not at all */
    GEMINI_BUDGET, /* 2.5: a number of tokens */
    GEMINI_LEVEL, /* 3 and later: a level; calls must carry their signatures */
};

struct gemini_model {
    enum gemini_family family;
    int major, minor;
    bool is_pro, is_lite;
};

/* A tool name that Gemini would not take, and what it is called there. */
struct gemini_alias {
    struct gemini_alias *next;
    struct weir_str name, sent;
};

enum { GEMINI_CHOICES = 8 };

/* A candidate of the answer, as far as it has come. */
struct gemini_choice {
    uint32_t n_blocks, open_block;
    uint16_t open_kind; /* enum weir_block_kind; 0: none */
    bool is_seen, has_calls, has_content, has_finish;
    uint16_t finish; /* enum weir_finish; told at the end, because parts may follow it */
    struct weir_str native, message; /* lifetime: request */
};

/* How far a stream that is an array was looked through; from the start of the first element that is not whole. */
struct gemini_scan {
    size_t at;
    uint32_t depth;
    bool in_string, is_escaped, in_array, is_over;
};

/* Egress state; lifetime: attempt. */
struct gemini_attempt {
    struct gemini_scan scan;
    struct gemini_model model;
    struct gemini_alias *aliases;
    struct gemini_choice choices[GEMINI_CHOICES];
    bool has_started, has_ended, has_usage;
    struct weir_usage usage;
};

/* ---- ingress ---- */

struct gemini_span {
    uint32_t at, n;
};

/* What the client's path asks for. */
enum gemini_verb {
    GEMINI_GENERATE = 0,
    GEMINI_STREAM, /* server-sent events */
    GEMINI_ARRAY, /* without alt=sse: one growing array of answers */
    GEMINI_COUNT,
    GEMINI_EMBED,
    GEMINI_EMBED_BATCH,
};

/* A block of the answer that the client has not seen to its end. */
struct gemini_told {
    struct gemini_told *next;
    uint32_t choice, block;
    uint16_t kind; /* enum weir_block_kind */
    struct weir_str id, name, signature, signer;
    char *text; /* of a call: its arguments so far; of an image: its data */
    size_t n, cap;
};

struct gemini_told_choice {
    bool is_seen, is_silent; /* its finish went out as the provider's bytes */
    bool has_finish, has_call; /* a call was told */
    uint16_t finish;
    struct weir_str native;
    struct weir_str cited; /* {"citationMetadata":…} and the like, without braces */
};

/* Ingress state; lifetime: request. */
struct gemini_client {
    enum gemini_verb verb;
    bool has_begun; /* an element of the array went out */
    bool has_foreign; /* what weir itself put into an answer: a request in the same dialect is written anew */
    uint32_t root_at; /* behind the '{' of the request's object; 0: not found */
    uint32_t generation_at, thinking_at, system_at; /* behind the '{' of generationConfig, thinkingConfig, the '[' of parts */
    bool is_generation_empty, is_thinking_empty, is_system_empty, has_system, was_inserted;
    uint64_t said; /* settings that stand in the body, a bit each */
    struct gemini_span *models; /* the values of `model` in the body */
    uint32_t n_models, cap_models;
    /* The answer */
    struct weir_str id, model, tail; /* tail: of each chunk, made once */
    struct gemini_told *open;
    struct gemini_told_choice choices[GEMINI_CHOICES];
    struct weir_usage usage;
};

/* What every op needs at hand; lives on the op's stack. */
struct gemini {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    struct gemini_attempt *attempt;
    bool failed; /* fail() was called, or memory is short */
};

static inline struct gemini gemini_begin(void *self, struct weir_call *call, void *state)
{
    const struct weir_host *host = self;
    return (struct gemini){ host, host->json, call, state, false };
}

static inline bool gemini_contains(struct weir_str s, const char *word)
{
    return s.n && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static inline bool gemini_starts_with(struct weir_str s, const char *prefix)
{
    return s.n > strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

/* Is this the member's name, in camelCase or in snake_case? */
bool gemini_key(struct weir_str key, const char *camel);

int gemini_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int gemini_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int gemini_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out);
int gemini_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out);
int gemini_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out);
int gemini_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out);

const char *gemini_other_stream_type(void *self, struct weir_call *call, void *state);

/* What the path says: …/models/NAME:verb */
enum gemini_verb gemini_verb_of(const struct weir_request_view *view);
struct weir_str gemini_model_of_path(struct gemini *g, struct weir_str path);

/* Signatures that other dialects made, in places of this one. */
struct weir_str gemini_wrapped_signature(struct gemini *g, struct weir_str signature, struct weir_str dialect);
/* true: it was one of another dialect's. */
bool gemini_unwrap_signature(struct gemini *g, struct weir_text *signature, struct weir_str *dialect);

/* What a stream and a document both say. */
const char *gemini_finish_word(uint32_t finish, struct weir_str native);
void gemini_lose_finish(struct gemini *g, uint32_t finish, bool is_empty);
void gemini_put_usage(struct gemini *g, struct weir_out *out, const struct weir_usage *u);
void gemini_put_call(struct gemini *g, struct weir_out *out, struct weir_str id, struct weir_str name,
                     struct weir_text arguments);
void gemini_put_signature(struct gemini *g, struct weir_out *out, struct weir_str signature, struct weir_str dialect);
void gemini_put_call_signature(struct gemini *g, struct weir_out *out, struct weir_str signature, struct weir_str dialect,
                               bool is_first);
/* A member `logprobsResult` of the blocks' tokens; nothing if there are none. */
void gemini_put_logprobs(struct gemini *g, struct weir_out *out, const struct weir_answer_block *blocks, uint32_t choice);
/* Base64 as a part: `"inlineData":{…}`. */
void gemini_put_image(struct gemini *g, struct weir_out *out, struct weir_str media_type, struct weir_text data);
/* `"groundingMetadata":{…}` of a citation {"groundingMetadata":{…}}; "" if it is another dialect's. */
struct weir_str gemini_inside(struct weir_str object);

/* ---- the request ---- */

struct gemini_encoding {
    struct gemini g;
    const struct weir_conversation *c;
    struct weir_out *out;
    bool is_own; /* the client speaks this dialect too */
};

struct weir_str gemini_model_name(struct gemini *g, const struct weir_conversation *c);
struct gemini_model gemini_model_of(struct weir_str name);
extern const struct weir_token_rates gemini_tokens; /* of a model that isn't known */
const struct weir_token_rates *gemini_tokens_of(void *self, struct weir_str model, struct weir_str base_url);
int gemini_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int gemini_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
void gemini_put_contents(struct gemini_encoding *x); /* systemInstruction and contents */
/* A name as Gemini takes it: letters, digits and _ . : - */
struct weir_str gemini_sent_name(struct gemini *g, struct weir_str name);
struct weir_str gemini_own_name(const struct gemini *g, struct weir_str sent);
/* What the table (says, gemini.c) calls PARTLY is not said here as it was meant. */
void gemini_lose(struct gemini *g, uint32_t feature, enum weir_loss what, const char *why);
/* "unsupported", with a sentence. */
void gemini_unsupported(struct gemini *g, const char *param, const char *message);

void gemini_put_tools(struct gemini_encoding *x);
void gemini_put_tool_choice(struct gemini_encoding *x);
/* Ext members whose path is `folder` and a name; folder "": those of the request itself. */
void gemini_put_ext(struct gemini_encoding *x, const char *folder);
/* An id that weir made for a call that had none. */
bool gemini_is_made_id(struct weir_str id);

/* ---- embeddings and counts ---- */

void gemini_put_inputs(struct gemini_encoding *x);
void gemini_put_count(struct gemini_encoding *x);
int gemini_decode_vectors(struct gemini *g, struct weir_str body);
int gemini_decode_count(struct gemini *g, struct weir_str body);

/* ---- the answer ---- */

void gemini_emit(struct gemini *g, const struct weir_event *e);
void gemini_close_block(struct gemini *g, struct gemini_choice *c, uint32_t choice);
/* One part of a candidate's content. */
void gemini_read_part(struct gemini *g, struct weir_json *r, struct gemini_choice *c, uint32_t choice);
/* Something about the text that is open. */
void gemini_beside_text(struct gemini *g, struct gemini_choice *c, uint32_t choice, enum weir_delta_kind kind,
                        struct weir_str raw);
/* logprobsResult, token by token. */
void gemini_emit_logprobs(struct gemini *g, struct gemini_choice *c, uint32_t choice, struct weir_str result);
enum weir_finish gemini_finish_of(struct weir_str word);
/* Takes a string if one comes, skips anything else. */
void gemini_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to);

int gemini_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int64_t gemini_split(void *self, struct weir_call *call, void *state, struct weir_str bytes);
int gemini_decode_end(void *self, struct weir_call *call, void *state, bool clean);

/* ---- errors ---- */

int gemini_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error);
/* The value of an `error` member; r stands before it. */
void gemini_read_error(struct gemini *g, struct weir_json *r, int status, struct weir_error *error);

static inline struct weir_event gemini_event(enum weir_event_kind kind, uint32_t choice, uint32_t block)
{
    struct weir_event e = { .size = sizeof(e), .kind = (uint16_t)kind, .choice = choice, .block = block };
    return e;
}

#endif
