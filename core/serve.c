/* A request from its head to its end: its states and what moves it from one to the next.
 *
 * request_run() goes on as far as it can and returns when something has to be waited for: a body, a stage, a provider. Every
 * way in from the event loop is wrapped in request_enter()/request_leave(); a request that is over is freed at the last leave.
 */
#include <stdio.h>
#include <stdlib.h>

#include "host.h"
#include "log.h"

/* ---- the head ---- */

static bool is_safe_id(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && !strchr("-_.:", c))
            return false;
    }
    return s.n > 0 && s.n <= 128;
}

static void name_request(struct request *r, const struct http_head *head)
{
    struct weir_str given = http_find(head->headers, head->n_headers, "x-request-id");
    if (is_safe_id(given)) {
        memcpy(r->id, given.p, given.n);
        r->id[given.n] = 0;
    } else {
        snprintf(r->id, sizeof(r->id), "req_%016llx%08llx", (unsigned long long)request_random(r),
                 (unsigned long long)(request_random(r) & 0xffffffff));
    }
    r->view.id = weir_cstr(r->id);
}

static void fail_now(struct request *r, uint32_t error_class, uint16_t status, const char *code, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = (uint16_t)error_class,
                            .status = status,
                            .code = weir_cstr(code),
                            .message = weir_cstr(message) };
    request_fail(r, &e);
}

static void describe(struct request *r, const struct http_head *head)
{
    bool is_loopback = false;
    r->view.method = head->method;
    r->view.path = head->path;
    r->view.query = head->query;
    r->view.peer = exchange_peer(r->exchange, &is_loopback);
    r->view.flags = is_loopback ? WEIR_REQUEST_LOOPBACK : 0;
    r->view.started_ms = unix_ms();
}

/* false: answered already. */
static bool is_acceptable(struct request *r, const struct http_head *head, bool other_method)
{
    struct weir_str encoding = is_raw(r) ? WEIR_NONE : http_find(head->headers, head->n_headers, "content-encoding");
    if (head->wants_upgrade)
        fail_now(r, WEIR_ERROR_BAD_REQUEST, 426, "upgrade_unsupported",
                 "This path does not upgrade connections; use plain HTTP/1.1.");
    else if (encoding.n && !weir_is(encoding, "identity"))
        fail_now(r, WEIR_ERROR_BAD_REQUEST, 415, "content_encoding", "Send the body without content-encoding.");
    else if (!r->claim && other_method)
        fail_now(r, WEIR_ERROR_BAD_REQUEST, 405, "method_not_allowed", "This path exists, but not with this method.");
    return !r->is_ending;
}

static void on_head(void *arg, struct exchange *x)
{
    (void)arg;
    const struct http_head *head = exchange_head(x);
    if (door_probe(x, head))
        return;
    struct request *r = request_new(x);
    if (!r) {
        exchange_abort(x);
        return;
    }
    request_enter(r);
    request_seed(r);
    name_request(r, head);
    describe(r, head);
    struct door_found door = door_find(head);
    const struct config_provider *raw = door_raw(head, door.claim != NULL);
    r->claim = door.claim;
    r->door = door.owner;
    r->view.star = door.star;
    if (raw)
        door_enter(r, raw->codec, WEIR_OP_RAW);
    else
        door_enter(r, door.owner, door.claim ? door.claim->operation : WEIR_OP_NONE);
    door_credential(r, head, raw ? raw->codec : door.owner);
    if (is_acceptable(r, head, door.other_method && !raw))
        request_run(r);
    request_arm(r);
    request_leave(r);
}

/* ---- body and conversation ---- */

static void begin_body(struct request *r)
{
    exchange_read_body(r->exchange, r->body_limit);
}

