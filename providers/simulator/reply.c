/* Decides what is answered: tool calls when the request forces them or a knob asks for them, JSON when a schema stands
 * there, a refusal, a given text, else words. The dice are seeded by question and choice. Replies own their pieces. */
#include "reply.h"

#include "sample.h"

#include <stdio.h>
#include <stdlib.h>

void reply_free(struct reply *r)
{
    pieces_free(&r->thoughts);
    pieces_free(&r->text);
    for (uint32_t i = 0; i < r->n_calls; i++) {
        buf_free(&r->calls[i].name);
        pieces_free(&r->calls[i].arguments);
    }
}

/* ---- tools ---- */

static bool tool_is(const struct ask_tool *tool, const char *name, size_t n)
{
    return tool->name.n - 2 == n && memcmp(tool->name.p + 1, name, n) == 0;
}

/* The tool that is to be called first; -1: none. A knob names one, or any; so does the request's tool_choice. */
static int chosen_tool(const struct ask *a, const struct knobs *k)
{
    const char *name = k->tool;
    size_t n = strlen(name);
    bool is_any = strcmp(name, "any") == 0 || strcmp(name, "1") == 0;
    if (a->n_tools == 0 || a->choice == ASK_NONE || a->rounds >= (n ? k->rounds : 1))
        return -1;
    if (span_type(a->named_tool) == '"') {
        name = a->named_tool.p + 1;
        n = a->named_tool.n - 2;
        is_any = false;
    } else if (n == 0) {
        return a->choice == ASK_REQUIRED ? 0 : -1;
    }
    for (uint32_t i = 0; i < a->n_tools; i++)
        if (is_any || tool_is(&a->tools[i], name, n))
            return (int)i;
    return -1;
}

static void cut_arguments(struct pieces *p, const char *text, size_t n)
{
    for (size_t from = 0; from < n;) {
        size_t end = n - from > 9 ? from + 9 : n;
        while (end < n && ((unsigned char)text[end] & 0xC0) == 0x80)
            end++;
        buf_add(&p->bytes, text + from, end - from);
        pieces_end(p);
        from = end;
    }
}

static void add_call(struct reply *r, const struct ask *a, struct dice *d, const struct ask_tool *tool)
{
    struct reply_call *call = &r->calls[r->n_calls++];
    struct buf json = { 0 };
    snprintf(call->id, sizeof(call->id), "%08x%08x%08x", dice_roll(d, UINT32_MAX), dice_roll(d, UINT32_MAX),
             dice_roll(d, UINT32_MAX));
    span_text(tool->name, &call->name);
    if (tool->schema.p)
        sample_write(&json, d, tool->schema, &a->question);
    if (json.n == 0 || json.p[0] != '{') {
        buf_reset(&json);
        buf_str(&json, "{}");
    }
    cut_arguments(&call->arguments, json.p, json.n);
    call->arguments.bytes.failed |= json.failed;
    buf_free(&json);
}

static void add_calls(struct reply *r, const struct ask *a, const struct knobs *k, struct dice *d, int first)
{
    bool is_named = span_type(a->named_tool) == '"';
    for (int64_t i = 0; i < k->calls && r->n_calls < KNOB_CALLS_MAX; i++) {
        uint32_t which = is_named ? (uint32_t)first : ((uint32_t)first + (uint32_t)i) % a->n_tools;
        add_call(r, a, d, &a->tools[which]);
    }
    r->finish = REPLY_CALLS;
}

/* ---- texts ---- */

static void add_result_text(struct reply *r, const struct ask *a, struct dice *d, size_t n)
{
    struct buf text = { 0 };
    size_t quoted = a->result.n < 200 ? a->result.n : 200;
    while (quoted > 0 && quoted < a->result.n && ((unsigned char)a->result.p[quoted] & 0xC0) == 0x80)
        quoted--;
    buf_str(&text, "The tool says: ");
    buf_add(&text, a->result.p, quoted);
    buf_char(&text, '.');
    pieces_cut(&r->text, text.p, text.n);
    buf_free(&text);
    if (r->text.n < n) {
        buf_char(&r->text.bytes, ' ');
        words_answer(&r->text, d, "", 0, n - r->text.n, false);
    }
}

static void add_json_text(struct reply *r, const struct ask *a, struct dice *d)
{
    struct buf json = { 0 };
    sample_write(&json, d, a->schema, &a->question);
    cut_arguments(&r->text, json.p, json.n);
    r->text.bytes.failed |= json.failed;
    buf_free(&json);
}

