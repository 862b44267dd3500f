"""Each thing that providers do wrong, in four client dialects, streamed and whole: how often every target was asked, what the client saw
byte by byte, what the record says, that nothing is left behind. How it is played stands in matrix.py; what is beyond it in test_failures.py,
test_rescue.py, test_hedge.py and test_breakers.py."""
import threading
import time

import matrix as m
import scripted
from harness import Upstream, Weir, wait_until
from matrix import WAYS, answered, failed, play, plain
from scripted import Script


def test_429_with_retry_after():
    play([[plain(429, retry_after="1"), m.fine], [m.other]], answered("a", [2, 0], [("a", "rate_limited"), ("a", "ok")], least=1))


def test_429_with_a_retry_after_that_is_long():
    play([[plain(429, retry_after="25"), m.fine], [m.other]], answered("b", [1, 1], [("a", "rate_limited"), ("b", "ok")]))


def test_429_without_retry_after():
    play([[plain(429), m.fine], [m.other]], answered("a", [2, 0], [("a", "rate_limited"), ("a", "ok")]))


def test_500_once():
    play([[plain(500), m.fine], [m.other]], answered("a", [2, 0], [("a", "server"), ("a", "ok")]))


def test_503_for_ever():
    play([[plain(503)], [m.other]], answered("b", [3, 1], [("a", "overloaded")] * 3 + [("b", "ok")]))


def test_a_reset_before_the_head():
    play([[m.reset, m.fine], [m.other]], answered("a", [2, 0], [("a", "connect"), ("a", "ok")]))


def test_no_answer_at_all():
    """30 s to the first token of a stream; a whole answer has the provider's 45 s in all. Nobody is asked twice."""
    play([[m.silent], [m.other]], answered("b", [1, 1], [("a", "timeout"), ("b", "ok")], least={True: 30, False: 45}, most={True: 45, False: 60}))


def test_the_first_token_after_20_s():
    """Hedging as it is by default: another is asked after 8 s."""
    play([[m.late(20)], [m.other]], answered("b", [1, 1], [("a", "ok"), ("b", "ok")], least=8, most=15), route={"hedge": {}})


def test_cut_at_two_thirds():
    play([[m.cut, m.fine], [m.rest]], answered({True: "rescued", False: "a"}, {True: [1, 1], False: [2, 0]},
                                              {True: [("a", "broken"), ("b", "ok")], False: [("a", "broken"), ("a", "ok")]}))


def test_a_stall_in_the_middle():
    play([[m.stalls], [m.rest]], answered({True: "rescued", False: "b"}, [1, 1], [("a", "timeout"), ("b", "ok")], least=30, most=50))


def test_a_garbled_event():
    play([[m.garbled, m.fine], [m.rest]], answered({True: "rescued", False: "a"}, {True: [1, 1], False: [2, 0]},
                                                  {True: [("a", "broken"), ("b", "ok")], False: [("a", "broken"), ("a", "ok")]}))


def test_an_event_that_says_nothing_is_skipped():
    """A proxy's sign of life between the events: no JSON, so no piece of the answer. Nobody else is asked, and the client sees none of it,
    but for comments, which go through."""
    def noisy(dialect):
        def streamed(_dialect):
            def act(conn, request, script):
                chunk, n = conn.chunk, [0]

                def with_noise(data):
                    chunk(data)
                    n[0] += 1
                    if n[0] > 2:
                        chunk(NOISE[n[0] % len(NOISE)])
                conn.chunk = with_noise
                return m.says(dialect, m.WORDS)(conn, request, script)
            return act
        return m.by_kind(streamed, m.fine)(dialect)

    def wants(w):
        assert (b": a comment" in w.answer.response.body) == (w.stream and w.dialect == w.providers[0].dialect)
        w.answer.response.body = w.answer.response.body.replace(b": a comment\n\n", b"")
        answered("a", [1, 0], [("a", "ok")])(w)
        notes = [n["skipped_event"] for n in w.record.get("decisions", []) if "skipped_event" in n]
        assert (len(notes) >= 1) == w.stream, w.record
    play([[noisy], [m.other]], wants)
    play([[noisy], [m.other]], wants, dialects={"a": "anthropic"})
    play([[noisy], [m.other]], wants, dialects={"a": "gemini"})


NOISE = ["data: ping\n\n", "event: heartbeat\ndata: still here\n\n", ": a comment\n\n"]


def test_an_end_in_the_middle():
    play([[m.ends_early, m.fine], [m.rest]], answered({True: "rescued", False: "a"}, {True: [1, 1], False: [2, 0]},
                                                     {True: [("a", "broken"), ("b", "ok")], False: [("a", "broken"), ("a", "ok")]}))


