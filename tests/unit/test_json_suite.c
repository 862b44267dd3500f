/* The JSON reader against the files of JSONTestSuite, and its limits in size, time and memory.
 *
 * Of the cases that the standard leaves open (i_*) we accept every number, since it crosses as its text, and escaped
 * lone surrogates, since JavaScript clients send them when they cut a string in two. We refuse invalid UTF-8 in every
 * form, UTF-16, a byte order mark, and nesting beyond 128. */
#include <dirent.h>
#include <time.h>

#include "../../core/json.h"

#include "test.h"

static const char *const accepted_i[] = {
    "i_number_double_huge_neg_exp.json",
    "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",
    "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
    "i_object_key_lone_2nd_surrogate.json",
    "i_string_1st_surrogate_but_2nd_missing.json",
    "i_string_1st_valid_surrogate_2nd_invalid.json",
    "i_string_incomplete_surrogate_and_escape_valid.json",
    "i_string_incomplete_surrogate_pair.json",
    "i_string_incomplete_surrogates_escape_valid.json",
    "i_string_invalid_lonely_surrogate.json",
    "i_string_invalid_surrogate.json",
    "i_string_inverted_surrogates_U+1D11E.json",
    "i_string_lone_second_surrogate.json",
};

/* Valid JSON, but read member by member we refuse it. */
static const char *const duplicates[] = { "y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json" };

static bool is_among(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, list[i]) == 0)
            return true;
    }
    return false;
}

static const char *suite_folder(void)
{
    static char path[4096];
    const char *shared = getenv("WEIR_SHARED");
    snprintf(path, sizeof path, "%s/data/jsontestsuite/test_parsing", shared ? shared : "../shared");
    return path;
}

