/* Reading, walking and copying files, for the private copy that a generation lives from. Nothing here outlives its
 * call. */
#include "copying.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    copying_fn fn;
    void *arg;
    const char *root;
    enum copying_which which;
    size_t bytes;
    uint32_t count;
    char *why;
    size_t why_n;
};

static int open_regular(const char *path, size_t max, size_t *size, char *why, size_t n)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(why, n, "%s can't be read: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        snprintf(why, n, "%s is not a file", path);
    } else if ((size_t)st.st_size > max) {
        snprintf(why, n, "%s is larger than %zu MiB", path, max >> 20);
    } else {
        *size = (size_t)st.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The file may grow or shrink meanwhile: what is there at the end, up to `size`, is the content. */
static size_t read_up_to(int fd, char *to, size_t size)
{
    size_t got = 0;
    for (ssize_t k = 1; got < size && k > 0; got += k > 0 ? (size_t)k : 0)
        k = read(fd, to + got, size - got);
    return got;
}

struct weir_str copying_read(struct arena *a, const char *path, size_t max, char *why, size_t n)
{
    size_t size = 0;
    int fd = open_regular(path, max, &size, why, n);
    if (fd < 0)
        return WEIR_NONE;
    char *bytes = arena_alloc(a, size + 1);
    if (!bytes)
        snprintf(why, n, "%s can't be read: out of memory", path);
    size_t got = bytes ? read_up_to(fd, bytes, size) : 0;
    close(fd);
    if (bytes)
        bytes[got] = '\0';
    return (struct weir_str){ bytes, got };
}

static int write_all(int fd, struct weir_str s)
{
    while (s.n) {
        ssize_t k = write(fd, s.p, s.n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -1;
        s.p += k;
        s.n -= (size_t)k;
    }
    return 0;
}

int copying_write(const char *path, struct weir_str bytes, char *why, size_t n)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s.new", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd >= 0 ? write_all(fd, bytes) : -1;
    if (fd >= 0 && close(fd) != 0)
        rc = -1;
    if (rc == 0 && rename(part, path) == 0)
        return 0;
    snprintf(why, n, "%s can't be written: %s", path, strerror(errno));
    return -1;
}

int copying_file(const char *from, const char *to, char *why, size_t n)
{
    struct arena *a = arena_new();
    snprintf(why, n, "%s can't be copied: out of memory", from);
    struct weir_str bytes = a ? copying_read(a, from, COPYING_FILE_MAX, why, n) : WEIR_NONE;
    int rc = bytes.p ? copying_write(to, bytes, why, n) : -1;
    arena_free(a);
    return rc;
}

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static bool is_data(const char *name)
{
    static const char *const suffixes[] = { ".lua", ".json", ".yaml", ".yml" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (n > strlen(suffixes[i]) && strcmp(name + n - strlen(suffixes[i]), suffixes[i]) == 0)
            return true;
    return false;
}

static int walk_folder(struct walk *w, const char *name, uint32_t depth);

static int walk_entry(struct walk *w, const char *name, uint32_t depth)
{
    char path[PATH_MAX];
    struct stat st;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", w->root, name) >= sizeof path || stat(path, &st) != 0)
        return 0; /* a dangling link */
    if (S_ISDIR(st.st_mode))
        return w->which == COPYING_ALL_BELOW ? walk_folder(w, name, depth + 1) : 0;
    if (!S_ISREG(st.st_mode) || (w->which == COPYING_OWN_DATA && !is_data(name)))
        return 0;
    w->bytes += (size_t)st.st_size;
    if (++w->count <= COPYING_COUNT_MAX && w->bytes <= COPYING_FOLDER_MAX)
        return w->fn(w->arg, name, path);
    snprintf(w->why, w->why_n,
             "the folder %s holds more than %d files or %d MiB, all of which would be copied for each generation: "
             "give these files a folder of their own",
             w->root, COPYING_COUNT_MAX, COPYING_FOLDER_MAX >> 20);
    return -1;
}

static int walk_folder(struct walk *w, const char *name, uint32_t depth)
{
    char path[PATH_MAX], below[PATH_MAX];
    struct dirent **entries = NULL;
    if (depth > COPYING_DEPTH_MAX) {
        snprintf(w->why, w->why_n,
                 "the folder %s is nested more than %d levels: give these files a folder of their own", w->root,
                 COPYING_DEPTH_MAX);
        return -1;
    }
    snprintf(path, sizeof path, "%s/%s", w->root, name);
    int n = scandir(path, &entries, is_visible, alphasort), rc = 0;
    if (n < 0) {
        snprintf(w->why, w->why_n, "the folder %s can't be read: %s", path, strerror(errno));
        return -1;
    }
    for (int i = 0; i < n; i++) {
        if (rc == 0 &&
            (size_t)snprintf(below, sizeof below, "%s%s%s", name, *name ? "/" : "", entries[i]->d_name) < sizeof below)
            rc = walk_entry(w, below, depth);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int copying_walk(const char *folder, enum copying_which which, copying_fn fn, void *arg, char *why, size_t n)
{
    struct walk w = { fn, arg, folder, which, 0, 0, why, n };
    return walk_folder(&w, "", 0);
}

struct copy {
    const char *to;
    char *why;
    size_t n;
};

/* mkdir -p for what lies between the target folder and the file. */
static int make_folders(const char *to, const char *name)
{
    char path[PATH_MAX];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%s/%.*s", to, (int)(slash - name), name);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static int copy_entry(void *arg, const char *name, const char *path)
{
    const struct copy *c = arg;
    char to[PATH_MAX];
    if (make_folders(c->to, name) != 0) {
        snprintf(c->why, c->n, "folders below %s can't be made: %s", c->to, strerror(errno));
        return -1;
    }
    snprintf(to, sizeof to, "%s/%s", c->to, name);
    return copying_file(path, to, c->why, c->n);
}

int copying_folder(const char *from, const char *to, enum copying_which which, char *why, size_t n)
{
    struct copy c = { to, why, n };
    if (mkdir(to, 0700) != 0 && errno != EEXIST) {
        snprintf(why, n, "the folder %s can't be made: %s", to, strerror(errno));
        return -1;
    }
    return copying_walk(from, which, copy_entry, &c, why, n);
}
