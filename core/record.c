/* The request record: one JSON object per request, and the counters that are made from the same facts. Also what `weir status`
 * shows of a request that is underway. No bodies, no prompts, no keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host.h"
#include "json.h"
#include "recording.h"

static void put(struct weir_out *o, const char *key, struct weir_str value)
{
    if (!value.n)
        return;
    json_key(o, key);
    json_put_str(o, value);
}

static void put_int(struct weir_out *o, const char *key, int64_t value)
{
    json_key(o, key);
    json_put_int(o, value);
}

static void put_known(struct weir_out *o, const char *key, int64_t value)
{
    if (value >= 0)
        put_int(o, key, value);
}

static void put_ms(struct weir_out *o, const char *key, int64_t from_us, int64_t to_us)
{
    if (from_us && to_us >= from_us)
        put_int(o, key, (to_us - from_us) / 1000);
}

static void put_usage(struct weir_out *o, const struct weir_usage *u)
{
    if (u->input < 0 && u->output < 0)
        return;
    json_key(o, "tokens");
    json_object_begin(o);
    put_known(o, "input", u->input);
    put_known(o, "output", u->output);
    put_known(o, "cached_read", u->cached_read);
    put_known(o, "cached_write", u->cached_write);
    put_known(o, "reasoning", u->reasoning);
    if (u->flags & WEIR_USAGE_ESTIMATED) {
        json_key(o, "estimated");
        json_put_bool(o, true);
    }
    json_object_end(o);
}

static void put_request_usage(struct weir_out *o, const struct request *r)
{
    struct weir_usage told = request_usage(r);
    put_usage(o, &told);
}

enum facts_tier request_tier(const struct request *r)
{
    struct weir_str tier = r->conversation ? weir_field(&r->conversation->view, WEIR_FIELD_SERVICE_TIER) : WEIR_NONE;
    return weir_is(tier, "\"priority\"") ? FACTS_PRIORITY : weir_is(tier, "\"flex\"") ? FACTS_FLEX : FACTS_STANDARD;
}

/* USD; -1 where the price or the count is not known. */
double attempt_cost_usd(const struct attempt *a)
{
    struct weir_usage u = a->usage;
    bool has_text = a->call.request->view.operation == WEIR_OP_CHAT;
    if (!a->target)
        return -1;
    if (!has_text && u.output < 0)
        u.output = 0; /* vectors and ranks have no price of their own */
    return facts_cost(a->target->prices, a->target->n_prices, request_tier(a->call.request), &u);
}

static void put_cost(struct weir_out *o, double usd)
{
    char text[32];
    if (usd < 0)
        return;
    int n = snprintf(text, sizeof(text), "%.8f", usd);
    json_key(o, "cost_usd");
    json_put_raw(o, (struct weir_str){ text, (size_t)n });
}

static void put_error(struct weir_out *o, const struct weir_error *e)
{
    if (e->error_class == WEIR_ERROR_NONE)
        return;
    json_key(o, "error");
    json_object_begin(o);
    put(o, "class", weir_cstr(error_class_name(e->error_class)));
    put(o, "code", e->code.n ? e->code : weir_cstr(error_code(e)));
    put(o, "native", e->native);
    json_object_end(o);
}

static void put_finish(struct weir_out *o, const struct attempt *a)
{
    static const char *const words[] = { "",           "stop",           "stop_sequence", "length", "tool_calls",
                                         "content_filter", "refusal", "pause",         "context_window", "other" };
    put(o, "finish", weir_cstr(a->finish < sizeof(words) / sizeof(*words) ? words[a->finish] : "other"));
}

static void put_attempt(struct weir_out *o, const struct attempt *a)
{
    json_object_begin(o);
    put(o, "target", a->target->view.name);
    put(o, "reason", a->reason);
    if (a->status)
        put_int(o, "status", a->status);
    put_ms(o, "first_token_ms", a->started_us, a->first_token_us);
    put_ms(o, "ms", a->started_us, a->ended_us);
    put(o, "model", a->served_model);
    put_finish(o, a);
    if (a->timing.was_retried) {
        json_key(o, "reconnected");
        json_put_bool(o, true);
    }
    if (a->was_outrun) {
        json_key(o, "outrun");
        json_put_bool(o, true);
    }
    put_usage(o, &a->usage);
    put_cost(o, attempt_cost_usd(a));
    put_error(o, &a->error);
    if (a != a->call.request->elected)
        losses_write(a, o);
    json_object_end(o);
}

