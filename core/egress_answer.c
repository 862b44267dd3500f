/* What a provider sends back, looked at before anybody believes it.
 *
 * libcurl reads HTTP leniently: bare LF, blanks in chunk sizes, lengths that contradict each other. Relayed, that would be a
 * good answer made of a bad one. So each line of a head is checked as it came, and bodies are taken as they came off the wire
 * (HTTP_TRANSFER_DECODING off) and their chunks decoded here, by the same strict code that reads requests; libcurl follows along
 * to know where the answer ends.
 */
#include <stdlib.h>
#include <strings.h>

#include "egress_curl.h"

enum { INTERIM_MAX = 16 };

static size_t refuse(struct egress_call *c, enum egress_result result, const char *why)
{
    if (c->refused == EGRESS_OK) {
        c->refused = result;
        c->why = why;
    }
    return 0;
}

/* ---- status lines ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK", "HTTP/1.1 200"; of HTTP/2 libcurl makes "HTTP/2 200 ". Without the line's end. */
static int parse_status(const char *p, size_t n, bool *is_1_0)
{
    size_t version = n > 8 && memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '0' || p[7] == '1') ? 8
                     : n > 6 && memcmp(p, "HTTP/2", 6) == 0                                ? 6
                                                                                           : 0;
    *is_1_0 = version == 8 && p[7] == '0';
    if (!version || n < version + 4 || p[version] != ' ' || (n > version + 4 && p[version + 4] != ' '))
        return -1;
    const char *d = p + version + 1;
    if (!is_digit(d[0]) || !is_digit(d[1]) || !is_digit(d[2]) || !http_is_value((struct weir_str){ p, n }))
        return -1;
    return (d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0');
}

static bool begin_head(struct egress_call *c, const char *p, size_t n)
{
    c->head_n = 0;
    c->n_fields = 0;
    c->has_length = c->is_chunked = false;
    c->status = parse_status(p, n, &c->is_http_1_0);
    c->has_status = true;
    if (c->status < 100 || c->status > 599)
        return refuse(c, EGRESS_PROTOCOL, "its status line makes no sense");
    if (c->status == 101 || (c->status < 200 && ++c->n_interim > INTERIM_MAX))
        return refuse(c, EGRESS_PROTOCOL,
                      c->status == 101 ? "it switches protocols without being asked"
                                       : "it sends interim answers without end");
    return true;
}

/* ---- fields ---- */

static bool check_length(struct egress_call *c, struct weir_str v)
{
    bool is_number = v.n > 0 && v.n <= 18;
    for (size_t i = 0; i < v.n; i++)
        is_number = is_number && is_digit(v.p[i]);
    if (!is_number)
        return refuse(c, EGRESS_PROTOCOL, "its content-length is not a number");
    if (c->has_length)
        return refuse(c, EGRESS_PROTOCOL, "its content-length is given twice");
    c->has_length = true;
    return true;
}

static bool check_coding(struct egress_call *c, struct weir_str v)
{
    if (c->is_chunked)
        return refuse(c, EGRESS_PROTOCOL, "its transfer-encoding is given twice");
    if (v.n != 7 || strncasecmp(v.p, "chunked", 7) != 0)
        return refuse(c, EGRESS_PROTOCOL, "its transfer-encoding is not chunked");
    if (c->is_http_1_0)
        return refuse(c, EGRESS_PROTOCOL, "it is HTTP/1.0 and has a transfer-encoding");
    c->is_chunked = true;
    return true;
}

static bool reserve(struct egress_call *c, size_t more)
{
    if (c->head_n + more <= c->head_cap)
        return true;
    size_t cap = c->head_n + more < 1024 ? 1024 : (c->head_n + more) * 2;
    char *p = realloc(c->head, cap);
    if (!p)
        return false;
    c->head = p;
    c->head_cap = cap;
    return true;
}

static struct weir_str trimmed(const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t'))
        p++, n--;
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    return (struct weir_str){ p, n };
}

