/* The messages of a request to a provider. On the wire turns alternate: neighbours of one side are one message, and the results of
 * tools stand first in the user's. What the dialect can't say the table (anthropic.c) tells, or it is refused. */
#include "encode.h"

enum { NAME_MAX_SENT = 64 };

void anthropic_digest(struct encoding *x, struct weir_str s, char out[17])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[32];
    x->o.host->sha256(s, hash);
    for (int i = 0; i < 8; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[16] = '\0';
}

void anthropic_put_member(struct encoding *x, const char *key, const char *value)
{
    x->o.json->key(x->out, key);
    x->o.json->put_str(x->out, weir_cstr(value));
}

/* ---- names and ids ---- */

static bool is_fit(struct weir_str s, size_t max)
{
    bool fit = s.n > 0 && s.n <= max;
    for (size_t i = 0; fit && i < s.n; i++) {
        char c = s.p[i];
        fit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    return fit;
}

/* The beginning of s as far as it fits, and its digest: the same for the call and its result, another for every other string. */
static struct weir_str made_fit(struct encoding *x, struct weir_str s)
{
    char hex[17], kept[NAME_MAX_SENT];
    size_t n = 0;
    for (; n < s.n && n < NAME_MAX_SENT - 17; n++)
        kept[n] = is_fit((struct weir_str){ s.p + n, 1 }, 1) ? s.p[n] : '_';
    anthropic_digest(x, s, hex);
    struct weir_str made = x->o.host->format(x->o.call, "%.*s_%s", (int)n, kept, hex);
    return made;
}

/* A name that the provider would refuse is sent as another one and put back in the answer. */
struct weir_str anthropic_sent_name(struct encoding *x, struct weir_str name)
{
    const struct weir_host *h = x->o.host;
    if (x->o.is_own || is_fit(name, 128))
        return name;
    for (struct anthropic_alias *a = x->attempt->aliases; a; a = a->next)
        if (weir_eq(a->name, name))
            return a->sent;
    struct weir_str made = made_fit(x, name);
    struct anthropic_alias *a = h->alloc(x->o.call, WEIR_FOR_ATTEMPT, sizeof(*a));
    char *p = a ? h->alloc(x->o.call, WEIR_FOR_ATTEMPT, made.n + 1) : NULL;
    if (!p)
        return name;
    memcpy(p, made.p, made.n);
    *a = (struct anthropic_alias){ x->attempt->aliases, name, { p, made.n } };
    x->attempt->aliases = a;
    anthropic_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "names are sent as others that fit");
    return a->sent;
}

static void put_id(struct encoding *x, struct weir_str id)
{
    bool fits = x->o.is_own || is_fit(id, 256);
    if (!fits)
        anthropic_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "ids are sent as others that fit");
    x->o.json->put_str(x->out, fits ? id : made_fit(x, id));
}

/* ---- blocks ---- */

void anthropic_put_cache_mark(struct encoding *x, struct weir_str ttl)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "cache_control");
    j->object_begin(x->out);
    anthropic_put_member(x, "type", "ephemeral");
    if (ttl.n) {
        j->key(x->out, "ttl");
        j->put_str(x->out, ttl);
    }
    j->object_end(x->out);
}

/* cache_control and what else only this dialect has, as it came in. */
static void put_own_members(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, value;
    if (p->kind == WEIR_PART_OPAQUE || !p->raw.n || !weir_eq(p->dialect, ANTHROPIC_DIALECT)) {
        if ((p->flags & WEIR_PART_CACHE_MARK) && p->kind != WEIR_PART_THINKING) /* another dialect's mark */
            anthropic_put_cache_mark(x, p->cache_ttl);
        return;
    }
    struct weir_json *r = j->open(x->o.call, p->raw);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value);) {
        j->key_str(x->out, key);
        j->put_raw(x->out, value);
    }
}

static void block_begin(struct encoding *x, const char *type)
{
    x->o.json->object_begin(x->out);
    anthropic_put_member(x, "type", type);
}

static void block_end(struct encoding *x, const struct weir_part *p)
{
    put_own_members(x, p);
    x->o.json->object_end(x->out);
}

static void put_title(struct encoding *x, const struct weir_part *p)
{
    if (!p->name.n)
        return;
    x->o.json->key(x->out, "title");
    x->o.json->put_str(x->out, p->name);
}

/* A document of plain text, whose text this is. */
static void put_text_document(struct encoding *x, const struct weir_part *p, const struct weir_text *text)
{
    const struct weir_json_api *j = x->o.json;
    block_begin(x, "document");
    j->key(x->out, "source");
    j->object_begin(x->out);
    anthropic_put_member(x, "type", "text");
    anthropic_put_member(x, "media_type", "text/plain");
    j->key(x->out, "data");
    j->put_text(x->out, text);
    j->object_end(x->out);
    put_title(x, p);
    block_end(x, p);
}

