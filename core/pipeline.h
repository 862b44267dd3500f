/* The pipeline: one executor, one way to wait, one way to fail. The life of a request is drawn at the top of pipeline.c.
 *
 * Rooms: pipeline.c (executor), waits.c (tokens), lanes.c (instances, lanes), doors.c (dialect, credential, route), serve.c (a
 * request from its head to its end), deadlines.c, candidates.c (which targets), attempt.c and attempt_answer.c (one call to a
 * provider: its life, its answer), hedge.c (a second beside it), fanout.c (several for one answer), mirror.c (a copy for another
 * model), recovery.c (what follows
 * when it fails), upstream.c (what goes there), events.c (events through the stages), deliver.c (to the client), host*.c (the
 * host table), record.c, explanation.c (why it went there, for who asks).
 */
#ifndef WEIR_CORE_PIPELINE_H
#define WEIR_CORE_PIPELINE_H

#include "clock.h"
#include "request.h"
#include "scratch.h"
#include "worker.h"

/* ---- executor (pipeline.c) ---- */
const char *hook_name(enum hook hook);
/* Walks slots [from, to) of a hook; WEIR_NEXT after the last. WEIR_WAIT: pipeline_resumed() will follow. */
enum weir_verdict pipeline_run(struct weir_call *c, enum hook hook, uint32_t from, uint32_t to);
enum weir_verdict pipeline_continue(struct weir_call *c, enum weir_verdict verdict);
/* The stage of a slot of the current hook. */
struct weir_instance *pipeline_stage(const struct weir_call *c, uint32_t step);
uint32_t pipeline_stage_index(const struct weir_call *c, uint32_t step);
/* A plugin's misbehaviour: logs it with plugin, hook and request, sets the call's error, returns WEIR_FAIL. */
enum weir_verdict pipeline_fault(struct weir_call *c, const char *plugin, const char *what);
/* Hooks without a verdict, exactly once. */
void pipeline_notify(struct weir_call *c, enum hook hook, uint32_t below);

/* Around every call into plugin code: breadcrumb, scratch, the request's life. */
struct visit {
    struct crumb crumb;
    struct scratch scratch;
    struct arena *arena;
    struct weir_instance *running;
    struct weir_call *call;
};
struct visit visit_enter(struct weir_call *c, struct weir_instance *who, enum crumb_hook hook, bool uses_scratch);
void visit_leave(const struct visit *v);

/* ---- waits (waits.c) ---- */
weir_token wait_begin(struct weir_call *c, const char *why, weir_fn cancel, void *arg);
/* A wait of the core itself. `then` is called from the loop, once: with the verdict of wait_resume(), or with WEIR_SKIP when
 * until_us has come. If the request ends first, cancel is (it may be NULL). 0: the call waits already, or memory is short. */
typedef void (*wait_fn)(struct weir_call *c, enum weir_verdict verdict);
weir_token wait_core(struct weir_call *c, const char *why, int64_t until_us, wait_fn then, weir_fn cancel, void *arg);
bool wait_is_open(weir_token token); /* nobody resumed it, and its time has not come */
bool wait_ring(struct weir_call *c); /* its time has come: a wait of the core goes on, soon; false: it is none */
void wait_resume(weir_token token, enum weir_verdict verdict);
struct weir_call *wait_call(weir_token token);
/* Takes the verdict if it has come already: 0 if not. */
enum weir_verdict wait_take(struct weir_call *c);
void wait_cancel(struct weir_call *c); /* calls cancel_fn; nothing if there is no wait */
bool wait_is_overdue(const struct weir_call *c, int64_t now_us);
int64_t wait_deadline_us(const struct weir_call *c); /* INT64_MAX: none */
const char *wait_why(const struct weir_call *c, const char **plugin, int64_t *since_us);
void waits_start(struct event_base *base);
void waits_stop(void);
uint32_t waits_live(void);

/* ---- lanes (lanes.c) ---- */
int lanes_start(struct worker *w, char *why, size_t n);
void lanes_stop(void);

/* ---- tokens.c: `auth` by a plugin ---- */
int tokens_start(struct worker *w, char *why, size_t n);
void tokens_stop(void);
enum token_state { TOKEN_HAS, TOKEN_WAITS, TOKEN_NONE };
/* HAS: attempt.token is set, or none is needed. WAITS: attempt_after_attempt() is called again. NONE: call.error says why. */
enum token_state token_get(struct attempt *a);
/* ---- media.c: `fetch_media` ---- */
/* All that is needed before a request can be made: the token, then media. The same words. */
enum token_state attempt_gather(struct attempt *a);
/* What bytes can stand for at a provider that fetches: IMAGE_URL where it takes inline images. */
uint32_t media_replaces(const struct config_provider *p, uint32_t capabilities);
/* "messages[2].content[0]": the first URL of the conversation; "": there is none. */
struct weir_str media_first_url(const struct weir_conversation *c, struct arena *a);

