/* A provider's answer becomes events, streamed or whole. In a stream only calls announce themselves; texts and thoughts begin with
 * their first piece. Why it ended comes before what it cost, so the end is told when usage has come, or the bytes are over. */
#include "bedrock.h"

struct decoding {
    struct bedrock o;
    struct bedrock_attempt *attempt;
};

enum { INDEX_MAX = 100000 };

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
        e.dialect = BEDROCK_DIALECT;
    emit(d, &e);
}

/* The answer names neither itself nor its model: that is the one that was asked. */
static void start(struct decoding *d)
{
    struct weir_event e = event_of(WEIR_EVENT_START, 0);
    if (d->attempt->has_started)
        return;
    d->attempt->has_started = true;
    e.name = bedrock_model_id(&d->o, d->o.host->conversation(d->o.call));
    emit(d, &e);
}

static void emit_error(struct decoding *d, struct weir_str type, struct weir_str body)
{
    struct weir_error error = { .size = sizeof(error) };
    struct weir_event e = event_of(WEIR_EVENT_ERROR, 0);
    bedrock_read_exception(&d->o, type, body, &error);
    error.flags |= WEIR_ERROR_FROM_UPSTREAM;
    e.error = &error;
    d->attempt->has_ended = true;
    emit(d, &e);
}

/* ---- blocks ---- */

static struct bedrock_open *open_block(struct bedrock_attempt *a, uint32_t index)
{
    for (uint32_t i = 0; i < a->n_open; i++)
        if (a->open[i].index == index)
            return &a->open[i];
    return NULL;
}

static void stop_block(struct decoding *d, uint32_t index)
{
    struct bedrock_attempt *a = d->attempt;
    struct bedrock_open *b = open_block(a, index);
    if (!b) /* one without a piece never began */
        return;
    *b = a->open[--a->n_open];
    emit_simple(d, WEIR_EVENT_BLOCK_STOP, index);
}

static void stop_all(struct decoding *d)
{
    while (d->attempt->n_open)
        stop_block(d, d->attempt->open[0].index);
}

/* false: a block that makes no sense here. */
static bool begin_block(struct decoding *d, struct weir_event *e)
{
    struct bedrock_attempt *a = d->attempt;
    bool may = !open_block(a, e->block) && a->n_open < sizeof(a->open) / sizeof(*a->open) && !a->has_finished;
    if (!may) {
        d->o.failed = true;
        return false;
    }
    start(d);
    a->open[a->n_open++] = (struct bedrock_open){ e->block, e->block_kind };
    emit(d, e);
    return true;
}

/* The block that a piece belongs to; it begins here if it has not. */
static bool need_block(struct decoding *d, uint32_t index, enum weir_block_kind kind)
{
    const struct bedrock_open *b = open_block(d->attempt, index);
    if (b)
        return b->kind == kind;
    struct weir_event e = event_of(WEIR_EVENT_BLOCK_START, index);
    e.block_kind = (uint16_t)kind;
    if (kind == WEIR_BLOCK_TEXT)
        e.dialect = BEDROCK_DIALECT; /* of its citations */
    return begin_block(d, &e);
}

static struct weir_str own_name(const struct decoding *d, struct weir_str sent)
{
    for (const struct bedrock_alias *a = d->attempt->aliases; a; a = a->next)
        if (weir_eq(a->sent, sent))
            return a->name;
    return sent;
}

/* A block that only this dialect has, as it stands or begins. */
static void begin_opaque(struct decoding *d, uint32_t index, struct weir_str key, struct weir_str raw)
{
    struct weir_event e = event_of(WEIR_EVENT_BLOCK_START, index);
    e.block_kind = WEIR_BLOCK_OPAQUE;
    e.dialect = BEDROCK_DIALECT;
    e.text = weir_plain(bedrock_wrapped(&d->o, key, raw));
    begin_block(d, &e);
}

