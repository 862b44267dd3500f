/* What /status and /debug/requests say, as JSON: the master's own knowledge and what each worker answered. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "breaker.h"
#include "master_parts.h"
#include "status.h"

static const char *phase_name(void)
{
    static const char *const names[] = { "starting", "running", "stopping", "draining", "ending" };
    return names[master.phase];
}

static void put_field(FILE *out, const char *name, const char *value)
{
    fprintf(out, "\"%s\":", name);
    status_put_string(out, value);
}

static void put_listeners(FILE *out)
{
    char address[MASTER_SPEC];
    fprintf(out, "\"listen\":[");
    for (uint32_t i = 0; i < master.n_listeners; i++) {
        fputs(i ? "," : "", out);
        listener_address(&master.listeners[i], address, sizeof address);
        status_put_string(out, address);
    }
    fprintf(out, "]");
}

static void put_generations(FILE *out)
{
    static const char *const names[] = { "", "starting", "live", "draining" };
    const char *comma = "";
    fprintf(out, "\"generations\":[");
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++) {
        const struct generation *g = &master.generations[i];
        if (g->state == GENERATION_NONE)
            continue;
        fprintf(out, "%s{\"number\":%u,\"state\":\"%s\",\"workers\":%u,\"started_ms\":%" PRId64 ",", comma, g->number,
                g->is_cut ? "ending" : names[g->state], generation_processes(g), g->started_unix_ms);
        put_field(out, "hash", g->settings.hash);
        fprintf(out, "}");
        comma = ",";
    }
    fprintf(out, "]");
}

static const char *process_state(const struct generation *g, const struct process *p)
{
    static const char *const names[] = { "dead", "starting", "serving", "ending" };
    return p->state == PROCESS_READY && g->state == GENERATION_DRAINING ? "draining"
         : p->state == PROCESS_READY && g->state == GENERATION_STARTING ? "ready" : names[p->state];
}

static void put_worker(FILE *out, const struct generation *g, const struct process *p, const char *detail)
{
    const struct shm_slot *slot = &shm_area->slots[p->slot];
    int64_t beat_ms = atomic_load(&slot->heartbeat_ms);
    int64_t silent_ms = beat_ms == 0 ? 0 : master_now_ms() - beat_ms;
    fprintf(out,
            "{\"slot\":%u,\"pid\":%ld,\"generation\":%u,\"state\":\"%s\",\"connections\":%u,\"silent_ms\":%" PRId64 ",",
            p->slot, (long)p->pid, g->number, process_state(g, p), slot->connections, silent_ms);
    put_field(out, "in_plugin", shm_slot_plugin(slot, slot->crumb.plugin));
    fprintf(out, ",\"detail\":%s}", detail && detail[0] == '{' ? detail : "null");
}

static void put_workers(FILE *out, char *const details[SHM_SLOTS])
{
    const char *comma = "";
    fprintf(out, "\"workers\":[");
    for (uint32_t i = 0; i < MASTER_GENERATIONS; i++)
        for (uint32_t k = 0; k < master.generations[i].n_workers; k++) {
            const struct process *p = &master.generations[i].workers[k];
            if (p->state == PROCESS_NONE && master.generations[i].state != GENERATION_LIVE)
                continue;
            fputs(comma, out);
            put_worker(out, &master.generations[i], p, details[p->slot]);
            comma = ",";
        }
    fprintf(out, "]");
}

static const char *breaker_name(int id)
{
    static const char *const names[] = { "closed", "open", "probing" };
    uint32_t wait_ms;
    return names[breaker_state(target_breaker(id), master_now_ms(), &wait_ms)];
}

static void put_targets(FILE *out)
{
    fprintf(out, "\"targets\":[");
    for (int id = 0; target_name(id); id++) {
        struct target_figures f = target_read(id);
        fprintf(out, "%s{", id ? "," : "");
        put_field(out, "name", target_name(id));
        fprintf(out,
                ",\"calls\":%" PRIu64 ",\"failures\":%" PRIu64
                ",\"in_flight\":%u,\"latency_ms\":%u,\"p95_ms\":%u,\"tokens_per_s\":%.1f,\"error_rate\":%.3f,"
                "\"last_failure_ms\":%" PRId64 ",\"left_requests\":%" PRId64 ",\"left_tokens\":%" PRId64
                ",\"breaker\":\"%s\"}",
                f.calls, f.failures, f.in_flight, f.latency_ms, f.p95_ms, f.throughput, f.error_rate, f.last_failure_ms,
                f.left_requests, f.left_tokens, breaker_name(id));
    }
    fprintf(out, "]");
}

static void put_head(FILE *out)
{
    const struct generation *live = generation_live();
    fprintf(out, "\"pid\":%ld,\"state\":\"%s\",\"started_ms\":%" PRId64 ",\"now_ms\":%" PRId64 ",\"generation\":%u,",
            (long)getpid(), phase_name(), master.started_unix_ms, master_unix_ms(), live ? live->number : 0);
    put_field(out, "name", live ? live->settings.name : "");
    fputs(",", out);
    put_field(out, "config", master.start.config_path);
    fputs(",", out);
    put_field(out, "hash", live ? live->settings.hash : "");
    fprintf(out, ",\"restarts\":%u,\"reloads\":%u,\"last_reload_ok\":%s,", master.restarts, master.reloads_done,
            master.was_reload_ok ? "true" : "false");
    put_field(out, "last_reload", master.reload_text);
    fputs(",", out);
}

char *control_status_json(char *const details[SHM_SLOTS])
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return NULL;
    fputs("{", out);
    put_head(out);
    put_listeners(out);
    fputs(",", out);
    put_generations(out);
    fputs(",", out);
    put_workers(out, details);
    fputs(",", out);
    put_targets(out);
    fputs("}\n", out);
    fclose(out);
    return text;
}

/* Of the same answers only the calls: [{"worker":0,"detail":{…}}]. */
char *control_requests_json(char *const details[SHM_SLOTS])
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return NULL;
    fputs("{", out);
    put_workers(out, details);
    fputs("}\n", out);
    fclose(out);
    return text;
}
