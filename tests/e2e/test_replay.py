"""`weir record` and `weir replay`: what rules read and decided is written down without secrets, and another version decides it again."""
import json
import os
import re
import signal
import stat
import subprocess
import time

from harness import DEADLINE, ROOT, Upstream, Weir, config, openai_answer

LIVE = """return { name = "live", on_request = function(req, cfg)
  if req.headers["x-deny"] then return deny{ status = 403, code = "no" } end
  local n = shared.get("n") or 0
  shared.set("n", n + 1)
  if req.headers["x-dice"] then
    local list = { "a/m", "b/m" }
    return { list[random(2)] }
  end
  if req.tokens > cfg.large then return { "b/m", "a/m" } end
  if n > 100 or clock.now() < 0 then return { "b/m" } end
end }
"""
SECRETS = ("upstream-secret-1", "client-secret-2", "cookie-secret-3", "custom-secret-4", "prompt-secret-5")


def two(a, b, weir, **more):
    c = config(a)
    c["providers"] = {n: {"dialect": "openai", "base_url": u.url + "/v1", "key": SECRETS[0]} for n, u in (("a", a), ("b", b))}
    c["models"] = {"m": {"targets": ["a/m", "b/m"]}, "a/m": {"targets": ["a/m"], "price": {"input": 2, "output": 4}},
                   "b/m": {"targets": ["b/m"], "price": {"input": 1, "output": 2}}}
    c["routes"][0]["pipeline"] = [{"policy": dict({"file": weir.path("live.lua"), "with": {"large": 1000}}, **more)}]
    return c


def command(weir, *arguments, codes=(0,), env=None):
    done = subprocess.run([weir.program, *arguments], capture_output=True, text=True, timeout=DEADLINE * 4, env={**os.environ, **(env or {})})
    assert done.returncode in codes, (done.returncode, done.stdout, done.stderr)
    return done


