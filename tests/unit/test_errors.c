/* Errors of providers: recorded ones from $WEIR_SHARED or ../shared, and one made by hand for each form that is known from public
 * reports. Each must become the right class, with the right wait, and be told to a client of every dialect so that the same
 * dialect's other side understands the same class.
 */
#include <glob.h>
#include <jansson.h>

#include "codec_lab.h"
#include "pipeline.h"
#include "recordings.h"
#include "test.h"

enum { CODECS_MAX = 16 };

#define CLASS(c) (1u << WEIR_ERROR_##c)

struct case_ {
    const char *codec;
    int status;
    uint32_t classes; /* bits of those that are right */
    uint32_t retry_after_ms; /* 0: not looked at */
    const char *headers[5];
    const char *body;
};

static const struct case_ described[] = {
    { "openai", 429, CLASS(RATE_LIMITED), 494, { "retry-after", "1", "retry-after-ms", "494" },
      "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"tokens\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}" },
    { "openai", 429, CLASS(QUOTA), 0, { NULL },
      "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}" },
    { "openai", 502, CLASS(SERVER), 0, { "content-type", "text/html" },
      "<html><head><title>api.openai.com | 502: Bad gateway</title></head></html>" },
    { "openai", 502, CLASS(SERVER), 0, { NULL },
      "{\"error\":{\"code\":502,\"message\":\"Bad gateway.\",\"param\":null,\"type\":\"cf_bad_gateway\"}}" },
    { "openai", 520, CLASS(SERVER), 0, { "content-type", "text/html" }, "<html>520</html>" },
    { "anthropic", 529, CLASS(OVERLOADED), 0, { NULL },
      "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":\"r\"}" },
    { "anthropic", 429, CLASS(RATE_LIMITED), 7000, { "retry-after", "7" },
      "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"input tokens per minute of your organization\"}}" },
    { "openai", 429, CLASS(RATE_LIMITED), 0, { NULL },
      "{\"error\":{\"code\":\"rate_limit_error\",\"message\":\"input tokens per minute\",\"type\":\"invalid_request_error\",\"param\":null}}" },
    { "gemini", 429, CLASS(RATE_LIMITED), 3000, { NULL },
      "{\"error\":{\"code\":429,\"message\":\"Resource has been exhausted\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":"
      "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"3s\"}]}}" },
    { "gemini", 429, CLASS(RATE_LIMITED), 0, { NULL },
      "[{\"error\":{\"code\":429,\"message\":\"Resource exhausted\",\"status\":\"RESOURCE_EXHAUSTED\"}}]" },
    { "gemini", 503, CLASS(OVERLOADED), 0, { NULL },
      "{\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}" },
    { "openai", 429, CLASS(RATE_LIMITED), 51000, { "retry-after", "51" },
      "{\"error\":{\"message\":\"Rate limit reached for model `x` on tokens per minute (TPM): Limit 7000, Used 0\",\"type\":\"tokens\",\"code\":"
      "\"rate_limit_exceeded\"}}" },
    { "openai", 429, CLASS(RATE_LIMITED), 0, { NULL }, "{\"message\":\"Requests rate limit exceeded\"}" },
    { "openai", 429, CLASS(RATE_LIMITED), 0, { NULL },
      "{\"object\":\"error\",\"message\":\"Rate limit exceeded\",\"type\":\"rate_limited\",\"param\":null,\"code\":\"1300\",\"raw_status_code\":429}" },
    { "openai", 503, CLASS(OVERLOADED), 0, { NULL },
      "{\"object\":\"error\",\"message\":\"Service tier capacity exceeded for this model.\",\"type\":\"invalid_request_error\",\"param\":null,"
      "\"code\":null}" },
    { "bedrock", 429, CLASS(RATE_LIMITED), 0,
      { "x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/" },
      "{\"message\":\"Too many tokens, please wait before trying again.\"}" },
    { "openai", 400, CLASS(CONTENT_POLICY), 0, { NULL },
      "{\"error\":{\"message\":\"The response was filtered\",\"type\":null,\"param\":\"prompt\",\"code\":\"content_filter\",\"status\":400,"
      "\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\",\"content_filter_result\":{\"hate\":{\"filtered\":true}}}}}" },
    { "openai", 400, CLASS(CONTENT_POLICY), 0, { NULL },
      "{\"error\":{\"message\":\"filtered\",\"code\":\"content_filter\",\"inner_error\":{\"code\":\"ResponsibleAIPolicyViolation\","
      "\"content_filter_results\":{}}}}" },
    { "openai", 402, CLASS(QUOTA), 0, { NULL },
      "{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\",\"param\":null,\"code\":\"invalid_request_error\"}}" },
    { "openai", 429, CLASS(RATE_LIMITED), 0, { NULL },
      "{\"code\":\"Some resource has been exhausted\",\"error\":\"Too many tokens for team x and model y. Tokens per Minute (actual/limit): 2/1\"}" },
    { "openai", 429, CLASS(RATE_LIMITED), 0, { NULL }, "\"Tokens per minute limit exceeded - too many tokens processed.\"" },
    { "openai", 429, CLASS(RATE_LIMITED), 0, { NULL },
      "{\"error\":{\"code\":\"rpm_rate_limit_exceeded\",\"message\":\"Rate limit\",\"type\":\"rate_limit_exceeded\"},\"id\":\"as-1\"}" },
    { "openai", 401, CLASS(AUTHENTICATION), 0, { NULL }, "{\"detail\":\"Unauthorized\"}" },
    { "openai", 400, CLASS(CONTEXT_LENGTH), 0, { NULL },
      "{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens.\",\"type\":\"invalid_request_error\",\"param\":\"messages\","
      "\"code\":\"context_length_exceeded\"}}" },
    { "anthropic", 400, CLASS(CONTEXT_LENGTH), 0, { NULL },
      "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 210000 tokens > 200000 maximum\"}}" },
};

