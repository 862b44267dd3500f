/* The providers of a case: which answer comes next, made by the dialect's codec from what the case says; and what they, and the
 * client, got to see.
 *
 *      answers = { ["a/model"] = { { class = "rate_limited", retry_after = 5 }, "Hello" } }
 *
 * gives the first call an error and all later ones a text. A plugin's own fetches are answered from `http`; one that nobody
 * thought of fails the case.
 */
#include "rehearsal_play.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "pipeline.h"
#include "text.h"
#include "verify_lab.h"

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : otherwise;
}

static struct weir_str keep(struct play *p, const struct weir_out *out)
{
    return arena_copy(p->arena, out_bytes(out));
}

/* The next of a list; the last one again and again; what is no list is its only one. */
static const json_t *next_of(struct play *p, const char *who, const json_t *answers)
{
    json_int_t n = json_integer_value(json_object_get(p->counts, who));
    json_object_set_new(p->counts, who, json_integer(n + 1));
    size_t size = json_array_size(answers);
    if (!json_is_array(answers) || !size)
        return answers;
    return json_array_get(answers, (size_t)n < size ? (size_t)n : size - 1);
}

static int64_t ms_of(const json_t *answer, const char *key)
{
    const json_t *v = json_object_get(answer, key);
    return json_is_number(v) ? (int64_t)(json_number_value(v) * 1000) : 0;
}

/* ---- what a provider is asked ---- */

static void note_left(struct play *p, const struct attempt *a)
{
    const struct request *r = a->call.request;
    if (p->left && json_integer_value(json_object_get(p->counts, "")))
        return;
    json_object_set_new(p->counts, "", json_true());
    json_decref(p->left);
    p->left = json_array();
    json_array_append_new(p->left, json_stringn(a->target->view.name.p, a->target->view.name.n));
    for (uint32_t i = 0; i < r->n_candidates; i++)
        json_array_append_new(p->left, json_stringn(r->candidates[i]->name.p, r->candidates[i]->name.n));
}

static json_t *text_of_message(struct play *p, const struct weir_message *m)
{
    struct weir_out all = { 0 };
    for (const struct weir_part *part = m->parts; part; part = part->next)
        out_write(&all, text_decode(p->arena, &part->text));
    json_t *text = json_stringn(out_bytes(&all).n ? out_bytes(&all).p : "", out_bytes(&all).n);
    out_free(&all);
    return text;
}

static void note_sent(struct play *p, const struct weir_conversation *c)
{
    json_t *texts = json_array();
    json_decref(p->sent);
    p->sent = json_object();
    for (uint32_t f = 0; f < c->n_fields; f++) {
        struct weir_str json = weir_field(c, (enum weir_field)f);
        if (json.n)
            json_object_set_new(p->sent, canon_fields[f], json_loadb(json.p, json.n, JSON_DECODE_ANY, NULL));
    }
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        json_t *text = text_of_message(p, m);
        if (m->role == WEIR_ROLE_SYSTEM)
            json_object_set(p->sent, "system", text);
        else
            json_object_set(p->sent, "text", text), json_array_append(texts, text);
        json_decref(text);
    }
    json_object_set_new(p->sent, "texts", texts);
}

/* The dialect's other side reads what was sent. NULL: it can't, which is a fault of its own. */
static struct lab *read_sent(struct play *p, const struct egress_request *q, bool is_copy)
{
    struct weir_out body = { 0 };
    for (uint32_t i = 0; i < q->n_body; i++)
        out_write(&body, q->body[i]);
    struct lab *l = lab_new(p->the_case->dialect, p->codec, LAB_INGRESS);
    bool is_read = lab_decode_request(l, out_bytes(&body)) == 0;
    out_free(&body);
    if (is_read && !is_copy)
        note_sent(p, &l->conversation->view);
    else if (!is_read)
        fprintf(p->the_case->out, "     what was sent is no request: %s\n", lab_why(l)), p->has_failed = true;
    return l;
}

/* ---- what it answers ---- */

static void add_header(struct play *p, struct rehearsal_reply *reply, const char *name, struct weir_str value)
{
    enum { MOST = 8 };
    struct http_header *headers = (struct http_header *)(uintptr_t)reply->headers;
    if (!headers)
        headers = arena_zalloc(p->arena, MOST * sizeof(*headers));
    reply->headers = headers;
    if (headers && reply->n_headers < MOST)
        headers[reply->n_headers++] = (struct http_header){ weir_cstr(name), arena_copy(p->arena, value) };
}

static uint16_t class_of(const char *name)
{
    for (uint32_t i = WEIR_ERROR_NONE; i <= WEIR_ERROR_UNSUPPORTED; i++)
        if (strcmp(name, error_class_name(i)) == 0)
            return (uint16_t)i;
    return WEIR_ERROR_NONE;
}

