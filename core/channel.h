/* Messages over a stream socket between the master and one child: type, id, bytes. Nothing here ever blocks.
 *
 * Who owns what: the channel owns its descriptor and its buffers; a message's bytes live until the next channel_next().
 */
#ifndef WEIR_CORE_CHANNEL_H
#define WEIR_CORE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum channel_type {
    /* master to worker */
    CHANNEL_START = 1,   /* accept connections */
    CHANNEL_DRAIN = 2,   /* id 1: weir is about to end, don't wait for idle connections */
    CHANNEL_STATUS = 3,  /* what is in flight? */
    CHANNEL_QUIT = 4,    /* cut what is left */
    /* worker to master */
    CHANNEL_READY = 10,
    CHANNEL_FAILED = 11, /* why, as text; also from the checker */
    CHANNEL_ANSWER = 12, /* to STATUS, same id: JSON */
    /* checker */
    CHANNEL_CHECKED = 20,  /* "name value" lines: what the master needs to know */
    CHANNEL_SNAPSHOT = 21, /* from the master: the folder to copy to */
    CHANNEL_DONE = 22,
    CHANNEL_WARNINGS = 23, /* text, before CHECKED */
};

struct channel {
    int fd; /* -1: closed */
    char *in, *out;
    size_t in_n, in_capacity, out_n, out_capacity;
    size_t taken; /* bytes at the beginning of `in` that channel_next() gave out */
};

struct channel_message {
    uint32_t type, id;
    const char *p; /* NUL behind it */
    size_t n;
};

/* Both ends, close-on-exec and non-blocking. 0 or -1. */
int channel_pair(int fds[2]);
void channel_open(struct channel *c, int fd);
void channel_close(struct channel *c);
/* Writes what the socket takes and keeps the rest. -1: the other end is gone (or out of memory). */
int channel_send(struct channel *c, uint32_t type, uint32_t id, const void *p, size_t n);
/* 0: nothing is left to write, 1: something is, -1: the other end is gone. */
int channel_flush(struct channel *c);
/* Reads what is there. -1: the other end is gone; messages that came before may still be taken. */
int channel_fill(struct channel *c);
bool channel_next(struct channel *c, struct channel_message *m);
/* For a child that has nothing else to do: waits for a message. false: the other end is gone. */
bool channel_wait(struct channel *c, struct channel_message *m);

#endif
