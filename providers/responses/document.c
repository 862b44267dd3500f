/* The response object: of a whole answer, and as a stream begins and ends with it. What was told is kept as ropes, because at its
 * end a stream of this dialect says everything again. Everything lives as long as the request. */
#include "ladder.h"

/* ---- writing ---- */

void responses_put(struct telling *t, struct weir_str bytes)
{
    if (!t->is_silent)
        t->o.host->write(t->out, bytes);
}

void responses_put_str(struct telling *t, struct weir_str s)
{
    if (!t->is_silent)
        t->o.json->put_str(t->out, s);
}

void responses_put_int(struct telling *t, int64_t n)
{
    if (!t->is_silent)
        t->o.json->put_int(t->out, n > 0 ? n : 0);
}

#define put responses_put

void responses_put_line(struct telling *t, struct weir_text raw)
{
    while (raw.n) {
        uint32_t n = 0;
        while (n < raw.n && raw.p[n] != '\n' && raw.p[n] != '\r')
            n++;
        put(t, (struct weir_str){ raw.p, n });
        n += n < raw.n;
        raw.p += n;
        raw.n -= n;
    }
}

/* ---- ropes ---- */

int responses_rope_add(struct responses *o, struct responses_rope *rope, const struct weir_text *text)
{
    struct responses_chunk *c = rope->last;
    bool is_plain = text->form == WEIR_TEXT_PLAIN;
    if (!text->n)
        return 0;
    if (!c || c->cap - c->n < text->n || c->is_plain != is_plain) {
        uint32_t cap = c ? 1000 : 240;
        cap = text->n > cap ? text->n : cap;
        c = o->host->alloc(o->call, WEIR_FOR_REQUEST, sizeof(*c) + cap);
        if (!c)
            return -1;
        c->cap = cap;
        c->is_plain = is_plain;
        *(rope->last ? &rope->last->next : &rope->first) = c;
        rope->last = c;
    }
    memcpy(c->p + c->n, text->p, text->n);
    c->n += text->n;
    return 0;
}

void responses_put_rope_raw(struct telling *t, const struct responses_rope *rope)
{
    for (const struct responses_chunk *c = rope->first; c; c = c->next)
        put(t, (struct weir_str){ c->p, c->n });
}

void responses_put_rope(struct telling *t, const struct responses_rope *rope, struct weir_str head)
{
    const struct weir_json_api *j = t->o.json;
    struct weir_text first = weir_plain(head);
    if (t->is_silent)
        return;
    j->string_begin(t->out);
    j->string_part(t->out, &first);
    for (const struct responses_chunk *c = rope->first; c; c = c->next) {
        struct weir_text text = { c->p, c->n, c->is_plain ? WEIR_TEXT_PLAIN : WEIR_TEXT_ESCAPED };
        j->string_part(t->out, &text);
    }
    j->string_end(t->out);
}

/* ---- what was told ---- */

bool responses_is_part(const struct responses_told *b)
{
    return b->kind == WEIR_BLOCK_TEXT || b->kind == WEIR_BLOCK_REFUSAL;
}

struct responses_told *responses_find_told(struct responses_client *s, uint32_t block)
{
    if (s->last_told && s->last_told->block == block && s->last_told->is_open)
        return s->last_told;
    struct responses_told *b = s->told;
    while (b && (b->block != block || !b->is_open))
        b = b->next;
    return b;
}

struct responses_told *responses_add_told(struct telling *t, uint16_t kind, uint32_t block)
{
    struct responses_client *s = t->client;
    struct responses_told *b = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*b));
    if (!b)
        return NULL;
    b->kind = kind;
    b->block = block;
    b->is_open = true;
    *(s->last_told ? &s->last_told->next : &s->told) = b;
    s->last_told = b;
    return b;
}

void responses_place_item(struct telling *t, struct responses_told *b)
{
    const char *prefix = b->kind == WEIR_BLOCK_THINKING    ? "rs_" RESPONSES_MADE
                         : b->kind == WEIR_BLOCK_TOOL_CALL ? "fc_" RESPONSES_MADE
                         : b->kind == WEIR_BLOCK_IMAGE     ? "ig_" RESPONSES_MADE
                                                           : "msg_" RESPONSES_MADE;
    b->output_index = t->client->n_items++;
    if (!b->id.n)
        b->id = t->o.host->keep(t->o.call, t->o.host->new_id(t->o.call, prefix));
}

