"""Workers that die, and plugins that make them: the others' streams go on, a new one serves within a second, the log names
plugin, hook and request; who crashes again and again is kept out."""
import ctypes
import os
import re
import signal
import threading
import time

from harness import (DEADLINE, SLOW, Upstream, Weir, config, openai_answer, openai_body,
                     send_openai_stream, skip, wait_until)
from hostile import hostile_config


def stream_on_each_worker(weir):
    """Open streams, as many as it takes until every worker has one: {pid: [client]}."""
    held = {}
    for n in range(1, 60):
        client = weir.client()
        client.chat(stream=True, headers={"x-request-id": f"stream-{n}", "x-principal": "peaceful"})
        client.head()
        assert client.event() is not None
        pid = wait_until(lambda: pid_of(weir, f"stream-{n}"), "the stream to be in /status")
        held.setdefault(pid, []).append(client)
        if len(held) == 2:
            return held
    raise AssertionError("60 connections went to one worker")


def pid_of(weir, request):
    for w in weir.status()["workers"]:
        if w["detail"] and any(call["id"] == request for call in w["detail"]["calls"]):
            return w["pid"]
    return None


def finish(client):
    rest = client.rest()
    assert rest.is_complete and rest.events[-1] == "[DONE]", rest
    client.close()


def is_cut(client):
    return not client.rest().is_complete


def wait_for_new_worker(weir, dead):
    """A worker that replaces the dead one; within a second of the death."""
    started = time.monotonic()
    wait_until(lambda: dead not in weir.worker_pids() and len(weir.worker_pids()) == 2, "a new worker", 5)
    assert time.monotonic() - started < 1 * SLOW, "a new worker took longer than a second"


def test_killed_worker_is_replaced_and_others_go_on():
    gate = threading.Event()
    with Upstream(openai_answer_or_stream(gate)) as up, Weir(config(up)) as weir:
        streams = stream_on_each_worker(weir)
        victim, survivor = list(streams)
        os.kill(victim, signal.SIGKILL)
        wait_for_new_worker(weir, victim)
        gate.set()
        assert all(is_cut(c) for c in streams[victim])
        for client in streams[survivor]:
            finish(client)
        line = weir.wait_log("event=worker.crash")
        assert f"pid={victim}" in line and "cause=killed" in line and "plugin=core" in line, line
        for _ in range(20):
            assert weir.chat().status == 200


def send_hostile(weir, wish, principal="mallory", request=None):
    """Sends the request and returns its answer, None if the connection broke."""
    headers = {"x-hostile": wish, "x-principal": principal, "x-request-id": request}
    try:
        with weir.client() as c:
            return c.chat(headers=headers).response()
    except (EOFError, ConnectionError):
        return None


def openai_answer_or_stream(gate):
    def handler(conn):
        while request := conn.read_request():
            if request.json.get("stream"):
                send_openai_stream(conn, request, ["a", "b"], gate)
            else:
                conn.respond(200, openai_body("whole"))
    return handler


def check_crash(wish, plugin, hook, sign, timeout=None, answers=False, principal="mallory"):
    """A request that ends its worker costs only that worker's streams; one line tells all."""
    gate = threading.Event()
    with Upstream(openai_answer_or_stream(gate)) as up, Weir(hostile_config(up)) as weir:
        streams = stream_on_each_worker(weir)
        before = set(streams)
        answer = send_hostile(weir, wish, "mallory", "evil-1")
        assert answers or answer is None or not answer.is_complete, answer
        line = weir.wait_log("event=worker.crash", timeout)
        for part in (f"plugin={plugin}", f"hook={hook}", "request=evil-1", f"principal={principal}"):
            assert part in line, line
        assert re.search(sign, line), line
        victim = int(re.search(r" pid=(\d+)", line).group(1))
        assert victim in before
        wait_for_new_worker(weir, victim)
        gate.set()
        for pid, clients in streams.items():
            for client in clients:
                if pid != victim:
                    finish(client)
        assert weir.chat(headers={"x-principal": "peaceful"}).status == 200
        assert len(weir.log().split("event=worker.crash")) == 2


def signal_sign(name, frame=True):
    if SLOW > 1:
        return r"signal="
    return rf"signal={name} .*backtrace=" + (r"\S*hostile\S*\.so\+0x" if frame else "")


def test_crash_in_on_open():
    check_crash("on_open-crash", "hostile", "on_open", signal_sign("SIGSEGV"), principal='""')  # not known before the hook


def test_crash_in_on_event():
    check_crash("on_event-crash", "hostile", "on_event", signal_sign("SIGSEGV"))


def test_abort_in_on_request():
    check_crash("on_request-abort", "hostile", "on_request", signal_sign("SIGABRT"))


def test_illegal_instruction_in_on_attempt():
    check_crash("on_attempt-trap", "hostile", "on_attempt", signal_sign("SIGILL"))


def test_fpe_in_on_head():
    check_crash("on_head-fpe", "hostile", "on_head", signal_sign("SIGFPE"))


def test_crash_in_on_finish():
    check_crash("on_finish-crash", "hostile", "on_finish", signal_sign("SIGSEGV"), answers=True)


def test_crash_in_on_attempt_done():
    check_crash("on_attempt_done-crash", "hostile", "on_attempt_done", signal_sign("SIGSEGV"), answers=True)


