/* A request and its attempts, as the rooms of the pipeline share them. The diagram of its life stands in pipeline.c.
 *
 * Who owns what: a request is made when a head arrives (serve.c) or a copy is sent (mirror.c), and freed in request.c, once, when
 * its client was answered (or left) and every attempt is over. It owns its arena, its attempts and their arenas, its one wait. The exchange
 * belongs to the edge: `exchange` is NULL from the moment it is gone. An attempt owns its upstream call.
 *
 * Lifetimes by name: request->arena, attempt->arena; `scratch` (scratch.h) for the call.
 */
#ifndef WEIR_CORE_REQUEST_H
#define WEIR_CORE_REQUEST_H

#include <weir/codec.h>

#include "answer.h"
#include "config.h"
#include "conversation.h"
#include "feature_set.h"
#include "framer.h"
#include "shm.h"

struct event;
struct explanation;
struct recorded;
struct wait;

/* ---- stages and lanes ---- */

struct weir_instance { /* one use of a plugin in this worker */
    struct plugin *plugin;
    const struct config_stage *use; /* NULL for codecs */
    void *self;
    bool is_failing_open; /* on_quarantine: skip */
};

/* The hooks, in the order of a request's life. Up to HOOK_ATTEMPT they run 1→n, from HOOK_HEAD on n→1. */
enum hook {
    HOOK_OPEN,
    HOOK_REQUEST,
    HOOK_FAILURE,
    HOOK_ATTEMPT,
    HOOK_HEAD,
    HOOK_EVENT,
    HOOK_ATTEMPT_DONE,
    HOOK_FINISH,
    HOOKS
};

/* What a request passes: entry's stages, then its route's; compiled once per worker. */
struct lane {
    struct weir_instance **stages;
    uint32_t n, n_entry;
    uint8_t *slots[HOOKS]; /* indexes of the stages that have the hook, ascending */
    uint32_t n_slots[HOOKS];
    size_t *request_offset, *attempt_offset; /* of each stage's block */
    size_t entry_bytes, route_bytes, attempt_bytes;
};

/* ---- a call, as plugins see it ---- */

struct weir_call {
    struct request *request;
    struct attempt *attempt; /* NULL: the request itself */
    struct arena *arena; /* where the call's memory comes from: the request's, the attempt's, or scratch */
    enum hook hook; /* where the cursor stands … */
    uint32_t step; /* … and how many slots of that hook are behind it */
    uint32_t steps; /* slots to walk for this hook */
    struct weir_instance *running; /* who is being called; NULL: nobody */
    struct wait *wait; /* the token that was taken; NULL: none */
    struct weir_event *event; /* on_event's */
    struct weir_error error; /* set by fail(); error_class NONE: none */
    bool is_decoding; /* a codec may emit */
    bool has_answer; /* a stage emitted its own answer */
};

/* A header that a stage or the core adds. */
struct header_item {
    struct header_item *next;
    struct weir_str name, value;
};

struct note {
    struct note *next;
    const char *stage, *key;
    struct weir_str value;
};

/* ---- candidates ---- */

struct candidate {
    struct weir_candidate view; /* first: plugins hold its address */
    const struct config_provider *provider;
    const struct config_model *of; /* the configured model whose target it is; NULL: named directly */
    int figures; /* target id in shared memory; -1: none */
    const struct facts_prices *prices; /* n_prices of them; 0: not known */
    uint32_t n_prices;
    uint32_t lacks; /* enum weir_capability: known to be missing, whatever the dialect can say */
    struct edit *edits; /* applied when it is tried */
    struct header_item *headers;
    struct config_timeouts timeouts;
    bool was_tried;
    uint32_t max_inflight; /* calls to it at the same time; 0: no limit */
    struct breaker_ticket ticket; /* from its admission until its attempt takes it over */
    bool is_wanted; /* chosen after a failure by a rule: also if it was asked before */
};

/* ---- attempts ---- */

/* One thing that a translation could not say as it was meant. */
struct loss {
    struct loss *next;
    uint32_t feature; /* enum weir_feature */
    uint32_t what; /* enum weir_loss; 0: nobody knows, the codec has no table */
    struct weir_str why;
};

enum attempt_state {
    ATTEMPT_STARTING, /* on_attempt runs */
    ATTEMPT_SENT, /* waiting for an answer's head */
    ATTEMPT_ERROR, /* an error answer's body is collected */
    ATTEMPT_ANSWERING, /* events come, nothing was given to the client */
    ATTEMPT_HEADING, /* elected: on_head runs */
    ATTEMPT_ELECTED, /* events go to the client */
    ATTEMPT_OVER,
};

struct queued_event { /* one block of memory, with the event's strings behind it */
    struct queued_event *next;
    struct weir_event event;
    uint32_t from; /* the slot of on_event to go on with (counted as in weir_call.step) */
};