static void put_text(struct encoding *x, const struct weir_part *p)
{
    if (p->signature.n)
        anthropic_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "a text has none here");
    if (x->o.is_own && p->media_type.n) {
        put_text_document(x, p, &p->text);
        return;
    }
    block_begin(x, "text");
    x->o.json->key(x->out, "text");
    x->o.json->put_text(x->out, &p->text);
    block_end(x, p);
}

static void put_source(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "source");
    j->object_begin(x->out);
    anthropic_put_member(x, "type", p->url.n ? "url" : p->file_id.n ? "file" : "base64");
    if (p->url.n) {
        j->key(x->out, "url");
        j->put_str(x->out, p->url);
    } else if (p->file_id.n) {
        j->key(x->out, "file_id");
        j->put_str(x->out, p->file_id);
    } else {
        j->key(x->out, "media_type");
        j->put_str(x->out, weir_is(p->media_type, "image/jpg") ? WEIR_LIT("image/jpeg") : p->media_type);
        j->key(x->out, "data");
        j->put_text(x->out, &p->data);
    }
    j->object_end(x->out);
}

static bool is_foreign_id(const struct weir_part *p)
{
    return p->file_id.n && !weir_eq(p->dialect, ANTHROPIC_DIALECT);
}

static void put_image(struct encoding *x, const struct weir_part *p)
{
    if (is_foreign_id(p)) {
        anthropic_unsupported(
            &x->o, "messages",
            "An image given by another provider's file id can't be sent to Anthropic; send its bytes or a URL.");
        return;
    }
    block_begin(x, "image");
    put_source(x, p);
    block_end(x, p);
}

static bool starts_with(struct weir_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

static void put_document(struct encoding *x, const struct weir_part *p)
{
    bool is_text = p->data.n && starts_with(p->media_type, "text/");
    bool is_image = p->data.n && starts_with(p->media_type, "image/");
    if (is_foreign_id(p) || (p->data.n && !is_text && !is_image && !weir_is(p->media_type, "application/pdf"))) {
        anthropic_unsupported(
            &x->o, "messages",
            "Anthropic takes files as PDF, text or images, with their bytes or a URL; this one is none of them.");
        return;
    }
    if (is_image) {
        put_image(x, p);
        return;
    }
    if (is_text) {
        struct weir_text text = weir_plain(x->o.host->base64(x->o.call, x->o.host->text(x->o.call, &p->data), true));
        anthropic_lose(&x->o, WEIR_FEATURE_FILE_DATA, WEIR_LOSS_EMULATED, "a file of text as a document of plain text");
        put_text_document(x, p, &text);
        return;
    }
    block_begin(x, "document");
    put_source(x, p);
    put_title(x, p);
    block_end(x, p);
}

static void lose_thought(struct encoding *x, const struct weir_part *p)
{
    const char *why = "only Anthropic's own thoughts go back, with their signature";
    if (p->flags & WEIR_PART_REDACTED)
        anthropic_lose(&x->o, WEIR_FEATURE_REDACTED, WEIR_LOSS_DROPPED, why);
    else if (p->text.n)
        anthropic_lose(&x->o, WEIR_FEATURE_THINKING, WEIR_LOSS_DROPPED, why);
    if (p->signature.n)
        anthropic_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, why);
}

/* Thoughts go back only with the signature that they came with. */
static void put_thinking(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool is_redacted = p->flags & WEIR_PART_REDACTED;
    if (!weir_eq(p->dialect, ANTHROPIC_DIALECT) || (!is_redacted && !p->signature.n)) {
        lose_thought(x, p);
        return;
    }
    block_begin(x, is_redacted ? "redacted_thinking" : "thinking");
    j->key(x->out, is_redacted ? "data" : "thinking");
    j->put_text(x->out, is_redacted ? &p->data : &p->text);
    if (!is_redacted) {
        j->key(x->out, "signature");
        j->put_text(x->out, &p->signature);
    }
    block_end(x, p);
}

/* Arguments are an object here. What isn't one is wrapped, so that the model still sees what it said. */
static void put_input(struct encoding *x, const struct weir_text *arguments)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "input");
    if (!arguments->n) {
        j->put_raw(x->out, WEIR_LIT("{}"));
        return;
    }
    if (j->valid(x->o.call, arguments, WEIR_JSON_OBJECT)) {
        j->put_text_raw(x->out, arguments);
        return;
    }
    anthropic_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "arguments that are no object are sent inside one");
    j->object_begin(x->out);
    if (j->valid(x->o.call, arguments, 0)) {
        j->key(x->out, "value");
        j->put_text_raw(x->out, arguments);
    } else {
        j->key(x->out, "_raw");
        j->put_text(x->out, arguments);
    }
    j->object_end(x->out);
}

