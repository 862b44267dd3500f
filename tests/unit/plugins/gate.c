/* A stage that says it finds out who calls, that nothing may pass it unseen, and that it can't do without a setting. */
#include <weir/plugin.h>

struct gate {
    const char *door;
};

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    (void)host;
    (void)inst;
    (void)config;
    *self = NULL;
    return 0;
}

static const struct weir_option options[] = {
    { "door", WEIR_OPTION_STRING, WEIR_OPTION_REQUIRED, offsetof(struct gate, door), NULL, 0, 0, NULL, "Which door." },
    WEIR_OPTIONS_END,
};

static const struct weir_stage_ops ops = { .size = sizeof(ops),
                                           .create = create,
                                           .flags = WEIR_STAGE_GUARD | WEIR_STAGE_SETS_PRINCIPAL };

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "gate",
    .version = "1.0.0",
    .summary = "For the tests of the configuration.",
    .options = options,
    .config_size = sizeof(struct gate),
    .stage = &ops,
};
WEIR_NOTE(WEIR_KIND_STAGE);
