/* The messages of a client's request: parts, tool calls, results. Texts stay where they are in the body; what was made of them is
 * the request's. */
#include "request.h"

static void read_message_ext(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        openai_add_ext(x, x->o.host->format(x->o.call, "messages[%u].%.*s", x->n_messages, (int)key.n, key.p), key,
                       raw);
}

/* A member of the n-th element of a list in a message that nobody knows; what isn't a key or value of the body has no place there. */
static void add_nested_ext(struct reading *x, const char *list, uint32_t n, const char *inner, struct weir_str key,
                           struct weir_str raw)
{
    openai_add_ext(x, x->o.host->format(x->o.call, "messages[%u].%s[%u].%s%.*s", x->n_messages, list, n, inner, (int)key.n, key.p),
                   key, raw);
}

/* ---- content parts ---- */

static struct weir_part *add_part(struct reading *x, struct weir_message *m, enum weir_part_kind kind)
{
    struct weir_part *p = x->o.host->part_add(x->o.call, m, kind);
    x->o.failed = x->o.failed || !p;
    return p;
}

static void take_url(struct reading *x, struct weir_json *r, struct weir_part *p, struct weir_text url)
{
    if (!x->o.host->media_url(x->o.call, p, url))
        x->o.json->reject(r, "not a URL or data URI");
}

/* {"url":…,"detail":…}, or as some servers take it: the URL itself. */
static void read_image(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text url;
    struct weir_str key;
    if (j->peek(r) == WEIR_JSON_STRING) {
        if (j->text(r, &url))
            take_url(x, r, p, url);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "url")) {
            if (j->text(r, &url))
                take_url(x, r, p, url);
        } else if (weir_is(key, "detail") && !took_null(r, j)) {
            j->string(r, &p->detail);
        }
    }
}

static void read_audio(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, format;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "data"))
            j->text(r, &p->data);
        else if (weir_is(key, "format") && j->string(r, &format))
            p->media_type = weir_is(format, "mp3")
                                ? WEIR_LIT("audio/mpeg")
                                : x->o.host->format(x->o.call, "audio/%.*s", (int)format.n, format.p);
    }
}

static void read_file(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_text data;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "file_data") && !took_null(r, j)) {
            if (!j->text(r, &data))
                continue;
            if (!x->o.host->media_url(x->o.call, p, data)) {
                p->data = data; /* bare base64 */
                p->media_type = WEIR_LIT("application/pdf");
            }
            if (p->url.n) /* as OpenRouter takes it; OpenAI doesn't */
                p->dialect = OPENAI_DIALECT;
        } else if (weir_is(key, "file_id") && !took_null(r, j)) {
            j->string(r, &p->file_id);
            p->dialect = OPENAI_DIALECT;
        } else if (weir_is(key, "filename") && !took_null(r, j)) {
            j->string(r, &p->name);
        }
    }
}

static enum weir_part_kind kind_of(struct weir_str type)
{
    static const struct {
        const char *name;
        enum weir_part_kind kind;
    } kinds[] = {
        { "\"text\"", WEIR_PART_TEXT },         { "\"image_url\"", WEIR_PART_IMAGE },
        { "\"input_audio\"", WEIR_PART_AUDIO }, { "\"refusal\"", WEIR_PART_REFUSAL },
        { "\"file\"", WEIR_PART_FILE },
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (weir_is(type, kinds[i].name))
            return kinds[i].kind;
    return WEIR_PART_OPAQUE;
}

/* The member of a part that carries its content. */
static bool is_payload(enum weir_part_kind kind, struct weir_str key)
{
    switch (kind) {
    case WEIR_PART_TEXT:
        return weir_is(key, "text");
    case WEIR_PART_REFUSAL:
        return weir_is(key, "refusal");
    case WEIR_PART_IMAGE:
        return weir_is(key, "image_url");
    case WEIR_PART_AUDIO:
        return weir_is(key, "input_audio");
    case WEIR_PART_FILE:
        return weir_is(key, "file");
    default:
        return false;
    }
}

static bool is_any_payload(struct weir_str key)
{
    return is_payload(WEIR_PART_TEXT, key) || is_payload(WEIR_PART_REFUSAL, key) || is_payload(WEIR_PART_IMAGE, key) ||
           is_payload(WEIR_PART_AUDIO, key) || is_payload(WEIR_PART_FILE, key);
}

static void read_payload(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        x->o.json->text(r, &p->text);
        break;
    case WEIR_PART_IMAGE:
        read_image(x, r, p);
        break;
    case WEIR_PART_AUDIO:
        read_audio(x, r, p);
        break;
    default:
        read_file(x, r, p);
        break;
    }
}

