/* AWS Signature Version 4. The key is ACCESS_KEY_ID:SECRET or ACCESS_KEY_ID:SECRET:SESSION_TOKEN; one without ':' is an API key and
 * goes as a bearer token. The secret is never seen here: the host makes the sums that need it.
 *
 * What is signed: the content's type, the host, the date, the session's token, and the body's digest. */
#include <strings.h>

#include "bedrock.h"

enum { HEX = 65 };

struct signing {
    struct bedrock o;
    const struct weir_outgoing *request;
    struct weir_str host, path, query; /* of the URL */
    struct weir_str region, service, token, type;
    char date[17]; /* 20250102T030405Z; its first 8 are the day */
};

/* ---- the URL ---- */

static bool begins(struct weir_str s, const char *with)
{
    size_t n = strlen(with);
    return s.n >= n && memcmp(s.p, with, n) == 0;
}

static struct weir_str without(struct weir_str s, const char *end)
{
    size_t n = strlen(end);
    if (s.n >= n && memcmp(s.p + s.n - n, end, n) == 0)
        s.n -= n;
    return s;
}

static void split_url(struct signing *s)
{
    struct weir_str url = s->request->url;
    const char *end = url.p + url.n, *host = url.n ? memmem(url.p, url.n, "://", 3) : NULL;
    host = host ? host + 3 : url.p;
    const char *path = host;
    while (path < end && *path != '/' && *path != '?')
        path++;
    const char *query = memchr(path, '?', (size_t)(end - path));
    s->host = (struct weir_str){ host, (size_t)(path - host) };
    s->path = (struct weir_str){ path, (size_t)((query ? query : end) - path) };
    s->query = query ? (struct weir_str){ query + 1, (size_t)(end - query) - 1 } : WEIR_NONE;
    s->host = without(s->host, begins(url, "https:") ? ":443" : ":80"); /* the Host header names no usual port */
    if (!s->path.n)
        s->path = WEIR_LIT("/");
}

/* The label that stands at p. */
static struct weir_str label_at(const char *p, const char *end)
{
    const char *dot = p < end ? memchr(p, '.', (size_t)(end - p)) : NULL;
    return (struct weir_str){ p, (size_t)((dot ? dot : end) - p) };
}

/* "bedrock-runtime.us-east-1.amazonaws.com": the label behind the service's is the region. Behind another name the provider entry
 * must say it. */
static void find_region(struct signing *s)
{
    const char *end = s->host.p + s->host.n;
    s->service = WEIR_LIT("bedrock");
    for (const char *p = s->host.p; p < end;) {
        struct weir_str label = label_at(p, end);
        p += label.n + 1;
        if (!begins(label, "bedrock-") || p >= end)
            continue;
        s->region = label_at(p, end);
        if (begins(label, "bedrock-mantle"))
            s->service = WEIR_LIT("bedrock-mantle");
        return;
    }
    const struct weir_candidate *target = s->o.host->target(s->o.call);
    s->region = target && target->region.n ? target->region : WEIR_LIT("us-east-1");
}

/* ---- the date ---- */

/* Unix time without a calendar of the system: the days of the civil calendar since 1970. */
static void write_date(struct signing *s)
{
    int64_t t = s->request->now_ms / 1000, days = t / 86400, left = t % 86400;
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    const int64_t parts[] = { year / 100, year % 100, month, day, -1, left / 3600, left / 60 % 60, left % 60 };
    char *to = s->date;
    for (int i = 0; i < 8; i++) {
        if (parts[i] < 0) {
            *to++ = 'T';
            continue;
        }
        *to++ = (char)('0' + parts[i] / 10 % 10);
        *to++ = (char)('0' + parts[i] % 10);
    }
    *to++ = 'Z';
    *to = '\0';
}

/* ---- sums ---- */

static void write_hex(const uint8_t sum[32], char to[HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        to[2 * i] = digits[sum[i] >> 4];
        to[2 * i + 1] = digits[sum[i] & 15];
    }
    to[64] = '\0';
}

static void hash(const struct signing *s, struct weir_str bytes, char to[HEX])
{
    uint8_t sum[32];
    s->o.host->sha256(bytes, sum);
    write_hex(sum, to);
}

/* 0, or -1 when memory is short. A body of several pieces is joined. */
static int hash_body(const struct signing *s, char to[HEX])
{
    const struct weir_outgoing *q = s->request;
    size_t total = 0;
    if (q->n_body == 1) {
        hash(s, q->body[0], to);
        return 0;
    }
    for (uint32_t i = 0; i < q->n_body; i++)
        total += q->body[i].n;
    char *joined = s->o.host->alloc(s->o.call, WEIR_FOR_ATTEMPT, total + 1), *p = joined;
    for (uint32_t i = 0; joined && i < q->n_body; p += q->body[i++].n)
        if (q->body[i].n)
            memcpy(p, q->body[i].p, q->body[i].n);
    if (joined)
        hash(s, (struct weir_str){ joined, total }, to);
    return joined ? 0 : -1;
}

