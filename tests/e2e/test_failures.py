"""What weir does when providers fail before a client has seen anything: how often each target is asked, what the client sees, what
the record says, that nothing is left behind. Each case in three client dialects, streamed and whole."""
import json
import random
import statistics
import threading
import time

from harness import SLOW, Upstream, Weir
from scripted import WAYS, Script, ask, coded, error, ok, records, reset, settings, silent, story


def play(scripts, wants, **more):
    """Runs one request in each way against fresh providers; wants(answer, record, asked, seconds) looks at what came."""
    for dialect, stream in WAYS:
        ups = [Upstream(Script(*s)) if s else None for s in scripts]
        try:
            with Weir(settings(ups, **more)) as weir:
                before = time.monotonic()
                answer = ask(weir, dialect, stream)
                seconds = time.monotonic() - before
                record = records(weir, 1)[0]
                asked = [len(u.requests) if u else 0 for u in ups]
                try:
                    wants(answer, record, asked, seconds)
                except AssertionError as e:
                    raise AssertionError(f"{dialect}, stream={stream}: {e}\n{answer}\n{record}") from e
        finally:
            for u in ups:
                if u:
                    u.close()


def answered(text, asked, story_wanted, least=0.0, most=5.0):
    def wants(answer, record, counts, seconds):
        assert answer.status == 200 and answer.text == text and answer.is_whole, "the answer"
        assert counts == asked, f"asked {counts}"
        assert story(record) == story_wanted, story(record)
        assert int(answer.headers["x-weir-attempts"]) == len(story_wanted)
        assert "reason" not in record["attempts"][0] and all("reason" in a for a in record["attempts"][1:]), "reasons"
        assert least <= seconds <= most, seconds
    return wants


def test_500_once_is_asked_again():
    play([[error(500), ok()]], answered("fine", [2], [("a/m", "server"), ("a/m", "ok")]), retries=2)


def test_without_retries_the_next_is_asked_at_once():
    play([[error(500), ok()], [ok("other")]], answered("other", [1, 1], [("a/m", "server"), ("b/m", "ok")], most=1))


def test_503_for_ever_goes_elsewhere_after_the_retries():
    play([[error(503)], [ok("other")]],
         answered("other", [3, 1], [("a/m", "overloaded")] * 3 + [("b/m", "ok")]), retries=2)


def test_429_with_retry_after_is_waited_for():
    play([[error(429, retry_after="1"), ok()], [ok("other")]],
         answered("fine", [2, 0], [("a/m", "rate_limited"), ("a/m", "ok")], least=1.0, most=2.5), retries=2)


def test_429_with_a_long_retry_after_goes_elsewhere():
    play([[error(429, retry_after="30"), ok()], [ok("other")]],
         answered("other", [1, 1], [("a/m", "rate_limited"), ("b/m", "ok")], most=1), retries=2)


def test_429_without_retry_after_backs_off():
    play([[error(429), error(429), ok()], [ok("other")]],
         answered("fine", [3, 0], [("a/m", "rate_limited")] * 2 + [("a/m", "ok")], most=2), retries=2)


def test_reset_headers_are_waited_for():
    limited = error(429, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="300ms",
                    x_ratelimit_remaining_tokens="9", x_ratelimit_reset_tokens="1h")
    play([[limited, ok()]], answered("fine", [2], [("a/m", "rate_limited"), ("a/m", "ok")], least=0.3, most=1.5), retries=1)


def test_a_wait_beyond_the_deadline_is_not_begun():
    def wants(answer, record, asked, seconds):
        assert answer.status == 429 and answer.headers["retry-after"] == "9" and seconds < 1, seconds
        assert asked == [1] and "x-should-retry" not in answer.headers
    play([[error(429, retry_after="9"), ok()]], wants, retries=2, timeouts={"total": "3s"})


def test_a_reset_before_the_head_is_asked_again():
    play([[reset, ok()]], answered("fine", [2], [("a/m", "connect"), ("a/m", "ok")]), retries=1)


def test_refused_connections_cost_nothing():
    play([None, [ok("other")]], answered("other", [0, 1], [("a/m", "connect"), ("b/m", "ok")], most=1))


def test_a_failover_adds_less_than_two_milliseconds():
    """In turns with calls that go to the second target at once."""
    with Upstream(Script(ok())) as up:
        c = settings([None, up], providers={"a": {"breaker": {"failures": 0}}})
        c["models"]["straight"] = {"targets": ["b/m"]}
        with Weir(c) as weir, weir.client() as client:
            times = {"m": [], "straight": []}
            for model in ["m", "straight"] * 100:
                before = time.monotonic()
                client.chat(model=model)
                assert client.response().status == 200
                times[model].append(time.monotonic() - before)
    added = statistics.median(times["m"]) - statistics.median(times["straight"])
    assert added < 0.002 * SLOW, added


