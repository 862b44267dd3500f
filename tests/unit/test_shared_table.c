/* The shared key-value table: values, time, eviction, and exact counting by processes that are killed meanwhile. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/shm_layout.h"
#include "test.h"

static char value[SHM_VALUE];
static size_t value_n;

static int get(const char *key, int64_t now_ms)
{
    return shared_get(weir_cstr(key), value, &value_n, now_ms);
}

static int64_t get_number(const char *key)
{
    if (get(key, 0))
        return -1;
    char text[32] = "";
    memcpy(text, value, value_n < sizeof text ? value_n : 0);
    return strtoll(text, NULL, 10);
}

TEST(sets_and_gets)
{
    CHECK_INT(get("k", 0), -1);
    CHECK_INT(shared_set(WEIR_LIT("k"), WEIR_LIT("v1"), 0), 0);
    CHECK_INT(get("k", 0), 0);
    CHECK(value_n == 2 && memcmp(value, "v1", 2) == 0);
    CHECK_INT(shared_set(WEIR_LIT("k"), WEIR_NONE, 0), 0);
    CHECK_INT(get("k", 0), 0);
    CHECK_INT(value_n, 0);
}

TEST(expires)
{
    CHECK_INT(shared_set(WEIR_LIT("ttl"), WEIR_LIT("v"), 1000), 0);
    CHECK_INT(get("ttl", 999), 0);
    CHECK_INT(get("ttl", 1000), -1);
}

TEST(refuses_what_is_too_long)
{
    static char big[SHM_VALUE + 1];
    CHECK_INT(shared_set(WEIR_LIT("k"), (struct weir_str){ big, SHM_VALUE + 1 }, 0), -1);
    CHECK_INT(shared_set((struct weir_str){ big, SHM_KEY + 1 }, WEIR_LIT("v"), 0), -1);
    CHECK_INT(shared_set(WEIR_NONE, WEIR_LIT("v"), 0), -1);
    CHECK_INT(shared_set((struct weir_str){ big, SHM_KEY }, (struct weir_str){ big, SHM_VALUE }, 0), 0);
}

TEST(counts)
{
    int64_t n = 0;
    CHECK_INT(shared_incr(WEIR_LIT("n"), 5, 1000, 1, &n), 0);
    CHECK_INT(n, 5);
    CHECK_INT(shared_incr(WEIR_LIT("n"), -7, 9000, 1, &n), 0);
    CHECK_INT(n, -2);
    CHECK_INT(get("n", 999), 0);
    CHECK_INT(get("n", 1000), -1); /* the first one's time counts */
    CHECK_INT(shared_incr(WEIR_LIT("n"), 3, 0, 1000, &n), 0);
    CHECK_INT(n, 3);
}

TEST(counts_only_numbers)
{
    int64_t n = 0;
    CHECK_INT(shared_set(WEIR_LIT("t"), WEIR_LIT("12x"), 0), 0);
    CHECK_INT(shared_incr(WEIR_LIT("t"), 1, 0, 0, &n), -1);
    CHECK_INT(get("t", 0), 0);
    CHECK_INT(value_n, 3);
    CHECK_INT(shared_set(WEIR_LIT("t"), WEIR_LIT("9223372036854775807"), 0), 0);
    CHECK_INT(shared_incr(WEIR_LIT("t"), 1, 0, 0, &n), -1);
    CHECK_INT(shared_incr(WEIR_LIT("t"), -1, 0, 0, &n), 0);
    CHECK(n == INT64_MAX - 1);
    CHECK_INT(shared_set(WEIR_LIT("t"), WEIR_LIT("-9223372036854775808"), 0), 0);
    CHECK_INT(shared_incr(WEIR_LIT("t"), 0, 0, 0, &n), 0);
    CHECK(n == INT64_MIN);
    CHECK_INT(shared_set(WEIR_LIT("t"), WEIR_LIT("9223372036854775808"), 0), 0);
    CHECK_INT(shared_incr(WEIR_LIT("t"), 1, 0, 0, &n), -1);
    CHECK_INT(shared_set(WEIR_LIT("t"), WEIR_LIT("-"), 0), 0);
    CHECK_INT(shared_incr(WEIR_LIT("t"), 1, 0, 0, &n), -1);
}

TEST(evicts_when_full)
{
    CHECK_INT(shm_create(), 0);
    char key[32];
    enum { MANY = 40000 };
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(key, sizeof key, "key-%d", i);
        CHECK_INT(shared_set((struct weir_str){ key, (size_t)n }, WEIR_LIT("v"), 0), 0);
    }
    int held = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        held += get(key, 0) == 0;
    }
    CHECK(held > SHARED_SETS * 10 && held <= SHARED_SETS * 11);
}

