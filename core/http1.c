/* The parser of HTTP/1.1 request heads, written for one purpose: there is one way to read a message, or none.
 *
 * RFC 9112, and stricter where leniency has let requests be smuggled: lines end in CRLF only, no blank before a colon, no
 * folded lines, no control characters in values, one Host at most, one length or chunked as the last and only coding, no
 * HTTP/0.9. Our own, because the parser at hand (llhttp 8.1.0) accepts a bare CR and more. Nothing is allocated: everything
 * points into the caller's bytes.
 */
#include "http.h"

#include <strings.h>

enum {
    OK = 1,
    MORE = 0,
    BAD_REQUEST = -400,
    URI_TOO_LONG = -414,
    FIELDS_TOO_LARGE = -431,
    NOT_IMPLEMENTED = -501,
    VERSION = -505
};
enum { METHOD_MAX = 24, TARGET_MAX = 16384, EMPTY_LINES_MAX = 8 };

/* Characters of a token (RFC 9110, 5.6.2). */
static const bool token_chars[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true,         ['&'] = true,         ['\''] = true,
    ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true,         ['^'] = true,         ['_'] = true,
    ['`'] = true, ['|'] = true, ['~'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

bool http_is_token(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!token_chars[(unsigned char)s.p[i]])
            return false;
    return s.n > 0;
}

/* Without a branch per byte, so that the compiler looks at many at once. */
bool http_is_value(struct weir_str s)
{
    unsigned bad = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bad |= (unsigned)(c < 0x20) & (unsigned)(c != '\t');
        bad |= (unsigned)(c == 0x7f);
    }
    return !bad;
}

/* Visible ASCII. Quotes, '|' and '#' should be percent-encoded but can't be read two ways, and clients send them. */
static bool is_target(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return s.n > 0;
}

static bool is_host(struct weir_str v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7f || strchr(",/?#@\\\"<>{}|^`", v.p[i]))
            return false;
    return true;
}

static bool is_word(struct weir_str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

struct weir_str http_find(const struct http_header *headers, uint32_t n, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < n; i++)
        if (headers[i].name.n == len && memcmp(headers[i].name.p, name, len) == 0)
            return headers[i].value;
    return WEIR_NONE;
}

/* ---- the request line ---- */

static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

static int parse_version(struct weir_str v, struct http_head *head, const char **why)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.' || v.p[5] < '0' || v.p[5] > '9' || v.p[7] < '0' ||
        v.p[7] > '9')
        return refuse(why, BAD_REQUEST, "the request line does not end in HTTP/1.1");
    if (v.p[5] != '1' || v.p[7] > '1')
        return refuse(why, VERSION, "the HTTP version is not 1.0 or 1.1");
    head->minor = (uint32_t)(v.p[7] - '0');
    return OK;
}

/* "http://host/path?query": what follows the authority. */
static int skip_authority(struct weir_str *t, const char **why)
{
    size_t scheme = strncasecmp(t->p, "http://", t->n < 7 ? t->n : 7) == 0 ? 7 : 8;
    if (t->n <= scheme || (scheme == 8 && strncasecmp(t->p, "https://", 8) != 0))
        return refuse(why, BAD_REQUEST, "the request target must be a path");
    const char *p = t->p + scheme, *end = t->p + t->n, *slash = p;
    while (slash < end && !strchr("/?#", *slash))
        slash++;
    if (slash == p || !is_host((struct weir_str){ p, (size_t)(slash - p) }))
        return refuse(why, BAD_REQUEST, "the request target names no host");
    *t = (struct weir_str){ slash, (size_t)(end - slash) };
    return OK;
}

/* origin-form, absolute-form (its path is taken), or '*'. A fragment is no part of a target, but some clients send it: it
 * belongs neither to the path nor to the query. */
