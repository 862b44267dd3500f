/* The edge on real sockets: one process, one event loop, clients that are plain descriptors. The handler does what the path says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "edge.h"
#include "test.h"

enum { ROOM = 4 * 1024 * 1024 };

static struct event_base *base;
static struct edge *edge;
static int listener = -1;
static struct sockaddr_storage address;
static socklen_t address_n;

/* What the handler saw, and the exchange that it holds. */
static struct {
    int heads, bodies, drained, gone;
    struct exchange *held;
    char last_body[64];
    size_t last_body_n;
    char peer[64];
    bool is_loopback;
    char methods[256];
    uint64_t body_limit;
} seen;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the handler ---- */

static void answer(struct exchange *x, int status, struct weir_str body)
{
    struct http_header type = { WEIR_LIT("content-type"), WEIR_LIT("text/plain") };
    exchange_start(x, status, &type, 1, (int64_t)body.n);
    exchange_write(x, &body, 1);
    exchange_end(x);
}

static void on_head(void *arg, struct exchange *x)
{
    (void)arg;
    const struct http_head *h = exchange_head(x);
    struct weir_str peer = exchange_peer(x, &seen.is_loopback);
    snprintf(seen.peer, sizeof(seen.peer), "%.*s", (int)peer.n, peer.p);
    snprintf(seen.methods + strlen(seen.methods), sizeof(seen.methods) - strlen(seen.methods), "%.*s ", (int)h->path.n, h->path.p);
    seen.heads++;
    exchange_attach(x, x);
    if (weir_is(h->path, "/early"))
        answer(x, 401, WEIR_LIT("no"));
    else if (weir_is(h->path, "/wait"))
        seen.held = x;
    else if (weir_is(h->path, "/abort"))
        exchange_abort(x);
    else
        exchange_read_body(x, seen.body_limit);
}

static void on_body(void *arg, struct exchange *x)
{
    (void)arg;
    const struct http_head *h = exchange_head(x);
    struct weir_str body = exchange_body(x);
    seen.bodies++;
    seen.last_body_n = body.n;
    snprintf(seen.last_body, sizeof(seen.last_body), "%.*s", (int)(body.n < 60 ? body.n : 60), body.n ? body.p : "");
    if (weir_is(h->path, "/hold"))
        seen.held = x;
    else if (weir_is(h->path, "/stream")) {
        exchange_start(x, 200, NULL, 0, -1);
        exchange_write(x, &WEIR_LIT("one "), 1);
        exchange_write(x, (struct weir_str[]){ WEIR_LIT("two "), WEIR_LIT("three") }, 2);
        exchange_end(x);
    } else if (weir_is(h->path, "/broken")) {
        exchange_start(x, 200, NULL, 0, -1);
        exchange_write(x, &WEIR_LIT("half"), 1);
        exchange_abort(x);
    } else if (weir_is(h->path, "/short")) {
        exchange_start(x, 200, NULL, 0, 10);
        exchange_write(x, &WEIR_LIT("half"), 1);
        exchange_end(x);
    } else {
        answer(x, 200, body);
    }
}

static void on_drain(void *arg, struct exchange *x)
{
    (void)arg, (void)x;
    seen.drained++;
}

static void on_gone(void *arg, struct exchange *x)
{
    (void)arg;
    if (exchange_user(x) == x)
        seen.gone++;
    if (seen.held == x)
        seen.held = NULL;
}

static size_t on_refuse(void *arg, const struct http_head *head, int status, const char *why, char *out, size_t n)
{
    (void)arg, (void)head;
    return (size_t)snprintf(out, n, "%d %s", status, why);
}

static const struct edge_handler handler = { on_head, on_body, on_drain, on_gone, on_refuse, NULL, NULL };

/* ---- the stage ---- */

static void set_up_at(const struct edge_limits *limits, const struct sockaddr *at, socklen_t n)
{
    memset(&seen, 0, sizeof(seen));
    seen.body_limit = UINT64_MAX;
    base = event_base_new();
    edge = edge_new(base, limits, &handler);
    listener = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address_n = sizeof(address);
    if (!edge || bind(listener, at, n) < 0 || listen(listener, 64) < 0 || edge_listen(edge, listener) < 0)
        abort();
    getsockname(listener, (struct sockaddr *)&address, &address_n);
}

