/* A provider's answer becomes events. Each line of a stream is an object like the whole answer's, with a piece of the message; the
 * last says done. What a line holds is gathered first, because its members may stand in any order. */
#include "response.h"

struct line {
    struct weir_str model;
    int64_t created_s;
    struct weir_text thinking, content;
    struct weir_str calls, logprobs; /* raw */
    struct weir_str reason, error;
    struct weir_usage usage;
    bool has_message, is_done, has_error;
};

void ollama_emit(struct decoding *d, const struct weir_event *e)
{
    if (!d->o.failed && d->o.host->emit(d->o.call, e) < 0)
        d->o.failed = true;
}

void ollama_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

void ollama_read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    int64_t n;
    if (j->peek(r) != WEIR_JSON_NUMBER)
        j->skip(r);
    else if (j->integer(r, &n) && n >= 0)
        *to = n;
}

void ollama_emit_start(struct decoding *d, struct weir_str model, int64_t created_s)
{
    if (d->attempt->has_started)
        return;
    d->attempt->has_started = true;
    struct weir_event e = ollama_event(WEIR_EVENT_START, 0, 0);
    e.name = model;
    e.created_s = created_s;
    ollama_emit(d, &e);
}

void ollama_emit_end(struct decoding *d)
{
    struct weir_event e = ollama_event(WEIR_EVENT_END, 0, 0);
    ollama_emit(d, &e);
    d->attempt->has_ended = true;
}

void ollama_emit_usage(struct decoding *d, const struct weir_usage *u)
{
    struct weir_event e = ollama_event(WEIR_EVENT_USAGE, 0, 0);
    e.usage = u;
    if (u->input >= 0 || u->output >= 0)
        ollama_emit(d, &e);
}

/* ---- blocks ---- */

static void close_block(struct decoding *d)
{
    if (!d->attempt->open_kind)
        return;
    struct weir_event e = ollama_event(WEIR_EVENT_BLOCK_STOP, 0, d->attempt->open_block);
    d->attempt->open_kind = 0;
    ollama_emit(d, &e);
}

static void begin_block(struct decoding *d, struct weir_event *e, enum weir_block_kind kind)
{
    struct ollama_attempt *a = d->attempt;
    close_block(d);
    a->open_kind = (uint16_t)kind;
    a->open_block = a->n_blocks++;
    e->block = a->open_block;
    e->block_kind = (uint16_t)kind;
    ollama_emit(d, e);
}

static void emit_delta(struct decoding *d, enum weir_delta_kind kind, struct weir_text text)
{
    struct weir_event e = ollama_event(WEIR_EVENT_DELTA, 0, d->attempt->open_block);
    e.delta_kind = (uint16_t)kind;
    e.text = text;
    if (kind == WEIR_DELTA_LOGPROBS)
        e.dialect = OLLAMA_DIALECT;
    ollama_emit(d, &e);
}

static void say(struct decoding *d, enum weir_block_kind kind, struct weir_text text)
{
    struct weir_event e = ollama_event(WEIR_EVENT_BLOCK_START, 0, 0);
    if (!text.n)
        return;
    if (d->attempt->open_kind != kind) {
        e.dialect = kind == WEIR_BLOCK_TEXT ? OLLAMA_DIALECT : WEIR_NONE; /* whose log probabilities may come */
        begin_block(d, &e, kind);
    }
    emit_delta(d, WEIR_DELTA_TEXT, text);
}

/* ---- calls ---- */

struct call {
    struct weir_str id, name, object;
    struct weir_text text;
};

static void read_function(const struct weir_json_api *j, struct weir_json *r, struct call *c)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "name"))
            ollama_read_string(j, r, &c->name);
        else if (weir_is(key, "arguments") && j->peek(r) == WEIR_JSON_OBJECT)
            j->raw(r, &c->object);
        else if (weir_is(key, "arguments") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &c->text);
    }
}

