/* Exports something, but no weir_plugin. */
#define NO_SYMBOL
#include "variant.h"
