/* How the shared memory is laid out. Only the files that implement shm.h, the master and the crash handler look inside.
 *
 * Who writes what: a slot belongs to the process that works in it, and to the master once that process is dead. Tables
 * of names only grow; an entry is published by one store of its index. The fault table is written by the master, except
 * for the words that say so. Changing anything here means a new SHM_LAYOUT.
 */
#ifndef WEIR_CORE_SHM_LAYOUT_H
#define WEIR_CORE_SHM_LAYOUT_H

#include "places.h"
#include "shm.h"

enum {
    SHM_MAGIC = 0x72696577,
    SHM_LAYOUT = 6,
    SHM_SLOT_MASTER = SHM_SLOTS,      /* the master counts here */
    SHM_SLOT_CHECKER = SHM_SLOTS + 1, /* the checker child */
    SHM_ALL_SLOTS = SHM_SLOTS + 2,
    SHM_NAMES = 2048,        /* entries of the largest table of names */
    SHM_NAME_TEXT = 384,
    SHM_HELP_TEXT = 112,
    METRICS_MAX = 2048,
    METRIC_CELLS = 8192,     /* per slot; a histogram takes METRIC_BUCKETS + 2 */
    METRIC_BUCKETS = 17,
    TARGETS_MAX = 1024,
    TARGET_BUCKETS = 68,     /* of the time to the first token: four an octave, 2 ms to 9 min */
    PROVIDERS_MAX = 256,
    BENCHES_MAX = 4096,
    SHM_PLUGINS = 128,
    SHM_PLUGIN_NAME = 40,
    SHM_MODULES = 96,
    SHM_FRAMES = 24,
    FAULT_PLUGINS = 64,
    FAULT_PAIRS = 256,
    SHARED_SETS = 2048,
    SHARED_WAYS = 12,        /* one of them is always free: 11 live entries per set */
};

/* ---- tables of names ---- */
struct name_record { /* written by one process, then published, then constant */
    uint32_t hash;
    uint32_t type;           /* metrics: enum metric_type */
    uint32_t base, cells;    /* metrics: the cells in every slot */
    uint32_t name_n;         /* metrics: bytes of text that are the name; labels follow behind a NUL */
    uint32_t reserved;
    char text[SHM_NAME_TEXT];
    char help[SHM_HELP_TEXT];
};
struct name_table {
    _Atomic uint32_t n_records;                     /* handed out */
    _Atomic uint32_t index[SHM_NAMES];              /* record + 1, in order of publication; 0: free */
    _Atomic uint32_t draft[SHM_ALL_SLOTS];          /* a record that a process of that slot took and may not have published */
    struct name_record records[SHM_NAMES + SHM_ALL_SLOTS];
};
/* The entry of this text (name_n bytes, NUL, labels), published now if it is new: `wish` says type, cells and help.
 * Returns its number, -1: full or too long. */
int names_find_or_add(struct name_table *t, uint32_t max, const struct name_record *wish);
const struct name_record *names_at(struct name_table *t, uint32_t i); /* NULL: no such entry */
void names_wish(struct name_record *wish, const char *name, const char *labels);

/* ---- slots ---- */
enum shm_state { SHM_FREE = 0, SHM_STARTING = 1, SHM_READY = 2, SHM_DRAINING = 3 };

struct shm_module { /* a loaded object, so that addresses can be told as file+offset */
    uint64_t start, end, base;
    char name[40];
};

struct shm_crash {
    _Atomic uint32_t signal; /* 0: nothing written */
    uint32_t n_frames;
    uint64_t address;
    uint64_t frames[SHM_FRAMES];
};

struct shm_target { /* of one target in one slot: written by that process alone, but for the places and what the master clears */
    places_word calls_now;
    _Atomic uint32_t updated_s;    /* monotonic: when the averages were last moved */
    _Atomic uint64_t calls, failures;
    _Atomic int64_t last_failure_ms; /* unix; 0: never */
    _Atomic uint32_t latency;      /* to the first token, 1/16 ms; 0: unknown */
    _Atomic uint32_t p95_ms;
    _Atomic uint32_t throughput;   /* tokens a second, 1/16; 0: unknown */
    _Atomic uint32_t error_rate;   /* 1/65536 */
    _Atomic uint32_t first_tokens; /* ever */
    _Atomic uint32_t n_in_buckets;
    _Atomic uint64_t left_requests, left_tokens; /* value 32 | when, monotonic in 1/16 s, 32; 0: not said */
    _Atomic uint16_t buckets[TARGET_BUCKETS];
} __attribute__((aligned(64)));

struct shm_provider { /* of one provider in one slot */
    places_word calls_now;
    _Atomic uint64_t calls;
    _Atomic uint32_t waiting;
};

struct shm_slot {
    _Atomic uint32_t incarnation; /* changes with every process, and when the master finds it dead */
    _Atomic uint32_t state;       /* enum shm_state */
    _Atomic uint32_t pid, generation;
    _Atomic int64_t heartbeat_ms; /* monotonic */
    _Atomic uint32_t connections;
    struct crumb crumb;
    struct shm_crash crash;
    _Atomic uint32_t n_modules;
    struct shm_module modules[SHM_MODULES];
    char plugins[SHM_PLUGINS][SHM_PLUGIN_NAME];
    _Atomic int64_t cells[METRIC_CELLS] __attribute__((aligned(64)));
    struct shm_target targets[TARGETS_MAX];
    struct shm_provider providers[PROVIDERS_MAX] __attribute__((aligned(64)));
} __attribute__((aligned(4096)));

