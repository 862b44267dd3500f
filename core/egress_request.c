/* Easy handles and what is asked with them.
 *
 * Calls are pooled by origin, and where that is safe (see can_reuse_handles) their handles keep all that does not change:
 * callbacks, TLS, proxy, protocol, and the url unless it differs from the last call's. Headers are laid out in one block.
 *
 * Bodies up to JOINED_MAX leave in one write with the head; larger ones are read piece by piece where they lie. libcurl must not
 * send one a second time by itself (it would, up to five times, if kept connections turn out dead): seeking back is refused, and
 * on_request() counts its tries.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"
#include "egress_curl.h"

enum {
    JOINED_MAX = 32 * 1024,
    UPLOAD_BUFFER = 64 * 1024,
    POOL_MAX = 128,
    RECEIVE_BUFFER = 128 * 1024,
    UNSENT_MAX = 128 * 1024
};
enum { KEEPALIVE_IDLE_S = 30, KEEPALIVE_INTERVAL_S = 10 };

/* ---- what libcurl asks while it sends ---- */

static size_t read_upload(struct egress_call *c, char *to, size_t room)
{
    int64_t n = c->ops ? c->upload->read(c->arg, to, room) : EGRESS_UPLOAD_BROKEN;
    c->upload_waits = n == 0;
    if (n == 0)
        return CURL_READFUNC_PAUSE;
    return n > 0 ? (size_t)n : n == EGRESS_UPLOAD_OVER ? 0 : CURL_READFUNC_ABORT;
}

static size_t on_read(char *to, size_t size, size_t count, void *arg)
{
    struct egress_call *c = arg;
    size_t room = size * count, n = 0;
    if (c->is_cancelled || c->is_released)
        return CURL_READFUNC_ABORT;
    if (c->upload)
        return read_upload(c, to, room);
    while (n < room && c->piece < c->n_body) {
        const struct weir_str *piece = &c->body[c->piece];
        size_t left = piece->n - c->piece_at, take = left < room - n ? left : room - n;
        if (take)
            memcpy(to + n, piece->p + c->piece_at, take);
        n += take;
        c->piece_at += take;
        if (c->piece_at < piece->n)
            break;
        c->piece++;
        c->piece_at = 0;
    }
    return n;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct egress_call *c = arg;
    (void)offset, (void)origin;
    c->wants_retry = c->tries == 1;
    return CURL_SEEKFUNC_FAIL;
}

/* The connection stands, the request is about to leave. A second time means that the first connection was a kept one and dead;
 * another kept one may be too, so only a new one will do. */
static int on_request(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    struct egress_call *c = arg;
    long connects = 0;
    if (c->is_cancelled || c->is_released)
        return CURL_PREREQFUNC_ABORT;
    if (++c->tries == 1)
        return CURL_PREREQFUNC_OK;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connects);
    if (c->tries > 2 || c->timing.was_retried)
        return CURL_PREREQFUNC_ABORT;
    c->wants_retry = connects == 0;
    c->timing.was_retried = connects > 0;
    return connects > 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* Bounded in the kernel too: what we don't read, and what the provider doesn't. */
static int on_socket_made(void *arg, curl_socket_t fd, curlsocktype type)
{
    (void)arg;
    int receive = RECEIVE_BUFFER, unsent = UNSENT_MAX;
    if (type != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKOPT_OK;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    return CURL_SOCKOPT_OK;
}

/* The last word for an origin that may call public addresses only: this is what is really connected to. */
static curl_socket_t open_public_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    (void)arg, (void)purpose;
    char host[64] = "", port[8];
    if (getnameinfo(&to->addr, to->addrlen, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) !=
            0 ||
        !address_is_public(host))
        return CURL_SOCKET_BAD;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static int close_socket(void *arg, curl_socket_t fd)
{
    struct egress *e = arg;
    struct watched *w = (uint32_t)fd < e->n_sockets ? e->sockets[fd] : NULL;
    if (w) {
        if (w->armed)
            event_del(&w->event);
        free(w);
        e->sockets[fd] = NULL;
    }
    return close(fd);
}

/* ---- handles ---- */

static void set_callbacks(struct egress_call *c)
{
    CURL *h = c->easy;
    curl_easy_setopt(h, CURLOPT_PRIVATE, c);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, answer_on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, answer_on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(h, CURLOPT_READDATA, c);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(h, CURLOPT_SEEKDATA, c);
    curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(h, CURLOPT_PREREQDATA, c);
    curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
    curl_easy_setopt(h, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(h, CURLOPT_CLOSESOCKETDATA, c->egress);
}

static void set_behaviour(struct egress_call *c)
{
    CURL *h = c->easy;
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(h, CURLOPT_HTTP_TRANSFER_DECODING, 0L);
    curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, (long)EGRESS_BUFFER);
    curl_easy_setopt(h, CURLOPT_SHARE, c->egress->share);
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_NOPROXY, "");
}

