/* The configuration as the rest of the core sees it: checked, resolved, complete. Made once per process by
 * config_load() and never changed; a new configuration is a new generation.
 *
 * Who owns what: one arena owns all of it; plugins' configuration structs live in it too.
 */
#ifndef WEIR_CORE_CONFIG_H
#define WEIR_CORE_CONFIG_H

#include "arena.h"
#include "breaker.h"
#include "budget.h"
#include "config_facts.h"
#include "edge.h"
#include "egress.h"
#include "loader.h"
#include "place.h"

struct tree_node;

/* Milliseconds; UINT32_MAX: not said here. 0: none. The smallest that is said wins. */
struct config_timeouts {
    uint32_t ms[WEIR_TIMEOUTS];
};
enum { CONFIG_UNSET = UINT32_MAX };

struct config_key_secret {
    struct weir_str value;
    const char *file; /* `file:PATH`: read again when it changes; NULL otherwise */
};

enum config_auth {
    CONFIG_AUTH_DIALECT = 0,
    CONFIG_AUTH_BEARER,
    CONFIG_AUTH_HEADER,
    CONFIG_AUTH_QUERY,
    CONFIG_AUTH_NONE,
    CONFIG_AUTH_SIGN, /* the codec signs */
    CONFIG_AUTH_TOKEN, /* a plugin gets tokens: config_provider.credentials */
};

struct config_provider {
    const char *name;
    const char *catalogue;       /* whose entry of the catalogue gave what it doesn't say itself; NULL: none */
    uint32_t index;
    struct config_place place;
    struct plugin *plugin;       /* of `dialect:` */
    struct plugin *codec;        /* who does the egress work: plugin, or the one it `speaks` */
    void *entry;                 /* plugin's own options, laid out by its table */
    const char *base_url;        /* "" if endpoint() tells it */
    struct config_key_secret *keys;
    uint32_t n_keys;
    enum config_auth auth;
    const char *auth_name;       /* header or query parameter */
    const char *auth_prefix;
    struct plugin *credentials;  /* of `auth: { NAME: {…} }`; NULL: none */
    void *credentials_config;
    uint64_t credentials_id;     /* the same for the same provider and settings, in every process */
    struct egress_origin origin;
    const struct http_header *set_headers; /* `headers:` set; dropped names have value.p NULL */
    uint32_t n_set_headers;
    const struct http_header *add_headers; /* `headers:` add: beside one of the same name */
    uint32_t n_add_headers;
    struct config_timeouts timeouts;
    uint32_t max_inflight;       /* 0: none */
    uint32_t queue_ms, queue_length; /* how long, and how many may wait for a place */
    struct breaker_rules breaker;
    struct budget_rules retry_budget;
    struct config_health {
        const char *path;        /* from the server's root; NULL: it is not checked */
        uint32_t every_ms, timeout_ms, failures;
    } health;
    uint32_t list_every_ms;      /* how often it is asked for its models (model_lists.c); 0: never */
    uint32_t retries;            /* of the same target; CONFIG_UNSET: not said here */
    const char *region;
    const char *prices;          /* under which name the table of models knows it; NULL: it doesn't */
    uint32_t lacks;              /* enum weir_capability: what it has not, whatever its dialect can say */
    const struct weir_str *tags;
    uint32_t n_tags;
    bool fetches_media;          /* `fetch_media: true`: URLs inside messages may be fetched for it */
    bool fetches_private;        /* `fetch_media: private`: also from addresses that are not public */
    bool shows_rate_limits;      /* its rate-limit headers pass to the client */
    const char *unavailable;     /* why its targets are skipped ("OPENAI_API_KEY is not set"); NULL: it can be used */
};

struct config_target {
    const char *name;            /* "openai/gpt-4o-mini" or "openai/" and a star */
    struct config_provider *provider;
    const char *model;           /* "gpt-4o-mini"; "*": the name that was asked for */
};

struct config_model {
    const char *name;            /* may end in '*' */
    struct config_place place;
    struct config_target *targets;
    uint32_t n_targets;
    struct config_timeouts timeouts;
    uint32_t max_inflight;       /* of each of its targets; 0: none */
    uint32_t retries;            /* as of a provider; said here it holds before the provider's */
    int64_t context_tokens, output_tokens; /* -1: not said */
    struct facts_prices price;   /* usd[FACTS_INPUT] -1: not said, the table's hold; else they replace all of the table's */
    uint32_t can, lacks;         /* enum weir_capability: said of it, before the table */
};

/* One use of a stage in a pipeline. */
struct config_stage {
    struct plugin *plugin;
    struct config_place place;
    void *config;                /* the plugin's struct, laid out by its table; NULL if it has none */
    uint32_t index;              /* over the whole configuration: one instance per worker and use */
    bool skips_quarantine;       /* on_quarantine: skip */
    const char *settings;        /* as JSON, references as they are written; NULL: none */
};

struct config_match {
    const char *path;            /* "/v1/" + '*' at the end, or exact; NULL: any */
    const char *method, *key, *team, *model; /* NULL: any; model and key may be patterns */
    const char *header, *header_value;       /* header: NULL: any; value NULL: present */
};

/* Who may finish a stream that broke after its client had seen part of it (rescue.c). */
enum config_rescue {
    CONFIG_RESCUE_DEFAULT = 0, /* any, where there is more than one target */
    CONFIG_RESCUE_OFF,
    CONFIG_RESCUE_SAME_MODEL,
    CONFIG_RESCUE_ANY,
};

/* When a second target is asked beside one whose answer is late (hedge.c). */
struct config_hedge {
    enum config_hedge_mode { CONFIG_HEDGE_DEFAULT = 0, CONFIG_HEDGE_OFF, CONFIG_HEDGE_ON } mode;
    uint32_t after_ms; /* 0: the target's own p95 */
    double share;      /* of a provider's calls; ON: as said */
};

