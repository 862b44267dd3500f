/* The messages of a request to a provider. On the wire turns alternate: neighbours of one side are one message, and the results of
 * tools stand first in the user's. What the dialect can't say is told as a loss, or refused. */
#include "encode.h"

enum { NAME_MAX_SENT = 64, MISTRAL_ID = 9 };

void bedrock_digest(struct encoding *x, struct weir_str s, char out[17])
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

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_fit(struct weir_str s, const char *more)
{
    bool fit = s.n > 0 && s.n <= NAME_MAX_SENT;
    for (size_t i = 0; fit && i < s.n; i++)
        fit = is_word(s.p[i]) || (s.p[i] && strchr(more, s.p[i]));
    return fit;
}

/* The beginning of s as far as it fits, and its digest: the same for the call and its result, another for every other string. */
static struct weir_str made_fit(struct encoding *x, struct weir_str s)
{
    char hex[17], kept[NAME_MAX_SENT];
    size_t n = 0;
    for (; n < s.n && n < NAME_MAX_SENT - 17; n++)
        kept[n] = is_fit((struct weir_str){ s.p + n, 1 }, "_-") ? s.p[n] : '_';
    bedrock_digest(x, s, hex);
    return x->o.host->format(x->o.call, "%.*s_%s", (int)n, kept, hex);
}

/* A name that the provider would refuse is sent as another one and put back in the answer. */
struct weir_str bedrock_sent_name(struct encoding *x, struct weir_str name)
{
    const struct weir_host *h = x->o.host;
    if (x->o.is_own || is_fit(name, "_-"))
        return name;
    for (struct bedrock_alias *a = x->attempt->aliases; a; a = a->next)
        if (weir_eq(a->name, name))
            return a->sent;
    struct weir_str made = made_fit(x, name);
    struct bedrock_alias *a = h->alloc(x->o.call, WEIR_FOR_ATTEMPT, sizeof(*a));
    char *p = a ? h->alloc(x->o.call, WEIR_FOR_ATTEMPT, made.n + 1) : NULL;
    if (!p)
        return name;
    memcpy(p, made.p, made.n);
    *a = (struct bedrock_alias){ x->attempt->aliases, name, { p, made.n } };
    x->attempt->aliases = a;
    return a->sent;
}

/* Mistral's models want nine letters and digits. */
void bedrock_put_id(struct encoding *x, struct weir_str id)
{
    char hex[17];
    bool is_mistral = x->model.family == BEDROCK_MISTRAL;
    bool fits = is_mistral ? id.n == MISTRAL_ID && is_fit(id, "") : is_fit(id, "_.:-");
    if (fits || x->o.is_own) {
        x->o.json->put_str(x->out, id);
    } else if (is_mistral) {
        bedrock_digest(x, id, hex);
        x->o.json->put_str(x->out, (struct weir_str){ hex, MISTRAL_ID });
    } else {
        x->o.json->put_str(x->out, made_fit(x, id));
    }
}

/* ---- blocks ---- */

static void put_plain(struct encoding *x, struct weir_str plain)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    j->key(x->out, "text");
    j->put_str(x->out, plain);
    j->object_end(x->out);
}

static void put_text(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    bool is_json = weir_is(p->media_type, "application/json") && x->o.is_own;
    if (p->signature.n)
        bedrock_lose_once(x, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "a text has none here");
    if (x->o.is_own && p->media_type.n && !is_json) {
        bedrock_put_document(x, p);
        return;
    }
    if (!x->o.is_own && bedrock_is_blank(x, &p->text))
        return; /* refused */
    j->object_begin(x->out);
    j->key(x->out, is_json ? "json" : "text");
    if (is_json)
        j->put_text_raw(x->out, &p->text);
    else
        j->put_text(x->out, &p->text);
    j->object_end(x->out);
}

/* Thoughts go back only to who had them. */
static bool is_thinking_said(const struct encoding *x, const struct weir_part *p)
{
    bool is_redacted = p->flags & WEIR_PART_REDACTED;
    bool needs_signature = !x->o.is_own || x->model.family == BEDROCK_CLAUDE;
    return weir_eq(p->dialect, BEDROCK_DIALECT) && (!needs_signature || is_redacted || p->signature.n);
}

