/* Files of policies: loading them, what they return, and require.
 *
 * A file is compiled and run once per worker, at start, in an environment of its own, and gives a table of hooks;
 * all uses of the same path share them. Only text is accepted: a compiled chunk could break the interpreter's
 * invariants. Paths are those of the generation's own copy, so nothing changes under a running worker.
 *
 * Owner: engine.files, until the worker ends.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"

static char library_folder[512]; /* set once; see file_library() */

/* ---- the Lua library's folder ------------------------------------------------------------------------------------ */

void file_set_library(const char *folder)
{
    snprintf(library_folder, sizeof(library_folder), "%s", folder);
}

/* It lies beside the folder that this shared object was loaded from: in the build, when installed, and in a
 * generation. */
const char *file_library(void)
{
    static const char *const beside[] = { "../lua/lib", "../lua", "../../lua/lib" };
    Dl_info info;
    if (library_folder[0] || !dladdr(&library_folder, &info) || !info.dli_fname)
        return library_folder;
    const char *slash = strrchr(info.dli_fname, '/');
    int n = slash ? (int)(slash - info.dli_fname) : 1;
    for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
        struct stat st;
        snprintf(library_folder, sizeof(library_folder), "%.*s/%s", n, slash ? info.dli_fname : ".", beside[i]);
        if (stat(library_folder, &st) == 0 && S_ISDIR(st.st_mode))
            return library_folder;
    }
    library_folder[0] = 0;
    return library_folder;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Nothing here may raise while the descriptor is open. -1: errno. */
static ssize_t read_all(const char *path, char *to, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t done = 0;
    ssize_t got = 1;
    while (done < n && got > 0) {
        got = read(fd, to + done, n - done);
        done += got > 0 ? (size_t)got : 0;
        if (got < 0 && errno == EINTR)
            got = 1;
    }
    close(fd);
    return got < 0 ? -1 : (ssize_t)done;
}

void file_push_bytes(lua_State *L, const char *path, size_t max)
{
    struct stat st;
    struct buffer b;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        luaL_error(L, "%s: %s", path, errno ? strerror(errno) : "not a file");
    if ((size_t)st.st_size > max)
        luaL_error(L, "%s has %d KiB; at most %d KiB are read", path, (int)(st.st_size >> 10), (int)(max >> 10));
    buffer_open(L, &b);
    char *to = buffer_room(L, &b, (size_t)st.st_size + 1);
    ssize_t n = read_all(path, to, (size_t)st.st_size);
    if (n < 0)
        luaL_error(L, "%s: %s", path, strerror(errno));
    b.n = (size_t)n;
    buffer_push(L, &b);
    lua_remove(L, b.index);
}

/* The last two parts of a path are what a message shows: "policies/route.lua". The folder of a generation's copy has a
 * number before its name, or no other name: that number says nothing to anybody. */
static const char *short_path(const char *path)
{
    const char *last = strrchr(path, '/'), *p = last;
    if (!last)
        return path;
    while (p > path && p[-1] != '/')
        p--;
    const char *name = p + strspn(p, "0123456789");
    if (name == last)
        return last + 1;
    return name > p && *name == '-' ? name + 1 : p;
}

/* Pushes the compiled file with an environment of its own. Raises "policies/x.lua:3: …". */
static void push_chunk(lua_State *L, const char *path)
{
    file_push_bytes(L, path, FILE_BYTES_MAX);
    struct weir_str source = value_str(L, -1);
    lua_pushfstring(L, "@%s", short_path(path));
    if (luaL_loadbufferx(L, source.p, source.n, lua_tostring(L, -1), "t") != LUA_OK)
        lua_error(L);
    sandbox_push_env(L, path);
    lua_setupvalue(L, -2, 1);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* ---- require ----------------------------------------------------------------------------------------------------- */

static const char *check_module(lua_State *L)
{
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    for (size_t i = 0; i < n; i++)
        if (!value_is_name(name + i, 1) && name[i] != '/')
            luaL_error(L, "require: \"%s\" is not a module's name", name);
    if (n == 0 || n > 100 || name[0] == '/' || strstr(name, "..") || strlen(name) != n)
        luaL_error(L, "require: \"%s\" is not a module's name", name);
    return name;
}

/* Pushes the path of a module, or raises with where it was looked for. */
static const char *push_module_path(lua_State *L, const char *folder, const char *name)
{
    const char *library = file_library();
    const char *const folders[] = { folder, library };
    for (int i = 0; i < 2; i++) {
        if (!folders[i][0])
            continue;
        const char *path = lua_pushfstring(L, "%s/%s.lua", folders[i], name);
        if (access(path, R_OK) == 0)
            return path;
        lua_pop(L, 1);
    }
    luaL_error(L, "require: there is no %s.lua in the policy's folder nor in the library (lua/lib)", name);
    return NULL;
}

/* Stack: 1 name, 2 loaded, 3 result. */
static int require_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    if (lua_isnil(L, 3)) {
        lua_pushboolean(L, true);
        lua_replace(L, 3);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    lua_rawset(L, 2);
    lua_settop(L, 3);
    return 1;
}

int lib_require(lua_State *L)
{
    const struct lua_call *c = engine_call(L);
    const char *name = check_module(L);
    if (!c)
        return luaL_error(L, "require is for policies");
    lua_settop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->policy->file->loaded_ref);
    lua_pushvalue(L, 1);
    int type = lua_rawget(L, 2);
    if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1))
        return luaL_error(L, "require: %s.lua requires itself", name);
    if (type != LUA_TNIL)
        return 1;
    lua_settop(L, 2);
    const char *path = push_module_path(L, c->policy->file->folder, name);
    push_chunk(L, path);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, false);
    lua_rawset(L, 2);
    lua_replace(L, 3);
    lua_callk(L, 0, 1, 0, require_end);
    return require_end(L, LUA_OK, 0);
}

