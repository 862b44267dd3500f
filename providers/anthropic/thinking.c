/* How a client's words about thinking become those of a model: an effort, a budget, or nothing; and what of them got lost. */
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

static struct thinking thinking_off(const struct encoding *x)
{
    if (x->model.always_thinks)
        return (struct thinking){ UNSAID, 0, WEIR_LIT("\"low\"") };
    return (struct thinking){ x->model.thinks_unasked ? OFF : UNSAID, 0, WEIR_NONE };
}

static struct thinking by_effort(const struct encoding *x, struct weir_str effort)
{
    if (x->model.takes_budget)
        return (struct thinking){ BUDGET, budget_of(effort), WEIR_NONE };
    bool is_highest = weir_is(effort, "\"xhigh\"") && !x->model.takes_xhigh;
    if (weir_is(effort, "\"minimal\""))
        effort = WEIR_LIT("\"low\"");
    return (struct thinking){ ADAPTIVE, 0, is_highest ? WEIR_LIT("\"high\"") : effort };
}

static struct thinking by_budget(const struct encoding *x, int64_t budget, struct weir_str effort)
{
    if (x->model.takes_budget)
        return (struct thinking){ BUDGET, budget > 0 ? budget : 8192, WEIR_NONE };
    return (struct thinking){ ADAPTIVE, 0, effort.n ? effort : budget > 0 ? effort_of(budget) : WEIR_NONE };
}

/* What the client said, in the words of this model. The same dialect's words go as they are. */
struct thinking anthropic_wanted_thinking(const struct encoding *x)
{
    struct weir_str effort = weir_field(x->c, WEIR_FIELD_REASONING_EFFORT),
                    said = weir_field(x->c, WEIR_FIELD_REASONING_BUDGET);
    int64_t budget = anthropic_number_of(said);
    if (x->o.is_own)
        return (struct thinking){ !said.n       ? UNSAID
                                  : budget == 0 ? OFF
                                  : budget < 0  ? ADAPTIVE
                                                : BUDGET,
                                  budget, effort };
    if (!effort.n && !said.n)
        return (struct thinking){ UNSAID, 0, WEIR_NONE };
    if (!x->model.takes_thinking || weir_is(effort, "\"none\"") || (said.n && budget == 0))
        return thinking_off(x);
    return said.n ? by_budget(x, budget, effort) : by_effort(x, effort);
}

static bool begins_with_thought(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_THINKING && weir_eq(p->dialect, ANTHROPIC_DIALECT) &&
            (p->signature.n || (p->flags & WEIR_PART_REDACTED)))
            return true;
    return false;
}

static bool has_call(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_CALL)
            return true;
    return false;
}

/* Calls of this turn that another model made, or whose thoughts did not come back: with a budget to think they are refused. */
bool anthropic_is_in_foreign_loop(const struct weir_conversation *c)
{
    bool is = false;
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        if (m->role == WEIR_ROLE_USER)
            is = false;
        else if (m->role == WEIR_ROLE_ASSISTANT && has_call(m))
            is = is || !begins_with_thought(m);
    }
    return is;
}

/* A budget must leave room under the limit, and excludes forced calls. */
void anthropic_fit_budget(const struct encoding *x, struct thinking *t)
{
    struct weir_str limit = weir_field(x->c, WEIR_FIELD_MAX_TOKENS);
    if (t->how == BUDGET && anthropic_is_in_foreign_loop(x->c))
        t->how = UNSAID;
    if (t->how != BUDGET || x->o.is_own)
        return;
    if (limit.n && t->budget >= anthropic_number_of(limit))
        t->budget = anthropic_number_of(limit) / 2;
    if (t->budget < BUDGET_MIN && limit.n && anthropic_number_of(limit) <= BUDGET_MIN)
        t->how = UNSAID;
    else if (t->budget < BUDGET_MIN)
        t->budget = BUDGET_MIN;
    if (anthropic_is_forced(weir_field(x->c, WEIR_FIELD_TOOL_CHOICE)))
        t->how = UNSAID;
}

void anthropic_put_thinking(struct encoding *x, const struct thinking *t)
{
    const struct weir_json_api *j = x->o.json;
    static const char *const types[] = { [OFF] = "disabled", [ADAPTIVE] = "adaptive", [BUDGET] = "enabled" };
    struct weir_str visible = weir_field(x->c, WEIR_FIELD_REASONING_VISIBLE);
    if (t->how == UNSAID)
        return;
    j->key(x->out, "thinking");
    j->object_begin(x->out);
    anthropic_put_member(x, "type", types[t->how]);
    if (t->how == BUDGET) {
        j->key(x->out, "budget_tokens");
        j->put_int(x->out, t->budget);
    }
    if (t->how != OFF && weir_is(visible, "false"))
        anthropic_put_member(x, "display", "omitted");
    else if (t->how == ADAPTIVE && weir_is(visible, "true"))
        anthropic_put_member(x, "display", "summarized");
    j->object_end(x->out);
}

/* What became of effort and budget, told from what was written. */
static void lose_effort(struct encoding *x, const struct thinking *t)
{
    struct weir_str effort = weir_field(x->c, WEIR_FIELD_REASONING_EFFORT);
    bool is_off = weir_is(effort, "\"none\"");
    if (!effort.n || (t->effort.n && x->model.takes_effort && weir_eq(t->effort, effort)))
        return;
    if (is_off && t->effort.n)
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, "sent as low: this model always thinks");
    else if (is_off)
        return;
    else if (t->how == BUDGET)
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_EMULATED, "as a budget");
    else if (t->how == ADAPTIVE && t->effort.n && x->model.takes_effort)
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, "sent as the nearest that there is");
    else
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_DROPPED,
                       x->model.takes_thinking
                           ? "a limit, a forced call or the calls of another model leave no room for it"
                           : "this model does not think");
}

static void lose_budget(struct encoding *x, const struct thinking *t)
{
    struct weir_str said = weir_field(x->c, WEIR_FIELD_REASONING_BUDGET);
    int64_t budget = anthropic_number_of(said);
    if (!said.n || (budget == 0 && t->how != BUDGET && !t->effort.n) || (t->how == BUDGET && t->budget == budget))
        return;
    if (budget < 0 && t->how == ADAPTIVE)
        return;
    if (t->how == BUDGET)
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_CHANGED,
                       "another budget, which this request has room for");
    else if (t->how == ADAPTIVE || t->effort.n)
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED, "as an effort");
    else
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_DROPPED,
                       x->model.takes_thinking
                           ? "a limit, a forced call or the calls of another model leave no room for it"
                           : "this model does not think");
}

void anthropic_lose_thinking(struct encoding *x, const struct thinking *t)
{
    lose_effort(x, t);
    lose_budget(x, t);
    if (weir_field(x->c, WEIR_FIELD_REASONING_VISIBLE).n && (t->how == UNSAID || t->how == OFF))
        anthropic_lose(&x->o, WEIR_FIELD_REASONING_VISIBLE, WEIR_LOSS_DROPPED, "it is not told to think");
}
