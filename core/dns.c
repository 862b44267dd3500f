/* Name look-ups. getaddrinfo() honours what the machine is set up with (files, nsswitch, search lists) and may block for long, so
 * it runs in threads, started when they are needed: a name server that is silent for one name holds up few others. A thread
 * touches nothing but its job; jobs cross by two lists under one lock.
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
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    FRESH_S = 30,
    RETRY_S = 3,
    NAMES_MAX = 1024,
    NAME_MAX_BYTES = 254,
    ADDRESSES_MAX = 512,
    THREADS_MAX = 4,
    STACK_BYTES = 256 * 1024
};

struct dns_query {
    struct dns_query *next;
    bool is_cancelled;
    dns_fn done;
    void *arg;
};

struct name {
    struct name *next;
    struct dns_query *queries;
    char *addresses; /* the last good ones; NULL: never */
    uint32_t version;
    int64_t refresh_at_s;
    bool is_underway;
    char host[];
};

struct job {
    struct job *next;
    struct name *name; /* the loop's; not touched by the thread */
    int error;
    char addresses[ADDRESSES_MAX];
    char host[NAME_MAX_BYTES + 1];
};

/* What the threads share with the loop. It outlives the rest while a look-up is underway at the end. */
struct bench {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *todo, **todo_end, *done;
    uint32_t n_threads, n_idle;
    bool is_ending;
    int fd;
};

struct dns {
    struct event *event;
    struct name *names;
    uint32_t n_names, versions;
    struct bench *bench;
};

static int64_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* ---- the threads ---- */

static void add_address(char *list, const struct addrinfo *a)
{
    char plain[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 4];
    const void *from = a->ai_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a->ai_addr)->sin_addr
                                               : (const void *)&((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr;
    if (!inet_ntop(a->ai_family, from, plain, sizeof(plain)))
        return;
    size_t n = strlen(list),
           more = (size_t)snprintf(text, sizeof(text), a->ai_family == AF_INET6 ? "[%s]" : "%s", plain);
    if (n + more + 2 >= ADDRESSES_MAX)
        return;
    if (n)
        list[n++] = ',';
    memcpy(list + n, text, more + 1);
}

static void look_up(struct job *j)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG },
                    *list = NULL;
    j->error = getaddrinfo(j->host, NULL, &hints, &list);
    if (j->error == EAI_NONAME || j->error == EAI_ADDRFAMILY || j->error == EAI_NODATA) {
        hints.ai_flags = 0; /* a machine with loopback only has no "configured" address */
        j->error = getaddrinfo(j->host, NULL, &hints, &list);
    }
    for (const struct addrinfo *a = j->error ? NULL : list; a; a = a->ai_next)
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
            add_address(j->addresses, a);
    if (list)
        freeaddrinfo(list);
}

static void bench_free(struct bench *b)
{
    for (struct job *j = b->done, *next; j; j = next) {
        next = j->next;
        free(j);
    }
    for (struct job *j = b->todo, *next; j; j = next) {
        next = j->next;
        free(j);
    }
    if (b->fd >= 0)
        close(b->fd);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static struct job *next_job(struct bench *b)
{
    b->n_idle++;
    while (!b->todo && !b->is_ending)
        pthread_cond_wait(&b->work, &b->lock);
    b->n_idle--;
    struct job *j = b->is_ending ? NULL : b->todo;
    if (!j)
        return NULL;
    b->todo = j->next;
    if (!b->todo)
        b->todo_end = &b->todo;
    return j;
}

static void *run(void *arg)
{
    struct bench *b = arg;
    struct job *j;
    uint64_t one = 1;
    pthread_mutex_lock(&b->lock);
    while ((j = next_job(b))) {
        pthread_mutex_unlock(&b->lock);
        look_up(j);
        pthread_mutex_lock(&b->lock);
        j->next = b->done;
        b->done = j;
        if (write(b->fd, &one, sizeof(one)) < 0)
            break;
    }
    bool is_last = --b->n_threads == 0 && b->is_ending;
    pthread_mutex_unlock(&b->lock);
    if (is_last)
        bench_free(b);
    return NULL;
}

/* Under the lock. Signals are the loop's. */
static bool start_thread(struct bench *b)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool has_started = pthread_create(&thread, &attr, run, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    b->n_threads += has_started;
    return has_started;
}

static bool give_job(struct bench *b, struct job *j)
{
    pthread_mutex_lock(&b->lock);
    bool has_thread = b->n_idle > 0 || (b->n_threads < THREADS_MAX && start_thread(b)) || b->n_threads > 0;
    if (has_thread) {
        *b->todo_end = j;
        b->todo_end = &j->next;
        pthread_cond_signal(&b->work);
    }
    pthread_mutex_unlock(&b->lock);
    return has_thread;
}

/* ---- the loop's side ---- */

static struct dns_addresses known(const struct name *n)
{
    return (struct dns_addresses){ n->addresses, n->version };
}

static void tell_all(struct name *n, const char *why)
{
    struct dns_query *list = n->queries;
    n->queries = NULL;
    while (list) {
        struct dns_query *q = list;
        list = q->next;
        if (!q->is_cancelled)
            q->done(q->arg, known(n), why);
        free(q);
    }
}

static void learn(struct dns *d, struct name *n, const char *addresses)
{
    if (n->addresses && strcmp(n->addresses, addresses) == 0)
        return;
    char *copy = strdup(addresses);
    if (!copy)
        return;
    free(n->addresses);
    n->addresses = copy;
    n->version = ++d->versions;
}

static void finish(struct dns *d, struct job *j)
{
    struct name *n = j->name;
    bool is_good = !j->error && j->addresses[0];
    n->is_underway = false;
    n->refresh_at_s = now_s() + (is_good ? FRESH_S : RETRY_S);
    if (is_good)
        learn(d, n, j->addresses);
    tell_all(n, is_good ? "" : j->error ? gai_strerror(j->error) : "it has no address");
    free(j);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct dns *d = arg;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    pthread_mutex_lock(&d->bench->lock);
    struct job *list = d->bench->done;
    d->bench->done = NULL;
    pthread_mutex_unlock(&d->bench->lock);
    while (list) {
        struct job *j = list;
        list = j->next;
        finish(d, j);
    }
}

static struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->todo_end = &b->todo;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return b;
}

