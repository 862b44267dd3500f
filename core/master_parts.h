/* What the master's files share. One process, one `struct master`; nothing here blocks.
 *
 *      master.c      the loop, signals, the end
 *      checker.c     the child that reads the configuration
 *      generation.c  workers: started, ready, dead, drained
 *      watchdog.c    heartbeats
 *      listeners.c   sockets          state_folder.c  gen-N        upgrade.c  exec in place      notify.c  systemd
 *      control.c     the admin socket     control_json.c  what /status says
 */
#ifndef WEIR_CORE_MASTER_PARTS_H
#define WEIR_CORE_MASTER_PARTS_H

#include <poll.h>
#include <stdio.h>
#include <sys/types.h>

#include "channel.h"
#include "master.h"
#include "shm_layout.h"

enum {
    MASTER_WORKERS = 32,      /* of one generation */
    MASTER_LISTENERS = 16,
    MASTER_GENERATIONS = 6,   /* at most three that serve, one that starts, the cut ones for a moment */
    MASTER_TICK_MS = 100,
    MASTER_START_MS = 30 * 1000, /* a checker or worker that is not done by then is given up */
    MASTER_CUT_MS = 1000,        /* between QUIT and SIGKILL */
    MASTER_TEXT = 4096,
    MASTER_SPEC = 160,
};

/* What the master needs to know of a configuration; the checker tells it. */
struct settings {
    char listen[MASTER_LISTENERS][MASTER_SPEC];
    uint32_t n_listen;
    char admin[MASTER_SPEC], state_dir[1024], user[64], name[64], hash[65];
    uint32_t workers, watchdog_ms, shutdown_delay_ms, drain_ms;
    int log_level;
};

struct listener {
    char spec[MASTER_SPEC];
    int fd;
};

enum process_state { PROCESS_NONE = 0, PROCESS_STARTING, PROCESS_READY, PROCESS_CUT };

struct process { /* one worker */
    enum process_state state;
    pid_t pid;
    uint32_t slot;
    struct channel channel;
    int64_t since_ms;       /* of the state */
    int64_t respawn_at_ms;  /* state NONE: when it is tried again */
    uint32_t early_deaths;  /* one after the other, before READY */
    bool has_said_why;      /* it told what failed, then ended */
    bool was_stall_told, is_foreign; /* foreign: its memory is of another layout (upgrade) */
    const char *cause;      /* why we ended it: "watchdog" */
    int64_t aborted_ms;
};

enum generation_state { GENERATION_NONE = 0, GENERATION_STARTING, GENERATION_LIVE, GENERATION_DRAINING };

struct generation {
    enum generation_state state;
    uint32_t number;
    int64_t since_ms;       /* of the state, monotonic */
    int64_t started_unix_ms;
    char folder[1100];
    struct settings settings;
    struct process workers[MASTER_WORKERS];
    uint32_t n_workers;
    bool is_cut;
    char why[MASTER_TEXT];  /* of its failure */
};

enum check_state { CHECK_NONE = 0, CHECK_READING, CHECK_COPYING };

struct check { /* the running checker child */
    enum check_state state;
    pid_t pid;
    struct channel channel;
    int64_t since_ms;
    uint32_t generation;
    char folder[1100];
    struct settings settings;
    char why[MASTER_TEXT];      /* errors */
    char warnings[MASTER_TEXT];
};

enum master_phase { MASTER_BOOT = 0, MASTER_RUNNING, MASTER_WAITING, MASTER_DRAINING, MASTER_CUTTING };

struct master {
    struct master_start start;
    enum master_phase phase;
    int64_t phase_until_ms;
    int signal_fd, lock_fd, admin_fd;
    char admin_path[MASTER_SPEC], state_dir[1024], program[1024];
    struct listener listeners[MASTER_LISTENERS * 2];
    uint32_t n_listeners;
    struct generation generations[MASTER_GENERATIONS];
    struct check check;
    uint32_t last_generation;   /* number given last */
    uint32_t reloads_begun, reloads_done;
    bool is_reload_wanted, was_reload_ok, wants_upgrade, runs_alone;
    char reload_text[MASTER_TEXT];
    int64_t started_unix_ms, last_tick_ms;
    uint32_t restarts;          /* workers started anew after a death */
    int exit_code;
};
extern struct master master;

