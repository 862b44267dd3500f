/* The messages of a request to a provider, and the documents beside them. What was said before a call is its plan here. */
#include "encode.h"

static void put_string(struct encoding *x, const char *key, struct weir_str value)
{
    x->o.json->key(x->out, key);
    x->o.json->put_str(x->out, value);
}

static bool is_text(const struct weir_part *p)
{
    return (p->kind == WEIR_PART_TEXT || p->kind == WEIR_PART_REFUSAL) && p->text.n;
}

static bool is_plan(const struct weir_part *p)
{
    return p->kind == WEIR_PART_TEXT && weir_eq(p->dialect, COHERE_DIALECT) && weir_eq(p->name, COHERE_PLAN);
}

/* ---- parts ---- */

static void put_image(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (!p->url.n && !p->data.n) {
        cohere_unsupported(&x->o, "messages",
                           "An image given by file id can't be sent to another dialect; send its bytes or a URL.");
        return;
    }
    j->object_begin(x->out);
    cohere_put_member(x, "type", WEIR_LIT("\"image_url\""));
    j->key(x->out, "image_url");
    j->object_begin(x->out);
    j->key(x->out, "url");
    if (p->url.n) {
        j->put_str(x->out, p->url);
    } else {
        struct weir_text head =
            weir_plain(x->o.host->format(x->o.call, "data:%.*s;base64,", (int)p->media_type.n, p->media_type.p));
        j->string_begin(x->out);
        j->string_part(x->out, &head);
        j->string_part(x->out, &p->data);
        j->string_end(x->out);
    }
    if (p->detail.n)
        put_string(x, "detail", p->detail);
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_text(struct encoding *x, const struct weir_part *p, const char *type)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    put_string(x, "type", weir_cstr(type));
    j->key(x->out, type);
    j->put_text(x->out, &p->text);
    j->object_end(x->out);
}

void cohere_put_content_part(struct encoding *x, const struct weir_part *p)
{
    if (p->kind == WEIR_PART_IMAGE)
        put_image(x, p);
    else if (p->kind == WEIR_PART_OPAQUE && weir_eq(p->dialect, COHERE_DIALECT))
        x->o.json->put_raw(x->out, p->raw);
    else if (is_text(p))
        put_text(x, p, "text");
    else if (p->kind == WEIR_PART_AUDIO)
        cohere_unsupported(&x->o, "messages", "Audio can't be sent to a provider of the cohere dialect.");
    else if (p->kind == WEIR_PART_OPAQUE)
        cohere_unsupported(&x->o, "messages",
                           "A content block that only the client's own dialect has can't be sent to a provider of the "
                           "cohere dialect.");
}

/* A string if one will do. */
static void put_content(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text none = { "", 0, WEIR_TEXT_PLAIN }, *only = &none;
    uint32_t n = 0;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind == WEIR_PART_FILE || (p->kind == WEIR_PART_TEXT && !p->text.n) || p->kind == WEIR_PART_TOOL_RESULT)
            continue;
        n += is_text(p) ? 1 : 2;
        only = &p->text;
    }
    j->key(x->out, "content");
    if (n <= 1) {
        j->put_text(x->out, only);
        return;
    }
    j->array_begin(x->out);
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next)
        cohere_put_content_part(x, p);
    j->array_end(x->out);
}

/* ---- an assistant's message ---- */

static bool has_calls(const struct weir_part *p)
{
    while (p && p->kind != WEIR_PART_TOOL_CALL)
        p = p->next;
    return p != NULL;
}

static void put_calls(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text none = WEIR_TEXT("{}");
    j->key(x->out, "tool_calls");
    j->array_begin(x->out);
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_TOOL_CALL)
            continue;
        j->object_begin(x->out);
        put_string(x, "id", p->id);
        cohere_put_member(x, "type", WEIR_LIT("\"function\""));
        j->key(x->out, "function");
        j->object_begin(x->out);
        put_string(x, "name", cohere_sent_name(x, p->name));
        j->key(x->out, "arguments");
        j->put_text(x->out, p->text.n ? &p->text : &none);
        j->object_end(x->out);
        j->object_end(x->out);
    }
    j->array_end(x->out);
}

/* What stands in tool_plan: of this dialect what stood there, of others every word before or between the calls. */
static bool belongs_to_plan(const struct encoding *x, const struct weir_part *p, bool calls)
{
    return calls && is_text(p) && (x->o.is_own ? is_plan(p) : true);
}

static void put_plan(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (!belongs_to_plan(x, p, true))
            continue;
        if (!has_begun) {
            j->key(x->out, "tool_plan");
            j->string_begin(x->out);
        }
        has_begun = true;
        j->string_part(x->out, &p->text);
    }
    if (has_begun)
        j->string_end(x->out);
}

