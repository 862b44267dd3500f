/* The tables of what policies can use, as functions for Lua. What editors and the reference know of them is in
 * definitions.c; both read the same tables. */
#include "engine.h"

void bindings_set(lua_State *L, const struct binding *list)
{
    for (const struct binding *b = list; b->name; b++) {
        if (strncmp(b->type, "fun(", 4) != 0 && b->type[0] != '(')
            continue;
        if (b->fn)
            lua_pushcfunction(L, b->fn);
        else
            sandbox_push_prelude(L, b->name);
        lua_setfield(L, -2, b->name);
    }
}
