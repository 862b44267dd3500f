#!/usr/bin/env python3
"""`weir test`: the policies that weir ships, against the cases beside them; the strategies' properties (lua/test); and cases that must fail, with the words they fail with."""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(os.path.abspath(os.path.join(ROOT, os.environ.get("WEIR_BUILD", "build"))), "weir")

POLICY = """
return { on_request = function(req, cfg)
  if cfg.url then
    local r, err = http.get(cfg.url)
    note("http", r and r.status or err)
  end
  if cfg.loop then while true do end end
  if cfg.sleep then sleep(cfg.sleep) end
  if cfg.teams then note("team", data("teams.yaml")[req.principal.team]) end
  if cfg.count then note("count", shared.incr("n")) end
  if cfg.chance then note("chance", random(1000)) end
  if cfg.clock then note("clock", clock.date("UTC").iso) end
  if cfg.text then return answer(cfg.text) end
end }
"""

# what a case says, and what `weir test` must say of it; "" if it is well
CASES = [
    ('{ "fine" }', ""),
    ('{ "wrong order", left = { "vllm/coder" } }', 'left: ["vllm/coder"] was expected'),
    ('{ "a typo", lefft = { "vllm/coder" } }', '"lefft" is nothing that a case can say'),
    ('{ "not denied", denied = "nobody" }', 'denied: "nobody" was expected'),
    ('{ "an answer nobody gave", answers = { ["openai/gpt-4o"] = "No." }, answer = "Yes." }', '"No." came'),
    ('{ "an unfaked fetch", with = { url = "http://a.internal/x" }, hosts = { "a.internal" } }',
     "http: GET http://a.internal/x was asked for, and the case has no answer to it"),
    ('{ "a faked fetch", with = { url = "http://a.internal/x" }, hosts = { "a.internal" }, http = { status = 204 }, notes = { http = 204 } }', ""),
    ('{ "a late answer", with = { url = "http://a.internal/x" }, hosts = { "a.internal" }, http = { after = 5 }, waited = 1 }', ""),
    ('{ "it loops", with = { loop = true }, denied = "policy_error" }', ""),
    ('{ "a long sleep takes no time", with = { sleep = 25 }, waited = 25 }', ""),
    ('{ "made-up data", with = { teams = true }, data = { ["teams.yaml"] = { red = "one" } }, request = { team = "red" }, notes = { team = "one" } }', ""),
    ('{ "data that is not there", with = { teams = true }, denied = "policy_error" }', ""),
    ('{ "what workers share", with = { count = true }, shared = { n = 41 }, notes = { count = 42 } }', ""),
    ('{ "what workers share is each case\'s own", with = { count = true }, notes = { count = 1 } }', ""),
    ('{ "it counts", with = { count = true }, times = 3, notes = { count = 3 } }', ""),
    ('{ "chance repeats", with = { chance = true }, seed = 1, notes = { chance = "?" } }', 'notes.chance: "?" was expected'),
    ('{ "a time", with = { clock = true }, now = "2026-02-03T04:05:06", notes = { clock = "2026-02-03T04:05:06+00:00" } }', ""),
    ('{ "an answer of its own", with = { text = "pong" }, answer = "pong", asked = {} }', ""),
    ('{ "nobody is asked", asked = {} }', 'asked: {} was expected'),
    ('{ "nobody gets a copy", mirrored = { "vllm/coder" } }', 'mirrored: ["vllm/coder"] was expected'),
    ('{ "the first is down", answers = { ["openai/gpt-4o"] = { refused = true }, ["openai/gpt-4o-mini"] = "Hi" }, '
     'asked = { "openai/gpt-4o", "openai/gpt-4o-mini" }, answer = "Hi" }', ""),
    ('{ "all are down", answers = { ["openai/gpt-4o"] = { status = 503 }, ["openai/gpt-4o-mini"] = { status = 500 }, ["claude/sonnet"] = '
     '{ class = "overloaded" }, ["vllm/coder"] = { refused = true } }, denied = "all_attempts_failed" }', ""),
    ('{ "the first is late: a hedge", request = { stream = true }, targets = { { name = "a/x" }, { name = "b/x" } }, answers = { ["a/x"] = { silent = true }, ["b/x"] = "Late." }, '
     'asked = { "a/x", "b/x" }, answer = "Late.", waited = { 8, 9 } }', ""),
    ('{ "nobody speaks", request = { stream = true }, targets = { { name = "a/x" } }, answers = { ["a/x"] = { silent = true } }, '
     'asked = { "a/x" }, denied = "timeout", waited = { 100, 700 } }', ""),
    ('{ "a stream", request = { stream = true }, answers = { ["openai/gpt-4o"] = "one two three" }, answer = "one two three" }', ""),
    ('{ "a list that is none", with = { text = "x" }, answers = 5 }', ""),
]


def main():
    passed = failed = 0
    shipped = subprocess.run([WEIR, "test", "policies", "lua/test"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    print(shipped.stdout, end="")
    counts = re.findall(r"^(\d+) passed, (\d+) failed", shipped.stdout, re.M)
    passed += int(counts[-1][0]) if counts else 0
    failed += int(counts[-1][1]) if counts else 1
    with tempfile.TemporaryDirectory(prefix="weir-policies-") as folder:
        with open(os.path.join(folder, "p.lua"), "w", encoding="utf-8") as f:
            f.write(POLICY)
        for number, (case, wanted) in enumerate(CASES):
            path = os.path.join(folder, "p_test.lua")
            with open(path, "w", encoding="utf-8") as f:
                f.write("return { " + case + " }")
            told = subprocess.run([WEIR, "test", path], capture_output=True, text=True, timeout=60)
            said = told.stdout + told.stderr
            is_well = told.returncode == (1 if wanted else 0) and wanted in said
            passed += is_well
            failed += not is_well
            if not is_well:
                print(f"FAIL case {number}: {case}\n  wanted {wanted!r}, exit {told.returncode}:\n{said}")
        for text, wanted in [("return 5", "table expected"), ("return {{}}", "it has no name"), ("nonsense(", "p_test.lua:1:"),
                             ("while true do end", "it runs for ever"), ("return {{ 'f', with = { f = print } }}", "a function in it")]:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            told = subprocess.run([WEIR, "test", path], capture_output=True, text=True, timeout=60)
            is_well = told.returncode == 1 and wanted in told.stdout
            passed += is_well
            failed += not is_well
            if not is_well:
                print(f"FAIL file {text!r}: wanted {wanted!r}:\n{told.stdout}{told.stderr}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
