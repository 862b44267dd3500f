/* Front doors: the health probes, which dialect a request speaks, where its key is, which route it takes. Reads heads, owns nothing.
 */
#include "pipeline.h"

#include <strings.h>

/* ---- dialect, credential ---- */

static bool claim_matches_path(const struct weir_claim *c, struct weir_str path)
{
    return config_matches(c->path, path) && (c->path[strlen(c->path) - 1] != '*' || path.n >= strlen(c->path));
}

static const struct weir_claim *claim_in(const struct plugin *p, const struct http_head *head, struct weir_str method,
                                         struct weir_str path, bool needs_header, bool *other_method)
{
    const struct weir_claim *c = p->codec.claims;
    for (; c && c->method; c++) {
        if (!!c->header != needs_header || !claim_matches_path(c, path))
            continue;
        if (c->header && !http_find(head->headers, head->n_headers, c->header).p)
            continue;
        if (weir_is(method, c->method))
            return c;
        *other_method = true;
    }
    return NULL;
}

/* Claims that ask for a header are more special and come first. */
static const struct weir_claim *find_claim(const struct http_head *head, struct weir_str method, struct weir_str path,
                                           struct plugin **owner, bool *other_method)
{
    for (int with_header = 1; with_header >= 0; with_header--)
        for (struct plugin *p = plugin_first(); p; p = p->next) {
            if (p->desc.head.kind != WEIR_KIND_CODEC)
                continue;
            const struct weir_claim *c = claim_in(p, head, method, path, with_header, other_method);
            *owner = p;
            if (c)
                return c;
        }
    *owner = NULL;
    return NULL;
}

const struct weir_claim *door_find(const struct http_head *head, struct plugin **owner, bool *other_method)
{
    return find_claim(head, head->method, head->path, owner, other_method);
}

/* Nobody claims the path: the error is said in the dialect that would list the models for such a head. */
struct plugin *door_guess(const struct http_head *head)
{
    struct plugin *owner;
    bool other_method;
    find_claim(head, WEIR_LIT("GET"), WEIR_LIT("/v1/models"), &owner, &other_method);
    return owner;
}

/* The value of a query parameter, still encoded; the whole "name=value" in *whole. */
static struct weir_str query_value(struct weir_str query, const char *name, struct weir_str *whole)
{
    size_t n = strlen(name), at = 0;
    while (at < query.n) {
        const char *amp = memchr(query.p + at, '&', query.n - at);
        size_t end = amp ? (size_t)(amp - query.p) : query.n;
        if (end - at > n && memcmp(query.p + at, name, n) == 0 && query.p[at + n] == '=') {
            *whole = (struct weir_str){ query.p + at, end - at };
            return (struct weir_str){ query.p + at + n + 1, end - at - n - 1 };
        }
        at = end + 1;
    }
    return WEIR_NONE;
}

static void take_credential(struct request *r, struct weir_str value)
{
    if (!value.n)
        return;
    if (r->credential.n && !weir_eq(r->credential, value))
        r->view.flags |= WEIR_REQUEST_CREDENTIAL_CONFLICT;
    r->credential = value;
}

static void remove_from_query(struct request *r, struct weir_str whole)
{
    struct weir_str q = r->view.query;
    size_t before = (size_t)(whole.p - q.p), after = before + whole.n;
    after += after < q.n;
    before -= after >= q.n && before > 0 && after - before > whole.n - 1 && q.p[before - 1] == '&';
    r->view.query = arena_printf(r->arena, "%.*s%.*s", (int)before, q.p, (int)(q.n - after), q.p + after);
}

static bool has_prefix_nocase(struct weir_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && strncasecmp(s.p, prefix, n) == 0;
}

void door_credential(struct request *r, const struct http_head *head, const struct plugin *p)
{
    const struct weir_credential_place *place = p ? p->codec.credentials : NULL;
    for (; place && (place->header || place->query); place++) {
        struct weir_str whole = WEIR_NONE, v;
        if (place->header) {
            v = http_find(head->headers, head->n_headers, place->header);
            const char *prefix = place->prefix ? place->prefix : "";
            if (v.p && has_prefix_nocase(v, prefix))
                take_credential(r, (struct weir_str){ v.p + strlen(prefix), v.n - strlen(prefix) });
        } else if ((v = query_value(r->view.query, place->query, &whole)).p) {
            take_credential(r, v);
            remove_from_query(r, whole);
        }
    }
}

/* ---- the route ---- */

static bool matches_or_unset(const char *pattern, struct weir_str s)
{
    return !pattern || config_matches(pattern, s);
}

static bool matches_head(struct request *r, const struct config_match *m)
{
    if (m->header) {
        struct weir_str v = http_find(r->head->headers, r->head->n_headers, m->header);
        if (!v.p || (m->header_value && !config_matches(m->header_value, v)))
            return false;
    }
    return matches_or_unset(m->path, r->view.path) && (!m->method || weir_is(r->view.method, m->method)) &&
           matches_or_unset(m->key, r->principal.name) && matches_or_unset(m->team, r->principal.team);
}

int door_route(struct request *r)
{
    for (uint32_t i = 0; i < worker->config->n_routes; i++) {
        const struct config_route *route = worker->config->routes[i];
        if (!matches_head(r, &route->match))
            continue;
        if (route->match.model && !r->conversation && r->view.operation == WEIR_OP_CHAT)
            return 0;
        if (route->match.model && (!r->conversation || !config_matches(route->match.model, candidates_asked(r))))
            continue;
        r->route = route;
        r->lane = lane_of_route(route);
        r->view.route = weir_cstr(route->name);
        if (route->is_open)
            r->view.flags |= WEIR_REQUEST_ROUTE_OPEN;
        if (lane_give_blocks(r, true) < 0)
            return -1;
        return 1;
    }
    return -1;
}

/* ---- probes ---- */

static void probe(struct exchange *x, bool is_ready)
{
    struct weir_str body = is_ready ? WEIR_LIT("{\"status\":\"ok\"}\n") : WEIR_LIT("{\"status\":\"draining\"}\n");
    struct http_header type = { WEIR_LIT("content-type"), WEIR_LIT("application/json") };
    exchange_start(x, is_ready ? 200 : 503, &type, 1, (int64_t)body.n);
    exchange_write(x, &body, 1);
    exchange_end(x);
}

bool door_probe(struct exchange *x, const struct http_head *head)
{
    bool is_health = weir_is(head->path, "/healthz"), is_ready = weir_is(head->path, "/readyz");
    if (!(is_health || is_ready) || !(weir_is(head->method, "GET") || weir_is(head->method, "HEAD")))
        return false;
    probe(x, is_health || shm_is_serving());
    return true;
}
