/* The Lua stage: what hooks get, what they may return, and what becomes of it. */
#include "lua_stage.h"
#include "test.h"

static struct stage s;
static enum weir_verdict v;

static void begin(void)
{
    fake_start();
    fake_target("openai/gpt-4o", "us", 5, 128000, WEIR_CAN_TOOLS | WEIR_CAN_IMAGE_URL);
    fake_target("openai/gpt-4o-mini", "us-east-1", 0.3, 128000, WEIR_CAN_TOOLS);
    fake_target("claude/sonnet", "eu", 6, 200000, WEIR_CAN_TOOLS | WEIR_CAN_THINKING);
    fake_target("vllm/qwen3-coder", "eu-central-1", 0.1, 32000, 0);
    fake_target("local/unknown", "", -1, -1, 0);
}

static void end(struct weir_call *c)
{
    fake_call_end(c);
    stage_close(&s);
}

/* The names of the candidates that the policy left, with spaces between. */
static const char *left(const struct weir_call *c)
{
    static char text[500];
    text[0] = 0;
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof(text) - n, "%s%.*s", i ? " " : "", (int)c->candidates[i]->name.n, c->candidates[i]->name.p);
    }
    return text;
}

/* Runs `body` as on_request; the note "r" tells what it found. */
static struct weir_call *run_body(const char *body)
{
    char lua[4000];
    snprintf(lua, sizeof(lua), "return { on_request = function(req, cfg)\n%s\nend }", body);
    struct weir_call *c = stage_try(&s, lua, &v);
    if (!c)
        printf("  %s", fake.log);
    else if (v == WEIR_FAIL && fake.log[0])
        printf("  %s", fake.log);
    return c;
}

TEST(nil_is_no_opinion)
{
    begin();
    struct weir_call *c = run_body("return nil");
    CHECK(c);
    CHECK_INT(v, WEIR_NEXT);
    CHECK_INT(c->n_candidates, 5);
    CHECK_INT(c->n_waits, 0);
    end(c);
}

TEST(where_filters_by_region)
{
    begin();
    struct weir_call *c = run_body("return req.candidates:where{ region = 'eu' }");
    CHECK(c);
    CHECK_INT(v, WEIR_NEXT);
    CHECK_STR(left(c), "claude/sonnet vllm/qwen3-coder");
    end(c);
}

TEST(by_price_puts_the_unknown_last)
{
    begin();
    struct weir_call *c = run_body("return req.candidates:by('price')");
    CHECK(c);
    CHECK_STR(left(c), "vllm/qwen3-coder openai/gpt-4o-mini openai/gpt-4o claude/sonnet local/unknown");
    end(c);
}

TEST(deny_reaches_the_client)
{
    begin();
    struct weir_call *c = run_body("return deny{ status = 429, code = 'slow', message = 'not so fast', retry_after = 1.5 }");
    CHECK(c);
    CHECK_INT(v, WEIR_FAIL);
    CHECK_INT(c->error.status, 429);
    CHECK_INT(c->error.error_class, WEIR_ERROR_RATE_LIMITED);
    CHECK_INT(c->error.retry_after_ms, 1500);
    CHECK_STR(c->error_code, "slow");
    CHECK_STR(c->error_message, "not so fast");
    end(c);
}
