/* An explanation, or a request's record, for people. */
#include "explain.h"

#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void show_number(const json_t *of, const char *key, const char *before, const char *behind, FILE *out)
{
    const json_t *n = json_object_get(of, key);
    if (json_is_integer(n))
        fprintf(out, "%s%lld%s", before, (long long)json_integer_value(n), behind);
    else if (n)
        fprintf(out, "%s%g%s", before, json_number_value(n), behind);
}

static void show_request(const json_t *x, FILE *out)
{
    const json_t *record = json_object_get(x, "record"), *model = json_object_get(record, "model");
    fprintf(out, "request     %s %s, %lld bytes\n", text_of(record, "method"), text_of(record, "path"),
            (long long)json_integer_value(json_object_get(record, "bytes_in")));
    if (json_is_string(model))
        fprintf(out, "model       %s\n", json_string_value(model));
    if (*text_of(record, "dialect"))
        fprintf(out, "dialect     %s%s\n", text_of(record, "dialect"),
                json_is_true(json_object_get(record, "stream")) ? ", streamed" : "");
    if (*text_of(record, "route"))
        fprintf(out, "route       %s\n", text_of(record, "route"));
    if (*text_of(record, "principal"))
        fprintf(out, "principal   %s\n", text_of(record, "principal"));
}

/* ---- stages and what they said ---- */

static void show_note(const json_t *decision, FILE *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)decision, key, value)
        if (strcmp(key, "stage") != 0)
            fprintf(out, "  %-12s  %s: %s\n", text_of(decision, "stage"), key,
                    json_is_string(value) ? json_string_value(value) : "");
}

static void show_stages(const json_t *x, FILE *out)
{
    size_t i, k;
    json_t *stage, *hook;
    const json_t *stages = json_object_get(x, "stages");
    if (json_array_size(stages))
        fprintf(out, "\nstages, in order\n");
    json_array_foreach(stages, i, stage) {
        fprintf(out, "  %-12s  %s:", text_of(stage, "stage"), text_of(stage, "place"));
        json_array_foreach(json_object_get(stage, "hooks"), k, hook)
            fprintf(out, " %s", json_string_value(hook));
        fprintf(out, "%s%s\n", k ? "" : " not run in an explanation",
                json_is_true(json_object_get(stage, "was_reached")) ? "" : " (not reached)");
    }
    const json_t *decisions = json_object_get(json_object_get(x, "record"), "decisions");
    if (json_array_size(decisions))
        fprintf(out, "\ndecisions\n");
    json_array_foreach(decisions, i, stage)
        show_note(stage, out);
}

/* ---- candidates ---- */

static void show_cost(const json_t *c, FILE *out)
{
    const json_t *tokens = json_object_get(c, "input_tokens"), *input = json_object_get(c, "input_usd");
    const json_t *most = json_object_get(c, "most_usd");
    if (!tokens)
        return;
    fprintf(out, "     estimate: %lld tokens of input", (long long)json_integer_value(tokens));
    if (input)
        fprintf(out, ", $%.6f", json_number_value(input));
    if (most)
        fprintf(out, "; at most $%.6f with %lld of output", json_number_value(most),
                (long long)json_integer_value(json_object_get(c, "max_output_tokens")));
    fprintf(out, "%s\n", input ? "" : "; its price is not known");
}

/* Of the weir that served it; in a rehearsal there are none. */
static void show_figures(const json_t *c, FILE *out)
{
    static const char *const keys[] = { "breaker", "load", "left_requests", "left_tokens", "first_token_ms", "p95_ms", "error_rate" };
    bool is_first = true;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (!json_object_get(c, keys[i]))
            continue;
        fprintf(out, "%s %s", is_first ? "     figures:" : ",", keys[i]);
        if (i == 0)
            fprintf(out, " %s", text_of(c, keys[i]));
        else
            show_number(c, keys[i], " ", "", out);
        is_first = false;
    }
    fprintf(out, "%s", is_first ? "" : "\n");
}

static void show_candidates(const json_t *x, FILE *out)
{
    size_t i;
    json_t *c;
    const json_t *list = json_object_get(x, "candidates");
    if (json_array_size(list))
        fprintf(out, "\ncandidates, in the order in which they would be tried\n");
    json_array_foreach(list, i, c) {
        fprintf(out, "  %zu. %s (%s%s%s", i + 1, text_of(c, "target"), text_of(c, "dialect"), json_object_get(c, "region") ? ", " : "",
                text_of(c, "region"));
        if (json_object_get(c, "context_tokens"))
            fprintf(out, ", context %lld", (long long)json_integer_value(json_object_get(c, "context_tokens")));
        if (json_object_get(c, "price_input"))
            fprintf(out, ", $%g in, $%g out a million", json_number_value(json_object_get(c, "price_input")),
                    json_number_value(json_object_get(c, "price_output")));
        fprintf(out, ")\n");
        show_cost(c, out);
        show_figures(c, out);
    }
}

/* ---- attempts ---- */

static void show_losses(const json_t *of, FILE *out)
{
    size_t i;
    json_t *loss;
    json_array_foreach(json_object_get(of, "losses"), i, loss) {
        const char *why = text_of(loss, "why");
        fprintf(out, "     lost: %s, %s%s%s\n", text_of(loss, "feature"), text_of(loss, "what"), *why ? ": " : "", why);
    }
}

