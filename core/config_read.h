/* What the files that read a configuration share (config*.c); nobody else includes this.
 *
 *      config.c            the order of things, the top level        config_errors.c   mistakes, suggestions
 *      config_values.c     scalars, env: and file:                   config_table.c    maps by table, plugin options
 *      config_files.c      the list of files, reading, copying       config_documents.c include
 *      config_plugins.c    finding and opening plugins               config_schema.c   JSON Schema
 *      config_providers.c  config_models.c  config_keys.c  config_routes.c  config_checks.c (what must fit together)
 *
 * Every function that can fail has told its mistake when it returns; reading goes on, so that all mistakes are told.
 */
#ifndef WEIR_CORE_CONFIG_READ_H
#define WEIR_CORE_CONFIG_READ_H

#include "config.h"
#include "config_files.h"
#include "yaml_tree.h"

struct reader {
    struct config *c;
    struct arena *a; /* c's */
    struct config_errors *errors;
    enum config_mode mode;
    const char *snapshot; /* NULL: files as they are */
    const char *library; /* config_plugin_dir(), as the checker saw it */
    const char **unavailable; /* inside a provider entry: where an unset reference is noted; else NULL */
    bool is_live; /* file: is read where it stands, not from a copy */
    const char *where; /* for messages: "provider \"openai\"" */
    const struct tree_node *root; /* all documents in one */
    struct config_files *files;
    uint32_t cap_stages, cap_plugin_files;
};

