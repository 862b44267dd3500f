/* Lua's patterns with a bounded cost: the semantics of the reference manual (6.4.1), matched by our own code.
 *
 * Backtracking can take exponential time on a short subject, so no limit on lengths would help. Here every step counts:
 * the clock is looked at every so many steps and the run is ended when it has used its burst.
 *
 * Nothing is owned beyond the Lua stack: a raise may leave at any point.
 */
#include "pattern.h"

#include <ctype.h>

enum { LOOK_STEPS = 2048, DEPTH_MAX = 200 };

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
    while (i >= 0 && m->capture[i].n != PATTERN_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[i].n = s - m->capture[i].p;
    const char *e = do_match(m, s, p);
    if (!e)
        m->capture[i].n = PATTERN_OPEN;
    return e;
}

static const char *match_back(const struct match *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->level || m->capture[i].n == PATTERN_OPEN) {
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
            *s = begin_capture(m, *s, *p + 2, PATTERN_POSITION);
        else
            *s = begin_capture(m, *s, *p + 1, PATTERN_OPEN);
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
