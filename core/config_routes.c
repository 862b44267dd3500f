/* Pipelines (uses of stages with their settings) and routes (who passes which pipeline). */
#include <stdio.h>
#include <stdlib.h>

#include "config_read.h"

/* ---- one use of a stage ---- */

static bool remember_use(struct reader *r, struct config_stage *use)
{
    struct config *c = r->c;
    if (c->n_stages == r->cap_stages) {
        uint32_t cap = r->cap_stages ? r->cap_stages * 2 : 16;
        struct config_stage **bigger = arena_zalloc(r->a, cap * sizeof(void *));
        if (!bigger)
            return false;
        if (c->n_stages)
            memcpy(bigger, c->stages, c->n_stages * sizeof(void *));
        c->stages = bigger;
        r->cap_stages = cap;
    }
    use->index = c->n_stages;
    c->stages[c->n_stages++] = use;
    return true;
}

static const struct field core_settings[] = {
    { .name = "on_quarantine",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"enum\":[\"refuse\",\"skip\"]}",
      .help = "When the stage is in quarantine after crashes: refuse requests, or pass by it." },
    { .name = NULL },
};

/* `on_quarantine` belongs to the core: the plugin never sees it. */
static const struct tree_node *take_core_settings(struct reader *r, struct config_stage *use,
                                                  const struct tree_node *settings)
{
    const struct value_rule rule = { .name = "on_quarantine", .choices = "refuse|skip" };
    const struct tree_node *value = tree_get(settings, "on_quarantine");
    struct tree_node *rest = value ? arena_alloc(r->a, sizeof *rest) : NULL;
    struct tree_member *members = rest ? arena_alloc(r->a, (settings->n + 1) * sizeof *members) : NULL;
    int32_t choice = 0;
    if (!members)
        return settings;
    *rest = *settings;
    rest->members = members;
    rest->n = 0;
    for (uint32_t i = 0; i < settings->n; i++)
        if (!table_has(core_settings, settings->members[i].key->text))
            members[rest->n++] = settings->members[i];
    if (value_choice(r, &rule, value, &choice))
        return rest;
    use->skips_quarantine = choice == 1;
    if (use->skips_quarantine && (use->plugin->stage.flags & WEIR_STAGE_GUARD))
        mistake(r, value, "\"%s\" is a guard: what it can't see must not pass, so `on_quarantine: skip` is refused",
                use->plugin->desc.name);
    return rest;
}

/* References stay what they are: a recording shows which settings a rule had, and no secret. */
static const char *settings_text(struct reader *r, const struct tree_node *settings)
{
    struct weir_out text = { 0 };
    tree_put_json(settings, &text, NULL);
    const char *kept = arena_copy(r->a, out_bytes(&text)).p;
    out_free(&text);
    return kept;
}

/* at: the name; settings: NULL or a map. */
static struct config_stage *read_use(struct reader *r, const struct tree_node *at, const struct tree_node *settings)
{
    struct config_stage *use = arena_zalloc(r->a, sizeof *use);
    struct weir_str name;
    if (!use || value_text(r, "a stage", at, &name) != VALUE_OK)
        return NULL;
    use->place = place_of_node(at);
    use->plugin = plugins_find(r, at, name.p, WEIR_KIND_STAGE);
    if (!use->plugin)
        return NULL;
    if (settings && tree_is_null(settings))
        settings = NULL;
    if (settings && settings->type != TREE_MAP) {
        mistake(r, settings, "the settings of \"%s\" are a map, as in { %s: { NAME: VALUE } }", name.p, name.p);
        return NULL;
    }
    if (settings)
        settings = take_core_settings(r, use, settings);
    use->settings = settings ? settings_text(r, settings) : NULL;
    use->config = options_read(r, use->plugin, settings, NULL, at);
    return remember_use(r, use) ? use : NULL;
}

static struct config_stage *read_item(struct reader *r, const struct tree_node *item)
{
    if (item->type == TREE_SCALAR && !tree_is_null(item))
        return read_use(r, item, NULL);
    if (item->type == TREE_MAP && item->n == 1)
        return read_use(r, item->members[0].key, item->members[0].value);
    if (item->type == TREE_MAP && item->n > 1)
        mistake(r, item,
                "one stage per item of the list: \"%.64s\" begins the next (are its settings indented too little?)",
                item->members[1].key->text.p);
    else
        mistake(r, item, "a stage is written `- name` or `- name: { settings }`");
    return NULL;
}

