/* Arenas: alignment, growth, marks across blocks and large allocations, sticking failure, nothing left behind. */
#include "../../core/arena.h"

#include "test.h"

TEST(allocations_are_aligned_and_apart)
{
    struct arena *a = arena_new();
    char *before = NULL;
    for (size_t n = 0; n < 3000; n += 7) {
        char *p = arena_alloc(a, n);
        CHECK(p != NULL);
        CHECK((uintptr_t)p % 16 == 0);
        CHECK(p != before);
        memset(p, (int)(n & 0xff), n);
        before = p;
    }
    CHECK(!arena_failed(a));
    arena_free(a);
}

TEST(contents_survive_growth)
{
    enum { COUNT = 20000 };
    struct arena *a = arena_new();
    int **kept = arena_alloc(a, COUNT * sizeof *kept);
    for (int i = 0; i < COUNT; i++) {
        kept[i] = arena_alloc(a, i % 500 == 0 ? 5000 : sizeof(int));
        *kept[i] = i;
    }
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(*kept[i], i);
    CHECK(arena_size(a) >= COUNT * sizeof(int));
    arena_free(a);
}

TEST(a_small_request_stays_in_one_page)
{
    struct arena *a = arena_new();
    arena_alloc(a, 1500);
    arena_alloc(a, 1500);
    CHECK(arena_size(a) <= 4096);
    arena_free(a);
}

TEST(rollback_frees_what_came_after_the_mark)
{
    struct arena *a = arena_new();
    char *kept = arena_alloc(a, 100);
    char *kept_large = arena_alloc(a, 100000);
    memset(kept, 'x', 100);
    memset(kept_large, 'y', 100000);
    size_t size = arena_size(a);
    struct arena_mark mark = arena_mark(a);
    for (int round = 0; round < 3; round++) {
        arena_alloc(a, 50000);
        for (int i = 0; i < 1000; i++)
            CHECK(arena_alloc(a, 200) != NULL);
        arena_alloc(a, 3000);
        CHECK(arena_size(a) > size + 250000);
        arena_rollback(a, mark);
        CHECK_INT(arena_size(a), size);
    }
    for (int i = 0; i < 100; i++)
        CHECK(kept[i] == 'x');
    CHECK(kept_large[0] == 'y' && kept_large[99999] == 'y');
    arena_free(a);
}

TEST(marks_nest)
{
    struct arena *a = arena_new();
    struct arena_mark outer = arena_mark(a);
    size_t size = arena_size(a);
    arena_alloc(a, 9000);
    struct arena_mark inner = arena_mark(a);
    size_t inner_size = arena_size(a);
    arena_alloc(a, 9000);
    arena_rollback(a, inner);
    CHECK_INT(arena_size(a), inner_size);
    arena_rollback(a, inner);
    CHECK_INT(arena_size(a), inner_size);
    arena_rollback(a, outer);
    CHECK_INT(arena_size(a), size);
    arena_free(a);
}

TEST(failure_sticks)
{
    struct arena *a = arena_new();
    CHECK(!arena_failed(a));
    CHECK(arena_alloc(a, SIZE_MAX - 100) == NULL);
    CHECK(arena_failed(a));
    CHECK(arena_alloc(a, 10) != NULL);
    CHECK(arena_failed(a));
    arena_free(a);
}

TEST(copies_end_with_nul)
{
    struct arena *a = arena_new();
    struct weir_str s = arena_copy(a, WEIR_LIT("hello"));
    CHECK_INT(s.n, 5);
    CHECK_STR(s.p, "hello");
    s = arena_copy(a, WEIR_NONE);
    CHECK_INT(s.n, 0);
    CHECK_STR(s.p, "");
    s = arena_printf(a, "%s %d", "answer", 42);
    CHECK_INT(s.n, 9);
    CHECK_STR(s.p, "answer 42");
    arena_free(a);
}

TEST(zalloc_clears_recycled_memory)
{
    for (int round = 0; round < 3; round++) {
        struct arena *a = arena_new();
        char *p = arena_zalloc(a, 1000);
        for (int i = 0; i < 1000; i++)
            CHECK(p[i] == 0);
        memset(p, 0xff, 1000);
        arena_free(a);
    }
}

TEST(nothing_is_left_behind)
{
    size_t live = arena_live();
    struct arena *many[100];
    for (int i = 0; i < 100; i++)
        many[i] = arena_new();
    CHECK_INT(arena_live(), live + 100);
    for (int i = 0; i < 100; i++) {
        arena_alloc(many[i], (size_t)i * 100);
        arena_free(many[i]);
    }
    arena_free(NULL);
    CHECK_INT(arena_live(), live);
}
