/* Listening sockets: opened by the master, shared by all workers, kept over reloads for as long as the configuration
 * names them. A socket per worker (SO_REUSEPORT) would drop its queue whenever a worker ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "master_parts.h"

enum { BACKLOG = 4096 };

/* ---- unix sockets ---- */

static int unix_address(const char *path, struct sockaddr_un *address, char *why, size_t n)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        snprintf(why, n, "the path of the socket %s is longer than %zu bytes: choose a shorter one", path,
                 sizeof address->sun_path - 1);
        return -1;
    }
    memcpy(address->sun_path, path, strlen(path));
    return 0;
}

static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool does = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return does;
}

/* A socket file that nobody answers at is left over from a process that was killed. */
static int clear_path(const struct sockaddr_un *address, char *why, size_t n)
{
    struct stat info;
    if (lstat(address->sun_path, &info))
        return 0;
    if (!S_ISSOCK(info.st_mode)) {
        snprintf(why, n, "%s exists and is not a socket: remove it or choose another path", address->sun_path);
        return -1;
    }
    if (answers(address)) {
        snprintf(why, n, "another program answers at the socket %s: stop it or choose another path", address->sun_path);
        return -1;
    }
    unlink(address->sun_path);
    return 0;
}

int listen_unix(const char *path, unsigned mode, char *why, size_t n)
{
    struct sockaddr_un address;
    if (unix_address(path, &address, why, n) || clear_path(&address, why, n))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0777 & ~mode);
    int failed = fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG);
    umask(before);
    if (!failed)
        return fd;
    snprintf(why, n, "the socket %s can't be made: %s; its folder must exist and be writable for weir", path,
             strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- TCP ---- */

/* "host:port" or "[v6]:port" in two. */
static int split_spec(const char *spec, char host[MASTER_SPEC], const char **port)
{
    const char *colon = strrchr(spec, ':');
    bool is_bracketed = spec[0] == '[' && colon && colon > spec && colon[-1] == ']';
    size_t host_n = !colon ? 0 : (size_t)(colon - spec) - (is_bracketed ? 2 : 0);
    if (!colon || host_n == 0 || host_n >= MASTER_SPEC)
        return -1;
    memcpy(host, spec + is_bracketed, host_n);
    host[host_n] = 0;
    *port = colon + 1;
    return 0;
}

static void explain_bind(const char *spec, const char *port, char *why, size_t n)
{
    if (errno == EADDRINUSE)
        snprintf(why, n, "%s is in use by another program: find it with `ss -ltnp sport = :%s` and stop it, or change "
                 "`listen:`", spec, port);
    else if (errno == EACCES)
        snprintf(why, n, "%s: permission denied; a port below 1024 needs root or CAP_NET_BIND_SERVICE", spec);
    else if (errno == EADDRNOTAVAIL)
        snprintf(why, n, "%s: this machine has no such address; see `ip addr`", spec);
    else
        snprintf(why, n, "%s can't be listened on: %s", spec, strerror(errno));
}

static int bind_tcp(const struct addrinfo *address)
{
    int on = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int listen_tcp(const char *spec, char *why, size_t n)
{
    char host[MASTER_SPEC];
    const char *port;
    struct addrinfo *found = NULL, hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                                             .ai_socktype = SOCK_STREAM };
    if (split_spec(spec, host, &port) ||
        getaddrinfo(strcmp(host, "localhost") ? host : "127.0.0.1", port, &hints, &found)) {
        snprintf(why, n, "%s is no address to listen on: write 127.0.0.1:8080, [::1]:8080 or unix:/path", spec);
        return -1;
    }
    int fd = bind_tcp(found);
    if (fd < 0)
        explain_bind(spec, port, why, n);
    freeaddrinfo(found);
    return fd;
}

/* ---- the set ---- */

struct listener *listener_find(const char *spec)
{
    for (uint32_t i = 0; i < master.n_listeners; i++)
        if (strcmp(master.listeners[i].spec, spec) == 0)
            return &master.listeners[i];
    return NULL;
}

static int open_one(const char *spec, char *why, size_t n)
{
    if (listener_find(spec))
        return 0;
    if (master.n_listeners == MASTER_LISTENERS * 2) {
        snprintf(why, n, "more than %d listeners are open: reload again when the old generation has drained",
                 MASTER_LISTENERS * 2);
        return -1;
    }
    int fd = strncmp(spec, "unix:", 5) == 0 ? listen_unix(spec + 5, 0666, why, n) : listen_tcp(spec, why, n);
    if (fd < 0)
        return -1;
    struct listener *l = &master.listeners[master.n_listeners++];
    snprintf(l->spec, sizeof l->spec, "%s", spec);
    l->fd = fd;
    return 0;
}

static void close_one(struct listener *l)
{
    close(l->fd);
    if (strncmp(l->spec, "unix:", 5) == 0)
        unlink(l->spec + 5);
    *l = master.listeners[--master.n_listeners];
}

int listeners_open(const struct settings *settings, char *why, size_t n)
{
    uint32_t before = master.n_listeners;
    for (uint32_t i = 0; i < settings->n_listen; i++) {
        if (open_one(settings->listen[i], why, n) == 0)
            continue;
        while (master.n_listeners > before)
            close_one(&master.listeners[master.n_listeners - 1]);
        return -1;
    }
    return 0;
}

static bool is_named(const struct settings *settings, const char *spec)
{
    for (uint32_t i = 0; i < settings->n_listen; i++)
        if (strcmp(settings->listen[i], spec) == 0)
            return true;
    return false;
}

void listeners_close_unused(const struct settings *settings)
{
    for (uint32_t i = master.n_listeners; i-- > 0;)
        if (!is_named(settings, master.listeners[i].spec))
            close_one(&master.listeners[i]);
}

void listeners_unlink(void)
{
    while (master.n_listeners > 0)
        close_one(&master.listeners[master.n_listeners - 1]);
}

uint32_t listeners_of(const struct settings *settings, int *fds)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < settings->n_listen; i++) {
        const struct listener *l = listener_find(settings->listen[i]);
        if (l)
            fds[n++] = l->fd;
    }
    return n;
}

void listener_address(const struct listener *l, char *buf, size_t n)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[64], port[16];
    if (strncmp(l->spec, "unix:", 5) == 0 || getsockname(l->fd, (struct sockaddr *)&address, &size) ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        snprintf(buf, n, "%s", l->spec);
    else
        snprintf(buf, n, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
