/* A plausible JSON value for a JSON Schema. */
#ifndef SIMULATOR_SAMPLE_H
#define SIMULATOR_SAMPLE_H

#include "span.h"
#include "words.h"

/* hint: what a free string may say (the question), cut as needed. An absent schema gives an object of one word. */
void sample_write(struct buf *out, struct dice *d, struct span schema, const struct buf *hint);

#endif
