/* A stage without create. */
#define CREATE NULL
#include "variant.h"
