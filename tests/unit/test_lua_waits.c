/* The Lua stage waiting: sleep, http, bursts, cancellation, and that nothing of it touches another request. */
#include "lua_stage.h"
#include "test.h"

static struct stage s;
static const char *const hosts[] = { "a.internal", "b.internal:8443", "*.example.com", "[::1]:9000", NULL };
static const struct stage_options with_hosts = { .hosts = hosts };

#define BODY(text) "return { on_request = function(req, cfg)\n" text "\nend }"

static struct weir_call *begin(const char *lua)
{
    fake_start();
    fake_target("openai/gpt-4o", "us", 5, 128000, WEIR_CAN_TOOLS);
    if (!stage_open(&s, lua, &with_hosts)) {
        printf("  %s", fake.log);
        return NULL;
    }
    return fake_call(s.ops->request_size);
}

static void end(struct weir_call *c)
{
    fake_call_end(c);
    stage_close(&s);
}

TEST(sleep_takes_the_time_it_says)
{
    struct weir_call *c = begin(BODY("local t = clock.now(); sleep(1.5); note('t', clock.now() - t >= 1.5)"));
    CHECK(c);
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    CHECK_STR(c->why, "policy sleeps");
    fake.now_ms += 1000;
    fake_turn();
    CHECK_INT(c->resumed, 0);
    CHECK_INT(fake_run(c, WEIR_WAIT), WEIR_NEXT);
    CHECK_STR(fake_note(c, "t"), "true");
    CHECK_INT(c->n_waits, 1);
    end(c);
}

TEST(several_waits_hold_one_token)
{
    struct weir_call *c = begin(BODY("sleep(0.1); local r = http.get('https://a.internal/x'); sleep(0.1); note('r', r.status)"));
    CHECK(c);
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    weir_token token = c->token;
    fake.now_ms += 200;
    fake_turn();
    CHECK(fake.fetch.is_live);
    CHECK_STR(fake.fetch.method, "GET");
    CHECK_INT(fake.fetch.deadline_ms, 1000);
    fake_answer(204, "", "");
    CHECK(c->token == token);
    CHECK_INT(fake_run(c, WEIR_WAIT), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "204");
    CHECK_INT(c->n_waits, 1);
    end(c);
}

TEST(waits_inside_everything_that_calls_back)
{
    struct weir_call *c = begin(BODY(
        "local t = { 3, 1, 2 }\n"
        "table.sort(t, function(a, b) sleep(0.01); return a < b end)\n"
        "local x = (('abc'):gsub('.', function(ch) sleep(0.01); return ch:upper() end))\n"
        "local ok, e = pcall(function() sleep(0.01); error('inside') end)\n"
        "local eu = req.candidates:where(function() sleep(0.01); return true end)\n"
        "local y = re.gsub('a1b2', '\\\\d', function(d) sleep(0.01); return '<' .. d .. '>' end)\n"
        "note('r', table.concat(t) .. x .. tostring(ok) .. e:match('inside') .. #eu .. y)"));
    CHECK(c);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "123ABCfalseinside1a<1>b<2>");
    end(c);
}

TEST(http_answers_are_tables)
{
    struct weir_call *c = begin(BODY(
        "local r = http.request{ method = 'PUT', url = 'https://x.example.com/y?z=1', body = 'raw', headers = { ['x-a'] = 'b',"
        " authorization = 'Bearer ' .. secret('classifier') }, timeout = 2 }\n"
        "note('r', r.status .. r.body .. r.headers['x-one'] .. tostring(r.json) .. tostring(r.headers.none))"));
    CHECK(c);
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    CHECK_STR(fake.fetch.method, "PUT");
    CHECK_STR(fake.fetch.body, "raw");
    CHECK(strstr(fake.fetch.headers, "authorization: Bearer  [secret 7]"));
    fake_answer(201, "x-one: 1\nx-two: 2\n", "not json");
    CHECK_INT(c->resumed, WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "201not json1nilnil");
    end(c);
}

static void expect_refusal(const char *url, bool is_allowed)
{
    char lua[400];
    snprintf(lua, sizeof(lua), BODY("local r, e = http.get{ url = '%s' }; note('r', e)"), url);
    struct weir_call *c = begin(lua);
    enum weir_verdict v = s.ops->on_request(s.self, c);
    if ((v == WEIR_WAIT) != is_allowed)
        printf("  %s: verdict %d\n", url, (int)v);
    CHECK((v == WEIR_WAIT) == is_allowed);
    if (v == WEIR_WAIT)
        fake_answer(200, "", "");
    end(c);
}

TEST(only_hosts_on_the_list_are_called)
{
    expect_refusal("http://a.internal/", true);
    expect_refusal("https://A.Internal", true);
    expect_refusal("http://a.internal:80/", true);
    expect_refusal("http://a.internal:8080/", false);
    expect_refusal("https://b.internal:8443/x", true);
    expect_refusal("https://b.internal/", false);
    expect_refusal("https://x.example.com/", true);
    expect_refusal("https://example.com/", false);
    expect_refusal("https://evil.com/x.example.com", false);
    expect_refusal("https://x.example.com.evil.com/", false);
    expect_refusal("https://a.internal@evil.com/", false);
    expect_refusal("https://evil.com#a.internal", false);
    expect_refusal("http://[::1]:9000/", true);
    expect_refusal("http://[::1]/", false);
    expect_refusal("file:///etc/passwd", false);
    expect_refusal("gopher://a.internal/", false);
}

