/* Recorded streams cut in two, and streams that end too early, at every byte where they are short and at random ones where they are
 * long: in two pieces they say the same; what ends early is an error, or everything that matters had been said.
 */
#include <stdlib.h>

#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

/* Bytes that are decoded for one stream, about: a short one is cut everywhere, a long one at some random places and all of its end. */
#ifdef __SANITIZE_ADDRESS__
enum { BYTES_A_STREAM = 200 * 1024 };
#else
enum { BYTES_A_STREAM = 12 * 1024 * 1024 };
#endif
enum { LAST = 48, FEWEST = 4 };

struct tally {
    const struct weir_plugin *plugin;
    struct conversation *conversation;
    int streams, everywhere, failed;
    long cuts, early, complete;
    uint32_t chance;
};

static uint32_t roll(struct tally *t)
{
    t->chance = t->chance * 1664525 + 1013904223;
    return t->chance >> 8;
}

static struct lab *decode(struct tally *t, struct weir_str bytes, bool clean, int *rc)
{
    struct lab *l = lab_begin(t->plugin, 'e', t->conversation);
    enum weir_framing framing = (enum weir_framing)t->plugin->codec->stream_framing;
    *rc = lab_decode_answer(l, framing, bytes, 0, clean);
    return l;
}

static void complain(struct tally *t, const char *path, size_t at, size_t n, const char *what, const char *got, const char *want)
{
    if (t->failed++ < 6)
        printf("  %s at %zu of %zu: %s\n   got  %.300s\n   want %.300s\n", path, at, n, what, got, want);
}

/* Two reads: the first of `at` bytes, the second of the rest. */
static void split(struct tally *t, const char *path, struct weir_str body, size_t at, const char *want)
{
    struct lab *l = lab_begin(t->plugin, 'e', t->conversation);
    lab_decode_reads(l, (enum weir_framing)t->plugin->codec->stream_framing, body, at, 0, true);
    if (strcmp(dump_answer(l), want) != 0)
        complain(t, path, at, body.n, "in two pieces it says something else", dump_answer(l), want);
    lab_end(l);
}

/* Without ids, counts and stop reasons, which come last: what was said. */
static const char *said(struct lab *l)
{
    struct weir_out o = { 0 };
    const struct weir_answer *a = collector_answer(l->collector);
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        dump(&o, "block %u/%u kind %u", b->choice, b->block, b->kind);
        dump_text(l, &o, "text", b->text);
        dump(&o, "\n");
    }
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

static void end_early(struct tally *t, const char *path, struct weir_str body, size_t at, bool clean, const char *want)
{
    int rc;
    struct lab *l = decode(t, (struct weir_str){ body.p, at }, clean, &rc);
    if (rc < 0 || l->has_error)
        t->early++;
    else if (strcmp(said(l), want) == 0)
        t->complete++;
    else
        complain(t, path, at, body.n, "it ended early, and counts as complete", said(l), want);
    lab_end(l);
}

static void cut_at(struct tally *t, const char *path, struct weir_str body, size_t at, const char *whole, const char *content)
{
    t->cuts++;
    split(t, path, body, at, whole);
    end_early(t, path, body, at, true, content);
    end_early(t, path, body, at, false, content);
}

static void check(void *arg, const struct recording *r, const char *path)
{
    struct tally *t = arg;
    struct weir_str body = r->response;
    int rc;
    if (!body.n || recorded_framing(t->plugin->codec, body) == WEIR_FRAMING_JSON)
        return;
    struct lab *l = decode(t, body, true, &rc);
    if (rc == 0 && !l->has_error) {
        const char *whole = dump_answer(l), *content = said(l);
        size_t most = BYTES_A_STREAM / body.n;
        bool is_everywhere = most >= body.n;
        t->streams++;
        t->everywhere += is_everywhere;
        for (size_t at = 1; is_everywhere && at < body.n; at++)
            cut_at(t, path, body, at, whole, content);
        for (size_t i = 0; !is_everywhere && i < (most > FEWEST ? most : FEWEST); i++)
            cut_at(t, path, body, 1 + roll(t) % (body.n - 1), whole, content);
        for (size_t i = 1; !is_everywhere && body.n < BYTES_A_STREAM / LAST && i < LAST; i++)
            cut_at(t, path, body, body.n - i, whole, content);
    }
    lab_end(l);
}

static void run(const char *codec)
{
    struct tally t = { .plugin = lab_plugin(codec), .chance = 7 };
    if (!t.plugin)
        SKIP("the codec is not built");
    struct lab *client = lab_begin(t.plugin, 'i', NULL);
    t.conversation = conversation_new(client->arena, weir_cstr(codec), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(t.conversation, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    conversation_set_field(t.conversation, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    int n = recordings_each(codec, check, &t);
    lab_end(client);
    if (n == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    printf("  %s: %d streams (%d of them everywhere), %ld cuts; of those that ended there %ld were errors, %ld had said all\n", codec,
           t.streams, t.everywhere, t.cuts, t.early, t.complete);
    CHECK_INT(t.failed, 0);
    CHECK(!t.cuts || t.early > t.cuts / 4);
}

TEST(cuts_openai)
{
    run("openai");
}

TEST(cuts_responses)
{
    run("responses");
}

TEST(cuts_anthropic)
{
    run("anthropic");
}

TEST(cuts_gemini)
{
    run("gemini");
}

TEST(cuts_bedrock)
{
    run("bedrock");
}

TEST(cuts_cohere)
{
    run("cohere");
}

TEST(cuts_ollama)
{
    run("ollama");
}
