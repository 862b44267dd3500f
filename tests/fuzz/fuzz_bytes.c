/* Fuzzing base64 and hexadecimal: what is accepted encodes back to the same characters (both decoders are strict, so
 * each value has one form, but for padding and case), and any bytes survive both ways. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../core/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static void check_base64(struct arena *a, struct weir_str in, enum bytes_base64 form)
{
    struct weir_str plain;
    require(bytes_base64_decode(a, bytes_base64_encode(a, in, form), form, &plain), "what was encoded decodes");
    require(weir_eq(plain, in), "to the same bytes");
    if (!bytes_base64_decode(a, in, form, &plain))
        return;
    struct weir_str again = bytes_base64_encode(a, plain, form);
    while (form == BYTES_BASE64_URL && in.n > again.n && in.p[in.n - 1] == '=')
        in.n--;
    require(weir_eq(again, in), "what decodes has one form");
}

static void check_hex(struct arena *a, struct weir_str in)
{
    char *plain = arena_alloc(a, in.n / 2);
    struct weir_str hex = bytes_hex(a, in.p, in.n / 2);
    require(bytes_hex_decode(plain, hex) && memcmp(plain, in.p, in.n / 2) == 0, "hexadecimal survives");
    if (!bytes_hex_decode(plain, in))
        return;
    hex = bytes_hex(a, plain, in.n / 2);
    for (size_t i = 0; i < in.n; i++)
        require(hex.p[i] == tolower((unsigned char)in.p[i]), "hexadecimal has one form but for case");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    struct arena *a = arena_new();
    struct weir_str in = { copy, size };
    check_base64(a, in, BYTES_BASE64_STD);
    check_base64(a, in, BYTES_BASE64_URL);
    check_hex(a, in);
    arena_free(a);
    free(copy);
    return 0;
}
