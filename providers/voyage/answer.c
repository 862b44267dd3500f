/* Answers, both ways: {"object":"list","data":[…],"model":…,"usage":{"total_tokens":…}}, where an element is a vector or a rank with
 * its index. Vectors and scores cross as the JSON that they are. */
#include <stdlib.h>

#include "voyage.h"

static struct weir_event event_of(enum weir_event_kind kind, uint32_t choice, uint32_t block)
{
    struct weir_event e = { .size = sizeof(e), .kind = (uint16_t)kind, .choice = choice, .block = block };
    return e;
}

static void emit(struct voyage *o, const struct weir_event *e)
{
    if (!o->failed && o->host->emit(o->call, e) < 0)
        o->failed = true;
}

/* ---- the provider's answer ---- */

struct answer {
    struct weir_str model, data; /* data: raw */
    struct weir_usage usage;
};

static void read_usage(const struct weir_json_api *j, struct weir_json *r, struct answer *a)
{
    struct weir_str key;
    int64_t n = 0;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "total_tokens") && j->peek(r) == WEIR_JSON_NUMBER && j->integer(r, &n) && n >= 0)
            a->usage.input = n;
}

struct element {
    int64_t index;
    struct weir_str vector, score;
};

static void read_element(const struct weir_json_api *j, struct weir_json *r, struct element *e)
{
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        enum weir_json_type type = j->peek(r);
        if (weir_is(key, "index") && type == WEIR_JSON_NUMBER)
            j->integer(r, &e->index);
        else if (weir_is(key, "embedding") && (type == WEIR_JSON_ARRAY || type == WEIR_JSON_STRING))
            j->raw(r, &e->vector);
        else if (weir_is(key, "relevance_score") && type == WEIR_JSON_NUMBER)
            j->number(r, &e->score);
    }
}

/* position: where it stands in the list, which is its rank. */
static void emit_element(struct voyage *o, const struct element *e, uint32_t position, bool ranks)
{
    uint32_t choice = ranks ? 0 : (uint32_t)e->index, block = ranks ? position : 0;
    struct weir_event start = event_of(WEIR_EVENT_BLOCK_START, choice, block);
    struct weir_event delta = event_of(WEIR_EVENT_DELTA, choice, block);
    struct weir_event stop = event_of(WEIR_EVENT_BLOCK_STOP, choice, block);
    start.block_kind = ranks ? WEIR_BLOCK_SCORE : WEIR_BLOCK_EMBEDDING;
    if (ranks)
        start.id = o->host->format(o->call, "%lld", (long long)e->index);
    else if (e->vector.p[0] == '"')
        start.name = WEIR_LIT("base64");
    delta.delta_kind = WEIR_DELTA_TEXT;
    delta.text = weir_plain(ranks ? e->score : e->vector);
    emit(o, &start);
    emit(o, &delta);
    emit(o, &stop);
}

static int emit_elements(struct voyage *o, struct weir_str data, bool ranks)
{
    const struct weir_json_api *j = o->json;
    struct weir_json *r = j->open(o->call, data);
    uint32_t n = 0;
    for (j->array(r); !o->failed && j->element(r); n++) {
        struct element e = { .index = n };
        read_element(j, r, &e);
        bool is_good = !j->failed(r) && e.index >= 0 && e.index <= INT32_MAX && (ranks ? e.score.n : e.vector.n);
        if (!is_good)
            return -1;
        emit_element(o, &e, n, ranks);
    }
    return o->failed || !j->close(r) ? -1 : 0;
}

int voyage_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct voyage o = voyage_begin(self, call);
    const struct weir_json_api *j = o.json;
    struct answer a = { .usage = WEIR_USAGE_UNKNOWN };
    struct weir_str key;
    (void)state;
    struct weir_json *r = j->open(call, frame->data);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "model") && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &a.model);
        else if (weir_is(key, "data") && j->peek(r) == WEIR_JSON_ARRAY)
            j->raw(r, &a.data);
        else if (weir_is(key, "usage") && j->peek(r) == WEIR_JSON_OBJECT)
            read_usage(j, r, &a);
    }
    if (!j->close(r) || !a.data.n)
        return -1;
    struct weir_event start = event_of(WEIR_EVENT_START, 0, 0), usage = event_of(WEIR_EVENT_USAGE, 0, 0);
    start.name = a.model;
    usage.usage = &a.usage;
    emit(&o, &start);
    if (emit_elements(&o, a.data, voyage_ranks(&o)) < 0)
        return -1;
    if (a.usage.input >= 0)
        emit(&o, &usage);
    struct weir_event end = event_of(WEIR_EVENT_END, 0, 0);
    emit(&o, &end);
    return o.failed ? -1 : 0;
}

