/* A provider's answer becomes events, streamed or whole. decode_frame runs for every event of every stream: keys are read once,
 * texts are handed on where they lie. */
#include "response.h"

/* ---- start, end, error ---- */

static void emit_start(struct decoding *d)
{
    if (d->attempt->has_started)
        return;
    d->attempt->has_started = true;
    struct weir_event e = openai_event_of(WEIR_EVENT_START, 0, 0);
    e.id = d->id;
    e.name = d->model;
    e.created_s = d->created_s;
    openai_emit(d, &e);
}

static void emit_error(struct decoding *d, struct weir_error *error)
{
    error->flags |= WEIR_ERROR_FROM_UPSTREAM;
    struct weir_event e = openai_event_of(WEIR_EVENT_ERROR, 0, 0);
    e.error = error;
    openai_emit(d, &e);
    d->attempt->has_ended = true;
}

static void emit_end(struct decoding *d)
{
    struct weir_event e = openai_event_of(WEIR_EVENT_END, 0, 0);
    openai_emit(d, &e);
    d->attempt->has_ended = true;
}

static enum weir_finish finish_of(struct weir_str word)
{
    static const struct {
        const char *word;
        enum weir_finish finish;
    } words[] = {
        { "stop", WEIR_FINISH_STOP },
        { "tool_calls", WEIR_FINISH_TOOL_CALLS },
        { "length", WEIR_FINISH_LENGTH },
        { "content_filter", WEIR_FINISH_CONTENT_FILTER },
        { "function_call", WEIR_FINISH_TOOL_CALLS },
        { "model_length", WEIR_FINISH_CONTEXT_WINDOW },
        { "eos", WEIR_FINISH_STOP },
        { "eos_token", WEIR_FINISH_STOP },
        { "end_turn", WEIR_FINISH_STOP },
        { "max_tokens", WEIR_FINISH_LENGTH },
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (weir_is(word, words[i].word))
            return words[i].finish;
    return WEIR_FINISH_OTHER;
}

static void finish(struct decoding *d, struct openai_choice *c, uint32_t choice, struct weir_str word)
{
    if (c->has_finish)
        return;
    openai_close_blocks(d, c, choice);
    c->has_finish = true;
    struct weir_event e = openai_event_of(WEIR_EVENT_FINISH, choice, 0);
    e.finish = (uint16_t)(word.n ? finish_of(word) : WEIR_FINISH_STOP);
    if (c->has_tools && e.finish == WEIR_FINISH_STOP)
        e.finish = WEIR_FINISH_TOOL_CALLS; /* forced calls end with "stop" */
    e.name = word;
    openai_emit(d, &e);
}

/* ---- a choice ---- */

struct choice_read {
    int64_t index;
    bool has_index;
    struct weir_str delta; /* read before its choice was known */
    struct weir_str logprobs, finish;
};

static void read_choice_delta(struct decoding *d, struct weir_json *r, struct choice_read *s)
{
    if (!s->has_index && d->attempt->has_many) {
        d->o.json->raw(r, &s->delta);
        return;
    }
    struct openai_choice *c = openai_choice_at(d, (uint32_t)s->index);
    if (c)
        openai_read_delta(d, r, c, (uint32_t)s->index);
}

static void read_choice_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct choice_read *s)
{
    const struct weir_json_api *j = d->o.json;
    bool is_message = KEY("message");
    if (KEY("delta") || (is_message && d->is_whole)) {
        read_choice_delta(d, r, s);
    } else if (KEY("index") && j->peek(r) == WEIR_JSON_NUMBER) {
        s->has_index = j->integer(r, &s->index);
        if (s->index < 0 || s->index >= 128)
            j->reject(r, "is no index of a choice");
    } else if (KEY("finish_reason")) {
        openai_read_string(j, r, &s->finish);
    } else if (KEY("logprobs")) {
        openai_read_object(j, r, &s->logprobs);
    } else if (KEY("error") && j->peek(r) == WEIR_JSON_OBJECT) {
        d->has_error = true;
        openai_read_error(&d->o, r, &d->error);
    } else {
        j->skip(r);
    }
}

static bool is_failure(struct weir_str word)
{
    return weir_is(word, "error") || weir_is(word, "insufficient_system_resource");
}

