"""A version of a policy in shadow: it decides without effect, what differs is counted and logged, and nothing it does hurts a request."""
from harness import Upstream, Weir, config, openai_answer

LIVE = """return { name = "live", on_request = function(req)
  if req.headers["x-deny"] then return deny{ status = 403, code = "no" } end
  if req.headers["x-read"] then return answer(tostring(shared.get("n"))) end
end }
"""
# What has an effect in a live policy, and then another order of targets.
OTHER = """return { name = "other", on_request = function(req)
  shared.set("n", 1) shared.incr("n") note("k", "SHADOWED") tag("k", "SHADOWED")
  req.max_tokens = 7 req:prepend_system("SHADOWED") req.vars.x = 1 random()
  return { "b/m", "a/m" }
end }
"""


def two(a, b, folder, **more):
    c = config(a)
    c["providers"] = {n: {"dialect": "openai", "base_url": u.url + "/v1", "key": "k"} for n, u in (("a", a), ("b", b))}
    c["models"] = {"m": {"targets": ["a/m", "b/m"]}}
    policy = dict({"file": folder.path("live.lua"), "shadow": folder.path("other.lua")}, **more)
    c["routes"][0]["pipeline"] = [{"log": {}}, {"policy": policy}]
    return c


def counted(weir, outcome):
    return weir.metric('weir_policy_shadow_total{policy="live",outcome="%s"}' % outcome) or 0


def with_shadow(other, check, live=LIVE, **more):
    with Upstream(openai_answer("from a")) as a, Upstream(openai_answer("from b")) as b:
        with Weir(config(a)) as weir:
            weir.write("live.lua", live)
            weir.write("other.lua", other)
            weir.configure(two(a, b, weir, **more))
            weir.reload()
            check(weir, a)


def test_what_differs_is_counted_and_logged_and_has_no_effect():
    def check(weir, a):
        assert "from a" in weir.chat().text
        weir.wait_log("its shadow differs on .*live: a/m, b/m; shadow: b/m, a/m")
        assert "nil" in weir.chat(headers={"x-read": "1"}).text
        assert counted(weir, "different") == 2 and counted(weir, "same") == 0 and counted(weir, "failed") == 0
        assert b"SHADOWED" not in a.requests[-1].body and b'max_tokens":7' not in a.requests[-1].body.replace(b" ", b"")
        assert "a/m" in weir.stdout() and "SHADOWED" not in weir.stdout() + weir.log()
    with_shadow(OTHER, check)


def test_the_same_rules_decide_the_same():
    def check(weir, _):
        assert "from a" in weir.chat().text
        assert weir.chat(headers={"x-deny": "1"}).status == 403
        assert counted(weir, "same") == 2 and counted(weir, "different") == 0
    with_shadow(LIVE, check)


def test_another_code_of_a_denial_is_a_difference():
    def check(weir, _):
        assert weir.chat(headers={"x-deny": "1"}).status == 403
        assert counted(weir, "different") == 1
    with_shadow(LIVE.replace('"no"', '"never"'), check)


def test_errors_and_waits_and_loops_hurt_nobody():
    for body, outcome in (("error('oh')", "failed"), ("return 7", "failed"), ("deny{}", "failed"),
                          ("while true do end", "undecided"), ("pcall(sleep, 1) return { 'b/m' }", "undecided"),
                          ("pcall(http.get, { url = 'http://127.0.0.1:1/' })", "undecided")):
        def check(weir, _, outcome=outcome, body=body):
            for i in range(3):
                assert "from a" in weir.chat().text, body
            assert counted(weir, outcome) == 3, (body, outcome)
            assert counted(weir, "same") == counted(weir, "different") == 0
        with_shadow("return { on_request = function(req) %s end }" % body, check, hosts=["127.0.0.1:1"])


def test_a_live_version_that_waits_or_says_nothing_is_compared_at_its_end():
    for live in ("sleep(0.01) return { 'b/m' }", "return { 'b/m' }"):
        def check(weir, _):
            assert "from b" in weir.chat().text
            assert counted(weir, "same") == 1 and counted(weir, "different") == 0
        with_shadow("return { on_request = function(req) return { 'b/m' } end }", check,
                    live='return { name = "live", on_request = function(req) %s end }' % live)

    def none(weir, _):
        assert "from a" in weir.chat().text
        assert counted(weir, "different") == 1
    with_shadow("return { on_request = function(req) return { 'b/m' } end }", none, live='return { name = "live" }')


def test_the_live_version_counts_as_if_it_were_alone():
    live = """return { name = "live", on_request = function(req) return answer("n=" .. shared.incr("n")) end }"""
    def check(weir, _):
        for i in range(1, 4):
            assert f"n={i}" in weir.chat().text
        assert counted(weir, "same") == 3
    with_shadow(live, check, live=live)


def test_a_shadow_that_cannot_be_loaded_is_refused_and_the_old_configuration_stays():
    with Upstream(openai_answer("from a")) as a, Upstream(openai_answer("from b")) as b:
        with Weir(config(a)) as weir:
            weir.write("live.lua", LIVE)
            weir.write("other.lua", "return {")
            weir.configure(two(a, b, weir))
            is_taken, why = weir.reload()
            assert not is_taken and "other.lua" in why + weir.log(), why
            assert "from a" in weir.chat().text
