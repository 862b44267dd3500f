/* Towards the client: heads, bytes as they came, events in the client's dialect, errors, the end.
 *
 * One read of the upstream makes one write to the client: relayed bytes that lie side by side and encoded events are gathered
 * and given to the edge by deliver_flush(), before control goes back to the event loop. What is gathered belongs to this file.
 */
#include <stdio.h>

#include "log.h"
#include "pipeline.h"

enum { HEADERS_MAX = 64 };

static struct weir_str run; /* relayed bytes, side by side */
static struct weir_out encoded; /* or events, encoded */

/* ---- gathering ---- */

static void wrote(struct request *r, size_t n)
{
    struct attempt *a = request_source(r);
    r->bytes_out += n;
    r->last_write_us = monotonic_us();
    if (!r->first_byte_us)
        r->first_byte_us = r->last_write_us;
    bool is_full = a && exchange_unsent(r->exchange) > worker->config->limits.high_water;
    if (is_full && a->fan) {
        fanout_pause(a);
    } else if (is_full && a->upstream && !a->is_paused) {
        a->is_paused = true;
        egress_pause(a->upstream);
    }
}

void deliver_flush(struct request *r)
{
    struct weir_str bytes = run.n ? run : out_bytes(&encoded);
    if (bytes.n && r->exchange && !r->is_ending) {
        exchange_write(r->exchange, &bytes, 1);
        wrote(r, bytes.n);
    }
    run = WEIR_NONE;
    out_reset(&encoded, 64 * 1024);
}

void deliver_bytes(struct request *r, struct weir_str bytes)
{
    if (!bytes.n)
        return;
    if (run.n && run.p + run.n == bytes.p) {
        run.n += bytes.n;
        return;
    }
    if (run.n || encoded.n)
        deliver_flush(r);
    run = bytes;
}

/* ---- heads ---- */

struct heads {
    struct http_header list[HEADERS_MAX];
    uint32_t n;
};

static void add(struct heads *h, const char *name, struct weir_str value)
{
    if (h->n < HEADERS_MAX && http_is_value(value))
        h->list[h->n++] = (struct http_header){ weir_cstr(name), value };
}

/* What a stage sets takes the place of what is there. */
static void set(struct heads *h, const struct header_item *item)
{
    for (uint32_t i = 0; i < h->n; i++)
        if (weir_eq(h->list[i].name, item->name)) {
            h->list[i].value = item->value;
            return;
        }
    if (h->n < HEADERS_MAX)
        h->list[h->n++] = (struct http_header){ item->name, item->value };
}

static bool matches_any(const char *const *patterns, struct weir_str name)
{
    for (; patterns && *patterns; patterns++)
        if (config_matches(*patterns, name))
            return true;
    return false;
}

static bool is_rate_limit(struct weir_str name)
{
    return memmem(name.p, name.n, "ratelimit", 9) != NULL;
}

/* Which of the provider's headers the client may see (contracts, section 3). */
static bool passes_down(const struct attempt *a, struct weir_str name)
{
    if (weir_is(name, "x-request-id") || weir_is(name, "request-id") || weir_is(name, "retry-after") ||
        weir_is(name, "retry-after-ms"))
        return true;
    if (is_rate_limit(name))
        return a->provider->shows_rate_limits;
    return a->is_same_dialect && matches_any(a->codec->plugin->codec.response_headers, name);
}

static void add_upstream(struct heads *h, const struct attempt *a)
{
    for (uint32_t i = 0; i < a->n_response_headers; i++) {
        const struct http_header *x = &a->response_headers[i];
        if (h->n < HEADERS_MAX && passes_down(a, x->name) && http_is_value(x->value))
            h->list[h->n++] = *x;
    }
}

static void add_explanation(struct heads *h, struct request *r)
{
    struct weir_str explanation = explanation_header(r);
    if (explanation.n)
        add(h, "x-weir-explain", explanation);
}

static void add_common(struct heads *h, struct request *r, const char *type)
{
    add(h, "content-type", weir_cstr(type));
    add(h, "x-weir-request-id", r->view.id);
    if (r->n_attempts)
        add(h, "x-weir-attempts", arena_printf(r->arena, "%u", r->n_attempts));
    add_explanation(h, r);
}

static void add_stages(struct heads *h, const struct request *r)
{
    for (const struct header_item *i = r->headers; i; i = i->next)
        set(h, i);
}

