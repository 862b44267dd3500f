/* JSON by spans: a value is the bytes that it stands in. The simulator has no call, so the host's reader is out of
 * reach; a document is checked once, whole, with span_valid(), and walked without further checks. */
#ifndef SIMULATOR_SPAN_H
#define SIMULATOR_SPAN_H

#include "buf.h"

#include <stdint.h>

struct span {
    const char *p; /* NULL: absent */
    size_t n;
};

struct span_walk {
    const char *p, *end;
};

enum { SPAN_DEPTH = 128 };

/* RFC 8259; on success *value is the document without the white space around it. */
bool span_valid(const char *p, size_t n, struct span *value);

/* The members of an object or the elements of an array; a value of another type has none. Keys come with their escapes.
 */
struct span_walk span_members(struct span object);
struct span_walk span_elements(struct span array);
bool span_member(struct span_walk *w, struct span *key, struct span *value);
bool span_element(struct span_walk *w, struct span *value);

struct span span_get(struct span object, const char *key);
bool span_is(struct span key, const char *s); /* the raw bytes are s */
bool span_says(struct span value, const char *s); /* a string without escapes with this content */
char span_type(struct span value); /* '{' '[' '"' 't' 'f' 'n' '0', 0: absent */
void span_text(struct span value, struct buf *out); /* appends the decoded content of a string; else nothing */
int64_t span_int(struct span value, int64_t fallback); /* a number's integer part */

static inline bool span_true(struct span value)
{
    return span_type(value) == 't';
}

#endif
