"""How weir starts and ends: draining, its admin socket, and what it says when it can't start."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

from harness import BUILD, DEADLINE, Client, Upstream, Weir, config, openai_answer, openai_stream, skip, wait_until


def hold_stream(weir):
    client = weir.client()
    client.chat(stream=True).head()
    assert client.event() is not None
    return client


def refuses(weir):
    try:
        Client(weir.address).close()
        return False
    except ConnectionError:
        return True


def test_sigterm_lets_streams_end():
    gate = threading.Event()
    with Upstream(openai_stream(["a", "b"], gate)) as up, Weir(config(up)) as weir:
        client = hold_stream(weir)
        weir.signal(signal.SIGTERM)
        wait_until(lambda: refuses(weir), "the listener to be closed")
        assert weir.process.poll() is None
        gate.set()
        rest = client.rest()
        assert rest.is_complete and rest.events[-1] == "[DONE]", rest
        assert weir.process.wait(DEADLINE) == 0
        assert not [f for f in os.listdir(weir.path("state")) if f.startswith("gen-")]
        assert not os.path.exists(weir.path("admin.sock"))


def test_readyz_says_no_before_the_listener_closes():
    with Upstream(openai_answer("ok")) as up, Weir(config(up, shutdown_delay="1500ms")) as weir:
        assert weir.get("/readyz").status == 200 and weir.get("/healthz").status == 200
        kept = weir.client()
        assert kept.chat().response().status == 200
        weir.signal(signal.SIGTERM)
        wait_until(lambda: weir.get("/readyz").status == 503, "/readyz to be 503", 1)
        assert weir.chat().status == 200 and weir.get("/healthz").status == 200
        assert kept.chat().response().status == 200
        assert weir.status()["state"] == "stopping"
        assert weir.process.wait(DEADLINE) == 0


def test_idle_connections_hold_nothing_up():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        idle = [weir.client() for _ in range(4)]
        assert idle[0].chat().response().status == 200
        started = time.monotonic()
        weir.signal(signal.SIGTERM)
        assert weir.process.wait(DEADLINE) == 0
        assert time.monotonic() - started < 5
        assert all(c.is_closed() for c in idle)


def test_drain_has_an_end():
    with Upstream(openai_stream(["a", "b"], threading.Event())) as up, Weir(config(up, drain="500ms")) as weir:
        client = hold_stream(weir)
        weir.signal(signal.SIGTERM)
        assert weir.process.wait(DEADLINE) == 0
        assert not client.rest().is_complete


def test_second_signal_cuts():
    with Upstream(openai_stream(["a", "b"], threading.Event())) as up, Weir(config(up, drain="60s")) as weir:
        client = hold_stream(weir)
        weir.signal(signal.SIGTERM)
        wait_until(lambda: refuses(weir), "the listener to be closed")
        weir.signal(signal.SIGINT)
        assert weir.process.wait(DEADLINE) == 0
        assert not client.rest().is_complete


def test_requests_in_the_accept_queue_are_not_lost_by_a_stop_of_one_worker():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        stopped = weir.worker_pids()[0]
        os.kill(stopped, signal.SIGSTOP)  # the watchdog ends it; the other one serves
        answers = [weir.client() for _ in range(6)]
        for c in answers:
            c.chat()
        served = 0
        for c in answers:
            try:
                served += c.response().status == 200
            except (EOFError, ConnectionError):
                pass
        assert served >= 1
        weir.wait_log("event=worker.crash.*cause=watchdog", 10)
        assert weir.chat().status == 200


# ---- the admin socket ----

def test_admin_socket():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        assert os.stat(weir.path("admin.sock")).st_mode & 0o777 == 0o600
        assert weir.chat().status == 200
        code, text = weir.admin("GET", "/metrics")
        assert code == 200 and "# TYPE weir_target_calls_total counter" in text
        check_exposition(text)
        assert weir.admin("GET", "/nothing")[0] == 404
        assert weir.admin("GET", "/reload")[0] == 405
        code, text = weir.admin("GET", "/debug/requests")
        assert code == 200 and '"workers"' in text
        status = weir.status()
        assert [t["name"] for t in status["targets"]] == ["up/m"] and status["targets"][0]["calls"] == 1
        assert status["listen"] == [weir.address] and len(status["hash"]) == 64


def check_exposition(text):
    families, seen = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in families, f"two TYPE lines for {name}"
            families[name] = kind
        elif not line.startswith("#"):
            assert re.fullmatch(r'[a-z_][a-z0-9_]*(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? -?[0-9.e+]+|.* \+Inf', line), line
            key = line.rpartition(" ")[0]
            assert key not in seen, f"{key} is there twice"
            seen.add(key)
            name = key.split("{")[0]
            assert name in families or re.sub("_(bucket|sum|count)$", "", name) in families, line


def test_status_command():
    gate = threading.Event()
    with Upstream(openai_stream(["a", "b"], gate)) as up, Weir(config(up)) as weir:
        client = hold_stream(weir)
        out = subprocess.run([weir.program, "status", "-c", weir.config_path], capture_output=True, text=True, timeout=DEADLINE)
        assert out.returncode == 0, out
        for part in ("GENERATION", "WORKER", "CALLS IN FLIGHT", "up/m", "openai", weir.address):
            assert part in out.stdout, (part, out.stdout)
        out = subprocess.run([weir.program, "reload", "-c", weir.config_path], capture_output=True, text=True, timeout=DEADLINE)
        assert out.returncode == 0 and "generation 2" in out.stdout, out
        gate.set()
        assert client.rest().is_complete


def test_a_hung_worker_does_not_hold_up_the_status():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        pid = weir.worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        status = weir.status()
        assert time.monotonic() - started < 2
        details = {w["pid"]: w["detail"] for w in status["workers"]}
        assert details.pop(pid) is None and all(details.values())
        os.kill(pid, signal.SIGCONT)


# ---- starting ----

def start_fails(weir, *parts):
    try:
        code = weir.start(wants_exit=True)
        said = weir.log() + weir.stdout()
        assert code == 1, (code, said)
        for part in parts:
            assert part in said, (part, said)
    finally:
        weir.kill()
        weir.__exit__(None, None, None)


def test_a_busy_address():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = "127.0.0.1:%d" % busy.getsockname()[1]
        start_fails(Weir(config(None, listen=[address])), address, "in use", "listen:")


def test_a_busy_state_folder():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        start_fails(Weir(config(up, state=weir.path("state"))), "another weir", str(weir.pid), "state:")


def test_a_broken_configuration():
    start_fails(Weir("listen: [127.0.0.1:0]\nroutez: []\n"), "weir.yaml:2", "routez")


def test_a_noexec_state_folder():
    weir = Weir(config(None))
    os.makedirs(weir.path("state"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", weir.path("state")], capture_output=True)
    if mounted.returncode != 0:
        weir.__exit__(None, None, None) if weir.process else None
        skip("no file system can be mounted here")
    try:
        start_fails(weir, "noexec", "state:")
    finally:
        subprocess.run(["umount", weir.path("state")])


def test_a_stale_unix_socket_is_replaced():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(config(up))
        path = weir.path("weir.sock")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        weir.configure(config(up, listen=["unix:" + path]))
        with weir:
            assert weir.address == "unix:" + path
            assert weir.chat().content == "ok"


def test_everything_in_one_process():
    with Upstream(openai_answer("ok")) as up, Weir(config(up), workers=0) as weir:
        assert weir.chat().content == "ok"
        assert weir.get("/readyz").status == 200
        assert not subprocess.run(["pgrep", "-P", str(weir.pid)], capture_output=True, text=True).stdout


def test_systemd_is_told():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(config(up))
        notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notes.bind(weir.path("notify"))
        notes.settimeout(DEADLINE)
        weir.env["NOTIFY_SOCKET"] = weir.path("notify")
        with weir:
            assert notes.recv(200) == b"READY=1"
            assert weir.reload()[0]
            assert notes.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert notes.recv(200) == b"READY=1"
        assert notes.recv(200) == b"STOPPING=1"
        notes.close()


def test_drops_root():
    if os.getuid() != 0 or subprocess.run(["id", "nobody"], capture_output=True).returncode != 0:
        skip("needs root and a user `nobody`")
    if not os.access(BUILD, os.X_OK) or subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", "test", "-r", BUILD + "/weir"]).returncode != 0:
        skip("`nobody` can't read the build folder here")
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(config(up, user="nobody"))
        os.chmod(weir.folder, 0o755)
        os.chmod(weir.config_path, 0o644)
        with weir:
            assert weir.chat().content == "ok"
            for pid in [weir.pid, *weir.worker_pids()]:
                assert os.stat(f"/proc/{pid}").st_uid != 0 or status_uid(pid) != 0
            assert weir.reload()[0]
            assert weir.chat().content == "ok"


def status_uid(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"Uid:\s+(\d+)", f.read()).group(1))
