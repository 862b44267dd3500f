/* The simulator as it ships: build/providers/simulator.so, loaded into a child process whose loop is libevent, with
 * just enough of a host; the tests are its blocking client. */
#include "test.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weir/codec.h>

/* ---- a host of timers and watches ---- */

static struct event_base *base;
static struct weir_host host;

struct wait {
    struct event *event;
    weir_fn fn;
    weir_watch_fn watch_fn;
    void *arg;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct wait *w = arg, copy = *w;
    (void)fd, (void)what;
    event_free(w->event);
    free(w);
    copy.fn(copy.arg);
}

static void *host_timer(struct weir_instance *inst, uint32_t ms, weir_fn fn, void *arg)
{
    struct wait *w = calloc(1, sizeof(*w));
    struct timeval after = { ms / 1000, (ms % 1000) * 1000 };
    (void)inst;
    *w = (struct wait){ .event = event_new(base, -1, 0, on_timer, w), .fn = fn, .arg = arg };
    event_add(w->event, &after);
    return w;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct wait *w = arg;
    w->watch_fn(w->arg, fd, (what & EV_READ ? WEIR_READABLE : 0) | (what & EV_WRITE ? WEIR_WRITABLE : 0));
}

static void *host_watch(struct weir_instance *inst, int fd, uint32_t events, weir_watch_fn fn, void *arg)
{
    struct wait *w = calloc(1, sizeof(*w));
    short what = EV_PERSIST;
    (void)inst;
    what |= (events & WEIR_READABLE ? EV_READ : 0) | (events & WEIR_WRITABLE ? EV_WRITE : 0);
    *w = (struct wait){ .event = event_new(base, fd, what, on_watch, w), .watch_fn = fn, .arg = arg };
    event_add(w->event, NULL);
    return w;
}

static void host_cancel(struct weir_instance *inst, void *handle)
{
    struct wait *w = handle;
    (void)inst;
    event_free(w->event);
    free(w);
}

static int64_t host_now_ms(void)
{
    return INT64_C(1700000000000);
}

__attribute__((format(printf, 3, 4))) static void host_log(struct weir_instance *inst, enum weir_log_level level,
                                                           const char *format, ...)
{
    va_list args;
    (void)inst, (void)level;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    event_base_loopbreak(base);
}

static void serve(const struct weir_plugin *plugin, const void *entry, int out)
{
    void *self = NULL;
    base = event_base_new();
    struct event *term = evsignal_new(base, SIGTERM, on_term, NULL);
    event_add(term, NULL);
    host = (struct weir_host){ .size = sizeof(host),
                               .timer = host_timer,
                               .timer_cancel = host_cancel,
                               .watch = host_watch,
                               .watch_cancel = host_cancel,
                               .now_ms = host_now_ms,
                               .log = host_log };
    if (plugin->codec->create(&host, NULL, &self) < 0)
        exit(1);
    const char *url = plugin->codec->endpoint(self, entry);
    if (!url || write(out, url, strlen(url) + 1) < 0)
        exit(1);
    event_base_dispatch(base);
    plugin->codec->destroy(self);
    event_free(term);
    event_base_free(base);
    exit(0);
}

/* ---- the child ---- */

struct entry { /* as the plugin's table has it: see explain-plugin */
    int64_t port, max_connections, tokens, ttft_ms, pace_ms;
    const char *simulate;
};

static pid_t child;
static uint16_t port;

static const struct weir_plugin *load(void)
{
    char path[512];
    const char *build = getenv("WEIR_BUILD");
    snprintf(path, sizeof(path), "%s/providers/simulator.so", build ? build : "build");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct weir_plugin *plugin = so ? dlsym(so, "weir_plugin") : NULL;
    if (!plugin)
        printf("  %s\n", dlerror());
    return plugin;
}

static void end_child(void)
{
    int status = 0;
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    if (status != 0)
        printf("FAIL the simulator ended with status %d\n", status);
}

