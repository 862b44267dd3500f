/* A second version of a policy beside the live one, without effect.
 *
 * The other version is a policy of its own (file, accounts, counters) whose on_request runs first, at once and with a host table
 * in which everything that has an effect does nothing. What it would have decided is kept with the request, and compared with
 * what the live one did when that has ended. Whatever goes wrong here, the request goes on.
 *
 * Owner: the live policy owns its shadow; `run` is of the one run under way, which never waits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

enum { SAMPLE_MS = 1000, TOLD_MAX = 200 };

enum outcome { SHADOW_SAME, SHADOW_DIFFERENT, SHADOW_UNDECIDED, SHADOW_FAILED, SHADOW_OUTCOMES };

struct shadow {
    struct policy policy; /* the other version */
    struct policy_config config;
    int counts[SHADOW_OUTCOMES];
    int64_t logged_ms, sampled_ms; /* when it last said something */
};

static struct {
    const struct weir_host *real;
    struct shadow *shadow;
    struct weir_call *call;
    struct policy_block block;
    char *decision; /* NULL: none was made */
    uint64_t draws;
    bool is_undecided, has_failed;
} run;

/* ---- decisions as texts ------------------------------------------------------------------------------------------ */

static char *say(struct weir_call *call, const char *text)
{
    size_t n = strlen(text) + 1;
    char *to = run.real->alloc(call, WEIR_FOR_REQUEST, n);
    if (to)
        memcpy(to, text, n);
    return to;
}

static char *say_list(struct weir_call *call, struct weir_candidate *const *list, uint32_t n)
{
    static const char copy[] = " (a copy)";
    size_t room = 1, at = 0;
    for (uint32_t i = 0; i < n; i++)
        room += list[i]->name.n + 2 + strlen(copy);
    char *to = run.real->alloc(call, WEIR_FOR_REQUEST, room);
    for (uint32_t i = 0; to && i < n; i++) {
        if (i)
            memcpy(to + at, ", ", 2), at += 2;
        memcpy(to + at, list[i]->name.p, list[i]->name.n);
        at += list[i]->name.n;
        if (list[i]->flags & WEIR_CANDIDATE_MIRROR)
            memcpy(to + at, copy, strlen(copy)), at += strlen(copy);
    }
    return to;
}

static char *say_candidates(struct weir_call *call)
{
    uint32_t n = 0;
    struct weir_candidate *const *list = run.real->candidates(call, &n);
    return say_list(call, list, n);
}

void shadow_say_denial(char *to, size_t n, const struct weir_error *e)
{
    snprintf(to, n, "deny %u %.*s", e->status, (int)e->code.n, e->code.n ? e->code.p : "");
}

/* ---- the host of a run without effect ---------------------------------------------------------------------------- */

static void *shadow_block(struct weir_call *call)
{
    (void)call;
    return &run.block;
}

static weir_token shadow_suspend(struct weir_call *call, const char *why, weir_fn cancel, void *arg)
{
    (void)call, (void)why, (void)cancel, (void)arg;
    run.is_undecided = true;
    return 0;
}

static enum weir_verdict shadow_fail(struct weir_call *call, const struct weir_error *e)
{
    char text[SHADOW_DENIAL];
    shadow_say_denial(text, sizeof(text), e);
    run.decision = say(call, text);
    return WEIR_FAIL;
}

static int shadow_answer_text(struct weir_call *call, struct weir_str text)
{
    (void)text;
    run.decision = say(call, "answer");
    return 0;
}

static int shadow_candidates_set(struct weir_call *call, struct weir_candidate *const *list, uint32_t n)
{
    run.decision = say_list(call, list, n);
    return 0;
}

static int shadow_edit_field(struct weir_call *call, enum weir_field field, struct weir_str json)
{
    (void)call, (void)field, (void)json;
    return 0;
}

static int shadow_edit_text(struct weir_call *call, struct weir_part *part, struct weir_str plain)
{
    (void)call, (void)part, (void)plain;
    return 0;
}

static int shadow_prepend_system(struct weir_call *call, struct weir_str plain)
{
    (void)call, (void)plain;
    return 0;
}

static int shadow_response_header(struct weir_call *call, struct weir_str name, struct weir_str value)
{
    (void)call, (void)name, (void)value;
    return 0;
}

static int shadow_note(struct weir_call *call, const char *key, struct weir_str value)
{
    (void)call, (void)key, (void)value;
    return 0;
}

