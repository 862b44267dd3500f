/* The codec of OpenAI's Responses, both ways. This room has what is constant: where clients come in, how the provider is called,
 * what the dialect can say. */
#include "responses.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

int responses_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    const struct weir_host *host = self;
    const struct weir_conversation *c = host->conversation(call);
    (void)state;
    (void)entry;
    bool counts = c && c->operation == WEIR_OP_COUNT;
    return host->http_request(call, "POST", counts ? WEIR_LIT("/responses/input_tokens") : WEIR_LIT("/responses"));
}

void responses_lose(struct responses *o, uint32_t feature, enum weir_loss what, const char *why)
{
    o->host->lose(o->call, (enum weir_feature)feature, what, why);
}

int responses_unsupported(struct responses *o, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNSUPPORTED,
                            .message = weir_cstr(message),
                            .param = weir_cstr(param) };
    o->failed = true;
    o->host->fail(o->call, &e);
    return -1;
}

static const struct weir_claim claims[] = {
    { "POST", "/v1/responses", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/v1/responses/input_tokens", NULL, WEIR_OP_COUNT, 0 },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { "api-key", NULL, "" }, /* Azure's SDK */
    { NULL, NULL, NULL },
};

static const char *const request_headers[] = { "openai-*",     "idempotency-key", "x-client-request-id",
                                               "http-referer", "x-title",         NULL };
static const char *const response_headers[] = { "openai-processing-ms", "openai-version", NULL };

static const struct weir_says says[] = {
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS_PARTLY, "at least 16" },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_P, WEIR_SAYS, NULL },
    { WEIR_FIELD_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_USER, WEIR_SAYS, NULL },
    { WEIR_FIELD_METADATA, WEIR_SAYS, NULL },
    { WEIR_FIELD_SERVICE_TIER, WEIR_SAYS_PARTLY, "words that OpenAI has" },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS, NULL },
    { WEIR_FIELD_PARALLEL_TOOLS, WEIR_SAYS, NULL },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS, NULL },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "\"none\" only to models that know it" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "as an effort" },
    { WEIR_FIELD_REASONING_VISIBLE, WEIR_SAYS, NULL },
    { WEIR_FIELD_VERBOSITY, WEIR_SAYS, NULL },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_URL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DETAIL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_AUDIO, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_URL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "names of more than 64 characters, or of others than A-Z a-z 0-9 _ -" },
    { WEIR_FEATURE_TOOL_STRICT, WEIR_SAYS, NULL },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_THINKING, WEIR_SAYS_PARTLY, "the provider's own" },
    { WEIR_FEATURE_SIGNATURE, WEIR_SAYS_PARTLY, "the provider's own" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS_PARTLY, "of thinking and of calls, in encrypted_content" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_IMAGE, WEIR_SAYS_EMULATED, "as an image_generation_call that nobody asked for" },
    { WEIR_FEATURE_ANSWER_OPAQUE, WEIR_SAYS_PARTLY, "the dialect's own" },
    { WEIR_FEATURE_ANSWER_CITATIONS, WEIR_SAYS_PARTLY, "the dialect's own" },
    { WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_SAYS_PARTLY, "OpenAI's form" },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY,
      "a refusal is content_filter, a full context window max_output_tokens" },
    { WEIR_FEATURE_ANSWER_CACHED_READ, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_CACHED_WRITE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_REASONING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS, NULL },
    WEIR_SAYS_END,
};

/* The texts are counted as in OpenAI's chat completions. */
static const struct weir_token_rates token_rates = { 4.4, 2.7, 9.8, 3.6, 5.2, 257, 21, 0, 0, 0, 0 };

static const struct weir_model_source model_source = { "/models", "data", "id", NULL, NULL, NULL, NULL, NULL, NULL };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_COUNT) |
                  WEIR_OP_BIT(WEIR_OP_RAW),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_URL | WEIR_CAN_IMAGE_INLINE |
                    WEIR_CAN_AUDIO_IN | WEIR_CAN_FILE_INLINE | WEIR_CAN_FILE_URL | WEIR_CAN_JSON_OBJECT |
                    WEIR_CAN_JSON_SCHEMA | WEIR_CAN_THINKING | WEIR_CAN_LOGPROBS | WEIR_CAN_STREAM,
    .reserved = WEIR_CODEC_REPEATS,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "text/event-stream",
    .request_headers = request_headers,
    .response_headers = response_headers,
    .base_url = "https://api.openai.com/v1",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_SSE,
    .whole_framing = WEIR_FRAMING_JSON,
    .ingress_size = sizeof(struct responses_client),
    .egress_size = sizeof(struct responses_attempt),
    .create = create,
    .decode_request = responses_decode_request,
    .splice = responses_splice,
    .encode_event = responses_encode_event,
    .encode_answer = responses_encode_answer,
    .encode_error = responses_encode_error,
    .request_head = responses_request_head,
    .encode_request = responses_encode_request,
    .decode_frame = responses_decode_frame,
    .decode_end = responses_decode_end,
    .decode_error = responses_decode_error,
    .says = says,
    .model_source = &model_source,
    .prefix = "/openai",
    .tokens = &token_rates,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),       .name = "responses", .version = "1.0.0",
    .summary = "OpenAI's Responses.", .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