struct attempt {
    struct weir_call call;
    struct attempt *next; /* of the request, newest first */
    struct arena *arena;
    struct candidate *target; /* NULL: a stage's own answer */
    const struct config_provider *provider;
    struct weir_instance *codec;
    void *codec_state;
    void *blocks; /* the stages' */
    enum attempt_state state;
    uint32_t n_entered; /* slots of on_attempt entered: those get on_attempt_done */
    uint32_t below; /* its answer passes the stages of a smaller index: all, or those before the one that answers */
    bool is_same_dialect;
    bool is_streaming; /* asked to stream */
    bool can_relay; /* same dialect, and nothing was taken over by the encoder */

    struct conversation_edits edits;
    struct splices *splices; /* being gathered, while upstream.c builds the body */
    struct egress_call *upstream;
    const struct egress_upload *upload; /* the client's body, handed on as it comes; NULL: none */
    struct weir_str *body; /* pieces */
    uint32_t n_body;
    struct weir_out *encoded; /* the body, if it was encoded anew */
    const char *method, *url;
    struct weir_str key; /* the provider's, chosen for this attempt */
    struct header_item *unsigned_headers; /* `headers` as they were before the key or the signature came to them */
    bool is_looking; /* the codec looks at an answer: it may ask again */
    bool is_signing; /* sign() runs: it may ask for what the key makes */
    struct again { /* the codec wants to ask again */
        bool is_asked;
        uint32_t n, delay_ms;
        const char *method, *url;
        struct event *timer;
    } again;
    struct header_item *headers;
    int status; /* of the upstream; 0: none yet */
    const struct http_header *response_headers;
    uint32_t n_response_headers;
    struct header_item *trailers; /* of the upstream's answer */
    struct framer framer;
    bool speaks_json, has_skipped; /* its events are JSON objects; one that was no JSON was left out */
    bool is_metered; /* of a relayed call: what passes is read for its usage */
    struct weir_out error_body;
    enum egress_result result;
    bool is_paused, has_ended; /* upstream paused by us; its bytes are over */
    bool ended_cleanly;

    struct grammar grammar; /* of what the codec emits */
    struct grammar grammar_out; /* of what leaves the stages */
    struct collector *collector; /* the whole answer, where one is needed */
    struct queued_event *queue, **queue_end; /* events that wait: before election, or behind a stage that waits */
    struct queued_event *held[16], **held_end[16]; /* by on_event slot */
    struct weir_out pending; /* bytes of frames to relay, before election */
    struct weir_out backlog; /* bytes that came while a stage waited */
    size_t held_bytes;
    struct queued_event *current; /* the event whose on_event waits */
    struct queued_event *inserted, **inserted_end; /* by the hook that runs: go on before the current event */
    /* The frame that is going through: relayed as it came if every event of it left unchanged. */
    bool frame_is_dirty;
    struct queued_event *frame_out, **frame_out_end; /* what left the stages so far */
    bool has_content; /* the codec emitted content: this attempt may be elected */
    bool whole_is_dirty; /* a whole answer that no longer is its bytes */
    bool end_has_left; /* END is through the stages */
    struct weir_str served_model; /* as the provider names it */
    bool was_asked_to_finish; /* its target, to finish what this one began */
    uint32_t finish; /* enum weir_finish of its first choice; 0: not said */

    struct weir_usage usage;
    struct weir_error error; /* how it ended; error_class NONE: well */
    int64_t started_us, head_us, first_token_us, last_byte_us, ended_us;
    struct config_timeouts timeouts;
    struct weir_str token; /* of `auth` by a plugin */
    uint64_t token_check;
    bool was_token_awaited; /* in vain */
    bool media_is_inlined; /* its body is another than the client's */
    struct media *media; /* what is fetched for it; NULL: nothing */
    struct egress_timing timing;
    struct header_item *candidate_headers;
    bool is_counted; /* in the target's figures */
    bool was_sent;
    struct breaker_ticket ticket;
    bool was_silent; /* it gave no answer until a time-out */
    int64_t hedge_at_us; /* when another is asked beside it; 0: never (hedge.c) */
    bool was_outrun; /* another was faster */
    struct weir_str reason; /* why it was made, for the record */

    bool has_told_wrongly; /* its codec's fault was noted: once is enough */
    struct loss *losses, *last_loss; /* in the order in which they were found */
    struct features answer_used; /* by what went to the client so far */
    struct answer_order answer_order;

    struct transcript *transcript; /* what it said so far, where another may have to finish it; NULL: nobody may */
    struct attempt *rescues; /* the answer that it finishes; NULL: its own */
    struct rescuer *rescuer; /* how */
    bool is_cut; /* its upstream is over, the answer is not: another finishes it */

    struct fan *fan; /* its answer is made by several calls, each an attempt (fanout.c); NULL: by itself */
    struct attempt *fans; /* the answer of which it makes … */
    uint32_t choice; /* … this choice; NULL: its own */
};

/* ---- requests ---- */

