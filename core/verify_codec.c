/* A codec is tested by calling it: with made-up conversations and answers, with the author's pairs, with broken bytes.
 *
 * All of it runs in a child process that writes down what it is about to do (struct journal, shared), so that the parent can
 * say where it crashed or hung. Which directions are run follows from which ops the codec has.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scratch.h"
#include "verify_codec.h"

enum { HANG_MS = 10000, CUTS_MAX = 4096 };

/* ---- telling ---- */

void codec_step(struct codec_test *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->journal->step, sizeof t->journal->step, format, args);
    va_end(args);
    t->journal->steps++;
}

void codec_ok(struct codec_test *t, const char *format, ...)
{
    va_list args;
    t->journal->passed++;
    printf("ok    ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void codec_bad(struct codec_test *t, const char *format, ...)
{
    va_list args;
    t->journal->failed++;
    printf("FAIL  ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* ---- comparing ---- */

static json_t *parsed(struct weir_str text)
{
    return json_loadb(text.p, text.n, JSON_DECODE_ANY, NULL);
}

bool codec_same_json(struct weir_str a, struct weir_str b)
{
    json_t *x = parsed(a), *y = parsed(b);
    bool is_same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return is_same;
}

bool codec_same_lines(struct weir_str a, struct weir_str b)
{
    while (a.n > 0 && b.n > 0) {
        const char *x = memchr(a.p, '\n', a.n), *y = memchr(b.p, '\n', b.n);
        size_t n = x ? (size_t)(x - a.p) : a.n, m = y ? (size_t)(y - b.p) : b.n;
        if (!codec_same_json((struct weir_str){ a.p, n }, (struct weir_str){ b.p, m }))
            return false;
        a = (struct weir_str){ a.p + n + (x != NULL), a.n - n - (x != NULL) };
        b = (struct weir_str){ b.p + m + (y != NULL), b.n - m - (y != NULL) };
    }
    return a.n == 0 && b.n == 0;
}

bool codec_is_json(struct weir_str text)
{
    struct arena *a = arena_new();
    bool is = a && json_valid(a, text, WEIR_JSON_ERROR);
    arena_free(a);
    return is;
}

/* A dialect may have no word for a setting, and says these few in its own way; but it may not say something else. */
static bool is_translated(const char *name)
{
    static const enum weir_field fields[] = { WEIR_FIELD_STREAM_USAGE, WEIR_FIELD_RESPONSE_FORMAT, WEIR_FIELD_REASONING_EFFORT,
                                              WEIR_FIELD_REASONING_BUDGET, WEIR_FIELD_REASONING_VISIBLE };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(name, canon_fields[fields[i]]) == 0)
            return true;
    return false;
}

/* Where answers are streamed unless told otherwise, what was not said is said: that means the same. */
static bool is_default(const char *name, json_t *value)
{
    return strcmp(name, canon_fields[WEIR_FIELD_STREAM]) == 0 && json_is_false(value);
}

static bool are_settings_kept(json_t *sent, json_t *back)
{
    const char *name;
    json_t *value;
    json_object_foreach(back, name, value)
        if (!is_translated(name) && !json_equal(value, json_object_get(sent, name)) &&
            !(is_default(name, value) && !json_object_get(sent, name)))
            return false;
    return true;
}

static bool are_equal(json_t *a, json_t *b)
{
    return (!a && !b) || (a && b && json_equal(a, b));
}

bool codec_same_request(struct weir_str sent, struct weir_str back)
{
    json_t *x = parsed(sent), *y = parsed(back);
    bool is_same = x && y && are_equal(json_object_get(x, "messages"), json_object_get(y, "messages")) &&
                   are_equal(json_object_get(x, "tools"), json_object_get(y, "tools")) &&
                   are_settings_kept(json_object_get(x, "fields"), json_object_get(y, "fields"));
    json_decref(x);
    json_decref(y);
    return is_same;
}

bool codec_same_answer(struct weir_str sent, struct weir_str back)
{
    json_t *x = parsed(sent), *y = parsed(back);
    static const char *const names[] = { "id", "model" }; /* not every dialect says them */
    for (size_t i = 0; x && y && i < sizeof names / sizeof *names; i++)
        if (!json_object_get(y, names[i]))
            json_object_del(x, names[i]);
    bool is_same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return is_same;
}

void codec_show(const char *title, struct weir_str text)
{
    int n = text.n > 1500 ? 1500 : (int)text.n;
    printf("      %s\n", title);
    for (const char *p = text.p; p && p < text.p + n;) {
        size_t k = strcspn(p, "\n");
        size_t left = (size_t)(text.p + n - p);
        printf("      | %.*s\n", (int)(k < left ? k : left), p);
        p += k + 1;
    }
}

/* ---- directions ---- */

bool codec_reads_requests(const struct plugin *p)
{
    return p->codec.decode_request != NULL;
}

bool codec_writes_requests(const struct plugin *p)
{
    return p->codec.operations && p->codec.encode_request;
}

bool codec_reads_answers(const struct plugin *p)
{
    return p->codec.operations && p->codec.decode_frame;
}

bool codec_writes_answers(const struct plugin *p)
{
    return p->codec.encode_event && p->codec.encode_answer;
}

/* ---- streams cut at every byte ---- */

static struct weir_str events_of(struct codec_test *t, struct lab *l, const struct lab_answer *answer, struct weir_out *out)
{
    int rc = lab_decode_answer(l, answer);
    out_reset(out, SIZE_MAX);
    canon_events(l->arena, l->events, out);
    if (rc != 0)
        out_write(out, arena_printf(l->arena, "%s\n", lab_why(l)));
    (void)t;
    return out_bytes(out);
}

/* The same events wherever the bytes are cut. Long streams are cut at a sample of places. */
bool codec_cuts(struct codec_test *t, const char *name, struct weir_str bytes, bool is_whole)
{
    struct weir_out whole = { 0 }, cut = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct lab_answer answer = { .bytes = bytes, .cut = bytes.n, .is_whole = is_whole, .ends_clean = true };
    struct weir_str want = events_of(t, l, &answer, &whole);
    size_t stride = bytes.n / CUTS_MAX + 1, bad_at = 0;
    lab_free(l);
    for (size_t at = 1; at < bytes.n && !bad_at; at += stride) {
        codec_step(t, "%s, cut at byte %zu", name, at);
        l = lab_new(t->plugin, t->self, LAB_EGRESS);
        answer.cut = at;
        if (!weir_eq(events_of(t, l, &answer, &cut), want))
            bad_at = at;
        lab_free(l);
    }
    if (bad_at) {
        codec_bad(t, "%s: cut at byte %zu it gives other events", name, bad_at);
        codec_show("in one piece:", want);
        codec_show("cut:", out_bytes(&cut));
    }
    out_free(&whole);
    out_free(&cut);
    return !bad_at;
}

/* Does it emit END after the first n bytes, although that is not all? */
static bool ends_early(struct codec_test *t, const struct lab_answer *part, struct weir_str want)
{
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct weir_str got = events_of(t, l, part, &out);
    bool is_early = l->has_ended && !weir_eq(got, want);
    lab_free(l);
    out_free(&out);
    return is_early;
}

/* An answer that breaks off must not look whole. */
bool codec_truncations(struct codec_test *t, const char *name, struct weir_str bytes, bool is_whole)
{
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct lab_answer answer = { .bytes = bytes, .cut = bytes.n, .is_whole = is_whole, .ends_clean = true };
    struct weir_str want = events_of(t, l, &answer, &out);
    size_t stride = bytes.n / CUTS_MAX + 1, bad_at = SIZE_MAX, clean_at = SIZE_MAX;
    for (size_t n = 0; n < bytes.n && bad_at == SIZE_MAX; n += stride) {
        codec_step(t, "%s, broken off after byte %zu", name, n);
        struct lab_answer part = { .bytes = { bytes.p, n }, .cut = n, .is_whole = is_whole };
        if (ends_early(t, &part, want))
            bad_at = n;
        part.ends_clean = true;
        if (clean_at == SIZE_MAX && ends_early(t, &part, want))
            clean_at = n;
    }
    t->covers_in[COVERS_END] |= clean_at == SIZE_MAX;
    t->misses_end |= clean_at != SIZE_MAX;
    if (bad_at != SIZE_MAX)
        codec_bad(t, "%s: broken off after byte %zu of %zu it still emits END", name, bad_at, bytes.n);
    lab_free(l);
    out_free(&out);
    return bad_at == SIZE_MAX;
}

/* ---- the child ---- */

static void run_all(struct codec_test *t)
{
    codec_step(t, "create()");
    t->self = lab_codec(t->plugin);
    if (!t->self) {
        codec_bad(t, "create() refused");
        return;
    }
    codec_samples(t);
    codec_pairs(t);
    codec_fuzz(t);
    codec_losses(t);
    codec_coverage(t);
    if (t->plugin->codec.destroy)
        t->plugin->codec.destroy(t->self == (void *)(uintptr_t)t->plugin ? NULL : t->self);
    scratch_free();
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0 when the child has ended, -1 when it stood still for too long and was killed. */
static int watch(pid_t pid, const struct journal *journal, int *status)
{
    uint64_t seen = 0;
    int64_t since = now_ms();
    while (waitpid(pid, status, WNOHANG) != pid) {
        struct timespec t = { 0, 5000000 };
        nanosleep(&t, NULL);
        if (journal->steps != seen) {
            seen = journal->steps;
            since = now_ms();
        } else if (now_ms() - since > HANG_MS) {
            kill(pid, SIGKILL);
            waitpid(pid, status, 0);
            return -1;
        }
    }
    return 0;
}

void verify_codec(struct verify *v)
{
    struct journal *journal = mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct codec_test t = { .v = v, .plugin = v->plugin, .journal = journal };
    int status = 0;
    if (v->plugin->codec.speaks) {
        verify_ok(v, "it speaks %s: the codec of that name is what there is to test", v->plugin->codec.speaks);
        return;
    }
    fflush(stdout);
    pid_t pid = journal != MAP_FAILED ? fork() : -1;
    if (pid == 0) {
        run_all(&t);
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0) {
        verify_bad(v, "no process or memory for the test: %s", strerror(errno));
        return;
    }
    int hung = watch(pid, journal, &status);
    v->passed += journal->passed;
    v->failed += journal->failed;
    if (hung)
        verify_bad(v, "it hangs: %s", journal->step);
    else if (WIFSIGNALED(status))
        verify_bad(v, "it crashes with SIG%s: %s", sigabbrev_np(WTERMSIG(status)), journal->step);
    else if (status != 0)
        verify_bad(v, "it ended the process: %s", journal->step);
    munmap(journal, sizeof *journal);
}
