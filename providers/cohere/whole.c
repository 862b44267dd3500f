/* A whole answer becomes events: thoughts and words as they stand, the plan, then the calls. Citations stand beside the content
 * and say themselves which piece of it they mean. */
#include "response.h"

struct answer {
    struct weir_str id, finish, message;
    struct weir_str content, calls, citations, logprobs; /* raw */
    struct weir_text plan;
    struct weir_usage usage;
    bool has_message;
};

static void read_message(const struct weir_json_api *j, struct weir_json *r, struct answer *a)
{
    struct weir_str key;
    a->has_message = true;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("content"))
            cohere_read_raw(j, r, WEIR_JSON_ARRAY, &a->content);
        else if (KEY("tool_plan"))
            cohere_read_text(j, r, &a->plan);
        else if (KEY("tool_calls"))
            cohere_read_raw(j, r, WEIR_JSON_ARRAY, &a->calls);
        else if (KEY("citations"))
            cohere_read_raw(j, r, WEIR_JSON_ARRAY, &a->citations);
        else
            j->skip(r);
    }
}

static void read_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct answer *a)
{
    const struct weir_json_api *j = d->o.json;
    if (KEY("id"))
        cohere_read_string(j, r, &a->id);
    else if (KEY("message") && j->peek(r) == WEIR_JSON_OBJECT)
        read_message(j, r, a);
    else if (KEY("message"))
        cohere_read_string(j, r, &a->message);
    else if (KEY("finish_reason"))
        cohere_read_string(j, r, &a->finish);
    else if (KEY("usage") && j->peek(r) == WEIR_JSON_OBJECT)
        cohere_read_usage(d, r, &a->usage);
    else if (KEY("logprobs"))
        cohere_read_raw(j, r, WEIR_JSON_ARRAY, &a->logprobs);
    else
        j->skip(r);
}

/* ---- content ---- */

static void tell_content(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_text text = { NULL, 0, 0 }, thinking = text;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (KEY("text"))
            cohere_read_text(j, r, &text);
        else if (KEY("thinking"))
            cohere_read_text(j, r, &thinking);
        else
            j->skip(r);
    }
    if (j->failed(r))
        return;
    cohere_say(d, WEIR_BLOCK_THINKING, false, thinking);
    cohere_say(d, WEIR_BLOCK_TEXT, false, text);
    d->attempt->is_ended = true; /* the next piece is one of its own */
}

static void tell_call(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key, id = WEIR_NONE, name = WEIR_NONE;
    struct weir_text arguments = { NULL, 0, 0 };
    for (j->object(r); j->member(r, &key);) {
        if (KEY("id")) {
            cohere_read_string(j, r, &id);
        } else if (KEY("function") && j->peek(r) == WEIR_JSON_OBJECT) {
            for (j->object(r); j->member(r, &key);)
                if (KEY("name"))
                    cohere_read_string(j, r, &name);
                else if (KEY("arguments"))
                    cohere_read_text(j, r, &arguments);
        }
    }
    if (j->failed(r))
        return;
    cohere_begin_call(d, id, name);
    if (arguments.n)
        cohere_emit_delta(d, WEIR_DELTA_ARGUMENTS, arguments);
    cohere_close_block(d);
}

static void tell_citation(struct decoding *d, struct weir_json *r)
{
    struct weir_str raw;
    if (d->o.json->raw(r, &raw))
        cohere_attach(d, WEIR_DELTA_CITATION, raw);
}

static void tell_logprobs(struct decoding *d, struct weir_json *r)
{
    struct weir_str raw;
    if (d->o.json->raw(r, &raw))
        cohere_attach(d, WEIR_DELTA_LOGPROBS, raw);
}

static bool each(struct decoding *d, struct weir_str list, void (*tell)(struct decoding *, struct weir_json *))
{
    const struct weir_json_api *j = d->o.json;
    struct weir_json *r = list.n ? j->open(d->o.call, list) : NULL;
    if (!r)
        return true;
    for (j->array(r); !d->o.failed && j->element(r);)
        tell(d, r);
    return !d->o.failed && j->close(r);
}

static int tell_answer(struct decoding *d, const struct answer *a)
{
    cohere_emit_start(d, a->id);
    if (!each(d, a->content, tell_content) || !each(d, a->logprobs, tell_logprobs) ||
        !each(d, a->citations, tell_citation))
        return -1;
    cohere_say(d, WEIR_BLOCK_TEXT, true, a->plan);
    if (!each(d, a->calls, tell_call))
        return -1;
    if (cohere_finish(d, a->finish, WEIR_NONE, &a->usage))
        cohere_emit_end(d);
    return d->o.failed ? -1 : 0;
}

int cohere_decode_whole(struct decoding *d, struct weir_str body)
{
    const struct weir_json_api *j = d->o.json;
    struct weir_str key;
    struct answer a;
    memset(&a, 0, sizeof(a));
    a.usage = WEIR_USAGE_UNKNOWN;
    struct weir_json *r = j->open(d->o.call, body);
    for (j->object(r); j->member(r, &key);)
        read_member(d, r, key, &a);
    if (!j->close(r))
        return -1;
    if (!a.has_message && a.message.n)
        return cohere_emit_error(d, a.message, WEIR_NONE);
    return a.has_message && a.finish.n ? tell_answer(d, &a) : -1;
}
