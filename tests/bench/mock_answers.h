/* mock_answers.h: the bytes that the mock sends, made once at the start; they live as long as the process. */
#ifndef BENCH_MOCK_ANSWERS_H
#define BENCH_MOCK_ANSWERS_H

#include <stddef.h>

struct bytes {
    char *p;
    size_t n, cap;
};

/* What a stream is made of, each piece framed as one chunk. */
struct script {
    struct bytes opening, content, ending;
};

extern struct answers {
    struct bytes whole, refusal;
    struct script scripts[2]; /* without and with usage */
} answers;

/* Ends the process with a message. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

void bytes_add(struct bytes *b, const char *p, size_t n);
void bytes_free(struct bytes *b);

/* `path` is the body of the whole answer. */
void answers_make(const char *path);

#endif
