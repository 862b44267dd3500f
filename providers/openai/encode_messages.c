/* The messages of a request to a provider: what the dialect can't say of them the table (openai.c) tells, or it is
 * refused. */
#include "quirks.h"

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
struct weir_str openai_sent_name(struct encoding *x, struct weir_str name)
{
    if (x->o.is_own || is_name_fit(name))
        return name;
    for (struct openai_alias *a = x->attempt->aliases; a; a = a->next)
        if (weir_eq(a->name, name))
            return a->sent;
    struct openai_alias *a = x->o.host->alloc(x->o.call, WEIR_FOR_ATTEMPT, sizeof(*a));
    char *p = a ? x->o.host->alloc(x->o.call, WEIR_FOR_ATTEMPT, NAME_MAX + 1) : NULL;
    if (!p)
        return name;
    size_t n = name.n < NAME_MAX - 17 ? name.n : NAME_MAX - 17;
    for (size_t i = 0; i < n; i++)
        p[i] = is_name_char(name.p[i]) ? name.p[i] : '_';
    p[n] = '_';
    digest(x, name, p + n + 1);
    *a = (struct openai_alias){ x->attempt->aliases, name, { p, n + 17 } };
    x->attempt->aliases = a;
    openai_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "names are sent as shorter ones");
    return a->sent;
}

static void put_id(struct encoding *x, struct weir_str id)
{
    char hex[17];
    struct weir_str fit;
    if (openai_fit_id(x, id, &fit)) {
        x->o.json->put_str(x->out, fit);
        return;
    }
    if (x->o.is_own || (id.n && id.n <= ID_MAX)) {
        x->o.json->put_str(x->out, id);
        return;
    }
    digest(x, id, hex);
    openai_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "ids are sent as shorter ones");
    x->o.json->put_str(x->out, x->o.host->format(x->o.call, "call_%s", hex));
}

/* ---- parts ---- */

void openai_put_member(struct encoding *x, const char *key, const char *value)
{
    x->o.json->key(x->out, key);
    x->o.json->put_str(x->out, weir_cstr(value));
}