static void set_origin(struct egress_call *c, const struct egress_origin *o)
{
    CURL *h = c->easy;
    if (o->ca) {
        curl_easy_setopt(h, CURLOPT_CAINFO, o->ca);
        curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
    }
    if (o->cert)
        curl_easy_setopt(h, CURLOPT_SSLCERT, o->cert);
    if (o->cert_key)
        curl_easy_setopt(h, CURLOPT_SSLKEY, o->cert_key);
    if (o->http != EGRESS_HTTP_1)
        curl_easy_setopt(h, CURLOPT_PIPEWAIT, 1L);
    if (o->refuses_private) { /* no sharing of connections with those that don't */
        curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_public_socket);
        curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
    }
}

static struct origin_pool *pool_of(struct egress *e, const struct egress_origin *origin)
{
    for (struct origin_pool *p = e->pools; p; p = p->next)
        if (p->origin == origin)
            return p;
    struct origin_pool *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->origin = origin;
    p->next = e->pools;
    e->pools = p;
    return p;
}

/* Before 8.1.1 libcurl keeps a pointer to the last header of a handle's last answer after it was freed; a next answer that
 * begins with a folded line makes it write there (curl issue 11101). With such a libcurl each call gets a new handle. */
static bool can_reuse_handles(void)
{
    static int answer = -1;
    if (answer < 0)
        answer = curl_version_info(CURLVERSION_NOW)->version_num >= 0x080101;
    return answer == 1;
}

static bool make_handle(struct egress_call *c)
{
    c->easy = curl_easy_init();
    if (!c->easy)
        return false;
    set_callbacks(c);
    set_behaviour(c);
    set_origin(c, c->pool->origin);
    c->is_post = c->has_custom_method = c->is_fresh = c->has_url = false;
    c->address_version = c->set_connect_ms = 0;
    return true;
}

struct egress_call *call_take(struct egress *e, const struct egress_origin *origin)
{
    struct origin_pool *pool = pool_of(e, origin);
    struct egress_call *c = pool ? pool->idle : NULL;
    if (c) {
        pool->idle = c->next;
        pool->n--;
        c->next = NULL;
    } else if (pool && (c = calloc(1, sizeof(*c)))) {
        c->egress = e;
        c->pool = pool;
    }
    if (!c || c->easy || make_handle(c))
        return c;
    call_destroy(c);
    return NULL;
}

void call_destroy(struct egress_call *c)
{
    if (c->easy)
        curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->resolve);
    free(c->url);
    free(c->looked_up);
    free(c->lines);
    free(c->joined);
    free(c->head);
    free(c);
}

static void forget_call(struct egress_call *c)
{
    free(c->joined);
    free(c->head);
    free(c->lines);
    c->joined = c->head = c->lines = NULL;
    c->head_n = c->head_cap = 0;
    if (c->easy && c->is_fresh && !c->pool->origin->refuses_private) {
        curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 0L);
        curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, 0L);
    }
    c->is_fresh = false;
    c->ops = NULL;
    c->upload = NULL;
    c->upload_waits = c->wants_feed = false;
    c->body = NULL;
    c->n_body = 0;
    c->n_fields = c->n_interim = c->tries = 0;
    c->status = 0;
    c->has_status = c->has_head = c->has_length = c->is_chunked = c->is_http_1_0 = c->chunks_done = false;
    c->chunks = (struct http_chunks){ 0 };
    c->received = 0;
    c->wants_pause = c->is_paused = c->wants_resume = c->is_cancelled = c->is_released = c->wants_retry = false;
    c->refused = EGRESS_OK;
    c->why = NULL;
    c->timing = (struct egress_timing){ 0 };
    c->error[0] = 0;
    call_rewind(c);
}

void call_give_back(struct egress_call *c)
{
    struct origin_pool *pool = c->pool;
    if (pool->n >= POOL_MAX) {
        call_destroy(c);
        return;
    }
    if (!can_reuse_handles()) {
        curl_easy_cleanup(c->easy);
        c->easy = NULL;
    }
    forget_call(c);
    c->next = pool->idle;
    pool->idle = c;
    pool->n++;
}

