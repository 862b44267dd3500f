/* Breakers and retry budgets: what they promise, on random schedules, in one process and in several, with workers that die. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/breaker.h"
#include "../../core/budget.h"
#include "../../core/clock.h"
#include "../../core/shm_layout.h"
#include "test.h"

static const struct breaker_rules rules = { .failures = 3, .window_ms = 1000, .open_ms = 500 };
static _Atomic uint64_t word;
static int64_t now = 1000000;

static void start(void)
{
    atomic_store(&word, 0);
}

static bool enter(struct breaker_ticket *t)
{
    return breaker_enter(&word, &rules, 7, 2000, now, t);
}

static void fail_once(void)
{
    struct breaker_ticket t;
    CHECK(enter(&t));
    breaker_failed(&word, &rules, now, now, &t);
}

static enum breaker_state state(void)
{
    uint32_t wait_ms;
    return breaker_state(&word, now, &wait_ms);
}

static void open_it(void)
{
    start();
    for (uint32_t i = 0; i < rules.failures; i++)
        fail_once();
    CHECK_INT(state(), BREAKER_OPEN);
}

TEST(failures_in_a_row_open_it)
{
    struct breaker_ticket t;
    start();
    fail_once();
    fail_once();
    CHECK(enter(&t));
    breaker_succeeded(&word, now, &t);
    fail_once();
    fail_once();
    CHECK_INT(state(), BREAKER_CLOSED);
    fail_once();
    CHECK_INT(state(), BREAKER_OPEN);
    CHECK(!enter(&t) && !breaker_admits(&word, now));
}

TEST(failures_far_apart_are_no_row)
{
    start();
    for (int i = 0; i < 10; i++, now += rules.window_ms + 1)
        fail_once();
    CHECK_INT(state(), BREAKER_CLOSED);
}

/* Of a silent target each failure takes longer than the window. */
TEST(long_failures_are_a_row)
{
    start();
    for (uint32_t i = 0; i < rules.failures; i++) {
        struct breaker_ticket t;
        int64_t began = now;
        CHECK(enter(&t));
        now += 10 * rules.window_ms;
        breaker_failed(&word, &rules, began, now, &t);
    }
    CHECK_INT(state(), BREAKER_OPEN);
}

TEST(one_probe_and_what_follows_it)
{
    struct breaker_ticket probe, other;
    open_it();
    now += rules.open_ms;
    CHECK(breaker_admits(&word, now) && enter(&probe) && probe.is_probe);
    CHECK(!enter(&other));
    breaker_failed(&word, &rules, now, now, &probe);
    CHECK_INT(state(), BREAKER_OPEN);
    CHECK(!enter(&other));
    now += rules.open_ms;
    CHECK(enter(&probe) && probe.is_probe);
    breaker_forget(&word, now, &probe);
    CHECK(enter(&probe) && probe.is_probe); /* it said nothing: another may go at once */
    breaker_succeeded(&word, now, &probe);
    CHECK_INT(state(), BREAKER_CLOSED);
    CHECK(enter(&other) && !other.is_probe);
}

TEST(a_probe_that_speaks_closes_it_on_parole)
{
    struct breaker_ticket probe, t;
    open_it();
    now += rules.open_ms;
    CHECK(enter(&probe));
    breaker_spoke(&word, &rules, now, &probe);
    CHECK_INT(state(), BREAKER_CLOSED);
    CHECK(enter(&t));
    breaker_forget(&word, now, &t);
    breaker_failed(&word, &rules, now, now, &probe); /* and then it breaks off */
    CHECK_INT(state(), BREAKER_OPEN);
    now += rules.open_ms;
    CHECK(enter(&probe));
    breaker_spoke(&word, &rules, now, &probe);
    breaker_succeeded(&word, now, &probe);
    fail_once();
    fail_once();
    CHECK_INT(state(), BREAKER_CLOSED);
}

TEST(what_is_late_says_nothing)
{
    struct breaker_ticket early, probe, t;
    start();
    CHECK(enter(&early));
    struct breaker_ticket same = early;
    fail_once();
    fail_once();
    fail_once();
    CHECK_INT(state(), BREAKER_OPEN);
    breaker_succeeded(&word, now, &early);
    CHECK_INT(state(), BREAKER_OPEN);
    now += rules.open_ms;
    CHECK(enter(&probe));
    early = same;
    breaker_succeeded(&word, now, &early);
    CHECK_INT(state(), BREAKER_PROBING);
    early = same;
    breaker_failed(&word, &rules, now, now, &early);
    early = same;
    breaker_forget(&word, now, &early);
    CHECK_INT(state(), BREAKER_PROBING);
    now += 2000; /* the probe lapses, and another goes: now the first one's answer is late too */
    CHECK(enter(&t) && t.is_probe);
    breaker_succeeded(&word, now, &probe);
    CHECK_INT(state(), BREAKER_PROBING);
    breaker_succeeded(&word, now, &t);
    CHECK_INT(state(), BREAKER_CLOSED);
}

