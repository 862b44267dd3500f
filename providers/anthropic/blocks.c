/* The messages of a client's request. Texts stay where they are in the body; what was made of them is the request's.
 *
 * On the wire the results of tools are blocks in a message of the user; in a conversation they are messages of their own. */
#include "request.h"

enum block {
    BLOCK_OPAQUE,
    BLOCK_TEXT,
    BLOCK_IMAGE,
    BLOCK_DOCUMENT,
    BLOCK_TOOL_USE,
    BLOCK_TOOL_RESULT,
    BLOCK_THINKING,
    BLOCK_REDACTED,
};

/* Where the blocks of a wire message go. */
struct filling {
    struct weir_message *message; /* of the conversation, now; NULL: none yet */
    struct weir_message *first; /* made for this wire message */
    struct weir_part *parent; /* a tool result whose content is read; NULL: the message itself */
    struct weir_part *last; /* added last */
};

static enum block block_of(struct weir_str type)
{
    static const struct {
        const char *name;
        enum block block;
    } blocks[] = {
        { "text", BLOCK_TEXT },
        { "tool_use", BLOCK_TOOL_USE },
        { "tool_result", BLOCK_TOOL_RESULT },
        { "image", BLOCK_IMAGE },
        { "document", BLOCK_DOCUMENT },
        { "thinking", BLOCK_THINKING },
        { "redacted_thinking", BLOCK_REDACTED },
    };
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
        if (weir_is(type, blocks[i].name))
            return blocks[i].block;
    return BLOCK_OPAQUE;
}

static enum weir_part_kind kind_of(enum block block)
{
    static const enum weir_part_kind kinds[] = {
        [BLOCK_OPAQUE] = WEIR_PART_OPAQUE,      [BLOCK_TEXT] = WEIR_PART_TEXT,
        [BLOCK_IMAGE] = WEIR_PART_IMAGE,        [BLOCK_DOCUMENT] = WEIR_PART_FILE,
        [BLOCK_TOOL_USE] = WEIR_PART_TOOL_CALL, [BLOCK_TOOL_RESULT] = WEIR_PART_TOOL_RESULT,
        [BLOCK_THINKING] = WEIR_PART_THINKING,  [BLOCK_REDACTED] = WEIR_PART_THINKING,
    };
    return kinds[block];
}

/* The message that takes a block: results are collected in messages of role tool. */
static struct weir_message *message_for(struct reading *x, struct filling *f, enum block block)
{
    enum weir_role role = block == BLOCK_TOOL_RESULT ? WEIR_ROLE_TOOL : WEIR_ROLE_USER;
    if (!f->message || (f->message->role == WEIR_ROLE_TOOL) != (role == WEIR_ROLE_TOOL))
        f->message = anthropic_add_message(x, role);
    if (!f->first)
        f->first = f->message;
    return f->message;
}

static struct weir_part *add_part(struct reading *x, struct filling *f, enum block block)
{
    const struct weir_host *h = x->o.host;
    struct weir_part *p = NULL;
    if (f->parent) {
        p = h->part_add_to(x->o.call, f->parent, kind_of(block));
    } else {
        struct weir_message *m = message_for(x, f, block);
        p = m ? h->part_add(x->o.call, m, kind_of(block)) : NULL;
    }
    x->o.failed = x->o.failed || !p;
    f->last = p;
    return p;
}

/* ---- members ---- */

/* A member that only this dialect has, kept for a request that is encoded anew: {"cache_control":…,"citations":…}. */
static void keep_own(struct reading *x, struct weir_json *r, struct weir_part *p, struct weir_str key)
{
    struct weir_str raw, had = p->raw;
    const struct weir_json_api *j = x->o.json;
    if (took_null(r, j) || !j->raw(r, &raw))
        return;
    if (weir_is(key, "cache_control")) {
        p->flags |= WEIR_PART_CACHE_MARK;
        p->cache_ttl = anthropic_cache_ttl(x, raw);
    }
    p->dialect = ANTHROPIC_DIALECT;
    p->raw = had.n ? x->o.host->format(x->o.call, "%.*s,\"%.*s\":%.*s}", (int)had.n - 1, had.p, (int)key.n, key.p,
                                       (int)raw.n, raw.p)
                   : x->o.host->format(x->o.call, "{\"%.*s\":%.*s}", (int)key.n, key.p, (int)raw.n, raw.p);
}

