/* Configurations: what is read, what is a mistake and what is said about it, what a snapshot holds.
 *
 * The library folder is one of our own, with the providers of the build and the stages of tests/unit/plugins.
 */
#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "json.h"
#include "plugins/settings.h"

static char folder[] = "/tmp/weir-test-config-XXXXXX";
static struct config_errors errors;
static struct config *config;
static bool is_strict;

/* ---- files ---- */

static const char *in_folder(const char *name)
{
    static char paths[8][600];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void link_plugin(const char *from_folder, const char *kind, const char *name)
{
    char from[1200], real[4096];
    const char *build = getenv("WEIR_BUILD");
    snprintf(from, sizeof from, "%s/%s/%s.so", build ? build : "build", from_folder, name);
    snprintf(real, sizeof real, "lib/%s/%s.so", kind, name);
    const char *to = in_folder(real);
    if (realpath(from, real))
        CHECK(symlink(real, to) == 0);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void set_up(void)
{
    static const char *const folders[] = { "lib",    "lib/plugins", "lib/providers", "lib/lua", "lib/policies",
                                           "conf.d", "rules",       "rules/sub",     "gen" };
    if (!strstr(folder, "XXXXXX"))
        return;
    CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        CHECK(mkdir(in_folder(folders[i]), 0700) == 0);
    link_plugin("tests/plugins", "plugins", "settings");
    link_plugin("tests/plugins", "plugins", "gate");
    link_plugin("providers", "providers", "openai");
    link_plugin("providers", "providers", "anthropic");
    link_plugin("providers", "providers", "simulator");
    write_file("rules/a.lua", "return {}\n");
    write_file("rules/sub/b.lua", "return { 1 }\n");
    write_file("lib/lua/lib.lua", "return { 2 }\n");
    write_file("lib/policies/shipped.lua", "return {}\n");
    setenv("WEIR_LIB", in_folder("lib"), 1);
    setenv("WEIR_TEST_KEY", "sk-from-the-environment", 1);
    setenv("WEIR_TEST_NUMBER", "5", 1);
    unsetenv("WEIR_TEST_UNSET");
}

/* ---- loading ---- */

static const char *load(const char *text)
{
    static char said[8192];
    set_up();
    config_free(config);
    config_errors_free(&errors);
    write_file("weir.yaml", text);
    config = config_load(in_folder("weir.yaml"), NULL, is_strict ? CONFIG_STRICT : CONFIG_NORMAL, &errors);
    said[0] = 0;
    for (uint32_t i = 0; i < errors.n; i++) {
        size_t n = strlen(said);
        snprintf(said + n, sizeof said - n, "%u:%s%s\n", errors.list[i].place.line,
                 errors.list[i].is_warning ? "warning: " : "", errors.list[i].text);
    }
    return said;
}

static const char base[] = "providers:\n"
                           "  demo: { dialect: simulator }\n"
                           "models:\n"
                           "  demo: { targets: [demo/demo] }\n";
static const char routes[] = "routes: [{ match: { path: /v1/* } }]\n";

static const char *load_with(const char *more)
{
    static char text[8192];
    snprintf(text, sizeof text, "%s%s%s", base, strstr(more, "routes:") ? "" : routes, more);
    return load(text);
}

static void expect(const char *more, const char *wanted, const char *file, int line)
{
    const char *said = load_with(more);
    if (strstr(said, wanted))
        return;
    printf("  configuration:\n%s  said: %s  wanted: %s\n", more, said, wanted);
    test_fail(file, line, "the mistake is told");
}
#define EXPECT(more, wanted) expect(more, wanted, __FILE__, __LINE__)

static void fine(const char *more, const char *file, int line)
{
    const char *said = load_with(more);
    if (config && !said[0])
        return;
    printf("  configuration:\n%s  said: %s\n", more, said);
    test_fail(file, line, "no mistake and no warning");
}
#define FINE(more) fine(more, __FILE__, __LINE__)

/* ---- what is read ---- */

TEST(defaults_are_those_of_the_contracts)
{
    FINE("");
    CHECK_STR(config->listen[0], "127.0.0.1:8080");
    CHECK(config->listen[1] == NULL && config->workers >= 1 && !config->user);
    CHECK_STR(config->state_dir, in_folder(".weir"));
    CHECK_STR(config->admin, in_folder(".weir/admin.sock"));
    CHECK_INT(config->watchdog_ms, 2000);
    CHECK_INT(config->shutdown_delay_ms, 0);
    CHECK_INT(config->drain_ms, 30000);
    CHECK_INT(config->stage_wait_ms, 30000);
    CHECK_INT(config->keepalive_ms, 15000);
    CHECK_INT(config->keepalive_first_ms, 0);
    CHECK_INT(config->log_level, 3);
    CHECK_INT(config->timeouts.ms[WEIR_TIMEOUT_CONNECT], 5000);
    CHECK_INT(config->timeouts.ms[WEIR_TIMEOUT_FIRST_TOKEN], 120000);
    CHECK_INT(config->timeouts.ms[WEIR_TIMEOUT_IDLE], 60000);
    CHECK_INT(config->timeouts.ms[WEIR_TIMEOUT_TOTAL], 600000);
    CHECK_INT(config->limits.header_bytes, 65536);
    CHECK_INT(config->limits.body_bytes, 32 << 20);
    CHECK_INT(config->limits.body_memory, 512LL << 20);
    CHECK_INT(config->limits.header_ms, 10000);
    CHECK_INT(config->limits.body_idle_ms, 30000);
    CHECK_INT(config->limits.idle_ms, 75000);
    CHECK_INT(config->limits.write_idle_ms, 60000);
    CHECK_INT(config->limits.high_water, 262144);
    CHECK_INT(config->limits.low_water, 65536);
    CHECK_INT(strlen(config->hash), 64);
}

TEST(the_top_level_is_read)
{
    FINE("listen: [127.0.0.1:0, '[::1]:8081', 'unix:/tmp/w.sock']\nadmin: run/a.sock\nstate: /tmp/s\nname: "
         "edge-1\nworkers: 0\nwatchdog: off\n"
         "drain: 1m\nlimits: { header: 8KiB, body: 1MiB, connections: 5 }\ntimeouts: { connect: 500ms, total: 1h, "
         "idle: off }\nlog_level: debug\n"
         "keepalive_before_first_token: 1.5s\n");
    CHECK_STR(config->listen[2], "unix:/tmp/w.sock");
    CHECK_STR(config->admin, in_folder("run/a.sock"));
    CHECK_STR(config->state_dir, "/tmp/s");
    CHECK_STR(config->name, "edge-1");
    CHECK_INT(config->workers, 0);
    CHECK_INT(config->watchdog_ms, 0);
    CHECK_INT(config->drain_ms, 60000);
    CHECK_INT(config->limits.header_bytes, 8192);
    CHECK_INT(config->limits.max_connections, 5);
    CHECK_INT(config->timeouts.ms[WEIR_TIMEOUT_CONNECT], 500);
    CHECK_INT(config->timeouts.ms[WEIR_TIMEOUT_IDLE], 0);
    CHECK_INT(config->keepalive_first_ms, 1500);
    CHECK_INT(config->log_level, 4);
}

TEST(a_provider_entry_is_read)
{
    const char *said = load(
        "providers:\n  p:\n    dialect: openai\n    base_url: https://h.example/v1/\n    key: env:WEIR_TEST_KEY\n    "
        "auth: { header: X-Key, prefix: 'K ' }\n"
        "    proxy: none\n    headers: { set: { X-A: one }, add: { X-B: env:WEIR_TEST_NUMBER }, drop: [X-C] }\n    "
        "http: 2\n    timeouts: { idle: 10s }\n"
        "    max_inflight: 3\n    region: eu\n    tags: [a, b]\n    rate_limit_headers: true\n    stream_usage: false\n"
        "  s: { dialect: simulator, pace: 1ms }\n  c: { dialect: anthropic, keys: [env:WEIR_TEST_UNSET, "
        "env:WEIR_TEST_KEY], headers: { x-d: v } }\nroutes: [{}]\n");
    CHECK(config != NULL);
    CHECK_STR(said, "17:warning: a key of provider \"c\" can't be used: WEIR_TEST_UNSET is not set\n");
    const struct config_provider *p = config->providers[0];
    CHECK_STR(p->base_url, "https://h.example/v1");
    CHECK(weir_is(p->keys[0].value, "sk-from-the-environment") && p->n_keys == 1 && !p->keys[0].file);
    CHECK(p->auth == CONFIG_AUTH_HEADER);
    CHECK_STR(p->auth_name, "x-key");
    CHECK_STR(p->auth_prefix, "K ");
    CHECK_STR(p->origin.proxy, "");
    CHECK(p->origin.http == EGRESS_HTTP_2 && p->max_inflight == 3 && p->shows_rate_limits && p->n_tags == 2);
    CHECK(p->n_set_headers == 2 && !p->set_headers[0].value.p && weir_is(p->set_headers[1].name, "x-a"));
    CHECK(p->n_add_headers == 1 && weir_is(p->add_headers[0].value, "5"));
    CHECK_INT(p->timeouts.ms[WEIR_TIMEOUT_IDLE], 10000);
    CHECK_INT(p->timeouts.ms[WEIR_TIMEOUT_TOTAL], CONFIG_UNSET);
    CHECK(p->entry != NULL && !p->unavailable);
    const struct config_provider *s = config->providers[1], *c = config->providers[2];
    CHECK(s->codec && s->codec != s->plugin);
    CHECK_STR(s->codec->desc.name, "openai");
    CHECK(c->n_keys == 1 && !c->unavailable && c->n_set_headers == 1);
    CHECK(strncmp(c->base_url, "https://", 8) == 0);
}

TEST(a_missing_key_makes_its_provider_unavailable)
{
    const char *more = "  other: { dialect: anthropic, key: env:WEIR_TEST_UNSET }\n";
    char text[600];
    snprintf(text, sizeof text, "providers:\n%s%s", more, routes);
    const char *said = load(text);
    CHECK(config != NULL);
    CHECK_STR(said, "2:warning: provider \"other\" can't be used: WEIR_TEST_UNSET is not set\n");
    CHECK_STR(config->providers[0]->unavailable, "WEIR_TEST_UNSET is not set");
    is_strict = true;
    said = load(text);
    is_strict = false;
    CHECK(!config && strstr(said, "2:key: WEIR_TEST_UNSET is not set"));
}

TEST(a_key_in_a_file_is_read_where_it_stands)
{
    set_up();
    write_file("secret.key", "sk-in-a-file\n");
    load("providers: { p: { dialect: anthropic, key: 'file:secret.key' } }\nroutes: [{}]\n");
    CHECK(config != NULL);
    CHECK(weir_is(config->providers[0]->keys[0].value, "sk-in-a-file"));
    CHECK_STR(config->providers[0]->keys[0].file, in_folder("secret.key"));
    load("providers: { p: { dialect: anthropic, key: 'file:none.key' } }\nroutes: [{}]\n");
    CHECK(config && config->providers[0]->unavailable && strstr(config->providers[0]->unavailable, "none.key"));
}

TEST(models_keys_and_secrets_are_read)
{
    FINE("keys:\n"
         "  - { name: a, team: t, hash: 'sha256:00000000000000000000000000000000000000000000000000000000000000Ff', "
         "models: [demo, 'demo/*'], tags: { cost: '42' }, may_set_timeout: true }\n"
         "secrets: { token: env:WEIR_TEST_KEY, plain: text }\n");
    CHECK_INT(config->n_keys, 1);
    CHECK(weir_is(config->keys[0].team, "t") && config->keys[0].hash[31] == 255 && config->keys[0].n_models == 2);
    CHECK(config->keys[0].flags == WEIR_PRINCIPAL_MAY_SET_TIMEOUT && config->keys[0].n_tags == 1 &&
          weir_is(config->keys[0].tags[1], "42"));
    CHECK(config->n_secrets == 2 && weir_is(config->secrets[0].value, "sk-from-the-environment"));
    const struct config_model *m = config->models[0];
    CHECK(m->n_targets == 1 && m->targets[0].provider == config->providers[0] && m->context_tokens == -1 &&
          m->price_input < 0);
    CHECK_STR(m->targets[0].model, "demo");
}

TEST(options_of_plugins_get_defaults)
{
    FINE("entry: [settings]\n");
    const struct settings *s = config->entry[0]->config;
    CHECK_STR(s->text, "");
    CHECK_STR(s->secret, "");
    CHECK_STR(s->file, "");
    CHECK_STR(s->json, "null");
    CHECK(s->count == 7 && s->share > 0.49 && s->share < 0.51 && s->is_on && s->wait_ms == 15000 && s->bytes == 65536 &&
          s->mode == 2);
    CHECK_STR(s->names[0], "a");
    CHECK(s->names[2] == NULL);
}

TEST(options_of_plugins_are_read)
{
    FINE("entry:\n  - settings:\n      text: env:WEIR_TEST_KEY\n      count: env:WEIR_TEST_NUMBER\n      share: 1\n    "
         "  is_on: no\n      wait: 250ms\n      bytes: 1MiB\n      mode: off\n"
         "      secret: s\n      names: one\n      json: { a: [1.50, x, env:WEIR_TEST_NUMBER, 'env:WEIR_TEST_NUMBER'], "
         "b: null }\n      file: rules/a.lua\n      on_quarantine: skip\n"
         "  - settings: {}\n  - settings:\n");
    const struct settings *s = config->entry[0]->config;
    CHECK_STR(s->text, "sk-from-the-environment");
    CHECK(s->count == 5 && !s->is_on && s->wait_ms == 250 && s->bytes == 1 << 20 && s->mode == 0);
    CHECK_STR(s->names[0], "one");
    CHECK_STR(s->json, "{\"a\":[1.50,\"x\",5,\"5\"],\"b\":null}");
    CHECK_STR(s->file, in_folder("rules/a.lua"));
    CHECK(config->entry[0]->skips_quarantine && !config->entry[1]->skips_quarantine);
    CHECK(config->n_stages == 3 && config->stages[2] == config->entry[2] && config->entry[2]->index == 2);
}

TEST(a_shipped_file_is_found_by_its_short_name)
{
    FINE("entry: [settings: { file: policies/shipped.lua }]\n");
    CHECK_STR(((const struct settings *)config->entry[0]->config)->file, in_folder("lib/policies/shipped.lua"));
}

TEST(routes_are_read)
{
    FINE("entry: [gate: { door: front }]\n"
         "routes:\n  - match: { path: /v1/*, method: POST, key: 'a*', team: x, model: 'gpt-*', header: { X-Class: "
         "secret } }\n    pipeline: [settings]\n    name: first\n"
         "    timeouts: { total: 5s }\n    open: true\n    usage: as_asked\n    unknown_fields: drop\n  - match: { "
         "header: x-y }\n  - {}\n");
    const struct config_route *route = config->routes[0];
    CHECK_STR(route->name, "first");
    CHECK_STR(route->match.header, "x-class");
    CHECK_STR(route->match.header_value, "secret");
    CHECK_STR(route->match.model, "gpt-*");
    CHECK(route->n_stages == 1 && route->is_open && route->usage_as_asked &&
          route->unknown_fields == CONFIG_UNKNOWN_DROP);
    CHECK_INT(route->timeouts.ms[WEIR_TIMEOUT_TOTAL], 5000);
    CHECK_STR(config->routes[1]->name, "*");
    CHECK_STR(config->routes[2]->name, "*#2");
    CHECK(!config->routes[2]->is_open && !config->routes[2]->usage_as_asked);
}

TEST(patterns_match)
{
    CHECK(config_matches("gpt-*", WEIR_LIT("gpt-4")) && config_matches("gpt-*", WEIR_LIT("gpt-")) &&
          !config_matches("gpt-*", WEIR_LIT("gpt")));
    CHECK(config_matches("*", WEIR_NONE) && config_matches("a*b", WEIR_LIT("a*b")) &&
          !config_matches("a*b", WEIR_LIT("axb")));
    CHECK(config_matches("", WEIR_NONE) && !config_matches("", WEIR_LIT("a")));
}

/* ---- mistakes ---- */

TEST(all_mistakes_are_told_in_file_order)
{
    const char *said =
        load("lisen: x\nproviders:\n  a: { dialect: opnai }\n  b: { dialect: simulator, tokns: 3 }\nmodels:\n  m: { "
             "targets: [c/x, b/y] }\nroutes:\n  - match: { pth: / }\n    pipeline: [setings]\nlog_level: loud\n");
    CHECK(!config);
    CHECK_INT(errors.n_errors, 7);
    CHECK(strstr(said, "1:unknown setting \"lisen\"; did you mean \"listen\"?\n3:there is no dialect \"opnai\"; did "
                       "you mean \"openai\"?\n"));
    CHECK(strstr(said, "4:provider \"b\": unknown setting \"tokns\"; did you mean \"tokens\"?\n"));
    CHECK(strstr(said, "6:the target \"c/x\": there is no provider \"c\""));
    CHECK(strstr(said, "8:a route: unknown setting \"pth\"; did you mean \"path\"?\n9:there is no stage \"setings\"; "
                       "did you mean \"settings\"?\n"));
    CHECK(strstr(said, "10:log_level must be one of error|warn|info|debug, not \"loud\""));
}

TEST(values_of_the_wrong_kind)
{
    EXPECT("drain: 15\n", "6:drain must be a time with a unit");
    EXPECT("drain: 40d\n", "drain must be between");
    EXPECT("workers: many\n", "workers must be a whole number, not \"many\"");
    EXPECT("workers: 99\n", "workers must be between 0 and 32");
    EXPECT("limits: { body: lots }\n", "body must be a size");
    EXPECT("limits: { body: [1] }\n", "body must be one value, not a list");
    EXPECT("limits: 5\n", "limits must be a map, not one value");
    EXPECT("limits: { low_water: 1MiB }\n", "low_water must be smaller");
    EXPECT("entry: [settings: { count: 11 }]\n", "count must be between 1 and 10, not \"11\"");
    EXPECT("entry: [settings: { is_on: maybe }]\n", "is_on must be true or false, not \"maybe\"");
    EXPECT("entry: [settings: { mode: aut }]\n",
           "mode must be one of off|on|auto, not \"aut\"; did you mean \"auto\"?");
    EXPECT("entry: [settings: { names: { a: b } }]\n", "names must be a list");
    EXPECT("entry: [settings: { file: rules/none.lua }]\n", "file: there is no file");
    EXPECT("entry: [settings: { text: env:WEIR_TEST_UNSET }]\n", "text: WEIR_TEST_UNSET is not set");
    EXPECT("entry: [settings: { json: { a: env:WEIR_TEST_UNSET } }]\n", "json: WEIR_TEST_UNSET is not set");
    EXPECT("keepalive: -5s\n", "keepalive must be a time");
}

TEST(a_reference_is_never_repeated)
{
    EXPECT("workers: env:WEIR_TEST_KEY\n", "workers must be a whole number, not \"env:WEIR_TEST_KEY\"");
    CHECK(!strstr(load_with("entry: [settings: { mode: env:WEIR_TEST_KEY }]\n"), "sk-from"));
    CHECK(!strstr(load_with("entry: [settings: { count: env:WEIR_TEST_KEY }]\n"), "sk-from"));
    CHECK(!strstr(load_with("log_level: env:WEIR_TEST_KEY\n"), "sk-from"));
}

TEST(mistakes_in_listen)
{
    EXPECT("listen: 8080\n", "listen: \"8080\" is no address");
    EXPECT("listen: localhost:http\n", "is no address");
    EXPECT("listen: ['::1:80']\n", "is no address");
    EXPECT("listen: unix:relative\n", "is no address");
    EXPECT("listen: 127.0.0.1:99999\n", "is no address");
    EXPECT("listen: [127.0.0.1:1, 127.0.0.1:1]\n", "is written twice");
    EXPECT("listen: []\n", "1 to 16 addresses");
    EXPECT("listen: 0.0.0.0:8080\n", "5:the route \"/v1/*\" is open to everybody who reaches 0.0.0.0:8080");
    FINE("listen: 0.0.0.0:8080\nroutes: [{ open: true }]\n");
    EXPECT("listen: 0.0.0.0:8080\nentry: [gate: { door: x }]\n",
           "warning: weir listens on 0.0.0.0:8080, but no `keys`");
    CHECK(config != NULL);
}

TEST(mistakes_in_providers)
{
    CHECK(strstr(load("providers:\n  p: {}\nroutes: [{}]\n"), "2:provider \"p\" needs a dialect"));
    CHECK(strstr(load("providers:\n  p: { dialect: openai, base_url: h.example }\nroutes: [{}]\n"),
                 "base_url must be a URL"));
    CHECK(strstr(load("providers:\n  p: { dialect: openai, base_url: 'https://u:p@h/' }\nroutes: [{}]\n"),
                 "must not contain a user or password"));
    CHECK(strstr(load("providers:\n  p: { dialect: openai, base_url: 'https://h/?a' }\nroutes: [{}]\n"),
                 "without \"?\""));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, key: a, keys: [b] }\nroutes: [{}]\n"),
                 "either `key` or `keys`"));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, key: \"a\\nb\" }\nroutes: [{}]\n"), "line break"));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic }\nroutes: [{}]\n"),
                 "2:warning: provider \"p\" has no key"));
    CHECK(config != NULL);
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, auth: bearr }\nroutes: [{}]\n"),
                 "did you mean \"bearer\"?"));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, auth: { header: a, query: b } }\nroutes: [{}]\n"),
                 "auth takes"));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, headers: { Host: x } }\nroutes: [{}]\n"),
                 "made by weir itself"));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, headers: { 'a b': x } }\nroutes: [{}]\n"),
                 "no name of a header"));
    CHECK(strstr(load("providers:\n  p: { dialect: anthropic, cert: weir.yaml }\nroutes: [{}]\n"), "belong together"));
    CHECK(strstr(load("providers:\n  'a/b': { dialect: simulator }\nroutes: [{}]\n"), "can't be a provider's name"));
    CHECK(strstr(load("providers:\n  p: { dialect: simulator, timeout: { idle: 1s } }\nroutes: [{}]\n"),
                 "did you mean \"timeouts\"?"));
    CHECK(strstr(load("providers:\n  p: { dialect: simulator, timeouts: { total: 2h } }\nroutes: [{}]\n"),
                 "warning: provider \"p\": its time-out `total` has no effect"));
    CHECK(strstr(load("providers:\n  p: { dialect: simulator }\n  p: { dialect: openai }\nroutes: [{}]\n"),
                 "3:\"p\" is written twice: the first is at"));
}

