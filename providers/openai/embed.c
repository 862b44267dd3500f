/* Embeddings, both ways: one message for each input, one block for each vector. A vector crosses as the text of its JSON, an
 * array of numbers or a string of base64 (32-bit floats, little-endian), and is made into the other where the client asked for
 * that. An input of token ids stays what it is: only this dialect knows them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "encode.h"
#include "request.h"
#include "response.h"

/* ---- the client's request ---- */

static void add_text(struct reading *x)
{
    const struct weir_host *h = x->o.host;
    struct weir_message *m = h->message_add(x->o.call, WEIR_ROLE_USER);
    struct weir_part *p = m ? h->part_add(x->o.call, m, WEIR_PART_TEXT) : NULL;
    if (!p)
        x->o.failed = true;
    else if (x->o.json->text(x->r, &p->text) && !p->text.n)
        x->o.json->reject(x->r, "must not be empty");
    x->n_messages++;
}

static void add_tokens(struct reading *x, struct weir_str raw)
{
    const struct weir_host *h = x->o.host;
    struct weir_message *m = h->message_add(x->o.call, WEIR_ROLE_USER);
    struct weir_part *p = m ? h->part_add(x->o.call, m, WEIR_PART_OPAQUE) : NULL;
    x->n_messages++;
    if (!p) {
        x->o.failed = true;
        return;
    }
    p->raw = raw;
    p->dialect = OPENAI_DIALECT;
}

/* [1,2,3]: one input. The reader stands in the array; its bytes are found around the first and the last number. */
static void read_token_list(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str first = WEIR_NONE, last = WEIR_NONE;
    do {
        if (!j->number(x->r, &last))
            return;
        first = first.p ? first : last;
    } while (j->element(x->r));
    if (j->failed(x->r))
        return;
    const char *from = first.p, *end = last.p + last.n;
    while (*from != '[')
        from--;
    while (*end != ']')
        end++;
    add_tokens(x, (struct weir_str){ from, (size_t)(end - from) + 1 });
}

static void read_input(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (j->peek(x->r) == WEIR_JSON_STRING) {
        add_text(x);
        return;
    }
    if (j->peek(x->r) != WEIR_JSON_ARRAY) {
        j->skip(x->r);
        j->reject(x->r, "must be a string, an array of strings, or token ids");
        return;
    }
    for (j->array(x->r); !x->o.failed && j->element(x->r);) {
        enum weir_json_type type = j->peek(x->r);
        if (type == WEIR_JSON_NUMBER && !x->n_messages) {
            read_token_list(x);
            return;
        }
        if (type == WEIR_JSON_STRING)
            add_text(x);
        else if (j->raw(x->r, &raw) && type == WEIR_JSON_ARRAY)
            add_tokens(x, raw);
        else
            j->reject(x->r, "must be a string or an array of token ids");
    }
}

bool openai_read_embed_member(struct reading *x, struct weir_str key)
{
    static const struct plain_field fields[] = {
        { "model", WEIR_FIELD_MODEL, SHAPE_STRING },
        { "encoding_format", WEIR_FIELD_ENCODING, SHAPE_STRING },
        { "dimensions", WEIR_FIELD_DIMENSIONS, SHAPE_COUNT },
        { "user", WEIR_FIELD_USER, SHAPE_STRING },
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (weir_is(key, fields[i].name)) {
            openai_read_plain(x, &fields[i]);
            return true;
        }
    if (!weir_is(key, "input"))
        return false;
    read_input(x);
    return true;
}

/* ---- the provider's request ---- */

static void put_texts(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text gap = WEIR_TEXT("\n\n");
    j->string_begin(x->out);
    for (const struct weir_part *first = p; p; p = p->next) {
        if (p->kind != WEIR_PART_TEXT) {
            openai_unsupported(&x->o, "input", "A provider of the openai dialect embeds texts only.");
            break;
        }
        if (p != first)
            j->string_part(x->out, &gap);
        j->string_part(x->out, &p->text);
    }
    j->string_end(x->out);
}

static void put_input(struct encoding *x, const struct weir_message *m)
{
    const struct weir_part *p = m->parts;
    if (p && p->kind == WEIR_PART_OPAQUE && weir_eq(p->dialect, OPENAI_DIALECT))
        x->o.json->put_raw(x->out, p->raw);
    else
        put_texts(x, p);
}

void openai_put_inputs(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str encoding = weir_field(x->c, WEIR_FIELD_ENCODING);
    j->key(x->out, "input");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed; m = m->next)
        put_input(x, m);
    j->array_end(x->out);
    openai_put_setting(x, WEIR_FIELD_DIMENSIONS);
    openai_put_setting(x, WEIR_FIELD_USER);
    if (weir_is(encoding, "\"base64\"") || weir_is(encoding, "\"float\"") || x->o.is_own)
        openai_put_setting(x, WEIR_FIELD_ENCODING);
    else if (encoding.n)
        openai_lose(&x->o, WEIR_FIELD_ENCODING, WEIR_LOSS_CHANGED, "float");
}

/* ---- the provider's answer ---- */

