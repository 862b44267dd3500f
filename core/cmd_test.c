/* `weir test`: runs the tests that users write beside their rules, each case in a process and a weir of its own. */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "clock.h"
#include "json.h"
#include "pipeline.h"
#include "rehearsal_case.h"

enum { OPTION_PLUGIN, OPTION_ONLY, OPTION_VERBOSE };
enum { CASE_MS = 10000, FILES_MAX = 1000 };

struct tests {
    const struct plugin *dialect;
    const char *only;
    bool is_verbose;
    int passed, failed, files;
};

/* ---- which plugins ---- */

static void open_all(const char *pattern, uint32_t kind)
{
    glob_t found;
    char why[512];
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            plugin_open(found.gl_pathv[i], kind, why, sizeof(why));
    globfree(&found);
}

void cmd_open_plugins(const char *more)
{
    char pattern[CMD_PATH];
    snprintf(pattern, sizeof(pattern), "%s/providers/*.so", config_plugin_dir());
    open_all(pattern, WEIR_KIND_CODEC);
    snprintf(pattern, sizeof(pattern), "%s/plugins/*.so", config_plugin_dir());
    open_all(pattern, WEIR_KIND_STAGE);
    if (more)
        open_all(more, WEIR_KIND_STAGE);
}

static bool has_both_sides(const struct plugin *p)
{
    const struct weir_codec *c = &p->codec;
    return p->desc.head.kind == WEIR_KIND_CODEC && c->claims && c->decode_request && c->encode_request && c->decode_frame &&
           c->encode_answer && c->encode_error && !c->speaks;
}