/* Exactly as long as the file, so that a sanitizer sees each byte read beyond it. */
static struct weir_str slurp(const char *folder, const char *name)
{
    char path[5000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *p = malloc(n ? n : 1);
    CHECK(fread(p, 1, n, file) == n);
    fclose(file);
    return (struct weir_str){ p, n };
}

/* Reads every value by the function for its type and writes it again, if `w` is given. */
static void walk(struct weir_json *r, struct weir_out *w)
{
    struct weir_str s = WEIR_NONE;
    struct weir_text text;
    bool b = false;
    switch (json_peek(r)) {
    case WEIR_JSON_OBJECT:
        json_object_begin(w);
        for (json_read_object(r); json_read_member(r, &s);) {
            json_key_str(w, s);
            walk(r, w);
        }
        json_object_end(w);
        break;
    case WEIR_JSON_ARRAY:
        json_array_begin(w);
        for (json_read_array(r); json_read_element(r);)
            walk(r, w);
        json_array_end(w);
        break;
    case WEIR_JSON_STRING:
        json_read_text(r, &text);
        json_put_text(w, &text);
        break;
    case WEIR_JSON_NUMBER:
        json_read_number(r, &s);
        json_put_raw(w, s);
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

/* What was accepted and written again must be accepted again, and then be written the same. */
static bool round_trip(struct arena *a, struct weir_str bytes, struct weir_out *out)
{
    struct weir_json *r = json_open(a, bytes);
    walk(r, out);
    return json_close(r) && out_complete(out);
}

static bool walk_accepts(struct weir_str bytes)
{
    struct arena *a = arena_new();
    struct weir_out first = { 0 }, second = { 0 };
    bool accepted = round_trip(a, bytes, &first);
    if (accepted) {
        CHECK(round_trip(a, out_bytes(&first), &second));
        CHECK(weir_eq(out_bytes(&first), out_bytes(&second)));
    }
    out_free(&first);
    out_free(&second);
    arena_free(a);
    return accepted;
}

static void check_file(const char *folder, const char *name)
{
    struct weir_str bytes = slurp(folder, name);
    struct arena *a = arena_new();
    bool expected = name[0] == 'y' || is_among(name, accepted_i, sizeof accepted_i / sizeof *accepted_i);
    bool is_duplicate = is_among(name, duplicates, sizeof duplicates / sizeof *duplicates);
    bool valid = json_valid(a, bytes, WEIR_JSON_ERROR), walked = walk_accepts(bytes);
    if (valid != expected || walked != (expected && !is_duplicate)) {
        printf("  %s: valid %d, walked %d\n", name, valid, walked);
        test_fail(__FILE__, __LINE__, name);
    }
    arena_free(a);
    free((void *)(uintptr_t)bytes.p);
}

TEST(every_file_of_the_suite)
{
    DIR *folder = opendir(suite_folder());
    if (!folder)
        SKIP("JSONTestSuite is not there (../shared/data or $WEIR_SHARED)");
    int files = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        check_file(suite_folder(), entry->d_name);
        files++;
    }
    closedir(folder);
    CHECK(files > 300);
}

/* --- Size --------------------------------------------------------------------------------------------------------- */

/* `count` times the piece, commas between, inside of open and close. A # in the piece is its number. */
static struct weir_str repeated(const char *open, const char *piece, int count, const char *close)
{
    struct weir_out w = { 0 };
    const char *number = strchr(piece, '#');
    struct weir_str before = number ? (struct weir_str){ piece, (size_t)(number - piece) } : weir_cstr(piece);
    out_write(&w, weir_cstr(open));
    for (int i = 0; i < count; i++) {
        out_write(&w, i ? WEIR_LIT(",") : WEIR_NONE);
        out_write(&w, before);
        if (number) {
            json_put_int(&w, i);
            out_write(&w, weir_cstr(number + 1));
        }
    }
    out_write(&w, weir_cstr(close));
    out_write(&w, WEIR_LIT("\0"));
    CHECK(!w.failed);
    return (struct weir_str){ w.p, w.n - 1 };
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct cost {
    bool accepted;
    double memory; /* the body and the arena, in bodies */
    double seconds;
};

static void read_all(struct weir_json *r)
{
    struct weir_str s;
    switch (json_peek(r)) {
    case WEIR_JSON_OBJECT:
        for (json_read_object(r); json_read_member(r, &s);)
            read_all(r);
        break;
    case WEIR_JSON_ARRAY:
        for (json_read_array(r); json_read_element(r);)
            read_all(r);
        break;
    case WEIR_JSON_STRING:
        json_read_string(r, &s);
        break;
    default:
        json_skip(r);
    }
}

static struct cost measure(struct weir_str bytes)
{
    struct arena *a = arena_new();
    double begin = seconds();
    struct weir_json *r = json_open(a, bytes);
    read_all(r);
    struct cost cost = { .accepted = json_close(r) };
    cost.seconds = seconds() - begin;
    cost.memory = (double)(bytes.n + arena_size(a)) / (double)bytes.n;
    arena_free(a);
    return cost;
}

static struct cost measure_and_free(struct weir_str bytes)
{
    struct cost cost = measure(bytes);
    free((void *)(uintptr_t)bytes.p);
    return cost;
}

TEST(a_million_values_but_no_more)
{
    CHECK(measure_and_free(repeated("[", "{}", 999999, "]")).accepted);
    CHECK(!measure_and_free(repeated("[", "{}", 1000000, "]")).accepted);
    CHECK(measure_and_free(repeated("{", "\"#\":1", 999999, "}")).accepted);
    CHECK(!measure_and_free(repeated("{", "\"#\":1", 1000000, "}")).accepted);
    struct arena *a = arena_new();
    struct weir_str bytes = repeated("[", "0", 999999, "]"), more = repeated("[", "0", 1000000, "]");
    CHECK(json_valid(a, bytes, 0));
    CHECK(!json_valid(a, more, 0));
    free((void *)(uintptr_t)bytes.p);
    free((void *)(uintptr_t)more.p);
    arena_free(a);
}

TEST(memory_stays_within_three_bodies)
{
    static const char *const pieces[] = { "{}",           "[]", "\"\\n\"",           "\"\\u00e9\"",
                                          "{\"\\n\":1}", "0",  "[{\"a\":\"\\t\"}]" };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        CHECK(measure_and_free(repeated("[", pieces[i], 300000, "]")).memory <= 3.0);
    static const int counts[] = { 50000, 99000, 197000, 394000, 787000, 999999 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct cost cost = measure_and_free(repeated("{", "\"#\":1", counts[i], "}"));
        CHECK(cost.accepted);
        CHECK(cost.memory <= 3.0);
    }
}

/* Linear: ten times as many keys may take 10 times as long, and some for the caches; quadratic would be 100. */
TEST(many_keys_take_linear_time)
{
    double small = measure_and_free(repeated("{", "\"some_key_#\":1", 80000, "}")).seconds;
    double large = measure_and_free(repeated("{", "\"some_key_#\":1", 800000, "}")).seconds;
    CHECK(large < small * 45 + 0.05);
}

/* One large object, then many small ones at the same depth: each pays for itself only. */
TEST(small_objects_after_a_large_one_are_cheap)
{
    struct weir_str large = repeated("{", "\"k#\":1", 400000, "}");
    struct weir_str small = repeated("{", "\"k#\":1", 18, "}");
    struct weir_str many = repeated("", small.p, 25000, "]");
    char *both = malloc(large.n + many.n + 2);
    both[0] = '[';
    memcpy(both + 1, large.p, large.n);
    both[large.n + 1] = ',';
    memcpy(both + large.n + 2, many.p, many.n);
    struct cost cost = measure((struct weir_str){ both, large.n + many.n + 2 });
    CHECK(cost.accepted);
    CHECK(cost.seconds < 5);
    free(both);
    free((void *)(uintptr_t)large.p);
    free((void *)(uintptr_t)small.p);
    free((void *)(uintptr_t)many.p);
}

/* Every document cut at every byte, in memory of exactly that size: refused, never read beyond. */
TEST(every_prefix_is_refused)
{
    static const char document[] =
        "{\"a\":[1,-2.5e+3,true,false,null,\"x\\u00e9\\ud83d\\ude00\xc3\xa9\"],\"b\":{\"c\":{}}}";
    for (size_t n = 0; n < sizeof document - 1; n++) {
        char *p = malloc(n ? n : 1);
        memcpy(p, document, n);
        struct arena *a = arena_new();
        CHECK(!json_valid(a, (struct weir_str){ p, n }, 0));
        CHECK(!walk_accepts((struct weir_str){ p, n }));
        arena_free(a);
        free(p);
    }
    CHECK(walk_accepts(WEIR_LIT(document)));
}

/* Every byte in every place of a string, so that each path through the chunks meets each byte. */
TEST(every_byte_at_every_place_of_a_string)
{
    struct arena *a = arena_new();
    char document[90];
    for (size_t at = 1; at < sizeof document - 1; at += 1 + at / 20) {
        for (unsigned byte = 0; byte < 256; byte++) {
            memset(document, 'a', sizeof document);
            document[0] = document[sizeof document - 1] = '"';
            document[at] = (char)byte;
            bool expected = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            CHECK(json_valid(a, (struct weir_str){ document, sizeof document }, 0) == expected);
        }
    }
    arena_free(a);
}

/* --- Strings against a slow reference ----------------------------------------------------------------------------- */

/* How long the string is that begins at p, its quotes included; 0 if it is none. */
static size_t reference_string(const char *p, size_t n)
{
    size_t i = 1;
    while (i < n && p[i] != '"') {
        size_t length = 1;
        if ((unsigned char)p[i] < 0x20)
            return 0;
        if (p[i] == '\\')
            length = i + 1 < n && p[i + 1] == 'u' ? 6 : 2;
        if (i + length > n || (length == 2 && !memchr("\"\\/bfnrt", p[i + 1], 9)))
            return 0;
        for (size_t digit = 2; digit < length; digit++) {
            if (!memchr("0123456789abcdefABCDEF", p[i + digit], 22))
                return 0;
        }
        i += length;
    }
    return i < n ? i + 1 : 0;
}

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Mostly valid escapes in every order and at every place of a block, and now and then something wrong. */
static size_t random_string(char *p, size_t size, unsigned *state)
{
    static const char *const pieces[] = { "a",
                                          "abcdefgh",
                                          "\\\\",
                                          "\\\"",
                                          "\\n",
                                          "\\u00e9",
                                          "\\ud83d\\uDE00",
                                          "\\/",
                                          "\\\\\\\"",
                                          "\\\\\\\\",
                                          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" };
    static const char *const wrong[] = { "\\", "\"", "\\x", "\\u12g4", "\x01", "\\u", "\\0" };
    size_t n = 0, until = next_random(state) % (size - 80);
    p[n++] = '"';
    while (n < until) {
        bool is_wrong = next_random(state) % 150 == 0;
        const char *piece = is_wrong ? wrong[next_random(state) % 7] : pieces[next_random(state) % 11];
        memcpy(p + n, piece, strlen(piece));
        n += strlen(piece);
    }
    if (next_random(state) % 8)
        p[n++] = '"';
    return n;
}

TEST(strings_agree_with_a_slow_reference)
{
    struct arena *a = arena_new();
    unsigned state = 7, valid = 0;
    for (int round = 0; round < 40000; round++) {
        char p[600];
        size_t n = random_string(p, sizeof p, &state), length = reference_string(p, n);
        struct weir_str bytes = { p, n };
        CHECK(json_valid(a, bytes, WEIR_JSON_STRING) == (length == n));
        struct weir_json *r = json_open(a, bytes);
        struct weir_text text;
        if (json_read_text(r, &text))
            CHECK_INT(text.n + 2, length);
        valid += length == n;
    }
    CHECK(valid > 5000 && valid < 35000);
    arena_free(a);
}
