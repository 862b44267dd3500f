"""Workers killed at random moments under load: the others go on, and the figures that all share stay right. What a single update leaves
behind when it is cut at any instruction is tested in tests/unit (test_places, test_breaker, test_shm)."""
import os
import random
import signal
import threading

import harness
from harness import Upstream, Weir, wait_until
from scripted import WAYS, Script, ask, error, held, ok, records, settings

KILLS, CAP = 12, 6


def shaky(seed):
    """Well, mostly; a little late, so that calls are in flight whenever somebody dies."""
    dice, lock = random.Random(seed), threading.Lock()

    def act(conn, request, script):
        with lock:
            roll, late = dice.random(), dice.random() * 0.02
        if conn.is_closed(late):
            return False
        text = "echo " + request.json["messages"][0]["content"]
        return (error(503) if roll < 0.1 else error(429, retry_after_ms="5") if roll < 0.15 else ok(text))(conn, request, script)
    return act


class Load:
    """Clients that ask until they are told to stop, and forgive a connection that ends before or within an answer."""

    def __init__(self, weir, n):
        self.weir, self.stop, self.right, self.lost, self.wrong, self.lock = weir, threading.Event(), 0, 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, who):
        i = 0
        while not self.stop.is_set():
            i += 1
            dialect, stream = WAYS[(who + i) % len(WAYS)]
            outcome = self.one(dialect, stream, f"{who}-{i}")
            with self.lock:
                if outcome == "right":
                    self.right += 1
                elif outcome == "lost":
                    self.lost += 1
                else:
                    self.wrong.append(outcome)

    def one(self, dialect, stream, text):
        try:
            answer = ask(self.weir, dialect, stream, text=text)
        except (EOFError, OSError, ValueError, IndexError):
            return "lost"
        if answer.status >= 429:
            return "lost"
        if answer.status != 200 or (answer.is_whole and answer.text != "echo " + text):
            return repr(answer)
        return "right" if answer.is_whole else "lost"

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


def kill_one(weir, dice):
    pids = wait_until(lambda: (found := weir.worker_pids()) and len(found) == 2 and found, "two workers to serve")
    threading.Event().wait(dice.random() * 0.15)  # at whatever instruction that is
    victim = dice.choice(pids)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in weir.worker_pids(), "the master to notice")


def figures(weir):
    names = [f'weir_{kind}_in_flight{{{kind}="{n}{m}"}}' for n in "ab" for kind, m in (("target", "/m"), ("provider", ""))]
    return {n: weir.metric(n) for n in names + ["weir_provider_waiting"]}


def test_the_figures_stay_right_whoever_dies():
    dice, gate = random.Random(7), threading.Event()
    scripts = [Script(shaky(n)) for n in range(2)]
    ups = [Upstream(s) for s in scripts]
    quick = {n: {"breaker": {"failures": 4, "open_for": "30ms"}, "max_inflight": CAP, "retry_budget": 1,
                 "queue": {"wait": "50ms", "length": 50}} for n in "ab"}
    try:
        with Weir(settings(ups, retries=1, providers=quick, workers=2)) as weir:
            load = Load(weir, 8)
            try:
                for _ in range(KILLS):
                    kill_one(weir, dice)
                before = load.right
                wait_until(lambda: load.right > before + 100, "the others, and the next, to go on")
            finally:
                load.end()
            assert not load.wrong, load.wrong[:2]
            assert load.right > 5 * load.lost, (load.right, load.lost)
            weir.assert_clean()
            wait_until(lambda: not any(figures(weir).values()), f"nothing in flight: {figures(weir)}")

            # No place is owed by the dead, and none is given twice: as many as the cap at once, and not one more.
            for s in scripts:
                s.actions = [held(gate, ok("held"))]
            asked = [len(u.requests) for u in ups]
            clients = [weir.client() for _ in range(2 * CAP + 1)]
            for c in clients:
                c.chat()
            wait_until(lambda: sum(len(u.requests) for u in ups) == sum(asked) + 2 * CAP, "every place to be taken")
            refused = wait_until(lambda: weir.metric("weir_shed_total") and next((c for c in clients if has_answer(c)), None), "the last to be refused")
            assert refused.response().status == 503
            assert [figures(weir)[f'weir_provider_in_flight{{provider="{n}"}}'] for n in "ab"] == [CAP, CAP], figures(weir)
            gate.set()
            assert all(c is refused or c.response().status == 200 for c in clients)
            assert [len(u.requests) - n for u, n in zip(ups, asked)] == [CAP, CAP]
            records(weir, load.right - KILLS)  # each answer has one, but that of a worker which died between the two
    finally:
        gate.set()
        for u in ups:
            u.close()


def has_answer(client):
    client.sock.settimeout(0.01)
    try:
        client.reader.fill()
        return True
    except TimeoutError:
        return False
    finally:
        client.sock.settimeout(harness.DEADLINE)
