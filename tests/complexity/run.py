#!/usr/bin/env python3
"""The weights in C are those that the data gives, README.md has the figures that were measured, and a prompt costs microseconds."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure  # noqa: E402

MOST_NS = 20000  # measured: about 2,000; sanitizers and busy machines are slower


def main():
    if not os.path.exists(os.path.join(measure.SHARED, "data", "routing.jsonl")):
        print("SKIP: no data/routing.jsonl in ../shared (or $WEIR_SHARED)\n0 passed, 0 failed, 1 skipped")
        return 0
    rows = measure.load()
    points, _, ns = measure.counted(rows, 20)
    results = measure.check(rows, points, [r["strong_ok"] - r["weak_ok"] for r in rows]) + [ns < MOST_NS]
    print("%s  a prompt costs %d ns" % ("ok  " if results[-1] else "FAIL", ns))
    print("%d passed, %d failed" % (sum(results), len(results) - sum(results)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
