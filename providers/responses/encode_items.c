/* The input of a request to a provider: what was said in one turn becomes several items, in the order in which it was said. What
 * the dialect can't say is told as a loss, or refused. */
#include "encode.h"

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* 16 hexadecimal digits of the string's digest: the same string always gives the same. */
static void digest(struct encoding *x, struct weir_str s, char out[17])
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

/* ---- names and ids ---- */

static bool is_name_fit(struct weir_str name)
{
    bool fit = name.n > 0 && name.n <= NAME_MAX;
    for (size_t i = 0; fit && i < name.n; i++)
        fit = is_name_char(name.p[i]);
    return fit;
}

/* A name that the provider would refuse is sent as a shorter one and put back in the answer. */
struct weir_str responses_sent_name(struct encoding *x, struct weir_str name)
{
    if (x->o.is_own || is_name_fit(name))
        return name;
    for (struct responses_alias *a = x->attempt->aliases; a; a = a->next)
        if (weir_eq(a->name, name))
            return a->sent;
    struct responses_alias *a = x->o.host->alloc(x->o.call, WEIR_FOR_ATTEMPT, sizeof(*a));
    char *p = a ? x->o.host->alloc(x->o.call, WEIR_FOR_ATTEMPT, NAME_MAX + 1) : NULL;
    if (!p)
        return name;
    size_t n = name.n < NAME_MAX - 17 ? name.n : NAME_MAX - 17;
    for (size_t i = 0; i < n; i++)
        p[i] = is_name_char(name.p[i]) ? name.p[i] : '_';
    p[n] = '_';
    digest(x, name, p + n + 1);
    *a = (struct responses_alias){ x->attempt->aliases, name, { p, n + 17 } };
    x->attempt->aliases = a;
    if (!x->was_name_told)
        responses_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "a name is sent as another and put back");
    x->was_name_told = true;
    return a->sent;
}

static void put_call_id(struct encoding *x, struct weir_str id)
{
    char hex[17];
    x->o.json->key(x->out, "call_id");
    if (x->o.is_own || (id.n && id.n <= ID_MAX)) {
        x->o.json->put_str(x->out, id);
        return;
    }
    digest(x, id, hex);
    x->o.json->put_str(x->out, x->o.host->format(x->o.call, "call_%s", hex));
}

/* ---- parts ---- */

void responses_put_member(struct encoding *x, const char *key, const char *value)
{
    x->o.json->key(x->out, key);
    x->o.json->put_str(x->out, weir_cstr(value));
}

static void lose_text_signature(struct encoding *x, const struct weir_part *p)
{
    if (p->signature.n)
        responses_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "a text has none here");
}

static void put_text_part(struct encoding *x, const struct weir_part *p, bool is_said)
{
    const struct weir_json_api *j = x->o.json;
    bool is_refusal = p->kind == WEIR_PART_REFUSAL && is_said;
    lose_text_signature(x, p);
    j->object_begin(x->out);
    responses_put_member(x, "type", is_refusal ? "refusal" : is_said ? "output_text" : "input_text");
    j->key(x->out, is_refusal ? "refusal" : "text");
    j->put_text(x->out, &p->text);
    if ((p->flags & WEIR_PART_CACHE_MARK) && weir_eq(p->dialect, RESPONSES_DIALECT)) {
        j->key(x->out, "prompt_cache_breakpoint");
        j->put_raw(x->out, WEIR_LIT("{\"mode\":\"explicit\"}"));
    }
    j->object_end(x->out);
}

static void put_data_url(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text head =
        weir_plain(x->o.host->format(x->o.call, "data:%.*s;base64,", (int)p->media_type.n, p->media_type.p));
    j->string_begin(x->out);
    j->string_part(x->out, &head);
    j->string_part(x->out, &p->data);
    j->string_end(x->out);
}

/* Files that lie with a provider are only of use to it. */
static bool is_foreign_id(struct encoding *x, const struct weir_part *p)
{
    bool is_foreign = !p->url.n && !p->data.n && !weir_eq(p->dialect, RESPONSES_DIALECT);
    if (is_foreign)
        responses_unsupported(
            &x->o, "messages",
            "An image or a file given by id can't be sent to another provider; send its bytes or a URL.");
    return is_foreign;
}

static void put_image(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (is_foreign_id(x, p))
        return;
    j->object_begin(x->out);
    responses_put_member(x, "type", "input_image");
    if (p->url.n || p->data.n) {
        j->key(x->out, "image_url");
        if (p->url.n)
            j->put_str(x->out, p->url);
        else
            put_data_url(x, p);
    } else {
        j->key(x->out, "file_id");
        j->put_str(x->out, p->file_id);
    }
    if (p->detail.n || !x->o.is_own) { /* the specification wants it said */
        j->key(x->out, "detail");
        j->put_str(x->out, p->detail.n ? p->detail : WEIR_LIT("auto"));
    }
    j->object_end(x->out);
}

