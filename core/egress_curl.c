/* The egress on libcurl's multi socket interface.
 *
 * A call and its easy handle are one object and are used again: what never changes is set once, what belongs to an origin only
 * when the origin changes. libcurl must not be called from inside its own callbacks (and must not free a handle there), so while
 * it runs (`inside` > 0) cancelling, pausing and resuming only leave marks, which settle() heeds afterwards; everything that would
 * make libcurl call back at once is done from the event loop.
 *
 * Small bodies are joined and go out in one write with the head; larger ones are read piece by piece where they lie. A kept
 * connection that turns out dead before any byte of an answer came is tried once more, on a new one, and noted: libcurl does
 * that itself, and on_prereq() counts its tries and allows no third.
 */
#include "egress.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "dns.h"
#include "json.h"
#include "recycler.h"

enum { JOINED_MAX = 16 * 1024, HEAD_MAX = 64 * 1024, POOL_MAX = 128, RELEASE_MS = 500, KEPT_CONNECTIONS = 4096, RECEIVE_BUFFER = 256 * 1024 };

struct egress_call {
    struct egress_call *next, *prev; /* of all that are underway, or the pool */
    struct egress_call *next_later;
    struct egress *egress;
    CURL *easy;
    const struct egress_origin *origin; /* whose settings the handle has */
    const struct egress_ops *ops;       /* NULL: cancelled or released */
    void *arg;
    struct curl_slist *resolve;
    struct dns_query *look_up;
    char *url;
    const struct weir_str *body;
    uint32_t n_body, piece;
    size_t piece_at;
    uint64_t body_left;
    struct weir_out lines, joined, head; /* the header lines; the small body; the answer's head as it comes */
    struct http_header *fields;
    uint32_t n_fields, cap_fields;
    int status;
    uint32_t tries;
    bool is_added, is_over, has_head, has_body;
    bool wants_pause, is_paused, wants_resume, is_cancelled, is_released, is_later, is_refused;
    int64_t release_at_ms;
    struct egress_timing timing;
    char error[CURL_ERROR_SIZE];
};

/* A socket that libcurl wants watched. */
struct watched {
    struct event event;
    struct egress *egress;
    int what;
};

struct egress {
    struct event_base *base;
    CURLM *multi;
    struct event *timer, *later_event, *sweep;
    struct egress_call *calls, *pool, *later;
    uint32_t n_calls, n_pool, inside;
    struct dns *dns;
    bool has_proxy;
};

static void settle(struct egress *e);

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void do_later(struct egress_call *c)
{
    struct egress *e = c->egress;
    if (c->is_later)
        return;
    c->is_later = true;
    c->next_later = e->later;
    e->later = c;
    event_active(e->later_event, EV_TIMEOUT, 0);
}

/* ---- what libcurl asks of the loop ---- */

static void act(struct egress *e, curl_socket_t fd, int what)
{
    int running;
    e->inside++;
    curl_multi_socket_action(e->multi, fd, what, &running);
    e->inside--;
    settle(e);
}

static void on_socket_ready(evutil_socket_t fd, short what, void *arg)
{
    struct watched *w = arg;
    act(w->egress, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    struct egress *e = arg;
    struct watched *w = known;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            event_del(&w->event);
        free(w);
        curl_multi_assign(e->multi, fd, NULL);
        return 0;
    }
    if (!w) {
        w = calloc(1, sizeof(*w));
        if (!w)
            return -1;
        w->egress = e;
        curl_multi_assign(e->multi, fd, w);
    } else {
        event_del(&w->event);
    }
    w->what = what;
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    event_assign(&w->event, e->base, fd, events, on_socket_ready, w);
    event_add(&w->event, NULL);
    return 0;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_set_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct egress *e = arg;
    struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };
    if (ms < 0)
        event_del(e->timer);
    else if (ms == 0)
        event_active(e->timer, EV_TIMEOUT, 0);
    else
        event_add(e->timer, &tv);
    return 0;
}

/* ---- the answer ---- */

static void reset_head(struct egress_call *c)
{
    out_reset(&c->head, 4096);
    c->n_fields = 0;
    c->status = 0;
}

