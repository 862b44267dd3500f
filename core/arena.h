/* Arenas: memory by lifetime. A request, an attempt and a call in flight each own one; all of it is freed at once.
 *
 * Blocks are recycled through a per-process free list, so a request in steady state calls malloc for nothing small.
 * Built with -DWEIR_ARENA_EMULATE every allocation is its own malloc, so that sanitizers and valgrind see each overrun.
 * Allocation failure returns NULL and sticks: arena_failed() may be asked once at the end.
 */
#ifndef WEIR_CORE_ARENA_H
#define WEIR_CORE_ARENA_H

#include <stdarg.h>

#include <weir/base.h>

struct arena;

struct arena *arena_new(void);
struct arena *arena_new_of(size_t bytes); /* what it will probably need: the size of its first block */
void arena_free(struct arena *a); /* NULL is allowed */
/* 16-byte aligned, not cleared. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
/* A copy with a terminating NUL behind it (not counted). */
struct weir_str arena_copy(struct arena *a, struct weir_str s);
struct weir_str arena_vprintf(struct arena *a, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
struct weir_str arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool arena_failed(const struct arena *a);
/* Bytes held, for the memory accounting; live arenas in this process, for the tests' "nothing left behind". */
size_t arena_size(const struct arena *a);
size_t arena_live(void);

/* Opaque mark; everything allocated after it is freed by arena_rollback (call-lifetime scratch memory). */
struct arena_mark {
    void *block;
    size_t used;
};
struct arena_mark arena_mark(struct arena *a);
void arena_rollback(struct arena *a, struct arena_mark mark);

#endif
