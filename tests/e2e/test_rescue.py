"""A stream that broke after the client had seen part of it: another target finishes it, in three client dialects, from providers of
three, by prefill or in words. What the client sees byte by byte, how often each target is asked, what the record says."""
import json
import random
import statistics
import threading
import time

import harness
from harness import Upstream, Weir, openai_chunk
from scripted import STREAMED, Script, ask, error, records, settings, story

WORDS = ["The harbour", " wakes before", " the town", " does.", " At five", " the first boats", " come in,", " low in the water,", " and the",
         " gulls know it", " long before", " anyone else."]
TEXT = "".join(WORDS)
CUT = 8  # of WORDS
SENT = "".join(WORDS[:CUT])
LAST = SENT[SENT.index("the first boats"):]
DIALECTS = ("openai", "anthropic", "gemini")

# ---- providers ------------------------------------------------------------------------------------------------------


def openai_pieces(words, usage):
    yield openai_chunk({"role": "assistant", "content": ""})
    for w in words:
        yield openai_chunk({"content": w})
    yield openai_chunk({}, "stop")
    if usage:
        yield {**openai_chunk({}), "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(words), "total_tokens": 9 + len(words)}}


def anthropic_pieces(words, _usage):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1}}
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for w in words:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": len(words)}}
    yield {"type": "message_stop"}


