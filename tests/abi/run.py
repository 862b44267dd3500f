#!/usr/bin/env python3
"""Plugins of every published SDK still load and work, and today's headers keep what was published. See README.md."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from harness import BUILD, Upstream, Weir  # noqa: E402

NOW = os.path.join(ROOT, "sdk", "include")
VERSIONS = sorted(os.path.basename(os.path.dirname(d)) for d in glob.glob(os.path.join(HERE, "*", "include")))


# ---- layout: members and constants, as a C program prints them --------------------------------------------------------

def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)


def members_of(body):
    for declaration in body.split(";"):
        function = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
        if function:
            yield function.group(1)
            continue
        declaration = re.sub(r"\[[^\]]*\]|__attribute__\s*\(\(.*?\)\)", "", declaration)
        for piece in declaration.split(","):
            name = re.search(r"(\w+)\s*$", piece.strip())
            if name and declaration.strip():
                yield name.group(1)


def published(include):
    """Lines of C that print one published fact each."""
    lines = []
    for path in sorted(glob.glob(os.path.join(include, "weir", "*.h"))):
        with open(path) as f:
            text = without_comments(f.read())
        for name, body in re.findall(r"\bstruct\s+(weir_\w+)\s*\{([^{}]*)\}\s*;", text):
            for member in members_of(body):
                lines.append(f'    printf("{name}.{member} %zu+%zu\\n", offsetof(struct {name}, {member}), '
                             f'sizeof(((struct {name} *)0)->{member}));')
        for body in re.findall(r"\benum\s+\w*\s*\{([^{}]*)\}", text):
            for name in re.findall(r"\b(WEIR_\w+)\b(?=\s*(?:=|,|$))", body):
                if not name.endswith(("_COUNT", "_TIMEOUTS")):
                    lines.append(f'    printf("{name} %lld\\n", (long long){name});')
        for name in re.findall(r"^#define\s+(WEIR_\w+)\s+\d+u?\s*$", text, flags=re.M):
            if not name.startswith("WEIR_ABI_"):
                lines.append(f'    printf("{name} %lld\\n", (long long){name});')
    return lines


def facts(lines, include, folder):
    source, program = os.path.join(folder, "facts.c"), os.path.join(folder, "facts")
    with open(source, "w") as f:
        f.write("#include <stdio.h>\n#include <weir/codec.h>\nint main(void)\n{\n" + "\n".join(lines) + "\n    return 0;\n}\n")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-I" + include, "-o", program, source], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def test_layout(version, folder):
    frozen = os.path.join(HERE, version, "include")
    lines = published(frozen)
    assert len(lines) > 300, f"only {len(lines)} published facts were found"
    moved = sorted(set(facts(lines, frozen, folder)) - set(facts(lines, NOW, folder)))
    assert not moved, "these are published and have changed: " + ", ".join(moved[:20])


# ---- plugins ------------------------------------------------------------------------------------------------------------

def build(version, name, folder, flags=()):
    target = os.path.join(folder, f"abi-{name}.so")
    san = ["-fsanitize=address,undefined"] if "san" in os.path.basename(BUILD) else ["-Wl,-z,defs"]
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-fvisibility=hidden", "-shared",
                    "-Wl,-Bsymbolic", *san, *flags, "-I" + os.path.join(HERE, version, "include"), "-o", target,
                    os.path.join(HERE, version, name + ".c")], check=True)
    return target


def say(conn):
    while (request := conn.read_request()) is not None:
        text = json.loads(request.body)["text"]
        answer = {"said": f"{request.headers.get('x-greeting')} {text} {request.headers.get('x-say-key')}", "tokens": 3}
        conn.respond(200, json.dumps(answer), {"content-type": "application/json"})


def chat(weir, wish=None):
    headers = {"x-abi": wish} if wish else {}
    with weir.client() as client:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "world"}]})
        client.request("POST", "/v1/chat/completions", body=body, headers={"content-type": "application/json", **headers})
        return client.response()


def test_plugins(version, folder):
    stage, codec = build(version, "stage", folder), build(version, "codec", folder)
    with Upstream(say) as upstream:
        settings = {"word": "kept", "count": 7, "list": ["one", "two"], "json": {"a": [1, True]}}
        configuration = {
            "plugins": [stage, codec],
            "providers": {"up": {"dialect": "abi-codec", "base_url": upstream.url, "key": "k1", "greeting": "hi"}},
            "models": {"m": {"targets": ["up/m"]}},
            "entry": [{"abi-stage": settings}],
            "routes": [{"match": {"path": "/v1/*"}, "open": True, "pipeline": []}],
        }
        with Weir(configuration) as weir:
            answer = chat(weir)
            assert answer.status == 200, answer
            assert answer.headers.get("x-abi-word") == "kept", answer
            assert "hi world k1" in json.loads(answer.text)["choices"][0]["message"]["content"], answer
            assert chat(weir, "wait").status == 200
            denied = chat(weir, "deny")
            assert denied.status == 403 and "Denied by a stage of SDK 1.0." in denied.text, denied
            answered = chat(weir, "answer")
            assert "answered by a stage of SDK 1.0" in answered.text, answered
            assert weir.metric("weir_abi_seen_total") == 4


# ---- refusals -------------------------------------------------------------------------------------------------------------

def explain(path):
    return subprocess.run([os.path.join(BUILD, "weir"), "explain-plugin", path], capture_output=True, text=True)


def test_refusals(version, folder):
    with open(build(version, "stage", folder), "rb") as f:
        good = f.read()
    head = (0x72696577).to_bytes(4, "little") + bytes([int(version.split(".")[0]), 0, int(version.split(".")[1]), 0])
    assert good.count(head) == 2, "the head stands in the note and in the descriptor"
    for major, minor, remedy in [(9, 0, "build it against this weir's SDK"), (1, 99, "upgrade weir")]:
        path = os.path.join(folder, f"abi-{major}-{minor}.so")
        with open(path, "wb") as f:
            f.write(good.replace(head, head[:4] + bytes([major, 0, minor, 0])))
        told = explain(path)
        assert told.returncode == 1, told
        assert f"plugin ABI {major}.{minor}, this weir speaks 1." in told.stderr and remedy in told.stderr, told.stderr
    assert explain(os.path.join(folder, "abi-stage.so")).returncode == 0


def freeze():
    with open(os.path.join(NOW, "weir", "base.h")) as f:
        text = f.read()
    version = ".".join(re.search(rf"#define {name} (\d+)", text).group(1) for name in ("WEIR_ABI_MAJOR", "WEIR_ABI_MINOR_NEWEST"))
    target = os.path.join(HERE, version, "include", "weir")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(os.path.join(NOW, "weir"), target)
    print(f"tests/abi/{version} is a copy of sdk/include")


def main():
    if sys.argv[1:] == ["freeze"]:
        return freeze()
    passed = failed = 0
    for version in VERSIONS:
        for test in (test_layout, test_plugins, test_refusals):
            folder = tempfile.mkdtemp(prefix="weir-abi-")
            try:
                test(version, folder)
                passed += 1
            except Exception:
                failed += 1
                print(f"FAIL {test.__name__} {version}\n{traceback.format_exc()}")
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
