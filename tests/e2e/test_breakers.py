"""Breakers, keys on the bench, caps and queues: what one request's failure means for the others."""
import os
import signal
import threading
import time

from harness import Upstream, Weir, wait_until
from scripted import Script, ask, coded, error, held, ok, records, settings

QUICK = {"a": {"breaker": {"failures": 3, "window": "60s", "open_for": "300ms"}}}


def breaker(weir, target="a/m"):
    return {t["name"]: t for t in weir.status()["targets"]}[target]["breaker"]


def test_a_target_that_is_down_is_left_alone_and_comes_back():
    is_down, gate = [True], threading.Event()

    def doctor(conn, request, script):
        if is_down[0]:
            return error(503)(conn, request, script)
        assert gate.wait(10)
        return ok("from a")(conn, request, script)
    with Upstream(Script(doctor)) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b], providers=QUICK, workers=2)) as weir:
            for _ in range(12):
                assert ask(weir, "openai", False).text == "from b"
            assert len(a.requests) == 3 and breaker(weir) == "open", len(a.requests)
            passed = [n for r in records(weir, 12) for n in r.get("decisions", []) if "breaker" in n.get("skipped", "")]
            assert len(passed) == 9
            is_down[0] = False

            # One call probes, and while it does all others go elsewhere, also those of the other worker.
            probe = None
            def begin_probe():
                nonlocal probe
                before = len(a.requests)
                client = weir.client()
                client.chat()
                wait_until(lambda: len(a.requests) > before or client_done(client), "an answer or the probe")
                if len(a.requests) > before:
                    probe = client
                return probe
            def client_done(client):
                client.sock.settimeout(0.001)
                try:
                    client.reader.fill()
                    return True
                except TimeoutError:
                    return False
                finally:
                    client.sock.settimeout(10)
            wait_until(begin_probe, "the probe")
            assert breaker(weir) == "probing"
            for _ in range(10):
                assert ask(weir, "anthropic", True).text == "from b"
            assert len(a.requests) == 4
            gate.set()
            assert probe.response().content == "from a"
            wait_until(lambda: breaker(weir) == "closed", "the breaker to close")
            assert ask(weir, "openai", False).text == "from a"


def test_a_worker_that_dies_with_the_probe_gives_it_back():
    is_down, gate = [True], threading.Event()

    def doctor(conn, request, script):
        if is_down[0]:
            return error(503)(conn, request, script)
        gate.wait(10)
        return ok("from a")(conn, request, script)
    with Upstream(Script(doctor)) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b], providers=QUICK, workers=2, watchdog="0s")) as weir:
            for _ in range(3):
                ask(weir, "openai", False)
            is_down[0] = False
            clients = []

            def is_probing():
                clients.append(weir.client().chat())
                return breaker(weir) == "probing"
            wait_until(is_probing, "the probe")
            a.wait_requests(4)
            holder = [w["pid"] for w in weir.status()["workers"]
                      if w["detail"] and any(c.get("target") == "a/m" for c in w["detail"]["calls"])]
            assert len(holder) == 1 and len(a.requests) == 4, holder
            os.kill(holder[0], signal.SIGKILL)
            wait_until(lambda: clients.append(weir.client().chat()) or len(a.requests) == 5, "another probe")
            gate.set()
            wait_until(lambda: breaker(weir) == "closed", "the breaker to close")
            for c in clients:
                c.close()


def test_all_breakers_open_is_one_clear_error():
    with Upstream(Script(error(503))) as a:
        with Weir(settings([a], providers={"a": {"breaker": {"failures": 2, "open_for": "30s"}}})) as weir:
            for _ in range(2):
                ask(weir, "openai", False)
            for stream in (False, True):
                answer = ask(weir, "anthropic", stream)
                assert answer.status == 503 and "breaker is open" in answer.error, answer
                assert 1 <= int(answer.headers["retry-after"]) <= 30 and answer.headers["x-weir-error"] == "no_target"
            assert len(a.requests) == 2


