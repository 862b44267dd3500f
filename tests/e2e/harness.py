"""The end-to-end harness: starts a real weir, raw scripted upstreams and raw clients. Python's standard library only.

A test is a function `test_*` in a file test_*.py of this folder; run.py finds and runs it:

    from harness import Weir, Upstream, openai_answer, config

    def test_answers():
        with Upstream(openai_answer("hello")) as up, Weir(config(up)) as weir:
            answer = weir.chat("hi")                  # POST /v1/chat/completions, model "m"
            assert answer.status == 200, answer
            assert "hello" in answer.text

Weir(config)     config is a dict (written as JSON, which is YAML) or YAML text. What isn't said is filled in: an ephemeral
                 port, admin socket, state folder, 2 workers. Leaving the `with` asserts through /status that nothing is
                 left behind (requests, exchanges, calls, arenas, descriptors), ends weir with SIGTERM and wants exit
                 code 0. If the test failed, the log's end is printed instead. clean=False, sound=False: without these
                 looks at what is left behind, at what sanitizers say.
                 .address .url .pid .log() .wait_log(regex) .status() .metric(name) .reload() .configure(config)
                 .client() .chat(text, **fields) .get(path) .worker_pids() .signal(n) .write(name, text) .path(name)
Upstream(handler)  handler(conn) runs in a thread for every connection; conn.read_request() gives a Request or None at
                 the end; then conn.respond(...) or conn.start_sse(), conn.event(...), conn.end(); or conn.send(bytes),
                 conn.reset(), conn.close(). Ready handlers: openai_answer(text), openai_stream(texts, gate).
                 .requests (what came), .wait_requests(n), .n_connections
Client(address)  .request(method, path, body=, headers=) .response() -> Response; .head() .event() for streams piece by
                 piece; .send(bytes) .recv_some() .is_closed() .reset() .close()
compile_plugin(name, source)  builds a .so against sdk/include; returns its path.
wait_until(predicate, what, timeout)  polls; there are no other sleeps. Barriers: threading.Event, with .wait(timeout).
skip(reason)     ends a test as skipped.

WEIR_BUILD names the build folder [build]. WEIR_KEEP=1 keeps the folders of weir processes.
"""
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("WEIR_BUILD", "build"))
SHARED = os.environ.get("WEIR_SHARED", os.path.join(ROOT, "..", "shared"))
SLOW = 5 if "san" in os.path.basename(BUILD) else 1  # sanitizers and valgrind take longer
DEADLINE = 10 * SLOW


class Skip(Exception):
    pass


def skip(reason):
    raise Skip(reason)


def wait_until(predicate, what, timeout=None):
    """Polls until the predicate is true and returns its value."""
    end = time.monotonic() + (timeout or DEADLINE)
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(0.005)


# ---- configuration ------------------------------------------------------------------------------------------------

def config(upstream=None, **more):
    """A small configuration: provider `up` (openai dialect) at the upstream (None: nobody is there), model `m`, one open route."""
    c = {"entry": [], "routes": [{"match": {"path": "/v1/*"}, "open": True, "pipeline": []}]}
    url = upstream.url if upstream else "http://127.0.0.1:9"
    c["providers"] = {"up": {"dialect": "openai", "base_url": url + "/v1", "key": "upstream-key"}}
    c["models"] = {"m": {"targets": ["up/m"]}}
    c.update(more)
    return c


def compile_plugin(name, source, flags=()):
    """Builds a plugin against sdk/include, once per source text."""
    digest = hashlib.sha256((source + repr(flags)).encode()).hexdigest()[:16]
    folder = os.path.join(BUILD, "e2e", digest)
    target = os.path.join(folder, name + ".so")
    if os.path.exists(target):
        return target
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".c"), "w") as f:
        f.write(source)
    san = ["-fsanitize=address,undefined"] if SLOW > 1 else ["-Wl,-z,defs"]
    temporary = target + f".{os.getpid()}"
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-fPIC", "-fvisibility=hidden", "-fno-omit-frame-pointer",
                    "-I" + os.path.join(ROOT, "sdk", "include"), "-shared", "-Wl,-Bsymbolic", *san, *flags, "-o", temporary,
                    os.path.join(folder, name + ".c")], check=True)
    os.rename(temporary, target)
    return target


