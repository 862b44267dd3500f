/* Front doors: the health probes, which dialect a request speaks, where its key is, which route it takes. Reads heads; owns the
 * table of doors, which is made once per worker from the claims of all codecs.
 *
 * Every claim stands at its codec's prefix ("/openai/v1/chat/completions") and, unless it says otherwise, at the root, where a
 * plugin of the configuration takes no place from one that lies beside the program. A path's first segment chooses a short list
 * of doors, the longest claim first: the first door of it that fits is the one.
 */
#include "pipeline.h"

#include <strings.h>

/* ---- the table ---- */

struct door {
    struct door *next; /* in its list */
    struct plugin *owner;
    const struct weir_claim *claim;
    struct weir_str before, after; /* the path around its star; without a star all of it is `before` */
    bool has_star;
};

enum { LISTS = 64 };

static struct arena *arena;
static struct door *lists[LISTS];

static bool begins(struct weir_str s, struct weir_str with)
{
    return s.n >= with.n && memcmp(s.p, with.p, with.n) == 0;
}

/* "/v1" of "/v1/models": chooses the list. */
static struct weir_str first_segment(struct weir_str path)
{
    const char *end = path.n > 1 ? memchr(path.p + 1, '/', path.n - 1) : NULL;
    return (struct weir_str){ path.p, end ? (size_t)(end - path.p) : path.n };
}

static uint32_t list_of(struct weir_str path)
{
    struct weir_str s = first_segment(path);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < s.n && i < 16; i++)
        hash = (hash ^ (uint8_t)s.p[i]) * 16777619u;
    return (hash ^ hash >> 16) % LISTS;
}

/* Longer claims come first, of those that are as long the ones that ask for a header. */
static bool stands_before(const struct door *a, const struct door *b)
{
    size_t n_a = a->before.n + a->after.n, n_b = b->before.n + b->after.n;
    return n_a != n_b ? n_a > n_b : a->claim->header && !b->claim->header;
}

static void put_into(struct door **at, const struct door *d)
{
    struct door *copy = arena_alloc(arena, sizeof(*copy));
    if (!copy)
        return;
    *copy = *d;
    while (*at && !stands_before(copy, *at))
        at = &(*at)->next;
    copy->next = *at;
    *at = copy;
}

static bool is_same_claim(const struct door *a, const struct door *b)
{
    const char *x = a->claim->header, *y = b->claim->header;
    return a->has_star == b->has_star && weir_eq(a->before, b->before) && weir_eq(a->after, b->after) &&
           strcmp(a->claim->method, b->claim->method) == 0 && (x && y ? strcasecmp(x, y) == 0 : x == y);
}

static bool is_taken(const struct door *d)
{
    for (const struct door *other = lists[list_of(d->before)]; other; other = other->next)
        if (is_same_claim(other, d))
            return true;
    return false;
}

static void add_door(struct plugin *owner, const struct weir_claim *claim, struct weir_str path)
{
    struct door d = { .owner = owner, .claim = claim, .before = path };
    const char *star = memchr(path.p, '*', path.n);
    if (star) {
        d.has_star = true;
        d.before.n = (size_t)(star - path.p);
        d.after = (struct weir_str){ star + 1, path.n - d.before.n - 1 };
    }
    if (is_taken(&d))
        return;
    bool is_in_first = first_segment(d.before).n == d.before.n && star;
    for (uint32_t i = 0; i < LISTS; i++)
        if (is_in_first || i == list_of(path))
            put_into(&lists[i], &d);
}

