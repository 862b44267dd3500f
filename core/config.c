/* Reading a configuration, from the file to a checked struct config: the order of things, and the settings of the
 * top level.
 *
 * The arena made here owns the configuration; config_free() gives it back. Plugins stay loaded: nothing is ever
 * unloaded.
 */
#include "config.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "config_read.h"
#include "log.h"

enum { WORKERS_MAX = 32, LISTENERS_MAX = 16 };

/* ---- addresses ---- */

static bool is_address(const char *text)
{
    if (strncmp(text, "unix:", 5) == 0)
        return text[5] == '/' && strlen(text + 5) < sizeof((struct sockaddr_un *)0)->sun_path;
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon == text || !colon[1] || strlen(text) > 150)
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end || port > 65535 || colon[1] == '-' || colon[1] == '+' || colon[1] == ' ')
        return false;
    bool is_v6 = text[0] == '[';
    return is_v6 ? colon[-1] == ']' : memchr(text, ':', (size_t)(colon - text)) == NULL;
}

static void read_listen(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "listen" };
    struct config *c = base;
    uint32_t n;
    if (value_list(r, &rule, node, &c->listen, &n))
        return;
    if (n == 0 || n > LISTENERS_MAX)
        mistake(r, node, "listen takes 1 to %d addresses, as in [127.0.0.1:8080]", LISTENERS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const struct tree_node *at = node->type == TREE_LIST ? node->items[i] : node;
        if (!is_address(c->listen[i]))
            mistake(r, at,
                    "listen: \"%.160s\" is no address: write 127.0.0.1:8080, [::1]:8080 or unix:/run/weir/weir.sock",
                    c->listen[i]);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(c->listen[i], c->listen[k]) == 0)
                mistake(r, at, "listen: \"%.160s\" is written twice", c->listen[i]);
    }
}

static void read_log_level(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "log_level", .choices = "error|warn|info|debug" };
    int32_t choice;
    if (value_choice(r, &rule, node, &choice) == 0)
        ((struct config *)base)->log_level = LOG_LEVEL_ERROR + choice;
}

static void read_on_loss(struct reader *r, const struct tree_node *node, void *base)
{
    ((struct config *)base)->on_loss = on_loss_read(r, node);
}

static void read_path(struct reader *r, const struct tree_node *node, const char *name, const char **to)
{
    const struct value_rule rule = { .name = name };
    const char *path;
    if (value_string(r, &rule, node, &path))
        return;
    if (!path[0])
        mistake(r, node, "%s is empty", name);
    *to = path_absolute(r, node->file, path);
}

static void read_state(struct reader *r, const struct tree_node *node, void *base)
{
    read_path(r, node, "state", &((struct config *)base)->state_dir);
}

static void read_admin(struct reader *r, const struct tree_node *node, void *base)
{
    struct config *c = base;
    read_path(r, node, "admin", &c->admin);
    if (c->admin && strlen(c->admin) >= sizeof((struct sockaddr_un *)0)->sun_path)
        mistake(r, node, "admin: the path of a socket has at most %zu bytes, this one has %zu",
                sizeof((struct sockaddr_un *)0)->sun_path - 1, strlen(c->admin));
}

/* ---- the table ---- */

