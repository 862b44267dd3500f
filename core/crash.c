/* Crashes of workers; see crash.h.
 *
 * The handler runs on a stack of its own, in a process whose memory may be broken: it writes numbers into shared memory
 * and calls backtrace(), which was made to load what it needs when the handler was installed. If that crashes too, the
 * signal has its default effect and what was written before stays.
 */
#include "crash.h"

#include <execinfo.h>
#include <inttypes.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "shm_layout.h"

enum { STACK_SIZE = 128 * 1024, OWN_FRAMES = 2 }; /* the handler itself and the return from it */

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS };

static void on_fatal(int number, siginfo_t *info, void *context)
{
    struct shm_crash *crash = &shm_own->crash;
    void *frames[SHM_FRAMES + OWN_FRAMES];
    (void)context;
    crash->address = (uint64_t)(uintptr_t)info->si_addr;
    crash->n_frames = 0;
    atomic_store(&crash->signal, (uint32_t)number);
    int n = backtrace(frames, SHM_FRAMES + OWN_FRAMES);
    for (int i = OWN_FRAMES; i < n; i++)
        crash->frames[i - OWN_FRAMES] = (uint64_t)(uintptr_t)frames[i];
    crash->n_frames = n > OWN_FRAMES ? (uint32_t)(n - OWN_FRAMES) : 0;
    /* A fault of the processor comes again on return, now with its default effect and the true registers in the core
     * file; what was sent has to be sent again. */
    bool comes_again = info->si_code > 0 && number != SIGSYS && number != SIGABRT;
    if (!comes_again)
        raise(number);
}

/* A sanitizer has handlers of its own, which say more. */
static bool has_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

int crash_handler_install(void)
{
    void *frame;
    backtrace(&frame, 1);
    if (has_sanitizer())
        return 0;
    stack_t stack = { .ss_sp = malloc(STACK_SIZE), .ss_size = STACK_SIZE };
    if (!stack.ss_sp || sigaltstack(&stack, NULL))
        return -1;
    struct sigaction action = { .sa_sigaction = on_fatal,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER };
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof fatal_signals / sizeof *fatal_signals; i++)
        if (sigaction(fatal_signals[i], &action, NULL))
            return -1;
    return 0;
}

/* ---- which file lies where ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int note_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    uint32_t n = atomic_load(&shm_own->n_modules);
    if (n >= SHM_MODULES)
        return 1;
    struct shm_module *module = &shm_own->modules[n];
    module->base = info->dlpi_addr;
    module->start = UINT64_MAX;
    module->end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD)
            continue;
        module->start = start < module->start ? start : module->start;
        module->end = start + segment->p_memsz > module->end ? start + segment->p_memsz : module->end;
    }
    snprintf(module->name, sizeof module->name, "%.39s", info->dlpi_name[0] ? base_name(info->dlpi_name) : "weir");
    atomic_store(&shm_own->n_modules, n + 1);
    return 0;
}

void crash_note_modules(void)
{
    atomic_store(&shm_own->n_modules, 0);
    dl_iterate_phdr(note_module, NULL);
}

/* ---- the line ---- */

static void put_frame(struct shm_text *t, const struct shm_slot *slot, uint64_t address)
{
    uint32_t n = atomic_load(&slot->n_modules);
    for (uint32_t i = 0; i < n && i < SHM_MODULES; i++) {
        const struct shm_module *module = &slot->modules[i];
        if (address >= module->start && address < module->end) {
            shm_put(t, "%s%.39s+0x%" PRIx64, t->n ? "," : "", module->name, address - module->base);
            return;
        }
    }
    shm_put(t, "%s0x%" PRIx64, t->n ? "," : "", address);
}

static void put_backtrace(char *buf, size_t n, const struct shm_slot *slot)
{
    struct shm_text t = { buf, n, 0 };
    buf[0] = 0;
    bool is_written = atomic_load(&slot->crash.signal) != 0;
    for (uint32_t i = 0; is_written && i < slot->crash.n_frames && i < SHM_FRAMES; i++)
        put_frame(&t, slot, slot->crash.frames[i]);
}

static void describe_end(char *buf, size_t n, int status)
{
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (name)
        snprintf(buf, n, "SIG%s", name);
    else if (WIFSIGNALED(status))
        snprintf(buf, n, "%d", WTERMSIG(status));
    else
        snprintf(buf, n, "exit(%d)", WEXITSTATUS(status));
}

/* Someone outside (an operator, the kernel short of memory) ends a process without it having done anything wrong. */
static bool is_own_fault(const struct shm_slot *slot, int status, const char *cause)
{
    return cause || atomic_load(&slot->crash.signal) != 0 || WIFEXITED(status) ||
           (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM);
}

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Blames the plugin that ran, and says what follows from it. */
static const char *blame(const char *plugin, const char *principal)
{
    switch (fault_record(plugin, principal, unix_ms())) {
    case FAULT_POISONED:
        LOG_ERROR("plugin.poisoned", "plugin", plugin, "principal", principal, "msg",
                  "this principal's requests don't enter the plugin for 60 s (503 poisoned)");
        return "poisoned";
    case FAULT_QUARANTINED:
        LOG_ERROR("plugin.quarantined", "plugin", plugin, "msg",
                  "no request enters the plugin (503 quarantined) until one worker has probed it");
        return "quarantined";
    default:
        return "none";
    }
}

void crash_report(uint32_t slot_number, pid_t pid, int status, const char *cause)
{
    const struct shm_slot *slot = &shm_area->slots[slot_number];
    const struct crumb *crumb = &slot->crumb;
    const char *plugin = shm_slot_plugin(slot, crumb->plugin);
    char end[32], backtrace_text[1024], process[24], number[16];
    describe_end(end, sizeof end, status);
    put_backtrace(backtrace_text, sizeof backtrace_text, slot);
    snprintf(process, sizeof process, "%ld", (long)pid);
    snprintf(number, sizeof number, "%u", slot_number);
    bool is_blamed = crumb->plugin != 0 && is_own_fault(slot, status, cause);
    const char *consequence = is_blamed ? blame(plugin, crumb->principal) : "none";
    const char *kind = cause ? cause : is_own_fault(slot, status, NULL) ? "crash" : "killed";
    LOG_ERROR("worker.crash", "slot", number, "pid", process, "plugin", plugin, "hook",
              crumb_hook_name((enum crumb_hook)crumb->hook), "request", crumb->request, "principal", crumb->principal,
              "signal", end, "cause", kind, "consequence", consequence, "backtrace", backtrace_text);
    metric_add(metric_declare("worker_crashes_total", "", "Workers that ended without being asked to.", METRIC_COUNTER),
               1);
}
