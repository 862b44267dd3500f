/* weir/host.h: everything a plugin may ask of weir: one table of functions, passed to create(), append-only.
 *
 * The first argument is the handle that the answer belongs to: a call (request or attempt, as a hook or op got it) or
 * an instance (this configured use of the plugin in this worker). All functions belong to the worker's one thread; only
 * wake() may be called from another. A function that a later minor version added may be missing in an older host: the
 * loader refuses a plugin whose declared minor is newer than the host's, so what your WEIR_ABI_MINOR shows you is there.
 *
 * Strings that come out live as long as the comment says; strings that go in are copied unless it says otherwise.
 * Functions that can't do what is asked return a negative number (or NULL, WEIR_NONE, false) and have no effect.
 */
#ifndef WEIR_HOST_H
#define WEIR_HOST_H

#include "base.h"
#include "conversation.h"
#include "event.h"
#include "json.h"

/* What a hook returns. 0 and everything that a hook may not return is a fault of the plugin: the call fails and the log
 * names plugin and hook. Which hook may return what stands in plugin.h. */
enum weir_verdict {
    WEIR_NEXT = 1, /* go on */
    WEIR_DONE = 2, /* the answer is mine (it was emitted): turn around */
    WEIR_DROP = 3, /* on_event: the event ends here */
    WEIR_SKIP = 4, /* on_attempt: not this target, try the next; say why with note() */
    WEIR_HOLD = 5, /* on_event: keep the event until release_held() or discard_held() */
    WEIR_WAIT = 6, /* a token was taken with suspend(); resume() will follow */
    WEIR_FAIL = 7, /* an error was set with fail() */
};

enum weir_lifetime {
    WEIR_FOR_CALL = 1,
    WEIR_FOR_ATTEMPT = 2, /* in a hook of the request: the request */
    WEIR_FOR_REQUEST = 3,
};

enum weir_log_level { WEIR_LOG_ERROR = 1, WEIR_LOG_WARN = 2, WEIR_LOG_INFO = 3, WEIR_LOG_DEBUG = 4 };

#if WEIR_ABI_MINOR >= 1
/* How hard a request looks: counts of the last message of the user that has text (of each text its first 8 KiB), and of the whole. */
struct weir_complexity {
    double score; /* 0 to 1: how much a strong model may help; 0.5: as hard as the middle of the prompts it was tuned on */
    uint32_t words, sentences, questions, numbers; /* questions: marks; 1,000.5 is one number */
    uint32_t maths, code; /* characters of which formulas, and of which programs are full */
    uint32_t conditions, negations, quantities; /* English words: "if", "except", "twice" … */
    uint32_t turns, tools, images; /* messages of users, tools of the request, images of that message; not in the score */
};
#endif

/* Identifies one wait. 0 is never a token. */
typedef uint64_t weir_token;

/* The request as it arrived. Lifetime: request. */
struct weir_request_view {
    struct weir_str id;      /* x-weir-request-id */
    struct weir_str method;  /* "POST" */
    struct weir_str path;    /* "/v1/chat/completions", without query */
    struct weir_str query;   /* without '?', the credential removed */
    struct weir_str peer;    /* "127.0.0.1", "unix" */
    struct weir_str dialect; /* the client's; "" before it is known */
    struct weir_str route;   /* "" until chosen */
    uint32_t operation;      /* enum weir_operation */
    uint32_t flags;          /* WEIR_REQUEST_* */
    int64_t started_ms;      /* unix time in ms */
    int64_t deadline_ms;     /* unix time in ms, 0: none */
    uint64_t body_n;         /* bytes of the body, once read */
#if WEIR_ABI_MINOR >= 1
    struct weir_str star;    /* what the '*' of the codec's claim stands for, as it was sent; "" if the claim has none */
#endif
};
#define WEIR_REQUEST_STREAM 1u         /* a streamed answer is wanted (known from on_request on) */
#define WEIR_REQUEST_LOOPBACK 2u       /* the peer is on this machine */
#define WEIR_REQUEST_ROUTE_OPEN 4u     /* the route says `open: true` */
#define WEIR_REQUEST_CREDENTIAL_CONFLICT 8u /* two credentials that differ were sent */

