#!/usr/bin/env python3
"""Recorded requests of the scenarios that several providers answered, translated by weir into every other dialect, against the
types of that dialect's official SDK at its pinned version (validate.py, in the SDKs' own environment).

Needs ../shared (or $WEIR_SHARED) and the SDKs; without them it is skipped, with the reason."""
import http.client
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../e2e", "../clients"):
    sys.path.insert(0, os.path.join(HERE, folder))
import run as clients  # noqa: E402
from harness import BUILD, SHARED, Upstream, Weir  # noqa: E402

SDKS = {"openai": "3.54.0", "anthropic": "2.12.0", "cohere": "7.3.1", "ollama": "0.6.3", "google-genai": "3.4.0", "botocore": "1.44.5"}
OF_DIALECT = {"openai": "openai", "responses": "openai", "anthropic": "anthropic", "cohere": "cohere", "ollama": "ollama",
              "gemini": "google-genai", "bedrock": "botocore"}
DOORS = {"openai": "/openai/v1/chat/completions", "responses": "/openai/v1/responses", "anthropic": "/anthropic/v1/messages",
         "gemini": "/gemini/v1beta/models/{}:{}", "cohere": "/cohere/v2/chat", "bedrock": "/bedrock/model/{}/{}", "ollama": "/ollama/api/chat"}
PER_PAIR = int(os.environ.get("WEIR_PER_PAIR", "25"))  # a large number: all
MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash", "bedrock": "anthropic.claude-sonnet-4-5"}


def dialect_of(entry):
    kind = (entry["provider"], entry["endpoint"])
    fixed = {("anthropic", "messages"): "anthropic", ("gemini", "generateContent"): "gemini", ("vertex", "generateContent"): "gemini",
             ("bedrock", "converse"): "bedrock", ("cohere", "cohere-chat"): "cohere", ("ollama", "ollama-chat"): "ollama",
             ("openai", "responses"): "responses", ("xai", "responses"): "responses"}
    return fixed.get(kind) or ("openai" if entry["endpoint"] == "chat" else None)


def scenarios():
    """[(file, dialect, recording)]: the chat requests of groups whose members have the same number of exchanges."""
    folder = os.path.join(SHARED, "recordings")
    if not os.path.exists(os.path.join(folder, "matched_scenarios.json")):
        return [], []
    with open(os.path.join(folder, "index.jsonl"), encoding="utf-8") as f:
        index = {e["file"]: e for e in map(json.loads, f)}
    with open(os.path.join(folder, "matched_scenarios.json"), encoding="utf-8") as f:
        groups = json.load(f)
    found, uneven = {}, []
    for name, members in groups.items():
        sizes = [len(files) for files in members.values()]
        usual = max(set(sizes), key=sizes.count)
        even = [files for files in members.values() if len(files) == usual]
        if len(even) < len(members):
            uneven.append(f"{name}: {len(members) - len(even)} of {len(members)}")
        for file in (f for files in even for f in files):
            entry = index.get(file)
            dialect = dialect_of(entry) if entry else None
            if dialect and entry["status"] == 200:
                with open(os.path.join(folder, file), encoding="utf-8") as f:
                    recording = json.load(f)
                if isinstance(recording["request_body"], dict) and "v1/chat" not in (recording["url_path"] if dialect == "cohere" else ""):
                    found[file] = (dialect, recording)
    return sorted((file, *what) for file, what in found.items()), uneven


class Capture:
    """Keeps the body of the last request and answers nothing that could be mistaken for an answer."""

    def __init__(self):
        self.last = None

    def __call__(self, connection):
        while True:
            request = connection.read_request()
            if request is None:
                return
            self.last = request
            connection.respond(418, b"{}", {"content-type": "application/json"})


def configuration(url, names):
    providers = {d: {"dialect": d, "base_url": url, "key": "AKIAIOSFODNN7EXAMPLE:x" if d == "bedrock" else "x"} for d in names}
    if "bedrock" in names:
        providers["bedrock"]["region"] = "us-east-1"
    return {"providers": providers, "on_loss": "allow", "entry": [], "routes": [{"match": {"path": "/*"}, "pipeline": [], "open": True}],
            "models": {f"to-{d}": {"targets": [f"{d}/{MODELS.get(d, 'model-1')}"]} for d in names}}


def ask(weir, dialect, recording, target):
    """The path and status of what weir answered."""
    body = dict(recording["request_body"])
    streams = bool(body.get("stream")) or "stream" in recording["url_path"].lower()
    path = DOORS[dialect]
    if dialect == "gemini":
        path = path.format(f"to-{target}", "streamGenerateContent?alt=sse" if streams else "generateContent")
    elif dialect == "bedrock":
        path = path.format(f"to-{target}", "converse-stream" if streams else "converse")
    else:
        body["model"] = f"to-{target}"
    connection = http.client.HTTPConnection(weir.url.split("//")[1], timeout=20)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def translate(cases, names):
    """[{from, to, file, body}], and how many were refused with a reason."""
    done, refused, broken = [], 0, []
    capture = Capture()
    with Upstream(capture) as up, Weir(configuration(up.url, names)) as weir:
        for file, dialect, recording in cases:
            for target in names:
                if target == dialect or dialect not in names:
                    continue
                capture.last = None
                status, text = ask(weir, dialect, recording, target)
                if capture.last is not None:
                    done.append({"from": dialect, "to": target, "file": file, "body": json.loads(capture.last.body)})
                elif 400 <= status < 500:
                    refused += 1
                else:
                    broken.append(f"{dialect} -> {target}, {file}: {status} {text[:200]}")
    return done, refused, broken


def sample(done):
    """At most PER_PAIR of each pair, from all of it: validation by the SDKs takes longer than everything else."""
    pairs = {}
    for d in done:
        pairs.setdefault((d["from"], d["to"]), []).append(d)
    return [d for of in pairs.values() for d in of[::max(1, len(of) // PER_PAIR)]]


def main():
    cases, uneven = scenarios()
    if not cases:
        print("SKIP there are no recordings in ../shared (or $WEIR_SHARED)\n0 passed, 0 failed, 1 skipped")
        return 0
    clients.PYPI.update(SDKS)
    missing = {sdk: why for sdk in SDKS if (why := clients.want_python(sdk))}
    names = [d for d in DOORS if os.path.exists(os.path.join(BUILD, "providers", d + ".so"))]
    done, refused, broken = translate(cases, names)
    print(f"{len(cases)} recorded requests, {len(done)} translations, {refused} refused with a reason; groups with members left out, since they "
          f"have another number of exchanges: {len(uneven)}")
    with tempfile.TemporaryDirectory(prefix="weir-types-") as folder:
        path = os.path.join(folder, "requests.json")
        checkable = sample([d for d in done if OF_DIALECT[d["to"]] not in missing])
        with open(path, "w", encoding="utf-8") as f:
            json.dump(checkable, f)
        told = subprocess.run([clients.venv_python(), os.path.join(HERE, "validate.py"), path], capture_output=True, text=True, timeout=300)
    print(told.stdout + told.stderr, end="")
    lines = told.stdout.strip().splitlines()
    passed, failed = (int(n) for n in lines[-1].split()[::2][:2]) if told.returncode == 0 and lines else (0, 1)
    for line in broken[:10]:
        print("FAIL " + line)
    for sdk, why in missing.items():
        print(f"SKIP {sdk}: {why}")
    print(f"{passed} passed, {failed + len(broken)} failed, {len(missing)} skipped")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