def test_what_a_request_brought_on_itself_moves_no_breaker():
    bad = [coded(400, None, "no"), coded(400, "content_filter"), coded(413, None, "large"), coded(404, "model_not_found"),
           coded(400, "context_length_exceeded")]
    with Upstream(Script(*bad)) as a, Weir(settings([a], providers=QUICK)) as weir:
        for _ in range(12):
            assert ask(weir, "openai", False).status in (400, 404, 413)
        assert len(a.requests) == 12 and breaker(weir) == "closed"


def test_the_breaker_outlives_workers_and_reloads():
    with Upstream(Script(error(503))) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b], providers={"a": {"breaker": {"failures": 2, "open_for": "60s"}}})) as weir:
            for _ in range(3):
                ask(weir, "openai", False)
            pid = weir.worker_pids()[0]
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: [p for p in weir.worker_pids() if p != pid], "the next worker")
            assert ask(weir, "openai", False).text == "from b"
            assert weir.reload()[0]
            assert ask(weir, "openai", False).text == "from b"
            assert len(a.requests) == 2 and breaker(weir) == "open"


# ---- keys -----------------------------------------------------------------------------------------------------------

def by_key(refused, status=401, code="invalid_api_key"):
    """Refuses some keys; notes which were used."""
    def act(conn, request, script):
        key = request.headers["authorization"].split(" ")[1]
        script.__dict__.setdefault("keys", []).append(key)
        return (coded(status, code) if key in refused else ok(key))(conn, request, script)
    return act


def test_a_refused_key_sits_on_the_bench_and_the_others_go_on():
    for status, code in ((401, "invalid_api_key"), (429, "insufficient_quota")):
        script = Script(by_key({"k2"}, status, code))
        with Upstream(script) as a, Weir(settings([a], providers={"a": {"key": None, "keys": ["k1", "k2", "k3"]}})) as weir:
            for _ in range(12):
                answer = ask(weir, "openai", False)
                assert answer.status == 200 and answer.text in ("k1", "k3"), answer
            assert script.keys.count("k2") == 1, script.keys
            assert abs(script.keys.count("k1") - script.keys.count("k3")) <= 2, script.keys
            assert breaker(weir) == "closed"
            assert weir.reload()[0]
            for _ in range(3):
                assert ask(weir, "openai", False).status == 200
            assert script.keys.count("k2") == 2, script.keys


def test_a_benched_key_is_tried_again_after_a_minute_then_after_two():
    """On clocks that run 60 times as fast; no request of the client's suffers, for another key is asked at once."""
    script = Script(by_key({"k2"}))
    with Upstream(script) as a:
        with Weir(settings([a], providers={"a": {"key": None, "keys": ["k1", "k2"]}}, watchdog="0s"), env={"WEIR_TEST_TIME_FACTOR": "60"}) as weir:
            tried = []

            def ask_on():
                assert ask(weir, "openai", False).text == "k1"
                if script.keys.count("k2") > len(tried):
                    tried.append(time.monotonic())
                return len(tried) == 3
            wait_until(ask_on, "the key to be tried three times")
            first, second = (60 * (b - a) for a, b in zip(tried, tried[1:]))
            assert 59 <= first < 90 and 119 <= second < 150, (first, second)


def test_a_pair_of_key_and_model_is_benched_when_two_principals_were_refused():
    """One caller's 403 may be about what he asked; another key and another model go on."""
    from hashlib import sha256

    def act(conn, request, script):
        key, model = request.headers["authorization"].split(" ")[1], request.json["model"]
        script.__dict__.setdefault("calls", []).append((key, model))
        (coded(403, "permission_denied", kind="permission_error") if (key, model) == ("k1", "m") else ok(key))(conn, request, script)
    script = Script(act)
    people = [{"name": n, "hash": "sha256:" + sha256(n.encode()).hexdigest()} for n in ("alice", "bob")]
    with Upstream(script) as a:
        c = settings([a], providers={"a": {"key": None, "keys": ["k1", "k2"]}}, keys=people)
        c["entry"] = ["log", "auth"]
        c["models"]["other"] = {"targets": ["a/other"]}
        with Weir(c) as weir:
            def until_refused(who):
                before = script.calls.count(("k1", "m")) if script.n else 0
                wait_until(lambda: (ask(weir, "openai", False, headers={"authorization": f"Bearer {who}"}), script.calls.count(("k1", "m")) > before)[1],
                           f"{who} to be refused")
            for _ in range(3):
                until_refused("alice")
            until_refused("bob")
            n = script.calls.count(("k1", "m"))
            for who in ("alice", "bob") * 6:
                answer = ask(weir, "openai", False, headers={"authorization": f"Bearer {who}"})
                assert answer.status == 200 and answer.text == "k2", answer
            assert script.calls.count(("k1", "m")) == n and breaker(weir) == "closed", script.calls
            for _ in range(4):
                assert ask(weir, "openai", False, model="other", headers={"authorization": "Bearer bob"}).status == 200
            assert ("k1", "other") in script.calls, script.calls


