/* The worker: one event loop with everything that serves requests, and its seams to the master.
 *
 * Its life: load the configuration from the generation's snapshot, make the stage instances, say READY, listen on
 * START, tell the time every 100 ms in shared memory, stop accepting on DRAIN, end when nothing is left. With
 * `workers: 0` there is no master: it starts at once and minds the signals itself.
 *
 * Signals: the master's terminal and supervisor signal the whole group, so INT, TERM and HUP are ignored here; what
 * has to happen comes over the control channel. USR1 (reopen log files) is blocked and never taken: a plugin that
 * wants it reads it from a signalfd.
 */
#include "worker.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "balance.h"
#include "channel.h"
#include "crash.h"
#include "health.h"
#include "model_lists.h"
#include "log.h"
#include "shm_layout.h"
#include "status.h"

enum { TICK_MS = 100 };

struct life { /* of this process */
    struct worker worker;
    struct config_errors errors;
    struct channel channel;
    struct event *readable, *writable, *tick, *interrupt, *terminate;
    const int *listen_fds;
    uint32_t n_listen_fds;
    uint32_t quiet_ticks;  /* in a final drain: ticks without a request */
    bool has_pipeline, is_final;
    int exit_code;
};
static struct life life;
struct worker *worker;

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool has_master(void)
{
    return life.worker.control_fd >= 0;
}

static void leave_loop(void)
{
    event_base_loopbreak(life.worker.base);
}

/* ---- what the master asks ---- */

static uint32_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static const char *kind_of(const struct plugin *p)
{
    return p->desc.head.kind == WEIR_KIND_CODEC ? "codec" : p->desc.head.kind == WEIR_KIND_STAGE ? "stage" : "credentials";
}

static void put_plugins(FILE *out)
{
    const char *comma = "";
    for (const struct plugin *p = plugin_first(); p; p = p->next, comma = ",") {
        fprintf(out, "%s{\"name\":", comma);
        status_put_string(out, p->desc.name);
        fprintf(out, ",\"version\":");
        status_put_string(out, p->desc.version);
        fprintf(out, ",\"kind\":\"%s\",\"path\":", kind_of(p));
        status_put_string(out, p->origin ? p->origin : p->path);
        fprintf(out, ",\"crashes\":%llu,\"quarantined\":%s}", (unsigned long long)fault_crashes(p->desc.name),
                fault_is_quarantined(p->desc.name) ? "true" : "false");
    }
}

/* {"calls":[…],"plugins":[…], counts}: malloc'ed, NULL without memory. */
static char *make_status(size_t *n)
{
    char *text = NULL, *calls = pipeline_status_json();
    FILE *out = open_memstream(&text, n);
    if (out) {
        struct edge_counts counts = edge_counts(life.worker.edge);
        fprintf(out, "{\"calls\":%s,\"plugins\":[", calls ? calls : "[]");
        put_plugins(out);
        fprintf(out, "],\"requests_live\":%u,\"mirrors_live\":%u,\"connections\":%u,\"idle_connections\":%u,\"exchanges\":%u",
                pipeline_live(), mirror_live(), counts.connections, counts.idle, counts.exchanges);
        fprintf(out, ",\"upstream_calls\":%u,\"body_bytes\":%llu,\"arenas\":%zu,\"descriptors\":%u",
                egress_in_flight(life.worker.egress), (unsigned long long)counts.body_bytes, arena_live(),
                open_descriptors());
        fprintf(out, ",\"accepted\":%llu,\"requests\":%llu,\"refused\":%llu}", (unsigned long long)counts.accepted,
                (unsigned long long)counts.requests, (unsigned long long)counts.refused);
        fclose(out);
    }
    free(calls);
    return text;
}

static void send_to_master(uint32_t type, uint32_t id, const char *p, size_t n)
{
    if (!has_master())
        return;
    if (channel_send(&life.channel, type, id, p, n))
        leave_loop(); /* the master is gone, and so are we */
    else if (life.channel.out_n > 0 && life.writable)
        event_add(life.writable, NULL);
}