TEST(mistakes_in_models_and_keys)
{
    EXPECT("x: 1\n", "6:unknown setting \"x\"");
    CHECK(strstr(load("providers: { demo: { dialect: simulator } }\nmodels: { m: {} }\nroutes: [{}]\n"),
                 "model \"m\" needs targets"));
    CHECK(
        strstr(load("providers: { demo: { dialect: simulator } }\nmodels: { m: { targets: [demo] } }\nroutes: [{}]\n"),
               "must be written provider/model"));
    CHECK(
        strstr(load("providers: { demo: { dialect: simulator } }\nmodels: { m: { targets: [dmo/a] } }\nroutes: [{}]\n"),
               "did you mean \"demo\"?"));
    CHECK(strstr(
        load("providers: { demo: { dialect: simulator } }\nmodels: { 'a*b': { targets: [demo/a] } }\nroutes: [{}]\n"),
        "a star may only stand at the end"));
    EXPECT("keys: [{ name: a }]\n", "key \"a\" needs a hash");
    EXPECT("keys: [{ name: a, hash: sk-plain }]\n", "hash must be \"sha256:\"");
    CHECK(!strstr(load_with("keys: [{ name: a, hash: sk-plain }]\n"), "sk-plain"));
    EXPECT("keys: [{ hash: 'sha256:0000000000000000000000000000000000000000000000000000000000000000' }]\n",
           "a key needs a name");
    EXPECT("keys:\n- &k { name: a, hash: 'sha256:0000000000000000000000000000000000000000000000000000000000000000' "
           "}\n- *k\n",
           "two keys have the name \"a\"");
    EXPECT("keys: [{ name: a, models: [dem], hash: "
           "'sha256:0000000000000000000000000000000000000000000000000000000000000000' }]\n",
           "warning: key \"a\": no model is called \"dem\"; did you mean \"demo\"?");
}

