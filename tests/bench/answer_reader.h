/* answer_reader.h: reads HTTP/1.1 answers for the load generator, piece by piece, and counts what is in them.
 *
 * The reader owns no memory: it is part of the connection that it serves and reader_start() begins the next answer.
 * Events are counted by their mark, a byte that the mock puts once into every content event and nowhere else, so that the
 * count holds whatever the dialect, the chunking and the spacing of the JSON are. */
#ifndef BENCH_ANSWER_READER_H
#define BENCH_ANSWER_READER_H

#include <stdbool.h>
#include <stddef.h>

#define READER_MARK '~'

enum reader_state { READER_HEAD, READER_BODY, READER_CHUNK_SIZE, READER_CHUNK_DATA, READER_CHUNK_END, READER_TRAILER };

struct reader {
    enum reader_state state;
    char line[8192]; /* the head, or the line being collected */
    size_t line_len;
    int status;
    bool is_chunked, closes, is_done;
    size_t left; /* bytes of the body or chunk still to come */
    size_t body_len, marks;
    char tail[64]; /* the last bytes of the body */
    size_t tail_len;
    const char *expected; /* whole answers: the body's bytes, or NULL */
    size_t expected_len;
    bool is_as_expected;
};

void reader_start(struct reader *r, const char *expected, size_t expected_len);

/* Takes n bytes; returns how many belong to this answer (fewer than n: the rest came after its end) or -1: not HTTP. */
long reader_take(struct reader *r, const char *p, size_t n);

/* True if the last bytes of the body hold a dialect's mark of the end. */
bool reader_saw_stream_end(const struct reader *r);

#endif