/* A call comes whole. Older servers give it no id. */
static void read_call(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct call c = { .id = WEIR_NONE };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "id"))
            ollama_read_string(j, r, &c.id);
        else if (weir_is(key, "function"))
            read_function(j, r, &c);
    }
    if (j->failed(r))
        return;
    struct weir_event e = ollama_event(WEIR_EVENT_BLOCK_START, 0, 0);
    e.id = c.id.n ? c.id : d->o.host->new_id(d->o.call, "call_");
    e.name = c.name;
    begin_block(d, &e, WEIR_BLOCK_TOOL_CALL);
    d->attempt->has_calls = true;
    emit_delta(d, WEIR_DELTA_ARGUMENTS, c.object.n ? weir_plain(c.object) : c.text.n ? c.text : WEIR_TEXT("{}"));
    close_block(d);
}

/* Each element as it stands. */
static int take_logprobs(struct decoding *d, struct weir_str list)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    struct weir_json *r = j->open(d->o.call, list);
    for (j->array(r); j->element(r) && j->raw(r, &raw);)
        if (d->attempt->open_kind == WEIR_BLOCK_TEXT)
            emit_delta(d, WEIR_DELTA_LOGPROBS, weir_plain(raw));
    return j->close(r) ? 0 : -1;
}

static int take_calls(struct decoding *d, struct weir_str list)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_json *r = j->open(d->o.call, list);
    for (j->array(r); !d->o.failed && j->element(r);)
        read_call(d, r);
    return d->o.failed || !j->close(r) ? -1 : 0;
}

/* ---- a line ---- */

static void read_text(const struct weir_json_api *j, struct weir_json *r, struct weir_text *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->text(r, to);
    else
        j->skip(r);
}

static void read_array(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_ARRAY)
        j->raw(r, to);
    else
        j->skip(r);
}

static void read_message(const struct weir_json_api *j, struct weir_json *r, struct line *l)
{
    struct weir_str key;
    l->has_message = true;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "content"))
            read_text(j, r, &l->content);
        else if (weir_is(key, "thinking"))
            read_text(j, r, &l->thinking);
        else if (weir_is(key, "tool_calls"))
            read_array(j, r, &l->calls);
    }
}

static int digits(struct weir_str s, size_t at, size_t n)
{
    int value = 0;
    for (size_t i = at; i < at + n; i++)
        value = i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && value >= 0 ? 10 * value + (s.p[i] - '0') : -1;
    return value;
}

/* "2026-08-07T06:08:07.590207Z", or with an offset that is left out of account -> unix time; 0: it is none. */
static int64_t time_of(struct weir_str s)
{
    int64_t y = digits(s, 0, 4), m = digits(s, 5, 2), d = digits(s, 8, 2);
    int64_t h = digits(s, 11, 2), min = digits(s, 14, 2), sec = digits(s, 17, 2);
    if (y < 1970 || m < 1 || m > 12 || d < 1 || h < 0 || min < 0 || sec < 0)
        return 0;
    y -= m <= 2; /* years begin in March: then the leap day is the last */
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return days * 86400 + h * 3600 + min * 60 + sec;
}

static void read_error(const struct weir_json_api *j, struct weir_json *r, struct line *l)
{
    if (j->peek(r) == WEIR_JSON_NULL) {
        j->skip(r);
        return;
    }
    l->has_error = true;
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, &l->error);
    else
        j->raw(r, &l->error);
}

static void read_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key, struct line *l)
{
    struct weir_str time = WEIR_NONE;
    if (weir_is(key, "message") && j->peek(r) == WEIR_JSON_OBJECT) {
        read_message(j, r, l);
    } else if (weir_is(key, "model")) {
        ollama_read_string(j, r, &l->model);
    } else if (weir_is(key, "created_at")) {
        ollama_read_string(j, r, &time);
        l->created_s = time_of(time);
    } else if (weir_is(key, "done") && j->peek(r) == WEIR_JSON_BOOL) {
        j->boolean(r, &l->is_done);
    } else if (weir_is(key, "done_reason")) {
        ollama_read_string(j, r, &l->reason);
    } else if (weir_is(key, "prompt_eval_count")) {
        ollama_read_count(j, r, &l->usage.input);
    } else if (weir_is(key, "eval_count")) {
        ollama_read_count(j, r, &l->usage.output);
    } else if (weir_is(key, "logprobs")) {
        read_array(j, r, &l->logprobs);
    } else if (weir_is(key, "error")) {
        read_error(j, r, l);
    } else {
        j->skip(r);
    }
}

