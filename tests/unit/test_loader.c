/* The loader: what it reads from a file, and one distinct sentence per reason to refuse it. */
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_facts.h"
#include "loader.h"
#include "test.h"

static char why[1024];
static char folder[] = "/tmp/weir-test-loader-XXXXXX";

static const char *built(const char *name)
{
    static char path[512];
    const char *build = getenv("WEIR_BUILD");
    snprintf(path, sizeof path, "%s/tests/plugins/%s.so", build ? build : "build", name);
    return path;
}

static char *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    char *bytes = malloc(1 << 20);
    *n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static const char *in_folder(const char *name)
{
    static char path[512];
    if (strstr(folder, "XXXXXX"))
        CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *written(const char *name, const void *bytes, size_t n, unsigned mode)
{
    const char *path = in_folder(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && fchmod(fd, mode) == 0);
    close(fd);
    return path;
}

static void refused(const char *path, uint32_t kind, const char *must_say)
{
    CHECK(plugin_open(path, kind, why, sizeof why) == NULL);
    if (!strstr(why, must_say) || strncmp(why, path, strlen(path)) != 0) {
        printf("  said %s\n  must say %s\n", why, must_say);
        CHECK(!"the refusal names the file and the reason");
    }
}

TEST(a_good_plugin_is_opened_once)
{
    struct plugin *p = plugin_open(built("good"), WEIR_KIND_STAGE, why, sizeof why);
    CHECK(p != NULL);
    CHECK_STR(p->desc.name, "good");
    CHECK(p->stage.create != NULL && p->codec.create == NULL);
    CHECK(p->index > 0 && plugin_by_index(p->index) == p);
    CHECK(plugin_open(built("good"), 0, why, sizeof why) == p);
    CHECK(plugin_find("good", WEIR_KIND_STAGE) == p && !plugin_find("good", WEIR_KIND_CODEC));
}

TEST(a_copy_of_a_loaded_file_is_the_same_plugin)
{
    size_t n;
    struct plugin *p = plugin_open(built("good"), 0, why, sizeof why);
    char *bytes = read_all(built("good"), &n);
    CHECK(p && plugin_open(written("copy.so", bytes, n, 0644), 0, why, sizeof why) == p);
    free(bytes);
}

TEST(another_file_of_the_same_name_is_refused)
{
    CHECK(plugin_open(built("good"), 0, why, sizeof why) != NULL);
    refused(built("twin"), 0, "has the name 'good', which ");
}

TEST(peek_reads_the_head_without_opening)
{
    struct weir_head head;
    CHECK(plugin_peek(built("no_create"), &head, why, sizeof why) == 0);
    CHECK(head.magic == WEIR_MAGIC && head.kind == WEIR_KIND_STAGE && head.abi_major == WEIR_ABI_MAJOR);
}

TEST(each_reason_has_its_sentence)
{
    refused(built("no_create"), 0, "lacks the op 'create'");
    refused(built("no_symbol"), 0, "exports no symbol weir_plugin");
    refused(built("no_note"), 0, "has no weir note");
    refused(built("two_heads"), 0, "says one thing in its note and another in weir_plugin");
    refused(built("wrong_magic"), 0, "wrong magic number (12345678, not 72696577)");
    refused(built("unknown_kind"), 0, "kind (9) that this weir does not know");
    refused(built("bad_option"), 0, "option 'word' outside its configuration struct");
    refused(built("bad_name"), 0, "bad name");
    refused(built("two_symbols"), 0, "exports leaked_helper beside weir_plugin");
    refused(built("undefined"), 0, "uses the symbol nobody_has_this");
    refused(built("codec_empty"), 0, "without claims and without operations");
    refused(built("codec_half"), 0, "lacks the op 'request_head'");
    refused(built("good"), WEIR_KIND_CODEC, "is a stage, but a provider is wanted here");
}

TEST(abi_versions_are_named_with_the_remedy)
{
    refused(built("other_major"), 0, "ABI 2.0, this weir speaks 1.1: build it against this weir's SDK, or upgrade weir");
    refused(built("newer_minor"), 0, "ABI 1.4, this weir speaks 1.1: upgrade weir, or build it with -DWEIR_ABI_MINOR=1");
}

TEST(files_that_are_no_plugins)
{
    size_t n;
    char *bytes = read_all(built("good"), &n);
    refused(in_folder("absent.so"), 0, "does not exist");
    refused(folder, 0, "is not a file");
    refused(written("text.so", "hello", 5, 0644), 0, "is not a shared object");
    refused(written("empty.so", "", 0, 0644), 0, "is not a shared object");
    refused(written("half.so", bytes, n / 2, 0644), 0, "cut off or damaged");
    refused(written("open.so", bytes, n, 0646), 0, "is writable by everybody");
    ((Elf64_Ehdr *)(void *)bytes)->e_machine = EM_S390;
    refused(written("other.so", bytes, n, 0644), 0, "is built for machine 22, this machine is ");
    ((Elf64_Ehdr *)(void *)bytes)->e_machine = EM_ARM;
    refused(written("arm.so", bytes, n, 0644), 0, "is built for arm");
    ((Elf64_Ehdr *)(void *)bytes)->e_machine = elf_own_machine();
    ((Elf64_Ehdr *)(void *)bytes)->e_type = ET_REL;
    refused(written("object.so", bytes, n, 0644), 0, "not a shared object: link it with -shared");
    refused("/proc/self/exe", 0, "not a shared object: link it with -shared");
    free(bytes);
}

TEST(a_folder_that_everybody_may_write_to)
{
    size_t n;
    char *bytes = read_all(built("good"), &n);
    const char *path = written("fine.so", bytes, n, 0644);
    CHECK(chmod(folder, 0777) == 0);
    refused(path, 0, "a folder that everybody may write to");
    CHECK(chmod(folder, 0700) == 0);
    free(bytes);
}

/* The version need "GLIBC_2.2.5" becomes one of the far future by patching the string table. */
TEST(newer_glibc)
{
    size_t n;
    char *bytes = read_all(built("needs_glibc"), &n), *at = memmem(bytes, n, "GLIBC_2.2.5", 11);
    CHECK(at != NULL);
    memcpy(at, "GLIBC_2.999", 11);
    refused(written("newer.so", bytes, n, 0644), 0, "needs glibc 2.999, this machine has 2.");
    free(bytes);
}

TEST(missing_library)
{
    size_t n;
    char *bytes = read_all(built("needs_library"), &n), *at = memmem(bytes, n, "libm.so.6", 9);
    CHECK(at != NULL);
    memcpy(at, "libw.so.6", 9);
    refused(written("needs.so", bytes, n, 0644), 0, "needs the library libw.so.6, which is not on this machine");
    free(bytes);
}

TEST(a_sanitized_plugin)
{
    size_t n;
    char *bytes = read_all(built("sanitized"), &n);
    struct elf_facts facts;
    CHECK(elf_read_facts(bytes, n, &facts) == ELF_OK);
    CHECK_STR(facts.sanitizer, "address");
    free(bytes);
}

TEST(every_prefix_of_a_file_is_survived)
{
    size_t n;
    char *bytes = read_all(built("good"), &n);
    struct elf_facts facts;
    for (size_t i = 0; i < n; i += i < 2048 ? 1 : 61) {
        char *exact = malloc(i ? i : 1);
        memcpy(exact, bytes, i);
        CHECK(elf_read_facts(exact, i, &facts) != ELF_OK || facts.has_note);
        free(exact);
    }
    free(bytes);
}

TEST(nothing_is_left_behind)
{
    const char *names[] = { "copy.so", "text.so", "empty.so", "half.so", "open.so", "other.so", "arm.so", "object.so",
                            "fine.so", "newer.so", "needs.so" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    CHECK(rmdir(folder) == 0);
}