struct config_stage **stages_read(struct reader *r, const struct tree_node *list, uint32_t *n)
{
    *n = 0;
    if (!list || tree_is_null(list) || !node_is(r, "a pipeline", list, TREE_LIST))
        return NULL;
    struct config_stage **stages = arena_zalloc(r->a, (list->n + 1) * sizeof(struct config_stage *));
    for (uint32_t i = 0; stages && i < list->n; i++) {
        struct config_stage *use = read_item(r, list->items[i]);
        if (use)
            stages[(*n)++] = use;
    }
    return stages;
}

/* ---- matches ---- */

static bool is_pattern(struct reader *r, const struct tree_node *node, const char *name, const char *text)
{
    const char *star = strchr(text, '*');
    if (!star || !star[1])
        return true;
    mistake(r, node, "%s: \"%.80s\": a star may only stand at the end", name, text);
    return false;
}

static void read_pattern(struct reader *r, const struct tree_node *node, const char *name, const char **to)
{
    const struct value_rule rule = { .name = name, .min = 1, .max = 200 };
    const char *text;
    if (value_string(r, &rule, node, &text) == 0 && is_pattern(r, node, name, text))
        *to = text;
}

static void read_path(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_match *m = base;
    read_pattern(r, node, "path", &m->path);
    if (m->path && m->path[0] != '/' && m->path[0] != '*')
        mistake(r, node, "path must begin with a slash, as in /v1/*");
}

