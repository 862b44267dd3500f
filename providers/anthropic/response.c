/* A provider's answer becomes events, streamed or whole. decode_frame runs for every event of every stream: the common one, a
 * delta of a block, is read in one pass and its text handed on where it lies; the others are rare and looked at twice. */
#include "anthropic.h"

struct decoding {
    struct anthropic o;
    struct anthropic_attempt *attempt;
    struct weir_frame *frame;
};

static bool key_is(struct weir_str key, const char *name, size_t n)
{
    return key.n == n && memcmp(key.p, name, n) == 0;
}
/* The length is known when this is compiled: this runs for each streamed word. */
#define KEY(name) key_is(key, "" name, sizeof(name) - 1)

/* ---- emitting ---- */

static struct weir_event event_of(enum weir_event_kind kind, uint32_t block)
{
    return (struct weir_event){ .size = sizeof(struct weir_event), .kind = (uint16_t)kind, .block = block };
}

static void emit(struct decoding *d, const struct weir_event *e)
{
    if (!d->o.failed && d->o.host->emit(d->o.call, e) < 0)
        d->o.failed = true;
}

static void emit_simple(struct decoding *d, enum weir_event_kind kind, uint32_t block)
{
    struct weir_event e = event_of(kind, block);
    emit(d, &e);
}

static void emit_delta(struct decoding *d, uint32_t block, enum weir_delta_kind kind, struct weir_text text)
{
    if (!text.n)
        return;
    struct weir_event e = event_of(WEIR_EVENT_DELTA, block);
    e.delta_kind = (uint16_t)kind;
    e.text = text;
    if (kind == WEIR_DELTA_SIGNATURE || kind == WEIR_DELTA_CITATION || kind == WEIR_DELTA_EXT)
        e.dialect = ANTHROPIC_DIALECT;
    if (kind == WEIR_DELTA_SIGNATURE) /* another weir on the way may have marked it */
        anthropic_unwrap(&d->o, &e.text, &e.dialect);
    emit(d, &e);
}

static void emit_start(struct decoding *d, struct weir_str id, struct weir_str model)
{
    struct weir_event e = event_of(WEIR_EVENT_START, 0);
    if (d->attempt->has_started)
        return;
    d->attempt->has_started = true;
    e.id = id;
    e.name = model;
    e.usage = &d->attempt->usage;
    emit(d, &e);
}

static void emit_usage(struct decoding *d)
{
    struct weir_event e = event_of(WEIR_EVENT_USAGE, 0);
    e.usage = &d->attempt->usage;
    if (e.usage->input >= 0 || e.usage->output >= 0)
        emit(d, &e);
}

static void emit_error(struct decoding *d, struct weir_error *error)
{
    struct weir_event e = event_of(WEIR_EVENT_ERROR, 0);
    error->flags |= WEIR_ERROR_FROM_UPSTREAM;
    e.error = error;
    d->attempt->has_ended = true;
    emit(d, &e);
}

/* ---- blocks ---- */

/* A content block, as it begins in a stream or stands in a document. */
struct block {
    struct weir_str type, id, name, raw, input, citations;
    struct weir_text text, signature;
};

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

static void read_text(const struct weir_json_api *j, struct weir_json *r, struct weir_text *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->text(r, to);
    else
        j->skip(r);
}

static bool read_block(struct decoding *d, struct weir_str raw, struct block *b)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    memset(b, 0, sizeof(*b));
    b->raw = raw;
    struct weir_json *r = j->open(d->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (KEY("type"))
            read_string(j, r, &b->type);
        else if (KEY("text") || KEY("thinking"))
            read_text(j, r, &b->text);
        else if (KEY("signature"))
            read_text(j, r, &b->signature);
        else if (KEY("id"))
            read_string(j, r, &b->id);
        else if (KEY("name"))
            read_string(j, r, &b->name);
        else if (KEY("input"))
            j->raw(r, &b->input);
        else if (KEY("citations"))
            j->raw(r, &b->citations);
        else
            j->skip(r);
    }
    return j->close(r);
}

