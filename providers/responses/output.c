/* Items of an answer become events: those of a whole answer, and in a stream what an item's end says that its deltas did not. */
#include "decode.h"

/* ---- items ---- */

static void read_item_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key,
                             struct responses_item *item)
{
    if (KEY("type"))
        responses_read_string(j, r, &item->type);
    else if (KEY("id"))
        responses_read_string(j, r, &item->id);
    else if (KEY("call_id"))
        responses_read_string(j, r, &item->call_id);
    else if (KEY("name"))
        responses_read_string(j, r, &item->name);
    else if (KEY("arguments"))
        responses_read_text(j, r, &item->arguments);
    else if (KEY("encrypted_content"))
        responses_read_text(j, r, &item->encrypted);
    else if (KEY("result"))
        responses_read_text(j, r, &item->result);
    else if (KEY("output_format"))
        responses_read_string(j, r, &item->format);
    else if (KEY("content"))
        j->raw(r, &item->content);
    else if (KEY("summary"))
        j->raw(r, &item->summary);
    else
        j->skip(r);
}

bool responses_read_item(struct decoding *d, struct weir_str raw, struct responses_item *item)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    memset(item, 0, sizeof(*item));
    item->raw = raw;
    struct weir_json *r = j->open(d->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        read_item_member(j, r, key, item);
    if (weir_is(item->type, "message"))
        item->kind = OUT_MESSAGE;
    else if (weir_is(item->type, "function_call"))
        item->kind = OUT_CALL;
    else if (weir_is(item->type, "reasoning"))
        item->kind = OUT_REASONING;
    return j->close(r);
}

/* A call stays open until something else begins: what carries its signature may follow it. */
static void stop_done_calls(struct decoding *d)
{
    for (struct responses_open *b = d->attempt->open, *next; b; b = next) {
        next = b->next;
        if (b->is_done)
            responses_stop_block(d, b);
    }
}

/* Reasoning begins with its first words: only at its end it shows whether it is some, or carries the signature of a call. */
void responses_start_item(struct decoding *d, const struct responses_item *item, uint32_t output_index)
{
    struct weir_event e = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    if (responses_find_block(d, output_index, 0))
        return;
    if (item->kind != OUT_REASONING)
        stop_done_calls(d);
    if (item->kind == OUT_CALL) {
        d->attempt->has_calls = true;
        e.id = item->call_id.n ? item->call_id : item->id.n ? item->id : d->o.host->new_id(d->o.call, "call_");
        e.name = responses_own_name(d, item->name);
        struct responses_open *b = responses_start_block(d, WEIR_BLOCK_TOOL_CALL, output_index, 0, &e);
        if (b)
            b->call = d->o.host->keep(d->o.call, e.id);
    }
}

/* ---- messages ---- */

struct part {
    struct weir_str type, annotations, logprobs;
    struct weir_text text;
};

static bool read_part(struct decoding *d, struct weir_json *r, struct part *p)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    memset(p, 0, sizeof(*p));
    for (j->object(r); j->member(r, &key);) {
        if (KEY("type"))
            responses_read_string(j, r, &p->type);
        else if (KEY("text") || KEY("refusal"))
            responses_read_text(j, r, &p->text);
        else if (KEY("annotations"))
            j->raw(r, &p->annotations);
        else if (KEY("logprobs"))
            j->raw(r, &p->logprobs);
        else
            j->skip(r);
    }
    return !j->failed(r);
}

static void say_part(struct decoding *d, const struct part *p, struct responses_open *b)
{
    responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, p->text);
    responses_emit_each(d, b->block, WEIR_DELTA_CITATION, p->annotations);
    responses_emit_each(d, b->block, WEIR_DELTA_LOGPROBS, p->logprobs);
}

/* Its block is open if its beginning was told: blocks stop with their item. */
static void finish_part(struct decoding *d, const struct responses_item *item, const struct part *p,
                        uint32_t output_index, uint32_t content_index)
{
    struct responses_open *b = responses_find_block(d, output_index, content_index);
    struct weir_event e = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    bool is_refusal = weir_is(p->type, "refusal");
    if (!b && !is_refusal && !weir_is(p->type, "output_text"))
        return;
    e.id = responses_known_id(item->id);
    e.dialect = RESPONSES_DIALECT;
    if (!b)
        b = responses_start_block(d, is_refusal ? WEIR_BLOCK_REFUSAL : WEIR_BLOCK_TEXT, output_index, content_index,
                                  &e);
    if (!b)
        return;
    if (!b->has_text)
        say_part(d, p, b);
    responses_stop_block(d, b);
}