static void read_method(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_match *m = base;
    read_pattern(r, node, "method", &m->method);
    if (m->method && m->method[strspn(m->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")])
        mistake(r, node, "method is written in capital letters, as in POST");
}

static void read_match_key(struct reader *r, const struct tree_node *node, void *base)
{
    read_pattern(r, node, "key", &((struct config_match *)base)->key);
}

static void read_match_team(struct reader *r, const struct tree_node *node, void *base)
{
    read_pattern(r, node, "team", &((struct config_match *)base)->team);
}

static void read_match_model(struct reader *r, const struct tree_node *node, void *base)
{
    read_pattern(r, node, "model", &((struct config_match *)base)->model);
}

static const char *lower_header(struct reader *r, const struct tree_node *node)
{
    char *name = node->type == TREE_SCALAR ? (char *)(uintptr_t)arena_copy(r->a, node->text).p : NULL;
    for (char *c = name; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    if (name && http_is_token(weir_cstr(name)))
        return name;
    mistake(r, node, "header must be a name, or one name with a value: { x-data-class: restricted }");
    return NULL;
}

static void read_match_header(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_match *m = base;
    if (node->type == TREE_MAP && node->n == 1) {
        m->header = lower_header(r, node->members[0].key);
        read_pattern(r, node->members[0].value, "header", &m->header_value);
    } else {
        m->header = lower_header(r, node);
    }
}

const struct field config_match_fields[] = {
    { .name = "path",
      .type = FIELD_OWN,
      .read = read_path,
      .schema = "{\"type\":\"string\"}",
      .help = "/v1/chat/completions, or /v1/* for all that begins so." },
    { .name = "method",
      .type = FIELD_OWN,
      .read = read_method,
      .schema = "{\"type\":\"string\"}",
      .help = "POST, GET …" },
    { .name = "header",
      .type = FIELD_OWN,
      .read = read_match_header,
      .schema = "{\"type\":[\"string\",\"object\"]}",
      .help = "A header that must be there, or { name: value }." },
    { .name = "key",
      .type = FIELD_OWN,
      .read = read_match_key,
      .schema = "{\"type\":\"string\"}",
      .help = "The caller's name." },
    { .name = "team",
      .type = FIELD_OWN,
      .read = read_match_team,
      .schema = "{\"type\":\"string\"}",
      .help = "The caller's team." },
    { .name = "model",
      .type = FIELD_OWN,
      .read = read_match_model,
      .schema = "{\"type\":\"string\"}",
      .help = "The model that was asked for." },
    { .name = NULL },
};

/* ---- routes ---- */

static void read_pipeline(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_route *route = base;
    route->stages = stages_read(r, node, &route->n_stages);
}

enum config_on_loss on_loss_read(struct reader *r, const struct tree_node *node)
{
    const struct value_rule rule = { .name = "on_loss", .choices = "default|warn|refuse|allow" };
    int32_t choice = 0;
    value_choice(r, &rule, node, &choice);
    return (enum config_on_loss)(CONFIG_LOSS_DEFAULT + choice);
}

static void read_usage(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "usage", .choices = "always|as_asked" };
    int32_t choice = 0;
    value_choice(r, &rule, node, &choice);
    ((struct config_route *)base)->usage_as_asked = choice == 1;
}

static void read_on_loss(struct reader *r, const struct tree_node *node, void *base)
{
    ((struct config_route *)base)->on_loss = on_loss_read(r, node);
}

static void read_rescue(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "rescue", .choices = "off|same_model|any" };
    int32_t choice = 0;
    if (value_choice(r, &rule, node, &choice) == 0)
        ((struct config_route *)base)->rescue = (enum config_rescue)(CONFIG_RESCUE_OFF + choice);
}

static const struct field hedge_fields[] = {
    { .name = "after",
      .type = FIELD_MS,
      .offset = offsetof(struct config_hedge, after_ms),
      .min = 1,
      .max = 3600e3,
      .help = "How late the first content may be; not said: later than 95 % of the target's answers (8s until 50 are known)." },
    { .name = "share",
      .type = FIELD_NUMBER,
      .offset = offsetof(struct config_hedge, share),
      .fallback = "0.05",
      .min = 0,
      .max = 1,
      .help = "The share of a provider's calls beside which another target may be asked, after ten in any case." },
    { .name = NULL },
};

static void read_hedge(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_hedge *hedge = &((struct config_route *)base)->hedge;
    if (node->type == TREE_SCALAR && weir_is(node->text, "off")) {
        hedge->mode = CONFIG_HEDGE_OFF;
    } else if (node->type == TREE_MAP) {
        hedge->mode = CONFIG_HEDGE_ON;
        table_read(r, hedge_fields, NULL, node, hedge);
    } else {
        mistake(r, node, "hedge is off, or { after: 3s, share: 0.05 }, of which either may be left out");
    }
}

static void read_raw_one(struct reader *r, struct config_route *route, const struct tree_node *node)
{
    const struct value_rule rule = { .name = "raw" };
    const char *name;
    if (value_string(r, &rule, node, &name))
        return;
    struct config_provider *p = config_find_provider(r->c, weir_cstr(name));
    if (p)
        route->raw[route->n_raw++] = p;
    else if (!tree_get(tree_get(r->root, "providers"), name)) /* a declared one with a mistake was told already */
        mistake(r, node, "raw: there is no provider \"%.64s\"", name);
}

static void read_raw(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_route *route = base;
    uint32_t n = node->type == TREE_LIST ? node->n : 1;
    route->raw = arena_zalloc(r->a, (n + 1) * sizeof(void *));
    if (node->type == TREE_MAP)
        mistake(r, node, "raw is a provider's name, or a list of them");
    if (!route->raw || node->type == TREE_MAP)
        return;
    for (uint32_t i = 0; i < n; i++)
        read_raw_one(r, route, node->type == TREE_LIST ? node->items[i] : node);
}

#define AT(member) .offset = offsetof(struct config_route, member)
const struct field config_route_fields[] = {
    { .name = "name", .type = FIELD_STRING, AT(name), .help = "For records, metrics and messages; else its path." },
    { .name = "match",
      .type = FIELD_TABLE,
      AT(match),
      .table = config_match_fields,
      .help = "All that is said must match; nothing said matches everything." },
    { .name = "pipeline",
      .type = FIELD_OWN,
      .read = read_pipeline,
      .schema = "{\"$ref\":\"#/$defs/pipeline\"}",
      .help = "Stages, after those of `entry`." },
    { .name = "timeouts",
      .type = FIELD_TABLE,
      AT(timeouts),
      .table = config_timeout_fields,
      .help = "Time-outs for this route; the smallest that applies wins." },
    { .name = "retries",
      .type = FIELD_U32,
      AT(retries),
      .min = 0,
      .max = 8,
      .help = "How often a target that failed is asked again before the next one; the route's word counts before the model's, "
              "that before the provider's [0]." },
    { .name = "open",
      .type = FIELD_BOOL,
      AT(is_open),
      .fallback = "false",
      .help = "May anybody call it, without a key?" },
    { .name = "usage",
      .type = FIELD_OWN,
      .read = read_usage,
      .fallback = "always",
      .schema = "{\"enum\":[\"always\",\"as_asked\"]}",
      .help =
          "always: usage is asked for in every stream; as_asked: nothing is touched, missing counts are estimated." },
    { .name = "unknown_fields",
      .type = FIELD_CHOICE,
      AT(unknown_fields),
      .fallback = "pass",
      .choices = "pass|drop|refuse",
      .help = "Request fields that weir doesn't know: pass and drop: to a provider of the same dialect; refuse: 400." },
    { .name = "on_loss",
      .type = FIELD_OWN,
      .read = read_on_loss,
      .schema = CONFIG_ON_LOSS_SCHEMA,
      .help = "The same as the global on_loss, for this route." },
    { .name = "rescue",
      .type = FIELD_OWN,
      .read = read_rescue,
      .schema = "{\"enum\":[\"off\",\"same_model\",\"any\"]}",
      .help = "Who may finish a stream that broke after the client had seen part of it: nobody, a target of the same model, or any "
              "[any, where there is more than one target]." },
    { .name = "hedge",
      .type = FIELD_OWN,
      .read = read_hedge,
      .schema = "{\"anyOf\":[{\"const\":\"off\"},{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
                "\"after\":{\"type\":\"string\"},\"share\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}}}]}",
      .help = "When a second target is asked beside one whose answer is late: off, or { after, share }." },
    { .name = "n_calls",
      .type = FIELD_U32,
      AT(n_calls),
      .fallback = "0",
      .min = 0,
      .max = 16,
      .help = "n up to this is made by as many calls where the target gives one choice only; each is paid for [0: refused]." },
    { .name = "raw",
      .type = FIELD_OWN,
      .read = read_raw,
      .schema = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]}",
      .help = "A provider, or several: what matches is relayed there as it is, whatever it says: files, audio, images, batches." },
    { .name = NULL },
};
#undef AT

