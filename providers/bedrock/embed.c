/* Embeddings, towards a provider: Converse has none, so the model's own words are spoken, through InvokeModel. Titan's, Cohere's and
 * Nova's; Titan and Nova take one text per request. */
#include "encode.h"

enum family { UNKNOWN, TITAN_1, TITAN_2, COHERE_3, COHERE_4, NOVA };

static bool has(struct weir_str s, const char *word)
{
    return s.n && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static enum family family_of(struct weir_str id)
{
    if (has(id, "titan-embed"))
        return has(id, "-v1") || has(id, "-g1") ? TITAN_1 : TITAN_2;
    if (has(id, "cohere.embed"))
        return has(id, "embed-v4") ? COHERE_4 : COHERE_3;
    return has(id, "nova") && has(id, "embed") ? NOVA : UNKNOWN;
}

bool bedrock_refuses_words(struct bedrock *o, const struct weir_conversation *c)
{
    static const enum bedrock_words words_of[] = { [UNKNOWN] = BEDROCK_NO_WORDS, [TITAN_1] = BEDROCK_TITAN,
                                                   [TITAN_2] = BEDROCK_TITAN,    [COHERE_3] = BEDROCK_COHERE,
                                                   [COHERE_4] = BEDROCK_COHERE,  [NOVA] = BEDROCK_NOVA };
    struct weir_str key;
    enum bedrock_words spoken = BEDROCK_NO_WORDS;
    if (!c || c->operation != WEIR_OP_EMBED || !weir_eq(c->dialect, BEDROCK_DIALECT))
        return false;
    enum bedrock_words wanted = words_of[family_of(bedrock_model_id(o, c))];
    struct weir_json *r = o->json->open(o->call, c->body);
    for (o->json->object(r); o->json->member(r, &key); o->json->skip(r))
        spoken = spoken ? spoken : bedrock_words_of(key);
    if (!wanted || !spoken || wanted == spoken)
        return false;
    bedrock_unsupported(o, "model", "model: the body speaks another family's words than this model of Bedrock; send its own "
                                    "(inputText: Titan, texts: Cohere, singleEmbeddingParams: Nova).");
    return true;
}

/* ---- the request ---- */

static void put_input(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    j->string_begin(x->out);
    for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next) {
        if (p->kind != WEIR_PART_TEXT)
            bedrock_unsupported(&x->o, "input", "Bedrock embeds texts only here.");
        else
            j->string_part(x->out, &p->text);
    }
    j->string_end(x->out);
}

static void lose_field(struct encoding *x, enum weir_field f, const char *why)
{
    if (bedrock_field(x, f).n)
        bedrock_lose_once(x, f, WEIR_LOSS_DROPPED, why);
}

/* The client's codec writes base64 of numbers itself; other encodings are not asked for. */
static void lose_encoding(struct encoding *x)
{
    struct weir_str encoding = bedrock_field(x, WEIR_FIELD_ENCODING);
    if (encoding.n && !weir_is(encoding, "\"float\"") && !weir_is(encoding, "\"base64\""))
        bedrock_lose_once(x, WEIR_FIELD_ENCODING, WEIR_LOSS_CHANGED, "to float");
}

static const char *word_for(struct weir_str json, const char *const (*words)[2])
{
    while ((*words)[0] && !weir_is(json, (*words)[0]))
        words++;
    return (*words)[1];
}

static void put_titan(struct encoding *x, enum family family)
{
    x->o.json->key(x->out, "inputText");
    put_input(x, x->c->messages);
    if (family == TITAN_2)
        bedrock_put_raw(x, "dimensions", bedrock_field(x, WEIR_FIELD_DIMENSIONS));
    else
        lose_field(x, WEIR_FIELD_DIMENSIONS, "this model has one size");
    lose_field(x, WEIR_FIELD_INPUT_TYPE, "this model knows no types");
    lose_field(x, WEIR_FIELD_TRUNCATE, "this model has no setting for it");
}

