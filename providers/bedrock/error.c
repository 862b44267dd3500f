/* Errors: a document {"message":…}, whose type stands in the header x-amzn-errortype; both ways. */
#include "bedrock.h"

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

struct words {
    struct weir_str type, message;
    int64_t original_status;
};

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

/* "com.amazon.coral.service#ThrottlingException:http://…" */
static struct weir_str bare_type(struct weir_str type)
{
    const char *colon = type.n ? memchr(type.p, ':', type.n) : NULL;
    if (colon)
        type.n = (size_t)(colon - type.p);
    const char *hash = type.n ? memchr(type.p, '#', type.n) : NULL;
    if (hash)
        type = (struct weir_str){ hash + 1, (size_t)(type.p + type.n - hash) - 1 };
    return type;
}

static void read_words(struct bedrock *o, struct weir_str body, struct words *w)
{
    const struct weir_json_api *j = o->json;
    struct weir_str key, type = WEIR_NONE;
    struct words found = { WEIR_NONE, WEIR_NONE, 0 };
    struct weir_json *r = j->open(o->call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "message") || weir_is(key, "Message"))
            read_string(j, r, &found.message);
        else if (weir_is(key, "__type") || weir_is(key, "code"))
            read_string(j, r, &type);
        else if (weir_is(key, "originalStatusCode") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &found.original_status);
        else
            j->skip(r);
    }
    if (j->close(r)) {
        w->message = found.message;
        w->original_status = found.original_status;
        if (!w->type.n)
            w->type = bare_type(type);
    }
}

/* ---- judging ---- */

static uint16_t class_of_type(struct weir_str type)
{
    static const struct {
        const char *type; /* as it begins; the first letter of either case */
        uint16_t error_class;
    } types[] = {
        { "alidationException", WEIR_ERROR_BAD_REQUEST },
        { "ccessDeniedException", WEIR_ERROR_PERMISSION },
        { "nrecognizedClientException", WEIR_ERROR_AUTHENTICATION },
        { "nvalidSignatureException", WEIR_ERROR_AUTHENTICATION },
        { "ncompleteSignature", WEIR_ERROR_AUTHENTICATION },
        { "issingAuthenticationToken", WEIR_ERROR_AUTHENTICATION },
        { "xpiredToken", WEIR_ERROR_AUTHENTICATION },
        { "nvalidClientTokenId", WEIR_ERROR_AUTHENTICATION },
        { "esourceNotFoundException", WEIR_ERROR_NOT_FOUND },
        { "hrottlingException", WEIR_ERROR_RATE_LIMITED },
        { "odelNotReadyException", WEIR_ERROR_OVERLOADED },
        { "erviceQuotaExceededException", WEIR_ERROR_QUOTA },
        { "odelTimeoutException", WEIR_ERROR_TIMEOUT },
        { "odelErrorException", WEIR_ERROR_SERVER },
        { "odelStreamErrorException", WEIR_ERROR_SERVER },
        { "nternalServerException", WEIR_ERROR_SERVER },
        { "nternalFailure", WEIR_ERROR_SERVER },
        { "erviceUnavailable", WEIR_ERROR_OVERLOADED },
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        size_t n = strlen(types[i].type);
        if (type.n > n && memcmp(type.p + 1, types[i].type, n) == 0)
            return types[i].error_class;
    }
    return WEIR_ERROR_NONE;
}

static uint16_t class_of_status(int64_t status)
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
    case 424:
        return WEIR_ERROR_SERVER;
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
    static const char *const signs[] = { "Input is too long",      "prompt is too long",
                                         "exceed context limit",   "context window",
                                         "maximum context length", "Too many input tokens",
                                         "too many input tokens",  "longer than the model's context" };
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
        if (contains(message, signs[i]))
            return true;
    return false;
}

/* A model's own error passes with the status that the model gave. */
static uint16_t judge(const struct words *w, int status)
{
    uint16_t class = class_of_type(w->type);
    bool is_models = contains(w->type, "odelErrorException") || contains(w->type, "odelStreamErrorException");
    if (class == WEIR_ERROR_NONE)
        class = class_of_status(status);
    else if (is_models && w->original_status >= 400)
        class = class_of_status(w->original_status);
    if (class == WEIR_ERROR_PERMISSION && contains(w->message, "security token"))
        class = WEIR_ERROR_AUTHENTICATION;
    if (class == WEIR_ERROR_PERMISSION && contains(w->message, "API Key"))
        class = WEIR_ERROR_AUTHENTICATION;
    if (class == WEIR_ERROR_BAD_REQUEST && is_too_long(w->message))
        class = WEIR_ERROR_CONTEXT_LENGTH;
    else if (class == WEIR_ERROR_BAD_REQUEST && contains(w->message, "content filtering policy"))
        class = WEIR_ERROR_CONTENT_POLICY;
    else if (class == WEIR_ERROR_RATE_LIMITED && contains(w->message, "per day"))
        class = WEIR_ERROR_QUOTA; /* it does not pass within any wait */
    return class;
}

