/* Fuzzing the regular expressions of the Lua stage. What must hold for every expression and subject:
 *   - no read or write beyond what was given, by the compiler or the machine (all of it is copied to its exact size);
 *   - stopping after every character and going on gives what one go gives; testing agrees with finding;
 *   - groups lie within the match that is reported, the match within the subject;
 *   - where the syntax is the same, the C library's regexec agrees on whether and where a match begins.
 * Input: the expression, a zero byte, the subject.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/regex.c"
#include "lua/regex_code.c"
#include "lua/regex_run.c"

enum { SUBJECT_MAX = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

struct found {
    bool is;
    size_t from[REGEX_GROUPS], to[REGEX_GROUPS];
    bool has[REGEX_GROUPS];
};

static struct found run(const struct regex *re, const char *s, size_t n, uint64_t steps, bool is_test)
{
    struct found f = { .is = false };
    struct regex_run *r = malloc(regex_run_size(re));
    enum regex_result result;
    regex_begin(r, re, s, n, 0, is_test);
    do
        result = regex_go(r, re, s, steps);
    while (result == RE_MORE);
    f.is = result == RE_YES;
    for (int i = 0; f.is && !is_test && i < re->n_groups; i++)
        f.has[i] = regex_group(r, i, &f.from[i], &f.to[i]);
    free(r);
    return f;
}

static void check_groups(const struct regex *re, const struct found *f, size_t n)
{
    require(f->has[0] && f->from[0] <= f->to[0] && f->to[0] <= n, "the match lies in the subject");
    for (int i = 1; i < re->n_groups; i++)
        if (f->has[i])
            require(f->from[i] <= f->to[i] && f->to[i] <= n, "a group lies in the subject");
}

static void check_same(const struct regex *re, const struct found *a, const struct found *b)
{
    require(a->is == b->is, "going on finds the same");
    for (int i = 0; a->is && i < re->n_groups; i++) {
        require(a->has[i] == b->has[i], "going on fills the same groups");
        require(!a->has[i] || (a->from[i] == b->from[i] && a->to[i] == b->to[i]), "going on finds the same places");
    }
}

/* Is it in the part of the syntax that POSIX has with the same meaning? */
static bool is_posix(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!strchr("abc.|()*+?^$", p[i]) || !p[i])
            return false;
        bool is_repeat = strchr("*+?", p[i]) != NULL;
        if (is_repeat && (i == 0 || strchr("*+?(|^$", p[i - 1])))
            return false;
        if (p[i] == '(' && i + 1 < n && strchr(")|?", p[i + 1]))
            return false;
        if (p[i] == '|' && (i + 1 == n || i == 0 || strchr("|)(", p[i + 1]) || p[i - 1] == '('))
            return false;
    }
    return n > 0;
}

static void compare(const char *p, size_t p_n, const char *s, size_t n, const struct found *f)
{
    char pattern[64];
    regex_t posix;
    regmatch_t match;
    if (p_n >= sizeof(pattern) || n > 40 || memchr(s, 0, n + 1) != s + n || !is_posix(p, p_n))
        return;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\n' || s[i] & 0x80)
            return;
    memcpy(pattern, p, p_n);
    pattern[p_n] = 0;
    if (regcomp(&posix, pattern, REG_EXTENDED) != 0)
        return;
    bool is = regexec(&posix, s, 1, &match, 0) == 0;
    regfree(&posix);
    require(is == f->is, "regexec finds a match too, or none");
    require(!is || (size_t)match.rm_so == f->from[0], "regexec finds it at the same place");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    if (!zero || size - (size_t)(zero - data) - 1 > SUBJECT_MAX)
        return 0;
    size_t p_n = (size_t)(zero - data), n = size - p_n - 1, error_at;
    char *p = malloc(p_n + 1), *s = malloc(n + 1);
    memcpy(p, data, p_n);
    memcpy(s, zero + 1, n);
    s[n] = 0;
    struct regex_build *b = malloc(regex_build_size());
    const char *error;
    char *exact = malloc(p_n ? p_n : 1);
    memcpy(exact, p, p_n);
    size_t bytes = regex_compile(b, exact, p_n, &error, &error_at);
    require((bytes == 0) == (error != NULL), "an error has a text");
    if (bytes) {
        struct regex *re = malloc(bytes);
        regex_copy(b, re);
        struct found whole = run(re, s, n, 1000000, false), piecewise = run(re, s, n, 1, false);
        check_same(re, &whole, &piecewise);
        require(run(re, s, n, 3, true).is == whole.is, "testing finds the same");
        if (whole.is)
            check_groups(re, &whole, n);
        compare(p, p_n, s, n, &whole);
        free(re);
    }
    free(exact);
    free(b);
    free(p);
    free(s);
    return 0;
}
