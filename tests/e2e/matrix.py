"""The matrix of what providers do wrong: each case in four client dialects, streamed and whole, in a weir with two retries, time-outs of
30 s and a fallback. What is said here are seconds of weir's clocks; FACTOR says how many of them go by in a real one.

A case asks in all eight ways at once, each way with providers of its own: `a` speaks the client's dialect, `b` and `c` speak OpenAI's, or
what the case says. The oracle for bytes is weir itself: what a client gets from `a` or `b` alone when nothing is wrong. The cases are in
test_matrix.py, with FACTOR 10, and in tests/soak/matrix.py, in real time."""
import contextlib
import json
import re
import threading
import time

import harness
import scripted
from harness import Upstream, Weir, openai_body
from scripted import Script, story
from test_rescue import BEFORE, CUT, LAST, PIECES, TEXT, WORDS, says, send
from test_responses import ladder

REFUSED = "nobody is there"
DIALECTS = ("openai", "anthropic", "gemini", "responses")
WAYS = [(d, s) for d in DIALECTS for s in (False, True)]
PIECES["responses"] = lambda words, _usage: ({**e, "sequence_number": i} for i, e in enumerate(ladder(words)))
BEFORE["responses"] = 4


class Clock:
    """factor: so many seconds of weir's go by in one of ours."""

    def __init__(self, factor):
        self.factor, self.env = factor, {"WEIR_TEST_TIME_FACTOR": str(factor)}

    def real(self, seconds):
        return seconds / self.factor

    def patience(self):
        return self.real(200) + 10 * harness.SLOW


