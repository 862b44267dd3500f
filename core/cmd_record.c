/* `weir record`: has the weir that runs write down what its rules read and decide, for `weir replay`.
 *
 * The file is made here, and its head; the lines are appended by the workers, until this ends it, or its time or its room is
 * over: then also if this process is no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "control.h"
#include "recording.h"

enum { OPTION_CONFIG, OPTION_ADMIN, OPTION_FOR, OPTION_MAX, OPTION_CONTENTS };
enum { DEFAULT_S = 60, DEFAULT_MIB = 64, MOST_S = 24 * 3600, MOST_MIB = 64 * 1024, LOOK_MS = 200 };

static char *admin_of(const struct cmd_line *line)
{
    char path[512] = "", why[1024] = "";
    if (line->options[OPTION_ADMIN])
        return strdup(line->options[OPTION_ADMIN]);
    if (config_admin_path(cmd_config_path(line->options[OPTION_CONFIG]), path, sizeof(path), why, sizeof(why)) == 0)
        return strdup(path);
    cmd_fail("where the admin socket is can't be read: %s; name it with --admin SOCKET", why);
    return NULL;
}

/* A whole number from 1 to `most`; 0: it is none. */
static int64_t number_of(const char *text, int64_t otherwise, int64_t most)
{
    char *end;
    if (!text)
        return otherwise;
    long long n = strtoll(text, &end, 10);
    return *end || n < 1 || n > most ? 0 : n;
}

/* The new file and its first line; -1 after saying why. Who owns the socket is who writes it. */
static int make_file(const char *path, const char *admin, bool has_contents)
{
    struct stat owner;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cmd_fail("%s: %s", path, errno == EEXIST ? "it exists; a recording is a new file" : strerror(errno)), -1;
    if (geteuid() == 0 && stat(admin, &owner) == 0 && fchown(fd, owner.st_uid, owner.st_gid) < 0)
        cmd_fail("%s: it can't be given to the user that weir runs as: %s", path, strerror(errno));
    int n = dprintf(fd, "{\"weir_recording\":%d,\"contents\":%s}\n", RECORDING_VERSION, has_contents ? "true" : "false");
    close(fd);
    return n > 0 ? 0 : (cmd_fail("%s: it can't be written", path), -1);
}

static void put_hex(char *to, const char *path)
{
    for (; *path; path++, to += 2)
        snprintf(to, 3, "%02x", (unsigned char)*path);
}

static int begin(const char *admin, const char *path, int64_t seconds, int64_t mib, bool has_contents)
{
    char hex[2 * RECORDING_PATH + 1] = "", question[2 * RECORDING_PATH + 160], *answer = NULL;
    put_hex(hex, path);
    snprintf(question, sizeof(question), "POST /record?until_ms=%" PRId64 "&max=%" PRId64 "&contents=%d&file=%s",
             ((int64_t)time(NULL) + seconds) * 1000, mib << 20, has_contents, hex);
    int code = control_ask(admin, question, &answer);
    if (code)
        fprintf(stderr, "weir: %s\n", answer ? answer : "out of memory");
    free(answer);
    return code ? -1 : 0;
}

static json_t *ask_state(const char *admin, const char *question)
{
    char *answer = NULL;
    int code = control_ask(admin, question, &answer);
    json_t *state = code == 0 && answer ? json_loads(answer, 0, NULL) : NULL;
    free(answer);
    return state;
}

/* Until the time is over, the file is full, a signal comes, or weir is gone. */
static void wait_for_end(const char *admin, const sigset_t *signals)
{
    const struct timespec look = { 0, LOOK_MS * 1000000L };
    bool goes_on = true;
    while (goes_on && sigtimedwait(signals, NULL, &look) < 0) {
        json_t *state = ask_state(admin, "GET /record/state");
        goes_on = json_is_true(json_object_get(state, "is_on"));
        json_decref(state);
    }
}

static int end(const char *admin, const char *path)
{
    json_t *state = ask_state(admin, "POST /record/stop");
    if (!state)
        return cmd_fail("the weir that was recorded no longer answers; %s has what was written until then", path);
    printf("%" JSON_INTEGER_FORMAT " requests, %" JSON_INTEGER_FORMAT " bytes: %s\n",
           json_integer_value(json_object_get(state, "requests")), json_integer_value(json_object_get(state, "bytes")), path);
    json_int_t dropped = json_integer_value(json_object_get(state, "dropped"));
    if (dropped)
        fprintf(stderr, "weir: %" JSON_INTEGER_FORMAT " requests are not in it: the file was full (--max), or they were too large\n", dropped);
    json_decref(state);
    return CMD_OK;
}

static int record(const struct cmd_line *line, const char *admin, const char *path)
{
    int64_t seconds = number_of(line->options[OPTION_FOR], DEFAULT_S, MOST_S);
    int64_t mib = number_of(line->options[OPTION_MAX], DEFAULT_MIB, MOST_MIB);
    bool has_contents = line->options[OPTION_CONTENTS] != NULL;
    sigset_t signals;
    if (!seconds || !mib)
        return cmd_fail("--for takes seconds (1 to %d), --max MiB (1 to %d)", MOST_S, MOST_MIB), CMD_USAGE;
    if (make_file(path, admin, has_contents) < 0)
        return CMD_FAILED;
    char *whole = realpath(path, NULL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    bool has_begun = whole && strlen(whole) < RECORDING_PATH && begin(admin, whole, seconds, mib, has_contents) == 0;
    free(whole);
    if (!has_begun) {
        unlink(path);
        return CMD_FAILED;
    }
    fprintf(stderr, "recording for %" PRId64 " s; Ctrl-C ends it\n", seconds);
    wait_for_end(admin, &signals);
    return end(admin, path);
}

static int run_record(const struct cmd_line *line)
{
    char *admin = admin_of(line);
    if (!admin)
        return CMD_FAILED;
    int code = record(line, admin, line->words[0]);
    free(admin);
    return code;
}

const struct command cmd_record = {
    .name = "record",
    .words = "FILE",
    .min_words = 1,
    .max_words = 1,
    .summary = "Writes down what the rules of the weir that runs read and decide, for replay",
    .text = "FILE is made, readable by its owner only. It holds figures, names and outcomes; no credentials, and of conversations\n"
            "only the form unless --contents is given. Ends after --for, when FILE is full, or with Ctrl-C.",
    .options = { CMD_CONFIG,
                 { "admin", 'a', "SOCKET", "the admin socket [what the configuration says]" },
                 { "for", 'f', "SECONDS", "how long [60]" },
                 { "max", 'm', "MIB", "how large FILE may become [64]" },
                 { "contents", 0, NULL, "conversations too, and all headers but credentials" } },
    .run = run_record,
};
