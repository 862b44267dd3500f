/* The matcher behind string.find and its family, apart for its tests: see pattern.c. */
#ifndef WEIR_LUA_PATTERN_H
#define WEIR_LUA_PATTERN_H

#include "engine.h"

enum { PATTERN_CAPTURES = 32, PATTERN_OPEN = -1, PATTERN_POSITION = -2 };

struct match {
    lua_State *L;
    const char *begin, *end; /* the subject */
    const char *p, *p_end;   /* the pattern, behind its '^' */
    uint64_t steps;
    int depth, level;
    bool is_anchored;
    struct {
        const char *p;
        ptrdiff_t n; /* or PATTERN_OPEN, PATTERN_POSITION */
    } capture[PATTERN_CAPTURES];
};

void pattern_open(struct match *m, lua_State *L, struct weir_str s, struct weir_str p);
/* Where the match that begins at s ends; NULL: none does. */
const char *pattern_at(struct match *m, const char *s);

#endif
