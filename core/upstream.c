/* What goes to the provider: method, URL, headers, credential, body; as spliced bytes or encoded anew.
 *
 * Everything is the attempt's. The key is added last, as a header of its own that no plugin ever sees.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "log.h"
#include "pipeline.h"

enum { HEADERS_MAX = 96 };

/* ---- headers ---- */

static void add_header(struct attempt *a, struct weir_str name, struct weir_str value)
{
    struct header_item *h = arena_alloc(a->arena, sizeof(*h));
    if (!h)
        return;
    *h = (struct header_item){ a->headers, name, value };
    a->headers = h;
}

static bool has_header(const struct attempt *a, struct weir_str name)
{
    for (const struct header_item *h = a->headers; h; h = h->next)
        if (h->name.n == name.n && strncasecmp(h->name.p, name.p, name.n) == 0)
            return true;
    return false;
}

static void drop_header(struct attempt *a, struct weir_str name)
{
    for (struct header_item **at = &a->headers; *at;) {
        if ((*at)->name.n == name.n && strncasecmp((*at)->name.p, name.p, name.n) == 0)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

static void set_header(struct attempt *a, struct weir_str name, struct weir_str value)
{
    drop_header(a, name);
    add_header(a, name, value);
}

/* Never upward, whatever a codec's list says (contracts, section 3). */
static bool stays_here(struct weir_str name)
{
    static const char *const names[] = { "authorization",  "x-api-key",
                                         "x-goog-api-key", "api-key",
                                         "cookie",         "proxy-authorization",
                                         "host",           "connection",
                                         "keep-alive",     "te",
                                         "trailer",        "transfer-encoding",
                                         "upgrade",        "content-length",
                                         "content-type",   "accept-encoding",
                                         "expect",         NULL };
    for (int i = 0; names[i]; i++)
        if (weir_is(name, names[i]))
            return true;
    return config_matches("x-weir-*", name) || config_matches("x-stainless-*", name) || config_matches("proxy-*", name);
}

/* Of a call that is relayed as it is: what tells how to read its body. */
static bool describes_body(struct weir_str name)
{
    static const char *const names[] = { "content-type", "content-encoding", "content-language", "accept",
                                         "range",        "if-match",         "if-none-match",    NULL };
    for (int i = 0; names[i]; i++)
        if (weir_is(name, names[i]))
            return true;
    return false;
}

static void forward_headers(struct attempt *a)
{
    const struct request *r = a->call.request;
    const char *const *patterns = a->is_same_dialect ? r->codec->plugin->codec.request_headers : NULL;
    for (uint32_t i = 0; i < r->head->n_headers; i++) {
        const struct http_header *h = &r->head->headers[i];
        bool is_trace = weir_is(h->name, "traceparent") || weir_is(h->name, "tracestate");
        bool passes = is_trace;
        for (const char *const *p = patterns; p && *p && !passes; p++)
            passes = config_matches(*p, h->name);
        bool is_once = r->mirror && weir_is(h->name, "idempotency-key"); /* a copy is another call */
        if ((passes && !is_once && !stays_here(h->name)) || (is_raw(r) && describes_body(h->name)))
            add_header(a, h->name, h->value);
    }
}

static void configured_headers(struct attempt *a)
{
    for (uint32_t i = 0; i < a->provider->n_set_headers; i++) {
        const struct http_header *h = &a->provider->set_headers[i];
        if (h->value.p)
            set_header(a, h->name, h->value);
        else
            drop_header(a, h->name);
    }
    for (uint32_t i = 0; i < a->provider->n_add_headers; i++)
        add_header(a, a->provider->add_headers[i].name, a->provider->add_headers[i].value);
    for (const struct header_item *h = a->target->headers; h; h = h->next)
        set_header(a, h->name, h->value);
}

/* ---- the credential ---- */

struct weir_credential_place upstream_credential_place(const struct config_provider *p)
{
    const struct weir_credential_place *own = &p->codec->codec.auth;
    switch (p->auth) {
    case CONFIG_AUTH_BEARER:
    case CONFIG_AUTH_TOKEN:
        return (struct weir_credential_place){ "authorization", NULL, "Bearer " };
    case CONFIG_AUTH_HEADER:
        return (struct weir_credential_place){ p->auth_name ? p->auth_name : own->header, NULL,
                                               p->auth_prefix ? p->auth_prefix : "" };
    case CONFIG_AUTH_QUERY:
        return (struct weir_credential_place){ NULL, p->auth_name ? p->auth_name : "key", "" };
    case CONFIG_AUTH_NONE:
    case CONFIG_AUTH_SIGN:
        return (struct weir_credential_place){ NULL, NULL, "" };
    default:
        return *own;
    }
}

static void add_credential(struct attempt *a)
{
    struct weir_credential_place place = upstream_credential_place(a->provider);
    struct weir_str key = a->key;
    if (!key.n || !http_is_value(key))
        return;
    if (place.header) {
        struct weir_str value = arena_printf(a->arena, "%s%.*s", place.prefix ? place.prefix : "", (int)key.n, key.p);
        set_header(a, weir_cstr(place.header), value);
    } else if (place.query) {
        a->url = arena_printf(a->arena, "%s%c%s=%.*s", a->url, strchr(a->url, '?') ? '&' : '?', place.query, (int)key.n,
                              key.p)
                     .p;
    }
}

static int fail_memory(struct attempt *a)
{
    a->call.error = (struct weir_error){ .size = sizeof(struct weir_error),
                                         .error_class = WEIR_ERROR_UNAVAILABLE,
                                         .code = WEIR_LIT("overloaded"),
                                         .message = WEIR_LIT("Memory is short; try again.") };
    return -1;
}

/* ---- a signature ---- */

static struct weir_outgoing_header *outgoing_headers(const struct attempt *a, uint32_t *n)
{
    uint32_t all = 0;
    for (const struct header_item *h = a->headers; h; h = h->next)
        all++;
    struct weir_outgoing_header *list = arena_alloc(a->arena, (all + 1) * sizeof(*list));
    *n = list ? all : 0;
    for (const struct header_item *h = a->headers; list && h; h = h->next)
        list[--all] = (struct weir_outgoing_header){ h->name, h->value };
    return list;
}

static int sign(struct attempt *a)
{
    const struct weir_codec *codec = &a->codec->plugin->codec;
    struct weir_outgoing q = { .size = sizeof(q),
                               .method = weir_cstr(a->method),
                               .url = weir_cstr(a->url),
                               .body = a->body,
                               .n_body = a->n_body,
                               .now_ms = unix_ms() };
    q.headers = outgoing_headers(a, &q.n_headers);
    if (!q.headers)
        return fail_memory(a);
    struct visit v = visit_enter(&a->call, a->codec, CRUMB_SIGN, false);
    a->is_signing = true;
    int rc = codec->sign(a->codec->self, &a->call, a->codec_state, &q);
    a->is_signing = false;
    visit_leave(&v);
    if (rc < 0 && a->call.error.error_class == WEIR_ERROR_NONE) {
        a->call.error = (struct weir_error){ .size = sizeof(struct weir_error), .error_class = WEIR_ERROR_UNAVAILABLE };
        a->call.error.message =
            arena_printf(a->arena, "The provider \"%s\" can't be called: its key is not one that can sign.",
                         a->provider->name);
    }
    return rc;
}

/* A key that has no secret part, of a dialect that knows such keys, too. */
static bool is_plain_key(const struct attempt *a)
{
    const struct weir_credential_place *place = &a->codec->plugin->codec.auth;
    return (place->header || place->query) && a->key.n && !memchr(a->key.p, ':', a->key.n);
}

/* The dialect's own way, or the one that the entry says. */
static int authenticate(struct attempt *a)
{
    enum config_auth auth = a->provider->auth;
    bool can_sign = a->codec->plugin->codec.sign != NULL;
    if (can_sign && (auth == CONFIG_AUTH_SIGN || (auth == CONFIG_AUTH_DIALECT && !is_plain_key(a))))
        return sign(a);
    add_credential(a);
    return 0;
}

/* ---- the body ---- */

static const struct conversation *conversation_for(const struct attempt *a)
{
    return a->edits.own ? a->edits.own : a->call.request->conversation;
}

static bool codec_splice(struct attempt *a, const struct edit *e)
{
    struct request *r = a->call.request;
    const struct weir_codec *codec = &r->codec->plugin->codec;
    struct weir_edit edit = { .size = sizeof(edit), .kind = e->kind, .field = e->field, .value = e->value };
    if (!codec->splice || e->kind > WEIR_EDIT_ANEW)
        return e->kind == EDIT_REMOVE; /* nothing to remove: fine */
    struct visit v = visit_enter(&a->call, r->codec, CRUMB_SPLICE, false);
    int rc = codec->splice(r->codec->self, &a->call, r->codec_state, &edit);
    visit_leave(&v);
    return rc == 0;
}

/* Does the body say the model at all? In some dialects the path does. */
static bool is_model_elsewhere(const struct request *r)
{
    return !r->conversation->fields[WEIR_FIELD_MODEL].span_n;
}

static bool place_edits(struct attempt *a, const struct edit *list)
{
    const struct request *r = a->call.request;
    for (const struct edit *e = list; e; e = e->next) {
        bool may_be_missing = e->kind == WEIR_EDIT_FIELD && e->field == WEIR_FIELD_MODEL && is_model_elsewhere(r);
        if (!splices_place(a->splices, e, r->conversation->view.body) && !codec_splice(a, e) && !may_be_missing)
            return false;
    }
    return true;
}

/* Nobody sees what a copy answers: it is always asked. */
static bool wants_usage_added(const struct attempt *a)
{
    const struct request *r = a->call.request;
    return a->is_streaming && !r->wants_usage && (r->mirror || !(r->route && r->route->usage_as_asked));
}

/* The client's bytes with the edits in them. false: an edit has no place there. */
static bool splice_body(struct attempt *a)
{
    struct request *r = a->call.request;
    struct splices s = { .arena = a->arena };
    struct edit ask = { .kind = WEIR_EDIT_ASK_USAGE }, anew = { .kind = WEIR_EDIT_ANEW };
    a->splices = &s;
    bool is_placed = place_edits(a, r->conversation->edits) && place_edits(a, a->edits.list);
    if (is_placed && wants_usage_added(a))
        codec_splice(a, &ask); /* a dialect that always tells it has no place for this */
    is_placed = is_placed && !codec_splice(a, &anew);
    a->splices = NULL;
    return is_placed && splices_apply(&s, r->conversation->view.body, &a->body, &a->n_body) == 0;
}

static int encode_body(struct attempt *a)
{
    const struct weir_codec *codec = &a->codec->plugin->codec;
    a->can_relay = a->is_same_dialect;
    a->encoded = arena_zalloc(a->arena, sizeof(*a->encoded));
    a->body = arena_alloc(a->arena, sizeof(*a->body));
    if (!a->encoded || !a->body || !codec->encode_request)
        return fail_memory(a);
    struct visit v = visit_enter(&a->call, a->codec, CRUMB_ENCODE_REQUEST, false);
    int rc = codec->encode_request(a->codec->self, &a->call, a->codec_state, &conversation_for(a)->view, a->encoded);
    visit_leave(&v);
    if (rc < 0)
        return -1;
    if (!out_complete(a->encoded))
        return fail_memory(a);
    *a->body = out_bytes(a->encoded);
    a->n_body = 1;
    return 0;
}

/* The target's own name for the model goes where the client wrote the asked one. */
static int name_model(struct attempt *a)
{
    struct request *r = a->call.request;
    struct weir_str model = a->target->view.model;
    struct weir_out name = { 0 };
    json_put_str(&name, model);
    struct weir_str json = out_bytes(&name);
    int rc = 0;
    if (is_model_elsewhere(r) || !weir_eq(json, weir_field(&conversation_for(a)->view, WEIR_FIELD_MODEL)))
        rc = attempt_edit_field(r->conversation, &a->edits, a->arena, WEIR_FIELD_MODEL, json);
    out_free(&name);
    return rc;
}

/* ---- all of it ---- */

static int request_head(struct attempt *a)
{
    const struct weir_codec *codec = &a->codec->plugin->codec;
    /* A provider that `speaks` another's dialect has options of its own, which that codec cannot read. */
    const void *entry = a->provider->plugin == a->provider->codec ? a->provider->entry : NULL;
    struct visit v = visit_enter(&a->call, a->codec, CRUMB_REQUEST_HEAD, false);
    int rc = codec->request_head ? codec->request_head(a->codec->self, &a->call, a->codec_state, entry) : -1;
    visit_leave(&v);
    return rc < 0 || !a->url ? -1 : rc;
}

int upstream_build(struct attempt *a)
{
    a->call.error.error_class = WEIR_ERROR_NONE;
    if (name_model(a) < 0)
        return fail_memory(a);
    forward_headers(a);
    int head = request_head(a);
    if (head < 0)
        return -1;
    set_header(a, WEIR_LIT("content-type"), WEIR_LIT("application/json"));
    set_header(a, WEIR_LIT("accept-encoding"), WEIR_LIT("identity"));
    if (!has_header(a, WEIR_LIT("user-agent")))
        add_header(a, WEIR_LIT("user-agent"), WEIR_LIT("weir"));
    configured_headers(a);
    a->key = keys_choose(a);
    bool goes_as_it_came = a->is_same_dialect && head != WEIR_HEAD_ANEW && !a->media_is_inlined && splice_body(a);
    if (!goes_as_it_came && encode_body(a) < 0)
        return -1;
    a->unsigned_headers = a->headers;
    return authenticate(a);
}

/* The end of base_url's path with which the client's path begins is not said twice: "/v1/files" behind ".../v1". */
static struct weir_str path_behind(const char *base, struct weir_str path)
{
    const char *host = strstr(base, "://"), *at = host ? strchr(host + 3, '/') : NULL;
    for (; at && *at; at = strchr(at + 1, '/')) {
        size_t n = strlen(at);
        while (n && at[n - 1] == '/')
            n--;
        if (n && n <= path.n && memcmp(at, path.p, n) == 0 && (n == path.n || path.p[n] == '/'))
            return (struct weir_str){ path.p + n, path.n - n };
    }
    return path;
}

/* "/openai/v1/files" is "/v1/files". */
static struct weir_str without_prefix(const struct plugin *codec, struct weir_str path)
{
    struct weir_str prefix = weir_cstr(codec->codec.prefix ? codec->codec.prefix : codec->desc.name);
    size_t slash = codec->codec.prefix ? 0 : 1;
    bool begins = prefix.n && path.n > prefix.n + slash && memcmp(path.p + slash, prefix.p, prefix.n) == 0;
    size_t n = prefix.n + slash;
    return begins && path.p[n] == '/' ? (struct weir_str){ path.p + n, path.n - n } : path;
}

static const char *raw_url(struct attempt *a)
{
    const struct request *r = a->call.request;
    const char *base = provider_base_url(a->provider);
    struct weir_str path = path_behind(base, without_prefix(a->codec->plugin, raw_path(r))), query = raw_query(r);
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    return arena_printf(a->arena, "%.*s%.*s%s%.*s", (int)n, base, (int)path.n, path.p, query.n ? "?" : "", (int)query.n,
                        query.n ? query.p : "")
        .p;
}

int upstream_build_raw(struct attempt *a)
{
    a->call.error.error_class = WEIR_ERROR_NONE;
    a->method = arena_copy(a->arena, a->call.request->view.method).p;
    a->url = raw_url(a);
    if (!a->method || !a->url)
        return fail_memory(a);
    forward_headers(a);
    set_header(a, WEIR_LIT("accept-encoding"), WEIR_LIT("identity"));
    if (!has_header(a, WEIR_LIT("user-agent")))
        add_header(a, WEIR_LIT("user-agent"), WEIR_LIT("weir"));
    configured_headers(a);
    a->key = keys_choose(a);
    a->unsigned_headers = a->headers;
    return authenticate(a);
}

/* The first request's headers, without its key or signature, which are made anew. */
int upstream_build_again(struct attempt *a)
{
    a->method = a->again.method;
    a->url = a->again.url;
    a->body = NULL;
    a->n_body = 0;
    a->headers = a->unsigned_headers;
    drop_header(a, WEIR_LIT("content-type"));
    a->unsigned_headers = a->headers;
    return authenticate(a);
}

int upstream_send(struct attempt *a)
{
    struct http_header headers[HEADERS_MAX];
    uint32_t n = 0;
    for (const struct header_item *h = a->headers; h && n < HEADERS_MAX; h = h->next)
        headers[n++] = (struct http_header){ h->name, h->value };
    struct egress_request q = { .origin = &a->provider->origin,
                                .method = a->method,
                                .url = a->url,
                                .headers = headers,
                                .n_headers = n,
                                .body = a->body,
                                .n_body = a->n_body,
                                .connect_ms = a->timeouts.ms[WEIR_TIMEOUT_CONNECT],
                                .upload = a->upload };
    a->upstream = egress_start(worker->egress, &q, &attempt_egress_ops, a);
    a->last_byte_us = monotonic_us();
    if (!a->again.n)
        a->started_us = a->last_byte_us;
    a->was_sent |= a->upstream != NULL;
    if (a->upstream)
        return 0;
    a->call.error = (struct weir_error){ .size = sizeof(struct weir_error), .error_class = WEIR_ERROR_CONNECT };
    a->call.error.message =
        arena_printf(a->arena, "The provider \"%s\" can't be called: its base_url makes no sense, or memory is short.",
                     a->provider->name);
    return -1;
}

void upstream_error_default(struct weir_error *e, int status)
{
    static const struct {
        int status;
        uint16_t error_class;
    } classes[] = { { 400, WEIR_ERROR_BAD_REQUEST },  { 401, WEIR_ERROR_AUTHENTICATION },
                    { 402, WEIR_ERROR_QUOTA },        { 403, WEIR_ERROR_PERMISSION },
                    { 404, WEIR_ERROR_NOT_FOUND },    { 408, WEIR_ERROR_TIMEOUT },
                    { 413, WEIR_ERROR_TOO_LARGE },    { 422, WEIR_ERROR_BAD_REQUEST },
                    { 429, WEIR_ERROR_RATE_LIMITED }, { 503, WEIR_ERROR_OVERLOADED },
                    { 504, WEIR_ERROR_TIMEOUT },      { 529, WEIR_ERROR_OVERLOADED } };
    e->error_class = status >= 500 ? WEIR_ERROR_SERVER : status < 400 ? WEIR_ERROR_BROKEN : WEIR_ERROR_BAD_REQUEST;
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
        if (classes[i].status == status)
            e->error_class = classes[i].error_class;
    e->message = status < 400 ? WEIR_LIT("The provider redirects, which weir does not follow; correct its base_url.")
                              : WEIR_LIT("The provider answered with an error.");
}
