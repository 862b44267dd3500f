/* Heartbeats: each worker writes the time into its slot every 100 ms; who is silent holds its loop.
 *
 * Silence beyond STALL_MS (two missed beats) is told once, with the plugin and hook that run; beyond `watchdog` the
 * worker is aborted, so that its crash line and core file show where it hangs. Not when a debugger holds it. A worker
 * that even SIGABRT doesn't end (stopped, or asleep in the kernel) is killed.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "log.h"
#include "master_parts.h"

enum { STALL_MS = 300, LATE_TICK_MS = 300, KILL_AFTER_MS = 500 };

static bool is_traced(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *file = fopen(path, "re");
    long tracer = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "TracerPid:", 10) == 0)
            tracer = strtol(line + 10, NULL, 10);
    if (file)
        fclose(file);
    return tracer != 0;
}

static void tell(enum log_level level, const char *event, const struct process *p, int64_t silent_ms)
{
    const struct shm_slot *slot = &shm_area->slots[p->slot];
    char pid[24], number[16], silent[24];
    snprintf(pid, sizeof pid, "%ld", (long)p->pid);
    snprintf(number, sizeof number, "%u", p->slot);
    snprintf(silent, sizeof silent, "%" PRId64, silent_ms);
    log_pairs(level, event, "slot", number, "pid", pid, "plugin", shm_slot_plugin(slot, slot->crumb.plugin), "hook",
              crumb_hook_name((enum crumb_hook)slot->crumb.hook), "request", slot->crumb.request, "silent_ms", silent,
              NULL);
}

static void end_worker(struct process *p, int64_t now_ms, int64_t silent_ms)
{
    if (is_traced(p->pid))
        return;
    tell(LOG_LEVEL_ERROR, "worker.hang", p, silent_ms);
    p->cause = "watchdog";
    p->aborted_ms = now_ms;
    kill(p->pid, SIGABRT);
}

static void look_at(struct process *p, uint32_t watchdog_ms, int64_t now_ms)
{
    int64_t beat_ms = atomic_load(&shm_area->slots[p->slot].heartbeat_ms);
    int64_t silent_ms = now_ms - (beat_ms > p->since_ms ? beat_ms : p->since_ms);
    if (silent_ms < STALL_MS) {
        p->was_stall_told = false;
        return;
    }
    if (!p->was_stall_told)
        tell(LOG_LEVEL_WARN, "worker.stall", p, silent_ms);
    p->was_stall_told = true;
    if (p->aborted_ms == 0 && watchdog_ms > 0 && silent_ms > watchdog_ms)
        end_worker(p, now_ms, silent_ms);
}

/* If the master itself didn't run (a stopped group, a laptop asleep), the workers get another round. */
void watchdog_tick(int64_t now_ms)
{
    bool was_late = now_ms - master.last_tick_ms > LATE_TICK_MS;
    master.last_tick_ms = now_ms;
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++) {
        struct generation *g = &master.generations[i];
        for (uint32_t k = 0; k < g->n_workers; k++) {
            struct process *p = &g->workers[k];
            if (p->aborted_ms && now_ms - p->aborted_ms > KILL_AFTER_MS && p->pid > 0)
                kill(p->pid, SIGKILL);
            if (p->state == PROCESS_READY && !p->is_foreign && !was_late)
                look_at(p, g->settings.watchdog_ms, now_ms);
        }
    }
}