static void add_text(struct reply *r, const struct ask *a, const struct knobs *k, struct dice *d)
{
    static const char sorry[] = "I am sorry, but I can't help with that.";
    bool is_accented = knob_is_set(k->cut_utf8) || knob_is_set(k->split_utf8) || knob_is_set(k->bad_utf8);
    if (k->refusal)
        pieces_cut(&r->text, sorry, sizeof(sorry) - 1);
    else if (k->text[0])
        pieces_cut(&r->text, k->text, strlen(k->text));
    else if (a->wants_json || k->json_answer)
        add_json_text(r, a, d);
    else if (a->result.n)
        add_result_text(r, a, d, (size_t)k->tokens);
    else
        words_answer(&r->text, d, a->question.p, a->question.n, (size_t)k->tokens, is_accented);
    r->finish = k->refusal ? REPLY_REFUSAL : REPLY_STOP;
}

static void cut_pieces(struct pieces *p, size_t n_pieces, size_t bytes)
{
    p->n = n_pieces;
    p->bytes.n = bytes;
    if (n_pieces)
        p->ends[n_pieces - 1] = bytes;
}

/* Ends the text before the first of the stop sequences, as a model does. */
static void apply_stops(struct reply *r, const struct ask *a)
{
    for (uint32_t i = 0; i < a->n_stops; i++) {
        struct buf stop = { 0 };
        span_text(a->stops[i], &stop);
        char *at = stop.n && r->text.bytes.n ? memmem(r->text.bytes.p, r->text.bytes.n, stop.p, stop.n) : NULL;
        buf_free(&stop);
        if (!at)
            continue;
        size_t bytes = (size_t)(at - r->text.bytes.p), n = 0;
        while (n < r->text.n && r->text.ends[n] < bytes)
            n++;
        cut_pieces(&r->text, bytes ? n + 1 : 0, bytes);
        r->finish = REPLY_STOP_SEQUENCE;
        r->stop = a->stops[i];
    }
}

static void apply_limit(struct reply *r, const struct ask *a)
{
    size_t limit = (size_t)(a->max_tokens > 0 ? a->max_tokens : INT32_MAX);
    size_t thoughts = r->thoughts.n < limit ? r->thoughts.n : limit;
    if (r->thoughts.n + r->text.n <= limit)
        return;
    if (thoughts < r->thoughts.n)
        cut_pieces(&r->thoughts, thoughts, r->thoughts.ends[thoughts - 1]);
    size_t left = limit - thoughts;
    cut_pieces(&r->text, left, left ? r->text.ends[left - 1] : 0);
    r->finish = REPLY_LENGTH;
}

static void apply_finish(struct reply *r, const struct knobs *k)
{
    static const struct {
        const char *word;
        enum reply_finish finish;
    } words[] = { { "stop", REPLY_STOP },
                  { "length", REPLY_LENGTH },
                  { "tool_calls", REPLY_CALLS },
                  { "content_filter", REPLY_FILTER },
                  { "refusal", REPLY_REFUSAL } };
    if (!k->finish[0])
        return;
    r->native_finish = k->finish;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, k->finish) == 0) {
            r->finish = words[i].finish;
            r->native_finish = NULL;
        }
}

static void count_tokens(struct reply *r)
{
    r->tokens_thinking = (int64_t)r->thoughts.n;
    r->tokens_out = (int64_t)(r->thoughts.n + r->text.n);
    for (uint32_t i = 0; i < r->n_calls; i++)
        r->tokens_out += 8 + (int64_t)r->calls[i].arguments.bytes.n / 4;
}

void reply_make(struct reply *r, const struct ask *a, const struct knobs *k, uint32_t choice)
{
    *r = (struct reply){ 0 };
    struct dice d = dice_from(a->question.p, a->question.n, choice + 1);
    size_t thoughts = k->thinking ? (size_t)k->thinking : a->wants_thinking ? 12 : 0;
    if (thoughts)
        words_thought(&r->thoughts, &d, a->question.p, a->question.n, thoughts);
    int tool = chosen_tool(a, k);
    if (tool >= 0)
        add_calls(r, a, k, &d, tool);
    else
        add_text(r, a, k, &d);
    apply_stops(r, a);
    apply_limit(r, a);
    apply_finish(r, k);
    count_tokens(r);
}

void reply_head_make(struct reply_head *h, const struct ask *a, const struct knobs *k, int64_t now_ms, uint64_t serial)
{
    const char *mark = a->model.n ? memchr(a->model.p, '?', a->model.n) : NULL;
    snprintf(h->id, sizeof(h->id), "sim%012llx%08llx", (unsigned long long)now_ms & 0xFFFFFFFFFFFF,
             (unsigned long long)serial & 0xFFFFFFFF);
    buf_add(&h->model, a->model.p, mark ? (size_t)(mark - a->model.p) : a->model.n);
    h->created_s = now_ms / 1000;
    h->tokens_in = 8 + (int64_t)(a->input_bytes / 4);
    for (uint32_t i = 0; i < a->n_tools; i++)
        h->tokens_in += 12 + (int64_t)(a->tools[i].schema.n / 4);
    h->tokens_cached = k->cached < h->tokens_in ? k->cached : h->tokens_in;
}
