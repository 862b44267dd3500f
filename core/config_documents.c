/* The main file and what it includes, as one map. Lists (routes, keys, plugins, listen) are joined, maps of named
 * things (providers, models, secrets) too; everything else may be said once. */
#include <stdio.h>
#include <stdlib.h>

#include "config_read.h"

enum { DOCUMENTS_MAX = 200, MEMBERS_MAX = 64 };

struct documents {
    const struct tree_node *list[DOCUMENTS_MAX]; /* maps, in order */
    const char *paths[DOCUMENTS_MAX]; /* absolute */
    uint32_t n, n_paths;
};

static void read_includes(struct reader *r, struct documents *d, const struct tree_node *map);

/* at: the include that named it; NULL: the main file. */
static void read_document(struct reader *r, struct documents *d, const char *path, const char *shown,
                          const struct tree_node *at)
{
    char why[512] = "";
    struct tree_listener listener = errors_listener(r);
    for (uint32_t i = 0; i < d->n_paths; i++)
        if (strcmp(d->paths[i], path) == 0) {
            mistake(r, at, "%s is included twice", shown);
            return;
        }
    if (d->n_paths == DOCUMENTS_MAX) {
        mistake(r, at, "more than %d files are included", DOCUMENTS_MAX);
        return;
    }
    d->paths[d->n_paths++] = path;
    struct weir_str text = files_read(r->files, path, why, sizeof why);
    if (!text.p) {
        if (at)
            mistake(r, at, "%s", why);
        else
            mistake(r, NULL,
                    "the configuration can't be read: %s: name it with -c, or make it (share/weir/weir.yaml is a first "
                    "one)",
                    why);
        return;
    }
    const struct tree_node *root = tree_parse(r->a, shown, text, &listener);
    if (root && node_is(r, "a configuration", root, TREE_MAP)) {
        d->list[d->n++] = root;
        read_includes(r, d, root);
    }
}

static void include_pattern(struct reader *r, struct documents *d, const struct tree_node *node, const char *pattern)
{
    uint32_t n;
    const char *absolute = path_absolute(r, node->file, pattern);
    const char *const *names = files_glob(r->files, absolute, &n);
    if (n == 0 && !strpbrk(pattern, "*?["))
        mistake(r, node, "include: there is no file %s", absolute);
    for (uint32_t i = 0; i < n; i++)
        read_document(r, d, names[i], names[i], node);
}

static void read_includes(struct reader *r, struct documents *d, const struct tree_node *map)
{
    const struct tree_node *include = tree_get(map, "include");
    const struct value_rule rule = { .name = "include" };
    const char *const *patterns;
    uint32_t n;
    if (!include || value_list(r, &rule, include, &patterns, &n))
        return;
    for (uint32_t i = 0; i < n; i++)
        include_pattern(r, d, include->type == TREE_LIST ? include->items[i] : include, patterns[i]);
}

/* ---- joining ---- */

static bool is_joined(const struct tree_node *key)
{
    static const char *const names[] = { "routes",    "keys",   "plugins", "listen",
                                         "providers", "models", "secrets", "include" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (weir_is(key->text, names[i]))
            return true;
    return false;
}

static const struct tree_member *find_member(const struct tree_member *members, uint32_t n, struct weir_str key)
{
    for (uint32_t i = 0; i < n; i++)
        if (weir_eq(members[i].key->text, key))
            return &members[i];
    return NULL;
}

static void tell_twice(struct reader *r, const struct tree_node *second, const struct tree_node *first)
{
    mistake(r, second, "\"%.80s\" is written twice: the first is at %s:%u", second->text.p, first->file, first->line);
}

static const struct tree_node *join_maps(struct reader *r, const struct tree_node *a, const struct tree_node *b)
{
    struct tree_member *members = arena_alloc(r->a, (a->n + b->n + 1) * sizeof *members);
    struct tree_node *node = arena_alloc(r->a, sizeof *node);
    if (!members || !node)
        return a;
    *node = *a;
    if (a->n)
        memcpy(members, a->members, a->n * sizeof *members);
    for (uint32_t i = 0; i < b->n; i++) {
        const struct tree_member *first = find_member(members, node->n, b->members[i].key->text);
        if (first)
            tell_twice(r, b->members[i].key, first->key);
        else
            members[node->n++] = b->members[i];
    }
    node->members = members;
    return node;
}

static uint32_t put_items(const struct tree_node **to, uint32_t n, const struct tree_node *from)
{
    for (uint32_t i = 0; i < (from->type == TREE_LIST ? from->n : 1); i++)
        to[n++] = from->type == TREE_LIST ? from->items[i] : from;
    return n;
}

static const struct tree_node *join_lists(struct reader *r, const struct tree_node *a, const struct tree_node *b)
{
    const struct tree_node **items = arena_alloc(r->a, (a->n + b->n + 2) * sizeof(void *));
    struct tree_node *node = arena_alloc(r->a, sizeof *node);
    if (!items || !node)
        return a;
    *node = *a;
    node->type = TREE_LIST;
    node->n = put_items(items, put_items(items, 0, a), b);
    node->items = items;
    return node;
}

static void join_member(struct reader *r, struct tree_member *members, uint32_t *n, const struct tree_member *m)
{
    struct tree_member *first = (struct tree_member *)(uintptr_t)find_member(members, *n, m->key->text);
    if (!first && *n < MEMBERS_MAX)
        members[(*n)++] = *m;
    else if (!first)
        mistake(r, m->key, "more than %d settings at the top level", MEMBERS_MAX);
    else if (tree_is_null(first->value))
        *first = *m;
    else if (tree_is_null(m->value))
        return;
    else if (!is_joined(m->key) || (first->value->type == TREE_MAP) != (m->value->type == TREE_MAP))
        tell_twice(r, m->key, first->key);
    else
        first->value =
            m->value->type == TREE_MAP ? join_maps(r, first->value, m->value) : join_lists(r, first->value, m->value);
}

bool documents_read(struct reader *r)
{
    struct documents *d = calloc(1, sizeof *d);
    struct tree_node *root = arena_zalloc(r->a, sizeof *root);
    struct tree_member *members = arena_zalloc(r->a, MEMBERS_MAX * sizeof *members);
    if (d && root && members) {
        read_document(r, d, path_absolute(r, NULL, r->c->path), r->c->path, NULL);
        *root = (struct tree_node){ .type = TREE_MAP, .line = 1, .column = 1, .file = r->c->path, .members = members };
        for (uint32_t i = 0; i < d->n; i++)
            for (uint32_t k = 0; k < d->list[i]->n; k++)
                join_member(r, members, &root->n, &d->list[i]->members[k]);
        r->root = d->n ? root : NULL;
    }
    free(d);
    return r->root != NULL;
}
