/* Maps by table: the core's own (struct field) and those of plugins (struct weir_option). Both fill a struct, apply the
 * defaults that the table names, and tell every mistake and every unknown key.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config_read.h"

bool node_is(struct reader *r, const char *name, const struct tree_node *node, enum tree_type type)
{
    static const char *const names[] = { [TREE_SCALAR] = "one value", [TREE_LIST] = "a list", [TREE_MAP] = "a map" };
    if (node->type == type)
        return true;
    mistake(r, node, "%s must be %s, not %s", name, names[type], tree_is_null(node) ? "empty" : names[node->type]);
    return false;
}

bool table_has(const struct field *table, struct weir_str name)
{
    for (; table && table->name; table++)
        if (weir_is(name, table->name))
            return true;
    return false;
}

static bool options_have(const struct weir_option *options, struct weir_str name)
{
    for (; options && options->name; options++)
        if (weir_is(name, options->name))
            return true;
    return false;
}

static void tell_unknown(struct reader *r, const struct tree_node *map, const struct field *table,
                         const struct weir_option *options)
{
    for (uint32_t i = 0; i < map->n; i++) {
        const struct tree_node *key = map->members[i].key;
        struct suggestion near;
        if (table_has(table, key->text) || options_have(options, key->text))
            continue;
        suggestion_begin(&near, key->text.p);
        for (const struct field *f = table; f && f->name; f++)
            suggestion_offer(&near, f->name);
        for (const struct weir_option *o = options; o && o->name; o++)
            suggestion_offer(&near, o->name);
        mistake(r, key, "%s%sunknown setting \"%.80s\"%s", r->where ? r->where : "", r->where ? ": " : "", key->text.p,
                suggestion_text(r, &near));
    }
}

/* ---- the core's tables ---- */

typedef int (*read_int_fn)(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to);

static void read_u32(struct reader *r, read_int_fn read, const struct value_rule *rule, const struct tree_node *node,
                     void *to)
{
    int64_t value = 0;
    if (read(r, rule, node, &value) == 0)
        *(uint32_t *)to = (uint32_t)value;
}

static void read_int(struct reader *r, const struct field *f, const struct value_rule *rule,
                     const struct tree_node *node, void *to)
{
    int64_t value = 0;
    switch (f->type) {
    case FIELD_MS:
        read_u32(r, value_duration, rule, node, to);
        break;
    case FIELD_U32:
        read_u32(r, value_int, rule, node, to);
        break;
    case FIELD_SIZE32:
        read_u32(r, value_size, rule, node, to);
        break;
    case FIELD_SIZE64:
        if (value_size(r, rule, node, &value) == 0)
            *(uint64_t *)to = (uint64_t)value;
        break;
    case FIELD_I64:
    default:
        value_int(r, rule, node, to);
        break;
    }
}

static void read_field(struct reader *r, const struct field *f, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { f->name, f->min, f->max, f->choices };
    void *to = (char *)base + f->offset;
    int32_t choice;
    switch (f->type) {
    case FIELD_STRING:
        value_string(r, &rule, node, to);
        break;
    case FIELD_BOOL:
        value_bool(r, &rule, node, to);
        break;
    case FIELD_NUMBER:
        value_number(r, &rule, node, to);
        break;
    case FIELD_CHOICE:
        if (value_choice(r, &rule, node, &choice) == 0)
            *(int *)to = choice;
        break;
    case FIELD_FILE:
        value_file(r, &rule, node, false, to);
        break;
    case FIELD_STRS:
        value_strs(r, &rule, node, to, (uint32_t *)(void *)((char *)base + f->offset_n));
        break;
    case FIELD_TABLE:
        if (node_is(r, f->name, node, TREE_MAP))
            table_read(r, f->table, NULL, node, to);
        break;
    case FIELD_OWN:
        f->read(r, node, base);
        break;
    case FIELD_ELSEWHERE:
        break;
    default:
        read_int(r, f, &rule, node, to);
        break;
    }
}

static const struct tree_node *fallback_node(struct tree_node *node, const char *text)
{
    *node =
        (struct tree_node){ .type = TREE_SCALAR, .is_plain = true, .file = "", .weight = 1, .text = weir_cstr(text) };
    return node;
}

void table_read(struct reader *r, const struct field *table, const struct weir_option *also,
                const struct tree_node *map, void *base)
{
    struct tree_node node;
    for (const struct field *f = table; f->name; f++) {
        const struct tree_node *value = tree_get(map, f->name);
        if (value && !tree_is_null(value))
            read_field(r, f, value, base);
        else if (f->fallback)
            read_field(r, f, fallback_node(&node, f->fallback), base);
        else if (f->type == FIELD_TABLE)
            table_read(r, f->table, NULL, NULL, (char *)base + f->offset);
    }
    if (map)
        tell_unknown(r, map, table, also);
}

/* ---- plugins' tables ---- */

