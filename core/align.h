/* Joining a continuation to what was sent. Pure: texts in, a decision out.
 *
 * One model's answer broke off; another was asked to finish it. What it says may go on exactly, repeat the last words, begin again
 * from the top, begin with a preamble, or say it all with other white space. The aligner reads the continuation piece by piece,
 * holds it as long as more than one reading is possible, and then says from where on it is new. If the readings differ and nothing
 * tells them apart it gives up: a duplicate, a hole or a guess is worse than an error.
 */
#ifndef WEIR_CORE_ALIGN_H
#define WEIR_CORE_ALIGN_H

#include <weir/base.h>

#include "arena.h"
#include "json.h"

enum align_how {
    ALIGN_PREFILLED, /* the model was given the text as the beginning of its own answer, without white space at its end */
    ALIGN_ASKED,     /* it was asked to repeat the last words and to go on */
};

enum align_state { ALIGN_HOLDS, ALIGN_GOES_ON, ALIGN_GAVE_UP };

/* One way to read the continuation: it repeats what was sent, from here on. */
struct align_reading {
    uint32_t start, at; /* in `sent`: where it begins, and how far it has matched */
};

struct align {
    struct weir_str sent; /* the caller's; without the white space at its end … */
    struct weir_str tail; /* … which is here */
    enum align_how how;
    enum align_state state;
    struct weir_out held; /* all of the continuation, until it is decided */
    struct align_reading *alive;
    uint32_t n_alive;
    size_t read;     /* bytes of `held` that the readings have seen */
    bool is_spaced;  /* … the last of which were white space */
    size_t searched; /* bytes of `held` that were searched for the last words */
    struct { /* the longest reading that is complete */
        bool is_there;
        uint32_t start;
        size_t end; /* in `held` */
    } whole;
    uint32_t n_whole;    /* complete readings */
    uint32_t longest_lost; /* bytes that matched before a reading failed: it is a repetition in other words */
    const char *why; /* GAVE_UP: in words */
};

void align_begin(struct align *x, struct weir_str sent, enum align_how how);
/* The next piece. GOES_ON: *now is what is new so far (a piece of `held`, or `piece` itself); from then on all is. */
enum align_state align_add(struct align *x, struct weir_str piece, struct weir_str *now);
/* There is no more: never HOLDS. */
enum align_state align_end(struct align *x, struct weir_str *now);
void align_free(struct align *x);

/* The words with which a model that was asked is to begin: the end of what was sent, from the beginning of a word or a line on. */
struct weir_str align_last_words(struct weir_str sent);

/* JSON whose beginning was sent (a tool's arguments, a structured answer), and a whole continuation of any kind: *rest is what has
 * to be added so that a valid document results. -1: none does, or several would. */
int align_json(struct arena *a, struct weir_str sent, struct weir_str continuation, struct weir_str *rest);
/* Do two documents differ in white space at most? */
bool align_same_json(struct weir_str a, struct weir_str b);

#endif
