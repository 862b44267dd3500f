/* The codes of weir's own errors. A test walks the sources and fails on a code that is not in this table. */
#include "errors.h"

#include "pipeline.h"

const struct error_entry error_table[] = {
    { "invalid_request", 400,
      "The body is not valid JSON, or a field is missing or has the wrong type; `param` names it.",
      "Change the named field." },
    { "malformed_http", 400, "The bytes are not one well-formed HTTP/1.1 request.",
      "Look at the client or at a proxy before weir." },
    { "missing_key", 401, "The request carries no key, and this weir has keys configured.",
      "Send the key where the SDK puts it: Authorization: Bearer, x-api-key, x-goog-api-key." },
    { "invalid_key", 401, "No configured key has this value.", "Check the key; `weir key new` makes one." },
    { "invalid_signature", 403, "A signed request's signature or its time does not fit.",
      "Check the secret and the clock of the caller; nothing between caller and weir may change what is signed." },
    { "conflicting_keys", 401, "Two credentials that differ were sent.", "Send one." },
    { "not_local", 401, "No keys are configured and the caller is not on this machine.",
      "Configure `keys:` (`weir key new`)." },
    { "model_not_allowed", 403, "The key has no right to the model or to the target.",
      "Add the model to the key's `models`." },
    { "denied", 403, "A policy refused the request.", "The message says why; the policy's author knows more." },
    { "guard_operation", 403, "A guard stage of this route does not understand this kind of call and refuses it.",
      "Use another route for it, or a guard that understands it." },
    { "no_route", 404, "No route of the configuration matches the request.", "Add a route; `weir check` lists them." },
    { "unknown_path", 404, "No dialect claims this method and path.",
      "Check the base URL: it ends in /v1 for OpenAI's SDKs." },
    { "model_not_found", 404, "The model is neither configured nor `provider/model`.",
      "GET /v1/models lists what there is." },
    { "method_not_allowed", 405, "The path exists, but not with this method.",
      "Use the method that the message names." },
    { "client_timeout", 408, "The client took too long to send its request.",
      "Send it faster; limits.header, limits.body_idle." },
    { "body_too_large", 413, "The body is larger than this route or key allows.", "Send less, or raise limits.body." },
    { "content_encoding", 415, "The request body is compressed.", "Send it without content-encoding." },
    { "upgrade_unsupported", 426, "The client asked for a websocket or another upgrade.", "Use plain HTTP/1.1." },
    { "client_left", 499, "The client closed its connection before its answer was complete; only the record says so.",
      "Nothing." },
    { "rate_limited", 429, "The provider limits the rate of calls.", "Wait as long as Retry-After says." },
    { "quota_exceeded", 429, "The provider's quota or credit is used up.", "Raise it there." },
    { "headers_too_large", 431, "The head of the request is too large.", "Send less; limits.header." },
    { "policy_error", 500, "A policy of this route failed.", "The operator's log has its file and line." },
    { "plugin_fault", 500, "A stage or codec of this route misbehaved.", "The operator's log names it." },
    { "internal_error", 500, "weir itself failed.", "Please report it with the request id." },
    { "unsupported", 400, "The target's dialect can't say what the request asks for.",
      "The message names the field; use another model." },
    { "no_capable_target", 400, "No target of the model can serve what the request needs.",
      "The message names the capability." },
    { "loss_refused", 400, "Every target of the model would lose something that the request asks for (`on_loss`).",
      "The message names what and where: leave it out, use another model, or say `on_loss: warn` on the route." },
    { "context_length_exceeded", 400, "The conversation is longer than the model's context.",
      "Send less, or use a larger model." },
    { "content_policy", 400, "The provider refused the content.", "Change the content." },
    { "upstream_refused", 400, "The provider refused the request.", "The message is the provider's." },
    { "upstream_auth", 502, "The provider refused weir's own key.", "The operator must check the provider's `key`." },
    { "upstream_error", 502, "The provider answered with an error.", "Try again; the message is the provider's." },
    { "upstream_broken", 502, "The provider's answer made no sense or stopped half way.", "Try again." },
    { "upstream_connect", 502, "The provider can't be reached: look-up, connection or TLS failed.",
      "The operator checks base_url, network and certificates." },
    { "upstream_token", 502, "The provider could not be called: its access token can't be obtained.",
      "Try again; the operator looks for credentials.failed in the log." },
    { "all_attempts_failed", 502,
      "Every target that could be asked has failed; the message names each attempt, the status is that of the last failure.",
      "weir has tried again already: wait as long as Retry-After says, or look at the providers." },
    { "no_target", 503, "Every target of the model is unavailable or was tried.",
      "The message says why each was passed over." },
    { "poisoned", 503, "Requests of this principal crashed a plugin; it is refused for a while.",
      "The operator's log names the plugin." },
    { "quarantined", 503, "A plugin of this route crashed for several principals and is out of use.",
      "The operator's log names it; replace it and reload." },
    { "overloaded", 503, "weir or the provider can't take more now.", "Wait as long as Retry-After says." },
    { "draining", 503, "weir is shutting down.", "Try again." },
    { "timeout", 504, "A time-out ran out; the message names it.", "Raise it: timeouts, or x-weir-timeout-ms." },
    { "not_implemented", 501, "The transfer coding or the method is one that weir does not speak.",
      "Use chunked or content-length." },
    { "http_version", 505, "The HTTP version is not 1.0 or 1.1.", "Use HTTP/1.1." },
    { NULL, 0, NULL, NULL },
};

