/* Delayed hedging: when the first content of an answer is late, a second target is asked as well, and whoever speaks first is the
 * answer. The other call is cancelled and accounted for; that it lost is nobody's failure.
 *
 * Two attempts of one request live beside each other only here, and only until one is elected: while another lives, an attempt that
 * fails just ends (attempt.c). One hedge a request, for a small share of a provider's calls, and never where a tool of the
 * provider may run twice. Rights, residency, caps and breakers hold as for any attempt: the second is a candidate like others.
 */
#include "host.h"
#include "pipeline.h"

/* Until so many answers of a target are known, its own p95 says little. */
enum { ANSWERS_KNOWN = 50, UNKNOWN_AFTER_MS = 8000 };
static const double usual_share = 0.05;

static const struct config_hedge *hedge_of(const struct request *r)
{
    static const struct config_hedge usual = { .mode = CONFIG_HEDGE_DEFAULT };
    return r->route ? &r->route->hedge : &usual;
}

static uint32_t after_ms(const struct config_hedge *hedge, const struct candidate *c)
{
    if (hedge->after_ms)
        return hedge->after_ms;
    bool is_known = c->view.first_tokens >= ANSWERS_KNOWN && c->view.p95_ms;
    return is_known ? c->view.p95_ms : UNKNOWN_AFTER_MS;
}

void hedge_plan(struct attempt *a)
{
    struct request *r = a->call.request;
    const struct config_hedge *hedge = hedge_of(r);
    bool may_hedge = r->view.operation == WEIR_OP_CHAT && hedge->mode != CONFIG_HEDGE_OFF && r->n_candidates && !r->elected && !a->fans;
    if (may_hedge && !r->was_hedged && !request_has_hosted_tool(r))
        a->hedge_at_us = a->started_us + (int64_t)after_ms(hedge, a->target) * 1000;
}

/* Only the newest can be hedged: an older one that lives was. */
int64_t hedge_at_us(const struct request *r)
{
    const struct attempt *a = r->attempts;
    bool is_waited_for = a && a->hedge_at_us && !r->elected && !a->has_content &&
                         (a->state == ATTEMPT_SENT || a->state == ATTEMPT_ANSWERING);
    return is_waited_for ? a->hedge_at_us : INT64_MAX;
}

struct attempt *attempt_beside(const struct attempt *a)
{
    const struct request *r = a->call.request;
    if (r->elected)
        return NULL;
    for (struct attempt *other = r->attempts; other; other = other->next)
        if (other != a && other->target && other->state != ATTEMPT_OVER)
            return other;
    return NULL;
}

void hedge_begin(struct request *r)
{
    struct attempt *a = r->attempts;
    const struct config_hedge *hedge = hedge_of(r);
    uint32_t late_ms = (uint32_t)((monotonic_us() - a->started_us) / 1000);
    a->hedge_at_us = 0;
    if (!candidates_any_awake(r))
        return;
    double share = hedge->mode == CONFIG_HEDGE_DEFAULT ? usual_share : hedge->share;
    if (!admission_take_hedge(a->provider, share)) {
        note_add(r, "core", "no_hedge", WEIR_LIT("the share of calls that may be hedged is used up"));
        return;
    }
    r->was_hedged = true;
    r->next_reason = arena_printf(r->arena, "hedge: %.*s said nothing for %u ms", (int)a->target->view.name.n,
                                  a->target->view.name.p, late_ms);
    attempt_another(r);
}

/* What was sent is paid for, as far as anybody knows: the input at least. */
void hedge_account(struct attempt *a)
{
    if (!a->was_sent || a->usage.input >= 0)
        return;
    a->usage.input = host_estimate_tokens(&a->call);
    a->usage.output = 0;
    a->usage.flags |= WEIR_USAGE_ESTIMATED;
}

void hedge_settle(struct attempt *elected)
{
    for (struct attempt *a = elected->call.request->attempts; a; a = a->next) {
        if (a == elected || a->fans == elected || !a->target || a->state == ATTEMPT_OVER)
            continue;
        a->was_outrun = true;
        hedge_account(a);
        attempt_close(a);
    }
}
