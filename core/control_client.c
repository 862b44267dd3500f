/* The client's side of the admin socket; see control.h. */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAIT_S = 90 }; /* a reload may take a checker and a worker that start slowly */

__attribute__((format(printf, 2, 3))) static int refuse(char **answer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vasprintf(answer, format, args) < 0)
        *answer = NULL;
    va_end(args);
    return -1;
}

static int connect_to(const char *path, char **answer)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct timeval wait = { WAIT_S, 0 };
    if (strlen(path) >= sizeof address.sun_path)
        return refuse(answer, "the path of the admin socket %s is too long", path);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        return fd;
    }
    const char *why = strerror(errno);
    if (fd >= 0)
        close(fd);
    return refuse(answer,
                  "no weir answers at %s (%s): is it running, with this configuration's `admin:`, as a user whose "
                  "socket you may open?",
                  path, why);
}

static char *read_all(int fd, size_t *n)
{
    size_t capacity = 65536;
    char *text = malloc(capacity);
    *n = 0;
    for (ssize_t got = 1; text && got > 0;) {
        if (capacity - *n < 2) {
            char *grown = realloc(text, capacity *= 2);
            if (!grown)
                free(text);
            text = grown;
            continue;
        }
        got = recv(fd, text + *n, capacity - *n - 1, 0);
        *n += got > 0 ? (size_t)got : 0;
    }
    if (text)
        text[*n] = 0;
    return text;
}

int control_ask(const char *socket_path, const char *question, char **answer)
{
    char request[256];
    size_t n;
    *answer = NULL;
    int fd = connect_to(socket_path, answer);
    if (fd < 0)
        return -1;
    int length = snprintf(request, sizeof request, "%s HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n", question);
    char *text = send(fd, request, (size_t)length, MSG_NOSIGNAL) == length ? read_all(fd, &n) : NULL;
    close(fd);
    char *body = text ? strstr(text, "\r\n\r\n") : NULL;
    int status = text && strncmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : 0;
    if (!body || status == 0) {
        free(text);
        return refuse(answer, "the weir at %s gave no answer: see its log", socket_path);
    }
    memmove(text, body + 4, strlen(body + 4) + 1);
    *answer = text;
    return status >= 200 && status < 300 ? 0 : status;
}
