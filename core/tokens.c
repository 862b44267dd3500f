/* Access tokens of provider entries whose `auth` names a plugin: who obtains one, who waits for it, when a new one is due.
 *
 * A token is in shared memory (shm_tokens.c) and in this worker's own copy. A request takes what is there; if it will end soon, who
 * holds the place's lease has a new one obtained meanwhile; if there is none, the request waits. The token that is there is used
 * until it ends or the provider refuses it.
 *
 * Owner: the sources live as long as the worker. What is being obtained is a call of its own, without a request.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "host.h"
#include "log.h"
#include "scratch.h"
#include "shm_layout.h"

enum {
    OBTAIN_MS = 60 * 1000, /* a plugin's time, and the lease */
    WAIT_MS = 15 * 1000, /* of a request */
    LOOK_MS = 25, /* while another worker obtains */
    AHEAD_MS = 5 * 60 * 1000,
    UNSAID_MS = 5 * 60 * 1000, /* how long a token is good that doesn't say */
    YOUNG_MS = 30 * 1000, /* refused so soon after it was obtained: another would be refused too */
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    WHY_MAX = 300,
};

struct source {
    const struct config_provider *provider;
    struct weir_instance inst;
    int place; /* in shared memory; -1: there is no room, this worker is on its own */
    struct token_copy *token; /* n 0: none */
    struct obtaining *now;
    int64_t began_ms, failed_until_ms;
    uint32_t backoff_ms;
    char why[WHY_MAX];
    weir_token *waiting;
    uint32_t n_waiting, cap_waiting;
    struct event *look;
};

struct obtaining {
    struct weir_call call; /* first: what the plugin holds */
    struct source *source;
};

static struct source *sources; /* by provider.index */
static uint32_t n_sources;

static struct source *source_of(const struct config_provider *p)
{
    return p && p->credentials && p->index < n_sources ? &sources[p->index] : NULL;
}

/* ---- who waits ---- */

static void wake_all(struct source *s)
{
    uint32_t n = s->n_waiting;
    s->n_waiting = 0;
    for (uint32_t i = 0; i < n; i++)
        wait_resume(s->waiting[i], WEIR_NEXT);
}

static bool add_waiting(struct source *s, weir_token token)
{
    if (s->n_waiting == s->cap_waiting) {
        uint32_t cap = s->cap_waiting ? 2 * s->cap_waiting : 16;
        weir_token *bigger = realloc(s->waiting, cap * sizeof *bigger);
        if (!bigger)
            return false;
        s->waiting = bigger;
        s->cap_waiting = cap;
    }
    s->waiting[s->n_waiting++] = token;
    return true;
}

static void look_later(struct source *s)
{
    struct timeval tv = { 0, LOOK_MS * 1000 };
    event_add(s->look, &tv);
}

/* ---- what is there ---- */

static bool is_valid(const struct source *s, int64_t now)
{
    return s->token->n && s->token->expires_ms > now;
}

static bool is_due(const struct source *s, int64_t now)
{
    int64_t ahead = (s->token->expires_ms - s->token->obtained_ms) / 5;
    return s->token->expires_ms - (ahead < AHEAD_MS ? ahead : AHEAD_MS) <= now;
}

static void look(struct source *s)
{
    if (s->place >= 0 && token_read(s->place, s->provider->credentials_id, s->token) != 0)
        s->token->n = 0;
}

/* ---- obtaining ---- */

static void end_obtaining(struct source *s)
{
    struct obtaining *o = s->now;
    s->now = NULL;
    token_release(s->place);
    if (o)
        arena_free(o->call.arena);
    free(o);
}

