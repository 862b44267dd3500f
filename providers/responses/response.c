/* A provider's stream becomes events. decode_frame runs for every event of every stream: the common one, a delta, is read in one
 * pass and its text handed on where it lies; the others are rare. What repeats earlier deltas (the *.done events, the response at
 * the end) is only read for what the deltas left out, as some compatible servers do. */
#include "decode.h"

/* ---- emitting ---- */

struct weir_event responses_event_of(enum weir_event_kind kind, uint32_t block)
{
    return (struct weir_event){ .size = sizeof(struct weir_event), .kind = (uint16_t)kind, .block = block };
}

void responses_emit(struct decoding *d, const struct weir_event *e)
{
    if (!d->o.failed && d->o.host->emit(d->o.call, e) < 0)
        d->o.failed = true;
}

void responses_emit_delta(struct decoding *d, uint32_t block, enum weir_delta_kind kind, struct weir_text text)
{
    if (!text.n)
        return;
    struct weir_event e = responses_event_of(WEIR_EVENT_DELTA, block);
    e.delta_kind = (uint16_t)kind;
    e.text = text;
    if (kind != WEIR_DELTA_TEXT && kind != WEIR_DELTA_ARGUMENTS)
        e.dialect = RESPONSES_DIALECT;
    responses_emit(d, &e);
}

void responses_emit_each(struct decoding *d, uint32_t block, enum weir_delta_kind kind, struct weir_str list)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    if (list.n < 3 || list.p[0] != '[')
        return;
    struct weir_json *r = j->open(d->o.call, list);
    for (j->array(r); j->element(r) && j->raw(r, &raw);)
        responses_emit_delta(d, block, kind, weir_plain(raw));
}

void responses_emit_error(struct decoding *d, struct weir_error *error)
{
    error->flags |= WEIR_ERROR_FROM_UPSTREAM;
    struct weir_event e = responses_event_of(WEIR_EVENT_ERROR, 0);
    e.error = error;
    d->attempt->has_ended = true;
    responses_emit(d, &e);
}

/* ---- blocks ---- */

struct responses_open *responses_find_block(struct decoding *d, uint32_t output_index, uint32_t content_index)
{
    struct responses_open *b = d->attempt->open;
    while (b && (b->output_index != output_index || b->content_index != content_index))
        b = b->next;
    return b;
}

struct responses_open *responses_start_block(struct decoding *d, enum weir_block_kind kind, uint32_t output_index,
                                             uint32_t content_index, const struct weir_event *like)
{
    struct responses_attempt *a = d->attempt;
    struct responses_open *b = a->spare;
    if (b)
        a->spare = b->next;
    else
        b = d->o.host->alloc(d->o.call, WEIR_FOR_ATTEMPT, sizeof(*b));
    if (!b) {
        d->o.failed = true;
        return NULL;
    }
    *b = (struct responses_open){ a->open, output_index, content_index, a->n_blocks++, (uint16_t)kind,
                                  0,       false,        false,         WEIR_NONE };
    a->open = b;
    struct weir_event e = like ? *like : responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    e.block = b->block;
    e.block_kind = (uint16_t)kind;
    responses_emit(d, &e);
    return b;
}

void responses_stop_block(struct decoding *d, struct responses_open *b)
{
    struct responses_attempt *a = d->attempt;
    struct responses_open **at = &a->open;
    struct weir_event e = responses_event_of(WEIR_EVENT_BLOCK_STOP, b->block);
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->next = a->spare;
    a->spare = b;
    responses_emit(d, &e);
}

struct weir_str responses_own_name(const struct decoding *d, struct weir_str sent)
{
    for (const struct responses_alias *a = d->attempt->aliases; a; a = a->next)
        if (weir_eq(a->sent, sent))
            return a->name;
    return sent;
}

/* ---- the members of an event ---- */

struct event_read {
    struct weir_str type, item_id, item, part, response, annotation, logprobs, error, code, param;
    struct weir_text delta, text, message; /* text: the whole of it, in a *.done event */
    int64_t output_index, content_index, summary_index;
};

void responses_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

void responses_read_text(const struct weir_json_api *j, struct weir_json *r, struct weir_text *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->text(r, to);
    else
        j->skip(r);
}

