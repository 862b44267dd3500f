/* The messages of a client's request: parts, calls, results, and the documents beside them. Texts stay where they are in the
 * body; what was made of them is the request's. */
#include "request.h"

struct weir_part *cohere_add_part(struct reading *x, struct weir_message *m, enum weir_part_kind kind)
{
    struct weir_part *p = x->o.host->part_add(x->o.call, m, kind);
    x->o.failed = x->o.failed || !p;
    return p;
}

/* ---- images ---- */

void cohere_take_url(struct reading *x, struct weir_part *p, struct weir_text url)
{
    if (!x->o.host->media_url(x->o.call, p, url))
        x->o.json->reject(x->r, "not a URL or data URI");
}

static void read_image(struct reading *x, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text url;
    struct weir_str key;
    if (j->peek(x->r) == WEIR_JSON_STRING) {
        if (j->text(x->r, &url))
            cohere_take_url(x, p, url);
        return;
    }
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "url")) {
            if (j->text(x->r, &url))
                cohere_take_url(x, p, url);
        } else if (weir_is(key, "detail") && !took_null(x->r, j)) {
            j->string(x->r, &p->detail);
        }
    }
}

/* ---- parts ---- */

/* {"data":…,"id":…}: its text is the data: a string, or the JSON of an object. */
static void read_document(struct reading *x, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "id") && !took_null(x->r, j))
            j->string(x->r, &p->id);
        else if (weir_is(key, "data") && j->peek(x->r) == WEIR_JSON_STRING)
            j->text(x->r, &p->text);
        else if (weir_is(key, "data") && j->raw(x->r, &raw))
            p->text = weir_plain(raw);
    }
}

struct part_read {
    struct weir_str type, first, last;
    bool has_text, has_thinking, has_image, has_document;
};

static void read_part_member(struct reading *x, struct weir_part *p, struct part_read *seen, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    if (weir_is(key, "text") && j->peek(x->r) == WEIR_JSON_STRING) {
        seen->has_text = j->text(x->r, &p->text);
    } else if (weir_is(key, "thinking") && j->peek(x->r) == WEIR_JSON_STRING) {
        seen->has_thinking = j->text(x->r, &p->text);
    } else if (weir_is(key, "image_url")) {
        seen->has_image = !took_null(x->r, j);
        if (seen->has_image)
            read_image(x, p);
    } else if (weir_is(key, "document") && j->peek(x->r) == WEIR_JSON_OBJECT) {
        seen->has_document = true;
        read_document(x, p);
    } else {
        struct weir_str raw = WEIR_NONE;
        j->raw(x->r, &raw);
        seen->last = raw;
        if (weir_is(key, "type"))
            seen->type = raw;
        else if (raw.n)
            j->leave(x->r, raw);
    }
}

/* What a part of this type is; false: it lacks what its type names. */
static bool name_part(struct weir_part *p, const struct part_read *seen)
{
    if (weir_is(seen->type, "\"text\"")) {
        p->kind = WEIR_PART_TEXT;
        return seen->has_text;
    }
    if (weir_is(seen->type, "\"thinking\"")) {
        p->kind = WEIR_PART_THINKING;
        return seen->has_thinking;
    }
    if (weir_is(seen->type, "\"image_url\"")) {
        p->kind = WEIR_PART_IMAGE;
        return seen->has_image && (p->url.n || p->data.n);
    }
    if (weir_is(seen->type, "\"document\"")) {
        p->kind = WEIR_PART_TEXT;
        p->name = COHERE_DOCUMENT;
        p->dialect = COHERE_DIALECT;
        return seen->has_document && p->text.n;
    }
    return true;
}

/* {first … last} as it stands in the body, from its first key and its last value; n 0 if that can't be told. */
static struct weir_str object_of(const struct reading *x, struct weir_str first, struct weir_str last)
{
    if (!cohere_is_inside(x, first) || !cohere_is_inside(x, last))
        return WEIR_NONE;
    const char *from = first.p - 1, *end = last.p + last.n;
    while (*from != '{')
        from--;
    while (*end != '}')
        end++;
    return (struct weir_str){ from, (size_t)(end - from) + 1 };
}

