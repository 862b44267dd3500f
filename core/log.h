/* The operator's log: one logfmt line per event on stderr, one write per line, never blocking.
 *
 *      LOG_WARN("plugin.crash", "plugin", "auth", "hook", "on_open");
 *      ts=2026-11-23T10:00:00.123Z level=warn event=plugin.crash worker=1 plugin=auth hook=on_open
 *
 * Values are quoted where needed. No body, prompt, key or header value is ever logged: callers pass names and numbers.
 */
#ifndef WEIR_CORE_LOG_H
#define WEIR_CORE_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 1, LOG_LEVEL_WARN = 2, LOG_LEVEL_INFO = 3, LOG_LEVEL_DEBUG = 4 };

void log_set_level(enum log_level level);
/* "worker=1" on every line of this process; -1: none (the master). */
void log_set_worker(int worker);
/* Pairs of name and value (const char *), ended by NULL. */
void log_pairs(enum log_level level, const char *event, ...) __attribute__((sentinel));
/* One formatted message: … event=EVENT msg="…" */
void log_text(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define LOG_ERROR(event, ...) log_pairs(LOG_LEVEL_ERROR, event, __VA_ARGS__, (char *)0)
#define LOG_WARN(event, ...) log_pairs(LOG_LEVEL_WARN, event, __VA_ARGS__, (char *)0)
#define LOG_INFO(event, ...) log_pairs(LOG_LEVEL_INFO, event, __VA_ARGS__, (char *)0)
#define LOG_DEBUG(event, ...) log_pairs(LOG_LEVEL_DEBUG, event, __VA_ARGS__, (char *)0)

#endif
