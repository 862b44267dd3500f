/* Thinking, and what else only some models know: it goes into additionalModelRequestFields, in each family's own words. */
#include "encode.h"

enum { BUDGET_MIN = 1024 };

/* The convention for budgets where a model takes no effort, and the other way round. */
static int64_t budget_of(struct weir_str effort)
{
    if (weir_is(effort, "\"minimal\""))
        return BUDGET_MIN;
    if (weir_is(effort, "\"low\""))
        return 2048;
    if (weir_is(effort, "\"medium\""))
        return 8192;
    return weir_is(effort, "\"high\"") ? 16384 : 32000;
}

static struct weir_str effort_of(int64_t budget)
{
    return budget < 4096 ? WEIR_LIT("\"low\"") : budget < 16384 ? WEIR_LIT("\"medium\"") : WEIR_LIT("\"high\"");
}

/* An effort in the words that the model knows. */
static struct weir_str fit_effort(struct encoding *x, struct weir_str effort)
{
    struct weir_str fit = effort;
    bool is_highest = weir_is(effort, "\"xhigh\"") || weir_is(effort, "\"max\"");
    bool has_highest = x->model.family == BEDROCK_CLAUDE && (weir_is(effort, "\"max\"") || x->model.takes_xhigh);
    if (weir_is(effort, "\"minimal\""))
        fit = WEIR_LIT("\"low\"");
    else if (is_highest && !has_highest)
        fit = WEIR_LIT("\"high\"");
    bool has_limit = bedrock_field(x, WEIR_FIELD_MAX_TOKENS).n > 0;
    if (x->model.family == BEDROCK_AMAZON && weir_is(fit, "\"high\"") && has_limit)
        fit = WEIR_LIT("\"medium\""); /* at its highest it takes no limit */
    if (!weir_eq(fit, effort))
        bedrock_lose_once(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, "to one that the model knows");
    return fit;
}

static struct bedrock_thinking off(struct encoding *x)
{
    if (!x->model.always_thinks)
        return (struct bedrock_thinking){ x->model.thinks_unasked ? BEDROCK_OFF : BEDROCK_UNSAID, 0, WEIR_NONE };
    bedrock_lose_once(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, "this model always thinks");
    return (struct bedrock_thinking){ BEDROCK_UNSAID, 0, WEIR_LIT("\"low\"") };
}

static struct bedrock_thinking by_effort(struct encoding *x, struct weir_str effort)
{
    if (!x->model.takes_budget)
        return (struct bedrock_thinking){ BEDROCK_ADAPTIVE, 0, fit_effort(x, effort) };
    bedrock_lose_once(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, "said as a budget of tokens");
    return (struct bedrock_thinking){ BEDROCK_BUDGET, budget_of(effort), WEIR_NONE };
}

static struct bedrock_thinking by_budget(struct encoding *x, int64_t budget, struct weir_str effort)
{
    if (x->model.takes_budget && budget < 0)
        bedrock_lose_once(x, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_CHANGED,
                          "to a number: this model can't decide itself");
    if (x->model.takes_budget)
        return (struct bedrock_thinking){ BEDROCK_BUDGET, budget > 0 ? budget : 8192, WEIR_NONE };
    if (!effort.n && budget > 0) {
        bedrock_lose_once(x, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_CHANGED, "said as an effort");
        effort = effort_of(budget);
    }
    return (struct bedrock_thinking){ BEDROCK_ADAPTIVE, 0, effort.n ? fit_effort(x, effort) : WEIR_NONE };
}

static struct bedrock_thinking own_thinking(struct weir_str said, struct weir_str effort)
{
    int64_t budget = bedrock_number(said);
    struct bedrock_thinking t = { BEDROCK_UNSAID, budget, effort };
    if (said.n)
        t.how = budget == 0 ? BEDROCK_OFF : budget < 0 ? BEDROCK_ADAPTIVE : BEDROCK_BUDGET;
    return t;
}

