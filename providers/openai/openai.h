/* What the rooms of the openai codec share. Nothing here is seen outside this folder.
 *
 *   request.c  ingress: the client's request -> conversation        splice.c  ingress: edits -> the client's bytes
 *   encode.c   egress: conversation -> the provider's request       fields.c  one setting <-> its member on the wire
 *   response.c egress: the provider's answer -> events              answer.c  ingress: events -> the client's answer
 *   document.c ingress: the same as one document, lists of models   error.c   errors, both ways
 *   openai.c   the descriptor                                         quirks.c  egress: what single servers do differently
 *   embed.c    embeddings, both ways
 *   signature.c  signatures of other dialects, through a client of this one
 * messages.c, encode_messages.c and delta.c are the larger halves of request.c, encode.c and response.c.
 */
#ifndef OPENAI_H
#define OPENAI_H

#include <weir/codec.h>

#define OPENAI_DIALECT WEIR_LIT("openai")

/* The options of a provider entry with `dialect: openai`. */
struct openai_entry {
    int32_t max_tokens_field; /* enum openai_max_tokens */
    int32_t text_content; /* enum openai_text_content */
    bool can_stream_usage;
    bool replays_reasoning;
    bool takes_developer;
    int32_t tool_call_id; /* enum openai_tool_call_id */
    const char *const *drop, *const *rename; /* NULL at the end; quirks.c */
    const char *path_prefix, *query;
    const char *const *tools_without_effort; /* patterns of models; NULL at the end */
};
enum openai_max_tokens { OPENAI_MAX_AUTO, OPENAI_MAX_COMPLETION_TOKENS, OPENAI_MAX_TOKENS };
enum openai_tool_call_id { OPENAI_ID_ANY, OPENAI_ID_ALNUM9 };
enum openai_text_content { OPENAI_TEXT_PARTS, OPENAI_TEXT_STRING };

/* What every op needs at hand; lives on the op's stack. */
struct openai {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called */
    bool is_own; /* the client speaks this dialect too: nothing needs to be made fit for it */
};

static inline struct openai openai_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct openai){ host, host->json, call, false, false };
}

/* Is it a call for embeddings? */
static inline bool openai_embeds(const struct openai *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    return c && c->operation == WEIR_OP_EMBED;
}

/* White space between JSON's tokens. */
static inline bool openai_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- ingress ---- */

struct openai_span {
    uint32_t at, n;
};

/* A choice of a streamed answer, as it was told to the client. */
struct openai_told {
    struct openai_told *next;
    uint32_t choice;
    bool has_finish;
    struct openai_told_tool *tools;
    uint32_t n_tools;
};
struct openai_told_tool {
    struct openai_told_tool *next;
    uint32_t block, index;
    bool has_arguments, is_custom;
};

/* A thought as it was told, kept because its signature comes behind it. */
struct openai_thought {
    uint32_t choice, block;
    char *text;
    size_t n, cap;
    struct weir_str signature, signer;
};

/* An image as far as it was told. */
struct openai_image {
    struct openai_image *next;
    uint32_t choice, block; /* block UINT32_MAX: over */
    struct weir_str media_type;
    char *data;
    size_t n, cap;
};

/* Ingress state; lifetime: request. */
struct openai_client {
    /* Where things stand in the request's body; n 0 (at 0): nowhere that could be found. */
    struct openai_span fields[WEIR_FIELD_COUNT];
    struct openai_span stream_options;
    uint32_t messages_at; /* behind the '[' */
    bool has_foreign; /* what weir itself put into an answer: a request in the same dialect is written anew */
    /* The answer */
    struct weir_str head; /* `data: {"id":…,"model":…,` of every chunk */
    struct openai_told first, *last;
    bool wants_usage, is_done;
    struct weir_usage usage;
    struct openai_thought thought;
    uint32_t n_details; /* told so far */
    struct openai_image *images;
    uint32_t n_images;
};