/* Offsets until the head is whole, because its buffer moves. */
static bool add_field(struct egress_call *c, size_t at, size_t name_n, size_t value_at, size_t value_n)
{
    if (c->n_fields == c->cap_fields) {
        uint32_t cap = c->cap_fields ? 2 * c->cap_fields : 16;
        struct http_header *more = realloc(c->fields, cap * sizeof(*more));
        if (!more)
            return false;
        c->fields = more;
        c->cap_fields = cap;
    }
    c->fields[c->n_fields++] = (struct http_header){ { (const char *)at, name_n }, { (const char *)value_at, value_n } };
    return true;
}

static size_t refuse(struct egress_call *c, const char *why)
{
    snprintf(c->error, sizeof(c->error), "%s", why);
    c->is_refused = true;
    return 0;
}

static size_t on_field(struct egress_call *c, const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n);
    if (!colon)
        return refuse(c, "a header line of its answer has no colon");
    size_t name_n = (size_t)(colon - p), from = name_n + 1, to = n, at = c->head.n;
    while (from < to && (p[from] == ' ' || p[from] == '\t'))
        from++;
    while (to > from && (p[to - 1] == '\r' || p[to - 1] == '\n' || p[to - 1] == ' ' || p[to - 1] == '\t'))
        to--;
    if (!http_is_token((struct weir_str){ p, name_n }))
        return refuse(c, "a header name of its answer makes no sense");
    if (!http_is_value((struct weir_str){ p + from, to - from }))
        return refuse(c, "a header value of its answer has a control character");
    out_write(&c->head, (struct weir_str){ p, n });
    if (c->head.failed || c->head.n > HEAD_MAX || c->n_fields > HTTP_MAX_HEADERS)
        return refuse(c, "the head of its answer is too large");
    for (size_t i = at; i < at + name_n; i++)
        if (c->head.p[i] >= 'A' && c->head.p[i] <= 'Z')
            c->head.p[i] = (char)(c->head.p[i] | 0x20);
    return add_field(c, at, name_n, at + from, to - from) ? n : refuse(c, "memory is short");
}

static void give_head(struct egress_call *c)
{
    for (uint32_t i = 0; i < c->n_fields; i++) {
        c->fields[i].name.p = c->head.p + (size_t)c->fields[i].name.p;
        c->fields[i].value.p = c->head.p + (size_t)c->fields[i].value.p;
    }
    c->has_head = true;
    if (c->ops)
        c->ops->on_head(c->arg, c->status, c->fields, c->n_fields);
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
    struct egress_call *c = arg;
    size_t n = size * count;
    if (c->is_cancelled)
        return 0;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
        const char *blank = memchr(p, ' ', n);
        reset_head(c);
        c->status = blank && blank + 4 <= p + n ? atoi(blank + 1) : 0;
        return n;
    }
    if (c->has_head)
        return n; /* trailers */
    if (n > 2 || (n && p[0] != '\r' && p[0] != '\n'))
        return on_field(c, p, n);
    if (c->status >= 200)
        give_head(c);
    return c->is_cancelled ? 0 : n;
}

static size_t on_write(char *p, size_t size, size_t count, void *arg)
{
    struct egress_call *c = arg;
    size_t n = size * count;
    if (c->is_cancelled)
        return 0;
    if (c->is_released)
        return n;
    if (c->wants_pause) {
        c->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    c->has_body = true;
    if (c->ops)
        c->ops->on_body(c->arg, (struct weir_str){ p, n });
    return c->is_cancelled ? 0 : n;
}

/* ---- the request ---- */

static size_t on_read(char *to, size_t size, size_t count, void *arg)
{
    struct egress_call *c = arg;
    size_t room = size * count, n = 0;
    if (c->is_cancelled || c->is_released)
        return CURL_READFUNC_ABORT;
    while (n < room && c->piece < c->n_body) {
        const struct weir_str *piece = &c->body[c->piece];
        size_t left = piece->n - c->piece_at, take = left < room - n ? left : room - n;
        memcpy(to + n, piece->p + c->piece_at, take);
        n += take;
        c->piece_at += take;
        if (c->piece_at < piece->n)
            break;
        c->piece++;
        c->piece_at = 0;
    }
    c->body_left -= n;
    return n;
}

/* Back to the beginning, for the one second try on a new connection. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct egress_call *c = arg;
    if (offset != 0 || origin != SEEK_SET || c->tries > 1 || !c->body)
        return CURL_SEEKFUNC_FAIL;
    c->body_left = 0;
    for (uint32_t i = 0; i < c->n_body; i++)
        c->body_left += c->body[i].n;
    c->piece = 0;
    c->piece_at = 0;
    return CURL_SEEKFUNC_OK;
}

static int on_prereq(void *arg, char *ip, char *local, int port, int local_port)
{
    (void)ip, (void)local, (void)port, (void)local_port;
    struct egress_call *c = arg;
    c->tries++;
    c->timing.was_retried = c->tries > 1;
    return c->tries > 2 || c->is_released ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_socket_made(void *arg, curl_socket_t fd, curlsocktype type)
{
    (void)arg;
    int receive = RECEIVE_BUFFER, unsent = 128 * 1024;
    if (type != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKOPT_OK;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive)); /* bounded also while we do not read */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    return CURL_SOCKOPT_OK;
}

