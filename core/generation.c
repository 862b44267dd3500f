/* Generations of workers: one configuration, one snapshot folder, up to 32 processes.
 *
 * STARTING until all workers said READY, then LIVE (and the one that was live drains), then DRAINING until its last
 * process is gone. A worker that dies in a live generation is started again at once, from the same snapshot in the
 * same slot; only one that died before READY is given time.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "crash.h"
#include "log.h"
#include "master_parts.h"
#include "worker.h"

enum { GENERATIONS_SERVING = 3, RESPAWN_MS = 100, RESPAWN_MAX_MS = 5000 };

struct generation *generation_live(void)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        if (master.generations[i].state == GENERATION_LIVE)
            return &master.generations[i];
    return NULL;
}

uint32_t generation_processes(const struct generation *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_workers; i++)
        n += g->workers[i].state != PROCESS_NONE;
    return n;
}

static void set_state(struct generation *g, enum generation_state state)
{
    g->state = state;
    g->since_ms = master_now_ms();
}

static void log_generation(const char *event, const struct generation *g)
{
    char number[16];
    snprintf(number, sizeof number, "%u", g->number);
    LOG_INFO(event, "generation", number, "hash", g->settings.hash);
}

/* ---- starting processes ---- */

__attribute__((noreturn)) static void be_worker(const struct generation *g, const struct process *p, int fd,
                                                pid_t parent)
{
    int keep[MASTER_LISTENERS + 2];
    uint32_t n = listeners_of(&g->settings, keep);
    struct worker_start start = { .config_path = master.start.config_path, .snapshot = g->folder, .slot = p->slot,
                                  .generation = g->number, .control_fd = fd, .listen_fds = keep, .n_listen_fds = n };
    keep[n] = fd;
    keep[n + 1] = shm_fd();
    master_close_all_but(keep, n + 2);
    if (master_bind_child(parent))
        _exit(1);
    exit(worker_run(&start));
}

static int spawn(struct generation *g, struct process *p)
{
    int fds[2];
    pid_t parent = getpid();
    if (channel_pair(fds))
        return -1;
    shm_slot_prepare(p->slot, g->number);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        be_worker(g, p, fds[1], parent);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return -1;
    }
    channel_open(&p->channel, fds[0]);
    p->pid = pid;
    p->state = PROCESS_STARTING;
    p->since_ms = master_now_ms();
    p->cause = NULL;
    p->was_stall_told = p->has_said_why = false;
    p->aborted_ms = 0;
    return 0;
}

static void respawn_later(struct process *p)
{
    uint32_t shift = p->early_deaths < 6 ? p->early_deaths : 6;
    int64_t wait_ms = p->early_deaths == 0 ? 0 : (int64_t)RESPAWN_MS << shift;
    p->respawn_at_ms = master_now_ms() + (wait_ms < RESPAWN_MAX_MS ? wait_ms : RESPAWN_MAX_MS);
}

static void respawn(struct generation *g, struct process *p)
{
    master.restarts++;
    if (spawn(g, p) == 0)
        return;
    log_text(LOG_LEVEL_ERROR, "worker.respawn", "no process can be started: %s", strerror(errno));
    p->early_deaths++;
    respawn_later(p);
}

/* ---- ending ---- */

static void ask(struct process *p, uint32_t type, uint32_t id)
{
    if (p->state != PROCESS_NONE)
        channel_send(&p->channel, type, id, NULL, 0); /* a broken channel shows as the process's death */
}

void generation_drain(struct generation *g, bool is_final)
{
    if (g->state != GENERATION_DRAINING) {
        set_state(g, GENERATION_DRAINING);
        log_generation("generation.drain", g);
    }
    for (uint32_t i = 0; i < g->n_workers; i++)
        ask(&g->workers[i], CHANNEL_DRAIN, is_final);
}

void generation_cut(struct generation *g)
{
    if (g->is_cut)
        return;
    g->is_cut = true;
    set_state(g, GENERATION_DRAINING);
    log_generation("generation.cut", g);
    for (uint32_t i = 0; i < g->n_workers; i++) {
        struct process *p = &g->workers[i];
        ask(p, CHANNEL_QUIT, 0);
        if (p->state != PROCESS_NONE) {
            p->state = PROCESS_CUT;
            p->since_ms = master_now_ms();
        }
    }
}

