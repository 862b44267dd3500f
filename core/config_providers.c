/* Provider entries: how to reach a provider and what its codec wants to know (its keys: config_credentials.c). */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "bytes.h"
#include "config_read.h"
#include "json.h"

const char *header_name_lower(struct reader *r, const char *name)
{
    char *copy = (char *)(uintptr_t)arena_copy(r->a, weir_cstr(name)).p;
    for (char *c = copy; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    return copy ? copy : name;
}

/* ---- headers ---- */

static bool is_own_header(const char *name)
{
    static const char *const names[] = {
        "host",         "content-length", "transfer-encoding", "connection",     "te", "upgrade", "expect",
        "content-type", "keep-alive",     "trailer",           "accept-encoding"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool check_header_name(struct reader *r, const struct tree_node *key)
{
    const char *name = key->type == TREE_SCALAR ? header_name_lower(r, key->text.p) : "";
    if (!http_is_token(weir_cstr(name)))
        mistake(r, key, "%s: headers: \"%.80s\" is no name of a header", r->where, name);
    else if (is_own_header(name))
        mistake(r, key, "%s: headers: \"%s\" is made by weir itself and can't be changed", r->where, name);
    else
        return true;
    return false;
}

static void put_headers(struct reader *r, const struct tree_node *map, struct http_header *to, uint32_t *n)
{
    if (!node_is(r, "headers", map, TREE_MAP))
        return;
    for (uint32_t i = 0; i < map->n; i++) {
        const struct tree_member *m = &map->members[i];
        struct weir_str value;
        if (!check_header_name(r, m->key) || value_text(r, m->key->text.p, m->value, &value) != VALUE_OK)
            continue;
        if (!http_is_value(value))
            mistake(r, m->value, "%s: the value of the header \"%s\" contains a character that no header may have",
                    r->where, m->key->text.p);
        else
            to[(*n)++] = (struct http_header){ weir_cstr(header_name_lower(r, m->key->text.p)), value };
    }
}

static void put_drops(struct reader *r, const struct tree_node *node, struct http_header *to, uint32_t *n)
{
    for (uint32_t i = 0; i < (node->type == TREE_LIST ? node->n : 1); i++) {
        const struct tree_node *name = node->type == TREE_LIST ? node->items[i] : node;
        if (check_header_name(r, name))
            to[(*n)++] = (struct http_header){ weir_cstr(header_name_lower(r, name->text.p)), WEIR_NONE };
    }
}

/* { set: {…}, add: {…}, drop: […] }, or a plain map, which sets. */
static bool is_structured(const struct tree_node *map)
{
    for (uint32_t i = 0; i < map->n; i++) {
        const struct tree_member *m = &map->members[i];
        bool is_word = weir_is(m->key->text, "set") || weir_is(m->key->text, "add") || weir_is(m->key->text, "drop");
        if (!is_word || (m->value->type == TREE_SCALAR && !weir_is(m->key->text, "drop")))
            return false;
    }
    return map->n > 0;
}

static void read_headers(struct reader *r, const struct tree_node *node, void *base)
{
    struct config_provider *p = base;
    struct http_header *set = arena_zalloc(r->a, (node->weight + 1) * sizeof *set);
    struct http_header *add = arena_zalloc(r->a, (node->weight + 1) * sizeof *add);
    if (!set || !add || !node_is(r, "headers", node, TREE_MAP))
        return;
    p->set_headers = set;
    p->add_headers = add;
    if (!is_structured(node)) {
        put_headers(r, node, set, &p->n_set_headers);
        return;
    }
    if (tree_get(node, "drop"))
        put_drops(r, tree_get(node, "drop"), set, &p->n_set_headers);
    if (tree_get(node, "set"))
        put_headers(r, tree_get(node, "set"), set, &p->n_set_headers);
    if (tree_get(node, "add"))
        put_headers(r, tree_get(node, "add"), add, &p->n_add_headers);
}

/* ---- addresses ---- */

static const char *check_url(struct reader *r, const struct tree_node *node, const char *name, const char *url)
{
    size_t n = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    size_t host_n = strcspn(url + n, "/?#");
    if (n == 0 || host_n == 0 || url[n] == ':' || strpbrk(url, " \t\r\n"))
        mistake(r, node, "%s: %s must be a URL, as in https://api.example.com/v1", r->where, name);
    else if (memchr(url + n, '@', host_n))
        mistake(r, node, "%s: %s must not contain a user or password: use `key` and `auth`", r->where, name);
    else if (strpbrk(url + n, "?#"))
        mistake(r, node, "%s: %s must end with its path, without \"?\" and \"#\"", r->where, name);
    else
        return url;
    return NULL;
}

static void read_base_url(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "base_url" };
    struct config_provider *p = base;
    const char *url;
    if (value_string(r, &rule, node, &url) || !check_url(r, node, "base_url", url))
        return;
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    p->base_url = arena_copy(r->a, (struct weir_str){ url, n }).p;
}

/* A proxy's URL may carry a user and a password; http and socks5 ones are what libcurl takes. */
static void read_proxy(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "proxy" };
    struct config_provider *p = base;
    const char *url;
    if (value_string(r, &rule, node, &url))
        return;
    if (strcmp(url, "none") == 0)
        p->origin.proxy = "";
    else if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0 || strncmp(url, "socks5", 6) == 0)
        p->origin.proxy = url;
    else
        mistake(r, node, "%s: proxy must be a URL (http://proxy.example.com:3128) or none", r->where);
}