static int decode(struct request *r)
{
    const struct weir_codec *codec = &r->codec->plugin->codec;
    struct weir_str body = exchange_body(r->exchange);
    r->view.body_n = body.n;
    r->codec_state = arena_zalloc(r->arena, codec->ingress_size + 16);
    r->conversation = conversation_new(r->arena, r->view.dialect, r->view.operation, body);
    if (!r->codec_state || !r->conversation || !codec->decode_request)
        return -1;
    struct visit v = visit_enter(&r->call, r->codec, CRUMB_DECODE_REQUEST, false);
    conversation_watch(r->conversation);
    int rc = codec->decode_request(r->codec->self, &r->call, r->codec_state, body);
    if (rc >= 0 && codec->other_stream_type)
        r->other_stream_type = codec->other_stream_type(r->codec->self, &r->call, r->codec_state);
    visit_leave(&v);
    if (rc < 0) {
        json_watch_end(NULL, NULL);
        return -1;
    }
    conversation_close(r->conversation);
    r->wants_stream = weir_field_true(&r->conversation->view, WEIR_FIELD_STREAM);
    r->wants_usage = weir_field_true(&r->conversation->view, WEIR_FIELD_STREAM_USAGE);
    if (r->wants_stream)
        r->view.flags |= WEIR_REQUEST_STREAM;
    return 0;
}

static int check_unknown_fields(struct request *r)
{
    const struct weir_ext *x = !r->conversation           ? NULL
                               : r->conversation->view.ext ? r->conversation->view.ext
                                                           : r->conversation->unread;
    if (!x || !r->route || r->route->unknown_fields == CONFIG_UNKNOWN_PASS)
        return 0;
    bool has_all = !r->conversation->has_more_unread; /* what isn't kept can't be taken out */
    if (r->route->unknown_fields == CONFIG_UNKNOWN_DROP && has_all)
        return conversation_drop_ext(r->conversation);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .param = x->path };
    e.message = arena_printf(r->arena, "%.*s: this route refuses fields it does not know; leave it out.",
                             (int)x->path.n, x->path.p);
    r->call.error = e;
    return -1;
}

/* ---- the states ---- */

static void fail_with_call_error(struct request *r)
{
    if (r->call.error.error_class == WEIR_ERROR_NONE) {
        pipeline_fault(&r->call, r->codec ? r->codec->plugin->desc.name : "core", "failed without fail()");
    }
    request_fail(r, &r->call.error);
}

/* What a verdict means for the request. true: go on. */
static bool took(struct request *r, enum weir_verdict v)
{
    if (v == WEIR_NEXT)
        return true;
    if (v == WEIR_FAIL)
        fail_with_call_error(r);
    else if (v == WEIR_DONE)
        events_elect(r->elected);
    return false;
}

static uint32_t slots_below(const struct lane *lane, enum hook hook, uint32_t index)
{
    uint32_t n = 0;
    while (n < lane->n_slots[hook] && lane->slots[hook][n] < index)
        n++;
    return n;
}

static bool run_open(struct request *r, bool is_route)
{
    const struct lane *lane = r->lane;
    uint32_t from = is_route ? slots_below(lane, HOOK_OPEN, lane->n_entry) : 0;
    return took(r, pipeline_run(&r->call, HOOK_OPEN, from, lane->n_slots[HOOK_OPEN]));
}

/* A hook's walk is over: its stages count as entered, also those without the hook. */
static void note_entered(struct request *r)
{
    if (r->n_opened < r->lane->n)
        r->n_opened = r->lane->n;
}

static bool step_route(struct request *r, bool is_last)
{
    if (r->route)
        return true;
    int chosen = door_route(r);
    if (chosen == 1 || (chosen == 0 && !is_last))
        return true;
    if (!r->claim) {
        fail_now(r, WEIR_ERROR_NOT_FOUND, 404, "unknown_path",
                 "No dialect claims this path. Does the base URL end in /v1?");
        return false;
    }
    fail_now(r, WEIR_ERROR_NOT_FOUND, 404, "no_route", "No route of this gateway's configuration matches the request.");
    return false;
}

static bool step_decode(struct request *r)
{
    if (r->view.operation == WEIR_OP_MODELS || r->view.operation == WEIR_OP_MODEL || is_raw(r))
        return true;
    if (decode(r) == 0)
        return true;
    fail_with_call_error(r);
    return false;
}

static bool step_hooks(struct request *r)
{
    if (check_unknown_fields(r) < 0) {
        fail_with_call_error(r);
        return false;
    }
    int rc = is_raw(r) ? raw_candidates(r) : r->conversation && !r->has_candidates ? candidates_default(r) : 0;
    if (rc < 0) {
        fail_with_call_error(r);
        return false;
    }
    return took(r, pipeline_run(&r->call, HOOK_REQUEST, 0, r->lane->n_slots[HOOK_REQUEST]));
}

