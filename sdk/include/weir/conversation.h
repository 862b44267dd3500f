/* weir/conversation.h: what a request says, in no dialect.
 *
 * A codec's decode_request builds a conversation through the host's functions (conversation_*, message_add, part_add …)
 * and from then on everybody reads it as linked views. Views are allocated by the host and grow at their end from
 * version to version; a plugin reads the fields that its own headers know. Lifetime: request. Views are changed only
 * through host functions (set_field, set_text, prepend_system), because each change is also an edit of the client's
 * bytes: towards a provider of the same dialect the bytes go out as they came with the edited values spliced in.
 */
#ifndef WEIR_CONVERSATION_H
#define WEIR_CONVERSATION_H

#include "base.h"

enum weir_operation {
    WEIR_OP_NONE = 0,
    WEIR_OP_CHAT = 1,
    WEIR_OP_MODELS = 2, /* list the models this caller may use */
    WEIR_OP_MODEL = 3,  /* one of them */
    WEIR_OP_COUNT = 4,
    WEIR_OP_EMBED = 5,
    WEIR_OP_RERANK = 6,
    WEIR_OP_RAW = 7, /* a call that is relayed as it is. Among a codec's operations: its decode_frame may be given what passes,
                      * and only usage is taken from it; conversation() is NULL then */
};

#define WEIR_OP_BIT(op) (UINT32_C(1) << (op))

/* The settings of a call. Each is kept as the JSON text of its canonical form, "" where the client said nothing; so numbers
 * and schemas cross as they were written. The canonical forms: */
enum weir_field {
    WEIR_FIELD_MODEL = 0,          /* "name" */
    WEIR_FIELD_STREAM,             /* true | false */
    WEIR_FIELD_STREAM_USAGE,       /* true | false: the client asked for usage in a stream */
    WEIR_FIELD_MAX_TOKENS,         /* integer >= 1, includes reasoning */
    WEIR_FIELD_TEMPERATURE,        /* number 0..2 */
    WEIR_FIELD_TOP_P,              /* number */
    WEIR_FIELD_TOP_K,              /* integer */
    WEIR_FIELD_STOP,               /* array of strings */
    WEIR_FIELD_N,                  /* integer >= 1 */
    WEIR_FIELD_SEED,               /* integer */
    WEIR_FIELD_FREQUENCY_PENALTY,  /* number -2..2 */
    WEIR_FIELD_PRESENCE_PENALTY,   /* number -2..2 */
    WEIR_FIELD_LOGIT_BIAS,         /* object */
    WEIR_FIELD_LOGPROBS,           /* true | false */
    WEIR_FIELD_TOP_LOGPROBS,       /* integer */
    WEIR_FIELD_USER,               /* "opaque id of the end user" */
    WEIR_FIELD_METADATA,           /* object of strings */
    WEIR_FIELD_SERVICE_TIER,       /* "auto" | "default" | … */
    WEIR_FIELD_TOOL_CHOICE,        /* "auto" | "none" | "required" | {"name":"tool"} */
    WEIR_FIELD_PARALLEL_TOOLS,     /* true | false */
    WEIR_FIELD_RESPONSE_FORMAT,    /* "text" | "json_object" | {"name":…,"description":…,"schema":{…},"strict":…} */
    WEIR_FIELD_REASONING_EFFORT,   /* "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" */
    WEIR_FIELD_REASONING_BUDGET,   /* integer tokens; -1: the model decides */
    WEIR_FIELD_REASONING_VISIBLE,  /* true: thoughts are wanted in the answer */
    WEIR_FIELD_VERBOSITY,          /* "low" | "medium" | "high" */
    WEIR_FIELD_MODALITIES,         /* array of strings */
#if WEIR_ABI_MINOR >= 1
    WEIR_FIELD_DIMENSIONS,         /* EMBED: integer >= 1 */
    WEIR_FIELD_ENCODING,           /* EMBED: "float" | "base64" | "int8" | "uint8" | "binary" | "ubinary" */
    WEIR_FIELD_INPUT_TYPE,         /* EMBED: "query" | "document" | "classification" | "clustering" | the dialect's own word */
    WEIR_FIELD_TRUNCATE,           /* EMBED, RERANK: "none" | "start" | "end" */
    WEIR_FIELD_TOP_N,              /* RERANK: integer >= 1 */
    WEIR_FIELD_RETURN_DOCUMENTS,   /* RERANK: true | false */
#endif
    WEIR_FIELD_COUNT,              /* grows; fields of later versions are ignored by older plugins */
};

