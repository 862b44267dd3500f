/* What comes back to an attempt: the calls of the egress, in the order head, body, trailers, end. Bytes become frames, frames go to
 * the codec, and what the codec makes of them is events.c's.
 *
 * An attempt's life is attempt.c's: here it only goes on, or fails through attempt_fail(), which may end its request.
 */

#include "host.h"

enum { ERROR_BODY_MAX = 64 * 1024 };

static void keep_headers(struct attempt *a, const struct http_header *headers, uint32_t n)
{
    struct http_header *copy = arena_alloc(a->arena, (n + 1) * sizeof(*copy));
    for (uint32_t i = 0; copy && i < n; i++) {
        copy[i].name = arena_copy(a->arena, headers[i].name);
        copy[i].value = arena_copy(a->arena, headers[i].value);
    }
    a->response_headers = copy;
    a->n_response_headers = copy ? n : 0;
}

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

/* What the provider says it sends counts more than what was asked for. */
static enum weir_framing framing_of(const struct attempt *a)
{
    const struct weir_codec *codec = &a->codec->plugin->codec;
    struct weir_str type = http_find(a->response_headers, a->n_response_headers, "content-type");
    if (codec->whole_framing == WEIR_FRAMING_JSON && contains(type, "text/event-stream"))
        return WEIR_FRAMING_SSE;
    if (codec->stream_framing == WEIR_FRAMING_AWS && contains(type, "application/vnd.amazon.eventstream"))
        return WEIR_FRAMING_AWS;
    bool may_be_document = codec->stream_framing == WEIR_FRAMING_SSE || codec->stream_framing == WEIR_FRAMING_AWS;
    if (may_be_document && contains(type, "application/json"))
        return a->is_streaming && codec->split ? WEIR_FRAMING_OWN : WEIR_FRAMING_JSON;
    return (enum weir_framing)(a->is_streaming ? codec->stream_framing : codec->whole_framing);
}

static void fail_broken(struct attempt *a, uint32_t error_class, const char *message)
{
    struct weir_error e = { .size = sizeof(e), .error_class = (uint16_t)error_class };
    e.message = arena_printf(a->arena, "%.*s: %s", (int)a->target->view.name.n, a->target->view.name.p, message);
    attempt_fail(a, &e);
}

static int64_t split_own(void *arg, struct weir_str bytes)
{
    struct attempt *a = arg;
    struct visit v = visit_enter(&a->call, a->codec, CRUMB_SPLIT, false);
    int64_t n = a->codec->plugin->codec.split(a->codec->self, &a->call, a->codec_state, bytes);
    visit_leave(&v);
    return n;
}

static void accept_head(struct attempt *a)
{
    const struct weir_codec *codec = &a->codec->plugin->codec;
    struct weir_str type = http_find(a->response_headers, a->n_response_headers, "content-type");
    if (contains(type, "text/html")) {
        fail_broken(a, WEIR_ERROR_BROKEN, "it answered with an HTML page instead of an answer; is its base_url right?");
        return;
    }
    framer_init(&a->framer, framing_of(a));
    framer_cut_by(&a->framer, split_own, a);
    const struct request *r = a->call.request;
    bool is_document = a->framer.framing == WEIR_FRAMING_JSON, is_other = a->framer.framing != codec->stream_framing;
    if (is_document == r->wants_stream || (r->wants_stream && is_other != (r->other_stream_type != NULL)))
        a->can_relay = false; /* a stream where a document was asked for, or the other way round, or one framed otherwise */
    a->state = ATTEMPT_ANSWERING;
    if (!codec->decode_head)
        return;
    a->call.error.error_class = WEIR_ERROR_NONE;
    struct visit v = visit_enter(&a->call, a->codec, CRUMB_DECODE_HEAD, false);
    a->is_looking = true;
    int rc = codec->decode_head(a->codec->self, &a->call, a->codec_state, a->status);
    a->is_looking = false;
    visit_leave(&v);
    if (rc < 0 && a->call.error.error_class == WEIR_ERROR_NONE)
        fail_broken(a, WEIR_ERROR_BROKEN, "the head of its answer makes no sense");
    else if (rc < 0)
        attempt_fail(a, &a->call.error);
    else if (a->again.is_asked)
        attempt_ask_again(a);
}

static void on_head(void *arg, int status, const struct http_header *headers, uint32_t n)
{
    struct attempt *a = arg;
    struct request *r = a->call.request;
    if (status < 200)
        return;
    request_enter(r);
    a->status = status;
    a->head_us = a->last_byte_us = monotonic_us();
    keep_headers(a, headers, n);
    if (status >= 300)
        a->state = ATTEMPT_ERROR;
    else if (is_raw(r))
        raw_on_head(a);
    else
        accept_head(a);
    request_leave(r);
}

/* The provider said itself, in the middle of a stream of the client's own dialect, that it failed: its words go through. */
static void relay_error_event(struct attempt *a, const struct weir_frame *frame)
{
    struct request *r = a->call.request;
    if (a->state != ATTEMPT_ELECTED || !a->can_relay || !r->wants_stream || rescue_may(a, &a->call.error) ||
        !(a->call.error.flags & WEIR_ERROR_FROM_UPSTREAM))
        return;
    deliver_bytes(r, frame->bytes);
    deliver_flush(r);
    r->error_was_relayed = true;
}