static struct weir_str prefix_of(const struct plugin *p)
{
    struct weir_str prefix = p->codec.prefix ? weir_cstr(p->codec.prefix)
                                             : arena_printf(arena, "/%s", p->desc.name);
    while (prefix.n && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    return prefix;
}

static void add_claims(struct plugin *p)
{
    struct weir_str prefix = prefix_of(p);
    for (const struct weir_claim *c = p->codec.claims; c && c->method; c++) {
        if (prefix.n)
            add_door(p, c, arena_printf(arena, "%.*s%s", (int)prefix.n, prefix.p, c->path));
        if (!(c->reserved & WEIR_CLAIM_PREFIXED))
            add_door(p, c, weir_cstr(c->path));
    }
}

int doors_start(void)
{
    uint32_t n = 0;
    arena = arena_new();
    memset(lists, 0, sizeof(lists));
    for (struct plugin *p = plugin_first(); p; p = p->next)
        n = p->index > n ? p->index : n;
    for (uint32_t i = n; arena && i > 0; i--) {
        struct plugin *p = plugin_by_index(i); /* those beside the program were opened last and come first */
        if (p && p->desc.head.kind == WEIR_KIND_CODEC)
            add_claims(p);
    }
    return arena && !arena_failed(arena) ? 0 : -1;
}

void doors_stop(void)
{
    arena_free(arena);
    arena = NULL;
}

/* ---- dialect ---- */

static bool fits(const struct door *d, struct weir_str path, struct weir_str *star)
{
    size_t fixed = d->before.n + d->after.n;
    if (d->has_star ? path.n <= fixed : path.n != fixed)
        return false;
    *star = (struct weir_str){ path.p + d->before.n, path.n - fixed };
    return begins(path, d->before) && memcmp(path.p + path.n - d->after.n, d->after.p ? d->after.p : "", d->after.n) == 0;
}

static struct door_found find(const struct http_head *head, struct weir_str method, struct weir_str path)
{
    struct door_found found = { NULL, NULL, WEIR_NONE, false };
    struct weir_str star;
    for (const struct door *d = lists[list_of(path)]; d; d = d->next) {
        if (!fits(d, path, &star))
            continue;
        if (d->claim->header && !http_find(head->headers, head->n_headers, d->claim->header).p)
            continue;
        if (weir_is(method, d->claim->method))
            return (struct door_found){ d->claim, d->owner, star, false };
        if (!found.owner)
            found = (struct door_found){ NULL, d->owner, WEIR_NONE, true };
    }
    return found;
}

/* Nobody claims the path: an error is said in the dialect whose prefix it begins with, else in the one that would list the
 * models for such a head. */
static struct plugin *guess(const struct http_head *head)
{
    struct scratch s = scratch_enter();
    struct plugin *owner = NULL;
    for (struct plugin *p = plugin_first(); p && !owner; p = p->next) {
        struct weir_str prefix = p->codec.prefix ? weir_cstr(p->codec.prefix)
                                                 : arena_printf(scratch_arena(), "/%s", p->desc.name);
        if (p->codec.claims && prefix.n > 1 && weir_eq(first_segment(head->path), prefix))
            owner = p;
    }
    scratch_leave(s);
    return owner ? owner : find(head, WEIR_LIT("GET"), WEIR_LIT("/v1/models")).owner;
}

struct door_found door_find(const struct http_head *head)
{
    struct door_found found = find(head, head->method, head->path);
    if (!found.owner)
        found.owner = guess(head);
    return found;
}

/* ---- credential ---- */

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

const struct config_provider *door_raw(const struct http_head *head, bool is_claimed)
{
    for (uint32_t i = 0; i < worker->config->n_routes; i++) {
        const struct config_route *route = worker->config->routes[i];
        const struct config_match *m = &route->match;
        if (!route->n_raw && !is_claimed)
            continue; /* it only takes what a dialect claims */
        if (matches_or_unset(m->path, head->path) && (!m->method || weir_is(head->method, m->method)) &&
            (!m->header || http_find(head->headers, head->n_headers, m->header).p))
            return route->n_raw ? route->raw[0] : NULL;
    }
    return NULL;
}

void door_enter(struct request *r, struct plugin *codec, uint32_t operation)
{
    r->codec = codec_instance(codec);
    r->view.operation = operation;
    r->view.dialect = operation && codec ? weir_cstr(codec->desc.name) : WEIR_NONE;
}

/* What is relayed as it is speaks the provider's dialect; else what the door said counts. */
static void enter_for_route(struct request *r)
{
    if (r->route->n_raw)
        door_enter(r, r->route->raw[0]->codec, WEIR_OP_RAW);
    else if (is_raw(r))
        door_enter(r, r->door, r->claim ? r->claim->operation : WEIR_OP_NONE);
}

static bool needs_model(const struct request *r)
{
    return r->claim && r->claim->operation != WEIR_OP_MODELS && r->claim->operation != WEIR_OP_MODEL && !r->conversation;
}

int door_route(struct request *r)
{
    for (uint32_t i = 0; i < worker->config->n_routes; i++) {
        const struct config_route *route = worker->config->routes[i];
        if (!matches_head(r, &route->match) || (!r->claim && !route->n_raw))
            continue;
        if (route->match.model && needs_model(r))
            return 0;
        if (route->match.model && (!r->conversation || !config_matches(route->match.model, candidates_asked(r))))
            continue;
        r->route = route;
        r->lane = lane_of_route(route);
        r->view.route = weir_cstr(route->name);
        enter_for_route(r);
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
