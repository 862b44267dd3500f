/* What the rooms of the cohere codec share. Nothing here is seen outside this folder.
 *
 *   request.c   ingress: the client's request -> conversation       splice.c    ingress: edits -> the client's bytes
 *   encode.c    egress: conversation -> the provider's request      error.c     errors, both ways
 *   response.c  egress: the provider's answer -> events             answer.c    ingress: events -> the client's answer
 *   embed.c     embeddings, both ways                               document.c  the same as one document, lists of models
 *   rerank.c    rerank, both ways                                   cohere.c    the descriptor and what can be said
 *   signature.c what others signed, through a client of this dialect
 * messages.c and documents.c, encode_messages.c, and whole.c are the larger halves of request.c, encode.c and response.c.
 */
#ifndef COHERE_H
#define COHERE_H

#include <weir/codec.h>

#define COHERE_DIALECT WEIR_LIT("cohere")
/* The name of a text that is the plan of the calls behind it, and of a text in a result that is a document. */
#define COHERE_PLAN WEIR_LIT("tool_plan")
#define COHERE_DOCUMENT WEIR_LIT("document")

/* The options of a provider entry with `dialect: cohere`. */
struct cohere_entry {
    int32_t rerank; /* enum cohere_rerank */
    const char *input_type;
};
enum cohere_rerank { COHERE_RERANK_COHERE, COHERE_RERANK_JINA };

/* What every op needs at hand; lives on the op's stack. */
struct cohere {
    const struct weir_host *host;
    const struct weir_json_api *json;
    struct weir_call *call;
    bool failed; /* fail() or fail_json() was called, or memory is short */
    bool is_own; /* the client speaks this dialect too: nothing needs to be made fit for it */
};

static inline struct cohere cohere_begin(void *self, struct weir_call *call)
{
    const struct weir_host *host = self;
    return (struct cohere){ host, host->json, call, false, false };
}

static inline uint32_t cohere_operation(const struct cohere *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    return c ? c->operation : (uint32_t)WEIR_OP_CHAT;
}

/* ---- ingress ---- */

/* What another dialect's provider signed (signature.c). */
struct cohere_signed {
    struct weir_str dialect, signature;
};

/* A block of a streamed answer as it was told to the client. */
struct cohere_told {
    struct cohere_told *next;
    uint32_t block, index; /* index: of the content, or of the calls */
    uint16_t kind;
    bool is_begun, is_plan, has_arguments;
    /* A call is begun with its second piece or its end: a signature, which its id has to carry, may come behind the first. */
    struct weir_str id, name, first;
    struct cohere_signed mark;
};

/* Ingress state; lifetime: request. */
struct cohere_client {
    uint32_t messages_at; /* behind the '['; 0: nowhere that could be found */
    uint64_t odd_fields; /* 1 << field: its member is there, but says nothing that could be replaced in place */
    bool has_foreign; /* an id carried what another dialect's provider signed */
    /* The answer */
    struct weir_str id;
    struct cohere_signed thought; /* waits for the next call */
    struct cohere_told *blocks;
    uint32_t n_contents, n_calls, n_citations;
    uint16_t finish;
    bool is_done;
    struct weir_usage usage;
};

int cohere_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body);
int cohere_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
int cohere_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out);
int cohere_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out);
int cohere_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out);
int cohere_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out);

/* The client's word for why an answer ended; tells what is lost by it. */
const char *cohere_finish_word(struct cohere *o, uint32_t finish, bool has_calls);
void cohere_put_usage(struct cohere *o, struct weir_out *out, const struct weir_usage *u);
/* Vectors and ranks, as documents. */
void cohere_put_vectors(struct cohere *o, struct weir_out *out, const struct weir_answer *a);
void cohere_put_ranks(struct cohere *o, struct weir_out *out, const struct weir_answer *a);

/* ---- egress ---- */

/* A tool name that the provider would not take, and what it is called there. */
struct cohere_alias {
    struct cohere_alias *next;
    struct weir_str name, sent;
};

/* Egress state; lifetime: attempt. */
struct cohere_attempt {
    const struct cohere_entry *entry; /* NULL: the defaults */
    struct cohere_alias *aliases;
    uint32_t n_blocks, open_block;
    uint16_t open_kind; /* enum weir_block_kind; 0: none */
    bool is_plan, is_ended; /* the open block is a plan; has ended: what may still come are its citations */
    bool has_started, has_calls, has_finish, has_ended;
};

int cohere_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int cohere_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
int cohere_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
int cohere_decode_end(void *self, struct weir_call *call, void *state, bool clean);
int cohere_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error);

/* ---- shared ---- */

/* An id with what was signed in it; and the id alone, what was signed taken out of it. */
struct weir_str cohere_mark_id(struct cohere *o, struct weir_str id, const struct cohere_signed *thought,
                               const struct cohere_signed *call);
struct weir_str cohere_unmark_id(struct weir_str id, struct cohere_signed *thought, struct cohere_signed *call);

/* How a setting is called on the wire where its canonical form stands there; NULL: nowhere. */
const char *cohere_field_key(uint32_t field);
/* Puts the error into the class that its status and words tell. */
void cohere_classify(struct weir_error *error, int status);
/* "unsupported", with a sentence. Returns -1. */
int cohere_unsupported(struct cohere *o, const char *param, const char *message);

static inline struct weir_event cohere_event(enum weir_event_kind kind, uint32_t choice, uint32_t block)
{
    struct weir_event e = { .size = sizeof(e), .kind = (uint16_t)kind, .choice = choice, .block = block };
    return e;
}

#endif
