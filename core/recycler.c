/* Size classes are four to a doubling, from 32 bytes to 28 KiB; each block has a head of 16 bytes that names its class, so that free
 * needs no size. Under sanitizers and in the arena emulator every block is a malloc of its own.
 */
#include "recycler.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SHIFT = 5, CLASSES = 40, HEAD = 16, LARGE = 255, KEPT_BYTES = 256 * 1024 };

struct head {
    struct head *next;
    uint8_t class;
};
_Static_assert(sizeof(struct head) <= HEAD, "the head keeps blocks aligned");

static _Thread_local struct {
    struct head *first;
    uint32_t n;
} lists[CLASSES];

/* 32, 40, 48, 56, 64, 80, … */
static size_t class_bytes(uint32_t class)
{
    return (size_t)(4 + class % 4) << (class / 4 + FIRST_SHIFT - 2);
}

static uint32_t class_of(size_t n)
{
    if (n <= 32)
        return 0;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll((unsigned long long)(n - 1)); /* 2^shift < n <= 2^(shift + 1) */
    uint32_t class = (shift - FIRST_SHIFT) * 4 + (uint32_t)((n - 1) >> (shift - 2)) - 3;
    return class < CLASSES ? class : LARGE;
}

static struct head *head_of(void *p)
{
    return (struct head *)((char *)p - HEAD);
}

void *recycler_malloc(size_t n)
{
    uint32_t class = class_of(n);
    struct head *h = class == LARGE ? NULL : lists[class].first;
    if (h) {
        lists[class].first = h->next;
        lists[class].n--;
        return (char *)h + HEAD;
    }
    if (n > SIZE_MAX - HEAD)
        return NULL;
    h = malloc(HEAD + (class == LARGE ? n : class_bytes(class)));
    if (!h)
        return NULL;
    h->class = (uint8_t) class;
    return (char *)h + HEAD;
}

static int is_kept(uint32_t class)
{
#if defined(WEIR_SANITIZED) || defined(WEIR_ARENA_EMULATE)
    (void)class;
    return 0;
#else
    return class != LARGE && (lists[class].n + 1) * class_bytes(class) <= KEPT_BYTES;
#endif
}

void recycler_free(void *p)
{
    if (!p)
        return;
    struct head *h = head_of(p);
    uint32_t class = h->class;
    if (!is_kept(class)) {
        free(h);
        return;
    }
    h->next = lists[class].first;
    lists[class].first = h;
    lists[class].n++;
}

void *recycler_realloc(void *p, size_t n)
{
    if (!p)
        return recycler_malloc(n);
    struct head *h = head_of(p);
    if (h->class == LARGE) {
        struct head *more = n <= SIZE_MAX - HEAD ? realloc(h, HEAD + n) : NULL;
        return more ? (char *)more + HEAD : NULL;
    }
    size_t had = class_bytes(h->class);
    if (n <= had)
        return p;
    void *more = recycler_malloc(n);
    if (!more)
        return NULL;
    memcpy(more, p, had);
    recycler_free(p);
    return more;
}

void *recycler_calloc(size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    void *p = recycler_malloc(n * size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

char *recycler_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = recycler_malloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}
