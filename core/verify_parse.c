/* Canonical text back to conversations, events and errors: the author's .canon files, for codecs that only speak outward. */
#include <string.h>

#include "pipeline.h"
#include "verify_lab.h"

/* ---- members ---- */

static void take_text(struct weir_json *r, struct weir_text *to)
{
    json_read_text(r, to);
}

static void take_flag(struct weir_json *r, uint32_t *flags, uint32_t flag)
{
    bool is_set;
    if (json_read_boolean(r, &is_set) && is_set)
        *flags |= flag;
}

static uint32_t take_name(struct weir_json *r, const char *const *names)
{
    struct weir_str name;
    uint32_t number = json_read_string(r, &name) ? canon_number(names, name) : 0;
    if (!number && !json_failed(r))
        json_reject(r, "is not one of the names that the SDK's README lists");
    return number;
}

static const char *why_of(struct weir_json *r, struct arena *a)
{
    return json_error_text(r, a).p;
}

/* ---- conversations ---- */

static void parse_parts(struct weir_json *r, struct conversation *c, struct weir_part **list);

static bool part_text(struct weir_json *r, struct weir_str key, struct weir_part *p)
{
    if (weir_is(key, "text"))
        take_text(r, &p->text);
    else if (weir_is(key, "data"))
        take_text(r, &p->data);
    else if (weir_is(key, "signature"))
        take_text(r, &p->signature);
    else
        return false;
    return true;
}

