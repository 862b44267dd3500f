/* The checker: a child that reads the configuration, loads the plugins and makes the generation's snapshot, so that
 * neither YAML nor plugin code ever runs in the master.
 *
 * Two steps: it tells what the configuration says (CHECKED), the master opens listeners and makes the gen-N folder, and
 * tells the folder (SNAPSHOT); the checker copies and says DONE. What goes wrong on the way is told to who asked.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "crash.h"
#include "log.h"
#include "master_parts.h"

/* ---- the child ---- */

static void put_errors(FILE *out, const struct config_errors *errors, bool are_warnings)
{
    for (uint32_t i = 0; i < errors->n; i++) {
        const struct config_error *e = &errors->list[i];
        if (e->is_warning != are_warnings)
            continue;
        if (e->place.file)
            fprintf(out, "%s:%u:%u: ", e->place.file, e->place.line, e->place.column);
        fprintf(out, "%s\n", e->text);
    }
}

static void tell_errors(struct channel *c, uint32_t type, const struct config_errors *errors, bool are_warnings)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return;
    put_errors(out, errors, are_warnings);
    fclose(out);
    if (n > 0)
        channel_send(c, type, 0, text, n);
    free(text);
}

static void tell_settings(struct channel *c, const struct config *config)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return;
    for (const char *const *l = config->listen; l && *l; l++)
        fprintf(out, "listen %s\n", *l);
    fprintf(out, "admin %s\nstate_dir %s\nuser %s\nname %s\nhash %s\n", config->admin ? config->admin : "",
            config->state_dir, config->user ? config->user : "", config->name ? config->name : "", config->hash);
    fprintf(out, "workers %u\nwatchdog_ms %u\nshutdown_delay_ms %u\ndrain_ms %u\nlog_level %d\n", config->workers,
            config->watchdog_ms, config->shutdown_delay_ms, config->drain_ms, config->log_level);
    fclose(out);
    channel_send(c, CHANNEL_CHECKED, 0, text, n);
    free(text);
}

static void flush(struct channel *c)
{
    struct pollfd poll_fd = { c->fd, POLLOUT, 0 };
    while (channel_flush(c) > 0)
        poll(&poll_fd, 1, 1000);
}

static int copy(struct channel *c, const struct config *config)
{
    struct channel_message m;
    char why[MASTER_TEXT] = "";
    if (!channel_wait(c, &m) || m.type != CHANNEL_SNAPSHOT)
        return 1;
    if (config_snapshot(config, m.p, why, sizeof why)) {
        channel_send(c, CHANNEL_FAILED, 0, why, strlen(why));
        return 1;
    }
    state_folder_give(m.p, config->user ? config->user : "");
    channel_send(c, CHANNEL_DONE, 0, NULL, 0);
    return 0;
}

static int run_child(struct channel *c)
{
    struct config_errors errors = { .n = 0 };
    enum config_mode mode = master.start.is_strict ? CONFIG_STRICT : CONFIG_NORMAL;
    const struct config *config = config_load(master.start.config_path, NULL, mode, &errors);
    tell_errors(c, CHANNEL_WARNINGS, &errors, true);
    if (!config) {
        tell_errors(c, CHANNEL_FAILED, &errors, false);
        return 1;
    }
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        shm_name_plugin(p->index, p->desc.name);
    tell_settings(c, config);
    flush(c);
    return copy(c, config);
}

__attribute__((noreturn)) static void be_child(int fd, pid_t parent)
{
    struct channel c;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    master_close_all_but(&fd, 1);
    shm_use_slot(SHM_SLOT_CHECKER);
    if (master_bind_child(parent) || crash_handler_install())
        _exit(1);
    channel_open(&c, fd);
    int code = run_child(&c);
    flush(&c);
    _exit(code);
}

/* ---- the master's side ---- */

static void end_check(void)
{
    channel_close(&master.check.channel);
    master.check.state = CHECK_NONE;
}

/* The child may still live (it copies, or hangs): it is ended and reaped as an unknown child later. */
static void give_up(const char *why)
{
    struct check *check = &master.check;
    char text[MASTER_TEXT];
    snprintf(text, sizeof text, "%s", why);
    if (check->pid > 0)
        kill(check->pid, SIGKILL);
    state_folder_remove(check->folder);
    end_check();
    master_reloaded(false, text);
}

void check_begin(void)
{
    struct check *check = &master.check;
    int fds[2];
    pid_t parent = getpid();
    memset(check, 0, sizeof *check);
    check->channel.fd = -1;
    check->generation = ++master.last_generation;
    check->since_ms = master_now_ms();
    shm_slot_prepare(SHM_SLOT_CHECKER, check->generation);
    if (channel_pair(fds)) {
        give_up("no descriptors are left to check the configuration: raise the limit (ulimit -n)");
        return;
    }
    fflush(NULL);
    check->pid = fork();
    if (check->pid == 0)
        be_child(fds[1], parent);
    close(fds[1]);
    channel_open(&check->channel, fds[0]);
    check->state = CHECK_READING;
    if (check->pid < 0)
        give_up("no process can be started to check the configuration: out of memory or processes");
}

static void read_text(struct settings *s, const char *name, const char *value)
{
    struct { const char *name; char *to; size_t n; } const texts[] = {
        { "admin", s->admin, sizeof s->admin }, { "state_dir", s->state_dir, sizeof s->state_dir },
        { "user", s->user, sizeof s->user },    { "name", s->name, sizeof s->name },
        { "hash", s->hash, sizeof s->hash },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i].name) == 0)
            snprintf(texts[i].to, texts[i].n, "%s", value);
    if (strcmp(name, "listen") == 0 && s->n_listen < MASTER_LISTENERS)
        snprintf(s->listen[s->n_listen++], MASTER_SPEC, "%s", value);
}

