/* A client's way to vectors: bodies of InvokeModel in the words of Titan's, Cohere's and Nova's models for embeddings, and their
 * answers. Whose words a body speaks its members tell, not the model's id: behind the door any provider may stand. What is no text
 * stays as it came, for Bedrock alone. */
#include "request.h"

struct word {
    const char *wire, *canonical;
};

static const struct word types[] = {
    { "\"search_query\"", "\"query\"" },
    { "\"search_document\"", "\"document\"" },
    { "\"GENERIC_INDEX\"", "\"document\"" },
    { "\"GENERIC_RETRIEVAL\"", "\"query\"" },
    { "\"TEXT_RETRIEVAL\"", "\"query\"" },
    { "\"CLASSIFICATION\"", "\"classification\"" },
    { "\"CLUSTERING\"", "\"clustering\"" },
    { NULL, NULL },
};
static const struct word cuts[] = {
    { "\"NONE\"", "\"none\"" }, { "\"START\"", "\"start\"" }, { "\"LEFT\"", "\"start\"" },
    { "\"END\"", "\"end\"" },   { "\"RIGHT\"", "\"end\"" },   { NULL, NULL },
};

enum bedrock_words bedrock_words_of(struct weir_str key)
{
    if (weir_is(key, "inputText") || weir_is(key, "inputImage"))
        return BEDROCK_TITAN;
    if (weir_is(key, "texts") || weir_is(key, "images") || weir_is(key, "inputs"))
        return BEDROCK_COHERE;
    return weir_is(key, "singleEmbeddingParams") ? BEDROCK_NOVA : BEDROCK_NO_WORDS;
}

/* ---- inputs ---- */

static struct weir_part *add_input(struct reading *x, enum weir_part_kind kind)
{
    struct weir_message *m = x->o.failed ? NULL : bedrock_add_message(x, WEIR_ROLE_USER);
    struct weir_part *p = m ? x->o.host->part_add(x->o.call, m, kind) : NULL;
    x->o.failed = x->o.failed || !p;
    x->n_wire++;
    return p;
}

static void read_text(struct reading *x)
{
    struct weir_text text;
    struct weir_part *p = x->o.json->text(x->r, &text) ? add_input(x, WEIR_PART_TEXT) : NULL;
    if (p)
        p->text = text;
}

static void read_opaque(struct reading *x)
{
    struct weir_str raw;
    struct weir_part *p = x->o.json->raw(x->r, &raw) ? add_input(x, WEIR_PART_OPAQUE) : NULL;
    if (!p)
        return;
    p->raw = raw;
    p->dialect = BEDROCK_DIALECT;
}

static void read_each(struct reading *x, void (*read)(struct reading *x))
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read(x);
}

/* ---- settings ---- */

/* A word that is only one dialect's own stays as it is where the field may hold such; else it is refused. */
static void read_word(struct reading *x, enum weir_field f, const struct word *words, const char *refusal)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (took_null(x))
        return;
    bool is_string = j->peek(x->r) == WEIR_JSON_STRING;
    if (!j->raw(x->r, &raw))
        return;
    while (is_string && words->wire && !weir_is(raw, words->wire))
        words++;
    if (!is_string || (!words->wire && refusal))
        j->reject(x->r, refusal ? refusal : "must be a string");
    else
        bedrock_set_field(x, f, words->wire ? weir_cstr(words->canonical) : raw, WEIR_NONE);
}

static void read_type(struct reading *x)
{
    read_word(x, WEIR_FIELD_INPUT_TYPE, types, NULL);
}

static void read_cut(struct reading *x)
{
    read_word(x, WEIR_FIELD_TRUNCATE, cuts, "must be NONE, START, LEFT, END or RIGHT");
}

static void read_dimensions(struct reading *x)
{
    bedrock_read_field(x, WEIR_FIELD_DIMENSIONS, BEDROCK_INTEGER);
}

/* One encoding is the setting; more of them only Bedrock knows. */
static void read_encodings(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, each, first = WEIR_NONE;
    uint32_t n = 0;
    if (took_null(x) || !bedrock_read_shape(x, BEDROCK_STRINGS, &raw))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); j->element(r) && j->raw(r, &each); n++)
        first = n ? first : each;
    x->client->wants_types = n > 0;
    if (n)
        bedrock_set_field(x, WEIR_FIELD_ENCODING, first, WEIR_NONE);
    if (n > 1)
        bedrock_add_ext(x, "", key, raw);
}

/* ---- Nova's ---- */

/* {"truncationMode":"END","value":"…"}; a source in S3 only Bedrock can read. */
static void read_nova_text(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
        if (weir_is(key, "value"))
            read_text(x);
        else if (weir_is(key, "truncationMode"))
            read_cut(x);
        else if (weir_is(key, "source"))
            read_opaque(x);
        else
            bedrock_read_ext(x, "singleEmbeddingParams.text", key);
}

static void read_nova(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
        if (weir_is(key, "embeddingPurpose"))
            read_type(x);
        else if (weir_is(key, "embeddingDimension"))
            read_dimensions(x);
        else if (weir_is(key, "text"))
            read_nova_text(x);
        else if (weir_is(key, "image") || weir_is(key, "audio") || weir_is(key, "video"))
            read_opaque(x);
        else
            bedrock_read_ext(x, "singleEmbeddingParams", key);
}