TEST(mistakes_in_pipelines)
{
    EXPECT("entry: [{ settings: {}, gate: {} }]\n", "one stage per item");
    EXPECT("entry: [settings: 5]\n", "the settings of \"settings\" are a map");
    EXPECT("entry: [gate]\n", "6:\"gate\" needs the setting \"door\": Which door.");
    EXPECT("entry: [gate: { door: x, on_quarantine: skip }]\n", "is a guard");
    EXPECT("entry: [settings: { on_quarantine: maybe }]\n", "on_quarantine must be one of refuse|skip");
    EXPECT("entry: [settings: { txt: a }]\n", "\"settings\": unknown setting \"txt\"; did you mean \"text\"?");
    EXPECT("entry: settings\n", "a pipeline must be a list");
    EXPECT("entry: [../x]\n", "there is no stage \"../x\"");
    EXPECT("entry: [openai]\n", "there is no stage \"openai\"");
    EXPECT("plugins: [nowhere/*.so]\n", "plugins: there is no file");
}

TEST(mistakes_in_routes)
{
    EXPECT("routes:\n- match: { path: /v1/* }\n- match: { path: /v1/chat/*, team: x }\nentry: [gate: { door: x }]\n",
           "7:the route \"/v1/chat/*\" can never match");
    EXPECT("routes: [{}, { match: { path: / } }]\n", "can never match");
    FINE("routes: [{ match: { path: /v1/*, method: POST } }, { match: { path: /v1/* } }, { match: { model: a } }, "
         "{}]\n");
    EXPECT("routes: [{ match: { team: x } }]\n", "matches on a team, but no stage of `entry`");
    EXPECT("routes: [{ match: { path: v1 } }]\n", "must begin with a slash");
    EXPECT("routes: [{ match: { path: '/*/x' } }]\n", "a star may only stand at the end");
    EXPECT("routes: [{ match: { method: post } }]\n", "capital letters");
    EXPECT("routes: [{ match: { header: { a: b, c: d } } }]\n", "header must be a name");
    EXPECT("routes: [{ name: a, match: { path: /a } }, { name: a }]\n", "two routes have the name \"a\"");
    EXPECT("routes: []\n", "there are no routes");
    CHECK(strstr(load("routes: [{}]\n"), "there are no providers: add"));
}