# ---- weir ---------------------------------------------------------------------------------------------------------

class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("weir", timeout=timeout)
        self.socket_path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.socket_path)


class Weir:
    def __init__(self, configuration, args=(), env=None, workers=None, clean=True, sound=True):
        self.folder = tempfile.mkdtemp(prefix="weir-e2e-")
        self.args, self.env, self.workers, self.clean, self.sound = list(args), dict(env or {}), workers, clean, sound
        self.program = os.path.join(BUILD, "weir")
        self.process = self.address = None
        self.arenas = self.descriptors = 0
        self.configure(configuration)

    # -- files --
    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w" if isinstance(text, str) else "wb") as f:
            f.write(text)
        return self.path(name)

    def configure(self, configuration):
        """Writes the configuration file; reload() makes it live."""
        if isinstance(configuration, dict):
            c = dict(configuration)
            c.setdefault("listen", ["127.0.0.1:0"])
            c.setdefault("admin", self.path("admin.sock"))
            c.setdefault("state", self.path("state"))
            c.setdefault("workers", 2 if self.workers is None else self.workers)
            c.setdefault("shutdown_delay", "0s")
            configuration = json.dumps(c, indent=1)
        self.config_path = self.write("weir.yaml", configuration)

    # -- life --
    def start(self, wants_exit=False):
        """Starts it and waits until it serves. wants_exit: waits for its end instead and returns the exit code."""
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and k.lower() not in ("http_proxy", "https_proxy")}
        environment.update(self.env)
        self.log_file = open(self.path("stderr.log"), "ab")
        self.process = subprocess.Popen([self.program, "serve", "-c", self.config_path, *self.args],
                                        stdout=open(self.path("stdout.log"), "ab"), stderr=self.log_file, env=environment,
                                        cwd=self.folder, stdin=subprocess.DEVNULL)
        if wants_exit:
            return self.process.wait(DEADLINE)
        wait_until(self._is_up, "weir to serve", 20 * SLOW)
        if self.workers != 0:
            self._note_baseline()
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"weir ended with {self.process.returncode} at its start:\n{self.log()}")
        found = re.search(r"event=listen .*?address=\"?([^\s\"]+)", self.log())
        if found:
            self.address = found.group(1)
        return found

    def _note_baseline(self):
        def all_answer():
            details = self.details()
            return details and all(d is not None for d in details) and details
        details = wait_until(all_answer, "all workers to answer /status")
        self.arenas = max(d["arenas"] for d in details)
        self.descriptors = max(d["descriptors"] for d in details)

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return "http://" + self.address

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, expect=0):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError("weir doesn't end after SIGTERM")
        assert code == expect, f"weir ended with {code} instead of {expect}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None and self.process.poll() is None:
                if self.clean and self.workers != 0:
                    self.assert_clean()
                self.stop()
            if kind is None and self.sound:
                self.assert_sound()
            elif kind is not None and kind is not Skip:
                print("  --- end of weir's log ---\n" + "".join("  " + line + "\n" for line in self.log().splitlines()[-40:]))
        except AssertionError:
            print("  --- end of weir's log ---\n" + "".join("  " + line + "\n" for line in self.log().splitlines()[-40:]))
            raise
        finally:
            self.kill()
            if self.process:
                self.log_file.close()
            if os.environ.get("WEIR_KEEP") != "1":
                shutil.rmtree(self.folder, ignore_errors=True)

    # -- what it says --
    def log(self):
        try:
            with open(self.path("stderr.log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def stdout(self):
        with open(self.path("stdout.log"), errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, timeout=None, count=1):
        """The count-th line of the log that matches."""
        def find():
            lines = [line for line in self.log().splitlines() if re.search(pattern, line)]
            return lines[count - 1] if len(lines) >= count else None
        return wait_until(find, f"a line like {pattern!r} in the log", timeout)

    def admin(self, method, path):
        connection = UnixHTTP(self.path("admin.sock"), 60 * SLOW)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self):
        code, text = self.admin("GET", "/status")
        assert code == 200, text
        return json.loads(text)

    def details(self, live_only=True):
        """What each worker of the live generation answered (None: silent)."""
        status = self.status()
        return [w["detail"] for w in status["workers"] if not live_only or w["generation"] == status["generation"]]

    def worker_pids(self):
        return [w["pid"] for w in self.status()["workers"] if w["state"] == "serving"]

    def metric(self, name):
        """The value of one line of /metrics: name with labels as written there, or the sum over a bare name's lines."""
        total = None
        for line in self.admin("GET", "/metrics")[1].splitlines():
            key, _, value = line.rpartition(" ")
            if key == name or key.split("{")[0] == name:
                total = (total or 0) + float(value)
        return total

    def reload(self):
        """POST /reload: (True or False, text)."""
        code, text = self.admin("POST", "/reload")
        return code == 200, text

    def assert_clean(self, arenas=1, descriptors=24):
        """Nothing is in flight; no more arenas than after the start (but for the one that a worker makes for itself at its first
        request), hardly more descriptors (idle upstream connections)."""
        def residue():
            left = []
            for d in self.details():
                if d is None:
                    return ["a worker doesn't answer"]
                left += [f"{k}={d[k]}" for k in ("requests_live", "mirrors_live", "exchanges", "upstream_calls", "body_bytes") if d[k]]
                left += [f"calls={d['calls']}"] if d["calls"] else []
                left += [f"arenas={d['arenas']}, at the start {self.arenas}"] if d["arenas"] > self.arenas + arenas else []
                left += [f"descriptors={d['descriptors']}, at the start {self.descriptors}"] if d["descriptors"] > self.descriptors + descriptors else []
            return left
        last = [None]

        def is_clean():
            last[0] = residue()
            return not last[0]
        try:
            wait_until(is_clean, "nothing to be left behind", 5 * SLOW)
        except AssertionError:
            raise AssertionError(f"left behind: {last[0]}")

    def assert_sound(self):
        """Built with sanitizers: none of them complained (a SEGV is what hostile plugins are for)."""
        found = re.search(r".*(LeakSanitizer|runtime error:|AddressSanitizer: (?!SEGV|stack-overflow|ABRT|ILL|FPE|BUS)).*", self.log())
        assert not found, found.group(0)

    # -- asking it --
    def client(self, timeout=None):
        return Client(self.address, timeout)

    def get(self, path, headers=None):
        with self.client() as c:
            return c.request("GET", path, headers=headers).response()

    def post(self, path, body, headers=None):
        with self.client() as c:
            return c.request("POST", path, body=body, headers=headers).response()

    def chat(self, text="hi", model="m", headers=None, **fields):
        return self.post("/v1/chat/completions", chat_body(text, model, **fields), headers)


def chat_body(text="hi", model="m", **fields):
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


# ---- reading HTTP -------------------------------------------------------------------------------------------------

class Reader:
    """Bytes of a socket: lines, counts, HTTP bodies. Raises EOFError at the end."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the connection was closed")
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        at = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def exactly(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def to_end(self):
        try:
            while True:
                self.fill()
        except EOFError:
            data, self.buffer = self.buffer, b""
            return data

    def head(self):
        """First line and headers: (line, [(lower name, value)])."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        headers = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
        return lines[0], headers

    def chunk(self):
        """The next chunk's bytes; b"" for the last."""
        size = int(self.until(b"\r\n").split(b";")[0], 16)
        data = self.exactly(size)
        if size == 0:
            while self.until(b"\r\n") != b"\r\n":
                pass
        else:
            self.exactly(2)
        return data


class Message:
    def __init__(self, line, headers, body=b"", is_complete=True):
        self.line, self.header_list, self.body, self.is_complete = line, headers, body, is_complete
        self.headers = dict(headers)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.line} {self.headers} {self.body[:2000]!r}{'' if self.is_complete else ' BROKEN OFF'}>"


