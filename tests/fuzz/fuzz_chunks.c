/* Fuzzing the decoder of chunks. What must hold for every input:
 *   - no read beyond the bytes, no crash, progress with every call;
 *   - where the bytes are cut makes no difference to content, end and refusal;
 *   - the content is shorter than what it came in, and all of it was inside.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../core/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

struct decoded {
    char *content;
    size_t n, used;
    bool done, is_refused;
};

/* Every piece is copied to a block of its own size, so that the sanitizer sees each byte too many. */
static void decode_piece(struct decoded *d, struct http_chunks *c, const uint8_t *in, size_t n)
{
    char *piece = malloc(n ? n : 1);
    size_t at = 0;
    memcpy(piece, in, n);
    while (at < n && !d->done && !d->is_refused) {
        const char *data;
        size_t data_n;
        int64_t used = http_chunks_next(c, piece + at, n - at, &data, &data_n, &d->done);
        d->is_refused = used < 0;
        if (used < 0)
            break;
        require(used > 0 && (size_t)used <= n - at, "it goes on, within the bytes");
        require(!data_n || (data >= piece + at && data + data_n <= piece + at + used), "content is inside");
        memcpy(d->content + d->n, data, data_n);
        d->n += data_n;
        at += (size_t)used;
    }
    d->used += at;
    free(piece);
}

static struct decoded decode(const uint8_t *data, size_t size, size_t step)
{
    struct decoded d = { .content = malloc(size ? size : 1) };
    struct http_chunks c = { 0 };
    for (size_t at = 0; at < size && !d.done && !d.is_refused; at += step)
        decode_piece(&d, &c, data + at, size - at < step ? size - at : step);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = { 1, 2, 3, 7, 64 };
    struct decoded whole = decode(data, size, size ? size : 1);
    require(whole.n <= size, "content is no longer than what it came in");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct decoded cut = decode(data, size, steps[i]);
        require(cut.done == whole.done && cut.is_refused == whole.is_refused, "the same verdict");
        require(cut.is_refused || cut.used == whole.used, "the same end");
        require(cut.is_refused || (cut.n == whole.n && memcmp(cut.content, whole.content, whole.n) == 0),
                "the same content");
        free(cut.content);
    }
    free(whole.content);
    return 0;
}