static void read_lacks(struct reader *r, const struct tree_node *node, void *base)
{
    ((struct config_provider *)base)->lacks = capabilities_read(r, "lacks", node);
}

static void read_fetch_media(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "fetch_media" };
    struct config_provider *p = base;
    p->fetches_private = node->type == TREE_SCALAR && weir_is(node->text, "private");
    p->fetches_media = p->fetches_private;
    if (!p->fetches_private)
        value_bool(r, &rule, node, &p->fetches_media);
}

const struct field config_timeout_fields[] = {
    { .name = "connect",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_CONNECT * sizeof(uint32_t),
      .help = "Until the connection stands." },
    { .name = "first_token",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_FIRST_TOKEN * sizeof(uint32_t),
      .help = "Until a stream's first content." },
    { .name = "idle",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_IDLE * sizeof(uint32_t),
      .help = "Between two bytes of an answer." },
    { .name = "total",
      .type = FIELD_MS,
      .offset = WEIR_TIMEOUT_TOTAL * sizeof(uint32_t),
      .help = "The whole request." },
    { .name = NULL },
};

#define AT(member) .offset = offsetof(struct config_provider, member)
const struct field config_provider_fields[] = {
    { .name = "dialect",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"type\":\"string\"}",
      .help = "The wire format: openai, anthropic, gemini, simulator, or a plugin's." },
    { .name = "catalogue",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"type\":\"string\"}",
      .help = "Whose entry of the catalogue (weir models --providers) gives what isn't said here; its own name's if no "
              "dialect is said; none: no catalogue." },
    { .name = "with",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}",
      .help = "What stands in the places of the catalogue's address: { resource: my-company }." },
    { .name = "base_url",
      .type = FIELD_OWN,
      .read = read_base_url,
      .schema = "{\"type\":\"string\"}",
      .help = "Where the provider is; dialects with one home have a default." },
    { .name = "key",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"type\":\"string\"}",
      .help = "The key: env:NAME or file:PATH." },
    { .name = "keys",
      .type = FIELD_ELSEWHERE,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
      .help = "Several keys that take turns." },
    { .name = "auth",
      .type = FIELD_OWN,
      .read = provider_auth_read,
      .schema = "{\"anyOf\":[{\"enum\":[\"dialect\",\"bearer\",\"none\",\"sign\",\"sigv4\"]},{\"type\":\"object\","
                "\"additionalProperties\":{\"type\":[\"object\",\"null\"]},"
                "\"properties\":{\"header\":{\"type\":\"string\"},\"query\":{\"type\":\"string\"},\"prefix\":{\"type\":"
                "\"string\"}}}]}",
      .help = "How the key is sent, if not as the dialect does: bearer, none, sign, { header, prefix }, { query }; or which "
              "plugin gets tokens: { oauth2: {…} }, { google: {…} }." },
    { .name = "ca",
      .type = FIELD_FILE,
      AT(origin.ca),
      .help = "Certificates that the provider's may be signed by; else the system's." },
    { .name = "cert", .type = FIELD_FILE, AT(origin.cert), .help = "weir's own certificate for the provider." },
    { .name = "cert_key", .type = FIELD_FILE, AT(origin.cert_key), .help = "The private key of `cert`." },
    { .name = "proxy",
      .type = FIELD_OWN,
      .read = read_proxy,
      .schema = "{\"type\":\"string\"}",
      .help = "A proxy's URL; none: not even HTTPS_PROXY of the environment." },
    { .name = "headers",
      .type = FIELD_OWN,
      .read = read_headers,
      .schema = "{\"type\":\"object\"}",
      .help =
          "Request headers: { set: {name: value}, add: {name: value}, drop: [name] }, or a plain map, which sets." },
    { .name = "http",
      .type = FIELD_CHOICE,
      AT(origin.http),
      .fallback = "1.1",
      .choices = "1.1|2|auto",
      .help = "The version of HTTP." },
    { .name = "timeouts",
      .type = FIELD_TABLE,
      AT(timeouts),
      .table = config_timeout_fields,
      .help = "Time-outs for this provider; the smallest that applies wins." },
    { .name = "max_inflight",
      .type = FIELD_U32,
      AT(max_inflight),
      .fallback = "0", .min = 0, .max = 1000000,
      .help = "Calls at the same time, over all workers; 0: no limit." },
    { .name = "queue",
      .type = FIELD_TABLE,
      AT(queue_ms),
      .table = config_queue_fields,
      .help = "Where requests wait while max_inflight is reached and no other target has room." },
    { .name = "breaker",
      .type = FIELD_TABLE,
      AT(breaker),
      .table = config_breaker_fields,
      .help = "When calls stay away from a target of this provider that fails." },
    { .name = "health_check",
      .type = FIELD_TABLE,
      AT(health),
      .table = config_health_fields,
      .help = "A look at the server now and then, without a credential." },
    { .name = "retry_budget",
      .type = FIELD_NUMBER,
      AT(retry_budget.share),
      .fallback = "0.2", .min = 0, .max = 10,
      .help = "The share of calls that may be made again, beside a few in any case." },
    { .name = "retries",
      .type = FIELD_U32,
      AT(retries), .min = 0, .max = 8,
      .help = "How often a target that failed is asked again before the next one; the route's word counts before the model's, "
              "that before the provider's [0]." },
    { .name = "region",
      .type = FIELD_STRING,
      AT(region),
      .fallback = "",
      .help = "Where it computes, for rules: eu, us." },
    { .name = "tags",
      .type = FIELD_STRS,
      AT(tags),
      .offset_n = offsetof(struct config_provider, n_tags),
      .help = "Words that rules may look for." },
    { .name = "prices",
      .type = FIELD_STRING,
      AT(prices),
      .help = "Whose prices, context sizes and capabilities its models have in the table of models; its own name, or its "
              "dialect's." },
    { .name = "lacks",
      .type = FIELD_OWN,
      .read = read_lacks,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
      .help = "What none of its models can do, whatever the dialect can say: choices, image_urls, json_schema …" },
    { .name = "fetch_media",
      .type = FIELD_OWN,
      .read = read_fetch_media,
      .schema = "{\"anyOf\":[{\"type\":\"boolean\"},{\"const\":\"private\"}]}",
      .help = "May URLs inside messages be fetched for it, where it takes only bytes? true: from public addresses; private: from any, "
              "so callers reach what weir reaches." },
    { .name = "list_models",
      .type = FIELD_OWN,
      .read = list_models_read,
      .schema = "{\"anyOf\":[{\"type\":\"boolean\"},{\"type\":\"string\"}]}",
      .help = "May the list of models that callers get name all that it says it has? true: asked for every 10m, or as often as said." },
    { .name = "rate_limit_headers",
      .type = FIELD_BOOL,
      AT(shows_rate_limits),
      .fallback = "false",
      .help = "Do its rate-limit headers reach the client? They describe the provider's key, not the caller's." },
    { .name = NULL },
};
#undef AT

