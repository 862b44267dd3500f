/* The reader of YAML: libyaml's events become nodes that know where they were written.
 *
 * Bounded in every direction: bytes, depth, and nodes with all aliases written out (a "billion laughs" file is
 * refused where it passes the bound). Nodes live in the caller's arena; what is growing is malloc'ed and freed
 * before tree_parse() returns.
 */
#include "yaml_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "bytes.h"

struct anchor {
    struct anchor *next;
    struct weir_str name;
    const struct tree_node *node; /* NULL: it is open, so an alias would contain itself */
};

struct reading {
    struct arena *arena;
    const char *file;
    const struct tree_listener *listener;
    yaml_parser_t parser;
    struct anchor *anchors;
    const struct tree_node **stack; /* children of the collections that are open */
    uint32_t n, cap;
    uint32_t depth, nodes;
    bool failed;
};

/* ---- mistakes ---- */

__attribute__((format(printf, 4, 5))) static void tell(struct reading *r, uint32_t line, uint32_t column,
                                                       const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->listener->say(r->listener->arg, r->file, line, column, text);
}

static void fail_at(struct reading *r, yaml_mark_t mark, const char *text)
{
    if (!r->failed)
        tell(r, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1, "%s", text);
    r->failed = true;
}

static void fail_in_libyaml(struct reading *r)
{
    const yaml_parser_t *p = &r->parser;
    char text[300];
    const char *problem = p->problem ? p->problem : "it can't be read";
    if (p->error == YAML_MEMORY_ERROR)
        problem = "out of memory";
    if (p->context)
        snprintf(text, sizeof text, "not valid YAML: %s (%s that began in line %zu)", problem, p->context,
                 p->context_mark.line + 1);
    else
        snprintf(text, sizeof text, "not valid YAML: %s", problem);
    yaml_mark_t mark = p->problem_mark;
    if (p->error == YAML_READER_ERROR)
        mark = p->mark;
    fail_at(r, mark, text);
}

static bool next_event(struct reading *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    fail_in_libyaml(r);
    return false;
}

/* ---- nodes ---- */

static struct tree_node *new_node(struct reading *r, enum tree_type type, yaml_mark_t mark)
{
    struct tree_node *node = arena_zalloc(r->arena, sizeof *node);
    if (!node) {
        fail_at(r, mark, "out of memory");
        return NULL;
    }
    node->type = type;
    node->file = r->file;
    node->line = (uint32_t)mark.line + 1;
    node->column = (uint32_t)mark.column + 1;
    node->weight = 1;
    return node;
}

static bool push(struct reading *r, const struct tree_node *node)
{
    if (r->n == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 64;
        const struct tree_node **bigger = realloc(r->stack, cap * sizeof(void *));
        if (!bigger)
            return false;
        r->stack = bigger;
        r->cap = cap;
    }
    r->stack[r->n++] = node;
    return true;
}

static struct anchor *open_anchor(struct reading *r, const yaml_char_t *name)
{
    struct anchor *anchor = name ? arena_zalloc(r->arena, sizeof *anchor) : NULL;
    if (!anchor)
        return NULL;
    anchor->name = arena_copy(r->arena, weir_cstr((const char *)name));
    anchor->next = r->anchors;
    r->anchors = anchor;
    return anchor;
}

static const struct tree_node *find_alias(struct reading *r, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    char text[200];
    for (const struct anchor *a = r->anchors; a; a = a->next) {
        if (!weir_is(a->name, name))
            continue;
        if (a->node)
            return a->node;
        snprintf(text, sizeof text, "the alias *%.60s stands inside its own anchor", name);
        fail_at(r, event->start_mark, text);
        return NULL;
    }
    snprintf(text, sizeof text, "the alias *%.60s has no anchor &%.60s before it", name, name);
    fail_at(r, event->start_mark, text);
    return NULL;
}

