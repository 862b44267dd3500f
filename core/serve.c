/* A request from its head to its end: what dialect it speaks, which route it takes, its states, its deadlines, its end.
 *
 * request_run() goes on as far as it can and returns when something has to be waited for: a body, a stage, a provider. Every
 * way in from the event loop is wrapped in request_enter()/request_leave(); a request that is over is freed at the last leave.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "host.h"
#include "log.h"

static struct request *requests;
static uint32_t n_requests;

struct request *request_first(void)
{
    return requests;
}

uint32_t pipeline_live(void)
{
    return n_requests;
}

/* ---- making and freeing ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg);

uint64_t request_random(struct request *r)
{
    /* xorshift128+: seeded once from the system, so that a recorded seed repeats a request's choices */
    uint64_t a = r->random[0], b = r->random[1];
    r->random[0] = b;
    a ^= a << 23;
    r->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return r->random[1] + b;
}

static void seed(struct request *r)
{
    static uint64_t pool[64];
    static size_t left;
    if (left < 2) {
        bytes_random(pool, sizeof(pool));
        left = sizeof(pool) / sizeof(*pool);
    }
    r->random[0] = pool[--left] | 1;
    r->random[1] = pool[--left];
}

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

static struct request *request_new(struct exchange *x)
{
    struct arena *arena = arena_new();
    struct request *r = arena ? arena_zalloc(arena, sizeof(*r)) : NULL;
    if (!r) {
        arena_free(arena);
        return NULL;
    }
    r->arena = arena;
    r->call = (struct weir_call){ .request = r, .arena = arena };
    r->exchange = x;
    r->head = exchange_head(x);
    r->lane = lane_entry();
    r->notes_end = &r->notes;
    r->started_us = monotonic_us();
    r->body_limit = worker->config->limits.body_bytes;
    r->principal.size = sizeof(r->principal);
    r->timer = arena_zalloc(arena, sizeof(struct event));
    r->timer_at_us = INT64_MAX;
    r->next = requests;
    if (requests)
        requests->prev = r;
    requests = r;
    n_requests++;
    if (!r->timer || lane_give_blocks(r, false) < 0)
        r->is_doomed = true;
    else
        event_assign(r->timer, worker->base, -1, 0, on_timer, r);
    exchange_attach(x, r);
    return r;
}

static void request_destroy(struct request *r)
{
    while (r->attempts) {
        struct attempt *a = r->attempts;
        r->attempts = a->next;
        attempt_destroy(a);
    }
    if (r->timer)
        event_del(r->timer);
    *(r->prev ? &r->prev->next : &requests) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    n_requests--;
    arena_free(r->arena);
}

void request_enter(struct request *r)
{
    r->depth++;
}

void request_leave(struct request *r)
{
    if (--r->depth == 0 && r->is_doomed)
        request_destroy(r);
}

/* ---- dialect, credential ---- */

static bool claim_matches_path(const struct weir_claim *c, struct weir_str path)
{
    return config_matches(c->path, path) && (c->path[strlen(c->path) - 1] != '*' || path.n >= strlen(c->path));
}

static const struct weir_claim *claim_in(const struct plugin *p, const struct http_head *head, bool needs_header, bool *other_method)
{
    const struct weir_claim *c = p->codec.claims;
    for (; c && c->method; c++) {
        if (!!c->header != needs_header || !claim_matches_path(c, head->path))
            continue;
        if (c->header && !http_find(head->headers, head->n_headers, c->header).p)
            continue;
        if (weir_is(head->method, c->method))
            return c;
        *other_method = true;
    }
    return NULL;
}

/* Claims that ask for a header are more special and come first. */
static const struct weir_claim *find_claim(const struct http_head *head, struct plugin **owner, bool *other_method)
{
    for (int with_header = 1; with_header >= 0; with_header--)
        for (struct plugin *p = plugin_first(); p; p = p->next) {
            if (p->desc.head.kind != WEIR_KIND_CODEC)
                continue;
            const struct weir_claim *c = claim_in(p, head, with_header, other_method);
            *owner = p;
            if (c)
                return c;
        }
    *owner = NULL;
    return NULL;
}

