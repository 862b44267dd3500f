/* Scalars of the configuration: what each type accepts, and env:NAME and file:PATH, which may stand for any of them.
 *
 * A value that came from a reference is never repeated in a message: it may be a secret.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config_read.h"
#include "copying.h"
#include "json.h"

enum { VALUE_BYTES_MAX = 64 * 1024 };

static bool begins(struct weir_str s, const char *with)
{
    size_t n = strlen(with);
    return s.n > n && memcmp(s.p, with, n) == 0;
}

static bool is_in(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool is_name(const char *p)
{
    if (!((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || *p == '_'))
        return false;
    return p[strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == 0;
}

bool value_is_reference(const struct tree_node *node)
{
    if (node->type != TREE_SCALAR)
        return false;
    bool is_url = begins(node->text, "file://"); /* a proxy, a URL in an option: left to who reads it */
    return (begins(node->text, "env:") && is_name(node->text.p + 4)) || (begins(node->text, "file:") && !is_url);
}

/* ---- references ---- */

/* A provider that can't be used is no reason not to start; everything else is. */
static enum value_result tell_unset(struct reader *r, const char *name, const struct tree_node *node,
                                    const char *reason)
{
    if (!r->unavailable || r->mode == CONFIG_STRICT) {
        mistake(r, node, "%s: %s", name, reason);
        return VALUE_UNSET;
    }
    if (!*r->unavailable)
        *r->unavailable = reason;
    warning(r, node, "%s can't be used: %s", r->where, reason);
    return VALUE_UNSET;
}

static struct weir_str trimmed(struct weir_str s)
{
    while (s.n && is_in(s.p[s.n - 1], "\r\n\t "))
        s.n--;
    return s;
}

const char *path_absolute(struct reader *r, const char *written_in, const char *path)
{
    char cwd[4096];
    const char *slash = written_in ? strrchr(written_in, '/') : NULL;
    if (path[0] == '/')
        return path;
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    const char *joined = slash ? arena_printf(r->a, "%.*s%s", (int)(slash - written_in + 1), written_in, path).p : path;
    if (!joined || joined[0] == '/')
        return joined ? joined : path;
    const char *whole = getcwd(cwd, sizeof cwd) ? arena_printf(r->a, "%s/%s", cwd, joined).p : NULL;
    return whole ? whole : joined;
}

/* live: a provider's key is read where it stands by every worker, and again for each call; so it is never copied. */
static enum value_result resolve_file(struct reader *r, const char *name, const struct tree_node *node,
                                      struct weir_str *text)
{
    char why[512] = "";
    const char *path = path_absolute(r, node->file, node->text.p + 5);
    struct weir_str bytes = r->is_live ? copying_read(r->a, path, VALUE_BYTES_MAX, why, sizeof why)
                                       : files_read(r->files, path, why, sizeof why);
    if (!bytes.p)
        return tell_unset(r, name, node, arena_copy(r->a, weir_cstr(why)).p);
    *text = arena_copy(r->a, trimmed(bytes));
    if (text->n == 0)
        return tell_unset(r, name, node, arena_printf(r->a, "%s is empty", path).p);
    if (memchr(text->p, 0, text->n)) {
        mistake(r, node, "%s: %s contains the character NUL", name, path);
        return VALUE_BAD;
    }
    return VALUE_OK;
}

static enum value_result resolve(struct reader *r, const char *name, const struct tree_node *node,
                                 struct weir_str *text)
{
    if (node->text.p[0] == 'f')
        return resolve_file(r, name, node, text);
    const char *value = getenv(node->text.p + 4);
    if (!value || !value[0])
        return tell_unset(r, name, node, arena_printf(r->a, "%s is not set", node->text.p + 4).p);
    *text = arena_copy(r->a, weir_cstr(value));
    return VALUE_OK;
}

enum value_result value_text(struct reader *r, const char *name, const struct tree_node *node, struct weir_str *text)
{
    *text = WEIR_LIT("");
    if (node->type != TREE_SCALAR) {
        mistake(r, node, "%s must be one value, not a %s", name, node->type == TREE_LIST ? "list" : "map");
        return VALUE_BAD;
    }
    if (value_is_reference(node))
        return resolve(r, name, node, text);
    *text = node->text;
    return VALUE_OK;
}

const struct tree_node *value_resolve(struct reader *r, const char *name, const struct tree_node *node)
{
    struct weir_str text;
    if (node->type == TREE_SCALAR && !value_is_reference(node))
        return node;
    struct tree_node *copy = arena_alloc(r->a, sizeof *copy);
    if (!copy || value_text(r, name, node, &text) != VALUE_OK)
        return NULL;
    *copy = *node;
    copy->text = text;
    return copy;
}

/* What stands there, for a message; never what a reference stands for. */
static const char *shown(const struct tree_node *node)
{
    return node->type == TREE_SCALAR ? node->text.p : node->type == TREE_LIST ? "a list" : "a map";
}

