"""The bench's set-up: builds mock and load generator, fills in the configurations, starts everything, sends load.

One Rig lives for the whole bench and owns a private folder; close() ends what it started, whatever happened."""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time

import prompts
from procs import Broken, Program, busy_seconds, child_setup, processors

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "bench")
KEY = "sk-bench-00000000000000000000000000000000"
MARKS = 47  # content events in a stream of 50
WARNINGS = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Wformat=2 -Werror".split()
TOOLS = {"mock": ["mock.c", "mock_answers.c", "-lssl", "-lcrypto"], "load": ["load.c", "answer_reader.c"]}

CALL = "bench-chat"
STREAM = "bench-stream-50-20ms"
SLOW_STREAM = "bench-stream-50-100ms"
OPEN_STREAM = "bench-stream-1000000-2000ms"

OPENAI = {"path": "/v1/chat/completions", "headers": ["authorization: Bearer " + KEY]}
ANTHROPIC = {"path": "/v1/messages", "headers": ["x-api-key: " + KEY, "anthropic-version: 2023-06-01"]}


def build_tools():
    os.makedirs(BUILD, exist_ok=True)
    for name, parts in TOOLS.items():
        parts = [os.path.join(HERE, p) if p.endswith(".c") else p for p in parts]
        subprocess.run(["cc", *WARNINGS, "-O2", "-o", os.path.join(BUILD, name), *parts], check=True)