def test_nobody_is_told_to_wait_longer_than_a_minute_unless_the_provider_said_so():
    with Upstream(Script(error(503))) as a:
        with Weir(settings([a], providers={"a": {"breaker": {"failures": 2, "open_for": "10m"}}})) as weir:
            for _ in range(2):
                assert "retry-after" not in ask(weir, "openai", False).headers
            assert ask(weir, "openai", False).headers["retry-after"] == "60"
    with Upstream(Script(error(429, retry_after="300"))) as a, Weir(settings([a])) as weir:
        assert ask(weir, "openai", False).headers["retry-after"] == "300"


def test_with_every_key_refused_it_is_not_asked():
    with Upstream(Script(by_key({"k1", "k2"}))) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b], providers={"a": {"key": None, "keys": ["k1", "k2"]}})) as weir:
            for _ in range(5):
                assert ask(weir, "openai", False).text == "from b"
            assert len(a.requests) == 2
            assert any("every key" in n.get("skipped", "") for n in records(weir, 5)[4]["decisions"])
        with Weir(settings([a], providers={"a": {"key": None, "keys": ["k1"]}})) as weir:
            first, second = ask(weir, "openai", False), ask(weir, "openai", False)
            assert first.status == 502 and records(weir, 2)[0]["error"]["code"] == "upstream_auth", first
            assert second.status == 503 and "every key" in second.error and "retry-after" in second.headers, second


def test_a_limited_key_sends_the_retry_to_another():
    def act(conn, request, script):
        key = request.headers["authorization"].split(" ")[1]
        script.__dict__.setdefault("keys", []).append(key)
        return (ok(key) if key == "k2" else error(429, retry_after="20"))(conn, request, script)
    script = Script(act)
    with Upstream(script) as a:
        with Weir(settings([a], retries=1, providers={"a": {"key": None, "keys": ["k1", "k2"]}})) as weir:
            before = time.monotonic()
            for _ in range(4):
                assert ask(weir, "openai", True).text == "k2"
            assert time.monotonic() - before < 5 and script.keys.count("k1") >= 1, script.keys


# ---- patience -------------------------------------------------------------------------------------------------------

def deferred(weir, n):
    return [d["deferred"] for r in records(weir, n) for d in r.get("decisions", []) if "deferred" in d]


def test_who_asked_for_patience_is_asked_last():
    for refusal in (error(429, retry_after="20"), error(503, retry_after="20"), error(429, retry_after_ms="20000")):
        with Upstream(Script(refusal)) as a, Upstream(Script(ok("from b"))) as b:
            with Weir(settings([a, b], workers=2)) as weir:
                for i in range(6):
                    assert ask(weir, "anthropic" if i % 2 else "openai", bool(i % 3)).text == "from b"
                assert len(a.requests) == 1 and len(b.requests) == 6, (len(a.requests), len(b.requests))
                said = deferred(weir, 6)
                assert len(said) == 5 and all(d.startswith("a/m: its provider asked for patience, ") for d in said), said


def test_patience_ends():
    with Upstream(Script(error(429, retry_after="1"), ok("from a"))) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b])) as weir:
            assert [ask(weir, "openai", False).text for _ in range(2)] == ["from b"] * 2
            time.sleep(1.1)
            assert ask(weir, "openai", False).text == "from a" and len(a.requests) == 2


