/* The engine: one lua_State per worker, pooled coroutines, and one run of one hook from its begin to its end.
 *
 *   engine_run ── begin ── step ──(yields)── wait ── callback: engine_resume ── step … ── end ── verdict
 *
 * Every entry from C into Lua is lua_resume of a coroutine whose first function is ours (hook_body: it makes the
 * arguments, calls the policy, reads its answer), or engine_protect; nothing that can raise is called outside of them.
 * While a run waits it holds one token of the host, from its first yield to its verdict. A coroutine that ended in an
 * error or was killed is never used again, nor reset: resetting would run code of the policy without limits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

struct engine engine;

enum { END_COLLECT_US = 40, IDLE_ACCOUNT_BYTES = 64 << 10 };

static const char *const hook_names[LUA_HOOKS] = { "load", "on_request", "on_failure", "on_finish" };

struct lua_call *engine_call(lua_State *L)
{
    return *(struct lua_call **)lua_getextraspace(L);
}

struct weir_call *engine_host_call(lua_State *L)
{
    struct lua_call *c = engine_call(L);
    if (c && c->call)
        return c->call;
    luaL_error(L, "this needs a request: use it inside a hook, not while the file is loaded");
    return NULL;
}

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

static int make_thread(lua_State *L)
{
    struct lua_call *c = lua_touserdata(L, 1);
    c->co = lua_newthread(L);
    c->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    *(struct lua_call **)lua_getextraspace(c->co) = c;
    return 0;
}

int engine_protect(lua_CFunction fn, void *arg, char *why, size_t n)
{
    lua_State *L = engine.L;
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK)
        return 0;
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that is not a text";
    snprintf(why, n, "%s", s);
    lua_pop(L, 1);
    return -1;
}

static struct lua_call *take_call(void)
{
    struct lua_call *c = engine.pool;
    if (c) {
        engine.pool = c->next;
        return c;
    }
    c = calloc(1, sizeof(*c));
    if (c)
        c->serial = 1;
    return c;
}

static void put_call(struct lua_call *c)
{
    c->next = engine.pool;
    engine.pool = c;
}

static struct account *take_account(struct policy *p)
{
    struct account *a = p->idle_account;
    p->idle_account = NULL;
    return a ? a : account_open(p->account, (size_t)p->config->memory);
}

static void put_account(struct policy *p, struct account *a)
{
    if (!p->idle_account && a->bytes < IDLE_ACCOUNT_BYTES && a->bytes < a->cap / 4)
        p->idle_account = a;
    else
        account_close(a);
}

static struct lua_call *begin(struct policy *p, struct weir_call *call, enum lua_hook hook)
{
    char why[128];
    struct lua_call *c = take_call();
    if (!c)
        return NULL;
    c->policy = p;
    c->call = call;
    c->hook = hook;
    c->account = take_account(p);
    if (!c->account || (!c->co && engine_protect(make_thread, c, why, sizeof(why)) < 0)) {
        account_close(c->account);
        put_call(c);
        return NULL;
    }
    c->is_live = true;
    c->is_cancelled = c->is_answer_made = c->is_answer_used = false;
    c->token = 0;
    c->timer = c->fetch = NULL;
    c->error[0] = c->denial[0] = 0;
    c->verdict = WEIR_NEXT;
    c->cpu_limit_us = hook == LUA_ON_LOAD ? LOAD_CPU_US : p->config->cpu_ms * 1000;
    struct policy_block *block = call ? engine.host->request_block(call) : NULL;
    c->cpu_us = block ? block->cpu_us : 0;
    if (block)
        block->is_used = 1;
    limits_begin(c);
    return c;
}

/* The thread goes to the garbage collector as it is. */
static void abandon_thread(struct lua_call *c)
{
    *(struct lua_call **)lua_getextraspace(c->co) = NULL;
    lua_sethook(c->co, NULL, 0, 0);
    luaL_unref(engine.L, LUA_REGISTRYINDEX, c->co_ref);
    c->co = NULL;
}

