"""Several choices of a target that gives one: as many calls, one answer. Refused unless the route or a rule allows it."""
import json
import threading

import harness
from harness import Upstream, Weir
from scripted import error, records, settings

FINISH = {"end_turn": "stop", "max_tokens": "length"}


def message(text, stop="end_turn", input_tokens=7, output_tokens=2):
    return {"id": "msg_" + text, "type": "message", "role": "assistant", "model": "real", "stop_reason": stop, "stop_sequence": None,
            "content": [{"type": "text", "text": text}], "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens}}


def begin_stream(conn, text):
    start = {**message(text), "content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}}
    conn.start_sse()
    tell(conn, {"type": "message_start", "message": start})
    tell(conn, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})


def tell(conn, event):
    conn.event(event, event["type"])


def say(conn, text):
    tell(conn, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def end_stream(conn, stop="end_turn", tokens=2):
    tell(conn, {"type": "content_block_stop", "index": 0})
    tell(conn, {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": tokens}})
    tell(conn, {"type": "message_stop"})
    conn.end()


class Anthropic:
    """Each call says its own number, in the order in which they arrive; acts[i] does something else instead."""

    def __init__(self, acts=None):
        self.acts, self.n, self.live, self.most, self.lock = acts or {}, 0, 0, 0, threading.Lock()

    def __call__(self, conn):
        while (request := conn.read_request()) is not None:
            with self.lock:
                i = self.n
                self.n += 1
                self.live += 1
                self.most = max(self.most, self.live)
            act = self.acts.get(i, self.answer)
            goes_on = act(conn, request, i)
            if goes_on is False:
                return

    def leave(self):
        with self.lock:
            self.live -= 1

    def answer(self, conn, request, i):
        stop = "max_tokens" if i == 1 else "end_turn"
        self.leave()
        if not request.json.get("stream"):
            conn.respond(200, message(f"t{i}", stop))
            return
        begin_stream(conn, f"t{i}")
        say(conn, f"t{i}")
        end_stream(conn, stop)


def fanned(ups, n_calls=4, **more):
    dialects = {name: {"dialect": "anthropic"} for name in "abcd"[:len(ups)]}
    dialects.update(more.pop("providers", {}))
    c = settings(ups, providers=dialects, **more)
    for p in c["providers"].values():
        if p["dialect"] == "anthropic":
            p["base_url"] = p["base_url"].removesuffix("/v1")
    if n_calls is not None:
        c["routes"][0]["n_calls"] = n_calls
    return c


def whole(response):
    return [(c["index"], c["message"]["content"], c["finish_reason"]) for c in response.json["choices"]]


def streamed(response):
    """[(index, text, finish_reason)], the usage, is it whole."""
    texts, finishes, usage = {}, {}, None
    for event in response.events[:-1]:
        chunk = json.loads(event)
        usage = chunk.get("usage") or usage
        for c in chunk["choices"]:
            texts[c["index"]] = texts.get(c["index"], "") + (c["delta"].get("content") or "")
            finishes[c["index"]] = c["finish_reason"] or finishes.get(c["index"])
    return [(i, texts[i], finishes[i]) for i in sorted(texts)], usage, response.events[-1] == "[DONE]" and response.is_complete


def stop_of(text):
    return "length" if text == "t1" else "stop"


def check_choices(choices, n):
    assert [i for i, _, _ in choices] == list(range(n)), choices
    assert sorted(t for _, t, _ in choices) == [f"t{i}" for i in range(n)], choices
    assert all(f == stop_of(t) for _, t, f in choices), "each choice has its own reason"


def check_record(record, n):
    assert record["tokens"] == {"input": 7, "output": 2 * n}, "the prompt once, what was said summed up"
    assert [a["reason"] for a in record["attempts"]] == [f"choice {i + 1} of {n}" for i in range(n)], record
    assert all(a["tokens"]["input"] == 7 and a["tokens"]["output"] == 2 and a["status"] == 200 for a in record["attempts"])
    assert {"feature": "n", "what": "emulated", "why": f"by {n} calls", "target": "a/m"} in record["losses"]


def test_whole():
    provider = Anthropic()
    with Upstream(provider) as up, Weir(fanned([up])) as weir:
        r = weir.chat(n=3, max_tokens=9)
        assert r.status == 200, r
        check_choices(whole(r), 3)
        assert r.json["usage"]["prompt_tokens"] == 7 and r.json["usage"]["completion_tokens"] == 6
        assert r.headers["x-weir-attempts"] == "3" and "n=emulated" in r.headers["x-weir-loss"]
        assert all("n" not in q.json for q in up.requests)
        check_record(records(weir, 1)[0], 3)


def test_streamed():
    with Upstream(Anthropic()) as up, Weir(fanned([up])) as weir:
        r = weir.chat(n=3, max_tokens=9, stream=True, stream_options={"include_usage": True})
        choices, usage, is_whole = streamed(r)
        check_choices(choices, 3)
        assert is_whole and usage["prompt_tokens"] == 7 and usage["completion_tokens"] == 6
        check_record(records(weir, 1)[0], 3)


def test_streams_interleave_and_the_first_that_speaks_begins():
    """Two calls say nothing until the client has the third's text; then they take turns, each piece seen before the next is said."""
    may_speak, turns = threading.Event(), [threading.Event() for _ in range(4)]

    def slow(conn, request, i):
        begin_stream(conn, f"t{i}")
        may_speak.wait(harness.DEADLINE)
        for k, piece in enumerate(("t", str(i))):
            turns[2 * k + i].wait(harness.DEADLINE)
            say(conn, piece)
        end_stream(conn, stop_of_number(i))

    def stop_of_number(i):
        return "max_tokens" if i == 1 else "end_turn"
    with Upstream(Anthropic({0: slow, 1: slow})) as up, Weir(fanned([up])) as weir, weir.client() as client:
        client.chat(n=3, max_tokens=9, stream=True)
        client.head()
        chunks = []

        def content():
            return [c["delta"]["content"] for x in chunks for c in x["choices"] if c["delta"].get("content")]
        while content() != ["t2"]:
            chunks.append(json.loads(client.event()))
        may_speak.set()
        for k, turn in enumerate(turns):
            turn.set()
            while len(content()) < k + 2:
                chunks.append(json.loads(client.event()))
        order = [c["index"] for x in chunks for c in x["choices"] if c["delta"].get("content")][1:]
        assert order == [order[0], order[1]] * 2 and order[0] != order[1], order
        assert len({x["id"] for x in chunks}) == 1, "one answer has one id"
        rest = client.rest()
        assert rest.is_complete and rest.events[-1] == "[DONE]"


def test_one_is_the_usual_call():
    with Upstream(Anthropic()) as up, Weir(fanned([up])) as weir:
        r = weir.chat(n=1, max_tokens=9)
        assert whole(r) == [(0, "t0", "stop")] and "x-weir-loss" not in r.headers
        assert "reason" not in records(weir, 1)[0]["attempts"][0]


def test_refused_without_leave_and_beyond_it():
    for n_calls, n in ((None, 2), (0, 2), (2, 3)):
        with Upstream(Anthropic()) as up, Weir(fanned([up], n_calls)) as weir:
            r = weir.chat(n=n, max_tokens=9)
            assert r.status == 400 and r.headers["x-weir-error"] == "loss_refused" and not up.requests, r


def test_a_dialect_that_has_it_is_asked_once():
    def both(conn):
        while (q := conn.read_request()) is not None:
            body = harness.openai_body("x")
            body["choices"] = [{**body["choices"][0], "index": i} for i in range(q.json["n"])]
            conn.respond(200, body)
    with Upstream(both) as up, Weir(fanned([up], providers={"a": {"dialect": "openai"}})) as weir:
        r = weir.chat(n=2)
        assert len(whole(r)) == 2 and len(up.requests) == 1 and "x-weir-loss" not in r.headers


def test_each_has_a_seed_of_its_own():
    def answer(conn):
        while (q := conn.read_request()) is not None:
            conn.respond(200, {"model": "m", "created_at": "2024-01-01T00:00:00Z", "done": True, "done_reason": "stop",
                               "message": {"role": "assistant", "content": "hi"}, "prompt_eval_count": 3, "eval_count": 1})
    with Upstream(answer) as up, Weir(fanned([up], providers={"a": {"dialect": "ollama", "base_url": up.url}})) as weir:
        r = weir.chat(n=3, seed=5)
        assert len(whole(r)) == 3, r
        assert sorted(q.json["options"]["seed"] for q in up.requests) == [5, 6, 7]
        assert "seed=changed" in r.headers["x-weir-loss"]


def test_max_inflight_is_kept():
    provider = Anthropic()
    with Upstream(provider) as up, Weir(fanned([up], providers={"a": {"dialect": "anthropic", "max_inflight": 1}})) as weir:
        for stream in (False, True):
            provider.n = 0
            r = weir.chat(n=3, max_tokens=9, stream=stream)
            check_choices(streamed(r)[0] if stream else whole(r), 3)
        assert provider.most == 1, provider.most
        assert weir.metric('weir_target_in_flight{target="a/m"}') in (0, None)


def fails(conn, _request, i):
    return error(503)(conn, None, None)


def test_one_that_fails_moves_all_to_the_next_target():
    for bad in range(3):
        for stream in (False, True):
            with Upstream(Anthropic({bad: fails, **{i: held for i in range(bad)}})) as one, Upstream(Anthropic()) as two, \
                    Weir(fanned([one, two])) as weir:
                r = weir.chat(n=3, max_tokens=9, stream=stream)
                check_choices(streamed(r)[0] if stream else whole(r), 3)
                assert r.headers["x-weir-target"] == "b/m"
                record = records(weir, 1)[0]
                classes = [a.get("error", {}).get("class") for a in record["attempts"]]
                assert classes.count("overloaded") == 1 and classes[-3:] == [None] * 3, classes
                assert all(c in ("overloaded", "cancelled", None) for c in classes)
                assert record["attempts"][-3]["reason"] == "a/m failed: overloaded; choice 1 of 3", record


def held(conn, _request, _i):
    conn.is_closed()
    return False


def test_one_that_fails_is_retried_with_the_others():
    with Upstream(Anthropic({1: fails})) as up, Weir(fanned([up], retries=1)) as weir:
        r = weir.chat(n=2, max_tokens=9)
        assert r.status == 200 and len(whole(r)) == 2, r
        assert 3 <= len(up.requests) <= 4 and len(records(weir, 1)[0]["attempts"]) == 4


def test_the_error_names_a_target_once():
    with Upstream(Anthropic({0: fails})) as one, Upstream(Anthropic({0: fails})) as two, Weir(fanned([one, two])) as weir:
        r = weir.chat(n=2, max_tokens=9)
        assert r.status == 503 and r.json["error"]["message"].startswith("All 2 attempts failed"), r


def test_one_that_fails_behind_the_commit_point_is_an_error_event():
    gate = threading.Event()

    def breaks(conn, _request, i):
        begin_stream(conn, f"t{i}")
        say(conn, "half")
        gate.wait(harness.DEADLINE)
        conn.reset()
        return False
    with Upstream(Anthropic({0: breaks})) as one, Upstream(Anthropic()) as two, Weir(fanned([one, two])) as weir, weir.client() as client:
        client.chat(n=2, max_tokens=9, stream=True)
        client.head()
        while "half" not in client.event():
            pass
        gate.set()
        rest = []
        while True:
            try:
                event = client.event()
            except (EOFError, OSError, AssertionError):
                break
            if event is None:
                break
            rest.append(event)
        assert "[DONE]" not in rest and any("error" in json.loads(e) for e in rest), rest
        assert not two.requests
        assert records(weir, 1)[0]["error"]["class"] == "broken"


def test_a_client_that_leaves_ends_all_calls():
    gone = [threading.Event() for _ in range(3)]

    def waits(conn, _request, i):
        try:
            begin_stream(conn, f"t{i}")
            say(conn, "x")
            is_gone = conn.is_closed()
        except ConnectionError:
            is_gone = True
        if is_gone:
            gone[i].set()
        return False
    with Upstream(Anthropic(dict.fromkeys(range(3), waits))) as up, Weir(fanned([up])) as weir:
        with weir.client() as client:
            client.chat(n=3, max_tokens=9, stream=True)
            client.head()
            client.event()
            up.wait_requests(3)
            client.reset()
        assert all(g.wait(harness.DEADLINE) for g in gone)


def test_a_rule_allows_it_for_one_candidate():
    with Upstream(Anthropic()) as up:
        c = fanned([up], n_calls=None)
        with Weir(c) as weir:
            assert weir.chat(n=2, max_tokens=9).status == 400
            rule = weir.write("n.lua", 'return { on_request = function() return { { "a/m", n_calls = true } } end }')
            c["routes"][0]["pipeline"] = [{"policy": {"file": str(rule)}}]
            weir.configure(c)
            weir.reload()
            r = weir.chat(n=2, max_tokens=9)
            check_choices(whole(r), 2)


if __name__ == "__main__":
    import run
    run.main(["fanout"])
