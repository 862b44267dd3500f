/* The lists of models of providers that are to be asked for them (`list_models`); see model_lists.h.
 *
 * A request for the list of models never waits for a provider: it gets the last list that came whole, of each. A list is asked for when
 * the worker begins to serve and then in intervals, page by page; one that can't be had leaves the one before. How a dialect's list
 * is asked for and read is data of its codec (struct weir_model_source); the credential is the entry's first key that is in place.
 *
 * Who owns what: this file its lists, a list its timers, the call that is underway and two arenas: of what is known, of what is coming.
 */
#include "model_lists.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "log.h"
#include "pipeline.h"

enum { PAGES_MAX = 50, MODELS_MAX = 5000, NAME_MAX_BYTES = 200, PAGE_BYTES_MAX = 4 * 1024 * 1024, TIMEOUT_MS = 10000, AGAIN_MS = 30000 };

struct found {
    struct arena *arena;
    struct listed_model *first, **end;
    uint32_t n;
};

struct list {
    const struct config_provider *provider;
    const struct weir_model_source *source;
    struct event *turn, *patience;
    struct egress_call *call;
    int status;
    uint32_t n_pages;
    bool is_cut; /* there are more than fit */
    struct weir_out body;
    struct found known, coming;
};

static struct list *lists;
static uint32_t n_lists;

const struct listed_model *model_lists_of(const struct config_provider *p, uint32_t *n)
{
    for (uint32_t i = 0; i < n_lists; i++)
        if (lists[i].provider == p) {
            *n = lists[i].known.n;
            return lists[i].known.first;
        }
    *n = 0;
    return NULL;
}

/* ---- reading a page ---- */

static bool is_name(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return s.n && s.n <= NAME_MAX_BYTES;
}

static void keep(struct list *l, struct weir_str id)
{
    const char *folder = l->source->id_prefix;
    size_t n = folder ? strlen(folder) : 0;
    if (n && id.n > n && memcmp(id.p, folder, n) == 0)
        id = (struct weir_str){ id.p + n, id.n - n };
    l->is_cut |= l->coming.n == MODELS_MAX;
    struct listed_model *m = is_name(id) && !l->is_cut ? arena_zalloc(l->coming.arena, sizeof(*m)) : NULL;
    if (!m)
        return;
    m->id = arena_copy(l->coming.arena, id);
    *l->coming.end = m;
    l->coming.end = &m->next;
    l->coming.n++;
}

static void read_models(struct list *l, struct weir_json *j)
{
    struct weir_str key, id;
    for (json_read_array(j); json_read_element(j);) {
        id = WEIR_NONE;
        for (json_read_object(j); json_read_member(j, &key);)
            if (weir_is(key, l->source->id) && json_peek(j) == WEIR_JSON_STRING)
                json_read_string(j, &id);
            else
                json_skip(j);
        keep(l, id);
    }
}

/* *page: how the next one is called, "": this was the last. */
static bool read_page(struct list *l, struct weir_str *page)
{
    const struct weir_model_source *s = l->source;
    struct weir_json *j = json_open(l->coming.arena, out_bytes(&l->body));
    struct weir_str key, next = WEIR_NONE;
    bool has_list = json_peek(j) == WEIR_JSON_ARRAY, has_more = true;
    if (has_list) { /* some servers leave the object around it out */
        read_models(l, j);
        return json_close(j);
    }
    for (json_read_object(j); json_read_member(j, &key);) {
        enum weir_json_type type = json_peek(j);
        if (type == WEIR_JSON_ARRAY && weir_is(key, s->list)) {
            has_list = true;
            read_models(l, j);
        } else if (type == WEIR_JSON_STRING && s->next && weir_is(key, s->next)) {
            json_read_string(j, &next);
        } else if (type == WEIR_JSON_BOOL && s->has_more && weir_is(key, s->has_more)) {
            json_read_boolean(j, &has_more);
        } else {
            json_skip(j);
        }
    }
    *page = has_more ? arena_copy(l->coming.arena, next) : WEIR_NONE;
    return json_close(j) && has_list;
}

/* ---- asking ---- */

static void arm(struct list *l, uint32_t ms)
{
    struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };
    event_add(l->turn, &tv);
}

static void free_found(struct found *f)
{
    arena_free(f->arena);
    *f = (struct found){ 0 };
}

static void fail(struct list *l, const char *why)
{
    uint32_t every_ms = l->provider->list_every_ms;
    LOG_WARN("models.list", "provider", l->provider->name, "why", why);
    free_found(&l->coming);
    l->call = NULL;
    event_del(l->patience);
    arm(l, every_ms < AGAIN_MS ? every_ms : AGAIN_MS);
}

static void settle(struct list *l, bool is_cut)
{
    if (is_cut)
        LOG_WARN("models.list", "provider", l->provider->name, "why", "it has more models than are listed: the rest is left out");
    free_found(&l->known);
    l->known = l->coming;
    l->coming = (struct found){ 0 };
    event_del(l->patience);
    arm(l, l->provider->list_every_ms);
}

static struct weir_str in_query(struct arena *a, struct weir_str s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *to = arena_alloc(a, 3 * s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool is_plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("-._~", c);
        if (is_plain && c) {
            to[n++] = (char)c;
        } else {
            to[n++] = '%';
            to[n++] = hex[c >> 4];
            to[n++] = hex[c & 15];
        }
    }
    return (struct weir_str){ to, to ? n : 0 };
}

static char mark(const char *url)
{
    return strchr(url, '?') ? '&' : '?';
}