static void stop_rest(struct decoding *d, uint32_t output_index)
{
    for (struct responses_open *b = d->attempt->open, *next; b; b = next) {
        next = b->next;
        if (b->output_index == output_index)
            responses_stop_block(d, b);
    }
}

static void finish_message(struct decoding *d, const struct responses_item *item, uint32_t output_index)
{
    const struct weir_json_api *j = d->o.json;
    struct part p;
    uint32_t n = 0;
    if (item->content.n && item->content.p[0] == '[') {
        struct weir_json *r = j->open(d->o.call, item->content);
        for (j->array(r); !d->o.failed && j->element(r) && read_part(d, r, &p); n++)
            finish_part(d, item, &p, output_index, n);
        if (!j->close(r))
            d->o.failed = true;
    }
    stop_rest(d, output_index);
}

/* ---- reasoning and calls ---- */

static void say_texts(struct decoding *d, struct responses_open *b, struct weir_str list)
{
    const struct weir_json_api *j = d->o.json;
    struct part p;
    if (!list.n || list.p[0] != '[')
        return;
    struct weir_json *r = j->open(d->o.call, list);
    for (j->array(r); !d->o.failed && j->element(r) && read_part(d, r, &p);) {
        if (b->has_text && p.text.n)
            responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, WEIR_TEXT("\n\n"));
        b->has_text = b->has_text || p.text.n;
        responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, p.text);
    }
    if (!j->close(r))
        d->o.failed = true;
}

static void emit_signature(struct decoding *d, uint32_t block, struct weir_str dialect, struct weir_text signature)
{
    struct weir_event e = responses_event_of(WEIR_EVENT_DELTA, block);
    e.delta_kind = WEIR_DELTA_SIGNATURE;
    e.text = signature;
    e.dialect = dialect;
    if (signature.n)
        responses_emit(d, &e);
}

static void sign_call(struct decoding *d, struct weir_str call, struct weir_str dialect, struct weir_text signature)
{
    struct responses_open *b = d->attempt->open;
    while (b && !(b->kind == WEIR_BLOCK_TOOL_CALL && weir_eq(b->call, call)))
        b = b->next;
    if (b)
        emit_signature(d, b->block, dialect, signature);
}

/* Behind this provider may stand another weir. */
static void finish_reasoning(struct decoding *d, const struct responses_item *item, uint32_t output_index)
{
    struct weir_text signature = item->encrypted;
    struct weir_str dialect = RESPONSES_DIALECT, call = WEIR_NONE;
    if (responses_open_carrier(&d->o, item->encrypted, &dialect, &call, &signature) && call.n) {
        sign_call(d, call, dialect, signature);
        return;
    }
    struct weir_event e = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    struct responses_open *b = responses_find_block(d, output_index, 0);
    e.id = responses_known_id(item->id);
    if (!b) {
        stop_done_calls(d);
        b = responses_start_block(d, WEIR_BLOCK_THINKING, output_index, 0, &e);
    }
    if (!b || b->kind != WEIR_BLOCK_THINKING)
        return;
    if (!b->has_text)
        say_texts(d, b, item->summary);
    if (!b->has_text)
        say_texts(d, b, item->content);
    emit_signature(d, b->block, dialect, signature);
    responses_stop_block(d, b);
}

static void finish_call(struct decoding *d, const struct responses_item *item, struct responses_open *b)
{
    if (!b->has_text)
        responses_emit_delta(d, b->block, WEIR_DELTA_ARGUMENTS, item->arguments);
    b->is_done = true;
}

/* Tools that the provider runs, and what comes after this was written: only this dialect has a place for them. */
static void tell_opaque(struct decoding *d, const struct responses_item *item, uint32_t output_index)
{
    struct weir_event e = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    e.text = weir_plain(item->raw);
    e.dialect = RESPONSES_DIALECT;
    if (weir_is(item->type, "custom_tool_call"))
        d->attempt->has_calls = true;
    struct responses_open *b = responses_start_block(d, WEIR_BLOCK_OPAQUE, output_index, 0, &e);
    if (b)
        responses_stop_block(d, b);
}