def gemini_pieces(words, _usage):
    usage = {"promptTokenCount": 9, "candidatesTokenCount": len(words), "totalTokenCount": 9 + len(words)}
    for i, w in enumerate(words):
        candidate = {"content": {"parts": [{"text": w}], "role": "model"}, "index": 0}
        if i == len(words) - 1:
            candidate["finishReason"] = "STOP"
        yield {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini", "responseId": "r1"}


PIECES = {"openai": openai_pieces, "anthropic": anthropic_pieces, "gemini": gemini_pieces}
BEFORE = {"openai": 1, "anthropic": 2, "gemini": 0}  # events before the first word


def send(conn, dialect, piece):
    conn.event(piece, piece.get("type") if dialect in ("anthropic", "responses") and isinstance(piece, dict) else None)


def says(dialect, words, n=None):
    """The first n words of an answer, or all of it."""
    def act(conn, request, _script):
        conn.start_sse()
        for i, piece in enumerate(PIECES[dialect](words, True)):
            if n is not None and i == BEFORE[dialect] + n:
                return None
            send(conn, dialect, piece)
        if dialect == "openai":
            conn.event("[DONE]")
        conn.end()
        return None
    return act


def cut(dialect):
    def act(conn, request, script):
        says(dialect, WORDS, CUT)(conn, request, script)
        conn.close()
        return False
    return act


def no_terminator(dialect):
    def act(conn, request, script):
        says(dialect, WORDS, CUT)(conn, request, script)
        conn.end()
    return act


def stalls(dialect):
    def act(conn, request, script):
        says(dialect, WORDS, CUT)(conn, request, script)
        conn.is_closed()
        return False
    return act


def garbled(dialect):
    def act(conn, request, script):
        says(dialect, WORDS, CUT)(conn, request, script)
        conn.chunk('data: {"choices":[{"delta":{"content":"\\u12"}}]\n\n')
        conn.is_closed()
        return False
    return act


def half_an_event(dialect):
    """Cut inside a character of an event."""
    def act(conn, request, script):
        says(dialect, WORDS, CUT)(conn, request, script)
        conn.chunk('data: {"choices":[{"delta":{"content":"gr\u00fc'.encode()[:-1])
        conn.close()
        return False
    return act


def error_event(dialect):
    events = {"openai": {"error": {"message": "overloaded", "type": "server_error", "code": None, "param": None}},
              "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}},
              "gemini": {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}}

    def act(conn, request, script):
        says(dialect, WORDS, CUT)(conn, request, script)
        send(conn, dialect, events[dialect])
        conn.end()
    return act


FAULTS = {"cut": (cut, "broken"), "no terminator": (no_terminator, "broken"), "stall": (stalls, "timeout"), "garbled": (garbled, "broken"),
          "half an event": (half_an_event, "broken"), "error event": (error_event, "overloaded")}

# ---- playing --------------------------------------------------------------------------------------------------------


def provider(dialect, up):
    return {"dialect": dialect, "base_url": up.url + {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}[dialect]}


class Play:
    """One streamed request; the providers are (dialect, actions…)."""

    def __init__(self, client, *providers, rule=None, timeouts=None, asks=None):
        ups = [Upstream(Script(*p[1:])) for p in providers]
        try:
            c = settings(ups, providers={n: provider(p[0], u) for n, p, u in zip("abc", providers, ups)},
                         timeouts={"idle": "400ms", **(timeouts or {})})
            if rule:
                c["routes"][0]["rescue"] = rule
            with Weir(c) as weir:
                self.answer = (asks or (lambda w: ask(w, client, True)))(weir)
                self.record = records(weir, 1)[0]
                self.asked = [len(u.requests) for u in ups]
                self.requests = [u.requests for u in ups]
        finally:
            for u in ups:
                u.close()

    def __repr__(self):
        return f"{self.answer}\n{json.dumps(self.record, indent=1)}\n{[r.text for u in self.requests for r in u]}"


def check_order(client, answer):
    """One answer in its dialect: one beginning, one end, one id, one model."""
    events = [json.loads(e) for e in answer.response.events if e != "[DONE]"]
    if client == "openai":
        assert len({e["id"] for e in events}) == 1 and len({e["model"] for e in events}) == 1, answer
        assert sum(1 for e in events for c in e["choices"] if c.get("finish_reason")) == 1, answer
        assert answer.response.events[-1] == "[DONE]" and answer.response.events.count("[DONE]") == 1
    elif client == "anthropic":
        kinds = [e["type"] for e in events if e["type"] not in ("ping", "content_block_delta")]
        assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"], kinds
        assert len({e.get("index", 0) for e in events}) == 1, answer
    else:
        assert sum(1 for e in events for c in e["candidates"] if c.get("finishReason")) == 1, answer
        assert len({e.get("responseId") for e in events}) == 1 and len({e.get("modelVersion") for e in events}) == 1, answer


def assert_seamless(p, client, asked, classes, text=TEXT):
    assert p.answer.status == 200 and p.answer.text == text and p.answer.is_whole, p
    check_order(client, p.answer)
    assert p.asked == asked and [c for _, c in story(p.record)] == classes, p
    assert p.record["attempts"][1]["reason"].startswith("rescue: a/m broke off"), p
    assert "error" not in p.record and p.record["target"] == "a/m", p
    first = p.record["attempts"][0]["tokens"]
    assert first["output"] > 1 and first["estimated"], p


def assert_error(p, asked, sent=SENT):
    """What was sent stands, an error event comes behind it, and nothing looks like an end."""
    raw = p.answer.response.body.decode()
    assert p.answer.text == sent and not p.answer.is_whole and not p.answer.response.is_complete, p
    assert "error" in p.answer.response.events[-1] and "[DONE]" not in raw and "message_stop" not in raw, p
    assert p.asked == asked and p.record["error"]["class"], p


# ---- whatever breaks, whoever asks ----------------------------------------------------------------------------------


def test_every_fault_in_every_dialect_from_the_same():
    for client in DIALECTS:
        for name, (fault, kind) in FAULTS.items():
            p = Play(client, (client, fault(client)), ("openai", says("openai", WORDS[CUT:])))
            try:
                is_openais = client == "openai" and name == "error event"
                assert_seamless(p, client, [1, 1], ["server" if is_openais else kind, "ok"])
            except AssertionError as e:
                raise AssertionError(f"{client}, {name}: {e}") from e


def test_across_dialects_by_prefill():
    for client in DIALECTS:
        for a in DIALECTS:
            p = Play(client, (a, cut(a)), ("anthropic", says("anthropic", WORDS[CUT:])))
            assert_seamless(p, client, [1, 1], ["broken", "ok"])
            last = p.requests[1][0].json["messages"][-1]
            assert last["role"] == "assistant" and SENT in json.dumps(last), p


def test_in_words_where_a_dialect_does_not_go_on():
    p = Play("anthropic", ("anthropic", cut("anthropic")), ("openai", says("openai", [LAST] + WORDS[CUT:])))
    assert_seamless(p, "anthropic", [1, 1], ["broken", "ok"])
    messages = p.requests[1][0].json["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"] and messages[1]["content"] == SENT, p
    assert SENT.endswith(messages[2]["content"].split("\n\n")[-1]), p


def test_a_fallback_that_refuses_prefill_is_asked_in_words():
    refuses = error(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "This model does not support assistant message "
                                                     "prefill. The conversation must end with a user message."}})
    for client in DIALECTS:
        p = Play(client, (client, cut(client)), ("anthropic", refuses, says("anthropic", [LAST] + WORDS[CUT:])))
        assert p.answer.text == TEXT and p.answer.is_whole and p.asked == [1, 2], p
        assert [c for _, c in story(p.record)] == ["broken", "bad_request", "ok"], p
        assert p.requests[1][1].json["messages"][-1]["role"] == "user", p
        check_order(client, p.answer)


