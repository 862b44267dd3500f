/* The catalogue: what is known of providers by name (providers/catalogue.yaml), so that a configuration only needs a key.
 *
 * An entry of it has the settings of a provider entry and some that tell about it. Laid under the user's own entry they give
 * whatever that one doesn't say: here the two become one map, and the rest of the reader knows of no catalogue.
 */
#include <stdlib.h>

#include "config_read.h"

enum { EXTRA_MEMBERS = 2 };

/* What an entry tells about itself. */
static const char *const about[] = { "title", "env", "places", "docs", "verified", "note", NULL };

static bool is_about(struct weir_str name)
{
    for (const char *const *a = about; *a; a++)
        if (weir_is(name, *a))
            return true;
    return false;
}

void catalogue_read(struct reader *r)
{
    char why[600] = "";
    struct tree_listener listener = errors_listener(r);
    struct weir_str path = arena_printf(r->a, "%s/providers/catalogue.yaml", r->library);
    if (!path.p || !files_exist(r->files, path.p))
        return;
    struct weir_str text = files_read(r->files, path.p, why, sizeof why);
    if (!text.p)
        mistake(r, NULL, "%s", why);
    else
        r->c->catalogue = tree_parse(r->a, path.p, text, &listener);
}

/* ---- nodes of our own ---- */

static const struct tree_node *make_scalar(struct reader *r, const struct tree_node *at, struct weir_str text)
{
    struct tree_node *node = arena_alloc(r->a, sizeof *node);
    if (node)
        *node = (struct tree_node){
            .type = TREE_SCALAR, .line = at->line, .column = at->column, .file = at->file, .weight = 1, .text = text
        };
    return node;
}

static bool has(const struct tree_node *map, const char *name)
{
    const struct tree_node *value = tree_get(map, name);
    return value && !tree_is_null(value);
}

/* ---- the address ---- */

/* The value of {name}: what the user's `with` says, else what the catalogue says where to look. NULL after telling. */
static const char *place_value(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                               const struct tree_node *entry, const char *name)
{
    const struct tree_node *node = tree_get(tree_get(own, "with"), name),
                           *place = tree_get(tree_get(entry, "places"), name);
    struct weir_str text;
    if (!node && place)
        node = make_scalar(r, at, place->text);
    if (!node) {
        mistake(r, at, "%s: its address needs `with: { %s: … }`", r->where, name);
        return NULL;
    }
    if (value_text(r, name, node, &text) != VALUE_OK)
        return NULL;
    if (strncmp(text.p, "https://", 8) == 0) /* as some name their host */
        text = arena_copy(r->a, (struct weir_str){ text.p + 8, strcspn(text.p + 8, "/") });
    bool is_fine = text.n && !text.p[strcspn(text.p, " \t\r\n/?#@\\\"")];
    if (!is_fine)
        mistake(
            r, node,
            "%s: `%s` is a part of an address: it must not be empty and has no blanks, \"/\", \"?\", \"#\" or \"@\"",
            r->where, name);
    return is_fine ? text.p : NULL;
}

/* "https://{resource}.example.com" with its places filled in; NULL: one of them is not known. */
static const char *fill_places(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                               const struct tree_node *entry, const char *url)
{
    const char *open = strchr(url, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!close)
        return url;
    const char *name = arena_printf(r->a, "%.*s", (int)(close - open - 1), open + 1).p;
    const char *value = name ? place_value(r, at, own, entry, name) : NULL;
    const char *rest = fill_places(r, at, own, entry, close + 1);
    return value && rest ? arena_printf(r->a, "%.*s%s%s", (int)(open - url), url, value, rest).p : NULL;
}

/* ---- the key ---- */

/* The first of its names that is set in the environment, else the first: so that the message names it. */
static const struct tree_node *key_of(struct reader *r, const struct tree_node *at, const struct tree_node *entry)
{
    const struct tree_node *env = tree_get(entry, "env"), *chosen = NULL;
    for (uint32_t i = 0; env && env->type == TREE_LIST && i < env->n; i++) {
        const char *value = getenv(env->items[i]->text.p);
        if (!chosen || (value && *value && !getenv(chosen->text.p)))
            chosen = env->items[i];
    }
    return chosen ? make_scalar(r, at, arena_printf(r->a, "env:%s", chosen->text.p)) : NULL;
}