#define LIMIT(member) .offset = offsetof(struct edge_limits, member)
static const struct field limit_fields[] = {
    { .name = "header",
      .type = FIELD_SIZE32,
      LIMIT(header_bytes),
      .fallback = "64KiB",
      .min = 1024,
      .max = 1048576,
      .help = "A request's head; beyond it 431." },
    { .name = "body",
      .type = FIELD_SIZE64,
      LIMIT(body_bytes),
      .fallback = "32MiB",
      .min = 1024,
      .max = 4e9,
      .help = "A request's body; beyond it 413." },
    { .name = "body_memory",
      .type = FIELD_SIZE64,
      LIMIT(body_memory),
      .fallback = "512MiB",
      .min = 1048576,
      .max = 1e12,
      .help = "All bodies of a worker; beyond it 503 with Retry-After." },
    { .name = "header_time",
      .type = FIELD_MS,
      LIMIT(header_ms),
      .fallback = "10s",
      .min = 100,
      .max = 3600e3,
      .help = "For a request's head to arrive; 408." },
    { .name = "body_idle",
      .type = FIELD_MS,
      LIMIT(body_idle_ms),
      .fallback = "30s",
      .min = 100,
      .max = 3600e3,
      .help = "Between two bytes of a body; 408." },
    { .name = "idle",
      .type = FIELD_MS,
      LIMIT(idle_ms),
      .fallback = "75s",
      .min = 100,
      .max = 86400e3,
      .help = "Between two requests on a connection." },
    { .name = "write_idle",
      .type = FIELD_MS,
      LIMIT(write_idle_ms),
      .fallback = "60s",
      .min = 100,
      .max = 86400e3,
      .help = "A client that takes no byte for so long is gone." },
    { .name = "high_water",
      .type = FIELD_SIZE32,
      LIMIT(high_water),
      .fallback = "256KiB",
      .min = 4096,
      .max = 1e9,
      .help = "Unsent bytes that pause the provider." },
    { .name = "low_water",
      .type = FIELD_SIZE32,
      LIMIT(low_water),
      .fallback = "64KiB",
      .min = 1024,
      .max = 1e9,
      .help = "Unsent bytes below which it goes on." },
    { .name = "connections",
      .type = FIELD_U32,
      LIMIT(max_connections),
      .fallback = "16384",
      .min = 1,
      .max = 1000000,
      .help = "Clients of a worker." },
    { .name = NULL },
};
#undef LIMIT

#define MIRRORS(member) .offset = offsetof(struct config_mirrors, member)
static const struct field mirror_fields[] = {
    { .name = "most",
      .type = FIELD_U32,
      MIRRORS(most),
      .fallback = "64",
      .min = 0,
      .max = 100000,
      .help = "So many at the same time; what comes then is dropped. 0: none." },
    { .name = "memory",
      .type = FIELD_SIZE64,
      MIRRORS(bytes),
      .fallback = "32MiB",
      .min = 1024,
      .max = 1e12,
      .help = "All bodies of the requests that they copy." },
    { .name = "answer",
      .type = FIELD_SIZE32,
      MIRRORS(answer_bytes),
      .fallback = "1MiB",
      .min = 1024,
      .max = 1e9,
      .help = "A whole answer, or one event of a stream; a larger one is given up." },
    { .name = "total",
      .type = FIELD_MS,
      MIRRORS(total_ms),
      .fallback = "2m",
      .min = 1,
      .max = 86400e3,
      .help = "After that one is given up." },
    { .name = NULL },
};
#undef MIRRORS

static const struct field default_timeout_fields[] = {
    { .name = "connect",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_CONNECT * sizeof(uint32_t),
      .fallback = "5s",
      .help = "Until the connection to a provider stands." },
    { .name = "first_token",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_FIRST_TOKEN * sizeof(uint32_t),
      .fallback = "120s",
      .help = "Until a stream's first content." },
    { .name = "idle",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_IDLE * sizeof(uint32_t),
      .fallback = "60s",
      .help = "Between two bytes of an answer." },
    { .name = "total",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_TOTAL * sizeof(uint32_t),
      .fallback = "600s",
      .help = "The whole request." },
    { .name = NULL },
};

#define STRING_OR_LIST "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}"
#define MAP_OF(name) "{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#/$defs/" name "\"}}"
#define MAP_OF_OR_NULL(name)                                                                                           \
    "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"$ref\":\"#/$defs/" name "\"},{\"type\":\"null\"}]}}"
