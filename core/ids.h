/* Ids that providers give out and that only they understand: of files, batches, responses, conversations. Where several providers
 * stand behind one place they leave weir with the provider's name behind them, "file-abc~openai", and come back without it; so the
 * id itself says whose it is, and no state is kept. Pure: no request here.
 */
#ifndef WEIR_CORE_IDS_H
#define WEIR_CORE_IDS_H

#include "config.h"
#include "json.h"

enum { IDS_MARK = '~' };

/* Whose id it is, and how long it is without the name; NULL: no provider's of these. */
const struct config_provider *id_owner(struct weir_str id, struct config_provider *const *among, uint32_t n, size_t *bare_n);

/* Goes through JSON as it comes, in pieces cut anywhere, or through lines of it, and copies it; before the end of each string
 * that is an id, on_id() may add to what was copied, or take away from it (the string's content begins at `start`, in `out`, if
 * both came in one piece). What is no JSON is copied as it is. */
struct id_scan {
    const char *const *members; /* whose values are ids: "id", "*_file_id"; NULL at the end */
    void (*on_id)(struct id_scan *s, struct weir_out *out, size_t start);
    void *arg;
    uint64_t objects[2]; /* by depth: an object, not an array */
    uint32_t depth, key_n;
    size_t start; /* of the string, in `out` */
    char key[40];
    bool is_lines; /* each line is JSON of its own, or none: events of a stream */
    bool is_lost; /* deeper than this goes: only copied from here on */
    bool in_string, is_escaped, is_key, is_id, expects_key, has_content;
};
void id_scan_feed(struct id_scan *s, struct weir_str in, struct weir_out *out);

#endif
