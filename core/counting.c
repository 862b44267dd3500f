/* Counting tokens in a provider's place. */
#include "host.h"
#include "pipeline.h"

/* Tokens that the provider can't count: the attempt is answered by weir's estimate, as if a codec had read it. */
void attempt_answer_by_estimate(struct attempt *a)
{
    struct weir_call *c = &a->call;
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    struct weir_event start = { .size = sizeof(start), .kind = WEIR_EVENT_START, .name = a->target->view.model };
    struct weir_event usage = { .size = sizeof(usage), .kind = WEIR_EVENT_USAGE, .usage = &u };
    struct weir_event end = { .size = sizeof(end), .kind = WEIR_EVENT_END };
    u.input = host_estimate_tokens(c);
    u.flags = WEIR_USAGE_ESTIMATED;
    a->state = ATTEMPT_ANSWERING;
    a->can_relay = false;
    losses_keep(a, WEIR_FEATURE_ANSWER_USAGE, WEIR_LOSS_EMULATED, WEIR_LIT("estimated, the provider can't count"));
    c->is_decoding = true;
    event_emit(c, &start);
    event_emit(c, &usage);
    event_emit(c, &end);
    c->is_decoding = false;
    events_frame_done(a, NULL);
}
