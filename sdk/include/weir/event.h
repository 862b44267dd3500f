/* weir/event.h: what an answer says, in no dialect, streamed or whole.
 *
 * Grammar (checked by the host on everything codecs and stages emit):
 *
 *   answer  = START ( block | FINISH | USAGE | PING )* END
 *   block   = BLOCK_START(choice, block) DELTA* BLOCK_STOP      several may be open at once
 *   FINISH(choice) at most once per choice, after its blocks have stopped; USAGE any number of times, the last counts
 *   ERROR ends an answer in place of END
 *
 * END is emitted only when the codec saw the dialect's terminator or a complete answer. A stream that stops without END
 * is broken and is never shown as complete. A whole answer is the same sequence, in one go.
 *
 * The host copies an event when it is emitted, so an emitter may build it on its stack; what its strings point to must
 * live until emit() returns. Who gets an event may use it until the hook returns (lifetime: call).
 */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include "base.h"

enum weir_event_kind {
    WEIR_EVENT_START = 1,
    WEIR_EVENT_BLOCK_START = 2,
    WEIR_EVENT_DELTA = 3,
    WEIR_EVENT_BLOCK_STOP = 4,
    WEIR_EVENT_FINISH = 5,
    WEIR_EVENT_USAGE = 6,
    WEIR_EVENT_END = 7,
    WEIR_EVENT_ERROR = 8,
    WEIR_EVENT_PING = 9,
};

enum weir_block_kind {
    WEIR_BLOCK_TEXT = 1,
    WEIR_BLOCK_THINKING = 2,
    WEIR_BLOCK_REFUSAL = 3,
    WEIR_BLOCK_TOOL_CALL = 4,
    WEIR_BLOCK_TOOL_RESULT = 5, /* of a tool that the provider ran */
    WEIR_BLOCK_IMAGE = 6, /* text: base64; name: the media type, "" = image/png */
    WEIR_BLOCK_AUDIO = 7,
    WEIR_BLOCK_OPAQUE = 8, /* a block only `dialect` knows; raw */
#if WEIR_ABI_MINOR >= 1
    WEIR_BLOCK_EMBEDDING = 9, /* text: a JSON array of numbers, or a JSON string (base64); name: the encoding, "" = float */
    WEIR_BLOCK_SCORE = 10,    /* RERANK: id is the document's number, text its score */
#endif
};

/* What a DELTA adds to its block. */
enum weir_delta_kind {
    WEIR_DELTA_TEXT = 1,      /* text, thinking, refusal */
    WEIR_DELTA_ARGUMENTS = 2, /* of a tool call: a piece of its JSON */
    WEIR_DELTA_SIGNATURE = 3, /* of thinking or of a tool call */
    WEIR_DELTA_CITATION = 4,  /* raw JSON */
    WEIR_DELTA_LOGPROBS = 5,  /* raw JSON: of one token as weir_is_logprob() says, or what else `dialect` has */
    WEIR_DELTA_AUDIO = 6,     /* base64 */
    WEIR_DELTA_TRANSCRIPT = 7,
    WEIR_DELTA_EXT = 8,       /* raw JSON of dialect */
};

enum weir_finish {
    WEIR_FINISH_STOP = 1,
    WEIR_FINISH_STOP_SEQUENCE = 2, /* text = the sequence, if the provider says it */
    WEIR_FINISH_LENGTH = 3,
    WEIR_FINISH_TOOL_CALLS = 4,
    WEIR_FINISH_CONTENT_FILTER = 5,
    WEIR_FINISH_REFUSAL = 6,
    WEIR_FINISH_PAUSE = 7, /* Anthropic's pause_turn */
    WEIR_FINISH_CONTEXT_WINDOW = 8,
    WEIR_FINISH_OTHER = 9, /* name = the provider's word */
};

/* Tokens of one answer; -1 = the provider didn't say. input includes cached parts, output includes reasoning. */
struct weir_usage {
    uint32_t size;
    uint32_t flags; /* WEIR_USAGE_ESTIMATED */
    int64_t input, output;
    int64_t cached_read, cached_write;
    int64_t reasoning;
    int64_t audio_input, audio_output;
    int64_t cached_write_1h; /* part of cached_write kept for an hour */
};
#define WEIR_USAGE_ESTIMATED 1u
#define WEIR_USAGE_UNKNOWN                                                                                             \
    ((struct weir_usage){ sizeof(struct weir_usage), 0, -1, -1, -1, -1, -1, -1, -1, -1 })

