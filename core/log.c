/* The operator's log. A line is built on the stack and given to one write(2); what a full pipe does not take is lost rather
 * than waited for. Owns nothing but two settings.
 */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, END_ROOM = 32 };

static enum log_level threshold = LOG_LEVEL_INFO;
static int worker_number = -1;

struct line {
    char text[LINE_MAX_BYTES];
    size_t n;
};

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_worker(int worker)
{
    worker_number = worker;
}

static void put(struct line *l, const char *p, size_t n)
{
    size_t room = sizeof(l->text) - 1 - l->n;
    n = n < room ? n : room;
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

static bool is_bare(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
            return false;
    return true;
}

static void put_value(struct line *l, const char *s)
{
    if (is_bare(s)) {
        put(l, s, strlen(s));
        return;
    }
    put(l, "\"", 1);
    for (; *s && l->n < sizeof(l->text) - END_ROOM; s++) {
        char escape[8];
        if (*s == '"' || *s == '\\')
            put(l, escape, (size_t)snprintf(escape, sizeof(escape), "\\%c", *s));
        else if (*s == '\n')
            put(l, "\\n", 2);
        else if ((unsigned char)*s < ' ' || *s == 0x7f)
            put(l, escape, (size_t)snprintf(escape, sizeof(escape), "\\x%02x", (unsigned char)*s));
        else
            put(l, s, 1);
    }
    put(l, "\"", 1);
}

static void begin(struct line *l, enum log_level level, const char *event)
{
    static const char *const names[] = { "", "error", "warn", "info", "debug" };
    char text[128];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof(text), "ts=%Y-%m-%dT%H:%M:%S", &tm);
    l->n = 0;
    put(l, text, n);
    n = (size_t)snprintf(text, sizeof(text), ".%03ldZ level=%s event=%s", now.tv_nsec / 1000000, names[level], event);
    put(l, text, n < sizeof(text) ? n : sizeof(text) - 1);
    if (worker_number >= 0)
        put(l, text, (size_t)snprintf(text, sizeof(text), " worker=%d", worker_number));
}

/* Never blocks: a line is no longer than what a pipe takes whole when it says that it takes anything, and what a pipe or socket
 * does not take now is counted, not waited for. */
static void end(struct line *l)
{
    static unsigned lost;
    struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
    char text[32];
    if (lost)
        put(l, text, (size_t)snprintf(text, sizeof(text), " lost=%u", lost));
    l->text[l->n++] = '\n';
    bool is_ready = poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
    ssize_t sent = is_ready ? send(STDERR_FILENO, l->text, l->n, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
    if (is_ready && sent < 0 && errno == ENOTSOCK)
        sent = write(STDERR_FILENO, l->text, l->n);
    lost = sent < 0 ? lost + 1 : 0;
}

void log_pairs(enum log_level level, const char *event, ...)
{
    struct line l;
    va_list args;
    const char *name;
    if (level > threshold)
        return;
    begin(&l, level, event);
    va_start(args, event);
    while ((name = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);
        put(&l, " ", 1);
        put(&l, name, strlen(name));
        put(&l, "=", 1);
        put_value(&l, value ? value : "");
    }
    va_end(args);
    end(&l);
}

void log_text(enum log_level level, const char *event, const char *format, ...)
{
    struct line l;
    char message[2048];
    va_list args;
    if (level > threshold)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    begin(&l, level, event);
    put(&l, " msg=", 5);
    put_value(&l, message);
    end(&l);
}
