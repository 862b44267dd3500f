/* Memory for libcurl: blocks by size class, given back to a list and used again.
 *
 * libcurl takes and frees a few dozen blocks per call, one of them of 16 KiB, which the C library's allocator answers by
 * merging and splitting its heap each time (8 % of a call's CPU). Lists are per thread and bounded; what is larger than the
 * largest class goes to malloc.
 */
#ifndef WEIR_CORE_RECYCLER_H
#define WEIR_CORE_RECYCLER_H

#include <stddef.h>

void *recycler_malloc(size_t n);
void recycler_free(void *p);
void *recycler_realloc(void *p, size_t n);
void *recycler_calloc(size_t n, size_t size);
char *recycler_strdup(const char *s);

#endif
