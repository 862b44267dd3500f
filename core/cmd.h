/* The commands of the program: one table, one way to read arguments, one shape of --help.
 *
 * Exit codes: 0 it went well; 1 it did not, and stderr says why; 2 the command line is wrong.
 */
#ifndef WEIR_CORE_CMD_H
#define WEIR_CORE_CMD_H

#include <stdbool.h>
#include <stdio.h>

#include "config.h"

enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };
enum { CMD_OPTIONS = 8, CMD_WORDS = 16, CMD_PATH = 4096 };

struct cmd_option {
    const char *name;  /* "config"; NULL ends the table */
    char letter;       /* 'c'; 0: none */
    const char *value; /* "PATH"; NULL: a flag */
    const char *help;
};

/* What stood on the command line: options by their place in the command's table (a flag: ""), then plain words. */
struct cmd_line {
    const char *options[CMD_OPTIONS];
    const char *words[CMD_WORDS];
    int n_words;
    char *const *argv; /* all of main()'s */
};

struct command {
    const char *name;    /* "serve"; "key new" is two words */
    const char *words;   /* "PATH": what --help shows behind the options; "" */
    int min_words, max_words;
    const char *summary; /* one line */
    const char *text;    /* more, for its --help; NULL: none */
    struct cmd_option options[CMD_OPTIONS];
    int (*run)(const struct cmd_line *line);
};

/* The option that most commands have; always the first of their table. */
#define CMD_CONFIG                                                                                                     \
    {                                                                                                                  \
        "config", 'c', "PATH", "the configuration [$WEIR_CONFIG, ./weir.yaml, /etc/weir/weir.yaml]"                    \
    }

extern const struct command cmd_serve, cmd_check, cmd_reload, cmd_status, cmd_key_new, cmd_models, cmd_errors, cmd_matrix,
    cmd_new, cmd_verify_plugin, cmd_explain_plugin, cmd_explain_request, cmd_test, cmd_record, cmd_replay, cmd_version;

/* The configuration's path: as given, or the first of the usual places that exists. NULL after saying that none does. */
const char *cmd_config_path(const char *given);
bool cmd_config_exists(void); /* in one of those places */
/* Reads and checks it; says all mistakes on stderr, warnings alone only if they are wanted. NULL if there are mistakes. */
struct config *cmd_config_load(const char *given, enum config_mode mode, bool shows_warnings);
/* One small request to a model, as weir would send it; says what came. */
int cmd_probe(const char *given_config, const char *name);
/* The SDK's folder, absolute; `to` holds CMD_PATH bytes. CMD_FAILED after saying where it was looked for. */
int cmd_sdk(char *to);
/* For commands that rehearse: every plugin there is, and those that `more` names (a pattern; NULL: none). */
void cmd_open_plugins(const char *more);
/* What the client and all targets of a rehearsal speak: the dialect that can say most. NULL: there is none. */
const struct plugin *cmd_choose_dialect(void);
/* run() in a process of its own, for at most 10 s; told: what it wrote to `out` and stderr. What it returned. */
bool cmd_run_apart(bool (*run)(void *arg, FILE *out), void *arg, struct weir_out *told);
/* One line on stderr: "weir: …". Returns CMD_FAILED. */
int cmd_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
