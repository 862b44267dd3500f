/* `weir reload`, `weir status`: questions to the weir that runs, over its admin socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "control.h"
#include "status.h"

enum { OPTION_CONFIG, OPTION_ADMIN, OPTION_JSON };

#define ADMIN                                                                                                          \
    {                                                                                                                  \
        "admin", 'a', "SOCKET", "the admin socket [what the configuration says]"                                       \
    }

/* The socket of the weir that runs. malloc'ed; NULL after saying why. */
static char *admin_of(const struct cmd_line *line)
{
    if (line->options[OPTION_ADMIN])
        return strdup(line->options[OPTION_ADMIN]);
    char path[512] = "", why[1024] = "";
    if (config_admin_path(cmd_config_path(line->options[OPTION_CONFIG]), path, sizeof path, why, sizeof why)) {
        cmd_fail("where the admin socket is can't be read: %s; name it with --admin SOCKET", why);
        return NULL;
    }
    return strdup(path);
}

static int ask(const struct cmd_line *line, const char *question, char **answer)
{
    char *admin = admin_of(line);
    *answer = NULL;
    if (!admin)
        return -1;
    int code = control_ask(admin, question, answer);
    free(admin);
    if (code)
        fprintf(stderr, "%s\n", *answer ? *answer : "weir: out of memory");
    return code;
}

static int run_reload(const struct cmd_line *line)
{
    char *answer;
    int code = ask(line, "POST /reload", &answer);
    if (code == 0)
        printf("%s\n", answer);
    free(answer);
    return code == 0 ? CMD_OK : CMD_FAILED;
}

static int run_status(const struct cmd_line *line)
{
    char *answer;
    int code = ask(line, "GET /status", &answer);
    if (code == 0 && line->options[OPTION_JSON])
        printf("%s\n", answer);
    else if (code == 0)
        status_print(answer, stdout);
    free(answer);
    return code == 0 ? CMD_OK : CMD_FAILED;
}

const struct command cmd_reload = {
    .name = "reload",
    .words = "",
    .summary = "Makes the weir that runs read its configuration again",
    .text = "Waits until the new configuration serves, or says why it doesn't; then the old one goes on.",
    .options = { CMD_CONFIG, ADMIN },
    .run = run_reload,
};

const struct command cmd_status = {
    .name = "status",
    .words = "",
    .summary = "Shows workers, generations, calls in flight, targets and plugins",
    .options = { CMD_CONFIG, ADMIN, { "json", 0, NULL, "as JSON" } },
    .run = run_status,
};
