/* The JSON reader and writer as the core itself uses them: the functions behind struct weir_json_api, on an arena.
 *
 * What each function does stands in <weir/json.h>. The reader (struct weir_json) and everything it hands out that is
 * not a piece of the bytes read lives in the arena given to json_open(). A struct weir_out belongs to whoever holds it:
 * its buffer is malloc'ed, kept over out_reset() and given back by out_free().
 *
 * Names: jansson has functions json_object(), json_string() ... of its own, and where a program defines such a name
 * too, jansson itself would call the program's. So what takes a value is json_read_*() here.
 */
#ifndef WEIR_CORE_JSON_H
#define WEIR_CORE_JSON_H

#include <weir/json.h>

#include "arena.h"

#define JSON_DEPTH_MAX 128
#define JSON_VALUES_MAX 1000000

/* The table that plugins get through the host table. Its open() and valid() take their memory from call_arena(). */
extern const struct weir_json_api json_api;

/* The arena of the attempt or, before routing, of the request that a call belongs to. Defined beside struct
 * weir_call. */
struct arena *call_arena(struct weir_call *call);

/* --- Reading. Never NULL: without memory the reader returned has failed already. ---------------------------------- */

struct weir_json *json_open(struct arena *a, struct weir_str bytes);
enum weir_json_type json_peek(struct weir_json *r);
bool json_read_object(struct weir_json *r);
bool json_read_array(struct weir_json *r);
bool json_read_member(struct weir_json *r, struct weir_str *key);
bool json_read_element(struct weir_json *r);
bool json_read_string(struct weir_json *r, struct weir_str *out);
bool json_read_text(struct weir_json *r, struct weir_text *out);
bool json_read_boolean(struct weir_json *r, bool *out);
bool json_read_integer(struct weir_json *r, int64_t *out);
bool json_read_number(struct weir_json *r, struct weir_str *out);
bool json_read_null(struct weir_json *r);
bool json_read_raw(struct weir_json *r, struct weir_str *out);
bool json_skip(struct weir_json *r);
bool json_reject(struct weir_json *r, const char *message);
bool json_reject_inside(struct weir_json *r, const struct weir_json *inner, const char *message);
bool json_failed(const struct weir_json *r);
bool json_close(struct weir_json *r);

enum json_error_kind {
    JSON_ERROR_NONE = 0,
    JSON_ERROR_SYNTAX, /* the bytes are not JSON as weir takes it: limits, UTF-8, duplicate keys too */
    JSON_ERROR_VALUE,  /* a value of the wrong type or range, or rejected by the codec */
    JSON_ERROR_MEMORY,
    JSON_ERROR_MISUSE, /* the caller read where no value was: a bug of the codec */
};

struct json_error {
    enum json_error_kind kind;
    size_t offset;           /* of the byte where the error is, from the beginning of the document */
    struct weir_str message; /* "must be a string, found a number"; NUL behind it */
    struct weir_str path;    /* "messages[3].content", empty at the top level; NUL behind it */
};

/* false, and nothing written, if the reader has not failed. The strings live in the reader's arena. */
bool json_error(const struct weir_json *r, struct json_error *error);
/* The whole sentence: "messages[3].content: must be a string, found a number" or
 * "not valid JSON at byte 17 (messages[3]): a string is not ended". */
struct weir_str json_error_text(const struct weir_json *r, struct arena *a);

/* Is the whole of `bytes` one JSON value of this type (0: of any type)? Leaves nothing in the arena. */
bool json_valid(struct arena *a, struct weir_str bytes, enum weir_json_type type);
bool json_valid_text(struct arena *a, const struct weir_text *t, enum weir_json_type type);

/* --- What nobody read (json_unread.c) -------------------------------------------------------------------------------- */

/* From here on to json_watch_end() the readers that plugins open on this document, or on pieces of it, note the members that they
 * leave: passed over by the next member() without being taken, skip() included in what takes. Not nested. */
void json_watch_begin(struct arena *a, struct weir_str document);
/* path: "messages[0].extra"; raw: the value; member: `"key":value` as it stands. All but path point into the document. */
typedef void (*json_unread_fn)(void *arg, struct weir_str path, struct weir_str raw, struct weir_str member);
/* Calls fn for each member that was left in every walk over its object, in their order; NULL: they are forgotten. The document must
 * have been accepted by a reader. false: there were too many to keep. */
bool json_watch_end(json_unread_fn fn, void *arg);

/* --- Writing ------------------------------------------------------------------------------------------------------ */

/* All zero is a valid, empty one. Between two values at the top level nothing is put: what separates them (as in SSE)
 * is written by the caller with out_write(). */
struct weir_out {
    char *p;
    size_t n, cap;
    bool failed;    /* out of memory or misused; sticks until out_reset() */
    bool is_misuse; /* failed because the calls made no JSON: a key outside an object, an end without a begin ... */
    bool needs_comma;
    bool has_key;                                /* a key stands and its value must follow */
    bool in_string;                              /* between string_begin and string_end */
    uint8_t depth;                               /* open objects and arrays */
    uint8_t is_object[(JSON_DEPTH_MAX + 7) / 8]; /* one bit per open level */
};

void out_init(struct weir_out *w);
void out_free(struct weir_out *w);
/* Empties it for the next use; a buffer above `keep` bytes is given back. */
void out_reset(struct weir_out *w, size_t keep);
/* Forgets the bytes (they were sent) but stays in the middle of the document. */
void out_drain(struct weir_out *w);
/* Bytes as they are, without any JSON state: the framing around values. */
void out_write(struct weir_out *w, struct weir_str bytes);
/* Room for n more bytes, to be filled and then added to w->n by the caller; NULL (and failed) without memory. */
char *out_reserve(struct weir_out *w, size_t n);
/* The bytes written so far; they move with the next write. */
struct weir_str out_bytes(const struct weir_out *w);
/* Has everything that was begun been ended, without failure? */
bool out_complete(const struct weir_out *w);

void json_object_begin(struct weir_out *w);
void json_object_end(struct weir_out *w);
void json_array_begin(struct weir_out *w);
void json_array_end(struct weir_out *w);
void json_key(struct weir_out *w, const char *name);
void json_key_str(struct weir_out *w, struct weir_str name);
void json_put_str(struct weir_out *w, struct weir_str s);
void json_put_text(struct weir_out *w, const struct weir_text *t);
void json_put_raw(struct weir_out *w, struct weir_str json);
void json_put_text_raw(struct weir_out *w, const struct weir_text *t);
void json_put_int(struct weir_out *w, int64_t n);
void json_put_bool(struct weir_out *w, bool b);
void json_put_null(struct weir_out *w);
void json_string_begin(struct weir_out *w);
void json_string_part(struct weir_out *w, const struct weir_text *t);
void json_string_end(struct weir_out *w);

#endif
