/* Shared memory: what the workers of one machine must know of each other, in one memfd that outlives them all.
 *
 * Laws: no locks, single-word C11 atomics only; a crash between any two instructions leaves it valid and right; gauges
 * live in the worker's own slot (readers sum, the master clears a dead worker's); nothing that must be exact is hashed
 * away.
 *
 * Areas: the worker slots (state, heartbeat, breadcrumb, gauges), the metrics (an append-only table of names; each
 * slot has a cell per name, so hot counters share no cache line), the targets (averages, breakers), the providers (calls
 * in flight, retry budgets), the benches of keys, the fault
 * table (crashes by plugin and principal), the shared key-value table that policies use.
 *
 * With `workers: 0` and in unit tests the same memory is private to the process.
 */
#ifndef WEIR_CORE_SHM_H
#define WEIR_CORE_SHM_H

#include <stdatomic.h>
#include <weir/host.h>

enum { SHM_SLOTS = 96 }; /* three generations of at most 32 workers */

/* Master: makes it (0 or -1). Workers inherit it over fork; a re-executed master finds it by descriptor. */
int shm_create(void);
int shm_attach(int fd); /* after an exec; -1: another layout version */
int shm_fd(void);
/* This process works in that slot from now on (gauges and cells of it). Without it: slot 0. */
void shm_use_slot(uint32_t slot);
uint32_t shm_slot(void);
/* The name behind a breadcrumb's plugin number in this process, for the crash line. */
void shm_name_plugin(uint32_t index, const char *name);
/* What /readyz tells: a worker serves the current configuration and weir isn't about to end. */
bool shm_is_serving(void);

/* ---- breadcrumbs: who is running ---- */
enum crumb_hook { /* hooks and ops, for the crash line; names by crumb_hook_name() */
    CRUMB_NONE = 0, CRUMB_LOAD, CRUMB_CREATE, CRUMB_DESTROY,
    CRUMB_ON_OPEN, CRUMB_ON_REQUEST, CRUMB_ON_FAILURE, CRUMB_ON_ATTEMPT, CRUMB_ON_HEAD, CRUMB_ON_EVENT,
    CRUMB_ON_ATTEMPT_DONE, CRUMB_ON_FINISH, CRUMB_CANCEL, CRUMB_TIMER, CRUMB_WATCH, CRUMB_FETCH, CRUMB_DEFER,
    CRUMB_DECODE_REQUEST, CRUMB_SPLICE, CRUMB_ENCODE_EVENT, CRUMB_ENCODE_ANSWER, CRUMB_ENCODE_ERROR,
    CRUMB_ENCODE_MODELS, CRUMB_REQUEST_HEAD, CRUMB_ENCODE_REQUEST, CRUMB_DECODE_HEAD, CRUMB_DECODE_FRAME,
    CRUMB_DECODE_END, CRUMB_DECODE_ERROR, CRUMB_SPLIT, CRUMB_ENDPOINT, CRUMB_SIGN, CRUMB_OBTAIN, CRUMB_HOOKS,
};
const char *crumb_hook_name(enum crumb_hook hook);

struct crumb {
    uint32_t plugin; /* plugin.index; 0: core */
    uint32_t hook;   /* enum crumb_hook */
    char request[40]; /* NUL-terminated, cut */
    char principal[40];
};
extern struct crumb *crumb_now; /* in the own slot; never NULL */

static inline void crumb_copy(char to[40], const char *from)
{
    size_t n = strnlen(from, 39);
    memcpy(to, from, n);
    to[n] = 0;
}

/* Cheap: called around every call into plugin code. request and principal are NUL-terminated (may be NULL). */
static inline struct crumb crumb_enter(uint32_t plugin, enum crumb_hook hook, const char *request,
                                       const char *principal)
{
    struct crumb before = *crumb_now;
    crumb_now->hook = (uint32_t)hook;
    if (request)
        crumb_copy(crumb_now->request, request);
    if (principal)
        crumb_copy(crumb_now->principal, principal);
    crumb_now->plugin = plugin;
    return before;
}

static inline void crumb_leave(const struct crumb *before)
{
    crumb_now->plugin = before->plugin;
    crumb_now->hook = before->hook;
    if (!before->request[0])
        crumb_now->request[0] = 0;
    if (!before->principal[0])
        crumb_now->principal[0] = 0;
}

/* ---- metrics ---- */
enum metric_type { METRIC_COUNTER = 1, METRIC_GAUGE = 2, METRIC_HISTOGRAM = 3 };
/* name without "weir_", labels `route="a",status="2xx"` or ""; the same pair gives the same id in every process. -1:
 * full. */
int metric_declare(const char *name, const char *labels, const char *help, enum metric_type type);
void metric_add(int id, int64_t n);               /* counter, gauge; own slot */
void metric_observe_us(int id, uint64_t us);      /* histogram of seconds, fixed buckets 1 ms … 300 s */
int64_t metric_sum(int id);                       /* over all slots */
/* Appends name="value" with the value escaped, a comma before it if buf isn't empty: makes `labels` for
 * metric_declare() piece by piece. -1: no room (buf stays as it was). */
int metric_label(char *buf, size_t n, const char *name, const char *value);
/* Prometheus text of everything; returns bytes written into buf (capacity n), or the size needed. */
size_t metrics_text(char *buf, size_t n);

