/* What another dialect's provider signed, on its way through a client of this one, and back. A call's signature stands where Google's
 * own layer for this dialect puts it, `extra_content.google.thought_signature`; a thought's in `reasoning_details`, as text and
 * signature together, because `reasoning_content` joins the thoughts. Both carry a mark of weir's: marked ones go back to the
 * dialect that made them and to nobody else. */
#include "request.h"

static const char mark[] = "weir1:";

/* ---- from a client ---- */

static bool is_marked(struct weir_str raw)
{
    return raw.n && memmem(raw.p, raw.n, mark, sizeof(mark) - 1) != NULL;
}

static void read_google(const struct weir_json_api *j, struct weir_json *r, struct weir_part *p)
{
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "thought_signature") && j->peek(r) == WEIR_JSON_STRING && j->text(r, &p->signature))
            p->dialect = WEIR_LIT("gemini");
}

/* "weir1:DIALECT" */
static struct weir_str marked_dialect(struct weir_str s)
{
    size_t n = sizeof(mark) - 1;
    return s.n > n && memcmp(s.p, mark, n) == 0 ? (struct weir_str){ s.p + n, s.n - n } : WEIR_NONE;
}

static void read_own(const struct weir_json_api *j, struct weir_json *r, struct weir_part *p)
{
    struct weir_str key, format = WEIR_NONE;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "format") && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &format);
        else if (weir_is(key, "signature") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &p->signature);
    }
    if (marked_dialect(format).n)
        p->dialect = marked_dialect(format);
}

void openai_read_extra(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key;
    if (!j->raw(r, &raw) || raw.p[0] != '{')
        return;
    struct weir_json *inner = j->open(x->o.call, raw);
    for (j->object(inner); j->member(inner, &key);) {
        if (weir_is(key, "google") && j->peek(inner) == WEIR_JSON_OBJECT)
            read_google(j, inner, p);
        else if (weir_is(key, "weir") && j->peek(inner) == WEIR_JSON_OBJECT)
            read_own(j, inner, p);
    }
    x->client->has_foreign |= is_marked(raw);
}

struct detail {
    struct weir_str format;
    struct weir_text text, signature;
    bool is_block; /* of thinking_blocks, as some gateways call them: always Anthropic's */
};

static void read_detail(const struct weir_json_api *j, struct weir_json *r, struct detail *d)
{
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        bool is_string = j->peek(r) == WEIR_JSON_STRING;
        if (weir_is(key, "format") && is_string)
            j->string(r, &d->format);
        else if (weir_is(key, "signature") && is_string)
            j->text(r, &d->signature);
        else if (weir_is(key, "text") && is_string)
            j->text(r, &d->text);
        else if (weir_is(key, "thinking") && is_string)
            d->is_block = j->text(r, &d->text);
        else if (weir_is(key, "type") || weir_is(key, "index") || weir_is(key, "id"))
            j->skip(r);
    }
}

static bool take_detail(struct reading *x, struct weir_message *m, const struct detail *d)
{
    struct weir_str dialect = d->is_block ? WEIR_LIT("anthropic") : marked_dialect(d->format);
    if (!dialect.n || !d->signature.n)
        return false;
    struct weir_part *p = x->o.host->part_add(x->o.call, m, WEIR_PART_THINKING);
    if (!p) {
        x->o.failed = true;
        return false;
    }
    p->text = d->text;
    p->signature = d->signature;
    p->dialect = x->o.host->keep(x->o.call, dialect);
    return true;
}

/* true: thoughts were taken from it; those of `reasoning_content` are the same again. */
bool openai_read_details(struct reading *x, struct weir_message *m, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    bool has_any = false;
    if (raw.p[0] != '[')
        return false;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); !x->o.failed && j->element(r);) {
        struct detail d = { .is_block = false };
        if (j->peek(r) != WEIR_JSON_OBJECT)
            continue;
        read_detail(j, r, &d);
        has_any = take_detail(x, m, &d) || has_any;
    }
    x->client->has_foreign |= has_any && is_marked(raw);
    return has_any;
}

void openai_drop_unsigned(struct weir_message *m)
{
    struct weir_part **at = &m->parts;
    while (*at)
        if ((*at)->kind == WEIR_PART_THINKING && !(*at)->signature.n)
            *at = (*at)->next;
        else
            at = &(*at)->next;
}

/* ---- to a client ---- */

static void put_member(struct openai *o, struct weir_out *out, const char *key, struct weir_str value)
{
    o->json->key(out, key);
    o->json->put_str(out, value);
}

static void lose(struct openai *o)
{
    openai_lose(o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_EMULATED, "beside the message, marked; it comes back to who made it");
}

static struct weir_str format_of(struct openai *o, struct weir_str dialect)
{
    return o->host->format(o->call, "%s%.*s", mark, (int)dialect.n, dialect.p);
}

void openai_put_extra(struct openai *o, struct weir_out *out, struct weir_str signature, struct weir_str dialect)
{
    const struct weir_json_api *j = o->json;
    bool is_google = weir_is(dialect, "gemini");
    j->object_begin(out);
    if (is_google) {
        j->key(out, "google");
        j->object_begin(out);
        put_member(o, out, "thought_signature", signature);
        j->object_end(out);
    }
    j->key(out, "weir");
    j->object_begin(out);
    put_member(o, out, "format", format_of(o, dialect));
    if (!is_google)
        put_member(o, out, "signature", signature);
    j->object_end(out);
    j->object_end(out);
    lose(o);
}

void openai_put_detail(struct openai *o, struct weir_out *out, struct weir_text text, struct weir_str signature,
                       struct weir_str dialect, uint32_t index)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    put_member(o, out, "type", WEIR_LIT("reasoning.text"));
    j->key(out, "text");
    j->put_text(out, &text);
    put_member(o, out, "signature", signature);
    put_member(o, out, "format", format_of(o, dialect));
    j->key(out, "index");
    j->put_int(out, index);
    j->object_end(out);
    lose(o);
}

/* ---- a thought of a stream, until its signature is known ---- */

static struct openai_thought *thought_of(struct openai_client *s, const struct weir_event *e)
{
    if (s->thought.block != e->block || s->thought.choice != e->choice) {
        s->thought.n = s->thought.signature.n = 0;
        s->thought.block = e->block;
        s->thought.choice = e->choice;
    }
    return &s->thought;
}

void openai_keep_thought(struct openai *o, struct openai_client *s, const struct weir_event *e)
{
    struct openai_thought *t = thought_of(s, e);
    struct weir_str plain = o->host->text(o->call, &e->text);
    if (t->n + plain.n > t->cap) {
        size_t cap = 2 * (t->n + plain.n) + 256;
        char *more = o->host->alloc(o->call, WEIR_FOR_REQUEST, cap);
        if (!more)
            return; /* the thought was told; only its signature can't be */
        if (t->n)
            memcpy(more, t->text, t->n);
        t->text = more;
        t->cap = cap;
    }
    if (plain.n)
        memcpy(t->text + t->n, plain.p, plain.n);
    t->n += plain.n;
}

void openai_keep_signature(struct openai *o, struct openai_client *s, const struct weir_event *e)
{
    struct openai_thought *t = thought_of(s, e);
    struct weir_str more = o->host->text(o->call, &e->text);
    t->signature = o->host->keep(o->call, o->host->format(o->call, "%.*s%.*s", (int)t->signature.n,
                                                          t->signature.n ? t->signature.p : "", (int)more.n, more.p));
    t->signer = o->host->keep(o->call, e->dialect);
}
