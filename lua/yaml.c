/* data(file): YAML or JSON from the policy's folder, as Lua values, read again when the file changes.
 *
 * The file is looked at once a second at most. A changed file that can't be read keeps the old value and says so in the
 * log. YAML goes event by event and gives way to the loop between events; aliases are refused, since a few of them can
 * stand for a billion values.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <yaml.h>

#include "engine.h"

enum { YAML_DEPTH = 32, YAML_LOOK = 64, DATA_MAX = 512 << 10, DATA_CHECK_MS = 1000 };

struct document {
    struct value head;
    yaml_parser_t parser;
    bool is_open;
    int depth;
    uint32_t n;
    struct {
        bool is_map, has_key;
        lua_Integer n;
    } level[YAML_DEPTH + 1];
};

static int document_gc(lua_State *L)
{
    struct document *d = lua_touserdata(L, 1);
    if (d->is_open)
        yaml_parser_delete(&d->parser);
    d->is_open = false;
    return 0;
}

/* ---- scalars ----------------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

static bool push_plain_number(lua_State *L, const char *s, size_t n)
{
    char *end;
    bool is_numeric = n > 0 && n < 40 && strspn(s, "0123456789+-.eE") == n && strpbrk(s, "0123456789");
    if (!is_numeric)
        return false;
    long long i = strtoll(s, &end, 10);
    if (*end == 0 && n < 19) {
        lua_pushinteger(L, i);
        return true;
    }
    double d = strtod(s, &end);
    if (*end != 0)
        return false;
    lua_pushnumber(L, d);
    return true;
}

static void push_scalar(lua_State *L, const yaml_event_t *e)
{
    static const char *const yes[] = { "true", "True", "TRUE", NULL };
    static const char *const no[] = { "false", "False", "FALSE", NULL };
    static const char *const none[] = { "", "~", "null", "Null", "NULL", NULL };
    const char *s = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_plain && is_one_of(s, none))
        lua_pushlightuserdata(L, NULL);
    else if (is_plain && (is_one_of(s, yes) || is_one_of(s, no)))
        lua_pushboolean(L, is_one_of(s, yes));
    else if (!is_plain || !push_plain_number(L, s, n))
        lua_pushlstring(L, s, n);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void fail(lua_State *L, const struct document *d, const char *what)
{
    luaL_error(L, "yaml: line %d: %s", (int)d->parser.mark.line + 1, what);
}

/* A value stands at the top: into the container below it, or as its next key. */
static void place(lua_State *L, struct document *d)
{
    if (d->depth == 0)
        return;
    if (!d->level[d->depth].is_map) {
        lua_rawseti(L, -2, ++d->level[d->depth].n);
        return;
    }
    if (!d->level[d->depth].has_key) {
        if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
            fail(L, d, "a key must be a text or a number");
        d->level[d->depth].has_key = true;
        return;
    }
    d->level[d->depth].has_key = false;
    if (lua_islightuserdata(L, -1))
        lua_pop(L, 2); /* null: absent */
    else
        lua_rawset(L, -3);
}

static void begin_container(lua_State *L, struct document *d, bool is_map)
{
    if (d->depth == YAML_DEPTH)
        fail(L, d, "too deeply nested");
    luaL_checkstack(L, 8, "yaml");
    lua_createtable(L, 0, 0);
    d->depth++;
    d->level[d->depth].is_map = is_map;
    d->level[d->depth].has_key = false;
    d->level[d->depth].n = 0;
}

/* false: the document has ended. */
static bool take_event(lua_State *L, struct document *d, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        push_scalar(L, e);
        place(L, d);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        begin_container(L, d, e->type == YAML_MAPPING_START_EVENT);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        d->depth--;
        place(L, d);
        break;
    case YAML_ALIAS_EVENT:
        fail(L, d, "aliases are not supported");
        break;
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        return false;
    default:
        break;
    }
    return true;
}

static int yaml_go_on(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    struct document *d = lua_touserdata(L, 2);
    yaml_event_t *e = lua_touserdata(L, 3);
    for (bool is_more = true; is_more;) {
        yaml_event_delete(e); /* of the round before; a raise leaves it to the finalizer below */
        if (!yaml_parser_parse(&d->parser, e))
            fail(L, d, d->parser.problem ? d->parser.problem : "not enough memory");
        is_more = take_event(L, d, e);
        if (++d->n % YAML_LOOK == 0 && limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, 0, yaml_go_on);
    }
    if (lua_gettop(L) < 4)
        lua_createtable(L, 0, 0);
    return 1;
}

static int event_gc(lua_State *L)
{
    yaml_event_delete(lua_touserdata(L, 1));
    return 0;
}

static void set_finalizer(lua_State *L, lua_CFunction fn)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
}

