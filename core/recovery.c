/* What follows a failed attempt: the same target again, another, or the end.
 *
 * Classes decide, not codes: a codec says what went wrong, the table here what that allows. A rule's word (candidates_set() in
 * on_failure) counts before the table. The same target is asked again only after a wait, which is what the provider said, or a
 * back-off with full jitter; a wait that would end after the request's deadline isn't begun. Nothing here is about codes of a
 * dialect, and nothing is kept between requests.
 */
#include "host.h"

enum {
    BACKOFF_MS = 250,
    BACKOFF_MAX_MS = 8000,
    PATIENCE_MS = 2000, /* a longer wait than this is worse than another target */
    NAMED_MAX = 160, /* bytes of each attempt's message in the last error */
};

/* ---- classes ---- */

enum remedy { AGAIN = 1, ELSEWHERE = 2, LARGER = 4 }; /* LARGER: elsewhere, where the context is larger */

static uint32_t remedies_of(const struct attempt *a)
{
    static const uint8_t remedies[] = {
        [WEIR_ERROR_CONNECT] = AGAIN | ELSEWHERE,
        [WEIR_ERROR_TIMEOUT] = AGAIN | ELSEWHERE,
        [WEIR_ERROR_RATE_LIMITED] = AGAIN | ELSEWHERE,
        [WEIR_ERROR_OVERLOADED] = AGAIN | ELSEWHERE,
        [WEIR_ERROR_SERVER] = AGAIN | ELSEWHERE,
        [WEIR_ERROR_BROKEN] = AGAIN | ELSEWHERE,
        [WEIR_ERROR_QUOTA] = ELSEWHERE,
        [WEIR_ERROR_AUTHENTICATION] = ELSEWHERE, /* of weir's own key: it says nothing about the next target */
        [WEIR_ERROR_PERMISSION] = ELSEWHERE,
        [WEIR_ERROR_UNSUPPORTED] = ELSEWHERE, /* by this dialect */
        [WEIR_ERROR_CONTEXT_LENGTH] = LARGER,
        [WEIR_ERROR_CANCELLED] = 0,
    };
    uint32_t class = a->error.error_class;
    uint32_t found = class < sizeof(remedies) ? remedies[class] : 0;
    return a->was_silent ? found & ~(uint32_t)AGAIN : found;
}

/* Did the provider perhaps work on it? Not if the request never reached it, or was refused at the door. */
static bool may_have_begun(const struct attempt *a)
{
    bool is_sent = a->was_sent && (a->result == EGRESS_OK || a->result > EGRESS_CONNECT_TIMEOUT);
    switch (a->error.error_class) {
    case WEIR_ERROR_CONNECT:
    case WEIR_ERROR_TIMEOUT:
    case WEIR_ERROR_SERVER:
    case WEIR_ERROR_BROKEN:
        return is_sent;
    default:
        return false;
    }
}

bool request_has_hosted_tool(const struct request *r)
{
    for (const struct weir_tool *t = r->conversation ? r->conversation->view.tools : NULL; t; t = t->next)
        if (t->raw.n && !(t->flags & WEIR_TOOL_OF_CLIENT))
            return true;
    return false;
}

/* A tool that runs at the provider may have had its effect: only a rule may have it run twice. */
static bool may_have_run_tool(const struct attempt *a)
{
    return request_has_hosted_tool(a->call.request) && may_have_begun(a);
}

/* ---- the same target again ---- */

static uint32_t retries_of(const struct request *r, const struct candidate *c)
{
    const struct config_model *m = c->of ? c->of : r->model;
    if (r->route && r->route->retries != CONFIG_UNSET)
        return r->route->retries;
    if (m && m->retries != CONFIG_UNSET)
        return m->retries;
    return c->provider->retries != CONFIG_UNSET ? c->provider->retries : 0;
}

static uint32_t tries_of(const struct request *r, const struct candidate *c)
{
    uint32_t n = 0;
    for (const struct attempt *a = r->attempts; a; a = a->next)
        n += a->target && !a->fans && weir_eq(a->target->view.name, c->view.name);
    return n;
}