/* One part. Its type nearly always stands first; members before it are looked at again once it is known. `from` and `to` are the
 * part's own bytes, kept for types that only this dialect has. */
static void read_part(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw, type = WEIR_NONE, early = WEIR_NONE, first = WEIR_NONE, last = WEIR_NONE;
    struct weir_part *p = add_part(x, m, WEIR_PART_OPAQUE);
    bool has_payload = false;
    for (j->object(x->r); p && j->member(x->r, &key);) {
        if (!first.p)
            first = key;
        if (type.n && is_payload(p->kind, key)) {
            has_payload = true;
            read_payload(x, x->r, p);
        } else if (j->raw(x->r, &raw)) {
            last = raw;
            if (weir_is(key, "type")) {
                type = raw;
                p->kind = kind_of(type);
            } else if (weir_is(key, "prompt_cache_breakpoint")) {
                p->flags |= WEIR_PART_CACHE_MARK;
                p->dialect = OPENAI_DIALECT;
            } else if (!type.n && is_any_payload(key)) {
                early = raw;
            } else if (!type.n) {
                j->leave(x->r, raw);
            } else if (p->kind != WEIR_PART_OPAQUE) {
                add_nested_ext(x, "content", x->n_parts, "", key, raw);
            }
        }
    }
    if (!p || j->failed(x->r))
        return;
    if (p->kind == WEIR_PART_OPAQUE) {
        p->dialect = OPENAI_DIALECT;
        p->raw = openai_object_of(x, first, last);
        if (!type.n)
            j->reject(x->r, "has no \"type\"; a part is {\"type\":\"text\",\"text\":…} or another known type");
    } else if (!has_payload && early.n) {
        struct weir_json *again = j->open(x->o.call, early);
        read_payload(x, again, p);
        if (!j->close(again))
            j->reject(x->r, "is not what a part of this type looks like");
    } else if (!has_payload) {
        j->reject(x->r, "lacks the member that its \"type\" names");
    }
}

static bool read_content(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_part *p;
    switch (j->peek(x->r)) {
    case WEIR_JSON_NULL:
        j->null(x->r);
        return false;
    case WEIR_JSON_STRING:
        p = add_part(x, m, WEIR_PART_TEXT);
        if (p)
            j->text(x->r, &p->text);
        return true;
    case WEIR_JSON_ARRAY:
        x->n_parts = 0;
        for (j->array(x->r); !x->o.failed && j->element(x->r); x->n_parts++)
            read_part(x, m);
        return true;
    default:
        j->skip(x->r);
        j->reject(x->r, "must be a string or an array of content parts");
        return false;
    }
}

/* ---- tool calls ---- */

static bool read_function(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "name"))
            j->string(r, &p->name);
        else if (weir_is(key, "arguments") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &p->text);
        else if (weir_is(key, "arguments") && j->raw(r, &raw)) /* some clients send the object itself */
            p->text = weir_plain(raw);
        else if (!weir_is(key, "arguments") && j->raw(r, &raw))
            add_nested_ext(x, "tool_calls", x->n_calls, "function.", key, raw);
    }
    return p->name.n > 0;
}

