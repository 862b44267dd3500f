/* Memory of a call's lifetime. Owns one arena and a stack of writers, both for as long as the worker lives. */
#include "scratch.h"

#include <stdlib.h>

enum { SCRATCH_OUTS = 16, SCRATCH_OUT_KEEP = 64 * 1024 };

static struct arena *arena;
static struct weir_out outs[SCRATCH_OUTS];
static struct weir_out **more; /* those that one call takes beyond: a codec may ask for one for each block of a long request */
static uint32_t n_outs, more_cap;

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

static void give_back(uint32_t i)
{
    if (i < SCRATCH_OUTS) {
        out_reset(&outs[i], SCRATCH_OUT_KEEP);
        return;
    }
    out_free(more[i - SCRATCH_OUTS]);
    free(more[i - SCRATCH_OUTS]);
}

void scratch_leave(struct scratch before)
{
    while (n_outs > before.outs)
        give_back(--n_outs);
    arena_rollback(arena, before.mark);
}

static struct weir_out *one_more(void)
{
    uint32_t i = n_outs - SCRATCH_OUTS;
    if (i == more_cap) {
        uint32_t cap = more_cap ? 2 * more_cap : 64;
        struct weir_out **list = realloc(more, cap * sizeof(*list));
        if (!list)
            return NULL;
        more = list;
        more_cap = cap;
    }
    more[i] = malloc(sizeof(*more[i]));
    if (!more[i])
        return NULL;
    out_init(more[i]);
    n_outs++;
    return more[i];
}

struct weir_out *scratch_out(void)
{
    return n_outs < SCRATCH_OUTS ? &outs[n_outs++] : one_more();
}

void scratch_free(void)
{
    for (uint32_t i = 0; i < SCRATCH_OUTS; i++)
        out_free(&outs[i]);
    free(more);
    more = NULL;
    more_cap = 0;
    arena_free(arena);
    arena = NULL;
    n_outs = 0;
}
