/* Of an ABI that does not exist yet. */
#define HEAD { WEIR_MAGIC, WEIR_ABI_MAJOR + 1, 0, (uint32_t)sizeof(struct weir_plugin), WEIR_KIND_STAGE }
#include "variant.h"
