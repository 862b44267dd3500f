/* weir/codec.h: what a provider plugin is: a two-way translator between one wire dialect and the conversation.
 *
 * A codec does no I/O, reads no clock and keeps no state of its own between calls. It may serve one side only:
 *   ingress: the dialect as a front door of weir (clients speak it)
 *   egress:  the dialect of a provider behind weir
 * Ops that are NULL are sides or operations that it doesn't have. All return 0, or -1 after host->fail()/fail_json().
 *
 * Same dialect on both sides: request bytes go up as they came, with edits spliced in, and each frame of the answer
 * goes down as it came if all its events left unchanged. encode_request is not called then; request_head is.
 */
#ifndef WEIR_CODEC_H
#define WEIR_CODEC_H

#include "plugin.h"

enum weir_framing {
    WEIR_FRAMING_JSON = 1,   /* one document */
    WEIR_FRAMING_SSE = 2,
    WEIR_FRAMING_NDJSON = 3,
    WEIR_FRAMING_AWS = 4,    /* application/vnd.amazon.eventstream */
    WEIR_FRAMING_OWN = 5,    /* split() cuts */
};

/* A way into the dialect. path: one '*', anywhere, matches one character or more: a model's id, for example; request()->star
 * tells them. The longest path that matches wins. Constant. */
struct weir_claim {
    const char *method;
    const char *path;
    const char *header; /* must be present (any value); NULL: none needed */
    uint32_t operation; /* enum weir_operation */
    uint32_t reserved;  /* since 1.1 flags: WEIR_CLAIM_* */
};
#if WEIR_ABI_MINOR >= 1
#define WEIR_CLAIM_PREFIXED 1u /* stands only under the codec's prefix, not at the root */
#endif

/* A place where the dialect's clients put their key. Header: prefix is "Bearer " or "". */
struct weir_credential_place {
    const char *header; /* NULL: in the query */
    const char *query;
    const char *prefix;
};

/* One piece of an answer as the framing cut it. */
struct weir_frame {
    uint32_t size;
    uint32_t framing;      /* enum weir_framing */
    struct weir_str bytes; /* as received, with its end; frames concatenate to the answer */
    struct weir_str name;  /* SSE: the event's name; AWS: the event's, exception's or error's type */
    struct weir_str data;  /* SSE: its data lines joined; NDJSON: the line; JSON: the document; AWS: the payload */
    /* Out, heeded only when the frame is relayed to the same dialect: */
    uint32_t flags;        /* WEIR_FRAME_DROP: leave it out */
    uint32_t cut_offset, cut_n; /* bytes of `bytes` to leave out; n 0: none */
#if WEIR_ABI_MINOR >= 1
    struct weir_str insert; /* to be put in before insert_offset, which is no place of the cut; lifetime: call */
    uint32_t insert_offset;
    uint32_t reserved;
#endif
};
#define WEIR_FRAME_DROP 1u

struct weir_edit {
    uint32_t size;
    uint32_t kind;  /* enum weir_edit_kind */
    uint32_t field; /* FIELD: enum weir_field */
    uint32_t reserved;
    struct weir_str value; /* FIELD: canonical JSON; PREPEND_SYSTEM: plain text */
};

struct weir_model_list {
    const struct weir_model *models;
    uint32_t n;
    uint32_t single; /* operation MODEL: exactly one */
};

#if WEIR_ABI_MINOR >= 1
/* What of a feature gets across when this codec writes: encode_request for features of a request, encode_event and
 * encode_answer for those of an answer, where the other side is of another dialect (its own words a codec writes as they came).
 * A feature that is not in the table is left out, and the host reports it as dropped: a codec declares what it can say. */
enum weir_saying {
    WEIR_SAYS = 1,          /* as it was meant */
    WEIR_SAYS_PARTLY = 2,   /* not always: the codec calls lose() when it doesn't */
    WEIR_SAYS_CHANGED = 3,  /* always with another value or meaning: the host reports it */
    WEIR_SAYS_EMULATED = 4, /* always by other means: the host reports it */
};
struct weir_says {
    uint32_t feature; /* enum weir_feature, or enum weir_field */
    uint32_t saying;  /* enum weir_saying */
    const char *how;  /* for `weir matrix`: "clamped to 0..1"; NULL where nothing needs saying */
};
#define WEIR_SAYS_END { WEIR_FEATURE_NONE, 0, NULL }
/* What request_head may return besides 0 and -1: the client's bytes, although of the same dialect, won't do for this provider;
 * the request is encoded anew. */
#define WEIR_HEAD_ANEW 1

