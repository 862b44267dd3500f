/* The framer: every split of a stream gives the same frames, and the frames concatenate to the bytes. */
#include "../../core/aws_frame.h"
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

/* ---- AWS event streams; the bytes are published test vectors and messages made by the rules ---- */

static size_t unhex(const char *hex, char *to)
{
    size_t n = 0;
    for (; hex[0] && hex[1]; hex += 2) {
        char two[3] = { hex[0], hex[1], 0 };
        to[n++] = (char)strtoul(two, NULL, 16);
    }
    return n;
}

#define EMPTY "000000100000000005c248eb7d98c8ff"
#define BARE "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
#define TYPED                                                                                                          \
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172" \
    "277d8d9c08b1"
#define DELTA                                                                                                          \
    "0000009400000057b4ab9aee0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a636f6e74656e742d74" \
    "7970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22636f6e74656e74426c" \
    "6f636b496e646578223a302c2264656c7461223a7b2274657874223a224869227d7d1f944657"
#define EXCEPTION                                                                                                      \
    "00000090000000618e91a9b70f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a636f6e" \
    "74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e7b" \
    "226d657373616765223a22546f6f206d616e79207265717565737473227de67f8005"

static const char aws_stream[] = EMPTY BARE TYPED DELTA EXCEPTION;

TEST(aws_messages_at_every_split)
{
    char bytes[1024];
    size_t n = unhex(aws_stream, bytes);
    for (size_t cut = 0; cut <= n; cut++) {
        struct scratch scratch = scratch_enter();
        struct framer f;
        struct seen s = { .n = 0 };
        framer_init(&f, WEIR_FRAMING_AWS);
        CHECK_INT(feed(&f, &s, bytes, cut, 4096), FRAMER_MORE);
        CHECK_INT(feed(&f, &s, bytes + cut, n - cut, 4096), FRAMER_MORE);
        finish(&f, &s);
        CHECK_INT((long)s.n, (long)n);
        CHECK(memcmp(s.bytes, bytes, n) == 0);
        CHECK_STR(s.data, "|;|{'foo':'bar'};|{'foo':'bar'};"
                          "contentBlockDelta|{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}};"
                          "throttlingException|{\"message\":\"Too many requests\"};");
        scratch_leave(scratch);
    }
}

/* The sums protect every bit: no message survives a change of one. */
TEST(aws_messages_with_a_flipped_bit)
{
    char bytes[1024], spoilt[1024];
    size_t n = unhex(DELTA, bytes);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct framer f;
        struct seen s = { .n = 0 };
        memcpy(spoilt, bytes, n);
        spoilt[bit / 8] = (char)(spoilt[bit / 8] ^ 1 << bit % 8);
        framer_init(&f, WEIR_FRAMING_AWS);
        CHECK_INT(feed(&f, &s, spoilt, n, 4096), FRAMER_MALFORMED);
        CHECK_INT(s.frames, 0);
        framer_free(&f);
    }
}

TEST(aws_messages_that_stop_half_way)
{
    char bytes[1024];
    size_t n = unhex(DELTA, bytes);
    for (size_t cut = 1; cut < n; cut++) {
        struct framer f;
        struct seen s = { .n = 0 };
        struct weir_frame frame;
        framer_init(&f, WEIR_FRAMING_AWS);
        CHECK_INT(feed(&f, &s, bytes, cut, 4096), FRAMER_MORE);
        CHECK_INT(framer_last(&f, &frame), FRAMER_MALFORMED);
        framer_free(&f);
    }
}

/* A message with right sums: headers of every type, or ones that make no sense. */
static size_t aws_message(char *to, const char *headers, size_t headers_n, const char *payload)
{
    size_t n = 16 + headers_n + strlen(payload);
    uint32_t numbers[] = { (uint32_t)n, (uint32_t)headers_n, 0 };
    for (int i = 0; i < 12; i++)
        to[i] = (char)(numbers[i / 4] >> (24 - 8 * (i % 4)));
    for (uint32_t i = 0, crc = aws_crc32(to, 8); i < 4; i++)
        to[8 + i] = (char)(crc >> (24 - 8 * i));
    memcpy(to + 12, headers, headers_n);
    memcpy(to + 12 + headers_n, payload, strlen(payload));
    for (uint32_t i = 0, crc = aws_crc32(to, n - 4); i < 4; i++)
        to[n - 4 + i] = (char)(crc >> (24 - 8 * i));
    return n;
}

static int aws_feed(const char *headers, size_t headers_n, const char *payload, struct seen *s)
{
    char bytes[512];
    struct framer f;
    size_t n = aws_message(bytes, headers, headers_n, payload);
    framer_init(&f, WEIR_FRAMING_AWS);
    int rc = feed(&f, s, bytes, n, 4096);
    framer_free(&f);
    return rc;
}