static void put_text_part(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    openai_put_member(x, "type", "text");
    j->key(x->out, "text");
    j->put_text(x->out, &p->text);
    if ((p->flags & WEIR_PART_CACHE_MARK) && x->o.is_own) {
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

static void put_image(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (!p->url.n && !p->data.n) {
        openai_unsupported(&x->o, "messages",
                           "An image given by file id can't be sent to another dialect; send its bytes or a URL.");
        return;
    }
    j->object_begin(x->out);
    openai_put_member(x, "type", "image_url");
    j->key(x->out, "image_url");
    j->object_begin(x->out);
    j->key(x->out, "url");
    if (p->url.n)
        j->put_str(x->out, p->url);
    else
        put_data_url(x, p);
    if (p->detail.n && !openai_drops(x, "image_url.detail", WEIR_FEATURE_IMAGE_DETAIL)) {
        j->key(x->out, "detail");
        j->put_str(x->out, p->detail);
    }
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_audio(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str type = p->media_type;
    const char *slash = type.n ? memchr(type.p, '/', type.n) : NULL;
    struct weir_str format = slash ? (struct weir_str){ slash + 1, (size_t)(type.p + type.n - slash - 1) } : type;
    if (weir_is(format, "mpeg"))
        format = WEIR_LIT("mp3");
    if (weir_is(format, "x-wav"))
        format = WEIR_LIT("wav");
    if (!p->data.n) {
        openai_unsupported(&x->o, "messages", "Audio can only be sent with its bytes to this dialect; inline it.");
        return;
    }
    j->object_begin(x->out);
    openai_put_member(x, "type", "input_audio");
    j->key(x->out, "input_audio");
    j->object_begin(x->out);
    j->key(x->out, "data");
    j->put_text(x->out, &p->data);
    j->key(x->out, "format");
    j->put_str(x->out, format);
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_file_body(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (p->file_id.n) {
        j->key(x->out, "file_id");
        j->put_str(x->out, p->file_id);
        return;
    }
    j->key(x->out, "filename"); /* the dialect refuses bytes without a name */
    j->put_str(x->out, p->name.n ? p->name : WEIR_LIT("document.pdf"));
    j->key(x->out, "file_data");
    if (p->data.n)
        put_data_url(x, p);
    else
        j->put_str(x->out, p->url);
}

static void put_file(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool is_own = (p->file_id.n || p->url.n) && weir_eq(p->dialect, OPENAI_DIALECT);
    if (!p->data.n && !is_own) {
        openai_unsupported(&x->o, "messages",
                           "A file can only be sent with its bytes to a provider of the openai dialect; inline it.");
        return;
    }
    j->object_begin(x->out);
    openai_put_member(x, "type", "file");
    j->key(x->out, "file");
    j->object_begin(x->out);
    put_file_body(x, p);
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_part(struct encoding *x, const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        put_text_part(x, p);
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
    case WEIR_PART_OPAQUE:
        if (weir_eq(p->dialect, OPENAI_DIALECT) && p->raw.n)
            x->o.json->put_raw(x->out, p->raw);
        else
            openai_unsupported(&x->o, "messages",
                               "A content block that only the client's own dialect has can't be sent to a provider of "
                               "the openai dialect.");
        break;
    default:
        break;
    }
}

/* ---- content ---- */

static bool is_content(const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_IMAGE:
    case WEIR_PART_AUDIO:
    case WEIR_PART_FILE:
        return true;
    case WEIR_PART_OPAQUE:
        return !p->name.n && !(p->raw.n && memmem(p->raw.p, p->raw.n, "\"custom\"", 8));
    default:
        return false;
    }
}

struct shape {
    uint32_t texts, others;
    bool has_mark; /* a cache mark at a text */
};

static struct shape shape_of(const struct weir_part *p)
{
    struct shape s = { 0, 0, false };
    for (; p; p = p->next) {
        if (p->kind == WEIR_PART_TEXT) {
            s.texts++;
            s.has_mark = s.has_mark || (p->flags & WEIR_PART_CACHE_MARK);
        } else if (is_content(p)) {
            s.others++;
        }
    }
    return s;
}

static void put_joined(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text gap = WEIR_TEXT("\n\n");
    bool is_first = true;
    j->string_begin(x->out);
    for (; p; p = p->next) {
        if (p->kind != WEIR_PART_TEXT)
            continue;
        if (!is_first)
            j->string_part(x->out, &gap);
        is_first = false;
        j->string_part(x->out, &p->text);
    }
    j->string_end(x->out);
}

/* A string if one will do: not every compatible server takes parts. */
static void put_content(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    struct shape s = shape_of(parts);
    bool joins = x->attempt->entry && x->attempt->entry->text_content == OPENAI_TEXT_STRING;
    j->key(x->out, "content");
    if (!s.others && ((s.texts <= 1 && !(s.has_mark && x->o.is_own)) || joins)) {
        put_joined(x, parts);
        if (s.has_mark && x->o.is_own)
            openai_lose(&x->o, WEIR_FEATURE_CACHE_MARK, WEIR_LOSS_DROPPED, "this server takes no content parts");
        return;
    }
    j->array_begin(x->out);
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next)
        if (is_content(p) && !(p->kind == WEIR_PART_TEXT && !p->text.n))
            put_part(x, p);
    j->array_end(x->out);
}

static void put_name(struct encoding *x, const struct weir_message *m)
{
    if (!m->name.n || openai_drops(x, "messages.name", WEIR_FEATURE_MESSAGE_NAME))
        return;
    x->o.json->key(x->out, "name");
    x->o.json->put_str(x->out, m->name);
}

static bool is_silent(const struct weir_message *m)
{
    bool silent = true;
    for (const struct weir_part *p = m->parts; p && silent; p = p->next)
        silent = p->kind == WEIR_PART_TEXT && !p->text.n;
    return silent;
}

static void put_plain_message(struct encoding *x, const struct weir_message *m)
{
    if (m->role == WEIR_ROLE_SYSTEM && !x->o.is_own && is_silent(m))
        return; /* an empty prompt is none */
    x->o.json->object_begin(x->out);
    openai_put_member(x, "role", m->role == WEIR_ROLE_SYSTEM ? "system" : "user");
    put_content(x, m->parts);
    put_name(x, m);
    x->o.json->object_end(x->out);
}

/* ---- an assistant's message ---- */

static void put_tool_call(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text none = WEIR_TEXT("{}");
    if (p->kind == WEIR_PART_OPAQUE) {
        j->put_raw(x->out, p->raw);
        return;
    }
    j->object_begin(x->out);
    j->key(x->out, "id");
    put_id(x, p->id);
    openai_put_member(x, "type", "function");
    j->key(x->out, "function");
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, openai_sent_name(x, p->name));
    j->key(x->out, "arguments");
    j->put_text(x->out, p->text.n ? &p->text : &none);
    j->object_end(x->out);
    j->object_end(x->out);
}

static bool is_call(const struct weir_part *p)
{
    return p->kind == WEIR_PART_TOOL_CALL || (p->kind == WEIR_PART_OPAQUE && !p->name.n && !is_content(p));
}

/* Of another dialect's provider, in a conversation of this dialect: elsewhere the table tells. */
static void lose_signature(struct encoding *x, const struct weir_part *p)
{
    if (x->o.is_own && p->signature.n)
        openai_lose(&x->o, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "another provider's");
}

static uint32_t put_tool_calls(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t n = 0;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (!is_call(p))
            continue;
        if (n++ == 0) {
            j->key(x->out, "tool_calls");
            j->array_begin(x->out);
        }
        put_tool_call(x, p);
        lose_signature(x, p);
    }
    if (n)
        j->array_end(x->out);
    return n;
}

