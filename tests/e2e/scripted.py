"""Providers that fail on cue, for the tests of what weir does when they do. Each action answers one request, in order; the last is
used again. And the ways to ask: two client dialects, streamed and whole."""
import json
import threading

import harness

PLAIN_ERROR = {"error": {"message": "it is broken", "type": None, "code": None, "param": None}}


class Script:
    def __init__(self, *actions):
        self.actions, self.n, self.lock = list(actions), 0, threading.Lock()
        self.over = threading.Event()

    def __call__(self, conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            with self.lock:
                action = self.actions[min(self.n, len(self.actions) - 1)]
                self.n += 1
            if action(conn, request, self) is False:
                return


def ok(text="fine", headers=None):
    def act(conn, request, _script):
        if request.json.get("stream"):
            harness.send_openai_stream(conn, request, [text])
        else:
            conn.respond(200, harness.openai_body(text), headers)
    return act


def error(status, body=PLAIN_ERROR, **headers):
    def act(conn, _request, _script):
        conn.respond(status, body, {k.replace("_", "-"): v for k, v in headers.items()})
    return act


def coded(status, code, message="no", kind="invalid_request_error"):
    return error(status, {"error": {"message": message, "type": kind, "code": code, "param": None}})


def reset(conn, _request, _script):
    conn.reset()
    return False


def silent(conn, _request, script):
    """No byte, until the test is over or weir has gone away."""
    conn.is_closed()
    return False


def held(gate, then):
    def act(conn, request, script):
        assert gate.wait(harness.DEADLINE)
        return then(conn, request, script)
    return act


# ---- asking ---------------------------------------------------------------------------------------------------------

class Answer:
    """What the client saw: status, headers, text ("" if none), the error's message, whether it ended as it should."""

    def __init__(self, response, dialect):
        self.response, self.status, self.headers = response, response.status, response.headers
        self.text = self.error = ""
        if response.status != 200:
            self.error = response.json["error"]["message"]
        elif "event-stream" in self.headers["content-type"]:
            self.text, self.is_whole = STREAMED[dialect](response)
        else:
            self.text, self.is_whole = WHOLE[dialect](response.json), True

    def __repr__(self):
        return repr(self.response)


def openai_text(response):
    return response.content, response.events[-1] == "[DONE]" and response.is_complete


def anthropic_text(response):
    events = [json.loads(e) for e in response.events]
    text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
    return text, events[-1]["type"] == "message_stop" and response.is_complete


def gemini_words(chunk):
    return "".join(p.get("text", "") for c in chunk.get("candidates", []) for p in c.get("content", {}).get("parts", []))


def gemini_text(response):
    events = [json.loads(e) for e in response.events]
    ended = [c["finishReason"] for e in events for c in e.get("candidates", []) if c.get("finishReason")]
    return "".join(gemini_words(e) for e in events), bool(ended) and response.is_complete


def responses_text(response):
    events = [json.loads(e) for e in response.events]
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    return text, events[-1]["type"] == "response.completed" and response.is_complete


STREAMED = {"openai": openai_text, "anthropic": anthropic_text, "gemini": gemini_text, "responses": responses_text}
WHOLE = {"openai": lambda j: j["choices"][0]["message"]["content"], "anthropic": lambda j: "".join(b["text"] for b in j["content"]),
         "gemini": gemini_words, "responses": lambda j: "".join(p["text"] for i in j["output"] for p in i["content"])}
WAYS = [(d, s) for d in ("openai", "anthropic", "gemini") for s in (False, True)]


def ask(weir, dialect, stream, model="m", text="hi", headers=None):
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    if stream:
        body["stream"] = True
    if dialect == "anthropic":
        body["max_tokens"] = 50
        return Answer(weir.post("/v1/messages", body, {"anthropic-version": "2023-06-01", **(headers or {})}), dialect)
    if dialect == "gemini":
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return Answer(weir.post(f"/v1beta/models/{model}:{verb}", body, headers), dialect)
    if dialect == "responses":
        return Answer(weir.post("/v1/responses", {"model": model, "input": text, "stream": stream}, headers), dialect)
    return Answer(weir.post("/v1/chat/completions", body, headers), dialect)


def records(weir, n):
    """The first n request records, in the order in which they were written."""
    def find():
        lines = [json.loads(x) for x in weir.stdout().splitlines() if x.startswith("{") and x.endswith("}")]
        return lines if len(lines) >= n else None
    return harness.wait_until(find, f"{n} records")


def story(record):
    """[(target, class), …] of a record's attempts."""
    return [(a["target"], a.get("error", {}).get("class", "ok")) for a in record.get("attempts", [])]


def settings(ups, retries=None, timeouts=None, context=None, providers=None, **more):
    """One provider per upstream, named a, b, c …, and a model m of one target of each."""
    c = {"entry": ["log"], "workers": 1, "routes": [{"match": {"path": "/v1*"}, "open": True, "pipeline": []}],
         "providers": {}, "models": {"m": {"targets": []}}, "timeouts": {"connect": "2s", **(timeouts or {})}}
    if retries is not None:
        c["routes"][0]["retries"] = retries
    for name, up in zip("abcd", ups):
        url = up.url if up else "http://127.0.0.1:9"
        c["providers"][name] = {"dialect": "openai", "base_url": url + "/v1", "key": "key-" + name}
        c["providers"][name].update((providers or {}).get(name, {}))
        c["providers"][name] = {k: v for k, v in c["providers"][name].items() if v is not None}
        c["models"]["m"]["targets"].append(f"{name}/m")
    for name, tokens in (context or {}).items():
        c["models"][f"{name}/m"] = {"context": tokens}
    c.update(more)
    return c
