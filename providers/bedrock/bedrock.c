/* The codec of Amazon Bedrock's Converse, both ways. This room has what is constant: where clients come in, how the provider is called,
 * what of a request and of an answer the dialect can say. */
#include "bedrock.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

static const struct weir_claim claims[] = {
    { "POST", "/model/*/converse", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/model/*/converse-stream", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/model/*/invoke", NULL, WEIR_OP_EMBED, WEIR_CLAIM_PREFIXED }, /* at the root it may be relayed as it is */
    { "POST", "/model/*/count-tokens", NULL, WEIR_OP_COUNT, 0 },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { "authorization", NULL, "AWS4-HMAC-SHA256 " }, /* the signature: who checks keys knows what it is */
    { NULL, NULL, NULL },
};

static const char *const request_headers[] = { "x-amzn-bedrock-*", NULL };
static const char *const response_headers[] = { "x-amzn-*", NULL };

static const struct weir_says says[] = {
    { WEIR_FIELD_MODEL, WEIR_SAYS, "in the path" },
    { WEIR_FIELD_STREAM, WEIR_SAYS, "in the path" },
    { WEIR_FIELD_STREAM_USAGE, WEIR_SAYS, "always" },
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS_PARTLY, "clamped to 0..1; not every model takes it" },
    { WEIR_FIELD_TOP_P, WEIR_SAYS_PARTLY, "not every model takes it" },
    { WEIR_FIELD_TOP_K, WEIR_SAYS_PARTLY, "not every model takes it" },
    { WEIR_FIELD_STOP, WEIR_SAYS_PARTLY, "none of white space" },
    { WEIR_FIELD_USER, WEIR_SAYS_PARTLY, "a digest, in requestMetadata" },
    { WEIR_FIELD_METADATA, WEIR_SAYS_PARTLY, "requestMetadata, what it admits" },
    { WEIR_FIELD_SERVICE_TIER, WEIR_SAYS_PARTLY, "default, priority, flex, reserved" },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS_PARTLY, "none, and forced calls of some models, by a sentence" },
    { WEIR_FIELD_PARALLEL_TOOLS, WEIR_SAYS_PARTLY, "only true" },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS_PARTLY, "JSON mode, and schemas of some models, by a sentence" },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "in the model's words; of some models as a budget" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "of some models as an effort" },
    { WEIR_FIELD_REASONING_VISIBLE, WEIR_SAYS_PARTLY, "where it thinks" },
    { WEIR_FIELD_DIMENSIONS, WEIR_SAYS_PARTLY, "of Titan 2, Cohere 4, Nova" },
    { WEIR_FIELD_ENCODING, WEIR_SAYS_PARTLY, "float, and base64 of it" },
    { WEIR_FIELD_INPUT_TYPE, WEIR_SAYS_PARTLY, "of Cohere and Nova" },
    { WEIR_FIELD_TRUNCATE, WEIR_SAYS_PARTLY, "of Cohere and Nova" },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS_PARTLY, "text of the user in <system> tags" },
    { WEIR_FEATURE_MESSAGE_NAME, WEIR_SAYS_PARTLY, "left out" },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS_PARTLY, "as the model likes it" },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DETAIL, WEIR_SAYS_PARTLY, "left out" },
    { WEIR_FEATURE_AUDIO, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS_PARTLY, "with a text beside it" },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "called ones are declared; arguments are objects" },
    { WEIR_FEATURE_TOOL_STRICT, WEIR_SAYS_PARTLY, "of some models" },
    { WEIR_FEATURE_RESULT_ERROR, WEIR_SAYS, NULL },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_THINKING, WEIR_SAYS_PARTLY, "Bedrock's own" },
    { WEIR_FEATURE_SIGNATURE, WEIR_SAYS_PARTLY, "Bedrock's own" },
    { WEIR_FEATURE_REDACTED, WEIR_SAYS_PARTLY, "Bedrock's own" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS_CHANGED, "as text" },
    { WEIR_FEATURE_CACHE_MARK, WEIR_SAYS_PARTLY, "of some models" },
    { WEIR_FEATURE_CACHE_TTL, WEIR_SAYS_PARTLY, "where marks are said" },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS_PARTLY,
      "of thoughts, and of calls in their ids, marked; they come back" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS_CHANGED, "as text" },
    { WEIR_FEATURE_ANSWER_CITATIONS, WEIR_SAYS_PARTLY, "Bedrock's own" },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_STOP_SEQUENCE, WEIR_SAYS, "additionalModelResponseFields.stop_sequence" },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "a refusal as content_filtered, pauses as end_turn" },
    { WEIR_FEATURE_ANSWER_CACHED_READ, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_CACHED_WRITE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS_EMULATED, "a word of the user is put first" },
    WEIR_SAYS_END,
};

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_EMBED) | WEIR_OP_BIT(WEIR_OP_RAW),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_INLINE | WEIR_CAN_AUDIO_IN |
                    WEIR_CAN_FILE_INLINE | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA | WEIR_CAN_THINKING |
                    WEIR_CAN_STREAM,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "application/vnd.amazon.eventstream",
    .request_headers = request_headers,
    .response_headers = response_headers,
    .base_url = "https://bedrock-runtime.{region}.amazonaws.com",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_AWS,
    .whole_framing = WEIR_FRAMING_JSON,
    .ingress_size = sizeof(struct bedrock_client),
    .egress_size = sizeof(struct bedrock_attempt),
    .create = create,
    .decode_request = bedrock_decode_request,
    .splice = bedrock_splice,
    .encode_event = bedrock_encode_event,
    .encode_answer = bedrock_encode_answer,
    .encode_error = bedrock_encode_error,
    .request_head = bedrock_request_head,
    .encode_request = bedrock_encode_request,
    .decode_frame = bedrock_decode_frame,
    .decode_end = bedrock_decode_end,
    .decode_error = bedrock_decode_error,
    .says = says,
    .prefix = "/bedrock",
    .sign = bedrock_sign,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "bedrock",
    .version = "1.0.0",
    .summary = "Amazon Bedrock by Converse.",
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
