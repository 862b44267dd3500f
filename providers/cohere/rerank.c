/* Rerank, both ways: the query is the first message, each document one behind it, each result a block in order of rank. Jina's
 * servers speak the first version of it, at another path. */
#include "encode.h"
#include "request.h"
#include "response.h"

/* ---- the client's request ---- */

/* A string, or {"text":…}; another object is read as it stands. */
static void add_document(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text = { NULL, 0, 0 };
    struct weir_str raw, key;
    if (j->peek(x->r) == WEIR_JSON_STRING) {
        j->text(x->r, &text);
    } else if (j->peek(x->r) == WEIR_JSON_OBJECT && j->raw(x->r, &raw)) {
        struct weir_json *r = j->open(x->o.call, raw);
        text = weir_plain(raw);
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "text") && j->peek(r) == WEIR_JSON_STRING)
                j->text(r, &text);
    } else {
        j->skip(x->r);
        j->reject(x->r, "must be a string or an object with text");
    }
    struct weir_message *m = j->failed(x->r) ? NULL : x->o.host->message_add(x->o.call, WEIR_ROLE_USER);
    struct weir_part *p = m ? cohere_add_part(x, m, WEIR_PART_TEXT) : NULL;
    if (!p)
        return;
    p->text = text;
    x->n_messages++;
}

/* Whatever stands first in the body, the query is the first message. */
static struct weir_message *query_of(struct reading *x)
{
    if (!x->query && !x->o.failed)
        x->query = x->o.host->message_add(x->o.call, WEIR_ROLE_USER);
    x->o.failed = x->o.failed || !x->query;
    return x->query;
}

static void read_query(struct reading *x)
{
    struct weir_text text;
    struct weir_message *m = x->o.json->text(x->r, &text) ? query_of(x) : NULL;
    struct weir_part *p = m ? cohere_add_part(x, m, WEIR_PART_TEXT) : NULL;
    if (!p)
        return;
    p->text = text;
    x->has_query = true;
}

static void read_documents(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    query_of(x);
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        add_document(x);
}

bool cohere_read_rerank_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "query"))
        read_query(x);
    else if (weir_is(key, "documents"))
        read_documents(x);
    else if (weir_is(key, "top_n"))
        cohere_read_field(x, WEIR_FIELD_TOP_N, COHERE_COUNT);
    else if (weir_is(key, "return_documents"))
        cohere_read_field(x, WEIR_FIELD_RETURN_DOCUMENTS, COHERE_BOOLEAN);
    else
        return false;
    return true;
}

/* ---- the provider's request ---- */

static void put_words(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text gap = WEIR_TEXT("\n\n");
    bool is_first = true;
    j->string_begin(x->out);
    for (const struct weir_part *p = m->parts; p; p = p->next) {
        if (p->kind != WEIR_PART_TEXT)
            cohere_unsupported(&x->o, "documents", "A provider of the cohere dialect ranks texts only.");
        if (!is_first)
            j->string_part(x->out, &gap);
        is_first = false;
        j->string_part(x->out, &p->text);
    }
    j->string_end(x->out);
}

/* The documents don't go back and forth: whoever wants them in the answer gets those of the request. */
void cohere_put_rerank(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    const struct cohere_entry *entry = x->attempt->entry;
    const struct weir_message *query = x->c->messages;
    struct weir_str n = weir_field(x->c, WEIR_FIELD_TOP_N);
    if (!query)
        return;
    j->key(x->out, "query");
    put_words(x, query);
    j->key(x->out, "documents");
    j->array_begin(x->out);
    for (const struct weir_message *m = query->next; m && !x->o.failed; m = m->next)
        put_words(x, m);
    j->array_end(x->out);
    if (n.n)
        cohere_put_member(x, "top_n", n);
    if (entry && entry->rerank == COHERE_RERANK_JINA)
        cohere_put_member(x, "return_documents", WEIR_LIT("false"));
}

/* ---- the provider's answer ---- */

static void emit_rank(struct decoding *d, uint32_t block, int64_t index, struct weir_str score)
{
    struct weir_event e = cohere_event(WEIR_EVENT_BLOCK_START, 0, block);
    e.block_kind = WEIR_BLOCK_SCORE;
    e.id = d->o.host->format(d->o.call, "%lld", (long long)index);
    cohere_emit(d, &e);
    struct weir_event delta = cohere_event(WEIR_EVENT_DELTA, 0, block);
    delta.delta_kind = WEIR_DELTA_TEXT;
    delta.text = weir_plain(score);
    cohere_emit(d, &delta);
    struct weir_event stop = cohere_event(WEIR_EVENT_BLOCK_STOP, 0, block);
    cohere_emit(d, &stop);
}