static bool is_said(const struct encoding *x, const struct weir_part *p, bool calls)
{
    if (p->kind == WEIR_PART_THINKING)
        return p->text.n && !(p->flags & WEIR_PART_REDACTED);
    return p->kind != WEIR_PART_TOOL_CALL && p->kind != WEIR_PART_FILE && !belongs_to_plan(x, p, calls) &&
           (p->kind != WEIR_PART_TEXT || p->text.n);
}

static void put_said(struct encoding *x, const struct weir_part *parts, bool calls)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t n = 0;
    for (const struct weir_part *p = parts; p; p = p->next)
        n += is_said(x, p, calls);
    if (!n && calls)
        return;
    j->key(x->out, "content");
    j->array_begin(x->out);
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next) {
        if (!is_said(x, p, calls))
            continue;
        if (p->kind == WEIR_PART_THINKING)
            put_text(x, p, "thinking");
        else if (p->kind == WEIR_PART_IMAGE)
            cohere_unsupported(
                &x->o, "messages",
                "An image in a message of the assistant can't be sent to a provider of the cohere dialect.");
        else
            cohere_put_content_part(x, p);
    }
    j->array_end(x->out);
}

/* Also towards a client's own dialect: it was another's provider that signed. */
static void lose_signatures(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p; p = p->next)
        if (p->signature.n)
            cohere_lose(x, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "only its maker can read it");
}

static void lose_order(struct encoding *x, const struct weir_part *parts)
{
    bool has_call = false;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (has_call && p->kind != WEIR_PART_TOOL_CALL)
            cohere_lose(x, WEIR_FEATURE_PART_ORDER, WEIR_LOSS_CHANGED, "calls come last");
        has_call = has_call || p->kind == WEIR_PART_TOOL_CALL;
    }
}

static void put_assistant(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    bool calls = has_calls(m->parts);
    j->object_begin(x->out);
    put_string(x, "role", WEIR_LIT("assistant"));
    put_said(x, m->parts, calls);
    if (calls) {
        put_plan(x, m->parts);
        put_calls(x, m->parts);
    }
    j->object_end(x->out);
    lose_order(x, m->parts);
    lose_signatures(x, m->parts);
}

/* ---- tool results ---- */

/* JSON objects are documents, which the answer can cite; other words stand as they are. */
static void put_result_part(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool was_document = weir_eq(p->dialect, COHERE_DIALECT) && weir_eq(p->name, COHERE_DOCUMENT);
    bool is_object = j->valid(x->o.call, &p->text, WEIR_JSON_OBJECT);
    if (!was_document && (x->o.is_own || !is_object)) {
        put_text(x, p, "text");
        return;
    }
    j->object_begin(x->out);
    cohere_put_member(x, "type", WEIR_LIT("\"document\""));
    j->key(x->out, "document");
    j->object_begin(x->out);
    if (p->id.n)
        put_string(x, "id", p->id);
    j->key(x->out, "data");
    if (is_object)
        j->put_text_raw(x->out, &p->text);
    else
        j->put_text(x->out, &p->text);
    j->object_end(x->out);
    j->object_end(x->out);
}

static bool is_one_string(struct encoding *x, const struct weir_part *p)
{
    const struct weir_part *only = NULL;
    for (; p; p = p->next) {
        if (!is_text(p))
            continue;
        if (only)
            return false;
        only = p;
    }
    if (!only)
        return true;
    bool was_document = weir_eq(only->dialect, COHERE_DIALECT) && weir_eq(only->name, COHERE_DOCUMENT);
    return !was_document && (x->o.is_own || !x->o.json->valid(x->o.call, &only->text, WEIR_JSON_OBJECT));
}

static void put_result_content(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "content");
    if (is_one_string(x, parts)) {
        j->string_begin(x->out);
        for (const struct weir_part *p = parts; p; p = p->next)
            if (is_text(p))
                j->string_part(x->out, &p->text);
        j->string_end(x->out);
        return;
    }
    j->array_begin(x->out);
    for (const struct weir_part *p = parts; p; p = p->next)
        if (is_text(p))
            put_result_part(x, p);
    j->array_end(x->out);
}

static void put_result(struct encoding *x, const struct weir_part *p)
{
    x->o.json->object_begin(x->out);
    put_string(x, "role", WEIR_LIT("tool"));
    put_string(x, "tool_call_id", p->id);
    put_result_content(x, p->parts);
    x->o.json->object_end(x->out);
}

