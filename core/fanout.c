/* Several choices of a target that gives one: n calls to it side by side, whose answers become the choices of one answer.
 *
 * Only where the route (`n_calls`) or a rule allows it. The answer is an attempt without an upstream, the `fan`: it has the target, it is
 * what the client is told of, and stages see its events. Each call is an attempt of its own, with rights, caps, breaker, hooks and a line
 * in the record; its events go on as those of its choice. Calls for which there is no room begin when one of the others ends. The
 * prompt is told once, what was said is summed up; what each call cost stands in the record.
 *
 * A call that fails ends all of them: the fan fails with its error, and what follows is what follows for any attempt: before the commit
 * point the same target again or another, all choices anew; behind it an error event. The fan's memory is its attempt's.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "host.h"
#include "pipeline.h"

enum { CALLS_MAX = 16 };

struct fan {
    uint32_t n, n_begun, n_live, n_ended;
    bool has_started;
    struct weir_usage usage; /* of the calls that have ended */
    struct weir_str reason;  /* why this target was asked at all */
};

/* ---- may it be? ---- */

static int64_t number_of(struct weir_str json)
{
    char text[16] = "";
    if (!json.n || json.n >= sizeof(text))
        return 0;
    memcpy(text, json.p, json.n);
    return strtol(text, NULL, 10);
}

/* How many choices are wanted of it: as the client said, unless a rule has said otherwise for this candidate. */
static int64_t wanted(const struct request *r, const struct candidate *c)
{
    struct weir_str n = r->conversation ? weir_field(&r->conversation->view, WEIR_FIELD_N) : WEIR_NONE;
    for (const struct edit *e = c->edits; e; e = e->next)
        if (e->kind == WEIR_EDIT_FIELD && e->field == WEIR_FIELD_N)
            n = e->value;
    return number_of(n);
}

bool fanout_makes(const struct request *r, const struct candidate *c)
{
    bool is_same = r->codec && c->provider->codec == r->codec->plugin;
    uint32_t lacks = is_same ? c->lacks : ~c->view.capabilities;
    int64_t most = c->view.flags & WEIR_CANDIDATE_N_CALLS ? CALLS_MAX : r->route ? r->route->n_calls : 0;
    if (r->view.operation != WEIR_OP_CHAT || !most || !(lacks & WEIR_CAN_CHOICES))
        return false;
    int64_t n = wanted(r, c);
    return n > 1 && n <= most;
}

/* ---- one call ---- */

static int ask_for_one(struct attempt *b)
{
    struct conversation *c = b->call.request->conversation;
    struct weir_str seed = weir_field(&(b->edits.own ? b->edits.own : c)->view, WEIR_FIELD_SEED);
    if (attempt_edit_field(c, &b->edits, b->arena, WEIR_FIELD_N, WEIR_LIT("1")) < 0)
        return -1;
    if (!b->choice || !seed.n || weir_is(seed, "null"))
        return 0;
    struct weir_str own = arena_printf(b->arena, "%" PRId64, number_of(seed) + b->choice);
    if (!b->is_same_dialect && !b->codec->plugin->says.saying[WEIR_FIELD_SEED])
        return 0; /* it is dropped, and told so */
    losses_keep(b->fans, WEIR_FIELD_SEED, WEIR_LOSS_CHANGED, WEIR_LIT("each choice has a seed of its own"));
    return attempt_edit_field(c, &b->edits, b->arena, WEIR_FIELD_SEED, own);
}

/* false: a stage vetoed it. */
static bool begin_call(struct attempt *a, struct candidate *c)
{
    struct request *r = a->call.request;
    struct fan *fan = a->fan;
    struct attempt *b = attempt_make(r, c, a);
    if (!b) {
        struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_UNAVAILABLE, .message = WEIR_LIT("Memory is short; try again.") };
        attempt_fail(a, &e);
        return true;
    }
    b->choice = fan->n_begun++;
    r->n_fanned += b->choice > 0;
    fan->n_live++;
    bool is_told = !b->choice && fan->reason.n;
    b->reason = arena_printf(r->arena, "%.*s%schoice %u of %u", is_told ? (int)fan->reason.n : 0, is_told ? fan->reason.p : "",
                             is_told ? "; " : "", b->choice + 1, fan->n);
    if (ask_for_one(b) == 0)
        return attempt_enter(b);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_BAD_REQUEST, .param = WEIR_LIT("n") };
    e.message = WEIR_LIT("The choices could not be asked for one by one.");
    attempt_fail(b, &e);
    return true;
}

