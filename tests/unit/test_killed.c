/* A process that is killed at any instruction, in the midst of everything that a call updates, leaves the others going and the figures
 * right: what it had in flight is gone once the master has cleared its slot, counters lose at most the update it was in, no probe, place
 * or budget is lost. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/breaker.h"
#include "../../core/budget.h"
#include "../../core/clock.h"
#include "../../core/shm_layout.h"
#include "test.h"

enum { KILLS = 200, VICTIM = 1, SURVIVOR = 2, CAP = 24, PROBE_MS = 3600 * 1000 };

static const struct breaker_rules rules = { 3, 60000, 0 };
static const struct budget_rules budget = { .share = 0.2 };
static int target, provider, counter;

struct board {
    _Atomic uint64_t victims_calls, survivors_calls; /* told after each call */
    _Atomic uint32_t stop, is_stuck;
};

static int64_t now_ms(void)
{
    return monotonic_us() / 1000;
}

/* All that a call does to the shared memory. false: there was no room. */
static bool call(uint32_t i)
{
    struct breaker_ticket t;
    if (!provider_begin(provider, CAP))
        return false;
    if (!target_begin(target, CAP)) {
        provider_end(provider);
        return false;
    }
    if (breaker_enter(target_breaker(target), &rules, shm_slot(), PROBE_MS, now_ms(), &t)) {
        if (i % 3 && provider_take_retry(provider, &budget, now_ms()))
            metric_add(counter, 1);
        if (i % 5)
            breaker_succeeded(target_breaker(target), now_ms(), &t);
        else
            breaker_failed(target_breaker(target), &rules, now_ms(), now_ms(), &t);
    }
    uint64_t key = bench_key("p", WEIR_LIT("sk"), i % 7, WEIR_NONE);
    if (i % 11 == 0)
        bench_sit(key, unix_ms());
    else if (i % 13 == 0)
        bench_forgive(key);
    provider_wait(provider, 1);
    target_left(target, i, i);
    provider_wait(provider, -1);
    target_end(target, i % 5 == 0, i % 300);
    provider_end(provider);
    return true;
}

static void survive(struct board *b)
{
    shm_use_slot(SURVIVOR);
    for (uint32_t i = 0; !atomic_load(&b->stop); i++)
        if (call(i))
            atomic_fetch_add(&b->survivors_calls, 1);
    _exit(0);
}

static void be_a_victim(struct board *b)
{
    shm_use_slot(VICTIM);
    for (uint32_t i = (uint32_t)rand();; i++)
        if (call(i))
            atomic_fetch_add(&b->victims_calls, 1);
}

static void kill_at_any_instruction(struct board *b)
{
    shm_slot_prepare(VICTIM, 1);
    uint64_t before = atomic_load(&b->victims_calls);
    pid_t pid = fork();
    if (pid == 0)
        be_a_victim(b);
    while (atomic_load(&b->victims_calls) == before)
        ;
    usleep((useconds_t)(rand() % 300));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    shm_slot_clear(VICTIM);
}

/* It goes on, and not only because its breaker never opens: the master has given back the probe of the dead. */
static void wait_for_progress(struct board *b)
{
    uint64_t before = atomic_load(&b->survivors_calls);
    int64_t late = now_ms() + 5000;
    while (atomic_load(&b->survivors_calls) < before + 20 && now_ms() < late)
        ;
    CHECK(atomic_load(&b->survivors_calls) >= before + 20);
}

static void check_slot_of_the_dead(void)
{
    const struct shm_slot *s = &shm_area->slots[VICTIM];
    CHECK_INT(atomic_load(&s->targets[target].calls_now), 0);
    CHECK_INT(atomic_load(&s->providers[provider].calls_now), 0);
    CHECK_INT(atomic_load(&s->providers[provider].waiting), 0);
    uint64_t w = atomic_load(target_breaker(target));
    CHECK((w & 3) != BREAKER_PROBING || (w >> 2 & 255) != VICTIM); /* who holds the probe stands behind the state */
}

TEST(the_figures_are_right_whoever_dies)
{
    struct board *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK_INT(shm_create(), 0);
    target = target_declare("killed/target");
    provider = provider_declare("killed");
    counter = metric_declare("killed_total", "", "", METRIC_COUNTER);
    shm_slot_prepare(SURVIVOR, 1);
    pid_t survivor = fork();
    if (survivor == 0)
        survive(b);
    for (int i = 0; i < KILLS; i++) {
        kill_at_any_instruction(b);
        check_slot_of_the_dead();
        wait_for_progress(b);
    }
    atomic_store(&b->stop, 1);
    int status;
    waitpid(survivor, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    uint64_t told = b->victims_calls + b->survivors_calls;
    struct target_figures f = target_read(target);
    CHECK_INT(f.in_flight, 0);
    CHECK_INT(provider_in_flight(provider), 0);
    CHECK_INT(provider_waiting(provider), 0);
    CHECK(f.calls + KILLS >= told && f.calls <= told + 2 * KILLS); /* each of the dead had told one less, or counted one more */
    CHECK(f.failures * 4 < f.calls + 4 * KILLS && f.failures * 7 + 7 * KILLS > f.calls); /* about each fifth */
    shm_use_slot(SURVIVOR);
    uint32_t n = 0;
    while (n < 2 * CAP && provider_begin(provider, CAP))
        n++;
    CHECK_INT(n, CAP); /* no place is owed */
    munmap(b, sizeof(*b));
}