/* What all attempts cost together, as far as it is known; -1: of none. */
static double whole_cost(const struct request *r)
{
    double whole = -1;
    for (const struct attempt *a = r->attempts; a; a = a->next) {
        double usd = a->fan ? -1 : attempt_cost_usd(a); /* its calls' is counted */
        whole = usd < 0 ? whole : usd + (whole < 0 ? 0 : whole);
    }
    return whole;
}

/* Kept newest first, told oldest first. */
static void put_attempts(struct weir_out *o, const struct attempt *a)
{
    if (!a)
        return;
    put_attempts(o, a->next);
    if (a->target && !a->fan)
        put_attempt(o, a);
}

void record_put_attempts(const struct request *r, struct weir_out *o)
{
    if (!r->n_attempts)
        return;
    json_key(o, "attempts");
    json_array_begin(o);
    put_attempts(o, r->attempts);
    json_array_end(o);
}

static void put_tags(struct weir_out *o, const struct request *r)
{
    const struct weir_principal *p = &r->principal;
    if (!p->n_tags)
        return;
    json_key(o, "tags");
    json_object_begin(o);
    for (uint32_t i = 0; i < p->n_tags; i++) {
        json_key_str(o, p->tags[2 * i]);
        json_put_str(o, p->tags[2 * i + 1]);
    }
    json_object_end(o);
}

static void put_whose(struct weir_out *o, const struct request *r)
{
    put(o, "principal", r->principal.name);
    put(o, "team", r->principal.team);
    put_tags(o, r);
}

void record_put_decisions(const struct request *r, struct weir_out *o)
{
    if (!r->notes)
        return;
    json_key(o, "decisions");
    json_array_begin(o);
    for (const struct note *n = r->notes; n; n = n->next) {
        json_object_begin(o);
        put(o, "stage", weir_cstr(n->stage));
        json_key_str(o, weir_cstr(n->key));
        json_put_str(o, n->value);
        json_object_end(o);
    }
    json_array_end(o);
}

static void put_stage_us(struct weir_out *o, const struct request *r)
{
    if (!r->stage_us || !r->lane->n)
        return;
    json_key(o, "stage_us");
    json_object_begin(o);
    for (uint32_t i = 0; i < r->lane->n; i++) {
        bool is_named = false; /* a stage used twice is told once, with its sum */
        uint32_t us = 0;
        for (uint32_t k = 0; k < r->lane->n; k++)
            if (r->lane->stages[k]->plugin == r->lane->stages[i]->plugin) {
                is_named |= k < i;
                us += r->stage_us[k];
            }
        if (!is_named)
            put_int(o, r->lane->stages[i]->plugin->desc.name, us);
    }
    json_object_end(o);
}

static void put_time(struct weir_out *o, int64_t ms)
{
    char text[40];
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    gmtime_r(&s, &tm);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
    put(o, "time", (struct weir_str){ text, n });
}

const char *operation_name(uint32_t operation)
{
    static const char *const names[] = { "none", "chat", "models", "model", "count", "embed", "rerank", "raw" };
    return operation < sizeof(names) / sizeof(*names) ? names[operation] : names[0];
}

static void put_asked(struct weir_out *o, const struct request *r)
{
    struct weir_str model = r->conversation ? weir_field(&r->conversation->view, WEIR_FIELD_MODEL) : WEIR_NONE;
    struct weir_str user = r->conversation ? weir_field(&r->conversation->view, WEIR_FIELD_USER) : WEIR_NONE;
    if (model.n) {
        json_key(o, "model");
        json_put_raw(o, model);
    }
    if (user.n) {
        json_key(o, "user");
        json_put_raw(o, user);
    }
    if (r->elected && r->elected->target)
        put(o, "target", r->elected->target->view.name);
    if (r->wants_stream) {
        json_key(o, "stream");
        json_put_bool(o, true);
    }
}

/* Who said how the answer ended: the attempt itself, the first of its calls, or who finished it. */
static const struct attempt *who_ended(const struct request *r)
{
    const struct attempt *a = r->attempts;
    if (r->finisher)
        return r->finisher;
    while (r->elected->fan && a && (a->fans != r->elected || a->choice))
        a = a->next;
    return r->elected->fan && a ? a : r->elected;
}