static const struct weir_plugin *codecs[CODECS_MAX];
static int n_codecs;

static void open_codecs(void)
{
    char pattern[512];
    const char *build = getenv("WEIR_BUILD");
    static bool is_done;
    glob_t found = { 0 };
    snprintf(pattern, sizeof(pattern), "%s/providers/*.so", build ? build : "build");
    glob(pattern, 0, NULL, &found);
    for (size_t i = 0; !is_done && i < found.gl_pathc && n_codecs < CODECS_MAX; i++) {
        void *so = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
        const struct weir_plugin *p = so ? dlsym(so, "weir_plugin") : NULL;
        if (p && p->head.kind == WEIR_KIND_CODEC && p->codec->decode_error)
            codecs[n_codecs++] = p;
    }
    is_done = true;
    globfree(&found);
}

static const struct weir_plugin *codec_named(struct weir_str name)
{
    open_codecs();
    for (int i = 0; i < n_codecs; i++)
        if (weir_is(name, codecs[i]->name))
            return codecs[i];
    return NULL;
}

static struct weir_error decoded(struct lab *l, int status, struct weir_str body)
{
    struct weir_error e = { .size = sizeof(e), .flags = WEIR_ERROR_FROM_UPSTREAM };
    upstream_error_default(&e, status);
    l->codec->decode_error(l->self, &l->call, l->state, status, body, &e);
    return e;
}

static int n_wrong;

static void wrong(const char *what, const char *codec, int status, struct weir_str body, uint32_t class)
{
    printf("  %s: %s, status %d, class %s: %.*s\n", codec, what, status, error_class_name(class), (int)(body.n < 200 ? body.n : 200),
           body.n ? body.p : "");
    n_wrong++;
}

/* Classes that a dialect has no word of its own for are told with a neighbour's. */
static bool means_the_same(uint32_t sent, uint32_t read)
{
    static const uint32_t neighbours[] = {
        CLASS(BAD_REQUEST) | CLASS(UNSUPPORTED) | CLASS(CONTEXT_LENGTH) | CLASS(CONTENT_POLICY) | CLASS(TOO_LARGE),
        CLASS(RATE_LIMITED) | CLASS(QUOTA),
        CLASS(SERVER) | CLASS(OVERLOADED) | CLASS(BROKEN) | CLASS(CONNECT) | CLASS(UNAVAILABLE) | CLASS(TIMEOUT) | CLASS(INTERNAL),
        CLASS(AUTHENTICATION) | CLASS(PERMISSION),
        CLASS(AUTHENTICATION) | CLASS(PERMISSION) | CLASS(SERVER), /* weir's own key is not the client's fault: 502 */
    };
    for (size_t i = 0; i < sizeof(neighbours) / sizeof(*neighbours); i++)
        if ((neighbours[i] >> sent & 1) && (neighbours[i] >> read & 1))
            return true;
    return sent == read;
}

static void tell_clients(const struct weir_error *e)
{
    for (int i = 0; i < n_codecs; i++) {
        struct lab *client = lab_begin(codecs[i], 'i', NULL), *reader = lab_begin(codecs[i], 'e', NULL);
        struct weir_out out = { 0 };
        struct weir_error told = *e;
        told.status = (uint16_t)error_status(e);
        if (!client->codec->encode_error)
            continue;
        struct scratch before = scratch_enter();
        int rc = client->codec->encode_error(client->self, &client->call, NULL, &told, &out);
        scratch_leave(before);
        struct weir_str body = out_bytes(&out);
        json_t *json = json_loadb(body.n ? body.p : "", body.n, 0, NULL);
        if (rc < 0 || !json)
            wrong("the error is no document", codecs[i]->name, told.status, body, e->error_class);
        else if (!memmem(body.p, body.n, "zq", 2) && e->message.n && memmem(e->message.p, e->message.n, "zq", 2))
            wrong("the message is gone", codecs[i]->name, told.status, body, e->error_class);
        uint32_t read = decoded(reader, told.status, body).error_class;
        if (json && !means_the_same(e->error_class, read))
            wrong("told to its client, it is another class", codecs[i]->name, told.status, body, read);
        json_decref(json);
        out_free(&out);
        lab_end(client);
        lab_end(reader);
    }
}

