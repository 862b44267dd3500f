/* Errors, as documents and inside answers. What providers of this dialect send differs in shape more than in meaning:
 *   {"error":{"message","type","param","code"}}   code a string, a number or null     OpenAI and most others
 *   {"error":"text"}, {"code":"…","error":"text"}                                     Ollama, xAI
 *   {"message":…,"type":…,"code":…}                                                   Mistral, older vLLM
 *   {"detail":"text"}, {"detail":[{"loc":[…],"msg":…}]}                               FastAPI servers
 *   HTML                                                                              proxies on the way
 */
#include "responses.h"

/* What was read, before it is judged. */
struct words {
    struct weir_str message, type, code, param;
    bool is_flagged; /* OpenRouter: the input was moderated */
};

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

/* A string as it is, a number by its digits. */
static void read_word(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    switch (j->peek(r)) {
    case WEIR_JSON_STRING:
        j->string(r, to);
        break;
    case WEIR_JSON_NUMBER:
        j->number(r, to);
        break;
    default:
        j->skip(r);
    }
}

/* The message, which a few servers nest once more: {"message":{"detail":[…]}}. */
static void read_message(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->raw(r, to);
}

/* ["body","messages",0]: the last name. */
static void read_place(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) != WEIR_JSON_ARRAY) {
        j->skip(r);
        return;
    }
    for (j->array(r); j->element(r);)
        if (j->peek(r) == WEIR_JSON_STRING)
            j->string(r, to);
}

/* [{"loc":["body","messages",0],"msg":"…"}]: the first of them. */
static void read_detail(const struct weir_json_api *j, struct weir_json *r, struct words *w)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_ARRAY) {
        read_message(j, r, &w->message);
        return;
    }
    for (j->array(r); j->element(r);) {
        if (w->message.n || j->peek(r) != WEIR_JSON_OBJECT)
            continue;
        for (j->object(r); j->member(r, &key);) {
            if (weir_is(key, "msg"))
                read_message(j, r, &w->message);
            else if (weir_is(key, "loc"))
                read_place(j, r, &w->param);
        }
    }
}

static void read_words(const struct weir_json_api *j, struct weir_json *r, struct words *w);

static void read_words_member(const struct weir_json_api *j, struct weir_json *r, struct weir_str key, struct words *w)
{
    if (weir_is(key, "message"))
        read_message(j, r, &w->message);
    else if (weir_is(key, "type"))
        read_word(j, r, &w->type);
    else if (weir_is(key, "code"))
        read_word(j, r, &w->code);
    else if (weir_is(key, "param"))
        read_word(j, r, &w->param);
    else if (weir_is(key, "detail"))
        read_detail(j, r, w);
    else if (weir_is(key, "error") && j->peek(r) == WEIR_JSON_OBJECT)
        read_words(j, r, w);
    else if (weir_is(key, "error"))
        read_word(j, r, &w->message);
    else if (weir_is(key, "metadata")) {
        struct weir_str raw;
        w->is_flagged = j->raw(r, &raw) && contains(raw, "\"flagged_input\"");
    }
}

static void read_words(const struct weir_json_api *j, struct weir_json *r, struct words *w)
{
    struct weir_str key;
    switch (j->peek(r)) {
    case WEIR_JSON_OBJECT:
        for (j->object(r); j->member(r, &key);)
            read_words_member(j, r, key, w);
        break;
    case WEIR_JSON_ARRAY: /* [{"error":{…}}] */
        for (j->array(r); j->element(r);)
            read_words(j, r, w);
        break;
    default:
        read_word(j, r, &w->message);
    }
}

/* ---- judging ---- */

struct sign {
    const char *word;
    uint16_t error_class;
};

static uint16_t class_in(const struct sign *signs, size_t n, struct weir_str text)
{
    for (size_t i = 0; text.n && i < n; i++)
        if (contains(text, signs[i].word))
            return signs[i].error_class;
    return WEIR_ERROR_NONE;
}

