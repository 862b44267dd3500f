/* The library that policies see: json, re, patterns, clock, hash, data, require, shared … each as a policy uses it. */
#include <stdlib.h>

#include "lua_stage.h"
#include "test.h"

static struct stage s;

#define BODY(text) "return { on_request = function(req, cfg)\n" text "\nend }"

/* Runs the body, which must set note "r" to what is wanted. */
static void expect(const char *body, const char *want)
{
    char lua[2000];
    enum weir_verdict v = WEIR_FAIL;
    snprintf(lua, sizeof(lua), "return { on_request = function(req, cfg)\n%s\nend }", body);
    fake_start();
    fake_target("openai/gpt-4o", "us", 5, 128000, WEIR_CAN_TOOLS);
    struct weir_call *c = stage_try(&s, lua, &v);
    if (!c || v == WEIR_FAIL)
        printf("  %s\n  %s", body, fake.log);
    CHECK(c);
    CHECK_STR(fake_note(c, "r"), want);
    fake_call_end(c);
    stage_close(&s);
}

/* The expression's value as a text. */
static void same(const char *expression, const char *want)
{
    char body[1500];
    snprintf(body, sizeof(body), "local function show(...) local t = table.pack(...) for i = 1, t.n do t[i] = tostring(t[i]) end "
                                 "return table.concat(t, ' ') end note('r', show(%s))", expression);
    expect(body, want);
}

/* The expression raises this. */
static void raises(const char *expression, const char *want)
{
    char body[1500];
    snprintf(body, sizeof(body), "local ok, e = pcall(function() return %s end) note('r', ok and 'no error' or "
                                 "(e:find([[%s]], 1, true) and 'yes' or e))", expression, want);
    expect(body, "yes");
}

TEST(json_both_ways)
{
    same("json.encode{ a = 1 }", "{\"a\":1}");
    same("json.encode{ 1, 2.5, 'x\\n\"\\\\', true, { } }", "[1,2.5,\"x\\n\\\"\\\\\",true,{}]");
    same("json.encode(json.array())", "[]");
    same("json.encode(json.decode('{\"a\":[],\"b\":[null,1]}').a)", "[]");
    same("json.encode(json.decode('[null,1]'))", "[null,1]");
    same("json.decode('{\"a\":null}').a", "nil");
    same("json.decode('[1,1.0,-0,1e3,12345678901234567890]')[4]", "1000.0");
    same("math.type(json.decode('12')), math.type(json.decode('12.0'))", "integer float");
    same("json.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\\\\ud800\"')", "\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBD");
    same("json.encode('\\xff\\1')", "\"\xEF\xBF\xBD\\u0001\"");
    same("json.encode(0.1), json.encode(1e100), json.encode(3)", "0.1 1e+100 3");
    same("json.encode(-0.0), json.encode(json.decode('-0e+60')), json.encode(json.decode('-0'))", "-0.0 -0.0 0");
    raises("json.decode('{\"a\":}')", "json: expected a value at byte 6");
    raises("json.decode('[1,]')", "expected a value");
    raises("json.decode('[1] x')", "something behind the value");
    raises("json.decode('\"\\xff\"')", "not UTF-8");
    raises("json.decode('01')", "not a number");
    raises("json.decode('')", "expected a value");
    raises("json.encode{ 1/0 }", "must be finite");
    raises("json.encode{ [{}] = 1 }", "a table is either a list");
    raises("json.encode{ print = tostring }", "a function has no form");
}