CLOCK = Clock(10 // harness.SLOW)

# ---- what providers do ----------------------------------------------------------------------------------------------


def is_stream(request):
    return "streamGenerateContent" in request.path or bool(request.json.get("stream"))


def document(dialect, words):
    text = "".join(words)
    if dialect == "anthropic":
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": len(words)}}
    if dialect == "gemini":
        return list(PIECES[dialect]([text], True))[0]
    if dialect == "responses":
        return list(ladder(words))[-1]["response"]
    return openai_body(text)


def by_kind(streamed, whole):
    """One action for streamed requests, another for whole ones; each is made for a dialect."""
    def made(dialect):
        def act(conn, request, script):
            return (streamed if is_stream(request) else whole)(dialect)(conn, request, script)
        return act
    return made


def fine(dialect, words=WORDS):
    return by_kind(lambda d: says(d, words), lambda d: lambda conn, _r, _s: conn.respond(200, document(d, words)))(dialect)


def other(dialect):
    return fine(dialect, ["another", " answer"])


def rest(dialect):
    """Goes on where the other broke off; a request that isn't asked to go on is answered whole."""
    return by_kind(lambda d: says(d, WORDS[CUT:]), other)(dialect)


def rest_in_words(dialect):
    return by_kind(lambda d: says(d, [LAST] + WORDS[CUT:]), other)(dialect)


def plain(status, code=None, message="it is broken", **headers):
    """An error as each dialect says it."""
    kinds = {400: ("invalid_request_error", "INVALID_ARGUMENT"), 429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
             500: ("api_error", "INTERNAL"), 503: ("overloaded_error", "UNAVAILABLE")}

    def made(dialect):
        kind, name = kinds[status]
        openais = {"error": {"message": message, "type": "invalid_request_error" if status == 400 else None, "code": code, "param": None}}
        body = {"openai": openais, "responses": openais,
                "anthropic": {"type": "error", "error": {"type": kind, "message": message}},
                "gemini": {"error": {"code": status, "message": message, "status": name}}}[dialect]
        return lambda conn, _r, _s: conn.respond(status, body, {k.replace("_", "-"): v for k, v in headers.items()})
    return made


def reset(_dialect):
    return scripted.reset


def wait_for_its_end(conn):
    conn.is_closed(CLOCK.patience())
    return False


def silent(_dialect):
    return lambda conn, _r, _s: wait_for_its_end(conn)


def late(seconds):
    def made(dialect):
        def act(conn, request, script):
            return False if conn.is_closed(CLOCK.real(seconds)) else fine(dialect)(conn, request, script)
        return act
    return made


def part_of_stream(then):
    """Two thirds of the events, then this."""
    def made(dialect):
        def act(conn, request, script):
            says(dialect, WORDS, CUT)(conn, request, script)
            return then(conn)
        return act
    return made


def part_of_document(then):
    def made(dialect):
        def act(conn, _request, _script):
            data = json.dumps(document(dialect, WORDS)).encode()
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data[:len(data) * 2 // 3])
            return then(conn)
        return act
    return made


def closes(conn):
    conn.close()
    return False


def garbage(conn):
    conn.chunk('data: {"choices":[{"delta":{"content":"\\u12"}}]\n\n')
    return wait_for_its_end(conn)


cut = by_kind(part_of_stream(closes), part_of_document(closes))
stalls = by_kind(part_of_stream(wait_for_its_end), part_of_document(wait_for_its_end))
garbled = by_kind(part_of_stream(garbage), lambda d: lambda conn, _r, _s: conn.respond(200, b'{"id": "x", "choices": [{]}'))


def ends_early(dialect):
    """In the middle, as if that were the end."""
    def whole(_dialect):
        def act(conn, _request, _script):
            data = json.dumps(document(dialect, WORDS)).encode()
            conn.respond(200, data[:len(data) * 2 // 3])
        return act
    return by_kind(part_of_stream(lambda conn: conn.end()), whole)(dialect)


def no_terminator(dialect):
    """All of the answer, without what says that this was all: [DONE], message_stop; of a document, its length."""
    def streamed(_dialect):
        def act(conn, _request, _script):
            conn.start_sse()
            for piece in PIECES[dialect](WORDS, True):
                if piece.get("type") != "message_stop":
                    send(conn, dialect, piece)
            conn.end()
        return act

    def whole(_dialect):
        def act(conn, _request, _script):
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + json.dumps(document(dialect, WORDS)).encode())
            return closes(conn)
        return act
    return by_kind(streamed, whole)(dialect)


def too_long(dialect):
    message = {"anthropic": "prompt is too long: 9000 tokens > 8192 maximum",
               "gemini": "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."}
    return plain(400, "context_length_exceeded", message.get(dialect, "This model's maximum context length is 8192 tokens."))(dialect)


def refused_content(dialect):
    """As an error before anything was said; Gemini says it inside an answer."""
    if dialect == "gemini":
        blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}

        def streamed(_dialect):
            def act(conn, _request, _script):
                conn.start_sse()
                conn.event(blocked)
                conn.end()
            return act
        return by_kind(streamed, lambda d: lambda conn, _r, _s: conn.respond(200, blocked))(dialect)
    message = "Output blocked by content filtering policy" if dialect == "anthropic" else "it is against the policy"
    return plain(400, "content_filter", message)(dialect)


def refuses_prefill(dialect):
    """As models do that can't; asked in words, it goes on."""
    message = "This model does not support assistant message prefill. The conversation must end with a user message."
    refuses, goes_on = plain(400, None, message)(dialect), rest_in_words(dialect)

    def act(conn, request, script):
        return (refuses if request.json["messages"][-1]["role"] == "assistant" else goes_on)(conn, request, script)
    return act


# ---- playing --------------------------------------------------------------------------------------------------------

BASES = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta", "responses": "/v1"}


class Provider:
    """Actions made for the dialect it speaks."""

    def __init__(self, dialect, makers):
        self.dialect = dialect
        self.up = None if makers is REFUSED else Upstream(Script(*[m(dialect) for m in makers]))

    def entry(self):
        url = self.up.url if self.up else "http://127.0.0.1:9"
        return {"dialect": self.dialect, "base_url": url + BASES[self.dialect], "key": "k", "timeouts": {"total": "45s"}}

    @property
    def asked(self):
        return len(self.up.requests) if self.up else 0


class Patient:
    """As much of a Weir as ask() needs; its clients wait as long as the matrix may take."""

    def __init__(self, weir):
        self.weir = weir

    def post(self, path, body, headers=None):
        with self.weir.client(CLOCK.patience()) as c:
            return c.request("POST", path, body=body, headers=headers).response()


class Way:
    """One of the eight, with its providers and what came of it."""

    def __init__(self, n, dialect, stream, scripts, dialects):
        self.n, self.dialect, self.stream = n, dialect, stream
        speak = [dialects.get(x) or (dialect if x == "a" else "openai") for x in "abc"]
        self.providers = [Provider(d, s) for d, s in zip(speak, scripts)]
        self.controls = [Provider(speak[0], [fine]), Provider(speak[1], [other]), Provider(speak[2], [fine])]
        self.error = None

    def name(self, i):
        return "abc"[i] + str(self.n)

    def add(self, c, contexts):
        for i, p in enumerate(self.providers):
            c["providers"][self.name(i)] = p.entry()
            if contexts:
                c["models"][f"{self.name(i)}/m"] = {"context": contexts[i]}
        c["models"][f"m{self.n}"] = {"targets": [f"{self.name(i)}/m" for i in range(len(self.providers))]}
        for name, p in zip("xyz", self.controls):
            c["providers"][f"{name}{self.n}"] = p.entry()
            c["models"][f"{name}{self.n}"] = {"targets": [f"{name}{self.n}/m"]}

    def ask(self, weir):
        try:
            self.normal = {a: scripted.ask(Patient(weir), self.dialect, self.stream, f"{x}{self.n}").response for a, x in zip("abc", "xyz")}
            before = time.monotonic()
            self.answer = scripted.ask(Patient(weir), self.dialect, self.stream, f"m{self.n}")
            self.seconds = (time.monotonic() - before) * CLOCK.factor
        except Exception as e:  # told by the test's own thread
            self.error = e

    def story(self):
        return [(t[0], c) for t, c in story(self.record)]

    def close(self):
        for p in self.providers + self.controls:
            if p.up:
                p.up.close()


def settings(ways, route, contexts):
    c = {"entry": ["log"], "workers": 2, "providers": {}, "models": {}, "watchdog": "0s",
         "routes": [{"match": {"path": "/v1*"}, "open": True, "pipeline": [], "retries": 2, "hedge": "off", **route}],
         "timeouts": {"connect": "5s", "first_token": "30s", "idle": "30s", "total": "150s"}}
    for w in ways:
        w.add(c, contexts)
    return c


def records(weir, n):
    lines = harness.wait_until(lambda: (found := [json.loads(x) for x in weir.stdout().splitlines() if x.startswith("{") and x.endswith("}")]) and
                               len(found) >= n and found, f"{n} records")
    assert len(lines) == n, f"{len(lines)} records of {n} requests"
    return {r["model"]["asked"] if isinstance(r.get("model"), dict) else r["model"]: r for r in lines}


@contextlib.contextmanager
def played(scripts, route=None, contexts=None, dialects=None):
    """All ways of a case, over: each has answer, record, seconds and its providers. On leaving nothing may be left behind."""
    ways = [Way(n, d, s, scripts, dialects or {}) for n, (d, s) in enumerate(WAYS)]
    try:
        with Weir(settings(ways, route or {}, contexts), env=CLOCK.env, clean=False) as weir:
            threads = [threading.Thread(target=w.ask, args=(weir,)) for w in ways]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            told = records(weir, 4 * len(ways)) if not any(w.error for w in ways) else {}
            for w in ways:
                w.record = told.get(f"m{w.n}")
            yield ways
            weir.assert_clean(descriptors=8 * len(ways))  # kept connections to its providers
            for w in ways:
                for i in range(len(w.providers)):
                    name = w.name(i)
                    assert not weir.metric('weir_provider_in_flight{provider="%s"}' % name), f"{name} is in flight"
                    assert not weir.metric('weir_target_in_flight{target="%s/m"}' % name), f"{name}/m is in flight"
    finally:
        for w in ways:
            w.close()


def play(scripts, wants, **more):
    with played(scripts, **more) as ways:
        for w in ways:
            try:
                if w.error:
                    raise AssertionError(repr(w.error))
                wants(w)
            except AssertionError as e:
                raise AssertionError(f"{w.dialect}, stream={w.stream}: {e}\n{repr(getattr(w, 'answer', ''))[:900]}\n{getattr(w, 'record', '')}\n"
                                     f"asked {[p.asked for p in w.providers]} in {getattr(w, 'seconds', 0):.1f} s") from e


# ---- what must have come of it --------------------------------------------------------------------------------------

def without_own(body):
    """What is weir's own and another each time: the time where a provider doesn't tell it, ids it made, whose id it is."""
    body = re.sub(rb'("created(?:_at)?"): ?\d+', rb"\1:0", body)
    return re.sub(rb'(weir_)\w{24}|~[a-cx-z]\d(?=")', rb"\1", body)


def same_bytes(got, wanted):
    a, b = without_own(got.body), without_own(wanted.body)
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    assert a == b, f"the bytes, from {at}: {a[at:at + 200]} instead of {b[at:at + 200]}"


COUNTS = re.compile(r'("(?:completion|prompt|total|(?:cache_\w+_)?input|output)_tokens"|"(?:prompt|candidates|total)TokenCount"): ?\d+')


def events(response):
    """[(name, document)] of a stream; keep-alives and token counts left out."""
    found = []
    for block in re.split(r"\r?\n\r?\n", without_own(response.body).decode()):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields.get("event") != "ping" and "data" in fields:
            data = COUNTS.sub(r"\1:0", fields["data"])
            found += [(fields.get("event"), e) for e in ([data] if data == "[DONE]" else finish_apart(json.loads(data)))]
    return found


def finish_apart(event):
    """Gemini's last words may come with the reason of their end or before it."""
    for c in event.get("candidates", []):
        words = c.get("content", {}).get("parts", [{}])[0].get("text")
        if words and c.get("finishReason"):
            last = json.loads(json.dumps(event))
            last["candidates"][0]["content"]["parts"][0]["text"] = ""
            del c["finishReason"]
            return [event, last]
    return [event]


def same_events(got, wanted):
    """What one target began and another finished: the part that was relayed byte by byte, then each event by its meaning, for weir writes
    them as its own encoder does."""
    at = wanted.body.index(WORDS[CUT].encode())
    begun = wanted.body[:wanted.body.rindex(b"\n\n", 0, at)]
    assert without_own(got.body).startswith(without_own(begun)), f"the beginning: {got.body[:len(begun)]} instead of {begun}"
    a, b = ([strip(e) for e in events(x)] for x in (got, wanted))
    assert a == b, f"the events: {[e for e in a if e not in b]} instead of {[e for e in b if e not in a]} ({len(a)}, {len(b)})"


def strip(event):
    """An event without what says nothing (null fields, padding) and without the settings that Responses repeats in its last event."""
    def clean(x):
        if isinstance(x, dict):
            return {k: clean(v) for k, v in x.items() if v is not None and k != "obfuscation" and not k.startswith("usage")}
        return [clean(v) for v in x] if isinstance(x, list) else x
    said = clean(event[1])
    if "response" in said:
        said["response"] = {k: said["response"][k] for k in ("id", "object", "model", "status", "output")}
    return event[0], said


def of(w, value):
    """value, or the one of {True: streamed, False: whole}."""
    return value[w.stream] if isinstance(value, dict) else value


def answered(who, asked, told, least=0.0, most=20.0):
    """who: "a", "b" (its whole answer), "rescued" (begun by one and finished by another, seamlessly). told: the story of the attempts."""
    def wants(w):
        name, counts, attempts = of(w, who), of(w, asked), of(w, told)
        assert [p.asked for p in w.providers] == counts, "how often each was asked"
        assert w.answer.status == 200 and w.answer.is_whole, "an answer that is whole"
        assert w.answer.text == ("another answer" if name == "b" else TEXT), w.answer.text
        if name == "rescued":
            same_events(w.answer.response, w.normal["a"])
        else:
            same_bytes(w.answer.response, w.normal[name])
        assert w.story() == attempts, w.story()
        assert all("reason" in a for a in w.record["attempts"][1:]) and "reason" not in w.record["attempts"][0], "the reasons"
        assert w.record["status"] == 200 and "error" not in w.record, "the record's status"
        begun_by = attempts[0][0] if name == "rescued" else attempts[-1][0]
        assert w.record["target"][0] == begun_by and w.answer.headers["x-weir-target"][0] == begun_by, "the record's target"
        assert of(w, least) <= w.seconds <= of(w, most), f"{w.seconds:.1f} s"
    return wants


def error_document(dialect, status, document_, message):
    """A client's error has exactly the shape of its dialect."""
    if dialect in ("openai", "responses"):
        assert set(document_) == {"error"} and set(document_["error"]) == {"message", "type", "param", "code"}, document_
    elif dialect == "anthropic":
        assert document_["type"] == "error" and set(document_["error"]) == {"type", "message"}, document_
    else:
        assert set(document_) == {"error"} and document_["error"]["code"] == status and document_["error"]["status"], document_
    assert message in document_["error"]["message"], document_


def failed(status, asked, told, message, most=20.0):
    def wants(w):
        assert [p.asked for p in w.providers] == of(w, asked), "how often each was asked"
        assert w.answer.status == status, "the status"
        assert w.answer.headers["content-type"].startswith("application/json") and w.answer.response.is_complete
        error_document(w.dialect, status, w.answer.response.json, message)
        assert w.story() == of(w, told), w.story()
        assert w.record["status"] == status and w.record["error"]["class"], "the record's error"
        assert w.seconds <= most, f"{w.seconds:.1f} s"
    return wants
