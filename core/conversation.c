/* Building the canonical conversation and reading it as a whole. Everything lives in the request's arena. */
#include "conversation.h"

#include <ctype.h>
#include <strings.h>

#include "feature_set.h"
#include "scratch.h"
#include "text.h"

struct conversation *conversation_new(struct arena *a, struct weir_str dialect, uint32_t operation,
                                      struct weir_str body)
{
    struct conversation *c = arena_zalloc(a, sizeof(*c));
    if (!c)
        return NULL;
    c->arena = a;
    c->edits_end = &c->edits;
    c->view.operation = operation;
    c->view.dialect = dialect;
    c->view.fields = c->fields;
    c->view.n_fields = WEIR_FIELD_COUNT;
    c->view.body = body;
    return c;
}

/* Where s lies in the body; n 0 if it doesn't. */
static void span_of(const struct weir_str *body, struct weir_str s, uint32_t *offset, uint32_t *n)
{
    *offset = *n = 0;
    if (s.n == 0 || s.p < body->p || s.p + s.n > body->p + body->n)
        return;
    *offset = (uint32_t)(s.p - body->p);
    *n = (uint32_t)s.n;
}

int conversation_set_field(struct conversation *c, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if ((uint32_t)f >= WEIR_FIELD_COUNT)
        return -1;
    struct weir_field_value *v = &c->fields[f];
    v->json = json;
    span_of(&c->view.body, wire, &v->span_offset, &v->span_n);
    return 0;
}

struct weir_message *conversation_message(struct conversation *c, enum weir_role role)
{
    struct weir_message *m = arena_zalloc(c->arena, sizeof(*m));
    if (!m)
        return NULL;
    m->role = role;
    *(c->last_message ? &c->last_message->next : &c->view.messages) = m;
    c->last_message = m;
    c->view.n_messages++;
    return m;
}

/* A message's parts and the content of its newest tool result grow in turns: both ends are remembered. A codec may have put
 * another list in the place of one (its first part tells) or gone on at its end. */
static struct part_tail *tail_of(struct conversation *c, struct weir_part **list)
{
    if (c->tails[0].list != list) {
        struct part_tail other = c->tails[1];
        c->tails[1] = c->tails[0];
        c->tails[0] = other;
    }
    struct part_tail *t = &c->tails[0];
    if (t->list != list || t->first != *list)
        *t = (struct part_tail){ list, *list, *list };
    while (t->last && t->last->next)
        t->last = t->last->next;
    return t;
}

struct weir_part *conversation_part(struct conversation *c, struct weir_part **list, enum weir_part_kind kind)
{
    struct weir_part *p = arena_zalloc(c->arena, sizeof(*p));
    if (!p)
        return NULL;
    p->kind = kind;
    struct part_tail *tail = tail_of(c, list);
    *(tail->last ? &tail->last->next : list) = p;
    tail->first = *list;
    tail->last = p;
    return p;
}

/* "data:image/png;base64,…" with something in it: false if it is none. Its data stay where they are. */
static bool take_data_uri(struct arena *a, struct weir_part *p, const struct weir_text *uri)
{
    enum { LONGEST_HEAD = 256 };
    if (uri->n < 5 || strncasecmp(uri->p, "data:", 5) != 0)
        return false;
    const char *comma = memchr(uri->p, ',', uri->n < LONGEST_HEAD ? uri->n : LONGEST_HEAD);
    if (!comma)
        return false;
    uint32_t head_n = (uint32_t)(comma - uri->p);
    struct weir_text head = { uri->p + 5, head_n - 5, uri->form };
    struct weir_str words = text_decode(a, &head);
    if (words.n < 7 || memcmp(words.p + words.n - 7, ";base64", 7) != 0 || uri->n == head_n + 1)
        return false;
    p->media_type = (struct weir_str){ words.p, (size_t)((const char *)memchr(words.p, ';', words.n) - words.p) };
    p->data = (struct weir_text){ comma + 1, uri->n - head_n - 1, uri->form };
    return true;
}

/* An absolute URI (RFC 3986, 4.3): a scheme, ':', and what it names; of HTTP's and data's it is known how that begins. */
static bool is_absolute(struct weir_str s)
{
    size_t n = 0;
    while (n < s.n && (isalnum((unsigned char)s.p[n]) || (n && (s.p[n] == '+' || s.p[n] == '-' || s.p[n] == '.'))))
        n++;
    if (!n || !isalpha((unsigned char)s.p[0]) || n + 1 >= s.n || s.p[n] != ':')
        return false;
    struct weir_str rest = { s.p + n + 1, s.n - n - 1 };
    if ((n == 4 || n == 5) && strncasecmp(s.p, "https", n) == 0)
        return rest.n > 2 && memcmp(rest.p, "//", 2) == 0 && rest.p[2] != '/';
    if (n == 4 && strncasecmp(s.p, "data", n) == 0)
        return memchr(rest.p, ',', rest.n) && rest.p[rest.n - 1] != ',';
    return true;
}