static void fail_choice(struct decoding *d, struct weir_str word)
{
    if (d->has_error)
        return;
    d->has_error = true;
    bool is_busy = !weir_is(word, "error");
    d->error = (struct weir_error){ .size = sizeof(d->error),
                                    .native = word,
                                    .error_class = is_busy ? WEIR_ERROR_OVERLOADED : WEIR_ERROR_SERVER };
    d->error.message = is_busy ? WEIR_LIT("The provider ran out of resources in the middle of its answer.")
                               : WEIR_LIT("The provider failed in the middle of its answer and did not say why.");
}

static void read_choice(struct decoding *d, struct weir_json *r, uint32_t position)
{
    const struct weir_json_api *j = d->o.json;
    struct choice_read s = { .index = position };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        read_choice_member(d, r, key, &s);
    struct openai_choice *c = j->failed(r) ? NULL : openai_choice_at(d, (uint32_t)s.index);
    if (!c)
        return;
    if (s.delta.n)
        openai_read_delta(d, j->open(d->o.call, s.delta), c, (uint32_t)s.index);
    if (s.logprobs.n)
        openai_read_logprobs(d, s.logprobs, c, (uint32_t)s.index);
    if (is_failure(s.finish))
        fail_choice(d, s.finish);
    else if (s.finish.n || d->is_whole)
        finish(d, c, (uint32_t)s.index, s.finish);
}

static uint32_t read_choices(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    uint32_t n = 0;
    if (j->peek(r) == WEIR_JSON_NULL) {
        j->null(r);
        return 0;
    }
    for (j->array(r); !d->o.failed && j->element(r);) {
        emit_start(d); /* not before: Azure begins with a chunk that has no choices and no id */
        read_choice(d, r, n++);
    }
    return n;
}

/* ---- usage ---- */

static void read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
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

static void read_details(const struct weir_json_api *j, struct weir_json *r, struct weir_usage *u, bool is_prompt)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("cached_tokens") && is_prompt)
            read_count(j, r, &u->cached_read);
        else if (KEY("cache_write_tokens") && is_prompt)
            read_count(j, r, &u->cached_write);
        else if (KEY("audio_tokens"))
            read_count(j, r, is_prompt ? &u->audio_input : &u->audio_output);
        else if (KEY("reasoning_tokens") && !is_prompt)
            read_count(j, r, &u->reasoning);
        else
            j->skip(r);
    }
}

static void read_usage(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    struct weir_str key;
    int64_t total = -1;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("prompt_tokens") || KEY("input_tokens"))
            read_count(j, r, &u.input);
        else if (KEY("completion_tokens") || KEY("output_tokens"))
            read_count(j, r, &u.output);
        else if (KEY("total_tokens"))
            read_count(j, r, &total);
        else if (KEY("prompt_tokens_details"))
            read_details(j, r, &u, true);
        else if (KEY("completion_tokens_details"))
            read_details(j, r, &u, false);
        else if ((KEY("prompt_cache_hit_tokens") || KEY("num_cached_tokens")) && u.cached_read < 0)
            read_count(j, r, &u.cached_read);
        else if (KEY("reasoning_tokens") && u.reasoning < 0)
            read_count(j, r, &u.reasoning);
        else
            j->skip(r);
    }
    if (u.input < 0 && u.output < 0)
        return;
    if (u.reasoning > 0 && u.output >= 0 && total == u.input + u.output + u.reasoning)
        u.output += u.reasoning; /* xAI counts reasoning beside the output */
    if (u.input >= 0 && u.cached_read > u.input)
        u.cached_read = u.input;
    d->usage = u;
    d->has_usage = true;
}

/* x_groq: {"id":…,"usage":{…},"error":…} */
static void read_groq(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("usage") && j->peek(r) == WEIR_JSON_OBJECT && !d->has_usage) {
            read_usage(d, r);
        } else if (KEY("error") && j->peek(r) != WEIR_JSON_NULL) {
            d->has_error = true;
            openai_read_error(&d->o, r, &d->error);
        } else {
            j->skip(r);
        }
    }
}

/* ---- a frame ---- */