/* Nobody claims the path: the error is said in the dialect that the headers look like. */
static struct plugin *guess_dialect(const struct http_head *head)
{
    bool is_anthropic = http_find(head->headers, head->n_headers, "anthropic-version").p != NULL;
    struct plugin *p = plugin_find(is_anthropic ? "anthropic" : "openai", WEIR_KIND_CODEC);
    return p ? p : plugin_find("openai", WEIR_KIND_CODEC);
}

/* The value of a query parameter, still encoded; the whole "name=value" in *whole. */
static struct weir_str query_value(struct weir_str query, const char *name, struct weir_str *whole)
{
    size_t n = strlen(name), at = 0;
    while (at < query.n) {
        const char *amp = memchr(query.p + at, '&', query.n - at);
        size_t end = amp ? (size_t)(amp - query.p) : query.n;
        if (end - at > n && memcmp(query.p + at, name, n) == 0 && query.p[at + n] == '=') {
            *whole = (struct weir_str){ query.p + at, end - at };
            return (struct weir_str){ query.p + at + n + 1, end - at - n - 1 };
        }
        at = end + 1;
    }
    return WEIR_NONE;
}

static void take_credential(struct request *r, struct weir_str value)
{
    if (!value.n)
        return;
    if (r->credential.n && !weir_eq(r->credential, value))
        r->view.flags |= WEIR_REQUEST_CREDENTIAL_CONFLICT;
    r->credential = value;
}

static void remove_from_query(struct request *r, struct weir_str whole)
{
    struct weir_str q = r->view.query;
    size_t before = (size_t)(whole.p - q.p), after = before + whole.n;
    after += after < q.n;
    before -= after >= q.n && before > 0 && after - before > whole.n - 1 && q.p[before - 1] == '&';
    r->view.query = arena_printf(r->arena, "%.*s%.*s", (int)before, q.p, (int)(q.n - after), q.p + after);
}

static bool has_prefix_nocase(struct weir_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && strncasecmp(s.p, prefix, n) == 0;
}

static void extract_credential(struct request *r, const struct http_head *head, const struct plugin *p)
{
    const struct weir_credential_place *place = p ? p->codec.credentials : NULL;
    for (; place && (place->header || place->query); place++) {
        struct weir_str whole = WEIR_NONE, v;
        if (place->header) {
            v = http_find(head->headers, head->n_headers, place->header);
            const char *prefix = place->prefix ? place->prefix : "";
            if (v.p && has_prefix_nocase(v, prefix))
                take_credential(r, (struct weir_str){ v.p + strlen(prefix), v.n - strlen(prefix) });
        } else if ((v = query_value(r->view.query, place->query, &whole)).p) {
            take_credential(r, v);
            remove_from_query(r, whole);
        }
    }
}

/* ---- the head ---- */

static void fail_now(struct request *r, uint32_t error_class, uint16_t status, const char *code, const char *message)
{
    struct weir_error e = { .size = sizeof(e), .error_class = (uint16_t)error_class, .status = status,
                            .code = weir_cstr(code), .message = weir_cstr(message) };
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
    struct weir_str encoding = http_find(head->headers, head->n_headers, "content-encoding");
    if (head->wants_upgrade)
        fail_now(r, WEIR_ERROR_BAD_REQUEST, 426, "upgrade_unsupported", "This path does not upgrade connections; use plain HTTP/1.1.");
    else if (encoding.n && !weir_is(encoding, "identity"))
        fail_now(r, WEIR_ERROR_BAD_REQUEST, 415, "content_encoding", "Send the body without content-encoding.");
    else if (!r->claim && other_method)
        fail_now(r, WEIR_ERROR_BAD_REQUEST, 405, "method_not_allowed", "This path exists, but not with this method.");
    return !r->is_ending;
}