static void put_audio(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str type = p->media_type;
    const char *slash = type.n ? memchr(type.p, '/', type.n) : NULL;
    struct weir_str format = slash ? (struct weir_str){ slash + 1, (size_t)(type.p + type.n - slash - 1) } : type;
    if (!p->data.n) {
        responses_unsupported(&x->o, "messages", "Audio can only be sent with its bytes to this dialect; inline it.");
        return;
    }
    if (weir_is(format, "mpeg"))
        format = WEIR_LIT("mp3");
    if (weir_is(format, "x-wav"))
        format = WEIR_LIT("wav");
    j->object_begin(x->out);
    responses_put_member(x, "type", "input_audio");
    j->key(x->out, "input_audio");
    j->object_begin(x->out);
    j->key(x->out, "data");
    j->put_text(x->out, &p->data);
    j->key(x->out, "format");
    j->put_str(x->out, format);
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_file(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (is_foreign_id(x, p))
        return;
    j->object_begin(x->out);
    responses_put_member(x, "type", "input_file");
    if (p->data.n) {
        j->key(x->out, "filename"); /* the dialect refuses bytes without a name */
        j->put_str(x->out, p->name.n ? p->name : WEIR_LIT("document.pdf"));
        j->key(x->out, "file_data");
        put_data_url(x, p);
    } else {
        j->key(x->out, p->url.n ? "file_url" : "file_id");
        j->put_str(x->out, p->url.n ? p->url : p->file_id);
    }
    j->object_end(x->out);
}

static bool is_own_raw(const struct weir_part *p)
{
    return p->raw.n && weir_eq(p->dialect, RESPONSES_DIALECT);
}

static void put_opaque(struct encoding *x, const struct weir_part *p)
{
    if (is_own_raw(p))
        x->o.json->put_raw(x->out, p->raw);
    else
        responses_unsupported(
            &x->o, "messages",
            "A block that only the client's own dialect has can't be sent to a provider of the responses dialect.");
}

static void put_part(struct encoding *x, const struct weir_part *p, bool is_said)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        put_text_part(x, p, is_said);
        break;
    case WEIR_PART_IMAGE:
        put_image(x, p);
        break;
    case WEIR_PART_AUDIO:
        put_audio(x, p);
        break;
    case WEIR_PART_FILE:
        put_file(x, p);
        break;
    default:
        put_opaque(x, p);
    }
}

/* ---- what an assistant said ---- */

static void put_call(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text none = WEIR_TEXT("{}");
    if (p->signature.n && !weir_eq(p->dialect, RESPONSES_DIALECT))
        responses_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "of another provider");
    j->object_begin(x->out);
    responses_put_member(x, "type", "function_call");
    put_call_id(x, p->id);
    j->key(x->out, "name");
    j->put_str(x->out, responses_sent_name(x, p->name));
    j->key(x->out, "arguments");
    j->put_text(x->out, p->text.n || x->o.is_own ? &p->text : &none);
    j->object_end(x->out);
}

static void put_texts(struct encoding *x, const struct weir_part *p, const char *key, const char *type)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, key);
    j->array_begin(x->out);
    if (p && p->text.n) {
        j->object_begin(x->out);
        responses_put_member(x, "type", type);
        j->key(x->out, "text");
        j->put_text(x->out, &p->text);
        j->object_end(x->out);
    }
    j->array_end(x->out);
}

/* Only the provider that thought can go on from its thoughts; to a client of this dialect every target was one provider. */
static void put_reasoning(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool is_content = weir_is(p->name, "reasoning_text");
    if (!weir_eq(p->dialect, RESPONSES_DIALECT) || (p->flags & WEIR_PART_REDACTED)) {
        if (p->text.n && !(p->flags & WEIR_PART_REDACTED)) /* of redacted ones the table tells */
            responses_lose(&x->o, WEIR_FEATURE_THINKING, WEIR_LOSS_DROPPED, "of another provider");
        if (p->signature.n)
            responses_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "of another provider");
        return;
    }
    j->object_begin(x->out);
    responses_put_member(x, "type", "reasoning");
    if (p->id.n) {
        j->key(x->out, "id");
        j->put_str(x->out, p->id);
    }
    put_texts(x, is_content ? NULL : p, "summary", "summary_text");
    if (is_content)
        put_texts(x, p, "content", "reasoning_text");
    if (p->signature.n) {
        j->key(x->out, "encrypted_content");
        j->put_text(x->out, &p->signature);
    }
    j->object_end(x->out);
}

