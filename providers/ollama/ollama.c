/* The codec of Ollama's own chat API, both ways. This room has what is constant: where clients come in, how a provider is called,
 * and what the dialect can say. */
#include "ollama.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

int ollama_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    const struct weir_host *host = self;
    const struct weir_conversation *c = host->conversation(call);
    (void)state, (void)entry;
    bool embeds = c && c->operation == WEIR_OP_EMBED;
    return host->http_request(call, "POST", embeds ? WEIR_LIT("/api/embed") : WEIR_LIT("/api/chat"));
}

static const struct weir_claim claims[] = {
    { "POST", "/api/chat", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/api/embed", NULL, WEIR_OP_EMBED, 0 },
    { "GET", "/api/tags", NULL, WEIR_OP_MODELS, 0 },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { NULL, NULL, NULL },
};

static const char *const none[] = { NULL };

static const struct weir_says says[] = {
    { WEIR_FIELD_MODEL, WEIR_SAYS, NULL },
    { WEIR_FIELD_STREAM, WEIR_SAYS, NULL },
    { WEIR_FIELD_STREAM_USAGE, WEIR_SAYS, NULL },
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_P, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_K, WEIR_SAYS, NULL },
    { WEIR_FIELD_STOP, WEIR_SAYS, NULL },
    { WEIR_FIELD_N, WEIR_SAYS_PARTLY, "1 only" },
    { WEIR_FIELD_SEED, WEIR_SAYS, NULL },
    { WEIR_FIELD_FREQUENCY_PENALTY, WEIR_SAYS, NULL },
    { WEIR_FIELD_PRESENCE_PENALTY, WEIR_SAYS, NULL },
    { WEIR_FIELD_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS_PARTLY,
      "auto and none; a named tool is the only one offered; required is dropped" },
    { WEIR_FIELD_PARALLEL_TOOLS, WEIR_SAYS_PARTLY, "true only" },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS, NULL },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "minimal as low, xhigh as max" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "as a level" },
    { WEIR_FIELD_REASONING_VISIBLE, WEIR_SAYS_PARTLY, "thoughts are always told" },
    { WEIR_FIELD_MODALITIES, WEIR_SAYS_PARTLY, "text only" },
    { WEIR_FIELD_DIMENSIONS, WEIR_SAYS, NULL },
    { WEIR_FIELD_ENCODING, WEIR_SAYS_PARTLY, "float" },
    { WEIR_FIELD_TRUNCATE, WEIR_SAYS_PARTLY, "start as end" },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS_PARTLY, "thoughts, words, images, calls" },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS_PARTLY, "text files as words, others are refused" },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "arguments that are no object stand in _raw" },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS_PARTLY, "images; text files as words" },
    { WEIR_FEATURE_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_SIGNATURE, WEIR_SAYS_PARTLY, "never: it is told whatever the client speaks" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS_PARTLY, "in the ids of tool calls" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_SAYS_PARTLY, "in OpenAI's form" },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS_PARTLY, "in streams; a document has thoughts, words, calls" },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "stop and length" },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS, NULL },
    WEIR_SAYS_END,
};

static const struct weir_model_source model_source = { "/api/tags", "models", "name", NULL, NULL, NULL, NULL, NULL, NULL };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_EMBED) |
                  WEIR_OP_BIT(WEIR_OP_RAW),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_INLINE | WEIR_CAN_FILE_INLINE |
                    WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA | WEIR_CAN_THINKING | WEIR_CAN_LOGPROBS |
                    WEIR_CAN_STREAM,
    .reserved = WEIR_CODEC_GOES_ON,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "application/x-ndjson",
    .request_headers = none,
    .response_headers = none,
    .base_url = "http://127.0.0.1:11434",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_NDJSON,
    .whole_framing = WEIR_FRAMING_JSON,
    .ingress_size = sizeof(struct ollama_client),
    .egress_size = sizeof(struct ollama_attempt),
    .create = create,
    .decode_request = ollama_decode_request,
    .splice = ollama_splice,
    .encode_event = ollama_encode_event,
    .encode_answer = ollama_encode_answer,
    .encode_error = ollama_encode_error,
    .encode_models = ollama_encode_models,
    .request_head = ollama_request_head,
    .encode_request = ollama_encode_request,
    .decode_frame = ollama_decode_frame,
    .decode_end = ollama_decode_end,
    .decode_error = ollama_decode_error,
    .says = says,
    .model_source = &model_source,
    .prefix = "/ollama",
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "ollama",
    .version = "1.0.0",
    .summary = "Ollama's own chat and embed API, as a front door and as a provider.",
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