TEST(files_that_cannot_be_read)
{
    set_up();
    config_errors_free(&errors);
    CHECK(!config_load(in_folder("none.yaml"), NULL, CONFIG_NORMAL, &errors));
    CHECK(errors.n_errors == 1 && strstr(errors.list[0].text, "none.yaml") && strstr(errors.list[0].text, "-c"));
    CHECK(strstr(load("a: [1"), "not valid YAML"));
    CHECK(strstr(load("- a\n"), "a configuration must be a map"));
    CHECK(strstr(load(""), "empty"));
}

/* ---- includes ---- */

TEST(includes_are_merged)
{
    set_up();
    write_file("conf.d/1.yaml", "providers: { other: { dialect: simulator } }\nroutes: [{ match: { path: /one } }]\n");
    write_file("conf.d/2.yaml", "models: { m: { targets: [other/x] } }\nroutes: [{ match: { path: /two } }]\nentry: "
                                "[settings: { file: ../rules/a.lua }]\n");
    FINE("include: [conf.d/*.yaml]\nroutes: [{ match: { path: /zero } }]\n");
    CHECK(config->n_providers == 2 && config->n_models == 2 && config->n_routes == 3 && config->n_entry == 1);
    CHECK_STR(config->routes[2]->match.path, "/two");
    CHECK(strstr(config->routes[2]->place.file, "conf.d/2.yaml") != NULL);
    write_file("conf.d/2.yaml", "models: { demo: { targets: [other/x] } }\nlog_level: warn\n");
    const char *said = load_with("include: conf.d/*.yaml\nlog_level: info\nroutes: []\n");
    CHECK(strstr(said, "1:\"demo\" is written twice: the first is at") && strstr(said, "weir.yaml:4"));
    CHECK(strstr(said, "2:\"log_level\" is written twice"));
    EXPECT("include: conf.d/none.yaml\n", "include: there is no file");
    EXPECT("include: weir.yaml\n", "is included twice");
}

