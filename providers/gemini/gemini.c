/* The codec of Google's generateContent, both ways. This room has what is constant: where clients come in, how a provider is
 * called, what the dialect can say. Codecs own nothing, so create() only hands on the host. */
#include "gemini.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host;
    return 0;
}

#define CALLS(root)                                                                                                    \
    { "POST", root "*:generateContent", NULL, WEIR_OP_CHAT, 0 },                                                       \
        { "POST", root "*:streamGenerateContent", NULL, WEIR_OP_CHAT, 0 },                                             \
        { "POST", root "*:countTokens", NULL, WEIR_OP_COUNT, 0 },                                                      \
        { "POST", root "*:batchEmbedContents", NULL, WEIR_OP_EMBED, 0 },                                               \
        { "POST", root "*:embedContent", NULL, WEIR_OP_EMBED, 0 }

/* v1beta1: Vertex's */
static const struct weir_claim claims[] = {
    CALLS("/v1beta/models/"),
    CALLS("/v1/models/"),
    CALLS("/v1beta/tunedModels/"),
    CALLS("/v1/projects/"),
    CALLS("/v1beta1/"),
    { "GET", "/v1beta/models", NULL, WEIR_OP_MODELS, 0 },
    { "GET", "/v1beta/models/*", NULL, WEIR_OP_MODEL, 0 },
    { "GET", "/v1/models", NULL, WEIR_OP_MODELS, WEIR_CLAIM_PREFIXED },
    { "GET", "/v1/models/*", NULL, WEIR_OP_MODEL, WEIR_CLAIM_PREFIXED },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "x-goog-api-key", NULL, "" },
    { NULL, "key", "" },
    { "authorization", NULL, "Bearer " }, /* Vertex's clients */
    { NULL, NULL, NULL },
};

static const char *const request_headers[] = { "x-goog-api-client", "x-goog-user-project", "x-vertex-ai-*", NULL };
static const char *const response_headers[] = { "server-timing", "x-vertex-ai-*", NULL };

static const struct weir_says says[] = {
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_P, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_K, WEIR_SAYS, NULL },
    { WEIR_FIELD_STOP, WEIR_SAYS_PARTLY, "the first five" },
    { WEIR_FIELD_N, WEIR_SAYS_PARTLY, "up to 8" },
    { WEIR_FIELD_SEED, WEIR_SAYS_PARTLY, "folded into 32 bits" },
    { WEIR_FIELD_FREQUENCY_PENALTY, WEIR_SAYS, NULL },
    { WEIR_FIELD_PRESENCE_PENALTY, WEIR_SAYS, NULL },
    { WEIR_FIELD_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_LOGPROBS, WEIR_SAYS_PARTLY, "with logprobs" },
    { WEIR_FIELD_SERVICE_TIER, WEIR_SAYS_PARTLY, "default, flex and priority" },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS, NULL },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS, NULL },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "as a budget or a level, where the model has them" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "within the model's bounds; from 3 on as a level" },
    { WEIR_FIELD_REASONING_VISIBLE, WEIR_SAYS_PARTLY, "of models that think" },
    { WEIR_FIELD_MODALITIES, WEIR_SAYS, NULL },
    { WEIR_FIELD_DIMENSIONS, WEIR_SAYS, NULL },
    { WEIR_FIELD_ENCODING, WEIR_SAYS_PARTLY, "float" },
    { WEIR_FIELD_INPUT_TYPE, WEIR_SAYS_PARTLY, "Google's task types" },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS_EMULATED, "text of the user in <system> tags" },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS_PARTLY, "as the first message: behind one of the user" },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_AUDIO, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "names and arguments that don't fit are sent as others" },
    { WEIR_FEATURE_RESULT_ERROR, WEIR_SAYS, NULL },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS_CHANGED, "behind the results" },
    { WEIR_FEATURE_THINKING, WEIR_SAYS_PARTLY, "its own" },
    { WEIR_FEATURE_SIGNATURE, WEIR_SAYS_PARTLY, "its own; else the documented stand-in where one is demanded" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS, "another dialect's is marked; it comes back" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_IMAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_OPAQUE, WEIR_SAYS_PARTLY, "its own" },
    { WEIR_FEATURE_ANSWER_CITATIONS, WEIR_SAYS_PARTLY, "its own" },
    { WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_SAYS_PARTLY, "in OpenAI's form" },
    { WEIR_FEATURE_ANSWER_CHOICES, WEIR_SAYS_PARTLY, "up to 8" },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "a refusal as SAFETY, a full context as MAX_TOKENS" },
    { WEIR_FEATURE_ANSWER_CACHED_READ, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_REASONING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS_EMULATED, "a word of the user is put first" },
    WEIR_SAYS_END,
};


static const struct weir_model_source model_source = { "/models?pageSize=1000", "models", "name", "models/", "nextPageToken", "pageToken", NULL, NULL, NULL };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_COUNT) | WEIR_OP_BIT(WEIR_OP_EMBED) |
                  WEIR_OP_BIT(WEIR_OP_RAW),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_INLINE | WEIR_CAN_AUDIO_IN |
                    WEIR_CAN_FILE_INLINE | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA | WEIR_CAN_THINKING |
                    WEIR_CAN_CHOICES | WEIR_CAN_LOGPROBS | WEIR_CAN_STREAM,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "text/event-stream",
    .request_headers = request_headers,
    .response_headers = response_headers,
    .base_url = "https://generativelanguage.googleapis.com/v1beta",
    .auth = { "x-goog-api-key", NULL, "" },
    .stream_framing = WEIR_FRAMING_SSE,
    .whole_framing = WEIR_FRAMING_JSON,
    .tokens = &gemini_tokens,
    .tokens_of = gemini_tokens_of,
    .says = says,
    .model_source = &model_source,
    .prefix = "/gemini",
    .ingress_size = sizeof(struct gemini_client),
    .egress_size = sizeof(struct gemini_attempt),
    .create = create,
    .decode_request = gemini_decode_request,
    .splice = gemini_splice,
    .other_stream_type = gemini_other_stream_type,
    .encode_event = gemini_encode_event,
    .encode_answer = gemini_encode_answer,
    .encode_error = gemini_encode_error,
    .encode_models = gemini_encode_models,
    .request_head = gemini_request_head,
    .encode_request = gemini_encode_request,
    .split = gemini_split,
    .decode_frame = gemini_decode_frame,
    .decode_end = gemini_decode_end,
    .decode_error = gemini_decode_error,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "gemini",
    .version = "1.0.0",
    .summary = "Google's Gemini, generateContent, as a front door and as a provider.",
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
