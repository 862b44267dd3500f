"""What the complexity score is worth, on prompts of which it is known whether a weak and a strong model answered them right.

    python3 tests/complexity/measure.py          the figures of README.md, as a table
    python3 tests/complexity/measure.py --fit    the weights for core/complexity.c
    python3 tests/complexity/measure.py --check  exits with 1 if the weights in C are not those, or README.md has other figures

A router sends the share s of prompts with the highest scores to the strong model; right(s) is the share of all prompts that are then
answered right. Random routing is the straight line between the two models; the gain is the mean height above it over all s. Bands are
95 % of 1,000 resamplings of the prompts. Needs only Python; the same figures each time.
"""
import json
import math
import os
import random
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("WEIR_SHARED", os.path.join(ROOT, "..", "shared"))
NAMES = ["words", "sentences", "numbers", "maths", "code", "conditions", "negations", "quantities"]
RIDGE, FOLDS, RESAMPLINGS, SHARES = 5000.0, 5, 1000, (10, 20, 30, 40, 50, 60, 70, 80, 90)
BUILD = os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build"))


def load():
    with open(os.path.join(SHARED, "data", "routing.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def counted(rows, rounds=1):
    """The counts of each prompt as the program makes them, their scores, nanoseconds each."""
    binary = os.path.join(BUILD, "tests", "complexity_counts")
    texts = [r["prompt"].encode() for r in rows]
    given = b"".join(b"%d\n%s" % (len(t), t) for t in texts)
    out = subprocess.run([binary, str(rounds)], input=given, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    lines = [line.split() for line in out[:len(rows)]]
    assert len(lines) == len(rows) and all(len(x) == len(NAMES) + 1 for x in lines), "counts of every prompt"
    return ([[math.log1p(int(v)) for v in x[:-1]] for x in lines], [float(x[-1]) for x in lines],
            int(out[len(rows)].split()[1]))


def fit(points, gains):
    """Ridge regression of strong minus weak on the standardised logarithms, weights never negative: coordinate descent."""
    n, k = len(points), len(NAMES)
    mean = [sum(p[j] for p in points) / n for j in range(k)]
    spread = [math.sqrt(sum((p[j] - mean[j]) ** 2 for p in points) / n) or 1.0 for j in range(k)]
    z = [[(p[j] - mean[j]) / spread[j] for j in range(k)] for p in points]
    middle = sum(gains) / n
    a = [[sum(row[i] * row[j] for row in z) + (RIDGE if i == j else 0) for j in range(k)] for i in range(k)]
    b = [sum(row[j] * (g - middle) for row, g in zip(z, gains)) for j in range(k)]
    w = [0.0] * k
    for _ in range(300):
        for j in range(k):
            w[j] = max(0.0, (b[j] - sum(a[j][i] * w[i] for i in range(k)) + a[j][j] * w[j]) / a[j][j])
    w = [x / s for x, s in zip(w, spread)]
    bias = -sum(x * m for x, m in zip(w, mean))
    scores = [bias + sum(x * v for x, v in zip(w, p)) for p in points]
    scale = math.sqrt(sum(s * s for s in scores) / n)
    return bias / scale, [x / scale for x in w]


def score(model, point):
    return model[0] + sum(x * v for x, v in zip(model[1], point))


def gain_over_random(pairs):
    """pairs: (score, strong - weak). The mean height of the curve above random; equal scores in the order given."""
    total, height, n = sum(g for _, g in pairs), 0.0, len(pairs)
    area = 0.0
    for _, g in sorted(pairs, key=lambda p: -p[0]):
        height += g
        area += height
    return area / n / (n + 1) - total / n / 2


def band(pairs):
    dice = random.Random(1)
    found = sorted(gain_over_random(dice.choices(pairs, k=len(pairs))) for _ in range(RESAMPLINGS))
    return found[int(0.025 * RESAMPLINGS)], found[int(0.975 * RESAMPLINGS)]


def curve(pairs, weak):
    ordered, n = [g for _, g in sorted(pairs, key=lambda p: -p[0])], len(pairs)
    return [(weak + sum(ordered[:n * s // 100])) / n for s in SHARES]


def cross_validated(points, gains):
    dice = random.Random(0)
    fold = [dice.randrange(FOLDS) for _ in points]
    models = [fit([p for p, f in zip(points, fold) if f != k], [g for g, f in zip(gains, fold) if f != k]) for k in range(FOLDS)]
    return [score(models[f], p) for p, f in zip(points, fold)]


def leave_out(rows, points, gains, name):
    seen = [i for i, r in enumerate(rows) if r["dataset"] != name]
    model = fit([points[i] for i in seen], [gains[i] for i in seen])
    return [(score(model, points[i]), gains[i]) for i, r in enumerate(rows) if r["dataset"] == name]


def line(title, pairs):
    low, high = band(pairs)
    best = gain_over_random([(g, g) for _, g in pairs])
    return "| %s | %d | %+.2f | %+.2f to %+.2f | %+.2f |" % (title, len(pairs), 100 * gain_over_random(pairs), 100 * low,
                                                            100 * high, 100 * best)


def report(rows, points, gains):
    validated = list(zip(cross_validated(points, gains), gains))
    out = ["| prompts | how many | gain over random, points | 95 % band | best possible |", "|---|---|---|---|---|",
           line("all, five-fold cross-validated", validated)]
    for name in sorted({r["dataset"] for r in rows}):
        out.append(line("%s, fitted without it" % name, leave_out(rows, points, gains, name)))
    weak, strong, n = sum(r["weak_ok"] for r in rows), sum(r["strong_ok"] for r in rows), len(rows)
    out += ["", "| sent to the strong model | by the score | at random | best possible |", "|---|---|---|---|"]
    best = curve([(g, g) for g in gains], weak)
    for share, by_score, ideal in zip(SHARES, curve(validated, weak), best):
        out.append("| %d %% | %.1f %% | %.1f %% | %.1f %% |" % (share, 100 * by_score, (100 * weak + share * (strong - weak)) / n,
                                                              100 * ideal))
    return out


def weights_line(points, gains):
    bias, w = fit(points, gains)
    return "} weight = { %s };" % ", ".join("%.4g" % round(x, 4) for x in [bias] + w)


def check(rows, points, gains):
    with open(os.path.join(ROOT, "core", "complexity.c"), encoding="utf-8") as f:
        in_c = weights_line(points, gains) in f.read()
    with open(os.path.join(ROOT, "tests", "complexity", "README.md"), encoding="utf-8") as f:
        text = f.read()
    missing = [x for x in report(rows, points, gains) if x not in text]
    print("%s  core/complexity.c has the fitted weights" % ("ok  " if in_c else "FAIL"))
    print("%s  README.md has the figures%s" % ("FAIL" if missing else "ok  ", ": not " + missing[0] if missing else ""))
    return [in_c, not missing]


def main():
    if not os.path.exists(os.path.join(SHARED, "data", "routing.jsonl")):
        print("SKIP: no data/routing.jsonl in ../shared (or $WEIR_SHARED)")
        return 0
    rows = load()
    points, _, ns = counted(rows, 100)
    gains = [r["strong_ok"] - r["weak_ok"] for r in rows]
    if "--fit" in sys.argv:
        print(weights_line(points, gains))
    elif "--check" in sys.argv:
        return 0 if all(check(rows, points, gains)) else 1
    else:
        print("\n".join(report(rows, points, gains)))
        print("%d ns a prompt" % ns)
    return 0


if __name__ == "__main__":
    sys.exit(main())
