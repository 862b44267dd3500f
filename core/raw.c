/* Calls that are relayed as they are: a route with `raw:` hands method, path, query, headers and body to a provider, and what it
 * answers to the client. Nobody reads them as a conversation: stages see the request, the target and the outcome.
 *
 * Bodies pass in windows: the client's goes from the exchange into the upload when the provider takes it, the provider's is held
 * back while the client doesn't take it. Only what a signature needs is read whole, up to the body limit, and JSON where several
 * providers stand behind the route: then ids carry their provider's name (ids.h), which is put behind those of an answer while it
 * passes and taken out of those of a request, which they send to that provider. A call is tried once,
 * since its body is gone then. What passes is read for its usage, frame by frame, if the codec says that it can read such calls
 * (WEIR_OP_RAW among its operations); a document or event of more than 64 KiB, or one that makes no sense, ends the reading.
 */
#include <stdlib.h>

#include "host.h"
#include "ids.h"
#include "pipeline.h"

enum { METERED_MAX = 64 * 1024 };

/* What a request that names ids has become, and the names that go into its answer. */
struct raw_call {
    struct id_scan scan;
    struct weir_str path, query, body; /* without the providers' names */
    const struct config_provider *other; /* a second one whose ids it names */
    bool has_body, names_ids;
};

/* ---- ids ---- */

/* Who alone can be meant needs no name. */
static bool may_name_ids(const struct request *r)
{
    return r->route->n_raw > 1 && r->route->raw[0]->codec->codec.ids;
}

static bool is_type(struct weir_str type, const char *word)
{
    return type.n && memmem(type.p, type.n, word, strlen(word)) != NULL;
}

static bool has_json_body(const struct request *r)
{
    return is_type(http_find(r->head->headers, r->head->n_headers, "content-type"), "json");
}

static void pin(struct request *r, const struct config_provider *p)
{
    if (r->pinned && r->pinned != p)
        r->raw->other = p;
    r->pinned = p;
}

static struct weir_str bare_id(struct request *r, struct weir_str id)
{
    size_t n = id.n;
    const struct config_provider *p = id_owner(id, r->route->raw, r->route->n_raw, &n);
    if (p)
        pin(r, p);
    return (struct weir_str){ id.p, n };
}

/* Each piece between the marks may be an id: "/v1/files/file-1~a/content", "after=file-1~a&limit=2". */
static struct weir_str without_names(struct request *r, struct weir_str s, const char *marks)
{
    char *to = arena_alloc(r->arena, s.n + 1);
    size_t n = 0;
    for (size_t at = 0; to && at < s.n;) {
        size_t end = at;
        while (end < s.n && !strchr(marks, s.p[end]))
            end++;
        struct weir_str bare = bare_id(r, (struct weir_str){ s.p + at, end - at });
        memcpy(to + n, bare.p, bare.n);
        n += bare.n;
        if (end < s.n)
            to[n++] = s.p[end++];
        at = end;
    }
    return (struct weir_str){ to, n };
}

static void take_name(struct id_scan *s, struct weir_out *out, size_t start)
{
    struct weir_str id = { out->p + start, out->n - start };
    out->n = start + bare_id(s->arg, id).n;
}

static void add_name(struct id_scan *s, struct weir_out *out, size_t start)
{
    const struct attempt *a = s->arg;
    static const char mark = IDS_MARK;
    (void)start;
    out_write(out, (struct weir_str){ &mark, 1 });
    out_write(out, weir_cstr(a->provider->name));
}

static int fail_mixed(struct request *r)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST };
    e.message = arena_printf(r->arena, "The request names ids of two providers, %s and %s; only one can be asked.",
                             r->raw->other->name, r->pinned->name);
    r->call.error = e;
    return -1;
}

/* Takes the names out of all that is known of the request before it is sent. */
static int read_ids(struct request *r)
{
    struct raw_call *raw = r->raw = arena_zalloc(r->arena, sizeof(*raw));
    if (!raw)
        return -1;
    raw->path = without_names(r, r->view.path, "/:");
    raw->query = without_names(r, r->view.query, "&=,");
    raw->has_body = has_json_body(r);
    if (raw->has_body) {
        struct scratch s = scratch_enter();
        struct weir_out *out = scratch_out();
        raw->scan = (struct id_scan){ .members = r->route->raw[0]->codec->codec.ids, .on_id = take_name, .arg = r };
        if (out)
            id_scan_feed(&raw->scan, exchange_body(r->exchange), out);
        raw->body = out ? arena_copy(r->arena, out_bytes(out)) : WEIR_NONE;
        scratch_leave(s);
    }
    return raw->other ? fail_mixed(r) : 0;
}

