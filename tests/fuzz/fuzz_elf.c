/* Any bytes as a shared object: the loader's reading of the file must stay inside them, and end. */
#include "elf_facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct elf_facts facts;
    char buf[32];
    enum elf_verdict verdict = elf_read_facts(data, n, &facts);
    if (verdict == ELF_OTHER_MACHINE)
        return elf_machine_name(facts.machine, buf, sizeof buf) == NULL;
    if (memchr(facts.other_symbol, '\0', sizeof facts.other_symbol) == NULL)
        __builtin_trap();
    return 0;
}
