/* Memory of the Lua stage: who is charged for what, and when garbage is collected.
 *
 * Every block carries the account that pays for it, so that what a run allocates is charged to that run also when
 * another one's work frees it. A run over its cap is not failed by the allocator: the count hook first collects what is
 * garbage and then ends the run if it still holds too much (limits.c). So the allocator says no only to single requests
 * that are absurd, and Lua's emergency collection, which stops everything for a full cycle, does not come into play.
 *
 * Lua's own pacing is switched off: it repays a large allocation by one long step. Collection is driven from the hook,
 * from the end of each run and from the loop, in slices whose time is measured.
 *
 * Owner: the engine; accounts free themselves when they are closed and empty.
 */
#include <stdlib.h>

#include "engine.h"

struct block {
    struct account *account;
    max_align_t data[];
};

enum {
    HEADER = sizeof(struct account *), /* Lua needs no more than 8-byte alignment */
    LARGE_SHIFT = 13,                  /* blocks from 8 KiB on are counted by size */
    LARGE_CLASSES = 40,
    CYCLE_MIN = 256 << 10,
    IDLE_SLICE_US = 1000,
};

/* Worker-wide like the engine it serves. */
static struct {
    size_t total, threshold;
    bool is_collecting, is_deferred;
    uint64_t large_classes; /* bit per class in use */
    uint32_t large[LARGE_CLASSES];
} heap = { .threshold = CYCLE_MIN };

size_t memory_total(void)
{
    return heap.total;
}

struct account *account_open(struct account *parent, size_t cap)
{
    struct account *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->parent = parent;
    a->cap = cap;
    a->is_open = true;
    if (parent)
        parent->bytes += 1; /* keeps the parent while the child is there */
    return a;
}

static void account_give_back(struct account *a)
{
    while (a && !a->is_open && a->bytes == 0) {
        struct account *parent = a->parent;
        free(a);
        if (parent)
            parent->bytes -= 1;
        a = parent;
    }
}

void account_close(struct account *a)
{
    if (!a)
        return;
    a->is_open = false;
    account_give_back(a);
}

static void charge(struct account *a, size_t n)
{
    heap.total += n;
    for (; a; a = a->parent)
        a->bytes += n;
}

static void discharge(struct account *a, size_t n)
{
    heap.total -= n;
    for (struct account *up = a; up; up = up->parent)
        up->bytes -= n;
    account_give_back(a);
}

static int large_class(size_t n)
{
    if (n < (size_t)1 << LARGE_SHIFT)
        return -1;
    int c = 63 - __builtin_clzll((unsigned long long)n) - LARGE_SHIFT;
    return c < LARGE_CLASSES ? c : LARGE_CLASSES - 1;
}

static void large_add(size_t n)
{
    int c = large_class(n);
    if (c < 0)
        return;
    heap.large[c]++;
    heap.large_classes |= UINT64_C(1) << c;
}

static void large_remove(size_t n)
{
    int c = large_class(n);
    if (c >= 0 && --heap.large[c] == 0)
        heap.large_classes &= ~(UINT64_C(1) << c);
}

/* Comparing or hashing a string takes one instruction, whatever its length; so the more bytes one string may have, the
 * fewer instructions go by unwatched. */
int memory_granularity(void)
{
    if (!heap.large_classes)
        return HOOK_INSTRUCTIONS;
    int top = 63 - __builtin_clzll(heap.large_classes) + LARGE_SHIFT + 1;
    int n = top > 40 ? 0 : (int)((int64_t)HOOK_BYTES >> top);
    return n < 1 ? 1 : n > HOOK_INSTRUCTIONS ? HOOK_INSTRUCTIONS : n;
}

static const char string_too_long; /* its address is the key in the registry */

/* Lua is about to make a string object and would throw if NULL came back, but only after an emergency collection. So
 * the same throw is made here, with a message that exists already. */
static void refuse_string(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &string_too_long);
    lua_error(L);
}

static void open_message(lua_State *L)
{
    lua_pushliteral(L, "not enough memory: a string may take at most half of the policy's `memory`");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &string_too_long);
}

static bool is_over(const struct account *a)
{
    return a && ((a->cap && a->bytes > a->cap) || is_over(a->parent));
}

