/* What the simulator reads: an HTTP request, its JSON in four dialects, knobs and schemas. The sources are taken in as
 * one unit, because a plugin's folder is no library; two of them have a function of the same name. */
#include <stdint.h>
#include <stdlib.h>

#include "providers/simulator/buf.c"
#include "providers/simulator/knobs.c"
#include "providers/simulator/span.c"
#include "providers/simulator/words.c"
#define read_header http_read_one_header
#include "providers/simulator/http.c"
#undef read_header
#include "providers/simulator/ask.c"
#include "providers/simulator/sample.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask_all(struct span document, struct span path)
{
    for (enum ask_dialect dialect = ASK_OPENAI; dialect <= ASK_RESPONSES; dialect++) {
        struct ask ask = { 0 };
        struct knobs knobs;
        struct buf problem = { 0 }, json = { 0 };
        struct dice dice = dice_from("x", 1, 1);
        struct span again;
        knobs_init(&knobs);
        ask_read(&ask, dialect, document, path, &problem);
        knobs_read_model(&knobs, ask.model.p, ask.model.n, &problem);
        knobs_read(&knobs, ask.told.p, ask.told.n, &problem);
        sample_write(&json, &dice, ask.schema, &ask.question);
        if (!json.failed && !span_valid(json.p, json.n, &again))
            abort(); /* what it makes up must be JSON */
        ask_free(&ask);
        buf_free(&problem);
        buf_free(&json);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *bytes = malloc(n + 1);
    struct http_head head;
    struct span document;
    memcpy(bytes, data, n);
    int64_t head_n = http_read_head(&head, bytes, n);
    if (head_n > 0) {
        struct http_chunks chunks = { .in = (size_t)head_n, .out = (size_t)head_n };
        size_t body_n = n - (size_t)head_n;
        if (head.is_chunked && http_read_chunks(&chunks, bytes, n) >= 0)
            body_n = chunks.out - (size_t)head_n;
        if (span_valid(bytes + head_n, body_n, &document))
            ask_all(document, head.path);
    }
    free(bytes);
    return 0;
}