int64_t master_now_ms(void);      /* monotonic */
int64_t master_unix_ms(void);

/* ---- master.c ---- */
/* The reload in progress (or the boot) is over. */
void master_reloaded(bool is_ok, const char *text);
/* Begins a reload, or wants one more after the one that runs. Returns its number; it is over when reloads_done reaches
 * that. */
uint32_t master_reload(void);
/* Closes in a forked child whatever isn't in keep (n descriptors), and 0 to 2. */
void master_close_all_but(const int *keep, uint32_t n);
/* In a forked child: ends with the master. -1: it is gone already. */
int master_bind_child(pid_t parent);
void master_update_serving(void);

/* ---- checker.c ---- */
void check_begin(void);
void check_read(void);            /* its channel is readable */
void check_reaped(int status);
void check_tick(int64_t now_ms);

/* ---- generation.c ---- */
int generation_start(const struct settings *settings, uint32_t number, const char *folder, char *why, size_t n);
void generation_read(struct generation *g, struct process *p);
bool generation_reaped(pid_t pid, int status); /* false: no worker of ours */
void generation_drain(struct generation *g, bool is_final);
void generation_cut(struct generation *g);
void generation_tick(int64_t now_ms);
struct generation *generation_live(void);
uint32_t generation_processes(const struct generation *g); /* that run */

/* ---- watchdog.c ---- */
void watchdog_tick(int64_t now_ms);

/* ---- listeners.c ---- */
/* Opens what settings name and isn't open yet. -1: why says which, what is wrong, what to do; nothing new stays open. */
int listeners_open(const struct settings *settings, char *why, size_t n);
void listeners_close_unused(const struct settings *settings);
uint32_t listeners_of(const struct settings *settings, int *fds); /* fds: MASTER_LISTENERS */
void listener_address(const struct listener *l, char *buf, size_t n); /* as it is bound: "127.0.0.1:34567" */
struct listener *listener_find(const char *spec);
int listen_unix(const char *path, unsigned mode, char *why, size_t n);
void listeners_unlink(void);

/* ---- state_folder.c ---- */
int state_folder_take(const char *path, const char *user, char *why, size_t n); /* makes, locks, clears it */
int state_folder_make(char *folder, size_t folder_n, uint32_t generation, const char *user, char *why, size_t n);
void state_folder_remove(const char *folder);
void state_folder_give(const char *folder, const char *user); /* checker, as root: all in it to that user */
int state_folder_drop_to(const char *user, char *why, size_t n);

/* ---- upgrade.c ---- */
bool upgrade_is_pending(void);    /* this process was executed by an older master */
int upgrade_resume(char *why, size_t n);
void upgrade_begin(void);         /* tries the program first, in a child */
void upgrade_reaped(pid_t pid, int status);
void upgrade_tick(void);          /* executes it when nothing is half done */

/* ---- notify.c ---- */
void notify_systemd(const char *state);

/* ---- control.c ---- */
int control_open(const char *path, char *why, size_t n);
void control_close(void);
uint32_t control_poll(struct pollfd *fds, uint32_t capacity); /* what to wait for */
void control_handle(const struct pollfd *fds, uint32_t n);
void control_tick(int64_t now_ms);
void control_answered(struct process *p, uint32_t id, const char *json, size_t n);
void control_reloaded(void);
void control_process_gone(const struct process *p);

/* ---- control_json.c ---- */
/* details[slot]: what that worker answered, NULL: nothing in time. malloc'ed. */
char *control_status_json(char *const details[SHM_SLOTS]);
char *control_requests_json(char *const details[SHM_SLOTS]);

#endif
