/* The executor: the only place where stages' hooks are called.
 *
 *            client                                                                              provider
 *              │ head                                                                               ▲ │
 *   serve.c    ▼                                                                                    │ │
 *          on_open 1→n ── body ── decode ── on_request 1→n ── candidates ── on_attempt 1→n ── encode ┘ │
 *              │                                                 ▲               │                     │
 *              │ FAIL, DONE                    on_failure 1→n ───┴── failed ◄────┤ before the commit   │
 *              ▼                                                                 │                     │
 *          (turn around)                                                         │                     │
 *              │                                                                 ▼                     │
 *   deliver.c  ◄── encode / relay ◄── on_event n→1 ◄── on_head n→1 ◄── elected ◄── events ◄── decode ◄─┘
 *              │
 *              └── end ── on_attempt_done n→1 per attempt ── on_finish n→1, once per entered stage
 *
 * A cursor {hook, step} stands in the call: the request's up to routing, the attempt's from there on. walk() is one loop over
 * the slots of one hook; a verdict other than NEXT leaves it. WAIT leaves it too, and the verdict given to resume() goes on
 * exactly where the hook's own would have. Nothing here recurses and nothing here knows what a stage does.
 */
#include "pipeline.h"

#include <stdio.h>

#include "log.h"
#include "recording.h"

#define MAY(v) (1u << (v))

struct hook_rule {
    const char *name;
    enum crumb_hook crumb;
    bool is_backward;
    uint32_t verdicts; /* 0: the hook has none */
};
static const struct hook_rule rules[HOOKS] = {
    [HOOK_OPEN] = { "on_open", CRUMB_ON_OPEN, false,
                    MAY(WEIR_NEXT) | MAY(WEIR_DONE) | MAY(WEIR_WAIT) | MAY(WEIR_FAIL) },
    [HOOK_REQUEST] = { "on_request", CRUMB_ON_REQUEST, false,
                       MAY(WEIR_NEXT) | MAY(WEIR_DONE) | MAY(WEIR_WAIT) | MAY(WEIR_FAIL) },
    [HOOK_FAILURE] = { "on_failure", CRUMB_ON_FAILURE, false, MAY(WEIR_NEXT) | MAY(WEIR_WAIT) | MAY(WEIR_FAIL) },
    [HOOK_ATTEMPT] = { "on_attempt", CRUMB_ON_ATTEMPT, false,
                       MAY(WEIR_NEXT) | MAY(WEIR_SKIP) | MAY(WEIR_WAIT) | MAY(WEIR_FAIL) },
    [HOOK_HEAD] = { "on_head", CRUMB_ON_HEAD, true, MAY(WEIR_NEXT) | MAY(WEIR_WAIT) | MAY(WEIR_FAIL) },
    [HOOK_EVENT] = { "on_event", CRUMB_ON_EVENT, true,
                     MAY(WEIR_NEXT) | MAY(WEIR_DROP) | MAY(WEIR_HOLD) | MAY(WEIR_WAIT) | MAY(WEIR_FAIL) },
    [HOOK_ATTEMPT_DONE] = { "on_attempt_done", CRUMB_ON_ATTEMPT_DONE, true, 0 },
    [HOOK_FINISH] = { "on_finish", CRUMB_ON_FINISH, true, 0 },
};

const char *hook_name(enum hook hook)
{
    return rules[hook].name;
}

/* ---- the cursor ---- */

uint32_t pipeline_stage_index(const struct weir_call *c, uint32_t step)
{
    const struct lane *lane = c->request->lane;
    uint32_t n = lane->n_slots[c->hook];
    return lane->slots[c->hook][rules[c->hook].is_backward ? n - 1 - step : step];
}

struct weir_instance *pipeline_stage(const struct weir_call *c, uint32_t step)
{
    return c->request->lane->stages[pipeline_stage_index(c, step)];
}

/* ---- calling into plugin code ---- */

struct visit visit_enter(struct weir_call *c, struct weir_instance *who, enum crumb_hook hook, bool uses_scratch)
{
    struct request *r = c->request;
    struct visit v = { .scratch = scratch_enter(), .arena = c->arena, .running = c->running, .call = c };
    v.crumb = crumb_enter(who->plugin->index, hook, r->id, r->principal_name);
    request_enter(r);
    c->running = who;
    if (uses_scratch)
        c->arena = scratch_arena();
    return v;
}

void visit_leave(const struct visit *v)
{
    struct weir_call *c = v->call;
    c->running = v->running;
    c->arena = v->arena;
    crumb_leave(&v->crumb);
    scratch_leave(v->scratch);
    c->request->depth--; /* the caller holds the request: it is not freed here */
}