static size_t option_bytes(uint16_t type)
{
    static const uint8_t bytes[] = {
        0, sizeof(char *), 8, 8, sizeof(bool), 8, 8, 4, sizeof(char *), sizeof(char *), sizeof(char *), sizeof(char *)
    };
    return type < sizeof bytes ? bytes[type] : 0;
}

static void read_option(struct reader *r, const struct weir_option *o, const struct tree_node *node, void *to)
{
    const struct value_rule rule = { o->name, o->min, o->max, o->choices ? o->choices : "" };
    uint32_t n;
    switch (o->type) {
    case WEIR_OPTION_STRING:
    case WEIR_OPTION_SECRET:
        value_string(r, &rule, node, to);
        break;
    case WEIR_OPTION_INT:
        value_int(r, &rule, node, to);
        break;
    case WEIR_OPTION_NUMBER:
        value_number(r, &rule, node, to);
        break;
    case WEIR_OPTION_BOOL:
        value_bool(r, &rule, node, to);
        break;
    case WEIR_OPTION_DURATION:
        value_duration(r, &rule, node, to);
        break;
    case WEIR_OPTION_SIZE:
        value_size(r, &rule, node, to);
        break;
    case WEIR_OPTION_CHOICE:
        value_choice(r, &rule, node, to);
        break;
    case WEIR_OPTION_LIST:
        value_list(r, &rule, node, to, &n);
        break;
    case WEIR_OPTION_JSON:
        value_json(r, &rule, node, to);
        break;
    case WEIR_OPTION_FILE:
    default:
        value_file(r, &rule, node, o->flags & WEIR_OPTION_WITH_FOLDER, to);
        break;
    }
}

/* What a plugin finds where nothing was said and its table has no default: never NULL where it expects a pointer. */
static void put_nothing(const struct weir_option *o, void *to)
{
    static const char *const none[] = { NULL };
    if (o->type == WEIR_OPTION_STRING || o->type == WEIR_OPTION_SECRET || o->type == WEIR_OPTION_FILE)
        *(const char **)to = "";
    else if (o->type == WEIR_OPTION_JSON)
        *(const char **)to = "null";
    else if (o->type == WEIR_OPTION_LIST)
        *(const char *const **)to = none;
}

/* A default is written as it would be in the configuration. */
static void read_fallback(struct reader *r, const struct weir_option *o, void *to)
{
    struct tree_listener listener = errors_listener(r);
    struct tree_node node;
    bool is_tree = o->type == WEIR_OPTION_LIST || o->type == WEIR_OPTION_JSON;
    const struct tree_node *tree =
        is_tree && o->fallback[0] ? tree_parse(r->a, o->name, weir_cstr(o->fallback), &listener) : NULL;
    if (is_tree && !tree)
        return;
    read_option(r, o, tree ? tree : fallback_node(&node, o->fallback), to);
}

/* A table that points outside its own struct is a plugin's bug, and would be ours if we wrote there. */
static bool fits(struct reader *r, const struct plugin *p, const struct weir_option *o, const struct tree_node *at)
{
    size_t n = option_bytes(o->type);
    if (n && o->offset <= p->desc.config_size && n <= p->desc.config_size - o->offset && o->offset % n == 0)
        return true;
    mistake(r, at,
            "the plugin \"%s\" has a wrong table: its option \"%s\" has an unknown type or lies outside its struct: "
            "rebuild it",
            p->desc.name, o->name);
    return false;
}

static void tell_unknown_options(struct reader *r, const struct plugin *p, const struct tree_node *map,
                                 const struct field *except)
{
    if (except || !map) /* the caller told them, with his own names */
        return;
    const char *before = r->where;
    r->where = arena_printf(r->a, "\"%s\"", p->desc.name).p;
    tell_unknown(r, map, NULL, p->desc.options);
    r->where = before;
}

void *options_read(struct reader *r, const struct plugin *p, const struct tree_node *map, const struct field *except,
                   const struct tree_node *at)
{
    void *base = arena_zalloc(r->a, p->desc.config_size + 1);
    tell_unknown_options(r, p, map, except);
    if (!base || !p->desc.options)
        return NULL;
    for (const struct weir_option *o = p->desc.options; o->name; o++) {
        if (!fits(r, p, o, at))
            continue;
        void *to = (char *)base + o->offset;
        const struct tree_node *value = table_has(except, weir_cstr(o->name)) ? NULL : tree_get(map, o->name);
        bool is_said = value && (!tree_is_null(value) || o->type == WEIR_OPTION_JSON);
        put_nothing(o, to);
        if (is_said)
            read_option(r, o, value, to);
        else if (o->flags & WEIR_OPTION_REQUIRED)
            mistake(r, at, "\"%s\" needs the setting \"%s\": %s", p->desc.name, o->name, o->help ? o->help : "");
        else if (o->fallback)
            read_fallback(r, o, to);
    }
    return base;
}
