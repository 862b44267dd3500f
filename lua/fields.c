/* Names: how Lua calls the settings of a request, capabilities, error classes and kinds, and the types that may be
 * set. */
#include <math.h>
#include <stdio.h>

#include "engine.h"

enum field_type { FIELD_STRING, FIELD_BOOLEAN, FIELD_INTEGER, FIELD_NUMBER, FIELD_TABLE, FIELD_ANY, FIELD_FIXED };

static const enum field_type field_types[WEIR_FIELD_COUNT] = {
    [WEIR_FIELD_MODEL] = FIELD_STRING,
    [WEIR_FIELD_STREAM] = FIELD_FIXED,
    [WEIR_FIELD_STREAM_USAGE] = FIELD_FIXED,
    [WEIR_FIELD_MAX_TOKENS] = FIELD_INTEGER,
    [WEIR_FIELD_TEMPERATURE] = FIELD_NUMBER,
    [WEIR_FIELD_TOP_P] = FIELD_NUMBER,
    [WEIR_FIELD_TOP_K] = FIELD_INTEGER,
    [WEIR_FIELD_STOP] = FIELD_TABLE,
    [WEIR_FIELD_N] = FIELD_INTEGER,
    [WEIR_FIELD_SEED] = FIELD_INTEGER,
    [WEIR_FIELD_FREQUENCY_PENALTY] = FIELD_NUMBER,
    [WEIR_FIELD_PRESENCE_PENALTY] = FIELD_NUMBER,
    [WEIR_FIELD_LOGIT_BIAS] = FIELD_TABLE,
    [WEIR_FIELD_LOGPROBS] = FIELD_BOOLEAN,
    [WEIR_FIELD_TOP_LOGPROBS] = FIELD_INTEGER,
    [WEIR_FIELD_USER] = FIELD_STRING,
    [WEIR_FIELD_METADATA] = FIELD_TABLE,
    [WEIR_FIELD_SERVICE_TIER] = FIELD_STRING,
    [WEIR_FIELD_TOOL_CHOICE] = FIELD_ANY,
    [WEIR_FIELD_PARALLEL_TOOLS] = FIELD_BOOLEAN,
    [WEIR_FIELD_RESPONSE_FORMAT] = FIELD_ANY,
    [WEIR_FIELD_REASONING_EFFORT] = FIELD_STRING,
    [WEIR_FIELD_REASONING_BUDGET] = FIELD_INTEGER,
    [WEIR_FIELD_REASONING_VISIBLE] = FIELD_BOOLEAN,
    [WEIR_FIELD_VERBOSITY] = FIELD_STRING,
    [WEIR_FIELD_MODALITIES] = FIELD_TABLE,
    [WEIR_FIELD_DIMENSIONS] = FIELD_INTEGER,
    [WEIR_FIELD_ENCODING] = FIELD_STRING,
    [WEIR_FIELD_INPUT_TYPE] = FIELD_STRING,
    [WEIR_FIELD_TRUNCATE] = FIELD_STRING,
    [WEIR_FIELD_TOP_N] = FIELD_INTEGER,
    [WEIR_FIELD_RETURN_DOCUMENTS] = FIELD_BOOLEAN,
};

const struct binding field_bindings[] = {
    [WEIR_FIELD_MODEL] = { "model", NULL, "string?", "The model, as asked." },
    [WEIR_FIELD_STREAM] = { "stream", NULL, "boolean?", "Is a stream wanted?" },
    [WEIR_FIELD_STREAM_USAGE] = { "stream_usage", NULL, "boolean?", "Is usage wanted at the stream's end?" },
    [WEIR_FIELD_MAX_TOKENS] = { "max_tokens", NULL, "integer?", "The most tokens of the answer." },
    [WEIR_FIELD_TEMPERATURE] = { "temperature", NULL, "number?", "Chance in choosing tokens." },
    [WEIR_FIELD_TOP_P] = { "top_p", NULL, "number?", "Chance in choosing tokens." },
    [WEIR_FIELD_TOP_K] = { "top_k", NULL, "integer?", "Chance in choosing tokens." },
    [WEIR_FIELD_STOP] = { "stop", NULL, "table?", "Texts that end the answer." },
    [WEIR_FIELD_N] = { "n", NULL, "integer?", "How many answers." },
    [WEIR_FIELD_SEED] = { "seed", NULL, "integer?", "For answers that repeat." },
    [WEIR_FIELD_FREQUENCY_PENALTY] = { "frequency_penalty", NULL, "number?", "Against repetition." },
    [WEIR_FIELD_PRESENCE_PENALTY] = { "presence_penalty", NULL, "number?", "Against repetition." },
    [WEIR_FIELD_LOGIT_BIAS] = { "logit_bias", NULL, "table?", "By token." },
    [WEIR_FIELD_LOGPROBS] = { "logprobs", NULL, "boolean?", "Are probabilities wanted?" },
    [WEIR_FIELD_TOP_LOGPROBS] = { "top_logprobs", NULL, "integer?", "How many of them." },
    [WEIR_FIELD_USER] = { "user", NULL, "string?", "The caller's own user." },
    [WEIR_FIELD_METADATA] = { "metadata", NULL, "table?", "The caller's own." },
    [WEIR_FIELD_SERVICE_TIER] = { "service_tier", NULL, "string?", "As the provider calls it." },
    [WEIR_FIELD_TOOL_CHOICE] = { "tool_choice", NULL, "string|table|nil", "auto, none, required, or a tool." },
    [WEIR_FIELD_PARALLEL_TOOLS] = { "parallel_tools", NULL, "boolean?", "May it call several tools at once?" },
    [WEIR_FIELD_RESPONSE_FORMAT] = { "response_format", NULL, "string|table|nil", "The answer's form, as a JSON schema." },
    [WEIR_FIELD_REASONING_EFFORT] = { "reasoning_effort", NULL, "string?", "low, medium, high …" },
    [WEIR_FIELD_REASONING_BUDGET] = { "reasoning_budget", NULL, "integer?", "Tokens for thinking." },
    [WEIR_FIELD_REASONING_VISIBLE] = { "reasoning_visible", NULL, "boolean?", "Is the thinking wanted?" },
    [WEIR_FIELD_VERBOSITY] = { "verbosity", NULL, "string?", "low, medium or high." },
    [WEIR_FIELD_MODALITIES] = { "modalities", NULL, "table?", "text, audio …" },
    [WEIR_FIELD_DIMENSIONS] = { "dimensions", NULL, "integer?", "Of vectors." },
    [WEIR_FIELD_ENCODING] = { "encoding", NULL, "string?", "Of vectors." },
    [WEIR_FIELD_INPUT_TYPE] = { "input_type", NULL, "string?", "What vectors are for." },
    [WEIR_FIELD_TRUNCATE] = { "truncate", NULL, "string?", "What to do with long inputs." },
    [WEIR_FIELD_TOP_N] = { "top_n", NULL, "integer?", "How many ranks." },
    [WEIR_FIELD_RETURN_DOCUMENTS] = { "return_documents", NULL, "boolean?", "Are documents wanted with ranks?" },
    [WEIR_FIELD_COUNT] = { NULL, NULL, NULL, NULL },
};

