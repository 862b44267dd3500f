"""The log stage: one line per request, whatever happened; files that move away; what can't be written is counted."""
import json
import os
import signal
import socket
import threading

from harness import DEADLINE, Upstream, Weir, config, openai_answer, openai_stream, skip, wait_until


def logging(up, settings=None, **more):
    return config(up, entry=[{"log": settings}] if settings else ["log"], **more)


def lines(path):
    try:
        with open(path) as f:
            return [json.loads(line) for line in f]
    except FileNotFoundError:
        return []


def test_every_request_is_one_line():
    with Upstream(openai_answer("ok")) as up:
        with Weir(logging(up)) as weir:
            ids = [weir.chat().headers["x-weir-request-id"] for _ in range(20)]
            ids.append(weir.post("/v1/chat/completions", "nonsense").headers["x-weir-request-id"])
            ids.append(weir.get("/nowhere").headers["x-weir-request-id"])
            said = wait_until(lambda: [json.loads(x) for x in weir.stdout().splitlines() if x.startswith("{")][21:] and weir.stdout(), "22 lines")
            records = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
            assert sorted(r["id"] for r in records) == sorted(ids)
            by_status = sorted(r["status"] for r in records)
            assert by_status == [200] * 20 + [400, 404], by_status
            assert "hi" not in [v for r in records for v in r.values()]


def test_a_client_that_left_is_in_the_log_too():
    gate = threading.Event()
    with Upstream(openai_stream(["a", "b"], gate)) as up, Weir(logging(up)) as weir:
        client = weir.client()
        client.chat(stream=True).head()
        client.event()
        client.close()
        wait_until(lambda: '"id"' in weir.stdout(), "the record")
        gate.set()
        record = json.loads([x for x in weir.stdout().splitlines() if x.startswith("{")][0])
        assert record["error"]["class"] == "cancelled", record


def test_a_file_that_moves_away_is_made_again():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(logging(up, {"file": "@"}), workers=1)
        path = weir.path("requests.log")
        weir.configure(logging(up, {"file": path}))
        with weir:
            assert not os.path.exists(path)
            assert weir.chat().status == 200
            wait_until(lambda: len(lines(path)) == 1, "the first line")
            os.rename(path, path + ".1")
            weir.signal(signal.SIGUSR1)

            def is_back():
                weir.chat()
                return lines(path)
            wait_until(is_back, "a new file")
            os.unlink(path)
            wait_until(is_back, "a new file after its removal")
            assert oct(os.stat(path).st_mode & 0o777) == "0o640"


def test_a_folder_that_is_missing_keeps_weir_from_starting():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(logging(up, {"file": "/nowhere/at/all/requests.log"}))
        try:
            code = weir.start(wants_exit=True)
            assert code == 1 and "/nowhere/at/all/requests.log" in weir.log(), weir.log()
        finally:
            weir.kill()


def test_a_pipe_that_nobody_reads_is_counted_and_delays_nobody():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(logging(up, {"file": "@"}), workers=1)
        path = weir.path("pipe")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        weir.configure(logging(up, {"file": path}))
        try:
            with weir:
                def is_dropping():
                    assert weir.chat().status == 200
                    return (weir.metric("weir_log_dropped_total") or 0) > 0
                wait_until(is_dropping, "dropped lines", 3 * DEADLINE)
                assert "are dropped" in weir.log()
                text = b""
                while True:
                    try:
                        piece = os.read(reader, 1 << 20)
                    except BlockingIOError:
                        break
                    text += piece
                for line in text.splitlines():
                    json.loads(line)
        finally:
            os.close(reader)


def test_syslog():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(logging(up, {"file": "@"}))
        path = weir.path("devlog")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(path)
            daemon.settimeout(DEADLINE)
            weir.configure(logging(up, {"syslog": True, "socket": path}))
            with weir:
                assert weir.chat().status == 200
                text = daemon.recv(65536).decode()
                assert text.startswith("<134>weir[") and json.loads(text[text.index("{"):])["status"] == 200, text


def test_two_places_at_once():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(logging(up, {"file": "@"}))
        a, b = weir.path("a.log"), weir.path("b.log")
        c = logging(up)
        c["entry"] = [{"log": {"file": a}}, {"log": {"file": b}}]
        weir.configure(c)
        with weir:
            assert weir.chat().status == 200
            wait_until(lambda: lines(a) and lines(b), "both lines")
            assert lines(a)[0]["id"] == lines(b)[0]["id"]
