#!/usr/bin/env python3
"""The conformance kit against the shipped plugins, which must pass, and against plugins with one fault each, which must not."""
import glob
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import faults  # noqa: E402
import harness  # noqa: E402

BUILD = harness.BUILD
SETTINGS = {"policy": '{"file":"%s"}' % os.path.join(HERE, "rules", "rule.lua")}
counts = {"passed": 0, "failed": 0, "skipped": 0}


def verify(so, *arguments):
    done = subprocess.run([os.path.join(BUILD, "weir"), "verify-plugin", so, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120)
    return done.returncode, done.stdout


def tell(name, is_good, text):
    counts["passed" if is_good else "failed"] += 1
    if not is_good:
        print(f"FAIL {name}\n" + "".join("  " + line + "\n" for line in text.splitlines()[-40:]))


def check_shipped():
    for so in sorted(glob.glob(os.path.join(BUILD, "plugins/*.so")) + glob.glob(os.path.join(BUILD, "providers/*.so"))):
        name = os.path.basename(so)[:-3]
        arguments = ["--seconds", str(2 * harness.SLOW)]
        pairs = os.path.join(ROOT, "providers", name, "tests")
        if os.path.isdir(pairs):
            arguments += ["--tests", pairs]
        if name in SETTINGS:
            arguments += ["--with", SETTINGS[name]]
        code, text = verify(so, *arguments)
        tell(name, code == 0, text)


def check_found(name, says, source):
    so = harness.compile_plugin("faulty", source, ("-Wno-unused-function",))
    code, text = verify(so, "--seconds", "1")
    tell(f"{name}: found by the kit ({says})", code == 1 and re.search(says, text) is not None, text)


def main():
    check_shipped()
    if harness.SLOW > 1:
        print("SKIP conformance: faults are looked for with a plain build")
        counts["skipped"] += 1
    else:
        for name, says, source in faults.STAGES:
            check_found("stage: " + name, says, source)
        with open(os.path.join(ROOT, "sdk/templates/provider/NAME.c")) as f:
            template = f.read()
        for name, says, source in faults.codecs(template):
            check_found("codec: " + name, says, source)
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
