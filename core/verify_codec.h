/* What the files that test codecs share; see verify_codec.c. */
#ifndef WEIR_CORE_VERIFY_CODEC_H
#define WEIR_CORE_VERIFY_CODEC_H

#include "verify.h"
#include "verify_lab.h"

/* Shared with the parent. */
struct journal {
    char step[400];           /* what is being done now */
    uint64_t steps;
    uint32_t passed, failed;
};

enum covered {
    COVERS_TEXT, COVERS_SYSTEM, COVERS_TOOLS, COVERS_TOOL_RESULTS, COVERS_IMAGES, COVERS_THINKING, COVERS_FORMAT, /* requests */
    COVERS_ANSWER_TEXT, COVERS_ANSWER_TOOLS, COVERS_ANSWER_THINKING, COVERS_USAGE, COVERS_ERRORS, COVERS_END,      /* answers */
    COVERS_COUNT,
};

/* Bytes of the dialect, to start mutations from. */
enum seed_kind { SEED_REQUEST, SEED_ANSWER, SEED_STREAM, SEED_ERROR };
struct seed {
    struct seed *next;
    enum seed_kind kind;
    struct weir_str bytes;
};

struct codec_test {
    struct verify *v;
    const struct plugin *plugin;
    void *self;
    struct journal *journal;
    struct seed *seeds;
    uint32_t n_seeds;
    bool misses_end; /* a stream that stops early, on a clean close, is taken for whole */
    bool covers_in[COVERS_COUNT], covers_out[COVERS_COUNT]; /* wire to meaning, meaning to wire */
};

void codec_step(struct codec_test *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void codec_ok(struct codec_test *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void codec_bad(struct codec_test *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void codec_show(const char *title, struct weir_str text);
bool codec_same_json(struct weir_str a, struct weir_str b);
bool codec_same_lines(struct weir_str a, struct weir_str b);
/* Messages and tools are the same, and no setting has another value. */
bool codec_same_request(struct weir_str sent, struct weir_str back);
bool codec_same_answer(struct weir_str sent, struct weir_str back);
bool codec_is_json(struct weir_str text);

bool codec_reads_requests(const struct plugin *p);
bool codec_writes_requests(const struct plugin *p);
bool codec_reads_answers(const struct plugin *p);
bool codec_writes_answers(const struct plugin *p);

bool codec_cuts(struct codec_test *t, const char *name, struct weir_str bytes, bool is_whole);
bool codec_truncations(struct codec_test *t, const char *name, struct weir_str bytes, bool is_whole);

void codec_samples(struct codec_test *t);  /* verify_samples.c: made-up conversations and answers */
void codec_pairs(struct codec_test *t);    /* verify_pairs.c: the author's */
void codec_fuzz(struct codec_test *t);     /* verify_fuzz.c */
void codec_losses(struct codec_test *t);   /* verify_losses.c */
void codec_coverage(struct codec_test *t); /* verify_samples.c */
void codec_seed(struct codec_test *t, enum seed_kind kind, struct weir_str bytes);
/* Notes what these events show. */
void codec_note_events(struct codec_test *t, const struct lab_event *list, bool is_in);
void codec_note_request(struct codec_test *t, const struct weir_conversation *c, bool is_in);

#endif