struct weir_field_value {
    struct weir_str json; /* "" = not set */
    /* Where the value stands in the received body, so that it can be replaced in place; n = 0: it has no place of its
     * own there (absent, or the canonical form is not what was written). */
    uint32_t span_offset, span_n;
};

enum weir_role {
    WEIR_ROLE_SYSTEM = 1, /* leading ones are the system prompt; also OpenAI's "developer" */
    WEIR_ROLE_USER = 2,
    WEIR_ROLE_ASSISTANT = 3,
    WEIR_ROLE_TOOL = 4, /* its parts are tool results */
};

enum weir_part_kind {
    WEIR_PART_TEXT = 1,
    WEIR_PART_IMAGE = 2,       /* data + media_type, or url, or file_id */
    WEIR_PART_AUDIO = 3,       /* data + media_type */
    WEIR_PART_FILE = 4,        /* data + media_type + name, or url, or file_id */
    WEIR_PART_TOOL_CALL = 5,   /* id, name, text = arguments (JSON text, maybe invalid) */
    WEIR_PART_TOOL_RESULT = 6, /* id, name if known, parts = content, is_error */
    WEIR_PART_THINKING = 7,    /* text, signature; redacted: data */
    WEIR_PART_REFUSAL = 8,     /* text */
    WEIR_PART_OPAQUE = 9,      /* raw, of dialect: a block only that dialect knows */
};

struct weir_part {
    struct weir_part *next;
    uint32_t kind; /* enum weir_part_kind */
    uint32_t flags;
    struct weir_text text;
    struct weir_text data;       /* base64 of the media; redacted thinking's data */
    struct weir_str media_type;  /* "image/png" */
    struct weir_str url;
    struct weir_str file_id;
    struct weir_str id;          /* tool call id */
    struct weir_str name;        /* tool name, file name */
    struct weir_text signature;  /* of thinking or of a tool call, opaque; only for signature_dialect */
    struct weir_str detail;      /* image detail, "" if none */
    struct weir_str raw;         /* the part's own JSON, for OPAQUE and for `ext` of the same dialect */
    struct weir_str dialect;     /* whose signature, raw and cache mark these are; "" = none */
    struct weir_part *parts;     /* the content of a tool result */
#if WEIR_ABI_MINOR >= 1
    struct weir_str cache_ttl;   /* of the cache mark: how long it is to be kept, "5m", "1h"; "" where the client didn't say */
#endif
};
#define WEIR_PART_IS_ERROR 1u  /* tool result: the tool failed */
#define WEIR_PART_CACHE_MARK 2u /* the client marks the prefix up to here as cacheable */
#define WEIR_PART_REDACTED 4u

struct weir_message {
    struct weir_message *next;
    uint32_t role; /* enum weir_role */
    uint32_t flags;
    struct weir_part *parts;
    struct weir_str name; /* "" if none */
};

struct weir_tool {
    struct weir_tool *next;
    struct weir_str name;
    struct weir_text description;
    struct weir_str schema;   /* JSON Schema of the arguments, "" if none */
    struct weir_str strict;   /* "true", "false" or "" */
    struct weir_str raw;      /* the tool's own JSON, if it is one only `dialect` knows (hosted tools); then name may be "" */
    struct weir_str dialect;
    uint32_t flags; /* WEIR_PART_CACHE_MARK, WEIR_TOOL_OF_CLIENT */
    uint32_t reserved;
#if WEIR_ABI_MINOR >= 1
    struct weir_str cache_ttl;   /* as a part's */
#endif
};
#if WEIR_ABI_MINOR >= 1
/* A tool of the dialect's own (raw) that the client runs, not the provider: a shell, an editor, a screen. Asking another target
 * can't run it twice. */
