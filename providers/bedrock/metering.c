/* What a call that is relayed as it is cost: Converse's and InvokeModel's answers, whole and streamed. Each model has words of its own
 * for it, and Bedrock's are at the end of a stream of InvokeModel, and in headers, which count where the answer says nothing. */
#include "bedrock.h"

struct meter {
    struct bedrock o;
    struct weir_usage usage;
    int64_t fresh; /* input without what concerns the cache, as Converse and Claude tell it; -1: not told so */
    bool is_told;
};

enum count { INPUT, OUTPUT, FRESH, READ, WRITTEN };

static const struct {
    const char *name;
    enum count count;
} counts[] = {
    { "inputTokens", FRESH },
    { "input_tokens", FRESH },
    { "outputTokens", OUTPUT },
    { "output_tokens", OUTPUT },
    { "cacheReadInputTokens", READ },
    { "cache_read_input_tokens", READ },
    { "cacheWriteInputTokens", WRITTEN },
    { "cache_creation_input_tokens", WRITTEN },
    { "prompt_tokens", INPUT },
    { "completion_tokens", OUTPUT },
    { "inputTextTokenCount", INPUT },
    { "tokenCount", OUTPUT },
    { "totalOutputTextTokenCount", OUTPUT },
    { "prompt_token_count", INPUT },
    { "generation_token_count", OUTPUT },
    { "inputTokenCount", FRESH },
    { "outputTokenCount", OUTPUT },
    { "cacheReadInputTokenCount", READ },
    { "cacheWriteInputTokenCount", WRITTEN },
};

static void take_count(struct meter *m, struct weir_json *r, enum count count)
{
    int64_t *const to[] = { [INPUT] = &m->usage.input,
                            [OUTPUT] = &m->usage.output,
                            [FRESH] = &m->fresh,
                            [READ] = &m->usage.cached_read,
                            [WRITTEN] = &m->usage.cached_write };
    struct weir_str number;
    if (m->o.json->peek(r) != WEIR_JSON_NUMBER)
        m->o.json->skip(r);
    else if (m->o.json->number(r, &number) && bedrock_number(number) >= 0) {
        *to[count] = bedrock_number(number);
        m->is_told = true;
    }
}

static bool holds_counts(struct weir_str key)
{
    return weir_is(key, "usage") || weir_is(key, "message") || weir_is(key, "results") ||
           weir_is(key, "amazon-bedrock-invocationMetrics") || weir_is(key, "metadata");
}

static void read_value(struct meter *m, struct weir_json *r, int depth);

static void read_member(struct meter *m, struct weir_json *r, struct weir_str key, int depth)
{
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        if (weir_is(key, counts[i].name)) {
            take_count(m, r, counts[i].count);
            return;
        }
    if (holds_counts(key) && depth < 3)
        read_value(m, r, depth + 1);
    else
        m->o.json->skip(r);
}

static void read_value(struct meter *m, struct weir_json *r, int depth)
{
    const struct weir_json_api *j = m->o.json;
    struct weir_str key;
    enum weir_json_type type = j->peek(r);
    if (type == WEIR_JSON_OBJECT)
        for (j->object(r); j->member(r, &key);)
            read_member(m, r, key, depth);
    else if (type == WEIR_JSON_ARRAY)
        for (j->array(r); j->element(r);)
            read_value(m, r, depth);
    else
        j->skip(r);
}

static int read_document(struct meter *m, struct weir_str document)
{
    struct weir_json *r = m->o.json->open(m->o.call, document);
    read_value(m, r, 0);
    return m->o.json->close(r) ? 0 : -1;
}

/* {"bytes":"…"}: a piece of a stream of InvokeModel, in the model's own words, base64. */
static int read_chunk(struct meter *m, struct weir_str data)
{
    const struct weir_json_api *j = m->o.json;
    struct weir_str key, packed = WEIR_NONE;
    struct weir_json *r = j->open(m->o.call, data);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "bytes") && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &packed);
    if (!j->close(r))
        return -1;
    struct weir_str plain = packed.n ? m->o.host->base64(m->o.call, packed, true) : WEIR_NONE;
    return plain.n ? read_document(m, plain) : 0;
}

static int64_t header_count(struct bedrock *o, const char *name)
{
    struct weir_str value = o->host->response_header(o->call, weir_cstr(name));
    return value.n ? bedrock_number(value) : -1;
}

static int tell(struct meter *m)
{
    struct weir_usage *u = &m->usage;
    struct weir_event e = { .size = sizeof(e), .kind = WEIR_EVENT_USAGE, .usage = u };
    if (!m->is_told)
        return 0;
    if (m->fresh >= 0)
        u->input = m->fresh + (u->cached_read > 0 ? u->cached_read : 0) + (u->cached_write > 0 ? u->cached_write : 0);
    return m->o.host->emit(m->o.call, &e);
}

static struct meter meter_of(const struct bedrock *o)
{
    return (struct meter){ .o = *o, .usage = WEIR_USAGE_UNKNOWN, .fresh = -1 };
}

int bedrock_meter_frame(struct bedrock *o, struct bedrock_attempt *attempt, const struct weir_frame *frame)
{
    struct meter m = meter_of(o);
    bool is_chunk = frame->framing == WEIR_FRAMING_AWS && weir_is(frame->name, "chunk");
    bool is_idle = frame->framing == WEIR_FRAMING_AWS && !is_chunk && !weir_is(frame->name, "metadata");
    if (is_idle)
        return 0;
    int rc = is_chunk ? read_chunk(&m, frame->data) : read_document(&m, frame->data);
    attempt->is_metered = attempt->is_metered || m.fresh >= 0 || m.usage.input >= 0;
    return rc < 0 ? -1 : tell(&m);
}

/* The headers say less about caches than answers do. */
int bedrock_meter_end(struct bedrock *o, const struct bedrock_attempt *attempt)
{
    if (attempt->is_metered)
        return 0;
    struct meter m = meter_of(o);
    m.fresh = header_count(o, "x-amzn-bedrock-input-token-count");
    m.usage.output = header_count(o, "x-amzn-bedrock-output-token-count");
    m.usage.cached_read = header_count(o, "x-amzn-bedrock-cache-read-input-token-count");
    m.usage.cached_write = header_count(o, "x-amzn-bedrock-cache-write-input-token-count");
    m.is_told = m.fresh >= 0 || m.usage.output >= 0;
    return tell(&m);
}