static void probe(struct exchange *x, bool is_ready)
{
    struct weir_str body = is_ready ? WEIR_LIT("{\"status\":\"ok\"}\n") : WEIR_LIT("{\"status\":\"draining\"}\n");
    struct http_header type = { WEIR_LIT("content-type"), WEIR_LIT("application/json") };
    exchange_start(x, is_ready ? 200 : 503, &type, 1, (int64_t)body.n);
    exchange_write(x, &body, 1);
    exchange_end(x);
}

static bool was_probe(struct exchange *x, const struct http_head *head)
{
    bool is_health = weir_is(head->path, "/healthz"), is_ready = weir_is(head->path, "/readyz");
    if (!(is_health || is_ready) || !(weir_is(head->method, "GET") || weir_is(head->method, "HEAD")))
        return false;
    probe(x, is_health || shm_is_serving());
    return true;
}

static void on_head(void *arg, struct exchange *x)
{
    (void)arg;
    const struct http_head *head = exchange_head(x);
    if (was_probe(x, head))
        return;
    struct request *r = request_new(x);
    if (!r) {
        exchange_abort(x);
        return;
    }
    request_enter(r);
    bool other_method = false;
    struct plugin *owner;
    seed(r);
    name_request(r, head);
    describe(r, head);
    r->claim = find_claim(head, &owner, &other_method);
    if (!owner)
        owner = guess_dialect(head);
    r->codec = codec_instance(owner);
    extract_credential(r, head, owner);
    if (r->claim) {
        r->view.dialect = weir_cstr(owner->desc.name);
        r->view.operation = r->claim->operation;
    }
    if (is_acceptable(r, head, other_method))
        request_run(r);
    request_arm(r);
    request_leave(r);
}

/* ---- the route ---- */

static bool matches_or_unset(const char *pattern, struct weir_str s)
{
    return !pattern || config_matches(pattern, s);
}

static bool matches_head(struct request *r, const struct config_match *m)
{
    if (m->header) {
        struct weir_str v = http_find(r->head->headers, r->head->n_headers, m->header);
        if (!v.p || (m->header_value && !config_matches(m->header_value, v)))
            return false;
    }
    return matches_or_unset(m->path, r->view.path) && (!m->method || weir_is(r->view.method, m->method)) &&
           matches_or_unset(m->key, r->principal.name) && matches_or_unset(m->team, r->principal.team);
}

/* 1: chosen; 0: the model decides and is not known yet; -1: none. */
static int choose_route(struct request *r)
{
    for (uint32_t i = 0; i < worker->config->n_routes; i++) {
        const struct config_route *route = worker->config->routes[i];
        if (!matches_head(r, &route->match))
            continue;
        if (route->match.model && !r->conversation && r->view.operation == WEIR_OP_CHAT)
            return 0;
        if (route->match.model && (!r->conversation || !config_matches(route->match.model, candidates_asked(r))))
            continue;
        r->route = route;
        r->lane = lane_of_route(route);
        r->view.route = weir_cstr(route->name);
        if (route->is_open)
            r->view.flags |= WEIR_REQUEST_ROUTE_OPEN;
        if (lane_give_blocks(r, true) < 0)
            return -1;
        return 1;
    }
    return -1;
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
    int rc = codec->decode_request(r->codec->self, &r->call, r->codec_state, body);
    visit_leave(&v);
    if (rc < 0)
        return -1;
    conversation_close(r->conversation);
    r->wants_stream = weir_field_true(&r->conversation->view, WEIR_FIELD_STREAM);
    r->wants_usage = weir_field_true(&r->conversation->view, WEIR_FIELD_STREAM_USAGE);
    if (r->wants_stream)
        r->view.flags |= WEIR_REQUEST_STREAM;
    return 0;
}

