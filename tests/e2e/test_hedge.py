"""Hedging: a second target is asked beside one that is late, the first that speaks is the answer, the other is cancelled and accounted
for. In three client dialects, streamed and whole."""
import threading

import harness
from harness import Upstream, Weir, wait_until
from scripted import WAYS, Script, ask, coded, error, held, ok, records, settings, silent, story


def hedged(ups, hedge, **more):
    c = settings(ups, **more)
    c["routes"][0]["hedge"] = hedge
    return c


def close(ups):
    for u in ups:
        if u:
            u.close()


def play(scripts, wants, hedge=None, ways=WAYS, **more):
    for dialect, stream in ways:
        ups = [Upstream(Script(*s)) for s in scripts]
        try:
            with Weir(hedged(ups, hedge or {"after": "100ms"}, **more)) as weir:
                answer = ask(weir, dialect, stream)
                record = records(weir, 1)[0]
                try:
                    wants(answer, record, [len(u.requests) for u in ups], weir)
                except AssertionError as e:
                    raise AssertionError(f"{dialect}, stream={stream}: {e}\n{answer}\n{record}") from e
        finally:
            close(ups)


def test_the_second_answers_where_the_first_is_late():
    def wants(answer, record, asked, weir):
        assert answer.status == 200 and answer.text == "second" and answer.is_whole and asked == [1, 1]
        assert answer.headers["x-weir-target"] == "b/m" and answer.headers["x-weir-attempts"] == "2"
        first, second = record["attempts"]
        assert first["outrun"] is True and "error" not in first and "outrun" not in second
        assert second["reason"].startswith("hedge: a/m said nothing for 1"), second
        assert first["tokens"]["estimated"] and first["tokens"]["input"] > 0, "what was sent is accounted for"
        assert weir.metric('weir_hedges_total{provider="a"}') == 1
        assert weir.metric('weir_target_failures_total{target="a/m"}') == 0
    play([[silent], [ok("second")]], wants)


def test_the_first_may_still_win():
    gate = threading.Event()

    def second(conn, request, script):
        gate.set()
        return silent(conn, request, script)

    def wants(answer, record, asked, weir):
        assert answer.text == "first" and answer.is_whole and asked == [1, 1]
        assert [a.get("outrun") for a in record["attempts"]] == [None, True]
        gate.clear()
    play([[held(gate, ok("first"))], [second]], wants)


def test_one_that_fails_leaves_the_other():
    def wants(answer, record, asked, weir):
        assert answer.status == 200 and answer.text == "fine" and asked == [1, 1, 0]
        assert sorted(c for _, c in story(record)) == ["ok", "server"]
    for order in (False, True):
        gate = threading.Event()

        def tells(then):
            def act(conn, request, script):
                gate.set()
                return then(conn, request, script)
            return act
        pair = [[held(gate, error(500))], [tells(held_a_moment(ok("fine")))]] if order else \
            [[held(gate, held_a_moment(ok("fine")))], [tells(error(500))]]
        for way in WAYS:
            gate.clear()
            play(pair + [[ok("nobody asks me")]], wants, ways=[way])


def test_one_that_failed_beside_another_has_its_retries_left():
    """It may not be asked again while the other may still answer; when that fails too it is, within its retries."""
    def wants(answer, record, asked, weir):
        assert answer.status == 200 and answer.text == "fine" and asked == [1, 2], asked
        assert [c for _, c in story(record)] == ["timeout", "overloaded", "ok"], story(record)
        assert record["attempts"][2]["reason"] == "a/m failed: timeout", record
    times = {"timeouts": {"first_token": "400ms"}, "providers": {"a": {"timeouts": {"total": "400ms"}}}}
    play([[silent], [error(503), ok("fine")]], wants, retries=1, **times)

    def wants_none(answer, record, asked, weir):
        assert answer.status >= 500 and asked == [1, 1], asked
    play([[silent], [error(503), ok("fine")]], wants_none, ways=WAYS[:2], retries=0, **times)

    def wants_larger(answer, record, asked, weir):
        assert answer.status == 200 and answer.text == "large" and asked == [1, 1, 0, 1], asked
    long = coded(400, "context_length_exceeded", "maximum context length is 8192 tokens")
    play([[silent], [long], [ok("small")], [ok("large")]], wants_larger, ways=WAYS[:2], retries=1, context={"a": 8192, "b": 8192, "c": 8192, "d": 100000}, **times)


