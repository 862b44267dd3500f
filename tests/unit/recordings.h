/* Recorded provider exchanges in $WEIR_SHARED or ../shared, for tests; absent on most machines. */
#ifndef WEIR_TESTS_UNIT_RECORDINGS_H
#define WEIR_TESTS_UNIT_RECORDINGS_H

#include <stdio.h>
#include <stdlib.h>

#include <weir/codec.h>

#include "../../core/bytes.h"
#include "../../core/json.h"

struct recording {
    struct weir_str provider, endpoint, path, request, response, encoding;
    int64_t status;
};

static const char *shared(void)
{
    const char *dir = getenv("WEIR_SHARED");
    return dir ? dir : "../shared";
}

static struct weir_str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return WEIR_NONE;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *p = arena_alloc(a, (size_t)n + 1);
    size_t got = p && n > 0 ? fread(p, 1, (size_t)n, f) : 0;
    fclose(f);
    return (struct weir_str){ p, got };
}

static void take_string(struct weir_json *r, struct weir_str *to)
{
    if (json_api.peek(r) == WEIR_JSON_STRING)
        json_api.string(r, to);
    else
        json_api.skip(r);
}

static bool read_recording(struct arena *a, const char *path, struct recording *to)
{
    struct weir_json *r = json_open(a, read_file(a, path));
    struct weir_str key;
    memset(to, 0, sizeof(*to));
    for (json_api.object(r); json_api.member(r, &key);) {
        if (weir_is(key, "provider"))
            take_string(r, &to->provider);
        else if (weir_is(key, "endpoint"))
            take_string(r, &to->endpoint);
        else if (weir_is(key, "url_path"))
            take_string(r, &to->path);
        else if (weir_is(key, "request_body"))
            json_api.raw(r, &to->request);
        else if (weir_is(key, "response_body"))
            take_string(r, &to->response);
        else if (weir_is(key, "response_body_encoding"))
            take_string(r, &to->encoding);
        else if (weir_is(key, "status"))
            json_api.integer(r, &to->status);
        else
            json_api.skip(r);
    }
    return json_api.close(r);
}

static bool is_stream(struct weir_str body)
{
    while (body.n && (*body.p == '\n' || *body.p == '\r' || *body.p == ' '))
        body.p++, body.n--;
    return body.n && *body.p != '{' && *body.p != '[';
}

/* How a recorded body of this codec's dialect has to be cut. Where streams are lines, a line that is not done has others behind it. */
__attribute__((unused)) static enum weir_framing recorded_framing(const struct weir_codec *codec, struct weir_str body)
{
    bool is_lines = codec->stream_framing == WEIR_FRAMING_NDJSON && memmem(body.p, body.n, "\"done\":false", 12);
    return is_lines || is_stream(body) ? (enum weir_framing)codec->stream_framing : WEIR_FRAMING_JSON;
}

typedef void (*recording_fn)(void *arg, const struct recording *r, const char *path);

/* Which of the recordings speak a codec's dialect. provider, path "": any. */
static const struct recorded_dialect {
    const char *codec, *provider, *endpoint, *path;
} recorded_dialects[] = {
    { "anthropic", "anthropic", "messages", "" },
    { "ollama", "ollama", "ollama-chat", "/api/chat" },
    { "responses", "", "responses", "" },
    { "cohere", "cohere", "cohere-chat", "/v2/chat" },
    { "cohere embed", "cohere", "embeddings", "/v2/embed" },
    { "voyage", "voyage", "embeddings", "/v1/embeddings" },
    { "cohere rerank", "cohere", "rerank", "/v2/rerank" },
    { "bedrock", "bedrock", "converse", "" },
    { "gemini", "", "generateContent", "" },
    { "bedrock embed", "bedrock", "embeddings", "" },
};

static const struct recorded_dialect *recorded_dialect(const char *codec)
{
    for (size_t i = 0; i < sizeof(recorded_dialects) / sizeof(*recorded_dialects); i++)
        if (strcmp(codec, recorded_dialects[i].codec) == 0)
            return &recorded_dialects[i];
    return NULL;
}

static bool is_for(const char *codec, const struct recording *r)
{
    const struct recorded_dialect *d = recorded_dialect(codec);
    if (r->path.n && memmem(r->path.p, r->path.n, "/input_tokens", 13)) /* it only counts */
        return false;
    if (d)
        return weir_is(r->endpoint, d->endpoint) && (!*d->provider || weir_is(r->provider, d->provider)) &&
               (!*d->path || weir_is(r->path, d->path));
    return weir_is(r->endpoint, "chat") && !weir_is(r->provider, "cohere");
}

static bool is_endpoint(struct weir_str line, const char *codec)
{
    const struct recorded_dialect *d = recorded_dialect(codec);
    char what[64];
    snprintf(what, sizeof(what), "\"endpoint\": \"%s\"", d ? d->endpoint : "chat");
    return memmem(line.p, line.n, what, strlen(what)) != NULL;
}

static void one_recording(const char *codec, const char *path, recording_fn fn, void *arg)
{
    struct arena *a = arena_new();
    struct recording r;
    bool is_ours = read_recording(a, path, &r) && is_for(codec, &r) && r.status < 300;
    bool is_binary = is_ours && weir_is(r.encoding, "base64");
    struct weir_str bytes = WEIR_NONE;
    if (is_binary && strcmp(codec, "bedrock") == 0 && bytes_base64_decode(a, r.response, BYTES_BASE64_STD, &bytes))
        r.response = bytes;
    if (is_ours && (!is_binary || bytes.p))
        fn(arg, &r, path);
    arena_free(a);
}

/* Every successful exchange of the codec's dialect. How many files were looked at: 0 if there are no recordings. */
__attribute__((unused)) static int recordings_each(const char *codec, recording_fn fn, void *arg)
{
    char path[1024];
    struct arena *a = arena_new();
    snprintf(path, sizeof(path), "%s/recordings/index.jsonl", shared());
    struct weir_str index = read_file(a, path), line;
    int found = 0;
    for (const char *p = index.p; p && p < index.p + index.n; p = line.p + line.n + 1) {
        const char *nl = memchr(p, '\n', (size_t)(index.p + index.n - p));
        line = (struct weir_str){ p, (size_t)((nl ? nl : index.p + index.n) - p) };
        const char *file = memmem(line.p, line.n, "\"file\": \"", 9);
        const char *end = file ? memchr(file + 9, '"', (size_t)(line.p + line.n - file - 9)) : NULL;
        if (!end || !is_endpoint(line, codec))
            continue;
        snprintf(path, sizeof(path), "%s/recordings/%.*s", shared(), (int)(end - file - 9), file + 9);
        one_recording(codec, path, fn, arg);
        found++;
    }
    arena_free(a);
    return found;
}

#endif
