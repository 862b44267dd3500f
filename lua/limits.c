/* Limits that a policy can't swallow: CPU per request, bursts between two turns of the event loop, memory.
 *
 * The count hook looks at the clock every so many instructions; library functions that may run long look themselves
 * (limits_tick). A run that has used its burst yields to the loop and goes on later. A run that must end is killed:
 * from the hook it yields for good and its coroutine is abandoned, so no pcall and no __close of its own is ever
 * run. Where a yield is not possible (within a library function that calls back) an error is raised, our pcall
 * passes it on, and the hook fires at every instruction until the run has left that function or ended.
 *
 * Time is the time between two looks, each counted as TICK_MAX_US at most: a worker that the system put to sleep
 * meanwhile must not cost a policy its budget.
 */
#include <stdarg.h>
#include <stdio.h>

#include "engine.h"

enum { SETTLE_SLICE_US = 1500, HOOK_COLLECT_US = 200 };

static void limits_hook(lua_State *L, lua_Debug *ar);

static void arm(struct lua_call *c, int instructions)
{
    c->armed = instructions;
    lua_sethook(c->co, limits_hook, LUA_MASKCOUNT, instructions);
}

/* Only ever sooner: arming starts the count anew, and a loop that allocates must not put the hook off for ever. */
void limits_arm(struct lua_call *c, int instructions)
{
    if (c && c->co && instructions < c->armed)
        arm(c, instructions);
}

void limits_begin(struct lua_call *c)
{
    c->killed[0] = 0;
    c->is_over_memory = false;
    c->settling = 0;
    c->host_bytes = 0;
    c->notes = 0;
    limits_burst(c);
}

void limits_burst(struct lua_call *c)
{
    c->burst_us = 0;
    c->tick_us = engine.host->monotonic_us();
    arm(c, c->killed[0] || c->is_over_memory ? 1 : memory_granularity());
}

static void spend(struct lua_call *c)
{
    int64_t now_us = engine.host->monotonic_us();
    int64_t us = now_us - c->tick_us;
    c->tick_us = now_us;
    us = us < 0 ? 0 : us > TICK_MAX_US ? TICK_MAX_US : us;
    c->cpu_us += us;
    c->burst_us += us;
}

void limits_kill(struct lua_call *c, const char *format, ...)
{
    if (c->killed[0])
        return;
    va_list ap;
    va_start(ap, format);
    vsnprintf(c->killed, sizeof(c->killed), format, ap);
    va_end(ap);
    limits_arm(c, 1);
}

static void check_cpu(struct lua_call *c)
{
    if (c->cpu_us > c->cpu_limit_us)
        limits_kill(c, "stopped after %d ms of CPU (limit `cpu`)", (int)(c->cpu_limit_us / 1000));
}

/* May this run give way to the loop? on_finish has nothing to come back to. */
static bool may_pause(lua_State *L, const struct lua_call *c)
{
    return c->hook != LUA_ON_FINISH && lua_isyieldable(L);
}

static bool holds_too_much(const struct lua_call *c)
{
    const struct account *up = c->account->parent;
    return c->account->bytes > c->account->cap || (up && up->cap && up->bytes > up->cap);
}

/* Over its memory: first everything that is garbage goes (the cycle under way and a whole new one), then the sum
 * counts. */
static void settle_memory(struct lua_call *c)
{
    if (!holds_too_much(c)) {
        c->is_over_memory = false;
        return;
    }
    if (c->settling == 2) {
        limits_kill(c, "stopped: it holds more than %zu KiB of memory (limit `memory`)", c->account->cap >> 10);
        return;
    }
    memory_force();
    if (!memory_collect(SETTLE_SLICE_US))
        c->settling++;
    spend(c);
}

static void raise_kill(lua_State *L, const struct lua_call *c)
{
    lua_pushstring(L, c->killed);
    lua_error(L);
}

static void out_of_pauses(struct lua_call *c)
{
    if (c->hook == LUA_ON_FINISH)
        limits_kill(c, "stopped after %d ms: on_finish can't pause", HARD_US / 1000);
    else
        limits_kill(c, "stopped after %d ms inside a library function that can't pause", HARD_US / 1000);
}

static void look(struct lua_call *c)
{
    spend(c);
    check_cpu(c);
    if (c->is_over_memory && !c->killed[0])
        settle_memory(c);
    else
        memory_collect(HOOK_COLLECT_US);
}

static void limits_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct lua_call *c = engine_call(L);
    look(c);
    if (!c->killed[0] && c->burst_us >= HARD_US && !may_pause(L, c))
        out_of_pauses(c);
    if (c->killed[0]) {
        if (lua_isyieldable(L))
            lua_yield(L, 0);
        else
            raise_kill(L, c);
        return;
    }
    arm(c, c->is_over_memory ? 1 : memory_granularity());
    if (c->burst_us >= BURST_US && may_pause(L, c)) {
        c->wait = LUA_WAIT_BURST;
        lua_yield(L, 0);
    }
}

/* Library code: it raises the kill; pcall passes it on and the hook does the rest. */
void limits_tick(lua_State *L)
{
    struct lua_call *c = engine_call(L);
    if (!c)
        return; /* the engine itself, while it starts */
    look(c);
    if (!c->killed[0] && c->burst_us >= HARD_US)
        out_of_pauses(c);
    if (c->killed[0])
        raise_kill(L, c);
    if (c->burst_us >= BURST_US || c->is_over_memory)
        limits_arm(c, 1);
}

bool limits_should_pause(lua_State *L)
{
    struct lua_call *c = engine_call(L);
    if (!c)
        return false;
    look(c);
    bool can = may_pause(L, c);
    if (!c->killed[0] && c->burst_us >= HARD_US && !can)
        out_of_pauses(c);
    if (c->killed[0])
        raise_kill(L, c);
    return can && c->burst_us >= BURST_US;
}

void limits_need(lua_State *L, const char *what, double estimate_us)
{
    if (estimate_us > OPERATION_MAX_US)
        luaL_error(L, "%s: too much at once (more than %d ms of work); take it in pieces", what,
                   OPERATION_MAX_US / 1000);
    if (estimate_us > 20)
        limits_arm(engine_call(L), 1); /* the next instruction looks at the clock */
}

void limits_host_bytes(lua_State *L, size_t n)
{
    struct lua_call *c = engine_call(L);
    if (!c)
        return;
    c->host_bytes += n + 64;
    if (c->host_bytes <= c->account->cap)
        return;
    limits_kill(c, "stopped: it made the request keep more than %zu KiB (limit `memory`)", c->account->cap >> 10);
    raise_kill(L, c);
}

/* pcall. A kill passes through it; everything else is as in Lua's own. */
static int pcall_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L);
    const struct lua_call *c = engine_call(L);
    if (c && c->killed[0])
        return lua_error(L);
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return 2;
}

int limits_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, true);
    lua_insert(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, pcall_end);
    return pcall_end(L, status, 0);
}
