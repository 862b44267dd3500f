/* The framer against broken bytes: the first byte says the framing, the second where the rest is cut. Frames concatenate to what was
 * taken, and an AWS message is only handed out with right sums.
 */
#include <stdlib.h>
#include <string.h>

#include "aws_frame.h"
#include "framer.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Every byte of it is looked at, so that the sanitizer sees it. */
static void touch(struct weir_str s)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < s.n; i++)
        sum = (uint8_t)(sum + (uint8_t)s.p[i]);
}

static size_t feed(struct framer *f, const uint8_t *data, size_t n, bool *is_broken)
{
    struct weir_str in = { (const char *)data, n };
    struct weir_frame frame;
    size_t taken = 0;
    enum framer_result rc;
    while (!*is_broken && (rc = framer_next(f, &in, &frame, 1 << 16)) != FRAMER_MORE) {
        *is_broken = rc != FRAMER_FRAME;
        if (*is_broken)
            break;
        taken += frame.bytes.n;
        if (f->framing == WEIR_FRAMING_AWS && aws_frame_length(frame.bytes, 1 << 16) != (int64_t)frame.bytes.n)
            abort();
        touch(frame.name);
        touch(frame.data);
    }
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t framings[] = { WEIR_FRAMING_SSE, WEIR_FRAMING_NDJSON, WEIR_FRAMING_AWS, WEIR_FRAMING_JSON };
    if (n < 2)
        return 0;
    struct scratch s = scratch_enter();
    struct framer f;
    struct weir_frame frame;
    bool is_broken = false;
    size_t cut = data[1] < n - 2 ? data[1] : n - 2;
    framer_init(&f, (enum weir_framing)framings[data[0] % sizeof(framings)]);
    size_t taken = feed(&f, data + 2, cut, &is_broken);
    taken += feed(&f, data + 2 + cut, n - 2 - cut, &is_broken);
    if (!is_broken && framer_last(&f, &frame) == FRAMER_FRAME)
        taken += frame.bytes.n;
    if (!is_broken && f.framing != WEIR_FRAMING_AWS && taken != n - 2)
        abort();
    framer_free(&f);
    scratch_leave(s);
    return 0;
}