/* ---- one entry ---- */

/* A key that is nearly this one. Without a dialect nobody knows which others there may be. */
static bool tell_misspelt(struct reader *r, const struct tree_node *node, const char *key)
{
    for (uint32_t i = 0; node->type == TREE_MAP && i < node->n; i++) {
        const struct tree_node *name = node->members[i].key;
        struct suggestion near;
        suggestion_begin(&near, name->text.p);
        suggestion_offer(&near, key);
        if (!near.best[0])
            continue;
        mistake(r, name, "%s: unknown key \"%.80s\"%s", r->where, name->text.p, suggestion_text(r, &near));
        return true;
    }
    return false;
}

static bool find_codec(struct reader *r, struct config_provider *p, const struct tree_node *name,
                       const struct tree_node *node)
{
    const struct tree_node *dialect = tree_get(node, "dialect");
    struct weir_str text;
    if (!dialect || tree_is_null(dialect)) {
        if (tree_get(node, "catalogue") && !weir_is(tree_get(node, "catalogue")->text, "none"))
            return false; /* was told */
        if (!tell_misspelt(r, node, "dialect"))
            mistake(r, name,
                    "%s needs a dialect: openai, anthropic, gemini, simulator, or a plugin's; or a name that the catalogue "
                    "knows (`weir models --providers`)%s",
                    r->where, catalogue_suggestion(r, name->text.p));
        return false;
    }
    if (value_text(r, "dialect", dialect, &text) != VALUE_OK)
        return false;
    p->plugin = plugins_find(r, dialect, text.p, WEIR_KIND_CODEC);
    const char *speaks = p->plugin ? p->plugin->codec.speaks : NULL;
    p->codec = speaks ? plugins_find(r, dialect, speaks, WEIR_KIND_CODEC) : p->plugin;
    if (p->codec && !p->codec->codec.request_head && !p->codec->codec.encode_request) {
        mistake(r, dialect, "%s: the dialect \"%s\" is a front door only: it can't be spoken to a provider", r->where,
                text.p);
        return false;
    }
    return p->codec != NULL;
}

