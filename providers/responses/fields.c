/* One setting and its member on the wire, for those who encode a request and for those who splice into a client's. */
#include "responses.h"

const char *responses_field_key(enum weir_field f)
{
    static const char *const keys[WEIR_FIELD_COUNT] = {
        [WEIR_FIELD_MODEL] = "model",
        [WEIR_FIELD_STREAM] = "stream",
        [WEIR_FIELD_MAX_TOKENS] = "max_output_tokens",
        [WEIR_FIELD_TEMPERATURE] = "temperature",
        [WEIR_FIELD_TOP_P] = "top_p",
        [WEIR_FIELD_TOP_LOGPROBS] = "top_logprobs",
        [WEIR_FIELD_USER] = "user",
        [WEIR_FIELD_METADATA] = "metadata",
        [WEIR_FIELD_SERVICE_TIER] = "service_tier",
        [WEIR_FIELD_TOOL_CHOICE] = "tool_choice",
        [WEIR_FIELD_PARALLEL_TOOLS] = "parallel_tool_calls",
        [WEIR_FIELD_RESPONSE_FORMAT] = "text.format",
        [WEIR_FIELD_VERBOSITY] = "text.verbosity",
        [WEIR_FIELD_REASONING_EFFORT] = "reasoning.effort",
        [WEIR_FIELD_REASONING_VISIBLE] = "reasoning.summary",
    };
    return (uint32_t)f < WEIR_FIELD_COUNT ? keys[f] : NULL;
}

static void put_tool_choice(struct responses *o, struct weir_out *out, struct weir_str value)
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
    j->key(out, "name");
    j->put_raw(out, name);
    j->object_end(out);
}

/* The canonical form without its braces, behind a type; the dialect demands a name of a schema, others have none. */
static void put_format(struct responses *o, struct weir_out *out, struct weir_str value)
{
    const struct weir_json_api *j = o->json;
    struct weir_str key, raw;
    bool has_name = false;
    j->object_begin(out);
    j->key(out, "type");
    if (value.p[0] != '{') {
        j->put_raw(out, value);
        j->object_end(out);
        return;
    }
    j->put_raw(out, WEIR_LIT("\"json_schema\""));
    struct weir_json *r = j->open(o->call, value);
    for (j->object(r); j->member(r, &key) && j->raw(r, &raw);) {
        has_name = has_name || weir_is(key, "name");
        j->key_str(out, key);
        j->put_raw(out, raw);
    }
    if (!has_name) {
        j->key(out, "name");
        j->put_raw(out, WEIR_LIT("\"answer\""));
    }
    j->object_end(out);
}

void responses_put_field(struct responses *o, struct weir_out *out, enum weir_field f, struct weir_str value)
{
    if (!value.n)
        o->json->put_null(out);
    else if (f == WEIR_FIELD_TOOL_CHOICE)
        put_tool_choice(o, out, value);
    else if (f == WEIR_FIELD_RESPONSE_FORMAT)
        put_format(o, out, value);
    else if (f == WEIR_FIELD_REASONING_VISIBLE)
        o->json->put_raw(out, weir_is(value, "true") ? WEIR_LIT("\"auto\"") : WEIR_NONE);
    else
        o->json->put_raw(out, value);
}