/* ---- targets ---- */
struct target_figures { /* of all workers together */
    uint32_t latency_ms; /* to the first token, moving average; 0: unknown */
    uint32_t p95_ms;     /* the same, exceeded by one in twenty; 0: unknown */
    uint32_t in_flight;  /* now */
    uint32_t first_tokens; /* so many were seen */
    double throughput;   /* tokens a second, moving average; 0: unknown */
    double error_rate;   /* moving average, 0 … 1 */
    int64_t left_requests, left_tokens; /* of the provider's limit, as it said less than a minute ago; -1: unknown */
    uint64_t calls, failures;
    int64_t last_failure_ms; /* unix; 0: never */
};
int target_declare(const char *name); /* "openai/gpt-4o-mini" -> id >= 0; -1: full (then it goes uncounted) */
/* At most `cap` at the same time over all workers, 0: no cap; false: no more now. */
bool target_begin(int id, uint32_t cap);
void target_end(int id, bool failed, uint32_t first_token_ms); /* first_token_ms 0: none came */
void target_release(int id); /* the end of a call that was never made */
void target_speed(int id, int64_t tokens, int64_t ms); /* an answer came with that many tokens in so much time */
void target_left(int id, int64_t requests, int64_t tokens); /* -1: not said */
struct target_figures target_read(int id);
uint32_t target_count(void);
const char *target_name(int id);
_Atomic uint64_t *target_breaker(int id); /* its breaker's word (breaker.h); never NULL */

/* ---- providers ---- */
struct budget_rules;
int provider_declare(const char *name); /* -1: full */
bool provider_begin(int id, uint32_t cap);
void provider_end(int id);
uint32_t provider_in_flight(int id);
void provider_wait(int id, int by); /* one more, one less in the queue */
uint32_t provider_waiting(int id);
bool provider_take_retry(int id, const struct budget_rules *rules, int64_t now_ms); /* may a call be made again? */
/* Health checks (health.c): may this worker look now? Then nobody else may for `every_ms`. */
bool provider_check_turn(int id, uint32_t every_ms, int64_t now_ms);
uint32_t provider_check_told(int id, bool is_well); /* returns how many in a row failed */
uint32_t provider_check_failures(int id);
bool provider_take_hedge(int id, double share, int64_t now_ms); /* may one be made twice? */

/* ---- keys that providers refuse (benches.c) ---- */
/* Names a key of a provider entry, or with a model that key and model; of one generation, so that a reload forgives. */
uint64_t bench_key(const char *provider, struct weir_str secret, uint32_t generation, struct weir_str model);
bool bench_is_any(int64_t now_ms); /* cheap: may one be sitting now? */
uint32_t bench_left_ms(uint64_t key, int64_t now_ms); /* 0: it may be used */
void bench_sit(uint64_t key, int64_t now_ms); /* refused: for a minute; twice as long each time after, up to an hour */
void bench_suspect(uint64_t key, const char *principal, int64_t now_ms); /* the same, once two principals were refused */
bool bench_was_any(void); /* cheap: was one ever? */
void bench_forgive(uint64_t key); /* it was accepted */
/* Its provider asked for patience (Retry-After): it may be used, but others come first for so long, at most a minute. Beside what
 * the bench says of the same key. */
void bench_rest(uint64_t key, int64_t now_ms, uint32_t ms);
uint32_t bench_rest_left_ms(uint64_t key, int64_t now_ms);

/* ---- faults: plugins and principals that crash workers (contracts, section 8) ---- */
/* Master, after a worker's death. Returns what follows: this principal is poisoned for a while, the plugin is in
 * quarantine. */
enum fault_verdict { FAULT_NONE = 0, FAULT_POISONED = 1, FAULT_QUARANTINED = 2 };
enum fault_verdict fault_record(const char *plugin, const char *principal, int64_t now_ms);
/* Before a plugin's first hook of a request: may this principal's request go into it? Of a plugin in quarantine one
 * worker lets requests in for a while after a back-off, as a probe: it gets NONE. Cheap when nothing ever crashed. */
enum fault_verdict fault_check(const char *plugin, const char *principal, int64_t now_ms);
bool fault_is_quarantined(const char *plugin);
uint64_t fault_crashes(const char *plugin);

/* ---- access tokens, by provider entry ---- */
enum { SHM_TOKEN = 4096 };
struct token_copy {
    int64_t obtained_ms, expires_ms; /* unix */
    uint64_t check;                  /* of this token, as read */
    size_t n;
    char bytes[SHM_TOKEN];
};
int token_place(uint64_t id); /* the same id, the same place; -1: full */
int token_read(int place, uint64_t id, struct token_copy *to); /* -1: there is none, or it was rejected */
/* One process at a time obtains; without a place each does. */
bool token_lease(int place, int64_t now_ms, int64_t until_ms);
void token_release(int place);
void token_write(int place, uint64_t id, const struct token_copy *from); /* with the lease */
void token_reject(int place, uint64_t check);

/* ---- the shared table ---- */
struct weir_str; /* results are copied into buf: at least SHM_VALUE bytes */
enum { SHM_KEY = 128, SHM_VALUE = 1000 };
int shared_get(struct weir_str key, char *buf, size_t *n, int64_t now_ms); /* -1: absent or expired */
/* expires_ms: unix time, 0: never. -1: key or value too long. */
int shared_set(struct weir_str key, struct weir_str value, int64_t expires_ms);
/* Exact over all workers. expires_ms is for a key that is absent or expired (then it counts from 0); one that lives
 * keeps its own. -1: the value isn't a whole number, or would leave int64. */
int shared_incr(struct weir_str key, int64_t by, int64_t expires_ms, int64_t now_ms, int64_t *result);

#endif
