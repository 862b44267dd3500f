/* What models of Bedrock take and refuse. Bedrock hands settings on to the model and answers 400 to those that it doesn't know; the
 * id is all that tells. Facts as of November 2026. */
#include "bedrock.h"

/* "anthropic.claude-3-7-sonnet-20250219-v1:0" is 37, "claude-sonnet-4-20250514" 40, "claude-opus-5" 50; 0: it isn't told. */
static int generation_of(struct weir_str name)
{
    int parts[2] = { 0, 0 }, n = 0;
    for (size_t i = 1; i < name.n && n < 2; i++) {
        bool begins = name.p[i] >= '0' && name.p[i] <= '9' && (name.p[i - 1] == '-' || name.p[i - 1] == '.');
        size_t end = i;
        while (begins && end < name.n && name.p[end] >= '0' && name.p[end] <= '9')
            end++;
        bool is_version = begins && end - i <= 2; /* longer ones are dates */
        if (!is_version && n == 1 && name.p[i] != '-' && name.p[i] != '.')
            break; /* what follows the first number belongs to something else */
        for (; is_version && i < end; i++)
            parts[n] = 10 * parts[n] + (name.p[i] - '0');
        n += is_version;
        i -= is_version;
    }
    return n ? 10 * parts[0] + parts[1] : 0;
}

static bool has(struct weir_str s, const char *word)
{
    return s.n && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static struct bedrock_model claude(struct weir_str id)
{
    const char *at = memmem(id.p, id.n, "claude", 6);
    struct weir_str name = { at, (size_t)(id.p + id.n - at) };
    int generation = generation_of(name);
    bool is_haiku = has(name, "haiku"), is_fable = has(name, "fable") || has(name, "mythos");
    return (struct bedrock_model){
        .family = BEDROCK_CLAUDE,
        .takes_budget = generation <= 45,
        .takes_thinking = generation >= 37,
        .takes_effort = generation >= 46 || (generation == 45 && has(name, "opus")),
        .takes_xhigh = generation >= 47,
        .takes_sampling = generation <= 46,
        .takes_both = generation <= 40,
        .takes_forced_tools = !(generation >= 55 && !is_haiku) && !(is_fable && generation >= 51),
        .takes_strict = generation == 45,
        .takes_schema = generation >= 45,
        .takes_top_k = generation <= 46,
        .takes_ttl = generation >= 45,
        .thinks_unasked = generation >= 50,
        .always_thinks = is_fable || (generation >= 55 && !is_haiku),
    };
}

struct bedrock_model bedrock_model_of(struct weir_str id)
{
    struct bedrock_model m = { .takes_sampling = true, .takes_both = true, .takes_forced_tools = true };
    if (has(id, "claude"))
        return claude(id);
    m.family = BEDROCK_OTHER;
    if (has(id, "nova")) {
        m.family = BEDROCK_AMAZON;
        m.takes_thinking = m.takes_effort = has(id, "nova-2") || has(id, "nova-premier-2");
        m.takes_top_k = true;
    } else if (has(id, "mistral.") || has(id, "mistral/")) {
        m.family = BEDROCK_MISTRAL;
        m.takes_top_k = m.takes_schema = true;
    } else if (has(id, "openai.")) {
        m.family = BEDROCK_OPENAI;
        m.takes_thinking = m.takes_effort = m.takes_schema = true;
    } else if (has(id, "qwen.") || has(id, "deepseek.v") || has(id, "google.") || has(id, "nvidia.") ||
               has(id, "minimax.") || has(id, "moonshot")) {
        m.takes_schema = true;
    } else if (!has(id, "meta.") && !has(id, "cohere.") && !has(id, "ai21.") && !has(id, "deepseek.") &&
               !has(id, "amazon.titan")) {
        m.family = BEDROCK_CLAUDE;
        m.takes_budget = m.takes_thinking = m.takes_strict = m.takes_schema = m.takes_top_k = true;
    }
    return m;
}
