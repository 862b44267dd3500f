/* What weir would do with a request, as a document: made in a rehearsal, in which every provider fails as the caller says, so
 * that the whole way through the candidates is walked and nobody is asked.
 *
 *      { "request": {…}, "stages": […], "candidates": […], "skipped": […], "calls": […], "fetches": […], "record": {…},
 *        "answer": { "status", "body" } }
 */
#ifndef WEIR_CORE_EXPLAIN_H
#define WEIR_CORE_EXPLAIN_H

#include <jansson.h>
#include <stdio.h>

#include "config.h"

struct explain_question {
    struct weir_str method, path; /* with its query */
    struct weir_str headers;      /* lines "name: value\r\n" */
    struct weir_str body;
    int fails_with; /* a status; 0: the connection is refused; -1: silence */
};

/* In this process, which can do nothing else afterwards. NULL and why. The caller ends it with json_decref(). */
json_t *explain_request(struct config *config, const struct explain_question *q, char *why, size_t n);

/* The same request, really sent, by a worker of its own with this configuration: the providers are asked, and paid. There are no
 * "calls" and "fetches". NULL and why, "" if it was said on stderr. */
json_t *explain_sent(const char *config_path, const struct explain_question *q, char *why, size_t n);

/* The record of a past request, found by its id in a log of one JSON object a line: { "stages", "candidates", "skipped", "record" }, where
 * the first two are empty unless it was explained (x-weir-explain). NULL and why. */
json_t *explain_logged(const char *path, const char *id, char *why, size_t n);

/* For people: at most 100 columns but for names and errors that are longer. */
void explain_show(const json_t *explanation, FILE *out);

#endif
