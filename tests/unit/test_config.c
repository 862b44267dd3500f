/* Configurations: what is read, what a snapshot holds. */
#include "config_lab.h"

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
         "models: [demo, 'demo/*'], tags: { cost: '42' }, may_set_timeout: true, may_explain: true }\n"
         "secrets: { token: env:WEIR_TEST_KEY, plain: text }\n");
    CHECK_INT(config->n_keys, 1);
    CHECK(weir_is(config->keys[0].team, "t") && config->keys[0].hash[31] == 255 && config->keys[0].n_models == 2);
    CHECK(config->keys[0].flags == (WEIR_PRINCIPAL_MAY_SET_TIMEOUT | WEIR_PRINCIPAL_MAY_EXPLAIN) && config->keys[0].n_tags == 1 &&
          weir_is(config->keys[0].tags[1], "42"));
    CHECK(config->n_secrets == 2 && weir_is(config->secrets[0].value, "sk-from-the-environment"));
    const struct config_model *m = config->models[0];
    CHECK(m->n_targets == 1 && m->targets[0].provider == config->providers[0] && m->context_tokens == -1 &&
          m->price.usd[FACTS_INPUT] < 0);
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

TEST(what_to_do_with_failures_is_read)
{
    load("providers:\n  p: { dialect: openai, base_url: 'http://h', auth: none, retries: 3, retry_budget: 0.5,\n"
         "       breaker: { failures: 2, window: 5s, open_for: 100ms }, queue: { wait: off, length: 7 } }\n"
         "  q: { dialect: openai, base_url: 'http://h', auth: none, breaker: { failures: 0 } }\n"
         "models:\n  m: { targets: [p/x], retries: 0, max_inflight: 9 }\n  n: { targets: [q/x] }\n"
         "routes: [{ retries: 1, match: { path: /a } }, {}]\n");
    CHECK(config != NULL);
    const struct config_provider *p = config->providers[0], *q = config->providers[1];
    CHECK(p->breaker.failures == 2 && p->breaker.window_ms == 5000 && p->breaker.open_ms == 100);
    CHECK(p->queue_ms == 0 && p->queue_length == 7 && p->retries == 3 && p->retry_budget.share == 0.5);
    CHECK(q->breaker.failures == 0 && q->breaker.open_ms == 10000 && q->queue_ms == 1000 && q->queue_length == 100);
    CHECK(q->retries == CONFIG_UNSET && q->retry_budget.share == 0.2);
    CHECK(config->models[0]->retries == 0 && config->models[0]->max_inflight == 9);
    CHECK(config->models[1]->retries == CONFIG_UNSET && config->models[1]->max_inflight == 0);
    CHECK(config->routes[0]->retries == 1 && config->routes[1]->retries == CONFIG_UNSET);
}

TEST(routes_are_read)
{
    FINE("entry: [gate: { door: front }]\n"
         "routes:\n  - match: { path: /v1/*, method: POST, key: 'a*', team: x, model: 'gpt-*', header: { X-Class: "
         "secret } }\n    pipeline: [settings]\n    name: first\n"
         "    timeouts: { total: 5s }\n    open: true\n    usage: as_asked\n    unknown_fields: drop\n    on_loss: refuse\n    rescue: off\n    n_calls: 4\n  - match: { "
         "header: x-y }\n  - {}\non_loss: warn\n");
    const struct config_route *route = config->routes[0];
    CHECK_STR(route->name, "first");
    CHECK_STR(route->match.header, "x-class");
    CHECK_STR(route->match.header_value, "secret");
    CHECK_STR(route->match.model, "gpt-*");
    CHECK(route->n_stages == 1 && route->is_open && route->usage_as_asked &&
          route->unknown_fields == CONFIG_UNKNOWN_DROP);
    CHECK(route->on_loss == CONFIG_LOSS_REFUSE && config->on_loss == CONFIG_LOSS_WARN);
    CHECK(config->routes[1]->on_loss == CONFIG_LOSS_UNSAID);
    CHECK(route->n_calls == 4 && config->routes[1]->n_calls == 0);
    CHECK(route->rescue == CONFIG_RESCUE_OFF && config->routes[1]->rescue == CONFIG_RESCUE_DEFAULT);
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