static void look_at(const char *codec, int status, struct weir_str body, const char *const *headers, uint32_t classes, uint32_t retry_ms)
{
    const struct weir_plugin *p = codec_named(weir_cstr(codec));
    if (!p)
        return; /* not built */
    struct lab *l = lab_begin(p, 'e', NULL);
    for (int i = 0; i < 15 && headers && headers[i]; i++)
        l->response_headers[i] = headers[i];
    struct weir_error e = decoded(l, status, arena_copy(l->arena, body));
    if (!(classes >> e.error_class & 1))
        wrong("it is another class", codec, status, body, e.error_class);
    if (retry_ms && e.retry_after_ms != retry_ms)
        printf("  retry after %u ms, not %u\n", e.retry_after_ms, retry_ms), wrong("another wait", codec, status, body, e.error_class);
    e.message = e.message.n ? e.message : WEIR_LIT("zq");
    tell_clients(&e);
    lab_end(l);
}

TEST(described_errors)
{
    n_wrong = 0;
    for (size_t i = 0; i < sizeof(described) / sizeof(*described); i++) {
        const struct case_ *c = &described[i];
        look_at(c->codec, c->status, weir_cstr(c->body), c->headers, c->classes, c->retry_after_ms);
    }
    CHECK(n_codecs >= 2);
    CHECK_INT(n_wrong, 0);
}

TEST(every_class_in_every_dialect)
{
    n_wrong = 0;
    open_codecs();
    for (uint32_t class = WEIR_ERROR_BAD_REQUEST; class <= WEIR_ERROR_UNSUPPORTED; class++) {
        struct weir_error e = { .size = sizeof(e), .error_class = (uint16_t)class, .message = WEIR_LIT("zq \"quoted\"\n") };
        e.code = weir_cstr(error_code(&e));
        if (class != WEIR_ERROR_CANCELLED)
            tell_clients(&e);
    }
    CHECK_INT(n_wrong, 0);
}

/* What a status and a body's own words leave no doubt about. */
static uint32_t classes_of(int status, const char *body)
{
    if (strstr(body, "context_length_exceeded"))
        return CLASS(CONTEXT_LENGTH);
    if (strstr(body, "model_not_found"))
        return CLASS(NOT_FOUND);
    if (strstr(body, "model identifier is invalid"))
        return CLASS(NOT_FOUND) | CLASS(BAD_REQUEST);
    switch (status) {
    case 400:
        return CLASS(BAD_REQUEST);
    case 401:
        return CLASS(AUTHENTICATION);
    case 404:
        return CLASS(NOT_FOUND);
    case 429:
        return CLASS(RATE_LIMITED) | CLASS(QUOTA);
    default:
        return CLASS(SERVER);
    }
}

static const char *codec_of(const char *provider, const char *endpoint)
{
    static const char *const own[] = { "anthropic", "cohere", "gemini", "bedrock", "ollama" };
    if (strcmp(endpoint, "responses") == 0)
        return "responses";
    if (strcmp(provider, "vertex") == 0)
        return "gemini";
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        if (strcmp(own[i], provider) == 0)
            return own[i];
    return "openai";
}

static const char *member(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text ? text : "";
}

TEST(recorded_errors)
{
    char path[1024], text[65536];
    snprintf(path, sizeof(path), "%s/data/provider_errors_recorded.jsonl", shared());
    FILE *f = fopen(path, "r");
    int n = 0;
    n_wrong = 0;
    if (!f)
        SKIP("no recorded errors in ../shared (or $WEIR_SHARED)");
    while (fgets(text, sizeof(text), f)) {
        json_t *line = json_loads(text, 0, NULL), *pair;
        const char *headers[16] = { NULL };
        size_t i, k = 0;
        json_array_foreach(json_object_get(line, "headers"), i, pair)
            if (k < 14)
                headers[k++] = json_string_value(json_array_get(pair, 0)), headers[k++] = json_string_value(json_array_get(pair, 1));
        int status = (int)json_integer_value(json_object_get(line, "status"));
        const char *body = member(line, "body");
        if (status >= 300) {
            look_at(codec_of(member(line, "provider"), member(line, "endpoint")), status, weir_cstr(body), headers, classes_of(status, body), 0);
            n++;
        }
        json_decref(line);
    }
    fclose(f);
    printf("  %d recorded errors\n", n);
    CHECK(n > 40);
    CHECK_INT(n_wrong, 0);
}
