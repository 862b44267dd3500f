/* Images, documents and audio of a request to a provider: their bytes only, in formats that the dialect names. */
#include "encode.h"

enum { NAME_MAX_SENT = 180 };

static void put_bytes(struct encoding *x, const struct weir_text *data)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "source");
    j->object_begin(x->out);
    j->key(x->out, "bytes");
    j->put_text(x->out, data);
    j->object_end(x->out);
}

static void begin(struct encoding *x, const char *kind, struct weir_str format)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    j->key(x->out, kind);
    j->object_begin(x->out);
    j->key(x->out, "format");
    j->put_str(x->out, format);
}

static void end(struct encoding *x)
{
    x->o.json->object_end(x->out);
    x->o.json->object_end(x->out);
}

/* "png" of "image/png; x=y". */
static struct weir_str subtype_of(struct weir_str type)
{
    const char *slash = type.n ? memchr(type.p, '/', type.n) : NULL;
    struct weir_str s = slash ? (struct weir_str){ slash + 1, (size_t)(type.p + type.n - slash) - 1 } : type;
    const char *semicolon = s.n ? memchr(s.p, ';', s.n) : NULL;
    if (semicolon)
        s.n = (size_t)(semicolon - s.p);
    return s;
}

static bool is_one_of(struct weir_str s, const char *const *words)
{
    while (*words && !weir_is(s, *words))
        words++;
    return *words != NULL;
}

/* ---- images ---- */

void bedrock_put_image(struct encoding *x, const struct weir_part *p)
{
    static const char *const formats[] = { "png", "jpeg", "gif", "webp", NULL };
    struct weir_str format = subtype_of(p->media_type);
    if (weir_is(format, "jpg"))
        format = WEIR_LIT("jpeg");
    if (!p->data.n) {
        bedrock_unsupported(&x->o, "messages",
                            "Bedrock takes images with their bytes only, not by URL or file id; send the bytes.");
        return;
    }
    if (!x->o.is_own && !is_one_of(format, formats)) {
        bedrock_unsupported(&x->o, "messages",
                            "Bedrock takes images as png, jpeg, gif or webp; this one is none of them.");
        return;
    }
    if (p->detail.n)
        bedrock_lose_once(x, WEIR_FEATURE_IMAGE_DETAIL, WEIR_LOSS_DROPPED, "");
    begin(x, "image", format);
    put_bytes(x, &p->data);
    end(x);
}

/* ---- audio ---- */

void bedrock_put_audio(struct encoding *x, const struct weir_part *p)
{
    struct weir_str format = subtype_of(p->media_type);
    if (weir_is(format, "mpeg"))
        format = WEIR_LIT("mp3");
    if (weir_is(format, "x-wav"))
        format = WEIR_LIT("wav");
    if (!p->data.n) {
        bedrock_unsupported(&x->o, "messages", "Audio can only be sent with its bytes to Bedrock; inline it.");
        return;
    }
    begin(x, "audio", format);
    put_bytes(x, &p->data);
    end(x);
}

/* ---- documents ---- */

static struct weir_str format_of_type(struct weir_str type)
{
    static const char *const formats[][2] = {
        { "application/pdf", "pdf" },
        { "text/plain", "txt" },
        { "text/markdown", "md" },
        { "text/csv", "csv" },
        { "text/html", "html" },
        { "application/msword", "doc" },
        { "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx" },
        { "application/vnd.ms-excel", "xls" },
        { "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx" },
    };
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        if (weir_is(type, formats[i][0]))
            return weir_cstr(formats[i][1]);
    return WEIR_NONE;
}

static bool is_text(struct weir_str type)
{
    return type.n > 5 && memcmp(type.p, "text/", 5) == 0;
}

/* A name may have letters, digits, single spaces and -()[]. */
static size_t sanitise(struct weir_str name, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < NAME_MAX_SENT; i++) {
        char c = name.p[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (is_word || (c && strchr("-()[]", c)))
            to[n++] = c;
        else if (n && to[n - 1] != ' ')
            to[n++] = ' ';
    }
    while (n && to[n - 1] == ' ')
        n--;
    return n;
}

static bool is_taken(const struct encoding *x, struct weir_str name)
{
    for (const struct bedrock_document *d = x->documents; d; d = d->next)
        if (weir_eq(d->name, name))
            return true;
    return false;
}

/* Two documents of one name are refused: the second gets a number. */
static struct weir_str document_name(struct encoding *x, struct weir_str name)
{
    const struct weir_host *h = x->o.host;
    char buf[NAME_MAX_SENT];
    size_t n = sanitise(name, buf);
    struct weir_str base = n ? (struct weir_str){ buf, n } : WEIR_LIT("document");
    struct weir_str made = h->format(x->o.call, "%.*s", (int)base.n, base.p);
    for (int i = 2; is_taken(x, made); i++)
        made = h->format(x->o.call, "%.*s %d", (int)base.n, base.p, i);
    struct bedrock_document *d = h->alloc(x->o.call, WEIR_FOR_ATTEMPT, sizeof(*d));
    if (d) {
        *d = (struct bedrock_document){ x->documents, made };
        x->documents = d;
    }
    return made;
}

static void put_own_members(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, value;
    if (!p->raw.n || !weir_eq(p->dialect, BEDROCK_DIALECT) || !x->o.is_own)
        return;
    struct weir_json *r = j->open(x->o.call, p->raw);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value);)
        if (!weir_is(key, "cachePoint")) {
            j->key_str(x->out, key);
            j->put_raw(x->out, value);
        }
}

static void put_name(struct encoding *x, const struct weir_part *p)
{
    x->o.json->key(x->out, "name");
    x->o.json->put_str(x->out, x->o.is_own ? p->name : document_name(x, p->name));
}

/* Text of a document that came as text: only this dialect's own clients send it so. */
static void put_text_source(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "source");
    j->object_begin(x->out);
    j->key(x->out, "text");
    j->put_text(x->out, &p->text);
    j->object_end(x->out);
}

void bedrock_put_document(struct encoding *x, const struct weir_part *p)
{
    struct weir_str format = format_of_type(p->media_type);
    if (!format.n && p->media_type.n > 6 && memcmp(p->media_type.p, "image/", 6) == 0) {
        bedrock_put_image(x, p);
        return;
    }
    if (!format.n)
        format = is_text(p->media_type) ? WEIR_LIT("txt") : x->o.is_own ? subtype_of(p->media_type) : WEIR_NONE;
    bool is_said = p->kind == WEIR_PART_TEXT || p->data.n;
    if (!is_said || !format.n) {
        bedrock_unsupported(
            &x->o, "messages",
            "Bedrock takes files with their bytes, as pdf, csv, doc, docx, xls, xlsx, html, txt or md; this "
            "one is none of them.");
        return;
    }
    begin(x, "document", format);
    put_name(x, p);
    if (p->kind == WEIR_PART_TEXT)
        put_text_source(x, p);
    else
        put_bytes(x, &p->data);
    put_own_members(x, p);
    end(x);
}
