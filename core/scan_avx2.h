/* The two loops that see every byte of a long prompt, for machines with AVX2. Callers have a way of their own for
 * others: these only ever say "clean up to here". */
#ifndef WEIR_CORE_SCAN_AVX2_H
#define WEIR_CORE_SCAN_AVX2_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(WEIR_SCAN_SCALAR) && !defined(WEIR_SCAN_NO_AVX2)
#define SCAN_HAS_AVX2 1
#else
#define SCAN_HAS_AVX2 0
#endif

#if SCAN_HAS_AVX2

/* Does this machine have it? Asked once. */
bool scan_avx2(void);

struct scan_passed {
    const char *p; /* everything before is the valid inside of a JSON string, but for UTF-8; not within an escape */
    bool has_escape;
    bool has_high; /* bytes from 0x80 up were seen */
};

/* Passes over the inside of a JSON string in blocks of 64 bytes, up to a block with its end or anything invalid. */
struct scan_passed scan_avx2_string(const char *p, const char *end);

/* Is all of it valid UTF-8? */
bool scan_avx2_utf8(const char *p, size_t n);

#endif

#endif