/* Who calls. Set by an auth stage in on_open; lifetime: request. */
struct weir_principal {
    uint32_t size;
    uint32_t flags;
    struct weir_str name, team;
    const struct weir_str *models; /* patterns of models this principal may use; NULL with n 0: all */
    uint32_t n_models;
    uint32_t n_tags;
    const struct weir_str *tags; /* key, value, key, value …; 2 × n_tags */
};
#define WEIR_PRINCIPAL_MAY_SET_TIMEOUT 1u /* x-weir-timeout-ms is heeded */
#if WEIR_ABI_MINOR >= 1
#define WEIR_PRINCIPAL_MAY_EXPLAIN 2u /* x-weir-explain is heeded */
#endif

/* A virtual key of the configuration. Lifetime: worker. */
struct weir_key {
    uint32_t size;
    uint32_t flags; /* WEIR_PRINCIPAL_* it grants */
    struct weir_str name, team;
    uint8_t hash[32]; /* SHA-256 of the key */
    const struct weir_str *models;
    uint32_t n_models;
    uint32_t n_tags;
    const struct weir_str *tags;
#if WEIR_ABI_MINOR >= 1
    struct weir_str aws_id; /* who calls with it signs each request as AWS wants it, by this access key id; "": no such key */
#endif
};

/* A model that callers may ask for. Lifetime: request. */
struct weir_model {
    struct weir_str id;       /* as a caller writes it */
    struct weir_str owned_by; /* provider, or "weir" for an alias */
    int64_t created_s;
    uint32_t flags; /* WEIR_MODEL_HIDDEN: not to be listed for this caller */
    uint32_t reserved;
};
#define WEIR_MODEL_HIDDEN 1u

enum weir_timeout { WEIR_TIMEOUT_CONNECT, WEIR_TIMEOUT_FIRST_TOKEN, WEIR_TIMEOUT_IDLE, WEIR_TIMEOUT_TOTAL, WEIR_TIMEOUTS };

/* A target that the request may be sent to. Lifetime: request. The figures are what weir knows now; 0 or -1: unknown. */
struct weir_candidate {
    uint32_t size;
    uint32_t flags; /* WEIR_CANDIDATE_* */
    struct weir_str name;     /* "openai/gpt-4o-mini" */
    struct weir_str provider; /* "openai" */
    struct weir_str model;    /* "gpt-4o-mini", as the provider calls it */
    struct weir_str dialect;
    struct weir_str region;
    const struct weir_str *tags;
    uint32_t n_tags;
    uint32_t capabilities;     /* enum weir_capability; what the dialect can say, less what is known to be missing */
    int64_t context_tokens;    /* -1: unknown */
    double price_input, price_output; /* USD per million tokens; -1: unknown */
    uint32_t latency_ms;       /* to the first token, moving average; 0: unknown */
    uint32_t in_flight;        /* calls running now, all workers */
    struct weir_str unavailable; /* why it can't be used ("OPENAI_API_KEY is not set"); "" if it can */
#if WEIR_ABI_MINOR >= 1
    /* ---- since 1.1 ---- */
    uint32_t is_healthy;       /* 1: it can be used, its breaker lets calls in and its key is not refused */
    uint32_t breaker;          /* enum weir_breaker */
    uint32_t p95_ms;           /* to the first token: one in twenty takes longer; 0: unknown */
    uint32_t first_tokens;     /* so many answers these figures rest on */
    double throughput;         /* tokens a second, moving average; 0: unknown */
    double error_rate;         /* 0 … 1, moving average */
    int64_t left_requests, left_tokens; /* of the provider's limits, as its headers said less than a minute ago; -1: unknown */
#endif
};
#if WEIR_ABI_MINOR >= 1
enum weir_breaker { WEIR_BREAKER_CLOSED = 0, WEIR_BREAKER_OPEN = 1, WEIR_BREAKER_PROBING = 2 };
#endif
#define WEIR_CANDIDATE_OF_MODEL 1u /* one of the asked model's own targets */
#define WEIR_CANDIDATE_BEYOND 2u   /* a rule vouches for it beyond the key's rights */
#if WEIR_ABI_MINOR >= 1
/* What holds for this candidate in place of the route's `on_loss`; the last one set counts. */
#define WEIR_CANDIDATE_LOSS_WARN 4u
#define WEIR_CANDIDATE_LOSS_REFUSE 8u
#define WEIR_CANDIDATE_LOSS_ALLOW 16u
#define WEIR_CANDIDATE_N_CALLS 32u /* n > 1 may be made by as many calls where it gives one choice only */
/* It does not answer: it gets a copy of the request, and the record says what became of both. on_attempt runs for the copy, too;
 * on_attempt_done follows at once, before it is sent, as cancelled and without usage: its cost is on nobody's account. */