TEST(without_rules_nothing_opens_it)
{
    static const struct breaker_rules none = { 0, 1000, 500 };
    start();
    for (int i = 0; i < 500; i++) {
        struct breaker_ticket t;
        CHECK(breaker_enter(&word, &none, 1, 1000, now, &t));
        breaker_failed(&word, &none, now, now, &t);
    }
    CHECK_INT(state(), BREAKER_CLOSED);
}

/* ---- random schedules ---- */

static uint64_t seed;

static uint32_t chance(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 11) % n;
}

struct flight {
    struct breaker_ticket ticket;
    int64_t began, lapses;
    bool is_probe; /* as it was let in */
};

/* The probes that are underway and have not lapsed. */
static uint32_t probes(const struct flight *f, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += f[i].ticket.is_valid && f[i].ticket.is_probe && f[i].lapses > now;
    return count;
}

static void end_one(struct flight *f)
{
    struct breaker_ticket before = f->ticket;
    enum breaker_state was = state();
    uint32_t epoch_now = (uint32_t)(atomic_load(&word) >> 10) & 0x3ffff;
    bool is_stale = before.epoch != epoch_now;
    switch (chance(4)) {
    case 0:
        breaker_succeeded(&word, now, &f->ticket);
        break;
    case 1:
        breaker_forget(&word, now, &f->ticket);
        break;
    case 2:
        breaker_spoke(&word, &rules, now, &f->ticket);
        if (is_stale)
            CHECK_INT(state(), was);
        return; /* it goes on */
    default:
        breaker_failed(&word, &rules, f->began, now, &f->ticket);
    }
    if (is_stale)
        CHECK_INT(state(), was); /* no stale word moves it */
    if (was == BREAKER_OPEN)
        CHECK_INT(state(), BREAKER_OPEN); /* only a probe leads out */
}

TEST(random_schedules)
{
    enum { CALLS = 12 };
    for (uint64_t run = 1; run <= 300; run++) {
        struct flight flights[CALLS] = { 0 };
        seed = run * 0x9e3779b97f4a7c15u;
        start();
        now = (int64_t)chance(2) ? (INT64_C(1) << 36) * 3 - 5000 : 1000000; /* also while the word's clock comes round */
        for (int step = 0; step < 2000; step++) {
            struct flight *f = &flights[chance(CALLS)];
            now += chance(120);
            if (f->ticket.is_valid) {
                end_one(f);
                continue;
            }
            f->began = now;
            f->lapses = now + 2000;
            enum breaker_state was = state();
            if (!enter(&f->ticket))
                f->ticket.is_valid = false;
            else
                CHECK(f->ticket.is_probe == (was != BREAKER_CLOSED));
            CHECK(probes(flights, CALLS) <= 1);
        }
        now += 5000; /* liveness: whatever was left hanging, a call goes in, and a good answer closes it */
        struct breaker_ticket last;
        CHECK(enter(&last));
        breaker_succeeded(&word, now, &last);
        CHECK_INT(state(), BREAKER_CLOSED);
    }
}

/* ---- several processes ---- */

enum { CHILDREN = 4, ROUNDS = 20000 };

struct arena_of_all {
    _Atomic uint64_t word;
    _Atomic uint64_t clock, probing, broken, probes, let_in;
    _Atomic uint64_t budget, calls, retries;
};

static struct arena_of_all *shared_page(void)
{
    struct arena_of_all *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    atomic_store(&p->clock, 1000000);
    return p;
}

/* A probe never lapses here, so at no moment may two be underway. */
static void hammer(struct arena_of_all *all, uint32_t who)
{
    seed = 77 + who;
    for (int i = 0; i < ROUNDS; i++) {
        struct breaker_ticket t;
        int64_t at = (int64_t)atomic_fetch_add(&all->clock, 1 + chance(3));
        if (!breaker_enter(&all->word, &rules, who, 3600 * 1000, at, &t))
            continue;
        atomic_fetch_add(&all->let_in, 1);
        if (t.is_probe) {
            atomic_fetch_add(&all->probes, 1);
            if (atomic_fetch_add(&all->probing, 1) != 0)
                atomic_fetch_add(&all->broken, 1);
            atomic_fetch_sub(&all->probing, 1);
        }
        if (chance(3) == 0)
            breaker_succeeded(&all->word, at, &t);
        else
            breaker_failed(&all->word, &rules, at, at, &t);
    }
}

