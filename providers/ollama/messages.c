/* The messages of a client's request. Calls and results find each other by id; older clients send none, so a call without one
 * gets a name made of its number, and a result without one belongs to the oldest open call of its tool. */
#include "request.h"

struct weir_part *ollama_add_part(struct reading *x, struct weir_message *m, enum weir_part_kind kind)
{
    struct weir_part *p = x->o.host->part_add(x->o.call, m, kind);
    x->o.failed = x->o.failed || !p;
    return p;
}

/* ---- images ---- */

/* They come as bare base64: what they are is told by how they begin. */
static struct weir_str media_type_of(const struct weir_text *t)
{
    static const struct {
        const char *begin, *type;
    } known[] = {
        { "iVBOR", "image/png" },  { "/9j/", "image/jpeg" }, { "\\/9j", "image/jpeg" }, { "R0lGOD", "image/gif" },
        { "UklGR", "image/webp" }, { "Qk", "image/bmp" },    { "SUkq", "image/tiff" },  { "TU0AK", "image/tiff" },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (t->n >= strlen(known[i].begin) && memcmp(t->p, known[i].begin, strlen(known[i].begin)) == 0)
            return weir_cstr(known[i].type);
    return WEIR_LIT("image/jpeg");
}

static void read_images(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);) {
        struct weir_text data;
        if (!j->text(x->r, &data))
            return;
        if (data.n >= 5 && memcmp(data.p, "data:", 5) == 0) {
            j->reject(x->r, "must be base64 without a data: prefix");
            return;
        }
        if (!data.n) {
            j->reject(x->r, "is empty");
            return;
        }
        struct weir_part *p = ollama_add_part(x, m, WEIR_PART_IMAGE);
        if (!p)
            return;
        p->data = data;
        p->media_type = media_type_of(&data);
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
        else if (weir_is(key, "arguments") && j->peek(x->r) == WEIR_JSON_OBJECT && j->raw(x->r, &raw))
            p->text = weir_plain(raw);
        else if (weir_is(key, "arguments") && !took_null(x->r, j) &&
                 !(j->peek(x->r) == WEIR_JSON_STRING && j->text(x->r, &p->text)))
            j->reject(x->r, "must be an object");
    }
}

/* The id may carry what another dialect's provider signed: of the call itself, and of the thought before it. */
static void read_id(struct reading *x, struct weir_part *p)
{
    struct ollama_signed call = { WEIR_NONE, WEIR_NONE };
    struct weir_str id;
    if (!x->o.json->string(x->r, &id))
        return;
    p->id = ollama_unmark_id(id, &x->thought, &call);
    x->client->has_foreign = x->client->has_foreign || p->id.n != id.n;
    if (!call.signature.n)
        return;
    p->signature = weir_plain(call.signature);
    p->dialect = call.dialect;
}

/* The thought before the calls gets its signature back. */
static void sign_thought(struct reading *x, struct weir_message *m)
{
    struct weir_part *thought = NULL;
    for (struct weir_part *p = m->parts; p && !thought; p = p->next)
        thought = p->kind == WEIR_PART_THINKING ? p : NULL;
    if (thought && x->thought.signature.n) {
        thought->signature = weir_plain(x->thought.signature);
        thought->dialect = x->thought.dialect;
    }
    x->thought = (struct ollama_signed){ WEIR_NONE, WEIR_NONE };
}

static void read_call(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_part *p = ollama_add_part(x, m, WEIR_PART_TOOL_CALL);
    if (!p)
        return;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "function"))
            read_function(x, p);
        else if (weir_is(key, "id") && !took_null(x->r, j))
            read_id(x, p);
    }
    if (!p->name.n)
        j->reject(x->r, "must be {\"function\":{\"name\":…,\"arguments\":{…}}}");
    if (!p->id.n)
        p->id = x->o.host->format(x->o.call, "call_%u", x->n_calls);
    x->n_calls++;
}

static void read_calls(struct reading *x, struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_call(x, m);
}

/* ---- results ---- */

/* The oldest call of the last turn with calls that no result without an id has taken yet; of this tool, if its name was said.
 * Only the turn's first calls are looked at: a body made of results may not cost the square of its length. */
static const struct weir_part *take_open_call(struct reading *x, struct weir_str name)
{
    uint32_t i = 0;
    for (const struct weir_part *p = x->turn ? x->turn->parts : NULL; p && i < 64; p = p->next) {
        if (p->kind != WEIR_PART_TOOL_CALL)
            continue;
        uint64_t bit = UINT64_C(1) << i++;
        if ((x->taken & bit) || (name.n && !weir_eq(p->name, name)))
            continue;
        x->taken |= bit;
        return p;
    }
    return NULL;
}

