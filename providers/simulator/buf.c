/* The buffer everything in the simulator is written into. Its owner frees it; nobody keeps pointers into it while it
 * grows. */
#include "buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static bool buf_reserve(struct buf *b, size_t more)
{
    if (b->failed || more > BUF_MAX - b->n) {
        b->failed = true;
        return false;
    }
    if (b->n + more <= b->capacity)
        return true;
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < b->n + more)
        capacity *= 2;
    char *p = realloc(b->p, capacity);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->capacity = capacity;
    return true;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0 || !buf_reserve(b, n))
        return;
    memcpy(b->p + b->n, bytes, n);
    b->n += n;
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_print(struct buf *b, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(line))
        b->failed = true;
    else
        buf_add(b, line, (size_t)n);
}

void buf_json_inside(struct buf *b, const char *p, size_t n)
{
    size_t from = 0;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(b, p + from, i - from);
        from = i + 1;
        if (c == '\n')
            buf_str(b, "\\n");
        else if (c < 0x20)
            buf_print(b, "\\u%04x", c);
        else
            buf_print(b, "\\%c", c);
    }
    buf_add(b, p + from, n - from);
}

void buf_json(struct buf *b, const char *p, size_t n)
{
    buf_char(b, '"');
    buf_json_inside(b, p, n);
    buf_char(b, '"');
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ 0 };
}
