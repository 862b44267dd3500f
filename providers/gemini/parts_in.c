/* The contents of a client's request. On the wire the results of functions are parts of the user's turn; in a conversation they are
 * messages of their own. Calls need no id here: one without gets one, in order, and its result is found by name and order. */
#include "decode.h"

#define MADE_ID "weir_call_"

struct part {
    struct weir_text text, signature;
    struct weir_str call, result; /* raw */
    struct weir_str own; /* members that only this dialect has: {…} */
    struct weir_str owns[4]; /* the first of their values */
    uint32_t n_owns;
    struct weir_text data;
    struct weir_str media_type, uri, name;
    bool has_text, has_data, is_thought;
};

/* Where the parts of a content go. */
struct filling {
    struct weir_message *message; /* NULL: none yet */
    enum weir_role role;
    bool has_call;
};

struct weir_message *gemini_add_message(struct reading *x, enum weir_role role)
{
    struct weir_message *m = x->g.host->message_add(x->g.call, role);
    if (!m)
        x->g.failed = true;
    else if (!x->first)
        x->first = m;
    return m;
}

static struct weir_part *add_part(struct reading *x, struct filling *f, enum weir_part_kind kind)
{
    enum weir_role role = kind == WEIR_PART_TOOL_RESULT ? WEIR_ROLE_TOOL : f->role;
    if (!f->message || f->message->role != (uint32_t)role)
        f->message = gemini_add_message(x, role);
    struct weir_part *p = f->message ? x->g.host->part_add(x->g.call, f->message, kind) : NULL;
    x->g.failed = x->g.failed || !p;
    return p;
}

bool gemini_is_made_id(struct weir_str id)
{
    return gemini_starts_with(id, MADE_ID);
}

/* ---- calls and results ---- */

static void read_call(struct reading *x, struct weir_part *p, struct weir_str raw)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key, value;
    struct weir_json *r = j->open(x->g.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "name"))
            gemini_read_string(j, r, &p->name);
        else if (weir_is(key, "id"))
            gemini_read_string(j, r, &p->id);
        else if (weir_is(key, "args") && j->peek(r) == WEIR_JSON_OBJECT && j->raw(r, &value))
            p->text = weir_plain(value);
    }
    if (!j->close(r) || !p->name.n) {
        j->reject(x->r, "must be a functionCall with a name, and args that are an object");
        return;
    }
    if (!p->id.n)
        p->id = x->g.host->format(x->g.call, MADE_ID "%u", x->n_calls);
    x->n_calls++;
    struct weir_part **end = &x->open_calls; /* `parts` of a call has no other use until its request is whole */
    while (*end)
        end = &(*end)->parts;
    *end = p;
}

/* The call that a result answers: the one of its id, else the first of its name. */
static void answer_call(struct reading *x, struct weir_part *result)
{
    struct weir_part **at = &x->open_calls;
    while (*at && !(result->id.n ? weir_eq((*at)->id, result->id) : weir_eq((*at)->name, result->name)))
        at = &(*at)->parts;
    struct weir_part *call = *at;
    if (call) {
        *at = call->parts;
        call->parts = NULL;
        result->id = call->id;
        result->name = WEIR_NONE; /* the call says it */
    } else if (!result->id.n) {
        result->id = x->g.host->format(x->g.call, MADE_ID "%u", x->n_calls++);
    }
}

/* A new turn with calls, or the end: what nobody answered stays so. */
void gemini_forget_calls(struct reading *x)
{
    for (struct weir_part *p = x->open_calls, *next; p; p = next) {
        next = p->parts;
        p->parts = NULL;
    }
    x->open_calls = NULL;
}

/* {"result":"text"} is how a text is wrapped, and {"error":…} how a failure is told. */
static void read_response(struct reading *x, struct weir_part *result, struct weir_str raw)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key, value, only = WEIR_NONE;
    struct weir_text text = weir_plain(raw);
    uint32_t n = 0;
    struct weir_json *r = j->open(x->g.call, raw);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value); n++)
        only = key;
    bool is_error = n == 1 && weir_is(only, "error");
    if (n == 1 && (is_error || weir_is(only, "result") || weir_is(only, "output"))) {
        text = weir_plain(value);
        r = j->open(x->g.call, value);
        if (j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &text);
    }
    struct weir_part *p = x->g.host->part_add_to(x->g.call, result, WEIR_PART_TEXT);
    if (!p) {
        x->g.failed = true;
        return;
    }
    p->text = text;
    result->flags |= is_error ? WEIR_PART_IS_ERROR : 0;
}