static int refuse(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char *wants)
{
    mistake(r, node, "%s must be %s, not \"%.80s\"", rule->name, wants, shown(node));
    return -1;
}

/* ---- numbers ---- */

static int refuse_range(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char *unit)
{
    mistake(r, node, "%s must be between %.15g%s and %.15g%s, not \"%.80s\"", rule->name, rule->min, unit, rule->max,
            unit, shown(node));
    return -1;
}

static bool is_outside(const struct value_rule *rule, double value)
{
    return (rule->min != 0 || rule->max != 0) && (value < rule->min || value > rule->max);
}

/* A number in quotes is taken too: JSON generators and templates write them. */
static bool number_of(const struct tree_node *node, double *value, const char **rest)
{
    char *end;
    if (node->text.n == 0 || !is_in(node->text.p[0], "-+.0123456789") || strncmp(node->text.p, "0x", 2) == 0)
        return false;
    *value = strtod(node->text.p, &end);
    *rest = end;
    return end > node->text.p && isfinite(*value);
}

int value_int(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to)
{
    const struct tree_node *n = value_resolve(r, rule->name, node);
    char *end;
    if (!n)
        return -1;
    errno = 0;
    long long value = strtoll(n->text.p, &end, 10);
    if (n->text.n == 0 || *end || errno || is_in(n->text.p[0], "\r\n\t "))
        return refuse(r, rule, node, "a whole number");
    if (is_outside(rule, (double)value))
        return refuse_range(r, rule, node, "");
    *to = value;
    return 0;
}

int value_number(struct reader *r, const struct value_rule *rule, const struct tree_node *node, double *to)
{
    const struct tree_node *n = value_resolve(r, rule->name, node);
    const char *rest;
    double value;
    if (!n)
        return -1;
    if (!number_of(n, &value, &rest) || *rest)
        return refuse(r, rule, node, "a number");
    if (is_outside(rule, value))
        return refuse_range(r, rule, node, "");
    *to = value;
    return 0;
}

int value_bool(struct reader *r, const struct value_rule *rule, const struct tree_node *node, bool *to)
{
    const struct tree_node *n = value_resolve(r, rule->name, node);
    if (!n)
        return -1;
    struct tree_node plain = *n;
    plain.is_plain = true;
    return tree_is_bool(&plain, to) ? 0 : refuse(r, rule, node, "true or false");
}

struct unit {
    const char *name;
    double factor;
};

static bool with_unit(const struct tree_node *node, const struct unit *units, double *value)
{
    const char *rest;
    if (!number_of(node, value, &rest) || *value < 0)
        return false;
    while (*rest == ' ')
        rest++;
    for (; units->name; units++)
        if (strcmp(rest, units->name) == 0) {
            *value *= units->factor;
            return true;
        }
    return *value == 0 && *rest == 0;
}

static bool is_off(const struct tree_node *node)
{
    return weir_is(node->text, "off") || weir_is(node->text, "none");
}

int value_duration(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to)
{
    static const struct unit units[] = { { "ms", 1 },     { "s", 1e3 },     { "m", 60e3 },
                                         { "h", 3600e3 }, { "d", 86400e3 }, { NULL, 0 } };
    const struct tree_node *n = value_resolve(r, rule->name, node);
    double value = 0;
    if (!n)
        return -1;
    if (!is_off(n) && !with_unit(n, units, &value))
        return refuse(r, rule, node, "a time with a unit (500ms, 15s, 5m, 1h), or off");
    if (is_outside(rule, value))
        return refuse_range(r, rule, node, "ms");
    if (value > 30 * 86400e3)
        return refuse(r, rule, node, "at most 30 days (30d)");
    *to = (int64_t)(value + 0.5);
    return 0;
}

int value_size(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to)
{
    static const struct unit units[] = {
        { "", 1 },     { "B", 1 },    { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 },
        { "kB", 1e3 }, { "KB", 1e3 }, { "MB", 1e6 },   { "GB", 1e9 },      { NULL, 0 }
    };
    const struct tree_node *n = value_resolve(r, rule->name, node);
    double value = 0;
    if (!n)
        return -1;
    if (!with_unit(n, units, &value))
        return refuse(r, rule, node, "a size (64KiB, 32MiB, 1GiB)");
    if (is_outside(rule, value))
        return refuse_range(r, rule, node, " bytes");
    if (value > 9e15)
        return refuse(r, rule, node, "smaller");
    *to = (int64_t)value;
    return 0;
}

/* ---- texts ---- */

/* The i-th of "a|b|c"; false: there are not so many. */
static bool nth_choice(const char *choices, int i, char *to, size_t n)
{
    while (i-- > 0) {
        choices = strchr(choices, '|');
        if (!choices)
            return false;
        choices++;
    }
    snprintf(to, n, "%.*s", (int)strcspn(choices, "|"), choices);
    return true;
}

