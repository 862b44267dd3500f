/* Lays an answer out as bytes and pauses, with the faults in it. The connection that plays the script owns it. */
#include "script.h"

#include <stdlib.h>
#include <strings.h>

enum { STEPS_MAX = 200000 };

void script_init(struct script *s, const struct knobs *k)
{
    *s = (struct script){ .knobs = k };
}

void script_free(struct script *s)
{
    buf_free(&s->wire);
    free(s->steps);
    *s = (struct script){ 0 };
}

/* What was written since the last step is sent after delay_ms. */
static void end_step(struct script *s, int64_t delay_ms)
{
    size_t from = s->n_steps ? s->steps[s->n_steps - 1].end : 0;
    if (s->wire.n == from && delay_ms <= 0)
        return;
    if (s->n_steps == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 64;
        struct script_step *steps = capacity <= 2 * STEPS_MAX ? realloc(s->steps, capacity * sizeof(*steps)) : NULL;
        if (!steps) {
            s->wire.failed = true;
            return;
        }
        s->steps = steps;
        s->capacity = capacity;
    }
    s->steps[s->n_steps++] = (struct script_step){ s->wire.n, (uint32_t)(delay_ms > 0 ? delay_ms : 0) };
}

static void cut(struct script *s, enum script_ending ending)
{
    s->is_over = true;
    s->ending = ending;
}

/* ---- head ---- */

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = { { 200, "OK" },
                    { 400, "Bad Request" },
                    { 401, "Unauthorized" },
                    { 403, "Forbidden" },
                    { 404, "Not Found" },
                    { 405, "Method Not Allowed" },
                    { 408, "Request Timeout" },
                    { 413, "Content Too Large" },
                    { 429, "Too Many Requests" },
                    { 500, "Internal Server Error" },
                    { 502, "Bad Gateway" },
                    { 503, "Service Unavailable" },
                    { 504, "Gateway Timeout" } };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Simulated";
}

static bool has_header(const struct knobs *k, const char *name)
{
    for (uint32_t i = 0; i < k->n_headers; i++)
        if (strcasecmp(k->headers[i].name, name) == 0)
            return true;
    return false;
}

static void write_head(struct script *s, int status, const char *type, bool is_closing)
{
    const struct knobs *k = s->knobs;
    buf_print(&s->wire, "HTTP/1.1 %d %s\r\n", status, reason(status));
    if (!has_header(k, "content-type"))
        buf_print(&s->wire, "content-type: %s\r\n", type);
    for (uint32_t i = 0; i < k->n_headers; i++)
        buf_print(&s->wire, "%s: %s\r\n", k->headers[i].name, k->headers[i].value);
    if (is_closing)
        buf_str(&s->wire, "connection: close\r\n");
    s->ending = is_closing ? SCRIPT_FIN : SCRIPT_KEEP;
}

/* ---- body ---- */

/* How much of the body's next n bytes may be sent before a fault ends the answer. */
static size_t bytes_before_cut(struct script *s, size_t n, enum script_ending *ending)
{
    const struct knobs *k = s->knobs;
    bool is_rst = knob_is_set(k->rst_after) && (!knob_is_set(k->fin_after) || k->rst_after <= k->fin_after);
    int64_t limit = is_rst ? k->rst_after : k->fin_after;
    *ending = is_rst ? SCRIPT_RST : SCRIPT_FIN;
    if (!knob_is_set(limit) || s->body_n + n <= (size_t)limit)
        return n;
    return (size_t)limit - s->body_n;
}

static void write_body(struct script *s, const char *p, size_t n, int64_t delay_ms)
{
    enum script_ending ending;
    size_t sent = bytes_before_cut(s, n, &ending);
    if (s->is_over || n == 0)
        return;
    s->chunks++;
    if (s->is_chunked)
        buf_print(&s->wire, "%zx\r\n", s->chunks == s->knobs->wrong_chunk ? n + 3 : n);
    buf_add(&s->wire, p, sent);
    s->body_n += sent;
    if (sent < n)
        cut(s, ending);
    else if (s->is_chunked)
        buf_str(&s->wire, "\r\n");
    end_step(s, delay_ms);
}

/* The offset inside the first character of more than one byte; 0: there is none. */
static size_t inside_character(const struct buf *b)
{
    for (size_t i = 1; i < b->n; i++)
        if (((unsigned char)b->p[i] & 0xC0) == 0x80)
            return i;
    return 0;
}

/* A fault of characters belongs to its event, or to the first later one that has a long character. */
static bool is_due(const struct script *s, int64_t knob, const struct buf *payload)
{
    return knob_is_set(knob) && s->events >= knob && inside_character(payload) > 0;
}

static void write_cut_character(struct script *s, const struct buf *payload, int64_t delay_ms)
{
    size_t n = inside_character(payload);
    write_body(s, payload->p, n, delay_ms);
    if (!s->is_over)
        cut(s, SCRIPT_FIN);
}

static void write_split_character(struct script *s, const struct buf *payload, int64_t delay_ms)
{
    size_t n = inside_character(payload);
    write_body(s, payload->p, n, delay_ms);
    write_body(s, payload->p + n, payload->n - n, 30);
}

/* The character loses its last byte; the event around it stays whole. */
static void spoil_character(struct buf *payload)
{
    size_t at = inside_character(payload);
    memmove(payload->p + at, payload->p + at + 1, payload->n - at - 1);
    payload->n--;
}

/* The event's JSON loses its closing brace and gains what no parser takes. */
static void garble(struct buf *payload)
{
    for (size_t i = payload->n; i > 0; i--)
        if (payload->p[i - 1] == '}') {
            payload->p[i - 1] = '\x60';
            return;
        }
}