/* An answer is one document: it was whole when it was read, or never will be. */
int voyage_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    (void)self, (void)call, (void)state, (void)clean;
    return 0;
}

/* ---- the client's answer ---- */

/* Nothing is streamed here; an error that comes late is still an error. */
int voyage_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out)
{
    if (event->kind == WEIR_EVENT_ERROR && event->error)
        return voyage_encode_error(self, call, state, event->error, out);
    return 0;
}

/* "[0.5,-1]" as little-endian floats in base64; the array's end ends the last number too. */
static struct weir_str packed(struct voyage *o, struct weir_str array)
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

static void put_vector(struct voyage *o, struct weir_out *out, const struct weir_answer_block *b, bool wants_base64)
{
    const struct weir_json_api *j = o->json;
    bool packs = wants_base64 && b->text.n > 1 && b->text.p[0] == '[';
    j->object_begin(out);
    j->key(out, "object");
    j->put_raw(out, WEIR_LIT("\"embedding\""));
    j->key(out, "embedding");
    if (packs)
        j->put_str(out, packed(o, (struct weir_str){ b->text.p, b->text.n }));
    else
        j->put_text_raw(out, &b->text);
    j->key(out, "index");
    j->put_int(out, b->choice);
    j->object_end(out);
}

/* The documents of the request by their numbers, so that each rank finds its own at once. */
struct shelf {
    const struct weir_part **texts;
    uint32_t n;
};

static struct shelf shelf_of(struct voyage *o, const struct weir_conversation *c)
{
    struct shelf s = { NULL, 0 };
    if (!c || !c->messages || !weir_field_true(c, WEIR_FIELD_RETURN_DOCUMENTS))
        return s;
    s.texts = o->host->alloc(o->call, WEIR_FOR_CALL, sizeof(*s.texts) * c->n_messages);
    for (const struct weir_message *m = c->messages->next; s.texts && m && s.n < c->n_messages; m = m->next)
        s.texts[s.n++] = m->parts;
    return s;
}

static void put_rank(struct voyage *o, struct weir_out *out, const struct weir_answer_block *b, const struct shelf *s)
{
    const struct weir_json_api *j = o->json;
    uint64_t i = 0;
    for (size_t k = 0; k < b->id.n && k < 10 && b->id.p[k] >= '0' && b->id.p[k] <= '9'; k++)
        i = 10 * i + (uint64_t)(b->id.p[k] - '0');
    j->object_begin(out);
    j->key(out, "relevance_score");
    j->put_text_raw(out, &b->text);
    j->key(out, "index");
    j->put_raw(out, b->id);
    if (i < s->n && s->texts[i]) {
        j->key(out, "document");
        j->put_text(out, &s->texts[i]->text);
    }
    j->object_end(out);
}

int voyage_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out)
{
    struct voyage o = voyage_begin(self, call);
    const struct weir_json_api *j = o.json;
    const struct weir_conversation *c = o.host->conversation(call);
    const struct shelf s = shelf_of(&o, c);
    bool wants_base64 = c && weir_is(weir_field(c, WEIR_FIELD_ENCODING), "\"base64\"");
    (void)state;
    j->object_begin(out);
    j->key(out, "object");
    j->put_raw(out, WEIR_LIT("\"list\""));
    j->key(out, "data");
    j->array_begin(out);
    for (const struct weir_answer_block *b = answer->blocks; b; b = b->next) {
        if (b->kind == WEIR_BLOCK_EMBEDDING)
            put_vector(&o, out, b, wants_base64);
        else if (b->kind == WEIR_BLOCK_SCORE)
            put_rank(&o, out, b, &s);
    }
    j->array_end(out);
    j->key(out, "model");
    j->put_str(out, answer->model);
    j->key(out, "usage");
    j->object_begin(out);
    j->key(out, "total_tokens");
    j->put_int(out, answer->usage.input > 0 ? answer->usage.input : 0);
    j->object_end(out);
    j->object_end(out);
    return 0;
}
