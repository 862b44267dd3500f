/* Codecs against recorded provider traffic in $WEIR_SHARED or ../shared: every answer decodes to its end however it is cut, and
 * means the same after it went through the dialect's own encoder; every request decodes and means the same when encoded again. */
#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

struct tally {
    const char *codec;
    const struct weir_plugin *plugin;
    int answers, requests, errors, failed;
};

/* The first line in which two texts differ. */
static void print_difference(const char *got, const char *want)
{
    size_t i = 0, line = 0;
    for (; got[i] && got[i] == want[i]; i++)
        line = got[i] == '\n' ? i + 1 : line;
    size_t from = i - line > 80 ? i - 80 : line;
    printf("   got  %.200s\n   want %.200s\n", got + from, want + from);
}

static void complain(struct tally *t, const char *path, const char *what, const char *got, const char *want)
{
    if (t->failed++ >= 12)
        return;
    printf("  %s: %s\n", path, what);
    print_difference(got ? got : "", want ? want : "");
}

static struct conversation *conversation_for_answer(struct lab *client, bool streams)
{
    struct conversation *c =
        conversation_new(client->arena, weir_cstr(client->plugin->name), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    if (streams)
        conversation_set_field(c, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    return c;
}

static struct lab *decode(struct tally *t, struct conversation *c, struct weir_str body, size_t piece, const char *path)
{
    struct lab *l = lab_begin(t->plugin, 'e', c);
    enum weir_framing framing = recorded_framing(t->plugin->codec, body);
    if (lab_decode_answer(l, framing, body, piece, true) < 0)
        complain(t, path, "the answer does not decode",
                 l->grammar_error ? l->grammar_error : lab_cstr(l, out_bytes(&l->log)), "END");
    return l;
}

/* Every `what` in text becomes `with`. */
static char *replaced(struct lab *l, const char *text, const char *what, const char *with)
{
    struct weir_out o = { 0 };
    const char *p;
    for (; (p = strstr(text, what)) != NULL; text = p + strlen(what)) {
        out_write(&o, (struct weir_str){ text, (size_t)(p - text) });
        out_write(&o, weir_cstr(with));
    }
    out_write(&o, weir_cstr(text));
    char *made = (char *)(uintptr_t)lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return made;
}

/* An id that is missing is made, a call without arguments is told with "{}", and counts that were not said may be told as 0. */
static const char *answer_of(struct lab *l)
{
    const char *text = replaced(l, replaced(l, dump_answer(l), " text=<{}>", ""), "cached -1 -1", "cached 0 0");
    text = replaced(l, text, "usage -1 ", "usage 0 ");
    text = replaced(l, replaced(l, text, "cached 0 -1", "cached 0 0"), "reasoning -1", "reasoning 0");
    text = replaced(l, text, "\n ", " "); /* of raw blocks: a stream takes line ends out */
    bool has_made_id = strncmp(text, "id= ", 4) == 0 || strncmp(text, "id=chatcmpl-new", 15) == 0 ||
                       strncmp(text, "id=msg_new", 10) == 0;
    return has_made_id ? strchr(text, ' ') : text;
}

/* Events -> the dialect's stream and document -> events. */
static void check_encoders(struct tally *t, struct weir_str body, const char *want, const char *path)
{
    struct lab *client = lab_begin(t->plugin, 'i', NULL);
    client->conversation = conversation_for_answer(client, true);
    struct lab *first = lab_begin(t->plugin, 'e', client->conversation);
    first->encoder = client;
    lab_decode_answer(first, recorded_framing(t->plugin->codec, body), body, 0, true);
    struct lab *again = lab_begin(t->plugin, 'e', client->conversation);
    if (lab_decode_answer(again, (enum weir_framing)t->plugin->codec->stream_framing, out_bytes(&client->told), 0, true) < 0 ||
        strcmp(answer_of(again), want) != 0)
        complain(t, path, "the encoded stream says something else", answer_of(again), want);
    struct weir_out document = { 0 };
    struct scratch before = scratch_enter();
    t->plugin->codec->encode_answer(client->self, &client->call, client->state, collector_answer(first->collector),
                                    &document);
    scratch_leave(before);
    struct lab *whole = lab_begin(t->plugin, 'e', client->conversation);
    if (!out_complete(&document) || lab_decode_answer(whole, WEIR_FRAMING_JSON, out_bytes(&document), 0, true) < 0 ||
        strcmp(answer_of(whole), want) != 0)
        complain(t, path, "the encoded document says something else", answer_of(whole), want);
    out_free(&document);
    lab_end(whole);
    lab_end(again);
    lab_end(first);
    lab_end(client);
}

static void check_answer(struct tally *t, const struct recording *r, const char *path)
{
    static const size_t pieces[] = { 1, 7, 1000 };
    struct lab *client = lab_begin(t->plugin, 'i', NULL);
    client->conversation = conversation_for_answer(client, true);
    struct lab *l = decode(t, client->conversation, r->response, 0, path);
    const char *want = answer_of(l);
    t->answers++;
    if (l->has_error)
        t->errors++;
    bool streams = recorded_framing(t->plugin->codec, r->response) != WEIR_FRAMING_JSON;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces) && streams; i++) {
        struct lab *cut = decode(t, client->conversation, r->response, pieces[i], path);
        if (strcmp(answer_of(cut), want) != 0)
            complain(t, path, "cut elsewhere it says something else", answer_of(cut), want);
        lab_end(cut);
    }
    if (!l->has_error && l->has_ended)
        check_encoders(t, r->response, want, path);
    lab_end(l);
    lab_end(client);
}