/* What the image tool made, for clients of other dialects. false: it is none. */
static bool tell_image(struct decoding *d, const struct responses_item *item, uint32_t output_index)
{
    const struct weir_conversation *c = d->o.host->conversation(d->o.call);
    bool is_image = weir_is(item->type, "image_generation_call") && item->result.n;
    struct weir_event e = responses_event_of(WEIR_EVENT_BLOCK_START, 0);
    if (!is_image || (c && weir_eq(c->dialect, RESPONSES_DIALECT)))
        return false;
    e.name = d->o.host->format(d->o.call, "image/%.*s", item->format.n ? (int)item->format.n : 3,
                               item->format.n ? item->format.p : "png");
    struct responses_open *b = responses_start_block(d, WEIR_BLOCK_IMAGE, output_index, 0, &e);
    if (!b)
        return true;
    responses_emit_delta(d, b->block, WEIR_DELTA_TEXT, item->result);
    responses_stop_block(d, b);
    return true;
}

void responses_finish_item(struct decoding *d, const struct responses_item *item, uint32_t output_index)
{
    if (item->kind == OUT_MESSAGE) {
        finish_message(d, item, output_index);
        return;
    }
    if (item->kind == OUT_OTHER) {
        if (!tell_image(d, item, output_index))
            tell_opaque(d, item, output_index);
        return;
    }
    if (item->kind == OUT_REASONING) {
        finish_reasoning(d, item, output_index);
        return;
    }
    responses_start_item(d, item, output_index);
    struct responses_open *b = responses_find_block(d, output_index, 0);
    if (b && b->kind == WEIR_BLOCK_TOOL_CALL)
        finish_call(d, item, b);
}

/* ---- the response object ---- */

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

static void read_details(const struct weir_json_api *j, struct weir_json *r, struct weir_usage *u, bool is_input)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("cached_tokens") && is_input)
            read_count(j, r, &u->cached_read);
        else if (KEY("cache_write_tokens") && is_input)
            read_count(j, r, &u->cached_write);
        else if (KEY("audio_tokens"))
            read_count(j, r, is_input ? &u->audio_input : &u->audio_output);
        else if (KEY("reasoning_tokens") && !is_input)
            read_count(j, r, &u->reasoning);
        else
            j->skip(r);
    }
}

static void read_usage(const struct weir_json_api *j, struct weir_json *r, struct weir_usage *u)
{
    struct weir_str key;
    int64_t total = -1;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("input_tokens"))
            read_count(j, r, &u->input);
        else if (KEY("output_tokens"))
            read_count(j, r, &u->output);
        else if (KEY("total_tokens"))
            read_count(j, r, &total);
        else if (KEY("input_tokens_details"))
            read_details(j, r, u, true);
        else if (KEY("output_tokens_details"))
            read_details(j, r, u, false);
        else
            j->skip(r);
    }
    if (u->reasoning > 0 && u->output >= 0 && total == u->input + u->output + u->reasoning)
        u->output += u->reasoning; /* servers exist that count reasoning beside the output */
    if (u->input >= 0 && u->cached_read > u->input)
        u->cached_read = u->input;
}

static void read_reason(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (KEY("reason"))
            responses_read_string(j, r, to);
        else
            j->skip(r);
    }
}

static void read_object_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key,
                               struct responses_object *to)
{
    struct weir_str object = WEIR_NONE;
    if (KEY("id"))
        responses_read_string(j, r, &to->id);
    else if (KEY("model"))
        responses_read_string(j, r, &to->model);
    else if (KEY("status"))
        responses_read_string(j, r, &to->status);
    else if (KEY("created_at"))
        read_count(j, r, &to->created_s);
    else if (KEY("output"))
        j->raw(r, &to->output);
    else if (KEY("usage"))
        read_usage(j, r, &to->usage);
    else if (KEY("incomplete_details"))
        read_reason(j, r, &to->reason);
    else if (KEY("error") && j->peek(r) != WEIR_JSON_NULL)
        j->raw(r, &to->error);
    else if (KEY("input_tokens"))
        read_count(j, r, &to->counted);
    else if (KEY("object") && j->peek(r) == WEIR_JSON_STRING && j->string(r, &object))
        to->is_object = weir_is(object, "response");
    else
        j->skip(r);
}