void bedrock_read_exception(struct bedrock *o, struct weir_str type, struct weir_str body, struct weir_error *error)
{
    struct words w = { bare_type(type), WEIR_NONE, 0 };
    read_words(o, body, &w);
    if (!w.message.n && body.n && body.p[0] != '{')
        w.message = body;
    error->error_class = judge(&w, 0);
    error->native = w.type;
    error->message =
        w.message.n ? w.message : WEIR_LIT("The provider sent an error in place of its answer and did not say why.");
}

/* Seconds; a date is left to the host's default. */
static uint32_t delay_ms(struct weir_str s)
{
    uint64_t seconds = 0;
    size_t i = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && seconds < 1000000; i++)
        seconds = 10 * seconds + (uint64_t)(s.p[i] - '0');
    return i && i == s.n ? (uint32_t)(seconds < 86400 ? seconds : 86400) * 1000 : 0;
}

int bedrock_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                         struct weir_error *error)
{
    (void)state;
    struct bedrock o = bedrock_begin(self, call);
    struct words w = { bare_type(o.host->response_header(call, WEIR_LIT("x-amzn-errortype"))), WEIR_NONE, 0 };
    read_words(&o, body, &w);
    error->size = sizeof(*error);
    error->error_class = judge(&w, status);
    error->native = w.type;
    if (w.message.n)
        error->message = w.message;
    uint32_t ms = delay_ms(o.host->response_header(call, WEIR_LIT("retry-after")));
    if (ms)
        error->retry_after_ms = ms;
    return 0;
}

/* ---- towards the client ---- */

static const char *type_of(const struct weir_error *error)
{
    switch (error->error_class) {
    case WEIR_ERROR_BAD_REQUEST:
    case WEIR_ERROR_TOO_LARGE:
    case WEIR_ERROR_CONTEXT_LENGTH:
    case WEIR_ERROR_CONTENT_POLICY:
    case WEIR_ERROR_UNSUPPORTED:
        return "ValidationException";
    case WEIR_ERROR_AUTHENTICATION:
        return weir_is(error->code, "invalid_signature") ? "InvalidSignatureException" : "UnrecognizedClientException";
    case WEIR_ERROR_PERMISSION:
        return "AccessDeniedException";
    case WEIR_ERROR_NOT_FOUND:
        return "ResourceNotFoundException";
    case WEIR_ERROR_RATE_LIMITED:
        return "ThrottlingException";
    case WEIR_ERROR_QUOTA:
        return "ServiceQuotaExceededException";
    case WEIR_ERROR_OVERLOADED:
    case WEIR_ERROR_UNAVAILABLE:
    case WEIR_ERROR_CONNECT:
        return "ServiceUnavailableException";
    case WEIR_ERROR_TIMEOUT:
        return "ModelTimeoutException";
    case WEIR_ERROR_BROKEN:
        return "ModelErrorException";
    default:
        return "InternalServerException";
    }
}

/* A stream knows five of them. */
const char *bedrock_exception_of(const struct weir_error *error)
{
    const char *type = type_of(error);
    switch (*type) {
    case 'V':
        return "validationException";
    case 'T':
        return "throttlingException";
    case 'S':
        return error->error_class == WEIR_ERROR_QUOTA ? "throttlingException" : "serviceUnavailableException";
    case 'M':
        return "modelStreamErrorException";
    default:
        return "internalServerException";
    }
}

int bedrock_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                         struct weir_out *out)
{
    (void)state;
    struct bedrock o = bedrock_begin(self, call);
    const struct weir_request_view *request = o.host->request(call);
    o.host->set_response_header(call, WEIR_LIT("x-amzn-errortype"), weir_cstr(type_of(error)));
    if (request && request->id.n)
        o.host->set_response_header(call, WEIR_LIT("x-amzn-requestid"), request->id);
    o.json->object_begin(out);
    o.json->key(out, "message");
    o.json->put_str(out, error->message);
    o.json->object_end(out);
    return 0;
}

int bedrock_unsupported(struct bedrock *o, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNSUPPORTED,
                            .message = weir_cstr(message),
                            .param = weir_cstr(param) };
    o->failed = true;
    o->host->fail(o->call, &e);
    return -1;
}