static void read_part(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct part_read seen = { .type = WEIR_NONE };
    struct weir_str key;
    struct weir_part *p = cohere_add_part(x, m, WEIR_PART_OPAQUE);
    for (j->object(x->r); p && j->member(x->r, &key);) {
        if (!seen.first.p)
            seen.first = key;
        seen.last = WEIR_NONE;
        read_part_member(x, p, &seen, key);
    }
    if (!p || j->failed(x->r))
        return;
    if (!seen.type.n)
        j->reject(x->r, "has no \"type\"; a part is {\"type\":\"text\",\"text\":…} or another known type");
    else if (!name_part(p, &seen))
        j->reject(x->r, "lacks the member that its \"type\" names");
    if (p->kind != WEIR_PART_OPAQUE)
        return;
    p->dialect = COHERE_DIALECT;
    p->raw = object_of(x, seen.first, seen.last);
    if (!p->raw.n)
        j->reject(x->r, "is of a type that is not known");
}

void cohere_read_content(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_part *p;
    switch (j->peek(x->r)) {
    case WEIR_JSON_NULL:
        j->null(x->r);
        break;
    case WEIR_JSON_STRING:
        p = cohere_add_part(x, m, WEIR_PART_TEXT);
        if (p)
            j->text(x->r, &p->text);
        break;
    case WEIR_JSON_ARRAY:
        for (j->array(x->r); !x->o.failed && j->element(x->r);)
            read_part(x, m);
        break;
    default:
        j->skip(x->r);
        j->reject(x->r, "must be a string or an array of content parts");
    }
}

/* ---- calls ---- */

static void read_function(struct reading *x, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "name"))
            j->string(x->r, &p->name);
        else if (weir_is(key, "arguments") && j->peek(x->r) == WEIR_JSON_STRING)
            j->text(x->r, &p->text);
        else if (weir_is(key, "arguments") && !took_null(x->r, j) && j->raw(x->r, &raw))
            p->text = weir_plain(raw); /* some clients send the object itself */
    }
}

/* The id may carry what another dialect's provider signed: of the call itself, and of the thought before it. */
static void read_id(struct reading *x, struct weir_part *p)
{
    struct cohere_signed call = { WEIR_NONE, WEIR_NONE };
    struct weir_str id;
    if (!x->o.json->string(x->r, &id))
        return;
    p->id = cohere_unmark_id(id, &x->thought, &call);
    x->client->has_foreign = x->client->has_foreign || p->id.n != id.n;
    if (!call.signature.n)
        return;
    p->signature = weir_plain(call.signature);
    p->dialect = call.dialect;
}

/* The last thought before the calls gets its signature back. */
static void sign_thought(struct reading *x, struct weir_message *m)
{
    struct weir_part *thought = NULL;
    for (struct weir_part *p = m->parts; p && p->kind != WEIR_PART_TOOL_CALL; p = p->next)
        if (p->kind == WEIR_PART_THINKING)
            thought = p;
    if (thought && x->thought.signature.n) {
        thought->signature = weir_plain(x->thought.signature);
        thought->dialect = x->thought.dialect;
    }
    x->thought = (struct cohere_signed){ WEIR_NONE, WEIR_NONE };
}

static void read_call(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_part *p = cohere_add_part(x, m, WEIR_PART_TOOL_CALL);
    if (!p)
        return;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "type"))
            j->skip(x->r);
        else if (weir_is(key, "function"))
            read_function(x, p);
        else if (weir_is(key, "id") && !took_null(x->r, j))
            read_id(x, p);
    }
    if (!p->name.n)
        j->reject(x->r, "must be {\"id\":…,\"type\":\"function\",\"function\":{\"name\":…,\"arguments\":…}}");
}

static void read_calls(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_call(x, m);
}

static void read_plan(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text;
    if (took_null(x->r, j) || !j->text(x->r, &text) || !text.n)
        return;
    struct weir_part *p = cohere_add_part(x, m, WEIR_PART_TEXT);
    if (!p)
        return;
    p->text = text;
    p->name = COHERE_PLAN;
    p->dialect = COHERE_DIALECT;
}

/* ---- messages ---- */

struct message_read {
    bool has_role, has_content, has_calls;
    struct weir_str tool_call_id;
};

static void read_role(struct reading *x, struct weir_message *m, struct message_read *seen)
{
    struct weir_str role;
    if (!x->o.json->string(x->r, &role))
        return;
    seen->has_role = true;
    if (weir_is(role, "system"))
        m->role = WEIR_ROLE_SYSTEM;
    else if (weir_is(role, "user"))
        m->role = WEIR_ROLE_USER;
    else if (weir_is(role, "assistant"))
        m->role = WEIR_ROLE_ASSISTANT;
    else if (weir_is(role, "tool"))
        m->role = WEIR_ROLE_TOOL;
    else
        x->o.json->reject(x->r, "must be one of system, user, assistant, tool");
}