void record_write_side(const struct request *r, struct weir_out *o)
{
    const struct attempt *a = r->elected;
    json_object_begin(o);
    put_whose(o, r);
    if (a && a->target)
        put(o, "target", a->target->view.name);
    put_int(o, "status", r->status ? r->status : r->error.status);
    put_error(o, &r->error);
    if (a) {
        put_ms(o, "first_token_ms", a->started_us, a->first_token_us);
        put_ms(o, "ms", a->started_us, a->ended_us);
        put_finish(o, who_ended(r));
    }
    put_ms(o, "total_ms", r->started_us, r->ended_us);
    put_int(o, "attempts", r->n_attempts);
    if (a)
        put_request_usage(o, r);
    put_cost(o, whole_cost(r));
    json_object_end(o);
}

void record_write(struct request *r, struct weir_out *o)
{
    int64_t now = r->ended_us ? r->ended_us : monotonic_us();
    json_object_begin(o);
    put(o, "id", r->view.id);
    put_time(o, r->view.started_ms);
    if (r->mirror) { /* nobody is to be charged by mistake: whose request it was stands there */
        json_key(o, "mirror");
        json_put_raw(o, r->mirror->beside.n ? r->mirror->beside : WEIR_LIT("{}"));
    } else {
        put_whose(o, r);
    }
    put(o, "route", r->view.route);
    put(o, "dialect", r->view.dialect);
    put(o, "method", r->view.method);
    put(o, "path", r->view.path);
    if (r->view.operation)
        put(o, "operation", weir_cstr(operation_name(r->view.operation)));
    put_asked(o, r);
    put_int(o, "status", r->status ? r->status : r->error.status);
    put_error(o, &r->error);
    put_int(o, "bytes_in", (int64_t)r->view.body_n);
    put_int(o, "bytes_out", (int64_t)r->bytes_out);
    put_ms(o, "first_byte_ms", r->started_us, r->first_byte_us);
    put_ms(o, "total_ms", r->started_us, now);
    if (r->elected)
        put_request_usage(o, r);
    put_cost(o, whole_cost(r));
    record_put_attempts(r, o);
    if (r->elected)
        losses_write(r->elected, o);
    put_stage_us(o, r);
    record_put_decisions(r, o);
    explanation_write(r, o);
    json_object_end(o);
}

/* ---- counters ---- */

enum { CELLS = 256, CELL_TARGET = 96 };

/* The metric ids of one {route, operation, target, status class}, found by hash and kept: names are made once. */
struct cell {
    uint32_t route;
    uint32_t status_class, operation;
    char target[CELL_TARGET];
    int requests, latency, first_token;
    bool is_used;
};
static struct cell cells[CELLS];

static uint64_t hash_cell(uint32_t route, uint32_t status_class, uint32_t operation, struct weir_str target)
{
    uint64_t h = 1469598103934665603u ^ route ^ ((uint64_t)status_class << 32) ^ ((uint64_t)operation << 40);
    for (size_t i = 0; i < target.n; i++)
        h = (h ^ (unsigned char)target.p[i]) * 1099511628211u;
    return h;
}

static void escape_label(char *to, size_t n, struct weir_str s)
{
    size_t k = 0;
    for (size_t i = 0; i < s.n && k + 3 < n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            to[k++] = '\\';
        to[k++] = s.p[i] == '\n' ? ' ' : s.p[i];
    }
    to[k] = 0;
}

static void declare_cell(struct cell *c, const struct request *r, struct weir_str target)
{
    char route[128], name[128], labels[352];
    escape_label(route, sizeof(route), r->view.route);
    escape_label(name, sizeof(name), target);
    snprintf(labels, sizeof(labels), "route=\"%s\",operation=\"%s\",target=\"%s\",status=\"%uxx\"", route,
             operation_name(c->operation), name, c->status_class);
    c->requests =
        metric_declare("requests_total", labels, "Requests by route, operation, target and status class", METRIC_COUNTER);
    snprintf(labels, sizeof(labels), "route=\"%s\",operation=\"%s\",target=\"%s\"", route, operation_name(c->operation),
             name);
    c->latency = metric_declare("request_seconds", labels, "Time from the head of a request to the end of its answer",
                                METRIC_HISTOGRAM);
    c->first_token =
        metric_declare("first_token_seconds", labels, "Time to the first content from the provider", METRIC_HISTOGRAM);
}