static void read_index(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    if (j->peek(r) != WEIR_JSON_NUMBER || !j->integer(r, to))
        j->skip(r);
    else if (*to < 0 || *to > 100000)
        j->reject(r, "is no index");
}

/* The members of a delta; false: another. */
static bool read_common(const struct weir_json_api *j, struct weir_json *r, struct weir_str key, struct event_read *e)
{
    if (KEY("type"))
        responses_read_string(j, r, &e->type);
    else if (KEY("delta"))
        responses_read_text(j, r, &e->delta);
    else if (KEY("output_index"))
        read_index(j, r, &e->output_index);
    else if (KEY("content_index"))
        read_index(j, r, &e->content_index);
    else if (KEY("summary_index"))
        read_index(j, r, &e->summary_index);
    else if (KEY("item_id"))
        responses_read_string(j, r, &e->item_id);
    else if (KEY("logprobs"))
        j->raw(r, &e->logprobs);
    else
        return false;
    return true;
}

static void read_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key, struct event_read *e)
{
    if (read_common(j, r, key, e))
        return;
    if (KEY("item"))
        j->raw(r, &e->item);
    else if (KEY("part"))
        j->raw(r, &e->part);
    else if (KEY("response"))
        j->raw(r, &e->response);
    else if (KEY("text") || KEY("refusal") || KEY("arguments"))
        responses_read_text(j, r, &e->text);
    else if (KEY("annotation"))
        j->raw(r, &e->annotation);
    else if (KEY("error"))
        j->raw(r, &e->error);
    else if (KEY("message"))
        responses_read_text(j, r, &e->message);
    else if (KEY("code"))
        responses_read_string(j, r, &e->code);
    else if (KEY("param"))
        responses_read_string(j, r, &e->param);
    else
        j->skip(r);
}

/* ---- what the events do ---- */

/* The text block that an event is about: most servers announce it, a few begin at once. */
static struct responses_open *text_block(struct decoding *d, const struct event_read *e, enum weir_block_kind kind)
{
    struct responses_open *b = responses_find_block(d, (uint32_t)e->output_index, (uint32_t)e->content_index);
    struct weir_event like = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    if (b)
        return b;
    like.id = responses_known_id(e->item_id);
    like.dialect = RESPONSES_DIALECT; /* of its annotations and log probabilities */
    return responses_start_block(d, kind, (uint32_t)e->output_index, (uint32_t)e->content_index, &like);
}

static void take_part_added(struct decoding *d, const struct event_read *e)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, type = WEIR_NONE;
    if (!e->part.n)
        return;
    struct weir_json *r = j->open(d->o.call, e->part);
    for (j->object(r); j->member(r, &key);) {
        if (KEY("type"))
            responses_read_string(j, r, &type);
        else
            j->skip(r);
    }
    if (weir_is(type, "output_text"))
        text_block(d, e, WEIR_BLOCK_TEXT);
    else if (weir_is(type, "refusal"))
        text_block(d, e, WEIR_BLOCK_REFUSAL);
}

static bool is_text(const struct responses_open *b)
{
    return b && (b->kind == WEIR_BLOCK_TEXT || b->kind == WEIR_BLOCK_REFUSAL);
}

static void say_text(struct decoding *d, const struct event_read *e, enum weir_block_kind kind, struct weir_text text)
{
    struct responses_open *b = text_block(d, e, kind);
    if (!is_text(b))
        return;
    b->has_text = b->has_text || text.n;
    responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, text);
    responses_emit_each(d, b->block, WEIR_DELTA_LOGPROBS, e->logprobs);
}

static void take_text_delta(struct decoding *d, const struct event_read *e)
{
    say_text(d, e, WEIR_BLOCK_TEXT, e->delta);
}

static void take_refusal_delta(struct decoding *d, const struct event_read *e)
{
    say_text(d, e, WEIR_BLOCK_REFUSAL, e->delta);
}

/* Says again what the deltas said, log probabilities too. */
static void take_text_done(struct decoding *d, const struct event_read *e)
{
    struct responses_open *b = responses_find_block(d, (uint32_t)e->output_index, (uint32_t)e->content_index);
    bool is_refusal = weir_is(e->type, "response.refusal.done");
    if (!b || !b->has_text)
        say_text(d, e, is_refusal ? WEIR_BLOCK_REFUSAL : WEIR_BLOCK_TEXT, e->text);
}

