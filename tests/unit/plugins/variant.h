/* The plugins that test_loader.c opens: each .c of this folder sets one thing otherwise and includes this. */
#include <weir/codec.h>

#ifndef KIND
#define KIND WEIR_KIND_STAGE
#endif
#ifndef NAME
#define NAME "variant"
#endif
#ifndef HEAD
#define HEAD { WEIR_MAGIC, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, (uint32_t)sizeof(struct weir_plugin), KIND }
#endif
#ifndef NOTE_HEAD
#define NOTE_HEAD HEAD
#endif
#ifndef CREATE
#define CREATE create
#endif

struct config {
    const char *word;
    int64_t count;
};

#ifndef OPTIONS
#define OPTIONS { "word", WEIR_OPTION_STRING, 0, 0, "hello", 0, 0, NULL, "A word." }
#endif
#ifndef OPTIONS_SIZE
#define OPTIONS_SIZE sizeof(struct config)
#endif

static const struct weir_option options[] = { OPTIONS, WEIR_OPTIONS_END };

#ifdef CODEC
CODEC
#else
__attribute__((unused)) static int create(const struct weir_host *host, struct weir_instance *inst, const void *config,
                                          void **self)
{
    (void)host;
    (void)inst;
    (void)config;
    *self = NULL;
    return 0;
}
static const struct weir_stage_ops ops = { .size = sizeof(ops), .create = CREATE };
#endif

#ifndef NO_SYMBOL
WEIR_PLUGIN = {
    .head = HEAD,
    .name = NAME,
    .version = "1.0.0",
    .summary = "For the loader's tests.",
    .options = options,
    .config_size = OPTIONS_SIZE,
#ifdef CODEC
    .codec = &codec,
#else
    .stage = &ops,
#endif
};
#else
const void *keeps_ops(void)
{
    return &ops + (options[0].offset & 0);
}
#endif

#ifndef NO_NOTE
__attribute__((section(".note.weir"), used, aligned(4))) static const struct weir_note weir_note = {
    5, sizeof(struct weir_head), 1, "weir", NOTE_HEAD
};
#endif
