/* The estimate of input tokens beside what providers counted, over the recorded exchanges in $WEIR_SHARED or ../shared; and how
 * it grows.
 */
#include <math.h>

#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

enum { MOST = 2000 };

struct errors {
    const struct weir_plugin *plugin;
    double of[MOST];
    size_t n;
};

/* What nobody can estimate from the request: blocks of one dialect only, and files by reference. */
static bool is_part_plain(const struct weir_part *p)
{
    if (p->kind == WEIR_PART_OPAQUE || p->kind == WEIR_PART_FILE || p->kind == WEIR_PART_AUDIO)
        return false;
    for (const struct weir_part *child = p->parts; child; child = child->next)
        if (!is_part_plain(child))
            return false;
    return true;
}

static bool is_plain(const struct weir_conversation *c)
{
    for (const struct weir_tool *t = c->tools; t; t = t->next)
        if (!t->schema.n && t->raw.n)
            return false;
    for (const struct weir_ext *x = c->ext; x; x = x->next)
        if (weir_is(x->path, "cachedContent"))
            return false;
    for (const struct weir_message *m = c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if (!is_part_plain(p))
                return false;
    return true;
}

static const struct weir_token_rates *rates_of(const struct lab *l, const struct recording *r)
{
    struct weir_str model = WEIR_NONE, json = weir_field(&l->conversation->view, WEIR_FIELD_MODEL);
    bool is_vertex = weir_is(r->provider, "vertex");
    if (json.n > 2)
        model = (struct weir_str){ json.p + 1, json.n - 2 };
    return l->codec->tokens_of ? l->codec->tokens_of(l->self, model, is_vertex ? WEIR_LIT("https://aiplatform.googleapis.com") : WEIR_NONE)
                               : l->codec->tokens;
}

static void compare(void *arg, const struct recording *r, const char *path)
{
    (void)path;
    struct errors *e = arg;
    bool is_compatible = !weir_is(r->provider, "openai") && !weir_is(r->provider, "azure") &&
                         !weir_is(r->provider, "anthropic") && !weir_is(r->provider, "gemini") && !weir_is(r->provider, "vertex"); /* another model's tokens in the same dialect */
    if (is_compatible)
        return;
    struct lab *client = lab_begin(e->plugin, 'i', NULL);
    if (weir_is(r->provider, "gemini") || weir_is(r->provider, "vertex"))
        client->view.path = r->path; /* the model stands in it */
    if (r->request.n && r->request.p[0] == '{' && r->response.n && lab_decode_request(client, r->request) == 0) {
        struct lab *l = lab_begin(e->plugin, 'e', client->conversation);
        enum weir_framing framing = is_stream(r->response) ? WEIR_FRAMING_SSE : WEIR_FRAMING_JSON;
        lab_decode_answer(l, framing, r->response, 0, true);
        double counted = (double)collector_answer(l->collector)->usage.input;
        double guessed = (double)conversation_estimate(client->conversation, rates_of(client, r));
        if (counted > 0 && is_plain(&client->conversation->view) && e->n < MOST)
            e->of[e->n++] = fabs(guessed - counted) / counted;
        lab_end(l);
    }
    lab_end(client);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(const char *codec, double median)
{
    static struct errors e;
    e = (struct errors){ .plugin = lab_plugin(codec) };
    if (!e.plugin)
        SKIP("the codec is not built");
    if (recordings_each(codec, compare, &e) == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    qsort(e.of, e.n, sizeof(*e.of), by_size);
    CHECK(e.n > 100);
    double sum = 0;
    for (size_t i = 0; i < e.n; i++)
        sum += e.of[i];
    printf("  %s: median %.3f, mean %.3f, 90 %% below %.3f, of %zu\n", codec, e.of[e.n / 2], sum / (double)e.n, e.of[e.n * 9 / 10], e.n);
    CHECK(e.of[e.n / 2] < median);
}

TEST(recorded_openai)
{
    run("openai", 0.2);
}

TEST(recorded_anthropic)
{
    run("anthropic", 0.2);
}

/* It counts by model and by place; signatures are a part of it. */
TEST(recorded_gemini)
{
    run("gemini", 0.12);
}

static int64_t estimate_of(const char *text, int times)
{
    struct arena *a = arena_new();
    struct weir_out o = { 0 };
    while (times--)
        out_write(&o, weir_cstr(text));
    struct conversation *c = conversation_new(a, WEIR_LIT("test"), WEIR_OP_CHAT, WEIR_LIT("{}"));
    struct weir_part *p = conversation_part(c, &conversation_message(c, WEIR_ROLE_USER)->parts, WEIR_PART_TEXT);
    p->text = weir_plain(out_bytes(&o));
    int64_t n = conversation_estimate(c, NULL);
    out_free(&o);
    arena_free(a);
    return n;
}

TEST(long_prose_and_other_scripts)
{
    int64_t prose = estimate_of("The quick brown fox jumps over the lazy dog. ", 1000);
    CHECK(prose > 9000 && prose < 11500); /* ten tokens a sentence */
    int64_t chinese = estimate_of("\xe4\xbd\xa0\xe5\xa5\xbd", 1000);
    CHECK(chinese > 1500 && chinese < 2500);
}