static void set_up(const struct edge_limits *limits)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    set_up_at(limits, (struct sockaddr *)&at, sizeof(at));
}

static void tear_down(void)
{
    struct edge_counts counts = edge_counts(edge);
    CHECK_INT(counts.body_bytes, 0);
    CHECK_INT(counts.exchanges, 0);
    edge_free(edge);
    close(listener);
    event_base_free(base);
}

static void pump(int ms)
{
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
}

static int dial(void)
{
    int on = 1, fd = socket(address.ss_family, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, address_n) < 0)
        abort();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void say_n(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent < 0)
            pump(1);
        else
            p += sent, n -= (size_t)sent;
    }
}

static void say(int fd, const char *text)
{
    say_n(fd, text, strlen(text));
}

static char got[ROOM];
static size_t got_n;
static enum { OPEN, ENDED, RESET } end_state;

/* Reads until `until` has come, the connection ended, or nothing has come for ms. */
static const char *hear(int fd, const char *until, int ms)
{
    int64_t last = now_ms();
    got_n = 0;
    end_state = OPEN;
    while (now_ms() - last < ms) {
        ssize_t n = recv(fd, got + got_n, sizeof(got) - 1 - got_n, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            end_state = n == 0 ? ENDED : RESET;
            break;
        }
        if (n > 0) {
            got_n += (size_t)n;
            last = now_ms();
        } else {
            pump(1);
        }
        got[got_n] = 0;
        if (until && strstr(got, until))
            break;
    }
    got[got_n] = 0;
    return got;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    return strlen(text) >= strlen(with) && strcmp(text + strlen(text) - strlen(with), with) == 0;
}

/* Waits for the edge to close. */
static void hear_end(int fd)
{
    hear(fd, NULL, 2000);
}

#define POST_HELLO "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

/* ---- tests ---- */

TEST(an_answer)
{
    set_up(&(struct edge_limits){ .header_ms = 1000 });
    int fd = dial();
    say(fd, POST_HELLO);
    const char *text = hear(fd, "hello", 1000);
    CHECK(starts(text, "HTTP/1.1 200 OK\r\ndate: "));
    CHECK(strstr(text, "\r\ncontent-type: text/plain\r\n") && strstr(text, "\r\ncontent-length: 5\r\n") && ends(text, "\r\n\r\nhello"));
    CHECK(!strstr(text, "connection:"));
    CHECK_STR(seen.peer, "127.0.0.1");
    CHECK(seen.is_loopback);
    say(fd, "GET /x HTTP/1.1\r\n\r\n");
    CHECK(strstr(hear(fd, "content-length: 0\r\n\r\n", 1000), "content-length: 0\r\n\r\n"));
    CHECK_INT(edge_counts(edge).connections, 1);
    CHECK_INT(edge_counts(edge).idle, 1);
    close(fd);
    pump(20);
    CHECK_INT(edge_counts(edge).connections, 0);
    CHECK_INT(edge_counts(edge).requests, 2);
    CHECK_INT(seen.gone, 0);
    tear_down();
}

TEST(split_at_every_byte)
{
    static const char text[] = "POST /echo?a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n" POST_HELLO;
    set_up(&(struct edge_limits){ .header_ms = 1000 });
    int fd = dial();
    for (size_t cut = 1; cut < strlen(text); cut++) {
        size_t first = 0;
        int64_t begin = now_ms();
        seen.bodies = 0;
        say_n(fd, text, cut);
        pump(1);
        say(fd, text + cut);
        while (seen.bodies < 2 && now_ms() - begin < 1000)
            pump(1);
        CHECK_INT(seen.bodies, 2);
        CHECK_STR(seen.last_body, "hello");
        while (first < 2 && *hear(fd, "hello", 500))
            for (const char *p = got; (p = strstr(p, "hello")); p++)
                first++;
        CHECK_INT(first, 2);
    }
    close(fd);
    pump(10);
    tear_down();
}

TEST(one_byte_at_a_time)
{
    set_up(&(struct edge_limits){ .header_ms = 5000 });
    int fd = dial();
    for (const char *p = POST_HELLO; *p; p++) {
        say_n(fd, p, 1);
        pump(1);
    }
    CHECK(ends(hear(fd, "hello", 1000), "\r\n\r\nhello"));
    close(fd);
    pump(10);
    tear_down();
}