/* Only the tags of YAML's own types mean something; a forgotten quote before "!" is found so. */
static bool tag_is_known(struct reading *r, const yaml_char_t *tag, yaml_mark_t mark)
{
    char text[200];
    if (!tag || strncmp((const char *)tag, "tag:yaml.org,2002:", 18) == 0 || strcmp((const char *)tag, "!") == 0)
        return true;
    snprintf(text, sizeof text, "the tag %.60s means nothing here; put quotes around a text that begins with \"!\"",
             (const char *)tag);
    fail_at(r, mark, text);
    return false;
}

static const struct tree_node *take_scalar(struct reading *r, const yaml_event_t *event)
{
    const char *tag = (const char *)event->data.scalar.tag;
    struct tree_node *node = new_node(r, TREE_SCALAR, event->start_mark);
    if (!node || !tag_is_known(r, event->data.scalar.tag, event->start_mark))
        return NULL;
    node->text =
        arena_copy(r->arena, (struct weir_str){ (const char *)event->data.scalar.value, event->data.scalar.length });
    node->is_plain =
        event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !(tag && (strcmp(tag, "!") == 0 || strstr(tag, ":str")));
    if (!node->text.p || memchr(node->text.p, 0, node->text.n)) {
        fail_at(r, event->start_mark, node->text.p ? "a text can't contain the character NUL" : "out of memory");
        return NULL;
    }
    struct anchor *anchor = open_anchor(r, event->data.scalar.anchor);
    if (anchor)
        anchor->node = node;
    return node;
}

/* ---- maps: duplicates and merge keys ---- */

