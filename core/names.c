/* Tables of names in shared memory: append-only, the same number for the same name in every process.
 *
 * A name is written into a record that nobody else has, then published by one compare-and-swap of the next free index:
 * whoever loses looks at what the winner published and goes on behind it. So a process that dies at any instruction
 * leaves nothing half-made. The record it may have had in hand is noted in its slot and found by the next process
 * there.
 */
#include <stdio.h>

#include "shm_layout.h"

static uint32_t hash_text(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h;
}

/* Name and labels stand behind one another, each with a NUL. Too long: name_n is 0. */
void names_wish(struct name_record *wish, const char *name, const char *labels)
{
    size_t name_n = strlen(name), labels_n = strlen(labels);
    memset(wish, 0, sizeof *wish);
    if (name_n == 0 || name_n + labels_n + 2 > sizeof wish->text)
        return;
    memcpy(wish->text, name, name_n);
    memcpy(wish->text + name_n + 1, labels, labels_n);
    wish->name_n = (uint32_t)name_n;
    wish->hash = hash_text(wish->text, name_n + labels_n + 2);
}

const struct name_record *names_at(struct name_table *t, uint32_t i)
{
    uint32_t record = i < SHM_NAMES ? atomic_load_explicit(&t->index[i], memory_order_acquire) : 0;
    return record ? &t->records[record - 1] : NULL;
}

static bool is_published(struct name_table *t, uint32_t record)
{
    for (uint32_t i = 0; i < SHM_NAMES; i++) {
        uint32_t at = atomic_load(&t->index[i]);
        if (at == 0 || at == record + 1)
            return at != 0;
    }
    return false;
}

/* A record that nobody else uses; -1: none is left. */
static int take_draft(struct name_table *t)
{
    uint32_t noted = atomic_load(&t->draft[shm_own_index]);
    if (noted && !is_published(t, noted - 1))
        return (int)noted - 1;
    uint32_t n = atomic_fetch_add(&t->n_records, 1);
    if (n >= SHM_NAMES + SHM_ALL_SLOTS) {
        atomic_fetch_sub(&t->n_records, 1);
        return -1;
    }
    atomic_store(&t->draft[shm_own_index], n + 1);
    return (int)n;
}

static bool is_same(const struct name_record *r, const struct name_record *wish)
{
    return r->hash == wish->hash && r->name_n == wish->name_n && memcmp(r->text, wish->text, sizeof r->text) == 0;
}

/* The cells of entry i lie behind those of entry i - 1, so they too follow from the order of publication. */
static int publish(struct name_table *t, uint32_t i, const struct name_record *wish)
{
    int draft = take_draft(t);
    if (draft < 0)
        return -1;
    const struct name_record *before = i ? names_at(t, i - 1) : NULL;
    struct name_record *r = &t->records[draft];
    *r = *wish;
    r->base = before ? before->base + before->cells : 0;
    if (r->base + r->cells > METRIC_CELLS)
        return -1;
    uint32_t none = 0;
    return atomic_compare_exchange_strong(&t->index[i], &none, (uint32_t)draft + 1) ? 1 : 0;
}

int names_find_or_add(struct name_table *t, uint32_t max, const struct name_record *wish)
{
    if (wish->name_n == 0)
        return -1;
    for (uint32_t i = 0; i < max; i++) {
        const struct name_record *r = names_at(t, i);
        int published = r ? 0 : publish(t, i, wish);
        if (published < 0)
            return -1;
        if (published > 0)
            return (int)i;
        r = names_at(t, i);
        if (is_same(r, wish))
            return r->type == wish->type ? (int)i : -1;
    }
    return -1;
}