def test_a_refusal_is_remembered():
    refuses = error(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no prefill"}})
    asked = says("anthropic", [LAST] + WORDS[CUT:])
    with Upstream(Script(cut("openai"))) as a, Upstream(Script(refuses, asked, asked)) as b:
        with Weir(settings([a, b], providers={"a": provider("openai", a), "b": provider("anthropic", b)})) as weir:
            for n in (2, 3):
                answer = ask(weir, "openai", True)
                assert answer.text == TEXT and answer.is_whole and len(b.requests) == n, answer


def test_ways_to_go_on():
    """As models do it; what can't be told apart is an error event."""
    seamless = {"repeats": [LAST] + WORDS[CUT:], "from the top": WORDS, "spaced": [LAST.replace(" ", "\n ")] + WORDS[CUT:],
                "preamble": ["Sure, ", "continuing:\n\n", LAST] + WORDS[CUT:], "fenced": ["```text\n", LAST] + WORDS[CUT:]}
    errors = {"only a preamble": ["Sure, continuing:\n\n"] + [w.strip() for w in WORDS[CUT:]], "nothing": [""],
              "other words": ["The harbour wakes before the town does. At six", " the boats are gone."],
              "the last word or the next": ["water,", " and the gulls"]}
    for client in DIALECTS:
        for name, words in seamless.items():
            p = Play(client, ("openai", cut("openai")), ("openai", says("openai", words)))
            assert p.answer.text == TEXT and p.answer.is_whole, (client, name, p)
        for name, words in errors.items():
            p = Play(client, ("openai", cut("openai")), ("openai", says("openai", words)), rule="any")
            assert_error(p, [2, 1])


def test_a_second_cut_is_rescued_too():
    def again(conn, request, script):
        says("openai", WORDS[CUT:], 2)(conn, request, script)
        conn.close()
        return False
    for client in DIALECTS:
        p = Play(client, (client, cut(client)), ("openai", again), ("openai", says("openai", WORDS[CUT + 2:])))
        assert p.answer.text == TEXT and p.answer.is_whole and p.asked == [1, 1, 1], p
        check_order(client, p.answer)


def test_what_was_said_before_the_next_cut_is_there_at_once():
    """What is gathered for a client leaves before another is waited for, whoever supplied it."""
    gate = threading.Event()

    def both(conn, words, n):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        events = [json.dumps(e) for e in list(openai_pieces(words, False))[:1 + n]] + ['{"choices":[{']
        conn.send(head + "".join(f"data: {e}\n\n" for e in events).encode())
        conn.is_closed()
        return False

    def last(conn, request, script):
        assert gate.wait(harness.DEADLINE)
        return says("openai", WORDS[CUT + 2:])(conn, request, script)
    for path, body in (("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 50})):
        gate.clear()
        ups = [Upstream(Script(lambda c, _r, _s: both(c, WORDS, CUT))), Upstream(Script(lambda c, _r, _s: both(c, WORDS[CUT:], 2))),
               Upstream(Script(last))]
        try:
            with Weir(settings(ups)) as weir, weir.client() as client:
                client.request("POST", path, {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], **body})
                client.head()
                while WORDS[CUT + 1] not in client.event():
                    pass
                gate.set()
                assert WORDS[-1] in client.rest().body.decode()
        finally:
            gate.set()
            for u in ups:
                u.close()


def test_when_nobody_can_the_client_is_told():
    for client in DIALECTS:
        for a in (client, "openai"):
            p = Play(client, (a, cut(a)), ("openai", error(503)), ("openai", error(500)))
            assert_error(p, [2, 1, 1])
            assert [c for _, c in story(p.record)] == ["broken", "overloaded", "server", "broken"] and p.record["error"]["class"] == "broken", p


def test_when_no_other_can_the_first_is_asked_once_more():
    for client in DIALECTS:
        p = Play(client, (client, cut(client), says(client, WORDS)), ("openai", error(503)), ("openai", cut("openai")))
        assert_seamless(p, client, [2, 1, 1], ["broken", "overloaded", "broken", "ok"])
        assert [t for t, _ in story(p.record)] == ["a/m", "b/m", "c/m", "a/m"], p
    p = Play("openai", ("openai", stalls("openai"), says("openai", WORDS)), ("openai", error(503)))
    assert_error(p, [1, 1])  # it was silent


# ---- rules ----------------------------------------------------------------------------------------------------------


def test_rules_of_routes():
    p = Play("openai", ("openai", cut("openai")), ("openai", says("openai", WORDS[CUT:])), rule="off")
    assert_error(p, [1, 0])
    p = Play("openai", ("openai", cut("openai")))
    assert_error(p, [1])
    p = Play("openai", ("openai", cut("openai"), says("openai", WORDS[CUT:])), rule="same_model")
    assert_seamless(p, "openai", [2], ["broken", "ok"])
    p = Play("openai", ("openai", stalls("openai"), says("openai", WORDS[CUT:])), rule="any")
    assert_error(p, [1])  # it was silent: not asked again


def test_what_is_not_rescued():
    hosted = {"model": "m", "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}],
              "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    several = {"model": "m", "stream": True, "n": 2, "messages": [{"role": "user", "content": "hi"}]}
    probable = {"model": "m", "stream": True, "logprobs": True, "messages": [{"role": "user", "content": "hi"}]}
    from scripted import Answer
    for client, path, body in (("anthropic", "/v1/messages", hosted), ("openai", "/v1/chat/completions", several),
                               ("openai", "/v1/chat/completions", probable)):
        p = Play(client, (client, cut(client)), (client, says(client, WORDS[CUT:])),
                 asks=lambda w, path=path, body=body, client=client: Answer(w.post(path, body, {"anthropic-version": "2023-06-01"}), client))
        assert_error(p, [1, 0])


# ---- tools and thoughts ---------------------------------------------------------------------------------------------

ARGUMENTS = '{"city": "Reykjavik", "days": 3, "note": "bring a \\"coat\\""}'
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def calls(pieces, call_id="call_1", name="weather", ends=True):
    def act(conn, _request, _script):
        conn.start_sse()
        conn.event(openai_chunk({"role": "assistant", "content": None}))
        function = {"name": name, "arguments": ""}
        conn.event(openai_chunk({"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]}))
        for p in pieces:
            conn.event(openai_chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}))
        if not ends:
            conn.close()
            return False
        conn.event(openai_chunk({}, "tool_calls"))
        conn.event("[DONE]")
        conn.end()
        return None
    return act


def seen_calls(client, answer):
    """[(id, name, arguments)] and whether it ended well."""
    events = [json.loads(e) for e in answer.response.events if e != "[DONE]"]
    found = {}
    for e in events:
        if client == "openai":
            for c in (c for x in e.get("choices", []) for c in x["delta"].get("tool_calls") or []):
                one = found.setdefault(c["index"], [None, None, ""])
                one[0], one[1] = c.get("id") or one[0], c["function"].get("name") or one[1]
                one[2] += c["function"].get("arguments", "")
        elif e.get("type") == "content_block_start" and e["content_block"]["type"] == "tool_use":
            found[e["index"]] = [e["content_block"]["id"], e["content_block"]["name"], ""]
        elif e.get("type") == "content_block_delta":
            found[e["index"]][2] += e["delta"].get("partial_json", "")
    return [tuple(x) for x in found.values()]


def ask_tools(client):
    from scripted import Answer

    def asks(weir):
        if client == "openai":
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], "tools": [TOOL]}
            return Answer(weir.post("/v1/chat/completions", body), client)
        body = {"model": "m", "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}],
                "tools": [{"name": "weather", "input_schema": {"type": "object"}}]}
        return Answer(weir.post("/v1/messages", body, {"anthropic-version": "2023-06-01"}), client)
    return asks


def test_a_call_whose_arguments_were_half_sent():
    half = [ARGUMENTS[:9], ARGUMENTS[9:17]]
    for client in ("openai", "anthropic"):
        for name, pieces in {"from the top": [ARGUMENTS[:20], ARGUMENTS[20:]], "spaced": ["{\n \"city\":\n", ARGUMENTS[8:]],
                             "exactly on": [ARGUMENTS[17:]]}.items():
            p = Play(client, ("openai", calls(half, ends=False)), ("openai", calls(pieces, "call_2")), asks=ask_tools(client))
            told = seen_calls(client, p.answer)
            assert p.answer.is_whole and len(told) == 1 and told[0][:2] == ("call_1", "weather"), (name, p)
            assert json.loads(told[0][2]) == json.loads(ARGUMENTS) and told[0][2].startswith(ARGUMENTS[:17]), (name, p)


def test_a_call_that_becomes_another_is_an_error():
    half = [ARGUMENTS[:17]]
    other = {"other arguments": calls(['{"city": "Oslo"}'], "call_2"), "another tool": calls([ARGUMENTS], "call_2", "forecast"),
             "words": says("openai", ["It is warm."]), "half again": calls([ARGUMENTS[:30]], "call_2")}
    for client in ("openai", "anthropic"):
        for name, act in other.items():
            p = Play(client, ("openai", calls(half, ends=False)), ("openai", act), asks=ask_tools(client))
            assert not p.answer.is_whole and "error" in p.answer.response.events[-1], (name, p)
            assert "".join(c[2] for c in seen_calls(client, type("A", (), {"response": without_error(p.answer)}))) == ARGUMENTS[:17], (name, p)


def several(*made, ends=True):
    """(id, name, arguments) each; the last may be half."""
    def act(conn, _request, _script):
        conn.start_sse()
        conn.event(openai_chunk({"role": "assistant", "content": None}))
        for i, (call_id, name, arguments) in enumerate(made):
            function = {"name": name, "arguments": ""}
            conn.event(openai_chunk({"tool_calls": [{"index": i, "id": call_id, "type": "function", "function": function}]}))
            conn.event(openai_chunk({"tool_calls": [{"index": i, "function": {"arguments": arguments}}]}))
        if not ends:
            conn.close()
            return False
        conn.event(openai_chunk({}, "tool_calls"))
        conn.event("[DONE]")
        conn.end()
        return None
    return act


def test_several_calls():
    oslo, rome = ('{"city":"Oslo"}', '{"city":"Rome"}')
    first = [("c1", "weather", oslo), ("c2", "weather", rome[:10])]
    wanted = [("c1", "weather", oslo), ("c2", "weather", rome)]
    ways = {"both again": [("d1", "weather", '{ "city": "Oslo" }'), ("d2", "weather", rome)], "only the half one": [("d2", "weather", rome)],
            "and one more": [("d1", "weather", oslo), ("d2", "weather", rome), ("d3", "time", "{}")]}
    for client in ("openai", "anthropic"):
        for name, made in ways.items():
            p = Play(client, ("openai", several(*first, ends=False)), ("openai", several(*made)), asks=ask_tools(client))
            more = [("d3", "time", "{}")] if name == "and one more" else []
            assert p.answer.is_whole and seen_calls(client, p.answer) == wanted + more, (name, p)
        p = Play(client, ("openai", several(*first, ends=False)), ("openai", several(("d1", "weather", oslo))), asks=ask_tools(client))
        assert not p.answer.is_whole and "error" in p.answer.response.events[-1], p


def test_calls_for_a_client_that_gets_them_whole():
    from scripted import Answer

    def asks(weir):
        body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": [{"name": "weather"}]}]}
        return Answer(weir.post("/v1beta/models/m:streamGenerateContent?alt=sse", body), "gemini")
    p = Play("gemini", ("openai", calls([ARGUMENTS[:17]], ends=False)), ("openai", calls([ARGUMENTS], "call_2")), asks=asks)
    parts = [x["functionCall"] for e in p.answer.response.events for c in json.loads(e).get("candidates", [])
             for x in c.get("content", {}).get("parts", []) if "functionCall" in x]
    assert p.answer.is_whole and len(parts) == 1 and parts[0]["args"] == json.loads(ARGUMENTS), p


def test_a_document_that_was_asked_for():
    """JSON is joined where exactly one reading of what comes is a document."""
    from scripted import Answer
    document = '{"city": "Reykjavik", "days": [1, 2, 3]}'

    def asks(weir):
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_object"}}
        return Answer(weir.post("/v1/chat/completions", body), "openai")

    def first(conn, _request, _script):
        conn.start_sse()
        for piece in list(openai_pieces([document[:12], document[12:22]], False))[:3]:
            conn.event(piece)
        conn.close()
        return False
    for words in ([document], [document[22:]], ["```json\n", document, "\n```"], [document.replace(" ", "\n  ")]):
        p = Play("openai", ("openai", first), ("openai", says("openai", words)), asks=asks)
        assert p.answer.is_whole and json.loads(p.answer.text) == json.loads(document) and p.answer.text.startswith(document[:22]), p
    for words in (['{"city": "Oslo"}'], ["Sorry."], [document[22:-1]]):
        p = Play("openai", ("openai", first), ("openai", says("openai", words)), asks=asks)
        assert_error(p, [2, 1], document[:22])


def test_an_answer_that_only_lacks_its_end_is_ended():
    """All was said and the reason is known: nobody has to be asked."""
    for client in DIALECTS:
        for a, last in (("anthropic", 1), ("openai", 0)):
            def first(conn, _request, _script, a=a, last=last):
                conn.start_sse()
                pieces = list(PIECES[a](WORDS, False))
                for piece in pieces[:len(pieces) - last]:
                    send(conn, a, piece)
                conn.close()
                return False
            p = Play(client, (a, first), ("openai", says("openai", ["never"])))
            assert p.answer.text == TEXT and p.answer.is_whole and p.asked == [1, 0], (client, a, p)
            check_order(client, p.answer)


def without_error(answer):
    return type("R", (), {"events": answer.response.events[:-1]})


def thinks(conn, _request, _script):
    """Cut in the middle of a thought."""
    conn.start_sse()
    for piece in list(anthropic_pieces([], True))[:1] + [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "The user wants a"}}]:
        conn.event(piece, piece["type"])
    conn.close()
    return False


