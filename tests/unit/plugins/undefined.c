/* Uses a function that nothing has. */
#define NAME "undefined"
int nobody_has_this(void);
int uses(void);
__attribute__((used)) int uses(void)
{
    return nobody_has_this();
}
#include "variant.h"