/* Usage is always asked for, and members of messages that nobody knows are not kept when a request is encoded anew. */
static const char *comparable(struct lab *l, const char *text)
{
    struct weir_out o = { 0 };
    while (*text) {
        size_t n = strcspn(text, "\n") + 1;
        bool is_empty_prompt =
            strncmp(text, "system\n", 7) == 0 && (text[7] != ' ' || strncmp(text + 7, "   part 1\n", 10) == 0);
        if (!is_empty_prompt && strncmp(text, "   part 1\n", 10) != 0 && strncmp(text, "field 2=", 8) != 0 &&
            strncmp(text, "ext messages[", 13) != 0 && strncmp(text, "ext stream_options", 18) != 0)
            out_write(&o, (struct weir_str){ text, n });
        text += n;
    }
    const char *kept = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return kept;
}

static void check_request(struct tally *t, const struct recording *r, const char *path)
{
    struct lab *l = lab_begin(t->plugin, 'i', NULL);
    lab_at(l, r->path);
    t->requests++;
    if (lab_decode_request(l, r->request) < 0) {
        complain(t, path, "the request does not decode", lab_cstr(l, l->error.message), "");
        lab_end(l);
        return;
    }
    const char *want = comparable(l, dump_conversation(l));
    struct lab *up = lab_begin(t->plugin, 'e', l->conversation);
    struct weir_out body = { 0 };
    struct scratch before = scratch_enter();
    int rc = t->plugin->codec->encode_request(up->self, &up->call, up->state, &l->conversation->view, &body);
    scratch_leave(before);
    struct lab *again = lab_begin(t->plugin, 'i', NULL);
    lab_at(again, r->path);
    if (rc < 0 || !out_complete(&body) || lab_decode_request(again, out_bytes(&body)) < 0)
        complain(t, path, "the request does not encode", lab_cstr(up, up->error.message),
                 lab_cstr(up, again->error.message));
    else if (strcmp(comparable(l, dump_conversation(again)), want) != 0)
        complain(t, path, "encoded again it asks something else", comparable(l, dump_conversation(again)), want);
    out_free(&body);
    lab_end(again);
    lab_end(up);
    lab_end(l);
}

static void check_recording(void *arg, const struct recording *r, const char *path)
{
    struct tally *t = arg;
    if (r->response.n)
        check_answer(t, r, path);
    if (r->request.n && r->request.p[0] == '{')
        check_request(t, r, path);
}

static void run(const char *codec)
{
    struct tally t = { .codec = codec, .plugin = lab_plugin(codec) };
    if (!t.plugin)
        SKIP("the codec is not built");
    if (recordings_each(codec, check_recording, &t) == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    printf("  %s: %d answers (%d of them errors), %d requests\n", codec, t.answers, t.errors, t.requests);
    CHECK_INT(t.failed, 0);
}

TEST(recordings_responses)
{
    run("responses");
}

TEST(recordings_openai)
{
    run("openai");
}

TEST(recordings_anthropic)
{
    run("anthropic");
}

TEST(recordings_ollama)
{
    run("ollama");
}

TEST(recordings_cohere)
{
    run("cohere");
}

TEST(recordings_bedrock)
{
    run("bedrock");
}

TEST(recordings_gemini)
{
    run("gemini");
}