static void read_message_member(struct reading *x, struct weir_message *m, struct message_read *seen,
                                struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    if (weir_is(key, "role")) {
        read_role(x, m, seen);
    } else if (weir_is(key, "content")) {
        seen->has_content = j->peek(x->r) != WEIR_JSON_NULL;
        cohere_read_content(x, m);
    } else if (weir_is(key, "tool_plan")) {
        read_plan(x, m);
    } else if (weir_is(key, "tool_calls")) {
        seen->has_calls = true;
        read_calls(x, m);
    } else if (weir_is(key, "tool_call_id")) {
        if (!took_null(x->r, j))
            j->string(x->r, &seen->tool_call_id);
    } else {
        cohere_read_ext(x, x->o.host->format(x->o.call, "messages[%u].", x->n_messages), key);
    }
}

/* What was said comes before the plan, and both before the calls, however their keys were ordered; what is empty says nothing. */
static void sort_parts(struct weir_message *m)
{
    struct weir_part *lists[3] = { NULL, NULL, NULL }, **ends[3] = { &lists[0], &lists[1], &lists[2] };
    for (struct weir_part *p = m->parts, *next; p; p = next) {
        next = p->next;
        p->next = NULL;
        int rank = p->kind == WEIR_PART_TOOL_CALL ? 2 : weir_eq(p->name, COHERE_PLAN) ? 1 : 0;
        if (p->kind == WEIR_PART_TEXT && !p->text.n)
            continue;
        *ends[rank] = p;
        ends[rank] = &p->next;
    }
    *ends[1] = lists[2];
    *ends[0] = lists[1];
    m->parts = lists[0];
}

static void wrap_result(struct reading *x, struct weir_message *m, const struct message_read *seen)
{
    struct weir_part *content = m->parts;
    m->parts = NULL;
    struct weir_part *result = cohere_add_part(x, m, WEIR_PART_TOOL_RESULT);
    if (!result)
        return;
    struct cohere_signed unused = { WEIR_NONE, WEIR_NONE };
    result->parts = content;
    result->id = cohere_unmark_id(seen->tool_call_id, &unused, &unused);
}

static void check_message(struct reading *x, const struct weir_message *m, const struct message_read *seen)
{
    const struct weir_host *h = x->o.host;
    uint32_t i = x->n_messages;
    if (!seen->has_role)
        cohere_fail_at(x, h->format(x->o.call, "messages[%u].role", i),
                       "is missing; say system, user, assistant or tool");
    else if (m->role == WEIR_ROLE_TOOL && !seen->tool_call_id.n)
        cohere_fail_at(x, h->format(x->o.call, "messages[%u].tool_call_id", i),
                       "is missing; name the call that this is the result of");
    else if (!seen->has_content && m->role != WEIR_ROLE_ASSISTANT)
        cohere_fail_at(x, h->format(x->o.call, "messages[%u].content", i),
                       "is missing; send a string or an array of parts");
}

static void read_message(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct message_read seen = { .has_role = false };
    struct weir_str key;
    struct weir_message *m = x->o.host->message_add(x->o.call, WEIR_ROLE_USER);
    if (!m) {
        x->o.failed = true;
        return;
    }
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);)
        read_message_member(x, m, &seen, key);
    if (x->o.failed || j->failed(x->r))
        return;
    check_message(x, m, &seen);
    if (m->role == WEIR_ROLE_TOOL)
        wrap_result(x, m, &seen);
    else if (m->role == WEIR_ROLE_ASSISTANT)
        sort_parts(m);
    sign_thought(x, m);
    if (m->role == WEIR_ROLE_USER)
        x->last_user = m;
    x->n_messages++;
}

/* Behind the '[' of the array that follows this key: the place where a system message can be put. */
static uint32_t array_behind(const struct reading *x, struct weir_str key)
{
    if (!cohere_is_inside(x, key))
        return 0;
    const char *end = x->body.p + x->body.n, *p = key.p + key.n + 1;
    while (p < end && *p != '[')
        p++;
    return (uint32_t)(p - x->body.p) + 1;
}

void cohere_read_messages(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t at = array_behind(x, key);
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_message(x);
    if (!j->failed(x->r))
        x->client->messages_at = at;
}
