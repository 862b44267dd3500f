#!/usr/bin/env python3
"""Runs the end-to-end tests: tests/e2e/run.py [-v] [PART-OF-A-NAME …]

Each test is a function test_* in a file test_*.py; files and tests run in order of name, one after the other. A name is
"file.function" without the test_ of the file. The last line is "N passed, N failed, N skipped".
"""
import importlib
import os
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

LIMIT_S = 60 * harness.SLOW


class TooLong(BaseException):
    pass


def on_alarm(_number, _frame):
    raise TooLong(f"takes longer than {LIMIT_S} s")


def find(patterns):
    tests = []
    for name in sorted(os.listdir(harness.HERE)):
        if not (name.startswith("test_") and name.endswith(".py")):
            continue
        module = importlib.import_module(name[:-3])
        for key, value in vars(module).items():
            full = f"{name[5:-3]}.{key}"
            if key.startswith("test_") and callable(value) and value.__module__ == module.__name__:
                if not patterns or any(p in full for p in patterns):
                    tests.append((full, value))
    return tests


def run(name, function, is_verbose):
    started = time.monotonic()
    signal.alarm(LIMIT_S)
    try:
        function()
        outcome = "ok"
    except harness.Skip as reason:
        outcome = "SKIP"
        print(f"SKIP {name}: {reason}")
    except KeyboardInterrupt:
        raise
    except BaseException:
        outcome = "FAIL"
        print(f"FAIL {name}")
        print("".join("  " + line + "\n" for line in traceback.format_exc().splitlines()[-12:]), end="")
    finally:
        signal.alarm(0)
    if is_verbose and outcome == "ok":
        print(f"ok   {name} ({time.monotonic() - started:.2f} s)")
    sys.stdout.flush()
    return outcome


def main():
    arguments = [a for a in sys.argv[1:] if a != "-v"]
    signal.signal(signal.SIGALRM, on_alarm)
    if not os.path.exists(os.path.join(harness.BUILD, "weir")):
        print(f"{harness.BUILD}/weir is missing: run make first\n0 passed, 1 failed, 0 skipped")
        return 1
    counts = {"ok": 0, "FAIL": 0, "SKIP": 0}
    for name, function in find(arguments):
        counts[run(name, function, "-v" in sys.argv)] += 1
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
