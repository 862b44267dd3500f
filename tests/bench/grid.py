"""The grid: CPU of a 1 KB call and of a streamed event for every pair of dialects, client's by provider's.

Requests and answers of each dialect are weir's own translations of the committed ones, made at the beginning: so all say the same.
Mock and load generator are in this file, in processes of their own beside the program's processor. They are not fast, so the
program sleeps between calls, and pays for being woken, as nginx does that stands beside it in the same run."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS = 50
PACE_S = 0.01  # between the events of a stream
MODEL = "model-of-grid"

# How a dialect's clients ask: path for whole answers and for streams; {} is the model, where it stands in the path.
DOORS = {
    "openai": ("/openai/v1/chat/completions", None),
    "responses": ("/openai/v1/responses", None),
    "anthropic": ("/anthropic/v1/messages", None),
    "gemini": ("/gemini/v1beta/models/{}:generateContent", "/gemini/v1beta/models/{}:streamGenerateContent?alt=sse"),
    "cohere": ("/cohere/v2/chat", None),
    "bedrock": ("/bedrock/model/{}/converse", "/bedrock/model/{}/converse-stream"),
    "ollama": ("/ollama/api/chat", None),
}
KEYS = {"bedrock": "AKIAIOSFODNN7EXAMPLE:secret"}


# ---- HTTP, as little as is needed ----

def read_head(sock, buffer):
    while b"\r\n\r\n" not in buffer:
        data = sock.recv(65536)
        if not data:
            return None, b""
        buffer += data
    head, _, rest = buffer.partition(b"\r\n\r\n")
    return head, rest


def length_of(head):
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    return int(found.group(1)) if found else None


def read_body(sock, head, rest):
    """(body, what follows it)"""
    n = length_of(head)
    if n is not None:
        while len(rest) < n:
            rest += sock.recv(65536)
        return rest[:n], rest[n:]
    while not rest.endswith(b"0\r\n\r\n"):
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("a stream without its end")
        rest += data
    return unchunk(rest), b""


def unchunk(data):
    body, at = b"", 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        n = int(data[at:end], 16)
        body += data[end + 2:end + 2 + n]
        at = end + 2 + n + 2
        if n == 0:
            break
    return body


def pieces_of(body):
    """A stream's events, each with its end."""
    if body[:1] == b"\0":
        found = []
        while body:
            n = struct.unpack(">I", body[:4])[0]
            found.append(body[:n])
            body = body[n:]
        return found
    mark = b"\n" if body[:1] == b"{" else b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    return [piece + mark for piece in body.split(mark) if piece]


# ---- the mock: `grid.py mock PORT FOLDER` ----

class Mock:
    """Says what lies in FOLDER/answer and FOLDER/stream (one event a line, hexadecimal), keeps the last request in FOLDER/asked."""

    def __init__(self, port, folder):
        self.folder, self.stamp = folder, None
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)

    def load(self):
        stamp = [os.stat(os.path.join(self.folder, name)).st_mtime_ns for name in ("answer", "stream")]
        if stamp != self.stamp:
            with open(os.path.join(self.folder, "answer"), "rb") as f:
                answer = f.read()
            with open(os.path.join(self.folder, "stream"), encoding="ascii") as f:
                kind, *events = f.read().split("\n")
            self.answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer)
            self.head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind.encode()
            chunks = [bytes.fromhex(e) for e in events if e]
            self.events = [b"%x\r\n%s\r\n" % (len(c), c) for c in chunks]
            self.stamp = stamp

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while True:
            head, rest = read_head(sock, rest)
            if head is None:
                return
            body, rest = read_body(sock, head, rest)
            if os.path.exists(os.path.join(self.folder, "keep")):
                with open(os.path.join(self.folder, "asked"), "wb") as f:
                    f.write(head + b"\r\n\r\n" + body)
            self.load()
            line = head.split(b"\r\n", 1)[0]
            if b'"stream":true' in body.replace(b" ", b"") or b"stream" in line.lower():
                self.stream(sock)
            else:
                sock.sendall(self.answer)

    def stream(self, sock):
        sock.sendall(self.head + self.events[0])
        for event in self.events[1:]:
            time.sleep(PACE_S)
            sock.sendall(event)
        sock.sendall(b"0\r\n\r\n")

    def run(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.guarded, args=(sock,), daemon=True).start()

    def guarded(self, sock):
        try:
            self.serve(sock)
        except (ConnectionError, OSError):
            pass
        finally:
            sock.close()


# ---- the load: `grid.py load PORT FILE CONNECTIONS CALLS` ----