class Request(Message):
    @property
    def method(self):
        return self.line.split(" ")[0]

    @property
    def path(self):
        return self.line.split(" ")[1]


class Response(Message):
    @property
    def status(self):
        return int(self.line.split(" ")[1])

    @property
    def events(self):
        """The data of each SSE event, in order."""
        return ["\n".join(line[5:].lstrip(" ") for line in block.splitlines() if line.startswith("data:"))
                for block in re.split(r"\n\n|\r\n\r\n", self.text) if "data:" in block]

    @property
    def content(self):
        """The text of an OpenAI answer, streamed or whole."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            parts = [json.loads(e) for e in self.events if e != "[DONE]"]
            return "".join(c["delta"].get("content") or "" for p in parts for c in p.get("choices", []))
        return self.json["choices"][0]["message"]["content"]


class Client:
    """One raw connection to weir."""

    def __init__(self, address, timeout=None):
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout or DEADLINE)
            self.sock.connect(address[5:])
        else:
            host, _, port = address.rpartition(":")
            self.sock = socket.create_connection((host.strip("[]"), int(port)), timeout or DEADLINE)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)
        self.sse = b""
        self.is_chunked = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def request(self, method, path, body=None, headers=None):
        """Sends a request; body: bytes, str, or what JSON can say. Headers given as None are left out."""
        h = {"host": "weir.test"}
        if body is not None:
            if not isinstance(body, (bytes, str)):
                h["content-type"], body = "application/json", json.dumps(body)
            body = body if isinstance(body, bytes) else body.encode()
            h["content-length"] = str(len(body))
        h.update(headers or {})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items() if v is not None) + "\r\n"
        return self.send(head.encode("latin-1") + (body or b""))

    def chat(self, text="hi", model="m", headers=None, **fields):
        return self.request("POST", "/v1/chat/completions", chat_body(text, model, **fields), headers)

    def head(self):
        """The head of the answer; body empty. Then event() or the rest of response()."""
        line, headers = self.reader.head()
        while line.split(" ")[1] == "100":
            line, headers = self.reader.head()
        self.answer = Response(line, headers)
        self.is_chunked = self.answer.headers.get("transfer-encoding", "").lower() == "chunked"
        return self.answer

    def response(self, method="POST"):
        """The whole answer; is_complete tells whether it ended as HTTP says."""
        answer = self.head()
        try:
            self._read_body(answer)
        except (EOFError, ConnectionError):
            answer.body += self.reader.buffer
            answer.is_complete = False
        return answer

    def rest(self):
        """After head() and some events: the rest of the body, as a Response."""
        answer = Response(self.answer.line, self.answer.header_list, self.sse)
        self.sse = b""
        try:
            self._read_body(answer)
        except (EOFError, ConnectionError):
            answer.is_complete = False
        return answer

    def _read_body(self, answer):
        if answer.status in (204, 304):
            return
        if self.is_chunked:
            while True:
                data = self.reader.chunk()
                if not data:
                    return
                answer.body += data
        if "content-length" in answer.headers:
            answer.body += self.reader.exactly(int(answer.headers["content-length"]))
        else:
            answer.body += self.reader.to_end()

    def event(self):
        """The data of the next SSE event; None at the end of the stream. Comments are passed over."""
        while True:
            while b"\n\n" not in self.sse:
                data = self.reader.chunk() if self.is_chunked else self.reader.sock.recv(65536)
                if not data:
                    return None
                self.sse += data
            block, self.sse = self.sse.split(b"\n\n", 1)
            lines = [line[5:].strip() for line in block.decode().splitlines() if line.startswith("data:")]
            if lines:
                return "\n".join(lines)

    def recv_some(self):
        return self.sock.recv(65536)

    def is_closed(self, timeout=None):
        """Does the other side close the connection (in order or by a reset) without saying more?"""
        self.sock.settimeout(timeout or DEADLINE)
        try:
            return self.reader.buffer == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def reset(self):
        """Goes away with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


