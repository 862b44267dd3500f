/* weir/json.h: the JSON reader and writer that the host offers.
 *
 * The reader is a pull reader: one pass, no tree. It checks everything it passes over (RFC 8259, UTF-8, escapes), also
 * what is skipped, so bytes it did not accept can't be relayed by accident. Limits: depth 128, 1,000,000 values.
 * Objects that are read member by member refuse duplicate keys; objects taken raw or skipped do not look.
 * Lone surrogates (\ud800 without a partner) are accepted in texts and decode to U+FFFD.
 *
 * Errors stick: after the first one every call returns false and sets what it hands out to empty, zero or false, so a
 * codec may check once, at the end. The error knows its byte and its path ("messages[3].content") and is turned into
 * the client's error by host->fail_json().
 *
 * A walk:
 *      struct weir_json *r = j->open(call, body);
 *      struct weir_str key;
 *      for (j->object(r); j->member(r, &key);)
 *          if (weir_is(key, "model")) j->string(r, &model);
 *      if (!j->close(r)) return host->fail_json(call, r);
 *
 * A value that was not consumed before the next member() or element() is skipped. Of a request's members that the codec never
 * took weir tells the loss towards other dialects; what a codec knows and needs nothing of, it takes with skip(). But an object
 * or array that was entered must be walked until member() or element() returns false: to leave it early, go on and skip. close() passes
 * over whatever is left and checks it.
 */
#ifndef WEIR_JSON_H
#define WEIR_JSON_H

#include "base.h"

enum weir_json_type {
    WEIR_JSON_ERROR = 0,
    WEIR_JSON_NULL,
    WEIR_JSON_BOOL,
    WEIR_JSON_NUMBER,
    WEIR_JSON_STRING,
    WEIR_JSON_ARRAY,
    WEIR_JSON_OBJECT,
};

struct weir_json_api {
    uint32_t size;

    /* Reading. `bytes` must outlive what is taken from it: texts and raw values point into it. The reader itself lives
     * as long as the call's arena (attempt or request). */
    struct weir_json *(*open)(struct weir_call *call, struct weir_str bytes);
    /* The type of the value that comes next; nothing is consumed. */
    enum weir_json_type (*peek)(struct weir_json *r);
    /* Enters an object or an array. A value of another type is an error "must be an object". */
    bool (*object)(struct weir_json *r);
    bool (*array)(struct weir_json *r);
    /* The next member's key (decoded; lifetime of the arena) or, at the end, false. */
    bool (*member)(struct weir_json *r, struct weir_str *key);
    /* true while there is another element. */
    bool (*element)(struct weir_json *r);
    /* Scalars. A value of another type is an error that names the path; `null` is never accepted here: peek() first.
     * string() decodes (into the arena if there are escapes), text() keeps the bytes. */
    bool (*string)(struct weir_json *r, struct weir_str *out);
    bool (*text)(struct weir_json *r, struct weir_text *out);
    bool (*boolean)(struct weir_json *r, bool *out);
    /* Exact: 1.0 and 1e3 are integers; fractions and what int64 can't hold are refused. */
    bool (*integer)(struct weir_json *r, int64_t *out);
    bool (*number)(struct weir_json *r, struct weir_str *out); /* the number's original text */
    bool (*null)(struct weir_json *r);
    /* Any value: validated, returned as its original bytes. */
    bool (*raw)(struct weir_json *r, struct weir_str *out);
    bool (*skip)(struct weir_json *r);
    /* Makes an error at the value read last: "messages[3].role: must be one of system, user". Returns false. */
    bool (*reject)(struct weir_json *r, const char *message);
    bool (*failed)(const struct weir_json *r);
    /* Ends the walk: true if all was accepted and only white space remains. Nothing can be read after it. */
    bool (*close)(struct weir_json *r);

    /* Writing. The writer puts commas and colons itself; what it writes is always well-formed if objects and arrays
     * are ended. Calls in an order that would make no JSON (a value in an object without a key, a wrong end, more
     * than 128 levels), like out of memory, stick and fail the call. Values at the top level are put without anything
     * between them. Bytes that are no UTF-8 in a plain string become U+FFFD. */
    void (*object_begin)(struct weir_out *w);
    void (*object_end)(struct weir_out *w);
    void (*array_begin)(struct weir_out *w);
    void (*array_end)(struct weir_out *w);
    void (*key)(struct weir_out *w, const char *name); /* a plain ASCII name, without escapes */
    void (*key_str)(struct weir_out *w, struct weir_str name); /* any name, escaped */
    void (*put_str)(struct weir_out *w, struct weir_str s); /* a JSON string of plain UTF-8 */
    void (*put_text)(struct weir_out *w, const struct weir_text *t); /* a JSON string; copied as it is where possible */
    void (*put_raw)(struct weir_out *w, struct weir_str json); /* a value that is JSON already; empty writes null */
    /* The plain content of `t` as a value of its own (tool arguments): t must have been checked with valid(). */
    void (*put_text_raw)(struct weir_out *w, const struct weir_text *t);
    void (*put_int)(struct weir_out *w, int64_t n);
    void (*put_bool)(struct weir_out *w, bool b);
    void (*put_null)(struct weir_out *w);

    /* Is the plain content of `t` one JSON value of this type? (type 0: of any type) */
    bool (*valid)(struct weir_call *call, const struct weir_text *t, enum weir_json_type type);
    /* A JSON string may be written in pieces (for texts that are joined): begin, any number of part, end. */
    void (*string_begin)(struct weir_out *w);
    void (*string_part)(struct weir_out *w, const struct weir_text *t);
    void (*string_end)(struct weir_out *w);

#if WEIR_ABI_MINOR >= 1
    /* ---- since 1.1 ---- */
    /* A value that was taken raw is nothing that the codec knows: it counts as passed over, so that weir can tell its loss. */
    void (*leave)(struct weir_json *r, struct weir_str raw);
    /* reject() at what `inner` failed at, with its words: inner was opened over the value that r read last, so its path goes on where
     * r's ends. Where inner did not fail, or at its top, `message` is said of the whole value. */
    bool (*reject_inside)(struct weir_json *r, const struct weir_json *inner, const char *message);
#endif
};

#endif