static bool start(void)
{
    int ends[2];
    char url[64] = "";
    if (child)
        return true;
    const struct weir_plugin *plugin = load();
    if (!plugin || pipe(ends) < 0)
        return false;
    child = fork();
    if (child == 0) {
        struct entry entry = { 0, 100, 12, 0, 0, "" };
        close(ends[0]);
        serve(plugin, &entry, ends[1]);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], url, sizeof(url) - 1);
    close(ends[0]);
    const char *colon = n > 0 ? strrchr(url, ':') : NULL;
    port = (uint16_t)(colon ? atoi(colon + 1) : 0);
    atexit(end_child);
    return port != 0;
}

/* ---- the client ---- */

static char answer[2 * 1024 * 1024];
static size_t answer_n;
static int last_errno; /* why reading ended: 0 FIN, ECONNRESET, EAGAIN (nothing came for a while) */

static int dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval limit = { 0, 300000 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return -1;
    return fd;
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        p += k;
        n -= (size_t)k;
    }
}

static void read_all(int fd)
{
    ssize_t n;
    answer_n = 0;
    while ((n = recv(fd, answer + answer_n, sizeof(answer) - 1 - answer_n, 0)) > 0)
        answer_n += (size_t)n;
    last_errno = n < 0 ? errno : 0;
    answer[answer_n] = '\0';
}

static void post(const char *path, const char *body)
{
    char head[256];
    int fd = dial();
    int n =
        snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %zu\r\n\r\n",
                 path, strlen(body));
    send_all(fd, head, (size_t)n);
    send_all(fd, body, strlen(body));
    read_all(fd);
    close(fd);
}

static void ask(const char *model, const char *rest)
{
    char body[4096];
    snprintf(
        body, sizeof(body),
        "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"How do rivers carry their sediment?\"}]%s}",
        model, rest);
    post("/v1/chat/completions", body);
}

static bool has(const char *s)
{
    return strstr(answer, s) != NULL;
}

static size_t count(const char *s)
{
    size_t n = 0;
    for (const char *p = answer; (p = strstr(p, s)); p += strlen(s))
        n++;
    return n;
}

static const char *body_of(void)
{
    const char *p = strstr(answer, "\r\n\r\n");
    return p ? p + 4 : "";
}

#define STREAM ",\"stream\":true"
#define STARTED() CHECK(start())

TEST(answers_whole)
{
    STARTED();
    ask("demo", "");
    CHECK(has("HTTP/1.1 200 OK") && has("\"object\":\"chat.completion\"") && has("\"finish_reason\":\"stop\""));
    CHECK(has("rivers carry") && has("\"usage\":{\"prompt_tokens\":") && has("\"completion_tokens\":12,"));
    CHECK_INT(last_errno, 0);
}

TEST(repeats_itself)
{
    char first[4096];
    STARTED();
    ask("demo", "");
    snprintf(first, sizeof(first), "%.4000s", strstr(answer, "\"content\":"));
    ask("demo", "");
    CHECK(strstr(answer, "\"content\":") && strncmp(strstr(answer, "\"content\":"), first, 100) == 0);
}

TEST(streams)
{
    STARTED();
    ask("demo", STREAM ",\"stream_options\":{\"include_usage\":true}");
    CHECK(has("content-type: text/event-stream") && has("data: [DONE]\n\n"));
    CHECK_INT(count("\"delta\":{\"content\""), 12);
    CHECK_INT(count("\"choices\":[],\"usage\":{"), 1);
    CHECK_INT(count("\"usage\":null"), 14);
    CHECK(strcmp(answer + answer_n - 5, "0\r\n\r\n") == 0);
}

TEST(keeps_to_its_pace)
{
    struct timespec from, to;
    STARTED();
    clock_gettime(CLOCK_MONOTONIC, &from);
    ask("demo?ttft=100ms&pace=20ms&tokens=5", STREAM);
    clock_gettime(CLOCK_MONOTONIC, &to);
    int64_t ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    CHECK(ms >= 195 && ms < 900);
}

