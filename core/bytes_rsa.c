/* One signature: RSASSA-PKCS1-v1_5 with SHA-256. Apart from bytes.c because it is the only thing that reads keys. */
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "bytes.h"

static EVP_PKEY *read_key(struct weir_str pem)
{
    BIO *in = pem.n && pem.n < INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    BIO_free(in);
    if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

struct weir_str bytes_rsa_sha256(struct arena *a, struct weir_str pem, struct weir_str in)
{
    EVP_PKEY *key = read_key(pem);
    EVP_MD_CTX *context = key ? EVP_MD_CTX_new() : NULL;
    size_t n = key ? (size_t)EVP_PKEY_get_size(key) : 0;
    unsigned char *out = n ? arena_alloc(a, n) : NULL;
    bool is_signed = context && out && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                     EVP_DigestSign(context, out, &n, (const unsigned char *)in.p, in.n) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_signed ? (struct weir_str){ (const char *)out, n } : WEIR_NONE;
}