static bool is_files_uri(struct weir_str uri)
{
    return gemini_contains(uri, "generativelanguage.googleapis.com/") || gemini_starts_with(uri, "gs://") ||
           gemini_starts_with(uri, "files/");
}

static void read_uri(struct reading *x, struct weir_json *r, struct part *to)
{
    struct weir_part media = { 0 };
    if (!x->g.json->string(r, &to->uri) || is_files_uri(to->uri))
        return;
    if (!x->g.host->media_url(x->g.call, &media, weir_plain(to->uri)))
        x->g.json->reject(r, "not a URL or data URI");
    to->uri = media.url;
    if (!media.data.n)
        return;
    to->has_data = true;
    to->data = media.data;
    to->media_type = media.media_type;
}

static void read_media(struct reading *x, struct weir_json *r, struct part *to)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (gemini_key(key, "mimeType"))
            gemini_read_string(j, r, &to->media_type);
        else if (weir_is(key, "data"))
            to->has_data = j->text(r, &to->data);
        else if (gemini_key(key, "fileUri") && j->peek(r) == WEIR_JSON_STRING)
            read_uri(x, r, to);
        else if (gemini_key(key, "displayName"))
            gemini_read_string(j, r, &to->name);
    }
    if (to->has_data && !to->data.n && !j->failed(r))
        j->reject(r, "its data is empty");
}

static enum weir_part_kind kind_of_media(struct weir_str type)
{
    if (gemini_starts_with(type, "image/"))
        return WEIR_PART_IMAGE;
    return gemini_starts_with(type, "audio/") ? WEIR_PART_AUDIO : WEIR_PART_FILE;
}

/* Google takes base64 in the alphabet for URLs too; others don't. */
static struct weir_text standard_base64(struct reading *x, struct weir_text data)
{
    if (!data.n || (!memchr(data.p, '-', data.n) && !memchr(data.p, '_', data.n)))
        return data;
    size_t pad = data.form == WEIR_TEXT_ESCAPED ? 0 : (4 - data.n % 4) % 4;
    char *to = x->g.host->alloc(x->g.call, WEIR_FOR_REQUEST, data.n + pad + 1);
    if (!to) {
        x->g.failed = true;
        return data;
    }
    for (size_t i = 0; i < data.n; i++)
        to[i] = data.p[i] == '-' ? '+' : data.p[i] == '_' ? '/' : data.p[i];
    memset(to + data.n, '=', pad);
    return (struct weir_text){ to, (uint32_t)(data.n + pad), data.form };
}

static void take_media(struct reading *x, struct weir_part *p, const struct part *from)
{
    p->media_type = from->media_type;
    p->data = standard_base64(x, from->data);
    p->name = from->name;
    if (is_files_uri(from->uri)) {
        p->file_id = from->uri;
        p->dialect = GEMINI_DIALECT;
    } else {
        p->url = from->uri;
    }
}

/* [{"inlineData":{…}}]: media of a result. */
static void read_result_parts(struct reading *x, struct weir_part *result, struct weir_json *r)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    for (j->array(r); !x->g.failed && j->element(r);) {
        struct part media = { .has_data = false };
        for (j->object(r); j->member(r, &key);)
            if ((gemini_key(key, "inlineData") || gemini_key(key, "fileData")) && j->peek(r) == WEIR_JSON_OBJECT)
                read_media(x, r, &media);
        struct weir_part *p = media.has_data || media.uri.n
                                  ? x->g.host->part_add_to(x->g.call, result, kind_of_media(media.media_type))
                                  : NULL;
        if (p)
            take_media(x, p, &media);
    }
    if (j->failed(r))
        j->reject(x->r, "its functionResponse has a file that is neither bytes nor a URL");
}

