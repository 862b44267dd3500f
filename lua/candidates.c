/* Candidates: lists of targets and the targets in them, as views on what the host knows.
 *
 * Their fields are in candidate_fields.c. Every method gives a new list and an empty list stays a
 * list: a chain that ends with nothing left denies the request instead of passing it.
 */
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

/* For messages: the names of all fields, with commas between. */
static const char *known_fields(lua_State *L)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (const struct candidate_field *f = candidate_fields; f->binding.name; f++) {
        luaL_addstring(&b, f == candidate_fields ? "" : ", ");
        luaL_addstring(&b, f->binding.name);
    }
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

static void push_field(lua_State *L, const struct candidate_field *f, const struct weir_candidate *c)
{
    if (f->number)
        lua_pushnumber(L, f->number(c));
    else if (f->string)
        value_push(L, candidate_string(f, c));
    else
        f->push(L, c);
}

/* Upvalue 1: name -> field (light userdata). */
static int candidate_index(lua_State *L)
{
    const struct weir_candidate *c = candidate_of(L, 1);
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TLIGHTUSERDATA)
        return luaL_error(L, "a candidate has no field \"%s\" (it has %s)",
                          lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?", known_fields(L));
    push_field(L, lua_touserdata(L, -1), c);
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
static bool string_fits(const struct candidate_field *f, struct weir_str have, struct weir_str want)
{
    if (weir_eq(have, want))
        return true;
    return f->string == offsetof(struct weir_candidate, region) && want.n > 0 && have.n > want.n &&
           memcmp(have.p, want.p, want.n) == 0 && have.p[want.n] == '-';
}

static bool has_tag(const struct weir_candidate *c, struct weir_str tag)
{
    for (uint32_t i = 0; i < c->n_tags; i++)
        if (weir_eq(c->tags[i], tag))
            return true;
    return false;
}

static bool is_set(const struct candidate_field *f)
{
    return strcmp(f->binding.name, "tags") == 0 || strcmp(f->binding.name, "capabilities") == 0;
}

/* A tag or a capability. */
static bool set_has(lua_State *L, const struct weir_candidate *c, const struct candidate_field *f, int value)
{
    if (f->binding.name[0] == 't')
        return has_tag(c, value_str(L, value));
    uint32_t bit = capability_bit(value_str(L, value));
    if (!bit)
        luaL_error(L, "where: there is no capability \"%s\"", lua_tostring(L, value));
    return (c->capabilities & bit) != 0;
}

static const struct candidate_field *field_at(lua_State *L, int key, int value)
{
    const char *name = lua_tostring(L, key);
    const struct candidate_field *f = candidate_field(name);
    if (!f)
        luaL_error(L, "where: %s can't be compared with a %s; fields are %s", name, value_type_name(L, value), known_fields(L));
    return f;
}

static bool one_fits(lua_State *L, const struct weir_candidate *c, const struct candidate_field *f, int value)
{
    int type = lua_type(L, value);
    if (type == LUA_TSTRING && f->string)
        return string_fits(f, candidate_string(f, c), value_str(L, value));
    if (type == LUA_TSTRING && is_set(f))
        return set_has(L, c, f, value);
    if (type == LUA_TBOOLEAN && strcmp(f->binding.name, "healthy") == 0)
        return (c->is_healthy != 0) == (bool)lua_toboolean(L, value);
    if (type == LUA_TBOOLEAN && strcmp(f->binding.name, "mirror") == 0)
        return ((c->flags & WEIR_CANDIDATE_MIRROR) != 0) == (bool)lua_toboolean(L, value);
    if (type == LUA_TNUMBER && f->number)
        return f->number(c) == lua_tonumber(L, value);
    luaL_error(L, "where: %s can't be compared with a %s; fields are %s", f->binding.name, value_type_name(L, value),
               known_fields(L));
    return false;
}

/* A list of values: any of them; of tags and capabilities: all of them. A table of names (req.needs) is a list too. */
static bool list_fits(lua_State *L, const struct weir_candidate *c, const struct candidate_field *f, int list)
{
    bool is_all = is_set(f), is_any = false;
    for (lua_pushnil(L); lua_next(L, list); lua_pop(L, 1)) {
        bool is_name = lua_type(L, -2) == LUA_TSTRING && lua_isboolean(L, -1);
        if (is_name && !lua_toboolean(L, -1))
            continue;
        bool fits = one_fits(L, c, f, lua_absindex(L, is_name ? -2 : -1));
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
        int value = lua_gettop(L);
        const struct candidate_field *f = field_at(L, -2, value);
        bool fits = lua_istable(L, value) ? list_fits(L, c, f, value) : one_fits(L, c, f, value);
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
        const struct candidate_field *f = field_at(L, -2, value);
        if (lua_istable(L, value))
            list_fits(L, &nobody, f, value);
        else
            one_fits(L, &nobody, f, value);
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

/* What to order by: a field, rising or falling. */
struct order {
    const struct candidate_field *field;
    int sign;
};

static struct order order_of(lua_State *L, int index)
{
    const char *key = luaL_checkstring(L, index);
    struct order o = { .sign = key[0] == '-' ? -1 : 1 };
    key += o.sign < 0;
    o.field = candidate_field(key);
    if (!o.field || (!o.field->number && !o.field->string))
        luaL_error(L, "by: there is nothing to order by in \"%s\"; fields are %s", key, known_fields(L));
    return o;
}

static int compare_strings(struct weir_str s, struct weir_str t)
{
    int order = memcmp(s.n ? s.p : "", t.n ? t.p : "", s.n < t.n ? s.n : t.n);
    return order ? order : s.n < t.n ? -1 : s.n > t.n;
}

/* Insertion: stable, and lists are short. */
static void sort_by_string(struct weir_candidate **list, uint32_t n, struct order o)
{
    for (uint32_t i = 1; i < n; i++) {
        struct weir_candidate *c = list[i];
        struct weir_str s = candidate_string(o.field, c);
        uint32_t j = i;
        for (; j > 0 && o.sign * compare_strings(s, candidate_string(o.field, list[j - 1])) < 0; j--)
            list[j] = list[j - 1];
        list[j] = c;
    }
}

/* The numbers move with their candidates. */
static void sort_by_number(struct weir_candidate **list, double *numbers, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct weir_candidate *c = list[i];
        double number = numbers[i];
        uint32_t j = i;
        for (; j > 0 && number < numbers[j - 1]; j--) {
            list[j] = list[j - 1];
            numbers[j] = numbers[j - 1];
        }
        list[j] = c;
        numbers[j] = number;
    }
}

static void sort(struct weir_candidate **list, uint32_t n, struct order o)
{
    double numbers[CANDIDATES_MAX];
    if (!o.field->number) {
        sort_by_string(list, n, o);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = o.sign * o.field->number(list[i]);
    sort_by_number(list, numbers, n);
}

static struct candidates_value *push_copy(lua_State *L)
{
    uint32_t n;
    struct weir_candidate *const *list = candidates_of(L, 1, &n);
    struct candidates_value *to = push_list(L, n);
    to->head.n = n;
    memcpy(to->list, list, n * sizeof(void *));
    return to;
}

/* by("price", "latency"): the last one first, as sorting is stable. */
static int candidates_by(lua_State *L)
{
    value_check(L, 1, VALUE_CANDIDATES);
    if (lua_type(L, 2) == LUA_TFUNCTION) {
        lua_settop(L, 2);
        sandbox_push_prelude(L, "by");
        lua_insert(L, 1);
        return prelude_call(L, 2);
    }
    int n_keys = lua_gettop(L);
    for (int i = 2; i <= n_keys || i == 2; i++)
        order_of(L, i);
    struct candidates_value *to = push_copy(L);
    for (int i = n_keys; i >= 2; i--)
        sort(to->list, to->head.n, order_of(L, i));
    return 1;
}

int candidates_order(lua_State *L)
{
    double numbers[CANDIDATES_MAX];
    luaL_checktype(L, 2, LUA_TTABLE);
    struct candidates_value *to = push_copy(L);
    for (uint32_t i = 0; i < to->head.n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        numbers[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    sort_by_number(to->list, numbers, to->head.n);
    return 1;
}

static int candidates_cheapest(lua_State *L)
{
    struct candidates_value *to = push_copy(L);
    sort(to->list, to->head.n, (struct order){ candidate_field("price"), 1 });
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

const struct binding candidates_bindings[] = {
    { "where", candidates_where, "fun(self: Candidates, fields: Fields|(fun(c: Candidate): boolean)): Candidates",
      "Those that fit. A list of values: any of them, of tags and capabilities all." },
    { "without", candidates_without, "fun(self: Candidates, fields: Fields): Candidates",
      "Those that don't fit." },
    { "prefer", candidates_prefer, "fun(self: Candidates, fields: Fields): Candidates",
      "Those that fit first, the others behind them." },
    { "by", candidates_by, "fun(self: Candidates, field: string|(fun(c: Candidate): number), ...: string): Candidates",
      "In order of a field (\"-field\": falling), then of others; or of what a function says." },
    { "cheapest", candidates_cheapest, "fun(self: Candidates): Candidates",
      "A list of the one with the lowest price; empty if the list is." },
    { "first", candidates_first, "fun(self: Candidates, n?: integer): Candidates",
      "The first n (1)." },
    { "names", candidates_names, "fun(self: Candidates): string[]",
      "Their names." },
    { NULL, NULL, NULL, NULL },
};

void candidates_open(lua_State *L)
{
    static const luaL_Reg list_meta[] = {
        { "__len", candidates_len }, { "__pairs", candidates_pairs }, { "__tostring", candidates_tostring },
        { NULL, NULL },
    };
    static const luaL_Reg one_meta[] = {
        { "__tostring", candidate_tostring }, { "__eq", candidate_eq }, { NULL, NULL },
    };
    value_metatable(L, VALUE_CANDIDATES, "candidates");
    luaL_setfuncs(L, list_meta, 0);
    lua_newtable(L);
    bindings_set(L, candidates_bindings);
    lua_pushcclosure(L, candidates_index, 1);
    lua_setfield(L, -2, "__index");
    value_metatable(L, VALUE_CANDIDATE, "candidate");
    luaL_setfuncs(L, one_meta, 0);
    lua_newtable(L);
    for (const struct candidate_field *f = candidate_fields; f->binding.name; f++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)f);
        lua_setfield(L, -2, f->binding.name);
    }
    lua_pushcclosure(L, candidate_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}