static void reply_error(struct play *p, struct lab *l, const json_t *answer, struct rehearsal_reply *reply)
{
    struct weir_out body = { 0 };
    struct weir_error e = { .size = sizeof(e) };
    int status = (int)json_integer_value(json_object_get(answer, "status"));
    const char *class = text_of(answer, "class", "");
    upstream_error_default(&e, status ? status : 500);
    if (*class)
        e.error_class = class_of(class);
    if (e.error_class == WEIR_ERROR_NONE)
        fprintf(p->the_case->out, "     answers: there is no class \"%s\"\n", class), p->has_failed = true;
    e.code = weir_cstr(text_of(answer, "code", ""));
    e.message = weir_cstr(text_of(answer, "message", "The test says so."));
    e.status = (uint16_t)(status ? status : error_status(&e));
    lab_encode_error(l, &e, &body);
    reply->status = e.status;
    reply->body = keep(p, &body);
    if (json_is_number(json_object_get(answer, "retry_after"))) {
        double seconds = json_number_value(json_object_get(answer, "retry_after"));
        add_header(p, reply, "retry-after", arena_printf(p->arena, "%.0f", seconds));
    }
    out_free(&body);
}

static void chain(struct lab_event *events, uint32_t *n, struct weir_event e)
{
    e.size = sizeof(e);
    events[*n] = (struct lab_event){ NULL, e };
    if (*n)
        events[*n - 1].next = &events[*n];
    ++*n;
}

/* A text in words, so that a stream has several events. */
static struct lab_event *events_of(struct play *p, const char *text, struct weir_str model)
{
    uint32_t n = 0, words = 1;
    struct weir_usage *usage = arena_zalloc(p->arena, sizeof(*usage));
    for (const char *c = text; *c; c++)
        words += *c == ' ';
    struct lab_event *events = arena_zalloc(p->arena, (words + 8) * sizeof(*events));
    *usage = WEIR_USAGE_UNKNOWN;
    usage->input = 10;
    usage->output = words;
    chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_START, .id = WEIR_LIT("answer-1"), .name = model,
                                           .created_s = unix_ms() / 1000 });
    chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TEXT });
    while (*text) {
        size_t length = strcspn(text + 1, " ") + 1;
        chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_DELTA, .block_kind = WEIR_BLOCK_TEXT, .delta_kind = WEIR_DELTA_TEXT,
                                               .text = weir_plain((struct weir_str){ text, length }) });
        text += length;
    }
    chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block_kind = WEIR_BLOCK_TEXT });
    chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_STOP });
    chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_USAGE, .usage = usage });
    chain(events, &n, (struct weir_event){ .kind = WEIR_EVENT_END });
    return events;
}

static void reply_text(struct play *p, struct lab *l, const json_t *answer, struct rehearsal_reply *reply)
{
    const char *text = json_is_string(answer) ? json_string_value(answer) : text_of(answer, "text", "It is well.");
    const json_t *cut = json_object_get(answer, "cut");
    struct weir_out body = { 0 };
    bool is_stream = weir_field_true(&l->conversation->view, WEIR_FIELD_STREAM);
    struct lab_event *events = events_of(p, text, WEIR_LIT("model"));
    if (is_stream)
        lab_encode_stream(l, events, &body);
    else
        lab_encode_answer(l, events, &body);
    reply->status = 200;
    reply->body = keep(p, &body);
    add_header(p, reply, "content-type",
               is_stream ? weir_cstr(p->the_case->dialect->codec.stream_type) : WEIR_LIT("application/json"));
    if (json_is_number(cut)) {
        reply->body.n = (size_t)((double)reply->body.n * json_number_value(cut));
        reply->result = EGRESS_CUT;
        reply->message = "the connection broke off";
    }
    out_free(&body);
}

static void answer_target(struct play *p, struct attempt *a, const struct egress_request *q, struct rehearsal_reply *reply)
{
    const char *name = arena_copy(p->arena, a->target->view.name).p;
    const json_t *all = json_object_get(p->the_case->given, "answers"), *answer = next_of(p, name, json_object_get(all, name));
    bool is_copy = a->call.request->mirror;
    struct lab *l = read_sent(p, q, is_copy);
    if (is_copy)
        json_array_append_new(p->mirrored, json_string(name));
    else
        note_left(p, a);
    reply->head_after_ms = ms_of(answer, "after");
    if (json_is_true(json_object_get(answer, "silent"))) {
        reply->head_after_ms = -1;
    } else if (json_is_true(json_object_get(answer, "refused"))) {
        reply->result = EGRESS_CONNECT;
        reply->message = "connection refused";
    } else if (json_object_get(answer, "class") || json_integer_value(json_object_get(answer, "status")) >= 300) {
        reply_error(p, l, answer, reply);
    } else if (!p->has_failed) {
        reply_text(p, l, answer, reply);
    }
    if (json_is_true(json_object_get(answer, "stalls")))
        reply->end_after_ms = -1;
    lab_free(l);
}