def test_a_silent_target_is_asked_once():
    """Streams by the first token's time-out; whole answers have only `total`, which of a provider is the attempt's."""
    play([[silent], [ok("other")]],
         answered("other", [1, 1], [("a/m", "timeout"), ("b/m", "ok")], least=0.3), retries=2,
         providers={"a": {"timeouts": {"total": "300ms"}}})
    play([[silent]] * 2, timed_out([1, 1]), retries=2, timeouts={"first_token": "200ms", "total": "450ms"},
         providers={n: {"timeouts": {"total": "200ms"}} for n in "ab"})


def timed_out(asked):
    def wants(answer, record, counts, seconds):
        assert answer.status == 504 and counts == asked and seconds < 2, (counts, seconds)
        assert [c for _, c in story(record)] == ["timeout"] * 2
    return wants


def test_context_too_long_goes_only_to_a_larger_one():
    long = coded(400, "context_length_exceeded", "maximum context length is 8192 tokens")
    play([[long], [ok("small")], [ok("large")]],
         answered("large", [1, 0, 1], [("a/m", "context_length"), ("c/m", "ok")]),
         retries=2, context={"a": 8192, "b": 8192, "c": 100000})

    def wants(answer, record, asked, seconds):
        assert answer.status == 400 and asked == [1, 0], "the client is told"
        assert "8192" in answer.error
    play([[long], [ok("small")]], wants, retries=2, context={"a": 8192, "b": 4096})


def test_refused_content_goes_nowhere():
    def wants(answer, record, asked, seconds):
        assert answer.status == 400 and asked == [1, 0] and story(record) == [("a/m", "content_policy")]
    play([[coded(400, "content_filter")], [ok("other")]], wants, retries=2)


def test_a_request_that_is_wrong_is_not_asked_again():
    def wants(answer, record, asked, seconds):
        assert answer.status == 400 and asked == [1, 0] and "temperature" in answer.error
    play([[coded(400, None, "temperature is too high")], [ok("other")]], wants, retries=2)


def test_when_all_fail_one_error_names_each():
    def wants(answer, record, asked, seconds):
        assert answer.status == 503 and asked == [2, 0, 2], asked
        assert answer.headers["x-weir-error"] == "all_attempts_failed"
        assert answer.headers["x-should-retry"] == "false"
        assert "All 6 attempts failed" in answer.error
        for part in ("a/m: server (500), it is broken", "b/m: connect", "c/m: overloaded (503)"):
            assert answer.error.count(part) == 2, answer.error
        assert story(record) == [("a/m", "server")] * 2 + [("b/m", "connect")] * 2 + [("c/m", "overloaded")] * 2
        assert record["status"] == 503 and record["error"]["code"] == "all_attempts_failed"
    play([[error(500)], None, [error(503)]], wants, retries=1)


def test_one_failure_of_one_target_is_told_as_it_was():
    def wants(answer, record, asked, seconds):
        assert answer.status in (500, 502) and asked == [1] and answer.error == "it is broken"
        assert "x-weir-error" not in answer.headers
        assert "x-should-retry" not in answer.headers
    play([[error(500)]], wants)


def test_a_hosted_tool_is_not_run_twice():
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    for first, asked in ((error(500), 0), (reset, 0), (error(429), 1), (error(529), 1), (None, 1)):
        ups = [Upstream(Script(first)) if first else None, Upstream(Script(error(503)))]
        try:
            anthropic = {n: {"dialect": "anthropic"} for n in "ab"}
            with Weir(settings(ups, providers=anthropic)) as weir:
                answer = weir.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})
                assert answer.status >= 500 or answer.status == 429, answer
                assert len(ups[1].requests) == asked, (answer, records(weir, 1))
        finally:
            for u in ups:
                if u:
                    u.close()


def test_tools_that_the_client_runs_keep_nobody_from_asking_another():
    fine = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "fine"}],
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    response = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "created_at": 1, "error": None,
                "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                            "content": [{"type": "output_text", "text": "fine", "annotations": []}]}],
                "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}
    cases = [("anthropic", "/v1/messages", fine, [{"type": "bash_20250124", "name": "bash"},
                                                  {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]),
             ("responses", "/v1/responses", response, [{"type": "apply_patch"}, {"type": "custom", "name": "sql"}])]
    for dialect, path, body, tools in cases:
        def second(conn, _request, _script, body=body):
            conn.respond(200, json.dumps(body).encode(), {"content-type": "application/json"})
        ups = [Upstream(Script(error(500))), Upstream(Script(second))]
        try:
            with Weir(settings(ups, providers={n: {"dialect": dialect} for n in "ab"})) as weir:
                asks = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "tools": tools} \
                    if dialect == "anthropic" else {"model": "m", "input": "hi", "tools": tools}
                answer = weir.post(path, asks, {"anthropic-version": "2023-06-01"})
                assert answer.status == 200 and "fine" in answer.text, answer
                assert [len(u.requests) for u in ups] == [1, 1]
        finally:
            for u in ups:
                u.close()