void call_rewind(struct egress_call *c)
{
    c->piece = 0;
    c->piece_at = 0;
}

/* ---- where to ---- */

static void drop_url(struct egress_call *c)
{
    free(c->url);
    free(c->looked_up);
    c->url = c->looked_up = NULL;
    c->has_url = false;
}

/* libcurl knows "localhost" by itself. */
static bool needs_look_up(const struct url_place *place)
{
    size_t n = strlen(place->host);
    bool is_local =
        strcasecmp(place->host, "localhost") == 0 || (n > 10 && strcasecmp(place->host + n - 10, ".localhost") == 0);
    return !place->is_literal && !is_local;
}

static const char *proxy_of(const struct egress_call *c)
{
    const struct egress_origin *o = c->pool->origin;
    if (o->refuses_private)
        return ""; /* a proxy would look the name up again, out of our sight */
    const char *proxy = o->proxy ? o->proxy : proxies_find(c->egress->proxies, &c->place);
    return proxy ? proxy : "";
}

/* With a proxy it is the proxy's name that has to be looked up, and the proxy looks up the rest. */
static bool set_looked_up(struct egress_call *c)
{
    struct url_place place = c->place;
    c->used_proxy = proxy_of(c);
    c->address_version = 0;
    if (c->used_proxy[0] && !url_parse_proxy(c->used_proxy, &place))
        return false;
    if (!needs_look_up(&place))
        return true;
    c->looked_up = strdup(place.host);
    c->looked_up_port = place.port;
    return c->looked_up != NULL;
}

static bool set_place(struct egress_call *c)
{
    static const long tls[] = { CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_2TLS };
    static const long plain[] = { CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE, CURL_HTTP_VERSION_1_1 };
    curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, (c->place.is_tls ? tls : plain)[c->pool->origin->http]);
    c->has_url = curl_easy_setopt(c->easy, CURLOPT_PROXY, c->used_proxy) == CURLE_OK &&
                 curl_easy_setopt(c->easy, CURLOPT_URL, c->url) == CURLE_OK;
    return c->has_url;
}

static bool set_url(struct egress_call *c, const char *url)
{
    if (c->url && strcmp(c->url, url) == 0)
        return c->has_url || set_place(c);
    drop_url(c);
    if (!url_parse(url, &c->place))
        return false;
    c->url = strdup(url);
    if (c->url && set_looked_up(c) && set_place(c))
        return true;
    drop_url(c);
    return false;
}

bool call_set_addresses(struct egress_call *c, const char *addresses, uint32_t version)
{
    if (c->pool->origin->refuses_private && !addresses_are_public(addresses)) {
        c->refused = EGRESS_CONNECT;
        return false;
    }
    curl_slist_free_all(c->resolve);
    c->resolve = NULL;
    if (c->address_version == version) { /* libcurl still has them */
        curl_easy_setopt(c->easy, CURLOPT_RESOLVE, NULL);
        return true;
    }
    size_t n = strlen(c->looked_up) + strlen(addresses) + 16;
    char *line = malloc(n);
    if (!line)
        return false;
    snprintf(line, n, "%s:%u:%s", c->looked_up, c->looked_up_port, addresses);
    c->resolve = curl_slist_append(NULL, line);
    free(line);
    c->address_version = version;
    return c->resolve && curl_easy_setopt(c->easy, CURLOPT_RESOLVE, c->resolve) == CURLE_OK;
}

/* ---- headers ---- */