#define WEIR_CANDIDATE_MIRROR 64u
#endif

/* One thing that happens to the client's bytes; see codec.h, splice(). */
enum weir_edit_kind {
    WEIR_EDIT_FIELD = 1,
    WEIR_EDIT_PREPEND_SYSTEM = 2,
    WEIR_EDIT_ASK_USAGE = 3,
#if WEIR_ABI_MINOR >= 1
    /* No edit but a question, asked last: must the request be encoded anew, because it brings back what this codec once wrote
     * into an answer in place of another dialect's (a foreign signature)? 0: it must; -1: it goes as it came. */
    WEIR_EDIT_ANEW = 4,
#endif
};

/* An HTTP call that a plugin makes itself. */
struct weir_fetch_header {
    struct weir_str name, value;
    uint32_t secret; /* a slot of secret(): its value is sent behind `value`; 0: none */
    uint32_t reserved;
};
struct weir_fetch {
    uint32_t size;
    uint32_t deadline_ms; /* > 0 */
    struct weir_str method, url, body;
    const struct weir_fetch_header *headers;
    uint32_t n_headers;
    uint32_t max_body; /* bytes of the answer; more is an error */
};
struct weir_fetch_result { /* lifetime: until the callback returns */
    uint32_t size;
    int32_t status;           /* HTTP status; 0 if there is none */
    struct weir_str error;    /* what went wrong; "" if an answer came */
    struct weir_str body;
    struct weir_str headers;  /* "name: value\n" lines, names lower case */
};
#if WEIR_ABI_MINOR >= 1
/* What a credentials plugin got. value "": nothing, and error tells why, in a sentence. */
struct weir_token {
    uint32_t size;
    uint32_t expires_s; /* from now on; 0: not said */
    struct weir_str value, error;
};
#endif
typedef void (*weir_fetch_fn)(void *arg, const struct weir_fetch_result *result);
typedef void (*weir_fn)(void *arg);
typedef void (*weir_watch_fn)(void *arg, int fd, uint32_t events);
/* Called for every text: `where` is a path like "messages[2].content[0]". Return false to stop. `part` is what
 * edit_text() wants, NULL where the text can't be edited. */
typedef bool (*weir_text_fn)(void *arg, struct weir_str where, const struct weir_text *text, struct weir_part *part);

enum { WEIR_READABLE = 1, WEIR_WRITABLE = 2 };

struct weir_host {
    uint32_t size;
    uint16_t abi_major, abi_minor;

    const struct weir_json_api *json;

    /* ---- memory -------------------------------------------------------------------------------------------------- */
    /* Zeroed, 16-byte aligned. NULL when memory is short: return fail() with WEIR_ERROR_UNAVAILABLE. */
    void *(*alloc)(struct weir_call *call, enum weir_lifetime lifetime, size_t n);
    struct weir_str (*keep)(struct weir_call *call, struct weir_str s); /* copies to the request's lifetime */
    struct weir_str (*format)(struct weir_call *call, const char *format, ...) /* printf; lifetime: call's arena */
        __attribute__((format(printf, 2, 3)));
    /* The plain content of a text. Lifetime: of the text itself, or of the call's arena if it had to be decoded. */
    struct weir_str (*text)(struct weir_call *call, const struct weir_text *t);
    /* This stage's block of the descriptor's request_size / attempt_size bytes, zeroed when request / attempt began.
     * attempt_block is NULL outside an attempt. */
    void *(*request_block)(struct weir_call *call);
    void *(*attempt_block)(struct weir_call *call);