struct source {
    struct weir_str type, media_type, file_id;
    struct weir_text data, url;
    struct weir_part media; /* its media_type, data and url are of the url */
    bool has_content;
};

static void read_source_url(struct reading *x, struct weir_json *r, struct source *s)
{
    if (x->o.json->text(r, &s->url) && !x->o.host->media_url(x->o.call, &s->media, s->url))
        x->o.json->reject(r, "not a URL or data URI");
}

static void read_source_members(struct reading *x, struct weir_json *r, struct source *s)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            j->string(r, &s->type);
        else if (weir_is(key, "media_type") && !took_null(r, j))
            j->string(r, &s->media_type);
        else if (weir_is(key, "data"))
            j->text(r, &s->data);
        else if (weir_is(key, "url"))
            read_source_url(x, r, s);
        else if (weir_is(key, "file_id"))
            j->string(r, &s->file_id);
        else if (weir_is(key, "content"))
            s->has_content = j->skip(r);
    }
}

static void read_source(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct source s = { 0 };
    read_source_members(x, r, &s);
    p->media_type = s.media_type;
    if (weir_is(s.type, "base64")) {
        p->data = s.data;
        if (!s.data.n && !j->failed(r))
            j->reject(r, "its data is missing or empty");
    } else if (weir_is(s.type, "url")) {
        p->url = s.media.url;
        p->data = s.media.data;
        p->media_type = s.media.media_type;
        if (!s.url.n && !j->failed(r))
            j->reject(r, "its url is missing");
    } else if (weir_is(s.type, "file")) {
        p->file_id = s.file_id;
        p->dialect = ANTHROPIC_DIALECT;
    } else if (weir_is(s.type,
                       "text")) { /* a document of plain text: text to every other dialect; here its type tells */
        p->kind = WEIR_PART_TEXT;
        p->text = s.data;
    } else if (s.has_content) {
        p->kind = WEIR_PART_OPAQUE; /* a document of blocks; its raw is set by read_block */
    } else if (!j->failed(r)) {
        j->reject(r, "must be a source of type base64, url, file, text or content");
    }
}

static void read_blocks(struct reading *x, struct weir_json *r, struct filling *f);

static void read_result_content(struct reading *x, struct weir_json *r, struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    struct filling inside = { NULL, NULL, p, NULL };
    if (j->peek(r) == WEIR_JSON_STRING) {
        struct weir_part *text = add_part(x, &inside, BLOCK_TEXT);
        if (text)
            j->text(r, &text->text);
    } else if (!took_null(r, j)) {
        read_blocks(x, r, &inside);
    }
}

static bool read_tool_member(struct reading *x, struct weir_json *r, struct weir_part *p, enum block block,
                             struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw;
    bool is_error = false;
    if (block == BLOCK_TOOL_USE && weir_is(key, "id"))
        return j->string(r, &p->id);
    if (block == BLOCK_TOOL_USE && weir_is(key, "name"))
        return j->string(r, &p->name);
    if (block == BLOCK_TOOL_USE && weir_is(key, "input")) {
        if (j->raw(r, &raw))
            p->text = weir_plain(raw);
        return true;
    }
    if (block == BLOCK_TOOL_RESULT && weir_is(key, "tool_use_id"))
        return j->string(r, &p->id);
    if (block == BLOCK_TOOL_RESULT && weir_is(key, "content")) {
        read_result_content(x, r, p);
        return true;
    }
    if (block == BLOCK_TOOL_RESULT && weir_is(key, "is_error") && !took_null(r, j)) {
        if (j->boolean(r, &is_error) && is_error)
            p->flags |= WEIR_PART_IS_ERROR;
        return true;
    }
    return block == BLOCK_TOOL_RESULT && weir_is(key, "is_error");
}