TEST(aws_headers_of_every_type)
{
    struct seen s = { .n = 0 };
    static const char all[] = "\1a\0\1b\1\1c\2x\1d\3xx\1e\4xxxx\1f\5xxxxxxxx\1g\6\0\2xx\1h\7\0\2xx\1i\10xxxxxxxx"
                              "\1j\11xxxxxxxxxxxxxxxx\13:event-type\7\0\4stop";
    CHECK_INT(aws_feed(all, sizeof(all) - 1, "{}", &s), FRAMER_MORE);
    CHECK_STR(s.data, "stop|{};");
    s.data_n = 0;
    static const char error[] = "\13:error-code\7\0\7Refused\16:error-message\7\0\3why";
    CHECK_INT(aws_feed(error, sizeof(error) - 1, "", &s), FRAMER_MORE);
    CHECK_STR(s.data, "Refused|why;");
}

TEST(aws_headers_that_make_no_sense)
{
    static const struct {
        const char *p;
        size_t n;
    } bad[] = { { "\0\0", 2 },      { "\1", 1 },        { "\1a", 2 },    { "\5ab\0", 4 },
                { "\1a\12", 3 },     { "\1a\7", 3 },     { "\1a\7\0", 4 }, { "\1a\7\0\5abcd", 9 },
                { "\1a\11xxxx", 7 }, { "\1a\7\xff\xff", 5 } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct seen s = { .n = 0 };
        CHECK_INT(aws_feed(bad[i].p, bad[i].n, "{}", &s), FRAMER_MALFORMED);
    }
}

TEST(aws_messages_that_are_too_large_are_refused_by_their_prelude)
{
    static const uint32_t lengths[][2] = { { 15, 0 }, { 5000, 0 }, { 300000, 200000 }, { 40, 25 }, { 30000000, 0 } };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        char prelude[12];
        struct framer f;
        struct seen s = { .n = 0 };
        for (int k = 0; k < 8; k++)
            prelude[k] = (char)(lengths[i][k / 4] >> (24 - 8 * (k % 4)));
        for (uint32_t k = 0, crc = aws_crc32(prelude, 8); k < 4; k++)
            prelude[8 + k] = (char)(crc >> (24 - 8 * k));
        framer_init(&f, WEIR_FRAMING_AWS);
        CHECK_INT(feed(&f, &s, prelude, 12, i == 1 ? 4096 : SIZE_MAX / 2), FRAMER_MALFORMED);
        framer_free(&f);
    }
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

/* A digit says how long the frame is. */
static int64_t by_digit(void *arg, struct weir_str bytes)
{
    ++*(int *)arg;
    int64_t n = bytes.p[0] - '0' + 1;
    return bytes.p[0] == '!' ? -1 : bytes.p[0] == '?' ? 100 : n <= (int64_t)bytes.n ? n : 0;
}

TEST(frames_of_ones_own)
{
    for (size_t piece = 1; piece < 9; piece++) {
        const char *text = "3abc1x05hello";
        struct framer f;
        struct weir_frame frame;
        struct weir_out seen = { 0 };
        int asked = 0;
        framer_init(&f, WEIR_FRAMING_OWN);
        framer_cut_by(&f, by_digit, &asked);
        for (size_t at = 0; at < strlen(text); at += piece) {
            struct weir_str in = { text + at, strnlen(text + at, piece) };
            while (framer_next(&f, &in, &frame, 1000) == FRAMER_FRAME) {
                out_write(&seen, frame.data);
                out_write(&seen, WEIR_LIT("|"));
            }
        }
        CHECK(weir_is(out_bytes(&seen), "3abc|1x|0|5hello|"));
        CHECK_INT(framer_last(&f, &frame), FRAMER_MORE);
        CHECK(asked > 3);
        out_free(&seen);
        framer_free(&f);
    }
}

TEST(frames_of_ones_own_that_make_no_sense)
{
    static const char *const bad[] = { "!", "?", "0?", "0!" };
    for (size_t i = 0; i < 4; i++) {
        struct framer f;
        struct weir_frame frame;
        struct weir_str in = weir_cstr(bad[i]);
        enum framer_result rc;
        int asked = 0;
        framer_init(&f, WEIR_FRAMING_OWN);
        framer_cut_by(&f, by_digit, &asked);
        while ((rc = framer_next(&f, &in, &frame, 1000)) == FRAMER_FRAME)
            continue;
        CHECK_INT(rc, FRAMER_MALFORMED);
        framer_free(&f);
    }
    struct framer half;
    struct weir_frame frame;
    struct weir_str in = WEIR_LIT("3ab");
    int asked = 0;
    framer_init(&half, WEIR_FRAMING_OWN);
    framer_cut_by(&half, by_digit, &asked);
    CHECK_INT(framer_next(&half, &in, &frame, 1000), FRAMER_MORE);
    CHECK_INT(framer_last(&half, &frame), FRAMER_MALFORMED);
    framer_free(&half);
}
