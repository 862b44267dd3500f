#!/usr/bin/env python3
"""What a failover costs: the same answer from the second target after the first refused the connection, and from the first at once.
One kept connection, in turns; medians in milliseconds. At most 2 ms are allowed; more: exit code 1. Usage: failover.py [CALLS]"""
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import Upstream, Weir  # noqa: E402
from scripted import Script, ok, settings  # noqa: E402

MOST_MS = 2


def call_ms(client, model):
    before = time.perf_counter()
    client.chat(model=model)
    assert client.response().status == 200
    return (time.perf_counter() - before) * 1000


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with Upstream(Script(ok())) as up:
        c = settings([None, up], providers={"a": {"breaker": {"failures": 0}}}, entry=[])
        c["models"]["straight"] = {"targets": ["b/m"]}
        with Weir(c) as weir, weir.client() as client:
            times = {"m": [], "straight": []}
            for i in range(calls + 20):
                for model in times:
                    ms = call_ms(client, model)
                    if i >= 20:
                        times[model].append(ms)
    straight, over = (statistics.median(times[m]) for m in ("straight", "m"))
    p99 = [statistics.quantiles(times[m], n=100)[98] for m in ("straight", "m")]
    print(f"straight {straight:.3f} ms (p99 {p99[0]:.3f}), after a refused connection {over:.3f} ms (p99 {p99[1]:.3f}), added {over - straight:.3f} ms")
    return 1 if over - straight > MOST_MS else 0


if __name__ == "__main__":
    sys.exit(main())