static void take_annotation(struct decoding *d, const struct event_read *e)
{
    struct responses_open *b = responses_find_block(d, (uint32_t)e->output_index, (uint32_t)e->content_index);
    if (is_text(b) && e->annotation.n && e->annotation.p[0] == '{')
        responses_emit_delta(d, b->block, WEIR_DELTA_CITATION, weir_plain(e->annotation));
}

static void take_arguments_delta(struct decoding *d, const struct event_read *e)
{
    struct responses_open *b = responses_find_block(d, (uint32_t)e->output_index, 0);
    if (!b || b->kind != WEIR_BLOCK_TOOL_CALL)
        return;
    b->has_text = b->has_text || e->delta.n;
    responses_emit_delta(d, b->block, WEIR_DELTA_ARGUMENTS, e->delta);
}

static void take_arguments_done(struct decoding *d, const struct event_read *e)
{
    struct responses_open *b = responses_find_block(d, (uint32_t)e->output_index, 0);
    if (!b || b->kind != WEIR_BLOCK_TOOL_CALL || b->has_text)
        return;
    b->has_text = e->text.n > 0;
    responses_emit_delta(d, b->block, WEIR_DELTA_ARGUMENTS, e->text);
}

static struct responses_open *thinking_block(struct decoding *d, const struct event_read *e, uint16_t source)
{
    struct responses_open *b = responses_find_block(d, (uint32_t)e->output_index, 0);
    struct weir_event like = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    like.id = responses_known_id(e->item_id);
    if (!b)
        b = responses_start_block(d, WEIR_BLOCK_THINKING, (uint32_t)e->output_index, 0, &like);
    if (!b || b->kind != WEIR_BLOCK_THINKING || (b->source != SOURCE_NONE && b->source != source))
        return NULL; /* the thoughts and their summary: the first of them is told */
    b->source = source;
    return b;
}

static void take_summary_part(struct decoding *d, const struct event_read *e)
{
    struct responses_open *b = thinking_block(d, e, SOURCE_SUMMARY);
    if (b && b->has_text)
        responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, WEIR_TEXT("\n\n"));
}

static void say_thought(struct decoding *d, const struct event_read *e, uint16_t source)
{
    struct responses_open *b = thinking_block(d, e, source);
    if (!b)
        return;
    b->has_text = b->has_text || e->delta.n;
    responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, e->delta);
}

static void take_summary_delta(struct decoding *d, const struct event_read *e)
{
    say_thought(d, e, SOURCE_SUMMARY);
}

static void take_thought_delta(struct decoding *d, const struct event_read *e)
{
    say_thought(d, e, SOURCE_CONTENT);
}

static void take_item_added(struct decoding *d, const struct event_read *e)
{
    struct responses_item item;
    if (!e->item.n || !responses_read_item(d, e->item, &item))
        d->o.failed = true;
    else
        responses_start_item(d, &item, (uint32_t)e->output_index);
}

static void take_item_done(struct decoding *d, const struct event_read *e)
{
    struct responses_item item;
    if (!e->item.n || !responses_read_item(d, e->item, &item))
        d->o.failed = true;
    else
        responses_finish_item(d, &item, (uint32_t)e->output_index);
}

static void take_begin(struct decoding *d, const struct event_read *e)
{
    struct responses_object object;
    if (d->attempt->has_started && !d->attempt->names_ids)
        return;
    if (!e->response.n || !responses_read_object(d, e->response, &object))
        d->o.failed = true;
    else
        responses_emit_start(d, &object);
}

static void take_end(struct decoding *d, const struct event_read *e)
{
    struct responses_object object;
    if (!e->response.n || !responses_read_object(d, e->response, &object)) {
        d->o.failed = true;
        return;
    }
    responses_emit_start(d, &object);
    responses_emit_rest(d, &object);
}

