"""Active health checks: one GET now and then for the machine; a provider that fails them is passed by until one is well."""
import threading
import time

from harness import Upstream, Weir, wait_until
from scripted import ask, ok, records, settings, silent


class Provider:
    """Answers GET /health with `status` (None: not at all), calls with its name; or with 503 while `is_down`."""

    def __init__(self, name, status=200):
        self.status, self.is_down, self.checks, self.heads = status, False, [], []
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.answers = ok(name)

    def __call__(self, conn):
        while True:
            request = conn.read_request()
            if not request:
                return
            if request.method == "GET":
                self.checks.append(time.monotonic())
                self.heads.append(request)
                if self.status is None:
                    silent(conn, request, self)
                    return
                conn.respond(self.status, b"{}")
            elif self.is_down:
                conn.respond(503, b'{"error":{"message":"down"}}')
            else:
                self.answers(conn, request, self)


CHECK = {"path": "/health", "every": "100ms", "timeout": "200ms"}


def failures(weir):
    return weir.metric('weir_provider_health_failures{provider="a"}')


def play(first, test, workers=2, check=None, **a):
    second = Provider("second")
    with Upstream(first) as one, Upstream(second) as two:
        c = settings([one, two], providers={"a": {"health_check": {**CHECK, **(check or {})}, **a}}, workers=workers)
        with Weir(c) as weir:
            test(weir)
        assert not second.checks, "nobody wished that"


def test_a_provider_that_fails_its_checks_is_passed_by():
    first = Provider("first", 503)

    def test(weir):
        wait_until(lambda: failures(weir) >= 2, "two failures")
        for dialect in ("openai", "anthropic", "gemini"):
            assert ask(weir, dialect, True).text == "second"
        assert "its health check fails" in str(records(weir, 1)[0])
        weir.wait_log("event=provider.down .*provider=a .*it answered 503")
        first.status = 404  # a server that knows no such path is there
        wait_until(lambda: failures(weir) == 0, "it to be well")
        assert ask(weir, "openai", False).text == "first"
        weir.wait_log("event=provider.up .*provider=a")
    play(first, test)
    assert first.heads[0].path == "/health" and not {"authorization", "x-api-key"} & set(first.heads[0].headers), first.heads[0]


def test_one_worker_looks_for_all():
    first = Provider("first")

    def test(weir):
        wait_until(lambda: len(first.checks) > 12, "checks")
    play(first, test, workers=3)
    took = first.checks[12] - first.checks[0]
    assert took > 12 * 0.09, f"twelve checks within {took:.2f} s"


def test_no_answer_is_a_failure_and_costs_nothing_else():
    first = Provider("first", None)

    def test(weir):
        wait_until(lambda: failures(weir) >= 2, "two failures")
        assert ask(weir, "openai", True).text == "second"
        weir.wait_log("event=provider.down .*it did not answer in time")
    play(first, test, workers=1)
    with Upstream(Provider("second")) as two:
        c = settings([None, two], providers={"a": {"health_check": CHECK}})
        with Weir(c) as weir:
            wait_until(lambda: failures(weir) >= 2, "two refused connections")
            assert ask(weir, "openai", True).text == "second"


def test_a_check_that_is_well_lets_an_open_breaker_probe():
    first = Provider("first", 503)
    first.is_down = True

    def test(weir):
        while ask(weir, "openai", False).headers["x-weir-attempts"] == "2":
            pass  # its breaker opens, for ten minutes
        assert ask(weir, "openai", False).text == "second"
        first.is_down, first.status = False, 200
        wait_until(lambda: ask(weir, "openai", False).text == "first", "it to come back")
        assert weir.metric('weir_target_breaker{target="a/m"}') == 0
    play(first, test, breaker={"failures": 2, "open_for": "10m"}, check={"failures": 200})


def test_mistakes_are_told():
    weir = Weir(settings([None], providers={"a": {"health_check": {"path": "health"}}}))
    assert weir.start(wants_exit=True) != 0 and "path begins with a slash" in weir.log()
