#!/usr/bin/env python3
"""What a plugin's author gets: weir installed, `weir new`, `make`, `make test`, one line of configuration; no source of weir."""
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import harness  # noqa: E402
from harness import BUILD, Skip, Upstream, Weir, openai_answer, skip  # noqa: E402

PREFIX = "/usr/local"


def do(*command, cwd=ROOT, **more):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, **more)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def install(folder):
    do("make", "install", f"BUILD={BUILD}", f"DESTDIR={folder}", f"PREFIX={PREFIX}")
    return folder + PREFIX


def test_installed_files(prefix, _folder):
    for path in ("bin/weir", "lib/weir/plugins/auth.so", "lib/weir/plugins/log.so", "lib/weir/plugins/policy.so",
                 "lib/weir/providers/openai.so", "lib/weir/providers/anthropic.so", "lib/weir/providers/gemini.so",
                 "lib/weir/providers/simulator.so", "share/weir/policies/route.lua", "share/weir/weir.yaml",
                 "share/weir/sdk/plugin.mk", "share/weir/sdk/ABI.md", "include/weir/plugin.h"):
        assert os.path.isfile(os.path.join(prefix, path)), path
    with open(os.path.join(prefix, "lib/systemd/system/weir.service")) as f:
        unit = f.read()
    assert f"ExecStart={PREFIX}/bin/weir serve" in unit and "@PREFIX@" not in unit, unit
    do(os.path.join(prefix, "bin/weir"), "check", "-c", os.path.join(prefix, "share/weir/weir.yaml"))


def test_every_command_helps(prefix, _folder):
    weir = os.path.join(prefix, "bin/weir")
    commands = "serve,check,reload,status,key new,models,errors,new,verify-plugin,explain-plugin,version".split(",")
    listed = do(weir, "--help")
    for command in commands:
        assert command in listed, f"{command} is not in weir --help"
        assert command in do(weir, *command.split(), "--help"), command


def new_plugin(prefix, folder, kind, name):
    weir = os.path.join(prefix, "bin/weir")
    do(weir, "new", kind, name, cwd=folder)
    do("make", cwd=os.path.join(folder, name))
    do("make", "test", "SECONDS=2", cwd=os.path.join(folder, name))
    assert name in do(weir, "explain-plugin", f"{name}/{name}.so", cwd=folder)
    return os.path.join(folder, name, name + ".so")


def test_new_stage(prefix, folder):
    so = new_plugin(prefix, folder, "stage", "my-stage")
    with Upstream(openai_answer("hello")) as up:
        configuration = harness.config(up, plugins=[so])
        configuration["routes"][0]["pipeline"] = ["my-stage"]
        with Weir(configuration) as weir:
            assert weir.chat("hi").status == 200


def test_new_provider(prefix, folder):
    so = new_plugin(prefix, folder, "provider", "my-llm")
    configuration = harness.config(plugins=[so])
    configuration["providers"] = {"mine": {"dialect": "my-llm", "base_url": "http://127.0.0.1:9", "auth": "none"}}
    configuration["models"] = {"m": {"targets": ["mine/m"]}}
    with Weir(configuration) as weir:
        assert weir.chat("hi").status == 502


class Gen:
    """The provider of sdk/tutorial: checks the proof of each request, and answers as the prompt asks."""
    KEY = b"the-company's-key"

    def __init__(self):
        self.asked = []

    def __call__(self, connection):
        while True:
            request = connection.read_request()
            if request is None:
                return
            self.asked.append(request)
            if request.method == "POST":
                proof = hmac.new(self.KEY, request.body, hashlib.sha256).hexdigest()
                assert request.path == "/gen?tenant=7" and request.headers["x-gen-mac"] == proof, (request.path, request.headers)
                says = json.loads(request.body)["prompt"][-1]["says"]
            if request.method == "POST" and says == "slowly":
                connection.respond(202, b"", {"x-gen-job": "/jobs/42"})
            elif request.method == "GET" and len(self.asked) < 4:
                connection.respond(202, b"", {"x-gen-job": request.path})
            elif says == "fail":
                connection.respond(200, self.frame(ok=False, why="busy"))
            else:
                self.answer(connection, ["Hel", "lo"], is_cut=says == "cut")

    @staticmethod
    def frame(**json_):
        text = json.dumps(json_, separators=(",", ":")).encode()
        return b"%d\n%s" % (len(text), text)

    def answer(self, connection, pieces, is_cut):
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-gen-tokens\r\n\r\n")
        for piece in pieces:
            frame = self.frame(ok=True, t=piece)
            for part in (frame[:7], frame[7:]):  # frames and chunks have nothing to do with each other
                connection.send(b"%x\r\n%s\r\n" % (len(part), part))
        if is_cut:
            connection.close()
            raise EOFError
        connection.send(b"0\r\nx-gen-tokens: 3/5\r\n\r\n")


