/* The input of a client's request: items become messages. What an assistant said in one turn (reasoning, messages, calls) stands in
 * several items on the wire and in one message of a conversation, in the same order. Texts stay where they are in the body. */
#include "request.h"

/* ---- content parts ---- */

/* Where parts go: a message, or a tool result. */
struct place {
    struct weir_message *message;
    struct weir_part *result;
    uint32_t n; /* parts met on the wire */
};

static struct weir_part *add_part(struct reading *x, const struct place *at, enum weir_part_kind kind)
{
    const struct weir_host *h = x->o.host;
    struct weir_part *p = at->result    ? h->part_add_to(x->o.call, at->result, kind)
                          : at->message ? h->part_add(x->o.call, at->message, kind)
                                        : NULL;
    x->o.failed = x->o.failed || !p;
    if (p && !at->result) {
        x->tail_of = at->message;
        x->tail = p;
    }
    if (p && kind == WEIR_PART_TOOL_CALL)
        x->calls[x->n_calls++ % RESPONSES_RECENT_CALLS] = p;
    return p;
}

struct part_read {
    struct weir_str type, detail, file_id, audio;
    struct weir_str name;    /* of a file */
    struct weir_part media;  /* its media_type, data and url: of image_url, file_url or file_data */
    struct weir_text text;
    struct weir_str first, last; /* key and value */
    bool has_text, is_marked;
};

static enum weir_part_kind kind_of(struct weir_str type)
{
    static const struct {
        const char *name;
        enum weir_part_kind kind;
    } kinds[] = {
        { "\"input_text\"", WEIR_PART_TEXT },   { "\"output_text\"", WEIR_PART_TEXT },
        { "\"text\"", WEIR_PART_TEXT },         { "\"input_image\"", WEIR_PART_IMAGE },
        { "\"input_file\"", WEIR_PART_FILE },   { "\"refusal\"", WEIR_PART_REFUSAL },
        { "\"input_audio\"", WEIR_PART_AUDIO },
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (weir_is(type, kinds[i].name))
            return kinds[i].kind;
    return WEIR_PART_OPAQUE;
}

/* Where an image or a file lies. A file's data may be bare base64. */
static void read_place(struct reading *x, struct weir_json *r, struct weir_str key, struct part_read *to)
{
    struct weir_text said;
    if (!x->o.json->text(r, &said))
        return;
    to->last = (struct weir_str){ said.p - 1, said.n + 2 };
    if (x->o.host->media_url(x->o.call, &to->media, said))
        return;
    if (weir_is(key, "file_data") && said.n) {
        to->media.data = said;
        to->media.media_type = WEIR_LIT("application/pdf");
    } else {
        x->o.json->reject(r, "not a URL or data URI");
    }
}

static void read_part_member(struct reading *x, struct weir_json *r, struct weir_str key, struct part_read *to)
{
    const struct weir_json_api *j = x->o.json;
    bool is_string = j->peek(r) == WEIR_JSON_STRING;
    struct weir_str raw;
    if (is_string && (weir_is(key, "text") || weir_is(key, "refusal"))) {
        to->has_text = j->text(r, &to->text);
        if (to->has_text)
            to->last = (struct weir_str){ to->text.p - 1, to->text.n + 2 };
        return;
    }
    if (is_string && (weir_is(key, "image_url") || weir_is(key, "file_url") || weir_is(key, "file_data"))) {
        read_place(x, r, key, to);
        return;
    }
    if (!j->raw(r, &raw))
        return;
    to->last = raw;
    if (weir_is(key, "type"))
        to->type = raw;
    else if (weir_is(key, "detail"))
        to->detail = raw;
    else if (weir_is(key, "file_id"))
        to->file_id = raw;
    else if (weir_is(key, "filename"))
        to->name = raw;
    else if (weir_is(key, "input_audio"))
        to->audio = raw;
    else if (weir_is(key, "prompt_cache_breakpoint"))
        to->is_marked = !weir_is(raw, "null");
    else if (!weir_is(raw, "[]") && !weir_is(raw, "null")) /* annotations and logprobs of an answer; what isn't given */
        j->leave(r, raw);
}

/* false: it isn't told. */
static bool take_place(struct weir_part *p, const struct part_read *said)
{
    p->media_type = said->media.media_type;
    p->data = said->media.data;
    p->url = said->media.url;
    return p->data.n || p->url.n;
}

static void take_image(struct reading *x, struct weir_part *p, const struct part_read *said)
{
    p->detail = responses_string_in(x, said->detail);
    if (weir_is(p->detail, "auto"))
        p->detail = WEIR_NONE; /* what it is unasked, and what the specification wants said */
    if (take_place(p, said))
        return;
    p->file_id = responses_string_in(x, said->file_id);
    p->dialect = RESPONSES_DIALECT;
    if (!p->file_id.n && !x->o.json->failed(x->r))
        x->o.json->reject(x->r, "an input_image needs image_url or file_id");
}

static void take_file(struct reading *x, struct weir_part *p, const struct part_read *said)
{
    p->name = responses_string_in(x, said->name);
    if (take_place(p, said))
        return;
    p->file_id = responses_string_in(x, said->file_id);
    if (p->file_id.n)
        p->dialect = RESPONSES_DIALECT;
    else if (!x->o.json->failed(x->r))
        x->o.json->reject(x->r, "an input_file needs file_data, file_url or file_id");
}

/* {"data":…,"format":"mp3"} */
static void take_audio(struct reading *x, struct weir_part *p, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, format = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "data"))
            j->text(r, &p->data);
        else if (weir_is(key, "format"))
            j->string(r, &format);
    }
    p->media_type = weir_is(format, "mp3") ? WEIR_LIT("audio/mpeg")
                                           : x->o.host->format(x->o.call, "audio/%.*s", (int)format.n, format.p);
    if (!j->close(r) || !p->data.n || !format.n)
        j->reject(x->r, "an input_audio needs input_audio: {\"data\":…,\"format\":\"mp3\"}");
}