static bool is_opaque(const struct decoding *d, uint32_t index)
{
    const struct bedrock_open *b = open_block(d->attempt, index);
    return b && b->kind == WEIR_BLOCK_OPAQUE;
}

/* A piece that only this dialect has; it belongs to an opaque block, or makes one. */
static void tell_own_piece(struct decoding *d, uint32_t index, struct weir_str key, struct weir_str raw)
{
    const struct bedrock_open *b = open_block(d->attempt, index);
    if (!b) {
        begin_opaque(d, index, key, raw);
        return;
    }
    if (b->kind == WEIR_BLOCK_OPAQUE)
        emit_delta(d, index, WEIR_DELTA_EXT, weir_plain(bedrock_wrapped(&d->o, key, raw)));
}

struct tool_use {
    struct weir_str raw, id, name, input;
    bool is_hosted; /* the provider ran it itself */
};

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

static bool read_tool_use(const struct decoding *d, struct weir_json *outer, struct tool_use *t)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, type = WEIR_NONE;
    memset(t, 0, sizeof(*t));
    if (!j->raw(outer, &t->raw))
        return false;
    struct weir_json *r = j->open(d->o.call, t->raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "toolUseId"))
            read_string(j, r, &t->id);
        else if (weir_is(key, "name"))
            read_string(j, r, &t->name);
        else if (weir_is(key, "type"))
            read_string(j, r, &type);
        else if (weir_is(key, "input"))
            j->raw(r, &t->input);
        else
            j->skip(r);
    }
    t->is_hosted = bedrock_is_hosted(type);
    return j->close(r);
}

static void begin_call(struct decoding *d, uint32_t index, const struct tool_use *t)
{
    struct weir_event e = event_of(WEIR_EVENT_BLOCK_START, index);
    if (t->is_hosted) {
        begin_opaque(d, index, WEIR_LIT("toolUse"), t->raw);
        return;
    }
    e.block_kind = WEIR_BLOCK_TOOL_CALL;
    e.id = t->id.n ? t->id : d->o.host->new_id(d->o.call, "tooluse_");
    e.name = own_name(d, t->name);
    begin_block(d, &e);
}

/* ---- pieces: the members of a delta, and those of a whole block, are nearly the same ---- */

static void take_text(struct decoding *d, struct weir_json *r, uint32_t index, enum weir_block_kind block,
                      enum weir_delta_kind kind)
{
    struct weir_text text;
    if (d->o.json->peek(r) != WEIR_JSON_STRING) {
        d->o.json->skip(r);
        return;
    }
    if (!d->o.json->text(r, &text))
        return;
    if (need_block(d, index, block))
        emit_delta(d, index, kind, text);
    else
        d->o.failed = true;
}

/* Thoughts that only the provider can read are a block of its own kind, which grows by pieces. */
static void take_redacted(struct decoding *d, struct weir_json *r, uint32_t index)
{
    struct weir_str raw;
    if (!d->o.json->raw(r, &raw))
        return;
    raw = d->o.host->format(d->o.call, "{\"redactedContent\":%.*s}", (int)raw.n, raw.p);
    tell_own_piece(d, index, WEIR_LIT("reasoningContent"), raw);
}

static void take_reasoning(struct decoding *d, struct weir_json *r, uint32_t index)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    for (j->object(r); !d->o.failed && j->member(r, &key);) {
        if (weir_is(key, "text"))
            take_text(d, r, index, WEIR_BLOCK_THINKING, WEIR_DELTA_TEXT);
        else if (weir_is(key, "signature"))
            take_text(d, r, index, WEIR_BLOCK_THINKING, WEIR_DELTA_SIGNATURE);
        else if (weir_is(key, "redactedContent"))
            take_redacted(d, r, index);
        else if (weir_is(key, "reasoningText")) /* of a whole block */
            take_reasoning(d, r, index);
        else
            j->skip(r);
    }
}

static void take_citation(struct decoding *d, struct weir_json *r, uint32_t index)
{
    struct weir_str raw;
    if (d->o.json->raw(r, &raw) && need_block(d, index, WEIR_BLOCK_TEXT))
        emit_delta(d, index, WEIR_DELTA_CITATION, weir_plain(raw));
}

