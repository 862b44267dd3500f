/* The JSON reader: types, errors and their paths, duplicates, limits. The standard's test suite is in
 * test_json_suite.c, the writer in test_json_write.c. */
#include "../../core/json.h"

#include "test.h"

static struct arena *arena;

static struct weir_json *open_text(const char *document)
{
    return json_open(arena, weir_cstr(document));
}

static const char *error_of(const struct weir_json *r)
{
    return json_error_text(r, arena).p;
}

#define ARENA_TEST(id)                                                                                                \
    static void arena_test_##id(void);                                                                                \
    TEST(id)                                                                                                          \
    {                                                                                                                 \
        arena = arena_new();                                                                                          \
        arena_test_##id();                                                                                            \
        arena_free(arena);                                                                                            \
    }                                                                                                                 \
    static void arena_test_##id(void)

/* --- Values ------------------------------------------------------------------------------------------------------- */

ARENA_TEST(a_walk)
{
    struct weir_json *r = open_text(" {\"model\": \"m\", \"n\":3,\"stream\":true,\"stop\":null,\"x\":{\"a\":[1,{}]},"
                                    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\\n\"},{}]} \n");
    struct weir_str key, model = WEIR_NONE, extra = WEIR_NONE;
    struct weir_text content = { 0 };
    int64_t n = 0;
    bool stream = false;
    int messages = 0;
    for (json_read_object(r); json_read_member(r, &key);) {
        if (weir_is(key, "model"))
            json_read_string(r, &model);
        else if (weir_is(key, "n"))
            json_read_integer(r, &n);
        else if (weir_is(key, "stream"))
            json_read_boolean(r, &stream);
        else if (weir_is(key, "x"))
            json_read_raw(r, &extra);
        else if (weir_is(key, "messages"))
            for (json_read_array(r); json_read_element(r); messages++)
                for (json_read_object(r); json_read_member(r, &key);)
                    if (weir_is(key, "content"))
                        json_read_text(r, &content);
    }
    CHECK(json_close(r));
    CHECK(weir_is(model, "m") && n == 3 && stream && messages == 2);
    CHECK(weir_is(extra, "{\"a\":[1,{}]}"));
    CHECK_INT(content.form, WEIR_TEXT_ESCAPED);
    CHECK_INT(content.n, 4);
}

ARENA_TEST(peek_names_types)
{
    static const struct {
        const char *document;
        enum weir_json_type type;
    } cases[] = {
        { "null", WEIR_JSON_NULL }, { "true", WEIR_JSON_BOOL },  { "false", WEIR_JSON_BOOL },
        { "-1", WEIR_JSON_NUMBER }, { "\"\"", WEIR_JSON_STRING }, { "[]", WEIR_JSON_ARRAY },
        { "{}", WEIR_JSON_OBJECT }, { "x", WEIR_JSON_ERROR },    { "", WEIR_JSON_ERROR },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weir_json *r = open_text(cases[i].document);
        CHECK_INT(json_peek(r), cases[i].type);
        CHECK_INT(json_peek(r), cases[i].type);
        CHECK(json_close(r) == (cases[i].type != WEIR_JSON_ERROR));
    }
}

ARENA_TEST(strings_are_decoded_and_texts_kept)
{
    struct weir_json *r = open_text("[\"plain \xc3\xa9\",\"a\\u0000b\\ud83d\\ude00\",\"\\ud800\"]");
    struct weir_text text;
    struct weir_str s;
    CHECK(json_read_array(r) && json_read_element(r) && json_read_text(r, &text));
    CHECK_INT(text.form, WEIR_TEXT_BOTH);
    CHECK(json_read_element(r) && json_read_string(r, &s));
    CHECK(weir_eq(s, WEIR_LIT("a\0b\xf0\x9f\x98\x80")));
    CHECK(json_read_element(r) && json_read_string(r, &s));
    CHECK(weir_is(s, "\xef\xbf\xbd"));
    CHECK(!json_read_element(r) && json_close(r));
}

