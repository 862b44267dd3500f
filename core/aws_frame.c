/* AWS event streams: one message is a prelude (its length, that of its headers, a CRC of both), headers, payload, and a CRC of all
 * of it, in big-endian numbers. A message whose sums are wrong is no message: nothing in it is believed, not even its length.
 */
#include "aws_frame.h"

#include <string.h>

enum { PRELUDE = 12, OVERHEAD = 16, HEADERS_MAX = 128 * 1024, PAYLOAD_MAX = 24 * 1024 * 1024 };

/* Value types of headers. */
enum { IS_TRUE, IS_FALSE, IS_BYTE, IS_SHORT, IS_INT, IS_LONG, IS_BYTES, IS_STRING, IS_TIME, IS_UUID };

static uint32_t number(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint32_t aws_crc32(const char *p, size_t n)
{
    static uint32_t table[256];
    uint32_t crc = 0xffffffffu;
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ (unsigned char)p[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

int64_t aws_frame_length(struct weir_str s, size_t limit)
{
    if (s.n < PRELUDE)
        return 0;
    uint32_t total = number(s.p), headers = number(s.p + 4);
    if (number(s.p + 8) != aws_crc32(s.p, 8) || total < OVERHEAD || headers > HEADERS_MAX ||
        headers > total - OVERHEAD || total - headers - OVERHEAD > PAYLOAD_MAX || total > limit)
        return -1;
    if (s.n < total)
        return 0;
    return number(s.p + total - 4) == aws_crc32(s.p, total - 4) ? (int64_t)total : -1;
}

/* Bytes of a value, behind its own length if it has one; -1: no such type. */
static int64_t value_size(uint8_t type, struct weir_str rest)
{
    static const int8_t sizes[] = { 0, 0, 1, 2, 4, 8, -1, -1, 8, 16 };
    if (type >= sizeof(sizes))
        return -1;
    if (sizes[type] >= 0)
        return sizes[type];
    return rest.n < 2 ? -1 : (unsigned char)rest.p[0] << 8 | (unsigned char)rest.p[1];
}

/* One header is cut off the front of s. */
static bool take_header(struct weir_str *s, struct weir_str *name, struct weir_str *value)
{
    size_t name_n = (unsigned char)s->p[0];
    if (name_n == 0 || s->n < name_n + 2)
        return false;
    uint8_t type = (uint8_t)s->p[1 + name_n];
    struct weir_str rest = { s->p + name_n + 2, s->n - name_n - 2 };
    size_t before = type == IS_BYTES || type == IS_STRING ? 2 : 0;
    int64_t n = value_size(type, rest);
    if (n < 0 || rest.n < before + (size_t)n)
        return false;
    *name = (struct weir_str){ s->p + 1, name_n };
    *value = type == IS_STRING ? (struct weir_str){ rest.p + before, (size_t)n } : WEIR_NONE;
    *s = (struct weir_str){ rest.p + before + n, rest.n - before - (size_t)n };
    return true;
}

bool aws_frame_fill(struct weir_frame *frame)
{
    struct weir_str name, value, reason = WEIR_NONE, headers = { frame->bytes.p + PRELUDE, number(frame->bytes.p + 4) };
    frame->data = (struct weir_str){ headers.p + headers.n, frame->bytes.n - headers.n - OVERHEAD };
    while (headers.n) {
        if (!take_header(&headers, &name, &value))
            return false;
        if (weir_is(name, ":event-type") || weir_is(name, ":exception-type") || weir_is(name, ":error-code"))
            frame->name = value;
        else if (weir_is(name, ":error-message"))
            reason = value;
    }
    if (!frame->data.n)
        frame->data = reason;
    return true;
}