static int parse_target(struct http_head *head, const char **why)
{
    struct weir_str t = head->target;
    if (t.n > TARGET_MAX)
        return refuse(why, URI_TOO_LONG, "the request target is longer than 16384 bytes");
    if (!is_target(t))
        return refuse(why, BAD_REQUEST, "the request target is empty or has a character that must be percent-encoded");
    bool has_path = t.p[0] == '/' || (t.n == 1 && t.p[0] == '*');
    if (!has_path && skip_authority(&t, why) < 0)
        return BAD_REQUEST;
    const char *end = memchr(t.p, '#', t.n);
    t.n = end ? (size_t)(end - t.p) : t.n;
    const char *query = memchr(t.p, '?', t.n);
    size_t n = query ? (size_t)(query - t.p) : t.n;
    head->path = n ? (struct weir_str){ t.p, n } : WEIR_LIT("/");
    head->query = query ? (struct weir_str){ query + 1, t.n - n - 1 } : WEIR_NONE;
    return OK;
}

/* All registered methods are upper case; another case is a mistake of the client that the next server might read otherwise. */
static bool is_method(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'a' && s.p[i] <= 'z')
            return false;
    return s.n <= METHOD_MAX && http_is_token(s);
}

static int parse_request_line(struct weir_str line, struct http_head *head, const char **why)
{
    const char *form = "the request line must be METHOD TARGET HTTP/1.1";
    const char *end = line.p + line.n, *blank = memchr(line.p, ' ', line.n);
    const char *second = blank ? memchr(blank + 1, ' ', (size_t)(end - blank - 1)) : NULL;
    if (!second)
        return refuse(why, BAD_REQUEST, form);
    head->method = (struct weir_str){ line.p, (size_t)(blank - line.p) };
    head->target = (struct weir_str){ blank + 1, (size_t)(second - blank - 1) };
    if (!is_method(head->method))
        return refuse(why, BAD_REQUEST, "the method must be a word of upper case letters");
    int rc = parse_version((struct weir_str){ second + 1, (size_t)(end - second - 1) }, head, why);
    if (rc < 0)
        return rc;
    if (weir_is(head->method, "CONNECT"))
        return refuse(why, NOT_IMPLEMENTED, "weir is no forward proxy: CONNECT isn't served");
    return parse_target(head, why);
}

/* ---- fields ---- */

static void lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(p[i] | (p[i] >= 'A' && p[i] <= 'Z' ? 0x20 : 0));
}

static struct weir_str trimmed(const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t'))
        p++, n--;
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    return (struct weir_str){ p, n };
}

static int parse_field(char *line, size_t n, struct http_head *head, const char **why)
{
    char *colon = memchr(line, ':', n);
    if (line[0] == ' ' || line[0] == '\t')
        return refuse(why, BAD_REQUEST, "a header line begins with a blank (folded lines are not read)");
    if (!colon)
        return refuse(why, BAD_REQUEST, "a header line has no colon");
    struct weir_str name = { line, (size_t)(colon - line) };
    if (!http_is_token(name))
        return refuse(why, BAD_REQUEST, "a header name is empty or has a character that no name may have");
    struct weir_str value = trimmed(colon + 1, n - name.n - 1);
    if (!http_is_value(value))
        return refuse(why, BAD_REQUEST, "a header value has a control character");
    if (head->n_headers == HTTP_MAX_HEADERS)
        return refuse(why, FIELDS_TOO_LARGE, "there are more than 128 headers");
    lower(line, name.n);
    head->headers[head->n_headers++] = (struct http_header){ name, value };
    return OK;
}

/* ---- what the fields mean for the connection ---- */

struct meaning {
    bool has_host, has_type, is_coded, is_last_chunked, asks_to_upgrade, upgrades, asks_100;
    struct weir_str unknown_coding;
};

static int parse_length(struct weir_str v, struct http_head *head, const char **why)
{
    if (head->content_length >= 0)
        return refuse(why, BAD_REQUEST, "content-length is given twice");
    if (!v.n || v.n > 18)
        return refuse(why, BAD_REQUEST, "content-length is not a number that can be");
    int64_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return refuse(why, BAD_REQUEST, "content-length is not a number");
        n = n * 10 + (v.p[i] - '0');
    }
    head->content_length = n;
    return OK;
}

