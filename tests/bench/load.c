/* load.c: the bench's load generator. One thread, one epoll set, loopback only.
 *
 * A run is a number of connections that are started at once or at a rate, and a number of calls that they share. Every
 * answer is checked (status, bytes or number of events, the end of streams); the first bad one ends the run with a message
 * and exit code 1, so that a broken run never becomes a number. Latencies are counted per microsecond: percentiles are
 * exact up to one second.
 *
 *   load --target NAME=PORT [--target …] --path P --body FILE [--header H]… [options]
 *     --conns N        connections                        --calls K        calls in all (at least N)
 *     --rate R         connections started per second [at once]
 *     --skip W         the first W calls are not recorded  --marks N        content events every answer must have
 *     --expect FILE    the exact body of every answer      --stream         answers must end as a stream ends
 *     --interleave     one call at a time, the targets take turns; K is per target
 *     --stop-at-first  the run ends when the last call has its first event
 *     --hold           after every stream's first event print "ready" and wait for end of file on stdin
 *     --deadline S     seconds after which the run has failed [120]
 *
 * Everything is allocated at the start and lives as long as the process. */
#include "answer_reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define MAX_TARGETS 8
#define SLOTS (1u << 20) /* microseconds that are told apart */

struct histogram {
    uint32_t *slots;
    uint64_t count, sum_us, max_us;
};

struct target {
    const char *name;
    int port;
    struct histogram total, first;
};

struct conn {
    int fd; /* -1: not connected */
    struct target *target;
    struct reader reader;
    size_t sent;
    uint64_t started_ns;
    unsigned number; /* of the call under way */
    bool is_busy, saw_first, wants_write;
};

static struct options {
    struct target targets[MAX_TARGETS];
    unsigned target_count;
    const char *path, *body_file, *expect_file;
    char headers[2048];
    unsigned conns, calls, skip;
    double rate;
    long marks;
    unsigned deadline_s;
    bool is_stream, interleaves, stops_at_first, holds;
} opt = { .path = "/v1/chat/completions", .conns = 1, .calls = 1, .marks = -1, .deadline_s = 120 };

static struct run {
    int epoll;
    struct conn *conns;
    char *request, *expected;
    size_t request_len, expected_len;
    unsigned conns_started, calls_started, calls_done, firsts;
    uint64_t begun_ns, next_start_ns, marks, bytes, random;
    bool is_over;
} run;

static char buffer[1 << 18];

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *must_alloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        fail("out of memory for %zu x %zu bytes", n, size);
    }
    return p;
}

static char *file_read(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fail("%s: %s", path, strerror(errno));
    }
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *p = must_alloc(*len + 1, 1);
    if (fread(p, 1, *len, f) != *len) {
        fail("%s: could not be read whole", path);
    }
    fclose(f);
    return p;
}

/* Histograms. */

static void histogram_add(struct histogram *h, uint64_t ns)
{
    uint64_t us = ns / 1000;
    h->slots[us < SLOTS ? us : SLOTS - 1]++;
    h->count++;
    h->sum_us += us;
    h->max_us = us > h->max_us ? us : h->max_us;
}

static uint64_t histogram_at(const struct histogram *h, double share)
{
    uint64_t rank = (uint64_t)((double)h->count * share), seen = 0;
    for (unsigned us = 0; us < SLOTS; us++) {
        seen += h->slots[us];
        if (seen > rank) {
            return us;
        }
    }
    return h->max_us;
}

static void histogram_print(const struct histogram *h, const char *name)
{
    printf("\"%s\":{\"n\":%llu", name, (unsigned long long)h->count);
    if (h->count) {
        printf(",\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu,\"mean\":%.1f",
               (unsigned long long)histogram_at(h, 0.50), (unsigned long long)histogram_at(h, 0.90),
               (unsigned long long)histogram_at(h, 0.99), (unsigned long long)histogram_at(h, 0.999),
               (unsigned long long)h->max_us, (double)h->sum_us / (double)h->count);
    }
    printf("}");
}