def test_who_asked_for_patience_is_asked_when_no_other_is_left():
    with Upstream(Script(error(429, retry_after="20"), ok("from a"))) as a, Upstream(Script(ok("from b"), error(500))) as b:
        with Weir(settings([a, b])) as weir:
            assert [ask(weir, "openai", True).text for _ in range(2)] == ["from b", "from a"]
            assert (len(a.requests), len(b.requests)) == (2, 2)
    with Upstream(Script(error(429, retry_after="20"), ok("from a"))) as a, Weir(settings([a])) as weir:
        assert ask(weir, "openai", False).status == 429 and ask(weir, "openai", False).text == "from a"


def test_without_a_wish_the_order_stays():
    with Upstream(Script(error(429))) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b])) as weir:
            assert [ask(weir, "openai", False).text for _ in range(3)] == ["from b"] * 3
            assert len(a.requests) == 3 and not deferred(weir, 3)


def test_a_key_with_which_patience_was_asked_for_gives_its_turns_away():
    def act(conn, request, script):
        key = request.headers["authorization"].split(" ")[1]
        script.__dict__.setdefault("keys", []).append(key)
        return (ok(key) if key == "k2" else error(429, retry_after="20"))(conn, request, script)
    script = Script(act)
    with Upstream(script) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b], providers={"a": {"key": None, "keys": ["k1", "k2", "k3"]}})) as weir:
            answers = [ask(weir, "openai", False).text for _ in range(9)]
            counts = [script.keys.count(k) for k in ("k1", "k2", "k3")]
            assert counts == [1, 7, 1] and answers.count("from b") == 2, script.keys


def test_patience_is_of_one_model():
    def act(conn, request, script):
        return (error(429, retry_after="20") if request.json["model"] == "m" else ok("other"))(conn, request, script)
    with Upstream(Script(act)) as a, Upstream(Script(ok("from b"))) as b:
        more = settings([a, b])
        name = next(iter(more["models"]))
        more["models"]["small"] = {"targets": ["a/small", "b/m"]}
        with Weir(more) as weir:
            assert ask(weir, "openai", False).text == "from b"
            answer = weir.post("/v1/chat/completions", {"model": "small", "messages": [{"role": "user", "content": "x"}]})
            assert answer.json["choices"][0]["message"]["content"] == "other", (name, answer.text)


# ---- caps and queues ------------------------------------------------------------------------------------------------

def test_max_inflight_queues_and_principals_take_turns():
    gate, order = threading.Event(), []

    def act(conn, request, script):
        order.append(request.json["messages"][0]["content"])
        assert gate.wait(10)
        return ok()(conn, request, script)
    keys = [{"name": n, "key": f"sk-{n}"} for n in ("alice", "bob")]
    from hashlib import sha256
    keys = [{"name": k["name"], "hash": "sha256:" + sha256(k["key"].encode()).hexdigest()} for k in keys]
    with Upstream(Script(act)) as a:
        more = settings([a], providers={"a": {"max_inflight": 1, "queue": {"wait": "20s", "length": 5}}}, keys=keys)
        more["entry"] = ["log", "auth"]
        with Weir(more) as weir:
            clients = []
            def send(who, text):
                c = weir.client()
                c.chat(text, headers={"authorization": f"Bearer sk-{who}"})
                clients.append(c)
            def waiting():
                return sum(1 for d in weir.details() for c in d["calls"] if "place" in c.get("waits_for", {}).get("what", ""))
            send("alice", "a1")
            a.wait_requests(1)
            for n, (who, text) in enumerate([("alice", "a2"), ("alice", "a3"), ("alice", "a4"), ("bob", "b1"), ("bob", "b2")]):
                send(who, text)
                wait_until(lambda: waiting() == n + 1, "it to wait")
            assert weir.metric("weir_provider_waiting") == 5
            assert weir.metric("weir_provider_in_flight") == 1, weir.metric("weir_provider_in_flight")
            send("bob", "b3")  # the queue is full
            refused = clients[-1].response()
            assert refused.status == 503 and refused.headers["retry-after"] == "1", refused
            assert refused.headers["x-weir-error"] == "overloaded" and weir.metric("weir_shed_total") == 1
            clients[2].close()  # who leaves gives up his place, and his turn
            wait_until(lambda: waiting() == 4, "the place to be free")
            gate.set()
            for i, c in enumerate(clients):
                if i not in (2, 6):
                    assert c.response().status == 200
            assert order == ["a1", "a2", "b1", "b2", "a4"], order
            assert len(a.requests) == 5


