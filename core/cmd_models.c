/* `weir models`: what callers may ask for, and what stands behind it. */
#include <stdio.h>
#include <string.h>

#include "cmd.h"

enum { OPTION_CONFIG };

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

static int run_models(const struct cmd_line *line)
{
    struct config *c = cmd_config_load(line->options[OPTION_CONFIG], CONFIG_NORMAL, false);
    if (!c)
        return CMD_FAILED;
    for (uint32_t i = 0; i < c->n_models; i++)
        print_model(c->models[i]);
    printf("%sdirectly, by provider\n", c->n_models ? "\n" : "");
    for (uint32_t i = 0; i < c->n_providers; i++)
        print_provider(c->providers[i]);
    config_free(c);
    return CMD_OK;
}

const struct command cmd_models = {
    .name = "models",
    .words = "",
    .summary = "Lists the configured models, their targets, and why one can't be used",
    .text = "Available means: it is configured and has its key. `weir status` tells how targets do.",
    .options = { CMD_CONFIG },
    .run = run_models,
};
