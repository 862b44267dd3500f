/* `weir explain`: one request through the production pipeline in a rehearsal (rehearsal.h), whose providers all fail. What each
 * candidate was asked is noted when it would have left, what the stages said is in the request record.
 *
 * Nothing is shared with a weir that serves: figures, breakers, benches and limits are those of a weir that has just begun. Stages
 * that only look at finished requests (logs) are left out, or they would log what did not happen.
 */
#include "explain.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "config_facts.h"
#include "pipeline.h"
#include "rehearsal.h"
#include "shm.h"

struct explanation {
    json_t *root;
    int fails_with;
    bool has_candidates;
};

static json_t *text_json(struct weir_str s)
{
    json_t *text = s.n ? json_stringn(s.p, s.n) : NULL;
    return text ? text : json_string("");
}

static void add(struct explanation *e, const char *list, json_t *entry)
{
    json_array_append_new(json_object_get(e->root, list), entry);
}

/* ---- candidates ---- */

static int64_t input_tokens(const struct request *r, const struct candidate *c)
{
    return r->conversation ? conversation_estimate(r->conversation, c->provider->codec->codec.tokens) : -1;
}

/* USD for the input alone, and with as many tokens of output as the request allows. */
static void put_costs(json_t *to, const struct request *r, const struct candidate *c)
{
    struct weir_usage u = { .size = sizeof(u), .input = input_tokens(r, c), .output = 0, .cached_read = -1, .cached_write = -1,
                            .reasoning = -1 };
    if (u.input < 0)
        return;
    json_object_set_new(to, "input_tokens", json_integer(u.input));
    double least = facts_cost(c->prices, c->n_prices, FACTS_STANDARD, &u);
    if (least < 0)
        return;
    json_object_set_new(to, "input_usd", json_real(least));
    struct weir_str most = weir_field(&r->conversation->view, WEIR_FIELD_MAX_TOKENS);
    if (!most.n)
        return;
    u.output = strtoll(most.p, NULL, 10);
    json_object_set_new(to, "max_output_tokens", json_integer(u.output));
    json_object_set_new(to, "most_usd", json_real(facts_cost(c->prices, c->n_prices, FACTS_STANDARD, &u)));
}

static json_t *candidate_json(const struct request *r, const struct candidate *c)
{
    json_t *to = json_object();
    json_object_set_new(to, "target", text_json(c->view.name));
    json_object_set_new(to, "dialect", text_json(c->view.dialect));
    if (c->view.region.n)
        json_object_set_new(to, "region", text_json(c->view.region));
    if (c->view.context_tokens > 0)
        json_object_set_new(to, "context_tokens", json_integer(c->view.context_tokens));
    if (c->n_prices && c->view.price_input >= 0) {
        json_object_set_new(to, "price_input", json_real(c->view.price_input));
        json_object_set_new(to, "price_output", json_real(c->view.price_output));
    }
    put_costs(to, r, c);
    return to;
}

