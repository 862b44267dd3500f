/* Errors, both ways. Google's become classes: the status alone doesn't tell a bad key (400) from a bad request, nor a minute's
 * limit from a day's. */
#include "gemini.h"

struct details {
    struct weir_str reason; /* ErrorInfo */
    uint32_t retry_after_ms;
    bool is_daily;
};

/* "34s", "48.939935699s" */
static uint32_t read_delay(struct weir_str s)
{
    uint64_t ms = 0;
    size_t i = 0;
    for (; i < s.n && i < 7 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        ms = 10 * ms + (uint64_t)(s.p[i] - '0');
    ms *= 1000;
    if (i < s.n && s.p[i] == '.')
        ms += 1000; /* rounded up: coming back too early helps nobody */
    return ms > 86400000 ? 86400000 : (uint32_t)ms;
}

static void read_violations(struct gemini *g, struct weir_json *r, struct details *d)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, id;
    for (j->array(r); j->element(r);) {
        id = WEIR_NONE;
        if (j->peek(r) != WEIR_JSON_OBJECT)
            continue;
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "quotaId"))
                gemini_read_string(j, r, &id);
        d->is_daily |= gemini_contains(id, "PerDay");
    }
}

static void read_detail(struct gemini *g, struct weir_json *r, struct details *d)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, delay = WEIR_NONE;
    if (j->peek(r) != WEIR_JSON_OBJECT)
        return;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "reason"))
            gemini_read_string(j, r, &d->reason);
        else if (weir_is(key, "retryDelay"))
            gemini_read_string(j, r, &delay);
        else if (weir_is(key, "violations") && j->peek(r) == WEIR_JSON_ARRAY)
            read_violations(g, r, d);
    }
    if (delay.n)
        d->retry_after_ms = read_delay(delay);
}

static enum weir_error_class class_of_status(struct weir_str word, int status)
{
    static const struct {
        const char *word;
        int status;
        enum weir_error_class error_class;
    } known[] = {
        { "UNAUTHENTICATED", 401, WEIR_ERROR_AUTHENTICATION },
        { "PERMISSION_DENIED", 403, WEIR_ERROR_PERMISSION },
        { "NOT_FOUND", 404, WEIR_ERROR_NOT_FOUND },
        { "RESOURCE_EXHAUSTED", 429, WEIR_ERROR_RATE_LIMITED },
        { "FAILED_PRECONDITION", 0, WEIR_ERROR_PERMISSION },
        { "INVALID_ARGUMENT", 400, WEIR_ERROR_BAD_REQUEST },
        { "UNAVAILABLE", 503, WEIR_ERROR_OVERLOADED },
        { "DEADLINE_EXCEEDED", 504, WEIR_ERROR_TIMEOUT },
        { "INTERNAL", 500, WEIR_ERROR_SERVER },
        { "", 402, WEIR_ERROR_QUOTA },
        { "", 413, WEIR_ERROR_TOO_LARGE },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if ((word.n && weir_is(word, known[i].word)) || (!word.n && status && known[i].status == status))
            return known[i].error_class;
    return WEIR_ERROR_NONE;
}

static bool is_about_length(struct weir_str message)
{
    return gemini_contains(message, "exceeds the maximum number of tokens") || gemini_contains(message, "input token count");
}

static void classify(struct weir_error *error, const struct details *d, struct weir_str word, int status)
{
    enum weir_error_class c = class_of_status(word, status);
    if (c == WEIR_ERROR_NONE)
        c = class_of_status(WEIR_NONE, status);
    if (status == 402)
        c = WEIR_ERROR_QUOTA;
    if (weir_is(d->reason, "API_KEY_INVALID") || weir_is(d->reason, "API_KEY_EXPIRED"))
        c = WEIR_ERROR_AUTHENTICATION;
    else if (c == WEIR_ERROR_RATE_LIMITED && d->is_daily)
        c = WEIR_ERROR_QUOTA;
    else if (c == WEIR_ERROR_BAD_REQUEST && is_about_length(error->message))
        c = WEIR_ERROR_CONTEXT_LENGTH;
    if (c != WEIR_ERROR_NONE)
        error->error_class = (uint16_t)c;
    else if (error->error_class == WEIR_ERROR_NONE)
        error->error_class = WEIR_ERROR_SERVER;
    if (d->retry_after_ms && c != WEIR_ERROR_QUOTA)
        error->retry_after_ms = d->retry_after_ms;
}

void gemini_read_error(struct gemini *g, struct weir_json *r, int status, struct weir_error *error)
{
    const struct weir_json_api *j = g->json;
    struct details d = { 0 };
    struct weir_str key, word = WEIR_NONE;
    int64_t code = 0;
    error->size = sizeof(*error);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "message"))
            gemini_read_string(j, r, &error->message);
        else if (weir_is(key, "status"))
            gemini_read_string(j, r, &word);
        else if (weir_is(key, "code") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &code);
        else if (weir_is(key, "details") && j->peek(r) == WEIR_JSON_ARRAY)
            for (j->array(r); j->element(r);)
                read_detail(g, r, &d);
    }
    error->native = d.reason.n && !weir_is(d.reason, "RATE_LIMIT_EXCEEDED") ? d.reason : word;
    if (!error->message.n)
        error->message = WEIR_LIT("Gemini reported an error and did not say which.");
    classify(error, &d, word, status ? status : (int)code);
}

