/* Where lines go: a file, stdout, or the system's log. One write per line, never blocking. */
#ifndef WEIR_PLUGINS_LOG_SINK_H
#define WEIR_PLUGINS_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sink_kind { SINK_STDOUT, SINK_FILE, SINK_SYSLOG };

struct sink {
    enum sink_kind kind;
    const char *path;        /* of the file, or of the system log's socket; worker */
    int fd;                  /* -1: not open */
    bool is_socket;          /* fd takes MSG_DONTWAIT */
    bool may_block;          /* fd could not be made non-blocking without changing it for others */
    dev_t device;            /* of the open file */
    ino_t inode;
    int64_t checked_us;      /* when the file was last looked for */
    char *rest;              /* the end of a line of which only the beginning went out; malloc'ed */
    size_t rest_n;
};

/* 0, or -1 with errno: it can't be opened, and would not be later. A file that doesn't exist yet is made with the first line. */
int sink_open(struct sink *s, enum sink_kind kind, const char *path);
/* The line ends in '\n'. false: it is dropped. now_us: monotonic. */
bool sink_write(struct sink *s, const char *line, size_t n, int64_t now_us);
void sink_close(struct sink *s);

#endif
