/* What a policy can read of a candidate, each field once: how it is read, its type and what editors say of it.
 *
 * Figures that nobody knows are never nil, so that comparisons in a rule do not fail: an unknown price or context is
 * math.huge (dear; large enough), an unknown latency is 0.
 */
#include <math.h>

#include "engine.h"

static double known_or_huge(double n)
{
    return n < 0 ? HUGE_VAL : n;
}

/* Three parts input and one part output, as most traffic is. */
static double price(const struct weir_candidate *c)
{
    if (c->price_input < 0 || c->price_output < 0)
        return HUGE_VAL;
    return (3 * c->price_input + c->price_output) / 4;
}

static double price_input(const struct weir_candidate *c) { return known_or_huge(c->price_input); }
static double price_output(const struct weir_candidate *c) { return known_or_huge(c->price_output); }

static double context(const struct weir_candidate *c)
{
    return c->context_tokens <= 0 ? HUGE_VAL : (double)c->context_tokens;
}

static double latency(const struct weir_candidate *c) { return (double)c->latency_ms / 1000; }
static double p95(const struct weir_candidate *c) { return (double)c->p95_ms / 1000; }
static double throughput(const struct weir_candidate *c) { return c->throughput; }
static double error_rate(const struct weir_candidate *c) { return c->error_rate; }
static double answers(const struct weir_candidate *c) { return c->first_tokens; }
static double load(const struct weir_candidate *c) { return c->in_flight; }
static double left_requests(const struct weir_candidate *c) { return known_or_huge((double)c->left_requests); }
static double left_tokens(const struct weir_candidate *c) { return known_or_huge((double)c->left_tokens); }

/* {"eu-only", "fast", ["eu-only"] = true, …}: a list and a set at once. */
static void push_tags(lua_State *L, const struct weir_candidate *c)
{
    lua_createtable(L, (int)c->n_tags, (int)c->n_tags);
    for (uint32_t i = 0; i < c->n_tags; i++) {
        value_push(L, c->tags[i]);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        lua_pushboolean(L, true);
        lua_rawset(L, -3);
    }
}

static void push_can(lua_State *L, const struct weir_candidate *c) { push_capabilities(L, c->capabilities); }
static void push_healthy(lua_State *L, const struct weir_candidate *c) { lua_pushboolean(L, c->is_healthy != 0); }
static void push_mirror(lua_State *L, const struct weir_candidate *c) { lua_pushboolean(L, (c->flags & WEIR_CANDIDATE_MIRROR) != 0); }
static void push_unavailable(lua_State *L, const struct weir_candidate *c) { value_push_or_nil(L, c->unavailable); }

static void push_breaker(lua_State *L, const struct weir_candidate *c)
{
    lua_pushstring(L, c->breaker == WEIR_BREAKER_CLOSED ? "closed" : c->breaker == WEIR_BREAKER_OPEN ? "open" : "probing");
}

#define TEXT(member) NULL, offsetof(struct weir_candidate, member), NULL

const struct candidate_field candidate_fields[] = {
    { { "name", NULL, "string", "Provider and model: \"openai/gpt-4o-mini\"." }, TEXT(name) },
    { { "provider", NULL, "string", "The provider's name in the configuration." }, TEXT(provider) },
    { { "model", NULL, "string", "The model, as the provider calls it." }, TEXT(model) },
    { { "region", NULL, "string", "Where it runs; \"\" if nobody said." }, TEXT(region) },
    { { "dialect", NULL, "string", "The dialect it speaks." }, TEXT(dialect) },
    { { "tags", NULL, "table<integer|string, string|boolean>", "A list and a set of its tags at once." }, NULL, 0, push_tags },
    { { "price", NULL, "number", "USD per million tokens, three parts input and one part output; math.huge: unknown." }, price, 0,
      NULL },
    { { "price_input", NULL, "number", "USD per million tokens of input." }, price_input, 0, NULL },
    { { "price_output", NULL, "number", "USD per million tokens of output." }, price_output, 0, NULL },
    { { "context", NULL, "number", "Tokens that it takes; math.huge: unknown." }, context, 0, NULL },
    { { "capabilities", NULL, "table<string, boolean>", "What it can: tools, image_url, json_schema, thinking …" }, NULL, 0,
      push_can },
    { { "healthy", NULL, "boolean", "It can be used, its breaker lets calls in, its key is not refused." }, NULL, 0, push_healthy },
    { { "mirror", NULL, "boolean", "It only gets a copy, as an earlier rule said." }, NULL, 0, push_mirror },
    { { "unavailable", NULL, "string?", "Why it can't be used." }, NULL, 0, push_unavailable },
    { { "breaker", NULL, "\"closed\"|\"open\"|\"probing\"", "Its breaker." }, NULL, 0, push_breaker },
    { { "latency", NULL, "number", "Seconds to the first token, a moving average; 0: unknown." }, latency, 0, NULL },
    { { "p95", NULL, "number", "Seconds to the first token: one answer in twenty begins later." }, p95, 0, NULL },
    { { "throughput", NULL, "number", "Tokens a second, a moving average; 0: unknown." }, throughput, 0, NULL },
    { { "error_rate", NULL, "number", "Attempts that failed, 0 to 1, a moving average." }, error_rate, 0, NULL },
    { { "answers", NULL, "number", "How many answers these figures rest on." }, answers, 0, NULL },
    { { "load", NULL, "number", "Calls running now, of all workers." }, load, 0, NULL },
    { { "left_requests", NULL, "number", "What is left of the provider's limit; math.huge: unknown." }, left_requests, 0, NULL },
    { { "left_tokens", NULL, "number", "What is left of the provider's limit; math.huge: unknown." }, left_tokens, 0, NULL },
    { { NULL, NULL, NULL, NULL }, NULL, 0, NULL },
};

const struct candidate_field *candidate_field(const char *name)
{
    for (const struct candidate_field *f = candidate_fields; f->binding.name; f++)
        if (strcmp(f->binding.name, name) == 0)
            return f;
    return NULL;
}

struct weir_str candidate_string(const struct candidate_field *f, const struct weir_candidate *c)
{
    return *(const struct weir_str *)(const void *)((const char *)c + f->string);
}