static void take_part(struct reading *x, struct weir_part *p, const struct part_read *said)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        p->text = said->text;
        if (!said->has_text)
            x->o.json->reject(x->r, "lacks the text that its \"type\" names");
        break;
    case WEIR_PART_IMAGE:
        take_image(x, p, said);
        break;
    case WEIR_PART_FILE:
        take_file(x, p, said);
        break;
    case WEIR_PART_AUDIO:
        take_audio(x, p, said->audio);
        break;
    default:
        p->dialect = RESPONSES_DIALECT;
        p->raw = responses_object_of(x, said->first, said->last);
        if (!said->type.n || !p->raw.n)
            x->o.json->reject(x->r,
                              "has no \"type\"; a part is {\"type\":\"input_text\",\"text\":…} or another known type");
    }
    if (said->is_marked && p->kind != WEIR_PART_OPAQUE) {
        p->flags |= WEIR_PART_CACHE_MARK;
        p->dialect = RESPONSES_DIALECT;
    }
}

static void read_part(struct reading *x, struct weir_json *r, struct place *at)
{
    const struct weir_json_api *j = x->o.json;
    struct part_read said = { 0 };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        said.first = said.first.p ? said.first : key;
        read_part_member(x, r, key, &said);
    }
    if (j->failed(r))
        return;
    struct weir_part *p = add_part(x, at, kind_of(said.type));
    at->n++;
    if (p)
        take_part(x, p, &said);
}

/* A string or parts. r: where it stands, x->r or a reader of its own bytes. */
static void read_content(struct reading *x, struct weir_json *r, struct place *at)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_part *p;
    switch (j->peek(r)) {
    case WEIR_JSON_STRING:
        p = add_part(x, at, WEIR_PART_TEXT);
        if (p)
            j->text(r, &p->text);
        break;
    case WEIR_JSON_ARRAY:
        for (j->array(r); !x->o.failed && !j->failed(x->r) && j->element(r);)
            read_part(x, r, at);
        break;
    default:
        j->skip(r);
        j->reject(r, "must be a string or an array of content parts");
    }
}

/* ---- items ---- */

enum item_kind { ITEM_UNKNOWN, ITEM_MESSAGE, ITEM_CALL, ITEM_RESULT, ITEM_REASONING, ITEM_OPAQUE };

struct item {
    enum item_kind kind;
    struct weir_str type, role, id, call_id, name, arguments, content, output, summary, encrypted;
    struct weir_str first, last; /* key and value */
    struct place at; /* of a content or output that was read on the way */
    bool was_read;
};

