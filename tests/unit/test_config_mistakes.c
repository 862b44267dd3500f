/* Mistakes in configurations: each is told with its line, and with what may have been meant. */
#include "config_lab.h"

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
    CHECK(strstr(load("providers:\n  p: { dialekt: openai }\nroutes: [{}]\n"), "unknown key \"dialekt\"; did you mean \"dialect\"?"));
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
    EXPECT("keys: [{ name: a, aws: { id: AKIDX } }]\n", "aws needs an id and a secret");
    EXPECT("keys: [{ name: a, aws: { id: AKIDX, secret: short } }]\n", "at least 16 characters");
    CHECK(!strstr(load_with("keys: [{ name: a, aws: { id: AKIDX, secret: sshhh } }]\n"), "sshhh"));
    EXPECT("keys: [{ name: a, aws: { id: A/B/C, secret: a-long-enough-secret } }]\n", "letters and digits");
    EXPECT("keys: [{ name: a, aws: { id: AKIDX, secret: a-long-enough-secret } }, "
           "{ name: b, aws: { id: AKIDX, secret: a-long-enough-secret } }]\n",
           "have the same aws id");
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
    EXPECT("routes: [{ on_loss: never }]\n", "on_loss");
    EXPECT("routes: [{ n_calls: 17 }]\n", "n_calls");
    EXPECT("routes: [{ rescue: always }]\n", "rescue");
    EXPECT("on_loss: [warn]\n", "on_loss");
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

TEST(nothing_is_left_behind)
{
    config_free(config);
    config = NULL;
    config_errors_free(&errors);
    CHECK_INT(arena_live(), 0);
}
