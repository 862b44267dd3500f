/* Access tokens that all workers share: one place per provider entry, with two copies of which one is current.
 *
 * Who holds the place's lease (a word with the time until which it holds) obtains a token, writes it into the copy that is not
 * current and publishes that with one store. A writer that dies leaves the current one as it was, and its lease ends by itself.
 * One that was stopped beyond its lease may write at the same time as the next: the check over the copy's bytes tells a torn
 * one, which then counts as none.
 */
#include <string.h>

#include "bytes.h"
#include "shm_layout.h"

static struct shm_token *place_at(int place)
{
    return place >= 0 && place < SHM_TOKENS ? &shm_area->tokens[place] : NULL;
}

int token_place(uint64_t id)
{
    for (uint32_t i = 0; id && i < SHM_TOKENS; i++) {
        uint32_t at = (uint32_t)((id + i) % SHM_TOKENS);
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&shm_area->tokens[at].id, &found, id) || found == id)
            return (int)at;
    }
    return -1;
}

static uint64_t check_of(const struct shm_token_copy *c, const char *bytes, size_t n)
{
    uint64_t sums[4] = { c->id, (uint64_t)c->obtained_ms, (uint64_t)c->expires_ms,
                         bytes_siphash(shm_area->hash_key, bytes, n) };
    return bytes_siphash(shm_area->hash_key, sums, sizeof sums);
}

int token_read(int place, uint64_t id, struct token_copy *to)
{
    struct shm_token *t = place_at(place);
    uint32_t current = t ? atomic_load_explicit(&t->current, memory_order_acquire) : 0;
    if (!current || current > 2)
        return -1;
    const struct shm_token_copy *c = &t->copies[current - 1];
    size_t n = c->n;
    if (n > SHM_TOKEN)
        return -1;
    memcpy(to->bytes, c->bytes, n);
    to->n = n;
    to->obtained_ms = c->obtained_ms;
    to->expires_ms = c->expires_ms;
    to->check = c->check;
    bool is_whole = c->id == id && check_of(c, to->bytes, n) == to->check;
    return is_whole && atomic_load(&t->rejected) != to->check ? 0 : -1;
}

bool token_lease(int place, int64_t now_ms, int64_t until_ms)
{
    struct shm_token *t = place_at(place);
    int64_t held = t ? atomic_load(&t->lease_ms) : 0;
    return !t || (held <= now_ms && atomic_compare_exchange_strong(&t->lease_ms, &held, until_ms));
}

void token_release(int place)
{
    struct shm_token *t = place_at(place);
    if (t)
        atomic_store(&t->lease_ms, 0);
}

void token_write(int place, uint64_t id, const struct token_copy *from)
{
    struct shm_token *t = place_at(place);
    if (!t || from->n > SHM_TOKEN)
        return;
    uint32_t next = atomic_load(&t->current) == 1 ? 2 : 1;
    struct shm_token_copy *c = &t->copies[next - 1];
    c->id = id;
    c->obtained_ms = from->obtained_ms;
    c->expires_ms = from->expires_ms;
    c->n = (uint32_t)from->n;
    memcpy(c->bytes, from->bytes, from->n);
    c->check = check_of(c, from->bytes, from->n);
    atomic_store_explicit(&t->current, next, memory_order_release);
}

void token_reject(int place, uint64_t check)
{
    struct shm_token *t = place_at(place);
    if (t)
        atomic_store(&t->rejected, check);
}
