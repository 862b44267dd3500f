/* OpenAI's Responses: the ladder of events and the whole response. What a reply holds becomes items: its thoughts, its text, each of
 * its calls. Nothing is stored, and of the request's settings the response repeats only the instructions. */
#include "wire.h"

#include <stdio.h>

/* What the texts of an item are called. */
struct form {
    const char *added, *delta, *done, *part_done; /* events */
    const char *index; /* the member that counts parts */
    const char *type, *key; /* of a part */
    const char *part_more, *delta_more;
};

static const struct form thought_form = { "response.reasoning_summary_part.added",
                                          "response.reasoning_summary_text.delta",
                                          "response.reasoning_summary_text.done",
                                          "response.reasoning_summary_part.done",
                                          "summary_index",
                                          "summary_text",
                                          "text",
                                          "",
                                          "" };
static const struct form text_form = { "response.content_part.added",
                                       "response.output_text.delta",
                                       "response.output_text.done",
                                       "response.content_part.done",
                                       "content_index",
                                       "output_text",
                                       "text",
                                       ",\"annotations\":[],\"logprobs\":[]",
                                       ",\"logprobs\":[]" };
static const struct form refusal_form = { "response.content_part.added",
                                          "response.refusal.delta",
                                          "response.refusal.done",
                                          "response.content_part.done",
                                          "content_index",
                                          "refusal",
                                          "refusal",
                                          "",
                                          "" };

/* One item of the output: a call, or a form and its text. */
struct item {
    const struct form *form; /* NULL: a call */
    const struct pieces *pieces;
    const struct reply_call *call;
    char id[48];
};

enum { ITEMS_MAX = KNOB_CALLS_MAX + 2 };

static struct item *add_item(struct item *items, uint32_t *n, const char *prefix, const char *id)
{
    struct item *item = &items[(*n)++];
    *item = (struct item){ 0 };
    snprintf(item->id, sizeof(item->id), "%s_%s", prefix, id);
    return item;
}

static uint32_t list_items(struct item *items, const struct answer *a)
{
    const struct reply *r = &a->replies[0];
    uint32_t n = 0;
    if (r->thoughts.n) {
        struct item *item = add_item(items, &n, "rs", a->head.id);
        item->form = &thought_form;
        item->pieces = &r->thoughts;
    }
    if (r->text.n || (!r->n_calls && !r->thoughts.n)) {
        struct item *item = add_item(items, &n, "msg", a->head.id);
        item->form = r->finish == REPLY_REFUSAL ? &refusal_form : &text_form;
        item->pieces = &r->text;
    }
    for (uint32_t i = 0; i < r->n_calls; i++) {
        struct item *item = add_item(items, &n, "fc", r->calls[i].id);
        item->call = &r->calls[i];
        item->pieces = &r->calls[i].arguments;
    }
    return n;
}

/* ---- documents ---- */

/* Why the response is incomplete; NULL: it is complete. */
static const char *incomplete_reason(const struct reply *r)
{
    switch (r->finish) {
    case REPLY_LENGTH:
        return "max_output_tokens";
    case REPLY_FILTER:
        return "content_filter";
    default:
        return r->native_finish;
    }
}

static const char *end_status(const struct answer *a)
{
    return incomplete_reason(&a->replies[0]) ? "incomplete" : "completed";
}

static void put_pieces(struct buf *b, const struct pieces *p, bool is_done)
{
    buf_json(b, is_done && p->bytes.n ? p->bytes.p : "", is_done ? p->bytes.n : 0);
}

static void put_part(struct buf *b, const struct item *item, bool is_done)
{
    buf_print(b, "{\"type\":\"%s\",\"%s\":", item->form->type, item->form->key);
    put_pieces(b, item->pieces, is_done);
    buf_print(b, "%s}", item->form->part_more);
}

/* Thoughts that nobody reads again, but as opaque as real ones. */
static const char encrypted[] = "Z0FBQUFBc2ltdWxhdGVkLXRob3VnaHRzLW9mLXRoZS1zaW11bGF0b3Itb25seS1mb3ItdGVzdHM=";

