/* The simulator's listener: connections that read a request, play a script and stay or end as the script says. */
#ifndef SIMULATOR_SERVER_H
#define SIMULATOR_SERVER_H

#include "knobs.h"
#include "script.h"

#include <weir/codec.h>

struct connection;

struct server {
    struct server *next;
    const struct weir_host *host;
    struct weir_instance *inst;
    const void *entry; /* the provider entry it serves */
    struct knobs defaults;
    int fd;
    void *watch, *retry; /* retry: timer after the process ran out of descriptors */
    struct connection *connections;
    uint32_t n_connections, max_connections;
    size_t request_bytes; /* of all connections' buffers */
    uint64_t serial;
    char url[64];
};

enum { SERVER_BODY_MAX = 33 * 1024 * 1024, SERVER_BODIES_MAX = 256 * 1024 * 1024 };

/* Opens the listener; NULL after a line in the log. */
struct server *server_open(const struct weir_host *host, struct weir_instance *inst, uint16_t port);
void server_close(struct server *s);

/* ---- between server.c and connection.c ---- */
void connection_open(struct server *s, int fd);
void connection_close(struct connection *c);

#endif