/* {"error":{…}}, on some paths inside an array. What is no JSON leaves the host's defaults. */
int gemini_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error)
{
    struct gemini g = gemini_begin(self, call, state);
    struct weir_str key;
    if (error->error_class == WEIR_ERROR_NONE)
        classify(error, &(struct details){ .is_daily = false }, WEIR_NONE, status);
    struct weir_error read = *error;
    bool is_read = false;
    struct weir_json *r = g.json->open(call, body);
    if (g.json->peek(r) == WEIR_JSON_ARRAY && (!g.json->array(r) || !g.json->element(r)))
        return 0;
    if (g.json->peek(r) != WEIR_JSON_OBJECT)
        return 0;
    for (g.json->object(r); g.json->member(r, &key);)
        if (weir_is(key, "error") && g.json->peek(r) == WEIR_JSON_OBJECT) {
            gemini_read_error(&g, r, status, &read);
            is_read = true;
        }
    if (is_read && !g.json->failed(r))
        *error = read;
    return 0;
}

/* ---- to a client ---- */

static const char *status_word(const struct weir_error *e)
{
    static const char *const words[] = {
        [WEIR_ERROR_AUTHENTICATION] = "UNAUTHENTICATED",    [WEIR_ERROR_PERMISSION] = "PERMISSION_DENIED",
        [WEIR_ERROR_NOT_FOUND] = "NOT_FOUND",               [WEIR_ERROR_RATE_LIMITED] = "RESOURCE_EXHAUSTED",
        [WEIR_ERROR_QUOTA] = "RESOURCE_EXHAUSTED",          [WEIR_ERROR_OVERLOADED] = "UNAVAILABLE",
        [WEIR_ERROR_TIMEOUT] = "DEADLINE_EXCEEDED",         [WEIR_ERROR_CONNECT] = "UNAVAILABLE",
        [WEIR_ERROR_UNAVAILABLE] = "UNAVAILABLE",           [WEIR_ERROR_SERVER] = "INTERNAL",
        [WEIR_ERROR_BROKEN] = "INTERNAL",                   [WEIR_ERROR_INTERNAL] = "INTERNAL",
        [WEIR_ERROR_CANCELLED] = "CANCELLED",
    };
    size_t n = sizeof(words) / sizeof(*words);
    return e->error_class < n && words[e->error_class] ? words[e->error_class] : "INVALID_ARGUMENT";
}

static void put_member(const struct weir_json_api *j, struct weir_out *out, const char *key, struct weir_str value)
{
    j->key(out, key);
    j->put_str(out, value);
}

static void detail_begin(const struct weir_json_api *j, struct weir_out *out, const char *type)
{
    j->object_begin(out);
    put_member(j, out, "@type", weir_cstr(type));
}

static void put_details(struct gemini *g, struct weir_out *out, const struct weir_error *e)
{
    const struct weir_json_api *j = g->json;
    if (e->code.n) {
        detail_begin(j, out, "type.googleapis.com/google.rpc.ErrorInfo");
        put_member(j, out, "reason", e->code);
        put_member(j, out, "domain", WEIR_LIT("weir"));
        j->object_end(out);
    }
    if (e->param.n) {
        detail_begin(j, out, "type.googleapis.com/google.rpc.BadRequest");
        j->key(out, "fieldViolations");
        j->array_begin(out);
        j->object_begin(out);
        put_member(j, out, "field", e->param);
        put_member(j, out, "description", e->message);
        j->object_end(out);
        j->array_end(out);
        j->object_end(out);
    }
    if (e->retry_after_ms) {
        detail_begin(j, out, "type.googleapis.com/google.rpc.RetryInfo");
        put_member(j, out, "retryDelay", g->host->format(g->call, "%us", (e->retry_after_ms + 999) / 1000));
        j->object_end(out);
    }
}

int gemini_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out)
{
    struct gemini g = gemini_begin(self, call, NULL);
    const struct weir_json_api *j = g.json;
    (void)state;
    j->object_begin(out);
    j->key(out, "error");
    j->object_begin(out);
    j->key(out, "code");
    j->put_int(out, error->status ? error->status : 500);
    put_member(j, out, "message", error->message);
    put_member(j, out, "status", weir_cstr(status_word(error)));
    if (error->code.n || error->param.n || error->retry_after_ms) {
        j->key(out, "details");
        j->array_begin(out);
        put_details(&g, out, error);
        j->array_end(out);
    }
    j->object_end(out);
    j->object_end(out);
    return 0;
}