/* Tokens that a provider counts beside the texts themselves, as fitted on real usage. */
struct weir_token_rates {
    double request, message;          /* for the request, for each message */
    double tools, tool;               /* once if there are tools, and for each */
    double tool_use;                  /* for each tool call and each result of earlier turns */
    double image;
    double schema;                    /* once for a schema of the answer */
    double signature;                 /* for each byte of a signature that comes back in the turn that goes on */
    double schemas;                   /* tools' schemas: how many times what others count; 0: 1 */
    uint32_t flags, reserved;         /* WEIR_TOKENS_* */
};
#define WEIR_TOKENS_NO_FORMAT 1u /* the words of a schema of the answer aren't counted */

/* A request as it will be sent, for sign(). */
struct weir_outgoing_header {
    struct weir_str name, value;
};
struct weir_outgoing {
    uint32_t size;
    uint32_t n_headers;
    struct weir_str method;
    struct weir_str url; /* whole, as it goes on the wire */
    const struct weir_outgoing_header *headers;
    const struct weir_str *body; /* pieces */
    uint32_t n_body;
    uint32_t reserved;
    int64_t now_ms; /* unix time */
};
#endif

#if WEIR_ABI_MINOR >= 1
/* A stream says again later what it said before (whole texts behind their pieces): once a stage has changed one of its frames, none
 * is relayed any more; encode_event, which was told everything, writes the rest. */
#define WEIR_CODEC_REPEATS 1u
/* Where the conversation ends with the assistant's own words the provider goes on from exactly there, or refuses with a 400. */
#define WEIR_CODEC_GOES_ON 2u
#endif

#if WEIR_ABI_MINOR >= 1
/* How a provider is asked for the list of its models, and where the answer has them: a JSON object, or only the array. */
struct weir_model_source {
    const char *path;       /* behind the base URL: "/models" */
    const char *list, *id;  /* the array's member in the answer, and the name's in each of its objects */
    const char *id_prefix;  /* of names, left out: "models/"; NULL: none */
    const char *next;       /* a member of the answer that tells where the next page begins; NULL: there is one page only … */
    const char *next_query; /* … and the parameter that takes it */
    const char *has_more;   /* a member that is false on the last page; NULL: `next` is missing there */
    const char *header, *header_value; /* that has to be sent; NULL: none */
};
#endif

struct weir_codec {
    uint32_t size;
    uint32_t operations;   /* WEIR_OP_BITs of the egress side */
    uint32_t capabilities; /* enum weir_capability: what encode_request can say */
    uint32_t reserved;     /* since 1.1 flags: WEIR_CODEC_* */
    /* ---- constants: ingress ---- */
    const struct weir_claim *claims;                 /* NULL: no ingress; ends with method NULL */
    const struct weir_credential_place *credentials; /* ends with header and query NULL */
    const char *stream_type;                         /* content type of streams, "text/event-stream" */
    const char *const *request_headers;  /* cross upward in the same dialect: "anthropic-beta", "openai-*"; NULL at end */
    const char *const *response_headers; /* cross downward in the same dialect (x-request-id and retry-after always do) */
    /* ---- constants: egress ---- */
    const char *base_url;     /* when the provider entry has none; NULL: it must. "{region}" in it: the entry's region */
    struct weir_credential_place auth; /* how the provider's key is sent unless the entry says otherwise */
    uint32_t stream_framing, whole_framing; /* enum weir_framing */
    uint32_t ingress_size, egress_size;  /* bytes of `state`, zeroed per request / per attempt */

    int (*create)(const struct weir_host *host, struct weir_instance *inst, void **self); /* once per worker */
    void (*destroy)(void *self);

    /* ---- ingress; call: the request ---- */
    int (*decode_request)(void *self, struct weir_call *call, void *state, struct weir_str body);
    /* Puts an edit into the received bytes with host->splice(); returns -1 without fail() if it has no place there: then
     * the request is encoded anew (but for a model that the body doesn't say: request_head says that one). Fields with a wire
     * span, and texts, are spliced by the host itself. */
    int (*splice)(void *self, struct weir_call *call, void *state, const struct weir_edit *edit);
    /* A stream: each event in order, START to END, ERROR, and PING for a keep-alive. SILENT events write nothing. */
    int (*encode_event)(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out);
    int (*encode_answer)(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out);
    /* An error as a document; state is NULL if the request was never decoded. error->status is set. In a stream that
     * has begun the error is an event instead. */
    int (*encode_error)(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out);
    int (*encode_models)(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out);

