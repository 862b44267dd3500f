/* Reads a shared object's facts from its bytes: header, program headers, the note, the dynamic section's symbols and
 * version needs. It follows program headers only: section headers may be stripped.
 *
 * Everything is copied out of the image by take(), which knows the image's end; nothing here keeps memory.
 */
#include "elf_facts.h"

#include <elf.h>
#include <stdio.h>

enum { SEGMENTS_MAX = 256, DYNAMIC_MAX = 4096, NOTES_MAX = 64, SYMBOLS_MAX = 1 << 20, NEEDS_MAX = 4096 };

struct image {
    const unsigned char *p;
    size_t n;
    Elf64_Ehdr header;
};

/* What of the dynamic section matters; addresses as the file gives them, 0: absent. */
struct dynamic {
    uint64_t strings, strings_n, symbols, gnu_hash, sysv_hash, needs, needs_n;
    bool is_program;
};

struct span { /* of symbol numbers */
    uint64_t first, end;
};

static bool holds(const struct image *im, uint64_t offset, uint64_t n)
{
    return offset <= im->n && n <= im->n - offset;
}

static bool take(const struct image *im, uint64_t offset, void *to, size_t n)
{
    if (!holds(im, offset, n))
        return false;
    memcpy(to, im->p + offset, n);
    return true;
}

static bool segment(const struct image *im, uint32_t i, Elf64_Phdr *ph)
{
    return take(im, im->header.e_phoff + (uint64_t)i * sizeof *ph, ph, sizeof *ph);
}

/* Where in the file the byte of that address stands. */
static bool file_offset(const struct image *im, uint64_t address, uint64_t *offset)
{
    Elf64_Phdr ph;
    for (uint32_t i = 0; i < im->header.e_phnum && segment(im, i, &ph); i++)
        if (ph.p_type == PT_LOAD && address >= ph.p_vaddr && address - ph.p_vaddr < ph.p_filesz) {
            *offset = ph.p_offset + (address - ph.p_vaddr);
            return true;
        }
    return false;
}

static bool take_at(const struct image *im, uint64_t address, uint64_t more, void *to, size_t n)
{
    uint64_t offset;
    return file_offset(im, address, &offset) && offset + more >= offset && take(im, offset + more, to, n);
}

/* A string of the dynamic string table; cut to what fits. */
static bool string_at(const struct image *im, const struct dynamic *d, uint64_t index, char *to, size_t n)
{
    uint64_t offset;
    if (index >= d->strings_n || !file_offset(im, d->strings, &offset) || offset + index < offset)
        return false;
    offset += index;
    size_t i = 0;
    for (; i + 1 < n && offset + i < im->n && index + i < d->strings_n && im->p[offset + i]; i++)
        to[i] = (char)im->p[offset + i];
    to[i] = '\0';
    return true;
}

static enum elf_verdict read_header(struct image *im, struct elf_facts *facts)
{
    Elf64_Ehdr *h = &im->header;
    if (im->n < SELFMAG || memcmp(im->p, ELFMAG, SELFMAG) != 0)
        return ELF_NOT_ELF;
    if (!take(im, 0, h, sizeof *h))
        return ELF_CUT;
    facts->machine = h->e_machine;
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != elf_own_machine())
        return ELF_OTHER_MACHINE;
    if (h->e_type != ET_DYN)
        return ELF_NOT_SHARED;
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum > SEGMENTS_MAX)
        return ELF_CUT;
    /* the section headers stand last: where they are missing the copy isn't finished */
    bool is_whole = holds(im, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)) &&
                    holds(im, h->e_shoff, (uint64_t)h->e_shnum * h->e_shentsize);
    return is_whole ? ELF_OK : ELF_CUT;
}