static void put_thinking(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (!is_thinking_said(x, p)) {
        bool is_redacted = p->flags & WEIR_PART_REDACTED;
        bedrock_lose_once(x, is_redacted ? WEIR_FEATURE_REDACTED : WEIR_FEATURE_THINKING, WEIR_LOSS_DROPPED,
                          "it carries no signature of Bedrock's");
        if (p->signature.n)
            bedrock_lose_once(x, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "of another provider");
        return;
    }
    j->object_begin(x->out);
    j->key(x->out, "reasoningContent");
    j->object_begin(x->out);
    if (p->flags & WEIR_PART_REDACTED) {
        j->key(x->out, "redactedContent");
        j->put_text(x->out, &p->data);
    } else {
        j->key(x->out, "reasoningText");
        j->object_begin(x->out);
        j->key(x->out, "text");
        j->put_text(x->out, &p->text);
        if (p->signature.n) {
            j->key(x->out, "signature");
            j->put_text(x->out, &p->signature);
        }
        j->object_end(x->out);
    }
    j->object_end(x->out);
    j->object_end(x->out);
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
    bool is_json = j->valid(x->o.call, arguments, (enum weir_json_type)0);
    if (is_json && (x->o.is_own || j->valid(x->o.call, arguments, WEIR_JSON_OBJECT))) {
        j->put_text_raw(x->out, arguments);
        return;
    }
    bedrock_lose_once(x, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "arguments that are no object are wrapped in one");
    j->object_begin(x->out);
    j->key(x->out, is_json ? "value" : "_raw");
    if (is_json)
        j->put_text_raw(x->out, arguments);
    else
        j->put_text(x->out, arguments);
    j->object_end(x->out);
}

static void put_tool_use(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (p->signature.n)
        bedrock_lose_once(x, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "of another provider");
    j->object_begin(x->out);
    j->key(x->out, "toolUse");
    j->object_begin(x->out);
    j->key(x->out, "toolUseId");
    bedrock_put_id(x, p->id);
    j->key(x->out, "name");
    j->put_str(x->out, bedrock_sent_name(x, p->name));
    put_input(x, &p->text);
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_opaque(struct encoding *x, const struct weir_part *p)
{
    if (weir_eq(p->dialect, BEDROCK_DIALECT))
        x->o.json->put_raw(x->out, p->raw);
    else
        bedrock_unsupported(&x->o, "messages",
                            "A content part that only the client's own dialect has can't be sent to Bedrock.");
}

void bedrock_lose_ttl(struct encoding *x, struct weir_str ttl)
{
    if (!weir_is(ttl, "5m")) /* what it is where nothing is said */
        bedrock_lose_once(x, WEIR_FEATURE_CACHE_TTL, WEIR_LOSS_DROPPED, "this model keeps it for five minutes, or not at all");
}

void bedrock_put_cache_point(struct encoding *x, struct weir_str ttl)
{
    const struct weir_json_api *j = x->o.json;
    bool says_ttl = ttl.n && (x->o.is_own || (x->model.takes_ttl && !weir_is(ttl, "5m")));
    if (ttl.n && !says_ttl)
        bedrock_lose_ttl(x, ttl);
    j->object_begin(x->out);
    j->key(x->out, "cachePoint");
    j->object_begin(x->out);
    bedrock_put_member(&x->o, x->out, "type", "default");
    if (says_ttl) {
        j->key(x->out, "ttl");
        j->put_str(x->out, ttl);
    }
    j->object_end(x->out);
    j->object_end(x->out);
}

bool bedrock_takes_cache_mark(struct encoding *x)
{
    bool takes = x->o.is_own || x->model.family == BEDROCK_CLAUDE || x->model.family == BEDROCK_AMAZON;
    if (!takes)
        bedrock_lose_once(x, WEIR_FEATURE_CACHE_MARK, WEIR_LOSS_DROPPED, "this model does not take it");
    return takes;
}

static void put_cache_mark(struct encoding *x, const struct weir_part *p)
{
    if ((p->flags & WEIR_PART_CACHE_MARK) && bedrock_takes_cache_mark(x))
        bedrock_put_cache_point(x, p->cache_ttl);
    else if (p->cache_ttl.n)
        bedrock_lose_ttl(x, p->cache_ttl);
}

static void put_result(struct encoding *x, const struct weir_part *p);

static void put_block(struct encoding *x, const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        put_text(x, p);
        break;
    case WEIR_PART_IMAGE:
        bedrock_put_image(x, p);
        break;
    case WEIR_PART_FILE:
        bedrock_put_document(x, p);
        break;
    case WEIR_PART_AUDIO:
        bedrock_put_audio(x, p);
        break;
    case WEIR_PART_THINKING:
        put_thinking(x, p);
        break;
    case WEIR_PART_TOOL_CALL:
        put_tool_use(x, p);
        break;
    case WEIR_PART_TOOL_RESULT:
        put_result(x, p);
        break;
    case WEIR_PART_OPAQUE:
        put_opaque(x, p);
        break;
    default:
        break;
    }
    put_cache_mark(x, p);
}

