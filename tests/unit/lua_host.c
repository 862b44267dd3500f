/* See lua_host.h. */
#include "lua_host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

struct fake fake;

struct fake_memory {
    struct fake_memory *next;
    max_align_t data[];
};

struct job {
    struct job *next;
    weir_fn fn;
    void *arg;
    int64_t due_ms; /* 0: deferred */
};
static struct job *jobs;
static struct weir_call *waiting[16]; /* those that wait */
static weir_token last_token;

static char *copy(struct weir_str s)
{
    char *p = malloc(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

int64_t fake_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t fake_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void *host_alloc(struct weir_call *c, enum weir_lifetime lifetime, size_t n)
{
    (void)lifetime;
    struct fake_memory *m = calloc(1, sizeof(*m) + n);
    m->next = c->memory;
    c->memory = m;
    c->memory_n += n;
    return m->data;
}

static struct weir_str host_keep(struct weir_call *c, struct weir_str s)
{
    char *p = host_alloc(c, WEIR_FOR_REQUEST, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct weir_str){ p, s.n };
}

static void *host_request_block(struct weir_call *c)
{
    return c->block;
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

static weir_token host_suspend(struct weir_call *c, const char *why, weir_fn cancel, void *arg)
{
    if (c->token || c->refuses_to_wait)
        return 0;
    c->token = ++last_token;
    c->cancel = cancel;
    c->cancel_arg = arg;
    c->why = why;
    c->n_waits++;
    for (int i = 0; i < 16; i++)
        if (!waiting[i]) {
            waiting[i] = c;
            break;
        }
    return c->token;
}

static struct weir_call *host_waiting(struct weir_instance *inst, weir_token token)
{
    (void)inst;
    for (int i = 0; i < 16; i++)
        if (waiting[i] && waiting[i]->token == token)
            return waiting[i];
    return NULL;
}

static void wait_is_over(struct weir_call *c)
{
    c->token = 0;
    for (int i = 0; i < 16; i++)
        if (waiting[i] == c)
            waiting[i] = NULL;
}

static void host_resume(struct weir_instance *inst, weir_token token, enum weir_verdict v)
{
    struct weir_call *c = host_waiting(inst, token);
    if (!c)
        return;
    wait_is_over(c);
    c->resumed = v;
}

static enum weir_verdict host_fail(struct weir_call *c, const struct weir_error *e)
{
    c->error = *e;
    snprintf(c->error_code, sizeof(c->error_code), "%.*s", (int)e->code.n, e->code.p ? e->code.p : "");
    snprintf(c->error_message, sizeof(c->error_message), "%.*s", (int)e->message.n, e->message.p ? e->message.p : "");
    c->n_fails++;
    return WEIR_FAIL;
}

static int host_answer_text(struct weir_call *c, struct weir_str text)
{
    free(c->answer);
    c->answer = copy(text);
    return 0;
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

static const struct weir_request_view *host_request(struct weir_call *c)
{
    return &c->view;
}

static struct weir_str host_header(struct weir_call *c, struct weir_str name)
{
    for (int i = 0; i < c->n_headers; i++)
        if (strlen(c->headers[i].key) == name.n && strncasecmp(c->headers[i].key, name.p, name.n) == 0)
            return weir_cstr(c->headers[i].value);
    return WEIR_NONE;
}

static bool host_header_at(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value)
{
    if (i >= (uint32_t)c->n_headers)
        return false;
    *name = weir_cstr(c->headers[i].key);
    *value = weir_cstr(c->headers[i].value);
    return true;
}

static const struct weir_principal *host_principal(struct weir_call *c)
{
    return &c->principal;
}

/* Words are read from where they lie: this only hears that they are. */
static struct weir_str host_text(struct weir_call *call, const struct weir_text *t)
{
    (void)call, (void)t;
    return WEIR_NONE;
}

static const struct weir_conversation *host_conversation(struct weir_call *c)
{
    return &c->conversation;
}

static void add_pair(struct fake_pair *list, int *n, int max, const char *key, struct weir_str value)
{
    if (*n < max)
        list[(*n)++] = (struct fake_pair){ strdup(key), copy(value) };
}

static int host_edit_field(struct weir_call *c, enum weir_field f, struct weir_str json)
{
    char key[32];
    snprintf(key, sizeof(key), "%d", (int)f);
    add_pair(c->edits, &c->n_edits, FAKE_EDITS, key, json);
    c->fields[f].json = host_keep(c, json);
    return 0;
}

static int host_edit_text(struct weir_call *c, struct weir_part *part, struct weir_str plain)
{
    part->text = weir_plain(host_keep(c, plain));
    add_pair(c->edits, &c->n_edits, FAKE_EDITS, "text", plain);
    return 0;
}

static int host_prepend_system(struct weir_call *c, struct weir_str plain)
{
    free(c->system);
    c->system = copy(plain);
    return 0;
}

static void host_request_texts(struct weir_call *c, weir_text_fn fn, void *arg)
{
    for (int i = 0; i < c->n_texts; i++) {
        static const struct weir_text fixed = { "fixed text", 10, WEIR_TEXT_PLAIN };
        struct weir_part *part = c->texts[i];
        if (!fn(arg, weir_cstr(c->where[i]), part ? &part->text : &fixed, part))
            return;
    }
}

static int64_t host_estimate(struct weir_call *c)
{
    (void)c;
    return 1000;
}

static bool host_complexity(struct weir_call *c, struct weir_complexity *out)
{
    (void)c;
    *out = (struct weir_complexity){ .score = 0.5, .words = 20, .turns = 1 };
    return true;
}

/* ---- targets ----------------------------------------------------------------------------------------------------- */

static struct weir_candidate *const *host_candidates(struct weir_call *c, uint32_t *n)
{
    *n = c->n_candidates;
    return c->candidates;
}

static struct weir_candidate *host_candidate(struct weir_call *c, struct weir_str name)
{
    (void)c;
    for (int i = 0; i < FAKE_CANDIDATES && fake.all[i].name.n; i++)
        if (weir_eq(fake.all[i].name, name))
            return &fake.all[i];
    return NULL;
}

static int host_candidates_set(struct weir_call *c, struct weir_candidate *const *list, uint32_t n)
{
    struct weir_candidate *kept[FAKE_CANDIDATES];
    n = n > FAKE_CANDIDATES ? FAKE_CANDIDATES : n;
    memcpy(kept, list, n * sizeof(*list));
    memcpy(c->candidates, kept, n * sizeof(*list));
    c->n_candidates = n;
    return 0;
}

static struct weir_candidate *host_candidate_copy(struct weir_call *c, const struct weir_candidate *from)
{
    struct weir_candidate *to = host_alloc(c, WEIR_FOR_REQUEST, sizeof(*to));
    *to = *from;
    return to;
}

static int host_candidate_field(struct weir_call *c, struct weir_candidate *cand, enum weir_field f, struct weir_str json)
{
    char key[64];
    snprintf(key, sizeof(key), "%.*s.%d", (int)cand->name.n, cand->name.p, (int)f);
    add_pair(c->edits, &c->n_edits, FAKE_EDITS, key, json);
    return 0;
}

static int host_candidate_header(struct weir_call *c, struct weir_candidate *cand, struct weir_str name, struct weir_str value)
{
    char key[128];
    snprintf(key, sizeof(key), "%.*s:%.*s", (int)cand->name.n, cand->name.p, (int)name.n, name.p);
    add_pair(c->edits, &c->n_edits, FAKE_EDITS, key, value);
    return 0;
}

static int host_candidate_timeout(struct weir_call *c, struct weir_candidate *cand, enum weir_timeout which, uint32_t ms)
{
    char key[64], value[16];
    snprintf(key, sizeof(key), "%.*s!%d", (int)cand->name.n, cand->name.p, (int)which);
    snprintf(value, sizeof(value), "%u", ms);
    add_pair(c->edits, &c->n_edits, FAKE_EDITS, key, weir_cstr(value));
    return 0;
}

static int host_candidate_flag(struct weir_call *c, struct weir_candidate *cand, uint32_t flag)
{
    (void)c;
    cand->flags |= flag;
    return 0;
}

static const struct weir_candidate *host_target(struct weir_call *c)
{
    return c->target;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static int host_status(struct weir_call *c)
{
    return c->status;
}

static int host_set_response_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    if (memchr(value.p, '\n', value.n))
        return -1;
    char *key = copy(name);
    add_pair(c->response_headers, &c->n_response_headers, FAKE_HEADERS, key, value);
    free(key);
    return 0;
}

static const struct weir_error *host_outcome(struct weir_call *c)
{
    return &c->outcome;
}

static const struct weir_usage *host_usage(struct weir_call *c)
{
    return &c->usage;
}

static int host_record(struct weir_call *c, struct weir_out *out)
{
    (void)c, (void)out;
    return 0;
}

static struct weir_out *host_out(struct weir_call *c)
{
    return (struct weir_out *)c;
}

static struct weir_str host_out_bytes(const struct weir_out *out)
{
    (void)out;
    return WEIR_LIT("{\"id\":\"req-1\",\"attempts\":[{\"target\":\"openai/gpt-4o\",\"ms\":12}]}");
}

static int host_note(struct weir_call *c, const char *key, struct weir_str value)
{
    add_pair(c->notes, &c->n_notes, FAKE_NOTES, key, value);
    return 0;
}

/* ---- time, chance, secrets --------------------------------------------------------------------------------------- */

static int64_t host_now_ms(void)
{
    return fake.now_ms;
}

/* The fake clock moves a microsecond at each look, so that loops end. */
static int64_t host_monotonic_us(void)
{
    return fake.is_real_time ? fake_clock_us() : fake.time_us++;
}

static uint64_t host_random(struct weir_call *c)
{
    (void)c;
    fake.seed = fake.seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return fake.seed;
}

static void host_sha256(struct weir_str bytes, uint8_t out[32])
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.n; i++)
        h = (h ^ (uint8_t)bytes.p[i]) * UINT64_C(0x100000001b3);
    for (int i = 0; i < 32; i++, h = h * 31 + 7)
        out[i] = (uint8_t)(h >> 24);
}

static void host_hmac(struct weir_str key, struct weir_str bytes, uint8_t out[32])
{
    host_sha256(bytes, out);
    out[0] ^= (uint8_t)key.n;
}

static uint32_t host_secret(struct weir_instance *inst, struct weir_str name)
{
    (void)inst;
    return weir_is(name, "classifier") ? 7 : 0;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void *add_job(weir_fn fn, void *arg, int64_t due_ms)
{
    struct job *j = calloc(1, sizeof(*j)), **at = &jobs;
    *j = (struct job){ NULL, fn, arg, due_ms };
    while (*at)
        at = &(*at)->next;
    *at = j;
    return j;
}

static void *host_timer(struct weir_instance *inst, uint32_t ms, weir_fn fn, void *arg)
{
    (void)inst;
    fake.n_timers++;
    return add_job(fn, arg, fake.now_ms + ms + 1);
}

static void host_timer_cancel(struct weir_instance *inst, void *timer)
{
    (void)inst;
    for (struct job **at = &jobs; *at; at = &(*at)->next)
        if (*at == timer) {
            struct job *j = *at;
            *at = j->next;
            free(j);
            return;
        }
}

static int host_defer(struct weir_instance *inst, weir_fn fn, void *arg)
{
    (void)inst;
    fake.n_deferred++;
    add_job(fn, arg, 0);
    return 0;
}

static void *host_fetch(struct weir_instance *inst, const struct weir_fetch *f, weir_fetch_fn done, void *arg)
{
    (void)inst;
    struct fake_fetch *to = &fake.fetch;
    free(to->method);
    free(to->url);
    free(to->body);
    *to = (struct fake_fetch){ true, copy(f->method), copy(f->url), copy(f->body), "", f->deadline_ms, done, arg };
    for (uint32_t i = 0; i < f->n_headers; i++) {
        size_t n = strlen(to->headers);
        snprintf(to->headers + n, sizeof(to->headers) - n, "%.*s: %.*s [secret %u]\n", (int)f->headers[i].name.n,
                 f->headers[i].name.p, (int)f->headers[i].value.n, f->headers[i].value.n ? f->headers[i].value.p : "",
                 f->headers[i].secret);
    }
    return to;
}

static void host_fetch_cancel(struct weir_instance *inst, void *fetch)
{
    (void)inst, (void)fetch;
    fake.fetch.is_live = false;
}

static int host_counter(struct weir_instance *inst, const char *name, const char *labels)
{
    (void)inst, (void)name, (void)labels;
    return 1;
}

static void host_count(struct weir_instance *inst, int id, int64_t n)
{
    (void)inst, (void)id, (void)n;
}

__attribute__((format(printf, 3, 4))) static void host_log(struct weir_instance *inst, enum weir_log_level level,
                                                           const char *format, ...)
{
    (void)inst, (void)level;
    size_t n = strlen(fake.log);
    va_list ap;
    va_start(ap, format);
    vsnprintf(fake.log + n, sizeof(fake.log) - n - 1, format, ap);
    va_end(ap);
    n = strlen(fake.log);
    snprintf(fake.log + n, sizeof(fake.log) - n, "\n");
}

/* ---- shared ------------------------------------------------------------------------------------------------------ */

static struct fake_pair *shared_find(struct weir_str key)
{
    for (int i = 0; i < fake.n_shared; i++)
        if (weir_is(key, fake.shared[i].key))
            return &fake.shared[i];
    return NULL;
}

static struct weir_str host_shared_get(struct weir_call *c, struct weir_str key)
{
    const struct fake_pair *p = shared_find(key);
    return p && p->value[0] ? host_keep(c, weir_cstr(p->value)) : WEIR_NONE;
}

static int host_shared_set(struct weir_instance *inst, struct weir_str key, struct weir_str value, uint32_t ttl_ms)
{
    (void)inst, (void)ttl_ms;
    struct fake_pair *p = shared_find(key);
    if (!p) {
        if (fake.n_shared == 64)
            return -1;
        p = &fake.shared[fake.n_shared++];
        p->key = copy(key);
    }
    free(p->value);
    p->value = copy(value);
    return 0;
}

static int host_shared_incr(struct weir_instance *inst, struct weir_str key, int64_t by, uint32_t ttl_ms, int64_t *result)
{
    char text[32];
    const struct fake_pair *p = shared_find(key);
    *result = (p ? atoll(p->value) : 0) + by;
    snprintf(text, sizeof(text), "%lld", (long long)*result);
    return host_shared_set(inst, key, weir_cstr(text), ttl_ms);
}

/* ---- driving it -------------------------------------------------------------------------------------------------- */

static void free_pairs(struct fake_pair *list, int *n)
{
    for (int i = 0; i < *n; i++) {
        free(list[i].key);
        free(list[i].value);
    }
    *n = 0;
}

void fake_start(void)
{
    while (jobs) {
        struct job *j = jobs;
        jobs = j->next;
        free(j);
    }
    free_pairs(fake.shared, &fake.n_shared);
    free(fake.fetch.method);
    free(fake.fetch.url);
    free(fake.fetch.body);
    fake = (struct fake){ .now_ms = 1760000000000, .time_us = 1000, .seed = 42 };
    fake.host = (struct weir_host){
        .size = sizeof(fake.host), .abi_major = 1,
        .alloc = host_alloc, .keep = host_keep, .request_block = host_request_block,
        .suspend = host_suspend, .resume = host_resume, .waiting = host_waiting, .fail = host_fail,
        .answer_text = host_answer_text, .request = host_request, .header = host_header, .header_at = host_header_at,
        .principal = host_principal, .conversation = host_conversation, .text = host_text, .edit_field = host_edit_field,
        .edit_text = host_edit_text, .prepend_system = host_prepend_system, .request_texts = host_request_texts,
        .estimate_tokens = host_estimate, .complexity = host_complexity, .candidates = host_candidates, .candidate = host_candidate,
        .candidates_set = host_candidates_set, .candidate_copy = host_candidate_copy,
        .candidate_field = host_candidate_field, .candidate_header = host_candidate_header,
        .candidate_timeout = host_candidate_timeout, .candidate_flag = host_candidate_flag, .target = host_target,
        .status = host_status, .set_response_header = host_set_response_header, .outcome = host_outcome,
        .usage = host_usage, .record = host_record, .note = host_note, .out = host_out, .out_bytes = host_out_bytes,
        .now_ms = host_now_ms, .monotonic_us = host_monotonic_us, .random = host_random, .sha256 = host_sha256,
        .hmac_sha256 = host_hmac, .secret = host_secret, .timer = host_timer, .timer_cancel = host_timer_cancel,
        .fetch = host_fetch, .fetch_cancel = host_fetch_cancel, .defer = host_defer, .counter = host_counter,
        .count = host_count, .log = host_log, .shared_get = host_shared_get, .shared_set = host_shared_set,
        .shared_incr = host_shared_incr,
    };
}

void fake_target(const char *name, const char *region, double price, int64_t context, uint32_t capabilities)
{
    int i = 0;
    while (fake.all[i].name.n)
        i++;
    const char *slash = strchr(name, '/');
    fake.all[i] = (struct weir_candidate){
        .size = sizeof(fake.all[i]), .name = weir_cstr(name), .provider = { name, (size_t)(slash - name) },
        .model = weir_cstr(slash + 1), .dialect = WEIR_LIT("openai"), .region = weir_cstr(region),
        .capabilities = capabilities, .context_tokens = context, .price_input = price, .price_output = price,
        .is_healthy = 1, .left_requests = -1, .left_tokens = -1,
    };
}

struct weir_call *fake_call(size_t block_size)
{
    struct weir_call *c = calloc(1, sizeof(*c));
    c->block = calloc(1, block_size);
    c->view = (struct weir_request_view){
        .id = WEIR_LIT("req-1"), .method = WEIR_LIT("POST"), .path = WEIR_LIT("/v1/chat/completions"),
        .peer = WEIR_LIT("127.0.0.1"), .dialect = WEIR_LIT("openai"), .route = WEIR_LIT("r1"),
        .operation = WEIR_OP_CHAT, .flags = WEIR_REQUEST_STREAM, .started_ms = fake.now_ms - 250, .body_n = 400,
    };
    c->principal = (struct weir_principal){ .size = sizeof(c->principal), .name = WEIR_LIT("search-prod"),
                                            .team = WEIR_LIT("search") };
    c->conversation = (struct weir_conversation){ .operation = WEIR_OP_CHAT, .dialect = WEIR_LIT("openai"),
                                                  .fields = c->fields, .n_fields = WEIR_FIELD_COUNT };
    c->usage = WEIR_USAGE_UNKNOWN;
    fake_field(c, WEIR_FIELD_MODEL, "\"fast\"");
    for (int i = 0; i < FAKE_CANDIDATES && fake.all[i].name.n; i++)
        c->candidates[c->n_candidates++] = &fake.all[i];
    return c;
}

void fake_header(struct weir_call *c, const char *name, const char *value)
{
    add_pair(c->headers, &c->n_headers, FAKE_HEADERS, name, weir_cstr(value));
}

struct weir_message *fake_message(struct weir_call *c, enum weir_role role, const char *text)
{
    struct weir_message *m = host_alloc(c, WEIR_FOR_REQUEST, sizeof(*m)), **at = &c->conversation.messages;
    while (*at)
        at = &(*at)->next;
    *at = m;
    m->role = role;
    m->parts = host_alloc(c, WEIR_FOR_REQUEST, sizeof(*m->parts));
    m->parts->kind = WEIR_PART_TEXT;
    m->parts->text = (struct weir_text){ text, (uint32_t)strlen(text), strchr(text, '\\') ? WEIR_TEXT_ESCAPED : WEIR_TEXT_PLAIN };
    c->texts[c->n_texts] = m->parts;
    c->where[c->n_texts++] = "messages[0].content";
    c->conversation.n_messages++;
    return m;
}

void fake_field(struct weir_call *c, enum weir_field f, const char *json)
{
    c->fields[f].json = weir_cstr(json);
}

void fake_call_end(struct weir_call *c)
{
    wait_is_over(c);
    while (c->memory) {
        struct fake_memory *m = c->memory;
        c->memory = m->next;
        free(m);
    }
    free_pairs(c->headers, &c->n_headers);
    free_pairs(c->notes, &c->n_notes);
    free_pairs(c->edits, &c->n_edits);
    free_pairs(c->response_headers, &c->n_response_headers);
    free(c->answer);
    free(c->system);
    free(c->block);
    free(c);
}

const char *fake_note(const struct weir_call *c, const char *key)
{
    for (int i = 0; i < c->n_notes; i++)
        if (strcmp(c->notes[i].key, key) == 0)
            return c->notes[i].value;
    return "";
}

int fake_turn(void)
{
    int n = 0;
    struct job *todo = NULL, **end = &todo;
    for (struct job **at = &jobs; *at;) {
        struct job *j = *at;
        if (j->due_ms > fake.now_ms) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        j->next = NULL;
        *end = j;
        end = &j->next;
    }
    while (todo) {
        struct job *j = todo;
        todo = j->next;
        int64_t before = fake_cpu_us();
        j->fn(j->arg);
        int64_t us = fake_cpu_us() - before;
        fake.longest_us = us > fake.longest_us ? us : fake.longest_us;
        free(j);
        n++;
    }
    return n;
}

enum weir_verdict fake_run(struct weir_call *c, enum weir_verdict first)
{
    if (first != WEIR_WAIT)
        return first;
    while (!c->resumed) {
        if (fake_turn() > 0)
            continue;
        if (!jobs)
            return WEIR_WAIT;
        int64_t next = INT64_MAX;
        for (const struct job *j = jobs; j; j = j->next)
            next = j->due_ms < next ? j->due_ms : next;
        fake.now_ms = next;
    }
    enum weir_verdict v = c->resumed;
    c->resumed = 0;
    return v;
}

static void answer(const struct weir_fetch_result *r)
{
    struct fake_fetch f = fake.fetch;
    fake.fetch.is_live = false;
    f.done(f.arg, r);
}

void fake_answer(int status, const char *headers, const char *body)
{
    struct weir_fetch_result r = { sizeof(r), status, WEIR_LIT(""), weir_cstr(body), weir_cstr(headers) };
    answer(&r);
}

void fake_answer_error(const char *error)
{
    struct weir_fetch_result r = { sizeof(r), 0, weir_cstr(error), WEIR_NONE, WEIR_NONE };
    answer(&r);
}

void fake_cancel(struct weir_call *c)
{
    wait_is_over(c);
    c->cancel(c->cancel_arg);
}