/* Some providers have a home in each region. */
static const char *home_of(struct reader *r, const struct config_provider *p, const struct tree_node *name)
{
    const char *url = p->codec->codec.base_url, *at = strstr(url, "{region}");
    if (!at)
        return url;
    if (!p->region[0])
        mistake(r, name, "%s needs a region: the dialect \"%s\" is at home at %s", r->where, p->codec->desc.name, url);
    return arena_printf(r->a, "%.*s%s%s", (int)(at - url), url, p->region, at + strlen("{region}")).p;
}

static void check_entry(struct reader *r, struct config_provider *p, const struct tree_node *name)
{
    const struct weir_codec *codec = &p->codec->codec;
    bool has_endpoint = p->plugin->codec.endpoint != NULL;
    if (!p->base_url[0] && !p->unavailable && !has_endpoint) {
        if (codec->base_url)
            p->base_url = home_of(r, p, name);
        else
            mistake(r, name, "%s needs a base_url: the dialect \"%s\" has no home of its own", r->where,
                    p->plugin->desc.name);
    }
    bool wants_key =
        p->auth != CONFIG_AUTH_NONE && p->auth != CONFIG_AUTH_TOKEN &&
        (p->auth != CONFIG_AUTH_DIALECT || codec->sign || codec->auth.header || codec->auth.query);
    if (p->auth == CONFIG_AUTH_TOKEN && p->n_keys)
        mistake(r, name, "%s: a key and an `auth` that gets tokens: leave one of them out", r->where);
    if (p->auth == CONFIG_AUTH_SIGN && !codec->sign)
        mistake(r, name, "%s: auth: the dialect \"%s\" signs nothing", r->where, p->codec->desc.name);
    if (wants_key && !p->n_keys && !p->unavailable && !p->n_set_headers && !p->n_add_headers && !has_endpoint)
        warning(r, name, "%s has no key, so none is sent: add `key: env:NAME`, or write `auth: none` to say so",
                r->where);
    if (!p->origin.cert != !p->origin.cert_key)
        mistake(r, name, "%s: cert and cert_key belong together", r->where);
}

