/* The parser of requests against the shared cases of two strict parsers, and what those don't say: cuts at every byte, chunks,
 * limits. Every case in default mode is run; where weir decides otherwise, the case stands in `argued` with the reason.
 */
#include <jansson.h>

#include "bytes.h"
#include "http.h"
#include "test.h"

enum { ROOM = 200 * 1024 };

/* What becomes of the bytes of one connection. */
struct reading {
    int complete; /* messages read whole */
    bool is_refused; /* … before something that can't be read */
    bool has_upgrade; /* the last one asks for another protocol: the pipeline refuses it (426) */
    bool was_last; /* the client said it is: nothing after it is read */
    struct http_head head; /* of the last message; points into bytes */
    char body[ROOM]; /* of the last message */
    size_t body_n;
    char bytes[ROOM];
    size_t n;
};

static struct reading reading;

static bool read_chunked(struct reading *r, size_t *at)
{
    struct http_chunks chunks = { 0 };
    bool done = false;
    while (!done && *at < r->n) {
        const char *data;
        size_t data_n;
        int64_t used = http_chunks_next(&chunks, r->bytes + *at, r->n - *at, &data, &data_n, &done);
        r->is_refused = used < 0;
        if (r->is_refused)
            return false;
        memcpy(r->body + r->body_n, data, data_n);
        r->body_n += data_n;
        *at += (size_t)used;
    }
    return done;
}

static bool read_message(struct reading *r, size_t *at)
{
    const char *why;
    int rc = http_parse_request(r->bytes + *at, r->n - *at, 0, &r->head, &why);
    r->is_refused = rc < 0;
    if (rc <= 0)
        return false;
    *at += (size_t)rc;
    r->body_n = 0;
    if (r->head.is_chunked)
        return read_chunked(r, at);
    size_t want = r->head.content_length > 0 ? (size_t)r->head.content_length : 0;
    if (want > r->n - *at)
        return false;
    memcpy(r->body, r->bytes + *at, want);
    r->body_n = want;
    *at += want;
    return true;
}

static void read_all(const char *p, size_t n, const char *suffix)
{
    struct reading *r = &reading;
    size_t at = 0;
    memset(r, 0, offsetof(struct reading, bytes));
    memcpy(r->bytes, p, n);
    memcpy(r->bytes + n, suffix, strlen(suffix));
    r->n = n + strlen(suffix);
    while (at < r->n && !r->was_last && read_message(r, &at)) {
        r->complete++;
        r->has_upgrade = r->head.wants_upgrade;
        r->was_last = !r->head.keeps_alive || r->has_upgrade;
    }
}

/* ---- the shared cases ---- */

struct argued {
    const char *id, *why;
};

static const struct argued argued[] = {
    { "gunicorn/invalid/006", "a target of 4100 bytes: RFC 9112, 3 recommends at least 8000; weir's bound is 16384" },
    { "gunicorn/valid/025_line",
      "gzip under chunked: weir does not decode it, so it answers 501 (RFC 9112, 6.1) instead of "
      "handing on a body that nobody can read" },
    { "gunicorn/valid/rfc9112_smuggle_gzip_chunked_01", "as valid/025_line" },
    { "llhttp/request/transfer-encoding:754", "as valid/025_line, with deflate" },
    { "llhttp/request/transfer-encoding:796", "as valid/025_line, with deflate on a line of its own" },
    { "gunicorn/valid/031",
      "the file has this case in both directions: -BLARGH here, -bl (refused) in invalid/003c. Both are "
      "tokens; weir refuses lower case letters in a method and takes this one" },
    { "llhttp/request/connection:297",
      "what follows `connection: close` is never read as a request (RFC 9112, 9.6; gunicorn's "
      "valid/021 wants exactly this); the message itself is good" },
    { "llhttp/request/connection:347", "as connection:297" },
    { "llhttp/request/invalid:69",
      "ANNOUNCE is a token like any other to the parser; no route has it, so it gets 404" },
    { "llhttp/request/method:375", "ICE/1.0 is not HTTP" },
    { "llhttp/request/method:405", "RTSP/1.0 is not HTTP" },
    { "llhttp/request/method:433", "RTSP/1.0 is not HTTP" },
};

static const char *argument(const char *id)
{
    for (size_t i = 0; i < sizeof(argued) / sizeof(argued[0]); i++)
        if (strcmp(argued[i].id, id) == 0)
            return argued[i].why;
    return NULL;
}

/* The collection of llhttp's cases lost the line ends at their ends: what is missing is tried. */
static const char *const suffixes[] = { "", "\r\n", "\n", "\r\n\r\n" };