static enum weir_verdict call_hook(struct weir_call *c, struct weir_instance *s)
{
    const struct weir_stage_ops *ops = &s->plugin->stage;
    switch (c->hook) {
    case HOOK_OPEN:
        return ops->on_open(s->self, c);
    case HOOK_REQUEST:
        return ops->on_request(s->self, c);
    case HOOK_FAILURE:
        return ops->on_failure(s->self, c);
    case HOOK_ATTEMPT:
        return ops->on_attempt(s->self, c);
    case HOOK_HEAD:
        return ops->on_head(s->self, c);
    case HOOK_EVENT:
        return ops->on_event(s->self, c, c->event);
    case HOOK_ATTEMPT_DONE:
        ops->on_attempt_done(s->self, c);
        return WEIR_NEXT;
    default:
        ops->on_finish(s->self, c);
        return WEIR_NEXT;
    }
}

/* ---- faults ---- */

enum weir_verdict pipeline_fault(struct weir_call *c, const char *plugin, const char *what)
{
    LOG_ERROR("plugin.fault", "plugin", plugin, "hook", hook_name(c->hook), "request", c->request->id, "what", what);
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_INTERNAL,
                            .code = WEIR_LIT("plugin_fault"),
                            .message = WEIR_LIT("A stage of this route misbehaved; the gateway's log names it.") };
    note_add(c->request, "core", "fault",
             arena_printf(c->request->arena, "%s %s: %s", plugin, hook_name(c->hook), what));
    c->error = e;
    return WEIR_FAIL;
}

static const char *verdict_name(enum weir_verdict v)
{
    static const char *const names[] = { "0", "NEXT", "DONE", "DROP", "SKIP", "HOLD", "WAIT", "FAIL" };
    return (uint32_t)v < sizeof(names) / sizeof(*names) ? names[v] : "a number that is no verdict";
}

static enum weir_verdict stray_verdict(struct weir_call *c, const struct weir_instance *s, enum weir_verdict v)
{
    char what[128];
    snprintf(what, sizeof(what), "returned %s (%d), which this hook may not", verdict_name(v), (int)v);
    return pipeline_fault(c, s->plugin->desc.name, what);
}

/* Is the verdict one that this hook may give, and does it fit what the hook did? */
static enum weir_verdict settle(struct weir_call *c, const struct weir_instance *s, enum weir_verdict v)
{
    const char *name = s->plugin->desc.name;
    bool is_legal = (uint32_t)v < 32 && (rules[c->hook].verdicts & MAY(v));
    if (c->wait && v != WEIR_WAIT) {
        wait_cancel(c);
        return pipeline_fault(c, name, "took a token with suspend() but did not return WAIT");
    }
    if (!is_legal)
        return stray_verdict(c, s, v);
    if (v == WEIR_WAIT && !c->wait)
        return pipeline_fault(c, name, "returned WAIT without suspend()");
    if (v == WEIR_FAIL && c->error.error_class == WEIR_ERROR_NONE)
        return pipeline_fault(c, name, "returned FAIL without fail()");
    if (v != WEIR_FAIL && v != WEIR_WAIT && c->error.error_class != WEIR_ERROR_NONE)
        return pipeline_fault(c, name, "called fail() but did not return FAIL");
    if (v == WEIR_DONE && !c->has_answer)
        return pipeline_fault(c, name, "returned DONE without an answer");
    return v;
}

/* ---- may it run? ---- */

/* "The stage "x" …": what is wrong with it. */
static enum weir_verdict refuse(struct weir_call *c, uint32_t error_class, const char *code, const char *name,
                                const char *what)
{
    struct weir_error e = { .size = sizeof(e), .error_class = (uint16_t)error_class, .code = weir_cstr(code) };
    e.message = arena_printf(c->request->arena, "The stage \"%s\" of this route %s.", name, what);
    c->error = e;
    return WEIR_FAIL;
}

/* A stage that doesn't know this kind of call is passed by; a guard refuses what it does not know. */
static enum weir_verdict knows_operation(struct weir_call *c, const struct weir_instance *s)
{
    const struct weir_stage_ops *ops = &s->plugin->stage;
    if (!ops->operations || (ops->operations & WEIR_OP_BIT(c->request->view.operation)))
        return WEIR_NEXT;
    if (!(ops->flags & WEIR_STAGE_GUARD) || c->hook > HOOK_REQUEST)
        return WEIR_SKIP;
    return refuse(c, WEIR_ERROR_PERMISSION, "guard_operation", s->plugin->desc.name,
                  "does not know this kind of call and refuses it");
}