static struct weir_str own_name(const struct decoding *d, struct weir_str sent)
{
    for (const struct anthropic_alias *a = d->attempt->aliases; a; a = a->next)
        if (weir_eq(a->sent, sent))
            return a->name;
    return sent;
}

static struct anthropic_open *open_block(struct anthropic_attempt *a, uint32_t index)
{
    for (uint32_t i = 0; i < a->n_open; i++)
        if (a->open[i].index == index)
            return &a->open[i];
    return NULL;
}

static bool is_opaque(struct anthropic_attempt *a, uint32_t index)
{
    const struct anthropic_open *b = open_block(a, index);
    return b && b->is_opaque;
}

static void stop_block(struct decoding *d, uint32_t index)
{
    struct anthropic_attempt *a = d->attempt;
    struct anthropic_open *b = open_block(a, index);
    if (!b) {
        d->o.failed = true;
        return;
    }
    *b = a->open[--a->n_open];
    emit_simple(d, WEIR_EVENT_BLOCK_STOP, index);
}

/* Not every compatible server stops its last block. */
static void stop_all(struct decoding *d)
{
    while (d->attempt->n_open)
        stop_block(d, d->attempt->open[0].index);
}

/* false: a block that makes no sense here. */
static bool may_start(struct decoding *d, uint32_t index)
{
    struct anthropic_attempt *a = d->attempt;
    bool may = !open_block(a, index) && a->n_open < sizeof(a->open) / sizeof(*a->open) && !a->has_finished;
    if (!may)
        d->o.failed = true;
    return may;
}

static void start_block(struct decoding *d, uint32_t index, const struct block *b)
{
    struct anthropic_attempt *a = d->attempt;
    struct weir_event e = event_of(WEIR_EVENT_BLOCK_START, index);
    if (!may_start(d, index))
        return;
    if (weir_is(b->type, "text")) {
        e.block_kind = WEIR_BLOCK_TEXT;
        e.dialect = ANTHROPIC_DIALECT; /* of its citations */
    } else if (weir_is(b->type, "thinking")) {
        e.block_kind = WEIR_BLOCK_THINKING;
    } else if (weir_is(b->type, "tool_use")) {
        e.block_kind = WEIR_BLOCK_TOOL_CALL;
        e.id = b->id.n ? b->id : d->o.host->new_id(d->o.call, "toolu_");
        e.name = own_name(d, b->name);
    } else { /* redacted thinking, tools that the provider runs, and what comes after this was written */
        e.block_kind = WEIR_BLOCK_OPAQUE;
        e.text = weir_plain(b->raw);
        e.dialect = ANTHROPIC_DIALECT;
    }
    if (index >= a->n_blocks)
        a->n_blocks = index + 1;
    a->open[a->n_open++] = (struct anthropic_open){ index, e.block_kind == WEIR_BLOCK_OPAQUE };
    struct weir_event signature = event_of(WEIR_EVENT_DELTA, index);
    bool is_marked = anthropic_unmark_id(&d->o, &e.id, &signature.text, &signature.dialect);
    signature.delta_kind = WEIR_DELTA_SIGNATURE;
    emit(d, &e);
    if (is_marked)
        emit(d, &signature);
}

static void emit_citations(struct decoding *d, uint32_t index, struct weir_str citations)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    if (!citations.n || citations.p[0] != '[')
        return;
    struct weir_json *r = j->open(d->o.call, citations);
    for (j->array(r); j->element(r) && j->raw(r, &raw);)
        emit_delta(d, index, WEIR_DELTA_CITATION, weir_plain(raw));
}

static void whole_block(struct decoding *d, uint32_t index, struct weir_str raw)
{
    struct block b;
    if (!read_block(d, raw, &b)) {
        d->o.failed = true;
        return;
    }
    start_block(d, index, &b);
    if (!is_opaque(d->attempt, index)) {
        emit_delta(d, index, WEIR_DELTA_TEXT, b.text);
        emit_delta(d, index, WEIR_DELTA_SIGNATURE, b.signature);
        if (weir_is(b.type, "tool_use"))
            emit_delta(d, index, WEIR_DELTA_ARGUMENTS, weir_plain(b.input));
        emit_citations(d, index, b.citations);
    }
    stop_block(d, index);
}

/* ---- the end of an answer ---- */

