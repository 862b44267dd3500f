/* A client's request becomes a conversation: one pass over the body, texts stay where they are. Everything made here is the
 * request's. Where settings stand in the body is remembered for splice.c, and for the response object that says them again. */
#include "request.h"

void responses_fail_at(struct reading *x, struct weir_str param, const char *message)
{
    struct responses *o = &x->o;
    if (o->failed)
        return;
    o->failed = true;
    struct weir_str text = o->host->format(o->call, "%.*s: %s", (int)param.n, param.p, message);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .message = text, .param = param };
    o->host->fail(o->call, &e);
}

static bool is_inside(const struct reading *x, struct weir_str s)
{
    return s.p && s.p >= x->body.p && s.p + s.n <= x->body.p + x->body.n;
}

struct responses_span responses_span_of(const struct reading *x, struct weir_str s)
{
    if (!is_inside(x, s))
        return (struct responses_span){ 0, 0 };
    return (struct responses_span){ (uint32_t)(s.p - x->body.p), (uint32_t)s.n };
}

/* `"key":value` as it stands; nothing if the key was written with escapes. */
static struct weir_str member_of(const struct reading *x, struct weir_str key, struct weir_str raw)
{
    if (!is_inside(x, key) || !is_inside(x, raw))
        return WEIR_NONE;
    return (struct weir_str){ key.p - 1, (size_t)(raw.p + raw.n - key.p) + 1 };
}

struct weir_str responses_object_of(struct reading *x, struct weir_str first, struct weir_str last)
{
    if (!is_inside(x, first) || !is_inside(x, last))
        return WEIR_NONE;
    const char *from = first.p - 1, *end = last.p + last.n;
    while (*from != '{')
        from--;
    while (*end != '}')
        end++;
    return (struct weir_str){ from, (size_t)(end - from) + 1 };
}

struct weir_message *responses_add_message(struct reading *x, enum weir_role role)
{
    struct weir_message *m = x->o.host->message_add(x->o.call, role);
    x->o.failed = x->o.failed || !m;
    x->first = x->first ? x->first : m;
    x->last = m;
    return m;
}

struct weir_text responses_text_in(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text = { 0 };
    if (raw.n > 1 && raw.p[0] == '"')
        j->text(j->open(x->o.call, raw), &text);
    return text;
}

struct weir_str responses_string_in(struct reading *x, struct weir_str raw)
{
    struct weir_text text = responses_text_in(x, raw);
    return text.n ? x->o.host->text(x->o.call, &text) : WEIR_NONE;
}

/* ---- unknown members ---- */

void responses_add_ext(struct reading *x, struct weir_str path, struct weir_str key, struct weir_str raw)
{
    if (weir_is(raw, "null"))
        return;
    if (x->o.host->ext_add(x->o.call, path, raw, member_of(x, key, raw)) < 0)
        x->o.failed = true;
}

static void read_ext(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        responses_add_ext(x, key, key, raw);
}

/* A member that only this dialect has and that may not get lost on the way to another: it stands among the tools, with its key
 * as their name, where the host sees that a target of the same dialect is needed. */
static void mark_own(struct reading *x, struct weir_str key, struct weir_str raw)
{
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    if (!t) {
        x->o.failed = true;
        return;
    }
    t->name = key;
    t->raw = raw;
    t->dialect = RESPONSES_DIALECT;
}

static void set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    if (x->o.host->set_field(x->o.call, f, json, wire) < 0)
        x->o.failed = true;
}

/* ---- tools ---- */

struct tool_read {
    struct weir_str type, name, description, parameters, strict;
};

static void read_tool_member(struct reading *x, struct weir_str key, struct weir_str raw, struct tool_read *to)
{
    if (weir_is(key, "type"))
        to->type = raw;
    else if (weir_is(key, "name"))
        to->name = raw;
    else if (weir_is(key, "description"))
        to->description = raw;
    else if (weir_is(key, "parameters"))
        to->parameters = raw;
    else if (weir_is(key, "strict"))
        to->strict = raw;
    else
        x->o.json->leave(x->r, raw);
}

