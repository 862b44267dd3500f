#!/usr/bin/env python3
"""The official SDKs, at pinned versions, against weir; upstream are the simulator in four dialects and recordings.

    tests/clients/run.py [openai.py|anthropic.py|cohere.py|ollama.py|bedrock.py|openai.mjs|anthropic.mjs|ollama.mjs|bedrock.mjs]

The SDKs are installed by name into build/clients/ once. One that can't be had here is skipped, with the reason, and counted.
The last line counts: `N passed, N failed, N skipped`.
"""
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
sys.path.insert(0, HERE)
import recorded  # noqa: E402
from harness import BUILD, SHARED, Weir  # noqa: E402
from replay import Replay  # noqa: E402

PYPI = {"openai": "3.54.0", "anthropic": "2.12.0", "cohere": "7.3.1", "ollama": "0.6.3", "boto3": "1.44.5",
        "google-genai": "3.4.0"}
NPM = {"openai": "7.57.0", "@anthropic-ai/sdk": "1.12.0", "ollama": "0.6.4", "@aws-sdk/client-bedrock-runtime": "3.1164.0",
       "@google/genai": "3.1.0"}
FOLDER = os.path.join(os.path.dirname(os.path.abspath(BUILD)), "build", "clients")
INSTALL_S, SUITE_S = 240, 240


# ---- the SDKs -----------------------------------------------------------------------------------------------------

def attempt(command, cwd=None):
    """None if it worked, else the last line of what it said."""
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=INSTALL_S, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in done.stdout.strip().splitlines() if line.strip()]
    return None if done.returncode == 0 else (lines[-1] if lines else f"{command[0]} failed")


def venv_python():
    return os.path.join(FOLDER, "venv", "bin", "python")


