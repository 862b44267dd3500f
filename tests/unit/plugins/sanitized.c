/* As if built with AddressSanitizer: it calls the runtime's entry. */
#define NAME "sanitized"
void __asan_init(void);
void enter(void);
__attribute__((used)) void enter(void)
{
    __asan_init();
}
#include "variant.h"
