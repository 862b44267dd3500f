/* What a shared object says about itself before any of its code has run: read from its bytes, nothing is mapped.
 *
 * The bytes may be anything (a text, half a copy, an attack): every offset is checked before it is followed.
 */
#ifndef WEIR_CORE_ELF_FACTS_H
#define WEIR_CORE_ELF_FACTS_H

#include <weir/plugin.h>

enum elf_verdict {
    ELF_OK = 0,
    ELF_NOT_ELF,       /* no ELF file at all */
    ELF_CUT,           /* something points behind the end: half copied, or damaged */
    ELF_OTHER_MACHINE, /* another processor or word size */
    ELF_NOT_SHARED,    /* an object file, a program */
};

struct elf_facts {
    uint16_t machine;         /* e_machine, for OTHER_MACHINE */
    bool has_note;            /* the note "weir": head is valid */
    struct weir_head head;
    bool has_symbol;          /* exports weir_plugin */
    char other_symbol[64];    /* something else that it exports; "" if nothing */
    char sanitizer[16];       /* "address", "thread", "memory" if it was built with one; else "" */
    uint32_t glibc_minor;     /* the newest GLIBC_2.x it asks for; 0: none */
};

enum elf_verdict elf_read_facts(const void *bytes, size_t n, struct elf_facts *facts);
/* "x86-64", "aarch64", … or "machine 243" into buf. */
const char *elf_machine_name(uint16_t machine, char *buf, size_t n);
uint16_t elf_own_machine(void);

#endif
