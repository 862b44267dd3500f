/* The recorder: what a rule read and decided, as one JSON object a request.
 *
 * Owner: a request's line is built in memory of its own and freed with recording_finish(), which every request reaches. A fetch
 * holds its object itself. Shared memory says whether and where to; each worker appends whole lines to the same file.
 * Credentials are never noted, and of a conversation only its form, unless contents were asked for.
 */
#include "recording.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "canon.h"
#include "pipeline.h"
#include "shm_layout.h"

enum { LINE_MAX_BYTES = 4 << 20, READINGS_MAX = 64 };

const struct recording_tap *recording_tap;
struct recording_player *recording_player;

struct recorded {
    json_t *rules, *rule; /* rule: the one that runs; NULL: none */
};

static json_t *rule; /* of the run on the stack */

/* ---- whether, and where to ---- */

void recording_set(const char *path, int64_t until_ms, uint64_t max_bytes, bool has_contents)
{
    struct shm_recording *s = &shm_area->recording;
    atomic_store(&s->until_ms, 0);
    if (!until_ms)
        return;
    snprintf(s->path, sizeof(s->path), "%s", path);
    atomic_store(&s->left, (int64_t)max_bytes);
    atomic_store(&s->requests, 0);
    atomic_store(&s->bytes, 0);
    atomic_store(&s->dropped, 0);
    atomic_store(&s->has_contents, has_contents);
    atomic_fetch_add(&s->serial, 1);
    atomic_store(&s->until_ms, until_ms);
}

static bool is_on(void)
{
    int64_t until_ms = atomic_load_explicit(&shm_area->recording.until_ms, memory_order_relaxed);
    return until_ms && unix_ms() < until_ms;
}

struct recording_state recording_state(void)
{
    struct shm_recording *s = &shm_area->recording;
    return (struct recording_state){ atomic_load(&s->requests), atomic_load(&s->bytes), atomic_load(&s->dropped), is_on() };
}

