/* The JSON writer: commas, escapes, pieces, the buffer, and misuse, which must fail instead of writing no JSON. */
#include "../../core/json.h"

#include "test.h"

static struct weir_out out;

static void check_wrote(const char *want)
{
    CHECK(out_complete(&out));
    CHECK(out_bytes(&out).n == strlen(want));
    out_write(&out, WEIR_LIT("\0"));
    CHECK_STR(out.p, want);
    out_free(&out);
}

TEST(commas_and_colons)
{
    json_object_begin(&out);
    json_key(&out, "a");
    json_array_begin(&out);
    json_put_int(&out, 1);
    json_put_int(&out, -20);
    json_object_begin(&out);
    json_object_end(&out);
    json_array_begin(&out);
    json_array_end(&out);
    json_put_null(&out);
    json_array_end(&out);
    json_key_str(&out, WEIR_LIT("b\n"));
    json_put_bool(&out, true);
    json_key(&out, "c");
    json_put_bool(&out, false);
    json_object_end(&out);
    check_wrote("{\"a\":[1,-20,{},[],null],\"b\\n\":true,\"c\":false}");
}

TEST(texts_of_each_form)
{
    struct weir_text escaped = { "a\\n\\ud800", 9, WEIR_TEXT_ESCAPED }, both = { "ab", 2, WEIR_TEXT_BOTH };
    struct weir_text plain = WEIR_TEXT("a\"\x02\xc3\xa9\xff"), none = { 0 };
    json_array_begin(&out);
    json_put_text(&out, &escaped);
    json_put_text(&out, &both);
    json_put_text(&out, &plain);
    json_put_text(&out, &none);
    json_put_str(&out, WEIR_LIT("\\"));
    json_put_str(&out, WEIR_NONE);
    json_array_end(&out);
    check_wrote("[\"a\\n\\ud800\",\"ab\",\"a\\\"\\u0002\xc3\xa9\xef\xbf\xbd\",\"\",\"\\\\\",\"\"]");
}

TEST(strings_in_pieces)
{
    struct weir_text first = WEIR_TEXT("a\n"), second = { "\\tb", 3, WEIR_TEXT_ESCAPED };
    json_array_begin(&out);
    json_string_begin(&out);
    json_string_part(&out, &first);
    json_string_part(&out, &second);
    json_string_end(&out);
    json_string_begin(&out);
    json_string_end(&out);
    json_array_end(&out);
    check_wrote("[\"a\\n\\tb\",\"\"]");
}

TEST(raw_values)
{
    struct weir_text arguments = { "{\\\"x\\\": 1}", 10, WEIR_TEXT_ESCAPED }, none = { 0 }, plain = WEIR_TEXT("[1]");
    json_array_begin(&out);
    json_put_raw(&out, WEIR_LIT("0.7"));
    json_put_raw(&out, WEIR_NONE);
    json_put_text_raw(&out, &arguments);
    json_put_text_raw(&out, &none);
    json_put_text_raw(&out, &plain);
    json_array_end(&out);
    check_wrote("[0.7,null,{\"x\": 1},null,[1]]");
}

TEST(integers)
{
    json_array_begin(&out);
    json_put_int(&out, 0);
    json_put_int(&out, INT64_MAX);
    json_put_int(&out, INT64_MIN);
    json_array_end(&out);
    check_wrote("[0,9223372036854775807,-9223372036854775808]");
}

TEST(values_at_the_top_level_stand_alone)
{
    out_write(&out, WEIR_LIT("data: "));
    json_object_begin(&out);
    json_object_end(&out);
    out_write(&out, WEIR_LIT("\n\ndata: "));
    json_put_int(&out, 1);
    out_write(&out, WEIR_LIT("\n\n"));
    check_wrote("data: {}\n\ndata: 1\n\n");
}

TEST(draining_stays_in_the_middle)
{
    json_array_begin(&out);
    json_put_int(&out, 1);
    CHECK(weir_is(out_bytes(&out), "[1"));
    CHECK(!out_complete(&out));
    out_drain(&out);
    json_put_int(&out, 2);
    json_array_end(&out);
    check_wrote(",2]");
}

TEST(resetting_keeps_small_buffers)
{
    json_put_int(&out, 1);
    out_reset(&out, 1 << 16);
    CHECK(out.p != NULL && out.n == 0);
    CHECK(out_reserve(&out, 1 << 17) != NULL);
    out_reset(&out, 1 << 16);
    CHECK(out.p == NULL && out.cap == 0);
    json_put_int(&out, 2);
    check_wrote("2");
}

static void check_misused(void)
{
    CHECK(out.failed && out.is_misuse && !out_complete(&out));
    size_t n = out.n;
    json_put_int(&out, 5);
    json_object_end(&out);
    CHECK_INT(out.n, n);
    out_free(&out);
}

TEST(misuse_fails)
{
    struct weir_text text = WEIR_TEXT("x");
    json_object_begin(&out);
    json_put_int(&out, 1);
    check_misused();
    json_array_begin(&out);
    json_key(&out, "a");
    check_misused();
    json_object_begin(&out);
    json_key(&out, "a");
    json_object_end(&out);
    check_misused();
    json_object_begin(&out);
    json_key(&out, "a");
    json_key(&out, "b");
    check_misused();
    json_object_begin(&out);
    json_array_end(&out);
    check_misused();
    json_object_end(&out);
    check_misused();
    json_string_part(&out, &text);
    check_misused();
    json_string_end(&out);
    check_misused();
    json_string_begin(&out);
    json_put_int(&out, 1);
    check_misused();
    json_key(&out, "a");
    check_misused();
}

TEST(depth_is_limited)
{
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_begin(&out);
    CHECK(!out.failed);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_end(&out);
    CHECK(out_complete(&out));
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        json_array_begin(&out);
    check_misused();
}

TEST(out_of_memory_sticks)
{
    CHECK(out_reserve(&out, SIZE_MAX / 2) == NULL);
    CHECK(out.failed && !out.is_misuse);
    json_put_int(&out, 1);
    CHECK(!out_complete(&out));
    out_free(&out);
}

/* Whatever plain bytes are put in, what is written reads back; valid UTF-8 reads back the same. */
TEST(any_bytes_read_back)
{
    struct arena *a = arena_new();
    unsigned state = 1;
    for (int round = 0; round < 3000; round++) {
        char bytes[64];
        size_t n = (size_t)round % sizeof bytes;
        for (size_t i = 0; i < n; i++) {
            state = state * 1103515245u + 12345u;
            bytes[i] = (char)(round % 2 ? state >> 16 : state >> 16 & 0x7f);
        }
        struct weir_str in = { bytes, n }, back;
        json_put_str(&out, in);
        struct weir_json *r = json_open(a, out_bytes(&out));
        CHECK(json_read_string(r, &back) && json_close(r));
        CHECK(round % 2 || weir_eq(in, back));
        out_reset(&out, 4096);
    }
    out_free(&out);
    arena_free(a);
}
