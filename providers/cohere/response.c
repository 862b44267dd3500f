/* A provider's streamed answer becomes events. Each event of the stream says its type and a piece of the message; what the pieces
 * are is told by their names alone, so an event is read in one pass. */
#include "response.h"

void cohere_emit(struct decoding *d, const struct weir_event *e)
{
    if (!d->o.failed && d->o.host->emit(d->o.call, e) < 0)
        d->o.failed = true;
}

void cohere_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

void cohere_read_text(const struct weir_json_api *j, struct weir_json *r, struct weir_text *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->text(r, to);
    else
        j->skip(r);
}

void cohere_read_raw(const struct weir_json_api *j, struct weir_json *r, enum weir_json_type type, struct weir_str *to)
{
    if (j->peek(r) == type)
        j->raw(r, to);
    else
        j->skip(r);
}

/* Counts are whole, but some are written as 8.0. */
void cohere_read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    struct weir_str number;
    if (j->peek(r) != WEIR_JSON_NUMBER) {
        j->skip(r);
        return;
    }
    if (!j->number(r, &number))
        return;
    *to = 0;
    for (size_t i = 0; i < number.n && i < 18 && number.p[i] >= '0' && number.p[i] <= '9'; i++)
        *to = 10 * *to + (number.p[i] - '0');
}

/* ---- start, end, error ---- */

/* The answer doesn't name its model: it is the one that was asked. */
static struct weir_str model_of(struct decoding *d)
{
    const struct weir_conversation *c = d->o.host->conversation(d->o.call);
    struct weir_str json = c ? weir_field(c, WEIR_FIELD_MODEL) : WEIR_NONE, name = WEIR_NONE;
    struct weir_json *r = json.n ? d->o.json->open(d->o.call, json) : NULL;
    if (r)
        d->o.json->string(r, &name);
    return name;
}

void cohere_emit_start(struct decoding *d, struct weir_str id)
{
    if (d->attempt->has_started)
        return;
    d->attempt->has_started = true;
    struct weir_event e = cohere_event(WEIR_EVENT_START, 0, 0);
    e.id = id;
    e.name = model_of(d);
    cohere_emit(d, &e);
}

void cohere_emit_end(struct decoding *d)
{
    struct weir_event e = cohere_event(WEIR_EVENT_END, 0, 0);
    cohere_emit(d, &e);
    d->attempt->has_ended = true;
}

void cohere_emit_usage(struct decoding *d, const struct weir_usage *u)
{
    struct weir_event e = cohere_event(WEIR_EVENT_USAGE, 0, 0);
    e.usage = u;
    if (u->input >= 0 || u->output >= 0)
        cohere_emit(d, &e);
}

int cohere_emit_error(struct decoding *d, struct weir_str message, struct weir_str native)
{
    struct weir_error error = { .size = sizeof(error), .flags = WEIR_ERROR_FROM_UPSTREAM, .native = native };
    struct weir_event e = cohere_event(WEIR_EVENT_ERROR, 0, 0);
    error.message =
        message.n ? message : WEIR_LIT("The provider failed in the middle of its answer and did not say why.");
    cohere_classify(&error, weir_is(native, "TIMEOUT") ? 504 : 500);
    e.error = &error;
    cohere_emit(d, &e);
    d->attempt->has_ended = true;
    return d->o.failed ? -1 : 0;
}

/* ---- blocks ---- */

void cohere_close_block(struct decoding *d)
{
    if (!d->attempt->open_kind)
        return;
    struct weir_event e = cohere_event(WEIR_EVENT_BLOCK_STOP, 0, d->attempt->open_block);
    d->attempt->open_kind = 0;
    cohere_emit(d, &e);
}

static void begin_block(struct decoding *d, struct weir_event *e, enum weir_block_kind kind)
{
    struct cohere_attempt *a = d->attempt;
    cohere_close_block(d);
    a->open_kind = (uint16_t)kind;
    a->open_block = a->n_blocks++;
    a->is_plan = a->is_ended = false;
    e->block = a->open_block;
    e->block_kind = (uint16_t)kind;
    cohere_emit(d, e);
}

