/* The keys of one object that were read so far, to refuse the second of its kind.
 *
 * Up to 16 are compared one by one; more go into a hash set with a random seed, in which a key is only its offset in
 * the document, 4 bytes, so that an object of a million members costs no more memory than its own text.
 */
#ifndef WEIR_CORE_JSON_KEYS_H
#define WEIR_CORE_JSON_KEYS_H

#include <weir/base.h>

#include "arena.h"

#define JSON_KEYS_LINEAR 16

struct json_key {
    const char *p; /* decoded */
    uint32_t n;
    uint32_t at; /* where it stands in the document: first byte behind the quote, never 0 */
};

struct json_key_set;

struct json_keys {
    uint32_t count;
    struct json_key first[JSON_KEYS_LINEAR];
    struct json_key_set *set; /* made with the 17th key; kept for the next object */
};

enum json_keys_result { JSON_KEYS_ADDED, JSON_KEYS_DUPLICATE, JSON_KEYS_NO_MEMORY };

/* For the next object; what was allocated is used again. */
void json_keys_reset(struct json_keys *keys);
enum json_keys_result json_keys_add(struct json_keys *keys, struct arena *a, const char *document, struct json_key key);

#endif
