/* One thread, one poll loop, non-blocking sockets. The test's thread talks to it by three atomic words. */
#include "raw_upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNS_MAX = 1024, REQUEST_ROOM = 8192 };

struct raw_conn {
    int fd; /* -1: free */
    uint32_t index, request;
    char in[REQUEST_ROOM];
    size_t in_n;
    uint64_t body_left; /* of a request whose head is there */
    bool has_head, is_done;
    const struct raw_step *step; /* being sent */
    size_t sent;
    uint64_t filler_left;
};

struct raw_upstream {
    struct raw_script script;
    int listener;
    unsigned port;
    pthread_t thread;
    atomic_bool is_ending, closes_idle;
    atomic_uint requests, open;
    atomic_ullong sent;
    struct raw_seen seen;
    struct raw_conn *conns;
    struct pollfd polls[CONNS_MAX + 1];
};

static void close_conn(struct raw_upstream *u, struct raw_conn *c, bool resets)
{
    struct linger none = { 1, 0 };
    if (resets)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(c->fd);
    c->fd = -1;
    atomic_fetch_sub(&u->open, 1);
}

static const struct raw_step *step_of(const struct raw_upstream *u, const struct raw_conn *c)
{
    uint32_t i = c->index < u->script.n_connections ? c->index : u->script.n_connections - 1;
    uint32_t k = c->request < u->script.n_steps[i] ? c->request : u->script.n_steps[i] - 1;
    return &u->script.steps[i][k];
}

static void begin_step(struct raw_upstream *u, struct raw_conn *c)
{
    c->step = step_of(u, c);
    c->sent = 0;
    c->filler_left = c->step->filler;
}

static void end_step(struct raw_upstream *u, struct raw_conn *c)
{
    enum raw_end end = c->step->end;
    c->step = NULL;
    c->request++;
    c->has_head = false;
    c->in_n = 0;
    if (end != RAW_KEEP)
        close_conn(u, c, end == RAW_RESET);
}

static void write_some(struct raw_upstream *u, struct raw_conn *c)
{
    static const char filler[64 * 1024];
    size_t n = c->step->bytes ? (c->step->n ? c->step->n : strlen(c->step->bytes)) : 0;
    while (c->sent < n || c->filler_left) {
        bool is_filler = c->sent >= n;
        size_t want =
            is_filler ? (c->filler_left < sizeof(filler) ? (size_t)c->filler_left : sizeof(filler)) : n - c->sent;
        ssize_t got = send(c->fd, is_filler ? filler : c->step->bytes + c->sent, want, MSG_NOSIGNAL);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0) {
            c->step = NULL;
            close_conn(u, c, false);
            return;
        }
        atomic_fetch_add(&u->sent, (unsigned long long)got);
        if (is_filler)
            c->filler_left -= (uint64_t)got;
        else
            c->sent += (size_t)got;
    }
    end_step(u, c);
}

static uint64_t length_of(const char *head)
{
    const char *p = strcasestr(head, "\r\ncontent-length:");
    return p ? strtoull(p + 17, NULL, 10) : 0;
}

static void request_came(struct raw_upstream *u, struct raw_conn *c)
{
    atomic_fetch_add(&u->requests, 1);
    begin_step(u, c);
    write_some(u, c);
}

static void read_some(struct raw_upstream *u, struct raw_conn *c)
{
    char bytes[16 * 1024];
    ssize_t got = recv(c->fd, bytes, sizeof(bytes), 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close_conn(u, c, false);
        return;
    }
    u->seen.last_request_n += (uint64_t)got;
    if (c->has_head) {
        c->body_left -= (uint64_t)got < c->body_left ? (uint64_t)got : c->body_left;
    } else {
        size_t room = sizeof(c->in) - 1 - c->in_n, take = (size_t)got < room ? (size_t)got : room;
        memcpy(c->in + c->in_n, bytes, take);
        c->in_n += take;
        c->in[c->in_n] = 0;
        const char *end = strstr(c->in, "\r\n\r\n");
        if (!end)
            return;
        uint64_t have = c->in_n - (size_t)(end + 4 - c->in) + ((size_t)got - take), length = length_of(c->in);
        c->has_head = true;
        c->body_left = length > have ? length - have : 0;
        memcpy(u->seen.last_request, c->in, sizeof(u->seen.last_request) - 1);
    }
    if (!c->body_left && !c->step)
        request_came(u, c);
}

