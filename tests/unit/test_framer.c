/* The framer: every split of a stream gives the same frames, and the frames concatenate to the bytes. */
#include "../../core/framer.h"
#include "../../core/scratch.h"
#include "test.h"

struct seen {
    char bytes[8192];
    size_t n;
    char data[8192]; /* "name|data;" */
    size_t data_n;
    int frames;
};

static void see(struct seen *s, const struct weir_frame *f)
{
    memcpy(s->bytes + s->n, f->bytes.p, f->bytes.n);
    s->n += f->bytes.n;
    s->data_n += (size_t)snprintf(s->data + s->data_n, sizeof(s->data) - s->data_n, "%.*s|%.*s;", (int)f->name.n, f->name.p ? f->name.p : "",
                                  (int)f->data.n, f->data.p ? f->data.p : "");
    s->frames++;
}

static int feed(struct framer *f, struct seen *s, const char *p, size_t n, size_t limit)
{
    char *copy = malloc(n + 1); /* exactly as long as it is, for the sanitizers */
    memcpy(copy, p, n);
    struct weir_str in = { copy, n };
    struct weir_frame frame;
    enum framer_result rc;
    while ((rc = framer_next(f, &in, &frame, limit)) == FRAMER_FRAME)
        see(s, &frame);
    free(copy);
    return rc;
}

static void finish(struct framer *f, struct seen *s)
{
    struct weir_frame frame;
    while (framer_last(f, &frame) == FRAMER_FRAME)
        see(s, &frame);
    framer_free(f);
}

static void every_split(enum weir_framing framing, const char *text, const char *want, bool same_frames)
{
    size_t n = strlen(text);
    for (size_t cut = 0; cut <= n; cut++) {
        struct scratch scratch = scratch_enter();
        struct framer f;
        struct seen s = { .n = 0 };
        framer_init(&f, framing);
        CHECK_INT(feed(&f, &s, text, cut, 4096), FRAMER_MORE);
        CHECK_INT(feed(&f, &s, text + cut, n - cut, 4096), FRAMER_MORE);
        finish(&f, &s);
        s.bytes[s.n] = 0;
        CHECK_STR(s.bytes, text);
        if (same_frames)
            CHECK_STR(s.data, want);
        scratch_leave(scratch);
    }
}

TEST(sse_events_at_every_split)
{
    every_split(WEIR_FRAMING_SSE, "data: {\"a\":1}\n\nevent: ping\ndata: {}\n\n: comment\n\ndata:x\ndata: y\n\ndata: [DONE]\n\n",
                "|{\"a\":1};ping|{};|;|x\ny;|[DONE];", true);
}

TEST(sse_with_crlf_at_every_split)
{
    every_split(WEIR_FRAMING_SSE, "data: one\r\n\r\nevent: e\r\ndata: two\r\n\r\ndata: three\n\n", "|one;e|two;|three;", true);
    /* at the very end an LF that comes later than its CR is a frame of its own, without data */
    every_split(WEIR_FRAMING_SSE, "event: e\r\ndata: two\r\n\r\n", "", false);
}

TEST(sse_with_crlf_cut_inside_a_line_end_keeps_the_event_whole)
{
    static const char text[] = "event: e\r\ndata: two\r\n\r\n";
    for (size_t cut = 0; cut < sizeof(text) - 2; cut++) { /* not between the last CR and LF: that ends the event early, as it should */
        struct scratch scratch = scratch_enter();
        struct framer f;
        struct seen s = { .n = 0 };
        framer_init(&f, WEIR_FRAMING_SSE);
        feed(&f, &s, text, cut, 4096);
        feed(&f, &s, text + cut, sizeof(text) - 1 - cut, 4096);
        finish(&f, &s);
        CHECK_STR(s.data, "e|two;");
        scratch_leave(scratch);
    }
}

TEST(sse_with_cr_alone_and_bom)
{
    every_split(WEIR_FRAMING_SSE, "\xEF\xBB\xBF" "data: one\r\rdata: two\r\r", "|one;|two;", true);
}

TEST(sse_error_field_of_llama_cpp)
{
    every_split(WEIR_FRAMING_SSE, "error: {\"code\":500}\n\n", "error|{\"code\":500};", true);
}

TEST(last_event_without_blank_line)
{
    every_split(WEIR_FRAMING_SSE, "data: a\n\ndata: b", "|a;|b;", true);
}

TEST(lines)
{
    every_split(WEIR_FRAMING_NDJSON, "{\"a\":1}\n{\"b\":2}\r\n{\"c\":3}", "|{\"a\":1};|{\"b\":2};|{\"c\":3};", true);
}

TEST(one_document)
{
    every_split(WEIR_FRAMING_JSON, "  {\"a\": [1, 2]}\n", "|  {\"a\": [1, 2]}\n;", true);
}

TEST(aws_frames)
{
    char bytes[40] = { 0 };
    bytes[3] = 16;
    bytes[16 + 3] = 20;
    for (size_t cut = 0; cut <= 36; cut++) {
        struct framer f;
        struct seen s = { .n = 0 };
        framer_init(&f, WEIR_FRAMING_AWS);
        feed(&f, &s, bytes, cut, 4096);
        feed(&f, &s, bytes + cut, 36 - cut, 4096);
        finish(&f, &s);
        CHECK_INT(s.frames, 2);
    }
    struct framer f;
    struct seen s = { .n = 0 };
    framer_init(&f, WEIR_FRAMING_AWS);
    memset(bytes, 0xff, sizeof(bytes));
    CHECK_INT(feed(&f, &s, bytes, 20, 4096), FRAMER_MALFORMED);
    framer_free(&f);
}

TEST(a_frame_over_the_limit_is_refused)
{
    struct framer f;
    struct seen s = { .n = 0 };
    char big[200];
    memset(big, 'x', sizeof(big));
    framer_init(&f, WEIR_FRAMING_SSE);
    CHECK_INT(feed(&f, &s, big, sizeof(big), 100), FRAMER_TOO_LARGE);
    framer_free(&f);
    framer_init(&f, WEIR_FRAMING_SSE);
    CHECK_INT(feed(&f, &s, big, 90, 100), FRAMER_MORE);
    CHECK_INT(feed(&f, &s, big, 90, 100), FRAMER_TOO_LARGE);
    framer_free(&f);
}
