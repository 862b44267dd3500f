/* The canonical conversation: how it is built, how it is edited, and how edits become splices of the received bytes.
 *
 * Edits are an ordered list, the request's and then an attempt's: an attempt copies edits, never the conversation, unless it
 * edits a text of its own (then its views, not its strings, are copied).
 */
#ifndef WEIR_CORE_CONVERSATION_H
#define WEIR_CORE_CONVERSATION_H

#include <weir/codec.h>

#include "arena.h"
#include "json.h"

struct edit {
    struct edit *next;
    uint32_t kind; /* enum weir_edit_kind; EDIT_TEXT, EDIT_REMOVE are the core's own */
    uint32_t field;
    struct weir_str value; /* FIELD: canonical JSON; PREPEND_SYSTEM, TEXT: plain text */
    uint32_t span_offset, span_n; /* in the received body; n 0: the codec must find the place */
};
enum { EDIT_TEXT = 100, EDIT_REMOVE = 101, EDIT_BYTES = 102 }; /* BYTES: only of the received bytes, as they stand */

/* A set of enum weir_feature (feature_set.h). */
struct features {
    uint64_t bits[2];
};

struct conversation {
    struct weir_conversation view; /* first: plugins hold its address */
    struct weir_field_value fields[WEIR_FIELD_COUNT];
    struct weir_message *last_message;
    struct part_tail { /* of the two lists that grew last: appending never walks */
        struct weir_part **list, *first, *last;
    } tails[2];
    struct weir_tool *last_tool;
    struct weir_ext *last_ext;
    struct weir_ext *unread, *last_unread; /* members that the codec passed over, wherever they stand; it doesn't see them */
    uint32_t n_unread;
    bool has_more_unread; /* than are kept */
    struct edit *edits, **edits_end; /* of the request, in order */
    struct features content; /* what messages and tools use; fields change, so they are looked at when asked */
    struct arena *arena;
};

/* What an attempt changes. Zero: nothing. */
struct conversation_edits {
    struct edit *list, **end;
    struct conversation *own; /* the conversation with them applied; NULL: the request's */
};

struct conversation *conversation_new(struct arena *a, struct weir_str dialect, uint32_t operation, struct weir_str body);
int conversation_set_field(struct conversation *c, enum weir_field f, struct weir_str json, struct weir_str wire);
struct weir_message *conversation_message(struct conversation *c, enum weir_role role);
struct weir_part *conversation_part(struct conversation *c, struct weir_part **list, enum weir_part_kind kind);
/* weir_host.media_url; what has to be decoded is the arena's. */
bool conversation_media_url(struct arena *a, struct weir_part *p, const struct weir_text *url);
struct weir_tool *conversation_tool(struct conversation *c);
int conversation_ext(struct conversation *c, struct weir_str path, struct weir_str raw, struct weir_str member);
/* Before its body is read: what the codec passes over is known (`unread`) when the conversation is closed. Who doesn't close it calls
 * json_watch_end(NULL, NULL). */
void conversation_watch(struct conversation *c);
/* The conversation is complete: computes what a target needs for it, and what it uses. */
void conversation_close(struct conversation *c);

/* Editing the request's own. Values are copied. 0, or -1 (no memory, not JSON). */
int conversation_edit_field(struct conversation *c, enum weir_field f, struct weir_str json);
int conversation_edit_text(struct conversation *c, struct weir_part *part, struct weir_str plain);
int conversation_edit_bytes(struct conversation *c, struct weir_str was, struct weir_str now); /* was: lies in the body */
int conversation_prepend_system(struct conversation *c, struct weir_str plain);
/* Leaves out every member that the codec doesn't know. */
int conversation_drop_ext(struct conversation *c);

/* The same for one attempt. base is the request's conversation and stays as it is. */
struct conversation *conversation_of_attempt(struct conversation *base, struct conversation_edits *e, struct arena *a);
/* With views of its messages that the caller may change; strings stay shared. NULL without memory. */
struct conversation *attempt_own_messages(struct conversation *base, struct conversation_edits *e, struct arena *a);
int attempt_edit_field(struct conversation *base, struct conversation_edits *e, struct arena *a, enum weir_field f, struct weir_str json);
int attempt_edit_text(struct conversation *base, struct conversation_edits *e, struct arena *a, struct weir_part *part,
                      struct weir_str plain);
int attempt_prepend_system(struct conversation *base, struct conversation_edits *e, struct arena *a, struct weir_str plain);
/* Adds an edit that a candidate carries. */
int attempt_apply(struct conversation *base, struct conversation_edits *e, struct arena *a, const struct edit *edit);

/* ---- splices: the received bytes with some of them replaced ---- */
struct splice {
    uint32_t offset, n;
    struct weir_str with;
};
struct splices {
    struct splice *list;
    uint32_t n, cap;
    struct arena *arena;
    bool failed;
};
void splices_add(struct splices *s, size_t offset, size_t n, struct weir_str with);
/* The body in pieces: `*pieces` in the splices' arena. < 0: they overlap or lie outside. */
int splices_apply(struct splices *s, struct weir_str body, struct weir_str **pieces, uint32_t *n);
/* The splice of an edit that knows its own place. false: the codec must place it. */
bool splices_place(struct splices *s, const struct edit *e, struct weir_str body);

/* ---- reading ---- */
void conversation_texts(struct conversation *c, struct arena *a, weir_text_fn fn, void *arg);
/* Tokens of the input, an estimate; rates: the dialect's, NULL: a middle one. */
int64_t conversation_estimate(const struct conversation *c, const struct weir_token_rates *rates);

#endif