static bool step_serve(struct request *r)
{
    if (r->view.operation == WEIR_OP_MODELS || r->view.operation == WEIR_OP_MODEL) {
        deliver_models(r);
        return false;
    }
    r->state = REQUEST_ATTEMPT;
    mirror_choose(r);
    if (!attempt_next(r) && !(rescue_by_itself(r) && attempt_next(r)))
        recovery_give_up(r);
    return false;
}

/* One step; false: something has to be waited for, or it is over. */
static bool step(struct request *r)
{
    switch (r->state) {
    case REQUEST_OPEN_ENTRY:
        r->state = REQUEST_ROUTE_EARLY;
        return run_open(r, false);
    case REQUEST_ROUTE_EARLY:
        note_entered(r);
        r->state = REQUEST_OPEN_EARLY;
        return step_route(r, false);
    case REQUEST_OPEN_EARLY:
        r->state = REQUEST_BODY;
        return r->route ? run_open(r, true) : true;
    case REQUEST_BODY:
        note_entered(r);
        r->state = REQUEST_DECODE;
        if (is_raw(r) && !raw_reads_body(r))
            return true; /* it goes on when there is somebody to take it */
        begin_body(r);
        return false;
    case REQUEST_DECODE:
        r->state = REQUEST_ROUTE_LATE;
        return step_decode(r);
    case REQUEST_ROUTE_LATE:
        r->state = r->route ? REQUEST_HOOKS : REQUEST_OPEN_LATE;
        return step_route(r, true);
    case REQUEST_OPEN_LATE:
        r->state = REQUEST_HOOKS;
        return run_open(r, true);
    case REQUEST_HOOKS:
        note_entered(r);
        r->state = REQUEST_SERVE;
        return step_hooks(r);
    case REQUEST_SERVE:
        return step_serve(r);
    default:
        return false;
    }
}

void request_run(struct request *r)
{
    while (!r->is_ending && !r->is_answered && step(r))
        continue;
}

void pipeline_resumed(struct weir_call *c, enum weir_verdict verdict)
{
    struct request *r = c->request;
    if (r->is_ending)
        return;
    enum hook hook = c->hook;
    enum weir_verdict v = pipeline_continue(c, verdict);
    if (v == WEIR_WAIT && hook != HOOK_EVENT)
        return;
    if (hook == HOOK_EVENT)
        events_resumed(c->attempt, v);
    else if (hook == HOOK_HEAD)
        events_head_done(c->attempt, v, true);
    else if (hook == HOOK_ATTEMPT || hook == HOOK_FAILURE)
        attempt_after_attempt(c->attempt, v);
    else if (took(r, v))
        request_run(r);
    deliver_flush(r); /* nothing else may come of its provider for long */
    request_arm(r);
}

/* ---- the end ---- */

void request_fail(struct request *r, const struct weir_error *error)
{
    if (r->is_ending)
        return;
    error_copy(r->arena, &r->error, error);
    r->error.status = (uint16_t)error_status(&r->error);
    if (!r->error.code.n)
        r->error.code = weir_cstr(error_code(&r->error));
    if (r->exchange && !r->is_answered)
        deliver_error(r, &r->error);
    request_finish(r);
}

/* The last thing: from here on nothing of the exchange may be read. */
static void let_go(struct request *r)
{
    struct exchange *x = r->exchange;
    r->exchange = NULL;
    r->head = NULL;
    if (!x)
        return;
    mirror_keep_body(r, x);
    if (r->breaks_off || !exchange_has_started(x))
        exchange_abort(x);
    else
        exchange_end(x);
}

void request_finish(struct request *r)
{
    if (r->is_ending || mirror_waits(r))
        return;
    mirror_before_end(r);
    r->is_ending = true;
    request_enter(r);
    wait_cancel(&r->call);
    admission_leave(r);
    for (struct attempt *a = r->attempts; a; a = a->next)
        attempt_close(a);
    r->ended_us = r->ended_us ? r->ended_us : monotonic_us();
    pipeline_notify(&r->call, HOOK_FINISH, r->n_opened);
    record_complete(r);
    mirror_after_end(r);
    let_go(r);
    r->state = REQUEST_OVER;
    r->is_doomed = true;
    r->depth--; /* the caller still holds it */
}