struct class_entry {
    const char *name, *code;
    int status;
};
static const struct class_entry classes[] = {
    [WEIR_ERROR_NONE] = { "none", "internal_error", 500 },
    [WEIR_ERROR_BAD_REQUEST] = { "bad_request", "invalid_request", 400 },
    [WEIR_ERROR_AUTHENTICATION] = { "authentication", "invalid_key", 401 },
    [WEIR_ERROR_PERMISSION] = { "permission", "denied", 403 },
    [WEIR_ERROR_NOT_FOUND] = { "not_found", "model_not_found", 404 },
    [WEIR_ERROR_TOO_LARGE] = { "too_large", "body_too_large", 413 },
    [WEIR_ERROR_CONTEXT_LENGTH] = { "context_length", "context_length_exceeded", 400 },
    [WEIR_ERROR_CONTENT_POLICY] = { "content_policy", "content_policy", 400 },
    [WEIR_ERROR_RATE_LIMITED] = { "rate_limited", "rate_limited", 429 },
    [WEIR_ERROR_QUOTA] = { "quota", "quota_exceeded", 429 },
    [WEIR_ERROR_OVERLOADED] = { "overloaded", "overloaded", 503 },
    [WEIR_ERROR_TIMEOUT] = { "timeout", "timeout", 504 },
    [WEIR_ERROR_CONNECT] = { "connect", "upstream_connect", 502 },
    [WEIR_ERROR_SERVER] = { "server", "upstream_error", 502 },
    [WEIR_ERROR_BROKEN] = { "broken", "upstream_broken", 502 },
    [WEIR_ERROR_UNAVAILABLE] = { "unavailable", "no_target", 503 },
    [WEIR_ERROR_INTERNAL] = { "internal", "internal_error", 500 },
    [WEIR_ERROR_CANCELLED] = { "cancelled", "client_left", 499 },
    [WEIR_ERROR_UNSUPPORTED] = { "unsupported", "unsupported", 400 },
};

static const struct class_entry *class_of(uint32_t error_class)
{
    return &classes[error_class < sizeof(classes) / sizeof(*classes) ? error_class : WEIR_ERROR_INTERNAL];
}

/* A provider that refuses weir's own key is the operator's trouble, not the client's: never 401 or 403. */
static bool is_operators_trouble(const struct weir_error *e)
{
    return (e->flags & WEIR_ERROR_FROM_UPSTREAM) &&
           (e->error_class == WEIR_ERROR_AUTHENTICATION || e->error_class == WEIR_ERROR_PERMISSION);
}

int error_status(const struct weir_error *e)
{
    if (is_operators_trouble(e))
        return 502;
    if (e->status >= 400 && e->status <= 599)
        return e->status;
    return class_of(e->error_class)->status;
}

const char *error_code(const struct weir_error *e)
{
    if (is_operators_trouble(e))
        return "upstream_auth";
    if ((e->flags & WEIR_ERROR_FROM_UPSTREAM) &&
        (e->error_class == WEIR_ERROR_BAD_REQUEST || e->error_class == WEIR_ERROR_NOT_FOUND))
        return "upstream_refused";
    return class_of(e->error_class)->code;
}

const char *error_class_name(uint32_t error_class)
{
    return class_of(error_class)->name;
}
