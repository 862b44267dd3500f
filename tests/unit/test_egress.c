/* The egress against an upstream that sends what it is told: how each way to break is told apart, what is repeated and what not,
 * what a caller may do inside a callback, and what an open call costs.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <jansson.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "bytes.h"
#include "egress.h"
#include "raw_upstream.h"
#include "test.h"

static struct event_base *base;
static struct egress *egress;
static const struct egress_origin origin = { .name = "raw", .proxy = "" };

/* What one call was told. */
struct told {
    struct egress_call *call;
    int heads, ends, status;
    uint32_t n_headers;
    char type[64];
    enum egress_result result;
    char message[512];
    struct egress_timing timing;
    size_t body_n, pieces;
    char body[4096], trailers[256];
    /* what it does */
    bool cancels_in_head, cancels_in_body, pauses_in_body, releases_in_body, starts_another;
    struct told *other;
    char url[128];
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void start(struct told *t, const char *url);

static void on_head(void *arg, int status, const struct http_header *headers, uint32_t n)
{
    struct told *t = arg;
    struct weir_str type = http_find(headers, n, "content-type");
    t->heads++;
    t->status = status;
    t->n_headers = n;
    snprintf(t->type, sizeof(t->type), "%.*s", (int)type.n, type.p ? type.p : "");
    if (t->cancels_in_head) {
        egress_cancel(t->call);
        t->call = NULL;
    }
    if (t->starts_another)
        start(t->other, t->url);
}

static void on_body(void *arg, struct weir_str bytes)
{
    struct told *t = arg;
    for (size_t i = 0; i < bytes.n && t->body_n + i < sizeof(t->body) - 1; i++)
        t->body[t->body_n + i] = bytes.p[i];
    t->body_n += bytes.n;
    t->pieces++;
    if (t->cancels_in_body)
        egress_cancel(t->call);
    if (t->pauses_in_body)
        egress_pause(t->call);
    if (t->releases_in_body)
        egress_release(t->call);
    if (t->cancels_in_body || t->releases_in_body)
        t->call = NULL;
}

static void on_end(void *arg, enum egress_result result, const char *message)
{
    struct told *t = arg;
    t->ends++;
    t->result = result;
    snprintf(t->message, sizeof(t->message), "%s", message);
    t->timing = egress_timing(t->call);
    t->call = NULL;
    if (t->starts_another && !t->other->call && !t->other->ends)
        start(t->other, t->url);
}

static void on_trailers(void *arg, const struct http_header *trailers, uint32_t n)
{
    struct told *t = arg;
    for (uint32_t i = 0; i < n; i++) {
        size_t at = strlen(t->trailers);
        snprintf(t->trailers + at, sizeof(t->trailers) - at, "%.*s=<%.*s>", (int)trailers[i].name.n, trailers[i].name.p,
                 (int)trailers[i].value.n, trailers[i].value.p);
    }
}

static const struct egress_ops ops = { on_head, on_body, on_end, on_trailers };

static void set_up(void)
{
    base = event_base_new();
    egress = egress_new(base);
    if (!egress)
        abort();
}

static void tear_down(void)
{
    CHECK_INT(egress_in_flight(egress), 0);
    egress_free(egress);
    event_base_free(base);
}

static void pump(int ms)
{
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
}

static void start_with(struct told *t, const char *url, const char *method, const struct weir_str *body, uint32_t n_body)
{
    struct http_header headers[] = { { WEIR_LIT("content-type"), WEIR_LIT("application/json") }, { WEIR_LIT("authorization"), WEIR_LIT("Bearer x") },
                                     { WEIR_LIT("x-empty"), WEIR_LIT("") }, { WEIR_LIT("content-length"), WEIR_LIT("77") } };
    struct egress_request r = { .origin = &origin, .method = method, .url = url, .headers = headers, .n_headers = 4, .body = body, .n_body = n_body,
                                .connect_ms = 1000 };
    t->call = egress_start(egress, &r, &ops, t);
}

static const struct weir_str hello[] = { { "{\"he", 4 }, { "", 0 }, { "llo\":1}", 7 } };

static void start(struct told *t, const char *url)
{
    start_with(t, url, "POST", hello, 3);
}

static void wait_for(const int *what, int ms)
{
    int64_t begin = now_ms();
    while (!*what && now_ms() - begin < ms)
        pump(2);
}

static const char *url_of(const struct raw_upstream *u)
{
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/chat", raw_port(u));
    return url;
}

static struct raw_script script_of(const char *bytes, enum raw_end end)
{
    return (struct raw_script){ .steps = { { { .bytes = bytes, .end = end } } }, .n_steps = { 1 }, .n_connections = 1 };
}

/* One call to an upstream that sends these bytes. */
static struct told call_once(const char *bytes, size_t n, enum raw_end end)
{
    struct told t = { 0 };
    struct raw_script s = script_of(bytes, end);
    s.steps[0][0].n = n;
    struct raw_upstream *u = raw_start(&s);
    start(&t, url_of(u));
    wait_for(&t.ends, 2000);
    if (t.call)
        egress_cancel(t.call);
    raw_stop(u);
    return t;
}

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

/* ---- whole answers ---- */

TEST(an_answer)
{
    struct told t = { 0 };
    struct raw_script s = script_of(OK_HELLO, RAW_KEEP);
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start(&t, url_of(u));
    CHECK(t.call && t.heads == 0);
    wait_for(&t.ends, 2000);
    CHECK_INT(t.result, EGRESS_OK);
    CHECK_STR(t.message, "");
    CHECK_STR(t.body, "hello");
    CHECK_STR(t.type, "text/plain");
    CHECK(t.status == 200 && t.heads == 1 && !t.timing.was_reused && !t.timing.was_retried);
    struct told second = { 0 };
    start(&second, url_of(u));
    wait_for(&second.ends, 2000);
    CHECK(second.result == EGRESS_OK && second.timing.was_reused && !second.timing.was_retried);
    struct raw_seen seen = raw_stop(u);
    CHECK_INT(seen.connections, 1);
    CHECK_INT(seen.requests, 2);
    CHECK(strncmp(seen.last_request, "POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:", 40) == 0);
    CHECK(strstr(seen.last_request, "\r\nContent-Length: 11\r\n") && strstr(seen.last_request, "\r\n\r\n{\"hello\":1}"));
    CHECK(strstr(seen.last_request, "\r\nauthorization: Bearer x\r\n") && strstr(seen.last_request, "\r\nx-empty:\r\n"));
    CHECK(!strstr(seen.last_request, "Length: 77") && !strcasestr(seen.last_request, "expect") && !strcasestr(seen.last_request, "accept"));
    CHECK(!strcasestr(seen.last_request, "user-agent"));
    tear_down();
}

TEST(framings)
{
    set_up();
    struct told t = call_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nVary: *\r\n\r\n", 0, RAW_KEEP);
    CHECK_INT(t.result, EGRESS_OK);
    CHECK_STR(t.body, "hello world");
    CHECK_INT(t.pieces, 1); /* the chunks of one read come at once */
    t = call_once("HTTP/1.1 200 OK\r\n\r\nuntil the end", 0, RAW_CLOSE);
    CHECK_INT(t.result, EGRESS_OK);
    CHECK_STR(t.body, "until the end");
    t = call_once("HTTP/1.0 200 OK\r\n\r\nuntil the end", 0, RAW_RESET);
    CHECK(t.result == EGRESS_CUT || t.result == EGRESS_SEND);
    t = call_once("HTTP/1.1 204 No Content\r\n\r\n", 0, RAW_KEEP);
    CHECK(t.result == EGRESS_OK && t.status == 204 && t.body_n == 0);
    t = call_once("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK_HELLO, 0, RAW_KEEP);
    CHECK(t.result == EGRESS_OK && t.heads == 1 && t.n_headers == 2);
    tear_down();
}

TEST(trailers)
{
    set_up();
    struct told t = call_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
                              "X-Tokens:  7 \r\nEmpty:\r\n\r\n", 0, RAW_KEEP);
    CHECK_INT(t.result, EGRESS_OK);
    CHECK_INT(t.heads, 1);
    CHECK_STR(t.trailers, "x-tokens=<7>empty=<>");
    t = call_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 7\r\n\r\n", 0, RAW_KEEP);
    CHECK_INT(t.result, EGRESS_PROTOCOL);
    CHECK_STR(t.trailers, "");
    tear_down();
}

TEST(methods)
{
    struct told t = { 0 };
    struct raw_script s = script_of("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", RAW_KEEP);
    static const char *const names[] = { "GET", "POST", "DELETE", "POST", "HEAD", "GET", "POST" };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        t = (struct told){ 0 };
        start_with(&t, url_of(u), names[i], hello, strcmp(names[i], "POST") == 0 ? 3 : 0);
        wait_for(&t.ends, 2000);
        CHECK_INT(t.result, EGRESS_OK);
    }
    struct raw_seen seen = raw_stop(u);
    CHECK(strncmp(seen.last_request, "POST ", 5) == 0);
    CHECK_INT(seen.connections, 1);
    tear_down();
}

