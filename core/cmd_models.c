/* `weir models`: what callers may ask for and what stands behind it; what is known of models and of providers. The table of
 * models and the catalogue are read as a part of the configuration, so all that this shows is what weir would use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd.h"
#include "json.h"
#include "yaml_tree.h"

enum { OPTION_CONFIG, OPTION_PROVIDER, OPTION_PROVIDERS, OPTION_JSON, OPTION_PROBE };

/* ---- what is configured ---- */

static const char *dialect_of(const struct config_provider *p)
{
    return p->plugin ? p->plugin->desc.name : "?";
}

static void print_target(const struct config_target *t)
{
    const struct config_provider *p = t->provider;
    printf("  %-40s  %s\n", t->name, p->unavailable ? p->unavailable : "available");
}

static void print_model(const struct config_model *m)
{
    printf("%s\n", m->name);
    for (uint32_t i = 0; i < m->n_targets; i++)
        print_target(&m->targets[i]);
}

static void print_provider(const struct config_provider *p)
{
    char name[96];
    snprintf(name, sizeof name, "%s/MODEL", p->name);
    printf("  %-40s  %s (%s)\n", name, p->unavailable ? p->unavailable : "available", dialect_of(p));
}

static void print_configured(const struct config *c)
{
    for (uint32_t i = 0; i < c->n_models; i++)
        print_model(c->models[i]);
    printf("%sdirectly, by provider\n", c->n_models ? "\n" : "");
    for (uint32_t i = 0; i < c->n_providers; i++)
        print_provider(c->providers[i]);
}

/* ---- JSON ---- */

static void put(struct weir_out *o, const char *key, struct weir_str value)
{
    if (!value.n || weir_is(value, "-"))
        return;
    json_key(o, key);
    json_put_str(o, value);
}

static void put_number(struct weir_out *o, const char *key, double value)
{
    char text[40];
    if (value < 0)
        return;
    int n = snprintf(text, sizeof text, "%.10g", value);
    json_key(o, key);
    json_put_raw(o, (struct weir_str){ text, (size_t)n });
}

static int print_json(struct weir_out *o)
{
    struct weir_str text = out_bytes(o);
    bool is_whole = out_complete(o);
    if (is_whole)
        printf("%.*s\n", (int)text.n, text.p);
    out_free(o);
    return is_whole ? CMD_OK : cmd_fail("out of memory");
}

static void put_configured(struct weir_out *o, const struct config *c)
{
    json_array_begin(o);
    for (uint32_t i = 0; i < c->n_models; i++)
        for (uint32_t k = 0; k < c->models[i]->n_targets; k++) {
            const struct config_target *t = &c->models[i]->targets[k];
            json_object_begin(o);
            put(o, "model", weir_cstr(c->models[i]->name));
            put(o, "target", weir_cstr(t->name));
            put(o, "unavailable", weir_cstr(t->provider->unavailable));
            json_object_end(o);
        }
    json_array_end(o);
}

/* ---- the table ---- */

/* Which of the table's providers is meant: one of its own, or the one whose prices a configured provider has. */
static struct weir_str family_of(const struct config *c, const char *provider)
{
    for (uint32_t i = 0; i < c->n_providers; i++)
        if (strcmp(c->providers[i]->name, provider) == 0 && c->providers[i]->prices)
            return weir_cstr(c->providers[i]->prices);
    return weir_cstr(provider);
}

static bool contains(struct weir_str s, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.n; i++)
        if (strncasecmp(s.p + i, word, n) == 0)
            return true;
    return n == 0;
}

/* "groq/llama-3.3": one that a caller could write. */
static bool is_wanted(const struct model_facts *f, const char *search, struct weir_str family)
{
    char name[300];
    int n = snprintf(name, sizeof name, "%.*s/%.*s", (int)f->provider.n, f->provider.p, (int)f->model.n, f->model.p);
    if (family.n && !weir_eq(f->provider, family))
        return false;
    return !search || (n > 0 && (size_t)n < sizeof name && contains((struct weir_str){ name, (size_t)n }, search));
}

static void put_facts(struct weir_out *o, const struct model_facts *f)
{
    const struct facts_prices *p = f->n_prices ? &f->prices[0] : NULL;
    json_object_begin(o);
    put(o, "provider", f->provider);
    put(o, "model", f->model);
    put(o, "kind", f->kind);
    put_number(o, "context", (double)f->context_tokens);
    put_number(o, "max_output", (double)f->output_tokens);
    put_number(o, "price_input", p ? p->usd[FACTS_INPUT] : -1);
    put_number(o, "price_output", p ? p->usd[FACTS_OUTPUT] : -1);
    put_number(o, "price_cached", p ? p->usd[FACTS_CACHED] : -1);
    put(o, "prices", f->shown[0]);
    put(o, "can", f->shown[1]);
    put(o, "lacks", f->shown[2]);
    put(o, "until", f->shown[3]);
    json_object_end(o);
}

static void print_tokens(int64_t tokens)
{
    if (tokens < 0)
        printf("  %8s", "");
    else if (tokens >= 1000)
        printf("  %7lldk", (long long)(tokens / 1000));
    else
        printf("  %8lld", (long long)tokens);
}