static void give_back(struct lua_call *c, bool is_clean)
{
    struct policy_block *block = c->call ? engine.host->request_block(c->call) : NULL;
    if (block)
        block->cpu_us = c->cpu_us;
    if (is_clean)
        lua_settop(c->co, 0);
    else
        abandon_thread(c);
    c->serial++;
    c->is_live = false;
    c->call = NULL;
    put_account(c->policy, c->account);
    c->account = NULL;
    if (memory_collect(END_COLLECT_US))
        memory_collect_idle();
    if (!c->is_defer_pending)
        put_call(c);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

void engine_where(lua_State *L, char *to, size_t n)
{
    lua_Debug ar;
    to[0] = 0;
    for (int level = 0; level < 50 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.source[0] == '@' && ar.currentline > 0) {
            snprintf(to, n, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
}

static void describe(struct lua_call *c, int status)
{
    char where[96];
    engine_where(c->co, where, sizeof(where));
    int type = lua_gettop(c->co) > 0 ? lua_type(c->co, -1) : LUA_TNIL;
    if (c->killed[0]) {
        snprintf(c->error, sizeof(c->error), "%s%s", where, c->killed);
    } else if (status == LUA_ERRMEM) {
        snprintf(c->error, sizeof(c->error), "%snot enough memory (limit `memory`)", where);
    } else if (type == LUA_TSTRING) {
        size_t n;
        const char *s = lua_tolstring(c->co, -1, &n);
        const char *at = strstr(s, ".lua:");
        snprintf(c->error, sizeof(c->error), "%s%s", at && at - s < 100 ? "" : where, s);
    } else {
        snprintf(c->error, sizeof(c->error), "%serror() was called with a %s instead of a text", where,
                 lua_typename(c->co, type));
    }
}

static enum weir_verdict fail(struct lua_call *c)
{
    const struct weir_host *h = engine.host;
    struct policy *p = c->policy;
    h->log(p->inst, WEIR_LOG_ERROR, "policy %s, %s: %s", p->name, hook_names[c->hook], c->error);
    h->count(p->inst, p->count_errors, 1);
    if (!c->call)
        return WEIR_FAIL;
    h->note(c->call, "policy_error", weir_cstr(c->error));
    if (p->is_pass_on_error || c->hook == LUA_ON_FINISH)
        return WEIR_NEXT;
    char message[256];
    snprintf(message, sizeof(message),
             "the gateway's policy \"%s\" failed on this request, so it was refused; the operator finds the cause in "
             "the gateway's log under the request id", p->name);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_INTERNAL, .status = 500,
                            .code = WEIR_LIT("policy_error"), .message = weir_cstr(message) };
    return h->fail(c->call, &e);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void on_cancel(void *arg)
{
    struct lua_call *c = arg;
    const struct weir_host *h = engine.host;
    if (!c->is_live)
        return;
    if (c->timer)
        h->timer_cancel(c->policy->inst, c->timer);
    if (c->fetch)
        h->fetch_cancel(c->policy->inst, c->fetch);
    c->timer = c->fetch = NULL;
    c->is_cancelled = true;
    c->call = NULL;
    give_back(c, false);
}

static void on_defer(void *arg)
{
    struct lua_call *c = arg;
    c->is_defer_pending = false;
    if (c->is_cancelled)
        put_call(c);
    else
        engine_resume(c);
}

/* After a yield: takes the token at the first one. 0, or -1: the run can't wait. */
static int wait_begin(struct lua_call *c)
{
    static const char *const why[] = { "", "policy pauses", "policy sleeps", "policy waits for http" };
    const struct weir_host *h = engine.host;
    if (!c->call)
        return -1;
    if (!c->token)
        c->token = h->suspend(c->call, why[c->wait], on_cancel, c);
    if (!c->token)
        return -1;
    if (c->wait != LUA_WAIT_BURST)
        return 0;
    if (h->defer(c->policy->inst, on_defer, c) < 0)
        return -1;
    c->is_defer_pending = true;
    return 0;
}

static void stop_waiting(struct lua_call *c)
{
    if (c->timer)
        engine.host->timer_cancel(c->policy->inst, c->timer);
    if (c->fetch)
        engine.host->fetch_cancel(c->policy->inst, c->fetch);
    c->timer = c->fetch = NULL;
}

static enum weir_verdict end(struct lua_call *c, int status)
{
    bool is_clean = status == LUA_OK && !c->killed[0];
    enum weir_verdict v = c->verdict;
    if (!is_clean) {
        stop_waiting(c);
        describe(c, status);
        v = fail(c);
    }
    if (c->policy->shadow && c->call && c->hook == LUA_ON_REQUEST)
        shadow_compare(c->policy, c->call, v, c->denial);
    give_back(c, is_clean);
    return v;
}

static int resume(struct lua_call *c, int n_args)
{
    struct lua_call *before = engine.current;
    int n_results = 0;
    engine.current = c;
    c->wait = LUA_WAIT_NONE;
    limits_burst(c);
    int status = lua_resume(c->co, NULL, n_args, &n_results);
    engine.current = before;
    if (status == LUA_YIELD)
        lua_pop(c->co, n_results);
    return status;
}

static enum weir_verdict step(struct lua_call *c, int n_args)
{
    int status = resume(c, n_args);
    if (status != LUA_YIELD || c->killed[0])
        return end(c, status);
    if (wait_begin(c) == 0)
        return WEIR_WAIT;
    limits_kill(c, "stopped: it can't wait here");
    return end(c, status);
}

void engine_resume(struct lua_call *c)
{
    const struct weir_host *h = engine.host;
    struct weir_instance *inst = c->policy->inst;
    weir_token token = c->token;
    c->call = h->waiting(inst, token);
    if (!c->call) {
        give_back(c, false);
        return;
    }
    enum weir_verdict v = step(c, 0);
    if (v != WEIR_WAIT)
        h->resume(inst, token, v);
}

static int hook_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    struct lua_call *c = (struct lua_call *)ctx;
    c->verdict = answers_take(L, c, 1);
    return 0;
}

static int hook_body(lua_State *L)
{
    struct lua_call *c = lua_touserdata(L, 1);
    int n = 2;
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->policy->file->hook_ref[c->hook]);
    request_push(L, c);
    if (c->hook == LUA_ON_FAILURE)
        attempt_push(L, c), n++;
    else if (c->hook == LUA_ON_FINISH)
        result_push(L, c), n++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->policy->cfg_ref);
    lua_callk(L, n, 1, (lua_KContext)c, hook_end);
    return hook_end(L, LUA_OK, (lua_KContext)c);
}