def test_a_half_thought_is_never_signed():
    def second(conn, _request, _script):
        conn.start_sse()
        thought = [{"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
                   {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hmm."}},
                   {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}},
                   {"type": "content_block_stop", "index": 0}]
        pieces = list(anthropic_pieces(WORDS, True))
        for piece in pieces[:1] + thought + [{**p, "index": 1} if "index" in p else p for p in pieces[1:]]:
            conn.event(piece, piece["type"])
        conn.end()
    for client in DIALECTS:
        p = Play(client, ("anthropic", thinks), ("anthropic", second))
        raw = p.answer.response.body.decode()
        assert p.answer.is_whole and "c2lnbmVk" not in raw and "Hmm." not in raw, p
        if client != "gemini":
            assert p.answer.text == TEXT, p
        assert len(p.requests[1][0].json["messages"]) == 1, p  # nothing to go on with: the question alone


# ---- stages, clients that leave or read slowly ----------------------------------------------------------------------

STAGE = r"""
#include <weir/plugin.h>

static const struct weir_host *host;
static struct weir_instance *me;
static weir_token token;

static int create(const struct weir_host *h, struct weir_instance *inst, const void *config, void **self)
{
    (void)config, (void)self;
    host = h;
    me = inst;
    return 0;
}

static void go_on(void *arg)
{
    (void)arg;
    host->resume(me, token, WEIR_NEXT);
}

/* Waits before every text, and leaves out what stands in brackets. */
static enum weir_verdict on_event(void *self, struct weir_call *call, const struct weir_event *event)
{
    (void)self;
    struct weir_str text = host->text(call, &event->text);
    if (text.n && text.p[0] == '[')
        return WEIR_DROP;
    token = host->suspend(call, "a timer", NULL, NULL);
    host->timer(me, 1, go_on, NULL);
    return WEIR_WAIT;
}

static const struct weir_stage_ops ops = {
    .size = sizeof(ops), .event_kinds = 1u << WEIR_EVENT_DELTA, .create = create, .on_event = on_event,
};

WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "slows", .version = "1.0", .summary = "Slows and drops.", .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
"""


def test_stages_go_on_with_the_answer():
    plugin = harness.compile_plugin("slows", STAGE)
    for client in DIALECTS:
        for a in (client, "openai"):
            first = WORDS[:2] + ["[aside]"] + WORDS[2:]

            def broken(conn, request, script, a=a, first=first):
                says(a, first, CUT + 1)(conn, request, script)
                conn.close()
                return False
            ups = [Upstream(Script(broken)), Upstream(Script(says("anthropic", ["[remark]"] + WORDS[CUT:])))]
            try:
                c = settings(ups, providers={"a": provider(a, ups[0]), "b": provider("anthropic", ups[1])})
                c["plugins"] = [plugin]
                c["routes"][0]["pipeline"] = ["slows"]
                with Weir(c) as weir:
                    answer = ask(weir, client, True)
                    assert answer.text == TEXT and answer.is_whole, (client, a, answer, records(weir, 1))
                    assert "[aside]" in json.dumps(ups[1].requests[0].json["messages"])  # the model's own words, not the client's
            finally:
                for u in ups:
                    u.close()


def test_what_waited_for_a_stage_leaves_at_once():
    """Not with the next bytes of its provider, and not to whoever is served next."""
    gate = threading.Event()

    def slow(conn, _request, _script):
        conn.start_sse()
        for piece in list(openai_pieces(["mine alone"], False))[:2]:
            conn.event(piece)
        assert gate.wait(harness.DEADLINE)
        return False
    plugin = harness.compile_plugin("slows", STAGE)
    with Upstream(Script(slow, says("openai", ["fine"]))) as up:
        c = settings([up])
        c["plugins"], c["routes"][0]["pipeline"] = [plugin], ["slows"]
        try:
            with Weir(c) as weir, weir.client() as client:
                client.request("POST", "/v1/messages", {"model": "m", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
                up.wait_requests(1)
                harness.wait_until(lambda: weir.details()[0]["calls"] and not weir.details()[0]["calls"][0].get("waits_for"), "the stage to go on")
                assert "mine alone" not in ask(weir, "anthropic", True).response.body.decode()
                client.head()
                while "mine alone" not in client.event():
                    pass
                gate.set()
        finally:
            gate.set()


def test_a_client_that_leaves_during_a_rescue_ends_it():
    def first(conn, request, script):
        says("openai", WORDS, CUT)(conn, request, script)
        conn.close()
        return False

    def second(conn, _request, script):
        conn.start_sse()
        conn.event(openai_chunk({"content": WORDS[CUT]}))
        if conn.is_closed():
            script.over.set()
        return False
    for seen in (False, True):
        late = Script(second if seen else lambda conn, _r, script: (conn.is_closed() and script.over.set(), False)[1])
        with Upstream(Script(first)) as a, Upstream(late) as b, Weir(settings([a, b])) as weir:
            client = weir.client()
            client.chat(stream=True)
            client.head()
            b.wait_requests(1)
            while seen and WORDS[CUT] not in client.event():
                pass
            client.close()
            assert late.over.wait(harness.DEADLINE)
            record = records(weir, 1)[0]
            assert record["error"]["class"] == "cancelled" and [c for _, c in story(record)] == ["broken", "cancelled"], record


def test_a_client_that_reads_slowly_holds_the_other_target_back():
    size, n = 64 * 1024, 64
    sent = []

    def second(conn, _request, _script):
        conn.start_sse()
        for i in range(n):
            conn.event(openai_chunk({"content": (" x%06d" % i) * (size // 8)}))
            sent.append(i)
        conn.event(openai_chunk({}, "stop"))
        conn.event("[DONE]")
        conn.end()
    with Upstream(Script(cut("openai"))) as a, Upstream(Script(second)) as b, Weir(settings([a, b])) as weir:
        with weir.client() as client:
            client.chat(stream=True)
            client.head()
            harness.wait_until(lambda: len(sent) > 2, "the other target to begin")
            harness.wait_until(lambda: sum(d["unsent_bytes"] for d in weir.details()) > 0 if "unsent_bytes" in weir.details()[0] else True, "bytes to wait")
            body = client.rest().body.decode()
            assert body.count(" x%06d" % (n - 1)) == size // 8 and "[DONE]" in body


def test_a_client_of_responses():
    from test_responses import ladder

    def broken(conn, _request, _script):
        conn.start_sse()
        for i, event in enumerate(list(ladder(WORDS))[:4 + CUT]):
            conn.event({**event, "sequence_number": i}, event["type"])
        conn.close()
        return False
    for a, act in (("responses", broken), ("openai", cut("openai")), ("anthropic", cut("anthropic"))):
        ups = [Upstream(Script(act)), Upstream(Script(says("anthropic", WORDS[CUT:])))]
        entry = {"dialect": "responses", "base_url": ups[0].url + "/v1"} if a == "responses" else provider(a, ups[0])
        try:
            with Weir(settings(ups, providers={"a": entry, "b": provider("anthropic", ups[1])})) as weir:
                answer = weir.post("/v1/responses", {"model": "m", "stream": True, "input": "hi"})
                events = [json.loads(e) for e in answer.events]
                assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == TEXT, answer
                assert [e["text"] for e in events if e["type"] == "response.output_text.done"] == [TEXT], answer
                assert events[-1]["type"] == "response.completed" and events[-1]["response"]["output"][-1]["content"][0]["text"] == TEXT, answer
                assert [e["sequence_number"] for e in events] == list(range(len(events))), answer
        finally:
            for u in ups:
                u.close()


# ---- all at once ----------------------------------------------------------------------------------------------------


def story_of(question):
    """A text of its own for each question."""
    dice = random.Random(question)
    nouns, verbs = ("harbour", "gull", "lantern", "captain", "barrel", "rope", "mill", "garden"), ("waits", "sings", "turns", "falls", "returns")
    lines = [f"{question}, line {i}: the {dice.choice(nouns)} {dice.choice(verbs)} {dice.randrange(1000)} times while the {dice.choice(nouns)} "
             f"{dice.choice(verbs)}" for i in range(6)]
    return ". ".join(lines) + "."


def pieces_of(text, dice):
    while text:
        n = dice.randrange(1, 40)
        yield text[:n]
        text = text[n:]


def goes_on(sent, whole, words, dice):
    """As models do when they are asked so."""
    assert whole.startswith(sent) and sent.endswith(words)
    repeated = whole[len(sent) - len(words):]
    return dice.choice([repeated, whole, "Sure, here is the rest:\n\n" + repeated, repeated.replace(" ", "  ", 1)])


def test_random_cuts():
    """Six clients in three dialects, three providers that break off at random: each answer is the whole text, or what was sent of it and an
    error; most are whole."""
    def unreliable(seed):
        dice = random.Random(seed)

        def act(conn, request, script):
            messages = request.json["messages"]
            question = messages[0]["content"] if isinstance(messages[0]["content"], str) else messages[0]["content"][0]["text"]
            whole, said = story_of(question), story_of(question)
            if len(messages) == 3:
                said = goes_on(messages[1]["content"], whole, messages[2]["content"].split("\n\n")[-1], dice)
            with script.lock:
                pieces, breaks = list(pieces_of(said, dice)), dice.random() < 0.5
                at = dice.randrange(1, len(pieces) + 1) if breaks else None
            conn.start_sse()
            for piece in list(openai_pieces(pieces, True))[:at and 1 + at]:
                conn.event(piece)
            if breaks:
                conn.close()
                return False
            conn.event("[DONE]")
            conn.end()
            return None
        return Script(act)
    wrong, counts = [], {"whole": 0, "error": 0}

    def client(weir, who):
        for i in range(20):
            dialect, question = DIALECTS[(who + i) % 3], f"story {who}-{i}"
            answer = ask(weir, dialect, True, text=question)
            if answer.is_whole and answer.text == story_of(question):
                counts["whole"] += 1
            elif not answer.is_whole and story_of(question).startswith(answer.text):
                counts["error"] += 1
            else:
                wrong.append((question, answer))
    ups = [Upstream(unreliable(n)) for n in range(3)]
    try:
        with Weir(settings(ups, workers=2, providers={n: {"breaker": {"failures": 0}} for n in "abc"})) as weir:
            threads = [threading.Thread(target=client, args=(weir, n)) for n in range(6)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            print(f"  {counts}")
            assert not wrong, wrong[:2]
            assert sum(counts.values()) == 120 and counts["whole"] > 90, counts
            told = records(weir, 120)
            assert sum(len(r["attempts"]) for r in told) == sum(len(u.requests) for u in ups)
    finally:
        for u in ups:
            u.close()


# ---- bytes and time -------------------------------------------------------------------------------------------------


def test_the_bytes():
    """Relayed as they came up to the cut; behind it the same shape."""
    p = Play("openai", ("openai", cut("openai")), ("openai", says("openai", WORDS[CUT:])))
    raw = p.answer.response.body.decode()
    relayed = "".join(f"data: {json.dumps(c)}\n\n" for c in list(openai_pieces(WORDS, False))[:1 + CUT])
    assert raw.startswith(relayed), p
    rest = [json.loads(e) for e in raw[len(relayed):].split("data: ")[1:] if not e.startswith("[DONE]")]
    assert [c["choices"][0]["delta"].get("content") for c in rest] == WORDS[CUT:] + [None], rest
    assert {c["id"] for c in rest} == {"chatcmpl-1"} and "usage" not in raw, rest


def test_usage_is_that_of_one_call():
    def asks(weir):
        from scripted import Answer
        body = {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": "hi"}]}
        return Answer(weir.post("/v1/chat/completions", body), "openai")
    p = Play("openai", ("openai", cut("openai")), ("openai", says("openai", WORDS[CUT:])), asks=asks)
    usage = [json.loads(e).get("usage") for e in p.answer.response.events if e != "[DONE]"][-1]
    assert p.answer.text == TEXT and usage["prompt_tokens"] <= 9 and 10 <= usage["completion_tokens"] <= 60, p
    assert p.record["tokens"]["output"] == usage["completion_tokens"], p
    assert p.record["attempts"][1]["tokens"]["output"] == len(WORDS) - CUT, p


def test_the_first_rescued_token_comes_at_once():
    """From the moment when the other target gives it to the moment when the client has it."""
    given, times = [], []

    def second(conn, _request, _script):
        conn.start_sse()
        conn.event(openai_chunk({"role": "assistant", "content": ""}))
        given.append(time.monotonic())
        conn.event(openai_chunk({"content": WORDS[CUT]}))
        for w in WORDS[CUT + 1:]:
            conn.event(openai_chunk({"content": w}))
        conn.event(openai_chunk({}, "stop"))
        conn.event("[DONE]")
        conn.end()

    def first(conn, request, script):
        says("openai", WORDS, CUT)(conn, request, script)
        conn.close()
        return False
    with Upstream(Script(first)) as a, Upstream(Script(second)) as b:
        quiet = {n: {"breaker": {"failures": 0}} for n in "ab"}
        with Weir(settings([a, b], providers=quiet)) as weir:
            for _ in range(30):
                client = weir.client()
                client.chat(stream=True)
                client.head()
                while True:
                    event = client.event()
                    if WORDS[CUT] in event:
                        break
                times.append(time.monotonic() - given[-1])
                client.rest()
                client.close()
    print(f"  median {1000 * statistics.median(times):.2f} ms, worst {1000 * max(times):.2f} ms")
    assert statistics.median(times) < 0.002 * harness.SLOW, sorted(times)