/* What the provider asked for and a little more, so that not all come back at once; else full jitter. */
static uint32_t delay_ms(struct request *r, const struct attempt *a)
{
    bool is_keys = a->error.error_class == WEIR_ERROR_RATE_LIMITED && keys_has_fresh(a); /* another was told nothing */
    uint32_t tries = tries_of(r, a->target), asked = is_keys ? 0 : a->error.retry_after_ms;
    uint32_t most = BACKOFF_MS << (tries < 6 ? tries - 1 : 5);
    if (asked)
        return asked + (uint32_t)(request_random(r) % (asked / 10 + 1));
    return (uint32_t)(request_random(r) % ((most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS) + 1));
}

static bool is_in_time(const struct request *r, uint32_t ms)
{
    return monotonic_us() + (int64_t)ms * 1000 < request_deadline_us(r);
}

static void go_on(struct request *r)
{
    r->state = REQUEST_SERVE;
    request_run(r);
}

static void waited(struct weir_call *c, enum weir_verdict v)
{
    (void)v;
    go_on(c->request);
}

/* The first of the candidates is the target that failed: it is asked again after the wait. */
static void wait_and_go_on(struct request *r, const struct attempt *a, uint32_t ms)
{
    admission_count_retry(a->provider);
    r->next_reason =
        arena_printf(r->arena, "again after %s, %u ms later", error_class_name(a->error.error_class), ms);
    if (!ms || !wait_core(&r->call, "the next try", monotonic_us() + (int64_t)ms * 1000, waited, NULL, NULL))
        go_on(r);
}

static bool put_first(struct request *r, struct candidate *c)
{
    struct weir_candidate **list = arena_alloc(r->arena, (r->n_candidates + 1) * sizeof(*list));
    if (!list)
        return false;
    list[0] = &c->view;
    if (r->n_candidates)
        memcpy(list + 1, r->candidates, r->n_candidates * sizeof(*list));
    c->was_tried = false;
    r->candidates = list;
    r->n_candidates++;
    return true;
}

/* The provider's budget for retries, shared by all workers. */
static bool may_spend(struct request *r, const struct attempt *a)
{
    if (provider_take_retry(admission_provider(a->provider), &a->provider->retry_budget, monotonic_us() / 1000))
        return true;
    note_add(r, "core", "no_retry",
             arena_printf(r->arena, "%.*s: the retry budget of its provider is used up", (int)a->target->view.name.n,
                          a->target->view.name.p));
    return false;
}

/* true: it is underway. */
static bool try_again(struct attempt *a)
{
    struct request *r = a->call.request;
    if (tries_of(r, a->target) > retries_of(r, a->target))
        return false;
    uint32_t ms = delay_ms(r, a);
    if (!is_in_time(r, ms) || (ms > PATIENCE_MS && candidates_any(r)) || !may_spend(r, a) ||
        !put_first(r, a->target))
        return false;
    wait_and_go_on(r, a, ms);
    return true;
}

/* Its key was refused, and it has others: each is tried. */
static bool try_another_key(struct attempt *a)
{
    struct request *r = a->call.request;
    if (!keys_has_another(a) || tries_of(r, a->target) >= a->provider->n_keys || !put_first(r, a->target))
        return false;
    r->next_reason =
        arena_printf(r->arena, "with another key after %s", error_class_name(a->error.error_class));
    go_on(r);
    return true;
}

/* ---- another ---- */

/* Those whose context is known to be larger than that of the one that was too small, or than the request where that isn't known. */
static void keep_larger(struct request *r, const struct attempt *a)
{
    int64_t known = a->target->view.context_tokens, least = known > 0 ? known : host_estimate_tokens(&r->call);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        struct weir_candidate *c = r->candidates[i];
        if (c->context_tokens > least)
            r->candidates[kept++] = c;
        else
            note_add(r, "core", "skipped",
                     arena_printf(r->arena, "%.*s: its context is not known to be larger", (int)c->name.n, c->name.p));
    }
    r->n_candidates = kept;
}

