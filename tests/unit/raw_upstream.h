/* An upstream that sends exactly the bytes it is told, in a thread of its own: for answers that no server would send. */
#ifndef WEIR_TESTS_UNIT_RAW_UPSTREAM_H
#define WEIR_TESTS_UNIT_RAW_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum raw_end { RAW_KEEP, RAW_CLOSE, RAW_RESET };

/* What to do with one request of a connection. */
struct raw_step {
    const char *bytes; /* NULL: nothing is sent */
    size_t n; /* 0: strlen */
    enum raw_end end;
    uint64_t filler; /* so many bytes more, as fast as they are taken */
    bool at_once; /* without waiting for the request */
};

struct raw_upstream;

/* Connection by connection, request by request: steps[connection][request]; the last of each is used again. */
enum { RAW_CONNECTIONS = 4, RAW_REQUESTS = 4 };
struct raw_script {
    struct raw_step steps[RAW_CONNECTIONS][RAW_REQUESTS];
    uint32_t n_steps[RAW_CONNECTIONS];
    uint32_t n_connections;
};

struct raw_upstream *raw_start(const struct raw_script *script);
unsigned raw_port(const struct raw_upstream *u);
/* Ends the thread, then tells what was seen. */
struct raw_seen {
    uint32_t connections, requests;
    uint64_t bytes_sent;
    char last_request[4096];
    uint64_t last_request_n;
};
struct raw_seen raw_stop(struct raw_upstream *u);
/* While it runs; a moment old. */
uint32_t raw_requests(const struct raw_upstream *u);
uint64_t raw_sent(const struct raw_upstream *u);
uint32_t raw_open(const struct raw_upstream *u);
/* Closes the connections that wait for a request, as a server does that has had enough. */
void raw_close_idle(struct raw_upstream *u);

#endif