def held_a_moment(then):
    """Answers when weir has told the other's end: it closes that connection or reads its error first."""
    def act(conn, request, script):
        threading.Event().wait(0.15)
        return then(conn, request, script)
    return act


def test_both_fail_and_the_third_answers():
    gate = threading.Event()

    def second(conn, request, script):
        gate.set()
        return error(503)(conn, request, script)

    def wants(answer, record, asked, weir):
        gate.clear()
        assert answer.text == "third" and asked == [1, 1, 1]
        assert sorted(c for _, c in story(record)) == ["ok", "overloaded", "server"]
    play([[held(gate, error(500))], [second], [ok("third")]], wants)


def test_off_and_without_another_nobody_is_asked():
    def wants(answer, record, asked, weir):
        assert answer.text == "late" and asked[0] == 1 and sum(asked) == 1, asked
    late = held_a_moment(held_a_moment(ok("late")))
    play([[late], [ok("second")]], wants, hedge="off", ways=WAYS[:2])
    play([[late]], wants, ways=WAYS[:2])


def test_the_share_is_kept():
    """Ten in any case, then none with a share of nothing."""
    ups = [Upstream(Script(held_a_moment(ok("first")))), Upstream(Script(ok("second")))]
    try:
        with Weir(hedged(ups, {"after": "20ms", "share": 0})) as weir:
            texts = [ask(weir, "openai", False).text for _ in range(13)]
            assert texts == ["second"] * 10 + ["first"] * 3, texts
            notes = [r for r in records(weir, 13)[10:]]
            assert sum("share of calls" in str(n) for n in notes) == 3, notes
    finally:
        close(ups)


def test_a_tool_of_the_provider_is_not_run_twice():
    ups = [Upstream(Script(held_a_moment(error(400)))), Upstream(Script(error(400)))]
    try:
        with Weir(hedged(ups, {"after": "20ms"}, providers={n: {"dialect": "anthropic"} for n in "ab"})) as weir:
            weir.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
                                       "tools": [{"type": "web_search_20250305", "name": "web_search"}]})
            assert [len(u.requests) for u in ups] == [1, 0]
    finally:
        close(ups)


def test_the_own_p95_counts_once_it_is_known():
    """Fifty answers of some milliseconds: then a second target is asked long before the eight seconds of an unknown one."""
    slow = threading.Event()

    def first(conn, request, script):
        return silent(conn, request, script) if slow.is_set() else ok("first")(conn, request, script)
    ups = [Upstream(Script(first)), Upstream(Script(ok("second")))]
    try:
        with Weir(hedged(ups, {})) as weir:
            for _ in range(55):
                assert ask(weir, "openai", True).text == "first"
            slow.set()
            assert ask(weir, "openai", True).text == "second"
            hedge = records(weir, 56)[55]["attempts"][1]
            assert hedge["reason"].startswith("hedge: a/m said nothing for"), hedge
            assert int(hedge["reason"].split()[-2]) < 4000
    finally:
        close(ups)


def test_a_client_that_leaves_ends_both():
    ups = [Upstream(Script(silent)), Upstream(Script(silent))]
    try:
        with Weir(hedged(ups, {"after": "20ms"})) as weir:
            client = weir.client()
            client.chat()
            ups[1].wait_requests(1)
            client.close()
            wait_until(lambda: not [c for d in weir.details() for c in d["calls"]], "both to end", harness.DEADLINE)
            assert [c for _, c in story(records(weir, 1)[0])] == ["cancelled"] * 2
    finally:
        close(ups)


def test_mistakes_in_the_configuration_are_told():
    weir = Weir(hedged([None], {"after": "soon"}))
    assert weir.start(wants_exit=True) != 0 and "after" in weir.log()
    weir = Weir(hedged([None], "on"))
    assert weir.start(wants_exit=True) != 0 and "hedge is off, or" in weir.log()


def test_one_who_asked_for_patience_is_no_second():
    gate = threading.Event()
    with Upstream(Script(held(gate, ok("first")))) as a, Upstream(Script(error(429, retry_after="20"), ok("second"))) as b:
        more = hedged([a, b], {"after": "100ms"})
        more["models"]["b/m"] = {"targets": ["b/m"]}
        with Weir(more) as weir:
            limited = weir.post("/v1/chat/completions", {"model": "b/m", "messages": [{"role": "user", "content": "x"}]})
            assert limited.status == 429, limited.text
            threading.Timer(0.5, gate.set).start()
            assert ask(weir, "openai", True).text == "first"
            assert len(b.requests) == 1 and len(records(weir, 2)[1]["attempts"]) == 1
