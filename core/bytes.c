/* Encodings, digests and hashes. The digests are libcrypto's; SipHash is our own, since libcrypto's is a MAC behind an
 * interface that costs more than the hash. The only state is this process's random key for hash tables. */
#include "bytes.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

/* --- Base64 ------------------------------------------------------------------------------------------------------- */

static const char std_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode_rest(char *to, const unsigned char *p, size_t n, enum bytes_base64 form)
{
    const char *digits = form == BYTES_BASE64_URL ? url_digits : std_digits;
    unsigned bits = (unsigned)p[0] << 16 | (n == 2 ? (unsigned)p[1] << 8 : 0);
    *to++ = digits[bits >> 18];
    *to++ = digits[bits >> 12 & 63];
    if (n == 2)
        *to++ = digits[bits >> 6 & 63];
    else if (form == BYTES_BASE64_STD)
        *to++ = '=';
    if (form == BYTES_BASE64_STD)
        *to++ = '=';
    return to;
}

struct weir_str bytes_base64_encode(struct arena *a, struct weir_str in, enum bytes_base64 form)
{
    const char *digits = form == BYTES_BASE64_URL ? url_digits : std_digits;
    const unsigned char *p = (const unsigned char *)in.p;
    char *out = in.n < SIZE_MAX / 2 ? arena_alloc(a, (in.n + 2) / 3 * 4 + 1) : NULL;
    if (!out)
        return WEIR_NONE;
    char *to = out;
    size_t left = in.n;
    for (; left >= 3; left -= 3, p += 3) {
        unsigned bits = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = digits[bits >> 6 & 63];
        *to++ = digits[bits & 63];
    }
    if (left)
        to = encode_rest(to, p, left, form);
    *to = '\0';
    return (struct weir_str){ out, (size_t)(to - out) };
}

static int digit_value(unsigned char c, enum bytes_base64 form)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (form == BYTES_BASE64_URL ? '-' : '+'))
        return 62;
    return c == (form == BYTES_BASE64_URL ? '_' : '/') ? 63 : -1;
}

/* The length without padding; false if the padding is wrong. */
static bool strip_padding(struct weir_str *in, enum bytes_base64 form)
{
    size_t padding = 0;
    while (padding < in->n && padding < 3 && in->p[in->n - 1 - padding] == '=')
        padding++;
    bool is_padded = padding > 0 || form == BYTES_BASE64_STD;
    if (is_padded && (padding > 2 || in->n % 4 != 0))
        return false;
    in->n -= padding;
    return in->n % 4 != 1;
}

/* Four digits at a time; the last group may have fewer, and what it has too many bits must be zero. */
static bool decode_group(char **to, const char *p, size_t n, enum bytes_base64 form)
{
    unsigned bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < n ? digit_value((unsigned char)p[i], form) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
    }
    for (size_t i = 0; i + 1 < n; i++, bits = bits << 8 & 0xffffff)
        *(*to)++ = (char)(bits >> 16);
    return n == 4 || bits == 0;
}

bool bytes_base64_decode(struct arena *a, struct weir_str in, enum bytes_base64 form, struct weir_str *out)
{
    if (!strip_padding(&in, form))
        return false;
    char *plain = arena_alloc(a, in.n / 4 * 3 + 4), *to = plain;
    if (!plain)
        return false;
    for (size_t i = 0; i < in.n; i += 4) {
        if (!decode_group(&to, in.p + i, in.n - i < 4 ? in.n - i : 4, form))
            return false;
    }
    *to = '\0';
    *out = (struct weir_str){ plain, (size_t)(to - plain) };
    return true;
}

/* --- Hexadecimal -------------------------------------------------------------------------------------------------- */

void bytes_hex_encode(char *to, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = p;
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 0xf];
    }
}

struct weir_str bytes_hex(struct arena *a, const void *p, size_t n)
{
    char *hex = n < SIZE_MAX / 2 ? arena_alloc(a, 2 * n + 1) : NULL;
    if (!hex)
        return WEIR_NONE;
    bytes_hex_encode(hex, p, n);
    hex[2 * n] = '\0';
    return (struct weir_str){ hex, 2 * n };
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool bytes_hex_decode(void *to, struct weir_str hex)
{
    unsigned char *out = to;
    if (hex.n % 2 != 0)
        return false;
    for (size_t i = 0; i < hex.n; i += 2) {
        int high = hex_value((unsigned char)hex.p[i]), low = hex_value((unsigned char)hex.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* --- Digests, comparison, random ---------------------------------------------------------------------------------- */

bool bytes_sha256(struct weir_str in, uint8_t digest[BYTES_SHA256_SIZE])
{
    static EVP_MD *method; /* fetched once: looking it up costs more than hashing a key */
    if (!method)
        method = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (method && EVP_Digest(in.p, in.n, digest, NULL, method, NULL) == 1)
        return true;
    memset(digest, 0, BYTES_SHA256_SIZE);
    return false;
}

bool bytes_hmac_sha256(struct weir_str key, struct weir_str in, uint8_t digest[BYTES_SHA256_SIZE])
{
    /* A NULL key would mean "the key of before". */
    const char *key_bytes = key.n ? key.p : "";
    unsigned length = 0;
    if (key.n <= INT32_MAX && HMAC(EVP_sha256(), key_bytes, (int)key.n, (const unsigned char *)(in.n ? in.p : ""), in.n,
                                   digest, &length))
        return true;
    memset(digest, 0, BYTES_SHA256_SIZE);
    return false;
}

bool bytes_equal(struct weir_str a, struct weir_str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

int bytes_random(void *to, size_t n)
{
    for (char *p = to; n > 0;) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
    return 0;
}

/* --- SipHash-1-3 (Aumasson and Bernstein) ------------------------------------------------------------------------- */

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->b = rotate(s->b, 13) ^ s->a;
    s->a = rotate(s->a, 32);
    s->c += s->d;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotate(s->b, 17) ^ s->c;
    s->c = rotate(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

static inline uint64_t load_word(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

uint64_t bytes_siphash(const uint64_t key[2], const void *p, size_t n)
{
    struct sip s = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u };
    const unsigned char *bytes = p;
    size_t left = n;
    for (; left >= 8; left -= 8, bytes += 8)
        sip_word(&s, load_word(bytes));
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)bytes[i] << (8 * i);
    sip_word(&s, last);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t bytes_hash(const void *p, size_t n)
{
    static uint64_t key[2];
    static bool has_key;
    if (!has_key) {
        /* Without random bytes (a kernel before 3.17) the hash still works, but can be predicted. */
        if (bytes_random(key, sizeof key) != 0)
            memset(key, 0x5a, sizeof key);
        has_key = true;
    }
    return bytes_siphash(key, p, n);
}
