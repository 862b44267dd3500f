/* AWS Signature Version 4, as it comes in: the caller has hashed the request in a canonical form and signed the hash with a key made
 * of its secret, the day, a region and a service. Here the same is done once more, and the two signatures are compared.
 *
 * When the head is there, form and time are checked; the signature itself only when the body is, because it covers it.
 */
#include "aws.h"

enum { SKEW_MS = 5 * 60 * 1000, HEADERS_MAX = 64, HEX = 65 };

static const char prefix[] = "Credential=";

bool aws_is_signature(struct weir_str c)
{
    return c.n > sizeof prefix && memcmp(c.p, prefix, sizeof prefix - 1) == 0;
}

/* ---- reading ---- */

static struct weir_str cut(struct weir_str *rest, char at)
{
    const char *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct weir_str head = { rest->p, end ? (size_t)(end - rest->p) : rest->n };
    size_t taken = head.n + (end ? 1 : 0);
    *rest = (struct weir_str){ rest->p + taken, rest->n - taken };
    return head;
}

/* The value of "name=" among parts that commas divide. */
static struct weir_str member(struct weir_str credential, const char *name)
{
    size_t n = strlen(name);
    while (credential.n) {
        struct weir_str part = cut(&credential, ',');
        while (part.n && part.p[0] == ' ')
            part.p++, part.n--;
        if (part.n > n && memcmp(part.p, name, n) == 0)
            return (struct weir_str){ part.p + n, part.n - n };
    }
    return WEIR_NONE;
}

static bool has_header(struct weir_str list, const char *name)
{
    while (list.n)
        if (weir_is(cut(&list, ';'), name))
            return true;
    return false;
}

/* n digits at p as a number, -1: they are none. */
static int64_t digits(const char *p, int n)
{
    int64_t value = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        value = 10 * value + (p[i] - '0');
    }
    return value;
}

/* 20250102T030405Z as unix time in ms; -1: it is none. */
static int64_t time_of(struct weir_str s)
{
    if (s.n != 16 || s.p[8] != 'T' || s.p[15] != 'Z')
        return -1;
    int64_t year = digits(s.p, 4), month = digits(s.p + 4, 2), day = digits(s.p + 6, 2), hour = digits(s.p + 9, 2),
            minute = digits(s.p + 11, 2), second = digits(s.p + 13, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || minute < 0 || second < 0)
        return -1;
    year -= month <= 2;
    int64_t era = year / 400, yoe = year - era * 400, doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
    return ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000;
}

static const char *check_time(const struct weir_host *host, struct weir_call *call, const struct aws_signature *s)
{
    struct weir_str date = host->header(call, WEIR_LIT("x-amz-date"));
    int64_t at = time_of(date), now = host->now_ms();
    if (at < 0 || s->day.n != 8 || memcmp(date.p, s->day.p, 8) != 0)
        return "The request's x-amz-date is missing, makes no sense, or is of another day than the credential's.";
    if (at > now + SKEW_MS || at < now - SKEW_MS)
        return "The signature is of a time more than five minutes away from this gateway's clock. Check the caller's.";
    return NULL;
}

const char *aws_read(const struct weir_host *host, struct weir_call *call, struct weir_str credential,
                     struct aws_signature *to)
{
    credential = host->keep(call, credential);
    struct weir_str scope = member(credential, prefix);
    to->id = cut(&scope, '/');
    to->day = cut(&scope, '/');
    to->region = cut(&scope, '/');
    to->service = cut(&scope, '/');
    to->signed_headers = member(credential, "SignedHeaders=");
    to->signature = member(credential, "Signature=");
    bool is_whole = to->id.n && to->region.n && to->service.n && weir_is(scope, "aws4_request") && to->signature.n == 64;
    if (!is_whole || !has_header(to->signed_headers, "host") || !has_header(to->signed_headers, "x-amz-date"))
        return "The Authorization header is no whole AWS signature that covers at least host and x-amz-date.";
    return check_time(host, call, to);
}

/* ---- doing it again ---- */

static void write_hex(const uint8_t sum[32], char to[HEX])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        to[2 * i] = hex[sum[i] >> 4];
        to[2 * i + 1] = hex[sum[i] & 15];
    }
    to[64] = '\0';
}

