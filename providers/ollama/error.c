/* Errors, both ways. Here an error is {"error":"a sentence"}, with a status before the answer or as a line in it: the sentence
 * has to tell what the status does not. */
#include "ollama.h"

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

static uint16_t class_of_message(struct weir_str message)
{
    static const struct {
        const char *word;
        uint16_t error_class;
    } signs[] = {
        { "exceeds the context length", WEIR_ERROR_CONTEXT_LENGTH },
        { "exceeds maximum context length", WEIR_ERROR_CONTEXT_LENGTH },
        { "exceeds the available context size", WEIR_ERROR_CONTEXT_LENGTH },
        { "exceed context", WEIR_ERROR_CONTEXT_LENGTH },
        { "try pulling it first", WEIR_ERROR_NOT_FOUND },
        { "pull model manifest", WEIR_ERROR_NOT_FOUND },
        { "server busy", WEIR_ERROR_OVERLOADED },
        { "maximum pending requests", WEIR_ERROR_OVERLOADED },
        { "does not support", WEIR_ERROR_BAD_REQUEST },
        { "unauthorized", WEIR_ERROR_AUTHENTICATION },
        { "usage limit", WEIR_ERROR_QUOTA },
    };
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
        if (contains(message, signs[i].word))
            return signs[i].error_class;
    bool is_model = message.n > 6 && memcmp(message.p, "model ", 6) == 0 && contains(message, "not found");
    return is_model ? WEIR_ERROR_NOT_FOUND : WEIR_ERROR_NONE;
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
        return WEIR_ERROR_OVERLOADED;
    default:
        return status >= 400 && status < 500 ? WEIR_ERROR_BAD_REQUEST : WEIR_ERROR_SERVER;
    }
}

void ollama_classify(struct weir_error *error, int status)
{
    uint16_t by_message = class_of_message(error->message), by_status = class_of_status(status);
    bool is_vague = status < 400 || status == 400 || status == 500 || (status == 429 && by_message == WEIR_ERROR_QUOTA);
    error->error_class = by_message != WEIR_ERROR_NONE && is_vague ? by_message : by_status;
}

/* {"error":"…"}; what stands before it on the way may say {"error":{"message":"…"}} or no JSON at all. */
static struct weir_str read_message(const struct weir_json_api *j, struct weir_json *r)
{
    struct weir_str key, message = WEIR_NONE;
    if (j->peek(r) != WEIR_JSON_OBJECT)
        return WEIR_NONE;
    for (j->object(r); j->member(r, &key);) {
        if (!weir_is(key, "error") && !weir_is(key, "message"))
            continue;
        if (j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &message);
        else if (j->peek(r) == WEIR_JSON_OBJECT)
            message = read_message(j, r);
    }
    return message;
}

int ollama_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error)
{
    struct ollama o = ollama_begin(self, call);
    struct weir_json *r = o.json->open(call, body);
    struct weir_str message = read_message(o.json, r);
    (void)state;
    error->size = sizeof(*error);
    if (o.json->close(r) && message.n)
        error->message = message;
    ollama_classify(error, status);
    return 0;
}

int ollama_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out)
{
    const struct weir_json_api *j = ollama_begin(self, call).json;
    (void)state;
    j->object_begin(out);
    j->key(out, "error");
    j->put_str(out, error->message);
    j->object_end(out);
    return 0;
}