/* Where several providers could be meant the id tells whose it is, also in bytes that are relayed. */
static void name_id(struct decoding *d, struct responses_object *to)
{
    struct weir_str bytes = d->frame->bytes, id = to->id;
    struct weir_str named = id.n ? d->o.host->id_out(d->o.call, id) : id;
    bool is_inside = id.n && id.p >= bytes.p && id.p + id.n <= bytes.p + bytes.n;
    if (named.n > id.n && is_inside) {
        d->frame->insert = (struct weir_str){ named.p + id.n, named.n - id.n };
        d->frame->insert_offset = (uint32_t)(id.p + id.n - bytes.p);
    }
    d->attempt->names_ids = named.n > id.n;
    to->id = named;
}

bool responses_read_object(struct decoding *d, struct weir_str raw, struct responses_object *to)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    *to = (struct responses_object){ .usage = WEIR_USAGE_UNKNOWN, .counted = -1 };
    struct weir_json *r = j->open(d->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        read_object_member(j, r, key, to);
    to->is_object = to->is_object || to->output.n;
    name_id(d, to);
    return j->close(r);
}

void responses_emit_start(struct decoding *d, const struct responses_object *object)
{
    if (d->attempt->has_started)
        return;
    d->attempt->has_started = true;
    struct weir_event e = responses_event_of(WEIR_EVENT_START, 0);
    e.id = object->id;
    e.name = object->model;
    e.created_s = object->created_s;
    responses_emit(d, &e);
}

/* ---- how it ended ---- */

static void emit_finish(struct decoding *d, const struct responses_object *object)
{
    struct weir_event e = responses_event_of(WEIR_EVENT_FINISH, 0);
    bool is_whole = !object->status.n || weir_is(object->status, "completed") || weir_is(object->status, "complete");
    e.name = object->reason.n ? object->reason : object->status;
    if (is_whole)
        e.finish = d->attempt->has_calls ? WEIR_FINISH_TOOL_CALLS : WEIR_FINISH_STOP;
    else if (weir_is(object->reason, "max_output_tokens"))
        e.finish = WEIR_FINISH_LENGTH;
    else if (weir_is(object->reason, "content_filter"))
        e.finish = WEIR_FINISH_CONTENT_FILTER;
    else
        e.finish = WEIR_FINISH_OTHER;
    responses_emit(d, &e);
}

/* The output as a whole: all there is of a document, and of a stream whose server left its events out. */
static void emit_output(struct decoding *d, struct weir_str output)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str raw;
    struct responses_item item;
    uint32_t n = 0;
    if (!output.n || output.p[0] != '[')
        return;
    struct weir_json *r = j->open(d->o.call, output);
    for (j->array(r); !d->o.failed && j->element(r) && j->raw(r, &raw); n++) {
        if (!responses_read_item(d, raw, &item))
            d->o.failed = true;
        else
            responses_finish_item(d, &item, n);
    }
    if (!j->close(r))
        d->o.failed = true;
}

static bool is_failure(const struct responses_object *object)
{
    return object->error.n || weir_is(object->status, "failed");
}

static void emit_usage(struct decoding *d, const struct responses_object *object)
{
    struct weir_event e = responses_event_of(WEIR_EVENT_USAGE, 0);
    struct weir_usage usage = object->usage;
    if (object->counted >= 0)
        usage.input = object->counted;
    e.usage = &usage;
    if (usage.input >= 0 || usage.output >= 0)
        responses_emit(d, &e);
}

void responses_emit_rest(struct decoding *d, const struct responses_object *object)
{
    struct responses_attempt *a = d->attempt;
    if (is_failure(object)) {
        struct weir_error error = { .size = sizeof(error) };
        responses_read_error(&d->o, d->o.json->open(d->o.call, object->error.n ? object->error : WEIR_LIT("{}")),
                             &error);
        responses_emit_error(d, &error);
        return;
    }
    if (!a->n_blocks)
        emit_output(d, object->output);
    while (a->open)
        responses_stop_block(d, a->open);
    if (object->counted < 0)
        emit_finish(d, object);
    emit_usage(d, object);
    if (d->o.failed)
        return;
    a->has_ended = true;
    struct weir_event e = responses_event_of(WEIR_EVENT_END, 0);
    responses_emit(d, &e);
}