static void run_children(struct arena_of_all *all, void (*work)(struct arena_of_all *, uint32_t))
{
    pid_t pids[CHILDREN];
    for (uint32_t i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            work(all, i);
            _exit(0);
        }
    }
    for (uint32_t i = 0; i < CHILDREN; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

TEST(processes_share_one_probe)
{
    struct arena_of_all *all = shared_page();
    run_children(all, hammer);
    CHECK_INT(atomic_load(&all->broken), 0);
    CHECK(atomic_load(&all->probes) > 20);
    CHECK(atomic_load(&all->let_in) > 100);
    munmap(all, sizeof(*all));
}

TEST(a_dead_workers_probe_is_given_back)
{
    CHECK_INT(shm_create(), 0);
    int id = target_declare("dead/probe");
    _Atomic uint64_t *w = target_breaker(id);
    int64_t at = monotonic_us() / 1000; /* the master's clock */
    for (uint32_t i = 0; i < rules.failures; i++) {
        struct breaker_ticket t;
        CHECK(breaker_enter(w, &rules, 1, 1000, at - 1000, &t));
        breaker_failed(w, &rules, at - 1000, at - 1000, &t);
    }
    int ready[2];
    CHECK_INT(pipe(ready), 0);
    shm_slot_prepare(5, 1);
    pid_t child = fork();
    if (child == 0) {
        struct breaker_ticket t;
        shm_use_slot(5);
        target_begin(id, 0);
        bool has_probe = breaker_enter(w, &rules, shm_slot(), 3600 * 1000, at, &t) && t.is_probe;
        (void)!write(ready[1], has_probe ? "y" : "n", 1);
        alarm(5); /* whatever becomes of the test */
        pause();
        _exit(0);
    }
    char answer = 0;
    CHECK_INT(read(ready[0], &answer, 1), 1);
    CHECK(answer == 'y');
    struct breaker_ticket t;
    CHECK(!breaker_enter(w, &rules, 2, 1000, at + 100000, &t)); /* for an hour … */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(!breaker_enter(w, &rules, 2, 1000, at + 100000, &t));
    shm_slot_clear(5);
    CHECK_INT(target_read(id).in_flight, 0);
    CHECK(breaker_enter(w, &rules, 2, 1000, at + 100000, &t) && t.is_probe); /* … but for the master */
    shm_slot_clear(6); /* another's death takes nothing from it */
    CHECK(!breaker_enter(w, &rules, 3, 1000, at + 100000, &t));
    close(ready[0]);
    close(ready[1]);
}

/* ---- budgets ---- */

static const struct budget_rules budget = { .share = 0.2 };

TEST(a_budget_is_a_floor_and_a_share)
{
    _Atomic uint64_t w = 0;
    int n = 0;
    while (n < 1000 && budget_take(&w, &budget, 5000, now))
        n++;
    CHECK_INT(n, BUDGET_FLOOR);
    for (n = 0; n < 1000 && budget_take(&w, &budget, 5100, now);)
        n++;
    CHECK(n == 19 || n == 20);
    for (n = 0; n < 1000 && budget_take(&w, &budget, 5100, now + 20000);)
        n++;
    CHECK(n >= 9 && n <= 11);
    for (n = 0; n < 1000 && budget_take(&w, &budget, 50000000, now + 20000);)
        n++;
    CHECK(n <= BUDGET_MOST);
    CHECK(!budget_take(&w, &budget, 100, now + 20000)); /* a count that goes back earns nothing */
}

TEST(budgets_on_random_schedules)
{
    for (uint64_t run = 1; run <= 200; run++) {
        _Atomic uint64_t w = 0;
        uint64_t calls = (run % 3) * 16777000, first = calls, taken = 0;
        int64_t began = now = 5000000 + (int64_t)run * 1000;
        seed = run * 0x9e3779b97f4a7c15u;
        for (int step = 0; step < 3000; step++) {
            now += chance(20);
            calls += chance(4);
            taken += chance(3) == 0 && budget_take(&w, &budget, calls - (calls > first + 3 ? chance(3) : 0), now);
            double most = BUDGET_FLOOR + 0.2 * (double)(calls - first) + (double)(now - began + 32) / 2000 + 1;
            CHECK((double)taken <= most);
        }
        CHECK(taken > 0.15 * (double)(calls - first)); /* and it is not mean */
    }
}

static void spend(struct arena_of_all *all, uint32_t who)
{
    seed = 99 + who;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t calls = atomic_fetch_add(&all->calls, 1) + 1;
        if (budget_take(&all->budget, &budget, calls, 1000000))
            atomic_fetch_add(&all->retries, 1);
    }
}

TEST(processes_share_one_budget)
{
    struct arena_of_all *all = shared_page();
    run_children(all, spend);
    double calls = (double)atomic_load(&all->calls), retries = (double)atomic_load(&all->retries);
    CHECK(retries <= BUDGET_FLOOR + 0.2 * calls + 1);
    CHECK(retries >= 0.15 * calls);
    munmap(all, sizeof(*all));
}