/* ---- snapshots ---- */

TEST(a_snapshot_is_all_that_a_worker_reads)
{
    char why[600] = "", hash[65];
    struct stat st;
    set_up();
    write_file("conf.d/1.yaml", "models: { m: { targets: [demo/x] } }\n");
    write_file("conf.d/2.yaml", "secrets: { s: 'file:../s.txt' }\n");
    write_file("s.txt", "before");
    FINE("include: [conf.d/*.yaml]\nentry: [settings: { file: rules/a.lua }]\n");
    snprintf(hash, sizeof hash, "%s", config->hash);
    CHECK_INT(config_snapshot(config, in_folder("gen"), why, sizeof why), 0);
    config_free(config);
    config_errors_free(&errors);
    write_file("weir.yaml", "broken: [");
    write_file("conf.d/1.yaml", "broken: [");
    write_file("conf.d/3.yaml", "broken: [");
    write_file("rules/a.lua", "changed");
    write_file("s.txt", "after");
    config = config_load(in_folder("weir.yaml"), in_folder("gen"), CONFIG_NORMAL, &errors);
    config_errors_print(&errors, 1);
    CHECK(config != NULL);
    CHECK_STR(config->hash, hash);
    CHECK(config->n_models == 2 && weir_is(config->secrets[0].value, "before"));
    const char *file = ((const struct settings *)config->entry[0]->config)->file;
    CHECK(strncmp(file, in_folder("gen"), strlen(in_folder("gen"))) == 0);
    CHECK(stat(file, &st) == 0 && st.st_size == 10 && (st.st_mode & 077) == 0);
    snprintf(why, sizeof why, "%.*s/sub/b.lua", (int)(strrchr(file, '/') - file), file);
    CHECK(stat(why, &st) == 0);
    CHECK(stat(in_folder("gen/lua/lib.lua"), &st) == 0 && stat(in_folder("gen/plugins/settings.so"), &st) == 0);
    CHECK(stat(in_folder("gen/providers/anthropic.so"), &st) == 0);
    CHECK(strstr(config->routes[0]->place.file, "weir.yaml") != NULL);
    unlink(in_folder("conf.d/3.yaml"));
    unlink(in_folder("conf.d/2.yaml"));
    write_file("rules/a.lua", "return {}\n");
}