static void put_cohere(struct encoding *x, enum family family)
{
    static const char *const types[][2] = { { "\"query\"", "search_query" },
                                            { "\"classification\"", "classification" },
                                            { "\"clustering\"", "clustering" },
                                            { NULL, "search_document" } };
    static const char *const cuts_3[][2] = { { "\"start\"", "START" }, { "\"end\"", "END" }, { NULL, "NONE" } };
    static const char *const cuts_4[][2] = { { "\"start\"", "LEFT" }, { "\"end\"", "RIGHT" }, { NULL, "NONE" } };
    struct weir_str truncate = bedrock_field(x, WEIR_FIELD_TRUNCATE), type = bedrock_field(x, WEIR_FIELD_INPUT_TYPE);
    const char *said = word_for(type, types);
    x->o.json->key(x->out, "texts");
    x->o.json->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed; m = m->next)
        put_input(x, m);
    x->o.json->array_end(x->out);
    bedrock_put_member(&x->o, x->out, "input_type", said);
    if (type.n && strcmp(said, "search_document") == 0 && !weir_is(type, "\"document\""))
        bedrock_lose_once(x, WEIR_FIELD_INPUT_TYPE, WEIR_LOSS_CHANGED, "to a document's");
    if (truncate.n)
        bedrock_put_member(&x->o, x->out, "truncate", word_for(truncate, family == COHERE_4 ? cuts_4 : cuts_3));
    if (family == COHERE_4)
        bedrock_put_raw(x, "output_dimension", bedrock_field(x, WEIR_FIELD_DIMENSIONS));
    else
        lose_field(x, WEIR_FIELD_DIMENSIONS, "this model has one size");
}

static void put_nova(struct encoding *x)
{
    static const char *const purposes[][2] = { { "\"query\"", "GENERIC_RETRIEVAL" },
                                               { "\"classification\"", "CLASSIFICATION" },
                                               { "\"clustering\"", "CLUSTERING" },
                                               { NULL, "GENERIC_INDEX" } };
    static const char *const cuts[][2] = { { "\"start\"", "START" }, { "\"end\"", "END" }, { NULL, "NONE" } };
    const struct weir_json_api *j = x->o.json;
    struct weir_str type = bedrock_field(x, WEIR_FIELD_INPUT_TYPE);
    const char *purpose = word_for(type, purposes);
    bedrock_put_member(&x->o, x->out, "taskType", "SINGLE_EMBEDDING");
    j->key(x->out, "singleEmbeddingParams");
    j->object_begin(x->out);
    bedrock_put_member(&x->o, x->out, "embeddingPurpose", purpose);
    if (type.n && strcmp(purpose, "GENERIC_INDEX") == 0 && !weir_is(type, "\"document\""))
        bedrock_lose_once(x, WEIR_FIELD_INPUT_TYPE, WEIR_LOSS_CHANGED, "to a document's");
    bedrock_put_raw(x, "embeddingDimension", bedrock_field(x, WEIR_FIELD_DIMENSIONS));
    j->key(x->out, "text");
    j->object_begin(x->out);
    bedrock_put_member(&x->o, x->out, "truncationMode", word_for(bedrock_field(x, WEIR_FIELD_TRUNCATE), cuts));
    j->key(x->out, "value");
    put_input(x, x->c->messages);
    j->object_end(x->out);
    j->object_end(x->out);
}

int bedrock_encode_inputs(struct encoding *x)
{
    enum family family = family_of(bedrock_model_id(&x->o, x->c));
    bool takes_many = family == COHERE_3 || family == COHERE_4;
    if (family == UNKNOWN || !x->c->messages)
        return bedrock_unsupported(
            &x->o, "model",
            "model: of Bedrock's models Titan's, Cohere's and Nova's for embeddings can be asked for vectors.");
    if (!takes_many && x->c->messages->next)
        return bedrock_unsupported(&x->o, "input",
                                   "input: this model embeds one text per request; send them one by one.");
    x->o.json->object_begin(x->out);
    if (takes_many)
        put_cohere(x, family);
    else if (family == NOVA)
        put_nova(x);
    else
        put_titan(x, family);
    bedrock_put_ext(x, "");
    x->o.json->object_end(x->out);
    lose_encoding(x);
    return x->o.failed ? -1 : 0;
}

