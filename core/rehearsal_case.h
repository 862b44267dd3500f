/* A test case as `weir test` runs it: a request, providers that answer as the case says, and what must come of it. */
#ifndef WEIR_CORE_REHEARSAL_CASE_H
#define WEIR_CORE_REHEARSAL_CASE_H

#include <jansson.h>
#include <stdio.h>

#include "egress.h"
#include "loader.h"

struct rehearsal_case {
    const struct plugin *stage;   /* whose test it is */
    const struct plugin *dialect; /* of the client and of all targets: a codec with both sides */
    json_t *settings;             /* the stage's, the case's own merged in */
    json_t *given;                /* the case */
    FILE *out;                    /* what is not as it should be, a line each */
    bool is_verbose;
    /* What a fetch is answered with, in place of the case's `http`; NULL: the case says it. */
    const json_t *(*fetched)(const struct egress_request *q);
};

/* Runs it in this process, which can do nothing else afterwards. true: all is as the case says. */
bool rehearsal_case_run(const struct rehearsal_case *c);

#endif
