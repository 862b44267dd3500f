/* The master process: supervises, and runs no code of plugins, no Lua, no YAML. */
#ifndef WEIR_CORE_MASTER_H
#define WEIR_CORE_MASTER_H

#include <stdbool.h>

struct master_start {
    const char *config_path;
    bool is_strict;          /* an unset env: or file: is an error */
    int workers;             /* -1: as configured; 0: everything in this process */
    char *const *argv;       /* of main(): for the binary upgrade */
    void (*on_ready)(const char *address); /* once the first generation serves; the first listener's address. NULL allowed */
};
/* The whole life of `weir serve`; an exit code. Errors go to stderr. */
int master_run(const struct master_start *start);

#endif
