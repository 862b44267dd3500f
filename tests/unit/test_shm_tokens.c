/* Access tokens in shared memory: leases, what a writer leaves that died half way, tokens that were refused. */
#include "../../core/bytes.h"
#include "../../core/shm_layout.h"
#include "test.h"

static struct token_copy copy_of(const char *text, int64_t expires_ms)
{
    struct token_copy c = { .obtained_ms = 1000, .expires_ms = expires_ms, .n = strlen(text) };
    memcpy(c.bytes, text, c.n);
    return c;
}

static bool holds(int place, uint64_t id, const char *text)
{
    struct token_copy got;
    return token_read(place, id, &got) == 0 && got.n == strlen(text) && memcmp(got.bytes, text, got.n) == 0;
}

TEST(the_same_id_has_the_same_place)
{
    int a = token_place(7), b = token_place(7 + SHM_TOKENS);
    CHECK(a >= 0 && b >= 0 && a != b && token_place(7) == a && token_place(7 + SHM_TOKENS) == b);
    CHECK_INT(token_place(0), -1);
}

TEST(one_at_a_time_obtains)
{
    int place = token_place(100);
    CHECK(token_lease(place, 1000, 2000));
    CHECK(!token_lease(place, 1999, 3000));
    CHECK(token_lease(place, 2000, 3000)); /* who held it is dead, or too slow */
    token_release(place);
    CHECK(token_lease(place, 2000, 3000));
    CHECK(token_lease(-1, 0, 1)); /* without a place each for itself */
}

TEST(a_token_is_read_as_it_was_written)
{
    int place = token_place(200);
    struct token_copy got, first = copy_of("first", 5000), second = copy_of("second", 6000);
    CHECK_INT(token_read(place, 200, &got), -1);
    token_write(place, 200, &first);
    CHECK(holds(place, 200, "first"));
    token_write(place, 200, &second);
    CHECK(holds(place, 200, "second"));
    CHECK_INT(token_read(place, 200, &got), 0);
    CHECK(got.obtained_ms == 1000 && got.expires_ms == 6000);
    CHECK_INT(token_read(place, 201, &got), -1); /* somebody else's */
}

TEST(a_writer_that_dies_leaves_the_old_token)
{
    int place = token_place(300);
    struct token_copy first = copy_of("first", 5000), second = copy_of("second", 5000), got;
    token_write(place, 300, &first);
    struct shm_token *t = &shm_area->tokens[place];
    struct shm_token_copy *next = &t->copies[atomic_load(&t->current) == 1 ? 1 : 0];
    memcpy(next->bytes, "seco", 4); /* dead here: nothing was published */
    next->n = 6;
    CHECK(holds(place, 300, "first"));
    token_write(place, 300, &second);
    CHECK(holds(place, 300, "second"));
    shm_area->tokens[place].copies[atomic_load(&t->current) - 1].bytes[2] = 'X'; /* two wrote at once */
    CHECK_INT(token_read(place, 300, &got), -1);
    shm_area->tokens[place].copies[atomic_load(&t->current) - 1].n = 1u << 30;
    CHECK_INT(token_read(place, 300, &got), -1);
}

TEST(a_refused_token_is_none)
{
    int place = token_place(400);
    struct token_copy first = copy_of("first", 5000), second = copy_of("second", 5000), got;
    token_write(place, 400, &first);
    CHECK_INT(token_read(place, 400, &got), 0);
    token_reject(place, got.check);
    CHECK_INT(token_read(place, 400, &got), -1);
    token_write(place, 400, &second);
    CHECK(holds(place, 400, "second"));
}

TEST(a_signature_needs_an_rsa_key)
{
    struct arena *a = arena_new();
    CHECK_INT(bytes_rsa_sha256(a, WEIR_LIT("no key"), WEIR_LIT("text")).n, 0);
    CHECK_INT(bytes_rsa_sha256(a, WEIR_NONE, WEIR_LIT("text")).n, 0);
    arena_free(a);
}

TEST(all_places_can_be_taken)
{
    int n = 0;
    while (token_place(1000 + (uint64_t)n) >= 0 && n < 2 * SHM_TOKENS)
        n++;
    CHECK(n < SHM_TOKENS);
    CHECK(token_place(7) >= 0);
}
