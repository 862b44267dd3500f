/* Every file that a configuration is made of: read through here, so that it can be digested and copied into a
 * generation's folder, and found again there instead of where it was written. */
#ifndef WEIR_CORE_CONFIG_FILES_H
#define WEIR_CORE_CONFIG_FILES_H

#include "arena.h"

struct config_files;

/* snapshot: a folder made by files_copy(), or NULL. NULL and why: its list can't be read. */
struct config_files *files_new(struct arena *a, const char *snapshot, char *why, size_t n);

/* The content of a text file (at most 8 MiB). p NULL and why: it can't be read. path: absolute. */
struct weir_str files_read(struct config_files *f, const char *path, char *why, size_t n);
/* What belongs to a file besides itself: nothing, its neighbours, everything below its folder. */
enum files_with { FILES_ALONE = 0, FILES_NEIGHBOURS, FILES_BELOW };
/* Where to open a file that somebody else will open (a plugin, a policy). NULL: it does not exist. */
const char *files_locate(struct config_files *f, const char *path, enum files_with with);
bool files_exist(struct config_files *f, const char *path); /* nothing is remembered */
/* The names that match, sorted; NULL at the end. */
const char *const *files_glob(struct config_files *f, const char *pattern, uint32_t *n);
/* Where a shared object goes in a copy: "plugins/auth.so". */
void files_name_copy(struct config_files *f, const char *path, const char *copy);

/* What stood in "name" when the copy was made; NULL: this is no copy. */
const char *files_told(const struct config_files *f, const char *name);

/* SHA-256 over the paths and contents of everything, in hex with its end; of a copy: that of what was copied. -1: something
 * can't be read, or the copy has other contents than what was checked. `lua`: a further folder; NULL: none. */
int files_digest(struct config_files *f, const char *lua, char hex[65], char *why, size_t n);
/* Copies everything, `lua` as lua/, and tells the pairs of name and value (NULL at the end) to whoever opens the
 * copy. */
int files_copy(const struct config_files *f, const char *folder, const char *lua, const char *const *tell, char *why,
               size_t n);

#endif
