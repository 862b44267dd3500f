#!/usr/bin/env python3
"""What naive adapters get wrong, and what providers were seen to send: each with the test that holds it. The list is traps.py; here it
is only looked at whether those tests exist, so that none is lost when tests are renamed. They run with their own suites."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from traps import OPEN, TRAPS  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def why_missing(test):
    """A reference is FILE:NAME (of a test in it), or a golden pair without its endings."""
    path, _, name = test.partition(":")
    if not name:
        wire = os.path.join(ROOT, path + ".wire")
        canon = path if ".request" in path or ".answer" in path or ".stream" in path or ".error" in path else None
        return None if os.path.exists(wire) and canon and os.path.exists(os.path.join(ROOT, canon + ".canon")) else "no such pair"
    if not os.path.exists(os.path.join(ROOT, path)):
        return "no such file"
    begin = rf"^TEST\({name}\)" if path.endswith(".c") else rf"^(def {name}\(|    \(\"{name}\")"
    return None if re.search(begin, read(path), re.M) else "no such test in it"


def main():
    passed = failed = 0
    for dialect, trap, tests in TRAPS:
        missing = [f"{t}: {why_missing(t)}" for t in tests if why_missing(t)] if tests else ["no test is named"]
        passed, failed = passed + (not missing), failed + bool(missing)
        if missing:
            print(f"FAIL {dialect}: {trap}: {'; '.join(missing)}")
    for dialect, trap, why in OPEN:
        print(f"open: {dialect}: {trap}: {why}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
