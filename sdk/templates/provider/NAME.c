/* @NAME@: a small made-up dialect, spoken both ways: as a front door of weir and towards a provider.
 *
 * A start to write your own from. The dialect:
 *   request   POST /@NAME@/chat  {"model":"m","prompt":[{"from":"user","text":"Hi"}],"limit":100,"stream":true}
 *   answer    {"id":"a1","model":"m","text":"Hello","end":"stop","tokens":{"in":3,"out":5}}
 *   stream    one JSON object a line: {"id":"a1","model":"m"} {"text":"Hel"} {"text":"lo"} {"end":"stop","tokens":{…}}
 *   error     {"error":{"kind":"too_many","message":"…"}}
 *
 * A codec keeps nothing between calls but its `state`; <weir/codec.h> says what each op has to do. One side may be left out: without
 * .claims it is no front door, without .operations no provider.
 */
#include <weir/codec.h>

#define J (host->json)

static const char *const roles[] = { [WEIR_ROLE_SYSTEM] = "system", [WEIR_ROLE_USER] = "user",
                                     [WEIR_ROLE_ASSISTANT] = "assistant", [WEIR_ROLE_TOOL] = "tool" };

/* Of one answer, on the side of the provider. */
struct egress {
    bool has_started, has_text, has_ended;
};

/* ---- the request: wire to conversation ---- */

static enum weir_role role_of(struct weir_str name)
{
    for (uint32_t i = WEIR_ROLE_SYSTEM; i <= WEIR_ROLE_ASSISTANT; i++)
        if (weir_is(name, roles[i]))
            return (enum weir_role)i;
    return 0;
}

static void decode_message(const struct weir_host *host, struct weir_call *call, struct weir_json *r)
{
    struct weir_str key, from = WEIR_NONE;
    struct weir_text text = WEIR_TEXT("");
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "from"))
            J->string(r, &from);
        else if (weir_is(key, "text"))
            J->text(r, &text);
        /* What is passed over weir knows: it tells the loss towards other dialects. */
    }
    enum weir_role role = role_of(from);
    if (!role) {
        J->reject(r, "`from` must be system, user or assistant");
        return;
    }
    struct weir_part *part = host->part_add(call, host->message_add(call, role), WEIR_PART_TEXT);
    if (part)
        part->text = text;
}

/* The canonical form of these fields is what the wire has: the same bytes serve as both. */
static void decode_field(const struct weir_host *host, struct weir_call *call, struct weir_json *r, enum weir_field field,
                         enum weir_json_type type)
{
    struct weir_str raw;
    if (J->peek(r) != type)
        J->reject(r, type == WEIR_JSON_STRING ? "must be a string" : "must be true or false");
    else if (J->raw(r, &raw))
        host->set_field(call, field, raw, raw);
}

static void decode_limit(const struct weir_host *host, struct weir_call *call, struct weir_json *r)
{
    struct weir_str text;
    size_t digits = 0;
    if (!J->number(r, &text))
        return;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    if (digits < text.n || text.p[0] == '0' || digits > 9)
        J->reject(r, "must be a whole number from 1 to 999999999");
    else
        host->set_field(call, WEIR_FIELD_MAX_TOKENS, text, text);
}

static int decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    const struct weir_host *host = self;
    struct weir_json *r = J->open(call, body);
    struct weir_str key, raw;
    (void)state;
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "model"))
            decode_field(host, call, r, WEIR_FIELD_MODEL, WEIR_JSON_STRING);
        else if (weir_is(key, "limit"))
            decode_limit(host, call, r);
        else if (weir_is(key, "stream"))
            decode_field(host, call, r, WEIR_FIELD_STREAM, WEIR_JSON_BOOL);
        else if (weir_is(key, "prompt"))
            for (J->array(r); J->element(r);)
                decode_message(host, call, r);
        else if (J->raw(r, &raw)) /* unknown: kept, and reported where another dialect can't have it */
            host->ext_add(call, key, raw, WEIR_NONE);
    }
    if (!J->close(r))
        return host->fail_json(call, r);
    if (weir_field(host->conversation(call), WEIR_FIELD_MODEL).n > 0)
        return 0;
    struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_BAD_REQUEST, .param = WEIR_LIT("model"),
                            .message = WEIR_LIT("model: is missing") };
    host->fail(call, &e);
    return -1;
}

