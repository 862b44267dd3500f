/* What test_config.c lets the core fill: one option of each type. */
#ifndef WEIR_TESTS_SETTINGS_H
#define WEIR_TESTS_SETTINGS_H

#include <weir/plugin.h>

struct settings {
    const char *text;
    int64_t count;
    double share;
    bool is_on;
    int64_t wait_ms;
    int64_t bytes;
    int32_t mode;
    const char *secret;
    const char *const *names;
    const char *json;
    const char *file;
};

#endif
