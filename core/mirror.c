/* Copies: what a client asks goes to another model as well, whose answer nobody gets. What both cost and how they ended is recorded.
 *
 * A rule marks a candidate (WEIR_CANDIDATE_MIRROR). The mark stands among the other candidates, so that later rules see and may remove
 * it; when all have run, marked ones are taken out. When the request's first attempt is on its way, each gets a copy: a request of
 * its own, without an exchange, with one candidate and one try. It passes obstacles, caps and breaker like any other, but never
 * waits in a queue. `on_attempt` of the stages runs for it, in the blocks of the request that it copies, so that rights hold and edits
 * apply; `on_attempt_done` follows at once, before it is sent and without usage: what it costs is nobody's account. From there on no
 * stage knows of it, but those with WEIR_STAGE_MIRRORS at its end.
 *
 * Its answer is decoded, counted and forgotten. The client's request does not know of it: neither waits for the other but for the
 * record, which is written when both are over and says what became of both. The copy reads the conversation of the request that it
 * copies, so that one's arena and body stay until its copies are freed; attempts and exchange go as always.
 *
 * Copies hold up nothing: too many of them are dropped and counted, and a worker that ends does not wait for them.
 */
#include "host.h"
#include "pipeline.h"

enum { EACH_MAX = 4 };

static uint32_t n_copies;
static size_t n_bytes;
static struct {
    int answered, failed, dropped;
} counters;

void mirror_start(void)
{
    const char *help = "Copies of requests that went to another model";
    counters.answered = metric_declare("mirrors_total", "result=\"answered\"", help, METRIC_COUNTER);
    counters.failed = metric_declare("mirrors_total", "result=\"failed\"", help, METRIC_COUNTER);
    counters.dropped = metric_declare("mirrors_total", "result=\"dropped\"", help, METRIC_COUNTER);
}

uint32_t mirror_live(void)
{
    return n_copies;
}

/* ---- choosing ---- */

static bool remember(struct request *r, struct candidate *c)
{
    bool may_be = !r->mirror && !r->n_attempts && r->n_mirrors < EACH_MAX;
    if (may_be && !r->mirrors)
        r->mirrors = arena_alloc(r->arena, EACH_MAX * sizeof(*r->mirrors));
    if (!may_be || !r->mirrors)
        return false;
    r->mirrors[r->n_mirrors++] = c;
    return true;
}

static void tell(struct request *r, const struct candidate *c, const char *why)
{
    note_add(r, "core", "mirror",
             arena_printf(r->arena, "%.*s%s%s", (int)c->view.name.n, c->view.name.p, why[0] ? ": not sent: " : "", why));
}

static void refuse(struct request *r, const struct candidate *c, const char *why)
{
    tell(r, c, why);
    metric_add(counters.dropped, 1);
}

void mirror_choose(struct request *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        struct candidate *c = (struct candidate *)r->candidates[i];
        if (!(c->view.flags & WEIR_CANDIDATE_MIRROR))
            r->candidates[kept++] = r->candidates[i];
        else if (!remember(r, c))
            refuse(r, c, "a request has at most four copies, chosen before its first attempt");
    }
    r->n_candidates = kept;
}

/* ---- making one ---- */

static const char *obstacle(const struct request *r)
{
    const uint32_t operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_EMBED) | WEIR_OP_BIT(WEIR_OP_RERANK);
    if (!(operations & WEIR_OP_BIT(r->view.operation)))
        return "only chats, embeddings and ranks are copied";
    if (request_has_hosted_tool(r))
        return "a tool of the provider would run twice";
    if (worker->is_draining)
        return "this worker is about to end";
    if (n_copies >= worker->config->mirrors.most)
        return "too many copies are underway";
    if (n_bytes + r->view.body_n > worker->config->mirrors.bytes)
        return "copies hold too many bytes";
    return NULL;
}

/* What came with the connection goes with it. */
static const struct http_head *copy_head(struct arena *a, const struct http_head *from)
{
    struct http_head *to = arena_zalloc(a, offsetof(struct http_head, headers) + (from->n_headers + 1) * sizeof(*from->headers));
    if (!to)
        return NULL;
    to->method = arena_copy(a, from->method);
    to->target = arena_copy(a, from->target);
    to->path = arena_copy(a, from->path);
    to->query = arena_copy(a, from->query);
    to->content_length = -1;
    to->n_headers = from->n_headers;
    for (uint32_t i = 0; i < from->n_headers; i++) {
        to->headers[i].name = arena_copy(a, from->headers[i].name);
        to->headers[i].value = arena_copy(a, from->headers[i].value);
    }
    return to;
}

