/* Lua's patterns with a bounded cost: the semantics of the reference manual (6.4.1), matched by our own code.
 *
 * Backtracking can take exponential time on a short subject, so no limit on lengths would help. Here every step
 * counts: amid one match the clock is looked at every so many steps and the run is ended when it has used its burst;
 * between two starting points a long search gives way to the event loop and goes on later, as does gsub between two
 * replacements.
 *
 * Nothing is owned beyond the Lua stack: a raise may leave at any point.
 */
#include "pattern.h"

#include <ctype.h>

enum { LOOK_STEPS = 2048, DEPTH_MAX = 200, OPEN = -1, POSITION = -2 };

/* ---- single characters ------------------------------------------------------------------------------------------- */

static const char *class_end(const struct match *m, const char *p)
{
    if (*p++ == '%') {
        if (p == m->p_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (p[-1] != '[')
        return p;
    if (p < m->p_end && *p == '^')
        p++;
    do {
        if (p == m->p_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->p_end)
            p++;
    } while (p == m->p_end || *p != ']');
    return p + 1;
}

static bool is_in_class(int c, int class)
{
    bool is;
    switch (tolower(class)) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'g': is = isgraph(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break; /* deprecated, and still there */
    default: return class == c;
    }
    return isupper(class) ? !is : is;
}

/* [set]: p at '[', end at ']'. */
static bool is_in_set(int c, const char *p, const char *end)
{
    bool is_plain = p[1] != '^';
    p += is_plain ? 0 : 1;
    while (++p < end) {
        if (*p == '%') {
            p++;
            if (is_in_class(c, (unsigned char)*p))
                return is_plain;
        } else if (p[1] == '-' && p + 2 < end) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
                return is_plain;
        } else if ((unsigned char)*p == c) {
            return is_plain;
        }
    }
    return !is_plain;
}

static bool is_one(const struct match *m, const char *s, const char *p, const char *ep)
{
    if (s >= m->end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return is_in_class(c, (unsigned char)p[1]);
    case '[': return is_in_set(c, p, ep - 1);
    default: return (unsigned char)*p == c;
    }
}

/* ---- captures ---------------------------------------------------------------------------------------------------- */

static const char *do_match(struct match *m, const char *s, const char *p);

static const char *begin_capture(struct match *m, const char *s, const char *p, ptrdiff_t what)
{
    if (m->level >= PATTERN_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->capture[m->level].p = s;
    m->capture[m->level].n = what;
    m->level++;
    const char *e = do_match(m, s, p);
    if (!e)
        m->level--;
    return e;
}

static const char *end_capture(struct match *m, const char *s, const char *p)
{
    int i = m->level - 1;
    while (i >= 0 && m->capture[i].n != OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[i].n = s - m->capture[i].p;
    const char *e = do_match(m, s, p);
    if (!e)
        m->capture[i].n = OPEN;
    return e;
}

static const char *match_back(const struct match *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->level || m->capture[i].n == OPEN) {
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
        return NULL;
    }
    size_t n = (size_t)m->capture[i].n; /* a position is longer than anything: it never matches */
    if ((size_t)(m->end - s) < n || memcmp(m->capture[i].p, s, n) != 0)
        return NULL;
    return s + n;
}

/* ---- repetition -------------------------------------------------------------------------------------------------- */

static void count_step(struct match *m)
{
    if (++m->steps % LOOK_STEPS == 0)
        limits_tick(m->L);
}

static const char *most(struct match *m, const char *s, const char *p, const char *ep)
{
    ptrdiff_t n = 0;
    while (is_one(m, s + n, p, ep)) {
        n++;
        count_step(m);
    }
    for (; n >= 0; n--) {
        const char *e = do_match(m, s + n, ep + 1);
        if (e)
            return e;
    }
    return NULL;
}

static const char *least(struct match *m, const char *s, const char *p, const char *ep)
{
    for (;; s++) {
        const char *e = do_match(m, s, ep + 1);
        if (e)
            return e;
        if (!is_one(m, s, p, ep))
            return NULL;
    }
}

static const char *balanced(struct match *m, const char *s, const char *p)
{
    if (p >= m->p_end - 1)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->end || *s != *p)
        return NULL;
    int depth = 1;
    for (char open = p[0], close = p[1]; ++s < m->end; count_step(m)) {
        if (*s == close && --depth == 0)
            return s + 1;
        if (*s == open && open != close)
            depth++;
    }
    return NULL;
}

/* ---- the matcher ------------------------------------------------------------------------------------------------- */

/* An item and its suffix. true: goes on with *s and *p; false: *s is the result. */
static bool match_item(struct match *m, const char **s, const char **p)
{
    const char *ep = class_end(m, *p), *e;
    bool is = is_one(m, *s, *p, ep);
    switch (ep < m->p_end ? *ep : 0) {
    case '?':
        e = is ? do_match(m, *s + 1, ep + 1) : NULL;
        if (e) {
            *s = e;
            return false;
        }
        *p = ep + 1;
        return true;
    case '+':
        *s = is ? most(m, *s + 1, *p, ep) : NULL;
        return false;
    case '*':
        *s = most(m, *s, *p, ep);
        return false;
    case '-':
        *s = least(m, *s, *p, ep);
        return false;
    default:
        *s = is ? *s + 1 : NULL;
        *p = ep;
        return is;
    }
}

static bool match_frontier(struct match *m, const char **s, const char **p)
{
    const char *set = *p + 2;
    if (set >= m->p_end || *set != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *ep = class_end(m, set);
    int before = *s == m->begin ? 0 : (unsigned char)(*s)[-1], here = *s == m->end ? 0 : (unsigned char)**s;
    *p = ep;
    if (!is_in_set(before, set, ep - 1) && is_in_set(here, set, ep - 1))
        return true;
    *s = NULL;
    return false;
}

/* %b, %f, %1: those that are no character class. */
static bool match_escape(struct match *m, const char **s, const char **p)
{
    char c = *p + 1 < m->p_end ? (*p)[1] : 0;
    if (c == 'b') {
        *s = balanced(m, *s, *p + 2);
        *p += 4;
        return *s != NULL;
    }
    if (c == 'f')
        return match_frontier(m, s, p);
    if (!isdigit((unsigned char)c))
        return match_item(m, s, p);
    *s = match_back(m, *s, c);
    *p += 2;
    return *s != NULL;
}

static bool match_one(struct match *m, const char **s, const char **p)
{
    switch (**p) {
    case '(':
        if (*p + 1 < m->p_end && (*p)[1] == ')')
            *s = begin_capture(m, *s, *p + 2, POSITION);
        else
            *s = begin_capture(m, *s, *p + 1, OPEN);
        return false;
    case ')':
        *s = end_capture(m, *s, *p + 1);
        return false;
    case '$':
        if (*p + 1 != m->p_end)
            return match_item(m, s, p);
        *s = *s == m->end ? *s : NULL;
        return false;
    case '%':
        return match_escape(m, s, p);
    default:
        return match_item(m, s, p);
    }
}

static const char *do_match(struct match *m, const char *s, const char *p)
{
    if (++m->depth > DEPTH_MAX)
        luaL_error(m->L, "pattern too complex");
    do
        count_step(m);
    while (p != m->p_end && match_one(m, &s, &p));
    m->depth--;
    return s;
}

void pattern_open(struct match *m, lua_State *L, struct weir_str s, struct weir_str p)
{
    *m = (struct match){ .L = L, .begin = s.p, .end = s.p + s.n, .p = p.p, .p_end = p.p + p.n };
    m->is_anchored = p.n > 0 && p.p[0] == '^';
    m->p += m->is_anchored;
}

const char *pattern_at(struct match *m, const char *s)
{
    m->level = m->depth = 0;
    return do_match(m, s, m->p);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void push_capture(const struct match *m, int i, const char *s, const char *e)
{
    if (i >= m->level) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
    } else if (m->capture[i].n == POSITION) {
        lua_pushinteger(m->L, m->capture[i].p - m->begin + 1);
    } else if (m->capture[i].n == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[i].p, (size_t)m->capture[i].n);
    }
}

/* All captures, or the whole match if there are none; with s NULL only real captures. */
static int push_captures(const struct match *m, const char *s, const char *e)
{
    int n = m->level == 0 && s ? 1 : m->level;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, s, e);
    return n;
}

