/* weir/base.h: the few types that everything else is made of.
 *
 * All of them are frozen: they may cross the line between host and plugin by value, and their layout never changes.
 * What may grow (views, operation tables) begins with its own size and is only ever passed by pointer.
 *
 * Lifetimes. Every pointer that crosses the line has one of five, and its comment says which:
 *   process   constants: descriptors, names of hooks
 *   worker    made in create(), until the worker ends
 *   request   until on_finish has returned
 *   attempt   until on_attempt_done has returned
 *   call      until the hook or codec op that got it returns (for an event: until that event has left)
 * keep() in the host table moves a string from "call" to "request".
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WEIR_ABI_MAJOR 1
#define WEIR_ABI_MINOR_NEWEST 1
#ifndef WEIR_ABI_MINOR
#define WEIR_ABI_MINOR WEIR_ABI_MINOR_NEWEST /* define it lower to hide what is newer */
#endif

/* A string by pointer and length: UTF-8, not terminated, may contain NUL. p may be NULL only if n is 0. */
struct weir_str {
    const char *p;
    size_t n;
};

#define WEIR_LIT(s) ((struct weir_str){ (s), sizeof(s) - 1 })
#define WEIR_NONE ((struct weir_str){ NULL, 0 })

static inline struct weir_str weir_cstr(const char *s)
{
    return (struct weir_str){ s, s ? strlen(s) : 0 };
}

static inline bool weir_eq(struct weir_str a, struct weir_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool weir_is(struct weir_str a, const char *literal)
{
    return weir_eq(a, weir_cstr(literal));
}

/* A text of a conversation or of an answer, kept as it stood in the bytes that it came from. Most texts cross weir
 * without ever being decoded: they are written from one JSON document into another as they are.
 * To read one use host->text(); to write one use json->put_text(). */
enum weir_text_form {
    WEIR_TEXT_PLAIN = 0,   /* plain UTF-8; must be escaped before it can stand in a JSON string */
    WEIR_TEXT_BOTH = 1,    /* plain UTF-8 and also valid as the inside of a JSON string */
    WEIR_TEXT_ESCAPED = 2, /* the inside of a JSON string with escapes in it (validated) */
};

struct weir_text {
    const char *p;
    uint32_t n;
    uint32_t form; /* enum weir_text_form */
};

#define WEIR_TEXT(s) ((struct weir_text){ (s), sizeof(s) - 1, WEIR_TEXT_PLAIN })

static inline struct weir_text weir_plain(struct weir_str s)
{
    return (struct weir_text){ s.p, (uint32_t)s.n, WEIR_TEXT_PLAIN };
}

/* Opaque handles. */
struct weir_call;     /* a request, or one attempt of it, as seen by one hook or op: lifetime "call", but see suspend() */
struct weir_instance; /* one configured use of a plugin in this worker */
struct weir_json;     /* a JSON reader */
struct weir_out;      /* where a codec writes; also a JSON writer */

#endif