TEST(pipelining_in_order)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, POST_HELLO "GET /wait HTTP/1.1\r\n\r\n" "GET /three HTTP/1.1\r\n\r\n\r\n" "POST /stream HTTP/1.1\r\nContent-Length: 2\r\n\r\nab");
    CHECK(ends(hear(fd, NULL, 60), "\r\n\r\nhello"));
    CHECK_INT(seen.heads, 2); /* the third is not even looked at */
    CHECK(seen.held != NULL);
    answer(seen.held, 200, WEIR_LIT("second"));
    const char *text = hear(fd, "\r\n0\r\n\r\n", 500);
    const char *a = strstr(text, "second"), *b = strstr(text, "content-length: 0"), *c = strstr(text, "two three");
    CHECK(a && b && c && a < b && b < c);
    CHECK_STR(seen.methods, "/echo /wait /three /stream ");
    close(fd);
    pump(10);
    tear_down();
}

TEST(framings)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\n\r\n");
    const char *text = hear(fd, "\r\n0\r\n\r\n", 500);
    CHECK(strstr(text, "transfer-encoding: chunked\r\n"));
    CHECK(ends(text, "\r\n\r\n4\r\none \r\n9\r\ntwo three\r\n0\r\n\r\n"));
    say(fd, "HEAD /stream HTTP/1.1\r\n\r\n");
    CHECK(ends(hear(fd, NULL, 50), "\r\n\r\n"));
    close(fd);
    fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    text = hear(fd, NULL, 500);
    CHECK(starts(text, "HTTP/1.1 200") && strstr(text, "connection: close\r\n") && !strstr(text, "chunked") && ends(text, "\r\n\r\none two three"));
    CHECK_INT(end_state, ENDED);
    close(fd);
    fd = dial();
    say(fd, "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab");
    CHECK(strstr(hear(fd, "\r\nab", 500), "connection: keep-alive\r\n"));
    say(fd, "POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\ncdGET /never HTTP/1.1\r\n\r\n");
    CHECK(strstr(hear(fd, NULL, 500), "connection: close\r\n"));
    CHECK_INT(end_state, ENDED);
    CHECK(!strstr(seen.methods, "/never"));
    close(fd);
    pump(10);
    tear_down();
}

TEST(a_broken_answer_has_no_end)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "GET /broken HTTP/1.1\r\n\r\n");
    CHECK(ends(hear(fd, NULL, 500), "\r\n\r\n4\r\nhalf\r\n"));
    CHECK_INT(end_state, ENDED);
    close(fd);
    fd = dial();
    say(fd, "GET /short HTTP/1.1\r\n\r\n");
    CHECK(ends(hear(fd, NULL, 500), "content-length: 10\r\n\r\nhalf"));
    CHECK_INT(end_state, ENDED);
    close(fd);
    fd = dial();
    say(fd, "GET /broken HTTP/1.0\r\n\r\n");
    hear_end(fd);
    CHECK_INT(end_state, RESET); /* an end of the connection would look like the end of the answer */
    close(fd);
    fd = dial();
    say(fd, "GET /abort HTTP/1.1\r\n\r\n");
    CHECK_STR(hear(fd, NULL, 500), "");
    CHECK(end_state != OPEN);
    close(fd);
    tear_down();
}

static void check_refused(const char *text, const char *status)
{
    int fd = dial();
    int heads = seen.heads;
    say(fd, text);
    hear_end(fd);
    char line[64];
    snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
    if (!starts(got, line))
        printf("  %s\n  -> %s\n", text, got);
    CHECK(starts(got, line) && strstr(got, "connection: close\r\n") && strstr(got, "x-weir-error: "));
    CHECK_INT(end_state, ENDED);
    CHECK_INT(seen.heads, heads);
    close(fd);
}

TEST(smuggling_is_refused)
{
    set_up(&(struct edge_limits){ .header_ms = 500 });
    check_refused("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /in HTTP/1.1\r\n\r\n", "400");
    check_refused("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400");
    check_refused("GET / HTTP/1.1\nHost: a\n\n", "400");
    check_refused("GET / HTTP/1.1\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n", "400");
    check_refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400");
    check_refused("GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", "400");
    check_refused("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501");
    check_refused("GET / HTTP/3.0\r\n\r\n", "505");
    check_refused("\x16\x03\x01", "400");
    CHECK_INT(seen.gone, 0);
    pump(10);
    tear_down();
}