static bool is_taken(const struct config *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_routes; i++)
        if (strcmp(c->routes[i]->name, name) == 0)
            return true;
    return false;
}

/* Records and metrics go by the name, so each route has one of its own. */
static void name_route(struct reader *r, struct config_route *route, const struct tree_node *node)
{
    const char *path = route->match.path ? route->match.path : "*";
    if (route->name && is_taken(r->c, route->name))
        mistake(r, node, "two routes have the name \"%.80s\"", route->name);
    if (route->name)
        return;
    route->name = path;
    for (uint32_t i = 2; is_taken(r->c, route->name) && i < 10000; i++)
        route->name = arena_printf(r->a, "%s#%u", path, i).p;
}

static void read_route(struct reader *r, const struct tree_node *node)
{
    struct config *c = r->c;
    struct config_route *route = arena_zalloc(r->a, sizeof *route);
    r->where = "a route";
    if (!route || !node_is(r, "a route", node, TREE_MAP))
        return;
    route->index = c->n_routes;
    route->place = place_of_node(node);
    memset(&route->timeouts, 0xff, sizeof route->timeouts);
    route->retries = CONFIG_UNSET;
    table_read(r, config_route_fields, NULL, node, route);
    if (route->n_raw && route->match.model)
        mistake(r, node, "a route with raw: can't match by model: nobody reads what is relayed");
    name_route(r, route, node);
    c->routes[c->n_routes++] = route;
}

void routes_read(struct reader *r, const struct tree_node *list)
{
    if (!list || !node_is(r, "routes", list, TREE_LIST))
        return;
    r->c->routes = arena_zalloc(r->a, (list->n + 1) * sizeof(void *));
    for (uint32_t i = 0; r->c->routes && i < list->n; i++)
        read_route(r, list->items[i]);
    r->where = NULL;
}
