/* Candidates: lists of targets and the targets in them, as views on what the host knows.
 *
 * Figures that nobody knows are never nil, so that comparisons in a rule do not fail: an unknown price or context is
 * math.huge (dear; large enough), an unknown latency is 0. Every method gives a new list and an empty list stays a
 * list: a chain that ends with nothing left denies the request instead of passing it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

struct candidate_value {
    struct value head;
    struct weir_candidate *c;
};

struct candidates_value {
    struct value head; /* head.n of them */
    struct weir_candidate *list[];
};

void candidate_push(lua_State *L, struct lua_call *c, const struct weir_candidate *cand)
{
    (void)c;
    struct candidate_value *v = value_new(L, VALUE_CANDIDATE, sizeof(*v), 0);
    v->c = (struct weir_candidate *)(uintptr_t)cand;
}

struct weir_candidate *candidate_of(lua_State *L, int index)
{
    return ((struct candidate_value *)value_check(L, index, VALUE_CANDIDATE))->c;
}

static struct candidates_value *push_list(lua_State *L, uint32_t n)
{
    struct candidates_value *v = value_new(L, VALUE_CANDIDATES, sizeof(*v) + n * sizeof(void *), 0);
    return v;
}

void candidates_push(lua_State *L, struct lua_call *c, struct weir_candidate *const *list, uint32_t n)
{
    (void)c;
    n = n > CANDIDATES_MAX ? CANDIDATES_MAX : n;
    struct candidates_value *v = push_list(L, n);
    v->head.n = n;
    if (n)
        memcpy(v->list, list, n * sizeof(void *));
}

struct weir_candidate *const *candidates_of(lua_State *L, int index, uint32_t *n)
{
    struct candidates_value *v = value_check(L, index, VALUE_CANDIDATES);
    *n = v->head.n;
    return v->list;
}

/* ---- fields of one candidate ------------------------------------------------------------------------------------- */

/* Three parts input and one part output, as most traffic is. */
static double price_of(const struct weir_candidate *c)
{
    if (c->price_input < 0 || c->price_output < 0)
        return HUGE_VAL;
    return (3 * c->price_input + c->price_output) / 4;
}

static double known_or_huge(double n)
{
    return n < 0 ? HUGE_VAL : n;
}

/* What weir measures and what providers tell. */
static bool figure_of(const struct weir_candidate *c, const char *key, double *to)
{
    if (strcmp(key, "p95") == 0)
        *to = (double)c->p95_ms / 1000;
    else if (strcmp(key, "throughput") == 0)
        *to = c->throughput;
    else if (strcmp(key, "error_rate") == 0)
        *to = c->error_rate;
    else if (strcmp(key, "answers") == 0)
        *to = c->first_tokens;
    else if (strcmp(key, "left_requests") == 0)
        *to = known_or_huge((double)c->left_requests);
    else if (strcmp(key, "left_tokens") == 0)
        *to = known_or_huge((double)c->left_tokens);
    else
        return false;
    return true;
}

/* A figure by name; false: it is none. */
static bool number_of(const struct weir_candidate *c, const char *key, double *to)
{
    if (strcmp(key, "price") == 0)
        *to = price_of(c);
    else if (strcmp(key, "price_input") == 0)
        *to = known_or_huge(c->price_input);
    else if (strcmp(key, "price_output") == 0)
        *to = known_or_huge(c->price_output);
    else if (strcmp(key, "context") == 0)
        *to = c->context_tokens <= 0 ? HUGE_VAL : (double)c->context_tokens;
    else if (strcmp(key, "latency") == 0)
        *to = (double)c->latency_ms / 1000;
    else if (strcmp(key, "load") == 0)
        *to = c->in_flight;
    else
        return figure_of(c, key, to);
    return true;
}

static bool string_of(const struct weir_candidate *c, const char *key, struct weir_str *to)
{
    if (strcmp(key, "name") == 0)
        *to = c->name;
    else if (strcmp(key, "provider") == 0)
        *to = c->provider;
    else if (strcmp(key, "model") == 0)
        *to = c->model;
    else if (strcmp(key, "region") == 0)
        *to = c->region;
    else if (strcmp(key, "dialect") == 0)
        *to = c->dialect;
    else
        return false;
    return true;
}