int value_choice(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int32_t *to)
{
    const struct tree_node *n = value_resolve(r, rule->name, node);
    struct suggestion near;
    char one[80];
    if (!n)
        return -1;
    suggestion_begin(&near, n->text.p);
    for (int i = 0; nth_choice(rule->choices, i, one, sizeof one); i++) {
        if (weir_is(n->text, one)) {
            *to = i;
            return 0;
        }
        suggestion_offer(&near, one);
    }
    mistake(r, node, "%s must be one of %s, not \"%.80s\"%s", rule->name, rule->choices, shown(node),
            value_is_reference(node) ? "" : suggestion_text(r, &near));
    return -1;
}

int value_string(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char **to)
{
    const struct tree_node *n = value_resolve(r, rule->name, node);
    if (!n)
        return -1;
    if (tree_is_null(n) && n->text.n)
        return refuse(r, rule, node, "a text (put quotes around it if you mean the word)");
    if (is_outside(rule, (double)n->text.n)) {
        mistake(r, node, "%s must be %.0f to %.0f bytes long", rule->name, rule->min, rule->max);
        return -1;
    }
    *to = n->text.p;
    return 0;
}

int value_list(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char *const **to,
               uint32_t *n)
{
    uint32_t count = node->type == TREE_LIST ? node->n : tree_is_null(node) ? 0 : 1;
    const char **list = arena_zalloc(r->a, (count + 1) * sizeof *list);
    const struct value_rule each = { .name = rule->name };
    if (!list || node->type == TREE_MAP) {
        mistake(r, node, "%s must be a list, as in [a, b]", rule->name);
        return -1;
    }
    int rc = 0;
    for (uint32_t i = 0; i < count; i++)
        rc |= value_string(r, &each, node->type == TREE_LIST ? node->items[i] : node, &list[i]);
    *to = list;
    *n = count;
    return rc;
}

int value_strs(struct reader *r, const struct value_rule *rule, const struct tree_node *node,
               const struct weir_str **to, uint32_t *n)
{
    const char *const *list;
    uint32_t count = 0;
    if (value_list(r, rule, node, &list, &count))
        return -1;
    struct weir_str *strs = arena_zalloc(r->a, (count + 1) * sizeof *strs);
    for (uint32_t i = 0; strs && i < count; i++)
        strs[i] = weir_cstr(list[i]);
    *to = strs;
    *n = strs ? count : 0;
    return strs ? 0 : -1;
}

struct json_walk {
    struct reader *r;
    const char *name;
    bool failed;
};

static const struct tree_node *json_scalar(void *arg, const struct tree_node *node)
{
    struct json_walk *walk = arg;
    const struct tree_node *n = value_resolve(walk->r, walk->name, node);
    walk->failed = walk->failed || !n;
    return n;
}

int value_json(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char **to)
{
    struct json_walk walk = { r, rule->name, false };
    struct tree_json_options options = { json_scalar, &walk };
    struct weir_out out;
    out_init(&out);
    tree_put_json(node, &out, &options);
    struct weir_str text = out_complete(&out) ? arena_copy(r->a, out_bytes(&out)) : WEIR_NONE;
    out_free(&out);
    if (!text.p && !walk.failed)
        mistake(r, node, "%s can't be kept: out of memory", rule->name);
    if (text.p)
        *to = text.p;
    return text.p && !walk.failed ? 0 : -1;
}

/* A rule that lies beside weir.yaml (this one, or of a rehearsal the one that is in service), or in the home folder, takes its
 * neighbours along, not all that is below. */
static bool is_shared_folder(struct reader *r, const char *path)
{
    const char *config = path_absolute(r, NULL, r->c->path), *home = getenv("HOME"), *slash = strrchr(path, '/');
    size_t n = (size_t)(slash - path);
    const char *beside = arena_printf(r->a, "%.*s/weir.yaml", (int)n, path).p;
    return (strncmp(config, path, n) == 0 && config[n] == '/') || (beside && access(beside, F_OK) == 0) ||
           (home && strlen(home) == n && strncmp(home, path, n) == 0);
}

/* Beside the file that names it, else among what the program ships (policies/). */
int value_file(struct reader *r, const struct value_rule *rule, const struct tree_node *node, bool with_folder,
               const char **to)
{
    const char *written;
    if (value_string(r, rule, node, &written))
        return -1;
    if (!written[0]) {
        *to = written;
        return 0;
    }
    const char *path = path_absolute(r, node->file, written);
    const char *shipped = arena_printf(r->a, "%s/%s", r->library, written).p;
    if (written[0] != '/' && shipped && !files_exist(r->files, path) && files_exist(r->files, shipped))
        path = shipped;
    enum files_with with = !with_folder ? FILES_ALONE : is_shared_folder(r, path) ? FILES_NEIGHBOURS : FILES_BELOW;
    *to = files_locate(r->files, path, with);
    if (*to)
        return 0;
    mistake(r, node, "%s: there is no file %s", rule->name, path);
    return -1;
}
