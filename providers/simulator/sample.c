/* Walks a schema and writes one value that fits it: all properties, one array element (or minItems), constants as they
 * stand. References are followed within the document; depth and size are bounded, so a schema that contains itself
 * ends. */
#include "sample.h"

#include <stdlib.h>

struct sample {
    struct buf *out;
    struct dice *dice;
    struct span root;
    const struct buf *hint;
    int depth;
};

enum { SAMPLE_DEPTH = 12, SAMPLE_BYTES = 256 * 1024, SAMPLE_ITEMS = 16 };

static void write_value(struct sample *s, struct span schema, struct span name);

/* "#/$defs/address" */
static struct span resolve(struct span root, struct span ref)
{
    struct buf path = { 0 };
    struct span at = root;
    span_text(ref, &path);
    buf_char(&path, '\0');
    char *save = NULL;
    char *segment = path.failed || path.p[0] != '#' ? NULL : strtok_r(path.p + 1, "/", &save);
    bool is_root = !path.failed && path.p[0] == '#' && !segment;
    for (; segment && at.p; segment = strtok_r(NULL, "/", &save))
        at = span_get(at, segment);
    if (at.p == root.p && !is_root)
        at = (struct span){ NULL, 0 };
    buf_free(&path);
    return at;
}

static struct span first_of(struct span list)
{
    struct span_walk w = span_elements(list);
    struct span first = { NULL, 0 }, other;
    while (span_element(&w, &other))
        if (!first.p || span_says(span_get(first, "type"), "null"))
            first = other;
    return first;
}

/* Deep inside a schema only what it insists on is written. */
static bool is_required(struct span schema, struct span name)
{
    struct span_walk w = span_elements(span_get(schema, "required"));
    struct span item;
    while (span_element(&w, &item))
        if (span_type(item) == '"' && item.n - 2 == name.n && memcmp(item.p + 1, name.p, name.n) == 0)
            return true;
    return false;
}

static void write_object(struct sample *s, struct span schema)
{
    struct span_walk w = span_members(span_get(schema, "properties"));
    struct span name, property;
    bool is_first = true;
    buf_char(s->out, '{');
    while (span_member(&w, &name, &property)) {
        bool is_tight = s->depth > SAMPLE_DEPTH / 2 || s->out->n > SAMPLE_BYTES;
        if (is_tight && !is_required(schema, name))
            continue;
        if (!is_first)
            buf_char(s->out, ',');
        is_first = false;
        buf_char(s->out, '"');
        buf_add(s->out, name.p, name.n);
        buf_str(s->out, "\":");
        write_value(s, property, name);
    }
    buf_char(s->out, '}');
}

static void write_array(struct sample *s, struct span schema)
{
    int64_t n = span_int(span_get(schema, "minItems"), 1);
    n = n < 1 ? 1 : n > SAMPLE_ITEMS ? SAMPLE_ITEMS : n;
    if (s->depth > SAMPLE_DEPTH / 2 && !span_get(schema, "minItems").p)
        n = 0;
    buf_char(s->out, '[');
    for (int64_t i = 0; i < n; i++) {
        if (i)
            buf_char(s->out, ',');
        write_value(s, span_get(schema, "items"), (struct span){ NULL, 0 });
    }
    buf_char(s->out, ']');
}

static void write_number(struct sample *s, struct span schema, bool is_integer)
{
    int64_t low = span_int(span_get(schema, "minimum"), span_int(span_get(schema, "exclusiveMinimum"), 0) + 1);
    int64_t high = span_int(span_get(schema, "maximum"), low + 40);
    int64_t range = high > low && high - low < 1000 ? high - low : 1;
    int64_t value = low + (int64_t)dice_roll(s->dice, (uint32_t)range);
    buf_print(s->out, is_integer ? "%lld" : "%lld.5", (long long)value);
    if (!is_integer && value >= high && s->out->n >= 2)
        s->out->n -= 2; /* the half would pass the maximum */
}

static const char *format_example(struct span format)
{
    static const char *const examples[][2] = {
        { "date", "2026-11-23" },
        { "date-time", "2026-11-23T10:30:00Z" },
        { "time", "10:30:00Z" },
        { "email", "ada@example.com" },
        { "uri", "https://example.com/a" },
        { "uuid", "3f2b6c1e-8a4d-4c6b-9e57-1d2a3b4c5d6e" },
        { "ipv4", "192.0.2.7" },
        { "hostname", "host.example.com" },
        { "duration", "PT15M" },
        { "ipv6", "2001:db8::7" },
    };
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        if (span_says(format, examples[i][0]))
            return examples[i][1];
    return NULL;
}