TEST(a_snapshot_that_was_changed_is_refused)
{
    set_up();
    struct stat st;
    char name[600];
    if (stat(in_folder("gen/manifest.json"), &st) != 0)
        SKIP("the snapshot was not made");
    config_free(config);
    config = NULL;
    config_errors_free(&errors);
    write_file("gen/lua/lib.lua", "return { 3 }\n");
    config = config_load(in_folder("weir.yaml"), in_folder("gen"), CONFIG_NORMAL, &errors);
    CHECK(config != NULL); /* it lies beside; whoever reads it looks for himself */
    config_free(config);
    config = NULL;
    snprintf(name, sizeof name, "gen/plugins/settings.so");
    write_file(name, "something else");
    CHECK(!config_load(in_folder("weir.yaml"), in_folder("gen"), CONFIG_NORMAL, &errors));
    CHECK(strstr(errors.list[0].text, "reload once more"));
}

TEST(the_hash_tells_contents)
{
    char before[65];
    FINE("entry: [settings: { file: rules/a.lua }]\n");
    snprintf(before, sizeof before, "%s", config->hash);
    FINE("entry: [settings: { file: rules/a.lua }]\n");
    CHECK_STR(config->hash, before);
    write_file("rules/sub/b.lua", "return { 2 }\n");
    FINE("entry: [settings: { file: rules/a.lua }]\n");
    CHECK(strcmp(config->hash, before) != 0);
}

