/* Crashes of workers: what the dying process leaves in its slot, and the line that the master makes of it. */
#ifndef WEIR_CORE_CRASH_H
#define WEIR_CORE_CRASH_H

#include <stdint.h>
#include <sys/types.h>

/* Worker: fatal signals write signal, address and backtrace into the own slot, then end the process as they would have
 * (a core file remains). After shm_use_slot(). */
int crash_handler_install(void);
/* Notes which file lies where, so that addresses can be told as file+offset; after the plugins are loaded. */
void crash_note_modules(void);
/* Master, once the process is reaped and before its slot is cleared: logs `event=worker.crash`, counts, and blames the
 * plugin that was running. cause: "watchdog", or NULL for what the status says. */
void crash_report(uint32_t slot, pid_t pid, int status, const char *cause);

#endif