/* ---- the request: conversation to wire ---- */

static int request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    const struct weir_host *host = self;
    (void)state;
    (void)entry;
    return host->http_request(call, "POST", WEIR_LIT("/chat"));
}

static void encode_message(const struct weir_host *host, const struct weir_message *m, struct weir_out *out)
{
    J->object_begin(out);
    J->key(out, "from");
    J->put_str(out, weir_cstr(roles[m->role]));
    J->key(out, "text");
    J->string_begin(out);
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TEXT)
            J->string_part(out, &p->text);
    J->string_end(out);
    J->object_end(out);
}

static void encode_field(const struct weir_host *host, const struct weir_conversation *c, const char *name, enum weir_field field,
                         struct weir_out *out)
{
    if (weir_field(c, field).n == 0)
        return;
    J->key(out, name);
    J->put_raw(out, weir_field(c, field));
}

static int encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *c, struct weir_out *out)
{
    const struct weir_host *host = self;
    (void)call;
    (void)state;
    J->object_begin(out);
    encode_field(host, c, "model", WEIR_FIELD_MODEL, out);
    encode_field(host, c, "limit", WEIR_FIELD_MAX_TOKENS, out);
    encode_field(host, c, "stream", WEIR_FIELD_STREAM, out);
    J->key(out, "prompt");
    J->array_begin(out);
    for (const struct weir_message *m = c->messages; m; m = m->next)
        encode_message(host, m, out);
    J->array_end(out);
    J->object_end(out);
    return 0;
}

/* ---- the answer: wire to events ---- */

/* What one object of the wire says; a line of a stream has some of it, a whole answer all. */
struct piece {
    struct weir_str id, model, end, error;
    struct weir_text text;
    struct weir_usage usage;
    bool has_text, has_usage;
};

static void read_tokens(const struct weir_host *host, struct weir_json *r, struct weir_usage *usage)
{
    struct weir_str key;
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "in"))
            J->integer(r, &usage->input);
        else if (weir_is(key, "out"))
            J->integer(r, &usage->output);
        else
            J->skip(r);
    }
}

static void read_error(const struct weir_host *host, struct weir_json *r, struct weir_str *kind, struct weir_str *message)
{
    struct weir_str key;
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "kind"))
            J->string(r, kind);
        else if (weir_is(key, "message"))
            J->string(r, message);
        else
            J->skip(r);
    }
}

static bool read_piece(const struct weir_host *host, struct weir_call *call, struct weir_str json, struct piece *p)
{
    struct weir_json *r = J->open(call, json);
    struct weir_str key, kind = WEIR_NONE;
    *p = (struct piece){ .usage = WEIR_USAGE_UNKNOWN };
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "id"))
            J->string(r, &p->id);
        else if (weir_is(key, "model"))
            J->string(r, &p->model);
        else if (weir_is(key, "text"))
            p->has_text = J->text(r, &p->text);
        else if (weir_is(key, "end"))
            J->string(r, &p->end);
        else if (weir_is(key, "tokens")) {
            read_tokens(host, r, &p->usage);
            p->has_usage = true;
        } else if (weir_is(key, "error")) {
            read_error(host, r, &kind, &p->error);
        } else
            J->skip(r);
    }
    return J->close(r);
}

static void emit(const struct weir_host *host, struct weir_call *call, struct weir_event e)
{
    e.size = sizeof e;
    host->emit(call, &e);
}

static void emit_start(const struct weir_host *host, struct weir_call *call, struct egress *s, const struct piece *p)
{
    if (!s->has_started)
        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_START, .id = p->id, .name = p->model });
    s->has_started = true;
}

