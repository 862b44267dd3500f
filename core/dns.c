/* Name look-ups. getaddrinfo() honours what the machine is set up with (files, nsswitch) and may block for long, so it runs in
 * one thread of its own, started at the first look-up. That thread touches nothing but a job's name and result; jobs cross by
 * two lists under one lock.
 */
#include "dns.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { FRESH_S = 30, NAMES_MAX = 1024, ADDRESSES_MAX = 1024 };

struct dns_query {
    struct dns_query *next;
    struct name *name; /* NULL: cancelled */
    dns_fn done;
    void *arg;
};

struct name {
    struct name *next;
    char *host;
    char addresses[ADDRESSES_MAX]; /* the last good ones */
    char why[128];
    int64_t known_at_s; /* 0: never */
    bool is_underway;
    struct dns_query *queries;
};

struct job {
    struct job *next;
    struct name *name; /* the loop's; not touched by the thread */
    char host[256];
    char addresses[ADDRESSES_MAX];
    int error;
};

struct dns {
    struct event *event;
    int fd;
    struct name *names;
    uint32_t n_names;
    bool has_thread, is_ending;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *todo, **todo_end, *done;
};

static int64_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1;
}

/* ---- the thread ---- */

static void add_address(char *list, const struct addrinfo *a)
{
    char text[INET6_ADDRSTRLEN + 4] = "";
    const void *from = a->ai_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a->ai_addr)->sin_addr
                                               : (const void *)&((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr;
    char plain[INET6_ADDRSTRLEN];
    if (!inet_ntop(a->ai_family, from, plain, sizeof(plain)))
        return;
    snprintf(text, sizeof(text), a->ai_family == AF_INET6 ? "[%s]" : "%s", plain);
    size_t n = strlen(list), more = strlen(text);
    if (n + more + 2 >= ADDRESSES_MAX || strstr(list, text))
        return;
    if (n)
        list[n++] = ',';
    memcpy(list + n, text, more + 1);
}

static void look_up(struct job *j)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
    j->error = getaddrinfo(j->host, NULL, &hints, &list);
    if (j->error == EAI_NONAME || j->error == EAI_ADDRFAMILY || j->error == EAI_NODATA) { /* "localhost" on a machine without a configured address */
        hints.ai_flags = 0;
        j->error = getaddrinfo(j->host, NULL, &hints, &list);
    }
    for (const struct addrinfo *a = j->error ? NULL : list; a; a = a->ai_next)
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
            add_address(j->addresses, a);
    if (list)
        freeaddrinfo(list);
}

static void *run(void *arg)
{
    struct dns *d = arg;
    uint64_t one = 1;
    pthread_mutex_lock(&d->lock);
    while (!d->is_ending) {
        struct job *j = d->todo;
        if (!j) {
            pthread_cond_wait(&d->work, &d->lock);
            continue;
        }
        d->todo = j->next;
        if (!d->todo)
            d->todo_end = &d->todo;
        pthread_mutex_unlock(&d->lock);
        look_up(j);
        pthread_mutex_lock(&d->lock);
        j->next = d->done;
        d->done = j;
        if (write(d->fd, &one, sizeof(one)) < 0)
            break;
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static bool start_thread(struct dns *d)
{
    sigset_t all, before;
    if (d->has_thread)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    d->has_thread = pthread_create(&d->thread, NULL, run, d) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d->has_thread;
}

/* ---- the loop's side ---- */

static void tell_all(struct name *n)
{
    struct dns_query *list = n->queries;
    n->queries = NULL;
    while (list) {
        struct dns_query *q = list;
        list = q->next;
        if (q->name)
            q->done(q->arg, n->addresses[0] ? n->addresses : NULL, n->why);
        free(q);
    }
}

static void finish(struct job *j)
{
    struct name *n = j->name;
    n->is_underway = false;
    if (!j->error && j->addresses[0]) {
        memcpy(n->addresses, j->addresses, sizeof(n->addresses));
        n->known_at_s = now_s();
        n->why[0] = 0;
    } else {
        snprintf(n->why, sizeof(n->why), "%s", j->error ? gai_strerror(j->error) : "it has no address");
    }
    free(j);
    tell_all(n);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dns *d = arg;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&d->lock);
    struct job *list = d->done;
    d->done = NULL;
    pthread_mutex_unlock(&d->lock);
    while (list) {
        struct job *j = list;
        list = j->next;
        finish(j);
    }
}

struct dns *dns_new(struct event_base *base)
{
    struct dns *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->todo_end = &d->todo;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->work, NULL);
    d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->event = d->fd < 0 ? NULL : event_new(base, d->fd, EV_READ | EV_PERSIST, on_done, d);
    if (d->event && event_add(d->event, NULL) == 0)
        return d;
    dns_free(d);
    return NULL;
}

/* A look-up that is underway is not waited for: the thread is left to the end of the process with its job. */
void dns_free(struct dns *d)
{
    if (!d)
        return;
    if (d->event)
        event_free(d->event);
    d->event = NULL;
    pthread_mutex_lock(&d->lock);
    d->is_ending = true;
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->lock);
    bool is_busy = false;
    for (const struct name *n = d->names; n; n = n->next)
        is_busy |= n->is_underway;
    if (is_busy && d->has_thread) {
        pthread_detach(d->thread);
        return;
    }
    if (d->has_thread)
        pthread_join(d->thread, NULL);
    for (struct job *j = d->done, *next; j; j = next) {
        next = j->next;
        free(j);
    }
    while (d->names) {
        struct name *n = d->names;
        d->names = n->next;
        free(n->host);
        free(n);
    }
    if (d->fd >= 0)
        close(d->fd);
    free(d);
}

static struct name *find_name(struct dns *d, const char *host)
{
    for (struct name *n = d->names; n; n = n->next)
        if (strcmp(n->host, host) == 0)
            return n;
    return NULL;
}

static struct name *name_of(struct dns *d, const char *host)
{
    struct name *n = find_name(d, host);
    if (n || d->n_names >= NAMES_MAX || strlen(host) > 255)
        return n;
    n = calloc(1, sizeof(*n));
    if (n && !(n->host = strdup(host))) {
        free(n);
        return NULL;
    }
    if (n) {
        n->next = d->names;
        d->names = n;
        d->n_names++;
    }
    return n;
}

static bool begin(struct dns *d, struct name *n)
{
    struct job *j = n->is_underway ? NULL : calloc(1, sizeof(*j));
    if (n->is_underway)
        return true;
    if (!j || !start_thread(d)) {
        free(j);
        return false;
    }
    j->name = n;
    memcpy(j->host, n->host, strlen(n->host) + 1);
    n->is_underway = true;
    pthread_mutex_lock(&d->lock);
    *d->todo_end = j;
    d->todo_end = &j->next;
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->lock);
    return true;
}

const char *dns_cached(struct dns *d, const char *host)
{
    struct name *n = find_name(d, host);
    if (!n || !n->known_at_s)
        return NULL;
    if (now_s() - n->known_at_s > FRESH_S)
        begin(d, n); /* refreshed behind the scenes; the known addresses serve until then */
    return n->addresses;
}

struct dns_query *dns_ask(struct dns *d, const char *host, dns_fn done, void *arg)
{
    struct name *n = name_of(d, host);
    struct dns_query *q = n ? calloc(1, sizeof(*q)) : NULL;
    if (!q || !begin(d, n)) {
        free(q);
        return NULL;
    }
    *q = (struct dns_query){ n->queries, n, done, arg };
    n->queries = q;
    return q;
}

void dns_cancel(struct dns_query *q)
{
    q->name = NULL; /* freed when the look-up ends */
}