static void accept_one(struct raw_upstream *u)
{
    int fd = accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (int i = 0; i < CONNS_MAX; i++) {
        struct raw_conn *c = &u->conns[i];
        if (c->fd >= 0)
            continue;
        memset(c, 0, sizeof(*c));
        c->fd = fd;
        c->index = u->seen.connections++;
        atomic_fetch_add(&u->open, 1);
        if (step_of(u, c)->at_once) {
            begin_step(u, c);
            write_some(u, c);
        }
        return;
    }
    close(fd);
}

static void run_once(struct raw_upstream *u)
{
    u->polls[CONNS_MAX] = (struct pollfd){ .fd = u->listener, .events = POLLIN };
    for (int i = 0; i < CONNS_MAX; i++)
        u->polls[i] =
            (struct pollfd){ .fd = u->conns[i].fd, .events = (short)(POLLIN | (u->conns[i].step ? POLLOUT : 0)) };
    poll(u->polls, CONNS_MAX + 1, 5);
    for (int i = 0; i < CONNS_MAX; i++) {
        struct raw_conn *c = &u->conns[i];
        if (c->fd >= 0 && u->polls[i].fd == c->fd && (u->polls[i].revents & (POLLIN | POLLHUP | POLLERR)))
            read_some(u, c);
        if (c->fd >= 0 && c->step && u->polls[i].fd == c->fd && (u->polls[i].revents & POLLOUT))
            write_some(u, c);
        if (c->fd >= 0 && !c->step && atomic_load(&u->closes_idle))
            close_conn(u, c, false);
    }
    atomic_store(&u->closes_idle, false);
    if (u->polls[CONNS_MAX].revents & POLLIN)
        accept_one(u);
}

static void *run(void *arg)
{
    struct raw_upstream *u = arg;
    while (!atomic_load(&u->is_ending))
        run_once(u);
    return NULL;
}

struct raw_upstream *raw_start(const struct raw_script *script)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(at);
    struct raw_upstream *u = calloc(1, sizeof(*u));
    u->script = *script;
    u->conns = calloc(CONNS_MAX, sizeof(*u->conns));
    for (int i = 0; i < CONNS_MAX; i++)
        u->conns[i].fd = -1;
    u->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(u->listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(u->listener, 512) < 0)
        abort();
    getsockname(u->listener, (struct sockaddr *)&at, &n);
    u->port = ntohs(at.sin_port);
    pthread_create(&u->thread, NULL, run, u);
    return u;
}

unsigned raw_port(const struct raw_upstream *u)
{
    return u->port;
}

uint32_t raw_requests(const struct raw_upstream *u)
{
    return atomic_load(&u->requests);
}

uint64_t raw_sent(const struct raw_upstream *u)
{
    return atomic_load(&u->sent);
}

uint32_t raw_open(const struct raw_upstream *u)
{
    return atomic_load(&u->open);
}

void raw_close_idle(struct raw_upstream *u)
{
    atomic_store(&u->closes_idle, true);
    while (atomic_load(&u->closes_idle))
        usleep(1000);
}

struct raw_seen raw_stop(struct raw_upstream *u)
{
    atomic_store(&u->is_ending, true);
    pthread_join(u->thread, NULL);
    for (int i = 0; i < CONNS_MAX; i++)
        if (u->conns[i].fd >= 0)
            close(u->conns[i].fd);
    close(u->listener);
    struct raw_seen seen = u->seen;
    seen.requests = atomic_load(&u->requests);
    seen.bytes_sent = atomic_load(&u->sent);
    free(u->conns);
    free(u);
    return seen;
}
