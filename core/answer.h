/* Events: copies with their strings, the grammar they must keep, and the whole answer they make. No I/O, no request here.
 */
#ifndef WEIR_CORE_ANSWER_H
#define WEIR_CORE_ANSWER_H

#include <weir/event.h>

#include "arena.h"
#include "json.h"

/* Copies an event made by code of any version (its size may be smaller than ours): the struct only … */
void event_adopt(struct weir_event *to, const struct weir_event *from);
/* … or with everything it points to, put into `room`: 16-byte aligned, at least event_room() bytes. */
size_t event_room(const struct weir_event *from);
void event_pack(struct weir_event *to, const struct weir_event *from, void *room);
/* Does it carry content, that is: does giving it to the client commit to this answer? */
bool event_has_content(const struct weir_event *e);
const char *event_kind_name(uint32_t kind);

/* ---- the grammar (see <weir/event.h>) ---- */
enum { GRAMMAR_OPEN_MAX = 256, GRAMMAR_CHOICES_MAX = 128 }; /* vectors are as many as the inputs */
struct grammar_block {
    uint32_t choice, block;
    uint16_t kind;
};
struct grammar {
    bool has_started, has_ended;
    uint32_t n_open, cap;
    struct grammar_block *open;
    struct grammar_block first[4]; /* until more are open */
    uint64_t finished[2];          /* choices 0..127 */
    uint32_t choices;              /* highest choice seen + 1 */
};
/* NULL, or what is wrong with this event here. Fills block_kind of DELTA and BLOCK_STOP. */
const char *grammar_check(struct grammar *g, struct weir_event *e, struct arena *a);

/* ---- the collector ---- */
struct collector;
struct collector *collector_new(struct arena *a);
void collector_free(struct collector *c); /* its growing texts; the rest is the arena's */
bool collector_add(struct collector *c, const struct weir_event *e); /* false: no memory */
const struct weir_answer *collector_answer(struct collector *c);
/* Overwrites what is known in `to` with what `from` says (usage is told several times; the last value of each counts). */
void usage_merge(struct weir_usage *to, const struct weir_usage *from);
/* Adds the plain content of a text to a growing one. */
void answer_add_text(struct weir_out *out, const struct weir_text *t);

#endif
