/* From a request to the script of its answer. */
#ifndef SIMULATOR_HANDLE_H
#define SIMULATOR_HANDLE_H

#include "http.h"
#include "knobs.h"
#include "script.h"

struct handle_context {
    const struct knobs *defaults;
    int64_t now_ms;
    uint64_t serial;
};

/* Composes into *s, which must outlive its playing together with *k. */
void handle_request(struct script *s, struct knobs *k, const struct handle_context *x, const struct http_head *head,
                    struct span body);
/* An answer to what is no proper request; the connection ends behind it. */
void handle_refusal(struct script *s, struct knobs *k, int status, const char *message);

#endif