/* Codes and types, which programs wrote. */
static uint16_t class_of_code(struct weir_str code)
{
    static const struct sign signs[] = {
        { "context_length", WEIR_ERROR_CONTEXT_LENGTH },
        { "exceed_context_size", WEIR_ERROR_CONTEXT_LENGTH },
        { "string_above_max_length", WEIR_ERROR_CONTEXT_LENGTH },
        { "insufficient_quota", WEIR_ERROR_QUOTA },
        { "credit_balance", WEIR_ERROR_QUOTA },
        { "spend_limit", WEIR_ERROR_QUOTA },
        { "usage_limit_exceeded", WEIR_ERROR_QUOTA },
        { "invalid_prompt", WEIR_ERROR_CONTENT_POLICY },
        { "bio_policy", WEIR_ERROR_CONTENT_POLICY },
        { "billing", WEIR_ERROR_QUOTA },
        { "exceeded_current_quota", WEIR_ERROR_QUOTA },
        { "insufficient_balance", WEIR_ERROR_QUOTA },
        { "credit_limit", WEIR_ERROR_QUOTA },
        { "content_filter", WEIR_ERROR_CONTENT_POLICY },
        { "content_policy", WEIR_ERROR_CONTENT_POLICY },
        { "ResponsibleAIPolicyViolation", WEIR_ERROR_CONTENT_POLICY },
        { "invalid_api_key", WEIR_ERROR_AUTHENTICATION },
        { "authentication_error", WEIR_ERROR_AUTHENTICATION },
        { "model_not_found", WEIR_ERROR_NOT_FOUND },
        { "not_found_error", WEIR_ERROR_NOT_FOUND },
        { "permission_error", WEIR_ERROR_PERMISSION },
        { "rate_limit", WEIR_ERROR_RATE_LIMITED },
        { "slow_down", WEIR_ERROR_RATE_LIMITED },
        { "overloaded", WEIR_ERROR_OVERLOADED },
        { "capacity_exceeded", WEIR_ERROR_OVERLOADED },
        { "unavailable_error", WEIR_ERROR_OVERLOADED },
        { "timeout", WEIR_ERROR_TIMEOUT },
        { "invalid_request_error", WEIR_ERROR_BAD_REQUEST },
        { "server_error", WEIR_ERROR_SERVER },
    };
    return class_in(signs, sizeof(signs) / sizeof(*signs), code);
}

/* Sentences, which people wrote: only where no code says it. */
static uint16_t class_of_message(struct weir_str message)
{
    static const struct sign signs[] = {
        { "maximum context length", WEIR_ERROR_CONTEXT_LENGTH },
        { "context window", WEIR_ERROR_CONTEXT_LENGTH },
        { "context length", WEIR_ERROR_CONTEXT_LENGTH },
        { "prompt is too long", WEIR_ERROR_CONTEXT_LENGTH },
        { "too large for model with", WEIR_ERROR_CONTEXT_LENGTH },
        { "exceeds the available context size", WEIR_ERROR_CONTEXT_LENGTH },
        { "exceeded your current quota", WEIR_ERROR_QUOTA },
        { "nsufficient Balance", WEIR_ERROR_QUOTA },
        { "nsufficient balance", WEIR_ERROR_QUOTA },
        { "nsufficient credits", WEIR_ERROR_QUOTA },
        { "content management policy", WEIR_ERROR_CONTENT_POLICY },
        { "flagged as potentially violating", WEIR_ERROR_CONTENT_POLICY },
    };
    return class_in(signs, sizeof(signs) / sizeof(*signs), message);
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
    case 498: /* Groq: no flex capacity */
    case 503:
    case 529:
        return WEIR_ERROR_OVERLOADED;
    default:
        return status >= 500 ? WEIR_ERROR_SERVER : status >= 400 ? WEIR_ERROR_BAD_REQUEST : WEIR_ERROR_NONE;
    }
}

static int status_in(struct weir_str code)
{
    int n = 0;
    if (code.n != 3)
        return 0;
    for (size_t i = 0; i < code.n; i++)
        n = code.p[i] >= '0' && code.p[i] <= '9' && n >= 0 ? 10 * n + (code.p[i] - '0') : -1;
    return n >= 400 ? n : 0;
}

/* Only a refusal can be a matter of length or quota: a 500 that mentions the context window is still a 500. */
static void classify(struct weir_error *error, int status, struct weir_str type)
{
    int said = status_in(error->native);
    uint16_t class = class_of_code(error->native);
    if (class == WEIR_ERROR_NONE || class == WEIR_ERROR_BAD_REQUEST) {
        uint16_t by_type = class_of_code(type);
        class = by_type != WEIR_ERROR_NONE ? by_type : class;
    }
    if (status == 0 && said)
        status = said;
    uint16_t by_status = class_of_status(status), by_message = class_of_message(error->message);
    bool is_refusal = status == 0 || status == 400 || status == 402 || status == 403 || status == 413 ||
                      status == 422 || status == 429;
    if (by_message != WEIR_ERROR_NONE && is_refusal &&
        (class == WEIR_ERROR_NONE || class == WEIR_ERROR_BAD_REQUEST || class == WEIR_ERROR_RATE_LIMITED))
        class = by_message;
    /* The status knows better than a vague "invalid_request_error", which comes with 401 and 404 too. */
    if ((class == WEIR_ERROR_NONE || class == WEIR_ERROR_BAD_REQUEST) && by_status != WEIR_ERROR_NONE)
        class = by_status;
    error->error_class = class != WEIR_ERROR_NONE ? class : WEIR_ERROR_SERVER;
}

