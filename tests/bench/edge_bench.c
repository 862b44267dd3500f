/* The edge by itself: answers every request with the same few bytes, so that wrk can be pointed at it and at nginx's `return 200`.
 *
 *      edge_bench PORT [BYTES]      GET: the bytes; POST: the body is read first
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge.h"

static struct weir_str payload;

static void on_head(void *arg, struct exchange *x)
{
    (void)arg;
    exchange_read_body(x, UINT64_MAX);
}

static void on_body(void *arg, struct exchange *x)
{
    (void)arg;
    struct http_header type = { WEIR_LIT("content-type"), WEIR_LIT("application/json") };
    exchange_start(x, 200, &type, 1, (int64_t)payload.n);
    exchange_write(x, &payload, 1);
    exchange_end(x);
}

static void on_nothing(void *arg, struct exchange *x)
{
    (void)arg, (void)x;
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    event_base_loopbreak(arg);
}

int main(int argc, char **argv)
{
    static const struct edge_handler handler = { on_head, on_body, on_nothing, on_nothing, NULL, NULL, NULL };
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    at.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 18390));
    payload.n = argc > 2 ? (size_t)atoi(argv[2]) : 735;
    char *bytes = calloc(1, payload.n + 1);
    if (!bytes)
        return 1;
    memset(bytes, 'x', payload.n);
    payload.p = bytes;
    struct event_base *base = event_base_new();
    struct edge *edge = edge_new(base, &(struct edge_limits){ .header_ms = 10000 }, &handler);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!edge || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1024) < 0 ||
        edge_listen(edge, fd) < 0) {
        perror("edge_bench");
        return 1;
    }
    struct event *end = evsignal_new(base, SIGTERM, on_signal, base);
    event_add(end, NULL);
    event_base_dispatch(base);
    event_free(end);
    edge_free(edge);
    event_base_free(base);
    close(fd);
    free(bytes);
    return 0;
}