def test_the_queue_is_short():
    gate = threading.Event()
    with Upstream(Script(held(gate, ok()))) as a:
        with Weir(settings([a], providers={"a": {"max_inflight": 1, "queue": {"wait": "100ms"}}})) as weir:
            first = weir.client()
            first.chat()
            a.wait_requests(1)
            answer = ask(weir, "anthropic", True)
            assert answer.status == 503 and "max_inflight" in answer.error and answer.headers["retry-after"] == "1", answer
            gate.set()
            assert first.response().status == 200
            assert ask(weir, "openai", False).status == 200


def test_with_room_elsewhere_nobody_waits():
    gate = threading.Event()
    with Upstream(Script(held(gate, ok()))) as a, Upstream(Script(ok("from b"))) as b:
        with Weir(settings([a, b], providers={"a": {"max_inflight": 1}})) as weir:
            first = weir.client()
            first.chat()
            a.wait_requests(1)
            assert ask(weir, "openai", False).text == "from b"
            gate.set()
            assert first.response().status == 200


def test_a_cap_holds_over_workers():
    """Never more than the cap at the same time, whoever asks."""
    lock, now, most = threading.Lock(), [0], [0]

    def act(conn, request, script):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            return ok()(conn, request, script)
        finally:
            with lock:
                now[0] -= 1
    with Upstream(Script(act)) as a:
        with Weir(settings([a], providers={"a": {"max_inflight": 3, "queue": {"wait": "20s", "length": 200}}}, workers=2)) as weir:
            clients = [weir.client() for _ in range(20)]
            for _ in range(3):
                for c in clients:
                    c.chat()
                assert all(c.response().status == 200 for c in clients)
            for c in clients:
                c.close()
            assert most[0] <= 3, most


# ---- budgets --------------------------------------------------------------------------------------------------------

def test_retries_are_no_storm():
    with Upstream(Script(error(500))) as a:
        with Weir(settings([a], retries=3, providers={"a": {"breaker": {"failures": 0}}}, workers=2)) as weir:
            for _ in range(40):
                client = weir.client()
                client.chat()
                client.response()
            n = len(a.requests)
            assert 50 <= n <= 40 + 10 + 8 + 12, n  # ten, a fifth, and one every two seconds
            told = [x for r in records(weir, 40) for x in r.get("decisions", []) if "budget" in x.get("no_retry", "")]
            assert told and weir.metric("weir_retries_total") == n - 40


def test_figures_reach_status_and_rules():
    with Upstream(Script(ok(headers={"x-ratelimit-remaining-requests": "41", "x-ratelimit-remaining-tokens": "9000"}))) as a:
        c = settings([a])
        weir = Weir(c)
        rule = weir.write("rule.lua", "return { on_request = function(req) local c = req.candidates[1] "
                          "note('saw', string.format('%s %s %.0f %.0f %.0f', c.breaker, tostring(c.healthy), c.answers, c.left_requests, c.left_tokens)) end }")
        c["routes"][0]["pipeline"] = [{"policy": {"file": rule}}]
        weir.configure(c)
        with weir:
            for _ in range(2):
                assert ask(weir, "openai", False).status == 200
            saw = [n["saw"] for r in records(weir, 2) for n in r["decisions"]]
            assert saw[0].startswith("closed true 0 inf inf") and saw[1] == "closed true 1 41 9000", saw
            target = weir.status()["targets"][0]
            assert target["left_requests"] == 41 and target["p95_ms"] > 0 and target["error_rate"] == 0, target
