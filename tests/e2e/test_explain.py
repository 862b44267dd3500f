"""`weir explain`: what would become of a request, with no provider asked, or really; of one that is served; of one that is in the log."""
import hashlib
import json
import os
import re
import subprocess

from harness import ROOT, Upstream, Weir, config, openai_answer, wait_until
from test_commands import Folder, weir

CONFIG = """
listen: [127.0.0.1:0]
providers:
  a: { dialect: openai, base_url: %s/v1, auth: none, region: eu }
  b: { dialect: anthropic, base_url: %s, auth: none }
  c: { dialect: openai, base_url: http://127.0.0.1:9/v1, key: env:WEIR_TEST_UNSET }
models:
  demo: { targets: [c/gone, a/gpt-4o, b/claude-sonnet-4], price: { input: 2, output: 8 } }
entry: [log: { file: requests.log }]
routes:
  - match: { path: /v1/* }
    open: true
    pipeline: [policy: { file: rule.lua }]
"""
RULE = """
return {
  name = "rule",
  on_request = function(req)
    note("seen", req.model)
    if req.headers["x-team"] == "blue" then return deny{ status = 403, code = "not_here", message = "not for blue" } end
  end,
}
"""
BODY = {"model": "demo", "max_tokens": 100, "seed": 3, "messages": [{"role": "user", "content": "hello there"}]}
CHAT = "/v1/chat/completions"


def folder(upstream="http://127.0.0.1:9"):
    f = Folder(CONFIG % (upstream, upstream))
    f.write("rule.lua", RULE)
    f.write("q.json", json.dumps(BODY))
    return f


def explain(f, *arguments, code=0):
    return weir("explain", "--json", *arguments, cwd=f.path, code=code)


def test_whole_way_through_the_candidates_without_a_call():
    with Upstream(openai_answer("never")) as up:
        f = folder(up.url)
        x = json.loads(explain(f, "--path", CHAT, "q.json"))
        assert not up.requests, up.requests
    assert [c["target"] for c in x["candidates"]] == ["a/gpt-4o", "b/claude-sonnet-4"]
    assert x["skipped"] == ["c/gone: WEIR_TEST_UNSET is not set"]
    first = x["candidates"][0]
    assert 4 <= first["input_tokens"] <= 20 and abs(first["input_usd"] - first["input_tokens"] * 2e-6) < 1e-12
    assert abs(first["most_usd"] - first["input_usd"] - 100 * 8e-6) < 1e-12
    assert [c["target"] for c in x["calls"]] == ["a/gpt-4o", "b/claude-sonnet-4"]
    assert x["calls"][1]["url"].endswith("/v1/messages")
    attempts = x["record"]["attempts"]
    assert attempts[1]["reason"] == "a/gpt-4o failed: connect" and "losses" not in attempts[0]
    assert [(loss["feature"], loss["what"]) for loss in attempts[1]["losses"]] == [("seed", "dropped")]
    assert {"stage": "policy", "seen": "demo"} in x["record"]["decisions"]
    assert [s["stage"] for s in x["stages"]] == ["log", "policy"]
    assert x["answer"]["status"] == 502 and "All 2 attempts failed" in x["answer"]["body"]["error"]["message"]
    assert not os.path.exists(os.path.join(f.path, "requests.log"))


def test_text_for_people():
    f = folder()
    text = weir("explain", "--path", CHAT, "q.json", cwd=f.path)
    for line in ("model       demo", "  policy        seen: demo", "  core          skipped: c/gone: WEIR_TEST_UNSET is not set",
                 "  1. a/gpt-4o (openai, eu, context 128000, $2 in, $8 out a million)", "     lost: seed, dropped",
                 "  2. b/claude-sonnet-4: a/gpt-4o failed: connect"):
        assert f"{line}\n" in text, (line, text)
    assert re.search(r"estimate: \d+ tokens of input, \$0\.0000\d\d; at most \$0\.0008\d\d with 100 of output\n", text)


def test_what_a_rule_changes_is_told():
    f = folder()
    f.write("rule.lua", """return { name = "rule", on_request = function(req)
      req.max_tokens = 7
      req:redact("hello", "***")
      req:prepend_system("Be brief.")
      return { "b/claude-sonnet-4" }
    end }""")
    x = json.loads(explain(f, "--path", CHAT, "q.json"))
    told = [d for d in x["record"]["decisions"] if d["stage"] == "policy"]
    assert told == [{"stage": "policy", "sets": "max_tokens to 7"}, {"stage": "policy", "changes": "a text: of 11 bytes it makes 9"},
                    {"stage": "policy", "changes": "the system prompt: 9 bytes before it"}, {"stage": "policy", "chooses": "b/claude-sonnet-4"}], told
    assert [c["target"] for c in x["calls"]] == ["b/claude-sonnet-4"]