/* ---- what plugins fetch ---- */

static void answer_fetch(struct play *p, const struct egress_request *q, struct rehearsal_reply *reply)
{
    const json_t *(*fetched)(const struct egress_request *) = p->the_case->fetched;
    const json_t *faked = json_object_get(p->the_case->given, "http");
    const json_t *answer = fetched ? fetched(q) : faked ? next_of(p, "http", faked) : NULL;
    const char *url = text_of(answer, "url", NULL), *body = text_of(answer, "body", "");
    const json_t *json = json_object_get(answer, "json");
    if (!answer || (url && strcmp(url, q->url) != 0)) {
        fprintf(p->the_case->out, "     http: %s %s was asked for, and the case has no answer to it\n", q->method, q->url);
        p->has_failed = true;
    }
    reply->head_after_ms = ms_of(answer, "after");
    if (!answer || *text_of(answer, "error", "")) {
        reply->result = EGRESS_CONNECT;
        reply->message = arena_copy(p->arena, weir_cstr(text_of(answer, "error", "no answer"))).p;
        return;
    }
    reply->status = json_is_integer(json_object_get(answer, "status")) ? (int)json_integer_value(json_object_get(answer, "status")) : 200;
    char *text = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
    reply->body = arena_copy(p->arena, weir_cstr(text ? text : body));
    add_header(p, reply, "content-type", WEIR_LIT("application/json"));
    free(text);
}

void play_call(void *arg, const struct rehearsal_call *call, struct rehearsal_reply *reply)
{
    struct play *p = arg;
    if (call->attempt)
        answer_target(p, call->attempt, call->request, reply);
    else
        answer_fetch(p, call->request, reply);
}

/* ---- what the client gets ---- */

static struct weir_str read_head(struct play *p, struct weir_str http, bool *is_chunked)
{
    const char *end = memmem(http.p, http.n, "\r\n\r\n", 4);
    json_decref(p->headers);
    p->headers = json_object();
    p->status = http.n > 12 ? atoi(http.p + 9) : 0;
    *is_chunked = false;
    for (const char *line = http.p; end && line < end;) {
        const char *next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2), *colon = memchr(line, ':', (size_t)(next - line));
        if (colon) {
            char *name = strndup(line, (size_t)(colon - line));
            json_object_set_new(p->headers, name, json_stringn(colon + 2, (size_t)(next - colon - 2)));
            *is_chunked = *is_chunked || strcasecmp(name, "transfer-encoding") == 0;
            free(name);
        }
        line = next + 2;
    }
    size_t at = end ? (size_t)(end + 4 - http.p) : http.n;
    return (struct weir_str){ http.p + at, http.n - at };
}

static void unchunk(struct weir_str body, struct weir_out *to)
{
    struct http_chunks chunks = { 0 };
    bool is_done = false;
    while (body.n && !is_done) {
        const char *data;
        size_t n;
        int64_t used = http_chunks_next(&chunks, body.p, body.n, &data, &n, &is_done);
        if (used <= 0)
            return;
        out_write(to, (struct weir_str){ data, n });
        body = (struct weir_str){ body.p + used, body.n - (size_t)used };
    }
}

/* The text of a good answer: all its text deltas. */
static char *text_of_events(struct play *p, const struct lab *l)
{
    struct weir_out all = { 0 };
    for (const struct lab_event *e = l->events; e; e = e->next)
        if (e->event.kind == WEIR_EVENT_DELTA && e->event.delta_kind == WEIR_DELTA_TEXT)
            out_write(&all, text_decode(p->arena, &e->event.text));
    char *text = strndup(out_bytes(&all).n ? out_bytes(&all).p : "", out_bytes(&all).n);
    out_free(&all);
    return text;
}

void play_read_answer(struct play *p, struct weir_str http)
{
    bool is_chunked;
    struct weir_out plain = { 0 };
    struct weir_str body = read_head(p, http, &is_chunked);
    if (is_chunked)
        unchunk(body, &plain), body = out_bytes(&plain);
    const char *type = text_of(p->headers, "content-type", "");
    struct lab *l = lab_new(p->the_case->dialect, p->codec, LAB_EGRESS);
    bool is_stream = strcmp(type, p->the_case->dialect->codec.stream_type) == 0;
    struct lab_answer answer = { .bytes = body, .is_whole = !is_stream, .ends_clean = true };
    free(p->text);
    if (p->status < 300 && lab_decode_answer(l, &answer) == 0 && !l->has_error)
        p->text = text_of_events(p, l);
    else
        p->text = strndup(body.n ? body.p : "", body.n);
    lab_free(l);
    out_free(&plain);
}
