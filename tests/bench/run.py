#!/usr/bin/env python3
"""Runs the six numbers and writes results.json and results.md; see README.md beside it.

Exit code 0: every run said something, whether or not it reached its target. 1: at least one run was broken. 2: usage."""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import numbers_of_weir as numbers
from procs import Broken, read
from rig import BUILD, HERE, ROOT, Rig


NOISY = 0.1  # share of the machine that other programs used in the worst of a row's runs


def command_says(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, check=False, cwd=ROOT)
        return (done.stdout + done.stderr).decode(errors="replace").strip()
    except OSError:
        return ""


def machine(rig):
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    memory = int(re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo")).group(1))
    nginx = command_says(shutil.which("nginx") or "/usr/sbin/nginx", "-v")
    return {"cpu": model.group(1) if model else platform.machine(), "processors": os.cpu_count(),
            "virtual": "hypervisor" in read("/proc/cpuinfo"), "memory_mib": memory // 1024,
            "kernel": platform.release(), "nginx": nginx.rsplit("/", 1)[-1],
            "weir": command_says(rig.weir, "version").split("\n")[0] if rig.weir else None,
            "revision": command_says("git", "rev-parse", "--short", "HEAD"),
            "pinning": f"program under test on processor {rig.server_cpu}, mock and load generator on {rig.load_cpu}",
            "load_average_before": list(os.getloadavg()), "date": time.strftime("%Y-%m-%d %H:%M")}


class Report:
    def __init__(self, about):
        self.about, self.rows, self.grids = about, [], {}

    def add(self, row):
        if "value" in row:
            row["passed"] = row["value"] <= row["limit"]
        self.rows.append(row)

    def table(self):
        a = self.about
        kind = "virtual machine" if a["virtual"] else "machine"
        lines = ["# Bench results", "",
                 f"{a['cpu']} ({kind}, {a['processors']} processors, {a['memory_mib']} MiB), Linux {a['kernel']}, nginx "
                 f"{a['nginx']}, {a['weir'] or 'weir not built'}, revision {a['revision']}, {a['date']}; {a['pinning']}; "
                 f"load average before: {a['load_average_before'][0]:.2f}.", "",
                 "| # | what | target | reached | |", "|---|---|---|---|---|"]
        words = {True: "pass", False: "**fail**", None: "not measured"}
        for row in self.rows:
            verdict = "**broken**" if row.get("broken") else words[row.get("passed")]
            reached = row["reached"].replace("|", "/").replace("\n", " ")
            if row.get("foreign", 0) > NOISY:
                reached += f"; noisy: others used {row['foreign']:.0%} of the machine"
            lines.append(f"| {row['number']} | {row['what']} | {row['target']} | {reached} | {verdict} |")
        for title, table in self.grids.items():
            names = list(table)
            lines += ["", title + ":", "", "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
            lines += [f"| {c} | " + " | ".join(f"{table[c][t]:.2f}" for t in names) + " |" for c in names]
        lines += ["", "How each figure is made and how to read it: README.md."]
        return "\n".join(lines) + "\n"

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as f:
            json.dump({"machine": self.about, "rows": self.rows}, f, indent=1, ensure_ascii=False)
            f.write("\n")
        with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as f:
            f.write(self.table())


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="1,2,3,4,5,6", help="numbers to run, such as 1,2")
    parser.add_argument("--quick", action="store_true", help="once, and a tenth of the load: does it work, not how fast is it")
    parser.add_argument("--weir", default=os.path.join(ROOT, "build", "weir"), help="the program [build/weir]")
    parser.add_argument("--ports", type=int, default=18300, help="first of six ports [18300]")
    parser.add_argument("--out", help="folder for the results [beside this script when all was run, else build/bench]")
    o = parser.parse_args()
    try:
        o.only = [int(n) for n in o.only.split(",")]
    except ValueError:
        o.only = [0]
    if not set(o.only) <= set(numbers.ALL):
        parser.error("--only takes numbers from 1 to 6, separated by commas")
    return o


def ended(signum, _frame):
    raise SystemExit(128 + signum)


def main():
    o = options()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, ended)
    rig = Rig(o.weir, o.ports)
    report = Report(machine(rig))
    if not rig.weir:
        print(f"{rig.weir_path} is not there or can't be run: nginx alone is measured", flush=True)
    try:
        rig.start()
        is_whole = numbers.run(numbers.Session(rig, report, o.quick), o.only)
    except Broken as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    finally:
        rig.close()
    is_complete = rig.weir and not o.quick and len(o.only) == len(numbers.ALL)
    folder = o.out or (HERE if is_complete else BUILD)
    report.write(folder)
    print("\n" + report.table() + f"\nwritten: {os.path.relpath(folder)}/results.json and results.md")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
