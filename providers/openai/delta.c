/* What a choice of a provider's answer says, as blocks and deltas. Text, thinking and refusal are opened by their first words and
 * closed when something else begins; tool calls stay open until the choice is finished, because their pieces may interleave.
 * What is remembered between frames lives as long as the attempt. */
#include "response.h"

/* What one delta (or message) says; written down first because its keys come in any order. */
struct delta {
    struct weir_text content, reasoning, refusal;
    struct weir_str parts, tool_calls, function_call, audio, annotations, images;
};

/* ---- emitting ---- */

void openai_emit(struct decoding *d, const struct weir_event *e)
{
    if (!d->o.failed && d->o.host->emit(d->o.call, e) < 0)
        d->o.failed = true;
}

struct weir_event openai_event_of(enum weir_event_kind kind, uint32_t choice, uint32_t block)
{
    return (struct weir_event){
        .size = sizeof(struct weir_event), .kind = (uint16_t)kind, .choice = choice, .block = block
    };
}

static void emit_stop(struct decoding *d, uint32_t choice, uint32_t block)
{
    struct weir_event e = openai_event_of(WEIR_EVENT_BLOCK_STOP, choice, block);
    openai_emit(d, &e);
}

static void close_block(struct decoding *d, struct openai_choice *c, uint32_t choice)
{
    if (c->open_kind)
        emit_stop(d, choice, c->open_block);
    c->open_kind = 0;
}

static void open_block(struct decoding *d, struct openai_choice *c, uint32_t choice, enum weir_block_kind kind)
{
    if (c->open_kind == kind)
        return;
    close_block(d, c, choice);
    c->open_kind = (uint16_t)kind;
    c->open_block = c->n_blocks++;
    struct weir_event e = openai_event_of(WEIR_EVENT_BLOCK_START, choice, c->open_block);
    e.block_kind = (uint16_t)kind;
    if (kind == WEIR_BLOCK_TEXT)
        e.dialect = OPENAI_DIALECT; /* of its log probabilities and annotations */
    openai_emit(d, &e);
}

static void emit_delta(struct decoding *d, uint32_t choice, uint32_t block, enum weir_delta_kind kind,
                       struct weir_text text)
{
    struct weir_event e = openai_event_of(WEIR_EVENT_DELTA, choice, block);
    e.delta_kind = (uint16_t)kind;
    e.text = text;
    if (kind == WEIR_DELTA_CITATION || kind == WEIR_DELTA_LOGPROBS)
        e.dialect = OPENAI_DIALECT;
    openai_emit(d, &e);
}

void openai_tell_image(struct decoding *d, struct openai_choice *c, uint32_t choice, struct weir_str type, struct weir_text data)
{
    struct weir_event e = openai_event_of(WEIR_EVENT_BLOCK_START, choice, 0);
    close_block(d, c, choice);
    c->open_kind = WEIR_BLOCK_IMAGE;
    e.block = c->open_block = c->n_blocks++;
    e.block_kind = WEIR_BLOCK_IMAGE;
    e.name = type;
    openai_emit(d, &e);
    emit_delta(d, choice, c->open_block, WEIR_DELTA_TEXT, data);
    close_block(d, c, choice);
}

static void say(struct decoding *d, struct openai_choice *c, uint32_t choice, enum weir_block_kind kind,
                struct weir_text text)
{
    if (!text.n || c->has_finish)
        return;
    open_block(d, c, choice, kind);
    emit_delta(d, choice, c->open_block, WEIR_DELTA_TEXT, text);
}

/* ---- choices ---- */

struct openai_choice *openai_choice_at(struct decoding *d, uint32_t i)
{
    struct openai_attempt *a = d->attempt;
    struct openai_choice *c = &a->first;
    if (i > 0 && i > a->n_more) {
        struct openai_choice *more =
            i < 128 ? d->o.host->alloc(d->o.call, WEIR_FOR_ATTEMPT, 2 * i * sizeof(*more)) : NULL;
        if (!more)
            return NULL;
        if (a->n_more)
            memcpy(more, a->more, a->n_more * sizeof(*more));
        a->more = more;
        a->n_more = 2 * i;
    }
    if (i > 0)
        c = &a->more[i - 1];
    c->is_seen = true;
    return c;
}

static void close_tools(struct decoding *d, struct openai_choice *c, uint32_t choice)
{
    for (uint32_t i = 0; i < c->n_tools; i++) {
        if (c->tools[i].is_open)
            emit_stop(d, choice, c->tools[i].block);
        c->tools[i].is_open = false;
    }
}

void openai_close_blocks(struct decoding *d, struct openai_choice *c, uint32_t choice)
{
    close_block(d, c, choice);
    close_tools(d, c, choice);
}

/* ---- tool calls ---- */

struct call {
    struct weir_str id, name;
    struct weir_text arguments;
    int64_t index; /* -1: not said */
    bool is_custom;
};

static uint32_t hash_of(struct weir_str s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 16777619u;
    return h ? h : 1;
}

