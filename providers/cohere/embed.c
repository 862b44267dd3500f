/* Embeddings, both ways: one message for each input, one block for each vector of it. A vector crosses as the JSON that it is. */
#include <stdlib.h>

#include "encode.h"
#include "request.h"
#include "response.h"

static const struct cohere_word input_types[] = {
    { "\"search_query\"", "\"query\"" },
    { "\"search_document\"", "\"document\"" },
    { "\"classification\"", "\"classification\"" },
    { "\"clustering\"", "\"clustering\"" },
    { "\"image\"", "\"image\"" },
    { NULL, NULL },
};

static const struct cohere_word truncations[] = {
    { "\"NONE\"", "\"none\"" },
    { "\"START\"", "\"start\"" },
    { "\"END\"", "\"end\"" },
    { NULL, NULL },
};

/* ---- the client's request ---- */

static struct weir_message *add_input(struct reading *x)
{
    struct weir_message *m = x->o.failed ? NULL : x->o.host->message_add(x->o.call, WEIR_ROLE_USER);
    x->o.failed = x->o.failed || !m;
    x->n_messages++;
    return m;
}

static void read_text(struct reading *x)
{
    struct weir_text text;
    struct weir_message *m = x->o.json->text(x->r, &text) ? add_input(x) : NULL;
    struct weir_part *p = m ? cohere_add_part(x, m, WEIR_PART_TEXT) : NULL;
    if (p)
        p->text = text;
}

static void read_image(struct reading *x)
{
    struct weir_text url;
    struct weir_message *m = x->o.json->text(x->r, &url) ? add_input(x) : NULL;
    struct weir_part *p = m ? cohere_add_part(x, m, WEIR_PART_IMAGE) : NULL;
    if (p)
        cohere_take_url(x, p, url);
}

/* {"content":[…]} */
static void read_mixed(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_message *m = add_input(x);
    for (j->object(x->r); m && j->member(x->r, &key);)
        if (weir_is(key, "content"))
            cohere_read_content(x, m);
}

static void read_inputs(struct reading *x, void (*read)(struct reading *))
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read(x);
    x->has_input = x->n_messages > 0;
}

/* One encoding is the setting; more of them only this dialect knows. */
static void read_types(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, each, first = WEIR_NONE;
    uint32_t n = 0;
    if (took_null(x->r, j) || !j->raw(x->r, &raw))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); j->element(r); n++) {
        bool is_string = j->peek(r) == WEIR_JSON_STRING;
        if (j->raw(r, &each) && !is_string)
            j->reject(r, "");
        first = n ? first : each;
    }
    if (!j->close(r)) {
        j->reject(x->r, "must be an array of strings");
        return;
    }
    if (n)
        cohere_set_field(x, WEIR_FIELD_ENCODING, first, WEIR_NONE);
    if (n > 1 && x->o.host->ext_add(x->o.call, key, raw, cohere_member_of(x, key, raw)) < 0)
        x->o.failed = true;
}

bool cohere_read_embed_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "texts"))
        read_inputs(x, read_text);
    else if (weir_is(key, "images"))
        read_inputs(x, read_image);
    else if (weir_is(key, "inputs"))
        read_inputs(x, read_mixed);
    else if (weir_is(key, "input_type"))
        cohere_read_word(x, WEIR_FIELD_INPUT_TYPE, input_types,
                         "must be search_document, search_query, classification, clustering or image");
    else if (weir_is(key, "embedding_types"))
        read_types(x, key);
    else if (weir_is(key, "output_dimension"))
        cohere_read_field(x, WEIR_FIELD_DIMENSIONS, COHERE_COUNT);
    else if (weir_is(key, "truncate"))
        cohere_read_word(x, WEIR_FIELD_TRUNCATE, truncations, "must be NONE, START or END");
    else
        return false;
    return true;
}

/* ---- the provider's request ---- */

static bool is_one_text(const struct weir_message *m)
{
    return m->parts && !m->parts->next && m->parts->kind == WEIR_PART_TEXT;
}

static void put_texts(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "texts");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m; m = m->next)
        j->put_text(x->out, &m->parts->text);
    j->array_end(x->out);
}

static void put_inputs(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "inputs");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed; m = m->next) {
        j->object_begin(x->out);
        j->key(x->out, "content");
        j->array_begin(x->out);
        for (const struct weir_part *p = m->parts; p; p = p->next) {
            if (p->kind == WEIR_PART_FILE)
                cohere_unsupported(&x->o, "input",
                                   "A provider of the cohere dialect embeds texts and images, no files.");
            else
                cohere_put_content_part(x, p);
        }
        j->array_end(x->out);
        j->object_end(x->out);
    }
    j->array_end(x->out);
}

static struct weir_str wire_of(const struct cohere_word *words, struct weir_str canonical)
{
    for (; words->wire; words++)
        if (weir_is(canonical, words->canonical))
            return weir_cstr(words->wire);
    return WEIR_NONE;
}

