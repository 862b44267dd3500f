/* Every example of lua/README.md runs: a policy as it is, anything else as the body of on_request. What editors read
 * (lua/definitions/weir.lua) is what the stage's tables say; and whatever stands there is in the README, functions in an example. */
#include <ctype.h>
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

/* ---- what the tables say ----------------------------------------------------------------------------------------- */

static const char definitions_path[] = "lua/definitions/weir.lua";

/* A whole file, or what a program prints; "" if there is none. The caller frees it. */
static char *read_all(FILE *f)
{
    size_t n = 0, cap = 1 << 20;
    char *text = calloc(1, cap);
    while (f && n + 1 < cap) {
        size_t got = fread(text + n, 1, cap - 1 - n, f);
        if (!got)
            break;
        n += got;
    }
    return text;
}

static char *read_file(const char *name)
{
    FILE *f = fopen(name, "r");
    char *text = read_all(f);
    if (f)
        fclose(f);
    return text;
}

TEST(definitions_are_current)
{
    static char command[300];
    const char *build = getenv("WEIR_BUILD");
    snprintf(command, sizeof(command), "%s/lua-definitions 2>&1", build ? build : "build");
    FILE *f = popen(command, "r");
    char *made = read_all(f), *kept = read_file(definitions_path);
    int rc = f ? pclose(f) : -1;
    bool is_same = strcmp(made, kept) == 0;
    free(made);
    free(kept);
    if (rc)
        SKIP("lua-definitions is not built: make build/lua-definitions");
    if (!is_same)
        printf("  %s is old: make lua-definitions\n", definitions_path);
    CHECK(is_same);
}

/* The examples only: between ```lua and ```. In place. */
static void keep_examples(char *text)
{
    char *to = text, *at = text, *begin;
    while ((begin = strstr(at, "```lua\n"))) {
        char *end = strstr(begin + 7, "\n```");
        size_t n = end ? (size_t)(end - begin - 7) + 1 : 0;
        memmove(to, begin + 7, n);
        to += n;
        at = end ? end + 4 : begin + 7;
    }
    *to = 0;
}

/* Does the word stand in the text, by itself? */
static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += n) {
        bool is_begin = at == text || word[0] == ':' || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');
        if (is_begin && !isalnum((unsigned char)at[n]) && at[n] != '_')
            return true;
    }
    return false;
}

/* "re.find" for a library's function, ":where" for a method, "note" for others. */
static bool has_example(const char *examples, const char *class, const char *name)
{
    static char use[200];
    if (strncmp(class, "weir.", 5) == 0)
        snprintf(use, sizeof(use), "%s.%s", class + 5, name);
    else
        snprintf(use, sizeof(use), "%s%s", class[0] ? ":" : "", name);
    return has_word(examples, use);
}

static int check_line(const char *line, char *class, const char *readme, const char *examples)
{
    char name[100], type[100];
    if (sscanf(line, "---@class %99s", class) == 1 || line[0] != '-')
        return 0;
    if (sscanf(line, "---@field %99s %99s", name, type) != 2 || strcmp(class, "Fields") == 0 || name[0] == '[')
        return 0;
    bool is_function = strncmp(type, "fun(", 4) == 0;
    bool is_known = is_function ? has_example(examples, class, name) : has_word(readme, name);
    if (!is_known)
        printf("  lua/README.md has %s %s.%s\n", is_function ? "no example of" : "nothing about", class, name);
    return !is_known;
}

TEST(whatever_exists_is_in_the_reference)
{
    char *definitions = read_file(definitions_path), *readme = read_file(path), *examples = read_file(path);
    char class[100] = "";
    int n = 0, missing = 0;
    bool is_there = definitions[0] && readme[0];
    keep_examples(examples);
    for (char *at = definitions, *end; (end = strchr(at, '\n')); at = end + 1) {
        char name[100];
        *end = 0;
        missing += check_line(at, class, readme, examples);
        n += strncmp(at, "---@field", 9) == 0;
        if (sscanf(at, "%99[a-z] = nil", name) == 1 && strstr(at, " = nil") && !has_example(examples, "", name)) {
            printf("  lua/README.md has no example of %s\n", name);
            missing++;
        }
    }
    free(definitions);
    free(readme);
    free(examples);
    if (!is_there)
        SKIP("lua/README.md is not there: run from the project's root");
    CHECK_INT(missing, 0);
    CHECK(n > 150);
}

/* What is built where it is known, and has no table: nothing of it is missing in the definitions. */
TEST(tables_made_by_hand_are_described)
{
    static const char lua[] = "return { on_request = function(req)\n"
                              "for k in pairs(req.complexity or {}) do note(k, 1) end\n"
                              "for k in pairs(clock.date()) do note(k, 1) end end,\n"
                              "on_failure = function(req, a) for k in pairs(a) do note(k, 1) end end }";
    const struct weir_plugin *plugin;
    struct stage s;
    enum weir_verdict v;
    if (!stage_plugin(&plugin))
        SKIP("policy.so is not there: run from the project's root after `make`");
    begin();
    char *definitions = read_file(definitions_path), field[120];
    struct weir_call *c = stage_try(&s, lua, &v);
    CHECK(c && v == WEIR_NEXT);
    c->target = c->candidates[0];
    c->outcome = (struct weir_error){ .size = sizeof(c->outcome), .error_class = WEIR_ERROR_RATE_LIMITED, .status = 429,
                                      .code = WEIR_LIT("c"), .message = WEIR_LIT("m"), .native = WEIR_LIT("n"),
                                      .retry_after_ms = 5 };
    stage_failure(&s, c);
    CHECK(c->n_notes > 15);
    for (int i = 0; i < c->n_notes; i++) {
        snprintf(field, sizeof(field), "---@field %s ", c->notes[i].key);
        if (!strstr(definitions, field))
            printf("  %s is not described\n", c->notes[i].key);
        CHECK(strstr(definitions, field) != NULL);
    }
    free(definitions);
    fake_call_end(c);
    stage_close(&s);
}
