/* Memory of a call's lifetime: one arena and a few writers per worker, given back when the outermost call is over.
 *
 * Nothing that a plugin got from here may be used after its hook returned; what must live longer is copied by keep().
 */
#ifndef WEIR_CORE_SCRATCH_H
#define WEIR_CORE_SCRATCH_H

#include "arena.h"
#include "json.h"

struct scratch {
    struct arena_mark mark;
    uint32_t outs;
};

struct arena *scratch_arena(void);
/* Calls nest: each leave gives back what was taken since its enter. */
struct scratch scratch_enter(void);
void scratch_leave(struct scratch before);
/* An empty writer until the matching leave. NULL without memory. */
struct weir_out *scratch_out(void);
void scratch_free(void); /* at the end of the worker */

#endif
