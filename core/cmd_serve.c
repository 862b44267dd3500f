/* `weir serve`: the gateway itself. With workers everything is the master's; without, the master becomes the worker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cmd.h"
#include "log.h"
#include "master.h"

enum { OPTION_CONFIG, OPTION_STRICT, OPTION_WORKERS };
enum { WORKERS_MAX = 32 };

static void on_ready(const char *address)
{
    bool is_tcp = strncmp(address, "unix:", 5) != 0;
    printf("weir %s serves on %s%s\n", WEIR_VERSION, is_tcp ? "http://" : "", address);
    fflush(stdout);
}

/* For tests alone, and so that nobody can be in doubt: it is told at each start, and a service manager's weir refuses it. */
static int hasten_clock(void)
{
    const char *text = getenv("WEIR_TEST_TIME_FACTOR");
    char *end = NULL;
    if (!text || !*text)
        return 0;
    long factor = strtol(text, &end, 10);
    if (*end || factor < 1 || factor > CLOCK_FASTEST)
        return cmd_fail("WEIR_TEST_TIME_FACTOR must be a number from 1 to %d, not '%s'", CLOCK_FASTEST, text);
    if (getenv("NOTIFY_SOCKET"))
        return cmd_fail("WEIR_TEST_TIME_FACTOR is set: it is for tests, take it out of the service's environment");
    if (factor > 1) {
        LOG_WARN("clock.hastened", "factor", text, "hint", "every time-out and wait ends so many times too early: for tests alone");
        clock_hasten((uint32_t)factor);
    }
    return 0;
}

static int run_serve(const struct cmd_line *line)
{
    const char *workers = line->options[OPTION_WORKERS];
    struct master_start start = { .workers = -1, .is_strict = line->options[OPTION_STRICT] != NULL, .argv = line->argv,
                                  .on_ready = on_ready };
    if (workers) {
        char *end;
        long n = strtol(workers, &end, 10);
        if (end == workers || *end || n < 0 || n > WORKERS_MAX)
            return cmd_fail("--workers must be a number from 0 to %d, not '%s'", WORKERS_MAX, workers), CMD_USAGE;
        start.workers = (int)n;
    }
    start.config_path = cmd_config_path(line->options[OPTION_CONFIG]);
    if (hasten_clock())
        return CMD_FAILED;
    return start.config_path ? master_run(&start) : CMD_FAILED;
}

const struct command cmd_serve = {
    .name = "serve",
    .words = "",
    .summary = "Starts the gateway and stays in the foreground",
    .text = "Signals: HUP reads the configuration again, USR1 reopens log files, USR2 upgrades the program in place,\n"
            "TERM and INT drain and end; a second one ends at once.",
    .options = { CMD_CONFIG,
                 { "strict", 0, NULL, "a reference (env:, file:) that is not set is an error, not a warning" },
                 { "workers", 0, "N", "worker processes, whatever the configuration says; 0: all in one process" } },
    .run = run_serve,
};