bool conversation_media_url(struct arena *a, struct weir_part *p, const struct weir_text *url)
{
    if (take_data_uri(a, p, url))
        return true;
    struct weir_str plain = text_decode(a, url);
    if (!is_absolute(plain))
        return false;
    p->url = plain;
    return true;
}

struct weir_tool *conversation_tool(struct conversation *c)
{
    struct weir_tool *t = arena_zalloc(c->arena, sizeof(*t));
    if (!t)
        return NULL;
    *(c->last_tool ? &c->last_tool->next : &c->view.tools) = t;
    c->last_tool = t;
    return t;
}

static struct weir_ext *new_ext(struct conversation *c, struct weir_str path, struct weir_str raw, struct weir_str member)
{
    struct weir_ext *x = arena_zalloc(c->arena, sizeof(*x));
    if (!x)
        return NULL;
    x->path = arena_copy(c->arena, path);
    x->raw = raw;
    span_of(&c->view.body, member, &x->span_offset, &x->span_n);
    return x;
}

/* ---- what the codec left ---- */

enum { UNREAD_MAX = 1000 };

static void add_unread(void *arg, struct weir_str path, struct weir_str raw, struct weir_str member)
{
    struct conversation *c = arg;
    bool has_room = c->n_unread++ < UNREAD_MAX;
    struct weir_ext *x = has_room ? new_ext(c, path, raw, member) : NULL;
    c->has_more_unread = c->has_more_unread || !x;
    if (!x)
        return;
    *(c->last_unread ? &c->last_unread->next : &c->unread) = x;
    c->last_unread = x;
}

static bool is_kept(const struct weir_str *raw, const struct weir_str *body, const struct weir_ext *x)
{
    const char *at = body->p + x->span_offset;
    return raw->n && x->span_n && at >= raw->p && at < raw->p + raw->n;
}

/* What lies in a block or a tool that the codec kept as it came is not lost by itself. */
static bool is_in_kept(const struct weir_part *p, const struct weir_str *body, const struct weir_ext *x)
{
    for (; p; p = p->next)
        if (is_kept(&p->raw, body, x) || is_in_kept(p->parts, body, x))
            return true;
    return false;
}

static bool is_carried(const struct weir_conversation *c, const struct weir_ext *x)
{
    for (const struct weir_message *m = c->messages; m; m = m->next)
        if (is_in_kept(m->parts, &c->body, x))
            return true;
    for (const struct weir_tool *t = c->tools; t; t = t->next)
        if (is_kept(&t->raw, &c->body, x))
            return true;
    return false;
}

enum { LOOKED_UP = 64 }; /* each look goes through all of the conversation */

static void forget_carried(struct conversation *c)
{
    struct weir_ext **at = &c->unread;
    for (uint32_t n = 0; *at && n < LOOKED_UP; n++)
        if (is_carried(&c->view, *at))
            *at = (*at)->next;
        else
            at = &(*at)->next;
}

void conversation_watch(struct conversation *c)
{
    json_watch_begin(c->arena, c->view.body);
}

int conversation_ext(struct conversation *c, struct weir_str path, struct weir_str raw, struct weir_str member)
{
    struct weir_ext *x = new_ext(c, path, raw, member);
    if (!x)
        return -1;
    *(c->last_ext ? &c->last_ext->next : &c->view.ext) = x;
    c->last_ext = x;
    return 0;
}

/* ---- what a target needs ---- */

static uint32_t part_needs(const struct weir_part *p)
{
    uint32_t needs = 0;
    switch (p->kind) {
    case WEIR_PART_IMAGE:
        needs = p->url.n ? WEIR_CAN_IMAGE_URL : p->file_id.n ? WEIR_CAN_FILE_ID : WEIR_CAN_IMAGE_INLINE;
        break;
    case WEIR_PART_FILE:
        needs = p->url.n ? WEIR_CAN_FILE_URL : p->file_id.n ? WEIR_CAN_FILE_ID : WEIR_CAN_FILE_INLINE;
        break;
    case WEIR_PART_AUDIO:
        needs = WEIR_CAN_AUDIO_IN | (p->url.n ? WEIR_CAN_FILE_URL : p->file_id.n ? WEIR_CAN_FILE_ID : 0u);
        break;
    case WEIR_PART_TOOL_CALL:
    case WEIR_PART_TOOL_RESULT:
        needs = WEIR_CAN_TOOLS;
        break;
    case WEIR_PART_OPAQUE:
        needs = WEIR_CAN_OPAQUE;
        break;
    }
    for (const struct weir_part *child = p->parts; child; child = child->next)
        needs |= part_needs(child);
    return needs;
}