static void emit_end(struct decoding *d)
{
    stop_all(d);
    d->attempt->has_ended = true;
    emit_simple(d, WEIR_EVENT_END, 0);
}

struct ending {
    struct weir_str reason, explanation;
    struct weir_text sequence;
};

static void read_ending_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key,
                               struct ending *to)
{
    if (KEY("stop_reason")) {
        read_string(j, r, &to->reason);
    } else if (KEY("stop_sequence")) {
        read_text(j, r, &to->sequence);
    } else if (KEY("stop_details") && j->peek(r) == WEIR_JSON_OBJECT) {
        for (j->object(r); j->member(r, &key);) {
            if (KEY("explanation"))
                read_string(j, r, &to->explanation);
            else
                j->skip(r);
        }
    } else {
        j->skip(r);
    }
}

/* Why the provider refused is told beside the content; it is content to everybody else. */
static void say_refusal(struct decoding *d, struct weir_str explanation)
{
    struct weir_event e = event_of(WEIR_EVENT_BLOCK_START, d->attempt->n_blocks++);
    e.block_kind = WEIR_BLOCK_REFUSAL;
    emit(d, &e);
    emit_delta(d, e.block, WEIR_DELTA_TEXT, weir_plain(explanation));
    emit_simple(d, WEIR_EVENT_BLOCK_STOP, e.block);
}

static void finish(struct decoding *d, const struct ending *end)
{
    struct weir_event e = event_of(WEIR_EVENT_FINISH, 0);
    if (d->attempt->has_finished || !end->reason.n)
        return;
    stop_all(d);
    d->attempt->has_finished = true;
    e.finish = (uint16_t)anthropic_finish_of(end->reason);
    e.name = end->reason;
    e.text = end->sequence;
    if (end->explanation.n && e.finish == WEIR_FINISH_REFUSAL)
        say_refusal(d, end->explanation);
    emit(d, &e);
}

/* ---- the events of a stream ---- */

enum sse {
    SSE_UNKNOWN,
    SSE_MESSAGE_START,
    SSE_BLOCK_START,
    SSE_BLOCK_DELTA,
    SSE_BLOCK_STOP,
    SSE_MESSAGE_DELTA,
    SSE_MESSAGE_STOP,
    SSE_PING,
    SSE_ERROR,
};

static enum sse sse_of(struct weir_str name)
{
    static const struct {
        const char *name;
        enum sse sse;
    } names[] = {
        { "content_block_delta", SSE_BLOCK_DELTA },
        { "content_block_start", SSE_BLOCK_START },
        { "content_block_stop", SSE_BLOCK_STOP },
        { "message_start", SSE_MESSAGE_START },
        { "message_delta", SSE_MESSAGE_DELTA },
        { "message_stop", SSE_MESSAGE_STOP },
        { "ping", SSE_PING },
        { "error", SSE_ERROR },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (weir_is(name, names[i].name))
            return names[i].sse;
    return SSE_UNKNOWN;
}

/* The members of an event; those that are objects are looked at when all are known. */
struct event_read {
    enum sse sse;
    int64_t index;
    struct weir_str message, block, delta, usage, error;
    bool was_told; /* the delta was read and emitted on the way */
};

/* The member's name tells the kind of a delta; its type says the same again. */
static void read_delta(struct decoding *d, struct weir_json *r, uint32_t block)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw;
    struct weir_text text = { 0 };
    for (j->object(r); j->member(r, &key);) {
        enum weir_delta_kind kind = KEY("text") || KEY("thinking") ? WEIR_DELTA_TEXT
                                    : KEY("partial_json")          ? WEIR_DELTA_ARGUMENTS
                                    : KEY("signature")             ? WEIR_DELTA_SIGNATURE
                                                                   : (enum weir_delta_kind)0;
        if (kind && j->peek(r) == WEIR_JSON_STRING && j->text(r, &text))
            emit_delta(d, block, kind, text);
        else if (KEY("citation") && j->raw(r, &raw))
            emit_delta(d, block, WEIR_DELTA_CITATION, weir_plain(raw));
    }
}

