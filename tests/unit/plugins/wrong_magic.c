/* A wrong magic number. */
#define HEAD { 0x12345678, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, (uint32_t)sizeof(struct weir_plugin), WEIR_KIND_STAGE }
#include "variant.h"