static void read_tool_call(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, key, value;
    struct weir_part *p = add_part(x, m, WEIR_PART_TOOL_CALL);
    if (!p || !j->raw(x->r, &raw))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    bool has_function = false;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "id")) {
            j->string(r, &p->id);
        } else if (weir_is(key, "function")) {
            has_function = read_function(x, r, p);
        } else if (weir_is(key, "custom")) { /* a tool of free text */
            p->kind = WEIR_PART_OPAQUE;
            p->dialect = OPENAI_DIALECT;
            p->raw = raw;
        } else if (weir_is(key, "extra_content")) {
            openai_read_extra(x, r, p);
        } else if (weir_is(key, "type") || weir_is(key, "index")) {
            j->skip(r);
        } else if (j->raw(r, &value)) {
            add_nested_ext(x, "tool_calls", x->n_calls, "", key, value);
        }
    }
    if (!j->close(r) || (p->kind == WEIR_PART_TOOL_CALL && !has_function))
        j->reject_inside(x->r, r, "must be {\"id\":…,\"type\":\"function\",\"function\":{\"name\":…,\"arguments\":\"…\"}}");
}

static void read_tool_calls(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    x->n_calls = 0;
    for (j->array(x->r); !x->o.failed && j->element(x->r); x->n_calls++)
        read_tool_call(x, m);
}

/* ---- messages ---- */

struct message_read {
    bool has_role, has_content, is_tool, is_function, has_reasoning, has_calls, is_out_of_order, has_details;
    struct weir_str tool_call_id;
};

static void read_role(struct reading *x, struct weir_message *m, struct message_read *seen)
{
    struct weir_str role;
    if (!x->o.json->string(x->r, &role))
        return;
    seen->has_role = true;
    if (weir_is(role, "user"))
        m->role = WEIR_ROLE_USER;
    else if (weir_is(role, "assistant"))
        m->role = WEIR_ROLE_ASSISTANT;
    else if (weir_is(role, "system") || weir_is(role, "developer"))
        m->role = WEIR_ROLE_SYSTEM;
    else if (weir_is(role, "tool") || weir_is(role, "function"))
        m->role = WEIR_ROLE_TOOL;
    else
        x->o.json->reject(x->r, "must be one of system, developer, user, assistant, tool");
    seen->is_tool = m->role == WEIR_ROLE_TOOL;
    seen->is_function = weir_is(role, "function");
}

static void read_text_part(struct reading *x, struct weir_message *m, enum weir_part_kind kind)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text;
    if (took_null(x->r, j) || !j->text(x->r, &text) || !text.n)
        return;
    struct weir_part *p = add_part(x, m, kind);
    if (p) {
        p->text = text;
        p->dialect = kind == WEIR_PART_THINKING ? OPENAI_DIALECT : WEIR_NONE;
    }
}

/* Signed thoughts, or a member that nobody knows. */
static void read_details(struct reading *x, struct weir_message *m, struct message_read *seen, struct weir_str key)
{
    struct weir_str raw;
    if (!x->o.json->raw(x->r, &raw))
        return;
    if (openai_read_details(x, m, raw))
        seen->has_details = true;
    else
        openai_add_ext(x, x->o.host->format(x->o.call, "messages[%u].%.*s", x->n_messages, (int)key.n, key.p), key, raw);
}

/* function_call and audio of an assistant: nothing that another dialect has. */
static void read_own_part(struct reading *x, struct weir_message *m, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    if (took_null(x->r, j) || !j->raw(x->r, &raw))
        return;
    struct weir_part *p = add_part(x, m, WEIR_PART_OPAQUE);
    if (!p)
        return;
    p->name = key;
    p->raw = raw;
    p->dialect = OPENAI_DIALECT;
}