void cohere_emit_delta(struct decoding *d, enum weir_delta_kind kind, struct weir_text text)
{
    struct weir_event e = cohere_event(WEIR_EVENT_DELTA, 0, d->attempt->open_block);
    e.delta_kind = (uint16_t)kind;
    e.text = text;
    if (kind == WEIR_DELTA_CITATION || kind == WEIR_DELTA_LOGPROBS)
        e.dialect = COHERE_DIALECT;
    cohere_emit(d, &e);
}

/* The dialect of a text tells whose its citations are, and that its name means what it means here. */
void cohere_say(struct decoding *d, enum weir_block_kind kind, bool is_plan, struct weir_text text)
{
    struct cohere_attempt *a = d->attempt;
    if (!text.n)
        return;
    if (a->open_kind != kind || a->is_plan != is_plan || a->is_ended) {
        struct weir_event e = cohere_event(WEIR_EVENT_BLOCK_START, 0, 0);
        if (kind == WEIR_BLOCK_TEXT)
            e.dialect = COHERE_DIALECT;
        if (is_plan)
            e.name = COHERE_PLAN;
        begin_block(d, &e, kind);
        a->is_plan = is_plan;
    }
    cohere_emit_delta(d, WEIR_DELTA_TEXT, text);
}

static struct weir_str own_name(const struct decoding *d, struct weir_str sent)
{
    for (const struct cohere_alias *a = d->attempt->aliases; a; a = a->next)
        if (weir_eq(a->sent, sent))
            return a->name;
    return sent;
}

void cohere_begin_call(struct decoding *d, struct weir_str id, struct weir_str name)
{
    struct weir_event e = cohere_event(WEIR_EVENT_BLOCK_START, 0, 0);
    e.id = id.n ? id : d->o.host->new_id(d->o.call, "call_");
    e.name = own_name(d, name);
    begin_block(d, &e, WEIR_BLOCK_TOOL_CALL);
    d->attempt->has_calls = true;
}

void cohere_attach(struct decoding *d, enum weir_delta_kind kind, struct weir_str raw)
{
    uint16_t open = d->attempt->open_kind;
    if (open == WEIR_BLOCK_TEXT || open == WEIR_BLOCK_THINKING)
        cohere_emit_delta(d, kind, weir_plain(raw));
    else
        d->o.host->note(d->o.call, "loss", WEIR_LIT("dropped:a citation of nothing that was said"));
}

/* ---- the end ---- */

static enum weir_finish finish_of(const struct decoding *d, struct weir_str word)
{
    if (weir_is(word, "MAX_TOKENS"))
        return WEIR_FINISH_LENGTH;
    if (weir_is(word, "STOP_SEQUENCE"))
        return WEIR_FINISH_STOP_SEQUENCE;
    if (weir_is(word, "ERROR_TOXIC"))
        return WEIR_FINISH_CONTENT_FILTER;
    if (weir_is(word, "TOOL_CALL") || (d->attempt->has_calls && weir_is(word, "COMPLETE")))
        return WEIR_FINISH_TOOL_CALLS;
    return weir_is(word, "COMPLETE") ? WEIR_FINISH_STOP : WEIR_FINISH_OTHER;
}

bool cohere_finish(struct decoding *d, struct weir_str word, struct weir_str error, const struct weir_usage *u)
{
    struct weir_event e = cohere_event(WEIR_EVENT_FINISH, 0, 0);
    if (error.n || weir_is(word, "ERROR") || weir_is(word, "TIMEOUT")) {
        cohere_emit_usage(d, u); /* it has cost something, too */
        cohere_emit_error(d, error, word);
        return false;
    }
    cohere_close_block(d);
    e.finish = (uint16_t)finish_of(d, word);
    e.name = word;
    cohere_emit(d, &e);
    cohere_emit_usage(d, u);
    d->attempt->has_finish = true;
    return true;
}

static void read_tokens(const struct weir_json_api *j, struct weir_json *r, struct weir_usage *u)
{
    struct weir_str key;
    int64_t images = 0;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("input_tokens"))
            cohere_read_count(j, r, &u->input);
        else if (KEY("output_tokens"))
            cohere_read_count(j, r, &u->output);
        else if (KEY("reasoning_tokens"))
            cohere_read_count(j, r, &u->reasoning);
        else if (KEY("image_tokens")) /* counted beside the others */
            cohere_read_count(j, r, &images);
        else
            j->skip(r);
    }
    if (u->input >= 0)
        u->input += images;
}

