/* The master: waits for signals, children and the admin socket, and decides what happens next.
 *
 * It starts a checker, and with what that tells the first generation; from then on it keeps a live generation running
 * until it is told to end. It never waits for anything but poll(). Whatever children write is bounded and checked.
 *
 * The end: WAITING (/readyz says 503 for shutdown_delay, everything else goes on), DRAINING (streams end by
 * themselves, up to `drain`), CUTTING. A second TERM or INT goes to CUTTING at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "master_parts.h"
#include "worker.h"

enum { POLL_MAX = MASTER_GENERATIONS * MASTER_WORKERS + 80 };

struct master master;

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t master_now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t master_unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

/* ---- children ---- */

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void master_close_all_but(const int *keep, uint32_t n)
{
    int sorted[MASTER_LISTENERS + 8];
    memcpy(sorted, keep, n * sizeof *keep);
    qsort(sorted, n, sizeof *sorted, compare_ints);
    unsigned from = 3;
    for (uint32_t i = 0; i < n; i++) {
        if (sorted[i] < (int)from)
            continue;
        if (sorted[i] > (int)from)
            close_range(from, (unsigned)sorted[i] - 1, 0);
        from = (unsigned)sorted[i] + 1;
    }
    close_range(from, ~0u, 0);
}

int master_bind_child(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent ? 0 : -1;
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == master.check.pid)
            check_reaped(status);
        else if (!generation_reaped(pid, status))
            upgrade_reaped(pid, status);
    }
}

void master_update_serving(void)
{
    const struct generation *live = generation_live();
    bool is_serving = false;
    for (uint32_t i = 0; live && i < live->n_workers; i++)
        is_serving = is_serving || live->workers[i].state == PROCESS_READY;
    atomic_store(&shm_area->is_serving, is_serving && master.phase == MASTER_RUNNING);
}

/* ---- reload ---- */

static bool is_reloading(void)
{
    if (master.check.state != CHECK_NONE)
        return true;
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        if (master.generations[i].state == GENERATION_STARTING)
            return true;
    return false;
}

static void begin_reload(void)
{
    char text[96];
    master.is_reload_wanted = false;
    master.reloads_begun++;
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, master_now_ms() * 1000);
    if (master.phase == MASTER_RUNNING)
        notify_systemd(text);
    check_begin();
}

uint32_t master_reload(void)
{
    if (is_reloading()) {
        master.is_reload_wanted = true;
        return master.reloads_begun + 1;
    }
    begin_reload();
    return master.reloads_begun;
}