static void begin(struct decoding *d)
{
    struct openai_attempt *a = d->attempt;
    const struct weir_conversation *c = d->o.host->conversation(d->o.call);
    a->is_begun = true;
    if (!c)
        return;
    struct weir_str n = weir_field(c, WEIR_FIELD_N);
    a->has_many = n.n && !weir_is(n, "1");
    a->hides_usage = weir_eq(c->dialect, OPENAI_DIALECT) && !weir_field_true(c, WEIR_FIELD_STREAM_USAGE);
}

/* "usage":null with its comma, where the client didn't ask for usage. */
static void cut_usage(struct decoding *d, struct weir_str key, struct weir_str null)
{
    struct weir_str bytes = d->frame->bytes;
    if (!d->attempt->hides_usage || key.p <= bytes.p || null.p + null.n >= bytes.p + bytes.n)
        return;
    const char *from = key.p - 1, *to = null.p + null.n, *left = from;
    while (left > bytes.p && openai_is_space(left[-1]))
        left--;
    if (left > bytes.p && left[-1] == ',')
        from = left - 1;
    else /* it stands first: the comma behind it goes */
        while (to < bytes.p + bytes.n && (openai_is_space(*to) || *to == ',') && to[-1] != ',')
            to++;
    d->frame->cut_offset = (uint32_t)(from - bytes.p);
    d->frame->cut_n = (uint32_t)(to - from);
}

struct chunk_read {
    struct weir_str choices; /* read before the answer's id was known */
    struct weir_str vectors;
    bool has_choices, is_empty;
};

static void read_choices_member(struct decoding *d, struct weir_json *r, struct chunk_read *s)
{
    s->has_choices = true;
    if (!d->attempt->has_started && !(d->id.n && d->model.n))
        d->o.json->raw(r, &s->choices);
    else
        s->is_empty = read_choices(d, r) == 0;
}

static void read_usage_member(struct decoding *d, struct weir_json *r, struct weir_str key)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    if (j->peek(r) == WEIR_JSON_OBJECT)
        read_usage(d, r);
    else if (j->raw(r, &raw) && weir_is(raw, "null") && !d->is_whole)
        cut_usage(d, key, raw);
}

/* The members that stand in every chunk but count only in the first. */
static bool read_head_member(struct decoding *d, struct weir_json *r, struct weir_str key)
{
    const struct weir_json_api *j = d->o.json;
    if (KEY("id"))
        openai_read_string(j, r, &d->id);
    else if (KEY("model"))
        openai_read_string(j, r, &d->model);
    else if (KEY("created"))
        read_count(j, r, &d->created_s);
    else
        return false;
    return true;
}

static void read_chunk_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct chunk_read *s)
{
    const struct weir_json_api *j = d->o.json;
    if (KEY("choices")) {
        read_choices_member(d, r, s);
    } else if (KEY("usage")) {
        read_usage_member(d, r, key);
    } else if (KEY("error") && j->peek(r) != WEIR_JSON_NULL) {
        d->has_error = true;
        openai_read_error(&d->o, r, &d->error);
    } else if (d->is_embed && KEY("data") && j->peek(r) == WEIR_JSON_ARRAY) {
        j->raw(r, &s->vectors);
    } else if (KEY("x_groq")) {
        read_groq(d, r);
    } else if (d->attempt->has_started || !read_head_member(d, r, key)) {
        j->skip(r);
    }
}

static void finish_frame(struct decoding *d, const struct chunk_read *s)
{
    if (d->has_usage) {
        emit_start(d);
        struct weir_event e = openai_event_of(WEIR_EVENT_USAGE, 0, 0);
        e.usage = &d->usage;
        openai_emit(d, &e);
        if (s->has_choices && s->is_empty && !d->is_whole && d->attempt->hides_usage)
            d->frame->flags |= WEIR_FRAME_DROP;
    }
    if (d->is_whole)
        emit_end(d);
}