    /* ---- control ------------------------------------------------------------------------------------------------- */
    /* Suspends the call: return WEIR_WAIT after it, and call resume() once, from anywhere in this worker, also before
     * WAIT was returned. If the call ends first (client gone, deadline, drain), `cancel` is called once with `arg` and
     * a later resume() does nothing. `why` (a literal) shows in `weir status`. At most one wait at a time. 0: not legal here. */
    weir_token (*suspend)(struct weir_call *call, const char *why, weir_fn cancel, void *arg);
    /* verdict: what the hook would have returned. WEIR_FAIL needs fail() on the waiting call before. */
    void (*resume)(struct weir_instance *inst, weir_token token, enum weir_verdict verdict);
    /* The call that waits with this token, NULL when it is over: use it to reach host functions from a callback. */
    struct weir_call *(*waiting)(struct weir_instance *inst, weir_token token);
    /* Sets the error and returns WEIR_FAIL (stages) – codecs return -1 after it. */
    enum weir_verdict (*fail)(struct weir_call *call, const struct weir_error *error);
    /* The same from what the reader met: a 400 that names the field. Returns -1. */
    int (*fail_json)(struct weir_call *call, const struct weir_json *r);
    /* Emits an event. From a codec's decode: the answer. From a stage's on_open/on_request before DONE: its own answer.
     * From on_event: inserts it before the current one, towards the client. */
    int (*emit)(struct weir_call *call, const struct weir_event *event);
    /* A whole answer of one text from a stage, to a CHAT request; return WEIR_DONE after it. */
    int (*answer_text)(struct weir_call *call, struct weir_str text);
    /* on_event: the events this stage holds go on now, before the current one / are forgotten. */
    int (*release_held)(struct weir_call *call);
    int (*discard_held)(struct weir_call *call);

    /* ---- the request --------------------------------------------------------------------------------------------- */
    const struct weir_request_view *(*request)(struct weir_call *call);
    /* A request header by name, any case; several are joined with ", ". WEIR_NONE if absent. Credentials and cookies
     * are not among them. */
    struct weir_str (*header)(struct weir_call *call, struct weir_str name);
    bool (*header_at)(struct weir_call *call, uint32_t i, struct weir_str *name, struct weir_str *value);
    /* The caller's key as the dialect carries it; WEIR_NONE if there is none. Only in on_open. Never log it. */
    struct weir_str (*credential)(struct weir_call *call);
    const struct weir_principal *(*principal)(struct weir_call *call); /* never NULL; name "" if nobody set it */
    int (*set_principal)(struct weir_call *call, const struct weir_principal *p); /* on_open only; strings are copied */
    int (*set_body_limit)(struct weir_call *call, uint64_t bytes); /* on_open only; can only lower it */
    const struct weir_key *(*keys)(struct weir_instance *inst, uint32_t *n); /* NULL, 0: none configured */

    /* ---- the conversation ---------------------------------------------------------------------------------------- */
    /* NULL before it is decoded. In an attempt: with that attempt's edits. */
    const struct weir_conversation *(*conversation)(struct weir_call *call);
    /* Building, for decode_request only. json: canonical; wire: the same value's bytes in the body, WEIR_NONE if the
     * canonical form is not what stands there. Not copied: must live as long as the request. */
    int (*set_field)(struct weir_call *call, enum weir_field field, struct weir_str json, struct weir_str wire);
    struct weir_message *(*message_add)(struct weir_call *call, enum weir_role role);
    struct weir_part *(*part_add)(struct weir_call *call, struct weir_message *message, enum weir_part_kind kind);
    struct weir_part *(*part_add_to)(struct weir_call *call, struct weir_part *parent, enum weir_part_kind kind);
    struct weir_tool *(*tool_add)(struct weir_call *call);
    int (*ext_add)(struct weir_call *call, struct weir_str path, struct weir_str raw, struct weir_str member);
    /* Editing, for stages in on_request (the request) and on_attempt (that attempt only). */
    int (*edit_field)(struct weir_call *call, enum weir_field field, struct weir_str json);
    int (*edit_text)(struct weir_call *call, struct weir_part *part, struct weir_str plain);
    int (*prepend_system)(struct weir_call *call, struct weir_str plain);
    /* Every string of the request that a model would read, known fields or not. */
    void (*request_texts)(struct weir_call *call, weir_text_fn fn, void *arg);
    void (*event_texts)(struct weir_call *call, const struct weir_event *event, weir_text_fn fn, void *arg);
    int64_t (*estimate_tokens)(struct weir_call *call); /* an estimate of the input */