static void report_print(const char *state)
{
    double wall_s = (double)(now_ns() - run.begun_ns) / 1e9;
    printf("{\"state\":\"%s\",\"calls\":%u,\"wall_s\":%.6f,\"marks\":%llu,\"bytes\":%llu,\"targets\":{", state,
           run.calls_done, wall_s, (unsigned long long)run.marks, (unsigned long long)run.bytes);
    for (unsigned i = 0; i < opt.target_count; i++) {
        printf("%s\"%s\":{", i ? "," : "", opt.targets[i].name);
        histogram_print(&opt.targets[i].total, "total_us");
        printf(",");
        histogram_print(&opt.targets[i].first, "first_us");
        printf("}");
    }
    printf("}}\n");
    fflush(stdout);
}

/* One call. */

static void conn_watch(struct conn *c, int op, bool wants_write)
{
    struct epoll_event e = { .events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.ptr = c };
    if (epoll_ctl(run.epoll, op, c->fd, &e)) {
        fail("epoll_ctl: %s", strerror(errno));
    }
    c->wants_write = wants_write;
}

static void conn_open(struct conn *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)c->target->port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail("socket: %s (connection %u of %u)", strerror(errno), run.conns_started, opt.conns);
    }
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        fail("connect to %s, port %d: %s", c->target->name, c->target->port, strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn_watch(c, EPOLL_CTL_ADD, false);
}

static void conn_send(struct conn *c)
{
    while (c->sent < run.request_len) {
        ssize_t n = send(c->fd, run.request + c->sent, run.request_len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            fail("%s: send: %s", c->target->name, strerror(errno));
        }
        if (n < 0) {
            break;
        }
        c->sent += (size_t)n;
    }
    bool wants_write = c->sent < run.request_len;
    if (wants_write != c->wants_write) {
        conn_watch(c, EPOLL_CTL_MOD, wants_write);
    }
}

static void call_start(struct conn *c)
{
    c->number = run.calls_started++;
    c->is_busy = true;
    c->saw_first = false;
    c->sent = 0;
    reader_start(&c->reader, run.expected, run.expected_len);
    c->started_ns = now_ns();
    if (c->fd < 0) {
        conn_open(c);
    }
    conn_send(c);
}

/* In an interleaved run connection i belongs to target i and each round begins one target later. */
static void next_turn(void)
{
    unsigned n = opt.target_count, at = run.calls_started;
    if (at < opt.calls * n) {
        call_start(&run.conns[(at % n + at / n) % n]);
    }
}

static void call_check(const struct conn *c)
{
    const struct reader *r = &c->reader;
    const char *name = c->target->name;
    int shown = (int)r->tail_len;
    if (r->status != 200) {
        fail("%s: call %u: status %d, body ends: %.*s", name, c->number, r->status, shown, r->tail);
    }
    if (run.expected && (!r->is_as_expected || r->body_len != run.expected_len)) {
        fail("%s: call %u: a body of %zu bytes that differs from %s", name, c->number, r->body_len, opt.expect_file);
    }
    if (opt.marks >= 0 && r->marks != (size_t)opt.marks) {
        fail("%s: call %u: %zu content events, expected %ld; body of %zu bytes ends: %.*s", name, c->number, r->marks,
             opt.marks, r->body_len, shown, r->tail);
    }
    if (opt.is_stream && !reader_saw_stream_end(r)) {
        fail("%s: call %u: the stream has no end, its last bytes: %.*s", name, c->number, shown, r->tail);
    }
}

static void call_done(struct conn *c)
{
    call_check(c);
    if (c->number >= opt.skip) {
        histogram_add(&c->target->total, now_ns() - c->started_ns);
    }
    run.calls_done++;
    run.marks += c->reader.marks;
    run.bytes += c->reader.body_len;
    c->is_busy = false;
    if (c->reader.closes) {
        close(c->fd);
        c->fd = -1;
    }
    if (run.calls_done == opt.calls * (opt.interleaves ? opt.target_count : 1)) {
        run.is_over = true;
    } else if (opt.interleaves) {
        next_turn();
    } else if (run.calls_started < opt.calls && run.conns_started == opt.conns) {
        call_start(c);
    }
}