/* The file of this recording; -1: it can't be opened. */
static int file_now(void)
{
    static int fd = -1;
    static uint32_t serial;
    uint32_t now = atomic_load(&shm_area->recording.serial);
    if (now == serial)
        return fd;
    if (fd >= 0)
        close(fd);
    serial = now;
    fd = open(shm_area->recording.path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd;
}

static void put_line(struct weir_str line)
{
    struct shm_recording *s = &shm_area->recording;
    int64_t n = (int64_t)line.n, left = atomic_fetch_sub(&s->left, n);
    bool has_room = left >= n && line.n <= LINE_MAX_BYTES;
    if (left < n)
        atomic_store(&s->until_ms, 0); /* the file is as large as it may be */
    int fd = has_room ? file_now() : -1;
    ssize_t written = fd >= 0 ? write(fd, line.p, line.n) : -1;
    bool is_written = written == (ssize_t)line.n;
    if (written > 0 && !is_written)
        atomic_store(&s->until_ms, 0); /* the disk is full: nothing may follow half a line */
    atomic_fetch_add(is_written ? &s->requests : &s->dropped, 1);
    if (is_written)
        atomic_fetch_add(&s->bytes, line.n);
}

/* ---- small parts ---- */

json_t *recording_str(struct weir_str s)
{
    return json_stringn(s.n ? s.p : "", s.n);
}

void recording_digest(struct weir_str bytes, char hex[65])
{
    uint8_t digest[32];
    bytes_sha256(bytes, digest);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void put(json_t *to, const char *key, struct weir_str s)
{
    json_object_set_new(to, key, recording_str(s));
}

static json_t *strings(const struct weir_str *list, uint32_t n)
{
    json_t *to = json_array();
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(to, recording_str(list[i]));
    return to;
}

static json_t *candidate_json(const struct weir_candidate *v)
{
    json_t *to = json_pack("{s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "flags", (json_int_t)v->flags,
                           "capabilities", (json_int_t)v->capabilities, "context", (json_int_t)v->context_tokens, "price_input",
                           v->price_input, "price_output", v->price_output, "latency_ms", (json_int_t)v->latency_ms, "load",
                           (json_int_t)v->in_flight, "healthy", (json_int_t)v->is_healthy, "breaker", (json_int_t)v->breaker, "p95_ms",
                           (json_int_t)v->p95_ms, "answers", (json_int_t)v->first_tokens, "throughput", v->throughput, "error_rate",
                           v->error_rate, "left_requests", (json_int_t)v->left_requests, "left_tokens", (json_int_t)v->left_tokens);
    put(to, "name", v->name);
    put(to, "dialect", v->dialect);
    put(to, "region", v->region);
    put(to, "unavailable", v->unavailable);
    json_object_set_new(to, "tags", strings(v->tags, v->n_tags));
    return to;
}

/* ---- headers ---- */

static bool looks_secret(const char *name)
{
    static const char *const words[] = { "auth", "key", "token", "secret", "cookie", "password", "session", "signature", "credential" };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

static char *lower_name(struct weir_str name)
{
    char *to = strndup(name.n ? name.p : "", name.n);
    for (char *p = to; p && *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    return to;
}

static struct weir_str note_header(struct weir_call *c, struct weir_str name, struct weir_str found)
{
    (void)c;
    char *lower = lower_name(name);
    if (lower && !looks_secret(lower))
        json_object_set_new(json_object_get(rule, "headers"), lower, found.p ? recording_str(found) : json_null());
    free(lower);
    return found;
}

static bool note_header_at(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value)
{
    const struct recording_tap *tap = recording_tap;
    recording_tap = NULL; /* as it is */
    bool is_there = host_table.header_at(c, i, name, value);
    if (is_there)
        note_header(c, *name, host_table.header(c, *name)); /* of one that comes twice, both */
    recording_tap = tap;
    return is_there;
}

static void put_headers(struct weir_call *c, bool has_contents)
{
    json_t *names = json_array();
    struct weir_str name, value;
    json_object_set_new(rule, "headers", json_object());
    for (uint32_t i = 0; host_table.header_at(c, i, &name, &value); i++) {
        char *lower = lower_name(name);
        if (lower)
            json_array_append_new(names, json_string(lower));
        free(lower);
        if (has_contents)
            note_header(c, name, value);
    }
    json_object_set_new(rule, "header_names", names);
}

/* Without the parameters that look like secrets. */
static void put_query(struct weir_str query)
{
    struct weir_out kept = { 0 };
    char *text = strndup(query.n ? query.p : "", query.n), *rest = text;
    for (char *one; rest && (one = strsep(&rest, "&"));) {
        if (looks_secret(one))
            continue;
        if (kept.n)
            out_write(&kept, WEIR_LIT("&"));
        out_write(&kept, weir_cstr(one));
    }
    put(rule, "query", out_bytes(&kept));
    out_free(&kept);
    free(text);
}

/* ---- the conversation ---- */

/* Only its form: who spoke, in parts of which kinds; of tools the names. */
static void redact(json_t *conversation)
{
    json_t *m, *part, *tool;
    size_t i, k;
    json_array_foreach(json_object_get(conversation, "messages"), i, m) {
        json_array_foreach(json_object_get(m, "parts"), k, part) {
            json_t *kind = json_incref(json_object_get(part, "kind"));
            json_object_clear(part);
            json_object_set_new(part, "kind", kind);
        }
        json_object_del(m, "name");
    }
    json_array_foreach(json_object_get(conversation, "tools"), i, tool) {
        json_t *name = json_incref(json_object_get(tool, "name"));
        json_object_clear(tool);
        json_object_set_new(tool, "name", name);
    }
}

/* With contents it is the text of the JSON, since a rule that reads a schema sees its blanks; without, the JSON. */
static json_t *conversation_json(struct request *r, bool has_contents)
{
    struct weir_out text = { 0 };
    struct scratch s = scratch_enter();
    canon_conversation(scratch_arena(), &r->conversation->view, &text);
    json_t *whole = has_contents ? recording_str(out_bytes(&text)) : NULL;
    json_t *all = whole ? NULL : json_loadb(out_bytes(&text).p, out_bytes(&text).n, 0, NULL), *kept = whole ? whole : json_object();
    scratch_leave(s);
    out_free(&text);
    if (all)
        redact(all);
    static const char *const members[] = { "fields", "messages", "tools" };
    for (size_t i = 0; all && i < sizeof(members) / sizeof(*members); i++)
        if (json_object_get(all, members[i]))
            json_object_set(kept, members[i], json_object_get(all, members[i]));
    json_decref(all);
    return kept;
}

static json_t *complexity_json(struct weir_call *c)
{
    struct weir_complexity k;
    if (!host_table.complexity(c, &k))
        return json_null();
    return json_pack("[f, i, i, i, i, i, i, i, i, i, i, i, i]", k.score, k.words, k.sentences, k.questions, k.numbers, k.maths, k.code,
                     k.conditions, k.negations, k.quantities, k.turns, k.tools, k.images);
}

/* ---- what is read while it runs ---- */

static struct weir_str note_shared(struct weir_str key, struct weir_str found)
{
    json_t *all = json_object_get(rule, "shared"), *k = recording_str(key);
    if (k && !json_object_get(all, json_string_value(k)))
        json_object_set_new(all, json_string_value(k), found.p ? recording_str(found) : json_null());
    json_decref(k);
    return found;
}

static void note_shared_set(struct weir_str key, struct weir_str found)
{
    note_shared(key, found);
}

static json_t *note_fetch(const struct weir_fetch *q)
{
    char hex[65];
    json_t *to = json_object();
    recording_digest(q->body, hex);
    put(to, "method", q->method);
    put(to, "url", q->url);
    json_object_set_new(to, "body_sha256", json_string(hex));
    json_object_set_new(to, "begun_us", json_integer(monotonic_us()));
    json_array_append(json_object_get(rule, "http"), to);
    return to;
}

void recording_fetched(json_t *to, const struct weir_fetch_result *result)
{
    int64_t begun_us = json_integer_value(json_object_get(to, "begun_us"));
    json_object_del(to, "begun_us");
    int64_t after_ms = (monotonic_us() - begun_us) / 1000;
    json_object_set_new(to, "after", json_real((double)after_ms / 1000));
    json_object_set_new(to, "status", json_integer(result->status));
    put(to, "body", result->body);
    if (result->error.n)
        put(to, "error", result->error);
}

static struct weir_candidate *note_candidate(struct weir_call *c, struct weir_str name, struct weir_candidate *found)
{
    (void)c;
    json_t *k = recording_str(name);
    if (k)
        json_object_set_new(json_object_get(rule, "named"), json_string_value(k), found ? candidate_json(found) : json_null());
    json_decref(k);
    return found;
}

/* A rule looks at a clock that goes on while it runs. */
static int64_t note_now(int64_t found_ms)
{
    json_t *readings = json_object_get(rule, "clock");
    if (json_array_size(readings) < READINGS_MAX)
        json_array_append_new(readings, json_integer(found_ms));
    return found_ms;
}

static void note_content(void)
{
}

static int64_t same_tokens(int64_t found)
{
    return found;
}

static bool same_complexity(bool found, struct weir_complexity *k)
{
    (void)k;
    return found;
}

static const struct recording_tap recorder_tap = { note_header, note_header_at, note_shared, note_shared_set, note_fetch,
                                                   note_candidate, note_now, note_content, same_tokens, same_complexity };

/* ---- the rule's begin and end ---- */

static json_t *principal_json(const struct weir_principal *p)
{
    json_t *to = json_object();
    put(to, "name", p->name);
    put(to, "team", p->team);
    json_object_set_new(to, "tags", strings(p->tags, 2 * p->n_tags));
    return to;
}

/* Is there a setting that may be a secret, written out? */
static bool has_secret(const json_t *settings)
{
    const char *key;
    json_t *v;
    size_t i;
    bool found = false;
    json_array_foreach((json_t *)(uintptr_t)settings, i, v)
        found = found || has_secret(v);
    json_object_foreach((json_t *)(uintptr_t)settings, key, v) {
        const char *text = json_is_string(v) ? json_string_value(v) : NULL;
        bool is_reference = text && (strncmp(text, "env:", 4) == 0 || strncmp(text, "file:", 5) == 0);
        found = found || (text && !is_reference && looks_secret(key)) || has_secret(v);
    }
    return found;
}

/* null: they are not for a file that is passed around. */
static json_t *settings_json(const struct weir_instance *s)
{
    json_t *settings = s->use && s->use->settings ? json_loads(s->use->settings, 0, NULL) : NULL;
    if (!has_secret(settings))
        return settings ? settings : json_object();
    json_decref(settings);
    return json_null();
}

static json_t *new_rule(struct weir_call *c, const struct weir_instance *s, bool has_contents)
{
    struct request *r = c->request;
    char seed[40];
    json_t *list = json_array(), *secrets = json_array();
    rule = json_pack("{s:s, s:o, s:{}, s:{}, s:[], s:[]}", "stage", s->plugin->desc.name, "settings", settings_json(s), "shared",
                     "named", "http", "clock");
    snprintf(seed, sizeof(seed), "%016llx%016llx", (unsigned long long)r->random[0], (unsigned long long)r->random[1]);
    json_object_set_new(rule, "now_ms", json_integer(unix_ms()));
    json_object_set_new(rule, "seed", json_string(seed));
    json_object_set_new(rule, "principal", principal_json(&r->principal));
    for (uint32_t i = 0; i < r->n_candidates; i++)
        json_array_append_new(list, candidate_json(r->candidates[i]));
    for (uint32_t i = 0; i < worker->config->n_secrets; i++)
        json_array_append_new(secrets, recording_str(worker->config->secrets[i].name));
    json_object_set_new(rule, "candidates", list);
    json_object_set_new(rule, "secrets", secrets);
    put(rule, "id", r->view.id);
    put(rule, "method", r->view.method);
    put(rule, "path", r->view.path);
    put(rule, "route", r->view.route);
    put(rule, "dialect", r->view.dialect);
    put(rule, "peer", r->view.peer);
    put_query(r->view.query);
    json_object_set_new(rule, "flags", json_integer(r->view.flags));
    json_object_set_new(rule, "bytes", json_integer((json_int_t)r->view.body_n));
    json_object_set_new(rule, "conversation", conversation_json(r, has_contents));
    json_object_set_new(rule, "needs", json_integer(r->conversation->view.needs));
    json_object_set_new(rule, "tokens", json_integer(host_table.estimate_tokens(c)));
    json_object_set_new(rule, "complexity", complexity_json(c));
    put_headers(c, has_contents);
    return rule;
}

static bool is_rule(const struct weir_call *c, const struct weir_instance *s)
{
    return c->hook == HOOK_REQUEST && s->plugin->stage.read_test && c->request->conversation &&
           c->request->view.operation == WEIR_OP_CHAT;
}

void recording_before(struct weir_call *c, const struct weir_instance *s)
{
    struct request *r = c->request;
    if (!(recording_player || is_on()) || !is_rule(c, s))
        return;
    if (recording_player) {
        recording_player_before(c);
        recording_tap = &recording_player_tap;
        return;
    }
    if (!r->recorded)
        r->recorded = arena_zalloc(r->arena, sizeof(*r->recorded));
    if (!r->recorded)
        return;
    r->recorded->rule = new_rule(c, s, atomic_load(&shm_area->recording.has_contents));
    recording_tap = &recorder_tap;
}

void recording_pause(void)
{
    recording_tap = NULL;
    rule = NULL;
}

void recording_goes_on(struct weir_call *c)
{
    if (c->hook != HOOK_REQUEST)
        return;
    if (recording_player && !recording_player->decision) {
        recording_tap = &recording_player_tap;
    } else if (c->request->recorded && c->request->recorded->rule) {
        rule = c->request->recorded->rule;
        recording_tap = &recorder_tap;
    }
}

json_t *recording_decision(struct weir_call *c, enum weir_verdict v)
{
    struct request *r = c->request;
    json_t *to = json_object(), *route = json_array(), *copies = json_array();
    if (v == WEIR_FAIL) {
        json_object_set_new(to, "denied", recording_str(c->error.code.n ? c->error.code : weir_cstr(error_code(&c->error))));
        json_object_set_new(to, "status", json_integer(error_status(&c->error)));
    } else if (v == WEIR_DONE) {
        json_object_set_new(to, "answered", json_true());
    } else {
        for (uint32_t i = 0; i < r->n_candidates; i++)
            json_array_append_new(r->candidates[i]->flags & WEIR_CANDIDATE_MIRROR ? copies : route,
                                  recording_str(r->candidates[i]->name));
        json_object_set(to, "route", route);
    }
    if (json_array_size(copies))
        json_object_set(to, "copies", copies);
    json_decref(copies);
    json_decref(route);
    return to;
}

void recording_after(struct weir_call *c, enum weir_verdict v)
{
    struct recorded *to = c->request->recorded;
    recording_pause();
    if (c->hook != HOOK_REQUEST)
        return;
    if (recording_player && !recording_player->decision) {
        recording_player->decision = recording_decision(c, v);
        recording_player_after(c);
    } else if (to && to->rule) {
        json_object_set_new(to->rule, "decision", recording_decision(c, v));
        to->rules = to->rules ? to->rules : json_array();
        json_array_append_new(to->rules, to->rule);
        to->rule = NULL;
    }
}

void recording_finish(struct request *r)
{
    struct recorded *from = r->recorded;
    if (!from)
        return;
    if (from->rules && is_on()) {
        struct weir_out record = { 0 };
        record_write(r, &record);
        json_t *outcome = json_loadb(out_bytes(&record).p, out_bytes(&record).n, 0, NULL);
        json_t *line = json_pack("{s:O, s:o}", "rules", from->rules, "outcome", outcome ? outcome : json_null());
        char *text = json_dumps(line, JSON_COMPACT);
        struct weir_out bytes = { 0 };
        out_write(&bytes, weir_cstr(text ? text : ""));
        out_write(&bytes, WEIR_LIT("\n"));
        if (text)
            put_line(out_bytes(&bytes));
        out_free(&bytes);
        out_free(&record);
        free(text);
        json_decref(line);
    }
    json_decref(from->rules);
    json_decref(from->rule);
    r->recorded = NULL;
}
