/* Writes what definitions.c knows to standard output, for `make lua-definitions` and the test that compares. */
#include "../engine.h"

int main(void)
{
    return definitions_write(stdout) == 0 && fflush(stdout) == 0 ? 0 : 1;
}