static void try_elsewhere(struct attempt *a)
{
    struct request *r = a->call.request;
    r->next_reason = arena_printf(r->arena, "%.*s failed: %s", (int)a->target->view.name.n, a->target->view.name.p,
                                  error_class_name(a->error.error_class));
    go_on(r);
}

/* A rule has chosen. If it wants the same target at once, that is asked after the same wait as without a rule. */
static void obey(struct attempt *a)
{
    struct request *r = a->call.request;
    bool is_same = r->n_candidates && weir_eq(r->candidates[0]->name, a->target->view.name);
    uint32_t ms = is_same ? delay_ms(r, a) : 0;
    if (is_same && is_in_time(r, ms) && may_spend(r, a)) {
        wait_and_go_on(r, a, ms);
        return;
    }
    if (is_same) {
        if (!is_in_time(r, ms))
            note_add(r, "core", "no_retry",
                     arena_printf(r->arena, "%.*s: the wait of %u ms would end after the deadline",
                                  (int)a->target->view.name.n, a->target->view.name.p, ms));
        ((struct candidate *)r->candidates[0])->was_tried = true;
    }
    try_elsewhere(a);
}

void recovery_after(struct attempt *a)
{
    struct request *r = a->call.request;
    uint32_t remedies = remedies_of(a);
    if (rescue_was_refused(a) && put_first(r, a->target)) {
        r->next_reason = WEIR_LIT("rescue: asked in words, since it does not go on from the assistant's own");
        go_on(r);
        return;
    }
    if (a->rescues)
        remedies |= ELSEWHERE; /* what it made of half an answer says nothing about the next */
    if (r->were_candidates_set) {
        obey(a);
    } else if (may_have_run_tool(a)) {
        note_add(r, "core", "no_retry", WEIR_LIT("a tool of the provider may have run: only a rule may have it run twice"));
        request_fail(r, &a->error);
    } else if ((remedies & AGAIN) && try_again(a)) {
        return;
    } else if (try_another_key(a)) {
        return;
    } else if (remedies & (ELSEWHERE | LARGER)) {
        if (remedies & LARGER)
            keep_larger(r, a);
        try_elsewhere(a);
    } else {
        request_fail(r, &a->error);
    }
}

/* Its own retries count from when the other fails: two calls of a request beside each other are enough. */
void recovery_beside(struct attempt *a)
{
    struct request *r = a->call.request;
    uint32_t remedies = remedies_of(a);
    if (remedies & LARGER)
        keep_larger(r, a);
    if (!(remedies & AGAIN) || tries_of(r, a->target) > retries_of(r, a->target) || !may_spend(r, a))
        return;
    struct weir_candidate **list = arena_alloc(r->arena, (r->n_candidates + 1) * sizeof(*list));
    if (!list)
        return;
    if (r->n_candidates)
        memcpy(list, r->candidates, r->n_candidates * sizeof(*list));
    list[r->n_candidates++] = &a->target->view;
    a->target->was_tried = false;
    r->candidates = list;
}

/* ---- the end ---- */

/* The attempt's message without its target's name, which many begin with. */
static struct weir_str message_of(const struct attempt *a)
{
    struct weir_str m = a->error.message, name = a->target->view.name;
    if (m.n > name.n + 2 && memcmp(m.p, name.p, name.n) == 0) {
        size_t from = name.n + (m.p[name.n] == ':' ? 2 : 1);
        m = (struct weir_str){ m.p + from, m.n - from };
    }
    if (m.n > NAMED_MAX)
        for (m.n = NAMED_MAX; m.n && ((unsigned char)m.p[m.n - 1] & 0x80); m.n--)
            continue; /* never half a character */
    while (m.n && (m.p[m.n - 1] == '.' || m.p[m.n - 1] == ' '))
        m.n--;
    return m;
}

