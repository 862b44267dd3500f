/* The messages of a client's request. Texts stay where they are in the body; what was made of them is the request's.
 *
 * A block is an object with one member, whose name says what it is. The results of tools are blocks in a message of the user;
 * in a conversation they are messages of their own. */
#include "request.h"

/* Where the blocks of a wire message go. */
struct filling {
    struct weir_message *message; /* of the conversation, now; NULL: none yet */
    struct weir_message *first; /* made for this wire message */
    struct weir_part *parent; /* a tool result whose content is read; NULL: the message itself */
    struct weir_part *last; /* what a cache point marks */
};

/* The message that takes a block: results are collected in messages of role tool. */
static struct weir_message *message_for(struct reading *x, struct filling *f, enum weir_part_kind kind)
{
    bool is_result = kind == WEIR_PART_TOOL_RESULT;
    if (!f->message || (f->message->role == WEIR_ROLE_TOOL) != is_result)
        f->message = bedrock_add_message(x, is_result ? WEIR_ROLE_TOOL : WEIR_ROLE_USER);
    if (!f->first)
        f->first = f->message;
    return f->message;
}

static struct weir_part *add_part(struct reading *x, struct filling *f, enum weir_part_kind kind)
{
    const struct weir_host *h = x->o.host;
    struct weir_message *m = f->parent ? NULL : message_for(x, f, kind);
    struct weir_part *p = f->parent ? h->part_add_to(x->o.call, f->parent, kind)
                          : m       ? h->part_add(x->o.call, m, kind)
                                    : NULL;
    x->o.failed = x->o.failed || !p;
    f->last = p;
    return p;
}

/* ---- media ---- */

struct source {
    struct weir_str format, name, own; /* own: a source that only this dialect has, raw */
    struct weir_str context, citations;
    struct weir_text bytes, text;
    bool has_text;
};

static void read_source(struct reading *x, struct source *s)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        if (weir_is(key, "bytes"))
            j->text(x->r, &s->bytes);
        else if (weir_is(key, "text"))
            s->has_text = j->text(x->r, &s->text);
        else if (j->raw(x->r, &raw))
            s->own = bedrock_wrapped(&x->o, key, raw);
    }
}

static void read_media(struct reading *x, struct source *s)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        if (weir_is(key, "format"))
            j->string(x->r, &s->format);
        else if (weir_is(key, "name"))
            j->string(x->r, &s->name);
        else if (weir_is(key, "source"))
            read_source(x, s);
        else if (weir_is(key, "context"))
            j->raw(x->r, &s->context);
        else if (weir_is(key, "citations"))
            j->raw(x->r, &s->citations);
    }
}

