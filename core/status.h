/* `weir status`: how the JSON of /status is written and shown. */
#ifndef WEIR_CORE_STATUS_H
#define WEIR_CORE_STATUS_H

#include <stdio.h>

/* A JSON string, quotes and escapes included; bytes that are no UTF-8 become U+FFFD. NULL writes "". */
void status_put_string(FILE *out, const char *s);
/* Shows what GET /status answered to a person. */
void status_print(const char *json, FILE *out);

#endif