static void read_rank(struct decoding *d, struct weir_json *r, uint32_t block)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, score = WEIR_NONE;
    int64_t index = -1;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("index") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &index);
        else if (KEY("relevance_score") && j->peek(r) == WEIR_JSON_NUMBER)
            j->number(r, &score);
    }
    if (index < 0 || !score.n)
        j->reject(r, "is no rank");
    else if (!j->failed(r))
        emit_rank(d, block, index, score);
}

static void read_tokens(struct decoding *d, struct weir_json *r, struct weir_usage *u)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        if (KEY("total_tokens") || KEY("prompt_tokens"))
            cohere_read_count(j, r, &u->input);
}

/* A search is what is billed: it goes to the record, in words. */
static void read_meta(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw;
    for (j->object(r); j->member(r, &key);)
        if (KEY("billed_units") && j->raw(r, &raw))
            d->o.host->note(d->o.call, "billed_units", raw);
}

int cohere_decode_ranks(struct decoding *d, struct weir_str body)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    struct weir_str key, id = WEIR_NONE, ranks = WEIR_NONE;
    uint32_t n = 0;
    struct weir_json *r = j->open(d->o.call, body);
    for (j->object(r); j->member(r, &key);) {
        enum weir_json_type type = j->peek(r);
        if (KEY("id"))
            cohere_read_string(j, r, &id);
        else if (KEY("results") && type == WEIR_JSON_ARRAY)
            j->raw(r, &ranks);
        else if (KEY("meta") && type == WEIR_JSON_OBJECT)
            read_meta(d, r);
        else if (KEY("usage") && type == WEIR_JSON_OBJECT)
            read_tokens(d, r, &usage);
    }
    if (!j->close(r) || !ranks.n)
        return -1;
    cohere_emit_start(d, id);
    r = j->open(d->o.call, ranks);
    for (j->array(r); !d->o.failed && j->element(r);)
        read_rank(d, r, n++);
    if (d->o.failed || !j->close(r))
        return -1;
    cohere_emit_usage(d, &usage);
    cohere_emit_end(d);
    return d->o.failed ? -1 : 0;
}

/* ---- the client's answer ---- */

/* The documents of the request by their numbers, so that each result finds its own at once. */
struct shelf {
    const struct weir_part **texts;
    uint32_t n;
};

static struct shelf shelf_of(struct cohere *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    struct shelf s = { NULL, 0 };
    if (!c || !c->messages || !weir_field_true(c, WEIR_FIELD_RETURN_DOCUMENTS))
        return s;
    s.texts = o->host->alloc(o->call, WEIR_FOR_CALL, sizeof(*s.texts) * c->n_messages);
    for (const struct weir_message *m = c->messages->next; s.texts && m && s.n < c->n_messages; m = m->next)
        s.texts[s.n++] = m->parts;
    return s;
}

static void put_document(struct cohere *o, struct weir_out *out, const struct shelf *s, struct weir_str id)
{
    const struct weir_json_api *j = o->json;
    uint64_t i = 0;
    for (size_t k = 0; k < id.n && k < 10 && id.p[k] >= '0' && id.p[k] <= '9'; k++)
        i = 10 * i + (uint64_t)(id.p[k] - '0');
    const struct weir_part *p = i < s->n ? s->texts[i] : NULL;
    if (!p)
        return;
    j->key(out, "document");
    j->object_begin(out);
    j->key(out, "text");
    j->put_text(out, &p->text);
    j->object_end(out);
}

void cohere_put_ranks(struct cohere *o, struct weir_out *out, const struct weir_answer *a)
{
    const struct weir_json_api *j = o->json;
    const struct shelf s = shelf_of(o);
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, a->id.n ? a->id : o->host->new_id(o->call, "rank_"));
    j->key(out, "results");
    j->array_begin(out);
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (b->kind != WEIR_BLOCK_SCORE)
            continue;
        j->object_begin(out);
        j->key(out, "index");
        j->put_raw(out, b->id);
        j->key(out, "relevance_score");
        j->put_text_raw(out, &b->text);
        put_document(o, out, &s, b->id);
        j->object_end(out);
    }
    j->array_end(out);
    j->key(out, "meta");
    j->put_raw(out, WEIR_LIT("{\"api_version\":{\"version\":\"2\"}}"));
    j->object_end(out);
}
