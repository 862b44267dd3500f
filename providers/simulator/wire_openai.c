/* OpenAI chat completions: chunks and the whole document. Reasoning stands in `reasoning_content`, as the servers that
 * show it have it. */
#include "wire.h"

static const char *finish_word(const struct reply *r)
{
    switch (r->finish) {
    case REPLY_LENGTH:
        return "length";
    case REPLY_CALLS:
        return "tool_calls";
    case REPLY_FILTER:
        return "content_filter";
    default:
        return r->native_finish ? r->native_finish : "stop";
    }
}

static void put_usage(struct buf *b, const struct answer *a)
{
    long long in = a->head.tokens_in, out = wire_tokens_out(a);
    buf_print(b,
              "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
              "\"prompt_tokens_details\":{\"cached_tokens\":%lld,\"audio_tokens\":0},"
              "\"completion_tokens_details\":{\"reasoning_tokens\":%lld,\"audio_tokens\":0,"
              "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
              in, out, in + out, (long long)a->head.tokens_cached, (long long)wire_tokens_thinking(a));
}

static void put_head(struct buf *b, const struct answer *a, const char *object)
{
    buf_print(b, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->head.id, object,
              (long long)a->head.created_s);
    buf_json(b, a->head.model.p, a->head.model.n);
    buf_str(b, ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_simulator\"");
}

/* ---- streams ---- */

struct stream {
    struct script *script;
    const struct answer *answer;
    struct buf data;
};

static void chunk_begin(struct stream *s, uint32_t choice)
{
    buf_reset(&s->data);
    put_head(&s->data, s->answer, "chat.completion.chunk");
    buf_print(&s->data, ",\"choices\":[{\"index\":%u,\"delta\":{", choice);
}

/* delay < 0: the pause that is due. */
static void chunk_end(struct stream *s, const char *finish, int64_t delay_ms)
{
    buf_str(&s->data, "},\"logprobs\":null,\"finish_reason\":");
    if (finish)
        buf_json(&s->data, finish, strlen(finish));
    else
        buf_str(&s->data, "null");
    buf_str(&s->data, s->answer->ask->wants_usage ? "}],\"usage\":null}" : "}]}");
    if (!wire_error_event(s->script, &wire_openai))
        script_event(s->script, NULL, &s->data, delay_ms < 0 ? wire_pause(s->script) : delay_ms);
}

static void send_piece(struct stream *s, uint32_t choice, const char *field, const struct pieces *p, size_t i)
{
    size_t n;
    const char *text = pieces_at(p, i, &n);
    chunk_begin(s, choice);
    buf_print(&s->data, "\"%s\":", field);
    buf_json(&s->data, text, n);
    chunk_end(s, NULL, -1);
}