static struct weir_str unless_null(struct weir_str raw)
{
    return weir_is(raw, "null") ? WEIR_NONE : raw;
}

static void take_function(struct reading *x, struct weir_tool *t, const struct tool_read *said)
{
    t->name = responses_string_in(x, said->name);
    t->description = responses_text_in(x, said->description);
    t->schema = unless_null(said->parameters);
    t->strict =
        weir_is(said->strict, "true") ? said->strict : WEIR_NONE; /* false is what other dialects mean by silence */
    if (!t->name.n)
        x->o.json->reject(x->r, "has no name; a tool is {\"type\":\"function\",\"name\":…,\"parameters\":{…}}");
    else if (t->schema.n && t->schema.p[0] != '{')
        x->o.json->reject(x->r, "parameters must be a JSON Schema, an object");
}

/* Tools with a kind of their own that the client runs. `shell` may run at either; then the provider is meant. */
static bool is_of_client(struct weir_str type)
{
    return weir_is(type, "\"custom\"") || weir_is(type, "\"local_shell\"") || weir_is(type, "\"apply_patch\"") ||
           weir_is(type, "\"computer_use_preview\"") || weir_is(type, "\"computer\"");
}

/* The last value in it is handed out. */
static struct weir_str read_tool(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw, first = WEIR_NONE, last = WEIR_NONE;
    struct tool_read said = { 0 };
    struct weir_tool *t = x->o.host->tool_add(x->o.call);
    if (!t) {
        x->o.failed = true;
        return WEIR_NONE;
    }
    for (j->object(x->r); j->member(x->r, &key) && j->raw(x->r, &raw);) {
        first = first.p ? first : key;
        last = raw;
        read_tool_member(x, key, raw, &said);
    }
    if (j->failed(x->r))
        return WEIR_NONE;
    if (weir_is(said.type, "\"function\"")) {
        take_function(x, t, &said);
        return last;
    }
    t->dialect = RESPONSES_DIALECT; /* custom and hosted tools */
    t->raw = said.type.n ? responses_object_of(x, first, last) : WEIR_NONE;
    t->flags |= is_of_client(said.type) ? WEIR_TOOL_OF_CLIENT : 0;
    if (!t->raw.n)
        j->reject(x->r, "must be {\"type\":\"function\",\"name\":…} or another kind of tool");
    return last;
}

static void read_tools(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str last = WEIR_NONE;
    if (took_null(x->r, j))
        return;
    for (j->array(x->r); !x->o.failed && j->element(x->r);)
        last = read_tool(x);
    if (j->failed(x->r) || !is_inside(x, key) || !is_inside(x, last))
        return;
    const char *from = key.p + key.n + 1, *end = last.p + last.n;
    while (*from != '[')
        from++;
    while (*end != ']')
        end++;
    x->client->echo[ECHO_TOOLS] = responses_span_of(x, (struct weir_str){ from, (size_t)(end - from) + 1 });
}

/* {"type":"function","name":…}; what other kinds there are only this dialect knows. */
static void take_tool_choice(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, name = WEIR_NONE, type = WEIR_NONE;
    if (weir_is(raw, "\"auto\"") || weir_is(raw, "\"none\"") || weir_is(raw, "\"required\"")) {
        set_field(x, WEIR_FIELD_TOOL_CHOICE, raw, raw);
        return;
    }
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "name"))
            j->raw(r, &name);
        else if (weir_is(key, "type"))
            j->raw(r, &type);
    }
    if (!j->close(r) || !type.n)
        j->reject(x->r, "must be \"auto\", \"none\", \"required\" or {\"type\":\"function\",\"name\":…}");
    else if (weir_is(type, "\"function\"") && name.n && name.p[0] == '"')
        set_field(x, WEIR_FIELD_TOOL_CHOICE, x->o.host->format(x->o.call, "{\"name\":%.*s}", (int)name.n, name.p),
                  WEIR_NONE);
    else
        mark_own(x, WEIR_LIT("tool_choice"), raw);
}