/* ---- handles ---- */

static bool set_invariants(struct egress_call *c)
{
    CURL *h = c->easy;
    curl_easy_setopt(h, CURLOPT_PRIVATE, c);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 16384L);
    curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 65536L);
    curl_easy_setopt(h, CURLOPT_HTTP_TRANSFER_DECODING, 1L);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(h, CURLOPT_READDATA, c);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(h, CURLOPT_SEEKDATA, c);
    curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, on_prereq);
    curl_easy_setopt(h, CURLOPT_PREREQDATA, c);
    curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
    return curl_easy_setopt(h, CURLOPT_SOCKOPTDATA, c) == CURLE_OK;
}

static void set_origin(struct egress_call *c, const struct egress_origin *o)
{
    static const long versions[] = { CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_2TLS };
    CURL *h = c->easy;
    if (c->origin == o)
        return;
    c->origin = o;
    curl_easy_setopt(h, CURLOPT_CAINFO, o->ca ? o->ca : NULL);
    if (!o->ca)
        curl_easy_setopt(h, CURLOPT_CAPATH, "/etc/ssl/certs");
    curl_easy_setopt(h, CURLOPT_SSLCERT, o->cert);
    curl_easy_setopt(h, CURLOPT_SSLKEY, o->cert_key);
    curl_easy_setopt(h, CURLOPT_PROXY, o->proxy);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, versions[o->http]);
}

static struct egress_call *take_call(struct egress *e)
{
    struct egress_call *c = e->pool;
    if (c) {
        e->pool = c->next;
        e->n_pool--;
        c->next = NULL;
        return c;
    }
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->egress = e;
    c->easy = curl_easy_init();
    if (c->easy && set_invariants(c))
        return c;
    curl_easy_cleanup(c->easy);
    free(c);
    return NULL;
}

static void destroy_call(struct egress_call *c)
{
    curl_easy_cleanup(c->easy);
    out_free(&c->lines);
    out_free(&c->joined);
    out_free(&c->head);
    free(c->fields);
    free(c);
}

static void unlink_call(struct egress_call *c)
{
    struct egress *e = c->egress;
    *(c->prev ? &c->prev->next : &e->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->next = c->prev = NULL;
    e->n_calls--;
}

/* The call is over for good: its handle goes back to the pool. Never inside libcurl. */
static void give_back(struct egress_call *c)
{
    struct egress *e = c->egress;
    if (c->look_up)
        dns_cancel(c->look_up);
    if (c->is_added)
        curl_multi_remove_handle(e->multi, c->easy);
    unlink_call(c);
    curl_slist_free_all(c->resolve);
    free(c->url);
    if (e->n_pool >= POOL_MAX) {
        destroy_call(c);
        return;
    }
    struct egress_call clean = { .egress = e, .easy = c->easy, .origin = c->origin, .lines = c->lines, .joined = c->joined, .head = c->head,
                                 .fields = c->fields, .cap_fields = c->cap_fields, .next = e->pool };
    out_reset(&clean.joined, 4096);
    *c = clean;
    e->pool = c;
    e->n_pool++;
}

/* ---- ends ---- */

static enum egress_result result_of(const struct egress_call *c, CURLcode rc)
{
    switch (rc) {
    case CURLE_OK:
        return c->has_head ? EGRESS_OK : EGRESS_PROTOCOL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return EGRESS_DNS;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return EGRESS_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return EGRESS_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return EGRESS_TLS;
    case CURLE_OUT_OF_MEMORY:
        return EGRESS_MEMORY;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return c->has_head ? EGRESS_CUT : EGRESS_SEND;
    default:
        return c->has_head && !c->is_refused ? EGRESS_CUT : EGRESS_PROTOCOL;
    }
}

static void read_timing(struct egress_call *c)
{
    curl_off_t dns = 0, connect = 0, tls = 0;
    long connects = 0;
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connects);
    c->timing.was_reused = connects == 0;
    if (connects == 0)
        return;
    curl_easy_getinfo(c->easy, CURLINFO_NAMELOOKUP_TIME_T, &dns);
    curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &connect);
    curl_easy_getinfo(c->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
    c->timing.dns_us = (uint32_t)dns;
    c->timing.connect_us = (uint32_t)(connect > dns ? connect - dns : 0);
    c->timing.tls_us = (uint32_t)(tls > connect ? tls - connect : 0);
}