static void take_token(struct source *s, const struct weir_token *t)
{
    int64_t now = unix_ms();
    memcpy(s->token->bytes, t->value.p, t->value.n);
    s->token->n = t->value.n;
    s->token->obtained_ms = now;
    s->token->expires_ms = now + (t->expires_s ? (int64_t)t->expires_s * 1000 : UNSAID_MS);
    s->backoff_ms = 0;
    s->failed_until_ms = 0;
    token_write(s->place, s->provider->credentials_id, s->token);
    LOG_INFO("credentials.obtained", "provider", s->provider->name, "plugin", s->inst.plugin->desc.name);
}

static void note_failure(struct source *s, struct weir_str why)
{
    snprintf(s->why, sizeof s->why, "%.*s", (int)(why.n < WHY_MAX ? why.n : WHY_MAX - 1), why.n ? why.p : "");
    s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : BACKOFF_MS;
    if (s->backoff_ms > BACKOFF_MAX_MS)
        s->backoff_ms = BACKOFF_MAX_MS;
    int64_t now = unix_ms();
    s->failed_until_ms = now + s->backoff_ms;
    if (is_valid(s, now) && s->token->expires_ms < s->failed_until_ms)
        s->failed_until_ms = s->token->expires_ms; /* then it is urgent */
    LOG_WARN("credentials.failed", "provider", s->provider->name, "plugin", s->inst.plugin->desc.name, "why", s->why);
}

void host_token(struct weir_call *c, const struct weir_token *t)
{
    struct obtaining *o = (struct obtaining *)(void *)c;
    struct source *s = o->source;
    if (s->now != o)
        return;
    bool is_good = t->value.n && t->value.n <= SHM_TOKEN && http_is_value(t->value);
    if (is_good)
        take_token(s, t);
    else
        note_failure(s, t->error.n ? t->error : WEIR_LIT("what came is no token that a header could carry"));
    end_obtaining(s);
    wake_all(s);
}

static void begin(struct source *s)
{
    struct scratch scratch = scratch_enter();
    struct obtaining *o = s->now = calloc(1, sizeof *o);
    struct arena *arena = arena_new();
    if (!o || !arena) {
        arena_free(arena);
        note_failure(s, WEIR_LIT("memory is short"));
        end_obtaining(s);
        scratch_leave(scratch);
        return;
    }
    o->source = s;
    o->call.arena = arena;
    o->call.running = &s->inst;
    s->began_ms = unix_ms();
    struct crumb before = crumb_enter(s->inst.plugin->index, CRUMB_OBTAIN, NULL, NULL);
    int rc = s->inst.plugin->credentials.obtain(s->inst.self, &o->call);
    crumb_leave(&before);
    scratch_leave(scratch);
    if (rc >= 0 || s->now != o)
        return;
    note_failure(s, WEIR_LIT("it could not be asked for"));
    end_obtaining(s);
    wake_all(s);
}

static void cancel(struct source *s)
{
    struct crumb before = crumb_enter(s->inst.plugin->index, CRUMB_OBTAIN, NULL, NULL);
    if (s->now && s->inst.plugin->credentials.cancel)
        s->inst.plugin->credentials.cancel(s->inst.self);
    crumb_leave(&before);
    if (s->now)
        end_obtaining(s);
}

static void try_to_obtain(struct source *s, int64_t now)
{
    if (s->now && now - s->began_ms > OBTAIN_MS) {
        cancel(s);
        note_failure(s, WEIR_LIT("the plugin did not answer within a minute"));
        wake_all(s);
    }
    if (!s->now && now >= s->failed_until_ms && token_lease(s->place, now, now + OBTAIN_MS))
        begin(s);
}

/* ---- while another worker obtains ---- */

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct source *s = arg;
    int64_t now = unix_ms();
    (void)fd, (void)what;
    look(s);
    if (!is_valid(s, now))
        try_to_obtain(s, now);
    if (is_valid(s, now) || now < s->failed_until_ms)
        wake_all(s);
    else if (s->n_waiting)
        look_later(s);
}

/* ---- for attempts ---- */

