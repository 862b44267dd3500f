/* oauth2: access tokens by client credentials (RFC 6749, 4.4): one POST with a form, one JSON answer.
 *
 * Owner: `struct client` lives as long as the worker; of what is being obtained it holds the call and the fetch until token().
 */
#include <weir/credentials.h>

#include <stdio.h>
#include <stdlib.h>

enum { DEADLINE_MS = 10 * 1000, ANSWER_MAX = 64 * 1024 };

struct settings {
    const char *token_url, *client_id, *client_secret, *scope, *audience;
    int32_t send_as; /* enum send_as */
    const char *const *params;
};
enum send_as { SEND_BODY, SEND_BASIC };

struct client {
    const struct weir_host *host;
    struct weir_instance *inst;
    const struct settings *settings;
    struct weir_call *call; /* NULL: nothing is being obtained */
    void *fetch;
};

/* ---- the question ---- */

static struct weir_str encoded(struct client *c, struct weir_str s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    struct weir_str out = WEIR_LIT("");
    for (size_t i = 0; i < s.n; i++) {
        bool is_plain = s.p[i] && strchr(plain, s.p[i]);
        out = is_plain ? c->host->format(c->call, "%.*s%c", (int)out.n, out.p, s.p[i])
                       : c->host->format(c->call, "%.*s%%%02X", (int)out.n, out.p, (unsigned)(unsigned char)s.p[i]);
        if (!out.p)
            return WEIR_NONE;
    }
    return out;
}

static struct weir_str with(struct client *c, struct weir_str form, const char *name, const char *value)
{
    struct weir_str v = encoded(c, weir_cstr(value));
    return value[0] ? c->host->format(c->call, "%.*s&%s=%.*s", (int)form.n, form.p, name, (int)v.n, v.p) : form;
}

/* "resource=https://x": what else the server wants. */
static struct weir_str with_param(struct client *c, struct weir_str form, const char *param)
{
    const char *sign = strchr(param, '=');
    struct weir_str name = encoded(c, (struct weir_str){ param, sign ? (size_t)(sign - param) : strlen(param) });
    struct weir_str value = encoded(c, weir_cstr(sign ? sign + 1 : ""));
    return c->host->format(c->call, "%.*s&%.*s=%.*s", (int)form.n, form.p, (int)name.n, name.p, (int)value.n, value.p);
}

static struct weir_str form_of(struct client *c)
{
    const struct settings *s = c->settings;
    struct weir_str form = WEIR_LIT("grant_type=client_credentials");
    form = with(c, form, "scope", s->scope);
    form = with(c, form, "audience", s->audience);
    if (s->send_as == SEND_BODY) {
        form = with(c, form, "client_id", s->client_id);
        form = with(c, form, "client_secret", s->client_secret);
    }
    for (const char *const *p = s->params; p && *p; p++)
        form = with_param(c, form, *p);
    return form;
}

static struct weir_str basic_of(struct client *c)
{
    struct weir_str id = encoded(c, weir_cstr(c->settings->client_id)), secret = encoded(c, weir_cstr(c->settings->client_secret));
    struct weir_str pair = c->host->format(c->call, "%.*s:%.*s", (int)id.n, id.p, (int)secret.n, secret.p);
    struct weir_str coded = c->host->base64(c->call, pair, false);
    return c->host->format(c->call, "Basic %.*s", (int)coded.n, coded.p);
}

/* ---- the answer ---- */

struct answer {
    struct weir_str token, error, description;
    int64_t expires_s;
};

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

/* Some servers write the number as a string. */
static void read_seconds(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    struct weir_str text = WEIR_NONE;
    if (j->peek(r) == WEIR_JSON_NUMBER) {
        j->number(r, &text);
    } else {
        read_string(j, r, &text);
    }
    int64_t n = 0;
    for (size_t i = 0; i < text.n && i < 9 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        n = 10 * n + (text.p[i] - '0');
    *to = n;
}

static struct answer read_answer(struct client *c, struct weir_str body)
{
    const struct weir_json_api *j = c->host->json;
    struct answer a = { .expires_s = 0 };
    struct weir_str key;
    struct weir_json *r = j->open(c->call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "access_token"))
            read_string(j, r, &a.token);
        else if (weir_is(key, "expires_in"))
            read_seconds(j, r, &a.expires_s);
        else if (weir_is(key, "error"))
            read_string(j, r, &a.error);
        else if (weir_is(key, "error_description"))
            read_string(j, r, &a.description);
        else
            j->skip(r);
    }
    if (!j->close(r))
        a.token = WEIR_NONE;
    return a;
}