/* Takes the next item of a comma separated list off its front. */
static struct weir_str next_item(struct weir_str *list)
{
    const char *comma = memchr(list->p, ',', list->n);
    size_t n = comma ? (size_t)(comma - list->p) : list->n;
    struct weir_str item = trimmed(list->p, n);
    n += comma ? 1 : 0;
    *list = (struct weir_str){ list->p + n, list->n - n };
    return item;
}

/* Codings in their order over all the lines. `identity` says nothing; chunked must come once, last. */
static int parse_codings(struct weir_str v, struct http_head *head, struct meaning *m, const char **why)
{
    m->is_coded = true;
    while (v.n) {
        struct weir_str coding = next_item(&v);
        m->is_last_chunked = is_word(coding, "chunked");
        if (m->is_last_chunked && head->is_chunked)
            return refuse(why, BAD_REQUEST, "transfer-encoding says chunked twice");
        head->is_chunked = head->is_chunked || m->is_last_chunked;
        if (!m->is_last_chunked && !is_word(coding, "identity"))
            m->unknown_coding = coding;
    }
    return OK;
}

static int check_codings(const struct http_head *head, const struct meaning *m, const char **why)
{
    if (!m->is_coded)
        return OK;
    if (head->minor == 0)
        return refuse(why, BAD_REQUEST, "HTTP/1.0 has no transfer-encoding");
    if (head->content_length >= 0)
        return refuse(why, BAD_REQUEST, "both content-length and transfer-encoding are given");
    if (!m->is_last_chunked)
        return refuse(why, BAD_REQUEST, "chunked is not the last transfer-encoding");
    if (m->unknown_coding.p)
        return refuse(why, NOT_IMPLEMENTED, "the only transfer-encoding that weir reads is chunked");
    return OK;
}

static void parse_connection(struct weir_str v, struct http_head *head, struct meaning *m)
{
    bool closes = false;
    while (v.n) {
        struct weir_str option = next_item(&v);
        if (is_word(option, "close"))
            closes = true;
        else if (is_word(option, "keep-alive") && head->minor == 0)
            head->keeps_alive = true;
        else if (is_word(option, "upgrade"))
            m->asks_to_upgrade = true;
    }
    if (closes)
        head->keeps_alive = false;
}

static int parse_once(bool *has, const char **why, const char *text)
{
    if (*has)
        return refuse(why, BAD_REQUEST, text);
    *has = true;
    return OK;
}

static int interpret(const struct http_header *h, struct http_head *head, struct meaning *m, const char **why)
{
    if (weir_is(h->name, "content-length"))
        return parse_length(h->value, head, why);
    if (weir_is(h->name, "transfer-encoding"))
        return parse_codings(h->value, head, m, why);
    if (weir_is(h->name, "host") && !is_host(h->value))
        return refuse(why, BAD_REQUEST, "the host header is not a host");
    if (weir_is(h->name, "host"))
        return parse_once(&m->has_host, why, "there are two host headers");
    if (weir_is(h->name, "content-type"))
        return parse_once(&m->has_type, why, "there are two content-type headers");
    if (weir_is(h->name, "connection"))
        parse_connection(h->value, head, m);
    else if (weir_is(h->name, "upgrade")) /* an offer of HTTP/2 may be passed over (RFC 9110, 7.8) */
        m->upgrades = !is_word(h->value, "h2c");
    else if (weir_is(h->name, "expect"))
        m->asks_100 = is_word(h->value, "100-continue");
    return OK;
}

/* First letters of the names above: most headers need no look at all. */
static bool may_mean_something(struct weir_str name)
{
    char c = name.p[0];
    return c == 'c' || c == 't' || c == 'h' || c == 'u' || c == 'e';
}