static struct openai_tool *add_tool(struct decoding *d, struct openai_choice *c)
{
    if (c->n_tools == c->cap_tools) {
        uint32_t cap = c->cap_tools ? 2 * c->cap_tools : 4;
        struct openai_tool *more = d->o.host->alloc(d->o.call, WEIR_FOR_ATTEMPT, cap * sizeof(*more));
        if (!more)
            return NULL;
        if (c->n_tools)
            memcpy(more, c->tools, c->n_tools * sizeof(*more));
        c->tools = more;
        c->cap_tools = cap;
    }
    return &c->tools[c->n_tools++];
}

/* The call that this piece goes on with; NULL: it begins one. A piece with the id of none and a name begins one too, whatever
 * its index says: some servers give every call index 0, or none at all. */
static struct openai_tool *tool_of(struct openai_choice *c, const struct call *call)
{
    struct openai_tool *found = NULL;
    if (call->index < 0)
        found = c->n_tools ? &c->tools[c->n_tools - 1] : NULL;
    for (uint32_t i = c->n_tools; call->index >= 0 && !found && i-- > 0;)
        found = c->tools[i].index == (uint32_t)call->index ? &c->tools[i] : NULL;
    bool is_other = found && call->id.n && call->name.n && hash_of(call->id) != found->id_hash;
    return is_other ? NULL : found;
}

static struct weir_str own_name(const struct decoding *d, struct weir_str sent)
{
    for (const struct openai_alias *a = d->attempt->aliases; a; a = a->next)
        if (weir_eq(a->sent, sent))
            return a->name;
    return sent;
}

static struct openai_tool *begin_call(struct decoding *d, struct openai_choice *c, uint32_t choice, struct call *call)
{
    struct openai_tool *t = add_tool(d, c);
    if (!t)
        return NULL;
    if (!call->id.n)
        call->id = d->o.host->new_id(d->o.call, "call_");
    *t = (struct openai_tool){ call->index < 0 ? c->n_tools - 1 : (uint32_t)call->index, c->n_blocks++,
                               hash_of(call->id), true };
    c->has_tools = true;
    struct weir_event e = openai_event_of(WEIR_EVENT_BLOCK_START, choice, t->block);
    e.block_kind = WEIR_BLOCK_TOOL_CALL;
    e.id = call->id;
    e.name = own_name(d, call->name);
    if (call->is_custom)
        e.dialect = OPENAI_DIALECT;
    openai_emit(d, &e);
    return t;
}

static void take_call(struct decoding *d, struct openai_choice *c, uint32_t choice, struct call *call)
{
    if (c->has_finish)
        return;
    struct openai_tool *t = d->is_whole ? NULL : tool_of(c, call);
    if (!t) {
        close_block(d, c, choice);
        t = begin_call(d, c, choice, call);
    }
    if (t && call->arguments.n)
        emit_delta(d, choice, t->block, WEIR_DELTA_ARGUMENTS, call->arguments);
    if (t && d->is_whole) { /* nothing more comes of it */
        emit_stop(d, choice, t->block);
        t->is_open = false;
    }
}

/* Arguments are a string; of some servers an object. */
static void read_arguments(const struct weir_json_api *j, struct weir_json *r, struct call *call)
{
    struct weir_str raw;
    if (j->peek(r) == WEIR_JSON_STRING)
        j->text(r, &call->arguments);
    else if (j->raw(r, &raw) && !weir_is(raw, "null"))
        call->arguments = weir_plain(raw);
}

void openai_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

static void read_function(const struct weir_json_api *j, struct weir_json *r, struct call *call)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("name"))
            openai_read_string(j, r, &call->name);
        else if (KEY("arguments") || KEY("input"))
            read_arguments(j, r, call);
        else
            j->skip(r);
    }
}

static void read_call(struct decoding *d, struct weir_json *r, struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    struct call call = { .index = -1 };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("index") && j->peek(r) == WEIR_JSON_NUMBER) {
            j->integer(r, &call.index);
        } else if (KEY("id")) {
            openai_read_string(j, r, &call.id);
        } else if (KEY("function") || KEY("custom")) {
            call.is_custom = KEY("custom");
            read_function(j, r, &call);
        } else {
            j->skip(r);
        }
    }
    if (!j->failed(r))
        take_call(d, c, choice, &call);
}

static void read_calls(struct decoding *d, struct weir_str raw, struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_json *r = raw.n ? j->open(d->o.call, raw) : NULL;
    if (!r || raw.p[0] != '[')
        return;
    for (j->array(r); !d->o.failed && j->element(r);)
        read_call(d, r, c, choice);
    d->broke_off = d->broke_off || !j->close(r);
}

/* The form before there were tools. */
static void read_function_call(struct decoding *d, struct weir_str raw, struct openai_choice *c, uint32_t choice)
{
    struct call call = { .index = -1 };
    struct weir_json *r = d->o.json->open(d->o.call, raw);
    read_function(d->o.json, r, &call);
    take_call(d, c, choice, &call);
}

/* ---- deltas ---- */