static void lose_thought(struct encoding *x, const struct weir_part *p)
{
    bool is_redacted = p->flags & WEIR_PART_REDACTED;
    if (is_redacted && !x->o.is_own)
        return; /* the table tells */
    openai_lose(&x->o, is_redacted ? WEIR_FEATURE_REDACTED : WEIR_FEATURE_THINKING, WEIR_LOSS_DROPPED,
                "only servers with replay_reasoning take earlier thoughts");
}

/* Thoughts go back only where they came from, or where the entry says that the provider wants them. */
static void put_reasoning(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    bool replays = x->attempt->entry && x->attempt->entry->replays_reasoning, has_begun = false;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_THINKING)
            continue;
        if ((!weir_eq(p->dialect, OPENAI_DIALECT) && !replays) || (p->flags & WEIR_PART_REDACTED)) {
            lose_thought(x, p);
            lose_signature(x, p);
            continue;
        }
        if (!has_begun) {
            j->key(x->out, "reasoning_content");
            j->string_begin(x->out);
        }
        has_begun = true;
        j->string_part(x->out, &p->text);
    }
    if (has_begun)
        j->string_end(x->out);
}

static bool put_refusal(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_REFUSAL)
            continue;
        if (!has_begun) {
            j->key(x->out, "refusal");
            j->string_begin(x->out);
        }
        has_begun = true;
        j->string_part(x->out, &p->text);
    }
    if (has_begun)
        j->string_end(x->out);
    return has_begun;
}

/* function_call and audio, as they came. */
static void put_own_members(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_OPAQUE || !p->name.n || !weir_eq(p->dialect, OPENAI_DIALECT))
            continue;
        x->o.json->key_str(x->out, p->name);
        x->o.json->put_raw(x->out, p->raw);
    }
}

static void refuse_foreign(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next)
        if (p->kind == WEIR_PART_OPAQUE && !weir_eq(p->dialect, OPENAI_DIALECT))
            put_part(x, p);
}

static void put_assistant(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    struct shape s = shape_of(m->parts);
    refuse_foreign(x, m->parts);
    if (x->o.failed)
        return;
    j->object_begin(x->out);
    openai_put_member(x, "role", "assistant");
    put_reasoning(x, m->parts);
    bool has_refusal = put_refusal(x, m->parts);
    uint32_t calls = put_tool_calls(x, m->parts);
    put_own_members(x, m->parts);
    if (s.texts || s.others || (!calls && !has_refusal)) {
        put_content(x, m->parts);
    } else {
        j->key(x->out, "content");
        j->put_null(x->out);
    }
    put_name(x, m);
    j->object_end(x->out);
}

/* ---- tool results ---- */

/* Only the texts: what else a result has follows later. */
static const struct weir_part *texts_of(struct encoding *x, const struct weir_part *from)
{
    struct weir_part *first = NULL, **end = &first;
    for (; from; from = from->next) {
        struct weir_part *copy =
            from->kind == WEIR_PART_TEXT ? x->o.host->alloc(x->o.call, WEIR_FOR_CALL, sizeof(*copy)) : NULL;
        if (!copy)
            continue;
        *copy = *from;
        copy->next = NULL;
        *end = copy;
        end = &copy->next;
    }
    return first;
}

static void put_result(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool is_function = !p->id.n && x->o.is_own; /* the form before there were tools */
    j->object_begin(x->out);
    openai_put_member(x, "role", is_function ? "function" : "tool");
    if (!is_function) {
        j->key(x->out, "tool_call_id");
        put_id(x, p->id);
    }
    put_content(x, x->o.is_own ? p->parts : texts_of(x, p->parts));
    if (p->name.n && x->o.is_own) {
        j->key(x->out, "name");
        j->put_str(x->out, p->name);
    }
    j->object_end(x->out);
}

/* By the book results are only text in this dialect: their images follow in a message of the user. */
static void put_result_images(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t n = 0;
    for (const struct weir_message *m = from; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            for (const struct weir_part *c = p->parts; c && !x->o.failed; c = c->next) {
                if (c->kind == WEIR_PART_TEXT)
                    continue;
                if (n++ == 0) {
                    j->object_begin(x->out);
                    openai_put_member(x, "role", "user");
                    j->key(x->out, "content");
                    j->array_begin(x->out);
                }
                put_part(x, c);
            }
    if (!n)
        return;
    j->array_end(x->out);
    j->object_end(x->out);
}

/* A run of messages with results; returns the first behind it. */
static const struct weir_message *put_results(struct encoding *x, const struct weir_message *from)
{
    const struct weir_message *m = from;
    for (; m && m->role == WEIR_ROLE_TOOL; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            put_result(x, p);
    if (!x->o.is_own)
        put_result_images(x, from, m);
    return m;
}

void openai_put_messages(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "messages");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed;) {
        if (m->role == WEIR_ROLE_TOOL) {
            m = put_results(x, m);
            continue;
        }
        if (m->role == WEIR_ROLE_ASSISTANT)
            put_assistant(x, m);
        else
            put_plain_message(x, m);
        m = m->next;
    }
    j->array_end(x->out);
}
