/* The shared memory itself: made by the master, inherited by workers, found again by a master that was executed anew;
 * and the slots in it.
 *
 * Until shm_create() the same structure lies in private memory, so everything works in a single process too. The
 * memory is sparse: of the tables only pages that are used cost anything. It is never unmapped.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "shm_layout.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "single-word atomics");
/* What each worker counts lies in its own slot, and slots share no page; words that all write lie alone in a line. */
enum { LINE = 64 };
_Static_assert(_Alignof(struct shm_slot) == 4096 && sizeof(struct shm_slot) % 4096 == 0, "workers share no cache line");
_Static_assert(offsetof(struct shm, slots) % 4096 == 0 && offsetof(struct shm_slot, cells) % LINE == 0, "counters begin a line");
_Static_assert(sizeof(struct shm_target) % LINE == 0 && offsetof(struct shm_slot, targets) % LINE == 0, "a target's figures too");
_Static_assert(sizeof(struct shm_breaker) == LINE && sizeof(struct shm_budget) == LINE && sizeof(struct shm_health) == LINE &&
                   offsetof(struct shm, breakers) % LINE == 0 && offsetof(struct shm, budgets) % LINE == 0 &&
                   offsetof(struct shm, hedges) % LINE == 0,
               "a breaker, a budget: one line each");

struct shm *shm_area;
struct shm_slot *shm_own;
uint32_t shm_own_index;
struct crumb *crumb_now;

static int area_fd = -1;

static void raise_slots_used(uint32_t slot)
{
    uint32_t used = atomic_load(&shm_area->slots_used);
    while (slot < SHM_SLOTS && used <= slot && !atomic_compare_exchange_weak(&shm_area->slots_used, &used, slot + 1))
        ;
}

static void use_area(struct shm *area)
{
    shm_area = area;
    raise_slots_used(shm_own_index);
    shm_own = &area->slots[shm_own_index];
    crumb_now = &shm_own->crumb;
}

/* A fixed fallback key would only make collisions in the shared table predictable; without entropy that is borne. */
static void fill_header(struct shm *area)
{
    if (getrandom(area->hash_key, sizeof area->hash_key, 0) != (ssize_t)sizeof area->hash_key)
        area->hash_key[0] = (uint64_t)getpid();
    area->layout = SHM_LAYOUT;
    area->size = sizeof *area;
    area->magic = SHM_MAGIC;
    atomic_store(&area->is_serving, 1);
}

static struct shm *map_area(int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED | MAP_NORESERVE;
    void *p = mmap(NULL, sizeof(struct shm), PROT_READ | PROT_WRITE, flags, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Before main(), so that crumb_now and the cells can be used without asking whether they exist. */
__attribute__((constructor)) static void start_private(void)
{
    struct shm *area = map_area(-1);
    if (!area)
        abort();
    fill_header(area);
    use_area(area);
}

int shm_create(void)
{
    int fd = memfd_create("weir", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    struct shm *area = ftruncate(fd, sizeof(struct shm)) == 0 ? map_area(fd) : NULL;
    if (!area) {
        close(fd);
        return -1;
    }
    fill_header(area);
    use_area(area);
    area_fd = fd;
    return 0;
}

int shm_attach(int fd)
{
    struct shm *area = lseek(fd, 0, SEEK_END) == (off_t)sizeof(struct shm) ? map_area(fd) : NULL;
    if (!area)
        return -1;
    if (area->magic != SHM_MAGIC || area->layout != SHM_LAYOUT || area->size != sizeof *area) {
        munmap(area, sizeof *area);
        return -1;
    }
    use_area(area);
    area_fd = fd;
    return 0;
}

int shm_fd(void)
{
    return area_fd;
}

bool shm_is_serving(void)
{
    return atomic_load_explicit(&shm_area->is_serving, memory_order_relaxed) != 0;
}

/* ---- slots ---- */

void shm_use_slot(uint32_t slot)
{
    shm_own_index = slot < SHM_ALL_SLOTS ? slot : 0;
    use_area(shm_area);
    memset(&shm_own->crumb, 0, sizeof shm_own->crumb);
    atomic_fetch_add(&shm_own->incarnation, 1);
    atomic_store(&shm_own->pid, (uint32_t)getpid());
}

uint32_t shm_slot(void)
{
    return shm_own_index;
}

int shm_next_slot(int i)
{
    uint32_t next = (uint32_t)(i + 1);
    if (next < SHM_SLOTS && next >= atomic_load_explicit(&shm_area->slots_used, memory_order_relaxed) && next > 0)
        next = SHM_SLOTS;
    return next < SHM_ALL_SLOTS ? (int)next : -1;
}

void shm_slot_prepare(uint32_t slot, uint32_t generation)
{
    struct shm_slot *s = &shm_area->slots[slot];
    atomic_store(&s->crash.signal, 0);
    atomic_store(&s->n_modules, 0);
    memset(s->plugins, 0, sizeof s->plugins);
    atomic_store(&s->heartbeat_ms, 0);
    atomic_store(&s->connections, 0);
    atomic_store(&s->generation, generation);
    atomic_store(&s->pid, 0);
    atomic_store(&s->state, SHM_STARTING);
    raise_slots_used(slot);
}

void shm_slot_clear(uint32_t slot)
{
    struct shm_slot *s = &shm_area->slots[slot];
    atomic_fetch_add(&s->incarnation, 1); /* whatever the dead one had claimed may be taken over now */
    metrics_clear_gauges(s);
    targets_clear_slot(slot);
    providers_clear_slot(slot);
    atomic_store(&s->connections, 0);
    atomic_store(&s->pid, 0);
    atomic_store(&s->state, SHM_FREE);
}

void shm_name_plugin(uint32_t index, const char *name)
{
    if (index < SHM_PLUGINS)
        snprintf(shm_own->plugins[index], SHM_PLUGIN_NAME, "%s", name);
}

const char *shm_slot_plugin(const struct shm_slot *slot, uint32_t index)
{
    static char number[32];
    if (index == 0)
        return "core";
    if (index < SHM_PLUGINS && slot->plugins[index][0])
        return slot->plugins[index];
    snprintf(number, sizeof number, "plugin %u", index);
    return number;
}

const char *crumb_hook_name(enum crumb_hook hook)
{
    static const char *const names[CRUMB_HOOKS] = {
        "-", "load", "create", "destroy", "on_open", "on_request", "on_failure", "on_attempt", "on_head", "on_event",
        "on_attempt_done", "on_finish", "cancel", "timer", "watch", "fetch", "defer", "decode_request", "splice",
        "encode_event", "encode_answer", "encode_error", "encode_models", "request_head", "encode_request",
        "decode_head", "decode_frame", "decode_end", "decode_error", "split", "endpoint", "sign",
        "obtain",
    };
    return (unsigned)hook < CRUMB_HOOKS ? names[hook] : "-";
}

void shm_put(struct shm_text *t, const char *format, ...)
{
    size_t room = t->n < t->capacity ? t->capacity - t->n : 0;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(room ? t->p + t->n : NULL, room, format, args);
    va_end(args);
    t->n += n > 0 ? (size_t)n : 0;
}