/* Content that came in the same breath is an answer: then it is too late. */
static bool wants_again(struct attempt *a)
{
    a->again.is_asked &= !a->has_content;
    return a->again.is_asked;
}

static bool has_json(struct weir_str s)
{
    return memchr(s.p, '{', s.n) || memchr(s.p, '[', s.n) || memchr(s.p, '"', s.n);
}

/* An event that no piece of a JSON document is in, in a stream of JSON objects: a proxy's sign of life perhaps, and no part of the
 * answer. Any other event that its codec can't read may have carried words: who skips it makes a hole that nobody sees, so it is a
 * break, which another attempt mends or the client is told of. */
static bool says_nothing(const struct attempt *a, const struct weir_frame *f)
{
    return a->framer.framing == WEIR_FRAMING_SSE && a->speaks_json && f->data.n && !has_json(f->data);
}

static void skip_frame(struct attempt *a, struct weir_frame *frame)
{
    struct weir_str name = a->target->view.name;
    if (!a->has_skipped)
        note_add(a->call.request, "core", "skipped_event",
                 arena_printf(a->arena, "%.*s sent %zu bytes that are no JSON", (int)name.n, name.p, frame->data.n));
    a->has_skipped = true;
    events_frame_done(a, NULL);
}

static bool decode_frame(struct attempt *a, struct weir_frame *frame)
{
    struct weir_call *c = &a->call;
    struct visit v = visit_enter(c, a->codec, CRUMB_DECODE_FRAME, true);
    c->is_decoding = a->is_looking = true;
    c->error.error_class = WEIR_ERROR_NONE;
    int rc = a->codec->plugin->codec.decode_frame(a->codec->self, c, a->codec_state, frame);
    c->is_decoding = a->is_looking = false;
    bool is_well = rc == 0 && c->error.error_class == WEIR_ERROR_NONE;
    a->speaks_json |= is_well && frame->data.n && frame->data.p[0] == '{';
    if (is_well && wants_again(a))
        attempt_ask_again(a);
    else if (is_well)
        events_frame_done(a, frame);
    else if (rc == 0)
        relay_error_event(a, frame);
    else if ((is_well = c->error.error_class == WEIR_ERROR_NONE && says_nothing(a, frame)))
        skip_frame(a, frame);
    visit_leave(&v);
    if (is_well)
        return a->state != ATTEMPT_OVER && a->state != ATTEMPT_SENT;
    if (c->error.error_class == WEIR_ERROR_NONE)
        fail_broken(a, WEIR_ERROR_BROKEN, "a piece of its answer makes no sense");
    else
        attempt_fail(a, &c->error);
    return false;
}

/* A stage waits: the upstream waits too. */
static void keep_for_later(struct attempt *a, struct weir_str bytes)
{
    out_write(&a->backlog, bytes);
    if (!a->is_paused && a->upstream)
        egress_pause(a->upstream);
    a->is_paused = true;
}

static void feed(struct attempt *a, struct weir_str bytes)
{
    struct request *r = a->call.request;
    size_t limit = r->mirror ? worker->config->mirrors.answer_bytes : (size_t)worker->config->limits.body_bytes;
    struct weir_frame frame;
    enum framer_result rc = FRAMER_MORE;
    struct scratch s = scratch_enter();
    while (a->state != ATTEMPT_OVER && !a->is_cut && !r->is_ending && !attempt_waits(a) &&
           (rc = framer_next(&a->framer, &bytes, &frame, limit)) == FRAMER_FRAME)
        if (!decode_frame(a, &frame))
            break;
    scratch_leave(s);
    if (a->state == ATTEMPT_OVER || a->state == ATTEMPT_SENT || a->is_cut || r->is_ending)
        return;
    if (rc < 0)
        fail_broken(a, WEIR_ERROR_BROKEN, "a piece of its answer is too large or malformed");
    else if (attempt_waits(a) && bytes.n)
        keep_for_later(a, bytes);
    deliver_flush(r);
}

static void collect_error(struct attempt *a, struct weir_str bytes)
{
    size_t room = ERROR_BODY_MAX - a->error_body.n;
    if (bytes.n > room)
        bytes.n = room;
    out_write(&a->error_body, bytes);
}

static void on_body(void *arg, struct weir_str bytes)
{
    struct attempt *a = arg;
    struct request *r = a->call.request;
    request_enter(r);
    a->last_byte_us = monotonic_us();
    if (a->state == ATTEMPT_ERROR)
        collect_error(a, bytes);
    else if (attempt_waits(a))
        keep_for_later(a, bytes);
    else if (is_raw(r))
        raw_feed(a, bytes);
    else
        feed(a, bytes);
    request_arm(r);
    request_leave(r);
}

