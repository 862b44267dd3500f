/* The binary upgrade: on SIGUSR2 the master executes its program anew, in place. The process, its children, its
 * listeners, the shared memory and the lock stay; the new program finds them through WEIR_UPGRADE, the number of a
 * descriptor with lines of text. Then it starts a generation of its own, and the old one drains as in any reload.
 *
 * First the program is run once as `weir version`: if that fails, nothing happens. A new program with another layout
 * of the shared memory makes a fresh one; the old generation's workers keep theirs and are only waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "master_parts.h"

static pid_t trial;

/* ---- leaving ---- */

void upgrade_begin(void)
{
    if (trial > 0 || master.phase != MASTER_RUNNING)
        return;
    trial = fork();
    if (trial == 0) {
        char *const argv[] = { master.program, (char *)(uintptr_t)"version", NULL };
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        alarm(5);
        execv(master.program, argv);
        _exit(127);
    }
    if (trial < 0)
        log_text(LOG_LEVEL_ERROR, "upgrade.failed", "no process can be started: %s", strerror(errno));
}

void upgrade_reaped(pid_t pid, int status)
{
    if (pid != trial)
        return;
    trial = 0;
    if (status == 0)
        master.wants_upgrade = true;
    else
        log_text(LOG_LEVEL_ERROR, "upgrade.failed", "`%s version` doesn't run: nothing has changed", master.program);
}

static void put_generation(FILE *out, const struct generation *g)
{
    const struct settings *s = &g->settings;
    fprintf(out, "generation %u %d %d %" PRId64 " %u %u %u %u %d %s\n", g->number, g->state, g->is_cut,
            g->started_unix_ms, s->workers, s->watchdog_ms, s->shutdown_delay_ms, s->drain_ms, s->log_level, s->hash);
    fprintf(out, "folder %s\nname %s\nuser %s\n", g->folder, s->name, s->user);
    for (uint32_t i = 0; i < s->n_listen; i++)
        fprintf(out, "listen %s\n", s->listen[i]);
    for (uint32_t i = 0; i < g->n_workers; i++) {
        const struct process *p = &g->workers[i];
        fprintf(out, "worker %u %ld %d %d\n", p->slot, (long)p->pid, p->channel.fd, p->state);
    }
}

static void put_state(FILE *out)
{
    fprintf(out, "shm %d\nlock %d\nstarted %" PRId64 "\nlast_generation %u\nrestarts %u\nstate_dir %s\n", shm_fd(),
            master.lock_fd, master.started_unix_ms, master.last_generation, master.restarts, master.state_dir);
    if (master.admin_fd >= 0)
        fprintf(out, "admin %d %s\n", master.admin_fd, master.admin_path);
    for (uint32_t i = 0; i < master.n_listeners; i++)
        fprintf(out, "listener %d %s\n", master.listeners[i].fd, master.listeners[i].spec);
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        if (master.generations[i].state != GENERATION_NONE)
            put_generation(out, &master.generations[i]);
}

static void set_inherited(int fd, bool is_inherited)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, is_inherited ? 0 : FD_CLOEXEC);
}

static void set_all_inherited(bool are_inherited)
{
    set_inherited(shm_fd(), are_inherited);
    set_inherited(master.lock_fd, are_inherited);
    set_inherited(master.admin_fd, are_inherited);
    for (uint32_t i = 0; i < master.n_listeners; i++)
        set_inherited(master.listeners[i].fd, are_inherited);
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++)
            set_inherited(master.generations[i].workers[k].channel.fd, are_inherited);
}

/* A message that is half read or half written would be lost. */
static bool is_quiet(void)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++) {
            const struct process *p = &master.generations[i].workers[k];
            if (p->channel.out_n > 0 || p->channel.in_n > p->channel.taken || p->state == PROCESS_STARTING)
                return false;
        }
    return true;
}

static int write_state(void)
{
    char number[16];
    int fd = memfd_create("weir-upgrade", 0);
    FILE *out = fd < 0 ? NULL : fdopen(dup(fd), "w");
    if (!out)
        return -1;
    put_state(out);
    fclose(out);
    snprintf(number, sizeof number, "%d", fd);
    setenv("WEIR_UPGRADE", number, 1);
    return fd;
}

void upgrade_tick(void)
{
    if (!master.wants_upgrade || !is_quiet())
        return;
    master.wants_upgrade = false;
    int fd = write_state();
    if (fd >= 0) {
        LOG_INFO("upgrade", "program", master.program);
        set_all_inherited(true);
        execv(master.program, master.start.argv);
        log_text(LOG_LEVEL_ERROR, "upgrade.failed", "%s can't be executed: %s", master.program, strerror(errno));
        set_all_inherited(false);
        close(fd);
    }
    unsetenv("WEIR_UPGRADE");
}

/* ---- arriving ---- */

bool upgrade_is_pending(void)
{
    return getenv("WEIR_UPGRADE") != NULL;
}