/* Kept as "name:value\n": neither part can contain what ends it. */
static struct weir_str keep_field(struct egress_call *c, struct weir_str name, struct weir_str value)
{
    char *to = c->head + c->head_n;
    for (size_t i = 0; i < name.n; i++)
        to[i] = (char)(name.p[i] | (name.p[i] >= 'A' && name.p[i] <= 'Z' ? 0x20 : 0));
    to[name.n] = ':';
    memcpy(to + name.n + 1, value.p, value.n);
    to[name.n + 1 + value.n] = '\n';
    c->head_n += name.n + value.n + 2;
    c->n_fields++;
    return (struct weir_str){ to, name.n };
}

static bool add_field(struct egress_call *c, const char *p, size_t n)
{
    const char *colon = memchr(p, ':', n);
    if (!colon)
        return refuse(c, EGRESS_PROTOCOL, "a line of its head has no colon");
    struct weir_str name = { p, (size_t)(colon - p) }, value = trimmed(colon + 1, n - name.n - 1);
    if (!http_is_token(name))
        return refuse(c, EGRESS_PROTOCOL, "a header name is empty or has a character that no name may have");
    if (!http_is_value(value))
        return refuse(c, EGRESS_PROTOCOL, "a header value has a control character");
    if (c->head_n + n > EGRESS_HEAD_MAX || c->n_fields == HTTP_MAX_HEADERS)
        return refuse(c, EGRESS_TOO_LARGE, "its head is larger than 64 KiB or has more than 128 lines");
    if (!reserve(c, n + 2))
        return refuse(c, EGRESS_MEMORY, "memory is short");
    name = keep_field(c, name, value);
    if (weir_is(name, "content-length"))
        return check_length(c, value);
    return !weir_is(name, "transfer-encoding") || check_coding(c, value);
}

/* ---- the head is whole ---- */

static void split_fields(const struct egress_call *c, struct http_header *fields)
{
    const char *p = c->head;
    for (uint32_t i = 0; i < c->n_fields; i++) {
        const char *colon = memchr(p, ':', (size_t)(c->head + c->head_n - p));
        const char *end = memchr(colon, '\n', (size_t)(c->head + c->head_n - colon));
        fields[i] = (struct http_header){ { p, (size_t)(colon - p) }, { colon + 1, (size_t)(end - colon - 1) } };
        p = end + 1;
    }
}

/* ---- trailers ---- */

static void keep_trailer_byte(void *arg, char ch)
{
    struct egress_call *c = arg;
    if (c->n_fields == HTTP_MAX_HEADERS)
        return;
    if (!reserve(c, 1)) { /* some of them say less than none */
        c->chunks.on_trailer = NULL;
        c->head_n = 0;
        c->n_fields = 0;
        return;
    }
    c->head[c->head_n++] = ch;
    c->n_fields += ch == '\n';
}

static void tell_trailers(struct egress_call *c)
{
    struct http_header fields[HTTP_MAX_HEADERS];
    if (!c->n_fields)
        return;
    split_fields(c, fields);
    for (uint32_t i = 0; i < c->n_fields; i++)
        fields[i].value = trimmed(fields[i].value.p, fields[i].value.n);
    if (c->ops && c->ops->on_trailers)
        c->ops->on_trailers(c->arg, fields, c->n_fields);
    c->n_fields = 0;
    c->head_n = 0;
}

/* HTTP/2: libcurl read them. */
static void take_trailer_line(struct egress_call *c, const char *p, size_t n)
{
    while (n && (p[n - 1] == '\r' || p[n - 1] == '\n'))
        n--;
    const char *colon = memchr(p, ':', n);
    struct weir_str name = { p, colon ? (size_t)(colon - p) : 0 };
    if (!colon || c->is_chunked || !http_is_token(name) || !reserve(c, n + 2))
        return;
    struct weir_str value = trimmed(colon + 1, n - name.n - 1);
    if (!http_is_value(value))
        return;
    keep_field(c, name, value);
    tell_trailers(c);
}

/* What the request needed is of no use any more, and an answer may take minutes. An upload buffer only goes when all of it was
 * sent: an answer may come before that. */