/* [{"type":"thinking","thinking":[{"type":"text","text":…}]},{"type":"text","text":…}] (Mistral) */
static void say_parts(struct decoding *d, struct weir_json *r, struct openai_choice *c, uint32_t choice,
                      enum weir_block_kind kind)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct weir_text text;
    for (j->array(r); j->element(r);) {
        if (j->peek(r) != WEIR_JSON_OBJECT)
            continue;
        for (j->object(r); j->member(r, &key);) {
            if (KEY("text") && j->peek(r) == WEIR_JSON_STRING && j->text(r, &text))
                say(d, c, choice, kind, text);
            else if (KEY("thinking") && j->peek(r) == WEIR_JSON_STRING && j->text(r, &text))
                say(d, c, choice, WEIR_BLOCK_THINKING, text);
            else if (KEY("thinking") && j->peek(r) == WEIR_JSON_ARRAY)
                say_parts(d, r, c, choice, WEIR_BLOCK_THINKING);
        }
    }
}

static void take_audio(struct decoding *d, struct weir_str raw, struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct weir_text data = { 0 }, transcript = { 0 };
    struct weir_json *r = j->open(d->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (KEY("data") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &data);
        else if (KEY("transcript") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &transcript);
    }
    if (c->has_finish || (!data.n && !transcript.n))
        return;
    open_block(d, c, choice, WEIR_BLOCK_AUDIO);
    if (data.n)
        emit_delta(d, choice, c->open_block, WEIR_DELTA_AUDIO, data);
    if (transcript.n)
        emit_delta(d, choice, c->open_block, WEIR_DELTA_TRANSCRIPT, transcript);
}

/* Each element of an array as a delta of the open block. */
static void take_each(struct decoding *d, struct weir_json *r, const struct openai_choice *c, uint32_t choice,
                      enum weir_delta_kind kind)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    if (j->peek(r) != WEIR_JSON_ARRAY) {
        j->skip(r);
        return;
    }
    for (j->array(r); j->element(r) && j->raw(r, &raw);)
        if (c->open_kind && !c->has_finish)
            emit_delta(d, choice, c->open_block, kind, weir_plain(raw));
}

static void read_text_or_raw(const struct weir_json_api *j, struct weir_json *r, struct weir_text *text,
                             struct weir_str *raw)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->text(r, text);
    else if (j->peek(r) == WEIR_JSON_ARRAY && raw)
        j->raw(r, raw);
    else
        j->skip(r);
}

void openai_read_object(const struct weir_json_api *j, struct weir_json *r, struct weir_str *raw)
{
    enum weir_json_type type = j->peek(r);
    if (type == WEIR_JSON_OBJECT || type == WEIR_JSON_ARRAY)
        j->raw(r, raw);
    else
        j->skip(r);
}

static void read_delta_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key, struct delta *to)
{
    if (KEY("content"))
        read_text_or_raw(j, r, &to->content, &to->parts);
    else if (KEY("reasoning_content") || (KEY("reasoning") && !to->reasoning.n))
        read_text_or_raw(j, r, &to->reasoning, NULL);
    else if (KEY("tool_calls"))
        openai_read_object(j, r, &to->tool_calls);
    else if (KEY("refusal"))
        read_text_or_raw(j, r, &to->refusal, NULL);
    else if (KEY("function_call"))
        openai_read_object(j, r, &to->function_call);
    else if (KEY("audio"))
        openai_read_object(j, r, &to->audio);
    else if (KEY("annotations"))
        openai_read_object(j, r, &to->annotations);
    else if (KEY("images") && j->peek(r) == WEIR_JSON_ARRAY)
        j->raw(r, &to->images);
    else
        j->skip(r);
}

static void take_rest(struct decoding *d, const struct delta *s, struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    if (s->annotations.n)
        take_each(d, j->open(d->o.call, s->annotations), c, choice, WEIR_DELTA_CITATION);
    say(d, c, choice, WEIR_BLOCK_REFUSAL, s->refusal);
    if (s->audio.n)
        take_audio(d, s->audio, c, choice);
    if (s->images.n)
        openai_read_images(d, s->images, c, choice);
    read_calls(d, s->tool_calls, c, choice);
    if (s->function_call.n)
        read_function_call(d, s->function_call, c, choice);
}

void openai_read_delta(struct decoding *d, struct weir_json *r, struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct delta s;
    memset(&s, 0, sizeof(s));
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);)
        read_delta_member(j, r, key, &s);
    if (j->failed(r))
        return;
    say(d, c, choice, WEIR_BLOCK_THINKING, s.reasoning);
    say(d, c, choice, WEIR_BLOCK_TEXT, s.content);
    if (s.parts.n)
        say_parts(d, j->open(d->o.call, s.parts), c, choice, WEIR_BLOCK_TEXT);
    take_rest(d, &s, c, choice);
}

/* {"content":[…],"refusal":[…]}: each token is a delta of the block that is open. */
void openai_read_logprobs(struct decoding *d, struct weir_str raw, const struct openai_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct weir_json *r = j->open(d->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        if ((KEY("content") && c->open_kind == WEIR_BLOCK_TEXT) ||
            (KEY("refusal") && c->open_kind == WEIR_BLOCK_REFUSAL))
            take_each(d, r, c, choice, WEIR_DELTA_LOGPROBS);
}
