/* Mid-stream rescue: whether an answer that broke off is finished, by whom, and what is told of its tokens.
 *
 * What was said is kept from an answer's beginning on where the route allows a rescue and another could go on at all: a streamed
 * chat of one choice, text and tool calls, no tool that runs at the provider. When the elected attempt fails it is cut: its
 * upstream ends and its target gets the blame at once, but the answer goes on. The candidates that are left are tried as after any
 * failure (recovery.c), and each attempt that begins now finishes the answer. If none does the client gets an error event.
 */
#include "rescue.h"

#include "host.h"

enum { BYTES_PER_TOKEN = 4 };

/* ---- may it be? ---- */

static enum config_rescue rule_of(const struct request *r)
{
    enum config_rescue rule = r->route ? r->route->rescue : CONFIG_RESCUE_DEFAULT;
    bool has_others = (r->model && r->model->n_targets > 1) || r->n_candidates || r->n_attempts > 1;
    if (rule != CONFIG_RESCUE_DEFAULT)
        return rule;
    return has_others ? CONFIG_RESCUE_ANY : CONFIG_RESCUE_OFF;
}

static bool says(const struct request *r, enum weir_field f, const char *usual)
{
    struct weir_str value = weir_field(&r->conversation->view, f);
    return value.n && !weir_is(value, usual);
}

/* Could anybody go on with an answer to this? */
static bool is_simple(const struct request *r)
{
    if (!r->wants_stream || r->view.operation != WEIR_OP_CHAT || !r->conversation)
        return false;
    for (const struct weir_tool *t = r->conversation->view.tools; t; t = t->next)
        if (t->raw.n)
            return false; /* it may have run */
    return !says(r, WEIR_FIELD_N, "1") && !says(r, WEIR_FIELD_LOGPROBS, "false") && !says(r, WEIR_FIELD_MODALITIES, "[\"text\"]");
}

void rescue_note(struct attempt *a, struct weir_event *e)
{
    const struct request *r = a->call.request;
    if (!a->transcript && e->kind == WEIR_EVENT_START && a->target && is_simple(r) && rule_of(r) != CONFIG_RESCUE_OFF)
        a->transcript = transcript_new(a->arena, e);
    else if (a->transcript)
        transcript_add(a->transcript, e);
}

static bool is_of_target(const struct weir_error *error)
{
    switch (error->error_class) {
    case WEIR_ERROR_CONNECT:
    case WEIR_ERROR_TIMEOUT:
    case WEIR_ERROR_RATE_LIMITED:
    case WEIR_ERROR_OVERLOADED:
    case WEIR_ERROR_QUOTA:
    case WEIR_ERROR_SERVER:
    case WEIR_ERROR_BROKEN:
        return true;
    default:
        return false;
    }
}

static bool is_same_model(const struct attempt *a, const struct weir_candidate *c)
{
    return weir_eq(a->target->view.model, c->model);
}

/* Only same_model: the others are passed over. */
static void keep_allowed(struct attempt *a)
{
    struct request *r = a->call.request;
    uint32_t kept = 0;
    if (rule_of(r) != CONFIG_RESCUE_SAME_MODEL)
        return;
    for (uint32_t i = 0; i < r->n_candidates; i++)
        if (is_same_model(a, r->candidates[i]))
            r->candidates[kept++] = r->candidates[i];
        else
            note_add(r, "core", "skipped",
                     arena_printf(r->arena, "%.*s: only the same model may finish the answer", (int)r->candidates[i]->name.n,
                                  r->candidates[i]->name.p));
    r->n_candidates = kept;
}

bool rescue_may(struct attempt *a, const struct weir_error *error)
{
    const struct request *r = a->call.request;
    return a == r->elected && a->state == ATTEMPT_ELECTED && !a->is_cut && a->transcript && !a->transcript->is_beyond && r->exchange &&
           !a->call.wait && is_of_target(error);
}

/* ---- who ---- */

bool rescue_by_itself(struct request *r)
{
    struct attempt *a = r->elected;
    if (!a || !a->is_cut || a->was_silent || a->was_asked_to_finish)
        return false;
    if (r->were_candidates_set && r->attempts != a)
        return false; /* a rule has said who is left, after one that could not finish it */
    a->was_asked_to_finish = true;
    if (!provider_take_retry(admission_provider(a->provider), &a->provider->retry_budget, monotonic_us() / 1000))
        return false;
    struct weir_candidate **list = arena_alloc(r->arena, sizeof(*list));
    struct weir_candidate *itself = list ? candidate_clone(r, &a->target->view) : NULL;
    if (!itself)
        return false;
    admission_count_retry(a->provider);
    list[0] = itself;
    r->candidates = list;
    r->n_candidates = 1;
    return true;
}

