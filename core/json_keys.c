/* Duplicate keys. The set is open addressing over offsets; its tables of each size are kept, so an object pays for the
 * size it needs itself and not for that of a larger one before it. All memory is the reader's arena's. */
#include "json_keys.h"

#include "bytes.h"
#include "text.h"

#define SLOTS_MIN 64u
#define SIZES 17 /* 64 << 16 slots hold more keys than a document may have values */

struct json_key_set {
    unsigned size;           /* index of the table in use */
    uint32_t *tables[SIZES]; /* 0: a free slot */
};

void json_keys_reset(struct json_keys *keys)
{
    keys->count = 0;
}

/* Is the key that stands in the document at p, up to its quote, `n` bytes `key` when decoded? The document was validated
 * that far. */
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

static enum json_keys_result insert(uint32_t *table, uint32_t mask, const char *document, struct json_key key)
{
    uint32_t slot = (uint32_t)bytes_hash(key.p, key.n) & mask;
    for (; table[slot]; slot = (slot + 1) & mask) {
        if (key_is(document + table[slot], key.p, key.n))
            return JSON_KEYS_DUPLICATE;
    }
    table[slot] = key.at;
    return JSON_KEYS_ADDED;
}

static uint32_t *use_table(struct json_key_set *set, struct arena *a, unsigned size)
{
    size_t bytes = ((size_t)SLOTS_MIN << size) * sizeof(uint32_t);
    if (!set->tables[size])
        set->tables[size] = arena_alloc(a, bytes);
    set->size = size;
    return set->tables[size] ? memset(set->tables[size], 0, bytes) : NULL;
}

/* Puts the key at `at` into a table where it isn't yet: it must be decoded again, since only its place was kept. */
static bool move_key(uint32_t *table, uint32_t mask, struct arena *a, const char *document, uint32_t at)
{
    struct weir_text text = { document + at, 0, WEIR_TEXT_BOTH };
    while (text.p[text.n] != '"') {
        bool is_escape = text.p[text.n] == '\\';
        text.form = is_escape ? WEIR_TEXT_ESCAPED : text.form;
        text.n += is_escape ? 2 : 1;
    }
    struct arena_mark mark = arena_mark(a);
    struct weir_str key = text_decode(a, &text);
    uint32_t slot = (uint32_t)bytes_hash(key.p, key.n) & mask;
    arena_rollback(a, mark);
    while (table[slot])
        slot = (slot + 1) & mask;
    table[slot] = at;
    return !arena_failed(a);
}

static bool grow(struct json_key_set *set, struct arena *a, const char *document)
{
    uint32_t *old = set->tables[set->size], slots = SLOTS_MIN << set->size;
    uint32_t *table = use_table(set, a, set->size + 1);
    for (uint32_t i = 0; table && i < slots; i++) {
        if (old[i] && !move_key(table, slots * 2 - 1, a, document, old[i]))
            return false;
    }
    return table != NULL;
}

static bool begin_set(struct json_keys *keys, struct arena *a, const char *document)
{
    if (!keys->set)
        keys->set = arena_zalloc(a, sizeof *keys->set);
    uint32_t *table = keys->set ? use_table(keys->set, a, 0) : NULL;
    for (uint32_t i = 0; table && i < keys->count; i++)
        insert(table, SLOTS_MIN - 1, document, keys->first[i]);
    return table != NULL;
}

static enum json_keys_result add_to_set(struct json_keys *keys, struct arena *a, const char *document,
                                        struct json_key key)
{
    struct json_key_set *set = keys->set;
    uint32_t slots = SLOTS_MIN << set->size;
    if (keys->count >= slots / 4 * 3) {
        if (set->size + 1 == SIZES || !grow(set, a, document))
            return JSON_KEYS_NO_MEMORY;
        slots *= 2;
    }
    return insert(set->tables[set->size], slots - 1, document, key);
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