def test_example_of_the_readme():
    with open(os.path.join(ROOT, "README.md")) as readme:
        example = re.search(r"### Why did it go there\?.*?```\n(decisions\n.*?)```", readme.read(), re.S).group(1)
    text = weir("explain", "--path", CHAT, "q.json", cwd=folder().path)
    shown = {numberless(line) for line in text.splitlines()}
    missing = [line for line in example.splitlines() if line not in ("", "…") and numberless(line) not in shown]
    assert not missing, (missing, text)


def numberless(line):
    """Estimates and sizes may change a little: what is a number of one to three digits, or a price, is not compared."""
    return re.sub(r"\$0\.\d+|(?<= )\d{1,3}(?= (tokens|bytes|of))", "#", line)


def test_how_providers_fail():
    f = folder()
    for how, status, reason in (("429", 429, "a/gpt-4o failed: rate_limited"), ("503", 503, "a/gpt-4o failed: overloaded"),
                                ("silence", 504, "hedge: a/gpt-4o said nothing for 8000 ms")):
        x = json.loads(explain(f, "--fail", how, "--path", CHAT, "q.json"))
        assert x["answer"]["status"] == status, (how, x["answer"])
        assert x["record"]["attempts"][1]["reason"] == reason, (how, x["record"]["attempts"])
    x = json.loads(explain(f, "--fail", "400", "--path", CHAT, "q.json"))
    assert [c["target"] for c in x["calls"]] == ["a/gpt-4o"]


def test_flags_of_curl_and_a_denial():
    f = folder()
    x = json.loads(explain(f, "--", "curl", "-sS", f"http://gateway:8080{CHAT}", "-H", "X-Team: blue", "-d", json.dumps(BODY)))
    assert x["answer"]["status"] == 403 and "not for blue" in x["answer"]["body"]["error"]["message"], x["answer"]
    assert x["record"]["error"]["code"] == "not_here" and x["calls"] == [] and x["candidates"] == []
    x = json.loads(explain(f, "--", f"http://gateway{CHAT}", "-d", "@q.json"))
    assert len(x["calls"]) == 2


def test_mistakes_are_told():
    f = folder()
    assert "--path" in explain(f, "q.json", code=1)
    assert "can't be opened" in explain(f, "--path", CHAT, "none.json", code=1)
    assert "--upload-file is no flag" in explain(f, "--", "http://x/v1/y", "--upload-file", "z", code=1)
    assert "connect, silence" in explain(f, "--fail", "200", "--path", CHAT, "q.json", code=1)
    f.write("weir.yaml", "listn: []\n")
    assert "weir.yaml:1" in explain(f, "--path", CHAT, "q.json", code=1)


def test_a_past_request():
    f = folder()
    record = {"id": "req_1", "method": "POST", "path": CHAT, "bytes_in": 7, "model": "demo", "status": 200, "target": "a/gpt-4o",
              "attempts": [{"target": "b/x", "error": {"class": "server", "code": "bad"}}, {"target": "a/gpt-4o", "reason": "b/x failed: server"}],
              "decisions": [{"stage": "policy", "why": "cheap"}], "cost_usd": 0.00125}
    f.write("requests.log", "no json\n" + json.dumps({"id": "req_11"}) + "\n" + json.dumps(record) + "\n")
    text = weir("explain", "--log", "requests.log", "req_1", cwd=f.path)
    for line in ("  policy        why: cheap", "     failed: server, bad", "  2. a/gpt-4o: b/x failed: server",
                 "  status 200 from a/gpt-4o, $0.001250"):
        assert f"{line}\n" in text, (line, text)
    assert json.loads(explain(f, "--log", "requests.log", "req_1"))["record"] == record
    assert "has no request req_2" in explain(f, "--log", "requests.log", "req_2", code=1)