static void send_call(struct stream *s, uint32_t choice, const struct reply_call *call, uint32_t index)
{
    chunk_begin(s, choice);
    buf_print(&s->data,
              "\"tool_calls\":[{\"index\":%u,\"id\":\"call_%s\",\"type\":\"function\",\"function\":{\"name\":", index,
              call->id);
    buf_json(&s->data, call->name.p, call->name.n);
    buf_str(&s->data, ",\"arguments\":\"\"}}]");
    chunk_end(s, NULL, -1);
    for (size_t i = 0; i < call->arguments.n; i++) {
        size_t n;
        const char *text = pieces_at(&call->arguments, i, &n);
        chunk_begin(s, choice);
        buf_print(&s->data, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", index);
        buf_json(&s->data, text, n);
        buf_str(&s->data, "}}]");
        chunk_end(s, NULL, -1);
    }
}

/* The choices take turns, as they do on the wire. */
static void send_contents(struct stream *s)
{
    const struct answer *a = s->answer;
    bool is_more = true;
    for (size_t i = 0; is_more; i++) {
        is_more = false;
        for (uint32_t c = 0; c < a->n; c++) {
            const struct reply *r = &a->replies[c];
            const char *field = r->finish == REPLY_REFUSAL ? "refusal" : "content";
            if (i < r->thoughts.n)
                send_piece(s, c, "reasoning_content", &r->thoughts, i);
            else if (i - r->thoughts.n < r->text.n)
                send_piece(s, c, field, &r->text, i - r->thoughts.n);
            is_more |= i + 1 < r->thoughts.n + r->text.n;
        }
    }
}

static void send_usage(struct stream *s)
{
    buf_reset(&s->data);
    put_head(&s->data, s->answer, "chat.completion.chunk");
    buf_str(&s->data, ",\"choices\":[],");
    put_usage(&s->data, s->answer);
    buf_char(&s->data, '}');
    if (!wire_error_event(s->script, &wire_openai))
        script_event(s->script, NULL, &s->data, 0);
}

static void openai_stream(struct script *script, const struct answer *a)
{
    static struct buf done = { .p = (char *)(uintptr_t) "[DONE]", .n = 6 };
    struct stream s = { .script = script, .answer = a };
    for (uint32_t c = 0; c < a->n; c++) {
        chunk_begin(&s, c);
        buf_str(&s.data, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
        chunk_end(&s, NULL, script->events ? 0 : -1);
    }
    send_contents(&s);
    for (uint32_t c = 0; c < a->n; c++) {
        for (uint32_t i = 0; i < a->replies[c].n_calls; i++)
            send_call(&s, c, &a->replies[c].calls[i], i);
        chunk_begin(&s, c);
        chunk_end(&s, finish_word(&a->replies[c]), 0);
    }
    if (a->ask->wants_usage && !a->knobs->no_usage)
        send_usage(&s);
    if (!a->knobs->no_done && !wire_error_event(script, &wire_openai))
        script_event(script, NULL, &done, 0);
    script_stream_end(script);
    buf_free(&s.data);
}

/* ---- whole ---- */

static void put_calls(struct buf *b, const struct reply *r)
{
    buf_str(b, ",\"tool_calls\":[");
    for (uint32_t i = 0; i < r->n_calls; i++) {
        const struct reply_call *call = &r->calls[i];
        buf_print(b, "%s{\"id\":\"call_%s\",\"type\":\"function\",\"function\":{\"name\":", i ? "," : "", call->id);
        buf_json(b, call->name.p, call->name.n);
        buf_str(b, ",\"arguments\":");
        buf_json(b, call->arguments.bytes.p, call->arguments.bytes.n);
        buf_str(b, "}}");
    }
    buf_char(b, ']');
}

static void put_message(struct buf *b, const struct reply *r)
{
    bool is_refusal = r->finish == REPLY_REFUSAL;
    buf_str(b, "{\"role\":\"assistant\",\"content\":");
    if (is_refusal || r->n_calls)
        buf_str(b, "null");
    else
        buf_json(b, r->text.bytes.p, r->text.bytes.n);
    buf_str(b, ",\"refusal\":");
    if (is_refusal)
        buf_json(b, r->text.bytes.p, r->text.bytes.n);
    else
        buf_str(b, "null");
    buf_str(b, ",\"annotations\":[]");
    if (r->thoughts.n) {
        buf_str(b, ",\"reasoning_content\":");
        buf_json(b, r->thoughts.bytes.p, r->thoughts.bytes.n);
    }
    if (r->n_calls)
        put_calls(b, r);
    buf_char(b, '}');
}

static void openai_whole(struct buf *b, const struct answer *a)
{
    put_head(b, a, "chat.completion");
    buf_str(b, ",\"choices\":[");
    for (uint32_t c = 0; c < a->n; c++) {
        buf_print(b, "%s{\"index\":%u,\"message\":", c ? "," : "", c);
        put_message(b, &a->replies[c]);
        buf_str(b, ",\"logprobs\":null,\"finish_reason\":");
        buf_json(b, finish_word(&a->replies[c]), strlen(finish_word(&a->replies[c])));
        buf_char(b, '}');
    }
    buf_char(b, ']');
    if (!a->knobs->no_usage) {
        buf_char(b, ',');
        put_usage(b, a);
    }
    buf_char(b, '}');
}

static void openai_error(struct buf *b, int status, const char *message)
{
    static const struct {
        int status;
        const char *type, *code;
    } kinds[] = { { 400, "invalid_request_error", "null" },
                  { 401, "invalid_request_error", "\"invalid_api_key\"" },
                  { 403, "invalid_request_error", "\"permission_denied\"" },
                  { 404, "invalid_request_error", "\"model_not_found\"" },
                  { 413, "invalid_request_error", "\"request_too_large\"" },
                  { 429, "requests", "\"rate_limit_exceeded\"" },
                  { 503, "server_error", "\"server_is_overloaded\"" } };
    const char *type = status < 500 ? "invalid_request_error" : "server_error", *code = "null";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].status == status) {
            type = kinds[i].type;
            code = kinds[i].code;
        }
    buf_str(b, "{\"error\":{\"message\":");
    buf_json(b, message, strlen(message));
    buf_print(b, ",\"type\":\"%s\",\"param\":null,\"code\":%s}}", type, code);
}

const struct wire wire_openai = { openai_stream, openai_whole, openai_error, NULL };
