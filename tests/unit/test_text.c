/* The forms of a text: decoding, escaping, lengths, and UTF-8 against a slow reference. */
#include "../../core/text.h"

#include "test.h"

static struct weir_text escaped(const char *s)
{
    return (struct weir_text){ s, (uint32_t)strlen(s), WEIR_TEXT_ESCAPED };
}

static void check_decodes(const char *inside, const char *plain, size_t n)
{
    struct arena *a = arena_new();
    struct weir_text t = escaped(inside);
    struct weir_str got = text_decode(a, &t);
    CHECK_INT(got.n, n);
    CHECK(memcmp(got.p, plain, n) == 0);
    CHECK_INT(text_plain_length(&t), n);
    arena_free(a);
}

TEST(decodes_escapes)
{
    check_decodes("", "", 0);
    check_decodes("a\\\"b\\\\c\\/d", "a\"b\\c/d", 7);
    check_decodes("\\b\\f\\n\\r\\t", "\b\f\n\r\t", 5);
    check_decodes("\\u0041\\u00e9\\u20AC\\u0000", "A\xc3\xa9\xe2\x82\xac\0", 7);
    check_decodes("\\ud83d\\ude00!", "\xf0\x9f\x98\x80!", 5);
    check_decodes("a long run without anything in it, then \\n and a long run again behind it.",
                  "a long run without anything in it, then \n and a long run again behind it.", 73);
}