/* {"text":…} | {"toolUse":{"input":"…"}} | {"reasoningContent":…} | {"citation":…} | what comes after this was written */
static void take_delta(struct decoding *d, struct weir_json *r, uint32_t index)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw;
    for (j->object(r); !d->o.failed && j->member(r, &key);) {
        if (is_opaque(d, index)) {
            if (j->raw(r, &raw))
                tell_own_piece(d, index, key, raw);
        } else if (weir_is(key, "text")) {
            take_text(d, r, index, WEIR_BLOCK_TEXT, WEIR_DELTA_TEXT);
        } else if (weir_is(key, "toolUse")) {
            for (j->object(r); !d->o.failed && j->member(r, &key);)
                if (weir_is(key, "input"))
                    take_text(d, r, index, WEIR_BLOCK_TOOL_CALL, WEIR_DELTA_ARGUMENTS);
        } else if (weir_is(key, "reasoningContent")) {
            take_reasoning(d, r, index);
        } else if (weir_is(key, "citation")) {
            take_citation(d, r, index);
        } else if (j->raw(r, &raw)) {
            tell_own_piece(d, index, key, raw);
        }
    }
}

static void take_block_start(struct decoding *d, struct weir_json *r, uint32_t index)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw;
    for (j->object(r); !d->o.failed && j->member(r, &key);) {
        struct tool_use t;
        if (weir_is(key, "toolUse") && read_tool_use(d, r, &t)) {
            begin_call(d, index, &t);
        } else if (j->raw(r, &raw)) {
            begin_opaque(d, index, key, raw);
        }
    }
}

/* {"text":…} of {"citationsContent":{"content":[{"text":…}],"citations":[…]}} */
static void take_cited(struct decoding *d, struct weir_json *r, uint32_t index)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw, citations = WEIR_NONE;
    for (j->object(r); !d->o.failed && j->member(r, &key);) {
        if (weir_is(key, "content"))
            for (j->array(r); !d->o.failed && j->element(r);)
                take_delta(d, r, index);
        else if (weir_is(key, "citations"))
            j->raw(r, &citations);
    }
    if (d->o.failed || j->failed(r) || !citations.n || citations.p[0] != '[' || !need_block(d, index, WEIR_BLOCK_TEXT))
        return;
    struct weir_json *each = j->open(d->o.call, citations);
    for (j->array(each); j->element(each) && j->raw(each, &raw);)
        emit_delta(d, index, WEIR_DELTA_CITATION, weir_plain(raw));
}

static void take_whole_block(struct decoding *d, struct weir_json *r, uint32_t index)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, raw;
    for (j->object(r); !d->o.failed && j->member(r, &key);) {
        struct tool_use t;
        if (weir_is(key, "text")) {
            take_text(d, r, index, WEIR_BLOCK_TEXT, WEIR_DELTA_TEXT);
        } else if (weir_is(key, "toolUse")) {
            d->o.failed = !read_tool_use(d, r, &t);
            if (!d->o.failed)
                begin_call(d, index, &t);
            if (!d->o.failed && !t.is_hosted)
                emit_delta(d, index, WEIR_DELTA_ARGUMENTS, weir_plain(t.input));
        } else if (weir_is(key, "reasoningContent")) {
            take_reasoning(d, r, index);
        } else if (weir_is(key, "citationsContent")) {
            take_cited(d, r, index);
        } else if (j->peek(r) != WEIR_JSON_NULL && j->raw(r, &raw)) {
            begin_opaque(d, index, key, raw);
        }
    }
    if (!d->o.failed && !j->failed(r))
        stop_block(d, index);
}

/* ---- usage, and the end of an answer ---- */

static void emit_usage(struct decoding *d)
{
    struct weir_event e = event_of(WEIR_EVENT_USAGE, 0);
    e.usage = &d->attempt->usage;
    if (e.usage->input >= 0 || e.usage->output >= 0)
        emit(d, &e);
}

