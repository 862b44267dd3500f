/* What a request or an answer means, as JSON text: every field of the views, those at rest left out. */
#include <string.h>

#include "pipeline.h"
#include "text.h"
#include "verify_lab.h"

const char *const canon_fields[WEIR_FIELD_COUNT] = {
    [WEIR_FIELD_MODEL] = "model", [WEIR_FIELD_STREAM] = "stream", [WEIR_FIELD_STREAM_USAGE] = "stream_usage",
    [WEIR_FIELD_MAX_TOKENS] = "max_tokens", [WEIR_FIELD_TEMPERATURE] = "temperature", [WEIR_FIELD_TOP_P] = "top_p",
    [WEIR_FIELD_TOP_K] = "top_k", [WEIR_FIELD_STOP] = "stop", [WEIR_FIELD_N] = "n", [WEIR_FIELD_SEED] = "seed",
    [WEIR_FIELD_FREQUENCY_PENALTY] = "frequency_penalty", [WEIR_FIELD_PRESENCE_PENALTY] = "presence_penalty",
    [WEIR_FIELD_LOGIT_BIAS] = "logit_bias", [WEIR_FIELD_LOGPROBS] = "logprobs", [WEIR_FIELD_TOP_LOGPROBS] = "top_logprobs",
    [WEIR_FIELD_USER] = "user", [WEIR_FIELD_METADATA] = "metadata", [WEIR_FIELD_SERVICE_TIER] = "service_tier",
    [WEIR_FIELD_TOOL_CHOICE] = "tool_choice", [WEIR_FIELD_PARALLEL_TOOLS] = "parallel_tools",
    [WEIR_FIELD_RESPONSE_FORMAT] = "response_format", [WEIR_FIELD_REASONING_EFFORT] = "reasoning_effort",
    [WEIR_FIELD_REASONING_BUDGET] = "reasoning_budget", [WEIR_FIELD_REASONING_VISIBLE] = "reasoning_visible",
    [WEIR_FIELD_VERBOSITY] = "verbosity", [WEIR_FIELD_MODALITIES] = "modalities",
    [WEIR_FIELD_DIMENSIONS] = "dimensions", [WEIR_FIELD_ENCODING] = "encoding", [WEIR_FIELD_INPUT_TYPE] = "input_type",
    [WEIR_FIELD_TRUNCATE] = "truncate", [WEIR_FIELD_TOP_N] = "top_n", [WEIR_FIELD_RETURN_DOCUMENTS] = "return_documents",
};
const char *const canon_roles[] = { "", "system", "user", "assistant", "tool", NULL };
const char *const canon_parts[] = { "", "text", "image", "audio", "file", "tool_call", "tool_result", "thinking", "refusal", "opaque", NULL };
const char *const canon_events_names[] = { "", "start", "block_start", "delta", "block_stop", "finish", "usage", "end", "error", "ping", NULL };
const char *const canon_blocks[] = { "", "text", "thinking", "refusal", "tool_call", "tool_result", "image", "audio", "opaque",
                                      "embedding", "score", NULL };
const char *const canon_deltas[] = { "", "text", "arguments", "signature", "citation", "logprobs", "audio", "transcript", "ext", NULL };
const char *const canon_finishes[] = { "", "stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause",
                                       "context_window", "other", NULL };

uint32_t canon_number(const char *const *names, struct weir_str name)
{
    for (uint32_t i = 1; names[i]; i++)
        if (weir_is(name, names[i]))
            return i;
    return 0;
}

static const char *name_of(const char *const *names, uint32_t number)
{
    for (uint32_t i = 1; names[i]; i++)
        if (i == number)
            return names[i];
    return "?";
}

/* ---- members, if there is something to say ---- */

static void put(struct weir_out *out, const char *key, struct weir_str s)
{
    if (s.n == 0)
        return;
    json_key(out, key);
    json_put_str(out, s);
}

/* Decoded, so that two ways of escaping are the same text. */
static void put_text(struct arena *a, struct weir_out *out, const char *key, const struct weir_text *t)
{
    put(out, key, text_decode(a, t));
}

static void put_raw(struct weir_out *out, const char *key, struct weir_str json)
{
    if (json.n == 0)
        return;
    json_key(out, key);
    json_put_raw(out, json);
}

static void put_flag(struct weir_out *out, const char *key, bool is_set)
{
    if (!is_set)
        return;
    json_key(out, key);
    json_put_bool(out, true);
}

