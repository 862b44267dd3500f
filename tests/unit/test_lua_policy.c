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

/* ---- the three rules of the contract, literally ------------------------------------------------------------------ */

static const char residency[] =
    "return { on_request = function(req, cfg)\n"
    "  if req.headers[\"x-data-class\"] == \"restricted\" or cfg.eu_teams[req.principal.team] then\n"
    "    local eu = req.candidates:where{ region = \"eu\" }\n"
    "    if #eu == 0 then return deny{ status = 403, code = \"residency\", message = \"no EU target for \" .. req.model } end\n"
    "    note(\"residency\", \"eu\"); return eu\n"
    "  end\n"
    "end }\n";

TEST(residency_by_header_and_team)
{
    static const struct stage_options options = { .with = "{\"eu_teams\":{\"legal\":true}}" };
    begin();
    CHECK(stage_open(&s, residency, &options));
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_INT(c->n_candidates, 5);
    fake_call_end(c);
    c = fake_call(s.ops->request_size);
    fake_header(c, "X-Data-Class", "restricted");
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(left(c), "claude/sonnet vllm/qwen3-coder");
    CHECK_STR(fake_note(c, "residency"), "eu");
    fake_call_end(c);
    c = fake_call(s.ops->request_size);
    c->principal.team = WEIR_LIT("legal");
    c->n_candidates = 2;
    CHECK_INT(stage_request(&s, c), WEIR_FAIL);
    CHECK_STR(c->error_code, "residency");
    CHECK_STR(c->error_message, "no EU target for fast");
    end(c);
}

static const char classifier[] =
    "return { on_request = function(req, cfg)\n"
    "  local k = \"cls:\" .. hash.sha256(req:text())\n"
    "  local label = shared.get(k)\n"
    "  if not label then\n"
    "    local r, err = http.post{ url = cfg.url, json = { text = req:text() }, headers = { authorization = "
    "secret(\"classifier\") }, timeout = 0.15 }\n"
    "    if not r or r.status ~= 200 then note(\"classifier\", err or r.status); return end\n"
    "    label = r.json.label; shared.set(k, label, { ttl = 600 })\n"
    "  end\n"
    "  if label == \"source-code\" then return { \"vllm/qwen3-coder\", \"claude/sonnet\" } end\n"
    "end }\n";

static const char *const hosts[] = { "classify.internal:8088", "*.example.com", NULL };
static const struct stage_options classifier_options = { .with = "{\"url\":\"http://classify.internal:8088/v1\"}",
                                                         .hosts = hosts };

TEST(classifier_asks_and_remembers)
{
    begin();
    CHECK(stage_open(&s, classifier, &classifier_options));
    struct weir_call *c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_USER, "int main(void) {\\n}");
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    CHECK_STR(c->why, "policy waits for http");
    CHECK(fake.fetch.is_live);
    CHECK_STR(fake.fetch.method, "POST");
    CHECK_STR(fake.fetch.url, "http://classify.internal:8088/v1");
    CHECK_STR(fake.fetch.body, "{\"text\":\"int main(void) {\\n}\"}");
    CHECK(strstr(fake.fetch.headers, "authorization:  [secret 7]\n"));
    CHECK(strstr(fake.fetch.headers, "content-type: application/json [secret 0]\n"));
    CHECK_INT(fake.fetch.deadline_ms, 150);
    fake_answer(200, "content-type: application/json\n", "{\"label\":\"source-code\"}");
    CHECK_INT(c->resumed, WEIR_NEXT);
    CHECK_STR(left(c), "vllm/qwen3-coder claude/sonnet");
    fake_call_end(c);
    c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_USER, "int main(void) {\\n}");
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_NEXT);
    CHECK_STR(left(c), "vllm/qwen3-coder claude/sonnet");
    end(c);
}

TEST(classifier_goes_on_when_it_is_down)
{
    begin();
    CHECK(stage_open(&s, classifier, &classifier_options));
    struct weir_call *c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_USER, "hello");
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    fake_answer_error("connection refused");
    CHECK_INT(c->resumed, WEIR_NEXT);
    CHECK_STR(fake_note(c, "classifier"), "http: connection refused");
    CHECK_INT(c->n_candidates, 5);
    fake_call_end(c);
    c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_USER, "hello");
    CHECK_INT(s.ops->on_request(s.self, c), WEIR_WAIT);
    fake_answer(503, "", "down");
    CHECK_INT(c->resumed, WEIR_NEXT);
    CHECK_STR(fake_note(c, "classifier"), "503");
    end(c);
}