/* true: the member was taken, or its value is of the wrong type. */
static bool read_member(struct reading *x, struct weir_json *r, struct weir_part *p, enum block block,
                        struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    switch (block) {
    case BLOCK_TEXT:
        if (weir_is(key, "text"))
            return j->text(r, &p->text), true;
        return false;
    case BLOCK_IMAGE:
    case BLOCK_DOCUMENT:
        if (weir_is(key, "source"))
            return read_source(x, r, p), true;
        if (weir_is(key, "title") && j->peek(r) == WEIR_JSON_STRING)
            return j->string(r, &p->name), true;
        return false;
    case BLOCK_THINKING:
        if (weir_is(key, "thinking"))
            return j->text(r, &p->text), true;
        if (weir_is(key, "signature") && j->peek(r) == WEIR_JSON_STRING)
            return j->text(r, &p->signature), true;
        return false;
    case BLOCK_REDACTED:
        if (weir_is(key, "data"))
            return j->text(r, &p->data), true;
        return false;
    default:
        return read_tool_member(x, r, p, block, key) || j->failed(r);
    }
}

/* What weir told in place of another dialect's: its signature, or a thought that nobody signed. */
static void take_foreign(struct reading *x, struct weir_part *p, enum block block)
{
    struct weir_text signature = { 0 };
    struct weir_str dialect = WEIR_NONE;
    bool is_foreign = false;
    if (block == BLOCK_THINKING) {
        is_foreign = anthropic_unwrap(&x->o, &p->signature, &p->dialect) || !p->signature.n;
    } else if (block == BLOCK_TOOL_USE) {
        is_foreign = anthropic_unmark_id(&x->o, &p->id, &p->signature, &dialect);
        if (is_foreign)
            p->dialect = dialect;
    } else if (block == BLOCK_TOOL_RESULT) {
        is_foreign = anthropic_unmark_id(&x->o, &p->id, &signature, &dialect);
    }
    x->client->has_foreign |= is_foreign;
}

static void check_block(struct reading *x, struct weir_json *r, const struct weir_part *p, enum block block)
{
    const struct weir_json_api *j = x->o.json;
    if (j->failed(r) || x->o.failed)
        return;
    if (block == BLOCK_TOOL_USE && (!p->id.n || !p->name.n))
        j->reject(r, "a tool_use block needs id, name and input");
    else if (block == BLOCK_TOOL_RESULT && !p->id.n)
        j->reject(r, "a tool_result block needs tool_use_id");
    else if (block == BLOCK_TEXT && !p->text.p)
        j->reject(r, "a text block needs text");
}

/* The members behind the type. */
static void read_known(struct reading *x, struct weir_json *r, struct filling *f, enum block block)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    struct weir_part *p = add_part(x, f, block);
    if (!p)
        return;
    if (block == BLOCK_THINKING || block == BLOCK_REDACTED)
        p->dialect = ANTHROPIC_DIALECT;
    if (block == BLOCK_REDACTED)
        p->flags |= WEIR_PART_REDACTED;
    while (!x->o.failed && j->member(r, &key))
        if (!weir_is(key, "type") && !read_member(x, r, p, block, key) && !j->failed(r))
            keep_own(x, r, p, key);
    check_block(x, r, p, block);
    take_foreign(x, p, block);
}

/* A block that is read from its own bytes: of a type that only this dialect has, or one whose type doesn't stand first. */
static void read_again(struct reading *x, struct filling *f, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "type"))
            j->string(r, &type);
        else
            j->skip(r);
    enum block block = block_of(type);
    if (!j->close(r) || !type.n) {
        j->reject_inside(x->r, r, "a block must be an object with a \"type\"");
        return;
    }
    if (block == BLOCK_OPAQUE) {
        add_part(x, f, block);
    } else {
        r = j->open(x->o.call, raw);
        j->object(r);
        read_known(x, r, f, block);
        if (!j->close(r))
            j->reject_inside(x->r, r, "is not what a block of its type looks like");
    }
    struct weir_part *p = f->last;
    if (p && p->kind == WEIR_PART_OPAQUE && !x->o.failed) { /* also a document of blocks */
        p->raw = raw;
        p->dialect = ANTHROPIC_DIALECT;
    }
}

