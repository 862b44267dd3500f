/* What a case's providers answer, and what was seen while it ran; for the rehearsal's files only. */
#ifndef WEIR_CORE_REHEARSAL_PLAY_H
#define WEIR_CORE_REHEARSAL_PLAY_H

#include "arena.h"
#include "rehearsal.h"
#include "rehearsal_case.h"

struct play {
    const struct rehearsal_case *the_case;
    struct arena *arena; /* replies live here */
    char folder[128];
    const char *model; /* what the client asks for */
    json_t *targets;
    void *codec; /* the dialect's instance */
    json_t *counts; /* calls so far, by target; and of fetches */
    /* seen */
    json_t *left;    /* the candidates when the first was tried */
    json_t *mirrored; /* who got a copy */
    json_t *sent;    /* the last conversation that went to a provider: fields, text, texts, system */
    json_t *record;
    json_t *headers; /* of the answer */
    int status;
    char *text;      /* of the answer, or of its error; malloc'ed */
    bool has_failed;
};

/* rehearsal.h's play(): arg is the play. */
void play_call(void *arg, const struct rehearsal_call *call, struct rehearsal_reply *reply);
/* An HTTP answer as the client gets it: status, headers, text. */
void play_read_answer(struct play *p, struct weir_str http);

#endif
