/* The master's conversation with its children; see channel.h. */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONGEST = 64 << 20, READ_STEP = 65536 };

struct head {
    uint32_t n, type, id;
};

int channel_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

void channel_open(struct channel *c, int fd)
{
    memset(c, 0, sizeof *c);
    c->fd = fd;
}

void channel_close(struct channel *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->in);
    free(c->out);
    channel_open(c, -1);
}

/* Room for n more bytes and a NUL. */
static int reserve(char **p, size_t used, size_t *capacity, size_t n)
{
    if (*capacity - used > n)
        return 0;
    size_t wanted = (used + n + 1) * 2;
    char *grown = realloc(*p, wanted);
    if (!grown)
        return -1;
    *p = grown;
    *capacity = wanted;
    return 0;
}

static int append(struct channel *c, const void *p, size_t n)
{
    if (reserve(&c->out, c->out_n, &c->out_capacity, n))
        return -1;
    if (n)
        memcpy(c->out + c->out_n, p, n);
    c->out_n += n;
    return 0;
}

int channel_send(struct channel *c, uint32_t type, uint32_t id, const void *p, size_t n)
{
    struct head head = { (uint32_t)n, type, id };
    if (c->fd < 0 || n > LONGEST || append(c, &head, sizeof head) || append(c, p, n))
        return -1;
    return channel_flush(c) < 0 ? -1 : 0;
}

int channel_flush(struct channel *c)
{
    size_t done = 0;
    while (c->fd >= 0 && done < c->out_n) {
        ssize_t n = send(c->fd, c->out + done, c->out_n - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    if (done > 0)
        memmove(c->out, c->out + done, c->out_n - done);
    c->out_n -= done;
    return c->fd < 0 ? -1 : c->out_n > 0;
}

int channel_fill(struct channel *c)
{
    for (;;) {
        if (c->fd < 0 || c->in_n - c->taken > (size_t)LONGEST * 2 ||
            reserve(&c->in, c->in_n, &c->in_capacity, READ_STEP))
            return -1;
        ssize_t n = recv(c->fd, c->in + c->in_n, READ_STEP, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        if (n == 0)
            return -1;
        c->in_n += (size_t)n;
    }
}

static void forget_taken(struct channel *c)
{
    if (c->taken == 0)
        return;
    memmove(c->in, c->in + c->taken, c->in_n - c->taken);
    c->in_n -= c->taken;
    c->taken = 0;
}

/* The payload moves one byte down, over its own head, so that the NUL behind it doesn't touch the next message. */
bool channel_next(struct channel *c, struct channel_message *m)
{
    struct head head;
    forget_taken(c);
    if (c->in_n < sizeof head)
        return false;
    memcpy(&head, c->in, sizeof head);
    if (head.n > LONGEST || c->in_n < sizeof head + head.n)
        return false;
    char *p = c->in + sizeof head - 1;
    memmove(p, p + 1, head.n);
    p[head.n] = 0;
    *m = (struct channel_message){ head.type, head.id, p, head.n };
    c->taken = sizeof head + head.n;
    return true;
}

bool channel_wait(struct channel *c, struct channel_message *m)
{
    int end = 0;
    while (!channel_next(c, m)) {
        struct pollfd poll_fd = { c->fd, POLLIN, 0 };
        if (end || (poll(&poll_fd, 1, -1) < 0 && errno != EINTR))
            return false;
        end = channel_fill(c);
    }
    return true;
}