static void add_target(struct heads *h, const struct attempt *a)
{
    if (!a || !a->target)
        return;
    add(h, "x-weir-target", a->target->view.name);
    struct weir_str losses = losses_header(a);
    if (losses.n)
        add(h, "x-weir-loss", losses);
    add_upstream(h, a);
}

static const char *stream_type(const struct request *r)
{
    const char *type = r->other_stream_type ? r->other_stream_type : r->codec->plugin->codec.stream_type;
    return type ? type : "text/event-stream";
}

static void begin(struct request *r, const struct heads *h, int status, int64_t length)
{
    exchange_start(r->exchange, status, h->list, h->n, length);
    r->is_answering = true;
    r->status = status;
    r->last_write_us = monotonic_us();
}

int deliver_begin(struct attempt *a)
{
    struct request *r = a->call.request;
    struct heads h = { .n = 0 };
    if (!r->exchange)
        return -1;
    if (r->is_answering)
        return 0; /* opened early to keep the client waiting */
    add_common(&h, r, stream_type(r));
    add(&h, "cache-control", WEIR_LIT("no-cache"));
    add_target(&h, a);
    add_stages(&h, r);
    begin(r, &h, 200, -1);
    return 0;
}

/* ---- what is relayed as it is ---- */

/* What a client needs to know of bytes that weir doesn't read. */
static bool describes_body(struct weir_str name)
{
    static const char *const names[] = { "content-type",  "content-disposition", "content-language", "content-range",
                                         "accept-ranges", "content-encoding",    "etag",             "last-modified",
                                         "cache-control", NULL };
    for (int i = 0; names[i]; i++)
        if (weir_is(name, names[i]))
            return true;
    return false;
}

static int64_t length_of(const struct attempt *a)
{
    struct weir_str v = http_find(a->response_headers, a->n_response_headers, "content-length");
    int64_t n = 0;
    for (size_t i = 0; i < v.n && i < 18; i++) /* the egress has seen to it that these are digits */
        n = n * 10 + (v.p[i] - '0');
    return v.n ? n : -1;
}

int deliver_raw_head(struct attempt *a, bool grows)
{
    struct request *r = a->call.request;
    struct heads h = { .n = 0 };
    if (!r->exchange)
        return -1;
    add(&h, "x-weir-request-id", r->view.id);
    add(&h, "x-weir-attempts", WEIR_LIT("1"));
    add(&h, "x-weir-target", a->target->view.name);
    add_explanation(&h, r);
    for (uint32_t i = 0; i < a->n_response_headers; i++) {
        const struct http_header *x = &a->response_headers[i];
        if (h.n < HEADERS_MAX && (describes_body(x->name) || passes_down(a, x->name)) && http_is_value(x->value))
            h.list[h.n++] = *x;
    }
    add_stages(&h, r);
    begin(r, &h, a->status, grows ? -1 : length_of(a));
    return 0;
}

/* ---- events ---- */

static int encode(struct request *r, struct weir_event *e)
{
    const struct weir_codec *codec = &r->codec->plugin->codec;
    if (!codec->encode_event)
        return -1;
    struct visit v = visit_enter(&r->call, r->codec, CRUMB_ENCODE_EVENT, true);
    int rc = codec->encode_event(r->codec->self, &r->call, r->codec_state, e, &encoded);
    visit_leave(&v);
    return rc;
}

void deliver_event(struct attempt *a, struct weir_event *e)
{
    struct request *r = a->call.request;
    bool is_silent = e->flags & WEIR_EVENT_SILENT;
    if (!is_silent && run.n)
        deliver_flush(r);
    if (encode(r, e) == 0 && !encoded.failed)
        return;
    struct weir_error error = {
        .size = sizeof(error),
        .error_class = WEIR_ERROR_INTERNAL,
        .code = WEIR_LIT("plugin_fault"),
        .message = WEIR_LIT("The answer could not be written in your dialect; the gateway's log names the codec.")
    };
    LOG_ERROR("codec.encode", "plugin", r->codec->plugin->desc.name, "request", r->id, "what", "encode_event failed");
    request_fail(r, &error);
}

void deliver_keepalive(struct request *r)
{
    struct weir_event ping = { .size = sizeof(ping), .kind = WEIR_EVENT_PING };
    struct heads h = { .n = 0 };
    if (!r->exchange)
        return;
    if (!r->is_answering) { /* keepalive_before_first_token */
        add_common(&h, r, stream_type(r));
        add_stages(&h, r);
        begin(r, &h, 200, -1);
    }
    if (encode(r, &ping) == 0)
        deliver_flush(r);
    r->last_write_us = monotonic_us();
}