static void put_tool_use(struct encoding *x, const struct weir_part *p)
{
    block_begin(x, "tool_use");
    x->o.json->key(x->out, "id");
    put_id(x, p->id);
    x->o.json->key(x->out, "name");
    x->o.json->put_str(x->out, anthropic_sent_name(x, p->name));
    put_input(x, &p->text);
    if (p->signature.n)
        anthropic_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "a call has none here");
    block_end(x, p);
}

static void put_opaque(struct encoding *x, const struct weir_part *p)
{
    if (weir_eq(p->dialect, ANTHROPIC_DIALECT))
        x->o.json->put_raw(x->out, p->raw);
    else
        anthropic_unsupported(&x->o, "messages",
                              "A content part that only the client's own dialect has can't be sent to Anthropic.");
}

static void put_block(struct encoding *x, const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        if (p->text.n) /* empty ones are refused */
            put_text(x, p);
        break;
    case WEIR_PART_IMAGE:
        put_image(x, p);
        break;
    case WEIR_PART_FILE:
        put_document(x, p);
        break;
    case WEIR_PART_AUDIO:
        anthropic_unsupported(&x->o, "messages",
                              "Anthropic takes no audio; send its transcript, or use another model.");
        break;
    case WEIR_PART_THINKING:
        put_thinking(x, p);
        break;
    case WEIR_PART_TOOL_CALL:
        put_tool_use(x, p);
        break;
    case WEIR_PART_OPAQUE:
        put_opaque(x, p);
        break;
    default:
        break;
    }
}

/* ---- results ---- */

static void put_result_content(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    if (!parts)
        return;
    j->key(x->out, "content");
    if (parts->kind == WEIR_PART_TEXT && !parts->next && !parts->raw.n && !parts->media_type.n) {
        j->put_text(x->out, &parts->text);
        return;
    }
    j->array_begin(x->out);
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next)
        put_block(x, p);
    j->array_end(x->out);
}

static void put_result(struct encoding *x, const struct weir_part *p)
{
    block_begin(x, "tool_result");
    x->o.json->key(x->out, "tool_use_id");
    put_id(x, p->id);
    put_result_content(x, p->parts);
    if (p->flags & WEIR_PART_IS_ERROR) {
        x->o.json->key(x->out, "is_error");
        x->o.json->put_bool(x->out, true);
    }
    block_end(x, p);
}

/* ---- the prompt ---- */

/* Behind the messages that lead. */
static const struct weir_message *behind_system(const struct weir_conversation *c)
{
    const struct weir_message *m = c->messages;
    while (m && m->role == WEIR_ROLE_SYSTEM)
        m = m->next;
    return m;
}

static struct weir_str extra_sentence(struct encoding *x)
{
    const struct weir_host *h = x->o.host;
    struct weir_str json =
        x->must_be_json ? WEIR_LIT("Answer with one JSON object and nothing else: no code fence, no words around it.")
                        : WEIR_NONE;
    struct weir_str call = WEIR_NONE;
    if (x->must_call && x->call.n)
        call = h->format(x->o.call, "Answer this turn by calling the tool %.*s.", (int)x->call.n, x->call.p);
    else if (x->must_call)
        call = WEIR_LIT("Answer this turn by calling one of the tools.");
    return h->format(x->o.call, "%.*s%s%.*s", (int)json.n, json.p ? json.p : "", json.n && call.n ? " " : "",
                     (int)call.n, call.p ? call.p : "");
}

struct prompt {
    uint32_t texts;
    const struct weir_part *only;
};

static struct prompt prompt_of(const struct weir_conversation *c, const struct weir_message *end)
{
    struct prompt s = { 0, NULL };
    for (const struct weir_message *m = c->messages; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if (p->text.n) {
                s.texts++;
                s.only = p;
            }
    return s;
}

void anthropic_put_system(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_message *end = behind_system(x->c);
    struct prompt s = prompt_of(x->c, end);
    struct weir_str extra = extra_sentence(x);
    if (!s.texts && !extra.n)
        return;
    j->key(x->out, "system");
    if (s.texts == 1 && !extra.n && !s.only->raw.n && !(s.only->flags & WEIR_PART_CACHE_MARK)) {
        j->put_text(x->out, &s.only->text);
        return;
    }
    struct weir_part last = { .kind = WEIR_PART_TEXT, .text = weir_plain(extra) };
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next)
            put_block(x, p);
    put_block(x, &last);
    j->array_end(x->out);
}

/* ---- messages ---- */

static bool is_assistant(const struct weir_message *m)
{
    return m->role == WEIR_ROLE_ASSISTANT;
}