/* ---- results ---- */

/* What would be written of this part? Blank texts and thoughts that are not Bedrock's are not. */
static bool is_said(struct encoding *x, const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        return x->o.is_own || !bedrock_is_blank(x, &p->text);
    case WEIR_PART_THINKING:
        return is_thinking_said(x, p);
    default:
        return true;
    }
}

static bool has_anything(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p; p = p->next)
        if (is_said(x, p))
            return true;
    return false;
}

static void put_result(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    j->key(x->out, "toolResult");
    j->object_begin(x->out);
    j->key(x->out, "toolUseId");
    bedrock_put_id(x, p->id);
    j->key(x->out, "content");
    j->array_begin(x->out);
    for (const struct weir_part *child = p->parts; child && !x->o.failed; child = child->next)
        put_block(x, child);
    if (!x->o.is_own && !has_anything(x, p->parts))
        put_plain(x, WEIR_LIT("(empty)"));
    j->array_end(x->out);
    if (p->flags & WEIR_PART_IS_ERROR)
        bedrock_put_member(&x->o, x->out, "status", "error");
    j->object_end(x->out);
    j->object_end(x->out);
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

static void put_sentences(struct encoding *x)
{
    const struct weir_host *h = x->o.host;
    if (x->schema.n)
        put_plain(
            x, h->format(x->o.call,
                         "Answer with one JSON value and nothing else: no code fence, no words around it. It must be "
                         "valid against this JSON Schema: %.*s",
                         (int)x->schema.n, x->schema.p));
    else if (x->must_be_json)
        put_plain(x, WEIR_LIT("Answer with one JSON object and nothing else: no code fence, no words around it."));
    if (x->must_call && x->call.n)
        put_plain(x, h->format(x->o.call, "Answer this turn by calling the tool %.*s.", (int)x->call.n, x->call.p));
    else if (x->must_call)
        put_plain(x, WEIR_LIT("Answer this turn by calling one of the tools."));
    if (x->must_not_call && x->has_calls)
        put_plain(x, WEIR_LIT("Answer this turn without calling a tool."));
}

void bedrock_put_system(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_message *end = behind_system(x->c);
    bool has_prompt = false, has_sentence = x->must_be_json || x->must_call || (x->must_not_call && x->has_calls);
    for (const struct weir_message *m = x->c->messages; m != end; m = m->next)
        has_prompt = has_prompt || has_anything(x, m->parts);
    if (!has_prompt && !has_sentence)
        return;
    j->key(x->out, "system");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next)
            put_block(x, p);
    if (!x->o.is_own)
        put_sentences(x);
    j->array_end(x->out);
}

/* ---- messages ---- */

static bool is_assistant(const struct weir_message *m)
{
    return m->role == WEIR_ROLE_ASSISTANT;
}

/* Do two neighbours belong to one message on the wire? Of the client's own dialect only what decode_request took apart. */
static bool are_one(const struct encoding *x, const struct weir_message *a, const struct weir_message *b)
{
    if (x->o.is_own)
        return (a->role == WEIR_ROLE_TOOL) != (b->role == WEIR_ROLE_TOOL) && !is_assistant(a) && !is_assistant(b);
    return is_assistant(a) == is_assistant(b);
}

static const struct weir_message *end_of_turn(const struct encoding *x, const struct weir_message *from)
{
    const struct weir_message *m = from;
    while (m->next && are_one(x, m, m->next))
        m = m->next;
    return m->next;
}

static bool is_turn_empty(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    for (const struct weir_message *m = from; m != end; m = m->next)
        if (has_anything(x, m->parts))
            return false;
    return true;
}