static void print_facts(const struct model_facts *f)
{
    char name[300];
    snprintf(name, sizeof name, "%.*s/%.*s", (int)f->provider.n, f->provider.p, (int)f->model.n, f->model.p);
    printf("%-52s  %-9.*s", name, (int)f->kind.n, f->kind.p);
    print_tokens(f->context_tokens);
    printf("  %.*s", (int)f->shown[0].n, f->shown[0].p);
    if (!weir_is(f->shown[1], "-"))
        printf("  [%.*s]", (int)f->shown[1].n, f->shown[1].p);
    if (!weir_is(f->shown[2], "-"))
        printf("  without %.*s", (int)f->shown[2].n, f->shown[2].p);
    if (!weir_is(f->shown[3], "-"))
        printf("  until %.*s", (int)f->shown[3].n, f->shown[3].p);
    printf("\n");
}

static int show_known(const struct config *c, const char *search, const char *provider, bool is_json)
{
    struct weir_str family = provider ? family_of(c, provider) : WEIR_NONE;
    struct weir_out o = { 0 };
    uint32_t n = 0;
    json_array_begin(&o);
    for (uint32_t i = 0; i < facts_count(c->facts); i++) {
        const struct model_facts *f = facts_at(c->facts, i);
        if (!f || !is_wanted(f, search, family))
            continue;
        n++;
        if (is_json)
            put_facts(&o, f);
        else
            print_facts(f);
    }
    json_array_end(&o);
    if (is_json)
        return print_json(&o);
    out_free(&o);
    if (!n)
        printf("nothing is known of such a model; it can be used all the same, and `models:` of the configuration "
               "tells its price\n");
    return CMD_OK;
}

/* ---- the catalogue ---- */

static struct weir_str text_of(const struct tree_node *entry, const char *key)
{
    const struct tree_node *value = tree_get(entry, key);
    return value ? value->text : WEIR_NONE;
}

static void print_entry(struct weir_str name, const struct tree_node *entry)
{
    const struct tree_node *env = tree_get(entry, "env");
    struct weir_str dialect = text_of(entry, "dialect"), url = text_of(entry, "base_url"),
                    how = text_of(entry, "verified");
    printf("%-20.*s  %-9.*s  %-22.*s  %-24s  %.*s\n", (int)name.n, name.p, (int)dialect.n, dialect.p, (int)how.n, how.p,
           env && env->n ? env->items[0]->text.p : "", (int)url.n, url.p);
}

static int show_catalogue(const struct config *c, const char *search, bool is_json)
{
    const struct tree_node *all = c->catalogue;
    struct weir_out o = { 0 };
    json_object_begin(&o);
    for (uint32_t i = 0; all && i < all->n; i++) {
        struct weir_str name = all->members[i].key->text;
        if (search && !contains(name, search) && !contains(text_of(all->members[i].value, "title"), search))
            continue;
        if (!is_json)
            print_entry(name, all->members[i].value);
        json_key_str(&o, name);
        tree_put_json(all->members[i].value, &o, NULL);
    }
    json_object_end(&o);
    if (is_json)
        return print_json(&o);
    out_free(&o);
    return CMD_OK;
}

/* ---- */

static int show(const struct cmd_line *line, const struct config *c)
{
    const char *search = line->n_words ? line->words[0] : NULL;
    bool is_json = line->options[OPTION_JSON] != NULL;
    struct weir_out o = { 0 };
    if (line->options[OPTION_PROVIDERS])
        return show_catalogue(c, search, is_json);
    if (search || line->options[OPTION_PROVIDER])
        return show_known(c, search, line->options[OPTION_PROVIDER], is_json);
    if (!is_json) {
        print_configured(c);
        return CMD_OK;
    }
    put_configured(&o, c);
    return print_json(&o);
}

static int run_models(const struct cmd_line *line)
{
    if (line->options[OPTION_PROBE])
        return cmd_probe(line->options[OPTION_CONFIG], line->options[OPTION_PROBE]);
    const char *path = line->options[OPTION_CONFIG];
    bool is_table = line->options[OPTION_PROVIDERS] || line->options[OPTION_PROVIDER] || line->n_words;
    struct config *c =
        is_table && !path && !cmd_config_exists() ? config_shipped() : cmd_config_load(path, CONFIG_NORMAL, false);
    if (!c)
        return CMD_FAILED;
    int rc = show(line, c);
    config_free(c);
    return rc;
}

const struct command cmd_models = {
    .name = "models",
    .words = "[SEARCH]",
    .max_words = 1,
    .summary = "Lists the configured models and their targets; searches what is known of models and providers",
    .text =
        "Without SEARCH: the configured models, their targets, and why one can't be used (available means that it is\n"
        "configured and has its key; `weir status` tells how targets do). With SEARCH, or --provider: models of the "
        "table\n"
        "that weir brings, with context, prices in USD per million tokens, and capabilities.",
    .options = { CMD_CONFIG,
                 { "provider", 'p', "NAME", "only models of this provider" },
                 { "providers", 0, NULL,
                   "the catalogue of providers: name, dialect, how its entry was verified, key, address" },
                 { "json", 'j', NULL, "as JSON" },
                 { "probe", 0, "NAME",
                   "sends one small request to this model or provider/model, and tells what came" } },
    .run = run_models,
};