static const char at_failure[] =
    "return { on_failure = function(req, a)\n"
    "  if a.class == \"context_length\" then return req.candidates:where(function(c) return c.context > req.tokens * 1.3 "
    "end):by(\"price\") end\n"
    "  if a.class == \"rate_limited\" and a.retry_after and a.retry_after > 5 then return \"next\" end\n"
    "end }\n";

TEST(decides_at_failure_time)
{
    begin();
    CHECK(stage_open(&s, at_failure, NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    fake.all[3].context_tokens = 1200;
    c->target = &fake.all[3];
    c->outcome = (struct weir_error){ .size = sizeof(c->outcome), .error_class = WEIR_ERROR_CONTEXT_LENGTH, .status = 400 };
    CHECK_INT(stage_failure(&s, c), WEIR_NEXT);
    CHECK_STR(left(c), "openai/gpt-4o-mini openai/gpt-4o claude/sonnet local/unknown");
    c->outcome = (struct weir_error){ .error_class = WEIR_ERROR_RATE_LIMITED, .retry_after_ms = 9000 };
    CHECK_INT(stage_failure(&s, c), WEIR_NEXT);
    end(c);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

TEST(candidates_with_changes)
{
    begin();
    struct weir_call *c = run_body(
        "return { { 'openai/gpt-4o-mini', set = { max_tokens = 500, stop = { 'END' } }, headers = { ['x-tier'] = 'a' },"
        " timeout = { first_token = 20, total = 0.5 }, beyond = true, on_loss = 'allow',"
        " n_calls = true }, 'claude/sonnet', req.candidates[1] }");
    CHECK(c);
    CHECK_INT(v, WEIR_NEXT);
    CHECK_STR(left(c), "openai/gpt-4o-mini claude/sonnet openai/gpt-4o");
    CHECK(c->candidates[0] != &fake.all[1]);
    CHECK(c->candidates[0]->flags & WEIR_CANDIDATE_BEYOND);
    CHECK(c->candidates[0]->flags & WEIR_CANDIDATE_LOSS_ALLOW);
    CHECK(c->candidates[0]->flags & WEIR_CANDIDATE_N_CALLS);
    CHECK(!(c->candidates[1]->flags & WEIR_CANDIDATE_N_CALLS));
    CHECK(!(fake.all[1].flags & WEIR_CANDIDATE_BEYOND));
    CHECK_INT(c->n_edits, 5);
    bool has_tokens = false, has_header = false, has_total = false;
    for (int i = 0; i < c->n_edits; i++) {
        has_tokens |= strcmp(c->edits[i].key, "openai/gpt-4o-mini.3") == 0 && strcmp(c->edits[i].value, "500") == 0;
        has_header |= strcmp(c->edits[i].key, "openai/gpt-4o-mini:x-tier") == 0;
        has_total |= strcmp(c->edits[i].key, "openai/gpt-4o-mini!3") == 0 && strcmp(c->edits[i].value, "500") == 0;
    }
    CHECK(has_tokens && has_header && has_total);
    end(c);
}

TEST(an_empty_list_is_a_denial)
{
    begin();
    struct weir_call *c = run_body("return req.candidates:where{ region = 'ap' }");
    CHECK(c);
    CHECK_INT(v, WEIR_FAIL);
    CHECK_INT(c->error.status, 403);
    CHECK_STR(c->error_code, "policy_denied");
    CHECK_STR(c->error_message, "the gateway's policy \"test\" left no target for this request");
    CHECK_STR(fake_note(c, "denied_by"), "test (policy_denied)");
    end(c);
}

TEST(an_answer_of_its_own)
{
    begin();
    struct weir_call *c = run_body("return answer('closed until ' .. 9)");
    CHECK(c);
    CHECK_INT(v, WEIR_DONE);
    CHECK_STR(c->answer, "closed until 9");
    end(c);
}

TEST(the_cheapest_of_nobody_is_nobody)
{
    begin();
    struct weir_call *c = run_body("return req.candidates:where{ region = 'ap' }:cheapest()");
    CHECK(c);
    CHECK_INT(v, WEIR_FAIL);
    end(c);
}

TEST(retry_puts_the_target_first)
{
    begin();
    CHECK(stage_open(&s, "return { on_failure = function(req, a) note('t', a.target.name .. ' ' .. a.status .. ' ' .. a.class);"
                         " return 'retry' end }", NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    c->target = &fake.all[4];
    c->n_candidates = 2;
    c->status = 503;
    c->outcome = (struct weir_error){ .error_class = WEIR_ERROR_OVERLOADED };
    CHECK_INT(stage_failure(&s, c), WEIR_NEXT);
    CHECK_STR(left(c), "local/unknown openai/gpt-4o openai/gpt-4o-mini");
    CHECK_STR(fake_note(c, "t"), "local/unknown 503 overloaded");
    end(c);
}

/* ---- req --------------------------------------------------------------------------------------------------------- */

/* The body sets note "r"; the test compares it. */
static void expect(const char *body, const char *want)
{
    begin();
    struct weir_call *c = run_body(body);
    CHECK(c);
    CHECK_STR(fake_note(c, "r"), want);
    end(c);
}

TEST(request_fields)
{
    expect("note('r', table.concat({ req.id, req.method, req.path, req.dialect, req.model, tostring(req.stream), req.peer,"
           " req.route, req.tokens, req.bytes }, ' '))",
           "req-1 POST /v1/chat/completions openai fast true 127.0.0.1 r1 1000 400");
    expect("note('r', req.principal.name .. ' ' .. req.principal.team .. ' ' .. tostring(req.principal.tags.x))",
           "search-prod search nil");
    expect("note('r', tostring(req.temperature) .. tostring(req.max_tokens))", "nilnil");
    expect("note('r', tostring(req.headers['x-none']))", "nil");
    expect("local n = 0; for _ in pairs(req.headers) do n = n + 1 end; note('r', n)", "0");
    expect("req.vars.a = 5; note('r', req.vars.a)", "5");
    expect("note('r', tostring(req.time_left == math.huge))", "true");
}

TEST(fields_are_set_as_json)
{
    begin();
    struct weir_call *c = run_body("req.max_tokens = 4000; req.model = 'other'; req.stop = { 'a\\n', 'b' }; req.temperature = 0.7\n"
                                   "req.response_format = 'json_object'; note('r', req.max_tokens + #req.stop)");
    CHECK(c);
    CHECK_INT(v, WEIR_NEXT);
    CHECK_INT(c->n_edits, 5);
    CHECK_STR(c->edits[0].value, "4000");
    CHECK_STR(c->edits[1].value, "\"other\"");
    CHECK_STR(c->edits[2].value, "[\"a\\n\",\"b\"]");
    CHECK_STR(c->edits[3].value, "0.7");
    CHECK_STR(fake_note(c, "r"), "4002");
    end(c);
}

/* The body must fail with this in the log. */
static void expect_error(const char *body, const char *want)
{
    begin();
    struct weir_call *c = stage_try(&s, body, &v);
    bool has = strstr(fake.log, want) != NULL;
    if (!has)
        printf("  log %s  want %s\n", fake.log, want);
    CHECK(has);
    if (c) {
        CHECK_INT(v, WEIR_FAIL);
        CHECK_STR(c->error_code, "policy_error");
        CHECK_INT(c->error.status, 500);
        CHECK(!strstr(c->error_message, ".lua"));
        fake_call_end(c);
    }
    stage_close(&s);
}

#define BODY(text) "return { on_request = function(req, cfg)\n" text "\nend }"

TEST(mistakes_say_where_and_what)
{
    expect_error(BODY("req.max_tokens = 'many'"), "policies/test.lua:2: max_tokens must be a whole number, not string");
    expect_error(BODY("req.path = '/x'"), "req.path can't be set");
    expect_error(BODY("return req.modle"), "policies/test.lua:2: req has no field \"modle\"");
    expect_error(BODY("return req.candidates:where{ regoin = 'eu' }"), "where: regoin can't be compared");
    expect_error(BODY("return req.candidates:where{ region = cfg.region }"), "where: no field is given");
    expect_error(BODY("return req.candidates:wehre{ region = 'eu' }"), "has no \"wehre\"");
    expect_error(BODY("local c = req.candidates[1]; return c.prise > 3"), "a candidate has no field \"prise\"");
    expect_error(BODY("return 'openai/gpt-4o'"), "for one target write return { \"provider/model\" }");
    expect_error(BODY("return { 'openai/gpt-4o', set = { max_tokens = 5 } }"), "for one candidate with changes write");
    expect_error(BODY("return { { 'openai/gpt-4o', sett = {} } }"), "has no field \"sett\"");
    expect_error(BODY("return { { 'openai/gpt-4o', set = { max_token = 5 } } }"), "no setting \"max_token\"");
    expect_error(BODY("return { { 'openai/gpt-4o', on_loss = 'never' } }"), "on_loss must be \"warn\"");
    expect_error(BODY("return deny{ status = 200 }"), "status must be from 400 to 599");
    expect_error(BODY("return deny{ sttus = 403 }"), "it has no field \"sttus\"");
    expect_error(BODY("local x = nil; return x.y"), "policies/test.lua:2: attempt to index a nil value (local 'x')");
    expect_error(BODY("print('x')"), "\"print\" is not available in a policy: use note");
    expect_error(BODY("return req.text()"), "method calls are written with a colon");
    expect_error(BODY("table.sort({ 1, 'a' })"), "policies/test.lua:2: ");
    expect_error("return {", "policies/test.lua:1: unexpected symbol near");
    expect_error("return { on_reqest = function() end }", "it has no field \"on_reqest\"");
    expect_error("return { on_request = 5 }", "on_request must be a function");
    expect_error("return 5", "must end with `return {");
    expect_error("local x = req.model return {}", "undefined name \"req\"");
    expect_error("http.get('http://x/') return {}", "http can wait only in on_request and on_failure");
    expect_error("while true do end", "stopped after 500 ms of CPU");
}

TEST(on_error_pass_goes_on)
{
    static const struct stage_options pass = { .on_error = "pass" }, deny = { .on_error = "deny" };
    begin();
    CHECK(stage_open(&s, BODY("error('oops')"), &pass));
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "policy_error"), "policies/test.lua:2: oops");
    end(c);
    begin();
    CHECK(stage_open(&s, "return { on_error = 'pass', on_request = function() error('oops') end }", NULL));
    c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    end(c);
    begin();
    CHECK(stage_open(&s, "return { on_error = 'pass', on_request = function() error('oops') end }", &deny));
    c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_FAIL);
    end(c);
}

TEST(system_prompt_and_response_headers)
{
    begin();
    struct weir_call *c = run_body("req:prepend_system('be brief'); req.response_headers['x-policy'] = 'brief'");
    CHECK(c);
    CHECK_STR(c->system, "be brief");
    CHECK_STR(c->response_headers[0].key, "x-policy");
    CHECK_STR(c->response_headers[0].value, "brief");
    end(c);
}

TEST(messages_are_read_and_changed)
{
    begin();
    CHECK(stage_open(&s, BODY("local t = {}\n"
                              "for i, m in ipairs(req.messages) do t[#t + 1] = i .. m.role .. ':' .. m.text end\n"
                              "for _, m in pairs(req.messages) do t[#t + 1] = m.parts[1].kind end\n"
                              "note('r', table.concat(t, ' ') .. ' ' .. #req.messages .. ' ' .. req:text())\n"
                              "req.messages[2].text = 'changed'; note('s', req.messages[2].text)"), NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_SYSTEM, "sys");
    fake_message(c, WEIR_ROLE_USER, "a \\u00e9 \\\"b\\\"");
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "1system:sys 2user:a \xC3\xA9 \"b\" text text 2 sys\na \xC3\xA9 \"b\"");
    CHECK_STR(fake_note(c, "s"), "changed");
    end(c);
}

TEST(redact_changes_every_text)
{
    begin();
    CHECK(stage_open(&s, BODY("note('r', req:redact([[\\b\\d{3}-\\d{2}-\\d{4}\\b]], '[ssn]'))"), NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    fake_message(c, WEIR_ROLE_USER, "mine is 123-45-6789, hers 987-65-4321.");
    fake_message(c, WEIR_ROLE_USER, "nothing here 1234-45-6789");
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "2");
    CHECK_INT(c->n_edits, 1);
    CHECK_STR(c->edits[0].value, "mine is [ssn], hers [ssn].");
    end(c);
}

TEST(redact_fails_where_it_may_not_change)
{
    begin();
    CHECK(stage_open(&s, BODY("req:redact('fixed')"), NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    c->texts[0] = NULL;
    c->where[0] = "metadata.note";
    c->n_texts = 1;
    CHECK_INT(stage_request(&s, c), WEIR_FAIL);
    CHECK(strstr(fake.log, "redact: metadata.note matches but can not be changed"));
    end(c);
}

TEST(after_the_end_the_request_is_over)
{
    begin();
    CHECK(stage_open(&s, "local old\nreturn { on_request = function(req)\nif old then local ok, e = pcall(function() return"
                         " old.req.model end); note('r', e); note('s', select(2, pcall(function() return #old.list end)))"
                         " end\nold = { req = req, list = req.candidates }\nend }", NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    fake_call_end(c);
    c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "policies/test.lua:3: request is over: this req belongs to a hook that has ended");
    CHECK(strstr(fake_note(c, "s"), "request is over"));
    end(c);
}

TEST(vars_last_from_hook_to_hook)
{
    begin();
    CHECK(stage_open(&s, "return { on_request = function(req) req.vars.n = 1 end,\n"
                         "on_failure = function(req) req.vars.n = req.vars.n + 1 end,\n"
                         "on_finish = function(req, r) note('n', req.vars.n); note('c', r.class .. ' ' .. r.usage.input .. ' '"
                         " .. r.seconds .. ' ' .. r.record.attempts[1].target) end }", NULL));
    struct weir_call *c = fake_call(s.ops->request_size);
    c->target = &fake.all[0];
    c->usage.input = 12;
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_INT(stage_failure(&s, c), WEIR_NEXT);
    stage_finish(&s, c);
    CHECK_STR(fake_note(c, "n"), "2");
    CHECK_STR(fake_note(c, "c"), "none 12 0.25 openai/gpt-4o");
    end(c);
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

TEST(lists_of_candidates)
{
    expect("note('r', #req.candidates .. req.candidates[1].name .. tostring(req.candidates[6]))", "5openai/gpt-4onil");
    expect("local t = {}; for i, c in ipairs(req.candidates) do t[i] = c.provider end; note('r', table.concat(t, ' '))",
           "openai openai claude vllm local");
    expect("note('r', req.candidates:where{ provider = { 'claude', 'vllm' } })", "claude/sonnet, vllm/qwen3-coder");
    expect("note('r', req.candidates:where{ capabilities = { 'tools', 'thinking' } })", "claude/sonnet");
    expect("note('r', req.candidates:where{ capabilities = { tools = true, image_url = true } })", "openai/gpt-4o");
    expect("note('r', req.candidates:without{ region = { 'us', 'eu' } })", "local/unknown");
    expect("note('r', req.candidates:prefer{ region = 'eu' }:first(3))", "claude/sonnet, vllm/qwen3-coder, openai/gpt-4o");
    expect("note('r', req.candidates:by('-context'):first(2))", "local/unknown, claude/sonnet");
    expect("note('r', req.candidates:by(function(c) return -#c.name end):first())", "openai/gpt-4o-mini");
    expect("note('r', req.candidates:where(function(c) return c.price < 1 end))", "openai/gpt-4o-mini, vllm/qwen3-coder");
    expect("note('r', req.candidates:cheapest())", "vllm/qwen3-coder");
    expect("note('r', table.concat(req.candidates:names(), ','):sub(1, 13))", "openai/gpt-4o");
    expect("note('r', tostring(req.candidates[1] == req.candidates:by('name')[3]))", "true");
    expect("local c = req.candidates[5]; note('r', c.price == math.huge and c.context == math.huge and c.latency == 0)", "true");
    expect("note('r', req.candidates[3].capabilities.thinking and not req.candidates[1].capabilities.thinking)", "true");
}
