/* Every example of lua/README.md runs: a policy as it is, anything else as the body of on_request. */
#include <stdlib.h>

#include "lua_stage.h"
#include "test.h"

static const char path[] = "lua/README.md";
static const char *const hosts[] = { "classify.internal:8088", NULL };

static void begin(void)
{
    fake_start();
    fake_target("openai/gpt-4o", "us", 5, 128000, WEIR_CAN_TOOLS);
    fake_target("openai/gpt-4o-mini", "us", 0.3, 128000, WEIR_CAN_TOOLS);
    fake_target("claude/claude-sonnet-4-5", "eu", 6, 200000, WEIR_CAN_TOOLS);
    fake_target("vllm/qwen3-coder", "eu-central-1", 0.1, 32000, 0);
}

static enum weir_verdict go_on(struct weir_call *c, enum weir_verdict v)
{
    for (int i = 0; i < 20 && v == WEIR_WAIT; i++) {
        if (fake.fetch.is_live)
            fake_answer(200, "content-type: application/json\n", "{\"label\":\"chat\"}");
        fake.now_ms += 1000;
        fake_turn();
        v = c->resumed ? c->resumed : WEIR_WAIT;
    }
    return v;
}

static bool is_whole_policy(const char *lua)
{
    return strstr(lua, "on_request = function") || strstr(lua, "on_failure = function");
}

/* false: it does not load, or fails as a policy; what it answers is its own affair. */
static bool runs(const char *example)
{
    static const struct stage_options options = { .with = "{\"eu_teams\":{\"legal\":true}}", .hosts = hosts };
    static char lua[8000];
    struct stage s;
    begin();
    bool is_whole = is_whole_policy(example);
    snprintf(lua, sizeof(lua), "%s%s%s", is_whole ? "" : "return { on_request = function(req, cfg)\n", example,
             is_whole ? "" : "\nend }");
    if (!stage_open(&s, lua, &options))
        return false;
    stage_write(&s, "teams.yaml", "search: { region: eu }\n");
    struct weir_call *c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_USER, "my password is 123-45-6789 at ACME");
    c->target = c->candidates[0];
    c->outcome = (struct weir_error){ .size = sizeof(c->outcome), .error_class = WEIR_ERROR_CONTEXT_LENGTH };
    enum weir_verdict v = go_on(c, s.ops->on_request(s.self, c));
    bool is_fine = v != WEIR_WAIT && strcmp(c->error_code, "policy_error") != 0;
    v = go_on(c, s.ops->on_failure(s.self, c));
    is_fine = is_fine && v != WEIR_WAIT && strcmp(c->error_code, "policy_error") != 0;
    stage_finish(&s, c);
    is_fine = is_fine && !strstr(fake.log, "on_finish:");
    fake_call_end(c);
    stage_close(&s);
    return is_fine;
}

TEST(examples_run)
{
    static char line[1000], example[6000];
    const struct weir_plugin *plugin;
    FILE *f = fopen(path, "r");
    if (!f || !stage_plugin(&plugin))
        SKIP("lua/README.md or policy.so is not there: run from the project's root after `make`");
    int n = 0, failed = 0, number = 0;
    bool is_inside = false;
    while (fgets(line, sizeof(line), f)) {
        number++;
        if (!is_inside && strcmp(line, "```lua\n") == 0) {
            is_inside = true;
            example[0] = 0;
        } else if (is_inside && strcmp(line, "```\n") == 0) {
            is_inside = false;
            n++;
            if (!runs(example)) {
                printf("  the example that ends at %s:%d fails: %s\n", path, number, fake.log);
                failed++;
            }
        } else if (is_inside) {
            snprintf(example + strlen(example), sizeof(example) - strlen(example), "%s", line);
        }
    }
    fclose(f);
    printf("  %d examples\n", n);
    CHECK_INT(failed, 0);
    CHECK(n >= 12);
}