static void copy_view(struct request *q, const struct request *r)
{
    q->view = r->view;
    memcpy(q->id, r->id, sizeof(q->id));
    q->view.id = weir_cstr(q->id);
    q->view.method = q->head->method;
    q->view.path = q->head->path;
    q->view.query = q->head->query;
    q->view.peer = arena_copy(q->arena, r->view.peer);
    q->view.star = arena_copy(q->arena, r->view.star);
    q->view.started_ms = unix_ms();
}

static void copy_meaning(struct request *q, const struct request *r)
{
    q->lane = r->lane;
    q->route = r->route;
    q->codec = r->codec;
    q->claim = r->claim;
    q->door = r->door;
    q->codec_state = r->codec_state;
    q->principal = r->principal;
    memcpy(q->principal_name, r->principal_name, sizeof(q->principal_name));
    q->conversation = r->conversation;
    q->model = r->model;
    q->pinned = r->pinned;
    q->wants_stream = r->wants_stream;
    q->other_stream_type = r->other_stream_type;
    q->wants_usage = r->wants_usage;
    q->entry_blocks = r->entry_blocks; /* until it is released */
    q->route_blocks = r->route_blocks;
    q->attributes = r->attributes;
}

static bool give_candidate(struct request *q, struct candidate *c)
{
    q->candidates = arena_alloc(q->arena, sizeof(*q->candidates));
    if (!q->candidates)
        return false;
    q->candidates[0] = &c->view;
    q->n_candidates = 1;
    q->has_candidates = true;
    return true;
}

static struct request *copy_new(struct request *r, struct candidate *c)
{
    struct request *q = request_new(NULL);
    struct mirror *m = q ? arena_zalloc(q->arena, sizeof(*m)) : NULL;
    if (!q)
        return NULL;
    request_seed(q);
    q->state = REQUEST_ATTEMPT;
    q->head = m ? copy_head(q->arena, r->head) : NULL;
    if (!q->head || !give_candidate(q, c)) {
        q->is_doomed = true;
        request_enter(q);
        request_leave(q);
        return NULL;
    }
    copy_view(q, r);
    copy_meaning(q, r);
    *m = (struct mirror){ .of = r, .next = r->copies, .to = c, .bytes = r->view.body_n };
    q->mirror = m;
    r->copies = q;
    n_copies++;
    n_bytes += m->bytes;
    return q;
}

/* ---- sending it ---- */

/* false: it was not sent. */
static bool start(struct request *q)
{
    struct candidate *c = candidate_next(q);
    if (!c)
        return false;
    if (fanout_makes(q, c)) {
        note_add(q, "core", "skipped", arena_printf(q->arena, "%.*s: its choices would take several calls", (int)c->view.name.n,
                                                    c->view.name.p));
        admission_return(c);
        return false;
    }
    struct attempt *a = attempt_make(q, c, NULL);
    if (!a)
        return false;
    a->below = 0; /* no stage sees its answer */
    return attempt_enter(a);
}

static void begin(struct request *r, struct candidate *c)
{
    const char *why = obstacle(r);
    struct request *q = why ? NULL : copy_new(r, c);
    if (!q) {
        refuse(r, c, why ? why : "memory is short");
        return;
    }
    request_enter(q);
    if (!start(q))
        mirror_drop(q);
    request_arm(q);
    request_leave(q);
}

void mirror_begin(struct request *r)
{
    uint32_t n = r->n_mirrors;
    r->n_mirrors = 0;
    for (uint32_t i = 0; i < n; i++)
        begin(r, r->mirrors[i]);
}

static void own_blocks(struct request *q)
{
    if (q->mirror->is_released)
        return;
    q->mirror->is_released = true;
    bool has_blocks = lane_give_blocks(q, false) == 0 && lane_give_blocks(q, true) == 0;
    q->stage_us = NULL;
    q->attributes = NULL;
    q->n_opened = has_blocks ? q->lane->n : 0; /* those whose on_finish looks at it */
}

void mirror_release(struct attempt *a)
{
    struct request *q = a->call.request;
    if (!q->mirror->is_released) {
        a->error = (struct weir_error){ .size = sizeof(a->error),
                                        .error_class = WEIR_ERROR_CANCELLED,
                                        .message = WEIR_LIT("It is a copy, which goes on by itself.") };
        pipeline_notify(&a->call, HOOK_ATTEMPT_DONE, a->n_entered);
        a->error = (struct weir_error){ 0 };
        own_blocks(q);
    }
    a->n_entered = 0;
}