/* ---- the client's encoder, which knows nothing of what was relayed ---- */

static void tell(struct attempt *a, struct weir_event e, bool is_relayed)
{
    e.size = sizeof(e);
    e.flags = is_relayed ? WEIR_EVENT_SILENT : 0;
    if (!a->call.request->is_ending)
        deliver_event(a, &e);
}

static size_t next_char(struct weir_str s, size_t at)
{
    for (at++; at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80; at++)
        continue;
    return at < s.n ? at : s.n;
}

/* In as many pieces as it came: some dialects number their events. */
static void tell_text(struct attempt *a, const struct transcript_block *b, size_t from, size_t to, uint32_t pieces)
{
    uint16_t kind = b->kind == WEIR_BLOCK_TOOL_CALL ? WEIR_DELTA_ARGUMENTS : WEIR_DELTA_TEXT;
    struct weir_str text = out_bytes(&b->text);
    struct weir_event e = { .kind = WEIR_EVENT_DELTA, .block = b->block, .block_kind = b->kind, .delta_kind = kind };
    text.n = text.n < to ? text.n : to;
    for (; pieces && from < text.n; pieces--) {
        size_t end = pieces == 1 ? text.n : next_char(text, from);
        e.text = weir_plain((struct weir_str){ text.p + from, end - from });
        tell(a, e, end <= b->relayed);
        from = end;
    }
}

static void tell_block(struct attempt *a, const struct transcript_block *b)
{
    tell(a, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block = b->block, .block_kind = b->kind, .id = b->id, .name = b->name },
         b->start_relayed);
    tell_text(a, b, 0, b->relayed, b->pieces_relayed);
    tell_text(a, b, b->relayed, b->n, b->n_pieces - b->pieces_relayed);
    if (!b->is_open)
        tell(a, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block = b->block, .block_kind = b->kind }, b->stop_relayed);
}

/* From here on the answer is encoded. What came with the piece that broke was not relayed: it is said now. */
static void take_over(struct attempt *a)
{
    const struct transcript *t = a->transcript;
    struct request *r = a->call.request;
    bool was_relayed = events_are_relayed(a);
    a->can_relay = false;
    out_reset(&a->pending, 0);
    if (!was_relayed)
        return;
    if (a->ended_cleanly && a->framer.framing == WEIR_FRAMING_SSE)
        deliver_bytes(r, WEIR_LIT("\n\n")); /* the last event may have had no end */
    deliver_flush(r);
    tell(a, (struct weir_event){ .kind = WEIR_EVENT_START, .id = t->id, .name = t->model, .created_s = t->created_s }, true);
    for (const struct transcript_block *b = t->first; b; b = b->next)
        tell_block(a, b);
    if (t->is_finished)
        tell(a, (struct weir_event){ .kind = WEIR_EVENT_FINISH, .finish = t->finish, .name = t->finish_name }, t->finish_relayed);
    deliver_flush(r);
}

/* ---- beginning ---- */

/* A thought that stopped half way is not gone on with, and never signed. */
static void end_thoughts(struct attempt *a)
{
    for (struct transcript_block *b = a->transcript->first; b; b = b->next) {
        struct weir_event stop = { .size = sizeof(stop), .kind = WEIR_EVENT_BLOCK_STOP, .block = b->block };
        if (b->kind == WEIR_BLOCK_THINKING && b->is_open)
            events_go_on(a, &stop);
    }
}

/* Everything was said, only the end of the stream is missing: nobody has to be asked. */
static void end_only(struct attempt *a)
{
    struct weir_event end = { .size = sizeof(end), .kind = WEIR_EVENT_END };
    struct request *r = a->call.request;
    note_add(r, "core", "rescue", WEIR_LIT("the answer was complete but for its end"));
    events_go_on(a, &end);
    events_frame_done(a, NULL);
}