static bool is_plain(struct anthropic_attempt *a, int64_t index)
{
    const struct anthropic_open *b = index >= 0 ? open_block(a, (uint32_t)index) : NULL;
    return b && !b->is_opaque;
}

static void read_event_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct event_read *e)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str type;
    if (KEY("type")) {
        if (j->string(r, &type))
            e->sse = sse_of(type);
    } else if (KEY("index")) {
        j->integer(r, &e->index);
    } else if (KEY("delta") && e->sse == SSE_BLOCK_DELTA && is_plain(d->attempt, e->index)) {
        e->was_told = true;
        read_delta(d, r, (uint32_t)e->index);
    } else if (KEY("delta")) {
        j->raw(r, &e->delta);
    } else if (KEY("message")) {
        j->raw(r, &e->message);
    } else if (KEY("content_block")) {
        j->raw(r, &e->block);
    } else if (KEY("usage")) {
        j->raw(r, &e->usage);
    } else if (KEY("error")) {
        j->raw(r, &e->error);
    } else {
        j->skip(r);
    }
}

static void take_message_start(struct decoding *d, struct weir_str message)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, id = WEIR_NONE, model = WEIR_NONE;
    struct weir_json *r = j->open(d->o.call, message);
    for (j->object(r); j->member(r, &key);) {
        if (KEY("id"))
            read_string(j, r, &id);
        else if (KEY("model"))
            read_string(j, r, &model);
        else if (KEY("usage"))
            anthropic_read_usage(&d->o, r, &d->attempt->usage);
        else
            j->skip(r);
    }
    d->o.failed = !j->close(r);
    emit_start(d, id, model);
}

static void take_block_start(struct decoding *d, const struct event_read *e)
{
    struct block b;
    if (e->index < 0 || !read_block(d, e->block, &b)) {
        d->o.failed = true;
        return;
    }
    start_block(d, (uint32_t)e->index, &b);
    if (is_opaque(d->attempt, (uint32_t)e->index))
        return;
    emit_delta(d, (uint32_t)e->index, WEIR_DELTA_TEXT, b.text); /* empty by the book; not of every compatible server */
    emit_delta(d, (uint32_t)e->index, WEIR_DELTA_SIGNATURE, b.signature);
}

static void take_block_delta(struct decoding *d, const struct event_read *e)
{
    if (e->was_told)
        return;
    uint32_t block = (uint32_t)e->index;
    if (!open_block(d->attempt, block))
        d->o.failed = true;
    else if (is_opaque(d->attempt, block))
        emit_delta(d, block, WEIR_DELTA_EXT, weir_plain(e->delta));
    else if (e->delta.n)
        read_delta(d, d->o.json->open(d->o.call, e->delta), block);
}

static void take_message_delta(struct decoding *d, const struct event_read *e)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct ending end = { 0 };
    if (e->delta.n) {
        struct weir_json *r = j->open(d->o.call, e->delta);
        for (j->object(r); j->member(r, &key);)
            read_ending_member(j, r, key, &end);
    }
    if (e->usage.n)
        anthropic_read_usage(&d->o, j->open(d->o.call, e->usage), &d->attempt->usage);
    finish(d, &end);
    if (e->usage.n)
        emit_usage(d);
}

static void take_error(struct decoding *d, struct weir_str raw)
{
    struct weir_error error = { .size = sizeof(error) };
    anthropic_read_error(&d->o, d->o.json->open(d->o.call, raw.n ? raw : WEIR_LIT("{}")), &error);
    emit_error(d, &error);
}

static void take_event(struct decoding *d, const struct event_read *e)
{
    if (e->sse == SSE_MESSAGE_START)
        take_message_start(d, e->message);
    else if (e->sse == SSE_ERROR)
        take_error(d, e->error);
    else if (e->sse == SSE_PING)
        emit_simple(d, WEIR_EVENT_PING, 0);
    else if (!d->attempt->has_started && e->sse != SSE_UNKNOWN)
        d->o.failed = true;
    else if (e->sse == SSE_BLOCK_START)
        take_block_start(d, e);
    else if (e->sse == SSE_BLOCK_DELTA)
        take_block_delta(d, e);
    else if (e->sse == SSE_BLOCK_STOP)
        stop_block(d, (uint32_t)e->index);
    else if (e->sse == SSE_MESSAGE_DELTA)
        take_message_delta(d, e);
    else if (e->sse == SSE_MESSAGE_STOP)
        emit_end(d);
}