static void read_result(struct reading *x, struct weir_part *p, struct weir_str raw)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key, response = WEIR_NONE, media = WEIR_NONE;
    struct weir_json *r = j->open(x->g.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "name"))
            gemini_read_string(j, r, &p->name);
        else if (weir_is(key, "id"))
            gemini_read_string(j, r, &p->id);
        else if (weir_is(key, "response") && j->peek(r) == WEIR_JSON_OBJECT)
            j->raw(r, &response);
        else if (weir_is(key, "parts") && j->peek(r) == WEIR_JSON_ARRAY)
            j->raw(r, &media);
    }
    if (!j->close(r) || !p->name.n) {
        j->reject(x->r, "must be a functionResponse with a name, and a response that is an object");
        return;
    }
    if (response.n)
        read_response(x, p, response);
    if (media.n)
        read_result_parts(x, p, j->open(x->g.call, media));
    answer_call(x, p);
}

/* ---- a part ---- */

static void keep_own(struct reading *x, struct part *to, struct weir_str key)
{
    struct weir_str raw, had = to->own, name = gemini_quoted(&x->g, key);
    if (!x->g.json->raw(x->r, &raw) || weir_is(raw, "null") || !name.n)
        return;
    if (to->n_owns < sizeof(to->owns) / sizeof(*to->owns))
        to->owns[to->n_owns++] = raw;
    to->own = had.n ? x->g.host->format(x->g.call, "%.*s,%.*s:%.*s}", (int)had.n - 1, had.p, (int)name.n, name.p,
                                        (int)raw.n, raw.p)
                    : x->g.host->format(x->g.call, "{%.*s:%.*s}", (int)name.n, name.p, (int)raw.n, raw.p);
}

static void read_part_member(struct reading *x, struct part *to, struct weir_str key)
{
    const struct weir_json_api *j = x->g.json;
    enum weir_json_type type = j->peek(x->r);
    if (weir_is(key, "text") && type != WEIR_JSON_NULL)
        to->has_text = j->text(x->r, &to->text);
    else if (weir_is(key, "thought") && type == WEIR_JSON_BOOL)
        j->boolean(x->r, &to->is_thought);
    else if (gemini_key(key, "thoughtSignature") && type == WEIR_JSON_STRING)
        j->text(x->r, &to->signature);
    else if ((gemini_key(key, "inlineData") || gemini_key(key, "fileData")) && type != WEIR_JSON_NULL)
        read_media(x, x->r, to);
    else if (gemini_key(key, "functionCall") && type == WEIR_JSON_OBJECT)
        j->raw(x->r, &to->call);
    else if (gemini_key(key, "functionResponse") && type == WEIR_JSON_OBJECT)
        j->raw(x->r, &to->result);
    else
        keep_own(x, to, key);
}

/* Only this dialect knows what it is: it is kept whole. */
static void take_opaque(struct reading *x, struct weir_part *p, const struct part *from)
{
    const struct weir_host *h = x->g.host;
    struct weir_str s = from->signature.n ? gemini_quoted(&x->g, h->text(x->g.call, &from->signature)) : WEIR_NONE;
    p->raw = from->own;
    if (s.n)
        p->raw = h->format(x->g.call, "%.*s,\"thoughtSignature\":%.*s}", (int)from->own.n - 1, from->own.p, (int)s.n, s.p);
    p->dialect = GEMINI_DIALECT;
}

static void take_thought(struct reading *x, struct filling *f, const struct part *from)
{
    struct weir_part *p = add_part(x, f, WEIR_PART_THINKING);
    if (!p)
        return;
    p->text = from->text;
    p->signature = from->signature;
    p->dialect = GEMINI_DIALECT;
    x->client->has_foreign |= gemini_unwrap_signature(&x->g, &p->signature, &p->dialect);
}

static void take_signature(struct reading *x, struct weir_part *p, const struct part *from)
{
    if (!from->signature.n)
        return;
    p->signature = from->signature;
    p->dialect = GEMINI_DIALECT;
    x->client->has_foreign |= gemini_unwrap_signature(&x->g, &p->signature, &p->dialect);
}