/* The bytes of the object whose first key and value these are; the reader goes on behind it. */
static struct weir_str rest_of_object(struct reading *x, struct weir_json *r, struct weir_str first,
                                      struct weir_str value)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    const char *from = first.p - 1, *end = value.p + value.n;
    while (j->member(r, &key) && j->raw(r, &raw))
        end = raw.p + raw.n;
    if (j->failed(r))
        return WEIR_NONE;
    if (!anthropic_span_of(x, first).n) { /* decoded: it was written with escapes */
        j->reject(r, "must have its keys written without escapes");
        return WEIR_NONE;
    }
    while (*from != '{')
        from--;
    while (*end != '}')
        end++;
    return (struct weir_str){ from, (size_t)(end - from) + 1 };
}

static void read_block(struct reading *x, struct weir_json *r, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, value;
    if (!j->object(r))
        return;
    if (!j->member(r, &key)) {
        j->reject(r, "a block must have a \"type\"");
        return;
    }
    if (!j->raw(r, &value))
        return;
    struct weir_str type = value.n > 1 && value.p[0] == '"' ? (struct weir_str){ value.p + 1, value.n - 2 } : WEIR_NONE;
    enum block block = weir_is(key, "type") ? block_of(type) : BLOCK_OPAQUE;
    if (block != BLOCK_OPAQUE && block != BLOCK_DOCUMENT) {
        read_known(x, r, f, block);
        return;
    }
    struct weir_str raw = rest_of_object(x, r, key, value);
    if (raw.n)
        read_again(x, f, raw);
}

static void read_blocks(struct reading *x, struct weir_json *r, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    for (j->array(r); !x->o.failed && j->element(r);)
        read_block(x, r, f);
}

/* ---- messages ---- */

static void read_content(struct reading *x, struct filling *f)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_part *p;
    switch (j->peek(x->r)) {
    case WEIR_JSON_STRING:
        p = add_part(x, f, BLOCK_TEXT);
        if (p)
            j->text(x->r, &p->text);
        break;
    case WEIR_JSON_ARRAY:
        read_blocks(x, x->r, f);
        break;
    default:
        j->skip(x->r);
        j->reject(x->r, "must be a string or an array of blocks");
    }
}

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

static void read_message_ext(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        anthropic_add_ext(x, x->o.host->format(x->o.call, "messages[%u].%.*s", x->n_wire, (int)key.n, key.p), key, raw);
}

static void read_message(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct filling f = { NULL, NULL, NULL, NULL };
    struct weir_str key;
    enum weir_role role = 0;
    bool has_content = false;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        if (weir_is(key, "role")) {
            role = read_role(x);
        } else if (weir_is(key, "content")) {
            has_content = true;
            read_content(x, &f);
        } else {
            read_message_ext(x, key);
        }
    }
    if (j->failed(x->r) || x->o.failed)
        return;
    if (!role)
        anthropic_fail_at(x, x->o.host->format(x->o.call, "messages[%u].role", x->n_wire),
                          "is missing; say user or assistant");
    else if (!has_content)
        anthropic_fail_at(x, x->o.host->format(x->o.call, "messages[%u].content", x->n_wire),
                          "is missing; send a string or an array of blocks");
    if (!f.first && !x->o.failed)
        anthropic_add_message(x, role);
    for (struct weir_message *m = f.first; m; m = m->next)
        if (m->role != WEIR_ROLE_TOOL)
            m->role = role;
    x->n_wire++;
}

void anthropic_read_messages(struct reading *x)
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

void anthropic_read_system(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct filling f = { NULL, NULL, NULL, NULL };
    if (took_null(x->r, j))
        return;
    struct weir_message *m = f.message = anthropic_add_message(x, WEIR_ROLE_SYSTEM);
    if (!m)
        return;
    read_content(x, &f);
    if (m != x->first)
        move_to_front(x, m);
}
