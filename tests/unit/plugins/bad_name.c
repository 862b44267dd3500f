/* A name that is none. */
#define NAME "Bad Name"
#include "variant.h"
