/* A host for tests of the Lua stage: one fake request at a time, memory on lists, a clock and a loop driven by hand.
 *
 * Everything a test wants to look at is in the structs; nothing here checks what a hook may call, except for what
 * makes the stage fail (NULL, negative numbers) on purpose.
 */
#ifndef WEIR_TESTS_LUA_HOST_H
#define WEIR_TESTS_LUA_HOST_H

#include <weir/plugin.h>

enum { FAKE_CANDIDATES = 24, FAKE_NOTES = 128, FAKE_HEADERS = 16, FAKE_EDITS = 64, FAKE_TEXTS = 64 };

struct fake_pair {
    char *key, *value;
};

/* One request. Zeroed and filled by fake_call(); given back by fake_call_end(). */
struct weir_call {
    struct weir_request_view view;
    struct weir_principal principal;
    struct weir_conversation conversation;
    struct weir_field_value fields[WEIR_FIELD_COUNT];
    struct fake_pair headers[FAKE_HEADERS];
    int n_headers;
    struct weir_candidate *candidates[FAKE_CANDIDATES]; /* as they stand */
    uint32_t n_candidates;
    struct weir_candidate *target;
    struct weir_error outcome; /* of the attempt */
    struct weir_usage usage;
    int status;
    struct weir_part *texts[FAKE_TEXTS]; /* what request_texts() walks; NULL part: not editable */
    const char *where[FAKE_TEXTS];
    int n_texts;

    /* what the stage did */
    struct fake_pair notes[FAKE_NOTES], edits[FAKE_EDITS], response_headers[FAKE_HEADERS];
    int n_notes, n_edits, n_response_headers;
    char *answer, *system;
    struct weir_error error; /* of fail() */
    char error_code[80], error_message[600];
    int n_fails;

    /* waiting */
    weir_token token;
    weir_fn cancel;
    void *cancel_arg;
    const char *why;
    enum weir_verdict resumed; /* 0: not yet */
    int n_waits;
    bool refuses_to_wait;

    void *block;
    struct fake_memory *memory;
    size_t memory_n;
};

struct fake_fetch {
    bool is_live;
    char *method, *url, *body;
    char headers[2000]; /* "name: value [secret N]\n" */
    uint32_t deadline_ms;
    weir_fetch_fn done;
    void *arg;
};

struct fake {
    struct weir_host host;
    int64_t now_ms;
    int64_t time_us; /* what monotonic_us() says, unless is_real_time */
    bool is_real_time;
    char log[8000];
    struct weir_candidate all[FAKE_CANDIDATES]; /* every target there is; name "" ends them */
    struct fake_fetch fetch; /* the one under way */
    struct fake_pair shared[64];
    int n_shared;
    int n_timers, n_deferred;
    int64_t longest_us;      /* the longest run of the stage between two turns of the loop, in CPU time */
    uint64_t seed;
};
extern struct fake fake;

void fake_start(void); /* empties everything */
void fake_target(const char *name, const char *region, double price, int64_t context, uint32_t capabilities);
struct weir_call *fake_call(size_t block_size); /* asks for model "fast", with all targets as candidates */
void fake_header(struct weir_call *c, const char *name, const char *value);
struct weir_message *fake_message(struct weir_call *c, enum weir_role role, const char *text);
void fake_field(struct weir_call *c, enum weir_field f, const char *json);
void fake_call_end(struct weir_call *c);
const char *fake_note(const struct weir_call *c, const char *key); /* "" if there is none */

/* One turn of the loop: everything deferred, and timers that are due. Returns how many callbacks ran. */
int fake_turn(void);
/* Turns, and moves the clock to the next timer, until the call is resumed or nothing is left to happen. */
enum weir_verdict fake_run(struct weir_call *c, enum weir_verdict first);
void fake_answer(int status, const char *headers, const char *body); /* to the fetch under way */
void fake_answer_error(const char *error);
void fake_cancel(struct weir_call *c); /* the client left */
int64_t fake_clock_us(void);
int64_t fake_cpu_us(void); /* of this thread: what others on the machine do does not show */

#endif
