#!/usr/bin/env python3
"""Every recorded exchange through weir: the recorded answer is what the provider says, the recorded request what the client asks, at
the door of the same dialect; chats are answered in the six other dialects too. README.md says what counts as passed.

    run.py               says what does not pass
    run.py --table       and prints the table for README.md

Needs ../shared (or $WEIR_SHARED); without it, it is skipped, with the reason."""
import base64
import collections
import http.client
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
from harness import SHARED, Upstream, Weir  # noqa: E402

FOLDER = os.path.join(SHARED, "recordings")
DIALECTS = ("openai", "responses", "anthropic", "gemini", "bedrock", "cohere", "ollama")
ASK = {"messages": [{"role": "user", "content": "hi"}]}

# ---- what a recording is --------------------------------------------------------------------------------------------


def chat_dialect(r, path):
    if r["method"] != "POST" or not isinstance(r["request_body"], dict):
        return None
    ends = {"/chat/completions": "openai", "/responses": "responses", "/converse": "bedrock", "/converse-stream": "bedrock",
            ":generateContent": "gemini", ":streamGenerateContent": "gemini", "/api/chat": "ollama"}
    if path.endswith("/v1/messages") and r["provider"] == "anthropic":
        return "anthropic"
    if path == "/v2/chat":
        return "cohere"
    return next((d for end, d in ends.items() if path.endswith(end)), None)


def door_of(r):
    """(operation, dialect, path at weir's door): what weir knows by itself; (None, None, None): what it relays."""
    path, _, query = r["url_path"].partition("?")
    dialect = chat_dialect(r, path)
    if dialect == "gemini":
        verb = path.rpartition(":")[2]
        return "chat", dialect, f"/gemini/v1beta/models/to-gemini:{verb}" + (f"?{query}" if "alt=sse" in query else "")
    if dialect == "bedrock":
        return "chat", dialect, "/bedrock/model/to-bedrock/" + path.rpartition("/")[2]
    doors = {"openai": "/openai/v1/chat/completions", "responses": "/openai/v1/responses", "anthropic": "/anthropic/v1/messages",
             "cohere": "/cohere/v2/chat", "ollama": "/ollama/api/chat"}
    if dialect:
        return "chat", dialect, doors[dialect]
    return beside_chat(r, path)


def beside_chat(r, path):
    if r["method"] != "POST" or not isinstance(r["request_body"], dict):
        return None, None, None
    verb = path.rpartition(":")[2]
    if path == "/v2/embed":
        return "embeddings", "cohere", "/cohere/v2/embed"
    if path.endswith("/v1/embeddings") and r["provider"] != "voyage":
        return "embeddings", "openai", "/openai/v1/embeddings"
    if verb in ("embedContent", "batchEmbedContents"):
        return "embeddings", "gemini", f"/gemini/v1beta/models/to-gemini:{verb}"
    if path == "/v2/rerank":
        return "rerank", "cohere", "/cohere/v2/rerank"
    if path == "/v1/messages/count_tokens":
        return "count_tokens", "anthropic", "/anthropic/v1/messages/count_tokens"
    if verb == "countTokens":
        return "count_tokens", "gemini", "/gemini/v1beta/models/to-gemini:countTokens"
    return None, None, None


def answer_of(r):
    text = r["response_body"]
    if r["response_body_encoding"] == "base64":
        return base64.b64decode(text)
    return (text if isinstance(text, str) else json.dumps(text)).encode()


def is_stream(r, body):
    kind = next((v for k, v in r["response_headers"] if k.lower() == "content-type"), "")
    return "stream" in kind or "ndjson" in kind or body.lstrip()[:5] in (b"data:", b"event") or b'"done":false' in body


# ---- weir -----------------------------------------------------------------------------------------------------------

def configuration(url):
    def entry(dialect):
        more = {"region": "us-east-1", "key": "AKIAIOSFODNN7EXAMPLE:x"} if dialect == "bedrock" else {"key": "x"}
        return {"dialect": dialect, "base_url": url, "breaker": {"failures": 0}, **more}

    raw = [{"match": {"path": "/*", "header": {"x-raw": d}}, "raw": d, "pipeline": [], "open": True} for d in ("openai", "bedrock")]
    return {"providers": {d: entry(d) for d in DIALECTS}, "on_loss": "allow", "entry": [], "limits": {"body": "64MB"},
            "routes": raw + [{"match": {"path": "/*"}, "pipeline": [], "open": True, "hedge": "off"}],
            "models": {f"to-{d}": {"targets": [f"{d}/m"]} for d in DIALECTS}}


