/* `weir errors`, `weir version`: what the program knows by itself. */
#include <stdio.h>
#include <string.h>
#include <weir/plugin.h>

#include "cmd.h"
#include "errors.h"

static void print_error(const struct error_entry *e)
{
    printf("%s (%d)\n    %s\n    %s\n", e->code, e->status, e->cause, e->remedy);
}

static int run_errors(const struct cmd_line *line)
{
    bool has_found = false;
    for (const struct error_entry *e = error_table; e->code; e++) {
        if (line->n_words > 0 && strcmp(line->words[0], e->code) != 0)
            continue;
        print_error(e);
        has_found = true;
    }
    return has_found ? CMD_OK : cmd_fail("there is no code '%s': `weir errors` lists all", line->words[0]);
}

static int run_version(const struct cmd_line *line)
{
    (void)line;
    printf("weir %s, plugin ABI %d.%d\n", WEIR_VERSION, WEIR_ABI_MAJOR, WEIR_ABI_MINOR_NEWEST);
    return CMD_OK;
}

const struct command cmd_errors = {
    .name = "errors",
    .words = "[CODE]",
    .max_words = 1,
    .summary = "Lists the codes of weir's own errors: status, cause, remedy",
    .text = "An answer that weir itself made carries its code in the header x-weir-error.",
    .run = run_errors,
};

const struct command cmd_version = {
    .name = "version",
    .words = "",
    .summary = "Shows the version and the plugin ABI it speaks",
    .run = run_version,
};