/* ---- policy files ------------------------------------------------------------------------------------------------ */

static const char *const hook_fields[LUA_HOOKS] = { NULL, "on_request", "on_failure", "on_finish" };
static const char *const file_fields[] = { "on_request", "on_failure", "on_finish", "name",
                                           "on_error",   "description", NULL };

static void take_hooks(lua_State *L, struct policy_file *f, const char *what)
{
    for (int i = LUA_ON_REQUEST; i < LUA_HOOKS; i++) {
        int type = lua_getfield(L, -1, hook_fields[i]);
        if (type != LUA_TNIL && type != LUA_TFUNCTION)
            luaL_error(L, "%s: %s must be a function, not a %s", what, hook_fields[i], luaL_typename(L, -1));
        if (type == LUA_TNIL)
            lua_pop(L, 1);
        else
            f->hook_ref[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
}

static void take_fields(lua_State *L, struct policy_file *f)
{
    const char *what = short_path(f->path);
    struct weir_str s;
    if (!lua_istable(L, -1))
        luaL_error(L, "%s must end with `return { on_request = function(req, cfg) … end }`; it returned a %s", what,
                   value_type_name(L, -1));
    value_known_fields(L, -1, what, file_fields);
    if (value_field_string(L, -1, what, "name", &s)) {
        if (!value_is_name(s.p, s.n) || s.n > 64)
            luaL_error(L, "%s: name may have letters, digits, '_', '-' and '.' (at most 64)", what);
        free(f->name);
        f->name = strndup(s.p, s.n);
    }
    if (value_field_string(L, -1, what, "on_error", &s)) {
        f->is_pass_on_error = weir_is(s, "pass");
        if (!f->is_pass_on_error && !weir_is(s, "deny"))
            luaL_error(L, "%s: on_error must be \"deny\" or \"pass\"", what);
    }
    take_hooks(L, f, what);
}

static int load_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    take_fields(L, (struct policy_file *)ctx);
    return 0;
}

static int load_body(lua_State *L)
{
    struct policy_file *f = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_createtable(L, 0, 0);
    f->loaded_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    push_chunk(L, f->path);
    lua_callk(L, 0, 1, (lua_KContext)f, load_end);
    return load_end(L, LUA_OK, (lua_KContext)f);
}

static char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static char *folder_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
}

static struct policy_file *file_new(const char *path)
{
    struct policy_file *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->path = strdup(path);
    f->name = base_name(path);
    f->folder = folder_name(path);
    f->loaded_ref = LUA_NOREF;
    for (int i = 0; i < LUA_HOOKS; i++)
        f->hook_ref[i] = LUA_NOREF;
    f->next = engine.files;
    engine.files = f;
    return f;
}

struct policy_file *file_open(struct policy *p, const char *path, char *why, size_t n)
{
    struct policy_file *f = engine.files;
    while (f && (strcmp(f->path, path) != 0 || f->has_broken))
        f = f->next;
    if (f)
        return f;
    f = file_new(path);
    if (!f || !f->path || !f->name || !f->folder) {
        snprintf(why, n, "not enough memory");
        return NULL;
    }
    p->file = f;
    if (engine_run_now(p, load_body, f, why, n) == 0)
        return f;
    f->has_broken = true;
    return NULL;
}

void file_close_all(void)
{
    while (engine.files) {
        struct policy_file *f = engine.files;
        engine.files = f->next;
        free(f->path);
        free(f->name);
        free(f->folder);
        free(f);
    }
}
