/* The codec of Voyage's embeddings and ranks, both ways. This room has what is constant: where clients come in, how a provider is
 * called, and what the dialect can say. */
#include "voyage.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host; /* all there is to know; nothing is kept between calls */
    return 0;
}

static int request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct voyage o = voyage_begin(self, call);
    (void)state, (void)entry;
    return o.host->http_request(call, "POST", voyage_ranks(&o) ? WEIR_LIT("/v1/rerank") : WEIR_LIT("/v1/embeddings"));
}

/* At the root these paths are others'. */
static const struct weir_claim claims[] = {
    { "POST", "/v1/embeddings", NULL, WEIR_OP_EMBED, WEIR_CLAIM_PREFIXED },
    { "POST", "/v1/rerank", NULL, WEIR_OP_RERANK, WEIR_CLAIM_PREFIXED },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { NULL, NULL, NULL },
};

static const char *const none[] = { NULL };

static const struct weir_says says[] = {
    { WEIR_FIELD_MODEL, WEIR_SAYS, NULL },
    { WEIR_FIELD_DIMENSIONS, WEIR_SAYS, NULL },
    { WEIR_FIELD_ENCODING, WEIR_SAYS, NULL },
    { WEIR_FIELD_INPUT_TYPE, WEIR_SAYS_PARTLY, "query and document" },
    { WEIR_FIELD_TRUNCATE, WEIR_SAYS_PARTLY, "start as end" },
    { WEIR_FIELD_TOP_N, WEIR_SAYS, NULL },
    { WEIR_FIELD_RETURN_DOCUMENTS, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    WEIR_SAYS_END,
};

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_EMBED) | WEIR_OP_BIT(WEIR_OP_RERANK),
    .claims = claims,
    .credentials = credentials,
    .request_headers = none,
    .response_headers = none,
    .base_url = "https://api.voyageai.com",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_JSON,
    .whole_framing = WEIR_FRAMING_JSON,
    .create = create,
    .decode_request = voyage_decode_request,
    .encode_event = voyage_encode_event,
    .encode_answer = voyage_encode_answer,
    .encode_error = voyage_encode_error,
    .request_head = request_head,
    .encode_request = voyage_encode_request,
    .decode_frame = voyage_decode_frame,
    .decode_end = voyage_decode_end,
    .decode_error = voyage_decode_error,
    .says = says,
    .prefix = "/voyage",
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "voyage",
    .version = "1.0.0",
    .summary = "Voyage's embeddings and rerank, as a front door and as a provider.",
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