    /* ---- egress; call: the attempt; entry: the provider entry's options as the plugin's table laid
     * them out; NULL when the entry belongs to a plugin that `speaks` this dialect (then all options have their defaults) ---- */
    /* Method, path and the dialect's own headers, with http_request() and http_header(); content-type: application/json
     * and the credential are set by the host. */
    int (*request_head)(void *self, struct weir_call *call, void *state, const void *entry);
    int (*encode_request)(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out);
    /* The answer's head: status < 300. NULL: nothing to look at. */
    int (*decode_head)(void *self, struct weir_call *call, void *state, int status);
    /* Emits the frame's events. -1 without fail(): the frame is malformed. An error inside a 200 is an ERROR event. */
    int (*decode_frame)(void *self, struct weir_call *call, void *state, struct weir_frame *frame);
    /* The bytes are over; clean: the transport ended as it should. Emits END if, and only if, the answer is whole and
     * END was not emitted. response_header() finds trailers too now. */
    int (*decode_end)(void *self, struct weir_call *call, void *state, bool clean);
    /* An answer of status >= 300. Fills class, retry_after_ms, message, native, param; the host has set defaults from
     * the status. */
    int (*decode_error)(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error);
    /* Framing OWN: length of the first frame in bytes, 0: more is needed, -1: malformed. */
    int64_t (*split)(void *self, struct weir_call *call, void *state, struct weir_str bytes);

    /* ---- a provider that brings its own upstream (the simulator) ---- */
    /* The dialect whose codec does the egress work in this one's place; NULL: this codec's own ops. */
    const char *speaks;
    /* The base URL, asked once per worker and provider entry that names none; lifetime: worker. NULL: keep base_url. */
    const char *(*endpoint)(void *self, const void *entry);

#if WEIR_ABI_MINOR >= 1
    /* ---- since 1.1 ---- */
    /* What encode_request, and what encode_event and encode_answer can say; ends with WEIR_SAYS_END. NULL: not told. */
    const struct weir_says *says;
    /* Under which the claims stand too: "/openai". NULL: "/" and the plugin's name. At the root a plugin of the configuration
     * takes no place from one that came with weir. */
    const char *prefix;
    /* Signs the finished request by adding headers with http_header(). The key is reached with hmac_key() and key_id(). With it
     * the host sends no credential of its own unless the entry's `auth` says so, or `auth` above has a place and the key is of
     * one part only, which can't sign. */
    int (*sign)(void *self, struct weir_call *call, void *state, const struct weir_outgoing *request);
    /* What the dialect adds to the texts of a request, for weir's estimate of its input; NULL: the host's own. */
    const struct weir_token_rates *tokens;
    /* Members of documents, in calls that are relayed as they are, whose values are ids that the provider gave out: "id",
     * "*_file_id"; NULL at the end. Where several providers stand behind a path weir puts the provider's name behind them. */
    const char *const *ids;
    /* The provider's own list of models; NULL: there is none to ask for. */
    const struct weir_model_source *model_source;
    /* The content type of this request's stream where it is framed in another way than with stream_type; NULL, or NULL returned: as
     * always. Frames of a provider that streams are relayed to such a client only if split() cut them: with a split() a JSON
     * document that comes as a stream is of framing OWN. Constant. */
    const char *(*other_stream_type)(void *self, struct weir_call *call, void *state);
    /* The rates where they differ by model, or by where the provider stands; NULL, or NULL returned: `tokens`. Constant. */
    const struct weir_token_rates *(*tokens_of)(void *self, struct weir_str model, struct weir_str base_url);
#endif
};

#if WEIR_ABI_MINOR >= 1
/* Log probabilities in the form that several dialects share: {"token":"…","logprob":-0.5,"bytes":[…],"top_logprobs":[…]} of one token,
 * or an array of such (the first counts). Others are their dialect's own. */
static inline bool weir_is_logprob(const struct weir_json_api *j, struct weir_call *call, struct weir_str raw)
{
    struct weir_str key;
    bool has_token = false, has_logprob = false;
    struct weir_json *r = raw.n ? j->open(call, raw) : NULL;
    if (!r || (j->peek(r) == WEIR_JSON_ARRAY && !(j->array(r) && j->element(r))) || j->peek(r) != WEIR_JSON_OBJECT)
        return false;
    for (j->object(r); j->member(r, &key); j->skip(r)) {
        has_token |= weir_is(key, "token") && j->peek(r) == WEIR_JSON_STRING;
        has_logprob |= weir_is(key, "logprob") && j->peek(r) == WEIR_JSON_NUMBER;
    }
    return has_token && has_logprob && !j->failed(r);
}
#endif

#endif
