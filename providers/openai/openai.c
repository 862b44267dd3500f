/* The codec of OpenAI's chat completions and embeddings, both ways, and of the many servers that speak the same dialect. This
 * room has what is constant: where clients come in, how a provider is called. */
#include "quirks.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

int openai_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct openai o = openai_begin(self, call);
    ((struct openai_attempt *)state)->entry = entry;
    struct weir_str path = openai_path(&o, entry, openai_embeds(&o) ? "/embeddings" : "/chat/completions");
    if (o.host->http_request(call, "POST", path) < 0)
        return -1;
    return openai_needs_anew(&o, entry) ? WEIR_HEAD_ANEW : 0;
}

static const struct weir_claim claims[] = {
    { "POST", "/v1/chat/completions", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/v1/embeddings", NULL, WEIR_OP_EMBED, 0 },
    { "GET", "/v1/models", NULL, WEIR_OP_MODELS, 0 },
    { "GET", "/v1/models/*", NULL, WEIR_OP_MODEL, 0 },
    /* Azure's, before its v1 path: the deployment is the model. Its SDK puts /openai before it. */
    { "POST", "/deployments/*/chat/completions", NULL, WEIR_OP_CHAT, WEIR_CLAIM_PREFIXED },
    { "POST", "/deployments/*/embeddings", NULL, WEIR_OP_EMBED, WEIR_CLAIM_PREFIXED },
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
    { "drop", WEIR_OPTION_LIST, 0, offsetof(struct openai_entry, drop), NULL, 0, 0, NULL,
      "Members of a request that the server refuses or ignores: they are left out and reported. seed, messages.name, "
      "image_url.detail, tools.strict …" },
    { "rename", WEIR_OPTION_LIST, 0, offsetof(struct openai_entry, rename), NULL, 0, 0, NULL,
      "Members that the server calls otherwise: seed=random_seed." },
    { "developer_role", WEIR_OPTION_BOOL, 0, offsetof(struct openai_entry, takes_developer), "true", 0, 0, NULL,
      "false: messages of the role developer are sent as system." },
    { "tool_call_id", WEIR_OPTION_CHOICE, 0, offsetof(struct openai_entry, tool_call_id), "any", 0, 0, "any|alnum9",
      "alnum9: the server takes only ids of nine letters and digits; others are sent as such." },
    { "path_prefix", WEIR_OPTION_STRING, 0, offsetof(struct openai_entry, path_prefix), "", 0, 0, NULL,
      "What stands between base_url and the path of a call: /deployments/{model}." },
    { "query", WEIR_OPTION_STRING, 0, offsetof(struct openai_entry, query), "", 0, 0, NULL,
      "What stands behind it: api-version=2024-10-21." },
    { "tools_without_effort", WEIR_OPTION_LIST, 0, offsetof(struct openai_entry, tools_without_effort), NULL, 0, 0, NULL,
      "Models (gpt-5.6*) that refuse tools beside a reasoning effort here: with tools it is sent as none, and reported." },
    WEIR_OPTIONS_END,
};

/* What the provider gave out and knows again, in files, batches, responses, conversations, uploads, stores. */
static const char *const ids[] = {
    "id",        "file_id",       "file_ids",        "input_file_id",   "output_file_id",       "error_file_id",
    "batch_id",  "first_id",      "last_id",         "after",           "previous_response_id", "response_id",
    "upload_id", "part_ids",      "conversation_id", "conversation",    "vector_store_id",      "vector_store_ids",
    "container", "container_id",  "training_file",   "validation_file", NULL,
};

static const struct weir_token_rates token_rates = { 4.4, 2.7, 9.8, 3.6, 5.2, 257, 21, 0, 0, 0, 0 };

/* Of what a client of another dialect, or a provider of another, may say. Own words go as they are. */
static const struct weir_says says[] = {
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_P, WEIR_SAYS, NULL },
    { WEIR_FIELD_STOP, WEIR_SAYS, NULL },
    { WEIR_FIELD_N, WEIR_SAYS, NULL },
    { WEIR_FIELD_SEED, WEIR_SAYS, NULL },
    { WEIR_FIELD_FREQUENCY_PENALTY, WEIR_SAYS, NULL },
    { WEIR_FIELD_PRESENCE_PENALTY, WEIR_SAYS, NULL },
    { WEIR_FIELD_LOGIT_BIAS, WEIR_SAYS, NULL },
    { WEIR_FIELD_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_USER, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS, NULL },
    { WEIR_FIELD_PARALLEL_TOOLS, WEIR_SAYS, NULL },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS, NULL },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "none: only to models that know it; of some models not beside tools" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "as an effort" },
    { WEIR_FIELD_VERBOSITY, WEIR_SAYS, NULL },
    { WEIR_FIELD_MODALITIES, WEIR_SAYS, NULL },
    { WEIR_FIELD_DIMENSIONS, WEIR_SAYS, NULL },
    { WEIR_FIELD_ENCODING, WEIR_SAYS_PARTLY, "float and base64" },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_MESSAGE_NAME, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS_CHANGED, "most models answer it and don't go on from it" },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS_CHANGED, "thoughts, then texts, then calls" },
    { WEIR_FEATURE_IMAGE_URL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DETAIL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_AUDIO, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "names and ids that are too long are sent as others" },
    { WEIR_FEATURE_TOOL_STRICT, WEIR_SAYS, NULL },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS_EMULATED, "in a message of the user behind the results" },
    { WEIR_FEATURE_THINKING, WEIR_SAYS_PARTLY, "with replay_reasoning" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS_PARTLY, "of thoughts and calls, beside them, marked; they come back" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_IMAGE, WEIR_SAYS_EMULATED, "as `images`, which OpenAI doesn't have, but others of its dialect" },
    { WEIR_FEATURE_ANSWER_AUDIO, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_SAYS_PARTLY, "in OpenAI's form" },
    { WEIR_FEATURE_ANSWER_CHOICES, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS_CHANGED, "a message has one text, one list of calls" },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "by the nearest of stop, length, content_filter" },
    { WEIR_FEATURE_ANSWER_CACHED_READ, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_CACHED_WRITE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_REASONING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS, NULL },
    WEIR_SAYS_END,
};

static const struct weir_model_source model_source = { "/models", "data", "id", NULL, NULL, NULL, NULL, NULL, NULL };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_EMBED) | WEIR_OP_BIT(WEIR_OP_RAW),
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
    .ids = ids,
    .says = says,
    .model_source = &model_source,
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
    .summary = "OpenAI's chat completions and embeddings, and every compatible server.",
    .options = options,
    .config_size = sizeof(struct openai_entry),
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