TEST(a_dead_writers_claim_is_void)
{
    CHECK_INT(shm_create(), 0);
    shm_use_slot(1);
    CHECK_INT(shared_set(WEIR_LIT("k"), WEIR_LIT("old"), 0), 0);
    uint64_t hash = 0;
    for (int i = 0; i < SHARED_SETS; i++) /* as if every set were claimed by slot 7's process, half-way */
        shm_area->sets[i].word |= (uint64_t)(7 + 1) << SHARED_WAYS | (hash << 20);
    CHECK_INT(get("k", 0), 0);
    CHECK_INT(shared_set(WEIR_LIT("k"), WEIR_LIT("new"), 0), -1); /* slot 7 lives: incarnation 0 */
    shm_slot_clear(7);
    CHECK_INT(shared_set(WEIR_LIT("k"), WEIR_LIT("new"), 0), 0);
    CHECK_INT(get("k", 0), 0);
    CHECK(memcmp(value, "new", 3) == 0);
}

/* Counts what succeeded in a place of its own. A child killed between the increment and its own note may have counted
 * one more. */
static void count_for_ever(uint32_t slot, _Atomic int64_t *done)
{
    shm_use_slot(slot);
    for (;;) {
        int64_t n;
        if (shared_incr(WEIR_LIT("counter"), 1, 0, 0, &n) == 0)
            atomic_fetch_add(done, 1);
    }
}

static pid_t start_child(uint32_t slot, _Atomic int64_t *done)
{
    pid_t pid = fork();
    if (pid == 0)
        count_for_ever(slot, done);
    return pid;
}

static int died_in_claim; /* of those killed: how many left a claim behind */

static void kill_child(pid_t pid, uint32_t slot)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < SHARED_SETS; i++)
        died_in_claim += (atomic_load(&shm_area->sets[i].word) >> SHARED_WAYS & 0xff) == slot + 1;
    shm_slot_clear(slot);
}

TEST(increments_are_exact_though_writers_are_killed)
{
    enum { CHILDREN = 3, KILLS = 150 };
    CHECK_INT(shm_create(), 0);
    _Atomic int64_t *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[CHILDREN];
    for (uint32_t i = 0; i < CHILDREN; i++)
        pids[i] = start_child(i, done);
    for (int k = 0; k < KILLS; k++) {
        uint32_t i = (uint32_t)k % CHILDREN;
        usleep(500 + (useconds_t)(k * 37 % 1000));
        kill_child(pids[i], i);
        pids[i] = start_child(i, done);
    }
    for (uint32_t i = 0; i < CHILDREN; i++)
        kill_child(pids[i], i);
    int64_t counted = get_number("counter"), noted = atomic_load(done);
    CHECK(counted >= noted && counted <= noted + KILLS + CHILDREN);
    CHECK(noted > KILLS);
    printf("  %lld increments, %d kills: %d while they wrote, %lld behind it\n", (long long)counted, KILLS + CHILDREN,
           died_in_claim, (long long)(counted - noted));
    CHECK(died_in_claim > 0);
}

/* Every value is one letter, repeated: a mixture would be a torn one. */
static void write_for_ever(uint32_t slot)
{
    static char text[SHM_VALUE];
    shm_use_slot(slot);
    for (unsigned i = 0;; i++) {
        memset(text, 'a' + (int)((i + slot) % 26), sizeof text);
        shared_set(WEIR_LIT("letters"), (struct weir_str){ text, 500 + i % 500 }, 0);
    }
}

static bool is_torn(void)
{
    for (size_t i = 1; i < value_n; i++)
        if (value[i] != value[0])
            return true;
    return value_n < 500;
}

TEST(no_reader_sees_a_torn_value)
{
    enum { KILLS = 60, READS = 3000 };
    CHECK_INT(shm_create(), 0);
    shm_use_slot(20);
    pid_t pids[2] = { 0, 0 };
    long found = 0, torn = 0;
    for (uint32_t k = 0; k < KILLS; k++) {
        uint32_t slot = k % 2;
        if (pids[slot])
            kill_child(pids[slot], slot);
        if ((pids[slot] = fork()) == 0)
            write_for_ever(slot);
        for (int i = 0; i < READS; i++)
            if (get("letters", 0) == 0) {
                found++;
                torn += is_torn();
            }
    }
    for (uint32_t slot = 0; slot < 2; slot++)
        kill_child(pids[slot], slot);
    CHECK_INT(torn, 0);
    CHECK(found > KILLS);
}