/* A system message in the middle: only the newest models take one as such, and only from their own dialect. */
static bool stands_alone(const struct encoding *x, const struct weir_message *m)
{
    return m->role == WEIR_ROLE_SYSTEM && x->o.is_own;
}

/* Do two neighbours belong to one message on the wire? Of the client's own dialect only what decode_request took apart. */
static bool are_one(const struct encoding *x, const struct weir_message *a, const struct weir_message *b)
{
    if (x->o.is_own)
        return a->role == WEIR_ROLE_TOOL && b->role == WEIR_ROLE_USER;
    return is_assistant(a) == is_assistant(b);
}

static const struct weir_message *end_of_turn(const struct encoding *x, const struct weir_message *from)
{
    const struct weir_message *m = from;
    while (m->next && are_one(x, m, m->next))
        m = m->next;
    return m->next;
}

/* What would be written of this part? Empty texts and thoughts without signature are not. */
static bool is_said(const struct weir_part *p)
{
    bool is_own = weir_eq(p->dialect, ANTHROPIC_DIALECT);
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        return p->text.n > 0;
    case WEIR_PART_THINKING:
        return is_own && (p->signature.n || (p->flags & WEIR_PART_REDACTED));
    default:
        return true;
    }
}

static bool is_turn_empty(const struct weir_message *from, const struct weir_message *end)
{
    for (const struct weir_message *m = from; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if (is_said(p))
                return false;
    return true;
}

static void put_tagged(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text open = WEIR_TEXT("<system>\n"), close = WEIR_TEXT("\n</system>");
    for (const struct weir_part *p = m->parts; p; p = p->next) {
        if (!p->text.n)
            continue;
        block_begin(x, "text");
        j->key(x->out, "text");
        j->string_begin(x->out);
        j->string_part(x->out, &open);
        j->string_part(x->out, &p->text);
        j->string_part(x->out, &close);
        j->string_end(x->out);
        j->object_end(x->out);
    }
}

static void put_turn_blocks(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    for (const struct weir_message *m = from; m != end; m = m->next)
        for (const struct weir_part *p = m->role == WEIR_ROLE_TOOL ? m->parts : NULL; p && !x->o.failed; p = p->next)
            put_result(x, p);
    for (const struct weir_message *m = from; m != end; m = m->next) {
        if (m->role == WEIR_ROLE_TOOL)
            continue;
        if (m->role == WEIR_ROLE_SYSTEM && !x->o.is_own) {
            put_tagged(x, m);
            continue;
        }
        for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next)
            put_block(x, p);
    }
}

/* One text and nothing else needs no blocks. */
static const struct weir_part *only_text(const struct encoding *x, const struct weir_message *m,
                                         const struct weir_message *end)
{
    const struct weir_part *p = m->parts;
    bool is_tagged = m->role == WEIR_ROLE_SYSTEM && !x->o.is_own;
    bool is_only = m->next == end && m->role != WEIR_ROLE_TOOL && !is_tagged && p && !p->next;
    return is_only && p->kind == WEIR_PART_TEXT && !p->raw.n && !p->flags && !p->media_type.n && !m->name.n ? p : NULL;
}

static void put_turn(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_part *text = only_text(x, from, end);
    j->object_begin(x->out);
    anthropic_put_member(x, "role", is_assistant(from) ? "assistant" : stands_alone(x, from) ? "system" : "user");
    j->key(x->out, "content");
    if (text) {
        j->put_text(x->out, &text->text);
    } else {
        j->array_begin(x->out);
        put_turn_blocks(x, from, end);
        j->array_end(x->out);
    }
    j->object_end(x->out);
}

/* A conversation begins with the user here, also where other dialects let a prompt do. */
static void put_opening(struct encoding *x, const char *words)
{
    const struct weir_json_api *j = x->o.json;
    anthropic_lose(&x->o, WEIR_FEATURE_PREFILL, WEIR_LOSS_EMULATED, "a message of the user was put first");
    j->object_begin(x->out);
    anthropic_put_member(x, "role", "user");
    anthropic_put_member(x, "content", words);
    j->object_end(x->out);
}

void anthropic_put_messages(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t n = 0;
    j->key(x->out, "messages");
    j->array_begin(x->out);
    for (const struct weir_message *m = behind_system(x->c), *end; m && !x->o.failed; m = end) {
        end = end_of_turn(x, m);
        if (is_turn_empty(m, end))
            continue;
        if (n++ == 0 && is_assistant(m) && !x->o.is_own)
            put_opening(x, "(The conversation begins with your answer.)");
        put_turn(x, m, end);
    }
    if (!n && !x->o.is_own)
        put_opening(x, "(Do what your instructions say.)");
    j->array_end(x->out);
}