struct ending {
    struct weir_str reason;
    struct weir_text sequence;
};

/* {"stop_sequence":"…"}, or within "delta". */
static void read_additional(const struct weir_json_api *j, struct weir_json *r, struct ending *to)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "stop_sequence") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &to->sequence);
        else if (weir_is(key, "delta"))
            read_additional(j, r, to);
        else
            j->skip(r);
    }
}

static void read_ending_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key,
                               struct ending *to)
{
    if (weir_is(key, "stopReason"))
        read_string(j, r, &to->reason);
    else if (weir_is(key, "additionalModelResponseFields"))
        read_additional(j, r, to);
    else
        j->skip(r);
}

static void finish(struct decoding *d, const struct ending *ending)
{
    struct weir_event e = event_of(WEIR_EVENT_FINISH, 0);
    if (d->attempt->has_finished || !ending->reason.n)
        return;
    start(d);
    stop_all(d);
    d->attempt->has_finished = true;
    e.finish = (uint16_t)bedrock_finish_of(ending->reason);
    e.name = ending->reason;
    e.text = ending->sequence;
    emit(d, &e);
}

static void end(struct decoding *d)
{
    stop_all(d);
    d->attempt->has_ended = true;
    emit_simple(d, WEIR_EVENT_END, 0);
}

/* ---- the messages of a stream ---- */

static void take_stop(struct decoding *d, struct weir_json *r)
{
    struct weir_str key;
    struct ending ending = { 0 };
    for (d->o.json->object(r); d->o.json->member(r, &key);)
        read_ending_member(d->o.json, r, key, &ending);
    if (!d->o.json->failed(r))
        finish(d, &ending);
}

static void take_metadata(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "usage") && j->peek(r) == WEIR_JSON_OBJECT)
            bedrock_read_usage(&d->o, r, &d->attempt->usage);
    if (j->failed(r) || !d->attempt->has_started)
        return;
    emit_usage(d);
    if (d->attempt->has_finished)
        end(d);
}

struct message {
    int64_t index;
    struct weir_str start, delta;
};

/* contentBlockStart, contentBlockDelta, contentBlockStop. The index stands before the delta as a rule, but not by law. */
static void take_block_message(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct message m = { -1, WEIR_NONE, WEIR_NONE };
    struct weir_str key;
    bool was_told = false;
    for (j->object(r); !d->o.failed && j->member(r, &key);) {
        bool is_indexed = m.index >= 0 && m.index <= INDEX_MAX;
        if (weir_is(key, "contentBlockIndex")) {
            j->integer(r, &m.index);
        } else if (weir_is(key, "delta") && is_indexed) {
            was_told = true;
            take_delta(d, r, (uint32_t)m.index);
        } else if (weir_is(key, "delta")) {
            j->raw(r, &m.delta);
        } else if (weir_is(key, "start")) {
            j->raw(r, &m.start);
        } else {
            j->skip(r);
        }
    }
    if (d->o.failed || j->failed(r) || m.index < 0 || m.index > INDEX_MAX)
        d->o.failed = true;
    else if (m.start.n)
        take_block_start(d, j->open(d->o.call, m.start), (uint32_t)m.index);
    else if (m.delta.n)
        take_delta(d, j->open(d->o.call, m.delta), (uint32_t)m.index);
    else if (!was_told)
        stop_block(d, (uint32_t)m.index);
}