# ---- upstreams ----------------------------------------------------------------------------------------------------

class Connection:
    """One connection of weir to an upstream, as its handler sees it."""

    def __init__(self, upstream, sock):
        self.upstream, self.sock, self.reader = upstream, sock, Reader(sock)

    def read_request(self):
        """The next Request, None when weir has closed the connection."""
        try:
            line, headers = self.reader.head()
        except (EOFError, ConnectionError):
            return None
        request = Request(line, headers)
        if request.headers.get("transfer-encoding") == "chunked":
            while True:
                data = self.reader.chunk()
                if not data:
                    break
                request.body += data
        else:
            request.body = self.reader.exactly(int(request.headers.get("content-length", 0)))
        self.upstream.note(request)
        return request

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def respond(self, status=200, body=b"", headers=None):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body if isinstance(body, bytes) else body.encode()
        h = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        self.send(f"HTTP/1.1 {status} X\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in h.items() if v is not None).encode() +
                  b"\r\n" + body)

    def start_sse(self, headers=None):
        h = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **(headers or {})}
        self.send("HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items()) + "\r\n")

    def chunk(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, data, name=None):
        data = data if isinstance(data, str) else json.dumps(data)
        self.chunk((f"event: {name}\n" if name else "") + f"data: {data}\n\n")

    def end(self):
        self.send(b"0\r\n\r\n")

    def is_closed(self, timeout=None):
        """Has weir gone away (or goes within the time)?"""
        self.sock.settimeout(timeout or DEADLINE)
        try:
            return self.sock.recv(65536) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Upstream:
    def __init__(self, handler, tls=None):
        """tls: an ssl.SSLContext for the server side."""
        self.handler, self.tls = handler, tls
        self.requests, self.errors, self.n_connections = [], [], 0
        self.lock = threading.Condition()
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.n_connections += 1
                self.sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.handler(Connection(self, sock))
        except (ConnectionError, EOFError, OSError):
            pass  # weir went away, which many tests want
        except Exception as e:
            with self.lock:
                self.errors.append(repr(e))
        finally:
            try:
                sock.close()
            except OSError:
                pass

    def note(self, request):
        with self.lock:
            self.requests.append(request)
            self.lock.notify_all()

    def wait_requests(self, n, timeout=None):
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.requests) >= n, timeout or DEADLINE):
                raise AssertionError(f"the upstream got {len(self.requests)} of {n} requests")
            return self.requests[n - 1]

    def close(self):
        self.listener.close()
        with self.lock:
            for sock in self.sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            assert not self.errors, f"the upstream's handler failed: {self.errors}"


def openai_body(text, model="m"):
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def openai_chunk(delta, finish=None, model="m", **more):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def openai_usage():
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m", "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def send_openai_stream(conn, request, texts, gate=None):
    """Streams the texts; before each but the first gate.wait() is called (a threading.Event, or a function of the index)."""
    conn.start_sse()
    conn.event(openai_chunk({"role": "assistant", "content": ""}))
    for i, text in enumerate(texts):
        if gate is not None and i > 0:
            gate(i) if callable(gate) else gate.wait(DEADLINE)
        conn.event(openai_chunk({"content": text}))
    conn.event(openai_chunk({}, "stop"))
    if (request.json.get("stream_options") or {}).get("include_usage"):
        conn.event(openai_usage())
    conn.event("[DONE]")
    conn.end()


def openai_answer(text):
    """Answers every chat request with this text, streamed if asked for."""
    def handler(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            if request.json.get("stream"):
                send_openai_stream(conn, request, [text])
            else:
                conn.respond(200, openai_body(text))
    return handler


def openai_stream(texts, gate=None):
    """Streams these texts to every request; the gate holds it back after the first."""
    def handler(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            send_openai_stream(conn, request, texts, gate)
    return handler