TEST(regular_expressions)
{
    same("re.find('hello world', 'o w')", "5 7");
    same("re.find('aXbX', '(\\\\w)X', 2)", "3 4 b");
    same("re.match('key=value', '(\\\\w+)=(\\\\w+)')", "key value");
    same("re.match('abc', 'b')", "b");
    same("re.match('abc', 'x')", "nil");
    same("re.test('IBAN DE89 3704', '[A-Z]{2}\\\\d{2}')", "true");
    same("re.match('aaa', 'a*?')", "");
    same("re.match('aaa', 'a+?')", "a");
    same("re.match('abcd', '(?:ab|abc)(d?)')", "");
    same("re.match('foobar', '(foo|foobar)')", "foo");
    same("re.find('Grüße', 'ü.')", "3 6");
    same("re.test('ü', '^.$'), re.test('ü', '^..$')", "true false");
    same("re.test('HeLLo', '(?i)hello'), re.test('HELLO', '(?i)[a-l]+o')", "true true");
    same("re.match('a\\nb', '(?m)^b$'), re.match('a\\nb', '^b$')", "b nil");
    same("re.test('a\\nb', 'a.b'), re.test('a\\nb', '(?s)a.b')", "false true");
    same("re.match('xyz', '[^x-y]'), re.match('a]b', '[]]'), re.match('a-b', '[a-]-')", "z ] a-");
    same("re.match('tab\\there', '\\\\t(.*)')", "here");
    same("re.match('x{2}', 'x{2}'), re.match('xx', 'x{2}'), re.match('x{', 'x{')", "nil xx x{");
    same("re.find('word boundary', '\\\\bb')", "6 6");
    same("re.gsub('2026-01-31', '(\\\\d+)-(\\\\d+)-(\\\\d+)', '%3.%2.%1')", "31.01.2026 1");
    same("re.gsub('abc', 'x*', '-')", "-a-b-c- 4");
    same("re.gsub('aaa', 'a', 'b', 2)", "bba 2");
    same("re.gsub('a1', '\\\\d', { ['1'] = 'one' })", "aone 1");
    same("re.gsub('a1b', '[a-z]', function(c) return c == 'a' and 'A' end)", "A1b 2");
    same("(function() local t = {} for k, v in re.gmatch('a=1, b=2', '(\\\\w)=(\\\\w)') do t[#t + 1] = k .. v end return "
         "table.concat(t, '+') end)()", "a1+b2");
    same("re.match('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '(a*)*b')", "nil");
    same("re.match('price: 12.50', '([[:digit:]]+)\\\\.')", "12");
    same("re.match('ab', '(a)|(b)')", "a false");
    raises("re.test('x', '(')", "a group without ')'");
    raises("re.test('x', 'a)')", "a ')' without '('");
    raises("re.test('x', '[a')", "a character class without ']'");
    raises("re.test('x', '*')", "nothing to repeat");
    raises("re.test('x', '(a)\\\\1')", "back-references are not supported");
    raises("re.test('x', '(?=a)')", "no look-around");
    raises("re.test('x', '\\\\q')", "unknown escape");
    raises("re.test('x', 'a{5,2}')", "the lower first");
}

TEST(clock_in_time_zones)
{
    same("clock.date('Europe/Berlin', 1760000000).iso", "2025-10-09T10:53:20+02:00");
    same("clock.date('Europe/Berlin', 1769000000).iso", "2026-01-21T13:53:20+01:00");
    same("clock.date('UTC', 0).iso, clock.date('UTC', 951782400).iso", "1970-01-01T00:00:00+00:00 2000-02-29T00:00:00+00:00");
    same("clock.date('America/New_York', 1760000000).iso", "2025-10-09T04:53:20-04:00");
    same("clock.date('Asia/Kolkata', 1760000000).iso", "2025-10-09T14:23:20+05:30");
    same("clock.date('Europe/Berlin', 3000000000).iso, clock.date('Europe/Berlin', 2990000000).iso",
         "2065-01-24T06:20:00+01:00 2064-09-30T13:33:20+02:00");
    same("clock.date('Australia/Sydney', 4000000000).iso", "2096-10-02T17:06:40+10:00");
    same("clock.date('UTC', 1760000000).weekday, clock.date('UTC', 1760000000).wday, clock.date('UTC', 1760000000).yday", "thu 4 282");
    same("clock.now()", "1760000000.0");
    same("clock.between('08:00', '09:00'), clock.between('10:00', '11:00', 'Europe/Berlin'), clock.between('22:00', '08:54')",
         "true true true");
    same("clock.between('09:00', '17:00')", "false");
    raises("clock.date('Europe/Nowhere')", "this machine has no time zone");
    raises("clock.date('../../etc/passwd')", "this machine has no time zone");
    raises("clock.between('8', '9')", "not a time of day");
}