static struct weir_str document_type(struct reading *x, struct weir_str format)
{
    static const char *const types[][2] = {
        { "pdf", "application/pdf" },
        { "txt", "text/plain" },
        { "md", "text/markdown" },
        { "csv", "text/csv" },
        { "html", "text/html" },
        { "doc", "application/msword" },
        { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
        { "xls", "application/vnd.ms-excel" },
        { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (weir_is(format, types[i][0]))
            return weir_cstr(types[i][1]);
    return x->o.host->format(x->o.call, "application/%.*s", (int)format.n, format.p);
}

static void put_own_member(struct reading *x, struct weir_out *out, const char *key, struct weir_str raw)
{
    if (!raw.n)
        return;
    x->o.json->key(out, key);
    x->o.json->put_raw(out, raw);
}

/* Of a source in S3, or made of blocks, nothing is known elsewhere: the block is kept as it was said. */
static void add_own_media(struct reading *x, struct filling *f, const char *kind, const struct source *s)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_part *p = add_part(x, f, WEIR_PART_OPAQUE);
    struct weir_out *out = x->o.host->out(x->o.call);
    x->o.failed = x->o.failed || !out;
    if (x->o.failed)
        return;
    j->object_begin(out);
    j->key(out, kind);
    j->object_begin(out);
    if (s->format.n) {
        j->key(out, "format");
        j->put_str(out, s->format);
    }
    if (s->name.n) {
        j->key(out, "name");
        j->put_str(out, s->name);
    }
    put_own_member(x, out, "source", s->own);
    put_own_member(x, out, "context", s->context);
    put_own_member(x, out, "citations", s->citations);
    j->object_end(out);
    j->object_end(out);
    p->raw = x->o.host->keep(x->o.call, x->o.host->out_bytes(out));
    p->dialect = BEDROCK_DIALECT;
}

/* What else a document says stays beside it, for this dialect alone. */
static void keep_own(struct reading *x, struct weir_part *p, const struct source *s)
{
    const struct weir_host *h = x->o.host;
    if (!s->context.n && !s->citations.n)
        return;
    p->dialect = BEDROCK_DIALECT;
    p->raw = h->format(x->o.call, "{%s%.*s%s%s%.*s}", s->context.n ? "\"context\":" : "", (int)s->context.n,
                       s->context.p, s->context.n && s->citations.n ? "," : "", s->citations.n ? "\"citations\":" : "",
                       (int)s->citations.n, s->citations.p);
}

static void take_media(struct reading *x, struct filling *f, const char *kind, enum weir_part_kind part)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_host *h = x->o.host;
    struct source s = { 0 };
    read_media(x, &s);
    if (j->failed(x->r))
        return;
    if (s.own.n) {
        add_own_media(x, f, kind, &s);
        return;
    }
    if (!s.bytes.n && !s.has_text) {
        j->reject(x->r, "needs a source with bytes");
        return;
    }
    struct weir_part *p = add_part(x, f, s.has_text ? WEIR_PART_TEXT : part);
    if (!p)
        return;
    p->text = s.text;
    p->data = s.bytes;
    p->name = s.name;
    bool is_mp3 = part == WEIR_PART_AUDIO && weir_is(s.format, "mp3");
    p->media_type = part == WEIR_PART_FILE ? document_type(x, s.format)
                    : is_mp3               ? WEIR_LIT("audio/mpeg")
                                           : h->format(x->o.call, "%s/%.*s", kind, (int)s.format.n, s.format.p);
    keep_own(x, p, &s);
}

static void read_image(struct reading *x, struct filling *f)
{
    take_media(x, f, "image", WEIR_PART_IMAGE);
}

static void read_document(struct reading *x, struct filling *f)
{
    take_media(x, f, "document", WEIR_PART_FILE);
}

static void read_audio(struct reading *x, struct filling *f)
{
    take_media(x, f, "audio", WEIR_PART_AUDIO);
}

/* ---- the other blocks ---- */

static void read_text(struct reading *x, struct filling *f)
{
    struct weir_part *p = add_part(x, f, WEIR_PART_TEXT);
    if (p)
        x->o.json->text(x->r, &p->text);
}

/* The result of a tool that is JSON is text to everybody else; here its type tells. */
static void read_json(struct reading *x, struct filling *f)
{
    struct weir_str raw;
    struct weir_part *p = add_part(x, f, WEIR_PART_TEXT);
    if (!p || !x->o.json->raw(x->r, &raw))
        return;
    p->text = weir_plain(raw);
    p->media_type = WEIR_LIT("application/json");
}

static void read_opaque(struct reading *x, struct filling *f, struct weir_str key, struct weir_str raw)
{
    struct weir_part *p = add_part(x, f, WEIR_PART_OPAQUE);
    if (!p)
        return;
    p->raw = x->o.host->keep(x->o.call, bedrock_wrapped(&x->o, key, raw));
    p->dialect = BEDROCK_DIALECT;
}

static void take_tool_use(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    struct weir_part *p = add_part(x, f, WEIR_PART_TOOL_CALL);
    for (bool is_in = p && j->object(x->r); is_in && j->member(x->r, &key);) {
        if (weir_is(key, "toolUseId"))
            j->string(x->r, &p->id);
        else if (weir_is(key, "name"))
            j->string(x->r, &p->name);
        else if (weir_is(key, "input") && j->raw(x->r, &raw))
            p->text = weir_plain(raw);
    }
    if (p && !j->failed(x->r) && (!p->id.n || !p->name.n))
        j->reject(x->r, "needs toolUseId, name and input");
    if (p)
        x->client->has_foreign |= bedrock_unmark_id(&x->o, &p->id, &p->signature, &p->dialect);
}

static void read_blocks(struct reading *x, struct filling *f);

static void take_tool_result(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, status = WEIR_NONE;
    struct weir_part *p = add_part(x, f, WEIR_PART_TOOL_RESULT);
    struct filling inside = { NULL, NULL, p, NULL };
    for (bool is_in = p && j->object(x->r); is_in && !x->o.failed && j->member(x->r, &key);) {
        if (weir_is(key, "toolUseId"))
            j->string(x->r, &p->id);
        else if (weir_is(key, "content") && !took_null(x))
            read_blocks(x, &inside);
        else if (weir_is(key, "status") && !took_null(x))
            j->string(x->r, &status);
    }
    struct weir_text signature;
    struct weir_str dialect;
    if (p && weir_is(status, "error"))
        p->flags |= WEIR_PART_IS_ERROR;
    if (p)
        x->client->has_foreign |= bedrock_unmark_id(&x->o, &p->id, &signature, &dialect);
    if (p && !j->failed(x->r) && !p->id.n)
        j->reject(x->r, "needs toolUseId");
}

/* "server_tool_use", "nova_grounding_result": of a tool that the provider ran itself. */
static bool is_hosted(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE;
    if (!memmem(raw.p, raw.n, "\"type\"", 6))
        return false;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "type") && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &type);
    return bedrock_is_hosted(type);
}