    /* ---- targets ------------------------------------------------------------------------------------------------- */
    /* The candidates as they stand, in order. Lifetime: until candidates_set(). */
    struct weir_candidate *const *(*candidates)(struct weir_call *call, uint32_t *n);
    /* A candidate by name ("provider/model" or a model of the configuration: its first target); NULL: no such target. */
    struct weir_candidate *(*candidate)(struct weir_call *call, struct weir_str name);
    int (*candidates_set)(struct weir_call *call, struct weir_candidate *const *list, uint32_t n); /* on_request */
    /* Changes that apply when this candidate is tried. */
    struct weir_candidate *(*candidate_copy)(struct weir_call *call, const struct weir_candidate *c);
    int (*candidate_field)(struct weir_call *call, struct weir_candidate *c, enum weir_field field, struct weir_str json);
    int (*candidate_header)(struct weir_call *call, struct weir_candidate *c, struct weir_str name, struct weir_str value);
    int (*candidate_timeout)(struct weir_call *call, struct weir_candidate *c, enum weir_timeout which, uint32_t ms);
    int (*candidate_flag)(struct weir_call *call, struct weir_candidate *c, uint32_t flag);
    const struct weir_candidate *(*target)(struct weir_call *call); /* of this attempt; NULL outside one */
    struct weir_model *(*models)(struct weir_call *call, uint32_t *n); /* operations MODELS, MODEL; set WEIR_MODEL_HIDDEN */

    /* ---- the answer ---------------------------------------------------------------------------------------------- */
    int (*status)(struct weir_call *call); /* upstream's, in on_head and later; 0: none */
    int (*set_response_header)(struct weir_call *call, struct weir_str name, struct weir_str value); /* until on_head; since 1.1
                                                                               also by a codec in encode_error */
    /* In on_attempt_done and on_finish. error_class NONE: it went well. */
    const struct weir_error *(*outcome)(struct weir_call *call);
    const struct weir_usage *(*usage)(struct weir_call *call);
    /* The request record (one JSON object) as far as it is known: complete in on_finish. */
    int (*record)(struct weir_call *call, struct weir_out *out);
    int (*note)(struct weir_call *call, const char *key, struct weir_str value); /* key: a literal; goes to the record */
    /* Typed attributes between stages, declared in create(): "auth.tier". Returns an id, or a negative number if the
     * name is taken by another type. Only strings in this version. */
    int (*attribute)(struct weir_instance *inst, const char *name);
    int (*set_attribute)(struct weir_call *call, int id, struct weir_str value);
    struct weir_str (*get_attribute)(struct weir_call *call, int id);

    /* ---- codecs: what goes to the provider ------------------------------------------------------------------------ */
    int (*http_request)(struct weir_call *call, const char *method, struct weir_str path); /* behind base_url, with query */
    int (*http_header)(struct weir_call *call, struct weir_str name, struct weir_str value);
    int (*splice)(struct weir_call *call, size_t offset, size_t n, struct weir_str replacement);
    struct weir_str (*response_header)(struct weir_call *call, struct weir_str name); /* of the upstream's answer */
    void (*write)(struct weir_out *out, struct weir_str bytes);
    struct weir_out *(*out)(struct weir_call *call); /* a scratch writer of the call's lifetime */
    struct weir_str (*out_bytes)(const struct weir_out *out);

    /* ---- time, chance, secrets ------------------------------------------------------------------------------------ */
    int64_t (*now_ms)(void);     /* unix time in ms */
    int64_t (*monotonic_us)(void);
    uint64_t (*random)(struct weir_call *call); /* seeded per request; call may be NULL: per worker */
    struct weir_str (*new_id)(struct weir_call *call, const char *prefix); /* "chatcmpl-" + 24 characters */
    struct weir_str (*base64)(struct weir_call *call, struct weir_str bytes, bool decode); /* p NULL: not base64 */
    void (*sha256)(struct weir_str bytes, uint8_t out[32]);
    void (*hmac_sha256)(struct weir_str key, struct weir_str bytes, uint8_t out[32]);
    bool (*equal)(const void *a, const void *b, size_t n); /* in constant time */
    uint32_t (*secret)(struct weir_instance *inst, struct weir_str name); /* slot of a configured secret; 0: none */

    /* ---- the worker's loop ----------------------------------------------------------------------------------------- */
    void *(*timer)(struct weir_instance *inst, uint32_t ms, weir_fn fn, void *arg); /* once; handle until it fired */
    void (*timer_cancel)(struct weir_instance *inst, void *timer);
    void *(*watch)(struct weir_instance *inst, int fd, uint32_t events, weir_watch_fn fn, void *arg);
    void (*watch_cancel)(struct weir_instance *inst, void *watch); /* before the descriptor is closed */
    void *(*fetch)(struct weir_instance *inst, const struct weir_fetch *f, weir_fetch_fn done, void *arg); /* NULL: refused */
    void (*fetch_cancel)(struct weir_instance *inst, void *fetch); /* done is not called after it */
    int (*defer)(struct weir_instance *inst, weir_fn fn, void *arg); /* soon, from the loop */
    int (*wake)(struct weir_instance *inst, weir_fn fn, void *arg); /* the same, from any thread */