/* ---- benches ---- */

#define KEY(text) bench_key("p", WEIR_LIT(text), 1, WEIR_NONE)

TEST(a_key_sits_a_minute_then_twice_as_long)
{
    uint64_t k = KEY("sk-1");
    int64_t at = 1700000000000;
    CHECK(k != KEY("sk-2") && k != bench_key("p", WEIR_LIT("sk-1"), 2, WEIR_NONE) &&
          k != bench_key("p", WEIR_LIT("sk-1"), 1, WEIR_LIT("m")) && k != bench_key("q", WEIR_LIT("sk-1"), 1, WEIR_NONE));
    CHECK_INT(bench_left_ms(k, at), 0);
    bench_sit(k, at);
    CHECK_INT(bench_left_ms(k, at), 60000);
    bench_sit(k, at + 1000); /* another that was underway */
    CHECK_INT(bench_left_ms(k, at + 1000), 59000);
    CHECK_INT(bench_left_ms(k, at + 60000), 0);
    uint32_t wanted[] = { 120000, 240000, 480000, 960000, 1920000, 3600000, 3600000 };
    for (int i = 0; i < 7; i++) {
        at += 3700000;
        bench_sit(k, at);
        CHECK_INT(bench_left_ms(k, at), wanted[i]);
    }
    bench_forgive(k);
    CHECK_INT(bench_left_ms(k, at), 0);
    bench_sit(k, at);
    CHECK_INT(bench_left_ms(k, at), 60000);
}

TEST(a_pair_sits_when_two_principals_were_refused)
{
    uint64_t k = bench_key("p", WEIR_LIT("sk-3"), 1, WEIR_LIT("m"));
    int64_t at = 1700000000000;
    bench_suspect(k, "alice", at);
    bench_suspect(k, "alice", at + 10);
    CHECK_INT(bench_left_ms(k, at + 10), 0);
    bench_suspect(k, "bob", at + 20);
    CHECK_INT(bench_left_ms(k, at + 20), 60000);
    uint64_t other = bench_key("p", WEIR_LIT("sk-4"), 1, WEIR_LIT("m"));
    bench_suspect(other, "alice", at);
    bench_suspect(other, "bob", at + 3600000); /* too long after */
    CHECK_INT(bench_left_ms(other, at + 3600000), 0);
}

TEST(a_full_table_of_benches_forgets_the_oldest_only)
{
    int64_t at = 1700000000000;
    char key[32];
    uint32_t sitting = 0;
    for (int i = 0; i < 3 * BENCHES_MAX; i++) {
        snprintf(key, sizeof key, "full-%d", i);
        bench_sit(KEY(""), at);
        bench_sit(bench_key("p", weir_cstr(key), 1, WEIR_NONE), at);
    }
    for (int i = 0; i < 3 * BENCHES_MAX; i++) {
        snprintf(key, sizeof key, "full-%d", i);
        sitting += bench_left_ms(bench_key("p", weir_cstr(key), 1, WEIR_NONE), at) > 0;
    }
    CHECK(sitting > BENCHES_MAX / 2 && sitting <= BENCHES_MAX);
    at += 24 * 3600 * 1000;
    uint64_t late = KEY("late");
    bench_sit(late, at);
    CHECK_INT(bench_left_ms(late, at), 60000);
}

/* ---- figures ---- */

TEST(the_p95_of_a_target)
{
    int id = target_declare("fig/p95");
    for (int i = 0; i < 190; i++) {
        target_begin(id, 0);
        target_end(id, false, 100);
    }
    CHECK(target_read(id).p95_ms >= 100 && target_read(id).p95_ms <= 130);
    for (int i = 0; i < 30; i++) {
        target_begin(id, 0);
        target_end(id, i % 3 == 0, 4000);
    }
    struct target_figures f = target_read(id);
    CHECK(f.p95_ms >= 4000 && f.p95_ms <= 5000);
    CHECK(f.first_tokens == 220 && f.error_rate > 0.05 && f.error_rate < 0.6);
    target_speed(id, 100, 2000);
    CHECK(target_read(id).throughput > 49 && target_read(id).throughput < 51);
    target_left(id, 12, -1);
    f = target_read(id);
    CHECK(f.left_requests == 12 && f.left_tokens == -1);
}

TEST(caps_are_kept)
{
    int id = target_declare("fig/cap"), p = provider_declare("cap");
    CHECK(target_begin(id, 2) && target_begin(id, 2) && !target_begin(id, 2));
    target_end(id, false, 1);
    CHECK(target_begin(id, 2));
    CHECK(provider_begin(p, 1) && !provider_begin(p, 1));
    provider_end(p);
    CHECK(provider_begin(p, 1) && provider_in_flight(p) == 1);
}
