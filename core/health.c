/* Active health checks; see health.h.
 *
 * When a provider is to be looked at next stands in shared memory: every worker's timer comes by twice in each interval, and whoever
 * finds it due takes the turn. A worker that dies meanwhile owes nothing: the next turn is another's. What is asked carries no
 * credential; any answer below 500 is well, since a server that refuses us is there. Failures in a row are counted in shared
 * memory; from a number on candidates.c passes the provider by, until one check is well. Then its open breakers may probe at once.
 *
 * Who owns what: this file its checks, a check its timers and the call that is underway.
 */
#include "health.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "breaker.h"
#include "clock.h"
#include "log.h"
#include "pipeline.h"

struct check {
    const struct config_provider *provider;
    int id; /* in shared memory */
    char *url;
    struct event *turn, *patience;
    struct egress_call *call;
    int status;
};

static struct check *checks;
static uint32_t n_checks;

bool health_is_down(const struct config_provider *p)
{
    return p->health.path && provider_check_failures(admission_provider(p)) >= p->health.failures;
}

/* ---- what an answer means ---- */

/* Targets whose breaker is open are probed by the next request: whether the model answers only a request can tell. */
static void let_probe(const struct config_provider *p)
{
    size_t n = strlen(p->name);
    for (int id = 0; target_name(id); id++)
        if (strncmp(target_name(id), p->name, n) == 0 && target_name(id)[n] == '/')
            breaker_admit_soon(target_breaker(id), monotonic_us() / 1000);
}

static void settle(struct check *c, const char *why)
{
    const struct config_provider *p = c->provider;
    uint32_t before = provider_check_failures(c->id), now = provider_check_told(c->id, why == NULL);
    c->call = NULL;
    event_del(c->patience);
    if (!why)
        let_probe(p);
    if (!why && before >= p->health.failures)
        LOG_WARN("provider.up", "provider", p->name, "url", c->url);
    else if (why && before < p->health.failures && now >= p->health.failures)
        LOG_WARN("provider.down", "provider", p->name, "url", c->url, "why", why);
}

static void on_head(void *arg, int status, const struct http_header *headers, uint32_t n)
{
    (void)headers, (void)n;
    ((struct check *)arg)->status = status;
}

static void on_body(void *arg, struct weir_str bytes)
{
    (void)arg, (void)bytes;
}

static void on_end(void *arg, enum egress_result result, const char *message)
{
    struct check *c = arg;
    char why[64];
    snprintf(why, sizeof(why), "it answered %d", c->status);
    if (result != EGRESS_OK && !c->status)
        settle(c, message);
    else
        settle(c, c->status >= 500 ? why : NULL);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct check *c = arg;
    if (!c->call)
        return;
    egress_cancel(c->call);
    settle(c, c->status && c->status < 500 ? NULL : "it did not answer in time");
}

/* ---- asking ---- */

static void ask(struct check *c)
{
    static const struct egress_ops ops = { on_head, on_body, on_end, NULL };
    const struct config_provider *p = c->provider;
    struct egress_request r = { .origin = &p->origin, .method = "GET", .url = c->url, .connect_ms = p->health.timeout_ms };
    struct timeval tv = clock_timer(p->health.timeout_ms);
    c->status = 0;
    c->call = egress_start(worker->egress, &r, &ops, c);
    if (c->call)
        event_add(c->patience, &tv);
}

/* Half an interval, more or less by a tenth, so that workers don't come by together. */
static void arm(struct check *c)
{
    uint32_t half = c->provider->health.every_ms / 2 + 1, tenth = half / 10 + 1;
    uint32_t ms = half - tenth + (uint32_t)(monotonic_us() % (2 * tenth));
    struct timeval tv = clock_timer(ms);
    event_add(c->turn, &tv);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct check *c = arg;
    if (!c->call && provider_check_turn(c->id, c->provider->health.every_ms, monotonic_us() / 1000))
        ask(c);
    arm(c);
}

/* ---- the worker ---- */

/* The path is the server's, from its root: "/health" stands beside "/v1", not under it. */
static char *url_of(const struct config_provider *p)
{
    const char *host = strstr(p->base_url, "://");
    size_t n = host ? (size_t)(host + 3 - p->base_url) + strcspn(host + 3, "/?#") : 0, room = n + strlen(p->health.path) + 1;
    char *url = n ? malloc(room) : NULL;
    if (url)
        snprintf(url, room, "%.*s%s", (int)n, p->base_url, p->health.path);
    return url;
}

static int begin(struct check *c, const struct config_provider *p, struct event_base *base)
{
    *c = (struct check){ .provider = p, .id = admission_provider(p), .url = url_of(p) };
    c->turn = event_new(base, -1, 0, on_turn, c);
    c->patience = event_new(base, -1, 0, on_patience, c);
    if (!c->url || !c->turn || !c->patience)
        return -1;
    on_turn(-1, 0, c);
    return 0;
}

int health_start(struct worker *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->config->n_providers; i++)
        n += w->config->providers[i]->health.path != NULL;
    checks = n ? calloc(n, sizeof(*checks)) : NULL;
    for (uint32_t i = 0; checks && i < w->config->n_providers; i++)
        if (w->config->providers[i]->health.path && begin(&checks[n_checks++], w->config->providers[i], w->base) < 0)
            return -1;
    return n && !checks ? -1 : 0;
}

void health_stop(void)
{
    for (uint32_t i = 0; i < n_checks; i++) {
        struct check *c = &checks[i];
        if (c->call)
            egress_cancel(c->call);
        if (c->turn)
            event_free(c->turn);
        if (c->patience)
            event_free(c->patience);
        free(c->url);
    }
    free(checks);
    checks = NULL;
    n_checks = 0;
}
