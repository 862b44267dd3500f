/* The inside of the Lua stage: what its files know of each other.
 *
 * Files: policy.c (the stage: options, hooks, descriptor), engine.c (the one lua_State, its coroutines, one run of
 * one hook), limits.c (CPU, bursts, kills), memory.c (allocator, accounts, garbage), sandbox.c (what a policy sees),
 * file.c (loading, require), prelude.c (the part of the library written in Lua), and the bindings: request.c,
 * candidates.c, answers.c, texts.c, http.c, wait.c, values.c … one lib_*.c for each library.
 *
 * Lifetimes. The engine and policies live as long as the worker. A `struct lua_call` is one run of one hook: pooled,
 * its memory never given back before the worker ends, so that a view kept too long finds a changed serial instead of
 * garbage.
 */
#ifndef WEIR_LUA_ENGINE_H
#define WEIR_LUA_ENGINE_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <weir/plugin.h>

enum {
    BURST_US = 2000,          /* a run gives way to the loop after this */
    HARD_US = 8000,           /* where it can't give way it is ended after this */
    TICK_MAX_US = 2000,       /* an interval between two looks at the clock counts as this at most */
    OPERATION_MAX_US = 6000,  /* a library call that would take longer is refused */
    LOAD_CPU_US = 500000,     /* for running a file's top level */
    HOOK_INSTRUCTIONS = 1000, /* between two looks at the clock */
    HOOK_BYTES = 4 << 20,     /* and as many bytes as these instructions may touch if they all compare strings */
    FILE_BYTES_MAX = 256 << 10,
    CANDIDATES_MAX = 256,
    STRING_ARGUMENTS_MAX = 8000, /* values that a library call may put on the stack */
    SHADOW_DENIAL = 96,
};

/* ---- memory (memory.c) ------------------------------------------------------------------------------------------- */

/* Whose memory it is. Lives until it is closed and everything charged to it has been freed. */
struct account {
    size_t bytes, cap; /* cap 0: none */
    struct account *parent;
    bool is_open;
};

struct account *account_open(struct account *parent, size_t cap); /* NULL: no memory */
void account_close(struct account *a);
void *memory_alloc(void *ud, void *p, size_t old_n, size_t new_n); /* lua_Alloc */
/* How many instructions may run between two looks at the clock, given the largest block alive. */
int memory_granularity(void);
/* Collects garbage for about this long if there is reason to; true while a cycle is under way. */
bool memory_collect(int64_t budget_us);
void memory_collect_idle(void); /* goes on from the loop when much is left over */
void memory_force(void);      /* a cycle begins at the next memory_collect() */
void memory_open(lua_State *L);
void memory_closed(void);
size_t memory_total(void);

/* ---- one run of one hook (engine.c) ------------------------------------------------------------------------------ */

enum lua_hook { LUA_ON_LOAD, LUA_ON_REQUEST, LUA_ON_FAILURE, LUA_ON_FINISH, LUA_HOOKS };

enum lua_wait { LUA_WAIT_NONE, LUA_WAIT_BURST, LUA_WAIT_SLEEP, LUA_WAIT_HTTP };

struct lua_call {
    struct lua_call *next; /* in the pool */
    uint64_t serial;       /* changes when the run ends */
    struct policy *policy;
    struct weir_call *call; /* NULL at load, and between a wait's begin and its end */
    lua_State *co;
    int co_ref;
    enum lua_hook hook;
    struct account *account;
    bool is_live, is_cancelled, is_defer_pending;
    bool is_over_memory; /* set by the allocator, settled by the count hook */
    bool is_answer_made; /* deny{} or answer() was called … */
    bool is_answer_used; /* … and returned */
    int settling;        /* garbage cycles begun since is_over_memory */

    /* limits; see limits.c */
    int64_t cpu_us, cpu_limit_us, burst_us, tick_us;
    int armed; /* instructions until the hook, when it was armed */
    size_t host_bytes; /* asked of the request's arena */
    int notes;
    char killed[128]; /* why it was ended; "" while it may run */

    /* waiting */
    enum lua_wait wait;
    weir_token token;
    void *timer, *fetch;
    const struct weir_fetch_result *fetched; /* only while its callback runs */

    enum weir_verdict verdict;
    char error[512]; /* a failed run's sentence */
    char denial[SHADOW_DENIAL]; /* what was refused with which words, for shadow_compare() */
};

/* Per request and stage. */
struct policy_block {
    int64_t cpu_us;   /* used by the earlier hooks of this request */
    int vars_ref;     /* req.vars; 0: none */
    uint32_t is_used; /* a run took place */
    char *shadow;     /* what the version in shadow decided; NULL: nothing */
};