struct weir_str raw_path(const struct request *r)
{
    return r->raw ? r->raw->path : r->view.path;
}

struct weir_str raw_query(const struct request *r)
{
    return r->raw ? r->raw->query : r->view.query;
}

/* ---- where to ---- */

int raw_candidates(struct request *r)
{
    if (may_name_ids(r) && read_ids(r) < 0)
        return -1;
    r->candidates = arena_zalloc(r->arena, (r->route->n_raw + 1) * sizeof(*r->candidates));
    for (uint32_t i = 0; r->candidates && i < r->route->n_raw; i++) {
        struct weir_candidate *c = candidate_of_provider(r, r->route->raw[i]);
        if (!c)
            return -1;
        r->candidates[r->n_candidates++] = c;
    }
    r->has_candidates = true;
    return r->candidates ? 0 : -1;
}

/* What is read whole can use a kept connection, since it can be sent again if that turns out to be dead; the handshake of one of its
 * own costs more than a small body. */
enum { SMALL_BODY = 64 * 1024 };

bool raw_reads_body(const struct request *r)
{
    if (r->head->content_length > 0 && r->head->content_length <= SMALL_BODY)
        return true;
    if (may_name_ids(r) && has_json_body(r))
        return true;
    for (uint32_t i = 0; i < r->route->n_raw; i++) {
        const struct config_provider *p = r->route->raw[i];
        if (p->codec->codec.sign && (p->auth == CONFIG_AUTH_DIALECT || p->auth == CONFIG_AUTH_SIGN))
            return true;
    }
    return false;
}

/* ---- the request ---- */

static int64_t read_upload(void *arg, char *to, size_t n)
{
    const struct attempt *a = arg;
    struct exchange *x = a->call.request->exchange;
    struct weir_str have = x ? exchange_body(x) : WEIR_NONE;
    if (!x)
        return EGRESS_UPLOAD_BROKEN;
    if (!have.n)
        return exchange_body_is_over(x) ? EGRESS_UPLOAD_OVER : 0;
    n = n < have.n ? n : have.n;
    memcpy(to, have.p, n);
    exchange_take(x, n);
    return (int64_t)n;
}

static bool has_body(const struct request *r)
{
    return r->head->is_chunked || r->head->content_length > 0;
}

static int set_body(struct attempt *a)
{
    struct request *r = a->call.request;
    struct egress_upload *upload;
    if (!has_body(r))
        return 0;
    if (raw_reads_body(r)) {
        a->body = arena_alloc(a->arena, sizeof(*a->body));
        if (!a->body)
            return -1;
        *a->body = r->raw && r->raw->has_body ? r->raw->body : exchange_body(r->exchange);
        a->n_body = 1;
        r->view.body_n = exchange_body(r->exchange).n;
        return 0;
    }
    upload = arena_alloc(a->arena, sizeof(*upload));
    if (!upload)
        return -1;
    *upload = (struct egress_upload){ r->head->is_chunked ? -1 : r->head->content_length, read_upload };
    a->upload = upload;
    return 0;
}

int raw_send(struct attempt *a)
{
    struct request *r = a->call.request;
    if (set_body(a) < 0 || upstream_build_raw(a) < 0 || upstream_send(a) < 0) {
        if (a->call.error.error_class == WEIR_ERROR_NONE)
            a->call.error = (struct weir_error){ .size = sizeof(struct weir_error),
                                                 .error_class = WEIR_ERROR_UNAVAILABLE,
                                                 .code = WEIR_LIT("overloaded"),
                                                 .message = WEIR_LIT("Memory is short; try again.") };
        return -1;
    }
    a->state = ATTEMPT_SENT;
    /* Who is streamed has no size, unless a stage gave it one. */
    if (a->upload)
        exchange_stream_body(r->exchange, r->body_limit < worker->config->limits.body_bytes ? r->body_limit : UINT64_MAX);
    return 0;
}

void raw_on_data(struct request *r)
{
    struct attempt *a = r->attempts;
    r->view.body_n = exchange_body_seen(r->exchange);
    if (a && a->upstream && a->upload)
        egress_feed(a->upstream);
}

/* ---- usage ---- */