/* Lifetime: the arena of what is coming. NULL: no memory. */
static const char *url_of(struct list *l, struct weir_str page, struct weir_credential_place place, struct weir_str key)
{
    struct arena *a = l->coming.arena;
    const char *base = provider_base_url(l->provider);
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    const char *url = arena_printf(a, "%.*s%s", (int)n, base, l->source->path).p;
    struct weir_str from = in_query(a, page);
    if (url && page.n)
        url = arena_printf(a, "%s%c%s=%.*s", url, mark(url), l->source->next_query, (int)from.n, from.p).p;
    if (url && place.query && key.n)
        url = arena_printf(a, "%s%c%s=%.*s", url, mark(url), place.query, (int)key.n, key.p).p;
    return url;
}

enum { HEADERS_MAX = 64 };

static uint32_t headers_of(struct list *l, struct http_header *to, struct weir_credential_place place, struct weir_str key)
{
    const struct config_provider *p = l->provider;
    uint32_t n = 0;
    to[n++] = (struct http_header){ WEIR_LIT("user-agent"), WEIR_LIT("weir") };
    to[n++] = (struct http_header){ WEIR_LIT("accept-encoding"), WEIR_LIT("identity") };
    if (l->source->header)
        to[n++] = (struct http_header){ weir_cstr(l->source->header), weir_cstr(l->source->header_value) };
    for (uint32_t i = 0; i < p->n_set_headers && n < HEADERS_MAX - 1; i++)
        if (p->set_headers[i].value.p)
            to[n++] = p->set_headers[i];
    if (place.header && key.n && http_is_value(key))
        to[n++] = (struct http_header){ weir_cstr(place.header),
                                        arena_printf(l->coming.arena, "%s%.*s", place.prefix ? place.prefix : "", (int)key.n, key.p) };
    return n;
}

static const struct egress_ops list_ops;

static void ask(struct list *l, struct weir_str page)
{
    const struct config_provider *p = l->provider;
    struct weir_credential_place place = upstream_credential_place(p);
    struct weir_str key = keys_first(l->coming.arena, p);
    struct http_header *headers = arena_alloc(l->coming.arena, HEADERS_MAX * sizeof(*headers));
    struct egress_request r = { .origin = &p->origin, .method = "GET", .url = url_of(l, page, place, key), .connect_ms = TIMEOUT_MS };
    struct timeval tv = { TIMEOUT_MS / 1000, 0 };
    l->status = 0;
    out_reset(&l->body, 0);
    if (headers && r.url) {
        r.headers = headers;
        r.n_headers = headers_of(l, headers, place, key);
        l->call = egress_start(worker->egress, &r, &list_ops, l);
    }
    if (l->call)
        event_add(l->patience, &tv);
    else
        fail(l, "memory is short, or its base_url makes no sense");
}

static void on_head(void *arg, int status, const struct http_header *headers, uint32_t n)
{
    (void)headers, (void)n;
    ((struct list *)arg)->status = status;
}

static void on_body(void *arg, struct weir_str bytes)
{
    struct list *l = arg;
    if (l->body.n + bytes.n <= PAGE_BYTES_MAX) {
        out_write(&l->body, bytes);
        return;
    }
    egress_cancel(l->call);
    fail(l, "a page of it is larger than 4 MiB");
}

static void on_end(void *arg, enum egress_result result, const char *message)
{
    struct list *l = arg;
    struct weir_str page = WEIR_NONE;
    l->call = NULL;
    if (result != EGRESS_OK)
        fail(l, message);
    else if (l->status != 200)
        fail(l, arena_printf(l->coming.arena, "it answered %d", l->status).p);
    else if (!read_page(l, &page))
        fail(l, "its answer is no list of models");
    else if (page.n && l->source->next_query && ++l->n_pages < PAGES_MAX && !l->is_cut)
        ask(l, page);
    else
        settle(l, l->is_cut || page.n > 0);
}

static const struct egress_ops list_ops = { on_head, on_body, on_end, NULL };

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct list *l = arg;
    if (!l->call)
        return;
    egress_cancel(l->call);
    fail(l, "it did not answer in time");
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct list *l = arg;
    if (l->call)
        return;
    l->coming.arena = arena_new();
    l->coming.end = &l->coming.first;
    l->n_pages = 0;
    l->is_cut = false;
    if (l->coming.arena)
        ask(l, WEIR_NONE);
    else
        arm(l, AGAIN_MS);
}

/* ---- the worker ---- */

static bool is_listed(const struct config_provider *p)
{
    return p->list_every_ms && p->codec->codec.model_source && !p->credentials && !p->unavailable;
}

static int begin(struct list *l, const struct config_provider *p, struct event_base *base)
{
    *l = (struct list){ .provider = p, .source = p->codec->codec.model_source };
    l->turn = event_new(base, -1, 0, on_turn, l);
    l->patience = event_new(base, -1, 0, on_patience, l);
    if (!l->turn || !l->patience)
        return -1;
    on_turn(-1, 0, l);
    return 0;
}

int model_lists_start(struct worker *w)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->config->n_providers; i++)
        n += is_listed(w->config->providers[i]);
    lists = n ? calloc(n, sizeof(*lists)) : NULL;
    for (uint32_t i = 0; lists && i < w->config->n_providers; i++)
        if (is_listed(w->config->providers[i]) && begin(&lists[n_lists++], w->config->providers[i], w->base) < 0)
            return -1;
    return n && !lists ? -1 : 0;
}

void model_lists_stop(void)
{
    for (uint32_t i = 0; i < n_lists; i++) {
        struct list *l = &lists[i];
        if (l->call)
            egress_cancel(l->call);
        if (l->turn)
            event_free(l->turn);
        if (l->patience)
            event_free(l->patience);
        free_found(&l->known);
        free_found(&l->coming);
        out_free(&l->body);
    }
    free(lists);
    lists = NULL;
    n_lists = 0;
}