/* ---- mistakes (config_errors.c) ---- */
void mistake(struct reader *r, const struct tree_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void warning(struct reader *r, const struct tree_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void mistake_at(struct reader *r, struct config_place place, bool is_warning, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct config_place place_of_node(const struct tree_node *at);
struct tree_listener errors_listener(struct reader *r);
void errors_sort(struct config_errors *errors);
/* "; did you mean \"x\"?" for the nearest of the names offered, or "". */
struct suggestion {
    const char *word;
    char best[80];
    size_t distance;
};
void suggestion_begin(struct suggestion *s, const char *word);
void suggestion_offer(struct suggestion *s, const char *name);
const char *suggestion_text(struct reader *r, const struct suggestion *s);

/* ---- scalars (config_values.c): 0, or -1 after telling the mistake. name: for the message. ---- */
struct value_rule {
    const char *name;
    double min, max; /* both 0: no bounds */
    const char *choices; /* "a|b|c" */
};
enum value_result { VALUE_OK = 0, VALUE_BAD = -1, VALUE_UNSET = 1 };
/* The text with env: and file: resolved. UNSET: told as a warning (or as a mistake where nothing can go on without
 * it). */
enum value_result value_text(struct reader *r, const char *name, const struct tree_node *node, struct weir_str *text);
bool value_is_reference(const struct tree_node *node);
/* The node itself, or what its reference stands for; NULL after telling. A plain reference stands for a plain
 * scalar. */
const struct tree_node *value_resolve(struct reader *r, const char *name, const struct tree_node *node);
int value_int(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to);
int value_number(struct reader *r, const struct value_rule *rule, const struct tree_node *node, double *to);
int value_bool(struct reader *r, const struct value_rule *rule, const struct tree_node *node, bool *to);
int value_duration(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to);
int value_size(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int64_t *to);
int value_choice(struct reader *r, const struct value_rule *rule, const struct tree_node *node, int32_t *to);
int value_string(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char **to);
int value_list(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char *const **to,
               uint32_t *n);
int value_json(struct reader *r, const struct value_rule *rule, const struct tree_node *node, const char **to);
int value_file(struct reader *r, const struct value_rule *rule, const struct tree_node *node, bool with_folder,
               const char **to);
int value_strs(struct reader *r, const struct value_rule *rule, const struct tree_node *node,
               const struct weir_str **to, uint32_t *n);

/* ---- maps by table (config_table.c) ---- */
enum field_type {
    FIELD_STRING = 1, /* const char *; stays NULL if not said and without fallback */
    FIELD_BOOL, /* bool */
    FIELD_MS, /* uint32_t milliseconds */
    FIELD_U32, /* uint32_t */
    FIELD_I64, /* int64_t */
    FIELD_NUMBER, /* double */
    FIELD_SIZE32, /* uint32_t bytes */
    FIELD_SIZE64, /* uint64_t bytes */
    FIELD_CHOICE, /* int or enum */
    FIELD_FILE, /* const char *: path to open */
    FIELD_STRS, /* const struct weir_str *, and uint32_t at offset_n */
    FIELD_TABLE, /* a map with a table of its own */
    FIELD_OWN, /* read() */
    FIELD_ELSEWHERE, /* known here, read by other code */
};
struct field {
    const char *name;
    enum field_type type;
    size_t offset, offset_n;
    const char *fallback; /* as it would be written; NULL: what stands in the struct stays */
    double min, max;
    const char *choices;
    const struct field *table;
    void (*read)(struct reader *r, const struct tree_node *node, void *base);
    const char *schema; /* of OWN and ELSEWHERE: JSON Schema */
    const char *help;
};
/* Fills base from the map (NULL: fallbacks only). `also`: options that may stand in the same map. Unknown keys are
 * mistakes. */
void table_read(struct reader *r, const struct field *table, const struct weir_option *also,
                const struct tree_node *map, void *base);
/* A plugin's struct from its table; keys in `except` (NULL: none) belong to somebody else. at: where to tell what
 * is missing. */
void *options_read(struct reader *r, const struct plugin *p, const struct tree_node *map, const struct field *except,
                   const struct tree_node *at);
bool table_has(const struct field *table, struct weir_str name);
bool node_is(struct reader *r, const char *name, const struct tree_node *node, enum tree_type type);

/* An absolute path, from the folder of the file in which it was written (NULL: from the working directory). */
const char *path_absolute(struct reader *r, const char *written_in, const char *path);

/* ---- parts ---- */
bool documents_read(struct reader *r); /* fills root */
void plugins_read(struct reader *r, const struct tree_node *patterns);
struct plugin *plugins_find(struct reader *r, const struct tree_node *at, const char *name, uint32_t kind);
void catalogue_read(struct reader *r);
/* The entry with what the catalogue says beneath it; name: whose, NULL if it has none. at: the provider's name. */
const struct tree_node *catalogue_apply(struct reader *r, const struct tree_node *at, const struct tree_node *own,
                                        const char **name);
const char *catalogue_suggestion(struct reader *r, const char *name); /* "; did you mean \"x\"?", or "" */
void providers_read(struct reader *r, const struct tree_node *map);
void provider_keys_read(struct reader *r, struct config_provider *p, const struct tree_node *map);
void provider_auth_read(struct reader *r, const struct tree_node *node, void *base);
const char *header_name_lower(struct reader *r, const char *name);
void models_read(struct reader *r, const struct tree_node *map);
void facts_read(struct reader *r); /* the table of models */
uint32_t capabilities_read(struct reader *r, const char *name, const struct tree_node *node);
void keys_read(struct reader *r, const struct tree_node *list);
void secrets_read(struct reader *r, const struct tree_node *map);
struct config_stage **stages_read(struct reader *r, const struct tree_node *list, uint32_t *n);
void routes_read(struct reader *r, const struct tree_node *list);
/* `on_loss`, of a route and of everything. */
#define CONFIG_ON_LOSS_SCHEMA "{\"enum\":[\"default\",\"warn\",\"refuse\",\"allow\"]}"
enum config_on_loss on_loss_read(struct reader *r, const struct tree_node *node);
void checks_run(struct reader *r);
struct config_provider *config_find_provider(const struct config *c, struct weir_str name);

void list_models_read(struct reader *r, const struct tree_node *node, void *base);
extern const struct field config_breaker_fields[], config_queue_fields[], config_health_fields[];
extern const struct field config_fields[], config_provider_fields[], config_model_fields[], config_key_fields[],
    config_route_fields[], config_match_fields[], config_timeout_fields[];

#endif
