/* Writing without ever waiting.
 *
 * stdout is shared with other processes, so its flags are not ours to change: a pipe, a terminal or a file is opened anew
 * through /proc; a socket (journald) takes a flag per call; where neither works we ask poll() first.
 *
 * A file may be renamed or removed under us: once a second, before a line, we look whether the path still leads to it.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHECK_US = 1000 * 1000, SYSLOG_MAX = 60 * 1024 };

/* ---- opening ---- */

static int open_stdout(struct sink *s)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st))
        return -1;
    s->is_socket = S_ISSOCK(st.st_mode);
    s->fd = s->is_socket ? -1 : open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
    if (s->fd >= 0)
        return 0;
    s->may_block = !s->is_socket;
    s->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return s->fd < 0 ? -1 : 0;
}

static int open_file(struct sink *s, int flags)
{
    struct stat st;
    s->fd = open(s->path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | flags, 0640);
    if (s->fd < 0)
        return -1;
    if (fstat(s->fd, &st) == 0) {
        s->device = st.st_dev;
        s->inode = st.st_ino;
    }
    return 0;
}

/* Making the file is left to the first line: who only checks the configuration leaves nothing behind. */
static int find_file(struct sink *s)
{
    char folder[4096];
    const char *slash = strrchr(s->path, '/');
    if (open_file(s, 0) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    int n = slash ? (int)(slash - s->path) : 1;
    if (n >= (int)sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(folder, sizeof folder, "%.*s", n > 0 ? n : 1, slash ? s->path : ".");
    return access(folder, W_OK | X_OK);
}

static int open_syslog(struct sink *s)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (strlen(s->path) >= sizeof to.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to.sun_path, s->path, strlen(s->path));
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd >= 0 && connect(s->fd, (struct sockaddr *)&to, sizeof to) == 0) {
        s->is_socket = true;
        return 0;
    }
    int why = errno;
    sink_close(s);
    errno = why;
    return -1;
}

int sink_open(struct sink *s, enum sink_kind kind, const char *path)
{
    *s = (struct sink){ .kind = kind, .path = path, .fd = -1 };
    if (kind == SINK_FILE)
        return find_file(s);
    return kind == SINK_SYSLOG ? open_syslog(s) : open_stdout(s);
}

void sink_close(struct sink *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->rest);
    s->fd = -1;
    s->rest = NULL;
    s->rest_n = 0;
}

/* ---- once a second ---- */

static bool is_same_file(const struct sink *s)
{
    struct stat st;
    return s->fd >= 0 && stat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode;
}

static void look_again(struct sink *s, int64_t now_us)
{
    if (s->kind == SINK_STDOUT || (s->checked_us && now_us - s->checked_us < CHECK_US))
        return;
    s->checked_us = now_us ? now_us : 1;
    if (s->kind == SINK_SYSLOG) {
        if (s->fd < 0)
            open_syslog(s);
        return;
    }
    if (is_same_file(s))
        return;
    sink_close(s);
    open_file(s, O_CREAT);
}

/* ---- writing ---- */

static ssize_t put(const struct sink *s, const char *p, size_t n)
{
    struct pollfd ready = { s->fd, POLLOUT, 0 };
    if (s->is_socket)
        return send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->may_block && (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))) {
        errno = EAGAIN;
        return -1;
    }
    return write(s->fd, p, n);
}

/* Half a line goes out before anything else, or the next line would be broken too. */
static bool put_rest(struct sink *s)
{
    if (!s->rest_n)
        return true;
    ssize_t done = put(s, s->rest, s->rest_n);
    if (done <= 0)
        return false;
    s->rest_n -= (size_t)done;
    memmove(s->rest, s->rest + done, s->rest_n);
    return s->rest_n == 0;
}

static void keep_rest(struct sink *s, const char *p, size_t n)
{
    char *copy = realloc(s->rest, n);
    if (!copy)
        return;
    memcpy(copy, p, n);
    s->rest = copy;
    s->rest_n = n;
}

static bool write_syslog(struct sink *s, const char *line, size_t n)
{
    char head[64];
    int head_n = snprintf(head, sizeof head, "<134>weir[%d]: ", (int)getpid()); /* local0.info */
    struct iovec parts[2] = { { head, (size_t)head_n }, { (void *)(uintptr_t)line, n - 1 < SYSLOG_MAX ? n - 1 : SYSLOG_MAX } };
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
    if (s->fd >= 0 && sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (s->fd >= 0 && errno != EAGAIN && errno != EMSGSIZE)
        sink_close(s); /* its daemon was started anew: connect again within a second */
    return false;
}

bool sink_write(struct sink *s, const char *line, size_t n, int64_t now_us)
{
    look_again(s, now_us);
    if (s->kind == SINK_SYSLOG)
        return write_syslog(s, line, n);
    if (s->fd < 0 || !put_rest(s))
        return false;
    ssize_t done = put(s, line, n);
    if (done <= 0)
        return false;
    if ((size_t)done < n)
        keep_rest(s, line + done, n - (size_t)done);
    return true;
}
