"""Policies that weir ships, in a gateway that runs: the switch for a bad day, callers that stay where they are, breakers that rules see."""
import os

from harness import ROOT, Upstream, Weir, config, openai_answer

STICK = {"order": [{"use": "sticky", "key": "x-session"}]}
HEALTHY = """return { on_request = function(req)
  local up = req.candidates:where{ healthy = true }
  if req.headers["x-count"] then return answer(up[1].name .. " of " .. #up) end
end }
"""


def shipped(name):
    with open(os.path.join(ROOT, "policies", name), encoding="utf-8") as f:
        return f.read()


def several(upstreams, policy=None, **more):
    """Providers a, b, … serve model m, in this order."""
    c = config(upstreams[0], **more)
    names = "abcdef"[:len(upstreams)]
    c["providers"] = {n: {"dialect": "openai", "base_url": u.url + "/v1", "key": "k", "breaker": {"failures": 2, "open_for": "60s"}}
                      for n, u in zip(names, upstreams)}
    c["models"] = {"m": {"targets": [n + "/m" for n in names]}}
    if policy:
        c["routes"][0]["pipeline"] = [{"policy": policy}]
    return c


def test_the_incident_switch_is_live_after_a_reload():
    with Upstream(openai_answer("from a")) as a, Upstream(openai_answer("from b")) as b:
        with Weir(several([a, b])) as weir:
            weir.write("incident.lua", shipped("incident.lua"))
            weir.write("incident.yaml", shipped("incident.yaml"))
            weir.configure(several([a, b], {"file": weir.path("incident.lua")}))
            weir.reload()
            assert "from a" in weir.chat().text
            weir.write("incident.yaml", "avoid: [a]\n")
            assert "from a" in weir.chat().text  # an edit alone changes nothing
            weir.reload()
            assert "from b" in weir.chat().text
            weir.write("incident.yaml", "closed: Back at 15:00.\n")
            weir.reload()
            answer = weir.chat()
            assert answer.status == 503 and "Back at 15:00." in answer.text, answer
            weir.write("incident.yaml", "avoid: []\n")
            weir.reload()
            assert "from a" in weir.chat().text


def test_sessions_stay_and_only_those_of_a_dead_target_move():
    is_down = [False]

    def second(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            if is_down[0]:
                conn.respond(503, {"error": {"message": "down"}})
            else:
                conn.respond(200, {"id": "x", "object": "chat.completion", "model": "m", "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "from b"}, "finish_reason": "stop"}]})
    with Upstream(openai_answer("from a")) as a, Upstream(second) as b, Upstream(openai_answer("from c")) as c:
        policy = {"file": os.path.join(ROOT, "policies", "strategies.lua"), "with": STICK}
        with Weir(several([a, b, c], policy)) as weir:
            def who():
                return [weir.chat(headers={"x-session": f"s{i}"}).json["choices"][0]["message"]["content"] for i in range(24)]
            before = who()
            assert set(before) == {"from a", "from b", "from c"} and who() == before
            is_down[0] = True
            after = who()
            assert "from b" not in after
            assert all(x == y for x, y in zip(before, after) if x != "from b"), (before, after)


def test_rules_that_prefer_leave_the_last_word_to_weir_when_all_are_down():
    def failing(conn):
        while conn.read_request() is not None:
            conn.respond(503, {"error": {"message": "down"}})
    with Upstream(failing) as a, Upstream(failing) as b:
        policy = {"file": os.path.join(ROOT, "policies", "strategies.lua")}
        with Weir(several([a, b], policy)) as weir:
            for _ in range(6):
                answer = weir.chat()
                assert answer.status == 503 and "polic" not in answer.text, answer


def test_where_healthy_leaves_out_what_the_breaker_keeps_away():
    def failing(conn):
        while conn.read_request() is not None:
            conn.respond(503, {"error": {"message": "down"}})
    with Upstream(failing) as a, Upstream(openai_answer("from b")) as b:
        with Weir(several([a, b])) as weir:
            weir.write("healthy.lua", HEALTHY)
            weir.configure(several([a, b], {"file": weir.path("healthy.lua")}))
            weir.reload()
            assert "a/m of 2" in weir.chat(headers={"x-count": "1"}).text
            for _ in range(6):
                assert "from b" in weir.chat().text
            assert "b/m of 1" in weir.chat(headers={"x-count": "1"}).text