/* Members that this kind of part has no place for. */
static void leave_own(struct reading *x, const struct part *from)
{
    for (uint32_t i = 0; i < from->n_owns; i++)
        x->g.json->leave(x->r, from->owns[i]);
}

static void take_part(struct reading *x, struct filling *f, const struct part *from)
{
    struct weir_part *p = NULL;
    if (from->is_thought && (from->has_text || from->signature.n)) {
        take_thought(x, f, from);
        leave_own(x, from);
        return;
    }
    if (from->result.n) {
        p = add_part(x, f, WEIR_PART_TOOL_RESULT);
        if (p)
            read_result(x, p, from->result);
        leave_own(x, from);
        return;
    }
    if (from->call.n) {
        if (!f->has_call && !(x->last && x->last->role == WEIR_ROLE_ASSISTANT))
            gemini_forget_calls(x);
        f->has_call = true;
        p = add_part(x, f, WEIR_PART_TOOL_CALL);
        if (p)
            read_call(x, p, from->call);
    } else if (from->has_data || from->uri.n) {
        p = add_part(x, f, kind_of_media(from->media_type));
        if (p)
            take_media(x, p, from);
    } else if (from->has_text || !from->own.n) {
        p = add_part(x, f, WEIR_PART_TEXT);
        if (p)
            p->text = from->text;
    } else {
        p = add_part(x, f, WEIR_PART_OPAQUE);
        if (p)
            take_opaque(x, p, from);
        return;
    }
    if (p && from->own.n) {
        p->raw = from->own;
        p->dialect = GEMINI_DIALECT;
    }
    if (p)
        take_signature(x, p, from);
}

static void read_part(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->g.json;
    struct part part = { .has_text = false };
    struct weir_str key;
    if (j->peek(x->r) == WEIR_JSON_STRING) { /* Google takes no such thing, and clients that send it mean a text */
        j->skip(x->r);
        j->reject(x->r, "must be an object, {\"text\":\"…\"}");
        return;
    }
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);)
        read_part_member(x, &part, key);
    if (!j->failed(x->r) && !x->g.failed)
        take_part(x, f, &part);
}

/* ---- a content ---- */

static enum weir_role read_role(struct reading *x, enum weir_role role)
{
    struct weir_str word;
    if (gemini_took_null(x->r, x->g.json) || !x->g.json->string(x->r, &word) || weir_is(word, ""))
        return role;
    if (weir_is(word, "model"))
        return WEIR_ROLE_ASSISTANT;
    if (!weir_is(word, "user") && !weir_is(word, "function") && !weir_is(word, "system"))
        x->g.json->reject(x->r, "must be user or model; the system prompt is the member systemInstruction");
    return WEIR_ROLE_USER;
}

/* Its role nearly always stands behind the parts. */
static void settle_role(struct weir_message *first, enum weir_role role)
{
    for (struct weir_message *m = first; m; m = m->next)
        if (m->role != WEIR_ROLE_TOOL)
            m->role = role;
}

static struct weir_message *last_of(struct weir_message *m)
{
    while (m && m->next)
        m = m->next;
    return m;
}

static void read_parts(struct reading *x, struct filling *f, struct weir_str key, enum weir_role role)
{
    const struct weir_json_api *j = x->g.json;
    if (role == WEIR_ROLE_SYSTEM)
        x->client->system_at = gemini_inside_at(x, key, &x->client->is_system_empty);
    if (gemini_took_null(x->r, j))
        return;
    for (j->array(x->r); !x->g.failed && j->element(x->r);)
        read_part(x, f);
}

void gemini_read_content(struct reading *x, enum weir_role role)
{
    const struct weir_json_api *j = x->g.json;
    struct filling f = { .role = WEIR_ROLE_USER };
    struct weir_message *before = last_of(x->last);
    struct weir_str key;
    enum weir_role said = role;
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);) {
        if (weir_is(key, "role"))
            said = role == WEIR_ROLE_SYSTEM ? (j->skip(x->r), role) : read_role(x, role);
        else if (weir_is(key, "parts"))
            read_parts(x, &f, key, role);
    }
    struct weir_message *first = before ? before->next : x->first;
    if (!first && !x->g.failed)
        first = gemini_add_message(x, said);
    settle_role(first, said);
    x->last = last_of(first);
}

