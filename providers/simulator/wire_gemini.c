/* Gemini generateContent: whole documents as events, and the whole document. Calls arrive in one piece, as they do
 * there. */
#include "wire.h"

static const char *finish_word(const struct reply *r)
{
    switch (r->finish) {
    case REPLY_LENGTH:
        return "MAX_TOKENS";
    case REPLY_FILTER:
    case REPLY_REFUSAL:
        return "SAFETY";
    default:
        return r->native_finish ? r->native_finish : "STOP";
    }
}

static void put_tail(struct buf *b, const struct answer *a)
{
    long long in = a->head.tokens_in, out = wire_tokens_out(a), thinking = wire_tokens_thinking(a);
    if (!a->knobs->no_usage) {
        buf_print(b, ",\"usageMetadata\":{\"promptTokenCount\":%lld", in);
        if (a->head.tokens_cached)
            buf_print(b, ",\"cachedContentTokenCount\":%lld", (long long)a->head.tokens_cached);
        if (out > thinking)
            buf_print(b, ",\"candidatesTokenCount\":%lld", out - thinking);
        if (thinking)
            buf_print(b, ",\"thoughtsTokenCount\":%lld", thinking);
        buf_print(b, ",\"totalTokenCount\":%lld}", in + out);
    }
    buf_str(b, ",\"modelVersion\":");
    buf_json(b, a->head.model.p, a->head.model.n);
    buf_print(b, ",\"responseId\":\"%s\"}", a->head.id);
}

static void put_text_part(struct buf *b, const char *text, size_t n, bool is_thought)
{
    buf_str(b, "{\"text\":");
    buf_json(b, text, n);
    buf_str(b, is_thought ? ",\"thought\":true}" : "}");
}

static void put_call_part(struct buf *b, const struct reply_call *call)
{
    buf_str(b, "{\"functionCall\":{\"name\":");
    buf_json(b, call->name.p, call->name.n);
    buf_str(b, ",\"args\":");
    buf_add(b, call->arguments.bytes.p, call->arguments.bytes.n);
    buf_str(b, "}}");
}

/* ---- streams ---- */

struct stream {
    struct script *script;
    const struct answer *answer;
    struct buf data;
};

static void begin(struct stream *s)
{
    buf_reset(&s->data);
    buf_str(&s->data, "{\"candidates\":[{\"content\":{\"parts\":[");
}

static void end(struct stream *s, uint32_t choice, const char *finish, int64_t delay_ms)
{
    buf_str(&s->data, "],\"role\":\"model\"}");
    if (finish) {
        buf_str(&s->data, ",\"finishReason\":");
        buf_json(&s->data, finish, strlen(finish));
    }
    buf_print(&s->data, ",\"index\":%u}]", choice);
    put_tail(&s->data, s->answer);
    if (!wire_error_event(s->script, &wire_gemini))
        script_event(s->script, NULL, &s->data, delay_ms);
}

static void send_pieces(struct stream *s, uint32_t choice, const struct pieces *p, bool is_thought)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t n;
        const char *text = pieces_at(p, i, &n);
        begin(s);
        put_text_part(&s->data, text, n, is_thought);
        end(s, choice, NULL, wire_pause(s->script));
    }
}

static void send_reply(struct stream *s, uint32_t choice, const struct reply *r)
{
    send_pieces(s, choice, &r->thoughts, true);
    send_pieces(s, choice, &r->text, false);
    for (uint32_t i = 0; i < r->n_calls; i++) {
        begin(s);
        put_call_part(&s->data, &r->calls[i]);
        end(s, choice, NULL, wire_pause(s->script));
    }
    if (s->answer->knobs->no_done)
        return;
    begin(s);
    put_text_part(&s->data, "", 0, false);
    end(s, choice, finish_word(r), 0);
}

static void gemini_stream(struct script *script, const struct answer *a)
{
    struct stream s = { .script = script, .answer = a };
    for (uint32_t c = 0; c < a->n; c++)
        send_reply(&s, c, &a->replies[c]);
    script_stream_end(script);
    buf_free(&s.data);
}

/* ---- whole ---- */

static void put_parts(struct buf *b, const struct reply *r)
{
    const char *comma = "";
    if (r->thoughts.n) {
        put_text_part(b, r->thoughts.bytes.p, r->thoughts.bytes.n, true);
        comma = ",";
    }
    if (r->text.n || (!r->n_calls && !r->thoughts.n)) {
        buf_str(b, comma);
        put_text_part(b, r->text.bytes.p, r->text.bytes.n, false);
        comma = ",";
    }
    for (uint32_t i = 0; i < r->n_calls; i++, comma = ",") {
        buf_str(b, comma);
        put_call_part(b, &r->calls[i]);
    }
}

static void gemini_whole(struct buf *b, const struct answer *a)
{
    buf_str(b, "{\"candidates\":[");
    for (uint32_t c = 0; c < a->n; c++) {
        buf_print(b, "%s{\"content\":{\"parts\":[", c ? "," : "");
        put_parts(b, &a->replies[c]);
        buf_str(b, "],\"role\":\"model\"},\"finishReason\":");
        buf_json(b, finish_word(&a->replies[c]), strlen(finish_word(&a->replies[c])));
        buf_print(b, ",\"index\":%u}", c);
    }
    buf_char(b, ']');
    put_tail(b, a);
}

static const char *error_status(int status)
{
    switch (status) {
    case 401:
        return "UNAUTHENTICATED";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "NOT_FOUND";
    case 429:
        return "RESOURCE_EXHAUSTED";
    case 500:
        return "INTERNAL";
    case 503:
        return "UNAVAILABLE";
    case 504:
        return "DEADLINE_EXCEEDED";
    default:
        return status < 500 ? "INVALID_ARGUMENT" : "INTERNAL";
    }
}

static void gemini_error(struct buf *b, int status, const char *message)
{
    buf_print(b, "{\"error\":{\"code\":%d,\"message\":", status);
    buf_json(b, message, strlen(message));
    buf_print(b, ",\"status\":\"%s\"}}", error_status(status));
}

const struct wire wire_gemini = { gemini_stream, gemini_whole, gemini_error, NULL };