/* ---- text and reasoning ---- */

/* {"type":"json_schema","name":…,"schema":…}: the canonical form is the same without its type. */
static void take_schema(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, value;
    bool has_schema = false;
    struct weir_out *out = x->o.host->out(x->o.call);
    if (!out) {
        x->o.failed = true;
        return;
    }
    j->object_begin(out);
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value);) {
        if (weir_is(key, "type") || weir_is(value, "null"))
            continue;
        has_schema = has_schema || (weir_is(key, "schema") && value.p[0] == '{');
        if (!weir_is(key, "name") && !weir_is(key, "schema") && !weir_is(key, "strict") && !weir_is(key, "description"))
            j->leave(r, value);
        j->key_str(out, key);
        j->put_raw(out, value);
    }
    j->object_end(out);
    if (!has_schema)
        j->reject(x->r, "format lacks schema: {\"type\":\"json_schema\",\"name\":…,\"schema\":{…}}");
    else
        set_field(x, WEIR_FIELD_RESPONSE_FORMAT, x->o.host->keep(x->o.call, x->o.host->out_bytes(out)), WEIR_NONE);
}

static void take_format(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, type = WEIR_NONE;
    x->client->fields[WEIR_FIELD_RESPONSE_FORMAT] = responses_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "type"))
            j->raw(r, &type);
    if (!j->close(r) || !type.n)
        j->reject(x->r, "format must be {\"type\":\"text\"}, {\"type\":\"json_object\"} or "
                        "{\"type\":\"json_schema\",\"name\":…,\"schema\":{…}}");
    else if (weir_is(type, "\"text\"") || weir_is(type, "\"json_object\""))
        set_field(x, WEIR_FIELD_RESPONSE_FORMAT, type, WEIR_NONE);
    else if (weir_is(type, "\"json_schema\""))
        take_schema(x, raw);
    else
        mark_own(x, WEIR_LIT("text.format"), raw);
}

static void take_word(struct reading *x, enum weir_field f, struct weir_str raw, const char *message)
{
    x->client->fields[f] = responses_span_of(x, raw);
    if (weir_is(raw, "null"))
        return;
    if (raw.p[0] != '"')
        x->o.json->reject(x->r, message);
    else
        set_field(x, f, raw, raw);
}

/* "auto", "concise", "detailed": all ask to see thoughts; only how much of them is this dialect's own. */
static void take_summary(struct reading *x, struct weir_str key, struct weir_str raw)
{
    x->client->fields[WEIR_FIELD_REASONING_VISIBLE] = responses_span_of(x, raw);
    if (weir_is(raw, "null")) {
        set_field(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LIT("false"), WEIR_NONE);
        return;
    }
    set_field(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LIT("true"), WEIR_NONE);
    if (!weir_is(raw, "\"auto\""))
        responses_add_ext(x, WEIR_LIT("reasoning.summary"), key, raw);
}

static void take_setting(struct reading *x, const char *of, struct weir_str key, struct weir_str raw)
{
    bool is_text = of[0] == 't';
    if (is_text && weir_is(key, "format"))
        take_format(x, raw);
    else if (is_text && weir_is(key, "verbosity"))
        take_word(x, WEIR_FIELD_VERBOSITY, raw, "verbosity must be a string");
    else if (!is_text && weir_is(key, "effort"))
        take_word(x, WEIR_FIELD_REASONING_EFFORT, raw, "effort must be a string");
    else if (!is_text && (weir_is(key, "summary") || weir_is(key, "generate_summary")))
        take_summary(x, key, raw);
    else
        responses_add_ext(x, x->o.host->format(x->o.call, "%s.%.*s", of, (int)key.n, key.p), key, raw);
}