/* The path as it came, encoded once more; '/' stays. */
static void put_path(const struct weir_host *host, struct weir_out *out, struct weir_str path)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i], escaped[3] = { '%', hex[(unsigned char)c >> 4], hex[c & 15] };
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool stays = is_word || c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
        host->write(out, stays ? (struct weir_str){ path.p + i, 1 } : (struct weir_str){ escaped, 3 });
    }
}

/* Without blanks at its ends, and one blank where there are several. */
static void put_value(const struct weir_host *host, struct weir_out *out, struct weir_str value)
{
    bool has_word = false, has_gap = false;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == ' ' || value.p[i] == '\t') {
            has_gap = has_word;
            continue;
        }
        if (has_gap)
            host->write(out, WEIR_LIT(" "));
        host->write(out, (struct weir_str){ value.p + i, 1 });
        has_word = true;
        has_gap = false;
    }
}

static void put_line(const struct weir_host *host, struct weir_out *out, struct weir_str s)
{
    host->write(out, s);
    host->write(out, WEIR_LIT("\n"));
}

/* Each header that the caller named, in its order; false: one is not there. */
static bool put_headers(const struct weir_host *host, struct weir_call *call, struct weir_out *out, struct weir_str names)
{
    for (int i = 0; names.n; i++) {
        struct weir_str name = cut(&names, ';'), value = host->header(call, name);
        if (!value.p || i == HEADERS_MAX)
            return false;
        host->write(out, name);
        host->write(out, WEIR_LIT(":"));
        put_value(host, out, value);
        host->write(out, WEIR_LIT("\n"));
    }
    return true;
}

/* The hash of the request in its canonical form. */
static bool hash_request(const struct weir_host *host, struct weir_call *call, const struct aws_signature *s, char to[HEX])
{
    const struct weir_request_view *request = host->request(call);
    const struct weir_conversation *c = host->conversation(call);
    struct weir_str said = host->header(call, WEIR_LIT("x-amz-content-sha256"));
    struct weir_out *out = host->out(call);
    uint8_t sum[32];
    char body[HEX];
    if (!out || !c) /* what is passed through without being read can't be checked */
        return false;
    host->sha256(c->body, sum);
    write_hex(sum, body);
    if (said.n && !weir_is(said, body))
        return false;
    put_line(host, out, request->method);
    put_path(host, out, request->path);
    host->write(out, WEIR_LIT("\n"));
    put_line(host, out, request->query);
    if (!put_headers(host, call, out, s->signed_headers))
        return false;
    host->write(out, WEIR_LIT("\n"));
    put_line(host, out, s->signed_headers);
    host->write(out, weir_cstr(body));
    host->sha256(host->out_bytes(out), sum);
    write_hex(sum, to);
    return true;
}

static struct weir_str as_str(const uint8_t sum[32])
{
    return (struct weir_str){ (const char *)sum, 32 };
}

bool aws_fits(const struct weir_host *host, struct weir_instance *inst, struct weir_call *call,
              const struct aws_signature *s)
{
    char request[HEX], signature[HEX];
    uint8_t day[32], region[32], service[32], key[32];
    if (!hash_request(host, call, s, request) || host->hmac_caller(inst, s->key, "AWS4", s->day, day) < 0)
        return false;
    struct weir_str date = host->header(call, WEIR_LIT("x-amz-date"));
    struct weir_str text = host->format(call, "AWS4-HMAC-SHA256\n%.*s\n%.*s/%.*s/%.*s/aws4_request\n%s", (int)date.n, date.p,
                                        (int)s->day.n, s->day.p, (int)s->region.n, s->region.p, (int)s->service.n,
                                        s->service.p, request);
    host->hmac_sha256(as_str(day), s->region, region);
    host->hmac_sha256(as_str(region), s->service, service);
    host->hmac_sha256(as_str(service), WEIR_LIT("aws4_request"), key);
    host->hmac_sha256(as_str(key), text, day);
    write_hex(day, signature);
    return host->equal(signature, s->signature.p, 64);
}
