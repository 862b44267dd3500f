/* Passing over values without handing them out: what raw(), skip() and valid() do. Everything is checked all the same,
 * but for duplicate keys. One loop with a bit per open level, no recursion. */
#include "json_reader.h"
#include "json_scan.h"

struct nesting {
    unsigned depth; /* levels opened here, on top of the reader's own */
    uint8_t is_object[JSON_DEPTH_MAX];
};

enum weir_json_type json_type_of(char first)
{
    static const uint8_t types[256] = {
        ['"'] = WEIR_JSON_STRING, ['{'] = WEIR_JSON_OBJECT, ['['] = WEIR_JSON_ARRAY,  ['t'] = WEIR_JSON_BOOL,
        ['f'] = WEIR_JSON_BOOL,   ['n'] = WEIR_JSON_NULL,   ['-'] = WEIR_JSON_NUMBER, ['0'] = WEIR_JSON_NUMBER,
        ['1'] = WEIR_JSON_NUMBER, ['2'] = WEIR_JSON_NUMBER, ['3'] = WEIR_JSON_NUMBER, ['4'] = WEIR_JSON_NUMBER,
        ['5'] = WEIR_JSON_NUMBER, ['6'] = WEIR_JSON_NUMBER, ['7'] = WEIR_JSON_NUMBER, ['8'] = WEIR_JSON_NUMBER,
        ['9'] = WEIR_JSON_NUMBER,
    };
    return types[(unsigned char)first];
}

bool json_count_value(struct weir_json *r)
{
    if (++r->values > JSON_VALUES_MAX)
        return json_fail_syntax(r, r->p, "the document has more than 1,000,000 values");
    return true;
}

bool json_pass_string(struct weir_json *r, struct weir_text *inside)
{
    const char *begin = r->p + 1;
    struct json_scan scan = json_scan_string(begin, r->end);
    if (scan.error)
        return json_fail_syntax(r, scan.at, scan.error);
    if (inside) {
        enum weir_text_form form = scan.has_escape ? WEIR_TEXT_ESCAPED : WEIR_TEXT_BOTH;
        *inside = (struct weir_text){ begin, (uint32_t)(scan.at - begin), form };
    }
    r->p = scan.at + 1;
    return true;
}

bool json_pass_literal(struct weir_json *r, const char *word, size_t n)
{
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return json_fail_syntax(r, r->p, "expected a value: true, false and null are the only words");
    r->p += n;
    return true;
}

/* From a member's key up to its value. */
static bool pass_key(struct weir_json *r)
{
    if (r->p == r->end || *r->p != '"')
        return json_fail_expected(r, "a key in quotes");
    if (!json_pass_string(r, NULL))
        return false;
    json_pass_space(r);
    if (r->p == r->end || *r->p != ':')
        return json_fail_expected(r, "':' behind the key");
    r->p++;
    json_pass_space(r);
    return true;
}

/* Enters an object or array. *is_empty: it was closed again, so no value stands at p. */
static bool open_level(struct weir_json *r, struct nesting *nesting, bool is_object, bool *is_empty)
{
    if (r->depth + nesting->depth == JSON_DEPTH_MAX)
        return json_fail_syntax(r, r->p, "nested deeper than 128 levels");
    r->p++;
    json_pass_space(r);
    *is_empty = r->p < r->end && *r->p == (is_object ? '}' : ']');
    if (*is_empty) {
        r->p++;
        return true;
    }
    nesting->is_object[nesting->depth++] = is_object;
    return !is_object || pass_key(r);
}

/* After a value: closes what ends here; true if another value stands at p. False too at the end of it all. */
static bool next_value(struct weir_json *r, struct nesting *nesting)
{
    while (nesting->depth > 0) {
        bool is_object = nesting->is_object[nesting->depth - 1];
        json_pass_space(r);
        char c = r->p < r->end ? *r->p : '\0';
        if (c == ',') {
            r->p++;
            json_pass_space(r);
            return !is_object || pass_key(r);
        }
        if (c != (is_object ? '}' : ']'))
            return json_fail_expected(r, is_object ? "',' or '}'" : "',' or ']'");
        r->p++;
        nesting->depth--;
    }
    return false;
}

static bool pass_scalar(struct weir_json *r, enum weir_json_type type)
{
    switch (type) {
    case WEIR_JSON_STRING:
        return json_pass_string(r, NULL);
    case WEIR_JSON_NUMBER:
        return json_pass_number(r);
    case WEIR_JSON_BOOL:
        return *r->p == 't' ? json_pass_literal(r, "true", 4) : json_pass_literal(r, "false", 5);
    case WEIR_JSON_NULL:
        return json_pass_literal(r, "null", 4);
    default:
        return json_fail_expected(r, "a value");
    }
}

/* Passes a scalar, or what begins an object or array: then *descends, a value stands at p one level down. */
static bool pass_one(struct weir_json *r, struct nesting *nesting, bool *descends)
{
    enum weir_json_type type = r->p < r->end ? json_type_of(*r->p) : WEIR_JSON_ERROR;
    *descends = false;
    if (!json_count_value(r))
        return false;
    if (type != WEIR_JSON_OBJECT && type != WEIR_JSON_ARRAY)
        return pass_scalar(r, type);
    bool is_empty = false;
    if (!open_level(r, nesting, type == WEIR_JSON_OBJECT, &is_empty))
        return false;
    *descends = !is_empty;
    return true;
}

bool json_pass_value(struct weir_json *r)
{
    struct nesting nesting;
    bool descends;
    nesting.depth = 0;
    do {
        if (!pass_one(r, &nesting, &descends))
            return false;
    } while (descends || next_value(r, &nesting));
    return r->error == JSON_ERROR_NONE;
}
