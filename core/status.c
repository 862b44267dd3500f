/* `weir status`: the JSON of /status for people. Runs in the command, never in the master. */
#include "status.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "text.h"

/* ---- writing ---- */

static void put_char(FILE *out, unsigned char c)
{
    if (c == '"' || c == '\\')
        fprintf(out, "\\%c", c);
    else if (c == '\n')
        fputs("\\n", out);
    else if (c < 0x20)
        fprintf(out, "\\u%04x", c);
    else
        fputc(c, out);
}

void status_put_string(FILE *out, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    fputc('"', out);
    while (n > 0) {
        size_t valid = utf8_valid_prefix(s, n);
        for (size_t i = 0; i < valid; i++)
            put_char(out, (unsigned char)s[i]);
        bool is_broken = valid < n;
        if (is_broken)
            fputs("\xef\xbf\xbd", out);
        s += valid + is_broken;
        n -= valid + is_broken;
    }
    fputc('"', out);
}

/* ---- showing ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : "";
}

static long long number_of(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_age(FILE *out, long long ms)
{
    long long s = ms / 1000;
    if (s < 120)
        fprintf(out, "%llds", s);
    else if (s < 7200)
        fprintf(out, "%lldm", s / 60);
    else if (s < 172800)
        fprintf(out, "%lldh", s / 3600);
    else
        fprintf(out, "%lldd", s / 86400);
}

static void print_head(const json_t *root, FILE *out)
{
    size_t i;
    const json_t *listener;
    fprintf(out, "weir%s%s is %s (pid %lld, up ", text_of(root, "name")[0] ? " " : "", text_of(root, "name"),
            text_of(root, "state"), number_of(root, "pid"));
    print_age(out, number_of(root, "now_ms") - number_of(root, "started_ms"));
    fprintf(out, ")\nconfiguration  %s  %.12s\n", text_of(root, "config"), text_of(root, "hash"));
    json_array_foreach(json_object_get(root, "listen"), i, listener)
        fprintf(out, "listens on     %s\n", json_string_value(listener));
    if (number_of(root, "restarts") > 0)
        fprintf(out, "restarts       %lld workers since the start\n", number_of(root, "restarts"));
    if (!json_is_true(json_object_get(root, "last_reload_ok")))
        fprintf(out, "last reload    failed: %s\n", text_of(root, "last_reload"));
}

static void print_generations(const json_t *root, FILE *out)
{
    size_t i;
    const json_t *g;
    fprintf(out, "\nGENERATION  STATE     WORKERS  CONFIGURATION  AGE\n");
    json_array_foreach(json_object_get(root, "generations"), i, g) {
        fprintf(out, "%-10lld  %-8s  %-7lld  %-13.12s  ", number_of(g, "number"), text_of(g, "state"),
                number_of(g, "workers"), text_of(g, "hash"));
        print_age(out, number_of(root, "now_ms") - number_of(g, "started_ms"));
        fputc('\n', out);
    }
}

static void print_workers(const json_t *root, FILE *out)
{
    size_t i;
    const json_t *w;
    fprintf(out, "\nWORKER  PID      GENERATION  STATE     CONNECTIONS  REQUESTS  TOTAL\n");
    json_array_foreach(json_object_get(root, "workers"), i, w) {
        const json_t *detail = json_object_get(w, "detail");
        fprintf(out, "%-6lld  %-7lld  %-10lld  %-8s  %-11lld  ", number_of(w, "slot"), number_of(w, "pid"),
                number_of(w, "generation"), text_of(w, "state"), number_of(w, "connections"));
        if (json_is_object(detail))
            fprintf(out, "%-8lld  %lld\n", number_of(detail, "requests_live"), number_of(detail, "requests"));
        else
            fprintf(out, "no answer; silent for %lld ms, in %s\n", number_of(w, "silent_ms"), text_of(w, "in_plugin"));
    }
}

/* A call is an object of the pipeline's making: its members are shown in their order, empty ones left out. */
static void print_call(const json_t *call, FILE *out)
{
    const char *name, *gap = "";
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)call, name, value) {
        if (json_is_string(value) && json_string_length(value) > 0)
            fprintf(out, "%s%s=%s", gap, name, json_string_value(value));
        else if (json_is_integer(value))
            fprintf(out, "%s%s=%" JSON_INTEGER_FORMAT, gap, name, json_integer_value(value));
        else if (json_is_object(value))
            fprintf(out, "%s%s=%s.%s: %s (%lld ms)", gap, name, text_of(value, "stage"), text_of(value, "hook"),
                    text_of(value, "what"), number_of(value, "ms"));
        else
            continue;
        gap = "  ";
    }
    fputc('\n', out);
}

