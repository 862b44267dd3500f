/* Where something stands in a configuration file. */
#ifndef WEIR_CORE_PLACE_H
#define WEIR_CORE_PLACE_H

#include <stdint.h>

struct config_place {
    const char *file; /* absolute, as the user knows it (never a snapshot's copy) */
    uint32_t line, column; /* from 1 */
};

#endif
