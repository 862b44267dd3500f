/* What the rooms that write an answer for a client share. */
#ifndef RESPONSES_LADDER_H
#define RESPONSES_LADDER_H

#include "responses.h"

struct telling {
    struct responses o;
    struct responses_client *client;
    struct weir_out *out;
    bool is_silent; /* nothing is written */
    bool is_relayed; /* nothing is translated */
};

/* Writing; nothing is written while the answer is relayed. */
void responses_put(struct telling *t, struct weir_str bytes);
void responses_put_str(struct telling *t, struct weir_str s);
void responses_put_int(struct telling *t, int64_t n);
/* Raw JSON in one line, as a stream demands: its line ends are only white space. */
void responses_put_line(struct telling *t, struct weir_text raw);

/* Adds a text to a rope: -1 when memory is short. */
int responses_rope_add(struct responses *o, struct responses_rope *rope, const struct weir_text *text);
/* The rope as a JSON string, behind `head` (plain); as it is. */
void responses_put_rope(struct telling *t, const struct responses_rope *rope, struct weir_str head);
void responses_put_rope_raw(struct telling *t, const struct responses_rope *rope);

/* ---- what was told, kept for the response at the end ---- */

struct responses_told *responses_find_told(struct responses_client *s, uint32_t block);
struct responses_told *responses_add_told(struct telling *t, uint16_t kind, uint32_t block);
/* A text or refusal gets its place: in the message that is open, or in a new one (true). */
bool responses_place_part(struct telling *t, struct responses_told *b);
/* An item of its own gets its place. */
void responses_place_item(struct telling *t, struct responses_told *b);
/* The reasoning item that carries a call's signature; NULL: none is needed, or memory is short. */
struct responses_told *responses_add_carrier(struct telling *t, const struct responses_told *call);
bool responses_is_part(const struct responses_told *b);

/* ---- the response object ---- */

/* How the answer ended, in the dialect's word. native: the provider's own. */
const char *responses_status_of(uint32_t finish, struct weir_str native);
/* A content part of a message; is_empty: as it begins. */
void responses_put_part(struct telling *t, const struct responses_told *b, bool is_empty);
/* The item that `b` is, or is the first part of; is_empty: as it begins. */
void responses_put_item(struct telling *t, const struct responses_told *b, bool is_empty);
void responses_put_response(struct telling *t, const char *status, const struct weir_error *error);

#endif
