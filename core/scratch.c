/* Memory of a call's lifetime. Owns one arena and a stack of writers, both for as long as the worker lives. */
#include "scratch.h"

#include <stdlib.h>

enum { SCRATCH_OUTS = 16, SCRATCH_OUT_KEEP = 64 * 1024 };

static struct arena *arena;
static struct weir_out outs[SCRATCH_OUTS];
static uint32_t n_outs;

struct arena *scratch_arena(void)
{
    if (!arena)
        arena = arena_new();
    return arena;
}

struct scratch scratch_enter(void)
{
    return (struct scratch){ arena_mark(scratch_arena()), n_outs };
}

void scratch_leave(struct scratch before)
{
    while (n_outs > before.outs)
        out_reset(&outs[--n_outs], SCRATCH_OUT_KEEP);
    arena_rollback(arena, before.mark);
}

struct weir_out *scratch_out(void)
{
    return n_outs < SCRATCH_OUTS ? &outs[n_outs++] : NULL;
}

void scratch_free(void)
{
    for (uint32_t i = 0; i < SCRATCH_OUTS; i++)
        out_free(&outs[i]);
    arena_free(arena);
    arena = NULL;
    n_outs = 0;
}
