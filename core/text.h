/* Texts in their three forms (struct weir_text) and UTF-8.
 *
 * Where a JSON string is decoded a lone surrogate (\ud800 without its partner) becomes U+FFFD; where a plain string is
 * escaped each byte that is no UTF-8 becomes U+FFFD, so that whatever is written is always valid.
 */
#ifndef WEIR_CORE_TEXT_H
#define WEIR_CORE_TEXT_H

#include <weir/base.h>

#include "arena.h"

/* The plain UTF-8: t's own bytes where nothing has to be decoded, else a copy in the arena (empty without memory). */
struct weir_str text_decode(struct arena *a, const struct weir_text *t);
/* How long text_decode()'s answer is, without making it. */
size_t text_plain_length(const struct weir_text *t);
/* The inside of a JSON string: `plain` itself if nothing has to be escaped, else a copy in the arena. */
struct weir_text text_escape(struct arena *a, struct weir_str plain);

/* The pieces of which the above are made. */

/* Decodes the validated inside of a JSON string; writes at most n bytes to `to` and returns how many. */
size_t text_unescape(char *to, const char *p, size_t n);
/* The same for the one escape at p: writes 1 to 4 bytes, returns how many and in *taken how long the escape is. */
size_t text_unescape_one(char to[4], const char *p, size_t n, size_t *taken);
/* How many bytes at the beginning may stand in a JSON string as they are (valid UTF-8, nothing to escape). */
size_t text_clean_prefix(const char *p, size_t n);
/* Escapes the one character or broken byte at p (n > 0), which text_clean_prefix() stopped at: writes at most 6 bytes
 * to `to`, returns how many and in *taken how many of p are done. */
size_t text_escape_one(char *to, const char *p, size_t n, size_t *taken);
/* Escapes valid UTF-8 as far as `room` goes (at least TEXT_ESCAPE_ROOM): returns how many bytes were written to `to`,
 * in *taken how many of p are done. */
#define TEXT_ESCAPE_ROOM 32
size_t text_escape_valid(char *to, size_t room, const char *p, size_t n, size_t *taken);

bool utf8_valid(const char *p, size_t n);
/* How many bytes at the beginning are valid UTF-8 (n if all are): where the error is. */
size_t utf8_valid_prefix(const char *p, size_t n);

#endif