/* {"type":"error","code":…,"message":…,"param":…} by the book; also with all of it in a member `error`. */
static void take_error(struct decoding *d, const struct event_read *e)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_error error = { .size = sizeof(error) };
    struct weir_str said = e->error;
    if (!said.n || weir_is(said, "null")) {
        struct weir_out *out = d->o.host->out(d->o.call);
        if (!out)
            return;
        j->object_begin(out);
        j->key(out, "message");
        j->put_text(out, &e->message);
        j->key(out, "code");
        j->put_str(out, e->code);
        j->key(out, "param");
        j->put_str(out, e->param);
        j->object_end(out);
        said = d->o.host->keep(d->o.call, d->o.host->out_bytes(out));
    }
    responses_read_error(&d->o, j->open(d->o.call, said), &error);
    responses_emit_error(d, &error);
}

static const struct taker {
    const char *type;
    void (*take)(struct decoding *d, const struct event_read *e);
} takers[] = {
    { "response.output_text.delta", take_text_delta },
    { "response.function_call_arguments.delta", take_arguments_delta },
    { "response.reasoning_summary_text.delta", take_summary_delta },
    { "response.reasoning_text.delta", take_thought_delta },
    { "response.output_item.added", take_item_added },
    { "response.output_item.done", take_item_done },
    { "response.content_part.added", take_part_added },
    { "response.output_text.done", take_text_done },
    { "response.output_text.annotation.added", take_annotation },
    { "response.refusal.delta", take_refusal_delta },
    { "response.refusal.done", take_text_done },
    { "response.function_call_arguments.done", take_arguments_done },
    { "response.reasoning_summary_part.added", take_summary_part },
    { "response.created", take_begin },
    { "response.queued", take_begin },
    { "response.in_progress", take_begin },
    { "response.completed", take_end },
    { "response.incomplete", take_end },
    { "response.failed", take_end },
    { "response.cancelled", take_end },
    { "error", take_error },
};

static void take_event(struct decoding *d, const struct event_read *e)
{
    for (size_t i = 0; i < sizeof(takers) / sizeof(*takers); i++) {
        if (!weir_is(e->type, takers[i].type))
            continue;
        bool may_begin = i >= sizeof(takers) / sizeof(*takers) - 8;
        if (!d->attempt->has_started && !may_begin)
            responses_emit_start(d, &(struct responses_object){ .created_s = 0 });
        takers[i].take(d, e);
        return;
    }
}

static int decode_event(struct decoding *d)
{
    const struct weir_json_api *j = d->o.json;
    struct event_read e = { 0 };
    struct weir_str key;
    if (d->frame->data.p[0] == '[' &&
        memcmp(d->frame->data.p, "[DONE]", d->frame->data.n < 6 ? d->frame->data.n : 6) == 0)
        return 0; /* of servers that end all their streams so */
    struct weir_json *r = j->open(d->o.call, d->frame->data);
    for (j->object(r); j->member(r, &key);)
        read_member(j, r, key, &e);
    if (!j->close(r))
        return -1;
    if (!e.type.n && e.error.n) /* {"error":…} in place of an event */
        take_error(d, &e);
    else if (!e.type.n)
        return -1;
    take_event(d, &e);
    return d->o.failed ? -1 : 0;
}

/* ---- frames ---- */

static int decode_document(struct decoding *d)
{
    struct responses_object object;
    if (!responses_read_object(d, d->frame->data, &object))
        return -1;
    if (!object.is_object && !object.error.n && object.counted < 0)
        return -1;
    responses_emit_start(d, &object);
    responses_emit_rest(d, &object);
    return d->o.failed ? -1 : 0;
}

/* It shows that the provider lives; a blank line shows nothing. */
static bool is_comment(struct weir_str bytes)
{
    while (bytes.n && responses_is_space(*bytes.p))
        bytes.p++, bytes.n--;
    return bytes.n && *bytes.p == ':';
}

int responses_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct decoding d = { responses_begin(self, call), state, frame };
    if (d.attempt->has_ended)
        return 0;
    if (frame->framing == WEIR_FRAMING_JSON)
        return decode_document(&d);
    if (frame->data.n)
        return decode_event(&d);
    struct weir_event ping = responses_event_of(WEIR_EVENT_PING, 0);
    if (is_comment(frame->bytes))
        responses_emit(&d, &ping);
    return d.o.failed ? -1 : 0;
}

/* Only the event that carries the response ends an answer: bytes that are over without it were cut, however the transport ended. */
int responses_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    (void)self;
    (void)call;
    (void)state;
    (void)clean;
    return 0;
}