static void take_settings(struct reading *x, const char *of, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, value;
    if (raw.p[0] != '{') {
        if (!weir_is(raw, "null"))
            j->reject(x->r, "must be an object");
        return;
    }
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->object(r); !j->failed(x->r) && j->member(r, &key) && j->raw(r, &value);)
        take_setting(x, of, key, value);
    if (!j->failed(x->r) && !j->close(r))
        j->reject(x->r, "has a member twice, or is no object");
}

/* ---- settings ---- */

/* Log probabilities are asked for here; what encrypted reasoning is for weir sees to itself. */
static void take_include(struct reading *x, struct weir_str raw)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str each;
    bool has_others = false;
    if (weir_is(raw, "null"))
        return;
    struct weir_json *r = j->open(x->o.call, raw);
    for (j->array(r); j->element(r) && j->string(r, &each);) {
        if (weir_is(each, "message.output_text.logprobs"))
            set_field(x, WEIR_FIELD_LOGPROBS, WEIR_LIT("true"), WEIR_NONE);
        else
            has_others = has_others || !weir_is(each, "reasoning.encrypted_content");
    }
    if (!j->close(r))
        j->reject(x->r, "must be an array of strings");
    else if (has_others)
        x->o.host->ext_add(x->o.call, WEIR_LIT("include"), raw, WEIR_NONE);
}

enum shape { STRING, BOOLEAN, INTEGER, COUNT, NUMBER, OBJECT };

/* The settings whose canonical form is what stands on the wire. */
static const struct plain_field {
    const char *name;
    uint8_t field, shape;
} plain_fields[] = {
    { "model", WEIR_FIELD_MODEL, STRING },
    { "stream", WEIR_FIELD_STREAM, BOOLEAN },
    { "max_output_tokens", WEIR_FIELD_MAX_TOKENS, COUNT },
    { "temperature", WEIR_FIELD_TEMPERATURE, NUMBER },
    { "top_p", WEIR_FIELD_TOP_P, NUMBER },
    { "top_logprobs", WEIR_FIELD_TOP_LOGPROBS, INTEGER },
    { "user", WEIR_FIELD_USER, STRING },
    { "metadata", WEIR_FIELD_METADATA, OBJECT },
    { "service_tier", WEIR_FIELD_SERVICE_TIER, STRING },
    { "parallel_tool_calls", WEIR_FIELD_PARALLEL_TOOLS, BOOLEAN },
};

static bool read_shape(struct reading *x, enum shape shape, struct weir_str *raw)
{
    static const struct {
        enum weir_json_type type;
        const char *message;
    } wanted[] = {
        [STRING] = { WEIR_JSON_STRING, "must be a string" },
        [BOOLEAN] = { WEIR_JSON_BOOL, "must be true or false" },
        [INTEGER] = { WEIR_JSON_NUMBER, "must be an integer" },
        [COUNT] = { WEIR_JSON_NUMBER, "must be an integer of at least 1" },
        [NUMBER] = { WEIR_JSON_NUMBER, "must be a number" },
        [OBJECT] = { WEIR_JSON_OBJECT, "must be an object" },
    };
    const struct weir_json_api *j = x->o.json;
    bool is_right = j->peek(x->r) == wanted[shape].type;
    if (!j->raw(x->r, raw))
        return false;
    bool is_whole = shape == INTEGER || shape == COUNT;
    for (size_t i = 0; is_right && is_whole && i < raw->n; i++)
        is_right = (raw->p[i] >= '0' && raw->p[i] <= '9') || (i == 0 && raw->p[i] == '-');
    if (is_right && shape == COUNT)
        is_right = raw->p[0] != '-' && raw->p[0] != '0';
    return is_right || x->o.json->reject(x->r, wanted[shape].message);
}

