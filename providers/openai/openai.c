/* The codec of OpenAI's chat completions, both ways, and of the many servers that speak the same dialect. This room has what is
 * constant: where clients come in, how a provider is called. */
#include "openai.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

int openai_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    const struct weir_host *host = self;
    ((struct openai_attempt *)state)->entry = entry;
    return host->http_request(call, "POST", WEIR_LIT("/chat/completions"));
}

static const struct weir_claim claims[] = {
    { "POST", "/v1/chat/completions", NULL, WEIR_OP_CHAT, 0 },
    { "GET", "/v1/models", NULL, WEIR_OP_MODELS, 0 },
    { "GET", "/v1/models/*", NULL, WEIR_OP_MODEL, 0 },
    /* Azure's, before its v1 path: the deployment is the model. Its SDK puts /openai before it. */
    { "POST", "/deployments/*/chat/completions", NULL, WEIR_OP_CHAT, WEIR_CLAIM_PREFIXED },
    { "GET", "/models", NULL, WEIR_OP_MODELS, WEIR_CLAIM_PREFIXED },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { "api-key", NULL, "" }, /* Azure's SDK */
    { NULL, NULL, NULL },
};

static const char *const request_headers[] = { "openai-*",     "idempotency-key", "x-client-request-id",
                                               "http-referer", "x-title",         NULL };
static const char *const response_headers[] = { "openai-processing-ms", "openai-version", "x-generation-id", NULL };

static const struct weir_option options[] = {
    { "max_tokens_field", WEIR_OPTION_CHOICE, 0, offsetof(struct openai_entry, max_tokens_field), "auto", 0, 0,
      "auto|max_completion_tokens|max_tokens",
      "How the limit of the answer is called; auto: max_completion_tokens for OpenAI's own models, else max_tokens." },
    { "text_content", WEIR_OPTION_CHOICE, 0, offsetof(struct openai_entry, text_content), "parts", 0, 0, "parts|string",
      "string: texts of a message are joined, for servers that take no content parts." },
    { "stream_usage", WEIR_OPTION_BOOL, 0, offsetof(struct openai_entry, can_stream_usage), "true", 0, 0, NULL,
      "Ask for usage in streams with stream_options; false for servers that refuse it." },
    { "replay_reasoning", WEIR_OPTION_BOOL, 0, offsetof(struct openai_entry, replays_reasoning), "false", 0, 0, NULL,
      "Send earlier thoughts back as reasoning_content, as DeepSeek demands when tools are used." },
    WEIR_OPTIONS_END,
};

static const struct weir_token_rates token_rates = { 4.4, 2.7, 9.8, 3.6, 5.2, 257, 21 };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_URL | WEIR_CAN_IMAGE_INLINE |
                    WEIR_CAN_AUDIO_IN | WEIR_CAN_FILE_INLINE | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA |
                    WEIR_CAN_THINKING | WEIR_CAN_CHOICES | WEIR_CAN_LOGPROBS | WEIR_CAN_STREAM | WEIR_CAN_AUDIO_OUT,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "text/event-stream",
    .request_headers = request_headers,
    .response_headers = response_headers,
    .base_url = "https://api.openai.com/v1",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_SSE,
    .whole_framing = WEIR_FRAMING_JSON,
    .tokens = &token_rates,
    .ingress_size = sizeof(struct openai_client),
    .egress_size = sizeof(struct openai_attempt),
    .create = create,
    .decode_request = openai_decode_request,
    .splice = openai_splice,
    .encode_event = openai_encode_event,
    .encode_answer = openai_encode_answer,
    .encode_error = openai_encode_error,
    .encode_models = openai_encode_models,
    .request_head = openai_request_head,
    .encode_request = openai_encode_request,
    .decode_frame = openai_decode_frame,
    .decode_end = openai_decode_end,
    .decode_error = openai_decode_error,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "openai",
    .version = "1.0.0",
    .summary = "OpenAI's chat completions and every compatible server.",
    .options = options,
    .config_size = sizeof(struct openai_entry),
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