enum weir_verdict engine_run(struct policy *p, struct weir_call *call, enum lua_hook hook)
{
    struct lua_call *c = begin(p, call, hook);
    if (!c) {
        struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_UNAVAILABLE, .code = WEIR_LIT("no_memory"),
                                .message = WEIR_LIT("the gateway is short of memory; try again") };
        return hook == LUA_ON_FINISH ? WEIR_NEXT : engine.host->fail(call, &e);
    }
    engine.host->count(p->inst, p->count_runs, 1);
    lua_pushcfunction(c->co, hook_body);
    lua_pushlightuserdata(c->co, c);
    return step(c, 1);
}

int engine_run_now(struct policy *p, lua_CFunction body, void *arg, char *why, size_t n)
{
    struct lua_call *c = begin(p, NULL, LUA_ON_LOAD);
    if (!c) {
        snprintf(why, n, "not enough memory");
        return -1;
    }
    lua_pushcfunction(c->co, body);
    lua_pushlightuserdata(c->co, arg);
    int status = resume(c, 1);
    while (status == LUA_YIELD && !c->killed[0])
        status = resume(c, 0);
    bool is_clean = status == LUA_OK && !c->killed[0];
    if (!is_clean)
        describe(c, status);
    snprintf(why, n, "%s", c->error);
    give_back(c, is_clean);
    return is_clean ? 0 : -1;
}

/* ---- waiting, as library functions ask for it -------------------------------------------------------------------- */

/* A version in shadow waits for nothing: what it would decide then is not known. */
static void refuse_wait(lua_State *L, struct lua_call *c, const char *what)
{
    engine.host->suspend(c->call, what, NULL, NULL);
    limits_kill(c, "stopped: %s would wait, and a policy in shadow can't", what);
    luaL_error(L, "%s", c->killed);
}

void engine_check_wait(lua_State *L, const char *what)
{
    struct lua_call *c = engine_call(L);
    if (c && c->policy->is_shadow && c->hook == LUA_ON_REQUEST)
        refuse_wait(L, c, what);
    if (!c || (c->hook != LUA_ON_REQUEST && c->hook != LUA_ON_FAILURE))
        luaL_error(L, "%s can wait only in on_request and on_failure, not %s", what,
                   c && c->hook == LUA_ON_FINISH ? "in on_finish" : "while the file is loaded");
    if (!lua_isyieldable(L))
        luaL_error(L, "%s can't wait here: inside a function that a library function calls back (a __tostring or the "
                      "top level of a required file); do it before", what);
}

int engine_yield(lua_State *L, enum lua_wait wait, lua_KContext ctx, lua_KFunction k)
{
    engine_call(L)->wait = wait;
    return lua_yieldk(L, 0, ctx, k);
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

static int open_all(lua_State *L)
{
    memory_open(L);
    sandbox_open(L);
    return 0;
}

int engine_start(const struct weir_host *host, char *why, size_t n)
{
    if (engine.users++ > 0)
        return 0;
    engine.host = host;
    engine.account = account_open(NULL, 0);
    engine.L = engine.account ? lua_newstate(memory_alloc, NULL) : NULL;
    if (!engine.L) {
        snprintf(why, n, "not enough memory for Lua");
        engine_stop();
        return -1;
    }
    *(struct lua_call **)lua_getextraspace(engine.L) = NULL;
    if (engine_protect(open_all, NULL, why, n) == 0)
        return 0;
    engine_stop();
    return -1;
}

void engine_stop(void)
{
    if (--engine.users > 0)
        return;
    if (engine.L)
        lua_close(engine.L);
    file_close_all();
    while (engine.pool) {
        struct lua_call *c = engine.pool;
        engine.pool = c->next;
        free(c);
    }
    account_close(engine.account);
    engine = (struct engine){ 0 };
    memory_closed();
}
