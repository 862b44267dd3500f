/* A dialect of its own for the tests: the model in the path, a signature over the body, jobs that are asked for, usage in a
 * trailer.
 *
 *   POST /gen/MODEL:run    {"in":"text"}                  -> {"out":"text","tokens":N}
 *   POST /gen/MODEL:count  the same                        -> {"count":N}
 *   POST /gen/MODEL:rank   {"in":"query","docs":["text"]}  -> {"ranks":[["id",score]]}
 *   GET  /gen              the models, one name per line
 * As a provider: POST /gen/MODEL:run, signed; 202 with `x-job: ID` means: ask GET /jobs/ID every 20 ms. Lines of NDJSON
 * `{"out":"…"}`; the trailer `x-tokens` tells the usage and that the answer is whole.
 */
#include <stdlib.h>

#include <weir/codec.h>

#define HOST ((const struct weir_host *)self)

struct asked {
    struct weir_str model;
};
struct answer {
    bool has_started, ranks;
    uint32_t n;
};

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)host;
    return 0;
}

/* ---- ingress ---- */

static struct weir_part *add_text(void *self, struct weir_call *call)
{
    return HOST->part_add(call, HOST->message_add(call, WEIR_ROLE_USER), WEIR_PART_TEXT);
}

static int decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    const struct weir_json_api *j = HOST->json;
    struct weir_json *r = j->open(call, body);
    struct weir_str key, raw, model = HOST->request(call)->star;
    struct weir_part *p = add_text(self, call);
    (void)state;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "in"))
            j->text(r, &p->text);
        else if (weir_is(key, "stream")) {
            if (j->raw(r, &raw))
                HOST->set_field(call, WEIR_FIELD_STREAM, raw, raw);
        } else if (weir_is(key, "prev")) {
            if (j->string(r, &model))
                HOST->id_in(call, model);
            model = HOST->request(call)->star;
        } else if (weir_is(key, "docs"))
            for (j->array(r); j->element(r);)
                j->text(r, &add_text(self, call)->text);
    if (!j->close(r))
        return HOST->fail_json(call, r);
    return HOST->set_field(call, WEIR_FIELD_MODEL, HOST->format(call, "\"%.*s\"", (int)model.n, model.p), WEIR_NONE);
}

static int encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out)
{
    (void)self, (void)call, (void)state, (void)event, (void)out;
    return 0;
}

static int encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer,
                         struct weir_out *out)
{
    const struct weir_json_api *j = HOST->json;
    uint32_t operation = HOST->request(call)->operation;
    (void)state;
    j->object_begin(out);
    if (operation == WEIR_OP_COUNT) {
        j->key(out, "count");
        j->put_int(out, answer->usage.input);
        j->object_end(out);
        return 0;
    }
    if (operation == WEIR_OP_RERANK) {
        j->key(out, "ranks");
        j->array_begin(out);
        for (const struct weir_answer_block *b = answer->blocks; b; b = b->next) {
            j->array_begin(out);
            j->put_str(out, b->id);
            j->put_text_raw(out, &b->text);
            j->array_end(out);
        }
        j->array_end(out);
        j->object_end(out);
        return 0;
    }
    j->key(out, "out");
    if (answer->blocks)
        j->put_text(out, &answer->blocks->text);
    else
        j->put_null(out);
    j->key(out, "tokens");
    j->put_int(out, answer->usage.output);
    j->object_end(out);
    return 0;
}

static int encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out)
{
    (void)call, (void)state;
    HOST->json->object_begin(out);
    HOST->json->key(out, "tiny_error");
    HOST->json->put_str(out, error->message);
    HOST->json->object_end(out);
    return 0;
}

static int encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out)
{
    (void)call;
    for (uint32_t i = 0; i < list->n; i++) {
        HOST->write(out, list->models[i].id);
        HOST->write(out, WEIR_LIT("\n"));
    }
    return 0;
}

/* ---- egress ---- */

static int request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    const struct weir_candidate *t = HOST->target(call);
    const char *verb = HOST->request(call)->operation == WEIR_OP_RERANK ? "rank" : "run";
    (void)state, (void)entry;
    return HOST->http_request(call, "POST",
                              HOST->format(call, "/gen/%.*s:%s?tenant=7", (int)t->model.n, t->model.p, verb));
}

static int encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    const struct weir_json_api *j = HOST->json;
    (void)call, (void)state;
    j->object_begin(out);
    j->key(out, "in");
    j->put_text(out, &conversation->messages->parts->text);
    if (conversation->operation == WEIR_OP_RERANK) {
        j->key(out, "docs");
        j->array_begin(out);
        for (const struct weir_message *m = conversation->messages->next; m; m = m->next)
            j->put_text(out, &m->parts->text);
        j->array_end(out);
    }
    j->object_end(out);
    return 0;
}

