/* What the dialects share: the pace, the error inside a stream, sums over choices. */
#include "wire.h"

int64_t wire_pause(const struct script *s)
{
    return s->events == 0 ? s->knobs->ttft : s->knobs->pace;
}

bool wire_error_event(struct script *s, const struct wire *w)
{
    struct buf data = { 0 };
    if (!script_error_is_due(s))
        return s->is_over;
    w->error(&data, 503, "The simulated model became overloaded in the middle of its answer, as the request asked.");
    script_event(s, w->error_event, &data, s->knobs->pace);
    script_stream_end(s);
    s->is_over = true;
    buf_free(&data);
    return true;
}

int64_t wire_tokens_out(const struct answer *a)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < a->n; i++)
        sum += a->replies[i].tokens_out;
    return sum;
}

int64_t wire_tokens_thinking(const struct answer *a)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < a->n; i++)
        sum += a->replies[i].tokens_thinking;
    return sum;
}
