/* Active health checks: a GET now and then to a provider that wishes it, by one worker for the whole machine. */
#ifndef WEIR_CORE_HEALTH_H
#define WEIR_CORE_HEALTH_H

#include "worker.h"

/* In a worker that serves; providers without `health_check` cost nothing. -1: out of memory. */
int health_start(struct worker *w);
void health_stop(void); /* cancels what is underway; may be called without a start */
/* So many checks in a row failed that nobody should be sent there. */
bool health_is_down(const struct config_provider *p);

#endif