    /* ---- counting, logging, sharing -------------------------------------------------------------------------------- */
    /* Declared in create(): counter("policy_denied_total", "policy=\"eu\"") -> id >= 0. Shown as weir_<name>{<labels>}. */
    int (*counter)(struct weir_instance *inst, const char *name, const char *labels);
    void (*count)(struct weir_instance *inst, int id, int64_t n);
    void (*log)(struct weir_instance *inst, enum weir_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    /* One bounded table for all workers, kept over reloads and crashes. Keys up to 128 bytes, values up to 1,000. ttl 0: none.
     * shared_get copies into the call's arena. shared_incr makes an absent key 0 first. */
    struct weir_str (*shared_get)(struct weir_call *call, struct weir_str key);
    int (*shared_set)(struct weir_instance *inst, struct weir_str key, struct weir_str value, uint32_t ttl_ms);
    int (*shared_incr)(struct weir_instance *inst, struct weir_str key, int64_t by, uint32_t ttl_ms, int64_t *result);

#if WEIR_ABI_MINOR >= 1
    /* ---- since 1.1 ------------------------------------------------------------------------------------------------ */
    /* A codec's op that writes (encode_request, encode_event, encode_answer, splice) could not say a feature as it was meant.
     * Only for features that its table calls PARTLY, for those that it calls SAYS and an option of the provider entry takes
     * away, and for any where both sides are of its dialect; else it is a fault of the plugin, which the record tells.
     * why: one short sentence, or a value; goes to the record. */
    void (*lose)(struct weir_call *call, enum weir_feature feature, enum weir_loss what, const char *why);
    /* The answer is to be asked for: another request to the same host after delay_ms, at most 100 in an attempt, within its
     * time-outs. Legal in decode_head, decode_frame and decode_end before any content was emitted; the bytes of this answer
     * are forgotten. path: behind base_url. */
    int (*again)(struct weir_call *call, uint32_t delay_ms, const char *method, struct weir_str path);
    /* HMAC-SHA256 with the provider's key, or with the part of it behind the n-th ':' (0: what stands before the first);
     * prefix goes before the key. Only in sign(): the key itself never leaves weir. -1: there is no such part. */
    int (*hmac_key)(struct weir_call *call, uint32_t part, const char *prefix, struct weir_str bytes, uint8_t out[32]);
    /* A part of the provider's key that is no secret (an access key's id). Only in sign(). */
    struct weir_str (*key_id)(struct weir_call *call, uint32_t part);
    /* Ends what a credentials plugin's obtain() began (credentials.h). */
    void (*token)(struct weir_call *call, const struct weir_token *t);
    /* RSASSA-PKCS1-v1_5 with SHA-256, which JWTs call RS256. key: PEM. Lifetime: the call's. "": it is no RSA key. */
    struct weir_str (*rsa_sha256)(struct weir_call *call, struct weir_str key, struct weir_str bytes);
    /* Ids that only the provider that gave them out understands (of a response, a conversation), for dialects that let a client
     * name them later. id_out, in ops that write an answer: the id with the provider's name behind it, if the asked model has
     * targets at several providers. id_in, in decode_request: the id without that name; the request then goes to targets of that
     * provider only, and where the id lies in the received body, the name is taken out of the relayed bytes too. Ids without a
     * name stay as they are. Both take and give plain text. */
    struct weir_str (*id_out)(struct weir_call *call, struct weir_str id);
    struct weir_str (*id_in)(struct weir_call *call, struct weir_str id);
    /* HMAC-SHA256 with the secret of a virtual key (one of keys()) whose requests are signed; prefix goes before it. -1: it has
     * none. */
    int (*hmac_caller)(struct weir_instance *inst, const struct weir_key *key, const char *prefix, struct weir_str bytes,
                       uint8_t out[32]);
    /* How hard the request looks (core/complexity.c). false: there is no conversation, or it has no messages. */
    bool (*complexity)(struct weir_call *call, struct weir_complexity *out);
    /* Where an image or a file lies, as a client says it in decode_request: of a data URI in base64 the part gets media_type and
     * data, of any other absolute URI (RFC 3986) its url. false: it is neither, or its data are empty; the part stays as it was,
     * and reject() has a place to name. */
    bool (*media_url)(struct weir_call *call, struct weir_part *part, struct weir_text url);
#endif
};

#endif
