/* The files of a configuration, by their original paths. In a generation's worker each of them is opened in the
 * copy that the checker made; the list manifest.json in the copy's folder says where. The object lives in the
 * configuration's arena. */
#include "config_files.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bytes.h"
#include "copying.h"
#include "json.h"
#include "yaml_tree.h"

struct file {
    struct file *next;
    const char *path, *actual;
    const char *copy; /* where it goes in a copy; NULL: files/N-name */
    enum files_with with;
};

struct pattern {
    struct pattern *next;
    const char *text;
    const char *const *names;
    uint32_t n;
};

struct config_files {
    struct arena *arena;
    const char *snapshot;
    const struct tree_node *manifest; /* of the snapshot */
    struct file *first, **last;
    struct pattern *patterns;
    char named[65]; /* digest of the files, without what lies beside them */
};

/* ---- the manifest of a snapshot ---------------------------------------------------------------------------------- */

static void ignore(void *arg, const char *file, uint32_t line, uint32_t column, const char *text)
{
    (void)arg;
    (void)file;
    (void)line;
    (void)column;
    (void)text;
}

/* It is JSON, and what reads YAML reads JSON. */
static void load_manifest(struct config_files *f, char *why, size_t n)
{
    const struct tree_listener nobody = { ignore, NULL };
    struct weir_str path = arena_printf(f->arena, "%s/manifest.json", f->snapshot);
    struct weir_str bytes = path.p ? copying_read(f->arena, path.p, COPYING_TEXT_MAX, why, n) : WEIR_NONE;
    f->manifest = bytes.p ? tree_parse(f->arena, path.p, bytes, &nobody) : NULL;
    if (!f->manifest)
        snprintf(why, n, "%s can't be read as a generation's copy: reload, so that a new one is made", f->snapshot);
}

struct config_files *files_new(struct arena *a, const char *snapshot, char *why, size_t n)
{
    struct config_files *f = arena_zalloc(a, sizeof *f);
    if (!f) {
        snprintf(why, n, "out of memory");
        return NULL;
    }
    f->arena = a;
    f->last = &f->first;
    f->snapshot = snapshot;
    if (snapshot)
        load_manifest(f, why, n);
    return snapshot && !f->manifest ? NULL : f;
}

/* Where the file is to be opened; NULL: it does not exist. */
static const char *actual_path(struct config_files *f, const char *path)
{
    struct stat st;
    if (!f->snapshot)
        return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? path : NULL;
    const struct tree_node *copy = tree_get(tree_get(f->manifest, "files"), path);
    return copy && copy->text.n ? arena_printf(f->arena, "%s/%s", f->snapshot, copy->text.p).p : NULL;
}

static struct file *find(const struct config_files *f, const char *path)
{
    struct file *file = f->first;
    while (file && strcmp(file->path, path) != 0)
        file = file->next;
    return file;
}

static struct file *remember(struct config_files *f, const char *path, enum files_with with)
{
    struct file *file = find(f, path);
    const char *actual = file ? file->actual : actual_path(f, path);
    if (file && file->with < with)
        file->with = with;
    if (file || !actual)
        return file;
    file = arena_zalloc(f->arena, sizeof *file);
    if (!file)
        return NULL;
    *file = (struct file){ NULL, arena_copy(f->arena, weir_cstr(path)).p, actual, NULL, with };
    file->actual = arena_copy(f->arena, weir_cstr(actual)).p;
    *f->last = file;
    f->last = &file->next;
    return file;
}

