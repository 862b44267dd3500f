/* Configurations under test: texts in a folder of their own, with a library of the build's providers and of the stages in
 * tests/unit/plugins.
 */
#ifndef WEIR_TESTS_UNIT_CONFIG_LAB_H
#define WEIR_TESTS_UNIT_CONFIG_LAB_H

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "json.h"
#include "plugins/settings.h"
#include "test.h"

static char folder[] = "/tmp/weir-test-config-XXXXXX";
__attribute__((unused)) static struct config_errors errors;
__attribute__((unused)) static struct config *config;
__attribute__((unused)) static bool is_strict;

/* ---- files ---- */

__attribute__((unused)) static const char *in_folder(const char *name)
{
    static char paths[8][600];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

__attribute__((unused)) static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

__attribute__((unused)) static void link_plugin(const char *from_folder, const char *kind, const char *name)
{
    char from[1200], to[200];
    const char *build = getenv("WEIR_BUILD");
    snprintf(from, sizeof from, "%s/%s/%s.so", build ? build : "build", from_folder, name);
    snprintf(to, sizeof to, "lib/%s/%s.so", kind, name);
    char *real = realpath(from, NULL);
    CHECK(!real || symlink(real, in_folder(to)) == 0);
    free(real);
}

__attribute__((unused)) static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

__attribute__((unused)) static void remove_folder(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static void set_up(void)
{
    static const char *const folders[] = { "lib",    "lib/plugins", "lib/providers", "lib/lua", "lib/policies",
                                           "conf.d", "rules",       "rules/sub",     "gen" };
    if (!strstr(folder, "XXXXXX"))
        return;
    CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        CHECK(mkdir(in_folder(folders[i]), 0700) == 0);
    link_plugin("tests/plugins", "plugins", "settings");
    link_plugin("tests/plugins", "plugins", "gate");
    link_plugin("providers", "providers", "openai");
    link_plugin("providers", "providers", "anthropic");
    link_plugin("providers", "providers", "simulator");
    write_file("rules/a.lua", "return {}\n");
    write_file("rules/sub/b.lua", "return { 1 }\n");
    write_file("lib/lua/lib.lua", "return { 2 }\n");
    write_file("lib/policies/shipped.lua", "return {}\n");
    setenv("WEIR_LIB", in_folder("lib"), 1);
    setenv("WEIR_TEST_KEY", "sk-from-the-environment", 1);
    setenv("WEIR_TEST_NUMBER", "5", 1);
    unsetenv("WEIR_TEST_UNSET");
}

/* ---- loading ---- */

__attribute__((unused)) static const char *load(const char *text)
{
    static char said[8192];
    set_up();
    config_free(config);
    config_errors_free(&errors);
    write_file("weir.yaml", text);
    config = config_load(in_folder("weir.yaml"), NULL, is_strict ? CONFIG_STRICT : CONFIG_NORMAL, &errors);
    said[0] = 0;
    for (uint32_t i = 0; i < errors.n; i++) {
        size_t n = strlen(said);
        snprintf(said + n, sizeof said - n, "%u:%s%s\n", errors.list[i].place.line,
                 errors.list[i].is_warning ? "warning: " : "", errors.list[i].text);
    }
    return said;
}

static const char base[] = "providers:\n"
                           "  demo: { dialect: simulator }\n"
                           "models:\n"
                           "  demo: { targets: [demo/demo] }\n";
static const char routes[] = "routes: [{ match: { path: /v1/* } }]\n";

__attribute__((unused)) static const char *load_with(const char *more)
{
    static char text[8192];
    snprintf(text, sizeof text, "%s%s%s", base, strstr(more, "routes:") ? "" : routes, more);
    return load(text);
}

__attribute__((unused)) static void expect(const char *more, const char *wanted, const char *file, int line)
{
    const char *said = load_with(more);
    if (strstr(said, wanted))
        return;
    printf("  configuration:\n%s  said: %s  wanted: %s\n", more, said, wanted);
    test_fail(file, line, "the mistake is told");
}
#define EXPECT(more, wanted) expect(more, wanted, __FILE__, __LINE__)

__attribute__((unused)) static void fine(const char *more, const char *file, int line)
{
    const char *said = load_with(more);
    if (config && !said[0])
        return;
    printf("  configuration:\n%s  said: %s\n", more, said);
    test_fail(file, line, "no mistake and no warning");
}
#define FINE(more) fine(more, __FILE__, __LINE__)

#endif