void mirror_sent(struct attempt *a)
{
    struct mirror *m = a->call.request->mirror;
    if (!m->of_is_over)
        tell(m->of, a->target, "");
}

/* Notes begin with the target's name. */
static const char *why_dropped(const struct request *q)
{
    const struct weir_str name = q->mirror->to->view.name;
    for (const struct note *n = q->notes; n; n = n->next)
        if (strcmp(n->key, "skipped") == 0)
            return n->value.n > name.n + 2 && memcmp(n->value.p, name.p, name.n) == 0 ? n->value.p + name.n + 2 : n->value.p;
    return "the request was over, or memory is short";
}

static void close_attempts(struct request *q)
{
    for (struct attempt *a = q->attempts; a; a = a->next)
        attempt_close(a);
}

/* It was cut by weir: what it cost, as far as anybody knows. */
static void account(struct request *q)
{
    for (struct attempt *a = q->attempts; a; a = a->next)
        if (a->error.error_class == WEIR_ERROR_TIMEOUT || a->error.error_class == WEIR_ERROR_UNAVAILABLE)
            hedge_account(a);
}

void mirror_drop(struct request *q)
{
    struct mirror *m = q->mirror;
    if (q->is_ending)
        return;
    wait_cancel(&q->call);
    close_attempts(q);
    if (m->of_is_over)
        metric_add(counters.dropped, 1);
    else
        refuse(m->of, m->to, why_dropped(q));
    q->is_ending = true;
    q->state = REQUEST_OVER;
    q->is_doomed = true;
}

/* ---- its end ---- */

void mirror_frame_done(struct attempt *a)
{
    struct request *q = a->call.request;
    if (!a->grammar.has_ended || a->call.error.error_class != WEIR_ERROR_NONE)
        return;
    q->elected = a;
    q->status = 200;
    attempt_close(a);
    request_finish(q);
}

bool mirror_waits(struct request *q)
{
    struct mirror *m = q->mirror;
    if (!m)
        return false;
    if (!m->is_over) {
        m->is_over = true;
        close_attempts(q);
        account(q);
        own_blocks(q);
        q->is_answered = true;
        q->ended_us = monotonic_us();
        metric_add(q->elected ? counters.answered : counters.failed, 1);
    }
    return !m->of_is_over;
}

/* What a stage still holds up can't be: its blocks are about to go. */
void mirror_before_end(struct request *r)
{
    for (struct request *q = r->copies, *next; q; q = next) {
        next = q->mirror->next;
        if (q->mirror->is_released || q->is_ending)
            continue;
        request_enter(q);
        mirror_drop(q);
        request_leave(q);
    }
}

static void take_side(struct request *q, const struct request *r)
{
    struct weir_out out = { 0 };
    record_write_side(r, &out);
    q->mirror->beside = out.failed ? WEIR_NONE : arena_copy(q->arena, out_bytes(&out));
    out_free(&out);
}

void mirror_after_end(struct request *r)
{
    for (struct request *q = r->copies, *next; q; q = next) {
        next = q->mirror->next;
        take_side(q, r);
        q->mirror->of_is_over = true;
        if (!q->mirror->is_over)
            continue;
        request_enter(q);
        request_finish(q);
        request_leave(q);
    }
}

void mirror_keep_body(struct request *r, struct exchange *x)
{
    if (r->copies && !r->kept_body)
        r->kept_body = exchange_keep_body(x);
}

void mirror_forget(struct request *q)
{
    struct mirror *m = q->mirror;
    if (!m)
        return;
    struct request **at = &m->of->copies;
    while (*at != q)
        at = &(*at)->mirror->next;
    *at = m->next;
    n_copies--;
    n_bytes -= m->bytes;
    if (m->of->is_gone && !m->of->copies)
        request_free(m->of);
}

static struct request *first_underway(void)
{
    struct request *r = request_first();
    while (r && (!r->mirror || r->mirror->is_over || r->is_ending))
        r = r->next;
    return r;
}

void mirror_stop(const struct weir_error *error)
{
    for (struct request *q; (q = first_underway()) != NULL;) {
        request_enter(q);
        request_fail(q, error);
        request_leave(q);
    }
}