/* What is billed is less than what was read (it leaves out what the provider adds): it goes to the record. */
static void read_billed(struct decoding *d, struct weir_json *r, struct weir_usage *u)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    if (!j->raw(r, &raw))
        return;
    d->o.host->note(d->o.call, "billed_units", raw);
    read_tokens(j, j->open(d->o.call, raw), u);
}

void cohere_read_usage(struct decoding *d, struct weir_json *r, struct weir_usage *u)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_usage billed = WEIR_USAGE_UNKNOWN, said = WEIR_USAGE_UNKNOWN;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("tokens") && j->peek(r) == WEIR_JSON_OBJECT)
            read_tokens(j, r, &said);
        else if (KEY("billed_units") && j->peek(r) == WEIR_JSON_OBJECT)
            read_billed(d, r, &billed);
        else if (KEY("cached_tokens"))
            cohere_read_count(j, r, &said.cached_read);
        else
            j->skip(r);
    }
    *u = said;
    u->input = said.input >= 0 ? said.input : billed.input;
    u->output = said.output >= 0 ? said.output : billed.output;
    if (u->input >= 0 && u->cached_read > u->input)
        u->cached_read = u->input;
}

/* ---- an event of the stream ---- */

struct piece {
    struct weir_str type, id, finish, error, message;
    struct weir_text plan, text, thinking, arguments;
    struct weir_str call_id, call_name, citation, logprobs;
    struct weir_usage usage;
};

static void read_function(const struct weir_json_api *j, struct weir_json *r, struct piece *p)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("arguments"))
            cohere_read_text(j, r, &p->arguments);
        else if (KEY("name"))
            cohere_read_string(j, r, &p->call_name);
        else
            j->skip(r);
    }
}

/* An object here, of one call. */
static void read_call(const struct weir_json_api *j, struct weir_json *r, struct piece *p)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("id"))
            cohere_read_string(j, r, &p->call_id);
        else if (KEY("function"))
            read_function(j, r, p);
        else
            j->skip(r);
    }
}

static void read_content(const struct weir_json_api *j, struct weir_json *r, struct piece *p)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("text"))
            cohere_read_text(j, r, &p->text);
        else if (KEY("thinking"))
            cohere_read_text(j, r, &p->thinking);
        else
            j->skip(r);
    }
}

static void read_message(const struct weir_json_api *j, struct weir_json *r, struct piece *p)
{
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("content"))
            read_content(j, r, p);
        else if (KEY("tool_plan"))
            cohere_read_text(j, r, &p->plan);
        else if (KEY("tool_calls"))
            read_call(j, r, p);
        else if (KEY("citations"))
            cohere_read_raw(j, r, WEIR_JSON_OBJECT, &p->citation);
        else
            j->skip(r);
    }
}

static void read_delta(struct decoding *d, struct weir_json *r, struct piece *p)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("message") && j->peek(r) == WEIR_JSON_OBJECT)
            read_message(j, r, p);
        else if (KEY("finish_reason"))
            cohere_read_string(j, r, &p->finish);
        else if (KEY("error"))
            cohere_read_string(j, r, &p->error);
        else if (KEY("usage") && j->peek(r) == WEIR_JSON_OBJECT)
            cohere_read_usage(d, r, &p->usage);
        else
            j->skip(r);
    }
}

static void read_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct piece *p)
{
    const struct weir_json_api *j = d->o.json;
    if (KEY("type"))
        cohere_read_string(j, r, &p->type);
    else if (KEY("delta") && j->peek(r) == WEIR_JSON_OBJECT)
        read_delta(d, r, p);
    else if (KEY("id"))
        cohere_read_string(j, r, &p->id);
    else if (KEY("logprobs"))
        cohere_read_raw(j, r, WEIR_JSON_OBJECT, &p->logprobs);
    else if (KEY("message"))
        cohere_read_string(j, r, &p->message);
    else
        j->skip(r);
}

static bool is_type(const struct piece *p, const char *name)
{
    return weir_is(p->type, name);
}