static int check_unknown_fields(struct request *r)
{
    const struct weir_ext *x = r->conversation ? r->conversation->view.ext : NULL;
    if (!x || !r->route || r->route->unknown_fields == CONFIG_UNKNOWN_PASS)
        return 0;
    if (r->route->unknown_fields == CONFIG_UNKNOWN_DROP)
        return conversation_drop_ext(r->conversation);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .param = x->path };
    e.message = arena_printf(r->arena, "%.*s: this route refuses fields it does not know; leave it out.", (int)x->path.n, x->path.p);
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
    if (!r->claim) {
        fail_now(r, WEIR_ERROR_NOT_FOUND, 404, "unknown_path", "No dialect claims this path. Does the base URL end in /v1?");
        return false;
    }
    int chosen = choose_route(r);
    if (chosen == 1 || (chosen == 0 && !is_last))
        return true;
    fail_now(r, WEIR_ERROR_NOT_FOUND, 404, "no_route", "No route of this gateway's configuration matches the request.");
    return false;
}

static bool step_decode(struct request *r)
{
    if (r->view.operation == WEIR_OP_MODELS || r->view.operation == WEIR_OP_MODEL)
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
    if (r->conversation && !r->has_candidates && candidates_default(r) < 0) {
        fail_with_call_error(r);
        return false;
    }
    return took(r, pipeline_run(&r->call, HOOK_REQUEST, 0, r->lane->n_slots[HOOK_REQUEST]));
}

/* The last error, or the reasons why nothing was tried. */
static void fail_without_target(struct request *r)
{
    if (r->attempts && r->attempts->error.error_class != WEIR_ERROR_NONE) {
        request_fail(r, &r->attempts->error);
        return;
    }
    struct weir_str why = WEIR_NONE;
    bool is_capability = false;
    for (const struct note *n = r->notes; n; n = n->next)
        if (strcmp(n->key, "skipped") == 0) {
            why = arena_printf(r->arena, "%.*s%s%.*s", (int)why.n, why.p ? why.p : "", why.n ? "; " : "", (int)n->value.n, n->value.p);
            is_capability |= n->value.n > 16 && strstr(n->value.p, "its dialect has no") != NULL;
        }
    struct weir_error e = { .size = sizeof(e), .error_class = is_capability ? WEIR_ERROR_UNSUPPORTED : WEIR_ERROR_UNAVAILABLE };
    if (is_capability)
        e.code = WEIR_LIT("no_capable_target");
    e.message = why.n ? arena_printf(r->arena, "No target can serve this request: %.*s.", (int)why.n, why.p)
                      : WEIR_LIT("No target can serve this request: the rules of this route left none.");
    request_fail(r, &e);
}

static bool step_serve(struct request *r)
{
    if (r->view.operation == WEIR_OP_MODELS || r->view.operation == WEIR_OP_MODEL) {
        deliver_models(r);
        return false;
    }
    r->state = REQUEST_ATTEMPT;
    if (!attempt_next(r))
        fail_without_target(r);
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
    if (r->breaks_off || !exchange_has_started(x))
        exchange_abort(x);
    else
        exchange_end(x);
}

void request_finish(struct request *r)
{
    if (r->is_ending)
        return;
    r->is_ending = true;
    request_enter(r);
    wait_cancel(&r->call);
    for (struct attempt *a = r->attempts; a; a = a->next)
        attempt_close(a);
    r->ended_us = monotonic_us();
    pipeline_notify(&r->call, HOOK_FINISH, r->n_opened);
    record_metrics(r);
    let_go(r);
    r->state = REQUEST_OVER;
    r->is_doomed = true;
    r->depth--; /* the caller still holds it */
}

/* ---- deadlines ---- */

static uint32_t smallest(uint32_t so_far, uint32_t ms)
{
    if (ms == CONFIG_UNSET || ms == 0)
        return so_far;
    return so_far == 0 || ms < so_far ? ms : so_far;
}