#define WEIR_TOOL_OF_CLIENT 4u
#endif

/* A field that the dialect's codec does not know, or knows to have no canonical form. */
struct weir_ext {
    struct weir_ext *next;
    struct weir_str path;  /* "metadata", "messages[2].name" */
    struct weir_str raw;   /* its JSON value */
    uint32_t span_offset, span_n; /* of the whole member, `"key":value` */
};

/* Capabilities that a target must have to serve the conversation; computed by the host from the views. */
enum weir_capability {
    WEIR_CAN_TOOLS = 1u << 0,
    WEIR_CAN_PARALLEL_TOOLS = 1u << 1,
    WEIR_CAN_IMAGE_URL = 1u << 2,
    WEIR_CAN_IMAGE_INLINE = 1u << 3,
    WEIR_CAN_AUDIO_IN = 1u << 4,
    WEIR_CAN_FILE_INLINE = 1u << 5,
    WEIR_CAN_FILE_URL = 1u << 6,
    WEIR_CAN_JSON_OBJECT = 1u << 7,
    WEIR_CAN_JSON_SCHEMA = 1u << 8,
    WEIR_CAN_THINKING = 1u << 9,
    WEIR_CAN_CHOICES = 1u << 10,  /* n > 1 */
    WEIR_CAN_LOGPROBS = 1u << 11,
    WEIR_CAN_STREAM = 1u << 12,
    WEIR_CAN_AUDIO_OUT = 1u << 13,
    WEIR_CAN_FILE_ID = 1u << 14,
    WEIR_CAN_OPAQUE = 1u << 15,   /* blocks or tools only the client's own dialect has */
};

#if WEIR_ABI_MINOR >= 1
/* What a request or an answer can say, one number each: what a translation may lose. Those below 64 are the field of the same
 * number (enum weir_field). The name in `weir matrix`, in the loss header and in the record stands behind each. */
