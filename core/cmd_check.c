/* `weir check`: says everything that is wrong with a configuration; `--schema` prints what editors need to help with it.
 *
 * After the tables have been checked every stage is made once, as a worker would: a policy that does not compile, or a
 * file that can't be opened, is found here and not at the next reload.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "worker.h"

enum { OPTION_CONFIG, OPTION_STRICT, OPTION_SCHEMA };

static int print_schema(void)
{
    char *schema = config_schema();
    if (!schema)
        return cmd_fail("out of memory");
    printf("%s\n", schema);
    free(schema);
    return CMD_OK;
}

static int try_stages(const struct config *c)
{
    static struct worker w;
    char why[1024] = "";
    w = (struct worker){ .config = c, .base = event_base_new(), .control_fd = -1 };
    w.egress = w.base ? egress_new(w.base) : NULL;
    if (!w.egress)
        return cmd_fail("out of memory or descriptors");
    worker = &w;
    if (pipeline_start(&w, why, sizeof why))
        return cmd_fail("%s", why);
    pipeline_stop();
    egress_free(w.egress);
    event_base_free(w.base);
    return CMD_OK;
}

static int run_check(const struct cmd_line *line)
{
    if (line->options[OPTION_SCHEMA])
        return print_schema();
    enum config_mode mode = line->options[OPTION_STRICT] ? CONFIG_STRICT : CONFIG_NORMAL;
    struct config *c = cmd_config_load(line->options[OPTION_CONFIG], mode, true);
    if (!c)
        return CMD_FAILED;
    int code = try_stages(c);
    if (code == CMD_OK)
        printf("%s: no mistakes; %u providers, %u models, %u keys, %u routes, %u plugins (configuration %.12s)\n", c->path,
               c->n_providers, c->n_models, c->n_keys, c->n_routes, c->n_plugin_files, c->hash);
    config_free(c);
    return code;
}

const struct command cmd_check = {
    .name = "check",
    .words = "",
    .summary = "Says everything that is wrong with a configuration",
    .text = "Reads it as `weir serve` would, with all its plugins and policies, and serves nothing.",
    .options = { CMD_CONFIG,
                 { "strict", 0, NULL, "a reference (env:, file:) that is not set is an error, not a warning" },
                 { "schema", 0, NULL, "print the JSON Schema of the configuration instead" } },
    .run = run_check,
};
