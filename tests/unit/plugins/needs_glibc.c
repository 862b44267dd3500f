/* Calls the C library, so that it asks for a version of it. */
#include <stdlib.h>
#define NAME "needs-glibc"
int length(void);
__attribute__((used)) int length(void)
{
    return abs(atoi(getenv("HOME")));
}
#include "variant.h"