TEST(a_method_is_a_word)
{
    struct weir_call *c = begin(BODY("http.request{ method = 'GET / HTTP/1.1\\r\\nx: y', url = 'http://a.internal/' }"));
    CHECK(c);
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_FAIL);
    CHECK(strstr(fake.log, "method must be in capital letters"));
    end(c);
}

TEST(secrets_do_not_print)
{
    struct weir_call *c = begin(BODY("local x = secret('classifier'); note('a', tostring(x)); note('b', tostring('Bearer ' .. x))\n"
                                     "note('c', tostring(pcall(json.encode, { x }))); note('d', tostring(pcall(string.rep, x, 2)))"));
    CHECK(c);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "a"), "secret(classifier)");
    CHECK_STR(fake_note(c, "b"), "secret(classifier)");
    CHECK_STR(fake_note(c, "c"), "false");
    CHECK_STR(fake_note(c, "d"), "false");
    end(c);
}

TEST(a_client_that_left_ends_the_wait)
{
    struct weir_call *c = begin(BODY("local x = cfg; sleep(10); note('r', 'too late')"));
    CHECK(c);
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    fake_cancel(c);
    fake.now_ms += 20000;
    CHECK_INT(fake_turn(), 0);
    CHECK_STR(fake_note(c, "r"), "");
    fake_call_end(c);
    c = fake_call(s.ops->request_size); /* the next run gets a fresh coroutine */
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    CHECK_INT(fake_run(c, WEIR_WAIT), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "too late");
    end(c);
}

TEST(a_client_that_left_ends_the_fetch)
{
    struct weir_call *c = begin(BODY("http.get('http://a.internal/')"));
    CHECK(c);
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    fake_cancel(c);
    CHECK(!fake.fetch.is_live);
    end(c);
}

TEST(a_client_that_left_ends_a_pause)
{
    struct weir_call *c = begin(BODY("for i = 1, 1e9 do end"));
    CHECK(c);
    fake.is_real_time = true;
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    CHECK_STR(c->why, "policy pauses");
    fake_cancel(c);
    CHECK(fake_turn() >= 1);
    CHECK_INT(c->resumed, 0);
    end(c);
}

TEST(long_work_pauses_and_ends_well)
{
    struct weir_call *c = begin(BODY("local n = 0; for i = 1, 1000000 do n = n + i % 7 end; note('r', n)"));
    CHECK(c);
    fake.is_real_time = true;
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK(fake.n_deferred >= 1);
    CHECK_INT(c->n_waits, 1);
    CHECK_STR(fake_note(c, "r"), "2999998");
    end(c);
}

TEST(cpu_counts_over_all_hooks_of_a_request)
{
    struct weir_call *c = begin("local function burn() local t = clock.monotonic(); while clock.monotonic() - t < 0.03 do end end\n"
                                "return { on_request = burn, on_failure = burn }");
    CHECK(c);
    c->target = c->candidates[0];
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_INT(stage_failure(&s, c), WEIR_FAIL);
    CHECK(strstr(fake.log, "stopped after 50 ms of CPU"));
    end(c);
}

TEST(no_waiting_in_on_finish)
{
    struct weir_call *c = begin("return { on_finish = function(req) note('a', select(2, pcall(sleep, 1)));"
                                " note('b', select(2, pcall(http.get, 'http://a.internal/'))) end }");
    CHECK(c);
    stage_finish(&s, c);
    CHECK_STR(fake_note(c, "a"), "sleep can wait only in on_request and on_failure, not in on_finish");
    CHECK_STR(fake_note(c, "b"), "http can wait only in on_request and on_failure, not in on_finish");
    end(c);
}

TEST(on_finish_that_loops_is_ended)
{
    struct weir_call *c = begin("return { on_finish = function() while true do pcall(error) end end }");
    CHECK(c);
    fake.is_real_time = true;
    int64_t from = fake_clock_us();
    stage_finish(&s, c);
    CHECK(fake_clock_us() - from < 50000);
    CHECK(strstr(fake.log, "on_finish can't pause"));
    end(c);
}

TEST(a_host_that_lets_nobody_wait)
{
    struct weir_call *c = begin(BODY("sleep(1)"));
    CHECK(c);
    c->refuses_to_wait = true;
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_FAIL);
    CHECK(strstr(fake.log, "can't wait here"));
    CHECK_INT(fake_turn(), 0);
    end(c);
}

/* A run that holds nearly all it may, and waits, is no reason to fail another's. */
TEST(a_hoard_does_not_fail_the_neighbour)
{
    struct stage neighbour;
    struct weir_call *c = begin(BODY("local t = {}; for i = 1, 100 do t[i] = ('x'):rep(100000) .. i end; sleep(5)"));
    CHECK(c);
    fake.is_real_time = true;
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    struct weir_call *hoarder = c;
    CHECK(stage_open(&neighbour, BODY("local t = {}; for i = 1, 100 do t[i] = ('x'):rep(100000) .. i end; note('r', #t)"), NULL));
    c = fake_call(neighbour.ops->request_size);
    CHECK_INT(neighbour.ops->on_request(neighbour.self, c) == WEIR_FAIL, false);
    while (!c->resumed && !fake_note(c, "r")[0] && fake_turn() > 0)
        ;
    CHECK_STR(fake_note(c, "r"), "100");
    fake_call_end(c);
    fake_cancel(hoarder);
    stage_close(&neighbour);
    end(hoarder);
}