static enum token_state refuse(struct attempt *a, const struct source *s)
{
    a->call.error = (struct weir_error){ .size = sizeof(struct weir_error), .error_class = WEIR_ERROR_CONNECT };
    a->call.error.code = WEIR_LIT("upstream_token");
    a->call.error.message =
        arena_printf(a->arena, "The provider \"%s\" can't be called: its access token can't be obtained: %s",
                     s->provider->name, s->why[0] ? s->why : "no answer in time");
    return TOKEN_NONE;
}

static void waited(struct weir_call *c, enum weir_verdict verdict)
{
    c->attempt->was_token_awaited = verdict == WEIR_SKIP;
    attempt_after_attempt(c->attempt, WEIR_NEXT);
}

static enum token_state wait_for_it(struct attempt *a, struct source *s)
{
    weir_token token = wait_core(&a->call, "the provider's access token", monotonic_us() + (int64_t)WAIT_MS * 1000,
                                 waited, NULL, NULL);
    if (!token || !add_waiting(s, token))
        return refuse(a, s);
    if (!s->now)
        look_later(s);
    return TOKEN_WAITS;
}

enum token_state token_get(struct attempt *a)
{
    struct source *s = source_of(a->provider);
    int64_t now = unix_ms();
    if (!s)
        return TOKEN_HAS;
    look(s);
    if (!is_valid(s, now) || is_due(s, now))
        try_to_obtain(s, now);
    if (!is_valid(s, now) && (now < s->failed_until_ms || a->was_token_awaited))
        return refuse(a, s);
    if (!is_valid(s, now))
        return wait_for_it(a, s);
    a->token = arena_copy(a->arena, (struct weir_str){ s->token->bytes, s->token->n });
    a->token_check = s->token->check;
    return TOKEN_HAS;
}

void token_refused(const struct attempt *a)
{
    struct source *s = source_of(a->provider);
    if (!s || !a->token.n || !s->token->n || unix_ms() - s->token->obtained_ms < YOUNG_MS)
        return;
    if (!weir_eq(a->token, (struct weir_str){ s->token->bytes, s->token->n }))
        return;
    token_reject(s->place, a->token_check);
    s->token->n = 0;
    LOG_WARN("credentials.refused", "provider", s->provider->name, "plugin", s->inst.plugin->desc.name);
}

/* ---- life ---- */

static int start(struct source *s, const struct config_provider *p)
{
    s->provider = p;
    s->inst.plugin = p->credentials;
    s->place = token_place(p->credentials_id);
    s->token = calloc(1, sizeof *s->token);
    s->look = evtimer_new(worker->base, on_look, s);
    if (!s->token || !s->look)
        return -1;
    struct crumb before = crumb_enter(p->credentials->index, CRUMB_CREATE, NULL, NULL);
    int rc = p->credentials->credentials.create(&host_table, &s->inst, p->credentials_config, &s->inst.self);
    crumb_leave(&before);
    return rc;
}

int tokens_start(struct worker *w, char *why, size_t n)
{
    n_sources = w->config->n_providers;
    sources = calloc(n_sources + 1, sizeof *sources);
    for (uint32_t i = 0; sources && i < n_sources; i++) {
        const struct config_provider *p = w->config->providers[i];
        if (!p->credentials || p->unavailable || start(&sources[p->index], p) >= 0)
            continue;
        snprintf(why, n, "%s:%u: the credentials of \"%s\" could not be made (their own message is in the log)",
                 p->place.file, p->place.line, p->name);
        return -1;
    }
    return sources ? 0 : -1;
}

void tokens_stop(void)
{
    for (uint32_t i = 0; sources && i < n_sources; i++) {
        struct source *s = &sources[i];
        if (s->now)
            cancel(s);
        if (s->inst.self && s->inst.plugin->credentials.destroy)
            s->inst.plugin->credentials.destroy(s->inst.self);
        if (s->look)
            event_free(s->look);
        free(s->token);
        free(s->waiting);
    }
    free(sources);
    sources = NULL;
    n_sources = 0;
}