static void put_thoughts(struct buf *b, const struct answer *a, const struct item *item, bool is_done)
{
    buf_print(b, "{\"id\":\"%s\",\"type\":\"reasoning\",\"summary\":[", item->id);
    if (is_done)
        put_part(b, item, true);
    buf_char(b, ']');
    if (is_done && a->ask->wants_signature)
        buf_print(b, ",\"encrypted_content\":\"%s\"", encrypted);
    buf_char(b, '}');
}

static void put_message(struct buf *b, const struct item *item, const char *status, bool is_done)
{
    buf_print(b, "{\"id\":\"%s\",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\",\"content\":[", item->id,
              status);
    if (is_done)
        put_part(b, item, true);
    buf_str(b, "]}");
}

static void put_call(struct buf *b, const struct item *item, const char *status, bool is_done)
{
    buf_print(b,
              "{\"id\":\"%s\",\"type\":\"function_call\",\"status\":\"%s\",\"call_id\":\"call_%s\",\"name\":", item->id,
              status, item->call->id);
    buf_json(b, item->call->name.p, item->call->name.n);
    buf_str(b, ",\"arguments\":");
    put_pieces(b, item->pieces, is_done);
    buf_char(b, '}');
}

static void put_item(struct buf *b, const struct answer *a, const struct item *item, bool is_done)
{
    const char *status = is_done ? end_status(a) : "in_progress";
    if (item->call)
        put_call(b, item, is_done ? "completed" : status, is_done);
    else if (item->form == &thought_form)
        put_thoughts(b, a, item, is_done);
    else
        put_message(b, item, status, is_done);
}

static void put_usage(struct buf *b, const struct answer *a)
{
    long long in = a->head.tokens_in, out = wire_tokens_out(a);
    buf_print(b,
              "{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld},\"output_tokens\":%lld,"
              "\"output_tokens_details\":{\"reasoning_tokens\":%lld},\"total_tokens\":%lld}",
              in, (long long)a->head.tokens_cached, out, (long long)wire_tokens_thinking(a), in + out);
}

static void put_end(struct buf *b, const struct answer *a, const char *reason)
{
    struct item items[ITEMS_MAX];
    uint32_t n = list_items(items, a);
    buf_str(b, ",\"incomplete_details\":");
    if (reason) {
        buf_str(b, "{\"reason\":");
        buf_json(b, reason, strlen(reason));
        buf_char(b, '}');
    } else {
        buf_str(b, "null");
    }
    buf_str(b, ",\"output\":[");
    for (uint32_t i = 0; i < n; i++) {
        buf_str(b, i ? "," : "");
        put_item(b, a, &items[i], true);
    }
    buf_str(b, "],\"usage\":");
    if (a->knobs->no_usage)
        buf_str(b, "null");
    else
        put_usage(b, a);
}

static void put_response(struct buf *b, const struct answer *a, bool is_done)
{
    buf_print(b, "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"model\":",
              a->head.id, (long long)a->head.created_s, is_done ? end_status(a) : "in_progress");
    buf_json(b, a->head.model.p, a->head.model.n);
    buf_str(b, ",\"instructions\":");
    if (span_type(a->ask->instructions) == '"')
        buf_add(b, a->ask->instructions.p, a->ask->instructions.n);
    else
        buf_str(b, "null");
    buf_str(b, ",\"background\":false,\"error\":null,\"metadata\":{},\"parallel_tool_calls\":true,"
               "\"previous_response_id\":null,\"store\":false,\"tool_choice\":\"auto\",\"tools\":[]");
    if (is_done)
        put_end(b, a, incomplete_reason(&a->replies[0]));
    else
        buf_str(b, ",\"incomplete_details\":null,\"output\":[],\"usage\":null");
    buf_char(b, '}');
}

static void responses_whole(struct buf *b, const struct answer *a)
{
    put_response(b, a, true);
}

/* ---- streams ---- */

struct stream {
    struct script *script;
    const struct answer *answer;
    struct buf data;
    const char *event;
    uint32_t sequence, index; /* of events, of items */
};

static void begin(struct stream *s, const char *event)
{
    buf_reset(&s->data);
    s->event = event;
    buf_print(&s->data, "{\"type\":\"%s\",\"sequence_number\":%u", event, s->sequence++);
}