TEST(any_status_any_header)
{
    STARTED();
    ask("demo?status=429&header=retry-after:3&header=x-odd:%20a%20b", "");
    CHECK(has("HTTP/1.1 429 Too Many Requests\r\n") && has("retry-after: 3\r\n") && has("x-odd: a b\r\n"));
    CHECK(has("\"code\":\"rate_limit_exceeded\""));
    ask("demo?status=502&html", "");
    CHECK(has("HTTP/1.1 502") && has("text/html") && has("<h1>502</h1>"));
    ask("demo", ",\"metadata\":{\"simulate\":\"status=418\"}");
    CHECK(has("HTTP/1.1 418"));
    ask("demo", ",\"user\":\"simulate: status=451\"");
    CHECK(has("HTTP/1.1 451"));
    post("/v1/chat/completions",
         "{\"model\":\"demo\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\\nsimulate: status=503\\n\"}]}");
    CHECK(has("HTTP/1.1 503") && has("server_is_overloaded"));
}

TEST(refuses_what_it_does_not_know)
{
    STARTED();
    ask("demo?ttfft=3", "");
    CHECK(has("HTTP/1.1 400") && has("'ttfft' is not known"));
    ask("demo?header=content-length:3", "");
    CHECK(has("HTTP/1.1 400"));
    ask("demo?header=a:b%0d%0ac:d", "");
    CHECK(has("HTTP/1.1 400"));
    post("/v1/chat/completions", "{\"model\":");
    CHECK(has("HTTP/1.1 400") && has("not JSON"));
    post("/v1/embeddings", "{}");
    CHECK(has("HTTP/1.1 404"));
}

TEST(ends_at_any_byte)
{
    char model[64];
    STARTED();
    ask("demo?text=one%20two", STREAM);
    size_t whole = answer_n;
    for (size_t at = 0; at < whole; at += 13) {
        snprintf(model, sizeof(model), "demo?text=one%%20two&fin_at=%zu", at);
        ask(model, STREAM);
        CHECK_INT(answer_n, at);
        CHECK_INT(last_errno, 0);
        snprintf(model, sizeof(model), "demo?text=one%%20two&rst_at=%zu", at);
        ask(model, STREAM);
        CHECK_INT(answer_n, at);
        CHECK_INT(last_errno, ECONNRESET);
    }
}

TEST(ends_behind_bytes_of_the_body)
{
    STARTED();
    ask("demo?fin_after=20", "");
    CHECK_INT(strlen(body_of()), 20);
    CHECK_INT(last_errno, 0);
    ask("demo?rst_after=0", "");
    CHECK_STR(body_of(), "");
    CHECK_INT(last_errno, ECONNRESET);
    ask("demo?rst_after=500", STREAM);
    CHECK_INT(last_errno, ECONNRESET);
}

TEST(stalls)
{
    STARTED();
    ask("demo?stall_after=3", STREAM);
    CHECK_INT(last_errno, EAGAIN);
    CHECK_INT(count("data: "), 3);
    ask("demo?no_head", STREAM);
    CHECK_INT(last_errno, EAGAIN);
    CHECK_INT(answer_n, 0);
    ask("demo?stall_after=0", "");
    CHECK(has("content-length") && *body_of() == '\0');
    CHECK_INT(last_errno, EAGAIN);
}

TEST(breaks_events_and_chunks)
{
    STARTED();
    ask("demo?garble=3", STREAM);
    CHECK_INT(count("]`\n\n"), 1);
    CHECK(has("data: [DONE]"));
    ask("demo?wrong_chunk=2&text=one", STREAM);
    CHECK(has("0\r\n\r\n") && last_errno == 0);
    ask("demo?no_body", STREAM);
    CHECK(has("HTTP/1.1 200") && *body_of() == '\0' && last_errno == 0);
    ask("demo?no_body", "");
    CHECK(has("content-length: ") && *body_of() == '\0' && last_errno == 0);
    ask("demo?truncate=40", "");
    CHECK(has("content-length: 40\r\n") && strlen(body_of()) == 40);
    ask("demo?no_done", STREAM);
    CHECK(!has("[DONE]") && has("\"finish_reason\":\"stop\"") && has("0\r\n\r\n"));
    ask("demo?error_event=4", STREAM);
    CHECK(has("data: {\"error\":{") && !has("[DONE]"));
    CHECK_INT(count("data: "), 5);
}

