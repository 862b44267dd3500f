/* The provider that needs no network and no key: a codec that speaks OpenAI's dialect to a listener of its own, inside
 * the worker. Each provider entry gets its own listener on first question; all of them end with the worker. */
#include "server.h"

#include <stdlib.h>

struct simulator_entry {
    int64_t port, max_connections, tokens;
    int64_t ttft_ms, pace_ms;
    const char *simulate;
};

struct simulator {
    const struct weir_host *host;
    struct weir_instance *inst;
    struct server *servers;
};

static const struct weir_option options[] = {
    { "port", WEIR_OPTION_INT, 0, offsetof(struct simulator_entry, port), "0", 0, 65535, NULL,
      "A fixed port of 127.0.0.1, shared by all workers; 0 lets the system choose one for each worker." },
    { "max_connections", WEIR_OPTION_INT, 0, offsetof(struct simulator_entry, max_connections), "8192", 1, 100000, NULL,
      "Connections that one worker's simulator holds at most." },
    { "tokens", WEIR_OPTION_INT, 0, offsetof(struct simulator_entry, tokens), "60", 0, KNOB_TOKENS_MAX, NULL,
      "Words of an answer, unless the request says otherwise." },
    { "ttft", WEIR_OPTION_DURATION, 0, offsetof(struct simulator_entry, ttft_ms), "300ms", 0, 3600000, NULL,
      "Time to the first token, unless the request says otherwise." },
    { "pace", WEIR_OPTION_DURATION, 0, offsetof(struct simulator_entry, pace_ms), "20ms", 0, 3600000, NULL,
      "Time between tokens, unless the request says otherwise." },
    { "simulate", WEIR_OPTION_STRING, 0, offsetof(struct simulator_entry, simulate), "", 0, 0, NULL,
      "Knobs that hold for every request of this entry, as in `status=429&header=retry-after:3`." },
    WEIR_OPTIONS_END
};

static int simulator_create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    struct simulator *sim = calloc(1, sizeof(*sim));
    if (!sim)
        return -1;
    sim->host = host;
    sim->inst = inst;
    *self = sim;
    return 0;
}

static void simulator_destroy(void *self)
{
    struct simulator *sim = self;
    while (sim->servers) {
        struct server *s = sim->servers;
        sim->servers = s->next;
        server_close(s);
    }
    free(sim);
}

static void set_defaults(struct simulator *sim, struct server *s, const struct simulator_entry *entry)
{
    struct buf problem = { 0 };
    knobs_init(&s->defaults);
    s->max_connections = 8192;
    if (!entry)
        return;
    s->max_connections = (uint32_t)entry->max_connections;
    s->defaults.tokens = entry->tokens;
    s->defaults.ttft = entry->ttft_ms;
    s->defaults.pace = entry->pace_ms;
    if (entry->simulate && !knobs_read(&s->defaults, entry->simulate, strlen(entry->simulate), &problem))
        sim->host->log(sim->inst, WEIR_LOG_ERROR, "simulate: %.*s", (int)problem.n, problem.p ? problem.p : "");
    buf_free(&problem);
}

static const char *simulator_endpoint(void *self, const void *options_of_entry)
{
    struct simulator *sim = self;
    const struct simulator_entry *entry = options_of_entry;
    for (struct server *s = sim->servers; s; s = s->next)
        if (s->entry == entry)
            return s->url;
    struct server *s = server_open(sim->host, sim->inst, entry ? (uint16_t)entry->port : 0);
    if (!s)
        return NULL;
    s->entry = entry;
    set_defaults(sim, s, entry);
    s->next = sim->servers;
    sim->servers = s;
    return s->url;
}

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .create = simulator_create,
    .destroy = simulator_destroy,
    .speaks = "openai",
    .endpoint = simulator_endpoint,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "simulator",
    .version = "1.0.0",
    .summary = "A model made of words, for trying weir without a key and for testing fallbacks.",
    .options = options,
    .config_size = sizeof(struct simulator_entry),
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
