/* The simulator's knobs: one table, so that a name is known here or nowhere. Values are copied into the struct; a knob
 * that isn't known is refused, because a misspelt fault that never happens makes a test pass that should not. */
#include "knobs.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

enum knob_type { KNOB_FLAG, KNOB_COUNT, KNOB_DURATION, KNOB_STRING, KNOB_HEADER };

struct knob {
    const char *name;
    enum knob_type type;
    size_t offset;
    int64_t min, max; /* STRING: max is the size of the field */
};

#define AT(field) offsetof(struct knobs, field)
enum { HOUR_MS = 3600 * 1000, BYTES = BUF_MAX };

static const struct knob known[] = {
    { "head", KNOB_DURATION, AT(head), 0, HOUR_MS },
    { "ttft", KNOB_DURATION, AT(ttft), 0, HOUR_MS },
    { "pace", KNOB_DURATION, AT(pace), 0, HOUR_MS },
    { "tokens", KNOB_COUNT, AT(tokens), 0, KNOB_TOKENS_MAX },
    { "thinking", KNOB_COUNT, AT(thinking), 0, KNOB_TOKENS_MAX },
    { "cached", KNOB_COUNT, AT(cached), 0, 1000000 },
    { "text", KNOB_STRING, AT(text), 0, sizeof(((struct knobs *)0)->text) },
    { "finish", KNOB_STRING, AT(finish), 0, sizeof(((struct knobs *)0)->finish) },
    { "refusal", KNOB_FLAG, AT(refusal), 0, 0 },
    { "json_answer", KNOB_FLAG, AT(json_answer), 0, 0 },
    { "no_usage", KNOB_FLAG, AT(no_usage), 0, 0 },
    { "tool", KNOB_STRING, AT(tool), 0, sizeof(((struct knobs *)0)->tool) },
    { "calls", KNOB_COUNT, AT(calls), 1, KNOB_CALLS_MAX },
    { "rounds", KNOB_COUNT, AT(rounds), 0, 100 },
    { "status", KNOB_COUNT, AT(status), 200, 599 },
    { "header", KNOB_HEADER, 0, 0, 0 },
    { "html", KNOB_FLAG, AT(html), 0, 0 },
    { "no_head", KNOB_FLAG, AT(no_head), 0, 0 },
    { "no_body", KNOB_FLAG, AT(no_body), 0, 0 },
    { "no_done", KNOB_FLAG, AT(no_done), 0, 0 },
    { "stall_after", KNOB_COUNT, AT(stall_after), 0, BYTES },
    { "error_event", KNOB_COUNT, AT(error_event), 0, BYTES },
    { "garble", KNOB_COUNT, AT(garble), 1, BYTES },
    { "wrong_chunk", KNOB_COUNT, AT(wrong_chunk), 1, BYTES },
    { "cut_utf8", KNOB_COUNT, AT(cut_utf8), 1, BYTES },
    { "split_utf8", KNOB_COUNT, AT(split_utf8), 1, BYTES },
    { "bad_utf8", KNOB_COUNT, AT(bad_utf8), 1, BYTES },
    { "rst_after", KNOB_COUNT, AT(rst_after), 0, BYTES },
    { "fin_after", KNOB_COUNT, AT(fin_after), 0, BYTES },
    { "rst_at", KNOB_COUNT, AT(rst_at), 0, BYTES },
    { "fin_at", KNOB_COUNT, AT(fin_at), 0, BYTES },
    { "truncate", KNOB_COUNT, AT(truncate), 0, BYTES },
    { "split", KNOB_COUNT, AT(split), 1, BYTES },
    { "crlf", KNOB_FLAG, AT(crlf), 0, 0 },
    { "comments", KNOB_FLAG, AT(comments), 0, 0 },
};

static const struct {
    const char *name, *says;
} presets[] = {
    { "demo", "" },
    { "fast", "ttft=0&pace=0" },
    { "slow", "ttft=5s&pace=300ms" },
    { "long", "tokens=2000&pace=5ms" },
    { "thinker", "thinking=24" },
    { "caller", "tool=any&calls=2" },
    { "limited", "status=429&header=retry-after:2" },
    { "overloaded", "status=503" },
    { "broken", "fin_after=600" },
};

void knobs_init(struct knobs *k)
{
    *k = (struct knobs){
        .head = 0,
        .ttft = 300,
        .pace = 20,
        .tokens = 60,
        .calls = 1,
        .rounds = 1,
        .status = KNOB_OFF,
        .stall_after = KNOB_OFF,
        .error_event = KNOB_OFF,
        .garble = KNOB_OFF,
        .wrong_chunk = KNOB_OFF,
        .cut_utf8 = KNOB_OFF,
        .split_utf8 = KNOB_OFF,
        .bad_utf8 = KNOB_OFF,
        .rst_after = KNOB_OFF,
        .fin_after = KNOB_OFF,
        .truncate = KNOB_OFF,
        .rst_at = KNOB_OFF,
        .fin_at = KNOB_OFF,
        .split = KNOB_OFF,
    };
}

const char *knobs_preset(size_t i)
{
    return i < sizeof(presets) / sizeof(presets[0]) ? presets[i].name : NULL;
}

static const struct knob *find_knob(const char *name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    return NULL;
}

