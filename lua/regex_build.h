/* Between the two halves of the compiler of regular expressions: regex.c makes the tree, regex_code.c the program. */
#ifndef WEIR_LUA_REGEX_BUILD_H
#define WEIR_LUA_REGEX_BUILD_H

#include "regex.h"

enum node_type { N_EMPTY, N_CHAR, N_ANY, N_CLASS, N_CAT, N_ALT, N_REPEAT, N_GROUP, N_ASSERT };

struct node {
    uint8_t type, detail;
    bool is_lazy;
    int16_t a, b, min, max; /* max -1: no end */
    uint32_t value;
};

struct regex_build {
    const char *begin, *p, *end, *error;
    bool is_nocase, is_multiline, is_dotall;
    int depth, n_nodes, n_groups;
    struct node nodes[REGEX_NODES];
    int n_code, n_classes, n_ranges;
    struct regex_instruction code[REGEX_INSTRUCTIONS];
    struct regex_class classes[REGEX_CLASSES];
    uint32_t ranges[REGEX_RANGES][2];
};

/* Both return -1. The first error stays. */
int regex_fail(struct regex_build *b, const char *error);
int regex_emit_all(struct regex_build *b, int root);

#endif
