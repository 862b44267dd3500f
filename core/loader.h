/* Plugins: what is in a shared object, whether it may be loaded, and the host's own copies of its tables.
 *
 * Everything that can be known without running the plugin's code is read from the file first (machine, ELF note, needed
 * libraries, who may write it). Only then is it opened, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND (no DEEPBIND under
 * sanitizers); nothing is ever closed. Loaded plugins live as long as the process.
 */
#ifndef WEIR_CORE_LOADER_H
#define WEIR_CORE_LOADER_H

#include <weir/codec.h>
#include <weir/credentials.h>

#include "feature_set.h"

struct plugin {
    struct plugin *next;
    const char *path;      /* what was opened */
    const char *origin;    /* where the configuration found it; the same unless it is a generation's copy */
    struct weir_plugin desc; /* host's copy, zero beyond what the plugin has */
    struct weir_stage_ops stage;
    struct weir_codec codec;
    struct weir_credentials credentials;
    struct codec_says says; /* the codec's table, by feature */
    uint32_t index;        /* 1, 2, … in this process: the breadcrumb's number; 0 is core */
    uint8_t sha256[32];    /* of the file */
};

/* NULL and a sentence in why (capacity n): which file, what is wrong, what to do. kind 0: any. */
struct plugin *plugin_open(const char *path, uint32_t kind, char *why, size_t n);
/* Reads the note without running anything. 0, or -1 and why. */
int plugin_peek(const char *path, struct weir_head *head, char *why, size_t n);
struct plugin *plugin_find(const char *name, uint32_t kind); /* among the loaded */
struct plugin *plugin_first(void);
struct plugin *plugin_by_index(uint32_t index);

#endif