static void answer_status(uint32_t id)
{
    size_t n = 0;
    char *text = make_status(&n);
    send_to_master(CHANNEL_ANSWER, id, text ? text : "null", text ? n : 4);
    free(text);
}

static void start_listening(void)
{
    for (uint32_t i = 0; i < life.n_listen_fds; i++)
        if (edge_listen(life.worker.edge, life.listen_fds[i]))
            log_text(LOG_LEVEL_ERROR, "worker.listen", "can't serve descriptor %d: %s", life.listen_fds[i],
                     strerror(errno));
    if (has_master())
        balance_start(&life.worker, life.listen_fds, life.n_listen_fds);
    if (health_start(&life.worker))
        log_text(LOG_LEVEL_ERROR, "worker.health", "memory is short: not all providers are checked");
    if (model_lists_start(&life.worker))
        log_text(LOG_LEVEL_ERROR, "worker.models", "memory is short: not all providers are asked for their models");
    atomic_store(&shm_own->state, SHM_READY);
}

/* The descriptors are closed here too: a listener that the master gave up must not live on in a draining worker. */
static void start_draining(bool is_final)
{
    life.is_final = is_final;
    if (life.worker.is_draining)
        return;
    life.worker.is_draining = true;
    atomic_store(&shm_own->state, SHM_DRAINING);
    balance_stop();
    health_stop();
    model_lists_stop();
    edge_drain(life.worker.edge);
    pipeline_drain();
    for (uint32_t i = 0; i < life.n_listen_fds; i++)
        close(life.listen_fds[i]);
    life.n_listen_fds = 0;
}

