/* Requests, both ways: one message for each text to be embedded; or the query first and a message for each document. Everything made
 * from a client's request is the request's; texts stay where they are in its body. */
#include "voyage.h"

struct reading {
    struct voyage o;
    struct weir_json *r;
    struct weir_str body;
    struct weir_message *query;
    uint32_t n_texts;
    bool has_model, has_query;
};

static int fail_at(struct reading *x, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .param = weir_cstr(param) };
    e.message = x->o.host->format(x->o.call, "%s: %s", param, message);
    x->o.host->fail(x->o.call, &e);
    return -1;
}

static bool took_null(const struct reading *x)
{
    return x->o.json->peek(x->r) == WEIR_JSON_NULL && x->o.json->null(x->r);
}

static void set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

/* ---- texts ---- */

static void put_text(struct reading *x, struct weir_message *m, struct weir_text text)
{
    struct weir_part *p = m ? x->o.host->part_add(x->o.call, m, WEIR_PART_TEXT) : NULL;
    if (p)
        p->text = text;
    x->o.failed = x->o.failed || !p;
}

static void add_text(struct reading *x)
{
    struct weir_text text;
    if (!x->o.json->text(x->r, &text))
        return;
    put_text(x, x->o.host->message_add(x->o.call, WEIR_ROLE_USER), text);
    x->n_texts++;
}

static void read_texts(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    if (j->peek(x->r) == WEIR_JSON_STRING) {
        add_text(x);
        return;
    }
    if (j->peek(x->r) != WEIR_JSON_ARRAY) {
        j->skip(x->r);
        j->reject(x->r, "must be a string or an array of strings");
        return;
    }
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        add_text(x);
}

/* Whatever stands first in the body, the query is the first message. */
static struct weir_message *query_of(struct reading *x)
{
    if (!x->query)
        x->query = x->o.host->message_add(x->o.call, WEIR_ROLE_USER);
    return x->query;
}

static void read_query(struct reading *x)
{
    struct weir_text text;
    if (!x->o.json->text(x->r, &text))
        return;
    put_text(x, query_of(x), text);
    x->has_query = true;
}

/* ---- settings ---- */

static void read_raw(struct reading *x, enum weir_field f, enum weir_json_type type, const char *message)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (took_null(x))
        return;
    bool is_right = j->peek(x->r) == type;
    if (!j->raw(x->r, &raw))
        return;
    for (size_t i = 0; is_right && type == WEIR_JSON_NUMBER && i < raw.n; i++)
        is_right = raw.p[i] >= '0' && raw.p[i] <= '9' && raw.p[0] != '0';
    if (is_right)
        set_field(x, f, raw, raw);
    else
        j->reject(x->r, message);
}

static void read_truncation(struct reading *x)
{
    bool truncates;
    if (!took_null(x) && x->o.json->boolean(x->r, &truncates))
        set_field(x, WEIR_FIELD_TRUNCATE, truncates ? WEIR_LIT("\"end\"") : WEIR_LIT("\"none\""), WEIR_NONE);
}

static void read_ext(struct reading *x, struct weir_str key)
{
    struct weir_str raw, member = WEIR_NONE;
    if (!x->o.json->raw(x->r, &raw) || weir_is(raw, "null"))
        return;
    bool is_inside = key.p >= x->body.p && key.p + key.n <= x->body.p + x->body.n;
    if (is_inside)
        member = (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
    if (x->o.host->ext_add(x->o.call, key, raw, member) < 0)
        x->o.failed = true;
}

/* Floats are what there is unasked; base64 is a way to write them. */
static void read_type(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    bool is_string = j->peek(x->r) == WEIR_JSON_STRING;
    if (took_null(x) || !j->raw(x->r, &raw))
        return;
    if (!is_string)
        j->reject(x->r, "must be a string");
    else if (!weir_is(raw, "\"float\""))
        set_field(x, WEIR_FIELD_ENCODING, raw, WEIR_NONE);
}

static bool read_embed_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "input"))
        read_texts(x);
    else if (weir_is(key, "input_type"))
        read_raw(x, WEIR_FIELD_INPUT_TYPE, WEIR_JSON_STRING, "must be \"query\" or \"document\"");
    else if (weir_is(key, "output_dimension"))
        read_raw(x, WEIR_FIELD_DIMENSIONS, WEIR_JSON_NUMBER, "must be an integer of at least 1");
    else if (weir_is(key, "output_dtype") || weir_is(key, "encoding_format"))
        read_type(x);
    else
        return false;
    return true;
}

static bool read_rank_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "query")) {
        read_query(x);
    } else if (weir_is(key, "documents")) {
        x->o.failed = x->o.failed || !query_of(x);
        read_texts(x);
    } else if (weir_is(key, "top_k")) {
        read_raw(x, WEIR_FIELD_TOP_N, WEIR_JSON_NUMBER, "must be an integer of at least 1");
    } else if (weir_is(key, "return_documents")) {
        read_raw(x, WEIR_FIELD_RETURN_DOCUMENTS, WEIR_JSON_BOOL, "must be true or false");
    } else {
        return false;
    }
    return true;
}

