/* The unit tests' harness: each test_*.c is a program of its own; TEST registers itself, the last line counts.
 *
 *      TEST(arena_grows) { CHECK(arena_alloc(a, 10) != NULL); }
 *
 * A failed CHECK says where and ends that test, not the program. `./test_x NAME` runs only the tests whose name contains NAME.
 */
#ifndef WEIR_TESTS_UNIT_TEST_H
#define WEIR_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

static struct test *test_first, **test_end = &test_first;
static jmp_buf test_leave;
static int test_skipped;

#define TEST(id)                                                                                                      \
    static void test_##id(void);                                                                                      \
    static struct test test_entry_##id = { #id, test_##id, NULL };                                                    \
    __attribute__((constructor)) static void test_register_##id(void)                                                 \
    {                                                                                                                 \
        *test_end = &test_entry_##id;                                                                                 \
        test_end = &test_entry_##id.next;                                                                             \
    }                                                                                                                 \
    static void test_##id(void)

#define CHECK(cond)                                                                                                   \
    do {                                                                                                              \
        if (!(cond))                                                                                                  \
            test_fail(__FILE__, __LINE__, #cond);                                                                     \
    } while (0)

#define CHECK_STR(got, want) test_same(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_INT(got, want) test_same_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define SKIP(reason)                                                                                                  \
    do {                                                                                                              \
        printf("  SKIP %s\n", (reason));                                                                              \
        test_skipped++;                                                                                               \
        return;                                                                                                       \
    } while (0)

__attribute__((noreturn, unused)) static void test_fail(const char *file, int line, const char *what)
{
    printf("  FAIL %s:%d: %s\n", file, line, what);
    longjmp(test_leave, 1);
}

__attribute__((unused)) static void test_same(const char *file, int line, const char *what, const char *got,
                                              const char *want)
{
    if (got && want && strcmp(got, want) == 0)
        return;
    printf("  got  %s\n  want %s\n", got ? got : "(null)", want ? want : "(null)");
    test_fail(file, line, what);
}

__attribute__((unused)) static void test_same_int(const char *file, int line, const char *what, long long got,
                                                  long long want)
{
    if (got == want)
        return;
    printf("  got  %lld\n  want %lld\n", got, want);
    test_fail(file, line, what);
}

/* A function of its own: longjmp would leave main's counters undefined. */
static int test_passes(const struct test *t)
{
    if (setjmp(test_leave) != 0)
        return 0;
    t->run();
    return 1;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test *t = test_first; t; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1]))
            continue;
        int skipped_before = test_skipped;
        if (test_passes(t)) {
            if (test_skipped == skipped_before)
                passed++;
        } else {
            printf("FAIL %s\n", t->name);
            failed++;
        }
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, test_skipped);
    return failed ? 1 : 0;
}

#endif