static bool is_ours(struct weir_str name)
{
    static const char *const names[] = { "host",       "content-length", "transfer-encoding",
                                         "connection", "keep-alive",     "expect",
                                         "te",         "upgrade" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (name.n == strlen(names[i]) && strncasecmp(name.p, names[i], name.n) == 0)
            return true;
    return false;
}

static bool is_name(struct weir_str name, const char *wanted)
{
    return name.n == strlen(wanted) && strncasecmp(name.p, wanted, name.n) == 0;
}

struct lines {
    struct curl_slist *list;
    uint32_t n;
    char *text;
};

static void add_line(struct lines *l, struct weir_str name, const char *between, struct weir_str value)
{
    size_t n = strlen(between);
    struct curl_slist *node = &l->list[l->n];
    *node = (struct curl_slist){ l->text, NULL };
    if (l->n++)
        node[-1].next = node;
    memcpy(l->text, name.p, name.n);
    memcpy(l->text + name.n, between, n);
    if (value.n)
        memcpy(l->text + name.n + n, value.p, value.n);
    l->text += name.n + n + value.n;
    *l->text++ = 0;
}

static bool make_lines(struct egress_call *c, const struct egress_request *r)
{
    size_t n = (r->n_headers + 3) * sizeof(struct curl_slist) + 64;
    for (uint32_t i = 0; i < r->n_headers; i++)
        n += r->headers[i].name.n + r->headers[i].value.n + 3;
    c->lines = malloc(n);
    return c->lines != NULL;
}

/* "name:" takes away what libcurl would add; "name;" is how it wants an empty value. */
static bool set_headers(struct egress_call *c, const struct egress_request *r)
{
    if (!make_lines(c, r))
        return false;
    struct lines l = { (struct curl_slist *)(void *)c->lines, 0,
                       c->lines + (r->n_headers + 3) * sizeof(struct curl_slist) };
    bool has_accept = false, has_type = false;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        if (!http_is_token(h->name) || !http_is_value(h->value))
            return false;
        if (is_ours(h->name))
            continue;
        has_accept = has_accept || is_name(h->name, "accept");
        has_type = has_type || is_name(h->name, "content-type");
        add_line(&l, h->name, h->value.n ? ": " : ";", h->value);
    }
    add_line(&l, WEIR_LIT("Expect"), ":", WEIR_NONE);
    if (!has_accept)
        add_line(&l, WEIR_LIT("Accept"), ":", WEIR_NONE);
    if (!has_type)
        add_line(&l, WEIR_LIT("Content-Type"), ":", WEIR_NONE);
    return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, l.list) == CURLE_OK;
}

/* ---- method and body ---- */

static void set_method(struct egress_call *c, const char *method, bool has_body)
{
    CURL *h = c->easy;
    bool is_post = has_body || strcmp(method, "POST") == 0, is_head = strcmp(method, "HEAD") == 0;
    bool is_custom = !is_head && strcmp(method, is_post ? "POST" : "GET") != 0;
    if (is_post != c->is_post || !is_post) {
        curl_easy_setopt(h, is_post ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(h, CURLOPT_NOBODY, is_head ? 1L : 0L);
        if (is_post)
            curl_easy_setopt(h, CURLOPT_POST, 1L); /* NOBODY 0 made it a GET */
    }
    if (is_custom || c->has_custom_method)
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, is_custom ? method : NULL);
    c->is_post = is_post;
    c->has_custom_method = is_custom;
}

static const char *join(struct egress_call *c, const struct egress_request *r, size_t total)
{
    if (total == 0)
        return "";
    if (r->n_body == 1)
        return r->body[0].p;
    char *to = c->joined = malloc(total);
    for (uint32_t i = 0; i < r->n_body && to; i++) {
        if (r->body[i].n)
            memcpy(to, r->body[i].p, r->body[i].n);
        to += r->body[i].n;
    }
    return c->joined;
}

/* On a connection of its own, that is not kept either: it can't be sent again if a kept one turns out to be dead, and those that
 * uploads leave behind would never be used by uploads. */
static bool set_upload(struct egress_call *c, const struct egress_request *r)
{
    c->upload = r->upload;
    c->is_streamed = c->is_fresh = true;
    c->body_n = UINT64_MAX;
    set_method(c, r->method, true);
    curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(c->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, NULL);
    return curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->upload->length) == CURLE_OK;
}

static bool set_body(struct egress_call *c, const struct egress_request *r)
{
    if (r->upload)
        return set_upload(c, r);
    size_t total = 0;
    for (uint32_t i = 0; i < r->n_body; i++)
        total += r->body[i].n;
    c->body_n = total;
    set_method(c, r->method, total > 0);
    if (!c->is_post)
        return true;
    c->is_streamed = total > JOINED_MAX;
    const char *joined = c->is_streamed ? NULL : join(c, r, total);
    if (!joined && !c->is_streamed)
        return false;
    c->body = r->body;
    c->n_body = r->n_body;
    if (c->is_streamed)
        curl_easy_setopt(c->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, joined);
    return curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)total) == CURLE_OK;
}

bool call_set_request(struct egress_call *c, const struct egress_request *r)
{
    c->connect_ms = r->connect_ms;
    if (r->connect_ms != c->set_connect_ms)
        curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(clock_real_us((int64_t)r->connect_ms * 1000) + 999) / 1000);
    c->set_connect_ms = r->connect_ms;
    return set_url(c, r->url) && set_headers(c, r) && set_body(c, r);
}