static void tell_words(struct decoding *d, const struct piece *p)
{
    cohere_say(d, WEIR_BLOCK_THINKING, false, p->thinking);
    cohere_say(d, WEIR_BLOCK_TEXT, false, p->text);
    if (p->logprobs.n)
        cohere_attach(d, WEIR_DELTA_LOGPROBS, p->logprobs);
}

static void tell_call(struct decoding *d, const struct piece *p)
{
    if (is_type(p, "tool-call-start"))
        cohere_begin_call(d, p->call_id, p->call_name);
    if (d->attempt->open_kind == WEIR_BLOCK_TOOL_CALL && p->arguments.n)
        cohere_emit_delta(d, WEIR_DELTA_ARGUMENTS, p->arguments);
    if (is_type(p, "tool-call-end") && d->attempt->open_kind == WEIR_BLOCK_TOOL_CALL)
        cohere_close_block(d);
}

/* A text stays open when its content has ended: its citations may come later. */
static int tell_piece(struct decoding *d, const struct piece *p)
{
    if (!p->type.n)
        return p->message.n ? cohere_emit_error(d, p->message, WEIR_NONE) : -1;
    cohere_emit_start(d, p->id);
    if (d->attempt->has_finish)
        return d->o.failed ? -1 : 0;
    if (is_type(p, "content-delta") || is_type(p, "content-start"))
        tell_words(d, p);
    else if (is_type(p, "content-end"))
        d->attempt->is_ended = true;
    else if (is_type(p, "tool-plan-delta"))
        cohere_say(d, WEIR_BLOCK_TEXT, true, p->plan);
    else if (is_type(p, "tool-call-start") || is_type(p, "tool-call-delta") || is_type(p, "tool-call-end"))
        tell_call(d, p);
    else if (is_type(p, "citation-start") && p->citation.n)
        cohere_attach(d, WEIR_DELTA_CITATION, p->citation);
    else if (is_type(p, "message-end"))
        cohere_finish(d, p->finish.n ? p->finish : WEIR_LIT("COMPLETE"), p->error, &p->usage);
    return d->o.failed ? -1 : 0;
}

static int decode_event(struct decoding *d, struct weir_str data)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct piece p;
    memset(&p, 0, sizeof(p));
    p.usage = WEIR_USAGE_UNKNOWN;
    struct weir_json *r = j->open(d->o.call, data);
    for (j->object(r); j->member(r, &key);)
        read_member(d, r, key, &p);
    return j->close(r) ? tell_piece(d, &p) : -1;
}

/* ---- a frame ---- */

/* It shows that the provider lives; a blank line shows nothing. */
static bool is_comment(struct weir_str bytes)
{
    while (bytes.n && (*bytes.p == '\n' || *bytes.p == '\r'))
        bytes.p++, bytes.n--;
    return bytes.n && *bytes.p == ':';
}

static bool is_done(struct weir_str data)
{
    return data.n >= 6 && memcmp(data.p, "[DONE]", 6) == 0;
}

static int decode_sse(struct decoding *d, const struct weir_frame *frame)
{
    struct weir_event ping = cohere_event(WEIR_EVENT_PING, 0, 0);
    if (!frame->data.n) {
        if (is_comment(frame->bytes))
            cohere_emit(d, &ping);
        return d->o.failed ? -1 : 0;
    }
    if (!is_done(frame->data))
        return decode_event(d, frame->data);
    if (!d->attempt->has_finish)
        return -1;
    cohere_emit_end(d);
    return d->o.failed ? -1 : 0;
}

int cohere_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct decoding d = { cohere_begin(self, call), state };
    if (d.attempt->has_ended)
        return 0;
    if (frame->framing != WEIR_FRAMING_JSON)
        return decode_sse(&d, frame);
    switch (cohere_operation(&d.o)) {
    case WEIR_OP_EMBED:
        return cohere_decode_vectors(&d, frame->data);
    case WEIR_OP_RERANK:
        return cohere_decode_ranks(&d, frame->data);
    default:
        return cohere_decode_whole(&d, frame->data);
    }
}

/* message-end is the end of what is said; whether [DONE] follows doesn't matter. */
int cohere_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    struct decoding d = { cohere_begin(self, call), state };
    (void)clean;
    if (d.attempt->has_finish && !d.attempt->has_ended)
        cohere_emit_end(&d);
    return d.o.failed ? -1 : 0;
}
