/* Arenas. Small allocations are cut from blocks of 1 to 64 KiB that are chained, newest first, and recycled through
 * free lists; large ones are malloc'ed, with their descriptor in a block, so that one position in the chain of blocks
 * says for both what came before a mark and what after. The arena itself lives at the beginning of its first block.
 *
 * The free lists belong to the process and are not locked: arenas are used by one thread, the worker's.
 */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGN 16

static size_t live_count;

#ifdef WEIR_ARENA_EMULATE

struct piece {
    struct piece *older;
    size_t size;
};

_Static_assert(sizeof(struct piece) % ALIGN == 0, "what follows the header must be aligned");

struct arena {
    struct piece *newest;
    size_t size;
    bool failed;
};

struct arena *arena_new_of(size_t bytes)
{
    struct arena *a = calloc(1, sizeof *a);
    (void)bytes;
    if (a)
        live_count++;
    return a;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct piece *piece = n < SIZE_MAX / 2 ? malloc(sizeof *piece + n) : NULL;
    if (!piece) {
        a->failed = true;
        return NULL;
    }
    *piece = (struct piece){ a->newest, n };
    a->newest = piece;
    a->size += n;
    return piece + 1;
}

struct arena_mark arena_mark(struct arena *a)
{
    return (struct arena_mark){ a->newest, 0 };
}

void arena_rollback(struct arena *a, struct arena_mark mark)
{
    while (a->newest != mark.block) {
        struct piece *piece = a->newest;
        a->newest = piece->older;
        a->size -= piece->size;
        free(piece);
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    arena_rollback(a, (struct arena_mark){ NULL, 0 });
    live_count--;
    free(a);
}

#else

#define BLOCK_MIN ((size_t)1024)
#define BLOCK_CLASSES 7                       /* 1, 2, 4 … 64 KiB */
#define LARGE_MIN ((size_t)2048)              /* from here on an allocation is a malloc of its own */
#define RECYCLE_MAX ((size_t)4 * 1024 * 1024) /* bytes kept in the free lists; beyond it blocks go back to malloc */

struct block {
    struct block *older;
    uint32_t serial; /* position in the arena's chain, from 0 */
    uint32_t class;
    size_t used; /* from the block's beginning, this header included */
};

#define BLOCK_HEADER ((sizeof(struct block) + ALIGN - 1) / ALIGN * ALIGN)

struct large {
    struct large *older;
    void *p;
    size_t size;
    /* where this descriptor stands in the chain of blocks */
    uint32_t serial;
    uint32_t offset;
};

struct arena {
    struct block *newest;
    struct large *newest_large;
    size_t size;
    bool failed;
};

static struct block *recycled[BLOCK_CLASSES];
static size_t recycled_size;

static size_t round_up(size_t n)
{
    return (n + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
}

/* malloc's own header counts too, or each block would take a second page. */
static size_t block_size(uint32_t class)
{
    return (BLOCK_MIN << class) - ALIGN;
}

static struct block *block_get(uint32_t class)
{
    struct block *block = recycled[class];
    if (block) {
        recycled[class] = block->older;
        recycled_size -= block_size(class);
    } else {
        block = malloc(block_size(class));
        if (!block)
            return NULL;
    }
    *block = (struct block){ NULL, 0, class, BLOCK_HEADER };
    return block;
}

static void block_put(struct block *block)
{
    size_t size = block_size(block->class);
    if (recycled_size + size > RECYCLE_MAX) {
        free(block);
        return;
    }
    block->older = recycled[block->class];
    recycled[block->class] = block;
    recycled_size += size;
}

static uint32_t class_for(size_t n)
{
    uint32_t class = 0;
    while (class < BLOCK_CLASSES - 1 && (BLOCK_MIN << class) < n)
        class++;
    return class;
}

struct arena *arena_new_of(size_t bytes)
{
    struct block *first = block_get(class_for(bytes));
    if (!first)
        return NULL;
    struct arena *a = (struct arena *)((char *)first + first->used);
    first->used += round_up(sizeof *a);
    *a = (struct arena){ first, NULL, block_size(first->class), false };
    live_count++;
    return a;
}

/* The next block is as large as a quarter of what the arena holds, so that a small request stays small; and large enough. */
static bool grow(struct arena *a, size_t rounded)
{
    size_t wanted = rounded + BLOCK_HEADER + ALIGN;
    struct block *block = block_get(class_for(wanted > a->size / 4 ? wanted : a->size / 4));
    if (!block) {
        a->failed = true;
        return false;
    }
    block->older = a->newest;
    block->serial = a->newest->serial + 1;
    a->newest = block;
    a->size += block_size(block->class);
    return true;
}

static void *cut(struct arena *a, size_t rounded)
{
    if (rounded > block_size(a->newest->class) - a->newest->used && !grow(a, rounded))
        return NULL;
    struct block *block = a->newest;
    void *p = (char *)block + block->used;
    block->used += rounded;
    return p;
}

static void *alloc_large(struct arena *a, size_t n)
{
    struct large *large = cut(a, round_up(sizeof *large));
    void *p = large && n < SIZE_MAX / 2 ? malloc(n) : NULL;
    if (!p) {
        a->failed = true;
        return NULL;
    }
    size_t offset = (size_t)((char *)large - (char *)a->newest);
    *large = (struct large){ a->newest_large, p, n, a->newest->serial, (uint32_t)offset };
    a->newest_large = large;
    a->size += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    return n >= LARGE_MIN ? alloc_large(a, n) : cut(a, round_up(n ? n : 1));
}

struct arena_mark arena_mark(struct arena *a)
{
    return (struct arena_mark){ a->newest, a->newest->used };
}

static void free_large_from(struct arena *a, uint32_t serial, size_t used)
{
    struct large *large = a->newest_large;
    while (large && (large->serial > serial || (large->serial == serial && large->offset >= used))) {
        a->size -= large->size;
        free(large->p);
        large = large->older;
    }
    a->newest_large = large;
}

void arena_rollback(struct arena *a, struct arena_mark mark)
{
    struct block *block = mark.block;
    free_large_from(a, block->serial, mark.used);
    while (a->newest != block) {
        struct block *newest = a->newest;
        a->newest = newest->older;
        a->size -= block_size(newest->class);
        block_put(newest);
    }
    block->used = mark.used;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    free_large_from(a, 0, 0);
    live_count--;
    for (struct block *block = a->newest, *older; block; block = older) {
        older = block->older;
        block_put(block);
    }
}

#endif

struct arena *arena_new(void)
{
    return arena_new_of(4096);
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

struct weir_str arena_copy(struct arena *a, struct weir_str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (!p) {
        a->failed = true;
        return WEIR_NONE;
    }
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct weir_str){ p, s.n };
}

struct weir_str arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (p)
        vsnprintf(p, (size_t)n + 1, format, again);
    else
        a->failed = true;
    va_end(again);
    return p ? (struct weir_str){ p, (size_t)n } : WEIR_NONE;
}

struct weir_str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct weir_str s = arena_vprintf(a, format, args);
    va_end(args);
    return s;
}

bool arena_failed(const struct arena *a)
{
    return a->failed;
}

size_t arena_size(const struct arena *a)
{
    return a->size;
}

size_t arena_live(void)
{
    return live_count;
}