void token_refused(const struct attempt *a); /* the provider answered 401 */
const struct lane *lane_entry(void);
const struct lane *lane_of_route(const struct config_route *route);
struct weir_instance *codec_instance(const struct plugin *p);
void *stage_request_block(const struct request *r, uint32_t index);
void *stage_attempt_block(const struct attempt *a, uint32_t index);
int lane_give_blocks(struct request *r, bool is_route); /* -1: no memory */
int lane_give_attempt_blocks(struct attempt *a);
const char *provider_base_url(const struct config_provider *p);
/* What this provider adds to the texts of a request for this model; NULL: it doesn't say. */
const struct weir_token_rates *provider_tokens(const struct config_provider *p, struct weir_str model);

/* ---- front doors (doors.c) ---- */
struct door_found {
    const struct weir_claim *claim; /* NULL: nobody claims it */
    struct plugin *owner; /* whose claim it is, or in whose dialect to say that there is none; NULL: no codec has claims */
    struct weir_str star; /* what the claim's '*' stands for */
    bool other_method;    /* the path exists, but not with this method */
};
int doors_start(void); /* when all plugins are loaded; -1: no memory */
void doors_stop(void);
struct door_found door_find(const struct http_head *head);
void door_credential(struct request *r, const struct http_head *head, const struct plugin *p);
bool door_probe(struct exchange *x, const struct http_head *head); /* /healthz, /readyz: answered */
/* The provider that a head would be relayed to as it is, as far as a head alone tells; NULL: none. */
const struct config_provider *door_raw(const struct http_head *head, bool is_claimed);
void door_enter(struct request *r, struct plugin *codec, uint32_t operation);
int door_route(struct request *r); /* 1: chosen; 0: the model decides and is not known yet; -1: none */

/* ---- requests (request.c, serve.c, deadlines.c) ---- */
struct request *request_new(struct exchange *x); /* x NULL: a copy. NULL: no memory */
void request_seed(struct request *r);
void request_free(struct request *r); /* the last of it */
struct request *request_first(void);
void request_run(struct request *r); /* goes on as far as it can */
void request_enter(struct request *r);
void request_leave(struct request *r); /* may free it */
/* Ends it with an error for the client, in its dialect, or by breaking off what has begun. */
void request_fail(struct request *r, const struct weir_error *error);
void request_finish(struct request *r); /* the client is served (or gone): settle, on_finish, free at the next leave */
void request_on_timer(int fd, short what, void *arg);
int64_t request_deadline_us(const struct request *r); /* of its total time-out; INT64_MAX: none */
void request_arm(struct request *r); /* looks at the clock again: a nearer deadline was set */
void pipeline_resumed(struct weir_call *c, enum weir_verdict verdict);
uint32_t config_timeout(const struct request *r, const struct attempt *a, enum weir_timeout which);

/* ---- candidates (candidates.c) ---- */
int candidates_start(struct worker *w);
bool candidate_serves(const struct request *r, const struct candidate *c); /* its codec has the request's operation */
struct weir_candidate *candidate_find(struct request *r, struct weir_str name);
struct weir_str candidates_asked(struct request *r); /* the model that the client named */
int candidates_default(struct request *r); /* from the asked model's targets; 0, or -1: no such model */
/* A provider as a whole: its name, a slash and a star. */
struct weir_candidate *candidate_of_provider(struct request *r, const struct config_provider *p);
struct candidate *candidate_next(struct request *r); /* the first that can be tried; NULL: none */
struct weir_candidate *candidate_clone(struct request *r, const struct weir_candidate *c);
struct weir_model *models_list(struct request *r, uint32_t *n);
const struct config_model *model_find(struct weir_str name);