static void print_calls(const json_t *root, FILE *out)
{
    size_t i, k, n = 0;
    const json_t *w, *call;
    json_array_foreach(json_object_get(root, "workers"), i, w)
        json_array_foreach(json_object_get(json_object_get(w, "detail"), "calls"), k, call) {
            if (n++ == 0)
                fprintf(out, "\nCALLS IN FLIGHT\n");
            if (n <= 100)
                print_call(call, out);
        }
    if (n > 100)
        fprintf(out, "and %zu more: curl --unix-socket ADMIN http://weir/debug/requests\n", n - 100);
}

static void print_targets(const json_t *root, FILE *out)
{
    size_t i;
    const json_t *t;
    if (json_array_size(json_object_get(root, "targets")) == 0)
        return;
    fprintf(out, "\n%-40s  CALLS     FAILED    IN FLIGHT  FIRST TOKEN  P95       TOKENS/S  BREAKER  LAST FAILURE\n", "TARGET");
    json_array_foreach(json_object_get(root, "targets"), i, t) {
        fprintf(out, "%-40s  %-8lld  %-8lld  %-9lld  ", text_of(t, "name"), number_of(t, "calls"),
                number_of(t, "failures"), number_of(t, "in_flight"));
        if (number_of(t, "latency_ms") > 0)
            fprintf(out, "%-8lld ms  ", number_of(t, "latency_ms"));
        else
            fprintf(out, "%-11s  ", "-");
        fprintf(out, "%-5lld ms  %-8.0f  %-7s  ", number_of(t, "p95_ms"),
                json_number_value(json_object_get(t, "tokens_per_s")), text_of(t, "breaker"));
        if (number_of(t, "last_failure_ms") > 0) {
            print_age(out, number_of(root, "now_ms") - number_of(t, "last_failure_ms"));
            fprintf(out, " ago\n");
        } else
            fprintf(out, "-\n");
    }
}

/* Every worker of a generation has the same plugins: the newest generation's are shown. */
static const json_t *plugins_of(const json_t *root)
{
    size_t i;
    const json_t *w, *found = NULL;
    json_array_foreach(json_object_get(root, "workers"), i, w)
        if (number_of(w, "generation") == number_of(root, "generation") && json_is_object(json_object_get(w, "detail")))
            found = json_object_get(json_object_get(w, "detail"), "plugins");
    return found;
}

static void print_plugins(const json_t *root, FILE *out)
{
    size_t i;
    const json_t *p, *plugins = plugins_of(root);
    if (json_array_size(plugins) == 0)
        return;
    fprintf(out, "\n%-16s  %-6s  %-10s  CRASHES  STATE\n", "PLUGIN", "KIND", "VERSION");
    json_array_foreach(plugins, i, p)
        fprintf(out, "%-16s  %-6s  %-10s  %-7lld  %s\n", text_of(p, "name"), text_of(p, "kind"), text_of(p, "version"),
                number_of(p, "crashes"), json_is_true(json_object_get(p, "quarantined")) ? "QUARANTINED" : "ok");
}

void status_print(const char *json, FILE *out)
{
    json_t *root = json_loads(json, 0, NULL);
    if (!root) {
        fprintf(out, "%s\n", json);
        return;
    }
    print_head(root, out);
    print_generations(root, out);
    print_workers(root, out);
    print_calls(root, out);
    print_targets(root, out);
    print_plugins(root, out);
    json_decref(root);
}
