/* Chunked transfer coding, decoded piece by piece where it lies (RFC 9112, 7.1), one byte of framing after the other, so that
 * it makes no difference where the bytes were cut. Sizes are hexadecimal digits and nothing else, lines end in CRLF only;
 * extensions must be well-formed and are read over; trailers are checked. All framing is bounded.
 */
#include "http.h"

enum state {
    SIZE_FIRST = 0,
    SIZE,
    EXT_BEGIN,
    EXT_NAME,
    EXT_VALUE_BEGIN,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
};
enum { LINE_MAX_BYTES = 4096, TRAILERS_MAX_BYTES = 16384 };

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(unsigned char c)
{
    return c >= 0x20 ? c != 0x7f : c == '\t';
}

static bool is_name(unsigned char c)
{
    return http_is_token((struct weir_str){ (const char *)&c, 1 });
}

static int go(struct http_chunks *c, enum state next)
{
    c->state = (uint32_t)next;
    return 0;
}

static int expect(struct http_chunks *c, unsigned char got, unsigned char wanted, enum state next)
{
    return got == wanted ? go(c, next) : -1;
}

static int step_size(struct http_chunks *c, unsigned char ch)
{
    int digit = hex(ch);
    if (digit >= 0) {
        if (c->left >> 48)
            return -1;
        c->left = c->left * 16 + (uint64_t)digit;
        return go(c, SIZE);
    }
    if (c->state == SIZE_FIRST)
        return -1;
    return ch == ';' ? go(c, EXT_BEGIN) : expect(c, ch, '\r', SIZE_LF);
}

/* After a name or a value. */
static int step_extension_end(struct http_chunks *c, unsigned char ch)
{
    return ch == ';' ? go(c, EXT_BEGIN) : expect(c, ch, '\r', SIZE_LF);
}

static int step_extension(struct http_chunks *c, unsigned char ch)
{
    switch (c->state) {
    case EXT_BEGIN:
        if (ch == ' ' || ch == '\t')
            return 0;
        return is_name(ch) ? go(c, EXT_NAME) : -1;
    case EXT_NAME:
        if (is_name(ch))
            return 0;
        return ch == '=' ? go(c, EXT_VALUE_BEGIN) : step_extension_end(c, ch);
    case EXT_VALUE_BEGIN:
        return ch == '"' ? go(c, EXT_QUOTED) : is_name(ch) ? go(c, EXT_VALUE) : -1;
    case EXT_VALUE:
        return is_name(ch) ? 0 : step_extension_end(c, ch);
    case EXT_QUOTED:
        if (ch == '"' || ch == '\\')
            return go(c, ch == '"' ? EXT_END : EXT_ESCAPED);
        return is_text(ch) ? 0 : -1;
    case EXT_ESCAPED:
        return is_text(ch) ? go(c, EXT_QUOTED) : -1;
    default:
        return step_extension_end(c, ch);
    }
}

static void tell_trailer(const struct http_chunks *c, char ch)
{
    if (c->on_trailer)
        c->on_trailer(c->arg, ch);
}

/* A trailer that would change how the message is read, had it stood in the head. Names longer than the room are none of them. */
static bool is_forbidden(const struct http_chunks *c)
{
    static const char *const names[] = { "transfer-encoding", "content-length", "host",
                                         "content-encoding",  "trailer",        "authorization" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (weir_is((struct weir_str){ c->name, c->name_n }, names[i]))
            return true;
    return false;
}

static int step_trailer_name(struct http_chunks *c, unsigned char ch)
{
    if (ch == ':') {
        tell_trailer(c, ':');
        return c->name_n && !is_forbidden(c) ? go(c, TRAILER_VALUE) : -1;
    }
    if (!is_name(ch))
        return -1;
    char lower = (char)(ch >= 'A' && ch <= 'Z' ? ch | 0x20 : ch);
    tell_trailer(c, lower);
    if (c->name_n < sizeof(c->name))
        c->name[c->name_n++] = lower;
    return 0;
}

static int step_trailer(struct http_chunks *c, unsigned char ch)
{
    switch (c->state) {
    case TRAILER:
        if (ch == '\r')
            return go(c, END_LF);
        c->name_n = 0;
        c->state = TRAILER_NAME;
        return step_trailer_name(c, ch);
    case TRAILER_NAME:
        return step_trailer_name(c, ch);
    default:
        tell_trailer(c, ch == '\r' ? '\n' : (char)ch);
        return ch == '\r' ? go(c, TRAILER_LF) : is_text(ch) ? 0 : -1;
    }
}

/* One byte of framing. */
static int step(struct http_chunks *c, unsigned char ch)
{
    if (++c->overhead > (c->state >= TRAILER ? TRAILERS_MAX_BYTES : LINE_MAX_BYTES))
        return -1;
    switch (c->state) {
    case SIZE_FIRST:
    case SIZE:
        return step_size(c, ch);
    case SIZE_LF:
        return expect(c, ch, '\n', c->left ? DATA : TRAILER);
    case DATA_CR:
        return expect(c, ch, '\r', DATA_LF);
    case DATA_LF:
        return expect(c, ch, '\n', SIZE_FIRST);
    case TRAILER:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return step_trailer(c, ch);
    case TRAILER_LF:
        return expect(c, ch, '\n', TRAILER);
    case END_LF:
        return expect(c, ch, '\n', DONE);
    default:
        return step_extension(c, ch);
    }
}

int64_t http_chunks_next(struct http_chunks *c, const char *in, size_t n, const char **data, size_t *data_n, bool *done)
{
    size_t i = 0;
    *data_n = 0;
    *data = in;
    while (i < n && c->state != DATA && c->state != DONE)
        if (step(c, (unsigned char)in[i++]) < 0)
            return -1;
    *done = c->state == DONE;
    if (c->state != DATA || i == n)
        return (int64_t)i;
    *data = in + i;
    *data_n = n - i < c->left ? n - i : (size_t)c->left;
    c->left -= *data_n;
    c->overhead = 0;
    if (c->left == 0)
        c->state = DATA_CR;
    return (int64_t)(i + *data_n);
}