static bool ends_with(struct weir_str s, const char *end)
{
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

/* What has no name that is known is passed over, but an error never is. */
static bool is_error(struct weir_str name)
{
    return ends_with(name, "Exception") || ends_with(name, "Error") || ends_with(name, "Failure") ||
           ends_with(name, "Fault");
}

static int decode_message(struct decoding *d, const struct weir_frame *frame)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    if (is_error(frame->name)) {
        emit_error(d, frame->name, frame->data);
        return d->o.failed ? -1 : 0;
    }
    struct weir_json *r = j->open(d->o.call, frame->data);
    if (weir_is(frame->name, "contentBlockDelta") || weir_is(frame->name, "contentBlockStart") ||
        weir_is(frame->name, "contentBlockStop"))
        take_block_message(d, r);
    else if (weir_is(frame->name, "messageStop"))
        take_stop(d, r);
    else if (weir_is(frame->name, "metadata"))
        take_metadata(d, r);
    else if (j->raw(r, &raw) && weir_is(frame->name, "messageStart"))
        start(d);
    return d->o.failed || !j->close(r) ? -1 : 0;
}

/* ---- whole answers ---- */

struct document {
    struct weir_str content, usage, message;
    struct ending ending;
    bool has_output;
};

/* {"message":{"role":…,"content":[…]}} */
static void read_output(const struct weir_json_api *j, struct weir_json *r, struct document *to)
{
    struct weir_str key;
    to->has_output = true;
    for (j->object(r); j->member(r, &key);) {
        if (!weir_is(key, "message") || j->peek(r) != WEIR_JSON_OBJECT) {
            j->skip(r);
            continue;
        }
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "content"))
                j->raw(r, &to->content);
    }
}

static void tell_document(struct decoding *d, const struct document *doc)
{
    const struct weir_json_api *j = d->o.json;
    uint32_t index = 0;
    start(d);
    if (doc->content.n && doc->content.p[0] == '[') {
        struct weir_json *r = j->open(d->o.call, doc->content);
        for (j->array(r); !d->o.failed && j->element(r);)
            take_whole_block(d, r, index++);
        d->o.failed = d->o.failed || !j->close(r);
    }
    if (doc->usage.n && doc->usage.p[0] == '{')
        bedrock_read_usage(&d->o, j->open(d->o.call, doc->usage), &d->attempt->usage);
    finish(d, &doc->ending);
    emit_usage(d);
    if (!d->o.failed)
        end(d);
}

static int decode_document(struct decoding *d, struct weir_str bytes)
{
    const struct weir_json_api *j = d->o.json;
    struct document doc = { 0 };
    struct weir_str key;
    struct weir_json *r = j->open(d->o.call, bytes);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "output") && j->peek(r) == WEIR_JSON_OBJECT)
            read_output(j, r, &doc);
        else if (weir_is(key, "usage"))
            j->raw(r, &doc.usage);
        else if (weir_is(key, "message"))
            j->raw(r, &doc.message);
        else
            read_ending_member(j, r, key, &doc.ending);
    }
    if (!j->close(r) || (!doc.has_output && !doc.message.n))
        return -1;
    if (doc.has_output)
        tell_document(d, &doc);
    else
        emit_error(d, WEIR_NONE, bytes);
    return d->o.failed ? -1 : 0;
}

int bedrock_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct bedrock_attempt *a = state;
    struct decoding d = { bedrock_begin(self, call), a };
    if (a->has_ended)
        return 0;
    if (d.o.host->request(call)->operation == WEIR_OP_RAW)
        return bedrock_meter_frame(&d.o, a, frame);
    if (!a->usage.size)
        a->usage = WEIR_USAGE_UNKNOWN;
    const struct weir_conversation *c = d.o.host->conversation(call);
    if (c && c->operation == WEIR_OP_EMBED)
        return bedrock_decode_vectors(&d.o, a, frame->data);
    return frame->framing == WEIR_FRAMING_AWS ? decode_message(&d, frame) : decode_document(&d, frame->data);
}

/* The reason is the end of the content; that what it cost was not said takes nothing from it. */
int bedrock_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    struct bedrock_attempt *a = state;
    struct decoding d = { bedrock_begin(self, call), a };
    if (d.o.host->request(call)->operation == WEIR_OP_RAW)
        return bedrock_meter_end(&d.o, a);
    if (clean && a->has_finished && !a->has_ended)
        end(&d);
    return d.o.failed ? -1 : 0;
}
