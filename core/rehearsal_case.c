/* One case: its configuration, its request, its providers, and the comparison of what came of it with what the case wants.
 *
 * The configuration is written to a folder of its own, that is gone when the case is over. Targets are provider entries of one
 * dialect, whose codec makes what they answer, and reads what they were asked.
 */
#include "rehearsal_case.h"

#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "clock.h"
#include "copying.h"
#include "master_parts.h"
#include "pipeline.h"
#include "rehearsal.h"
#include "rehearsal_play.h"
#include "shm.h"
#include "verify_lab.h"

enum { PATHS = 512, HEADERS = 32 };

static bool fail(struct play *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct play *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("     ", p->the_case->out);
    vfprintf(p->the_case->out, format, args);
    fputc('\n', p->the_case->out);
    va_end(args);
    p->has_failed = true;
    return false;
}

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : otherwise;
}

/* ---- the configuration ---- */

static json_t *default_targets(void)
{
    static const char text[] = "[{\"name\":\"openai/gpt-4o\",\"region\":\"us-east-1\",\"price\":5,\"context\":128000},"
                               "{\"name\":\"openai/gpt-4o-mini\",\"region\":\"us-east-1\",\"price\":0.3,\"context\":128000},"
                               "{\"name\":\"claude/sonnet\",\"region\":\"eu-west-1\",\"price\":9,\"context\":200000},"
                               "{\"name\":\"vllm/coder\",\"region\":\"eu-central-1\",\"price\":0.1,\"context\":32000}]";
    return json_loads(text, 0, NULL);
}

/* A name alone, or a table with `name`. */
static const char *target_of(const json_t *target)
{
    return json_is_string(target) ? json_string_value(target) : text_of(target, "name", "");
}

static json_t *provider_entry(const struct play *p, const json_t *target)
{
    json_t *entry = json_pack("{s:s, s:s, s:s}", "dialect", p->the_case->dialect->desc.name, "base_url",
                              "http://provider.invalid/v1", "auth", "none");
    const json_t *region = json_object_get(target, "region"), *tags = json_object_get(target, "tags");
    if (json_is_string(region))
        json_object_set(entry, "region", (json_t *)(uintptr_t)region);
    if (json_is_array(tags))
        json_object_set(entry, "tags", (json_t *)(uintptr_t)tags);
    return entry;
}

static json_t *model_entry(const json_t *target, const char *name)
{
    json_t *entry = json_pack("{s:[s]}", "targets", name);
    const json_t *price = json_object_get(target, "price"), *context = json_object_get(target, "context");
    if (json_is_number(price) && json_number_value(price) >= 0)
        json_object_set_new(entry, "price", json_pack("{s:O, s:O}", "input", price, "output", price));
    if (json_is_number(context) && json_number_value(context) > 0)
        json_object_set(entry, "context", (json_t *)(uintptr_t)context);
    return entry;
}

static json_t *config_of(struct play *p)
{
    json_t *given = p->the_case->given, *target;
    json_t *providers = json_object(), *models = json_object(), *names = json_array(), *secrets = json_object();
    json_t *stage = json_pack("{s:O}", p->the_case->stage->desc.name, p->the_case->settings);
    size_t i;
    json_array_foreach(p->targets, i, target) {
        const char *name = target_of(target), *slash = strchr(name, '/');
        char provider[PATHS] = "";
        snprintf(provider, sizeof(provider), "%.*s", slash ? (int)(slash - name) : 0, name);
        if (!json_object_get(providers, provider))
            json_object_set_new(providers, provider, provider_entry(p, target));
        json_object_set_new(models, name, model_entry(target, name));
        json_array_append_new(names, json_string(name));
    }
    json_object_set_new(models, p->model, json_pack("{s:o}", "targets", names));
    json_array_foreach(json_object_get(given, "secrets"), i, target)
        json_object_set_new(secrets, json_string_value(target), json_string("a-secret-of-the-test"));
    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:[], s:[{s:{s:s}, s:[o], s:b}]}", "listen", "unix:/nowhere", "log_level",
                     "error", "workers", 0, "providers", providers, "models", models, "secrets", secrets, "entry", "routes",
                     "match", "path", "/*", "pipeline", stage, "open", 1);
}

