/* A stage that takes an option of each type. */
#include "settings.h"

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    (void)host;
    (void)inst;
    (void)config;
    *self = NULL;
    return 0;
}

#define AT(member) offsetof(struct settings, member)
static const struct weir_option options[] = {
    { "text", WEIR_OPTION_STRING, 0, AT(text), NULL, 0, 0, NULL, "A text." },
    { "count", WEIR_OPTION_INT, 0, AT(count), "7", 1, 10, NULL, "A number." },
    { "share", WEIR_OPTION_NUMBER, 0, AT(share), "0.5", 0, 1, NULL, "A share." },
    { "is_on", WEIR_OPTION_BOOL, 0, AT(is_on), "true", 0, 0, NULL, "On or off." },
    { "wait", WEIR_OPTION_DURATION, 0, AT(wait_ms), "15s", 0, 60000, NULL, "A time." },
    { "bytes", WEIR_OPTION_SIZE, 0, AT(bytes), "64KiB", 0, 0, NULL, "A size." },
    { "mode", WEIR_OPTION_CHOICE, 0, AT(mode), "auto", 0, 0, "off|on|auto", "A choice." },
    { "secret", WEIR_OPTION_SECRET, 0, AT(secret), NULL, 0, 0, NULL, "A secret." },
    { "names", WEIR_OPTION_LIST, 0, AT(names), "[a, b]", 0, 0, NULL, "Names." },
    { "json", WEIR_OPTION_JSON, 0, AT(json), NULL, 0, 0, NULL, "Anything." },
    { "file", WEIR_OPTION_FILE, WEIR_OPTION_WITH_FOLDER, AT(file), NULL, 0, 0, NULL, "A file." },
    WEIR_OPTIONS_END,
};

static const struct weir_stage_ops ops = { .size = sizeof(ops), .create = create };

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "settings",
    .version = "1.0.0",
    .summary = "For the tests of the configuration.",
    .options = options,
    .config_size = sizeof(struct settings),
    .stage = &ops,
};
WEIR_NOTE(WEIR_KIND_STAGE);