/* In a stream an error has its members beside its type. */
static void send_error(struct stream *s)
{
    begin(s, "error");
    buf_str(
        &s->data,
        ",\"code\":\"server_is_overloaded\",\"message\":\"The simulated model became overloaded in the middle of its "
        "answer, as the request asked.\",\"param\":null}");
    script_event(s->script, s->event, &s->data, s->script->knobs->pace);
    script_stream_end(s->script);
    s->script->is_over = true;
}

static void end(struct stream *s, int64_t delay_ms)
{
    if (s->script->is_over)
        return;
    buf_char(&s->data, '}');
    if (script_error_is_due(s->script)) {
        s->sequence--;
        send_error(s);
        return;
    }
    script_event(s->script, s->event, &s->data, delay_ms);
}

static void send_response(struct stream *s, const char *event, bool is_done, int64_t delay_ms)
{
    begin(s, event);
    buf_str(&s->data, ",\"response\":");
    put_response(&s->data, s->answer, is_done);
    end(s, delay_ms);
}

static void send_item(struct stream *s, const char *event, const struct item *item, bool is_done)
{
    begin(s, event);
    buf_print(&s->data, ",\"output_index\":%u,\"item\":", s->index);
    put_item(&s->data, s->answer, item, is_done);
    end(s, 0);
}

static void begin_in_item(struct stream *s, const char *event, const struct item *item)
{
    begin(s, event);
    buf_print(&s->data, ",\"item_id\":\"%s\",\"output_index\":%u", item->id, s->index);
    if (item->form)
        buf_print(&s->data, ",\"%s\":0", item->form->index);
}

static void send_deltas(struct stream *s, const char *event, const struct item *item, const char *more)
{
    for (size_t i = 0; i < item->pieces->n; i++) {
        size_t n;
        const char *text = pieces_at(item->pieces, i, &n);
        begin_in_item(s, event, item);
        buf_str(&s->data, ",\"delta\":");
        buf_json(&s->data, text, n);
        buf_str(&s->data, more);
        end(s, wire_pause(s->script));
    }
}

static void send_part(struct stream *s, const char *event, const struct item *item, bool is_done)
{
    begin_in_item(s, event, item);
    buf_str(&s->data, ",\"part\":");
    put_part(&s->data, item, is_done);
    end(s, 0);
}

static void send_text(struct stream *s, const struct item *item)
{
    const struct form *f = item->form;
    send_part(s, f->added, item, false);
    send_deltas(s, f->delta, item, f->delta_more);
    begin_in_item(s, f->done, item);
    buf_print(&s->data, ",\"%s\":", f->key);
    put_pieces(&s->data, item->pieces, true);
    buf_str(&s->data, f->delta_more);
    end(s, 0);
    send_part(s, f->part_done, item, true);
}

static void send_arguments(struct stream *s, const struct item *item)
{
    send_deltas(s, "response.function_call_arguments.delta", item, "");
    begin_in_item(s, "response.function_call_arguments.done", item);
    buf_str(&s->data, ",\"name\":");
    buf_json(&s->data, item->call->name.p, item->call->name.n);
    buf_str(&s->data, ",\"arguments\":");
    put_pieces(&s->data, item->pieces, true);
    end(s, 0);
}

static void responses_stream(struct script *script, const struct answer *a)
{
    struct stream s = { .script = script, .answer = a };
    struct item items[ITEMS_MAX];
    uint32_t n = list_items(items, a);
    send_response(&s, "response.created", false, wire_pause(script));
    send_response(&s, "response.in_progress", false, 0);
    for (s.index = 0; s.index < n; s.index++) {
        const struct item *item = &items[s.index];
        send_item(&s, "response.output_item.added", item, false);
        if (item->call)
            send_arguments(&s, item);
        else
            send_text(&s, item);
        send_item(&s, "response.output_item.done", item, true);
    }
    if (!a->knobs->no_done)
        send_response(&s, incomplete_reason(&a->replies[0]) ? "response.incomplete" : "response.completed", true, 0);
    script_stream_end(script);
    buf_free(&s.data);
}

static void responses_error(struct buf *b, int status, const char *message)
{
    wire_openai.error(b, status, message); /* one API, one shape */
}

const struct wire wire_responses = { responses_stream, responses_whole, responses_error, "error" };