TEST(the_admin_path_is_known_while_the_rest_is_wrong)
{
    char path[200] = "", why[300] = "";
    load("admin: a.sock\nproviders: 5\nnonsense: true\n");
    CHECK_INT(config_admin_path(in_folder("weir.yaml"), path, sizeof path, why, sizeof why), 0);
    CHECK_STR(path, in_folder("a.sock"));
    load("state: /tmp/xyz\n");
    CHECK_INT(config_admin_path(in_folder("weir.yaml"), path, sizeof path, why, sizeof why), 0);
    CHECK_STR(path, "/tmp/xyz/admin.sock");
    load("a: [\n");
    CHECK_INT(config_admin_path(in_folder("weir.yaml"), path, sizeof path, why, sizeof why), -1);
    CHECK(strstr(why, "not valid YAML"));
}

TEST(the_schema_is_json)
{
    set_up();
    char *text = config_schema();
    struct arena *a = arena_new();
    bool is_json = text && json_valid(a, weir_cstr(text), WEIR_JSON_OBJECT);
    bool has_all = text && strstr(text, "\"first_token\"") && strstr(text, "\"door\"") && strstr(text, "\"$defs\"");
    arena_free(a);
    free(text);
    CHECK(is_json && has_all);
}

TEST(nothing_is_left_behind)
{
    config_free(config);
    config = NULL;
    config_errors_free(&errors);
    CHECK_INT(arena_live(), 0);
}