static void free_request(struct egress_call *c)
{
    curl_off_t sent = 0;
    free(c->joined);
    free(c->lines);
    c->joined = c->lines = NULL;
    if (c->is_streamed && curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK &&
        (uint64_t)sent == c->body_n)
        curl_easy_setopt(c->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)EGRESS_BUFFER);
}

static bool end_head(struct egress_call *c)
{
    struct http_header fields[HTTP_MAX_HEADERS];
    if (!c->has_status)
        return refuse(c, EGRESS_PROTOCOL, "it has no status line");
    c->has_status = false;
    if (c->status < 200)
        return true;
    if (c->is_chunked && c->has_length)
        return refuse(c, EGRESS_PROTOCOL, "it has both content-length and transfer-encoding");
    c->has_head = true;
    c->chunks_done = !c->is_chunked || c->status == 204 || c->status == 304;
    free_request(c);
    split_fields(c, fields);
    if (c->upload_waits && c->status >= 300) { /* libcurl sends no more of it, but doesn't end while it is told to wait */
        c->wants_feed = true;
        egress_later(c);
    }
    if (c->ops)
        c->ops->on_head(c->arg, c->status, fields, c->n_fields);
    free(c->head);
    c->head = NULL;
    c->head_n = c->head_cap = 0;
    c->n_fields = 0;
    c->chunks.on_trailer = keep_trailer_byte;
    c->chunks.arg = c;
    return !c->is_cancelled;
}

size_t answer_on_header(char *p, size_t size, size_t count, void *arg)
{
    struct egress_call *c = arg;
    size_t n = size * count;
    if (c->is_cancelled || c->refused)
        return 0;
    if (c->has_head) {
        take_trailer_line(c, p, n);
        return n;
    }
    if (n < 2 || p[n - 1] != '\n' || p[n - 2] != '\r')
        return refuse(c, EGRESS_PROTOCOL, "a line of its head does not end in CRLF");
    bool is_good = n == 2 ? end_head(c) : c->has_status ? add_field(c, p, n - 2) : begin_head(c, p, n - 2);
    return is_good ? n : 0;
}

/* ---- the body ---- */

static void give(struct egress_call *c, const char *p, size_t n)
{
    c->received += n;
    if (n && c->ops)
        c->ops->on_body(c->arg, (struct weir_str){ p, n });
}

/* The content of one read at once: handed on as it lies if it is of one piece. */
static bool give_chunks(struct egress_call *c, const char *p, size_t n)
{
    const char *first = NULL;
    size_t first_n = 0, joined_n = 0;
    char *joined = c->egress->scratch;
    while (n && !c->chunks_done) {
        const char *data;
        size_t data_n;
        int64_t used = http_chunks_next(&c->chunks, p, n, &data, &data_n, &c->chunks_done);
        if (used < 0)
            return refuse(c, EGRESS_PROTOCOL, "its chunks are malformed");
        if (data_n && !first) {
            first = data;
            first_n = data_n;
        } else if (data_n) {
            if (!joined_n)
                memcpy(joined, first, joined_n = first_n);
            memcpy(joined + joined_n, data, data_n);
            joined_n += data_n;
        }
        p += used;
        n -= (size_t)used;
    }
    give(c, joined_n ? joined : first, joined_n ? joined_n : first_n);
    if (c->chunks_done)
        tell_trailers(c);
    return true;
}

size_t answer_on_body(char *p, size_t size, size_t count, void *arg)
{
    struct egress_call *c = arg;
    size_t n = size * count;
    if (c->is_cancelled || c->refused)
        return 0;
    if (c->is_released)
        return n;
    if (c->wants_pause) {
        c->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (!c->is_chunked)
        give(c, p, n);
    else if (n > EGRESS_READ_MAX || !give_chunks(c, p, n))
        return c->refused ? 0 : refuse(c, EGRESS_PROTOCOL, "more came at once than was asked for");
    return c->is_cancelled ? 0 : n;
}