/* Why something failed, in classes that decide what to do next. */
enum weir_error_class {
    WEIR_ERROR_NONE = 0,
    WEIR_ERROR_BAD_REQUEST = 1,
    WEIR_ERROR_AUTHENTICATION = 2,
    WEIR_ERROR_PERMISSION = 3,
    WEIR_ERROR_NOT_FOUND = 4,
    WEIR_ERROR_TOO_LARGE = 5,
    WEIR_ERROR_CONTEXT_LENGTH = 6,
    WEIR_ERROR_CONTENT_POLICY = 7,
    WEIR_ERROR_RATE_LIMITED = 8,
    WEIR_ERROR_QUOTA = 9,
    WEIR_ERROR_OVERLOADED = 10,
    WEIR_ERROR_TIMEOUT = 11,
    WEIR_ERROR_CONNECT = 12,  /* refused, DNS, TLS: nothing reached the provider */
    WEIR_ERROR_SERVER = 13,   /* 5xx of a provider */
    WEIR_ERROR_BROKEN = 14,   /* an answer that makes no sense or stopped half way */
    WEIR_ERROR_UNAVAILABLE = 15, /* weir itself can't now: draining, memory, no target left */
    WEIR_ERROR_INTERNAL = 16,    /* a fault of weir or of a plugin */
    WEIR_ERROR_CANCELLED = 17,   /* the client left */
    WEIR_ERROR_UNSUPPORTED = 18, /* the target's dialect can't say this */
};

struct weir_error {
    uint32_t size;
    uint16_t error_class; /* enum weir_error_class */
    uint16_t status;      /* HTTP status for the client; 0: the class's own */
    uint32_t retry_after_ms; /* 0: not said */
    uint32_t flags;
    struct weir_str code;    /* stable, "context_length_exceeded"; "": the class's own */
    struct weir_str message; /* one sentence or two: what happened, what to do */
    struct weir_str param;   /* the field it is about, "messages[3].content"; "" if none */
    struct weir_str native;  /* the provider's own code or type, for the record; "" if none */
};
#define WEIR_ERROR_FROM_UPSTREAM 1u /* set by the host: the provider said it, not weir */

struct weir_event {
    uint32_t size; /* sizeof(struct weir_event) of who made it */
    uint16_t kind; /* enum weir_event_kind */
    uint16_t flags;
    uint32_t choice, block;
    uint16_t block_kind; /* BLOCK_START; also set by the host on DELTA and BLOCK_STOP */
    uint16_t delta_kind; /* DELTA */
    uint16_t finish;     /* FINISH */
    uint16_t reserved;
    struct weir_text text;  /* DELTA: what it adds. FINISH: the stop sequence. OPAQUE block: raw JSON */
    struct weir_str id;     /* START: the answer's id. BLOCK_START: tool call id */
    struct weir_str name;   /* START: the model that answers. BLOCK_START: tool name. FINISH: the provider's own word */
    struct weir_str dialect; /* of opaque blocks, signatures and EXT deltas */
    const struct weir_usage *usage; /* USAGE; START and FINISH may carry it too: NULL if not */
    const struct weir_error *error; /* ERROR */
    int64_t created_s;              /* START: unix time the provider gave; 0: none */
};
/* The event goes out as the bytes it came in; an encoder only has to remember it. Set by the host. */
#define WEIR_EVENT_SILENT 1u
#if WEIR_ABI_MINOR >= 1
/* ERROR: before it a provider's own bytes went out, of which the encoder may not have been told. Set by the host. */
#define WEIR_EVENT_BEHIND_BYTES 2u
#endif

/* A whole answer, collected by the host from the events of one call, for dialects that answer in one document. */
struct weir_answer_block {
    struct weir_answer_block *next;
    uint32_t choice, block;
    uint32_t kind; /* enum weir_block_kind */
    uint32_t reserved;
    struct weir_str id, name, dialect;
    struct weir_text text;      /* text, thinking, arguments, opaque raw JSON, base64 audio: all its deltas joined, plain */
    struct weir_text signature; /* joined */
    struct weir_str citations;  /* "[…]" or "" */
    struct weir_str logprobs;   /* "[…]" or "" */
    struct weir_text transcript;
};

struct weir_answer_choice {
    uint32_t finish; /* enum weir_finish; 0: none came */
    uint32_t reserved;
    struct weir_str native; /* the provider's own word */
    struct weir_text stop_sequence;
};

struct weir_answer {
    struct weir_str id, model;
    int64_t created_s;
    struct weir_answer_block *blocks; /* in order of appearance */
    const struct weir_answer_choice *choices;
    uint32_t n_choices;
    uint32_t reserved;
    struct weir_usage usage;
};

#endif
