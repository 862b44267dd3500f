/* The recycler: every size gets a block that holds it, contents survive growing, blocks come back. */
#include "../../core/recycler.h"
#include "test.h"

TEST(every_size_fits_its_block)
{
    for (size_t n = 0; n < 70000; n += n < 300 ? 1 : 97) {
        unsigned char *p = recycler_malloc(n);
        CHECK(p != NULL && ((size_t)p & 15) == 0);
        memset(p, 0x5a, n);
        recycler_free(p);
    }
}

TEST(neighbours_are_left_alone)
{
    enum { N = 200 };
    unsigned char *p[N];
    for (int i = 0; i < N; i++) {
        p[i] = recycler_malloc((size_t)i * 7 + 1);
        memset(p[i], i, (size_t)i * 7 + 1);
    }
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < (size_t)i * 7 + 1; k++)
            CHECK(p[i][k] == (unsigned char)i);
    for (int i = 0; i < N; i++)
        recycler_free(p[i]);
}

TEST(growing_keeps_the_content)
{
    unsigned char *p = NULL;
    size_t had = 0;
    for (size_t n = 1; n < 200000; n = n * 3 / 2 + 1) {
        p = recycler_realloc(p, n);
        CHECK(p != NULL);
        for (size_t i = 0; i < had; i++)
            CHECK(p[i] == (unsigned char)(i * 31));
        for (size_t i = had; i < n; i++)
            p[i] = (unsigned char)(i * 31);
        had = n;
    }
    recycler_free(p);
}

TEST(calloc_clears_a_block_that_was_used)
{
    void *p = recycler_malloc(500);
    memset(p, 0xff, 500);
    recycler_free(p);
    unsigned char *q = recycler_calloc(50, 10);
    for (int i = 0; i < 500; i++)
        CHECK(q[i] == 0);
    recycler_free(q);
    CHECK(recycler_calloc((size_t)-1 / 2, 3) == NULL);
    CHECK(recycler_malloc((size_t)-1) == NULL);
}

TEST(strdup_copies)
{
    char *s = recycler_strdup("hello");
    CHECK_STR(s, "hello");
    recycler_free(s);
    recycler_free(NULL);
}