/* {"eu-only", "fast", ["eu-only"] = true, …}: a list and a set at once. */
static void push_tags(lua_State *L, const struct weir_candidate *c)
{
    lua_createtable(L, (int)c->n_tags, (int)c->n_tags);
    for (uint32_t i = 0; i < c->n_tags; i++) {
        value_push(L, c->tags[i]);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        lua_pushboolean(L, true);
        lua_rawset(L, -3);
    }
}

static bool push_other(lua_State *L, const struct weir_candidate *c, const char *key)
{
    if (strcmp(key, "healthy") == 0)
        lua_pushboolean(L, c->is_healthy != 0);
    else if (strcmp(key, "breaker") == 0)
        lua_pushstring(L, c->breaker == WEIR_BREAKER_CLOSED ? "closed" : c->breaker == WEIR_BREAKER_OPEN ? "open" : "probing");
    else if (strcmp(key, "unavailable") == 0)
        value_push_or_nil(L, c->unavailable);
    else if (strcmp(key, "tags") == 0)
        push_tags(L, c);
    else if (strcmp(key, "capabilities") == 0)
        push_capabilities(L, c->capabilities);
    else
        return false;
    return true;
}

static const char known_fields[] = "name, provider, model, region, dialect, tags, price, price_input, price_output, "
                                   "context, capabilities, healthy, unavailable, breaker, latency, p95, "
                                   "throughput, error_rate, answers, load, left_requests, left_tokens";

static int candidate_index(lua_State *L)
{
    const struct weir_candidate *c = candidate_of(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    double n;
    struct weir_str s;
    if (string_of(c, key, &s))
        value_push(L, s);
    else if (number_of(c, key, &n))
        lua_pushnumber(L, n);
    else if (!push_other(L, c, key))
        return luaL_error(L, "a candidate has no field \"%s\" (it has %s)", key, known_fields);
    return 1;
}

static int candidate_tostring(lua_State *L)
{
    value_push(L, candidate_of(L, 1)->name);
    return 1;
}

static int candidate_eq(lua_State *L)
{
    const struct candidate_value *a = value_test(L, 1, VALUE_CANDIDATE), *b = value_test(L, 2, VALUE_CANDIDATE);
    lua_pushboolean(L, a && b && weir_eq(candidate_of(L, 1)->name, candidate_of(L, 2)->name));
    return 1;
}

/* ---- where{…} ---------------------------------------------------------------------------------------------------- */

/* A region matches itself and what it contains: "eu" matches "eu-west-1". */
static bool string_fits(const char *key, struct weir_str have, struct weir_str want)
{
    if (weir_eq(have, want))
        return true;
    return strcmp(key, "region") == 0 && want.n > 0 && have.n > want.n && memcmp(have.p, want.p, want.n) == 0 &&
           have.p[want.n] == '-';
}

static bool has_tag(const struct weir_candidate *c, struct weir_str tag)
{
    for (uint32_t i = 0; i < c->n_tags; i++)
        if (weir_eq(c->tags[i], tag))
            return true;
    return false;
}

static bool one_fits(lua_State *L, const struct weir_candidate *c, const char *key, int value)
{
    struct weir_str have;
    double number;
    int type = lua_type(L, value);
    if (type == LUA_TSTRING && string_of(c, key, &have))
        return string_fits(key, have, value_str(L, value));
    if (type == LUA_TSTRING && strcmp(key, "tags") == 0)
        return has_tag(c, value_str(L, value));
    if (type == LUA_TSTRING && strcmp(key, "capabilities") == 0) {
        uint32_t bit = capability_bit(value_str(L, value));
        if (!bit)
            luaL_error(L, "where: there is no capability \"%s\"", lua_tostring(L, value));
        return (c->capabilities & bit) != 0;
    }
    if (type == LUA_TBOOLEAN && strcmp(key, "healthy") == 0)
        return (c->is_healthy != 0) == (bool)lua_toboolean(L, value);
    if (type == LUA_TNUMBER && number_of(c, key, &number))
        return number == lua_tonumber(L, value);
    luaL_error(L, "where: %s can't be compared with a %s; fields are %s", key, value_type_name(L, value), known_fields);
    return false;
}

/* A list of values: any of them; of tags and capabilities: all of them. A table of names (req.needs) is a list too. */
static bool list_fits(lua_State *L, const struct weir_candidate *c, const char *key, int list)
{
    bool is_all = strcmp(key, "tags") == 0 || strcmp(key, "capabilities") == 0, is_any = false;
    for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1)) {
        bool is_name = lua_type(L, -2) == LUA_TSTRING && lua_isboolean(L, -1);
        if (is_name && !lua_toboolean(L, -1))
            continue;
        bool fits = one_fits(L, c, key, lua_absindex(L, is_name ? -2 : -1));
        is_any = is_any || fits;
        if (fits != is_all) {
            lua_pop(L, 2);
            return fits;
        }
    }
    return is_all || is_any;
}