static struct weir_str as_str(const uint8_t key[32])
{
    return (struct weir_str){ (const char *)key, 32 };
}

/* HMAC over HMAC: date, region, service, then the text. -1: the key has no secret. */
static int sign_text(const struct signing *s, struct weir_str text, char to[HEX])
{
    const struct weir_host *h = s->o.host;
    uint8_t date[32], region[32], service[32], key[32];
    if (h->hmac_key(s->o.call, 1, "AWS4", (struct weir_str){ s->date, 8 }, date) < 0)
        return -1;
    h->hmac_sha256(as_str(date), s->region, region);
    h->hmac_sha256(as_str(region), s->service, service);
    h->hmac_sha256(as_str(service), WEIR_LIT("aws4_request"), key);
    h->hmac_sha256(as_str(key), text, date);
    write_hex(date, to);
    return 0;
}

/* ---- the request in its canonical form ---- */

static struct weir_str header(const struct signing *s, const char *name)
{
    size_t n = strlen(name);
    for (uint32_t i = 0; i < s->request->n_headers; i++) {
        const struct weir_outgoing_header *h = &s->request->headers[i];
        if (h->name.n == n && strncasecmp(h->name.p, name, n) == 0)
            return h->value;
    }
    return WEIR_NONE;
}

static const char *signed_headers(const struct signing *s)
{
    if (s->type.n)
        return s->token.n ? "content-type;host;x-amz-date;x-amz-security-token" : "content-type;host;x-amz-date";
    return s->token.n ? "host;x-amz-date;x-amz-security-token" : "host;x-amz-date";
}

static struct weir_str line(struct signing *s, const char *name, struct weir_str value)
{
    return value.n ? s->o.host->format(s->o.call, "%s:%.*s\n", name, (int)value.n, value.p) : WEIR_LIT("");
}

/* The path is encoded once more than it is on the wire. */
static struct weir_str canonical(struct signing *s, const char body[HEX])
{
    struct weir_str path = bedrock_percent(&s->o, s->path, true);
    struct weir_str type = line(s, "content-type", s->type), host = line(s, "host", s->host),
                    token = line(s, "x-amz-security-token", s->token);
    return s->o.host->format(s->o.call, "%.*s\n%.*s\n%.*s\n%.*s%.*sx-amz-date:%s\n%.*s\n%s\n%s",
                             (int)s->request->method.n, s->request->method.p, (int)path.n, path.p, (int)s->query.n,
                             s->query.p ? s->query.p : "", (int)type.n, type.p, (int)host.n, host.p, s->date,
                             (int)token.n, token.p, signed_headers(s), body);
}

static int add_header(struct signing *s, const char *name, struct weir_str value)
{
    return s->o.host->http_header(s->o.call, weir_cstr(name), value);
}

static int sign(struct signing *s, struct weir_str id)
{
    const struct weir_host *h = s->o.host;
    char body[HEX], whole[HEX], signature[HEX];
    if (hash_body(s, body) < 0)
        return -1;
    hash(s, canonical(s, body), whole);
    struct weir_str scope = h->format(s->o.call, "%.8s/%.*s/%.*s/aws4_request", s->date, (int)s->region.n, s->region.p,
                                      (int)s->service.n, s->service.p);
    struct weir_str text =
        h->format(s->o.call, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", s->date, (int)scope.n, scope.p, whole);
    if (sign_text(s, text, signature) < 0)
        return add_header(s, "authorization", h->format(s->o.call, "Bearer %.*s", (int)id.n, id.p));
    if (add_header(s, "x-amz-date", weir_cstr(s->date)) < 0 ||
        (s->token.n && add_header(s, "x-amz-security-token", s->token) < 0))
        return -1;
    return add_header(s, "authorization",
                      h->format(s->o.call, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%s, Signature=%s",
                                (int)id.n, id.p, (int)scope.n, scope.p, signed_headers(s), signature));
}

int bedrock_sign(void *self, struct weir_call *call, void *state, const struct weir_outgoing *request)
{
    struct signing s = { .o = bedrock_begin(self, call), .request = request };
    struct weir_str id = s.o.host->key_id(call, 0);
    (void)state;
    if (!id.n)
        return 0; /* an entry without a key: somebody behind it signs */
    s.token = s.o.host->key_id(call, 2);
    s.type = header(&s, "content-type");
    split_url(&s);
    find_region(&s);
    write_date(&s);
    return sign(&s, id);
}
