/* Finding and opening plugins: those that the configuration names, those that lie beside the program.
 *
 * Providers beside the program are all opened, since their front doors are open whether or not a provider entry
 * uses them; stages only when a pipeline names them.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_read.h"

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The folder of the running program; an upgrade in place may have replaced the file, not the folder. */
static void program_folder(char to[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", to, PATH_MAX - 1);
    to[n > 0 ? n : 0] = 0;
    char *slash = strrchr(to, '/');
    if (slash)
        *slash = 0;
}

const char *config_plugin_dir(void)
{
    static char folder[PATH_MAX + 16];
    char program[PATH_MAX], beside[PATH_MAX + 16], *whole;
    const char *told = secure_getenv("WEIR_LIB");
    if (folder[0])
        return folder;
    program_folder(program);
    snprintf(beside, sizeof beside, "%s/plugins", program);
    if (told && told[0])
        snprintf(folder, sizeof folder, "%s", told);
    else if (is_folder(beside))
        snprintf(folder, sizeof folder, "%s", program);
    else
        snprintf(folder, sizeof folder, "%s/../lib/weir", program);
    whole = realpath(folder, NULL); /* without ".." and links: it is also a key in the list of files */
    if (whole)
        snprintf(folder, sizeof folder, "%s", whole);
    free(whole);
    return folder;
}

static const char *kind_folder(uint32_t kind)
{
    return kind == WEIR_KIND_CODEC ? "providers" : "plugins";
}

static struct plugin *find_opened(const char *path)
{
    struct plugin *p = plugin_first();
    while (p && strcmp(p->origin, path) != 0)
        p = p->next;
    return p;
}

static void remember(struct reader *r, const char *path, const struct plugin *p)
{
    struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_plugin_files; i++)
        if (strcmp(c->plugin_files[i], path) == 0)
            return;
    if (c->n_plugin_files + 1 >= r->cap_plugin_files) {
        uint32_t cap = r->cap_plugin_files ? r->cap_plugin_files * 2 : 16;
        const char **bigger = arena_zalloc(r->a, cap * sizeof(void *));
        if (!bigger)
            return;
        if (c->n_plugin_files)
            memcpy(bigger, c->plugin_files, c->n_plugin_files * sizeof(void *));
        c->plugin_files = bigger;
        r->cap_plugin_files = cap;
    }
    ((const char **)(uintptr_t)c->plugin_files)[c->n_plugin_files++] = path;
    files_name_copy(r->files, path, arena_printf(r->a, "%s/%s.so", kind_folder(p->desc.head.kind), p->desc.name).p);
}

/* path: absolute, as the configuration found it. NULL and why. A plugin is opened once per process. */
static struct plugin *open_file(struct reader *r, const char *path, uint32_t kind, char *why, size_t n)
{
    const char *actual = files_locate(r->files, path, FILES_ALONE);
    if (!actual) {
        snprintf(why, n, "there is no file %s", path);
        return NULL;
    }
    struct plugin *p = find_opened(path);
    if (!p) {
        char *origin = strdup(path); /* lives as long as the plugin: for ever */
        p = origin ? plugin_open(actual, kind, why, n) : NULL;
        if (p && p->origin == p->path)
            p->origin = origin;
        else
            free(origin); /* or a file with the same content was opened before, under another name */
    }
    if (p)
        remember(r, path, p);
    return p;
}

/* ---- what the configuration names ---- */

static void open_pattern(struct reader *r, const struct tree_node *node, const char *pattern)
{
    char why[1024];
    uint32_t n;
    const char *absolute = path_absolute(r, node->file, pattern);
    const char *const *names = files_glob(r->files, absolute, &n);
    if (n == 0)
        mistake(r, node, "plugins: there is no file %s", absolute);
    for (uint32_t i = 0; i < n; i++)
        if (!open_file(r, names[i], 0, why, sizeof why))
            mistake(r, node, "plugins: %s", why);
}