#define LIST_OF(name) "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/" name "\"}}"
#define AT(member) .offset = offsetof(struct config, member)
const struct field config_fields[] = {
    { .name = "listen",
      .type = FIELD_OWN,
      .read = read_listen,
      .fallback = "127.0.0.1:8080",
      .schema = STRING_OR_LIST,
      .help = "Addresses: 127.0.0.1:8080, [::1]:8080, unix:/path." },
    { .name = "providers", .type = FIELD_ELSEWHERE, .schema = MAP_OF_OR_NULL("provider"), .help = "Who computes the answers." },
    { .name = "models",
      .type = FIELD_ELSEWHERE,
      .schema = MAP_OF("model"),
      .help = "Names that callers ask for; one may end in a star." },
    { .name = "keys", .type = FIELD_ELSEWHERE, .schema = LIST_OF("key"), .help = "Virtual keys: who may call." },
    { .name = "entry",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"$ref\":\"#/$defs/pipeline\"}",
      .help = "Stages that every request passes before a route is chosen." },
    { .name = "routes",
      .type = FIELD_ELSEWHERE,
      .schema = LIST_OF("route"),
      .help = "The first that matches adds its stages." },
    { .name = "plugins",
      .type = FIELD_ELSEWHERE,
      .schema = STRING_OR_LIST,
      .help = "Plugins that don't lie beside the program; patterns are allowed." },
    { .name = "secrets",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}",
      .help = "Named values that scripts may send without seeing them: env:NAME or file:PATH." },
    { .name = "include",
      .type = FIELD_ELSEWHERE,
      .schema = STRING_OR_LIST,
      .help = "More files, merged with this one; patterns are allowed." },
    { .name = "admin",
      .type = FIELD_OWN,
      .read = read_admin,
      .schema = "{\"type\":\"string\"}",
      .help = "The unix socket of commands and metrics; else admin.sock in the state folder." },
    { .name = "state",
      .type = FIELD_OWN,
      .read = read_state,
      .schema = "{\"type\":\"string\"}",
      .help = "The folder for generations and the admin socket." },
    { .name = "user", .type = FIELD_STRING, AT(user), .help = "Who weir becomes when it is started as root." },
    { .name = "name",
      .type = FIELD_STRING,
      AT(name),
      .fallback = "weir",
      .min = 1,
      .max = 60,
      .help = "This instance, in records and metrics." },
    { .name = "workers",
      .type = FIELD_U32,
      AT(workers),
      .min = 0,
      .max = WORKERS_MAX,
      .help = "Worker processes; 0: everything in one process, for debuggers; else one per CPU." },
    { .name = "watchdog",
      .type = FIELD_MS,
      AT(watchdog_ms),
      .fallback = "2s",
      .max = 600e3,
      .help = "A worker whose loop is silent for so long is ended; off: never." },
    { .name = "shutdown_delay",
      .type = FIELD_MS,
      AT(shutdown_delay_ms),
      .fallback = "0s",
      .max = 3600e3,
      .help = "After SIGTERM /readyz is 503 for so long before listeners close." },
    { .name = "drain",
      .type = FIELD_MS,
      AT(drain_ms),
      .fallback = "30s",
      .max = 86400e3,
      .help = "Streams may run so long after a SIGTERM or a reload." },
    { .name = "stage_wait",
      .type = FIELD_MS,
      AT(stage_wait_ms),
      .fallback = "30s",
      .max = 3600e3,
      .help = "A stage may wait so long." },
    { .name = "limits", .type = FIELD_TABLE, AT(limits), .table = limit_fields, .help = "What a client may cost." },
    { .name = "mirrors",
      .type = FIELD_TABLE,
      AT(mirrors),
      .table = mirror_fields,
      .help = "What copies for other models may cost a worker." },
    { .name = "timeouts",
      .type = FIELD_TABLE,
      AT(timeouts),
      .table = default_timeout_fields,
      .help = "For calls to providers; 0 or off: none." },
    { .name = "keepalive",
      .type = FIELD_MS,
      AT(keepalive_ms),
      .fallback = "15s",
      .max = 3600e3,
      .help = "Silence in a stream before a comment is sent; off: none." },
    { .name = "keepalive_before_first_token",
      .type = FIELD_MS,
      AT(keepalive_first_ms),
      .fallback = "off",
      .max = 3600e3,
      .help =
          "The same before the first token: it opens the answer early, so a later failure is an event, not a status." },
    { .name = "log_level",
      .type = FIELD_OWN,
      .read = read_log_level,
      .fallback = "info",
      .schema = "{\"enum\":[\"error\",\"warn\",\"info\",\"debug\"]}",
      .help = "Of the operator's log on stderr." },
    { .name = "on_loss",
      .type = FIELD_OWN,
      .read = read_on_loss,
      .fallback = "default",
      .schema = CONFIG_ON_LOSS_SCHEMA,
      .help = "When a target's dialect can't say what a request uses: warn (a header names it), refuse (another target, or 400), "
              "allow (only the record tells); default: warn, but refuse for tools, tool_choice, response_format, n, stop and "
              "modalities." },
    { .name = NULL },
};
#undef AT

