/* google: access tokens of Google Cloud: by a service account's key (a JWT signed with it, RFC 7523), or, without a key, of the
 * machine's own account from the metadata server.
 *
 * Owner: `struct account` lives as long as the worker. The private key is in its configuration and, while a token is obtained, in the
 * call's memory; it goes nowhere else.
 */
#include <weir/credentials.h>

#include <stdio.h>
#include <stdlib.h>

enum { DEADLINE_MS = 10 * 1000, ANSWER_MAX = 64 * 1024, KEY_MAX = 64 * 1024, LIFETIME_S = 3600 };

struct settings {
    const char *key, *scope, *token_url, *metadata_url;
};

struct account {
    const struct weir_host *host;
    struct weir_instance *inst;
    const struct settings *settings;
    struct weir_call *call; /* NULL: nothing is being obtained */
    void *fetch;
};

/* What a key's file says. */
struct service_account {
    struct weir_str email, private_key, key_id, token_uri;
};

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

/* $GOOGLE_APPLICATION_CREDENTIALS holds a path, other places the JSON itself. A file is read each time: keys are exchanged. "": it
 * can't be read. */
static struct weir_str key_text(struct account *a)
{
    const char *from = a->settings->key + strspn(a->settings->key, " \t\r\n");
    if (*from == '{')
        return weir_cstr(from);
    FILE *file = fopen(from, "re");
    char *text = file ? calloc(1, KEY_MAX + 1) : NULL;
    size_t n = text ? fread(text, 1, KEY_MAX, file) : 0;
    struct weir_str copy = n ? a->host->format(a->call, "%.*s", (int)n, text) : WEIR_NONE;
    if (file)
        fclose(file);
    if (text)
        memset(text, 0, KEY_MAX);
    free(text);
    return copy;
}

static bool read_key(struct account *a, struct service_account *to)
{
    const struct weir_json_api *j = a->host->json;
    struct weir_str key;
    struct weir_json *r = j->open(a->call, key_text(a));
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "client_email"))
            read_string(j, r, &to->email);
        else if (weir_is(key, "private_key"))
            read_string(j, r, &to->private_key);
        else if (weir_is(key, "private_key_id"))
            read_string(j, r, &to->key_id);
        else if (weir_is(key, "token_uri"))
            read_string(j, r, &to->token_uri);
        else
            j->skip(r);
    }
    return j->close(r) && to->email.n && to->private_key.n;
}

/* ---- the assertion ---- */

static struct weir_str base64url(struct account *a, struct weir_str bytes)
{
    struct weir_str coded = a->host->base64(a->call, bytes, false);
    char *p = (char *)(uintptr_t)coded.p; /* the call's own memory */
    while (coded.n && p[coded.n - 1] == '=')
        coded.n--;
    for (size_t i = 0; i < coded.n; i++)
        p[i] = p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i];
    return coded;
}

static struct weir_str claims_of(struct account *a, const struct service_account *key, struct weir_str token_url)
{
    long long now_s = a->host->now_ms() / 1000, until_s = now_s + LIFETIME_S;
    return a->host->format(a->call,
                           "{\"iss\":\"%.*s\",\"scope\":\"%s\",\"aud\":\"%.*s\",\"iat\":%lld,\"exp\":%lld}", (int)key->email.n,
                           key->email.p, a->settings->scope, (int)token_url.n, token_url.p, now_s, until_s);
}

/* header.claims.signature; "" if the key can't sign. */
static struct weir_str assertion_of(struct account *a, const struct service_account *key, struct weir_str token_url)
{
    const struct weir_host *h = a->host;
    struct weir_str header = h->format(a->call, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%.*s\"}", (int)key->key_id.n,
                                       key->key_id.n ? key->key_id.p : "");
    struct weir_str first = base64url(a, header), second = base64url(a, claims_of(a, key, token_url));
    struct weir_str text = h->format(a->call, "%.*s.%.*s", (int)first.n, first.p, (int)second.n, second.p);
    struct weir_str signature = h->rsa_sha256(a->call, key->private_key, text);
    struct weir_str third = signature.n ? base64url(a, signature) : WEIR_NONE;
    return third.n ? h->format(a->call, "%.*s.%.*s", (int)text.n, text.p, (int)third.n, third.p) : WEIR_NONE;
}

/* ---- the answer ---- */

static void end(struct account *a, struct weir_str value, int64_t expires_s, struct weir_str error)
{
    struct weir_call *call = a->call;
    struct weir_token t = { .size = sizeof t, .value = value, .error = error,
                            .expires_s = expires_s > 0 && expires_s < UINT32_MAX ? (uint32_t)expires_s : 0 };
    a->call = NULL;
    a->host->token(call, &t);
}

struct answer {
    struct weir_str token, error, description;
    int64_t expires_s;
};

