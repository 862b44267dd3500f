/* Edits of a conversation and the splices they become.
 *
 * An edit does two things at once: it changes the view that stages and other dialects read, and it is remembered as a
 * replacement in the received bytes for a provider of the same dialect. An attempt's edits go into a copy of the views, made
 * when the first one comes; its strings still are the request's.
 */
#include "conversation.h"

#include <stdlib.h>

#include "text.h"

static struct edit *append_edit(struct arena *a, struct edit ***end, uint32_t kind, uint32_t field,
                                struct weir_str value)
{
    struct edit *e = arena_zalloc(a, sizeof(*e));
    if (!e)
        return NULL;
    e->kind = kind;
    e->field = field;
    e->value = value;
    **end = e;
    *end = &e->next;
    return e;
}

/* ---- one edit, into a conversation and a list ---- */

struct editor {
    struct conversation *c;
    struct arena *arena;
    struct edit ***end;
};

static int edit_field(struct editor *ed, enum weir_field f, struct weir_str json)
{
    if ((uint32_t)f >= WEIR_FIELD_COUNT || !json_valid(ed->arena, json, 0))
        return -1;
    struct weir_field_value *v = &ed->c->fields[f];
    struct weir_str copy = arena_copy(ed->arena, json);
    struct edit *e = copy.p ? append_edit(ed->arena, ed->end, WEIR_EDIT_FIELD, f, copy) : NULL;
    if (!e)
        return -1;
    e->span_offset = v->span_offset;
    e->span_n = v->span_n;
    v->json = copy;
    return 0;
}

static int edit_text(struct editor *ed, struct weir_part *part, struct weir_str plain)
{
    const struct weir_str body = ed->c->view.body;
    struct weir_str copy = arena_copy(ed->arena, plain);
    struct edit *e = copy.p || !plain.n ? append_edit(ed->arena, ed->end, EDIT_TEXT, 0, copy) : NULL;
    if (!e)
        return -1;
    if (part->text.n && part->text.p > body.p && part->text.p + part->text.n < body.p + body.n) {
        e->span_offset = (uint32_t)(part->text.p - body.p) - 1; /* with its quotes */
        e->span_n = part->text.n + 2;
    }
    part->text = weir_plain(copy);
    return 0;
}

static int prepend_system(struct editor *ed, struct weir_str plain)
{
    struct weir_message *m = arena_zalloc(ed->arena, sizeof(*m));
    struct weir_part *p = arena_zalloc(ed->arena, sizeof(*p));
    struct weir_str copy = arena_copy(ed->arena, plain);
    if (!m || !p || (plain.n && !copy.p))
        return -1;
    p->kind = WEIR_PART_TEXT;
    p->text = weir_plain(copy);
    m->role = WEIR_ROLE_SYSTEM;
    m->parts = p;
    m->next = ed->c->view.messages;
    ed->c->view.messages = m;
    ed->c->view.n_messages++;
    if (!ed->c->last_message)
        ed->c->last_message = m;
    return append_edit(ed->arena, ed->end, WEIR_EDIT_PREPEND_SYSTEM, 0, copy) ? 0 : -1;
}

/* ---- the request's ---- */

static struct editor of_request(struct conversation *c)
{
    return (struct editor){ c, c->arena, &c->edits_end };
}

int conversation_edit_field(struct conversation *c, enum weir_field f, struct weir_str json)
{
    struct editor ed = of_request(c);
    return edit_field(&ed, f, json);
}

int conversation_edit_text(struct conversation *c, struct weir_part *part, struct weir_str plain)
{
    struct editor ed = of_request(c);
    return edit_text(&ed, part, plain);
}

int conversation_prepend_system(struct conversation *c, struct weir_str plain)
{
    struct editor ed = of_request(c);
    return prepend_system(&ed, plain);
}

int conversation_edit_bytes(struct conversation *c, struct weir_str was, struct weir_str now)
{
    struct weir_str body = c->view.body, copy = arena_copy(c->arena, now);
    bool is_inside = was.n && was.p >= body.p && was.p + was.n <= body.p + body.n;
    struct edit *e = is_inside && copy.p ? append_edit(c->arena, &c->edits_end, EDIT_BYTES, 0, copy) : NULL;
    if (!e)
        return is_inside ? -1 : 0;
    e->span_offset = (uint32_t)(was.p - body.p);
    e->span_n = (uint32_t)was.n;
    return 0;
}

