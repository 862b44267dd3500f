/* The inside of the JSON reader, shared by its files: json_read.c walks, json_skip.c passes over values, json_number.c
 * reads numbers, json_error.c says what went wrong. */
#ifndef WEIR_CORE_JSON_READER_H
#define WEIR_CORE_JSON_READER_H

#include "json.h"
#include "json_keys.h"

/* An object or array that the caller is inside of. Levels are kept and used again by the next value at their depth. */
struct json_level {
    struct json_level *up, *down;
    bool is_object;
    bool has_begun;      /* the first member or element was asked for */
    bool has_unread;     /* a member was left, in a document that is watched */
    const char *begin;   /* where the value begins */
    size_t index;        /* of the current element */
    struct weir_str key; /* of the current member; p is NULL before the first */
    struct json_keys keys;
};

struct weir_json {
    struct arena *arena;
    const char *start, *p, *end;
    const char *last; /* where the value read last begins: what reject() points at */
    struct json_level *level;
    struct json_level *first; /* the outermost, also while no level is open */
    unsigned depth;
    unsigned values;
    bool has_value; /* a value stands at p and waits to be taken */
    struct json_watch *watch; /* of the document that this is, or is a piece of; NULL: nobody watches */
    char *pack;     /* room for short decoded strings, so that each does not cost an aligned allocation */
    size_t pack_left;
    enum json_error_kind error;
    size_t error_offset;
    struct weir_str error_message;
    struct weir_str below; /* of an error inside the value read last: the path from there */
};

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void json_pass_space(struct weir_json *r)
{
    while (r->p < r->end && json_is_space(*r->p))
        r->p++;
}

/* json_error.c. All return false; only the first failure counts. */
bool json_fail(struct weir_json *r, enum json_error_kind kind, const char *at, struct weir_str message);
bool json_fail_syntax(struct weir_json *r, const char *at, const char *message);
/* What stands at p was not expected: "expected X, found Y". */
bool json_fail_expected(struct weir_json *r, const char *expected);
bool json_fail_type(struct weir_json *r, enum weir_json_type wanted);
bool json_fail_memory(struct weir_json *r);
bool json_fail_misuse(struct weir_json *r, const char *message);

/* json_skip.c. */
enum weir_json_type json_type_of(char first);
/* Counts the value that begins at p against the limit. */
bool json_count_value(struct weir_json *r);
/* Passes over one string (p is at its quote), over any value. */
bool json_pass_string(struct weir_json *r, struct weir_text *inside);
bool json_pass_value(struct weir_json *r);
bool json_pass_literal(struct weir_json *r, const char *word, size_t n);

/* json_unread.c: the member that stands at p is passed over; the object of the level that is left was walked. */
void json_note_unread(struct weir_json *r);
void json_note_walk(struct weir_json *r);
void json_leave(struct weir_json *r, struct weir_str raw);
/* Of a reader's bytes; NULL if they are no part of what is watched. */
struct json_watch *json_watch_of(struct weir_str bytes);

/* json_number.c. */
bool json_pass_number(struct weir_json *r);
enum json_integer { JSON_INTEGER_OK, JSON_INTEGER_FRACTION, JSON_INTEGER_TOO_LARGE };
/* The exact value of a valid number. "1.0" and "1e3" are integers. */
enum json_integer json_number_integer(struct weir_str number, int64_t *out);

#endif