static struct answer read_answer(struct account *a, struct weir_str body)
{
    const struct weir_json_api *j = a->host->json;
    struct answer got = { .expires_s = 0 };
    struct weir_str key;
    struct weir_json *r = j->open(a->call, body);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "access_token"))
            read_string(j, r, &got.token);
        else if (weir_is(key, "expires_in") && j->peek(r) == WEIR_JSON_NUMBER)
            j->integer(r, &got.expires_s);
        else if (weir_is(key, "error"))
            read_string(j, r, &got.error);
        else if (weir_is(key, "error_description"))
            read_string(j, r, &got.description);
        else
            j->skip(r);
    }
    if (!j->close(r))
        got.token = WEIR_NONE;
    return got;
}

static void answered(void *arg, const struct weir_fetch_result *result)
{
    struct account *a = arg;
    const char *who = a->settings->key[0] ? "Google's token server" : "the metadata server";
    a->fetch = NULL;
    if (!a->call)
        return;
    if (result->error.n) {
        end(a, WEIR_NONE, 0, a->host->format(a->call, "%s: %.*s", who, (int)result->error.n, result->error.p));
        return;
    }
    struct answer got = read_answer(a, result->body);
    if (result->status == 200 && got.token.n)
        end(a, got.token, got.expires_s, WEIR_NONE);
    else
        end(a, WEIR_NONE, 0,
            a->host->format(a->call, "%s answered %d%s%.*s%s%.*s", who, result->status, got.error.n ? ": " : "", (int)got.error.n,
                            got.error.n ? got.error.p : "", got.description.n ? ", " : "",
                            (int)(got.description.n < 160 ? got.description.n : 160), got.description.n ? got.description.p : ""));
}

/* ---- the question ---- */

static int ask(struct account *a, const struct weir_fetch *q)
{
    a->fetch = a->host->fetch(a->inst, q, answered, a);
    if (!a->fetch)
        a->call = NULL;
    return a->fetch ? 0 : -1;
}

static int ask_machine(struct account *a)
{
    const struct weir_fetch_header flavour = { .name = WEIR_LIT("metadata-flavor"), .value = WEIR_LIT("Google") };
    struct weir_fetch q = { .size = sizeof q, .deadline_ms = DEADLINE_MS, .method = WEIR_LIT("GET"),
                            .url = weir_cstr(a->settings->metadata_url), .headers = &flavour, .n_headers = 1, .max_body = ANSWER_MAX };
    return ask(a, &q);
}

static int ask_with_key(struct account *a)
{
    const struct weir_fetch_header form = { .name = WEIR_LIT("content-type"), .value = WEIR_LIT("application/x-www-form-urlencoded") };
    struct service_account key = { .token_uri = WEIR_LIT("https://oauth2.googleapis.com/token") };
    bool is_key = read_key(a, &key);
    struct weir_str url = a->settings->token_url[0] ? weir_cstr(a->settings->token_url) : key.token_uri;
    struct weir_str assertion = is_key ? assertion_of(a, &key, url) : WEIR_NONE;
    if (!assertion.n) {
        end(a, WEIR_NONE, 0, WEIR_LIT("the key can't be read, or is no service account's with client_email and an RSA private_key"));
        return 0;
    }
    struct weir_fetch q = { .size = sizeof q, .deadline_ms = DEADLINE_MS, .method = WEIR_LIT("POST"), .url = url,
                            .headers = &form, .n_headers = 1, .max_body = ANSWER_MAX };
    q.body = a->host->format(a->call, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%.*s",
                             (int)assertion.n, assertion.p);
    return ask(a, &q);
}

static int obtain(void *self, struct weir_call *call)
{
    struct account *a = self;
    a->call = call;
    return a->settings->key[0] ? ask_with_key(a) : ask_machine(a);
}

static void cancel(void *self)
{
    struct account *a = self;
    if (a->fetch)
        a->host->fetch_cancel(a->inst, a->fetch);
    a->fetch = NULL;
    a->call = NULL;
}

/* ---- ops ---- */

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    struct account *a = calloc(1, sizeof *a);
    if (!a)
        return -1;
    *a = (struct account){ .host = host, .inst = inst, .settings = config };
    *self = a;
    return 0;
}

static const struct weir_option options[] = {
    { "key", WEIR_OPTION_SECRET, 0, offsetof(struct settings, key), "", 0, 0, NULL,
      "The service account's key: its JSON (file:PATH, env:NAME) or the path of its file; without one the machine's own account." },
    { "scope", WEIR_OPTION_STRING, 0, offsetof(struct settings, scope), "https://www.googleapis.com/auth/cloud-platform", 0, 0, NULL,
      "What the token is for." },
    { "token_url", WEIR_OPTION_STRING, 0, offsetof(struct settings, token_url), "", 0, 0, NULL,
      "Where tokens are given, if not where the key says." },
    { "metadata_url", WEIR_OPTION_STRING, 0, offsetof(struct settings, metadata_url),
      "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token", 0, 0, NULL,
      "Where the machine's own account is asked for." },
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
    .name = "google",
    .version = "1.0.0",
    .summary = "Access tokens of Google Cloud, by a service account's key or the machine's own account.",
    .options = options,
    .config_size = sizeof(struct settings),
    .credentials = &ops,
};
WEIR_NOTE(WEIR_KIND_CREDENTIALS);
