/* Chooses the dialect by the path, reads the request and the knobs, and lets the wire write the script. Everything that
 * was made here is freed here; only the script leaves. */
#include "handle.h"

#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

static bool ends_with(struct span path, const char *end)
{
    size_t n = strlen(end);
    return path.n >= n && memcmp(path.p + path.n - n, end, n) == 0;
}

static const struct wire *wire_of(struct span path, enum ask_dialect *dialect)
{
    if (ends_with(path, "/chat/completions"))
        return *dialect = ASK_OPENAI, &wire_openai;
    if (ends_with(path, "/responses"))
        return *dialect = ASK_RESPONSES, &wire_responses;
    if (ends_with(path, "/messages"))
        return *dialect = ASK_ANTHROPIC, &wire_anthropic;
    if (ends_with(path, ":generateContent") || ends_with(path, ":streamGenerateContent"))
        return *dialect = ASK_GEMINI, &wire_gemini;
    return NULL;
}

static void refuse(struct script *s, const struct wire *w, int status, const char *message, bool is_closing)
{
    struct buf body = { 0 };
    w->error(&body, status, message);
    script_whole(s, status, "application/json", &body, 0, is_closing);
    script_finish(s);
    buf_free(&body);
}

void handle_refusal(struct script *s, struct knobs *k, int status, const char *message)
{
    knobs_init(k);
    script_init(s, k);
    refuse(s, &wire_openai, status, message, true);
}

static void write_models(struct script *s, bool is_closing)
{
    struct buf body = { 0 };
    buf_str(&body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; knobs_preset(i); i++)
        buf_print(&body, "%s{\"id\":\"%s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"simulator\"}",
                  i ? "," : "", knobs_preset(i));
    buf_str(&body, "]}");
    script_whole(s, 200, "application/json", &body, 0, is_closing);
    script_finish(s);
    buf_free(&body);
}

/* ---- answers ---- */

static void write_status(struct script *s, const struct wire *w, const struct knobs *k, bool is_closing)
{
    struct buf body = { 0 };
    char message[160];
    int status = (int)k->status;
    if (k->html) {
        status = knob_is_set(k->status) ? status : 502;
        buf_print(&body,
                  "<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n<center><h1>%d</h1></center>\r\n"
                  "<hr><center>simulator</center>\r\n</body>\r\n</html>\r\n",
                  status, status);
        script_whole(s, status, "text/html", &body, k->ttft, is_closing);
    } else {
        snprintf(message, sizeof(message), "The simulator was asked to answer with status %d.", status);
        w->error(&body, status, message);
        script_whole(s, status, "application/json", &body, k->ttft, is_closing);
    }
    buf_free(&body);
}

static int good_status(const struct knobs *k)
{
    return knob_is_set(k->status) ? (int)k->status : 200;
}

static void write_whole(struct script *s, const struct wire *w, const struct answer *a, bool is_closing)
{
    struct buf body = { 0 };
    int64_t longest = 0;
    for (uint32_t i = 0; i < a->n; i++)
        longest = a->replies[i].tokens_out > longest ? a->replies[i].tokens_out : longest;
    w->whole(&body, a);
    script_whole(s, good_status(a->knobs), "application/json", &body, a->knobs->ttft + longest * a->knobs->pace,
                 is_closing);
    buf_free(&body);
}

static bool replies_failed(const struct answer *a)
{
    bool has_failed = a->head.model.failed;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct reply *r = &a->replies[i];
        has_failed |= r->text.bytes.failed | r->thoughts.bytes.failed;
        for (uint32_t j = 0; j < r->n_calls; j++)
            has_failed |= r->calls[j].arguments.bytes.failed | r->calls[j].name.failed;
    }
    return has_failed;
}

static void write_answer(struct script *s, const struct wire *w, const struct ask *ask, const struct handle_context *x,
                         bool is_closing)
{
    struct answer *a = calloc(1, sizeof(*a));
    if (!a) {
        s->wire.failed = true;
        return;
    }
    a->ask = ask;
    a->knobs = s->knobs;
    a->n = ask->n < 1 || ask->dialect == ASK_ANTHROPIC ? 1
           : ask->n > REPLY_CHOICES_MAX                ? REPLY_CHOICES_MAX
                                                       : (uint32_t)ask->n;
    reply_head_make(&a->head, ask, s->knobs, x->now_ms, x->serial);
    for (uint32_t i = 0; i < a->n; i++)
        reply_make(&a->replies[i], ask, s->knobs, i);
    if (replies_failed(a)) {
        s->wire.failed = true;
    } else if (ask->is_stream) {
        script_stream_head(s, good_status(s->knobs), "text/event-stream", is_closing);
        w->stream(s, a);
    } else {
        write_whole(s, w, a, is_closing);
    }
    for (uint32_t i = 0; i < a->n; i++)
        reply_free(&a->replies[i]);
    buf_free(&a->head.model);
    free(a);
}

/* From the weakest to the strongest word: the entry's defaults, the model's name, the header, the body. */
static bool read_knobs(struct knobs *k, const struct ask *ask, const struct http_head *head, struct buf *problem)
{
    return knobs_read_model(k, ask->model.p, ask->model.n, problem) &&
           knobs_read(k, head->simulate.p, head->simulate.n, problem) &&
           knobs_read(k, ask->told.p, ask->told.n, problem);
}

static void write_for(struct script *s, struct knobs *k, const struct handle_context *x, const struct http_head *head,
                      const struct ask *ask, const struct wire *w)
{
    if (k->html || (knob_is_set(k->status) && k->status >= 300))
        write_status(s, w, k, head->is_closing);
    else
        write_answer(s, w, ask, x, head->is_closing);
    script_finish(s);
}

void handle_request(struct script *s, struct knobs *k, const struct handle_context *x, const struct http_head *head,
                    struct span body)
{
    enum ask_dialect dialect;
    const struct wire *w = wire_of(head->path, &dialect);
    struct buf problem = { 0 };
    struct span document;
    struct ask *ask = NULL;
    *k = *x->defaults;
    script_init(s, k);
    if (!w && ends_with(head->path, "/models"))
        write_models(s, head->is_closing);
    else if (!w)
        refuse(s, &wire_openai, 404,
               "The simulator has no such path; it answers …/chat/completions, …/responses, …/messages and "
               "…:generateContent.",
               head->is_closing);
    else if (!span_is(head->method, "POST"))
        refuse(s, w, 405, "The simulator answers POST here.", head->is_closing);
    else if (!span_valid(body.p, body.n, &document))
        refuse(s, w, 400, "The body is not JSON.", head->is_closing);
    else if (!(ask = calloc(1, sizeof(*ask))))
        s->wire.failed = true;
    else if (!ask_read(ask, dialect, document, head->path, &problem) || !read_knobs(k, ask, head, &problem)) {
        buf_char(&problem, '\0');
        *k = *x->defaults;
        refuse(s, w, 400, problem.failed ? "The simulator is out of memory." : problem.p, head->is_closing);
    } else {
        write_for(s, k, x, head, ask, w);
    }
    if (ask)
        ask_free(ask);
    free(ask);
    buf_free(&problem);
}