static bool wants_event(const struct weir_call *c, const struct weir_instance *s)
{
    uint32_t kinds = s->plugin->stage.event_kinds;
    return c->hook != HOOK_EVENT || !kinds || (kinds >> c->event->kind & 1);
}

/* Before the first hook of a request in this stage: did it crash for this principal, or for many? */
static enum weir_verdict is_fit(struct weir_call *c, struct weir_instance *s)
{
    if (c->hook > HOOK_REQUEST)
        return WEIR_NEXT;
    const char *name = s->plugin->desc.name;
    enum fault_verdict f = fault_check(name, c->request->principal_name, unix_ms());
    if (f == FAULT_NONE)
        return WEIR_NEXT;
    if (f == FAULT_QUARANTINED && s->is_failing_open)
        return WEIR_SKIP;
    if (f == FAULT_POISONED)
        return refuse(c, WEIR_ERROR_UNAVAILABLE, "poisoned", name,
                      "was crashed by your requests; it takes none of them for a while");
    return refuse(c, WEIR_ERROR_UNAVAILABLE, "quarantined", name, "is out of use because it crashed repeatedly");
}

/* ---- the loop ---- */

static void mark_entered(struct weir_call *c, uint32_t index)
{
    if (c->hook == HOOK_OPEN && c->request->n_opened <= index)
        c->request->n_opened = index + 1;
    if (c->hook == HOOK_ATTEMPT && c->attempt->n_entered <= index)
        c->attempt->n_entered = index + 1;
}

/* Of a copy (mirror.c) stages may veto or edit the attempt, and some look at its end. */
static bool is_for(const struct weir_call *c, const struct weir_instance *s)
{
    return !c->request->mirror || c->hook == HOOK_ATTEMPT || c->hook == HOOK_ATTEMPT_DONE ||
           (c->hook == HOOK_FINISH && s->plugin->stage.flags & WEIR_STAGE_MIRRORS);
}

static enum weir_verdict run_stage(struct weir_call *c)
{
    uint32_t index = pipeline_stage_index(c, c->step);
    struct weir_instance *s = c->request->lane->stages[index];
    enum weir_verdict v = is_for(c, s) ? knows_operation(c, s) : WEIR_SKIP;
    if (v == WEIR_NEXT)
        v = is_fit(c, s);
    if (v == WEIR_SKIP || (v == WEIR_NEXT && !wants_event(c, s)))
        return WEIR_NEXT;
    if (v != WEIR_NEXT)
        return v;
    mark_entered(c, index);
    int64_t before = monotonic_us();
    struct visit visit = visit_enter(c, s, rules[c->hook].crumb, c->hook == HOOK_EVENT);
    recording_before(c, s);
    v = call_hook(c, s);
    recording_pause();
    visit_leave(&visit);
    if (c->request->stage_us)
        c->request->stage_us[index] += (uint32_t)(monotonic_us() - before);
    if (!rules[c->hook].verdicts)
        return WEIR_NEXT;
    v = settle(c, s, v);
    enum weir_verdict come = v == WEIR_WAIT ? wait_take(c) : 0; /* resumed before the hook returned */
    v = come ? settle(c, s, come) : v;
    if (v != WEIR_WAIT)
        recording_after(c, v);
    return v;
}

static enum weir_verdict walk(struct weir_call *c)
{
    for (; c->step < c->steps; c->step++) {
        enum weir_verdict v = run_stage(c);
        if (v != WEIR_NEXT)
            return v;
    }
    return WEIR_NEXT;
}

enum weir_verdict pipeline_run(struct weir_call *c, enum hook hook, uint32_t from, uint32_t to)
{
    c->hook = hook;
    c->step = from;
    c->steps = to;
    c->error.error_class = WEIR_ERROR_NONE;
    return walk(c);
}

enum weir_verdict pipeline_continue(struct weir_call *c, enum weir_verdict verdict)
{
    struct weir_instance *s = pipeline_stage(c, c->step);
    verdict = verdict == WEIR_WAIT ? stray_verdict(c, s, verdict) : settle(c, s, verdict);
    recording_after(c, verdict);
    if (verdict != WEIR_NEXT || c->hook == HOOK_EVENT)
        return verdict; /* events.c decides where an event goes on */
    c->step++;
    return walk(c);
}

void pipeline_notify(struct weir_call *c, enum hook hook, uint32_t below)
{
    c->hook = hook;
    c->steps = c->request->lane->n_slots[hook];
    for (c->step = 0; c->step < c->steps; c->step++)
        if (pipeline_stage_index(c, c->step) < below)
            run_stage(c);
}
