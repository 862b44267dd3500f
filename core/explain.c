/* `weir explain`: one request through the production pipeline, in a rehearsal (rehearsal.h) whose providers all fail, or really, in a
 * worker of its own. What would have left is noted; the rest is in the request record and its explanation (explanation.c).
 *
 * Nothing is shared with a weir that serves: figures, breakers, benches and limits are those of a weir that has just begun. Stages
 * that only look at finished requests (logs) are left out, or they would log what did not happen.
 */
#include "explain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cmd.h"
#include "lone_worker.h"
#include "pipeline.h"
#include "rehearsal.h"
#include "shm.h"

struct explanation_of {
    json_t *root;
    int fails_with;
};

static json_t *text_json(struct weir_str s)
{
    json_t *text = s.n ? json_stringn(s.p, s.n) : NULL;
    return text ? text : json_string("");
}

static void add(struct explanation_of *e, const char *list, json_t *entry)
{
    json_array_append_new(json_object_get(e->root, list), entry);
}

/* ---- what would leave ---- */

/* Without the query: it may hold a key. */
static json_t *call_json(const struct egress_request *q)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < q->n_body; i++)
        bytes += q->body[i].n;
    json_t *to = json_pack("{s:s, s:I}", "method", q->method, "bytes", (json_int_t)bytes);
    json_object_set_new(to, "url", text_json((struct weir_str){ q->url, strcspn(q->url, "?") }));
    return to;
}

static void refuse(struct rehearsal_reply *reply)
{
    reply->result = EGRESS_CONNECT;
    reply->message = "not asked: this is an explanation";
}

static void play(void *arg, const struct rehearsal_call *call, struct rehearsal_reply *reply)
{
    static const struct http_header json[] = { { { "content-type", 12 }, { "application/json", 16 } } };
    struct explanation_of *e = arg;
    json_t *sent = call_json(call->request);
    *reply = (struct rehearsal_reply){ 0 };
    if (call->attempt && call->attempt->target) {
        json_object_set_new(sent, "target", text_json(call->attempt->target->view.name));
        if (call->attempt->call.request->mirror)
            json_object_set_new(sent, "mirror", json_true());
    }
    add(e, call->attempt ? "calls" : "fetches", sent);
    if (!call->attempt || !e->fails_with) {
        refuse(reply);
    } else if (e->fails_with < 0) {
        reply->head_after_ms = -1;
    } else {
        reply->status = e->fails_with;
        reply->headers = json;
        reply->n_headers = 1;
        reply->body = WEIR_LIT("{}");
    }
}

/* ---- what was decided ---- */

/* The record, and beside it what it explains: one shape for a request of now and one of the log. */
static void put_record(json_t *root, json_t *record)
{
    static const char *const parts[] = { "stages", "candidates" };
    json_t *explanation = json_object_get(record, "explanation"), *skipped = json_array(), *decision;
    size_t i;
    for (i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        json_t *part = json_object_get(explanation, parts[i]);
        json_object_set_new(root, parts[i], part ? json_incref(part) : json_array());
    }
    json_array_foreach(json_object_get(record, "decisions"), i, decision) {
        const char *stage = json_string_value(json_object_get(decision, "stage"));
        json_t *what = json_object_get(decision, "skipped");
        if (stage && what && strcmp(stage, "core") == 0)
            json_array_append(skipped, what);
    }
    json_object_set_new(root, "skipped", skipped);
    json_object_del(record, "explanation");
    json_object_set_new(root, "record", record);
}

static json_t *record_json(struct request *r)
{
    struct weir_out text = { 0 };
    record_write(r, &text);
    json_t *record = json_loadb(out_bytes(&text).p, out_bytes(&text).n, 0, NULL);
    out_free(&text);
    return record;
}

static void on_finish(void *arg, struct request *r)
{
    struct explanation_of *e = arg;
    json_t *record = record_json(r);
    json_object_del(record, "stage_us"); /* on clocks that stand still */
    put_record(e->root, record ? record : json_object());
}

/* ---- the rehearsal ---- */