static void estimate_cost(struct attempt *a, size_t bytes)
{
    int64_t output = (int64_t)((bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
    if (a->usage.input < 0) {
        a->usage.input = host_estimate_tokens(&a->call.request->call);
        a->usage.flags |= WEIR_USAGE_ESTIMATED;
    }
    if (a->usage.output < output) {
        a->usage.output = output;
        a->usage.flags |= WEIR_USAGE_ESTIMATED;
    }
}

void rescue_begin(struct attempt *a)
{
    struct request *r = a->call.request;
    struct weir_str name = a->target->view.name;
    size_t n = a->transcript->n;
    deliver_flush(r); /* what was gathered lies in bytes that end with the upstream */
    a->transcript->input = a->usage.input;
    if (!a->transcript->is_finished)
        estimate_cost(a, n);
    attempt_cut(a);
    a->grammar.has_ended = false; /* an ERROR is an end, too */
    take_over(a);
    if (r->is_ending)
        return;
    if (a->transcript->is_finished) {
        end_only(a);
        return;
    }
    end_thoughts(a);
    deliver_flush(r);
    keep_allowed(a);
    r->next_reason = arena_printf(r->arena, "rescue: %.*s broke off after %zu bytes (%s)", (int)name.n, name.p, n,
                                  error_class_name(a->error.error_class));
    r->state = REQUEST_SERVE;
    request_run(r);
}

/* ---- an attempt that finishes ---- */

static bool has_kind(const struct transcript *t, uint16_t kind)
{
    for (const struct transcript_block *b = t->first; b; b = b->next)
        if (b->kind == kind)
            return true;
    return false;
}

static enum rescue_what what_of(const struct request *r, const struct transcript *t)
{
    if (has_kind(t, WEIR_BLOCK_TOOL_CALL))
        return RESCUE_CALLS;
    if (!has_kind(t, WEIR_BLOCK_TEXT))
        return RESCUE_FROM_TOP;
    return says(r, WEIR_FIELD_RESPONSE_FORMAT, "\"text\"") ? RESCUE_JSON : RESCUE_TEXT;
}

bool rescue_attach(struct attempt *b)
{
    struct request *r = b->call.request;
    if (!r->elected || !r->elected->is_cut)
        return true;
    struct rescuer *x = arena_zalloc(b->arena, sizeof(*x));
    const struct transcript *t = r->elected->transcript;
    if (!x || t->is_beyond)
        return false;
    b->rescues = r->elected;
    b->rescuer = x;
    r->finisher = b;
    x->what = what_of(r, t);
    x->sent = transcript_text(t, b->arena);
    x->next_call = t->first;
    while (x->next_call && x->next_call->kind != WEIR_BLOCK_TOOL_CALL)
        x->next_call = x->next_call->next;
    return true;
}

void rescue_leave(struct attempt *b)
{
    if (!b->rescues)
        return;
    deliver_flush(b->call.request);
    if (b->rescuer->n)
        estimate_cost(b, b->rescuer->n);
}

void rescue_free(struct attempt *a)
{
    transcript_free(a->transcript);
    if (a->rescuer)
        rescuer_free(a->rescuer);
}

/* ---- tokens ---- */

/* By the rate of the attempt that finished: its own words are counted, all that the client saw is told. The input is that of one
 * call: without what was said, and asked for, again. */
struct weir_usage rescue_usage(const struct attempt *b)
{
    const struct rescuer *x = b->rescuer;
    const struct attempt *a = b->rescues;
    struct weir_usage told = WEIR_USAGE_UNKNOWN;
    int64_t own = b->usage.output - (b->usage.reasoning > 0 ? b->usage.reasoning : 0), seen = (int64_t)a->transcript->n;
    int64_t asked = (int64_t)x->n_asked / BYTES_PER_TOKEN;
    if (b->usage.output < 0 && b->usage.input < 0)
        return told;
    told.output = x->n >= 64 && own > 0 ? (own * seen + (int64_t)x->n - 1) / (int64_t)x->n : (seen + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
    told.input = a->transcript->input >= 0 ? a->transcript->input : b->usage.input > asked ? b->usage.input - asked : b->usage.input;
    told.flags = WEIR_USAGE_ESTIMATED;
    return told;
}

struct weir_usage request_usage(const struct request *r)
{
    const struct attempt *a = r->elected;
    struct weir_usage told = a->is_cut && r->finisher ? rescue_usage(r->finisher) : a->usage;
    return told.output < 0 ? a->usage : told;
}
