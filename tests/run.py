#!/usr/bin/env python3
"""Runs the tests, sums what they say, ends with one line `N passed, N failed[, N skipped]`.

Every test program prints such a line last; one that prints none, or takes too long, counts as one failure.
`run.py` runs all suites, `run.py unit e2e` only those. Suites:

  unit      build/tests/unit/test_*          one program per tests/unit/test_*.c
  fuzz      build-fuzz/fuzz_*                each for $FUZZ_SECONDS; only when asked for
  every other folder of tests/: its run.py or, without one, its test_*.py
"""
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build"))
LINE = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$")
NOT_SUITES = {"unit", "fuzz", "lint", "bench"}
ORDER = ["unit", "golden", "abi", "policies", "sdk", "hostile", "e2e", "clients"]
LIMIT_S = {"unit": 180, "e2e": 900, "clients": 600}


class Sum:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def line(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def run(name, command, limit_s, total, env=None):
    """One test program. What it prints is shown when it fails or skips."""
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit_s,
                              env={**os.environ, **(env or {})}, errors="replace")
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode(errors="replace") + f"\ntook longer than {limit_s} s", -1
    except OSError as error:
        output, code = str(error), -1
    lines = output.strip().splitlines()
    counted = next((LINE.match(text) for text in reversed(lines) if LINE.match(text)), None)
    passed, failed, skipped = (int(n or 0) for n in counted.groups()) if counted else (0, 0, 0)
    if code != 0 and failed == 0:
        failed = 1
    if code == 0 and not counted:
        failed, output = 1, output + "\nit printed no line `N passed, N failed`"
    total.add(passed, failed, skipped)
    said = f"{passed} passed" + (f", {failed} failed" if failed else "") + (f", {skipped} skipped" if skipped else "")
    print(f"{'FAIL' if failed else 'ok  '} {name}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
    if failed:
        print("\n".join("     | " + text for text in output.strip().splitlines()[-200:]) +
              ("" if code >= 0 else f"\n     | ended by signal {-code}"), flush=True)
    else:
        for text in lines:
            if text.strip().startswith("SKIP"):
                print("     " + text.strip(), flush=True)


def run_unit(total):
    for source in sorted(glob.glob(os.path.join(ROOT, "tests/unit/test_*.c"))):
        name = os.path.basename(source)[:-2]
        program = os.path.join(BUILD, "tests/unit", name)
        if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
            total.add(0, 1, 0)
            print(f"FAIL unit/{name}: it did not build", flush=True)
            continue
        run("unit/" + name, [program], LIMIT_S["unit"], total)


def run_fuzz(total):
    seconds = int(os.environ.get("FUZZ_SECONDS", "10"))
    build = os.path.join(ROOT, os.environ.get("FUZZ_BUILD", "build-fuzz"))
    targets = [os.path.basename(source)[:-2] for source in sorted(glob.glob(os.path.join(ROOT, "tests/fuzz/fuzz_*.c")))]
    codecs = [os.path.dirname(source) for source in sorted(glob.glob(os.path.join(ROOT, "providers/*/*.c")))
              if ".decode_frame" in open(source, encoding="utf-8").read()]
    folders = {"elf": os.path.join(BUILD, "tests/plugins")}
    folders.update({"codec_" + os.path.basename(folder): os.path.join(folder, "tests") for folder in codecs})
    for name in targets + ["codec_" + os.path.basename(folder) for folder in codecs]:
        short = name[5:] if name.startswith("fuzz_") else name
        corpus = os.path.join(build, name + ".corpus")
        os.makedirs(corpus, exist_ok=True)
        seeds = [os.path.join(ROOT, "tests/fuzz/seeds", short), folders.get(short, "")]
        seeds = [folder for folder in seeds if os.path.isdir(folder)]
        script = '"$@" && echo "1 passed, 0 failed"'
        run("fuzz/" + name, ["sh", "-c", script, "sh", os.path.join(build, name), "-timeout=10",
                             "-rss_limit_mb=1024", f"-max_total_time={seconds}", "-print_final_stats=1",
                             f"-seed={os.environ.get('FUZZ_SEED', '0')}",
                             f"-artifact_prefix={corpus}-", corpus] + seeds, seconds + 60, total)


def run_folder(suite, folder, total):
    limit_s = LIMIT_S.get(suite, 600)
    whole = os.path.join(folder, "run.py")
    programs = [whole] if os.path.exists(whole) else sorted(glob.glob(os.path.join(folder, "test_*.py")))
    for program in programs:
        name = suite if program == whole else suite + "/" + os.path.basename(program)[:-3]
        run(name, [sys.executable, program], limit_s, total)


def suites():
    found = {os.path.basename(os.path.dirname(d)) for d in glob.glob(os.path.join(ROOT, "tests/*/"))} - NOT_SUITES
    return ["unit"] + [s for s in ORDER if s in found] + sorted(found - set(ORDER))


def main():
    os.chdir(ROOT)
    os.environ.setdefault("WEIR_BUILD", BUILD)
    total = Sum()
    for suite in sys.argv[1:] or suites():
        if suite == "unit":
            run_unit(total)
        elif suite == "fuzz":
            run_fuzz(total)
        else:
            run_folder(suite, os.path.join(ROOT, "tests", suite), total)
    print(total.line())
    return 1 if total.failed else 0


sys.exit(main())