static void read_notes(const struct image *im, const Elf64_Phdr *ph, struct elf_facts *facts)
{
    uint64_t at = ph->p_offset, left = ph->p_filesz;
    Elf64_Nhdr note;
    for (int i = 0; i < NOTES_MAX && left >= sizeof note && take(im, at, &note, sizeof note); i++) {
        uint64_t name_n = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
        uint64_t desc_n = ((uint64_t)note.n_descsz + 3) & ~UINT64_C(3);
        char name[5] = "";
        bool is_weir = note.n_namesz == 5 && take(im, at + sizeof note, name, 5) && memcmp(name, "weir", 5) == 0;
        /* struct weir_note keeps 8 bytes for the name: "weir" with its end, padded to 4 */
        if (is_weir && note.n_type == 1 && note.n_descsz == sizeof facts->head)
            facts->has_note = take(im, at + sizeof note + name_n, &facts->head, sizeof facts->head);
        uint64_t whole = sizeof note + name_n + desc_n;
        if (whole > left)
            return;
        at += whole;
        left -= whole;
    }
}

static void dynamic_entry(struct dynamic *d, const Elf64_Dyn *e)
{
    uint64_t value = e->d_un.d_val;
    switch (e->d_tag) {
    case DT_STRTAB:
        d->strings = value;
        break;
    case DT_STRSZ:
        d->strings_n = value;
        break;
    case DT_SYMTAB:
        d->symbols = value;
        break;
    case DT_GNU_HASH:
        d->gnu_hash = value;
        break;
    case DT_HASH:
        d->sysv_hash = value;
        break;
    case DT_VERNEED:
        d->needs = value;
        break;
    case DT_VERNEEDNUM:
        d->needs_n = value;
        break;
    case DT_FLAGS_1:
        d->is_program = value & DF_1_PIE;
        break;
    default:
        break;
    }
}

static void read_dynamic(const struct image *im, const Elf64_Phdr *ph, struct dynamic *d)
{
    Elf64_Dyn e;
    for (uint64_t i = 0; i < DYNAMIC_MAX && (i + 1) * sizeof e <= ph->p_filesz; i++) {
        if (!take(im, ph->p_offset + i * sizeof e, &e, sizeof e) || e.d_tag == DT_NULL)
            return;
        dynamic_entry(d, &e);
    }
}

/* The GNU hash table knows only exported symbols; its chains tell where they end. */
static uint64_t gnu_hash_end(const struct image *im, const struct dynamic *d, const uint32_t head[4])
{
    uint64_t buckets = 16 + (uint64_t)head[2] * 8, chains = buckets + (uint64_t)head[0] * 4, last = 0;
    uint32_t word = 0;
    for (uint64_t i = 0; i < head[0] && i < SYMBOLS_MAX; i++) {
        if (!take_at(im, d->gnu_hash, buckets + i * 4, &word, 4))
            return head[1];
        last = word > last ? word : last;
    }
    if (last < head[1])
        return head[1];
    for (uint64_t steps = 0; steps < SYMBOLS_MAX; steps++, last++)
        if (!take_at(im, d->gnu_hash, chains + (last - head[1]) * 4, &word, 4) || (word & 1))
            return last + 1;
    return last;
}

static struct span all_symbols(const struct image *im, const struct dynamic *d)
{
    uint32_t head[4];
    if (d->gnu_hash && take_at(im, d->gnu_hash, 0, head, sizeof head))
        return (struct span){ 1, gnu_hash_end(im, d, head) };
    if (d->sysv_hash && take_at(im, d->sysv_hash, 0, head, 8))
        return (struct span){ 1, head[1] };
    return (struct span){ 1, 1 };
}

static void note_undefined(struct elf_facts *facts, const char *name)
{
    static const char *const runtimes[][2] = {
        { "__asan_init", "address" }, { "__tsan_init", "thread" }, { "__msan_init", "memory" }
    };
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
        if (strcmp(name, runtimes[i][0]) == 0)
            snprintf(facts->sanitizer, sizeof facts->sanitizer, "%s", runtimes[i][1]);
}