static int interpret_all(struct http_head *head, const char **why)
{
    struct meaning m = { 0 };
    head->keeps_alive = head->minor == 1;
    for (uint32_t i = 0; i < head->n_headers; i++) {
        int rc = may_mean_something(head->headers[i].name) ? interpret(&head->headers[i], head, &m, why) : OK;
        if (rc < 0)
            return rc;
    }
    int rc = check_codings(head, &m, why);
    head->wants_upgrade = m.asks_to_upgrade && m.upgrades;
    head->expects_continue = m.asks_100 && head->minor == 1 && (head->is_chunked || head->content_length > 0);
    return rc;
}

/* ---- all of it ---- */

/* Length of the head with its empty line; 0: not all is there; < 0: a line does not end as it must. */
static int find_end(const char *p, size_t n, size_t seen, const char **why)
{
    size_t at = seen > 3 ? seen - 3 : 0;
    const char *lf;
    while (at < n && (lf = memchr(p + at, '\n', n - at))) {
        size_t i = (size_t)(lf - p);
        if (i == 0 || p[i - 1] != '\r')
            return refuse(why, BAD_REQUEST, "a line ends in LF without CR");
        if (i >= 3 && p[i - 2] == '\n')
            return (int)i + 1;
        at = i + 1;
    }
    return MORE;
}

/* Before the head is whole: what can't become a request is refused at once (TLS, SSH, HTTP/2's preface …). */
static int check_beginning(const char *p, size_t n, const char **why)
{
    for (size_t i = 0; i < n && i < METHOD_MAX; i++) {
        if (p[i] == ' ')
            return i ? OK : refuse(why, BAD_REQUEST, "the request begins with a blank");
        if (!token_chars[(unsigned char)p[i]] || (p[i] >= 'a' && p[i] <= 'z'))
            return refuse(
                why, BAD_REQUEST,
                "this does not begin with an HTTP method in upper case (is a TLS client talking to a plain port?)");
    }
    return n > METHOD_MAX ? refuse(why, BAD_REQUEST, "the method is too long") : OK;
}

static int parse_lines(char *p, size_t n, struct http_head *head, const char **why)
{
    bool is_first = true;
    while (n > 2) {
        char *cr = memchr(p, '\r', n);
        size_t len = (size_t)(cr - p);
        if (p[len + 1] != '\n')
            return refuse(why, BAD_REQUEST, "a line has a CR in it");
        int rc = is_first ? parse_request_line((struct weir_str){ p, len }, head, why) : parse_field(p, len, head, why);
        if (rc < 0)
            return rc;
        is_first = false;
        p += len + 2;
        n -= len + 2;
    }
    return OK;
}

/* Empty lines before a request are forgiven (RFC 9112, 2.2), a few: how many bytes of them there are. */
static size_t empty_lines(const char *p, size_t n)
{
    size_t i = 0;
    while (i < 2 * EMPTY_LINES_MAX && i + 1 < n && p[i] == '\r' && p[i + 1] == '\n')
        i += 2;
    return i;
}

int http_parse_request(char *bytes, size_t n, size_t seen, struct http_head *head, const char **why)
{
    size_t skip = empty_lines(bytes, n);
    char *p = bytes + skip;
    n -= skip;
    seen = seen > skip ? seen - skip : 0;
    *why = "";
    if (n == 0 || (n == 1 && p[0] == '\r'))
        return MORE;
    int rc = check_beginning(p, n, why);
    if (rc < 0)
        return rc;
    int length = find_end(p, n, seen, why);
    if (length <= 0) {
        bool is_long = length == 0 && n > TARGET_MAX + METHOD_MAX && !memchr(p, '\n', n);
        return is_long ? refuse(why, URI_TOO_LONG, "the request target is longer than 16384 bytes") : length;
    }
    memset(head, 0, offsetof(struct http_head, headers));
    head->content_length = -1;
    rc = parse_lines(p, (size_t)length, head, why);
    if (rc > 0)
        rc = interpret_all(head, why);
    return rc < 0 ? rc : length + (int)skip;
}
