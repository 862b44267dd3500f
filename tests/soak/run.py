#!/usr/bin/env python3
"""The soak: random faults under a steady load, every answer checked, memory watched.

    run.py [SECONDS [RATE [SEED]]]       [5 100 1] as a test; `make soak`: ten minutes at 200 requests a second

A weir with two workers stands before four providers (upstream.py) that fail in a third of all calls. It must be that no answer is lost,
doubled or truncated, that each request has its record, and that memory ends where it was after the first fifth.
"""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from harness import SLOW, Weir  # noqa: E402
sys.path.insert(0, HERE)
from dialects import DIALECTS  # noqa: E402

SECONDS, RATE, SEED = (float(x) for x in (sys.argv[1:] + ["5", "100", "1"][len(sys.argv) - 1:])[:3])
FAULTS = 0.33
GROWTH_KB = 6 * 1024  # of all workers together; measured: README.md
FAILED = []


def settings(ports):
    providers = {name: {"dialect": dialect, "base_url": f"http://127.0.0.1:{port}{DIALECTS[dialect].base}", "key": "k",
                        "timeouts": {"first_token": "2s", "idle": "1s", "total": "4s"}, "breaker": {"failures": 200}, "retry_budget": 1}
                 for name, dialect, port in zip("abcd", DIALECTS, ports)}
    return {"entry": ["log"], "providers": providers, "models": {f"m{i}": {"targets": [f"{x}/m" for x in "abcdabc"[i:i + 4]]} for i in range(4)},
            "routes": [{"match": {"path": path}, "open": True, "pipeline": [], "retries": 2,
                        "hedge": {"after": "250ms", "share": 1}} for path in ("/v1/*", "/v1beta/*")]}


def rss_kb(weir):
    total = 0
    for pid in weir.worker_pids():
        with open(f"/proc/{pid}/status") as f:
            total += next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))
    return total


def count_records(weir):
    with open(weir.path("stdout.log"), errors="replace") as f:
        return sum(1 for line in f if line.startswith("{") and line.endswith("}\n"))


def expect(is_so, what):
    print(("ok    " if is_so else "FAIL  ") + what, flush=True)
    if not is_so:
        FAILED.append(what)


def run(upstream, weir):
    client = subprocess.Popen([sys.executable, os.path.join(HERE, "client.py"), weir.address, str(RATE), str(SECONDS), str(int(SEED))],
                              stdout=subprocess.PIPE, text=True)
    memory = []
    for _ in range(4):
        time.sleep(SECONDS / 5)
        memory.append(rss_kb(weir))
    saw = json.loads(client.communicate(timeout=SECONDS + 120)[0])
    memory.append(rss_kb(weir))
    early, late = memory[0], memory[-1]
    did = json.loads(upstream.communicate("")[0].splitlines()[-1])
    print("client  ", json.dumps(saw["saw"]))
    print("upstream", json.dumps(did))
    print(f"memory   {memory} KiB after each fifth")
    for wrong in saw["wrong"]:
        print("wrong   ", json.dumps(wrong, ensure_ascii=False))
    total = sum(saw["saw"].values())
    right = saw["saw"].get("right", 0)
    expect(total == saw["asked"] and not saw["saw"].get("wrong"), "no answer lost, doubled or truncated")
    expect(right > 0.8 * total, f"most answers are right ({right} of {total})")
    expect(not did.get("wrong_part"), "nothing but the beginning of an answer was ever told to be gone on with")
    expect(count_records(weir) == saw["asked"], f"a record for each request ({count_records(weir)} of {saw['asked']})")
    expect(late - early < GROWTH_KB or SLOW > 1, f"memory grew by {late - early} KiB")


def main():
    upstream = subprocess.Popen([sys.executable, os.path.join(HERE, "upstream.py"), str(int(SEED)), str(FAULTS)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
    try:
        with Weir(settings(json.loads(upstream.stdout.readline()))) as weir:
            run(upstream, weir)
            weir.assert_clean()
            expect(True, "nothing is left behind")
    except AssertionError as e:
        expect(False, str(e))
    finally:
        upstream.kill()
        upstream.wait()
    print(f"{5 + 1 - len(FAILED)} passed, {len(FAILED)} failed")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
