/* Another file with the name of good. */
#define NAME "good"
#define OPTIONS { "other", WEIR_OPTION_STRING, 0, 0, NULL, 0, 0, NULL, "Another table." }
#include "variant.h"