AWS = "application/vnd.amazon.eventstream"


class Played:
    """Answers every request with the recording that is set."""

    def __init__(self):
        self.status, self.body, self.type = 200, b"", ""

    def set(self, r):
        self.status, self.body = r["status"], answer_of(r)
        told = next((v for k, v in r["response_headers"] if k.lower() == "content-type"), None)
        self.type = told or ("application/x-ndjson" if b'"done":false' in self.body else "text/event-stream" if is_stream(r, self.body) else AWS if r["response_body_encoding"] == "base64" and
                             "stream" in r["url_path"] else "application/json")

    def __call__(self, connection):
        while connection.read_request() is not None:
            connection.respond(self.status, self.body, {"content-type": self.type})


class Client:
    def __init__(self, weir):
        self.address, self.connection = weir.url.split("//")[1], None

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, method, path, body, headers=None):
        """(status, bytes); status 0: the answer broke off."""
        if not self.connection:
            self.connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            self.connection.request(method, path, body, {"content-type": "application/json", **(headers or {})})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, OSError) as error:
            self.close()
            return 0, repr(error).encode()


KEYS = (401, 402, 403)  # what is wrong with weir's own key is not what the client did: it gets 5xx, and the key sits on a bench

# ---- what has to hold -----------------------------------------------------------------------------------------------

ENDS = {"openai": b"[DONE]", "responses": (b'"response.completed"', b'"response.incomplete"'), "anthropic": b"message_stop",
        "gemini": b"finishReason", "cohere": b"message-end", "bedrock": b"messageStop", "ollama": b'"done":true'}
WHOLE = {"openai": "choices", "responses": "output", "anthropic": "content", "gemini": "candidates", "cohere": "message",
         "bedrock": "output", "ollama": "message"}