static void write_payload(struct script *s, struct buf *payload, int64_t delay_ms)
{
    const struct knobs *k = s->knobs;
    if (s->events == k->garble)
        garble(payload);
    if (is_due(s, k->bad_utf8, payload))
        spoil_character(payload);
    if (is_due(s, k->cut_utf8, payload))
        write_cut_character(s, payload, delay_ms);
    else if (is_due(s, k->split_utf8, payload))
        write_split_character(s, payload, delay_ms);
    else
        write_body(s, payload->p, payload->n, delay_ms);
}

/* ---- streams ---- */

void script_stream_head(struct script *s, int status, const char *type, bool is_closing)
{
    if (s->knobs->no_head) {
        cut(s, SCRIPT_STALL);
        return;
    }
    s->is_chunked = true;
    write_head(s, status, type, is_closing);
    buf_str(&s->wire, "transfer-encoding: chunked\r\n\r\n");
    end_step(s, s->knobs->head);
    if (s->knobs->no_body)
        cut(s, SCRIPT_FIN);
}

void script_event(struct script *s, const char *name, const struct buf *data, int64_t delay_ms)
{
    const char *eol = s->knobs->crlf ? "\r\n" : "\n";
    struct buf payload = { 0 };
    if (s->is_over)
        return;
    if (knob_is_set(s->knobs->stall_after) && s->events >= s->knobs->stall_after) {
        cut(s, SCRIPT_STALL);
        return;
    }
    s->events++;
    if (s->knobs->comments)
        buf_print(&payload, ": event %lld follows%s%s", (long long)s->events, eol, eol);
    if (name)
        buf_print(&payload, "event: %s%s", name, eol);
    buf_str(&payload, "data: ");
    buf_add(&payload, data->p, data->n);
    buf_print(&payload, "%s%s", eol, eol);
    s->wire.failed |= payload.failed || data->failed;
    write_payload(s, &payload, delay_ms);
    buf_free(&payload);
}

void script_stream_end(struct script *s)
{
    if (s->is_over)
        return;
    if (knob_is_set(s->knobs->stall_after) && s->events >= s->knobs->stall_after) {
        cut(s, SCRIPT_STALL);
        return;
    }
    buf_str(&s->wire, "0\r\n\r\n");
    end_step(s, 0);
    if (knob_is_set(s->knobs->wrong_chunk))
        s->ending = SCRIPT_FIN; /* whoever still reads is out of step */
}

/* ---- whole answers ---- */

void script_whole(struct script *s, int status, const char *type, const struct buf *body, int64_t delay_ms,
                  bool is_closing)
{
    const struct knobs *k = s->knobs;
    struct buf copy = { 0 };
    if (k->no_head) {
        cut(s, SCRIPT_STALL);
        return;
    }
    buf_add(&copy, body->p, body->n);
    s->wire.failed |= copy.failed || body->failed;
    if (knob_is_set(k->truncate) && (size_t)k->truncate < copy.n)
        copy.n = (size_t)k->truncate;
    write_head(s, status, type, is_closing);
    s->is_chunked = knob_is_set(k->wrong_chunk);
    if (s->is_chunked)
        buf_str(&s->wire, "transfer-encoding: chunked\r\n\r\n");
    else
        buf_print(&s->wire, "content-length: %zu\r\n\r\n", copy.n);
    s->events = 1;
    end_step(s, k->head + delay_ms);
    if (k->no_body)
        cut(s, SCRIPT_FIN);
    else if (knob_is_set(k->stall_after))
        cut(s, SCRIPT_STALL);
    else if (!copy.failed)
        write_payload(s, &copy, 0);
    if (s->is_chunked)
        script_stream_end(s);
    buf_free(&copy);
}

/* ---- faults that count bytes on the wire ---- */

static void cut_wire(struct script *s, size_t at, enum script_ending ending)
{
    if (at >= s->wire.n)
        return;
    s->wire.n = at;
    while (s->n_steps > 0 && (s->n_steps == 1 ? at == 0 : s->steps[s->n_steps - 2].end >= at))
        s->n_steps--;
    if (s->n_steps > 0 && s->steps[s->n_steps - 1].end > at)
        s->steps[s->n_steps - 1].end = at;
    s->ending = ending;
}

/* Every step becomes steps of at most `split` bytes, a millisecond apart, so that they leave as packets of their own.
 */
static void split_steps(struct script *s, size_t split)
{
    struct script whole = *s;
    s->steps = NULL;
    s->n_steps = s->capacity = 0;
    size_t from = 0, wire_n = s->wire.n;
    if (wire_n / split > STEPS_MAX / 2)
        split = wire_n / (STEPS_MAX / 2) + 1;
    for (size_t i = 0; i < whole.n_steps; i++)
        for (bool is_first = true; from < whole.steps[i].end; is_first = false) {
            from = whole.steps[i].end - from > split ? from + split : whole.steps[i].end;
            s->wire.n = from;
            end_step(s, is_first ? whole.steps[i].delay_ms : 1);
        }
    s->wire.n = wire_n;
    free(whole.steps);
}

void script_finish(struct script *s)
{
    const struct knobs *k = s->knobs;
    if (knob_is_set(k->fin_at))
        cut_wire(s, (size_t)k->fin_at, SCRIPT_FIN);
    if (knob_is_set(k->rst_at))
        cut_wire(s, (size_t)k->rst_at, SCRIPT_RST);
    if (knob_is_set(k->split))
        split_steps(s, (size_t)k->split);
}
