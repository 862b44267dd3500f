/* The loader: decides from the file alone whether a plugin may be opened, opens it, copies its tables.
 *
 * The list of loaded plugins belongs to the process: entries are made here, never freed, never closed. A refusal is one
 * sentence made where the cause is known: the file, what is wrong with it, what to do.
 */
#include "loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "elf_facts.h"
#include "shm.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HOST_IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HOST_IS_SANITIZED 1
#endif
#ifndef HOST_IS_SANITIZED
#define HOST_IS_SANITIZED 0
#endif

enum { FILE_MAX = 256 << 20, OPTIONS_MAX = 512 };

struct reason { /* where the sentence goes */
    const char *path;
    char *why;
    size_t n;
};

static struct plugin *first;
static struct plugin **last = &first;
static uint32_t count;

static int refuse(const struct reason *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(const struct reason *r, const char *format, ...)
{
    va_list args;
    int used = snprintf(r->why, r->n, "%s ", r->path);
    va_start(args, format);
    if (used >= 0 && (size_t)used < r->n)
        vsnprintf(r->why + used, r->n - (size_t)used, format, args);
    va_end(args);
    return -1;
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

static int check_folder(const struct reason *r)
{
    char folder[4096];
    struct stat st;
    const char *slash = strrchr(r->path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - r->path + !(slash - r->path)) : 1, slash ? r->path : ".");
    if (stat(folder, &st) == 0 && (st.st_mode & S_IWOTH))
        return refuse(r, "stands in %s, a folder that everybody may write to: chmod o-w %s, or move the plugin",
                      folder, folder);
    return 0;
}

static int open_file(const struct reason *r, size_t *n)
{
    struct stat st;
    int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(r, errno == ENOENT ? "does not exist: build it, or correct the path"
                                         : "can't be opened: check its permissions");
    int bad = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        bad = refuse(r, "is not a file");
    else if (st.st_mode & S_IWOTH)
        bad = refuse(r, "is writable by everybody, so anybody could change what weir runs: chmod o-w %s", r->path);
    else if (st.st_size > FILE_MAX)
        bad = refuse(r, "is larger than %d MiB: that is no plugin", FILE_MAX >> 20);
    else
        bad = check_folder(r);
    if (bad) {
        close(fd);
        return -1;
    }
    *n = (size_t)st.st_size;
    return fd;
}

/* The whole file, read and not mapped: a file that shrinks meanwhile must not kill the process. */
static void *read_file(const struct reason *r, size_t *n)
{
    int fd = open_file(r, n);
    if (fd < 0)
        return NULL;
    char *bytes = malloc(*n + 1);
    size_t got = 0;
    ssize_t k = 1;
    while (bytes && got < *n && k > 0) {
        k = read(fd, bytes + got, *n - got);
        got += k > 0 ? (size_t)k : 0;
    }
    close(fd);
    if (!bytes)
        refuse(r, "can't be read: out of memory");
    *n = got;
    return bytes;
}

static int check_format(const struct reason *r, enum elf_verdict verdict, const struct elf_facts *facts)
{
    char other[32], own[32];
    switch (verdict) {
    case ELF_OK:
        return 0;
    case ELF_CUT:
        return refuse(r, "is cut off or damaged: copy it again");
    case ELF_OTHER_MACHINE:
        return refuse(r, "is built for %s, this machine is %s: build it for this machine",
                      elf_machine_name(facts->machine, other, sizeof other),
                      elf_machine_name(elf_own_machine(), own, sizeof own));
    case ELF_NOT_SHARED:
        return refuse(r, "is an object file or a program, not a shared object: link it with -shared (sdk/plugin.mk does)");
    case ELF_NOT_ELF:
    default:
        return refuse(r, "is not a shared object: a plugin is an ELF file, made by sdk/plugin.mk");
    }
}

static int check_glibc(const struct reason *r, const struct elf_facts *facts)
{
    unsigned have = 0;
    if (sscanf(gnu_get_libc_version(), "2.%u", &have) != 1 || facts->glibc_minor <= have)
        return 0;
    return refuse(r, "needs glibc 2.%u, this machine has 2.%u: build it here, or on a system that is not newer than this",
                  facts->glibc_minor, have);
}

static int check_marks(const struct reason *r, const struct elf_facts *facts)
{
    if (!facts->has_symbol)
        return refuse(r, "exports no symbol weir_plugin: it is no weir plugin, or WEIR_PLUGIN is missing or hidden");
    if (facts->other_symbol[0])
        return refuse(r, "exports %s beside weir_plugin: build it with -fvisibility=hidden (sdk/plugin.mk does)",
                      facts->other_symbol);
    if (!facts->has_note)
        return refuse(r, "has no weir note, so its ABI can't be known before it runs: add WEIR_NOTE beside WEIR_PLUGIN");
    if (facts->sanitizer[0] && !HOST_IS_SANITIZED)
        return refuse(r, "is built with the %s sanitizer, this weir is not: build it without -fsanitize, or weir with SAN=",
                      facts->sanitizer);
    return 0;
}

static int check_head(const struct reason *r, const struct weir_head *head, uint32_t kind)
{
    static const char *const kinds[] = { "", "a stage", "a provider", "a transport", "a plugin for credentials" };
    if (head->magic != WEIR_MAGIC)
        return refuse(r, "has a wrong magic number (%08x, not %08x): it was not made with <weir/plugin.h>",
                      head->magic, WEIR_MAGIC);
    if (head->abi_major != WEIR_ABI_MAJOR)
        return refuse(r, "is built for plugin ABI %u.%u, this weir speaks %u.%u: build it against this weir's SDK%s",
                      head->abi_major, head->abi_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR_NEWEST,
                      head->abi_major > WEIR_ABI_MAJOR ? ", or upgrade weir" : "");
    if (head->abi_minor > WEIR_ABI_MINOR_NEWEST)
        return refuse(r, "is built for plugin ABI %u.%u, this weir speaks %u.%u: upgrade weir, or build it with "
                         "-DWEIR_ABI_MINOR=%u",
                      head->abi_major, head->abi_minor, WEIR_ABI_MAJOR, WEIR_ABI_MINOR_NEWEST, WEIR_ABI_MINOR_NEWEST);
    if (head->kind < WEIR_KIND_STAGE || head->kind > WEIR_KIND_CREDENTIALS)
        return refuse(r, "is of a kind (%u) that this weir does not know: upgrade weir", head->kind);
    if (head->kind == WEIR_KIND_TRANSPORT)
        return refuse(r, "is a transport: that kind is reserved and not used by this version of weir");
    if (kind && head->kind != kind)
        return refuse(r, "is %s, but %s is wanted here", kinds[head->kind], kinds[kind]);
    return 0;
}

/* All that is known without running anything; the file's digest with it. */
static int inspect(const struct reason *r, uint32_t kind, struct elf_facts *facts, uint8_t sha256[32])
{
    size_t n = 0;
    void *bytes = read_file(r, &n);
    if (!bytes)
        return -1;
    int bad = check_format(r, elf_read_facts(bytes, n, facts), facts);
    if (!bad && !bytes_sha256((struct weir_str){ bytes, n }, sha256))
        bad = refuse(r, "can't be digested: out of memory");
    free(bytes);
    if (bad || check_marks(r, facts) || check_head(r, &facts->head, kind) || check_glibc(r, facts))
        return -1;
    return 0;
}

/* ---- its tables ------------------------------------------------------------------------------------------------------ */

static size_t option_size(uint32_t type)
{
    switch (type) {
    case WEIR_OPTION_BOOL:
        return sizeof(bool);
    case WEIR_OPTION_CHOICE:
        return sizeof(int32_t);
    case WEIR_OPTION_STRING:
    case WEIR_OPTION_SECRET:
    case WEIR_OPTION_LIST:
    case WEIR_OPTION_JSON:
    case WEIR_OPTION_FILE:
        return sizeof(char *);
    case WEIR_OPTION_INT:
    case WEIR_OPTION_NUMBER:
    case WEIR_OPTION_DURATION:
    case WEIR_OPTION_SIZE:
        return 8;
    default:
        return 0;
    }
}

static bool is_name(const char *s)
{
    size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    return n > 0 && n <= 64 && s[n] == '\0';
}

static int check_option(const struct reason *r, const struct weir_plugin *d, const struct weir_option *o)
{
    size_t size = option_size(o->type);
    if (!is_name(o->name))
        return refuse(r, "has an option with a bad name: lower case letters, digits, '_' and '-' only");
    if (!size)
        return refuse(r, "has the option '%s' of type %u, which this weir does not know: upgrade weir", o->name, o->type);
    if (o->offset > d->config_size || size > d->config_size - o->offset || o->offset % size)
        return refuse(r, "has the option '%s' outside its configuration struct: set config_size and offsetof()", o->name);
    if (o->type == WEIR_OPTION_CHOICE && (!o->choices || !*o->choices))
        return refuse(r, "has the choice '%s' without choices: write them as \"a|b|c\"", o->name);
    for (const struct weir_option *other = d->options; other < o; other++)
        if (strcmp(other->name, o->name) == 0)
            return refuse(r, "has the option '%s' twice in its table", o->name);
    return 0;
}

static int check_options(const struct reason *r, const struct weir_plugin *d)
{
    uint32_t n = 0;
    for (const struct weir_option *o = d->options; o && o->name; o++, n++)
        if (n == OPTIONS_MAX)
            return refuse(r, "has an option table without WEIR_OPTIONS_END");
        else if (check_option(r, d, o) != 0)
            return -1;
    return 0;
}

static int missing(const struct reason *r, const char *op, const char *because)
{
    return refuse(r, "lacks the op '%s', which is required %s", op, because);
}

static int check_stage(const struct reason *r, const struct weir_stage_ops *s)
{
    return s->create ? 0 : missing(r, "create", "of every stage: it is how a stage gets the host table");
}

static int check_ingress(const struct reason *r, const struct weir_codec *c)
{
    static const char because[] = "of a codec with claims (a front door)";
    bool decodes = false;
    for (const struct weir_claim *claim = c->claims; claim->method; claim++)
        decodes |= claim->operation != WEIR_OP_MODELS && claim->operation != WEIR_OP_MODEL;
    if (!c->encode_error)
        return missing(r, "encode_error", because);
    if (decodes && !c->decode_request)
        return missing(r, "decode_request", because);
    if (decodes && !c->encode_event)
        return missing(r, "encode_event", because);
    if (decodes && !c->encode_answer)
        return missing(r, "encode_answer", because);
    return 0;
}

static int check_egress(const struct reason *r, const struct weir_codec *c)
{
    static const char because[] = "of a codec that serves operations towards a provider";
    if (!c->request_head)
        return missing(r, "request_head", because);
    if (!c->encode_request)
        return missing(r, "encode_request", because);
    if (!c->decode_frame)
        return missing(r, "decode_frame", because);
    if (!c->decode_end)
        return missing(r, "decode_end", because);
    if ((c->stream_framing == WEIR_FRAMING_OWN || c->whole_framing == WEIR_FRAMING_OWN) && !c->split)
        return missing(r, "split", "with framing OWN");
    return 0;
}

static int check_codec(const struct reason *r, const struct weir_codec *c)
{
    if (!c->create)
        return missing(r, "create", "of every codec: it is how a codec gets the host table");
    if (c->claims && check_ingress(r, c) != 0)
        return -1;
    if (c->speaks)
        return 0;
    if (!c->claims && !c->operations)
        return refuse(r, "is a codec without claims and without operations: it would serve neither side");
    return c->operations ? check_egress(r, c) : 0;
}

/* Plugins' tables begin with their size: what they have is copied, what they don't know stays zero. */
static void copy_table(void *to, size_t n, const void *from, uint32_t its_size)
{
    memset(to, 0, n);
    memcpy(to, from, its_size < n ? its_size : n);
}

static int copy_credentials(const struct reason *r, struct plugin *p)
{
    const struct weir_credentials *c = p->desc.credentials;
    if (!c || c->size < 8)
        return refuse(r, "gets credentials without .credentials: let it point to its weir_credentials, with .size set");
    copy_table(&p->credentials, sizeof p->credentials, c, c->size);
    if (!p->credentials.create)
        return missing(r, "create", "of a plugin for credentials: it is how it gets the host table");
    return p->credentials.obtain ? 0 : missing(r, "obtain", "of a plugin for credentials");
}

static int copy_ops(const struct reason *r, struct plugin *p)
{
    if (p->desc.head.kind == WEIR_KIND_CREDENTIALS)
        return copy_credentials(r, p);
    if (p->desc.head.kind == WEIR_KIND_STAGE) {
        if (!p->desc.stage || p->desc.stage->size < 8)
            return refuse(r, "is a stage without .stage: let it point to its weir_stage_ops, with .size set");
        copy_table(&p->stage, sizeof p->stage, p->desc.stage, p->desc.stage->size);
        return check_stage(r, &p->stage);
    }
    if (!p->desc.codec || p->desc.codec->size < 8)
        return refuse(r, "is a provider without .codec: let it point to its weir_codec, with .size set");
    copy_table(&p->codec, sizeof p->codec, p->desc.codec, p->desc.codec->size);
    const char *wrong = says_read(&p->says, p->codec.says);
    if (wrong)
        return refuse(r, "has a table `says` %s", wrong);
    return check_codec(r, &p->codec);
}

static int copy_descriptor(const struct reason *r, struct plugin *p, const struct weir_plugin *d,
                           const struct weir_head *note)
{
    if (memcmp(&d->head, note, sizeof *note) != 0)
        return refuse(r, "says one thing in its note and another in weir_plugin: use WEIR_HEAD and WEIR_NOTE with the "
                         "same kind");
    if (d->head.size < offsetof(struct weir_plugin, codec) + sizeof(void *))
        return refuse(r, "has a descriptor of %u bytes, the smallest there ever was has %zu", d->head.size,
                      sizeof(struct weir_plugin));
    copy_table(&p->desc, sizeof p->desc, d, d->head.size);
    if (!is_name(p->desc.name))
        return refuse(r, "has a bad name: lower case letters, digits, '_' and '-' only");
    if (!p->desc.version || !p->desc.summary)
        return refuse(r, "lacks .version or .summary in weir_plugin");
    if (check_options(r, &p->desc) != 0)
        return -1;
    return copy_ops(r, p);
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

/* dlerror()'s text says what a person needs only for those who know the dynamic linker. */
static int refuse_dl(const struct reason *r, const char *said)
{
    const char *lost = strstr(said, ": cannot open shared object file");
    const char *undefined = strstr(said, "undefined symbol: ");
    if (lost && strncmp(said, r->path, (size_t)(lost - said)) != 0)
        return refuse(r, "needs the library %.*s, which is not on this machine: install it, or link it statically",
                      (int)(lost - said), said);
    if (undefined)
        return refuse(r, "uses the symbol %s, which no library it names has: link that library; weir itself exports "
                         "nothing, the core is reached through the host table",
                      undefined + strlen("undefined symbol: "));
    return refuse(r, "can't be opened by the dynamic linker: %s", said);
}

static const struct weir_plugin *open_object(const struct reason *r)
{
    int flags = RTLD_NOW | RTLD_LOCAL | (HOST_IS_SANITIZED ? 0 : RTLD_DEEPBIND);
    struct crumb before = crumb_enter(count + 1, CRUMB_LOAD, NULL, NULL);
    void *handle = dlopen(r->path, flags);
    crumb_leave(&before);
    if (!handle) {
        const char *said = dlerror();
        refuse_dl(r, said ? said : "no reason given");
        return NULL;
    }
    const struct weir_plugin *d = dlsym(handle, "weir_plugin");
    if (!d)
        refuse(r, "exports no symbol weir_plugin");
    return d;
}

static struct plugin *find_same(const char *path, const uint8_t sha256[32])
{
    for (struct plugin *p = first; p; p = p->next)
        if (memcmp(p->sha256, sha256, 32) == 0 || strcmp(p->path, path) == 0)
            return p;
    return NULL;
}

static struct plugin *add(struct plugin *p, const char *path)
{
    p->path = p->origin = strdup(path);
    if (!p->path) {
        free(p);
        return NULL;
    }
    p->index = ++count;
    *last = p;
    last = &p->next;
    return p;
}

static struct plugin *load(const struct reason *r, const struct elf_facts *facts, const uint8_t sha256[32])
{
    const struct weir_plugin *d = open_object(r);
    struct plugin *p = d ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    memcpy(p->sha256, sha256, 32);
    int bad = copy_descriptor(r, p, d, &facts->head);
    const struct plugin *other = bad ? NULL : plugin_find(p->desc.name, p->desc.head.kind);
    if (other)
        bad = refuse(r, "has the name '%s', which %s has already: rename one of them", p->desc.name, other->origin);
    if (bad) {
        free(p);
        return NULL;
    }
    return add(p, r->path);
}

struct plugin *plugin_open(const char *path, uint32_t kind, char *why, size_t n)
{
    struct reason r = { path, why, n };
    struct elf_facts facts;
    uint8_t sha256[32];
    snprintf(why, n, "%s can't be opened: out of memory", path);
    if (inspect(&r, kind, &facts, sha256) != 0)
        return NULL;
    struct plugin *same = find_same(path, sha256);
    return same ? same : load(&r, &facts, sha256);
}

int plugin_peek(const char *path, struct weir_head *head, char *why, size_t n)
{
    struct reason r = { path, why, n };
    struct elf_facts facts;
    uint8_t sha256[32];
    if (inspect(&r, 0, &facts, sha256) != 0)
        return -1;
    *head = facts.head;
    return 0;
}

struct plugin *plugin_find(const char *name, uint32_t kind)
{
    for (struct plugin *p = first; p; p = p->next)
        if ((!kind || p->desc.head.kind == kind) && strcmp(p->desc.name, name) == 0)
            return p;
    return NULL;
}

struct plugin *plugin_first(void)
{
    return first;
}

struct plugin *plugin_by_index(uint32_t index)
{
    struct plugin *p = first;
    while (p && p->index != index)
        p = p->next;
    return p;
}
