/* Connections spread over the workers: who holds more than an eighth above the mean leaves new ones to the others. */
#ifndef WEIR_CORE_BALANCE_H
#define WEIR_CORE_BALANCE_H

#include "worker.h"

/* Watches the listening sockets beside the edge, from when that listens. */
void balance_start(struct worker *w, const int *listen_fds, uint32_t n);
void balance_stop(void);

#endif