static void note_exported(struct elf_facts *facts, const char *name)
{
    if (strcmp(name, "weir_plugin") == 0)
        facts->has_symbol = true;
    else if (!facts->other_symbol[0] && strncmp(name, "__odr_asan", 10) != 0) /* AddressSanitizer's own mark */
        snprintf(facts->other_symbol, sizeof facts->other_symbol, "%s", name);
}

static void read_symbols(const struct image *im, const struct dynamic *d, struct elf_facts *facts)
{
    struct span s = all_symbols(im, d);
    Elf64_Sym sym;
    char name[64];
    for (uint64_t i = s.first; i < s.end && i < SYMBOLS_MAX; i++) {
        if (!take_at(im, d->symbols, i * sizeof sym, &sym, sizeof sym) ||
            !string_at(im, d, sym.st_name, name, sizeof name))
            return;
        unsigned bind = ELF64_ST_BIND(sym.st_info), visible = ELF64_ST_VISIBILITY(sym.st_other);
        if (sym.st_shndx == SHN_UNDEF)
            note_undefined(facts, name);
        else if (bind != STB_LOCAL && (visible == STV_DEFAULT || visible == STV_PROTECTED))
            note_exported(facts, name);
    }
}

static void need_version(struct elf_facts *facts, const char *version)
{
    unsigned minor = 0;
    if (sscanf(version, "GLIBC_2.%u", &minor) == 1 && minor > facts->glibc_minor)
        facts->glibc_minor = minor;
}

static void read_needs(const struct image *im, const struct dynamic *d, struct elf_facts *facts)
{
    uint64_t at = 0;
    Elf64_Verneed need;
    Elf64_Vernaux aux;
    uint32_t budget = NEEDS_MAX;
    char version[32];
    for (uint64_t i = 0; i < d->needs_n && budget; i++, budget--) {
        if (!take_at(im, d->needs, at, &need, sizeof need))
            return;
        uint64_t aux_at = at + need.vn_aux;
        for (uint32_t k = 0; k < need.vn_cnt && budget; k++, budget--) {
            if (!take_at(im, d->needs, aux_at, &aux, sizeof aux))
                return;
            if (string_at(im, d, aux.vna_name, version, sizeof version))
                need_version(facts, version);
            aux_at += aux.vna_next;
        }
        at += need.vn_next;
    }
}

enum elf_verdict elf_read_facts(const void *bytes, size_t n, struct elf_facts *facts)
{
    struct image im = { bytes, n, { { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } };
    struct dynamic d = { 0 };
    Elf64_Phdr ph;
    memset(facts, 0, sizeof *facts);
    enum elf_verdict verdict = read_header(&im, facts);
    if (verdict != ELF_OK)
        return verdict;
    for (uint32_t i = 0; i < im.header.e_phnum && segment(&im, i, &ph); i++) {
        if (ph.p_filesz > n || ph.p_offset > n - ph.p_filesz)
            return ELF_CUT;
        if (ph.p_type == PT_NOTE)
            read_notes(&im, &ph, facts);
        else if (ph.p_type == PT_DYNAMIC)
            read_dynamic(&im, &ph, &d);
    }
    if (d.is_program)
        return ELF_NOT_SHARED;
    read_symbols(&im, &d, facts);
    read_needs(&im, &d, facts);
    return ELF_OK;
}

uint16_t elf_own_machine(void)
{
#if defined(__x86_64__)
    return EM_X86_64;
#elif defined(__aarch64__)
    return EM_AARCH64;
#elif defined(__riscv)
    return EM_RISCV;
#else
#error "weir runs on x86-64, aarch64 and riscv64"
#endif
}

const char *elf_machine_name(uint16_t machine, char *buf, size_t n)
{
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return "riscv";
    default:
        snprintf(buf, n, "machine %u", machine);
        return buf;
    }
}