TEST(a_large_body_in_pieces)
{
    struct told t = { 0 };
    struct raw_script s = script_of(OK_HELLO, RAW_KEEP);
    set_up();
    struct raw_upstream *u = raw_start(&s);
    size_t n = 3000001;
    char *big = malloc(n);
    memset(big, 'x', n);
    struct weir_str pieces[] = { { big, 17 }, { big, n - 1000 }, { big, 983 } };
    start_with(&t, url_of(u), "POST", pieces, 3);
    wait_for(&t.ends, 5000);
    CHECK_INT(t.result, EGRESS_OK);
    struct raw_seen seen = raw_stop(u);
    CHECK(seen.last_request_n > n && seen.last_request_n < n + 500);
    CHECK(!strcasestr(seen.last_request, "expect"));
    free(big);
    tear_down();
}

TEST(an_answer_before_the_body_is_sent)
{
    static char big[4000000];
    struct weir_str body = { big, sizeof(big) };
    struct told t = { 0 };
    struct raw_script s = script_of("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno", RAW_KEEP);
    s.steps[0][0].at_once = true;
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start_with(&t, url_of(u), "POST", &body, 1);
    wait_for(&t.ends, 3000);
    CHECK(t.result == EGRESS_OK && t.status == 413);
    CHECK_STR(t.body, "no");
    raw_stop(u);
    tear_down();
}