bool responses_place_part(struct telling *t, struct responses_told *b)
{
    struct responses_client *s = t->client;
    struct responses_told *first = s->message;
    bool goes_on = first && !s->is_sealed && (!b->id.n || weir_eq(b->id, first->id));
    if (!goes_on) {
        responses_place_item(t, b);
        s->message = b;
        s->n_parts = s->n_open_parts = 1;
        s->is_sealed = false;
        return true;
    }
    b->id = first->id;
    b->output_index = first->output_index;
    b->content_index = s->n_parts++;
    s->n_open_parts++;
    return false;
}

struct responses_told *responses_add_carrier(struct telling *t, const struct responses_told *call)
{
    if (!call->signature.first || !call->call.n || weir_eq(call->signature_dialect, RESPONSES_DIALECT))
        return NULL;
    struct responses_told *b = responses_add_told(t, WEIR_BLOCK_THINKING, UINT32_MAX);
    if (!b)
        return NULL;
    b->is_open = false;
    b->call = call->call;
    b->signature = call->signature;
    b->signature_dialect = call->signature_dialect;
    responses_place_item(t, b);
    return b;
}

/* ---- items ---- */

static const struct responses_rope nothing = { NULL, NULL };

void responses_put_part(struct telling *t, const struct responses_told *b, bool is_empty)
{
    const struct responses_rope *text = is_empty ? &nothing : &b->text;
    if (b->kind == WEIR_BLOCK_REFUSAL) {
        put(t, WEIR_LIT("{\"type\":\"refusal\",\"refusal\":"));
        responses_put_rope(t, text, WEIR_NONE);
        put(t, WEIR_LIT("}"));
        return;
    }
    put(t, WEIR_LIT("{\"type\":\"output_text\",\"annotations\":["));
    if (!is_empty)
        responses_put_rope_raw(t, &b->citations);
    put(t, WEIR_LIT("],\"logprobs\":["));
    if (!is_empty)
        responses_put_rope_raw(t, &b->logprobs);
    put(t, WEIR_LIT("],\"text\":"));
    responses_put_rope(t, text, WEIR_NONE);
    put(t, WEIR_LIT("}"));
}

