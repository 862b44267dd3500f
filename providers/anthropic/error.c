/* Errors: {"type":"error","error":{"type","message","details"},"request_id"}, both ways. */
#include "anthropic.h"

struct words {
    struct weir_str type, message, details_code;
};

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

static void read_details(const struct weir_json_api *j, struct weir_json *r, struct words *w)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "error_code"))
            read_string(j, r, &w->details_code);
        else
            j->skip(r);
    }
}

static void read_words(const struct weir_json_api *j, struct weir_json *r, struct words *w)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        read_string(j, r, &w->message); /* {"error":"text"} of compatible servers */
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "type"))
            read_string(j, r, &w->type);
        else if (weir_is(key, "message") || weir_is(key, "detail"))
            read_string(j, r, &w->message);
        else if (weir_is(key, "details"))
            read_details(j, r, w);
        else if (weir_is(key, "error"))
            read_words(j, r, w);
        else
            j->skip(r);
    }
}

/* ---- judging ---- */

static uint16_t class_of_type(struct weir_str type)
{
    static const struct {
        const char *type;
        uint16_t error_class;
    } types[] = {
        { "invalid_request_error", WEIR_ERROR_BAD_REQUEST },
        { "authentication_error", WEIR_ERROR_AUTHENTICATION },
        { "billing_error", WEIR_ERROR_QUOTA },
        { "permission_error", WEIR_ERROR_PERMISSION },
        { "not_found_error", WEIR_ERROR_NOT_FOUND },
        { "request_too_large", WEIR_ERROR_TOO_LARGE },
        { "rate_limit_error", WEIR_ERROR_RATE_LIMITED },
        { "timeout_error", WEIR_ERROR_TIMEOUT },
        { "overloaded_error", WEIR_ERROR_OVERLOADED },
        { "api_error", WEIR_ERROR_SERVER },
        { "conflict_error", WEIR_ERROR_BAD_REQUEST },
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (weir_is(type, types[i].type))
            return types[i].error_class;
    return WEIR_ERROR_NONE;
}

static uint16_t class_of_status(int status)
{
    switch (status) {
    case 401:
        return WEIR_ERROR_AUTHENTICATION;
    case 402:
        return WEIR_ERROR_QUOTA;
    case 403:
        return WEIR_ERROR_PERMISSION;
    case 404:
        return WEIR_ERROR_NOT_FOUND;
    case 408:
    case 504:
        return WEIR_ERROR_TIMEOUT;
    case 413:
        return WEIR_ERROR_TOO_LARGE;
    case 429:
        return WEIR_ERROR_RATE_LIMITED;
    case 503:
    case 529:
        return WEIR_ERROR_OVERLOADED;
    default:
        return status >= 500 || status == 0 ? WEIR_ERROR_SERVER : WEIR_ERROR_BAD_REQUEST;
    }
}

static bool is_too_long(struct weir_str message)
{
    return contains(message, "prompt is too long") || contains(message, "exceed context limit") ||
           contains(message, "context window") || contains(message, "maximum context length");
}

static bool is_about_money(struct weir_str message)
{
    return contains(message, "credit balance") || contains(message, "spend limit") || contains(message, "usage limits");
}

static void judge(const struct words *w, int status, struct weir_error *error)
{
    uint16_t class = class_of_type(w->type);
    if (class == WEIR_ERROR_NONE)
        class = class_of_status(status);
    bool is_refusal = class == WEIR_ERROR_BAD_REQUEST || class == WEIR_ERROR_TOO_LARGE;
    if (is_refusal && is_too_long(w->message))
        class = WEIR_ERROR_CONTEXT_LENGTH;
    else if ((class == WEIR_ERROR_BAD_REQUEST && is_about_money(w->message)) ||
             weir_is(w->details_code, "enforced_spend_limit_reached"))
        class = WEIR_ERROR_QUOTA;
    else if (class == WEIR_ERROR_BAD_REQUEST && contains(w->message, "content filtering policy"))
        class = WEIR_ERROR_CONTENT_POLICY;
    error->size = sizeof(*error);
    error->error_class = class;
    error->code = WEIR_NONE;
    error->native = w->details_code.n ? w->details_code : w->type;
    if (w->message.n)
        error->message = w->message;
}

void anthropic_read_error(struct anthropic *o, struct weir_json *r, struct weir_error *error)
{
    struct words w = { 0 };
    read_words(o->json, r, &w);
    judge(&w, 0, error);
    if (!error->message.n)
        error->message = WEIR_LIT("The provider sent an error in place of its answer and did not say why.");
}

/* "1.5" seconds, or milliseconds; a date is left to the host's default. */
static uint32_t delay_of(struct weir_str s, uint32_t unit_ms)
{
    uint64_t ms = 0, fraction = 0;
    size_t i = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && ms < 1000000; i++)
        ms = 10 * ms + (uint64_t)(s.p[i] - '0');
    if (i + 1 < s.n && s.p[i] == '.' && s.p[i + 1] >= '0' && s.p[i + 1] <= '9')
        fraction = (uint64_t)(s.p[i + 1] - '0') * unit_ms / 10;
    bool is_number = i > 0 && (i == s.n || s.p[i] == '.');
    ms = ms * unit_ms + fraction;
    return is_number ? (uint32_t)(ms < 86400000 ? ms : 86400000) : 0;
}