/* Data files that the case makes up lie in a copy of the folder in which the stage's file is. */
static bool put_data(struct play *p)
{
    json_t *data = json_object_get(p->the_case->given, "data"), *value;
    const char *name, *file = text_of(p->the_case->settings, "file", "");
    char folder[PATHS], path[2 * PATHS];
    if (!json_is_object(data))
        return true;
    const char *slash = strrchr(file, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
    if (copying_folder(folder, p->folder, COPYING_OWN_DATA, path, sizeof(path)) < 0)
        return fail(p, "the folder of %s can't be copied: %s", file, path);
    json_object_foreach(data, name, value) {
        snprintf(path, sizeof(path), "%s/%s", p->folder, name);
        if (strchr(name, '/') || json_dump_file(value, path, JSON_ENCODE_ANY) < 0)
            return fail(p, "data: the file \"%s\" can't be written; it must lie in the policy's folder", name);
    }
    snprintf(path, sizeof(path), "%s/%s", p->folder, slash ? slash + 1 : file);
    json_object_set_new(p->the_case->settings, "file", json_string(path));
    return true;
}

static struct config *load(struct play *p)
{
    char path[PATHS + 16];
    struct config_errors errors = { 0 };
    json_t *config = config_of(p);
    snprintf(path, sizeof(path), "%s/weir.yaml", p->folder);
    bool is_written = config && json_dump_file(config, path, 0) == 0;
    json_decref(config);
    struct config *c = is_written ? config_load(path, NULL, CONFIG_NORMAL, &errors) : NULL;
    for (uint32_t i = 0; !c && i < errors.n; i++)
        fail(p, "%s", errors.list[i].text);
    if (!is_written)
        fail(p, "its configuration can't be written to %s", path);
    config_errors_free(&errors);
    return c;
}

/* ---- what workers share ---- */

static void put_shared(struct play *p)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(p->the_case->given, "shared"), key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (text)
            shared_set(weir_cstr(key), weir_cstr(text), 0);
        free(text);
    }
}

/* A figure of a target that is a number; -1: it has none. */
static int64_t figure_of(const json_t *target, const char *key)
{
    const json_t *v = json_object_get(target, key);
    return json_is_number(v) ? (int64_t)json_number_value(v) : -1;
}

static void put_figures(struct play *p)
{
    size_t i;
    json_t *target;
    json_array_foreach(p->targets, i, target) {
        int id = target_declare(target_of(target));
        double latency_s = json_number_value(json_object_get(target, "latency"));
        target_left(id, figure_of(target, "left_requests"), figure_of(target, "left_tokens"));
        for (int k = 0; figure_of(target, "throughput") > 0 && k < 16; k++)
            target_speed(id, figure_of(target, "throughput"), 1000);
        for (int k = 0; latency_s > 0 && k < 16; k++) {
            target_begin(id, 0);
            target_end(id, false, (uint32_t)(latency_s * 1000));
        }
        for (json_int_t k = json_integer_value(json_object_get(target, "load")); k > 0; k--)
            target_begin(id, 0);
    }
}

/* ---- the request ---- */

static json_t *message_of(const json_t *m)
{
    const char *text = json_is_string(m) ? json_string_value(m) : text_of(m, "text", "");
    return json_pack("{s:s, s:[{s:s, s:s}]}", "role", text_of(m, "role", "user"), "parts", "kind", "text", "text", text);
}

static json_t *conversation_of(const struct play *p)
{
    const json_t *q = json_object_get(p->the_case->given, "request"), *list = json_object_get(q, "messages");
    json_t *fields = json_is_object(json_object_get(q, "fields")) ? json_deep_copy(json_object_get(q, "fields")) : json_object();
    json_t *messages = json_array(), *m;
    size_t i;
    json_object_set_new(fields, "model", json_string(p->model));
    if (json_is_true(json_object_get(q, "stream")))
        json_object_set_new(fields, "stream", json_true());
    json_array_foreach(list, i, m)
        json_array_append_new(messages, message_of(m));
    if (!json_array_size(messages))
        json_array_append_new(messages, message_of(json_object_get(q, "text")));
    json_t *c = json_pack("{s:o, s:o}", "fields", fields, "messages", messages);
    if (json_is_array(json_object_get(q, "tools")))
        json_object_set(c, "tools", json_object_get(q, "tools"));
    return c;
}

static const char *path_of(const struct plugin *dialect)
{
    const struct weir_claim *c = dialect->codec.claims;
    while (c && c->method && (c->operation != WEIR_OP_CHAT || strchr(c->path, '*')))
        c++;
    return c && c->method ? c->path : NULL;
}

static void put_head(struct play *p, size_t body_n, struct weir_out *to)
{
    const char *name;
    json_t *value, *headers = json_object_get(json_object_get(p->the_case->given, "request"), "headers");
    char line[PATHS];
    snprintf(line, sizeof(line), "POST %s HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-length: %zu\r\n",
             path_of(p->the_case->dialect), body_n);
    out_write(to, weir_cstr(line));
    out_write(to, WEIR_LIT("content-type: application/json\r\n"));
    json_object_foreach(headers, name, value) {
        out_write(to, weir_cstr(name));
        out_write(to, WEIR_LIT(": "));
        out_write(to, weir_cstr(json_is_string(value) ? json_string_value(value) : ""));
        out_write(to, WEIR_LIT("\r\n"));
    }
    out_write(to, WEIR_LIT("\r\n"));
}