enum request_state {
    REQUEST_OPEN_ENTRY,
    REQUEST_ROUTE_EARLY,
    REQUEST_OPEN_EARLY,
    REQUEST_BODY,
    REQUEST_DECODE,
    REQUEST_ROUTE_LATE,
    REQUEST_OPEN_LATE,
    REQUEST_HOOKS,
    REQUEST_SERVE,
    REQUEST_ATTEMPT,
    REQUEST_OVER,
};

struct request {
    struct weir_call call;
    struct request *next, *prev; /* all of this worker */
    struct arena *arena;
    struct exchange *exchange; /* NULL: gone */
    const struct http_head *head; /* the exchange's; still there while on_gone runs */
    enum request_state state;
    struct weir_request_view view;
    char id[132]; /* NUL-terminated, for breadcrumbs */
    const struct lane *lane;
    const struct config_route *route; /* NULL until chosen */
    uint32_t n_opened; /* stages that were entered: those get on_finish */
    void *entry_blocks, *route_blocks;
    struct weir_instance *codec; /* the client's dialect; NULL: unknown path */
    const struct weir_claim *claim;
    struct plugin *door; /* whose claim it is, or in whose words errors are said */
    void *codec_state;
    uint64_t body_limit;
    struct weir_str credential;
    struct weir_principal principal;
    char principal_name[40];
    struct conversation *conversation; /* NULL until decoded */
    struct weir_model *models;
    uint32_t n_models;

    struct weir_candidate **candidates; /* those not tried yet, in order */
    uint32_t n_candidates;
    const struct config_provider *pinned; /* whose ids the request names: only its targets understand them; NULL: nobody's */
    bool has_candidates; /* computed, or set by a rule */
    bool were_candidates_set; /* by the hook that runs now */
    bool is_beyond_targets; /* a target was skipped for a capability that it lacks */
    const char *lost_feature; /* the first for which a target was refused; NULL: none was */
    struct weir_str next_reason; /* why the next attempt will be made */
    struct candidate *full; /* the first that had no room */
    struct candidate *admitted; /* its turn in a queue has come; not begun yet */
    struct place *place; /* in a queue */
    bool was_shed; /* there was no room, nor any in the queue */
    uint32_t ready_ms; /* until the first of those that were passed over may be asked; 0: not known */
    bool is_exhausted; /* weir tried again or elsewhere, in vain */
    const struct config_model *model; /* what the asked name means; NULL: a target's own name */

    struct attempt *attempts; /* newest first */
    struct attempt *elected;
    struct attempt *finisher; /* who finishes the elected one's answer; NULL: itself */
    uint32_t n_attempts, n_fanned; /* n_fanned: calls beside the first of one answer */
    bool was_hedged; /* a second target was asked beside one that was late */
    struct header_item *headers; /* for the answer, by stages */
    struct note *notes, **notes_end;
    struct weir_str *attributes; /* by id */

    struct raw_call *raw; /* of a call that is relayed as it is (raw.c); NULL: nothing to remember */
    bool wants_stream, wants_usage;
    const char *other_stream_type; /* NULL: the codec's stream_type */
    bool is_answering; /* the answer's head went to the edge */
    bool is_answered; /* it is complete, or broken */
    bool error_was_relayed; /* the provider's own error event went to the client */
    bool breaks_off; /* its answer broke: no clean end */
    bool is_ending; /* on_finish runs or has run */
    bool is_doomed; /* its end was asked for; done at the next safe point */
    uint32_t depth; /* calls of the pipeline on the stack: it is never freed while > 0 */
    int status; /* sent to the client */
    struct weir_error error; /* what the client was told; NONE: nothing wrong */
    struct event *timer;
    int64_t timer_at_us;
    int64_t started_us, total_deadline_us, first_byte_us, last_write_us, ended_us;
    uint32_t *stage_us; /* by stage of the lane */
    uint64_t random[2]; /* seeded per request */
    uint64_t bytes_out;
    struct explanation *explanation; /* for who asked for one (explanation.c); NULL: nobody */
    struct recorded *recorded; /* what its rules read (recording.c); NULL: nothing is recorded */

    struct mirror *mirror; /* it is a copy, for whose answer nobody waits (mirror.c); NULL: a client's */
    struct candidate **mirrors; /* where copies of it go, until its first attempt is on its way */
    uint32_t n_mirrors;
    struct request *copies; /* of it, those that are not freed: a list by mirror->next */
    char *kept_body; /* what the client sent, when the exchange is gone and copies still read it */
    bool is_gone; /* over, and nothing is left but what its copies read */
};

struct mirror { /* what makes a request a copy; lifetime: that request */
    struct request *of; /* not freed before the copy; over: `of_is_over` */
    struct request *next; /* of the same */
    struct candidate *to; /* where it goes */
    size_t bytes; /* of the body that is kept for it */
    bool is_released; /* on_attempt is through: no stage knows of it but those that look at its end */
    bool is_over; /* its answer is; its end waits for the other's */
    bool of_is_over;
    struct weir_str beside; /* what the client got, for the record: JSON */
};

#endif