/* ---- attempts (attempt.c, upstream.c) ---- */
void attempt_start(struct request *r, struct candidate *c); /* of one that was admitted */
bool attempt_next(struct request *r); /* begins one; false: none is left */
struct attempt *attempt_own_answer(struct request *r); /* the answer that a stage makes */
struct attempt *attempt_make(struct request *r, struct candidate *c, struct attempt *fans); /* NULL: no memory */
struct attempt *attempt_make_fan(struct request *r, struct candidate *c); /* the same, of an answer whose calls are others */
bool attempt_enter(struct attempt *a); /* its hooks, then it is sent; false: try the next candidate */
void attempt_go_elsewhere(struct attempt *a); /* it was vetoed: to the next candidate */
void attempt_another(struct request *r); /* begins one beside the one that lives, if any candidate is left */
void attempt_fail(struct attempt *a, const struct weir_error *error);
void attempt_cut(struct attempt *a); /* ends its upstream, and what that says of its target: its answer goes on */
void attempt_close(struct attempt *a); /* ends its upstream, on_attempt_done, figures; idempotent */
void attempt_destroy(struct attempt *a);
int upstream_build(struct attempt *a); /* method, url, headers, body */
int upstream_build_raw(struct attempt *a); /* the same of a call that is relayed as it is; a->body is set, or is streamed */
int upstream_build_again(struct attempt *a); /* what again() asked for */
int upstream_send(struct attempt *a);
struct weir_credential_place upstream_credential_place(const struct config_provider *p);
void upstream_error_default(struct weir_error *e, int status);
extern const struct egress_ops attempt_egress_ops;
void attempt_answer_by_estimate(struct attempt *a); /* counting.c */
void attempt_ask_again(struct attempt *a); /* again.c: forgets the answer and asks after the delay */
void attempt_stop_asking(struct attempt *a);
void attempt_resume(struct attempt *a); /* its client has room again */
void attempt_go_on(struct attempt *a); /* a stage has waited: what came meanwhile */
void attempt_after_attempt(struct attempt *a, enum weir_verdict v);

/* ---- may it begin? (admission.c) ---- */
enum admission { ADMISSION_GIVEN, ADMISSION_FULL, ADMISSION_REFUSED }; /* REFUSED: by its breaker */
int admission_start(struct worker *w);
void admission_stop(void);
void admission_count_retry(const struct config_provider *p);
bool admission_take_hedge(const struct config_provider *p, double share); /* may a late call of it be hedged? Counts it */
int admission_provider(const struct config_provider *p); /* its number in shared memory; -1: none */
enum admission admission_ask(struct request *r, struct candidate *c); /* GIVEN: counted, until … */
void admission_end(const struct candidate *c); /* … its attempt is settled, or … */
void admission_return(struct candidate *c); /* … it never began */
void admission_leave(struct request *r); /* it is over: what it was given and did not use */
bool admission_wait(struct request *r); /* for r->full; true: it stands in the queue */

/* ---- hedging (hedge.c) ---- */
void hedge_plan(struct attempt *a); /* it was sent: when would another be asked beside it? */
int64_t hedge_at_us(const struct request *r); /* INT64_MAX: never */
void hedge_begin(struct request *r); /* it is time */
void hedge_settle(struct attempt *elected); /* the others have lost */
void hedge_account(struct attempt *a); /* it is cancelled: what it cost, as far as anybody knows */
struct attempt *attempt_beside(const struct attempt *a); /* another that may still be elected; NULL: none */

/* ---- several choices by as many calls (fanout.c) ---- */
bool fanout_makes(const struct request *r, const struct candidate *c); /* would it be done so? */
bool fanout_start(struct request *r, struct candidate *c); /* of one that was admitted; false: try the next candidate */
/* Of the answer, `fan`: */
void fanout_close(struct attempt *a); /* ends its calls */
void fanout_pause(struct attempt *a);
void fanout_resume(struct attempt *a);
void fanout_go_on(struct attempt *a);
/* Of a call, `fans`: */
void fanout_take(struct attempt *b, const struct weir_event *e);
void fanout_frame_done(struct attempt *b);
void fanout_fail(struct attempt *b); /* b->error is set */
void fanout_vetoed(struct attempt *b);

/* ---- copies for other models (mirror.c) ---- */
void mirror_start(void);
void mirror_choose(struct request *r); /* takes those that only get a copy out of the candidates */
void mirror_begin(struct request *r); /* its first attempt is on its way: so are its copies, from here */
void mirror_keep_body(struct request *r, struct exchange *x); /* x is about to go */
void mirror_before_end(struct request *r); /* of a client's request, and … */
void mirror_after_end(struct request *r); /* … when it is recorded */
void mirror_forget(struct request *r); /* it is being freed; nothing if it is no copy */
void mirror_stop(const struct weir_error *error); /* of all copies */
/* Of a copy: */
void mirror_release(struct attempt *a); /* on_attempt is through */
void mirror_sent(struct attempt *a);
void mirror_drop(struct request *r); /* it was not sent, for what its notes say */
void mirror_frame_done(struct attempt *a);
bool mirror_waits(struct request *r); /* it is over, but what it is a copy of is not */