TEST(broken_chunks)
{
    set_up(&(struct edge_limits){ .header_ms = 500 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX");
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 400 "));
    CHECK_INT(seen.gone, 1);
    CHECK_INT(seen.bodies, 0);
    close(fd);
    tear_down();
}

/* ---- limits ---- */

static char *big(size_t n)
{
    char *p = malloc(n + 1);
    memset(p, 'x', n);
    p[n] = 0;
    return p;
}

TEST(large_heads)
{
    set_up(&(struct edge_limits){ .header_bytes = 8192 });
    char *x = big(20000);
    int fd = dial();
    say(fd, "GET / HTTP/1.1\r\nX: ");
    say(fd, x);
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 431 "));
    CHECK_INT(end_state, ENDED);
    close(fd);
    fd = dial();
    say(fd, "GET /");
    say(fd, x);
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 414 ") || starts(got, "HTTP/1.1 431 "));
    close(fd);
    free(x);
    tear_down();
}

TEST(large_bodies)
{
    char *x = big(3000000), head[128];
    set_up(&(struct edge_limits){ .body_bytes = 2000000, .body_memory = 2500000 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nContent-Length: 1500000\r\n\r\n");
    say_n(fd, x, 1500000);
    hear(fd, NULL, 200);
    CHECK_INT(seen.last_body_n, 1500000);
    CHECK(got_n > 1500000);
    close(fd);
    fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n");
    say_n(fd, x, 3000000); /* all of it, before anything is read: the answer still arrives */
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 413 "));
    CHECK_INT(end_state, ENDED);
    CHECK_INT(seen.gone, 1);
    close(fd);
    fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        snprintf(head, sizeof(head), "%x\r\n", 1000000);
        say(fd, head);
        say_n(fd, x, 1000000);
        say(fd, "\r\n");
    }
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 413 "));
    close(fd);
    seen.body_limit = 10;
    fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nContent-Length: 11\r\n\r\n");
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 413 ") && strstr(got, "limit of 10 bytes"));
    close(fd);
    free(x);
    pump(10);
    tear_down();
}

TEST(body_memory_is_shared)
{
    char *x = big(1500000);
    set_up(&(struct edge_limits){ .body_memory = 2500000 });
    int first = dial(), second = dial();
    say(first, "POST /hold HTTP/1.1\r\nContent-Length: 1500000\r\n\r\n");
    say_n(first, x, 1500000);
    pump(50);
    CHECK(seen.held && edge_counts(edge).body_bytes == 1500000);
    say(second, "POST /echo HTTP/1.1\r\nContent-Length: 1500000\r\n\r\n");
    pump(20);
    CHECK(edge_counts(edge).body_bytes <= 1500000 + 64 * 1024); /* a claim is not memory */
    say_n(second, x, 1500000);
    hear_end(second);
    CHECK(starts(got, "HTTP/1.1 503 ") && strstr(got, "retry-after: 1\r\n"));
    answer(seen.held, 200, WEIR_LIT("ok"));
    hear(first, "ok", 500);
    CHECK_INT(edge_counts(edge).body_bytes, 0);
    close(first);
    close(second);
    free(x);
    pump(10);
    tear_down();
}

TEST(what_a_body_might_become_refuses_nobody)
{
    char *x = big(1500000), head[64];
    set_up(&(struct edge_limits){ .body_bytes = 2000000, .body_memory = 1600000 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    snprintf(head, sizeof(head), "%x\r\n", 1500000);
    say(fd, head);
    say_n(fd, x, 1500000);
    say(fd, "\r\n0\r\n\r\n");
    hear(fd, NULL, 200);
    CHECK(starts(got, "HTTP/1.1 200 "));
    CHECK_INT(seen.last_body_n, 1500000);
    close(fd);
    free(x);
    pump(10);
    tear_down();
}

TEST(slow_clients)
{
    set_up(&(struct edge_limits){ .header_ms = 80, .body_idle_ms = 80, .idle_ms = 80 });
    int head = dial(), body = dial(), idle = dial();
    say(head, "GET / HT");
    say(body, "POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
    int64_t begin = now_ms();
    hear_end(head);
    CHECK(starts(got, "HTTP/1.1 408 "));
    hear_end(body);
    CHECK(starts(got, "HTTP/1.1 408 "));
    CHECK_INT(seen.gone, 1);
    CHECK_STR(hear(idle, NULL, 500), "");
    CHECK_INT(end_state, ENDED);
    CHECK(now_ms() - begin < 1000);
    close(head);
    close(body);
    close(idle);
    tear_down();
}

TEST(an_empty_line_begins_nothing)
{
    set_up(&(struct edge_limits){ .header_ms = 50, .idle_ms = 5000 });
    int fd = dial();
    say(fd, POST_HELLO "\r\n");
    CHECK(ends(hear(fd, "hello", 500), "hello"));
    CHECK_STR(hear(fd, NULL, 150), "");
    CHECK_INT(end_state, OPEN);
    say(fd, POST_HELLO);
    CHECK(ends(hear(fd, "hello", 500), "hello"));
    close(fd);
    pump(10);
    tear_down();
}

TEST(drip_feeding_a_head_does_not_help)
{
    set_up(&(struct edge_limits){ .header_ms = 100, .idle_ms = 1000 });
    int fd = dial();
    int64_t begin = now_ms();
    say(fd, "GET / HTTP/1.1\r\nX: ");
    while (now_ms() - begin < 1000 && !*hear(fd, NULL, 5) && end_state == OPEN)
        say(fd, "x");
    CHECK(starts(got, "HTTP/1.1 408 "));
    CHECK(now_ms() - begin < 500);
    close(fd);
    pump(10);
    tear_down();
}

static void stream_until_high(struct exchange *x, size_t *written)
{
    char *p = big(64 * 1024);
    exchange_start(x, 200, NULL, 0, -1);
    while (exchange_unsent(x) < 300 * 1024) {
        struct weir_str piece = { p, 64 * 1024 };
        exchange_write(x, &piece, 1);
        *written += piece.n;
        if (*written > 64u << 20)
            break;
    }
    free(p);
}

TEST(a_slow_reader)
{
    size_t written = 0;
    set_up(&(struct edge_limits){ .high_water = 256 * 1024, .low_water = 64 * 1024 });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\n\r\n");
    pump(10);
    CHECK(seen.held != NULL);
    stream_until_high(seen.held, &written);
    CHECK(exchange_unsent(seen.held) > 256 * 1024);
    pump(20);
    CHECK_INT(seen.drained, 0);
    size_t read_n = 0;
    while (!seen.drained && read_n < written + 100000) {
        hear(fd, NULL, 20);
        read_n += got_n;
    }
    CHECK_INT(seen.drained, 1);
    CHECK(exchange_unsent(seen.held) <= 64 * 1024);
    exchange_end(seen.held);
    hear(fd, "\r\n0\r\n\r\n", 200);
    CHECK(ends(got, "\r\n0\r\n\r\n"));
    close(fd);
    pump(10);
    tear_down();
}

TEST(a_reader_that_stops)
{
    size_t written = 0;
    set_up(&(struct edge_limits){ .write_idle_ms = 100 });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\n\r\n");
    pump(10);
    stream_until_high(seen.held, &written);
    int64_t begin = now_ms();
    while (!seen.gone && now_ms() - begin < 1000)
        pump(10);
    CHECK_INT(seen.gone, 1);
    CHECK_INT(edge_counts(edge).connections, 0);
    close(fd);
    tear_down();
}

TEST(connections_are_bounded)
{
    set_up(&(struct edge_limits){ .max_connections = 2, .idle_ms = 5000, .header_ms = 40 });
    int a = dial(), b = dial(), c = dial();
    pump(30);
    CHECK_INT(edge_counts(edge).connections, 2);
    say(c, POST_HELLO);
    CHECK_STR(hear(c, NULL, 30), "");
    close(a);
    CHECK(ends(hear(c, "hello", 500), "hello"));
    close(b);
    close(c);
    pump(10);
    tear_down();
}

/* ---- leaving ---- */

static void check_leaving(const char *text, bool resets)
{
    struct linger none = { 1, 0 };
    int fd = dial();
    say(fd, text);
    int64_t begin = now_ms();
    seen.gone = 0;
    while (!seen.held && now_ms() - begin < 500)
        pump(2);
    CHECK(seen.held != NULL);
    if (resets)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
    begin = now_ms();
    while (!seen.gone && now_ms() - begin < 500)
        pump(2);
    CHECK_INT(seen.gone, 1);
    CHECK(now_ms() - begin < 100);
    CHECK_INT(edge_counts(edge).connections, 0);
}

TEST(a_client_that_left)
{
    static const char *const texts[] = {
        "GET /hold HTTP/1.1\r\n\r\n",
        "GET /wait HTTP/1.1\r\n\r\n",
        "POST /wait HTTP/1.1\r\nContent-Length: 100\r\n\r\nthe body is not asked for",
        "GET /hold HTTP/1.1\r\n\r\nGET /pipelined HTTP/1.1\r\n\r\n",
    };
    set_up(&(struct edge_limits){ 0 });
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        check_leaving(texts[i], false);
        check_leaving(texts[i], true);
    }
    tear_down();
}

/* As long as they fit into the kernel's buffer: the end of a connection comes behind them. */
TEST(leaving_behind_unread_bytes)
{
    char *x = big(40000);
    struct linger none = { 1, 0 };
    set_up(&(struct edge_limits){ 0 });
    for (int resets = 0; resets < 2; resets++) {
        int fd = dial();
        say(fd, "GET /hold HTTP/1.1\r\n\r\n");
        pump(10);
        CHECK(seen.held != NULL);
        say_n(fd, x, 40000);
        pump(10);
        CHECK_INT(seen.gone, resets);
        if (resets)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        close(fd);
        pump(30);
        CHECK_INT(seen.gone, resets + 1);
    }
    free(x);
    tear_down();
}

TEST(leaving_in_the_middle_of_a_body_or_an_answer)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
    pump(10);
    close(fd);
    pump(20);
    CHECK_INT(seen.gone, 1);
    CHECK_INT(seen.bodies, 0);
    fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\n\r\n");
    pump(10);
    exchange_start(seen.held, 200, NULL, 0, -1);
    exchange_write(seen.held, &WEIR_LIT("data"), 1);
    hear(fd, "data", 200);
    close(fd);
    pump(20);
    CHECK_INT(seen.gone, 2);
    tear_down();
}

/* What came whole, with the end of the client's side right behind it, is served if it can be at once. */
TEST(half_closed)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, POST_HELLO);
    shutdown(fd, SHUT_WR);
    CHECK(ends(hear(fd, NULL, 500), "\r\n\r\nhello"));
    CHECK_INT(end_state, ENDED);
    close(fd);
    tear_down();
}

/* ---- early answers ---- */

TEST(an_early_answer_keeps_the_connection_for_little)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "POST /early HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel");
    CHECK(!strstr(hear(fd, "\r\n\r\nno", 500), "connection: close"));
    CHECK(starts(got, "HTTP/1.1 401 "));
    say(fd, "lo" POST_HELLO);
    CHECK(ends(hear(fd, "hello", 500), "hello"));
    CHECK_INT(seen.bodies, 1);
    close(fd);
    pump(10);
    tear_down();
}

