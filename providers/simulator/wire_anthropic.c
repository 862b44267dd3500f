/* Anthropic messages: the ladder of blocks and the whole document. */
#include "wire.h"

static const char *stop_word(const struct reply *r)
{
    switch (r->finish) {
    case REPLY_LENGTH:
        return "max_tokens";
    case REPLY_CALLS:
        return "tool_use";
    case REPLY_STOP_SEQUENCE:
        return "stop_sequence";
    case REPLY_FILTER:
    case REPLY_REFUSAL:
        return "refusal";
    default:
        return r->native_finish ? r->native_finish : "end_turn";
    }
}

/* A signature nobody checks, but as long as a short real one. */
static const char signature[] = "c2ltdWxhdGVkLXNpZ25hdHVyZS1vZi10aGUtc2ltdWxhdG9yLW9ubHktZm9yLXRlc3Rz";

static void put_usage(struct buf *b, const struct answer *a, int64_t out)
{
    buf_print(b,
              "\"usage\":{\"input_tokens\":%lld,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%lld,"
              "\"output_tokens\":%lld,\"service_tier\":\"standard\"}",
              (long long)(a->head.tokens_in - a->head.tokens_cached), (long long)a->head.tokens_cached, (long long)out);
}

static void put_stop(struct buf *b, const struct reply *r)
{
    buf_str(b, "\"stop_reason\":");
    buf_json(b, stop_word(r), strlen(stop_word(r)));
    buf_str(b, ",\"stop_sequence\":");
    if (r->finish == REPLY_STOP_SEQUENCE)
        buf_add(b, r->stop.p, r->stop.n);
    else
        buf_str(b, "null");
}

static void put_head(struct buf *b, const struct answer *a)
{
    buf_print(b, "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", a->head.id);
    buf_json(b, a->head.model.p, a->head.model.n);
}

/* ---- streams ---- */

struct stream {
    struct script *script;
    struct buf data;
    uint32_t block;
};

static void send_event(struct stream *s, const char *name, int64_t delay_ms)
{
    if (!wire_error_event(s->script, &wire_anthropic))
        script_event(s->script, name, &s->data, delay_ms);
    buf_reset(&s->data);
}

static void block_start(struct stream *s, const char *block)
{
    buf_print(&s->data, "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":%s}", s->block, block);
    send_event(s, "content_block_start", 0);
}

static void block_stop(struct stream *s)
{
    buf_print(&s->data, "{\"type\":\"content_block_stop\",\"index\":%u}", s->block++);
    send_event(s, "content_block_stop", 0);
}

static void send_delta(struct stream *s, const char *type, const char *field, const char *text, size_t n)
{
    buf_print(&s->data, "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":{\"type\":\"%s\",\"%s\":", s->block,
              type, field);
    buf_json(&s->data, text, n);
    buf_str(&s->data, "}}");
    send_event(s, "content_block_delta", s->script->knobs->pace);
}

static void send_pieces(struct stream *s, const char *type, const char *field, const struct pieces *p)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t n;
        const char *text = pieces_at(p, i, &n);
        send_delta(s, type, field, text, n);
    }
}

static void send_call(struct stream *s, const struct reply_call *call)
{
    buf_print(
        &s->data,
        "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_%s\","
        "\"name\":",
        s->block, call->id);
    buf_json(&s->data, call->name.p, call->name.n);
    buf_str(&s->data, ",\"input\":{}}}");
    send_event(s, "content_block_start", 0);
    send_pieces(s, "input_json_delta", "partial_json", &call->arguments);
    block_stop(s);
}

static void send_blocks(struct stream *s, const struct reply *r)
{
    if (r->thoughts.n) {
        block_start(s, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        send_pieces(s, "thinking_delta", "thinking", &r->thoughts);
        send_delta(s, "signature_delta", "signature", signature, sizeof(signature) - 1);
        block_stop(s);
    }
    if (r->text.n) {
        block_start(s, "{\"type\":\"text\",\"text\":\"\"}");
        send_pieces(s, "text_delta", "text", &r->text);
        block_stop(s);
    }
    for (uint32_t i = 0; i < r->n_calls; i++)
        send_call(s, &r->calls[i]);
}

static void anthropic_stream(struct script *script, const struct answer *a)
{
    struct stream s = { .script = script };
    buf_str(&s.data, "{\"type\":\"message_start\",\"message\":");
    put_head(&s.data, a);
    buf_str(&s.data, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
    put_usage(&s.data, a, 1);
    buf_str(&s.data, "}}");
    send_event(&s, "message_start", wire_pause(script));
    buf_str(&s.data, "{\"type\":\"ping\"}");
    send_event(&s, "ping", 0);
    send_blocks(&s, &a->replies[0]);
    buf_str(&s.data, "{\"type\":\"message_delta\",\"delta\":{");
    put_stop(&s.data, &a->replies[0]);
    buf_print(&s.data, "},\"usage\":{\"output_tokens\":%lld}}", (long long)a->replies[0].tokens_out);
    send_event(&s, "message_delta", 0);
    if (!a->knobs->no_done) {
        buf_str(&s.data, "{\"type\":\"message_stop\"}");
        send_event(&s, "message_stop", 0);
    }
    script_stream_end(script);
    buf_free(&s.data);
}

/* ---- whole ---- */

static void put_text_block(struct buf *b, const char *type, const char *field, const struct pieces *p)
{
    buf_print(b, "%s{\"type\":\"%s\",\"%s\":", b->p[b->n - 1] == '}' ? "," : "", type, field);
    buf_json(b, p->bytes.p, p->bytes.n);
}

static void put_blocks(struct buf *b, const struct reply *r)
{
    if (r->thoughts.n) {
        put_text_block(b, "thinking", "thinking", &r->thoughts);
        buf_print(b, ",\"signature\":\"%s\"}", signature);
    }
    if (r->text.n) {
        put_text_block(b, "text", "text", &r->text);
        buf_char(b, '}');
    }
    for (uint32_t i = 0; i < r->n_calls; i++) {
        const struct reply_call *call = &r->calls[i];
        buf_print(b, "%s{\"type\":\"tool_use\",\"id\":\"toolu_%s\",\"name\":", b->p[b->n - 1] == '}' ? "," : "",
                  call->id);
        buf_json(b, call->name.p, call->name.n);
        buf_str(b, ",\"input\":");
        buf_add(b, call->arguments.bytes.p, call->arguments.bytes.n);
        buf_char(b, '}');
    }
}

static void anthropic_whole(struct buf *b, const struct answer *a)
{
    put_head(b, a);
    buf_str(b, ",\"content\":[");
    if (!b->failed)
        put_blocks(b, &a->replies[0]);
    buf_str(b, "],");
    put_stop(b, &a->replies[0]);
    buf_char(b, ',');
    put_usage(b, a, a->replies[0].tokens_out);
    buf_char(b, '}');
}

static const char *error_type(int status)
{
    switch (status) {
    case 400:
        return "invalid_request_error";
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
    case 529:
        return "overloaded_error";
    case 504:
        return "timeout_error";
    default:
        return status < 500 ? "invalid_request_error" : "api_error";
    }
}

static void anthropic_error(struct buf *b, int status, const char *message)
{
    buf_print(b, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", error_type(status));
    buf_json(b, message, strlen(message));
    buf_str(b, "},\"request_id\":\"req_simulator\"}");
}

const struct wire wire_anthropic = { anthropic_stream, anthropic_whole, anthropic_error, "error" };