/* ---- what an attempt's end says (outcome.c) and its key (provider_keys.c) ---- */
void outcome_spoke(struct attempt *a); /* its first content came */
void outcome_settle(struct attempt *a);
void outcome_refused(struct attempt *a); /* the provider answered with an error, which is whole now */
struct weir_str keys_choose(struct attempt *a);
void keys_settle(const struct attempt *a);
struct weir_str keys_first(struct arena *arena, const struct config_provider *p); /* for questions of weir's own; "": none */
bool keys_has_fresh(const struct attempt *a); /* one that this request has not used */
bool keys_has_another(const struct attempt *a); /* it failed for its key, and another may do */
/* All of them sit on the bench, the first for wait_ms more. */
bool keys_are_benched(struct arena *arena, const struct config_provider *p, struct weir_str model, uint32_t *wait_ms);
/* For how long the provider asked for patience with this model, with whichever key comes back first; 0: with one of them it did not. */
uint32_t keys_rest_ms(struct arena *arena, const struct config_provider *p, struct weir_str model);

/* ---- failures (recovery.c) ---- */
bool request_has_hosted_tool(const struct request *r); /* one that runs at the provider */
void recovery_after(struct attempt *a); /* a failed and the hooks have spoken: the same target, another, or the end */
void recovery_beside(struct attempt *a); /* a failed, but another lives: who may be asked once that has failed too */
void recovery_give_up(struct request *r); /* no candidate is left: the error that tells what was tried and passed over */
bool candidates_any(struct request *r); /* could one of those left be tried now? */
bool candidates_any_awake(struct request *r); /* … whose provider did not ask for patience */

/* ---- another finishes an answer that broke off (rescue.c; what is said of it stands in rescue.h) ---- */
void rescue_note(struct attempt *a, struct weir_event *e); /* its codec said so */
bool rescue_may(struct attempt *a, const struct weir_error *error); /* it fails with this: could the answer be finished? */
/* Nobody else is left: the target whose answer broke off may be asked to finish it, once, unless it was silent; from the budget for
 * retries. true: it is a candidate now. */
bool rescue_by_itself(struct request *r);
void rescue_begin(struct attempt *a); /* a->error is set; the request goes on, or fails */
bool rescue_attach(struct attempt *b); /* it begins while an answer is cut; false: no memory */
int rescue_ask(struct attempt *b);
void rescue_take(struct attempt *b, const struct weir_event *e);
bool rescue_was_refused(struct attempt *b); /* for the way in which it was asked: it may be asked in another */
void rescue_leave(struct attempt *b); /* it is over: what it cost */
void rescue_free(struct attempt *a);
/* What the client was told of tokens. */
struct weir_usage request_usage(const struct request *r);

/* Who supplies the answer's events now. */
static inline struct attempt *request_source(const struct request *r)
{
    return r->elected && r->elected->is_cut ? r->finisher : r->elected;
}

/* A stage of the answer waits: so does who supplies it. */
static inline bool attempt_waits(const struct attempt *a)
{
    return a->call.wait || (a->rescues && a->rescues->call.wait) || (a->fans && a->fans->call.wait);
}

/* ---- calls that are relayed as they are (raw.c) ---- */
static inline bool is_raw(const struct request *r)
{
    return r->view.operation == WEIR_OP_RAW;
}
int raw_candidates(struct request *r); /* the route's providers */
bool raw_reads_body(const struct request *r); /* it is needed whole, for a signature or for ids, or small */
int raw_send(struct attempt *a);
struct weir_str raw_path(const struct request *r); /* as the provider understands them: without providers' names in ids */
struct weir_str raw_query(const struct request *r);
void raw_on_data(struct request *r); /* more of the client's body is there */
void raw_on_head(struct attempt *a);
void raw_head_done(struct attempt *a); /* on_head of the stages has run */
void raw_feed(struct attempt *a, struct weir_str bytes);
void raw_end(struct attempt *a);

