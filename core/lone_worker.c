/* A worker in a process of its own; see lone_worker.h. The parent owns the socket's folder and removes it. */
#include "lone_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "shm.h"

enum { ANSWER_S = 610, ANSWER_MAX = 16 << 20, END_MS = 5000 };

static int open_listener(struct lone_worker *w)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(w->folder, sizeof(w->folder), "/tmp/weir-worker-XXXXXX");
    if (!mkdtemp(w->folder))
        return -1;
    snprintf(w->socket, sizeof(w->socket), "%s/socket", w->folder);
    memcpy(at.sun_path, w->socket, strlen(w->socket));
    w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return w->fd >= 0 && bind(w->fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(w->fd, 4) == 0 ? 0 : -1;
}

static int run(const struct lone_worker *w, const struct worker_start *start)
{
    struct worker_start own = *start;
    own.control_fd = -1;
    own.listen_fds = &w->fd;
    own.n_listen_fds = 1;
    if (shm_create())
        return 1;
    shm_use_slot(0);
    return worker_run(&own);
}

int lone_worker_begin(struct lone_worker *w, const struct worker_start *start)
{
    *w = (struct lone_worker){ .fd = -1 };
    if (open_listener(w))
        return cmd_fail("no socket can be made in /tmp: %s", strerror(errno));
    fflush(NULL);
    w->pid = fork();
    if (w->pid == 0)
        _exit(run(w, start));
    close(w->fd); /* the worker's alone: when it ends, who asks hears of it */
    w->fd = -1;
    return w->pid > 0 ? 0 : cmd_fail("no process can be made: %s", strerror(errno));
}

static int connect_to(const struct lone_worker *w)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct timeval wait = { ANSWER_S, 0 };
    memcpy(at.sun_path, w->socket, strlen(w->socket));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, struct weir_str bytes)
{
    while (bytes.n) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes = (struct weir_str){ bytes.p + n, bytes.n - (size_t)n };
    }
    return true;
}

int lone_worker_ask(const struct lone_worker *w, struct weir_str request, struct weir_out *answer)
{
    char buf[16384];
    ssize_t n = -1;
    int fd = connect_to(w);
    if (fd < 0)
        return cmd_fail("the worker can't be asked: %s", strerror(errno));
    send_all(fd, request); /* one that is refused early is answered all the same */
    while (answer->n < ANSWER_MAX && (n = read(fd, buf, sizeof(buf))) > 0)
        out_write(answer, (struct weir_str){ buf, (size_t)n });
    close(fd);
    if (answer->n == 0)
        return cmd_fail("the worker gave no answer%s", n == 0 ? "; the lines above say why" : "");
    if (n != 0)
        return cmd_fail("no whole answer came, in %d s or %d MiB", ANSWER_S, ANSWER_MAX >> 20);
    char *end = out_reserve(answer, 1);
    if (end)
        *end = 0; /* not counted */
    return end ? 0 : cmd_fail("memory is short");
}

void lone_worker_drain(const struct lone_worker *w)
{
    if (w->pid > 0)
        kill(w->pid, SIGTERM);
}

void lone_worker_end(struct lone_worker *w)
{
    static const struct timespec pause = { 0, 10 * 1000 * 1000 };
    bool has_ended = w->pid <= 0;
    lone_worker_drain(w);
    for (int ms = 0; !has_ended && ms < END_MS; ms += 10) {
        has_ended = waitpid(w->pid, NULL, WNOHANG) != 0;
        if (!has_ended)
            nanosleep(&pause, NULL);
    }
    if (!has_ended) {
        kill(w->pid, SIGKILL);
        waitpid(w->pid, NULL, 0);
    }
    if (w->fd >= 0)
        close(w->fd);
    if (w->socket[0])
        unlink(w->socket);
    if (w->folder[0])
        rmdir(w->folder);
    *w = (struct lone_worker){ .fd = -1 };
}
