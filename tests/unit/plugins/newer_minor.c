/* Of a newer minor version. */
#define HEAD { WEIR_MAGIC, WEIR_ABI_MAJOR, WEIR_ABI_MINOR_NEWEST + 3, (uint32_t)sizeof(struct weir_plugin), WEIR_KIND_STAGE }
#include "variant.h"
