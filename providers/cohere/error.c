/* Errors, both ways: {"id":…,"message":"a sentence"}. The status tells most; a 429 is told from exhausted quota only by its words. */
#include "cohere.h"

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
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
    case 498: /* blocked content, or a token that is none */
        return WEIR_ERROR_CONTENT_POLICY;
    case 503:
        return WEIR_ERROR_OVERLOADED;
    default:
        return status >= 400 && status < 499 ? WEIR_ERROR_BAD_REQUEST : WEIR_ERROR_SERVER;
    }
}

/* Only a refusal can be a matter of length. */
static bool is_about_length(struct weir_str message)
{
    return contains(message, "too many tokens") || contains(message, "context length") ||
           contains(message, "context window") || contains(message, "maximum number of tokens") ||
           contains(message, "too long");
}

/* "Trial key, which is limited to 1000 API calls / month": waiting a minute doesn't help. */
static bool is_about_quota(struct weir_str message)
{
    return contains(message, "/ month") || contains(message, "per month") || contains(message, "monthly") ||
           contains(message, "billing") || contains(message, "quota");
}

void cohere_classify(struct weir_error *error, int status)
{
    struct weir_str message = error->message;
    uint16_t class = class_of_status(status);
    if (class == WEIR_ERROR_BAD_REQUEST && is_about_length(message))
        class = WEIR_ERROR_CONTEXT_LENGTH;
    else if (class == WEIR_ERROR_RATE_LIMITED && is_about_quota(message))
        class = WEIR_ERROR_QUOTA;
    else if (status == 498 && contains(message, "token"))
        class = WEIR_ERROR_AUTHENTICATION;
    error->error_class = class;
}

static struct weir_str read_message(const struct weir_json_api *j, struct weir_json *r)
{
    struct weir_str key, message = WEIR_NONE;
    if (j->peek(r) != WEIR_JSON_OBJECT)
        return WEIR_NONE;
    for (j->object(r); j->member(r, &key);) {
        bool is_it = weir_is(key, "message") || weir_is(key, "error") || weir_is(key, "detail");
        if (is_it && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &message);
        else if (is_it && j->peek(r) == WEIR_JSON_OBJECT)
            message = read_message(j, r);
    }
    return message;
}

/* Whole seconds; a date is left to the host's default. */
static uint32_t delay_of(struct weir_str s)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && n < 1000000; i++)
        n = 10 * n + (uint64_t)(s.p[i] - '0');
    return i && (i == s.n || s.p[i] == '.') ? (uint32_t)(n < 86400 ? n : 86400) * 1000 : 0;
}

int cohere_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error)
{
    struct cohere o = cohere_begin(self, call);
    struct weir_json *r = o.json->open(call, body);
    struct weir_str message = read_message(o.json, r);
    (void)state;
    error->size = sizeof(*error);
    if (o.json->close(r) && message.n)
        error->message = message;
    cohere_classify(error, status);
    uint32_t ms = delay_of(o.host->response_header(call, WEIR_LIT("retry-after")));
    if (ms && error->error_class != WEIR_ERROR_QUOTA)
        error->retry_after_ms = ms;
    return 0;
}

int cohere_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out)
{
    struct cohere o = cohere_begin(self, call);
    const struct weir_request_view *request = o.host->request(call);
    (void)state;
    o.json->object_begin(out);
    if (request && request->id.n) {
        o.json->key(out, "id");
        o.json->put_str(out, request->id);
    }
    o.json->key(out, "message");
    o.json->put_str(out, error->message);
    o.json->object_end(out);
    return 0;
}
