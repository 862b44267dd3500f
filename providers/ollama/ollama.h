/* What the rooms of the ollama codec share. Nothing here is seen outside this folder.
 *
 *   request.c   ingress: the client's request -> conversation       splice.c  ingress: edits -> the client's bytes
 *   encode.c    egress: conversation -> the provider's request      error.c   errors, both ways
 *   response.c  egress: the provider's answer -> events             answer.c  ingress: events -> the client's answer
 *   embed.c     embeddings, both ways                               document.c  the same as one document, lists of models
 *   ollama.c    the descriptor and what can be said                 signature.c  what others signed, through a client of this one
 * messages.c and encode_messages.c are the larger halves of request.c and encode.c.
 */
#ifndef OLLAMA_H
#define OLLAMA_H

#include <weir/codec.h>

#define OLLAMA_DIALECT WEIR_LIT("ollama")

/* What every op needs at hand; lives on the op's stack. */
struct ollama {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called, or memory is short */
    bool is_own; /* the client speaks this dialect too */
};

static inline struct ollama ollama_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct ollama){ host, host->json, call, false, false };
}

/* ---- ingress ---- */

/* What another dialect's provider signed (signature.c). */
struct ollama_signed {
    struct weir_str dialect, signature;
};

struct ollama_call {
    struct weir_str id, name;
    uint32_t index;
    struct ollama_signed thought, mark;
};

/* A tool call as it was begun in a streamed answer: it is told whole when it ends. */
struct ollama_told {
    struct ollama_told *next;
    uint32_t block;
    struct ollama_call call;
    char *arguments;
    uint32_t n, cap;
};

/* Ingress state; lifetime: request. */
struct ollama_client {
    /* Where something can be put into the request's body; 0: nowhere. */
    uint32_t messages_at; /* behind the '[' */
    uint32_t options_at; /* behind the '{' of options that are not empty */
    uint64_t odd_fields; /* 1 << field: its member is there, but says nothing that could be replaced in place */
    bool has_foreign; /* an id carried what another dialect's provider signed */
    /* The answer */
    struct ollama_signed thought; /* waits for the next call */
    struct weir_str head; /* `{"model":…,"created_at":…` of every line */
    struct ollama_told *calls;
    uint32_t n_calls;
    uint16_t finish;
    bool is_done;
    struct weir_usage usage;
};

int ollama_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int ollama_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int ollama_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out);
int ollama_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out);
int ollama_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out);
int ollama_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out);

/* ---- egress ---- */

/* Egress state; lifetime: attempt. */
struct ollama_attempt {
    uint32_t n_blocks, open_block;
    uint16_t open_kind; /* enum weir_block_kind; 0: none */
    bool has_started, has_ended, has_calls;
};

int ollama_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int ollama_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
int ollama_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int ollama_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int ollama_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error);

/* ---- shared ---- */

/* An id with what was signed in it; and the id alone, what was signed taken out of it. */
struct weir_str ollama_mark_id(struct ollama *o, struct weir_str id, const struct ollama_signed *thought,
                               const struct ollama_signed *call);
struct weir_str ollama_unmark_id(struct weir_str id, struct ollama_signed *thought, struct ollama_signed *call);

/* A member of `options` and the setting it is. */
struct ollama_option {
    const char *name;
    uint8_t field; /* enum weir_field */
};
extern const struct ollama_option ollama_options[];
enum { OLLAMA_OPTIONS = 8 };

/* `text` of an error is a sentence and nothing more: it tells the class where the status does not. */
void ollama_classify(struct weir_error *error, int status);
/* "unsupported", with a sentence. Returns -1. */
int ollama_unsupported(struct ollama *o, const char *param, const char *message);

static inline struct weir_event ollama_event(enum weir_event_kind kind, uint32_t choice, uint32_t block)
{
    struct weir_event e = { .size = sizeof(e), .kind = (uint16_t)kind, .choice = choice, .block = block };
    return e;
}

#endif