static void read_member(struct reading *x, struct weir_str key, bool ranks)
{
    if (weir_is(key, "model")) {
        read_raw(x, WEIR_FIELD_MODEL, WEIR_JSON_STRING, "must be a string");
        x->has_model = true;
    } else if (weir_is(key, "truncation")) {
        read_truncation(x);
    } else if (ranks ? !read_rank_member(x, key) : !read_embed_member(x, key)) {
        read_ext(x, key);
    }
}

int voyage_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = voyage_begin(self, call), .body = body };
    const struct weir_json_api *j = x.o.json;
    bool ranks = voyage_ranks(&x.o);
    struct weir_str key;
    (void)state;
    x.r = j->open(call, body);
    for (j->object(x.r); !x.o.failed && j->member(x.r, &key);)
        read_member(&x, key, ranks);
    if (x.o.failed)
        return fail_at(&x, "body", "there is no memory for it now");
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    if (!x.has_model)
        return fail_at(&x, "model", "is missing");
    if (ranks && !x.has_query)
        return fail_at(&x, "query", "is missing; send a string");
    if (!x.n_texts)
        return fail_at(&x, ranks ? "documents" : "input", "is missing or empty; send strings");
    return 0;
}

/* ---- towards a provider ---- */

struct encoding {
    struct voyage o;
    const struct weir_conversation *c;
    struct weir_out *out;
};

static void put_member(struct encoding *x, const char *key, struct weir_str raw)
{
    x->o.json->key(x->out, key);
    x->o.json->put_raw(x->out, raw);
}

static void put_field(struct encoding *x, enum weir_field f, const char *key)
{
    if (weir_field(x->c, f).n)
        put_member(x, key, weir_field(x->c, f));
}

static void refuse(struct encoding *x)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_UNSUPPORTED, .param = WEIR_LIT("input") };
    e.message = WEIR_LIT("A provider of the voyage dialect takes texts only.");
    if (!x->o.failed)
        x->o.host->fail(x->o.call, &e);
    x->o.failed = true;
}

static void put_words(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text gap = WEIR_TEXT("\n\n");
    j->string_begin(x->out);
    for (const struct weir_part *p = m->parts; p; p = p->next) {
        if (p->kind != WEIR_PART_TEXT)
            refuse(x);
        if (p != m->parts)
            j->string_part(x->out, &gap);
        j->string_part(x->out, &p->text);
    }
    j->string_end(x->out);
}

static void put_list(struct encoding *x, const char *key, const struct weir_message *from)
{
    x->o.json->key(x->out, key);
    x->o.json->array_begin(x->out);
    for (const struct weir_message *m = from; m && !x->o.failed; m = m->next)
        put_words(x, m);
    x->o.json->array_end(x->out);
}

/* base64 is a way to write floats here, the others are types of their own. */
static void put_encoding(struct encoding *x)
{
    struct weir_str encoding = weir_field(x->c, WEIR_FIELD_ENCODING);
    if (weir_is(encoding, "\"base64\""))
        put_member(x, "encoding_format", encoding);
    else if (encoding.n)
        put_member(x, "output_dtype", encoding);
}

static void put_input_type(struct encoding *x)
{
    struct weir_str type = weir_field(x->c, WEIR_FIELD_INPUT_TYPE);
    if (weir_is(type, "\"query\"") || weir_is(type, "\"document\"") || (type.n && x->o.is_own))
        put_member(x, "input_type", type);
    else if (type.n)
        x->o.host->lose(x->o.call, (enum weir_feature)WEIR_FIELD_INPUT_TYPE, WEIR_LOSS_DROPPED,
                        "query and document are known");
}

static void put_truncation(struct encoding *x)
{
    struct weir_str truncate = weir_field(x->c, WEIR_FIELD_TRUNCATE);
    if (truncate.n)
        put_member(x, "truncation", weir_is(truncate, "\"none\"") ? WEIR_LIT("false") : WEIR_LIT("true"));
    if (weir_is(truncate, "\"start\""))
        x->o.host->lose(x->o.call, (enum weir_feature)WEIR_FIELD_TRUNCATE, WEIR_LOSS_CHANGED, "end");
}

static void put_ranking(struct encoding *x)
{
    const struct weir_message *query = x->c->messages;
    if (!query)
        return;
    x->o.json->key(x->out, "query");
    put_words(x, query);
    put_list(x, "documents", query->next);
    put_field(x, WEIR_FIELD_TOP_N, "top_k");
}

static void put_embedding(struct encoding *x)
{
    put_list(x, "input", x->c->messages);
    put_input_type(x);
    put_encoding(x);
    put_field(x, WEIR_FIELD_DIMENSIONS, "output_dimension");
}

int voyage_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    struct encoding x = { .o = voyage_begin(self, call), .c = conversation, .out = out };
    (void)state;
    x.o.is_own = weir_eq(conversation->dialect, VOYAGE_DIALECT);
    x.o.json->object_begin(out);
    put_field(&x, WEIR_FIELD_MODEL, "model");
    if (conversation->operation == WEIR_OP_RERANK)
        put_ranking(&x);
    else
        put_embedding(&x);
    put_truncation(&x);
    for (const struct weir_ext *e = x.o.is_own ? conversation->ext : NULL; e; e = e->next) {
        x.o.json->key_str(out, e->path);
        x.o.json->put_raw(out, e->raw);
    }
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