static void leave_out_observers(struct config *c)
{
    for (uint32_t i = 0; i < c->n_stages; i++) {
        struct weir_stage_ops *ops = &c->stages[i]->plugin->stage;
        bool decides = ops->on_open || ops->on_request || ops->on_failure || ops->on_attempt || ops->on_head || ops->on_event ||
                       ops->on_attempt_done;
        if (!decides)
            ops->on_finish = NULL;
    }
}

static void put_answer(json_t *root, struct weir_str http)
{
    const char *end = memmem(http.p, http.n, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end + 4 - http.p) : http.n;
    json_t *body = json_loadb(http.p + head, http.n - head, JSON_DECODE_ANY, NULL);
    if (!body)
        body = text_json((struct weir_str){ http.p + head, http.n - head });
    int status = http.n > 12 ? (int)strtol(http.p + 9, NULL, 10) : 0;
    json_object_set_new(root, "answer", json_pack("{s:i, s:o}", "status", status, "body", body));
}

static json_t *question_json(const struct explain_question *q)
{
    return json_pack("{s:{s:o, s:o, s:I}}", "request", "method", text_json(q->method), "path", text_json(q->path), "bytes",
                     (json_int_t)q->body.n);
}

static void write_question(struct weir_out *http, const struct explain_question *q, const char *version)
{
    char line[96];
    out_write(http, q->method);
    out_write(http, WEIR_LIT(" "));
    out_write(http, q->path);
    out_write(http, weir_cstr(version));
    out_write(http, q->headers);
    snprintf(line, sizeof(line), "content-length: %zu\r\n\r\n", q->body.n);
    out_write(http, weir_cstr(line));
    out_write(http, q->body);
}

static int ask(struct explanation_of *e, const struct explain_question *q)
{
    struct weir_out http = { 0 }, answer = { 0 };
    write_question(&http, q, " HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n");
    int rc = rehearsal_ask(out_bytes(&http), &answer);
    if (rc == 0)
        put_answer(e->root, out_bytes(&answer));
    out_free(&http);
    out_free(&answer);
    return rc;
}

json_t *explain_request(struct config *config, const struct explain_question *q, char *why, size_t n)
{
    struct explanation_of e = { .fails_with = q->fails_with };
    struct rehearsal r = { .config = config, .unix_ms = unix_ms(), .play = play, .arg = &e };
    r.settings.seed = 1;
    r.watcher = (struct worker_watcher){ on_finish, &e, true };
    if (shm_create() < 0) {
        snprintf(why, n, "there is no shared memory for a rehearsal");
        return NULL;
    }
    shm_use_slot(0);
    leave_out_observers(config);
    if (rehearsal_begin(&r, why, n) < 0)
        return NULL;
    e.root = question_json(q);
    json_object_set_new(e.root, "calls", json_array());
    json_object_set_new(e.root, "fetches", json_array());
    int rc = ask(&e, q);
    rehearsal_end();
    if (rc == 0 && json_object_get(e.root, "record"))
        return e.root;
    snprintf(why, n, rc ? "nothing was answered in an hour of the rehearsal's time" : "the request never reached the pipeline");
    json_decref(e.root);
    return NULL;
}

/* ---- one that is really sent ---- */

enum { RECORD_MAX = 1 << 20 };

/* In the worker: its record goes to who reads it when all is over, so the pipe has to hold it. */
static void tell_record(void *arg, struct request *r)
{
    const int *fd = arg;
    struct weir_out line = { 0 };
    record_write(r, &line);
    for (struct weir_str left = out_bytes(&line); left.n;) {
        ssize_t n = write(*fd, left.p, left.n);
        if (n <= 0)
            break;
        left = (struct weir_str){ left.p + n, left.n - (size_t)n };
    }
    out_free(&line);
}

static void be_quiet(struct config *c)
{
    c->log_level = 1;
    c->keepalive_first_ms = 0;
}

