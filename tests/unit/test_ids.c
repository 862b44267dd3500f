/* Ids with their provider's name: whose they are, and where they stand in JSON however it was cut. */
#include "ids.h"
#include "test.h"

static struct config_provider a = { .name = "a" }, ab = { .name = "a-b" };
static struct config_provider *const both[] = { &a, &ab };
static const char *const members[] = { "id", "*_id", "ids", NULL };

TEST(whose_an_id_is)
{
    static const struct {
        const char *id;
        const struct config_provider *owner;
        size_t n;
    } cases[] = { { "file-1~a", &a, 6 }, { "x~a-b", &ab, 1 },   { "x~a~a", &a, 3 }, { "~a", NULL, 0 },
                  { "file-1", NULL, 0 }, { "file~c", NULL, 0 }, { "~", NULL, 0 },   { "", NULL, 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t n = 0;
        CHECK(id_owner(weir_cstr(cases[i].id), both, 2, &n) == cases[i].owner);
        CHECK_INT(n, cases[i].n);
    }
}

static void mark(struct id_scan *s, struct weir_out *out, size_t start)
{
    (void)s, (void)start;
    out_write(out, WEIR_LIT("#"));
}

static void marked(const char *in, size_t cut, bool is_lines, const char *want)
{
    struct weir_out out = { 0 };
    struct id_scan s = { .members = members, .on_id = mark, .is_lines = is_lines };
    for (size_t at = 0, n = strlen(in); at < n; at += cut)
        id_scan_feed(&s, (struct weir_str){ in + at, cut < n - at ? cut : n - at }, &out);
    out_write(&out, (struct weir_str){ "", 1 });
    CHECK_STR(out.p, want);
    out_free(&out);
}

static void marked_at_every_cut(const char *in, bool is_lines, const char *want)
{
    for (size_t cut = 1; cut <= strlen(in); cut++)
        marked(in, cut, is_lines, want);
}

TEST(where_ids_stand)
{
    marked_at_every_cut("{\"id\":\"x\",\"b\":\"id\",\"a_id\" : \"\\\"y\"}", false,
                        "{\"id\":\"x#\",\"b\":\"id\",\"a_id\" : \"\\\"y#\"}");
    marked_at_every_cut("[{\"ids\":[\"x\",\"\",\"z\"],\"q\":{\"id\":{\"w\":\"x\"}}},\"id\",{\"id\":null,\"k\":[\"a\"]}]", false,
                        "[{\"ids\":[\"x#\",\"\",\"z#\"],\"q\":{\"id\":{\"w\":\"x\"}}},\"id\",{\"id\":null,\"k\":[\"a\"]}]");
    marked_at_every_cut("data: {\"id\":\"x\"\n\ndata: {\"a\":{\"id\":\"y\"}}\n: \"\n{\"id\":\"z\"}\n", true,
                        "data: {\"id\":\"x#\"\n\ndata: {\"a\":{\"id\":\"y#\"}}\n: \"\n{\"id\":\"z#\"}\n");
    marked_at_every_cut("not JSON: }]\"id\":\"x\"", false, "not JSON: }]\"id\":\"x\"");
}

TEST(deeper_than_it_goes)
{
    char in[400], *p = in;
    for (int i = 0; i < 140; i++)
        *p++ = '[';
    snprintf(p, 20, "{\"id\":\"x\"}");
    marked_at_every_cut(in, false, in);
}