static bool refuse(struct buf *problem, const char *name, const char *why)
{
    buf_print(problem, "The simulator's knob '%.40s' %s; providers/simulator/README.md lists them all.", name, why);
    return false;
}

/* Duration: 20, 20ms, 1.5s, 2m. */
static bool read_number(const struct knob *knob, const char *value, int64_t *out)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || !isdigit((unsigned char)*value))
        return false;
    if (knob->type == KNOB_DURATION && *end) {
        double unit = strcmp(end, "ms") == 0 ? 1 : strcmp(end, "s") == 0 ? 1000 : strcmp(end, "m") == 0 ? 60000 : 0;
        if (unit == 0)
            return false;
        number *= unit;
    } else if (*end) {
        return false;
    }
    if (!(number >= (double)knob->min && number <= (double)knob->max))
        return false;
    *out = (int64_t)number;
    return true;
}

static bool is_token(const char *s)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(marks, *s))
            return false;
    return true;
}

static bool is_header_value(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F)
            return false;
    return true;
}

static bool read_header(struct knobs *k, const char *value)
{
    const char *colon = strchr(value, ':');
    size_t name_n = colon ? (size_t)(colon - value) : 0;
    if (name_n == 0 || name_n >= sizeof(k->headers[0].name) || k->n_headers == KNOB_HEADERS)
        return false;
    for (colon++; *colon == ' ';)
        colon++;
    size_t value_n = strlen(colon);
    if (value_n >= sizeof(k->headers[0].value) || !is_header_value(colon))
        return false;
    memcpy(k->headers[k->n_headers].name, value, name_n);
    k->headers[k->n_headers].name[name_n] = '\0';
    memcpy(k->headers[k->n_headers].value, colon, value_n + 1);
    if (!is_token(k->headers[k->n_headers].name) || strcasecmp(k->headers[k->n_headers].name, "content-length") == 0 ||
        strcasecmp(k->headers[k->n_headers].name, "transfer-encoding") == 0)
        return false;
    k->n_headers++;
    return true;
}

static bool read_string(char *field, size_t size, const char *value)
{
    size_t n = strlen(value);
    if (n >= size)
        return false;
    memcpy(field, value, n + 1);
    return true;
}

static bool set_knob(struct knobs *k, const char *name, const char *value, bool has_value, struct buf *problem)
{
    const struct knob *knob = find_knob(name);
    if (!knob)
        return refuse(problem, name, "is not known");
    char *field = (char *)k + knob->offset;
    switch (knob->type) {
    case KNOB_FLAG:
        *(bool *)(void *)field = !has_value || strcmp(value, "0") != 0;
        return true;
    case KNOB_COUNT:
        if (!has_value)
            value = "1";
        return read_number(knob, value, (int64_t *)(void *)field) ||
               refuse(problem, name, "has a value out of its range");
    case KNOB_DURATION:
        return read_number(knob, value, (int64_t *)(void *)field) ||
               refuse(problem, name, "must be a time like 20ms or 1.5s");
    case KNOB_STRING:
        return read_string(field, (size_t)knob->max, has_value ? value : "any") ||
               refuse(problem, name, "has a value that is too long");
    case KNOB_HEADER:
        return read_header(k, value) ||
               refuse(problem, name, "must be name:value, at most 8 times, and not a framing header");
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* '+' stays what it is: model names and texts have it. */
static bool percent_decode(char *s)
{
    char *to = s;
    for (; *s; s++) {
        int high = *s == '%' ? hex_digit(s[1]) : -1, low = high >= 0 ? hex_digit(s[2]) : -1;
        if (low < 0) {
            *to++ = *s;
            continue;
        }
        if (high == 0 && low == 0)
            return false;
        *to++ = (char)(high << 4 | low);
        s += 2;
    }
    *to = '\0';
    return true;
}

static bool read_pair(struct knobs *k, const char *p, size_t n, struct buf *problem)
{
    char pair[1400];
    if (n == 0)
        return true;
    if (n >= sizeof(pair) || memchr(p, 0, n))
        return refuse(problem, "…", "is too long or holds a NUL");
    memcpy(pair, p, n);
    pair[n] = '\0';
    char *value = strchr(pair, '=');
    if (value)
        *value++ = '\0';
    if (value && !percent_decode(value))
        return refuse(problem, pair, "holds a NUL");
    return set_knob(k, pair, value ? value : "", value != NULL, problem);
}

static bool is_separator(char c)
{
    return c == '&' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool knobs_read(struct knobs *k, const char *p, size_t n, struct buf *problem)
{
    for (size_t from = 0, i = 0; n > 0 && i <= n; i++) {
        if (i < n && !is_separator(p[i]))
            continue;
        if (!read_pair(k, p + from, i - from, problem))
            return false;
        from = i + 1;
    }
    return true;
}

bool knobs_read_model(struct knobs *k, const char *p, size_t n, struct buf *problem)
{
    const char *mark = n ? memchr(p, '?', n) : NULL;
    size_t name_n = mark ? (size_t)(mark - p) : n;
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
        if (strlen(presets[i].name) == name_n && memcmp(presets[i].name, p, name_n) == 0)
            knobs_read(k, presets[i].says, strlen(presets[i].says), problem);
    return !mark || knobs_read(k, mark + 1, n - name_n - 1, problem);
}