/* ---- whole answers ---- */

static void send_document(struct request *r, const struct heads *h, int status, struct weir_str body)
{
    if (!r->exchange || r->is_answering)
        return;
    begin(r, h, status, (int64_t)body.n);
    exchange_write(r->exchange, &body, 1);
    wrote(r, body.n);
}

static bool encode_whole(struct attempt *a, struct weir_out *out)
{
    struct request *r = a->call.request;
    const struct weir_codec *codec = &r->codec->plugin->codec;
    if (!a->collector || !codec->encode_answer || !out)
        return false;
    const struct weir_answer *answer = collector_answer(a->collector);
    struct visit v = visit_enter(&r->call, r->codec, CRUMB_ENCODE_ANSWER, true);
    int rc = codec->encode_answer(r->codec->self, &r->call, r->codec_state, answer, out);
    visit_leave(&v);
    losses_of_document(a);
    return rc == 0 && !out->failed;
}

void deliver_whole(struct attempt *a, struct weir_str relayed)
{
    struct request *r = a->call.request;
    struct heads h = { .n = 0 };
    struct scratch s = scratch_enter();
    struct weir_out *out = relayed.p ? NULL : scratch_out();
    if (!relayed.p && !encode_whole(a, out)) {
        struct weir_error e = {
            .size = sizeof(e),
            .error_class = WEIR_ERROR_INTERNAL,
            .code = WEIR_LIT("plugin_fault"),
            .message =
                WEIR_LIT("The answer could not be written in your dialect; the gateway's log names the codec.")
        };
        LOG_ERROR("codec.encode", "plugin", r->codec->plugin->desc.name, "request", r->id, "what",
                  "encode_answer failed");
        scratch_leave(s);
        request_fail(r, r->call.error.error_class ? &r->call.error : &e);
        return;
    }
    add_common(&h, r, "application/json");
    add_target(&h, a);
    add_stages(&h, r);
    send_document(r, &h, 200, relayed.p ? relayed : out_bytes(out));
    scratch_leave(s);
}

void deliver_end(struct request *r)
{
    deliver_flush(r);
    r->is_answered = true;
    request_finish(r);
}

/* ---- errors ---- */

/* In the same dialect the provider's own error document is the better one; not where it is about weir's key. */
static bool can_relay_error(const struct attempt *a, const struct weir_error *error)
{
    if (!a || a->status < 400 || !a->is_same_dialect || !(error->flags & WEIR_ERROR_FROM_UPSTREAM))
        return false;
    struct weir_str type = http_find(a->response_headers, a->n_response_headers, "content-type");
    return a->error_body.n && a->status != 401 && a->status != 403 && memmem(type.p, type.n, "json", 4) != NULL;
}

static void fallback_error(struct weir_out *out, const struct weir_error *error)
{
    json_object_begin(out);
    json_key(out, "error");
    json_object_begin(out);
    json_key(out, "message");
    json_put_str(out, error->message);
    json_key(out, "code");
    json_put_str(out, error->code);
    json_object_end(out);
    json_object_end(out);
}

void deliver_error_text(struct request *r, const struct weir_error *error, struct weir_out *out)
{
    const struct weir_codec *codec = r->codec ? &r->codec->plugin->codec : NULL;
    int rc = -1;
    if (codec && codec->encode_error) {
        struct visit v = visit_enter(&r->call, r->codec, CRUMB_ENCODE_ERROR, true);
        rc = codec->encode_error(r->codec->self, &r->call, r->codec_state, error, out);
        visit_leave(&v);
    }
    if (rc == 0 && !out->failed)
        return;
    out_reset(out, 0);
    fallback_error(out, error);
}

enum { RETRY_AFTER_MAX_MS = 60000 };

static void add_error_heads(struct heads *h, struct request *r, const struct weir_error *error)
{
    bool is_own = !(error->flags & WEIR_ERROR_FROM_UPSTREAM);
    if (is_own)
        add(h, "x-weir-error", error->code);
    if (r->is_exhausted)
        add(h, "x-should-retry", WEIR_LIT("false"));
    uint32_t ms = error->retry_after_ms;
    if (is_own && ms > RETRY_AFTER_MAX_MS)
        ms = RETRY_AFTER_MAX_MS;
    if (ms)
        add(h, "retry-after", arena_printf(r->arena, "%u", (ms + 999) / 1000));
}