def test_send_asks_the_providers():
    with Upstream(openai_answer("told")) as up:
        f = folder(up.url)
        x = json.loads(explain(f, "--send", "--path", CHAT, "q.json"))
        assert len(up.requests) == 1 and up.requests[0].path == CHAT, up.requests
        assert x["answer"]["status"] == 200 and x["answer"]["body"]["choices"][0]["message"]["content"] == "told", x["answer"]
        assert x["record"]["attempts"][0]["status"] == 200 and x["record"]["tokens"]["output"] > 0, x["record"]
        assert [c["target"] for c in x["candidates"]] == ["a/gpt-4o", "b/claude-sonnet-4"] and "calls" not in x
        f.write("q.json", json.dumps(dict(BODY, stream=True)))
        text = weir("explain", "--send", "--path", CHAT, "q.json", cwd=f.path)
        for pattern in (r"     answered, status 200, first token after \d+ ms, \d+ ms in all, \d+ tokens in, \d+ out, \$0\.\d+\n",
                        r"the client got\n  status 200 from a/gpt-4o"):
            assert re.search(pattern, text), (pattern, text)
        assert len(open(os.path.join(f.path, "requests.log")).read().splitlines()) == 2, "sent requests are logged as any"
    f = folder()
    text = weir("explain", "--send", "--path", CHAT, "q.json", cwd=f.path)
    assert re.search(r"     failed: connect, \w+, \d+ ms in all\n", text) and "status 502" in text, text
    assert "--send asks" in explain(f, "--send", "--fail", "503", "--path", CHAT, "q.json", code=1)
    f.write("rule.lua", "return {")
    assert "rule.lua" in weir("explain", "--send", "--path", CHAT, "q.json", cwd=f.path, code=1)


def live(up, rule=RULE, **more):
    keys = [{"name": name, "hash": "sha256:" + hashlib.sha256(name.encode()).hexdigest(), **rights}
            for name, rights in (("seer", {"may_explain": True}), ("blind", {}))]
    routes = [{"match": {"path": "/v1/*"}, "pipeline": [{"policy": {"file": "rule.lua"}}]}]
    c = config(up, keys=keys, routes=routes, entry=[{"log": {"file": "requests.log"}}, "auth"], **more)
    weir_ = Weir(c)
    weir_.write("rule.lua", rule)
    return weir_


def bearer(name, **more):
    return {"authorization": "Bearer " + name, "x-weir-explain": "1", **more}


def test_a_request_that_is_served():
    with Upstream(openai_answer("told")) as up, live(up) as w:
        for stream in (False, True):
            answer = w.chat(headers=bearer("seer"), stream=stream, max_tokens=50)
            assert answer.status == 200, answer
            x = json.loads(answer.headers["x-weir-explain"])
            assert x["id"] == answer.headers["x-weir-request-id"] and [a["target"] for a in x["attempts"]] == ["up/m"]
            assert x["candidates"][0]["target"] == "up/m" and x["candidates"][0]["input_tokens"] > 0, x
            assert {"stage": "policy", "seen": "m"} in x["decisions"]
        assert "x-weir-explain" not in up.requests[0].headers
        for headers in (bearer("blind"), {"authorization": "Bearer seer"}, bearer("seer", **{"x-weir-explain": "0"})):
            assert "x-weir-explain" not in w.chat(headers=headers).headers
        denied = w.chat(headers=bearer("seer", **{"x-team": "blue"}))
        x = json.loads(denied.headers["x-weir-explain"])
        assert denied.status == 403 and {"stage": "policy", "seen": "m"} in x["decisions"] and not x["candidates"], x
        refused = w.chat(headers=bearer("nobody"))
        assert refused.status == 401 and "x-weir-explain" not in refused.headers
        wait_until(lambda: len(open(w.path("requests.log")).read().splitlines()) == 7, "records")
        records = [json.loads(line) for line in open(w.path("requests.log"))]
        assert ["explanation" in r for r in records] == [True, True, False, False, False, True, False]
        assert [s["stage"] for s in records[0]["explanation"]["stages"]] == ["log", "auth", "policy"]
        text = subprocess.run([w.program, "explain", records[0]["id"]], cwd=w.folder, capture_output=True, text=True)
        assert text.returncode == 0 and "candidates, in the order" in text.stdout and "     answered, status 200" in text.stdout, text
        text = subprocess.run([w.program, "explain", "req_none"], cwd=w.folder, capture_output=True, text=True)
        assert text.returncode == 1 and "requests.log has no request req_none" in text.stderr, text


def test_a_long_explanation_is_cut_to_fit_a_header():
    targets = [f"up/model-{i}-{'x' * 60}" for i in range(60)]
    rule = RULE.replace('note("seen", req.model)', """note("word", "\\u{e9}\\u{1f600}")
    for i = 1, req.headers["x-long"] and 9 or 0 do note("long" .. i, ("y"):rep(400)) end""")
    with Upstream(openai_answer("told")) as up, live(up, rule, models={"m": {"targets": targets}}) as w:
        x = json.loads(w.chat(headers=bearer("seer")).headers["x-weir-explain"])
        assert len(x["candidates"]) + x["more_candidates"] == 60 and len(x["candidates"]) > 3, x
        assert x["decisions"] == [{"stage": "policy", "word": "é\U0001f600"}]
        x = json.loads(w.chat(headers=bearer("seer", **{"x-long": "1"})).headers["x-weir-explain"])
        assert x["is_cut"] is True and "decisions" not in x and x["attempts"][0]["target"] == targets[0], x