/* ---- answers that are none ---- */

static void check_result(const char *bytes, enum raw_end end, enum egress_result wanted)
{
    struct told t = call_once(bytes, 0, end);
    if (t.ends != 1 || t.result != wanted || !t.message[0])
        printf("  %s\n  -> ends %d result %d, wanted %d: %s\n", bytes ? bytes : "(nothing)", t.ends, t.result, wanted, t.message);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.result, wanted);
    CHECK(t.message[0]);
}

TEST(answers_that_break_off)
{
    set_up();
    check_result(NULL, RAW_CLOSE, EGRESS_SEND);
    check_result(NULL, RAW_RESET, EGRESS_SEND);
    check_result("HTTP/1.1 200 OK\r\nContent-Le", RAW_CLOSE, EGRESS_SEND);
    check_result("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", RAW_CLOSE, EGRESS_CUT);
    check_result("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", RAW_CLOSE, EGRESS_CUT);
    check_result("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RAW_CLOSE, EGRESS_CUT);
    check_result("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", RAW_CLOSE, EGRESS_CUT);
    check_result("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", RAW_CLOSE, EGRESS_CUT);
    check_result("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", RAW_CLOSE, EGRESS_CUT);
    tear_down();
}

TEST(answers_that_cannot_be_read)
{
    static const char *const heads[] = {
        "hello\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/3.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    };
    set_up();
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        check_result(heads[i], RAW_CLOSE, EGRESS_PROTOCOL);
    tear_down();
}

TEST(heads_without_end)
{
    set_up();
    size_t n = 200000;
    char *head = malloc(n + 1);
    size_t at = (size_t)snprintf(head, n, "HTTP/1.1 200 OK\r\n");
    while (at + 1100 < n) {
        at += (size_t)snprintf(head + at, n - at, "x-%zu: ", at);
        memset(head + at, 'a', 1000);
        at += 1000;
        at += (size_t)snprintf(head + at, n - at, "\r\n");
    }
    head[at] = 0;
    check_result(head, RAW_CLOSE, EGRESS_TOO_LARGE);
    for (at = 0; at + 100 < n;)
        at += (size_t)snprintf(head + at, n - at, "HTTP/1.1 100 Continue\r\n\r\n");
    check_result(head, RAW_CLOSE, EGRESS_PROTOCOL);
    free(head);
    tear_down();
}

/* ---- the shared cases ---- */

struct argued {
    const char *id, *why;
};
static const struct argued argued[] = {
    { "llhttp/response/connection:167", "what follows a whole answer that closes is thrown away with its connection; the answer is good" },
    { "llhttp/response/connection:230", "as connection:167" },
    { "llhttp/response/sample:43", "RTSP is not HTTP" },
    { "llhttp/response/sample:648", "there is no HTTP/0.9 with a status line" },
    { "llhttp/response/transfer-encoding:46", "chunked is not the last coding: where such an answer ends nobody can say" },
    { "llhttp/response/transfer-encoding:77", "as transfer-encoding:46" },
    { "llhttp/response/content-length:126", "an answer to HEAD (skipBody); here a POST was sent, so its body is missing" },
};

static bool is_argued(const char *id)
{
    for (size_t i = 0; i < sizeof(argued) / sizeof(argued[0]); i++)
        if (strcmp(argued[i].id, id) == 0)
            return true;
    return false;
}

/* The collection lost the line ends at the ends of its messages: what is missing is tried. */
static bool is_as_expected(struct weir_str bytes, bool accepts, int complete)
{
    static const char *const suffixes[] = { "", "\r\n", "\n", "\r\n\r\n" };
    static char text[16 * 1024];
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        memcpy(text, bytes.p, bytes.n);
        memcpy(text + bytes.n, suffixes[i], strlen(suffixes[i]));
        struct told t = call_once(text, bytes.n + strlen(suffixes[i]), RAW_CLOSE);
        bool is_good = t.ends == 1 && t.result == EGRESS_OK;
        if (accepts && (complete ? is_good : t.result != EGRESS_PROTOCOL))
            return true;
        if (!accepts && is_good)
            return false;
    }
    return !accepts;
}

static int run_case(json_t *c, struct arena *a)
{
    const char *id = json_string_value(json_object_get(c, "id"));
    struct weir_str bytes;
    bool accepts = strcmp(json_string_value(json_object_get(c, "expect")), "accept") == 0;
    if (!bytes_base64_decode(a, weir_cstr(json_string_value(json_object_get(c, "bytes_b64"))), BYTES_BASE64_STD, &bytes))
        return -1;
    bool is_right = is_as_expected(bytes, accepts, (int)json_integer_value(json_object_get(c, "messages_complete")));
    if (!is_right && !is_argued(id))
        printf("  %s: expected %s\n", id, accepts ? "accept" : "reject");
    return is_right ? 0 : is_argued(id) ? 1 : -1;
}

TEST(shared_cases)
{
    const char *shared = getenv("WEIR_SHARED");
    char path[512];
    static char line[64 * 1024];
    int counts[3] = { 0 };
    snprintf(path, sizeof(path), "%s/data/http1_cases.jsonl", shared && *shared ? shared : "../shared");
    FILE *f = fopen(path, "r");
    if (!f)
        SKIP("no ../shared/data/http1_cases.jsonl");
    set_up();
    while (fgets(line, sizeof(line), f)) {
        json_t *c = json_loads(line, 0, NULL);
        struct arena *a = arena_new();
        if (strcmp(json_string_value(json_object_get(c, "kind")), "response") == 0 && !json_is_true(json_object_get(c, "lenient")))
            counts[run_case(c, a) + 1]++;
        arena_free(a);
        json_decref(c);
    }
    fclose(f);
    tear_down();
    printf("  %d as expected, %d argued, %d wrong\n", counts[1], counts[2], counts[0]);
    CHECK_INT(counts[0], 0);
    CHECK(counts[1] > 25);
}

/* ---- not getting there ---- */

static struct told call_url(const char *url, uint32_t connect_ms)
{
    struct told t = { 0 };
    struct egress_request r = { .origin = &origin, .method = "GET", .url = url, .connect_ms = connect_ms };
    t.call = egress_start(egress, &r, &ops, &t);
    wait_for(&t.ends, 8000);
    if (t.call)
        egress_cancel(t.call);
    return t;
}

static int bound_socket(unsigned *port, int backlog)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || (backlog >= 0 && listen(fd, backlog) < 0))
        abort();
    getsockname(fd, (struct sockaddr *)&at, &n);
    *port = ntohs(at.sin_port);
    return fd;
}