static enum item_kind item_kind_of(struct weir_str type)
{
    if (weir_is(type, "\"message\""))
        return ITEM_MESSAGE;
    if (weir_is(type, "\"function_call\""))
        return ITEM_CALL;
    if (weir_is(type, "\"function_call_output\""))
        return ITEM_RESULT;
    return weir_is(type, "\"reasoning\"") ? ITEM_REASONING : ITEM_OPAQUE;
}

static enum weir_role role_of(struct weir_str role)
{
    if (weir_is(role, "\"assistant\""))
        return WEIR_ROLE_ASSISTANT;
    if (weir_is(role, "\"user\""))
        return WEIR_ROLE_USER;
    return weir_is(role, "\"system\"") || weir_is(role, "\"developer\"") ? WEIR_ROLE_SYSTEM : (enum weir_role)0;
}

/* What is said in one turn stands in one message; users and systems say each item by itself. */
static struct weir_message *message_for(struct reading *x, enum weir_role role)
{
    bool goes_on =
        x->last && x->last->role == (uint32_t)role && (role == WEIR_ROLE_ASSISTANT || role == WEIR_ROLE_TOOL);
    return goes_on ? x->last : responses_add_message(x, role);
}

/* The parts of one message item: the first of an assistant's bears the item's id, which tells it from its neighbour. */
static void read_message_content(struct reading *x, struct weir_json *r, struct item *item)
{
    enum weir_role role = role_of(item->role);
    item->at.message = message_for(x, role);
    struct weir_part *before = item->at.message == x->tail_of ? x->tail : NULL; /* a message that has none is new */
    if (item->at.message)
        read_content(x, r, &item->at);
    struct weir_part *first = before ? before->next : item->at.message ? item->at.message->parts : NULL;
    if (first && role == WEIR_ROLE_ASSISTANT && first->kind != WEIR_PART_OPAQUE)
        first->id = responses_known_id(responses_string_in(x, item->id));
}

static void read_result_content(struct reading *x, struct weir_json *r, struct item *item)
{
    struct place message = { message_for(x, WEIR_ROLE_TOOL), NULL, 0 };
    item->at.result = message.message ? add_part(x, &message, WEIR_PART_TOOL_RESULT) : NULL;
    if (item->at.result)
        read_content(x, r, &item->at);
}

static struct weir_str *item_slot(struct item *item, struct weir_str key)
{
    static const struct {
        const char *name;
        size_t offset;
    } slots[] = {
        { "type", offsetof(struct item, type) },       { "role", offsetof(struct item, role) },
        { "id", offsetof(struct item, id) },           { "call_id", offsetof(struct item, call_id) },
        { "name", offsetof(struct item, name) },       { "arguments", offsetof(struct item, arguments) },
        { "content", offsetof(struct item, content) }, { "output", offsetof(struct item, output) },
        { "summary", offsetof(struct item, summary) }, { "encrypted_content", offsetof(struct item, encrypted) },
    };
    for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++)
        if (weir_is(key, slots[i].name))
            return (struct weir_str *)(void *)((char *)item + slots[i].offset);
    return NULL;
}

static bool is_message_like(const struct item *item)
{
    return (item->kind == ITEM_MESSAGE || item->kind == ITEM_UNKNOWN) && role_of(item->role);
}

static void read_item_member(struct reading *x, struct weir_str key, struct item *item)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw, *slot = item_slot(item, key);
    if (slot == &item->content && is_message_like(item) && j->peek(x->r) != WEIR_JSON_NULL) {
        item->was_read = true;
        read_message_content(x, x->r, item);
        return;
    }
    if (slot == &item->output && item->kind == ITEM_RESULT && j->peek(x->r) != WEIR_JSON_NULL) {
        item->was_read = true;
        read_result_content(x, x->r, item);
        return;
    }
    if (!j->raw(x->r, &raw))
        return;
    item->last = raw;
    if (slot)
        *slot = raw;
    if (slot == &item->type)
        item->kind = item_kind_of(raw);
    bool is_known = item->kind != ITEM_OPAQUE && item->kind != ITEM_UNKNOWN;
    if (!slot && item->kind == ITEM_UNKNOWN && !weir_is(key, "status"))
        j->leave(x->r, raw);
    else if (!slot && is_known && !weir_is(key, "status"))
        responses_add_ext(x, x->o.host->format(x->o.call, "input[%u].%.*s", x->n_items, (int)key.n, key.p), key, raw);
}