static uint32_t asked_timeout(const struct request *r)
{
    if (!(r->principal.flags & WEIR_PRINCIPAL_MAY_SET_TIMEOUT) || !r->head)
        return CONFIG_UNSET;
    struct weir_str v = http_find(r->head->headers, r->head->n_headers, "x-weir-timeout-ms");
    uint32_t ms = 0;
    for (size_t i = 0; i < v.n && i < 9; i++)
        ms = v.p[i] >= '0' && v.p[i] <= '9' ? ms * 10 + (uint32_t)(v.p[i] - '0') : 0;
    return ms;
}

uint32_t config_timeout(const struct request *r, const struct attempt *a, enum weir_timeout which)
{
    uint32_t ms = smallest(0, worker->config->timeouts.ms[which]);
    if (r->route)
        ms = smallest(ms, r->route->timeouts.ms[which]);
    if (r->model)
        ms = smallest(ms, r->model->timeouts.ms[which]);
    if (a && a->target) {
        ms = smallest(ms, a->provider->timeouts.ms[which]);
        ms = smallest(ms, a->target->timeouts.ms[which]);
    }
    return which == WEIR_TIMEOUT_TOTAL ? smallest(ms, asked_timeout(r)) : ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t after(int64_t from_us, uint32_t ms)
{
    return ms ? from_us + (int64_t)ms * 1000 : INT64_MAX;
}

/* When does this attempt run out of patience, and with what? */
static int64_t attempt_deadline(const struct attempt *a, const char **what)
{
    const struct request *r = a->call.request;
    if (a->state == ATTEMPT_OVER || !a->upstream)
        return INT64_MAX;
    if (r->is_answered || a->is_paused || a->call.wait)
        return INT64_MAX; /* it waits for us */
    int64_t idle = a->state >= ATTEMPT_ERROR ? after(a->last_byte_us, a->timeouts.ms[WEIR_TIMEOUT_IDLE]) : INT64_MAX;
    int64_t first = !a->first_token_us && a->is_streaming ? after(a->started_us, a->timeouts.ms[WEIR_TIMEOUT_FIRST_TOKEN]) : INT64_MAX;
    *what = first < idle ? "first_token" : "idle";
    return earlier(first, idle);
}

static int64_t keepalive_at(const struct request *r)
{
    if (r->is_answered || !r->wants_stream || r->state != REQUEST_ATTEMPT)
        return INT64_MAX;
    if (r->is_answering)
        return after(r->last_write_us, worker->config->keepalive_ms);
    return after(r->started_us, worker->config->keepalive_first_ms);
}

static int64_t total_at(const struct request *r)
{
    return r->is_answered ? INT64_MAX : after(r->started_us, config_timeout(r, r->attempts, WEIR_TIMEOUT_TOTAL));
}

static int64_t next_deadline(const struct request *r)
{
    const char *what;
    int64_t at = earlier(total_at(r), earlier(wait_deadline_us(&r->call), keepalive_at(r)));
    for (const struct attempt *a = r->attempts; a; a = a->next)
        at = earlier(at, earlier(attempt_deadline(a, &what), wait_deadline_us(&a->call)));
    return at;
}

void request_arm(struct request *r)
{
    if (r->is_ending || !r->timer)
        return;
    int64_t at = next_deadline(r);
    if (at >= r->timer_at_us)
        return; /* it fires earlier and looks again */
    r->timer_at_us = at;
    int64_t in_us = at - monotonic_us();
    struct timeval tv = { in_us > 0 ? in_us / 1000000 : 0, in_us > 0 ? in_us % 1000000 : 0 };
    event_add(r->timer, &tv);
}

static void overdue_wait(struct request *r, struct weir_call *c)
{
    const char *plugin = "";
    int64_t since;
    const char *why = wait_why(c, &plugin, &since);
    LOG_WARN("wait.overdue", "plugin", plugin, "hook", hook_name(c->hook), "request", r->id, "waits_for", why);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_TIMEOUT };
    e.message = arena_printf(r->arena, "The stage \"%s\" waited too long (%s).", plugin, why);
    request_fail(r, &e);
}