/* A Lua file that gives hooks; shared by all uses of the same path. */
struct policy_file {
    struct policy_file *next;
    char *path, *name, *folder;
    int loaded_ref;
    int hook_ref[LUA_HOOKS]; /* LUA_NOREF: none */
    bool is_pass_on_error;
    bool has_broken;
};

struct policy_config {
    const char *name;
    const char *file;
    const char *with;
    const char *const *hosts;
    int64_t cpu_ms, memory;
    int32_t on_error;
    int64_t max_body;
    const char *shadow;
};

/* One use of a file in the configuration. */
struct policy {
    struct policy *next;
    const struct policy_config *config;
    struct weir_instance *inst;
    struct policy_file *file;
    char *name; /* for messages */
    bool is_pass_on_error;
    int cfg_ref;
    struct account *account, *idle_account;
    int count_runs, count_errors, count_denied;
    struct shadow *shadow; /* another version beside this one; NULL: none */
    bool is_shadow;        /* this is one */
};

/* One per worker. Plugin-wide on purpose: a policy costs kilobytes instead of a state of its own, and workers are
 * single-threaded processes. */
struct engine {
    const struct weir_host *host;
    lua_State *L;
    struct account *account;
    struct lua_call *current;
    struct lua_call *pool, *all;
    struct policy_file *files;
    struct policy *policies;
    int users;
};
extern struct engine engine;

int engine_start(const struct weir_host *host, char *why, size_t n); /* counts users */
void engine_stop(void);
/* Runs a function that may raise; 0, or -1 with the error's text in why. */
int engine_protect(lua_CFunction fn, void *arg, char *why, size_t n);
enum weir_verdict engine_run(struct policy *p, struct weir_call *call, enum lua_hook hook);
/* Runs `body` (a C function that gets the call as light userdata) to its end, now: for loading. 0, or -1 and why. */
int engine_run_now(struct policy *p, lua_CFunction body, void *arg, char *why, size_t n);
struct lua_call *engine_call(lua_State *L);             /* the run that this thread belongs to */
struct weir_call *engine_host_call(lua_State *L);       /* raises "request is over" or "not while the file is loaded" */
void engine_resume(struct lua_call *c);                 /* from a callback that ends a wait */
/* Suspends the run: call it as `return engine_wait(...)` from a C function. Raises where waiting is not possible. */
void engine_check_wait(lua_State *L, const char *what);
int engine_yield(lua_State *L, enum lua_wait wait, lua_KContext ctx, lua_KFunction k);
/* "policies/route.lua:12: " of the innermost Lua function of a policy, "" if there is none. */
void engine_where(lua_State *L, char *to, size_t n);

/* ---- limits (limits.c) ------------------------------------------------------------------------------------------- */