static void complain(struct reading *x, const char *member, const char *message)
{
    responses_fail_at(x, x->o.host->format(x->o.call, "input[%u].%s", x->n_items, member), message);
}

static void finish_message(struct reading *x, struct item *item)
{
    if (!role_of(item->role)) {
        complain(x, "role", "must be one of user, assistant, system, developer");
        return;
    }
    if (item->was_read)
        return;
    if (!item->content.n) {
        complain(x, "content", "is missing; send a string or an array of parts");
        return;
    }
    struct weir_json *r = x->o.json->open(x->o.call, item->content); /* it stood before the role */
    read_message_content(x, r, item);
    if (!x->o.failed && !x->o.json->close(r))
        complain(x, "content", "must be a string or an array of content parts");
}

static void finish_call(struct reading *x, struct item *item)
{
    struct place at = { message_for(x, WEIR_ROLE_ASSISTANT), NULL, 0 };
    struct weir_part *p = add_part(x, &at, WEIR_PART_TOOL_CALL);
    if (!p)
        return;
    p->id = responses_string_in(x, item->call_id);
    p->name = responses_string_in(x, item->name);
    p->text = item->arguments.n && item->arguments.p[0] == '"' ? responses_text_in(x, item->arguments)
                                                               : weir_plain(item->arguments);
    if (!p->id.n)
        complain(x, "call_id", "is missing; it links the call to its output");
    else if (!p->name.n)
        complain(x, "name", "is missing; name the function that was called");
}

static void finish_result(struct reading *x, struct item *item)
{
    if (!item->was_read && item->output.n) {
        struct weir_json *r = x->o.json->open(x->o.call, item->output);
        read_result_content(x, r, item);
        if (!x->o.failed && !x->o.json->close(r))
            complain(x, "output", "must be a string or an array of content parts");
    } else if (!item->was_read) {
        complain(x, "output", "is missing; send a string or an array of parts");
    }
    if (item->at.result)
        item->at.result->id = responses_string_in(x, item->call_id);
    if (!item->call_id.n)
        complain(x, "call_id", "is missing; name the call that this is the output of");
}

/* ---- reasoning ---- */

/* The texts of a list, one after the other; how many there are. */
static uint32_t gather(struct reading *x, struct weir_str list, void (*each)(void *arg, struct weir_text text),
                       void *arg)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text;
    struct weir_str key;
    uint32_t n = 0;
    struct weir_json *r = j->open(x->o.call, list);
    for (j->array(r); j->element(r);)
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "type")) {
                j->skip(r);
            } else if (weir_is(key, "text") && j->text(r, &text) && text.n) {
                n++;
                each(arg, text);
            }
    if (!j->close(r))
        complain(x, "summary", "must be an array of {\"type\":\"summary_text\",\"text\":…}");
    return n;
}

struct joining {
    struct weir_text only; /* the last text met */
    char *p; /* NULL: only measured */
    uint32_t n;
};

/* Texts of a body are all the insides of JSON strings, and so is what becomes of them. */
static void join(void *arg, struct weir_text text)
{
    struct joining *to = arg;
    uint32_t gap = to->n ? 4 : 0;
    if (to->p) {
        memcpy(to->p + to->n, "\\n\\n", gap);
        memcpy(to->p + to->n + gap, text.p, text.n);
    }
    to->n += gap + text.n;
    to->only = text;
}

/* [{"type":"summary_text","text":…}]: one text stays where it is, several are joined. */
static struct weir_text joined(struct reading *x, struct weir_str list)
{
    struct joining to = { { 0 }, NULL, 0 };
    if (!list.n || list.p[0] != '[' || gather(x, list, join, &to) < 2)
        return to.only;
    to.p = x->o.host->alloc(x->o.call, WEIR_FOR_REQUEST, to.n);
    to.n = 0;
    x->o.failed = x->o.failed || !to.p;
    if (to.p)
        gather(x, list, join, &to);
    return (struct weir_text){ to.p, to.n, WEIR_TEXT_ESCAPED };
}

