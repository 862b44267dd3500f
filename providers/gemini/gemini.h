/* What the rooms of the gemini codec share. It has the egress side only: weir's clients speak other dialects.
 *
 *   gemini.c    the descriptor, path and model family      contents.c  messages -> contents
 *   request.c   settings and tools -> the request          response.c  the answer -> events
 *   parts.c     a part of the answer -> events             error.c     errors -> classes
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

/* Egress state; lifetime: attempt. */
struct gemini_attempt {
    struct gemini_model model;
    struct gemini_alias *aliases;
    struct gemini_choice choices[GEMINI_CHOICES];
    bool has_started, has_ended, has_usage;
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

/* ---- the request ---- */

struct gemini_encoding {
    struct gemini g;
    const struct weir_conversation *c;
    struct weir_out *out;
    uint32_t noted; /* losses that were noted already, a bit each */
};

struct weir_str gemini_model_name(struct gemini *g, const struct weir_conversation *c);
struct gemini_model gemini_model_of(struct weir_str name);
int gemini_request_head(void *self, struct weir_call *call, void *state, const void *entry);
int gemini_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
void gemini_put_contents(struct gemini_encoding *x); /* systemInstruction and contents */
/* A name as Gemini takes it: letters, digits and _ . : - */
struct weir_str gemini_sent_name(struct gemini *g, struct weir_str name);
struct weir_str gemini_own_name(const struct gemini *g, struct weir_str sent);
void gemini_note_loss(struct gemini *g, const char *what);
/* "unsupported", with a sentence. */
void gemini_unsupported(struct gemini *g, const char *param, const char *message);

/* Losses that are noted once, however often they happen. */
enum gemini_loss {
    LOSS_THINKING = 1,
    LOSS_SYSTEM = 2,
    LOSS_CACHE = 4,
    LOSS_NAME = 8,
    LOSS_ARGUMENTS = 16,
    LOSS_IMAGE = 32,
    LOSS_DETAIL = 64,
    LOSS_STRICT = 128,
    LOSS_SIGNATURE = 256
};
void gemini_lose(struct gemini_encoding *x, enum gemini_loss which, const char *what);

/* ---- the answer ---- */

void gemini_emit(struct gemini *g, const struct weir_event *e);
void gemini_close_block(struct gemini *g, struct gemini_choice *c, uint32_t choice);
/* One part of a candidate's content. */
void gemini_read_part(struct gemini *g, struct weir_json *r, struct gemini_choice *c, uint32_t choice);
/* Takes a string if one comes, skips anything else. */
void gemini_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to);

int gemini_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
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