enum weir_feature {
    WEIR_FEATURE_NONE = 63,          /* ends a table */
    /* ---- of a request ---- */
    WEIR_FEATURE_SYSTEM_LATER = 64,  /* system_later: a system message behind others */
    WEIR_FEATURE_MESSAGE_NAME,       /* message_name */
    WEIR_FEATURE_PREFILL,            /* prefill: the last message is the assistant's */
    WEIR_FEATURE_PART_ORDER,         /* part_order: text behind a tool call, thinking behind text */
    WEIR_FEATURE_IMAGE_URL,          /* image_url */
    WEIR_FEATURE_IMAGE_DATA,         /* image_data */
    WEIR_FEATURE_IMAGE_DETAIL,       /* image_detail */
    WEIR_FEATURE_AUDIO,              /* audio */
    WEIR_FEATURE_FILE_DATA,          /* file_data */
    WEIR_FEATURE_FILE_URL,           /* file_url */
    WEIR_FEATURE_FILE_ID,            /* file_id */
    WEIR_FEATURE_TOOLS,              /* tools */
    WEIR_FEATURE_TOOL_STRICT,        /* tool_strict */
    WEIR_FEATURE_TOOL_OPAQUE,        /* tool_opaque: a tool that only one dialect knows */
    WEIR_FEATURE_RESULT_ERROR,       /* result_error: a tool result that says it failed */
    WEIR_FEATURE_RESULT_MEDIA,       /* result_media: images or files in a tool result */
    WEIR_FEATURE_THINKING,           /* thinking: of earlier turns */
    WEIR_FEATURE_SIGNATURE,          /* signature: of earlier turns' thinking or tool calls */
    WEIR_FEATURE_REDACTED,           /* redacted: thinking that only its provider can read */
    WEIR_FEATURE_REFUSAL,            /* refusal: of earlier turns */
    WEIR_FEATURE_OPAQUE,             /* opaque: a block that only one dialect knows */
    WEIR_FEATURE_CACHE_MARK,         /* cache_mark */
    WEIR_FEATURE_EXT,                /* ext: a field that only the client's dialect knows */
    WEIR_FEATURE_TURNS,              /* turns: the first turn is not the user's, or there is none */
    WEIR_FEATURE_CACHE_TTL,          /* cache_ttl: how long a marked prefix is kept, where it is not 5m */
    /* ---- of an answer ---- */
    WEIR_FEATURE_ANSWER_THINKING = 96,   /* answer.thinking */
    WEIR_FEATURE_ANSWER_SIGNATURE,       /* answer.signature */
    WEIR_FEATURE_ANSWER_REDACTED,        /* answer.redacted */
    WEIR_FEATURE_ANSWER_REFUSAL,         /* answer.refusal */
    WEIR_FEATURE_ANSWER_TOOL_RESULT,     /* answer.tool_result: of a tool that the provider ran */
    WEIR_FEATURE_ANSWER_IMAGE,           /* answer.image */
    WEIR_FEATURE_ANSWER_AUDIO,           /* answer.audio */
    WEIR_FEATURE_ANSWER_OPAQUE,          /* answer.opaque */
    WEIR_FEATURE_ANSWER_CITATIONS,       /* answer.citations */
    WEIR_FEATURE_ANSWER_LOGPROBS,        /* answer.logprobs */
    WEIR_FEATURE_ANSWER_EXT,             /* answer.ext: a field that only the provider's dialect knows */
    WEIR_FEATURE_ANSWER_CHOICES,         /* answer.choices: more than one */
    WEIR_FEATURE_ANSWER_ORDER,           /* answer.order: text behind a tool call, thinking behind text */
    WEIR_FEATURE_ANSWER_STOP_SEQUENCE,   /* answer.stop_sequence: which one it was */
    WEIR_FEATURE_ANSWER_FINISH,          /* answer.finish: a reason that the client's dialect has no word for */
    WEIR_FEATURE_ANSWER_CACHED_READ,     /* answer.cached_read: tokens */
    WEIR_FEATURE_ANSWER_CACHED_WRITE,    /* answer.cached_write */
    WEIR_FEATURE_ANSWER_REASONING,       /* answer.reasoning: tokens */
    WEIR_FEATURE_ANSWER_USAGE,           /* answer.usage: tokens in and out */
    WEIR_FEATURES = 128,
};

/* What became of it. */
enum weir_loss {
    WEIR_LOSS_DROPPED = 1,  /* left out */
    WEIR_LOSS_CHANGED = 2,  /* said with another value: a temperature of 1.6 as 1 */
    WEIR_LOSS_EMULATED = 3, /* said by other means: a schema as a forced tool */
};
#endif

/* The shape of the calls beside chat:
 *   COUNT   a chat request; its answer is USAGE with `input`.
 *   EMBED   each input is a message (user) of one part; each vector a block EMBEDDING whose `choice` is the input's number.
 *   RERANK  the query is the first message, each document one message behind it; each result a block SCORE in order of
 *           rank: `id` is the document's number, counted from 0, its text the score as a JSON number.
 */
struct weir_conversation {
    uint32_t operation; /* enum weir_operation */
    uint32_t needs;     /* enum weir_capability bits; valid from on_request on */
    struct weir_str dialect; /* the client's */
    const struct weir_field_value *fields; /* n_fields of them, by enum weir_field */
    uint32_t n_fields;
    uint32_t n_messages;
    struct weir_message *messages;
    struct weir_tool *tools;
    struct weir_ext *ext;
    struct weir_str body; /* the received bytes */
};

/* The JSON of a field, "" if it is not set or the host does not know it. */
static inline struct weir_str weir_field(const struct weir_conversation *c, enum weir_field f)
{
    return (uint32_t)f < c->n_fields ? c->fields[f].json : WEIR_NONE;
}

static inline bool weir_field_true(const struct weir_conversation *c, enum weir_field f)
{
    return weir_is(weir_field(c, f), "true");
}

#endif
