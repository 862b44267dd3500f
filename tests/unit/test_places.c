/* Caps that several processes keep: never one too many, none idle for ever, nothing owed by the dead. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/shm_layout.h"
#include "test.h"

enum { PROCESSES = 4, ROUNDS = 300000, OWN_MAX = 60 };

static const size_t at = offsetof(struct shm_slot, providers) + offsetof(struct shm_provider, calls_now);

static void start(uint32_t slots)
{
    CHECK_INT(shm_create(), 0);
    CHECK_INT(provider_declare("capped"), 0); /* at: its word */
    for (uint32_t i = 0; i < slots; i++)
        shm_slot_prepare(i, 1);
    shm_use_slot(0);
}

static uint32_t take_all(uint32_t cap)
{
    uint32_t n = 0;
    while (n < 10000 && places_take(at, cap))
        n++;
    return n;
}

static void give_all(uint32_t n)
{
    while (n--)
        places_give(at);
}

TEST(one_worker_has_them_all)
{
    static const uint32_t caps[] = { 1, 2, 7, 8, 9, 16, 100, 1000 };
    start(2);
    for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
        CHECK_INT(take_all(caps[i]), caps[i]);
        CHECK_INT(places_used(at), caps[i]);
        places_give(at);
        CHECK(places_take(at, caps[i]) && !places_take(at, caps[i]));
        give_all(caps[i]);
        CHECK_INT(places_used(at), 0);
    }
    places_give(at);
    CHECK_INT(places_used(at), 0);
}

/* What a worker holds and doesn't use is no loss for another; what it was refused it does not hold. */
TEST(nothing_lies_idle)
{
    start(2);
    give_all(take_all(100));
    shm_use_slot(1);
    CHECK_INT(take_all(100), 100);
    shm_use_slot(0);
    for (int i = 0; i < 50; i++)
        CHECK(!places_take(at, 100));
    shm_use_slot(1);
    give_all(50);
    CHECK_INT(take_all(100), 50);
    give_all(100);
}

TEST(without_a_cap_all_are_counted)
{
    start(1);
    for (int i = 0; i < 500; i++)
        CHECK(places_take(at, 0));
    CHECK_INT(places_used(at), 500);
    CHECK(!places_take(at, 400) && places_take(at, 501) && !places_take(at, 501));
    give_all(501);
}

struct board {
    _Atomic uint32_t ready, used, most, taken;
};

static void note_taken(struct board *b)
{
    uint32_t now = atomic_fetch_add(&b->used, 1) + 1, most = atomic_load(&b->most);
    while (now > most && !atomic_compare_exchange_weak(&b->most, &most, now))
        ;
    atomic_fetch_add(&b->taken, 1);
}

/* The board is told after a place is taken and before it is given, so it never shows more than there are. */
static void hammer(struct board *b, uint32_t who, uint32_t cap, uint32_t others)
{
    uint32_t own = 0;
    srand(who + 1);
    shm_use_slot(who);
    atomic_fetch_add(&b->ready, 1);
    while (atomic_load(&b->ready) < others)
        ;
    for (int i = 0; i < ROUNDS; i++) {
        bool wants_more = own < OWN_MAX && (own == 0 || rand() % 2);
        if (wants_more && places_take(at, cap)) {
            note_taken(b);
            own++;
        } else if (own > 0) {
            atomic_fetch_sub(&b->used, 1);
            places_give(at);
            own--;
        }
    }
    atomic_fetch_sub(&b->used, own);
    give_all(own);
    _exit(0);
}

static void run(uint32_t cap)
{
    struct board *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    start(PROCESSES);
    for (uint32_t i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            hammer(b, i, cap, PROCESSES);
    for (uint32_t i = 0; i < PROCESSES; i++)
        wait(NULL);
    CHECK(b->most <= cap);
    CHECK(b->taken > 1000 && b->used == 0);
    CHECK_INT(places_used(at), 0);
    CHECK_INT(take_all(cap), cap);
    munmap(b, sizeof(*b));
}

TEST(never_one_too_many)
{
    run(1);
    run(5);
    run(40);
    run(130);
}

/* Killed at any instruction: after the master cleared the slot all places are there. */
TEST(nothing_is_owed_by_the_dead)
{
    struct board *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    start(PROCESSES);
    for (int i = 0; i < 100; i++) {
        shm_slot_prepare(1, 1);
        pid_t pid = fork();
        if (pid == 0)
            hammer(b, 1, 64, 1);
        usleep((useconds_t)(rand() % 400));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        shm_slot_clear(1);
        CHECK_INT(places_used(at), 0);
        CHECK_INT(take_all(64), 64);
        give_all(64);
    }
    munmap(b, sizeof(*b));
}