static int by_key(const void *a, const void *b)
{
    const struct tree_node *x = ((const struct tree_member *)a)->key, *y = ((const struct tree_member *)b)->key;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int order = memcmp(x->text.p, y->text.p, n);
    if (order)
        return order;
    if (x->text.n != y->text.n)
        return x->text.n < y->text.n ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static void tell_duplicates(struct reading *r, const struct tree_node *map)
{
    struct tree_member *sorted = malloc(map->n * sizeof *sorted + 1);
    if (!sorted)
        return;
    memcpy(sorted, map->members, map->n * sizeof *sorted);
    qsort(sorted, map->n, sizeof *sorted, by_key);
    for (uint32_t i = 1; i < map->n; i++) {
        const struct tree_node *first = sorted[i - 1].key, *second = sorted[i].key;
        if (weir_eq(first->text, second->text) && !(first->is_plain && weir_is(first->text, "<<")))
            tell(r, second->line, second->column, "\"%.80s\" is written twice: the first is at %s:%u", second->text.p,
                 r->file, first->line);
    }
    free(sorted);
}

static bool is_merge(const struct tree_node *key)
{
    return key->is_plain && weir_is(key->text, "<<");
}

static bool has_key(const struct tree_member *members, uint32_t n, struct weir_str key)
{
    for (uint32_t i = 0; i < n; i++)
        if (weir_eq(members[i].key->text, key))
            return true;
    return false;
}

static uint32_t merge_from(struct reading *r, struct tree_member *to, uint32_t n, const struct tree_node *from)
{
    if (from->type == TREE_LIST) {
        for (uint32_t i = 0; i < from->n; i++)
            n = merge_from(r, to, n, from->items[i]);
        return n;
    }
    if (from->type != TREE_MAP)
        tell(r, from->line, from->column, "\"<<\" takes a map, as in `<<: *defaults`");
    for (uint32_t i = 0; from->type == TREE_MAP && i < from->n; i++)
        if (!has_key(to, n, from->members[i].key->text))
            to[n++] = from->members[i];
    return n;
}

/* `<<: *other`: other's members, except those that stand here. */
static void merge(struct reading *r, struct tree_node *map)
{
    uint32_t room = 0, n = 0, merges = 0;
    for (uint32_t i = 0; i < map->n; i++) {
        bool is_one = is_merge(map->members[i].key);
        room += is_one ? map->members[i].value->weight : 1;
        merges += is_one;
    }
    struct tree_member *all = merges ? arena_alloc(r->arena, room * sizeof *all) : NULL;
    if (!all)
        return;
    for (uint32_t i = 0; i < map->n; i++)
        if (!is_merge(map->members[i].key))
            all[n++] = map->members[i];
    for (uint32_t i = 0; i < map->n; i++)
        if (is_merge(map->members[i].key))
            n = merge_from(r, all, n, map->members[i].value);
    map->members = all;
    map->n = n;
}

static void close_map(struct reading *r, struct tree_node *map, const struct tree_node **children, uint32_t n,
                      yaml_mark_t mark)
{
    if (n == 0)
        return;
    struct tree_member *members = arena_alloc(r->arena, n / 2 * sizeof *members);
    if (!members) {
        fail_at(r, mark, "out of memory");
        return;
    }
    for (uint32_t i = 0; i + 1 < n; i += 2) {
        members[i / 2] = (struct tree_member){ children[i], children[i + 1] };
        if (children[i]->type != TREE_SCALAR) {
            fail_at(r, mark, "a key must be a plain name");
            return;
        }
    }
    map->members = members;
    map->n = n / 2;
    tell_duplicates(r, map);
    merge(r, map);
}

static void close_list(struct reading *r, struct tree_node *list, const struct tree_node **children, uint32_t n,
                       yaml_mark_t mark)
{
    if (n == 0)
        return;
    const struct tree_node **items = arena_alloc(r->arena, n * sizeof(void *));
    if (!items) {
        fail_at(r, mark, "out of memory");
        return;
    }
    memcpy(items, children, n * sizeof(void *));
    list->items = items;
    list->n = n;
}

/* ---- the walk ---- */

static const struct tree_node *take(struct reading *r, const yaml_event_t *event);

static void count(struct reading *r, struct tree_node *node, uint32_t from, yaml_mark_t mark)
{
    uint64_t weight = 1;
    for (uint32_t i = from; i < r->n; i++)
        weight += r->stack[i]->weight;
    node->weight = weight > TREE_NODES_MAX ? TREE_NODES_MAX : (uint32_t)weight;
    if (weight > TREE_NODES_MAX)
        fail_at(r, mark, "too much: aliases written out, a file may have 100,000 values");
}

/* Children until the end event, which is consumed. */
static void take_children(struct reading *r, yaml_event_type_t end, struct tree_node *node, yaml_mark_t mark)
{
    uint32_t from = r->n;
    while (!r->failed) {
        yaml_event_t event;
        if (!next_event(r, &event))
            break;
        bool is_end = event.type == end;
        const struct tree_node *child = is_end ? NULL : take(r, &event);
        yaml_event_delete(&event);
        if (is_end)
            break;
        if (!child || !push(r, child))
            r->failed = true;
    }
    if (!r->failed)
        count(r, node, from, mark);
    const struct tree_node **children = r->n > from ? r->stack + from : NULL;
    if (!r->failed && node->type == TREE_MAP)
        close_map(r, node, children, r->n - from, mark);
    else if (!r->failed)
        close_list(r, node, children, r->n - from, mark);
    r->n = from;
}

static const struct tree_node *take_collection(struct reading *r, const yaml_event_t *event)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    yaml_mark_t mark = event->start_mark;
    struct tree_node *node = new_node(r, is_map ? TREE_MAP : TREE_LIST, mark);
    if (!node || !tag_is_known(r, is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag, mark))
        return NULL;
    if (r->depth == TREE_DEPTH_MAX) {
        fail_at(r, mark, "nested too deeply: 48 levels are the limit");
        return NULL;
    }
    struct anchor *anchor =
        open_anchor(r, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor);
    r->depth++;
    take_children(r, is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, node, mark);
    r->depth--;
    if (anchor)
        anchor->node = node;
    return r->failed ? NULL : node;
}