static int remove_all(struct conversation *c, const struct weir_ext *x)
{
    for (; x; x = x->next) {
        struct edit *e = x->span_n ? append_edit(c->arena, &c->edits_end, EDIT_REMOVE, 0, WEIR_NONE) : NULL;
        if (!e && x->span_n)
            return -1;
        if (!e)
            continue;
        e->span_offset = x->span_offset;
        e->span_n = x->span_n;
    }
    return 0;
}

int conversation_drop_ext(struct conversation *c)
{
    if (remove_all(c, c->view.ext) < 0 || remove_all(c, c->unread) < 0)
        return -1;
    c->view.ext = NULL;
    c->unread = NULL;
    return 0;
}

/* ---- an attempt's ---- */

static struct weir_part *copy_parts(struct arena *a, const struct weir_part *from)
{
    struct weir_part *first = NULL, **end = &first;
    for (; from; from = from->next) {
        struct weir_part *p = arena_alloc(a, sizeof(*p));
        if (!p)
            return first;
        *p = *from;
        p->next = NULL;
        p->parts = copy_parts(a, from->parts);
        *end = p;
        end = &p->next;
    }
    return first;
}

static void copy_messages(struct arena *a, struct conversation *to, const struct conversation *from)
{
    struct weir_message **end = &to->view.messages;
    to->view.messages = NULL;
    for (const struct weir_message *m = from->view.messages; m; m = m->next) {
        struct weir_message *copy = arena_alloc(a, sizeof(*copy));
        if (!copy)
            return;
        *copy = *m;
        copy->next = NULL;
        copy->parts = copy_parts(a, m->parts);
        *end = copy;
        end = &copy->next;
        to->last_message = copy;
    }
}

struct conversation *conversation_of_attempt(struct conversation *base, struct conversation_edits *e, struct arena *a)
{
    if (e->own)
        return e->own;
    struct conversation *c = arena_alloc(a, sizeof(*c));
    if (!c)
        return NULL;
    *c = *base;
    c->view.fields = c->fields;
    c->arena = a;
    c->edits = NULL;
    c->edits_end = &c->edits;
    e->own = c;
    return c;
}

static int of_attempt(struct conversation *base, struct conversation_edits *e, struct arena *a, struct editor *ed)
{
    *ed = (struct editor){ conversation_of_attempt(base, e, a), a, &e->end };
    if (!e->end)
        e->end = &e->list;
    return ed->c ? 0 : -1;
}

/* Has this attempt views of its own, or still the request's? */
static void own_messages(struct editor *ed, const struct conversation *base)
{
    if (ed->c->view.messages == base->view.messages && base->view.messages)
        copy_messages(ed->arena, ed->c, base);
}

static struct weir_part *same_part(struct weir_part *in, const struct weir_part *from, const struct weir_part *wanted)
{
    for (; in && from; in = in->next, from = from->next) {
        if (from == wanted || in == wanted)
            return in;
        struct weir_part *child = same_part(in->parts, from->parts, wanted);
        if (child)
            return child;
    }
    return NULL;
}

/* The attempt's own view of a part that the caller may know by the request's. A prepended message has no twin. */
static struct weir_part *own_part(const struct editor *ed, const struct conversation *base, struct weir_part *wanted)
{
    struct weir_message *m = ed->c->view.messages;
    for (uint32_t extra = ed->c->view.n_messages - base->view.n_messages; extra > 0 && m; extra--) {
        struct weir_part *found = same_part(m->parts, m->parts, wanted);
        if (found)
            return found;
        m = m->next;
    }
    for (const struct weir_message *b = base->view.messages; m && b; m = m->next, b = b->next) {
        struct weir_part *found = same_part(m->parts, b->parts, wanted);
        if (found)
            return found;
    }
    return NULL;
}

struct conversation *attempt_own_messages(struct conversation *base, struct conversation_edits *e, struct arena *a)
{
    struct editor ed;
    if (of_attempt(base, e, a, &ed) < 0)
        return NULL;
    own_messages(&ed, base);
    return ed.c;
}

int attempt_edit_field(struct conversation *base, struct conversation_edits *e, struct arena *a, enum weir_field f,
                       struct weir_str json)
{
    struct editor ed;
    return of_attempt(base, e, a, &ed) < 0 ? -1 : edit_field(&ed, f, json);
}

