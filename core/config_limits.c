/* What a provider's entry says about calls that fail or have no room: its breaker, its queue. */
#include "config_read.h"

const struct field config_breaker_fields[] = {
    { .name = "failures",
      .type = FIELD_U32,
      .offset = offsetof(struct breaker_rules, failures),
      .fallback = "5",
      .min = 0,
      .max = 200,
      .help = "So many failures in a row open it; 0: nothing does." },
    { .name = "window",
      .type = FIELD_MS,
      .offset = offsetof(struct breaker_rules, window_ms),
      .fallback = "60s",
      .min = 1,
      .max = 3600e3,
      .help = "A failure so long after the last one begins a new row." },
    { .name = "open_for",
      .type = FIELD_MS,
      .offset = offsetof(struct breaker_rules, open_ms),
      .fallback = "10s",
      .min = 1,
      .max = 3600e3,
      .help = "Then one call probes." },
    { .name = NULL },
};

#define QUEUE_AT(member) .offset = offsetof(struct config_provider, member) - offsetof(struct config_provider, queue_ms)
const struct field config_queue_fields[] = {
    { .name = "wait",
      .type = FIELD_MS,
      QUEUE_AT(queue_ms),
      .fallback = "1s",
      .max = 60e3,
      .help = "For a place; then 503. off: nobody waits." },
    { .name = "length",
      .type = FIELD_U32,
      QUEUE_AT(queue_length),
      .fallback = "100",
      .min = 0,
      .max = 100000,
      .help = "So many requests may wait, over all workers." },
    { .name = NULL },
};
#undef QUEUE_AT