TEST(lone_surrogates_become_replacement_characters)
{
    check_decodes("\\ud83d", "\xef\xbf\xbd", 3);
    check_decodes("\\ude00", "\xef\xbf\xbd", 3);
    check_decodes("\\ud83dx", "\xef\xbf\xbdx", 4);
    check_decodes("\\ude00\\ud83d", "\xef\xbf\xbd\xef\xbf\xbd", 6);
    check_decodes("\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7);
    check_decodes("\\ud83d\\u0041", "\xef\xbf\xbd" "A", 4);
}

TEST(plain_forms_are_not_copied)
{
    struct arena *a = arena_new();
    struct weir_text plain = WEIR_TEXT("a\"b"), both = { "ab", 2, WEIR_TEXT_BOTH };
    CHECK(text_decode(a, &plain).p == plain.p);
    CHECK(text_decode(a, &both).p == both.p);
    CHECK_INT(text_plain_length(&plain), 3);
    arena_free(a);
}

static void check_escapes(struct weir_str plain, const char *inside)
{
    struct arena *a = arena_new();
    struct weir_text t = text_escape(a, plain);
    CHECK_INT(t.n, strlen(inside));
    CHECK(memcmp(t.p, inside, t.n) == 0);
    arena_free(a);
}

TEST(escapes_what_must_be)
{
    check_escapes(WEIR_LIT("say \"hi\"\n\\o/"), "say \\\"hi\\\"\\n\\\\o/");
    check_escapes(WEIR_LIT("\0\x01\x1f\x7f\b\f\r\t"), "\\u0000\\u0001\\u001f\x7f\\b\\f\\r\\t");
    check_escapes(WEIR_LIT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
}

TEST(nothing_to_escape_is_not_copied)
{
    struct arena *a = arena_new();
    struct weir_str plain = WEIR_LIT("nothing here that would have to be escaped, only \xc3\xbc");
    struct weir_text t = text_escape(a, plain);
    CHECK(t.p == plain.p);
    CHECK_INT(t.form, WEIR_TEXT_BOTH);
    t = text_escape(a, WEIR_LIT("a\nb"));
    CHECK_INT(t.form, WEIR_TEXT_ESCAPED);
    t = text_escape(a, WEIR_NONE);
    CHECK_INT(t.n, 0);
    arena_free(a);
}

TEST(broken_bytes_become_replacement_characters)
{
    check_escapes(WEIR_LIT("a\xff" "b"), "a\xef\xbf\xbd" "b");
    check_escapes(WEIR_LIT("\xc3"), "\xef\xbf\xbd");
    check_escapes(WEIR_LIT("\xe2\x82"), "\xef\xbf\xbd");
    check_escapes(WEIR_LIT("\xe2\x82" "A"), "\xef\xbf\xbd" "A");
    check_escapes(WEIR_LIT("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_escapes(WEIR_LIT("\xf0\x9f\x98"), "\xef\xbf\xbd");
    check_escapes(WEIR_LIT("\xf4\x90\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_escapes(WEIR_LIT("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
}

/* Every escape at every offset of every length, so that each path through the chunks is taken. */
TEST(round_trip_at_every_offset)
{
    static const char *const pieces[] = { "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (size_t before = 0; before < 40; before++) {
            struct arena *a = arena_new();
            char plain[100];
            memset(plain, 'x', sizeof plain);
            memcpy(plain + before, pieces[i], strlen(pieces[i]));
            struct weir_str in = { plain, before + strlen(pieces[i]) + before % 19 };
            struct weir_text t = text_escape(a, in);
            CHECK(weir_eq(text_decode(a, &t), in));
            CHECK_INT(text_plain_length(&t), in.n);
            arena_free(a);
        }
    }
}

/* Straight from the table in RFC 3629. */
static bool is_character(const unsigned char *p, size_t n)
{
    if (n == 1)
        return p[0] < 0x80;
    if (n == 2)
        return p[0] >= 0xc2 && p[0] <= 0xdf && p[1] >= 0x80 && p[1] <= 0xbf;
    unsigned least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    bool is_tail = p[1] >= least && p[1] <= most && p[2] >= 0x80 && p[2] <= 0xbf;
    if (n == 3)
        return is_tail && p[0] >= 0xe0 && p[0] <= 0xef;
    return is_tail && p[0] >= 0xf0 && p[0] <= 0xf4 && p[3] >= 0x80 && p[3] <= 0xbf;
}

static bool reference_valid(const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t length = 1;
        while (length <= 4 && (length > n || !is_character(p, length)))
            length++;
        if (length > 4)
            return false;
        p += length;
        n -= length;
    }
    return true;
}

TEST(utf8_agrees_with_the_standard)
{
    static const unsigned char interesting[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                                 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec,
                                                 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff };
    enum { COUNT = sizeof interesting };
    for (unsigned i = 0; i < COUNT * COUNT * COUNT * COUNT; i++) {
        unsigned char p[4] = { interesting[i % COUNT], interesting[i / COUNT % COUNT],
                               interesting[i / COUNT / COUNT % COUNT], interesting[i / COUNT / COUNT / COUNT] };
        for (size_t n = 1; n <= 4; n++)
            CHECK(utf8_valid((const char *)p, n) == reference_valid(p, n));
    }
}

/* The same around the borders of the blocks in which long texts are checked, between ASCII and between other
 * characters. */
TEST(utf8_agrees_in_long_texts)
{
    static const unsigned char interesting[] = { 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2,
                                                 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5 };
    static const size_t places[] = { 0, 29, 30, 31, 60, 61, 62, 63, 92, 126 };
    static const char *const around[] = { "aaaaaaaaaaaa", "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
                                          "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac" };
    enum { COUNT = sizeof interesting, SIZE = 130 };
    for (unsigned i = 0; i < COUNT * COUNT * COUNT * COUNT; i += 1 + i % 7) {
        char p[4] = { (char)interesting[i % COUNT], (char)interesting[i / COUNT % COUNT],
                      (char)interesting[i / COUNT / COUNT % COUNT], (char)interesting[i / COUNT / COUNT / COUNT] };
        char text[SIZE + 12];
        for (size_t at = 0; at < sizeof text; at += 12)
            memcpy(text + at, around[i % 3], at + 12 <= sizeof text ? 12 : sizeof text - at);
        size_t place = places[i % 10];
        memcpy(text + place, p, sizeof p);
        for (size_t n = place + 1; n <= place + 5; n++)
            CHECK(utf8_valid(text, n) == reference_valid((unsigned char *)text, n));
        CHECK(utf8_valid(text, SIZE) == reference_valid((unsigned char *)text, SIZE));
    }
}

TEST(utf8_names_the_broken_byte)
{
    char text[80];
    memset(text, 'a', sizeof text);
    for (size_t at = 0; at < sizeof text; at++) {
        text[at] = (char)0xff;
        CHECK_INT(utf8_valid_prefix(text, sizeof text), at);
        CHECK_INT(text_clean_prefix(text, sizeof text), at);
        text[at] = 'a';
    }
    CHECK(utf8_valid(text, sizeof text));
    CHECK(utf8_valid(NULL, 0));
}