static const char *numbered(int i)
{
    return arena_printf(arena, "%.*s\n%d", i % 30, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", i).p;
}

ARENA_TEST(decoded_strings_do_not_overwrite_each_other)
{
    struct weir_str all[200];
    struct weir_out document = { 0 };
    json_array_begin(&document);
    for (int i = 0; i < 200; i++)
        json_put_str(&document, weir_cstr(numbered(i)));
    json_array_end(&document);
    struct weir_json *r = json_open(arena, out_bytes(&document));
    int n = 0;
    for (json_read_array(r); json_read_element(r); n++)
        CHECK(json_read_string(r, &all[n]));
    CHECK(json_close(r) && n == 200);
    for (int i = 0; i < 200; i++)
        CHECK(weir_is(all[i], numbered(i)));
    out_free(&document);
}

static void check_integer(const char *number, int64_t want)
{
    int64_t got = 77;
    struct weir_json *r = open_text(number);
    CHECK(json_read_integer(r, &got) && json_close(r));
    CHECK_INT(got, want);
}

ARENA_TEST(integers_are_exact)
{
    check_integer("0", 0);
    check_integer("-0", 0);
    check_integer("42", 42);
    check_integer("9223372036854775807", INT64_MAX);
    check_integer("-9223372036854775808", INT64_MIN);
    check_integer("9007199254740993", 9007199254740993);
    check_integer("1.0", 1);
    check_integer("1e3", 1000);
    check_integer("1.5e1", 15);
    check_integer("0.001E+3", 1);
    check_integer("-12300e-2", -123);
    check_integer("0e99999999999999999999", 0);
    check_integer("0.000", 0);
    check_integer("100000000000000000000000e-20", 1000);
}

static void check_refused(const char *number, const char *error)
{
    int64_t got;
    struct weir_json *r = open_text(number);
    CHECK(!json_read_integer(r, &got));
    CHECK_STR(error_of(r), error);
}

ARENA_TEST(what_is_no_integer_is_refused)
{
    check_refused("1.5", "the top level: must be an integer, found a fraction");
    check_refused("15e-1", "the top level: must be an integer, found a fraction");
    check_refused("1e-99999999999999999999", "the top level: must be an integer, found a fraction");
    check_refused("9223372036854775808", "the top level: must be an integer of at most 64 bits");
    check_refused("-9223372036854775809", "the top level: must be an integer of at most 64 bits");
    check_refused("1e19", "the top level: must be an integer of at most 64 bits");
    check_refused("18446744073709551617", "the top level: must be an integer of at most 64 bits");
    check_refused("1e99999999999999999999", "the top level: must be an integer of at most 64 bits");
    check_refused("\"1\"", "the top level: must be a number, found a string");
}

ARENA_TEST(numbers_keep_their_text)
{
    struct weir_json *r = open_text("[0.7,1e400,123456789012345678901234567890.10]");
    struct weir_str number;
    CHECK(json_read_array(r) && json_read_element(r) && json_read_number(r, &number) && weir_is(number, "0.7"));
    CHECK(json_read_element(r) && json_read_number(r, &number) && weir_is(number, "1e400"));
    CHECK(json_read_element(r) && json_read_number(r, &number) && weir_is(number, "123456789012345678901234567890.10"));
    CHECK(!json_read_element(r) && json_close(r));
}

/* --- Errors ------------------------------------------------------------------------------------------------------- */

/* Reads every scalar as a string, so that any other is an error. */
static void read_strings(struct weir_json *r)
{
    struct weir_str s;
    switch (json_peek(r)) {
    case WEIR_JSON_OBJECT:
        for (json_read_object(r); json_read_member(r, &s);)
            read_strings(r);
        break;
    case WEIR_JSON_ARRAY:
        for (json_read_array(r); json_read_element(r);)
            read_strings(r);
        break;
    default:
        json_read_string(r, &s);
    }
}

static void check_error(const char *document, const char *error)
{
    struct weir_json *r = open_text(document);
    read_strings(r);
    CHECK(!json_close(r));
    CHECK(json_failed(r));
    CHECK_STR(error_of(r), error);
}

ARENA_TEST(errors_have_paths)
{
    check_error("{\"messages\":[{},{\"role\":\"x\"},{},{\"role\":\"user\",\"content\":5}]}",
                "messages[3].content: must be a string, found a number");
    check_error("5", "the top level: must be a string, found a number");
    check_error("[[],[[],[false]]]", "[1][1][0]: must be a string, found a boolean");
    check_error("{\"a b\":{\"\":null}}", "[\"a b\"][\"\"]: must be a string, found null");
    check_error("{\"a\\n\\\"\":null}", "[\"a\\n\\\"\"]: must be a string, found null");
    check_error("{\"a\":[{\"b\":\"1\"},{\"c\":\"\\x\"}]}",
                "not valid JSON at byte 22 (a[1].c): a string has an invalid escape");
}

ARENA_TEST(errors_name_what_was_found)
{
    check_error("", "not valid JSON at byte 0: the document is empty");
    check_error(" \n", "not valid JSON at byte 0: the document is empty");
    check_error("\xef\xbb\xbf{}",
                "not valid JSON at byte 0: the document begins with a byte order mark; send it without");
    check_error("{} x", "not valid JSON at byte 3: expected nothing behind the value, found 'x'");
    check_error("[\"a\"", "not valid JSON at byte 4 ([0]): expected ',' or ']', but the document ends here");
    check_error("[\"a\",]", "not valid JSON at byte 5 ([1]): expected a value, found ']'");
    check_error("{\"a\":\"b\",}", "not valid JSON at byte 9 (a): expected a key in quotes, found '}'");
    check_error("{\"a\" \"b\"}", "not valid JSON at byte 5 (a): expected ':' behind the key, found '\"'");
    check_error("[\x01]", "not valid JSON at byte 1 ([0]): expected a value, found the byte 0x01");
    check_error("[\"abc", "not valid JSON at byte 1 ([0]): a string is not ended");
    check_error("[\"a\nb\"]",
                "not valid JSON at byte 3 ([0]): a control character in a string must be escaped");
    check_error("[\"a\xff\"]", "not valid JSON at byte 3 ([0]): a string is not valid UTF-8");
}

ARENA_TEST(errors_stick_and_keep_the_first)
{
    struct weir_json *r = open_text("{\"a\":1,\"b\":2}");
    struct weir_str key, s;
    CHECK(json_read_object(r) && json_read_member(r, &key) && !json_read_string(r, &s));
    CHECK(!json_read_member(r, &key) && !json_skip(r) && !json_read_element(r) && json_peek(r) == WEIR_JSON_ERROR);
    CHECK(!json_reject(r, "something else"));
    CHECK(!json_close(r));
    struct json_error error;
    CHECK(json_error(r, &error));
    CHECK_INT(error.kind, JSON_ERROR_VALUE);
    CHECK_INT(error.offset, 5);
    CHECK_STR(error.path.p, "a");
    CHECK_STR(error.message.p, "must be a string, found a number");
}

ARENA_TEST(reject_points_at_the_value_read_last)
{
    struct weir_json *r = open_text("{\"messages\":[{\"role\":\"user\"},{\"role\":\"usr\"}]}");
    struct weir_str key, role;
    struct json_error error;
    for (json_read_object(r); json_read_member(r, &key);)
        for (json_read_array(r); json_read_element(r);)
            for (json_read_object(r); json_read_member(r, &key);)
                if (json_read_string(r, &role) && !weir_is(role, "user"))
                    CHECK(!json_reject(r, "must be one of system, user"));
    CHECK(!json_close(r));
    CHECK_STR(error_of(r), "messages[1].role: must be one of system, user");
    CHECK(json_error(r, &error));
    CHECK_INT(error.offset, 37);
}

ARENA_TEST(reject_after_an_object_names_the_object)
{
    struct weir_json *r = open_text("{\"messages\":[{\"content\":\"\"}]}");
    struct weir_str key;
    for (json_read_object(r); json_read_member(r, &key);)
        for (json_read_array(r); json_read_element(r);) {
            for (json_read_object(r); json_read_member(r, &key);)
                json_skip(r);
            json_reject(r, "role is missing");
        }
    CHECK_STR(error_of(r), "messages[0]: role is missing");
}

/* What the raw value of "a" is wrong in, told by the reader of the whole. */
static const char *inside(const char *text)
{
    struct weir_json *r = open_text(text), *inner = NULL;
    struct weir_str key, raw, each;
    for (json_read_object(r); json_read_member(r, &key) && json_read_raw(r, &raw);) {
        inner = json_open(arena, raw);
        for (json_read_array(inner); json_read_element(inner);)
            json_read_string(inner, &each);
        if (!json_close(inner))
            json_reject_inside(r, inner, "must be an array");
    }
    return error_of(r);
}

ARENA_TEST(reject_inside_goes_on_where_the_outer_path_ends)
{
    CHECK_STR(inside("{\"a\":[\"x\"],\"b\":[\"x\",1],\"c\":[2]}"), "b[1]: must be a string, found a number");
    CHECK_STR(inside("{\"a\":{}}"), "a: must be an array");
    CHECK_STR(inside("{\"a\":[\"x\"]}"), "");
    struct weir_json *r = open_text("[{\"x y\":1}]"), *inner = open_text("{\"k\":{\"n\":1}}");
    struct weir_str key, s;
    for (json_read_object(inner); json_read_member(inner, &key);)
        for (json_read_object(inner); json_read_member(inner, &key);)
            json_read_string(inner, &s);
    for (json_read_array(r); json_read_element(r);)
        for (json_read_object(r); json_read_member(r, &key);)
            json_reject_inside(r, inner, "no");
    CHECK_STR(error_of(r), "[0][\"x y\"].k.n: must be a string, found a number");
}

ARENA_TEST(misuse_is_an_error_of_the_codec)
{
    struct weir_str key;
    struct json_error error;
    struct weir_json *r = open_text("[1,2]");
    CHECK(json_read_array(r) && !json_read_member(r, &key));
    CHECK(json_error(r, &error) && error.kind == JSON_ERROR_MISUSE);
    r = open_text("[1,2]");
    CHECK(json_read_array(r) && !json_skip(r));
    CHECK(json_error(r, &error) && error.kind == JSON_ERROR_MISUSE);
    r = open_text("1");
    CHECK(json_skip(r) && !json_read_element(r) && !json_close(r));
    CHECK(json_error(r, &error) && error.kind == JSON_ERROR_MISUSE);
}

ARENA_TEST(close_looks_at_what_was_left)
{
    struct weir_str key;
    struct weir_json *r = open_text("{\"a\":[1,{\"b\":2}],\"c\":3}");
    CHECK(json_read_object(r) && json_read_member(r, &key) && json_read_array(r) && json_read_element(r));
    CHECK(json_close(r));
    r = open_text("{\"a\":[1,{\"b\":2}],\"c\":oops}");
    CHECK(json_read_object(r) && json_read_member(r, &key) && json_read_array(r) && json_read_element(r));
    CHECK(!json_close(r));
    CHECK(json_close(open_text("{\"unread\":true}")));
}

/* A codec may check only at the end: until then it must not meet anything that was never set. */
ARENA_TEST(what_could_not_be_read_is_empty)
{
    struct weir_str key = WEIR_LIT("x"), s = WEIR_LIT("x"), number = WEIR_LIT("x"), raw = WEIR_LIT("x");
    struct weir_text text = WEIR_TEXT("x");
    int64_t n = 5;
    bool b = true;
    struct weir_json *r = open_text("");
    CHECK(!json_read_member(r, &key) && !json_read_string(r, &s) && !json_read_text(r, &text));
    CHECK(!json_read_boolean(r, &b));
    CHECK(!json_read_integer(r, &n) && !json_read_number(r, &number) && !json_read_raw(r, &raw));
    CHECK(key.n == 0 && s.n == 0 && number.n == 0 && raw.n == 0 && text.n == 0 && n == 0 && !b);
}

ARENA_TEST(nul_bytes_are_refused)
{
    CHECK(!json_valid(arena, WEIR_LIT("[1]\0"), 0));
    CHECK(!json_valid(arena, WEIR_LIT("[1,\0 2]"), 0));
    CHECK(!json_valid(arena, WEIR_LIT("[\"a\0b\"]"), 0));
    CHECK(!json_valid(arena, WEIR_LIT("\0"), 0));
    CHECK(json_valid(arena, WEIR_LIT("[\"a\\u0000b\"]"), 0));
}

ARENA_TEST(long_paths_stay_short)
{
    struct weir_out document = { 0 };
    for (int i = 0; i < 60; i++) {
        json_object_begin(&document);
        json_key_str(&document, arena_printf(arena, "%060d \xc3\xa9\xc3\xa9\xc3\xa9", i));
    }
    json_put_int(&document, 1);
    struct weir_json *r = json_open(arena, out_bytes(&document));
    read_strings(r);
    struct json_error error;
    CHECK(json_error(r, &error));
    CHECK(error.path.n > 300 && error.path.n <= 512);
    CHECK(strcmp(error.path.p + error.path.n - 3, "...") == 0);
    CHECK(json_error_text(r, arena).n < 700);
    out_free(&document);
}

/* --- Duplicates and limits ---------------------------------------------------------------------------------------- */

ARENA_TEST(duplicate_keys_are_refused_where_members_are_read)
{
    check_error("{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}",
                "not valid JSON at byte 17 (a): this key stands twice in its object");
    check_error("{\"a\":{\"\\u0062\":\"1\",\"b\":\"2\"}}",
                "not valid JSON at byte 19 (a.b): this key stands twice in its object");
    CHECK(json_valid(arena, WEIR_LIT("{\"a\":1,\"a\":2}"), 0));
    struct weir_json *r = open_text("[{\"a\":\"1\"},{\"a\":\"1\"},{\"a\":{\"a\":\"\"}}]");
    read_strings(r);
    CHECK(json_close(r));
}

/* An object of `count` keys "k\n0" ... (with a backslash) of which every third has one more escape; then `last`. */
static void many_keys(struct weir_out *w, int count, const char *last)
{
    out_write(w, WEIR_LIT("{"));
    for (int i = 0; i < count; i++) {
        out_write(w, i % 3 == 0 ? WEIR_LIT("\"\\u006b\\\\n") : WEIR_LIT("\"k\\\\n"));
        json_put_int(w, i);
        out_write(w, WEIR_LIT("\":\"\","));
    }
    out_write(w, WEIR_LIT("\""));
    out_write(w, weir_cstr(last));
    out_write(w, WEIR_LIT("\":\"\"}"));
}

static bool accepts_keys(int count, const char *last)
{
    struct weir_out document = { 0 };
    many_keys(&document, count, last);
    struct weir_json *r = json_open(arena, out_bytes(&document));
    read_strings(r);
    bool accepted = json_close(r);
    out_free(&document);
    return accepted;
}

ARENA_TEST(duplicates_are_found_among_many)
{
    static const int counts[] = { 1, 15, 16, 17, 18, 47, 48, 49, 50, 97, 1000, 30000 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        CHECK(accepts_keys(counts[i], "another"));
        CHECK(accepts_keys(counts[i], "k\\n0"));
        for (int of = 0; of < counts[i]; of += 1 + counts[i] / 7) {
            CHECK(!accepts_keys(counts[i], arena_printf(arena, "k\\\\n%d", of).p));
            CHECK(!accepts_keys(counts[i], arena_printf(arena, "k\\u005cn%d", of).p));
        }
    }
}

ARENA_TEST(sibling_objects_share_the_key_set)
{
    struct weir_out document = { 0 };
    out_write(&document, WEIR_LIT("["));
    for (int i = 0; i < 50; i++) {
        out_write(&document, i ? WEIR_LIT(",") : WEIR_NONE);
        many_keys(&document, 100, "x");
    }
    out_write(&document, WEIR_LIT("]"));
    struct weir_json *r = json_open(arena, out_bytes(&document));
    read_strings(r);
    CHECK(json_close(r));
    CHECK(arena_size(arena) < 64 * 1024);
    out_free(&document);
}

static struct weir_str nested(struct weir_out *w, int depth, const char *open, const char *inside, const char *close)
{
    out_reset(w, SIZE_MAX);
    for (int i = 0; i < depth; i++)
        out_write(w, weir_cstr(open));
    out_write(w, weir_cstr(inside));
    for (int i = 0; i < depth; i++)
        out_write(w, weir_cstr(close));
    return out_bytes(w);
}

ARENA_TEST(depth_is_limited)
{
    struct weir_out document = { 0 };
    CHECK(json_valid(arena, nested(&document, 128, "[", "", "]"), 0));
    CHECK(!json_valid(arena, nested(&document, 129, "[", "", "]"), 0));
    CHECK(json_valid(arena, nested(&document, 128, "{\"a\":", "1", "}"), 0));
    CHECK(!json_valid(arena, nested(&document, 129, "{\"a\":", "1", "}"), 0));
    struct weir_json *r = json_open(arena, nested(&document, 128, "[", "\"\"", "]"));
    read_strings(r);
    CHECK(json_close(r));
    r = json_open(arena, nested(&document, 129, "[", "\"\"", "]"));
    read_strings(r);
    CHECK(!json_close(r));
    CHECK(strstr(error_of(r), "nested deeper than 128 levels") != NULL);
    struct weir_str raw;
    r = json_open(arena, nested(&document, 129, "[", "\"\"", "]"));
    CHECK(json_read_array(r) && json_read_element(r) && !json_read_raw(r, &raw));
    out_free(&document);
}

ARENA_TEST(the_table_is_complete)
{
    const void *const *entries = (const void *const *)(const void *)((const char *)&json_api + 8);
    CHECK_INT(json_api.size, sizeof json_api);
    for (size_t i = 0; i < (sizeof json_api - 8) / sizeof *entries; i++)
        CHECK(entries[i] != NULL);
}

/* The table's open() and valid() ask for the call's arena; a program of the core has its own answer. */
__attribute__((weak)) struct arena *call_arena(struct weir_call *call)
{
    (void)call;
    return arena;
}

ARENA_TEST(valid_checks_texts)
{
    struct weir_text t = { "{\\\"a\\\":1}", 9, WEIR_TEXT_ESCAPED }, plain = WEIR_TEXT("{\"a\":1}"), none = { 0 };
    size_t size = arena_size(arena);
    CHECK(json_valid_text(arena, &t, WEIR_JSON_OBJECT));
    CHECK(json_valid_text(arena, &t, 0));
    CHECK(!json_valid_text(arena, &t, WEIR_JSON_ARRAY));
    CHECK(json_valid_text(arena, &plain, WEIR_JSON_OBJECT));
    CHECK(!json_valid_text(arena, &none, 0));
    CHECK_INT(arena_size(arena), size);
}
