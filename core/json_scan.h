/* The lowest level of the JSON reader: from the first byte behind a string's quote to the quote that ends it. */
#ifndef WEIR_CORE_JSON_SCAN_H
#define WEIR_CORE_JSON_SCAN_H

#include <stdbool.h>

struct json_scan {
    const char *at; /* the quote that ends the string, or where the error is */
    bool has_escape;
    const char *error; /* NULL if the string is valid: escapes, control characters, UTF-8 */
};

/* Reads from p, at most to `end`. */
struct json_scan json_scan_string(const char *p, const char *end);

#endif
