/* One setting and its member on the wire, for those who encode a request and for those who splice into a client's. */
#include "openai.h"

static bool starts_with(struct weir_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* OpenAI's reasoning models refuse max_tokens; many compatible servers (Ollama, Mistral, older vLLM) silently ignore
 * max_completion_tokens. So the new name goes to the models that are OpenAI's by their name. model: with or without quotes. */
static bool is_openai_model(struct weir_str model)
{
    if (model.n && *model.p == '"')
        model.p++, model.n--;
    if (starts_with(model, "ft:"))
        model.p += 3, model.n -= 3;
    bool has_digit = model.n > 4 && model.p[4] >= '0' && model.p[4] <= '9';
    return (starts_with(model, "gpt-") && has_digit) || starts_with(model, "chatgpt-") ||
           starts_with(model, "codex-") || (model.n > 1 && model.p[0] == 'o' && model.p[1] >= '1' && model.p[1] <= '9');
}

static const char *limit_key(struct weir_str model, const struct openai_entry *entry)
{
    int32_t which = entry ? entry->max_tokens_field : OPENAI_MAX_AUTO;
    if (which == OPENAI_MAX_AUTO)
        which = is_openai_model(model) ? OPENAI_MAX_COMPLETION_TOKENS : OPENAI_MAX_TOKENS;
    return which == OPENAI_MAX_TOKENS ? "max_tokens" : "max_completion_tokens";
}

const char *openai_field_key(enum weir_field f, struct weir_str model, const struct openai_entry *entry)
{
    static const char *const keys[WEIR_FIELD_COUNT] = {
        [WEIR_FIELD_MODEL] = "model",
        [WEIR_FIELD_STREAM] = "stream",
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
        [WEIR_FIELD_PARALLEL_TOOLS] = "parallel_tool_calls",
        [WEIR_FIELD_RESPONSE_FORMAT] = "response_format",
        [WEIR_FIELD_REASONING_EFFORT] = "reasoning_effort",
        [WEIR_FIELD_VERBOSITY] = "verbosity",
        [WEIR_FIELD_MODALITIES] = "modalities",
        [WEIR_FIELD_DIMENSIONS] = "dimensions",
        [WEIR_FIELD_ENCODING] = "encoding_format",
    };
    if (f == WEIR_FIELD_MAX_TOKENS)
        return limit_key(model, entry);
    return (uint32_t)f < WEIR_FIELD_COUNT ? keys[f] : NULL;
}

static void put_tool_choice(struct openai *o, struct weir_out *out, struct weir_str value)
{
    const struct weir_json_api *j = o->json;
    struct weir_str key, name = WEIR_NONE;
    if (value.p[0] != '{') {
        j->put_raw(out, value);
        return;
    }
    struct weir_json *r = j->open(o->call, value);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "name"))
            j->raw(r, &name);
    j->object_begin(out);
    j->key(out, "type");
    j->put_raw(out, WEIR_LIT("\"function\""));
    j->key(out, "function");
    j->object_begin(out);
    j->key(out, "name");
    j->put_raw(out, name);
    j->object_end(out);
    j->object_end(out);
}

static bool has_name(struct openai *o, struct weir_str value)
{
    const struct weir_json_api *j = o->json;
    struct weir_str key;
    bool found = false;
    struct weir_json *r = j->open(o->call, value);
    for (j->object(r); j->member(r, &key);)
        found = found || weir_is(key, "name");
    return found;
}

/* The dialect demands a name of a schema; others have none. */
static void put_json_schema(struct openai *o, struct weir_out *out, struct weir_str value)
{
    o->json->key(out, "json_schema");
    if (!o->is_own && !has_name(o, value))
        value = o->host->format(o->call, "{\"name\":\"answer\",%.*s", (int)value.n - 1, value.p + 1);
    o->json->put_raw(out, value);
}

static void put_response_format(struct openai *o, struct weir_out *out, struct weir_str value)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "type");
    if (value.p[0] == '{') {
        j->put_raw(out, WEIR_LIT("\"json_schema\""));
        put_json_schema(o, out, value);
    } else {
        j->put_raw(out, value);
    }
    j->object_end(out);
}

void openai_put_field(struct openai *o, struct weir_out *out, enum weir_field f, struct weir_str value)
{
    if (!value.n)
        o->json->put_null(out);
    else if (f == WEIR_FIELD_TOOL_CHOICE)
        put_tool_choice(o, out, value);
    else if (f == WEIR_FIELD_RESPONSE_FORMAT)
        put_response_format(o, out, value);
    else
        o->json->put_raw(out, value);
}

void openai_lose(struct openai *o, uint32_t feature, enum weir_loss what, const char *why)
{
    o->host->lose(o->call, (enum weir_feature)feature, what, why);
}

int openai_unsupported(struct openai *o, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNSUPPORTED,
                            .message = weir_cstr(message),
                            .param = weir_cstr(param) };
    o->failed = true;
    o->host->fail(o->call, &e);
    return -1;
}