class Rig:
    def __init__(self, weir, first_port):
        self.weir = weir if os.access(weir, os.X_OK) else None
        self.weir_path = weir
        self.folder = tempfile.mkdtemp(prefix="weir-bench-")
        os.chmod(self.folder, 0o755)  # nginx's worker may be another user
        self.server_cpu, self.load_cpu = processors()
        names = ("mock", "mock_tls", "nginx", "nginx_stream", "nginx_tls", "weir")
        self.ports = {name: first_port + i for i, name in enumerate(names)}
        self.running, self.files = [], 0
        self.cert, self.cert_key = self.path("cert.pem"), self.path("key.pem")

    @contextlib.contextmanager
    def on_one_processor(self):
        """Everything on the program's processor, for latencies: waking another processor takes tens of microseconds on a
        virtual machine and would hide what the programs do."""
        (mock,), usual = [p for p in self.running if p.name == "mock"], self.load_cpu
        self.load_cpu = self.server_cpu
        os.sched_setaffinity(mock.process.pid, {self.server_cpu})
        try:
            yield
        finally:
            self.load_cpu = usual
            os.sched_setaffinity(mock.process.pid, {usual})

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        build_tools()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", self.cert_key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        self.program("mock", [os.path.join(BUILD, "mock"), "--answer", os.path.join(HERE, "answer.json"), "--port",
                              str(self.ports["mock"]), "--tls-port", str(self.ports["mock_tls"]), "--cert", self.cert,
                              "--key", self.cert_key, "--lifetime", "7200"], self.load_cpu, ("mock", "mock_tls"))

    def program(self, name, argv, processor, ports):
        started = Program(name, argv, processor, self.folder, [self.ports[p] for p in ports])
        self.running.append(started)
        return started

    def stop(self, program):
        program.stop()
        self.running.remove(program)

    def close(self):
        for program in reversed(self.running):
            program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill_in(self, template, folder, **values):
        with open(os.path.join(HERE, template), encoding="utf-8") as f:
            text = f.read()
        values.update({name.upper() + "_PORT": port for name, port in self.ports.items()}, DIR=folder, CERT=self.cert)
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return self.write(os.path.join(folder, template.replace(".in", "")), text.encode())

    def write(self, path, data):
        with open(path, "wb") as f:
            f.write(data)
        return path

    @contextlib.contextmanager
    def nginx(self):
        folder = tempfile.mkdtemp(prefix="nginx-", dir=self.folder)
        os.chmod(folder, 0o755)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = 65536 if limit == resource.RLIM_INFINITY else limit
        conf = self.fill_in("nginx.conf.in", folder, NOFILE=limit, CONNECTIONS=min(limit, 65536) - 64)
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        program = self.program("nginx", [binary, "-p", folder, "-c", conf, "-e", os.path.join(folder, "error.log")],
                               self.server_cpu, ("nginx", "nginx_stream", "nginx_tls"))
        try:
            yield program
        finally:
            self.stop(program)

    @contextlib.contextmanager
    def weir_serving(self, workers):
        folder = tempfile.mkdtemp(prefix="weir-", dir=self.folder)
        models = (CALL, STREAM, SLOW_STREAM, OPEN_STREAM)
        lines = [f'  {prefix}{m}: {{ targets: ["{provider}/{m}"] }}' for m in models
                 for prefix, provider in (("", "mock"), ("tls-", "mocktls"))]
        conf = self.fill_in("weir.yaml.in", folder, WORKERS=workers, MODELS="\n".join(lines),
                            KEY_HASH=hashlib.sha256(KEY.encode()).hexdigest(),
                            POLICY=os.path.join(ROOT, "policies", "route.lua"))
        program = self.program("weir", [self.weir, "serve", "-c", conf], self.server_cpu, ("weir",))
        try:
            yield program
        finally:
            self.stop(program)

    def body(self, data):
        self.files += 1
        return self.write(self.path(f"body-{self.files}.json"), data)

    def load_argv(self, targets, dialect, body, options):
        argv = [os.path.join(BUILD, "load"), "--path", dialect["path"], "--body", body]
        argv += [part for header in dialect["headers"] for part in ("--header", header)]
        argv += [part for name in targets for part in ("--target", f"{name}={self.ports[name]}")]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
        return argv

    def load(self, targets, dialect, body, **options):
        """Runs the load generator to its end; its report, or Broken with what it said."""
        limit = options.setdefault("deadline", 120)
        argv = self.load_argv(targets, dialect, body, options)
        try:
            done = subprocess.run(argv, capture_output=True, timeout=limit + 10, preexec_fn=child_setup(self.load_cpu),
                                  check=False)
        except subprocess.TimeoutExpired:
            raise Broken(f"load on {targets} was not done after {limit + 10} s") from None
        if done.returncode:
            raise Broken(done.stderr.decode(errors="replace").strip() or f"load ended with {done.returncode}")
        return json.loads(done.stdout)

    def load_measured(self, program, target, dialect, body, **options):
        """The same with the program's CPU beside it, and how busy the rest of the machine was."""
        ours = [p for p in self.running if p is not program]
        before, others = program.cpu(), [p.cpu() for p in ours]
        busy, children, begun = busy_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        report = self.load([target], dialect, body, **options)
        cpu, wall = program.cpu_since(before), time.monotonic() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        known = cpu + sum(p.cpu_since(b) for p, b in zip(ours, others))
        known += after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
        report.update(cpu_s=cpu, load_per_processor=cpu / report["wall_s"],
                      foreign=max(0.0, (busy_seconds() - busy - known) / wall / os.cpu_count()))
        return report

    @contextlib.contextmanager
    def held_open(self, target, dialect, body, streams, rate):
        """Streams that are open, each with its first event, while the block runs."""
        argv = self.load_argv([target], dialect, body, {"hold": True, "conns": streams, "calls": streams, "rate": rate,
                                                        "deadline": 180})
        held = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=child_setup(self.load_cpu))
        try:
            if b'"ready"' not in held.stdout.readline():
                raise Broken(held.communicate()[1].decode(errors="replace").strip() or "the streams didn't open")
            yield
            if held.poll() is not None:
                raise Broken(held.communicate()[1].decode(errors="replace").strip() or "the streams didn't stay open")
            held.communicate(timeout=30)
            if held.returncode:
                raise Broken(f"the load generator ended with {held.returncode}")
        finally:
            held.kill()
            held.wait()