static const struct weir_part *call_of(const struct reading *x, struct weir_str id)
{
    uint32_t i = 0;
    for (const struct weir_part *p = x->turn ? x->turn->parts : NULL; p && i < 64; p = p->next, i++)
        if (p->kind == WEIR_PART_TOOL_CALL && weir_eq(p->id, id))
            return p;
    return NULL;
}

struct message_read {
    bool has_role, is_tool, has_content, has_calls;
    struct weir_str id, tool_name;
};

/* What was read of a tool's message becomes the content of its one result. */
static void wrap_result(struct reading *x, struct weir_message *m, const struct message_read *seen)
{
    const struct weir_part *call = seen->id.n ? NULL : take_open_call(x, seen->tool_name);
    struct weir_part *content = m->parts;
    m->parts = NULL;
    struct weir_part *result = ollama_add_part(x, m, WEIR_PART_TOOL_RESULT);
    if (!result)
        return;
    result->parts = content;
    result->id = call ? call->id : seen->id;
    if (!call && !(seen->id.n && call_of(x, seen->id)))
        result->name = seen->tool_name; /* else the call tells it */
    if (!result->id.n)
        result->id = x->o.host->format(x->o.call, "call_%u", x->n_calls++);
}

/* ---- messages ---- */

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
    seen->is_tool = m->role == WEIR_ROLE_TOOL;
}

static void read_text(struct reading *x, struct weir_message *m, enum weir_part_kind kind)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text;
    if (took_null(x->r, j) || !j->text(x->r, &text) || !text.n)
        return;
    struct weir_part *p = ollama_add_part(x, m, kind);
    if (p)
        p->text = text;
}

static void read_member(struct reading *x, struct weir_message *m, struct message_read *seen, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    if (weir_is(key, "role")) {
        read_role(x, m, seen);
    } else if (weir_is(key, "content")) {
        seen->has_content = true;
        read_text(x, m, WEIR_PART_TEXT);
    } else if (weir_is(key, "thinking")) {
        read_text(x, m, WEIR_PART_THINKING);
    } else if (weir_is(key, "images")) {
        seen->has_content = true;
        read_images(x, m);
    } else if (weir_is(key, "tool_calls")) {
        seen->has_calls = true;
        read_calls(x, m);
    } else if (weir_is(key, "tool_name") || weir_is(key, "name")) {
        if (!took_null(x->r, j))
            j->string(x->r, &seen->tool_name);
    } else if (weir_is(key, "tool_call_id")) {
        struct ollama_signed unused = { WEIR_NONE, WEIR_NONE };
        if (!took_null(x->r, j) && j->string(x->r, &seen->id))
            seen->id = ollama_unmark_id(seen->id, &unused, &unused);
    } else {
        ollama_read_ext(x, x->o.host->format(x->o.call, "messages[%u].", x->n_messages), key);
    }
}

/* In a conversation thoughts come first, then words and images, then calls, however their keys were ordered. */
static int rank_of(const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_THINKING:
        return 0;
    case WEIR_PART_TEXT:
        return 1;
    case WEIR_PART_IMAGE:
        return 2;
    default:
        return 3;
    }
}

static void sort_parts(struct weir_message *m)
{
    struct weir_part *lists[4] = { NULL, NULL, NULL, NULL }, **ends[4] = { &lists[0], &lists[1], &lists[2], &lists[3] };
    for (struct weir_part *p = m->parts, *next; p; p = next) {
        next = p->next;
        p->next = NULL;
        int rank = rank_of(p);
        *ends[rank] = p;
        ends[rank] = &p->next;
    }
    for (int i = 3; i > 0; i--)
        *ends[i - 1] = lists[i];
    m->parts = lists[0];
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
        read_member(x, m, &seen, key);
    if (x->o.failed || j->failed(x->r))
        return;
    if (!seen.has_role)
        ollama_fail_at(x, x->o.host->format(x->o.call, "messages[%u].role", x->n_messages),
                       "is missing; say system, user, assistant or tool");
    else if (!seen.has_content && m->role != WEIR_ROLE_ASSISTANT && !seen.is_tool)
        ollama_fail_at(x, x->o.host->format(x->o.call, "messages[%u].content", x->n_messages),
                       "is missing; send a string");
    if (m->parts && m->parts->next)
        sort_parts(m);
    sign_thought(x, m);
    if (seen.is_tool)
        wrap_result(x, m, &seen);
    if (seen.has_calls) {
        x->turn = m;
        x->taken = 0;
    }
    x->n_messages++;
}

/* Behind the '[' of the array that follows this key: the place where a system message can be put. */
static uint32_t array_behind(const struct reading *x, struct weir_str key)
{
    if (!ollama_is_inside(x, key))
        return 0;
    const char *end = x->body.p + x->body.n, *p = key.p + key.n + 1;
    while (p < end && *p != '[')
        p++;
    return (uint32_t)(p - x->body.p) + 1;
}

void ollama_read_messages(struct reading *x, struct weir_str key)
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