const struct plugin *cmd_choose_dialect(void)
{
    const struct plugin *best = NULL;
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        if (has_both_sides(p) && (!best || __builtin_popcount(p->codec.capabilities) >
                                               __builtin_popcount(best->codec.capabilities)))
            best = p;
    return best;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static const struct plugin *stage_for(const char *path)
{
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        if (p->stage.test_suffix && p->stage.read_test && ends_with(path, p->stage.test_suffix))
            return p;
    return NULL;
}

/* ---- one case ---- */

/* What the child says, until it ends. false: it did not end in time, and was ended. */
static bool listen_to(int fd, pid_t child, struct weir_out *to)
{
    char buf[4096];
    int64_t deadline_us = monotonic_us() + CASE_MS * 1000;
    for (;;) {
        int left_ms = (int)((deadline_us - monotonic_us()) / 1000);
        struct pollfd p = { fd, POLLIN, 0 };
        int ready = poll(&p, 1, left_ms > 0 ? left_ms : 0);
        if (ready == 0) {
            kill(child, SIGKILL);
            return false;
        }
        ssize_t n = ready > 0 ? read(fd, buf, sizeof(buf)) : -1;
        if (n > 0)
            out_write(to, (struct weir_str){ buf, (size_t)n });
        else if (n == 0 || errno != EINTR)
            return true;
    }
}

__attribute__((noreturn)) static void be_the_child(bool (*run)(void *arg, FILE *out), void *arg, int fd)
{
    dup2(fd, STDERR_FILENO); /* what plugins log belongs to the case */
    FILE *out = fdopen(fd, "w");
    bool is_well = out && run(arg, out);
    if (out)
        fclose(out);
    _exit(is_well ? 0 : 1);
}

bool cmd_run_apart(bool (*run)(void *arg, FILE *out), void *arg, struct weir_out *told)
{
    int fds[2], status = 1;
    fflush(NULL);
    if (pipe(fds) < 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        be_the_child(run, arg, fds[1]);
    }
    close(fds[1]);
    bool was_in_time = child > 0 && listen_to(fds[0], child, told);
    close(fds[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    if (child > 0 && !was_in_time)
        out_write(told, WEIR_LIT("     it ran for more than 10 s and was ended\n"));
    else if (child > 0 && WIFSIGNALED(status))
        out_write(told, WEIR_LIT("     it crashed; the lines above say where\n"));
    return child > 0 && status == 0;
}

static bool run_one(void *arg, FILE *out)
{
    struct rehearsal_case *c = arg;
    c->out = out;
    return rehearsal_case_run(c);
}

/* ---- one file ---- */

static void count(struct tests *t, const char *path, const char *name, bool is_well, struct weir_str told)
{
    t->passed += is_well;
    t->failed += !is_well;
    if (!is_well)
        printf("FAIL %s: %s\n%.*s", path, name, (int)told.n, told.n ? told.p : "");
    else if (t->is_verbose)
        printf("ok   %s: %s\n", path, name);
}

static void run_cases(struct tests *t, const struct plugin *stage, const char *path, json_t *file)
{
    json_t *given;
    size_t i;
    json_array_foreach(json_object_get(file, "cases"), i, given) {
        const char *name = json_string_value(json_object_get(given, "name"));
        struct rehearsal_case c = { .stage = stage, .dialect = t->dialect, .given = given, .is_verbose = t->is_verbose };
        struct weir_out told = { 0 };
        if (!name || (t->only && !strstr(name, t->only)))
            continue;
        c.settings = json_deep_copy(json_object_get(file, "settings"));
        json_object_update(c.settings, json_object_get(given, "settings"));
        bool is_well = cmd_run_apart(run_one, &c, &told);
        count(t, path, name, is_well, out_bytes(&told));
        out_free(&told);
        json_decref(c.settings);
    }
}

static void run_file(struct tests *t, const char *path)
{
    const struct plugin *stage = stage_for(path);
    struct weir_out text = { 0 };
    char *whole = realpath(path, NULL);
    t->files++;
    if (!stage || !whole) {
        count(t, path, "the file", false, whole ? WEIR_LIT("     no plugin here reads tests with such a name\n") : WEIR_LIT("     it can't be read\n"));
    } else if (stage->stage.read_test(&host_table, whole, &text) < 0) {
        printf("FAIL %s: it can't be read\n     %.*s\n", path, (int)out_bytes(&text).n, out_bytes(&text).p);
        t->failed++;
    } else {
        json_t *file = json_loadb(out_bytes(&text).p, out_bytes(&text).n, 0, NULL);
        run_cases(t, stage, path, file);
        json_decref(file);
    }
    out_free(&text);
    free(whole);
}

static void run_folder(struct tests *t, const char *folder)
{
    char pattern[CMD_PATH];
    for (const struct plugin *p = plugin_first(); p; p = p->next) {
        glob_t found;
        if (!p->stage.test_suffix || !p->stage.read_test)
            continue;
        snprintf(pattern, sizeof(pattern), "%s/*%s", folder, p->stage.test_suffix);
        if (glob(pattern, 0, NULL, &found) == 0)
            for (size_t i = 0; i < found.gl_pathc && i < FILES_MAX; i++)
                run_file(t, found.gl_pathv[i]);
        globfree(&found);
    }
}

/* ---- the command ---- */

static int run_test(const struct cmd_line *line)
{
    struct tests t = { .only = line->options[OPTION_ONLY], .is_verbose = line->options[OPTION_VERBOSE] != NULL };
    struct stat info;
    cmd_open_plugins(line->options[OPTION_PLUGIN]);
    t.dialect = cmd_choose_dialect();
    if (!t.dialect)
        return cmd_fail("no provider plugin with both sides is in %s/providers: a test needs one", config_plugin_dir());
    int64_t begin_us = monotonic_us();
    for (int i = 0; i < (line->n_words ? line->n_words : 1); i++) {
        const char *path = line->n_words ? line->words[i] : "policies";
        if (stat(path, &info) < 0)
            return cmd_fail("%s: %s", path, strerror(errno));
        if (S_ISDIR(info.st_mode))
            run_folder(&t, path);
        else
            run_file(&t, path);
    }
    if (!t.files)
        return cmd_fail("there are no tests: files whose names end in _test.lua, beside the policy that they test");
    printf("%d passed, %d failed (%d files, %.2f s)\n", t.passed, t.failed, t.files,
           (double)(monotonic_us() - begin_us) / 1e6);
    return t.failed ? CMD_FAILED : CMD_OK;
}

const struct command cmd_test = {
    .name = "test",
    .words = "[FILE|FOLDER …]",
    .min_words = 0,
    .max_words = CMD_WORDS,
    .summary = "Runs the tests of policies in the production engine",
    .text = "A test is a case in NAME_test.lua beside NAME.lua: a request, what providers answer, and what must come of it.\n"
            "Providers, fetches, time and chance are the case's own; nothing leaves this machine. Without words: policies/.\n"
            "lua/README.md, \"Tests\", has the format.",
    .options = { { "plugin", 'p', "FILE.so", "another stage whose tests are to be read (a pattern is possible)" },
                 { "only", 'o', "TEXT", "only cases with this in their names" },
                 { "verbose", 'v', NULL, "say each case; show the request record of those that fail" } },
    .run = run_test,
};