/* The first comes with the place that the target was given, the others need one each. */
static struct candidate *place_of(struct attempt *a)
{
    struct request *r = a->call.request;
    struct weir_candidate *view = a->fan->n_begun ? candidate_clone(r, &a->target->view) : NULL;
    struct candidate *c = a->fan->n_begun ? (struct candidate *)view : a->target;
    if (c && a->fan->n_begun && admission_ask(r, c) != ADMISSION_GIVEN)
        return NULL;
    return c;
}

static bool is_over(const struct attempt *a)
{
    return a->state == ATTEMPT_OVER || a->call.request->is_ending;
}

/* As many as there is room for. false: a stage vetoed one. */
static bool begin_calls(struct attempt *a)
{
    struct fan *fan = a->fan;
    while (!is_over(a) && fan->n_begun < fan->n) {
        struct candidate *c = place_of(a);
        if (!c)
            break;
        if (!begin_call(a, c))
            return false;
    }
    if (is_over(a) || fan->n_live || fan->n_begun == fan->n)
        return true;
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_OVERLOADED, .retry_after_ms = 1000 };
    e.message = arena_printf(a->arena, "%.*s: there is no room for the call that makes choice %u of %u.", (int)a->target->view.name.n,
                             a->target->view.name.p, fan->n_begun + 1, fan->n);
    attempt_fail(a, &e);
    return true;
}

bool fanout_start(struct request *r, struct candidate *c)
{
    struct attempt *a = attempt_make_fan(r, c);
    struct fan *fan = a ? arena_zalloc(a->arena, sizeof(*fan)) : NULL;
    if (!fan) {
        if (a)
            attempt_close(a);
        admission_return(c);
        return false;
    }
    a->fan = fan;
    fan->n = (uint32_t)wanted(r, c);
    fan->usage = WEIR_USAGE_UNKNOWN;
    fan->reason = r->next_reason;
    r->next_reason = WEIR_NONE;
    losses_keep(a, WEIR_FIELD_N, WEIR_LOSS_EMULATED, arena_printf(a->arena, "by %u calls", fan->n));
    if (begin_calls(a))
        return true;
    attempt_close(a);
    return false;
}

/* ---- ending ---- */

void fanout_vetoed(struct attempt *b)
{
    struct attempt *a = b->fans;
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_UNAVAILABLE };
    if (a == b->call.request->elected) {
        e.message = arena_printf(a->arena, "A stage vetoed the call that makes choice %u.", b->choice + 1);
        attempt_fail(a, &e);
        return;
    }
    attempt_close(a);
    attempt_go_elsewhere(a);
}

void fanout_fail(struct attempt *b)
{
    struct attempt *a = b->fans;
    a->status = b->status;
    a->result = b->result;
    a->was_sent |= b->was_sent;
    a->was_silent = b->was_silent;
    a->key = b->key;
    attempt_close(b);
    attempt_fail(a, &b->error);
}

void fanout_close(struct attempt *a)
{
    for (struct attempt *b = a->call.request->attempts; b; b = b->next) {
        if (b->fans != a || b->state == ATTEMPT_OVER)
            continue;
        hedge_account(b);
        if (!b->grammar.has_ended && b->error.error_class == WEIR_ERROR_NONE)
            b->error = (struct weir_error){ .size = sizeof(b->error),
                                            .error_class = WEIR_ERROR_CANCELLED,
                                            .message = WEIR_LIT("Another of the calls for this answer ended it.") };
        attempt_close(b);
    }
}

/* ---- events ---- */