/* The next call, if it is of this target: an attempt may end before it calls. */
static const json_t *call_of(const json_t *calls, size_t *at, const char *target)
{
    while (json_object_get(json_array_get(calls, *at), "mirror"))
        ++*at; /* a copy's */
    const json_t *call = json_array_get(calls, *at);
    if (!call || strcmp(text_of(call, "target"), target) != 0)
        return NULL;
    ++*at;
    return call;
}

static void show_call(const json_t *call, FILE *out)
{
    fprintf(out, "     %s %s, %lld bytes\n", text_of(call, "method"), text_of(call, "url"),
            (long long)json_integer_value(json_object_get(call, "bytes")));
}

static void show_copies(const json_t *x, FILE *out)
{
    size_t i, n = 0;
    json_t *call;
    json_array_foreach(json_object_get(x, "calls"), i, call) {
        if (!json_object_get(call, "mirror"))
            continue;
        fprintf(out, "%s  %s\n", n++ ? "" : "\na copy, whose answer nobody gets, would go to\n", text_of(call, "target"));
        show_call(call, out);
    }
}

static void show_outcome(const json_t *a, const json_t *error, FILE *out)
{
    const json_t *tokens = json_object_get(a, "tokens"), *cost = json_object_get(a, "cost_usd");
    if (error)
        fprintf(out, "     failed: %s, %s", text_of(error, "class"), text_of(error, "code"));
    else
        fprintf(out, "     answered");
    show_number(a, "status", ", status ", "", out);
    show_number(a, "first_token_ms", ", first token after ", " ms", out);
    show_number(a, "ms", ", ", " ms in all", out);
    show_number(tokens, "input", ", ", " tokens in", out);
    show_number(tokens, "output", ", ", " out", out);
    if (cost)
        fprintf(out, ", $%.6f", json_number_value(cost));
    fprintf(out, "\n");
}

/* Of a past request: what became of them. */
static void show_ended_copies(const json_t *x, FILE *out)
{
    size_t i;
    json_t *copy;
    json_array_foreach(json_object_get(x, "copies"), i, copy) {
        const json_t *attempt = json_array_get(json_object_get(copy, "attempts"), 0), *error = json_object_get(copy, "error");
        fprintf(out, "%s  %s: %s", i ? "" : "\ncopies, whose answers nobody got\n", text_of(attempt, "target"),
                error ? text_of(error, "class") : text_of(attempt, "finish"));
        show_number(attempt, "first_token_ms", ", first token after ", " ms", out);
        show_number(attempt, "ms", ", ", " ms", out);
        show_number(copy, "cost_usd", ", $", "", out);
        fprintf(out, "\n");
    }
}

static void show_attempts(const json_t *x, FILE *out)
{
    const json_t *record = json_object_get(x, "record"), *calls = json_object_get(x, "calls");
    size_t i, n_calls = 0;
    json_t *a;
    if (json_array_size(json_object_get(record, "attempts")))
        fprintf(out, "\n%s\n", calls ? "what would be sent, if each one failed in turn" : "attempts");
    json_array_foreach(json_object_get(record, "attempts"), i, a) {
        const json_t *error = json_object_get(a, "error"), *call = call_of(calls, &n_calls, text_of(a, "target"));
        fprintf(out, "  %zu. %s%s%s\n", i + 1, text_of(a, "target"), *text_of(a, "reason") ? ": " : "", text_of(a, "reason"));
        if (call)
            show_call(call, out);
        show_losses(a, out);
        if (!calls)
            show_outcome(a, error, out);
    }
    if (json_object_get(record, "losses"))
        fprintf(out, "losses of the answer that the client got\n");
    show_losses(record, out);
}

static void show_fetches(const json_t *x, FILE *out)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(x, "fetches"), i, f)
        fprintf(out, "%s  %s %s\n", i ? "" : "\nplugins wanted to fetch, and were refused\n", text_of(f, "method"), text_of(f, "url"));
}

static void show_end(const json_t *x, FILE *out)
{
    const json_t *record = json_object_get(x, "record"), *answer = json_object_get(x, "answer");
    const json_t *error = json_object_get(record, "error"), *cost = json_object_get(record, "cost_usd");
    const json_t *said = json_object_get(json_object_get(answer, "body"), "error");
    bool was_tried = json_array_size(json_object_get(x, "calls")) > 0;
    fprintf(out, "\n%s\n", !json_object_get(x, "calls") ? "the client got" : was_tried ? "if all failed, the client would get" : "the client would get");
    fprintf(out, "  status %lld", (long long)json_integer_value(json_object_get(record, "status")));
    if (error)
        fprintf(out, ", %s (%s)", text_of(error, "class"), text_of(error, "code"));
    if (*text_of(record, "target"))
        fprintf(out, " from %s", text_of(record, "target"));
    if (cost)
        fprintf(out, ", $%.6f", json_number_value(cost));
    fprintf(out, "\n");
    if (*text_of(said, "message"))
        fprintf(out, "  %s\n", text_of(said, "message"));
}

void explain_show(const json_t *x, FILE *out)
{
    show_request(x, out);
    show_stages(x, out);
    show_candidates(x, out);
    show_attempts(x, out);
    show_copies(x, out);
    show_ended_copies(x, out);
    show_fetches(x, out);
    show_end(x, out);
}