def test_tutorial(prefix, folder):
    source = os.path.join(folder, "gen")
    shutil.copytree(os.path.join(prefix, "share/weir/sdk/tutorial/gen"), source)
    with open(os.path.join(source, "gen.c"), encoding="utf-8") as f:
        assert len(f.readlines()) < 200
    sdk = "WEIR_SDK=" + os.path.join(prefix, "share/weir/sdk")
    do("make", sdk, cwd=source)
    do("make", "test", "SECONDS=2", sdk, cwd=source)
    gen = Gen()
    with Upstream(gen) as up:
        configuration = harness.config(plugins=[os.path.join(source, "gen.so")])
        configuration["providers"] = {"ours": {"dialect": "gen", "base_url": up.url, "key": gen.KEY.decode(), "tenant": 7}}
        configuration["models"] = {"m": {"targets": ["ours/m"]}}
        with Weir(configuration) as weir:
            whole = weir.chat("hi", max_tokens=50).json
            assert "choices" in whole, (whole, up.errors, gen.asked)
            assert whole["choices"][0]["message"]["content"] == "Hello", whole
            assert whole["usage"]["prompt_tokens"] == 3 and whole["usage"]["completion_tokens"] == 5, whole
            assert json.loads(gen.asked[0].body) == {"model": "m", "max": 50, "prompt": [{"who": "user", "says": "hi"}]}
            streamed = [json.loads(e) for e in weir.chat("hi", stream=True).events if e != "[DONE]"]
            assert "".join(e["choices"][0]["delta"].get("content") or "" for e in streamed if e["choices"]) == "Hello", streamed
            failed = weir.chat("fail")
            assert failed.status == 503 and "busy" in failed.text, failed.text
            assert weir.chat("cut").status == 502
            gen.asked.clear()
            slow = weir.chat("slowly")
            assert slow.status == 200 and slow.json["choices"][0]["message"]["content"] == "Hello", slow.text
            assert [r.method for r in gen.asked] == ["POST", "GET", "GET", "GET"], gen.asked
            assert gen.KEY.decode() not in weir.log()
    assert not up.errors, up.errors


def test_new_refuses(prefix, folder):
    weir = os.path.join(prefix, "bin/weir")
    for arguments in (("new", "stage"), ("new", "thing", "x"), ("new", "stage", "Bad Name")):
        done = subprocess.run([weir, *arguments], cwd=folder, capture_output=True, text=True)
        assert done.returncode != 0 and done.stderr.strip(), arguments
    os.mkdir(os.path.join(folder, "taken"))
    done = subprocess.run([weir, "new", "stage", "taken"], cwd=folder, capture_output=True, text=True)
    assert done.returncode != 0 and "taken" in done.stderr, done.stderr


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    home = tempfile.mkdtemp(prefix="weir-sdk-")
    try:
        prefix = install(os.path.join(home, "installed"))
        for name, test in [(k, v) for k, v in globals().items() if k.startswith("test_")]:
            folder = os.path.join(home, name)
            os.mkdir(folder)
            try:
                if harness.SLOW > 1:
                    skip("a sanitized weir does not load plugins of the plain SDK")
                test(prefix, folder)
                counts["passed"] += 1
            except Skip as reason:
                counts["skipped"] += 1
                print(f"SKIP {name}: {reason}")
            except Exception:
                counts["failed"] += 1
                print(f"FAIL {name}\n{traceback.format_exc()}")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0


sys.exit(main())
