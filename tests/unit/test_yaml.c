/* YAML as a tree: places, what scalars mean, JSON out of it, and every bound. */
#include "test.h"

#include "json.h"
#include "yaml_tree.h"

static char said[4096];
static uint32_t said_line, said_column, n_said;
static struct arena *arena;

static void listen_to(void *arg, const char *file, uint32_t line, uint32_t column, const char *text)
{
    size_t n = strlen(said);
    (void)arg;
    (void)file;
    if (!n_said++) {
        said_line = line;
        said_column = column;
    }
    snprintf(said + n, sizeof said - n, "%s\n", text);
}

static const struct tree_node *parse_n(const char *text, size_t n)
{
    static const struct tree_listener listener = { listen_to, NULL };
    arena_free(arena);
    arena = arena_new();
    said[0] = 0;
    n_said = 0;
    return tree_parse(arena, "t.yaml", (struct weir_str){ text, n }, &listener);
}

static const struct tree_node *parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static const char *json(const char *text)
{
    static char buf[4096];
    struct weir_out out;
    const struct tree_node *root = parse(text);
    buf[0] = 0;
    if (!root)
        return said;
    out_init(&out);
    tree_put_json(root, &out, NULL);
    if (out_complete(&out))
        snprintf(buf, sizeof buf, "%.*s", (int)out.n, out.p);
    out_free(&out);
    return buf;
}

TEST(nodes_know_their_places)
{
    const struct tree_node *root = parse("a: 1\nb:\n  c: [x,\n    y]\n");
    CHECK(root && root->type == TREE_MAP && root->n == 2);
    const struct tree_node *list = tree_get(tree_get(root, "b"), "c");
    CHECK(list && list->type == TREE_LIST && list->n == 2);
    CHECK_INT(list->items[1]->line, 4);
    CHECK_INT(list->items[1]->column, 5);
    CHECK_STR(list->items[1]->text.p, "y");
    CHECK_STR(list->items[1]->file, "t.yaml");
    CHECK(!tree_get(root, "c") && !tree_get(NULL, "a") && !tree_get(list, "a"));
}

TEST(scalars_mean_what_they_look_like)
{
    CHECK_STR(json("[1, -2.50, 1e3, '3', \"4\", +5, 0x1F]"), "[1,-2.50,1e3,\"3\",\"4\",5,31]");
    CHECK_STR(json("[true, yes, off, 'true', null, ~, '', '~']"), "[true,true,false,\"true\",null,null,\"\",\"~\"]");
    CHECK_STR(json("[010, 1:30, 1_000, .5, 1., 0x, 2025-01-01, .inf]"),
              "[\"010\",\"1:30\",\"1_000\",\".5\",\"1.\",\"0x\",\"2025-01-01\",\".inf\"]");
    CHECK_STR(json("[!!str 5, ! 6, !!int 7]"), "[\"5\",\"6\",7]");
    CHECK_STR(json("a:\n  - |\n    two\n    lines\n  - >-\n    one\n    line\n"),
              "{\"a\":[\"two\\nlines\\n\",\"one line\"]}");
    CHECK_STR(json("12345678901234567890123456789"), "12345678901234567890123456789");
}

TEST(json_is_accepted)
{
    CHECK_STR(json("{\n\t\"a\": [1, null, true, {\"b\": \"x\\/y\\u00e9\"}]\n}"),
              "{\"a\":[1,null,true,{\"b\":\"x/y\303\251\"}]}");
    CHECK_STR(json("{\"a\": \"\\ud83d\\ude00\", \"b\": \"\\\\ud83d\\\\ude00\"}"),
              "{\"a\":\"\360\237\230\200\",\"b\":\"\\\\ud83d\\\\ude00\"}");
}

TEST(aliases_and_merge_keys)
{
    CHECK_STR(json("a: &x [1, 2]\nb: *x\n"), "{\"a\":[1,2],\"b\":[1,2]}");
    CHECK_STR(json("d: &d { a: 1, b: 2 }\ne: { <<: *d, b: 3 }\n"), "{\"d\":{\"a\":1,\"b\":2},\"e\":{\"b\":3,\"a\":1}}");
    CHECK_STR(json("e: { <<: [{ a: 1 }, { a: 2, b: 2 }] }"), "{\"e\":{\"a\":1,\"b\":2}}");
    CHECK(!parse("a: *x\n"));
    CHECK(strstr(said, "*x has no anchor"));
    CHECK(!parse("a: &x [1, *x]\n"));
    CHECK(strstr(said, "inside its own anchor"));
    CHECK(parse("a: { <<: 5 }") && strstr(said, "takes a map"));
}

TEST(duplicate_keys_name_both_places)
{
    CHECK(parse("a: 1\nb: 2\n'a': 3\nb: 4\n") != NULL);
    CHECK_INT(n_said, 2);
    CHECK_INT(said_line, 3);
    CHECK(strstr(said, "\"a\" is written twice: the first is at t.yaml:1"));
    CHECK(strstr(said, "\"b\" is written twice: the first is at t.yaml:2"));
}

TEST(mistakes_have_a_place)
{
    CHECK(!parse("a: 1\nb: [1, 2\nc: 3\n"));
    CHECK(strstr(said, "not valid YAML") && said_line >= 2);
    CHECK(!parse(""));
    CHECK(strstr(said, "empty"));
    CHECK(!parse("a: 1\n---\nb: 2\n"));
    CHECK(strstr(said, "second document"));
    CHECK(!parse("a: !secret x\n"));
    CHECK(strstr(said, "tag") && said_line == 1);
    CHECK(!parse("[a]: 1\n"));
    CHECK(strstr(said, "key must be"));
    CHECK(!parse("a: \"x\\0y\"\n"));
    CHECK(strstr(said, "NUL"));
    CHECK(!parse("a: b\303\n"));
    CHECK(!parse("\ta: 1\n"));
}

TEST(depth_is_bounded)
{
    char text[400];
    memset(text, '[', 200);
    memset(text + 200, ']', 200);
    CHECK(!parse_n(text, 400));
    CHECK(strstr(said, "48 levels"));
    CHECK(parse_n(text + 160, 80) != NULL);
}

TEST(a_billion_laughs_are_refused_at_once)
{
    char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", line[120];
    for (int i = 1; i < 12; i++) {
        snprintf(line, sizeof line, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1);
        memcpy(text + strlen(text), line, strlen(line) + 1);
    }
    CHECK(!parse(text));
    CHECK(strstr(said, "aliases written out"));
}

TEST(many_values_are_refused)
{
    size_t n = 400000;
    char *text = malloc(n + 3);
    CHECK(text != NULL);
    for (size_t i = 0; i < n; i += 2) {
        text[i] = i ? ',' : '[';
        text[i + 1] = '1';
    }
    text[n] = ']';
    CHECK(!parse_n(text, n + 1));
    CHECK(strstr(said, "100,000 values"));
    free(text);
}

TEST(too_many_bytes_are_refused)
{
    size_t n = TREE_BYTES_MAX + 1;
    char *text = calloc(1, n);
    CHECK(text != NULL);
    memset(text, ' ', n);
    CHECK(!parse_n(text, n));
    CHECK(strstr(said, "larger than 4 MiB"));
    free(text);
}

TEST(nothing_is_left_behind)
{
    arena_free(arena);
    arena = NULL;
    CHECK_INT(arena_live(), 0);
}