/* HMAC of method, URL and body. */
static int sign(void *self, struct weir_call *call, void *state, const struct weir_outgoing *q)
{
    struct weir_out *out = HOST->out(call);
    uint8_t mac[32];
    struct weir_str hex = WEIR_NONE;
    (void)state;
    HOST->write(out, q->method);
    HOST->write(out, q->url);
    for (uint32_t i = 0; i < q->n_body; i++)
        HOST->write(out, q->body[i]);
    if (HOST->hmac_key(call, 1, "T1", HOST->out_bytes(out), mac) < 0)
        return -1;
    for (int i = 0; i < 32; i++)
        hex = HOST->format(call, "%.*s%02x", (int)hex.n, hex.p ? hex.p : "", mac[i]);
    HOST->http_header(call, WEIR_LIT("x-tiny-key"), HOST->key_id(call, 0));
    return HOST->http_header(call, WEIR_LIT("x-tiny-mac"), hex);
}

static int decode_head(void *self, struct weir_call *call, void *state, int status)
{
    struct weir_str job = HOST->response_header(call, WEIR_LIT("x-job"));
    (void)state;
    return status == 202 ? HOST->again(call, 20, "GET", HOST->format(call, "/jobs/%.*s", (int)job.n, job.p)) : 0;
}

static int emit(void *self, struct weir_call *call, struct weir_event e)
{
    e.size = sizeof(e);
    return HOST->emit(call, &e);
}

/* Whose it is goes behind the id, also where the line is relayed. */
static void name_id(void *self, struct weir_call *call, struct weir_frame *frame, struct weir_str id)
{
    struct weir_str named = HOST->id_out(call, id);
    frame->insert = (struct weir_str){ named.p + id.n, named.n - id.n };
    frame->insert_offset = (uint32_t)(id.p + id.n - frame->bytes.p);
}

static int decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct answer *a = state;
    const struct weir_json_api *j = HOST->json;
    struct weir_json *r = j->open(call, frame->data);
    struct weir_str key;
    struct weir_text text = { 0 };
    struct weir_str doc = WEIR_NONE, score = WEIR_NONE, id;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "out"))
            j->text(r, &text);
        else if (weir_is(key, "id")) {
            if (j->string(r, &id))
                name_id(self, call, frame, id);
        } else if (weir_is(key, "doc"))
            j->number(r, &doc);
        else if (weir_is(key, "score"))
            j->number(r, &score);
    if (!j->close(r))
        return -1;
    if (!a->has_started)
        emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_START, .id = WEIR_LIT("tiny-1") });
    if (doc.n) {
        a->has_started = a->ranks = true;
        emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block = a->n, .id = doc,
                                              .block_kind = WEIR_BLOCK_SCORE, .text = weir_plain(score) });
        return emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block = a->n++ });
    }
    if (!a->has_started) {
        emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TEXT });
    }
    a->has_started = true;
    return emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_DELTA, .delta_kind = WEIR_DELTA_TEXT, .text = text });
}

static int decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    struct weir_str tokens = HOST->response_header(call, WEIR_LIT("x-tokens"));
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    if (!clean || !tokens.n || !((struct answer *)state)->has_started)
        return 0;
    u.output = strtol(HOST->format(call, "%.*s", (int)tokens.n, tokens.p).p, NULL, 10);
    if (!((struct answer *)state)->ranks) {
        emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP });
        emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_STOP });
    }
    emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_USAGE, .usage = &u });
    return emit(self, call, (struct weir_event){ .kind = WEIR_EVENT_END });
}

static const struct weir_claim claims[] = {
    { "POST", "/gen/*:run", NULL, WEIR_OP_CHAT, 0 },
    { "POST", "/gen/*:count", NULL, WEIR_OP_COUNT, 0 },
    { "POST", "/gen/*:rank", NULL, WEIR_OP_RERANK, 0 },
    { "GET", "/gen", NULL, WEIR_OP_MODELS, 0 },
    { "GET", "/gen/*", NULL, WEIR_OP_MODEL, 0 },
    { "GET", "/v1/models", NULL, WEIR_OP_MODELS, 0 }, /* at the root it belongs to another */
    { NULL, NULL, NULL, 0, 0 },
};
static const struct weir_credential_place credentials[] = { { "x-tiny", NULL, "" }, { NULL, NULL, NULL } };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_RERANK),
    .claims = claims,
    .credentials = credentials,
    .prefix = "/small",
    .stream_type = "application/x-ndjson",
    .stream_framing = WEIR_FRAMING_NDJSON,
    .whole_framing = WEIR_FRAMING_NDJSON,
    .ingress_size = sizeof(struct asked),
    .egress_size = sizeof(struct answer),
    .create = create,
    .decode_request = decode_request,
    .encode_event = encode_event,
    .encode_answer = encode_answer,
    .encode_error = encode_error,
    .encode_models = encode_models,
    .request_head = request_head,
    .encode_request = encode_request,
    .sign = sign,
    .decode_head = decode_head,
    .decode_frame = decode_frame,
    .decode_end = decode_end,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC), .name = "tiny", .version = "1.0", .summary = "A dialect of the tests.", .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
