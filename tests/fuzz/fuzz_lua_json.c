/* Fuzzing the JSON of the Lua stage. What must hold for every text:
 *   - what the core's reader accepts it accepts, and the other way round, but for the depth and the digits it takes;
 *   - what was decoded and encoded again is accepted again, and encodes to the same;
 *   - no read beyond the bytes.
 */
#include <stdlib.h>

#include "core/json.h"
#include "lua/bindings.c"
#include "lua/json.c"
#include "lua/values.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands behind it in the stage: here there is no run and no limit. */
struct engine engine;
struct lua_call *engine_call(lua_State *L)
{
    (void)L;
    return NULL;
}
void limits_tick(lua_State *L)
{
    (void)L;
}
void limits_need(lua_State *L, const char *what, double estimate_us)
{
    (void)L, (void)what, (void)estimate_us;
}

void sandbox_push_prelude(lua_State *L, const char *name)
{
    (void)name;
    lua_pushnil(L);
}

static lua_State *state;

static int decode(lua_State *L)
{
    json_push(L, *(const struct weir_str *)lua_touserdata(L, 1));
    return 1;
}

static int encode(lua_State *L)
{
    struct buffer b;
    buffer_open(L, &b);
    json_add(L, &b, 1);
    buffer_push(L, &b);
    return 1;
}

/* Pushes the value, or the error: false. */
static bool decoded(struct weir_str text)
{
    lua_pushcfunction(state, decode);
    lua_pushlightuserdata(state, &text);
    return lua_pcall(state, 1, 1, 0) == LUA_OK;
}

static bool encoded(void)
{
    lua_pushcfunction(state, encode);
    lua_insert(state, -2);
    return lua_pcall(state, 1, 1, 0) == LUA_OK;
}

/* Limits that only one of the two has. */
static bool is_limit(const char *error)
{
    return strstr(error, "too deeply") || strstr(error, "too many digits") || strstr(error, "at most");
}

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s (%s)\n", what, lua_tostring(state, -1));
    abort();
}

/* Numbers beyond a double become infinite, and those have no form; tables with numbers as keys can't come from JSON. */
static void check_round_trip(void)
{
    if (!encoded()) {
        require(strstr(lua_tostring(state, -1), "must be finite") != NULL, "what was decoded can be encoded");
        return;
    }
    struct weir_str once = value_str(state, -1);
    require(decoded(once), "what was encoded can be decoded");
    require(encoded(), "and encoded again");
    require(lua_rawlen(state, -1) == once.n, "to as many bytes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!state) {
        state = luaL_newstate();
        lib_json(state);
    }
    lua_settop(state, 1);
    char *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    struct weir_str text = { exact, size };
    struct arena *a = arena_new();
    bool core = json_valid(a, text, (enum weir_json_type)0), own = decoded(text);
    arena_free(a);
    if (core && !own)
        require(is_limit(lua_tostring(state, -1)), "what the core accepts is accepted");
    if (own)
        require(core, "what is accepted the core accepts");
    if (own)
        check_round_trip();
    free(exact);
    lua_gc(state, LUA_GCSTEP, 4);
    return 0;
}