def test_stack_overflow():
    check_crash("on_request-stack", "hostile", "on_request", signal_sign("SIGSEGV"))


def test_exit_from_a_plugin():
    check_crash("on_request-exit", "hostile", "on_request", r"signal=\"?exit\(\d+\)")


def test_loop_is_ended_by_the_watchdog():
    check_crash("on_request-hang", "hostile", "on_request", r"signal=\S+ cause=watchdog", timeout=10)


def test_closed_descriptors():
    """A plugin that closes all descriptors takes its worker with it, not more."""
    with Upstream(openai_answer("ok")) as up, Weir(hostile_config(up), sound=False) as weir:
        pids = set(weir.worker_pids())
        send_hostile(weir, "on_request-closeall")
        wait_until(lambda: set(weir.worker_pids()) != pids and len(weir.worker_pids()) == 2, "a new worker", 10)
        for _ in range(10):
            assert weir.chat().status == 200


def test_who_holds_the_loop_is_told():
    with Upstream(openai_answer("ok")) as up, Weir(hostile_config(up)) as weir:
        assert send_hostile(weir, "on_request-pause", request="slow-1").status == 200
        line = weir.wait_log("event=worker.stall")
        assert "plugin=hostile" in line and "hook=on_request" in line and "request=slow-1" in line, line
        assert "event=worker.crash" not in weir.log()


def test_traced_worker_is_not_aborted():
    ptrace_seize, ptrace_detach = 0x4206, 17
    libc = ctypes.CDLL(None, use_errno=True)
    with Upstream(openai_answer("ok")) as up, Weir(config(up, watchdog="1s")) as weir:
        pid = weir.worker_pids()[0]
        if libc.ptrace(ptrace_seize, pid, None, None) != 0:
            skip("this machine doesn't allow ptrace")
        os.kill(pid, signal.SIGSTOP)
        assert os.waitpid(pid, 0x40000000 | os.WUNTRACED)[0] == pid  # __WALL
        weir.wait_log("event=worker.stall")
        wait_until(lambda: [w for w in weir.status()["workers"] if w["pid"] == pid and w["silent_ms"] > 2500],
                   "the worker to be silent for long")
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: libc.ptrace(ptrace_detach, pid, None, None) == 0, "the worker to be let go")
        wait_until(lambda: [w for w in weir.status()["workers"] if w["pid"] == pid and w["silent_ms"] < 500],
                   "the worker to go on")
        assert "event=worker.crash" not in weir.log()


def test_one_principal_is_poisoned():
    with Upstream(openai_answer("ok")) as up, Weir(hostile_config(up)) as weir:
        for n in (1, 2):
            assert send_hostile(weir, "on_request-crash", "mallory") is None
            weir.wait_log("event=worker.crash", count=n)
        answer = send_hostile(weir, "none", "mallory")
        assert answer.status == 503 and answer.headers["x-weir-error"] == "poisoned", answer
        assert weir.chat(headers={"x-principal": "alice"}).status == 200
        assert weir.metric('weir_plugin_crashes_total{plugin="hostile"}') == 2
        weir.wait_log("event=plugin.poisoned")


def test_plugin_is_quarantined_probed_and_released():
    with Upstream(openai_answer("ok")) as up, Weir(hostile_config(up)) as weir:
        for n, principal in enumerate(("mallory", "trudy"), 1):
            assert send_hostile(weir, "on_request-crash", principal) is None
            weir.wait_log("event=worker.crash", count=n)
        answer = weir.chat(headers={"x-principal": "alice"})
        assert answer.status == 503 and answer.headers["x-weir-error"] == "quarantined", answer
        assert weir.metric('weir_plugin_quarantined{plugin="hostile"}') == 1
        details = wait_until(lambda: [d for d in weir.details() if d], "a worker to answer")
        plugins = details[0]["plugins"]
        assert [p for p in plugins if p["name"] == "hostile"][0]["quarantined"]
        weir.wait_log("event=plugin.quarantined")
        wait_until(lambda: weir.chat(headers={"x-principal": "alice"}).status == 200, "a probe to be let through", 15)
        wait_until(lambda: weir.chat(headers={"x-principal": "bob"}) and weir.metric('weir_plugin_quarantined{plugin="hostile"}') == 0,
                   "the release", 15)
        for _ in range(8):
            assert weir.chat(headers={"x-principal": "bob"}).status == 200


def test_counts_survive_a_crash():
    with Upstream(openai_answer("ok")) as up, Weir(hostile_config(up)) as weir:
        for _ in range(10):
            assert weir.chat().status == 200
        before = weir.metric("weir_target_calls_total")
        assert before == 10, before
        send_hostile(weir, "on_attempt_done-crash")
        weir.wait_log("event=worker.crash")
        assert weir.metric("weir_target_calls_total") >= before
        wait_until(lambda: weir.metric("weir_target_in_flight") == 0, "the dead worker's calls to vanish")


def test_master_that_dies_takes_its_workers_along():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(config(up)).start()
        try:
            pids = weir.worker_pids()
            weir.process.kill()
            weir.process.wait(DEADLINE)
            wait_until(lambda: not any(is_alive(p) for p in pids), "the workers to end")
            weir.write("stderr.log", "")
            with weir:  # the same folders: what the killed one left is no hindrance
                assert weir.chat().status == 200
        finally:
            weir.kill()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