static bool is_message_part(const struct weir_part *p)
{
    return p->kind == WEIR_PART_TEXT || p->kind == WEIR_PART_REFUSAL || p->kind == WEIR_PART_IMAGE ||
           p->kind == WEIR_PART_AUDIO || p->kind == WEIR_PART_FILE;
}

static void message_begin(struct encoding *x, const char *role)
{
    x->o.json->object_begin(x->out);
    responses_put_member(x, "type", "message");
    responses_put_member(x, "role", role);
}

/* Parts that stand side by side are one message; one with an id of its own begins the next. */
static const struct weir_part *put_said(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool is_plain = p->kind == WEIR_PART_TEXT && !p->id.n && !x->o.is_own && !(p->flags & WEIR_PART_CACHE_MARK);
    message_begin(x, "assistant");
    if (is_plain) { /* parts of an answer have an id and a status; what another dialect kept of it has none */
        lose_text_signature(x, p);
        j->key(x->out, "content");
        j->put_text(x->out, &p->text);
        j->object_end(x->out);
        return p->next;
    }
    if (p->id.n) {
        j->key(x->out, "id");
        j->put_str(x->out, p->id);
        responses_put_member(x, "status", "completed");
    }
    j->key(x->out, "content");
    j->array_begin(x->out);
    do {
        put_part(x, p, true);
        p = p->next;
    } while (p && is_message_part(p) && !p->id.n);
    j->array_end(x->out);
    j->object_end(x->out);
    return p;
}

/* Streams of other dialects leave empty texts beside calls, where a message would part them from their results. */
static bool is_empty_beside(const struct encoding *x, const struct weir_message *m, const struct weir_part *p)
{
    return !x->o.is_own && p->kind == WEIR_PART_TEXT && !p->text.n && m->parts->next;
}

static void put_assistant(struct encoding *x, const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p && !x->o.failed;) {
        if (is_empty_beside(x, m, p)) {
            lose_text_signature(x, p);
            p = p->next;
            continue;
        }
        if (is_message_part(p)) {
            p = put_said(x, p);
            continue;
        }
        if (p->kind == WEIR_PART_TOOL_CALL)
            put_call(x, p);
        else if (p->kind == WEIR_PART_THINKING)
            put_reasoning(x, p);
        else
            put_opaque(x, p);
        p = p->next;
    }
}

/* ---- results and the others ---- */

static bool is_one_text(const struct weir_part *parts)
{
    return parts && !parts->next && parts->kind == WEIR_PART_TEXT && !(parts->flags & WEIR_PART_CACHE_MARK);
}

static void put_parts(struct encoding *x, const struct weir_part *p, bool is_said)
{
    const struct weir_json_api *j = x->o.json;
    j->array_begin(x->out);
    for (; p && !x->o.failed; p = p->next)
        put_part(x, p, is_said);
    j->array_end(x->out);
}

static void put_results(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text none = { 0 };
    for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next) {
        j->object_begin(x->out);
        responses_put_member(x, "type", "function_call_output");
        put_call_id(x, p->id);
        j->key(x->out, "output");
        if (!p->parts || is_one_text(p->parts))
            j->put_text(x->out, p->parts ? &p->parts->text : &none);
        else
            put_parts(x, p->parts, false);
        j->object_end(x->out);
    }
}

static void put_plain_message(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    if (!m->parts)
        return;
    message_begin(x, m->role == WEIR_ROLE_SYSTEM ? "system" : "user");
    j->key(x->out, "content");
    if (is_one_text(m->parts))
        j->put_text(x->out, &m->parts->text);
    else
        put_parts(x, m->parts, false);
    j->object_end(x->out);
}

/* The prompt of another dialect is what instructions are here, if anything else is said. A client of this one that gave none
 * shall have none: they are treated otherwise when its conversation is stored. */
void responses_choose_instructions(struct encoding *x)
{
    const struct weir_message *m = x->c->messages;
    x->has_instructions = m && m->next && m->role == WEIR_ROLE_SYSTEM && is_one_text(m->parts) &&
                          (!x->o.is_own || responses_own_member(x, "instructions").n);
}

void responses_put_instructions(struct encoding *x)
{
    if (!x->has_instructions)
        return;
    x->o.json->key(x->out, "instructions");
    x->o.json->put_text(x->out, &x->c->messages->parts->text);
}

void responses_put_input(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_message *m = x->c->messages;
    j->key(x->out, "input");
    j->array_begin(x->out);
    for (m = x->has_instructions ? m->next : m; m && !x->o.failed; m = m->next) {
        if (m->role == WEIR_ROLE_ASSISTANT)
            put_assistant(x, m);
        else if (m->role == WEIR_ROLE_TOOL)
            put_results(x, m);
        else
            put_plain_message(x, m);
    }
    j->array_end(x->out);
}
