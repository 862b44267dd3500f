/* The codec of Cohere's v2 API, both ways. This room has what is constant: where clients come in, how a provider is called, and what
 * the dialect can say. */
#include "cohere.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

/* A client of the first version stays with it: its bytes go up as they came. */
static bool is_first_version(const struct cohere *o)
{
    static const char path[] = "/v1/rerank";
    const struct weir_conversation *c = o->host->conversation(o->call);
    const struct weir_request_view *r = o->host->request(o->call);
    size_t n = sizeof(path) - 1;
    bool ends = r && r->path.n >= n && memcmp(r->path.p + r->path.n - n, path, n) == 0;
    return ends && c && weir_eq(c->dialect, COHERE_DIALECT);
}

int cohere_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct cohere o = cohere_begin(self, call);
    const struct cohere_entry *e = entry;
    struct weir_str path = WEIR_LIT("/v2/chat");
    ((struct cohere_attempt *)state)->entry = e;
    if (cohere_operation(&o) == WEIR_OP_EMBED)
        path = WEIR_LIT("/v2/embed");
    else if (cohere_operation(&o) == WEIR_OP_RERANK)
        path = (e && e->rerank == COHERE_RERANK_JINA) || is_first_version(&o) ? WEIR_LIT("/v1/rerank")
                                                                              : WEIR_LIT("/v2/rerank");
    return o.host->http_request(call, "POST", path);
}

/* The path of the models belongs to others at the root. */
static const struct weir_claim claims[] = {
    { "POST", "/v2/chat", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/v2/embed", NULL, WEIR_OP_EMBED, 0 },
    { "POST", "/v2/rerank", NULL, WEIR_OP_RERANK, 0 },
    { "POST", "/v1/rerank", NULL, WEIR_OP_RERANK, 0 },
    { "GET", "/v1/models", NULL, WEIR_OP_MODELS, WEIR_CLAIM_PREFIXED },
    { "GET", "/v1/models/*", NULL, WEIR_OP_MODEL, WEIR_CLAIM_PREFIXED },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { NULL, NULL, NULL },
};

static const char *const request_headers[] = { "x-client-name", NULL };
static const char *const response_headers[] = { "x-debug-trace-id", NULL };

static const struct weir_option options[] = {
    { "rerank", WEIR_OPTION_CHOICE, 0, offsetof(struct cohere_entry, rerank), "cohere", 0, 0, "cohere|jina",
      "Whose rerank the server speaks: Cohere's /v2/rerank, or /v1/rerank as Jina has it." },
    { "input_type", WEIR_OPTION_STRING, 0, offsetof(struct cohere_entry, input_type), "search_document", 0, 0, NULL,
      "What texts to be embedded are for where the client's dialect doesn't say it." },
    WEIR_OPTIONS_END,
};

static const struct weir_says says[] = {
    { WEIR_FIELD_MODEL, WEIR_SAYS, NULL },
    { WEIR_FIELD_STREAM, WEIR_SAYS, NULL },
    { WEIR_FIELD_STREAM_USAGE, WEIR_SAYS, NULL },
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FIELD_TEMPERATURE, WEIR_SAYS_PARTLY, "clamped to 0..1" },
    { WEIR_FIELD_TOP_P, WEIR_SAYS_PARTLY, "clamped to 0.01..0.99" },
    { WEIR_FIELD_TOP_K, WEIR_SAYS_PARTLY, "clamped to 0..500" },
    { WEIR_FIELD_STOP, WEIR_SAYS_PARTLY, "the first five" },
    { WEIR_FIELD_N, WEIR_SAYS_PARTLY, "1 only" },
    { WEIR_FIELD_SEED, WEIR_SAYS_PARTLY, "without its sign" },
    { WEIR_FIELD_FREQUENCY_PENALTY, WEIR_SAYS_PARTLY, "clamped to 0..1" },
    { WEIR_FIELD_PRESENCE_PENALTY, WEIR_SAYS_PARTLY, "clamped to 0..1" },
    { WEIR_FIELD_LOGPROBS, WEIR_SAYS, NULL },
    { WEIR_FIELD_SERVICE_TIER, WEIR_SAYS_PARTLY, "flex as the lowest priority" },
    { WEIR_FIELD_TOOL_CHOICE, WEIR_SAYS_PARTLY, "a named tool is the only one offered, and a call demanded" },
    { WEIR_FIELD_PARALLEL_TOOLS, WEIR_SAYS_PARTLY, "true only" },
    { WEIR_FIELD_RESPONSE_FORMAT, WEIR_SAYS_PARTLY, "not together with tools or documents" },
    { WEIR_FIELD_REASONING_EFFORT, WEIR_SAYS_PARTLY, "none; high as on, lower ones as a number of tokens" },
    { WEIR_FIELD_REASONING_BUDGET, WEIR_SAYS_PARTLY, "0 as off" },
    { WEIR_FIELD_REASONING_VISIBLE, WEIR_SAYS_PARTLY, "thoughts are always told" },
    { WEIR_FIELD_MODALITIES, WEIR_SAYS_PARTLY, "text only" },
    { WEIR_FIELD_DIMENSIONS, WEIR_SAYS, NULL },
    { WEIR_FIELD_ENCODING, WEIR_SAYS, NULL },
    { WEIR_FIELD_INPUT_TYPE, WEIR_SAYS_PARTLY, "query, document, classification, clustering, image" },
    { WEIR_FIELD_TRUNCATE, WEIR_SAYS, NULL },
    { WEIR_FIELD_TOP_N, WEIR_SAYS, NULL },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS_CHANGED, "the answer begins anew" },
    { WEIR_FEATURE_PART_ORDER, WEIR_SAYS_PARTLY, "calls come last" },
    { WEIR_FEATURE_IMAGE_URL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DATA, WEIR_SAYS, NULL },
    { WEIR_FEATURE_IMAGE_DETAIL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_FILE_DATA, WEIR_SAYS_PARTLY, "text files as documents, others are refused" },
    { WEIR_FEATURE_TOOLS, WEIR_SAYS_PARTLY, "names that aren't taken are replaced" },
    { WEIR_FEATURE_TOOL_STRICT, WEIR_SAYS_PARTLY, "all tools or none" },
    { WEIR_FEATURE_RESULT_MEDIA, WEIR_SAYS_PARTLY, "behind the results" },
    { WEIR_FEATURE_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_SIGNATURE, WEIR_SAYS_PARTLY, "never: it is told whatever the client speaks" },
    { WEIR_FEATURE_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_THINKING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_SAYS_PARTLY, "in the ids of tool calls" },
    { WEIR_FEATURE_ANSWER_REFUSAL, WEIR_SAYS_EMULATED, "as text" },
    { WEIR_FEATURE_ANSWER_CITATIONS, WEIR_SAYS_PARTLY, "this dialect's own" },
    { WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_SAYS_PARTLY, "this dialect's own" },
    { WEIR_FEATURE_ANSWER_ORDER, WEIR_SAYS_PARTLY, "in streams; in a document calls come last" },
    { WEIR_FEATURE_ANSWER_STOP_SEQUENCE, WEIR_SAYS_PARTLY, "that there was one, not which" },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "complete, stop sequence, length, tool call" },
    { WEIR_FEATURE_ANSWER_CACHED_READ, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_REASONING, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    { WEIR_FEATURE_TURNS, WEIR_SAYS, NULL },
    WEIR_SAYS_END,
};