static void emit_text(const struct weir_host *host, struct weir_call *call, struct egress *s, const struct piece *p)
{
    if (!s->has_text)
        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TEXT });
    s->has_text = true;
    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_DELTA, .delta_kind = WEIR_DELTA_TEXT, .text = p->text });
}

static void emit_end(const struct weir_host *host, struct weir_call *call, struct egress *s, const struct piece *p)
{
    struct weir_event finish = { .kind = WEIR_EVENT_FINISH, .name = p->end };
    finish.finish = weir_is(p->end, "stop") ? WEIR_FINISH_STOP : weir_is(p->end, "length") ? WEIR_FINISH_LENGTH : WEIR_FINISH_OTHER;
    if (s->has_text)
        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP });
    emit(host, call, finish);
    if (p->has_usage)
        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_USAGE, .usage = &p->usage });
    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_END });
    s->has_ended = true;
}

static void emit_error(const struct weir_host *host, struct weir_call *call, struct egress *s, const struct piece *p)
{
    struct weir_error error = { .size = sizeof error, .error_class = WEIR_ERROR_SERVER, .message = p->error };
    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_ERROR, .error = &error });
    s->has_ended = true;
}

/* A whole answer is one frame, a line of a stream is one too: both are the same object. */
static int decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    const struct weir_host *host = self;
    struct egress *s = state;
    struct piece p;
    if (frame->data.n == 0 || s->has_ended)
        return 0;
    if (!read_piece(host, call, frame->data, &p))
        return -1;
    if (p.error.n > 0) {
        emit_error(host, call, s, &p);
        return 0;
    }
    emit_start(host, call, s, &p);
    if (p.has_text)
        emit_text(host, call, s, &p);
    if (p.end.n > 0)
        emit_end(host, call, s, &p);
    return 0;
}

/* The line with `end` is the dialect's end: an answer that stops without it is broken, and stays without END. */
static int decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    (void)self;
    (void)call;
    (void)state;
    (void)clean;
    return 0;
}

static int decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body, struct weir_error *error)
{
    const struct weir_host *host = self;
    struct weir_json *r = J->open(call, body);
    struct weir_str key;
    (void)state;
    (void)status; /* the host has set the class from it */
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "error"))
            read_error(host, r, &error->native, &error->message);
        else
            J->skip(r);
    }
    return 0;
}

/* ---- the answer: events to wire ---- */

static void put_start(const struct weir_host *host, struct weir_str id, struct weir_str model, struct weir_out *out)
{
    J->key(out, "id");
    J->put_str(out, id);
    J->key(out, "model");
    J->put_str(out, model);
}

static void put_tokens(const struct weir_host *host, const struct weir_usage *u, struct weir_out *out)
{
    if (u->input < 0 && u->output < 0)
        return;
    J->key(out, "tokens");
    J->object_begin(out);
    J->key(out, "in");
    J->put_int(out, u->input < 0 ? 0 : u->input);
    J->key(out, "out");
    J->put_int(out, u->output < 0 ? 0 : u->output);
    J->object_end(out);
}

/* What the dialect has no word for becomes "stop", and the record tells. */
static void put_end(const struct weir_host *host, struct weir_call *call, uint32_t finish, struct weir_out *out)
{
    if (finish >= WEIR_FINISH_CONTENT_FILTER)
        host->lose(call, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "stop");
    J->key(out, "end");
    J->put_str(out, finish == WEIR_FINISH_LENGTH ? WEIR_LIT("length") : WEIR_LIT("stop"));
}

static void put_error(const struct weir_host *host, const struct weir_error *error, struct weir_out *out)
{
    J->key(out, "error");
    J->object_begin(out);
    J->key(out, "kind");
    J->put_str(out, error->code);
    J->key(out, "message");
    J->put_str(out, error->message);
    J->object_end(out);
}

/* On the side of the client: what came before the end and belongs into its line. */
struct ingress {
    struct weir_usage usage;
    uint32_t finish;
    bool has_usage;
};