static void read_task(struct reading *x)
{
    struct weir_str task;
    if (x->o.json->string(x->r, &task) && !weir_is(task, "SINGLE_EMBEDDING"))
        x->o.json->reject(x->r, "must be SINGLE_EMBEDDING");
}

/* ---- a body ---- */

void bedrock_read_vectors_member(struct reading *x, struct weir_str key)
{
    enum bedrock_words words = bedrock_words_of(key);
    if (words)
        x->client->words = words;
    if (weir_is(key, "inputText"))
        read_text(x);
    else if (weir_is(key, "inputImage"))
        read_opaque(x);
    else if (weir_is(key, "texts"))
        read_each(x, read_text);
    else if (weir_is(key, "images") || weir_is(key, "inputs"))
        read_each(x, read_opaque);
    else if (words == BEDROCK_NOVA)
        read_nova(x);
    else if (weir_is(key, "taskType"))
        read_task(x);
    else if (weir_is(key, "schemaVersion"))
        x->o.json->skip(x->r);
    else if (weir_is(key, "dimensions") || weir_is(key, "output_dimension"))
        read_dimensions(x);
    else if (weir_is(key, "embeddingTypes") || weir_is(key, "embedding_types"))
        read_encodings(x, key);
    else if (weir_is(key, "input_type"))
        read_type(x);
    else if (weir_is(key, "truncate"))
        read_cut(x);
    else
        bedrock_read_ext(x, "", key);
}

/* ---- the answer ---- */

struct column {
    const struct weir_answer_block **blocks; /* by the number of the input */
    uint32_t n;
};

/* The vectors of one encoding. */
static struct column column_of(struct bedrock *o, const struct weir_answer *a, uint32_t block)
{
    struct column c = { 0 };
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

static void put_column(struct bedrock *o, struct weir_out *out, const struct column *c)
{
    o->json->array_begin(out);
    for (uint32_t i = 0; i < c->n; i++)
        if (c->blocks[i])
            o->json->put_text_raw(out, &c->blocks[i]->text);
    o->json->array_end(out);
}

enum { ENCODINGS = 8 };

/* {"float":…,"int8":…}: of the first input only, or of all. */
static void put_by_type(struct bedrock *o, struct weir_out *out, const struct weir_answer *a, bool is_one)
{
    o->json->object_begin(out);
    for (uint32_t block = 0; block < ENCODINGS; block++) {
        struct column c = column_of(o, a, block);
        if (!c.n || !c.blocks[0])
            continue;
        o->json->key_str(out, c.blocks[0]->name.n ? c.blocks[0]->name : WEIR_LIT("float"));
        if (is_one)
            o->json->put_text_raw(out, &c.blocks[0]->text);
        else
            put_column(o, out, &c);
    }
    o->json->object_end(out);
}

static void put_titan(struct bedrock *o, const struct bedrock_client *client, struct weir_out *out,
                      const struct weir_answer *a)
{
    struct column c = column_of(o, a, 0);
    if (c.n && c.blocks[0]) {
        o->json->key(out, "embedding");
        o->json->put_text_raw(out, &c.blocks[0]->text);
    }
    if (client->wants_types) {
        o->json->key(out, "embeddingsByType");
        put_by_type(o, out, a, true);
    }
    o->json->key(out, "inputTextTokenCount");
    o->json->put_int(out, a->usage.input > 0 ? a->usage.input : 0);
}

static void put_texts(struct bedrock *o, struct weir_out *out)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    o->json->key(out, "texts");
    o->json->array_begin(out);
    for (const struct weir_message *m = c ? c->messages : NULL; m; m = m->next)
        if (m->parts && m->parts->kind == WEIR_PART_TEXT)
            o->json->put_text(out, &m->parts->text);
    o->json->array_end(out);
}

static void put_cohere(struct bedrock *o, const struct bedrock_client *client, struct weir_out *out,
                       const struct weir_answer *a)
{
    struct column c = column_of(o, a, 0);
    o->json->key(out, "embeddings");
    if (client->wants_types)
        put_by_type(o, out, a, false);
    else
        put_column(o, out, &c);
    o->json->key(out, "id");
    o->json->put_str(out, a->id.n ? a->id : o->host->new_id(o->call, "emb_"));
    bedrock_put_member(o, out, "response_type", client->wants_types ? "embeddings_by_type" : "embeddings_floats");
    put_texts(o, out);
}

static void put_nova(struct bedrock *o, struct weir_out *out, const struct weir_answer *a)
{
    struct column c = column_of(o, a, 0);
    o->json->key(out, "embeddings");
    o->json->array_begin(out);
    for (uint32_t i = 0; i < c.n; i++) {
        o->json->object_begin(out);
        bedrock_put_member(o, out, "embeddingType", "TEXT");
        o->json->key(out, "embedding");
        o->json->put_text_raw(out, &c.blocks[i]->text);
        o->json->object_end(out);
    }
    o->json->array_end(out);
}

void bedrock_put_vectors(struct bedrock *o, const struct bedrock_client *client, struct weir_out *out,
                         const struct weir_answer *a)
{
    o->json->object_begin(out);
    if (client->words == BEDROCK_NOVA)
        put_nova(o, out, a);
    else if (client->words == BEDROCK_COHERE)
        put_cohere(o, client, out, a);
    else
        put_titan(o, client, out, a);
    o->json->object_end(out);
    if (a->usage.input >= 0)
        o->host->set_response_header(o->call, WEIR_LIT("x-amzn-bedrock-input-token-count"),
                                     o->host->format(o->call, "%lld", (long long)a->usage.input));
}
