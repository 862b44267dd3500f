/* The conformance kit: is a plugin what it says it is?
 *
 * A stage is put into a weir of its own (verify_stage.c). A codec is called directly, without sockets (verify_codec.c), in a
 * child process, so that a crash or a loop is a finding and not the end.
 */
#ifndef WEIR_CORE_VERIFY_H
#define WEIR_CORE_VERIFY_H

#include "loader.h"

struct verify {
    const char *path;     /* of the shared object, absolute */
    const char *settings; /* of a stage, as JSON; "null": defaults */
    const char *tests;    /* folder of a codec's pairs; NULL: tests/ beside the file */
    const char *sdk;      /* folder of the SDK: what stages are asked stands there */
    int seconds;          /* of mutated input */
    bool writes;          /* write .canon files that are missing */
    const struct plugin *plugin;
    uint32_t passed, failed;
};

/* Says on stdout what was done and found, ends with a line "N passed, N failed". 0: nothing failed. */
int verify_plugin(struct verify *v);

/* ---- for its own files ---- */
void verify_ok(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
void verify_bad(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
void verify_stage(struct verify *v);
void verify_codec(struct verify *v);
/* The whole of a file, NUL behind it, malloc'ed; NULL with errno. */
char *verify_read(const char *path, size_t *n);

#endif
