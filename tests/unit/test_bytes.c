/* Encodings and digests against the vectors of their standards. */
#include "../../core/bytes.h"

#include "test.h"

static struct arena *arena;

static void check_base64(const char *plain, const char *std, const char *url)
{
    struct weir_str out;
    CHECK_STR(bytes_base64_encode(arena, weir_cstr(plain), BYTES_BASE64_STD).p, std);
    CHECK_STR(bytes_base64_encode(arena, weir_cstr(plain), BYTES_BASE64_URL).p, url);
    CHECK(bytes_base64_decode(arena, weir_cstr(std), BYTES_BASE64_STD, &out));
    CHECK(weir_is(out, plain));
    CHECK(bytes_base64_decode(arena, weir_cstr(url), BYTES_BASE64_URL, &out));
    CHECK(weir_is(out, plain));
}

/* RFC 4648, section 10. */
TEST(base64_vectors)
{
    arena = arena_new();
    check_base64("", "", "");
    check_base64("f", "Zg==", "Zg");
    check_base64("fo", "Zm8=", "Zm8");
    check_base64("foo", "Zm9v", "Zm9v");
    check_base64("foob", "Zm9vYg==", "Zm9vYg");
    check_base64("fooba", "Zm9vYmE=", "Zm9vYmE");
    check_base64("foobar", "Zm9vYmFy", "Zm9vYmFy");
    check_base64("\xfb\xff\xbf", "+/+/", "-_-_");
    arena_free(arena);
}

TEST(base64_refuses_what_is_none)
{
    static const char *const bad[] = { "Z",    "Zg",       "Zg=",  "Zg===", "=",       "====",
                                       "Zh==", "Zm9=",     "Zm 8", "Zm8=\n", "Zm8=Zg==", "-_-_",
                                       "Z===", "Zm9vYg=a", "Zm9v=", "\xc3\xa9" "8=" };
    struct weir_str out;
    arena = arena_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!bytes_base64_decode(arena, weir_cstr(bad[i]), BYTES_BASE64_STD, &out));
    CHECK(!bytes_base64_decode(arena, WEIR_LIT("+/+/"), BYTES_BASE64_URL, &out));
    CHECK(!bytes_base64_decode(arena, WEIR_LIT("Zh"), BYTES_BASE64_URL, &out));
    CHECK(!bytes_base64_decode(arena, WEIR_LIT("Zg="), BYTES_BASE64_URL, &out));
    CHECK(bytes_base64_decode(arena, WEIR_LIT("Zg=="), BYTES_BASE64_URL, &out));
    CHECK(!arena_failed(arena));
    arena_free(arena);
}

TEST(base64_round_trip)
{
    unsigned char plain[300];
    arena = arena_new();
    CHECK_INT(bytes_random(plain, sizeof plain), 0);
    for (size_t n = 0; n <= sizeof plain; n++) {
        struct weir_str in = { (char *)plain, n }, out;
        enum bytes_base64 form = n % 2 ? BYTES_BASE64_STD : BYTES_BASE64_URL;
        CHECK(bytes_base64_decode(arena, bytes_base64_encode(arena, in, form), form, &out));
        CHECK(weir_eq(in, out));
    }
    arena_free(arena);
}

TEST(hex)
{
    arena = arena_new();
    CHECK_STR(bytes_hex(arena, "\x00\x9f\xff", 3).p, "009fff");
    unsigned char out[3];
    CHECK(!bytes_hex_decode(out, WEIR_LIT("00 9fF")));
    CHECK(bytes_hex_decode(out, WEIR_LIT("009FfF")));
    CHECK(memcmp(out, "\x00\x9f\xff", 3) == 0);
    CHECK(!bytes_hex_decode(out, WEIR_LIT("009")));
    CHECK(!bytes_hex_decode(out, WEIR_LIT("0g")));
    CHECK(bytes_hex_decode(out, WEIR_NONE));
    arena_free(arena);
}

TEST(sha256_vectors)
{
    uint8_t digest[BYTES_SHA256_SIZE];
    arena = arena_new();
    CHECK(bytes_sha256(WEIR_LIT("abc"), digest));
    CHECK_STR(bytes_hex(arena, digest, sizeof digest).p,
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(bytes_sha256(WEIR_NONE, digest));
    CHECK_STR(bytes_hex(arena, digest, sizeof digest).p,
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    arena_free(arena);
}

/* RFC 4231, cases 1, 2 and 6, and an empty key. */
TEST(hmac_vectors)
{
    uint8_t digest[BYTES_SHA256_SIZE];
    char key[131];
    arena = arena_new();
    memset(key, 0x0b, 20);
    CHECK(bytes_hmac_sha256((struct weir_str){ key, 20 }, WEIR_LIT("Hi There"), digest));
    CHECK_STR(bytes_hex(arena, digest, sizeof digest).p,
              "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(bytes_hmac_sha256(WEIR_LIT("Jefe"), WEIR_LIT("what do ya want for nothing?"), digest));
    CHECK_STR(bytes_hex(arena, digest, sizeof digest).p,
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    CHECK(bytes_hmac_sha256((struct weir_str){ key, sizeof key },
                            WEIR_LIT("Test Using Larger Than Block-Size Key - Hash Key First"), digest));
    CHECK_STR(bytes_hex(arena, digest, sizeof digest).p,
              "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    CHECK(bytes_hmac_sha256(WEIR_NONE, WEIR_NONE, digest));
    CHECK_STR(bytes_hex(arena, digest, sizeof digest).p,
              "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    arena_free(arena);
}

TEST(equality)
{
    CHECK(bytes_equal(WEIR_LIT("secret"), WEIR_LIT("secret")));
    CHECK(!bytes_equal(WEIR_LIT("secret"), WEIR_LIT("secres")));
    CHECK(!bytes_equal(WEIR_LIT("secret"), WEIR_LIT("secre")));
    CHECK(bytes_equal(WEIR_NONE, WEIR_LIT("")));
}

/* Made with the hasher of Rust's standard library, which is SipHash-1-3 with a key of zeros; the input is 0, 1, 2 ...
 * */
TEST(siphash_vectors)
{
    static const uint64_t key[2];
    static const struct {
        size_t n;
        uint64_t hash;
    } want[] = {
        { 0, 0xd1fba762150c532cu },  { 1, 0x68a914128e01e473u },  { 7, 0x2f098ab0c751325au },
        { 8, 0xead411e67ebe2eeau },  { 9, 0x75927f9d95124362u },  { 15, 0xf30eb725bb91c9eau },
        { 16, 0x8972188433a5c5b7u }, { 31, 0x169739443111d49bu }, { 63, 0x385d3e39e5f37359u },
    };
    unsigned char in[64];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECK_INT(bytes_siphash(key, in, want[i].n), want[i].hash);
}

TEST(hash_depends_on_every_byte)
{
    char text[40];
    memset(text, 'k', sizeof text);
    for (size_t n = 1; n < sizeof text; n++) {
        uint64_t before = bytes_hash(text, n);
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 1;
            CHECK(bytes_hash(text, n) != before);
            text[i] ^= 1;
        }
        CHECK(bytes_hash(text, n) == before);
    }
}
