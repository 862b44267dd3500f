/* Fuzzing the parser of request heads. What must hold for every input:
 *   - no read or write beyond the bytes (they are copied to exactly their size), no crash;
 *   - a head that is accepted, refused or incomplete is so however its bytes came: what is refused early would be refused whole;
 *   - what is accepted points into the bytes, names are lower case tokens, values have no control characters, the method, target
 *     and version were on one line, and there is one length at most;
 *   - every byte in front of the end matters: a prefix of an accepted head is not accepted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../core/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static int parse(const uint8_t *data, size_t n, size_t seen, struct http_head *head, char **bytes)
{
    const char *why = NULL;
    *bytes = malloc(n ? n : 1);
    memcpy(*bytes, data, n);
    int rc = http_parse_request(*bytes, n, seen, head, &why);
    require(rc >= 0 || (why && *why), "a refusal says why");
    require(rc <= (int)n, "the length is within the bytes");
    require(rc >= 0 || (rc <= -400 && rc >= -599), "a refusal is a status");
    return rc;
}

static bool is_inside(struct weir_str s, const char *bytes, int length)
{
    return !s.n || (s.p >= bytes && s.p + s.n <= bytes + length) || weir_is(s, "/");
}

static void check_head(const struct http_head *h, const char *bytes, int length)
{
    uint32_t lengths = 0, codings = 0;
    require(is_inside(h->method, bytes, length) && is_inside(h->target, bytes, length) &&
                is_inside(h->path, bytes, length) && is_inside(h->query, bytes, length),
            "parts of the request line are inside");
    require(http_is_token(h->method) && h->path.n > 0 && h->minor <= 1, "the request line makes sense");
    require(!memchr(h->target.p, ' ', h->target.n), "a target has no blanks");
    for (uint32_t i = 0; i < h->n_headers; i++) {
        const struct http_header *x = &h->headers[i];
        require(is_inside(x->name, bytes, length) && is_inside(x->value, bytes, length), "headers are inside");
        require(http_is_token(x->name) && http_is_value(x->value), "names are tokens, values are clean");
        for (size_t k = 0; k < x->name.n; k++)
            require(x->name.p[k] < 'A' || x->name.p[k] > 'Z', "names are lower case");
        require(!x->value.n || (x->value.p[0] != ' ' && x->value.p[x->value.n - 1] != ' '), "values are trimmed");
        lengths += weir_is(x->name, "content-length");
        codings += weir_is(x->name, "transfer-encoding");
    }
    require(lengths <= 1 && !(lengths && codings), "one length at most");
    require((lengths == 1) == (h->content_length >= 0) && (codings > 0) == h->is_chunked, "the framing is told");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head, other;
    char *bytes, *cut;
    int rc = parse(data, size, 0, &head, &bytes);
    if (rc > 0)
        check_head(&head, bytes, rc);
    free(bytes);
    size_t step = size > 256 ? size / 64 : 1;
    for (size_t n = 0, seen = 0; n < size; n += step) {
        int early = parse(data, n, seen, &other, &cut);
        seen = n;
        free(cut);
        if (early < 0)
            require(rc < 0, "what is refused early is refused whole");
        if (early > 0)
            require(rc == early, "a head ends where it ends");
        if (early)
            break;
    }
    return 0;
}