TEST(cuts_characters)
{
    STARTED();
    ask("demo?cut_utf8=1", STREAM);
    CHECK(((unsigned char)answer[answer_n - 3] & 0xC0) == 0xC0 && last_errno == 0);
    ask("demo?split_utf8=2", STREAM);
    CHECK(has("[DONE]"));
    ask("demo?bad_utf8=2", STREAM);
    CHECK(has("[DONE]"));
}

TEST(splits_every_byte)
{
    STARTED();
    ask("demo?text=hello&split=7", STREAM);
    CHECK(has("hello") && has("[DONE]"));
}

#define TOOLS                                                                                                          \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\","   \
    "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":3}},"     \
    "\"required\":[\"city\"]}}},{\"type\":\"function\",\"function\":{\"name\":\"noop\"}}]"

TEST(calls_tools)
{
    STARTED();
    ask("demo", TOOLS);
    CHECK(!has("tool_calls\":["));
    ask("demo?tool=get_weather", TOOLS);
    CHECK(has("\"finish_reason\":\"tool_calls\"") && has("\"name\":\"get_weather\"") &&
          has("{\\\"city\\\":\\\"Paris\\\""));
    ask("demo?tool&calls=2", TOOLS STREAM);
    CHECK(has("\"index\":1,\"id\":\"call_") && has("\"name\":\"noop\"") && count("\"arguments\":") > 4);
    ask("demo", TOOLS ",\"tool_choice\":\"required\"");
    CHECK(has("\"finish_reason\":\"tool_calls\""));
    ask("demo", TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"noop\"}}");
    CHECK(has("\"name\":\"noop\",\"arguments\":\"{}\""));
}

TEST(answers_with_the_tool_result)
{
    STARTED();
    post("/v1/chat/completions",
         "{\"model\":\"demo?tool=any\",\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"},{\"role\":"
         "\"assistant\","
         "\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
         "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"18 degrees\"}]" TOOLS "}");
    CHECK(has("The tool says: 18 degrees") && has("\"finish_reason\":\"stop\""));
}

TEST(follows_a_schema)
{
    STARTED();
    ask("demo",
        ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":"
        "\"object\","
        "\"properties\":{\"when\":{\"type\":\"string\",\"format\":\"date\"},\"kind\":{\"enum\":[\"a\",\"b\"]},\"next\":"
        "{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\"}]},\"tags\":{\"type\":\"array\",\"items\":{\"type\":"
        "\"string\"}}},"
        "\"required\":[\"when\",\"kind\"]}}}");
    CHECK(has("{\\\"when\\\":\\\"2026-11-23\\\",\\\"kind\\\":\\\"a\\\"") && has("\\\"tags\\\":["));
    ask("demo", ",\"response_format\":{\"type\":\"json_object\"}");
    CHECK(has("{\\\"answer\\\":"));
}

TEST(heeds_limits)
{
    STARTED();
    ask("demo", ",\"max_tokens\":4");
    CHECK(has("\"finish_reason\":\"length\"") && has("\"completion_tokens\":4,"));
    ask("demo?text=one%20two%20three", ",\"stop\":[\" two\"]");
    CHECK(has("\"content\":\"one\"") && has("\"finish_reason\":\"stop\""));
    ask("demo", ",\"n\":3");
    CHECK(has("\"index\":2,"));
    ask("demo?thinking=6", "");
    CHECK(has("\"reasoning_content\":\"") && has("\"reasoning_tokens\":6"));
    ask("demo?refusal", "");
    CHECK(has("\"content\":null,\"refusal\":\"I am sorry"));
}

TEST(speaks_anthropic)
{
    STARTED();
    post("/v1/messages", "{\"model\":\"demo?thinking=3\",\"max_tokens\":50,\"messages\":[{\"role\":\"user\","
                         "\"content\":\"Hi there\"}]}");
    CHECK(has("\"type\":\"message\"") && has("{\"type\":\"thinking\",") && has("\"stop_reason\":\"end_turn\""));
    post(
        "/v1/messages",
        "{\"model\":\"demo\",\"max_tokens\":50,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"Hi\"}]}],\"tools\":[{\"name\":\"t\",\"input_schema\":{\"type\":\"object\"}}],"
        "\"tool_choice\":{\"type\":\"any\"}}");
    CHECK(has("event: message_start\ndata: ") && has("\"type\":\"tool_use\",\"id\":\"toolu_") &&
          has("event: message_stop"));
    CHECK(has("input_json_delta") && has("\"stop_reason\":\"tool_use\""));
    post("/v1/messages", "{\"model\":\"demo?status=529\",\"messages\":[]}");
    CHECK(has("HTTP/1.1 529") && has("overloaded_error"));
}