/* As they stand when the first is tried. */
static void note_candidates(struct explanation *e, const struct attempt *a)
{
    const struct request *r = a->call.request;
    if (e->has_candidates)
        return;
    e->has_candidates = true;
    add(e, "candidates", candidate_json(r, a->target));
    for (uint32_t i = 0; i < r->n_candidates; i++)
        add(e, "candidates", candidate_json(r, (const struct candidate *)r->candidates[i]));
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
    struct explanation *e = arg;
    json_t *sent = call_json(call->request);
    *reply = (struct rehearsal_reply){ 0 };
    if (call->attempt && call->attempt->target) {
        bool is_copy = call->attempt->call.request->mirror;
        if (!is_copy)
            note_candidates(e, call->attempt);
        json_object_set_new(sent, "target", text_json(call->attempt->target->view.name));
        if (is_copy)
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

static void note_stages(struct explanation *e, const struct request *r)
{
    for (uint32_t i = 0; r->lane && i < r->lane->n; i++) {
        json_t *stage = json_object(), *hooks = json_array();
        json_object_set_new(stage, "stage", json_string(r->lane->stages[i]->plugin->desc.name));
        json_object_set_new(stage, "place", json_string(i < r->lane->n_entry ? "entry" : "route"));
        for (int hook = 0; hook < HOOKS; hook++)
            for (uint32_t k = 0; k < r->lane->n_slots[hook]; k++)
                if (r->lane->slots[hook][k] == i)
                    json_array_append_new(hooks, json_string(hook_name((enum hook)hook)));
        json_object_set_new(stage, "hooks", hooks);
        json_object_set_new(stage, "was_reached", json_boolean(i < r->n_opened));
        add(e, "stages", stage);
    }
}

static void note_skipped(struct explanation *e, const struct request *r)
{
    for (const struct note *n = r->notes; n; n = n->next)
        if (strcmp(n->stage, "core") == 0 && strcmp(n->key, "skipped") == 0)
            add(e, "skipped", text_json(n->value));
}

static void on_finish(void *arg, struct request *r)
{
    struct explanation *e = arg;
    struct weir_out text = { 0 };
    note_stages(e, r);
    note_skipped(e, r);
    record_write(r, &text);
    json_t *record = json_loadb(out_bytes(&text).p, out_bytes(&text).n, 0, NULL);
    json_object_set_new(e->root, "record", record ? record : json_object());
    json_object_del(json_object_get(e->root, "record"), "stage_us"); /* on clocks that stand still */
    out_free(&text);
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

static void put_answer(struct explanation *e, struct weir_str http)
{
    const char *end = memmem(http.p, http.n, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end + 4 - http.p) : http.n;
    json_t *body = json_loadb(http.p + head, http.n - head, JSON_DECODE_ANY, NULL);
    if (!body)
        body = text_json((struct weir_str){ http.p + head, http.n - head });
    int status = http.n > 12 ? (int)strtol(http.p + 9, NULL, 10) : 0;
    json_object_set_new(e->root, "answer", json_pack("{s:i, s:o}", "status", status, "body", body));
}

static int ask(struct explanation *e, const struct explain_question *q)
{
    struct weir_out http = { 0 }, answer = { 0 };
    char line[96];
    out_write(&http, q->method);
    out_write(&http, WEIR_LIT(" "));
    out_write(&http, q->path);
    out_write(&http, WEIR_LIT(" HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n"));
    out_write(&http, q->headers);
    snprintf(line, sizeof(line), "content-length: %zu\r\n\r\n", q->body.n);
    out_write(&http, weir_cstr(line));
    out_write(&http, q->body);
    int rc = rehearsal_ask(out_bytes(&http), &answer);
    if (rc == 0)
        put_answer(e, out_bytes(&answer));
    out_free(&http);
    out_free(&answer);
    return rc;
}

json_t *explain_request(struct config *config, const struct explain_question *q, char *why, size_t n)
{
    struct explanation e = { .fails_with = q->fails_with };
    struct rehearsal r = { .config = config, .unix_ms = unix_ms(), .play = play, .arg = &e };
    r.settings.seed = 1;
    r.settings.on_finish = on_finish;
    r.settings.arg = &e;
    if (shm_create() < 0) {
        snprintf(why, n, "there is no shared memory for a rehearsal");
        return NULL;
    }
    shm_use_slot(0);
    leave_out_observers(config);
    if (rehearsal_begin(&r, why, n) < 0)
        return NULL;
    e.root = json_pack("{s:{s:o, s:o, s:I}, s:[], s:[], s:[], s:[], s:[]}", "request", "method", text_json(q->method), "path",
                       text_json(q->path), "bytes", (json_int_t)q->body.n, "stages", "candidates", "skipped", "calls", "fetches");
    int rc = ask(&e, q);
    rehearsal_end();
    if (rc == 0 && json_object_get(e.root, "record"))
        return e.root;
    snprintf(why, n, rc ? "nothing was answered in an hour of the rehearsal's time" : "the request never reached the pipeline");
    json_decref(e.root);
    return NULL;
}

/* ---- a past one ---- */

static json_t *record_of(const char *line, const char *id)
{
    json_t *record = strstr(line, id) ? json_loads(line, 0, NULL) : NULL;
    const char *found = json_string_value(json_object_get(record, "id"));
    if (found && strcmp(found, id) == 0 && !json_object_get(record, "mirror"))
        return record;
    json_decref(record);
    return NULL;
}

json_t *explain_logged(const char *path, const char *id, char *why, size_t n)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    json_t *record = NULL;
    while (f && !record && getline(&line, &room, f) > 0)
        record = record_of(line, id);
    if (!f)
        snprintf(why, n, "%s can't be opened", path);
    else if (!record)
        snprintf(why, n, "%s has no request %s: it may be in an older file, or have been made before the log was", path, id);
    if (f)
        fclose(f);
    free(line);
    return record ? json_pack("{s:o}", "record", record) : NULL;
}