/* It must be said here, and other dialects don't ask for it. */
static void put_input_type(struct encoding *x)
{
    const struct cohere_entry *entry = x->attempt->entry;
    struct weir_str said = weir_field(x->c, WEIR_FIELD_INPUT_TYPE), wire = wire_of(input_types, said);
    if (x->o.is_own && !said.n)
        return;
    if (wire.n) {
        cohere_put_member(x, "input_type", wire);
        return;
    }
    struct weir_str otherwise =
        entry && entry->input_type[0] ? weir_cstr(entry->input_type) : WEIR_LIT("search_document");
    if (said.n)
        cohere_lose(x, WEIR_FIELD_INPUT_TYPE, WEIR_LOSS_CHANGED, "what the provider entry says");
    x->o.json->key(x->out, "input_type");
    x->o.json->put_str(x->out, otherwise);
}

static bool has_ext(const struct encoding *x, const char *path)
{
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next)
        if (weir_is(e->path, path))
            return true;
    return false;
}

static void put_encoding(struct encoding *x)
{
    struct weir_str encoding = weir_field(x->c, WEIR_FIELD_ENCODING);
    if (has_ext(x, "embedding_types") || (x->o.is_own && !encoding.n))
        return;
    x->o.json->key(x->out, "embedding_types");
    x->o.json->array_begin(x->out);
    x->o.json->put_raw(x->out, encoding.n ? encoding : WEIR_LIT("\"float\""));
    x->o.json->array_end(x->out);
}

void cohere_put_embed(struct encoding *x)
{
    struct weir_str n = weir_field(x->c, WEIR_FIELD_DIMENSIONS);
    struct weir_str truncate = wire_of(truncations, weir_field(x->c, WEIR_FIELD_TRUNCATE));
    bool are_texts = true;
    for (const struct weir_message *m = x->c->messages; m && are_texts; m = m->next)
        are_texts = is_one_text(m);
    if (are_texts)
        put_texts(x);
    else
        put_inputs(x);
    put_input_type(x);
    put_encoding(x);
    if (n.n)
        cohere_put_member(x, "output_dimension", n);
    if (truncate.n)
        cohere_put_member(x, "truncate", truncate);
}

/* ---- the provider's answer ---- */

struct vectors {
    struct decoding *d;
    struct weir_str encoding; /* "" = float */
    uint32_t block;
};

static void emit_vector(const struct vectors *v, uint32_t choice, struct weir_str raw)
{
    struct weir_event e = cohere_event(WEIR_EVENT_BLOCK_START, choice, v->block);
    e.block_kind = WEIR_BLOCK_EMBEDDING;
    e.name = v->encoding;
    cohere_emit(v->d, &e);
    struct weir_event delta = cohere_event(WEIR_EVENT_DELTA, choice, v->block);
    delta.delta_kind = WEIR_DELTA_TEXT;
    delta.text = weir_plain(raw);
    cohere_emit(v->d, &delta);
    struct weir_event stop = cohere_event(WEIR_EVENT_BLOCK_STOP, choice, v->block);
    cohere_emit(v->d, &stop);
}

static void read_vectors(const struct vectors *v, struct weir_json *r)
{
    const struct weir_json_api *j = v->d->o.json;
    struct weir_str raw;
    uint32_t n = 0;
    if (j->peek(r) != WEIR_JSON_ARRAY) {
        j->skip(r);
        return;
    }
    for (j->array(r); !v->d->o.failed && j->element(r);) {
        enum weir_json_type type = j->peek(r);
        if (!j->raw(r, &raw))
            return;
        if (type != WEIR_JSON_ARRAY && type != WEIR_JSON_STRING)
            j->reject(r, "is no vector");
        else
            emit_vector(v, n++, raw);
    }
}

/* {"float":[[…]],"int8":…}, or only the numbers. */
static int tell_vectors(struct decoding *d, struct weir_str embeddings)
{
    const struct weir_json_api *j = d->o.json;
    struct vectors v = { .d = d };
    struct weir_str key;
    struct weir_json *r = j->open(d->o.call, embeddings);
    if (j->peek(r) == WEIR_JSON_ARRAY) {
        read_vectors(&v, r);
    } else {
        for (j->object(r); !d->o.failed && j->member(r, &key); v.block++) {
            v.encoding = weir_is(key, "float") ? WEIR_NONE : key;
            read_vectors(&v, r);
        }
    }
    return d->o.failed || !j->close(r) ? -1 : 0;
}

static void read_meta(struct decoding *d, struct weir_json *r, struct weir_usage *u)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        if (KEY("billed_units") && j->peek(r) == WEIR_JSON_OBJECT)
            for (j->object(r); j->member(r, &key);)
                if (KEY("input_tokens"))
                    cohere_read_count(j, r, &u->input);
}