static bool make_request(struct play *p, struct weir_out *to)
{
    const char *why = "it is malformed";
    json_t *meaning = conversation_of(p);
    char *text = json_dumps(meaning, JSON_COMPACT);
    struct lab *l = lab_new(p->the_case->dialect, p->codec, LAB_EGRESS);
    struct weir_out body = { 0 };
    struct conversation *c = parse_conversation(l->arena, p->the_case->dialect->desc.name, weir_cstr(text), &why);
    bool is_made = c && lab_encode_request(l, c, &body) == 0;
    if (is_made) {
        put_head(p, out_bytes(&body).n, to);
        out_write(to, out_bytes(&body));
    } else {
        fail(p, "request: %s", c ? lab_why(l) : why);
    }
    out_free(&body);
    lab_free(l);
    free(text);
    json_decref(meaning);
    return is_made;
}

/* ---- comparing ---- */

static char *shown(const json_t *v)
{
    return v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : strdup("nothing");
}

/* 42, 42.0 and "42": notes and headers are texts. */
static bool is_same_number(const json_t *want, const json_t *got)
{
    char *end = NULL;
    double value = json_is_string(got) ? strtod(json_string_value(got), &end) : json_number_value(got);
    bool is_number = json_is_number(got) || (end && end != json_string_value(got) && !*end);
    return json_is_number(want) && is_number && value == json_number_value(want);
}

static void compare(struct play *p, const char *what, const json_t *want, const json_t *got)
{
    bool is_absent = json_is_string(want) && !*json_string_value(want) && !got;
    is_absent |= json_is_object(want) && !json_object_size(want) && json_is_array(got) && !json_array_size(got); /* Lua's {} */
    if (!want || is_absent || json_equal(want, got) || is_same_number(want, got))
        return;
    char *wanted = shown(want), *seen = shown(got);
    fail(p, "%s: %s was expected", what, wanted);
    fail(p, "%*s  %s came", (int)strlen(what), "", seen);
    free(wanted);
    free(seen);
}

static void compare_members(struct play *p, const char *what, const json_t *want, const json_t *got)
{
    const char *key;
    json_t *value;
    char name[PATHS];
    json_object_foreach((json_t *)(uintptr_t)want, key, value) {
        snprintf(name, sizeof(name), "%s.%s", what, key);
        compare(p, name, value, json_object_get(got, key));
    }
}

/* All notes of all stages, by key, as texts. */
static json_t *notes_of(const json_t *record)
{
    json_t *notes = json_object(), *decision, *value;
    const char *key;
    size_t i;
    json_array_foreach(json_object_get(record, "decisions"), i, decision)
        json_object_foreach(decision, key, value)
            if (strcmp(key, "stage") != 0)
                json_object_set(notes, key, value);
    return notes;
}

static json_t *asked_of(const json_t *record)
{
    json_t *asked = json_array(), *attempt;
    size_t i;
    json_array_foreach(json_object_get(record, "attempts"), i, attempt)
        json_array_append(asked, json_object_get(attempt, "target"));
    return asked;
}

/* Seconds, or the least and the most. */
static void compare_waiting(struct play *p, const json_t *want)
{
    double waited = (double)rehearsal_ms() / 1000;
    bool is_range = json_array_size(want) == 2;
    double least = json_number_value(is_range ? json_array_get(want, 0) : want) - 0.02;
    double most = json_number_value(is_range ? json_array_get(want, 1) : want) + 0.02;
    if (want && (waited < least || waited > most))
        fail(p, "waited: %g s to %g s were expected, %g s passed", least + 0.02, most - 0.02, waited);
}

static void compare_all(struct play *p)
{
    const json_t *want = p->the_case->given;
    json_t *notes = notes_of(p->record), *asked = asked_of(p->record);
    json_t *code = json_object_get(json_object_get(p->record, "error"), "code");
    compare(p, "denied", json_object_get(want, "denied"), code);
    if (code && !json_object_get(want, "denied") && !json_object_get(want, "status"))
        fail(p, "it was refused: %s, status %d: %s", json_string_value(code), p->status, p->text ? p->text : "");
    compare(p, "left", json_object_get(want, "left"), p->left);
    compare(p, "asked", json_object_get(want, "asked"), asked);
    compare(p, "mirrored", json_object_get(want, "mirrored"), p->mirrored);
    compare_members(p, "sent", json_object_get(want, "sent"), p->sent);
    compare_members(p, "notes", json_object_get(want, "notes"), notes);
    compare_members(p, "headers", json_object_get(want, "headers"), p->headers);
    json_t *answer = p->text ? json_string(p->text) : NULL, *status = json_integer(p->status);
    compare(p, "answer", json_object_get(want, "answer"), code ? NULL : answer);
    compare(p, "status", json_object_get(want, "status"), status);
    compare_waiting(p, json_object_get(want, "waited"));
    json_decref(answer);
    json_decref(status);
    json_decref(notes);
    json_decref(asked);
}

