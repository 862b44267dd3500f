/* Messages of AWS event streams, made by the rules and not by the codec's own writer: a changed byte behind right sums. In lines they
 * are "name payload\n" each; a name that ends in "Exception" makes an exception. */
#ifndef WEIR_TESTS_UNIT_AWS_WIRE_H
#define WEIR_TESTS_UNIT_AWS_WIRE_H

#include <stdio.h>

#include "../../core/aws_frame.h"
#include "../../core/json.h"

static inline void aws_number(char *to, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(n >> (24 - 8 * i));
}

static inline size_t aws_put_header(char *to, const char *name, struct weir_str value)
{
    size_t n = strlen(name);
    to[0] = (char)n;
    memcpy(to + 1, name, n);
    to[n + 1] = 7;
    to[n + 2] = (char)(value.n >> 8);
    to[n + 3] = (char)value.n;
    if (value.n)
        memcpy(to + n + 4, value.p, value.n);
    return n + 4 + value.n;
}

static inline void aws_put_message(struct weir_out *o, struct weir_str name, struct weir_str payload)
{
    char head[400], end[4];
    if (name.n > 200)
        name.n = 200;
    bool is_exception = name.n > 9 && memcmp(name.p + name.n - 9, "Exception", 9) == 0;
    size_t n = 12 + aws_put_header(head + 12, is_exception ? ":exception-type" : ":event-type", name), from = o->n;
    aws_number(head, (uint32_t)(n + payload.n + 4));
    aws_number(head + 4, (uint32_t)n - 12);
    aws_number(head + 8, aws_crc32(head, 8));
    out_write(o, (struct weir_str){ head, n });
    out_write(o, payload);
    aws_number(end, aws_crc32(o->p + from, o->n - from));
    out_write(o, (struct weir_str){ end, 4 });
}

static inline void aws_from_lines(struct weir_str lines, struct weir_out *o)
{
    while (lines.n) {
        const char *lf = memchr(lines.p, '\n', lines.n);
        size_t n = lf ? (size_t)(lf - lines.p) : lines.n;
        const char *blank = memchr(lines.p, ' ', n);
        size_t name = blank ? (size_t)(blank - lines.p) : n, from = blank ? name + 1 : n;
        aws_put_message(o, (struct weir_str){ lines.p, name }, (struct weir_str){ lines.p + from, n - from });
        n += lf != NULL;
        lines = (struct weir_str){ lines.p + n, lines.n - n };
    }
}

static inline void aws_to_lines(struct weir_str bytes, struct weir_out *o)
{
    for (int64_t n; (n = aws_frame_length(bytes, SIZE_MAX / 2)) > 0; bytes.p += n, bytes.n -= (size_t)n) {
        struct weir_frame f = { .bytes = { bytes.p, (size_t)n } };
        if (!aws_frame_fill(&f))
            return;
        out_write(o, f.name);
        out_write(o, WEIR_LIT(" "));
        out_write(o, f.data);
        out_write(o, WEIR_LIT("\n"));
    }
}

#endif