/* ---- targets, providers, keys: words that change only when something fails ---- */
struct shm_breaker {
    _Atomic uint64_t word; /* breaker.h */
} __attribute__((aligned(64)));
struct shm_budget {
    _Atomic uint64_t word; /* budget.h */
} __attribute__((aligned(64)));
struct shm_health {
    _Atomic int64_t due_ms; /* monotonic: when the next look is due */
    _Atomic uint32_t failures; /* in a row */
} __attribute__((aligned(64)));
struct shm_bench {
    _Atomic uint64_t key;  /* 0: free */
    _Atomic uint64_t word; /* benches.c */
};

/* ---- faults ---- */
struct fault_plugin {
    _Atomic uint64_t crashes;
    _Atomic int64_t last_ms;
    _Atomic int64_t quarantined_ms; /* since; 0: not */
    _Atomic int64_t probe_at_ms;    /* when the next probe may go; a worker moves it on as it takes the probe */
    _Atomic int64_t probed_ms;      /* since when a worker probes; 0: none does (workers write it) */
    _Atomic uint64_t prober;        /* which one: slot and incarnation */
    _Atomic int64_t released_ms;    /* when it last came out of quarantine (workers write it) */
    _Atomic uint32_t backoff_ms;
    uint32_t reserved;
};
struct fault_pair {
    _Atomic uint32_t version; /* odd: the master writes */
    uint32_t plugin;          /* number in fault_names */
    int64_t last_ms, before_ms;
    char principal[sizeof(((struct crumb *)0)->principal)];
};

/* ---- access tokens ---- */
enum { SHM_TOKENS = 64 };
struct shm_token_copy {
    uint64_t id, check;
    int64_t obtained_ms, expires_ms;
    uint32_t n, reserved;
    char bytes[SHM_TOKEN];
};
struct shm_token {
    _Atomic uint64_t id;      /* 0: free */
    _Atomic int64_t lease_ms; /* unix time until which somebody obtains; 0: nobody */
    _Atomic uint64_t rejected; /* check of a token that the provider refused */
    _Atomic uint32_t current;  /* which copy, from 1; 0: none */
    uint32_t reserved;
    struct shm_token_copy copies[2];
};

/* ---- the shared key-value table ---- */
struct shared_way {
    uint64_t hash;
    int64_t expires_ms;
    _Atomic uint32_t used_s; /* for eviction only */
    uint16_t key_n, value_n;
    char key[SHM_KEY];
    char value[SHM_VALUE];
};
struct shared_set {
    /* version 24 | incarnation 20 | slot + 1 8 (0: nobody writes) | ways in use 12 */
    _Atomic uint64_t word;
    struct shared_way ways[SHARED_WAYS];
};

/* ---- what rules read is written to a file (recording.c) ---- */
struct shm_recording {
    _Atomic int64_t until_ms; /* unix; 0: it is off, and what follows is of the last one */
    _Atomic int64_t left;     /* bytes that the file may still grow by */
    _Atomic uint64_t requests, bytes, dropped;
    _Atomic uint32_t serial, has_contents;
    char path[512]; /* written by the master, while it is off */
};

struct shm {
    uint32_t magic, layout;
    uint64_t size;
    uint64_t hash_key[2];
    _Atomic uint32_t is_serving;
    _Atomic uint32_t slots_used; /* slots above were never used */
    _Atomic uint32_t n_pairs;    /* pairs of the fault table ever used; 0: nothing ever crashed */
    uint32_t next_pair;          /* the master's */
    struct name_table metric_names, target_names, fault_names, provider_names;
    struct shm_breaker breakers[TARGETS_MAX];
    struct shm_budget budgets[PROVIDERS_MAX], hedges[PROVIDERS_MAX];
    struct shm_health healths[PROVIDERS_MAX];
    _Atomic uint32_t n_benches; /* ever made; 0: no key ever failed */
    _Atomic int64_t benched_until_ms; /* unix: no key sits longer than that */
    struct shm_bench benches[BENCHES_MAX];
    struct fault_plugin fault_plugins[FAULT_PLUGINS];
    struct fault_pair fault_pairs[FAULT_PAIRS];
    struct shm_token tokens[SHM_TOKENS];
    struct shm_recording recording;
    struct shm_slot slots[SHM_ALL_SLOTS];
    struct shared_set sets[SHARED_SETS] __attribute__((aligned(4096)));
};

extern struct shm *shm_area;      /* never NULL */
extern struct shm_slot *shm_own;  /* this process's slot */
extern uint32_t shm_own_index;

/* Slots that may hold something, the two at the end too; begins with -1 and ends with -1. */
int shm_next_slot(int i);
/* Master: before the fork of a process that will work there; after its death. Counters stay, gauges go. */
void shm_slot_prepare(uint32_t slot, uint32_t generation);
void shm_slot_clear(uint32_t slot);
void metrics_clear_gauges(struct shm_slot *slot);
void targets_clear_slot(uint32_t slot); /* gauges, and probes that its process held */
void providers_clear_slot(uint32_t slot);
const char *shm_slot_plugin(const struct shm_slot *slot, uint32_t index); /* "core", a name or "plugin 7" */

/* Text into a buffer that may be too short: n counts on. */
struct shm_text {
    char *p;
    size_t capacity, n;
};
void shm_put(struct shm_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The metrics that the targets and faults tables are; part of metrics_text(). */
void targets_text(struct shm_text *t);
void providers_text(struct shm_text *t);
void faults_text(struct shm_text *t);
void metric_put_escaped(struct shm_text *t, const char *value);

#endif
