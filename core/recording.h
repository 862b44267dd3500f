/* What rules read and decided, one request a line: made by a weir that serves (recording.c), decided again by `weir replay`
 * (recording_play.c).
 *
 * While the on_request of a stage that tests can be written for runs, `recording_tap` is set, and the host functions through which
 * such a stage learns something show it what they found: the recorder notes it, the player says it in place of what is so now.
 */
#ifndef WEIR_CORE_RECORDING_H
#define WEIR_CORE_RECORDING_H

#include <jansson.h>

#include "request.h"

enum { RECORDING_VERSION = 1, RECORDING_PATH = 512 };

struct recording_tap {
    struct weir_str (*header)(struct weir_call *c, struct weir_str name, struct weir_str found);
    bool (*header_at)(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value);
    struct weir_str (*shared)(struct weir_str key, struct weir_str found); /* before it is given out, or changed */
    void (*shared_set)(struct weir_str key, struct weir_str found);
    json_t *(*fetch)(const struct weir_fetch *q); /* the object that its result goes to; NULL: none */
    struct weir_candidate *(*candidate)(struct weir_call *c, struct weir_str name, struct weir_candidate *found);
    int64_t (*now_ms)(int64_t found);
    void (*content)(void); /* the words of a conversation are read */
    int64_t (*tokens)(int64_t found);
    bool (*complexity)(bool found, struct weir_complexity *k);
};
extern const struct recording_tap *recording_tap; /* NULL: nobody wants to know */

/* Around every part of such a hook: its begin, its going on after a wait, its verdict. */
void recording_before(struct weir_call *c, const struct weir_instance *s);
void recording_pause(void);
void recording_goes_on(struct weir_call *c);
void recording_after(struct weir_call *c, enum weir_verdict v);
/* The request is over: writes its line. */
void recording_finish(struct request *r);
/* A fetch ended: what came of it. */
void recording_fetched(json_t *to, const struct weir_fetch_result *result);

/* ---- parts that both sides use ---- */
json_t *recording_decision(struct weir_call *c, enum weir_verdict v);
json_t *recording_str(struct weir_str s); /* NULL: not UTF-8 */
void recording_digest(struct weir_str bytes, char hex[65]);

/* ---- shared memory: whether it is on, for all workers (recording.c) ---- */
struct recording_state {
    uint64_t requests, bytes, dropped;
    bool is_on;
};
/* Begins, or ends with until_ms 0. The file exists. */
void recording_set(const char *path, int64_t until_ms, uint64_t max_bytes, bool has_contents);
struct recording_state recording_state(void);

/* ---- playing: one rule in a process (recording_play.c) ---- */
struct recording_player {
    const json_t *rule; /* as recorded */
    bool has_contents;
    json_t *decision;
    char undecidable[256]; /* what was asked for and is not there; "" */
};
extern struct recording_player *recording_player; /* NULL: none */
void recording_player_before(struct weir_call *c);
void recording_player_after(struct weir_call *c);
extern const struct recording_tap recording_player_tap;
/* What a fetch is answered with; NULL: it is not in the recording. */
const json_t *recording_player_fetch(const struct egress_request *q);

#endif
