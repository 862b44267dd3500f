/* What a rule can see of a target: each figure that the host gives, by its name in Lua, and lists in order of several of them. */
#include "lua_stage.h"
#include "test.h"

static struct stage s;

static const struct weir_str tags[] = { { "fast", 4 }, { "eu-only", 7 } };

static void begin(void)
{
    fake_start();
    fake_target("a/one", "eu-west-1", 5, 128000, WEIR_CAN_TOOLS);
    fake_target("b/two", "us", 3, 64000, 0);
    fake_target("c/three", "us", 5, -1, 0);
    struct weir_candidate *c = &fake.all[0];
    c->price_input = 4;
    c->price_output = 8;
    c->tags = tags;
    c->n_tags = 2;
    c->latency_ms = 250;
    c->p95_ms = 1500;
    c->throughput = 80;
    c->error_rate = 0.25;
    c->first_tokens = 40;
    c->in_flight = 7;
    c->left_requests = 12;
    c->left_tokens = 3000;
    fake.all[1].is_healthy = 0;
    fake.all[1].breaker = WEIR_BREAKER_OPEN;
    fake.all[1].latency_ms = 900;
    fake.all[2].latency_ms = 100;
}

/* What the policy `return <expression>` noted, as text; "" if it failed. */
static void expect(const char *expression, const char *wanted)
{
    static char lua[1000];
    enum weir_verdict v;
    begin();
    snprintf(lua, sizeof(lua),
             "return { on_request = function(req) local l = req.candidates\nlocal c = l[1]\nnote('r', %s)\nend }", expression);
    struct weir_call *c = stage_try(&s, lua, &v);
    CHECK(c && v == WEIR_NEXT);
    if (c && v == WEIR_NEXT)
        CHECK_STR(fake_note(c, "r"), wanted);
    else
        printf("  %s: %s\n", expression, fake.log);
    if (c)
        fake_call_end(c);
    stage_close(&s);
}

#define NEEDS_STAGE()                                                                                                   \
    const struct weir_plugin *plugin;                                                                                   \
    if (!stage_plugin(&plugin))                                                                                         \
    SKIP("policy.so is not there: run from the project's root after `make`")

TEST(each_figure_by_its_name)
{
    NEEDS_STAGE();
    expect("c.name .. ' ' .. c.provider .. ' ' .. c.model .. ' ' .. c.region .. ' ' .. c.dialect", "a/one a one eu-west-1 openai");
    expect("c.price .. ' ' .. c.price_input .. ' ' .. c.price_output", "5.0 4.0 8.0");
    expect("c.context", "128000.0");
    expect("c.capabilities.tools", "true");
    expect("c.tags[2] .. tostring(c.tags.fast) .. tostring(c.tags.slow)", "eu-onlytruenil");
    expect("c.latency .. ' ' .. c.p95 .. ' ' .. c.throughput", "0.25 1.5 80.0");
    expect("c.error_rate .. ' ' .. c.answers .. ' ' .. c.load", "0.25 40.0 7.0");
    expect("c.left_requests .. ' ' .. c.left_tokens", "12.0 3000.0");
    expect("c.healthy", "true");
    expect("tostring(l[2].healthy) .. l[2].breaker .. tostring(l[2].unavailable)", "falseopennil");
    expect("l[3].context == math.huge and l[3].left_tokens == math.huge and l[3].throughput == 0", "true");
}

TEST(where_healthy_heeds_the_breaker)
{
    NEEDS_STAGE();
    expect("l:where{ healthy = true }", "a/one, c/three");
    expect("l:where{ healthy = false }", "b/two");
}

TEST(by_several_figures)
{
    NEEDS_STAGE();
    expect("l:by('price', 'latency')", "b/two, c/three, a/one");
    expect("l:by('price', '-latency')", "b/two, a/one, c/three");
    expect("l:by('-price', 'latency')", "c/three, a/one, b/two");
    expect("select(2, pcall(function() return l:by('price', 'latncy') end)):match('nothing to order by in \"%a+\"')",
           "nothing to order by in \"latncy\"");
}