static bool remember(struct ingress *s, const struct weir_event *event)
{
    if (event->kind == WEIR_EVENT_FINISH)
        s->finish = event->finish;
    if (event->usage) {
        s->usage = *event->usage;
        s->has_usage = true;
    }
    bool is_text = event->kind == WEIR_EVENT_DELTA && event->delta_kind == WEIR_DELTA_TEXT && event->block_kind == WEIR_BLOCK_TEXT;
    return is_text || event->kind == WEIR_EVENT_START || event->kind == WEIR_EVENT_END || event->kind == WEIR_EVENT_ERROR;
}

static int encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event, struct weir_out *out)
{
    const struct weir_host *host = self;
    struct ingress *s = state;
    if (!remember(s, event) || (event->flags & WEIR_EVENT_SILENT))
        return 0;
    J->object_begin(out);
    if (event->kind == WEIR_EVENT_START) {
        put_start(host, event->id, event->name, out);
    } else if (event->kind == WEIR_EVENT_DELTA) {
        J->key(out, "text");
        J->put_text(out, &event->text);
    } else if (event->kind == WEIR_EVENT_ERROR) {
        put_error(host, event->error, out);
    } else {
        put_end(host, call, s->finish, out);
        if (s->has_usage)
            put_tokens(host, &s->usage, out);
    }
    J->object_end(out);
    host->write(out, WEIR_LIT("\n"));
    return 0;
}

static int encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer, struct weir_out *out)
{
    const struct weir_host *host = self;
    (void)state;
    J->object_begin(out);
    put_start(host, answer->id, answer->model, out);
    J->key(out, "text");
    J->string_begin(out);
    for (const struct weir_answer_block *b = answer->blocks; b; b = b->next)
        if (b->kind == WEIR_BLOCK_TEXT && b->choice == 0)
            J->string_part(out, &b->text);
    J->string_end(out);
    put_end(host, call, answer->n_choices ? answer->choices[0].finish : 0, out);
    put_tokens(host, &answer->usage, out);
    J->object_end(out);
    return 0;
}

static int encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error, struct weir_out *out)
{
    const struct weir_host *host = self;
    (void)call;
    (void)state;
    J->object_begin(out);
    put_error(host, error, out);
    J->object_end(out);
    return 0;
}

/* ---- the descriptor ---- */

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host;
    return 0;
}

static const struct weir_claim claims[] = {
    { "POST", "/@NAME@/chat", NULL, WEIR_OP_CHAT, 0 },
    { NULL, NULL, NULL, 0, 0 },
};

static const struct weir_credential_place credentials[] = {
    { "authorization", NULL, "Bearer " },
    { NULL, NULL, NULL },
};

/* What of other dialects this one can say. All else is left out, and weir reports it: see <weir/codec.h>, weir_says. */
static const struct weir_says says[] = {
    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },
    { WEIR_FEATURE_SYSTEM_LATER, WEIR_SAYS, NULL },
    { WEIR_FEATURE_PREFILL, WEIR_SAYS, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY, "stop and length" },
    { WEIR_FEATURE_ANSWER_USAGE, WEIR_SAYS, NULL },
    WEIR_SAYS_END,
};

static const struct weir_codec codec = {
    .size = sizeof codec,
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT),
    .capabilities = WEIR_CAN_STREAM,
    .claims = claims,
    .credentials = credentials,
    .stream_type = "application/x-ndjson",
    .auth = { "authorization", NULL, "Bearer " },
    .stream_framing = WEIR_FRAMING_NDJSON,
    .whole_framing = WEIR_FRAMING_JSON,
    .ingress_size = sizeof(struct ingress),
    .egress_size = sizeof(struct egress),
    .create = create,
    .decode_request = decode_request,
    .encode_event = encode_event,
    .encode_answer = encode_answer,
    .encode_error = encode_error,
    .request_head = request_head,
    .encode_request = encode_request,
    .decode_frame = decode_frame,
    .decode_end = decode_end,
    .decode_error = decode_error,
    .says = says,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "@NAME@",
    .version = "0.1.0",
    .summary = "A made-up dialect to start from",
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