static void read_message_member(struct reading *x, struct weir_message *m, struct message_read *seen,
                                struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    if (weir_is(key, "role")) {
        read_role(x, m, seen);
    } else if (weir_is(key, "content")) {
        seen->is_out_of_order = seen->has_calls;
        seen->has_content = read_content(x, m);
    } else if (weir_is(key, "tool_calls")) {
        seen->has_calls = true;
        read_tool_calls(x, m);
    } else if (weir_is(key, "tool_call_id") && !took_null(x->r, j)) {
        j->string(x->r, &seen->tool_call_id);
    } else if (weir_is(key, "name") && !took_null(x->r, j)) {
        j->string(x->r, &m->name);
    } else if (weir_is(key, "refusal")) {
        read_text_part(x, m, WEIR_PART_REFUSAL);
    } else if ((weir_is(key, "reasoning_content") || weir_is(key, "reasoning")) && j->peek(x->r) == WEIR_JSON_STRING) {
        if (seen->has_reasoning)
            j->skip(x->r); /* under both names: once is enough */
        else
            read_text_part(x, m, WEIR_PART_THINKING);
        seen->has_reasoning = true;
    } else if (weir_is(key, "reasoning_details") || weir_is(key, "thinking_blocks")) {
        read_details(x, m, seen, key);
    } else if (weir_is(key, "function_call") || weir_is(key, "audio")) {
        read_own_part(x, m, key);
    } else if (!weir_is(key, "tool_call_id") && !weir_is(key, "name")) {
        read_message_ext(x, key);
    }
}

/* What was read of a tool's message becomes the content of its one result. */
static void wrap_result(struct reading *x, struct weir_message *m, const struct message_read *seen)
{
    struct weir_part *content = m->parts;
    m->parts = NULL;
    struct weir_part *result = add_part(x, m, WEIR_PART_TOOL_RESULT);
    if (!result)
        return;
    result->parts = content;
    result->id = seen->tool_call_id;
    result->name = m->name;
    m->name = WEIR_NONE;
}

/* In a conversation thoughts come first, then words, then calls, however their keys were ordered. */
static void sort_parts(struct weir_message *m)
{
    struct weir_part *lists[3] = { NULL, NULL, NULL }, **ends[3] = { &lists[0], &lists[1], &lists[2] };
    for (struct weir_part *p = m->parts, *next; p; p = next) {
        next = p->next;
        p->next = NULL;
        int rank = p->kind == WEIR_PART_THINKING ? 0 : p->kind == WEIR_PART_TOOL_CALL ? 2 : 1;
        *ends[rank] = p;
        ends[rank] = &p->next;
    }
    *ends[1] = lists[2];
    *ends[0] = lists[1];
    m->parts = lists[0];
}

static void check_message(struct reading *x, struct weir_message *m, const struct message_read *seen)
{
    const struct weir_host *h = x->o.host;
    if (x->o.json->failed(x->r) || x->o.failed)
        return;
    uint32_t i = x->n_messages;
    if (!seen->has_role)
        openai_fail_at(x, h->format(x->o.call, "messages[%u].role", i),
                       "is missing; say system, user, assistant or tool");
    else if (seen->is_tool && !seen->is_function && !seen->tool_call_id.n)
        openai_fail_at(x, h->format(x->o.call, "messages[%u].tool_call_id", i),
                       "is missing; name the call that this is the result of");
    else if (!seen->has_content && m->role != WEIR_ROLE_ASSISTANT && !seen->is_tool)
        openai_fail_at(x, h->format(x->o.call, "messages[%u].content", i),
                       "is missing; send a string or an array of parts");
}

static void read_message(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct message_read seen = { 0 };
    struct weir_str key;
    struct weir_message *m = x->o.host->message_add(x->o.call, WEIR_ROLE_USER);
    if (!m) {
        x->o.failed = true;
        return;
    }
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
        read_message_member(x, m, &seen, key);
    check_message(x, m, &seen);
    if (seen.has_details)
        openai_drop_unsigned(m);
    if (seen.is_tool)
        wrap_result(x, m, &seen);
    else if (seen.is_out_of_order || ((seen.has_reasoning || seen.has_details) && m->parts && m->parts->next))
        sort_parts(m);
    x->n_messages++;
}

/* Behind the '[' of the array that follows this key: the place where a system message can be put. */
static uint32_t array_behind(const struct reading *x, struct weir_str key)
{
    if (!openai_is_inside(x, key))
        return 0;
    const char *end = x->body.p + x->body.n, *p = key.p + key.n + 1;
    while (p < end && *p != '[')
        p++;
    return (uint32_t)(p - x->body.p) + 1;
}

void openai_read_messages(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t at = array_behind(x, key);
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_message(x);
    if (!j->failed(x->r))
        x->client->messages_at = at;
}