class Recording:
    """A recording while the block runs; `path` is the file."""

    def __init__(self, weir, *options):
        self.weir, self.path, self.options = weir, weir.path("recording.jsonl"), options

    def __enter__(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.process = subprocess.Popen([self.weir.program, "record", "--admin", self.weir.path("admin.sock"), *self.options, self.path],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = self.process.stderr.readline()
        assert self.said.startswith("recording"), self.said + self.process.stderr.read()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.out, self.err = self.process.communicate(timeout=DEADLINE)

    def lines(self):
        with open(self.path) as f:
            return [json.loads(line) for line in f]


def with_live(check, live=LIVE, **more):
    with Upstream(openai_answer("from a")) as a, Upstream(openai_answer("from b")) as b:
        with Weir(config(a)) as weir:
            weir.write("live.lua", live)
            weir.configure(two(a, b, weir, **more))
            weir.reload()
            check(weir)


def replay(weir, text, path, *options, codes=(0,), name="new.lua"):
    weir.write(name, text)
    return command(weir, "replay", "--policy", weir.path(name), *options, path, codes=codes)


def settle(weir, n):
    """Until n requests are in the file: an answer may reach its client before its line is written."""
    until = time.monotonic() + DEADLINE
    while json.loads(weir.admin("GET", "/record/state")[1])["requests"] < n and time.monotonic() < until:
        pass


def record_some(weir, *options):
    with Recording(weir, *options) as r:
        for headers in ({}, {"x-deny": "1"}, {"x-dice": "1"}, {"x-dice": "2"}, {"x-dice": "3"}, {"x-other": "v"}):
            weir.chat(headers={"authorization": "Bearer " + SECRETS[1], "cookie": "c=" + SECRETS[2], "x-my-token": SECRETS[3], **headers})
        settle(weir, 6)
    assert r.process.returncode == 0 and r.out.startswith("6 requests"), (r.out, r.err)
    return r


def test_the_same_rules_decide_the_same_and_again_the_same_bytes():
    def check(weir):
        r = record_some(weir)
        assert stat.S_IMODE(os.stat(r.path).st_mode) == 0o600
        first = replay(weir, LIVE, r.path)
        assert first.stdout.startswith("6 requests: 6 the same, 0 changed, 0 undecidable\n"), first.stdout
        assert "denied: 1, then 1" in first.stdout
        assert replay(weir, LIVE, r.path).stdout == first.stdout
        assert replay(weir, LIVE, r.path, "--json").stdout == replay(weir, LIVE, r.path, "--json").stdout
    with_live(check)


def test_the_commands_of_the_readme():
    with open(os.path.join(ROOT, "README.md")) as f:
        section = f.read().split("## Rules on yesterday's traffic")[1].split("\n## ")[0]
    record, replayed = [line.split() for line in section.split("```sh\n")[1].split("```")[0].splitlines()]

    def check(weir):
        weir.write("new.lua", LIVE)
        process = subprocess.Popen([weir.program, *record[1:]], cwd=weir.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stderr.readline().startswith("recording for 600 s")
        weir.chat()
        settle(weir, 1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        done = subprocess.run([weir.program, *replayed[1:]], cwd=weir.folder, capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0 and done.stdout.startswith("1 requests: 1 the same"), (done.stdout, done.stderr)
        shape = re.compile(r"\d[\d.]*")
        told = [line.split(":")[0] for line in done.stdout.splitlines()]
        assert all(shape.sub("N", line) in shape.sub("N", section) for line in told if not line.startswith("  ")), told
    with_live(check)


def test_what_would_change_is_said_with_its_cost():
    def check(weir):
        r = record_some(weir)
        new = LIVE.replace('status = 403, code = "no"', 'status = 429, code = "wait"').replace("if req.tokens > cfg.large", "if true")
        said = json.loads(replay(weir, new, r.path, "--json", codes=(3,)).stdout)
        assert said["requests"] == 6 and said["same"] == 3 and len(said["changed"]) == 3 and not said["undecidable"]
        routes = [c for c in said["changed"] if "route" in c["after"]]
        assert all(c["before"]["route"] == ["a/m", "b/m"] and c["after"]["route"] == ["b/m", "a/m"] for c in routes) and len(routes) == 2
        denial = [c for c in said["changed"] if "denied" in c["after"]][0]
        assert denial["before"] == {"denied": "no", "status": 403} and denial["after"] == {"denied": "wait", "status": 429}
        assert 0 < said["cost"]["usd"][1] < said["cost"]["usd"][0] and said["cost"]["requests"] == 6
        text = replay(weir, new, r.path, codes=(3,)).stdout
        assert "a/m, b/m -> b/m, a/m" in text and "denied 403 no -> denied 429 wait" in text, text
    with_live(check)


def test_everything_that_a_rule_reads_is_as_it_was():
    live = """return { name = "live", on_request = function(req, cfg)
      local seen = { req.model, req.path, req.dialect, req.principal.name, req.principal.team or "-", tostring(req.stream), req.tokens,
                     clock.now(), random(1000000), random(), #req.messages, req.messages[1].role, req.max_tokens or 0,
                     req.temperature or 0, shared.incr("count", 3), tostring(req.headers["x-a"]), tostring(req.headers["x-b"]), cfg.word }
      for k, v in pairs(req.headers) do if k:sub(1, 2) == "x-" then seen[#seen + 1] = k .. v end end
      local k = req.complexity
      for _, name in ipairs{ "score", "words", "sentences", "questions", "numbers", "maths", "code", "conditions", "negations",
                             "quantities", "turns", "tools", "images" } do
        seen[#seen + 1] = k[name]
      end
      for _, c in ipairs(req.candidates) do
        for _, name in ipairs{ "name", "provider", "model", "region", "dialect", "price", "price_input", "price_output", "context",
                               "healthy", "unavailable", "breaker", "latency", "p95", "throughput", "error_rate", "answers", "load",
                               "left_requests", "left_tokens" } do
          seen[#seen + 1] = tostring(c[name])
        end
        seen[#seen + 1] = c.tags[1] or "-"
        seen[#seen + 1] = tostring(c.capabilities.tools)
      end
      for i, v in ipairs(seen) do seen[i] = tostring(v) end
      note("seen", table.concat(seen, " "))
      for i = 1, 3 do
        for _ = 1, 20000 do end
        seen[#seen + 1] = tostring(clock.now())
      end
      if req.headers["x-deny"] then return deny{ status = 403, code = hash.sha256(table.concat(seen, "|")) } end
    end }
    """

    def check(weir):
        with Recording(weir) as r:
            for i in range(8):
                headers = {"x-a": "1"} if i % 2 else {"x-a": "2", "x-b": "3"}
                weir.chat("How many words? %d and 7 of x^2" % i, headers=headers, max_tokens=50 + i, temperature=0.5)
                assert weir.chat("How many words? %d" % i, headers={"x-deny": "1", **headers}, max_tokens=50 + i).status == 403
            settle(weir, 16)
        codes = {line["rules"][0]["decision"].get("denied") for line in r.lines()[1:]}
        assert len(codes) == 9, codes
        done = replay(weir, live, r.path)
        assert done.stdout.startswith("16 requests: 16 the same"), done.stdout
        done = replay(weir, live.replace("random(1000000)", "random(1000001)").replace("random()", "0"), r.path, codes=(3,))
        assert "8 changed" in done.stdout, done.stdout
    with_live(check, live=live, **{"with": {"large": 1, "word": "w"}})


def test_another_dialect_with_tools_images_and_a_stream():
    live = """return { name = "live", on_request = function(req)
      local seen = { req.dialect, req.path, tostring(req.stream), req.tokens, #req.messages, tostring(req.needs.tools), tostring(req.needs.image_inline) }
      if req.headers["x-words"] then
        for _, m in ipairs(req.messages) do
          seen[#seen + 1] = m.role .. m.text
          for _, p in ipairs(m.parts) do seen[#seen + 1] = p.kind .. tostring(p.data_bytes) .. tostring(p.name) end
        end
        for _, t in ipairs(req.tools) do seen[#seen + 1] = t.name .. t.description .. t.schema end
        for _, t in ipairs(req:texts()) do seen[#seen + 1] = t.where .. t.text end
        seen[#seen + 1] = req:text()
      end
      for i, v in ipairs(seen) do seen[i] = tostring(v) end
      return deny{ status = 403, code = hash.sha256(table.concat(seen, "|")) }
    end }
    """
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    body = {"model": "m", "max_tokens": 9, "stream": True, "system": "Be brief.", "tools": [{"name": "look", "description": "it \\ looks", "input_schema": {"type": "object"}}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a \"quoted\" \u00e9 word"}, image]},
                         {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}]},
                         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "seen"}]}]}

    def check(weir):
        for options, headers, n in (((), {}, 0), ((), {"x-words": "1"}, 1), (("--contents",), {"x-words": "1"}, 0)):
            with Recording(weir, *options) as r:
                assert weir.post("/v1/messages", json.dumps(body), headers).status == 403
                settle(weir, 1)
            done = replay(weir, live, r.path, codes=(4,) if n else (0,))
            assert done.stdout.startswith("1 requests: %d the same, 0 changed, %d undecidable" % (1 - n, n)), done.stdout
    with_live(check, live=live)