/* ---- find and match ---------------------------------------------------------------------------------------------- */

static bool has_specials(struct weir_str p)
{
    for (size_t i = 0; i < p.n; i++)
        if (p.p[i] && strchr("^$*+?.([%-", p.p[i]))
            return true;
    return false;
}

static size_t first_position(lua_State *L, int index, size_t n)
{
    lua_Integer i = luaL_optinteger(L, index, 1);
    if (i > 0)
        return (size_t)i - 1;
    if (i == 0 || i < -(lua_Integer)n)
        return 0;
    return n - (size_t)-i;
}

static int find_plain(lua_State *L, struct weir_str s, struct weir_str p, size_t from)
{
    limits_need(L, "string.find", (double)(s.n - from) / 2000);
    const char *at = p.n == 0 ? s.p + from : memmem(s.p + from, s.n - from, p.p, p.n);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s.p + 1);
    lua_pushinteger(L, at - s.p + (lua_Integer)p.n);
    return 2;
}

static int search(lua_State *L, bool is_find, size_t from, lua_KFunction k)
{
    struct match m;
    struct weir_str s = value_str(L, 1);
    pattern_open(&m, L, s, value_str(L, 2));
    uint64_t looked = 0;
    for (const char *at = s.p + from; at <= m.end; at++) {
        const char *e = pattern_at(&m, at);
        if (e && is_find) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, e - s.p);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (e)
            return push_captures(&m, at, e);
        if (m.is_anchored)
            break;
        if (m.steps - looked < LOOK_STEPS)
            continue;
        looked = m.steps;
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, at + 1 - s.p, k);
    }
    lua_pushnil(L);
    return 1;
}

