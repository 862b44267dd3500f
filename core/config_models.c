/* Models: names that callers ask for, and the targets behind them. And secrets: named values that scripts send
 * unseen. */
#include <stdio.h>
#include <stdlib.h>

#include "config_read.h"

/* ---- targets ---- */

static void tell_unknown_provider(struct reader *r, const struct tree_node *node, const char *target,
                                  const char *provider)
{
    struct suggestion near;
    suggestion_begin(&near, provider);
    for (uint32_t i = 0; i < r->c->n_providers; i++)
        suggestion_offer(&near, r->c->providers[i]->name);
    mistake(r, node, "the target \"%.80s\": there is no provider \"%.64s\"%s", target, provider,
            suggestion_text(r, &near));
}

static bool is_declared(struct reader *r, const char *provider)
{
    return tree_get(tree_get(r->root, "providers"), provider) != NULL;
}

static void read_target(struct reader *r, struct config_model *m, const struct tree_node *node)
{
    const struct value_rule rule = { .name = "a target" };
    const char *name;
    if (value_string(r, &rule, node, &name))
        return;
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1]) {
        mistake(r, node, "the target \"%.80s\" must be written provider/model, as in openai/gpt-4o-mini", name);
        return;
    }
    const char *star = strchr(slash, '*');
    if (star && star[1]) {
        mistake(r, node, "the target \"%.80s\": a star may only stand at the end", name);
        return;
    }
    struct weir_str provider = arena_copy(r->a, (struct weir_str){ name, (size_t)(slash - name) });
    struct config_provider *p = config_find_provider(r->c, provider);
    if (p)
        m->targets[m->n_targets++] = (struct config_target){ name, p, slash + 1 };
    else if (!is_declared(r, provider.p)) /* a declared one with a mistake was told already */
        tell_unknown_provider(r, node, name, provider.p);
}

static void read_targets(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_model *m = base;
    uint32_t n = node->type == TREE_LIST ? node->n : 1;
    m->targets = arena_zalloc(r->a, (n + 1) * sizeof *m->targets);
    if (node->type == TREE_MAP)
        mistake(r, node, "targets must be a list, as in [openai/gpt-4o-mini]");
    if (!m->targets || node->type == TREE_MAP)
        return;
    for (uint32_t i = 0; i < n; i++)
        read_target(r, m, node->type == TREE_LIST ? node->items[i] : node);
    for (uint32_t i = 0; i < m->n_targets; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(m->targets[i].name, m->targets[k].name) == 0)
                warning(r, node, "%s: the target \"%s\" stands there twice; each is tried once", r->where,
                        m->targets[i].name);
}

/* ---- one model ---- */

#define PRICE(kind) .type = FIELD_NUMBER, .offset = (kind) * sizeof(double), .min = 0, .max = 1e6
static const struct field price_fields[] = {
    { .name = "input", PRICE(FACTS_INPUT), .help = "USD per million tokens of the request." },
    { .name = "output", PRICE(FACTS_OUTPUT), .help = "USD per million tokens of the answer." },
    { .name = "cached", PRICE(FACTS_CACHED), .help = "Of tokens read from the provider's cache; else as input." },
    { .name = "cache_write", PRICE(FACTS_WRITE), .help = "Of tokens written to it; else as input." },
    { .name = "cache_write_1h", PRICE(FACTS_WRITE_1H), .help = "Of tokens kept there for an hour; else as cache_write." },
    { .name = "reasoning", PRICE(FACTS_REASONING), .help = "Of thinking; else as output." },
    { .name = "audio_input", PRICE(FACTS_AUDIO_INPUT), .help = "Of heard audio; else as input." },
    { .name = "audio_output", PRICE(FACTS_AUDIO_OUTPUT), .help = "Of spoken audio; else as output." },
    { .name = NULL },
};
#undef PRICE

/* ---- capabilities ---- */

uint32_t capabilities_read(struct reader *r, const char *name, const struct tree_node *node)
{
    const struct value_rule rule = { .name = name };
    const char *const *words;
    uint32_t n, bits = 0;
    if (value_list(r, &rule, node, &words, &n))
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bit = facts_capability(weir_cstr(words[i]));
        bits |= bit;
        if (!bit)
            mistake(r, node, "%s: %s: there is no capability \"%.40s\"; there are %s", r->where, name, words[i],
                    facts_capability_words);
    }
    return bits;
}

static void read_can(struct reader *r, const struct tree_node *node, void *base)
{
    ((struct config_model *)base)->can = capabilities_read(r, "can", node);
}

static void read_lacks(struct reader *r, const struct tree_node *node, void *base)
{
    ((struct config_model *)base)->lacks = capabilities_read(r, "lacks", node);
}

