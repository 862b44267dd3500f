/* Names: how Lua calls the settings of a request, capabilities, error classes and kinds, and the types that may be
 * set. */
#include <math.h>
#include <stdio.h>

#include "engine.h"

enum field_type { FIELD_STRING, FIELD_BOOLEAN, FIELD_INTEGER, FIELD_NUMBER, FIELD_TABLE, FIELD_ANY, FIELD_FIXED };

static const struct field {
    const char *name;
    enum field_type type;
} fields[WEIR_FIELD_COUNT] = {
    [WEIR_FIELD_MODEL] = { "model", FIELD_STRING },
    [WEIR_FIELD_STREAM] = { "stream", FIELD_FIXED },
    [WEIR_FIELD_STREAM_USAGE] = { "stream_usage", FIELD_FIXED },
    [WEIR_FIELD_MAX_TOKENS] = { "max_tokens", FIELD_INTEGER },
    [WEIR_FIELD_TEMPERATURE] = { "temperature", FIELD_NUMBER },
    [WEIR_FIELD_TOP_P] = { "top_p", FIELD_NUMBER },
    [WEIR_FIELD_TOP_K] = { "top_k", FIELD_INTEGER },
    [WEIR_FIELD_STOP] = { "stop", FIELD_TABLE },
    [WEIR_FIELD_N] = { "n", FIELD_INTEGER },
    [WEIR_FIELD_SEED] = { "seed", FIELD_INTEGER },
    [WEIR_FIELD_FREQUENCY_PENALTY] = { "frequency_penalty", FIELD_NUMBER },
    [WEIR_FIELD_PRESENCE_PENALTY] = { "presence_penalty", FIELD_NUMBER },
    [WEIR_FIELD_LOGIT_BIAS] = { "logit_bias", FIELD_TABLE },
    [WEIR_FIELD_LOGPROBS] = { "logprobs", FIELD_BOOLEAN },
    [WEIR_FIELD_TOP_LOGPROBS] = { "top_logprobs", FIELD_INTEGER },
    [WEIR_FIELD_USER] = { "user", FIELD_STRING },
    [WEIR_FIELD_METADATA] = { "metadata", FIELD_TABLE },
    [WEIR_FIELD_SERVICE_TIER] = { "service_tier", FIELD_STRING },
    [WEIR_FIELD_TOOL_CHOICE] = { "tool_choice", FIELD_ANY },
    [WEIR_FIELD_PARALLEL_TOOLS] = { "parallel_tools", FIELD_BOOLEAN },
    [WEIR_FIELD_RESPONSE_FORMAT] = { "response_format", FIELD_ANY },
    [WEIR_FIELD_REASONING_EFFORT] = { "reasoning_effort", FIELD_STRING },
    [WEIR_FIELD_REASONING_BUDGET] = { "reasoning_budget", FIELD_INTEGER },
    [WEIR_FIELD_REASONING_VISIBLE] = { "reasoning_visible", FIELD_BOOLEAN },
    [WEIR_FIELD_VERBOSITY] = { "verbosity", FIELD_STRING },
    [WEIR_FIELD_MODALITIES] = { "modalities", FIELD_TABLE },
    [WEIR_FIELD_DIMENSIONS] = { "dimensions", FIELD_INTEGER },
    [WEIR_FIELD_ENCODING] = { "encoding", FIELD_STRING },
    [WEIR_FIELD_INPUT_TYPE] = { "input_type", FIELD_STRING },
    [WEIR_FIELD_TRUNCATE] = { "truncate", FIELD_STRING },
    [WEIR_FIELD_TOP_N] = { "top_n", FIELD_INTEGER },
    [WEIR_FIELD_RETURN_DOCUMENTS] = { "return_documents", FIELD_BOOLEAN },
};

const char *fields_name(int f)
{
    return f >= 0 && f < WEIR_FIELD_COUNT ? fields[f].name : NULL;
}

int fields_find(struct weir_str name)
{
    for (int f = 0; f < WEIR_FIELD_COUNT; f++)
        if (weir_is(name, fields[f].name))
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
    enum field_type t = fields[f].type;
    int is = lua_type(L, index);
    bool is_fine = t == FIELD_STRING    ? is == LUA_TSTRING
                   : t == FIELD_BOOLEAN ? is == LUA_TBOOLEAN
                   : t == FIELD_INTEGER ? is_whole(L, index)
                   : t == FIELD_NUMBER  ? is == LUA_TNUMBER && isfinite(lua_tonumber(L, index))
                   : t == FIELD_TABLE   ? is == LUA_TTABLE
                                        : is == LUA_TTABLE || is == LUA_TSTRING;
    if (t == FIELD_FIXED)
        luaL_error(L, "%s can't be changed by a policy", fields[f].name);
    else if (!is_fine)
        luaL_error(L, "%s must be %s, not %s", fields[f].name, wanted[t],
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
