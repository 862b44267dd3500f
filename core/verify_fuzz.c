/* Broken bytes: pieces of good requests and answers, changed at random, for a while. Whatever comes, a codec may only say no:
 * it must not crash, hang, or claim what is no JSON. Runs repeat: the chance is seeded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "scratch.h"
#include "verify_codec.h"

enum { SEED_MAX = 256 * 1024, SEEDS_MAX = 512, MUTATIONS = 8 };

void codec_seed(struct codec_test *t, enum seed_kind kind, struct weir_str bytes)
{
    struct seed *s = t->n_seeds < SEEDS_MAX && bytes.n > 0 && bytes.n <= SEED_MAX ? malloc(sizeof *s + bytes.n) : NULL;
    if (!s)
        return;
    memcpy(s + 1, bytes.p, bytes.n);
    *s = (struct seed){ t->seeds, kind, { (char *)(s + 1), bytes.n } };
    t->seeds = s;
    t->n_seeds++;
}

/* ---- chance ---- */

static uint64_t state = UINT64_C(0x853c49e6748fea9b);

static uint64_t chance(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

/* ---- one change ---- */

struct text {
    char *p;
    size_t n;
};

static void flip(struct text *s)
{
    s->p[chance(s->n)] ^= (char)(1 << chance(8));
}

static void overwrite(struct text *s)
{
    static const char bytes[] = "\"\\{}[]:,\n\r\t 0-9.eEtfnu\0\x7f\x80\xc3\xed\xff";
    s->p[chance(s->n)] = bytes[chance(sizeof bytes - 1)];
}

static void cut_out(struct text *s)
{
    size_t at = chance(s->n), n = 1 + chance(chance(4) ? 8 : s->n - at);
    n = n < s->n - at ? n : s->n - at;
    memmove(s->p + at, s->p + at + n, s->n - at - n);
    s->n -= n;
}

static void repeat(struct text *s)
{
    size_t at = chance(s->n), n = 1 + chance(s->n - at < 64 ? s->n - at : 64);
    n = n < s->n - at ? n : s->n - at;
    if (n == 0 || s->n + n > 2 * SEED_MAX)
        return;
    memmove(s->p + at + n, s->p + at, s->n - at);
    s->n += n;
}

/* A value becomes another kind of value: what codecs forget to check. */
static void retype(struct text *s)
{
    static const char *const values[] = { "null", "true", "[]", "{}", "-1", "1e999", "\"\"", "0.5", "[{}]", "99999999999999999999" };
    const char *value = values[chance(10)], *colon = memchr(s->p + chance(s->n), ':', s->n);
    size_t n = strlen(value), at = colon && colon < s->p + s->n ? (size_t)(colon - s->p) + 1 : s->n, end = at;
    while (end < s->n && !memchr(",}\n", s->p[end], 3))
        end++;
    if (at >= s->n || s->n + n > 2 * SEED_MAX)
        return;
    memmove(s->p + at + n, s->p + end, s->n - end);
    memcpy(s->p + at, value, n);
    s->n = s->n - (end - at) + n;
}

static void truncate_it(struct text *s)
{
    s->n = chance(s->n);
}

static void mutate(struct text *s)
{
    static void (*const ways[])(struct text *) = { flip, overwrite, cut_out, repeat, retype, retype, overwrite, truncate_it };
    for (uint64_t i = 1 + chance(MUTATIONS); i > 0 && s->n > 0; i--)
        ways[chance(i > 1 ? 7 : 8)](s);
}

/* ---- one input ---- */

static bool is_answer_of(struct codec_test *t, int rc, const char *op)
{
    if (rc == 0 || rc == -1)
        return true;
    codec_bad(t, "%s returned %d: 0 or -1 are possible", op, rc);
    return false;
}

static bool feed_request(struct codec_test *t, struct weir_str bytes)
{
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    struct weir_out out = { 0 };
    int rc = lab_decode_request(l, bytes);
    bool is_good = is_answer_of(t, rc, "decode_request");
    if (rc != 0 && l->error.error_class == WEIR_ERROR_NONE) {
        codec_bad(t, "decode_request refuses without fail(): the caller would not learn why");
        is_good = false;
    }
    if (rc == 0 && codec_writes_requests(t->plugin)) {
        struct lab *writer = lab_new(t->plugin, t->self, LAB_EGRESS);
        rc = lab_encode_request(writer, l->conversation, &out);
        if (rc == 0 && (out.is_misuse || !codec_is_json(out_bytes(&out)))) {
            codec_bad(t, "encode_request writes no JSON for a conversation that decode_request took");
            is_good = false;
        }
        lab_free(writer);
    }
    if (!is_good)
        codec_show("the request:", bytes);
    lab_free(l);
    out_free(&out);
    return is_good;
}

static bool feed_answer(struct codec_test *t, struct weir_str bytes, bool is_whole)
{
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct lab_answer answer = { .bytes = bytes, .cut = chance(bytes.n + 1), .is_whole = is_whole, .ends_clean = chance(2) };
    int rc = lab_decode_answer(l, &answer);
    bool is_good = is_answer_of(t, rc, "decode_frame or decode_end");
    lab_free(l);
    return is_good;
}

static bool feed_error(struct codec_test *t, struct weir_str bytes)
{
    static const int statuses[] = { 400, 401, 403, 404, 413, 429, 500, 503, 529 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct weir_error e;
    bool is_good = is_answer_of(t, lab_decode_error(l, statuses[chance(9)], bytes, &e), "decode_error");
    lab_free(l);
    return is_good;
}

static bool feed(struct codec_test *t, enum seed_kind kind, struct weir_str bytes)
{
    const struct plugin *p = t->plugin;
    if (kind == SEED_REQUEST)
        return !codec_reads_requests(p) || feed_request(t, bytes);
    if (kind == SEED_ERROR)
        return !p->codec.decode_error || feed_error(t, bytes);
    return !codec_reads_answers(p) || feed_answer(t, bytes, kind == SEED_ANSWER);
}

/* ---- for a while ---- */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct seed *any_seed(const struct codec_test *t)
{
    const struct seed *s = t->seeds;
    for (uint64_t i = chance(t->n_seeds); i > 0; i--)
        s = s->next;
    return s;
}

void codec_fuzz(struct codec_test *t)
{
    double end = seconds_now() + t->v->seconds;
    struct text s = { malloc(4 * SEED_MAX), 0 };
    uint64_t n = 0;
    bool is_good = true;
    while (t->n_seeds && s.p && is_good && seconds_now() < end) {
        const struct seed *seed = any_seed(t);
        memcpy(s.p, seed->bytes.p, seed->bytes.n);
        s.n = seed->bytes.n;
        mutate(&s);
        codec_step(t, "mutated input %llu: %.*s", (unsigned long long)n++, s.n > 300 ? 300 : (int)s.n, s.p);
        char *exact = malloc(s.n ? s.n : 1); /* of the exact size: sanitizers and valgrind see a byte too far */
        memcpy(exact, s.p, s.n);
        is_good = feed(t, seed->kind, (struct weir_str){ exact, s.n });
        free(exact);
    }
    free(s.p);
    while (t->seeds) {
        struct seed *next = t->seeds->next;
        free(t->seeds);
        t->seeds = next;
    }
    if (t->v->seconds > 0 && t->n_seeds && is_good)
        codec_ok(t, "%llu mutated inputs in %d s", (unsigned long long)n, t->v->seconds);
}
