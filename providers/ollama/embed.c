/* Embeddings, both ways: one message for each input, one block for each vector. A vector crosses as the text of its array. */
#include "encode.h"
#include "request.h"
#include "response.h"

/* ---- the client's request ---- */

static void add_input(struct reading *x)
{
    struct weir_text text;
    struct weir_message *m = x->o.json->text(x->r, &text) ? x->o.host->message_add(x->o.call, WEIR_ROLE_USER) : NULL;
    struct weir_part *p = m ? ollama_add_part(x, m, WEIR_PART_TEXT) : NULL;
    if (!p)
        return;
    p->text = text;
    x->n_messages++;
}

static void read_input(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    x->has_input = true;
    if (j->peek(x->r) == WEIR_JSON_STRING) {
        add_input(x);
        return;
    }
    if (j->peek(x->r) != WEIR_JSON_ARRAY) {
        j->skip(x->r);
        j->reject(x->r, "must be a string or an array of strings");
        return;
    }
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        add_input(x);
}

static void read_dimensions(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    bool is_count = j->peek(x->r) == WEIR_JSON_NUMBER;
    if (!j->raw(x->r, &raw) || weir_is(raw, "null") || weir_is(raw, "0"))
        return;
    for (size_t i = 0; is_count && i < raw.n; i++)
        is_count = raw.p[i] >= '0' && raw.p[i] <= '9';
    if (is_count)
        ollama_set_field(x, WEIR_FIELD_DIMENSIONS, raw, raw);
    else
        j->reject(x->r, "must be an integer of at least 1");
}

static void read_truncate(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    bool truncates;
    if (!took_null(x->r, j) && j->boolean(x->r, &truncates))
        ollama_set_field(x, WEIR_FIELD_TRUNCATE, truncates ? WEIR_LIT("\"end\"") : WEIR_LIT("\"none\""), WEIR_NONE);
}

bool ollama_read_embed_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "input"))
        read_input(x);
    else if (weir_is(key, "dimensions"))
        read_dimensions(x);
    else if (weir_is(key, "truncate"))
        read_truncate(x);
    else
        return false;
    return true;
}

/* ---- the provider's request ---- */

static void put_input(struct encoding *x, const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind != WEIR_PART_TEXT)
            ollama_unsupported(&x->o, "input", "A provider of the ollama dialect embeds texts only.");
    if (!x->o.failed)
        ollama_put_joined(x, m->parts, WEIR_LIT("\n\n"));
}

/* The client's codec writes base64 of numbers itself; other encodings only their own models can make. */
static void lose_encoding(struct encoding *x)
{
    struct weir_str encoding = weir_field(x->c, WEIR_FIELD_ENCODING);
    if (encoding.n && !weir_is(encoding, "\"float\"") && !weir_is(encoding, "\"base64\""))
        ollama_lose(x, (enum weir_feature)WEIR_FIELD_ENCODING, WEIR_LOSS_CHANGED, "float");
}

void ollama_put_inputs(struct encoding *x)
{
    struct weir_str truncate = weir_field(x->c, WEIR_FIELD_TRUNCATE), n = weir_field(x->c, WEIR_FIELD_DIMENSIONS);
    x->o.json->key(x->out, "input");
    x->o.json->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed; m = m->next)
        put_input(x, m);
    x->o.json->array_end(x->out);
    if (n.n)
        ollama_put_member(x, "dimensions", n);
    if (truncate.n)
        ollama_put_member(x, "truncate", weir_is(truncate, "\"none\"") ? WEIR_LIT("false") : WEIR_LIT("true"));
    if (weir_is(truncate, "\"start\""))
        ollama_lose(x, (enum weir_feature)WEIR_FIELD_TRUNCATE, WEIR_LOSS_CHANGED, "end");
    lose_encoding(x);
}

/* ---- the provider's answer ---- */

static void emit_vector(struct decoding *d, uint32_t choice, struct weir_str raw)
{
    struct weir_event e = ollama_event(WEIR_EVENT_BLOCK_START, choice, 0);
    e.block_kind = WEIR_BLOCK_EMBEDDING;
    ollama_emit(d, &e);
    struct weir_event delta = ollama_event(WEIR_EVENT_DELTA, choice, 0);
    delta.delta_kind = WEIR_DELTA_TEXT;
    delta.text = weir_plain(raw);
    ollama_emit(d, &delta);
    struct weir_event stop = ollama_event(WEIR_EVENT_BLOCK_STOP, choice, 0);
    ollama_emit(d, &stop);
}

static int emit_vectors(struct decoding *d, struct weir_str list)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    uint32_t n = 0;
    struct weir_json *r = j->open(d->o.call, list);
    for (j->array(r); !d->o.failed && j->element(r);) {
        if (j->peek(r) != WEIR_JSON_ARRAY)
            return -1;
        if (j->raw(r, &raw))
            emit_vector(d, n++, raw);
    }
    return d->o.failed || !j->close(r) ? -1 : 0;
}

int ollama_decode_vectors(struct decoding *d, struct weir_str body)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    struct weir_str key, model = WEIR_NONE, list = WEIR_NONE;
    struct weir_json *r = j->open(d->o.call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "model"))
            ollama_read_string(j, r, &model);
        else if (weir_is(key, "embeddings") && j->peek(r) == WEIR_JSON_ARRAY)
            j->raw(r, &list);
        else if (weir_is(key, "prompt_eval_count"))
            ollama_read_count(j, r, &usage.input);
    }
    if (!j->close(r) || !list.n)
        return -1;
    ollama_emit_start(d, model, 0);
    if (emit_vectors(d, list) < 0)
        return -1;
    ollama_emit_usage(d, &usage);
    ollama_emit_end(d);
    return d->o.failed ? -1 : 0;
}
