/* mock.c: the bench's upstream, an OpenAI chat endpoint that costs next to nothing per call. One thread, one epoll set.
 *
 * The model name says what comes back, so that the same request works directly and through any gateway:
 *   …bench-chat             the whole answer of --answer, with content-length
 *   …bench-stream-N-Pms     N events (a role, N-3 of content, a finish, [DONE]), chunked; head, role and the first content
 *                           event at once, then one content event every P ms, then the end. With stream_options.include_usage
 *                           there is one event more and "usage":null in the others, as at OpenAI.
 * Every content event carries one '~' (see answer_reader.h).
 *
 *   mock --port P --answer FILE [--tls-port P --cert FILE --key FILE] [--lifetime S]
 *
 * A connection owns its descriptor, its TLS state and the bytes that couldn't be handled or sent yet. */
#include "mock_answers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
    int fd;
    bool is_listener, is_tls, closes, wants_write, is_streaming;
    SSL *ssl;
    struct bytes in, out;
    size_t needed; /* bytes of the request in `in`, once its head is known */
    const struct script *script;
    uint64_t due_ns, pace_ns;
    unsigned events_left; /* steps still to come */
    size_t heap_at;
};

struct request {
    const char *body;
    size_t body_len, whole_len;
    bool is_chat;
};

static struct {
    int epoll;
    SSL_CTX *tls;
    struct conn **heap;       /* streams by due time */
    size_t heap_len, heap_cap;
} mock;

static char buffer[1 << 20];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The heap of streams that wait for their next event. */

static void heap_put(struct conn *c, size_t at)
{
    mock.heap[at] = c;
    c->heap_at = at;
}

static void heap_up(size_t at)
{
    struct conn *c = mock.heap[at];
    for (; at && mock.heap[(at - 1) / 2]->due_ns > c->due_ns; at = (at - 1) / 2) {
        heap_put(mock.heap[(at - 1) / 2], at);
    }
    heap_put(c, at);
}

static void heap_down(size_t at)
{
    struct conn *c = mock.heap[at];
    for (size_t child; (child = 2 * at + 1) < mock.heap_len; at = child) {
        if (child + 1 < mock.heap_len && mock.heap[child + 1]->due_ns < mock.heap[child]->due_ns) {
            child++;
        }
        if (mock.heap[child]->due_ns >= c->due_ns) {
            break;
        }
        heap_put(mock.heap[child], at);
    }
    heap_put(c, at);
}

static void heap_add(struct conn *c)
{
    if (mock.heap_len == mock.heap_cap) {
        mock.heap_cap = mock.heap_cap ? mock.heap_cap * 2 : 1024;
        mock.heap = realloc(mock.heap, mock.heap_cap * sizeof(struct conn *));
        if (!mock.heap) {
            fail("out of memory for %zu streams", mock.heap_cap);
        }
    }
    mock.heap[mock.heap_len] = c;
    heap_up(mock.heap_len++);
}

static void heap_remove(struct conn *c)
{
    size_t at = c->heap_at;
    struct conn *last = mock.heap[--mock.heap_len];
    if (last != c) {
        heap_put(last, at);
        heap_up(at);
        heap_down(last->heap_at);
    }
}

/* Connections. */

static void conn_watch(struct conn *c, int op, bool wants_write)
{
    struct epoll_event e = { .events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.ptr = c };
    if (epoll_ctl(mock.epoll, op, c->fd, &e)) {
        fail("epoll_ctl: %s", strerror(errno));
    }
    c->wants_write = wants_write;
}

static void conn_close(struct conn *c)
{
    if (c->is_streaming) {
        heap_remove(c);
    }
    SSL_free(c->ssl);
    close(c->fd);
    bytes_free(&c->in);
    bytes_free(&c->out);
    free(c);
}