static void end_call(struct egress_call *c, enum egress_result result, const char *message)
{
    const struct egress_ops *ops = c->ops;
    c->is_over = true;
    c->ops = NULL;
    if (ops)
        ops->on_end(c->arg, result, result == EGRESS_OK ? "" : message);
    give_back(c);
}

static void take_messages(struct egress *e)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(e->multi, &left))) {
        struct egress_call *c;
        if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c) != CURLE_OK)
            continue;
        CURLcode rc = m->data.result;
        curl_multi_remove_handle(e->multi, c->easy);
        c->is_added = false;
        read_timing(c);
        if (rc == CURLE_OK && !c->has_head)
            snprintf(c->error, sizeof(c->error), "it sent no answer");
        end_call(c, result_of(c, rc), c->error[0] ? c->error : curl_easy_strerror(rc));
    }
}

static void resume_now(struct egress_call *c)
{
    c->wants_resume = false;
    if (!c->is_paused || c->is_cancelled)
        return;
    c->is_paused = false;
    c->egress->inside++;
    curl_easy_pause(c->easy, CURLPAUSE_CONT);
    c->egress->inside--;
}

/* Heeds the marks. Only outside libcurl. */
static void settle(struct egress *e)
{
    if (e->inside > 0)
        return;
    e->inside++; /* what ends here may begin and cancel others: they line up */
    take_messages(e);
    e->inside--;
    while (e->later && e->inside == 0) {
        struct egress_call *c = e->later;
        e->later = c->next_later;
        c->next_later = NULL;
        c->is_later = false;
        if (c->is_cancelled)
            give_back(c);
        else if (c->wants_resume)
            resume_now(c);
    }
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    settle(arg);
}

/* ---- calls ---- */

static bool host_of(const char *url, char *host, size_t n, unsigned *port)
{
    bool is_tls = strncmp(url, "https://", 8) == 0;
    if (!is_tls && strncmp(url, "http://", 7) != 0)
        return false;
    const char *p = url + (is_tls ? 8 : 7), *end = p + strcspn(p, "/?#"), *colon = NULL;
    const char *at = memchr(p, '@', (size_t)(end - p));
    if (at || p == end)
        return false;
    const char *bracket = *p == '[' ? memchr(p, ']', (size_t)(end - p)) : p;
    if (bracket)
        colon = memchr(bracket, ':', (size_t)(end - bracket));
    size_t len = (size_t)((colon ? colon : end) - p);
    if (!bracket || len == 0 || len >= n)
        return false;
    memcpy(host, p, len);
    host[len] = 0;
    *port = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : is_tls ? 443 : 80;
    return true;
}

static bool is_literal(const char *host)
{
    struct in_addr a;
    return host[0] == '[' || inet_pton(AF_INET, host, &a) == 1;
}

/* "name: value", or "name;" for an empty value, which libcurl would take for the removal of a header. */
static char *put_line(char *to, const struct http_header *h)
{
    memcpy(to, h->name.p, h->name.n);
    to += h->name.n;
    *to++ = h->value.n ? ':' : ';';
    if (h->value.n) {
        *to++ = ' ';
        memcpy(to, h->value.p, h->value.n);
        to += h->value.n;
    }
    *to++ = 0;
    return to;
}