/* Numbers of its own, the same ones for the same request id: the live version's are not used up. */
static uint64_t shadow_random(struct weir_call *call)
{
    struct weir_str id = run.real->request(call)->id;
    uint64_t h = 1469598103934665603u + 0x9e3779b97f4a7c15u * ++run.draws;
    for (size_t i = 0; i < id.n; i++)
        h = (h ^ (unsigned char)id.p[i]) * 1099511628211u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

static int shadow_shared_set(struct weir_instance *inst, struct weir_str key, struct weir_str value, uint32_t ttl_ms)
{
    (void)inst, (void)key, (void)value, (void)ttl_ms;
    return 0;
}

/* What the sum would be; it is not kept. */
static int shadow_shared_incr(struct weir_instance *inst, struct weir_str key, int64_t by, uint32_t ttl_ms, int64_t *result)
{
    (void)inst, (void)ttl_ms;
    char text[32], *end;
    struct weir_str now = run.real->shared_get(run.call, key);
    snprintf(text, sizeof(text), "%.*s", (int)now.n, now.n ? now.p : "");
    int64_t sum = strtoll(text, &end, 10);
    if (*end || __builtin_add_overflow(sum, by, result))
        return -1;
    return 0;
}

static void shadow_count(struct weir_instance *inst, int id, int64_t n)
{
    bool is_error = id == run.shadow->policy.count_errors;
    run.has_failed |= is_error;
    if (!is_error || !run.is_undecided)
        run.real->count(inst, id, n);
}

static bool is_time(int64_t *last_ms)
{
    int64_t now_ms = run.real->monotonic_us() / 1000;
    if (*last_ms && now_ms - *last_ms < SAMPLE_MS)
        return false;
    *last_ms = now_ms;
    return true;
}

__attribute__((format(printf, 3, 4))) static void shadow_log(struct weir_instance *inst, enum weir_log_level level,
                                                             const char *format, ...)
{
    char text[1024];
    va_list ap;
    if (run.is_undecided || !is_time(&run.shadow->logged_ms))
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    run.real->log(inst, level, "%s", text);
}

static struct weir_host harmless(const struct weir_host *real)
{
    struct weir_host h = *real;
    h.request_block = shadow_block;
    h.suspend = shadow_suspend;
    h.fail = shadow_fail;
    h.answer_text = shadow_answer_text;
    h.candidates_set = shadow_candidates_set;
    h.edit_field = shadow_edit_field;
    h.edit_text = shadow_edit_text;
    h.prepend_system = shadow_prepend_system;
    h.set_response_header = shadow_response_header;
    h.note = shadow_note;
    h.random = shadow_random;
    h.shared_set = shadow_shared_set;
    h.shared_incr = shadow_shared_incr;
    h.count = shadow_count;
    h.log = shadow_log;
    return h;
}

/* ---- running and comparing --------------------------------------------------------------------------------------- */

void shadow_run(struct policy *live, struct weir_call *call)
{
    struct policy_block *block = engine.host->request_block(call);
    const struct weir_host *real = engine.host;
    struct weir_host host = harmless(real);
    struct shadow *s = live->shadow;
    memset(&run, 0, sizeof(run));
    run.real = real;
    run.shadow = s;
    run.call = call;
    engine.host = &host;
    if (s->policy.file->hook_ref[LUA_ON_REQUEST] != LUA_NOREF)
        engine_run(&s->policy, call, LUA_ON_REQUEST);
    engine.host = real;
    if (run.block.vars_ref > 0)
        luaL_unref(engine.L, LUA_REGISTRYINDEX, run.block.vars_ref);
    if (run.is_undecided || run.has_failed)
        real->count(live->inst, s->counts[run.is_undecided ? SHADOW_UNDECIDED : SHADOW_FAILED], 1);
    else
        block->shadow = run.decision ? run.decision : say_candidates(call);
}

void shadow_compare(struct policy *live, struct weir_call *call, enum weir_verdict v, const char *denial)
{
    struct policy_block *block = engine.host->request_block(call);
    struct shadow *s = live->shadow;
    const char *other = block ? block->shadow : NULL, *own;
    if (!other)
        return;
    block->shadow = NULL;
    run.real = engine.host;
    own = v == WEIR_DONE ? "answer" : v != WEIR_FAIL ? say_candidates(call) : denial[0] ? denial : "an error";
    if (!own)
        return;
    bool is_same = strcmp(own, other) == 0;
    engine.host->count(live->inst, s->counts[is_same ? SHADOW_SAME : SHADOW_DIFFERENT], 1);
    struct weir_str id = engine.host->request(call)->id;
    if (!is_same && is_time(&s->sampled_ms))
        engine.host->log(live->inst, WEIR_LOG_INFO, "policy %s: its shadow differs on %.*s: live: %.*s; shadow: %.*s",
                         live->name, (int)id.n, id.p, TOLD_MAX, own, TOLD_MAX, other);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

struct policy *shadow_new(struct policy *live)
{
    char name[160];
    struct shadow *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    live->shadow = s;
    s->config = *live->config;
    s->config.file = live->config->shadow;
    s->config.shadow = NULL;
    s->policy.config = &s->config;
    s->policy.inst = live->inst;
    s->policy.cfg_ref = LUA_NOREF;
    s->policy.is_shadow = true;
    snprintf(name, sizeof(name), "%s (shadow)", live->name);
    s->policy.name = strdup(name);
    return s->policy.name ? &s->policy : NULL;
}

void shadow_count_in(struct policy *live)
{
    static const char *const outcomes[SHADOW_OUTCOMES] = { "same", "different", "undecided", "failed" };
    char labels[192];
    for (int i = 0; i < SHADOW_OUTCOMES; i++) {
        snprintf(labels, sizeof(labels), "policy=\"%s\",outcome=\"%s\"", live->name, outcomes[i]);
        live->shadow->counts[i] = engine.host->counter(live->inst, "policy_shadow_total", labels);
    }
}

void shadow_free(struct shadow *s)
{
    if (!s)
        return;
    account_close(s->policy.idle_account);
    account_close(s->policy.account);
    free(s->policy.name);
    free(s);
}