TEST(nobody_there)
{
    char url[64];
    unsigned port;
    int fd = bound_socket(&port, -1); /* bound, not listening: refused */
    set_up();
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
    struct told t = call_url(url, 1000);
    CHECK_INT(t.result, EGRESS_CONNECT);
    CHECK(strstr(t.message, "127.0.0.1") && strstr(t.message, "Connection refused"));
    close(fd);
    tear_down();
}

TEST(connecting_takes_too_long)
{
    char url[64];
    unsigned port;
    int fd = bound_socket(&port, 0), held[8];
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    for (size_t i = 0; i < 8; i++) { /* the queue is full: further SYNs are dropped */
        held[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(held[i], (struct sockaddr *)&at, sizeof(at));
    }
    set_up();
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
    int64_t begin = now_ms();
    struct told t = call_url(url, 150);
    CHECK_INT(t.result, EGRESS_CONNECT_TIMEOUT);
    CHECK(now_ms() - begin < 1000 && strstr(t.message, "150 ms"));
    for (size_t i = 0; i < 8; i++)
        close(held[i]);
    close(fd);
    tear_down();
}

TEST(names)
{
    set_up();
    struct raw_script s = script_of(OK_HELLO, RAW_KEEP);
    struct raw_upstream *u = raw_start(&s);
    char url[64];
    snprintf(url, sizeof(url), "http://localhost:%u/", raw_port(u));
    struct told t = call_url(url, 1000);
    CHECK_INT(t.result, EGRESS_OK);
    t = call_url("http://no-such-name.invalid/", 5000);
    CHECK_INT(t.result, EGRESS_DNS);
    CHECK(strstr(t.message, "no-such-name.invalid"));
    raw_stop(u);
    tear_down();
}

/* Given up while the look-up runs, and while it is told. */
TEST(looking_up_is_given_up)
{
    struct told t = { 0 };
    struct egress_request r = { .origin = &origin, .method = "GET", .url = "http://no-such-name.invalid/" };
    set_up();
    t.call = egress_start(egress, &r, &ops, &t);
    egress_cancel(t.call);
    t.call = egress_start(egress, &r, &ops, &t);
    pump(1);
    if (t.call)
        egress_cancel(t.call);
    pump(20);
    t.call = egress_start(egress, &r, &ops, &t);
    CHECK_INT(egress_in_flight(egress), 1);
    egress_free(egress); /* with one underway */
    event_base_free(base);
}

TEST(urls_that_make_no_sense)
{
    static const char *const urls[] = { "", "ftp://a/", "http://", "http:///x", "http://a:0/", "http://a:x/", "http://a:70000/", "http://u:p@a/", "http://a b/",
        "http://[::1/", "file:///etc/passwd", "http://a\r\nX: y/" };
    set_up();
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct egress_request r = { .origin = &origin, .method = "GET", .url = urls[i] };
        CHECK(egress_start(egress, &r, &ops, NULL) == NULL);
    }
    struct http_header bad = { WEIR_LIT("x"), WEIR_LIT("a\r\nb: c") };
    struct egress_request r = { .origin = &origin, .method = "GET", .url = "http://127.0.0.1/", .headers = &bad, .n_headers = 1 };
    CHECK(egress_start(egress, &r, &ops, NULL) == NULL);
    tear_down();
}