/* The header lines as libcurl wants them: its list, in one block of ours that is kept from call to call. */
static bool add_headers(struct egress_call *c, const struct egress_request *r)
{
    size_t bytes = sizeof("Expect:");
    for (uint32_t i = 0; i < r->n_headers; i++)
        bytes += r->headers[i].name.n + r->headers[i].value.n + 3;
    size_t nodes = (r->n_headers + 1) * sizeof(struct curl_slist);
    out_reset(&c->lines, 4096);
    char *block = out_reserve(&c->lines, nodes + bytes);
    if (!block)
        return false;
    struct curl_slist *list = (struct curl_slist *)(void *)block;
    char *text = block + nodes;
    memcpy(text, "Expect:", sizeof("Expect:")); /* none: it costs a second where a server ignores it */
    list[0] = (struct curl_slist){ text, r->n_headers ? &list[1] : NULL };
    text += sizeof("Expect:");
    for (uint32_t i = 0; i < r->n_headers; i++) {
        const struct http_header *h = &r->headers[i];
        list[i + 1] = (struct curl_slist){ text, i + 1 < r->n_headers ? &list[i + 2] : NULL };
        text = put_line(text, h);
    }
    return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, list) == CURLE_OK;
}

static bool set_body(struct egress_call *c, const struct egress_request *r)
{
    CURL *h = c->easy;
    c->body = r->body;
    c->n_body = r->n_body;
    for (uint32_t i = 0; i < r->n_body; i++)
        c->body_left += r->body[i].n;
    if (!r->n_body && strcmp(r->method, "POST") != 0) {
        curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, strcmp(r->method, "GET") == 0 ? NULL : r->method);
        return true;
    }
    curl_easy_setopt(h, CURLOPT_POST, 1L);
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, strcmp(r->method, "POST") == 0 ? NULL : r->method);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_left);
    if (c->body_left > JOINED_MAX) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, NULL);
        return true;
    }
    const char *joined = r->n_body == 1 ? r->body[0].p : NULL;
    for (uint32_t i = 0; i < r->n_body && !joined; i++)
        out_write(&c->joined, r->body[i]);
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, joined ? joined : c->joined.p ? c->joined.p : "");
    c->body_left = 0;
    return !c->joined.failed;
}

static bool add_to_multi(struct egress_call *c)
{
    c->is_added = curl_multi_add_handle(c->egress->multi, c->easy) == CURLM_OK;
    return c->is_added;
}

static bool set_addresses(struct egress_call *c, const char *host, unsigned port, const char *addresses)
{
    char line[1400];
    snprintf(line, sizeof(line), "+%s:%u:%s", host, port, addresses); /* '+': it may age like any other entry */
    c->resolve = curl_slist_append(NULL, line);
    return c->resolve && curl_easy_setopt(c->easy, CURLOPT_RESOLVE, c->resolve) == CURLE_OK;
}

static void on_address(void *arg, const char *addresses, const char *why)
{
    struct egress_call *c = arg;
    char host[256], message[512];
    unsigned port;
    c->look_up = NULL;
    host_of(c->url, host, sizeof(host), &port);
    if (addresses && set_addresses(c, host, port, addresses) && add_to_multi(c))
        return;
    snprintf(message, sizeof(message), "the name \"%s\" can't be looked up: %s", host, addresses ? "memory is short" : why);
    end_call(c, EGRESS_DNS, message);
}

/* With a proxy it is the proxy that looks the name up; libcurl sees to it. */
static bool uses_proxy(const struct egress *e, const struct egress_origin *o)
{
    return o->proxy ? o->proxy[0] != 0 : e->has_proxy;
}

static bool begin_call(struct egress_call *c, const struct egress_request *r)
{
    struct egress *e = c->egress;
    char host[256];
    unsigned port;
    if (!host_of(r->url, host, sizeof(host), &port))
        return false;
    curl_easy_setopt(c->easy, CURLOPT_RESOLVE, NULL);
    if (is_literal(host) || uses_proxy(e, r->origin))
        return add_to_multi(c);
    const char *known = dns_cached(e->dns, host);
    if (known)
        return set_addresses(c, host, port, known) && add_to_multi(c);
    c->url = strdup(r->url);
    c->look_up = c->url ? dns_ask(e->dns, host, on_address, c) : NULL;
    return c->look_up != NULL;
}