def question(dialect, streams):
    """A path and a body for to-TARGET in a client's own dialect."""
    if dialect == "gemini":
        return "/gemini/v1beta/models/to-{}:" + ("streamGenerateContent?alt=sse" if streams else "generateContent"), {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    if dialect == "bedrock":
        return "/bedrock/model/to-{}/converse" + ("-stream" if streams else ""), {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    if dialect == "responses":
        return "/openai/v1/responses", {"model": "to-{}", "input": "hi", "stream": streams}
    paths = {"openai": "/openai/v1/chat/completions", "anthropic": "/anthropic/v1/messages", "cohere": "/cohere/v2/chat",
             "ollama": "/ollama/api/chat"}
    more = {"max_tokens": 9} if dialect == "anthropic" else {}
    return paths[dialect], {"model": "to-{}", "stream": streams, **ASK, **more}


def fault_of_other(dialect, streams, r, status, got):
    if r["status"] >= 400:
        return None if status >= 400 and got.lstrip()[:1] == b"{" else f"{r['status']} became {status}: {got[:100]!r}"
    if status != 200:
        return f"{status}: {got[:160]!r}"
    if streams:
        ends = ENDS[dialect] if isinstance(ENDS[dialect], tuple) else (ENDS[dialect],)
        return None if any(e in got for e in ends) else f"no end: {got[-120:]!r}"
    return None if WHOLE[dialect] in json.loads(got) else f"no {WHOLE[dialect]}: {got[:120]!r}"


def fault_of_own(r, status, got):
    want = answer_of(r)
    if r["status"] in KEYS:
        return None if status >= 400 and got else f"{r['status']} became {status}: {got[:160]!r}"
    if status != r["status"]:
        return f"{r['status']} became {status}: {got[:160]!r}"
    if got == want or got.split() == want.split():
        return None
    try:
        return None if json.loads(got) == json.loads(want) else f"other JSON: {got[:160]!r}"
    except ValueError:
        return f"other bytes: {got[:120]!r}"


class Tally:
    def __init__(self):
        self.n, self.passed, self.faults, self.translated, self.translated_passed = 0, 0, [], 0, 0


def run_own(client, r, path):
    body = dict(r["request_body"])
    if "model" in body:
        body["model"] = "to-" + door_of(r)[1]
    for request in body.get("requests") or []:
        if isinstance(request, dict) and "model" in request:
            request["model"] = "models/to-gemini"
    return fault_of_own(r, *client.ask("POST", path, json.dumps(body)))


def run_raw(client, r):
    body = r["request_body"]
    text = None if body in (None, "") else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    raw = "bedrock" if r["provider"].startswith("bedrock") and r["provider"] != "bedrock-mantle" else "openai"
    path = r["url_path"].replace("<", "").replace(">", "").replace(" ", "%20")
    return fault_of_own(r, *client.ask(r["method"], path, text, {"x-raw": raw}))


def run_others(client, r, own, tally):
    streams = is_stream(r, answer_of(r)) or (own == "gemini" and "stream" in r["url_path"])
    for dialect in DIALECTS:
        if dialect == own:
            continue
        path, body = question(dialect, streams)
        status, got = client.ask("POST", path.format(own), json.dumps(body).replace("to-{}", "to-" + own))
        fault = fault_of_other(dialect, streams, r, status, got)
        tally.translated += 1
        tally.translated_passed += fault is None
        if fault:
            tally.faults.append(f"to {dialect}: {fault}")


# ---- exceptions -----------------------------------------------------------------------------------------------------

# (provider, operation, part of the fault) -> why it is right as it is.
ARGUED = {
    ("groq", "chat", "0: b'IncompleteRead"): "an error event in the middle: all of it was passed on, and the stream has no clean end",
    ("huggingface", "chat", "other bytes"): "usage that the client did not ask for is taken out",
    ("local-openai-compatible", "chat", "other bytes"): "usage that the client did not ask for is taken out",
    ("openrouter", "responses", "other bytes"): "a [DONE], which this dialect does not have, is left out",
    ("deepseek", "responses", "other JSON"): "an error that calls itself octet-stream is told anew",
    ("openai", "chat", "must be an integer of at least 1"): "refused at the door already, with the same status",
    ("openai", "chat", "send at least one message"): "refused at the door already, with the same status",
    ("openai", "embeddings", "must be an integer of at least 1"): "refused at the door already, with the same status",
    ("vertex", "generateContent", "must be user or model"): "refused at the door already, with the same status",
}


def argument(provider, operation, fault):
    return next((key for key in ARGUED if key[:2] == (provider, operation) and key[2] in fault), None)


def table(tallies):
    print("\n| provider | operation | way | recorded | pass | in six dialects | pass |\n|---|---|---|---|---|---|---|")
    for (provider, operation, way), t in sorted(tallies.items()):
        others = f"{t.translated} | {t.translated_passed}" if t.translated else " | "
        print(f"| {provider} | {operation} | {way} | {t.n} | {t.passed} | {others} |")


def main():
    index = os.path.join(FOLDER, "index.jsonl")
    if not os.path.exists(index):
        print("SKIP there are no recordings in ../shared (or $WEIR_SHARED)\n0 passed, 0 failed, 1 skipped")
        return 0
    played, tallies, used = Played(), collections.defaultdict(Tally), set()
    with Upstream(played) as up, Weir(configuration(up.url)) as weir:
        client = Client(weir)
        with open(index, encoding="utf-8") as f:
            entries = [json.loads(line) for line in f]
        for entry in entries:
            with open(os.path.join(FOLDER, entry["file"]), encoding="utf-8") as f:
                r = json.load(f)
            operation, own, path = door_of(r)
            t = tallies[r["provider"], entry["endpoint"], "dialect" if own else "relayed"]
            played.set(r)
            t.n += 1
            before = len(t.faults)
            fault = run_own(client, r, path) if own else run_raw(client, r)
            t.passed += fault is None
            if fault:
                t.faults.append(fault)
            if operation == "chat":
                run_others(client, r, own, t)
            if r["status"] in KEYS or r["status"] == 429:
                weir.reload()  # forgives keys
                client.close()
            for i in range(before, len(t.faults)):
                t.faults[i] = f"{entry['file']}: {t.faults[i]}"
    if "--table" in sys.argv:
        table(tallies)
    return finish(tallies, used)


def finish(tallies, used):
    passed = failed = 0
    for (provider, operation, _way), t in sorted(tallies.items()):
        bad = []
        for fault in t.faults:
            key = argument(provider, operation, fault)
            if key:
                used.add(key)
            else:
                bad.append(fault)
        passed += t.passed + t.translated_passed
        failed += len(bad)
        for fault in bad[:3]:
            print(f"FAIL {provider} {operation} ({len(bad)}): {fault}")
    for key in set(ARGUED) - used:
        failed += 1
        print(f"FAIL nothing needs this exception any more: {key}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