const char *files_told(const struct config_files *f, const char *name)
{
    const struct tree_node *value = tree_get(f->manifest, name);
    return value ? value->text.p : NULL;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct weir_str files_read(struct config_files *f, const char *path, char *why, size_t n)
{
    struct file *file = remember(f, path, FILES_ALONE);
    struct weir_str bytes = WEIR_NONE;
    if (!file)
        snprintf(why, n, "%s does not exist or can't be reached", path);
    else
        bytes = copying_read(f->arena, file->actual, COPYING_TEXT_MAX, why, n);
    return bytes;
}

const char *files_locate(struct config_files *f, const char *path, enum files_with with)
{
    const struct file *file = remember(f, path, with);
    return file ? file->actual : NULL;
}

bool files_exist(struct config_files *f, const char *path)
{
    return actual_path(f, path) != NULL;
}

void files_name_copy(struct config_files *f, const char *path, const char *copy)
{
    struct file *file = find(f, path);
    if (file)
        file->copy = arena_copy(f->arena, weir_cstr(copy)).p;
}

static const char *const *names_of_list(struct config_files *f, const struct tree_node *list, uint32_t *n)
{
    *n = list && list->type == TREE_LIST ? list->n : 0;
    const char **names = arena_zalloc(f->arena, (*n + 1) * sizeof *names);
    for (uint32_t i = 0; names && i < *n; i++)
        names[i] = list->items[i]->text.p ? list->items[i]->text.p : "";
    return names;
}

static const char *const *names_of_glob(struct config_files *f, const char *pattern, uint32_t *n)
{
    glob_t found = { 0 };
    int rc = glob(pattern, 0, NULL, &found);
    *n = rc == 0 ? (uint32_t)found.gl_pathc : 0;
    const char **names = arena_zalloc(f->arena, (*n + 1) * sizeof *names);
    for (uint32_t i = 0; names && i < *n; i++)
        names[i] = arena_copy(f->arena, weir_cstr(found.gl_pathv[i])).p;
    globfree(&found);
    return names;
}

const char *const *files_glob(struct config_files *f, const char *pattern, uint32_t *n)
{
    static const char *const none[] = { NULL };
    struct pattern *p = arena_zalloc(f->arena, sizeof *p);
    const struct tree_node *list = tree_get(tree_get(f->manifest, "globs"), pattern);
    const char *const *names = f->snapshot ? names_of_list(f, list, n) : names_of_glob(f, pattern, n);
    if (!p || !names) {
        *n = 0;
        return none;
    }
    *p = (struct pattern){ f->patterns, arena_copy(f->arena, weir_cstr(pattern)).p, names, *n };
    f->patterns = p;
    return names;
}

/* ---- the digest -------------------------------------------------------------------------------------------------- */

struct digesting {
    struct arena *arena;
    uint8_t state[BYTES_SHA256_SIZE];
    char *why;
    size_t n;
};

/* state = SHA-256(state, name, SHA-256(content)) */
static int digest_file(void *arg, const char *name, const char *actual)
{
    struct digesting *d = arg;
    struct arena_mark mark = arena_mark(d->arena);
    struct weir_str bytes = copying_read(d->arena, actual, COPYING_FILE_MAX, d->why, d->n);
    uint8_t own[BYTES_SHA256_SIZE];
    size_t name_n = strlen(name) + 1, whole = sizeof d->state + name_n + sizeof own;
    char *joined = arena_alloc(d->arena, whole);
    int rc = -1;
    if (bytes.p && joined && bytes_sha256(bytes, own)) {
        memcpy(joined, d->state, sizeof d->state);
        memcpy(joined + sizeof d->state, name, name_n);
        memcpy(joined + sizeof d->state + name_n, own, sizeof own);
        rc = bytes_sha256((struct weir_str){ joined, whole }, d->state) ? 0 : -1;
    }
    arena_rollback(d->arena, mark);
    return rc;
}

static const char *folder_of(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return arena_copy(a, (struct weir_str){ path, slash && slash > path ? (size_t)(slash - path) : 1 }).p;
}

static enum copying_which which_of(enum files_with with)
{
    return with == FILES_BELOW ? COPYING_ALL_BELOW : COPYING_OWN_DATA;
}

static int digest_named(const struct config_files *f, struct digesting *d)
{
    int rc = 0;
    for (const struct file *file = f->first; file && rc == 0; file = file->next)
        rc = digest_file(d, file->path, file->actual);
    return rc;
}

static int digest_companions(const struct config_files *f, struct digesting *d, const char *lua)
{
    int rc = 0;
    for (const struct file *file = f->first; file && rc == 0; file = file->next)
        if (file->with)
            rc = copying_walk(folder_of(d->arena, file->actual), which_of(file->with), digest_file, d, d->why, d->n);
    return rc == 0 && lua ? copying_walk(lua, COPYING_ALL_BELOW, digest_file, d, d->why, d->n) : rc;
}

static void put_hex(char hex[65], const uint8_t state[BYTES_SHA256_SIZE])
{
    bytes_hex_encode(hex, state, BYTES_SHA256_SIZE);
    hex[64] = '\0';
}

/* Companions are not compared: they may change at any time, and whoever reads one in the copy finds it whole or not. */
static int check_copy(const struct config_files *f, char *why, size_t n)
{
    const char *told = files_told(f, "named");
    if (!f->snapshot || (told && strcmp(told, f->named) == 0))
        return 0;
    snprintf(why, n, "files changed while they were copied into %s: reload once more", f->snapshot);
    return -1;
}

int files_digest(struct config_files *f, const char *lua, char hex[65], char *why, size_t n)
{
    struct digesting d = { arena_new(), { 0 }, why, n };
    const char *told = files_told(f, "hash");
    snprintf(why, n, "out of memory");
    int rc = d.arena ? digest_named(f, &d) : -1;
    put_hex(f->named, d.state);
    if (rc == 0 && f->snapshot)
        rc = check_copy(f, why, n);
    else if (rc == 0)
        rc = digest_companions(f, &d, lua);
    put_hex(hex, d.state);
    if (told)
        snprintf(hex, 65, "%s", told);
    arena_free(d.arena);
    return rc;
}

/* ---- the copy ---------------------------------------------------------------------------------------------------- */

struct folder { /* already copied as folders/N */
    struct folder *next;
    const char *path;
    uint32_t number;
};

struct job {
    struct arena *arena;
    const struct config_files *files;
    const char *to;
    const char *const *tell;
    struct folder *folders;
    struct weir_out list; /* the manifest */
    uint32_t count;
    char *why;
    size_t why_n;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static struct folder *copy_folder(struct job *j, const char *from, enum files_with with)
{
    struct folder *known = j->folders;
    while (known && strcmp(known->path, from) != 0)
        known = known->next;
    if (known)
        return known;
    known = arena_zalloc(j->arena, sizeof *known);
    struct weir_str to = arena_printf(j->arena, "%s/folders/%u", j->to, j->count);
    if (!known || !to.p || copying_folder(from, to.p, which_of(with), j->why, j->why_n) != 0)
        return NULL;
    *known = (struct folder){ j->folders, from, j->count++ };
    return j->folders = known;
}

static const char *copy_name(struct job *j, const struct file *file)
{
    if (file->copy)
        return file->copy;
    if (!file->with)
        return arena_printf(j->arena, "files/%u-%s", j->count++, base_name(file->path)).p;
    const struct folder *folder = copy_folder(j, folder_of(j->arena, file->actual), file->with);
    return folder ? arena_printf(j->arena, "folders/%u/%s", folder->number, base_name(file->actual)).p : NULL;
}

static int copy_one(struct job *j, const struct file *file)
{
    const char *name = copy_name(j, file);
    struct weir_str to = name ? arena_printf(j->arena, "%s/%s", j->to, name) : WEIR_NONE;
    if (!to.p)
        return -1;
    json_key_str(&j->list, weir_cstr(file->path));
    json_put_str(&j->list, weir_cstr(name));
    return copying_file(file->actual, to.p, j->why, j->why_n);
}

static void write_globs(struct job *j)
{
    json_key(&j->list, "globs");
    json_object_begin(&j->list);
    for (const struct pattern *p = j->files->patterns; p; p = p->next) {
        json_key_str(&j->list, weir_cstr(p->text));
        json_array_begin(&j->list);
        for (uint32_t i = 0; i < p->n; i++)
            json_put_str(&j->list, weir_cstr(p->names[i]));
        json_array_end(&j->list);
    }
    json_object_end(&j->list);
}

static int copy_files(struct job *j)
{
    json_object_begin(&j->list);
    for (const char *const *pair = j->tell; pair && pair[0]; pair += 2) {
        json_key(&j->list, pair[0]);
        json_put_str(&j->list, weir_cstr(pair[1]));
    }
    json_key(&j->list, "named");
    json_put_str(&j->list, weir_cstr(j->files->named));
    json_key(&j->list, "files");
    json_object_begin(&j->list);
    for (const struct file *file = j->files->first; file; file = file->next)
        if (copy_one(j, file) != 0)
            return -1;
    json_object_end(&j->list);
    write_globs(j);
    json_object_end(&j->list);
    return 0;
}

/* The list comes last: a folder without it was never finished. */
static int write_manifest(struct job *j)
{
    struct weir_str path = arena_printf(j->arena, "%s/manifest.json", j->to);
    if (!path.p || !out_complete(&j->list))
        return -1;
    return copying_write(path.p, out_bytes(&j->list), j->why, j->why_n);
}

static int copy_all(struct job *j, const char *lua)
{
    static const char *const folders[] = { "", "/files", "/folders", "/plugins", "/providers" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct weir_str path = arena_printf(j->arena, "%s%s", j->to, folders[i]);
        if (!path.p || (mkdir(path.p, 0700) != 0 && errno != EEXIST)) {
            snprintf(j->why, j->why_n, "the folder %s can't be made: %s", path.p ? path.p : "", strerror(errno));
            return -1;
        }
    }
    if (copy_files(j) != 0)
        return -1;
    struct weir_str to = arena_printf(j->arena, "%s/lua", j->to);
    if (lua && copying_folder(lua, to.p, COPYING_ALL_BELOW, j->why, j->why_n) != 0)
        return -1;
    return write_manifest(j);
}

int files_copy(const struct config_files *f, const char *folder, const char *lua, const char *const *tell, char *why,
               size_t n)
{
    struct job j = { .arena = arena_new(), .files = f, .to = folder, .tell = tell, .count = 1, .why = why, .why_n = n };
    out_init(&j.list);
    snprintf(why, n, "%s can't be made: out of memory", folder);
    int rc = j.arena ? copy_all(&j, lua) : -1;
    out_free(&j.list);
    arena_free(j.arena);
    return rc;
}