/* A call or a result, read from its own bytes, because only its last member may tell that nobody else knows it. */
static void read_tool_block(struct reading *x, struct filling *f, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_json *outer = x->r;
    struct weir_str raw;
    if (!j->raw(outer, &raw))
        return;
    if (raw.p[0] == '{' && is_hosted(x, raw)) {
        read_opaque(x, f, key, raw);
        return;
    }
    x->r = j->open(x->o.call, raw);
    if (weir_is(key, "toolUse"))
        take_tool_use(x, f);
    else
        take_tool_result(x, f);
    struct weir_json *inner = x->r;
    x->r = outer;
    if (!j->close(inner))
        j->reject_inside(outer, inner,
                         weir_is(key, "toolUse") ? "must be {\"toolUseId\":…,\"name\":…,\"input\":{…}}"
                                                 : "must be {\"toolUseId\":…,\"content\":[{\"text\":…}]}");
}

static void read_reasoning_text(struct reading *x, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(x->r); j->member(x->r, &key);) {
        if (weir_is(key, "text"))
            j->text(x->r, &p->text);
        else if (weir_is(key, "signature") && !took_null(x))
            j->text(x->r, &p->signature);
    }
}

static void read_reasoning(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_part *p = add_part(x, f, WEIR_PART_THINKING);
    for (bool is_in = p && j->object(x->r); is_in && j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        if (weir_is(key, "reasoningText"))
            read_reasoning_text(x, p);
        else if (weir_is(key, "redactedContent") && j->text(x->r, &p->data))
            p->flags |= WEIR_PART_REDACTED;
    }
    if (!p)
        return;
    p->dialect = BEDROCK_DIALECT;
    x->client->has_foreign |= bedrock_uncarry(&x->o, &p->signature, &p->dialect);
    x->client->has_unsigned |= !p->signature.n && !(p->flags & WEIR_PART_REDACTED);
}

struct weir_str bedrock_read_cache_ttl(struct reading *x, struct weir_str *raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, ttl = WEIR_NONE;
    if (!j->raw(x->r, raw) || raw->p[0] != '{')
        return ttl;
    struct weir_json *r = j->open(x->o.call, *raw);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "ttl") && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &ttl);
        else if (weir_is(key, "type"))
            j->skip(r);
    return ttl;
}

