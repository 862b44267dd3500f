/* Documents stand beside the messages here. In a conversation they are text files of the last question, which other dialects can
 * carry; towards a provider of this dialect they go back to where they stood. */
#include "request.h"

static void add_line(struct reading *x, struct weir_out *out, struct weir_json *r, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str value = WEIR_NONE;
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, &value);
    else
        j->raw(r, &value);
    x->o.host->write(out, key);
    x->o.host->write(out, WEIR_LIT(": "));
    x->o.host->write(out, value);
    x->o.host->write(out, WEIR_LIT("\n"));
}

struct document {
    struct weir_str id, title, words;
};

/* A string, or members as lines: `title: …`, `text: …`. */
static void read_data(struct reading *x, struct weir_json *r, struct document *d)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    if (j->peek(r) == WEIR_JSON_STRING) {
        j->string(r, &d->words);
        return;
    }
    struct weir_out *out = x->o.host->out(x->o.call);
    for (j->object(r); out && j->member(r, &key);) {
        if (weir_is(key, "title") && j->peek(r) == WEIR_JSON_STRING) {
            j->string(r, &d->title);
            x->o.host->write(out, WEIR_LIT("title: "));
            x->o.host->write(out, d->title);
            x->o.host->write(out, WEIR_LIT("\n"));
        } else {
            add_line(x, out, r, key);
        }
    }
    if (out)
        d->words = x->o.host->out_bytes(out);
}

static void read_document(struct reading *x, struct weir_json *r, struct document *d)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    if (j->peek(r) == WEIR_JSON_STRING) {
        j->string(r, &d->words);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "id") && !took_null(r, j))
            j->string(r, &d->id);
        else if (weir_is(key, "data"))
            read_data(x, r, d);
    }
}

static void add_file(struct reading *x, const struct document *d)
{
    struct weir_part *p = cohere_add_part(x, x->last_user, WEIR_PART_FILE);
    if (!p)
        return;
    struct weir_str name = d->title.n ? d->title : d->id.n ? d->id : WEIR_LIT("document.txt");
    p->name = x->o.host->keep(x->o.call, name);
    p->media_type = WEIR_LIT("text/plain");
    p->data = weir_plain(x->o.host->keep(x->o.call, x->o.host->base64(x->o.call, d->words, false)));
    p->dialect = COHERE_DIALECT;
}

void cohere_take_documents(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_json *r = j->open(x->o.call, x->documents);
    if (!x->last_user) { /* nothing asks about them */
        x->o.failed |= x->o.host->ext_add(x->o.call, WEIR_LIT("documents"), x->documents, x->documents_member) < 0;
        return;
    }
    for (j->array(r); !x->o.failed && j->element(r);) {
        struct document d = { .id = WEIR_NONE };
        read_document(x, r, &d);
        if (!j->failed(r))
            add_file(x, &d);
    }
    if (!j->close(r) && !x->o.failed)
        cohere_fail_at(x, WEIR_LIT("documents"), "must be strings or {\"id\":…,\"data\":{…}}");
}