static void log_lines(enum log_level level, const char *event, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        log_text(level, event, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void tell_ready(void)
{
    char address[MASTER_SPEC] = "";
    for (uint32_t i = 0; i < master.n_listeners; i++) {
        listener_address(&master.listeners[i], address, sizeof address);
        LOG_INFO("listen", "address", address);
    }
    if (master.n_listeners > 0)
        listener_address(&master.listeners[0], address, sizeof address);
    if (master.start.on_ready)
        master.start.on_ready(address);
}

static void finish_boot(bool is_ok, const char *text)
{
    if (!is_ok) {
        fprintf(stderr, "%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
        master.exit_code = 1;
        master.phase = MASTER_CUTTING;
        return;
    }
    master.phase = MASTER_RUNNING;
    master_update_serving();
    notify_systemd("READY=1");
    tell_ready();
}

void master_reloaded(bool is_ok, const char *text)
{
    master.reloads_done = master.reloads_begun;
    master.was_reload_ok = is_ok;
    snprintf(master.reload_text, sizeof master.reload_text, "%s%s", master.check.warnings, text);
    log_lines(LOG_LEVEL_WARN, "config.warning", master.check.warnings);
    if (master.phase == MASTER_BOOT) {
        finish_boot(is_ok, text);
        return;
    }
    if (!is_ok)
        log_lines(LOG_LEVEL_ERROR, "reload.failed", text);
    if (master.phase == MASTER_RUNNING)
        notify_systemd("READY=1");
    control_reloaded();
}

/* ---- the end ---- */

static void enter_phase(enum master_phase phase, uint32_t ms)
{
    master.phase = phase;
    master.phase_until_ms = master_now_ms() + ms;
    master_update_serving();
}

static void cut_all(void)
{
    enter_phase(MASTER_CUTTING, 0);
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        if (master.generations[i].state != GENERATION_NONE)
            generation_cut(&master.generations[i]);
}

static void drain_all(void)
{
    const struct generation *live = generation_live();
    enter_phase(MASTER_DRAINING, live ? live->settings.drain_ms : 0);
    listeners_unlink();
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++) {
        struct generation *g = &master.generations[i];
        if (g->state == GENERATION_STARTING)
            generation_cut(g);
        else if (g->state != GENERATION_NONE)
            generation_drain(g, true);
    }
}

static void begin_end(const char *signal_name)
{
    const struct generation *live = generation_live();
    LOG_INFO("stop", "signal", signal_name);
    notify_systemd("STOPPING=1");
    if (!live)
        cut_all();
    else
        enter_phase(MASTER_WAITING, live->settings.shutdown_delay_ms);
}

static void asked_to_end(const char *signal_name)
{
    if (master.phase == MASTER_RUNNING)
        begin_end(signal_name);
    else
        cut_all();
}

static void phase_tick(int64_t now_ms)
{
    if (now_ms < master.phase_until_ms)
        return;
    if (master.phase == MASTER_WAITING)
        drain_all();
    else if (master.phase == MASTER_DRAINING)
        cut_all();
}

static bool is_over(void)
{
    if (master.runs_alone)
        return true;
    if (master.phase != MASTER_DRAINING && master.phase != MASTER_CUTTING)
        return false;
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        if (generation_processes(&master.generations[i]) > 0)
            return false;
    return true;
}

/* ---- signals ---- */

static void pass_on(int number)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++)
            if (master.generations[i].workers[k].pid > 0)
                kill(master.generations[i].workers[k].pid, number);
}

static void got_signal(int number)
{
    switch (number) {
    case SIGCHLD: reap(); break;
    case SIGHUP: master_reload(); break;
    case SIGTERM: asked_to_end("TERM"); break;
    case SIGINT: asked_to_end("INT"); break;
    case SIGQUIT: asked_to_end("QUIT"); break;
    case SIGUSR1: pass_on(SIGUSR1); break;
    case SIGUSR2: upgrade_begin(); break;
    default: break;
    }
}

static int open_signals(void)
{
    static const int numbers[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&set, numbers[i]);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &set, NULL))
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void read_signals(void)
{
    struct signalfd_siginfo info;
    while (read(master.signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        got_signal((int)info.ssi_signo);
}

/* ---- the loop ---- */

static void add(struct pollfd *fds, uint32_t *n, const struct channel *c)
{
    if (c->fd >= 0 && *n < POLL_MAX)
        fds[(*n)++] = (struct pollfd){ c->fd, (short)(POLLIN | (c->out_n ? POLLOUT : 0)), 0 };
}

static uint32_t add_children(struct pollfd *fds, uint32_t n)
{
    if (master.check.state != CHECK_NONE)
        add(fds, &n, &master.check.channel);
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++)
            add(fds, &n, &master.generations[i].workers[k].channel);
    return n;
}

static void handle_worker(const struct pollfd *fd)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++) {
            struct process *p = &master.generations[i].workers[k];
            if (p->state == PROCESS_NONE || p->channel.fd != fd->fd)
                continue;
            if (fd->revents & POLLOUT)
                channel_flush(&p->channel);
            if (fd->revents & (POLLIN | POLLHUP | POLLERR))
                generation_read(&master.generations[i], p);
            return;
        }
}

