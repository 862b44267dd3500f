/* YAML (and so JSON) as a tree of nodes, each with the place where it was written.
 *
 * Everything lives in the arena given to tree_parse(). Aliases make nodes shared: the tree is a graph without
 * cycles, whose size with all aliases written out is bounded.
 */
#ifndef WEIR_CORE_YAML_TREE_H
#define WEIR_CORE_YAML_TREE_H

#include "arena.h"

struct weir_out;

enum {
    TREE_BYTES_MAX = 4 * 1024 * 1024,
    TREE_DEPTH_MAX = 48,
    TREE_NODES_MAX = 100 * 1000, /* aliases written out */
};

enum tree_type { TREE_SCALAR = 1, TREE_LIST, TREE_MAP };

struct tree_node;
struct tree_member {
    const struct tree_node *key, *value; /* key: a scalar */
};

struct tree_node {
    enum tree_type type;
    bool is_plain; /* a scalar without quotes: may mean null, a boolean or a number */
    uint32_t line, column; /* from 1 */
    const char *file;
    uint32_t n; /* items or members */
    uint32_t weight; /* nodes below and including this one, aliases written out */
    struct weir_str text; /* of a scalar; NUL behind it, none inside */
    const struct tree_node *const *items;
    const struct tree_member *members;
};

/* Who hears of mistakes; text lives during the call. */
struct tree_listener {
    void (*say)(void *arg, const char *file, uint32_t line, uint32_t column, const char *text);
    void *arg;
};

/* NULL: nothing could be read. Otherwise mistakes may still have been told (duplicate keys). file: what places say; it
 * must live as long as the arena. */
const struct tree_node *tree_parse(struct arena *a, const char *file, struct weir_str text,
                                   const struct tree_listener *to);

/* The member's value; NULL if there is none, or if map is NULL or no map. */
const struct tree_node *tree_get(const struct tree_node *map, const char *name);
bool tree_is_null(const struct tree_node *node);
/* true, false, yes, no, on, off, without quotes; false: it is no boolean. */
bool tree_is_bool(const struct tree_node *node, bool *value);
/* The JSON number that an unquoted scalar stands for (its own text where that is one); n 0: it is no number. buf is for
 * numbers that have to be rewritten. */
struct weir_str tree_number(const struct tree_node *node, char buf[32]);

/* The node as JSON. scalar: what stands in a scalar's place, or NULL for the node itself (may be NULL). */
struct tree_json_options {
    const struct tree_node *(*scalar)(void *arg, const struct tree_node *node);
    void *arg;
};
void tree_put_json(const struct tree_node *node, struct weir_out *out, const struct tree_json_options *options);

#endif