static void forget(struct generation *g)
{
    log_generation("generation.gone", g);
    state_folder_remove(g->folder);
    memset(g, 0, sizeof *g);
}

/* Nothing has been served by it, so nothing has to be waited for. */
static void fail(struct generation *g, const char *why)
{
    char text[MASTER_TEXT];
    const struct generation *live = generation_live();
    snprintf(text, sizeof text, "%s", why);
    g->is_cut = true;
    set_state(g, GENERATION_DRAINING);
    for (uint32_t i = 0; i < g->n_workers; i++) {
        struct process *p = &g->workers[i];
        if (p->state == PROCESS_NONE)
            continue;
        p->state = PROCESS_CUT;
        p->since_ms = master_now_ms();
        kill(p->pid, SIGKILL);
    }
    if (live)
        listeners_close_unused(&live->settings);
    if (generation_processes(g) == 0)
        forget(g);
    master_reloaded(false, text);
}

/* ---- from start to live ---- */

static bool is_slot_taken(uint32_t slot)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++)
            if (master.generations[i].workers[k].slot == slot)
                return true;
    return false;
}

static int give_slots(struct generation *g, uint32_t n)
{
    uint32_t slot = 0;
    for (g->n_workers = 0; g->n_workers < n; g->n_workers++) {
        while (slot < SHM_SLOTS && is_slot_taken(slot))
            slot++;
        if (slot == SHM_SLOTS)
            return -1;
        g->workers[g->n_workers].slot = slot++;
        channel_open(&g->workers[g->n_workers].channel, -1);
    }
    return 0;
}

static struct generation *find_free(void)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        if (master.generations[i].state == GENERATION_NONE)
            return &master.generations[i];
    return NULL;
}

int generation_start(const struct settings *settings, uint32_t number, const char *folder, char *why, size_t n)
{
    struct generation *g = find_free();
    if (!g || give_slots(g, settings->workers)) {
        if (g)
            memset(g, 0, sizeof *g);
        snprintf(why, n, "too many generations are still draining: try again when one is gone (see `weir status`)");
        return -1;
    }
    set_state(g, GENERATION_STARTING);
    g->number = number;
    g->started_unix_ms = master_unix_ms();
    g->settings = *settings;
    snprintf(g->folder, sizeof g->folder, "%s", folder);
    for (uint32_t i = 0; i < g->n_workers; i++) {
        if (spawn(g, &g->workers[i]) == 0)
            continue;
        g->folder[0] = 0; /* the caller removes it */
        g->is_cut = true;
        set_state(g, GENERATION_DRAINING);
        snprintf(why, n, "no worker process can be started: %s", strerror(errno));
        for (uint32_t k = 0; k < i; k++)
            kill(g->workers[k].pid, SIGKILL);
        if (i == 0)
            memset(g, 0, sizeof *g);
        return -1;
    }
    return 0;
}

static bool are_all_ready(const struct generation *g)
{
    for (uint32_t i = 0; i < g->n_workers; i++)
        if (g->workers[i].state != PROCESS_READY)
            return false;
    return true;
}

/* At most three serve at the same time; the oldest goes first. */
static void cut_surplus(void)
{
    for (;;) {
        uint32_t n = 0;
        struct generation *oldest = NULL;
        for (uint32_t i = 0; i < MASTER_GENERATIONS; i++) {
            struct generation *g = &master.generations[i];
            if (g->is_cut || (g->state != GENERATION_LIVE && g->state != GENERATION_DRAINING))
                continue;
            n++;
            oldest = !oldest || g->number < oldest->number ? g : oldest;
        }
        if (n <= GENERATIONS_SERVING)
            return;
        generation_cut(oldest);
    }
}

static void go_live(struct generation *g)
{
    struct generation *old = generation_live();
    set_state(g, GENERATION_LIVE);
    for (uint32_t i = 0; i < g->n_workers; i++)
        ask(&g->workers[i], CHANNEL_START, 0);
    if (old)
        generation_drain(old, false);
    listeners_close_unused(&g->settings);
    cut_surplus();
    log_generation("generation.live", g);
    master_update_serving();
    master_reloaded(true, "");
}

/* ---- what workers say ---- */

static void became_ready(struct generation *g, struct process *p)
{
    p->state = PROCESS_READY;
    p->since_ms = master_now_ms();
    p->early_deaths = 0;
    if (g->state == GENERATION_LIVE)
        ask(p, CHANNEL_START, 0);
    if (g->state == GENERATION_STARTING && are_all_ready(g))
        go_live(g);
    master_update_serving();
}

