/* What a scalar means (null, boolean, number, text), and a tree as JSON.
 *
 * Numbers keep the text they were written with, so that nothing is rounded on the way into a plugin. What YAML 1.1
 * would read as octal or sexagesimal (010, 1:30) stays a text: nobody who writes it means 8 or 90.
 */
#include "json.h"
#include "yaml_tree.h"

#include <stdio.h>
#include <stdlib.h>

const struct tree_node *tree_get(const struct tree_node *map, const char *name)
{
    for (uint32_t i = 0; map && map->type == TREE_MAP && i < map->n; i++)
        if (weir_is(map->members[i].key->text, name))
            return map->members[i].value;
    return NULL;
}

static bool is_one_of(struct weir_str s, const char *const *names)
{
    for (; *names; names++)
        if (weir_is(s, *names))
            return true;
    return false;
}

bool tree_is_null(const struct tree_node *node)
{
    static const char *const names[] = { "", "~", "null", "Null", "NULL", NULL };
    return node->type == TREE_SCALAR && node->is_plain && is_one_of(node->text, names);
}

bool tree_is_bool(const struct tree_node *node, bool *value)
{
    static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", NULL };
    static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", NULL };
    if (node->type != TREE_SCALAR || !node->is_plain)
        return false;
    *value = is_one_of(node->text, yes);
    return *value || is_one_of(node->text, no);
}

static size_t digits(const char *p)
{
    return strspn(p, "0123456789");
}

static bool is_json_number(const char *p)
{
    p += *p == '-';
    size_t n = digits(p);
    if (n == 0 || (n > 1 && *p == '0'))
        return false;
    p += n;
    if (*p == '.') {
        n = digits(p + 1);
        if (n == 0)
            return false;
        p += 1 + n;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        n = digits(p);
        if (n == 0)
            return false;
        p += n;
    }
    return *p == 0;
}

struct weir_str tree_number(const struct tree_node *node, char buf[32])
{
    if (node->type != TREE_SCALAR || !node->is_plain || node->text.n == 0)
        return WEIR_NONE;
    const char *p = node->text.p;
    if (is_json_number(p))
        return node->text;
    if (*p == '+' && is_json_number(p + 1) && p[1] != '-')
        return (struct weir_str){ p + 1, node->text.n - 1 };
    if (p[0] == '0' && p[1] == 'x' && node->text.n <= 17 && node->text.n > 2 &&
        strspn(p + 2, "0123456789abcdefABCDEF") == node->text.n - 2) {
        int n = snprintf(buf, 32, "%llu", strtoull(p + 2, NULL, 16));
        return (struct weir_str){ buf, (size_t)n };
    }
    return WEIR_NONE;
}

static void put_scalar(const struct tree_node *node, struct weir_out *out)
{
    char buf[32];
    bool value;
    struct weir_str number = tree_number(node, buf);
    if (tree_is_null(node))
        json_put_null(out);
    else if (tree_is_bool(node, &value))
        json_put_bool(out, value);
    else if (number.n)
        json_put_raw(out, number);
    else
        json_put_str(out, node->text);
}

void tree_put_json(const struct tree_node *node, struct weir_out *out, const struct tree_json_options *options)
{
    if (node->type == TREE_SCALAR) {
        const struct tree_node *other = options && options->scalar ? options->scalar(options->arg, node) : NULL;
        put_scalar(other ? other : node, out);
        return;
    }
    if (node->type == TREE_LIST) {
        json_array_begin(out);
        for (uint32_t i = 0; i < node->n; i++)
            tree_put_json(node->items[i], out, options);
        json_array_end(out);
        return;
    }
    json_object_begin(out);
    for (uint32_t i = 0; i < node->n; i++) {
        json_key_str(out, node->members[i].key->text);
        tree_put_json(node->members[i].value, out, options);
    }
    json_object_end(out);
}
