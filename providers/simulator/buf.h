/* A growing byte buffer with a sticky failure: writers don't check each step, the owner looks at `failed` once at the
 * end. */
#ifndef SIMULATOR_BUF_H
#define SIMULATOR_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct buf {
    char *p; /* owned; malloc'ed */
    size_t n, capacity;
    bool failed; /* out of memory or over BUF_MAX: what was written since is missing */
};

enum { BUF_MAX = 64 * 1024 * 1024 };

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_char(struct buf *b, char c);
void buf_str(struct buf *b, const char *s);
void buf_print(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_json(struct buf *b, const char *p, size_t n); /* a JSON string with its quotes */
void buf_json_inside(struct buf *b, const char *p, size_t n); /* the same without quotes */
void buf_free(struct buf *b);

static inline void buf_reset(struct buf *b)
{
    b->n = 0;
}

static inline bool buf_is(const struct buf *b, const char *s)
{
    return b->n == strlen(s) && memcmp(b->n ? b->p : s, s, b->n) == 0;
}

#endif