/* Stack: 1 text, 2 document, 3 event, then what is being built. */
int yaml_load(lua_State *L)
{
    struct weir_str text = value_str(L, 1);
    lua_settop(L, 1);
    struct document *d = lua_newuserdatauv(L, sizeof(*d), 0);
    memset(d, 0, sizeof(*d));
    d->head.type = VALUE_YAML;
    set_finalizer(L, document_gc);
    yaml_event_t *e = lua_newuserdatauv(L, sizeof(*e), 0);
    memset(e, 0, sizeof(*e));
    set_finalizer(L, event_gc);
    if (!yaml_parser_initialize(&d->parser))
        return luaL_error(L, "yaml: not enough memory");
    d->is_open = true;
    yaml_parser_set_input_string(&d->parser, (const unsigned char *)text.p, text.n);
    return yaml_go_on(L, LUA_OK, 0);
}

/* ---- data(file) -------------------------------------------------------------------------------------------------- */

struct stamp {
    int64_t mtime_ns;
    off_t size;
    ino_t inode;
};

struct data_state {
    struct value head; /* user value 1: what was read */
    int64_t checked_ms;
    struct stamp read, reading;
};

static struct stamp stamp_of(const struct stat *st)
{
    int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    return (struct stamp){ mtime_ns, st->st_size, st->st_ino };
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->mtime_ns == b->mtime_ns && a->size == b->size && a->inode == b->inode;
}

static const char *check_name(lua_State *L)
{
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    for (size_t i = 0; i < n; i++)
        if (!value_is_name(name + i, 1) && name[i] != '/')
            luaL_error(L, "data: \"%s\" is not a file of the policy's folder", name);
    if (n == 0 || n > 200 || name[0] == '/' || strstr(name, "..") || strlen(name) != n)
        luaL_error(L, "data: \"%s\" is not a file of the policy's folder", name);
    return name;
}

/* Pushes the state of this file, made at the first use. Key: the name behind a byte that no module's name has. */
static struct data_state *push_state(lua_State *L, const struct policy_file *f, const char *name)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->loaded_ref);
    lua_pushfstring(L, "=%s", name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TUSERDATA) {
        lua_replace(L, -3);
        lua_pop(L, 1);
        return lua_touserdata(L, -1);
    }
    lua_pop(L, 1);
    struct data_state *d = value_new(L, VALUE_BUFFER, sizeof(*d), 1);
    lua_pushvalue(L, -1);
    lua_insert(L, -4);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    return d;
}

/* Stack: 1 name, 2 state, 3 path, 4 value or error. */
static int data_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    struct data_state *d = lua_touserdata(L, 2);
    struct lua_call *c = engine_call(L);
    if (!c->killed[0])
        d->read = d->reading;
    if (status == LUA_OK || status == LUA_YIELD) {
        lua_pushvalue(L, 4);
        lua_setiuservalue(L, 2, 1);
        return 1;
    }
    if (c->killed[0])
        return lua_error(L);
    const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    if (lua_getiuservalue(L, 2, 1) == LUA_TNIL)
        return luaL_error(L, "data: %s: %s", lua_tostring(L, 1), why);
    engine.host->log(c->policy->inst, WEIR_LOG_WARN, "policy %s: data %s: %s; what was read before stays in use",
                     c->policy->file->name, lua_tostring(L, 1), why);
    return 1;
}

static int parse_body(lua_State *L)
{
    const char *path = lua_tostring(L, 1);
    size_t n = strlen(path);
    bool is_json = n > 5 && strcmp(path + n - 5, ".json") == 0;
    file_push_bytes(L, path, DATA_MAX);
    if (is_json) {
        json_push(L, value_str(L, -1));
        return 1;
    }
    lua_replace(L, 1);
    lua_settop(L, 1);
    return yaml_load(L);
}

int lib_data(lua_State *L)
{
    struct stat st = { 0 };
    const struct lua_call *c = engine_call(L);
    const char *name = check_name(L);
    lua_settop(L, 1);
    struct data_state *d = push_state(L, c->policy->file, name);
    int64_t now_ms = engine.host->now_ms();
    bool has_value = lua_getiuservalue(L, 2, 1) != LUA_TNIL;
    if (has_value && now_ms >= d->checked_ms && now_ms - d->checked_ms < DATA_CHECK_MS)
        return 1;
    const char *path = lua_pushfstring(L, "%s/%s", c->policy->file->folder, name);
    d->checked_ms = now_ms;
    if (stat(path, &st) < 0 && !has_value)
        return luaL_error(L, "data: %s: %s", name, strerror(errno));
    d->reading = stamp_of(&st);
    if (has_value && same_stamp(&d->read, &d->reading)) {
        lua_pushvalue(L, 3);
        return 1;
    }
    lua_replace(L, 3); /* the path */
    lua_pushcfunction(L, parse_body);
    lua_pushvalue(L, 3);
    return data_end(L, lua_pcallk(L, 1, 1, 0, 0, data_end), 0);
}
