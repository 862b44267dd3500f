/* weir/credentials.h: what a credentials plugin is: it gets access tokens for provider entries that say `auth: { NAME: {…} }`.
 *
 * The host asks for a token when it has none, and again some time before the one it has ends; it keeps it, shares it with all
 * workers of the machine, and sends it with each request. Of all workers one asks at a time. A plugin only knows how to get one:
 * it does no waiting and keeps no token. Requests wait meanwhile if there is none; while there is an old one they go with that.
 *
 *      static int obtain(void *self, struct weir_call *call)
 *      {
 *          …host->fetch(inst, &question, answered, …)…   in answered(): host->token(call, &token)
 *          return 0;
 *      }
 */
#ifndef WEIR_CREDENTIALS_H
#define WEIR_CREDENTIALS_H

#include "plugin.h"

#if WEIR_ABI_MINOR >= 1

struct weir_credentials {
    uint32_t size; /* sizeof(struct weir_credentials) */
    uint32_t reserved;
    /* Once per worker and provider entry. `config` is the plugin's struct, laid out by its table; it lives as long as the worker.
     * Returns 0, or a negative number after log(ERROR …), which keeps the generation from going live. */
    int (*create)(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self);
    void (*destroy)(void *self); /* NULL allowed; nothing is being obtained any more */
    /* Begins to get a token; host->token(call, …) ends it, now or later, within a minute. `call` lives until then: its memory
     * (format, base64, json, rsa_sha256) too. Nothing of a request can be asked with it. -1: it can't be begun (after
     * token() with an error, or without). One at a time. */
    int (*obtain)(void *self, struct weir_call *call);
    /* The obtaining that was begun is no longer wanted (the worker ends): cancel what is underway, call token() no more. */
    void (*cancel)(void *self);
};

#endif
#endif
