/* HTTP messages as the edge hands them on and the parser of HTTP/1.1 makes them. No I/O here.
 *
 * Strictness is the rule (RFC 9112 and what request smuggling taught): one way to read a message or none.
 */
#ifndef WEIR_CORE_HTTP_H
#define WEIR_CORE_HTTP_H

#include <weir/base.h>

enum { HTTP_MAX_HEADERS = 128 };

struct http_header {
    struct weir_str name; /* lower case */
    struct weir_str value; /* trimmed */
};

struct http_head {
    struct weir_str method; /* as sent: "POST" */
    struct weir_str target; /* as sent */
    struct weir_str path;   /* of the target, still percent-encoded, without query */
    struct weir_str query;  /* without '?' */
    uint32_t n_headers;
    uint32_t minor;           /* HTTP/1.minor */
    int64_t content_length;   /* -1: none given */
    bool is_chunked;
    bool expects_continue;
    bool keeps_alive;         /* the client allows the connection to go on */
    bool wants_upgrade;       /* to something that can't be passed over: websocket */
    struct http_header headers[HTTP_MAX_HEADERS]; /* last: a head that is kept has room for its own only; never copy it whole */
};

/* The value of the first header of that (lower case) name; p NULL if absent. */
struct weir_str http_find(const struct http_header *headers, uint32_t n, const char *name);
/* The standard reason phrase, "" for what has none. */
const char *http_reason(int status);
/* Is it a token / free of CR, LF and NUL? */
bool http_is_token(struct weir_str s);
bool http_is_value(struct weir_str s);

/* Parses the head of a request at the start of bytes. > 0: its length; 0: more bytes are needed; < 0: minus the HTTP status
 * to answer with (400, 414, 431, 501, 505 …), and *why says in a sentence what is wrong. Header names are lower-cased in
 * place; everything in head points into bytes. `seen`: how many bytes an earlier call already looked at (0 at first). */
int http_parse_request(char *bytes, size_t n, size_t seen, struct http_head *head, const char **why);

/* Decodes chunked transfer coding in place, incrementally. All zero is the beginning. */
struct http_chunks {
    uint64_t left;    /* of the current chunk */
    uint32_t state;
    uint32_t overhead; /* bytes of framing since the last data: bounded, so that a chunk can't carry an endless line */
    uint32_t name_n;
    char name[20];     /* of the trailer that is being read, as far as it matters */
    void (*on_trailer)(void *arg, char c); /* gets "name:value\n" of each trailer, names in lower case; NULL: nobody */
    void *arg;
};
/* Decodes from in; *data and *data_n tell the next piece of content (may be empty). Returns how many bytes of in were used;
 * *done when the last chunk and the trailers are over. < 0: malformed (400). Trailers are checked. */
int64_t http_chunks_next(struct http_chunks *c, const char *in, size_t n, const char **data, size_t *data_n, bool *done);

#endif