def load(port, file, connections, calls):
    """Sends the bytes of FILE again and again; every answer must be 200 and as long as the first."""
    with open(file, "rb") as f:
        request = f.read()
    left, lock, faults, lengths = [calls], threading.Lock(), [], set()

    def client():
        sock, rest = socket.create_connection(("127.0.0.1", port)), b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            with lock:
                if not left[0] or faults:
                    return
                left[0] -= 1
            sock.sendall(request)
            head, rest = read_head(sock, rest)
            if head is None or b" 200 " not in head.split(b"\r\n", 1)[0]:
                faults.append((head or b"nothing")[:300].decode(errors="replace"))
                return
            body, rest = read_body(sock, head, rest)
            lengths.add(len(body) // 256)  # ids and times may differ a little

    def guarded():
        try:
            client()
        except (ConnectionError, OSError, ValueError) as why:
            faults.append(repr(why))

    threads = [threading.Thread(target=guarded) for _ in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if faults or len(lengths) > 2:
        print(faults[:1] or f"answers of different lengths: {sorted(lengths)}", file=sys.stderr)
        return 1
    return 0


# ---- the grid itself, run by run.py ----

class Grid:
    def __init__(self, session):
        from procs import Broken, child_setup
        self.Broken, self.child_setup = Broken, child_setup
        self.session, self.rig = session, session.rig
        self.port = self.rig.ports["mock"] + 100
        self.folder = tempfile.mkdtemp(prefix="grid-", dir=self.rig.folder)
        self.samples = {}

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "wb") as f:
            f.write(data)
        os.replace(path + ".new", path)
        return path

    def set_answers(self, answer, kind, events):
        self.write("answer", answer)
        self.write("stream", "\n".join([kind] + [e.hex() for e in events]).encode())

    def dialects(self):
        folder = os.path.join(os.path.dirname(self.rig.weir_path), "providers")
        return [d for d in DOORS if os.path.exists(os.path.join(folder, d + ".so"))]

    def config(self, names):
        base = f"http://127.0.0.1:{self.port}"
        providers = {d: {"dialect": d, "base_url": base, "key": KEYS.get(d, "sk-grid"), "proxy": "none"} for d in names}
        if "bedrock" in names:
            providers["bedrock"]["region"] = "us-east-1"
        return {"listen": f"127.0.0.1:{self.rig.ports['weir']}", "workers": 1, "admin": os.path.join(self.folder, "admin.sock"),
                "state": os.path.join(self.folder, "state"), "providers": providers, "on_loss": "allow",
                "models": {f"to-{d}": {"targets": [f"{d}/{MODEL}"]} for d in names},
                "entry": [{"log": {"file": os.path.join(self.folder, "requests.log")}}, "auth"],
                "routes": [{"match": {"path": "/*"},
                            "pipeline": [{"policy": {"file": os.path.join(os.path.dirname(os.path.dirname(HERE)), "policies", "route.lua")}}]}]}

    def ask(self, request):
        """(head, body) of one answer of weir."""
        with socket.create_connection(("127.0.0.1", self.rig.ports["weir"])) as sock:
            sock.sendall(request)
            head, rest = read_head(sock, b"")
            if head is None:
                raise self.Broken("weir closed the connection without an answer")
            return head, read_body(sock, head, rest)[0]

    @staticmethod
    def request(path, body):
        return b"POST %s HTTP/1.1\r\nhost: weir\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
            path.encode(), len(body), body)

    def client_request(self, dialect, target, streams):
        """Of the dialect, for the model that stands for the target."""
        path = DOORS[dialect][1 if streams and DOORS[dialect][1] else 0].format("to-" + target)
        body = self.bodies[dialect][streams].replace(MODEL.encode(), b"to-" + target.encode())
        return self.request(path, body)

    def learn_requests(self, names):
        """What an OpenAI request is in each dialect: as the mock gets it from weir."""
        with open(os.path.join(HERE, "chat-1k.json"), encoding="utf-8") as f:
            chat = json.load(f)
        self.bodies = {}
        self.write("keep", b"")
        for d in names:
            self.bodies[d] = {}
            for streams in (False, True):
                body = json.dumps({**chat, "model": f"to-{d}", **({"stream": True} if streams else {})}).encode()
                try:
                    self.ask(self.request(DOORS["openai"][0], body))  # the answer is of another dialect: what counts is the request
                except (ConnectionError, OSError):
                    pass
                with open(os.path.join(self.folder, "asked"), "rb") as f:
                    self.bodies[d][streams] = f.read().partition(b"\r\n\r\n")[2]
        os.remove(os.path.join(self.folder, "keep"))

    def learn_answers(self, names):
        self.answers = {}
        for d in list(names):
            self.use("openai")
            head, whole = self.ask(self.client_request(d, "openai", False))
            if b"x-weir-error: unknown_path" in head:
                self.session.log(f"{d} has no front door")
                names.remove(d)
                continue
            if b" 200 " not in head:
                raise self.Broken(f"{d}: {head[:200]!r} {whole[:300]!r}")
            head, stream = self.ask(self.client_request(d, "openai", True))
            kind = re.search(rb"content-type: *([^\r]+)", head, re.I).group(1).decode()
            self.answers[d] = (whole, kind, pieces_of(stream))

    def use(self, dialect):
        if dialect == "openai":
            self.set_answers(*self.first)
        else:
            self.set_answers(*self.answers[dialect])

    def openai_answers(self):
        with open(os.path.join(HERE, "answer.json"), "rb") as f:
            answer = f.read()
        chunk = {"id": "chatcmpl-grid", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        deltas = [{"role": "assistant", "content": ""}] + [{"content": f"word{i:02} "} for i in range(EVENTS - 3)]
        events = [{**chunk, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
        events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 9, "completion_tokens": 47, "total_tokens": 56}})
        lines = [b"data: " + json.dumps(e).encode() + b"\n\n" for e in events] + [b"data: [DONE]\n\n"]
        return answer, "text/event-stream", lines

    def cpu_us(self, program, port, request, connections, calls, units):
        """CPU of the program for each unit, in microseconds."""
        path = self.write("request", request)
        before = program.cpu()
        done = subprocess.run([sys.executable, os.path.abspath(__file__), "load", str(port), path, str(connections), str(calls)],
                              capture_output=True, timeout=180, preexec_fn=self.child_setup(self.rig.load_cpu), check=False)
        if done.returncode:
            raise self.Broken(f"{done.stderr.decode(errors='replace').strip()[-400:]}")
        return program.cpu_since(before) * 1e6 / units

    def loads(self):
        """(what, connections, calls, units of a call, limits on the diagonal and elsewhere)"""
        return [("1 KB call", 16, self.session.scaled(1500), 1, 3.0, 5.0), ("event", 100, self.session.scaled(200), EVENTS, 1.5, 3.0)]

    def measure(self, weir, nginx, names):
        for what, connections, calls, units, *_ in self.loads():
            streams = what == "event"
            for target in names:
                self.use("openai")
                base = self.cpu_us(nginx, self.rig.ports["nginx_stream" if streams else "nginx"],
                                   self.request("/v1/chat/completions", self.bodies["openai"][streams]), connections, calls, calls * units)
                self.use(target)
                for client in names:
                    mine = self.cpu_us(weir, self.rig.ports["weir"], self.client_request(client, target, streams), connections, calls,
                                       calls * units)
                    self.samples.setdefault((what, client, target), []).append((mine, base))

    def report(self, names):
        for what, _, _, _, diagonal, elsewhere in self.loads():
            table = {c: {t: self.median(what, c, t) for t in names} for c in names}
            for is_diagonal, limit in ((True, diagonal), (False, elsewhere)):
                cells = {(c, t): table[c][t] for c in names for t in names if (c == t) == is_diagonal}
                worst = max(cells, key=cells.get)
                row = {"number": 6, "what": f"CPU per {what}, {'same dialect' if is_diagonal else 'any pair'}, worst of {len(cells)}",
                       "target": f"<= {limit} x nginx", "value": cells[worst], "limit": limit,
                       "reached": f"{cells[worst]:.2f} x ({worst[0]} client, {worst[1]} provider); all: {min(cells.values()):.2f} to "
                                  f"{cells[worst]:.2f}", "grid": {f"{c} > {t}": round(v, 3) for (c, t), v in cells.items()}}
                self.session.log(f"6 {row['what']}: {row['reached']}, target {row['target']}")
                self.session.report.add(row)
            self.session.report.grids[f"CPU per {what}, client's dialect by provider's, as a multiple of nginx's"] = table

    def median(self, what, client, target):
        ratios = sorted(mine / base for mine, base in self.samples[what, client, target])
        return ratios[len(ratios) // 2]

    def run(self):
        names = self.dialects()
        self.first = self.openai_answers()
        self.use("openai")
        mock = self.rig.program("grid-mock", [sys.executable, os.path.abspath(__file__), "mock", str(self.port), self.folder],
                                self.rig.load_cpu, ())
        self.rig.ports["grid"] = self.port
        mock.wait_for(self.port)
        conf = self.write("weir.yaml", json.dumps(self.config(names)).encode())
        weir = self.rig.program("weir-grid", [self.rig.weir, "serve", "-c", conf], self.rig.server_cpu, ("weir",))
        usual = self.rig.ports["mock"]
        self.rig.ports["mock"] = self.port  # nginx relays to the grid's mock
        try:
            with self.rig.nginx() as nginx:
                self.learn_requests(names)
                self.learn_answers(names)
                for _ in range(self.session.repeats):
                    self.measure(weir, nginx, names)
        finally:
            self.rig.ports["mock"] = usual
            self.rig.stop(weir)
            self.rig.stop(mock)
        self.report(names)


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if sys.argv[1] == "mock":
        Mock(int(sys.argv[2]), sys.argv[3]).run()
    return load(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))


if __name__ == "__main__":
    sys.exit(main())
