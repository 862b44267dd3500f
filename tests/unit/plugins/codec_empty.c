/* A codec that serves neither side. */
#define KIND WEIR_KIND_CODEC
#define NAME "codec-empty"
#define CODEC static int make(const struct weir_host *h, struct weir_instance *i, void **s) { (void)h; (void)i; (void)s; return 0; } \
static const struct weir_codec codec = { .size = sizeof(codec), .create = make };
#include "variant.h"