static void read_plain(struct reading *x, const struct plain_field *f, struct weir_str *raw)
{
    const struct weir_json_api *j = x->o.json;
    bool is_null = j->peek(x->r) == WEIR_JSON_NULL && f->field != WEIR_FIELD_MODEL;
    if (is_null ? !j->raw(x->r, raw) : !read_shape(x, (enum shape)f->shape, raw))
        return;
    x->client->fields[f->field] = responses_span_of(x, *raw);
    if (!is_null)
        set_field(x, (enum weir_field)f->field, *raw, *raw);
    x->has_model = x->has_model || (f->field == WEIR_FIELD_MODEL && raw->n > 2);
    x->has_user = x->has_user || (f->field == WEIR_FIELD_USER && !is_null);
}

/* The newer name of `user`: counts only if that is absent. */
static void read_safety_identifier(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    if (j->peek(x->r) == WEIR_JSON_STRING && j->raw(x->r, &x->safety_identifier))
        x->safety_member = member_of(x, key, x->safety_identifier);
    else
        read_ext(x, key);
}

static void settle_user(struct reading *x)
{
    if (!x->safety_identifier.n)
        return;
    if (x->has_user) {
        x->o.host->ext_add(x->o.call, WEIR_LIT("safety_identifier"), x->safety_identifier, x->safety_member);
        return;
    }
    set_field(x, WEIR_FIELD_USER, x->safety_identifier, x->safety_identifier);
    x->client->fields[WEIR_FIELD_USER] = responses_span_of(x, x->safety_identifier);
}

/* The prompt stands first in a conversation, wherever it stood in the body: the contents of the messages move up by one. */
static void move_to_front(struct reading *x, const struct weir_message *last)
{
    struct weir_message carried = *last;
    for (struct weir_message *m = x->first; m; m = m->next) {
        struct weir_message here = *m;
        m->role = carried.role;
        m->parts = carried.parts;
        carried = here;
    }
}

static void read_instructions(struct reading *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_text text;
    if (j->peek(x->r) != WEIR_JSON_STRING) {
        j->skip(x->r);
        j->reject(x->r, "must be a string");
        return;
    }
    if (!j->text(x->r, &text))
        return;
    x->client->echo[ECHO_INSTRUCTIONS] = responses_span_of(x, (struct weir_str){ text.p - 1, text.n + 2 });
    if (!text.n)
        return;
    struct weir_message *m = responses_add_message(x, WEIR_ROLE_SYSTEM);
    struct weir_part *p = m ? x->o.host->part_add(x->o.call, m, WEIR_PART_TEXT) : NULL;
    if (!p) {
        x->o.failed = true;
        return;
    }
    p->text = text;
    if (m != x->first)
        move_to_front(x, m);
}

/* What stands on the server of one provider: only that one can go on from there. */
static bool is_stored(struct weir_str key)
{
    return weir_is(key, "previous_response_id") || weir_is(key, "conversation") || weir_is(key, "prompt");
}

/* What is heeded unasked, everywhere. */
static bool is_default(struct weir_str key, struct weir_str raw)
{
    return (weir_is(key, "truncation") && weir_is(raw, "\"disabled\"")) ||
           ((weir_is(key, "store") || weir_is(key, "background")) && weir_is(raw, "false")) ||
           (weir_is(key, "stream_options") && raw.n && !memmem(raw.p, raw.n, "true", 4));
}

/* "resp_1~openai": whose it is stands behind it, and only for us. */
static struct weir_str own_id(struct reading *x, struct weir_str raw)
{
    if (raw.n < 2 || raw.p[0] != '"')
        return raw;
    struct weir_str id = { raw.p + 1, raw.n - 2 }, bare = x->o.host->id_in(x->o.call, id);
    return bare.n == id.n ? raw : x->o.host->format(x->o.call, "\"%.*s\"", (int)bare.n, bare.p);
}