/* The signature of a call that another provider made goes back to that call. */
static void sign_call(struct reading *x, struct weir_str call, struct weir_str dialect, struct weir_text signature)
{
    for (uint32_t i = 1; i <= RESPONSES_RECENT_CALLS && i <= x->n_calls; i++) {
        struct weir_part *p = x->calls[(x->n_calls - i) % RESPONSES_RECENT_CALLS];
        if (!weir_eq(p->id, call))
            continue;
        p->signature = signature;
        p->dialect = dialect;
        return;
    }
}

static void finish_reasoning(struct reading *x, struct item *item)
{
    struct weir_text said = responses_text_in(x, item->encrypted), signature = said;
    struct weir_str dialect = RESPONSES_DIALECT, call = WEIR_NONE;
    x->client->has_foreign |= said.n && responses_open_carrier(&x->o, said, &dialect, &call, &signature);
    if (call.n) {
        sign_call(x, call, dialect, signature);
        return;
    }
    struct place at = { message_for(x, WEIR_ROLE_ASSISTANT), NULL, 0 };
    struct weir_part *p = add_part(x, &at, WEIR_PART_THINKING);
    if (!p)
        return;
    p->text = joined(x, item->summary);
    if (!p->text.n && item->content.n) { /* the thoughts themselves, as open models tell them */
        p->text = joined(x, item->content);
        p->name = p->text.n ? WEIR_LIT("reasoning_text") : WEIR_NONE;
    }
    struct weir_str id = responses_string_in(x, item->id);
    bool is_nobodys = responses_is_made(id) && !signature.n; /* thoughts that came without a signature */
    p->signature = signature;
    p->dialect = is_nobodys ? WEIR_NONE : dialect;
    p->id = responses_known_id(id);
}

static void finish_opaque(struct reading *x, struct item *item)
{
    struct weir_str raw = responses_object_of(x, item->first, item->last);
    if (!item->type.n || !raw.n) {
        complain(x, "type", "is missing; an item is {\"role\":…,\"content\":…} or has a known type");
        return;
    }
    struct place at = { message_for(x, WEIR_ROLE_ASSISTANT), NULL, 0 };
    struct weir_part *p = add_part(x, &at, WEIR_PART_OPAQUE);
    if (!p)
        return;
    p->raw = raw;
    p->dialect = RESPONSES_DIALECT;
}

static void finish_item(struct reading *x, struct item *item)
{
    if (item->kind == ITEM_REASONING || item->kind == ITEM_CALL || item->role.n)
        x->client->has_foreign |= responses_is_made(responses_string_in(x, item->id));
    if (item->kind == ITEM_UNKNOWN && (item->role.n || !item->type.n))
        item->kind = item->role.n || item->content.n ? ITEM_MESSAGE : ITEM_OPAQUE;
    switch (item->kind) {
    case ITEM_MESSAGE:
        finish_message(x, item);
        break;
    case ITEM_CALL:
        finish_call(x, item);
        break;
    case ITEM_RESULT:
        finish_result(x, item);
        break;
    case ITEM_REASONING:
        finish_reasoning(x, item);
        break;
    default:
        finish_opaque(x, item);
    }
}

static void read_item(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct item item = { 0 };
    struct weir_str key;
    for (j->object(x->r); !x->o.failed && j->member(x->r, &key);) {
        item.first = item.first.p ? item.first : key;
        read_item_member(x, key, &item);
    }
    if (!x->o.failed && !j->failed(x->r))
        finish_item(x, &item);
    x->n_items++;
}

void responses_read_input(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_message *m;
    struct weir_part *p;
    switch (j->peek(x->r)) {
    case WEIR_JSON_STRING:
        m = responses_add_message(x, WEIR_ROLE_USER);
        p = m ? x->o.host->part_add(x->o.call, m, WEIR_PART_TEXT) : NULL;
        x->o.failed = x->o.failed || !p;
        if (p && j->text(x->r, &p->text))
            x->n_items = 1;
        break;
    case WEIR_JSON_ARRAY:
        for (j->array(x->r); !x->o.failed && j->element(x->r);)
            read_item(x);
        break;
    case WEIR_JSON_NULL:
        j->null(x->r);
        break;
    default:
        j->skip(x->r);
        j->reject(x->r, "must be a string or an array of items");
    }
}