static const struct weir_model_source model_source = { "/v1/models?page_size=1000", "models", "name", NULL, "next_page_token", "page_token", NULL, NULL, NULL };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_EMBED) | WEIR_OP_BIT(WEIR_OP_RERANK) |
                  WEIR_OP_BIT(WEIR_OP_RAW),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_URL | WEIR_CAN_IMAGE_INLINE |
                    WEIR_CAN_FILE_INLINE | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA | WEIR_CAN_THINKING |
                    WEIR_CAN_LOGPROBS | WEIR_CAN_STREAM,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "text/event-stream",
    .request_headers = request_headers,
    .response_headers = response_headers,
    .base_url = "https://api.cohere.com",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_SSE,
    .whole_framing = WEIR_FRAMING_JSON,
    .ingress_size = sizeof(struct cohere_client),
    .egress_size = sizeof(struct cohere_attempt),
    .create = create,
    .decode_request = cohere_decode_request,
    .splice = cohere_splice,
    .encode_event = cohere_encode_event,
    .encode_answer = cohere_encode_answer,
    .encode_error = cohere_encode_error,
    .encode_models = cohere_encode_models,
    .request_head = cohere_request_head,
    .encode_request = cohere_encode_request,
    .decode_frame = cohere_decode_frame,
    .decode_end = cohere_decode_end,
    .decode_error = cohere_decode_error,
    .says = says,
    .model_source = &model_source,
    .prefix = "/cohere",
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "cohere",
    .version = "1.0.0",
    .summary = "Cohere's chat, embed and rerank, as a front door and as a provider.",
    .options = options,
    .config_size = sizeof(struct cohere_entry),
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