static void read_other(struct reading *x, struct weir_str key, struct weir_str raw)
{
    if (weir_is(key, "include")) {
        take_include(x, raw);
    } else if (is_stored(key) || (weir_is(key, "background") && weir_is(raw, "true"))) {
        x->has_context = x->has_context || is_stored(key);
        mark_own(x, key, weir_is(key, "previous_response_id") ? own_id(x, raw) : raw);
    } else if (!is_default(key, raw)) {
        responses_add_ext(x, key, key, raw);
    }
}

/* A setting; its bytes. */
static struct weir_str read_setting(struct reading *x, struct weir_str key)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str raw = WEIR_NONE;
    for (size_t i = 0; i < sizeof(plain_fields) / sizeof(*plain_fields); i++)
        if (weir_is(key, plain_fields[i].name)) {
            read_plain(x, &plain_fields[i], &raw);
            return raw;
        }
    if (weir_is(key, "safety_identifier")) {
        read_safety_identifier(x, key);
        return raw;
    }
    if (!j->raw(x->r, &raw))
        return raw;
    if (weir_is(key, "text") || weir_is(key, "reasoning")) {
        take_settings(x, weir_is(key, "text") ? "text" : "reasoning", raw);
    } else if (weir_is(key, "tool_choice")) {
        x->client->fields[WEIR_FIELD_TOOL_CHOICE] = responses_span_of(x, raw);
        if (!weir_is(raw, "null"))
            take_tool_choice(x, raw);
    } else if (!weir_is(raw, "null")) {
        read_other(x, key, raw);
    }
    return raw;
}

static void note_echo(struct reading *x, struct weir_str key, struct weir_str raw)
{
    static const char *const names[ECHOES] = {
        [ECHO_MAX_OUTPUT_TOKENS] = "max_output_tokens",
        [ECHO_METADATA] = "metadata",
        [ECHO_PARALLEL_TOOL_CALLS] = "parallel_tool_calls",
        [ECHO_REASONING] = "reasoning",
        [ECHO_TEMPERATURE] = "temperature",
        [ECHO_TEXT] = "text",
        [ECHO_TOOL_CHOICE] = "tool_choice",
        [ECHO_TOP_P] = "top_p",
        [ECHO_TRUNCATION] = "truncation",
        [ECHO_USER] = "user",
    };
    for (size_t i = 0; raw.n && i < ECHOES; i++)
        if (names[i] && weir_is(key, names[i]))
            x->client->echo[i] = responses_span_of(x, raw);
}

static void note_null_instructions(struct reading *x)
{
    struct weir_str raw;
    if (x->o.json->raw(x->r, &raw))
        x->client->echo[ECHO_INSTRUCTIONS] = responses_span_of(x, raw);
}

static void read_member(struct reading *x, struct weir_str key)
{
    if (weir_is(key, "input")) {
        responses_read_input(x);
    } else if (weir_is(key, "tools")) {
        read_tools(x, key);
    } else if (weir_is(key, "instructions")) {
        if (x->o.json->peek(x->r) == WEIR_JSON_NULL)
            note_null_instructions(x);
        else
            read_instructions(x);
    } else {
        note_echo(x, key, read_setting(x, key));
    }
}

int responses_decode_request(void *self, struct weir_call *call, void *state, struct weir_str body)
{
    struct reading x = { .o = responses_begin(self, call), .client = state, .body = body };
    const struct weir_json_api *j = x.o.json;
    struct weir_str key;
    x.r = j->open(call, body);
    for (j->object(x.r); !x.o.failed && j->member(x.r, &key);)
        read_member(&x, key);
    if (x.o.failed)
        return -1;
    if (!j->close(x.r))
        return x.o.host->fail_json(call, x.r);
    settle_user(&x);
    if (!x.has_model)
        responses_fail_at(&x, WEIR_LIT("model"), "is missing; name a model, GET /v1/models lists them");
    else if (!x.n_items && !x.has_context)
        responses_fail_at(&x, WEIR_LIT("input"), "is missing or empty; send a string or at least one item");
    return x.o.failed ? -1 : 0;
}
