/* Of a kind that nobody knows. */
#define KIND 9
#include "variant.h"
