/* A stage with nothing wrong. */
#define NAME "good"
#include "variant.h"
