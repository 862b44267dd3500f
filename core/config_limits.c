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

static void read_path(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "path", .min = 1, .max = 1000 };
    const char *path;
    if (value_string(r, &rule, node, &path))
        return;
    if (path[0] == '/' && !path[strcspn(path, " \t\r\n#")])
        ((struct config_health *)base)->path = path;
    else
        mistake(r, node, "%s: health_check: path begins with a slash, as in /health", r->where);
}

const struct field config_health_fields[] = {
    { .name = "path",
      .type = FIELD_OWN,
      .read = read_path,
      .schema = "{\"type\":\"string\"}",
      .help = "What is asked for with GET, from the server's root; any answer below 500 is well. Not said: nothing is." },
    { .name = "every",
      .type = FIELD_MS,
      .offset = offsetof(struct config_health, every_ms),
      .fallback = "30s",
      .min = 100,
      .max = 3600e3,
      .help = "Once by one worker for all." },
    { .name = "timeout",
      .type = FIELD_MS,
      .offset = offsetof(struct config_health, timeout_ms),
      .fallback = "5s",
      .min = 10,
      .max = 60e3,
      .help = "For the head of the answer." },
    { .name = "failures",
      .type = FIELD_U32,
      .offset = offsetof(struct config_health, failures),
      .fallback = "2",
      .min = 1,
      .max = 200,
      .help = "So many in a row, and its targets are passed by until a check is well." },
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

/* How often a provider is asked for its models. */
void list_models_read(struct reader *r, const struct tree_node *node, void *base)
{
    enum { EVERY_MS = 10 * 60 * 1000 };
    const struct value_rule rule = { .name = "list_models", .min = 100, .max = 24 * 3600e3 };
    bool is_scalar = node->type == TREE_SCALAR;
    int64_t every_ms = is_scalar && weir_is(node->text, "true") ? EVERY_MS : 0;
    bool is_said = every_ms || (is_scalar && weir_is(node->text, "false"));
    if (is_said || value_duration(r, &rule, node, &every_ms) == 0)
        ((struct config_provider *)base)->list_every_ms = (uint32_t)every_ms;
}