/* Images in answers (image.c). */
void openai_put_image(struct openai *o, struct weir_out *out, struct weir_str media_type, struct weir_text data,
                      uint32_t index);
int openai_image_begin(struct openai *o, struct openai_client *s, const struct weir_event *e);
void openai_image_add(struct openai *o, struct openai_client *s, const struct weir_event *e);
/* Its block has stopped; false: there is nothing to tell. */
bool openai_image_take(struct openai_client *s, const struct weir_event *e, struct openai_image *to);

/* Signatures of other dialects (signature.c): of a call, of a thought, of the thought that a stream is telling. */
void openai_put_extra(struct openai *o, struct weir_out *out, struct weir_str signature, struct weir_str dialect);
void openai_put_detail(struct openai *o, struct weir_out *out, struct weir_text text, struct weir_str signature,
                       struct weir_str dialect, uint32_t index);
void openai_keep_thought(struct openai *o, struct openai_client *s, const struct weir_event *e);
void openai_keep_signature(struct openai *o, struct openai_client *s, const struct weir_event *e);

int openai_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int openai_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int openai_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out);
int openai_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out);
int openai_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out);
int openai_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out);

/* The answer to a call for embeddings. */
void openai_put_vectors(struct openai *o, struct weir_out *out, const struct weir_answer *answer);
const char *openai_finish_word(uint32_t finish, bool has_calls);
/* Tells what the word does not say. */
void openai_lose_finish(struct openai *o, uint32_t finish);
void openai_put_usage(struct openai *o, struct weir_out *out, const struct weir_usage *u);

/* ---- egress ---- */

/* A tool name that the provider would not take, and what it is called there. */
struct openai_alias {
    struct openai_alias *next;
    struct weir_str name, sent;
};

struct openai_tool {
    uint32_t index, block; /* index: as the provider numbers it */
    uint32_t id_hash; /* servers exist that give every call index 0: then the id tells them apart */
    bool is_open;
};

/* A choice of the provider's answer. */
struct openai_choice {
    uint32_t n_blocks; /* begun so far */
    uint32_t open_block; /* of open_kind */
    uint16_t open_kind; /* text, thinking, refusal or audio that is open; 0: none */
    bool is_seen, has_finish, has_tools;
    struct openai_tool *tools;
    uint32_t n_tools, cap_tools;
};

/* Egress state; lifetime: attempt. */
struct openai_attempt {
    const struct openai_entry *entry; /* NULL: the defaults */
    struct openai_alias *aliases;
    struct openai_choice first; /* choice 0 … */
    struct openai_choice *more; /* … and the others */
    uint32_t n_more;
    bool is_begun; /* the flags below are known */
    bool has_many, hides_usage;
    bool has_started, has_ended;
};

int openai_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int openai_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
int openai_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int openai_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int openai_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error);

/* ---- shared ---- */

/* How a setting is called on the wire; NULL: the dialect has none. model decides between the two names of the limit. */
const char *openai_field_key(enum weir_field f, struct weir_str model, const struct openai_entry *entry);
/* The setting's value as the dialect writes it. */
void openai_put_field(struct openai *o, struct weir_out *out, enum weir_field f, struct weir_str value);

/* What `error` (the value of an error member, of any shape) says. r stands before it; consumes it. */
void openai_read_error(struct openai *o, struct weir_json *r, struct weir_error *error);
/* Puts the error into the class that its words and status tell. */
void openai_classify(struct weir_error *error, int status, struct weir_str type);
/* {"message":…,"type":…,"param":…,"code":…} */
void openai_put_error(struct openai *o, struct weir_out *out, const struct weir_error *error);
/* What the table (says, openai.c) calls PARTLY is not said here as it was meant. */
void openai_lose(struct openai *o, uint32_t feature, enum weir_loss what, const char *why);
/* "unsupported", with a sentence. Returns -1. */
int openai_unsupported(struct openai *o, const char *param, const char *message);

#endif