static void check_name(struct reader *r, const struct tree_node *key)
{
    if (key->text.n == 0 || key->text.n > 64 ||
        key->text.p[strspn(key->text.p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        mistake(r, key,
                "\"%.80s\" can't be a provider's name: letters, digits, '.', '_' and '-', since it stands before the "
                "slash in provider/model",
                key->text.p);
}

/* As it says; else its own name, else its dialect's, if the table of models has them. */
static void find_prices(struct reader *r, struct config_provider *p)
{
    const char *dialect = p->plugin ? p->plugin->desc.name : "";
    if (!p->prices && p->catalogue)
        p->prices = p->catalogue;
    if (!p->prices)
        p->prices = facts_has_provider(r->c->facts, weir_cstr(p->name)) ? p->name : dialect;
    if (!facts_has_provider(r->c->facts, weir_cstr(p->prices)))
        p->prices = NULL;
}

static struct config_provider *read_entry(struct reader *r, const struct tree_node *key, const struct tree_node *node,
                                          uint32_t index)
{
    struct config_provider *p = arena_zalloc(r->a, sizeof *p);
    r->where = arena_printf(r->a, "provider \"%.64s\"", key->text.p).p;
    if (!p)
        return NULL;
    *p = (struct config_provider){
        .name = key->text.p, .index = index, .place = place_of_node(key), .base_url = "", .region = "", .retries = CONFIG_UNSET
    };
    r->unavailable = &p->unavailable;
    node = catalogue_apply(r, key, node, &p->catalogue);
    if (!node_is(r, r->where, node, TREE_MAP)) {
        r->unavailable = NULL;
        return NULL;
    }
    memset(&p->timeouts, 0xff, sizeof p->timeouts);
    p->origin.name = p->name;
    check_name(r, key);
    bool has_codec = find_codec(r, p, key, node);
    provider_keys_read(r, p, node);
    table_read(r, config_provider_fields, has_codec ? p->plugin->desc.options : NULL, has_codec ? node : NULL, p);
    if (has_codec) {
        p->entry = options_read(r, p->plugin, node, config_provider_fields, key);
        check_entry(r, p, key);
    }
    r->unavailable = NULL;
    find_prices(r, p);
    return p;
}

void providers_read(struct reader *r, const struct tree_node *map)
{
    struct config *c = r->c;
    if (!map || !node_is(r, "providers", map, TREE_MAP))
        return;
    c->providers = arena_zalloc(r->a, (map->n + 1) * sizeof(void *));
    for (uint32_t i = 0; c->providers && i < map->n; i++) {
        struct config_provider *p = read_entry(r, map->members[i].key, map->members[i].value, c->n_providers);
        if (p)
            c->providers[c->n_providers++] = p;
    }
    r->where = NULL;
}

struct config_provider *config_find_provider(const struct config *c, struct weir_str name)
{
    for (uint32_t i = 0; i < c->n_providers; i++)
        if (weir_is(name, c->providers[i]->name))
            return c->providers[i];
    return NULL;
}