static int find_again(lua_State *L, int status, lua_KContext from)
{
    (void)status;
    return search(L, true, (size_t)from, find_again);
}

static int match_again(lua_State *L, int status, lua_KContext from)
{
    (void)status;
    return search(L, false, (size_t)from, match_again);
}

int pattern_find(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    struct weir_str s = value_str(L, 1), p = value_str(L, 2);
    size_t from = first_position(L, 3, s.n);
    if (from > s.n) {
        lua_pushnil(L);
        return 1;
    }
    if (lua_toboolean(L, 4) || !has_specials(p))
        return find_plain(L, s, p, from);
    return search(L, true, from, find_again);
}

int pattern_match(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    size_t n = lua_rawlen(L, 1), from = first_position(L, 3, n);
    if (from > n) {
        lua_pushnil(L);
        return 1;
    }
    return search(L, false, from, match_again);
}

/* ---- gmatch ------------------------------------------------------------------------------------------------------ */

/* Upvalues: subject, pattern, where to go on, end of the last match (-1: none). */
static int gmatch_step(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    struct match m;
    struct weir_str s = value_str(L, lua_upvalueindex(1));
    pattern_open(&m, L, s, value_str(L, lua_upvalueindex(2)));
    m.p = m.p_end - lua_rawlen(L, lua_upvalueindex(2)); /* '^' is no anchor here */
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    uint64_t looked = 0;
    for (const char *at = s.p + lua_tointeger(L, lua_upvalueindex(3)); at <= m.end; at++) {
        const char *e = pattern_at(&m, at);
        if (e && e - s.p != last) {
            lua_pushinteger(L, e - s.p);
            lua_pushvalue(L, -1);
            lua_replace(L, lua_upvalueindex(3));
            lua_replace(L, lua_upvalueindex(4));
            return push_captures(&m, at, e);
        }
        if (m.steps - looked < LOOK_STEPS)
            continue;
        looked = m.steps;
        lua_pushinteger(L, at + 1 - s.p);
        lua_replace(L, lua_upvalueindex(3));
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, 0, gmatch_step);
    }
    lua_pushinteger(L, (lua_Integer)s.n + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int gmatch_next(lua_State *L)
{
    return gmatch_step(L, LUA_OK, 0);
}

int pattern_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    size_t n = lua_rawlen(L, 1), from = first_position(L, 3, n);
    lua_settop(L, 2);
    lua_pushinteger(L, from > n ? (lua_Integer)n + 1 : (lua_Integer)from);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* ---- gsub -------------------------------------------------------------------------------------------------------- */

enum { GSUB_STATE = 5, GSUB_BUFFER = 6 };

struct gsub {
    struct value head;
    struct buffer out;
    size_t at, matched; /* the match being replaced: [at, matched) */
    size_t last;        /* end of the last match + 1; 0: none */
    lua_Integer n, max;
};

static void add_template(struct match *m, struct gsub *g, const char *s, const char *e)
{
    lua_State *L = m->L;
    struct weir_str t = value_str(L, 3);
    for (size_t i = 0; i < t.n; i++) {
        const char *mark = memchr(t.p + i, '%', t.n - i);
        size_t stop = mark ? (size_t)(mark - t.p) : t.n;
        buffer_add(L, &g->out, t.p + i, stop - i);
        if (!mark)
            return;
        i = stop + 1;
        char c = i < t.n ? t.p[i] : 0;
        if (c == '%') {
            buffer_add(L, &g->out, "%", 1);
        } else if (c == '0') {
            buffer_add(L, &g->out, s, (size_t)(e - s));
        } else if (isdigit((unsigned char)c)) {
            push_capture(m, c - '1', s, e);
            luaL_tolstring(L, -1, NULL);
            struct weir_str capture = value_str(L, -1);
            buffer_add(L, &g->out, capture.p, capture.n);
            lua_pop(L, 2);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* The value at the top takes the place of the match; false or nil: the match stays. */
static void add_value(lua_State *L, struct gsub *g)
{
    struct weir_str s = value_str(L, 1), with;
    int type = lua_type(L, -1);
    if (type == LUA_TNIL || (type == LUA_TBOOLEAN && !lua_toboolean(L, -1)))
        with = (struct weir_str){ s.p + g->at, g->matched - g->at };
    else if (type == LUA_TSTRING || type == LUA_TNUMBER)
        with = value_str(L, -1);
    else
        with = WEIR_NONE, luaL_error(L, "invalid replacement value (a %s)", value_type_name(L, -1));
    buffer_add(L, &g->out, with.p, with.n);
    lua_pop(L, 1);
}

static int gsub_go_on(lua_State *L, int status, lua_KContext has_value);

/* false: a function was called and has yielded into gsub_go_on, or will be handled by it. */
static void replace(struct match *m, struct gsub *g, const char *s, const char *e)
{
    lua_State *L = m->L;
    switch (lua_type(L, 3)) {
    case LUA_TTABLE:
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
        add_value(L, g);
        break;
    case LUA_TFUNCTION: {
        lua_pushvalue(L, 3);
        int n = push_captures(m, s, e);
        lua_callk(L, n, 1, 1, gsub_go_on);
        add_value(L, g);
        break;
    }
    default:
        add_template(m, g, s, e);
    }
}

static void matched(struct gsub *g)
{
    g->at = g->matched;
    g->last = g->matched + 1;
}

static int gsub_finish(lua_State *L, struct gsub *g, struct weir_str s)
{
    buffer_add(L, &g->out, s.p + g->at, s.n - g->at);
    buffer_push(L, &g->out);
    lua_pushinteger(L, g->n);
    return 2;
}

static int gsub_loop(lua_State *L, struct gsub *g)
{
    struct match m;
    struct weir_str s = value_str(L, 1);
    pattern_open(&m, L, s, value_str(L, 2));
    uint64_t looked = 0;
    while (g->n < g->max) {
        const char *at = s.p + g->at, *e = pattern_at(&m, at);
        if (e && (size_t)(e - s.p) + 1 != g->last) {
            g->n++;
            g->matched = (size_t)(e - s.p);
            replace(&m, g, at, e);
            matched(g);
        } else if (g->at < s.n) {
            buffer_add(L, &g->out, at, 1);
            g->at++;
        } else {
            break;
        }
        if (m.is_anchored)
            break;
        if (m.steps - looked < LOOK_STEPS)
            continue;
        looked = m.steps;
        if (limits_should_pause(L))
            return engine_yield(L, LUA_WAIT_BURST, 0, gsub_go_on);
    }
    return gsub_finish(L, g, s);
}

static int gsub_go_on(lua_State *L, int status, lua_KContext has_value)
{
    (void)status;
    struct gsub *g = lua_touserdata(L, GSUB_STATE);
    if (has_value) {
        add_value(L, g);
        matched(g);
        if (lua_tostring(L, 2)[0] == '^')
            return gsub_finish(L, g, value_str(L, 1));
    }
    return gsub_loop(L, g);
}

int pattern_gsub(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    int type = lua_type(L, 3);
    if (type == LUA_TNUMBER)
        lua_tostring(L, 3);
    else if (type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TFUNCTION)
        return luaL_typeerror(L, 3, "string/function/table");
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)lua_rawlen(L, 1) + 1);
    lua_settop(L, 4);
    struct gsub *g = lua_newuserdatauv(L, sizeof(*g), 0);
    *g = (struct gsub){ .head = { .type = VALUE_BUFFER }, .max = max };
    buffer_open(L, &g->out);
    return gsub_loop(L, g);
}
