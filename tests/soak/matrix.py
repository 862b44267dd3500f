#!/usr/bin/env python3
"""The matrix of what providers do wrong (tests/e2e/matrix.py) in real time: time-outs of 30 s take 30 s. All cases at once, about two
minutes. Usage: matrix.py [FACTOR]; part of `make soak`."""
import os
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import matrix  # noqa: E402
import test_matrix  # noqa: E402


def run(name, function, failed):
    began = time.monotonic()
    try:
        function()
        print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
    except BaseException:
        failed.append(name)
        print(f"FAIL  {name}\n{traceback.format_exc()[-3000:]}", flush=True)


def main():
    matrix.CLOCK = matrix.Clock(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    cases = {k: v for k, v in vars(test_matrix).items() if k.startswith("test_") and callable(v)}
    failed = []
    threads = [threading.Thread(target=run, args=(k, v, failed)) for k, v in cases.items()]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"{len(cases) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