static void call_first(struct conn *c)
{
    c->saw_first = true;
    if (c->number >= opt.skip) {
        histogram_add(&c->target->first, now_ns() - c->started_ns);
    }
    run.firsts++;
    if (opt.holds && run.firsts == opt.conns) {
        report_print("ready");
    }
    if (opt.stops_at_first && c->number + 1 == opt.calls) {
        run.is_over = true;
    }
}

static void conn_readable(struct conn *c)
{
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 && c->is_busy) {
        fail("%s: call %u: connection %s after status %d and %zu body bytes with %zu events", c->target->name, c->number,
             n ? strerror(errno) : "closed", c->reader.status, c->reader.body_len, c->reader.marks);
    }
    if (n <= 0) {
        close(c->fd);
        c->fd = -1;
        return;
    }
    if (!c->is_busy || reader_take(&c->reader, buffer, (size_t)n) != n) {
        fail("%s: call %u: bytes that belong to no answer: %.60s", c->target->name, c->number, buffer);
    }
    if (!c->saw_first && c->reader.marks) {
        call_first(c);
    }
    if (c->reader.is_done) {
        call_done(c);
    }
}

/* Starting connections: at once, or evenly at a rate with a jitter of one interval, so that no two runs beat in phase. */

static uint64_t start_delay_ns(void)
{
    double interval_ns = 1e9 / opt.rate;
    run.random = run.random * 6364136223846793005u + 1442695040888963407u;
    double jitter = (double)(run.random >> 40) / (double)(1 << 24);
    return (uint64_t)(((double)run.conns_started + jitter) * interval_ns);
}

static void start_due(void)
{
    while (run.conns_started < opt.conns && run.calls_started < opt.calls && now_ns() >= run.next_start_ns) {
        struct conn *c = &run.conns[run.conns_started++];
        call_start(c);
        run.next_start_ns = opt.rate > 0 ? run.begun_ns + start_delay_ns() : 0;
    }
}

static void begin(void)
{
    run.conns = must_alloc(opt.conns, sizeof *run.conns);
    for (unsigned i = 0; i < opt.conns; i++) {
        run.conns[i].fd = -1;
        run.conns[i].target = &opt.targets[opt.interleaves ? i : 0];
    }
    run.begun_ns = now_ns();
    if (opt.interleaves) {
        run.conns_started = opt.conns;
        next_turn();
    }
}

static struct timespec wait_time(void)
{
    uint64_t now = now_ns(), until = now + 100000000u;
    if (run.conns_started < opt.conns && run.next_start_ns < until) {
        until = run.next_start_ns > now ? run.next_start_ns : now;
    }
    return (struct timespec){ .tv_nsec = (long)(until - now) };
}

/* data.ptr NULL is stdin: in a hold it ends the run. */
static void event_take(const struct epoll_event *e)
{
    struct conn *c = e->data.ptr;
    if (!c) {
        run.is_over = true;
        return;
    }
    if (c->fd >= 0 && (e->events & EPOLLOUT)) {
        conn_send(c);
    }
    if (c->fd >= 0 && (e->events & ~(uint32_t)EPOLLOUT)) {
        conn_readable(c);
    }
}

static void loop(void)
{
    struct epoll_event events[256];
    while (!run.is_over) {
        start_due();
        struct timespec wait = wait_time();
        int n = epoll_pwait2(run.epoll, events, 256, &wait, NULL);
        for (int i = 0; i < n && !run.is_over; i++) {
            event_take(&events[i]);
        }
        if (now_ns() - run.begun_ns > opt.deadline_s * 1000000000ull) {
            fail("not done after %u s: %u calls started, %u with an event, %u done", opt.deadline_s, run.calls_started,
                 run.firsts, run.calls_done);
        }
    }
}

/* Set-up. */