/* A misspelt expectation would be one that always holds. */
static void look_for_typos(struct play *p)
{
    static const char *const names[] = { "name",   "settings", "request", "targets", "now",   "seed",   "times",
                                         "http",   "shared",   "data",    "secrets", "answers", "left",  "asked",
                                         "mirrored",
                                         "denied", "answer",   "sent",    "notes",   "headers", "waited", "status" };
    const char *key;
    json_t *value;
    json_object_foreach(p->the_case->given, key, value) {
        size_t i = 0;
        while (i < sizeof(names) / sizeof(*names) && strcmp(key, names[i]) != 0)
            i++;
        if (i == sizeof(names) / sizeof(*names))
            fail(p, "\"%s\" is nothing that a case can say", key);
    }
}

/* ---- one case ---- */

static int64_t time_of(const json_t *now)
{
    struct tm t = { 0 };
    if (json_is_number(now))
        return (int64_t)(json_number_value(now) * 1000 + 0.5);
    if (json_is_string(now) && strptime(json_string_value(now), "%Y-%m-%dT%H:%M:%S", &t))
        return (int64_t)timegm(&t) * 1000;
    return INT64_C(1767268800000); /* a Thursday at noon */
}

static void on_finish(void *arg, struct request *r)
{
    struct play *p = arg;
    struct weir_out text = { 0 };
    record_write(r, &text);
    json_decref(p->record);
    p->record = json_loadb(out_bytes(&text).p, out_bytes(&text).n, 0, NULL);
    out_free(&text);
}

static void ask(struct play *p, struct weir_str request)
{
    json_int_t times = json_integer_value(json_object_get(p->the_case->given, "times"));
    for (json_int_t i = 0; i < (times > 0 ? times : 1) && !p->has_failed; i++) {
        struct weir_out answer = { 0 };
        if (rehearsal_ask(request, &answer) < 0)
            fail(p, "nothing is answered");
        else
            play_read_answer(p, out_bytes(&answer));
        out_free(&answer);
    }
}

static void perform(struct play *p, const struct config *config)
{
    struct weir_out request = { 0 };
    const json_t *given = p->the_case->given, *q = json_object_get(given, "request");
    struct weir_principal caller = { .size = sizeof(caller), .name = weir_cstr(text_of(q, "name", "tester")),
                                     .team = weir_cstr(text_of(q, "team", "")) };
    struct rehearsal r = { .config = config, .unix_ms = time_of(json_object_get(given, "now")), .play = play_call, .arg = p };
    char why[512] = "";
    r.settings.seed = (uint64_t)json_integer_value(json_object_get(given, "seed")) + 1;
    r.settings.caller = &caller;
    r.watcher.on_finish = on_finish;
    r.watcher.arg = p;
    if (rehearsal_begin(&r, why, sizeof(why)) < 0) {
        fail(p, "%s", why);
        return;
    }
    put_shared(p);
    put_figures(p);
    if (make_request(p, &request))
        ask(p, out_bytes(&request));
    if (!p->has_failed)
        compare_all(p);
    out_free(&request);
    rehearsal_end();
}

static void clean_up(struct play *p)
{
    state_folder_remove(p->folder);
    json_decref(p->targets);
    json_decref(p->record);
    json_decref(p->left);
    json_decref(p->sent);
    json_decref(p->mirrored);
    json_decref(p->headers);
    json_decref(p->counts);
    free(p->text);
    arena_free(p->arena);
}

bool rehearsal_case_run(const struct rehearsal_case *c)
{
    struct play p = { .the_case = c, .arena = arena_new(), .counts = json_object(),
                      .mirrored = json_array() };
    const json_t *targets = json_object_get(c->given, "targets");
    p.targets = json_is_array(targets) ? json_deep_copy(targets) : default_targets();
    p.model = text_of(json_object_get(c->given, "request"), "model", "demo");
    snprintf(p.folder, sizeof(p.folder), "%s/weir-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    look_for_typos(&p);
    if (!mkdtemp(p.folder) || shm_create() < 0)
        return fail(&p, "no folder or no shared memory for a test");
    shm_use_slot(0);
    p.codec = lab_codec(c->dialect);
    struct config *config = p.codec && put_data(&p) ? load(&p) : NULL;
    if (config && !p.has_failed)
        perform(&p, config);
    if (p.has_failed && c->is_verbose && p.record) {
        char *record = json_dumps(p.record, JSON_COMPACT);
        fail(&p, "record: %s", record);
        free(record);
    }
    bool is_well = !p.has_failed && config;
    clean_up(&p);
    return is_well;
}