static bool is_accepted(const char *p, size_t n, int wanted)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        read_all(p, n, suffixes[i]);
        if (!reading.is_refused && !reading.has_upgrade && (wanted == 0 || reading.complete >= wanted))
            return true;
    }
    return false;
}

static bool is_refused(const char *p, size_t n)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        read_all(p, n, suffixes[i]);
        if (!reading.is_refused && !reading.has_upgrade && reading.complete > 0)
            return false;
    }
    return true;
}

/* The last of the messages that the case describes (an object, or several in an array), against the last that was read. */
static bool is_as_described(json_t *detail)
{
    json_t *m = json_is_array(detail) ? json_array_get(detail, json_array_size(detail) - 1) : detail;
    if (!json_is_object(m))
        return true;
    const struct http_head *h = &reading.head;
    bool is_same =
        weir_is(h->method, json_string_value(json_object_get(m, "method"))) &&
        weir_is(h->target, json_string_value(json_object_get(m, "uri"))) &&
        h->minor == (uint32_t)json_integer_value(json_array_get(json_object_get(m, "version"), 1)) &&
        weir_is((struct weir_str){ reading.body, reading.body_n }, json_string_value(json_object_get(m, "body")));
    size_t i, at = 0;
    json_t *field;
    json_array_foreach(json_object_get(m, "headers"), i, field)
    {
        char name[64] = "";
        for (size_t k = 0; k < sizeof(name) - 1 && json_string_value(json_array_get(field, 0))[k]; k++)
            name[k] = (char)(json_string_value(json_array_get(field, 0))[k] | 0x20);
        while (at < h->n_headers && memchr(h->headers[at].name.p, '_', h->headers[at].name.n))
            at++; /* gunicorn hides such names, which CGI would confuse with others; here nothing can */
        is_same = is_same && at < h->n_headers && h->headers[at].name.n == strlen(name);
        is_same = is_same && weir_is(h->headers[at++].value, json_string_value(json_array_get(field, 1)));
    }
    return is_same;
}

static bool is_default_mode(json_t *c)
{
    return !json_is_true(json_object_get(c, "lenient")) && json_array_size(json_object_get(c, "settings")) == 0 &&
           strcmp(json_string_value(json_object_get(c, "kind")), "request") == 0;
}

/* 0: as expected; 1: argued; -1: neither. */
static int run_case(json_t *c, struct arena *a)
{
    const char *id = json_string_value(json_object_get(c, "id"));
    struct weir_str bytes;
    if (!bytes_base64_decode(a, weir_cstr(json_string_value(json_object_get(c, "bytes_b64"))), BYTES_BASE64_STD,
                             &bytes))
        return -1;
    bool wants = strcmp(json_string_value(json_object_get(c, "expect")), "accept") == 0;
    json_t *complete = json_object_get(c, "messages_complete");
    bool is_right = wants ? is_accepted(bytes.p, bytes.n, complete ? (int)json_integer_value(complete) : 1) &&
                                is_as_described(json_object_get(c, "detail"))
                          : is_refused(bytes.p, bytes.n);
    if (!is_right && !argument(id))
        printf("  %s: expected %s\n", id, wants ? "accept" : "reject");
    return is_right ? 0 : argument(id) ? 1 : -1;
}

static FILE *open_cases(void)
{
    const char *shared = getenv("WEIR_SHARED");
    char path[512];
    snprintf(path, sizeof(path), "%s/data/http1_cases.jsonl", shared && *shared ? shared : "../shared");
    return fopen(path, "r");
}

TEST(shared_cases)
{
    FILE *f = open_cases();
    if (!f)
        SKIP("no ../shared/data/http1_cases.jsonl");
    static char line[64 * 1024];
    int counts[3] = { 0 };
    while (fgets(line, sizeof(line), f)) {
        json_t *c = json_loads(line, 0, NULL);
        struct arena *a = arena_new();
        CHECK(c && a);
        if (is_default_mode(c))
            counts[run_case(c, a) + 1]++;
        arena_free(a);
        json_decref(c);
    }
    fclose(f);
    printf("  %d as expected, %d argued, %d wrong\n", counts[1], counts[2], counts[0]);
    CHECK_INT(counts[0], 0);
    CHECK(counts[1] > 80);
}

/* ---- heads ---- */

static int parse(const char *text, struct http_head *head, const char **why)
{
    static char bytes[ROOM];
    memcpy(bytes, text, strlen(text));
    return http_parse_request(bytes, strlen(text), 0, head, why);
}

static int status_of(const char *text)
{
    static struct http_head head;
    const char *why;
    int rc = parse(text, &head, &why);
    if (rc < 0 && !*why)
        return 0;
    return rc < 0 ? -rc : 200;
}