/* A budget must leave room under the limit, and excludes forced calls. */
static void fit_budget(struct encoding *x, struct bedrock_thinking *t)
{
    struct weir_str limit = bedrock_field(x, WEIR_FIELD_MAX_TOKENS), choice = bedrock_field(x, WEIR_FIELD_TOOL_CHOICE);
    bool is_forced = choice.n && (choice.p[0] == '{' || weir_is(choice, "\"required\""));
    int64_t asked = t->budget;
    if (t->how != BEDROCK_BUDGET)
        return;
    if (limit.n && t->budget >= bedrock_number(limit))
        t->budget = bedrock_number(limit) / 2;
    if (is_forced || (t->budget < BUDGET_MIN && limit.n && bedrock_number(limit) <= BUDGET_MIN))
        t->how = BEDROCK_UNSAID;
    else if (t->budget < BUDGET_MIN)
        t->budget = BUDGET_MIN;
    uint32_t feature =
        bedrock_field(x, WEIR_FIELD_REASONING_BUDGET).n ? WEIR_FIELD_REASONING_BUDGET : WEIR_FIELD_REASONING_EFFORT;
    if (t->how == BEDROCK_UNSAID)
        bedrock_lose_once(x, feature, WEIR_LOSS_DROPPED,
                          is_forced ? "not beside a forced call" : "the limit leaves no room for it");
    else if (asked != t->budget)
        bedrock_lose_once(x, feature, WEIR_LOSS_CHANGED, "fitted under the limit");
}

/* With a budget to think Claude refuses calls of this turn that none of its own thoughts stands before. */
static void leave_foreign_loop(struct encoding *x, struct bedrock_thinking *t)
{
    bool has_budget = t->how == BEDROCK_BUDGET && x->model.family == BEDROCK_CLAUDE;
    if (!has_budget || !bedrock_is_in_foreign_loop(x->c))
        return;
    t->how = BEDROCK_UNSAID;
    bedrock_lose_once(
        x, bedrock_field(x, WEIR_FIELD_REASONING_BUDGET).n ? WEIR_FIELD_REASONING_BUDGET : WEIR_FIELD_REASONING_EFFORT,
        WEIR_LOSS_DROPPED, "the calls of this turn are another model's");
}

struct bedrock_thinking bedrock_wanted_thinking(struct encoding *x)
{
    struct weir_str effort = bedrock_field(x, WEIR_FIELD_REASONING_EFFORT),
                    said = bedrock_field(x, WEIR_FIELD_REASONING_BUDGET);
    struct bedrock_thinking none = { BEDROCK_UNSAID, 0, WEIR_NONE }, t;
    if (x->o.is_own) {
        t = own_thinking(said, effort);
        leave_foreign_loop(x, &t);
        return t;
    }
    if (!effort.n && !said.n)
        return none;
    bool is_off = weir_is(effort, "\"none\"") || (said.n && bedrock_number(said) == 0);
    if (is_off)
        return off(x);
    if (!x->model.takes_thinking) {
        bedrock_lose_once(x, said.n ? WEIR_FIELD_REASONING_BUDGET : WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_DROPPED,
                          "this model has no setting for it");
        return none;
    }
    t = said.n ? by_budget(x, bedrock_number(said), effort) : by_effort(x, effort);
    fit_budget(x, &t);
    leave_foreign_loop(x, &t);
    return t;
}

/* ---- additionalModelRequestFields ---- */

static void put_claude_thinking(struct encoding *x, const struct bedrock_thinking *t)
{
    static const char *const types[] = {
        [BEDROCK_OFF] = "disabled", [BEDROCK_ADAPTIVE] = "adaptive", [BEDROCK_BUDGET] = "enabled"
    };
    const struct weir_json_api *j = x->o.json;
    struct weir_str visible = bedrock_field(x, WEIR_FIELD_REASONING_VISIBLE);
    if (t->how == BEDROCK_UNSAID)
        return;
    j->key(x->out, "thinking");
    j->object_begin(x->out);
    bedrock_put_member(&x->o, x->out, "type", types[t->how]);
    if (t->how == BEDROCK_BUDGET) {
        j->key(x->out, "budget_tokens");
        j->put_int(x->out, t->budget);
    }
    if (t->how != BEDROCK_OFF && weir_is(visible, "false"))
        bedrock_put_member(&x->o, x->out, "display", "omitted");
    else if (t->how == BEDROCK_ADAPTIVE && weir_is(visible, "true"))
        bedrock_put_member(&x->o, x->out, "display", "summarized");
    j->object_end(x->out);
}

static void put_claude(struct encoding *x, const struct bedrock_thinking *t)
{
    const struct weir_json_api *j = x->o.json;
    bool has_effort = t->effort.n && (x->o.is_own || x->model.takes_effort),
         has_more = bedrock_has_ext(x, "additionalModelRequestFields.output_config.");
    put_claude_thinking(x, t);
    if (!has_effort && !has_more)
        return;
    j->key(x->out, "output_config");
    j->object_begin(x->out);
    if (has_effort)
        bedrock_put_raw(x, "effort", t->effort);
    bedrock_put_ext(x, "additionalModelRequestFields.output_config.");
    j->object_end(x->out);
}

