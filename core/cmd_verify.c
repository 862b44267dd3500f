/* `weir verify-plugin`: the command around the conformance kit (verify.h). */
#include <stdlib.h>

#include "cmd.h"
#include "verify.h"

enum { OPTION_SECONDS, OPTION_WRITE, OPTION_WITH, OPTION_TESTS };
enum { FUZZ_SECONDS = 10, FUZZ_SECONDS_MAX = 3600 };

static int run_verify(const struct cmd_line *line)
{
    const char *seconds = line->options[OPTION_SECONDS];
    char *end = NULL;
    long n = seconds ? strtol(seconds, &end, 10) : FUZZ_SECONDS;
    if (end && (end == seconds || *end || n < 0 || n > FUZZ_SECONDS_MAX))
        return cmd_fail("--seconds must be a number from 0 to %d, not '%s'", FUZZ_SECONDS_MAX, seconds), CMD_USAGE;
    char sdk[CMD_PATH];
    struct verify v = { .path = line->words[0], .settings = line->options[OPTION_WITH] ? line->options[OPTION_WITH] : "{}",
                        .tests = line->options[OPTION_TESTS], .sdk = sdk, .seconds = (int)n,
                        .writes = line->options[OPTION_WRITE] != NULL };
    if (cmd_sdk(sdk) != CMD_OK)
        return CMD_FAILED;
    return verify_plugin(&v) == 0 ? CMD_OK : CMD_FAILED;
}

const struct command cmd_verify_plugin = {
    .name = "verify-plugin",
    .words = "FILE.so",
    .min_words = 1,
    .max_words = 1,
    .summary = "Tests a plugin as weir would use it",
    .text = "A stage is put into a weir of its own and gets answers, streams, failures, clients that leave.\n"
            "A provider gets the pairs of tests/ beside the file (NAME.request.wire, NAME.answer.wire, NAME.stream.wire,\n"
            "NAME.STATUS.error.wire, each with a .canon file), streams cut at every byte, there and back again, mutated\n"
            "bytes; then it says what is not covered.",
    .options = { { "seconds", 's', "N", "how long to feed a provider mutated bytes [10]" },
                 { "write", 0, NULL, "write .canon files that are missing, from what the codec says now" },
                 { "with", 'w', "JSON", "a stage's settings [{}]" },
                 { "tests", 't', "FOLDER", "where the pairs are [tests/ beside the file]" } },
    .run = run_verify,
};