static bool part_string(struct weir_json *r, struct weir_str key, struct weir_part *p)
{
    const struct { const char *key; struct weir_str *to; } strings[] = {
        { "id", &p->id },           { "name", &p->name },     { "media_type", &p->media_type }, { "url", &p->url },
        { "file_id", &p->file_id }, { "detail", &p->detail }, { "dialect", &p->dialect },
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (weir_is(key, strings[i].key)) {
            json_read_string(r, strings[i].to);
            return true;
        }
    return false;
}

static void part_member(struct weir_json *r, struct conversation *c, struct weir_str key, struct weir_part *p)
{
    if (part_text(r, key, p) || part_string(r, key, p))
        return;
    if (weir_is(key, "kind"))
        p->kind = take_name(r, canon_parts);
    else if (weir_is(key, "raw"))
        json_read_raw(r, &p->raw);
    else if (weir_is(key, "is_error"))
        take_flag(r, &p->flags, WEIR_PART_IS_ERROR);
    else if (weir_is(key, "cache_mark"))
        take_flag(r, &p->flags, WEIR_PART_CACHE_MARK);
    else if (weir_is(key, "cache_ttl"))
        json_read_string(r, &p->cache_ttl);
    else if (weir_is(key, "redacted"))
        take_flag(r, &p->flags, WEIR_PART_REDACTED);
    else if (weir_is(key, "parts"))
        parse_parts(r, c, &p->parts);
    else
        json_skip(r);
}

static void parse_parts(struct weir_json *r, struct conversation *c, struct weir_part **list)
{
    struct weir_str key;
    for (json_read_array(r); json_read_element(r);) {
        struct weir_part *p = conversation_part(c, list, WEIR_PART_TEXT);
        for (json_read_object(r); p && json_read_member(r, &key);)
            part_member(r, c, key, p);
    }
}

static void parse_messages(struct weir_json *r, struct conversation *c)
{
    struct weir_str key;
    for (json_read_array(r); json_read_element(r);) {
        struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
        for (json_read_object(r); m && json_read_member(r, &key);) {
            if (weir_is(key, "role"))
                m->role = take_name(r, canon_roles);
            else if (weir_is(key, "name"))
                json_read_string(r, &m->name);
            else if (weir_is(key, "parts"))
                parse_parts(r, c, &m->parts);
            else
                json_skip(r);
        }
    }
}

static void tool_member(struct weir_json *r, struct weir_str key, struct weir_tool *t)
{
    if (weir_is(key, "name"))
        json_read_string(r, &t->name);
    else if (weir_is(key, "description"))
        take_text(r, &t->description);
    else if (weir_is(key, "schema"))
        json_read_raw(r, &t->schema);
    else if (weir_is(key, "strict"))
        json_read_raw(r, &t->strict);
    else if (weir_is(key, "raw"))
        json_read_raw(r, &t->raw);
    else if (weir_is(key, "dialect"))
        json_read_string(r, &t->dialect);
    else if (weir_is(key, "cache_mark"))
        take_flag(r, &t->flags, WEIR_PART_CACHE_MARK);
    else if (weir_is(key, "cache_ttl"))
        json_read_string(r, &t->cache_ttl);
    else
        json_skip(r);
}

static void parse_tools(struct weir_json *r, struct conversation *c)
{
    struct weir_str key;
    for (json_read_array(r); json_read_element(r);) {
        struct weir_tool *t = conversation_tool(c);
        for (json_read_object(r); t && json_read_member(r, &key);)
            tool_member(r, key, t);
    }
}

static void parse_fields(struct weir_json *r, struct conversation *c)
{
    struct weir_str key, raw;
    for (json_read_object(r); json_read_member(r, &key);) {
        uint32_t f = 0;
        while (f < WEIR_FIELD_COUNT && !weir_is(key, canon_fields[f]))
            f++;
        if (f == WEIR_FIELD_COUNT)
            json_reject(r, "is not one of the names that the SDK's README lists");
        else if (json_read_raw(r, &raw))
            conversation_set_field(c, (enum weir_field)f, raw, WEIR_NONE);
    }
}

struct conversation *parse_conversation(struct arena *a, const char *dialect, struct weir_str text, const char **why)
{
    struct conversation *c = conversation_new(a, weir_cstr(dialect), lab_operation_now(), WEIR_NONE);
    struct weir_json *r = json_open(a, text);
    struct weir_str key;
    for (json_read_object(r); json_read_member(r, &key);) {
        if (weir_is(key, "fields"))
            parse_fields(r, c);
        else if (weir_is(key, "messages"))
            parse_messages(r, c);
        else if (weir_is(key, "tools"))
            parse_tools(r, c);
        else
            json_skip(r);
    }
    if (!json_close(r)) {
        *why = why_of(r, a);
        return NULL;
    }
    conversation_close(c);
    return c;
}

/* ---- answers ---- */

static void parse_usage(struct weir_json *r, struct weir_usage *u)
{
    const struct { const char *key; int64_t *to; } counts[] = {
        { "input", &u->input },           { "output", &u->output },           { "cached_read", &u->cached_read },
        { "cached_write", &u->cached_write }, { "reasoning", &u->reasoning }, { "audio_input", &u->audio_input },
        { "audio_output", &u->audio_output }, { "cached_write_1h", &u->cached_write_1h },
    };
    struct weir_str key;
    *u = WEIR_USAGE_UNKNOWN;
    for (json_read_object(r); json_read_member(r, &key);) {
        size_t i = 0;
        while (i < sizeof counts / sizeof *counts && !weir_is(key, counts[i].key))
            i++;
        if (i < sizeof counts / sizeof *counts)
            json_read_integer(r, counts[i].to);
        else
            json_skip(r);
    }
}

static uint16_t take_class(struct weir_json *r)
{
    struct weir_str name;
    if (json_read_string(r, &name))
        for (uint32_t i = WEIR_ERROR_NONE; i <= WEIR_ERROR_UNSUPPORTED; i++)
            if (weir_is(name, error_class_name(i)))
                return (uint16_t)i;
    return WEIR_ERROR_NONE;
}

static void read_error(struct weir_json *r, struct weir_error *e)
{
    const struct { const char *key; struct weir_str *to; } strings[] = {
        { "code", &e->code }, { "message", &e->message }, { "param", &e->param }, { "native", &e->native }
    };
    struct weir_str key;
    int64_t n;
    *e = (struct weir_error){ .size = sizeof *e };
    for (json_read_object(r); json_read_member(r, &key);) {
        size_t i = 0;
        while (i < 4 && !weir_is(key, strings[i].key))
            i++;
        if (i < 4)
            json_read_string(r, strings[i].to);
        else if (weir_is(key, "class"))
            e->error_class = take_class(r);
        else if (weir_is(key, "retry_after_ms") && json_read_integer(r, &n))
            e->retry_after_ms = (uint32_t)n;
        else
            json_skip(r);
    }
}

bool parse_error(struct arena *a, struct weir_str text, struct weir_error *e, const char **why)
{
    struct weir_json *r = json_open(a, text);
    read_error(r, e);
    if (json_close(r))
        return true;
    *why = why_of(r, a);
    return false;
}

static bool event_number(struct weir_json *r, struct weir_str key, struct weir_event *e)
{
    int64_t n = 0;
    if (weir_is(key, "choice") && json_read_integer(r, &n))
        e->choice = (uint32_t)n;
    else if (weir_is(key, "block") && json_read_integer(r, &n))
        e->block = (uint32_t)n;
    else if (weir_is(key, "created") && json_read_integer(r, &n))
        e->created_s = n;
    else if (weir_is(key, "event"))
        e->kind = (uint16_t)take_name(r, canon_events_names);
    else if (weir_is(key, "kind"))
        e->block_kind = (uint16_t)take_name(r, canon_blocks);
    else if (weir_is(key, "adds"))
        e->delta_kind = (uint16_t)take_name(r, canon_deltas);
    else if (weir_is(key, "reason"))
        e->finish = (uint16_t)take_name(r, canon_finishes);
    else
        return false;
    return true;
}

static void event_member(struct arena *a, struct weir_json *r, struct weir_str key, struct weir_event *e)
{
    struct weir_usage *usage;
    struct weir_error *error;
    if (event_number(r, key, e))
        return;
    if (weir_is(key, "id")) {
        json_read_string(r, &e->id);
    } else if (weir_is(key, "name")) {
        json_read_string(r, &e->name);
    } else if (weir_is(key, "dialect")) {
        json_read_string(r, &e->dialect);
    } else if (weir_is(key, "text")) {
        take_text(r, &e->text);
    } else if (weir_is(key, "usage") && (usage = arena_zalloc(a, sizeof *usage))) {
        parse_usage(r, usage);
        e->usage = usage;
    } else if (weir_is(key, "error") && (error = arena_zalloc(a, sizeof *error))) {
        read_error(r, error);
        e->error = error;
    } else {
        json_skip(r);
    }
}

static bool parse_event(struct arena *a, struct weir_str line, struct weir_event *e, const char **why)
{
    struct weir_json *r = json_open(a, line);
    struct weir_str key;
    *e = (struct weir_event){ .size = sizeof *e };
    for (json_read_object(r); json_read_member(r, &key);)
        event_member(a, r, key, e);
    if (json_close(r))
        return true;
    *why = why_of(r, a);
    return false;
}

/* DELTA and BLOCK_STOP carry their block's kind, as the host sets it. */
bool parse_events(struct arena *a, struct weir_str text, struct lab_event **list, const char **why)
{
    struct grammar grammar = { .n_open = 0 };
    *list = NULL;
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        struct weir_str line = { text.p, end ? (size_t)(end - text.p) : text.n };
        size_t taken = line.n + (end ? 1 : 0);
        text = (struct weir_str){ text.p + taken, text.n - taken };
        if (line.n == 0)
            continue;
        struct lab_event *e = arena_zalloc(a, sizeof *e);
        if (!e || !parse_event(a, line, &e->event, why))
            return false;
        if ((*why = grammar_check(&grammar, &e->event, a)))
            return false;
        *list = e;
        list = &e->next;
    }
    return true;
}
