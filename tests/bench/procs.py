"""Programs under test: starting them pinned to a processor, what they cost (CPU, memory), ending them.

CPU is user + system of all threads of all processes of a program, in nanoseconds from schedstat. The set of processes must
be the same before and after a run: a worker that died in between is a broken run, not a cheap one."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Broken(Exception):
    """A run that says nothing: something didn't start, died or answered wrongly."""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def processors():
    """(for the program under test, for mock and load generator): the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1] if len(usable) > 1 else usable[0]


def child_setup(processor):
    def setup():
        os.sched_setaffinity(0, {processor})
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # should the bench be killed: a master then ends its workers itself
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return setup


def parents():
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                table[int(entry)] = int(read(f"/proc/{entry}/stat").rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                pass  # gone in the meantime
    return table


def busy_seconds():
    """Of the whole machine since boot."""
    user, nice, system, _, _, irq, softirq = (int(n) for n in read("/proc/stat").split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Program:
    def __init__(self, name, argv, processor, folder, ports):
        self.name = name
        self.log = os.path.join(folder, name + ".out")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                            preexec_fn=child_setup(processor))
        try:
            for port in ports:
                self.wait_for(port)
            self.wait_for_calm()
        except BaseException:
            self.stop()
            raise

    def said(self):
        return read(self.log)[-2000:].strip() or "(nothing)"

    def wait_for(self, port, seconds=15):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended at start with {self.process.returncode}; it said: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Broken(f"{self.name} doesn't listen on port {port} after {seconds} s; it said: {self.said()}")

    def wait_for_calm(self, seconds=15):
        """Until no process came or went for a while: one that only helps at the start is none that dies during a run."""
        until, before = time.monotonic() + seconds, None
        while time.monotonic() < until and (now := self.pids()) != before:
            before = now
            time.sleep(0.3)

    def pids(self):
        table, found = parents(), {self.process.pid}
        while True:
            more = {pid for pid, parent in table.items() if parent in found} - found
            if not more:
                return sorted(found)
            found |= more

    def cpu(self):
        """{(pid, thread): nanoseconds}"""
        used = {}
        for pid in self.pids():
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    used[pid, int(thread)] = int(read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
            except OSError:
                pass  # a short-lived child; cpu_since tells if it was one that counts
        if not used:
            raise Broken(f"{self.name} has gone; it said: {self.said()}")
        return used

    def cpu_since(self, before):
        """Seconds."""
        now = self.cpu()
        gone = {pid for pid, _ in before} - {pid for pid, _ in now}
        if gone:
            raise Broken(f"{self.name}: process {sorted(gone)} died during the run; it said: {self.said()}")
        return sum(ns - before.get(thread, 0) for thread, ns in now.items()) / 1e9

    def pss_kib(self):
        total = 0
        for pid in self.pids():
            for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # what is left of the group that we made
        except ProcessLookupError:
            pass
        self.process.wait()