static int decode_document(struct decoding *d)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct chunk_read s = { 0 };
    struct weir_json *r = j->open(d->o.call, d->frame->data);
    for (j->object(r); !d->o.failed && j->member(r, &key);)
        read_chunk_member(d, r, key, &s);
    if (d->o.failed || !j->close(r))
        return -1;
    if (s.choices.n) {
        r = j->open(d->o.call, s.choices);
        s.is_empty = read_choices(d, r) == 0;
        if (!j->close(r))
            return -1;
    }
    if (d->has_error)
        emit_error(d, &d->error);
    else if (d->is_whole && (!s.has_choices || s.is_empty))
        return -1;
    else
        finish_frame(d, &s);
    return d->o.failed || d->broke_off ? -1 : 0;
}

static int decode_embeddings(struct decoding *d)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct chunk_read s = { 0 };
    struct weir_json *r = j->open(d->o.call, d->frame->data);
    for (j->object(r); !d->o.failed && j->member(r, &key);)
        read_chunk_member(d, r, key, &s);
    if (d->o.failed || !j->close(r))
        return -1;
    if (d->has_error) {
        emit_error(d, &d->error);
        return d->o.failed ? -1 : 0;
    }
    if (!s.vectors.n)
        return -1;
    emit_start(d);
    if (openai_decode_vectors(d, s.vectors) < 0)
        return -1;
    finish_frame(d, &s);
    return d->o.failed ? -1 : 0;
}

/* [DONE]: all choices end here, also those that nobody finished. */
static int decode_done(struct decoding *d)
{
    struct openai_attempt *a = d->attempt;
    if (!a->has_started)
        return -1;
    for (uint32_t i = 0; i <= a->n_more; i++) {
        struct openai_choice *c = i ? &a->more[i - 1] : &a->first;
        if (c->is_seen)
            finish(d, c, i, WEIR_NONE);
    }
    emit_end(d);
    return d->o.failed ? -1 : 0;
}

static bool is_done(struct weir_str data)
{
    while (data.n && openai_is_space(data.p[data.n - 1]))
        data.n--;
    return weir_is(data, "[DONE]");
}

/* It shows that the provider lives; a blank line shows nothing. */
static bool is_comment(struct weir_str bytes)
{
    while (bytes.n && openai_is_space(*bytes.p))
        bytes.p++, bytes.n--;
    return bytes.n && *bytes.p == ':';
}

/* Of a call that is relayed as it is only the usage is read, wherever it stands among the members. */
static int decode_usage(struct decoding *d)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct weir_json *r = j->open(d->o.call, d->frame->data);
    if (j->peek(r) != WEIR_JSON_OBJECT)
        return 0;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("usage") && j->peek(r) == WEIR_JSON_OBJECT)
            read_usage(d, r);
        else
            j->skip(r);
    }
    struct weir_event e = openai_event_of(WEIR_EVENT_USAGE, 0, 0);
    e.usage = &d->usage;
    if (j->close(r) && d->has_usage)
        openai_emit(d, &e);
    return 0;
}

int openai_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct openai_attempt *a = state;
    if (a->has_ended)
        return 0;
    struct decoding d = {
        .o = openai_begin(self, call), .attempt = a, .frame = frame, .is_whole = frame->framing == WEIR_FRAMING_JSON
    };
    if (d.o.host->request(call)->operation == WEIR_OP_RAW)
        return decode_usage(&d);
    if (!a->is_begun)
        begin(&d);
    if (!d.is_whole && !frame->data.n) {
        struct weir_event ping = openai_event_of(WEIR_EVENT_PING, 0, 0);
        if (is_comment(frame->bytes))
            openai_emit(&d, &ping);
        return d.o.failed ? -1 : 0;
    }
    if (!d.is_whole && frame->data.p[0] == '[' && is_done(frame->data))
        return decode_done(&d);
    d.is_embed = d.is_whole && openai_embeds(&d.o);
    return d.is_embed ? decode_embeddings(&d) : decode_document(&d);
}

/* Some servers leave [DONE] out: then an answer is whole if every choice was finished and the transport ended as it should. */
int openai_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    struct openai_attempt *a = state;
    struct decoding d = { .o = openai_begin(self, call), .attempt = a };
    bool is_whole = clean && a->has_started && a->first.has_finish;
    for (uint32_t i = 0; i < a->n_more; i++)
        is_whole = is_whole && (!a->more[i].is_seen || a->more[i].has_finish);
    if (is_whole && !a->has_ended)
        emit_end(&d);
    return d.o.failed ? -1 : 0;
}
