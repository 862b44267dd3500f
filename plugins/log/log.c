/* log: one line of JSON per finished request.
 *
 * What the line says is the host's (the request record); where it goes is sink.c's. It never waits: what can't be written
 * at once is dropped and counted (weir_log_dropped_total).
 */
#include <weir/plugin.h>

#include <errno.h>
#include <stdlib.h>

#include "sink.h"

struct settings {
    const char *file;
    bool syslog;
    const char *socket;
};

struct log {
    const struct weir_host *host;
    struct weir_instance *inst;
    struct sink sink;
    int dropped; /* counter */
    bool is_dropping;
};

static void tell_drop(struct log *l)
{
    l->host->count(l->inst, l->dropped, 1);
    if (!l->is_dropping)
        l->host->log(l->inst, WEIR_LOG_WARN, "request records can't be written (%s) and are dropped: weir_log_dropped_total counts them",
                     strerror(errno));
    l->is_dropping = true;
}

static void on_finish(void *self, struct weir_call *call)
{
    struct log *l = self;
    struct weir_out *out = l->host->out(call);
    errno = ENOMEM;
    if (!out || l->host->record(call, out) < 0) {
        tell_drop(l);
        return;
    }
    l->host->write(out, WEIR_LIT("\n"));
    struct weir_str line = l->host->out_bytes(out);
    if (sink_write(&l->sink, line.p, line.n, l->host->monotonic_us()))
        l->is_dropping = false;
    else
        tell_drop(l);
}

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    const struct settings *s = config;
    struct log *l = calloc(1, sizeof *l);
    enum sink_kind kind = s->file[0] ? SINK_FILE : s->syslog ? SINK_SYSLOG : SINK_STDOUT;
    const char *path = kind == SINK_FILE ? s->file : s->socket;
    if (!l || (s->file[0] && s->syslog)) {
        host->log(inst, WEIR_LOG_ERROR, l ? "log: `file` and `syslog` exclude each other: use two log stages" : "log: out of memory");
        free(l);
        return -1;
    }
    *l = (struct log){ .host = host, .inst = inst, .dropped = host->counter(inst, "log_dropped_total", "") };
    if (sink_open(&l->sink, kind, path) != 0) {
        host->log(inst, WEIR_LOG_ERROR, "log: %s can't be opened for writing: %s", kind == SINK_STDOUT ? "stdout" : path,
                  strerror(errno));
        free(l);
        return -1;
    }
    *self = l;
    return 0;
}

static void destroy(void *self)
{
    struct log *l = self;
    sink_close(&l->sink);
    free(l);
}

static const struct weir_option options[] = {
    { "file", WEIR_OPTION_STRING, WEIR_OPTION_RECORDS, offsetof(struct settings, file), NULL, 0, 0, NULL,
      "Write to this file; it may be renamed or removed at any time, the next line makes a new one." },
    { "syslog", WEIR_OPTION_BOOL, 0, offsetof(struct settings, syslog), "false", 0, 0, NULL,
      "Send to the system's log (local0.info). Without `file` and `syslog` the lines go to stdout." },
    { "socket", WEIR_OPTION_STRING, 0, offsetof(struct settings, socket), "/dev/log", 0, 0, NULL,
      "The socket of the system's log." },
    WEIR_OPTIONS_END,
};

static const struct weir_stage_ops ops = {
    .size = sizeof ops,
    .flags = WEIR_STAGE_MIRRORS,
    .create = create,
    .destroy = destroy,
    .on_finish = on_finish,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "log",
    .version = "0.1.0",
    .summary = "Writes one line of JSON per finished request",
    .options = options,
    .config_size = sizeof(struct settings),
    .stage = &ops,
};
WEIR_NOTE(WEIR_KIND_STAGE);
