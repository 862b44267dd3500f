/* The pull reader: walks one document once, in the caller's order, and builds nothing. Its state is where it stands,
 * the levels that the caller has entered, and whether a value waits to be taken; all of that, and what it decodes,
 * lives in the arena that it was opened with. The bytes belong to the caller.
 *
 * Whoever reads a value first asks take(), which fails unless a value of that type stands at p. What is handed out is
 * set empty before, since errors stick and a codec may look at it before it asks close(). */
#include "json_reader.h"
#include "text.h"

#define PACK_SIZE 512u /* decoded strings up to a quarter of this share an allocation */

/* --- Opening and closing ------------------------------------------------------------------------------------------ */

/* Without memory there is no reader to fail; this one has, for everybody: a reader that failed is never written to. */
static struct weir_json no_memory = {
    .error = JSON_ERROR_MEMORY,
    .error_message = { "out of memory", sizeof "out of memory" - 1 },
};

struct weir_json *json_open(struct arena *a, struct weir_str bytes)
{
    struct weir_json *r = arena_zalloc(a, sizeof *r);
    if (!r)
        return &no_memory;
    r->arena = a;
    r->start = r->p = bytes.n ? bytes.p : "";
    r->end = r->start + bytes.n;
    r->has_value = true;
    if (bytes.n > UINT32_MAX)
        json_fail_syntax(r, r->start, "the document is larger than 4 GiB");
    if (bytes.n >= 3 && memcmp(bytes.p, "\xef\xbb\xbf", 3) == 0)
        json_fail_syntax(r, r->start, "the document begins with a byte order mark; send it without");
    json_pass_space(r);
    if (r->p == r->end)
        json_fail_syntax(r, r->start, "the document is empty");
    r->last = r->p;
    return r;
}

/* What the caller left unread is passed over, so that all of the document was looked at. */
static bool finish_levels(struct weir_json *r)
{
    struct weir_str key;
    while (r->level && r->error == JSON_ERROR_NONE) {
        if (r->level->is_object)
            json_read_member(r, &key);
        else
            json_read_element(r);
    }
    return !r->has_value || json_skip(r);
}

bool json_close(struct weir_json *r)
{
    if (r->error != JSON_ERROR_NONE || !finish_levels(r))
        return false;
    json_pass_space(r);
    return r->p == r->end || json_fail_expected(r, "nothing behind the value");
}

bool json_failed(const struct weir_json *r)
{
    return r->error != JSON_ERROR_NONE;
}

bool json_reject(struct weir_json *r, const char *message)
{
    if (r->error != JSON_ERROR_NONE)
        return false;
    struct weir_str copy = arena_copy(r->arena, weir_cstr(message));
    return copy.p ? json_fail(r, JSON_ERROR_VALUE, r->last, copy) : json_fail_memory(r);
}

bool json_reject_inside(struct weir_json *r, const struct weir_json *inner, const char *message)
{
    struct json_error e;
    if (!json_error(inner, &e) || e.kind != JSON_ERROR_VALUE || !e.path.n || r->error != JSON_ERROR_NONE)
        return json_reject(r, message);
    r->below = arena_copy(r->arena, e.path);
    return json_reject(r, e.message.p);
}

/* --- Taking values ------------------------------------------------------------------------------------------------ */

static bool has_value(struct weir_json *r)
{
    if (r->error != JSON_ERROR_NONE)
        return false;
    return r->has_value || json_fail_misuse(r, "the codec reads where no value is: member() or element() comes first");
}

/* A value of any type is about to be consumed. */
static bool take_any(struct weir_json *r)
{
    if (!has_value(r))
        return false;
    r->last = r->p;
    r->has_value = false;
    return true;
}

static bool take(struct weir_json *r, enum weir_json_type wanted)
{
    if (!take_any(r))
        return false;
    if (r->p == r->end || json_type_of(*r->p) != wanted)
        return json_fail_type(r, wanted);
    return json_count_value(r);
}