const char *fields_name(int f)
{
    return f >= 0 && f < WEIR_FIELD_COUNT ? field_bindings[f].name : NULL;
}

int fields_find(struct weir_str name)
{
    for (int f = 0; f < WEIR_FIELD_COUNT; f++)
        if (weir_is(name, field_bindings[f].name))
            return f;
    return -1;
}

static bool is_whole(lua_State *L, int index)
{
    lua_Number n = lua_tonumber(L, index);
    return lua_type(L, index) == LUA_TNUMBER && floor(n) == n && fabs(n) < 9e15;
}

void fields_check(lua_State *L, enum weir_field f, int index)
{
    static const char *const wanted[] = { "a text", "true or false", "a whole number", "a number", "a table",
                                         "a text or a table", "" };
    enum field_type t = field_types[f];
    int is = lua_type(L, index);
    bool is_fine = t == FIELD_STRING    ? is == LUA_TSTRING
                   : t == FIELD_BOOLEAN ? is == LUA_TBOOLEAN
                   : t == FIELD_INTEGER ? is_whole(L, index)
                   : t == FIELD_NUMBER  ? is == LUA_TNUMBER && isfinite(lua_tonumber(L, index))
                   : t == FIELD_TABLE   ? is == LUA_TTABLE
                                        : is == LUA_TTABLE || is == LUA_TSTRING;
    if (t == FIELD_FIXED)
        luaL_error(L, "%s can't be changed by a policy", field_bindings[f].name);
    else if (!is_fine)
        luaL_error(L, "%s must be %s, not %s", field_bindings[f].name, wanted[t],
                   is == LUA_TNIL ? "nil (a field can't be removed)" : luaL_typename(L, index));
}

/* ---- capabilities ------------------------------------------------------------------------------------------------ */

static const char *const capabilities[] = {
    "tools",     "parallel_tools", "image_url", "image_inline", "audio_in", "file_inline", "file_url", "json_object",
    "json_schema", "thinking",     "choices",   "logprobs",     "stream",   "audio_out",   "file_id",  "opaque",
};
enum { N_CAPABILITIES = sizeof(capabilities) / sizeof(*capabilities) };

void push_capabilities(lua_State *L, uint32_t bits)
{
    lua_createtable(L, 0, 4);
    for (int i = 0; i < N_CAPABILITIES; i++)
        if (bits >> i & 1) {
            lua_pushboolean(L, true);
            lua_setfield(L, -2, capabilities[i]);
        }
}

uint32_t capability_bit(struct weir_str name)
{
    for (int i = 0; i < N_CAPABILITIES; i++)
        if (weir_is(name, capabilities[i]))
            return UINT32_C(1) << i;
    return 0;
}

/* ---- error classes ----------------------------------------------------------------------------------------------- */

static const char *const classes[] = {
    "none",         "bad_request", "authentication", "permission", "not_found",   "too_large", "context_length",
    "content_policy", "rate_limited", "quota",       "overloaded", "timeout",     "connect",   "server",
    "broken",       "unavailable", "internal",       "cancelled",  "unsupported",
};

const char *answers_class_name(uint32_t error_class)
{
    return error_class < sizeof(classes) / sizeof(*classes) ? classes[error_class] : "other";
}