struct egress_call *egress_start(struct egress *e, const struct egress_request *r, const struct egress_ops *ops, void *arg)
{
    struct egress_call *c = take_call(e);
    if (!c)
        return NULL;
    c->next = e->calls;
    if (e->calls)
        e->calls->prev = c;
    e->calls = c;
    e->n_calls++;
    set_origin(c, r->origin);
    bool is_set = curl_easy_setopt(c->easy, CURLOPT_URL, r->url) == CURLE_OK && add_headers(c, r) && set_body(c, r);
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    if (!is_set || !begin_call(c, r)) {
        give_back(c);
        return NULL;
    }
    c->ops = ops;
    c->arg = arg;
    return c;
}

void egress_cancel(struct egress_call *c)
{
    c->ops = NULL;
    c->body = NULL;
    c->is_cancelled = true;
    if (c->is_over)
        return; /* its end is being told */
    if (c->egress->inside > 0)
        do_later(c);
    else if (!c->is_later)
        give_back(c);
}

void egress_release(struct egress_call *c)
{
    struct egress *e = c->egress;
    struct timeval tv = { 0, RELEASE_MS * 1000 };
    if (c->body_left || c->is_paused || c->is_over) {
        egress_cancel(c);
        return;
    }
    c->ops = NULL;
    c->body = NULL;
    c->is_released = true;
    c->release_at_ms = now_ms() + RELEASE_MS;
    if (!event_pending(e->sweep, EV_TIMEOUT, NULL))
        event_add(e->sweep, &tv);
}

/* Released calls that do not come to rest are cut. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct egress *e = arg;
    struct timeval tv = { 0, RELEASE_MS * 1000 };
    bool is_more = false;
    int64_t now = now_ms();
    for (struct egress_call *c = e->calls, *next; c; c = next) {
        next = c->next;
        if (!c->is_released || c->is_cancelled)
            continue;
        if (c->release_at_ms <= now)
            egress_cancel(c);
        else
            is_more = true;
    }
    if (is_more)
        event_add(e->sweep, &tv);
}

void egress_pause(struct egress_call *c)
{
    c->wants_pause = true;
}

void egress_resume(struct egress_call *c)
{
    c->wants_pause = false;
    if (!c->is_paused)
        return;
    c->wants_resume = true;
    do_later(c);
}

struct egress_timing egress_timing(const struct egress_call *c)
{
    return c->timing;
}

uint32_t egress_in_flight(const struct egress *e)
{
    return e->n_calls;
}

/* ---- the egress ---- */

static bool has_proxy_in_environment(void)
{
    static const char *const names[] = { "HTTPS_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

static bool init_libcurl(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, recycler_malloc, recycler_free, recycler_realloc, recycler_strdup,
                                recycler_calloc) == CURLE_OK;
}

struct egress *egress_new(struct event_base *base)
{
    struct egress *e = calloc(1, sizeof(*e));
    if (!e || !init_libcurl()) {
        free(e);
        return NULL;
    }
    e->base = base;
    e->has_proxy = has_proxy_in_environment();
    e->multi = curl_multi_init();
    e->timer = event_new(base, -1, 0, on_timeout, e);
    e->later_event = event_new(base, -1, 0, on_later, e);
    e->sweep = event_new(base, -1, 0, on_sweep, e);
    e->dns = dns_new(base);
    if (!e->multi || !e->timer || !e->later_event || !e->sweep || !e->dns) {
        egress_free(e);
        return NULL;
    }
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return e;
}

void egress_free(struct egress *e)
{
    if (!e)
        return;
    while (e->calls) {
        struct egress_call *c = e->calls;
        c->is_later = false;
        c->ops = NULL;
        give_back(c);
    }
    while (e->pool) {
        struct egress_call *c = e->pool;
        e->pool = c->next;
        destroy_call(c);
    }
    if (e->multi)
        curl_multi_cleanup(e->multi);
    dns_free(e->dns);
    if (e->timer)
        event_free(e->timer);
    if (e->later_event)
        event_free(e->later_event);
    if (e->sweep)
        event_free(e->sweep);
    free(e);
}