/* What the worker tells until it ends. */
static json_t *told_record(int fd)
{
    char buf[8192];
    ssize_t n;
    struct weir_out text = { 0 };
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        out_write(&text, (struct weir_str){ buf, (size_t)n });
    json_t *record = json_loadb(out_bytes(&text).p ? out_bytes(&text).p : "", out_bytes(&text).n, 0, NULL);
    out_free(&text);
    return record;
}

static json_t *send_to(struct lone_worker *w, const struct worker_start *start, const int pipes[2], const struct explain_question *q)
{
    struct weir_out http = { 0 }, answer = { 0 };
    json_t *root = NULL, *record = NULL;
    bool has_record = false;
    write_question(&http, q, " HTTP/1.0\r\nhost: weir\r\n");
    bool is_answered = lone_worker_begin(w, start) == 0 && lone_worker_ask(w, out_bytes(&http), &answer) == 0;
    close(pipes[1]);
    if (is_answered) {
        root = question_json(q);
        put_answer(root, out_bytes(&answer));
        lone_worker_drain(w);
        record = told_record(pipes[0]);
        put_record(root, record ? record : json_object());
        has_record = record != NULL;
    }
    if (root && !has_record) {
        cmd_fail("its record is missing, or larger than %d KiB", RECORD_MAX >> 10);
        json_decref(root);
        root = NULL;
    }
    out_free(&http);
    out_free(&answer);
    return root;
}

json_t *explain_sent(const char *config_path, const struct explain_question *q, char *why, size_t n)
{
    int pipes[2];
    struct lone_worker w = { .fd = -1 };
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0 || fcntl(pipes[1], F_SETPIPE_SZ, RECORD_MAX) < 0 || fcntl(pipes[0], F_SETFL, 0) < 0) {
        snprintf(why, n, "no pipe can be made: %s", strerror(errno));
        return NULL;
    }
    struct worker_watcher watcher = { tell_record, &pipes[1], true };
    struct worker_start start = { .config_path = config_path, .adapt = be_quiet, .watcher = &watcher };
    json_t *root = send_to(&w, &start, pipes, q);
    lone_worker_end(&w);
    close(pipes[0]);
    *why = 0; /* it was said where it is known */
    return root;
}

/* ---- a past one ---- */

static json_t *record_of(const char *line, const char *id)
{
    json_t *record = strstr(line, id) ? json_loads(line, 0, NULL) : NULL;
    const char *found = json_string_value(json_object_get(record, "id"));
    if (found && strcmp(found, id) == 0)
        return record;
    json_decref(record);
    return NULL;
}

/* So many lines of its copies follow. */
static size_t copies_of(const json_t *record)
{
    size_t i, n = 0;
    json_t *d;
    json_array_foreach(json_object_get(record, "decisions"), i, d) {
        const char *where = json_string_value(json_object_get(d, "mirror"));
        n += where && strcmp(json_string_value(json_object_get(d, "stage")), "core") == 0 && !strstr(where, ": not sent: ");
    }
    return n;
}

/* The request's line, and those of its copies behind it; NULL: there is none. */
static json_t *read_records(FILE *f, const char *id, json_t *copies)
{
    char *line = NULL;
    size_t room = 0;
    json_t *record = NULL;
    while ((!record || json_array_size(copies) < copies_of(record)) && getline(&line, &room, f) > 0) {
        json_t *found = record_of(line, id);
        if (json_object_get(found, "mirror"))
            json_array_append_new(copies, found);
        else if (found && !record)
            record = found;
        else
            json_decref(found);
    }
    free(line);
    return record;
}

json_t *explain_logged(const char *path, const char *id, char *why, size_t n)
{
    FILE *f = fopen(path, "re");
    json_t *copies = json_array(), *record = f ? read_records(f, id, copies) : NULL;
    if (!f)
        snprintf(why, n, "%s can't be opened", path);
    else if (!record)
        snprintf(why, n, "%s has no request %s: it may be in an older file, or have been made before the log was", path, id);
    if (f)
        fclose(f);
    json_t *root = record ? json_object() : NULL;
    if (root)
        put_record(root, record);
    if (root && json_array_size(copies))
        json_object_set(root, "copies", copies);
    json_decref(copies);
    return root;
}