def test_of_several_policies_one_is_named():
    first = 'return { name = "first", on_request = function(req) if req.headers["x-b"] then return { "b/m" } end end }\n'

    def check(weir):
        weir.write("first.lua", first)
        c = json.load(open(weir.config_path))
        c["routes"][0]["pipeline"].insert(0, {"policy": {"file": weir.path("first.lua")}})
        weir.configure(c)
        weir.reload()
        with Recording(weir) as r:
            weir.chat()
            weir.chat(headers={"x-b": "1"})
            settle(weir, 2)
        rules = r.lines()[2]["rules"]
        assert [len(rule["candidates"]) for rule in rules] == [2, 1]
        assert "2 undecidable" in replay(weir, LIVE, r.path, codes=(4,)).stdout
        assert "2 the same" in replay(weir, LIVE, r.path, "--instead-of", "live.lua").stdout
        assert "2 the same" in replay(weir, first, r.path, name="first.lua").stdout
        assert "2 changed" in replay(weir, 'return { on_request = function() return { "b/m", "a/m" } end }\n', r.path,
                                     "--instead-of", "first.lua", codes=(3,)).stdout.replace("1 the same, 1 changed", "2 changed")
    with_live(check)


def test_settings_that_may_be_secrets_are_withheld():
    reads = 'return { on_request = function(req, cfg) if cfg.api_key == "k" then return { "b/m" } end end }\n'

    def check(weir):
        with Recording(weir) as r:
            weir.chat()
            settle(weir, 1)
        assert SECRETS[0] not in open(r.path).read() and r.lines()[1]["rules"][0]["settings"] is None
        assert "1 undecidable" in replay(weir, reads, r.path, codes=(4,)).stdout
    with_live(check, live=reads, **{"with": {"api_key": SECRETS[0]}})

    def references(weir):
        with Recording(weir) as r:
            weir.chat()
            settle(weir, 1)
        assert r.lines()[1]["rules"][0]["settings"]["with"] == {"api_key": "env:WEIR_TEST_REPLAY"} and SECRETS[0] not in open(r.path).read()
        weir.write("new.lua", reads)
        command(weir, "replay", "--policy", weir.path("new.lua"), r.path, env={"WEIR_TEST_REPLAY": SECRETS[0]})
    os.environ["WEIR_TEST_REPLAY"] = SECRETS[0]
    try:
        with_live(references, live=reads, **{"with": {"api_key": "env:WEIR_TEST_REPLAY"}})
    finally:
        del os.environ["WEIR_TEST_REPLAY"]