TEST(small_libraries)
{
    same("base64.encode('hello'), base64.decode('aGVsbG8='), base64.decode('aGVsbG8'), base64.decode('-_8='):byte(1, 2)",
         "aGVsbG8= hello hello 251 255");
    same("base64.encode(''), base64.encode('a'), base64.encode('ab'), base64.decode('!'), base64.decode('a')", " YQ== YWI= nil nil");
    same("#hash.sha256('x'), hash.sha256('x') == hash.sha256('x'), #hash.hmac_sha256('k', 'x')", "64 true 64");
    same("hash.share('a') < 1 and hash.share('a') >= 0 and hash.share('a') == hash.share('a')", "true");
    same("random() < 1, random(5) <= 5, random(3, 3), math.random(2, 2)", "true true 3 2");
    same("shared.get('a'), shared.set('a', { x = { 1, 'y' } }, { ttl = 5 }), shared.get('a').x[2]", "nil true y");
    same("shared.incr('n'), shared.incr('n', 5), shared.get('n'), shared.incr('n', -6, { ttl = 60 })", "1 6 6 0");
    same("shared.set('t', 'text'), shared.get('t'), shared.set('t', nil), shared.get('t')", "true text true nil");
    raises("shared.get(('k'):rep(129))", "a key has 1 to 128 bytes");
    raises("shared.set('k', ('k'):rep(1001))", "at most 1000 are kept");
    raises("shared.set('k', 1, { tll = 5 })", "it has no field \"tll\"");
    raises("secret('nobody')", "none with the name \"nobody\"");
    raises("note('a b', 1)", "a note's key");
    raises("note('a', {})", "a note's value");
    expect("tag('team', 'blue') note('r', 'x') log('hello')", "x");
    same("tostring({}), tostring(tostring)", "table function");
}

TEST(tables_and_strings)
{
    same("table.concat({ 1, 2, 'x' }, '-'), table.concat({}), table.concat({ 1, 2, 3 }, ',', 2, 3)", "1-2-x  2,3");
    same("(function() local t = { 1, 2, 3 } table.insert(t, 4) table.insert(t, 1, 0) table.remove(t, 2) return table.concat(t, ' '), "
         "table.remove(t), table.remove({}) end)()", "0 2 3 4 4 nil");
    same("table.unpack({ 1, 2, 3 }, 2)", "2 3");
    same("table.concat(table.move({ 1, 2, 3 }, 2, 3, 1), ' '), table.concat(table.move({ 1, 2, 3 }, 1, 3, 3), ' ')", "2 3 3 1 2 1 2 3");
    same("table.pack(1, nil, 3).n", "3");
    same("(function() local t = {} for i = 1, 100 do t[i] = (i * 37) % 101 end table.sort(t) for i = 2, 100 do if t[i - 1] > t[i] then "
         "return 'bad' end end table.sort(t, function(a, b) return a > b end) return t[1], t[100] end)()", "100 1");
    same("('x'):rep(3, ','), ('ab'):rep(0), ('ab'):rep(-1), (''):rep(5), ('abc'):rep(1)", "x,x,x    abc");
    same("('%5.2f|%s|%q|%d'):format(3.14159, 'a', 'b\\n', 7)", " 3.14|a|\"b\\\n\"|7");
    same("'10' + 5, '3' * '4', 10 - '1', -'2', '7' // 2, '0x10' + 0", "15 12 9 -2 3 16");
    same("string.format('%s %s', {}, 2)", "table 2");
}

/* What Lua's own functions say, ours must say: the same program runs in both. */
static const char differential[] = "tests/policies/patterns.lua";

TEST(patterns_as_lua_has_them)
{
    char ours[200] = "", theirs[200] = "", program[8000] = "";
    FILE *f = fopen(differential, "r");
    if (!f)
        SKIP("tests/policies/patterns.lua is not there: run from the project's root");
    size_t n = fread(program, 1, sizeof(program) - 1, f);
    fclose(f);
    program[n] = 0;
    FILE *lua = popen("lua5.4 tests/policies/patterns.lua --print 2>&1", "r");
    if (!lua || !fgets(theirs, sizeof(theirs), lua) || !strstr(theirs, "cases"))
        SKIP("lua5.4 is not installed");
    pclose(lua);
    static const struct stage_options slow = { .cpu_ms = 1000 };
    fake_start();
    fake.is_real_time = true;
    CHECK(stage_open(&s, program, &slow));
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    snprintf(ours, sizeof(ours), "%s\n", fake_note(c, "r"));
    fake_call_end(c);
    stage_close(&s);
    CHECK_STR(ours, theirs);
}

