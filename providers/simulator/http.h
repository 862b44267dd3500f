/* As much of HTTP/1.1 as the simulator's listener needs. Spans point into the connection's buffer. */
#ifndef SIMULATOR_HTTP_H
#define SIMULATOR_HTTP_H

#include "span.h"

struct http_head {
    struct span method, path; /* path without query */
    struct span simulate; /* x-weir-simulate */
    size_t n; /* bytes of the head */
    int64_t content_length; /* -1: none */
    bool is_chunked, is_closing, expects_continue;
};

/* Bytes consumed, 0: more is needed, < 0: the HTTP status of what is wrong, negated. */
int64_t http_read_head(struct http_head *h, const char *p, size_t n);

/* Takes the chunks out of a body in place, as they arrive. */
struct http_chunks {
    size_t in, out; /* read up to here, body written up to here; offsets into the buffer */
    size_t left; /* of the chunk */
    enum { HTTP_SIZE = 0, HTTP_DATA, HTTP_DATA_END, HTTP_TRAILER, HTTP_DONE } phase;
};

/* 1: the body is complete, 0: more is needed, < 0: as above. */
int http_read_chunks(struct http_chunks *c, char *p, size_t n);

#endif
