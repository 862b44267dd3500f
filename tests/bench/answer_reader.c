/* answer_reader.c: why the load generator can tell a good answer from a broken one without a library. It accepts what a
 * gateway may send (content-length or chunked) and treats everything else as a broken run. Owns nothing. */
#include "answer_reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void reader_start(struct reader *r, const char *expected, size_t expected_len)
{
    r->state = READER_HEAD;
    r->line_len = r->left = r->body_len = r->marks = r->tail_len = 0;
    r->status = 0;
    r->is_chunked = r->closes = r->is_done = false;
    r->expected = expected;
    r->expected_len = expected_len;
    r->is_as_expected = true;
}

static void tail_append(struct reader *r, const char *p, size_t n)
{
    size_t room = sizeof r->tail;
    if (n >= room) {
        memcpy(r->tail, p + n - room, room);
        r->tail_len = room;
        return;
    }
    if (r->tail_len + n > room) {
        size_t gone = r->tail_len + n - room;
        memmove(r->tail, r->tail + gone, r->tail_len - gone);
        r->tail_len -= gone;
    }
    memcpy(r->tail + r->tail_len, p, n);
    r->tail_len += n;
}

static void body_take(struct reader *r, const char *p, size_t n)
{
    const char *end = p + n;
    for (const char *at = p; (at = memchr(at, READER_MARK, (size_t)(end - at))); at++) {
        r->marks++;
    }
    if (r->expected) {
        bool fits = r->body_len + n <= r->expected_len;
        r->is_as_expected = r->is_as_expected && fits && memcmp(r->expected + r->body_len, p, n) == 0;
    }
    r->body_len += n;
    tail_append(r, p, n);
}

static bool header_is(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}

static void header_take(struct reader *r, const char *line, size_t len)
{
    if (header_is(line, len, "content-length")) {
        r->left = strtoul(line + 15, NULL, 10);
    } else if (header_is(line, len, "transfer-encoding")) {
        r->is_chunked = true;
    } else if (header_is(line, len, "connection")) {
        r->closes = memmem(line, len, "close", 5) != NULL;
    }
}

/* The head stands whole in r->line, terminated by an empty line. */
static int head_take(struct reader *r)
{
    if (r->line_len < 12 || memcmp(r->line, "HTTP/1.1 ", 9) != 0) {
        return -1;
    }
    r->status = atoi(r->line + 9);
    for (char *line = r->line, *end; (end = memmem(line, r->line_len - (size_t)(line - r->line), "\r\n", 2)); line = end + 2) {
        *end = '\0';
        header_take(r, line, (size_t)(end - line));
    }
    r->line_len = 0;
    r->state = r->is_chunked ? READER_CHUNK_SIZE : READER_BODY;
    r->is_done = !r->is_chunked && r->left == 0;
    return 0;
}

/* Collects bytes up to and including '\n'; returns the number taken, sets *is_whole when the line is. */
static size_t line_take(struct reader *r, const char *p, size_t n, bool *is_whole)
{
    const char *newline = memchr(p, '\n', n);
    size_t take = newline ? (size_t)(newline - p) + 1 : n;
    if (r->line_len + take > sizeof r->line - 1) {
        take = sizeof r->line - 1 - r->line_len;
    }
    memcpy(r->line + r->line_len, p, take);
    r->line_len += take;
    r->line[r->line_len] = '\0';
    *is_whole = newline && r->line[r->line_len - 1] == '\n';
    return take;
}

static int line_done(struct reader *r)
{
    if (r->state == READER_CHUNK_SIZE) {
        char *end = NULL;
        r->left = strtoul(r->line, &end, 16);
        if (end == r->line) {
            return -1;
        }
        r->state = r->left ? READER_CHUNK_DATA : READER_TRAILER;
    } else if (r->state == READER_CHUNK_END) {
        r->state = READER_CHUNK_SIZE;
    } else {
        r->is_done = r->line_len <= 2;
    }
    r->line_len = 0;
    return 0;
}

static long head_bytes(struct reader *r, const char *p, size_t n)
{
    bool is_whole = false;
    size_t took = line_take(r, p, n, &is_whole);
    if (!is_whole) {
        return took ? (long)took : -1;
    }
    bool is_end = r->line_len >= 4 && memcmp(r->line + r->line_len - 4, "\r\n\r\n", 4) == 0;
    return is_end && head_take(r) ? -1 : (long)took;
}

static long line_bytes(struct reader *r, const char *p, size_t n)
{
    bool is_whole = false;
    size_t took = line_take(r, p, n, &is_whole);
    if (took == 0 || (is_whole && line_done(r))) {
        return -1;
    }
    return (long)took;
}

static long data_bytes(struct reader *r, const char *p, size_t n)
{
    size_t take = n < r->left ? n : r->left;
    body_take(r, p, take);
    r->left -= take;
    if (r->left == 0) {
        r->is_done = r->state == READER_BODY;
        r->state = r->state == READER_BODY ? READER_BODY : READER_CHUNK_END;
    }
    return (long)take;
}

long reader_take(struct reader *r, const char *p, size_t n)
{
    size_t at = 0;
    while (at < n && !r->is_done) {
        bool is_data = r->state == READER_BODY || r->state == READER_CHUNK_DATA;
        long took = is_data                    ? data_bytes(r, p + at, n - at)
                    : r->state == READER_HEAD ? head_bytes(r, p + at, n - at)
                                              : line_bytes(r, p + at, n - at);
        if (took < 0) {
            return -1;
        }
        at += (size_t)took;
    }
    return (long)at;
}

bool reader_saw_stream_end(const struct reader *r)
{
    return memmem(r->tail, r->tail_len, "[DONE]", 6) || memmem(r->tail, r->tail_len, "message_stop", 12);
}
