/* The balance of connections; see balance.h.
 *
 * All workers wait for the same sockets, and whoever wakes first accepts; a busy worker wakes rarely, but among idle ones
 * chance is not fair (one of two may get nine tenths). So each tells in its slot how many connections it holds, and who is
 * above its share stops listening until it no longer is. A burst is over long before the next tick, so the share is also
 * looked at whenever a connection waits. A worker that doesn't tell the time is not counted: nobody waits for it.
 */
#include "balance.h"

#include <event2/event.h>
#include <time.h>

#include "shm_layout.h"

enum {
    LISTENERS_MAX = 16,
    SLACK = 4,           /* connections above the limit that don't matter */
    STALE_MS = 300,
    PAUSED_MS = 2,       /* between two looks while it pauses … */
    LONG_MS = 200,
    PAUSED_LONG_MS = 10, /* … and once that takes long */
};

static struct worker *self;
static struct event *arrivals[LISTENERS_MAX];
static struct event *timer;
static int64_t paused_ms; /* since when; 0: it listens */

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The workers of this generation that are well: their number, and the sum of their connections. */
static uint32_t count_workers(uint64_t *sum)
{
    uint32_t n = 0;
    int64_t now_ms = monotonic_ms();
    *sum = 0;
    for (int i = shm_next_slot(-1); i >= 0 && i < SHM_SLOTS; i = shm_next_slot(i)) {
        const struct shm_slot *slot = &shm_area->slots[i];
        bool is_peer = slot->state == SHM_READY && slot->generation == self->generation;
        if (!is_peer || now_ms - slot->heartbeat_ms > STALE_MS)
            continue;
        *sum += slot->connections;
        n++;
    }
    return n;
}

static bool is_above_share(uint32_t connections)
{
    uint64_t sum;
    uint32_t n = count_workers(&sum);
    return n > 1 && (uint64_t)connections * n * 8 > sum * 9 + (uint64_t)SLACK * n * 8;
}

static void listen_or_pause(bool listens)
{
    edge_set_accepting(self->edge, listens);
    for (uint32_t i = 0; i < LISTENERS_MAX && arrivals[i]; i++)
        if (listens)
            event_add(arrivals[i], NULL);
        else
            event_del(arrivals[i]);
}

static void look(void)
{
    uint32_t connections = edge_counts(self->edge).connections;
    atomic_store_explicit(&shm_own->connections, connections, memory_order_relaxed);
    bool is_above = is_above_share(connections);
    if (is_above == (paused_ms != 0))
        return;
    paused_ms = is_above ? monotonic_ms() : 0;
    listen_or_pause(!is_above);
}

static void set_timer(void)
{
    if (paused_ms == 0)
        return;
    bool is_long = monotonic_ms() - paused_ms >= LONG_MS;
    struct timeval wait = { 0, (is_long ? PAUSED_LONG_MS : PAUSED_MS) * 1000 };
    event_add(timer, &wait);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    look();
    set_timer();
}

void balance_start(struct worker *w, const int *listen_fds, uint32_t n)
{
    if (!(timer = evtimer_new(w->base, on_look, NULL)))
        return;
    self = w;
    paused_ms = 0;
    for (uint32_t i = 0; i < n && i < LISTENERS_MAX; i++)
        if ((arrivals[i] = event_new(w->base, listen_fds[i], EV_READ | EV_PERSIST, on_look, NULL)))
            event_add(arrivals[i], NULL);
}

void balance_stop(void)
{
    for (uint32_t i = 0; i < LISTENERS_MAX && arrivals[i]; i++) {
        event_free(arrivals[i]);
        arrivals[i] = NULL;
    }
    if (timer)
        event_free(timer);
    timer = NULL;
    self = NULL;
}
