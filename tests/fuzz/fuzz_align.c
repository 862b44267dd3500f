/* The aligner, and the joining of JSON: whatever was sent and whatever comes, in pieces of any size. What goes on is the end of what
 * came, and once it goes on it never gives up. */
#include <stdint.h>
#include <stdlib.h>

#include "align.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void play(struct weir_str sent, struct weir_str rest, enum align_how how, size_t piece)
{
    struct align x;
    struct weir_str now;
    size_t n_now = 0, at = 0;
    enum align_state state = ALIGN_HOLDS;
    align_begin(&x, sent, how);
    for (; at < rest.n; at += piece) {
        size_t n = piece < rest.n - at ? piece : rest.n - at;
        enum align_state before = state;
        state = align_add(&x, (struct weir_str){ rest.p + at, n }, &now);
        check(before == ALIGN_HOLDS || state == before);
        check(state == ALIGN_GOES_ON || now.n == 0);
        n_now += now.n;
        check(n_now <= at + n && (!now.n || memcmp(now.p, rest.p + at + n - now.n, now.n) == 0));
    }
    state = align_end(&x, &now);
    n_now += now.n;
    check(state != ALIGN_HOLDS && n_now <= rest.n);
    check(!now.n || memcmp(now.p, rest.p + rest.n - now.n, now.n) == 0);
    align_free(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    struct weir_str all = { (const char *)data + 2, n - 2 };
    size_t cut = data[0] * all.n / 255;
    struct weir_str sent = { all.p, cut }, rest = { all.p + cut, all.n - cut }, joined;
    play(sent, rest, data[1] & 1 ? ALIGN_ASKED : ALIGN_PREFILLED, 1 + (data[1] >> 1));
    if (data[1] & 64)
        play(sent, all, ALIGN_ASKED, 1 + (data[1] & 7));
    struct arena *a = arena_new();
    if (all.n < 2000 && align_json(a, sent, rest, &joined) == 0)
        check(joined.n <= rest.n);
    align_last_words(sent);
    arena_free(a);
    return 0;
}
