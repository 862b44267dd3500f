/* An option outside its struct. */
#define OPTIONS { "word", WEIR_OPTION_STRING, 0, 64, NULL, 0, 0, NULL, "Too far." }
#include "variant.h"