static void put_tagged(struct encoding *x, const struct weir_message *m)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text open = WEIR_TEXT("<system>\n"), close = WEIR_TEXT("\n</system>");
    bedrock_lose_once(x, WEIR_FEATURE_SYSTEM_LATER, WEIR_LOSS_EMULATED, "text of the user in <system> tags");
    for (const struct weir_part *p = m->parts; p; p = p->next) {
        if (!p->text.n)
            continue;
        j->object_begin(x->out);
        j->key(x->out, "text");
        j->string_begin(x->out);
        j->string_part(x->out, &open);
        j->string_part(x->out, &p->text);
        j->string_part(x->out, &close);
        j->string_end(x->out);
        j->object_end(x->out);
        put_cache_mark(x, p);
    }
}

struct turn {
    bool has_text, has_document;
};

static void look_at(struct encoding *x, const struct weir_part *parts, struct turn *turn)
{
    for (const struct weir_part *p = parts; p; p = p->next) {
        turn->has_text = turn->has_text || (p->kind == WEIR_PART_TEXT && is_said(x, p));
        turn->has_document = turn->has_document || p->kind == WEIR_PART_FILE;
    }
}

static void put_message_parts(struct encoding *x, const struct weir_message *m, struct turn *turn)
{
    if (m->name.n)
        bedrock_lose_once(x, WEIR_FEATURE_MESSAGE_NAME, WEIR_LOSS_DROPPED, "");
    if (m->role == WEIR_ROLE_SYSTEM && !x->o.is_own) {
        put_tagged(x, m);
        return;
    }
    for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next)
        put_block(x, p);
    look_at(x, m->parts, turn);
}

static void put_turn_blocks(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    struct turn turn = { false, false };
    for (const struct weir_message *m = from; m != end && !x->o.is_own; m = m->next)
        for (const struct weir_part *p = m->role == WEIR_ROLE_TOOL ? m->parts : NULL; p && !x->o.failed; p = p->next)
            put_block(x, p);
    for (const struct weir_message *m = from; m != end; m = m->next)
        if (m->role != WEIR_ROLE_TOOL || x->o.is_own)
            put_message_parts(x, m, &turn);
    if (turn.has_document && !turn.has_text && !x->o.is_own) { /* a document alone is refused */
        put_plain(x, WEIR_LIT("(See the document.)"));
        bedrock_lose_once(x, WEIR_FEATURE_FILE_DATA, WEIR_LOSS_EMULATED, "with a text beside it, as Bedrock demands");
    }
}

static const char *wire_role(const struct encoding *x, const struct weir_message *m)
{
    return is_assistant(m) ? "assistant" : m->role == WEIR_ROLE_SYSTEM && x->o.is_own ? "system" : "user";
}

static void put_turn(struct encoding *x, const struct weir_message *from, const struct weir_message *end)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    bedrock_put_member(&x->o, x->out, "role", wire_role(x, from));
    j->key(x->out, "content");
    j->array_begin(x->out);
    put_turn_blocks(x, from, end);
    j->array_end(x->out);
    j->object_end(x->out);
}

/* A conversation begins with the user here, also where other dialects let a prompt do. */
static void put_opening(struct encoding *x, const char *words)
{
    const struct weir_json_api *j = x->o.json;
    bedrock_lose_once(x, WEIR_FEATURE_PREFILL, WEIR_LOSS_EMULATED, "a sentence of the user stands before it");
    j->object_begin(x->out);
    bedrock_put_member(&x->o, x->out, "role", "user");
    j->key(x->out, "content");
    j->array_begin(x->out);
    put_plain(x, weir_cstr(words));
    j->array_end(x->out);
    j->object_end(x->out);
}

void bedrock_put_messages(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t n = 0;
    j->key(x->out, "messages");
    j->array_begin(x->out);
    for (const struct weir_message *m = behind_system(x->c), *end; m && !x->o.failed; m = end) {
        end = end_of_turn(x, m);
        if (!x->o.is_own && is_turn_empty(x, m, end))
            continue;
        if (n++ == 0 && is_assistant(m) && !x->o.is_own)
            put_opening(x, "(The conversation begins with your answer.)");
        put_turn(x, m, end);
    }
    if (!n && !x->o.is_own)
        put_opening(x, "(Do what your instructions say.)");
    j->array_end(x->out);
}
