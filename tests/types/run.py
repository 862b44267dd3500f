#!/usr/bin/env python3
"""Recorded requests of the scenarios that several providers answered, translated by weir into every other dialect: against what the
request meant in its own words and what the other providers were asked (meaning.py), and against the types of that dialect's
official SDK at its pinned version (validate.py, in the SDKs' own environment).

Needs ../shared (or $WEIR_SHARED) and, for the types, the SDKs; without them it is skipped, with the reason. See README.md."""
import collections
import http.client
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../e2e", "../clients"):
    sys.path.insert(0, os.path.join(HERE, folder))
import meaning  # noqa: E402
import run as clients  # noqa: E402
from harness import BUILD, SHARED, Upstream, Weir, wait_until  # noqa: E402

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


PROVIDERS = ("anthropic", "bedrock_claude", "bedrock_nova", "bedrock", "cohere", "google_2_5", "google_gemini3", "google_vertex", "google",
             "groq", "openai_responses", "openai_chat", "openai", "mistral", "huggingface")


def variant(member):
    """"required" of "required-cohere": a member of some groups is a variant of the call at a provider, else a provider alone."""
    name = next((p for p in PROVIDERS if member == p or member.endswith("-" + p)), None)
    return "" if "(" in member else member[: -len(name)] if name else member


def scenarios():
    """[(file, dialect, recording)]: the chat requests of groups whose members have the same number of exchanges; who of the same
    group was asked the same at the same time, {file: [(group, file)]}; the groups that have others."""
    folder = os.path.join(SHARED, "recordings")
    if not os.path.exists(os.path.join(folder, "matched_scenarios.json")):
        return [], {}, []
    with open(os.path.join(folder, "index.jsonl"), encoding="utf-8") as f:
        index = {e["file"]: e for e in map(json.loads, f)}
    with open(os.path.join(folder, "matched_scenarios.json"), encoding="utf-8") as f:
        groups = json.load(f)
    found, uneven, partners = {}, [], collections.defaultdict(list)
    for name, members in groups.items():
        sizes = [len(files) for files in members.values()]
        usual = max(set(sizes), key=sizes.count)
        even = {member: files for member, files in members.items() if len(files) == usual}
        if len(even) < len(members):
            uneven.append(f"{name}: {len(members) - len(even)} of {len(members)}")
        for one, files in even.items():
            for other in (o for o in even if o != one and variant(o) == variant(one)):
                for file, partner in zip(files, even[other]):
                    partners[file].append((name, partner))
        for file in (f for files in even.values() for f in files):
            entry = index.get(file)
            dialect = dialect_of(entry) if entry else None
            if dialect and entry["status"] == 200:
                with open(os.path.join(folder, file), encoding="utf-8") as f:
                    recording = json.load(f)
                if isinstance(recording["request_body"], dict) and "v1/chat" not in (recording["url_path"] if dialect == "cohere" else ""):
                    found[file] = (dialect, recording)
    return sorted((file, *what) for file, what in found.items()), partners, uneven


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
    return {"providers": providers, "on_loss": "allow", "entry": [{"log": {"file": "requests.log"}}], "routes": [{"match": {"path": "/*"}, "pipeline": [], "open": True}],
            "models": {f"to-{d}": {"targets": [f"{d}/{MODELS.get(d, 'model-1')}"]} for d in names}}


def ask(weir, dialect, recording, target):
    """Status, text and id of what weir answered."""
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
        return answer.status, answer.read().decode(errors="replace"), answer.getheader("x-weir-request-id")
    finally:
        connection.close()


def translate(cases, names):
    """[{from, to, file, body, losses}], how many were refused with a reason, and what else went wrong."""
    done, refused, broken = [], 0, []
    capture = Capture()
    with Upstream(capture) as up, Weir(configuration(up.url, names)) as weir:
        for file, dialect, recording in cases:
            for target in names:
                if target == dialect or dialect not in names:
                    continue
                capture.last = None
                status, text, request = ask(weir, dialect, recording, target)
                if capture.last is not None:
                    done.append({"from": dialect, "to": target, "file": file, "id": request, "path": capture.last.path,
                                 "body": json.loads(capture.last.body)})
                elif 400 <= status < 500:
                    refused += 1
                else:
                    broken.append(f"{dialect} -> {target}, {file}: {status} {text[:200]}")
        losses = losses_told(weir, {d["id"] for d in done})
    for d in done:
        d["losses"] = losses[d["id"]]
    return done, refused, broken


def losses_told(weir, ids):
    """{id: features that the request record says were lost on the way to the provider}."""
    told = {}

    def has_all():
        with open(weir.path("requests.log"), encoding="utf-8") as f:
            for record in map(json.loads, (line for line in f if line.endswith("\n"))):
                lists = [record, *record.get("attempts", [])]
                told[record["id"]] = {loss["feature"] for of in lists for loss in of.get("losses", [])}
        return ids <= set(told)

    wait_until(has_all, "all records")
    return told


# Which losses may stand behind a difference in a fact of meaning.
BEHIND = {
    "turns": {"image", "document", "audio", "video", "file", "system_later", "prefill", "tools", "modalities", "file_data", "file_url",
              "part_order", "ext"},
    "system": {"system_later", "response_format"}, "format": {"response_format"}, "tools": {"tools", "tool_choice", "ext"},
    "choice": {"tool_choice"}, "parallel": {"parallel_tool_calls"}, "thinking": {"reasoning_effort", "reasoning_budget", "ext"},
    "effort": {"reasoning_effort", "reasoning_budget", "ext"},
    "max_tokens": {"max_tokens"}, "top_p": {"top_p"}, "temperature": {"temperature"}, "stop": {"stop"}, "seed": {"seed"},
}