void limits_begin(struct lua_call *c);      /* a run begins */
void limits_burst(struct lua_call *c);      /* it goes on after a wait */
void limits_arm(struct lua_call *c, int instructions); /* the hook comes after so many, if not sooner */
void limits_kill(struct lua_call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* After (or amid) library work: looks at the clock; raises if the run must end here. */
void limits_tick(lua_State *L);
/* Should a resumable library function yield now? */
bool limits_should_pause(lua_State *L);
/* Refuses a library call that would take longer than OPERATION_MAX_US. */
void limits_need(lua_State *L, const char *what, double estimate_us);
/* Charges bytes that the host keeps for this request. */
void limits_host_bytes(lua_State *L, size_t n);
int limits_pcall(lua_State *L);

/* ---- values (values.c) ------------------------------------------------------------------------------------------- */

enum value_type {
    VALUE_REQUEST = 1, VALUE_HEADERS, VALUE_PRINCIPAL, VALUE_MESSAGES, VALUE_MESSAGE, VALUE_CANDIDATES, VALUE_CANDIDATE,
    VALUE_ANSWER, VALUE_SECRET, VALUE_RESPONSE_HEADERS, VALUE_TEXT, VALUE_REGEX, VALUE_TOOLS, VALUE_BUFFER, VALUE_YAML,
    VALUE_TYPES
};

/* How every userdata that a policy can hold begins. */
struct value {
    uint32_t type; /* enum value_type */
    uint32_t n;
    struct lua_call *call;
    uint64_t serial;
};

void *value_new(lua_State *L, enum value_type type, size_t size, int n_uservalues); /* pushes it */
void *value_test(lua_State *L, int index, enum value_type type); /* NULL: something else */
/* Raises if it is something else, or belongs to a run that is over. */
void *value_check(lua_State *L, int index, enum value_type type);
const char *value_type_name(lua_State *L, int index);
/* Makes the metatable of a type (left on the stack): fields __index etc. are set by the caller. */
void value_metatable(lua_State *L, enum value_type type, const char *name);

struct weir_str value_str(lua_State *L, int index); /* of a string that is there */
static inline void value_push(lua_State *L, struct weir_str s)
{
    lua_pushlstring(L, s.n ? s.p : "", s.n);
}
void value_push_or_nil(lua_State *L, struct weir_str s); /* nil if "" */
void value_push_text(lua_State *L, const struct weir_text *t);
bool value_is_name(const char *s, size_t n); /* [A-Za-z0-9_.-]+ */
/* Optional fields of the table at `index`; raise "what: name must be …". */
bool value_field_number(lua_State *L, int index, const char *what, const char *name, double *to);
bool value_field_string(lua_State *L, int index, const char *what, const char *name, struct weir_str *to);
void value_known_fields(lua_State *L, int index, const char *what, const char *const *names);

/* A byte buffer in Lua memory at a fixed place of the stack. */
struct buffer {
    char *p;
    size_t n, cap;
    int index;
};
void buffer_open(lua_State *L, struct buffer *b); /* pushes one value */
char *buffer_room(lua_State *L, struct buffer *b, size_t n);
void buffer_add(lua_State *L, struct buffer *b, const char *p, size_t n);
void buffer_push(lua_State *L, struct buffer *b); /* as a Lua string */

/* JSON's escapes: the one at p (behind the backslash); returns how many bytes of p it took, 0: not an escape. */
size_t value_unescape(const char *p, const char *end, char *to, size_t *n_to);
int value_add_unescaped(lua_State *L, struct buffer *b, const char *p, size_t n); /* -1: not well-formed */

/* ---- bindings.c: what policies can use, with the words that editors show ------------------------------------------ */

/* One name. Functions have a type that begins with "fun("; `fn` NULL: the prelude's function of this name. Anything else is a field,
 * which its owner serves. Types are written as the Lua language server reads them. */
struct binding {
    const char *name;
    lua_CFunction fn;
    const char *type, *text;
};
/* Puts the functions of a list (it ends with a NULL name) into the table at the top. */
void bindings_set(lua_State *L, const struct binding *list);

/* Names that belong together; a list of something bigger begins each element with its binding. */
struct binding_group {
    const char *name;  /* of the library or class; "": functions that stand alone */
    bool is_library;   /* a table that policies find under this name */
    const char *text;
    const void *list;
    size_t stride;     /* 0: sizeof(struct binding) */
};
const struct binding *binding_at(const struct binding_group *g, size_t i); /* NULL behind the last */
extern const struct binding base_bindings[], json_bindings[], hash_bindings[], base64_bindings[], re_bindings[],
    clock_bindings[], shared_bindings[], http_bindings[], request_bindings[], candidates_bindings[];
int definitions_write(FILE *out); /* -1: it could not be written */
extern const struct binding field_bindings[]; /* what the caller set: enum weir_field */

/* ---- json.c, yaml.c ---------------------------------------------------------------------------------------------- */
void json_push(lua_State *L, struct weir_str text);                /* decodes; raises */
void json_add(lua_State *L, struct buffer *b, int index);          /* encodes; raises */
void json_push_scalar_field(lua_State *L, struct weir_str text);   /* nil if "" */
void json_push_or_nil(lua_State *L, int index);                     /* decodes a string; nil if it is not JSON */
int yaml_load(lua_State *L); /* (text, name) -> value; yields for big documents */

/* ---- pattern.c: string.find and its family ----------------------------------------------------------------------- */
int pattern_find(lua_State *L);
int pattern_match(lua_State *L);
int pattern_gmatch(lua_State *L);
int pattern_gsub(lua_State *L);

/* ---- libraries: each pushes its table ---------------------------------------------------------------------------- */
void lib_json(lua_State *L);
void lib_hash(lua_State *L);
void lib_base64(lua_State *L);
void lib_re(lua_State *L);
int re_find(lua_State *L);
void lib_clock(lua_State *L);
void lib_shared(lua_State *L);
void lib_http(lua_State *L);
void lib_table(lua_State *L);
void lib_string(lua_State *L);
void lib_utf8(lua_State *L);
void lib_math(lua_State *L);

/* ---- bindings ---------------------------------------------------------------------------------------------------- */
void request_open(lua_State *L); /* make the metatables */
void messages_open(lua_State *L);
void candidates_open(lua_State *L);
void answers_open(lua_State *L);
void secrets_open(lua_State *L);
void texts_open(lua_State *L);
void request_push(lua_State *L, struct lua_call *c);
void attempt_push(lua_State *L, struct lua_call *c);
void result_push(lua_State *L, struct lua_call *c);
int request_texts(lua_State *L); /* req:texts() */
int request_text(lua_State *L);  /* req:text() */
void messages_push(lua_State *L, struct lua_call *c, bool is_tools);
/* A list of candidates at the top of the stack. */
void candidates_push(lua_State *L, struct lua_call *c, struct weir_candidate *const *list, uint32_t n);
void candidate_push(lua_State *L, struct lua_call *c, const struct weir_candidate *cand);
struct weir_candidate *candidate_of(lua_State *L, int index);
struct weir_candidate *const *candidates_of(lua_State *L, int index, uint32_t *n);
int candidates_pick(lua_State *L);  /* (list, indices) -> list; for the prelude */
int candidates_order(lua_State *L); /* (list, a number for each) -> list; for the prelude */

/* One field of a candidate: a number, a string, or something that is pushed. */
struct candidate_field {
    struct binding binding;
    double (*number)(const struct weir_candidate *c);
    size_t string; /* where the string is; 0: it is none */
    void (*push)(lua_State *L, const struct weir_candidate *c);
};
extern const struct candidate_field candidate_fields[];
const struct candidate_field *candidate_field(const char *name); /* NULL: there is none */
struct weir_str candidate_string(const struct candidate_field *f, const struct weir_candidate *c);
struct getter {
    struct binding binding;
    void (*push)(lua_State *L, struct lua_call *c);
};
extern const struct getter request_getters[];
/* Turns what the hook returned (at `index`) into a verdict. Raises on nonsense. */
enum weir_verdict answers_take(lua_State *L, struct lua_call *c, int index);
int answers_deny(lua_State *L);
int answers_answer(lua_State *L);
const char *fields_name(int f);     /* NULL behind the last */
int fields_find(struct weir_str name); /* "max_tokens" -> enum weir_field, -1 */
void fields_check(lua_State *L, enum weir_field f, int index); /* is the value of the right type? raises */
const char *answers_class_name(uint32_t error_class);
void push_capabilities(lua_State *L, uint32_t bits);
uint32_t capability_bit(struct weir_str name); /* 0: no such */

int lib_random(lua_State *L);
int lib_note(lua_State *L);
int lib_tag(lua_State *L);
int lib_log(lua_State *L);
int lib_secret(lua_State *L);
int lib_data(lua_State *L);
int lib_sleep(lua_State *L);
int lib_require(lua_State *L);

/* A secret as it stands in a header: prefix .. secret. */
struct secret_value {
    struct value head;
    uint32_t slot;
    uint32_t prefix_n;
    char prefix[32];
    char name[64];
};

/* ---- files (file.c) ---------------------------------------------------------------------------------------------- */
/* The file's hooks; loads it at its first use. NULL and why. */
struct policy_file *file_open(struct policy *p, const char *path, char *why, size_t n);
/* Reads a whole file of at most max bytes into a Lua string on the stack; raises. */
void file_push_bytes(lua_State *L, const char *path, size_t max);
const char *file_library(void); /* folder of the Lua library, "" if there is none */
void file_set_library(const char *folder);
void file_close_all(void);

/* ---- sandbox (sandbox.c), prelude (prelude.c) -------------------------------------------------------------------- */
void sandbox_open(lua_State *L); /* once: builtins into the registry */
void sandbox_push_env(lua_State *L, const char *name);
void sandbox_freeze(lua_State *L, const char *name); /* replaces the table at the top by a read-only view of it */
void sandbox_push_prelude(lua_State *L, const char *name); /* a function of the prelude */
int prelude_call(lua_State *L, int n_args); /* calls the function below its arguments: `return prelude_call(L, n)` */
extern const char prelude_source[];

/* ---- another version in shadow (shadow.c) ------------------------------------------------------------------------ */
struct policy *shadow_new(struct policy *live); /* not opened yet; NULL: no memory */
void shadow_count_in(struct policy *live);      /* declares its counters */
void shadow_free(struct shadow *s);
void shadow_run(struct policy *live, struct weir_call *call); /* on_request, before the live one's */
/* The live one has ended; denial: "" or what shadow_say_denial() made. */
void shadow_compare(struct policy *live, struct weir_call *call, enum weir_verdict v, const char *denial);
void shadow_say_denial(char *to, size_t n, const struct weir_error *e);

/* ---- tests of policies (test_file.c) ---- */
int test_file_read(const struct weir_host *host, const char *path, struct weir_out *out);

#endif