/* Oldest first. */
static struct weir_str name_attempts(struct request *r, const struct attempt *a)
{
    if (!a)
        return WEIR_NONE;
    struct weir_str before = name_attempts(r, a->next);
    if (!a->target || a->fans || a->error.error_class == WEIR_ERROR_NONE)
        return before; /* of an answer that several calls make one speaks for all */
    struct weir_str m = message_of(a), name = a->target->view.name;
    const char *status = a->status ? arena_printf(r->arena, " (%d)", a->status).p : "";
    return arena_printf(r->arena, "%.*s%s%.*s: %s%s%s%.*s", (int)before.n, before.n ? before.p : "", before.n ? "; " : "",
                        (int)name.n, name.p, error_class_name(a->error.error_class), status, m.n ? ", " : "", (int)m.n,
                        m.n ? m.p : "");
}

static uint32_t nearest_retry_ms(const struct request *r)
{
    uint32_t nearest = 0;
    for (const struct attempt *a = r->attempts; a; a = a->next) {
        uint32_t ms = a->error.retry_after_ms;
        nearest = ms && (!nearest || ms < nearest) ? ms : nearest;
    }
    return nearest;
}

static void fail_after_attempts(struct request *r, const struct attempt *last, uint32_t n_failed)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = last->error.error_class,
                            .status = (uint16_t)error_status(&last->error),
                            .retry_after_ms = nearest_retry_ms(r),
                            .code = WEIR_LIT("all_attempts_failed"),
                            .native = last->error.native };
    struct weir_str each = name_attempts(r, r->attempts);
    e.message = arena_printf(r->arena, "All %u attempts failed: %.*s.", n_failed, (int)each.n, each.p);
    r->is_exhausted = true;
    request_fail(r, &e);
}

/* Nothing was tried: the reasons why. */
static void fail_untried(struct request *r)
{
    struct weir_str why = WEIR_NONE;
    bool is_loss = r->lost_feature != NULL;
    for (const struct note *n = r->notes; n; n = n->next)
        if (strcmp(n->key, "skipped") == 0)
            why = arena_printf(r->arena, "%.*s%s%.*s", (int)why.n, why.p ? why.p : "", why.n ? "; " : "",
                               (int)n->value.n, n->value.p);
    struct weir_error e = { .size = sizeof(e),
                            .error_class = is_loss || r->is_beyond_targets ? WEIR_ERROR_UNSUPPORTED : WEIR_ERROR_UNAVAILABLE };
    e.retry_after_ms = r->ready_ms;
    if (r->was_shed) {
        e.error_class = WEIR_ERROR_OVERLOADED;
        e.retry_after_ms = 1000;
    } else if (is_loss) {
        e.code = WEIR_LIT("loss_refused");
        e.param = weir_cstr(r->lost_feature);
    } else if (r->is_beyond_targets) {
        e.code = WEIR_LIT("no_capable_target");
        e.param = why.n && strstr(why.p, " by URL") ? media_first_url(&r->conversation->view, r->arena) : WEIR_NONE;
    }
    e.message = why.n ? arena_printf(r->arena, "No target can serve this request: %.*s.%s", (int)why.n, why.p,
                                     is_loss ? " Leave that out, ask for another model, or let it be lost with "
                                               "`on_loss: warn` on the route."
                                             : "")
                      : WEIR_LIT("No target can serve this request: the rules of this route left none.");
    request_fail(r, &e);
}

void recovery_give_up(struct request *r)
{
    const struct attempt *last = NULL;
    uint32_t n_failed = 0;
    for (const struct attempt *a = r->attempts; a; a = a->next)
        if (a->target && !a->fans && a->error.error_class != WEIR_ERROR_NONE) {
            last = last && !a->is_cut ? last : a; /* what broke an answer off counts more than who could not finish it */
            n_failed++;
        }
    if (!last)
        fail_untried(r);
    else if (n_failed == 1)
        request_fail(r, &last->error); /* the provider's own words are the best */
    else
        fail_after_attempts(r, last, n_failed);
}
