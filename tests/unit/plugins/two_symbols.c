/* Exports more than weir_plugin. */
#define NAME "two-symbols"
__attribute__((visibility("default"))) int leaked_helper(void);
int leaked_helper(void)
{
    return 1;
}
#include "variant.h"
