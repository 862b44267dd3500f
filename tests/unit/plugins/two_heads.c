/* The note says one thing, the descriptor another. */
#define NOTE_HEAD { WEIR_MAGIC, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, (uint32_t)sizeof(struct weir_plugin), WEIR_KIND_CODEC }
#include "variant.h"