/* A handler may end what a later descriptor belonged to: each is looked up anew. */
static void handle_children(const struct pollfd *fds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!fds[i].revents)
            continue;
        if (master.check.state != CHECK_NONE && fds[i].fd == master.check.channel.fd) {
            channel_flush(&master.check.channel);
            check_read();
        } else
            handle_worker(&fds[i]);
    }
}

static void tick(void)
{
    int64_t now_ms = master_now_ms();
    watchdog_tick(now_ms);
    check_tick(now_ms);
    generation_tick(now_ms);
    phase_tick(now_ms);
    control_tick(now_ms);
    if (master.is_reload_wanted && !is_reloading() && master.phase == MASTER_RUNNING)
        begin_reload();
    if (!is_reloading() && master.phase == MASTER_RUNNING)
        upgrade_tick();
}

static void turn(void)
{
    struct pollfd fds[POLL_MAX];
    fds[0] = (struct pollfd){ master.signal_fd, POLLIN, 0 };
    uint32_t children = add_children(fds, 1);
    uint32_t all = children + control_poll(fds + children, POLL_MAX - children);
    if (poll(fds, all, MASTER_TICK_MS) > 0) {
        handle_children(fds + 1, children - 1);
        control_handle(fds + children, all - children);
        if (fds[0].revents)
            read_signals();
    }
    tick();
}

/* ---- the life ---- */

static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int begin(const struct master_start *start, char *why, size_t n)
{
    memset(&master, 0, sizeof master);
    master.start = *start;
    master.signal_fd = master.lock_fd = master.admin_fd = master.check.channel.fd = -1;
    master.started_unix_ms = master_unix_ms();
    master.last_tick_ms = master_now_ms();
    ssize_t length = readlink("/proc/self/exe", master.program, sizeof master.program - 1);
    master.program[length > 0 ? length : 0] = 0;
    raise_limits();
    if ((master.signal_fd = open_signals()) < 0) {
        snprintf(why, n, "no signals can be received: %s", strerror(errno));
        return -1;
    }
    if (upgrade_is_pending())
        return upgrade_resume(why, n);
    if (shm_create()) {
        snprintf(why, n, "no shared memory (memfd of %zu MiB): %s", sizeof(struct shm) >> 20, strerror(errno));
        return -1;
    }
    shm_use_slot(SHM_SLOT_MASTER);
    return 0;
}

static void end(void)
{
    control_close();
    listeners_unlink();
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        state_folder_remove(master.generations[i].folder);
    if (master.check.state != CHECK_NONE && master.check.pid > 0)
        kill(master.check.pid, SIGKILL);
    state_folder_remove(master.check.folder);
    channel_close(&master.check.channel);
    close(master.signal_fd);
    if (master.lock_fd >= 0)
        close(master.lock_fd);
}

/* `workers: 0`: this process becomes the worker. */
static int run_alone(void)
{
    struct settings settings = master.check.settings;
    char why[MASTER_TEXT] = "";
    int fds[MASTER_LISTENERS], status;
    sigset_t none;
    channel_close(&master.check.channel);
    waitpid(master.check.pid, &status, 0);
    close(master.signal_fd);
    if (listeners_open(&settings, why, sizeof why) || state_folder_drop_to(settings.user, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    shm_use_slot(0);
    log_lines(LOG_LEVEL_WARN, "config.warning", master.check.warnings);
    struct worker_start start = { .config_path = master.start.config_path, .control_fd = -1, .listen_fds = fds,
                                  .n_listen_fds = listeners_of(&settings, fds) };
    tell_ready();
    return worker_run(&start);
}

int master_run(const struct master_start *start)
{
    char why[MASTER_TEXT] = "";
    log_set_worker(-1);
    if (begin(start, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    if (master.phase == MASTER_BOOT)
        begin_reload();
    else
        master_reload();
    while (!is_over())
        turn();
    if (master.runs_alone)
        return run_alone();
    end();
    return master.exit_code;
}