RULE = "return { on_failure = function(req, a) note('class', a.class) %s end }"


def with_rule(weir_settings, weir, body):
    weir_settings["routes"][0]["pipeline"] = [{"policy": {"file": weir.write("rule.lua", RULE % body)}}]
    weir.configure(weir_settings)


def play_rule(scripts, body, **more):
    ups = [Upstream(Script(*s)) for s in scripts]
    try:
        weir = Weir(settings(ups, **more))
        with_rule(settings(ups, **more), weir, body)
        with weir:
            answer = ask(weir, "openai", False)
            return answer, story(records(weir, 1)[0]), [len(u.requests) for u in ups]
    finally:
        for u in ups:
            u.close()


def test_a_rule_says_retry():
    answer, told, asked = play_rule([[error(500), ok()], [ok("other")]], "return 'retry'")
    assert answer.text == "fine" and asked == [2, 0], (answer, told)


def test_a_rule_says_next():
    answer, told, asked = play_rule([[error(500), ok()], [ok("other")]], "return 'next'", retries=3)
    assert answer.text == "other" and asked == [1, 1], (answer, told)
    answer, told, asked = play_rule([[error(500), ok()]], "return 'next'", retries=3)
    assert answer.status == 500 and answer.error == "it is broken" and asked == [1], (answer, told)


def test_a_rule_may_send_refused_content_elsewhere():
    answer, told, asked = play_rule([[coded(400, "content_filter")], [ok("b")], [ok("c")]],
                                    "if a.class == 'content_policy' then return { 'c/m' } end")
    assert answer.text == "c" and asked == [1, 0, 1], (answer, told)


def test_a_rule_may_deny_after_a_failure():
    answer, told, asked = play_rule([[error(500)], [ok()]], "return deny{ status = 418, message = 'enough' }")
    assert answer.status == 418 and asked == [1, 0], (answer, told)


def test_a_client_that_leaves_during_a_wait_ends_it():
    with Upstream(Script(error(429, retry_after="20"))) as up, Weir(settings([up], retries=1)) as weir:
        client = weir.client()
        client.chat()
        up.wait_requests(1)
        weir_calls = lambda: [c for d in weir.details() for c in d["calls"]]  # noqa: E731
        from harness import wait_until
        wait_until(lambda: any(c.get("waits_for", {}).get("what") == "the next try" for c in weir_calls()), "the wait to show")
        client.close()
        wait_until(lambda: not weir_calls(), "the wait to end")
        assert len(up.requests) == 1
        assert records(weir, 1)[0]["error"]["class"] == "cancelled"


def test_random_faults():
    """Six clients, three providers that fail at random: every answer is the right one, whole, or an error; nothing is lost or doubled,
    and the records tell of every call that a provider saw."""
    def chaos(seed):
        dice = random.Random(seed)

        def act(conn, request, script):
            with script.lock:
                roll = dice.random()
            text = "echo " + request.json["messages"][0]["content"]
            if roll < 0.15:
                return error(503)(conn, request, script)
            if roll < 0.25:
                return error(429, retry_after_ms="20")(conn, request, script)
            if roll < 0.32:
                return reset(conn, request, script)
            if roll < 0.36:
                return error(500)(conn, request, script)
            return ok(text)(conn, request, script)
        return Script(act)

    ups = [Upstream(chaos(n)) for n in range(3)]
    quick = {n: {"breaker": {"failures": 3, "open_for": "30ms"}, "max_inflight": 4, "retry_budget": 1} for n in "abc"}
    broken, counts = [], {"ok": 0, "error": 0}

    def client(weir, who):
        for i in range(40):
            dialect, stream = WAYS[(who + i) % len(WAYS)]
            answer = ask(weir, dialect, stream, text=f"{who}-{i}")
            if answer.status == 200 and not (answer.is_whole and answer.text == f"echo {who}-{i}"):
                broken.append(answer)
            counts["ok" if answer.status == 200 else "error"] += 1
    try:
        with Weir(settings(ups, retries=1, providers=quick, workers=2)) as weir:
            threads = [threading.Thread(target=client, args=(weir, n)) for n in range(6)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert not broken, broken[:2]
            assert sum(counts.values()) == 240 and counts["ok"] > 200, counts
            told = records(weir, 240)
            assert len(told) == 240
            for name, up in zip("abc", ups):
                tries = [a for r in told for a in r.get("attempts", []) if a["target"] == f"{name}/m"]
                seen = len(tries) + sum(1 for a in tries if a.get("reconnected"))
                assert seen == len(up.requests), (name, seen, len(up.requests))
                assert weir.metric('weir_target_in_flight{target="%s/m"}' % name) == 0
                assert weir.metric('weir_provider_in_flight{provider="%s"}' % name) == 0
                assert weir.metric('weir_target_calls_total{target="%s/m"}' % name) == len(tries)
    finally:
        for u in ups:
            u.close()