struct arrival {
    struct generation *g; /* whose lines are read */
    bool is_foreign;      /* the shared memory is of another layout */
};

static void take_shm(struct arrival *a, int fd)
{
    a->is_foreign = shm_attach(fd) != 0;
    if (!a->is_foreign)
        return;
    close(fd);
    log_text(LOG_LEVEL_WARN, "upgrade",
             "the shared memory has another layout: counters, limits and `shared` begin anew");
    if (shm_create())
        abort();
}

static void take_generation(struct arrival *a, const char *line)
{
    int state, is_cut;
    a->g = NULL;
    for (uint32_t i = 0; i < MASTER_GENERATIONS && !a->g; i++)
        if (master.generations[i].state == GENERATION_NONE)
            a->g = &master.generations[i];
    if (!a->g)
        return;
    struct settings *s = &a->g->settings;
    if (sscanf(line, "%u %d %d %" SCNd64 " %u %u %u %u %d %64s", &a->g->number, &state, &is_cut, &a->g->started_unix_ms,
               &s->workers, &s->watchdog_ms, &s->shutdown_delay_ms, &s->drain_ms, &s->log_level, s->hash) < 9)
        return;
    a->g->state = (enum generation_state)state;
    a->g->is_cut = is_cut != 0;
    a->g->since_ms = master_now_ms();
    log_set_level((enum log_level)s->log_level);
}

static void take_worker(struct arrival *a, const char *line)
{
    unsigned slot;
    long pid;
    int fd, state;
    if (!a->g || a->g->n_workers == MASTER_WORKERS || sscanf(line, "%u %ld %d %d", &slot, &pid, &fd, &state) != 4)
        return;
    struct process *p = &a->g->workers[a->g->n_workers++];
    p->slot = slot;
    p->pid = (pid_t)pid;
    p->state = (enum process_state)state;
    p->since_ms = master_now_ms();
    p->is_foreign = a->is_foreign;
    channel_open(&p->channel, fd);
}

static void take_listener(const char *line)
{
    char *rest;
    int fd = (int)strtol(line, &rest, 10);
    if (*rest != ' ' || master.n_listeners == MASTER_LISTENERS * 2)
        return;
    struct listener *l = &master.listeners[master.n_listeners++];
    l->fd = fd;
    snprintf(l->spec, sizeof l->spec, "%s", rest + 1);
}

static void take_admin(const char *line)
{
    char *rest;
    master.admin_fd = (int)strtol(line, &rest, 10);
    snprintf(master.admin_path, sizeof master.admin_path, "%s", *rest ? rest + 1 : "");
}

static void take_of_generation(struct arrival *a, const char *name, const char *value)
{
    struct settings *s = a->g ? &a->g->settings : NULL;
    if (!s)
        return;
    if (strcmp(name, "folder") == 0)
        snprintf(a->g->folder, sizeof a->g->folder, "%s", value);
    else if (strcmp(name, "name") == 0)
        snprintf(s->name, sizeof s->name, "%s", value);
    else if (strcmp(name, "user") == 0)
        snprintf(s->user, sizeof s->user, "%s", value);
    else if (strcmp(name, "worker") == 0)
        take_worker(a, value);
    else if (strcmp(name, "listen") == 0 && s->n_listen < MASTER_LISTENERS)
        snprintf(s->listen[s->n_listen++], MASTER_SPEC, "%s", value);
}

static void take_line(struct arrival *a, const char *name, const char *value)
{
    if (strcmp(name, "shm") == 0)
        take_shm(a, atoi(value));
    else if (strcmp(name, "lock") == 0)
        master.lock_fd = atoi(value);
    else if (strcmp(name, "started") == 0)
        master.started_unix_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "last_generation") == 0)
        master.last_generation = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "restarts") == 0)
        master.restarts = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "state_dir") == 0)
        snprintf(master.state_dir, sizeof master.state_dir, "%s", value);
    else if (strcmp(name, "listener") == 0)
        take_listener(value);
    else if (strcmp(name, "admin") == 0)
        take_admin(value);
    else if (strcmp(name, "generation") == 0)
        take_generation(a, value);
    else
        take_of_generation(a, name, value);
}

int upgrade_resume(char *why, size_t n)
{
    struct arrival arrival = { NULL, false };
    char line[2048];
    int fd = atoi(getenv("WEIR_UPGRADE"));
    unsetenv("WEIR_UPGRADE");
    FILE *in = lseek(fd, 0, SEEK_SET) == 0 ? fdopen(fd, "r") : NULL;
    if (!in) {
        snprintf(why, n, "the upgrade's state can't be read: WEIR_UPGRADE must not be set by hand");
        return -1;
    }
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        char *space = strchr(line, ' ');
        if (!space)
            continue;
        *space = 0;
        take_line(&arrival, line, space + 1);
    }
    fclose(in);
    set_all_inherited(false);
    shm_use_slot(SHM_SLOT_MASTER);
    master.phase = MASTER_RUNNING;
    return 0;
}
