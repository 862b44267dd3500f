/* Looking at many bytes of text at once: 16 with SSE2, which every x86-64 has, else 8 in a 64-bit word.
 *
 * A mask has one bit group per byte, the first byte lowest. With words only the lowest group set is exact (what lies
 * above it may be a carry), so a mask is asked for its first byte and then the next chunk begins behind that byte.
 */
#ifndef WEIR_CORE_SCAN_H
#define WEIR_CORE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(WEIR_SCAN_SCALAR)

#include <emmintrin.h>

#define SCAN_WIDTH 16

typedef __m128i scan_chunk;
typedef unsigned scan_mask;

static inline scan_chunk scan_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void scan_store(char *p, scan_chunk c)
{
    _mm_storeu_si128((__m128i *)(void *)p, c);
}

static inline size_t scan_first(scan_mask mask)
{
    return (size_t)__builtin_ctz(mask);
}

static inline scan_mask scan_backslash(scan_chunk c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(c, _mm_set1_epi8('\\')));
}

/* What can't stand in a JSON string as it is: quote, backslash, control characters. */
static inline scan_mask scan_special(scan_chunk c)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(c, _mm_set1_epi8(0x1f)), c);
    __m128i quote = _mm_cmpeq_epi8(c, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(c, _mm_set1_epi8('\\'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)));
}

/* Bytes from 0x80 up. */
static inline scan_mask scan_high(scan_chunk c)
{
    return (unsigned)_mm_movemask_epi8(c);
}

static inline scan_chunk scan_or(scan_chunk a, scan_chunk b)
{
    return _mm_or_si128(a, b);
}

static inline scan_chunk scan_zero(void)
{
    return _mm_setzero_si128();
}

#else

#define SCAN_WIDTH 8

typedef uint64_t scan_chunk;
typedef uint64_t scan_mask;

#define SCAN_ONES 0x0101010101010101u
#define SCAN_HIGHS 0x8080808080808080u

static inline scan_chunk scan_load(const char *p)
{
    uint64_t c;
    memcpy(&c, p, sizeof c);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    c = __builtin_bswap64(c);
#endif
    return c;
}

static inline void scan_store(char *p, scan_chunk c)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    c = __builtin_bswap64(c);
#endif
    memcpy(p, &c, sizeof c);
}

static inline size_t scan_first(scan_mask mask)
{
    return (size_t)__builtin_ctzll(mask) / 8;
}

static inline scan_mask scan_equal(scan_chunk c, unsigned char byte)
{
    uint64_t x = c ^ (SCAN_ONES * byte);
    return (x - SCAN_ONES) & ~x & SCAN_HIGHS;
}

static inline scan_mask scan_backslash(scan_chunk c)
{
    return scan_equal(c, '\\');
}

static inline scan_mask scan_special(scan_chunk c)
{
    uint64_t control = (c - SCAN_ONES * 0x20) & ~c & SCAN_HIGHS;
    return control | scan_equal(c, '"') | scan_equal(c, '\\');
}

static inline scan_mask scan_high(scan_chunk c)
{
    return c & SCAN_HIGHS;
}

static inline scan_chunk scan_or(scan_chunk a, scan_chunk b)
{
    return a | b;
}

static inline scan_chunk scan_zero(void)
{
    return 0;
}

#endif

static inline bool scan_is_special(char byte)
{
    return (unsigned char)byte < 0x20 || byte == '"' || byte == '\\';
}

#endif