TEST(only_public_addresses)
{
    static const struct egress_origin careful = { .name = "media", .refuses_private = true };
    static const char *const urls[] = { "http://127.0.0.1:1/", "http://localhost:1/", "http://10.0.0.1/", "http://[::1]:1/", "http://169.254.169.254/",
        "http://0x7f.1:1/", "http://2130706433:1/", "http://[::ffff:127.0.0.1]:1/" };
    set_up();
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct told t = { 0 };
        struct egress_request r = { .origin = &careful, .method = "GET", .url = urls[i], .connect_ms = 500 };
        t.call = egress_start(egress, &r, &ops, &t);
        wait_for(&t.ends, 6000);
        if (t.result != EGRESS_CONNECT || !strstr(t.message, "public internet"))
            printf("  %s -> %d %s\n", urls[i], t.result, t.message);
        CHECK(t.result == EGRESS_CONNECT && strstr(t.message, "public internet"));
    }
    tear_down();
}

TEST(addresses)
{
    CHECK(address_is_public("8.8.8.8") && address_is_public("2606:4700::1") && address_is_public("[2606:4700::1]"));
    static const char *const others[] = { "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.2", "169.254.1.1", "172.31.0.1", "192.168.0.1", "198.19.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "2002:7f00:1::", "2001::1", "::ffff:8.8.8.8", "x", "" };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK(!address_is_public(others[i]));
    CHECK(addresses_are_public("8.8.8.8,[2606:4700::1]") && !addresses_are_public("8.8.8.8,10.0.0.1"));
}

TEST(proxies_of_the_environment)
{
    struct url_place p;
    setenv("HTTPS_PROXY", "http://proxy:3128", 1);
    setenv("NO_PROXY", "example.com, .internal,10.0.0.0/8", 1);
    unsetenv("http_proxy");
    struct proxies *proxies = proxies_new();
    CHECK(url_parse("https://api.openai.com/v1", &p));
    CHECK_STR(proxies_find(proxies, &p), "http://proxy:3128");
    CHECK(url_parse("https://api.example.com/", &p) && !proxies_find(proxies, &p));
    CHECK(url_parse("https://notexample.com/", &p) && proxies_find(proxies, &p));
    CHECK(url_parse("https://a.internal/", &p) && !proxies_find(proxies, &p));
    CHECK(url_parse("https://10.9.8.7/", &p) && !proxies_find(proxies, &p));
    CHECK(url_parse("http://api.openai.com/", &p) && !proxies_find(proxies, &p));
    CHECK(url_parse_proxy("http://user:p@ss@proxy.local:3128", &p) && strcmp(p.host, "proxy.local") == 0 && p.port == 3128);
    unsetenv("HTTPS_PROXY");
    unsetenv("NO_PROXY");
    proxies_free(proxies);
}

TEST(through_a_proxy)
{
    struct raw_script s = script_of(OK_HELLO, RAW_KEEP);
    struct raw_upstream *u = raw_start(&s);
    char proxy[64];
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", raw_port(u));
    struct egress_origin with = { .name = "proxied", .proxy = proxy };
    struct told t = { 0 };
    set_up();
    struct egress_request r = { .origin = &with, .method = "GET", .url = "http://far-away.invalid/x", .connect_ms = 500 };
    t.call = egress_start(egress, &r, &ops, &t);
    wait_for(&t.ends, 2000);
    CHECK_INT(t.result, EGRESS_OK);
    struct raw_seen seen = raw_stop(u);
    CHECK(strncmp(seen.last_request, "GET http://far-away.invalid/x HTTP/1.1\r\n", 40) == 0);
    tear_down();
}

/* ---- dead kept connections ---- */

static const struct raw_step good = { .bytes = OK_HELLO, .end = RAW_KEEP };

/* The server takes the request on the kept connection and closes; what then? */
static struct told call_on_dying(struct raw_script *s, size_t body_n, struct raw_seen *seen)
{
    static char big[200000];
    struct weir_str body = { big, body_n };
    struct told first = { 0 }, second = { 0 };
    struct raw_upstream *u = raw_start(s);
    start_with(&first, url_of(u), "POST", &body, 1);
    wait_for(&first.ends, 2000);
    start_with(&second, url_of(u), "POST", &body, 1);
    wait_for(&second.ends, 3000);
    if (second.call)
        egress_cancel(second.call);
    *seen = raw_stop(u);
    return second;
}

TEST(a_dead_connection_is_tried_once_more)
{
    static const size_t sizes[] = { 100, 200000 };
    static const enum raw_end ends[] = { RAW_CLOSE, RAW_RESET };
    struct raw_seen seen;
    set_up();
    for (int i = 0; i < 4; i++) {
        struct raw_script s = { .steps = { { good, { .end = ends[i / 2] } }, { good } }, .n_steps = { 2, 1 }, .n_connections = 2 };
        struct told t = call_on_dying(&s, sizes[i % 2], &seen);
        CHECK_INT(t.result, EGRESS_OK);
        CHECK(t.timing.was_retried && !t.timing.was_reused);
        CHECK_INT(seen.requests, 3);
        CHECK_STR(t.body, "hello");
    }
    tear_down();
}

TEST(but_not_twice)
{
    static const size_t sizes[] = { 100, 200000 };
    struct raw_seen seen;
    set_up();
    for (int i = 0; i < 2; i++) {
        struct raw_script s = { .steps = { { good, { .end = RAW_CLOSE } }, { { .end = RAW_CLOSE } } }, .n_steps = { 2, 1 }, .n_connections = 2 };
        struct told t = call_on_dying(&s, sizes[i], &seen);
        CHECK_INT(t.result, EGRESS_SEND);
        CHECK_INT(seen.requests, 3);
    }
    tear_down();
}

TEST(and_not_when_an_answer_began)
{
    struct raw_seen seen;
    struct raw_script s = { .steps = { { good, { .bytes = "HTTP/1.1 200 OK\r\nCont", .end = RAW_CLOSE } }, { good } }, .n_steps = { 2, 1 }, .n_connections = 2 };
    set_up();
    struct told t = call_on_dying(&s, 100, &seen);
    CHECK_INT(t.result, EGRESS_SEND);
    CHECK_INT(seen.requests, 2);
    tear_down();
}

/* Several kept connections died; the second try must not go to another of them. */
TEST(many_dead_connections)
{
    struct told t[4] = { { 0 } };
    struct raw_script s = { .steps = { { good, { .end = RAW_CLOSE } }, { good, { .end = RAW_CLOSE } }, { good, { .end = RAW_CLOSE } }, { good } },
                            .n_steps = { 2, 2, 2, 1 }, .n_connections = 4 };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    for (int i = 0; i < 3; i++)
        start(&t[i], url_of(u));
    for (int i = 0; i < 3; i++)
        wait_for(&t[i].ends, 2000);
    CHECK_INT(raw_open(u), 3);
    start(&t[3], url_of(u));
    wait_for(&t[3].ends, 2000);
    CHECK_INT(t[3].result, EGRESS_OK);
    CHECK(t[3].timing.was_retried);
    struct raw_seen seen = raw_stop(u);
    CHECK_INT(seen.connections, 4);
    CHECK_INT(seen.requests, 5);
    tear_down();
}

/* Closed while it was idle: libcurl sees that before it sends anything. Nothing spins meanwhile. */
TEST(closed_while_idle)
{
    struct told first = { 0 }, second = { 0 };
    struct raw_script s = { .steps = { { good }, { good } }, .n_steps = { 1, 1 }, .n_connections = 2 };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start(&first, url_of(u));
    wait_for(&first.ends, 2000);
    raw_close_idle(u);
    clock_t before = clock();
    pump(100);
    CHECK((clock() - before) * 1000 / CLOCKS_PER_SEC < 60);
    start(&second, url_of(u));
    wait_for(&second.ends, 2000);
    CHECK(second.result == EGRESS_OK && !second.timing.was_reused && !second.timing.was_retried);
    CHECK_INT(raw_stop(u).requests, 2);
    tear_down();
}

/* ---- inside callbacks ---- */

TEST(cancelling)
{
    struct raw_script s = script_of(OK_HELLO, RAW_KEEP);
    struct told t = { 0 };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start(&t, url_of(u));
    egress_cancel(t.call); /* before it began */
    start(&t, url_of(u));
    pump(1);
    if (t.call && !t.ends)
        egress_cancel(t.call); /* underway, or over */
    t = (struct told){ .cancels_in_head = true };
    start(&t, url_of(u));
    wait_for(&t.heads, 2000);
    pump(20);
    CHECK(t.heads == 1 && t.body_n == 0 && t.ends == 0);
    t = (struct told){ .cancels_in_body = true };
    start(&t, url_of(u));
    pump(50);
    CHECK(t.heads == 1 && t.body_n == 5 && t.ends == 0);
    CHECK_INT(egress_in_flight(egress), 0);
    t = (struct told){ 0 };
    start(&t, url_of(u));
    wait_for(&t.ends, 2000);
    CHECK_INT(t.result, EGRESS_OK);
    raw_stop(u);
    tear_down();
}

TEST(cancelling_closes_the_connection)
{
    struct raw_script s = script_of(NULL, RAW_KEEP);
    struct told t = { 0 };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start(&t, url_of(u));
    int64_t begin = now_ms();
    while (raw_requests(u) < 1 && now_ms() - begin < 1000)
        pump(2);
    CHECK_INT(raw_open(u), 1);
    egress_cancel(t.call);
    begin = now_ms();
    while (raw_open(u) && now_ms() - begin < 1000)
        pump(2);
    CHECK_INT(raw_open(u), 0);
    CHECK(now_ms() - begin < 100);
    raw_stop(u);
    tear_down();
}

TEST(starting_inside_callbacks)
{
    struct raw_script s = script_of(OK_HELLO, RAW_KEEP);
    struct told other = { 0 }, t = { .starts_another = true, .other = &other };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    snprintf(t.url, sizeof(t.url), "%s", url_of(u));
    start(&t, t.url);
    wait_for(&other.ends, 2000);
    CHECK(t.result == EGRESS_OK && other.result == EGRESS_OK && t.ends == 1 && other.ends == 1);
    raw_stop(u);
    tear_down();
}

TEST(releasing)
{
    struct raw_script s = { .steps = { { { .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" }, good } }, .n_steps = { 2 }, .n_connections = 1 };
    struct told t = { .releases_in_body = true };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start(&t, url_of(u));
    wait_for((int *)&t.pieces, 1000);
    pump(50);
    CHECK(t.body_n == 5 && t.ends == 0);
    raw_stop(u);
    pump(700);
    CHECK_INT(egress_in_flight(egress), 0);
    s = (struct raw_script){ .steps = { { { .bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" }, good } }, .n_steps = { 2 }, .n_connections = 1 };
    u = raw_start(&s);
    t = (struct told){ .releases_in_body = true };
    start(&t, url_of(u));
    pump(50);
    CHECK(t.body_n == 5 && t.ends == 0);
    CHECK_INT(egress_in_flight(egress), 0);
    t = (struct told){ 0 };
    start(&t, url_of(u));
    wait_for(&t.ends, 1000);
    CHECK(t.result == EGRESS_OK && t.timing.was_reused); /* the connection was kept */
    raw_stop(u);
    tear_down();
}

/* ---- memory ---- */

TEST(a_paused_call_is_bounded)
{
    uint64_t total = 64u << 20;
    char head[128];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", (unsigned long long)total);
    struct raw_script s = script_of(head, RAW_KEEP);
    s.steps[0][0].filler = total;
    struct told t = { .pauses_in_body = true };
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start(&t, url_of(u));
    pump(100);
    size_t before = t.body_n, held = mallinfo2().uordblks + mallinfo2().hblkhd;
    CHECK(before > 0 && t.pieces == 1);
    pump(100);
    CHECK_INT(t.body_n, before);
    CHECK(mallinfo2().uordblks + mallinfo2().hblkhd < held + 65536);
    CHECK(raw_sent(u) < 8u << 20); /* the kernel's buffers are bounded too: the server has to wait */
    for (int i = 0; i < 10; i++) {
        size_t had = t.body_n;
        egress_resume(t.call);
        pump(5);
        CHECK(t.body_n > had && t.body_n - had <= 128 * 1024);
    }
    t.pauses_in_body = false;
    egress_resume(t.call);
    wait_for(&t.ends, 5000);
    CHECK_INT(t.result, EGRESS_OK);
    CHECK_INT(t.body_n, total);
    raw_stop(u);
    tear_down();
}

__attribute__((unused)) static size_t memory_of_open_calls(size_t body_n, enum raw_end end)
{
    enum { CALLS = 200 };
    struct raw_script s = script_of("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n", end);
    static struct told t[CALLS];
    char *bytes = calloc(1, body_n);
    struct weir_str body = { bytes, body_n };
    memset(t, 0, sizeof(t));
    set_up();
    struct raw_upstream *u = raw_start(&s);
    start_with(&t[0], url_of(u), "POST", &body, 1);
    pump(50);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 1; i < CALLS; i++) {
        start_with(&t[i], url_of(u), "POST", &body, 1);
        pump(1);
    }
    pump(200);
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    int open = 0;
    for (int i = 0; i < CALLS; i++) {
        open += t[i].heads && t[i].call;
        if (t[i].call)
            egress_cancel(t[i].call);
    }
    raw_stop(u);
    egress_free(egress);
    event_base_free(base);
    free(bytes);
    return open == CALLS ? (after - before) / (CALLS - 1) : SIZE_MAX;
}

TEST(an_open_call_costs_little)
{
#if defined(__SANITIZE_ADDRESS__)
    SKIP("memory is not measured under the address sanitizer");
#else
    size_t small = memory_of_open_calls(1000, RAW_KEEP), large = memory_of_open_calls(100000, RAW_KEEP);
    printf("  %zu bytes per open call with a body of 1 KB, %zu with 100 KB (the body not counted)\n", small, large);
    CHECK(small < 20 * 1024);
    CHECK(large < 28 * 1024);
#endif
}

/* ---- TLS ---- */

/* The exit code of a shell command; the machine's openssl makes the certificates. */
static int run_shell(const char *command)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static pid_t start_tls_server(const char *folder, unsigned *port)
{
    char command[1024], line[256];
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/k -out %s/c -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>%s/log", folder, folder, folder);
    if (run_shell(command) != 0)
        return -1;
    int out[2];
    if (pipe(out) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        char key[512], cert[512];
        snprintf(key, sizeof(key), "%s/k", folder);
        snprintf(cert, sizeof(cert), "%s/c", folder);
        dup2(out[1], 1);
        dup2(out[1], 2);
        execlp("openssl", "openssl", "s_server", "-www", "-accept", "127.0.0.1:0", "-key", key, "-cert", cert, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    *port = 0;
    while (!*port && fgets(line, sizeof(line), f))
        if (sscanf(line, "ACCEPT 127.0.0.1:%u", port) != 1)
            *port = 0;
    fclose(f);
    return pid;
}

TEST(tls)
{
    char folder[] = "/tmp/weir-tls-XXXXXX", url[64], ca[64], command[128];
    unsigned port = 0;
    if (run_shell("openssl version >/dev/null 2>&1") != 0)
        SKIP("no openssl program");
    CHECK(mkdtemp(folder) != NULL);
    pid_t pid = start_tls_server(folder, &port);
    CHECK(pid > 0 && port > 0);
    set_up();
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
    struct told t = call_url(url, 2000);
    CHECK_INT(t.result, EGRESS_TLS);
    CHECK(strstr(t.message, "self") || strstr(t.message, "certificate"));
    snprintf(ca, sizeof(ca), "%s/c", folder);
    struct egress_origin trusting = { .name = "tls", .ca = ca, .proxy = "" };
    struct egress_request r = { .origin = &trusting, .method = "GET", .url = url, .connect_ms = 2000 };
    t = (struct told){ 0 };
    t.call = egress_start(egress, &r, &ops, &t);
    wait_for(&t.ends, 3000);
    if (t.result != EGRESS_OK)
        printf("  %s\n", t.message);
    CHECK_INT(t.status, 200);
    CHECK_INT(t.result, EGRESS_OK);
    CHECK(t.timing.tls_us > 0);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    (void)!run_shell(command);
    tear_down();
}

TEST(tls_to_a_plain_port)
{
    struct raw_script s = script_of("HTTP/1.1 400 Bad Request\r\n\r\n", RAW_CLOSE);
    s.steps[0][0].at_once = true;
    char url[64];
    set_up();
    struct raw_upstream *u = raw_start(&s);
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", raw_port(u));
    struct told t = call_url(url, 2000);
    CHECK_INT(t.result, EGRESS_TLS);
    raw_stop(u);
    tear_down();
}