int cohere_decode_vectors(struct decoding *d, struct weir_str body)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    struct weir_str key, id = WEIR_NONE, embeddings = WEIR_NONE;
    struct weir_json *r = j->open(d->o.call, body);
    for (j->object(r); j->member(r, &key);) {
        enum weir_json_type type = j->peek(r);
        if (KEY("id"))
            cohere_read_string(j, r, &id);
        else if (KEY("embeddings") && (type == WEIR_JSON_OBJECT || type == WEIR_JSON_ARRAY))
            j->raw(r, &embeddings);
        else if (KEY("meta") && type == WEIR_JSON_OBJECT)
            read_meta(d, r, &usage);
    }
    if (!j->close(r) || !embeddings.n)
        return -1;
    cohere_emit_start(d, id);
    if (tell_vectors(d, embeddings) < 0)
        return -1;
    cohere_emit_usage(d, &usage);
    cohere_emit_end(d);
    return d->o.failed ? -1 : 0;
}

/* ---- the client's answer ---- */

/* The vectors of one encoding, by the number of their input. */
struct column {
    const struct weir_answer_block **blocks;
    uint32_t n;
    uint32_t block;
};

static struct column column_of(struct cohere *o, const struct weir_answer *a, uint32_t block)
{
    struct column c = { .block = block };
    uint32_t n = 0;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        n += b->kind == WEIR_BLOCK_EMBEDDING && b->block == block;
    c.blocks = n ? o->host->alloc(o->call, WEIR_FOR_CALL, sizeof(*c.blocks) * n) : NULL;
    c.n = c.blocks ? n : 0;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        if (b->kind == WEIR_BLOCK_EMBEDDING && b->block == block && b->choice < c.n)
            c.blocks[b->choice] = b;
    return c;
}

/* "[0.5,-1]" as little-endian floats in base64; the array's end ends the last number too. */
static struct weir_str packed(struct cohere *o, struct weir_str array)
{
    unsigned char *to = o->host->alloc(o->call, WEIR_FOR_CALL, (array.n / 2 + 1) * 4);
    const char *p = array.p + 1, *last = array.p + array.n - 1;
    size_t n = 0;
    while (to && p < last) {
        char *end;
        uint32_t bits;
        float value = strtof(p, &end);
        if (end == p)
            break;
        memcpy(&bits, &value, 4);
        for (int i = 0; i < 4; i++)
            to[n++] = (unsigned char)(bits >> (8 * i));
        for (p = end; p < last && *p != ','; p++)
            continue;
        p++;
    }
    return o->host->base64(o->call, (struct weir_str){ (const char *)to, n }, false);
}

static void put_column(struct cohere *o, struct weir_out *out, const struct column *c, bool wants_base64)
{
    const struct weir_json_api *j = o->json;
    const struct weir_answer_block *first = c->blocks[0];
    bool packs = wants_base64 && !first->name.n && first->text.n > 1 && first->text.p[0] == '[';
    j->key_str(out, packs ? WEIR_LIT("base64") : first->name.n ? first->name : WEIR_LIT("float"));
    j->array_begin(out);
    for (uint32_t i = 0; i < c->n; i++) {
        const struct weir_answer_block *b = c->blocks[i];
        if (b && packs && b->text.n > 1 && b->text.p[0] == '[')
            j->put_str(out, packed(o, (struct weir_str){ b->text.p, b->text.n }));
        else if (b)
            j->put_text_raw(out, &b->text);
    }
    j->array_end(out);
}

enum { ENCODINGS = 8 };

/* Blocks of one number are of one encoding. */
static void put_embeddings(struct cohere *o, struct weir_out *out, const struct weir_answer *a)
{
    const struct weir_conversation *conversation = o->host->conversation(o->call);
    bool wants_base64 = conversation && weir_is(weir_field(conversation, WEIR_FIELD_ENCODING), "\"base64\"");
    o->json->object_begin(out);
    for (uint32_t block = 0; block < ENCODINGS; block++) {
        struct column c = column_of(o, a, block);
        if (c.n && c.blocks[0])
            put_column(o, out, &c, wants_base64);
    }
    o->json->object_end(out);
}

static void put_inputs_told(struct cohere *o, struct weir_out *out)
{
    const struct weir_json_api *j = o->json;
    const struct weir_conversation *c = o->host->conversation(o->call);
    j->key(out, "texts");
    j->array_begin(out);
    for (const struct weir_message *m = c ? c->messages : NULL; m; m = m->next)
        if (is_one_text(m))
            j->put_text(out, &m->parts->text);
    j->array_end(out);
}

void cohere_put_vectors(struct cohere *o, struct weir_out *out, const struct weir_answer *a)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, a->id.n ? a->id : o->host->new_id(o->call, "emb_"));
    j->key(out, "embeddings");
    put_embeddings(o, out, a);
    put_inputs_told(o, out);
    j->key(out, "meta");
    j->object_begin(out);
    j->key(out, "api_version");
    j->put_raw(out, WEIR_LIT("{\"version\":\"2\"}"));
    if (a->usage.input >= 0) {
        j->key(out, "billed_units");
        j->object_begin(out);
        j->key(out, "input_tokens");
        j->put_int(out, a->usage.input);
        j->object_end(out);
    }
    j->object_end(out);
    j->key(out, "response_type");
    j->put_raw(out, WEIR_LIT("\"embeddings_by_type\""));
    j->object_end(out);
}