/* Both return the number of bytes, 0 for "later" and -1 for "gone". */
static ssize_t conn_recv(struct conn *c)
{
    if (!c->ssl) {
        ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    }
    ERR_clear_error();
    int n = SSL_read(c->ssl, buffer, sizeof buffer);
    int why = n > 0 ? 0 : SSL_get_error(c->ssl, n);
    return n > 0 ? n : why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t conn_write(struct conn *c, const char *p, size_t len)
{
    if (!c->ssl) {
        ssize_t n = send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    }
    ERR_clear_error();
    int n = SSL_write(c->ssl, p, (int)len);
    int why = n > 0 ? 0 : SSL_get_error(c->ssl, n);
    return n > 0 ? n : why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* What doesn't fit into the socket is kept; a peer that has gone is noticed by the next read. */
static void conn_send(struct conn *c, const struct bytes *b)
{
    ssize_t n = c->out.n ? 0 : conn_write(c, b->p, b->n);
    if (n < 0 || (size_t)n == b->n) {
        return;
    }
    bytes_add(&c->out, b->p + n, b->n - (size_t)n);
    if (!c->wants_write) {
        conn_watch(c, EPOLL_CTL_MOD, true);
    }
}

static void conn_flush(struct conn *c)
{
    ssize_t n = c->out.n ? conn_write(c, c->out.p, c->out.n) : 0;
    if (n < 0 || (size_t)n == c->out.n) {
        bytes_free(&c->out);
        conn_watch(c, EPOLL_CTL_MOD, false);
        return;
    }
    c->out.n -= (size_t)n;
    memmove(c->out.p, c->out.p + n, c->out.n);
}

/* Requests. */

static bool header_is(const char *line, const char *name)
{
    return strncasecmp(line, name, strlen(name)) == 0;
}

/* Unchunks in place; returns the length of the chunked body, 0 when it isn't whole yet. */
static size_t chunks_join(char *body, size_t n, size_t *joined)
{
    size_t at = 0;
    *joined = 0;
    for (char *line_end; (line_end = memmem(body + at, n - at, "\r\n", 2));) {
        size_t size = strtoul(body + at, NULL, 16), data = (size_t)(line_end - body) + 2;
        if (data + size + 2 > n) {
            return 0;
        }
        if (size == 0) {
            return data + 2;
        }
        memmove(body + *joined, body + data, size);
        *joined += size;
        at = data + size + 2;
    }
    return 0;
}

/* True when a chunked body has come whole; looked at from its end, so that a partial one is left untouched. */
static bool chunks_are_whole(const char *body, size_t n)
{
    return n >= 5 && memcmp(body + n - 5, "0\r\n\r\n", 5) == 0;
}

static int head_read(struct conn *c, const char *p, size_t head_len, size_t *content_len, bool *is_chunked)
{
    *content_len = 0;
    *is_chunked = false;
    for (const char *line = p; line < p + head_len; line++) {
        if (header_is(line, "content-length:")) {
            *content_len = strtoul(line + 15, NULL, 10);
        } else if (header_is(line, "transfer-encoding:")) {
            *is_chunked = true;
        } else if (header_is(line, "connection: close")) {
            c->closes = true;
        }
        line = memchr(line, '\n', (size_t)(p + head_len - line));
        if (!line) {
            return -1;
        }
    }
    return 0;
}

/* Returns false while the request isn't whole. */
static bool request_read(struct conn *c, char *p, size_t n, struct request *r)
{
    if (n < c->needed) {
        return false;
    }
    char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) {
        return false;
    }
    size_t head_len = (size_t)(end - p) + 4;
    bool is_chunked;
    if (head_read(c, p, head_len, &r->body_len, &is_chunked)) {
        return false;
    }
    r->body = p + head_len;
    r->whole_len = head_len + r->body_len;
    if (is_chunked) {
        size_t len = chunks_are_whole(r->body, n - head_len) ? chunks_join(p + head_len, n - head_len, &r->body_len) : 0;
        r->whole_len = len ? head_len + len : SIZE_MAX;
    }
    const char *line_end = memchr(p, '\r', head_len);
    r->is_chat = memcmp(p, "POST ", 5) == 0 && memmem(p, (size_t)(line_end - p), "/chat/completions ", 18);
    c->needed = is_chunked ? 0 : r->whole_len;
    return n >= r->whole_len;
}

/* The value of "model" from "bench-" on; what follows it doesn't matter. */
static bool model_find(const struct request *r, char model[64])
{
    const char *end = r->body + r->body_len, *at = memmem(r->body, r->body_len, "\"model\"", 7);
    const char *name = at ? memmem(at, (size_t)(end - at), "bench-", 6) : NULL;
    if (!name || name - at > 64) {
        return false;
    }
    size_t n = (size_t)(end - name) < 63 ? (size_t)(end - name) : 63;
    memcpy(model, name, n);
    model[n] = '\0';
    return true;
}

static bool asks_for_usage(const struct request *r)
{
    static const char name[] = "\"include_usage\"";
    const char *end = r->body + r->body_len, *at = memmem(r->body, r->body_len, name, sizeof name - 1);
    return at && memmem(at, (size_t)(end - at) < 24 ? (size_t)(end - at) : 24, "true", 4);
}

static void stream_start(struct conn *c, const struct request *r, const char *model)
{
    unsigned events = 0, pace_ms = 0;
    if (sscanf(model, "bench-stream-%u-%ums", &events, &pace_ms) != 2 || events < 5) {
        conn_send(c, &answers.refusal);
        return;
    }
    c->script = &answers.scripts[asks_for_usage(r) ? 1 : 0];
    c->events_left = events - 3; /* steps: all content but the first, which the opening has, and the ending */
    c->pace_ns = (uint64_t)pace_ms * 1000000u;
    c->due_ns = now_ns() + c->pace_ns;
    c->is_streaming = true;
    conn_send(c, &c->script->opening);
    heap_add(c);
}

static void request_answer(struct conn *c, const struct request *r)
{
    char model[64];
    if (!r->is_chat || !model_find(r, model)) {
        conn_send(c, &answers.refusal);
    } else if (strncmp(model, "bench-chat", 10) == 0) {
        conn_send(c, &answers.whole);
    } else {
        stream_start(c, r, model);
    }
}

/* Handles what is whole in p; returns the bytes used. The room behind p+n is the buffer's, see conn_readable. */
static size_t requests_take(struct conn *c, char *p, size_t n)
{
    size_t at = 0;
    struct request r;
    while (!c->is_streaming && at < n && request_read(c, p + at, n - at, &r)) {
        request_answer(c, &r);
        at += r.whole_len;
        c->needed = 0;
    }
    return at;
}

static void conn_readable(struct conn *c)
{
    ssize_t n = conn_recv(c);
    if (n < 0) {
        conn_close(c);
        return;
    }
    if (c->in.n == 0) {
        size_t used = requests_take(c, buffer, (size_t)n);
        if (used < (size_t)n) {
            bytes_add(&c->in, buffer + used, (size_t)n - used);
        }
    } else if (n > 0) {
        bytes_add(&c->in, buffer, (size_t)n);
        size_t used = requests_take(c, c->in.p, c->in.n);
        c->in.n -= used;
        memmove(c->in.p, c->in.p + used, c->in.n);
    }
    if (c->in.n == 0) {
        bytes_free(&c->in);
    }
    if (c->closes && !c->is_streaming && c->in.n == 0 && c->out.n == 0) {
        conn_close(c);
    } else if (c->ssl && SSL_pending(c->ssl)) {
        conn_readable(c);
    }
}

/* Streams. */

static void stream_step(struct conn *c)
{
    if (--c->events_left) {
        c->due_ns += c->pace_ns;
        heap_down(c->heap_at);
        conn_send(c, &c->script->content);
        return;
    }
    heap_remove(c);
    c->is_streaming = false;
    conn_send(c, &c->script->ending);
    if (c->closes && c->out.n == 0) {
        conn_close(c);
    }
}

static void streams_step(void)
{
    uint64_t now = now_ns();
    while (mock.heap_len && mock.heap[0]->due_ns <= now) {
        stream_step(mock.heap[0]);
    }
}

static void listener_accept(const struct conn *listener)
{
    int one = 1;
    for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = calloc(1, sizeof *c);
        if (!c) {
            fail("out of memory for a connection");
        }
        c->fd = fd;
        if (listener->is_tls) {
            c->ssl = SSL_new(mock.tls);
            SSL_set_fd(c->ssl, fd);
            SSL_set_accept_state(c->ssl);
        }
        conn_watch(c, EPOLL_CTL_ADD, false);
    }
    if (errno != EAGAIN && errno != ECONNABORTED) {
        fail("accept: %s", strerror(errno));
    }
}