int attempt_edit_text(struct conversation *base, struct conversation_edits *e, struct arena *a, struct weir_part *part,
                      struct weir_str plain)
{
    struct editor ed;
    if (of_attempt(base, e, a, &ed) < 0)
        return -1;
    own_messages(&ed, base);
    struct weir_part *own = own_part(&ed, base, part);
    return own ? edit_text(&ed, own, plain) : -1;
}

int attempt_prepend_system(struct conversation *base, struct conversation_edits *e, struct arena *a,
                           struct weir_str plain)
{
    struct editor ed;
    if (of_attempt(base, e, a, &ed) < 0)
        return -1;
    own_messages(&ed, base);
    return prepend_system(&ed, plain);
}

int attempt_apply(struct conversation *base, struct conversation_edits *e, struct arena *a, const struct edit *edit)
{
    if (edit->kind == WEIR_EDIT_PREPEND_SYSTEM)
        return attempt_prepend_system(base, e, a, edit->value);
    return attempt_edit_field(base, e, a, (enum weir_field)edit->field, edit->value);
}

/* ---- splices ---- */

void splices_add(struct splices *s, size_t offset, size_t n, struct weir_str with)
{
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 8;
        struct splice *more = arena_alloc(s->arena, cap * sizeof(*more));
        if (!more) {
            s->failed = true;
            return;
        }
        if (s->n)
            memcpy(more, s->list, s->n * sizeof(*more));
        s->list = more;
        s->cap = cap;
    }
    s->list[s->n++] = (struct splice){ (uint32_t)offset, (uint32_t)n, with };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A member goes together with one comma beside it. */
static void place_removal(struct splices *s, const struct edit *e, struct weir_str body)
{
    size_t from = e->span_offset, to = from + e->span_n, left = from, right = to;
    while (left > 0 && is_space(body.p[left - 1]))
        left--;
    while (right < body.n && is_space(body.p[right]))
        right++;
    if (right < body.n && body.p[right] == ',')
        to = right + 1;
    else if (left > 0 && body.p[left - 1] == ',')
        from = left - 1;
    splices_add(s, from, to - from, WEIR_NONE);
}

bool splices_place(struct splices *s, const struct edit *e, struct weir_str body)
{
    if (!e->span_n)
        return false;
    if (e->kind == EDIT_REMOVE) {
        place_removal(s, e, body);
        return true;
    }
    struct weir_str with = e->value;
    if (e->kind == EDIT_TEXT) {
        struct weir_text t = text_escape(s->arena, e->value);
        with = arena_printf(s->arena, "\"%.*s\"", (int)t.n, t.p);
    }
    splices_add(s, e->span_offset, e->span_n, with);
    return true;
}

/* By place. At the same place insertions come first, the last one asked for in front (what is prepended last stands first, as
 * in the view), then replacements in the order in which they were asked for. */
static void sort_splices(struct splices *s)
{
    for (uint32_t i = 1; i < s->n; i++) {
        struct splice x = s->list[i];
        uint32_t j = i;
        for (; j > 0 && (s->list[j - 1].offset > x.offset ||
                         (s->list[j - 1].offset == x.offset && x.n == 0));
             j--)
            s->list[j] = s->list[j - 1];
        s->list[j] = x;
    }
}

/* Of several replacements of one span the last counts. */
static void drop_replaced(struct splices *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct splice *x = &s->list[i];
        bool again = kept > 0 && x->n > 0 && s->list[kept - 1].offset == x->offset && s->list[kept - 1].n == x->n;
        s->list[again ? kept - 1 : kept++] = *x;
    }
    s->n = kept;
}

int splices_apply(struct splices *s, struct weir_str body, struct weir_str **pieces, uint32_t *n)
{
    sort_splices(s);
    drop_replaced(s);
    struct weir_str *list = s->failed ? NULL : arena_alloc(s->arena, (2 * (size_t)s->n + 1) * sizeof(*list));
    if (!list)
        return -1;
    size_t at = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct splice *x = &s->list[i];
        if (x->offset < at || (size_t)x->offset + x->n > body.n)
            return -1;
        if (x->offset > at)
            list[count++] = (struct weir_str){ body.p + at, x->offset - at };
        if (x->with.n)
            list[count++] = x->with;
        at = (size_t)x->offset + x->n;
    }
    if (at < body.n)
        list[count++] = (struct weir_str){ body.p + at, body.n - at };
    *pieces = list;
    *n = count;
    return 0;
}
