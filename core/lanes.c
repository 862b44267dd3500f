/* Stage instances and lanes. One instance per use of a stage in the configuration and worker; one lane for `entry` alone and
 * one per route; one codec instance per codec plugin. All of it lives as long as the worker.
 */
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "pipeline.h"

static struct arena *arena;
static struct weir_instance *stages; /* by config_stage.index */
static struct lane entry_lane, *route_lanes;
static struct weir_instance **codecs; /* by plugin.index */
static const char **base_urls; /* by provider.index */
static uint32_t n_stages, n_codecs;

static int make_stage(struct weir_instance *s, const struct config_stage *use, char *why, size_t n)
{
    s->plugin = use->plugin;
    s->use = use;
    s->is_failing_open = use->skips_quarantine && !(use->plugin->stage.flags & WEIR_STAGE_GUARD);
    if (!use->plugin->stage.create)
        return 0;
    struct crumb before = crumb_enter(use->plugin->index, CRUMB_CREATE, NULL, NULL);
    int rc = use->plugin->stage.create(&host_table, s, use->config, &s->self);
    crumb_leave(&before);
    if (rc < 0)
        snprintf(why, n, "%s:%u: the stage \"%s\" could not be made (its own message is in the log)", use->place.file,
                 use->place.line, use->plugin->desc.name);
    return rc;
}

static bool has_hook(const struct weir_stage_ops *ops, enum hook hook)
{
    switch (hook) {
    case HOOK_OPEN:
        return ops->on_open;
    case HOOK_REQUEST:
        return ops->on_request;
    case HOOK_FAILURE:
        return ops->on_failure;
    case HOOK_ATTEMPT:
        return ops->on_attempt;
    case HOOK_HEAD:
        return ops->on_head;
    case HOOK_EVENT:
        return ops->on_event;
    case HOOK_ATTEMPT_DONE:
        return ops->on_attempt_done;
    default:
        return ops->on_finish;
    }
}

static size_t aligned(uint32_t n)
{
    return ((size_t)n + 15) & ~(size_t)15;
}

static void lay_out_blocks(struct lane *lane)
{
    size_t at = 0, attempt_at = 0;
    for (uint32_t i = 0; i < lane->n; i++) {
        const struct weir_stage_ops *ops = &lane->stages[i]->plugin->stage;
        if (i == lane->n_entry)
            at = 0; /* the route's blocks are an allocation of their own */
        lane->request_offset[i] = at;
        lane->attempt_offset[i] = attempt_at;
        at += aligned(ops->request_size);
        attempt_at += aligned(ops->attempt_size);
        *(i < lane->n_entry ? &lane->entry_bytes : &lane->route_bytes) = at;
    }
    lane->attempt_bytes = attempt_at;
}

static void fill_slots(struct lane *lane)
{
    for (int hook = 0; hook < HOOKS; hook++) {
        lane->slots[hook] = arena_alloc(arena, lane->n + 1);
        for (uint32_t i = 0; i < lane->n; i++)
            if (has_hook(&lane->stages[i]->plugin->stage, (enum hook)hook))
                lane->slots[hook][lane->n_slots[hook]++] = (uint8_t)i;
    }
}

static void compile(struct lane *lane, const struct config *c, const struct config_route *route)
{
    lane->n_entry = c->n_entry;
    lane->n = c->n_entry + (route ? route->n_stages : 0);
    lane->stages = arena_zalloc(arena, (lane->n + 1) * sizeof(*lane->stages));
    lane->request_offset = arena_zalloc(arena, (lane->n + 1) * sizeof(size_t));
    lane->attempt_offset = arena_zalloc(arena, (lane->n + 1) * sizeof(size_t));
    for (uint32_t i = 0; i < lane->n; i++)
        lane->stages[i] = &stages[i < c->n_entry ? c->entry[i]->index : route->stages[i - c->n_entry]->index];
    lay_out_blocks(lane);
    fill_slots(lane);
}

static int make_codecs(char *why, size_t n)
{
    for (struct plugin *p = plugin_first(); p; p = p->next)
        if (p->index >= n_codecs)
            n_codecs = p->index + 1;
    codecs = arena_zalloc(arena, (n_codecs + 1) * sizeof(*codecs));
    for (struct plugin *p = plugin_first(); p; p = p->next) {
        if (p->desc.head.kind != WEIR_KIND_CODEC)
            continue;
        struct weir_instance *s = codecs[p->index] = arena_zalloc(arena, sizeof(*s));
        s->plugin = p;
        struct crumb before = crumb_enter(p->index, CRUMB_CREATE, NULL, NULL);
        int rc = p->codec.create ? p->codec.create(&host_table, s, &s->self) : 0;
        crumb_leave(&before);
        if (rc < 0) {
            snprintf(why, n, "the codec \"%s\" could not be made (its own message is in the log)", p->desc.name);
            return -1;
        }
    }
    return 0;
}

