/* Codecs on spoilt wire: bytes changed, cut, doubled. Whatever comes, a codec neither crashes nor breaks the grammar of events, and
 * what it takes from a client it can also write for the provider. The seed is fixed; a sanitizer build is where this counts. */
#include <dirent.h>

#include "aws_wire.h"
#include "codec_lab.h"
#include "test.h"

enum { ROUNDS = 60 };

static uint64_t seed;
static uint32_t operation; /* of the file that is being spoilt */

static uint32_t chance(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}

static size_t spoil(char *p, size_t n, size_t cap)
{
    static const char interesting[] = "{}[]\",:\\0-19eEntf \n\xff\xc3";
    for (uint32_t times = 1 + chance(4); times > 0 && n > 0; times--) {
        size_t at = chance((uint32_t)n), len = 1 + chance(16);
        if (len > n - at)
            len = n - at;
        switch (chance(4)) {
        case 0:
            p[at] = interesting[chance(sizeof(interesting) - 1)];
            break;
        case 1:
            memmove(p + at, p + at + len, n - at - len);
            n -= len;
            break;
        case 2:
            if (n + len > cap)
                break;
            memmove(p + at + len, p + at, n - at);
            n += len;
            break;
        default:
            p[at] = (char)chance(256);
        }
    }
    return n;
}

static void try_request(const struct weir_plugin *plugin, struct weir_str bytes)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    struct scratch s = scratch_enter();
    l->view.operation = operation;
    if (lab_decode_request(l, bytes) == 0) {
        struct lab *up = lab_begin(plugin, 'e', l->conversation);
        int rc = plugin->codec->encode_request(up->self, &up->call, up->state, &l->conversation->view, &up->told);
        CHECK(rc < 0 ? up->has_failed : out_complete(&up->told));
        lab_end(up);
    } else {
        CHECK(l->has_failed); /* with a reason */
    }
    scratch_leave(s);
    lab_end(l);
}

static void try_answer(const struct weir_plugin *plugin, enum weir_framing framing, struct weir_str bytes)
{
    struct lab *client = lab_begin(plugin, 'i', NULL);
    client->conversation = conversation_new(client->arena, weir_cstr(plugin->name), operation, WEIR_LIT("{}"));
    struct lab *l = lab_begin(plugin, 'e', client->conversation);
    l->encoder = operation == WEIR_OP_CHAT ? client : NULL; /* the others come whole */
    lab_decode_answer(l, framing, bytes, 0, true);
    if (l->has_ended && !l->has_error) {
        struct weir_out out = { 0 };
        struct scratch s = scratch_enter();
        int rc = plugin->codec->encode_answer(client->self, &client->call, client->state,
                                              collector_answer(l->collector), &out);
        scratch_leave(s);
        if (rc == 0 && !out_complete(&out))
            printf("  %.*s\n  became %.*s\n", (int)bytes.n, bytes.p, (int)out.n, out.p);
        CHECK(rc < 0 || (out_complete(&out) && json_valid(l->arena, out_bytes(&out), WEIR_JSON_ERROR)));
        out_free(&out);
    }
    if (l->grammar_error)
        printf("  %s: %.*s\n", l->grammar_error, (int)bytes.n, bytes.p);
    CHECK(!l->grammar_error);
    lab_end(l);
    lab_end(client);
}

static void try_error(const struct weir_plugin *plugin, struct weir_str bytes)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    struct weir_error e = { .size = sizeof(e) };
    CHECK_INT(plugin->codec->decode_error(l->self, &l->call, l->state, 400, bytes, &e), 0);
    CHECK(e.error_class != WEIR_ERROR_NONE);
    lab_end(l);
}

/* In messages with sums nothing spoilt would ever reach the codec: their payloads are spoilt, and get new sums. */
static void try_stream(const struct weir_plugin *plugin, struct weir_str bytes)
{
    enum weir_framing framing = (enum weir_framing)plugin->codec->stream_framing;
    struct weir_out summed = { 0 };
    if (framing == WEIR_FRAMING_AWS)
        aws_from_lines(bytes, &summed);
    try_answer(plugin, framing, framing == WEIR_FRAMING_AWS ? out_bytes(&summed) : bytes);
    out_free(&summed);
}

static size_t as_lines(char *p, size_t n, size_t cap)
{
    struct weir_out lines = { 0 };
    aws_to_lines((struct weir_str){ p, n }, &lines);
    n = lines.n < cap ? lines.n : cap;
    memcpy(p, lines.p, n);
    out_free(&lines);
    return n;
}

static void spoil_file(const struct weir_plugin *plugin, const char *folder, const char *name)
{
    static char original[65536], spoilt[65536];
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    operation = strstr(name, ".embed.") ? WEIR_OP_EMBED : strstr(name, ".rerank.") ? WEIR_OP_RERANK : WEIR_OP_CHAT;
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(original, 1, sizeof(original) / 2, f) : 0;
    if (f)
        fclose(f);
    if (strstr(name, ".stream.") && plugin->codec->stream_framing == WEIR_FRAMING_AWS)
        n = as_lines(original, n, sizeof(original) / 2);
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(spoilt, original, n);
        char *exact = malloc(sizeof(spoilt));
        size_t left = spoil(spoilt, n, sizeof(spoilt));
        exact = realloc(exact, left + 1);
        memcpy(exact, spoilt, left);
        struct weir_str bytes = { exact, left };
        if (strstr(name, ".request."))
            try_request(plugin, bytes);
        else if (strstr(name, ".stream."))
            try_stream(plugin, bytes);
        else if (strstr(name, ".answer."))
            try_answer(plugin, WEIR_FRAMING_JSON, bytes);
        else
            try_error(plugin, bytes);
        free(exact);
    }
}

static void run(const char *codec)
{
    const struct weir_plugin *plugin = lab_plugin(codec);
    char folder[256];
    snprintf(folder, sizeof(folder), "providers/%s/tests", codec);
    DIR *dir = opendir(folder);
    if (!plugin || !dir)
        SKIP("the codec is not built, or this does not run at the root of the tree");
    int files = 0;
    seed = 1;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strstr(e->d_name, ".wire")) {
            spoil_file(plugin, folder, e->d_name);
            files++;
        }
    closedir(dir);
    CHECK(files > 10);
}

TEST(mutations_responses)
{
    run("responses");
}

TEST(mutations_openai)
{
    run("openai");
}

TEST(mutations_anthropic)
{
    run("anthropic");
}

TEST(mutations_ollama)
{
    run("ollama");
}

TEST(mutations_cohere)
{
    run("cohere");
}

TEST(mutations_bedrock)
{
    run("bedrock");
}

TEST(mutations_voyage)
{
    run("voyage");
}

TEST(mutations_gemini)
{
    run("gemini");
}