# Differences that no loss names, because nothing that the client said is lost: (fact, target, said, sent) -> why. None of a pair: any.
ARGUED = {
    ("max_tokens", "anthropic", None, int): "the dialect demands a limit: one is said where the client said none",
    ("max_tokens", "bedrock", None, int): "a thinking budget demands a limit above it",
    ("thinking", "anthropic", "off", None): "it is off there unless it is asked for",
    ("thinking", "bedrock", "off", None): "it is off there unless it is asked for",
    ("thinking", "responses", "off", None): "only models that are known to think are told not to",
}


def argument(fact, target, before, now):
    """The key in ARGUED that explains it, or None."""
    for key in ARGUED:
        if key[:3] == (fact, target, before) and (now is key[3] if key[3] is None else isinstance(now, key[3])):
            return key
    return None


def same_call(one, other):
    first = [next((t for t in m["turns"] if t[0] == "user"), None) for m in (one, other)]
    return first[0] == first[1]


def compare(done, cases, partners):
    """Every translation with its own source, and with what the other providers of its group were asked."""
    recorded = {file: (dialect, r) for file, dialect, r in cases}
    read = {file: meaning.read(dialect, r["request_body"], r["url_path"]) for file, (dialect, r) in recorded.items()}
    count, silent = collections.Counter(), collections.defaultdict(list)
    for d in done:
        source, got = read[d["file"]], meaning.read(d["to"], d["body"], d["path"])
        changed = meaning.differences(got, source)
        count["translations"] += 1
        count["translations, equal"] += not changed
        for fact, (now, before) in changed.items():
            if BEHIND.get(fact, set()) & d["losses"]:
                count["told", fact] += 1
                continue
            why = argument(fact, d["to"], before, now)
            if why:
                count["argued", why] += 1
            else:
                silent[fact, d["from"], d["to"]].append(f"{d['file']}: {str(before)[:120]} became {str(now)[:120]}, told: {sorted(d['losses'])}")
        for _group, file in partners.get(d["file"], ()):
            if file not in recorded or recorded[file][0] != d["to"]:
                continue
            if not same_call(source, read[file]):
                count["not the same call"] += 1
                continue
            apart = meaning.differences(got, read[file])
            count["pairs"] += 1
            count["pairs, equal"] += not apart
            for fact in apart:
                count["pairs: changed by the translation" if fact in changed else "pairs: asked otherwise", fact] += 1
    return count, silent


def show(count, silent):
    """The share that is equal, and the reasons for the rest; (passed, failed) of the pairs of dialects and the arguments."""
    print(f"{count['translations']} translations: {count['translations, equal']} mean the same; of the others")
    for (_, fact), n in sorted((k, n) for k, n in count.items() if k[0] == "told"):
        print(f"  {fact}: {n} times changed and told so by the loss report")
    for key, why in ARGUED.items():
        print(f"  {key[0]} to {key[1]}: {count['argued', key]} times: {why}")
    print(f"{count['pairs']} of them stand beside what another provider was asked ({count['not the same call']} more are grouped but ask something "
          f"else): {count['pairs, equal']} ask the same; the others differ in")
    for how in ("pairs: asked otherwise", "pairs: changed by the translation"):
        facts = ", ".join(f"{fact} ({n})" for (_, fact), n in sorted((k, n) for k, n in count.items() if k[0] == how))
        print(f"  {how.split(': ')[1]}: {facts}")
    for (fact, one, other), places in sorted(silent.items()):
        print(f"FAIL {one} -> {other}: {fact} changed {len(places)} times and nothing says so: {places[0]}")
    stale = [key for key in ARGUED if not count["argued", key]]
    for key in stale:
        print(f"FAIL no difference needs this argument any more: {key}")
    bad = {(one, other) for _, one, other in silent}
    return len(DOORS) * (len(DOORS) - 1) - len(bad), len(bad) + len(stale)


def sample(done):
    """At most PER_PAIR of each pair, from all of it: validation by the SDKs takes longer than everything else."""
    pairs = {}
    for d in done:
        pairs.setdefault((d["from"], d["to"]), []).append(d)
    return [d for of in pairs.values() for d in of[::max(1, len(of) // PER_PAIR)]]


def main():
    cases, partners, uneven = scenarios()
    if not cases:
        print("SKIP there are no recordings in ../shared (or $WEIR_SHARED)\n0 passed, 0 failed, 1 skipped")
        return 0
    clients.PYPI.update(SDKS)
    missing = {sdk: why for sdk in SDKS if (why := clients.want_python(sdk))}
    names = [d for d in DOORS if os.path.exists(os.path.join(BUILD, "providers", d + ".so"))]
    done, refused, broken = translate(cases, names)
    print(f"{len(cases)} recorded requests, {len(done)} translations, {refused} refused with a reason; groups with members left out, since they "
          f"have another number of exchanges: {len(uneven)}")
    same, apart = show(*compare(done, cases, partners))
    with tempfile.TemporaryDirectory(prefix="weir-types-") as folder:
        path = os.path.join(folder, "requests.json")
        checkable = sample([{k: d[k] for k in ("from", "to", "file", "body")} for d in done if OF_DIALECT[d["to"]] not in missing])
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
    failed += len(broken) + apart
    print(f"{passed + same} passed, {failed} failed, {len(missing)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