static void take_words(const struct words *w, int status, struct weir_error *error)
{
    error->size = sizeof(*error);
    if (w->message.n)
        error->message = w->message;
    error->native = w->code.n ? w->code : w->type;
    error->param = w->param;
    error->code = WEIR_NONE;
    classify(error, status, w->type);
    if (w->is_flagged)
        error->error_class = WEIR_ERROR_CONTENT_POLICY;
}

void responses_read_error(struct responses *o, struct weir_json *r, struct weir_error *error)
{
    struct words w = { 0 };
    read_words(o->json, r, &w);
    take_words(&w, 0, error);
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

int responses_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                           struct weir_error *error)
{
    (void)state;
    struct responses o = responses_begin(self, call);
    struct words w = { 0 };
    struct weir_json *r = o.json->open(call, body);
    read_words(o.json, r, &w);
    if (!o.json->close(r))
        w = (struct words){ 0 }; /* HTML, or nothing */
    take_words(&w, status, error);
    uint32_t ms = delay_of(o.host->response_header(call, WEIR_LIT("retry-after-ms")), 1);
    uint32_t s = ms ? ms : delay_of(o.host->response_header(call, WEIR_LIT("retry-after")), 1000);
    if (s)
        error->retry_after_ms = s;
    return 0;
}

/* ---- towards the client ---- */

struct shown {
    const char *type, *code;
};

static struct shown shown_as(uint16_t error_class)
{
    switch (error_class) {
    case WEIR_ERROR_AUTHENTICATION:
        return (struct shown){ "invalid_request_error", "invalid_api_key" };
    case WEIR_ERROR_PERMISSION:
        return (struct shown){ "permission_error", NULL };
    case WEIR_ERROR_NOT_FOUND:
        return (struct shown){ "invalid_request_error", "model_not_found" };
    case WEIR_ERROR_CONTEXT_LENGTH:
        return (struct shown){ "invalid_request_error", "context_length_exceeded" };
    case WEIR_ERROR_CONTENT_POLICY:
        return (struct shown){ "invalid_request_error", "content_filter" };
    case WEIR_ERROR_RATE_LIMITED:
        return (struct shown){ "rate_limit_error", "rate_limit_exceeded" };
    case WEIR_ERROR_QUOTA:
        return (struct shown){ "insufficient_quota", "insufficient_quota" };
    case WEIR_ERROR_BAD_REQUEST:
    case WEIR_ERROR_TOO_LARGE:
    case WEIR_ERROR_UNSUPPORTED:
        return (struct shown){ "invalid_request_error", NULL };
    case WEIR_ERROR_OVERLOADED:
        return (struct shown){ "server_error", "server_is_overloaded" };
    default:
        return (struct shown){ "server_error", NULL };
    }
}

static void put_or_null(struct responses *o, struct weir_out *out, const char *key, struct weir_str value)
{
    o->json->key(out, key);
    if (value.n)
        o->json->put_str(out, value);
    else
        o->json->put_null(out);
}

static void put_error(struct responses *o, struct weir_out *out, const struct weir_error *error)
{
    struct shown shown = shown_as(error->error_class);
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "message");
    j->put_str(out, error->message);
    j->key(out, "type");
    j->put_str(out, weir_cstr(shown.type));
    put_or_null(o, out, "param", error->param);
    /* The codes that clients look for are the dialect's; weir's own says more where the dialect has none. */
    put_or_null(o, out, "code", shown.code ? weir_cstr(shown.code) : error->code);
    j->object_end(out);
}

struct weir_str responses_error_code(const struct weir_error *error)
{
    struct shown shown = shown_as(error->error_class);
    return weir_cstr(shown.code                                ? shown.code
                     : strcmp(shown.type, "server_error") == 0 ? "server_error"
                                                               : "invalid_prompt");
}

int responses_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                           struct weir_out *out)
{
    (void)state;
    struct responses o = responses_begin(self, call);
    o.json->object_begin(out);
    o.json->key(out, "error");
    put_error(&o, out, error);
    o.json->object_end(out);
    return 0;
}