static void read_number(struct settings *s, const char *name, const char *value)
{
    struct { const char *name; uint32_t *to; } const numbers[] = {
        { "workers", &s->workers }, { "watchdog_ms", &s->watchdog_ms },
        { "shutdown_delay_ms", &s->shutdown_delay_ms }, { "drain_ms", &s->drain_ms },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].name) == 0)
            *numbers[i].to = (uint32_t)strtoul(value, NULL, 10);
    if (strcmp(name, "log_level") == 0)
        s->log_level = atoi(value);
}

static void read_settings(struct settings *s, const char *text)
{
    char line[2048];
    memset(s, 0, sizeof *s);
    while (*text) {
        size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
        char *space = strchr(line, ' ');
        if (!space)
            continue;
        *space = 0;
        read_text(s, line, space + 1);
        read_number(s, line, space + 1);
    }
    if (master.start.workers >= 0)
        s->workers = (uint32_t)master.start.workers;
    s->workers = s->workers < MASTER_WORKERS ? s->workers : MASTER_WORKERS;
}

/* At boot everything that needs root happens here, between the two steps. */
static int prepare_boot(const struct settings *s, char *why, size_t n)
{
    snprintf(master.state_dir, sizeof master.state_dir, "%s", s->state_dir);
    master.lock_fd = state_folder_take(master.state_dir, s->user, why, n);
    return master.lock_fd < 0 ? -1 : 0;
}

static int prepare(struct check *check, char *why, size_t n)
{
    const struct settings *s = &check->settings;
    if (master.phase == MASTER_BOOT && !master.runs_alone && prepare_boot(s, why, n))
        return -1;
    if (s->n_listen == 0) {
        snprintf(why, n, "the configuration names no address to listen on: add `listen: [127.0.0.1:8080]`");
        return -1;
    }
    if (listeners_open(s, why, n) || control_open(s->admin, why, n))
        return -1;
    if (s->admin[0])
        state_folder_give(s->admin, s->user);
    if (state_folder_make(check->folder, sizeof check->folder, check->generation, s->user, why, n))
        return -1;
    return master.phase == MASTER_BOOT ? state_folder_drop_to(s->user, why, n) : 0;
}

static void checked(const char *text)
{
    struct check *check = &master.check;
    char why[MASTER_TEXT] = "";
    read_settings(&check->settings, text);
    log_set_level((enum log_level)check->settings.log_level);
    if (check->settings.workers == 0 && master.phase == MASTER_BOOT) {
        master.runs_alone = true; /* the loop ends and master_run() becomes the worker */
        return;
    }
    if (check->settings.workers == 0) {
        give_up("`workers: 0` puts everything into one process, which a reload can't do: restart weir");
        return;
    }
    if (prepare(check, why, sizeof why)) {
        give_up(why);
        return;
    }
    check->state = CHECK_COPYING;
    channel_send(&check->channel, CHANNEL_SNAPSHOT, 0, check->folder, strlen(check->folder));
}

static void copied(void)
{
    struct check *check = &master.check;
    char why[MASTER_TEXT] = "", folder[1100];
    memcpy(folder, check->folder, sizeof folder);
    check->folder[0] = 0; /* it is the generation's now */
    end_check();
    if (generation_start(&check->settings, check->generation, folder, why, sizeof why)) {
        state_folder_remove(folder);
        master_reloaded(false, why);
    }
}

static void take(const struct channel_message *m)
{
    struct check *check = &master.check;
    switch (m->type) {
    case CHANNEL_WARNINGS: snprintf(check->warnings, sizeof check->warnings, "%s", m->p); break;
    case CHANNEL_FAILED: snprintf(check->why, sizeof check->why, "%s", m->p); break;
    case CHANNEL_CHECKED: checked(m->p); break;
    case CHANNEL_DONE: copied(); break;
    default: break;
    }
}

static void explain_end(char *why, size_t n, int status)
{
    const struct shm_slot *slot = &shm_area->slots[SHM_SLOT_CHECKER];
    if (master.check.why[0])
        snprintf(why, n, "%s", master.check.why);
    else if (WIFSIGNALED(status))
        snprintf(why, n, "loading the configuration ended with SIG%s in %s (%s): remove or rebuild that plugin",
                 sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?",
                 shm_slot_plugin(slot, slot->crumb.plugin), crumb_hook_name((enum crumb_hook)slot->crumb.hook));
    else
        snprintf(why, n, "loading the configuration ended without a reason (exit code %d)", WEXITSTATUS(status));
}

void check_read(void)
{
    struct check *check = &master.check;
    struct channel_message m;
    int end = channel_fill(&check->channel);
    while (check->state != CHECK_NONE && !(master.runs_alone && master.phase == MASTER_BOOT) &&
           channel_next(&check->channel, &m))
        take(&m);
    if (end && check->state != CHECK_NONE) {
        close(check->channel.fd); /* the reason comes with its death */
        check->channel.fd = -1;
    }
}

void check_reaped(int status)
{
    struct check *check = &master.check;
    char why[MASTER_TEXT];
    if (check->state != CHECK_NONE && check->channel.fd >= 0)
        check_read();
    check->pid = 0;
    if (check->state == CHECK_NONE || master.runs_alone)
        return;
    explain_end(why, sizeof why, status);
    give_up(why);
}

void check_tick(int64_t now_ms)
{
    if (master.check.state != CHECK_NONE && now_ms - master.check.since_ms > MASTER_START_MS)
        give_up("reading the configuration took longer than 30 s: a plugin's constructor or a file on a slow mount "
                "hangs");
}