/* ---- events (events.c) ---- */
int event_emit(struct weir_call *c, const struct weir_event *e);
/* The frame's events are emitted: through the stages and on to the client. */
void events_frame_done(struct attempt *a, struct weir_frame *frame);
void events_pump(struct attempt *a);
void events_resumed(struct attempt *a, enum weir_verdict v);
void events_elect(struct attempt *a);
int events_go_on(struct attempt *a, const struct weir_event *e); /* of an answer that another finishes; -1: against the grammar */
int events_join(struct attempt *a, struct weir_event *e); /* of one of the calls that make its answer; -1: no memory */
bool events_are_relayed(const struct attempt *a); /* the client's encoder does not know of them */
void events_head_done(struct attempt *a, enum weir_verdict v, bool has_waited);
int events_release(struct weir_call *c, bool forget);
void events_free(struct attempt *a);

/* ---- the client (deliver.c) ---- */
int deliver_begin(struct attempt *a); /* the head of a stream */
void deliver_event(struct attempt *a, struct weir_event *e);
void deliver_bytes(struct request *r, struct weir_str bytes);
void deliver_flush(struct request *r);
void deliver_whole(struct attempt *a, struct weir_str relayed); /* relayed.p NULL: encode the collected answer */
/* The head of what is relayed as it is; grows: the body won't have the length that its provider told. */
int deliver_raw_head(struct attempt *a, bool grows);
void deliver_end(struct request *r);
void deliver_error(struct request *r, const struct weir_error *error);
void deliver_error_text(struct request *r, const struct weir_error *error, struct weir_out *out); /* in the client's dialect */
void deliver_models(struct request *r);
void deliver_keepalive(struct request *r);

/* ---- host (host.c …) ---- */
extern const struct weir_host host_table;
void *host_alloc(struct weir_call *c, enum weir_lifetime lifetime, size_t n);
enum weir_verdict host_fail(struct weir_call *c, const struct weir_error *error);
void note_add(struct request *r, const char *stage, const char *key, struct weir_str value);
void error_copy(struct arena *a, struct weir_error *to, const struct weir_error *from);
uint64_t request_random(struct request *r);

/* ---- losses (losses.c: who decides what stands there) ---- */
enum config_on_loss losses_rule(const struct request *r, const struct candidate *c);
/* Why the target may not be tried for what its codec can't say; "": it may. Lifetime: request. */
struct weir_str losses_forbid(struct request *r, const struct candidate *c);
/* A codec said so with lose(). */
void losses_keep(struct attempt *a, uint32_t feature, uint32_t what, struct weir_str why); /* of weir's own */
void losses_told(struct weir_call *c, uint32_t feature, uint32_t what, struct weir_str why);
/* The request is encoded: what its codec's table tells is added to what it told itself. Why it may not be sent; "": it may. */
struct weir_str losses_of_request(struct attempt *a);
/* An event goes to the client's encoder. */
void losses_of_event(struct attempt *a, const struct weir_event *e);
/* A whole answer is written anew, in the provider's dialect too: a stage changed it. */
void losses_of_document(struct attempt *a);
struct weir_str losses_header(const struct attempt *a); /* x-weir-loss; "": nothing to say */
void losses_write(const struct attempt *a, struct weir_out *o); /* "losses": […], nothing if there are none */

/* ---- explanation (explanation.c) ---- */
void explanation_note(struct request *r, const struct candidate *first); /* the first candidate is about to be tried */
void explanation_field(struct weir_call *c, enum weir_field f, struct weir_str json); /* a stage set it */
void explanation_text(struct weir_call *c, int64_t before, size_t after); /* bytes; before -1: of the system prompt, in front */
void explanation_candidates(struct weir_call *c); /* a stage chose them */
struct weir_str explanation_header(struct request *r); /* x-weir-explain; "": nobody asked, or may */
void explanation_write(const struct request *r, struct weir_out *o); /* "explanation": {…}, nothing if there is none */

/* ---- record (record.c) ---- */
const char *operation_name(uint32_t operation); /* "chat" */
void record_write(struct request *r, struct weir_out *out);
/* What became of it, for the record of its copy. */
void record_write_side(const struct request *r, struct weir_out *out);
void record_put_attempts(const struct request *r, struct weir_out *o); /* "attempts": […], nothing if there are none */
void record_put_decisions(const struct request *r, struct weir_out *o); /* "decisions": […], the same */
enum facts_tier request_tier(const struct request *r);
void record_complete(struct request *r); /* the request is over: told to whom it concerns, and counted */
double attempt_cost_usd(const struct attempt *a); /* -1: a price or a count is not known */

/* ---- errors (errors.c) ---- */
int error_status(const struct weir_error *e); /* what the client gets */
const char *error_code(const struct weir_error *e); /* the class's own code unless it says one */
const char *error_class_name(uint32_t error_class);

#endif