static bool is_absurd(const struct account *a, size_t more)
{
    return a->cap && a->bytes + more > 4 * a->cap;
}

/* What a new block means for the run that made it. */
static void watch(struct lua_call *c, size_t n)
{
    if (is_over(c->account) && !c->is_over_memory) {
        c->is_over_memory = true;
        c->settling = 0;
        limits_arm(c, 1);
    } else if (n >= (size_t)1 << LARGE_SHIFT) {
        limits_arm(c, memory_granularity());
    }
}

static void *allocate(struct account *a, size_t n)
{
    struct block *b = malloc(HEADER + n);
    if (!b)
        return NULL;
    b->account = a;
    charge(a, n);
    large_add(n);
    return (char *)b + HEADER;
}

static void release(void *p, size_t n)
{
    struct block *b = (struct block *)((char *)p - HEADER);
    large_remove(n);
    discharge(b->account, n);
    free(b);
}

static void *resize(struct account *a, void *p, size_t old_n, size_t new_n)
{
    struct block *b = (struct block *)((char *)p - HEADER);
    struct account *old = b->account;
    b = realloc(b, HEADER + new_n);
    if (!b)
        return NULL;
    b->account = a;
    charge(a, new_n);
    discharge(old, old_n);
    large_remove(old_n);
    large_add(new_n);
    return (char *)b + HEADER;
}

/* Lua relies on shrinking not to fail: then the old block must do. */
static void *keep_longer(void *p, size_t old_n, size_t new_n)
{
    struct block *b = (struct block *)((char *)p - HEADER);
    discharge(b->account, old_n - new_n);
    large_remove(old_n);
    large_add(new_n);
    return p;
}

void *memory_alloc(void *ud, void *p, size_t old_n, size_t new_n)
{
    (void)ud;
    if (new_n == 0) {
        if (p)
            release(p, old_n);
        return NULL;
    }
    struct lua_call *c = engine.current;
    struct account *a = c ? c->account : engine.account;
    size_t more = p && old_n < new_n ? new_n - old_n : p ? 0 : new_n;
    if (c && more) {
        if (!p && old_n == LUA_TSTRING && new_n > a->cap / 2)
            refuse_string(c->co);
        if (is_absurd(a, more))
            return NULL;
    }
    void *made = p ? resize(a, p, old_n, new_n) : allocate(a, new_n);
    if (!made && p && new_n <= old_n)
        made = keep_longer(p, old_n, new_n);
    if (c && made && more)
        watch(c, new_n);
    return made;
}

bool memory_collect(int64_t budget_us)
{
    if (!engine.L || (!heap.is_collecting && heap.total < heap.threshold))
        return false;
    heap.is_collecting = true;
    int64_t end_us = engine.host->monotonic_us() + budget_us;
    do {
        if (lua_gc(engine.L, LUA_GCSTEP, 0)) {
            heap.is_collecting = false;
            heap.threshold = heap.total + (heap.total / 2 > CYCLE_MIN ? heap.total / 2 : CYCLE_MIN);
            break;
        }
    } while (engine.host->monotonic_us() < end_us);
    return heap.is_collecting;
}

void memory_force(void)
{
    heap.threshold = 0;
}

static int collect_slice(lua_State *L)
{
    (void)L;
    memory_collect(IDLE_SLICE_US);
    return 0;
}

static void on_idle(void *arg)
{
    (void)arg;
    char why[64];
    heap.is_deferred = false;
    if (engine.L && engine_protect(collect_slice, NULL, why, sizeof(why)) == 0)
        memory_collect_idle();
}

void memory_collect_idle(void)
{
    bool is_wanted = heap.is_collecting || heap.total >= heap.threshold;
    if (!is_wanted || heap.is_deferred || !engine.policies)
        return;
    heap.is_deferred = engine.host->defer(engine.policies->inst, on_idle, NULL) == 0;
}

void memory_open(lua_State *L)
{
    lua_gc(L, LUA_GCSTOP);
    lua_gc(L, LUA_GCINC, 200, 100, 8); /* steps of 256 bytes × 100: tens of microseconds */
    open_message(L);
}

void memory_closed(void)
{
    heap.threshold = CYCLE_MIN;
    heap.is_collecting = false;
}
