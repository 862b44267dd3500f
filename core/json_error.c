/* What went wrong, where, and in which words. An error keeps its byte and message; the path is read off the levels that
 * were open, which stay as they are once the reader has failed. */
#include "json_reader.h"

#include <stdio.h>

#include "text.h"

#define PATH_MAX_BYTES 512
#define PATH_KEY_MAX 64

bool json_fail(struct weir_json *r, enum json_error_kind kind, const char *at, struct weir_str message)
{
    if (r->error == JSON_ERROR_NONE) {
        r->error = kind;
        r->error_offset = at ? (size_t)(at - r->start) : 0;
        r->error_message = message;
        r->has_value = false;
    }
    return false;
}

bool json_fail_syntax(struct weir_json *r, const char *at, const char *message)
{
    return json_fail(r, JSON_ERROR_SYNTAX, at, weir_cstr(message));
}

bool json_fail_memory(struct weir_json *r)
{
    return json_fail(r, JSON_ERROR_MEMORY, r->p, WEIR_LIT("out of memory"));
}

bool json_fail_misuse(struct weir_json *r, const char *message)
{
    return json_fail(r, JSON_ERROR_MISUSE, r->p, weir_cstr(message));
}

bool json_fail_expected(struct weir_json *r, const char *expected)
{
    if (r->error != JSON_ERROR_NONE)
        return false;
    struct weir_str message;
    unsigned c = r->p < r->end ? (unsigned char)*r->p : 0;
    if (r->p == r->end)
        message = arena_printf(r->arena, "expected %s, but the document ends here", expected);
    else if (c > ' ' && c < 0x7f)
        message = arena_printf(r->arena, "expected %s, found '%c'", expected, (int)c);
    else
        message = arena_printf(r->arena, "expected %s, found the byte 0x%02x", expected, c);
    return message.p ? json_fail(r, JSON_ERROR_SYNTAX, r->p, message) : json_fail_memory(r);
}

bool json_fail_type(struct weir_json *r, enum weir_json_type wanted)
{
    static const char *const names[] = { "a value",  "null",     "a boolean", "a number",
                                         "a string", "an array", "an object" };
    if (r->p == r->end || json_type_of(*r->p) == WEIR_JSON_ERROR)
        return json_fail_expected(r, "a value");
    struct weir_str message =
        arena_printf(r->arena, "must be %s, found %s", names[wanted], names[json_type_of(*r->p)]);
    return message.p ? json_fail(r, JSON_ERROR_VALUE, r->p, message) : json_fail_memory(r);
}

/* --- The path ----------------------------------------------------------------------------------------------------- */

struct path {
    char p[PATH_MAX_BYTES + 1];
    size_t n;
    bool is_full;
};

/* All or nothing: a path that was cut in the middle of a name would name something else. */
static void path_add(struct path *path, const char *p, size_t n)
{
    path->is_full = path->is_full || n > PATH_MAX_BYTES - 3 - path->n;
    if (path->is_full)
        return;
    memcpy(path->p + path->n, p, n);
    path->n += n;
}

static bool is_simple(struct weir_str key)
{
    bool simple = key.n > 0 && key.n <= PATH_KEY_MAX;
    for (size_t i = 0; simple && i < key.n; i++) {
        char c = key.p[i];
        simple = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    return simple;
}

/* ["any key"], at most so long, never cut inside a character. */
static void path_add_quoted(struct path *path, struct weir_str key)
{
    size_t shown = key.n;
    if (shown > PATH_KEY_MAX)
        shown = utf8_valid_prefix(key.p, PATH_KEY_MAX);
    path_add(path, "[\"", 2);
    for (size_t i = 0; i < shown;) {
        size_t run = text_clean_prefix(key.p + i, shown - i), taken = 0;
        char one[6];
        path_add(path, key.p + i, run);
        i += run;
        if (i < shown)
            path_add(path, one, text_escape_one(one, key.p + i, shown - i, &taken));
        i += taken;
    }
    path_add(path, shown < key.n ? "...\"]" : "\"]", shown < key.n ? 5 : 2);
}

static void path_add_level(struct path *path, const struct json_level *level)
{
    if (!level->is_object) {
        char index[24];
        int n = snprintf(index, sizeof index, "[%zu]", level->index);
        path_add(path, index, (size_t)n);
    } else if (is_simple(level->key)) {
        path_add(path, ".", path->n > 0);
        path_add(path, level->key.p, level->key.n);
    } else {
        path_add_quoted(path, level->key);
    }
}

static bool has_current(const struct json_level *level)
{
    return level->is_object ? level->key.p != NULL : level->has_begun;
}

static struct weir_str make_path(const struct weir_json *r, struct arena *a)
{
    struct path path;
    path.n = 0;
    path.is_full = false;
    const struct json_level *level = r->level ? r->first : NULL;
    for (; level && has_current(level); level = level == r->level ? NULL : level->down)
        path_add_level(&path, level);
    if (r->below.n) {
        path_add(&path, ".", path.n > 0 && r->below.p[0] != '[');
        path_add(&path, r->below.p, r->below.n);
    }
    if (path.is_full) {
        memcpy(path.p + path.n, "...", 3);
        path.n += 3;
    }
    return path.n > 0 ? arena_copy(a, (struct weir_str){ path.p, path.n }) : WEIR_LIT("");
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

bool json_error(const struct weir_json *r, struct json_error *error)
{
    if (r->error == JSON_ERROR_NONE)
        return false;
    struct weir_str path = r->arena ? make_path(r, r->arena) : WEIR_LIT("");
    *error = (struct json_error){ r->error, r->error_offset, r->error_message, path };
    return true;
}

struct weir_str json_error_text(const struct weir_json *r, struct arena *a)
{
    if (r->error == JSON_ERROR_NONE)
        return WEIR_LIT("");
    struct weir_str path = make_path(r, a);
    const char *message = r->error_message.p;
    const char *where = path.n ? path.p : "the top level";
    switch (r->error) {
    case JSON_ERROR_VALUE:
        return arena_printf(a, "%s: %s", where, message);
    case JSON_ERROR_SYNTAX:
        if (path.n)
            return arena_printf(a, "not valid JSON at byte %zu (%s): %s", r->error_offset, where, message);
        return arena_printf(a, "not valid JSON at byte %zu: %s", r->error_offset, message);
    default:
        return r->error_message;
    }
}
