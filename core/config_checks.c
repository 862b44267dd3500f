/* What must fit together: routes and the stages that protect them, listeners and who may come in through them,
 * time-outs. */
#include <stdio.h>
#include <stdlib.h>

#include "config_read.h"

/* ---- protection ---- */

static bool sets_principal(struct config_stage *const *stages, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (stages[i]->plugin->stage.flags & WEIR_STAGE_SETS_PRINCIPAL)
            return true;
    return false;
}

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "unix:", 5) == 0 || strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]:", 6) == 0 ||
           strncmp(listen, "localhost:", 10) == 0;
}

static const char *public_listener(const struct config *c)
{
    for (const char *const *l = c->listen; l && *l; l++)
        if (!is_loopback(*l))
            return *l;
    return NULL;
}

static void check_protection(struct reader *r)
{
    const struct config *c = r->c;
    const char *listener = public_listener(c);
    bool is_entry_safe = sets_principal(c->entry, c->n_entry), has_auth = is_entry_safe;
    for (uint32_t i = 0; i < c->n_routes; i++) {
        const struct config_route *route = c->routes[i];
        bool is_safe = is_entry_safe || sets_principal(route->stages, route->n_stages);
        has_auth = has_auth || is_safe;
        if (listener && !is_safe && !route->is_open)
            mistake_at(
                r, route->place, false,
                "the route \"%s\" is open to everybody who reaches %s: put `auth` into `entry` or into its pipeline, "
                "listen on 127.0.0.1 only, or write `open: true`",
                route->name, listener);
    }
    if (listener && has_auth && c->n_keys == 0)
        warning(r, tree_get(r->root, "listen"),
                "weir listens on %s, but no `keys` are configured: only callers on this machine are answered "
                "(`weir key new` makes a key)",
                listener);
}

/* ---- matches ---- */

static void check_caller(struct reader *r, const struct config_route *route)
{
    const struct config *c = r->c;
    const char *what = route->match.key ? "key" : "team",
               *name = route->match.key ? route->match.key : route->match.team;
    struct suggestion near;
    bool is_known = false;
    if (!name)
        return;
    if (!sets_principal(c->entry, c->n_entry)) {
        mistake_at(
            r, route->place, false,
            "the route \"%s\" matches on a %s, but no stage of `entry` finds out who calls: add `auth` to `entry`",
            route->name, what);
        return;
    }
    suggestion_begin(&near, name);
    for (uint32_t i = 0; i < c->n_keys; i++) {
        struct weir_str other = route->match.key ? c->keys[i].name : c->keys[i].team;
        is_known = is_known || config_matches(name, other);
        suggestion_offer(&near, other.p);
    }
    if (!is_known && c->n_keys)
        mistake_at(r, route->place, true, "the route \"%s\": no key has the %s \"%s\"%s", route->name, what, name,
                   suggestion_text(r, &near));
}

/* Does a match everything that b matches? NULL is anything. */
static bool covers(const char *a, const char *b)
{
    size_t n = a ? strlen(a) : 0;
    if (!a)
        return true;
    if (!b)
        return n == 1 && a[0] == '*';
    if (n && a[n - 1] == '*')
        return strncmp(a, b, n - 1) == 0;
    return strcmp(a, b) == 0;
}

static bool route_covers(const struct config_match *a, const struct config_match *b)
{
    bool covers_header =
        !a->header || (b->header && strcmp(a->header, b->header) == 0 && covers(a->header_value, b->header_value));
    return covers_header && covers(a->path, b->path) && covers(a->method, b->method) && covers(a->key, b->key) &&
           covers(a->team, b->team) && covers(a->model, b->model);
}

static void check_reachable(struct reader *r, uint32_t index)
{
    const struct config_route *route = r->c->routes[index];
    for (uint32_t i = 0; i < index; i++) {
        const struct config_route *before = r->c->routes[i];
        bool leaves_unclaimed = route->n_raw && !before->n_raw; /* to the raw one: what no dialect claims */
        if (leaves_unclaimed || !route_covers(&before->match, &route->match))
            continue;
        mistake_at(r, route->place, false,
                   "the route \"%s\" can never match: all of its requests match the route at %s:%u first; put it "
                   "before that one",
                   route->name, before->place.file, before->place.line);
        return;
    }
}

/* ---- time-outs ---- */

static void check_timeouts(struct reader *r, const struct config_timeouts *own, struct config_place place,
                           const char *what, const char *name)
{
    static const char *const names[] = { "connect", "first_token", "idle", "total" };
    for (int i = 0; i < WEIR_TIMEOUTS; i++) {
        uint32_t whole = r->c->timeouts.ms[i];
        if (own->ms[i] != CONFIG_UNSET && whole && (own->ms[i] == 0 || own->ms[i] > whole))
            mistake_at(r, place, true,
                       "%s \"%s\": its time-out `%s` has no effect: the smallest wins, and the global one is %u ms; "
                       "raise `timeouts: { %s: … }` at the top level",
                       what, name, names[i], whole, names[i]);
    }
}

static void check_all_timeouts(struct reader *r)
{
    const struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_providers; i++)
        check_timeouts(r, &c->providers[i]->timeouts, c->providers[i]->place, "provider", c->providers[i]->name);
    for (uint32_t i = 0; i < c->n_models; i++)
        check_timeouts(r, &c->models[i]->timeouts, c->models[i]->place, "model", c->models[i]->name);
    for (uint32_t i = 0; i < c->n_routes; i++)
        check_timeouts(r, &c->routes[i]->timeouts, c->routes[i]->place, "route", c->routes[i]->name);
}

/* ---- */

static void check_presence(struct reader *r)
{
    const struct tree_node *providers = tree_get(r->root, "providers"), *routes = tree_get(r->root, "routes");
    if (!providers || tree_is_null(providers) || (providers->type == TREE_MAP && providers->n == 0))
        mistake(r, r->root,
                "there are no providers: add `providers: { demo: { dialect: simulator } }` for a first one");
    if (!routes || tree_is_null(routes) || (routes->type == TREE_LIST && routes->n == 0))
        mistake(r, r->root,
                "there are no routes, so every request would get 404: add `routes: [{ match: { path: /v1/* }, "
                "pipeline: [] }]`");
}

static void check_sizes(struct reader *r)
{
    const struct edge_limits *l = &r->c->limits;
    const struct tree_node *at = tree_get(r->root, "limits");
    if (l->low_water >= l->high_water)
        mistake(r, at, "limits: low_water must be smaller than high_water");
    if (l->body_memory < l->body_bytes)
        mistake(r, at, "limits: body_memory (all bodies of a worker) is smaller than body (one of them)");
}

/* Who is to be asked for its models must have a list that can be asked for. */
static void check_lists(struct reader *r)
{
    for (uint32_t i = 0; i < r->c->n_providers; i++) {
        const struct config_provider *p = r->c->providers[i];
        if (!p->list_every_ms || !p->codec)
            continue;
        if (!p->codec->codec.model_source)
            mistake_at(r, p->place, false, "%s: list_models: the dialect %s has no list of models that can be asked for", p->name,
                       p->codec->desc.name);
        else if (p->credentials)
            mistake_at(r, p->place, false, "%s: list_models: the list can be asked for with a key, not with tokens of %s", p->name,
                       p->credentials->desc.name);
    }
}

void checks_run(struct reader *r)
{
    check_presence(r);
    check_sizes(r);
    check_lists(r);
    check_protection(r);
    for (uint32_t i = 0; i < r->c->n_routes; i++) {
        check_caller(r, r->c->routes[i]);
        check_reachable(r, i);
    }
    check_all_timeouts(r);
}