/* Properties whose names call for a known kind of value. */
static const char *name_example(struct span name)
{
    static const char *const examples[][2] = {
        { "city", "Paris" },   { "location", "Paris, France" },    { "country", "France" },  { "name", "Ada Lovelace" },
        { "unit", "celsius" }, { "email", "ada@example.com" },     { "date", "2026-11-23" }, { "language", "en" },
        { "currency", "EUR" }, { "url", "https://example.com/a" },
    };
    for (size_t i = 0; name.p && i < sizeof(examples) / sizeof(examples[0]); i++)
        if (span_is(name, examples[i][0]))
            return examples[i][1];
    return NULL;
}

static bool takes_the_question(struct span name)
{
    return name.p &&
           (span_is(name, "query") || span_is(name, "question") || span_is(name, "text") || span_is(name, "prompt"));
}

static size_t hint_length(const struct buf *hint)
{
    size_t n = 0;
    while (n < hint->n && n < 60 && (unsigned char)hint->p[n] >= 0x20)
        n++;
    while (n < hint->n && n > 0 && ((unsigned char)hint->p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

static void write_string(struct sample *s, struct span schema, struct span name)
{
    const char *example = format_example(span_get(schema, "format"));
    int64_t at_least = span_int(span_get(schema, "minLength"), 0),
            at_most = span_int(span_get(schema, "maxLength"), 4096);
    struct buf text = { 0 };
    if (!example && takes_the_question(name))
        buf_add(&text, s->hint->p, hint_length(s->hint));
    else if ((example = example ? example : name_example(name)))
        buf_str(&text, example);
    else
        buf_str(&text, words_noun(s->dice));
    while ((int64_t)text.n < at_least && text.n < 4096)
        buf_print(&text, " %s", words_noun(s->dice));
    if ((int64_t)text.n > at_most && at_most >= 0)
        text.n = (size_t)at_most;
    buf_json(s->out, text.p, text.n);
    buf_free(&text);
}

static void write_typed(struct sample *s, struct span schema, struct span type, struct span name)
{
    if (span_says(type, "object") || span_says(type, "OBJECT") || (!type.p && span_get(schema, "properties").p))
        write_object(s, schema);
    else if (span_says(type, "array") || span_says(type, "ARRAY"))
        write_array(s, schema);
    else if (span_says(type, "integer") || span_says(type, "INTEGER"))
        write_number(s, schema, true);
    else if (span_says(type, "number") || span_says(type, "NUMBER"))
        write_number(s, schema, false);
    else if (span_says(type, "boolean") || span_says(type, "BOOLEAN"))
        buf_str(s->out, dice_roll(s->dice, 2) ? "true" : "false");
    else if (span_says(type, "null"))
        buf_str(s->out, "null");
    else
        write_string(s, schema, name);
}

static struct span one_type(struct span type)
{
    struct span_walk w = span_elements(type);
    struct span item, chosen = type;
    while (span_element(&w, &item))
        if (chosen.p == type.p || span_says(chosen, "null"))
            chosen = item;
    return chosen;
}

static void write_choice(struct sample *s, struct span list, bool is_schema, struct span name)
{
    struct span chosen = is_schema ? first_of(list) : (struct span){ NULL, 0 };
    struct span_walk w = span_elements(list);
    if (is_schema)
        write_value(s, chosen, name);
    else if (span_element(&w, &chosen))
        buf_add(s->out, chosen.p, chosen.n);
    else
        buf_str(s->out, "null");
}

static void write_value(struct sample *s, struct span schema, struct span name)
{
    struct span ref = span_get(schema, "$ref"), constant = span_get(schema, "const"), list;
    if (++s->depth > SAMPLE_DEPTH || s->out->n > 2 * SAMPLE_BYTES)
        buf_str(s->out, "null");
    else if (ref.p)
        write_value(s, resolve(s->root, ref), name);
    else if (constant.p)
        buf_add(s->out, constant.p, constant.n);
    else if ((list = span_get(schema, "enum")).p)
        write_choice(s, list, false, name);
    else if ((list = span_get(schema, "anyOf")).p || (list = span_get(schema, "oneOf")).p ||
             (list = span_get(schema, "allOf")).p)
        write_choice(s, list, true, name);
    else
        write_typed(s, schema, one_type(span_get(schema, "type")), name);
    s->depth--;
}

void sample_write(struct buf *out, struct dice *d, struct span schema, const struct buf *hint)
{
    struct sample s = { .out = out, .dice = d, .root = schema, .hint = hint };
    if (span_type(schema) == '{' && schema.n > 2) {
        write_value(&s, schema, (struct span){ NULL, 0 });
        return;
    }
    buf_print(out, "{\"answer\":\"%s\"}", words_noun(d));
}
