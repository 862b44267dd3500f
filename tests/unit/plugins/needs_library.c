/* Needs a library beside libc. */
#include <math.h>
#define NAME "needs-library"
double root_of(double x);
__attribute__((used)) double root_of(double x)
{
    return cos(x);
}
#include "variant.h"