static void end(struct client *c, struct weir_str value, int64_t expires_s, struct weir_str error)
{
    struct weir_call *call = c->call;
    struct weir_token t = { .size = sizeof t, .value = value, .error = error,
                            .expires_s = expires_s > 0 && expires_s < UINT32_MAX ? (uint32_t)expires_s : 0 };
    c->call = NULL;
    c->host->token(call, &t);
}

static void answered(void *arg, const struct weir_fetch_result *result)
{
    struct client *c = arg;
    c->fetch = NULL;
    if (!c->call)
        return;
    if (result->error.n) {
        end(c, WEIR_NONE, 0, c->host->format(c->call, "%s: %.*s", c->settings->token_url, (int)result->error.n, result->error.p));
        return;
    }
    struct answer a = read_answer(c, result->body);
    if (result->status == 200 && a.token.n) {
        end(c, a.token, a.expires_s, WEIR_NONE);
        return;
    }
    end(c, WEIR_NONE, 0,
        c->host->format(c->call, "%s answered %d%s%.*s%s%.*s", c->settings->token_url, result->status, a.error.n ? ": " : "",
                        (int)a.error.n, a.error.n ? a.error.p : "", a.description.n ? ", " : "",
                        (int)(a.description.n < 160 ? a.description.n : 160), a.description.n ? a.description.p : ""));
}

/* ---- ops ---- */

static int obtain(void *self, struct weir_call *call)
{
    struct client *c = self;
    struct weir_fetch_header headers[3] = { { .name = WEIR_LIT("content-type"), .value = WEIR_LIT("application/x-www-form-urlencoded") },
                                            { .name = WEIR_LIT("accept"), .value = WEIR_LIT("application/json") } };
    c->call = call;
    struct weir_fetch q = { .size = sizeof q, .deadline_ms = DEADLINE_MS, .method = WEIR_LIT("POST"),
                            .url = weir_cstr(c->settings->token_url), .body = form_of(c), .headers = headers, .n_headers = 2,
                            .max_body = ANSWER_MAX };
    if (c->settings->send_as == SEND_BASIC)
        headers[q.n_headers++] = (struct weir_fetch_header){ .name = WEIR_LIT("authorization"), .value = basic_of(c) };
    c->fetch = c->host->fetch(c->inst, &q, answered, c);
    if (!c->fetch)
        c->call = NULL;
    return c->fetch ? 0 : -1;
}

static void cancel(void *self)
{
    struct client *c = self;
    if (c->fetch)
        c->host->fetch_cancel(c->inst, c->fetch);
    c->fetch = NULL;
    c->call = NULL;
}

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return -1;
    *c = (struct client){ .host = host, .inst = inst, .settings = config };
    *self = c;
    return 0;
}

static const struct weir_option options[] = {
    { "token_url", WEIR_OPTION_STRING, WEIR_OPTION_REQUIRED, offsetof(struct settings, token_url), NULL, 0, 0, NULL,
      "Where tokens are given: https://login.example.com/oauth2/token." },
    { "client_id", WEIR_OPTION_STRING, WEIR_OPTION_REQUIRED, offsetof(struct settings, client_id), NULL, 0, 0, NULL,
      "Who asks." },
    { "client_secret", WEIR_OPTION_SECRET, WEIR_OPTION_REQUIRED, offsetof(struct settings, client_secret), NULL, 0, 0, NULL,
      "Its secret: env:NAME or file:PATH." },
    { "scope", WEIR_OPTION_STRING, 0, offsetof(struct settings, scope), "", 0, 0, NULL, "What the token is for." },
    { "audience", WEIR_OPTION_STRING, 0, offsetof(struct settings, audience), "", 0, 0, NULL, "For whom, where a server asks so." },
    { "send_as", WEIR_OPTION_CHOICE, 0, offsetof(struct settings, send_as), "body", 0, 0, "body|basic",
      "Id and secret in the form, or in an Authorization header." },
    { "params", WEIR_OPTION_LIST, 0, offsetof(struct settings, params), NULL, 0, 0, NULL, "What else goes into the form: resource=…" },
    WEIR_OPTIONS_END,
};

static const struct weir_credentials ops = {
    .size = sizeof ops,
    .create = create,
    .destroy = free,
    .obtain = obtain,
    .cancel = cancel,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CREDENTIALS),
    .name = "oauth2",
    .version = "1.0.0",
    .summary = "Access tokens by OAuth 2 client credentials.",
    .options = options,
    .config_size = sizeof(struct settings),
    .credentials = &ops,
};
WEIR_NOTE(WEIR_KIND_CREDENTIALS);
