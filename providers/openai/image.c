/* Images that a model answers with. OpenAI's own chat has none; several providers of its dialect tell them as `images` beside the
 * text, each {"type":"image_url","image_url":{"url":"data:…"}}, in messages and in deltas. An image is told when it is whole: until
 * then its pieces are kept in the request's memory. */
#include "response.h"

/* ---- to the client ---- */

void openai_put_image(struct openai *o, struct weir_out *out, struct weir_str media_type, struct weir_text data, uint32_t index)
{
    const struct weir_json_api *j = o->json;
    struct weir_str type = media_type.n ? media_type : WEIR_LIT("image/png");
    struct weir_text head = weir_plain(o->host->format(o->call, "data:%.*s;base64,", (int)type.n, type.p));
    j->object_begin(out);
    j->key(out, "type");
    j->put_str(out, WEIR_LIT("image_url"));
    j->key(out, "image_url");
    j->object_begin(out);
    j->key(out, "url");
    j->string_begin(out);
    j->string_part(out, &head);
    j->string_part(out, &data);
    j->string_end(out);
    j->object_end(out);
    j->key(out, "index");
    j->put_int(out, index);
    j->object_end(out);
}

int openai_image_begin(struct openai *o, struct openai_client *s, const struct weir_event *e)
{
    struct openai_image *i = o->host->alloc(o->call, WEIR_FOR_REQUEST, sizeof(*i));
    if (!i)
        return -1;
    *i = (struct openai_image){ s->images, e->choice, e->block, o->host->keep(o->call, e->name), NULL, 0, 0 };
    s->images = i;
    return 0;
}

static struct openai_image *image_of(const struct openai_client *s, const struct weir_event *e)
{
    struct openai_image *i = s->images;
    while (i && (i->choice != e->choice || i->block != e->block))
        i = i->next;
    return i;
}

void openai_image_add(struct openai *o, struct openai_client *s, const struct weir_event *e)
{
    struct openai_image *i = image_of(s, e);
    struct weir_str plain = o->host->text(o->call, &e->text);
    if (!i || !plain.n)
        return;
    if (i->n + plain.n > i->cap) {
        size_t cap = i->cap ? 2 * (i->n + plain.n) : plain.n;
        char *more = o->host->alloc(o->call, WEIR_FOR_REQUEST, cap);
        if (!more)
            return;
        if (i->n)
            memcpy(more, i->data, i->n);
        i->data = more;
        i->cap = cap;
    }
    memcpy(i->data + i->n, plain.p, plain.n);
    i->n += plain.n;
}

bool openai_image_take(struct openai_client *s, const struct weir_event *e, struct openai_image *to)
{
    struct openai_image *i = image_of(s, e);
    if (!i)
        return false;
    *to = *i;
    i->block = UINT32_MAX; /* told */
    return to->n > 0;
}

/* ---- from the provider ---- */

/* "data:image/png;base64,…"; one that lies elsewhere can't be told: its address is of the provider's. */
static bool read_url(struct decoding *d, struct weir_text url, struct weir_str *type, struct weir_text *data)
{
    struct weir_str plain = d->o.host->text(d->o.call, &url);
    const char *comma = plain.n > 5 && memcmp(plain.p, "data:", 5) == 0 ? memchr(plain.p, ',', plain.n) : NULL;
    const char *end = comma ? memchr(plain.p, ';', (size_t)(comma - plain.p)) : NULL;
    if (!end)
        return false;
    *type = (struct weir_str){ plain.p + 5, (size_t)(end - plain.p) - 5 };
    *data = weir_plain((struct weir_str){ comma + 1, plain.n - (size_t)(comma + 1 - plain.p) });
    return data->n > 0;
}

static bool read_image(struct decoding *d, struct weir_json *r, struct weir_str *type, struct weir_text *data)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct weir_text url = { 0 };
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return false;
    }
    for (j->object(r); j->member(r, &key);) {
        if (!KEY("image_url") || j->peek(r) != WEIR_JSON_OBJECT)
            continue;
        for (j->object(r); j->member(r, &key);)
            if (KEY("url") && j->peek(r) == WEIR_JSON_STRING)
                j->text(r, &url);
    }
    return read_url(d, url, type, data);
}

void openai_read_images(struct decoding *d, struct weir_str raw, struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_json *r = j->open(d->o.call, raw);
    struct weir_str type;
    struct weir_text data;
    for (j->array(r); j->element(r);)
        if (read_image(d, r, &type, &data) && !c->has_finish)
            openai_tell_image(d, c, choice, type, data);
}