static bool all_fit(lua_State *L, const struct weir_candidate *c, int spec)
{
    for (lua_pushnil(L); lua_next(L, spec); lua_pop(L, 1)) {
        const char *key = lua_tostring(L, -2);
        int value = lua_gettop(L);
        bool fits = lua_istable(L, value) ? list_fits(L, c, key, value) : one_fits(L, c, key, value);
        if (!fits) {
            lua_pop(L, 2);
            return false;
        }
    }
    return true;
}

/* Checks names and types also where an empty list gives nothing to compare with. where{ region = cfg.region } with a
 * nil must not mean "all". */
static void check_spec(lua_State *L, int spec)
{
    static const struct weir_candidate nobody = { .size = sizeof(nobody) };
    int n = 0;
    for (lua_pushnil(L); lua_next(L, spec); lua_pop(L, 1), n++) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "where: give fields by name, as in where{ region = \"eu\" }");
        int value = lua_gettop(L);
        if (lua_istable(L, value))
            list_fits(L, &nobody, lua_tostring(L, -2), value);
        else
            one_fits(L, &nobody, lua_tostring(L, -2), value);
    }
    if (n == 0)
        luaL_error(L, "where: no field is given (or its value is nil)");
}

/* Call with the list at 1 and the fields at 2: those that fit (or don't). */
static int filter(lua_State *L, bool is_wanted)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    lua_settop(L, 2);
    check_spec(L, 2);
    struct candidates_value *to = push_list(L, n);
    for (uint32_t i = 0; i < n; i++)
        if (all_fit(L, list[i], 2) == is_wanted)
            to->list[to->head.n++] = list[i];
    return 1;
}

static int candidates_where(lua_State *L)
{
    value_check(L, 1, VALUE_CANDIDATES);
    if (lua_type(L, 2) == LUA_TTABLE)
        return filter(L, true);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    sandbox_push_prelude(L, "where");
    lua_insert(L, 1);
    return prelude_call(L, 2);
}

static int candidates_without(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    return filter(L, false);
}

/* Those that fit come first; nobody is lost. */
static int candidates_prefer(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    filter(L, true);
    const struct candidates_value *fit = lua_touserdata(L, 3);
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    struct candidates_value *to = push_list(L, n);
    memcpy(to->list, fit->list, fit->head.n * sizeof(void *));
    to->head.n = fit->head.n;
    for (uint32_t i = 0, k = 0; i < n; i++) {
        if (k < fit->head.n && list[i] == fit->list[k])
            k++;
        else
            to->list[to->head.n++] = list[i];
    }
    return 1;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static int compare(const struct weir_candidate *a, const struct weir_candidate *b, const char *key)
{
    struct weir_str s, t;
    double m, n;
    if (number_of(a, key, &m) && number_of(b, key, &n))
        return m < n ? -1 : m > n;
    if (!string_of(a, key, &s) || !string_of(b, key, &t))
        return 0;
    int order = memcmp(s.n ? s.p : "", t.n ? t.p : "", s.n < t.n ? s.n : t.n);
    return order ? order : s.n < t.n ? -1 : s.n > t.n;
}

/* Insertion: stable, and lists are short. */
static void sort(struct weir_candidate **list, uint32_t n, const char *key, int sign)
{
    for (uint32_t i = 1; i < n; i++) {
        struct weir_candidate *c = list[i];
        uint32_t j = i;
        for (; j > 0 && sign * compare(c, list[j - 1], key) < 0; j--)
            list[j] = list[j - 1];
        list[j] = c;
    }
}

static struct candidates_value *push_sorted(lua_State *L, const char *key, int sign)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    struct candidates_value *to = push_list(L, n);
    to->head.n = n;
    memcpy(to->list, list, n * sizeof(void *));
    sort(to->list, n, key, sign);
    return to;
}