TEST(an_early_answer_reaches_a_client_that_still_sends)
{
    char *x = big(4000000);
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "POST /early HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n");
    say_n(fd, x, 4000000);
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 401 ") && strstr(got, "connection: close\r\n"));
    CHECK_INT(end_state, ENDED);
    CHECK_INT(edge_counts(edge).body_bytes, 0);
    close(fd);
    free(x);
    pump(10);
    tear_down();
}

TEST(continue_is_said_when_the_body_is_wanted)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CHECK_STR(hear(fd, "\r\n\r\n", 500), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hello");
    CHECK(starts(hear(fd, "hello", 500), "HTTP/1.1 200 "));
    say(fd, "POST /early HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    hear_end(fd);
    CHECK(starts(got, "HTTP/1.1 401 ") && !strstr(got, "100 Continue") && strstr(got, "connection: close\r\n"));
    close(fd);
    fd = dial();
    say(fd, "POST /wait HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CHECK_STR(hear(fd, NULL, 30), "");
    exchange_read_body(seen.held, 100);
    CHECK_STR(hear(fd, "\r\n\r\n", 500), "HTTP/1.1 100 Continue\r\n\r\n");
    close(fd);
    pump(20);
    tear_down();
}

/* ---- the rest ---- */

TEST(a_head_leaves_without_a_body)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\n\r\n");
    pump(10);
    exchange_start(seen.held, 200, NULL, 0, -1);
    CHECK(ends(hear(fd, "\r\n\r\n", 200), "transfer-encoding: chunked\r\n\r\n"));
    CHECK(exchange_has_started(seen.held));
    exchange_end(seen.held);
    CHECK_STR(hear(fd, "\r\n\r\n", 200), "0\r\n\r\n");
    close(fd);
    pump(10);
    tear_down();
}

TEST(headers_that_are_the_connections_own)
{
    set_up(&(struct edge_limits){ 0 });
    int fd = dial();
    say(fd, "GET /hold HTTP/1.1\r\n\r\n");
    pump(10);
    struct http_header h[] = { { WEIR_LIT("Content-Length"), WEIR_LIT("99") }, { WEIR_LIT("x-a"), WEIR_LIT("b") }, { WEIR_LIT("connection"), WEIR_LIT("x") },
                               { WEIR_LIT("transfer-encoding"), WEIR_LIT("gzip") } };
    exchange_start(seen.held, 204, h, 4, 0);
    exchange_end(seen.held);
    const char *text = hear(fd, "\r\n\r\n", 200);
    CHECK(starts(text, "HTTP/1.1 204 No Content\r\n") && strstr(text, "x-a: b\r\n") && !strstr(text, "99") && !strstr(text, "gzip") && !strstr(text, "connection"));
    close(fd);
    pump(10);
    tear_down();
}

TEST(draining)
{
    set_up(&(struct edge_limits){ 0 });
    int idle = dial(), busy = dial();
    say(idle, POST_HELLO);
    hear(idle, "hello", 500);
    say(busy, "GET /hold HTTP/1.1\r\n\r\n");
    pump(10);
    edge_drain(edge);
    pump(10);
    CHECK_INT(edge_counts(edge).connections, 2);
    say(idle, POST_HELLO);
    CHECK(strstr(hear(idle, NULL, 500), "connection: close\r\n"));
    CHECK(ends(got, "hello") && end_state == ENDED);
    answer(seen.held, 200, WEIR_LIT("ok"));
    CHECK(strstr(hear(busy, NULL, 500), "connection: close\r\n") && end_state == ENDED);
    int late = dial();
    say(late, POST_HELLO);
    CHECK_STR(hear(late, NULL, 30), "");
    close(idle);
    close(busy);
    close(late);
    tear_down();
}

TEST(not_accepting_for_a_while)
{
    set_up(&(struct edge_limits){ 0 });
    edge_set_accepting(edge, false);
    int fd = dial();
    say(fd, POST_HELLO);
    CHECK_STR(hear(fd, NULL, 30), "");
    edge_set_accepting(edge, true);
    CHECK(ends(hear(fd, "hello", 500), "hello"));
    close(fd);
    pump(10);
    tear_down();
}

TEST(unix_sockets)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char folder[] = "/tmp/weir-edge-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", folder);
    set_up_at(&(struct edge_limits){ 0 }, (struct sockaddr *)&at, sizeof(at));
    int fd = dial();
    say(fd, POST_HELLO);
    CHECK(ends(hear(fd, "hello", 500), "\r\n\r\nhello"));
    CHECK_STR(seen.peer, "unix");
    CHECK(seen.is_loopback);
    close(fd);
    check_leaving("GET /hold HTTP/1.1\r\n\r\n", false);
    unlink(at.sun_path);
    rmdir(folder);
    tear_down();
}

TEST(freeing_it_all)
{
    set_up(&(struct edge_limits){ 0 });
    int a = dial(), b = dial(), c = dial();
    say(a, "GET /hold HTTP/1.1\r\n\r\n");
    say(b, "POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc");
    say(c, "GET /par");
    pump(20);
    CHECK_INT(edge_counts(edge).exchanges, 2);
    edge_free(edge);
    CHECK_INT(seen.gone, 2);
    close(a);
    close(b);
    close(c);
    close(listener);
    event_base_free(base);
}