static void put_nova(struct encoding *x, const struct bedrock_thinking *t, struct weir_str top_k)
{
    const struct weir_json_api *j = x->o.json;
    if (t->effort.n) {
        bool is_off = weir_is(t->effort, "\"none\"");
        j->key(x->out, "reasoningConfig");
        j->object_begin(x->out);
        bedrock_put_member(&x->o, x->out, "type", is_off ? "disabled" : "enabled");
        if (!is_off)
            bedrock_put_raw(x, "maxReasoningEffort", t->effort);
        j->object_end(x->out);
    }
    if (top_k.n) {
        j->key(x->out, "inferenceConfig");
        j->object_begin(x->out);
        bedrock_put_raw(x, "topK", top_k);
        j->object_end(x->out);
    }
}

static void put_top_k(struct encoding *x, const struct bedrock_thinking *t)
{
    struct weir_str top_k = bedrock_field(x, WEIR_FIELD_TOP_K);
    bool thinks = t->how == BEDROCK_BUDGET || t->how == BEDROCK_ADAPTIVE;
    if (!top_k.n || x->model.family == BEDROCK_AMAZON) /* put_nova() */
        return;
    if (x->o.is_own || (x->model.takes_top_k && !(thinks && x->model.family == BEDROCK_CLAUDE)))
        bedrock_put_raw(x, "top_k", top_k);
    else
        bedrock_lose_once(x, WEIR_FIELD_TOP_K, WEIR_LOSS_DROPPED,
                          thinks ? "not while thinking" : "this model does not take it");
}

static bool has_additional(const struct encoding *x, const struct bedrock_thinking *t)
{
    return t->how != BEDROCK_UNSAID || t->effort.n || bedrock_field(x, WEIR_FIELD_TOP_K).n ||
           bedrock_has_ext(x, "additionalModelRequestFields.");
}

/* "additionalModelRequestFields.x" but not "additionalModelRequestFields.output_config.x", which put_claude() writes. */
void bedrock_put_additional(struct encoding *x, const struct bedrock_thinking *t)
{
    const struct weir_json_api *j = x->o.json;
    bool is_told = x->model.family == BEDROCK_CLAUDE && t->how != BEDROCK_UNSAID && t->how != BEDROCK_OFF;
    if (bedrock_field(x, WEIR_FIELD_REASONING_VISIBLE).n && !is_told && !x->o.is_own)
        bedrock_lose_once(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LOSS_DROPPED, "it is not told to think");
    if (!has_additional(x, t))
        return;
    j->key(x->out, "additionalModelRequestFields");
    j->object_begin(x->out);
    put_top_k(x, t);
    if (x->model.family == BEDROCK_AMAZON)
        put_nova(x, t, bedrock_field(x, WEIR_FIELD_TOP_K));
    else if (x->model.family == BEDROCK_OPENAI || (x->o.is_own && x->model.family != BEDROCK_CLAUDE))
        bedrock_put_raw(x, "reasoning_effort", t->effort);
    if (x->model.family == BEDROCK_CLAUDE || x->o.is_own)
        put_claude(x, &(struct bedrock_thinking){ t->how, t->budget,
                                                  x->model.family == BEDROCK_CLAUDE ? t->effort : WEIR_NONE });
    bedrock_put_ext(x, "additionalModelRequestFields.");
    j->object_end(x->out);
}

/* ---- what only this dialect has ---- */

/* Does the path stand directly behind `before`? Its last name in *key. */
static bool is_member(struct weir_str path, const char *before, struct weir_str *key)
{
    size_t n = strlen(before);
    if (path.n <= n || memcmp(path.p, before, n) != 0)
        return false;
    *key = (struct weir_str){ path.p + n, path.n - n };
    return !memchr(key->p, '.', key->n) && (n || !memchr(key->p, '[', key->n));
}

bool bedrock_has_ext(const struct encoding *x, const char *before)
{
    size_t n = strlen(before);
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next)
        if (e->path.n > n && memcmp(e->path.p, before, n) == 0)
            return true;
    return false;
}

void bedrock_put_ext(struct encoding *x, const char *before)
{
    struct weir_str key;
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next)
        if (is_member(e->path, before, &key)) {
            x->o.json->key_str(x->out, key);
            x->o.json->put_raw(x->out, e->raw);
        }
}
