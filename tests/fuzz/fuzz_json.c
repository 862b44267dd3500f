/* Fuzzing the JSON reader and writer. What must hold for every input:
 *   - no read beyond the bytes (they are copied to exactly their size), no crash, no leak;
 *   - what one way of reading accepts the others accept too, but for duplicate keys, which only walking sees;
 *   - what was accepted and written again is accepted again and then written the same;
 *   - what we accept jansson accepts too, but for what it can't represent: numbers beyond its types, lone surrogates;
 *   - what jansson accepts we accept too, but for our limits and for NUL bytes, where jansson stops reading.
 */
#include <jansson.h>
#include <stdlib.h>

#include "../../core/json.h"
#include "../../core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static void walk(struct weir_json *r, struct weir_out *w);

static void walk_object(struct weir_json *r, struct weir_out *w)
{
    struct weir_str key;
    json_object_begin(w);
    for (json_read_object(r); json_read_member(r, &key);) {
        json_key_str(w, key);
        walk(r, w);
    }
    json_object_end(w);
}

static void walk_array(struct weir_json *r, struct weir_out *w)
{
    json_array_begin(w);
    for (json_read_array(r); json_read_element(r);)
        walk(r, w);
    json_array_end(w);
}

static void walk_string(struct weir_json *r, struct weir_out *w)
{
    struct weir_text text;
    if (!json_read_text(r, &text))
        return;
    struct arena *a = arena_new();
    struct weir_str plain = text_decode(a, &text);
    require(utf8_valid(plain.p, plain.n), "a decoded text is UTF-8");
    require(plain.n == text_plain_length(&text), "the plain length is known");
    struct weir_text again = text_escape(a, plain);
    require(weir_eq(text_decode(a, &again), plain), "escaping and decoding is the identity");
    json_put_text(w, &text);
    arena_free(a);
}

static void walk_number(struct weir_json *r, struct weir_out *w)
{
    struct weir_str number;
    if (json_read_number(r, &number))
        json_put_raw(w, number);
}

static void walk(struct weir_json *r, struct weir_out *w)
{
    bool b;
    switch (json_peek(r)) {
    case WEIR_JSON_OBJECT:
        walk_object(r, w);
        break;
    case WEIR_JSON_ARRAY:
        walk_array(r, w);
        break;
    case WEIR_JSON_STRING:
        walk_string(r, w);
        break;
    case WEIR_JSON_NUMBER:
        walk_number(r, w);
        break;
    case WEIR_JSON_BOOL:
        json_read_boolean(r, &b);
        json_put_bool(w, b);
        break;
    case WEIR_JSON_NULL:
        json_read_null(r);
        json_put_null(w);
        break;
    default:
        break;
    }
}

static bool round_trip(struct arena *a, struct weir_str bytes, struct weir_out *out)
{
    struct weir_json *r = json_open(a, bytes);
    walk(r, out);
    bool accepted = json_close(r);
    struct json_error error;
    require(accepted != json_error(r, &error), "a reader that did not accept says why");
    require(accepted || error.offset <= bytes.n, "the error is inside of the document");
    require(accepted || error.kind != JSON_ERROR_MISUSE, "a right walk is no misuse");
    require(!accepted || out_complete(out), "what was read whole was written whole");
    require(!out->is_misuse || !accepted, "a right walk is a right writing");
    return accepted;
}

/* Every integer that jansson reads we must read to the same value. */
static void compare_integer(struct arena *a, struct weir_str bytes, const json_t *theirs)
{
    int64_t ours = 0;
    struct weir_json *r = json_open(a, bytes);
    require(json_read_integer(r, &ours) && json_close(r), "an integer is an integer");
    require(ours == json_integer_value(theirs), "an integer has its value");
}

static void compare_string(struct arena *a, struct weir_str bytes, const json_t *theirs)
{
    struct weir_str ours, wanted = { json_string_value(theirs), json_string_length(theirs) };
    struct weir_json *r = json_open(a, bytes);
    require(json_read_string(r, &ours) && json_close(r), "a string is a string");
    require(weir_eq(ours, wanted), "a string has its content");
}

static bool is_excused(const json_error_t *error)
{
    return strstr(error->text, "surrogate") || strstr(error->text, "invalid Unicode") ||
           strstr(error->text, "too big") || strstr(error->text, "overflow") || strstr(error->text, "NUL byte");
}

static void compare(struct arena *a, struct weir_str bytes, bool accepted)
{
    json_error_t error;
    json_t *theirs = json_loadb(bytes.p, bytes.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (accepted && !theirs && !is_excused(&error)) {
        fprintf(stderr, "jansson: %s\n", error.text);
        require(false, "what we accept jansson accepts too");
    }
    if (theirs && !accepted && !memchr(bytes.n ? bytes.p : "", '\0', bytes.n)) {
        struct weir_json *r = json_open(a, bytes);
        json_skip(r);
        json_close(r);
        bool is_limit = strstr(json_error_text(r, a).p, "128 levels") || strstr(json_error_text(r, a).p, "values");
        require(is_limit, "what jansson accepts we accept too");
    }
    if (accepted && json_is_integer(theirs))
        compare_integer(a, bytes, theirs);
    if (accepted && json_is_string(theirs))
        compare_string(a, bytes, theirs);
    json_decref(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    struct weir_str bytes = { copy, size };
    struct arena *a = arena_new();
    struct weir_out first = { 0 }, second = { 0 };
    bool is_valid = json_valid(a, bytes, WEIR_JSON_ERROR);
    bool is_walked = round_trip(a, bytes, &first);
    require(is_valid || !is_walked, "what can be walked is valid");
    if (is_walked) {
        require(round_trip(a, out_bytes(&first), &second), "what was written can be read");
        require(weir_eq(out_bytes(&first), out_bytes(&second)), "what was written again is the same");
    }
    compare(a, bytes, is_valid);
    out_free(&first);
    out_free(&second);
    arena_free(a);
    free(copy);
    return 0;
}