#define HEAD                                                                                                           \
    "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: weir:8080\r\nX-Thing:  some value \t\r\nContent-Length: "         \
    "12\r\n\r\n"

TEST(a_head)
{
    static struct http_head h;
    const char *why;
    CHECK_INT(parse(HEAD "rest", &h, &why), (int)strlen(HEAD));
    CHECK(weir_is(h.method, "POST") && weir_is(h.path, "/v1/chat/completions") && weir_is(h.query, "a=b"));
    CHECK(weir_is(h.target, "/v1/chat/completions?a=b"));
    CHECK_INT(h.n_headers, 3);
    CHECK(weir_is(http_find(h.headers, h.n_headers, "x-thing"), "some value"));
    CHECK(http_find(h.headers, h.n_headers, "absent").p == NULL);
    CHECK(h.content_length == 12 && h.keeps_alive && !h.is_chunked && !h.wants_upgrade && !h.expects_continue &&
          h.minor == 1);
}

TEST(cut_at_every_byte)
{
    static struct http_head h;
    const char *why;
    char bytes[sizeof(HEAD)];
    size_t whole = strlen(HEAD);
    memcpy(bytes, HEAD, sizeof(HEAD));
    for (size_t n = 0; n < whole; n++)
        CHECK_INT(http_parse_request(bytes, n, n ? n - 1 : 0, &h, &why), 0);
    CHECK_INT(http_parse_request(bytes, whole, whole - 1, &h, &why), (int)whole);
    CHECK(weir_is(h.path, "/v1/chat/completions"));
}

TEST(targets)
{
    static struct http_head h;
    const char *why;
    CHECK(parse("GET http://weir:8080/v1/models?x=1 HTTP/1.1\r\n\r\n", &h, &why) > 0);
    CHECK(weir_is(h.path, "/v1/models") && weir_is(h.query, "x=1"));
    CHECK(parse("GET http://weir:8080?x=1 HTTP/1.1\r\n\r\n", &h, &why) > 0);
    CHECK(weir_is(h.path, "/") && weir_is(h.query, "x=1"));
    CHECK(parse("GET /a#b?c HTTP/1.1\r\n\r\n", &h, &why) > 0);
    CHECK(weir_is(h.path, "/a") && h.query.n == 0);
    CHECK_INT(status_of("GET http:///path HTTP/1.1\r\n\r\n"), 400);
    CHECK_INT(status_of("GET ftp://a/path HTTP/1.1\r\n\r\n"), 400);
    CHECK_INT(status_of("GET path HTTP/1.1\r\n\r\n"), 400);
    CHECK_INT(status_of("GET http://a@b/ HTTP/1.1\r\n\r\n"), 400);
    CHECK_INT(status_of("CONNECT a:443 HTTP/1.1\r\n\r\n"), 501);
    CHECK_INT(status_of("GET  / HTTP/1.1\r\n\r\n"), 400);
}

TEST(statuses)
{
    CHECK_INT(status_of("GET / HTTP/2.0\r\n\r\n"), 505);
    CHECK_INT(status_of("GET / HTTP/1.2\r\n\r\n"), 505);
    CHECK_INT(status_of("GET / HTTP/x.1\r\n\r\n"), 400);
    CHECK_INT(status_of("GET /\r\n\r\n"), 400);
    CHECK_INT(status_of("\x16\x03\x01\x02"), 400);
    CHECK_INT(status_of("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"), 400);
    CHECK_INT(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"), 400);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 501);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"), 400);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n"), 400);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n"), 400);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400);
    CHECK_INT(status_of("POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n"), 400);
    CHECK_INT(status_of("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
}

TEST(connection_options)
{
    static struct http_head h;
    const char *why;
    CHECK(parse("GET / HTTP/1.1\r\nConnection: foo, CLOSE\r\n\r\n", &h, &why) > 0 && !h.keeps_alive);
    CHECK(parse("GET / HTTP/1.0\r\n\r\n", &h, &why) > 0 && !h.keeps_alive);
    CHECK(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h, &why) > 0 && h.keeps_alive);
    CHECK(parse("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", &h, &why) > 0 && !h.keeps_alive);
    CHECK(parse("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", &h, &why) > 0 &&
          h.wants_upgrade);
    CHECK(parse("GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", &h, &why) > 0 &&
          !h.wants_upgrade);
    CHECK(parse("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", &h, &why) > 0 && !h.wants_upgrade);
    CHECK(parse("POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n", &h, &why) > 0 &&
          h.expects_continue);
    CHECK(parse("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", &h, &why) > 0 &&
          !h.expects_continue);
}

