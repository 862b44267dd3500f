/* Duplicate keys. The set is open addressing over offsets. Its slots lie in segments, the first of 64 and each further
 * one as large as all before it: so it doubles without leaving an old table behind in the arena, and the next object
 * uses the segments again, but clears and pays for no more of them than it needs itself. */
#include "json_keys.h"

#include "bytes.h"
#include "text.h"

#define SLOTS_MIN 64u
#define SLOTS_MIN_BITS 6
#define SEGMENTS 16 /* 2^21 slots: three quarters of them are more keys than a document may have values */

struct json_key_set {
    uint32_t slots; /* in use now, a power of two */
    uint32_t *segments[SEGMENTS];
};

void json_keys_reset(struct json_keys *keys)
{
    keys->count = 0;
}

/* Is the key that stands in the document at p, up to its quote, `n` bytes `key` when decoded? The document was
 * validated that far. */
static bool key_is(const char *p, const char *key, size_t n)
{
    size_t i = 0;
    while (*p != '"') {
        char one[4] = { *p };
        size_t made = 1, taken = 1;
        if (*p == '\\') {
            /* 12 bytes are a pair of surrogates; the first half alone is looked at no further than its own 6. */
            size_t room = p[1] == 'u' && p[6] == '\\' && p[7] == 'u' ? 12 : 6;
            made = text_unescape_one(one, p, room, &taken);
        }
        if (n - i < made || memcmp(key + i, one, made) != 0)
            return false;
        i += made;
        p += taken;
    }
    return i == n;
}

static uint32_t *slot_at(const struct json_key_set *set, uint32_t slot)
{
    if (slot < SLOTS_MIN)
        return set->segments[0] + slot;
    unsigned bits = 31u - (unsigned)__builtin_clz(slot);
    return set->segments[bits - SLOTS_MIN_BITS + 1] + (slot - (1u << bits));
}

static uint32_t home_of(const struct json_key_set *set, const char *p, size_t n)
{
    return (uint32_t)bytes_hash(p, n) & (set->slots - 1);
}

static enum json_keys_result insert(struct json_key_set *set, const char *document, struct json_key key)
{
    uint32_t slot = home_of(set, key.p, key.n);
    for (uint32_t at; (at = *slot_at(set, slot)) != 0; slot = (slot + 1) & (set->slots - 1)) {
        if (key_is(document + at, key.p, key.n))
            return JSON_KEYS_DUPLICATE;
    }
    *slot_at(set, slot) = key.at;
    return JSON_KEYS_ADDED;
}

/* Makes segment `index`, of n slots, part of the table: free slots. */
static bool use_segment(struct json_key_set *set, struct arena *a, unsigned index, uint32_t n)
{
    if (!set->segments[index])
        set->segments[index] = arena_alloc(a, n * sizeof(uint32_t));
    if (!set->segments[index])
        return false;
    memset(set->segments[index], 0, n * sizeof(uint32_t));
    return true;
}

/* Inserts a key that is known to be new. Only its place was kept, so it has to be decoded again. */
static void insert_again(struct json_key_set *set, struct arena *a, const char *document, uint32_t at)
{
    struct weir_text text = { document + at, 0, WEIR_TEXT_BOTH };
    while (text.p[text.n] != '"') {
        bool is_escape = text.p[text.n] == '\\';
        text.form = is_escape ? WEIR_TEXT_ESCAPED : text.form;
        text.n += is_escape ? 2 : 1;
    }
    struct arena_mark mark = arena_mark(a);
    struct weir_str key = text_decode(a, &text);
    uint32_t slot = home_of(set, key.p, key.n);
    arena_rollback(a, mark);
    while (*slot_at(set, slot))
        slot = (slot + 1) & (set->slots - 1);
    *slot_at(set, slot) = at;
}

static bool grow(struct json_key_set *set, struct arena *a, const char *document, uint32_t count)
{
    unsigned index = 31u - (unsigned)__builtin_clz(set->slots) - SLOTS_MIN_BITS + 1;
    if (index == SEGMENTS || !use_segment(set, a, index, set->slots))
        return false;
    struct arena_mark mark = arena_mark(a);
    uint32_t *all = arena_alloc(a, count * sizeof *all), n = 0;
    for (uint32_t slot = 0; all && slot < set->slots; slot++) {
        uint32_t *at = slot_at(set, slot);
        if (*at)
            all[n++] = *at;
        *at = 0;
    }
    set->slots *= 2;
    for (uint32_t i = 0; i < n; i++)
        insert_again(set, a, document, all[i]);
    arena_rollback(a, mark);
    return !arena_failed(a);
}

static bool begin_set(struct json_keys *keys, struct arena *a, const char *document)
{
    if (!keys->set)
        keys->set = arena_zalloc(a, sizeof *keys->set);
    if (!keys->set || !use_segment(keys->set, a, 0, SLOTS_MIN))
        return false;
    keys->set->slots = SLOTS_MIN;
    for (uint32_t i = 0; i < keys->count; i++)
        insert(keys->set, document, keys->first[i]);
    return true;
}

static enum json_keys_result add_to_set(struct json_keys *keys, struct arena *a, const char *document,
                                        struct json_key key)
{
    uint32_t full = keys->set->slots / 4 * 3;
    if (keys->count >= full && !grow(keys->set, a, document, keys->count))
        return JSON_KEYS_NO_MEMORY;
    return insert(keys->set, document, key);
}

enum json_keys_result json_keys_add(struct json_keys *keys, struct arena *a, const char *document, struct json_key key)
{
    enum json_keys_result result = JSON_KEYS_ADDED;
    if (keys->count < JSON_KEYS_LINEAR) {
        for (uint32_t i = 0; i < keys->count; i++) {
            if (keys->first[i].n == key.n && memcmp(keys->first[i].p, key.p, key.n) == 0)
                return JSON_KEYS_DUPLICATE;
        }
        keys->first[keys->count] = key;
    } else if (keys->count == JSON_KEYS_LINEAR && !begin_set(keys, a, document)) {
        return JSON_KEYS_NO_MEMORY;
    } else {
        result = add_to_set(keys, a, document, key);
    }
    keys->count += result == JSON_KEYS_ADDED;
    return result;
}