static void join(struct attempt *b, struct weir_event *e)
{
    if (events_join(b->fans, e) == 0)
        return;
    b->call.error = (struct weir_error){ .size = sizeof(struct weir_error),
                                         .error_class = WEIR_ERROR_UNAVAILABLE,
                                         .code = WEIR_LIT("overloaded"),
                                         .message = WEIR_LIT("Memory is short; try again.") };
}

/* What the client is told of the provider comes from the call that speaks first. */
static void begin_answer(struct attempt *b, const struct weir_event *e)
{
    struct attempt *a = b->fans;
    struct weir_event start = *e;
    a->fan->has_started = true;
    a->status = b->status;
    a->response_headers = b->response_headers;
    a->n_response_headers = b->n_response_headers;
    a->served_model = b->served_model;
    for (const struct loss *l = b->losses; l; l = l->next)
        losses_keep(a, l->feature, l->what, l->why);
    start.usage = NULL;
    join(b, &start);
}

void fanout_take(struct attempt *b, const struct weir_event *e)
{
    struct attempt *a = b->fans;
    struct weir_event own = *e;
    if (is_over(a) || e->kind == WEIR_EVENT_USAGE || e->kind == WEIR_EVENT_END)
        return;
    if (e->kind == WEIR_EVENT_START) {
        if (!a->fan->has_started)
            begin_answer(b, e);
        return;
    }
    own.choice = b->choice;
    own.usage = NULL;
    if (!a->has_content && event_has_content(e)) {
        a->has_content = true;
        a->first_token_us = monotonic_us();
    }
    join(b, &own);
}

static void sum(int64_t *to, int64_t n)
{
    if (n >= 0)
        *to = (*to < 0 ? 0 : *to) + n;
}

static void add_usage(struct weir_usage *to, const struct weir_usage *u)
{
    struct weir_usage once = *u; /* the prompt is the same in each */
    once.output = once.reasoning = once.audio_output = -1;
    if (to->input < 0)
        usage_merge(to, &once);
    sum(&to->output, u->output);
    sum(&to->reasoning, u->reasoning);
    sum(&to->audio_output, u->audio_output);
    to->flags |= u->flags;
}

static void end_answer(struct attempt *b)
{
    struct attempt *a = b->fans;
    struct weir_event usage = { .size = sizeof(usage), .kind = WEIR_EVENT_USAGE, .usage = &a->fan->usage };
    struct weir_event end = { .size = sizeof(end), .kind = WEIR_EVENT_END };
    a->grammar.has_ended = true;
    a->usage = a->fan->usage;
    if (a->usage.input >= 0 || a->usage.output >= 0)
        join(b, &usage);
    join(b, &end);
}

void fanout_frame_done(struct attempt *b)
{
    struct attempt *a = b->fans;
    struct fan *fan = a->fan;
    bool has_ended = b->grammar.has_ended;
    if (b->call.error.error_class != WEIR_ERROR_NONE || is_over(a))
        return;
    if (has_ended) {
        fan->n_live--;
        add_usage(&fan->usage, &b->usage);
        if (++fan->n_ended == fan->n)
            end_answer(b);
    }
    events_frame_done(a, NULL);
    if (!has_ended || is_over(a))
        return;
    deliver_flush(a->call.request); /* who fed it does not, once it is over */
    attempt_close(b);
    if (!begin_calls(a))
        fanout_vetoed(b);
}

/* ---- waiting ---- */

void fanout_pause(struct attempt *a)
{
    a->is_paused = true;
    for (struct attempt *b = a->call.request->attempts; b; b = b->next)
        if (b->fans == a && b->upstream && !b->is_paused) {
            b->is_paused = true;
            egress_pause(b->upstream);
        }
}

void fanout_resume(struct attempt *a)
{
    for (struct attempt *b = a->call.request->attempts; b; b = b->next)
        if (b->fans == a && b->is_paused)
            attempt_resume(b);
}

void fanout_go_on(struct attempt *a)
{
    a->is_paused = false;
    for (struct attempt *b = a->call.request->attempts; b && !is_over(a) && !a->call.wait; b = b->next)
        if (b->fans == a)
            attempt_go_on(b);
}
