/* mock_answers.c: why the mock costs so little: every answer, and every piece of a stream with its chunk framing, is made
 * once, so that a call is a look at the model name and one write. */
#include "mock_answers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answers answers;

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("mock: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void bytes_add(struct bytes *b, const char *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2;
        b->p = realloc(b->p, b->cap);
        if (!b->p) {
            fail("out of memory for %zu bytes", b->cap);
        }
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){ 0 };
}

#define COMMON_HEADERS                                                                                                   \
    "date: Mon, 14 Jul 2025 10:40:00 GMT\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 214\r\n"                  \
    "x-request-id: req_5f2a8d7be0c94c1fb7a3e2d1c0b9a8f7\r\nx-ratelimit-limit-requests: 10000\r\n"                         \
    "x-ratelimit-remaining-requests: 9999\r\n"

#define STREAM_START "data: {\"id\":\"chatcmpl-BnQ3f7Yx2WvKc8LmT0aRdJ5sHu1Ez\",\"object\":\"chat.completion.chunk\","     \
    "\"created\":1752489600,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","                          \
    "\"system_fingerprint\":\"fp_560af6e559\",\"choices\":["

#define USAGE_COUNTS ",\"usage\":{\"prompt_tokens\":187,\"completion_tokens\":47,\"total_tokens\":234,"                   \
    "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}"

static void chunk_add(struct bytes *b, const char *choice, const char *usage)
{
    char event[1024], size[16];
    int n = snprintf(event, sizeof event, "%s%s]%s}\n\n", STREAM_START, choice, usage);
    bytes_add(b, size, (size_t)snprintf(size, sizeof size, "%x\r\n", (unsigned)n));
    bytes_add(b, event, (size_t)n);
    bytes_add(b, "\r\n", 2);
}

static void text_add(struct bytes *b, const char *text)
{
    bytes_add(b, text, strlen(text));
}

static void script_make(struct script *s, bool has_usage)
{
    static const char content[] = "{\"index\":0,\"delta\":{\"content\":\" ~word\"},\"logprobs\":null,\"finish_reason\":null}";
    const char *usage = has_usage ? ",\"usage\":null" : "";
    text_add(&s->opening, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n" COMMON_HEADERS
                          "transfer-encoding: chunked\r\n\r\n");
    chunk_add(&s->opening,
              "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,"
              "\"finish_reason\":null}",
              usage);
    chunk_add(&s->opening, content, usage);
    chunk_add(&s->content, content, usage);
    chunk_add(&s->ending, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}", usage);
    if (has_usage) {
        chunk_add(&s->ending, "", USAGE_COUNTS);
    }
    text_add(&s->ending, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
}

static void whole_make(struct bytes *b, const char *status, const char *body, size_t n)
{
    char head[1024];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %s\r\ncontent-type: application/json\r\n" COMMON_HEADERS "content-length: %zu\r\n\r\n",
                       status, n);
    bytes_add(b, head, (size_t)len);
    bytes_add(b, body, n);
}

void answers_make(const char *path)
{
    static const char refusal[] = "{\"error\":{\"message\":\"the mock knows POST …/chat/completions with the models "
                                  "bench-chat and bench-stream-N-Pms\",\"type\":\"invalid_request_error\",\"param\":\"model\","
                                  "\"code\":\"model_not_found\"}}";
    FILE *f = path ? fopen(path, "rb") : NULL;
    char body[65536];
    size_t n = f ? fread(body, 1, sizeof body, f) : 0;
    if (n == 0) {
        fail("--answer %s: %s", path ? path : "(missing)", strerror(errno));
    }
    fclose(f);
    whole_make(&answers.whole, "200 OK", body, n);
    whole_make(&answers.refusal, "404 Not Found", refusal, sizeof refusal - 1);
    script_make(&answers.scripts[0], false);
    script_make(&answers.scripts[1], true);
}
