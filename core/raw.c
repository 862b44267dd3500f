/* Calls that are relayed as they are: a route with `raw:` hands method, path, query, headers and body to a provider, and what it
 * answers to the client. Nobody reads them as a conversation: stages see the request, the target and the outcome.
 *
 * Bodies pass in windows: the client's goes from the exchange into the upload when the provider takes it, the provider's is held
 * back while the client doesn't take it. Only what a signature needs is read whole, up to the body limit. A call is tried once,
 * since its body is gone then. The usage of a small JSON answer is read, if the codec can (WEIR_OP_RAW among its operations), from
 * a copy that is kept with the attempt.
 */
#include <stdlib.h>

#include "host.h"
#include "pipeline.h"

enum { METERED_MAX = 64 * 1024 };

/* ---- where to ---- */

int raw_candidates(struct request *r)
{
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

bool raw_reads_body(const struct request *r)
{
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
        *a->body = exchange_body(r->exchange);
        a->n_body = 1;
        r->view.body_n = a->body->n;
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

/* ---- the answer ---- */

void raw_on_head(struct attempt *a)
{
    a->first_token_us = monotonic_us();
    events_elect(a);
}

void raw_head_done(struct attempt *a)
{
    deliver_raw_head(a);
}

static bool is_metered(const struct attempt *a, size_t more)
{
    struct weir_str type = http_find(a->response_headers, a->n_response_headers, "content-type");
    return (a->codec->plugin->codec.operations & WEIR_OP_BIT(WEIR_OP_RAW)) && !a->error_body.failed &&
           a->error_body.n + more <= METERED_MAX && type.n && memmem(type.p, type.n, "json", 4);
}

void raw_feed(struct attempt *a, struct weir_str bytes)
{
    struct request *r = a->call.request;
    if (is_metered(a, bytes.n))
        out_write(&a->error_body, bytes);
    else
        a->error_body.failed = true; /* too large to be read: half of it says nothing */
    deliver_bytes(r, bytes);
    deliver_flush(r);
}

static void meter(struct attempt *a)
{
    struct weir_call *c = &a->call;
    struct weir_str body = out_bytes(&a->error_body);
    struct weir_frame frame = { .size = sizeof(frame), .framing = WEIR_FRAMING_JSON, .bytes = body, .data = body };
    if (a->error_body.failed || !body.n || !is_metered(a, 0))
        return;
    struct visit v = visit_enter(c, a->codec, CRUMB_DECODE_FRAME, true);
    c->is_decoding = true;
    a->codec->plugin->codec.decode_frame(a->codec->self, c, a->codec_state, &frame);
    c->is_decoding = false;
    c->error.error_class = WEIR_ERROR_NONE;
    visit_leave(&v);
}

void raw_end(struct attempt *a)
{
    meter(a);
    deliver_end(a->call.request);
}