static void put_name(struct weir_out *out, const char *key, const char *const *names, uint32_t number)
{
    json_key(out, key);
    json_put_str(out, weir_cstr(name_of(names, number)));
}

static void put_known(struct weir_out *out, const char *key, int64_t n)
{
    if (n < 0)
        return;
    json_key(out, key);
    json_put_int(out, n);
}

/* ---- conversations ---- */

static void put_parts(struct arena *a, struct weir_out *out, const struct weir_part *p)
{
    if (!p)
        return;
    json_key(out, "parts");
    json_array_begin(out);
    for (; p; p = p->next) {
        json_object_begin(out);
        put_name(out, "kind", canon_parts, p->kind);
        put(out, "id", p->id);
        put(out, "name", p->name);
        put_text(a, out, "text", &p->text);
        put_text(a, out, "data", &p->data);
        put(out, "media_type", p->media_type);
        put(out, "url", p->url);
        put(out, "file_id", p->file_id);
        put(out, "detail", p->detail);
        put_text(a, out, "signature", &p->signature);
        put_raw(out, "raw", p->raw);
        put(out, "dialect", p->dialect);
        put_flag(out, "is_error", p->flags & WEIR_PART_IS_ERROR);
        put_flag(out, "cache_mark", p->flags & WEIR_PART_CACHE_MARK);
        put(out, "cache_ttl", p->cache_ttl);
        put_flag(out, "redacted", p->flags & WEIR_PART_REDACTED);
        put_parts(a, out, p->parts);
        json_object_end(out);
    }
    json_array_end(out);
}

static void put_messages(struct arena *a, struct weir_out *out, const struct weir_message *m)
{
    json_key(out, "messages");
    json_array_begin(out);
    for (; m; m = m->next) {
        json_object_begin(out);
        put_name(out, "role", canon_roles, m->role);
        put(out, "name", m->name);
        put_parts(a, out, m->parts);
        json_object_end(out);
    }
    json_array_end(out);
}

static void put_tools(struct arena *a, struct weir_out *out, const struct weir_tool *t)
{
    if (!t)
        return;
    json_key(out, "tools");
    json_array_begin(out);
    for (; t; t = t->next) {
        json_object_begin(out);
        put(out, "name", t->name);
        put_text(a, out, "description", &t->description);
        put_raw(out, "schema", t->schema);
        put_raw(out, "strict", t->strict);
        put_raw(out, "raw", t->raw);
        put(out, "dialect", t->dialect);
        put_flag(out, "cache_mark", t->flags & WEIR_PART_CACHE_MARK);
        put(out, "cache_ttl", t->cache_ttl);
        json_object_end(out);
    }
    json_array_end(out);
}

static void put_ext(struct weir_out *out, const struct weir_ext *e)
{
    if (!e)
        return;
    json_key(out, "ext");
    json_array_begin(out);
    for (; e; e = e->next) {
        json_object_begin(out);
        put(out, "path", e->path);
        put_raw(out, "raw", e->raw);
        json_object_end(out);
    }
    json_array_end(out);
}

void canon_conversation(struct arena *a, const struct weir_conversation *c, struct weir_out *out)
{
    json_object_begin(out);
    json_key(out, "fields");
    json_object_begin(out);
    for (uint32_t f = 0; f < WEIR_FIELD_COUNT; f++)
        put_raw(out, canon_fields[f], weir_field(c, (enum weir_field)f));
    json_object_end(out);
    put_messages(a, out, c->messages);
    put_tools(a, out, c->tools);
    put_ext(out, c->ext);
    json_object_end(out);
}

/* ---- answers ---- */

static void put_usage(struct weir_out *out, const struct weir_usage *u)
{
    if (!u)
        return;
    json_key(out, "usage");
    json_object_begin(out);
    put_known(out, "input", u->input);
    put_known(out, "output", u->output);
    put_known(out, "cached_read", u->cached_read);
    put_known(out, "cached_write", u->cached_write);
    put_known(out, "reasoning", u->reasoning);
    put_known(out, "audio_input", u->audio_input);
    put_known(out, "audio_output", u->audio_output);
    put_known(out, "cached_write_1h", u->cached_write_1h);
    json_object_end(out);
}

void canon_error(const struct weir_error *e, struct weir_out *out)
{
    json_object_begin(out);
    put(out, "class", weir_cstr(error_class_name(e->error_class)));
    put(out, "code", e->code);
    put(out, "message", e->message);
    put(out, "param", e->param);
    put(out, "native", e->native);
    if (e->retry_after_ms)
        put_known(out, "retry_after_ms", e->retry_after_ms);
    json_object_end(out);
}