enum config_unknown { CONFIG_UNKNOWN_PASS = 0, CONFIG_UNKNOWN_DROP, CONFIG_UNKNOWN_REFUSE };

/* What happens when a target's dialect can't say what a request uses (losses.c). */
enum config_on_loss {
    CONFIG_LOSS_UNSAID = 0, /* what is said further out */
    CONFIG_LOSS_DEFAULT, /* warn; refuse what changes the meaning */
    CONFIG_LOSS_WARN,
    CONFIG_LOSS_REFUSE,
    CONFIG_LOSS_ALLOW,
};

struct config_route {
    const char *name;            /* `name:` or its path pattern */
    uint32_t index;
    struct config_place place;
    struct config_match match;
    struct config_stage **stages; /* after entry's, in order */
    uint32_t n_stages;
    struct config_timeouts timeouts;
    uint32_t retries;            /* before the model's and the provider's */
    bool is_open;                /* `open: true` */
    bool usage_as_asked;
    enum config_unknown unknown_fields;
    enum config_on_loss on_loss;
    enum config_rescue rescue;
    struct config_hedge hedge;
    uint32_t n_calls;            /* choices that may be made by as many calls (fanout.c); 0: none */
    struct config_provider **raw; /* `raw:`: relayed to one of these as it is; n_raw 0: an ordinary route */
    uint32_t n_raw;
};

/* `secrets:`: what scripts and plugins may send, by name, without seeing it. */
struct config_secret {
    struct weir_str name, value;
};

/* What copies for other models may hold in a worker (mirror.c). */
struct config_mirrors {
    uint32_t most, answer_bytes, total_ms;
    uint64_t bytes;
};

struct config {
    struct arena *arena;
    const char *path;            /* of the main file */
    char hash[65];               /* SHA-256 over all that was read, hex */
    const char *const *listen;   /* "127.0.0.1:8080", "[::1]:8080", "unix:/path"; NULL at the end */
    const char *admin;           /* path of the unix socket */
    const char *state_dir;
    const char *user;            /* NULL: stay */
    const char *name;
    uint32_t workers;            /* 0: all in one process */
    uint32_t watchdog_ms, shutdown_delay_ms, drain_ms, stage_wait_ms;
    struct edge_limits limits;
    struct config_mirrors mirrors;
    struct config_timeouts timeouts;
    uint32_t keepalive_ms;       /* silence in a stream before a comment; 0: none */
    uint32_t keepalive_first_ms; /* the same before the first token; 0: off */
    int log_level;
    enum config_on_loss on_loss; /* where a route says nothing */
    struct config_provider **providers;
    uint32_t n_providers;
    struct config_model **models;
    uint32_t n_models;
    struct weir_key *keys;
    struct weir_str *key_secrets; /* of those that sign; beside keys */
    uint32_t n_keys;
    struct config_stage **entry;
    uint32_t n_entry;
    struct config_route **routes;
    uint32_t n_routes;
    struct config_stage **stages; /* all uses, by index */
    uint32_t n_stages;
    struct facts_table *facts;   /* NULL: there is no table of models */
    const struct tree_node *catalogue; /* a map, by name; NULL: there is none */
    struct config_secret *secrets;
    uint32_t n_secrets;
    const char *const *plugin_files; /* every plugin of this configuration, resolved */
    uint32_t n_plugin_files;
    struct config_files *files;  /* everything that was read, for config_snapshot() */
};

/* All mistakes of a configuration, in file order. */
struct config_error {
    struct config_place place;
    bool is_warning;
    const char *text; /* one sentence and, where there is one, a suggestion */
};
struct config_errors {
    struct config_error *list;
    uint32_t n, n_errors; /* n_errors without warnings */
};

/* Where the program finds what it ships: plugins/, providers/, lua/, policies/. $WEIR_LIB if set (tests), else
 * beside the program (build/), else <prefix>/lib/weir. */
const char *config_plugin_dir(void);

/* Opens every plugin that stands in this folder of config_plugin_dir(), "providers" or "plugins". */
void config_open_shipped(const char *folder);

enum config_mode {
    CONFIG_NORMAL = 0,
    CONFIG_STRICT = 1,   /* an unset env: or file: is an error */
};

/* Reads, checks, resolves, loads the plugins. NULL if there is any error; errors are filled in either case (arena of
 * their own, freed by config_errors_free). snapshot: the gen-N folder to take every file from, NULL: as written. */
struct config *config_load(const char *path, const char *snapshot, enum config_mode mode, struct config_errors *errors);
/* What weir brings along, without a configuration: the table of models, the catalogue of providers. */
struct config *config_shipped(void);
void config_errors_print(const struct config_errors *errors, int fd);
void config_errors_free(struct config_errors *errors);
void config_free(struct config *c);

/* Where the admin socket of a weir with this configuration is: reads `admin` and `state` only, loads no plugin, and
 * works while the rest of the file is wrong. 0, or -1 and why. */
int config_admin_path(const char *path, char *buf, size_t n, char *why, size_t why_n);

/* Copies the configuration file(s), files that options name, plugins and lua/ of a checked configuration into
 * folder, so that config_load(path, folder) in another process reads only from there. 0, or -1 and why. */
int config_snapshot(const struct config *c, const char *folder, char *why, size_t n);

/* The JSON Schema of the configuration, made from the tables that read it, with the options of the plugins that
 * stand in config_plugin_dir(). malloc'ed; NULL without memory. */
char *config_schema(void);

/* '*' at the end of a pattern matches anything; elsewhere it is itself. */
bool config_matches(const char *pattern, struct weir_str s);

#endif