/* ---- defaults that depend on the machine ---- */

static uint32_t count_cpus(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}

static const char *user_state(struct reader *r)
{
    const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (base && base[0] == '/')
        return arena_printf(r->a, "%s/weir", base).p;
    return arena_printf(r->a, "%s/.local/state/weir", home && home[0] == '/' ? home : "/var/tmp").p;
}

/* Under systemd its own StateDirectory=; with a configuration in /etc the machine's weir, in /var/lib/weir.
 * Otherwise `.weir` beside the configuration: two checkouts don't wait for each other's lock, nothing is strewn
 * over the machine, and it works the same for root and for a user. Where that can't be written (an installed
 * example): the user's own state. */
static const char *default_state(struct reader *r)
{
    const char *told = getenv("STATE_DIRECTORY"), *path = path_absolute(r, NULL, r->c->path);
    if (told && told[0] == '/')
        return arena_printf(r->a, "%.*s", (int)strcspn(told, ":"), told).p;
    if (strncmp(path, "/etc/", 5) == 0 && geteuid() == 0)
        return "/var/lib/weir";
    const char *folder = arena_printf(r->a, "%.*s", (int)(strrchr(path, '/') - path), path).p;
    return folder && access(folder[0] ? folder : "/", W_OK) == 0 ? arena_printf(r->a, "%s/.weir", folder).p
                                                                 : user_state(r);
}

static void complete_paths(struct reader *r)
{
    struct config *c = r->c;
    if (!c->state_dir)
        c->state_dir = default_state(r);
    if (c->admin)
        return;
    c->admin = arena_printf(r->a, "%s/admin.sock", c->state_dir).p;
    if (c->admin && strlen(c->admin) >= sizeof((struct sockaddr_un *)0)->sun_path)
        mistake(r, r->root,
                "the path of the admin socket, %s, is too long for one: name a shorter one, as in `admin: "
                "/run/weir.sock`, or another `state`",
                c->admin);
}

/* ---- the order of things ---- */

static void read_all(struct reader *r)
{
    const struct tree_node *root = r->root;
    table_read(r, config_fields, NULL, root, r->c);
    facts_read(r);
    catalogue_read(r);
    plugins_read(r, tree_get(root, "plugins"));
    providers_read(r, tree_get(root, "providers"));
    models_read(r, tree_get(root, "models"));
    keys_read(r, tree_get(root, "keys"));
    secrets_read(r, tree_get(root, "secrets"));
    r->c->entry = stages_read(r, tree_get(root, "entry"), &r->c->n_entry);
    routes_read(r, tree_get(root, "routes"));
    if (!tree_get(root, "workers"))
        r->c->workers = count_cpus();
    complete_paths(r);
    checks_run(r);
}

static const char *lua_folder(struct reader *r)
{
    const char *path = arena_printf(r->a, "%s/lua", r->library).p;
    return path && access(path, R_OK) == 0 ? path : NULL;
}

static void digest(struct reader *r)
{
    char why[600] = "";
    if (files_digest(r->files, lua_folder(r), r->c->hash, why, sizeof why))
        mistake(r, NULL, "%s", why);
}

static bool begin(struct reader *r)
{
    char why[600] = "";
    r->files = files_new(r->a, r->snapshot, why, sizeof why);
    if (!r->files) {
        mistake(r, NULL, "%s", why);
        return false;
    }
    const char *library = files_told(r->files, "library");
    r->library = library ? library : config_plugin_dir();
    return documents_read(r);
}