static void overdue_attempt(struct attempt *a, const char *what)
{
    struct request *r = a->call.request;
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_TIMEOUT };
    e.message = arena_printf(r->arena, "%.*s did not answer in time (%s time-out, %u ms).", (int)a->target->view.name.n, a->target->view.name.p, what,
                             a->timeouts.ms[what[0] == 'f' ? WEIR_TIMEOUT_FIRST_TOKEN : WEIR_TIMEOUT_IDLE]);
    attempt_fail(a, &e);
}

static void check_deadlines(struct request *r, int64_t now)
{
    if (total_at(r) <= now) {
        fail_now(r, WEIR_ERROR_TIMEOUT, 0, "timeout", "The request took longer than its total time-out.");
        return;
    }
    if (wait_is_overdue(&r->call, now)) {
        overdue_wait(r, &r->call);
        return;
    }
    for (struct attempt *a = r->attempts; a && !r->is_ending; a = a->next) {
        const char *what = "";
        if (wait_is_overdue(&a->call, now))
            overdue_wait(r, &a->call);
        else if (attempt_deadline(a, &what) <= now)
            overdue_attempt(a, what);
    }
    if (!r->is_ending && keepalive_at(r) <= now)
        deliver_keepalive(r);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct request *r = arg;
    r->timer_at_us = INT64_MAX;
    request_enter(r);
    check_deadlines(r, monotonic_us());
    request_arm(r);
    request_leave(r);
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

static void on_drain(void *arg, struct exchange *x)
{
    (void)arg;
    struct request *r = exchange_user(x);
    struct attempt *a = r ? r->elected : NULL;
    if (!a || !a->is_paused || a->call.wait)
        return;
    request_enter(r);
    a->is_paused = false;
    a->last_byte_us = monotonic_us();
    if (a->upstream)
        egress_resume(a->upstream);
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
    r->exchange = NULL;
    if (!r->is_answered) {
        struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_CANCELLED, .status = 499, .message = WEIR_LIT("The client left.") };
        request_fail(r, &e);
    }
    request_leave(r);
}

static size_t on_refuse(void *arg, const struct http_head *head, int status, const char *why, char *out, size_t n)
{
    (void)arg;
    bool is_anthropic = head && (http_find(head->headers, head->n_headers, "anthropic-version").p || weir_is(head->path, "/v1/messages"));
    const char *type = status == 413 ? "request_too_large" : status >= 500 ? "overloaded_error" : "invalid_request_error";
    const char *code = status == 413 ? "body_too_large" : status == 431 ? "headers_too_large" : status == 408 ? "client_timeout"
                       : status == 503 ? "overloaded" : status == 501 ? "not_implemented" : status == 505 ? "http_version" : "malformed_http";
    int len = is_anthropic ? snprintf(out, n, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"}}", type, why)
                           : snprintf(out, n, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", why, type, code);
    return len < 0 ? 0 : (size_t)len < n ? (size_t)len : n - 1;
}

const struct edge_handler *pipeline_handler(void)
{
    static const struct edge_handler handler = { on_head, on_body, on_drain, on_gone, on_refuse, NULL };
    return &handler;
}

/* ---- the worker's seams ---- */

int pipeline_start(struct worker *w, char *why, size_t n)
{
    waits_start(w->base);
    candidates_start(w);
    if (host_loop_start(w->base) < 0) {
        snprintf(why, n, "no descriptor left for the worker's own wake-up");
        return -1;
    }
    return lanes_start(w, why, n);
}

void pipeline_drain(void)
{
    worker->is_draining = true;
}

void pipeline_stop(void)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_UNAVAILABLE, .code = WEIR_LIT("draining"), .message = WEIR_LIT("weir is shutting down.") };
    while (requests) {
        struct request *r = requests;
        request_enter(r);
        request_fail(r, &e);
        request_finish(r);
        request_leave(r);
    }
    lanes_stop();
    waits_stop();
    host_loop_stop();
    scratch_free();
}