static void event_take(const struct epoll_event *e)
{
    struct conn *c = e->data.ptr;
    if (c->is_listener) {
        listener_accept(c);
        return;
    }
    if (e->events & EPOLLOUT) {
        conn_flush(c);
    }
    if (e->events & ~(uint32_t)EPOLLOUT) {
        conn_readable(c);
    }
}

static void loop(void)
{
    struct epoll_event events[256];
    for (;;) {
        struct timespec wait = { .tv_sec = 3600 };
        if (mock.heap_len) {
            uint64_t now = now_ns(), due = mock.heap[0]->due_ns, left = due > now ? due - now : 0;
            wait = (struct timespec){ .tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u) };
        }
        int n = epoll_pwait2(mock.epoll, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            event_take(&events[i]);
        }
        streams_step();
    }
}

/* Set-up. */

static void listen_on(int port, bool is_tls)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    struct conn *c = calloc(1, sizeof *c);
    if (!c) {
        fail("out of memory");
    }
    *c = (struct conn){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .is_listener = true };
    c->is_tls = is_tls;
    setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&at, sizeof at) || listen(c->fd, 4096)) {
        fail("port %d: %s", port, strerror(errno));
    }
    conn_watch(c, EPOLL_CTL_ADD, false);
}

static void tls_make(const char *cert, const char *key)
{
    mock.tls = SSL_CTX_new(TLS_server_method());
    if (!mock.tls || SSL_CTX_use_certificate_chain_file(mock.tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(mock.tls, key, SSL_FILETYPE_PEM) != 1) {
        fail("the certificate %s or the key %s can't be used", cert, key);
    }
    SSL_CTX_set_mode(mock.tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void limits_raise(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {
        { "port", 1, 0, 'p' }, { "answer", 1, 0, 'a' }, { "tls-port", 1, 0, 't' }, { "cert", 1, 0, 'c' },
        { "key", 1, 0, 'k' },  { "lifetime", 1, 0, 'l' }, { 0, 0, 0, 0 },
    };
    const char *values[128] = { 0 };
    for (int key; (key = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        values[key == '?' ? 0 : key] = optarg;
    }
    if (!values['p'] || (values['t'] && (!values['c'] || !values['k']))) {
        fail("needs --port, --answer, and --cert and --key with --tls-port");
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(values['l'] ? (unsigned)atoi(values['l']) : 3600);
    signal(SIGPIPE, SIG_IGN);
    limits_raise();
    mock.epoll = epoll_create1(EPOLL_CLOEXEC);
    answers_make(values['a']);
    listen_on(atoi(values['p']), false);
    if (values['t']) {
        tls_make(values['c'], values['k']);
        listen_on(atoi(values['t']), true);
    }
    loop();
}