static void put_place(struct weir_out *out, const struct weir_event *e)
{
    put_known(out, "choice", e->choice);
    if (e->kind != WEIR_EVENT_FINISH)
        put_known(out, "block", e->block);
}

void canon_event(struct arena *a, const struct weir_event *e, struct weir_out *out)
{
    bool has_place = e->kind >= WEIR_EVENT_BLOCK_START && e->kind <= WEIR_EVENT_FINISH;
    json_object_begin(out);
    put_name(out, "event", canon_events_names, e->kind);
    if (has_place)
        put_place(out, e);
    if (e->kind == WEIR_EVENT_BLOCK_START)
        put_name(out, "kind", canon_blocks, e->block_kind);
    if (e->kind == WEIR_EVENT_DELTA)
        put_name(out, "adds", canon_deltas, e->delta_kind);
    if (e->kind == WEIR_EVENT_FINISH)
        put_name(out, "reason", canon_finishes, e->finish);
    put(out, "id", e->id);
    put(out, "name", e->name);
    put_text(a, out, "text", &e->text);
    put(out, "dialect", e->dialect);
    if (e->created_s)
        put_known(out, "created", e->created_s);
    put_usage(out, e->usage);
    if (e->error) {
        json_key(out, "error");
        canon_error(e->error, out);
    }
    json_object_end(out);
}

void canon_events(struct arena *a, const struct lab_event *list, struct weir_out *out)
{
    for (; list; list = list->next) {
        canon_event(a, &list->event, out);
        out_write(out, WEIR_LIT("\n"));
    }
}

static void put_blocks(struct arena *a, struct weir_out *out, const struct weir_answer_block *b)
{
    json_key(out, "blocks");
    json_array_begin(out);
    for (; b; b = b->next) {
        if (b->kind == WEIR_BLOCK_TEXT && b->text.n == 0)
            continue; /* an empty text and none are the same to every reader */
        json_object_begin(out);
        put_name(out, "kind", canon_blocks, b->kind);
        put_known(out, "choice", b->choice);
        put(out, "id", b->id);
        put(out, "name", b->name);
        put_text(a, out, "text", &b->text);
        put_text(a, out, "signature", &b->signature);
        put_text(a, out, "transcript", &b->transcript);
        json_object_end(out);
    }
    json_array_end(out);
}

static void put_choices(struct weir_out *out, const struct weir_answer *answer)
{
    json_key(out, "finish");
    json_array_begin(out);
    for (uint32_t i = 0; i < answer->n_choices; i++)
        json_put_str(out, weir_cstr(name_of(canon_finishes, answer->choices[i].finish)));
    json_array_end(out);
}

void canon_answer(struct arena *a, const struct lab_event *list, struct weir_out *out)
{
    struct collector *c = collector_new(a);
    for (; list; list = list->next)
        collector_add(c, &list->event);
    const struct weir_answer *answer = collector_answer(c);
    json_object_begin(out);
    put(out, "id", answer->id);
    put(out, "model", answer->model);
    put_blocks(a, out, answer->blocks);
    put_choices(out, answer);
    put_known(out, "input", answer->usage.input);
    put_known(out, "output", answer->usage.output);
    json_object_end(out);
    collector_free(c);
}

/* ---- line breaks ---- */

static void break_line(struct weir_out *out, uint32_t depth)
{
    out_write(out, WEIR_LIT("\n"));
    while (depth--)
        out_write(out, WEIR_LIT("  "));
}

void canon_pretty(struct weir_str json, struct weir_out *out)
{
    uint32_t depth = 0;
    bool is_inside = false;
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];
        bool closes = !is_inside && (c == '}' || c == ']'), opens = !is_inside && (c == '{' || c == '[');
        bool is_empty = (opens && (json.p[i + 1] == '}' || json.p[i + 1] == ']')) ||
                        (closes && (json.p[i - 1] == '{' || json.p[i - 1] == '['));
        depth -= closes;
        if (closes && !is_empty)
            break_line(out, depth);
        out_write(out, (struct weir_str){ &json.p[i], 1 });
        depth += opens;
        if ((opens && !is_empty) || (!is_inside && c == ','))
            break_line(out, depth);
        if (!is_inside && c == ':')
            out_write(out, WEIR_LIT(" "));
        if (is_inside && c == '\\')
            out_write(out, (struct weir_str){ &json.p[++i], 1 });
        else if (c == '"')
            is_inside = !is_inside;
    }
    out_write(out, WEIR_LIT("\n"));
}
