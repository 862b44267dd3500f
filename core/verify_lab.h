/* A codec on the bench: a host table of its own, one call, and what the codec did with them. No worker, no pipeline; the
 * conversation, events, JSON and frames are the core's own. Time, ids and chance are always the same, so runs repeat.
 *
 * What a request or an answer means is written as text ("canonical"), so that two ways to it can be compared.
 */
#ifndef WEIR_CORE_VERIFY_LAB_H
#define WEIR_CORE_VERIFY_LAB_H

#include "answer.h"
#include "canon.h"
#include "conversation.h"
#include "framer.h"
#include "loader.h"
#include "request.h"

enum lab_side { LAB_INGRESS, LAB_EGRESS };

struct lab_event {
    struct lab_event *next;
    struct weir_event event;
};

struct lab {
    struct weir_call call; /* first: what the codec holds */
    const struct plugin *plugin;
    void *self, *state, *entry;
    enum lab_side side;
    struct arena *arena; /* owns everything below but the outs */
    struct conversation *conversation;
    struct weir_request_view view;
    struct weir_error error; /* what fail() said; error_class NONE: nothing */
    struct grammar grammar;
    const char *broken_rule; /* of the events' grammar; NULL: none */
    struct collector *collector;
    struct lab_event *events, **events_end;
    bool has_ended, has_error;
    bool asks_again; /* again() was called: the answer is to come */
    struct splices splices;
    const char *method, *url;
    uint32_t n_ids;
};

/* The codec's instance of this process; NULL: create() refused. */
void *lab_codec(const struct plugin *p);
/* Of what operation labs and conversations are made from now on (CHAT at first): pairs of a codec's other operations. */
void lab_operation(uint32_t next);
uint32_t lab_operation_now(void);
struct lab *lab_new(const struct plugin *p, void *self, enum lab_side side);
void lab_free(struct lab *l);

/* All: 0, or -1 and lab_why() tells. */
int lab_decode_request(struct lab *l, struct weir_str body);
/* What `writer` called is what `reader` is called with: in some dialects the path says the model. */
void lab_is_called(struct lab *reader, const struct lab *writer);
int lab_encode_request(struct lab *l, struct conversation *c, struct weir_out *out);
/* The answer in two reads, cut at `cut`. clean: how the transport ended. whole: not a stream. */
struct lab_answer {
    struct weir_str bytes;
    size_t cut;
    bool is_whole, ends_clean;
};
int lab_decode_answer(struct lab *l, const struct lab_answer *answer);
int lab_decode_error(struct lab *l, int status, struct weir_str body, struct weir_error *error);
int lab_encode_stream(struct lab *l, const struct lab_event *events, struct weir_out *out);
int lab_encode_answer(struct lab *l, const struct lab_event *events, struct weir_out *out);
int lab_encode_error(struct lab *l, const struct weir_error *error, struct weir_out *out);
const char *lab_why(const struct lab *l);
struct features lab_wrong_losses(void);
uint32_t lab_framing(const struct plugin *p, bool is_whole);

/* ---- meaning as text (verify_canon.c) and back (verify_parse.c) ---- */
void canon_event(struct arena *a, const struct weir_event *e, struct weir_out *out); /* one line, without its end */
void canon_events(struct arena *a, const struct lab_event *list, struct weir_out *out);
/* What the events amount to, however they were cut into deltas. */
void canon_answer(struct arena *a, const struct lab_event *list, struct weir_out *out);
void canon_error(const struct weir_error *e, struct weir_out *out);
/* The same JSON with line breaks. */
void canon_pretty(struct weir_str json, struct weir_out *out);
extern const char *const canon_fields[WEIR_FIELD_COUNT], *const canon_roles[], *const canon_parts[], *const canon_events_names[],
    *const canon_blocks[], *const canon_deltas[], *const canon_finishes[];
/* The number of a name in a list ended by NULL; 0: not in it. */
uint32_t canon_number(const char *const *names, struct weir_str name);

/* false and a sentence in why. */
bool parse_events(struct arena *a, struct weir_str text, struct lab_event **list, const char **why);
bool parse_error(struct arena *a, struct weir_str text, struct weir_error *e, const char **why);

#endif
