/* What an attempt's end says about its target, its key and its provider's limits: told once, to the memory that all workers share.
 *
 * Only what is the target's own fault moves its breaker: never what a request brought on itself, what a key is to blame for, or a
 * client that left.
 */
#include "pipeline.h"
#include "rate_headers.h"

/* ---- refusals ---- */

/* The provider answered with an error: the codec says what it means. */
void outcome_refused(struct attempt *a)
{
    const struct weir_codec *codec = &a->codec->plugin->codec;
    struct weir_error e = { .size = sizeof(e), .flags = WEIR_ERROR_FROM_UPSTREAM };
    upstream_error_default(&e, a->status);
    if (codec->decode_error && a->status >= 400) {
        struct visit v = visit_enter(&a->call, a->codec, CRUMB_DECODE_ERROR, false);
        codec->decode_error(a->codec->self, &a->call, a->codec_state, a->status, out_bytes(&a->error_body), &e);
        visit_leave(&v);
    }
    e.flags |= WEIR_ERROR_FROM_UPSTREAM;
    if (!e.retry_after_ms)
        e.retry_after_ms = rate_retry_after_ms(a->response_headers, a->n_response_headers, unix_ms());
    attempt_fail(a, &e);
}

/* ---- whose fault ---- */

enum blame { BLAME_NOBODY, BLAME_TARGET, BLAME_KEY };

static enum blame blame_of(const struct attempt *a)
{
    switch (a->error.error_class) {
    case WEIR_ERROR_CONNECT:
    case WEIR_ERROR_OVERLOADED:
    case WEIR_ERROR_SERVER:
    case WEIR_ERROR_BROKEN:
        return BLAME_TARGET;
    case WEIR_ERROR_TIMEOUT: /* its own, or the whole request's while it was waited for */
        return a->was_silent || (a->error.flags & WEIR_ERROR_FROM_UPSTREAM) ||
                       monotonic_us() >= request_deadline_us(a->call.request)
                   ? BLAME_TARGET
                   : BLAME_NOBODY;
    case WEIR_ERROR_RATE_LIMITED:
    case WEIR_ERROR_QUOTA:
    case WEIR_ERROR_AUTHENTICATION:
    case WEIR_ERROR_PERMISSION:
        return a->error.flags & WEIR_ERROR_FROM_UPSTREAM ? BLAME_KEY : BLAME_NOBODY;
    default:
        return BLAME_NOBODY;
    }
}

void outcome_spoke(struct attempt *a)
{
    if (a->ticket.is_probe && a->target && a->target->figures >= 0)
        breaker_spoke(target_breaker(a->target->figures), &a->provider->breaker, monotonic_us() / 1000, &a->ticket);
}

static void tell_breaker(struct attempt *a, enum blame blame)
{
    _Atomic uint64_t *word = target_breaker(a->target->figures);
    int64_t now_ms = a->ended_us / 1000;
    bool is_well = a->error.error_class == WEIR_ERROR_NONE && a->grammar.has_ended;
    if (is_well)
        breaker_succeeded(word, now_ms, &a->ticket);
    else if (blame == BLAME_TARGET)
        breaker_failed(word, &a->provider->breaker, a->started_us / 1000, now_ms, &a->ticket);
    else
        breaker_forget(word, now_ms, &a->ticket);
}

static void tell_figures(const struct attempt *a, enum blame blame)
{
    int id = a->target->figures;
    int64_t first_us = a->first_token_us ? a->first_token_us : a->was_outrun ? a->ended_us : 0; /* it would have come later still */
    uint32_t first_ms = first_us ? (uint32_t)((first_us - a->started_us) / 1000) + 1 : 0;
    struct rate_left left = rate_left(a->response_headers, a->n_response_headers);
    target_end(id, blame != BLAME_NOBODY, first_ms);
    target_left(id, left.requests, left.tokens);
    if (a->error.error_class == WEIR_ERROR_NONE && a->first_token_us)
        target_speed(id, a->usage.output, (a->ended_us - (a->is_streaming ? a->first_token_us : a->started_us)) / 1000);
}

void outcome_settle(struct attempt *a)
{
    if (!a->is_counted)
        return;
    a->is_counted = false;
    enum blame blame = blame_of(a);
    if (!a->was_sent) {
        target_release(a->target->figures);
        breaker_forget(target_breaker(a->target->figures), monotonic_us() / 1000, &a->ticket);
    } else {
        tell_figures(a, blame);
        tell_breaker(a, blame);
        keys_settle(a);
    }
    admission_end(a->target);
}