/* The terminal event is one of two; each event's type stands in its name and in its data, numbered without a gap. */
TEST(speaks_responses)
{
    char number[40];
    STARTED();
    post("/v1/responses", "{\"model\":\"demo?tokens=4\",\"stream\":true,\"input\":\"Hi there\"}");
    int events = count("event: response.");
    for (int i = 0; i < events; i++) {
        snprintf(number, sizeof(number), "\"sequence_number\":%d,", i);
        CHECK_INT(count(number), 1);
    }
    CHECK_INT(count("event: response.output_text.delta"), 4);
    CHECK_INT(count("event: response.completed\ndata: {\"type\":\"response.completed\""), 1);
    post("/v1/responses", "{\"model\":\"demo\",\"stream\":true,\"max_output_tokens\":3,\"input\":\"Hi\"}");
    CHECK(has("event: response.incomplete") && has("\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"));
    CHECK(!has("event: response.completed"));
    post("/v1/responses", "{\"model\":\"demo?no_done\",\"stream\":true,\"input\":\"Hi\"}");
    CHECK(has("event: response.output_item.done") && !has("event: response.completed"));
    post("/v1/responses", "{\"model\":\"demo?error_event=4\",\"stream\":true,\"input\":\"Hi\"}");
    CHECK(has("event: error\ndata: {\"type\":\"error\",\"sequence_number\":4,\"code\":\"server_is_overloaded\""));
    CHECK_INT(count("event: "), 5);
    post("/v1/responses", "{\"model\":\"demo?status=429\",\"input\":\"Hi\"}");
    CHECK(has("HTTP/1.1 429") && has("\"code\":\"rate_limit_exceeded\""));
}

TEST(responses_loops_and_formats)
{
    STARTED();
    post("/v1/responses", "{\"model\":\"demo?tool=any\",\"input\":[{\"role\":\"user\",\"content\":\"Weather?\"},"
                          "{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{}\"},"
                          "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":\"18 degrees\"}],"
                          "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}}]}");
    CHECK(has("The tool says: 18 degrees") && !has("\"function_call\""));
    post("/v1/responses", "{\"model\":\"demo?thinking=2\",\"input\":\"Hi\",\"tools\":[{\"type\":\"function\",\"name\":\"f\","
                          "\"parameters\":{}}],\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}}");
    CHECK(has("\"type\":\"reasoning\"") && !has("encrypted_content") && has("\"call_id\":\"call_"));
    post("/v1/responses", "{\"model\":\"demo?refusal\",\"input\":\"Hi\"}");
    CHECK(has("{\"type\":\"refusal\",\"refusal\":\"I am sorry") && has("\"status\":\"completed\""));
    post("/v1/responses", "{\"model\":\"demo\",\"input\":\"Hi\",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"x\","
                          "\"schema\":{\"type\":\"object\",\"required\":[\"kind\"],\"properties\":{\"kind\":{\"enum\":[\"a\"]}}}}}}");
    CHECK(has("{\\\"kind\\\":\\\"a\\\"}"));
}

TEST(speaks_gemini)
{
    STARTED();
    post("/v1beta/models/demo%3Ftokens=5:generateContent",
         "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}]}");
    CHECK(has("\"candidates\":[{\"content\":{\"parts\":[{\"text\":") && has("\"candidatesTokenCount\":5,"));
    post("/v1beta/models/demo:streamGenerateContent?alt=sse",
         "{\"contents\":[{\"parts\":[{\"text\":\"Hi\\nsimulate: "
         "crlf&tool=any\"}]}],\"tools\":[{\"functionDeclarations\":[{\"name\":"
         "\"f\",\"parametersJsonSchema\":{\"type\":\"object\"}}]}]}");
    CHECK(has("\"functionCall\":{\"name\":\"f\",\"args\":{}}") && has("\"finishReason\":\"STOP\"") && has("}\r\n\r\n"));
}