static int decode_event(struct decoding *d)
{
    const struct weir_json_api *j = d->o.json;
    struct event_read e = { .sse = sse_of(d->frame->name), .index = -1 };
    struct weir_str key;
    if (weir_is(d->frame->data, "[DONE]")) /* some compatible servers end like their other dialect */
        return 0;
    struct weir_json *r = j->open(d->o.call, d->frame->data);
    for (j->object(r); !d->o.failed && j->member(r, &key);)
        read_event_member(d, r, key, &e);
    bool needs_index = e.sse == SSE_BLOCK_START || e.sse == SSE_BLOCK_DELTA || e.sse == SSE_BLOCK_STOP;
    if (d->o.failed || !j->close(r) || (needs_index && (e.index < 0 || e.index > 100000)))
        return -1;
    take_event(d, &e);
    return d->o.failed ? -1 : 0;
}

/* ---- whole answers ---- */

struct document {
    struct weir_str id, model, content, error;
    struct ending end;
    bool is_message;
};

static void read_document_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct document *to)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str type = WEIR_NONE;
    if (KEY("type")) {
        read_string(j, r, &type);
        to->is_message = to->is_message || weir_is(type, "message");
    } else if (KEY("id")) {
        read_string(j, r, &to->id);
    } else if (KEY("model")) {
        read_string(j, r, &to->model);
    } else if (KEY("content")) {
        j->raw(r, &to->content);
    } else if (KEY("usage")) {
        anthropic_read_usage(&d->o, r, &d->attempt->usage);
    } else if (KEY("error") && j->peek(r) == WEIR_JSON_OBJECT) {
        j->raw(r, &to->error);
    } else {
        read_ending_member(j, r, key, &to->end);
    }
}

static void tell_document(struct decoding *d, const struct document *doc)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    uint32_t index = 0;
    emit_start(d, doc->id, doc->model);
    struct weir_json *r = j->open(d->o.call, doc->content);
    for (j->array(r); !d->o.failed && j->element(r) && j->raw(r, &raw);)
        whole_block(d, index++, raw);
    if (!j->close(r))
        d->o.failed = true;
    finish(d, &doc->end);
    emit_usage(d);
    if (!d->o.failed)
        emit_end(d);
}

static int decode_document(struct decoding *d)
{
    const struct weir_json_api *j = d->o.json;
    struct document doc = { 0 };
    struct weir_str key;
    struct weir_json *r = j->open(d->o.call, d->frame->data);
    for (j->object(r); j->member(r, &key);)
        read_document_member(d, r, key, &doc);
    if (!j->close(r))
        return -1;
    if (doc.error.n)
        take_error(d, doc.error);
    else if (!doc.is_message && !doc.content.n)
        return -1;
    else
        tell_document(d, &doc);
    return d->o.failed ? -1 : 0;
}

/* It shows that the provider lives; a blank line shows nothing. */
static bool is_comment(struct weir_str bytes)
{
    while (bytes.n && (*bytes.p == '\r' || *bytes.p == '\n'))
        bytes.p++, bytes.n--;
    return bytes.n && *bytes.p == ':';
}

int anthropic_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct anthropic_attempt *a = state;
    struct decoding d = { anthropic_begin(self, call), a, frame };
    if (a->has_ended)
        return 0;
    if (!a->usage.size)
        a->usage = WEIR_USAGE_UNKNOWN;
    if (frame->framing == WEIR_FRAMING_JSON)
        return anthropic_counts(&d.o) ? anthropic_decode_count(&d.o, frame->data) : decode_document(&d);
    if (frame->data.n)
        return decode_event(&d);
    if (is_comment(frame->bytes))
        emit_simple(&d, WEIR_EVENT_PING, 0);
    return d.o.failed ? -1 : 0;
}

/* Only message_stop ends an answer: bytes that are over without it were cut, however the transport ended. */
int anthropic_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    (void)self, (void)call, (void)state, (void)clean;
    return 0;
}