static bool is_used(struct reader *r, const char *name)
{
    const struct tree_node *providers = tree_get(r->root, "providers");
    for (uint32_t i = 0; providers && providers->type == TREE_MAP && i < providers->n; i++) {
        const struct tree_node *dialect = tree_get(providers->members[i].value, "dialect");
        if (dialect && dialect->type == TREE_SCALAR && weir_is(dialect->text, name))
            return true;
    }
    return false;
}

static const char *name_of_file(struct reader *r, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    return arena_copy(r->a, (struct weir_str){ name, n > 3 ? n - 3 : n }).p;
}

static void open_shipped(struct reader *r)
{
    char why[1024];
    uint32_t n;
    const char *pattern = arena_printf(r->a, "%s/providers/*.so", r->library).p;
    const char *const *names = pattern ? files_glob(r->files, pattern, &n) : NULL;
    for (uint32_t i = 0; names && i < n; i++) {
        const char *name = name_of_file(r, names[i]);
        struct plugin *other = name ? plugin_find(name, WEIR_KIND_CODEC) : NULL;
        if (other && strcmp(other->origin, names[i]) != 0)
            continue; /* the configuration names another one of that name: it comes first */
        if (!open_file(r, names[i], WEIR_KIND_CODEC, why, sizeof why) && name)
            mistake_at(r, (struct config_place){ NULL, 0, 0 }, !is_used(r, name), "%s", why);
    }
}

void plugins_read(struct reader *r, const struct tree_node *patterns)
{
    const struct value_rule rule = { .name = "plugins" };
    const char *const *list;
    uint32_t n = 0;
    if (patterns && value_list(r, &rule, patterns, &list, &n) == 0)
        for (uint32_t i = 0; i < n; i++)
            open_pattern(r, patterns->type == TREE_LIST ? patterns->items[i] : patterns, list[i]);
    open_shipped(r);
}

/* ---- by name ---- */

static void offer_folder(struct reader *r, struct suggestion *near, uint32_t kind)
{
    const char *path = arena_printf(r->a, "%s/%s", r->library, kind_folder(kind)).p;
    DIR *dir = path ? opendir(path) : NULL;
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        size_t n = strlen(entry->d_name);
        struct weir_head head;
        char why[512];
        const char *file = arena_printf(r->a, "%s/%s", path, entry->d_name).p;
        bool is_plugin = n > 3 && strcmp(entry->d_name + n - 3, ".so") == 0;
        if (is_plugin && file && plugin_peek(file, &head, why, sizeof why) == 0 && head.kind == kind)
            suggestion_offer(near, arena_copy(r->a, (struct weir_str){ entry->d_name, n - 3 }).p);
    }
    if (dir)
        closedir(dir);
}

static const char *kind_word(uint32_t kind)
{
    return kind == WEIR_KIND_STAGE ? "stage" : kind == WEIR_KIND_CODEC ? "dialect" : "way to authenticate called";
}

static void tell_unknown(struct reader *r, const struct tree_node *at, const char *name, uint32_t kind)
{
    struct suggestion near;
    suggestion_begin(&near, name);
    offer_folder(r, &near, kind);
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        if (p->desc.head.kind == kind)
            suggestion_offer(&near, p->desc.name);
    const char *text = suggestion_text(r, &near);
    mistake(r, at, "there is no %s \"%.80s\"%s%s", kind_word(kind), name, text,
            text[0] ? "" : " (a plugin of your own is named under `plugins:`)");
}

static bool is_plugin_name(const char *name)
{
    return name[0] && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == 0;
}

struct plugin *plugins_find(struct reader *r, const struct tree_node *at, const char *name, uint32_t kind)
{
    char why[1024];
    struct plugin *p = plugin_find(name, kind);
    if (p) {
        files_locate(r->files, p->origin, FILES_ALONE);
        remember(r, p->origin, p);
        return p;
    }
    const char *path =
        is_plugin_name(name) ? arena_printf(r->a, "%s/%s/%s.so", r->library, kind_folder(kind), name).p : NULL;
    if (!path || !files_exist(r->files, path)) {
        tell_unknown(r, at, name, kind);
        return NULL;
    }
    p = open_file(r, path, kind, why, sizeof why);
    if (!p)
        mistake(r, at, "%s", why);
    return p;
}