struct dns *dns_new(struct event_base *base)
{
    struct dns *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->bench = bench_new();
    d->event = d->bench && d->bench->fd >= 0 ? event_new(base, d->bench->fd, EV_READ | EV_PERSIST, on_done, d) : NULL;
    if (d->event && event_add(d->event, NULL) == 0)
        return d;
    dns_free(d);
    return NULL;
}

/* A look-up that is underway is not waited for: the last thread frees what it needs. */
static void end_bench(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    b->is_ending = true;
    bool is_last = b->n_threads == 0;
    pthread_cond_broadcast(&b->work);
    pthread_mutex_unlock(&b->lock);
    if (is_last)
        bench_free(b);
}

static void free_name(struct name *n)
{
    while (n->queries) {
        struct dns_query *q = n->queries;
        n->queries = q->next;
        free(q);
    }
    free(n->addresses);
    free(n);
}

void dns_free(struct dns *d)
{
    if (!d)
        return;
    if (d->event)
        event_free(d->event);
    if (d->bench)
        end_bench(d->bench);
    while (d->names) {
        struct name *n = d->names;
        d->names = n->next;
        free_name(n);
    }
    free(d);
}

/* The one that is asked for most stays in front. */
static struct name *find_name(struct dns *d, const char *host)
{
    for (struct name **at = &d->names; *at; at = &(*at)->next) {
        struct name *n = *at;
        if (strcasecmp(n->host, host) != 0)
            continue;
        *at = n->next;
        n->next = d->names;
        d->names = n;
        return n;
    }
    return NULL;
}

/* Makes room by forgetting the one that was not asked for the longest. */
static void forget_one(struct dns *d)
{
    struct name **oldest = NULL;
    for (struct name **at = &d->names; *at; at = &(*at)->next)
        if (!(*at)->is_underway)
            oldest = at;
    if (!oldest)
        return;
    struct name *n = *oldest;
    *oldest = n->next;
    d->n_names--;
    free_name(n);
}

static struct name *name_of(struct dns *d, const char *host)
{
    struct name *n = find_name(d, host);
    size_t len = strlen(host);
    if (n || len > NAME_MAX_BYTES)
        return n;
    if (d->n_names >= NAMES_MAX)
        forget_one(d);
    n = calloc(1, sizeof(*n) + len + 1);
    if (!n)
        return NULL;
    memcpy(n->host, host, len + 1);
    n->next = d->names;
    d->names = n;
    d->n_names++;
    return n;
}

static bool begin(struct dns *d, struct name *n)
{
    if (n->is_underway)
        return true;
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return false;
    j->name = n;
    memcpy(j->host, n->host, strlen(n->host) + 1);
    n->is_underway = give_job(d->bench, j);
    if (!n->is_underway)
        free(j);
    return n->is_underway;
}

struct dns_addresses dns_cached(struct dns *d, const char *host)
{
    struct name *n = find_name(d, host);
    if (!n || !n->addresses)
        return (struct dns_addresses){ NULL, 0 };
    if (now_s() >= n->refresh_at_s)
        begin(d, n); /* the known addresses serve until then */
    return known(n);
}

void dns_distrust(struct dns *d, const char *host)
{
    struct name *n = find_name(d, host);
    if (n && n->refresh_at_s > now_s() + RETRY_S)
        n->refresh_at_s = now_s() + RETRY_S;
}

struct dns_query *dns_ask(struct dns *d, const char *host, dns_fn done, void *arg)
{
    struct name *n = name_of(d, host);
    struct dns_query *q = n ? calloc(1, sizeof(*q)) : NULL;
    if (!q || !begin(d, n)) {
        free(q);
        return NULL;
    }
    *q = (struct dns_query){ n->queries, false, done, arg };
    n->queries = q;
    return q;
}

void dns_cancel(struct dns_query *q)
{
    q->is_cancelled = true; /* freed when the look-up ends */
}