static void obey(const struct channel_message *m)
{
    switch (m->type) {
    case CHANNEL_START: start_listening(); break;
    case CHANNEL_DRAIN: start_draining(m->id == 1); break;
    case CHANNEL_STATUS: answer_status(m->id); break;
    case CHANNEL_QUIT: leave_loop(); break;
    default: break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct channel_message m;
    (void)fd;
    (void)what;
    (void)arg;
    int end = channel_fill(&life.channel);
    while (channel_next(&life.channel, &m))
        obey(&m);
    if (end)
        leave_loop();
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    int left = channel_flush(&life.channel);
    if (left > 0)
        event_add(life.writable, NULL);
    else if (left < 0)
        leave_loop();
}

/* ---- the tick ---- */

/* A drain for a reload leaves idle connections their last question; before the end of all they are cut once it is
 * quiet. */
static bool is_drained(const struct edge_counts *counts)
{
    if (pipeline_live() > 0 || counts->exchanges > 0)
        life.quiet_ticks = 0;
    else
        life.quiet_ticks++;
    return life.is_final ? life.quiet_ticks > 2 : counts->connections == 0 && pipeline_live() == 0;
}

static void tell_time(void)
{
    atomic_store_explicit(&shm_own->heartbeat_ms, monotonic_ms(), memory_order_relaxed);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct edge_counts counts = edge_counts(life.worker.edge);
    (void)fd;
    (void)what;
    (void)arg;
    tell_time();
    atomic_store_explicit(&shm_own->connections, counts.connections, memory_order_relaxed);
    if (life.worker.is_draining && is_drained(&counts))
        leave_loop();
}

/* ---- without a master ---- */

static void on_interrupt(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    (void)arg;
    if (life.worker.is_draining)
        leave_loop();
    else
        start_draining(true);
}

static int mind_signals(void)
{
    life.interrupt = evsignal_new(life.worker.base, SIGINT, on_interrupt, NULL);
    life.terminate = evsignal_new(life.worker.base, SIGTERM, on_interrupt, NULL);
    bool are_made = life.interrupt && life.terminate;
    return are_made && !event_add(life.interrupt, NULL) && !event_add(life.terminate, NULL) ? 0 : -1;
}

/* ---- starting ---- */

static void set_signals(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR2 };
    sigset_t blocked;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; has_master() && i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int fail(const char *why)
{
    log_text(LOG_LEVEL_ERROR, "worker.start", "%s", why);
    send_to_master(CHANNEL_FAILED, 0, why, strlen(why));
    return -1;
}

/* Errors were printed by the checker; here only a file that changed under the snapshot can be at fault. */
static int load(const struct worker_start *start)
{
    life.worker.config = config_load(start->config_path, start->snapshot, CONFIG_NORMAL, &life.errors);
    if (!life.worker.config) {
        config_errors_print(&life.errors, 2);
        return fail(life.errors.n ? life.errors.list[0].text : "the configuration can't be loaded");
    }
    if (start->adapt)
        start->adapt((struct config *)(uintptr_t)life.worker.config);
    log_set_level((enum log_level)life.worker.config->log_level);
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        shm_name_plugin(p->index, p->desc.name);
    crash_note_modules();
    return 0;
}

static int make_parts(void)
{
    struct worker *w = &life.worker;
    char why[512] = "";
    if (!(w->base = event_base_new()))
        return fail("no event loop: out of memory or descriptors");
    if (!(w->egress = egress_new(w->base)))
        return fail("the egress can't be made: out of memory or descriptors");
    if (!(w->edge = edge_new(w->base, &w->config->limits, pipeline_handler())))
        return fail("the edge can't be made: out of memory");
    if (pipeline_start(w, why, sizeof why))
        return fail(why[0] ? why : "the pipeline can't be started");
    life.has_pipeline = true;
    return 0;
}

static int make_events(void)
{
    struct event_base *base = life.worker.base;
    struct timeval interval = { 0, TICK_MS * 1000 };
    tell_time();
    if (!(life.tick = event_new(base, -1, EV_PERSIST, on_tick, NULL)) || event_add(life.tick, &interval))
        return -1;
    if (!has_master())
        return mind_signals();
    life.readable = event_new(base, life.channel.fd, EV_READ | EV_PERSIST, on_readable, NULL);
    life.writable = event_new(base, life.channel.fd, EV_WRITE, on_writable, NULL);
    return life.readable && life.writable && !event_add(life.readable, NULL) ? 0 : -1;
}

static void free_event(struct event *e)
{
    if (e)
        event_free(e);
}

static void stop(void)
{
    struct worker *w = &life.worker;
    balance_stop();
    health_stop();
    model_lists_stop();
    if (w->edge)
        edge_free(w->edge);
    if (life.has_pipeline)
        pipeline_stop();
    if (w->egress)
        egress_free(w->egress);
    free_event(life.tick);
    free_event(life.readable);
    free_event(life.writable);
    free_event(life.interrupt);
    free_event(life.terminate);
    if (w->base)
        event_base_free(w->base);
    channel_close(&life.channel);
    config_errors_free(&life.errors);
    if (w->config)
        config_free((struct config *)(uintptr_t)w->config);
}

static int settle(const struct worker_start *start)
{
    set_signals();
    raise_descriptor_limit();
    if (has_master()) {
        shm_use_slot(start->slot);
        log_set_worker((int)start->slot);
    }
    crash_note_modules(); /* again when the plugins are loaded */
    return crash_handler_install();
}

int worker_run(const struct worker_start *start)
{
    memset(&life, 0, sizeof life);
    worker = &life.worker;
    life.worker.slot = start->slot;
    life.worker.generation = start->generation;
    life.worker.watcher = start->watcher;
    life.worker.control_fd = start->control_fd;
    life.listen_fds = start->listen_fds;
    life.n_listen_fds = start->n_listen_fds;
    channel_open(&life.channel, start->control_fd);
    life.exit_code = 1;
    if (settle(start) == 0 && load(start) == 0 && make_parts() == 0 && make_events() == 0) {
        send_to_master(CHANNEL_READY, 0, NULL, 0);
        if (!has_master())
            start_listening();
        life.exit_code = event_base_dispatch(life.worker.base) < 0 ? 1 : 0;
    }
    stop();
    worker = NULL;
    return life.exit_code;
}
