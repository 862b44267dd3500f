/* Files and folders: read whole, walked, copied. All bounded; 0, or -1 and a sentence in why (capacity n). */
#ifndef WEIR_CORE_COPYING_H
#define WEIR_CORE_COPYING_H

#include "arena.h"

enum { COPYING_TEXT_MAX = 8 << 20, COPYING_FILE_MAX = 256 << 20 };
/* A folder that belongs to a configuration: 64 MiB, 4096 files, 8 levels. Names that begin with '.' are left out. */
enum { COPYING_FOLDER_MAX = 64 << 20, COPYING_COUNT_MAX = 4096, COPYING_DEPTH_MAX = 8 };

/* Which files of a folder: all below it, or only its own that rules read (.lua, .json, .yaml, .yml), since the folder holds
 * other things too, growing logs among them. */
enum copying_which { COPYING_ALL_BELOW, COPYING_OWN_DATA };

struct weir_str copying_read(struct arena *a, const char *path, size_t max, char *why, size_t n); /* p NULL: why */
int copying_write(const char *path, struct weir_str bytes, char *why,
                  size_t n); /* by rename, readable by the owner only */
int copying_file(const char *from, const char *to, char *why, size_t n);
int copying_folder(const char *from, const char *to, enum copying_which which, char *why, size_t n);
/* Each of them, sorted; name is relative to the folder. fn returns 0, anything else ends the walk. */
typedef int (*copying_fn)(void *arg, const char *name, const char *path);
int copying_walk(const char *folder, enum copying_which which, copying_fn fn, void *arg, char *why, size_t n);

#endif