int anthropic_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                           struct weir_error *error)
{
    (void)state;
    struct anthropic o = anthropic_begin(self, call);
    struct words w = { 0 };
    struct weir_json *r = o.json->open(call, body);
    if (o.json->peek(r) == WEIR_JSON_ARRAY) /* Google's, where a stream had been asked for */
        for (o.json->array(r); o.json->element(r);)
            read_words(o.json, r, &w);
    else
        read_words(o.json, r, &w);
    if (!o.json->close(r))
        w = (struct words){ 0 }; /* HTML of a proxy, or nothing */
    judge(&w, status, error);
    uint32_t ms = delay_of(o.host->response_header(call, WEIR_LIT("retry-after-ms")), 1);
    if (!ms)
        ms = delay_of(o.host->response_header(call, WEIR_LIT("retry-after")), 1000);
    if (ms)
        error->retry_after_ms = ms;
    return 0;
}

/* ---- towards the client ---- */

static const char *type_of(const struct weir_error *error)
{
    switch (error->error_class) {
    case WEIR_ERROR_BAD_REQUEST:
    case WEIR_ERROR_CONTEXT_LENGTH:
    case WEIR_ERROR_CONTENT_POLICY:
    case WEIR_ERROR_UNSUPPORTED:
        return "invalid_request_error";
    case WEIR_ERROR_AUTHENTICATION:
        return "authentication_error";
    case WEIR_ERROR_PERMISSION:
        return "permission_error";
    case WEIR_ERROR_NOT_FOUND:
        return "not_found_error";
    case WEIR_ERROR_TOO_LARGE:
        return "request_too_large";
    case WEIR_ERROR_RATE_LIMITED:
        return "rate_limit_error";
    case WEIR_ERROR_QUOTA:
        return error->status == 429 ? "rate_limit_error" : "billing_error";
    case WEIR_ERROR_OVERLOADED:
    case WEIR_ERROR_UNAVAILABLE:
        return "overloaded_error";
    case WEIR_ERROR_TIMEOUT:
        return "timeout_error";
    default:
        return "api_error";
    }
}

int anthropic_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                           struct weir_out *out)
{
    (void)state;
    struct anthropic o = anthropic_begin(self, call);
    const struct weir_json_api *j = o.json;
    const struct weir_request_view *request = o.host->request(call);
    j->object_begin(out);
    j->key(out, "type");
    j->put_str(out, WEIR_LIT("error"));
    j->key(out, "error");
    j->object_begin(out);
    j->key(out, "type");
    j->put_str(out, weir_cstr(type_of(error)));
    j->key(out, "message");
    j->put_str(out, error->message);
    j->object_end(out);
    if (request && request->id.n) {
        j->key(out, "request_id");
        j->put_str(out, request->id);
    }
    j->object_end(out);
    return 0;
}

void anthropic_lose(struct anthropic *o, uint32_t feature, enum weir_loss what, const char *why)
{
    o->host->lose(o->call, (enum weir_feature)feature, what, why);
}

int anthropic_unsupported(struct anthropic *o, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNSUPPORTED,
                            .message = weir_cstr(message),
                            .param = weir_cstr(param) };
    o->failed = true;
    o->host->fail(o->call, &e);
    return -1;
}