static void emit_vector(struct decoding *d, uint32_t choice, struct weir_str raw)
{
    struct weir_event start = openai_event_of(WEIR_EVENT_BLOCK_START, choice, 0);
    struct weir_event delta = openai_event_of(WEIR_EVENT_DELTA, choice, 0);
    struct weir_event stop = openai_event_of(WEIR_EVENT_BLOCK_STOP, choice, 0);
    start.block_kind = WEIR_BLOCK_EMBEDDING;
    start.name = raw.p[0] == '"' ? WEIR_LIT("base64") : WEIR_NONE;
    delta.delta_kind = WEIR_DELTA_TEXT;
    delta.text = weir_plain(raw);
    openai_emit(d, &start);
    openai_emit(d, &delta);
    openai_emit(d, &stop);
}

/* {"object":"embedding","index":0,"embedding":[…]} */
static bool read_vector(struct decoding *d, struct weir_json *r, int64_t index)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw = WEIR_NONE;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("index") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &index);
        else if (KEY("embedding") && (j->peek(r) == WEIR_JSON_ARRAY || j->peek(r) == WEIR_JSON_STRING))
            j->raw(r, &raw);
        else
            j->skip(r);
    }
    if (j->failed(r) || !raw.n || index < 0 || index > INT32_MAX)
        return false;
    emit_vector(d, (uint32_t)index, raw);
    return !d->o.failed;
}

int openai_decode_vectors(struct decoding *d, struct weir_str data)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_json *r = j->open(d->o.call, data);
    int64_t n = 0;
    for (j->array(r); j->element(r); n++)
        if (j->peek(r) != WEIR_JSON_OBJECT || !read_vector(d, r, n))
            return -1;
    return j->close(r) ? 0 : -1;
}

/* ---- the client's answer ---- */

struct vectors {
    struct openai *o;
    struct weir_out *out;
};

/* "[0.5,-1]" as base64; the array's end ends the last number too. */
static struct weir_str packed(struct vectors *t, struct weir_str array)
{
    unsigned char *to = t->o->host->alloc(t->o->call, WEIR_FOR_CALL, (array.n / 2 + 1) * 4);
    const char *p = array.p + 1, *last = array.p + array.n - 1;
    size_t n = 0;
    while (to && p < last) {
        char *end;
        float value = strtof(p, &end);
        uint32_t bits;
        if (end == p)
            break;
        memcpy(&bits, &value, 4);
        for (int i = 0; i < 4; i++)
            to[n++] = (unsigned char)(bits >> (8 * i));
        for (p = end; p < last && *p != ','; p++)
            continue;
        p++;
    }
    return t->o->host->base64(t->o->call, (struct weir_str){ (const char *)to, n }, false);
}

/* "\"AAAAPw==\"" as numbers: as many digits as bring the same float back. */
static void put_unpacked(struct vectors *t, struct weir_str quoted)
{
    const struct weir_json_api *j = t->o->json;
    struct weir_str bytes = t->o->host->base64(t->o->call, (struct weir_str){ quoted.p + 1, quoted.n - 2 }, true);
    j->array_begin(t->out);
    for (size_t i = 0; i + 4 <= bytes.n; i += 4) {
        uint32_t bits = 0;
        float value;
        char text[32];
        for (size_t k = 4; k-- > 0;)
            bits = bits << 8 | (unsigned char)bytes.p[i + k];
        memcpy(&value, &bits, 4);
        bool is_number = (bits >> 23 & 0xff) != 0xff;
        int n = snprintf(text, sizeof(text), "%.9g", is_number ? (double)value : 0.0);
        j->put_raw(t->out, (struct weir_str){ text, (size_t)n });
    }
    j->array_end(t->out);
}

static void put_vector(struct vectors *t, const struct weir_answer_block *b, bool wants_base64)
{
    const struct weir_json_api *j = t->o->json;
    struct weir_str raw = { b->text.p, b->text.n };
    bool is_string = raw.n > 1 && raw.p[0] == '"';
    j->object_begin(t->out);
    j->key(t->out, "object");
    j->put_raw(t->out, WEIR_LIT("\"embedding\""));
    j->key(t->out, "index");
    j->put_int(t->out, b->choice);
    j->key(t->out, "embedding");
    if (wants_base64 && !is_string && raw.n > 1)
        j->put_str(t->out, packed(t, raw));
    else if (!wants_base64 && is_string)
        put_unpacked(t, raw);
    else
        j->put_raw(t->out, raw);
    j->object_end(t->out);
}

void openai_put_vectors(struct openai *o, struct weir_out *out, const struct weir_answer *answer)
{
    struct vectors vectors = { o, out }, *t = &vectors;
    const struct weir_json_api *j = o->json;
    const struct weir_conversation *c = o->host->conversation(o->call);
    bool wants_base64 = c && weir_is(weir_field(c, WEIR_FIELD_ENCODING), "\"base64\"");
    int64_t tokens = answer->usage.input > 0 ? answer->usage.input : 0;
    j->object_begin(t->out);
    j->key(t->out, "object");
    j->put_raw(t->out, WEIR_LIT("\"list\""));
    j->key(t->out, "data");
    j->array_begin(t->out);
    for (const struct weir_answer_block *b = answer->blocks; b; b = b->next)
        if (b->kind == WEIR_BLOCK_EMBEDDING)
            put_vector(t, b, wants_base64);
    j->array_end(t->out);
    j->key(t->out, "model");
    j->put_str(t->out, answer->model);
    j->key(t->out, "usage");
    j->object_begin(t->out);
    j->key(t->out, "prompt_tokens");
    j->put_int(t->out, tokens);
    j->key(t->out, "total_tokens");
    j->put_int(t->out, tokens);
    j->object_end(t->out);
    j->object_end(t->out);
}