TEST(too_much)
{
    static char text[ROOM];
    static struct http_head h;
    const char *why;
    size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 129; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "a%d: b\r\n", i);
    snprintf(text + n, sizeof(text) - n, "\r\n");
    CHECK_INT(parse(text, &h, &why), -431);
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    CHECK_INT(http_parse_request(text, 16000, 0, &h, &why), 0);
    CHECK_INT(http_parse_request(text, 17000, 0, &h, &why), -414);
}

/* ---- chunks ---- */

#define CHUNKED "5;a=b; c=\"d;\\\"e\"\r\nhello\r\n6\r\n world\r\n000\r\nVary: *\r\n\r\n"

/* Decodes in pieces of at most `step` bytes. Returns how many bytes were used, -1: malformed, -2: not over. */
static int64_t decode(const char *in, size_t n, size_t cut, char *out, size_t *out_n)
{
    struct http_chunks c = { 0 };
    bool done = false;
    size_t at = 0;
    *out_n = 0;
    while (at < n && !done) {
        const char *data;
        size_t data_n, have = n - at < cut ? n - at : cut;
        int64_t used = http_chunks_next(&c, in + at, have, &data, &data_n, &done);
        if (used < 0)
            return -1;
        memcpy(out + *out_n, data, data_n);
        *out_n += data_n;
        at += (size_t)used;
    }
    return done ? (int64_t)at : -2;
}

static int64_t decoded(const char *in)
{
    static char out[ROOM];
    size_t n;
    return decode(in, strlen(in), SIZE_MAX, out, &n);
}

TEST(chunks_cut_anywhere)
{
    char out[64];
    size_t n;
    for (size_t cut = 1; cut <= strlen(CHUNKED); cut++) {
        CHECK_INT(decode(CHUNKED "GET", strlen(CHUNKED "GET"), cut, out, &n), (int)strlen(CHUNKED));
        CHECK(n == 11 && memcmp(out, "hello world", 11) == 0);
    }
}

TEST(chunks_malformed)
{
    static const char *const bad[] = { "\r\n",
                                       "g\r\n",
                                       "-5\r\n",
                                       "+5\r\n",
                                       "0x5\r\n",
                                       " 5\r\n",
                                       "5 \r\n",
                                       "5\n",
                                       "5;\r\n",
                                       "5;=b\r\n",
                                       "5;a=\r\n",
                                       "5;a=\"b\r\n",
                                       "5;a=\"b\"c\r\n",
                                       "5;a b\r\n",
                                       "5\r\nhelloX",
                                       "5\r\nhello\rX",
                                       "5\r\nhello\n",
                                       "0\r\nA b: c\r\n",
                                       "0\r\n b: c\r\n",
                                       "0\r\nno colon\r\n",
                                       "0\r\n: c\r\n",
                                       "0\r\nTransfer-Encoding: chunked\r\n",
                                       "0\r\nContent-Length: 3\r\n",
                                       "0\r\na: b\rc",
                                       "0\r\na: \x01",
                                       "0\r\n\rX",
                                       "11111111111111111\r\n" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (decoded(bad[i]) != -1) {
            printf("  %s\n", bad[i]);
            CHECK(false);
        }
    CHECK_INT(decoded("5\r\nhel"), -2);
    CHECK_INT(decoded("0\r\n"), -2);
}

TEST(chunks_are_bounded)
{
    static char in[ROOM], out[ROOM];
    size_t n;
    memset(in, 'a', sizeof(in));
    memcpy(in, "5;", 2);
    CHECK_INT(decode(in, 5000, SIZE_MAX, out, &n), -1);
    memcpy(in, "0\r\na: ", 6);
    CHECK_INT(decode(in, 17000, SIZE_MAX, out, &n), -1);
}

TEST(names_and_values)
{
    CHECK(http_is_token(WEIR_LIT("x-a_b.c!")) && !http_is_token(WEIR_LIT("a b")) && !http_is_token(WEIR_LIT("")));
    CHECK(!http_is_token(WEIR_LIT("a\xc3\x9f")) && !http_is_token(WEIR_LIT("a:")));
    CHECK(http_is_value(WEIR_LIT("a\tb \xc3\x9f")) && http_is_value(WEIR_LIT("")));
    CHECK(!http_is_value(WEIR_LIT("a\r")) && !http_is_value(WEIR_LIT("a\nb")) && !http_is_value(WEIR_LIT("a\0b")) &&
          !http_is_value(WEIR_LIT("\x7f")));
    CHECK_STR(http_reason(413), "Content Too Large");
    CHECK_STR(http_reason(299), "");
}
