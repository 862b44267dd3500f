/* What the generations of models take and refuse. Anthropic answers 400 to settings that a model doesn't know, and each
 * generation knows others; the name is all that tells. Facts as of November 2026. */
#include "anthropic.h"

/* "claude-3-7-sonnet-20250219" is 37, "claude-sonnet-4-20250514" 40, "claude-opus-5" 50; 0: the name doesn't say. */
static int generation_of(struct weir_str name)
{
    int parts[2] = { 0, 0 }, n = 0;
    for (size_t i = 0; i < name.n && n < 2; i++) {
        bool begins = name.p[i] >= '0' && name.p[i] <= '9' && i > 0 && (name.p[i - 1] == '-' || name.p[i - 1] == '.');
        size_t end = i;
        while (begins && end < name.n && name.p[end] >= '0' && name.p[end] <= '9')
            end++;
        if (!begins || end - i > 2) { /* longer ones are dates */
            if (n == 1 && name.p[i] != '-' && name.p[i] != '.')
                break; /* what follows the first number belongs to something else */
            continue;
        }
        for (; i < end; i++)
            parts[n] = 10 * parts[n] + (name.p[i] - '0');
        n++;
        i--;
    }
    return n ? 10 * parts[0] + parts[1] : 0;
}

static bool has(struct weir_str s, const char *word)
{
    return s.n && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

struct anthropic_model anthropic_model_of(struct weir_str model)
{
    const char *claude = model.n ? memmem(model.p, model.n, "claude-", 7) : NULL;
    struct weir_str name = claude ? (struct weir_str){ claude, (size_t)(model.p + model.n - claude) } : WEIR_NONE;
    int generation = generation_of(name);
    bool is_fable = has(name, "fable") || has(name, "mythos");
    if (!generation)
        return (struct anthropic_model){
            .takes_budget = true, .takes_thinking = true, .takes_sampling = true, .takes_forced_tools = true
        };
    return (struct anthropic_model){
        .takes_budget = generation <= 45,
        .takes_thinking = generation >= 37,
        .takes_effort = generation >= 46 || (generation == 45 && has(name, "opus")),
        .takes_xhigh = generation >= 47,
        .takes_sampling = generation <= 46,
        .takes_forced_tools = !(generation >= 55 && !has(name, "haiku")) && !(is_fable && generation >= 51),
        .takes_strict = generation >= 45,
        .thinks_unasked = generation >= 50,
        .always_thinks = is_fable || (generation >= 55 && !has(name, "haiku")),
    };
}
