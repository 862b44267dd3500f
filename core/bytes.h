/* Encodings, digests, comparison in constant time, random bytes and the keyed hash for hash tables. */
#ifndef WEIR_CORE_BYTES_H
#define WEIR_CORE_BYTES_H

#include <weir/base.h>

#include "arena.h"

#define BYTES_SHA256_SIZE 32

enum bytes_base64 {
    BYTES_BASE64_STD, /* + and /, padded */
    BYTES_BASE64_URL, /* - and _, not padded */
};

/* Into the arena, NUL behind it; empty without memory. */
struct weir_str bytes_base64_encode(struct arena *a, struct weir_str in, enum bytes_base64 form);
/* Strict: only this form's alphabet, no white space, no bits left over. Padding must be right in STD and may be missing
 * or right in URL. false: not base64, or no memory (arena_failed). */
bool bytes_base64_decode(struct arena *a, struct weir_str in, enum bytes_base64 form, struct weir_str *out);

/* Lower case. `to` has room for 2 * n characters; no NUL is written. */
void bytes_hex_encode(char *to, const void *p, size_t n);
struct weir_str bytes_hex(struct arena *a, const void *p, size_t n);
/* Either case; `to` has room for hex.n / 2 bytes. false: odd length or another character. */
bool bytes_hex_decode(void *to, struct weir_str hex);

/* false only if libcrypto fails (out of memory): then `digest` is all zero. */
bool bytes_sha256(struct weir_str in, uint8_t digest[BYTES_SHA256_SIZE]);
bool bytes_hmac_sha256(struct weir_str key, struct weir_str in, uint8_t digest[BYTES_SHA256_SIZE]);

/* RSASSA-PKCS1-v1_5 with SHA-256, into the arena; empty: the PEM is no RSA key, or no memory. */
struct weir_str bytes_rsa_sha256(struct arena *a, struct weir_str pem, struct weir_str in);

/* Takes the same time wherever they differ; a different length is told at once. */
bool bytes_equal(struct weir_str a, struct weir_str b);

/* From the kernel. 0, or -1 with errno: then nothing in `to` may be used. */
int bytes_random(void *to, size_t n);

/* SipHash-1-3: for hash tables whose keys come from strangers. Not a message authentication code. */
uint64_t bytes_siphash(const uint64_t key[2], const void *p, size_t n);
/* The same with a random key of this process. */
uint64_t bytes_hash(const void *p, size_t n);

#endif