void gemini_read_contents(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    if (j->peek(x->r) == WEIR_JSON_OBJECT) { /* one content without its array, as proto-JSON lets pass */
        gemini_read_content(x, WEIR_ROLE_USER);
        x->n_contents++;
        return;
    }
    for (j->array(x->r); !x->g.failed && j->element(x->r); x->n_contents++)
        gemini_read_content(x, WEIR_ROLE_USER);
}

/* ---- turns ---- */

/* A stream told the thought piece by piece and its signature behind it: they are one thought of the dialect that signed it. What is
 * left of the pieces says nothing, and nobody writes it. */
static void join_thoughts(struct reading *x, struct weir_part *first, struct weir_part *last)
{
    size_t n = 0;
    uint32_t form = WEIR_TEXT_BOTH;
    for (struct weir_part *p = first; p != last->next; p = p->next)
        n += p->text.n;
    char *to = x->g.host->alloc(x->g.call, WEIR_FOR_REQUEST, n + 1);
    if (!to) {
        x->g.failed = true;
        return;
    }
    n = 0;
    for (struct weir_part *p = first; p != last->next; p = p->next) {
        if (p->text.n)
            memcpy(to + n, p->text.p, p->text.n);
        n += p->text.n;
        form = p->text.n && p->text.form == WEIR_TEXT_ESCAPED ? WEIR_TEXT_ESCAPED : form;
        p->text = (struct weir_text){ NULL, 0, WEIR_TEXT_BOTH };
    }
    last->text = (struct weir_text){ to, (uint32_t)n, form };
}

static void settle_thoughts(struct reading *x, struct weir_message *m)
{
    struct weir_part *first = NULL;
    for (struct weir_part *p = m->parts; p && !x->g.failed; p = p->next) {
        bool is_own = weir_eq(p->dialect, GEMINI_DIALECT);
        if (p->kind != WEIR_PART_THINKING || (p->signature.n && is_own)) {
            first = NULL;
        } else if (p->signature.n) {
            join_thoughts(x, first ? first : p, p);
            first = NULL;
        } else if (!first) {
            first = p;
        }
    }
}

/* Clients keep each event of a stream as a content of its own: neighbours of the model are one turn. */
void gemini_settle_turns(struct reading *x)
{
    for (struct weir_message *m = x->first; m && !x->g.failed; m = m->next) {
        if (m->role != WEIR_ROLE_ASSISTANT)
            continue;
        struct weir_part **end = &m->parts;
        while (m->next && m->next->role == WEIR_ROLE_ASSISTANT) {
            while (*end)
                end = &(*end)->next;
            *end = m->next->parts;
            m->next = m->next->next;
        }
        settle_thoughts(x, m);
    }
}

/* ---- the system prompt ---- */

/* The prompt stands first in a conversation, wherever it stood in the body: the contents of the messages move up by one. */
static void move_to_front(struct reading *x, struct weir_message *system)
{
    struct weir_message carried = *system;
    for (struct weir_message *m = x->first; m; m = m->next) {
        struct weir_message old = *m;
        m->role = carried.role;
        m->flags = carried.flags;
        m->parts = carried.parts;
        m->name = carried.name;
        carried = old;
        if (m == system)
            break;
    }
}

void gemini_read_system(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_text text;
    if (gemini_took_null(x->r, j))
        return;
    x->client->has_system = true;
    bool has_begun = x->first != NULL;
    if (j->peek(x->r) == WEIR_JSON_STRING) { /* not by the book; Google takes it */
        struct weir_message *m = gemini_add_message(x, WEIR_ROLE_SYSTEM);
        struct weir_part *p = m && j->text(x->r, &text) ? x->g.host->part_add(x->g.call, m, WEIR_PART_TEXT) : NULL;
        if (p)
            p->text = text;
        x->last = m;
    } else {
        gemini_read_content(x, WEIR_ROLE_SYSTEM);
    }
    if (has_begun && x->last && !x->g.failed)
        move_to_front(x, x->last);
}
