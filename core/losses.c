/* What a translation could not say as it was meant: codecs tell it while they write, the record and a header name it.
 */
#include "pipeline.h"

static const char *const field_names[64] = {
    [WEIR_FIELD_MODEL] = "model",
    [WEIR_FIELD_STREAM] = "stream",
    [WEIR_FIELD_STREAM_USAGE] = "stream_usage",
    [WEIR_FIELD_MAX_TOKENS] = "max_tokens",
    [WEIR_FIELD_TEMPERATURE] = "temperature",
    [WEIR_FIELD_TOP_P] = "top_p",
    [WEIR_FIELD_TOP_K] = "top_k",
    [WEIR_FIELD_STOP] = "stop",
    [WEIR_FIELD_N] = "n",
    [WEIR_FIELD_SEED] = "seed",
    [WEIR_FIELD_FREQUENCY_PENALTY] = "frequency_penalty",
    [WEIR_FIELD_PRESENCE_PENALTY] = "presence_penalty",
    [WEIR_FIELD_LOGIT_BIAS] = "logit_bias",
    [WEIR_FIELD_LOGPROBS] = "logprobs",
    [WEIR_FIELD_TOP_LOGPROBS] = "top_logprobs",
    [WEIR_FIELD_USER] = "user",
    [WEIR_FIELD_METADATA] = "metadata",
    [WEIR_FIELD_SERVICE_TIER] = "service_tier",
    [WEIR_FIELD_TOOL_CHOICE] = "tool_choice",
    [WEIR_FIELD_PARALLEL_TOOLS] = "parallel_tools",
    [WEIR_FIELD_RESPONSE_FORMAT] = "response_format",
    [WEIR_FIELD_REASONING_EFFORT] = "reasoning_effort",
    [WEIR_FIELD_REASONING_BUDGET] = "reasoning_budget",
    [WEIR_FIELD_REASONING_VISIBLE] = "reasoning_visible",
    [WEIR_FIELD_VERBOSITY] = "verbosity",
    [WEIR_FIELD_MODALITIES] = "modalities",
    [WEIR_FIELD_DIMENSIONS] = "dimensions",
    [WEIR_FIELD_ENCODING] = "encoding",
    [WEIR_FIELD_INPUT_TYPE] = "input_type",
    [WEIR_FIELD_TRUNCATE] = "truncate",
    [WEIR_FIELD_TOP_N] = "top_n",
    [WEIR_FIELD_RETURN_DOCUMENTS] = "return_documents",
};

static const char *const request_names[] = {
    "system_later", "message_name", "prefill",      "part_order",   "image_url", "image_data",
    "image_detail", "audio",        "file_data",    "file_url",     "file_id",   "tools",
    "tool_strict",  "tool_opaque",  "result_error", "result_media", "thinking",  "signature",
    "redacted",     "refusal",      "opaque",       "cache_mark",   "ext",
};

static const char *const answer_names[] = {
    "answer.thinking",      "answer.signature",     "answer.redacted",    "answer.refusal",
    "answer.tool_result",   "answer.image",         "answer.audio",       "answer.opaque",
    "answer.citations",     "answer.logprobs",      "answer.ext",         "answer.choices",
    "answer.order",         "answer.stop_sequence", "answer.finish",      "answer.cached_read",
    "answer.cached_write",  "answer.reasoning",     "answer.usage",
};

const char *feature_name(uint32_t feature)
{
    uint32_t of_request = feature - WEIR_FEATURE_SYSTEM_LATER, of_answer = feature - WEIR_FEATURE_ANSWER_THINKING;
    if (feature < WEIR_FEATURE_NONE)
        return field_names[feature];
    if (of_request < sizeof(request_names) / sizeof(*request_names))
        return request_names[of_request];
    if (of_answer < sizeof(answer_names) / sizeof(*answer_names))
        return answer_names[of_answer];
    return NULL;
}

void loss_add(struct request *r, uint32_t feature, uint32_t what, struct weir_str why)
{
    static const char *const words[] = { "", "dropped", "changed", "emulated" };
    const char *name = feature_name(feature);
    if (name && what < sizeof(words) / sizeof(*words))
        note_add(r, "core", "loss",
                 arena_printf(r->arena, "%s=%s%s%.*s", name, words[what], why.n ? ": " : "", (int)why.n, why.p));
}
