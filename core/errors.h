/* Every error code that weir itself gives a client, with status, cause and remedy: `weir errors` prints it. */
#ifndef WEIR_CORE_ERRORS_H
#define WEIR_CORE_ERRORS_H

struct error_entry {
    const char *code;
    int status;
    const char *cause, *remedy;
};
extern const struct error_entry error_table[]; /* ended by code NULL */

#endif
