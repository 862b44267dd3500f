/* How fast the JSON reader and writer are, in MB/s of JSON: prose, prose of other scripts, escaped code, tiny values.
 * One line per case, the median of rounds. Usage: json_bench [ROUNDS]. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../core/json.h"
#include "../../core/text.h"

#define SIZE ((size_t)256 * 1024)
#define ROUNDS_MAX 101

static const char prose[] =
    "The quick brown fox jumps over the lazy dog, and then, since nobody stopped it, does so once more. Whoever reads "
    "this text should know that it means nothing; it only has the length of words that English prose has. ";
static const char german[] =
    "Der flinke braune Fuchs springt \xc3\xbc" "ber den faulen Hund, und weil ihn keiner aufh\xc3\xa4lt, gleich noch "
    "einmal. Wer das liest, soll wissen, da\xc3\x9f es nichts bedeutet, nur die L\xc3\xa4nge der W\xc3\xb6rter "
    "stimmt. ";
static const char chinese[] =
    "\xe6\x95\x8f\xe6\x8d\xb7\xe7\x9a\x84\xe6\xa3\x95\xe8\x89\xb2\xe7\x8b\x90\xe7\x8b\xb8\xe8\xb7\xb3\xe8\xbf\x87"
    "\xe4\xba\x86\xe9\x82\xa3\xe5\x8f\xaa\xe6\x87\x92\xe7\x8b\x97\xef\xbc\x8c\xe7\x84\xb6\xe5\x90\x8e\xe5\x8f\x88";
static const char code[] =
    "static int parse(struct reader *r, const char *name)\n{\n\tif (strcmp(name, \"model\") == 0)\n\t\treturn "
    "read_string(r, \"%s\\n\", &r->model);\n    for (size_t i = 0; i < r->count; i++) {\n        "
    "printf(\"%zu\\t%s\\n\", i, r->names[i]);\n    }\n    return -1;\n}\n\n";
static const char tiny[] = "{\"a\":1,\"b\":[true,null,\"x\"],\"c\":{}},";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One round of a case: works through the document, returns how many bytes that were, 0 if it failed. */
typedef size_t round_function(struct arena *a, struct weir_str document, struct weir_out *out);

static void measure(const char *name, round_function *round, struct weir_str document, int rounds)
{
    double speeds[ROUNDS_MAX];
    struct weir_out out = { 0 };
    for (int i = 0; i < rounds; i++) {
        struct arena *a = arena_new();
        size_t bytes = 0;
        double begin = now(), end;
        do {
            struct arena_mark mark = arena_mark(a);
            size_t n = round(a, document, &out);
            if (n == 0) {
                fprintf(stderr, "%s: refused\n", name);
                exit(1);
            }
            bytes += n;
            arena_rollback(a, mark);
            end = now();
        } while (end - begin < 0.004);
        speeds[i] = (double)bytes / (end - begin) / 1e6;
        arena_free(a);
    }
    out_free(&out);
    qsort(speeds, (size_t)rounds, sizeof *speeds, by_value);
    printf("%-24s %7.0f MB/s\n", name, speeds[rounds / 2]);
}

static size_t read_text(struct arena *a, struct weir_str document, struct weir_out *out)
{
    struct weir_json *r = json_open(a, document);
    struct weir_text text;
    (void)out;
    json_read_text(r, &text);
    return json_close(r) ? document.n : 0;
}

static size_t read_string(struct arena *a, struct weir_str document, struct weir_out *out)
{
    struct weir_json *r = json_open(a, document);
    struct weir_str s;
    (void)out;
    json_read_string(r, &s);
    return json_close(r) ? document.n : 0;
}

static size_t write_string(struct arena *a, struct weir_str document, struct weir_out *out)
{
    struct weir_json *r = json_open(a, document);
    struct weir_str s;
    json_read_string(r, &s);
    double repeat = 0;
    for (; repeat < 20; repeat++) {
        out_reset(out, SIZE_MAX);
        json_put_str(out, s);
    }
    return out_bytes(out).n * (size_t)repeat;
}

static size_t skip_value(struct arena *a, struct weir_str document, struct weir_out *out)
{
    (void)out;
    return json_valid(a, document, WEIR_JSON_ERROR) ? document.n : 0;
}

static void walk(struct weir_json *r)
{
    struct weir_str key;
    switch (json_peek(r)) {
    case WEIR_JSON_OBJECT:
        for (json_read_object(r); json_read_member(r, &key);)
            walk(r);
        break;
    case WEIR_JSON_ARRAY:
        for (json_read_array(r); json_read_element(r);)
            walk(r);
        break;
    default:
        json_skip(r);
    }
}

static size_t walk_value(struct arena *a, struct weir_str document, struct weir_out *out)
{
    struct weir_json *r = json_open(a, document);
    (void)out;
    walk(r);
    return json_close(r) ? document.n : 0;
}

/* A request of 1 KB as a codec reads it. */
static size_t read_request(struct arena *a, struct weir_str document, struct weir_out *out)
{
    return walk_value(a, document, out);
}

static struct weir_str string_of(struct weir_out *w, const char *piece)
{
    struct weir_text text = { piece, (uint32_t)strlen(piece), WEIR_TEXT_PLAIN };
    json_string_begin(w);
    while (w->n < SIZE)
        json_string_part(w, &text);
    json_string_end(w);
    return out_bytes(w);
}

static struct weir_str array_of(struct weir_out *w, const char *piece)
{
    out_write(w, WEIR_LIT("["));
    while (w->n < SIZE)
        out_write(w, weir_cstr(piece));
    out_write(w, WEIR_LIT("0]"));
    return out_bytes(w);
}

static struct weir_str request_of(struct weir_out *w)
{
    out_write(w, WEIR_LIT("{\"model\":\"gpt-4o-mini\",\"temperature\":0.7,\"stream\":true,\"messages\":["
                          "{\"role\":\"system\",\"content\":\"You are terse.\"},{\"role\":\"user\",\"content\":\""));
    while (w->n < 1000)
        out_write(w, WEIR_LIT(prose));
    out_write(w, WEIR_LIT("\"}],\"max_tokens\":200}"));
    return out_bytes(w);
}

static void measure_strings(const char *script, const char *piece, int rounds)
{
    static const struct {
        const char *name;
        round_function *round;
    } cases[] = { { "text", read_text }, { "string", read_string }, { "write", write_string } };
    struct weir_out document = { 0 };
    string_of(&document, piece);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s, %s", script, cases[i].name);
        measure(name, cases[i].round, out_bytes(&document), rounds);
    }
    out_free(&document);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 21;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: json_bench [ROUNDS], at most %d\n", ROUNDS_MAX);
        return 2;
    }
    struct weir_out values = { 0 }, request = { 0 };
    measure_strings("prose", prose, rounds);
    measure_strings("German", german, rounds);
    measure_strings("Chinese", chinese, rounds);
    measure_strings("code", code, rounds);
    measure("tiny values, skipped", skip_value, array_of(&values, tiny), rounds);
    measure("tiny values, walked", walk_value, out_bytes(&values), rounds);
    measure("request of 1 KB, walked", read_request, request_of(&request), rounds);
    out_free(&values);
    out_free(&request);
    return 0;
}