#define AT(member) .offset = offsetof(struct config_model, member)
const struct field config_model_fields[] = {
    { .name = "targets",
      .type = FIELD_OWN,
      .read = read_targets,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
      .help = "provider/model, in the order in which they are tried; a star at the end stands for the name that was "
              "asked for." },
    { .name = "context",
      .type = FIELD_I64,
      AT(context_tokens),
      .min = 1,
      .max = 1e9,
      .help = "Tokens that fit into the context." },
    { .name = "max_output",
      .type = FIELD_I64,
      AT(output_tokens),
      .min = 1,
      .max = 1e9,
      .help = "Tokens of its longest answer." },
    { .name = "price",
      .type = FIELD_TABLE,
      AT(price.usd),
      .table = price_fields,
      .help = "USD per million tokens, for records and rules; replaces all that is known of its price." },
    { .name = "can",
      .type = FIELD_OWN,
      .read = read_can,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
      .help = "What it can do although the table of models says otherwise: tools, images, json_schema …" },
    { .name = "lacks",
      .type = FIELD_OWN,
      .read = read_lacks,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
      .help = "What it can't do: requests that need it go to another target." },
    { .name = "timeouts",
      .type = FIELD_TABLE,
      AT(timeouts),
      .table = config_timeout_fields,
      .help = "Time-outs for this model; the smallest that applies wins." },
    { .name = "max_inflight",
      .type = FIELD_U32,
      AT(max_inflight),
      .fallback = "0",
      .min = 0,
      .max = 1000000,
      .help = "Calls to each of its targets at the same time, over all workers; 0: no limit." },
    { .name = "retries",
      .type = FIELD_U32,
      AT(retries),
      .min = 0,
      .max = 8,
      .help = "How often a target that failed is asked again before the next one; the route's word counts before the model's, "
              "that before the provider's [0]." },
    { .name = NULL },
};
#undef AT

static void check_name(struct reader *r, const struct tree_node *key)
{
    const char *star = strchr(key->text.p, '*');
    if (key->text.n == 0 || key->text.n > 128)
        mistake(r, key, "a model's name has 1 to 128 characters");
    else if (star && star[1])
        mistake(r, key, "the model \"%.128s\": a star may only stand at the end", key->text.p);
}

/* "groq/llama-x": { price: … } adds to what is known of the target of that name. */
static void target_itself(struct reader *r, struct config_model *m, const struct tree_node *key)
{
    const char *slash = strchr(key->text.p, '/');
    struct weir_str provider = { key->text.p, slash ? (size_t)(slash - key->text.p) : 0 };
    struct config_provider *p = slash && slash[1] ? config_find_provider(r->c, provider) : NULL;
    m->targets = arena_zalloc(r->a, 2 * sizeof *m->targets);
    if (p && m->targets && !strchr(slash, '*'))
        m->targets[m->n_targets++] = (struct config_target){ m->name, p, slash + 1 };
}

static struct config_model *read_model(struct reader *r, const struct tree_node *key, const struct tree_node *node)
{
    struct config_model *m = arena_zalloc(r->a, sizeof *m);
    r->where = arena_printf(r->a, "model \"%.128s\"", key->text.p).p;
    if (!m || !node_is(r, r->where, node, TREE_MAP))
        return NULL;
    *m = (struct config_model){
        .name = key->text.p, .place = place_of_node(key), .context_tokens = -1, .output_tokens = -1,
        .retries = CONFIG_UNSET
    };
    for (int i = 0; i < FACTS_PRICES; i++)
        m->price.usd[i] = -1;
    memset(&m->timeouts, 0xff, sizeof m->timeouts);
    check_name(r, key);
    uint32_t before = r->errors->n_errors;
    table_read(r, config_model_fields, NULL, node, m);
    if (!m->n_targets && !tree_get(node, "targets"))
        target_itself(r, m, key);
    if (!m->n_targets && r->errors->n_errors == before)
        mistake(r, key, "%s needs targets, as in { targets: [openai/gpt-4o-mini] }", r->where);
    if (m->price.usd[FACTS_INPUT] < 0 && tree_get(node, "price"))
        mistake(r, tree_get(node, "price"), "%s: a price needs `input`", r->where);
    return m;
}

void models_read(struct reader *r, const struct tree_node *map)
{
    struct config *c = r->c;
    if (!map || !node_is(r, "models", map, TREE_MAP))
        return;
    c->models = arena_zalloc(r->a, (map->n + 1) * sizeof(void *));
    for (uint32_t i = 0; c->models && i < map->n; i++) {
        struct config_model *m = read_model(r, map->members[i].key, map->members[i].value);
        if (m)
            c->models[c->n_models++] = m;
    }
    r->where = NULL;
}

/* ---- what is known of models ---- */

/* Beside the codecs, read like every other file of the configuration. Without it no price is known, and nothing else is amiss. */
void facts_read(struct reader *r)
{
    char why[600] = "";
    struct weir_str path = arena_printf(r->a, "%s/providers/models.tsv", r->library);
    if (!path.p || !files_exist(r->files, path.p))
        return;
    struct weir_str text = files_read(r->files, path.p, why, sizeof why);
    if (text.p)
        r->c->facts = facts_open(r->a, text, why, sizeof why);
    if (!r->c->facts)
        mistake(r, NULL, "%s can't be read: %s", path.p, why);
}

/* ---- secrets ---- */

void secrets_read(struct reader *r, const struct tree_node *map)
{
    struct config *c = r->c;
    const char *missing = NULL;
    if (!map || !node_is(r, "secrets", map, TREE_MAP))
        return;
    c->secrets = arena_zalloc(r->a, (map->n + 1) * sizeof *c->secrets);
    for (uint32_t i = 0; c->secrets && i < map->n; i++) {
        const struct tree_node *key = map->members[i].key;
        struct weir_str value;
        r->where = arena_printf(r->a, "secret \"%.64s\"", key->text.p).p;
        r->unavailable = &missing;
        enum value_result result = value_text(r, r->where, map->members[i].value, &value);
        r->unavailable = NULL;
        if (result == VALUE_OK && !http_is_value(value))
            mistake(r, map->members[i].value, "%s contains a line break or another character that no header may have",
                    r->where);
        else if (result == VALUE_OK)
            c->secrets[c->n_secrets++] = (struct config_secret){ key->text, value };
    }
    r->where = NULL;
}