enum weir_json_type json_peek(struct weir_json *r)
{
    if (!has_value(r))
        return WEIR_JSON_ERROR;
    enum weir_json_type type = r->p < r->end ? json_type_of(*r->p) : WEIR_JSON_ERROR;
    if (type == WEIR_JSON_ERROR)
        json_fail_expected(r, "a value");
    return type;
}

bool json_read_text(struct weir_json *r, struct weir_text *out)
{
    *out = (struct weir_text){ NULL, 0, WEIR_TEXT_BOTH };
    return take(r, WEIR_JSON_STRING) && json_pass_string(r, out);
}

/* Decodes into the pack, or beside it if it is long. Escapes only shrink, so the source's length is room enough. */
static bool decode(struct weir_json *r, const struct weir_text *text, struct weir_str *out)
{
    if (text->form != WEIR_TEXT_ESCAPED) {
        *out = (struct weir_str){ text->p, text->n };
        return true;
    }
    bool is_packed = text->n <= PACK_SIZE / 4;
    if (is_packed && text->n > r->pack_left) {
        r->pack = arena_alloc(r->arena, PACK_SIZE);
        r->pack_left = r->pack ? PACK_SIZE : 0;
    }
    char *to = is_packed ? r->pack : arena_alloc(r->arena, text->n);
    if (!to)
        return json_fail_memory(r);
    *out = (struct weir_str){ to, text_unescape(to, text->p, text->n) };
    if (is_packed) {
        r->pack += out->n;
        r->pack_left -= out->n;
    }
    return true;
}

bool json_read_string(struct weir_json *r, struct weir_str *out)
{
    struct weir_text text;
    *out = WEIR_NONE;
    return json_read_text(r, &text) && decode(r, &text, out);
}

bool json_read_boolean(struct weir_json *r, bool *out)
{
    *out = false;
    if (!take(r, WEIR_JSON_BOOL))
        return false;
    *out = *r->p == 't';
    return *out ? json_pass_literal(r, "true", 4) : json_pass_literal(r, "false", 5);
}

bool json_read_null(struct weir_json *r)
{
    return take(r, WEIR_JSON_NULL) && json_pass_literal(r, "null", 4);
}

bool json_read_number(struct weir_json *r, struct weir_str *out)
{
    *out = WEIR_NONE;
    if (!take(r, WEIR_JSON_NUMBER) || !json_pass_number(r))
        return false;
    *out = (struct weir_str){ r->last, (size_t)(r->p - r->last) };
    return true;
}

bool json_read_integer(struct weir_json *r, int64_t *out)
{
    struct weir_str number;
    *out = 0;
    if (!json_read_number(r, &number))
        return false;
    switch (json_number_integer(number, out)) {
    case JSON_INTEGER_FRACTION:
        return json_fail(r, JSON_ERROR_VALUE, r->last, WEIR_LIT("must be an integer, found a fraction"));
    case JSON_INTEGER_TOO_LARGE:
        return json_fail(r, JSON_ERROR_VALUE, r->last, WEIR_LIT("must be an integer of at most 64 bits"));
    default:
        return true;
    }
}

bool json_read_raw(struct weir_json *r, struct weir_str *out)
{
    *out = WEIR_NONE;
    if (!take_any(r) || !json_pass_value(r))
        return false;
    *out = (struct weir_str){ r->last, (size_t)(r->p - r->last) };
    return true;
}

bool json_skip(struct weir_json *r)
{
    return take_any(r) && json_pass_value(r);
}

/* --- Objects and arrays ------------------------------------------------------------------------------------------- */

static struct json_level *level_below(struct weir_json *r)
{
    struct json_level *next = r->level ? r->level->down : r->first;
    if (next)
        return next;
    next = arena_alloc(r->arena, sizeof *next);
    if (!next)
        return NULL;
    next->up = r->level;
    next->down = NULL;
    next->keys.set = NULL;
    if (r->level)
        r->level->down = next;
    else
        r->first = next;
    return next;
}