/* ---- what the edge calls ---- */

static void on_body(void *arg, struct exchange *x)
{
    (void)arg;
    struct request *r = exchange_user(x);
    if (!r)
        return;
    request_enter(r);
    request_run(r);
    request_arm(r);
    request_leave(r);
}

static void on_data(void *arg, struct exchange *x)
{
    (void)arg;
    struct request *r = exchange_user(x);
    if (!r)
        return;
    request_enter(r);
    raw_on_data(r);
    request_leave(r);
}

static void on_drain(void *arg, struct exchange *x)
{
    (void)arg;
    struct request *r = exchange_user(x);
    struct attempt *a = r ? request_source(r) : NULL;
    if (!a || !a->is_paused || attempt_waits(a))
        return;
    request_enter(r);
    attempt_resume(a);
    request_arm(r);
    request_leave(r);
}

static void on_gone(void *arg, struct exchange *x)
{
    (void)arg;
    struct request *r = exchange_user(x);
    if (!r)
        return;
    request_enter(r);
    mirror_keep_body(r, x);
    r->exchange = NULL;
    if (!r->is_answered) {
        struct weir_error e = { .size = sizeof(e),
                                .error_class = WEIR_ERROR_CANCELLED,
                                .status = 499,
                                .message = WEIR_LIT("The client left.") };
        request_fail(r, &e);
    }
    request_leave(r);
}

/* The edge refuses before there is a request, or in the middle of its body: a request that only has a dialect stands in. */
static size_t on_refuse(void *arg, const struct http_head *head, int status, const char *why, char *out, size_t n)
{
    (void)arg;
    static const struct http_head nothing = { .method = { "GET", 3 }, .path = { "/", 1 } };
    struct scratch s = scratch_enter();
    struct request *r = arena_zalloc(scratch_arena(), sizeof(*r));
    struct weir_out *body = scratch_out();
    struct weir_error e = { .size = sizeof(e),
                            .error_class = status == 413   ? WEIR_ERROR_TOO_LARGE
                                           : status == 503 ? WEIR_ERROR_OVERLOADED
                                                           : WEIR_ERROR_BAD_REQUEST,
                            .status = (uint16_t)status,
                            .code = weir_cstr(edge_refusal_code(status)),
                            .message = weir_cstr(why) };
    size_t len = 0;
    if (r && body) {
        r->arena = scratch_arena();
        r->call = (struct weir_call){ .request = r, .arena = r->arena };
        r->codec = codec_instance(door_find(head ? head : &nothing).owner);
        deliver_error_text(r, &e, body);
        len = body->n < n ? body->n : 0;
        memcpy(out, out_bytes(body).p ? out_bytes(body).p : "", len);
    }
    scratch_leave(s);
    return len;
}

const struct edge_handler *pipeline_handler(void)
{
    static const struct edge_handler handler = { on_head, on_body, on_drain, on_gone, on_refuse, NULL, on_data };
    return &handler;
}

/* ---- the worker's seams ---- */

int pipeline_start(struct worker *w, char *why, size_t n)
{
    waits_start(w->base);
    mirror_start();
    if (candidates_start(w) < 0 || doors_start() < 0) {
        snprintf(why, n, "no memory for the front doors or the queues");
        return -1;
    }
    if (host_loop_start(w->base) < 0) {
        snprintf(why, n, "no descriptor left for the worker's own wake-up");
        return -1;
    }
    return lanes_start(w, why, n) < 0 || tokens_start(w, why, n) < 0 ? -1 : 0;
}

void pipeline_drain(void)
{
    worker->is_draining = true;
}

void pipeline_stop(void)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNAVAILABLE,
                            .code = WEIR_LIT("draining"),
                            .message = WEIR_LIT("weir is shutting down.") };
    mirror_stop(&e);
    for (struct request *r; (r = request_first()) != NULL;) {
        r = r->mirror ? r->mirror->of : r; /* its own end waits for that */
        request_enter(r);
        request_fail(r, &e);
        request_finish(r);
        request_leave(r);
    }
    tokens_stop();
    lanes_stop();
    doors_stop();
    waits_stop();
    host_loop_stop();
    scratch_free();
}
