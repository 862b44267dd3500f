/* `weir new stage|provider NAME`: writes a folder that builds, passes its test and loads, from the SDK's templates. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

enum { PATHS = CMD_PATH, FILE_MAX = 256 * 1024, NAME_BYTES = 40, DEPTH_MAX = 4 };

struct job {
    const char *name;
    char id[NAME_BYTES + 1]; /* the name with '_' for '-' */
    char sdk[PATHS], folder[PATHS];
};

/* ---- the SDK ---- */

/* In the repository it lies beside build/, installed under share/. */
int cmd_sdk(char *to)
{
    static const char *const places[] = { "/../sdk", "/../share/weir/sdk" };
    char program[PATHS], path[PATHS + 64];
    const char *named = getenv("WEIR_SDK");
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = '\0';
    if (named && realpath(named, to))
        return 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s%s/templates", program, places[i]);
        if (access(path, R_OK) != 0)
            continue;
        snprintf(path, sizeof path, "%s%s", program, places[i]);
        return realpath(path, to) ? 0 : -1;
    }
    return cmd_fail("the SDK's templates are neither in ../sdk nor in ../share/weir/sdk of the program: set WEIR_SDK to the SDK's folder");
}

/* ---- copying, with @WORDS@ replaced ---- */

static const char *word_of(const struct job *job, const char *p, size_t *taken)
{
    const struct { const char *word, *text; } words[] = {
        { "@NAME@", job->name }, { "@ID@", job->id }, { "@SDK@", job->sdk }, { "@FOLDER@", job->folder }
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *taken = strlen(words[i].word);
        if (strncmp(p, words[i].word, *taken) == 0)
            return words[i].text;
    }
    return NULL;
}

static void write_text(const struct job *job, const char *text, FILE *out)
{
    size_t taken;
    for (const char *p = text; *p;) {
        const char *word = *p == '@' ? word_of(job, p, &taken) : NULL;
        if (word)
            fputs(word, out);
        else
            fputc(*p, out);
        p += word ? taken : 1;
    }
}

static char *read_template(const char *path)
{
    char *text = malloc(FILE_MAX + 1);
    FILE *f = fopen(path, "re");
    size_t n = text && f ? fread(text, 1, FILE_MAX, f) : 0;
    if (f)
        fclose(f);
    if (text)
        text[n] = '\0';
    if (f)
        return text;
    free(text);
    return NULL;
}

static int copy_file(const struct job *job, const char *from, const char *to)
{
    char *text = read_template(from);
    FILE *out = text ? fopen(to, "wxe") : NULL;
    if (!out) {
        int bad = cmd_fail("%s can't be %s: %s", text ? to : from, text ? "written" : "read", strerror(errno));
        free(text);
        return bad;
    }
    write_text(job, text, out);
    free(text);
    bool is_bad = ferror(out);
    is_bad |= fclose(out) != 0;
    return is_bad ? cmd_fail("%s can't be written: %s", to, strerror(errno)) : CMD_OK;
}

static int copy_folder(const struct job *job, const char *from, const char *to, int depth);

static int copy_entry(const struct job *job, const char *from, const char *to, const char *entry, int depth)
{
    char source[PATHS], target[PATHS];
    struct stat st;
    const char *tail = strncmp(entry, "NAME.", 5) == 0 ? entry + 4 : "";
    int n = snprintf(source, sizeof source, "%s/%s", from, entry);
    int m = snprintf(target, sizeof target, "%s/%s%s", to, *tail ? job->name : entry, tail);
    if (n >= PATHS || m >= PATHS || stat(source, &st) != 0)
        return cmd_fail("%s/%s can't be read", from, entry);
    return S_ISDIR(st.st_mode) ? copy_folder(job, source, target, depth + 1) : copy_file(job, source, target);
}

static int copy_folder(const struct job *job, const char *from, const char *to, int depth)
{
    DIR *dir = depth < DEPTH_MAX ? opendir(from) : NULL;
    int bad = CMD_OK;
    if (!dir)
        return cmd_fail("%s can't be read: %s", from, strerror(errno));
    if (mkdir(to, 0777) != 0)
        bad = cmd_fail(errno == EEXIST ? "%s exists already: choose another name, or remove it" : "%s can't be made", to);
    for (const struct dirent *e; !bad && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            bad = copy_entry(job, from, to, e->d_name, depth);
    closedir(dir);
    return bad;
}

/* ---- the command ---- */

static bool is_plugin_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return s[0] >= 'a' && s[0] <= 'z' && s[n] == '\0' && n <= NAME_BYTES;
}

static int prepare(struct job *job, const char *name)
{
    char here[PATHS / 2];
    if (cmd_sdk(job->sdk) != 0)
        return CMD_FAILED;
    if (!getcwd(here, sizeof here))
        return cmd_fail("the working directory can't be read: %s", strerror(errno));
    job->name = name;
    snprintf(job->folder, sizeof job->folder, "%s/%s", here, name);
    snprintf(job->id, sizeof job->id, "%s", name);
    for (char *p = job->id; *p; p++)
        if (*p == '-')
            *p = '_';
    return CMD_OK;
}

static int run_new(const struct cmd_line *line)
{
    const char *kind = line->words[0], *name = line->words[1];
    char from[PATHS + 32];
    struct job job;
    if (strcmp(kind, "stage") != 0 && strcmp(kind, "provider") != 0)
        return cmd_fail("there are stages and providers, not '%s'", kind), CMD_USAGE;
    if (!is_plugin_name(name))
        return cmd_fail("a plugin's name begins with a lower case letter, then letters, digits, '_' and '-', %d at most", NAME_BYTES), CMD_USAGE;
    if (prepare(&job, name) != CMD_OK)
        return CMD_FAILED;
    snprintf(from, sizeof from, "%s/templates/%s", job.sdk, kind);
    if (copy_folder(&job, from, name, 0) != CMD_OK)
        return CMD_FAILED;
    printf("%s/ is written. Next:\n\n  cd %s && make && make test\n\nThen load it with one line of the configuration:\n\n"
           "  plugins: [%s/%s.so]\n\nIts README.md says how it is used.\n",
           name, name, job.folder, name);
    return CMD_OK;
}

const struct command cmd_new = {
    .name = "new",
    .words = "stage|provider NAME",
    .min_words = 2,
    .max_words = 2,
    .summary = "Writes the beginning of a plugin of your own, anywhere",
    .text = "Makes the folder NAME here, with sources, a Makefile, a test and a README. It needs the SDK (headers and plugin.mk),\n"
            "which lies beside the program, and nothing else of weir.",
    .run = run_new,
};