/* Results are words here: their images follow in a message of the user, their files among the documents. */
static void put_result_images(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (const struct weir_message *m = from; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            for (const struct weir_part *c = p->parts; c && !x->o.failed; c = c->next) {
                if (c->kind == WEIR_PART_TEXT || c->kind == WEIR_PART_REFUSAL)
                    continue;
                cohere_lose(x, WEIR_FEATURE_RESULT_MEDIA, WEIR_LOSS_EMULATED, "behind the results");
                if (c->kind == WEIR_PART_FILE)
                    continue;
                if (!has_begun) {
                    j->object_begin(x->out);
                    put_string(x, "role", WEIR_LIT("user"));
                    j->key(x->out, "content");
                    j->array_begin(x->out);
                }
                has_begun = true;
                cohere_put_content_part(x, c);
            }
    if (!has_begun)
        return;
    j->array_end(x->out);
    j->object_end(x->out);
}

/* ---- messages ---- */

static bool has_content(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind != WEIR_PART_TOOL_RESULT)
            return true;
    return m->parts == NULL && m->role != WEIR_ROLE_TOOL;
}

static bool is_silent(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind != WEIR_PART_TEXT || p->text.n)
            return false;
    return true;
}

static void put_other(struct encoding *x, const struct weir_message *m)
{
    bool is_system = m->role == WEIR_ROLE_SYSTEM;
    if (!has_content(m) || (is_system && !x->o.is_own && is_silent(m)))
        return; /* an empty prompt is none */
    x->o.json->object_begin(x->out);
    put_string(x, "role", is_system ? WEIR_LIT("system") : WEIR_LIT("user"));
    put_content(x, m->parts);
    x->o.json->object_end(x->out);
}

static bool has_results(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_RESULT)
            return true;
    return false;
}

/* Results of neighbouring messages come before any image of theirs; what else was said with them follows. */
static const struct weir_message *put_results(struct encoding *x, const struct weir_message *from)
{
    const struct weir_message *end = from;
    for (; end && has_results(end); end = end->next)
        for (const struct weir_part *p = end->parts; p; p = p->next)
            if (p->kind == WEIR_PART_TOOL_RESULT)
                put_result(x, p);
    put_result_images(x, from, end);
    for (const struct weir_message *m = from; m != end && !x->o.failed; m = m->next)
        put_other(x, m);
    return end;
}

void cohere_put_messages(struct encoding *x)
{
    x->o.json->key(x->out, "messages");
    x->o.json->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed;) {
        if (has_results(m)) {
            m = put_results(x, m);
            continue;
        }
        if (m->role == WEIR_ROLE_ASSISTANT)
            put_assistant(x, m);
        else
            put_other(x, m);
        m = m->next;
    }
    x->o.json->array_end(x->out);
}

/* ---- documents ---- */

static bool is_own_document(const struct weir_part *p)
{
    return p->kind == WEIR_PART_FILE && weir_eq(p->dialect, COHERE_DIALECT);
}

/* As they stood in the client's request. */
static struct weir_str documents_of(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, x->c->body);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "documents"))
            j->raw(r, &raw);
    return raw;
}

struct documents {
    struct encoding *x;
    bool has_begun, has_own;
};

static void put_document(struct documents *d, const struct weir_part *p)
{
    struct encoding *x = d->x;
    const struct weir_json_api *j = x->o.json;
    struct weir_str base64 = x->o.host->text(x->o.call, &p->data), words = WEIR_NONE;
    bool is_words = p->media_type.n > 5 && memcmp(p->media_type.p, "text/", 5) == 0;
    if (is_words && base64.n)
        words = x->o.host->base64(x->o.call, base64, true);
    if (!words.p) {
        cohere_unsupported(
            &x->o, "messages",
            "A file can only be sent to a provider of the cohere dialect if it is text with its bytes inline.");
        return;
    }
    if (!d->has_begun) {
        j->key(x->out, "documents");
        j->array_begin(x->out);
    }
    d->has_begun = true;
    j->object_begin(x->out);
    j->key(x->out, "data");
    j->object_begin(x->out);
    if (p->name.n)
        put_string(x, "title", p->name);
    put_string(x, "text", words);
    j->object_end(x->out);
    j->object_end(x->out);
    cohere_lose(x, WEIR_FEATURE_FILE_DATA, WEIR_LOSS_EMULATED, "a text file is a document beside the messages");
}

static void put_documents_of(struct documents *d, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p && !d->x->o.failed; p = p->next) {
        if (d->x->o.is_own && is_own_document(p))
            d->has_own = true;
        else if (p->kind == WEIR_PART_FILE)
            put_document(d, p);
        else if (p->parts)
            put_documents_of(d, p->parts);
    }
}

bool cohere_put_documents(struct encoding *x)
{
    struct documents d = { .x = x };
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed; m = m->next)
        put_documents_of(&d, m->parts);
    if (d.has_begun)
        x->o.json->array_end(x->out);
    struct weir_str raw = d.has_own && !d.has_begun && !x->o.failed ? documents_of(x) : WEIR_NONE;
    if (raw.n)
        cohere_put_member(x, "documents", raw);
    return d.has_begun || raw.n;
}