static bool enter(struct weir_json *r, enum weir_json_type type)
{
    if (!take(r, type))
        return false;
    if (r->depth == JSON_DEPTH_MAX)
        return json_fail_syntax(r, r->p, "nested deeper than 128 levels");
    struct json_level *level = level_below(r);
    if (!level)
        return json_fail_memory(r);
    level->is_object = type == WEIR_JSON_OBJECT;
    level->has_begun = level->has_unread = false;
    level->begin = r->p;
    level->index = 0;
    level->key = WEIR_NONE;
    json_keys_reset(&level->keys);
    r->level = level;
    r->depth++;
    r->p++;
    return true;
}

bool json_read_object(struct weir_json *r)
{
    return enter(r, WEIR_JSON_OBJECT);
}

bool json_read_array(struct weir_json *r)
{
    return enter(r, WEIR_JSON_ARRAY);
}

/* To the next member or element of the open level; false at its end, which is left, or on an error. */
static bool advance(struct weir_json *r, bool is_object)
{
    struct json_level *level = r->level;
    if (r->error != JSON_ERROR_NONE)
        return false;
    if (!level || level->is_object != is_object)
        return json_fail_misuse(r, "the codec asks for a member or element where it entered no such value");
    if (r->has_value && r->watch && is_object)
        json_note_unread(r);
    if (r->has_value && !json_skip(r))
        return false;
    json_pass_space(r);
    char c = r->p < r->end ? *r->p : '\0';
    if (c == (is_object ? '}' : ']')) {
        if (r->watch && is_object)
            json_note_walk(r);
        r->p++;
        r->depth--;
        r->level = level->up;
        return false;
    }
    if (level->has_begun) {
        if (c != ',')
            return json_fail_expected(r, is_object ? "',' or '}'" : "',' or ']'");
        r->p++;
        json_pass_space(r);
        level->index++;
    }
    level->has_begun = true;
    return true;
}

static bool remember_key(struct weir_json *r, const struct weir_text *text, struct weir_str key)
{
    struct json_key one = { key.p, (uint32_t)key.n, (uint32_t)(text->p - r->start) };
    switch (json_keys_add(&r->level->keys, r->arena, r->start, one)) {
    case JSON_KEYS_ADDED:
        return true;
    case JSON_KEYS_DUPLICATE:
        return json_fail_syntax(r, text->p - 1, "this key stands twice in its object");
    default:
        return json_fail_memory(r);
    }
}

bool json_read_member(struct weir_json *r, struct weir_str *key)
{
    struct weir_text text;
    *key = WEIR_NONE;
    if (!advance(r, true))
        return false;
    if (r->p == r->end || *r->p != '"')
        return json_fail_expected(r, "a key in quotes");
    if (!json_pass_string(r, &text) || !decode(r, &text, key))
        return false;
    r->level->key = *key;
    if (!remember_key(r, &text, *key))
        return false;
    json_pass_space(r);
    if (r->p == r->end || *r->p != ':')
        return json_fail_expected(r, "':' behind the key");
    r->p++;
    json_pass_space(r);
    r->has_value = true;
    return true;
}

bool json_read_element(struct weir_json *r)
{
    if (!advance(r, false))
        return false;
    r->has_value = true;
    return true;
}

/* --- Checking whole documents ------------------------------------------------------------------------------------- */

bool json_valid(struct arena *a, struct weir_str bytes, enum weir_json_type type)
{
    struct arena_mark mark = arena_mark(a);
    struct weir_json *r = json_open(a, bytes);
    enum weir_json_type found = json_peek(r);
    bool valid = found != WEIR_JSON_ERROR && (type == WEIR_JSON_ERROR || found == type) && json_close(r);
    arena_rollback(a, mark);
    return valid;
}

bool json_valid_text(struct arena *a, const struct weir_text *t, enum weir_json_type type)
{
    struct arena_mark mark = arena_mark(a);
    bool valid = json_valid(a, text_decode(a, t), type);
    arena_rollback(a, mark);
    return valid;
}
