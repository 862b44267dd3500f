/* Strings and UTF-8 in blocks of 64 bytes with AVX2, without a branch per escape or per character. The escapes are
 * found as in simdjson (Langdale and Lemire, "Parsing gigabytes of JSON per second"), UTF-8 is checked by three table
 * look-ups per byte (Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte"). */
#include "scan_avx2.h"

#if SCAN_HAS_AVX2

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define BLOCK 64

bool scan_avx2(void)
{
    static int answer = -1;
    if (answer < 0)
        answer = __builtin_cpu_supports("avx2") != 0;
    return answer;
}

struct block {
    __m256i low, high;
};

AVX2 static inline struct block load(const char *p)
{
    return (struct block){ _mm256_loadu_si256((const __m256i *)(const void *)p),
                           _mm256_loadu_si256((const __m256i *)(const void *)(p + 32)) };
}

AVX2 static inline uint64_t mask_of(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

AVX2 static inline uint64_t equal(struct block b, char c)
{
    __m256i wanted = _mm256_set1_epi8(c);
    return mask_of(_mm256_cmpeq_epi8(b.low, wanted), _mm256_cmpeq_epi8(b.high, wanted));
}

AVX2 static inline __m256i table(char c0, char c1, char c2, char c3, char c4, char c5, char c6, char c7, char c8,
                                 char c9, char c10, char c11, char c12, char c13, char c14, char c15)
{
    __m128i half = _mm_setr_epi8(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15);
    return _mm256_broadcastsi128_si256(half);
}

AVX2 static inline __m256i low_nibbles(__m256i v)
{
    return _mm256_and_si256(v, _mm256_set1_epi8(0x0f));
}

AVX2 static inline __m256i high_nibbles(__m256i v)
{
    return low_nibbles(_mm256_srli_epi16(v, 4));
}

/* --- Strings ------------------------------------------------------------------------------------------------------ */

AVX2 static inline __m256i special(__m256i v)
{
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    return _mm256_or_si256(_mm256_or_si256(control, quote), _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
}

AVX2 static inline bool is_clean(struct block b)
{
    return _mm256_testz_si256(_mm256_or_si256(special(b.low), special(b.high)), _mm256_set1_epi8(-1));
}

AVX2 static inline uint64_t control(struct block b)
{
    __m256i most = _mm256_set1_epi8(0x1f);
    return mask_of(_mm256_cmpeq_epi8(_mm256_min_epu8(b.low, most), b.low),
                   _mm256_cmpeq_epi8(_mm256_min_epu8(b.high, most), b.high));
}

/* 0 where the byte is one of "\/bfnrtu: a bit for each high nibble (2, 5, 6, 7) that goes with the low one. */
AVX2 static inline __m256i no_escape_letter(__m256i v)
{
    __m256i by_low = table(0, 0, 1 | 4 | 8, 0, 8, 8, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1);
    __m256i by_high = table(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
    __m256i both = _mm256_and_si256(_mm256_shuffle_epi8(by_low, low_nibbles(v)),
                                    _mm256_shuffle_epi8(by_high, high_nibbles(v)));
    return _mm256_cmpeq_epi8(both, _mm256_setzero_si256());
}

/* Which bytes stand behind a backslash that is not escaped itself. *carry: the next block's first byte does. */
static inline uint64_t find_escaped(uint64_t backslash, uint64_t *carry)
{
    const uint64_t even = 0x5555555555555555u;
    backslash &= ~*carry;
    uint64_t follows = backslash << 1 | *carry;
    uint64_t odd_starts = backslash & ~even & ~follows;
    uint64_t even_sequences = odd_starts + backslash;
    *carry = even_sequences < backslash;
    return (even ^ even_sequences << 1) & follows;
}

static inline bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* `units` marks the u of each \uXXXX; their digits may reach into the next block. */
static bool are_units_valid(const char *p, const char *end, uint64_t units)
{
    for (; units; units &= units - 1) {
        const char *u = p + __builtin_ctzll(units);
        if (end - u < 5 || !is_hex(u[1]) || !is_hex(u[2]) || !is_hex(u[3]) || !is_hex(u[4]))
            return false;
    }
    return true;
}

/* A block with specials in it: true if they are valid escapes and nothing else. */
AVX2 static inline bool is_escaped_block(const char *p, const char *end, struct block b, uint64_t *carry)
{
    uint64_t escaped = find_escaped(equal(b, '\\'), carry);
    uint64_t wrong = control(b) | (equal(b, '"') & ~escaped);
    wrong |= escaped & mask_of(no_escape_letter(b.low), no_escape_letter(b.high));
    return wrong == 0 && are_units_valid(p, end, escaped & equal(b, 'u'));
}

AVX2 struct scan_passed scan_avx2_string(const char *p, const char *end)
{
    __m256i seen = _mm256_setzero_si256();
    uint64_t carry = 0;
    bool has_escape = false;
    while (end - p >= BLOCK) {
        struct block b = load(p);
        uint64_t carry_before = carry;
        if ((carry || !is_clean(b)) && !is_escaped_block(p, end, b, &carry)) {
            carry = carry_before;
            break;
        }
        has_escape = has_escape || carry_before || equal(b, '\\');
        seen = _mm256_or_si256(seen, _mm256_or_si256(b.low, b.high));
        p += BLOCK;
    }
    return (struct scan_passed){ p - carry, has_escape, _mm256_movemask_epi8(seen) != 0 };
}

/* --- UTF-8 -------------------------------------------------------------------------------------------------------- */

/* What can be wrong with two bytes in a row; each table says which of these a nibble allows. */
#define TOO_SHORT (1 << 0)      /* a lead byte without what must follow */
#define TOO_LONG (1 << 1)       /* ASCII and then a continuation */
#define OVERLONG_3 (1 << 2)     /* E0 80..9F */
#define TOO_LARGE (1 << 3)      /* F4 90..BF, F5 and above */
#define SURROGATE (1 << 4)      /* ED A0..BF */
#define OVERLONG_2 (1 << 5)     /* C0, C1 */
#define TOO_LARGE_1000 (1 << 6) /* F5 and above with 80..8F */
#define OVERLONG_4 (1 << 6)     /* F0 80..8F */
#define TWO_CONTS ((char)(1 << 7)) /* two continuations: right only as the 3rd of 3 or the 3rd and 4th of 4 bytes */
#define CARRY (TOO_SHORT | TOO_LONG | TWO_CONTS)

AVX2 static inline __m256i wrong_pairs(__m256i v, __m256i before)
{
    __m256i by_first_high = table(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
                                  TWO_CONTS, TWO_CONTS, TWO_CONTS, TWO_CONTS, TOO_SHORT | OVERLONG_2, TOO_SHORT,
                                  TOO_SHORT | OVERLONG_3 | SURROGATE,
                                  TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4);
    __m256i by_first_low =
        table(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | TOO_LARGE,
              CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
              CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
              CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
              CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
              CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE, CARRY | TOO_LARGE | TOO_LARGE_1000,
              CARRY | TOO_LARGE | TOO_LARGE_1000);
    __m256i by_second_high = table(
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    return _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(by_first_high, high_nibbles(before)),
                                             _mm256_shuffle_epi8(by_first_low, low_nibbles(before))),
                            _mm256_shuffle_epi8(by_second_high, high_nibbles(v)));
}

/* The bytes that stand 1, 2, 3 before those of v; what precedes v is `earlier`. */
#define BEFORE(v, earlier, by) _mm256_alignr_epi8(v, _mm256_permute2x128_si256(earlier, v, 0x21), 16 - (by))

/* Not zero where v is wrong, as far as it and what precedes it tell. */
AVX2 static inline __m256i wrong_bytes(__m256i v, __m256i earlier)
{
    __m256i pairs = wrong_pairs(v, BEFORE(v, earlier, 1));
    /* Above 0x7f after the subtraction: the third byte of a sequence, or the fourth. These must be second conts. */
    __m256i third = _mm256_subs_epu8(BEFORE(v, earlier, 2), _mm256_set1_epi8((char)(0xe0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(BEFORE(v, earlier, 3), _mm256_set1_epi8((char)(0xf0 - 0x80)));
    __m256i must_follow = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(must_follow, pairs);
}

/* Is something left open at the end of v? */
AVX2 static inline __m256i open_end(__m256i v)
{
    const __m256i most =
        _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                         -1, -1, -1, -1, -1, (char)(0xf0 - 1), (char)(0xe0 - 1), (char)(0xc0 - 1));
    return _mm256_subs_epu8(v, most);
}

struct utf8_state {
    __m256i wrong;
    __m256i earlier;
    __m256i open;
};

AVX2 static inline void check_block(struct utf8_state *s, struct block b)
{
    if (_mm256_movemask_epi8(_mm256_or_si256(b.low, b.high)) == 0) {
        s->wrong = _mm256_or_si256(s->wrong, s->open);
        s->open = _mm256_setzero_si256();
    } else {
        s->wrong = _mm256_or_si256(s->wrong, wrong_bytes(b.low, s->earlier));
        s->wrong = _mm256_or_si256(s->wrong, wrong_bytes(b.high, b.low));
        s->open = open_end(b.high);
    }
    s->earlier = b.high;
}

AVX2 bool scan_avx2_utf8(const char *p, size_t n)
{
    struct utf8_state s = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256() };
    for (; n >= BLOCK; n -= BLOCK, p += BLOCK)
        check_block(&s, load(p));
    if (n > 0) {
        char rest[BLOCK] = { 0 };
        memcpy(rest, p, n);
        check_block(&s, load(rest));
    }
    __m256i wrong = _mm256_or_si256(s.wrong, s.open);
    return _mm256_testz_si256(wrong, wrong);
}

#else

/* Nothing for other machines; a translation unit must not be empty. */
typedef int scan_avx2_is_not_here;

#endif