def head(status=200, kind="application/json", body=b"", length=None):
    n = len(body) if length is None else length
    return b"HTTP/1.1 %d X\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (status, kind.encode(), n) + body


NO_ANSWERS = {
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-", "connect"), "only a head": (head(length=100), "broken"), "no HTTP": (b"SSH-2.0-x\r\n", "broken"),
    "an empty document": (head(), "broken"), "an empty stream": (head(kind="text/event-stream"), "broken"), "null": (head(body=b"null"), "broken"),
    "an empty object": (head(body=b"{}"), "broken"), "nothing to say": (b"HTTP/1.1 204 X\r\n\r\n", "broken"),
    "a redirect": (b"HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n", "broken"),
    "a page": (head(kind="text/html", body=b"<html></html>"), "broken"), "an error's page": (head(502, "text/html", b"<html></html>"), "server"),
    "chunks that are none": (b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "broken"),
    "the end alone": (b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: [DONE]\n\n", "broken"),
}


def test_answers_that_are_none():
    """Asked once, then the fallback; without one the client is told, in its own dialect."""
    for name, (data, kind) in NO_ANSWERS.items():
        def none(_dialect, data=data):
            def act(conn, _request, _script):
                conn.send(data)
                return m.closes(conn)
            return act

        def told(w, kind=kind):
            assert w.answer.status == 502 and [p.asked for p in w.providers] == [1] and w.story() == [("a", kind)], w.story()
            m.error_document(w.dialect, 502, w.answer.response.json, "")
        try:
            play([[none], [m.other]], answered("b", [1, 1], [("a", kind), ("b", "ok")]), route={"retries": 0})
            play([[none]], told, route={"retries": 0})
        except AssertionError as e:
            raise AssertionError(f"{name}: {e}") from e


def test_no_terminator_after_all_of_the_answer():
    """No error. A client of OpenAI's dialect gets its provider's bytes and so no [DONE] either; else weir says what is missing."""
    def wants(w):
        assert [p.asked for p in w.providers] == [1, 0] and "error" not in w.record and w.answer.response.is_complete
        lacks = w.stream and w.dialect == w.providers[0].dialect
        assert w.answer.text == m.TEXT and (w.answer.is_whole or (lacks and w.dialect == "openai"))
        if lacks and w.dialect == "openai":
            w.normal["a"].body = w.normal["a"].body.replace(b"data: [DONE]\n\n", b"")
        if lacks and w.dialect == "anthropic":
            m.same_events(w.answer.response, w.normal["a"])
        else:
            m.same_bytes(w.answer.response, w.normal["a"])
    play([[m.no_terminator], [m.other]], wants)
    play([[m.no_terminator], [m.other]], wants, dialects={"a": "anthropic"})


def test_a_context_that_is_too_small():
    """Only the larger one is asked, and without one the client is told."""
    told = [("a", "context_length"), ("c", "ok")]
    play([[m.too_long], [m.other], [m.fine]], answered("c", [1, 0, 1], told), contexts=[8192, 8192, 100000])
    play([[m.too_long], [m.other]], failed(400, [1, 0], told[:1], "8192"), contexts=[8192, 4096])


def test_refused_content():
    """Nobody else is asked. Gemini refuses within an answer, which is no error."""
    def wants(w):
        if w.dialect != "gemini":
            failed(400, [1, 0], [("a", "content_policy")], "policy")(w)
            return
        assert [p.asked for p in w.providers] == [1, 0] and w.story() == [("a", "ok")], w.story()
        assert w.answer.status == 200 and w.record["attempts"][0]["finish"] == "content_filter", w.record
        assert '"blockReason": "SAFETY"' in w.answer.response.text
    play([[m.refused_content], [m.other]], wants)


def test_a_fallback_that_refuses_prefill():
    """It is asked a second time, in words. Of a whole answer nothing was said: it is asked like the first."""
    play([[m.cut], [m.refuses_prefill]],
         answered({True: "rescued", False: "b"}, {True: [1, 2], False: [3, 1]},
                  {True: [("a", "broken"), ("b", "bad_request"), ("b", "ok")], False: [("a", "broken")] * 3 + [("b", "ok")]}),
         dialects={"b": "anthropic"})


def test_all_targets_down():
    """One error that names each attempt."""
    def wants(w):
        failed(502, [3, 0, 3], [("a", "overloaded")] * 3 + [("b", "connect")] * 3 + [("c", "connect")] * 3, "All 9 attempts failed")(w)
        for part in (f"{w.name(0)}/m: overloaded (503), it is broken", f"{w.name(1)}/m: connect", f"{w.name(2)}/m: connect"):
            assert w.answer.error.count(part) == 3, w.answer.error
        assert w.answer.headers["x-should-retry"] == "false"
    play([[plain(503)], m.REFUSED, [m.reset]], wants)


class Doctor:
    """Up, or down with a 503 that takes a second; when it was asked, from when to when."""

    def __init__(self):
        self.is_up, self.times = True, []

    def __call__(self, conn, request, script):
        if self.is_up:
            return m.fine("openai")(conn, request, script)
        began = time.monotonic()
        conn.is_closed(m.CLOCK.real(1))
        plain(503)("openai")(conn, request, script)
        self.times.append((began, time.monotonic()))
        return None


def test_a_target_that_is_down_for_a_minute():
    """Its fallback answers meanwhile, one probe at a time looks whether it is well, and within 30 s of its return it answers again."""
    doctor, answers, stop = Doctor(), [], threading.Event()
    ups = [Upstream(Script(doctor)), Upstream(Script(m.other("openai")))]
    c = {"entry": ["log"], "workers": 2, "watchdog": "0s", "routes": [{"match": {"path": "/v1*"}, "open": True, "pipeline": [], "hedge": "off",
                                                                  "retries": 2}],
         "providers": {n: {"dialect": "openai", "base_url": u.url + "/v1", "key": "k"} for n, u in zip("ab", ups)},
         "models": {"m": {"targets": ["a/m", "b/m"]}}, "timeouts": {"first_token": "30s", "idle": "30s"}}
    try:
        with Weir(c, env=m.CLOCK.env) as weir:
            def client(who):
                n = who
                while not stop.is_set():
                    n += 1
                    dialect, stream = WAYS[n % len(WAYS)]
                    began = time.monotonic()
                    answer = scripted.ask(m.Patient(weir), dialect, stream)
                    answers.append((began, time.monotonic(), (dialect, stream), answer))
                    stop.wait(m.CLOCK.real(0.5))
            threads = [threading.Thread(target=client, args=(n,)) for n in (0, 3, 6)]
            for t in threads:
                t.start()
            try:
                wait_until(lambda: len(answers) > 6, "answers")
                doctor.is_up, down = False, time.monotonic()
                opened = wait_until(lambda: opened_at(weir), "the breaker to open", m.CLOCK.real(60) + 5)
                wait_until(lambda: time.monotonic() > down + m.CLOCK.real(60), "a minute to go by", m.CLOCK.real(60) + 5)
                probes = sorted(t for t in list(doctor.times) if t[0] > opened)
                doctor.is_up, up = True, time.monotonic()
                back = wait_until(lambda: next((a for a in list(answers) if a[0] > up and a[3].text == m.TEXT), None), "it to answer again", m.CLOCK.real(60) + 5)
                assert (back[1] - up) * m.CLOCK.factor < 30, back
                wait_until(lambda: [a[3].text for a in list(answers)[-6:]] == [m.TEXT] * 6, "all to go there again", m.CLOCK.real(60) + 5)
            finally:
                stop.set()
                for t in threads:
                    t.join()
            assert 2 <= len(probes) <= 7, f"{len(probes)} probes in a minute"
            assert all(a[1] <= b[0] for a, b in zip(probes, probes[1:])), f"two at once: {probes}"
            for began, ended, way, answer in answers:
                assert answer.status == 200 and answer.is_whole and answer.text in (m.TEXT, "another answer"), (way, answer)
                if down < began and ended < up:
                    assert answer.text == "another answer", (way, answer)
            assert {a[2] for a in answers if down < a[0] < up} == set(WAYS)
            told = scripted.records(weir, len(answers))
            assert len(told) == len(answers) and all("error" not in r for r in told)
    finally:
        stop.set()
        for u in ups:
            u.close()


def opened_at(weir):
    state = {t["name"]: t["breaker"] for t in weir.status()["targets"]}["a/m"]
    return time.monotonic() if state in ("open", "probing") else None


def test_hastened_clocks_are_for_tests():
    """Nobody's service runs on them by mistake."""
    c = {"providers": {}, "models": {}, "routes": []}
    for env, said in (({"NOTIFY_SOCKET": "/nowhere"}, "it is for tests"), ({"WEIR_TEST_TIME_FACTOR": "fast"}, "must be a number")):
        weir = Weir(c, env={"WEIR_TEST_TIME_FACTOR": "2", **env}, clean=False)
        assert weir.start(wants_exit=True) != 0 and said in weir.log(), weir.log()