static void find_base_urls(const struct config *c)
{
    base_urls = arena_zalloc(arena, (c->n_providers + 1) * sizeof(*base_urls));
    for (uint32_t i = 0; i < c->n_providers; i++) {
        const struct config_provider *p = c->providers[i];
        struct weir_instance *s = codecs[p->plugin->index];
        const char *url = p->base_url && *p->base_url ? p->base_url : NULL;
        if (!url && p->plugin->codec.endpoint) {
            struct crumb before = crumb_enter(p->plugin->index, CRUMB_ENDPOINT, NULL, NULL);
            url = p->plugin->codec.endpoint(s->self, p->entry);
            crumb_leave(&before);
        }
        base_urls[p->index] = url ? url : p->codec->codec.base_url ? p->codec->codec.base_url : "";
    }
}

int lanes_start(struct worker *w, char *why, size_t n)
{
    const struct config *c = w->config;
    arena = arena_new();
    n_stages = c->n_stages;
    stages = arena_zalloc(arena, (n_stages + 1) * sizeof(*stages));
    for (uint32_t i = 0; i < n_stages; i++)
        if (make_stage(&stages[i], c->stages[i], why, n) < 0)
            return -1;
    if (make_codecs(why, n) < 0)
        return -1;
    find_base_urls(c);
    compile(&entry_lane, c, NULL);
    route_lanes = arena_zalloc(arena, (c->n_routes + 1) * sizeof(*route_lanes));
    for (uint32_t i = 0; i < c->n_routes; i++)
        compile(&route_lanes[i], c, c->routes[i]);
    return 0;
}

void lanes_stop(void)
{
    for (uint32_t i = 0; i < n_stages; i++)
        if (stages[i].self && stages[i].plugin->stage.destroy)
            stages[i].plugin->stage.destroy(stages[i].self);
    for (uint32_t i = 0; i < n_codecs; i++)
        if (codecs[i] && codecs[i]->self && codecs[i]->plugin->codec.destroy)
            codecs[i]->plugin->codec.destroy(codecs[i]->self);
    arena_free(arena);
    arena = NULL;
    stages = NULL;
    n_stages = n_codecs = 0;
}

const struct lane *lane_entry(void)
{
    return &entry_lane;
}

const struct lane *lane_of_route(const struct config_route *route)
{
    return &route_lanes[route->index];
}

struct weir_instance *codec_instance(const struct plugin *p)
{
    return p && p->index < n_codecs ? codecs[p->index] : NULL;
}

const char *provider_base_url(const struct config_provider *p)
{
    return base_urls[p->index];
}

const struct weir_token_rates *provider_tokens(const struct config_provider *p, struct weir_str model)
{
    const struct weir_codec *codec = &p->codec->codec;
    const struct weir_instance *instance = codec->tokens_of ? codec_instance(p->codec) : NULL;
    const struct weir_token_rates *rates = NULL;
    if (instance)
        rates = codec->tokens_of(instance->self, model, weir_cstr(provider_base_url(p)));
    return rates ? rates : codec->tokens;
}

/* ---- the stages' blocks ---- */

int lane_give_blocks(struct request *r, bool is_route)
{
    size_t n = is_route ? r->lane->route_bytes : r->lane->entry_bytes;
    void *p = arena_zalloc(r->arena, n + 16);
    *(is_route ? &r->route_blocks : &r->entry_blocks) = p;
    uint32_t *us = is_route ? arena_zalloc(r->arena, (r->lane->n + 1) * sizeof(*us)) : NULL;
    if (us && r->stage_us)
        memcpy(us, r->stage_us, r->lane->n_entry * sizeof(*us));
    if (!is_route)
        us = arena_zalloc(r->arena, (r->lane->n_entry + 1) * sizeof(*us));
    r->stage_us = us;
    return p && us ? 0 : -1;
}

int lane_give_attempt_blocks(struct attempt *a)
{
    a->blocks = arena_zalloc(a->arena, a->call.request->lane->attempt_bytes + 16);
    return a->blocks ? 0 : -1;
}

void *stage_request_block(const struct request *r, uint32_t index)
{
    char *base = index < r->lane->n_entry ? r->entry_blocks : r->route_blocks;
    return base ? base + r->lane->request_offset[index] : NULL;
}

void *stage_attempt_block(const struct attempt *a, uint32_t index)
{
    return a->blocks ? (char *)a->blocks + a->call.request->lane->attempt_offset[index] : NULL;
}