static uint32_t field_needs(const struct weir_conversation *c)
{
    uint32_t needs = 0;
    struct weir_str format = weir_field(c, WEIR_FIELD_RESPONSE_FORMAT), n = weir_field(c, WEIR_FIELD_N);
    if (format.n && format.p[0] == '{')
        needs |= WEIR_CAN_JSON_SCHEMA;
    else if (weir_is(format, "\"json_object\""))
        needs |= WEIR_CAN_JSON_OBJECT;
    if (n.n && !weir_is(n, "1"))
        needs |= WEIR_CAN_CHOICES;
    if (weir_field_true(c, WEIR_FIELD_LOGPROBS))
        needs |= WEIR_CAN_LOGPROBS;
    if (weir_field_true(c, WEIR_FIELD_STREAM))
        needs |= WEIR_CAN_STREAM;
    return needs;
}

void conversation_close(struct conversation *c)
{
    c->has_more_unread = !json_watch_end(add_unread, c) || c->has_more_unread;
    forget_carried(c);
    uint32_t needs = field_needs(&c->view);
    for (const struct weir_tool *t = c->view.tools; t; t = t->next)
        needs |= t->raw.n ? WEIR_CAN_OPAQUE : WEIR_CAN_TOOLS;
    c->view.n_messages = 0; /* a codec may have joined messages */
    for (struct weir_message *m = c->view.messages; m; m = m->next) {
        c->view.n_messages++;
        c->last_message = m;
        for (const struct weir_part *p = m->parts; p; p = p->next)
            needs |= part_needs(p);
    }
    c->view.needs = needs;
    c->content = features_of_content(&c->view);
}

/* ---- every text ---- */

struct walk {
    weir_text_fn fn;
    void *arg;
    struct arena *arena;
    bool is_stopped;
};

static void walk_one(struct walk *w, struct weir_str where, const struct weir_text *t, struct weir_part *part)
{
    if (!w->is_stopped && t->n)
        w->is_stopped = !w->fn(w->arg, where, t, part);
}

static void walk_raw(struct walk *w, struct weir_str where, struct weir_str raw)
{
    struct weir_text t = weir_plain(raw);
    walk_one(w, where, &t, NULL);
}

static void walk_part(struct walk *w, struct weir_part *p, struct weir_str where)
{
    if (w->is_stopped)
        return;
    walk_one(w, where, &p->text, p);
    walk_raw(w, where, p->raw);
    walk_raw(w, where, p->url);
    walk_raw(w, where, p->name);
    uint32_t i = 0;
    for (struct weir_part *child = p->parts; child; child = child->next, i++)
        walk_part(w, child, arena_printf(w->arena, "%.*s.content[%u]", (int)where.n, where.p, i));
}

void conversation_texts(struct conversation *c, struct arena *a, weir_text_fn fn, void *arg)
{
    struct walk w = { fn, arg, a, false };
    uint32_t m = 0;
    for (struct weir_message *message = c->view.messages; message; message = message->next, m++) {
        uint32_t i = 0;
        walk_raw(&w, WEIR_LIT("messages[].name"), message->name);
        for (struct weir_part *p = message->parts; p; p = p->next, i++)
            walk_part(&w, p, arena_printf(a, "messages[%u].content[%u]", m, i));
    }
    for (const struct weir_tool *t = c->view.tools; t; t = t->next) {
        walk_one(&w, arena_printf(a, "tools.%.*s.description", (int)t->name.n, t->name.p), &t->description, NULL);
        walk_raw(&w, arena_printf(a, "tools.%.*s.schema", (int)t->name.n, t->name.p), t->schema);
        walk_raw(&w, WEIR_LIT("tools"), t->raw);
    }
    for (uint32_t f = 0; f < WEIR_FIELD_COUNT; f++)
        walk_raw(&w, WEIR_LIT("settings"), c->fields[f].json);
    for (const struct weir_ext *x = c->view.ext; x; x = x->next)
        walk_raw(&w, x->path, x->raw);
    for (const struct weir_ext *x = c->unread; x; x = x->next)
        walk_raw(&w, x->path, x->raw);
}
