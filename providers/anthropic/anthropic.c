/* The codec of Anthropic's messages, both ways. This room has what is constant: where clients come in, how the provider is
 * called. */
#include "anthropic.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

/* A client of the same dialect says itself which version it speaks; the host has sent that on. */
static int put_version(struct anthropic *o, bool is_own)
{
    if (is_own && o->host->header(o->call, WEIR_LIT("anthropic-version")).n)
        return 0;
    return o->host->http_header(o->call, WEIR_LIT("anthropic-version"), WEIR_LIT("2023-06-01"));
}

int anthropic_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct anthropic o = anthropic_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    const struct anthropic_entry *e = entry;
    struct anthropic_attempt *attempt = state;
    attempt->is_vertex = e && e->home == ANTHROPIC_AT_VERTEX;
    if (attempt->is_vertex)
        return anthropic_vertex_head(&o);
    if (put_version(&o, c && weir_eq(c->dialect, ANTHROPIC_DIALECT)) < 0)
        return -1;
    return o.host->http_request(call, "POST",
                                anthropic_counts(&o) ? WEIR_LIT("/v1/messages/count_tokens") : WEIR_LIT("/v1/messages"));
}

/* Both dialects list models at the same path; the header tells whose client asks. */
static const struct weir_claim claims[] = {
    { "POST", "/v1/messages", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/v1/messages/count_tokens", NULL, WEIR_OP_COUNT, 0 },
    { "GET", "/v1/models", "anthropic-version", WEIR_OP_MODELS, 0 },
    { "GET", "/v1/models/*", "anthropic-version", WEIR_OP_MODEL, 0 },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "x-api-key", NULL, "" },
    { "authorization", NULL, "Bearer " },
    { NULL, NULL, NULL },
};

static const char *const request_headers[] = { "anthropic-version", "anthropic-beta", "idempotency-key", NULL };
static const char *const response_headers[] = { "request-id", NULL };

static const struct weir_option options[] = {
    { "home", WEIR_OPTION_CHOICE, 0, offsetof(struct anthropic_entry, home), "anthropic", 0, 0, "anthropic|vertex",
      "vertex: Google's Vertex, where the model stands in the path and the version in the body." },
    WEIR_OPTIONS_END,
};

static const struct weir_token_rates token_rates = { 3.6, 4, 513, 11.4, 22.5, 70, 154, 0, 0, 0, 0 };

/* Of what a client of another dialect, or a provider of another, may say. Own words go as they are. */
static const struct weir_says says[] = {
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS_PARTLY, "0 to 1; not while thinking, not to models that take no sampling" },
    { WEIR_FIELD_TOP_P, WEIR_SAYS_PARTLY, "not together with temperature; else as that" },
    { WEIR_FIELD_TOP_K, WEIR_SAYS_PARTLY, "as temperature" },
    { WEIR_FIELD_STOP, WEIR_SAYS_PARTLY, "not white space alone" },
    { WEIR_FIELD_USER, WEIR_SAYS_CHANGED, "as a digest: it may be a name elsewhere" },
    { WEIR_FIELD_SERVICE_TIER, WEIR_SAYS_PARTLY, "auto and default" },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS_PARTLY, "a forced call of the newest models: as a sentence in the prompt" },
    { WEIR_FIELD_PARALLEL_TOOLS, WEIR_SAYS, NULL },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS_PARTLY, "schemas; JSON without one as a sentence in the prompt" },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "to models that know it; to others as a budget" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "to models that know it; to others as an effort" },
    { WEIR_FIELD_REASONING_VISIBLE, WEIR_SAYS_PARTLY, "where it thinks" },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS_EMULATED, "as a marked text of the user" },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS_PARTLY, "as the first message: behind one of the user" },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_URL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS_PARTLY, "PDF, images; text as a document of plain text" },
    { WEIR_FEATURE_FILE_URL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "names, ids and arguments that don't fit are sent as others" },
    { WEIR_FEATURE_TOOL_STRICT, WEIR_SAYS_PARTLY, "to models that know it" },
    { WEIR_FEATURE_RESULT_ERROR, WEIR_SAYS, NULL },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_THINKING, WEIR_SAYS_PARTLY, "its own" },
    { WEIR_FEATURE_SIGNATURE, WEIR_SAYS_PARTLY, "its own" },
    { WEIR_FEATURE_REDACTED, WEIR_SAYS_PARTLY, "its own" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_CACHE_MARK, WEIR_SAYS, NULL },
    { WEIR_FEATURE_CACHE_TTL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS_PARTLY, "of thoughts, and of calls in their ids, marked; they come back" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_STOP_SEQUENCE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "a filter as refusal, others as end_turn" },
    { WEIR_FEATURE_ANSWER_CACHED_READ, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_CACHED_WRITE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_REASONING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS_EMULATED, "a word of the user is put first" },
    WEIR_SAYS_END,
};

static const struct weir_model_source model_source = { "/v1/models?limit=1000", "data", "id", NULL, "last_id", "after_id", "has_more",
                                                       "anthropic-version", "2023-06-01" };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_COUNT) |
                  WEIR_OP_BIT(WEIR_OP_RAW),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_URL | WEIR_CAN_IMAGE_INLINE |
                    WEIR_CAN_FILE_INLINE | WEIR_CAN_FILE_URL | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA |
                    WEIR_CAN_THINKING | WEIR_CAN_STREAM,
    .reserved = WEIR_CODEC_GOES_ON,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "text/event-stream",
    .request_headers = request_headers,
    .response_headers = response_headers,
    .base_url = "https://api.anthropic.com",
    .auth = { "x-api-key", NULL, "" },
    .stream_framing = WEIR_FRAMING_SSE,
    .whole_framing = WEIR_FRAMING_JSON,
    .tokens = &token_rates,
    .says = says,
    .model_source = &model_source,
    .ingress_size = sizeof(struct anthropic_client),
    .egress_size = sizeof(struct anthropic_attempt),
    .create = create,
    .decode_request = anthropic_decode_request,
    .splice = anthropic_splice,
    .encode_event = anthropic_encode_event,
    .encode_answer = anthropic_encode_answer,
    .encode_error = anthropic_encode_error,
    .encode_models = anthropic_encode_models,
    .request_head = anthropic_request_head,
    .encode_request = anthropic_encode_request,
    .decode_frame = anthropic_decode_frame,
    .decode_end = anthropic_decode_end,
    .decode_error = anthropic_decode_error,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "anthropic",
    .version = "1.0.0",
    .summary = "Anthropic's messages.",
    .options = options,
    .config_size = sizeof(struct anthropic_entry),
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
