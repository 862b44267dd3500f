/* The program `weir`: finds the command, reads its arguments, shows help. What a command does stands in cmd_<name>.c. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static const struct command *const commands[] = {
    &cmd_serve, &cmd_check, &cmd_reload, &cmd_status, &cmd_key_new, &cmd_models, &cmd_matrix, &cmd_errors,
    &cmd_new,   &cmd_verify_plugin, &cmd_explain_plugin, &cmd_explain_request, &cmd_test, &cmd_record, &cmd_replay, &cmd_version,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

int cmd_fail(const char *format, ...)
{
    va_list args;
    fputs("weir: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CMD_FAILED;
}

static const char *find_config(void)
{
    static const char *const places[] = { "weir.yaml", "/etc/weir/weir.yaml" };
    const char *named = getenv("WEIR_CONFIG");
    if (named && *named)
        return named;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], F_OK) == 0)
            return places[i];
    return NULL;
}

bool cmd_config_exists(void)
{
    return find_config() != NULL;
}

const char *cmd_config_path(const char *given)
{
    const char *found = given && *given ? given : find_config();
    if (found)
        return found;
    cmd_fail("there is neither ./weir.yaml nor /etc/weir/weir.yaml: name the configuration with -c PATH");
    return NULL;
}

struct config *cmd_config_load(const char *given, enum config_mode mode, bool shows_warnings)
{
    const char *path = cmd_config_path(given);
    struct config_errors errors = { .n = 0 };
    if (!path)
        return NULL;
    struct config *c = config_load(path, NULL, mode, &errors);
    if (!c || shows_warnings)
        config_errors_print(&errors, STDERR_FILENO);
    config_errors_free(&errors);
    return c;
}

/* ---- help ---- */

static void print_usage(FILE *out)
{
    fprintf(out, "weir: one endpoint in front of every model provider\n\nusage: weir COMMAND [options]\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-16s  %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n`weir COMMAND --help` tells more.\n");
}

static void print_help(const struct command *command)
{
    char left[64];
    printf("usage: weir %s%s%s%s\n\n%s.\n", command->name, command->options[0].name ? " [options]" : "",
           command->words[0] ? " " : "", command->words, command->summary);
    if (command->text)
        printf("\n%s\n", command->text);
    printf("\noptions:\n");
    for (const struct cmd_option *o = command->options; o->name; o++) {
        char letter[5] = "    ";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-24s  %s\n", left, o->help);
    }
    printf("  %-24s  %s\n", "-h, --help", "this text");
}

static int usage_error(const struct command *command)
{
    fprintf(stderr, "usage: weir %s%s%s%s (weir %s --help tells more)\n", command->name,
            command->options[0].name ? " [options]" : "", command->words[0] ? " " : "", command->words, command->name);
    return CMD_USAGE;
}

/* ---- arguments ---- */

/* getopt's tables from ours; an option's value in `longs` is its place, from 1. */
static void make_tables(const struct command *command, struct option *longs, char *letters)
{
    int n = 0;
    for (const struct cmd_option *o = command->options; o->name; o++) {
        longs[n++] = (struct option){ o->name, o->value ? required_argument : no_argument, NULL,
                                      (int)(o - command->options) + 1 };
        if (!o->letter)
            continue;
        *letters++ = o->letter;
        if (o->value)
            *letters++ = ':';
    }
    longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
    longs[n] = (struct option){ NULL, 0, NULL, 0 };
    *letters++ = 'h';
    *letters = '\0';
}

static int place_of(const struct command *command, int found)
{
    if (found <= CMD_OPTIONS)
        return found - 1;
    int i = 0;
    while (command->options[i].letter != found)
        i++;
    return i;
}

static int run(const struct command *command, int argc, char **argv, char **all)
{
    struct cmd_line line = { .argv = all };
    struct option longs[CMD_OPTIONS + 2];
    char letters[2 * CMD_OPTIONS + 2];
    int found;
    make_tables(command, longs, letters);
    while ((found = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (found == 'h') {
            print_help(command);
            return CMD_OK;
        }
        if (found == '?') /* getopt has said what is wrong */
            return usage_error(command);
        line.options[place_of(command, found)] = optarg ? optarg : "";
    }
    int n = argc - optind;
    if (n < command->min_words || n > command->max_words)
        return usage_error(command);
    for (int i = 0; i < n; i++)
        line.words[line.n_words++] = argv[optind + i];
    return command->run(&line);
}

/* How many words of the command line name this command; 0: it is another. */
static int names(const struct command *command, int argc, char **argv)
{
    const char *space = strchr(command->name, ' ');
    if (!space)
        return strcmp(argv[1], command->name) == 0 ? 1 : 0;
    size_t n = (size_t)(space - command->name);
    if (strncmp(argv[1], command->name, n) != 0 || argv[1][n] != '\0')
        return 0;
    return argc < 3 || strcmp(argv[2], space + 1) != 0 ? 1 : 2;
}

static int dispatch(int argc, char **argv)
{
    for (int i = 0; i < COMMANDS; i++) {
        int n = names(commands[i], argc, argv);
        if (n == 0)
            continue;
        if (n == 1 && strchr(commands[i]->name, ' ') && !(argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))))
            return usage_error(commands[i]);
        return run(commands[i], argc - n, argv + n, argv);
    }
    fprintf(stderr, "weir: there is no command '%s'\n\n", argv[1]);
    print_usage(stderr);
    return CMD_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return CMD_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return CMD_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] += 2;
    return dispatch(argc, argv);
}