static const struct tree_node *take(struct reading *r, const yaml_event_t *event)
{
    if (++r->nodes > TREE_NODES_MAX) {
        fail_at(r, event->start_mark, "too much: a file may have 100,000 values");
        return NULL;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event);
    case YAML_ALIAS_EVENT:
        return find_alias(r, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return take_collection(r, event);
    default:
        fail_at(r, event->start_mark, "not valid YAML: a value is missing");
        return NULL;
    }
}

static const struct tree_node *take_document(struct reading *r)
{
    const struct tree_node *root = NULL;
    while (!r->failed) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return NULL;
        bool is_end = event.type == YAML_STREAM_END_EVENT;
        bool is_frame = event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT ||
                        event.type == YAML_DOCUMENT_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && root)
            fail_at(r, event.start_mark, "a second document begins here (---): a file has one");
        else if (!is_end && !is_frame)
            root = take(r, &event);
        yaml_event_delete(&event);
        if (is_end)
            break;
    }
    return r->failed ? NULL : root;
}

/* What JSON writes differently from YAML, at p: returns how many bytes of the text are done, 0: nothing special.
 * Surrogate pairs (\ud83d\ude00 is \U0001f600), and three characters that YAML takes for line ends. */
static size_t translate_one(const char *p, size_t n, char to[12], size_t *written)
{
    static const struct {
        const char *raw, *escaped;
    } ends[] = { { "\xc2\x85", "\\N" }, { "\xe2\x80\xa8", "\\L" }, { "\xe2\x80\xa9", "\\P" } };
    unsigned high, low;
    if (n >= 12 && p[0] == '\\' && sscanf(p, "\\u%4x\\u%4x", &high, &low) == 2 && (high & ~0x3ffu) == 0xd800 &&
        (low & ~0x3ffu) == 0xdc00) {
        *written = (size_t)snprintf(to, 12, "\\U%08x", 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff));
        return 12;
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n >= strlen(ends[i].raw) && memcmp(p, ends[i].raw, strlen(ends[i].raw)) == 0) {
            memcpy(to, ends[i].escaped, 2);
            *written = 2;
            return strlen(ends[i].raw);
        }
    return 0;
}

static struct weir_str json_as_yaml(struct arena *a, struct weir_str text)
{
    char *to = arena_alloc(a, text.n + 12);
    size_t n = 0;
    for (size_t i = 0; to && i < text.n;) {
        size_t written = 0, done = translate_one(text.p + i, text.n - i, to + n, &written);
        if (!done) {
            written = done = text.p[i] == '\\' && i + 1 < text.n ? 2 : 1;
            memcpy(to + n, text.p + i, done);
        }
        n += written;
        i += done;
    }
    return to ? (struct weir_str){ to, n } : text;
}

static bool begins_as_json(struct weir_str text)
{
    size_t i = 0;
    while (i < text.n && strchr(" \t\r\n", text.p[i]) && text.p[i])
        i++;
    return i < text.n && text.p[i] == '{';
}

const struct tree_node *tree_parse(struct arena *a, const char *file, struct weir_str text,
                                   const struct tree_listener *to)
{
    struct reading r = { .arena = a, .file = file, .listener = to };
    if (text.n > TREE_BYTES_MAX) {
        tell(&r, 1, 1, "the file is larger than 4 MiB");
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        tell(&r, 1, 1, "out of memory");
        return NULL;
    }
    if (begins_as_json(text)) {
        struct weir_str copy = arena_copy(a, text); /* sscanf needs the end */
        text = copy.p ? json_as_yaml(a, copy) : text;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
    const struct tree_node *root = take_document(&r);
    if (!root && !r.failed)
        tell(&r, 1, 1, "the file is empty");
    yaml_parser_delete(&r.parser);
    free(r.stack);
    return root;
}
