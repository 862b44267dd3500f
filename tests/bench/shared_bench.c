/* What an update of the memory that workers share costs: from one pinned process, and from two at the same time. CPU nanoseconds
 * per update, the median of rounds; the last column is two against one, which may be twice at most. Usage: build/shared_bench [ROUNDS].
 * Exit code 1: one of those that are promised is beyond. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/breaker.h"
#include "../../core/budget.h"
#include "../../core/clock.h"
#include "../../core/shm_layout.h"

enum { UPDATES = 300000, ROUNDS_MAX = 101, WORKERS = 2 };

static const struct breaker_rules rules = { 5, 60000, 10000 };
static const struct budget_rules budget = { .share = 0.2 };
static int target, provider, counter;

static void figures(void)
{
    target_begin(target, 0);
    target_end(target, false, 120);
}

static void calls(void)
{
    provider_begin(provider, 0);
    provider_end(provider);
}

static void capped(void)
{
    provider_begin(provider, 1000);
    provider_end(provider);
}

static void breaker_well(void)
{
    struct breaker_ticket t;
    breaker_enter(target_breaker(target), &rules, shm_slot(), 1000, 1000000, &t);
    breaker_succeeded(target_breaker(target), 1000000, &t);
}

/* The worst case, which is not the usual one: a target fails and answers in turn, and both workers say so all the time. */
static void breaker_ill(void)
{
    struct breaker_ticket t;
    if (breaker_enter(target_breaker(target), &rules, shm_slot(), 1000, 1000000, &t))
        breaker_failed(target_breaker(target), &rules, 1000000, 1000000, &t);
    if (breaker_enter(target_breaker(target), &rules, shm_slot(), 1000, 1000000, &t))
        breaker_succeeded(target_breaker(target), 1000000, &t);
}

static void retries(void)
{
    provider_take_retry(provider, &budget, 1000000);
}

static void metrics(void)
{
    metric_add(counter, 1);
}

static const struct {
    const char *name;
    void (*update)(void);
    const char *note;
    double most; /* two against one; 0: nobody has promised anything */
} cases[] = {
    { "a target's figures", figures, "per call", 2 },
    { "a provider's calls", calls, "per call", 2 },
    { "the same with a cap", capped, "per call, where max_inflight is set", 2 },
    { "a counter", metrics, "per call", 2 },
    { "a breaker, all well", breaker_well, "per call", 2 },
    { "a retry budget, empty", retries, "per retry", 2 },
    { "a breaker, flapping", breaker_ill, "two processes that do nothing else: the worst case", 0 },
};

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), &set);
    sched_setaffinity(0, sizeof set, &set);
}

struct gate {
    _Atomic uint32_t ready;
    double ns[WORKERS];
};

static void work(struct gate *g, uint32_t who, uint32_t n, void (*update)(void))
{
    pin(who);
    shm_use_slot(who);
    for (int i = 0; i < 1000; i++)
        update();
    atomic_fetch_add(&g->ready, 1);
    while (atomic_load(&g->ready) < n)
        ;
    double before = cpu_ns();
    for (int i = 0; i < UPDATES; i++)
        update();
    g->ns[who] = (cpu_ns() - before) / UPDATES;
    _exit(0);
}

/* n processes at once: the mean of what an update cost them. */
static double measure(struct gate *g, uint32_t n, void (*update)(void))
{
    double sum = 0;
    atomic_store(&g->ready, 0);
    for (uint32_t i = 0; i < n; i++)
        if (fork() == 0)
            work(g, i, n, update);
    for (uint32_t i = 0; i < n; i++)
        wait(NULL);
    for (uint32_t i = 0; i < n; i++)
        sum += g->ns[i];
    return sum / n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    double one[ROUNDS_MAX], two[ROUNDS_MAX];
    int rounds = argc > 1 ? atoi(argv[1]) : 9, n_beyond = 0;
    struct gate *g = mmap(NULL, sizeof *g, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g == MAP_FAILED || shm_create() < 0 || rounds < 1 || rounds > ROUNDS_MAX)
        return 1;
    target = target_declare("bench/target");
    provider = provider_declare("bench");
    counter = metric_declare("bench_total", "", "", METRIC_COUNTER);
    shm_slot_prepare(1, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int k = 0; k < rounds; k++) {
            one[k] = measure(g, 1, cases[i].update);
            two[k] = measure(g, 2, cases[i].update);
        }
        qsort(one, (size_t)rounds, sizeof *one, by_value);
        qsort(two, (size_t)rounds, sizeof *two, by_value);
        double a = one[rounds / 2], b = two[rounds / 2];
        bool is_beyond = cases[i].most > 0 && b > cases[i].most * a;
        n_beyond += is_beyond;
        printf("%-24s one %7.1f ns   two %7.1f ns   x %.2f   (%s)%s\n", cases[i].name, a, b, b / a, cases[i].note,
               is_beyond ? "   beyond twice" : "");
    }
    return n_beyond ? 1 : 0;
}