static struct cell *cell_of(const struct request *r, struct weir_str target, uint32_t status_class)
{
    uint32_t route = r->route ? r->route->index + 1 : 0;
    uint64_t h = hash_cell(route, status_class, r->view.operation, target);
    if (target.n >= CELL_TARGET)
        target = WEIR_LIT("other");
    for (uint32_t i = 0; i < CELLS; i++) {
        struct cell *c = &cells[(h + i) % CELLS];
        if (c->is_used && c->route == route && c->status_class == status_class &&
            c->operation == r->view.operation && weir_is(target, c->target))
            return c;
        if (c->is_used)
            continue;
        c->is_used = true;
        c->route = route;
        c->status_class = status_class;
        c->operation = r->view.operation;
        memcpy(c->target, target.p ? target.p : "", target.n);
        c->target[target.n] = 0;
        declare_cell(c, r, target);
        return c;
    }
    return NULL; /* full: what is new goes uncounted; the record has it */
}

static void count_request(struct request *r)
{
    const struct attempt *a = r->elected ? r->elected : r->attempts;
    struct weir_str target = a && a->target ? a->target->view.name : WEIR_NONE;
    int status = r->status ? r->status : r->error.status;
    struct cell *c = cell_of(r, target, status >= 100 ? (uint32_t)status / 100 : 0);
    if (!c)
        return;
    metric_add(c->requests, 1);
    metric_observe_us(c->latency, (uint64_t)(r->ended_us - r->started_us));
    if (a && a->first_token_us)
        metric_observe_us(c->first_token, (uint64_t)(a->first_token_us - a->started_us));
}

void record_complete(struct request *r)
{
    recording_finish(r);
    if (r->mirror)
        return; /* no client asked for it */
    if (worker->watcher)
        worker->watcher->on_finish(worker->watcher->arg, r);
    count_request(r);
}

/* ---- what is underway ---- */

static const char *state_name(const struct request *r)
{
    static const char *const names[] = { "on_open", "route",      "on_open", "body",     "decode", "route",
                                         "on_open", "on_request", "target",  "upstream", "over" };
    static const char *const attempts[] = { "on_attempt", "first byte", "error body", "first token",
                                            "on_head",    "streaming",  "over" };
    if (r->state == REQUEST_DECODE)
        return "body";
    if (r->state == REQUEST_ATTEMPT && r->attempts)
        return attempts[r->attempts->state];
    return names[r->state];
}

static void put_wait(struct weir_out *o, const struct weir_call *c)
{
    const char *plugin;
    int64_t since_us;
    const char *why = wait_why(c, &plugin, &since_us);
    if (!why)
        return;
    json_key(o, "waits_for");
    json_object_begin(o);
    put(o, "stage", weir_cstr(plugin));
    put(o, "hook", weir_cstr(hook_name(c->hook)));
    put(o, "what", weir_cstr(why));
    put_ms(o, "ms", since_us, monotonic_us());
    json_object_end(o);
}

static void put_live(struct weir_out *o, const struct request *r)
{
    json_object_begin(o);
    put(o, "id", r->view.id);
    if (r->mirror) {
        json_key(o, "mirror");
        json_put_bool(o, true);
    }
    put(o, "principal", r->principal.name);
    put(o, "route", r->view.route);
    put(o, "path", r->view.path);
    put(o, "state", weir_cstr(state_name(r)));
    put_ms(o, "ms", r->started_us, monotonic_us());
    if (r->attempts && r->attempts->target)
        put(o, "target", r->attempts->target->view.name);
    put_int(o, "bytes_out", (int64_t)r->bytes_out);
    put_wait(o, r->attempts && r->attempts->call.wait ? &r->attempts->call : &r->call);
    json_object_end(o);
}

char *pipeline_status_json(void)
{
    struct weir_out o = { 0 };
    json_array_begin(&o);
    for (const struct request *r = request_first(); r; r = r->next)
        put_live(&o, r);
    json_array_end(&o);
    struct weir_str s = out_bytes(&o);
    char *text = o.failed ? NULL : strndup(s.p, s.n);
    out_free(&o);
    return text;
}