static void take(struct generation *g, struct process *p, const struct channel_message *m)
{
    if (m->type == CHANNEL_READY && p->state == PROCESS_STARTING)
        became_ready(g, p);
    else if (m->type == CHANNEL_FAILED) {
        p->has_said_why = true;
        snprintf(g->why, sizeof g->why, "%s", m->p);
    } else if (m->type == CHANNEL_ANSWER)
        control_answered(p, m->id, m->p, m->n);
}

void generation_read(struct generation *g, struct process *p)
{
    struct channel_message m;
    int end = channel_fill(&p->channel);
    while (channel_next(&p->channel, &m))
        take(g, p, &m);
    if (end && p->channel.fd >= 0) { /* its death follows, or is made to follow by the watchdog */
        close(p->channel.fd);
        p->channel.fd = -1;
    }
}

/* ---- deaths ---- */

static bool is_expected(const struct generation *g, const struct process *p, int status)
{
    if (p->cause)
        return false;
    return g->is_cut || p->state == PROCESS_CUT || p->has_said_why || (g->state == GENERATION_DRAINING && status == 0);
}

static void explain_start(char *why, size_t n, const struct generation *g, const struct process *p)
{
    const struct shm_slot *slot = &shm_area->slots[p->slot];
    if (g->why[0])
        snprintf(why, n, "%s", g->why);
    else
        snprintf(
            why, n,
            "a worker of the new generation ended before it was ready, in %s (%s): see event=worker.crash in the log",
            shm_slot_plugin(slot, slot->crumb.plugin), crumb_hook_name((enum crumb_hook)slot->crumb.hook));
}

static void go_on_without(struct generation *g, struct process *p, bool was_ready, const char *why)
{
    bool is_serving = master.phase == MASTER_RUNNING || master.phase == MASTER_WAITING;
    if (g->state == GENERATION_STARTING)
        fail(g, why);
    else if (g->state == GENERATION_LIVE && is_serving) {
        p->early_deaths = was_ready ? 0 : p->early_deaths + 1;
        respawn_later(p);
        if (p->early_deaths == 0)
            respawn(g, p);
    } else if (generation_processes(g) == 0)
        forget(g);
}

static void bury(struct generation *g, struct process *p, int status)
{
    char why[MASTER_TEXT] = "";
    if (p->channel.fd >= 0)
        generation_read(g, p); /* its last words */
    if (!is_expected(g, p, status))
        crash_report(p->slot, p->pid, status, p->cause);
    explain_start(why, sizeof why, g, p);
    control_process_gone(p);
    channel_close(&p->channel);
    if (!p->is_foreign)
        shm_slot_clear(p->slot);
    bool was_ready = p->state == PROCESS_READY;
    p->state = PROCESS_NONE;
    p->pid = 0;
    go_on_without(g, p, was_ready, why);
    master_update_serving();
}

bool generation_reaped(pid_t pid, int status)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++) {
            struct process *p = &master.generations[i].workers[k];
            if (p->state == PROCESS_NONE || p->pid != pid)
                continue;
            bury(&master.generations[i], p, status);
            return true;
        }
    return false;
}

/* ---- time ---- */

static void tick_process(struct generation *g, struct process *p, int64_t now_ms)
{
    int64_t since_ms = now_ms - p->since_ms;
    bool is_late = p->state == PROCESS_STARTING && since_ms > MASTER_START_MS;
    if (p->state == PROCESS_CUT && since_ms > MASTER_CUT_MS) {
        kill(p->pid, SIGKILL);
        p->since_ms = now_ms;
    } else if (is_late && p->aborted_ms == 0) {
        p->cause = "start took longer than 30 s";
        p->aborted_ms = now_ms;
        kill(p->pid, SIGABRT);
    } else if (p->state == PROCESS_NONE && g->state == GENERATION_LIVE && now_ms >= p->respawn_at_ms &&
               master.phase <= MASTER_WAITING)
        respawn(g, p);
}

void generation_tick(int64_t now_ms)
{
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++) {
        struct generation *g = &master.generations[i];
        for (uint32_t k = 0; k < g->n_workers; k++)
            tick_process(g, &g->workers[k], now_ms);
        if (g->state == GENERATION_DRAINING && generation_processes(g) == 0)
            forget(g);
    }
}
