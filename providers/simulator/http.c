/* Parses heads and chunked bodies of requests to the simulator. Strict where laxness could make two readers disagree.
 */
#include "http.h"

#include <stdlib.h>
#include <strings.h>

enum { HEAD_MAX = 64 * 1024, LINE_MAX_N = 256 };

static struct span trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct span){ p, (size_t)(end - p) };
}

static bool is_any_case(struct span s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static bool has_word(struct span list, const char *word)
{
    const char *end = list.p + list.n;
    for (const char *p = list.p; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        comma = comma ? comma : end;
        if (is_any_case(trim(p, comma), word))
            return true;
        p = comma + 1;
    }
    return false;
}

static int64_t read_length(struct span value)
{
    int64_t n = 0;
    if (value.n == 0 || value.n > 15)
        return -1;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return -1;
        n = n * 10 + (value.p[i] - '0');
    }
    return n;
}

static int read_header(struct http_head *h, struct span name, struct span value)
{
    if (is_any_case(name, "content-length")) {
        int64_t n = read_length(value);
        if (n < 0 || (h->content_length >= 0 && h->content_length != n))
            return -400;
        h->content_length = n;
    } else if (is_any_case(name, "transfer-encoding")) {
        if (h->is_chunked || !is_any_case(value, "chunked"))
            return -400;
        h->is_chunked = true;
    } else if (is_any_case(name, "connection")) {
        h->is_closing |= has_word(value, "close");
    } else if (is_any_case(name, "expect")) {
        h->expects_continue = is_any_case(value, "100-continue");
    } else if (is_any_case(name, "x-weir-simulate")) {
        h->simulate = value;
    }
    return 0;
}

static int read_header_line(struct http_head *h, const char *p, const char *end)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));
    if (!colon || colon == p || *p == ' ' || *p == '\t' || colon[-1] == ' ' || memchr(p, 0, (size_t)(end - p)))
        return -400;
    return read_header(h, (struct span){ p, (size_t)(colon - p) }, trim(colon + 1, end));
}

static int read_request_line(struct http_head *h, const char *p, const char *end)
{
    const char *space = memchr(p, ' ', (size_t)(end - p));
    const char *last = space ? memchr(space + 1, ' ', (size_t)(end - space - 1)) : NULL;
    if (!last || space == p || end - last != 9 || memcmp(last + 1, "HTTP/1.", 7) != 0)
        return -400;
    const char *query = memchr(space + 1, '?', (size_t)(last - space - 1));
    h->method = (struct span){ p, (size_t)(space - p) };
    h->path = (struct span){ space + 1, (size_t)((query ? query : last) - space - 1) };
    h->is_closing = last[8] == '0';
    return 0;
}

int64_t http_read_head(struct http_head *h, const char *p, size_t n)
{
    const char *stop = n >= 4 ? memmem(p, n < HEAD_MAX ? n : HEAD_MAX, "\r\n\r\n", 4) : NULL;
    if (!stop)
        return n >= HEAD_MAX ? -431 : 0;
    *h = (struct http_head){ .content_length = -1, .n = (size_t)(stop - p) + 4 };
    const char *end = memmem(p, h->n, "\r\n", 2);
    int rc = read_request_line(h, p, end);
    for (const char *line = end + 2; rc == 0 && line < stop + 2; line = end + 2) {
        end = memmem(line, (size_t)(stop + 2 - line), "\r\n", 2);
        rc = read_header_line(h, line, end);
    }
    if (rc == 0 && h->is_chunked && h->content_length >= 0)
        rc = -400;
    return rc < 0 ? rc : (int64_t)h->n;
}

/* ---- chunks ---- */

/* The next line's length without its end, -1: not here yet, -400: too long. */
static int64_t line_length(const struct http_chunks *c, const char *p, size_t n)
{
    const char *end = n > c->in ? memmem(p + c->in, n - c->in, "\r\n", 2) : NULL;
    if (!end)
        return n - c->in > LINE_MAX_N ? -400 : -1;
    return end - (p + c->in) > LINE_MAX_N ? -400 : end - (p + c->in);
}

static int read_size(struct http_chunks *c, const char *p, size_t n)
{
    int64_t length = line_length(c, p, n);
    if (length < 0)
        return length == -1 ? 0 : -400;
    char digits[16] = { 0 };
    size_t n_digits = 0;
    while (n_digits < (size_t)length && strchr("0123456789abcdefABCDEF", p[c->in + n_digits]) && p[c->in + n_digits])
        n_digits++;
    if (n_digits == 0 || n_digits > 12 || (n_digits < (size_t)length && p[c->in + n_digits] != ';'))
        return -400;
    memcpy(digits, p + c->in, n_digits);
    c->left = strtoull(digits, NULL, 16);
    c->in += (size_t)length + 2;
    c->phase = c->left ? HTTP_DATA : HTTP_TRAILER;
    return 1;
}

static int read_data(struct http_chunks *c, char *p, size_t n)
{
    size_t here = n - c->in < c->left ? n - c->in : c->left;
    memmove(p + c->out, p + c->in, here);
    c->in += here;
    c->out += here;
    c->left -= here;
    if (c->left)
        return 0;
    c->phase = HTTP_DATA_END;
    return 1;
}

static int read_data_end(struct http_chunks *c, const char *p, size_t n)
{
    if (n - c->in < 2)
        return 0;
    if (p[c->in] != '\r' || p[c->in + 1] != '\n')
        return -400;
    c->in += 2;
    c->phase = HTTP_SIZE;
    return 1;
}

static int read_trailer(struct http_chunks *c, const char *p, size_t n)
{
    int64_t length = line_length(c, p, n);
    if (length < 0)
        return length == -1 ? 0 : -400;
    c->in += (size_t)length + 2;
    if (length == 0)
        c->phase = HTTP_DONE;
    return 1;
}

int http_read_chunks(struct http_chunks *c, char *p, size_t n)
{
    int rc = 1;
    while (rc == 1 && c->phase != HTTP_DONE)
        switch (c->phase) {
        case HTTP_SIZE:
            rc = read_size(c, p, n);
            break;
        case HTTP_DATA:
            rc = read_data(c, p, n);
            break;
        case HTTP_DATA_END:
            rc = read_data_end(c, p, n);
            break;
        default:
            rc = read_trailer(c, p, n);
        }
    return rc;
}