static void error_document(struct request *r, const struct weir_error *error)
{
    struct heads h = { .n = 0 };
    struct attempt *a = r->attempts && r->attempts->target ? r->attempts : NULL;
    struct scratch s = scratch_enter();
    struct weir_out *out = scratch_out();
    add_common(&h, r, "application/json");
    if (a)
        add(&h, "x-weir-target", a->target->view.name);
    if (can_relay_error(a, error)) {
        add_upstream(&h, a);
        add_stages(&h, r);
        send_document(r, &h, a->status, out_bytes(&a->error_body));
    } else if (out) {
        add_error_heads(&h, r, error);
        deliver_error_text(r, error, out); /* may set headers, too */
        add_stages(&h, r);
        send_document(r, &h, error->status, out_bytes(out));
    }
    scratch_leave(s);
}

/* A stream that has begun ends with an error event and without its last chunk: never as if it were complete. */
static void error_event(struct request *r, const struct weir_error *error)
{
    struct weir_event e = { .size = sizeof(e), .kind = WEIR_EVENT_ERROR, .error = error };
    r->breaks_off = true;
    if (!r->wants_stream)
        return;
    if (r->error_was_relayed)
        return;
    if (r->elected && r->elected->can_relay)
        e.flags |= WEIR_EVENT_BEHIND_BYTES;
    if (r->elected && r->elected->can_relay && r->elected->framer.framing == WEIR_FRAMING_SSE)
        deliver_bytes(r, WEIR_LIT("\n\n")); /* relayed bytes may have stopped in the middle of a line */
    deliver_flush(r);
    if (encode(r, &e) == 0)
        deliver_flush(r);
}

void deliver_error(struct request *r, const struct weir_error *error)
{
    deliver_flush(r);
    if (r->is_answering)
        error_event(r, error);
    else
        error_document(r, error);
    r->is_answered = true;
}

/* ---- models ---- */

static struct weir_model *visible_models(struct request *r, uint32_t *n)
{
    uint32_t all, kept = 0;
    struct weir_model *list = models_list(r, &all), *to = arena_alloc(r->arena, (all + 1) * sizeof(*to));
    for (uint32_t i = 0; to && i < all; i++)
        if (!(list[i].flags & WEIR_MODEL_HIDDEN))
            to[kept++] = list[i];
    *n = kept;
    return to;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* A piece of a path, without its %XX: names of models have slashes. */
static struct weir_str unescaped(struct arena *a, struct weir_str s)
{
    char *to = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        bool is_escape = s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0;
        to[n++] = is_escape ? (char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2])) : s.p[i];
        i += is_escape ? 2 : 0;
    }
    return (struct weir_str){ to, to ? n : 0 };
}

static const struct weir_model *find_model(struct request *r, const struct weir_model *list, uint32_t n,
                                           struct weir_str id)
{
    for (uint32_t i = 0; i < n; i++)
        if (weir_eq(list[i].id, id))
            return &list[i];
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_NOT_FOUND, .param = WEIR_LIT("model") };
    e.message =
        arena_printf(r->arena, "The model \"%.*s\" is not among those this key may use; GET /v1/models lists them.",
                     (int)(id.n > 200 ? 200 : id.n), id.p);
    request_fail(r, &e);
    return NULL;
}

void deliver_models(struct request *r)
{
    const struct weir_codec *codec = &r->codec->plugin->codec;
    struct weir_model_list list = { .single = r->view.operation == WEIR_OP_MODEL };
    list.models = visible_models(r, &list.n);
    if (list.single) {
        list.models = find_model(r, list.models, list.n, unescaped(r->arena, r->view.star));
        list.n = 1;
        if (!list.models)
            return;
    }
    struct heads h = { .n = 0 };
    struct scratch s = scratch_enter();
    struct weir_out *out = scratch_out();
    struct visit v = visit_enter(&r->call, r->codec, CRUMB_ENCODE_MODELS, true);
    if (out && codec->encode_models)
        codec->encode_models(r->codec->self, &r->call, &list, out);
    visit_leave(&v);
    add_common(&h, r, "application/json");
    add_stages(&h, r);
    send_document(r, &h, 200, out ? out_bytes(out) : WEIR_LIT("{}"));
    scratch_leave(s);
    deliver_end(r);
}