def want_python(name):
    """None if the package is there in its pinned version, else the reason why not."""
    probe = f"import importlib.metadata as m; assert m.version('{name}') == '{PYPI[name]}'"
    if not os.path.exists(venv_python()):
        why = attempt([sys.executable, "-m", "venv", os.path.join(FOLDER, "venv")])
        if why:
            shutil.rmtree(os.path.join(FOLDER, "venv"), ignore_errors=True)
            return why
    if attempt([venv_python(), "-c", probe]) is None:
        return None
    return attempt([venv_python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{name}=={PYPI[name]}"])


def want_node(name):
    folder = os.path.join(FOLDER, "node")
    if not shutil.which("node") or not shutil.which("npm"):
        return "node and npm are not installed"
    manifest = os.path.join(folder, "node_modules", *name.split("/"), "package.json")
    if os.path.exists(manifest) and json.load(open(manifest))["version"] == NPM[name]:
        return None
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "package.json")):
        open(os.path.join(folder, "package.json"), "w").write('{"private":true}\n')
    return attempt(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", f"{name}@{NPM[name]}"], cwd=folder)


SUITES = {
    "openai.py": (want_python, "openai", lambda: [venv_python(), os.path.join(HERE, "openai_client.py")]),
    "anthropic.py": (want_python, "anthropic", lambda: [venv_python(), os.path.join(HERE, "anthropic_client.py")]),
    "cohere.py": (want_python, "cohere", lambda: [venv_python(), os.path.join(HERE, "cohere_client.py")]),
    "ollama.py": (want_python, "ollama", lambda: [venv_python(), os.path.join(HERE, "ollama_client.py")]),
    "bedrock.py": (want_python, "boto3", lambda: [venv_python(), os.path.join(HERE, "bedrock_client.py")]),
    "bedrock.mjs": (want_node, "@aws-sdk/client-bedrock-runtime", lambda: ["node", os.path.join(HERE, "bedrock_client.mjs")]),
    "gemini.py": (want_python, "google-genai", lambda: [venv_python(), os.path.join(HERE, "gemini_client.py")]),
    "gemini.mjs": (want_node, "@google/genai", lambda: ["node", os.path.join(HERE, "gemini_client.mjs")]),
    "openai.mjs": (want_node, "openai", lambda: ["node", os.path.join(HERE, "openai_client.mjs")]),
    "anthropic.mjs": (want_node, "@anthropic-ai/sdk", lambda: ["node", os.path.join(HERE, "anthropic_client.mjs")]),
    "ollama.mjs": (want_node, "ollama", lambda: ["node", os.path.join(HERE, "ollama_client.mjs")]),
}


# ---- weir ---------------------------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def hash_of(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def bedrock(port, key):
    return {"dialect": "bedrock", "base_url": f"http://127.0.0.1:{port}", "region": "eu-west-1", "key": key}


def configuration(simulator_port, upstream_port, replay_url, key, narrow):
    simulated, replayed = f"http://127.0.0.1:{simulator_port}", replay_url
    return {
        "providers": {
            "simulator": {"dialect": "simulator", "port": simulator_port, "ttft": "0ms", "pace": "0ms", "tokens": 20},
            "sim_claude": {"dialect": "anthropic", "base_url": simulated, "key": "any"},
            "sim_gemini": {"dialect": "gemini", "base_url": simulated + "/v1beta", "key": "any"},
            "sim_responses": {"dialect": "responses", "base_url": simulated + "/v1", "key": "any"},
            "signed": bedrock(upstream_port, "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            "failing": bedrock(upstream_port, "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            "temporary": bedrock(upstream_port, "ASIAEXAMPLE:a/secret+of+temporary/credentials:a/session+token=="),
            "bearer": bedrock(upstream_port, "bedrock-api-key-for-tests"),
            "replay_openai": {"dialect": "openai", "base_url": replayed + "/v1", "key": "any"},
            "replay_anthropic": {"dialect": "anthropic", "base_url": replayed, "key": "any"},
            "replay_gemini": {"dialect": "gemini", "base_url": replayed + "/v1beta", "key": "any"},
            "replay_cohere": {"dialect": "cohere", "base_url": replayed, "key": "any"},
            "replay_ollama": {"dialect": "ollama", "base_url": replayed, "auth": "none"},
            "vectors": {"dialect": "ollama", "base_url": f"http://127.0.0.1:{upstream_port}", "auth": "none"},
            "store": {"dialect": "openai", "base_url": f"http://127.0.0.1:{upstream_port}/v1", "key": "any"},
        },
        "models": {"demo": {"targets": ["simulator/demo"]}},
        "keys": [{"name": "all", "team": "tests", "hash": hash_of(key), "models": ["*"]},
                 {"name": "narrow", "team": "tests", "hash": hash_of(narrow), "models": ["demo"]},
                 {"name": "signer", "team": "tests", "aws": {"id": "AKIDSIGNER", "secret": "the-secret-of-the-signer"}}],
        "entry": ["auth"],
        "routes": [{"match": {"path": "/*"}, "pipeline": []}, {"match": {"path": "/v1/files*"}, "raw": "store", "pipeline": []}],
    }


def write_expected(cases, path):
    listed = [{"model": str(i), "dialect": r["dialect"], "file": r["file"], "stream": recorded.is_stream(r["response_body"], r["dialect"]), **want}
              for i, (r, want) in enumerate(cases)]
    with open(path, "w") as f:
        json.dump(listed, f)


# ---- running ------------------------------------------------------------------------------------------------------

def run_suite(name, command, env):
    try:
        done = subprocess.run(command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SUITE_S)
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace") + f"\ntook longer than {SUITE_S} s"
    lines = output.strip().splitlines()
    counts = re.match(r"^(\d+) passed, (\d+) failed$", lines[-1]) if lines else None
    passed, failed = (int(n) for n in counts.groups()) if counts else (0, 1)
    print(f"{'FAIL' if failed else 'ok  '} {name}: {passed} passed, {failed} failed")
    if failed:
        print("\n".join("     | " + line for line in lines[-60:]))
    return passed, failed


def run_against_weir(name, command, replay_url, expected, key, narrow):
    """A weir of its own for each suite; that it starts, ends well and leaves nothing behind counts with the suite."""
    env = {**os.environ, "WEIR_KEY": key, "WEIR_KEY_NARROW": narrow, "WEIR_EXPECTED": expected,
           "WEIR_NODE": os.path.join(FOLDER, "node"), "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1"}
    passed, failed = 0, 0
    upstream_port = free_port()
    env["WEIR_UPSTREAM_PORT"] = str(upstream_port)
    try:
        with Weir(configuration(free_port(), upstream_port, replay_url, key, narrow)) as weir:
            passed, failed = run_suite(name, command, {**env, "WEIR_URL": weir.url})
    except Exception as error:
        print(f"FAIL {name}: weir: {type(error).__name__}: {error}")
        failed += 1
    return passed, failed


def main():
    wanted = sys.argv[1:] or list(SUITES)
    passed = failed = skipped = 0
    runnable = []
    for name in wanted:
        want, package, command = SUITES[name]
        why = want(package)
        if why:
            print(f"SKIP {name}: {why}")
            skipped += 1
        else:
            runnable.append((name, command()))
    if runnable and not os.path.exists(os.path.join(BUILD, "weir")):
        print("FAIL build/weir is not built")
        failed, runnable = failed + 1, []
    cases = recorded.load(SHARED)
    if not cases:
        print("SKIP recordings: there are none in ../shared (or $WEIR_SHARED)")
        skipped += 1
    key, narrow = "weir-test-key-for-everything", "weir-test-key-for-demo-only"
    with tempfile.TemporaryDirectory(prefix="weir-clients-") as folder, Replay([r for r, _ in cases]) as replay:
        expected = os.path.join(folder, "expected.json")
        write_expected(cases, expected)
        for name, command in runnable:
            p, f = run_against_weir(name, command, replay.url, expected, key, narrow)
            passed, failed = passed + p, failed + f
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