def mutants(value, path=()):
    """The same with one member gone, or of another type."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(members):
        for other in (None, 7, "x", [], {}, [7], {"a": 7}):
            yield (dict(value, **{key: other}) if isinstance(value, dict) else value[:key] + [other] + value[key + 1:])
        for changed in mutants(inner):
            yield (dict(value, **{key: changed}) if isinstance(value, dict) else value[:key] + [changed] + value[key + 1:])


def test_no_recording_crashes_a_replay():
    def check(weir):
        r = record_some(weir)
        head, line = r.lines()[0], r.lines()[1]
        line["outcome"] = {"tokens": line["outcome"]["tokens"]}
        all_of_them = list(mutants(line))
        weir.write("new.lua", LIVE)
        for i in range(0, len(all_of_them), max(1, len(all_of_them) // 60)):
            weir.write("m.jsonl", json.dumps(head) + "\n" + json.dumps(all_of_them[i]) + "\n")
            done = command(weir, "replay", "--policy", weir.path("new.lua"), weir.path("m.jsonl"), codes=(0, 1, 3, 4))
            assert "crashed" not in done.stderr, (all_of_them[i], done.stderr)
    with_live(check)


def test_what_the_recording_lacks_is_undecidable_and_never_guessed():
    def check(weir):
        r = record_some(weir)
        for rule, lacks, n in (
                ('if req.headers["x-other"] == "v" then return { "b/m" } end', "the header x-other", 1),
                ('if req.headers["x-my-token"] then return { "b/m" } end', "the header x-my-token", 6),
                ('if shared.get("other") then return { "b/m" } end', 'shared "other"', 6),
                ('if req:text():find("x") then return { "b/m" } end', "the contents of the conversation", 6),
                ('if req.messages[1].text == "x" then return { "b/m" } end', "the contents of the conversation", 6),
                ('return { "c/m" }', "the target c/m", 6)):
            done = replay(weir, "return { on_request = function(req)\n %s\nend }\n" % rule, r.path, codes=(3, 4))
            assert done.stdout.count("lacks " + lacks) == n, (rule, done.stdout, done.stderr)
        done = replay(weir, 'return { on_request = function(req) if req.headers["x-nobody"] or #req.messages > 9 then return { "b/m" } end end }\n',
                      r.path, codes=(3,))
        assert " 0 undecidable" in done.stdout, done.stdout
        only = replay(weir, LIVE.replace('["x-dice"]', '["x-other"]').replace("random(2)", "1"), r.path, codes=(3, 4)).stdout
        assert "1 undecidable" in only
    with_live(check)


def test_no_secret_and_no_prompt_is_in_the_file_unless_contents_are_wanted():
    reads = 'return { name = "live", on_request = function(req) if req:text():find("prompt") then return { "b/m" } end end }\n'

    def check(weir):
        for options, has_prompt in (((), False), (("--contents",), True)):
            with Recording(weir, *options) as r:
                weir.chat("say " + SECRETS[4], headers={"authorization": "Bearer " + SECRETS[1], "cookie": SECRETS[2], "x-my-token": SECRETS[3]})
                settle(weir, 1)
            text = open(r.path).read()
            assert len(r.lines()) == 2 and not any(s in text for s in SECRETS[:4]), text
            assert (SECRETS[4] in text) == has_prompt
            replay(weir, reads, r.path, codes=(0,) if has_prompt else (4,))
    with_live(check, live=reads)


def test_answers_to_fetches_are_played_again():
    live = """return { name = "live", on_request = function(req, cfg)
      local r, err = http.post{ url = cfg.url, json = { model = req.model }, timeout = 5 }
      if r and r.json.choices then return { "b/m" } end
      note("err", err or r.status)
    end }
    """
    with Upstream(openai_answer("from a")) as a, Upstream(openai_answer("from b")) as b, Upstream(openai_answer("label")) as c:
        with Weir(config(a)) as weir:
            weir.write("live.lua", live)
            url = c.url + "/label"
            weir.configure(two(a, b, weir, **{"with": {"url": url}, "hosts": [url.split("/")[2]]}))
            weir.reload()
            with Recording(weir) as r:
                assert "from b" in weir.chat().text
                settle(weir, 1)
            rule = r.lines()[1]["rules"][0]
            assert rule["http"][0]["status"] == 200 and rule["decision"]["route"] == ["b/m"]
            asked = len(c.requests)
            assert "1 the same" in replay(weir, live, r.path).stdout
            done = replay(weir, live.replace("model = req.model", "other = 1"), r.path, codes=(4,))
            assert "lacks an answer to POST " + url in done.stdout and len(c.requests) == asked


def test_a_faulty_file_is_refused_with_its_line():
    def check(weir):
        r = record_some(weir)
        whole = open(r.path).read()
        lines = whole.splitlines(keepends=True)
        for text, line, why in (
                ("", 1, "the file is empty"),
                ("{}\n", 1, "this is no recording"),
                ("GET / HTTP/1.1\n", 1, "this is not JSON"),
                (lines[0].replace(":1,", ":2,") + lines[1], 1, "a recording of version 2"),
                (whole[:-20], len(lines), "it was cut off"),
                (lines[0] + lines[1] + "{]\n", 3, "this is not JSON"),
                (lines[0] + '{"rules":[]}\n', 2, 'it has no "rules"'),
                (lines[0] + '{"rules":[{"stage":"policy"}]}\n', 2, "lacks something that every rule reads")):
            weir.write("faulty.jsonl", text)
            done = replay(weir, LIVE, weir.path("faulty.jsonl"), codes=(1,))
            assert "faulty.jsonl:%d: " % line in done.stderr and why in done.stderr and not done.stdout, (text[:80], done.stderr)
        done = replay(weir, LIVE, weir.path("nothing.jsonl"), codes=(1,))
        assert "No such file" in done.stderr
        assert "read twice" in replay(weir, LIVE, "/dev/null", codes=(1,)).stderr
        done = replay(weir, "return {\n", r.path, codes=(1,))
        assert "new.lua" in done.stderr and "could not be run for 3 requests" in done.stderr and not done.stdout, done.stderr
        assert "No such file" in command(weir, "replay", "--policy", weir.path("none.lua"), r.path, codes=(1,)).stderr
        assert "which rules" in command(weir, "replay", r.path, codes=(2,)).stderr
    with_live(check)


def test_a_recording_is_new_bounded_and_alone():
    def check(weir):
        with Recording(weir) as r:
            done = command(weir, "record", "--admin", weir.path("admin.sock"), r.path, codes=(1,))
            assert "it exists" in done.stderr
            done = command(weir, "record", "--admin", weir.path("admin.sock"), weir.path("other.jsonl"), codes=(1,))
            assert "another recording is under way" in done.stderr and not os.path.exists(weir.path("other.jsonl"))
        weir.chat()
        assert len(r.lines()) == 1, "it went on after its end"
        command(weir, "record", "--admin", weir.path("admin.sock"), "--for", "no", weir.path("other.jsonl"), codes=(2,))
        assert "no weir answers" in command(weir, "record", "--admin", weir.path("no.sock"), weir.path("other.jsonl"), codes=(1,)).stderr
        with Recording(weir, "--max", "1", "--contents") as r:
            for _ in range(6):
                weir.chat("word " * 60000)
            r.process.wait(DEADLINE)
        assert os.path.getsize(r.path) <= (1 << 20) + 200 and "not in it" in r.err, (os.path.getsize(r.path), r.err)
        assert "the same" in replay(weir, LIVE, r.path).stdout
    with_live(check)


def test_a_policy_beside_weir_yaml_takes_only_its_neighbours():
    """Not the state folder of the weir that serves, whose files come and go."""
    def check(weir):
        with Recording(weir) as r:
            assert weir.chat().status == 200
            settle(weir, 1)
        gone = weir.path("state/gone")
        os.symlink("/nowhere", gone)
        os.mkdir(weir.path("state/deep"))
        for i in range(40):
            os.makedirs(weir.path("state/deep/" + "/".join(["d"] * i)), exist_ok=True)
        assert replay(weir, LIVE, r.path).stdout.startswith("1 requests: 1 the same")
    with_live(check)