static bool open_reader(struct reader *r, const char *path, const char *snapshot)
{
    r->a = arena_new();
    r->c = r->a ? arena_zalloc(r->a, sizeof *r->c) : NULL;
    if (!r->c) {
        mistake(r, NULL, "the configuration can't be read: out of memory");
        arena_free(r->a);
        return false;
    }
    r->c->arena = r->a;
    r->c->path = arena_copy(r->a, weir_cstr(path)).p;
    r->snapshot = snapshot ? arena_copy(r->a, weir_cstr(snapshot)).p : NULL;
    return true;
}

struct config *config_load(const char *path, const char *snapshot, enum config_mode mode, struct config_errors *errors)
{
    struct reader r = { .errors = errors, .mode = mode };
    *errors = (struct config_errors){ NULL, 0, 0 };
    if (!open_reader(&r, path, snapshot))
        return NULL;
    if (begin(&r)) {
        read_all(&r);
        digest(&r);
        r.c->files = r.files;
    }
    if (arena_failed(r.a))
        mistake(&r, NULL, "the configuration can't be read: out of memory");
    errors_sort(errors);
    if (errors->n_errors == 0)
        return r.c;
    arena_free(r.a);
    return NULL;
}

struct config *config_shipped(void)
{
    struct config_errors errors = { NULL, 0, 0 };
    struct reader r = { .errors = &errors };
    char why[600] = "";
    if (!open_reader(&r, "", NULL))
        return NULL;
    r.files = files_new(r.a, NULL, why, sizeof why);
    r.library = config_plugin_dir();
    if (r.files) {
        facts_read(&r);
        catalogue_read(&r);
    }
    config_errors_print(&errors, STDERR_FILENO);
    config_errors_free(&errors);
    return r.c;
}

/* Whatever else is wrong with the file: whoever asks wants to talk to the weir that runs already. */
int config_admin_path(const char *path, char *buf, size_t n, char *why, size_t why_n)
{
    struct config_errors errors = { NULL, 0, 0 };
    struct reader r = { .errors = &errors };
    if (!open_reader(&r, path, NULL)) {
        snprintf(why, why_n, "out of memory");
        config_errors_free(&errors);
        return -1;
    }
    bool has_root = begin(&r);
    const struct tree_node *state = tree_get(r.root, "state"), *admin = tree_get(r.root, "admin");
    if (has_root && state && !tree_is_null(state))
        read_state(&r, state, r.c);
    if (has_root && admin && !tree_is_null(admin))
        read_admin(&r, admin, r.c);
    if (has_root)
        complete_paths(&r);
    bool is_known = has_root && r.c->admin && strlen(r.c->admin) < n;
    if (is_known)
        snprintf(buf, n, "%s", r.c->admin);
    else if (errors.n && errors.list[0].place.file)
        snprintf(why, why_n, "%s:%u: %s", errors.list[0].place.file, errors.list[0].place.line, errors.list[0].text);
    else
        snprintf(why, why_n, "%s", errors.n ? errors.list[0].text : "the path of the admin socket is too long");
    config_errors_free(&errors);
    arena_free(r.a);
    return is_known ? 0 : -1;
}

void config_free(struct config *c)
{
    if (c)
        arena_free(c->arena);
}

int config_snapshot(const struct config *c, const char *folder, char *why, size_t n)
{
    char lua[PATH_MAX];
    const char *told = files_told(c->files, "library"), *library = told ? told : config_plugin_dir();
    const char *const tell[] = { "config", c->path, "library", library, "hash", c->hash, NULL, NULL };
    snprintf(lua, sizeof lua, "%s/lua", library);
    return files_copy(c->files, folder, access(lua, R_OK) == 0 ? lua : NULL, tell, why, n);
}

bool config_matches(const char *pattern, struct weir_str s)
{
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*')
        return s.n >= n - 1 && memcmp(pattern, s.p ? s.p : "", n - 1) == 0;
    return s.n == n && memcmp(pattern, s.p ? s.p : "", n) == 0;
}