/* ---- the answer ---- */

struct vectors {
    struct bedrock o;
    uint32_t n;
};

static void emit(struct vectors *v, uint16_t kind, struct weir_str text)
{
    struct weir_event e = { .size = sizeof(e), .kind = kind, .choice = v->n, .block_kind = WEIR_BLOCK_EMBEDDING };
    e.delta_kind = WEIR_DELTA_TEXT;
    e.text = weir_plain(text);
    if (!v->o.failed && v->o.host->emit(v->o.call, &e) < 0)
        v->o.failed = true;
}

static void emit_vector(struct vectors *v, struct weir_str raw)
{
    emit(v, WEIR_EVENT_BLOCK_START, WEIR_NONE);
    emit(v, WEIR_EVENT_DELTA, raw);
    emit(v, WEIR_EVENT_BLOCK_STOP, WEIR_NONE);
    v->n++;
}

/* [0.1,…] | [[…],…] | {"float":[[…],…]} | [{"embeddingType":"TEXT","embedding":[…]}] */
static void tell_vectors(struct vectors *v, struct weir_json *r, int depth)
{
    const struct weir_json_api *j = v->o.json;
    struct weir_str key, raw;
    if (depth > 3) {
        v->o.failed = true;
    } else if (j->peek(r) == WEIR_JSON_OBJECT) {
        for (j->object(r); !v->o.failed && j->member(r, &key);)
            if (weir_is(key, "float") || weir_is(key, "embedding"))
                tell_vectors(v, r, depth + 1);
    } else if (j->peek(r) == WEIR_JSON_ARRAY && j->raw(r, &raw)) {
        struct weir_json *inner = j->open(v->o.call, raw);
        bool is_list = false;
        for (j->array(inner); !v->o.failed && j->element(inner);) {
            is_list = j->peek(inner) == WEIR_JSON_ARRAY || j->peek(inner) == WEIR_JSON_OBJECT;
            if (!is_list)
                break;
            tell_vectors(v, inner, depth + 1);
        }
        if (!is_list)
            emit_vector(v, raw);
    } else {
        v->o.failed = true;
    }
}

static void emit_simple(struct vectors *v, uint16_t kind, const struct weir_usage *usage)
{
    struct weir_event e = { .size = sizeof(e), .kind = kind, .usage = usage };
    if (kind == WEIR_EVENT_START)
        e.name = bedrock_model_id(&v->o, v->o.host->conversation(v->o.call));
    if (!v->o.failed && v->o.host->emit(v->o.call, &e) < 0)
        v->o.failed = true;
}

/* What it cost stands in a header, of Titan's models in the answer, too. */
static struct weir_usage usage_of(struct bedrock *o, struct weir_str said)
{
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    struct weir_str header = o->host->response_header(o->call, WEIR_LIT("x-amzn-bedrock-input-token-count"));
    if (said.n || header.n)
        usage.input = bedrock_number(said.n ? said : header);
    return usage;
}

int bedrock_decode_vectors(struct bedrock *o, struct bedrock_attempt *attempt, struct weir_str body)
{
    const struct weir_json_api *j = o->json;
    struct vectors v = { *o, 0 };
    struct weir_str key, list = WEIR_NONE, tokens = WEIR_NONE;
    struct weir_json *r = j->open(o->call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "embedding") || (weir_is(key, "embeddings") && j->peek(r) != WEIR_JSON_NULL))
            j->raw(r, &list);
        else if (weir_is(key, "inputTextTokenCount") && j->peek(r) == WEIR_JSON_NUMBER)
            j->number(r, &tokens);
        else
            j->skip(r);
    }
    if (!j->close(r) || !list.n)
        return -1;
    struct weir_usage usage = usage_of(o, tokens);
    emit_simple(&v, WEIR_EVENT_START, NULL);
    tell_vectors(&v, j->open(o->call, list), 0);
    if (usage.input >= 0)
        emit_simple(&v, WEIR_EVENT_USAGE, &usage);
    attempt->has_ended = true;
    emit_simple(&v, WEIR_EVENT_END, NULL);
    return v.o.failed ? -1 : 0;
}
