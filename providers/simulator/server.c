/* Listens on loopback inside the worker. A fixed port is shared by all workers with SO_REUSEPORT; who asks which of
 * them makes no difference, since an answer depends on the request alone. Connections belong to their server. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_PER_WAKE = 16, RETRY_MS = 100 };

static void on_acceptable(void *arg, int fd, uint32_t events);

static void on_retry(void *arg)
{
    struct server *s = arg;
    s->retry = NULL;
    s->watch = s->host->watch(s->inst, s->fd, WEIR_READABLE, on_acceptable, s);
}

/* Without descriptors the listener would stay readable and burn the loop: look away for a while. */
static void pause_accepting(struct server *s)
{
    s->host->watch_cancel(s->inst, s->watch);
    s->watch = NULL;
    s->retry = s->host->timer(s->inst, RETRY_MS, on_retry, s);
}

static void on_acceptable(void *arg, int fd, uint32_t events)
{
    struct server *s = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(s);
            return;
        }
        if (s->n_connections < s->max_connections)
            connection_open(s, client);
        else
            close(client);
    }
}

static int listen_on(uint16_t port, uint16_t *bound)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t n = sizeof(address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, n) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *bound = ntohs(address.sin_port);
    return fd;
}

struct server *server_open(const struct weir_host *host, struct weir_instance *inst, uint16_t port)
{
    uint16_t bound = 0;
    struct server *s = calloc(1, sizeof(*s));
    int fd = s ? listen_on(port, &bound) : -1;
    if (fd < 0) {
        host->log(inst, WEIR_LOG_ERROR,
                  "the simulator can't listen on 127.0.0.1:%u (%s); choose another `port` or leave it out", port,
                  strerror(errno));
        free(s);
        return NULL;
    }
    s->host = host;
    s->inst = inst;
    s->fd = fd;
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u/v1", bound);
    s->watch = host->watch(inst, fd, WEIR_READABLE, on_acceptable, s);
    return s;
}

void server_close(struct server *s)
{
    while (s->connections)
        connection_close(s->connections);
    if (s->watch)
        s->host->watch_cancel(s->inst, s->watch);
    if (s->retry)
        s->host->timer_cancel(s->inst, s->retry);
    close(s->fd);
    free(s);
}