static void put_message(struct telling *t, const struct responses_told *first, bool is_empty)
{
    put(t, WEIR_LIT("{\"id\":"));
    responses_put_str(t, first->id);
    put(t, is_empty ? WEIR_LIT(",\"type\":\"message\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[")
           : first->is_cut
               ? WEIR_LIT(",\"type\":\"message\",\"status\":\"incomplete\",\"role\":\"assistant\",\"content\":[")
               : WEIR_LIT(",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":["));
    for (const struct responses_told *b = first; b && !is_empty; b = b->next) {
        if (!responses_is_part(b) || b->output_index != first->output_index)
            continue;
        if (b != first)
            put(t, WEIR_LIT(","));
        responses_put_part(t, b, false);
    }
    put(t, WEIR_LIT("]}"));
}

static void put_reasoning(struct telling *t, const struct responses_told *b, bool is_empty)
{
    put(t, WEIR_LIT("{\"id\":"));
    responses_put_str(t, b->id);
    put(t, WEIR_LIT(",\"type\":\"reasoning\",\"summary\":["));
    if (b->text.first && !is_empty) {
        put(t, WEIR_LIT("{\"type\":\"summary_text\",\"text\":"));
        responses_put_rope(t, &b->text, WEIR_NONE);
        put(t, WEIR_LIT("}"));
    }
    put(t, WEIR_LIT("]"));
    if (b->signature.first && !is_empty) {
        put(t, WEIR_LIT(",\"encrypted_content\":"));
        responses_put_rope(t, &b->signature, responses_carrier_head(&t->o, b->signature_dialect, b->call));
    }
    put(t, WEIR_LIT("}"));
}

static void put_call(struct telling *t, const struct responses_told *b, bool is_empty)
{
    bool has_none = !is_empty && !b->text.first; /* clients parse what they get */
    put(t, WEIR_LIT("{\"id\":"));
    responses_put_str(t, b->id);
    put(t, is_empty ? WEIR_LIT(",\"type\":\"function_call\",\"status\":\"in_progress\",\"arguments\":")
                    : WEIR_LIT(",\"type\":\"function_call\",\"status\":\"completed\",\"arguments\":"));
    responses_put_rope(t, is_empty ? &nothing : &b->text, has_none ? WEIR_LIT("{}") : WEIR_NONE);
    put(t, WEIR_LIT(",\"call_id\":"));
    responses_put_str(t, b->call);
    put(t, WEIR_LIT(",\"name\":"));
    responses_put_str(t, b->name);
    put(t, WEIR_LIT("}"));
}

/* As if the tool of OpenAI's that makes images had been called. */
static void put_image(struct telling *t, const struct responses_told *b, bool is_empty)
{
    struct weir_str kind = b->name.n > 6 && memcmp(b->name.p, "image/", 6) == 0
                               ? (struct weir_str){ b->name.p + 6, b->name.n - 6 }
                               : WEIR_LIT("png");
    put(t, WEIR_LIT("{\"type\":\"image_generation_call\",\"id\":"));
    responses_put_str(t, b->id);
    put(t, is_empty ? WEIR_LIT(",\"status\":\"in_progress\"") : WEIR_LIT(",\"status\":\"completed\",\"output_format\":"));
    if (!is_empty)
        responses_put_str(t, kind);
    put(t, WEIR_LIT(",\"result\":"));
    if (is_empty)
        put(t, WEIR_LIT("null"));
    else
        responses_put_rope(t, &b->text, WEIR_NONE);
    put(t, WEIR_LIT("}"));
}

void responses_put_item(struct telling *t, const struct responses_told *b, bool is_empty)
{
    switch (b->kind) {
    case WEIR_BLOCK_THINKING:
        put_reasoning(t, b, is_empty);
        break;
    case WEIR_BLOCK_TOOL_CALL:
        put_call(t, b, is_empty);
        break;
    case WEIR_BLOCK_OPAQUE:
        responses_put_line(t, b->raw);
        break;
    case WEIR_BLOCK_IMAGE:
        put_image(t, b, is_empty);
        break;
    default:
        put_message(t, b, is_empty);
    }
}

static void put_output(struct telling *t)
{
    bool has_begun = false;
    for (const struct responses_told *b = t->client->told; b; b = b->next) {
        if (responses_is_part(b) && b->content_index)
            continue;
        if (has_begun)
            put(t, WEIR_LIT(","));
        has_begun = true;
        responses_put_item(t, b, false);
    }
}

/* ---- the object ---- */

const char *responses_status_of(uint32_t finish, struct weir_str native)
{
    static const char *const own[] = { "queued", "in_progress", "cancelled" };
    for (size_t i = 0; finish == WEIR_FINISH_OTHER && i < sizeof(own) / sizeof(*own); i++)
        if (weir_is(native, own[i]))
            return own[i];
    switch (finish) {
    case WEIR_FINISH_LENGTH:
    case WEIR_FINISH_CONTEXT_WINDOW:
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
        return "incomplete";
    default:
        return "completed";
    }
}

static void put_usage(struct telling *t)
{
    const struct weir_usage *u = &t->client->usage;
    int64_t input = u->input > 0 ? u->input : 0, output = u->output > 0 ? u->output : 0;
    if (u->input < 0 && u->output < 0) {
        put(t, WEIR_LIT("null"));
        return;
    }
    put(t, WEIR_LIT("{\"input_tokens\":"));
    responses_put_int(t, input);
    put(t, WEIR_LIT(",\"input_tokens_details\":{\"cached_tokens\":"));
    responses_put_int(t, u->cached_read);
    if (u->cached_write >= 0) {
        put(t, WEIR_LIT(",\"cache_write_tokens\":"));
        responses_put_int(t, u->cached_write);
    }
    put(t, WEIR_LIT("},\"output_tokens\":"));
    responses_put_int(t, output);
    put(t, WEIR_LIT(",\"output_tokens_details\":{\"reasoning_tokens\":"));
    responses_put_int(t, u->reasoning);
    put(t, WEIR_LIT("},\"total_tokens\":"));
    responses_put_int(t, input + output);
    put(t, WEIR_LIT("}"));
}

/* What the client asked for, in its own words. */
static void put_echo(struct telling *t, enum responses_echo which, struct weir_str head, struct weir_str unsaid)
{
    const struct weir_conversation *c = t->is_silent ? NULL : t->o.host->conversation(t->o.call);
    struct responses_span span = t->client->echo[which];
    put(t, head);
    if (c && span.n && span.at + span.n <= c->body.n && c->body.p[span.at] != 'n')
        responses_put_line(t, weir_plain((struct weir_str){ c->body.p + span.at, span.n }));
    else
        put(t, unsaid);
}

static void put_error(struct telling *t, const struct weir_error *error)
{
    put(t, WEIR_LIT(",\"error\":"));
    if (!error) {
        put(t, WEIR_LIT("null"));
        return;
    }
    put(t, WEIR_LIT("{\"code\":"));
    responses_put_str(t, responses_error_code(error));
    put(t, WEIR_LIT(",\"message\":"));
    responses_put_str(t, error->message);
    put(t, WEIR_LIT("}"));
}

static void put_how_it_ended(struct telling *t, const char *status, const struct weir_error *error)
{
    bool is_filtered = t->client->finish == WEIR_FINISH_CONTENT_FILTER || t->client->finish == WEIR_FINISH_REFUSAL;
    put(t, WEIR_LIT(",\"status\":"));
    responses_put_str(t, weir_cstr(status));
    put(t, WEIR_LIT(",\"background\":false"));
    put_error(t, error);
    put(t, WEIR_LIT(",\"incomplete_details\":"));
    if (strcmp(status, "incomplete") != 0)
        put(t, WEIR_LIT("null"));
    else
        put(t,
            is_filtered ? WEIR_LIT("{\"reason\":\"content_filter\"}") : WEIR_LIT("{\"reason\":\"max_output_tokens\"}"));
}

/* Nothing is stored, whatever was asked for: weir keeps no state. */
void responses_put_response(struct telling *t, const char *status, const struct weir_error *error)
{
    const struct responses_client *s = t->client;
    bool has_ended = s->has_finish || error;
    put(t, WEIR_LIT("{\"id\":"));
    responses_put_str(t, s->id);
    put(t, WEIR_LIT(",\"object\":\"response\",\"created_at\":"));
    responses_put_int(t, s->created_s);
    put_how_it_ended(t, status, error);
    put_echo(t, ECHO_INSTRUCTIONS, WEIR_LIT(",\"instructions\":"), WEIR_LIT("null"));
    put_echo(t, ECHO_MAX_OUTPUT_TOKENS, WEIR_LIT(",\"max_output_tokens\":"), WEIR_LIT("null"));
    put(t, WEIR_LIT(",\"model\":"));
    responses_put_str(t, s->model);
    put(t, WEIR_LIT(",\"output\":["));
    if (has_ended)
        put_output(t);
    put_echo(t, ECHO_PARALLEL_TOOL_CALLS, WEIR_LIT("],\"parallel_tool_calls\":"), WEIR_LIT("true"));
    put_echo(t, ECHO_REASONING, WEIR_LIT(",\"previous_response_id\":null,\"reasoning\":"),
             WEIR_LIT("{\"effort\":null,\"summary\":null}"));
    put_echo(t, ECHO_TEMPERATURE, WEIR_LIT(",\"store\":false,\"temperature\":"), WEIR_LIT("null"));
    put_echo(t, ECHO_TEXT, WEIR_LIT(",\"text\":"), WEIR_LIT("{\"format\":{\"type\":\"text\"}}"));
    put_echo(t, ECHO_TOOL_CHOICE, WEIR_LIT(",\"tool_choice\":"), WEIR_LIT("\"auto\""));
    put_echo(t, ECHO_TOOLS, WEIR_LIT(",\"tools\":"), WEIR_LIT("[]"));
    put_echo(t, ECHO_TOP_P, WEIR_LIT(",\"top_p\":"), WEIR_LIT("null"));
    put_echo(t, ECHO_TRUNCATION, WEIR_LIT(",\"truncation\":"), WEIR_LIT("\"disabled\""));
    put(t, WEIR_LIT(",\"usage\":"));
    if (has_ended)
        put_usage(t);
    else
        put(t, WEIR_LIT("null"));
    put_echo(t, ECHO_USER, WEIR_LIT(",\"user\":"), WEIR_LIT("null"));
    put_echo(t, ECHO_METADATA, WEIR_LIT(",\"metadata\":"), WEIR_LIT("{}"));
    put(t, WEIR_LIT("}"));
}