static size_t answers_on_one_connection(const char *bytes)
{
    int fd = dial();
    send_all(fd, bytes, strlen(bytes));
    shutdown(fd, SHUT_WR);
    read_all(fd);
    close(fd);
    return count("HTTP/1.1 200 OK");
}

TEST(keeps_connections_and_reads_chunks)
{
    static const char one[] = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    static const char chunked[] =
        "POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        "9;x=y\r\n{\"model\":\r\n1e\r\n\"demo?text=hello\",\"messages\":[\r\n2\r\n]}\r\n0\r\na: b\r\n\r\n";
    char many[2048];
    STARTED();
    int n = snprintf(many, sizeof(many), "%s%s%s%s", one, chunked, one, one);
    int fd = dial();
    send_all(fd, many, (size_t)n);
    read_all(fd);
    close(fd);
    CHECK_INT(count("HTTP/1.1 200 OK"), 4);
    CHECK(has("hello") && last_errno == EAGAIN);
    CHECK_INT(answers_on_one_connection("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), 0);
    CHECK(has("HTTP/1.1 400"));
}

TEST(bounds_requests)
{
    static const char head[] = "POST /v1/messages HTTP/1.1\r\ncontent-length: 36000000\r\n\r\n";
    STARTED();
    int fd = dial();
    send_all(fd, head, sizeof(head) - 1);
    read_all(fd);
    close(fd);
    CHECK(has("HTTP/1.1 413"));
    CHECK_INT(last_errno, 0);
    char *huge = malloc(70000);
    memset(huge, 'a', 70000);
    fd = dial();
    send_all(fd, huge, 70000);
    read_all(fd);
    close(fd);
    free(huge);
    CHECK(has("HTTP/1.1 431") || last_errno == ECONNRESET);
}

TEST(bears_clients_that_leave)
{
    static const char body[] = "{\"model\":\"demo?pace=5ms&tokens=1000\",\"stream\":true,\"messages\":[]}";
    char request[512];
    STARTED();
    int n = snprintf(request, sizeof(request), "POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %zu\r\n\r\n%s",
                     sizeof(body) - 1, body);
    for (int i = 0; i < 150; i++) { /* more than max_connections, one after another */
        int fd = dial();
        CHECK(fd >= 0);
        send_all(fd, request, (size_t)(i % 2 ? n : n / 2));
        if (i % 6 == 3)
            (void)!recv(fd, answer, 100, 0);
        close(fd);
    }
    ask("demo", "");
    CHECK(has("HTTP/1.1 200 OK"));
}

/* ---- golden files: NAME.ask is a request, NAME.wire its answer byte by byte, but for the id; WEIR_GOLDEN=write writes it ---- */

#define GOLDEN "providers/simulator/tests"

static size_t read_file(const char *path, char *to, size_t size)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(to, 1, size - 1, f) : 0;
    to[n] = '\0';
    if (f)
        fclose(f);
    return n;
}

/* sim<time><serial>: the serial depends on how many tests ran before. */
static void mask_ids(void)
{
    for (char *p = answer; (p = strstr(p, "sim0")); p += 23)
        memset(p + 3, '0', strspn(p + 3, "0123456789abcdef"));
}

static void check_golden(const char *path)
{
    static char request[65536], want[65536];
    char wire[512];
    size_t n = read_file(path, request, sizeof(request));
    snprintf(wire, sizeof(wire), "%.*s.wire", (int)(strlen(path) - 4), path);
    int fd = dial();
    send_all(fd, request, n);
    read_all(fd);
    close(fd);
    mask_ids();
    FILE *write_to = getenv("WEIR_GOLDEN") ? fopen(wire, "wb") : NULL;
    if (write_to) {
        fwrite(answer, 1, answer_n, write_to);
        fclose(write_to);
    }
    read_file(wire, want, sizeof(want));
    CHECK_STR(answer, want);
}

TEST(golden)
{
    glob_t found;
    STARTED();
    CHECK(glob(GOLDEN "/"
                      "*.ask",
               0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_golden(found.gl_pathv[i]);
    CHECK(found.gl_pathc >= 6);
    globfree(&found);
}
