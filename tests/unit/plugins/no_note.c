/* Without the note. */
#define NO_NOTE
#include "variant.h"