static void fail_upstream(struct attempt *a, enum egress_result result, const char *message)
{
    a->was_silent = result == EGRESS_CONNECT_TIMEOUT;
    uint32_t class = result == EGRESS_CONNECT_TIMEOUT ? WEIR_ERROR_TIMEOUT
                     : result <= EGRESS_SEND          ? WEIR_ERROR_CONNECT
                     : result == EGRESS_MEMORY        ? WEIR_ERROR_UNAVAILABLE
                                                      : WEIR_ERROR_BROKEN;
    fail_broken(a, class, message);
}

static void decode_end(struct attempt *a)
{
    struct weir_call *c = &a->call;
    struct weir_frame frame;
    /* Half a frame of a stream that broke says nothing, and its bytes would run into the error event. */
    bool has_rest = a->ended_cleanly || a->framer.framing == WEIR_FRAMING_JSON;
    enum framer_result rest = has_rest ? framer_last(&a->framer, &frame) : FRAMER_MORE;
    if (rest == FRAMER_FRAME && !decode_frame(a, &frame))
        return;
    if (rest < 0) {
        fail_broken(a, WEIR_ERROR_BROKEN, "its answer ended in the middle of a message");
        return;
    }
    if (attempt_waits(a) || a->state == ATTEMPT_OVER || a->is_cut || c->request->is_ending)
        return;
    if (!a->grammar.has_ended && a->codec->plugin->codec.decode_end) {
        struct visit v = visit_enter(c, a->codec, CRUMB_DECODE_END, true);
        c->is_decoding = a->is_looking = true;
        c->error.error_class = WEIR_ERROR_NONE;
        int rc = a->codec->plugin->codec.decode_end(a->codec->self, c, a->codec_state, a->ended_cleanly);
        c->is_decoding = a->is_looking = false;
        bool asks_again = rc == 0 && wants_again(a);
        if (rc == 0 && !asks_again)
            events_frame_done(a, NULL);
        visit_leave(&v);
        if (asks_again) {
            attempt_ask_again(a);
            return;
        }
    }
    if (a->rescues && c->error.error_class != WEIR_ERROR_NONE)
        attempt_fail(a, &c->error);
    if (a->state != ATTEMPT_OVER && !a->is_cut && !c->request->is_ending && !a->grammar.has_ended)
        fail_broken(a, WEIR_ERROR_BROKEN,
                    a->ended_cleanly ? "its answer ended before it was complete"
                                     : "the connection broke in the middle of its answer");
}

static void end_answer(struct attempt *a)
{
    struct request *r = a->call.request;
    if (!is_raw(r))
        decode_end(a);
    else if (a->ended_cleanly)
        raw_end(a);
    else
        fail_broken(a, WEIR_ERROR_BROKEN, "the connection broke in the middle of its answer");
    deliver_flush(r);
}

void attempt_resume(struct attempt *a)
{
    a->is_paused = false;
    a->last_byte_us = monotonic_us();
    if (a->fan)
        fanout_resume(a);
    else if (a->upstream)
        egress_resume(a->upstream);
}

/* Bytes that came while a stage waited, and then perhaps the end. */
void attempt_go_on(struct attempt *a)
{
    a = a->is_cut ? request_source(a->call.request) : a;
    if (!a || a->state == ATTEMPT_OVER)
        return;
    if (a->fan) {
        fanout_go_on(a);
        return;
    }
    struct weir_out bytes = a->backlog;
    memset(&a->backlog, 0, sizeof(a->backlog));
    if (a->is_paused && a->upstream &&
        exchange_unsent(a->call.request->exchange) <= worker->config->limits.high_water) {
        a->is_paused = false;
        egress_resume(a->upstream);
    }
    if (bytes.n)
        (is_raw(a->call.request) ? raw_feed : feed)(a, out_bytes(&bytes));
    out_free(&bytes);
    if (a->has_ended && !attempt_waits(a) && a->state != ATTEMPT_OVER && !a->call.request->is_ending)
        end_answer(a);
}

static void on_end(void *arg, enum egress_result result, const char *message)
{
    struct attempt *a = arg;
    struct request *r = a->call.request;
    request_enter(r);
    a->timing = egress_timing(a->upstream);
    a->upstream = NULL;
    a->has_ended = true;
    a->result = result;
    a->ended_cleanly = result == EGRESS_OK;
    if (a->state == ATTEMPT_SENT || (a->state == ATTEMPT_STARTING && result))
        fail_upstream(a, result ? result : EGRESS_PROTOCOL, result ? message : "it sent no answer");
    else if (a->state == ATTEMPT_ERROR)
        outcome_refused(a);
    else if (a->state != ATTEMPT_OVER && !attempt_waits(a))
        end_answer(a);
    request_arm(r);
    request_leave(r);
}

static void on_trailers(void *arg, const struct http_header *trailers, uint32_t n)
{
    struct attempt *a = arg;
    for (uint32_t i = 0; i < n; i++) {
        struct header_item *t = arena_alloc(a->arena, sizeof(*t));
        if (!t)
            return;
        *t = (struct header_item){ a->trailers, arena_copy(a->arena, trailers[i].name),
                                   arena_copy(a->arena, trailers[i].value) };
        a->trailers = t;
    }
}

const struct egress_ops attempt_egress_ops = { on_head, on_body, on_end, on_trailers };