/* ---- what follows from it ---- */

static int emit_error(struct decoding *d, struct weir_str message)
{
    struct weir_error error = { .size = sizeof(error), .flags = WEIR_ERROR_FROM_UPSTREAM };
    struct weir_event e = ollama_event(WEIR_EVENT_ERROR, 0, 0);
    error.message =
        message.n ? message : WEIR_LIT("The provider sent an error in place of its answer and did not say why.");
    ollama_classify(&error, 0);
    e.error = &error;
    ollama_emit(d, &e);
    d->attempt->has_ended = true;
    return d->o.failed ? -1 : 0;
}

/* "load" and "unload" answer a request without messages. */
static enum weir_finish finish_of(const struct decoding *d, struct weir_str word)
{
    bool is_stop = !word.n || weir_is(word, "stop") || weir_is(word, "load") || weir_is(word, "unload");
    if (weir_is(word, "length"))
        return WEIR_FINISH_LENGTH;
    if (d->attempt->has_calls && (is_stop || weir_is(word, "tool_calls")))
        return WEIR_FINISH_TOOL_CALLS;
    return is_stop ? WEIR_FINISH_STOP : WEIR_FINISH_OTHER;
}

static void finish(struct decoding *d, const struct line *l)
{
    struct weir_event e = ollama_event(WEIR_EVENT_FINISH, 0, 0);
    close_block(d);
    e.finish = (uint16_t)finish_of(d, l->reason);
    e.name = l->reason;
    ollama_emit(d, &e);
    ollama_emit_usage(d, &l->usage);
    ollama_emit_end(d);
}

static int tell_line(struct decoding *d, const struct line *l)
{
    ollama_emit_start(d, l->model, l->created_s);
    say(d, WEIR_BLOCK_THINKING, l->thinking);
    say(d, WEIR_BLOCK_TEXT, l->content);
    if (l->logprobs.n && take_logprobs(d, l->logprobs) < 0)
        return -1;
    if (l->calls.n && take_calls(d, l->calls) < 0)
        return -1;
    if (l->is_done)
        finish(d, l);
    return d->o.failed ? -1 : 0;
}

static int decode_line(struct decoding *d, struct weir_str data)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct line l = { .usage = WEIR_USAGE_UNKNOWN };
    struct weir_json *r = j->open(d->o.call, data);
    for (j->object(r); j->member(r, &key);)
        read_member(j, r, key, &l);
    if (!j->close(r))
        return -1;
    if (l.has_error)
        return emit_error(d, l.error);
    if ((!l.has_message && !l.is_done) || (d->is_whole && !l.is_done))
        return -1;
    return tell_line(d, &l);
}

static bool is_embed(const struct decoding *d)
{
    const struct weir_conversation *c = d->o.host->conversation(d->o.call);
    return c && c->operation == WEIR_OP_EMBED;
}

static bool is_blank(struct weir_str s)
{
    size_t i = 0;
    while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == '\n'))
        i++;
    return i == s.n;
}

int ollama_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct decoding d = { ollama_begin(self, call), state, frame->framing == WEIR_FRAMING_JSON };
    if (d.attempt->has_ended || (!d.is_whole && is_blank(frame->data)))
        return 0;
    return is_embed(&d) ? ollama_decode_vectors(&d, frame->data) : decode_line(&d, frame->data);
}

/* A stream that stopped before it said done is broken. */
int ollama_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    (void)self, (void)call, (void)state, (void)clean;
    return 0;
}