/* "Cache what stands before": a mark of the part before it. */
static void read_cache_point(struct reading *x, struct filling *f, struct weir_str key)
{
    struct weir_str raw, ttl = bedrock_read_cache_ttl(x, &raw);
    struct weir_part *p = f->last;
    if (x->o.json->failed(x->r))
        return;
    if (!p || p->raw.n || p->flags & WEIR_PART_CACHE_MARK) {
        read_opaque(x, f, key, raw);
        return;
    }
    p->flags |= WEIR_PART_CACHE_MARK;
    p->dialect = BEDROCK_DIALECT;
    p->cache_ttl = ttl;
}

static void read_block_member(struct reading *x, struct filling *f, struct weir_str key)
{
    static const struct {
        const char *name;
        void (*read)(struct reading *x, struct filling *f);
        bool only_in_result;
    } blocks[] = {
        { "text", read_text, false },         { "image", read_image, false },
        { "document", read_document, false }, { "reasoningContent", read_reasoning, false },
        { "audio", read_audio, false },       { "json", read_json, true },
    };
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
        if (weir_is(key, blocks[i].name) && (f->parent || !blocks[i].only_in_result)) {
            blocks[i].read(x, f);
            return;
        }
    struct weir_str raw;
    if (weir_is(key, "cachePoint"))
        read_cache_point(x, f, key);
    else if (weir_is(key, "toolUse") || weir_is(key, "toolResult"))
        read_tool_block(x, f, key);
    else if (x->o.json->raw(x->r, &raw))
        read_opaque(x, f, key, raw);
}

static void read_block(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    uint32_t n = 0;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        if (took_null(x))
            continue;
        read_block_member(x, f, key);
        n++;
    }
    if (n != 1 && !j->failed(x->r) && !x->o.failed)
        j->reject(x->r,
                  n ? "a block has one member, which says what it is" : "a block must have a member: text, image, …");
}

static void read_blocks(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_block(x, f);
}

/* ---- messages ---- */

static enum weir_role read_role(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str role;
    if (!j->string(x->r, &role))
        return WEIR_ROLE_USER;
    if (weir_is(role, "assistant"))
        return WEIR_ROLE_ASSISTANT;
    if (weir_is(role, "system"))
        return WEIR_ROLE_SYSTEM;
    if (!weir_is(role, "user"))
        j->reject(x->r, "must be user or assistant; the system prompt is the top-level member system");
    return WEIR_ROLE_USER;
}

static void check_message(struct reading *x, enum weir_role role, bool has_content)
{
    const struct weir_host *h = x->o.host;
    if (!role)
        bedrock_fail_at(x, h->format(x->o.call, "messages[%u].role", x->n_wire), "is missing; say user or assistant");
    else if (!has_content)
        bedrock_fail_at(x, h->format(x->o.call, "messages[%u].content", x->n_wire),
                        "is missing; send an array of blocks, [{\"text\":…}]");
}

static void read_message(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct filling f = { NULL, NULL, NULL, NULL };
    struct weir_str key;
    enum weir_role role = (enum weir_role)0;
    bool has_content = false;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        if (weir_is(key, "role")) {
            role = read_role(x);
        } else if (weir_is(key, "content")) {
            has_content = true;
            read_blocks(x, &f);
        } else {
            bedrock_read_ext(x, x->o.host->format(x->o.call, "messages[%u]", x->n_wire).p, key);
        }
    }
    if (j->failed(x->r) || x->o.failed)
        return;
    check_message(x, role, has_content);
    if (!f.first && !x->o.failed)
        f.first = bedrock_add_message(x, role);
    for (struct weir_message *m = f.first; m; m = m->next)
        if (m->role != WEIR_ROLE_TOOL)
            m->role = role;
    x->n_wire++;
}

void bedrock_read_messages(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        read_message(x);
}

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

void bedrock_read_system(struct reading *x)
{
    struct weir_message *m = bedrock_add_message(x, WEIR_ROLE_SYSTEM);
    struct filling f = { m, m, NULL, NULL };
    if (!m)
        return;
    read_blocks(x, &f);
    if (m != x->first)
        move_to_front(x, m);
}