/* How an answer that the codec may be able to read is cut into frames; false: it can't. */
static bool readable_framing(const struct attempt *a, enum weir_framing *framing)
{
    struct weir_str type = http_find(a->response_headers, a->n_response_headers, "content-type");
    if (!(a->codec->plugin->codec.operations & WEIR_OP_BIT(WEIR_OP_RAW)))
        return false;
    if (is_type(type, "text/event-stream"))
        *framing = WEIR_FRAMING_SSE;
    else if (is_type(type, "ndjson"))
        *framing = WEIR_FRAMING_NDJSON;
    else if (is_type(type, "application/vnd.amazon.eventstream"))
        *framing = WEIR_FRAMING_AWS;
    else if (is_type(type, "json"))
        *framing = WEIR_FRAMING_JSON;
    else
        return false;
    return true;
}

static void begin_metering(struct attempt *a)
{
    enum weir_framing framing;
    a->is_metered = readable_framing(a, &framing);
    if (a->is_metered)
        framer_init(&a->framer, framing);
}

/* What it can't read is no mistake: it only isn't counted. */
static void read_frame(struct attempt *a, struct weir_frame *frame)
{
    struct weir_call *c = &a->call;
    const struct weir_codec *codec = &a->codec->plugin->codec;
    struct visit v = visit_enter(c, a->codec, CRUMB_DECODE_FRAME, true);
    c->is_decoding = true;
    a->is_metered = codec->decode_frame(a->codec->self, c, a->codec_state, frame) == 0 &&
                    c->error.error_class == WEIR_ERROR_NONE;
    c->is_decoding = false;
    c->error.error_class = WEIR_ERROR_NONE;
    visit_leave(&v);
}

static void read_end(struct attempt *a)
{
    struct weir_call *c = &a->call;
    struct visit v = visit_enter(c, a->codec, CRUMB_DECODE_END, true);
    c->is_decoding = true;
    a->codec->plugin->codec.decode_end(a->codec->self, c, a->codec_state, true);
    c->is_decoding = false;
    c->error.error_class = WEIR_ERROR_NONE;
    visit_leave(&v);
}

static void meter(struct attempt *a, struct weir_str bytes)
{
    struct weir_frame frame;
    enum framer_result rc = FRAMER_MORE;
    struct scratch s = scratch_enter();
    while (a->is_metered && (rc = framer_next(&a->framer, &bytes, &frame, METERED_MAX)) == FRAMER_FRAME)
        read_frame(a, &frame);
    a->is_metered &= rc >= 0;
    scratch_leave(s);
}

static void meter_last(struct attempt *a)
{
    struct weir_frame frame;
    struct scratch s = scratch_enter();
    if (a->is_metered && framer_last(&a->framer, &frame) == FRAMER_FRAME)
        read_frame(a, &frame);
    if (a->codec->plugin->codec.operations & WEIR_OP_BIT(WEIR_OP_RAW) && a->codec->plugin->codec.decode_end)
        read_end(a); /* also of what could not be read: headers and trailers may tell */
    scratch_leave(s);
}

/* ---- the answer ---- */

void raw_on_head(struct attempt *a)
{
    a->first_token_us = monotonic_us();
    events_elect(a);
}

static void begin_naming(struct attempt *a)
{
    struct raw_call *raw = a->call.request->raw;
    struct weir_str type = http_find(a->response_headers, a->n_response_headers, "content-type");
    bool is_stream = is_type(type, "text/event-stream");
    const char *const *ids = a->codec->plugin->codec.ids;
    if (!raw || !ids || !(is_stream || is_type(type, "json")))
        return;
    raw->names_ids = true;
    raw->scan = (struct id_scan){ .members = ids, .on_id = add_name, .arg = a, .is_lines = is_stream };
}

void raw_head_done(struct attempt *a)
{
    begin_naming(a);
    begin_metering(a);
    deliver_raw_head(a, a->call.request->raw && a->call.request->raw->names_ids);
}

static void give(struct attempt *a, struct weir_str bytes)
{
    struct request *r = a->call.request;
    struct scratch s = scratch_enter();
    struct weir_out *out = r->raw && r->raw->names_ids ? scratch_out() : NULL;
    if (out) {
        id_scan_feed(&r->raw->scan, bytes, out);
        bytes = out_bytes(out);
    }
    deliver_bytes(r, bytes);
    deliver_flush(r);
    scratch_leave(s);
}

void raw_feed(struct attempt *a, struct weir_str bytes)
{
    meter(a, bytes);
    give(a, bytes);
}

void raw_end(struct attempt *a)
{
    meter_last(a);
    a->grammar.has_ended = true; /* HTTP says that it is whole */
    deliver_end(a->call.request);
}