static void target_add(char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || opt.target_count == MAX_TARGETS) {
        fail("--target wants NAME=PORT, at most %d of them", MAX_TARGETS);
    }
    *equals = '\0';
    struct target *t = &opt.targets[opt.target_count++];
    t->name = text;
    t->port = atoi(equals + 1);
    t->total.slots = must_alloc(SLOTS, sizeof(uint32_t));
    t->first.slots = must_alloc(SLOTS, sizeof(uint32_t));
}

static void header_add(const char *text)
{
    size_t len = strlen(opt.headers);
    int n = snprintf(opt.headers + len, sizeof opt.headers - len, "%s\r\n", text);
    if (n < 0 || (size_t)n >= sizeof opt.headers - len) {
        fail("the headers take more than %zu bytes", sizeof opt.headers);
    }
}

static void flag_take(int key, char *value)
{
    switch (key) {
    case 't': target_add(value); break;
    case 'p': opt.path = value; break;
    case 'b': opt.body_file = value; break;
    case 'h': header_add(value); break;
    case 'n': opt.conns = (unsigned)atoi(value); break;
    case 'k': opt.calls = (unsigned)atoi(value); break;
    case 'r': opt.rate = atof(value); break;
    case 'w': opt.skip = (unsigned)atoi(value); break;
    case 'm': opt.marks = atol(value); break;
    case 'e': opt.expect_file = value; break;
    case 'd': opt.deadline_s = (unsigned)atoi(value); break;
    case 's': opt.is_stream = true; break;
    case 'i': opt.interleaves = true; break;
    case 'f': opt.stops_at_first = true; break;
    case 'o': opt.holds = true; break;
    default: exit(2);
    }
}

static void options_take(int argc, char **argv)
{
    static const struct option flags[] = {
        { "target", 1, 0, 't' }, { "path", 1, 0, 'p' },       { "body", 1, 0, 'b' },     { "header", 1, 0, 'h' },
        { "conns", 1, 0, 'n' },  { "calls", 1, 0, 'k' },      { "rate", 1, 0, 'r' },     { "skip", 1, 0, 'w' },
        { "marks", 1, 0, 'm' },  { "expect", 1, 0, 'e' },     { "deadline", 1, 0, 'd' }, { "stream", 0, 0, 's' },
        { "hold", 0, 0, 'o' },   { "interleave", 0, 0, 'i' }, { "stop-at-first", 0, 0, 'f' }, { 0, 0, 0, 0 },
    };
    for (int key; (key = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        flag_take(key, optarg);
    }
    if (!opt.target_count || !opt.body_file || optind != argc) {
        fail("needs --target NAME=PORT and --body FILE, and nothing that isn't an option");
    }
    opt.conns = opt.interleaves ? opt.target_count : opt.conns;
    if (opt.conns == 0 || (!opt.interleaves && opt.calls < opt.conns)) {
        fail("--calls %u is less than --conns %u", opt.calls, opt.conns);
    }
}

static void request_build(void)
{
    size_t body_len = 0;
    char *body = file_read(opt.body_file, &body_len);
    size_t room = body_len + sizeof opt.headers + strlen(opt.path) + 256;
    run.request = must_alloc(room, 1);
    int n = snprintf(run.request, room,
                     "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: application/json\r\n"
                     "user-agent: bench/1\r\n%scontent-length: %zu\r\n\r\n",
                     opt.path, opt.headers, body_len);
    memcpy(run.request + n, body, body_len);
    run.request_len = (size_t)n + body_len;
    free(body);
    if (opt.expect_file) {
        run.expected = file_read(opt.expect_file, &run.expected_len);
    }
}

static void limits_raise(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < opt.conns + 16) {
        fail("%u connections need as many descriptors, the limit is %lu", opt.conns, (unsigned long)limit.rlim_max);
    }
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    options_take(argc, argv);
    limits_raise();
    request_build();
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (opt.holds) {
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
        epoll_ctl(run.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e);
    }
    begin();
    loop();
    report_print("done");
    return 0;
}