/* Who says nothing of keys has the key in the environment. */
static bool wants_key(const struct tree_node *own)
{
    return !has(own, "key") && !has(own, "keys") && !has(own, "auth");
}

/* ---- one map of two ---- */

static bool is_wanted(const struct tree_node *own, const struct tree_member *m)
{
    if (is_about(m->key->text) || has(own, m->key->text.p))
        return false;
    /* "needs no key" of a server at home; with a key it does */
    return !(weir_is(m->key->text, "auth") && weir_is(m->value->text, "none") && !wants_key(own));
}

static void add(struct tree_node *to, struct tree_member *members, const struct tree_node *key,
                const struct tree_node *value)
{
    if (key && value)
        members[to->n++] = (struct tree_member){ key, value };
}

static const struct tree_node *value_for(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                                         const struct tree_node *entry, const struct tree_member *m)
{
    if (!weir_is(m->key->text, "base_url"))
        return m->value;
    const char *url = fill_places(r, at, own, entry, m->value->text.p);
    return url ? make_scalar(r, m->value, weir_cstr(url)) : NULL;
}

static const struct tree_node *join(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                                    const struct tree_node *entry)
{
    struct tree_node *node = arena_zalloc(r->a, sizeof *node);
    struct tree_member *members = arena_alloc(r->a, (own->n + entry->n + EXTRA_MEMBERS) * sizeof *members);
    if (!node || !members)
        return own;
    *node = (struct tree_node){ .type = TREE_MAP,
                                .line = own->line,
                                .column = own->column,
                                .file = own->file,
                                .weight = own->weight + entry->weight,
                                .members = members };
    for (uint32_t i = 0; i < own->n; i++)
        add(node, members, own->members[i].key, own->members[i].value);
    for (uint32_t i = 0; i < entry->n; i++)
        if (is_wanted(own, &entry->members[i]))
            add(node, members, entry->members[i].key, value_for(r, at, own, entry, &entry->members[i]));
    if (wants_key(own))
        add(node, members, make_scalar(r, at, WEIR_LIT("key")), key_of(r, at, entry));
    return node;
}

const char *catalogue_suggestion(struct reader *r, const char *name)
{
    struct suggestion near;
    suggestion_begin(&near, name);
    for (uint32_t i = 0; r->c->catalogue && i < r->c->catalogue->n; i++)
        suggestion_offer(&near, r->c->catalogue->members[i].key->text.p);
    return suggestion_text(r, &near);
}

static void tell_unknown(struct reader *r, const struct tree_node *at, const char *name)
{
    mistake(r, at, "%s: the catalogue knows no \"%.64s\"%s; `weir models --providers` lists what it knows", r->where,
            name, catalogue_suggestion(r, name));
}

/* Which entry is meant: the one named by `catalogue`; else, where no dialect is said, that of the provider's own name. */
static const struct tree_node *find_entry(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                                          const char **name)
{
    const struct tree_node *said = tree_get(own, "catalogue");
    if (said && (weir_is(said->text, "none") || tree_is_null(said)))
        return NULL;
    if (!said && has(own, "dialect"))
        return NULL;
    *name = said && said->text.p ? said->text.p : at->text.p;
    const struct tree_node *entry = tree_get(r->c->catalogue, *name);
    if (said && !entry)
        tell_unknown(r, said, *name);
    return entry;
}

const struct tree_node *catalogue_apply(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                                        const char **name)
{
    static const struct tree_node nothing = { .type = TREE_MAP };
    *name = NULL;
    if (tree_is_null(own)) {
        struct tree_node *empty = arena_alloc(r->a, sizeof *empty);
        if (!empty)
            return own;
        *empty = nothing;
        empty->file = at->file;
        empty->line = at->line;
        own = empty;
    }
    const struct tree_node *entry = own->type == TREE_MAP ? find_entry(r, at, own, name) : NULL;
    const struct tree_node *dialect = tree_get(own, "dialect");
    if (!entry) {
        *name = NULL;
        return own;
    }
    if (!dialect || weir_eq(dialect->text, tree_get(entry, "dialect")->text))
        return join(r, at, own, entry);
    mistake(r, dialect, "%s: the catalogue's \"%s\" speaks %s; leave `dialect` or `catalogue` out", r->where, *name,
            tree_get(entry, "dialect")->text.p);
    *name = NULL;
    return own;
}