static int candidates_by(lua_State *L)
{
    static const struct weir_candidate nobody = { .size = sizeof(nobody) };
    value_check(L, 1, VALUE_CANDIDATES);
    lua_settop(L, 2);
    if (lua_type(L, 2) == LUA_TFUNCTION) {
        sandbox_push_prelude(L, "by");
        lua_insert(L, 1);
        return prelude_call(L, 2);
    }
    const char *key = luaL_checkstring(L, 2);
    int sign = key[0] == '-' ? -1 : 1;
    key += sign < 0;
    double number;
    struct weir_str s;
    if (!number_of(&nobody, key, &number) && !string_of(&nobody, key, &s))
        return luaL_error(L, "by: there is nothing to order by in \"%s\"; fields are %s", key, known_fields);
    push_sorted(L, key, sign);
    return 1;
}

static int candidates_cheapest(lua_State *L)
{
    struct candidates_value *to = push_sorted(L, "price", 1);
    to->head.n = to->head.n > 1 ? 1 : to->head.n;
    return 1;
}

static int candidates_first(lua_State *L)
{
    uint32_t n;
    lua_Integer want = luaL_optinteger(L, 2, 1);
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    want = want < 0 ? 0 : want > (lua_Integer)n ? (lua_Integer)n : want;
    candidates_push(L, engine_call(L), list, (uint32_t)want);
    return 1;
}

int candidates_pick(lua_State *L)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Unsigned want = lua_rawlen(L, 2);
    struct candidates_value *to = push_list(L, want > n ? n : (uint32_t)want);
    for (lua_Unsigned i = 1; i <= want && to->head.n < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i);
        lua_Integer at = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (at >= 1 && at <= (lua_Integer)n)
            to->list[to->head.n++] = list[at - 1];
    }
    return 1;
}

/* ---- as a list --------------------------------------------------------------------------------------------------- */

static int candidates_names(lua_State *L)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        value_push(L, list[i]->name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* Upvalue 1: the methods. */
static int candidates_index(lua_State *L)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    if (lua_isinteger(L, 2)) {
        lua_Integer i = lua_tointeger(L, 2);
        if (i < 1 || i > (lua_Integer)n)
            lua_pushnil(L);
        else
            candidate_push(L, engine_call(L), list[i - 1]);
        return 1;
    }
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL)
        return luaL_error(L, "a list of candidates has no \"%s\" (it has where, without, prefer, by, cheapest, first, "
                             "names)",
                          lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
    return 1;
}

static int candidates_len(lua_State *L)
{
    uint32_t n;
    candidates_of(L, 1, &n);
    lua_pushinteger(L, n);
    return 1;
}

static int candidates_step(lua_State *L)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    lua_Integer i = luaL_optinteger(L, 2, 0) + 1;
    if (i < 1 || i > (lua_Integer)n)
        return 0;
    lua_pushinteger(L, i);
    candidate_push(L, engine_call(L), list[i - 1]);
    return 2;
}

static int candidates_pairs(lua_State *L)
{
    value_check(L, 1, VALUE_CANDIDATES);
    lua_pushcfunction(L, candidates_step);
    lua_pushvalue(L, 1);
    return 2;
}

static int candidates_tostring(lua_State *L)
{
    uint32_t n;
    struct buffer b;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    buffer_open(L, &b);
    for (uint32_t i = 0; i < n; i++) {
        buffer_add(L, &b, ", ", i ? 2 : 0);
        buffer_add(L, &b, list[i]->name.p, list[i]->name.n);
    }
    buffer_push(L, &b);
    return 1;
}

void candidates_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        { "where", candidates_where }, { "without", candidates_without },   { "prefer", candidates_prefer },
        { "by", candidates_by },       { "cheapest", candidates_cheapest }, { "first", candidates_first },
        { "names", candidates_names }, { NULL, NULL },
    };
    static const luaL_Reg list_meta[] = {
        { "__len", candidates_len }, { "__pairs", candidates_pairs }, { "__tostring", candidates_tostring },
        { NULL, NULL },
    };
    static const luaL_Reg one_meta[] = {
        { "__index", candidate_index }, { "__tostring", candidate_tostring }, { "__eq", candidate_eq }, { NULL, NULL },
    };
    value_metatable(L, VALUE_CANDIDATES, "candidates");
    luaL_setfuncs(L, list_meta, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, candidates_index, 1);
    lua_setfield(L, -2, "__index");
    value_metatable(L, VALUE_CANDIDATE, "candidate");
    luaL_setfuncs(L, one_meta, 0);
    lua_pop(L, 2);
}
