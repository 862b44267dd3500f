/* What nobody took of a document: the members that a codec passed over in every one of its walks over their object. So a member that
 * it does not know is known to weir at any depth, without a word of the codec's: a member it knows and needs nothing of, it skips.
 *
 * While a document is watched each reader that plugins open on it, or on a piece of it, notes the objects that it walked and the
 * members it left. The walk over the whole document is one; pieces may be walked several times, first for their type, say. Where the
 * members lie in the document is looked up at the end, and only if there are any. */
#include <stdlib.h>

#include "json_reader.h"

enum { NOTES_MAX = 1 << 15 };

struct note {
    uint32_t object, value; /* offsets in the document; value 0: a walk over the object */
};

struct json_watch {
    struct arena *arena;
    struct weir_str document;
    struct note *notes;
    uint32_t n, cap;
    bool has_unread, is_full;
};

static struct json_watch *watched; /* between begin and end, which one op of one codec lies between */

/* ---- noting ---- */

void json_watch_begin(struct arena *a, struct weir_str document)
{
    watched = document.n && document.n < UINT32_MAX ? arena_zalloc(a, sizeof(*watched)) : NULL;
    if (watched)
        *watched = (struct json_watch){ .arena = a, .document = document };
}

struct json_watch *json_watch_of(struct weir_str bytes)
{
    bool is_inside = watched && bytes.n && bytes.p >= watched->document.p &&
                     bytes.p + bytes.n <= watched->document.p + watched->document.n;
    return is_inside ? watched : NULL;
}

static void add(struct json_watch *w, const char *object, const char *value)
{
    if (w->n == w->cap && w->cap < NOTES_MAX) {
        uint32_t cap = w->cap ? 2 * w->cap : 64;
        struct note *more = arena_alloc(w->arena, cap * sizeof(*more));
        if (!more)
            return;
        if (w->n)
            memcpy(more, w->notes, w->n * sizeof(*more));
        w->notes = more;
        w->cap = cap;
    }
    w->is_full = w->is_full || w->n == w->cap;
    if (w->n < w->cap)
        w->notes[w->n++] = (struct note){ (uint32_t)(object - w->document.p), value ? (uint32_t)(value - w->document.p) : 0 };
}

void json_note_unread(struct weir_json *r)
{
    if (r->watch != watched || *r->p == 'n') /* null is as good as nothing */
        return;
    r->level->has_unread = watched->has_unread = true;
    add(watched, r->level->begin, r->p);
}

/* Beside all walks: it is an object of its own here, which nobody walked. */
void json_leave(struct weir_json *r, struct weir_str raw)
{
    if (!r->watch || r->watch != watched || json_watch_of(raw) != watched || *raw.p == 'n')
        return;
    watched->has_unread = true;
    add(watched, raw.p, raw.p);
}

void json_note_walk(struct weir_json *r)
{
    bool is_piece = r->start != r->watch->document.p || r->end != r->start + r->watch->document.n;
    if (r->watch == watched && (is_piece || r->level->has_unread))
        add(watched, r->level->begin, NULL);
}

/* ---- which of them were left in every walk ---- */

static int compare(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    if (x->object != y->object)
        return x->object < y->object ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static int compare_values(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

static uint32_t count_same(const struct json_watch *w, uint32_t from)
{
    uint32_t n = 1;
    while (from + n < w->n && compare(&w->notes[from], &w->notes[from + n]) == 0)
        n++;
    return n;
}

/* Leaves one note of each, in the order of the document. */
static void keep_unread(struct json_watch *w)
{
    uint32_t kept = 0, walks = 0;
    qsort(w->notes, w->n, sizeof(*w->notes), compare);
    for (uint32_t i = 0, n; i < w->n; i += n) {
        n = count_same(w, i);
        if (i == 0 || w->notes[i].object != w->notes[i - 1].object)
            walks = 0;
        if (!w->notes[i].value)
            walks = n;
        else if (n >= walks)
            w->notes[kept++] = w->notes[i];
    }
    w->n = kept;
    qsort(w->notes, w->n, sizeof(*w->notes), compare_values);
}

/* ---- where they lie ---- */

struct place {
    bool is_object, has_key;
    uint32_t index;
    struct weir_str key; /* as it was written, without its quotes */
};

struct scan {
    const struct json_watch *w;
    struct place places[JSON_DEPTH_MAX + 1];
    uint32_t depth, next;
    json_unread_fn fn;
    void *arg;
};

static struct weir_str path_of(const struct scan *s)
{
    struct weir_str path = WEIR_LIT("");
    for (uint32_t i = 1; i <= s->depth; i++) {
        const struct place *p = &s->places[i];
        path = p->is_object ? arena_printf(s->w->arena, "%.*s%s%.*s", (int)path.n, path.p, path.n ? "." : "",
                                           (int)p->key.n, p->key.p)
                            : arena_printf(s->w->arena, "%.*s[%u]", (int)path.n, path.p, p->index);
    }
    return path;
}

static void tell(struct scan *s, const char *at)
{
    const char *end = s->w->document.p + s->w->document.n;
    const struct place *p = &s->places[s->depth];
    struct weir_str raw, member = WEIR_NONE;
    struct weir_json *r = json_open(s->w->arena, (struct weir_str){ at, (size_t)(end - at) });
    if (!json_read_raw(r, &raw))
        return;
    if (p->key.p)
        member = (struct weir_str){ p->key.p - 1, (size_t)(raw.p + raw.n - p->key.p) + 1 };
    s->fn(s->arg, path_of(s), raw, member);
}

static const char *string_end(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p;
}

/* A string, which may be a key; the byte behind it. */
static const char *pass_string(struct scan *s, const char *p)
{
    struct place *top = &s->places[s->depth];
    const char *end = string_end(p);
    if (top->is_object && !top->has_key) {
        top->key = (struct weir_str){ p + 1, (size_t)(end - p) - 1 };
        top->has_key = true;
    }
    return end + 1;
}

/* The document was accepted: brackets pair and strings end. */
static void find_all(struct scan *s)
{
    const char *begin = s->w->document.p, *p = begin, *end = begin + s->w->document.n;
    while (p < end && s->next < s->w->n) {
        struct place *top = &s->places[s->depth];
        if ((uint32_t)(p - begin) == s->w->notes[s->next].value) {
            tell(s, p);
            s->next++;
        }
        if (*p == '"') {
            p = pass_string(s, p);
            continue;
        }
        if ((*p == '{' || *p == '[') && s->depth < JSON_DEPTH_MAX)
            s->places[++s->depth] = (struct place){ .is_object = *p == '{' };
        else if ((*p == '}' || *p == ']') && s->depth)
            s->depth--;
        else if (*p == ',') {
            top->has_key = false;
            top->index++;
        }
        p++;
    }
}

bool json_watch_end(json_unread_fn fn, void *arg)
{
    struct json_watch *w = watched;
    watched = NULL;
    if (!w || !w->has_unread || !fn)
        return true;
    keep_unread(w);
    struct scan *s = w->n ? arena_zalloc(w->arena, sizeof(*s)) : NULL;
    if (!s)
        return !w->n && !w->is_full;
    s->w = w;
    s->fn = fn;
    s->arg = arg;
    find_all(s);
    return !w->is_full;
}
