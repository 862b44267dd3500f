/* Errors, both ways: {"detail":"a sentence"}, with the status as the reason. */
#include "voyage.h"

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

static bool contains(struct weir_str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

int voyage_decode_error(void *self, struct weir_call *call, void *state, int status, struct weir_str body,
                        struct weir_error *error)
{
    const struct weir_json_api *j = voyage_begin(self, call).json;
    struct weir_str key, message = WEIR_NONE;
    struct weir_json *r = j->open(call, body);
    (void)state;
    error->size = sizeof(*error);
    for (bool is_object = j->peek(r) == WEIR_JSON_OBJECT && j->object(r); is_object && j->member(r, &key);)
        if ((weir_is(key, "detail") || weir_is(key, "message")) && j->peek(r) == WEIR_JSON_STRING)
            j->string(r, &message);
    if (j->close(r) && message.n)
        error->message = message;
    error->error_class = class_of_status(status);
    bool is_long = contains(error->message, "max allowed tokens") || contains(error->message, "context length");
    if (error->error_class == WEIR_ERROR_BAD_REQUEST && is_long)
        error->error_class = WEIR_ERROR_CONTEXT_LENGTH;
    return 0;
}

int voyage_encode_error(void *self, struct weir_call *call, void *state, const struct weir_error *error,
                        struct weir_out *out)
{
    const struct weir_json_api *j = voyage_begin(self, call).json;
    (void)state;
    j->object_begin(out);
    j->key(out, "detail");
    j->put_str(out, error->message);
    j->object_end(out);
    return 0;
}