TEST(long_searches_pause)
{
    fake_start();
    fake.is_real_time = true;
    static const struct stage_options slow = { .cpu_ms = 1000 };
    CHECK(stage_open(&s, BODY("local t = ('abcdefgh 12 '):rep(90000) .. '123-45-6789'\n"
                              "local a = t:find('%d%d%d%-%d%d%-%d%d%d%d')\n"
                              "local b = re.find(t, '\\\\d{3}-\\\\d{2}-\\\\d{4}')\n"
                              "local _, n = t:gsub('%d%d', '')\n"
                              "local m = 0; for _ in t:gmatch('%d+') do m = m + 1 end\n"
                              "note('r', a .. ' ' .. b .. ' ' .. n .. ' ' .. m)"), &slow));
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "1080001 1080001 90004 90003");
    CHECK(fake.n_deferred > 5);
    CHECK(fake.longest_us < 50000);
    fake_call_end(c);
    stage_close(&s);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static const char using_files[] = BODY("local m = require('mod')\n"
                                       "local d = data('teams.yaml')\n"
                                       "note('r', m.name .. ' ' .. d.legal.region .. ' ' .. #d.list .. ' ' .. tostring(d.on) .. ' '\n"
                                       ".. d.n * 2 .. ' ' .. d.s .. ' ' .. data('x.json').k)");

static void write_files(void)
{
    stage_write(&s, "mod.lua", "local M = { name = 'mod' } return M");
    stage_write(&s, "teams.yaml", "legal:\n  region: eu\nlist: [a, 'b', \"c\"]\non: true\nn: 21\ns: '21'\nnone: null\n");
    stage_write(&s, "x.json", "{\"k\":\"json\"}");
}

TEST(require_and_data)
{
    fake_start();
    CHECK(stage_open(&s, using_files, NULL));
    write_files();
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "mod eu 3 true 42 21 json");
    fake_call_end(c);
    stage_write(&s, "x.json", "{\"k\":\"changed\"}");
    fake.now_ms += 500;
    c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "mod eu 3 true 42 21 json");
    fake_call_end(c);
    fake.now_ms += 1000;
    c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "mod eu 3 true 42 21 changed");
    fake_call_end(c);
    stage_write(&s, "x.json", "{broken");
    fake.now_ms += 2000;
    c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_NEXT);
    CHECK_STR(fake_note(c, "r"), "mod eu 3 true 42 21 changed");
    CHECK(strstr(fake.log, "what was read before stays in use"));
    fake_call_end(c);
    stage_close(&s);
}

static void file_error(const char *lua, const char *yaml, const char *want)
{
    fake_start();
    CHECK(stage_open(&s, lua, NULL));
    stage_write(&s, "a.lua", "return require('b')");
    stage_write(&s, "b.lua", "return require('a')");
    stage_write(&s, "x.yaml", yaml);
    struct weir_call *c = fake_call(s.ops->request_size);
    CHECK_INT(stage_request(&s, c), WEIR_FAIL);
    bool has = strstr(fake.log, want) != NULL;
    if (!has)
        printf("  log %s  want %s\n", fake.log, want);
    CHECK(has);
    fake_call_end(c);
    stage_close(&s);
}

TEST(files_that_are_wrong)
{
    file_error(BODY("require('nothing')"), "", "there is no nothing.lua in the policy's folder nor in the library");
    file_error(BODY("require('a')"), "", "requires itself");
    file_error(BODY("data('none.yaml')"), "", "data: none.yaml: No such file");
    file_error(BODY("data('x.yaml')"), "a: [1, 2", "yaml: line");
    file_error(BODY("data('x.yaml')"), "a: &x [1]\nb: *x\n", "aliases are not supported");
    file_error(BODY("data('x.yaml')"), "? [1]\n: 2\n", "a key must be a text or a number");
}
